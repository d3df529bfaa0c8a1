//! How an attempt at a task or probe ended, and how far a wait is. Pure.

use std::time::Duration;

use super::{Exit, ProbeKind};

/// How an attempt at a task or probe ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Ok,
    Failed(Failure),
    /// softstop could not even make the attempt (no process, descriptor or memory to be had): that says nothing of who was to be
    /// asked. A probe's is thrown away, as the kubelet does with an error of its own (prober/worker.go); a task's has failed.
    Unknown {
        /// One line.
        reason: String,
    },
}

impl Outcome {
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
    /// One line, by the system or by who was asked: `connection refused`, `answered 503`.
    Said(String),
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
    ProbeFailed {
        probe: ProbeKind,
        threshold: u32,
        last: Failure,
    },
    PostStartFailed {
        task: String,
    },
}

/// How far a wait is.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Progress {
    pub awaited: Awaited,
    /// Which ones, for who gives up: `10.0.0.7:41234 and 11 more`.
    pub detail: Option<String>,
    /// Somebody ought to do something about it.
    pub alarming: bool,
    /// It is over with this: said at once.
    pub last: bool,
}

impl Progress {
    /// By who looks, in a few words.
    pub fn new(text: impl Into<String>) -> Progress {
        Progress::of(Awaited::Said(text.into()))
    }

    pub fn alarm(text: impl Into<String>) -> Progress {
        Progress { alarming: true, ..Progress::new(text) }
    }

    pub fn of(awaited: Awaited) -> Progress {
        Progress { awaited, detail: None, alarming: false, last: false }
    }
}

/// What is still waited for.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Awaited {
    /// The end of a process.
    End { process: String },
    /// Its readiness.
    Readiness { process: String },
    /// An attempt that succeeds; why the last did not.
    Success(Failure),
    /// One line, by who looks: `12 connections`.
    Said(String),
}

/// Why something had not ended when its time was up.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Unfinished {
    pub awaited: Awaited,
    pub detail: Option<String>,
}

/// Why a process is as it is: what it waits for, or what went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    WaitsFor {
        on: String,
        condition: Condition,
    },
    /// What it waits for can never be.
    WaitsInVain {
        on: String,
    },
    /// It could not be started; one line.
    NotStarted(String),
    /// A signal has stopped it.
    Suspended(crate::signal::Signal),
    /// One of its probes has not succeeded.
    Probe {
        probe: ProbeKind,
        last: Failure,
    },
    /// Its post_start tasks run; what they wait for, where they say so.
    PostStart(Option<Awaited>),
    /// It has ended, and its post_exit tasks run.
    PostExit,
    Stragglers,
    /// It has failed; `service`: it was to go on, whatever its code.
    Ended {
        exit: Exit,
        service: bool,
    },
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
