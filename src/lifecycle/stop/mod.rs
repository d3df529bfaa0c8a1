//! From the stop request to the end: drain, stop of the processes, what they leave behind, post_stop, SIGKILL. Pure.
//!
//! ```text
//! T0 ─ Draining ─┬─────────────► Processes ─ Stragglers ─ PostStop ─ Killing ─ Over
//!                └─ Drained ─────┘                                   ▲
//!                   any of them, when `deadline` comes ──────────────┘
//! ```
//!
//! `Drained`: the stop began as a preStop hook, `softstop drain` or `GET /prestop`. The processes go on until a stop is
//! requested, or until what they hold of the budget begins.

mod requests;
mod sidecar;
mod stages;
mod steps;
mod stragglers;
mod times;

use std::collections::BTreeSet;
use std::time::Duration;

use super::action::What;
use super::core::Core;
use super::event::{Cause, ProcId, RunId};
use super::process::Change;
use super::task::TaskRun;
use crate::facts::{Place, Who};
use crate::plan::budget::Budget;
use crate::plan::stragglers::Occasion;
use crate::report::StepReport;
use crate::signal::Signal;
use crate::time::At;
use stragglers::Stragglers;

/// Between two sweeps with SIGKILL at the very end: what forks faster than that is caught by the next.
const SWEEP: Duration = Duration::from_millis(25);
/// Kept free at the end of a phase, so that what is killed at its end is reaped within it.
const SLACK: Duration = Duration::from_millis(250);
/// Kept free at the very end, for the report, the last lines and the exit itself, on a machine that may be busy.
const EXIT: Duration = Duration::from_millis(500);
/// What a kubelet whose timer ran out during the preStop hook leaves between SIGTERM and SIGKILL
/// (minimumGracePeriodInSeconds, pkg/kubelet/kuberuntime).
const MINIMUM_GRACE: Duration = Duration::from_secs(2);

/// What is true from the stop request on.
#[derive(Clone, Debug, Hash)]
pub(super) struct Stop {
    pub stage: Stage,
    pub cause: Cause,
    pub t0: At,
    /// Everything that still lives is killed then.
    pub deadline: At,
    /// softstop is gone then.
    pub end: At,
    /// By so much the deadline has moved up, for a crowd.
    for_crowd: Duration,
    /// Who holds what of it: the plan's, until the deadline moves up.
    budget: Budget,
    /// The init tasks were done.
    pub came_up: bool,
    /// Only the drain was ordered so far: the processes are not to be stopped yet.
    pub hold: bool,
    /// A sidecar's own SIGTERM is still to come, and may leave it little.
    last_turn: bool,
    /// The signal that asked for the stop, be it after a drain by order.
    pub signal: Option<Signal>,
    /// With that the main process's program is customarily stopped.
    pub signal_is_mains: bool,
    /// The drain is over, cut or skipped because somebody asked twice.
    pub hurried: bool,
    /// Something was started at some time.
    pub anything_ran: bool,
    /// Runs that were under way at T0 and have been told to end.
    interrupted: Vec<(RunId, What)>,
    /// The exit code of the first process that failed, other than by a signal of its own ladder.
    pub first_failure: Option<u8>,
    /// The drain was ended by a step with `on_failure = "stop"`.
    drain_ended: bool,
    pub record: StopRecord,
}

/// What is told of it at its end.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct StopRecord {
    pub steps: Vec<StepReport>,
    forced: Vec<Forced>,
    processes_began: Option<At>,
    /// What its steps took one after the other, when any was begun.
    pub drain_took: Option<Duration>,
    pub processes_took: Option<Duration>,
    pub post_stop_took: Option<Duration>,
}

impl StopRecord {
    /// What comes after them does not count, however little they took.
    pub(super) fn processes_are_over(&mut self, now: At) {
        if let (None, Some(began)) = (self.processes_took, self.processes_began) {
            self.processes_took = Some(now.since(began));
        }
    }
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Stage {
    /// Of the drain, or of post_stop.
    Steps(Steps),
    /// The drain is over; the processes go on until then at most.
    Drained {
        until: At,
    },
    Processes {
        until: At,
    },
    Stragglers(Stragglers),
    Killing {
        next: At,
        until: At,
        alone: bool,
    },
    Over,
}

/// A walk over `[[drain]]` or `[[post_stop]]`.
#[derive(Clone, Debug, Hash)]
pub(super) struct Steps {
    pub kind: Place,
    pub index: usize,
    /// The tasks of the step under way, side by side; empty between two steps.
    pub tasks: Vec<TaskRun>,
    slice: Duration,
    began: At,
}

/// Who did not end without SIGKILL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
enum Forced {
    Process(ProcId),
    /// A task that was interrupted.
    Task(What),
    Stragglers,
}

impl Stop {
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub fn is_draining(&self) -> bool {
        matches!(self.stage, Stage::Steps(Steps { kind: Place::Drain, .. }))
    }

    /// Of the step under way.
    pub fn tasks(&self) -> &[TaskRun] {
        match &self.stage {
            Stage::Steps(steps) => &steps.tasks,
            _ => &[],
        }
    }

    pub fn task(&mut self, nth: usize) -> Option<&mut TaskRun> {
        match &mut self.stage {
            Stage::Steps(steps) => steps.tasks.get_mut(nth),
            _ => None,
        }
    }

    /// What the life of a process has changed.
    pub fn on_change(&mut self, id: ProcId, change: &Change) {
        self.record.forced.extend(change.forced.then_some(Forced::Process(id)));
        if self.first_failure.is_none() {
            self.first_failure = change.failed;
        }
        // After a drain by order the processes go on, but not without this one.
        self.hold &= change.ends.is_none();
        self.interrupted.extend(change.interrupted);
    }

    /// A run is over: who was interrupted is waited for no more.
    pub fn answered(&mut self, run: RunId) {
        self.interrupted.retain(|(r, _)| *r != run);
    }

    /// Their names, each once.
    pub fn forced(&self, core: &Core) -> Vec<Who> {
        let mut names: Vec<Who> = Vec::new();
        let mut known = BTreeSet::new();
        for forced in &self.record.forced {
            let name = match forced {
                Forced::Process(id) => Who::Named(core.name(*id)),
                Forced::Task(what) => Who::Named(core.plan.task_name(*what)),
                Forced::Stragglers => Who::Stragglers,
            };
            if known.insert(name.clone()) || !matches!(forced, Forced::Process(_)) {
                names.push(name);
            }
        }
        names
    }

    pub fn nobody_was_forced(&self) -> bool {
        self.record.forced.is_empty()
    }

    /// How long stragglers get.
    pub fn occasion(&self) -> Occasion {
        if self.cause.requested() { Occasion::Requested } else { Occasion::Ended }
    }

    /// The account of the drain's steps.
    pub fn drain_steps(&self) -> impl Iterator<Item = &StepReport> {
        self.record.steps.iter().filter(|step| step.kind == Place::Drain)
    }
}
