//! The small worlds that are explored: together they have everything a configuration can have, each no more than a search can end with.

use std::time::Duration;

use softstop::config::{
    Backoff, Condition, Config, Diagnose, Handler, OnExit, OnFailure, Probe, Process, ReadinessOnDrain, Restart, Rung,
    Step, Task, When,
};
use softstop::lifecycle::event::{Order, Sender};
use softstop::signal::Signal;
use softstop::time::At;

use super::explore::{Limits, Small};
use super::scenario::Wish;

const S: fn(u64) -> Duration = Duration::from_secs;
const TERM: Wish = Wish::Signal(Signal::TERM, Sender::Outside);
const CTRL_C: Wish = Wish::Signal(Signal::INT, Sender::Terminal);
const DRAIN: Wish = Wish::Order(Order::Drain { wait: true });

fn small(name: &'static str, config: Config) -> Small {
    let deep = u8::from(std::env::var("SOFTSTOP_EXPLORE").is_ok_and(|v| v == "deep"));
    Small {
        name,
        config,
        limits: Limits { ends: 1 + deep, failed_starts: 1, failures: 1 + deep, pauses: 0 },
        wishes: vec![TERM],
        stragglers: 0,
        unkillable: None,
        leaves: false,
        grid: S(1),
        horizon: At::from_millis(2_000),
        pauses: vec![Duration::from_millis(1500), S(3)],
        quick: true,
    }
}

fn config(processes: Vec<Process>) -> Config {
    let mut c = Config::with_defaults();
    c.grace = S(4);
    c.kill_reserve = S(1);
    c.processes = processes;
    c
}

fn process(n: usize) -> Process {
    let backoff = Backoff { initial: S(1), max: S(1), reset: S(2), jitter: 0 };
    Process { backoff, restart: Restart::Never, ..Process::new(format!("p{n}"), vec!["p".into()]) }
}

fn exec(name: &str) -> Task {
    Task { timeout: Some(S(1)), ..Task::new(name, Handler::Exec(vec!["hook".into()])) }
}

fn step(tasks: Vec<Task>) -> Step {
    Step { tasks, reserve: None, essential: false, when: When::Requested }
}

fn rungs(waits: &[(Signal, Option<Duration>)]) -> Vec<Rung> {
    waits.iter().map(|(signal, wait)| Rung { signal: *signal, wait: *wait }).collect()
}

fn probe() -> Box<Probe> {
    let (period, timeout) = (S(1), S(1));
    Box::new(Probe { period, timeout, failure_threshold: 1, ..Probe::new(Handler::Exec(vec!["probe".into()])) })
}

pub fn worlds() -> Vec<Small> {
    let mut all = Vec::new();

    let mut c =
        config(vec![Process { stop: rungs(&[(Signal::QUIT, Some(S(1))), (Signal::TERM, None)]), ..process(0) }]);
    c.drain = vec![step(vec![exec("drain 0 0")]), Step { reserve: Some(S(1)), ..step(vec![exec("drain 1 0")]) }];
    c.post_stop = vec![step(vec![exec("post_stop 0 0")])];
    all.push(Small {
        wishes: vec![TERM, TERM],
        leaves: true,
        ..small("one process, two drain steps, post_stop", c.clone())
    });
    all.push(Small { wishes: vec![CTRL_C, CTRL_C, CTRL_C], ..small("Ctrl-C thrice", c.clone()) });
    c.readiness_on_drain = ReadinessOnDrain::Keep;
    c.exit_codes.forced = Some(99);
    c.kill_reserve = Duration::ZERO;
    let stuck = Small { unkillable: Some(0), stragglers: 1, ..small("unkillable, with a daemon, nothing reserved", c) };
    all.push(stuck);

    let diagnose = Some(Diagnose { signal: Signal::QUIT, wait: S(1) });
    let pair = vec![
        Process { stop: rungs(&[(Signal::TERM, Some(S(1)))]), diagnose, ..process(0) },
        Process { after: vec![(0, Condition::Started)], diagnose, ..process(1) },
    ];
    let mut c = config(pair);
    c.grace = S(6);
    c.exit_codes.forced = Some(99);
    let restart = Wish::Order(Order::Restart { process: "p0".into() });
    all.push(Small { wishes: vec![restart, TERM], ..small("a diagnosis before SIGKILL", c) });

    let wishes = vec![Wish::Suspend(0, false), Wish::Suspend(0, true), Wish::Suspend(0, false), TERM];
    all.push(Small { wishes, ..small("stopped by a signal, and continued", config(vec![process(0), process(1)])) });

    let pair = vec![
        Process { stop: rungs(&[(Signal::TERM, Some(S(1)))]), ..process(0) },
        Process { after: vec![(0, Condition::Started)], pre_stop: Some(Box::new(exec("pre_stop 1"))), ..process(1) },
    ];
    let mut c = config(pair);
    c.drain = vec![step(vec![exec("drain 0 0"), Task::new("drain 0 1", Handler::Sleep(S(1)))])];
    all.push(Small { stragglers: 1, ..small("two in order, pre_stop, parallel drain, a daemon", c) });

    let chain = vec![
        Process { on_exit: OnExit::StopOnFailure, ..process(0) },
        Process { after: vec![(0, Condition::Completed)], ..process(1) },
        Process { after: vec![(1, Condition::Ready)], readiness: Some(probe()), main: true, ..process(2) },
    ];
    let mut c = config(chain);
    c.drain = vec![step(vec![exec("drain 0 0")])];
    all.push(small("three: completed, ready", c));

    let hooked = Process { restart: Restart::OnFailure, post_exit: vec![exec("post_exit 0 0")], ..process(0) };
    let c = config(vec![hooked, Process { after: vec![(0, Condition::Started)], ..process(1) }]);
    all.push(Small { leaves: true, ..small("a hook at every end", c) });

    let pair = vec![
        Process { restart: Restart::Always, ..process(0) },
        Process { after: vec![(0, Condition::Started)], autostart: false, ..process(1) },
    ];
    let hold = |p: &str| Wish::Order(Order::Stop { wait: true, process: Some(p.into()) });
    let start = |p: &str| Wish::Order(Order::Start { process: p.into() });
    let wishes = vec![hold("p0"), start("p1"), start("p0"), TERM];
    all.push(Small { wishes, ..small("held down and released by order", config(pair)) });

    let pair = vec![process(0), Process { after: vec![(0, Condition::Started)], ..process(1) }];
    let mut c = config(pair);
    c.grace = S(6);
    c.drain = vec![step(vec![exec("drain 0 0")])];
    let restart = Wish::Order(Order::Restart { process: "p0".into() });
    all.push(Small { wishes: vec![DRAIN, TERM, Wish::Leave], ..small("a drain by order, then SIGTERM", c.clone()) });
    all.push(Small { wishes: vec![restart, TERM], ..small("a restart by order", c) });

    let pauses = |n| Limits { pauses: n, ..Limits::default() };
    let ladder = rungs(&[(Signal::QUIT, Some(S(1))), (Signal::TERM, Some(S(1)))]);
    let mut c = config(vec![Process { stop: ladder.clone(), diagnose, ..process(0) }]);
    c.grace = S(10);
    c.exit_codes.forced = Some(99);
    c.drain = vec![step(vec![exec("drain 0 0")])];
    c.post_stop = vec![step(vec![exec("post_stop 0 0")])];
    all.push(Small { limits: pauses(2), ..small("paused in a ladder", c.clone()) });
    c.processes.push(Process { stop: ladder, after: vec![(0, Condition::Started)], ..process(1) });
    c.drain.clear();
    all.push(Small { limits: pauses(1), ..small("paused, two in order", c.clone()) });
    c.processes = vec![Process { readiness: Some(probe()), liveness: Some(probe()), ..process(0) }];
    c.grace = S(4);
    all.push(Small {
        limits: pauses(1),
        stragglers: 1,
        leaves: true,
        ..small("paused with probes, stragglers and a daemon", c)
    });

    // The two largest: the last are searched first.
    let probed = Process {
        restart: Restart::Always,
        startup: Some(probe()),
        readiness: Some(probe()),
        liveness: Some(Box::new(Probe { failure_threshold: 2, ..*probe() })),
        pre_stop: Some(Box::new(exec("pre_stop 0"))),
        ..process(0)
    };
    let mut c = config(vec![probed]);
    c.init = vec![Task { on_failure: OnFailure::Stop, ..exec("init 0") }];
    c.drain = vec![step(vec![exec("drain 0 0")])];
    all.push(Small {
        wishes: vec![TERM, CTRL_C],
        quick: false,
        ..small("init, every probe, a restart in the stop", c)
    });

    let crash = Process {
        restart: Restart::OnFailure,
        max_restarts: Some(1),
        on_exit: OnExit::Continue,
        post_start: vec![Task { on_failure: OnFailure::Restart, ..exec("post_start 0 0") }],
        ..process(0)
    };
    let mut c = config(vec![crash, Process { on_exit: OnExit::Continue, ..process(1) }]);
    c.exit_codes.map = [(3, 33)].into();
    all.push(Small {
        horizon: At::from_millis(3_000),
        leaves: true,
        ..small("crash loop, post_start, nobody is main", c)
    });
    all
}
