//! softstop itself did not get to run: paused, starved of processor time, suspended with its machine (I13). Being late shifts what
//! is to be done, and drops none of it. Pure.
//!
//! Nobody knows whether the others ran meanwhile. So what they have a certain time for (a rung of a ladder, an attempt, a hook, a
//! probe) gets back what was lost, as far as the budget has room: who ran needs no more of it, and what has happened is told before
//! anything is due. What is merely waited out (a sleep, a back-off, a period) has passed. In the stop the deadline stays where it
//! is: what every part still to come holds is fitted into what is left.

use std::time::Duration;

use super::process::Input;
use super::{Machine, Phase};
use crate::time::At;

/// Who comes this late did not get to run.
pub(super) const LATE: Duration = Duration::from_millis(100);

impl Machine {
    /// Time has gone on to `at`. `known`: so much of it softstop knows to have lost; what it is late by shows here, too.
    pub(super) fn time_passes(&mut self, at: At, known: Duration) {
        let before = self.core.now;
        let at = at.max(before);
        let late = self.next_deadline().map_or(Duration::ZERO, |due| at.since(due.max(before)));
        self.core.now = at;
        self.core.processes.time_passes(before, at);
        let lost = known.max(late).min(at.since(before));
        if lost >= LATE {
            self.give_back(lost);
        }
    }

    fn give_back(&mut self, lost: Duration) {
        let now = self.core.now;
        match &mut self.phase {
            Phase::Init { task } | Phase::Up { follow: Some(task) } => task.give_back(lost, now, Duration::MAX),
            Phase::Stopping(stop) => stop.give_back(lost, now, &self.core.plan.budget),
            Phase::New | Phase::Up { follow: None } => {}
        }
        self.core.changes.give_back(lost, now);
        for id in self.core.ids() {
            self.take(id, Input::Late { lost });
        }
    }
}
