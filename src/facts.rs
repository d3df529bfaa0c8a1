//! What happens to processes and is asked for, as values: the system's side, the core and the report speak of the same. Pure.

use std::time::Duration;

use crate::exit;
use crate::signal::Signal;

/// Where a signal came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Sender {
    /// From a process inside our PID namespace.
    Process(i32),
    /// From the process that started softstop: another init in front of it, a service manager, a shell.
    Parent(i32),
    /// From outside the PID namespace: the container runtime, the kubelet, an operator's `kill`.
    Outside,
    /// From the kernel on behalf of the terminal (Ctrl-C).
    Terminal,
    /// From the kernel, about something that softstop itself did: a limit that it has reached, a pipe that nobody reads.
    Kernel,
    /// softstop was told so before it could see by whom, or the kernel does not say.
    Unknown,
}

impl std::fmt::Display for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Sender::Process(pid) => write!(f, "pid {pid}"),
            Sender::Parent(pid) => write!(f, "its parent, pid {pid}"),
            Sender::Outside => f.write_str("outside the container"),
            Sender::Terminal => f.write_str("the terminal"),
            Sender::Kernel => f.write_str("the kernel"),
            Sender::Unknown => f.write_str("an unknown sender"),
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Exit {
    Code(u8),
    Signal { signal: Signal, core: bool },
}

impl Exit {
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }

    /// The code a shell would report: 128 + n for a signal.
    pub fn code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal { signal, .. } => exit::for_signal(signal.number()),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal { signal, core: true } => write!(f, "{signal}, core dumped"),
            Exit::Signal { signal, core: false } => write!(f, "{signal}"),
        }
    }
}

/// Why a process could not be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpawnError {
    pub kind: SpawnErrorKind,
    /// What, where, and what to do: one line.
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpawnErrorKind {
    /// No such program: exit code 127.
    NotFound,
    /// There, but not executable (permission, format, missing interpreter): exit code 126.
    NotExecutable,
    /// The system is short of something (EAGAIN, ENOMEM, EMFILE): worth another try.
    Transient,
    /// A user, group or directory that does not exist or is not permitted: exit code 126.
    Setup,
}

impl SpawnErrorKind {
    /// The exit code that a failed start amounts to.
    pub fn exit_code(self) -> u8 {
        match self {
            SpawnErrorKind::NotFound => exit::NOT_FOUND,
            SpawnErrorKind::NotExecutable | SpawnErrorKind::Setup => exit::NOT_EXECUTABLE,
            SpawnErrorKind::Transient => exit::INTERNAL,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    Startup,
    Readiness,
    Liveness,
}

impl ProbeKind {
    pub fn name(self) -> &'static str {
        match self {
            ProbeKind::Startup => "startup",
            ProbeKind::Readiness => "readiness",
            ProbeKind::Liveness => "liveness",
        }
    }
}

/// Why a process has to be killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KillReason {
    /// The last signal of its ladder that was sent, if any was.
    pub after: Option<Signal>,
    /// How long it has had since then.
    pub waited: Duration,
    /// The budget's end, rather than the ladder's.
    pub out_of_time: bool,
    /// Only its group's left-overs are concerned; the process itself has ended.
    pub left_overs: bool,
}
