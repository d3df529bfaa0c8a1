//! One drill, as it was measured, and what was drilled. Pure.

use std::time::Duration;

use serde::Serialize;

use super::record::Record;
use super::tally::Tally;
use crate::config::{Config, HttpCall, ReadinessOnDrain, SignalTo};
use crate::report::Secs;

/// What is drilled.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `softstop run -c softstop.toml`.
    pub command: String,
    pub wrapper: bool,
    /// `/readyz` stays as it is, by `readiness_on_drain = "keep"`.
    pub keeps_ready: bool,
    /// Some readiness can be seen from outside.
    pub serves: bool,
    /// By name.
    pub programs: Vec<Program>,
    pub kill_reserve: Duration,
    pub load: Option<HttpCall>,
    pub rate: u32,
    pub connections: u32,
    pub lag: Option<Duration>,
    /// Whose readiness counts, when it is not softstop's.
    pub readiness: Option<String>,
    pub patience: Duration,
    pub pre_stop: bool,
}

/// A process of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    pub name: String,
    pub argv: Vec<String>,
    /// Signals go to its whole group.
    pub to_group: bool,
}

impl Setup {
    pub fn of(config: &Config) -> Setup {
        let text = |word: &std::ffi::OsString| word.to_string_lossy().into_owned();
        let program = |process: &crate::config::Process| Program {
            name: process.name.clone(),
            argv: process.command.iter().map(text).collect(),
            to_group: process.signal_to == SignalTo::Group,
        };
        Setup {
            wrapper: config.is_wrapper(),
            keeps_ready: config.readiness_on_drain == ReadinessOnDrain::Keep,
            serves: config.http.is_some(),
            programs: config.processes.iter().map(program).collect(),
            kill_reserve: config.kill_reserve,
            ..Setup::default()
        }
    }

    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|program| program.name == name)
    }
}

/// One drill.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    #[serde(rename = "grace_seconds")]
    pub grace: Secs,
    /// It was PID 1 of a namespace of its own.
    pub pid1: bool,
    /// Since it was started; `None`: it never was.
    #[serde(rename = "ready_after_seconds", skip_serializing_if = "Option::is_none")]
    pub ready_after: Option<Secs>,
    /// Why it was not; it was stopped all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_ready: Option<String>,
    /// A crash that was rehearsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// The stop was requested; else it ended by itself.
    pub requested: bool,
    /// Of the `softstop drain` that announced the stop.
    #[serde(rename = "pre_stop_seconds", skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<Secs>,
    /// From the stop request to its end, as it was seen from outside.
    #[serde(rename = "ended_after_seconds", skip_serializing_if = "Option::is_none")]
    pub ended_after: Option<Secs>,
    /// How softstop ended: a code, 128 and more for a signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// It was still there at the end of the grace and was sent SIGKILL, as a kubelet would have done.
    pub killed: bool,
    /// softstop's own report.
    #[serde(rename = "stop", skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// From the stop request until readiness had turned.
    #[serde(rename = "readiness_turned_after_seconds", skip_serializing_if = "Option::is_none")]
    pub turned_after: Option<Secs>,
    /// What came of the load. Times are since it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Tally>,
    /// Since the load began, of the stop request and of the last new request.
    #[serde(rename = "load_stop_requested_seconds", skip_serializing_if = "Option::is_none")]
    pub load_requested: Option<Secs>,
    #[serde(rename = "load_ended_seconds", skip_serializing_if = "Option::is_none")]
    pub load_ended: Option<Secs>,
    pub at_stop: Vec<AtStop>,
    #[serde(flatten)]
    pub seen: Seen,
    /// Still there after softstop's end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// A crash that was rehearsed, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Crash {
    pub process: String,
    /// Since it was ready.
    #[serde(rename = "after_seconds")]
    pub after: Secs,
    /// Until it was ready again; `None`: it was not.
    #[serde(rename = "ready_again_after_seconds", skip_serializing_if = "Option::is_none")]
    pub again: Option<Secs>,
}

impl Run {
    /// From the stop request to softstop's end, by its own account.
    pub fn took(&self) -> Option<Duration> {
        self.record.as_ref().filter(|_| !self.killed).and_then(|record| record.began.map(|_| record.took.0))
    }

    /// From the stop request to when a request was begun that is known by its time since the load began.
    pub fn since_request(&self, at: Secs) -> Duration {
        at.0.saturating_sub(self.load_requested.unwrap_or_default().0)
    }

    /// Requests that failed from the stop request on.
    pub fn failed(&self) -> u64 {
        self.load.as_ref().map_or(0, Tally::failed)
    }
}

/// A process of the configuration when the stop was requested.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AtStop {
    pub name: String,
    /// As it sees it itself.
    pub pid: i32,
    pub command: String,
    pub children: usize,
    /// The name of one of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub child: String,
    pub catches_sigterm: bool,
    pub ignores_sigterm: bool,
}

/// Everything below drill, looked at again and again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Seen {
    /// At the same time, softstop included.
    pub most_processes: usize,
    /// In memory at the same time, in bytes; what processes share counts for each.
    pub most_memory: u64,
    /// At the same time, and dead for longer than a moment.
    pub most_zombies: usize,
    /// Dead at the last look, to be counted when they are still there at the next.
    #[serde(skip)]
    pub dead: Vec<(i32, u64)>,
}
