//! A process has ended; what it left in its group is asked to end, too, and killed when it does not. Pure.

use super::{Around, Change, GroupTermination, KILL_WAIT, Proc, Rest, State};
use crate::lifecycle::action::{Action, KillReason, Whom};
use crate::lifecycle::asking::{Asking, Due};
use crate::lifecycle::effects::Effects;
use crate::lifecycle::event::Exit;
use crate::lifecycle::task::{SHORTEST, TaskRun};
use crate::plan::stragglers::{Occasion, Policy};
use crate::signal::Signal;
use crate::time::At;

impl GroupTermination {
    pub(super) fn timer(&self) -> Option<At> {
        let hook = self.post_exit_task().and_then(TaskRun::timer);
        self.rest_timer().into_iter().chain(hook).min()
    }

    fn rest_timer(&self) -> Option<At> {
        match &self.rest {
            Rest::Asked(asking) => Some(asking.next()),
            Rest::Over { until } => Some(*until),
            Rest::Gone => None,
        }
    }

    /// Nothing is left of its group, as far as it was waited for.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.rest, Rest::Gone)
    }

    /// In the container's stop: from now on it shares that budget.
    pub(super) fn replan(&mut self, until: At, at: &Around<'_>) {
        self.shorten_post_exit(until);
        if let (Rest::Asked(asking), Some(stop)) = (&mut self.rest, at.stop) {
            asking.replan(at.policy(), until.max(self.began + SHORTEST), stop.occasion());
        }
    }

    pub(super) fn grew(&self, at: &Around<'_>, fx: &mut Effects) -> Change {
        if let Rest::Asked(Asking { asked: Some(whom), .. }) = &self.rest {
            fx.push(Action::SignalGroup { process: at.id, signal: self.signal, whom: *whom });
        }
        Change::some()
    }
}

impl Proc {
    /// The leader has just ended. `until`: the end of its own stop, if it was being stopped; it may have been `killed`, and what is left
    /// is then killed with it.
    pub(super) fn begin_group_termination(
        &mut self,
        exit: Exit,
        until: Option<At>,
        killed: bool,
        to_restart: bool,
        at: &Around<'_>,
        fx: &mut Effects,
    ) {
        let policy = at.policy();
        let rest = if killed {
            Rest::Over { until: at.now + KILL_WAIT }
        } else {
            let occasion = match (at.stop, until) {
                // Until its turn comes in the container's stop it is as if that went on.
                (_, None) => Occasion::Up,
                (Some(stop), Some(_)) => stop.occasion(),
                (None, Some(_)) => Occasion::Requested,
            };
            // Never in this very turn: whether anything is left of the group shows right after.
            let last = until.map_or(At::NEVER, |until| until.max(at.now + SHORTEST));
            Rest::Asked(Asking::begin(policy, at.now, last, occasion))
        };
        let signal = if killed { Signal::KILL } else { at.first_signal_to_group() };
        let ended = GroupTermination { exit, began: at.now, rest, signal, to_restart, post_exit: None };
        self.state = State::GroupTermination(ended);
        if killed {
            fx.push(Action::SignalGroup { process: at.id, signal, whom: Whom::Everybody });
        } else if policy.wait.is_zero() {
            self.group_termination_due(at, fx);
        }
    }

    /// The group is to be signalled or killed, is empty, or has had all the time it gets; or a post_exit task goes on.
    pub(super) fn group_termination_due(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let State::GroupTermination(c) = &mut self.state else { return Change::default() };
        let went = c.go_on_with_post_exit(at, fx);
        let due = c.rest_timer().is_some_and(|timer| at.now >= timer);
        if due && matches!(c.rest, Rest::Over { .. }) {
            c.rest = Rest::Gone;
        }
        if c.is_empty() && !c.is_at_post_exit() {
            let (exit, to_restart) = (c.exit, c.to_restart);
            return self.cleaned_up(exit, to_restart, at, fx);
        }
        let Rest::Asked(asking) = &mut c.rest else { return Change::of(went || due) };
        if !due {
            return Change::of(went);
        }
        // The signal that asked for the container's stop may have come while they were waited for.
        if asking.asked.is_none() {
            c.signal = at.first_signal_to_group();
        }
        // Outside the container's stop nothing is lost by being late.
        let hard = at.stop.map_or(At::NEVER, |stop| stop.deadline);
        match asking.due(at.now, hard) {
            None => {}
            Some(Due::Ask(whom)) => fx.push(Action::SignalGroup { process: at.id, signal: c.signal, whom }),
            Some(Due::Kill) => {
                let (after, waited) = (Some(c.signal), at.now.since(asking.since().unwrap_or(c.began)));
                let because = KillReason { after, waited, out_of_time: false, stragglers: true };
                c.rest = Rest::Over { until: at.now + KILL_WAIT };
                fx.push(Action::Kill { process: at.id, because });
                return Change::forced();
            }
        }
        Change::some()
    }
}

impl Around<'_> {
    fn policy(&self) -> Policy {
        Policy::of_process(&self.plan.config, self.id.0)
    }

    fn first_signal_to_group(&self) -> Signal {
        self.policy().signal.unwrap_or(self.first_signal())
    }
}
