//! What the processes leave behind elsewhere: daemons, other sessions, adopted orphans. Pure.

use std::time::Duration;

use crate::lifecycle::action::{Action, Whom};
use crate::lifecycle::asking::{Asking, Due};
use crate::lifecycle::process::{End, Proc, Rest, State, StopStage};
use crate::lifecycle::up::KILL_WAIT;
use crate::lifecycle::{Machine, Stage as Whole};
use crate::plan::stragglers::Policy;
use crate::report::{Note, Secs, StepKind};
use crate::signal::Signal;
use crate::time::At;

use super::{SLACK, Stage, Steps, Stop};

/// What it takes to end one process of a crowd, on a machine that they keep busy.
const EACH: Duration = Duration::from_millis(4);
/// Whoever had to wait for the processor will have to again: to kill them, and to leave.
const WAITS: u32 = 2;
/// Neither takes more than this part of the grace.
const PART: u32 = 4;

impl Stop {
    /// The deadline moves up by what it takes to end so many.
    fn make_room_for(&mut self, processes: usize, waited: Duration) {
        let count = u32::try_from(processes).unwrap_or(u32::MAX);
        let most = self.budget.grace / PART;
        let margin = EACH.saturating_mul(count).min(most) + waited.saturating_mul(WAITS).min(most);
        self.for_crowd = self.for_crowd.max(margin);
        self.deadline = self.deadline.min(self.end - self.budget.kill_reserve - margin);
    }
}

/// Every process has ended, or has been given up.
#[derive(Clone, Debug, Hash)]
pub(in crate::lifecycle) struct Stragglers {
    began: At,
    /// The stage's share is over then, unless softstop was late.
    pub until: At,
    /// The census has been ordered.
    looked: bool,
    /// It has found somebody.
    present: bool,
    alone: bool,
    asking: Asking,
    /// Sent SIGKILL: no longer waited for then.
    killed: Option<At>,
}

impl Stragglers {
    pub fn next_deadline(&self, now: At) -> At {
        match self.killed {
            Some(until) if now < until => until,
            Some(_) => self.until,
            None if self.present => self.asking.next(),
            None => self.until,
        }
    }

    /// When they are to be gone.
    pub fn ends(&self) -> At {
        self.killed.unwrap_or(self.asking.kill_at())
    }

    /// softstop `lost` so much; the share of the stage may end then.
    pub fn give_back(&mut self, lost: Duration, until: At) {
        self.until = until.max(self.until);
        let room = self.until.left(self.began);
        self.asking.give_back(lost, self.until - SLACK.min(room / 8));
        self.killed = self.killed.map(|killed| (killed + lost).min(self.until).max(killed));
    }

    /// They live, as far as is known, and have not been sent SIGKILL.
    pub(super) fn live(&self) -> bool {
        self.present && !self.alone && self.killed.is_none()
    }
}

impl Machine {
    pub(super) fn begin_stragglers(&mut self, until: At) {
        let now = self.now;
        // Whoever comes late to this (softstop was paused) does it with a part of what is left.
        let hard = self.stop.as_ref().map_or(now, |stop| stop.deadline);
        let until = if now > until { now + SLACK.min(hard.left(now) / 4) } else { until };
        let room = until.left(now);
        let last = until - SLACK.min(room / 8);
        let asking = Asking::begin(Policy::of_container(&self.plan.config), now, last, self.occasion());
        let (looked, present, alone) = (false, false, false);
        let stage = Stragglers { began: now, until, looked, present, alone, asking, killed: None };
        self.stage = Whole::Stopping(Stage::Stragglers(stage));
    }

    pub(super) fn advance_stragglers(&mut self) -> bool {
        let now = self.now;
        let hard = self.stop.as_ref().map_or(now, |stop| stop.deadline);
        let signal = Policy::of_container(&self.plan.config).signal.unwrap_or(Signal::TERM);
        let Whole::Stopping(Stage::Stragglers(s)) = &mut self.stage else {
            return false;
        };
        if !s.looked {
            s.looked = true;
            self.fx.push(Action::Census);
            return true;
        }
        // What is left of a group may have more time than these.
        let asked = |p: &Proc| matches!(&p.state, State::Cleaning(c) if matches!(c.rest, Rest::Asked(_)));
        let groups = self.processes.iter().any(asked);
        let over = match s.killed {
            Some(until) => now >= until && !(groups && now < s.until),
            // Nobody has said yet whether there is anybody.
            None => !s.present && now >= s.until,
        };
        if s.alone || over {
            self.stragglers_over();
            return true;
        }
        if !s.present || s.killed.is_some() {
            return false;
        }
        match s.asking.due(now, hard) {
            None => return false,
            Some(Due::Ask(whom)) => self.fx.push(Action::SignalStragglers { signal, whom }),
            Some(Due::Kill) => {
                // Those who are killed late have a moment to be reaped, too.
                let moment = if now > s.until { SLACK.min(hard.left(now) / 4) } else { Duration::ZERO };
                s.killed = Some(s.until.min(now + KILL_WAIT).max(now + moment));
                self.fx.push(Action::SignalStragglers { signal: Signal::KILL, whom: Whom::Everybody });
                self.fx.push(Action::Census);
                if !self.a_victim_lingers() {
                    self.stragglers_forced();
                }
            }
        }
        true
    }

    /// Ending so many takes time, and the end of the grace does not move: what comes at the end begins earlier.
    pub(in crate::lifecycle) fn on_crowd(&mut self, processes: usize, waited: Duration) {
        let policy = Policy::of_container(&self.plan.config);
        let occasion = self.occasion();
        let Some(stop) = &mut self.stop else { return };
        let before = stop.deadline;
        stop.make_room_for(processes, waited);
        let moved = before.since(stop.deadline);
        if moved.is_zero() {
            return;
        }
        match &mut self.stage {
            Whole::Stopping(Stage::Processes { until }) => *until = *until - moved,
            Whole::Stopping(Stage::Stragglers(s)) if s.killed.is_none() => {
                s.until = s.until - moved;
                let room = s.until.left(s.began);
                s.asking.replan(policy, s.until - SLACK.min(room / 8), occasion);
            }
            _ => {}
        }
    }

    /// With one that has had its SIGKILL and has not ended the census says nothing about others, and somebody is named already.
    pub(super) fn a_victim_lingers(&self) -> bool {
        let victim = |state: &State| {
            matches!(state, State::Ended(End::Unkillable))
                || matches!(state, State::Stopping(s) if matches!(s.stage, StopStage::Killed { .. }))
        };
        self.processes.iter().any(|p| victim(&p.state))
    }

    pub(super) fn stragglers_forced(&mut self) {
        if let Some(stop) = &mut self.stop {
            stop.forced.push("left-over processes".to_string());
        }
    }

    fn stragglers_over(&mut self) {
        let Whole::Stopping(Stage::Stragglers(s)) = &self.stage else { return };
        let took = Secs(self.now.since(s.began));
        if s.present && s.alone {
            self.note(Note::StragglersGone { took });
        }
        if let Some(stop) = &mut self.stop {
            stop.processes_took = stop.processes_began.map_or(Duration::ZERO, |t| self.now.since(t));
        }
        self.fx.exit_code = Some(self.exit_code());
        self.stage = Whole::Stopping(Stage::PostStop(Steps::new(StepKind::PostStop, self.now)));
    }

    /// Somebody has had no signal yet: orphaned or started since.
    pub(in crate::lifecycle) fn stragglers_grew(&mut self) {
        let signal = Policy::of_container(&self.plan.config).signal.unwrap_or(Signal::TERM);
        if let Whole::Stopping(Stage::Stragglers(s)) = &self.stage
            && let (Some(whom), None) = (s.asking.asked, s.killed)
        {
            self.fx.push(Action::SignalStragglers { signal, whom });
        }
    }

    /// The answer to a census.
    pub(in crate::lifecycle) fn on_census(&mut self, now_alone: bool) {
        match &mut self.stage {
            Whole::Stopping(Stage::Stragglers(s)) => {
                s.alone = now_alone;
                s.present |= !now_alone;
            }
            Whole::Stopping(Stage::Killing { alone, .. }) => *alone = now_alone,
            _ => {}
        }
    }
}
