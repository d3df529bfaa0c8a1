//! The whole life of a container as a pure state machine: events and a time go in, actions and the next deadline come
//! out. No clock, no syscall, no async, no I/O. DESIGN section 3 and the invariants I1–I9 are decided here.
//!
//! [`up`] is everything until a stop is requested, [`stop`] everything from then on; [`process`], [`task`] and [`health`]
//! are the lives of their parts; [`snapshot`] is what `/status` shows.
//!
//! The contract with whoever drives it: `Action::Spawn` is answered by `Spawned` or `SpawnFailed` before any other event;
//! every `Action::Run` is answered by one `RunDone`, cancelled or not; `Action::Census` is answered once the dead are
//! reaped; `step` is called with `Event::Tick` no later than `next_deadline`.

pub mod action;
mod asking;
mod cleaning;
pub mod event;
mod follow;
mod health;
mod late;
mod orders;
mod process;
mod progress;
mod signals;
mod snapshot;
mod stop;
mod task;
#[cfg(test)]
mod tests;
mod up;

use std::rc::Rc;

use action::Action;
use event::{Event, Exit, ProcId, RunId, Sender};
use orders::Pending;
use process::{Proc, State};
use stop::Stop;
use task::{Effects, TaskRun};

use crate::config::Condition;
use crate::plan::Plan;
use crate::report::{Note, SignalMeaning};
use crate::signal::Signal;
use crate::time::At;

/// How many turns one event may set in motion: far more than any configuration needs, and an end to any mistake here.
const TURNS: usize = 10_000;

#[derive(Clone, Debug)]
pub struct Machine {
    plan: Rc<Plan>,
    now: At,
    stage: Stage,
    processes: Vec<Proc>,
    stop: Option<Stop>,
    fx: Effects,
    /// The wait for what a sidecar follows, from the end of the init tasks to the stop request.
    follow: Option<TaskRun>,
    /// The init tasks are done.
    came_up: bool,
    /// Said once.
    announced_ready: bool,
    orphans_reaped: u64,
    /// Taken out of service by `softstop unready`.
    unready: bool,
    /// Orders that wait for their answers.
    asks: Vec<Pending>,
    /// What the log has said of signals; each once.
    explained: Vec<SignalMeaning>,
    /// The signal with which the main process's program is customarily stopped, once it has asked for the stop.
    own_stop_signal: Option<Signal>,
    /// Limits of softstop's own that were reached and said, by their signals: two at the most.
    limits_said: Vec<Signal>,
}

/// Where the whole is.
#[derive(Clone, Debug, Hash)]
enum Stage {
    New,
    Init {
        index: usize,
        task: TaskRun,
    },
    Up,
    /// From here on `Machine::stop` is there.
    Stopping(stop::Stage),
    Done,
}

impl Machine {
    pub fn new(plan: Plan) -> Machine {
        let processes: Vec<Proc> = plan.config.processes.iter().map(|_| Proc::new()).collect();
        let fx = Effects::new(processes.len());
        Machine {
            plan: Rc::new(plan),
            now: At::ZERO,
            stage: Stage::New,
            processes,
            stop: None,
            fx,
            follow: None,
            came_up: false,
            announced_ready: false,
            orphans_reaped: 0,
            unready: false,
            asks: Vec::new(),
            explained: Vec::new(),
            own_stop_signal: None,
            limits_said: Vec::new(),
        }
    }

    pub fn plan(&self) -> &Rc<Plan> {
        &self.plan
    }

    /// One event. Time never runs backwards: an `at` before an earlier one counts as that one.
    #[must_use]
    pub fn step(&mut self, at: At, event: Event) -> Vec<Action> {
        if !matches!(self.stage, Stage::Done) {
            self.time_passes(at, event.lost());
            self.handle(event);
            self.settle();
        }
        std::mem::take(&mut self.fx.out)
    }

    /// An event that came before something that is due by now: it is taken note of, and nothing is due yet. So whoever ended in time
    /// is not taken for late because it is seen late. [`Machine::step`] with `Event::Tick` must follow at once.
    #[must_use]
    pub fn tell(&mut self, at: At, event: Event) -> Vec<Action> {
        if !matches!(self.stage, Stage::Done) {
            self.time_passes(at, event.lost());
            self.handle(event);
        }
        std::mem::take(&mut self.fx.out)
    }

    /// When `step` must be called with `Event::Tick` at the latest; `None`: nothing is timed.
    pub fn next_deadline(&self) -> Option<At> {
        if matches!(self.stage, Stage::Done) {
            return None;
        }
        let stage = match &self.stage {
            Stage::Init { task, .. } => task.next_deadline(),
            _ => None,
        };
        let stop = self.stop_deadline();
        let processes = self.processes.iter().filter_map(up::next_deadline);
        stage.into_iter().chain(stop).chain(processes).chain(self.follow_deadline()).min()
    }

    pub fn finished(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    pub fn stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Somebody has a certain time to end in: all of them in the stop, one that is being restarted before.
    pub fn waits_for_ends(&self) -> bool {
        let ending = |p: &Proc| matches!(p.state, State::Stopping(_) | State::Cleaning(_));
        self.stopping() || self.processes.iter().any(ending)
    }

    /// When softstop must be gone; `None` before the stop is requested.
    pub fn end(&self) -> Option<At> {
        self.stop.as_ref().map(|s| s.end)
    }

    /// How long it has run, if it does and is not told to end.
    pub fn ran(&self, process: ProcId, now: At) -> Option<std::time::Duration> {
        match &self.processes[process.0].state {
            State::Running(r) => Some(now.since(r.since)),
            _ => None,
        }
    }

    /// It is being stopped: its end, however it comes, is no surprise.
    pub fn is_being_stopped(&self, process: ProcId) -> bool {
        matches!(self.processes[process.0].state, State::Stopping(_))
    }

    /// An adopted process has been reaped: counted for `/status` and the report.
    pub fn orphan_reaped(&mut self) {
        self.orphans_reaped = self.orphans_reaped.saturating_add(1);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Begin => self.begin(),
            Event::Signalled { signal, sender, program } => self.on_signal(signal, sender, program),
            Event::Spawned { process, pid } => self.on_spawned(process, pid),
            Event::SpawnFailed { process, error } => self.on_spawn_failed(process, &error),
            Event::Exited { process, status } => self.on_exited(process, status),
            Event::Suspended { process, signal } => self.on_suspended(process, signal),
            Event::Resumed { process } => self.on_resumed(process),
            Event::GroupEmpty { process } => self.on_group_empty(process),
            Event::RunDone { run, outcome } => self.on_run_done(run, &outcome),
            Event::Progress { run, progress } => self.on_progress(run, progress),
            Event::Alone => self.on_census(true),
            Event::NotAlone => self.on_census(false),
            Event::Unsignalled { group: Some(process) } => self.group_grew(process),
            Event::Unsignalled { group: None } => self.stragglers_grew(),
            Event::NotSent { process, signal } => self.not_sent(process, signal),
            Event::SignalAnswered { ask, process, signal, error } => self.signal_answered(ask, process, signal, error),
            Event::Crowd { processes, waited } => self.on_crowd(processes, waited),
            Event::Ordered { ask, order, by } => self.on_ordered(ask, &order, by),
            Event::AskerGone { ask } => self.on_asker_gone(ask),
            // What follows from it is done by now.
            Event::Late { .. } | Event::Tick => {}
        }
    }

    /// Act on everything that is due and everything that follows, until nothing does.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            if matches!(self.stage, Stage::Done) {
                return;
            }
            self.latch();
            self.fx.ready.iter_mut().zip(&self.processes).for_each(|(ready, p)| *ready = p.ready());
            let changed = self.due_stop() || self.due_up() || self.advance_up() || self.advance_stop();
            if !changed {
                break;
            }
        }
        self.announce();
        self.answer_orders();
    }

    fn on_run_done(&mut self, run: RunId, outcome: &event::Outcome) {
        if let Stage::Init { task, .. } = &mut self.stage {
            task.on_done(run, outcome, self.now, &self.plan);
        }
        self.follow_done(run, outcome);
        self.run_done_up(run, outcome);
        self.run_done_stop(run, outcome);
    }

    fn name(&self, process: ProcId) -> String {
        self.plan.name(process.0).to_string()
    }

    fn note(&mut self, note: Note) {
        self.fx.push(Action::Note(note));
    }

    /// The dependency holds now, or has once (a start is decided once).
    fn fulfilled(&self, on: usize, condition: Condition) -> bool {
        let p = &self.processes[on];
        match condition {
            Condition::Started => p.was_started,
            Condition::Ready => p.was_ready,
            Condition::Completed => p.was_completed,
        }
    }

    /// The dependency can never hold any more; why, in words that follow the process's name.
    fn hopeless(&self, on: usize, condition: Condition) -> Option<&'static str> {
        let State::Ended(end) = &self.processes[on].state else {
            return None;
        };
        if self.fulfilled(on, condition) {
            return None;
        }
        Some(match (end, condition) {
            (process::End::Exited(Exit::Code(0)), _) => "has completed without it",
            (process::End::Exited(_), _) => "has failed",
            (process::End::StartFailed { .. }, _) => "could not be started",
            _ => "will not start either",
        })
    }
}

/// Two machines of one plan with the same hash go on alike: what an exhaustive search tells states apart by. The actions
/// are left out, as there are none between two steps.
impl std::hash::Hash for Machine {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.now, &self.stage, &self.processes, &self.stop).hash(state);
        (&self.fx, &self.follow, self.came_up, self.announced_ready, self.orphans_reaped, self.unready, &self.asks)
            .hash(state);
        (&self.explained, self.own_stop_signal).hash(state);
    }
}

impl std::fmt::Display for event::Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            event::Asker::Local { uid, pid: 0 } => write!(f, "uid {uid} outside the container"),
            event::Asker::Local { uid, pid } => write!(f, "uid {uid}, pid {pid}"),
            event::Asker::PreStop(caller) => caller.fmt(f),
        }
    }
}

impl std::fmt::Display for event::HookCaller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let who = if self.kubelet { "a kubelet at " } else { "" };
        write!(f, "{who}{}", self.from)
    }
}

impl std::fmt::Display for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Sender::Process(pid) => write!(f, "pid {pid}"),
            Sender::Parent(pid) => write!(f, "its parent, pid {pid}"),
            Sender::Outside => f.write_str("outside the container"),
            Sender::Terminal => f.write_str("the terminal"),
            Sender::Kernel => f.write_str("the kernel"),
            Sender::Unknown => f.write_str("an unknown sender"),
        }
    }
}

/// Take the elements for which `pick` says so out of `list`.
fn drain_where<T>(list: &mut Vec<T>, pick: impl Fn(&T) -> bool) -> Vec<T> {
    let (out, keep): (Vec<T>, Vec<T>) = std::mem::take(list).into_iter().partition(pick);
    *list = keep;
    out
}
