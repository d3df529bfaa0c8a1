//! The shell: the loop, the only clock, and everything that touches the world on the machine's behalf.
//!
//! One thread, one loop, one waiter. Every arm of the loop only makes events; [`Shell::turn`] feeds them to the machine and
//! carries its actions out ([`perform`]). Nothing here decides anything.

mod background;
pub mod changes;
mod control;
mod environment;
pub mod files;
mod groups;
mod helper;
mod hooks;
mod inspections;
mod job_control;
pub mod last_stop;
mod monitor;
mod notify;
mod outputs;
mod perform;
mod prestop;
mod program;
mod reaper;
pub mod refusal;
pub mod reload;
mod reporter;
mod schedules;
mod shell;
mod sockets;
pub mod sources;
mod starvation;
mod stragglers;
mod summary;
pub mod waits;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::task::LocalSet;

use crate::cli::variables::Environment;
use crate::config::{Config, LogFormat};
use crate::endpoint::{self, Health};
use crate::exit;
use crate::http::endpoints;
use crate::http::prestop::Guard;
use crate::http::server;
use crate::lifecycle::Machine;
use crate::output::kept::Keeper;
use crate::output::{Sink, log};
use crate::plan::Plan;
use crate::signal::Signal;
use crate::sys::signals::Early;
use crate::sys::{limits, process};
use crate::tasks;
use crate::time::At;
use crate::variables;
use monitor::{Audience, Monitor};
use reload::{Configuration, Reloads};
use schedules::Schedules;
use shell::{PATIENCE, Shell};
use sockets::Sockets;

/// So many descriptors that something has happened to are told of in one turn of the loop; the others in the next.
const EVENTS: usize = 128;

/// The only clock: CLOCK_MONOTONIC, as the core's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(self) -> At {
        At::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(self, at: At) -> tokio::time::Instant {
        (self.start + at.since_start()).into()
    }
}

/// Why nothing is started, and with which exit code.
type Refused = (String, u8);

/// What is to run, and how softstop was started.
pub struct Start {
    pub config: Box<Config>,
    /// Where it may be read again.
    pub configuration: Option<Configuration>,
    pub environment: Environment,
    pub parent_death_signal: Option<Signal>,
    pub early: Early,
}

/// Run a configuration from its first process to its last; the exit code.
///
/// Nothing is started when a port cannot be had or a stop was requested before; both are said on standard error, and the first in the
/// termination log. A fault of softstop's own ends what was started, with exit code 70.
#[must_use]
pub fn run(start: Start) -> u8 {
    let place = start.config.termination_log.clone();
    refusal::guarded(place.clone(), || {
        live(start).unwrap_or_else(|(why, code)| {
            let why = format!("{why}; nothing was started");
            let _ = writeln!(std::io::stderr(), "softstop: error: {why}");
            refusal::record(place.as_deref(), code, &why);
            code
        })
    })
}

fn live(start: Start) -> Result<u8, Refused> {
    let Prepared { runtime, local, all } = prepare(start)?;
    let code = tasks::block_on(&runtime, &local, all);
    // Nothing that is still pending (an idle client, a survivor's pipe) may hold the exit, and nothing is gained from
    // putting everything away first.
    std::mem::forget(local);
    std::mem::forget(runtime);
    Ok(code)
}

/// What is run, and on what.
struct Prepared {
    runtime: tokio::runtime::Runtime,
    local: LocalSet,
    all: Pin<Box<dyn Future<Output = u8>>>,
}

/// What may be refused, and is had before anything is started.
struct Granted {
    guard: Option<Guard>,
    listener: Option<std::net::TcpListener>,
    sockets: Sockets,
    notices: Option<notify::Socket>,
    schedules: Schedules,
}

impl Granted {
    fn of(config: &Config) -> Result<Granted, Refused> {
        let wrong = |why: String| (why, exit::CONFIG);
        let prestop = config.http.as_ref().and_then(|http| http.prestop.as_ref());
        Ok(Granted {
            guard: prestop.map(prestop::guard).transpose().map_err(wrong)?,
            listener: config.http.as_ref().map(|http| server::bind(http.listen)).transpose().map_err(internal)?,
            sockets: Sockets::make(config).map_err(internal)?,
            notices: notify::Socket::make(config).map_err(|why| internal(format!("NOTIFY_SOCKET: {why}")))?,
            schedules: Schedules::open(config).map_err(wrong)?,
        })
    }
}

fn internal(why: String) -> Refused {
    (why, exit::INTERNAL)
}

/// A function of its own: what it takes of the stack is not kept as long as softstop runs.
#[inline(never)]
fn prepare(start: Start) -> Result<Prepared, Refused> {
    let Start { config, configuration, environment, parent_death_signal, mut early } = start;
    let termination_log = config.termination_log.clone();
    let clock = Clock::start();
    let mut inherited_fds = early.take_descriptors();
    if !config.is_wrapper() {
        // The wrapper passes them through to its program and lets go of them then.
        inherited_fds.clear();
    }
    let Granted { guard, listener, sockets, notices, schedules } = Granted::of(&config)?;
    let sink = begin_log(&config)?;
    let warnings: Vec<String> = environment.warnings.into_iter().chain(settle_in(parent_death_signal)).collect();
    let environment = with_instance(environment.handed_down, &config);
    let runtime = event_loop()?;
    let seed = if Plan::has_jitter(&config) || configuration.is_some() { seed() } else { 0 };
    let machine = Rc::new(RefCell::new(Machine::new(Plan::new(*config).with_seed(seed))));
    let monitor = Rc::new(RefCell::new(Monitor::new(machine.borrow().plan().config.processes.len())));
    let all = Box::pin(async move {
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        introduce(machine.borrow().plan());
        tasks::spawn(sink.clone().pump());
        let mut orders = control::Orders::new(Keeper::new(&machine.borrow().plan().config));
        let prestop = guard.map(|guard| prestop::later(guard, Rc::clone(&orders.room)));
        if let Some(listener) = listener
            && let Err(why) = serve(listener, &machine, &monitor, clock, prestop)
        {
            return not_served(&why, &sink, termination_log.as_deref()).await;
        }
        orders.listen(&machine, &monitor, clock);
        let mut shell = Shell::new(machine, clock, early.inherited(), inherited_fds, sink, orders, monitor);
        (shell.environment, shell.sockets, shell.schedules) = (Rc::new(environment), sockets, schedules);
        shell.notices.adopt(notices);
        shell.reloads = Reloads::new(configuration);
        shell.begin_watching();
        shell.begin(&early.pending());
        shell.run(early).await
    });
    Ok(Prepared { runtime, local: LocalSet::new(), all })
}

/// From here on panics go there, too.
fn begin_log(config: &Config) -> Result<Sink, Refused> {
    let sink = Sink::new(config.color, schedules::local_clock(config).as_ref());
    log::init(config.log.level, config.log.format, &sink)
        .map_err(|error| internal(format!("cannot set up the log: {error}")))?;
    refusal::panics_go_to_the_log();
    Ok(sink)
}

/// What every child is told of this softstop, in place of what softstop was told of another one.
fn with_instance(mut environment: Vec<(OsString, OsString)>, config: &Config) -> Vec<(OsString, OsString)> {
    for (name, value) in variables::of_instance(config) {
        environment.retain(|(key, _)| key != name);
        environment.extend(value.map(|value| (OsString::from(name), value)));
    }
    environment
}

fn event_loop() -> Result<tokio::runtime::Runtime, Refused> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // Its list has room for a thousand.
    runtime.enable_io().enable_time().max_io_events_per_tick(EVENTS).on_thread_park(after_the_start());
    runtime.build().map_err(|error| internal(format!("cannot set up the event loop: {error}")))
}

/// The probe port cannot be served: nothing is started. The exit code, once that has been said.
async fn not_served(why: &str, sink: &Sink, termination_log: Option<&Path>) -> u8 {
    let why = format!("{why}; nothing was started");
    tracing::error!("{why}");
    tokio::select! {
        () = sink.flushed() => {}
        () = sink.stalled(PATIENCE) => {}
    }
    refusal::record(termination_log, exit::INTERNAL, &why);
    exit::INTERNAL
}

/// To a person at a terminal: a container has no such reader, nor has a program that reads JSON.
fn introduce(plan: &Plan) {
    let config = &plan.config;
    if !config.is_wrapper()
        && !process::is_pid1()
        && config.log.format == LogFormat::Text
        && std::io::stderr().is_terminal()
    {
        for line in summary::lines(plan, std::env::current_dir().ok().as_deref()) {
            tracing::info!("{line}");
        }
    }
}

/// What the loop does before it waits: the first time, which is when the start is over and few calls are under way, what only that has needed
/// is given back.
fn after_the_start() -> impl Fn() + Send + Sync + 'static {
    let is_over = AtomicBool::new(false);
    move || {
        if !is_over.swap(true, Ordering::Relaxed) {
            process::give_back_memory();
        }
    }
}

/// Subreaper, parent-death signal: what may be refused and is then said.
fn settle_in(parent_death_signal: Option<Signal>) -> Vec<String> {
    let mut warnings = Vec::new();
    // Where it is refused all else works as before.
    let _ = process::request_short_time_slices();
    if !process::is_pid1()
        && let Err(error) = process::become_subreaper()
    {
        warnings.push(format!(
            "cannot become a child subreaper ({error}): orphans go to somebody else, who must reap them"
        ));
    }
    if let Some(signal) = parent_death_signal
        && let Err(error) = process::parent_death_signal(signal)
    {
        warnings.push(format!("cannot ask for {signal} when the parent dies: {error}"));
    }
    warnings
}

fn serve(
    listener: std::net::TcpListener,
    machine: &Rc<RefCell<Machine>>,
    monitor: &Rc<RefCell<Monitor>>,
    clock: Clock,
    prestop: Option<server::Later>,
) -> Result<(), String> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|e| format!("cannot serve http: {e}"))?;
    let (machine, monitor) = (Rc::clone(machine), Rc::clone(monitor));
    let answer: server::Answerer = Rc::new(move |parts: &hyper::http::request::Parts| {
        let (method, path, query) = (parts.method.as_str(), parts.uri.path(), parts.uri.query());
        let holds = |health: Health| {
            let machine = machine.borrow();
            health.of(machine.started(), machine.ready(), machine.live())
        };
        if let Some(answer) = endpoints::answer_at_once(method, path, query, holds) {
            return answer;
        }
        let mut status = machine.borrow().status(clock.now());
        // Not for the probes, which are many: reading the counters takes longer than their answer.
        if endpoint::find(path).is_some_and(|(endpoint, _)| endpoint.answers.is_everything()) {
            monitor.borrow().show(&mut status, Audience::Anybody);
        }
        endpoints::answer(method, path, query, &status)
    });
    let limits = server::Limits::within(usize::try_from(limits::descriptors()).unwrap_or(usize::MAX));
    tasks::spawn(server::serve(listener, server::Site { answer, later: prestop }, limits));
    Ok(())
}

/// Other than that of any other softstop, so that what fails in all of them does not come back in all of them at once.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
