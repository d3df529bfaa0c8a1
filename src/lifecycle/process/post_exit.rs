//! What is done at every end of a process: its post_exit tasks, one after the other, beside the end of what it has left in its group. It
//! is started again, or has ended, only when both are over. Pure.

use std::time::Duration;

use super::{Around, GroupTermination, Proc, Rest, State};
use crate::facts::{Place, Reason};
use crate::lifecycle::action::What;
use crate::lifecycle::effects::Effects;
use crate::lifecycle::event::Exit;
use crate::lifecycle::task::{FOREVER, TaskRun};
use crate::report::{Note, Secs, TaskResult};
use crate::time::At;

/// Those of one end.
#[derive(Clone, Debug, Hash)]
pub(super) struct PostExit {
    /// The next one, by its number.
    next: usize,
    /// Under way. Not in the turn in which the process has ended: what others see of it is as before until then.
    task: Option<TaskRun>,
    /// Their slice of the budget ends then; never, while the container goes on.
    until: At,
    /// What they are told until the container stops.
    reason: Reason,
}

impl Proc {
    /// It has just ended. `until`: the end of what its own stop has, if it was being stopped.
    pub(super) fn begin_post_exit(&mut self, until: Option<At>, at: &Around<'_>) {
        let until = until.filter(|_| at.stop.is_some()).unwrap_or(At::NEVER);
        let stopped = self.stopped_alone(at);
        if let State::GroupTermination(c) = &mut self.state {
            let reason = if c.to_restart { stopped } else { Reason::ProcessEnded };
            c.post_exit =
                (!at.config().post_exit.is_empty()).then_some(PostExit { next: 0, task: None, until, reason });
        }
    }
}

impl PostExit {
    /// The next of them; those for which no time is left are passed over. `None`: there is none.
    fn go_on(mut self, exit: Exit, at: &Around<'_>, fx: &mut Effects) -> Option<PostExit> {
        self.until = at.stop.map_or(self.until, |stop| self.until.min(stop.post_exit_until()));
        for index in self.next..at.config().post_exit.len() {
            let (what, slice) = (What::new(Place::PostExit(at.id), index), self.until.left(at.now).min(FOREVER));
            let (place, name) = at.plan.named(what);
            if slice.is_zero() {
                let (took, result) = (Secs::default(), TaskResult::NoTime);
                fx.note(Note::TaskEnded { place, name, attempts: 0, took, result });
                continue;
            }
            fx.note(Note::TaskBegan { place, name });
            let reason = if at.stop.is_some() { fx.reason } else { self.reason };
            let task = TaskRun::begin((reason, Some(exit)), what, at.now, slice, at.plan, fx);
            return Some(PostExit { next: index + 1, task: Some(task), ..self });
        }
        None
    }
}

impl GroupTermination {
    /// Acts on whatever is due, or over: `true` when something changed.
    pub(super) fn go_on_with_post_exit(&mut self, at: &Around<'_>, fx: &mut Effects) -> bool {
        let Some(hooks) = &mut self.post_exit else { return false };
        if let Some(task) = &mut hooks.task {
            let changed = task.on_time(at.now, at.plan, fx);
            if task.conclude(at.now, at.plan, fx).is_none() {
                return changed;
            }
        }
        self.post_exit = self.post_exit.take().and_then(|hooks| hooks.go_on(self.exit, at, fx));
        true
    }

    /// The container's stop leaves them less.
    pub(super) fn shorten_post_exit(&mut self, to: At) {
        if let Some(hooks) = &mut self.post_exit {
            hooks.until = to.min(hooks.until);
            hooks.task.iter_mut().for_each(|task| task.shorten(to));
        }
    }

    /// softstop `lost` so much: the one under way gets it back, and so does what is left of the group, as far as there is time until `most`.
    pub(super) fn give_back(&mut self, lost: Duration, most: At, now: At) {
        if let Some(PostExit { task: Some(task), until, .. }) = &mut self.post_exit {
            *until = until.later(lost, most);
            task.give_back(lost, now, until.left(now));
        }
        match &mut self.rest {
            Rest::Asked(asking) => asking.give_back(lost, most),
            Rest::Over { until } => *until = until.later(lost, most),
            Rest::Gone => {}
        }
    }

    /// The budget has ended: so have they.
    pub(super) fn cut_post_exit(&mut self, at: &Around<'_>, fx: &mut Effects) -> bool {
        if let Some(hooks) = &mut self.post_exit {
            hooks.until = at.now;
            hooks.task.iter_mut().for_each(|task| task.cut(at.now, fx));
        }
        self.go_on_with_post_exit(at, fx)
    }

    pub(super) fn is_at_post_exit(&self) -> bool {
        self.post_exit.is_some()
    }

    /// It goes on, or begins, without a time.
    pub(super) fn post_exit_holds(&self, fx: &Effects) -> bool {
        match &self.post_exit {
            Some(PostExit { task: Some(task), .. }) => task.result().is_some() || task.holds(fx),
            Some(PostExit { task: None, .. }) => true,
            // With nothing else left to wait for it is over.
            None => self.is_empty(),
        }
    }

    pub(super) fn post_exit_task(&self) -> Option<&TaskRun> {
        self.post_exit.as_ref()?.task.as_ref()
    }

    pub(super) fn post_exit_task_mut(&mut self) -> Option<&mut TaskRun> {
        self.post_exit.as_mut()?.task.as_mut()
    }
}
