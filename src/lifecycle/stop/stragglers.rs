//! What the processes leave behind elsewhere: daemons, other sessions, adopted orphans. Pure.

use std::time::Duration;

use super::{Forced, SLACK, Stage, Steps, Stop};
use crate::facts::Place;
use crate::lifecycle::action::{Action, Whom};
use crate::lifecycle::asking::{Asking, Due};
use crate::lifecycle::core::Core;
use crate::lifecycle::event::Event;
use crate::lifecycle::process::{KILL_WAIT, Proc};
use crate::lifecycle::processes::Fact;
use crate::plan::stragglers::{Occasion, Policy};
use crate::report::{Note, Secs};
use crate::signal::Signal;
use crate::time::At;

/// What it takes to end one process of a crowd, on a machine that they keep busy.
const EACH: Duration = Duration::from_millis(4);
/// Whoever had to wait for the processor will have to again: to kill them, and to leave.
const WAITS: u32 = 2;
/// Neither takes more than this part of the grace.
const PART: u32 = 4;

/// Every process has ended, or has been given up.
#[derive(Clone, Debug, Hash)]
pub(in crate::lifecycle) struct Stragglers {
    began: At,
    /// The stage's slice is over then, unless softstop was late.
    pub until: At,
    /// The census has found somebody.
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

    /// softstop `lost` so much; the slice of the stage may end then.
    pub fn give_back(&mut self, lost: Duration, until: At) {
        self.until = until.max(self.until);
        self.asking.give_back(lost, last(self.began, self.until));
        self.killed = self.killed.map(|killed| killed.later(lost, self.until));
    }

    fn hurry(&mut self, moved: Duration, policy: Policy, occasion: Occasion) {
        self.until = self.until - moved;
        self.asking.replan(policy, last(self.began, self.until), occasion);
    }

    /// They live, as far as is known, and have not been sent SIGKILL.
    pub(super) fn live(&self) -> bool {
        self.present && !self.alone && self.killed.is_none()
    }
}

impl Stop {
    pub(super) fn begin_stragglers(&mut self, until: At, core: &mut Core) {
        let now = core.now;
        // Whoever comes late to this (softstop was paused) does it with a part of what is left.
        let until = if now > until { now + SLACK.min(self.deadline.left(now) / 4) } else { until };
        let asking = Asking::begin(policy(core), now, last(now, until), self.occasion());
        let stragglers = Stragglers { began: now, until, present: false, alone: false, asking, killed: None };
        self.stage = Stage::Stragglers(stragglers);
        core.fx.push(Action::Census);
    }

    pub(super) fn advance_stragglers(&mut self, core: &mut Core) -> bool {
        let now = core.now;
        let Stage::Stragglers(s) = &mut self.stage else { return false };
        let over = match s.killed {
            // What is left of a group may have more time than these.
            Some(until) => now >= until && !(now < s.until && core.processes.any(Fact::Leaves)),
            // Nobody has said yet whether there is anybody.
            None => !s.present && now >= s.until,
        };
        if s.alone || over {
            self.stragglers_over(core);
            return true;
        }
        if !s.present || s.killed.is_some() {
            return false;
        }
        match s.asking.due(now, self.deadline) {
            None => return false,
            Some(Due::Ask(whom)) => core.fx.push(Action::SignalStragglers { signal: signal(core), whom }),
            Some(Due::Kill) => {
                // Those who are killed late have a moment to be reaped, too.
                let moment = if now > s.until { SLACK.min(self.deadline.left(now) / 4) } else { Duration::ZERO };
                s.killed = Some(s.until.min(now + KILL_WAIT).max(now + moment));
                core.fx.push(Action::SignalStragglers { signal: Signal::KILL, whom: Whom::Everybody });
                core.fx.push(Action::Census);
                // With one that has had its SIGKILL and has not ended the census says nothing about others, and somebody is named already.
                if !core.processes.iter().any(Proc::lingers) {
                    self.record.forced.push(Forced::Stragglers);
                }
            }
        }
        true
    }

    fn stragglers_over(&mut self, core: &mut Core) {
        let Stage::Stragglers(s) = &self.stage else { return };
        if s.present && s.alone {
            core.note(Note::StragglersGone { took: Secs(core.now.since(s.began)) });
        }
        self.record.processes_are_over(core.now);
        core.fx.exit_code = Some(self.exit_code(core));
        self.stage = Stage::Steps(Steps::new(Place::PostStop, core.now));
    }

    /// What is known of them.
    pub fn on_stragglers(&mut self, event: &Event, core: &mut Core) {
        match event {
            Event::Alone => self.on_census(true),
            Event::NotAlone => self.on_census(false),
            Event::Crowd { processes, waited } => self.on_crowd(*processes, *waited, core),
            // Somebody has had no signal yet: orphaned or started since.
            Event::Unsignalled { .. } => {
                if let Stage::Stragglers(s) = &self.stage
                    && let (Some(whom), None) = (s.asking.asked, s.killed)
                {
                    core.fx.push(Action::SignalStragglers { signal: signal(core), whom });
                }
            }
            _ => {}
        }
    }

    fn on_census(&mut self, now_alone: bool) {
        match &mut self.stage {
            Stage::Stragglers(s) => {
                s.alone = now_alone;
                s.present |= !now_alone;
            }
            Stage::Killing { alone, .. } => *alone = now_alone,
            _ => {}
        }
    }

    /// Ending so many takes time, and the end of the grace does not move: the deadline moves up, and what comes at the end begins earlier.
    fn on_crowd(&mut self, processes: usize, waited: Duration, core: &Core) {
        let (before, occasion) = (self.deadline, self.occasion());
        let (count, most) = (u32::try_from(processes).unwrap_or(u32::MAX), self.budget.grace / PART);
        let margin = EACH.saturating_mul(count).min(most) + waited.saturating_mul(WAITS).min(most);
        self.for_crowd = self.for_crowd.max(margin);
        self.deadline = self.deadline.min(self.end - self.budget.kill_reserve - margin);
        let moved = before.since(self.deadline);
        if moved.is_zero() {
            return;
        }
        match &mut self.stage {
            Stage::Processes { until } => *until = *until - moved,
            Stage::Stragglers(s) if s.killed.is_none() => s.hurry(moved, policy(core), occasion),
            _ => {}
        }
    }
}

fn policy(core: &Core) -> Policy {
    Policy::of_container(&core.plan.config)
}

fn signal(core: &Core) -> Signal {
    policy(core).signal.unwrap_or(Signal::TERM)
}

/// SIGKILL comes then at the latest, so that who is killed is reaped within the stage.
fn last(began: At, until: At) -> At {
    until - SLACK.min(until.left(began) / 8)
}
