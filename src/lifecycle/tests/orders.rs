//! What orders over the control socket set in motion.

use std::time::Duration;

use super::super::action::{Action, Answer};
use super::super::event::{Event, Order, RequestId, Sender};
use super::world::World;
use super::{Bench, WEB, config, finished, spawns};
use crate::config::platform::Platform;
use crate::config::{Config, Handler, Step, Task, When};
use crate::report::{NotSent, Note, Refusal};
use crate::signal::Signal;
use crate::time::At;

/// A drain of five seconds in a grace of thirty, up and running.
fn draining_bench(change: impl FnOnce(&mut Config)) -> Bench {
    let tasks = vec![Task::new("notice", Handler::Sleep(Duration::from_secs(5)))];
    let mut bench = Bench::new(config(|c| {
        c.drain.push(Step { tasks, reserve: None, essential: false, when: When::Requested });
        change(c);
    }));
    bench.feed(Event::Begin);
    bench
}

const DRAIN: Order = Order::Drain { wait: true };

#[test]
fn a_signal_that_reached_nobody_is_refused() {
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    let asked = bench.order(Order::Signal { process: "web".into(), signal: Signal::HUP });
    assert!(asked.iter().any(|a| matches!(a, Action::SignalByCommand { ask: RequestId(1), .. })), "{asked:?}");
    assert!(!asked.iter().any(|a| matches!(a, Action::Answer { .. })), "not before it is known: {asked:?}");
    let error = Some(NotSent::NotPermitted);
    let answered = bench.feed(Event::SignalAnswered { ask: RequestId(1), process: WEB, signal: Signal::HUP, error });
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
    let actions = bench.wait();
    let after =
        actions.iter().find_map(|a| if let Action::Kill { because, .. } = a { Some(because.after) } else { None });
    assert_eq!(after, Some(None), "{actions:?}");
}

#[test]
fn only_the_kubelets_sigterm_in_the_call_it_waits_for_moves_the_deadline() {
    let end = |act: &dyn Fn(&mut Bench)| {
        let mut bench = draining_bench(|_| {});
        bench.order(DRAIN);
        bench.now = At::from_millis(1000);
        act(&mut bench);
        bench.machine.end().map(|end| end.since_start().as_secs())
    };
    let term = |sender| move |bench: &mut Bench| drop(bench.signal(Signal::TERM, sender));
    assert_eq!(end(&term(Sender::Outside)), Some(3));
    assert_eq!(end(&term(Sender::Process(7))), Some(30), "one of our own is no kubelet");
    assert_eq!(end(&term(Sender::Terminal)), Some(30));
    let gone = |bench: &mut Bench| {
        bench.feed(Event::ClientGone { ask: RequestId(1) });
        bench.signal(Signal::TERM, Sender::Outside);
    };
    assert_eq!(end(&gone), Some(30), "nobody waits any more: the hook was ended before its time");
    let twice = |bench: &mut Bench| {
        bench.signal(Signal::TERM, Sender::Process(7));
        bench.signal(Signal::TERM, Sender::Outside);
    };
    assert_eq!(end(&twice), Some(30), "a duplicate changes nothing");
}

#[test]
fn an_order_before_anything_was_started_counts_as_sigterm() {
    let mut bench = Bench::new(config(|_| {}));
    let actions = bench.order(Order::Stop { wait: true, process: None });
    assert_eq!(spawns(&actions), 0);
    bench.feed(Event::Alone);
    let end = bench.feed(Event::Alone);
    assert_eq!(finished(&end), Some(143));
    assert!(end.iter().any(|a| matches!(a, Action::Answer { answer: Answer::Done(_), .. })), "{end:?}");
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
        let mut actions = if hook { bench.order(DRAIN) } else { Vec::new() };
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

/// Who waits for it to be down hears that somebody else has started it meanwhile.
#[test]
fn a_stop_that_another_order_takes_back_is_answered() {
    let mut world = World::new(config(|c| c.processes[0].command.push("1".into())));
    world.order(Order::Stop { wait: true, process: Some("web".into()) });
    assert!(world.answers.is_empty() && world.waiting.len() == 1);
    world.order(Order::Start { process: "web".into() });
    let refused = Answer::Refused(Refusal::StartedAgain { process: "web".into() });
    assert_eq!(world.answers, [refused]);
    world.pass(Duration::from_secs(30));
    assert!(world.waiting.is_empty() && world.up().len() == 1);
}
