//! softstop itself did not get to run: paused, starved of processor time, suspended with its machine (I13). Being late shifts what
//! is to be done, and drops none of it. Pure.
//!
//! Nobody knows whether the others ran meanwhile. So what they have a certain time for (a rung of a ladder, an attempt, a hook, a
//! probe) gets back what was lost, as far as the budget has room: who ran needs no more of it, and what has happened is told before
//! anything is due. What is merely waited out (a sleep, a back-off, a period) has passed. In the stop the deadline stays where it
//! is: what every part still to come holds is fitted into what is left.

use std::time::Duration;

use super::action::What;
use super::event::ProcId;
use super::process::{Cleaning, PostStart, Rest, State, StopStage, Stopping};
use super::{Machine, Stage as Whole, stop};
use crate::config::Process;
use crate::plan::budget::{Part, process_share, share};
use crate::plan::order::{Chain, stated};
use crate::report::StepKind;
use crate::time::At;

/// Who comes this late did not get to run.
pub(super) const LATE: Duration = Duration::from_millis(100);

impl Machine {
    /// Time has gone on to `at`. `told`: so much of it softstop knows to have lost; what it is late by shows here, too.
    pub(super) fn time_passes(&mut self, at: At, told: Duration) {
        let before = self.now;
        let at = at.max(before);
        let late = self.next_deadline().map_or(Duration::ZERO, |due| at.since(due.max(before)));
        self.now = at;
        let lost = told.max(late).min(at.since(before));
        if lost >= LATE {
            self.give_back(lost);
        }
    }

    fn give_back(&mut self, lost: Duration) {
        let now = self.now;
        match &mut self.stage {
            Whole::Init { task, .. } => task.give_back(lost, now, Duration::MAX),
            Whole::Stopping(_) => self.give_back_in_stop(lost),
            Whole::New | Whole::Up | Whole::Done => {}
        }
        if let Some(task) = &mut self.follow {
            task.give_back(lost, now, Duration::MAX);
        }
        for i in 0..self.processes.len() {
            self.give_back_to(ProcId(i), lost);
        }
    }

    /// To the part of the stop that is under way, less what those after it hold of what is left.
    fn give_back_in_stop(&mut self, lost: Duration) {
        let (now, planned) = (self.now, &self.plan.budget);
        let (Some(stop), Whole::Stopping(stage)) = (&mut self.stop, &mut self.stage) else { return };
        let part = match stage {
            stop::Stage::Draining(steps) => Part::Drain(steps.index),
            stop::Stage::PostStop(steps) => Part::PostStop(steps.index),
            _ => Part::Stop,
        };
        if now >= stop.deadline {
            // What was sent SIGKILL in time may still be reaped in a moment, and its end be known.
            if let stop::Stage::Killing { next, until, .. } = stage
                && now >= *until
            {
                (*next, *until) = (now, stop.moment(now));
            }
            return;
        }
        stop.fit(planned, part, now);
        let stop_until = stop.deadline - stop.budget.after_stop();
        match stage {
            stop::Stage::Draining(steps) | stop::Stage::PostStop(steps) => {
                let drains = steps.kind == StepKind::Drain;
                let deadline = if drains { stop.drain_deadline(planned) } else { stop.deadline };
                let room = share(now, deadline, stop.budget.after(part), None);
                steps.tasks.iter_mut().for_each(|task| task.give_back(lost, now, room));
            }
            stop::Stage::Processes { until } => *until = stop_until.max(*until),
            stop::Stage::Stragglers(s) => s.give_back(lost, stop_until),
            stop::Stage::Killing { until, .. } => *until = (*until + lost).min(stop.exit_by()).max(*until),
            stop::Stage::Drained { .. } => {}
        }
    }

    fn give_back_to(&mut self, id: ProcId, lost: Duration) {
        let now = self.now;
        // Only while the container's stop is at its processes does somebody else need the time.
        let most = match &self.stage {
            Whole::Stopping(stop::Stage::Processes { until }) => *until,
            Whole::Stopping(stop::Stage::Stragglers(s)) => s.until,
            _ => self.stop.as_ref().map_or(now + Duration::MAX, |s| s.deadline),
        };
        self.extend_stop(id, lost);
        let config = &self.plan.config.processes[id.0];
        let p = &mut self.processes[id.0];
        for probe in p.probes().into_iter().flatten() {
            probe.give_back(lost);
        }
        match &mut p.state {
            State::Running(r) => {
                if let PostStart::Doing(_, task) = &mut r.post_start {
                    task.give_back(lost, now, Duration::MAX);
                }
            }
            State::Stopping(s) => {
                let end = s.until;
                let fair = s.fair(now, lost, config);
                match &mut s.stage {
                    StopStage::PreStop(task) => task.give_back(lost, now, fair),
                    StopStage::Rung { until, .. } => *until = (now + fair).max(*until),
                    StopStage::Diagnosing { until } => *until = (*until + lost).min(end).max(*until),
                    StopStage::Killed { until: Some(until) } => *until = (*until + lost).min(most).max(*until),
                    StopStage::Killed { until: None } => {}
                }
            }
            State::Cleaning(Cleaning { rest, .. }) => match rest {
                Rest::Asked(asking) => asking.give_back(lost, most),
                Rest::Over { until } => *until = (*until + lost).min(most).max(*until),
            },
            State::Waiting | State::Starting | State::Backoff { .. } | State::Ended(_) => {}
        }
    }

    /// What its stop comes late by is not its own fault: its share ends as much later as those that stop after it leave room for.
    pub(super) fn extend_stop(&mut self, id: ProcId, lost: Duration) {
        let (now, room) = (self.now, self.stop_room());
        let config = &self.plan.config.processes[id.0];
        let State::Stopping(s) = &mut self.processes[id.0].state else { return };
        if matches!(s.stage, StopStage::Killed { .. }) {
            return;
        }
        let had = s.until.left(now - lost);
        let own = Chain::of(stated(config).map(|_| had));
        let deadline = self.stop.as_ref().map_or(Duration::MAX, |s| s.deadline.left(now));
        let fair =
            room.map_or(had.min(deadline), |room| process_share(room, own, self.plan.order.behind[id.0]).min(had));
        s.until = s.until.max(now + fair);
        if fair < had {
            s.diagnosis = s.diagnosis.min(s.until.left(now) / 4);
        }
    }

    /// While the container's stop is at its processes: what is left for them.
    pub(super) fn stop_room(&self) -> Option<Duration> {
        let Whole::Stopping(stop::Stage::Processes { until }) = &self.stage else { return None };
        let left = until.left(self.now);
        Some(left.saturating_sub(stop::SLACK.min(left / 8)))
    }

    /// What its pre_stop may take of the time its stop has.
    pub(super) fn pre_stop_share(&self, id: ProcId, limit: Duration) -> Duration {
        // One that states no length leaves half of the time to the signals.
        match self.plan.task(What::PreStop(id)).and_then(|t| t.timeout) {
            Some(stated) => {
                process_share(limit, Chain::of(Some(stated)), ladder_from(&self.plan.config.processes[id.0], 0))
            }
            None => limit / 2,
        }
    }
}

impl Stopping {
    /// What its pre_stop, or the rung it is at, may take from now on, with the rest of the ladder still to come: what it had left
    /// before softstop `lost` so much, if there is room for all.
    pub(super) fn fair(&self, now: At, lost: Duration, config: &Process) -> Duration {
        let (until, left, next) = match &self.stage {
            StopStage::PreStop(task) => (task.until, self.until.left(now), 0),
            StopStage::Rung { index, until } => (*until, self.ladder_until().left(now), *index + 1),
            StopStage::Diagnosing { .. } | StopStage::Killed { .. } => return Duration::ZERO,
        };
        let had = until.left(now - lost);
        process_share(left, Chain::of(Some(had)), ladder_from(config, next)).min(had)
    }
}

/// What the ladder asks for from a rung on, and the diagnosis after it.
pub(super) fn ladder_from(process: &Process, rung: usize) -> Chain {
    let silent = [None];
    let waits = process.stop.get(rung..).unwrap_or_default().iter().map(|r| r.wait);
    let none = silent.into_iter().filter(|_| process.stop.is_empty() && rung == 0);
    waits.chain(none).fold(Chain::default(), |sum, wait| sum.and(Chain::of(wait)))
}
