//! The stop of one process: pre_stop, its ladder of signals, SIGKILL. Pure.

use std::time::Duration;

use crate::config::Process;
use crate::exit;
use crate::lifecycle::action::{Action, KillReason, What};
use crate::lifecycle::event::{Exit, ProcId};
use crate::lifecycle::late::ladder_from;
use crate::lifecycle::process::{End, PostStart, State, StopStage, Stopping};
use crate::lifecycle::task::{Effects, TaskRun};
use crate::lifecycle::up::KILL_WAIT;
use crate::lifecycle::{Machine, Stage as Whole};
use crate::plan::budget::{diagnosis_share, process_share};
use crate::plan::order::{Chain, stated};
use crate::report::{Note, Place, Secs, SignalName};
use crate::signal::Signal;
use crate::time::At;

use super::{SLACK, Stage};

impl Stopping {
    pub(in crate::lifecycle) fn next_deadline(&self) -> Option<At> {
        match &self.stage {
            StopStage::PreStop(task) => task.next_deadline().map(|t| t.min(self.until)),
            StopStage::Rung { until, .. } => Some((*until).min(self.ladder_until())),
            StopStage::Diagnosing { until } => Some((*until).min(self.until)),
            StopStage::Killed { until } => *until,
        }
    }

    /// When the ladder is over at the latest.
    pub(in crate::lifecycle) fn ladder_until(&self) -> At {
        self.until - self.diagnosis
    }

    /// Its share has become less: so has the diagnosis's.
    pub(super) fn shorten(&mut self, until: At, now: At, config: &Process) {
        if until >= self.until {
            return;
        }
        self.until = until;
        self.diagnosis = self.diagnosis.min(until.left(now) / 4);
        let fair = now + self.fair(now, Duration::ZERO, config);
        match &mut self.stage {
            StopStage::PreStop(task) => task.shorten(fair),
            StopStage::Rung { until, .. } => *until = fair,
            StopStage::Diagnosing { .. } | StopStage::Killed { .. } => {}
        }
    }

    /// The process has ended: nothing of its stop goes on. Says whether it had been killed.
    pub(in crate::lifecycle) fn end(&mut self, now: At, fx: &mut Effects) -> bool {
        for probe in &mut self.probes {
            probe.end(fx);
        }
        if let StopStage::PreStop(task) = &mut self.stage {
            task.cancel("the process has ended", true, now, fx);
        }
        matches!(self.stage, StopStage::Killed { .. })
    }
}

impl Machine {
    /// The signal that begins its stop, also for what it leaves in its group.
    pub(in crate::lifecycle) fn first_signal(&self, id: ProcId) -> Signal {
        let process = &self.plan.config.processes[id.0];
        if let Some(rung) = process.stop.first() {
            return rung.signal;
        }
        match self.stop.as_ref().and_then(|s| s.signal) {
            Some(signal) if process.stop_as_received || self.is_own_stop_signal(id, signal) => signal,
            _ => Signal::TERM,
        }
    }

    /// Begin the stop of one running process: pre_stop, then its ladder, then SIGKILL when `limit` is over.
    pub(in crate::lifecycle) fn stop_process(&mut self, id: ProcId, limit: Duration, to_restart: bool) {
        let now = self.now;
        let p = &mut self.processes[id.0];
        let State::Running(r) = &mut p.state else {
            return;
        };
        if let PostStart::Doing(_, task) = &mut r.post_start {
            task.cancel("the process is being stopped", true, now, &mut self.fx);
        }
        let mut probes = std::mem::take(&mut r.probes);
        if to_restart {
            probes.iter_mut().for_each(|probe| probe.end(&mut self.fx));
            probes.clear();
        }
        let (pid, since, until) = (r.pid, r.since, now + limit);
        let short = stated(&self.plan.config.processes[id.0]).is_none_or(|asked| asked > limit);
        let pre_stop = self.plan.config.processes[id.0].pre_stop.is_some();
        let stage = if pre_stop {
            let share = self.pre_stop_share(id, limit);
            let reason = if to_restart { "restart" } else { self.fx.reason };
            let whole = std::mem::replace(&mut self.fx.reason, reason);
            let task = TaskRun::begin(What::PreStop(id), now, share, &self.plan, &mut self.fx);
            self.fx.reason = whole;
            StopStage::PreStop(task)
        } else {
            StopStage::Rung { index: 0, until: now }
        };
        self.processes[id.0].state = State::Stopping(Stopping {
            pid,
            since,
            began: now,
            until,
            short,
            to_restart,
            stage,
            diagnosis: Duration::ZERO,
            last: None,
            probes,
        });
        let how = if pre_stop { "pre_stop".to_string() } else { self.first_signal(id).to_string() };
        let process = self.name(id);
        self.note(Note::Stopping { process, how, share: Secs(limit) });
        if !pre_stop {
            self.rung(id, 0);
        }
    }

    pub(super) fn pre_stop_over(&mut self, id: ProcId) -> bool {
        let State::Stopping(s) = &self.processes[id.0].state else {
            return false;
        };
        let StopStage::PreStop(task) = &s.stage else {
            return false;
        };
        let Some(result) = task.result().cloned() else {
            return false;
        };
        let (attempts, took) = (task.attempts, Secs(self.now.since(task.began)));
        let name = self.plan.task(What::PreStop(id)).map_or_else(String::new, |t| t.name.clone());
        let place = Place::PreStop(self.name(id));
        self.note(Note::TaskEnded { place, name, attempts, took, result });
        self.rung(id, 0);
        true
    }

    /// Send the ladder's rung `index`; after the last comes the diagnosis, or SIGKILL.
    pub(super) fn rung(&mut self, id: ProcId, index: usize) {
        let now = self.now;
        let config = &self.plan.config.processes[id.0];
        let signal = match config.stop.get(index) {
            Some(rung) => rung.signal,
            None if index == 0 => self.first_signal(id),
            None => {
                self.ladder_is_over(id);
                return;
            }
        };
        let State::Stopping(s) = &mut self.processes[id.0].state else {
            return;
        };
        if index == 0 {
            s.diagnosis = diagnosis_share(s.until.left(now), &config.stop, config.diagnose);
        }
        let left = s.ladder_until().left(now);
        // What the ladder still asks for is scaled down together when it no longer fits.
        let own = Chain::of(config.stop.get(index).and_then(|r| r.wait));
        let wait = process_share(left, own, ladder_from(config, index + 1));
        let previous = s.last.replace((signal, now));
        s.stage = StopStage::Rung { index, until: now + wait };
        let to = config.signal_to;
        self.processes[id.0].sent.push(signal);
        self.fx.push(Action::Signal { process: id, signal, to, wake: true });
        if let Some((after, at)) = previous {
            let process = self.name(id);
            self.note(Note::NextRung {
                process,
                after: SignalName(after),
                waited: Secs(now.since(at)),
                signal: SignalName(signal),
            });
        }
    }

    /// It has not ended by its ladder: it is told to say what it is doing, where there is time for that, and then killed.
    pub(super) fn ladder_is_over(&mut self, id: ProcId) {
        let now = self.now;
        let config = &self.plan.config.processes[id.0];
        let State::Stopping(s) = &mut self.processes[id.0].state else {
            return;
        };
        let left = s.until.left(now);
        let Some(diagnose) = config.diagnose.filter(|_| !s.diagnosis.is_zero() && !left.is_zero()) else {
            self.kill_process(id);
            return;
        };
        let wait = diagnose.wait.min(left);
        s.stage = StopStage::Diagnosing { until: now + wait };
        let (after, since) = s.last.map_or((None, s.began), |(signal, at)| (Some(SignalName(signal)), at));
        self.fx.push(Action::Diagnose { process: id, signal: diagnose.signal, to: config.signal_to });
        let process = self.name(id);
        self.note(Note::Diagnosing {
            process,
            after,
            waited: Secs(now.since(since)),
            signal: SignalName(diagnose.signal),
            wait: Secs(wait),
        });
    }

    /// The signal has reached nobody: nothing is to be said of it.
    pub(in crate::lifecycle) fn not_sent(&mut self, id: ProcId, signal: Signal) {
        let p = &mut self.processes[id.0];
        let State::Stopping(s) = &mut p.state else { return };
        match &mut s.stage {
            StopStage::Diagnosing { until } => *until = self.now,
            StopStage::Rung { .. } if s.last.is_some_and(|(last, _)| last == signal) => {
                s.last = None;
                if p.sent.last() == Some(&signal) {
                    p.sent.pop();
                }
            }
            _ => {}
        }
    }

    /// SIGKILL, once, to a process that runs or is being stopped.
    pub(super) fn kill_process(&mut self, id: ProcId) {
        let now = self.now;
        let until = match (&self.stage, &self.stop) {
            // Of a crowd many die slowly, and after the deadline nobody waits for their end but softstop itself.
            (Whole::Stopping(Stage::Processes { .. }), Some(stop))
                if now >= stop.deadline && !stop.for_crowd.is_zero() =>
            {
                Some(stop.kill_until(now))
            }
            // At most half of what is left for this stage: the rest is for whoever waits for its end. Nobody dies in no time.
            (Whole::Stopping(Stage::Processes { until }), _) => {
                Some(now + KILL_WAIT.min(until.left(now) / 2).max(SLACK / 2))
            }
            _ => None,
        };
        let p = &mut self.processes[id.0];
        let (after, since, out_of_time) = match &mut p.state {
            State::Running(r) => {
                for probe in &mut r.probes {
                    probe.end(&mut self.fx);
                }
                let (pid, since) = (r.pid, r.since);
                p.stop_began = p.stop_began.or(Some(now));
                p.state = State::Stopping(Stopping {
                    pid,
                    since,
                    began: now,
                    until: now,
                    short: true,
                    to_restart: false,
                    stage: StopStage::Killed { until },
                    diagnosis: Duration::ZERO,
                    last: None,
                    probes: Vec::new(),
                });
                (None, now, true)
            }
            State::Stopping(s) if !matches!(s.stage, StopStage::Killed { .. }) => {
                if let StopStage::PreStop(task) = &mut s.stage {
                    let _killed = task.cancel("the process is being killed", true, now, &mut self.fx);
                }
                s.stage = StopStage::Killed { until };
                let (after, since) = s.last.map_or((None, s.began), |(signal, at)| (Some(signal), at));
                (after, since, now >= s.until && s.short)
            }
            _ => return,
        };
        let because = KillReason { after, waited: now.since(since), out_of_time, left_overs: false };
        self.fx.push(Action::Kill { process: id, because });
        self.mark_forced(id);
    }

    /// Uninterruptible, frozen or held by a debugger: it may yet end, but nobody waits for that.
    pub(super) fn unkillable(&mut self, id: ProcId) {
        let p = &mut self.processes[id.0];
        let took = Secs(p.stop_began.map_or(Duration::ZERO, |t| self.now.since(t)));
        if let State::Stopping(s) = &mut p.state {
            s.end(self.now, &mut self.fx);
        }
        p.state = State::Ended(End::Unkillable);
        if let Some(stop) = &mut self.stop {
            stop.first_failure.get_or_insert(exit::for_signal(Signal::KILL.number()));
        }
        let process = self.name(id);
        self.note(Note::Stopped { process, exit: None, took, forced: true });
    }

    /// Whoever ends upon the diagnostic signal, as a Go program does, has not ended by its ladder: SIGKILL was next.
    pub(in crate::lifecycle) fn ended_by_diagnosis(&mut self, id: ProcId, exit: Exit) {
        if !exit.success() && !self.by_its_ladder(id, exit) {
            self.mark_forced(id);
        }
    }

    /// It has ended by, or with the code of, a signal that its ladder has sent it.
    fn by_its_ladder(&self, id: ProcId, exit: Exit) -> bool {
        let sent = &self.processes[id.0].sent;
        match exit {
            Exit::Signal { signal, .. } => sent.contains(&signal),
            Exit::Code(code) => sent.iter().any(|s| exit::for_signal(s.number()) == code),
        }
    }

    pub(in crate::lifecycle) fn mark_forced(&mut self, id: ProcId) {
        let name = self.name(id);
        if let Some(stop) = &mut self.stop {
            self.processes[id.0].forced = true;
            if !stop.forced.contains(&name) {
                stop.forced.push(name);
            }
        }
    }

    /// A process has ended while the container stops: does its exit count as a failure?
    pub(in crate::lifecycle) fn exited_in_stop(&mut self, id: ProcId, exit: Exit, told: bool) {
        let by_us = told && self.by_its_ladder(id, exit);
        if let Some(stop) = &mut self.stop
            && stop.first_failure.is_none()
            && !exit.success()
            && !by_us
        {
            stop.first_failure = Some(exit.code());
        }
    }

    /// Leader and group are gone.
    pub(in crate::lifecycle) fn stopped_in_stop(&mut self, id: ProcId, exit: Exit) {
        let p = &self.processes[id.0];
        let Some(began) = p.stop_began.filter(|_| p.forced || !p.sent.is_empty()) else { return };
        let (forced, took) = (p.forced, Secs(self.now.since(began)));
        let process = self.name(id);
        self.note(Note::Stopped { process, exit: Some(exit.into()), took, forced });
    }
}
