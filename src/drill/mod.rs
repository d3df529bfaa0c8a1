//! `softstop drill`: starts a softstop as its container would, puts load on it, stops it, and says whether that fits, what went wrong and what
//! to change. An ordinary program beside the softstop that it drills: nothing of it is part of PID 1.
//!
//! [`start`] and [`monitor`] are the world, [`load`] the clients; [`tally`], [`result`] and [`show`] are pure. What
//! softstop says of itself [`crate::record`] reads, and says what is wrong with it.

mod load;
mod monitor;
pub mod result;
pub mod run;
pub mod show;
mod start;
pub mod tally;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::unistd::dup2_stdout;
use serde_json::Value;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::cli::drilling::{Drilling, KillAt};
use crate::config::{Config, HttpCall};
use crate::exit;
use crate::record;
use crate::report::Secs;
use crate::resolver;
use crate::signal::Signal;
use crate::sys::signals::{Early, Inherited, Signals};
use crate::sys::stdio::watch;
use crate::sys::{plain, process};
use crate::tasks;
use crate::time::Human;
use load::{Load, Traffic};
use run::{Crash, Run, Setup};
use start::{Start, Started, control_flag};
use tally::Tally;

/// Restarts of one process after which it is no more waited for: seven seconds with the usual back-off.
const CRASH_LOOP: u64 = 3;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const BEFORE: Duration = Duration::from_secs(1);
const RATE: u32 = 20;
const CONNECTIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it is ready, and who is there.
const EVERY: Duration = Duration::from_millis(50);
/// A program that is not probed may take so long until it listens; then it is one that does not.
const LISTENS: Duration = Duration::from_secs(2);
/// softstop is to be gone at the end of its grace; drill, which is not its kubelet, leaves it that much more on a busy machine.
const ROOM: Duration = Duration::from_secs(2);
/// Clients that nothing has told of the stop go on after its end at least that long.
const NOT_TOLD: Duration = Duration::from_millis(300);
/// For one answer when it is asked whether it answers at all.
const ANSWER: Duration = Duration::from_secs(2);

/// What is to be drilled, and how.
pub struct Plan {
    pub how: Drilling,
    pub config: Config,
    /// `run -c FILE`; nothing: the wrapper.
    pub head: Vec<OsString>,
    /// What stands behind drill's own flags: two dashes and a command, or the wrapper's flags and program.
    pub tail: Vec<OsString>,
}

/// Why nothing can be said, and the exit code.
struct Undone {
    code: u8,
    why: String,
}

fn undone(code: u8) -> impl Fn(String) -> Undone {
    move |why| Undone { code, why }
}

fn failed(what: &str, why: impl std::fmt::Display) -> Undone {
    Undone { code: exit::INTERNAL, why: format!("{what}: {why}") }
}

/// Drills, says what came of it; the exit code.
#[must_use]
pub fn run(plan: &Plan, early: Early) -> u8 {
    let inherited = early.inherited();
    let signals = early.receive().map_err(|e| failed("no signals", e));
    signals.and_then(|signals| drill_all(plan, signals, &inherited)).unwrap_or_else(|Undone { code, why }| {
        let _ = writeln!(std::io::stderr(), "softstop: error: drill: {why}");
        code
    })
}

fn drill_all(plan: &Plan, signals: Signals, inherited: &Inherited) -> Result<u8, Undone> {
    // What it leaves behind comes here, where it is seen and ended.
    let _ = process::become_subreaper();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|e| failed("cannot set up the event loop", e))?;
    let local = LocalSet::new();
    tasks::block_on(&runtime, &local, async {
        let arrivals = signals.as_fd().try_clone_to_owned().and_then(|fd| watch(File::from(fd), Interest::READABLE));
        let arrivals = arrivals.map_err(|e| failed("no signals", e))?;
        tokio::select! {
            biased;
            signal = interrupted(signals, &arrivals) => {
                Err(Undone { code: exit::for_signal(signal.number()), why: format!("{signal}: everything that was started is ended") })
            }
            done = Drill::new(plan, inherited).all() => done,
        }
    })
}

/// The first signal that asks for the end. Of the others nothing is made.
async fn interrupted(mut signals: Signals, arrivals: &AsyncFd<File>) -> Signal {
    const ENDS: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
    loop {
        match arrivals.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => return std::future::pending().await,
        }
        loop {
            let received = signals.drain();
            if let Some(end) = received.iter().find(|received| ENDS.contains(&received.signal)) {
                return end.signal;
            }
            if !signals.more() {
                break;
            }
        }
    }
}

struct Drill<'a> {
    plan: &'a Plan,
    inherited: &'a Inherited,
    setup: Setup,
    load: Option<(HttpCall, Vec<SocketAddr>)>,
    /// Whose readiness the clients go by; `None`: softstop's own.
    readiness: Option<(HttpCall, Vec<SocketAddr>)>,
}

impl<'a> Drill<'a> {
    fn new(plan: &'a Plan, inherited: &'a Inherited) -> Drill<'a> {
        let how = &plan.how;
        let mut command = vec!["softstop".to_owned()];
        command.extend(plan.head.iter().chain(&plan.tail).map(|word| word.to_string_lossy().into_owned()));
        let setup = Setup {
            command: command.join(" "),
            load: how.load.clone(),
            rate: how.rate.unwrap_or(RATE),
            connections: how.connections.unwrap_or(CONNECTIONS),
            lag: how.load.as_ref().map(|_| how.lag.unwrap_or_default()),
            readiness: how.readiness_url.as_ref().map(HttpCall::url),
            patience: how.patience.unwrap_or(PATIENCE),
            pre_stop: how.pre_stop,
            ..Setup::of(&plan.config)
        };
        Drill { plan, inherited, setup, load: None, readiness: None }
    }

    async fn all(mut self) -> Result<u8, Undone> {
        let how = &self.plan.how;
        self.load = found(how.load.as_ref()).await?;
        self.readiness = found(how.readiness_url.as_ref()).await?;
        self.knows_the_victim()?;
        let graces: Vec<Option<Duration>> =
            if how.grace.is_empty() { vec![None] } else { how.grace.iter().copied().map(Some).collect() };
        let mut all: Vec<(result::GraceResult, Vec<Run>)> = Vec::new();
        let mut slowest: Option<(Duration, Vec<u8>)> = None;
        for grace in graces {
            let mut setup = self.setup.clone();
            if let Some(grace) = grace {
                setup.kill_reserve = setup.kill_reserve.min(grace / 4);
            }
            let mut runs = Vec::new();
            for _ in 0..how.repeat.unwrap_or(1) {
                let (run, report) = self.once(grace).await?;
                let took = run.took().unwrap_or_default();
                if slowest.as_ref().is_none_or(|(slowest, _)| took > *slowest) {
                    slowest = Some((took, report));
                }
                runs.push(run);
            }
            all.push((result::of(&runs, &setup), runs));
        }
        self.say(&all, slowest.map(|(_, report)| report).unwrap_or_default())?;
        Ok(code(all.iter().map(|(result, _)| result)))
    }

    /// Who is to be killed is a process.
    fn knows_the_victim(&self) -> Result<(), Undone> {
        let names = || self.plan.config.processes.iter().map(|process| process.name.as_str());
        match self.plan.how.kill_at.as_ref().and_then(|at| at.process.as_deref()) {
            Some(name) if names().all(|known| known != name) => {
                let known = names().collect::<Vec<_>>().join(", ");
                Err(undone(exit::USAGE)(format!("--kill-at: there is no process {name}; there is {known}")))
            }
            _ => Ok(()),
        }
    }

    fn say(&self, all: &[(result::GraceResult, Vec<Run>)], report: Vec<u8>) -> Result<(), Undone> {
        let how = &self.plan.how;
        let drilled = show::Drilled { setup: &self.setup, all };
        let text = if how.json { drilled.json() } else { drilled.text() };
        let _ = std::io::stdout().write_all(text.as_bytes());
        if let Some(path) = &how.junit {
            write(path, drilled.junit().as_bytes(), false)?;
        }
        if let Some(path) = &how.markdown {
            write(path, drilled.markdown().as_bytes(), true)?;
        }
        if let Some(path) = &how.svg {
            write(path, drilled.svg().as_bytes(), false)?;
        }
        if let Some(path) = &how.report {
            write(path, &report, false)?;
        }
        Ok(())
    }

    /// One drill, and softstop's report as it has written it.
    async fn once(&self, grace: Option<Duration>) -> Result<(Run, Vec<u8>), Undone> {
        let program = std::env::current_exe().map_err(|e| failed("where is softstop itself", e))?;
        let began = Instant::now();
        let start = Start { plan: self.plan, program: &program, grace, inherited: self.inherited };
        let started = start.start().map_err(undone(exit::INTERNAL))?;
        let grace = Secs(grace.unwrap_or(self.plan.config.grace));
        let run = Run { grace, pid1: started.apart, ..Run::default() };
        let mut one = UnderWay { drill: self, started, run, traffic: None, requested: None };
        if one.until_ready(began).await {
            one.run.ready_after = Some(Secs(began.elapsed()));
            one.traffic = self.begin_load()?;
            one.until_the_stop().await;
        }
        if one.started.exit().is_none() {
            one.stop(&program).await?;
        }
        one.until_the_end().await;
        let UnderWay { mut started, mut run, traffic, .. } = one;
        run.exit_code = started.exit().map(|exit| exit.code());
        run.left = started.end();
        run.load = traffic.map(|traffic| traffic.tally.replace(Tally::default()));
        let report = started.report();
        run.report = record::Run::read(&report).ok();
        if let Some(grace) = run.report.as_ref().and_then(|report| report.grace) {
            run.grace = Secs(grace);
        }
        Ok((run, report))
    }

    fn begin_load(&self) -> Result<Option<Rc<Traffic>>, Undone> {
        let Some((call, addrs)) = &self.load else { return Ok(None) };
        let Setup { rate, connections, patience, .. } = self.setup;
        let load = Load { call: call.clone(), addrs: addrs.clone(), rate, connections, patience };
        Traffic::begin(load).map(Some).map_err(undone(exit::USAGE))
    }
}

/// A drill that is under way.
struct UnderWay<'d> {
    drill: &'d Drill<'d>,
    started: Started,
    run: Run,
    /// Once it is ready.
    traffic: Option<Rc<Traffic>>,
    /// When the stop was.
    requested: Option<Instant>,
}

impl UnderWay<'_> {
    /// `false`: it has ended before, or will not be.
    async fn until_ready(&mut self, began: Instant) -> bool {
        let Drill { plan, setup, load, .. } = self.drill;
        let limit = plan.how.ready_timeout.unwrap_or(READY_TIMEOUT);
        let own: Vec<u16> = plan.config.http.iter().map(|http| http.listen.port()).collect();
        let probed = |process: &crate::config::Process| process.startup.is_some() || process.readiness.is_some();
        let listens = setup.wrapper && load.is_none() && !plan.config.processes.iter().any(probed);
        let mut why = "its control socket does not answer";
        loop {
            if self.started.exit().is_some() {
                return false;
            }
            monitor::look(&mut self.run.seen);
            let status = monitor::status(&self.started.control).await;
            if let Some(status) = status {
                let mut restarts = monitor::listed(&status).filter_map(|process| process["restarts"].as_u64());
                if restarts.any(|restarts| restarts >= CRASH_LOOP) {
                    self.run.never_ready = Some("it ends again and again".to_owned());
                    return false;
                }
                why = "by its own account it is not ready";
                if status["ready"] == true {
                    why = "its URL does not answer";
                    let answers = match load {
                        Some((call, addrs)) => load::answer(call, addrs, ANSWER).await.is_ok(),
                        None => !listens || monitor::listens(&own) || began.elapsed() > LISTENS,
                    };
                    if answers {
                        return true;
                    }
                }
            }
            if began.elapsed() > limit {
                self.run.never_ready = Some(format!("not ready after {}: {why}", Human(limit)));
                return false;
            }
            sleep(EVERY).await;
        }
    }

    /// Load alone, and the crash that is to be rehearsed.
    async fn until_the_stop(&mut self) {
        let how = &self.drill.plan.how;
        let ready = Instant::now();
        let before = how.before.unwrap_or(BEFORE);
        let mut kill: Option<&KillAt> = how.kill_at.as_ref();
        let mut killed: Option<Instant> = None;
        let limit = how.ready_timeout.unwrap_or(READY_TIMEOUT);
        loop {
            if self.started.exit().is_some() {
                return;
            }
            monitor::look(&mut self.run.seen);
            let status =
                if kill.is_some() || killed.is_some() { monitor::status(&self.started.control).await } else { None };
            if let (Some(at), Some(status)) = (kill, &status)
                && ready.elapsed() >= at.after
                && let Some(process) = monitor::kill(status, at.process.as_deref())
            {
                self.run.crash = Some(Crash { process, after: Secs(ready.elapsed()), again: None });
                (kill, killed) = (None, Some(Instant::now()));
            } else if let (Some(at), Some(status), Some(crash)) = (killed, &status, &mut self.run.crash) {
                // Its end has been seen when it is not ready, or has another pid; both are in its restarts.
                let is_its = |process: &&Value| process["name"] == crash.process.as_str();
                let mut restarted = monitor::listed(status).filter(is_its);
                let again = status["ready"] == true && restarted.any(|process| process["restarts"].as_u64() > Some(0));
                if again {
                    crash.again = Some(Secs(at.elapsed()));
                    killed = None;
                } else if at.elapsed() > limit {
                    killed = None;
                }
            } else if killed.is_none() && (kill.is_none() || ready.elapsed() > limit) && ready.elapsed() >= before {
                return;
            }
            sleep(EVERY).await;
        }
    }

    /// Requests the stop, as a kubelet does.
    async fn stop(&mut self, program: &Path) -> Result<(), Undone> {
        if let Some(status) = monitor::status(&self.started.control).await {
            self.run.at_stop = monitor::processes(&status);
        }
        let requested = Instant::now();
        (self.run.requested, self.requested) = (true, Some(requested));
        if let Some(traffic) = &self.traffic {
            traffic.tally.borrow_mut().stop_requested();
            self.run.load_requested = Some(Secs(traffic.at(requested)));
        }
        if self.drill.plan.how.pre_stop {
            self.hook(program, requested).await?;
        }
        let _ = self.started.signal(Signal::TERM);
        Ok(())
    }

    /// `softstop drain`, and its end.
    async fn hook(&mut self, program: &Path, requested: Instant) -> Result<(), Undone> {
        let words = [program.as_os_str().to_owned(), "drain".into(), control_flag(&self.started.control)];
        let forked = plain::fork(|| {
            // What drill says is on standard output.
            let _ = dup2_stdout(std::io::stderr());
            self.drill.inherited.give_back();
            plain::exec(&words);
            126
        });
        let pid = forked.map_err(|e| failed("no new process", plain::error_text(e)))?;
        let grace = self.run.grace.0;
        let end = async {
            while self.started.exit().is_none() && !self.started.has_ended(pid) {
                monitor::look(&mut self.run.seen);
                self.look_at_clients(requested, false).await;
                sleep(EVERY).await;
            }
        };
        // The kubelet waits for its hook no longer than the grace.
        let _ = timeout(grace, end).await;
        self.run.pre_stop = Some(Secs(requested.elapsed()));
        Ok(())
    }

    /// Clients go on for the lag after they could know of the stop, and then for as long as what they have begun takes. Softstop's own
    /// readiness turns with the stop request, unless it is configured to stay; another's when it answers so.
    async fn look_at_clients(&mut self, since: Instant, ended: bool) {
        let Some(traffic) = &self.traffic else { return };
        let Drill { setup, readiness, .. } = self.drill;
        if self.requested.is_some() && self.run.turned_after.is_none() {
            let turned = match readiness {
                None => (!setup.keeps_ready).then_some(Duration::ZERO),
                Some((call, addrs)) => match load::answer(call, addrs, ANSWER).await {
                    Err(tally::Why::ServerError) => Some(since.elapsed()),
                    _ => None,
                },
            };
            self.run.turned_after = turned.map(Secs);
        }
        let (turned, least) = match self.run.turned_after {
            Some(turned) => (turned, Duration::ZERO),
            None if ended => (self.run.ended_after.unwrap_or_default(), NOT_TOLD),
            None => return,
        };
        let lag = setup.lag.unwrap_or_default().max(least);
        if self.run.load_ended.is_none() && since.elapsed() >= turned.0 + lag {
            traffic.end();
            self.run.load_ended = Some(Secs(traffic.now()));
        }
    }

    /// Softstop's end, that of the clients, and of the requests under way.
    async fn until_the_end(&mut self) {
        let since = self.requested.unwrap_or_else(Instant::now);
        loop {
            monitor::look(&mut self.run.seen);
            let ended = self.started.exit().is_some();
            if ended && self.run.ended_after.is_none() {
                self.run.ended_after = self.requested.map(|requested| Secs(requested.elapsed()));
            }
            if !ended && !self.run.killed && since.elapsed() > self.run.grace.0 + ROOM {
                self.run.killed = true;
                let _ = self.started.signal(Signal::KILL);
            }
            self.look_at_clients(since, ended).await;
            if ended && self.traffic.as_ref().is_none_or(|traffic| traffic.is_over()) {
                return;
            }
            sleep(EVERY).await;
        }
    }
}

fn code<'r>(results: impl Iterator<Item = &'r result::GraceResult> + Clone) -> u8 {
    if results.clone().any(|result| result.fits) {
        return exit::OK;
    }
    // Nothing else was found of it, so nothing can be said of its stop.
    let mut found = results.flat_map(|result| &result.findings).peekable();
    let is_unknown = found.peek().is_some() && found.all(|found| found.finding.is_never_ready());
    if is_unknown { exit::UNAVAILABLE } else { exit::FAILED }
}

/// What is to be asked, and where.
async fn found(call: Option<&HttpCall>) -> Result<Option<(HttpCall, Vec<SocketAddr>)>, Undone> {
    let Some(call) = call else { return Ok(None) };
    let addrs = resolver::addresses(&call.host, call.port).await.map_err(undone(exit::USAGE))?;
    Ok(Some((call.clone(), addrs)))
}

/// `-` is standard output.
fn write(path: &PathBuf, text: &[u8], append: bool) -> Result<(), Undone> {
    if path.as_os_str() == "-" {
        let _ = std::io::stdout().write_all(text);
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).append(append).truncate(!append);
    let written = options.open(path).and_then(|mut file| file.write_all(text));
    written.map_err(|e| failed(&format!("{} cannot be written", path.display()), e))
}
