//! The words of single facts: who, why, how it ended. Their names in JSON are the same. Pure.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::facts::{
    Awaited, Cause, Client, Condition, Effect, Exit, Failure, Fault, HookCaller, Hopeless, How, Needless, NotPassedOn,
    Place, Reaction, Sender, Trouble, Unfinished, Who,
};
use crate::order::Order;
use crate::report::{Refusal, TaskProgress, TaskResult};
use crate::signal::Signal;
use crate::time::Human;

/// In JSON they are what they are in words.
macro_rules! as_their_words {
    ($($fact:ty),* $(,)?) => {
        $(impl Serialize for $fact {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        })*
    };
}
as_their_words!(
    Client,
    Awaited,
    Cause,
    Failure,
    Fault,
    Hopeless,
    How,
    Needless,
    NotPassedOn,
    Order,
    Refusal,
    Sender,
    Trouble,
    Unfinished,
    Who,
);

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Local { uid, pid: 0 } => write!(f, "uid {uid} outside the container"),
            Client::Local { uid, pid } => write!(f, "uid {uid}, pid {pid}"),
            Client::PreStop(caller) => caller.fmt(f),
        }
    }
}

impl fmt::Display for HookCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.kubelet { "a kubelet at " } else { "" };
        write!(f, "{who}{}", self.from)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal { signal, core: true } => write!(f, "{signal}, core dumped"),
            Exit::Signal { signal, core: false } => write!(f, "{signal}"),
        }
    }
}

/// With the code that a shell would give, and the signal's name.
impl Serialize for Exit {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            code: u8,
            #[serde(skip_serializing_if = "Option::is_none")]
            signal: Option<Signal>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            core_dumped: bool,
        }
        let (signal, core_dumped) = match *self {
            Exit::Code(_) => (None, false),
            Exit::Signal { signal, core } => (Some(signal), core),
        };
        Fields { code: self.code(), signal, core_dumped }.serialize(s)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Signal { signal, sender } => write!(f, "{signal} from {sender}"),
            Cause::StopRequested { by } => write!(f, "softstop stop by {by}"),
            Cause::DrainRequested { by } => write!(f, "softstop drain by {by}"),
            Cause::PreStopCalled { by } => write!(f, "GET /prestop by {by}"),
            Cause::ProcessEnded { process, status } => write!(f, "{process} ended with {status}"),
            Cause::StartFailed { process, .. } => write!(f, "{process} could not be started"),
            Cause::InitFailed { task, .. } => write!(f, "init task {task:?} failed"),
            Cause::PostStartFailed { process, .. } => write!(f, "a post_start task of {process} failed"),
            Cause::AllEnded => f.write_str("every process has ended"),
            Cause::FollowedEnded { command, unseen: None } => write!(f, "{command} is gone"),
            Cause::FollowedEnded { command, unseen: Some(limit) } => {
                write!(f, "{command} was not seen within {}: it has ended, or was never started", Human(*limit))
            }
            Cause::DependencyFailed { process, on } => write!(f, "{process} waits for {on}, which cannot be"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Nothing => "changes nothing",
            Effect::HookTimedOut => {
                "the drain was still waited for, so the time of its preStop hook is up: 2s are left"
            }
            Effect::Stops { after_drain: true } => "the processes stop when the drain is over",
            Effect::Stops { after_drain: false } => "stopping the processes",
            Effect::EndsDrain => "skipping the rest of the drain; once more kills everything",
            Effect::Hurries { stops: true } => "stopping the processes; once more kills everything",
            Effect::Hurries { stops: false } => "the drain is over; once more kills everything",
            Effect::Kills => "killing everything now",
        })
    }
}

impl fmt::Display for Needless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Needless::StopRequested => "the stop was requested",
            Needless::ProcessStops => "the process is being stopped",
            Needless::ProcessKilled => "the process is being killed",
            Needless::ProcessEnded => "the process has ended",
            Needless::DrainEnded => "an earlier step ended the drain",
            Needless::Hurried => "hurried by a second stop request",
            Needless::NobodyRuns => "no process is left to drain for",
            Needless::NotRequested => "nobody asked for the stop (when = \"requested\")",
            Needless::NothingToDo => "there is nothing to do",
        })
    }
}

impl fmt::Display for NotPassedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotPassedOn::NotCaught => {
                "the main process does not catch it, and would end; forward = \"all\" passes it on"
            }
            NotPassedOn::MainNotRunning => "the main process is not running",
            NotPassedOn::NoMain => "there are several processes and none is marked main = true",
        })
    }
}

/// Behind the name of what can never be as it is waited for.
impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hopeless::Completed => "has completed without it",
            Hopeless::Failed => "has failed",
            Hopeless::NotStarted => "could not be started",
            Hopeless::WaitsInVain => "will not start either",
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Named(name) => f.write_str(name),
            Who::Stragglers => f.write_str("stragglers"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::PreStop => f.write_str("pre_stop"),
            How::Signal(signal) => signal.fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::ProbeFailed { probe, threshold, last } => {
                write!(f, "{} probe failed {threshold} times: {last}", probe.name())
            }
            Fault::PostStartFailed { task } => write!(f, "post_start {task} failed"),
            Fault::NotReadyInTime { within } => write!(f, "not notified as ready within {}", Human(*within)),
            Fault::WatchdogLate { within } => write!(f, "no WATCHDOG=1 within {}", Human(*within)),
            Fault::SaysUnwell => f.write_str("it has sent WATCHDOG=trigger"),
            Fault::SaysStopping => f.write_str("it has sent STOPPING=1"),
        }
    }
}

/// In JSON: what the tasks of a step wait for, one after the other.
///
/// # Errors
/// The serializer's own.
pub fn side_by_side<S: Serializer>(tasks: &[TaskProgress], s: S) -> Result<S::Ok, S::Error> {
    let words = |t: &TaskProgress| match &t.task {
        Some(task) => format!("{task}: {}", t.awaited),
        None => t.awaited.to_string(),
    };
    s.serialize_str(&tasks.iter().map(words).collect::<Vec<_>>().join("; "))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Started => "started",
            Condition::Ready => "ready",
            Condition::Completed => "completed",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::WaitsFor { on, condition, held } => {
                write!(f, "waits for {on} to be {condition}")?;
                if *held { write!(f, ", which is held down: softstop start {on}") } else { Ok(()) }
            }
            Trouble::Held { process, by_order: true } => {
                write!(f, "stopped by softstop stop {process}, and held down until softstop start {process}")
            }
            Trouble::Held { process, by_order: false } => {
                write!(f, "not started by itself (autostart, --only): softstop start {process}")
            }
            Trouble::WaitsInVain { on } => write!(f, "{on} can never be what it waits for"),
            Trouble::NotStarted(error) => f.write_str(error),
            Trouble::Suspended(signal) => write!(f, "stopped by {signal}{}", suspended_because(*signal)),
            Trouble::Probe { probe, last } => write!(f, "{} probe: {last}", probe.name()),
            Trouble::NotReadyYet => f.write_str("not notified as ready yet"),
            Trouble::SaysStopping => f.write_str("it has sent STOPPING=1"),
            Trouble::PostStart(None) => f.write_str("post_start tasks are running"),
            Trouble::PostStart(Some(awaited)) => write!(f, "post_start: {awaited}"),
            Trouble::PostExit => f.write_str("it has ended; its post_exit tasks are running"),
            Trouble::Stragglers => f.write_str("waiting for what it left behind"),
            Trouble::Ended { exit, service: true } => write!(f, "ended with {exit}; it is a service, and is to go on"),
            Trouble::Ended { exit, service: false } => write!(f, "ended with {exit}"),
        }
    }
}

/// What a signal that stops says of its reason, and what helps; nothing of those that anybody may send.
pub(super) fn suspended_because(signal: Signal) -> &'static str {
    match signal {
        Signal::TTIN => {
            ": it reads from a terminal that it has not got (with stdin = \"inherit\" one process has it, while softstop does)"
        }
        Signal::TTOU => {
            ": it writes to a terminal that it has not got, or sets it up (stty -tostop allows the first, stdin = \"inherit\" both)"
        }
        _ => "",
    }
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reaction::Task { name } => f.write_str(name),
            Reaction::Again { process } => write!(f, "restarting {process}"),
            Reaction::Reload => f.write_str("reading the configuration again"),
            Reaction::Nothing { process } => write!(f, "{process} does not run, and finds it when it starts"),
        }
    }
}

impl fmt::Display for Place<String> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(process) = self.process() {
            write!(f, "{process}: ")?;
        }
        self.clone().map(drop).fmt(f)
    }
}

/// In the machine's notes of a step, which has no process.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())?;
        if let Place::Probe(..) = self { f.write_str(" probe") } else { Ok(()) }
    }
}

impl fmt::Display for TaskResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |f: &mut fmt::Formatter<'_>, reason: &Option<Unfinished>| match reason {
            Some(reason) => write!(f, " (last: {reason})"),
            None => Ok(()),
        };
        match self {
            TaskResult::Done => f.write_str("done"),
            TaskResult::Failed { reason, .. } => write!(f, "failed: {reason}"),
            TaskResult::TimedOut { reason } => f.write_str("timed out").and_then(|()| because(f, reason)),
            TaskResult::Cut { reason } => {
                f.write_str("cut short, its time slice is used up").and_then(|()| because(f, reason))
            }
            TaskResult::Cancelled { why } => why.fmt(f),
            TaskResult::NoTime => f.write_str("no time is left for it"),
        }
    }
}
