//! What can be asked of a process. Pure.

use super::super::action::ProbeKind;
use super::super::health::ProbeRun;
use super::super::task::TaskRun;
use super::{Body, End, PostStart, Proc, Rest, Running, State, StopStage, Stopping, Was};
use crate::plan::Plan;

impl Proc {
    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// There is, or may be, a process or something left of its group.
    pub fn lives(&self) -> bool {
        match self.state {
            State::Starting | State::Running(_) | State::Stopping(_) | State::GroupTermination(_) => true,
            State::Waiting | State::Backoff { .. } | State::Held { .. } | State::Ended(_) => false,
        }
    }

    /// It can be signalled: started, and not yet seen to end.
    pub fn alive(&self) -> bool {
        self.body().is_some() || matches!(self.state, State::Ended(End::Unkillable { itself: true }))
    }

    /// It has ended, and that was what it was to come to: with 0, or one of its `success_codes`.
    pub fn succeeded(&self) -> bool {
        matches!(self.state, State::Ended(End::Exited(_))) && self.succeeded
    }

    /// Its last end was such a one.
    pub fn has_succeeded(&self) -> bool {
        self.succeeded
    }

    /// A reload has taken it out, and nothing of it goes on.
    pub fn is_removed(&self) -> bool {
        matches!(self.state, State::Ended(End::Removed))
    }

    /// It has been sent SIGKILL and has not been seen to end.
    pub fn lingers(&self) -> bool {
        match &self.state {
            State::Ended(end) => matches!(end, End::Unkillable { .. }),
            State::Stopping(s) => matches!(s.stage, StopStage::Killed { .. }),
            _ => false,
        }
    }

    /// What it has left in its group is still waited for.
    pub fn leaves(&self) -> bool {
        matches!(&self.state, State::GroupTermination(c) if matches!(c.rest, Rest::Asked(_)))
    }

    /// It is down because its next time has not come.
    pub fn rests_until_its_time(&self) -> bool {
        self.is_scheduled && matches!(self.state, State::Held { by_order: false })
    }

    /// It has ended, and so has what is done at its end; of its group something may be left.
    pub fn is_gone(&self) -> bool {
        match &self.state {
            State::GroupTermination(c) => !c.is_at_post_exit(),
            state => matches!(state, State::Ended(_)),
        }
    }

    /// It has ended, and what is done at its end goes on.
    pub fn is_at_post_exit(&self) -> bool {
        matches!(&self.state, State::GroupTermination(c) if c.is_at_post_exit())
    }

    pub fn body(&self) -> Option<&Body> {
        match &self.state {
            State::Running(r) => Some(&r.body),
            State::Stopping(s) => Some(&s.body),
            _ => None,
        }
    }

    pub(super) fn body_mut(&mut self) -> Option<&mut Body> {
        match &mut self.state {
            State::Running(r) => Some(&mut r.body),
            State::Stopping(s) => Some(&mut s.body),
            _ => None,
        }
    }

    /// Whom its task waits for.
    pub fn awaits(&self) -> Option<usize> {
        match &self.state {
            State::Running(Running { post_start: PostStart::Doing(task), .. })
            | State::Stopping(Stopping { stage: StopStage::PreStop(task), .. }) => task.awaits(),
            State::GroupTermination(c) => c.post_exit_task()?.awaits(),
            _ => None,
        }
    }

    /// The task that it is at.
    pub fn task(&mut self) -> Option<&mut TaskRun> {
        match &mut self.state {
            State::Running(Running { post_start: PostStart::Doing(task), .. })
            | State::Stopping(Stopping { stage: StopStage::PreStop(task), .. }) => Some(task),
            State::GroupTermination(c) => c.post_exit_task_mut(),
            _ => None,
        }
    }

    pub fn pid(&self) -> Option<i32> {
        self.body().map(|body| body.pid)
    }

    pub fn probe(&self, kind: ProbeKind) -> Option<&ProbeRun> {
        self.body()?.probes.iter().find(|p| p.kind == kind)
    }

    /// Kubernetes' `started`.
    pub fn started(&self) -> bool {
        matches!(&self.state, State::Running(r) if r.started)
    }

    /// Started, its post_start tasks done, its readiness probe, if any, succeeding; without one, not stopped by a signal. Not when it
    /// says that it stops. A task never is.
    pub fn ready(&self) -> bool {
        let State::Running(r) = &self.state else { return false };
        if self.is_task {
            return false;
        }
        let probed =
            self.probe(ProbeKind::Readiness).map_or(self.suspended.is_none(), |probe| probe.passes == Some(true));
        r.started && matches!(r.post_start, PostStart::Done) && probed && !r.body.notices.stopping
    }

    /// It has done what it was to do, by itself: a service never has.
    pub fn completed(&self, is_service: bool) -> bool {
        let is_over = self.succeeded() || self.rests_until_its_time() && self.succeeded;
        is_over && self.stop_began.is_none() && !is_service
    }

    pub fn was(&self) -> Was {
        self.was
    }

    /// A result on its health stands against it, or it has a liveness probe and has ended for good.
    pub fn is_unwell(&self, id: usize, plan: &Plan) -> bool {
        let probed = || plan.probe(id, ProbeKind::Liveness).is_some() && plan.is_service(id);
        let ended =
            matches!(self.state, State::Ended(End::Exited(_) | End::StartFailed { .. } | End::Unkillable { .. }));
        self.unhealthy || ended && probed()
    }
}
