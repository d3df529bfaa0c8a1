//! A stop that never happened: the machine plays it in virtual time, against a world where everybody behaves as well, or as badly, as can
//! be. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use crate::config::fit::least;
use crate::config::{Condition, Config, Handler, Process, Sidecar};
use crate::facts::{Client, Exit, Failure, Outcome, Place, Sender};
use crate::lifecycle::Machine;
use crate::lifecycle::action::{Action, What};
use crate::lifecycle::event::{Event, ProcId, RequestId, RunId};
use crate::order::Order;
use crate::plan::Plan;
use crate::record::Run;
use crate::report::{History, Note, ProcessSetup, Setup};
use crate::signal::Signal;
use crate::time::At;

/// Far more events than any configuration needs: an end to any mistake here.
const EVENTS: u32 = 200_000;
/// It comes up at once, whatever waits for what: what has not by then never does.
const PATIENCE: u32 = 10_000;

/// How everybody behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum World {
    /// Hooks succeed as soon as they can, processes end at their first signal and leave nothing behind.
    Well,
    /// Hooks hang until their time is up, processes until SIGKILL.
    Badly,
    /// And daemons in sessions of their own are left behind that do the same.
    Worst,
}

/// The stop of everything that can run, played; as its report has it. What is held or scheduled runs, too.
pub fn play(plan: &Plan, world: World) -> Run {
    let mut player = Player {
        machine: Machine::new(Plan::new(that_is_up(&plan.config))),
        world,
        now: At::ZERO,
        soon: VecDeque::new(),
        later: BinaryHeap::new(),
        history: History::default(),
        alive: vec![false; plan.config.processes.len()],
        stragglers: world == World::Worst,
        runs: BTreeSet::new(),
        ready: false,
        finished: false,
        next_pid: 1,
    };
    let setup = |p: &Process| ProcessSetup { name: p.name.clone(), program: String::new(), kind: None };
    let processes = plan.config.processes.iter().map(setup).collect();
    player.history.set_setup(Setup { readiness_on_drain: "fail", processes });
    player.run();
    // It has just been written.
    Run::read(player.history.json().as_bytes()).unwrap_or_default()
}

/// The same, with nothing that is only about coming up. What a process does by itself in a stop nobody knows: a wait for that is a hook like any
/// other.
fn that_is_up(config: &Config) -> Config {
    let mut config = config.clone();
    let steps = config.drain.iter_mut().chain(&mut config.post_stop).flat_map(|step| &mut step.tasks);
    for task in steps.chain(config.processes.iter_mut().filter_map(|process| process.pre_stop.as_deref_mut())) {
        if task.handler.waits() && least(&task.handler).is_zero() {
            task.handler = Handler::Exec(Vec::new());
        }
    }
    config.init.clear();
    config.sidecar = config.sidecar.map(|_| Sidecar::default());
    for process in &mut config.processes {
        process.post_start.clear();
        (process.notify, process.startup, process.readiness, process.liveness) = (None, None, None, None);
    }
    config
}

struct Player {
    machine: Machine,
    world: World,
    now: At,
    /// What has happened and is not told yet.
    soon: VecDeque<Event>,
    /// Runs that will succeed.
    later: BinaryHeap<Reverse<(At, RunId)>>,
    history: History,
    alive: Vec<bool>,
    /// They have been left behind, and live.
    stragglers: bool,
    /// Under way.
    runs: BTreeSet<RunId>,
    ready: bool,
    finished: bool,
    next_pid: i32,
}

impl Player {
    fn run(&mut self) {
        self.soon.push_back(Event::Begin);
        let (mut asked, mut extra) = (false, false);
        for events in 0..EVENTS {
            if self.finished {
                return;
            }
            if let Some(event) = self.soon.pop_front() {
                self.step(event);
                continue;
            }
            let next = self.next();
            if !self.machine.stopping() && (self.ready || events > PATIENCE || next.is_none()) {
                if !std::mem::replace(&mut extra, true) {
                    self.start_the_others();
                } else if !std::mem::replace(&mut asked, true) {
                    self.request();
                } else {
                    return;
                }
                continue;
            }
            let Some(next) = next else { return };
            self.now = self.now.max(next);
            match self.later.peek() {
                Some(Reverse((at, run))) if *at <= self.now => {
                    let run = *run;
                    self.later.pop();
                    self.answer(run, Outcome::Ok);
                }
                _ => self.step(Event::Tick),
            }
        }
    }

    fn next(&self) -> Option<At> {
        let run = self.later.peek().map(|Reverse((at, _))| *at);
        run.into_iter().chain(self.machine.next_deadline()).min()
    }

    /// What runs only at its time, or by order: in the worst case it runs.
    fn start_the_others(&mut self) {
        let plan = std::rc::Rc::clone(self.machine.plan());
        for (n, process) in plan.config.processes.iter().enumerate() {
            if process.schedule.is_some() {
                self.soon.push_back(Event::Scheduled { process: ProcId(n) });
            } else if !process.autostart {
                let order = Order::Start { process: process.name.clone() };
                self.soon.push_back(Event::Ordered { ask: RequestId(n as u64), order, by: BY });
            }
        }
    }

    /// As whoever runs the container does, or, where no signal is a stop request, as an order.
    fn request(&mut self) {
        self.step(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
        if !self.machine.stopping() {
            let order = Order::Stop { wait: false, process: None };
            self.step(Event::Ordered { ask: RequestId(u64::MAX), order, by: BY });
        }
    }

    fn step(&mut self, event: Event) {
        let mut actions: VecDeque<Action> = self.machine.step(self.now, event).into();
        while let Some(action) = actions.pop_front() {
            // Answered before anything else is told.
            if let Action::Spawn { process } = action {
                self.next_pid += 1;
                let spawned = Event::Spawned { process, pid: self.next_pid };
                actions.extend(self.machine.step(self.now, spawned));
                self.started(process);
            } else {
                self.follow(action);
            }
        }
    }

    fn started(&mut self, id: ProcId) {
        self.alive[id.0] = true;
        let plan = std::rc::Rc::clone(self.machine.plan());
        let mut needs = plan.config.processes.iter().flat_map(|process| &process.after);
        if needs.any(|(on, condition)| *on == id.0 && *condition == Condition::Completed) {
            self.ends(id, Exit::Code(0));
        }
    }

    fn ends(&mut self, process: ProcId, status: Exit) {
        if std::mem::replace(&mut self.alive[process.0], false) {
            self.soon.push_back(Event::Exited { process, status });
            self.soon.push_back(Event::GroupEmpty { process });
        }
    }

    fn answer(&mut self, run: RunId, outcome: Outcome) {
        if self.runs.remove(&run) {
            self.soon.push_back(Event::RunDone { run, outcome });
        }
    }

    fn follow(&mut self, action: Action) {
        let killed = Exit::Signal { signal: Signal::KILL, core: false };
        match action {
            Action::Signal { process, wake: true, .. } if self.world == World::Well => {
                self.ends(process, Exit::Code(0));
            }
            Action::Kill { process, because } => {
                let name = self.machine.plan().name(process.0).to_owned();
                self.note(Note::Killed { process: name, because, appeared_as: String::new(), look: None });
                self.ends(process, killed);
            }
            Action::Run { run, what, .. } => self.begin(run, what),
            Action::Cancel { run, .. } => self.answer(run, Outcome::Failed(Failure::Cancelled)),
            Action::SignalStragglers { signal, .. } => {
                self.note(Note::Stragglers { signal, count: 1, which: Vec::new() });
                self.stragglers &= signal != Signal::KILL;
            }
            Action::KillEverything => {
                self.stragglers = false;
                for n in 0..self.alive.len() {
                    self.ends(ProcId(n), killed);
                }
                for run in std::mem::take(&mut self.runs) {
                    self.soon.push_back(Event::RunDone { run, outcome: Outcome::Failed(Failure::Cancelled) });
                }
            }
            Action::Census => {
                let alone = !self.stragglers && !self.alive.contains(&true);
                self.soon.push_back(if alone { Event::Alone } else { Event::NotAlone });
            }
            Action::Note(note) => self.note(note),
            Action::Finish { .. } => self.finished = true,
            _ => {}
        }
    }

    fn begin(&mut self, run: RunId, what: What) {
        self.runs.insert(run);
        let stopping = self.machine.stopping();
        let of_stop = match what.place {
            Place::Drain | Place::PostStop | Place::PreStop(_) => true,
            Place::PostExit(_) => stopping,
            _ => false,
        };
        let takes = match (of_stop, self.world) {
            (false, _) => Duration::ZERO,
            (true, World::Well) => self.machine.plan().handler(what).map(least).unwrap_or_default(),
            (true, _) => return,
        };
        if takes.is_zero() {
            self.answer(run, Outcome::Ok);
        } else {
            self.later.push(Reverse((self.now + takes, run)));
        }
    }

    fn note(&mut self, note: Note) {
        self.ready |= matches!(note, Note::AllReady { .. });
        self.history.push(self.now, note);
    }
}

const BY: Client = Client::Local { uid: 0, pid: 1 };
