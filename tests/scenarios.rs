//! The stop as a story: a configuration, how everybody behaves, and the timeline that follows, in `scenarios/*.txt`. Virtual
//! time, the pure core. `BLESS=1 cargo test --test scenarios` writes the timelines anew; read the difference.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot be read fails its test")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use softstop::config::check;
use softstop::lifecycle::Machine;
use softstop::lifecycle::action::{Action, What};
use softstop::lifecycle::event::{Event, Exit, Outcome, ProcId, Sender};
use softstop::plan::Plan;
use softstop::signal::Signal;
use softstop::time::At;

/// Takes so long, and then: `Some(code)`, or never ends (`None`).
type Behaviour = Option<(Duration, u8)>;

struct World<'a> {
    machine: Machine,
    now: At,
    seq: u64,
    due: BTreeMap<(At, u64), Event>,
    behaviour: HashMap<&'a str, Behaviour>,
    alive: Vec<bool>,
    timeline: String,
}

impl World<'_> {
    fn soon(&mut self, after: Duration, event: Event) {
        self.seq += 1;
        self.due.insert((self.now + after, self.seq), event);
    }

    fn say(&mut self, text: &str) {
        let _ = writeln!(self.timeline, "{:8.3}s  {text}", self.now.since_start().as_secs_f64());
    }

    fn run(mut self) -> String {
        self.feed(Event::Begin);
        while !self.machine.finished() {
            let timer = self.machine.next_deadline();
            let next = self.due.first_key_value().map(|((at, _), _)| *at);
            let event = match (next, timer) {
                (Some(at), timer) if timer.is_none_or(|t| at <= t) => self.due.pop_first().unwrap(),
                (_, Some(at)) => ((at, 0), Event::Tick),
                _ => panic!("nothing will ever happen:\n{}", self.timeline),
            };
            self.now = self.now.max(event.0.0);
            assert!(self.now < At::from_millis(3_600_000), "no end:\n{}", self.timeline);
            self.feed(event.1);
        }
        self.timeline
    }

    fn feed(&mut self, event: Event) {
        if let Event::Exited { process, .. } = event
            && !std::mem::take(&mut self.alive[process.0])
        {
            return;
        }
        let ended = if let Event::Exited { process, .. } = event { Some(process) } else { None };
        // As the reaper has it: the dead, their groups, then whether anybody is left.
        let group = ended.map(|process| Event::GroupEmpty { process });
        let mut census = false;
        for event in [event].into_iter().chain(group) {
            for action in self.machine.step(self.now, event) {
                census |= action == Action::Census;
                self.perform(action);
            }
        }
        let alone = self.alive.iter().all(|a| !a);
        if !self.machine.finished() && (census || (ended.is_some() && alone)) {
            self.feed(if alone { Event::Alone } else { Event::NotAlone });
        }
    }

    fn behaviour(&self, of: &str) -> Behaviour {
        self.behaviour.get(of).copied().unwrap_or(Some((Duration::ZERO, 0)))
    }

    fn perform(&mut self, action: Action) {
        let name = |id: ProcId| self.machine.plan().name(id.0).to_string();
        match action {
            Action::Note(note) => self.say(&note.to_string()),
            Action::Spawn { process } => {
                self.alive[process.0] = true;
                self.soon(Duration::ZERO, Event::Spawned { process, pid: 10 + process.0 as i32 });
            }
            Action::Signal { .. } | Action::Diagnose { .. } => {
                let (process, signal, wake) = match action {
                    Action::Signal { process, signal, wake, .. } => (process, signal, wake),
                    Action::Diagnose { process, signal, .. } => (process, signal, true),
                    _ => return,
                };
                let name = name(process);
                self.say(&format!("    {signal}{} to {name}", if wake { " and SIGCONT" } else { "" }));
                if let Some((after, code)) = self.behaviour(&format!("{name} at {signal}")) {
                    self.soon(after, Event::Exited { process, status: Exit::Code(code) });
                }
            }
            Action::Kill { process, .. } => {
                let name = name(process);
                self.say(&format!("    SIGKILL to {name}"));
                let status = Exit::Signal { signal: Signal::KILL, core: false };
                self.soon(Duration::from_millis(1), Event::Exited { process, status });
            }
            Action::Run { run, what, .. } => {
                let plan = self.machine.plan();
                let of = match what {
                    What::Probe(process, kind) => format!("{} of {}", kind.name(), name(process)),
                    what => plan.task(what).unwrap().name.clone(),
                };
                if let Some((after, code)) = self.behaviour(&of) {
                    let failed = Outcome::Failed { reason: format!("exit code {code}"), code: Some(code) };
                    let outcome = if code == 0 { Outcome::Ok } else { failed };
                    self.soon(after, Event::RunDone { run, outcome });
                }
            }
            Action::Cancel { run, .. } => {
                self.soon(Duration::ZERO, Event::RunDone { run, outcome: Outcome::failed("ended") })
            }
            Action::Finish { code } => self.say(&format!("    exit {code}")),
            Action::SignalStragglers { .. }
            | Action::SignalGroup { .. }
            | Action::Forward { .. }
            | Action::Answer { .. }
            | Action::KillEverything
            | Action::Census => {}
        }
    }
}

/// `web at SIGTERM: 2s, 0`, `warm the cache: never`, `30s: SIGTERM`.
fn story(text: &str) -> (HashMap<&str, Behaviour>, Vec<(Duration, Signal)>) {
    let (mut behaviour, mut signals) = (HashMap::new(), Vec::new());
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (who, what) = line.split_once(": ").unwrap_or_else(|| panic!("not WHO: WHAT: {line:?}"));
        if let Ok(at) = humantime::parse_duration(who) {
            signals.push((at, Signal::parse(what).unwrap()));
        } else if what == "never" {
            behaviour.insert(who, None);
        } else {
            let (after, code) = what.split_once(", ").unwrap_or_else(|| panic!("not DURATION, CODE: {line:?}"));
            behaviour.insert(who, Some((humantime::parse_duration(after).unwrap(), code.parse().unwrap())));
        }
    }
    (behaviour, signals)
}

fn told(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut parts = text.splitn(3, "\n---\n");
    let (settings, told) = (parts.next().unwrap(), parts.next().expect("CONFIG --- STORY --- TIMELINE"));
    let expected = parts.next().unwrap_or_default();
    let (config, _) = check::read(settings, "scenario", &|_| None).unwrap_or_else(|p| panic!("{file:?}: {p}"));
    let (behaviour, signals) = story(told);
    let alive = vec![false; config.processes.len()];
    let machine = Machine::new(Plan::new(config));
    let (due, timeline) = (BTreeMap::new(), String::new());
    let mut world = World { machine, now: At::ZERO, seq: 0, due, behaviour, alive, timeline };
    for (at, signal) in signals {
        world.soon(at, Event::Signalled { signal, sender: Sender::Outside });
    }
    let timeline = world.run();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, format!("{settings}\n---\n{told}\n---\n{timeline}")).unwrap();
    } else {
        assert_eq!(expected, timeline, "{file:?}, if that is right: BLESS=1\n{timeline}");
    }
}

#[test]
fn every_scenario_goes_as_it_is_told() {
    let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files.iter().for_each(|file| told(file));
}
