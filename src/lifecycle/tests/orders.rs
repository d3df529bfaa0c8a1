//! What orders over the control socket set in motion.

use std::time::Duration;

use super::super::action::{Action, Answer};
use super::super::event::{Client, Event, Exit, Order, RequestId, Sender};
use super::{Bench, WEB, config, finished, sent, spawns};
use crate::config::platform::Platform;
use crate::config::{Config, Handler, OnExit, ReadinessOnDrain, Restart, Rung, Step, Task, When};
use crate::facts::Effect;
use crate::report::{NotSent, Note, Refusal};
use crate::signal::Signal;

const ROOT: Client = Client::Local { uid: 0, pid: 12 };
const S: fn(u64) -> Duration = Duration::from_secs;

impl Bench {
    fn order(&mut self, ask: u64, order: Order) -> Vec<Action> {
        self.feed(Event::Ordered { ask: RequestId(ask), order, by: ROOT })
    }

    /// Time passes up to `at`, deadline by deadline.
    fn until(&mut self, at: Duration) -> Vec<Action> {
        let at = super::At::ZERO + at;
        let mut actions = Vec::new();
        while let Some(next) = self.machine.next_deadline().filter(|next| *next <= at) {
            assert!(next > self.now || !self.machine.stopping(), "it would spin at {next:?}: {:?}", self.machine);
            self.now = next;
            actions.extend(self.feed(Event::Tick));
        }
        self.now = at;
        actions
    }
}

fn answer(actions: &[Action], ask: u64) -> Option<&Answer> {
    actions.iter().find_map(|a| match a {
        Action::Answer { ask: RequestId(n), answer } if *n == ask => Some(answer),
        _ => None,
    })
}

#[track_caller]
fn done(actions: &[Action], ask: u64) -> String {
    match answer(actions, ask) {
        Some(Answer::Done(done)) => done.to_string(),
        other => panic!("{other:?} in {actions:?}"),
    }
}

#[track_caller]
fn refused(actions: &[Action], ask: u64) -> String {
    match answer(actions, ask) {
        Some(Answer::Refused(why)) => why.to_string(),
        other => panic!("{other:?} in {actions:?}"),
    }
}

fn effect(actions: &[Action]) -> Option<Effect> {
    actions.iter().find_map(|a| match a {
        Action::Note(Note::StopAgain { effect, .. }) => Some(*effect),
        _ => None,
    })
}

fn sleep(name: &str, seconds: u64) -> Step {
    Step {
        tasks: vec![Task::new(name, Handler::Sleep(S(seconds)))],
        reserve: None,
        essential: false,
        when: When::Requested,
    }
}

/// A drain of five seconds in a grace of thirty, up and running.
fn draining_bench(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::new(config(|c| {
        c.drain.push(sleep("notice", 5));
        change(c);
    }));
    bench.feed(Event::Begin);
    bench
}

const DRAIN: Order = Order::Drain { wait: true };

fn restart(name: &str) -> Order {
    Order::Restart { process: name.into() }
}

fn start(name: &str) -> Order {
    Order::Start { process: name.into() }
}

// === drain ===

#[test]
fn a_signal_that_reached_nobody_is_refused() {
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    let order = Order::Signal { process: "web".into(), signal: Signal::HUP };
    let by = Client::Local { uid: 0, pid: 1 };
    let asked = bench.feed(Event::Ordered { ask: RequestId(9), order, by });
    assert!(asked.iter().any(|a| matches!(a, Action::SignalByCommand { ask: RequestId(9), .. })), "{asked:?}");
    assert!(!asked.iter().any(|a| matches!(a, Action::Answer { .. })), "not before it is known: {asked:?}");
    let error = Some(NotSent::NotPermitted);
    let answered = bench.feed(Event::SignalAnswered { ask: RequestId(9), process: WEB, signal: Signal::HUP, error });
    let refused = |a: &Action| matches!(a, Action::Answer { answer: Answer::Refused(Refusal::NotSent { .. }), .. });
    assert!(answered.iter().any(refused), "{answered:?}");
}

/// The ladder goes on, and nothing says that it was sent.
#[test]
fn a_rung_that_reached_nobody_is_not_named() {
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    bench.signal(Signal::TERM, Sender::Outside);
    bench.feed(Event::NotSent { process: WEB, signal: Signal::TERM });
    let (_, actions) = bench.wait();
    let after =
        actions.iter().find_map(|a| if let Action::Kill { because, .. } = a { Some(because.after) } else { None });
    assert_eq!(after, Some(None), "{actions:?}");
}

#[test]
fn a_drain_is_idempotent_before_during_and_after() {
    let mut bench = draining_bench(|_| {});
    bench.signal(Signal::TERM, Sender::Outside);
    bench.until(S(2));
    assert_eq!(answer(&bench.order(1, DRAIN), 1), None, "SIGTERM came first: the same drain is waited for");
    assert_eq!(answer(&bench.order(2, DRAIN), 2), None);
    let end = bench.machine.end();
    let over = bench.until(S(5));
    assert_eq!((done(&over, 1), done(&over, 2)), ("drained in 5.0s".to_string(), "drained in 5.0s".to_string()));
    assert_eq!(sent(&over), [Signal::TERM], "and the stop goes on: it was requested");
    assert_eq!(done(&bench.order(3, DRAIN), 3), "drained in 5.0s");
    assert_eq!(bench.machine.end(), end);
}

#[test]
fn a_repeated_drain_does_not_end_the_hold_but_a_stop_order_does() {
    let mut bench = draining_bench(|_| {});
    bench.order(1, DRAIN);
    bench.until(S(5));
    assert!(sent(&bench.order(2, DRAIN)).is_empty());
    let stop = bench.order(3, Order::Stop { wait: true, process: None });
    assert_eq!(sent(&stop), [Signal::TERM]);
    bench.ends(0);
    bench.feed(Event::Alone);
    let end = bench.feed(Event::Alone);
    assert_eq!(finished(&end), Some(0));
    assert!(done(&end, 3).starts_with("stopped in 5.0s of 30.0s (softstop drain by uid 0, pid 12)"), "{end:?}");
}

#[test]
fn sigterm_in_an_open_drain_call_moves_the_deadline_up_to_what_the_kubelet_leaves() {
    let mut bench = draining_bench(|c| c.drain[0] = sleep("long", 20));
    bench.order(1, DRAIN);
    bench.until(S(10));
    let term = bench.signal(Signal::TERM, Sender::Outside);
    assert_eq!(effect(&term), Some(Effect::HookTimedOut), "{term:?}");
    assert_eq!(bench.machine.end(), Some(super::At::ZERO + S(12)));
    assert!(refused(&term, 1).contains("long (cut short"), "{term:?}");
    assert_eq!(sent(&term), [Signal::TERM], "the processes have what is left: the drain is cut at once");
    // Deadline 1.5 s after SIGTERM, half a second to kill; a little is kept to reap in.
    let (waited, kill) = bench.wait();
    assert_eq!(sent(&kill), [Signal::KILL]);
    assert!(waited >= Duration::from_millis(1200) && waited <= Duration::from_millis(1500), "{waited:?}");
    // The process does not end; nothing may wait for it.
    while !bench.machine.finished() {
        let mut actions = bench.wait().1;
        while actions.contains(&Action::Census) {
            actions = bench.feed(Event::NotAlone);
        }
    }
    assert!(bench.now <= super::At::ZERO + S(12), "{:?}", bench.now);
}

#[test]
fn only_the_kubelets_sigterm_in_the_call_it_waits_for_moves_the_deadline() {
    let end = |act: &dyn Fn(&mut Bench)| {
        let mut bench = draining_bench(|_| {});
        bench.order(1, DRAIN);
        bench.until(S(1));
        act(&mut bench);
        bench.machine.end().map(|end| end.since_start())
    };
    let term = |sender| move |bench: &mut Bench| drop(bench.signal(Signal::TERM, sender));
    assert_eq!(end(&term(Sender::Outside)), Some(S(3)));
    assert_eq!(end(&term(Sender::Process(7))), Some(S(30)), "one of our own is no kubelet");
    assert_eq!(end(&term(Sender::Terminal)), Some(S(30)));
    let gone = |bench: &mut Bench| {
        bench.feed(Event::ClientGone { ask: RequestId(1) });
        bench.signal(Signal::TERM, Sender::Outside);
    };
    assert_eq!(end(&gone), Some(S(30)), "nobody waits any more: the hook was ended before its time");
    let twice = |bench: &mut Bench| {
        bench.signal(Signal::TERM, Sender::Process(7));
        bench.signal(Signal::TERM, Sender::Outside);
    };
    assert_eq!(end(&twice), Some(S(30)), "a duplicate changes nothing");
}

#[test]
fn a_deadline_that_is_nearer_already_does_not_move() {
    let mut bench = draining_bench(|c| c.grace = Duration::from_millis(2500));
    bench.order(1, DRAIN);
    bench.until(S(1));
    bench.signal(Signal::TERM, Sender::Outside);
    assert_eq!(bench.machine.end(), Some(super::At::from_millis(2500)), "never beyond T0 + grace");
}

#[test]
fn the_signal_that_follows_a_drain_is_the_one_that_is_passed_on() {
    let mut bench = draining_bench(|c| c.processes[0].stop_as_received = true);
    bench.order(1, DRAIN);
    bench.until(S(5));
    assert_eq!(sent(&bench.signal(Signal::QUIT, Sender::Outside)), [Signal::QUIT]);
}

#[test]
fn a_signal_that_asks_for_a_stop_under_way_is_not_passed_on() {
    let mut bench = draining_bench(|c| c.processes[0].stop_as_received = true);
    bench.order(1, Order::Stop { wait: false, process: None });
    bench.signal(Signal::QUIT, Sender::Outside);
    assert_eq!(
        sent(&bench.until(S(5))),
        [Signal::TERM],
        "the order counts as SIGTERM, and a duplicate changes nothing"
    );
}

#[test]
fn without_waiting_an_order_is_answered_at_once() {
    let mut bench = draining_bench(|_| {});
    assert_eq!(done(&bench.order(1, Order::Drain { wait: false }), 1), "draining; SIGKILL to what is left in 29.0s");
    let mut bench = draining_bench(|_| {});
    assert_eq!(
        done(&bench.order(1, Order::Stop { wait: false, process: None }), 1),
        "stopping; SIGKILL to what is left in 29.0s"
    );
}

#[test]
fn an_order_before_anything_was_started_counts_as_sigterm() {
    let mut bench = Bench::new(config(|_| {}));
    let actions = bench.order(1, Order::Stop { wait: true, process: None });
    assert_eq!(spawns(&actions), 0);
    bench.feed(Event::Alone);
    let end = bench.feed(Event::Alone);
    assert_eq!(finished(&end), Some(143));
    done(&end, 1);
}

// === ready, unready ===

#[test]
fn unready_and_ready_are_by_hand_and_end_with_the_stop() {
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    assert!(bench.machine.ready());
    done(&bench.order(1, Order::Unready), 1);
    assert!(!bench.machine.ready());
    assert!(bench.machine.status(bench.now).unready && bench.machine.live());
    assert_eq!(done(&bench.order(2, Order::Unready), 2), "unready already");
    assert_eq!(done(&bench.order(3, Order::Ready), 3), "ready");
    assert!(bench.machine.ready());
    bench.signal(Signal::TERM, Sender::Outside);
    assert!(refused(&bench.order(4, Order::Ready), 4).contains("SIGTERM from outside the container"));
    assert!(!bench.machine.ready());
}

#[test]
fn kept_readiness_can_still_be_taken_away_but_never_given_back() {
    let mut bench = draining_bench(|c| c.readiness_on_drain = ReadinessOnDrain::Keep);
    bench.signal(Signal::TERM, Sender::Outside);
    assert!(bench.machine.ready());
    done(&bench.order(1, Order::Unready), 1);
    refused(&bench.order(2, Order::Ready), 2);
    assert!(!bench.machine.ready());
}

// === one process ===

#[test]
fn a_restart_stops_by_the_ladder_and_starts_again_at_once() {
    let mut bench = Bench::new(config(|c| {
        c.processes[0].restart = Restart::Never;
        c.processes[0].stop = vec![Rung { signal: Signal::QUIT, wait: Some(S(3)) }];
    }));
    bench.feed(Event::Begin);
    let asked = bench.order(1, restart("web"));
    assert_eq!((sent(&asked), answer(&asked, 1)), (vec![Signal::QUIT], None));
    let (waited, kill) = bench.wait();
    assert_eq!((waited, sent(&kill)), (S(3), vec![Signal::KILL]));
    let again = bench.ends(137);
    assert_eq!(spawns(&again), 1, "no back-off, whatever the policy: {again:?}");
    assert_eq!(done(&again, 1), "web: started (pid 102)");
    assert!(!bench.machine.stopping());
    assert_eq!(bench.machine.status(bench.now).processes[0].restarts, 1);
    // The next end is its policy's again.
    bench.ends(1);
    assert!(bench.machine.stopping());
}

#[test]
fn a_restart_joins_what_is_under_way_and_cuts_the_back_off_short() {
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    bench.order(1, restart("web"));
    assert!(sent(&bench.order(2, restart("web"))).is_empty(), "stopped once");
    let again = bench.ends(0);
    assert_eq!(
        (spawns(&again), done(&again, 1), done(&again, 2)),
        (1, "web: started (pid 102)".to_string(), "web: started (pid 102)".to_string())
    );
    assert_eq!(spawns(&bench.ends(1)), 0, "back-off");
    let now = bench.order(3, start("web"));
    assert_eq!((spawns(&now), done(&now, 3)), (1, "web: started (pid 103)".to_string()));
    assert_eq!(done(&bench.order(4, start("web")), 4), "web is running already (pid 103)");
}

#[test]
fn a_process_that_has_ended_for_good_can_be_started() {
    let mut bench = Bench::new(config(|c| {
        c.processes.push(crate::config::Process::new("job", vec!["job".into()]));
        c.processes[0].restart = Restart::Never;
        c.processes[0].on_exit = OnExit::Continue;
    }));
    // The bench answers every spawn as the first process's, which is the one this is about.
    let actions = bench.machine.step(bench.now, Event::Begin);
    assert_eq!(spawns(&actions), 1);
    for process in [0, 1] {
        let _ = bench.machine.step(bench.now, Event::Spawned { process: super::ProcId(process), pid: 50 });
    }
    bench.ends(0);
    let again = bench.order(1, start("web"));
    assert_eq!(spawns(&again), 1, "{again:?}");
    done(&again, 1);
}

#[test]
fn nothing_is_started_after_the_stop_was_requested() {
    let mut bench = draining_bench(|_| {});
    bench.order(1, restart("web"));
    let stop = bench.signal(Signal::TERM, Sender::Outside);
    assert!(refused(&stop, 1).contains("requested meanwhile"));
    for (ask, order) in [(2, restart("web")), (3, start("web"))] {
        assert!(refused(&bench.order(ask, order), ask).contains("nothing is started any more"));
    }
    assert_eq!(spawns(&bench.ends(0)) + spawns(&bench.until(S(10))), 0);
}

#[test]
fn a_start_that_fails_says_why() {
    use super::super::event::{SpawnError, SpawnErrorKind};
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    bench.order(1, restart("web"));
    let _ = bench.machine.step(bench.now, Event::Exited { process: WEB, status: Exit::Code(0) });
    let _ = bench.machine.step(bench.now, Event::GroupEmpty { process: WEB });
    let error = SpawnError { kind: SpawnErrorKind::NotFound, text: "web: no such program".into() };
    let failed = bench.machine.step(bench.now, Event::SpawnFailed { process: WEB, error });
    assert!(refused(&failed, 1).contains("no such program"), "{failed:?}");
}

#[test]
fn a_signal_goes_to_a_running_process_alone() {
    let mut bench = Bench::new(config(|_| {}));
    let order = |name: &str| Order::Signal { process: name.into(), signal: Signal::USR1 };
    bench.feed(Event::Begin);
    let given = bench.order(1, order("web"));
    let by_order = |a: &Action| matches!(a, Action::SignalByCommand { process: WEB, signal: Signal::USR1, .. });
    assert!(given.iter().any(by_order), "{given:?}");
    let sent = Event::SignalAnswered { ask: RequestId(1), process: WEB, signal: Signal::USR1, error: None };
    assert_eq!(done(&bench.feed(sent), 1), "web: SIGUSR1 sent (pid 101)");
    assert_eq!(refused(&bench.order(2, order("wbe")), 2), "there is no process \"wbe\": did you mean web?");
    bench.ends(1);
    assert_eq!(refused(&bench.order(3, order("web")), 3), "web is not running");
}

#[test]
fn an_order_before_the_start_is_over_says_what_is_waited_for() {
    let task = Task::new("migrate", Handler::Exec(vec!["migrate".into()]));
    let mut bench = Bench::new(config(|c| c.init.push(task)));
    bench.feed(Event::Begin);
    assert!(refused(&bench.order(1, restart("web")), 1).contains("init tasks are running"));
}

/// Only a hook shows when the kubelet's timer has run out: without one nobody inside can know how much there is.
#[test]
fn a_pod_whose_drain_no_hook_has_announced_is_told_so_once() {
    let says = |platform, steps: bool, hook: bool, sender| {
        let mut bench = draining_bench(|c| {
            c.platform = platform;
            if !steps {
                c.drain.clear();
            }
        });
        let mut actions = if hook { bench.order(1, Order::Drain { wait: true }) } else { Vec::new() };
        for _ in 0..2 {
            actions.extend(bench.feed(Event::Signalled { signal: Signal::TERM, sender, program: None }));
        }
        actions.iter().filter(|a| matches!(a, Action::Note(Note::NoHook))).count()
    };
    use Platform::{Kubernetes, Unknown};
    assert_eq!(says(Kubernetes, true, false, Sender::Outside), 1);
    for (platform, steps, hook, sender) in [
        (Kubernetes, true, true, Sender::Outside),
        (Kubernetes, false, false, Sender::Outside),
        (Kubernetes, true, false, Sender::Terminal),
        (Kubernetes, true, false, Sender::Process(7)),
        (Unknown, true, false, Sender::Outside),
    ] {
        assert_eq!(says(platform, steps, hook, sender), 0, "{platform:?} {steps} {hook} {sender:?}");
    }
}
