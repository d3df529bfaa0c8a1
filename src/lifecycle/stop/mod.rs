//! From the stop request to the end: drain, stop of the processes, what they leave behind, post_stop, SIGKILL. Pure.
//!
//! ```text
//! T0 ─ Draining ─┬─────────────► Processes ─ Stragglers ─ PostStop ─ Killing ─ Done
//!                └─ Drained ─────┘                                   ▲
//!                   any of them, when `deadline` comes ──────────────┘
//! ```
//!
//! `Drained`: the stop began as a preStop hook, `softstop drain` or `GET /prestop`. The processes go on until a stop is
//! requested, or until what they hold of the budget begins.

mod account;
mod process;
mod sidecar;
mod stages;
mod steps;
mod stragglers;

use std::time::Duration;

use super::action::{Action, What};
use super::event::{Cause, RunId, Sender};
use super::health::ProbeRun;
use super::late::LATE;
use super::process::{End, PostStart, Proc, State};
use super::task::TaskRun;
use super::up::KILL_WAIT;
use super::{Machine, Stage as Whole};
use crate::config::platform::Platform;
use crate::exit;
use crate::plan::budget::{Budget, Part, share};
use crate::report::{Note, Place, Secs, StepKind, StepReport, TaskResult};
use crate::signal::Signal;
use crate::time::At;
use stragglers::Stragglers;

/// Between two sweeps with SIGKILL at the very end: what forks faster than that is caught by the next.
const SWEEP: Duration = Duration::from_millis(25);
/// Kept free at the end of a phase, so that what is killed at its end is reaped within it.
pub(super) const SLACK: Duration = Duration::from_millis(250);
/// Kept free at the very end, for the report, the last lines and the exit itself, on a machine that may be busy.
const EXIT: Duration = Duration::from_millis(500);
/// What a kubelet whose timer ran out during the preStop hook leaves between SIGTERM and SIGKILL
/// (minimumGracePeriodInSeconds, pkg/kubelet/kuberuntime).
const LAST_CALL: Duration = Duration::from_secs(2);

/// What is true from the stop request on.
#[derive(Clone, Debug, Hash)]
pub(super) struct Stop {
    pub cause: Cause,
    pub t0: At,
    /// Everything that still lives is killed then.
    pub deadline: At,
    /// softstop is gone then.
    pub end: At,
    /// By so much the deadline has moved up, for a crowd.
    for_crowd: Duration,
    /// Who holds what of it: the plan's, until the deadline moves up.
    pub budget: Budget,
    /// Only the drain was ordered so far: the processes are not to be stopped yet.
    pub hold: bool,
    /// A sidecar's own SIGTERM is still to come, and may leave it little.
    last_turn: bool,
    /// The signal that asked for the stop, be it after a drain by order.
    signal: Option<Signal>,
    /// The drain is over, cut or skipped because somebody asked twice.
    pub hurried: bool,
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
    pub drain_took: Option<Duration>,
    processes_took: Duration,
    post_stop_took: Option<Duration>,
    /// The drain was ended by a step with `on_failure = "stop"`.
    drain_ended_by: Option<String>,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Stage {
    Draining(Steps),
    /// The drain is over; the processes go on until then at most.
    Drained {
        until: At,
    },
    Processes {
        until: At,
    },
    Stragglers(Stragglers),
    PostStop(Steps),
    Killing {
        next: At,
        until: At,
        alone: bool,
    },
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
        if self.hook_is_missing(&cause) {
            self.note(Note::NoHook);
        }
        let first_failure = match cause {
            Cause::AllEnded => self.processes.iter().find_map(failed),
            _ => None,
        };
        let hold = cause.drain_only();
        let signal = signal_of(&cause);
        let ran = self.processes.iter().any(|p| p.last_exit.is_some() || p.lives());
        // A sidecar that is up does what it is for.
        let anything_ran = ran || self.is_sidecar() && self.came_up;
        let mut stop = Stop {
            cause,
            t0,
            deadline,
            end: self.plan.budget.end(t0),
            for_crowd: Duration::ZERO,
            budget: self.plan.budget.clone(),
            hold,
            last_turn: false,
            signal,
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
        };
        if hold && self.is_sidecar() {
            stop.grant_last_turn(&self.plan.budget);
        }
        self.stop = Some(stop);
        self.interrupt_start();
        self.stage = Whole::Stopping(Stage::Draining(Steps::new(StepKind::Drain, self.now)));
    }

    /// The kubelet's SIGTERM is the first that is heard of the stop, and a drain is to come. Only a hook shows how much of the grace there
    /// really is: it is still waited for when the kubelet's timer runs out.
    fn hook_is_missing(&self, cause: &Cause) -> bool {
        let config = &self.plan.config;
        let by_kubelet =
            matches!(cause, Cause::Signal { sender, .. } if sender.is_from_outside() || *sender == Sender::Unknown);
        config.platform == Platform::Kubernetes && by_kubelet && !config.drain.is_empty() && !self.is_sidecar()
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
        if let Some(mut task) = self.follow.take() {
            // A look at others: nothing of it is left to wait for.
            let _ended = task.cancel(why, true, self.now, &mut self.fx);
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
    /// presses, hurries: the second ends the drain, the third kills. After `softstop drain` the first request is none.
    fn requested_again(&mut self, cause: &Cause, text: String) {
        let draining = matches!(self.stage, Whole::Stopping(Stage::Draining(_)));
        let waited_for = self.drain_is_waited_for();
        let Some(stop) = &mut self.stop else { return };
        let by_hand = matches!(cause, Cause::Signal { sender: Sender::Terminal, signal } if *signal != Signal::HUP);
        let released = stop.hold && !cause.drain_only();
        stop.hold &= !released;
        if released {
            stop.signal = signal_of(cause);
            stop.turn_has_come(&self.plan.budget, self.now);
        }
        // A kubelet sends its SIGTERM when the hook has returned, or else when its timer has run out.
        let kubelet =
            matches!(cause, Cause::Signal { sender, .. } if sender.is_from_outside() || *sender == Sender::Unknown);
        let last_call = kubelet && released && draining && waited_for;
        let effect = match (by_hand, stop.hurried) {
            (false, _) if last_call => {
                "the drain was still waited for, so the time of its preStop hook is up: 2s are left"
            }
            (false, _) if released && draining => "the processes stop when the drain is over",
            (false, _) if released => "stopping the processes",
            (false, _) => "changes nothing",
            (true, false) if draining => "skipping the rest of the drain",
            (true, false) if released => "stopping the processes; once more kills everything",
            (true, false) => "the drain is over; once more kills everything",
            (true, true) => "killing everything now",
        };
        if by_hand && stop.hurried {
            stop.deadline = self.now;
        }
        stop.hurried |= by_hand;
        self.note(Note::StopAgain { cause: text, effect });
        if last_call {
            self.move_up();
        }
    }

    /// What is left from now on is [`LAST_CALL`], if it is not less already. The reserves of what is still to come are fitted
    /// into it, and the step under way gets what they leave.
    fn move_up(&mut self) {
        let now = self.now;
        let Some(stop) = &mut self.stop else { return };
        let Whole::Stopping(Stage::Draining(steps)) = &mut self.stage else { return };
        let end = now + LAST_CALL;
        if end >= stop.end {
            return;
        }
        stop.end = end;
        stop.budget.kill_reserve = stop.budget.kill_reserve.min(LAST_CALL / 4);
        stop.deadline = stop.deadline.min(end - stop.budget.kill_reserve);
        stop.budget.fit(Part::Drain(steps.index), stop.deadline.left(now));
        let room = share(now, stop.deadline, stop.budget.after_drain(steps.index), None);
        for task in &mut steps.tasks {
            task.shorten(now + room);
        }
    }
}

impl Stop {
    /// The deadline may have moved up, or softstop itself may have been late: what is `planned` is fitted into what is left now.
    pub fn fit(&mut self, planned: &Budget, first: Part, now: At) {
        let kill_reserve = self.budget.kill_reserve;
        self.budget = planned.clone();
        self.budget.kill_reserve = kill_reserve;
        let drains = matches!(first, Part::Drain(_));
        let deadline = if drains { self.drain_deadline(planned) } else { self.deadline };
        self.budget.fit(first, deadline.left(now));
    }

    /// What is left after it is for the report and the exit itself.
    pub fn exit_by(&self) -> At {
        self.end - (self.budget.kill_reserve / 2).min(EXIT)
    }

    /// After the deadline: what is killed only now has a moment to be reaped and its end to be known, until then.
    pub fn moment(&self, now: At) -> At {
        now + if now < self.end { self.end.since(now).min(LATE) } else { LATE }
    }

    /// Who is sent SIGKILL now, at the deadline or with nothing else left to do, is waited for until then.
    fn kill_until(&self, now: At) -> At {
        match self.exit_by() {
            until if now < until => until.min(now + KILL_WAIT.max(self.budget.kill_reserve) + self.for_crowd),
            // Late: softstop was paused or suspended.
            _ if now >= self.deadline + LATE => self.moment(now),
            _ => now,
        }
    }

    /// The account of the drain's steps.
    pub fn drain_steps(&self) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(|step| step.kind == StepKind::Drain)
    }
}

fn signal_of(cause: &Cause) -> Option<Signal> {
    match cause {
        Cause::Signal { signal, .. } => Some(*signal),
        _ => None,
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
        Cause::StopOrdered { .. } => "stop_ordered",
        Cause::DrainOrdered { .. } => "drain_ordered",
        Cause::PreStopCalled { .. } => "prestop",
        Cause::ProcessEnded { .. } => "process_ended",
        Cause::StartFailed { .. } => "start_failed",
        Cause::InitFailed { .. } => "init_failed",
        Cause::PostStartFailed { .. } => "post_start_failed",
        Cause::AllEnded => "all_ended",
        Cause::FollowedEnded { .. } => "followed_ended",
        Cause::DependencyFailed { .. } => "dependency_failed",
    }
}
