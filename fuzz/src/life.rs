//! A tame world for a configuration: everything starts, answers, obeys and is reaped at once. What must hold even so: no panic,
//! no loop without end, gone within the grace (I1). The wild worlds are the simulation's (`tests/`).

use std::collections::VecDeque;

use softstop::config::{Config, StopOn};
use softstop::lifecycle::Machine;
use softstop::lifecycle::action::Action;
use softstop::lifecycle::event::{Event, Exit, Outcome, ProcId, Sender};
use softstop::plan::Plan;
use softstop::report::Note;
use softstop::signal::Signal;
use softstop::text::one_line;
use softstop::time::At;

/// Deadlines before the stop request, when none comes by itself.
const UP: usize = 40;
/// Of everything: far more than any configuration of the size that a fuzzer makes needs.
const EVENTS: usize = 50_000;

/// Lives the configuration from the start to the end.
pub fn live(config: Config) {
    let grace = config.grace;
    let mut world = World {
        alive: vec![false; config.processes.len()],
        machine: Machine::new(Plan::new(config)),
        now: At::ZERO,
        events: VecDeque::from([Event::Begin]),
        stopping_since: None,
        finished: false,
        count: 0,
    };
    let mut ticks = 0;
    while !world.finished {
        while let Some(event) = world.events.pop_front() {
            world.feed(event);
        }
        if world.finished {
            break;
        }
        let deadline = world.machine.next_deadline();
        if let Some(at) = deadline.filter(|_| ticks < UP || world.machine.stopping()) {
            ticks += 1;
            world.now = world.now.max(at);
            world.events.push_back(Event::Tick);
        } else {
            assert!(!world.machine.stopping(), "stopping, and no deadline is set");
            world.events.push_back(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
            // Where SIGTERM is no stop request, the configuration's own first one is.
            let first = match &world.machine.plan().config.stop_on {
                StopOn::Only(list) => list.first().copied(),
                StopOn::Customary => None,
            };
            let signal = first.unwrap_or(Signal::TERM);
            world.events.push_back(Event::Signalled { signal, sender: Sender::Unknown, program: None });
        }
    }
    let since = world.stopping_since.unwrap_or(world.now);
    assert!(world.now.since(since) <= grace, "I1: took {:?} of {grace:?}", world.now.since(since));
}

struct World {
    machine: Machine,
    now: At,
    alive: Vec<bool>,
    events: VecDeque<Event>,
    stopping_since: Option<At>,
    finished: bool,
    count: usize,
}

impl World {
    /// One event, and the answers that must come before any other.
    fn feed(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.count += 1;
            assert!(self.count < EVENTS, "{EVENTS} events and no end");
            let actions = self.machine.step(self.now, event);
            if self.machine.stopping() && self.stopping_since.is_none() {
                self.stopping_since = Some(self.now);
            }
            for action in actions {
                assert!(!self.finished, "an action after the end");
                next = self.perform(action).or(next);
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { process } => {
                assert!(!std::mem::replace(&mut self.alive[process.0], true), "started twice");
                return Some(Event::Spawned { process, pid: 100 });
            }
            Action::Signal { process, signal, .. } | Action::Diagnose { process, signal, .. } => {
                self.end(process, signal)
            }
            Action::Kill { process, .. } => self.end(process, Signal::KILL),
            Action::KillEverything => (0..self.alive.len()).for_each(|p| self.end(ProcId(p), Signal::KILL)),
            Action::Run { run, .. } => self.events.push_back(Event::RunDone { run, outcome: Outcome::Ok }),
            Action::Census => {
                let alone = !self.alive.contains(&true);
                self.events.push_back(if alone { Event::Alone } else { Event::NotAlone });
            }
            Action::Note(note) => look_at(&note),
            Action::Finish { .. } => self.finished = true,
            Action::Forward { .. }
            | Action::SignalByCommand { .. }
            | Action::SignalGroup { .. }
            | Action::SignalStragglers { .. }
            | Action::Cancel { .. }
            | Action::ReopenLogs
            | Action::Reread { .. }
            | Action::Answer { .. } => {}
        }
        None
    }

    fn end(&mut self, process: ProcId, signal: Signal) {
        if std::mem::take(&mut self.alive[process.0]) {
            let status = Exit::Signal { signal, core: false };
            self.events.push_back(Event::Exited { process, status });
            self.events.push_back(Event::GroupEmpty { process });
        }
    }
}

fn look_at(note: &Note) {
    super::assert_one_line(&one_line(&note.to_string()));
}
