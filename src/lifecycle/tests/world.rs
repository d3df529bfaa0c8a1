//! A machine that runs: its processes end when they are told to, everything else is as it comes. What holds whatever happens is asserted.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use super::super::Machine;
use super::super::action::{Action, Answer};
use super::super::event::{Client, Event, Exit, Order, Outcome, ProcId, RequestId, SpawnError, SpawnErrorKind};
use crate::config::Config;
use crate::facts::Difference;
use crate::order::DryRun;
use crate::plan::Plan;
use crate::report::{Done, Note};
use crate::signal::Signal;
use crate::time::At;

pub struct World {
    pub machine: Machine,
    pub now: At,
    /// With the command that each was started by; one whose second word is `missing` cannot be.
    pub alive: BTreeMap<usize, Vec<OsString>>,
    pub dying: BTreeSet<usize>,
    /// Who waits for an answer.
    pub waiting: BTreeSet<u64>,
    asked: u64,
    /// What was started, sent and ended, by name.
    pub done: Vec<String>,
    pub notes: Vec<Note>,
    pub answers: Vec<Answer>,
    /// What is read next.
    pub file: Result<Rc<Config>, String>,
    pub reading: Vec<(Option<RequestId>, bool)>,
    /// When it has to be over, as the machine says.
    pub end: Option<At>,
    pub finished: Option<At>,
}

impl World {
    pub fn new(config: Config) -> World {
        let mut world = World {
            machine: Machine::new(Plan::new(config)),
            now: At::ZERO,
            alive: BTreeMap::new(),
            dying: BTreeSet::new(),
            waiting: BTreeSet::new(),
            asked: 0,
            done: Vec::new(),
            notes: Vec::new(),
            answers: Vec::new(),
            file: Err("nothing was written".into()),
            reading: Vec::new(),
            end: None,
            finished: None,
        };
        world.feed(Event::Begin);
        world
    }

    pub fn name(&self, id: ProcId) -> String {
        self.machine.plan().name(id.0).to_owned()
    }

    pub fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            if self.finished.is_some() {
                return;
            }
            let stopping = self.machine.stopping();
            let actions = self.machine.step(self.now, event);
            assert!(!actions.iter().any(|a| stopping && matches!(a, Action::Spawn { .. })), "I6: {actions:?}");
            let (mut first, mut later) = (None, Vec::new());
            for action in actions {
                match action {
                    Action::Spawn { process } => {
                        let command = self.machine.plan().config.processes[process.0].command.clone();
                        if command.get(1).is_some_and(|word| word == "missing") {
                            let error = SpawnError { kind: SpawnErrorKind::NotFound, text: "not found".into() };
                            first = Some(Event::SpawnFailed { process, error });
                            continue;
                        }
                        self.done.push(format!("+{}", self.name(process)));
                        assert!(self.alive.insert(process.0, command).is_none(), "it runs already");
                        first = Some(Event::Spawned { process, pid: 100 });
                    }
                    Action::Signal { process, signal, .. } => {
                        assert!(self.alive.contains_key(&process.0), "I9: a signal to what has ended");
                        self.done.push(format!("{signal}>{}", self.name(process)));
                        let dependents = &self.machine.plan().order.dependents[process.0];
                        let up = dependents.iter().find(|(by, _)| self.alive.contains_key(by));
                        assert!(!self.machine.stopping() || up.is_none(), "I4: {up:?} depends on {process:?}");
                        self.dying.insert(process.0);
                    }
                    Action::Kill { process, .. } => drop(self.dying.insert(process.0)),
                    Action::KillEverything => self.dying.extend(self.alive.keys()),
                    Action::Run { run, .. } => later.push(Event::RunDone { run, outcome: Outcome::Ok }),
                    Action::Census if self.alive.is_empty() => later.push(Event::Alone),
                    Action::Census => later.push(Event::NotAlone),
                    Action::Reread { ask, dry_run } => self.reading.push((ask, dry_run)),
                    Action::Answer { ask, answer } => {
                        assert!(self.waiting.remove(&ask.0), "{ask:?} was answered twice");
                        self.answers.push(answer);
                    }
                    Action::Note(note) => self.notes.push(note),
                    Action::Finish { .. } => self.finished = Some(self.now),
                    _ => {}
                }
            }
            later.reverse();
            events.extend(later.into_iter().chain(first));
            let end = self.machine.end();
            assert!(self.end.is_none() || end <= self.end, "the end moved from {:?} to {end:?}", self.end);
            self.end = end;
            assert!(!(self.machine.stopping() && self.machine.ready()), "I2");
        }
    }

    pub fn ends(&mut self, id: usize, status: Exit) {
        if self.alive.remove(&id).is_some() {
            self.done.push(format!("-{}", self.name(ProcId(id))));
            self.dying.remove(&id);
            self.feed(Event::Exited { process: ProcId(id), status });
            self.feed(Event::GroupEmpty { process: ProcId(id) });
        }
    }

    /// Time passes, deadline by deadline; those who have been told to end do so.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for turns in 0.. {
            assert!(turns < 10_000, "it spins: {:?}", self.machine);
            while let Some(id) = self.dying.pop_first() {
                self.ends(id, Exit::Signal { signal: Signal::TERM, core: false });
            }
            let Some(next) = self.machine.next_deadline().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.feed(Event::Tick);
        }
        self.now = until;
    }

    pub fn order(&mut self, order: Order) {
        self.asked += 1;
        self.waiting.insert(self.asked);
        self.feed(Event::Ordered { ask: RequestId(self.asked), order, by: Client::Local { uid: 0, pid: 9 } });
    }

    /// What was asked for has been read.
    pub fn is_read(&mut self) {
        for (ask, dry_run) in std::mem::take(&mut self.reading) {
            self.feed(Event::Reread { ask, dry_run, read: self.file.clone() });
        }
    }

    /// What an order to reload does at once; `done` begins with it.
    pub fn reload(&mut self, config: Config) {
        self.done.clear();
        self.file = Ok(Rc::new(config));
        self.order(Order::Reload { wait: true, dry_run: DryRun(false) });
        self.is_read();
    }

    pub fn done(&self) -> String {
        self.done.join(" ")
    }

    pub fn reloaded(&self) -> &Difference {
        match self.answers.last() {
            Some(Answer::Done(Done::Reloaded(difference))) => difference,
            other => panic!("{other:?}"),
        }
    }

    /// By name, the second word of their commands.
    pub fn up(&self) -> BTreeMap<String, String> {
        let word = |command: &[OsString]| command[1].to_string_lossy().into_owned();
        self.alive.iter().map(|(id, command)| (self.name(ProcId(*id)), word(command))).collect()
    }
}
