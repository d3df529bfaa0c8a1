//! The whole life of a container as a pure state machine: events and a time go in, actions and the next deadline come
//! out. No clock, no syscall, no async, no I/O. DESIGN section 3 and the invariants I1–I9 are decided here.
//!
//! [`Phase`] is where the whole is, and owns what is true there: [`up`] is everything until a stop is requested, [`stop`] everything
//! from then on. [`process`] is the life of one process in all of them; [`task`] and [`health`] are those of tasks and probes.
//! [`reload`] is the way from one configuration to another, [`changes`] what is done when a file has changed.
//! [`timers`] is the one table of what is timed, [`effects`] knows for whom each run is. [`requests`] is what can be ordered, [`signals`]
//! what signals mean, [`view`] what `/status` shows.
//!
//! The contract with whoever drives it: `Action::Spawn` is answered by `Spawned` or `SpawnFailed` before any other event;
//! every `Action::Run` is answered by one `RunDone`, cancelled or not; `Action::Census` is answered once the dead are
//! reaped; `step` is called with `Event::Tick` no later than `next_deadline`. Nothing but an event changes the machine.

pub mod action;
mod asking;
mod changes;
mod core;
mod effects;
pub mod event;
mod exit_code;
mod health;
mod late;
mod process;
mod processes;
mod progress;
mod reload;
mod requests;
mod signals;
mod stop;
mod task;
#[cfg(test)]
mod tests;
mod timers;
mod up;
mod view;

use std::rc::Rc;
use std::time::Duration;

use self::core::Core;
use action::{Action, What};
use effects::Effects;
use event::{Cause, Event, Outcome, ProcId, RunId};
use process::{Input, State};
use processes::Fact;
use stop::Stop;
use task::TaskRun;

use crate::facts::Place;
use crate::plan::Plan;
use crate::time::At;

/// How many turns one event may set in motion: far more than any configuration needs, and an end to any mistake here.
const TURNS: usize = 10_000;

/// Two machines of one plan with the same hash go on alike: what an exhaustive search tells states apart by.
#[derive(Clone, Debug, Hash)]
pub struct Machine {
    core: Core,
    phase: Phase,
}

/// Where the whole is, with what is true there alone.
#[derive(Clone, Debug, Hash)]
enum Phase {
    New,
    Init {
        task: TaskRun,
    },
    Up {
        /// The wait for what a sidecar follows.
        follow: Option<TaskRun>,
    },
    /// Also when it is over: what it was is still asked for.
    Stopping(Box<Stop>),
}

impl Phase {
    /// From the stop request on.
    fn stop(&self) -> Option<&Stop> {
        match self {
            Phase::Stopping(stop) => Some(stop),
            _ => None,
        }
    }

    fn stop_mut(&mut self) -> Option<&mut Stop> {
        match self {
            Phase::Stopping(stop) => Some(stop),
            _ => None,
        }
    }

    /// The init tasks are done, or were when the stop was requested.
    fn came_up(&self) -> bool {
        match self {
            Phase::New | Phase::Init { .. } => false,
            Phase::Up { .. } => true,
            Phase::Stopping(stop) => stop.came_up,
        }
    }
}

impl Machine {
    pub fn new(plan: Plan) -> Machine {
        Machine { core: Core::new(plan), phase: Phase::New }
    }

    pub fn plan(&self) -> &Rc<Plan> {
        &self.core.plan
    }

    /// One event. Time never runs backwards: an `at` before an earlier one counts as that one.
    #[must_use]
    pub fn step(&mut self, at: At, event: Event) -> Vec<Action> {
        if !self.finished() {
            self.happens(at, event);
            self.settle();
        }
        std::mem::take(&mut self.core.fx.out)
    }

    /// An event that came before something that is due by now: it is taken note of, and nothing is due yet. So whoever ended in time
    /// is not taken for late because it is seen late. [`Machine::step`] with `Event::Tick` must follow at once.
    #[must_use]
    pub fn record_late(&mut self, at: At, event: Event) -> Vec<Action> {
        if !self.finished() {
            self.happens(at, event);
        }
        std::mem::take(&mut self.core.fx.out)
    }

    pub fn finished(&self) -> bool {
        self.phase.stop().is_some_and(Stop::is_over)
    }

    pub fn stopping(&self) -> bool {
        self.phase.stop().is_some()
    }

    /// Somebody has a certain time to end in: all of them in the stop, one that is being restarted before.
    pub fn waits_for_ends(&self) -> bool {
        self.stopping() || self.core.processes.any(Fact::Ending)
    }

    /// When softstop must be gone; `None` before the stop is requested.
    pub fn end(&self) -> Option<At> {
        self.phase.stop().map(|stop| stop.end)
    }

    /// How long it has run, if it does and is not told to end.
    pub fn ran(&self, process: ProcId, now: At) -> Option<Duration> {
        match &self.core.processes[process.0].state {
            State::Running(r) => Some(now.since(r.body.since)),
            _ => None,
        }
    }

    /// It is being stopped: its end, however it comes, is no surprise.
    pub fn is_being_stopped(&self, process: ProcId) -> bool {
        matches!(self.core.processes[process.0].state, State::Stopping(_))
    }

    fn happens(&mut self, at: At, event: Event) {
        let lost = if let Event::Late { lost } = event { lost } else { Duration::ZERO };
        self.time_passes(at, lost);
        self.core.processes.look(self.core.now, &mut self.core.fx);
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        let (id, input) = match &event {
            Event::Spawned { process, pid } => (*process, Input::Spawned { pid: *pid }),
            Event::SpawnFailed { process, error } => (*process, Input::SpawnFailed(error)),
            Event::Exited { process, status } => (*process, Input::Exited(*status)),
            Event::Scheduled { process } if matches!(self.phase, Phase::Up { .. }) => (*process, Input::Scheduled),
            Event::Suspended { process, signal } => (*process, Input::Suspended(*signal)),
            Event::Resumed { process } => (*process, Input::Resumed),
            Event::Notified { process, what } => (*process, Input::Notified(what)),
            Event::GroupEmpty { process } => (*process, Input::GroupEmpty),
            Event::Unsignalled { group: Some(process) } => (*process, Input::GroupGrew),
            Event::NotSent { process, signal } => (*process, Input::NotSent(*signal)),
            _ => return self.handle_for_all(event),
        };
        self.take(id, input);
    }

    /// What is no process's alone.
    fn handle_for_all(&mut self, event: Event) {
        match event {
            Event::Begin => self.begin(),
            Event::Signalled { signal, sender, program } => self.on_signal(signal, sender, program),
            Event::RunDone { run, outcome } => self.on_run_done(run, &outcome),
            Event::Progress { run, progress } => self.on_progress(run, progress),
            Event::OrphanReaped => self.core.orphans_reaped = self.core.orphans_reaped.saturating_add(1),
            Event::SignalAnswered { ask, process, signal, error } => self.signal_answered(ask, process, signal, error),
            Event::Ordered { ask, order, by } => self.on_ordered(ask, &order, by),
            Event::FileChanged { rule, path } => self.on_file_changed(rule, path),
            Event::Reread { ask, dry_run, read } => self.on_reread(ask, dry_run, read),
            Event::ClientGone { ask } => {
                self.core.take_request(ask);
            }
            Event::Alone | Event::NotAlone | Event::Unsignalled { .. } | Event::Crowd { .. } => {
                if let Phase::Stopping(stop) = &mut self.phase {
                    stop.on_stragglers(&event, &mut self.core);
                }
            }
            // What follows from it is done by now; a process's own have gone to it.
            _ => {}
        }
    }

    /// Something happens to one process, and what follows from it for all.
    fn take(&mut self, id: ProcId, input: Input<'_>) -> bool {
        let change = self.core.take(id, input, self.phase.stop_mut());
        if let (Some(cause), false) = (change.ends, self.stopping()) {
            self.request_stop(cause);
        }
        change.any
    }

    /// Act on everything that is due and everything that follows, until nothing does.
    fn settle(&mut self) {
        for turn in 0..TURNS {
            debug_assert!(turn + 1 < TURNS, "it does not settle: {:?}", self.core);
            if self.finished() {
                return;
            }
            let core = &mut self.core;
            core.processes.latch(&core.plan);
            core.processes.look(core.now, &mut core.fx);
            if !(self.due() || self.advance()) {
                break;
            }
        }
        self.announce();
        self.answer_orders();
        debug_assert!(self.core.processes.agree(&self.core.plan, self.core.now, &self.core.fx), "{:?}", self.core);
    }

    /// What follows without any time passing.
    fn advance(&mut self) -> bool {
        match &mut self.phase {
            Phase::New => false,
            Phase::Init { .. } => self.advance_init(),
            Phase::Up { .. } => self.advance_up(),
            Phase::Stopping(stop) => stop.advance(&mut self.core),
        }
    }

    fn request_stop(&mut self, cause: Cause) {
        match &mut self.phase {
            Phase::Stopping(stop) => stop.requested_again(cause, &mut self.core),
            phase => {
                let before = std::mem::replace(phase, Phase::New);
                self.phase = Phase::Stopping(Stop::begin(cause, before, &mut self.core));
            }
        }
    }

    /// The one answer to a run goes to whom it was for; to nobody, when that has gone on without it.
    fn on_run_done(&mut self, run: RunId, outcome: &Outcome) {
        let Some(what) = self.core.fx.runs.answered(run) else { return };
        if let Phase::Stopping(stop) = &mut self.phase {
            stop.answered(run);
        }
        if let Place::Probe(process, kind) = what.place {
            self.take(process, Input::Probed { kind, run, outcome });
            return;
        }
        let (now, plan) = (self.core.now, Rc::clone(&self.core.plan));
        self.with_task(what, |task, _| task.on_done(run, outcome, now, &plan));
    }

    /// Those under way that are no process's.
    fn tasks(&self) -> impl Iterator<Item = &TaskRun> {
        let (one, several) = match &self.phase {
            Phase::New | Phase::Up { follow: None } => (None, &[][..]),
            Phase::Init { task } | Phase::Up { follow: Some(task) } => (Some(task), &[][..]),
            Phase::Stopping(stop) => (None, stop.tasks()),
        };
        one.into_iter().chain(several).chain(self.core.changes.tasks())
    }

    /// Does something with a task, if it is under way. A new place for tasks is a row here.
    fn with_task<R>(&mut self, what: What, act: impl FnOnce(&mut TaskRun, &mut Effects) -> R) -> Option<R> {
        let task = match (what.place, &mut self.phase) {
            (Place::Init, Phase::Init { task }) => Some(task),
            (Place::Follow, Phase::Up { follow }) => follow.as_mut(),
            (Place::OnChange, Phase::Up { .. }) => self.core.changes.task(what.nth),
            (Place::Drain | Place::PostStop, Phase::Stopping(stop)) => stop.task(what.nth),
            (Place::PostStart(process) | Place::PreStop(process) | Place::PostExit(process), _) => {
                let Core { plan, now, processes, fx, .. } = &mut self.core;
                return processes.change(process.0, plan, *now, fx, |p, fx| {
                    p.task().filter(|task| task.what == what).map(|task| act(task, fx))
                });
            }
            _ => None,
        };
        task.filter(|task| task.what == what).map(|task| act(task, &mut self.core.fx))
    }
}
