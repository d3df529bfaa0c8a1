//! The stop of one process: pre_stop, its ladder of signals, the diagnosis, SIGKILL. Pure.

use std::time::Duration;

use super::{Around, Body, Change, End, PostStart, Proc, Running, State, StopStage, Stopping};
use crate::config::Process;
use crate::exit;
use crate::facts::{How, Needless, Place, Reason};
use crate::lifecycle::action::{Action, KillReason, What};
use crate::lifecycle::effects::Effects;
use crate::lifecycle::event::Exit;
use crate::lifecycle::stop::Stop;
use crate::lifecycle::task::TaskRun;
use crate::plan::budget::{diagnosis_share, post_exit_share, process_share, task_length};
use crate::plan::order::{Chain, stated};
use crate::report::{Note, Secs};
use crate::signal::Signal;
use crate::time::At;

impl Proc {
    /// Its stop while the container goes on: to be started again, held down or taken out. It may take as long as the container's.
    pub(super) fn stop_to_restart(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let limit = at.plan.config.grace.saturating_sub(at.plan.config.kill_reserve);
        self.begin_stop(limit, true, at, fx)
    }

    /// What its hooks are told of that: whether it is to come again.
    pub(super) fn stopped_alone(&self, at: &Around<'_>) -> Reason {
        if self.hold || at.config().removed { Reason::StopRequested } else { Reason::Restart }
    }

    /// Begin the stop of one that runs: pre_stop, then its ladder, then SIGKILL when `limit` is over.
    pub(super) fn begin_stop(
        &mut self,
        limit: Duration,
        to_restart: bool,
        at: &Around<'_>,
        fx: &mut Effects,
    ) -> Change {
        let reason = if to_restart { self.stopped_alone(at) } else { fx.reason };
        let State::Running(r) = &mut self.state else { return Change::default() };
        if let PostStart::Doing(task) = &mut r.post_start {
            task.cancel(Needless::ProcessStops, true, at.now, fx);
        }
        if to_restart {
            r.body.end_probes(fx);
            r.body.probes.clear();
        }
        let post_exit = post_exit_share(limit, at.config());
        let limit = limit - post_exit;
        let (stage, how) = match &at.config().pre_stop {
            Some(_) => {
                let (what, slice) = (What::new(Place::PreStop(at.id), 0), at.pre_stop_share(limit));
                let task = TaskRun::begin((reason, None), what, at.now, slice, at.plan, fx);
                (StopStage::PreStop(task), How::PreStop)
            }
            None => (StopStage::Rung { index: 0, until: at.now }, How::Signal(at.first_signal())),
        };
        let short = stated(at.config()).is_none_or(|asked| asked > limit + post_exit);
        let stopping = Stopping { short, to_restart, post_exit, ..r.stopping(at.now + limit, stage, at) };
        self.state = State::Stopping(stopping);
        fx.note(Note::Stopping { process: at.name(), how, slice: Secs(limit) });
        if how != How::PreStop {
            self.rung(0, at, fx);
        }
        Change::some()
    }

    /// Its pre_stop, the rung it is at, the diagnosis, or the wait for its death.
    pub(super) fn stop_due(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let State::Stopping(s) = &mut self.state else { return Change::default() };
        let (until, ladder_until) = (s.until, s.ladder_until());
        match &mut s.stage {
            StopStage::PreStop(task) => {
                task.shorten(until);
                let late = at.now.since(task.until);
                let changed = task.on_time(at.now, at.plan, fx);
                let over = task.conclude(at.now, at.plan, fx).is_some();
                s.extend(late, at);
                if over {
                    self.rung(0, at, fx);
                }
                Change::of(changed || over)
            }
            // Whatever is still to come of its ladder comes, however late it is: SIGKILL is the last.
            StopStage::Rung { index, until } => {
                let (next, late) = (*index + 1, at.now.since((*until).min(ladder_until)));
                s.extend(late, at);
                self.rung(next, at, fx)
            }
            StopStage::Diagnosing { .. } => self.kill(at, fx),
            StopStage::Killed { .. } => self.unkillable(at, fx),
        }
    }

    /// Send the ladder's rung `index`; after the last comes the diagnosis, or SIGKILL.
    fn rung(&mut self, index: usize, at: &Around<'_>, fx: &mut Effects) -> Change {
        let State::Stopping(s) = &mut self.state else { return Change::default() };
        let config = at.config();
        let signal = match config.stop.get(index) {
            Some(rung) => rung.signal,
            None if index == 0 => at.first_signal(),
            None => return self.ladder_is_over(at, fx),
        };
        if index == 0 {
            s.diagnosis = diagnosis_share(s.until.left(at.now), &config.stop, config.diagnose);
        }
        let left = s.ladder_until().left(at.now);
        // What the ladder still asks for is scaled down together when it no longer fits.
        let own = Chain::of(config.stop.get(index).and_then(|r| r.wait));
        let wait = process_share(left, own, ladder_from(config, index + 1));
        let previous = s.last.replace((signal, at.now));
        s.stage = StopStage::Rung { index, until: at.now + wait };
        self.sent.push(signal);
        fx.push(Action::Signal { process: at.id, signal, to: config.signal_to, wake: true });
        if let Some((after, sent)) = previous {
            let (after, waited) = (after, Secs(at.now.since(sent)));
            fx.note(Note::NextRung { process: at.name(), after, waited, signal });
        }
        Change::some()
    }

    /// It has not ended by its ladder: it is told to say what it is doing, where there is time for that, and then killed.
    fn ladder_is_over(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let State::Stopping(s) = &mut self.state else { return Change::default() };
        let left = s.until.left(at.now);
        let Some(diagnose) = at.config().diagnose.filter(|_| !s.diagnosis.is_zero() && !left.is_zero()) else {
            return self.kill(at, fx);
        };
        let wait = diagnose.wait.min(left);
        s.stage = StopStage::Diagnosing { until: at.now + wait };
        let (after, since) = s.last_sent();
        fx.push(Action::Diagnose { process: at.id, signal: diagnose.signal, to: at.config().signal_to });
        fx.note(Note::Diagnosing {
            process: at.name(),
            after,
            waited: Secs(at.now.since(since)),
            signal: diagnose.signal,
            wait: Secs(wait),
        });
        Change::some()
    }

    /// The signal has reached nobody: nothing is to be said of it.
    pub(super) fn not_sent(&mut self, signal: Signal, at: &Around<'_>) -> Change {
        let State::Stopping(s) = &mut self.state else { return Change::default() };
        match &mut s.stage {
            StopStage::Diagnosing { until } => *until = at.now,
            StopStage::Rung { .. } if s.last.is_some_and(|(last, _)| last == signal) => {
                // Both were noted by the rung that it is at.
                s.last = None;
                self.sent.pop();
            }
            StopStage::Rung { .. } | StopStage::PreStop(_) | StopStage::Killed { .. } => {}
        }
        Change::some()
    }

    /// SIGKILL, once.
    pub(super) fn kill(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let stage = StopStage::Killed { until: at.stop.and_then(|stop| stop.death_until(at.now)) };
        let (after, since, out_of_time) = match &mut self.state {
            State::Running(r) => {
                r.body.end_probes(fx);
                r.body.probes.clear();
                self.stop_began = self.stop_began.or(Some(at.now));
                self.state = State::Stopping(r.stopping(at.now, stage, at));
                (None, at.now, true)
            }
            State::Stopping(s) if !s.is_killed() => {
                if let StopStage::PreStop(task) = &mut s.stage {
                    let _killed = task.cancel(Needless::ProcessKilled, true, at.now, fx);
                }
                s.stage = stage;
                let (after, since) = s.last_sent();
                (after, since, at.now >= s.until && s.short)
            }
            _ => return Change::default(),
        };
        let because = KillReason { after, waited: at.now.since(since), out_of_time, stragglers: false };
        fx.push(Action::Kill { process: at.id, because });
        Change::forced()
    }

    /// The stop's slice of the budget is over: killed, and no longer waited for.
    pub(super) fn give_up(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let change = self.kill(at, fx);
        if let State::Stopping(s) = &mut self.state {
            // Said once.
            s.stage = StopStage::Killed { until: None };
            fx.note(Note::Stopped { process: at.name(), exit: None, took: self.stop_took(at), forced: true });
        }
        change
    }

    /// Uninterruptible, frozen or held by a debugger: it may yet end, but nobody waits for that.
    fn unkillable(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        if let State::Stopping(s) = &mut self.state {
            s.end(at.now, fx);
        }
        self.state = State::Ended(End::Unkillable { itself: true });
        fx.note(Note::Stopped { process: at.name(), exit: None, took: self.stop_took(at), forced: true });
        Change { failed: Some(exit::for_signal(Signal::KILL.number())), ..Change::some() }
    }

    fn stop_took(&self, at: &Around<'_>) -> Secs {
        Secs(self.stop_began.map_or(Duration::ZERO, |began| at.now.since(began)))
    }

    /// It has ended by, or with the code of, a signal that its ladder has sent it.
    pub(super) fn by_its_ladder(&self, exit: Exit) -> bool {
        match exit {
            Exit::Signal { signal, .. } => self.sent.contains(&signal),
            Exit::Code(code) => self.sent.iter().any(|s| exit::for_signal(s.number()) == code),
        }
    }

    /// In the container's stop it has had a signal, SIGKILL included.
    pub(super) fn ends_by_its_stop(&self) -> bool {
        self.stop_began.is_some() && (self.forced || !self.sent.is_empty())
    }

    /// In the container's stop: leader and group are gone.
    pub(super) fn stopped(&self, exit: Exit, at: &Around<'_>, fx: &mut Effects) {
        if self.ends_by_its_stop() {
            let (took, forced) = (self.stop_took(at), self.forced);
            fx.note(Note::Stopped { process: at.name(), exit: Some(exit), took, forced });
        }
    }
}

impl Running {
    /// What becomes of it when it is told to stop: no time for its ladder, unless more is said.
    fn stopping(&mut self, until: At, stage: StopStage, at: &Around<'_>) -> Stopping {
        let mut notices = std::mem::take(&mut self.body.notices);
        notices.expect_nothing();
        let body = Body { probes: std::mem::take(&mut self.body.probes), notices, ..self.body };
        let (began, diagnosis, post_exit) = (at.now, Duration::ZERO, Duration::ZERO);
        Stopping { body, began, until, short: true, to_restart: false, stage, post_exit, diagnosis, last: None }
    }
}

impl Stopping {
    pub(super) fn timer(&self) -> Option<At> {
        match &self.stage {
            StopStage::PreStop(task) => task.timer().map(|t| t.min(self.until)),
            StopStage::Rung { until, .. } => Some((*until).min(self.ladder_until())),
            StopStage::Diagnosing { until } => Some((*until).min(self.until)),
            StopStage::Killed { until } => *until,
        }
    }

    /// When the ladder is over at the latest.
    pub(super) fn ladder_until(&self) -> At {
        self.until - self.diagnosis
    }

    pub(super) fn is_diagnosed(&self) -> bool {
        matches!(self.stage, StopStage::Diagnosing { .. })
    }

    pub(super) fn is_killed(&self) -> bool {
        matches!(self.stage, StopStage::Killed { .. })
    }

    /// The last signal of its ladder, and since when it has had its time.
    fn last_sent(&self) -> (Option<Signal>, At) {
        self.last.map_or((None, self.began), |(signal, at)| (Some(signal), at))
    }

    /// Its slice has become less: so has the diagnosis's.
    pub(super) fn shorten(&mut self, until: At, at: &Around<'_>) {
        if until >= self.until + self.post_exit {
            return;
        }
        self.post_exit = self.post_exit.min(post_exit_share(until.left(at.now), at.config()));
        let until = until - self.post_exit;
        if until >= self.until {
            return;
        }
        self.until = until;
        self.diagnosis = self.diagnosis.min(until.left(at.now) / 4);
        let fair = at.now + self.fair(Duration::ZERO, at);
        match &mut self.stage {
            StopStage::PreStop(task) => task.shorten(fair),
            StopStage::Rung { until, .. } => *until = fair,
            StopStage::Diagnosing { .. } | StopStage::Killed { .. } => {}
        }
    }

    /// What its stop comes late by is not its own fault: its slice ends as much later as those that stop after it leave room for.
    fn extend(&mut self, lost: Duration, at: &Around<'_>) {
        if self.is_killed() {
            return;
        }
        let had = self.until.left(at.now - lost) + self.post_exit;
        let own = Chain::of(stated(at.config()).map(|_| had));
        let fair = match at.stop {
            None => had,
            Some(stop) => match stop.room(at.now) {
                Some(room) => process_share(room, own, at.plan.order.behind[at.id.0]).min(had),
                None => had.min(stop.deadline.left(at.now)),
            },
        };
        self.until = self.until.max(at.now + fair.saturating_sub(self.post_exit));
        if fair < had {
            self.diagnosis = self.diagnosis.min(self.until.left(at.now) / 4);
        }
    }

    /// softstop `lost` so much: what it is at gets that back; the wait for its death until `most`.
    pub(super) fn give_back(&mut self, lost: Duration, most: At, at: &Around<'_>) {
        self.extend(lost, at);
        let (end, fair) = (self.until, self.fair(lost, at));
        match &mut self.stage {
            StopStage::PreStop(task) => task.give_back(lost, at.now, fair),
            StopStage::Rung { until, .. } => *until = (at.now + fair).max(*until),
            StopStage::Diagnosing { until } => *until = until.later(lost, end),
            StopStage::Killed { until: Some(until) } => *until = until.later(lost, most),
            StopStage::Killed { until: None } => {}
        }
    }

    /// What its pre_stop, or the rung it is at, may take from now on, with the rest of the ladder still to come: what it had left
    /// before softstop `lost` so much, if there is room for all. Where it has begun before the container's stop, its own slice may reach beyond that of
    /// the processes, whose end is its own, too.
    fn fair(&self, lost: Duration, at: &Around<'_>) -> Duration {
        let end = at.stop.map_or(self.until, |stop| stop.processes_until().min(self.until));
        let (until, left, next) = match &self.stage {
            StopStage::PreStop(task) => (task.until, end.left(at.now), 0),
            StopStage::Rung { index, until } => (*until, (end - self.diagnosis).left(at.now), *index + 1),
            StopStage::Diagnosing { .. } | StopStage::Killed { .. } => return Duration::ZERO,
        };
        let had = until.left(at.now - lost);
        process_share(left, Chain::of(Some(had)), ladder_from(at.config(), next))
    }

    /// The process has ended: nothing of its stop goes on. Says whether it had been killed.
    pub(super) fn end(&mut self, now: At, fx: &mut Effects) -> bool {
        self.body.end_probes(fx);
        if let StopStage::PreStop(task) = &mut self.stage {
            task.cancel(Needless::ProcessEnded, true, now, fx);
        }
        self.is_killed()
    }
}

impl Around<'_> {
    /// The signal that begins its stop, also for what it leaves in its group.
    pub(super) fn first_signal(&self) -> Signal {
        if let Some(rung) = self.config().stop.first() {
            return rung.signal;
        }
        // Its program is customarily stopped with this signal, and somebody has used it for that.
        let is_own = |stop: &Stop| stop.signal_is_mains && self.plan.main == Some(self.id.0);
        let stop = self.stop.filter(|stop| self.config().stop_as_received || is_own(stop));
        let signal = stop.and_then(|stop| stop.signal).unwrap_or(Signal::TERM);
        // One that is not to be passed on does not begin a stop; a stop that has begun otherwise needs a signal.
        self.config().rewrite.get(&signal).copied().flatten().unwrap_or(signal)
    }

    /// What its pre_stop may take of the time its stop has.
    fn pre_stop_share(&self, limit: Duration) -> Duration {
        // One that states no length leaves half of the time to the signals.
        match self.config().pre_stop.as_deref().and_then(task_length) {
            Some(stated) => process_share(limit, Chain::of(Some(stated)), ladder_from(self.config(), 0)),
            None => limit / 2,
        }
    }
}

/// What the ladder asks for from a rung on, and the diagnosis after it.
pub(super) fn ladder_from(process: &Process, rung: usize) -> Chain {
    let silent = [None];
    let waits = process.stop.get(rung..).unwrap_or_default().iter().map(|r| r.wait);
    let none = silent.into_iter().filter(|_| process.stop.is_empty() && rung == 0);
    waits.chain(none).fold(Chain::default(), |sum, wait| sum.and(Chain::of(wait)))
}
