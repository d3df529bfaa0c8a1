//! Another configuration while everything runs: what is done for it, in which order, and that nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::action::{Action, Answer};
use super::super::event::{Event, Exit, Notification, Order, ProcId, Sender};
use super::world::World;
use super::{Bench, hourly};
use crate::config::notify::{Notify, NotifyBy};
use crate::config::{Act, Condition, Config, Handler, OnChange, OnExit, Probe, Process, Restart, Rung};
use crate::facts::{Changed, Difference, Later};
use crate::order::DryRun;
use crate::plan::reload::Reload;
use crate::report::{Done, Note, Refusal};
use crate::signal::Signal;
use crate::time::At;

/// A process of a configuration, by its name; after those.
fn process(name: &str, command: &str, after: &[usize]) -> Process {
    let mut process = Process::new(name, vec![name.into(), command.into()]);
    process.stop = vec![Rung { signal: Signal::TERM, wait: Some(Duration::from_secs(4)) }];
    process.on_exit = OnExit::Continue;
    process.restart = Restart::Always;
    process.backoff.max = Duration::from_secs(4);
    process.after = after.iter().map(|on| (*on, Condition::Ready)).collect();
    process
}

fn config(processes: Vec<Process>) -> Config {
    Config { source: Some("/etc/softstop.toml".into()), processes, ..Config::with_defaults() }
}

/// db, api after db, web after api.
fn three() -> Config {
    config(vec![process("db", "1", &[]), process("api", "1", &[0]), process("web", "1", &[1])])
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_changed_environment_restarts_that_process_alone() {
    let mut world = World::new(three());
    let mut new = three();
    new.processes[1].launch.env = vec![("LEVEL".into(), "debug".into())];
    world.reload(new);
    world.pass(MINUTE);
    assert_eq!(world.done(), "SIGTERM>api -api +api");
    let restarted = vec![Changed { process: "api".into(), keys: vec!["env"] }];
    assert_eq!(*world.reloaded(), Difference { restarted, ..Difference::default() });
    assert!(world.machine.ready() && world.waiting.is_empty());
}

#[test]
fn settings_and_probes_change_without_any_restart() {
    let mut world = World::new(three());
    let mut new = three();
    new.grace = Duration::from_secs(50);
    new.log.level = crate::config::LogLevel::Debug;
    new.processes[2].readiness = Some(Box::new(Probe::new(Handler::Tcp { host: "localhost".into(), port: 1 })));
    new.processes[2].stop = vec![Rung { signal: Signal::QUIT, wait: None }];
    world.reload(new);
    assert_eq!(world.done(), "");
    let changed = vec![Changed { process: "web".into(), keys: vec!["stop", "readiness"] }];
    let settings = vec!["grace", "log.level"];
    assert_eq!(*world.reloaded(), Difference { changed, settings, ..Difference::default() });
    world.pass(MINUTE);
    assert!(world.machine.ready(), "its probe has been made");
    world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
    assert!(world.done().starts_with("SIGQUIT>web"), "{}", world.done());
    assert_eq!(world.machine.end(), Some(world.now + Duration::from_secs(50)));
}

#[test]
fn what_is_started_anew_goes_down_after_those_that_depend_on_it_and_comes_up_before_them() {
    let mut world = World::new(three());
    let mut new = three();
    new.processes.iter_mut().for_each(|p| p.command[1] = "2".into());
    world.reload(new);
    world.pass(MINUTE);
    assert_eq!(
        world.done(),
        "SIGTERM>web -web SIGTERM>api -api SIGTERM>db -db +db +api +web",
        "each by its ladder, one after the other"
    );
    assert_eq!(world.reloaded().restarted.len(), 3);
}

#[test]
fn what_is_removed_is_stopped_in_reverse_dependency_order_and_shows_no_more() {
    let mut world = World::new(three());
    let mut new = three();
    new.processes.truncate(1);
    world.reload(new);
    assert_eq!(world.done(), "SIGTERM>web");
    assert_eq!(world.machine.status(world.now).processes.len(), 3, "it is still there");
    world.pass(MINUTE);
    assert_eq!(world.done(), "SIGTERM>web -web SIGTERM>api -api");
    assert_eq!(world.reloaded().removed, names(&["api", "web"]));
    assert_eq!(world.machine.status(world.now).processes.len(), 1);
    assert!(world.machine.ready() && !world.machine.stopping());
    // Its place is somebody else's, and what comes of that is not its.
    let mut new = three();
    new.processes = vec![process("db", "1", &[]), process("cache", "1", &[]), process("web", "2", &[1])];
    world.reload(new);
    world.pass(MINUTE);
    assert_eq!((world.done(), world.machine.plan().config.processes.len()), ("+cache +web".into(), 3));
    assert_eq!(world.reloaded().added, names(&["cache", "web"]));
}

#[test]
fn one_that_is_unwell_and_does_not_end_is_not_live_until_it_is_removed() {
    let mut web = process("web", "1", &[]);
    web.notify = Some(Notify { by: NotifyBy::default(), timeout: None });
    let mut world = World::new(config(vec![process("db", "1", &[]), web]));
    let live = |world: &World| {
        let status = world.machine.status(world.now);
        assert_eq!(status.processes.len(), 2, "it is still there");
        [world.machine.live(), status.live, status.processes.iter().all(|p| p.live)]
    };
    assert_eq!(live(&world), [true; 3]);
    world.feed(Event::Notified { process: ProcId(1), what: Notification::Unwell });
    assert_eq!((live(&world), world.done.last().unwrap().as_str()), ([false; 3], "SIGTERM>web"));
    world.reload(config(vec![process("db", "1", &[])]));
    assert_eq!(live(&world), [true; 3]);
}

#[test]
fn one_that_is_on_its_way_out_comes_back_when_it_is_there_again() {
    let mut world = World::new(three());
    let mut new = three();
    new.processes.truncate(2);
    world.reload(new);
    assert_eq!(world.done(), "SIGTERM>web");
    world.file = Ok(Rc::new(three()));
    world.order(Order::Reload { wait: true, dry_run: DryRun(false) });
    world.is_read();
    assert_eq!(world.machine.plan().config.processes.len(), 3, "at the place that it had");
    world.pass(MINUTE);
    assert_eq!(world.done(), "SIGTERM>web -web +web");
    assert!(world.waiting.is_empty());
}

#[test]
fn what_is_on_its_way_already_is_not_done_again() {
    let mut world = World::new(three());
    let mut new = three();
    new.processes[2].command[1] = "2".into();
    world.reload(new);
    assert_eq!(world.done(), "SIGTERM>web");
    world.order(Order::Reload { wait: true, dry_run: DryRun(true) });
    world.is_read();
    let Some(Answer::Done(Done::WouldReload(said))) = world.answers.last() else { panic!("{:?}", world.answers) };
    assert_eq!(*said, Difference::default());
    world.pass(MINUTE);
    assert_eq!(world.done(), "SIGTERM>web -web +web");
}

#[test]
fn a_process_is_stopped_as_it_was_started_and_not_as_the_next_one_will_be() {
    let mut old = config(vec![process("web", "nginx", &[])]);
    old.processes[0].stop = vec![Rung { signal: Signal::QUIT, wait: None }];
    let mut world = World::new(old);
    let mut new = config(vec![process("web", "haproxy", &[])]);
    new.processes[0].stop = vec![Rung { signal: Signal::USR1, wait: None }];
    world.reload(new.clone());
    world.pass(MINUTE);
    assert_eq!(world.done(), "SIGQUIT>web -web +web");
    new.processes[0].command.push("-x".into());
    world.reload(new);
    world.pass(MINUTE);
    assert_eq!(world.done(), "SIGUSR1>web -web +web");
}

#[test]
fn what_is_held_down_stays_down_and_has_what_is_new_when_it_is_started() {
    let mut world = World::new(three());
    world.order(Order::Stop { wait: true, process: Some("web".into()) });
    world.pass(MINUTE);
    let mut new = three();
    new.processes[2].command[1] = "2".into();
    world.reload(new);
    world.pass(MINUTE);
    assert_eq!(world.done(), "");
    assert_eq!((world.reloaded().restarted.len(), world.reloaded().changed.len()), (0, 1));
    world.order(Order::Start { process: "web".into() });
    assert_eq!(world.up()["web"], "2");
}

#[test]
fn what_is_held_down_before_its_turn_is_not_started_anew() {
    let mut world = World::new(three());
    let mut new = three();
    new.processes[..2].iter_mut().for_each(|p| p.command[1] = "2".into());
    world.reload(new);
    assert_eq!(world.done(), "SIGTERM>api", "db has its turn after it");
    world.order(Order::Stop { wait: false, process: Some("db".into()) });
    world.pass(MINUTE);
    assert!(!world.up().contains_key("db"), "{}", world.done());
    world.order(Order::Start { process: "db".into() });
    world.pass(MINUTE);
    assert_eq!((world.up()["db"].as_str(), world.up()["api"].as_str()), ("2", "2"));
}

#[test]
fn a_dry_run_says_the_same_and_does_nothing() {
    let mut world = World::new(three());
    let mut new = three();
    new.processes.swap(0, 2);
    new.processes.remove(0);
    new.processes[0] = process("api", "2", &[1]);
    new.http =
        Some(crate::config::Http { listen: crate::config::listen::Listen::parse(":9180").unwrap(), prestop: None });
    world.done.clear();
    world.file = Ok(Rc::new(new.clone()));
    world.order(Order::Reload { wait: true, dry_run: DryRun(true) });
    world.is_read();
    let Some(Answer::Done(Done::WouldReload(said))) = world.answers.last().cloned() else { panic!() };
    world.pass(MINUTE);
    assert_eq!(world.done(), "");
    assert_eq!(said.later, [Later::Setting("http")]);
    world.reload(new.clone());
    world.pass(MINUTE);
    assert_eq!(*world.reloaded(), said);
    // What has to wait is said again, and nothing else is left to do.
    world.reload(new);
    assert_eq!(*world.reloaded(), Difference { later: vec![Later::Setting("http")], ..Difference::default() });
}

#[test]
fn one_that_is_refused_changes_nothing_and_is_said() {
    let mut world = World::new(three());
    world.done.clear();
    world.file = Err("error: no\n".into());
    world.order(Order::Reload { wait: true, dry_run: DryRun(false) });
    world.is_read();
    let refused = Refusal::BadConfiguration("error: no\n".into());
    assert_eq!(world.answers, [Answer::Refused(refused.clone())]);
    assert!(world.notes.contains(&Note::NotReloaded { why: refused }));
    world.pass(MINUTE);
    assert_eq!(world.done(), "");
}

#[test]
fn a_process_that_cannot_be_started_is_named_in_the_answer() {
    let mut world = World::new(config(vec![process("web", "1", &[])]));
    world.reload(config(vec![process("web", "missing", &[]), process("new", "1", &[])]));
    world.pass(Duration::from_secs(5));
    let Some(Answer::Refused(Refusal::NotAllStarted { failed, .. })) = world.answers.last() else {
        panic!("{:?}", world.answers)
    };
    assert_eq!(*failed, [("web".to_owned(), "not found".to_owned())]);
    // It is tried again, nothing else has to suffer for it, and the next reload puts it right.
    assert!(!world.machine.stopping() && world.up().contains_key("new"));
    world.reload(config(vec![process("web", "2", &[]), process("new", "1", &[])]));
    assert_eq!((world.done(), world.up().len()), ("+web".to_owned(), 2));
}

#[test]
fn a_stop_in_the_middle_of_it_is_the_stop_of_what_there_is() {
    for turn in 0..3 {
        let mut world = World::new(three());
        let mut new = three();
        new.processes.iter_mut().for_each(|p| p.command[1] = "2".into());
        new.processes.push(process("new", "2", &[2]));
        world.reload(new.clone());
        for id in [2, 1].into_iter().take(turn) {
            world.dying.clear();
            world.ends(id, Exit::Code(0));
        }
        world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
        world.pass(MINUTE);
        assert!(world.finished <= world.machine.end() && world.finished.is_some(), "I1");
        let refused =
            world.answers.iter().filter(|answer| matches!(answer, Answer::Refused(Refusal::StopRequested(_))));
        assert_eq!((refused.count(), world.waiting.len(), world.alive.len()), (1, 0, 0));
        // After it nothing is read any more.
        let mut world = World::new(three());
        world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
        world.reload(new);
        assert!(matches!(world.answers.last(), Some(Answer::Refused(Refusal::NothingReloads(_)))));
    }
}

#[test]
fn sighup_reads_again_unless_the_main_process_is_said_to_get_it() {
    let mut world = World::new(three());
    let hup = Event::Signalled { signal: Signal::HUP, sender: Sender::Outside, program: None };
    world.file = Ok(Rc::new(config(vec![process("db", "1", &[])])));
    world.feed(hup.clone());
    assert_eq!(world.reading, [(None, false)]);
    world.is_read();
    world.pass(MINUTE);
    assert_eq!(world.up().len(), 1);
    let mut own = three();
    own.processes[0].main = true;
    own.processes[0].rewrite.insert(Signal::HUP, Some(Signal::HUP));
    let mut machine = World::new(own).machine;
    let actions = machine.step(At::from_millis(1), hup.clone());
    assert!(matches!(actions[..], [Action::Forward { signal: Signal::HUP, .. }]), "{actions:?}");
    // During the stop it is refused, and a thousand of them are said once.
    world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
    (0..1000).for_each(|_| world.feed(hup.clone()));
    let refused = |note: &&Note| matches!(note, Note::NotReloaded { .. });
    assert_eq!((world.notes.iter().filter(refused).count(), world.reading.len()), (1, 0));
    // The wrapper has nothing to read.
    let mut wrapper = three();
    (wrapper.source, wrapper.processes[0].main) = (None, true);
    let mut machine = World::new(wrapper).machine;
    let actions = machine.step(At::from_millis(1), hup);
    assert!(matches!(actions[..], [Action::Forward { signal: Signal::HUP, .. }]), "{actions:?}");
}

#[test]
fn a_post_start_that_goes_on_is_the_one_that_was_begun() {
    let sleep = |s| crate::config::Task::new("wait", Handler::Sleep(Duration::from_secs(s)));
    let mut old = three();
    old.processes[2].post_start = vec![sleep(10)];
    let mut world = World::new(old);
    let mut new = three();
    new.processes[2].post_start = vec![];
    new.processes[2].max_restarts = Some(3);
    world.reload(new);
    assert!(world.waiting.len() == 1 && !world.machine.ready());
    world.pass(Duration::from_secs(11));
    assert!(world.waiting.is_empty() && world.machine.ready());
    assert_eq!(world.machine.plan().config.processes[2].max_restarts, Some(3));
}

#[test]
fn who_gets_a_schedule_or_loses_it_lives_by_that_from_now_on() {
    let every_hour = || {
        let mut new = three();
        new.processes[2].schedule = hourly();
        new.processes[2].restart = Restart::Never;
        new
    };
    let mut world = World::new(three());
    world.reload(every_hour());
    assert_eq!(world.done(), "", "it runs on");
    world.ends(2, Exit::Code(0));
    world.feed(Event::Scheduled { process: ProcId(2) });
    assert_eq!(world.done(), "-web +web", "it rested until its time");
    let history = world.machine.status(world.now).processes[2].schedule.as_ref().map(|s| (s.succeeded, s.failed));
    assert_eq!(history, Some((1, 0)));
    world.reload(three());
    world.ends(2, Exit::Code(0));
    world.pass(MINUTE);
    assert_eq!(world.done(), "-web +web", "it is a service again");
}

#[test]
fn another_probe_does_not_end_the_startup_of_one_that_has_not_come_up() {
    let probe = |port| Some(Box::new(Probe::new(Handler::Tcp { host: "localhost".into(), port })));
    let probed = |port| {
        let mut config = config(vec![process("web", "1", &[])]);
        (config.processes[0].startup, config.processes[0].readiness) = (probe(1), probe(port));
        config
    };
    let mut bench = Bench::new(probed(2));
    bench.feed(Event::Begin);
    bench.feed(Event::Reread { ask: None, dry_run: false, read: Ok(Rc::new(probed(3))) });
    assert_eq!(bench.machine.plan().config.processes[0].readiness, probe(3));
    assert!(!bench.machine.status(bench.now).processes[0].started, "nobody has answered");
}

#[test]
fn what_can_never_start_is_tried_again_when_what_it_waits_for_is_another_and_not_for_any_reload() {
    let job = |command| {
        let mut job = process("job", command, &[]);
        job.restart = Restart::Never;
        let mut web = process("web", "1", &[]);
        web.after = vec![(0, Condition::Completed)];
        vec![job, web, process("db", "1", &[])]
    };
    let mut world = World::new(config(job("1")));
    world.ends(0, Exit::Code(1));
    let said = |world: &World| world.notes.iter().filter(|note| matches!(note, Note::CannotStart { .. })).count();
    assert_eq!(said(&world), 1);
    world.reload(config([job("1"), vec![process("new", "1", &[])]].concat()));
    world.pass(MINUTE);
    assert_eq!((said(&world), world.done()), (1, "+new".into()));
    world.reload(config([job("2"), vec![process("new", "1", &[])]].concat()));
    world.pass(MINUTE);
    assert_eq!(world.done(), "+job");
    world.ends(0, Exit::Code(0));
    assert_eq!(world.done(), "+job -job +web");
}

#[test]
fn who_is_named_by_number_is_the_one_of_that_name() {
    let mut world = World::new(three());
    let mut new = config(vec![process("web", "1", &[]), process("db", "1", &[])]);
    let file =
        |name: &str, act| OnChange { name: name.into(), paths: vec!["/etc/file".into()], settle: Duration::ZERO, act };
    let hup = crate::config::Task::new("hup", Handler::Signal { process: 0, signal: Signal::HUP });
    new.on_change = vec![file("restart", Act::Restart(1)), file("hup", Act::Task(Box::new(hup)))];
    let init = vec![crate::config::Task::new("wait", Handler::Sleep(MINUTE))];
    world.reload(Config { init, ..new });
    world.pass(MINUTE);
    assert_eq!(world.reloaded().later, [Later::Setting("init")]);
    world.done.clear();
    world.feed(Event::FileChanged { rule: 0, path: "/etc/file".into() });
    world.pass(MINUTE);
    assert_eq!(world.done(), "SIGTERM>db -db +db");
    world.feed(Event::FileChanged { rule: 1, path: "/etc/file".into() });
    assert!(world.done().ends_with("SIGHUP>web"), "{}", world.done());
}

// === any configuration after any other ===

#[derive(Clone, Debug)]
struct Drawn {
    name: usize,
    command: u8,
    /// A bit for each of those before it.
    after: u8,
    probed: bool,
    autostart: bool,
    wait: u64,
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn configs() -> impl Strategy<Value = Config> {
    let one = (0..5usize, 0..2u8, any::<u8>(), any::<bool>(), prop::bool::weighted(0.9), 1..3u64).prop_map(
        |(name, command, after, probed, autostart, wait)| Drawn { name, command, after, probed, autostart, wait },
    );
    (prop::collection::vec(one, 1..5), 10..12u64).prop_map(|(list, grace)| {
        let mut processes: Vec<Process> = Vec::new();
        for drawn in list {
            let name = NAMES[drawn.name];
            if processes.iter().any(|p| p.name == name) {
                continue;
            }
            let after: Vec<usize> = (0..processes.len()).filter(|on| drawn.after & 1 << on != 0).collect();
            let mut p = process(name, &drawn.command.to_string(), &after);
            let probe = || Probe::new(Handler::Tcp { host: "localhost".into(), port: 1 });
            p.readiness = drawn.probed.then(probe).map(Box::new);
            p.autostart = drawn.autostart;
            p.stop[0].wait = Some(Duration::from_secs(drawn.wait));
            processes.push(p);
        }
        Config { grace: Duration::from_secs(grace), ..config(processes) }
    })
}

#[derive(Clone, Debug)]
enum Happening {
    Reload(Box<Config>, bool),
    Ends(usize),
    Order(usize, usize),
    Passes(u64),
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (configs(), any::<bool>()).prop_map(|(config, wait)| Happening::Reload(Box::new(config), wait)),
        1 => (0..6usize).prop_map(Happening::Ends),
        1 => (0..3usize, 0..5usize).prop_map(|(order, name)| Happening::Order(order, name)),
        3 => (1..4000u64).prop_map(Happening::Passes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_difference_is_none_and_what_was_gone_over_to_has_none(a in configs(), b in configs()) {
        let reload = |old: &Config, new| Reload::new(old, new, &|_| true, &|_| true);
        prop_assert!(reload(&a, a.clone()).difference.changes_nothing());
        let gone_over = reload(&a, b.clone()).config;
        let mut of_b: Vec<_> = b.processes.iter().map(|p| &p.name).collect();
        let mut present: Vec<_> = gone_over.processes.iter().filter(|p| !p.removed).map(|p| &p.name).collect();
        of_b.sort();
        present.sort();
        prop_assert_eq!(of_b, present);
        prop_assert!(reload(&gone_over, b).difference.changes_nothing());
    }

    #[test]
    fn whatever_was_before_what_runs_at_last_is_what_the_last_configuration_says(
        first in configs(),
        list in prop::collection::vec(happenings(), 0..12),
        last in configs(),
    ) {
        let mut world = World::new(first.clone());
        for happening in list {
            match happening {
                Happening::Reload(config, wait) => {
                    world.file = Ok(Rc::new(*config));
                    world.order(Order::Reload { wait, dry_run: DryRun(false) });
                    world.is_read();
                }
                Happening::Ends(id) => world.ends(id, Exit::Code(1)),
                Happening::Order(which, name) => {
                    let process = NAMES[name].to_owned();
                    world.order(match which {
                        0 => Order::Stop { wait: false, process: Some(process) },
                        1 => Order::Start { process },
                        _ => Order::Restart { process },
                    });
                }
                Happening::Passes(ms) => world.pass(Duration::from_millis(ms)),
            }
            prop_assert!(!world.machine.stopping(), "{:?}", world.notes.last());
        }
        world.reload(last.clone());
        // Longer than every back-off.
        world.pass(MINUTE);
        // Whoever was held down is let go, so that all may be up.
        let down = |p: &crate::status::ProcessStatus| p.reason == Some(crate::status::Why::Held);
        let held: Vec<String> =
            world.machine.status(world.now).processes.iter().filter(|p| down(p)).map(|p| p.name.clone()).collect();
        for process in held {
            world.order(Order::Start { process });
            world.pass(MINUTE);
        }
        let expected: BTreeMap<String, String> = last
            .processes
            .iter()
            .map(|p| (p.name.clone(), p.command[1].to_string_lossy().into_owned()))
            .collect();
        prop_assert_eq!(world.up(), expected);
        prop_assert!(world.machine.ready());
        prop_assert!(world.waiting.is_empty(), "never answered: {:?}", world.waiting);
        prop_assert_eq!(world.machine.plan().budget.grace, last.grace);
        let after = |config: &Config, name: &str| -> BTreeSet<String> {
            let p = config.processes.iter().find(|p| !p.removed && p.name == name).unwrap();
            p.after.iter().map(|(on, _)| config.processes[*on].name.clone()).collect()
        };
        let now = Rc::clone(world.machine.plan());
        for p in &last.processes {
            prop_assert_eq!(after(&now.config, &p.name), after(&last, &p.name));
        }
        // While some still end, others get places of their own, however fast one reload follows another. Nobody does any more.
        let places = world.machine.plan().config.processes.len();
        world.reload(first);
        world.pass(MINUTE);
        prop_assert!(world.machine.plan().config.processes.len() <= places.max(2 * NAMES.len()), "places are used again");
        // And it stops, in order.
        world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
        let end = world.machine.end().expect("it stops");
        world.pass(end.since(world.now));
        prop_assert!(world.finished.is_some_and(|at| at <= end), "I1");
        prop_assert!(world.alive.is_empty());
    }

    #[test]
    fn a_stop_at_any_instant_of_a_reload_keeps_its_promises(
        first in configs(), second in configs(), third in configs(), before in 0..5000u64, between in 0..5000u64,
    ) {
        let mut world = World::new(first);
        world.pass(Duration::from_millis(before));
        world.reload(second);
        world.pass(Duration::from_millis(between));
        world.reload(third);
        world.feed(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
        let end = world.machine.end().expect("it stops");
        world.pass(end.since(world.now));
        prop_assert!(world.finished.is_some_and(|at| at <= end), "I1");
        prop_assert!(world.alive.is_empty() && world.waiting.is_empty());
    }
}
