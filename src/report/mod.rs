//! One recorded history, put into words: log lines, the summary, the termination message, the JSON report. Pure.
//!
//! The machine says what happened as a [`Note`]; the runtime stamps and stores it in a [`History`]. Everything a user reads
//! about a run comes from here.

mod answer;
mod counters;
mod history;
mod inspection;
mod orphans;
mod refusal;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::facts::{
    Awaited, Cause, Client, Difference, Effect, Exit, Failure, Fault, Hopeless, How, KillReason, Needless, NextCtrlC,
    NotPassedOn, Place, ProbeKind, Reaction, Sender, Unfinished, Who,
};
use crate::order::Order;
use crate::signal::Signal;
use crate::time::seconds;

pub use answer::{Answer, Done, NotSent, Refusal};
pub use counters::Counters;
pub use inspection::{Connection, Count, InspectedThread, Inspection};
pub use orphans::{Leaked, OTHERS, Orphans};

pub use refusal::refusal;

pub(crate) use history::is_zero;
pub use history::{FORMAT, History, MainExit, ProcessSetup, Record, Setup, StepReport, StopResult};
pub use text::{Level, side_by_side};

/// Something that happened and that a user may want to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Note {
    TaskBegan {
        place: Place<String>,
        name: String,
    },
    TaskEnded {
        place: Place<String>,
        name: String,
        attempts: u32,
        #[serde(rename = "took_seconds")]
        took: Secs,
        result: TaskResult,
    },
    Started {
        process: String,
        pid: i32,
        restarts: u32,
    },
    StartFailed {
        process: String,
        error: String,
        retry_in: Option<Secs>,
    },
    StartedUp {
        process: String,
        #[serde(rename = "took_seconds")]
        took: Secs,
    },
    /// It has said that it is ready, for the first time in this run.
    SaidReady {
        process: String,
        #[serde(rename = "took_seconds")]
        took: Secs,
    },
    Ready {
        process: String,
        /// It had to show it, by a probe or its post_start tasks.
        #[serde(skip)]
        probed: bool,
    },
    NotReady {
        process: String,
        reason: Fault,
    },
    /// What a sidecar follows has been seen.
    Followed {
        command: String,
    },
    /// Every process is ready for the first time.
    AllReady {
        #[serde(rename = "took_seconds")]
        took: Secs,
    },
    ProbeFailed {
        process: String,
        probe: ProbeKind,
        failures: u32,
        threshold: u32,
        reason: Failure,
    },
    /// softstop could not even try: the attempt counts for nothing.
    ProbeUnknown {
        process: String,
        probe: ProbeKind,
        reason: Failure,
    },
    /// A probe's result, or a post_start task, ends this run of the process.
    Unhealthy {
        process: String,
        reason: Fault,
    },
    Exited {
        process: String,
        exit: Exit,
        #[serde(rename = "ran_seconds")]
        ran: Secs,
        /// As its `success_codes` have it.
        #[serde(skip)]
        success: bool,
    },
    /// A signal has stopped it: it does nothing until it is continued.
    Suspended {
        process: String,
        signal: Signal,
    },
    /// The time of a scheduled task came, and it still ran.
    RunSkipped {
        process: String,
    },
    /// The same, and it is stopped for its new run.
    Replaced {
        process: String,
    },
    /// With success, and unasked: of a service that is none.
    ServiceEnded {
        process: String,
        /// It is one because it is probed, not because it says so.
        #[serde(skip)]
        by_probes: bool,
    },
    /// What it has left behind bears its name.
    InBackground {
        process: String,
        command: String,
        pid: i32,
        /// What to write instead.
        instead: Option<String>,
    },
    BackOff {
        process: String,
        restarts: u32,
        #[serde(rename = "delay_seconds")]
        delay: Secs,
    },
    GaveUp {
        process: String,
        restarts: u32,
    },
    /// By order it stays down until another starts it.
    Held {
        process: String,
        /// Those that wait for it, and go on or wait.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        needed_by: Vec<String>,
    },
    CannotStart {
        process: String,
        on: String,
        why: Hopeless,
    },
    SignalIgnored {
        signal: Signal,
        from: Sender,
        why: NotPassedOn,
        /// Since the last such line.
        times: u64,
    },
    SignalForwarded {
        signal: Signal,
        process: String,
    },
    /// A signal that means one thing to one program and another to others: what it is taken for.
    SignalMeans {
        signal: Signal,
        from: Sender,
        #[serde(flatten)]
        meaning: SignalMeaning,
    },
    /// softstop itself has reached a limit that it was started with; said once for each.
    OwnLimitReached {
        limit: OwnLimit,
    },
    StopBegan {
        cause: Cause,
        requested: bool,
        /// There is something to stop.
        #[serde(skip)]
        others: bool,
        #[serde(rename = "grace_seconds")]
        grace: Secs,
        #[serde(rename = "deadline_in_seconds")]
        deadline: Secs,
        /// To whoever has pressed Ctrl-C.
        #[serde(skip)]
        next: Option<NextCtrlC>,
    },
    /// A drain begins in a pod, and no preStop hook of softstop's came before the kubelet's SIGTERM.
    NoHook,
    StopAgain {
        cause: Cause,
        effect: Effect,
    },
    /// After a drain by order.
    Drained {
        #[serde(rename = "up_to_seconds")]
        up_to: Secs,
    },
    /// What the configuration has become was applied, or is being applied.
    Reloaded {
        #[serde(flatten)]
        difference: Difference,
    },
    /// What an `[[on_change]]` watches has changed.
    FileChanged {
        path: PathBuf,
        #[serde(flatten)]
        does: Reaction,
    },
    /// Everything goes on as before.
    NotReloaded {
        why: Refusal,
    },
    /// Somebody gave an order over the control socket.
    Ordered {
        order: Order,
        by: Client,
        /// Why it was not followed.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<Refusal>,
    },
    StepBegan {
        kind: Place,
        name: String,
        #[serde(rename = "slice_seconds")]
        slice: Secs,
        #[serde(rename = "left_seconds")]
        left: Secs,
    },
    /// How far a wait is.
    Waiting {
        /// `drain`, `init`, `web: post_start`.
        #[serde(serialize_with = "in_words")]
        place: Place<String>,
        name: String,
        progress: Awaited,
        #[serde(skip)]
        alarming: bool,
        #[serde(rename = "waited_seconds")]
        waited: Secs,
        #[serde(rename = "limit_seconds")]
        limit: Secs,
    },
    StepEnded {
        kind: Place,
        name: String,
        #[serde(rename = "slice_seconds")]
        slice: Secs,
        #[serde(rename = "took_seconds")]
        took: Secs,
        result: TaskResult,
    },
    StepSkipped {
        kind: Place,
        name: String,
        result: TaskResult,
    },
    Stopping {
        process: String,
        how: How,
        #[serde(rename = "slice_seconds")]
        slice: Secs,
    },
    NextRung {
        process: String,
        after: Signal,
        #[serde(rename = "waited_seconds")]
        waited: Secs,
        signal: Signal,
    },
    /// Its ladder is over: it is told to say what it is doing before it is killed.
    Diagnosing {
        process: String,
        /// The last signal of its ladder that was sent, if any was.
        after: Option<Signal>,
        #[serde(rename = "waited_seconds")]
        waited: Secs,
        signal: Signal,
        /// Until SIGKILL.
        #[serde(rename = "wait_seconds")]
        wait: Secs,
    },
    Killed {
        process: String,
        #[serde(flatten)]
        because: KillReason,
        appeared_as: String,
        /// All that was seen, where there was time for a closer look.
        #[serde(skip_serializing_if = "Option::is_none")]
        look: Option<Box<Inspection>>,
    },
    /// The kernel killed it because memory had run out. `kills`: how many it has killed in this control group in all.
    OomKilled {
        process: String,
        pid: i32,
        limit: Option<MemoryLimit>,
        kills: u64,
    },
    /// It killed so many that are no children of softstop's.
    OomKilledOthers {
        count: u64,
        limit: Option<MemoryLimit>,
        kills: u64,
    },
    /// What a process said before it ended unasked, oldest first; bounded.
    LastOutput {
        process: String,
        lines: Vec<String>,
    },
    /// Soon nothing can be started any more.
    PidsNear {
        current: u64,
        max: u64,
        /// False: there may be more processes and zombies, there was no time to count them, or no /proc.
        complete: bool,
        /// Below softstop.
        processes: usize,
        zombies: usize,
        /// Whose children most of the zombies are, who does not reap them.
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
    },
    Stopped {
        process: String,
        exit: Option<Exit>,
        #[serde(rename = "took_seconds")]
        took: Secs,
        forced: bool,
    },
    /// Its leader has ended, and others of its group still run; so many of them have been sent a stop signal since.
    GroupLeft {
        process: String,
        signalled: usize,
    },
    /// Processes that no longer belong to any known one.
    Stragglers {
        signal: Signal,
        count: usize,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        which: Vec<String>,
    },
    StragglersGone {
        #[serde(rename = "took_seconds")]
        took: Secs,
    },
    /// softstop itself did not get to run during the stop.
    Starved {
        #[serde(rename = "lost_seconds")]
        lost: Secs,
    },
    OutOfTime {
        #[serde(rename = "waiting_for", serialize_with = "running")]
        still_running: Vec<Who>,
    },
    LeftBehind {
        count: usize,
        which: Vec<String>,
    },
    /// By the signal that was configured for it.
    LogsReopened {
        signal: Signal,
        from: Sender,
    },
    /// Lines that could not be written, since the start.
    OutputLost {
        /// `standard output`, `standard error`, a log file by its path, or the process of which they were dropped.
        stream: String,
        lines: u64,
        why: String,
    },
    Finished(Box<StopResult>),
}

/// A duration, in JSON as seconds with millisecond precision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Secs(pub Duration);

impl Serialize for Secs {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        seconds(&self.0, s)
    }
}

fn in_words<S: Serializer>(place: &Place<String>, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(place)
}

fn running<S: Serializer>(who: &[Who], s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&text::Running(who))
}

/// What a signal is taken for where `stop_on` says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize)]
#[serde(tag = "meaning", rename_all = "snake_case")]
pub enum SignalMeaning {
    /// A stop request: the program's images have it as STOPSIGNAL.
    OwnStopSignal { program: &'static str },
    /// A stop request, because it comes from outside the container.
    FromOutside,
    /// Passed on, because it does not.
    FromInside,
    /// Passed on: the program answers with a dump and goes on.
    AsksForDump { program: &'static str },
    /// The configuration is read again.
    ReadsAgain,
}

/// The limit of memory of a control group: the name of its file, and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct MemoryLimit {
    pub file: &'static str,
    pub bytes: u64,
}

/// A limit of softstop's own process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnLimit {
    /// RLIMIT_CPU or RLIMIT_RTTIME.
    ProcessorTime,
    /// RLIMIT_FSIZE.
    FileSize,
}

/// How a task ended, all its attempts taken together.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TaskResult {
    Done,
    Failed {
        reason: Failure,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u8>,
    },
    /// Its own timeout passed; with why the last attempt failed, if one did.
    TimedOut {
        reason: Option<Unfinished>,
    },
    /// Its slice of the budget ended before its timeout.
    Cut {
        reason: Option<Unfinished>,
    },
    /// Something else made it pointless.
    Cancelled {
        why: Needless,
    },
    /// Never begun: nothing of the budget was left for it.
    NoTime,
}

impl TaskResult {
    pub fn ok(&self) -> bool {
        *self == TaskResult::Done
    }

    /// It should have been done and was not, as opposed to having become pointless.
    pub fn missed(&self) -> bool {
        !matches!(self, TaskResult::Done | TaskResult::Cancelled { .. })
    }
}

/// What a task of a step still waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskProgress {
    /// Where several go on side by side.
    pub task: Option<String>,
    pub awaited: Awaited,
}
