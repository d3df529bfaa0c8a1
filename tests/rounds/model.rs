//! What one round is: a configuration, how its processes behave, when it is stopped, and what goes wrong. All of it is drawn from the
//! seed (`draw`); `render` writes the configuration down. Times are in milliseconds.

use std::collections::BTreeMap;

use crate::support::faults::Fault;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    /// As PID 1 of a namespace of its own, or as a subreaper among everybody else.
    pub pid1: bool,
    /// `softstop FLAGS -- CMD`; else `softstop run -c FILE`.
    pub wrapper: bool,
    pub grace: u64,
    pub kill_reserve: Option<u64>,
    pub stop_reserve: Option<u64>,
    pub http: bool,
    /// `readiness_on_drain = "keep"`.
    pub keep: bool,
    pub json_log: bool,
    pub exit_codes: BTreeMap<u8, u8>,
    pub forced: Option<u8>,
    pub init: Vec<Task>,
    pub processes: Vec<Process>,
    pub drain: Vec<Step>,
    pub post_stop: Vec<Step>,
    pub stop: Stop,
    /// Nobody reads what is printed.
    pub unread: bool,
    /// Processes that are none of softstop's business are there.
    pub strangers: bool,
    /// softstop's own system calls are recorded.
    pub traced: bool,
    /// What stands in front of softstop.
    pub place: Vec<Fault>,
    pub acts: Vec<Act>,
    /// The configuration is made wrong in this way.
    pub broken: Option<Broken>,
}

#[derive(Clone, Debug)]
pub struct Stop {
    /// After the start, in microseconds; `None`: once everything that can be up is.
    pub after_us: Option<u64>,
    pub signal: i32,
}

#[derive(Clone, Debug, Default)]
pub struct Process {
    pub name: String,
    pub words: Vec<String>,
    /// Signal and wait; empty: the default.
    pub ladder: Vec<(i32, Option<u64>)>,
    pub to_group: bool,
    pub after: Vec<(usize, &'static str)>,
    pub restart: Option<&'static str>,
    pub on_exit: Option<&'static str>,
    pub main: bool,
    pub backoff: u64,
    pub max_restarts: Option<u32>,
    pub output: Option<&'static str>,
    pub pre_stop: Option<Task>,
    pub post_start: Vec<Task>,
    /// `startup`, `readiness`, `liveness`.
    pub probes: Vec<(&'static str, Probe)>,
}

#[derive(Clone, Debug)]
pub struct Probe {
    pub what: Ask,
    pub period: u64,
    pub failures: u32,
}

#[derive(Clone, Debug)]
pub enum Ask {
    Exec(Vec<String>),
    /// The process listens on this port of the round's address.
    Tcp(u16),
}

#[derive(Clone, Debug)]
pub struct Task {
    /// In the report, and of its actor in the journal.
    pub name: String,
    pub what: What,
    pub timeout: Option<u64>,
    pub retries: u32,
    pub on_failure: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub enum What {
    Exec(Vec<String>),
    Sleep(u64),
    /// To a process, by index.
    Signal(usize, i32),
    /// Nobody listens there.
    Tcp(u16),
}

#[derive(Clone, Debug)]
pub struct Step {
    /// Several: side by side.
    pub tasks: Vec<Task>,
    pub reserve: Option<u64>,
    pub always: bool,
}

/// Something that the round does to softstop or to what it runs, so many milliseconds after the stop was asked for (before it: while
/// everything is up).
#[derive(Clone, Debug)]
pub struct Act {
    pub at: i64,
    pub what: Doing,
}

#[derive(Clone, Debug)]
pub enum Doing {
    /// SIGSTOP to one of the processes below softstop.
    StopOne(u64),
    /// SIGKILL to one of the processes below softstop, as the kernel does when memory is short.
    KillOne(u64),
    /// So many of this signal to softstop, from this many threads.
    Storm { signal: i32, count: u32, senders: u32 },
    /// softstop itself gets no processor for so long.
    Freeze(u64),
}

/// How a configuration is made wrong; each names the line that the message must point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    MisspeltKey,
    NonsenseDuration,
    BareNumber,
    MissingCommand,
    UnknownDependency,
    BadSignal,
    Unclosed,
    SameName,
}

impl Broken {
    pub const ALL: [Broken; 8] = [
        Broken::MisspeltKey,
        Broken::NonsenseDuration,
        Broken::BareNumber,
        Broken::MissingCommand,
        Broken::UnknownDependency,
        Broken::BadSignal,
        Broken::Unclosed,
        Broken::SameName,
    ];
}

impl Process {
    /// Signals that its stop is made of.
    pub fn ladder_signals(&self, received: i32) -> Vec<i32> {
        if self.ladder.is_empty() { vec![received] } else { self.ladder.iter().map(|(signal, _)| *signal).collect() }
    }
}

impl Scenario {
    /// The stop signal of a process that names none.
    pub fn default_stop(&self) -> i32 {
        if self.wrapper { self.stop.signal } else { libc::SIGTERM }
    }

    pub fn process(&self, name: &str) -> Option<usize> {
        self.processes.iter().position(|p| p.name == name)
    }

    pub fn kill_reserve(&self) -> u64 {
        self.kill_reserve.unwrap_or((self.grace / 4).min(1000))
    }

    /// Whose exit code is the container's, by the configuration.
    pub fn main(&self) -> Option<usize> {
        self.processes.iter().position(|p| p.main).or((self.processes.len() == 1).then_some(0))
    }
}
