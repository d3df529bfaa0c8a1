//! From the stop request to the end: drain, stop of the processes, what they leave behind, post_stop, SIGKILL. Pure.
//!
//! ```text
//! T0 ─ Draining ─ Processes ─ Stragglers ─ PostStop ─ Killing ─ Done
//!                                                    ▲
//!          any of them, when `deadline` comes ───────┘
//! ```

mod account;
mod process;
mod stages;
mod steps;

use std::time::Duration;

use super::action::{Action, What};
use super::event::{Cause, RunId, Sender};
use super::health::ProbeRun;
use super::process::{End, PostStart, Proc, State};
use super::task::TaskRun;
use super::{Machine, Stage as Whole};
use crate::exit;
use crate::report::{Note, Place, Secs, StepKind, StepReport, TaskResult};
use crate::signal::Signal;
use crate::time::At;

/// Between two sweeps with SIGKILL at the very end: what forks faster than that is caught by the next.
const SWEEP: Duration = Duration::from_millis(25);
/// Kept free at the end of a phase, so that what is killed at its end is reaped within it.
const SLACK: Duration = Duration::from_millis(250);
/// Kept free at the very end, for the report, the last lines and the exit itself, on a machine that may be busy.
const EXIT: Duration = Duration::from_millis(500);

/// What is true from the stop request on.
#[derive(Clone, Debug, Hash)]
pub(super) struct Stop {
    pub cause: Cause,
    pub t0: At,
    /// Everything that still lives is killed then.
    pub deadline: At,
    /// softstop is gone then.
    pub end: At,
    /// The drain is over, cut or skipped because somebody asked twice.
    hurried: bool,
    /// Something was started at some time.
    anything_ran: bool,
    /// Runs that were under way at T0 and have been told to end.
    interrupted: Vec<(RunId, What)>,
    /// The exit code of the first process that failed, other than by a signal of its own ladder.
    first_failure: Option<u8>,
    steps: Vec<StepReport>,
    forced: Vec<String>,
    processes_began: Option<At>,
    /// What its steps took one after the other, when any was begun.
    drain_took: Option<Duration>,
    processes_took: Duration,
    post_stop_took: Option<Duration>,
    /// The drain was ended by a step with `on_failure = "stop"`.
    drain_ended_by: Option<String>,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Stage {
    Draining(Steps),
    Processes { until: At },
    Stragglers(Stragglers),
    PostStop(Steps),
    Killing { next: At, until: At, alone: bool },
}

/// A walk over `[[drain]]` or `[[post_stop]]`.
#[derive(Clone, Debug, Hash)]
pub(super) struct Steps {
    pub kind: StepKind,
    pub index: usize,
    /// The tasks of the step under way, side by side; empty between two steps.
    pub tasks: Vec<TaskRun>,
    share: Duration,
    began: At,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Stragglers {
    began: At,
    pub until: At,
    asked: bool,
    signalled: bool,
    killed: bool,
    alone: bool,
}

impl Machine {
    pub(super) fn request_stop(&mut self, cause: Cause) {
        let text = self.cause_text(&cause);
        if self.stop.is_some() {
            self.requested_again(&cause, text);
            return;
        }
        let t0 = self.now;
        let deadline = self.plan.budget.deadline(t0);
        let requested = cause.requested();
        self.fx.reason = reason_word(&cause);
        self.note(Note::StopBegan {
            cause: text,
            requested,
            others: self.processes.iter().filter(|p| p.lives()).count() > usize::from(!requested),
            grace: Secs(self.plan.budget.grace),
            deadline: Secs(deadline.since(t0)),
        });
        let first_failure = match cause {
            Cause::ProcessEnded { status, .. } if !status.success() => Some(status.code()),
            Cause::AllEnded => self.processes.iter().find_map(failed),
            _ => None,
        };
        let anything_ran = self.processes.iter().any(|p| p.last_exit.is_some() || p.lives());
        self.stop = Some(Stop {
            cause,
            t0,
            deadline,
            end: self.plan.budget.end(t0),
            hurried: false,
            anything_ran,
            interrupted: Vec::new(),
            first_failure,
            steps: Vec::new(),
            forced: Vec::new(),
            processes_began: None,
            drain_took: None,
            processes_took: Duration::ZERO,
            post_stop_took: None,
            drain_ended_by: None,
        });
        self.interrupt_start();
        self.stage = Whole::Stopping(Stage::Draining(Steps::new(StepKind::Drain, self.now)));
    }

    /// Nothing is started or restarted any more: what was about to be, is not; what was being done for it, ends.
    fn interrupt_start(&mut self) {
        let why = "the stop was requested";
        let mut interrupted = Vec::new();
        if let Whole::Init { task, index } = &mut self.stage {
            interrupted.extend(task.cancel(why, false, self.now, &mut self.fx).map(|run| (run, task.what)));
            let (attempts, took) = (task.attempts, Secs(self.now.since(task.began)));
            let name = self.plan.config.init[*index].name.clone();
            if let Some(result @ TaskResult::Cancelled { .. }) = task.result().cloned() {
                self.fx.push(Action::Note(Note::TaskEnded { place: Place::Init, name, attempts, took, result }));
            }
        }
        for p in &mut self.processes {
            match &mut p.state {
                State::Waiting | State::Backoff { .. } => p.state = State::Ended(End::NotStarted),
                State::Running(r) => {
                    if let PostStart::Doing(_, task) = &mut r.post_start {
                        interrupted.extend(task.cancel(why, false, self.now, &mut self.fx).map(|run| (run, task.what)));
                    }
                    let ended = |probe: &ProbeRun| probe.kind != super::action::ProbeKind::Readiness;
                    for mut probe in super::drain_where(&mut r.probes, ended) {
                        probe.end(&mut self.fx);
                    }
                }
                State::Starting | State::Stopping(_) | State::Cleaning(_) | State::Ended(_) => {}
            }
        }
        if let Some(stop) = &mut self.stop {
            stop.interrupted = interrupted;
        }
    }

    /// A duplicate changes nothing: at a node's shutdown every process gets SIGTERM directly. Only Ctrl-C, which a person
    /// presses, hurries: the second ends the drain, the third kills.
    fn requested_again(&mut self, cause: &Cause, text: String) {
        let draining = matches!(self.stage, Whole::Stopping(Stage::Draining(_)));
        let Some(stop) = &mut self.stop else { return };
        let by_hand = matches!(cause, Cause::Signal { sender: Sender::Terminal, signal } if *signal != Signal::HUP);
        let effect = match (by_hand, stop.hurried) {
            (false, _) => "changes nothing",
            (true, false) if draining => "skipping the rest of the drain",
            (true, false) => "the drain is over; once more kills everything",
            (true, true) => "killing everything now",
        };
        if by_hand && stop.hurried {
            stop.deadline = self.now;
        }
        stop.hurried |= by_hand;
        self.note(Note::StopAgain { cause: text, effect });
    }
}

/// The exit code that the final end of a process stands for, when that was a failure.
fn failed(p: &Proc) -> Option<u8> {
    match p.state {
        State::Ended(End::Exited(exit)) if !exit.success() => Some(exit.code()),
        State::Ended(End::StartFailed { code }) => Some(code),
        State::Ended(End::CannotStart { .. }) => Some(exit::FAILED),
        _ => None,
    }
}

/// `SOFTSTOP_REASON`: one word, stable.
fn reason_word(cause: &Cause) -> &'static str {
    match cause {
        Cause::Signal { .. } => "signal",
        Cause::ProcessEnded { .. } => "process_ended",
        Cause::StartFailed { .. } => "start_failed",
        Cause::InitFailed { .. } => "init_failed",
        Cause::PostStartFailed { .. } => "post_start_failed",
        Cause::AllEnded => "all_ended",
        Cause::DependencyFailed { .. } => "dependency_failed",
    }
}
