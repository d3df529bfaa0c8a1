//! From the beginning to the stop request: init tasks, starts, probes, post_start, restarts. Pure.

use std::time::Duration;

use super::action::{Action, ProbeKind, What};
use super::event::{Cause, Exit, Outcome, ProcId, RunId, SpawnError, SpawnErrorKind};
use super::health::{ProbeRun, Step};
use super::process::{End, PostStart, Proc, Running, State, StopStage, backoff_delay};
use super::task::{SHORTEST, TaskRun};
use super::{Machine, Stage};
use crate::config::{OnExit, OnFailure, Restart};
use crate::report::{Note, Place, Secs, SignalName, TaskResult};
use crate::signal::Signal;
use crate::time::At;

/// That a process was stopped is said again no sooner.
const SAID_AGAIN: Duration = Duration::from_secs(10);
/// After SIGKILL to a group: how long until it is taken for unkillable and life goes on.
pub(super) const KILL_WAIT: Duration = Duration::from_secs(1);
/// An init or post_start task with no timeout of its own: the reader gives every one a timeout, this is the backstop. What a sidecar
/// follows may really run so long.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The earliest timer of one process.
pub(super) fn next_deadline(p: &Proc) -> Option<At> {
    let probes = |probes: &[ProbeRun]| probes.iter().map(ProbeRun::next_deadline).min();
    match &p.state {
        State::Waiting | State::Starting | State::Ended(_) => None,
        State::Running(r) => {
            let post_start = match &r.post_start {
                PostStart::Doing(_, task) => task.next_deadline(),
                PostStart::NotYet | PostStart::Done => None,
            };
            post_start.into_iter().chain(probes(&r.probes)).min()
        }
        State::Stopping(s) => s.next_deadline().into_iter().chain(probes(&s.probes)).min(),
        State::Cleaning(c) => Some(c.next_deadline()),
        State::Backoff { until } => Some(*until),
    }
}

impl Machine {
    pub(super) fn begin(&mut self) {
        if matches!(self.stage, Stage::New) {
            self.next_init(0);
        }
    }

    fn next_init(&mut self, index: usize) {
        self.stage = match self.plan.config.init.get(index) {
            Some(task) => {
                let name = task.name.clone();
                self.note(Note::TaskBegan { place: Place::Init, name });
                let task = TaskRun::begin(What::Init(index), self.now, FOREVER, &self.plan, &mut self.fx);
                Stage::Init { index, task }
            }
            None => {
                self.came_up = true;
                Stage::Up
            }
        };
    }

    /// Timers of the running time; also those of probes and groups during the stop.
    pub(super) fn due_up(&mut self) -> bool {
        let mut changed = false;
        if let Stage::Init { task, .. } = &mut self.stage {
            changed |= task.on_time(self.now, &self.plan, &mut self.fx);
        }
        changed |= self.due_follow();
        for i in 0..self.processes.len() {
            changed |= self.due_process(ProcId(i));
        }
        changed
    }

    fn due_process(&mut self, id: ProcId) -> bool {
        let now = self.now;
        let p = &mut self.processes[id.0];
        match &mut p.state {
            State::Running(r) => {
                if let PostStart::Doing(_, task) = &mut r.post_start
                    && task.on_time(now, &self.plan, &mut self.fx)
                {
                    return true;
                }
            }
            State::Cleaning(c) if now >= c.next_deadline() => {
                self.due_cleaning(id);
                return true;
            }
            State::Backoff { until } if now >= *until => {
                p.state = State::Waiting;
                return true;
            }
            _ => {}
        }
        self.due_probes(id)
    }

    fn due_probes(&mut self, id: ProcId) -> bool {
        let mut steps = Vec::new();
        let now = self.now;
        let Some(probes) = self.processes[id.0].probes() else {
            return false;
        };
        for run in probes {
            let Some(probe) = self.plan.probe(id.0, run.kind) else {
                continue;
            };
            if let Some(step) = run.on_time(now, probe, &mut self.fx) {
                steps.push((run.kind, step));
            }
        }
        let changed = !steps.is_empty();
        for (kind, step) in steps {
            self.on_probe(id, kind, step);
        }
        changed
    }

    pub(super) fn run_done_up(&mut self, run: RunId, outcome: &Outcome) {
        for i in 0..self.processes.len() {
            let id = ProcId(i);
            if let State::Running(r) = &mut self.processes[i].state
                && let PostStart::Doing(_, task) = &mut r.post_start
                && task.on_done(run, outcome, self.now, &self.plan)
            {
                return;
            }
            let mut answered = None;
            for probe_run in self.processes[i].probes().into_iter().flatten() {
                let Some(probe) = self.plan.probe(i, probe_run.kind) else {
                    continue;
                };
                if let Some(step) = probe_run.on_done(run, outcome, self.now, probe) {
                    answered = Some((probe_run.kind, step));
                    break;
                }
            }
            if let Some((kind, step)) = answered {
                self.on_probe(id, kind, step);
                return;
            }
        }
    }

    fn on_probe(&mut self, id: ProcId, kind: ProbeKind, step: Step) {
        let name = self.name(id);
        let Some(probe) = self.plan.probe(id.0, kind) else {
            return;
        };
        let threshold = probe.failure_threshold;
        let reason = self.processes[id.0].probe(kind).map_or_else(String::new, |p| p.reason.clone());
        match (kind, step) {
            (_, Step::Nothing) => {}
            (_, Step::Failed { failures }) => {
                self.note(Note::ProbeFailed { process: name, probe: kind, failures, threshold, reason });
            }
            (_, Step::NotMade(reason)) => self.note(Note::ProbeNotMade { process: name, probe: kind, reason }),
            (ProbeKind::Startup, Step::Turned(true)) => self.started_up(id),
            (ProbeKind::Readiness | ProbeKind::Liveness, Step::Turned(true)) => {}
            (ProbeKind::Readiness, Step::Turned(false)) => {
                let reason = format!("readiness probe failed {threshold} times: {reason}");
                if self.processes[id.0].said_ready {
                    self.processes[id.0].said_ready = false;
                    self.note(Note::NotReady { process: name, reason });
                }
            }
            (ProbeKind::Startup | ProbeKind::Liveness, Step::Turned(false)) => {
                let reason = format!("{} probe failed {threshold} times: {reason}", kind.name());
                self.unhealthy(id, reason);
            }
        }
    }

    /// Stop a process that is no good, to start it again as its policy allows.
    fn unhealthy(&mut self, id: ProcId, reason: String) {
        if self.stop.is_some() {
            return;
        }
        let process = self.name(id);
        self.note(Note::Unhealthy { process, reason });
        self.processes[id.0].unhealthy = true;
        self.stop_process(id, self.restart_limit(), true);
    }

    /// What the stop of a process that is started again may take.
    pub(super) fn restart_limit(&self) -> Duration {
        self.plan.config.grace.saturating_sub(self.plan.config.kill_reserve)
    }

    fn started_up(&mut self, id: ProcId) {
        let process = self.name(id);
        let State::Running(r) = &mut self.processes[id.0].state else {
            return;
        };
        r.started = true;
        r.probes.retain(|p| p.kind != ProbeKind::Startup);
        let took = Secs(self.now.since(r.since));
        self.note(Note::StartedUp { process, took });
        self.begin_probes(id);
    }

    /// Readiness and liveness begin once the process is started, as in Kubernetes.
    fn begin_probes(&mut self, id: ProcId) {
        let State::Running(r) = &mut self.processes[id.0].state else {
            return;
        };
        for kind in [ProbeKind::Readiness, ProbeKind::Liveness] {
            if let Some(probe) = self.plan.probe(id.0, kind) {
                r.probes.push(ProbeRun::begin(kind, id, probe, r.since, self.now));
            }
        }
    }

    pub(super) fn on_spawned(&mut self, id: ProcId, pid: i32) {
        let p = &mut self.processes[id.0];
        if !matches!(p.state, State::Starting) {
            return;
        }
        let startup = self.plan.probe(id.0, ProbeKind::Startup);
        let probes = startup.map(|probe| ProbeRun::begin(ProbeKind::Startup, id, probe, self.now, self.now));
        let started = probes.is_none();
        let probes = probes.into_iter().collect();
        p.state = State::Running(Running { pid, since: self.now, started, post_start: PostStart::NotYet, probes });
        p.unhealthy = false;
        p.last_error = None;
        // What an earlier run was sent excuses nothing in this one.
        p.sent.clear();
        p.again = false;
        p.suspended = None;
        p.fell_silent = false;
        self.fx.alive[id.0] = true;
        let restarts = p.restarts;
        let process = self.name(id);
        self.note(Note::Started { process, pid, restarts });
        if started {
            self.begin_probes(id);
        }
    }

    pub(super) fn on_spawn_failed(&mut self, id: ProcId, error: &SpawnError) {
        let p = &mut self.processes[id.0];
        if !matches!(p.state, State::Starting) {
            return;
        }
        p.last_error = Some(error.text.clone());
        p.again = false;
        let restart = self.plan.config.processes[id.0].restart;
        let worth_it = error.kind == SpawnErrorKind::Transient || p.was_started;
        let process = self.name(id);
        let retry = restart != Restart::Never && worth_it && self.stop.is_none();
        if retry && !self.gave_up(id) {
            let delay = self.back_off(id);
            self.note(Note::StartFailed { process, error: error.text.clone(), retry_in: Some(Secs(delay)) });
            return;
        }
        self.processes[id.0].state = State::Ended(End::StartFailed { code: error.kind.exit_code() });
        self.note(Note::StartFailed { process, error: error.text.clone(), retry_in: None });
        if self.stop.is_none() && self.plan.config.processes[id.0].on_exit != OnExit::Continue {
            self.request_stop(Cause::StartFailed { process: id, code: error.kind.exit_code() });
        }
    }

    /// The leader has ended and is a zombie still: its group can be signalled safely, now and only now.
    pub(super) fn on_exited(&mut self, id: ProcId, exit: Exit) {
        self.fx.alive[id.0] = false;
        let now = self.now;
        let container_stops = self.stop.is_some();
        let p = &mut self.processes[id.0];
        p.last_exit = Some(exit);
        p.suspended = None;
        let diagnosed = matches!(&p.state, State::Stopping(s) if matches!(s.stage, StopStage::Diagnosing { .. }));
        let (since, killed, to_restart, until, told) = match &mut p.state {
            State::Running(r) => {
                for probe in &mut r.probes {
                    probe.end(&mut self.fx);
                }
                if let PostStart::Doing(_, task) = &mut r.post_start {
                    task.cancel("the process has ended", true, now, &mut self.fx);
                }
                (r.since, false, false, None, false)
            }
            State::Stopping(s) => {
                let killed = s.end(now, &mut self.fx);
                // Never in this very turn: whether anything is left of the group shows right after.
                (s.since, killed, s.to_restart, Some(s.until), true)
            }
            _ => return,
        };
        if now.since(since) >= self.plan.config.processes[id.0].backoff.reset {
            p.recent = 0;
        }
        self.begin_cleaning(id, exit, until, killed, to_restart);
        if !(told && container_stops) {
            let process = self.name(id);
            self.note(Note::Exited { process, exit: exit.into(), ran: Secs(now.since(since)) });
        }
        if !told && !container_stops && exit.success() && self.plan.is_service(id.0) {
            self.processes[id.0].fell_silent = true;
            let process = self.name(id);
            self.note(Note::ServiceEnded { process });
        }
        if diagnosed {
            self.ended_by_diagnosis(id, exit);
        }
        self.exited_in_stop(id, exit, told);
        if !self.ends_container(id, exit, to_restart) {
            return;
        }
        match &mut self.stop {
            None => self.request_stop(Cause::ProcessEnded { process: id, status: exit }),
            // After a drain by order the processes go on, but not without this one.
            Some(stop) => stop.hold = false,
        }
    }

    pub(super) fn on_suspended(&mut self, id: ProcId, signal: Signal) {
        let now = self.now;
        let p = &mut self.processes[id.0];
        if p.pid().is_none() {
            return;
        }
        p.suspended = Some(signal);
        if p.said_suspended.is_none_or(|said| now.since(said) >= SAID_AGAIN) {
            p.said_suspended = Some(now);
            let process = self.name(id);
            self.note(Note::Suspended { process, signal: SignalName(signal) });
        }
    }

    pub(super) fn on_resumed(&mut self, id: ProcId) {
        self.processes[id.0].suspended = None;
    }

    /// Nothing is left of its group, or nothing that could be ended.
    pub(super) fn cleaned_up(&mut self, id: ProcId, exit: Exit, to_restart: bool) {
        if self.stop.is_some() {
            self.processes[id.0].state = State::Ended(End::Exited(exit));
            self.stopped_in_stop(id, exit);
        } else if self.processes[id.0].again {
            let p = &mut self.processes[id.0];
            p.restarts = p.restarts.saturating_add(1);
            p.state = State::Waiting;
        } else if !self.restarts(id, exit, to_restart) {
            self.processes[id.0].state = State::Ended(End::Exited(exit));
        } else if self.gave_up(id) {
            let restarts = self.processes[id.0].restarts;
            let process = self.name(id);
            self.processes[id.0].state = State::Ended(End::Exited(exit));
            self.note(Note::GaveUp { process, restarts });
            if self.plan.config.processes[id.0].on_exit != OnExit::Continue {
                self.request_stop(Cause::ProcessEnded { process: id, status: exit });
            }
        } else {
            let delay = self.back_off(id);
            let restarts = self.processes[id.0].restarts;
            let process = self.name(id);
            self.note(Note::BackOff { process, restarts, delay: Secs(delay) });
        }
    }

    /// Its policy, or an order, starts it again after such an end. Nothing does once the stop was requested.
    fn restarts(&self, id: ProcId, exit: Exit, to_restart: bool) -> bool {
        if self.stop.is_some() || self.processes[id.0].again {
            return self.stop.is_none();
        }
        match self.plan.config.processes[id.0].restart {
            Restart::Always => true,
            Restart::OnFailure => to_restart || self.is_failure(id, exit),
            Restart::Never => false,
        }
    }

    /// Such an end, unasked, is a failure: of a service any is.
    fn is_failure(&self, id: ProcId, exit: Exit) -> bool {
        !exit.success() || self.plan.is_service(id.0)
    }

    fn gave_up(&self, id: ProcId) -> bool {
        self.plan.config.processes[id.0].max_restarts.is_some_and(|max| self.processes[id.0].recent >= max)
    }

    fn back_off(&mut self, id: ProcId) -> Duration {
        let p = &mut self.processes[id.0];
        let delay = backoff_delay(&self.plan.config.processes[id.0].backoff, p.recent).max(SHORTEST);
        p.recent = p.recent.saturating_add(1);
        p.restarts = p.restarts.saturating_add(1);
        p.state = State::Backoff { until: self.now + delay };
        delay
    }

    /// This end is final and the container's too.
    fn ends_container(&self, id: ProcId, exit: Exit, to_restart: bool) -> bool {
        if self.restarts(id, exit, to_restart) {
            return false;
        }
        match self.plan.config.processes[id.0].on_exit {
            OnExit::Stop => true,
            OnExit::StopOnFailure => self.is_failure(id, exit) || to_restart,
            OnExit::Continue => false,
        }
    }

    /// What follows without any time passing: the next init task, a start, the next post_start task.
    pub(super) fn advance_up(&mut self) -> bool {
        match &self.stage {
            Stage::Init { task, index } => match task.result().cloned() {
                Some(result) => {
                    let (index, took, attempts) = (*index, self.now.since(task.began), task.attempts);
                    self.init_ended(index, took, attempts, result);
                    true
                }
                None => false,
            },
            Stage::Up => self.advance_follow() || self.advance_post_start() || self.start_next() || self.nothing_left(),
            Stage::New | Stage::Stopping(_) | Stage::Done => false,
        }
    }

    fn init_ended(&mut self, index: usize, took: Duration, attempts: u32, result: TaskResult) {
        let task = &self.plan.config.init[index];
        let (name, fatal) = (task.name.clone(), task.on_failure == OnFailure::Stop && !result.ok());
        let code = own_code(&result);
        self.note(Note::TaskEnded { place: Place::Init, name, attempts, took: Secs(took), result });
        if fatal {
            self.request_stop(Cause::InitFailed { task: index, code });
        } else {
            self.next_init(index + 1);
        }
    }

    /// Start one process whose dependencies hold. One at a time: the answer to a spawn may be a reason to stop.
    fn start_next(&mut self) -> bool {
        if self.processes.iter().any(|p| matches!(p.state, State::Starting)) {
            return false;
        }
        for i in 0..self.processes.len() {
            if !matches!(self.processes[i].state, State::Waiting) {
                continue;
            }
            let after = &self.plan.config.processes[i].after;
            // Whoever is started again by order has had what it waits for.
            let free = self.processes[i].again || after.iter().all(|(on, condition)| self.fulfilled(*on, *condition));
            if free {
                self.processes[i].state = State::Starting;
                self.fx.push(Action::Spawn { process: ProcId(i) });
                return true;
            }
            let lost = after.iter().find_map(|(on, condition)| Some((*on, self.hopeless(*on, *condition)?)));
            if let Some((on, why)) = lost {
                self.cannot_start(ProcId(i), ProcId(on), why);
                return true;
            }
        }
        false
    }

    fn cannot_start(&mut self, id: ProcId, on: ProcId, why: &'static str) {
        self.processes[id.0].state = State::Ended(End::CannotStart { on });
        let (process, on_name) = (self.name(id), self.name(on));
        self.note(Note::CannotStart { process, on: on_name, why });
        if self.plan.config.processes[id.0].on_exit != OnExit::Continue {
            self.request_stop(Cause::DependencyFailed { process: id, on });
        }
    }

    fn nothing_left(&mut self) -> bool {
        if !self.is_sidecar() && self.processes.iter().all(Proc::ended) {
            self.request_stop(Cause::AllEnded);
            return true;
        }
        false
    }

    fn advance_post_start(&mut self) -> bool {
        for i in 0..self.processes.len() {
            let State::Running(r) = &mut self.processes[i].state else {
                continue;
            };
            match &r.post_start {
                PostStart::NotYet if r.started => {
                    self.next_post_start(ProcId(i), 0);
                    return true;
                }
                PostStart::Doing(index, task) if task.result().is_some() => {
                    let index = *index;
                    self.post_start_ended(ProcId(i), index);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn next_post_start(&mut self, id: ProcId, index: usize) {
        let Some(task) = self.plan.config.processes[id.0].post_start.get(index) else {
            if let State::Running(r) = &mut self.processes[id.0].state {
                r.post_start = PostStart::Done;
            }
            return;
        };
        let (place, name) = (Place::PostStart(self.name(id)), task.name.clone());
        self.note(Note::TaskBegan { place, name });
        let run = TaskRun::begin(What::PostStart(id, index), self.now, FOREVER, &self.plan, &mut self.fx);
        if let State::Running(r) = &mut self.processes[id.0].state {
            r.post_start = PostStart::Doing(index, run);
        }
    }

    fn post_start_ended(&mut self, id: ProcId, index: usize) {
        let State::Running(r) = &self.processes[id.0].state else {
            return;
        };
        let PostStart::Doing(_, run) = &r.post_start else {
            return;
        };
        let Some(result) = run.result().cloned() else {
            return;
        };
        let (took, attempts) = (Secs(self.now.since(run.began)), run.attempts);
        let task = &self.plan.config.processes[id.0].post_start[index];
        let (name, on_failure) = (task.name.clone(), task.on_failure);
        let (ok, code) = (result.ok(), own_code(&result));
        let place = Place::PostStart(self.name(id));
        self.note(Note::TaskEnded { place, name: name.clone(), attempts, took, result });
        match on_failure {
            _ if ok => self.next_post_start(id, index + 1),
            OnFailure::Ignore => self.next_post_start(id, index + 1),
            OnFailure::Restart => self.unhealthy(id, format!("post_start {name} failed")),
            OnFailure::Stop => self.request_stop(Cause::PostStartFailed { process: id, code }),
        }
    }

    /// Remember who has ever been started and ready: what `after` asks for.
    pub(super) fn latch(&mut self) {
        for i in 0..self.processes.len() {
            let completed = self.completed(i);
            let p = &mut self.processes[i];
            let ready = p.ready();
            let started = p.started() || completed;
            p.was_started |= started;
            p.was_ready |= ready;
            p.was_completed |= completed;
        }
    }

    /// Say who has become ready.
    pub(super) fn announce(&mut self) {
        for i in 0..self.processes.len() {
            let p = &mut self.processes[i];
            let ready = p.ready();
            if ready && !p.said_ready {
                p.said_ready = true;
                let process = self.name(ProcId(i));
                let config = &self.plan.config.processes[i];
                let probed = config.readiness.is_some() || config.startup.is_some() || !config.post_start.is_empty();
                self.note(Note::Ready { process, probed });
            } else if !matches!(p.state, State::Running(_)) {
                p.said_ready = false;
            }
        }
        if !self.announced_ready && self.ready() {
            self.announced_ready = true;
            if self.plan.config.processes.len() == 1 && self.plan.config.init.is_empty() {
                return;
            }
            let took = Secs(self.now.since_start());
            self.note(Note::AllReady { took });
        }
    }
}

/// The exit code that a failed task stands for: its program's own, if it had one.
fn own_code(result: &TaskResult) -> u8 {
    match result {
        TaskResult::Failed { code: Some(code), .. } => *code,
        _ => crate::exit::FAILED,
    }
}
