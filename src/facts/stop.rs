//! Why a stop began, what asking again changes, and why something is not done. Pure.

use std::time::Duration;

use super::{Client, Exit, HookCaller, Sender};
use crate::signal::Signal;

/// Why the stop began. Processes and tasks by name.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Cause {
    /// A stop signal.
    Signal { signal: Signal, sender: Sender },
    /// `softstop stop`.
    StopRequested { by: Client },
    /// `softstop drain`.
    DrainRequested { by: Client },
    /// `GET /prestop`: a preStop hook of the kind httpGet.
    PreStopCalled { by: HookCaller },
    /// A process whose end ends the container has ended.
    ProcessEnded { process: String, status: Exit },
    /// A process that the container cannot do without could not be started.
    StartFailed { process: String, code: u8 },
    /// An init task failed.
    InitFailed { task: String, code: u8 },
    /// A `post_start` task with `on_failure = "stop"` failed.
    PostStartFailed { process: String, code: u8 },
    /// Every process has ended.
    AllEnded,
    /// What a sidecar follows has ended; with a time: it was not seen within so long.
    FollowedEnded { command: String, unseen: Option<Duration> },
    /// A process can never start, because what it waits for can never come true.
    DependencyFailed { process: String, on: String },
}

impl Cause {
    /// Somebody asked for it, as opposed to something having ended or failed by itself.
    pub fn requested(&self) -> bool {
        matches!(self, Cause::Signal { .. } | Cause::StopRequested { .. }) || self.drain_only()
    }

    /// A key was pressed: Ctrl-C, and not the terminal closed.
    pub fn by_hand(&self) -> bool {
        matches!(self, Cause::Signal { sender: Sender::Terminal, signal } if *signal != Signal::HUP)
    }

    /// Only the drain was asked for so far: the processes are not to be stopped yet.
    pub fn drain_only(&self) -> bool {
        matches!(self, Cause::DrainRequested { .. } | Cause::PreStopCalled { .. })
    }

    pub fn signal(&self) -> Option<Signal> {
        match self {
            Cause::Signal { signal, .. } => Some(*signal),
            _ => None,
        }
    }

    /// Who runs the container, or nobody knows who.
    pub fn may_be_a_kubelet(&self) -> bool {
        matches!(self, Cause::Signal { sender, .. } if sender.is_from_outside() || *sender == Sender::Unknown)
    }

    pub fn reason(&self) -> Reason {
        match self {
            Cause::Signal { .. } => Reason::Signal,
            Cause::StopRequested { .. } => Reason::StopRequested,
            Cause::DrainRequested { .. } => Reason::DrainRequested,
            Cause::PreStopCalled { .. } => Reason::PreStop,
            Cause::ProcessEnded { .. } => Reason::ProcessEnded,
            Cause::StartFailed { .. } => Reason::StartFailed,
            Cause::InitFailed { .. } => Reason::InitFailed,
            Cause::PostStartFailed { .. } => Reason::PostStartFailed,
            Cause::AllEnded => Reason::AllEnded,
            Cause::FollowedEnded { .. } => Reason::FollowedEnded,
            Cause::DependencyFailed { .. } => Reason::DependencyFailed,
        }
    }
}

named! {
    /// `SOFTSTOP_REASON`: why a hook or step is run. One word each, stable.
    #[derive(Default)]
    pub enum Reason {
        #[default]
        Start = "start",
        Restart = "restart",
        Signal = "signal",
        StopRequested = "stop_ordered",
        DrainRequested = "drain_ordered",
        PreStop = "prestop",
        ProcessEnded = "process_ended",
        StartFailed = "start_failed",
        InitFailed = "init_failed",
        PostStartFailed = "post_start_failed",
        AllEnded = "all_ended",
        FollowedEnded = "followed_ended",
        DependencyFailed = "dependency_failed",
    }
}

/// What a request changes of a stop that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Effect {
    /// It goes on as it does.
    Nothing,
    /// The drain was still waited for, so its preStop hook has run out of time: the kubelet's last seconds have begun.
    HookTimedOut,
    /// After a drain by order: the processes are stopped, now or when the drain is over.
    Stops { after_drain: bool },
    /// By hand: the rest of the drain is skipped.
    EndsDrain,
    /// By hand for the first time, after the drain; `stops`: only now are the processes stopped. Once more kills.
    Hurries { stops: bool },
    /// By hand, once more: everything is killed.
    Kills,
}

/// What the next Ctrl-C does to a stop that one has asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum NextCtrlC {
    /// The rest of the drain is skipped; when that is over, as [`NextCtrlC::Kills`].
    EndsDrain,
    Kills,
}

impl Effect {
    /// One word, stable.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Nothing => "nothing",
            Effect::HookTimedOut => "minimum_grace",
            Effect::Stops { .. } => "stops",
            Effect::EndsDrain => "ends_drain",
            Effect::Hurries { .. } => "hurries",
            Effect::Kills => "kills",
        }
    }
}

impl serde::Serialize for Effect {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

/// Why a task is not done, or not to its end: nothing is missed by that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Needless {
    StopRequested,
    ProcessStops,
    ProcessKilled,
    ProcessEnded,
    /// By a step with `on_failure = "stop"`.
    DrainEnded,
    /// Somebody asked by hand for the stop again.
    Hurried,
    NobodyRuns,
    /// A step with `when = "requested"`, and nobody asked for the stop.
    NotRequested,
    NothingToDo,
}

/// Why a signal to softstop is not passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum NotPassedOn {
    /// It would end a process that does not catch it.
    NotCaught,
    MainNotRunning,
    NoMain,
}

/// Why what a process waits for can never come true.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Hopeless {
    /// It has completed, and was to be ready.
    Completed,
    Failed,
    NotStarted,
    /// It waits for such a one itself.
    WaitsInVain,
}

/// Who did not end without SIGKILL, or in time: a process or a task by its name, or what others have left behind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Who {
    Named(String),
    Stragglers,
}

/// How the stop of a process begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum How {
    PreStop,
    Signal(Signal),
}
