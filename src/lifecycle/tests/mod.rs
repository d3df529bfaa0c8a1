//! What neither the random worlds of tests/core/simulation.rs count nor a scenario of tests/scenarios can tell: sends that reach nobody, a crowd, an
//! order before the beginning, another configuration, files that change.

mod changes;
mod orders;
mod reload;
mod stopping;
mod stragglers;
mod world;

use std::time::Duration;

use super::Machine;
use super::action::{Action, What};
use super::event::{Client, Event, Exit, Order, Outcome, ProcId, RequestId, RunId, Sender};
use crate::config::{
    Concurrency, Config, Handler, OnExit, Probe, Process, Restart, Rung, Schedule, Step, StopOn, Task, When,
};
use crate::facts::{Failure, Place, Who};
use crate::plan::Plan;
use crate::report::Note;
use crate::schedule::expression::Expression;
use crate::signal::Signal;
use crate::time::At;
use world::World;

const WEB: ProcId = ProcId(0);

/// A machine with its clock, and everything it has asked for since the last look.
struct Bench {
    machine: Machine,
    now: At,
    pid: i32,
}

impl Bench {
    fn new(config: Config) -> Bench {
        Bench { machine: Machine::new(Plan::new(config)), now: At::ZERO, pid: 100 }
    }

    fn feed(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.machine.step(self.now, event);
        if actions.iter().any(|a| matches!(a, Action::Spawn { .. })) {
            self.pid += 1;
            actions.extend(self.machine.step(self.now, Event::Spawned { process: WEB, pid: self.pid }));
        }
        actions
    }

    /// To the next deadline.
    fn wait(&mut self) -> Vec<Action> {
        self.now = self.machine.next_deadline().expect("something is timed");
        self.feed(Event::Tick)
    }

    fn ends(&mut self, code: u8) -> Vec<Action> {
        let mut actions = self.feed(Event::Exited { process: WEB, status: Exit::Code(code) });
        actions.extend(self.feed(Event::GroupEmpty { process: WEB }));
        actions
    }

    fn signal(&mut self, signal: Signal, sender: Sender) -> Vec<Action> {
        self.feed(Event::Signalled { signal, sender, program: None })
    }

    /// SIGTERM of the runtime: the container's stop.
    fn stop(&mut self) -> Vec<Action> {
        self.signal(Signal::TERM, Sender::Outside)
    }

    fn order(&mut self, order: Order) -> Vec<Action> {
        self.feed(Event::Ordered { ask: RequestId(1), order, by: Client::Local { uid: 0, pid: 12 } })
    }

    /// The leader has ended; what it has left in its group has not.
    fn leader_ends(&mut self, code: u8) -> Vec<Action> {
        self.feed(Event::Exited { process: WEB, status: Exit::Code(code) })
    }

    fn at(&mut self, millis: u64, event: Event) -> Vec<Action> {
        self.now = At::from_millis(millis);
        self.feed(event)
    }
}

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::with_defaults();
    config.processes.push(Process::new("web", vec!["web".into()]));
    change(&mut config);
    config
}

fn spawns(actions: &[Action]) -> usize {
    actions.iter().filter(|a| matches!(a, Action::Spawn { .. })).count()
}

fn sent(actions: &[Action]) -> Vec<Signal> {
    let signal = |a: &Action| match a {
        Action::Signal { signal, .. } => Some(*signal),
        Action::Kill { .. } => Some(Signal::KILL),
        _ => None,
    };
    actions.iter().filter_map(signal).collect()
}

fn finished(actions: &[Action]) -> Option<u8> {
    actions.iter().find_map(|a| match a {
        Action::Finish { code } => Some(*code),
        _ => None,
    })
}

/// Told of late, when its time is over by the clock: it ended in time all the same, and so did the hook before it.
#[test]
fn what_is_told_before_the_clock_was_in_time() {
    let mut bench = Bench::new(config(|c| {
        let mut hook = Task::new("hook", Handler::Exec(vec!["hook".into()]));
        hook.timeout = Some(Duration::from_millis(100));
        c.drain.push(Step { tasks: vec![hook], reserve: None, essential: false, when: When::Requested });
        c.processes[0].stop = vec![Rung { signal: Signal::TERM, wait: Some(Duration::from_millis(100)) }];
    }));
    bench.feed(Event::Begin);
    let actions = bench.signal(Signal::TERM, Sender::Outside);
    let run = run_of(&actions);
    bench.now = At::from_millis(500);
    let actions = bench.machine.record_late(bench.now, Event::RunDone { run, outcome: Outcome::Ok });
    assert!(actions.is_empty(), "nothing follows before the clock is asked: {actions:?}");
    let actions = bench.feed(Event::Tick);
    assert_eq!(sent(&actions), [Signal::TERM], "the hook is done, not cut, and the process has its whole ladder");
    bench.now = At::from_millis(900);
    let mut actions = bench.machine.record_late(bench.now, Event::Exited { process: WEB, status: Exit::Code(0) });
    actions.extend(bench.machine.record_late(bench.now, Event::GroupEmpty { process: WEB }));
    actions.extend(bench.feed(Event::Tick));
    assert!(sent(&actions).is_empty(), "nobody is left to kill: {actions:?}");
}

/// Whatever the kernel sends about softstop itself is no word to the program, whoever asks for it to be one, and is said once.
#[test]
fn a_signal_of_the_kernel_about_softstop_is_nobody_elses() {
    for number in 1..=64 {
        let signal = Signal::from_number(number).unwrap();
        let mut bench = Bench::new(config(|c| c.stop_on = StopOn::Only(vec![Signal::TERM, signal])));
        bench.feed(Event::Begin);
        let said = bench.signal(signal, Sender::Kernel);
        let limit = [Signal::XCPU, Signal::XFSZ].contains(&signal);
        assert_eq!(said.len(), usize::from(limit), "{signal}: {said:?}");
        assert!(said.iter().all(|a| matches!(a, Action::Note(Note::OwnLimitReached { .. }))), "{signal}: {said:?}");
        assert_eq!(bench.signal(signal, Sender::Kernel), [], "{signal} again");
        assert!(!bench.machine.stopping(), "{signal}");
        assert_eq!(sent(&bench.signal(Signal::TERM, Sender::Outside)), [Signal::TERM]);
        assert_eq!(bench.signal(signal, Sender::Kernel), [], "{signal} during the stop");
    }
}

/// The deadline's SIGKILL to stragglers is said and counts like their own would have, that softstop was too late for.
#[test]
fn stragglers_that_the_deadline_kills_were_forced() {
    let mut bench = Bench::new(config(|c| c.exit_codes.forced = Some(79)));
    bench.feed(Event::Begin);
    bench.signal(Signal::TERM, Sender::Outside);
    bench.ends(0);
    let actions = bench.feed(Event::NotAlone);
    assert!(actions.iter().any(|a| matches!(a, Action::SignalStragglers { signal: Signal::TERM, .. })), "{actions:?}");
    bench.now = At::ZERO + Config::with_defaults().grace - Config::with_defaults().kill_reserve;
    let actions = bench.feed(Event::Tick);
    assert!(actions.contains(&Action::KillEverything), "{actions:?}");
    let said = |a: &Action| matches!(a, Action::Note(Note::OutOfTime { still_running }) if still_running.contains(&Who::Stragglers));
    assert!(actions.iter().any(said), "{actions:?}");
    assert_eq!(finished(&bench.feed(Event::Alone)), Some(79));
}

/// 4 ms for each, a quarter of the grace at most; and twice what softstop has waited for the processor, likewise.
#[test]
fn what_kills_a_crowd_begins_earlier_by_number_and_by_want_of_processor_time() {
    for (processes, waited, earlier) in [
        (0, 0, 0),
        (200, 0, 800),
        (1000, 0, 4000),
        (100_000, 0, 7500),
        (200, 1000, 2800),
        (200, 4000, 8300),
        (100_000, 100_000, 15_000),
    ] {
        let mut bench = Bench::new(config(|c| c.grace = Duration::from_secs(30)));
        bench.feed(Event::Begin);
        bench.signal(Signal::TERM, Sender::Outside);
        bench.ends(0);
        bench.feed(Event::NotAlone);
        bench.feed(Event::Crowd { processes, waited: Duration::from_millis(waited) });
        // One that has shrunk, or got the processor since, gives nothing back.
        bench.feed(Event::Crowd { processes: processes / 2, waited: Duration::ZERO });
        let at = At::from_millis(30_000) - bench.machine.plan().config.kill_reserve - Duration::from_millis(earlier);
        bench.now = at - Duration::from_micros(1);
        assert!(!bench.feed(Event::Tick).contains(&Action::KillEverything), "{processes} {waited}");
        bench.now = at;
        assert!(bench.feed(Event::Tick).contains(&Action::KillEverything), "{processes} {waited}");
    }
}

/// Of a crowd some take long to die: they are waited for as long as was set aside for that, and not past the end.
#[test]
fn a_crowd_has_the_time_that_was_set_aside_for_its_end() {
    for (processes, waited) in [(0, 1000), (200, 1800), (1000, 5000)] {
        let mut bench = Bench::new(config(|c| c.grace = Duration::from_secs(30)));
        bench.feed(Event::Begin);
        bench.signal(Signal::TERM, Sender::Outside);
        bench.feed(Event::Crowd { processes, waited: Duration::ZERO });
        bench.now = At::from_millis(30_000 - 1000 - 4 * processes as u64);
        assert!(bench.feed(Event::Tick).contains(&Action::KillEverything), "{processes}");
        let end = (bench.now + Duration::from_millis(waited)).min(At::from_millis(29_500));
        while bench.now + Duration::from_millis(100) < end {
            bench.now = bench.now + Duration::from_millis(100);
            assert_eq!(finished(&bench.feed(Event::Tick)), None, "{processes}");
        }
        bench.now = end;
        assert!(finished(&bench.feed(Event::Tick)).is_some(), "{processes}");
    }
}

fn hook(name: &str, timeout: u64) -> Task {
    Task { timeout: Some(Duration::from_secs(timeout)), ..Task::new(name, Handler::Exec(vec!["hook".into()])) }
}

/// A minute's hook, for which so much is held.
fn post_stop(c: &mut Config, reserve: Duration) {
    let tasks = vec![hook("last", 60)];
    c.post_stop.push(Step { tasks, reserve: Some(reserve), essential: false, when: When::Always });
}

fn hourly() -> Option<Box<Schedule>> {
    let cron = Expression::parse("@hourly").unwrap();
    Some(Box::new(Schedule { cron, time_zone: None, concurrency: Concurrency::Forbid, jitter: Duration::ZERO }))
}

fn run_of(actions: &[Action]) -> RunId {
    let run = |a: &Action| if let Action::Run { run, .. } = a { Some(*run) } else { None };
    actions.iter().find_map(run).expect("a hook is run")
}

/// What an earlier run was sent is no excuse for how a later one ends.
#[test]
fn a_signal_sent_to_an_earlier_run_excuses_nothing() {
    let mut bench = Bench::new(config(|c| {
        let probe = Probe::new(Handler::Exec(vec!["probe".into()]));
        c.processes[0].liveness = Some(Box::new(Probe { failure_threshold: 1, ..probe }));
        let rung = |signal, secs| Rung { signal, wait: Some(Duration::from_secs(secs)) };
        c.processes[0].stop = vec![rung(Signal::INT, 1), rung(Signal::TERM, 1)];
        // A second process, so that there is no main one whose code would count anyway.
        let never = crate::config::Condition::Completed;
        c.processes.push(Process { after: vec![(0, never)], ..Process::new("job", vec!["job".into()]) });
    }));
    let probe = run_of(&bench.feed(Event::Begin));
    bench.feed(Event::RunDone { run: probe, outcome: Outcome::failed("no") });
    // Its restart takes SIGINT and SIGTERM.
    assert_eq!(sent(&bench.wait()), [Signal::TERM]);
    bench.ends(0);
    bench.wait();
    bench.signal(Signal::TERM, Sender::Outside);
    // Its next run has had SIGINT alone when it ends as if by SIGTERM.
    bench.ends(143);
    bench.feed(Event::Alone);
    assert_eq!(finished(&bench.feed(Event::Alone)), Some(143));
}

#[test]
fn of_the_runs_of_a_scheduled_task_the_last_five_are_remembered() {
    let mut bench = Bench::new(config(|c| {
        c.processes[0].schedule = hourly();
        (c.processes[0].autostart, c.processes[0].on_exit) = (false, OnExit::Continue);
    }));
    bench.feed(Event::Begin);
    for code in 0..7 {
        assert_eq!(spawns(&bench.at(3_600_000 * u64::from(code), Event::Scheduled { process: WEB })), 1);
        bench.ends(code);
    }
    let status = bench.machine.status(bench.now);
    let schedule = status.processes[0].schedule.as_ref().unwrap();
    assert_eq!((schedule.succeeded, schedule.failed), (1, 6));
    assert_eq!(schedule.last_runs.iter().map(|run| run.exit_code).collect::<Vec<_>>(), [6, 5, 4, 3, 2]);
}

/// A window that changes its size does so all the time; from anybody else it is as any signal that nobody gets.
#[test]
fn of_a_signal_that_nobody_gets_is_said_but_for_what_comes_by_itself() {
    let mut bench = Bench::new(config(|c| c.processes.push(Process::new("other", vec!["other".into()]))));
    bench.feed(Event::Begin);
    let mut ignored = |signal, sender| {
        bench.signal(signal, sender).iter().any(|a| matches!(a, Action::Note(Note::SignalIgnored { .. })))
    };
    assert!(!ignored(Signal::WINCH, Sender::Terminal) && !ignored(Signal::CONT, Sender::Outside));
    assert!(ignored(Signal::WINCH, Sender::Outside) && ignored(Signal::USR1, Sender::Terminal));
}

#[test]
fn one_that_is_restarted_has_a_time_to_end_in_whoever_else_runs_on() {
    let mut world = World::new(config(|c| c.processes.push(Process::new("other", vec!["other".into(), "1".into()]))));
    assert!(!world.machine.waits_for_ends());
    world.order(Order::Restart { process: "web".into() });
    assert!(world.machine.waits_for_ends());
}

/// Its own program may mean something else by it; what no program is stopped by is asked of none.
#[test]
fn a_program_is_asked_of_what_may_stop_it() {
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    let asked = |signal, sender| bench.machine.whose_program_decides(signal, sender);
    for signal in [Signal::QUIT, Signal::INT, Signal::WINCH] {
        assert_eq!(asked(signal, Sender::Outside), Some(WEB), "{signal}");
    }
    for signal in [Signal::TERM, Signal::HUP, Signal::CONT] {
        assert_eq!(asked(signal, Sender::Outside), None, "{signal}");
    }
    assert_eq!((asked(Signal::WINCH, Sender::Terminal), asked(Signal::QUIT, Sender::Terminal)), (Some(WEB), None));
}

#[test]
fn a_window_of_restarts_is_over_to_the_microsecond() {
    for (after, up) in [(9_999_999, 0), (10_000_000, 1)] {
        let mut bench = Bench::new(config(|c| {
            let web = &mut c.processes[0];
            (web.restart, web.on_exit) = (Restart::Always, OnExit::Continue);
            (web.max_restarts, web.restart_window) = (Some(1), Some(Duration::from_secs(10)));
            web.backoff.initial = Duration::from_secs(1);
            web.backoff.jitter = 0;
        }));
        bench.feed(Event::Begin);
        bench.ends(1);
        assert_eq!(spawns(&bench.wait()), 1);
        bench.now = At::ZERO + Duration::from_micros(after);
        let mut actions = bench.ends(1);
        let gave_up = actions.iter().any(|a| matches!(a, Action::Note(Note::GaveUp { .. })));
        assert_eq!(gave_up, up == 0, "{actions:?}");
        if !gave_up {
            actions = bench.wait();
        }
        assert_eq!(spawns(&actions), up, "after {after} µs");
    }
}
