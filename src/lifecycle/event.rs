//! Everything that can happen. Pure.

use std::net::IpAddr;
use std::time::Duration;

pub use crate::facts::{Exit, Sender, SpawnError, SpawnErrorKind};
pub use crate::order::Order;
use crate::programs::Program;
use crate::signal::Signal;

/// Index of a process in the plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ProcId(pub usize);

/// One attempt at a task or probe: unique over softstop's life, so a late answer of an old attempt is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct RunId(pub u64);

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Once, first.
    Begin,
    /// softstop was sent a signal.
    Signalled {
        signal: Signal,
        sender: Sender,
        /// What the main process is, where `Machine::asks_for_program` says that it matters.
        program: Option<&'static Program>,
    },
    /// The answer to `Action::Spawn`, in the same turn.
    Spawned {
        process: ProcId,
        pid: i32,
    },
    SpawnFailed {
        process: ProcId,
        error: SpawnError,
    },
    /// A process has ended; it is still a zombie, so its pid and group are still its own.
    Exited {
        process: ProcId,
        status: Exit,
    },
    /// A process was stopped by a signal (SIGSTOP, Ctrl-Z, a terminal that it may not use): it does nothing until it is continued.
    Suspended {
        process: ProcId,
        signal: Signal,
    },
    /// It goes on.
    Resumed {
        process: ProcId,
    },
    /// Nothing is left of the process group of a process that has ended.
    GroupEmpty {
        process: ProcId,
    },
    /// The answer to `Action::Run`.
    RunDone {
        run: RunId,
        outcome: Outcome,
    },
    /// A run under way says how far it is: any number of times before its answer.
    Progress {
        run: RunId,
        progress: Progress,
    },
    /// The answer to `Action::Census`: softstop has no child left, of whatever origin.
    Alone,
    /// The answer to `Action::Census`: something still lives below softstop.
    NotAlone,
    /// There are stragglers that have had no stop signal: they have just been orphaned or started. `group`: of the group of a process
    /// that has ended. Told once some of them have been signalled, as long as it is so.
    Unsignalled {
        group: Option<ProcId>,
    },
    /// A signal of an `Action::Signal` or `Action::Diagnose` has reached nobody.
    NotSent {
        process: ProcId,
        signal: Signal,
    },
    /// The answer to `Action::SignalByOrder`. `error`: it reached nobody, and why.
    SignalAnswered {
        ask: AskId,
        process: ProcId,
        signal: Signal,
        error: Option<&'static str>,
    },
    /// So many processes live below softstop: ending them takes time.
    Crowd {
        processes: usize,
        /// The longest that softstop has been ready and was not given the processor, from the stop request on.
        waited: Duration,
    },
    /// An order over the control socket, or `GET /prestop`; answered by one `Action::Answer`, now or later.
    Ordered {
        ask: AskId,
        order: Order,
        by: Asker,
    },
    /// Who gave the order no longer waits for its answer.
    AskerGone {
        ask: AskId,
    },
    /// An adopted process has been reaped.
    OrphanReaped,
    /// softstop itself did not get to run: paused, or no processor time left. Told before anything that has happened meanwhile.
    Late {
        /// For so long until now, as far as it knows.
        lost: Duration,
    },
    /// Time has passed; nothing else has happened.
    Tick,
}

impl Event {
    pub(super) fn lost(&self) -> Duration {
        match self {
            Event::Late { lost } => *lost,
            _ => Duration::ZERO,
        }
    }
}

/// One order: unique over softstop's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct AskId(pub u64);

/// Who gave an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Asker {
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

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asker::Local { uid, pid: 0 } => write!(f, "uid {uid} outside the container"),
            Asker::Local { uid, pid } => write!(f, "uid {uid}, pid {pid}"),
            Asker::PreStop(caller) => caller.fmt(f),
        }
    }
}

impl std::fmt::Display for HookCaller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let who = if self.kubelet { "a kubelet at " } else { "" };
        write!(f, "{who}{}", self.from)
    }
}

/// How far a wait is.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Progress {
    /// What is still waited for, in a few words: `12 connections`.
    pub text: String,
    /// Which ones, for who gives up: `10.0.0.7:41234 and 11 more`.
    pub detail: Option<String>,
    /// Somebody ought to do something about it.
    pub alarming: bool,
    /// It is over with this: said at once.
    pub last: bool,
}

impl Progress {
    pub fn new(text: impl Into<String>) -> Progress {
        Progress { text: text.into(), detail: None, alarming: false, last: false }
    }

    pub fn alarm(text: impl Into<String>) -> Progress {
        Progress { alarming: true, ..Progress::new(text) }
    }
}

/// How an attempt at a task or probe ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Ok,
    Failed {
        /// One line: `exit code 3`, `connection refused`, `answered 503`.
        reason: String,
        /// The exit code of an exec handler.
        code: Option<u8>,
    },
    /// softstop could not even make the attempt (no process, descriptor or memory to be had): that says nothing of who was to be
    /// asked. A probe's is thrown away, as the kubelet does with an error of its own (prober/worker.go); a task's has failed.
    NotMade {
        /// One line.
        reason: String,
    },
}

impl Outcome {
    pub fn failed(reason: impl Into<String>) -> Outcome {
        Outcome::Failed { reason: reason.into(), code: None }
    }
}

/// Why the stop began.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Cause {
    /// A stop signal.
    Signal { signal: Signal, sender: Sender },
    /// `softstop stop`.
    StopOrdered { by: Asker },
    /// `softstop drain`.
    DrainOrdered { by: Asker },
    /// `GET /prestop`: a preStop hook of the kind httpGet.
    PreStopCalled { by: HookCaller },
    /// A process whose end ends the container has ended.
    ProcessEnded { process: ProcId, status: Exit },
    /// A process that the container cannot do without could not be started.
    StartFailed { process: ProcId, code: u8 },
    /// An init task failed.
    InitFailed { task: usize, code: u8 },
    /// A `post_start` task with `on_failure = "stop"` failed.
    PostStartFailed { process: ProcId, code: u8 },
    /// Every process has ended.
    AllEnded,
    /// What a sidecar follows has ended, or has not been `seen` in time.
    FollowedEnded { seen: bool },
    /// A process can never start, because what it waits for can never come true.
    DependencyFailed { process: ProcId, on: ProcId },
}

impl Cause {
    /// Somebody asked for it, as opposed to something having ended or failed by itself.
    pub fn requested(&self) -> bool {
        matches!(self, Cause::Signal { .. } | Cause::StopOrdered { .. }) || self.drain_only()
    }

    /// Only the drain was asked for so far: the processes are not to be stopped yet.
    pub fn drain_only(&self) -> bool {
        matches!(self, Cause::DrainOrdered { .. } | Cause::PreStopCalled { .. })
    }
}

/// What a hook or step is told: `SOFTSTOP_REASON`, `SOFTSTOP_REMAINING_MS`, `SOFTSTOP_EXIT_CODE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub reason: &'static str,
    pub remaining: Duration,
    pub exit_code: Option<u8>,
}
