//! What `/status`, `/metrics` and the probe endpoints show: a picture of the machine at one instant. Pure.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::facts::{Awaited, Cause, Failure, ProbeKind, ProcessKind, Trouble, named};
use crate::record::LastStop;
use crate::report::{Leaked, TaskProgress, is_zero, side_by_side};
use crate::signal::Signal;
use crate::time::seconds;

fn maybe_seconds<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    match d {
        Some(d) => seconds(d, s),
        None => s.serialize_none(),
    }
}

named! {
    /// Kubernetes' words for the whole, `kubectl`'s `Terminating` told by [`Status::stop`].
    #[derive(Default)]
    pub enum Phase {
        /// Init tasks run, or some process has never started.
        #[default]
        Pending = "Pending",
        /// Every process has been started.
        Running = "Running",
        Succeeded = "Succeeded",
        Failed = "Failed",
    }
}

named! {
    /// Of a process, as in a pod's container status.
    #[derive(Default)]
    pub enum State {
        #[default]
        Waiting = "Waiting",
        Running = "Running",
        Terminated = "Terminated",
    }
}

named! {
    /// Why a process is in its state, in Kubernetes' words where there are any.
    pub enum Why {
        PodInitializing = "PodInitializing",
        Dependency = "Dependency",
        Starting = "Starting",
        CrashLoopBackOff = "CrashLoopBackOff",
        /// Until its next time.
        Scheduled = "Scheduled",
        /// Until an order starts it.
        Held = "Held",
        /// Of one that runs: by a signal.
        Stopped = "Stopped",
        Stopping = "Stopping",
        Unkillable = "Unkillable",
        Completed = "Completed",
        Error = "Error",
        StartError = "StartError",
        OomKilled = "OOMKilled",
    }
}

named! {
    /// Where a stop is.
    pub enum Stage {
        Drain = "drain",
        /// The drain is over, and the stop not requested yet.
        Drained = "drained",
        Processes = "processes",
        Stragglers = "stragglers",
        PostStop = "post_stop",
        Kill = "kill",
        Done = "done",
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub version: &'static str,
    /// The file that it was started with. Told over the control socket alone: the probe port is open to everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    pub phase: Phase,
    /// `/startupz`: init tasks are done and every process is started (a one-shot one: started or completed).
    pub started: bool,
    /// `/readyz`.
    pub ready: bool,
    /// Held unready by `softstop unready`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unready: bool,
    /// `/livez`.
    pub live: bool,
    #[serde(rename = "uptime_seconds", serialize_with = "seconds")]
    pub uptime: Duration,
    #[serde(rename = "grace_seconds", serialize_with = "seconds")]
    pub grace: Duration,
    /// The init task that is running now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<TaskStatus>,
    pub processes: Vec<ProcessStatus>,
    /// Present from the stop request on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopStatus>,
    pub orphans_reaped: u64,
    #[serde(flatten)]
    pub seen: Seen,
}

/// What softstop has seen of the container beside its own processes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seen {
    #[serde(rename = "orphans_by_command", skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Leaked>,
    /// Processes that the kernel has killed in this control group because memory had run out; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
    /// Drain steps of this stop that were cut short or had no time.
    #[serde(skip)]
    pub drain_steps_cut: u64,
    /// How the run before this one ended, where a report of it was there at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_stop: Option<LastStop>,
}

/// Processes and threads in the container, and how many there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Pids {
    pub current: u64,
    pub max: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    pub name: String,
    #[serde(rename = "running_seconds", serialize_with = "seconds")]
    pub running: Duration,
    /// What it still waits for, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Awaited>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ProcessStatus {
    /// Its number: those of a reload may be anywhere.
    #[serde(skip)]
    pub id: usize,
    pub name: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
    /// What it waits for, or what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Trouble>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    pub started: bool,
    pub ready: bool,
    /// Those that are asked now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<ProbeStatus>,
    /// By a signal, and not continued yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// By its own words, until it says that it is ready again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reloading: bool,
    /// Its own words of what it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    pub live: bool,
    /// Absent of one that may go on or complete, as it has been declared neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProcessKind>,
    pub main: bool,
    pub restarts: u32,
    /// How often it, or what it left behind in its group, needed SIGKILL.
    #[serde(skip_serializing_if = "is_zero")]
    pub sigkills: u64,
    /// Of each probe that it has, how many attempts have counted against the threshold since softstop's start.
    #[serde(skip)]
    pub probe_failures: Vec<(ProbeKind, u64)>,
    /// Since it was last started.
    #[serde(rename = "running_seconds", skip_serializing_if = "Option::is_none", serialize_with = "maybe_seconds")]
    pub running: Option<Duration>,
    /// Until the next restart.
    #[serde(rename = "restart_in_seconds", skip_serializing_if = "Option::is_none", serialize_with = "maybe_seconds")]
    pub restart_in: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// What it said before its last end, if that was unasked for; oldest first. Told over the control socket alone: the probe port is
    /// open to everybody, and output may hold anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_output: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ProbeStatus {
    pub probe: ProbeKind,
    /// Absent: it has not come to a result yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<bool>,
    /// In a row, up to now.
    pub failures: u32,
    /// Of these the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}

/// Of a scheduled task.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleStatus {
    pub cron: String,
    /// Absent: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Until its next time, by the clock on the wall.
    #[serde(rename = "next_in_seconds", skip_serializing_if = "Option::is_none", serialize_with = "maybe_seconds")]
    pub next_in: Option<Duration>,
    /// Runs that have ended so.
    pub succeeded: u32,
    pub failed: u32,
    /// Its time came, and it still ran.
    pub skipped: u32,
    /// The latest first, five at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_runs: Vec<LastRun>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LastRun {
    #[serde(rename = "ended_ago_seconds", serialize_with = "seconds")]
    pub ended_ago: Duration,
    #[serde(rename = "ran_seconds", serialize_with = "seconds")]
    pub ran: Duration,
    /// 128 + n for a signal.
    pub exit_code: u8,
}

#[derive(Clone, Debug, Serialize)]
pub struct LastExit {
    /// 128 + n for a signal.
    pub exit_code: u8,
    /// The signal's name; the kubelet leaves it out, we do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// `Completed`, `Error`, or `OOMKilled` when the kernel killed it because memory had run out.
    pub reason: Why,
}

#[derive(Clone, Debug, Serialize)]
pub struct StopStatus {
    pub cause: Cause,
    pub stage: Stage,
    /// The drain or post_stop step under way, by name; empty elsewhere.
    pub step: String,
    /// What the step still waits for, where it says so: `12 connections`.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "side_by_side")]
    pub progress: Vec<TaskProgress>,
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// Until everything left is killed.
    #[serde(rename = "deadline_in_seconds", serialize_with = "seconds")]
    pub deadline_in: Duration,
    /// Until this step is cut short.
    #[serde(rename = "step_deadline_in_seconds", serialize_with = "seconds")]
    pub step_deadline_in: Duration,
}

/// What tests of those who show it begin with.
#[cfg(test)]
mod examples {
    use super::*;

    impl Status {
        /// All is well, and has been for 7.412 s.
        pub fn well(processes: Vec<ProcessStatus>) -> Status {
            Status {
                version: "0.1.0",
                phase: Phase::Running,
                started: true,
                ready: true,
                live: true,
                uptime: Duration::from_millis(7412),
                grace: Duration::from_secs(30),
                processes,
                ..Status::default()
            }
        }
    }

    impl ProcessStatus {
        /// It runs as pid 7 for 5.25 s, and is ready.
        pub fn well(name: &str) -> ProcessStatus {
            ProcessStatus {
                name: name.into(),
                state: State::Running,
                pid: Some(7),
                started: true,
                ready: true,
                live: true,
                running: Some(Duration::from_millis(5250)),
                ..ProcessStatus::default()
            }
        }
    }
}
