//! `[sidecar] follow`: the main container's process, seen in the PID namespace that both share, ends softstop with it. Pure.
//!
//! Two waits one after the other: until it runs, then until it has ended.

use super::Machine;
use super::action::What;
use super::event::{Cause, Outcome, RunId};
use super::task::TaskRun;
use super::up::FOREVER;
use crate::report::Note;
use crate::time::At;

impl Machine {
    /// Begins with the end of the init tasks, goes on from one wait to the next; `true` when something changed.
    pub(super) fn advance_follow(&mut self) -> bool {
        let Some(follow) = self.plan.config.sidecar.as_ref().and_then(|s| s.follow.as_ref()) else { return false };
        let Some(task) = &self.follow else {
            self.follow_on(0);
            return true;
        };
        let Some(result) = task.result() else { return false };
        match (task.what, result.ok()) {
            (What::Follow(0), true) => {
                let command = follow.command.clone();
                self.note(Note::Followed { command });
                self.follow_on(1);
            }
            (what, _) => self.request_stop(Cause::FollowedEnded { seen: what != What::Follow(0) }),
        }
        true
    }

    fn follow_on(&mut self, stage: usize) {
        self.follow = Some(TaskRun::begin(What::Follow(stage), self.now, FOREVER, &self.plan, &mut self.fx));
    }

    pub(super) fn due_follow(&mut self) -> bool {
        let (now, plan) = (self.now, std::rc::Rc::clone(&self.plan));
        match &mut self.follow {
            Some(task) => task.on_time(now, &plan, &mut self.fx),
            None => false,
        }
    }

    pub(super) fn follow_done(&mut self, run: RunId, outcome: &Outcome) {
        let (now, plan) = (self.now, std::rc::Rc::clone(&self.plan));
        if let Some(task) = &mut self.follow {
            task.on_done(run, outcome, now, &plan);
        }
    }

    pub(super) fn follow_deadline(&self) -> Option<At> {
        self.follow.as_ref().and_then(TaskRun::next_deadline)
    }
}
