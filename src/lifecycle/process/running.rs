//! A process from its start to its end or the beginning of its stop: probes, post_start, and whether it is started again. Pure.

use std::time::Duration;

use super::notices::Notices;
use super::{Around, Body, Change, End, PostStart, Proc, Running, State};
use crate::config::{Backoff, OnExit, OnFailure, Restart};
use crate::facts::{Fault, Hopeless, Needless, Place};
use crate::lifecycle::action::{Action, ProbeKind, What};
use crate::lifecycle::effects::Effects;
use crate::lifecycle::event::{Cause, Exit, Outcome, ProcId, RunId, SpawnError, SpawnErrorKind};
use crate::lifecycle::health::{ProbeRun, Step};
use crate::lifecycle::task::{SHORTEST, TaskRun, own_code};
use crate::report::{Note, Secs};

impl Proc {
    pub(super) fn start(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        self.state = State::Starting;
        fx.push(Action::Spawn { process: at.id });
        Change::some()
    }

    pub(super) fn cannot_start(&mut self, on: ProcId, why: Hopeless, at: &Around<'_>, fx: &mut Effects) -> Change {
        self.state = State::Ended(End::CannotStart { on });
        self.again = false;
        let on = at.plan.name(on.0).to_string();
        fx.note(Note::CannotStart { process: at.name(), on: on.clone(), why });
        Change::ends_if(at.is_needed(), Cause::DependencyFailed { process: at.name(), on })
    }

    pub(super) fn spawned(&mut self, pid: i32, at: &Around<'_>, fx: &mut Effects) -> Change {
        let startup = at.plan.probe(at.id.0, ProbeKind::Startup);
        let probes = startup.map(|probe| ProbeRun::begin(ProbeKind::Startup, at.id, probe, at.now, at.now));
        let started = probes.is_none() && at.config().notify.is_none();
        let notices = Notices::begin(at.config().notify.as_ref(), at.now);
        let body = Body { pid, since: at.now, probes: probes.into_iter().collect(), notices };
        let mut running = Running { body, started, post_start: PostStart::NotYet };
        if started {
            running.begin_probes(at);
        }
        self.state = State::Running(running);
        (self.unhealthy, self.again, self.fell_silent) = (false, false, false);
        (self.last_error, self.suspended) = (None, None);
        // What an earlier run was sent excuses nothing in this one.
        self.sent.clear();
        fx.note(Note::Started { process: at.name(), pid, restarts: self.restarts });
        Change::some()
    }

    pub(super) fn spawn_failed(&mut self, error: &SpawnError, at: &Around<'_>, fx: &mut Effects) -> Change {
        self.last_error = Some(error.text.clone());
        self.again = false;
        let worth_it = error.kind == SpawnErrorKind::Transient || self.was.started;
        let retry = at.config().restart != Restart::Never && worth_it && at.stop.is_none() && !self.gave_up(at);
        let retry_in = retry.then(|| Secs(self.back_off(at)));
        fx.note(Note::StartFailed { process: at.name(), error: error.text.clone(), retry_in });
        if retry {
            return Change::some();
        }
        let code = error.kind.exit_code();
        self.is_over(End::StartFailed { code }, at);
        Change::ends_if(at.stop.is_none() && at.is_needed(), Cause::StartFailed { process: at.name(), code })
    }

    /// An order: it is started at once, or as soon as it has been stopped.
    pub(super) fn start_again(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        (self.again, self.hold) = (true, false);
        match &self.state {
            State::Running(_) => return self.stop_to_restart(at, fx),
            State::Stopping(_) | State::GroupTermination(_) | State::Waiting | State::Starting => {}
            // Somebody has looked at it: its back-off begins anew.
            State::Backoff { .. } => self.start_over(),
            State::Ended(_) | State::Held { .. } => {
                self.restarts = self.restarts.saturating_add(u32::from(self.was.started));
                self.start_over();
            }
        }
        Change::some()
    }

    /// It is to be started, and nothing of its earlier restarts counts any more.
    pub(super) fn start_over(&mut self) {
        (self.state, self.recent, self.counted) = (State::Waiting, 0, None);
    }

    /// An order: it is stopped, if it runs, and not started again but by another order.
    pub(super) fn hold_down(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        match &self.state {
            State::Running(_) => {
                self.hold = true;
                self.stop_to_restart(at, fx)
            }
            State::Stopping(_) | State::GroupTermination(_) => {
                (self.hold, self.again) = (true, false);
                Change::some()
            }
            State::Waiting => self.is_held(at, fx),
            State::Backoff { .. } => {
                // It was counted, and does not come.
                self.restarts = self.restarts.saturating_sub(1);
                self.is_held(at, fx)
            }
            State::Held { .. } if self.rests_until_its_time() => self.is_held(at, fx),
            // It is not up, and nothing is about to start it.
            State::Held { .. } | State::Ended(_) | State::Starting => Change::default(),
        }
    }

    fn is_held(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        (self.state, self.hold, self.again) = (State::Held { by_order: true }, false, false);
        fx.note(Note::Held { process: at.name(), needed_by: at.plan.needed_by(at.id) });
        Change::some()
    }

    // === its end ===

    pub(super) fn exited(&mut self, exit: Exit, at: &Around<'_>, fx: &mut Effects) -> Change {
        self.has_exited(exit, at);
        let diagnosed = matches!(&self.state, State::Stopping(s) if s.is_diagnosed());
        let (since, killed, to_restart, until) = match &mut self.state {
            State::Running(r) => {
                r.end(at, fx);
                (r.body.since, false, false, None)
            }
            State::Stopping(s) => {
                (s.body.since, s.end(at.now, fx), s.to_restart, Some((s.until, s.until + s.post_exit)))
            }
            _ => return Change::default(),
        };
        let (asked, container_stops) = (until.is_some(), at.stop.is_some());
        let (until, hooks_until) = until.unzip();
        if at.now.since(since) >= at.config().backoff.reset {
            self.recent = 0;
        }
        self.begin_group_termination(exit, until, killed, to_restart, at, fx);
        // In the container's stop it is said when its group is gone, too; of one that ended in its pre_stop, by itself, it is said now.
        if !(asked && container_stops && self.ends_by_its_stop()) {
            let ran = Secs(at.now.since(since));
            fx.note(Note::Exited { process: at.name(), exit, ran, success: self.succeeded });
        }
        if !asked && !container_stops && self.succeeded && at.plan.is_service(at.id.0) {
            self.fell_silent = true;
            fx.note(Note::ServiceEnded { process: at.name(), by_probes: at.config().kind.is_none() });
        }
        self.begin_post_exit(hooks_until, at);
        self.run_ended(exit, since, at);
        let (failure, by_ladder) = (!self.succeeded, self.by_its_ladder(exit));
        let ends = self.ends_container(exit, to_restart, at);
        Change {
            // Whoever ends upon the diagnostic signal, as a Go program does, has not ended by its ladder: SIGKILL was next.
            forced: diagnosed && failure && !by_ladder,
            failed: (failure && !(asked && by_ladder)).then_some(exit.code()),
            ends: ends.then_some(Cause::ProcessEnded { process: at.name(), status: exit }),
            ..Change::some()
        }
    }

    /// Nothing is left of its group, or nothing that could be ended.
    pub(super) fn cleaned_up(&mut self, exit: Exit, to_restart: bool, at: &Around<'_>, fx: &mut Effects) -> Change {
        if at.stop.is_some() {
            self.state = State::Ended(End::Exited(exit));
            self.stopped(exit, at, fx);
        } else if at.config().removed {
            self.state = State::Ended(End::Removed);
        } else if self.hold {
            return self.is_held(at, fx);
        } else if self.again {
            self.restarts = self.restarts.saturating_add(1);
            self.state = State::Waiting;
        } else if !self.restarts(exit, to_restart, at) {
            self.is_over(End::Exited(exit), at);
        } else if self.gave_up(at) {
            self.is_over(End::Exited(exit), at);
            fx.note(Note::GaveUp { process: at.name(), restarts: self.restarts });
            return Change::ends_if(at.is_needed(), Cause::ProcessEnded { process: at.name(), status: exit });
        } else {
            let delay = Secs(self.back_off(at));
            fx.note(Note::BackOff { process: at.name(), restarts: self.restarts, delay });
        }
        Change::some()
    }

    /// Its policy, or an order, starts it again after such an end. Nothing does once the stop was requested.
    fn restarts(&self, exit: Exit, to_restart: bool, at: &Around<'_>) -> bool {
        if at.stop.is_some() || self.again || self.hold || at.config().removed {
            return at.stop.is_none();
        }
        // Where softstop has stopped it, its exit code says nothing of its own.
        if !to_restart && at.config().restart_on.iter().any(|rule| rule.matches(exit)) {
            return true;
        }
        match at.config().restart {
            Restart::Always => true,
            Restart::OnFailure => to_restart || at.is_failure(exit),
            Restart::Never => false,
        }
    }

    /// This end is final and the container's too.
    fn ends_container(&self, exit: Exit, to_restart: bool, at: &Around<'_>) -> bool {
        let final_for_all = match at.config().on_exit {
            OnExit::Stop => true,
            OnExit::StopOnFailure => at.is_failure(exit) || to_restart,
            OnExit::Continue => false,
        };
        final_for_all && !self.restarts(exit, to_restart, at)
    }

    fn gave_up(&self, at: &Around<'_>) -> bool {
        let config = at.config();
        let counted = match config.restart_window {
            None => self.recent,
            Some(window) => self.counted.filter(|(from, _)| at.now.since(*from) < window).map_or(0, |(_, n)| n),
        };
        config.max_restarts.is_some_and(|max| counted >= max)
    }

    fn back_off(&mut self, at: &Around<'_>) -> Duration {
        let delay = backoff_delay(&at.config().backoff, self.recent).max(SHORTEST);
        let delay = at.plan.jittered(delay, at.id.0, self.restarts);
        self.recent = self.recent.saturating_add(1);
        self.counted = at.config().restart_window.map(|window| match self.counted {
            Some((from, n)) if at.now.since(from) < window => (from, n.saturating_add(1)),
            _ => (at.now, 1),
        });
        self.restarts = self.restarts.saturating_add(1);
        self.state = State::Backoff { until: at.now + delay };
        delay
    }

    // === probes ===

    pub(super) fn probes_due(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let mut steps = Vec::new();
        for run in self.body_mut().into_iter().flat_map(|body| &mut body.probes) {
            let Some(probe) = at.plan.probe(at.id.0, run.kind) else { continue };
            steps.extend(run.on_time(at.now, probe, fx).map(|step| (run.kind, step)));
        }
        let any = !steps.is_empty();
        steps.into_iter().for_each(|(kind, step)| self.on_probe(kind, step, at, fx));
        let late = self.notices_due(at, fx);
        Change::of(any || late)
    }

    pub(super) fn probe_answered(
        &mut self,
        kind: ProbeKind,
        run: RunId,
        outcome: &Outcome,
        at: &Around<'_>,
        fx: &mut Effects,
    ) -> Change {
        let Some(probe) = at.plan.probe(at.id.0, kind) else { return Change::default() };
        let mut probes = self.body_mut().into_iter().flat_map(|body| &mut body.probes);
        let Some(step) = probes.find_map(|p| p.on_done(run, outcome, at.now, probe)) else { return Change::default() };
        self.on_probe(kind, step, at, fx);
        Change::some()
    }

    fn on_probe(&mut self, kind: ProbeKind, step: Step, at: &Around<'_>, fx: &mut Effects) {
        let Some(threshold) = at.plan.probe(at.id.0, kind).map(|probe| probe.failure_threshold) else { return };
        let (process, probe) = (at.name(), kind);
        let Some(reason) = self.probe(kind).map(|p| p.last.clone()) else { return };
        match (kind, step) {
            (_, Step::Nothing) | (ProbeKind::Readiness | ProbeKind::Liveness, Step::Turned(true)) => {}
            (_, Step::Failed { failures }) => {
                fx.note(Note::ProbeFailed { process, probe, failures, threshold, reason });
            }
            (_, Step::Unknown(reason)) => fx.note(Note::ProbeUnknown { process, probe, reason }),
            (ProbeKind::Startup, Step::Turned(true)) => {
                if let State::Running(r) = &mut self.state {
                    r.body.probes.retain(|p| p.kind != ProbeKind::Startup);
                    fx.note(Note::StartedUp { process, took: Secs(at.now.since(r.body.since)) });
                    r.is_started(at);
                }
            }
            (ProbeKind::Readiness, Step::Turned(false)) => {
                if std::mem::take(&mut self.said_ready) {
                    let reason = Fault::ProbeFailed { probe, threshold, last: reason };
                    fx.note(Note::NotReady { process, reason });
                } else {
                    fx.note(Note::ProbeFailed { process, probe, failures: threshold, threshold, reason });
                }
            }
            (ProbeKind::Startup | ProbeKind::Liveness, Step::Turned(false)) => {
                self.is_unhealthy(Fault::ProbeFailed { probe, threshold, last: reason }, at, fx);
            }
        }
    }

    /// Stop a process that is no good, to start it again as its policy allows.
    pub(super) fn is_unhealthy(&mut self, reason: Fault, at: &Around<'_>, fx: &mut Effects) {
        if at.stop.is_none() {
            fx.note(Note::Unhealthy { process: at.name(), reason });
            self.unhealthy = true;
            self.stop_to_restart(at, fx);
        }
    }

    // === post_start ===

    /// Begin the first task once it is started, and the next when one has ended.
    pub(super) fn go_on_with_post_start(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let State::Running(r) = &mut self.state else { return Change::default() };
        let run = match &r.post_start {
            PostStart::NotYet if r.started => {
                r.next_post_start(0, at, fx);
                return Change::some();
            }
            PostStart::Doing(task) => task,
            PostStart::NotYet | PostStart::Done => return Change::default(),
        };
        let Some(result) = run.conclude(at.now, at.plan, fx) else { return Change::default() };
        let (index, ok) = (run.what.nth, result.ok());
        let task = &at.config().post_start[index];
        let mut change = Change::some();
        match task.on_failure {
            OnFailure::Restart if !ok => self.is_unhealthy(Fault::PostStartFailed { task: task.name.clone() }, at, fx),
            OnFailure::Stop if !ok => {
                change.ends = Some(Cause::PostStartFailed { process: at.name(), code: own_code(&result) });
            }
            OnFailure::Ignore | OnFailure::Restart | OnFailure::Stop => r.next_post_start(index + 1, at, fx),
        }
        change
    }

    /// The container stops: nothing is begun for it any more. It drains, so its readiness goes on being probed.
    pub(super) fn interrupt(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let State::Running(r) = &mut self.state else { return Change::default() };
        let mut change = Change::some();
        r.body.notices.expect_nothing();
        if let PostStart::Doing(task) = &mut r.post_start {
            change.interrupted = task.cancel(Needless::StopRequested, false, at.now, fx);
        }
        r.body.probes.retain_mut(|probe| {
            let stays = probe.kind == ProbeKind::Readiness;
            if !stays {
                probe.end(fx);
            }
            stays
        });
        change
    }
}

impl Running {
    /// The process has ended.
    fn end(&mut self, at: &Around<'_>, fx: &mut Effects) {
        self.body.end_probes(fx);
        if let PostStart::Doing(task) = &mut self.post_start {
            task.cancel(Needless::ProcessEnded, true, at.now, fx);
        }
    }

    pub(super) fn is_started(&mut self, at: &Around<'_>) {
        self.started = true;
        self.begin_probes(at);
    }

    /// Readiness and liveness begin once the process is started, as in Kubernetes.
    fn begin_probes(&mut self, at: &Around<'_>) {
        for kind in [ProbeKind::Readiness, ProbeKind::Liveness] {
            let since = self.body.since;
            let run = at.plan.probe(at.id.0, kind).map(|probe| ProbeRun::begin(kind, at.id, probe, since, at.now));
            self.body.probes.extend(run);
        }
    }

    fn next_post_start(&mut self, index: usize, at: &Around<'_>, fx: &mut Effects) {
        self.post_start = match at.config().post_start.get(index) {
            None => PostStart::Done,
            Some(_) => {
                let what = What::new(Place::PostStart(at.id), index);
                PostStart::Doing(TaskRun::announce(what, at.now, at.plan, fx))
            }
        };
    }
}

impl Body {
    pub(super) fn end_probes(&mut self, fx: &mut Effects) {
        self.probes.iter_mut().for_each(|probe| probe.end(fx));
    }
}

/// `initial` doubled `level` times, at most `max`.
fn backoff_delay(backoff: &Backoff, level: u32) -> Duration {
    backoff.initial.saturating_mul(1u32.checked_shl(level.min(31)).unwrap_or(u32::MAX)).min(backoff.max)
}
