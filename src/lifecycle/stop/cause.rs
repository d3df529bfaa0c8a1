//! Why the stop began, in words. Pure.

use crate::lifecycle::core::Core;
use crate::lifecycle::event::{Cause, Sender};
use crate::signal::Signal;
use crate::time::Human;

impl Core {
    pub(in crate::lifecycle) fn cause_text(&self, cause: &Cause) -> String {
        match cause {
            Cause::Signal { signal, sender } => format!("{signal} from {sender}"),
            Cause::StopOrdered { by } => format!("softstop stop by {by}"),
            Cause::DrainOrdered { by } => format!("softstop drain by {by}"),
            Cause::PreStopCalled { by } => format!("GET /prestop by {by}"),
            Cause::ProcessEnded { process, status } => format!("{} ended with {status}", self.name(*process)),
            Cause::StartFailed { process, .. } => format!("{} could not be started", self.name(*process)),
            Cause::InitFailed { task, .. } => format!("init task {:?} failed", self.plan.config.init[*task].name),
            Cause::PostStartFailed { process, .. } => format!("a post_start task of {} failed", self.name(*process)),
            Cause::AllEnded => "every process has ended".to_string(),
            Cause::FollowedEnded { seen } => {
                let follow = self.plan.config.sidecar.as_ref().and_then(|s| s.follow.as_ref());
                let command = follow.map_or("?", |f| f.command.as_str());
                match (seen, follow.and_then(|f| f.waits[0].timeout)) {
                    (false, Some(limit)) => {
                        format!("{command} was not seen within {}: it has ended, or was never started", Human(limit))
                    }
                    _ => format!("{command} is gone"),
                }
            }
            Cause::DependencyFailed { process, on } => {
                format!("{} waits for {}, which cannot be", self.name(*process), self.name(*on))
            }
        }
    }
}

impl Cause {
    pub(super) fn signal(&self) -> Option<Signal> {
        match self {
            Cause::Signal { signal, .. } => Some(*signal),
            _ => None,
        }
    }

    /// Who runs the container, or nobody knows who.
    pub(super) fn may_be_a_kubelet(&self) -> bool {
        matches!(self, Cause::Signal { sender, .. } if sender.is_from_outside() || *sender == Sender::Unknown)
    }

    /// `SOFTSTOP_REASON`: one word, stable.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Cause::Signal { .. } => "signal",
            Cause::StopOrdered { .. } => "stop_ordered",
            Cause::DrainOrdered { .. } => "drain_ordered",
            Cause::PreStopCalled { .. } => "prestop",
            Cause::ProcessEnded { .. } => "process_ended",
            Cause::StartFailed { .. } => "start_failed",
            Cause::InitFailed { .. } => "init_failed",
            Cause::PostStartFailed { .. } => "post_start_failed",
            Cause::AllEnded => "all_ended",
            Cause::FollowedEnded { .. } => "followed_ended",
            Cause::DependencyFailed { .. } => "dependency_failed",
        }
    }
}
