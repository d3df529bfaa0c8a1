//! What a round shows of each invariant. Every check looks at what was really observed; softstop's own account serves to tell why
//! something happened, and is itself held against the journal.

mod budget;
mod exit_code;
mod order;
mod output;
mod reaping;
mod refused;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::journal::{self, Life};
use crate::model::{Process, Scenario};
use crate::play::Observed;
use crate::sys::{MS, Time};

/// Seen from outside: the kernel takes a namespace down, the killed wait for a processor to die on.
pub const ROOM: Time = crate::support::ROOM.as_nanos() as Time;

/// One record of the report's timeline.
pub struct Event<'a> {
    /// Since softstop started, in nanoseconds, to the millisecond.
    pub at: Time,
    pub name: &'a str,
    pub value: &'a Value,
}

impl Event<'_> {
    pub fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }
}

/// A round with all that follows from what was seen.
pub struct Case<'a> {
    pub s: &'a Scenario,
    pub o: &'a Observed,
    pub lives: Vec<Life>,
    pub events: Vec<Event<'a>>,
    /// When softstop's own clock was at zero: not before, not after.
    pub zero: (Time, Time),
    /// The stop request, by softstop's clock.
    pub t0: Option<Time>,
    /// Somebody asked for the stop.
    pub requested: bool,
    /// That somebody was the round, with its one signal.
    pub by_round: bool,
}

/// Invariants for which there was something to check, and what was wrong.
#[derive(Default)]
pub struct Findings {
    pub checked: BTreeMap<u8, u32>,
    pub wrong: Vec<String>,
}

impl Findings {
    pub fn checked(&mut self, invariant: u8) {
        *self.checked.entry(invariant).or_default() += 1;
    }

    /// Counts as checked, too.
    pub fn hold(&mut self, invariant: u8, holds: bool, what: impl FnOnce() -> String) {
        self.checked(invariant);
        if !holds {
            self.wrong.push(format!("I{invariant}: {}", what()));
        }
    }
}

pub fn check(s: &Scenario, o: &Observed) -> Findings {
    let mut found = Findings::default();
    if s.broken.is_some() {
        refused::check(s, o, &mut found);
        return found;
    }
    let case = Case::new(s, o);
    budget::in_time(&case, &mut found);
    budget::reserves(&case, &mut found);
    order::readiness(&case, &mut found);
    order::drain_first(&case, &mut found);
    order::dependents_first(&case, &mut found);
    order::nothing_new(&case, &mut found);
    reaping::everything_reaped(&case, &mut found);
    reaping::nobody_else(&case, &mut found);
    reaping::system_calls(&case, &mut found);
    exit_code::check(&case, &mut found);
    output::check(&case, &mut found);
    found
}

impl<'a> Case<'a> {
    pub fn new(s: &'a Scenario, o: &'a Observed) -> Case<'a> {
        let nanos = |v: &Value| (v.as_f64().unwrap_or(0.0) * 1000.0).round() as Time * MS;
        let event = |value: &'a Value| Event {
            at: nanos(&value["at_seconds"]),
            name: value["event"].as_str().unwrap_or_default(),
            value,
        };
        let events: Vec<Event> = o.report["timeline"].as_array().into_iter().flatten().map(event).collect();
        let began = events.iter().find(|e| e.name == "stop_began");
        let requested = began.is_some_and(|e| e.value["requested"] == true);
        let t0 = began.map(|e| e.at);
        let pestered = s.processes.iter().any(|p| p.words.iter().any(|w| w.starts_with("pester:15")));
        let by_round = requested && !pestered && o.sent.is_some();
        let lives = journal::lives(&o.journal);
        let mut case = Case { s, o, lives, events, zero: (0, Time::MAX), t0, requested, by_round };
        case.zero = case.find_zero();
        case
    }

    /// Brackets softstop's clock by what must have come before and after: an end before it was seen, a hook's first act after it
    /// was said to begin.
    fn find_zero(&self) -> (Time, Time) {
        let (mut from, mut to) = (self.o.born, self.o.ended);
        if let (Some(sent), Some(t0), true) = (self.o.sent, self.t0, self.by_round) {
            from = from.max(sent - t0 - MS);
        }
        let mut pids = BTreeMap::new();
        for e in &self.events {
            let pid = e.value["pid"].as_i64().unwrap_or(0) as i32;
            let process = e.text("process").to_owned();
            match e.name {
                "started" => drop(pids.insert(process, pid)),
                "exited" | "stopped" => {
                    let life =
                        pids.get(&process).and_then(|pid| self.lives.iter().rfind(|l| l.pid == *pid && l.is_main()));
                    if let Some((at, _)) = life.and_then(Life::ended) {
                        from = from.max(at - e.at - MS);
                    }
                }
                "step_began" | "task_began" => {
                    // Only where it is clear which of a hook's runs this was.
                    let again = self.named(e.name).filter(|other| other.text("name") == e.text("name")).count() > 1;
                    let life = self.lives.iter().find(|l| l.name == e.text("name") && l.is_main());
                    if let Some(life) = life.filter(|_| !again) {
                        to = to.min(life.began() - e.at + MS);
                    }
                }
                _ => {}
            }
        }
        if let Some(seen) = self.events.iter().find(|e| e.name == "finished") {
            to = to.min(self.o.ended - seen.at + MS);
        }
        (from, to)
    }

    /// T0 in everybody's clock: not before, not after.
    pub fn t0_between(&self) -> Option<(Time, Time)> {
        self.t0.map(|t0| (self.zero.0 + t0, self.zero.1 + t0))
    }

    pub fn named<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c Event<'a>> {
        self.events.iter().filter(move |e| e.name == name)
    }

    /// The process that an event of the report is about.
    pub fn process_of(&self, e: &Event) -> Option<&Process> {
        if self.s.wrapper {
            self.s.processes.first()
        } else {
            self.s.processes.iter().find(|p| p.name == e.text("process"))
        }
    }

    /// The runs of a process.
    pub fn runs<'c>(&'c self, process: &'c str) -> impl Iterator<Item = &'c Life> {
        self.lives.iter().filter(move |l| l.is_main() && l.name == process)
    }

    /// Its latest run was told to stop because it was ill, not because the container stops.
    pub fn unhealthy(&self, process: &Process) -> bool {
        self.named("unhealthy").any(|e| self.process_of(e).is_some_and(|p| p.name == process.name))
    }

    /// The stop signals that softstop sent this one.
    pub fn told<'c>(&'c self, life: &'c Life, process: &Process) -> impl Iterator<Item = (Time, i32)> + 'c {
        let ladder = process.ladder_signals(self.s.default_stop());
        life.signals()
            .filter(move |(_, signal, sender)| *sender == self.o.softstop && ladder.contains(signal))
            .map(|(at, signal, _)| (at, signal))
    }

    /// The round itself sent it SIGKILL.
    pub fn killed_by_round(&self, pid: i32) -> bool {
        self.o.done.iter().any(|done| done.pid == pid && done.signal == libc::SIGKILL)
    }

    /// How long softstop was kept from running from then on.
    pub fn frozen_after(&self, at: Time) -> Time {
        self.o.frozen.iter().map(|(from, to)| (to.min(&self.o.ended) - from.max(&at)).max(0)).sum()
    }
}
