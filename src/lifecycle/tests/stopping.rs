//! The stop of one process: what its ladder excuses, what it gets back, how long its death is waited for.

use std::rc::Rc;
use std::time::Duration;

use super::{Bench, WEB, config, finished, hook, post_stop, run_of, sent};
use crate::config::notify::{Notify, NotifyBy};
use crate::config::{Condition, Diagnose, Process, Rung};
use crate::facts::Reason;
use crate::lifecycle::action::Action;
use crate::lifecycle::event::{Event, Exit, Notification, Order, Outcome};
use crate::report::Note;
use crate::signal::Signal;
use crate::time::At;

/// An end by a signal of its ladder is no failure; by one that did not reach it, it is.
#[test]
fn a_signal_that_reached_nobody_excuses_nothing() {
    for (reached, code) in [(true, 0), (false, 143)] {
        let mut bench = Bench::new(config(|c| {
            // A second process, so that there is no main one whose code would count anyway.
            c.processes
                .push(Process { after: vec![(0, Condition::Completed)], ..Process::new("job", vec!["job".into()]) });
        }));
        bench.feed(Event::Begin);
        assert_eq!(sent(&bench.stop()), [Signal::TERM]);
        if !reached {
            bench.feed(Event::NotSent { process: WEB, signal: Signal::TERM });
        }
        bench.ends(143);
        bench.feed(Event::Alone);
        assert_eq!(finished(&bench.feed(Event::Alone)), Some(code), "reached: {reached}");
    }
}

#[test]
fn a_diagnosis_gets_back_what_softstop_has_lost() {
    let second = Duration::from_secs(1);
    let mut bench = Bench::new(config(|c| {
        c.processes[0].stop = vec![Rung { signal: Signal::TERM, wait: Some(second) }];
        c.processes[0].diagnose = Some(Diagnose { signal: Signal::QUIT, wait: second });
    }));
    bench.feed(Event::Begin);
    bench.stop();
    let diagnosed = bench.wait();
    assert!(diagnosed.iter().any(|a| matches!(a, Action::Diagnose { .. })), "{diagnosed:?}");
    let due = bench.machine.next_deadline();
    assert_eq!(due, Some(bench.now + second));
    bench.now = bench.now + second / 2;
    let lost = second / 2;
    assert_eq!(bench.machine.record_late(bench.now, Event::Late { lost }), []);
    assert_eq!(bench.machine.next_deadline(), due.map(|due| due + lost));
}

/// After the deadline nobody but softstop waits for them, and of a crowd many die slowly.
#[test]
fn in_a_crowd_one_that_the_deadline_kills_is_not_given_up_at_once() {
    let gave_up =
        |actions: &[Action]| actions.iter().any(|a| matches!(a, Action::Note(Note::Stopped { exit: None, .. })));
    let mut bench = Bench::new(config(|c| c.grace = Duration::from_secs(30)));
    bench.feed(Event::Begin);
    bench.stop();
    bench.feed(Event::Crowd { processes: 200, waited: Duration::ZERO });
    let killed = bench.at(30_000 - 1000 - 4 * 200, Event::Tick);
    assert!(killed.contains(&Action::KillEverything) && sent(&killed).contains(&Signal::KILL), "{killed:?}");
    for later in [28_400, 28_600, 28_800] {
        let actions = bench.at(later, Event::Tick);
        assert!(!gave_up(&actions) && finished(&actions).is_none(), "at {later}: {actions:?}");
    }
    let status = Exit::Signal { signal: Signal::KILL, core: false };
    let ended = bench.feed(Event::Exited { process: WEB, status });
    assert!(!gave_up(&ended) && bench.now < At::from_millis(30_000), "{ended:?}");
}

/// A quarter of what its stop has; when it is stopped for a restart and the container's stop gives it less, a quarter of that.
#[test]
fn what_is_kept_for_a_hook_at_its_end_shrinks_with_its_time() {
    let mut bench = Bench::new(config(|c| {
        c.grace = Duration::from_secs(30);
        c.processes[0].post_exit = vec![hook("after", 60)];
        post_stop(c, Duration::from_secs(20));
    }));
    bench.feed(Event::Begin);
    bench.order(Order::Restart { process: "web".into() });
    bench.now = At::from_millis(10_000);
    bench.stop();
    while !sent(&bench.wait()).contains(&Signal::KILL) {}
    // Of 30 s 20 are for post_stop, 1 for SIGKILL, a quarter for stragglers.
    let expected = At::from_millis(10_000 + 8_750 / 4 * 3);
    let away = bench.now.since(expected).max(expected.since(bench.now));
    assert!(away < Duration::from_millis(3), "killed at {:?}", bench.now);
}

/// Its hooks keep what is theirs, however much more time it asks for.
#[test]
fn more_time_for_a_stop_is_not_taken_from_what_comes_at_its_end() {
    let killed = |more: u64| {
        let mut bench = Bench::new(config(|c| {
            c.grace = Duration::from_secs(30);
            c.processes[0].stop = vec![Rung { signal: Signal::TERM, wait: Some(Duration::from_secs(2)) }];
            c.processes[0].post_exit = vec![hook("after", 3)];
            c.processes[0].notify = Some(Notify { by: NotifyBy::default(), timeout: None });
        }));
        bench.feed(Event::Begin);
        bench.stop();
        let what = Notification::MoreTime(Duration::from_secs(more));
        bench.feed(Event::Notified { process: WEB, what });
        while !sent(&bench.wait()).contains(&Signal::KILL) {}
        bench.now.since_start().as_secs_f64()
    };
    assert_eq!(killed(2), 2.0);
    assert_eq!(killed(10), 10.0);
    // Of 29 s three are the hook's.
    let most = killed(600);
    assert!((25.0..=26.0).contains(&most), "{most}");
}

/// The stage of the processes ends earlier by what a crowd takes to die, and later by what softstop has lost.
#[test]
fn what_the_processes_have_moves_with_the_deadline_and_with_what_softstop_has_lost() {
    let mut bench = Bench::new(config(|c| {
        c.grace = Duration::from_secs(30);
        post_stop(c, Duration::from_secs(20));
    }));
    bench.feed(Event::Begin);
    bench.stop();
    let until = |bench: &Bench| {
        let left = bench.machine.status(bench.now).stop.expect("it stops").step_deadline_in;
        (bench.now + left).since_start().as_millis()
    };
    assert_eq!(until(&bench), 9000);
    bench.feed(Event::Crowd { processes: 500, waited: Duration::ZERO });
    assert_eq!(until(&bench), 7000);
    bench.now = At::from_millis(6000);
    let lost = Duration::from_secs(6);
    assert_eq!(bench.machine.record_late(bench.now, Event::Late { lost }), []);
    // Of the 21 s that are left its part, and not the second that was.
    assert!(until(&bench) > 10_000, "{} ms", until(&bench));
}

/// Also of one that a reload takes out: it does not come again.
#[test]
fn hooks_are_told_whether_the_process_is_to_come_again() {
    let with = |web: bool| {
        config(|c| {
            c.source = Some("/etc/softstop.toml".into());
            (c.processes[0].pre_stop, c.processes[0].post_exit) = (Some(Box::new(hook("a", 1))), vec![hook("b", 1)]);
            c.processes.push(Process { autostart: false, ..Process::new("other", vec!["other".into()]) });
            c.processes.drain(..usize::from(!web));
        })
    };
    for (order, told) in [
        (Some(Order::Restart { process: "web".into() }), Reason::Restart),
        (Some(Order::Stop { wait: false, process: Some("web".into()) }), Reason::StopRequested),
        (None, Reason::StopRequested),
    ] {
        let mut bench = Bench::new(with(true));
        bench.feed(Event::Begin);
        let mut actions = match order {
            Some(order) => bench.order(order),
            None => bench.feed(Event::Reread { ask: None, dry_run: false, read: Ok(Rc::new(with(false))) }),
        };
        actions.extend(bench.feed(Event::RunDone { run: run_of(&actions), outcome: Outcome::Ok }));
        actions.extend(bench.ends(0));
        let told_to = actions
            .iter()
            .filter_map(|a| if let Action::Run { context, .. } = a { Some(context.reason) } else { None });
        assert_eq!(told_to.collect::<Vec<_>>(), [told; 2], "{actions:?}");
    }
}
