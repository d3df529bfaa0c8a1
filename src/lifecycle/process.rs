//! The states of one process. Each holds just what is true in it: a pid stands only where a process exists. Pure.

use std::time::Duration;

use super::action::ProbeKind;
use super::asking::Asking;
use super::event::{Exit, ProcId};
use super::health::ProbeRun;
use super::task::TaskRun;
use crate::signal::Signal;
use crate::time::At;

/// ```text
///              dependencies hold          leader ends              group is empty
///   Waiting ────────────► Starting ─► Running ─► Cleaning ──┬──► Backoff ─► Starting …
///                                        │          ▲       └──► Ended
///              unhealthy, or the stop    └► Stopping ┘
/// ```
#[derive(Clone, Debug, Hash)]
pub(super) enum State {
    /// Never started yet.
    Waiting,
    /// `Action::Spawn` has been given; its answer comes in the same turn.
    Starting,
    Running(Running),
    /// It has been told to stop, or is about to be by its pre_stop.
    Stopping(Stopping),
    /// It has ended; members of its group have been told to, too.
    Cleaning(Cleaning),
    /// Until its next start.
    Backoff {
        until: At,
    },
    Ended(End),
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Running {
    pub pid: i32,
    pub since: At,
    /// Its startup probe has succeeded, or it has none.
    pub started: bool,
    pub post_start: PostStart,
    pub probes: Vec<ProbeRun>,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum PostStart {
    NotYet,
    Doing(usize, TaskRun),
    Done,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Stopping {
    pub pid: i32,
    pub since: At,
    pub began: At,
    /// SIGKILL comes then at the latest.
    pub until: At,
    /// That is sooner than its ladder asks for.
    pub short: bool,
    /// It is being stopped to be started again, not because the container stops.
    pub to_restart: bool,
    pub stage: StopStage,
    /// Of the time until `until` so much is kept for the diagnosis: the ladder ends this much earlier. Zero: there is none.
    pub diagnosis: Duration,
    /// The last signal of its ladder, and when it was sent.
    pub last: Option<(Signal, At)>,
    /// Its readiness probe goes on while it drains.
    pub probes: Vec<ProbeRun>,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum StopStage {
    PreStop(TaskRun),
    /// Waiting after the ladder's rung `index`.
    Rung {
        index: usize,
        until: At,
    },
    /// Its ladder is over; it has been told to say what it is doing.
    Diagnosing {
        until: At,
    },
    /// Not ended by `until`, it is taken for unkillable, and what waits for its end goes on; `None`: it is waited for.
    Killed {
        until: Option<At>,
    },
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Cleaning {
    pub exit: Exit,
    pub began: At,
    pub rest: Rest,
    pub signal: Signal,
    /// It was stopped on purpose (unhealthy, or by order) to be started again.
    pub to_restart: bool,
}

/// What is left of its group.
#[derive(Clone, Debug, Hash)]
pub(super) enum Rest {
    Asked(Asking),
    /// Sent SIGKILL, or gone: it is no longer waited for then.
    Over {
        until: At,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// Ended by itself, or when told to.
    Exited(Exit),
    /// Could not be started.
    StartFailed {
        /// What that amounts to as an exit code.
        code: u8,
    },
    /// What it waited for can never come true.
    CannotStart { on: ProcId },
    /// The container stopped before it was started (again).
    NotStarted,
    /// It could not be ended: uninterruptible, or not ours to kill.
    Unkillable,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Proc {
    pub state: State,
    /// Restarts in all.
    pub restarts: u32,
    /// Restarts since it last ran for `backoff.reset`: the back-off's exponent and what `max_restarts` counts.
    pub recent: u32,
    pub last_exit: Option<Exit>,
    pub last_error: Option<String>,
    pub was_started: bool,
    pub was_ready: bool,
    pub was_completed: bool,
    /// It is to be started again by order, whatever its policy says, at once.
    pub again: bool,
    /// It has ended with success, unasked, and is a service.
    pub fell_silent: bool,
    /// What was last announced.
    pub said_ready: bool,
    /// A liveness or startup verdict is being acted on.
    pub unhealthy: bool,
    /// SIGKILL was needed in the container's stop.
    pub forced: bool,
    /// Signals its ladder has sent: an end by one of them is no failure.
    pub sent: Vec<Signal>,
    /// When its part of the container's stop began.
    pub stop_began: Option<At>,
    /// A signal has stopped it, and none has continued it yet.
    pub suspended: Option<Signal>,
    /// When that was last said: whoever stops and continues it a thousand times a second is told of once in a while.
    pub said_suspended: Option<At>,
}

impl Proc {
    pub fn new() -> Proc {
        Proc {
            state: State::Waiting,
            restarts: 0,
            recent: 0,
            last_exit: None,
            last_error: None,
            was_started: false,
            was_ready: false,
            was_completed: false,
            again: false,
            fell_silent: false,
            said_ready: false,
            unhealthy: false,
            forced: false,
            sent: Vec::new(),
            stop_began: None,
            suspended: None,
            said_suspended: None,
        }
    }

    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// There is, or may be, a process or something left of its group.
    pub fn lives(&self) -> bool {
        match self.state {
            State::Starting | State::Running(_) | State::Stopping(_) | State::Cleaning(_) => true,
            State::Waiting | State::Backoff { .. } | State::Ended(_) => false,
        }
    }

    /// It has ended, and its last exit code was 0.
    pub fn succeeded(&self) -> bool {
        matches!(self.state, State::Ended(End::Exited(exit)) if exit.success())
    }

    pub fn pid(&self) -> Option<i32> {
        match &self.state {
            State::Running(r) => Some(r.pid),
            State::Stopping(s) => Some(s.pid),
            _ => None,
        }
    }

    pub fn probes(&mut self) -> Option<&mut Vec<ProbeRun>> {
        match &mut self.state {
            State::Running(r) => Some(&mut r.probes),
            State::Stopping(s) => Some(&mut s.probes),
            _ => None,
        }
    }

    pub fn probe(&self, kind: ProbeKind) -> Option<&ProbeRun> {
        match &self.state {
            State::Running(r) => r.probes.iter().find(|p| p.kind == kind),
            State::Stopping(s) => s.probes.iter().find(|p| p.kind == kind),
            _ => None,
        }
    }

    /// Kubernetes' `started`.
    pub fn started(&self) -> bool {
        matches!(&self.state, State::Running(r) if r.started)
    }

    /// Started, its post_start tasks done, its readiness probe, if any, succeeding; without one, not stopped by a signal.
    pub fn ready(&self) -> bool {
        let State::Running(r) = &self.state else {
            return false;
        };
        let probed =
            self.probe(ProbeKind::Readiness).map_or(self.suspended.is_none(), |probe| probe.verdict == Some(true));
        r.started && matches!(r.post_start, PostStart::Done) && probed
    }
}

/// `initial` doubled `level` times, at most `max`.
pub(super) fn backoff_delay(backoff: &crate::config::Backoff, level: u32) -> Duration {
    backoff.initial.saturating_mul(1u32.checked_shl(level.min(31)).unwrap_or(u32::MAX)).min(backoff.max)
}
