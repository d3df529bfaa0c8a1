//! What a process or the whole container leaves behind: who is signalled again, and how long whom is waited for.

use std::time::Duration;

use super::{Bench, WEB, config, finished, post_stop, sent};
use crate::config::Stragglers;
use crate::lifecycle::action::{Action, Whom};
use crate::lifecycle::event::{Event, Exit};
use crate::report::Note;
use crate::signal::Signal;
use crate::time::At;

fn within(secs: u64) -> Stragglers {
    Stragglers { timeout: Some(Duration::from_secs(secs)), ..Stragglers::default() }
}

/// Signals to stragglers, of a group or of all, in their order.
fn signals(actions: &[Action]) -> Vec<(Signal, Whom)> {
    let signal = |a: &Action| match a {
        Action::SignalGroup { signal, whom, .. } | Action::SignalStragglers { signal, whom } => Some((*signal, *whom)),
        _ => None,
    };
    actions.iter().filter_map(signal).collect()
}

fn runs(actions: &[Action]) -> bool {
    actions.iter().any(|a| matches!(a, Action::Run { .. }))
}

#[test]
fn whoever_joins_a_group_that_has_been_signalled_is_signalled_as_the_others_were() {
    let grew = || Event::Unsignalled { group: Some(WEB) };
    let mut bench = Bench::new(config(|c| {
        c.processes[0].stragglers = Stragglers { wait: Some(Duration::from_secs(1)), ..within(8) };
    }));
    bench.feed(Event::Begin);
    assert_eq!(signals(&bench.leader_ends(1)), []);
    assert_eq!(signals(&bench.feed(grew())), [], "nobody has been");
    assert_eq!(signals(&bench.wait()), [(Signal::TERM, Whom::Outermost)]);
    assert_eq!(signals(&bench.feed(grew())), [(Signal::TERM, Whom::Outermost)]);
    assert_eq!(signals(&bench.wait()), [(Signal::TERM, Whom::Everybody)], "time gets short");
    assert_eq!(signals(&bench.feed(grew())), [(Signal::TERM, Whom::Everybody)]);
    let killed = bench.wait();
    assert!(killed.iter().any(|a| matches!(a, Action::Kill { because, .. } if because.stragglers)), "{killed:?}");
    assert_eq!(signals(&bench.feed(grew())), [], "SIGKILL has gone to all of them");
}

/// The container's stragglers have a second, what web leaves in its group has five: those are not cut when the others have been killed.
#[test]
fn a_group_with_more_time_than_the_stragglers_of_the_container_has_it() {
    let mut bench = Bench::new(config(|c| {
        c.stragglers = within(1);
        c.processes[0].stragglers = within(5);
    }));
    bench.feed(Event::Begin);
    bench.stop();
    bench.leader_ends(0);
    let mut seen = signals(&bench.feed(Event::NotAlone));
    let mut killed = None;
    while killed.is_none() {
        let actions = bench.wait();
        assert!(!actions.contains(&Action::KillEverything), "at {:?}: {actions:?}", bench.now);
        seen.extend(signals(&actions));
        killed = actions.iter().any(|a| matches!(a, Action::Kill { .. })).then_some(bench.now);
    }
    assert_eq!(killed, Some(At::from_millis(5000)), "its own five seconds");
    assert!(seen.contains(&(Signal::KILL, Whom::Everybody)), "the others' one second was over before: {seen:?}");
}

/// A moment of what is left: a quarter of it, and no more than 250 ms. Each step is late by less than would be given back.
#[test]
fn whoever_comes_too_late_to_the_stragglers_gives_them_a_moment() {
    for (reserve, killed_at, ends_at, moment) in [(2000, 6840, 7050, 250_000), (400, 8440, 8650, 87_500)] {
        let mut bench = Bench::new(config(|c| {
            (c.grace, c.kill_reserve) = (Duration::from_secs(10), Duration::from_secs(1));
            post_stop(c, Duration::from_millis(reserve));
        }));
        bench.feed(Event::Begin);
        bench.stop();
        assert_eq!(sent(&bench.at(killed_at, Event::Tick)), [Signal::KILL]);
        let status = Exit::Signal { signal: Signal::KILL, core: false };
        bench.at(ends_at, Event::Exited { process: WEB, status });
        bench.feed(Event::GroupEmpty { process: WEB });
        assert_eq!(signals(&bench.feed(Event::NotAlone)), [(Signal::TERM, Whom::Outermost)], "{reserve}");
        let mut killed = Vec::new();
        while !killed.contains(&(Signal::KILL, Whom::Everybody)) {
            killed = signals(&bench.wait());
        }
        // An eighth of it before its end, so that who is killed is reaped within it.
        let waited = bench.now.since(At::from_millis(ends_at)).as_micros();
        assert!(waited.abs_diff(moment - moment / 8) <= 10, "{reserve}: killed after {waited} µs of {moment}");
    }
}

#[test]
fn stragglers_that_are_killed_late_have_a_moment_to_be_reaped() {
    let mut bench = Bench::new(config(|c| {
        (c.grace, c.kill_reserve) = (Duration::from_secs(10), Duration::from_secs(1));
        post_stop(c, Duration::from_secs(2));
    }));
    bench.feed(Event::Begin);
    bench.stop();
    bench.at(6800, Event::Tick);
    bench.leader_ends(0);
    bench.feed(Event::GroupEmpty { process: WEB });
    assert_eq!(signals(&bench.feed(Event::NotAlone)), [(Signal::TERM, Whom::Outermost)]);
    bench.wait();
    // Due at 6.975; 45 ms are no loss to speak of, but the stage is over by now.
    let killed = bench.at(7020, Event::Tick);
    assert_eq!(signals(&killed), [(Signal::KILL, Whom::Everybody)]);
    assert!(killed.contains(&Action::Census), "nobody's end may be left to be told of: {killed:?}");
    assert!(!runs(&killed) && finished(&killed).is_none(), "nobody could have been reaped: {killed:?}");
    let reaped = bench.at(7040, Event::Alone);
    assert!(runs(&reaped), "then it goes on: {reaped:?}");
}

/// Nobody has said by the deadline whether there is anybody.
#[test]
fn nobody_is_named_of_whom_nothing_is_known() {
    let mut bench = Bench::new(config(|_| {}));
    bench.feed(Event::Begin);
    bench.stop();
    assert!(bench.ends(0).contains(&Action::Census));
    let killed = bench.at(29_000, Event::Tick);
    assert!(killed.contains(&Action::KillEverything), "{killed:?}");
    let named = killed.iter().any(|a| matches!(a, Action::Note(Note::OutOfTime { .. })));
    assert!(!named, "{killed:?}");
}
