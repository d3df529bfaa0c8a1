//! How long each part of the stop has, and what becomes of it when softstop is late. Pure.

use std::time::Duration;

use super::{EXIT, SLACK, Stage, Steps, Stop};
use crate::facts::Place;
use crate::lifecycle::late::LATE;
use crate::lifecycle::process::KILL_WAIT;
use crate::plan::budget::{Budget, Part, slice};
use crate::time::At;

impl Stop {
    /// The deadline may have moved up, or softstop itself may have been late: what is `planned` is fitted into what is left now.
    pub(super) fn fit(&mut self, planned: &Budget, first: Part, now: At) {
        let kill_reserve = self.budget.kill_reserve;
        self.budget = planned.clone();
        self.budget.kill_reserve = kill_reserve;
        self.budget.fit(first, self.deadline_of(first, planned).left(now));
    }

    /// The same, and what of it is left for this part.
    pub(super) fn room_for(&mut self, part: Part, planned: &Budget, now: At) -> Duration {
        self.fit(planned, part, now);
        slice(now, self.deadline_of(part, planned), self.budget.after(part))
    }

    /// What a part of the stop counts with.
    pub(super) fn deadline_of(&self, part: Part, planned: &Budget) -> At {
        if matches!(part, Part::Drain(_)) { self.drain_deadline(planned) } else { self.deadline }
    }

    /// What is left after it is for the report and the exit itself.
    fn exit_by(&self) -> At {
        self.end - (self.budget.kill_reserve / 2).min(EXIT)
    }

    /// After the deadline: what is killed only now has a moment to be reaped and its end to be known, until then.
    fn moment(&self, now: At) -> At {
        now + if now < self.end { self.end.since(now).min(LATE) } else { LATE }
    }

    /// Who is sent SIGKILL now, at the deadline or with nothing else left to do, is waited for until then.
    pub(super) fn kill_until(&self, now: At) -> At {
        match self.exit_by() {
            until if now < until => until.min(now + KILL_WAIT.max(self.budget.kill_reserve) + self.for_crowd),
            // Late: softstop was paused or suspended.
            _ if now >= self.deadline + LATE => self.moment(now),
            _ => now,
        }
    }

    /// A process that is sent SIGKILL now is waited for until then; `None`: for as long as it takes.
    pub fn death_until(&self, now: At) -> Option<At> {
        let Stage::Processes { until } = &self.stage else { return None };
        // Of a crowd many die slowly, and after the deadline nobody waits for their end but softstop itself.
        if now >= self.deadline && !self.for_crowd.is_zero() {
            return Some(self.kill_until(now));
        }
        // At most half of what is left for this stage: the rest is for whoever waits for its end. Nobody dies in no time.
        Some(now + KILL_WAIT.min(until.left(now) / 2).max(SLACK / 2))
    }

    /// While the stop is at the processes: what is left for them.
    pub fn room(&self, now: At) -> Option<Duration> {
        let Stage::Processes { until } = &self.stage else { return None };
        let left = until.left(now);
        Some(left.saturating_sub(SLACK.min(left / 8)))
    }

    /// Until then a process may have back what was lost: only while the stop is at the processes does somebody else need the time.
    pub fn processes_until(&self) -> At {
        match &self.stage {
            Stage::Processes { until } => *until,
            Stage::Stragglers(s) => s.until,
            _ => self.deadline,
        }
    }

    /// A process that ends now may have its post_exit tasks until then.
    pub fn post_exit_until(&self) -> At {
        match &self.stage {
            Stage::Steps(Steps { kind: Place::Drain, .. }) | Stage::Drained { .. } => {
                self.deadline - self.budget.after_stop()
            }
            Stage::Processes { until } => *until,
            _ => At::ZERO,
        }
    }

    /// softstop lost so much time: the part of the stop that is under way gets it back, less what those after it hold of what is left.
    pub fn give_back(&mut self, lost: Duration, now: At, planned: &Budget) {
        if now >= self.deadline {
            let moment = self.moment(now);
            // What was sent SIGKILL in time may still be reaped in a moment, and its end be known.
            if let Stage::Killing { next, until, .. } = &mut self.stage
                && now >= *until
            {
                (*next, *until) = (now, moment);
            }
            return;
        }
        let part = match &self.stage {
            Stage::Steps(steps) => steps.part(),
            _ => Part::Stop,
        };
        let room = self.room_for(part, planned, now);
        let (stop_until, exit_by) = (self.deadline - self.budget.after_stop(), self.exit_by());
        match &mut self.stage {
            Stage::Steps(steps) => {
                steps.tasks.iter_mut().for_each(|task| task.give_back(lost, now, room));
            }
            Stage::Processes { until } => *until = stop_until.max(*until),
            Stage::Stragglers(s) => s.give_back(lost, stop_until),
            Stage::Killing { until, .. } => *until = until.later(lost, exit_by),
            Stage::Drained { .. } | Stage::Over => {}
        }
    }
}

impl Steps {
    pub(super) fn part(&self) -> Part {
        match self.kind {
            Place::PostStop => Part::PostStop(self.index),
            _ => Part::Drain(self.index),
        }
    }
}
