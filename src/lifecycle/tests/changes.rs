//! `[[on_change]]`: not before start-up is over, not during the stop, never two at once, and once more afterwards.

use super::*;
use crate::config::{Act, OnChange};
use crate::facts::Reaction;

const FILE: &str = "/etc/tls/tls.crt";

fn rule(act: Act) -> OnChange {
    OnChange { name: "tls".into(), paths: vec![FILE.into()], settle: Duration::from_secs(1), act }
}

fn hook() -> Act {
    Act::Task(Box::new(Task::new("tls", Handler::Exec(vec!["hook".into()]))))
}

fn hup() -> Act {
    Act::Task(Box::new(Task::new("tls", Handler::Signal { process: 0, signal: Signal::HUP })))
}

fn changed() -> Event {
    Event::FileChanged { rule: 0, path: FILE.into() }
}

fn runs(actions: &[Action]) -> Vec<RunId> {
    let run = |a: &Action| match a {
        Action::Run { run, what: What { place: Place::OnChange, .. }, .. } => Some(*run),
        _ => None,
    };
    actions.iter().filter_map(run).collect()
}

fn does(actions: &[Action]) -> Vec<Reaction> {
    let does = |a: &Action| match a {
        Action::Note(Note::FileChanged { does, .. }) => Some(does.clone()),
        _ => None,
    };
    actions.iter().filter_map(does).collect()
}

fn done(run: RunId) -> Event {
    Event::RunDone { run, outcome: Outcome::Ok }
}

#[test]
fn a_change_while_one_is_under_way_is_once_more_afterwards() {
    let mut bench = Bench::new(config(|c| c.on_change.push(rule(hook()))));
    bench.feed(Event::Begin);
    let first = runs(&bench.feed(changed()));
    assert_eq!(first.len(), 1);
    for _ in 0..1000 {
        assert_eq!(runs(&bench.feed(changed())), [], "never two at once");
    }
    let again = runs(&bench.feed(done(first[0])));
    assert_eq!(again.len(), 1, "once for a thousand");
    assert_eq!(runs(&bench.feed(done(again[0]))), []);
    // One that fails is over, too; and one that does not end has its time.
    let third = runs(&bench.feed(changed()));
    let failed = Outcome::Failed(Failure::Cancelled);
    bench.feed(Event::RunDone { run: third[0], outcome: failed });
    let fourth = runs(&bench.feed(changed()));
    assert_eq!(fourth.len(), 1, "{fourth:?}");
}

#[test]
fn nothing_is_done_before_start_up_is_over_and_once_then() {
    let mut bench = Bench::new(config(|c| {
        c.init.push(Task::new("wait", Handler::Sleep(Duration::from_secs(5))));
        c.on_change.push(rule(hook()));
    }));
    bench.feed(Event::Begin);
    for _ in 0..3 {
        assert!(runs(&bench.feed(changed())).is_empty(), "an init task is under way");
    }
    assert_eq!(runs(&bench.wait()).len(), 1);
    // A process that is about to start may not know the signal yet: it would be its end.
    let mut bench = Bench::new(config(|c| {
        c.processes[0].startup = Some(Box::new(Probe::new(Handler::Exec(vec!["up".into()]))));
        c.on_change.push(rule(hup()));
    }));
    let started = bench.feed(Event::Begin);
    let probe = |actions: &[Action]| {
        let run = |a: &Action| match a {
            Action::Run { run, what, .. } if what.is_probe() => Some(*run),
            _ => None,
        };
        actions.iter().find_map(run)
    };
    assert!(sent(&bench.feed(changed())).is_empty());
    let probe = probe(&started).unwrap_or_else(|| probe(&bench.wait()).expect("it is probed"));
    assert_eq!(sent(&bench.feed(done(probe))), [Signal::HUP]);
}

#[test]
fn nothing_is_done_during_the_stop_and_what_was_being_done_is_ended() {
    let mut bench = Bench::new(config(|c| c.on_change.push(rule(hook()))));
    bench.feed(Event::Begin);
    let run = runs(&bench.feed(changed()))[0];
    bench.feed(changed());
    let stop = bench.stop();
    assert!(stop.iter().any(|a| matches!(a, Action::Cancel { run: ended, .. } if *ended == run)), "{stop:?}");
    let mut after = bench.feed(changed());
    after.extend(bench.feed(done(run)));
    after.extend(bench.feed(changed()));
    assert_eq!((runs(&after), does(&after)), (vec![], vec![]));
}

#[test]
fn a_restart_is_of_what_runs_and_who_is_down_stays_down() {
    let mut bench = Bench::new(config(|c| {
        c.on_change.push(rule(Act::Restart(0)));
        c.processes[0].backoff.initial = Duration::from_secs(5);
    }));
    bench.feed(Event::Begin);
    let actions = bench.feed(changed());
    assert_eq!((sent(&actions), does(&actions)), (vec![Signal::TERM], vec![Reaction::Again { process: "web".into() }]));
    // It is on its way down, and starts with what is new.
    assert!(sent(&bench.feed(changed())).is_empty());
    assert_eq!(spawns(&bench.ends(0)), 1);
    bench.ends(1);
    let actions = bench.feed(changed());
    assert_eq!((spawns(&actions), does(&actions)), (0, vec![Reaction::Nothing { process: "web".into() }]));
}

#[test]
fn a_reload_is_asked_for_as_by_order() {
    let mut bench = Bench::new(config(|c| {
        c.source = Some("/etc/softstop.toml".into());
        c.on_change.push(rule(Act::Reload));
    }));
    bench.feed(Event::Begin);
    let reread = |actions: &[Action]| {
        actions.iter().filter(|a| matches!(a, Action::Reread { ask: None, dry_run: false })).count()
    };
    assert_eq!(reread(&bench.feed(changed())), 1);
    // What an earlier configuration watched is nobody's any more.
    let other = Event::FileChanged { rule: 0, path: "/etc/other".into() };
    assert_eq!(reread(&bench.feed(other)), 0);
    assert_eq!(reread(&bench.feed(Event::FileChanged { rule: 7, path: FILE.into() })), 0);
}

#[test]
fn another_configuration_ends_what_a_rule_of_before_was_doing_and_leaves_the_others() {
    let rules = |names: [&str; 2]| {
        config(|c| {
            c.source = Some("/etc/softstop.toml".into());
            c.on_change = names.map(|name| OnChange { name: name.into(), ..rule(hook()) }).into();
        })
    };
    let mut bench = Bench::new(rules(["a", "b"]));
    bench.feed(Event::Begin);
    let first = runs(&bench.feed(changed()));
    let second = runs(&bench.feed(Event::FileChanged { rule: 1, path: FILE.into() }));
    assert_eq!((first.len(), second.len()), (1, 1));
    let read = Ok(std::rc::Rc::new(rules(["other", "b"])));
    let actions = bench.feed(Event::Reread { ask: None, dry_run: false, read });
    let ended: Vec<_> = actions.iter().filter(|a| matches!(a, Action::Cancel { .. })).collect();
    assert!(matches!(ended[..], [Action::Cancel { run, .. }] if *run == first[0]), "{actions:?}");
    assert_eq!(runs(&bench.feed(done(first[0]))), []);
    assert_eq!(runs(&bench.feed(changed())).len(), 1);
}
