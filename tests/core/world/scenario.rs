//! What a simulated container is made of: a configuration, and how everything in it behaves. All of it follows from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use softstop::config::handler::{Until, WaitFile};
use softstop::config::{
    Act, Backoff, Concurrency, Condition, Config, Diagnose, Follow, Handler, OnChange, OnExit, OnFailure, Operator,
    Probe, Process, ProcessKind, ReadinessOnDrain, Restart, RestartRule, Retries, Rung, Schedule, Sidecar, Step,
    StopOn, Stragglers, Task, When,
};
use softstop::lifecycle::event::{Exit, Notification, Order, Sender};
use softstop::order::DryRun;
use softstop::schedule::expression::Expression;
use softstop::signal::Signal;

use super::draw::Draw;
use super::notices;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub config: Config,
    /// Per process, its runs in turn; the last one again and again.
    pub lives: Vec<Vec<Life>>,
    /// What hooks answer, in turn, round and round.
    pub answers: Vec<Answer>,
    pub requests: Vec<Request>,
    /// Daemons from other sessions.
    pub stragglers: Vec<Kin>,
    pub stalls: Vec<Stall>,
}

/// softstop itself does not get to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    pub from: Duration,
    /// That counts from the stop request.
    pub of_stop: bool,
    pub length: Duration,
    /// Nobody else does, either.
    pub all: bool,
    /// softstop will know since when.
    pub known: bool,
}

/// One of the stragglers.
#[derive(Clone, Debug, PartialEq)]
pub struct Kin {
    /// It lives so long after its signal, or until SIGKILL.
    pub obeys: Option<Duration>,
    /// The one before it has started it.
    pub below: bool,
    /// It is not there before.
    pub appears: Option<Duration>,
}

/// How one run of a process goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    pub start: Start,
    /// Ends by itself after so long.
    pub ends: Option<(Duration, Exit)>,
    /// Ends so long after a stop signal; `None`: ignores every one but SIGKILL.
    pub obeys: Option<(Duration, Obeys)>,
    /// SIGKILL does not end it either.
    pub unkillable: bool,
    /// What it leaves in its group: it goes so long after a signal, or never.
    pub leaves: Option<Option<Duration>>,
    pub health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    Works,
    /// EAGAIN, EMFILE.
    Transient,
    NotFound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Obeys {
    Code(u8),
    /// Of the very signal.
    Dies,
}

/// What its probes see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// They succeed so long after the start; `None`: never.
    pub from: Option<Duration>,
    /// And fail again so long after it.
    pub until: Option<Duration>,
    /// How long an answer takes; `None`: there is none.
    pub takes: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Ok(Duration),
    Fails(Duration),
    Hangs,
}

/// Somebody wants something of softstop.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub when: Moment,
    pub what: Wish,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    Signal(Signal, Sender),
    Order(Order),
    /// A process is sent SIGSTOP, and the machine sees that; or, `true`, SIGCONT.
    Suspend(usize, bool),
    /// A process says something of itself, if it runs and is to be heard.
    Says(usize, Notification),
    /// The time of a scheduled task comes.
    Due(usize),
    /// Whoever has waited longest for an answer goes away.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    At(Duration),
    AfterStop(Duration),
    /// Right after the n-th event, at the same instant.
    WithEvent(u64),
}

impl Life {
    /// Comes up at once, ends at once when told to.
    pub fn plain() -> Life {
        Life {
            start: Start::Works,
            ends: None,
            obeys: Some((Duration::ZERO, Obeys::Code(0))),
            unkillable: false,
            leaves: None,
            health: Health::GOOD,
        }
    }

    fn draw(d: &mut Draw) -> Life {
        Life {
            start: if d.chance(10) { d.pick(&[Start::Transient, Start::NotFound]) } else { Start::Works },
            ends: d.maybe(45, |d| (d.span(20_000), d.pick(&[Exit::Code(0), Exit::Code(3), Exit::Code(143), crash()]))),
            obeys: d.maybe(80, |d| {
                (d.span(5_000), d.pick(&[Obeys::Code(0), Obeys::Dies, Obeys::Code(143), Obeys::Code(3)]))
            }),
            unkillable: d.chance(4),
            leaves: d.maybe(33, |d| d.maybe(60, |d| d.span(3_000))),
            health: Health::draw(d),
        }
    }
}

pub fn crash() -> Exit {
    Exit::Signal { signal: Signal::parse("SEGV").unwrap(), core: true }
}

impl Health {
    pub const GOOD: Health = Health { from: Some(Duration::ZERO), until: None, takes: Some(Duration::ZERO) };

    fn draw(d: &mut Draw) -> Health {
        Health {
            from: if d.chance(8) { None } else { Some(d.span(6_000)) },
            until: d.maybe(20, |d| d.span(15_000)),
            takes: if d.chance(5) { None } else { Some(d.span(1_500)) },
        }
    }
}

impl Scenario {
    pub fn draw(d: &mut Draw) -> Scenario {
        let config = config(d);
        let lives = config.processes.iter().map(|_| d.many(1, 3, |d, _| Life::draw(d))).collect();
        let answers = d.many(1, 6, |d, _| match d.below(6) {
            0..3 => Answer::Ok(d.span(4_000)),
            3 | 4 => Answer::Fails(d.span(4_000)),
            _ => Answer::Hangs,
        });
        let mut scenario = Scenario {
            lives,
            answers,
            requests: d.many(0, 5, |d, _| request(d, &config)),
            stragglers: d.many(0, 3, |d, _| Kin {
                obeys: d.maybe(70, |d| d.span(6_000)),
                below: d.chance(30),
                appears: d.maybe(30, |d| d.span(40_000)),
            }),
            stalls: if d.chance(25) { d.many(1, 3, |d, _| stall(d)) } else { Vec::new() },
            config,
        };
        notices::draw(d, &mut scenario.config.processes, &mut scenario.requests);
        scenario
    }

    pub fn from_seed(seed: u64) -> Scenario {
        Scenario::draw(&mut Draw::seed(seed))
    }

    pub fn life(&self, process: usize, run: u32) -> &Life {
        let lives = &self.lives[process];
        &lives[(run as usize).saturating_sub(1).min(lives.len() - 1)]
    }
}

fn stall(d: &mut Draw) -> Stall {
    let of_stop = d.chance(70);
    let all = d.chance(50);
    let longest = if d.chance(30) { 30_000 } else { 6_000 };
    Stall {
        from: d.span(if of_stop { 15_000 } else { 60_000 }),
        of_stop,
        length: d.span(longest),
        all,
        // Who else has lost the same time shows in nothing but what softstop knows of its own.
        known: all || d.chance(50),
    }
}

fn request(d: &mut Draw, config: &Config) -> Request {
    let when = match d.below(4) {
        0 => Moment::At(d.span(60_000)),
        1 => Moment::At(d.span(3_000)),
        2 => Moment::AfterStop(d.span(10_000)),
        _ => Moment::WithEvent(d.below(40)),
    };
    let signal = d.pick(&[
        Signal::TERM,
        Signal::TERM,
        Signal::INT,
        Signal::QUIT,
        Signal::HUP,
        Signal::USR1,
        Signal::WINCH,
        Signal::QUIT,
        Signal::URG,
        Signal::CHLD,
    ]);
    let sender = d.pick(&[
        Sender::Outside,
        Sender::Process(7),
        Sender::Parent(9),
        Sender::Terminal,
        Sender::Kernel,
        Sender::Unknown,
    ]);
    let scheduled: Vec<usize> =
        (0..config.processes.len()).filter(|p| config.processes[*p].schedule.is_some()).collect();
    let what = match d.below(12) {
        _ if !scheduled.is_empty() && d.chance(40) => Wish::Due(d.pick(&scheduled)),
        0..6 => Wish::Signal(signal, sender),
        6..9 => Wish::Order(order(d, config)),
        9..11 if !config.processes.is_empty() => {
            Wish::Suspend(d.below(config.processes.len() as u64) as usize, d.chance(35))
        }
        _ => Wish::Leave,
    };
    Request { when, what }
}

fn order(d: &mut Draw, config: &Config) -> Order {
    let n = d.below(config.processes.len() as u64 + 1);
    // One more than there are: somebody mistypes.
    let process = config.processes.get(n as usize).map_or("nobody".to_string(), |p| p.name.clone());
    let nobody = n as usize == config.processes.len();
    match d.below(10) {
        4 if nobody => Order::Reload { wait: true, dry_run: DryRun(false) },
        5 if nobody => Order::Reload { wait: false, dry_run: DryRun(true) },
        0..3 => Order::Drain { wait: d.chance(70) },
        3 => Order::Stop { wait: d.chance(50), process: d.maybe(60, |_| process) },
        4 => Order::Ready,
        5 => Order::Unready,
        6 => Order::Restart { process },
        7 => Order::Start { process },
        8 => Order::Reopen,
        _ => Order::Signal { process, signal: d.pick(&[Signal::USR2, Signal::HUP]) },
    }
}

fn handler(d: &mut Draw, processes: u64) -> Handler {
    match d.below(6) {
        // A sidecar may have none.
        _ if processes == 0 => Handler::Exec(vec!["hook".into()]),
        0 | 1 => Handler::Exec(vec!["hook".into()]),
        2 => Handler::Sleep(d.span(8_000)),
        // Stands for every wait that softstop does not know the end of by itself.
        3 => Handler::WaitFile(WaitFile { path: "/done".into(), exists: true, contains: None }),
        4 => {
            Handler::WaitProcess { process: d.below(processes) as usize, until: d.pick(&[Until::Ended, Until::Ready]) }
        }
        _ => Handler::Signal { process: d.below(processes) as usize, signal: Signal::USR1 },
    }
}

fn task(d: &mut Draw, name: String, processes: u64, on_failure: &[OnFailure]) -> Task {
    Task {
        timeout: d.maybe(60, |d| d.span(10_000).max(Duration::from_millis(1))),
        retries: if d.chance(20) { Retries::UntilTimeout } else { Retries::Count(d.below(3) as u32) },
        retry_delay: d.span(2_000),
        on_failure: d.pick(on_failure),
        ..Task::new(name, handler(d, processes))
    }
}

fn steps(d: &mut Draw, kind: &str, processes: u64) -> Vec<Step> {
    let on_failure = [OnFailure::Ignore, OnFailure::Ignore, OnFailure::Stop];
    d.many(0, 2, |d, i| {
        let tasks = d.many(1, 2, |d, t| task(d, format!("{kind} {i} {t}"), processes, &on_failure));
        let reserve = d.maybe(50, |d| d.span(5_000));
        let when = d.pick(&[When::Requested, When::Always]);
        Step { tasks, reserve, essential: reserve.is_some() && d.chance(40), when }
    })
}

fn probe(d: &mut Draw) -> Probe {
    Probe {
        initial_delay: d.span(3_000),
        period: d.span(5_000).max(Duration::from_millis(100)),
        timeout: d.span(3_000).max(Duration::from_millis(1)),
        success_threshold: 1 + d.below(3) as u32,
        failure_threshold: 1 + d.below(3) as u32,
        ..Probe::new(Handler::Exec(vec!["probe".into()]))
    }
}

fn process(d: &mut Draw, index: usize, processes: u64) -> Process {
    let on_failure = [OnFailure::Ignore, OnFailure::Restart, OnFailure::Stop];
    let mut after: Vec<(usize, Condition)> = Vec::new();
    for on in 0..index {
        if d.chance(45) {
            after.push((on, d.pick(&[Condition::Started, Condition::Ready, Condition::Completed])));
        }
    }
    // Some programs have a stop signal of their own.
    let program = d.pick(&["p", "p", "nginx", "haproxy", "httpd", "postgres", "java"]);
    let process = Process {
        restart: d.pick(&[Restart::OnFailure, Restart::Always, Restart::Never]),
        autostart: !d.chance(12),
        kind: d.maybe(30, |d| d.pick(&[ProcessKind::Service, ProcessKind::Task])),
        success_codes: if d.chance(25) { vec![d.pick(&[3, 143, 139])] } else { Vec::new() },
        restart_on: d.many(0, 3, |d, _| d.maybe(30, restart_rule)).into_iter().flatten().collect(),
        restart_window: d.maybe(40, |d| d.span(15_000).max(Duration::from_millis(1))),
        on_exit: d.pick(&[OnExit::Stop, OnExit::StopOnFailure, OnExit::Continue]),
        stop: d.many(0, 2, |d, _| Rung {
            signal: d.pick(&[Signal::QUIT, Signal::TERM, Signal::INT]),
            wait: d.maybe(60, |d| d.span(8_000)),
        }),
        after,
        startup: d.maybe(20, |d| Box::new(Probe { success_threshold: 1, ..probe(d) })),
        readiness: d.maybe(35, |d| Box::new(probe(d))),
        liveness: d.maybe(20, |d| Box::new(Probe { success_threshold: 1, ..probe(d) })),
        post_start: d.many(0, 1, |d, i| task(d, format!("post_start {index} {i}"), processes, &on_failure)),
        pre_stop: d.maybe(30, |d| Box::new(task(d, format!("pre_stop {index}"), processes, &[OnFailure::Ignore]))),
        post_exit: if d.chance(25) { d.many(1, 2, |d, i| post_exit(d, index, i, processes)) } else { Vec::new() },
        max_restarts: d.maybe(40, |d| d.below(4) as u32),
        stop_as_received: d.chance(50),
        rewrite: if d.chance(15) { rewrite(d) } else { BTreeMap::new() },
        diagnose: d.maybe(25, |d| Diagnose {
            signal: d.pick(&[Signal::QUIT, Signal::USR1]),
            wait: d.span(4_000).max(Duration::from_millis(1)),
        }),
        backoff: Backoff {
            initial: d.span(3_000),
            max: d.span(10_000),
            reset: d.span(15_000),
            jitter: d.pick(&[0, 0, 10, 100]),
        },
        stragglers: if d.chance(20) { stragglers(d) } else { Stragglers::default() },
        ..Process::new(format!("p{index}"), vec![program.into()])
    };
    if d.chance(8) { scheduled(d, process) } else { process }
}

/// A task that is started at its times, as the configuration's reader has it.
fn scheduled(d: &mut Draw, process: Process) -> Process {
    let schedule = Schedule {
        cron: Expression::parse("@hourly").unwrap(),
        time_zone: None,
        concurrency: d.pick(&[Concurrency::Forbid, Concurrency::Replace]),
        jitter: Duration::ZERO,
    };
    Process {
        schedule: Some(Box::new(schedule)),
        autostart: false,
        kind: Some(ProcessKind::Task),
        restart: d.pick(&[Restart::Never, Restart::OnFailure]),
        on_exit: d.pick(&[OnExit::Continue, OnExit::Continue, OnExit::StopOnFailure]),
        startup: None,
        readiness: None,
        liveness: None,
        notify: None,
        ..process
    }
}

fn post_exit(d: &mut Draw, process: usize, i: usize, processes: u64) -> Task {
    let task = task(d, format!("post_exit {process} {i}"), processes, &[OnFailure::Ignore]);
    // The reader gives everything but a sleep a timeout.
    let sleeps = matches!(task.handler, Handler::Sleep(_));
    let timeout = task.timeout.or((!sleeps).then_some(Duration::from_secs(5)));
    Task { timeout, ..task }
}

fn restart_rule(d: &mut Draw) -> RestartRule {
    RestartRule {
        operator: d.pick(&[Operator::In, Operator::NotIn]),
        values: d.many(1, 3, |d, _| d.pick(&[0, 3, 143, 139])),
    }
}

/// Takes out what the reader refuses: what is said against a kind.
fn agree(processes: &mut [Process]) {
    for i in 0..processes.len() {
        let kinds: Vec<_> = processes.iter().map(|p| p.kind).collect();
        let p = &mut processes[i];
        for (on, condition) in &mut p.after {
            match (kinds[*on], &condition) {
                (Some(ProcessKind::Task), Condition::Ready) => *condition = Condition::Completed,
                (Some(ProcessKind::Service), Condition::Completed) => *condition = Condition::Ready,
                _ => {}
            }
        }
        if p.kind == Some(ProcessKind::Task) {
            (p.startup, p.readiness, p.liveness) = (None, None, None);
            if p.restart == Restart::Always {
                p.restart = Restart::OnFailure;
            }
            let successes = p.success_codes.clone();
            let good = |rule: &RestartRule| [0].iter().chain(&successes).any(|code| rule.matches(Exit::Code(*code)));
            p.restart_on.retain(|rule| !good(rule));
        }
    }
}

fn rewrite(d: &mut Draw) -> BTreeMap<Signal, Option<Signal>> {
    let from = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::WINCH];
    let pairs = d.many(1, 3, |d, _| {
        let from = d.pick(&from);
        // Somebody must be able to stop it.
        let goes = if [Signal::TERM, Signal::INT].contains(&from) { 100 } else { 70 };
        (from, d.maybe(goes, |d| d.pick(&[Signal::QUIT, Signal::TERM, Signal::USR2])))
    });
    pairs.into_iter().collect()
}

fn stragglers(d: &mut Draw) -> Stragglers {
    Stragglers {
        wait: d.maybe(50, |d| d.span(6_000)),
        signal: d.maybe(40, |d| d.pick(&[Signal::HUP, Signal::TERM, Signal::USR1])),
        timeout: d.maybe(50, |d| d.span(6_000)),
        timeout_when_ended: d.maybe(50, |d| d.span(6_000)),
    }
}

fn config(d: &mut Draw) -> Config {
    let mut c = Config::with_defaults();
    c.sidecar = d.maybe(20, |d| {
        let within = d.span(20_000).max(Duration::from_millis(1));
        Sidecar { follow: d.maybe(50, |_| Follow::new("main".into(), within)) }
    });
    let n = if c.sidecar.is_some() && d.chance(50) { 0 } else { 1 + d.below(4) };
    if d.chance(20) {
        c.stop_on = StopOn::Only(vec![Signal::TERM, d.pick(&[Signal::USR1, Signal::QUIT, Signal::WINCH])]);
    }
    c.grace = d.span(40_000);
    // Some can be read again; it is not drawn, so that a seed stays what it was.
    c.source = c.grace.as_millis().is_multiple_of(2).then(|| "/etc/softstop.toml".into());
    c.kill_reserve = if d.chance(80) { d.span(2_000).min(c.grace) } else { Duration::ZERO };
    c.stop_reserve = d.maybe(40, |d| d.span(10_000));
    c.processes = (0..n).map(|i| process(d, i as usize, n)).collect();
    agree(&mut c.processes);
    let main = d.below(n) as usize;
    if let Some(main) = c.processes.get_mut(main) {
        main.main = d.chance(60);
    }
    c.init = d.many(0, 1, |d, i| task(d, format!("init {i}"), n, &[OnFailure::Ignore, OnFailure::Stop]));
    c.drain = steps(d, "drain", n);
    c.post_stop = steps(d, "post_stop", n);
    c.exit_codes.forced = d.maybe(30, |d| d.below(256) as u8);
    c.exit_codes.map = if d.chance(50) { [(143, 0), (3, 33)].into() } else { Default::default() };
    c.stragglers = if d.chance(40) { stragglers(d) } else { Stragglers::default() };
    // As the source, not drawn.
    if c.grace.as_millis().is_multiple_of(3) {
        let timeout = Some(Duration::from_secs(2));
        let act = Act::Task(Box::new(Task { timeout, ..Task::new("changed", Handler::Exec(vec!["hook".into()])) }));
        c.on_change =
            vec![OnChange { name: "changed".into(), paths: vec!["/etc/file".into()], settle: Duration::ZERO, act }];
    }
    c.readiness_on_drain = if d.chance(30) { ReadinessOnDrain::Keep } else { ReadinessOnDrain::Fail };
    c
}
