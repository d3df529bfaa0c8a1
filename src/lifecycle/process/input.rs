//! What a process is told and sees, and what it answers. Pure.

use std::time::Duration;

use super::super::action::{ProbeKind, What};
use super::super::event::{Cause, Exit, Notification, Outcome, ProcId, RunId, SpawnError};
use super::super::stop::Stop;
use crate::config::{self, OnExit};
use crate::facts::Hopeless;
use crate::plan::Plan;
use crate::signal::Signal;
use crate::time::At;

/// What can happen to a process.
#[derive(Debug)]
pub(in crate::lifecycle) enum Input<'a> {
    /// What it waits for holds.
    Start,
    /// What it waits for can never hold.
    CannotStart { on: ProcId, why: Hopeless },
    /// It runs.
    Spawned { pid: i32 },
    /// It does not.
    SpawnFailed(&'a SpawnError),
    /// It is a zombie still: its group can be signalled safely, now and only now.
    Exited(Exit),
    /// Nothing is left of its group.
    GroupEmpty,
    /// Somebody in its group has had no signal yet.
    GroupGrew,
    /// A signal has stopped it.
    Suspended(Signal),
    /// It goes on.
    Resumed,
    /// It says something of itself.
    Notified(&'a Notification),
    /// A signal has reached nobody.
    NotSent(Signal),
    /// An attempt of a probe has been answered.
    Probed { kind: ProbeKind, run: RunId, outcome: &'a Outcome },
    /// One of its timers.
    Due(Timer),
    /// The next of its post_start tasks, if there is one.
    PostStart,
    /// An order: it is to be started again, whatever it is doing.
    Again,
    /// An order: it is to be stopped, and held down.
    Hold,
    /// A reload has taken it out: it is stopped, if it runs, and gone.
    Remove,
    /// A reload has given it other settings, which hold by now; it had these. `None`: it is new.
    Reconfigured { was: Option<&'a config::Process> },
    /// The time that it is scheduled for has come.
    Scheduled,
    /// The container stops: nothing is begun any more.
    StopRequested,
    /// Its turn in the container's stop, which leaves it so much time.
    Stop { limit: Duration },
    /// SIGKILL, once.
    Kill,
    /// Killed, and no longer waited for.
    GiveUp,
    /// softstop lost so much time.
    Late { lost: Duration },
    /// softstop leaves.
    Leave,
}

/// What of a process is timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::lifecycle) enum Timer {
    /// Its stop.
    Stop,
    /// A post_start task, its back-off, what it has left in its group.
    Life,
    /// Also what it is to say by itself.
    Probes,
}

/// What an input has changed beyond the process itself.
#[derive(Debug, Default)]
pub(in crate::lifecycle) struct Change {
    /// Something is otherwise than before.
    pub any: bool,
    /// Its end is the container's.
    pub ends: Option<Cause>,
    /// SIGKILL was needed.
    pub forced: bool,
    /// It has failed, with this exit code.
    pub failed: Option<u8>,
    /// This run was told to end, and is still to be waited for.
    pub interrupted: Option<(RunId, What)>,
}

/// What a process sees of everything else.
pub(in crate::lifecycle) struct Around<'a> {
    pub id: ProcId,
    pub plan: &'a Plan,
    pub now: At,
    /// Once it was requested.
    pub stop: Option<&'a Stop>,
}

impl Change {
    pub(super) fn some() -> Change {
        Change::of(true)
    }

    pub(super) fn of(any: bool) -> Change {
        Change { any, ..Change::default() }
    }

    pub(super) fn forced() -> Change {
        Change { forced: true, ..Change::some() }
    }

    pub(super) fn ends_if(ends: bool, cause: Cause) -> Change {
        Change { ends: ends.then_some(cause), ..Change::some() }
    }
}

impl<'a> Around<'a> {
    pub fn config(&self) -> &'a config::Process {
        &self.plan.config.processes[self.id.0]
    }

    pub(super) fn name(&self) -> String {
        self.plan.name(self.id.0).to_string()
    }

    /// Without it the container does not go on.
    pub(super) fn is_needed(&self) -> bool {
        self.config().on_exit != OnExit::Continue
    }

    /// Such an end, unasked, is a failure: of a service any is.
    pub(super) fn is_failure(&self, exit: Exit) -> bool {
        !self.config().is_success(exit) || self.plan.is_service(self.id.0)
    }
}
