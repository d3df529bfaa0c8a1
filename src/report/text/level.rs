//! How loud the line of a [`Note`] is, whom it is about, and what more there is to it. Pure.

use crate::facts::Effect;
use crate::report::{Note, Refusal};
use crate::signal::Signal;

/// How loud a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Note {
    pub fn level(&self) -> Level {
        match self {
            Note::TaskEnded { result, .. } | Note::StepEnded { result, .. } | Note::StepSkipped { result, .. } => {
                if result.missed() {
                    Level::Warn
                } else {
                    Level::Info
                }
            }
            Note::TaskBegan { .. } | Note::ProbeFailed { .. } | Note::SignalForwarded { .. } => Level::Debug,
            // Said by the end of the process, and by the summary.
            Note::StopBegan { requested: false, others: false, .. } | Note::Ready { probed: false, .. } => Level::Debug,
            Note::StopAgain { effect: Effect::Nothing, .. } => Level::Debug,
            Note::Exited { success: false, .. } => Level::Warn,
            Note::Stopped { forced: true, .. } => Level::Warn,
            Note::StartFailed { retry_in: None, .. }
            | Note::GaveUp { .. }
            | Note::NotReloaded { .. }
            | Note::CannotStart { .. } => Level::Error,
            Note::Waiting { alarming: true, .. }
            | Note::StartFailed { .. }
            | Note::NotReady { .. }
            | Note::ProbeUnknown { .. }
            | Note::Unhealthy { .. }
            | Note::ServiceEnded { .. }
            | Note::RunSkipped { .. }
            | Note::Replaced { .. }
            | Note::InBackground { .. }
            | Note::SignalIgnored { .. }
            | Note::OwnLimitReached { .. }
            | Note::Killed { .. }
            | Note::Ordered { refused: Some(_), .. }
            | Note::NextRung { .. }
            | Note::Diagnosing { .. }
            | Note::Starved { .. }
            | Note::OutOfTime { .. }
            | Note::OomKilled { .. }
            | Note::OomKilledOthers { .. }
            | Note::LastOutput { .. }
            | Note::PidsNear { .. }
            | Note::OutputLost { .. }
            | Note::Suspended { .. }
            | Note::LeftBehind { .. } => Level::Warn,
            Note::Stragglers { signal, .. } if *signal == Signal::KILL => Level::Warn,
            Note::Finished(v) if v.nothing_ran => Level::Debug,
            Note::Finished(v) if v.failed() => Level::Warn,
            _ => Level::Info,
        }
    }

    /// More lines on the same, for the log alone: the report has them all.
    pub fn details(&self) -> Vec<String> {
        match self {
            Note::Killed { process, look: Some(look), .. } => {
                look.details().into_iter().map(|line| format!("{process}: {line}")).collect()
            }
            Note::NotReloaded { why: Refusal::BadConfiguration(text) } => {
                text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The process a line is about, for structured logs.
    pub fn process(&self) -> Option<&str> {
        match self {
            Note::Started { process, .. }
            | Note::StartFailed { process, .. }
            | Note::StartedUp { process, .. }
            | Note::SaidReady { process, .. }
            | Note::Ready { process, .. }
            | Note::NotReady { process, .. }
            | Note::ProbeFailed { process, .. }
            | Note::ProbeUnknown { process, .. }
            | Note::Unhealthy { process, .. }
            | Note::Exited { process, .. }
            | Note::Suspended { process, .. }
            | Note::ServiceEnded { process, .. }
            | Note::RunSkipped { process }
            | Note::Replaced { process }
            | Note::InBackground { process, .. }
            | Note::BackOff { process, .. }
            | Note::GaveUp { process, .. }
            | Note::Held { process, .. }
            | Note::CannotStart { process, .. }
            | Note::SignalForwarded { process, .. }
            | Note::Stopping { process, .. }
            | Note::NextRung { process, .. }
            | Note::Diagnosing { process, .. }
            | Note::Killed { process, .. }
            | Note::OomKilled { process, .. }
            | Note::LastOutput { process, .. }
            | Note::GroupLeft { process, .. }
            | Note::Stopped { process, .. } => Some(process),
            _ => None,
        }
    }
}
