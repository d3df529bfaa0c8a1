//! What the user asked for, as valid settings: no strings left to parse, no impossible values. Pure.
//!
//! [`check`] turns the file's text into a [`Config`] and collects every [`problem`] on the way, each at its place. What a table of the
//! file becomes stands beside its keys there. The wrapper's flags build the same [`Config`] with one process in it (`crate::cli`).

pub mod check;
pub mod env_file;
pub mod expand;
pub mod fit;
pub mod listen;
pub mod network;
pub mod place;
pub mod platform;
pub mod problem;
pub mod procfile;
pub mod secrets;
pub mod sources;

pub use crate::facts::{Condition, ProcessKind};
pub use check::backoff::Backoff;
pub use check::capabilities::{Capabilities, CapabilitySet};
pub use check::env_file::EnvFile;
pub use check::exit_codes::ExitCodes;
pub use check::handler::{self, GrpcCall, Handler, HttpCall, Method, Scheme, host_and_port, without_brackets};
pub use check::http::Http;
pub use check::identity::Identity;
pub use check::ladder::{DEFAULT_DIAGNOSE_WAIT, Diagnose, Rung, Stop, stop_word};
pub use check::launch::Launch;
pub use check::limits::{Limits, Resource, Rlimit, UNLIMITED};
pub use check::logs::{AllLogs, LogTarget, Logs, Rotation, WhenFull};
pub use check::notify;
pub use check::on_change::{Act, OnChange};
pub use check::prestop;
pub use check::probe::Probe;
pub use check::process::{OnExit, Output, Process, SignalTo, Stdin};
pub use check::restart::{Operator, Restart, RestartRule};
pub use check::schedule::{Concurrency, Schedule};
pub use check::settings::{
    Color, Config, Control, ExitWhen, Forward, LogConfig, LogFormat, LogLevel, ReadinessOnDrain, TERMINATION_LOG,
    default_kill_reserve,
};
pub use check::sidecar::{Follow, Sidecar};
pub use check::socket;
pub use check::stop_on::StopOn;
pub use check::stragglers::{DEFAULT_TIMEOUT_WHEN_ENDED, Stragglers};
pub use check::task::{OnFailure, Retries, Step, Task, When};
pub use env_file::EnvFormat;
