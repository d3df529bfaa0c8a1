//! What is done at every end of a process: its post_exit tasks, one after the other, beside the end of what it has left in its group. It
//! is started again, or has ended, only when both are over. Pure.

use std::time::Duration;

use super::{Around, GroupTermination, Proc, Rest, State};
use crate::facts::{Place, Reason};
use crate::lifecycle::action::What;
use crate::lifecycle::effects::Effects;
use crate::lifecycle::task::{FOREVER, TaskRun};
use crate::report::{Note, Secs, TaskResult};
use crate::time::At;

#[derive(Clone, Debug, Hash)]
pub(super) enum PostExit {
    /// Not in the turn in which it has ended: what others see of it is as before until then.
    Next {
        index: usize,
        until: At,
        reason: Reason,
    },
    Doing {
        index: usize,
        task: TaskRun,
        /// Their share of the budget ends then; never, while the container goes on.
        until: At,
        /// What they are told until the container stops.
        reason: Reason,
    },
    Done,
}

impl Proc {
    /// It has just ended. `until`: the end of what its own stop has, if it was being stopped.
    pub(super) fn begin_post_exit(&mut self, until: Option<At>, at: &Around<'_>) {
        let until = until.filter(|_| at.stop.is_some()).unwrap_or(At::NEVER);
        let hold = self.hold;
        if let State::GroupTermination(c) = &mut self.state {
            let reason = match c.to_restart {
                true if hold => Reason::StopRequested,
                true => Reason::Restart,
                false => Reason::ProcessEnded,
            };
            c.post_exit = match at.config().post_exit.is_empty() {
                true => PostExit::Done,
                false => PostExit::Next { index: 0, until, reason },
            };
        }
    }
}

impl GroupTermination {
    /// The task `index`; those for which no time is left are passed over.
    fn begin_post_exit(&mut self, index: usize, until: At, reason: Reason, at: &Around<'_>, fx: &mut Effects) {
        self.post_exit = PostExit::Done;
        let until = at.stop.map_or(until, |stop| until.min(stop.post_exit_until()));
        let place = || Place::PostExit(at.name());
        for (index, task) in at.config().post_exit.iter().enumerate().skip(index) {
            let (share, name) = (until.left(at.now).min(FOREVER), task.name.clone());
            if share.is_zero() {
                let (took, result) = (Secs::default(), TaskResult::NoTime);
                fx.note(Note::TaskEnded { place: place(), name, attempts: 0, took, result });
                continue;
            }
            fx.note(Note::TaskBegan { place: place(), name });
            let whole = fx.reason;
            fx.reason = if at.stop.is_some() { whole } else { reason };
            fx.end = Some(self.exit);
            let task = TaskRun::begin(What::new(Place::PostExit(at.id), index), at.now, share, at.plan, fx);
            (fx.reason, fx.end) = (whole, None);
            self.post_exit = PostExit::Doing { index, task, until, reason };
            return;
        }
    }

    /// Acts on whatever is due, or over: `true` when something changed.
    pub(super) fn go_on_with_post_exit(&mut self, at: &Around<'_>, fx: &mut Effects) -> bool {
        let (index, task, until, reason) = match &mut self.post_exit {
            PostExit::Next { index, until, reason } => {
                let (index, until, reason) = (*index, *until, *reason);
                self.begin_post_exit(index, until, reason, at, fx);
                return true;
            }
            PostExit::Doing { index, task, until, reason } => (index, task, until, reason),
            PostExit::Done => return false,
        };
        let changed = task.on_time(at.now, at.plan, fx);
        let Some(result) = task.result().cloned() else { return changed };
        let (attempts, took) = (task.attempts, Secs(at.now.since(task.began)));
        let name = at.config().post_exit.get(*index).map_or_else(String::new, |task| task.name.clone());
        fx.note(Note::TaskEnded { place: Place::PostExit(at.name()), name, attempts, took, result });
        let (next, until, reason) = (*index + 1, *until, *reason);
        self.begin_post_exit(next, until, reason, at, fx);
        true
    }

    /// The container's stop leaves them less.
    pub(super) fn shorten_post_exit(&mut self, to: At) {
        match &mut self.post_exit {
            PostExit::Doing { task, until, .. } => {
                *until = to.min(*until);
                task.shorten(to);
            }
            PostExit::Next { until, .. } => *until = to.min(*until),
            PostExit::Done => {}
        }
    }

    /// softstop `lost` so much: the one under way gets it back, as far as there is time until `most`. Says what is left of the group, which does, too.
    pub(super) fn give_back_post_exit(&mut self, lost: Duration, most: At, now: At) -> &mut Rest {
        if let PostExit::Doing { task, until, .. } = &mut self.post_exit {
            *until = if *until == At::NEVER { *until } else { (*until + lost).min(most).max(*until) };
            task.give_back(lost, now, until.left(now));
        }
        &mut self.rest
    }

    /// The budget has ended: so have they.
    pub(super) fn cut_post_exit(&mut self, at: &Around<'_>, fx: &mut Effects) -> bool {
        match &mut self.post_exit {
            PostExit::Doing { task, until, .. } => {
                *until = at.now;
                task.cut(at.now, fx);
            }
            PostExit::Next { until, .. } => *until = at.now,
            PostExit::Done => return false,
        }
        self.go_on_with_post_exit(at, fx)
    }

    pub(super) fn is_at_post_exit(&self) -> bool {
        !matches!(self.post_exit, PostExit::Done)
    }

    /// It goes on, or begins, without a time.
    pub(super) fn post_exit_holds(&self, fx: &Effects) -> bool {
        match &self.post_exit {
            PostExit::Next { .. } => true,
            PostExit::Doing { task, .. } => task.result().is_some() || task.holds(fx),
            // With nothing else left to wait for it is over.
            PostExit::Done => self.is_empty(),
        }
    }

    pub(super) fn post_exit_task(&self) -> Option<&TaskRun> {
        match &self.post_exit {
            PostExit::Doing { task, .. } => Some(task),
            PostExit::Next { .. } | PostExit::Done => None,
        }
    }

    pub(super) fn post_exit_task_mut(&mut self) -> Option<&mut TaskRun> {
        match &mut self.post_exit {
            PostExit::Doing { task, .. } => Some(task),
            PostExit::Next { .. } | PostExit::Done => None,
        }
    }
}
