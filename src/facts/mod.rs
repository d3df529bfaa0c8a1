//! What happens to processes and is asked for, as values: the system's side, the core and the report speak of the same. Pure.

/// An enum each of whose variants has one name: in JSON, in metrics, in lines.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant),+
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),+];

            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word),+
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.name())
            }
        }
    };
}
pub(crate) use named;

mod call;
mod notification;
mod outcome;
mod place;
mod reload;
mod stop;
mod waits;

use std::net::IpAddr;
use std::time::Duration;

pub use call::{CallError, ConnectionError, GrpcError, RequestPart, TlsError};
pub use notification::Notification;
pub use outcome::{Condition, Failure, Fault, Outcome, ProcessKind, Trouble, Unseen};
pub use place::Place;
pub use reload::{Changed, Difference, Later, Reaction};
pub use stop::{Cause, Effect, Hopeless, How, Needless, NextCtrlC, NotPassedOn, Reason, Who};
pub use waits::{Awaited, Connections, FileState, Flow, Listening, Progress, Several, Unfinished, Unfit};

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

impl Sender {
    /// Whoever runs the container: the runtime, or the process that started softstop (another init in front of it, a service manager),
    /// which passes on what it is sent.
    pub fn is_from_outside(self) -> bool {
        matches!(self, Sender::Outside | Sender::Parent(_))
    }
}

/// Who gave an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Client {
    /// Over the control socket, as the kernel says.
    Local {
        uid: u32,
        /// As our PID namespace counts; 0 for a process outside it.
        pid: i32,
    },
    /// By `GET /prestop`.
    PreStop(HookCaller),
}

/// Who calls a preStop hook over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct HookCaller {
    pub from: IpAddr,
    /// It says so: `User-Agent: kube-lifecycle/1.36`.
    pub kubelet: bool,
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

/// Why a process could not be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpawnError {
    pub kind: SpawnErrorKind,
    /// What, where, and what to do: one line.
    pub text: String,
}

impl SpawnError {
    pub fn setup(text: String) -> SpawnError {
        SpawnError { kind: SpawnErrorKind::Setup, text }
    }

    pub fn transient(text: String) -> SpawnError {
        SpawnError { kind: SpawnErrorKind::Transient, text }
    }
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

named! {
    pub enum ProbeKind {
        Startup = "startup",
        Readiness = "readiness",
        Liveness = "liveness",
    }
}

named! {
    /// What a signal is to a process, as /proc has it.
    pub enum Disposition {
        Caught = "caught",
        Ignored = "ignored",
        /// By its first thread; another one may wait for it.
        Blocked = "blocked",
        Default = "default",
    }
}

/// Why a process has to be killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct KillReason {
    /// The last signal of its ladder that was sent, if any was.
    pub after: Option<Signal>,
    /// How long it has had since then.
    #[serde(rename = "waited_seconds", serialize_with = "crate::time::seconds")]
    pub waited: Duration,
    /// The budget's end, rather than the ladder's.
    pub out_of_time: bool,
    /// Only its group's stragglers are concerned; the process itself has ended.
    pub stragglers: bool,
}
