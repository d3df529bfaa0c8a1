//! How an attempt at a task or probe ended. Pure.

use std::time::Duration;

use super::{Awaited, CallError, Exit, ProbeKind};
use crate::signal::Signal;

/// How an attempt at a task or probe ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Ok,
    Failed(Failure),
    /// softstop could not even make the attempt (no process, descriptor or memory to be had): that says nothing of who was to be
    /// asked. A probe's is thrown away, as the kubelet does with an error of its own (prober/worker.go); a task's has failed.
    Unknown {
        reason: Failure,
    },
}

impl Outcome {
    /// See [`Failure::Said`].
    pub fn failed(reason: impl Into<String>) -> Outcome {
        Outcome::Failed(Failure::Said(reason.into()))
    }
}

/// Why an attempt failed.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Failure {
    /// An exec handler ended so; `said`: what it said last, if anything.
    Ended { exit: Exit, said: String },
    /// A probe was not answered in time.
    NoAnswer { within: Duration },
    /// Who was to be sent a signal.
    NotRunning { process: String },
    /// There was no attempt yet.
    NotProbed,
    /// An HTTP call, or a connection.
    Call(CallError),
    /// The host's name has no address; one line, by the resolver.
    NotResolved { why: String },
    /// Nobody could be asked for the host's address; one line, by the resolver.
    NotLookedUp { host: String, why: String },
    /// Who was to be sent a signal: no process of that name.
    NoProcess { command: String },
    /// Who was to be sent a signal runs as another user.
    NotPermitted { signal: Signal, command: String, pid: i32 },
    /// One line, by the system.
    Unseen { what: Unseen, error: String },
    /// softstop's own helper has ended so.
    Helper { exit: Exit },
    /// softstop has given it up.
    Cancelled,
    /// There is nothing to be attempted.
    NothingToDo,
    /// One line, by the system: `No such file or directory`. Never softstop's own words: those are made of the others.
    Said(String),
}

/// What the system does not let be seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Unseen {
    Processes,
    Connections,
    Listeners,
}

impl Failure {
    /// The exit code of an exec handler.
    pub fn code(&self) -> Option<u8> {
        match self {
            Failure::Ended { exit, .. } => Some(exit.code()),
            _ => None,
        }
    }
}

/// What makes a process unready, or unfit to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A probe failed so many times in a row.
    ProbeFailed { probe: ProbeKind, threshold: u32, last: Failure },
    /// One of its post_start tasks, with `on_failure = "restart"`.
    PostStartFailed { task: String },
    /// It was to say that it is ready, and has not, for so long.
    NotReadyInTime { within: Duration },
    /// It was to say that it is alive, and has not, for so long.
    WatchdogLate { within: Duration },
    /// It has said that it is unwell (WATCHDOG=trigger).
    SaysUnwell,
    /// It has said that it stops.
    SaysStopping,
}

/// Why a process is as it is: what it waits for, or what went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Until another is as it needs it; `held`: that one is held down.
    WaitsFor { on: String, condition: Condition, held: bool },
    /// Until an order starts it; `by_order`: another has stopped it.
    Held { process: String, by_order: bool },
    /// What it waits for can never be.
    WaitsInVain { on: String },
    /// It could not be started; one line.
    NotStarted(String),
    /// A signal has stopped it.
    Suspended(Signal),
    /// One of its probes has not succeeded.
    Probe { probe: ProbeKind, last: Failure },
    /// It has not said that it is ready.
    NotReadyYet,
    /// It has said that it stops.
    SaysStopping,
    /// Its post_start tasks run; what they wait for, where they say so.
    PostStart(Option<Awaited>),
    /// It has ended, and its post_exit tasks run.
    PostExit,
    /// It has ended, and what it left in its group has not.
    Stragglers,
    /// It has failed; `service`: it was to go on, whatever its code.
    Ended { exit: Exit, service: bool },
}

/// When a dependency counts as fulfilled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It runs and its startup probe, if any, has succeeded.
    Started,
    /// It is started, its post_start tasks are done and its readiness probe, if any, succeeds.
    Ready,
    /// It has ended with code 0 and is not restarted.
    Completed,
}

/// What the end of a process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessKind {
    /// Never expected, whatever its code.
    Service,
    /// What it is for: it runs to completion.
    Task,
}
