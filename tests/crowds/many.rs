//! The core: beside thousands of others an event of one process costs what it costs beside a few.

use std::time::{Duration, Instant};

use softstop::config::{Condition, Config, Handler, Probe, Process, Restart};
use softstop::lifecycle::Machine;
use softstop::lifecycle::action::Action;
use softstop::lifecycle::event::{Event, Exit, ProcId, Sender};
use softstop::plan::Plan;
use softstop::signal::Signal;
use softstop::time::At;

/// So many, and a hundred times as many.
const FEW: usize = 100;
const MANY: usize = 10_000;
/// Of so many events of a kind the quickest counts: whoever is not run for a second is not measured by it.
const EVENTS: usize = 400;
/// A loop over all, and be it the shortest, makes it ten and more,
const AT_MOST: u32 = 4;
/// and more than this longer. What does not fit into a processor's cache beside so many may be some fetches from memory.
const CACHE: Duration = Duration::from_micros(5);

/// All start; whoever depends on another is far from it in the list.
fn crowd(count: usize) -> Machine {
    let mut config = Config::with_defaults();
    let process = |n: usize| {
        let mut process = Process::new(format!("p{n}"), vec!["p".into()]);
        process.restart = Restart::Always;
        if n >= count / 2 {
            process.after = vec![(n - count / 2, Condition::Started)];
        }
        if n.is_multiple_of(3) {
            process.readiness = Some(Box::new(Probe::new(Handler::Sleep(Duration::from_secs(1)))));
        }
        process
    };
    config.processes = (0..count).map(process).collect();
    Machine::new(Plan::new(config))
}

/// The quickest event of each kind, of as many as there are in the life of a crowd.
fn quickest(count: usize) -> Vec<(&'static str, Duration)> {
    let (mut machine, mut now) = (crowd(count), At::ZERO);
    let mut quickest: Vec<(&'static str, Duration)> = Vec::new();
    let mut step = |kind: &'static str, machine: &mut Machine, now: At, event: Event| {
        let began = Instant::now();
        let actions = machine.step(now, event);
        let due = machine.next_deadline();
        let took = began.elapsed();
        match quickest.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, least)) => *least = (*least).min(took),
            None => quickest.push((kind, took)),
        }
        (actions, due)
    };
    let spawn = |actions: &[Action]| {
        actions.iter().find_map(|a| if let Action::Spawn { process } = a { Some(*process) } else { None })
    };
    let mut actions = step("begin", &mut machine, now, Event::Begin).0;
    while let Some(process) = spawn(&actions) {
        let pid = 100 + process.0 as i32;
        actions = step("started", &mut machine, now, Event::Spawned { process, pid }).0;
    }
    assert!(machine.started());
    now = now + Duration::from_secs(60);
    for process in (1..count).step_by(count / FEW * 3).map(ProcId).take(EVENTS) {
        let status = Exit::Code(1);
        let _ = step("ended", &mut machine, now, Event::Exited { process, status });
        let (actions, _) = step("nothing is left", &mut machine, now, Event::GroupEmpty { process });
        assert_eq!(spawn(&actions), None, "it backs off");
        let _ = step("an orphan", &mut machine, now, Event::OrphanReaped);
        let _ = step("suspended", &mut machine, now, Event::Suspended { process: ProcId(0), signal: Signal::STOP });
        let _ = step("continued", &mut machine, now, Event::Resumed { process: ProcId(0) });
    }
    now = now + Duration::from_secs(60);
    let mut actions = step("all are due", &mut machine, now, Event::Tick).0;
    while let Some(process) = spawn(&actions) {
        actions = step("started again", &mut machine, now, Event::Spawned { process, pid: 50_000 }).0;
    }
    let _ = step(
        "stop",
        &mut machine,
        now,
        Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None },
    );
    // In the order in which nobody has to wait for another.
    for process in (0..count).rev().map(ProcId) {
        let status = Exit::Code(0);
        let _ = step("stopped", &mut machine, now, Event::Exited { process, status });
        let _ = step("all of it stopped", &mut machine, now, Event::GroupEmpty { process });
    }
    let actions = step("alone", &mut machine, now, Event::Alone).0;
    assert!(actions.iter().all(|a| !matches!(a, Action::Kill { .. })), "{actions:?}");
    quickest
}

/// Thousands of processes are started in a time that grows with their number, and not with its square.
#[test]
fn beside_ten_thousand_others_an_event_costs_what_it_costs_beside_a_hundred() {
    let (few, many) = (quickest(FEW), quickest(MANY));
    // What is all processes' at once.
    let one = |kind: &str| !["begin", "all are due", "stop", "alone"].contains(&kind);
    for ((kind, few), (_, many)) in few.into_iter().zip(many).filter(|((kind, _), _)| one(kind)) {
        assert!(many <= AT_MOST * few + CACHE, "{kind}: {few:?} beside {FEW} others, {many:?} beside {MANY}");
    }
}
