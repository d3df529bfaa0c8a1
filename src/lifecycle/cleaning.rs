//! A process has ended; what it left in its group is asked to end, too, and killed when it does not. Pure.

use super::Machine;
use super::action::{Action, KillReason, Whom};
use super::asking::{Asking, Due};
use super::event::{Exit, ProcId};
use super::process::{Cleaning, Rest, State};
use super::task::SHORTEST;
use super::up::KILL_WAIT;
use crate::plan::stragglers::{Occasion, Policy};
use crate::signal::Signal;
use crate::time::At;

impl Cleaning {
    pub fn next_deadline(&self) -> At {
        match &self.rest {
            Rest::Asked(asking) => asking.next(),
            Rest::Over { until } => *until,
        }
    }
}

impl Machine {
    /// The leader has just ended. `until`: the end of its own stop, if it was being stopped; it may have been `killed`, and what is left
    /// is then killed with it.
    pub(super) fn begin_cleaning(&mut self, id: ProcId, exit: Exit, until: Option<At>, killed: bool, to_restart: bool) {
        let now = self.now;
        let policy = self.policy_of(id);
        let rest = if killed {
            Rest::Over { until: now + KILL_WAIT }
        } else {
            let occasion = match (&self.stop, until) {
                // Until its turn comes in the container's stop it is as if that went on.
                (_, None) => Occasion::Up,
                (Some(_), Some(_)) => self.occasion(),
                (None, Some(_)) => Occasion::Requested,
            };
            // Never in this very turn: whether anything is left of the group shows right after.
            let last = until.map_or(At::NEVER, |until| until.max(now + SHORTEST));
            Rest::Asked(Asking::begin(policy, now, last, occasion))
        };
        let signal = if killed { Signal::KILL } else { policy.signal.unwrap_or(self.first_signal(id)) };
        self.processes[id.0].state = State::Cleaning(Cleaning { exit, began: now, rest, signal, to_restart });
        if killed {
            self.fx.push(Action::SignalGroup { process: id, signal, whom: Whom::Everybody });
        } else if policy.wait.is_zero() {
            self.due_cleaning(id);
        }
    }

    /// In the container's stop: from now on it shares that budget.
    pub(super) fn replan_cleaning(&mut self, id: ProcId, until: At) {
        let (policy, occasion) = (self.policy_of(id), self.occasion());
        if let State::Cleaning(c) = &mut self.processes[id.0].state
            && let Rest::Asked(asking) = &mut c.rest
        {
            asking.replan(policy, until.max(c.began + SHORTEST), occasion);
        }
    }

    pub(super) fn policy_of(&self, id: ProcId) -> Policy {
        Policy::of_process(&self.plan.config, id.0)
    }

    /// How long stragglers get in the container's stop.
    pub(super) fn occasion(&self) -> Occasion {
        match &self.stop {
            Some(stop) if stop.cause.requested() => Occasion::Requested,
            Some(_) => Occasion::Ended,
            None => Occasion::Up,
        }
    }

    pub(super) fn on_group_empty(&mut self, id: ProcId) {
        if let State::Cleaning(c) = &mut self.processes[id.0].state {
            c.rest = Rest::Over { until: self.now };
        }
    }

    /// Somebody in the group has had no signal yet.
    pub(super) fn group_grew(&mut self, id: ProcId) {
        if let State::Cleaning(c) = &self.processes[id.0].state
            && let Rest::Asked(Asking { asked: Some(whom), .. }) = &c.rest
        {
            self.fx.push(Action::SignalGroup { process: id, signal: c.signal, whom: *whom });
        }
    }

    /// The group is to be signalled or killed, is empty, or has had all the time it gets.
    pub(super) fn due_cleaning(&mut self, id: ProcId) {
        let now = self.now;
        // Outside the container's stop nothing is lost by being late.
        let hard = self.stop.as_ref().map_or(At::NEVER, |stop| stop.deadline);
        let first = self.policy_of(id).signal.unwrap_or(self.first_signal(id));
        let State::Cleaning(c) = &mut self.processes[id.0].state else {
            return;
        };
        // The signal that asked for the container's stop may have come while they were waited for.
        if matches!(&c.rest, Rest::Asked(asking) if asking.asked.is_none()) {
            c.signal = first;
        }
        let (began, signal) = (c.began, c.signal);
        match &mut c.rest {
            Rest::Asked(asking) => match asking.due(now, hard) {
                None => {}
                Some(Due::Ask(whom)) => self.fx.push(Action::SignalGroup { process: id, signal, whom }),
                Some(Due::Kill) => {
                    let waited = now.since(asking.since().unwrap_or(began));
                    let because = KillReason { after: Some(signal), waited, out_of_time: false, left_overs: true };
                    c.rest = Rest::Over { until: now + KILL_WAIT };
                    self.fx.push(Action::Kill { process: id, because });
                    self.mark_forced(id);
                }
            },
            Rest::Over { .. } => {
                let (exit, to_restart) = (c.exit, c.to_restart);
                self.cleaned_up(id, exit, to_restart);
            }
        }
    }
}
