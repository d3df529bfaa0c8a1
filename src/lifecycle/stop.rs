//! From the stop request to the end: drain, stop of the processes, what they leave behind, post_stop, SIGKILL. Pure.
//!
//! ```text
//! T0 ─ Draining ─ Processes ─ Stragglers ─ PostStop ─ Killing ─ Done
//!                                                    ▲
//!          any of them, when `deadline` comes ───────┘
//! ```

use std::time::Duration;

use super::action::{Action, KillReason, What};
use super::event::{Cause, Exit, Outcome, ProcId, RunId, Sender};
use super::health::ProbeRun;
use super::process::{End, PostStart, Proc, State, StopStage, Stopping};
use super::task::{Effects, SHORTEST, TaskRun};
use super::up::KILL_WAIT;
use super::{Machine, Stage as Whole};
use crate::config::{OnFailure, Step, When};
use crate::exit;
use crate::plan::budget::{longest, process_share, share};
use crate::plan::order::{Chain, own, stated};
use crate::report::{MainExit, Note, Place, Secs, SignalName, StepKind, StepReport, TaskResult, Verdict};
use crate::signal::Signal;
use crate::time::At;

/// Between two sweeps with SIGKILL at the very end: what forks faster than that is caught by the next.
const SWEEP: Duration = Duration::from_millis(25);
/// Kept free at the end of a phase, so that what is killed at its end is reaped within it.
const SLACK: Duration = Duration::from_millis(250);

/// What is true from the stop request on.
#[derive(Debug)]
pub(super) struct Stop {
    pub cause: Cause,
    pub t0: At,
    /// Everything that still lives is killed then.
    pub deadline: At,
    /// softstop is gone then.
    pub end: At,
    /// The drain is over, cut or skipped because somebody asked twice.
    hurried: bool,
    /// Something was started at some time.
    anything_ran: bool,
    /// Runs that were under way at T0 and have been told to end.
    interrupted: Vec<RunId>,
    /// The exit code of the first process that failed, other than by a signal of its own ladder.
    first_failure: Option<u8>,
    steps: Vec<StepReport>,
    forced: Vec<String>,
    processes_began: Option<At>,
    /// What its steps took one after the other, when any was begun.
    drain_took: Option<Duration>,
    processes_took: Duration,
    post_stop_took: Option<Duration>,
    /// The drain was ended by a step with `on_failure = "stop"`.
    drain_ended_by: Option<String>,
}

#[derive(Debug)]
pub(super) enum Stage {
    Draining(Steps),
    Processes { until: At },
    Stragglers(Stragglers),
    PostStop(Steps),
    Killing { next: At, until: At, alone: bool },
}

/// A walk over `[[drain]]` or `[[post_stop]]`.
#[derive(Debug)]
pub(super) struct Steps {
    pub kind: StepKind,
    pub index: usize,
    /// The tasks of the step under way, side by side; empty between two steps.
    pub tasks: Vec<TaskRun>,
    share: Duration,
    began: At,
}

#[derive(Debug)]
pub(super) struct Stragglers {
    began: At,
    pub until: At,
    asked: bool,
    signalled: bool,
    killed: bool,
    alone: bool,
}

impl Stopping {
    pub(super) fn next_deadline(&self) -> Option<At> {
        match &self.stage {
            StopStage::PreStop(task) => task.next_deadline().map(|t| t.min(self.until)),
            StopStage::Rung { until, .. } => Some((*until).min(self.until)),
            StopStage::Killed => None,
        }
    }

    /// The process has ended: nothing of its stop goes on. Says whether it had been killed.
    pub(super) fn end(&mut self, fx: &mut Effects) -> bool {
        for probe in &mut self.probes {
            probe.end(fx);
        }
        if let StopStage::PreStop(task) = &mut self.stage {
            task.cancel("the process has ended", true, fx);
        }
        matches!(self.stage, StopStage::Killed)
    }
}

// === the request ===

impl Machine {
    pub(super) fn request_stop(&mut self, cause: Cause) {
        let text = self.cause_text(&cause);
        if self.stop.is_some() {
            self.requested_again(&cause, text);
            return;
        }
        let t0 = self.now;
        let deadline = self.plan.budget.deadline(t0);
        let requested = cause.requested();
        self.fx.reason = reason_word(&cause);
        self.note(Note::StopBegan {
            cause: text,
            requested,
            others: self.processes.iter().filter(|p| p.lives()).count() > usize::from(!requested),
            grace: Secs(self.plan.budget.grace),
            deadline: Secs(deadline.since(t0)),
        });
        let first_failure = match cause {
            Cause::ProcessEnded { status, .. } if !status.success() => Some(status.code()),
            Cause::AllEnded => self.processes.iter().find_map(failed),
            _ => None,
        };
        let anything_ran = self.processes.iter().any(|p| p.last_exit.is_some() || p.lives());
        self.stop = Some(Stop {
            cause,
            t0,
            deadline,
            end: self.plan.budget.end(t0),
            hurried: false,
            anything_ran,
            interrupted: Vec::new(),
            first_failure,
            steps: Vec::new(),
            forced: Vec::new(),
            processes_began: None,
            drain_took: None,
            processes_took: Duration::ZERO,
            post_stop_took: None,
            drain_ended_by: None,
        });
        self.interrupt_start();
        self.stage = Whole::Stopping(Stage::Draining(Steps::new(StepKind::Drain, self.now)));
    }

    /// Nothing is started or restarted any more: what was about to be, is not; what was being done for it, ends.
    fn interrupt_start(&mut self) {
        let why = "the stop was requested";
        let mut interrupted = Vec::new();
        if let Whole::Init { task, index } = &mut self.stage {
            interrupted.extend(task.cancel(why, false, &mut self.fx));
            let (attempts, took) = (task.attempts, Secs(self.now.since(task.began)));
            let name = self.plan.config.init[*index].name.clone();
            if let Some(result @ TaskResult::Cancelled { .. }) = task.result().cloned() {
                self.fx.push(Action::Note(Note::TaskEnded { place: Place::Init, name, attempts, took, result }));
            }
        }
        for p in &mut self.processes {
            match &mut p.state {
                State::Waiting | State::Backoff { .. } => p.state = State::Ended(End::NotStarted),
                State::Running(r) => {
                    if let PostStart::Doing(_, task) = &mut r.post_start {
                        interrupted.extend(task.cancel(why, false, &mut self.fx));
                    }
                    let ended = |probe: &ProbeRun| probe.kind != super::action::ProbeKind::Readiness;
                    for mut probe in super::drain_where(&mut r.probes, ended) {
                        probe.end(&mut self.fx);
                    }
                }
                State::Starting | State::Stopping(_) | State::Cleaning(_) | State::Ended(_) => {}
            }
        }
        if let Some(stop) = &mut self.stop {
            stop.interrupted = interrupted;
        }
    }

    /// A duplicate changes nothing: at a node's shutdown every process gets SIGTERM directly. Only Ctrl-C, which a person
    /// presses, hurries: the second ends the drain, the third kills.
    fn requested_again(&mut self, cause: &Cause, text: String) {
        let draining = matches!(self.stage, Whole::Stopping(Stage::Draining(_)));
        let Some(stop) = &mut self.stop else { return };
        let by_hand = matches!(cause, Cause::Signal { sender: Sender::Terminal, signal } if *signal != Signal::HUP);
        let effect = match (by_hand, stop.hurried) {
            (false, _) => "changes nothing",
            (true, false) if draining => "skipping the rest of the drain",
            (true, false) => "the drain is over; once more kills everything",
            (true, true) => "killing everything now",
        };
        if by_hand && stop.hurried {
            stop.deadline = self.now;
        }
        stop.hurried |= by_hand;
        self.note(Note::StopAgain { cause: text, effect });
    }

    pub(super) fn cause_text(&self, cause: &Cause) -> String {
        match cause {
            Cause::Signal { signal, sender } => format!("{signal} from {sender}"),
            Cause::ProcessEnded { process, status } => {
                format!("{} ended with {status}", self.name(*process))
            }
            Cause::StartFailed { process, .. } => {
                format!("{} could not be started", self.name(*process))
            }
            Cause::InitFailed { task, .. } => {
                format!("init task {:?} failed", self.plan.config.init[*task].name)
            }
            Cause::PostStartFailed { process, .. } => {
                format!("a post_start task of {} failed", self.name(*process))
            }
            Cause::AllEnded => "every process has ended".to_string(),
            Cause::DependencyFailed { process, on } => {
                format!("{} waits for {}, which cannot be", self.name(*process), self.name(*on))
            }
        }
    }
}

/// The exit code that the final end of a process stands for, when that was a failure.
fn failed(p: &Proc) -> Option<u8> {
    match p.state {
        State::Ended(End::Exited(exit)) if !exit.success() => Some(exit.code()),
        State::Ended(End::StartFailed { code }) => Some(code),
        State::Ended(End::CannotStart { .. }) => Some(exit::FAILED),
        _ => None,
    }
}

/// `SOFTSTOP_REASON`: one word, stable.
fn reason_word(cause: &Cause) -> &'static str {
    match cause {
        Cause::Signal { .. } => "signal",
        Cause::ProcessEnded { .. } => "process_ended",
        Cause::StartFailed { .. } => "start_failed",
        Cause::InitFailed { .. } => "init_failed",
        Cause::PostStartFailed { .. } => "post_start_failed",
        Cause::AllEnded => "all_ended",
        Cause::DependencyFailed { .. } => "dependency_failed",
    }
}

// === time ===

impl Machine {
    pub(super) fn stop_deadline(&self) -> Option<At> {
        let stop = self.stop.as_ref()?;
        let Whole::Stopping(stage) = &self.stage else {
            return Some(stop.deadline);
        };
        let stage = match stage {
            Stage::Draining(steps) | Stage::PostStop(steps) => {
                steps.tasks.iter().filter_map(TaskRun::next_deadline).min()
            }
            Stage::Processes { until } => Some(*until),
            Stage::Stragglers(s) if s.killed => Some(s.until),
            Stage::Stragglers(s) => Some(s.kill_at()),
            Stage::Killing { next, until, .. } => return Some((*next).min(*until)),
        };
        stage.into_iter().chain([stop.deadline]).min()
    }

    pub(super) fn due_stop(&mut self) -> bool {
        let Some(stop) = &self.stop else {
            return self.due_process_stops();
        };
        let now = self.now;
        let killing = matches!(self.stage, Whole::Stopping(Stage::Killing { .. }));
        if now >= stop.deadline && !killing {
            self.out_of_time();
            return true;
        }
        let Whole::Stopping(stage) = &mut self.stage else {
            return false;
        };
        let changed = match stage {
            Stage::Draining(steps) | Stage::PostStop(steps) => {
                steps.tasks.iter_mut().any(|t| t.on_time(now, &self.plan, &mut self.fx))
            }
            Stage::Killing { next, until, alone } if now >= *next && now < *until && !*alone => {
                *next = now + SWEEP;
                self.fx.push(Action::KillEverything);
                self.fx.push(Action::Census);
                true
            }
            _ => false,
        };
        changed || self.due_process_stops()
    }

    fn due_process_stops(&mut self) -> bool {
        for i in 0..self.processes.len() {
            if self.due_process_stop(ProcId(i)) {
                return true;
            }
        }
        false
    }

    fn due_process_stop(&mut self, id: ProcId) -> bool {
        let now = self.now;
        let State::Stopping(s) = &mut self.processes[id.0].state else {
            return false;
        };
        match &mut s.stage {
            StopStage::Killed => false,
            _ if now >= s.until => {
                self.kill_process(id);
                true
            }
            StopStage::PreStop(task) => {
                let changed = task.on_time(now, &self.plan, &mut self.fx);
                self.pre_stop_over(id) || changed
            }
            StopStage::Rung { index, until } if now >= *until => {
                let next = *index + 1;
                self.rung(id, next);
                true
            }
            StopStage::Rung { .. } => false,
        }
    }

    pub(super) fn run_done_stop(&mut self, run: RunId, outcome: &Outcome) {
        let now = self.now;
        if let Some(stop) = &mut self.stop {
            stop.interrupted.retain(|r| *r != run);
        }
        if let Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) = &mut self.stage {
            for task in &mut steps.tasks {
                task.on_done(run, outcome, now, &self.plan);
            }
        }
        for p in &mut self.processes {
            if let State::Stopping(Stopping { stage: StopStage::PreStop(task), .. }) = &mut p.state {
                task.on_done(run, outcome, now, &self.plan);
            }
        }
    }
}

// === one process ===

impl Machine {
    /// The signal that begins its stop, also for what it leaves in its group.
    pub(super) fn first_signal(&self, id: ProcId) -> Signal {
        let process = &self.plan.config.processes[id.0];
        if let Some(rung) = process.stop.first() {
            return rung.signal;
        }
        match self.stop.as_ref().map(|s| &s.cause) {
            Some(Cause::Signal { signal, .. }) if process.stop_as_received => *signal,
            _ => Signal::TERM,
        }
    }

    /// Begin the stop of one running process: pre_stop, then its ladder, then SIGKILL when `limit` is over.
    pub(super) fn stop_process(&mut self, id: ProcId, limit: Duration, to_restart: bool) {
        let now = self.now;
        let p = &mut self.processes[id.0];
        let State::Running(r) = &mut p.state else {
            return;
        };
        if let PostStart::Doing(_, task) = &mut r.post_start {
            task.cancel("the process is being stopped", true, &mut self.fx);
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
            // A pre_stop that states no length leaves half of the time to the signals.
            let stated = self.plan.task(What::PreStop(id)).and_then(|t| t.timeout);
            let share = if stated.is_some() { limit } else { limit / 2 };
            let reason = if to_restart { "restart" } else { self.fx.reason };
            let whole = std::mem::replace(&mut self.fx.reason, reason);
            let task = TaskRun::begin(What::PreStop(id), now, share, &self.plan, &mut self.fx);
            self.fx.reason = whole;
            StopStage::PreStop(task)
        } else {
            StopStage::Rung { index: 0, until: now }
        };
        self.processes[id.0].state =
            State::Stopping(Stopping { pid, since, began: now, until, short, to_restart, stage, last: None, probes });
        let how = if pre_stop { "pre_stop".to_string() } else { self.first_signal(id).to_string() };
        let process = self.name(id);
        self.note(Note::Stopping { process, how, share: Secs(limit) });
        if !pre_stop {
            self.rung(id, 0);
        }
    }

    fn pre_stop_over(&mut self, id: ProcId) -> bool {
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

    /// Send the ladder's rung `index`, or SIGKILL after the last.
    fn rung(&mut self, id: ProcId, index: usize) {
        let now = self.now;
        let config = &self.plan.config.processes[id.0];
        let signal = match config.stop.get(index) {
            Some(rung) => rung.signal,
            None if index == 0 => self.first_signal(id),
            None => {
                self.kill_process(id);
                return;
            }
        };
        let State::Stopping(s) = &mut self.processes[id.0].state else {
            return;
        };
        let left = s.until.left(now);
        let wait = match config.stop.get(index).and_then(|r| r.wait) {
            None => left,
            Some(wait) => {
                // What the ladder still asks for is scaled down together when it no longer fits.
                let rest = config.stop[index + 1..].iter().fold(Chain::default(), |sum, r| sum.and(Chain::of(r.wait)));
                process_share(left, Chain::of(Some(wait)), rest)
            }
        };
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

    /// SIGKILL, once, to a process that runs or is being stopped.
    fn kill_process(&mut self, id: ProcId) {
        let now = self.now;
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
                    stage: StopStage::Killed,
                    last: None,
                    probes: Vec::new(),
                });
                (None, now, true)
            }
            State::Stopping(s) if !matches!(s.stage, StopStage::Killed) => {
                if let StopStage::PreStop(task) = &mut s.stage {
                    let _killed = task.cancel("the process is being killed", true, &mut self.fx);
                }
                s.stage = StopStage::Killed;
                let (after, since) = s.last.map_or((None, s.began), |(signal, at)| (Some(signal), at));
                (after, since, now >= s.until && s.short)
            }
            _ => return,
        };
        let because = KillReason { after, waited: now.since(since), out_of_time, left_overs: false };
        self.fx.push(Action::Kill { process: id, because });
        self.mark_forced(id);
    }

    pub(super) fn mark_forced(&mut self, id: ProcId) {
        let name = self.name(id);
        if let Some(stop) = &mut self.stop {
            self.processes[id.0].forced = true;
            if !stop.forced.contains(&name) {
                stop.forced.push(name);
            }
        }
    }

    /// A process has ended while the container stops: does its exit count as a failure?
    pub(super) fn exited_in_stop(&mut self, id: ProcId, exit: Exit, told: bool) {
        let p = &self.processes[id.0];
        let by_us = told
            && match exit {
                Exit::Signal { signal, .. } => p.sent.contains(&signal),
                Exit::Code(code) => p.sent.iter().any(|s| exit::for_signal(s.number()) == code),
            };
        if let Some(stop) = &mut self.stop
            && stop.first_failure.is_none()
            && !exit.success()
            && !by_us
        {
            stop.first_failure = Some(exit.code());
        }
    }

    /// Leader and group are gone.
    pub(super) fn stopped_in_stop(&mut self, id: ProcId, exit: Exit) {
        let p = &self.processes[id.0];
        let Some(began) = p.stop_began.filter(|_| p.forced || !p.sent.is_empty()) else { return };
        let (forced, took) = (p.forced, Secs(self.now.since(began)));
        let process = self.name(id);
        self.note(Note::Stopped { process, exit: Some(exit.into()), took, forced });
    }
}

// === the stages ===

impl Machine {
    pub(super) fn advance_stop(&mut self) -> bool {
        let Whole::Stopping(stage) = &self.stage else {
            return false;
        };
        match stage {
            Stage::Draining(_) => self.advance_drain(),
            Stage::Processes { until } => {
                let until = *until;
                self.advance_processes(until)
            }
            Stage::Stragglers(_) => self.advance_stragglers(),
            Stage::PostStop(_) => self.advance_post_stop(),
            Stage::Killing { until, alone, .. } => {
                let (alone, over) = (*alone, self.now >= *until);
                let over = alone || over;
                if over && !alone {
                    // There may have been no time for a sweep: no kill_reserve, or softstop itself was late (suspended).
                    self.fx.push(Action::KillEverything);
                }
                if over {
                    self.finish();
                }
                over
            }
        }
    }

    fn advance_drain(&mut self) -> bool {
        let nobody = !self.processes.iter().any(|p| matches!(p.state, State::Running(_) | State::Stopping(_)));
        let Some(stop) = &self.stop else { return false };
        let skip = match (&stop.drain_ended_by, stop.hurried, nobody) {
            (Some(_), _, _) => Some("an earlier step ended the drain"),
            (None, true, _) => Some("hurried by a second stop request"),
            (None, false, true) => Some("no process is left to drain for"),
            _ => None,
        };
        let even_always = stop.hurried || stop.drain_ended_by.is_some();
        let requested = stop.cause.requested();
        let skip = move |step: &Step| match (step.when, skip) {
            (When::Always, Some(why)) => even_always.then_some(why),
            (When::Requested, Some(why)) => Some(why),
            (When::Requested, None) if !requested => Some("nobody asked for the stop (when = \"requested\")"),
            _ => None,
        };
        if self.advance_steps(&skip) {
            return true;
        }
        if !self.steps_over() {
            return false;
        }
        let Some(stop) = &mut self.stop else {
            return false;
        };
        stop.processes_began = Some(self.now);
        let until = stop.deadline - self.plan.budget.after_stop();
        self.stage = Whole::Stopping(Stage::Processes { until });
        true
    }

    fn advance_post_stop(&mut self) -> bool {
        if self.advance_steps(&|_: &Step| None) {
            return true;
        }
        if !self.steps_over() {
            return false;
        }
        self.enter_killing(false);
        true
    }

    fn advance_processes(&mut self, until: At) -> bool {
        let mut changed = false;
        for i in 0..self.processes.len() {
            let mut dependents = self.plan.order.dependents[i].iter();
            let free = dependents.all(|d| self.processes[*d].ended());
            let p = &mut self.processes[i];
            if !free || p.ended() || p.stop_began.is_some() || matches!(p.state, State::Starting) {
                continue;
            }
            p.stop_began = Some(self.now);
            changed = true;
            let left = until.left(self.now);
            let left = left.saturating_sub(SLACK.min(left / 8));
            let limit = process_share(left, own(&self.plan.config.processes[i]), self.plan.order.behind[i]);
            let now = self.now;
            match &mut p.state {
                State::Running(_) => self.stop_process(ProcId(i), limit, false),
                // It was being stopped for a restart: that goes on, now within this budget.
                State::Stopping(s) => s.until = s.until.min(now + limit),
                // Never in the turn its leader ended: whether anything is left of the group shows right after.
                State::Cleaning(c) if !c.killed => c.until = (now + limit).max(c.began + SHORTEST),
                _ => {}
            }
        }
        if changed {
            return true;
        }
        let interrupted = self.stop.as_ref().is_some_and(|s| !s.interrupted.is_empty());
        let over = self.now >= until;
        // Once every leader has ended, what they leave behind, in whatever session, shares the rest of the time.
        let gone = |p: &Proc| matches!(p.state, State::Cleaning(_) | State::Ended(_));
        if !over && (interrupted || !self.processes.iter().all(gone)) {
            return false;
        }
        self.give_up_on_the_rest();
        self.stage = Whole::Stopping(Stage::Stragglers(Stragglers {
            began: self.now,
            until,
            asked: false,
            signalled: false,
            killed: false,
            alone: false,
        }));
        true
    }

    /// The stop's share of the budget is over: what is still there is killed, and no longer waited for one by one.
    fn give_up_on_the_rest(&mut self) {
        self.cancel_interrupted();
        for i in 0..self.processes.len() {
            let id = ProcId(i);
            self.kill_process(id);
            let p = &self.processes[i];
            let took = Secs(p.stop_began.map_or(Duration::ZERO, |t| self.now.since(t)));
            if matches!(p.state, State::Stopping(_)) {
                let process = self.name(id);
                self.note(Note::Stopped { process, exit: None, took, forced: true });
            }
        }
    }

    fn advance_stragglers(&mut self) -> bool {
        let Whole::Stopping(Stage::Stragglers(s)) = &mut self.stage else {
            return false;
        };
        if !s.asked {
            s.asked = true;
            self.fx.push(Action::Census);
            return true;
        }
        if s.alone || self.now >= s.until {
            let (signalled, took) = (s.signalled && s.alone, Secs(self.now.since(s.began)));
            if signalled {
                self.note(Note::StragglersGone { took });
            }
            if let Some(stop) = &mut self.stop {
                stop.processes_took = stop.processes_began.map_or(Duration::ZERO, |t| self.now.since(t));
            }
            self.fx.exit_code = Some(self.exit_code());
            self.stage = Whole::Stopping(Stage::PostStop(Steps::new(StepKind::PostStop, self.now)));
            return true;
        }
        if s.signalled && !s.killed && self.now >= s.kill_at() {
            s.killed = true;
            self.fx.push(Action::SignalStragglers { signal: Signal::KILL });
            self.fx.push(Action::Census);
            if let Some(stop) = &mut self.stop {
                stop.forced.push("left-over processes".to_string());
            }
            return true;
        }
        false
    }

    /// The answer to a census.
    pub(super) fn on_census(&mut self, now_alone: bool) {
        match &mut self.stage {
            Whole::Stopping(Stage::Stragglers(s)) if s.asked => {
                s.alone = now_alone;
                if !now_alone && !s.signalled {
                    s.signalled = true;
                    self.fx.push(Action::SignalStragglers { signal: Signal::TERM });
                }
            }
            Whole::Stopping(Stage::Killing { alone, next, .. }) => {
                *alone = now_alone;
                if !now_alone {
                    *next = (*next).min(self.now + SWEEP);
                }
            }
            _ => {}
        }
    }

    /// The deadline has come in the middle of something: account for every step, kill everything.
    fn out_of_time(&mut self) {
        let alive: Vec<ProcId> = (0..self.processes.len()).filter(|i| self.processes[*i].lives()).map(ProcId).collect();
        if !alive.is_empty() {
            let names: Vec<String> = alive.iter().map(|id| self.name(*id)).collect();
            self.note(Note::OutOfTime { waiting_for: format!("{} still running", names.join(", ")) });
        }
        self.end_steps();
        self.cancel_interrupted();
        for id in alive {
            self.kill_process(id);
            if let State::Cleaning(c) = &self.processes[id.0].state
                && self.now >= c.began + SHORTEST
            {
                self.mark_forced(id);
            }
        }
        self.enter_killing(true);
    }

    /// Cut the step under way; the steps that were still to come get no time.
    fn end_steps(&mut self) {
        let (mut kind, mut index) = match &mut self.stage {
            Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) => {
                for task in &mut steps.tasks {
                    task.cut(&mut self.fx);
                }
                let next = (steps.kind, steps.index);
                if !steps.tasks.is_empty() {
                    self.step_ended();
                    (next.0, next.1 + 1)
                } else {
                    next
                }
            }
            Whole::Stopping(Stage::Killing { .. }) => return,
            _ => (StepKind::PostStop, 0),
        };
        loop {
            let config = &self.plan.config;
            let list = if kind == StepKind::Drain { &config.drain } else { &config.post_stop };
            if index < list.len() {
                self.step_skipped(kind, index, &TaskResult::NoTime);
                index += 1;
            } else if kind == StepKind::Drain {
                (kind, index) = (StepKind::PostStop, 0);
            } else {
                return;
            }
        }
    }

    fn cancel_interrupted(&mut self) {
        for run in self.stop.iter_mut().flat_map(|stop| stop.interrupted.drain(..)) {
            self.fx.push(Action::Cancel { run, kill: true });
        }
    }

    fn enter_killing(&mut self, at_once: bool) {
        self.fx.exit_code = Some(self.exit_code());
        let Some(stop) = &mut self.stop else { return };
        if stop.processes_took.is_zero() {
            stop.processes_took = stop.processes_began.map_or(Duration::ZERO, |t| self.now.since(t));
        }
        // Left for the report and the exit itself.
        let margin = (self.plan.budget.kill_reserve / 4).min(SLACK);
        let until = (stop.end - margin).min(self.now + KILL_WAIT.max(self.plan.budget.kill_reserve));
        let next = if at_once { self.now } else { self.now + SWEEP };
        self.stage = Whole::Stopping(Stage::Killing { next, until, alone: false });
        // Asked before the first sweep: as a rule there is nobody left to kill.
        if !at_once {
            self.fx.push(Action::Census);
        }
    }

    fn finish(&mut self) {
        for p in &mut self.processes {
            if p.lives() {
                p.state = State::Ended(End::Unkillable);
            }
        }
        let code = self.exit_code();
        if let Some(verdict) = self.verdict(code) {
            self.note(Note::Finished(Box::new(verdict)));
        }
        self.fx.push(Action::Finish { code });
        self.stage = Whole::Done;
    }
}

impl Stragglers {
    fn kill_at(&self) -> At {
        let room = self.until.since(self.began);
        self.until - SLACK.min(room / 8)
    }
}

// === drain and post_stop steps ===

impl Steps {
    fn new(kind: StepKind, now: At) -> Steps {
        Steps { kind, index: 0, tasks: Vec::new(), share: Duration::ZERO, began: now }
    }

    pub fn list<'a>(&self, config: &'a crate::config::Config) -> &'a [Step] {
        match self.kind {
            StepKind::Drain => &config.drain,
            StepKind::PostStop => &config.post_stop,
        }
    }
}

impl Machine {
    fn steps_over(&mut self) -> bool {
        let Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) = &self.stage else {
            return true;
        };
        steps.tasks.is_empty() && steps.index >= steps.list(&self.plan.config).len()
    }

    /// Begin, end or skip steps; `true` when something changed. `skip` says why a step is not (or no longer) to be done.
    fn advance_steps(&mut self, skip: &dyn Fn(&Step) -> Option<&'static str>) -> bool {
        let now = self.now;
        let Some(stop) = &self.stop else { return false };
        let deadline = stop.deadline;
        let Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) = &mut self.stage else {
            return false;
        };
        let Some(step) = steps.list(&self.plan.config).get(steps.index) else {
            return false;
        };
        if !steps.tasks.is_empty() {
            if let Some(why) = skip(step) {
                for task in &mut steps.tasks {
                    let _killed = task.cancel(why, true, &mut self.fx);
                }
            }
            let over = steps.tasks.iter().all(|t| t.result().is_some());
            if over {
                self.step_ended();
            }
            return over;
        }
        let (kind, index) = (steps.kind, steps.index);
        let after = match kind {
            StepKind::Drain => self.plan.budget.after_drain(index),
            StepKind::PostStop => self.plan.budget.after_post_stop(index),
        };
        let room = share(now, deadline, after, None);
        let result = match skip(step) {
            Some(why) => Some(TaskResult::Cancelled { why }),
            None => room.is_zero().then_some(TaskResult::NoTime),
        };
        if let Some(result) = result {
            steps.index += 1;
            self.step_skipped(kind, index, &result);
            return true;
        }
        steps.share = longest(step).map_or(room, |t| t.min(room));
        steps.began = now;
        let share = steps.share;
        for (t, task) in step.tasks.iter().enumerate() {
            let own = share.min(crate::plan::budget::task_length(task).unwrap_or(share));
            let left = Secs(deadline.left(now));
            let name = task.name.clone();
            self.fx.push(Action::Note(Note::StepBegan { kind, name, share: Secs(own), left }));
            let what = match kind {
                StepKind::Drain => What::Drain(index, t),
                StepKind::PostStop => What::PostStop(index, t),
            };
            steps.tasks.push(TaskRun::begin(what, now, room, &self.plan, &mut self.fx));
        }
        true
    }

    fn step_skipped(&mut self, kind: StepKind, index: usize, result: &TaskResult) {
        let config = &self.plan.config;
        let list = if kind == StepKind::Drain { &config.drain } else { &config.post_stop };
        for task in list.get(index).into_iter().flat_map(|s| &s.tasks) {
            let (name, result) = (task.name.clone(), result.clone());
            self.fx.push(Action::Note(Note::StepSkipped { kind, name: name.clone(), result: result.clone() }));
            if let Some(stop) = &mut self.stop {
                stop.steps.push(StepReport { kind, name, share: Secs::default(), took: Secs::default(), result });
            }
        }
    }

    fn step_ended(&mut self) {
        let now = self.now;
        let Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) = &mut self.stage else {
            return;
        };
        let (kind, share, began) = (steps.kind, steps.share, steps.began);
        let tasks = std::mem::take(&mut steps.tasks);
        steps.index += 1;
        if let Some(stop) = &mut self.stop {
            let total = if kind == StepKind::Drain { &mut stop.drain_took } else { &mut stop.post_stop_took };
            *total = Some(total.unwrap_or_default() + now.since(began));
        }
        for run in tasks {
            let Some(task) = self.plan.task(run.what) else {
                continue;
            };
            let (name, on_failure) = (task.name.clone(), task.on_failure);
            let Some(result) = run.result().cloned() else {
                continue;
            };
            let own = crate::plan::budget::task_length(task).map_or(share, |t| t.min(share));
            let took = Secs(now.since(began));
            let ends_drain = kind == StepKind::Drain && on_failure == OnFailure::Stop && !result.ok();
            let report = StepReport { kind, name: name.clone(), share: Secs(own), took, result: result.clone() };
            if let Some(stop) = &mut self.stop {
                stop.steps.push(report);
                if ends_drain {
                    stop.drain_ended_by.get_or_insert(name.clone());
                }
            }
            self.note(Note::StepEnded { kind, name, share: Secs(own), took, result });
        }
    }
}

// === the account ===

impl Machine {
    /// DESIGN section 3, "Exit code"; docs/exit-codes.md.
    fn exit_code(&self) -> u8 {
        let Some(stop) = &self.stop else {
            return exit::OK;
        };
        let own = match stop.cause {
            Cause::StartFailed { code, .. } | Cause::InitFailed { code, .. } | Cause::PostStartFailed { code, .. } => {
                code
            }
            Cause::DependencyFailed { .. } => exit::FAILED,
            Cause::Signal { .. } | Cause::ProcessEnded { .. } | Cause::AllEnded => {
                let code = self.main_code(stop);
                self.plan.config.exit_codes.map.get(&code).copied().unwrap_or(code)
            }
        };
        match self.plan.config.exit_codes.forced {
            Some(forced) if !stop.forced.is_empty() => forced,
            _ => own,
        }
    }

    fn main_code(&self, stop: &Stop) -> u8 {
        if let (Cause::Signal { signal, .. }, false) = (&stop.cause, stop.anything_ran) {
            return exit::for_signal(signal.number());
        }
        if let Some(main) = self.plan.main {
            let p = &self.processes[main];
            let own = match (failed(p), p.last_exit) {
                // Not the exit of an earlier run: SIGKILL is all that is left for this one.
                _ if self.fx.alive[main] => Some(exit::for_signal(Signal::KILL.number())),
                (Some(code), _) => Some(code),
                (None, exit) => exit.map(Exit::code),
            };
            if let Some(code) = own {
                return code;
            }
            // It never ran: then the code is that of what ended the container.
            if let Cause::Signal { signal, .. } = stop.cause {
                return exit::for_signal(signal.number());
            }
        }
        match stop.cause {
            Cause::ProcessEnded { status, .. } => status.code(),
            _ => stop.first_failure.unwrap_or(exit::OK),
        }
    }

    fn verdict(&self, exit_code: u8) -> Option<Verdict> {
        let stop = self.stop.as_ref()?;
        let main = self.plan.main.and_then(|main| {
            let exit = self.processes[main].last_exit?;
            Some(MainExit { process: self.name(ProcId(main)), exit: exit.into() })
        });
        let took = self.now.since(stop.t0);
        Some(Verdict {
            exit_code,
            cause: self.cause_text(&stop.cause),
            grace: Secs(self.plan.budget.grace),
            took: Secs(took),
            within_grace: took <= self.plan.budget.grace,
            main,
            steps: stop.steps.clone(),
            forced: stop.forced.clone(),
            drain_took: stop.drain_took.map(Secs),
            processes_took: Secs(stop.processes_took),
            post_stop_took: stop.post_stop_took.map(Secs),
            orphans_reaped: self.orphans_reaped,
            nothing_ran: !stop.anything_ran && stop.steps.is_empty() && !stop.cause.requested(),
        })
    }
}
