//! What an order came to, as values. Pure.

use std::time::Duration;

use super::{StopResult, TaskResult};
use crate::facts::{Cause, Difference, Trouble};
use crate::signal::Signal;

/// What an order came to: one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Done(Done),
    Refused(Refusal),
}

/// What was done. Processes by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// The drain has begun: SIGKILL comes in so long.
    Draining { left: Duration },
    /// The same of the stop.
    Stopping { left: Duration },
    /// `None`: there was nothing to drain.
    Drained(Option<Duration>),
    /// All of it: the stop that was waited for.
    Stopped(Box<StopResult>),
    /// Readiness is held back, and was by now or not.
    Unready { already: bool },
    /// Who is not ready by itself is named.
    Ready { but_for: Vec<String> },
    /// Nothing was to be done.
    RunsAlready { process: String, pid: i32 },
    /// It runs, for the first time or again.
    Started { process: String, pid: i32 },
    /// It is being stopped, to be held down.
    Holding { process: String },
    /// It is down, and stays so until it is started by order.
    Held { process: String, needed_by: Vec<String> },
    /// It was not up, and nothing would have started it.
    DownAlready { process: String },
    /// The log files are opened again.
    Reopened,
    /// It is being applied.
    Reloading(Difference),
    /// All of it is done.
    Reloaded(Difference),
    /// Nothing was done.
    WouldReload(Difference),
    /// No pid: it has ended by now.
    Sent { process: String, signal: Signal, pid: Option<i32> },
}

/// Why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    NoDrain,
    /// Some steps were not done: their names, and how each ended.
    NotAllDrained(Vec<(String, TaskResult)>),
    /// By a second stop request.
    DrainEnded,
    /// The container stops: nothing brings readiness back.
    StaysUnready(Cause),
    /// The container stops: nothing is started any more.
    NothingStarts(Cause),
    StopRequested(Cause),
    Stopped,
    NoSuchProcess {
        name: String,
        meant: Option<String>,
        /// All that there are.
        known: Vec<String>,
    },
    NoLogFiles,
    NotRunning {
        process: String,
    },
    /// `None`: the init tasks run.
    NotYetStarted {
        process: String,
        why: Option<Trouble>,
    },
    WaitsInVain {
        process: String,
        on: String,
    },
    /// The system's words, where there are any.
    StartFailed {
        process: String,
        error: Option<String>,
    },
    /// The container stops: nothing is read any more.
    NothingReloads(Cause),
    /// The wrapper has none.
    NoConfiguration,
    /// The init tasks run.
    NotUpYet,
    /// What is wrong with it: lines, as `softstop check` has them.
    BadConfiguration(String),
    /// The reload is done, and these do not run: their names, and the system's words.
    NotAllStarted {
        difference: Box<Difference>,
        failed: Vec<(String, String)>,
    },
    /// By a reload, before this was done.
    Removed {
        process: String,
    },
    /// By another order, before this one was done.
    HeldDown {
        process: String,
    },
    /// By another order, which had it held down no more.
    StartedAgain {
        process: String,
    },
    NotSent {
        process: String,
        signal: Signal,
        why: NotSent,
    },
}

/// Why a signal has reached nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSent {
    NotPermitted,
    Ended,
}
