//! What a wait sees that is not yet as it should be. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use super::{CallError, Failure};
use crate::signal::Signal;

/// How far a wait is.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Progress {
    pub awaited: Awaited,
    /// Which ones, for who gives up.
    pub detail: Option<Several<SocketAddr>>,
    /// Somebody ought to do something about it.
    pub alarming: bool,
    /// It is over with this: said at once.
    pub last: bool,
}

impl Progress {
    pub fn of(awaited: Awaited) -> Progress {
        Progress { awaited, detail: None, alarming: false, last: false }
    }

    pub fn alarm(awaited: Awaited) -> Progress {
        Progress { alarming: true, ..Progress::of(awaited) }
    }
}

/// Why something had not ended when its time was up.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Unfinished {
    pub awaited: Awaited,
    pub detail: Option<Several<SocketAddr>>,
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
    /// The end of processes of a name, whoever started them.
    EndOf { command: String, pids: Several<i32> },
    /// The start of one.
    StartOf { command: String },
    /// Nothing: they have been sent a signal.
    Signalled { signal: Signal, command: String, pids: Several<i32> },
    /// A file that is as it should be; how it is.
    File { path: String, is: FileState },
    /// An HTTP answer that is as it should be; why there is none.
    Answer(Unfit),
    /// The end of connections.
    Idle(Connections),
    /// Nothing: no port is listened on.
    NoListener,
    /// The end of connections on ports that were found.
    Listening {
        ports: Several<Listening>,
        /// Why others may be among them; one line.
        unsure: Option<String>,
        /// There are more, and only so many are waited for.
        most: Option<usize>,
    },
    /// Somebody who listens on these ports; what else there is.
    Listener { ports: Several<u16>, beside: Option<Connections> },
}

/// Some of them, for who reads.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Several<T> {
    pub named: Vec<T>,
    /// At least as many.
    pub all: usize,
}

/// The connections that a `wait_idle` counts.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Connections {
    pub open: u64,
    /// `None`: nobody knows.
    pub active: Option<u64>,
    /// That came since the beginning.
    pub new: u64,
    /// The node's probes came besides.
    pub probes: bool,
    /// Few enough are active; so long nothing must come now.
    pub quiet: Option<Duration>,
}

/// A port that is listened on.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Listening {
    pub port: u16,
    /// The name and pid of one of its processes.
    pub by: Option<(String, i32)>,
}

/// How a file is that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum FileState {
    Missing,
    StillThere,
    /// There is no text in it to look for: a directory, a pipe.
    NoFile,
    Without {
        text: String,
    },
    /// Its file system does not answer.
    Hangs,
    /// By the system.
    Unseen(String),
    /// By the system.
    Unread(String),
}

/// Why an answer is not the one that is waited for.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Unfit {
    /// There is none.
    NotAnswered(CallError),
    /// Within so long.
    NoAnswer(Duration),
    /// The lowest and the highest that is wanted.
    Status { status: u16, wanted: (u16, u16) },
    /// No JSON, says its parser.
    Unreadable(String),
    /// No value at this JSON pointer.
    NoValue { pointer: String },
    /// The value there; as JSON.
    Value { pointer: String, is: String },
    /// No metric of that name.
    NoSample { metric: String },
    /// The sum of its samples.
    Sum { metric: String, is: String },
}

/// How long ago something last moved on a connection, as TCP_INFO has it: in steps of the kernel's tick (1 to 10 ms).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// Data was sent.
    pub sent: Duration,
    /// Data came.
    pub received: Duration,
    /// The peer acknowledged anything.
    pub heard: Duration,
}
