//! A second opinion on the parts: probes, start-up, restarts with their back-off, the ladder of one process, tasks with their
//! attempts. Written from the documentation (docs/configuration.md, docs/stop.md), not from the machine's sources.

use std::collections::BTreeMap;
use std::time::Duration;

use softstop::config::handler::Until;
use softstop::config::{
    Condition, Config, Handler, OnExit, OnFailure, Operator, Probe, ProcessKind, ReadinessOnDrain, Restart, Retries,
    Rung, Task,
};
use softstop::facts::{Awaited, Cause, Failure, Fault, How, Place};
use softstop::lifecycle::action::{KillReason, ProbeKind, What};
use softstop::lifecycle::event::{Exit, RunContext, SpawnErrorKind};
use softstop::plan::budget::task_length;
use softstop::report::{Note, Secs, TaskResult};
use softstop::signal::Signal;
use softstop::time::At;

use super::checks::{MS, index};
use super::notices::Said;
use super::{Checked, Hook, World, broken, pid};

/// Nothing that the configuration says makes the machine spin.
pub const SHORTEST: Duration = Duration::from_millis(10);
/// Time counts in microseconds, slices in nanoseconds.
const TINY: Duration = Duration::from_micros(1);

/// One process, over all its runs.
#[derive(Clone, Debug, Default, Hash)]
pub struct Life {
    // Over all its runs.
    pub ever_ran: bool,
    pub ever_started: bool,
    pub ever_ready: bool,
    pub last_exit: Option<Exit>,
    /// The code of the latest attempt to start it, when that failed.
    pub not_started: Option<u8>,
    pub cannot_start: bool,
    /// Restarts since it last ran for `backoff.reset`.
    recent: u32,
    /// Those in a `restart_window`, and when the first was.
    counted: u32,
    counted_from: At,
    /// When it is to be started again.
    due: Option<At>,
    gave_up: bool,
    pub ever_completed: bool,
    /// It is to be started again by order.
    pub ordered: bool,
    /// How many restarts count is not known here.
    pub uncertain: bool,
    /// `/status` has called this run ready.
    shown_ready: bool,
    // Of this run.
    pub since: At,
    pub started: bool,
    /// Of itself.
    pub said: Said,
    post_start: usize,
    post_start_over: bool,
    pub stopping: Option<Stopping>,
    /// What its ladder has sent, and when.
    pub sent: Vec<(Signal, At)>,
    /// When it was told to say what it is doing.
    pub diagnosed: Option<At>,
    /// It was stopped for being no good.
    unhealthy: bool,
    pub group_signalled: bool,
    /// It has ended: so many of its post_exit tasks are not over.
    pub post_exit_left: usize,
    /// It is to stay down until an order starts it, or its time does.
    pub held: bool,
    /// An order has said so: its time starts it no more.
    pub held_by_order: bool,
    /// Its time has come, and it has not been started since; or it may be held, or not.
    pub rung: bool,
    /// Nothing else of it is left.
    gone: bool,
    /// By which signal: the others of the group get the same.
    pub group_signal: Option<Signal>,
}

#[derive(Clone, Debug, Hash)]
pub struct Stopping {
    pub at: At,
    pub slice: Duration,
    /// For a restart, before the container's stop.
    pub before: bool,
}

impl Life {
    pub fn new(held: bool) -> Life {
        Life { held, ..Life::default() }
    }

    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// It is not to be started again after all.
    pub fn take_back(&mut self) {
        self.due = None;
    }

    /// Somebody has looked at it: its back-off begins anew.
    pub fn start_over(&mut self) {
        (self.recent, self.counted, self.gave_up) = (0, 0, false);
    }

    /// It was being stopped for a restart when the container's stop began: that stop goes on.
    pub fn stopped_before(&self, t0: At) -> bool {
        self.stopping.as_ref().is_some_and(|s| s.before && s.at <= t0)
    }
}

#[derive(Clone, Debug, Default, Hash)]
pub struct Model {
    probes: BTreeMap<(usize, ProbeKind), ProbeFacts>,
    /// By name: names are unique in a simulated configuration.
    tasks: BTreeMap<String, TaskFacts>,
    /// Signals sent by hooks that have not been told of yet.
    hook_signals: u32,
}

#[derive(Clone, Debug, Hash)]
struct ProbeFacts {
    /// When the next attempt is due.
    due: At,
    /// When one before it is: there was no success yet.
    early: Option<At>,
    pause: Duration,
    succeeded: bool,
    flight: Option<(u64, At)>,
    /// It was begun before it was due.
    between: bool,
    /// The latest attempt.
    began: At,
    successes: u32,
    failures: u32,
    passes: Option<bool>,
}

#[derive(Clone, Debug, Hash)]
struct TaskFacts {
    began: At,
    slice: Option<Duration>,
    ok: bool,
    failures: u32,
    failed_at: At,
    flight: Option<u64>,
    /// The last line about how far it is.
    said: Option<(Awaited, At)>,
}

impl TaskFacts {
    fn begin(now: At, slice: Option<Duration>) -> TaskFacts {
        TaskFacts { began: now, slice, ok: false, failures: 0, failed_at: now, flight: None, said: None }
    }
}

/// All that have a name of their own.
fn tasks(c: &Config) -> impl Iterator<Item = &Task> {
    let steps = c.drain.iter().chain(&c.post_stop).flat_map(|s| &s.tasks);
    let hooks = c.processes.iter().flat_map(|p| p.post_start.iter().chain(p.pre_stop.as_deref()).chain(&p.post_exit));
    let changes = c.on_change.iter().filter_map(|rule| rule.act.task());
    let follow = c.sidecar.iter().filter_map(|s| s.follow.as_ref()).flat_map(|f| &f.waits);
    steps.chain(hooks).chain(&c.init).chain(changes).chain(follow)
}

fn probe_of(config: &Config, p: usize, kind: ProbeKind) -> Option<&Probe> {
    let process = &config.processes[p];
    match kind {
        ProbeKind::Startup => process.startup.as_deref(),
        ProbeKind::Readiness => process.readiness.as_deref(),
        ProbeKind::Liveness => process.liveness.as_deref(),
    }
}

// === the life of a process ===

impl World {
    pub(super) fn has_started(&mut self, p: usize) {
        let life = &mut self.lives[p];
        life.ever_ran = true;
        (life.since, life.due, life.not_started) = (self.now, None, None);
        (life.started, life.post_start, life.post_start_over) =
            (false, 0, self.config.processes[p].post_start.is_empty());
        (life.stopping, life.unhealthy, life.group_signalled) = (None, false, false);
        life.group_signal = None;
        life.sent.clear();
        life.diagnosed = None;
        (life.ordered, life.rung, life.shown_ready, life.gone) = (false, false, false, false);
        let process = &self.config.processes[p];
        life.said = Said::begin(process, self.now);
        if process.startup.is_some() {
            self.begin_probe(p, ProbeKind::Startup);
        } else if process.notify.is_none() {
            self.started_up(p);
        }
    }

    pub(super) fn has_started_up(&mut self, p: usize) {
        self.lives[p].said.is_started(self.now);
        self.started_up(p);
    }

    fn begin_probe(&mut self, p: usize, kind: ProbeKind) {
        let Some(probe) = probe_of(&self.config, p, kind) else { return };
        let due = self.now.max(self.lives[p].since + probe.initial_delay);
        let facts = ProbeFacts {
            due,
            early: None,
            pause: Duration::from_millis(100),
            succeeded: kind == ProbeKind::Liveness,
            flight: None,
            between: false,
            began: due,
            successes: 0,
            failures: 0,
            passes: None,
        };
        self.model.probes.insert((p, kind), facts);
    }

    fn started_up(&mut self, p: usize) {
        self.lives[p].started = true;
        self.lives[p].ever_started = true;
        self.model.probes.remove(&(p, ProbeKind::Startup));
        self.begin_probe(p, ProbeKind::Readiness);
        self.begin_probe(p, ProbeKind::Liveness);
        self.latch();
    }

    pub(super) fn latch(&mut self) {
        for p in 0..self.lives.len() {
            self.lives[p].ever_ready |= self.ready(p);
        }
    }

    /// Kubernetes' `ready`, of a process that is not told to end.
    fn ready(&self, p: usize) -> bool {
        let life = &self.lives[p];
        let probed = match (&self.config.processes[p].readiness, self.model.probes.get(&(p, ProbeKind::Readiness))) {
            (None, _) => !self.bodies[p].suspended,
            (Some(_), facts) => facts.is_some_and(|f| f.passes == Some(true)),
        };
        let stopping = life.stopping.is_some() || self.bodies[p].killed;
        if self.config.processes[p].kind == Some(ProcessKind::Task) {
            return false;
        }
        self.bodies[p].alive && !stopping && life.started && life.post_start_over && probed && !life.said.stopping
    }

    pub(super) fn could_not_start(&mut self, p: usize, kind: SpawnErrorKind) {
        let life = &mut self.lives[p];
        life.not_started = Some(kind.exit_code());
        (life.due, life.ordered, life.rung, life.gone) = (None, false, false, false);
        // It waits for its next time, unless it is tried again.
        self.lives[p].held |= self.config.processes[p].schedule.is_some() && self.stop.is_none();
    }

    pub(super) fn has_ended(&mut self, p: usize, exit: Exit) {
        self.something_ended();
        self.ended_in_stop(p, exit);
        self.ends_the_hold(p, exit);
        let reset = self.config.processes[p].backoff.reset;
        let life = &mut self.lives[p];
        life.last_exit = Some(exit);
        if self.now.since(life.since) >= reset {
            life.recent = 0;
        }
        life.post_exit_left = self.config.processes[p].post_exit.len();
        life.gone = false;
        self.drop_hooks_of(p);
    }

    /// The last of its post_exit tasks may be over, and the rest of it gone before.
    pub(super) fn look_for_the_gone(&mut self) -> Checked {
        for p in 0..self.lives.len() {
            let life = &mut self.lives[p];
            if life.post_exit_left == 0 && std::mem::take(&mut life.gone) {
                self.is_gone(p)?;
            }
        }
        Ok(())
    }

    /// Nothing of it or its group is there any more: what its policy says comes now, or after its post_exit tasks.
    pub(super) fn is_gone(&mut self, p: usize) -> Checked {
        self.something_ended();
        if self.lives[p].post_exit_left > 0 {
            self.lives[p].gone = true;
            return Ok(());
        }
        let life = &self.lives[p];
        let Some(exit) = life.last_exit.filter(|_| self.stop.is_none()) else { return Ok(()) };
        if life.ordered || life.held || life.rung {
            return Ok(());
        }
        let process = &self.config.processes[p];
        let good = self.succeeds(p, exit);
        // What softstop has stopped is not judged by its code.
        let again = !life.unhealthy && self.is_ruled(p, exit)
            || match process.restart {
                Restart::Always => true,
                Restart::OnFailure => !good || life.unhealthy || self.is_service(p),
                Restart::Never => false,
            };
        if again && life.due.is_none() && !life.gave_up {
            return broken("model", format!("p{p} is gone after {exit}, and neither restarted nor given up"));
        }
        let fatal = match process.on_exit {
            OnExit::Stop => true,
            OnExit::StopOnFailure => !good || life.unhealthy || again || self.is_service(p),
            OnExit::Continue => false,
        };
        if fatal && (!again || life.gave_up) {
            return broken("model", format!("p{p} is gone for good, and the container goes on"));
        }
        let completed = self.completed(p);
        self.lives[p].ever_started |= completed;
        self.lives[p].ever_completed |= completed;
        // Between two runs it rests.
        self.lives[p].held |= self.config.processes[p].schedule.is_some() && (!again || self.lives[p].gave_up);
        Ok(())
    }

    /// A second start, or a later one: allowed by its policy, and after its back-off.
    pub(super) fn check_restart(&mut self, p: usize) -> Checked {
        let life = &self.lives[p];
        if life.held {
            return broken("model", format!("p{p} is started, and held down"));
        }
        if life.post_exit_left > 0 {
            return broken(
                "model",
                format!("p{p} is started again with {} post_exit tasks to go", life.post_exit_left),
            );
        }
        if self.bodies[p].run == 0 || life.ordered || life.rung {
            return Ok(());
        }
        match life.due {
            None => broken("model", format!("p{p} restarted without a back-off")),
            Some(due) if self.now < due => broken("model", format!("p{p} restarted before its back-off is over")),
            Some(due) if self.now > due && !self.stalled_since(due) => {
                broken("model", format!("p{p} restarted {:?} late", self.now.since(due)))
            }
            Some(_) => Ok(()),
        }
    }

    fn backs_off(&mut self, p: usize, delay: Duration) -> Checked {
        let process = &self.config.processes[p];
        let factor = 1u32.checked_shl(self.lives[p].recent).unwrap_or(u32::MAX);
        let expected = process.backoff.initial.saturating_mul(factor).min(process.backoff.max).max(SHORTEST);
        // A start that has failed is tried again, if its policy says so, before its next time.
        self.lives[p].held &= process.schedule.is_none() || self.lives[p].held_by_order;
        if self.lives[p].held {
            return broken("model", format!("p{p} is to be restarted, and held down"));
        }
        let most = expected + expected * process.backoff.jitter / 100;
        if (delay < expected || delay > most + TINY) && !self.lives[p].uncertain {
            return broken("model", format!("p{p}: a back-off of {delay:?}, not {expected:?} to {most:?}"));
        }
        let ruled = self.lives[p].last_exit.is_some_and(|exit| self.is_ruled(p, exit));
        if process.restart == Restart::Never && !ruled {
            return broken("model", format!("p{p} is restarted, and its policy says never"));
        }
        if process.max_restarts.is_some_and(|max| self.restarts_counted(p) >= max) && !self.lives[p].uncertain {
            return broken("model", format!("p{p} is restarted once more than it may be"));
        }
        let (counted, now) = (self.restarts_counted(p), self.now);
        let life = &mut self.lives[p];
        if counted == 0 {
            life.counted_from = now;
        }
        life.counted = counted + 1;
        life.recent += 1;
        life.due = Some(self.now + delay);
        Ok(())
    }

    /// What `max_restarts` is held against.
    fn restarts_counted(&self, p: usize) -> u32 {
        let life = &self.lives[p];
        match self.config.processes[p].restart_window {
            None => life.recent,
            Some(window) if life.counted > 0 && self.now < life.counted_from + window => life.counted,
            Some(_) => 0,
        }
    }

    /// A rule of its `restart_on` has it started again.
    fn is_ruled(&self, p: usize, exit: Exit) -> bool {
        self.config.processes[p].restart_on.iter().any(|rule| match rule.operator {
            Operator::In => rule.values.contains(&exit.code()),
            Operator::NotIn => !rule.values.contains(&exit.code()),
        })
    }

    /// With 0, or with one of its `success_codes`, as which an end by signal n is 128 + n.
    pub(super) fn succeeds(&self, p: usize, exit: Exit) -> bool {
        exit == Exit::Code(0) || self.config.processes[p].success_codes.contains(&exit.code())
    }

    // === its stop ===

    pub(super) fn first_signal(&self, p: usize) -> Signal {
        let process = &self.config.processes[p];
        let own = self.own_stop_signal.filter(|_| self.main() == Some(p));
        let received = self.stop.as_ref().and_then(|s| s.signal);
        let received = received.filter(|signal| process.stop_as_received || own == Some(*signal));
        let signal = received.unwrap_or(Signal::TERM);
        let rewritten = process.rewrite.get(&signal).copied().flatten().unwrap_or(signal);
        process.stop.first().map_or(rewritten, |rung| rung.signal)
    }

    /// The ladder as configured, and all the time there is for what says nothing.
    fn ladder(&self, p: usize) -> Vec<Rung> {
        let ladder = self.config.processes[p].stop.clone();
        if ladder.is_empty() { vec![Rung { signal: self.first_signal(p), wait: None }] } else { ladder }
    }

    /// Its waits fit into its slice, so that none is scaled down.
    pub(super) fn ladder_fits(&self, p: usize, from: At) -> bool {
        let Some(stopping) = &self.lives[p].stopping else { return false };
        if stopping.before && self.stop.is_some() {
            // The container's stop has given it another slice.
            return false;
        }
        let waits: Option<Duration> = self.ladder(p).iter().map(|r| r.wait).sum();
        let time = (stopping.at + stopping.slice).left(from);
        // The diagnosis has a quarter of it in any case, if it asks for so much.
        let diagnosis = self.config.processes[p].diagnose.map_or(Duration::ZERO, |d| d.wait.min(time / 4));
        waits.is_some_and(|waits| waits + diagnosis <= time)
    }

    pub(super) fn check_rung(&mut self, p: usize, signal: Signal) -> Checked {
        let ladder = self.ladder(p);
        let life = &self.lives[p];
        let n = life.sent.len();
        let Some(rung) = ladder.get(n) else {
            return broken("model", format!("{signal} to p{p} after the last of its ladder"));
        };
        if rung.signal != signal {
            return broken("model", format!("{signal} to p{p}, where its ladder says {}", rung.signal));
        }
        let pre_stop = &self.config.processes[p].pre_stop;
        if n == 0
            && let Some(task) = pre_stop
            && self.model.tasks.contains_key(&task.name)
        {
            return broken("model", format!("{signal} to p{p} while its pre_stop is under way"));
        }
        if let Some((_, last)) = life.sent.last() {
            let (waited, wait) = (self.now.since(*last), ladder[n - 1].wait);
            let first = life.sent[0].1;
            let more = life.said.more_until;
            let fits = self.ladder_fits(p, first) && self.room_for_all() && more.is_none();
            let short = self.ran(*last, self.now) + MS < wait.unwrap_or_default() && fits;
            let long = wait.is_some_and(|w| waited > w + MS)
                && !self.stalled_since(*last)
                && more.is_none_or(|more| self.now > more + MS);
            if self.stalled_since(*last) {
                self.checked(13);
            }
            if short || long {
                let what = if short && self.stalled_since(first) { "I13" } else { "model" };
                return broken(what, format!("{signal} to p{p} {waited:?} after the one before, not {wait:?}"));
            }
        }
        self.lives[p].sent.push((signal, self.now));
        Ok(())
    }

    pub(super) fn check_kill_time(&mut self, p: usize, because: KillReason) -> Checked {
        let life = &self.lives[p];
        if because.after != life.sent.last().map(|(signal, _)| *signal) {
            return broken("model", format!("p{p} is killed, as the account says, after {:?}", because.after));
        }
        let since = life.sent.last().map(|(_, at)| *at).or(life.stopping.as_ref().map(|s| s.at)).unwrap_or(self.now);
        if because.waited != self.now.since(since) {
            return broken("model", format!("p{p} is killed, as the account says, after {:?}", because.waited));
        }
        let cut = self.stop.as_ref().is_some_and(|s| s.cut);
        let Some(stopping) = life.stopping.clone().filter(|_| !cut) else { return Ok(()) };
        // In the container's stop a slice may turn out smaller (it is then part of a smaller budget), never larger.
        // Behind the time that it has asked for come the rest of its ladder and the diagnosis.
        let behind: Duration = self.ladder(p).iter().filter_map(|rung| rung.wait).sum();
        let behind = behind + self.config.processes[p].diagnose.map_or(Duration::ZERO, |d| d.wait);
        let more = life.said.more_until.map_or(At::ZERO, |more| more + behind);
        let until = (stopping.at + stopping.slice).max(more);
        if self.now > until && !self.stalled_since(stopping.at) {
            return broken("model", format!("p{p} is killed {:?} late", self.now.since(until)));
        }
        let ladder = self.ladder(p);
        let exhausted = life.sent.len() == ladder.len();
        let squeezed = self.stop.is_some() && stopping.before || life.said.more_until.is_some();
        if !self.at_the_deadline() {
            self.check_ladder_done(p, ladder.len(), ladder.last().and_then(|r| r.wait))?;
        }
        self.check_diagnosed(p, until, squeezed)?;
        let life = &self.lives[p];
        let waited = match (life.sent.first(), life.sent.last(), ladder.last().and_then(|r| r.wait)) {
            (Some(first), Some(last), Some(wait)) => {
                !self.ladder_fits(p, first.1) || self.now.since(last.1) + MS >= wait
            }
            _ => false,
        };
        let due = self.now + MS >= until || (exhausted && waited);
        if !due && !squeezed && !self.all_up() {
            return broken("model", format!("p{p} is killed {:?} before its time is over", until.left(self.now)));
        }
        Ok(())
    }

    /// After the ladder, once, and in time that is the process's own.
    pub(super) fn check_diagnose(&mut self, p: usize, signal: Signal) -> Checked {
        let life = &self.lives[p];
        if self.bodies[p].killed || !self.bodies[p].alive {
            return broken("I9", format!("the diagnostic {signal} to p{p}, which is killed or gone"));
        }
        let diagnose = self.config.processes[p].diagnose.filter(|d| d.signal == signal);
        let (Some(diagnose), None, Some(stopping)) = (diagnose, life.diagnosed, life.stopping.clone()) else {
            return broken("model", format!("a diagnostic {signal} to p{p}, which was to get none, or has had it"));
        };
        let (Some(first), Some(last)) = (life.sent.first(), life.sent.last()) else {
            return broken("model", format!("p{p} is diagnosed before it was asked to stop"));
        };
        let until = stopping.at + stopping.slice;
        let ladder = self.ladder(p);
        let over = life.sent.len() == ladder.len()
            && ladder
                .last()
                .and_then(|r| r.wait)
                .is_some_and(|wait| !self.ladder_fits(p, first.1) || self.now.since(last.1) + MS >= wait);
        let squeezed = self.stop.is_some() && stopping.before || life.said.more_until.is_some();
        if !over && !squeezed && until.left(self.now) > diagnose.wait + MS {
            return broken("model", format!("p{p} is diagnosed {:?} before its time is over", until.left(self.now)));
        }
        // Where it could not have all it asks for, the ladder has had three quarters.
        let quarter = until.left(first.1) / 4;
        if !over && !squeezed && until.left(self.now) > quarter + MS && !self.stalled_since(stopping.at) {
            return broken("model", format!("p{p}'s diagnosis takes more than a quarter of its time from the ladder"));
        }
        self.lives[p].diagnosed = Some(self.now);
        Ok(())
    }

    /// Killed: not before the diagnosis that it was to give, if there was any time for one.
    fn check_diagnosed(&self, p: usize, until: At, squeezed: bool) -> Checked {
        let life = &self.lives[p];
        let Some(diagnose) = self.config.processes[p].diagnose else { return Ok(()) };
        let Some(first) = life.sent.first() else { return Ok(()) };
        let stalled = self.stalled_since(first.1);
        if squeezed || self.all_up() || stalled && !self.room_for_all() || until.left(first.1) < MS * 100 {
            return Ok(());
        }
        let what = if stalled { "I13" } else { "model" };
        match life.diagnosed {
            None => broken(what, format!("p{p} is killed without the diagnosis it was to give")),
            Some(at) if self.ran(at, self.now) + MS < diagnose.wait.min(until.left(at)) => {
                broken(what, format!("p{p} is killed {:?} after it was told to say why", self.now.since(at)))
            }
            Some(_) => Ok(()),
        }
    }

    fn all_up(&self) -> bool {
        self.stop.as_ref().is_some_and(|s| self.now + MS >= self.stopped_by(s))
    }
}

// === hooks and probes ===

impl World {
    pub(super) fn hook_signals(&mut self, p: usize, signal: Signal) -> Checked {
        if self.ordered_signal == Some((p, signal)) {
            return Ok(());
        }
        let is = |task: &Task| task.handler == Handler::Signal { process: p, signal };
        if !tasks(&self.config).any(is) {
            return broken("model", format!("{signal} to p{p} without SIGCONT: stopped, it could not act on it"));
        }
        self.model.hook_signals += 1;
        Ok(())
    }

    pub(super) fn task(&self, what: What) -> Option<&Task> {
        let c = &self.config;
        match what.place {
            Place::Init => c.init.get(what.nth),
            Place::PostStart(p) => c.processes[p.0].post_start.get(what.nth),
            Place::PreStop(p) => c.processes[p.0].pre_stop.as_deref(),
            Place::PostExit(p) => c.processes[p.0].post_exit.get(what.nth),
            Place::Drain => c.drain[what.step].tasks.get(what.nth),
            Place::PostStop => c.post_stop[what.step].tasks.get(what.nth),
            Place::OnChange => c.on_change.get(what.nth)?.act.task(),
            Place::Probe(..) => None,
            Place::Follow => c.sidecar.as_ref()?.follow.as_ref()?.waits.get(what.nth),
        }
    }

    pub(super) fn check_context(&mut self, what: What, limit: Duration, context: &RunContext) -> Checked {
        let restart = |p: usize| self.stop.as_ref().is_none_or(|s| self.lives[p].stopped_before(s.t0));
        let is_stopping = |p: usize| self.lives[p].stopping.is_some();
        // What began before T0 is told what held then.
        if let Place::PostExit(p) = what.place
            && ["process_ended", "restart", "stop_ordered"].contains(&context.reason.name())
            && (context.reason.name() != "process_ended") == (is_stopping(p.0) && restart(p.0))
        {
            return self.check_context_of_end(p.0, what, limit, context);
        }
        let reason = match (what.place, &self.stop) {
            // By which order, where another has followed it.
            (Place::PreStop(p), _) if restart(p.0) && context.reason.name() == "stop_ordered" => "stop_ordered",
            (Place::PreStop(p), _) if restart(p.0) => "restart",
            (_, None) => "start",
            (_, Some(stop)) => match stop.cause.as_ref().expect("a stop has a cause") {
                Cause::Signal { .. } => "signal",
                Cause::DrainRequested { .. } => "drain_ordered",
                Cause::StopRequested { .. } => "stop_ordered",
                Cause::PreStopCalled { .. } => "prestop",
                Cause::ProcessEnded { .. } => "process_ended",
                Cause::StartFailed { .. } => "start_failed",
                Cause::InitFailed { .. } => "init_failed",
                Cause::PostStartFailed { .. } => "post_start_failed",
                Cause::FollowedEnded { .. } => "followed_ended",
                Cause::AllEnded => "all_ended",
                Cause::DependencyFailed { .. } => "dependency_failed",
            },
        };
        if context.reason.name() != reason || context.remaining != limit {
            return broken("model", format!("{what:?} is given {context:?}, not {reason} and {limit:?}"));
        }
        if let Place::PostExit(p) = what.place {
            return self.check_context_of_end(p.0, what, limit, context);
        }
        if context.exit_code.is_some() != (what.place == Place::PostStop) && !what.is_probe() {
            return broken("model", format!("{what:?} is given an exit code: {:?}", context.exit_code));
        }
        Ok(())
    }

    /// How its process has ended, and that it has.
    fn check_context_of_end(&self, p: usize, what: What, limit: Duration, context: &RunContext) -> Checked {
        if self.bodies[p].alive {
            return broken("model", format!("{what:?}, and p{p} lives"));
        }
        let end = self.lives[p].last_exit;
        if context.end != end || context.exit_code != end.map(Exit::code) || context.remaining != limit {
            return broken("model", format!("{what:?} is given {context:?}, after {end:?} with {limit:?}"));
        }
        Ok(())
    }

    pub(super) fn hook_begins(&mut self, run: u64, what: What, limit: Duration) -> Checked {
        if let Place::Probe(p, kind) = what.place {
            return self.probe_begins(run, p.0, kind);
        }
        let Some(task) = self.task(what).cloned() else {
            return broken("contract", format!("{what:?} is nothing that is configured"));
        };
        if !matches!(task.handler, Handler::Exec(_) | Handler::WaitFile(_) | Handler::WaitCommand { .. }) {
            return broken("contract", format!("{what:?} is run, and has nothing to run"));
        }
        let now = self.now;
        let facts = self.model.tasks.entry(task.name.clone()).or_insert(TaskFacts::begin(now, None));
        if facts.flight.is_some() {
            return broken("model", format!("{what:?}: two attempts at once"));
        }
        facts.flight = Some(run);
        let facts = facts.clone();
        let most = match task.retries {
            Retries::Count(n) => n,
            Retries::UntilTimeout => u32::MAX,
        };
        if facts.failures > most || facts.ok {
            return broken("model", format!("{what:?}: attempt {} of {most}", facts.failures + 1));
        }
        let pause = task.retry_delay.max(SHORTEST);
        let waited = now.since(facts.failed_at);
        if facts.failures > 0 && waited != pause && !self.stalled_since(facts.failed_at) {
            return broken("model", format!("{what:?}: tried again after {waited:?}, not {pause:?}"));
        }
        let length = [task.timeout, facts.slice].into_iter().flatten().min();
        let paused = now.since(facts.began).saturating_sub(self.ran(facts.began, now));
        let left = length.map(|l| (facts.began + l + paused).left(now));
        if left.is_some_and(|left| limit > left + TINY) {
            return broken("model", format!("{what:?}: {limit:?} for an attempt, with {left:?} left"));
        }
        Ok(())
    }

    fn probe_begins(&mut self, run: u64, p: usize, kind: ProbeKind) -> Checked {
        let (Some(probe), true) = (probe_of(&self.config, p, kind), self.bodies[p].alive) else {
            return broken("model", format!("a {kind:?} probe of p{p}, which has none or does not live"));
        };
        let period = probe.period.max(SHORTEST);
        let (now, stalled) = (self.now, self.stalled_until);
        let Some(facts) = self.model.probes.get_mut(&(p, kind)) else {
            return broken("model", format!("a {kind:?} probe of p{p} out of its time"));
        };
        if facts.flight.is_some() {
            return broken("model", format!("two {kind:?} probes of p{p} at once"));
        }
        facts.between = now < facts.due;
        let early = facts.early.take();
        let due = early.filter(|early| *early < facts.due).unwrap_or(facts.due);
        if !facts.between {
            facts.due = now + period;
        }
        facts.flight = Some((run, now));
        facts.began = now;
        if now < due || (now > due && stalled <= due) {
            return broken("model", format!("a {kind:?} probe of p{p} at {now:?}, not at {due:?}"));
        }
        Ok(())
    }

    pub(super) fn has_answered(&mut self, run: u64, hook: &Hook, ok: bool) {
        if let Place::Probe(p, kind) = hook.what.place {
            let current = |f: &ProbeFacts| f.flight.is_some_and(|(r, _)| r == run);
            if self.model.probes.get(&(p.0, kind)).is_some_and(current) {
                self.probe_answers(p.0, kind, ok);
            }
            return;
        }
        let Some(name) = self.task(hook.what).map(|t| t.name.clone()) else { return };
        let now = self.now;
        if let Some(facts) = self.model.tasks.get_mut(&name)
            && facts.flight == Some(run)
        {
            facts.flight = None;
            facts.ok |= ok;
            facts.failures += u32::from(!ok);
            facts.failed_at = now;
        }
    }

    /// A probe's attempt counts for nothing; a task's has failed.
    pub(super) fn has_not_been_made(&mut self, run: u64, hook: &Hook) {
        let Place::Probe(p, kind) = hook.what.place else {
            self.has_answered(run, hook, false);
            return;
        };
        let now = self.now;
        if let Some(facts) = self.model.probes.get_mut(&(p.0, kind))
            && facts.flight.is_some_and(|(r, _)| r == run)
        {
            facts.due = facts.due.max(now);
            facts.flight = None;
            facts.between = false;
        }
    }

    fn probe_answers(&mut self, p: usize, kind: ProbeKind, ok: bool) {
        let Some(probe) = probe_of(&self.config, p, kind).cloned() else { return };
        let now = self.now;
        let Some(facts) = self.model.probes.get_mut(&(p, kind)) else { return };
        let period = probe.period.max(SHORTEST);
        let between = std::mem::take(&mut facts.between);
        if between && ok {
            facts.due = now + period;
        }
        facts.succeeded |= ok;
        if !facts.succeeded {
            facts.early = Some(now + facts.pause).filter(|early| *early < facts.due);
            facts.pause = (facts.pause * 2).min(period);
        }
        // One at a time: the next is due at once when this one has taken longer than the period.
        facts.due = facts.due.max(now);
        facts.flight = None;
        if ok {
            (facts.successes, facts.failures) = (facts.successes + 1, 0);
        } else if !between {
            (facts.successes, facts.failures) = (0, facts.failures + 1);
        }
        if facts.successes >= probe.success_threshold {
            facts.passes = Some(true);
        }
        if facts.failures >= probe.failure_threshold {
            facts.passes = Some(false);
        }
        let passes = facts.passes;
        match (kind, passes) {
            (ProbeKind::Startup, Some(true)) => self.started_up(p),
            (ProbeKind::Startup | ProbeKind::Liveness, Some(false)) => self.lives[p].unhealthy = true,
            _ => {}
        }
        self.latch();
    }

    pub(super) fn hook_cancelled(&mut self, run: u64, hook: &Hook, kill: bool) -> Checked {
        let Place::Probe(p, kind) = hook.what.place else {
            let Some(name) = self.task(hook.what).map(|t| t.name.clone()) else { return Ok(()) };
            if let Some(facts) = self.model.tasks.get_mut(&name) {
                facts.flight = facts.flight.filter(|r| *r != run);
            }
            return Ok(());
        };
        let current = self.model.probes.get(&(p.0, kind)).and_then(|f| f.flight).filter(|(r, _)| *r == run);
        let (Some((_, began)), Some(probe)) = (current, probe_of(&self.config, p.0, kind)) else { return Ok(()) };
        if !kill {
            return broken("model", "a probe is asked to end");
        }
        let limit = probe.timeout.max(SHORTEST);
        let now = self.now;
        if let Some(facts) = self.model.probes.get_mut(&(p.0, kind)).filter(|f| f.between && now >= f.due) {
            // It makes room for the one that is due.
            (facts.flight, facts.between) = (None, false);
            return Ok(());
        }
        // Otherwise its process has ended or is told to, or the stop makes it pointless.
        if self.now >= began + limit {
            self.probe_answers(p.0, kind, false);
        }
        Ok(())
    }

    fn drop_hooks_of(&mut self, p: usize) {
        self.model.probes.retain(|(of, _), _| *of != p);
        let process = &self.config.processes[p];
        for task in process.post_start.iter().chain(process.pre_stop.as_deref()) {
            self.model.tasks.remove(&task.name);
        }
    }

    /// At T0 startup and liveness probes end, and what was being done for the start.
    pub(super) fn interrupt_hooks(&mut self) {
        self.model.probes.retain(|(_, kind), _| *kind == ProbeKind::Readiness);
        for process in &self.config.processes {
            for task in &process.post_start {
                self.model.tasks.remove(&task.name);
            }
        }
    }
}

// === what the account says ===

impl World {
    pub(super) fn model_note(&mut self, note: &Note) -> Checked {
        match note {
            Note::StepBegan { name, slice, .. } => self.task_begins(name, Some(slice.0)),
            Note::TaskBegan { place: Place::PostStart(process), name } => {
                let p = index(process);
                if !self.lives[p].started {
                    return broken("model", format!("post_start of p{p}, which is not started"));
                }
                self.task_begins(name, None)
            }
            Note::TaskBegan { name, .. } => self.task_begins(name, None),
            Note::StepEnded { name, result, took, .. } => self.task_ends(name, took.0, result),
            Note::Waiting { name, progress, .. } => self.says(name, progress),
            Note::TaskEnded { place: Place::PostExit(process), name, result: TaskResult::NoTime, .. } => {
                let up = self.stop.is_some();
                self.post_exit_ends(index(process));
                if up { Ok(()) } else { broken("model", format!("{name} has no time, and nobody stops")) }
            }
            Note::TaskEnded { place, name, result, attempts, took } => {
                let attempts = *attempts;
                if attempts == 0 {
                    return broken("model", format!("{name}: ended without an attempt"));
                }
                self.task_ends(name, took.0, result)?;
                if let Place::PostExit(process) = place {
                    self.post_exit_ends(index(process));
                }
                if let Place::PostStart(process) = place {
                    self.post_start_ends(index(process), name, result);
                }
                Ok(())
            }
            Note::Stopping { process, how, slice } => self.stopping_begins(index(process), *how, slice.0),
            Note::BackOff { process, delay, .. } => self.backs_off(index(process), delay.0),
            Note::StartFailed { process, retry_in: Some(Secs(delay)), .. } => self.backs_off(index(process), *delay),
            Note::GaveUp { process, .. } => {
                let p = index(process);
                self.lives[p].gave_up = true;
                let max = self.config.processes[p].max_restarts;
                let counted = self.restarts_counted(p);
                if max.is_none_or(|max| counted < max) && !self.lives[p].uncertain {
                    return broken("model", format!("p{p} is given up after {counted} restarts"));
                }
                Ok(())
            }
            Note::CannotStart { process, .. } => {
                let p = index(process);
                self.lives[p].cannot_start = true;
                if self.bodies[p].run > 0 { broken("model", format!("p{p} has been started")) } else { Ok(()) }
            }
            Note::Unhealthy { process, reason } => {
                let p = index(process);
                if matches!(reason, Fault::ProbeFailed { .. }) && !self.lives[p].unhealthy {
                    return broken("model", format!("p{p} is called unhealthy: {reason}"));
                }
                self.lives[p].unhealthy = true;
                self.check_fault(p, reason)
            }
            Note::NotReady { process, reason: reason @ Fault::SaysStopping } => {
                self.check_fault(index(process), reason)
            }
            Note::Suspended { process, .. } if !self.bodies[index(process)].suspended => {
                broken("model", format!("{process} is called stopped"))
            }
            Note::Ready { process, .. } if !self.ready(index(process)) => {
                broken("model", format!("{process} is called ready"))
            }
            Note::NotReady { process, .. } if self.ready(index(process)) => {
                broken("model", format!("{process} is called not ready"))
            }
            Note::ProbeFailed { process, probe, failures, reason, .. } => {
                let (p, kind) = (index(process), *probe);
                let facts = self.model.probes.get(&(p, kind));
                let began = facts.map(|f| f.began);
                let limit = probe_of(&self.config, p, kind).map(|probe| probe.timeout.max(SHORTEST));
                if let (true, Some(began), Some(limit)) = (matches!(reason, Failure::NoAnswer { .. }), began, limit) {
                    self.check_waited(&format!("{probe:?} of {process}"), began, self.now, limit)?;
                }
                let facts = self.model.probes.get(&(p, kind));
                if facts.is_none_or(|f| f.failures != *failures) {
                    return broken(
                        "model",
                        format!("{process}: {failures} failures are counted: {facts:?}, {reason:?}"),
                    );
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn stopping_begins(&mut self, p: usize, how: How, slice: Duration) -> Checked {
        let before = self.stop.is_none();
        let pre_stop = self.config.processes[p].pre_stop.clone();
        if (how == How::PreStop) != pre_stop.is_some() {
            return broken("model", format!("p{p} is stopped by {how}"));
        }
        // A slice of its own, or all there is.
        let most = match &self.stop {
            None => self.config.grace.saturating_sub(self.config.kill_reserve),
            // A sidecar's turn may come with the end of the grace.
            Some(stop) if stop.cut || stop.began_held && self.config.sidecar.is_some() => stop.end.left(self.now),
            Some(stop) => {
                let slices = self.slices();
                // Where not all fits, what is not essential after it may hold less than planned.
                let held = slices.drain + slices.stop + slices.after_stop;
                let fits = stop.t0 + held <= self.deadline(stop) && !self.stalled_in_stop();
                let fits = fits && !self.config.post_stop.iter().chain(&self.config.drain).any(|s| s.essential);
                if fits { self.stopped_by(stop) } else { self.deadline(stop) }.left(self.now)
            }
        };
        if slice > most {
            return broken("I1", format!("{slice:?} to stop p{p} in, of {most:?}"));
        }
        for task in &self.config.processes[p].post_start {
            self.model.tasks.remove(&task.name);
        }
        if before {
            self.model.probes.retain(|(of, _), _| *of != p);
        }
        self.lives[p].stopping = Some(Stopping { at: self.now, slice, before });
        match pre_stop {
            Some(task) => self.task_begins(&task.name, None),
            None => Ok(()),
        }
    }

    fn post_exit_ends(&mut self, p: usize) {
        self.leader_ended = self.now;
        let left = &mut self.lives[p].post_exit_left;
        *left = left.saturating_sub(1);
    }

    fn post_start_ends(&mut self, p: usize, name: &str, result: &TaskResult) {
        let tasks = &self.config.processes[p].post_start;
        let fatal = |t: &Task| t.name == name && t.on_failure != OnFailure::Ignore;
        let over = !result.ok() && tasks.iter().any(fatal);
        let count = tasks.len();
        let life = &mut self.lives[p];
        life.post_start += 1;
        life.post_start_over = over || life.post_start == count;
        self.latch();
    }

    fn task_begins(&mut self, name: &str, slice: Option<Duration>) -> Checked {
        let now = self.now;
        let facts = self.model.tasks.entry(name.to_string()).or_insert(TaskFacts::begin(now, slice));
        if facts.began == now { Ok(()) } else { broken("model", format!("{name} begins twice")) }
    }

    /// What is new alone, and one line a second at the most.
    fn says(&mut self, name: &str, progress: &Awaited) -> Checked {
        let now = self.now;
        let follow = self.config.sidecar.as_ref().and_then(|s| s.follow.as_ref());
        let follows = follow.is_some_and(|f| f.waits.iter().any(|t| t.name == name));
        if follows && !self.model.tasks.contains_key(name) {
            // It begins without a word, as it is no step.
            self.task_begins(name, None)?;
        }
        let waits = self.task_named(name).is_some_and(|t| t.handler.waits());
        let Some(facts) = self.model.tasks.get_mut(name).filter(|_| waits) else {
            return broken("model", format!("{name}, which does not wait, says {progress:?}"));
        };
        let said = facts.said.replace((progress.clone(), now));
        let too_soon = |(text, at): &(Awaited, At)| text == progress || now.since(*at) < Duration::from_secs(1);
        match said.filter(too_soon) {
            Some(before) => broken("model", format!("{name} says {progress:?} after {before:?}")),
            None => Ok(()),
        }
    }

    fn task_named(&self, name: &str) -> Option<Task> {
        tasks(&self.config).find(|t| t.name == name).cloned()
    }

    /// Everything is cut now, whatever else happens.
    fn at_the_deadline(&self) -> bool {
        self.stop.as_ref().is_some_and(|s| self.now >= self.deadline(s))
    }

    /// A task has ended as the account says.
    fn task_ends(&mut self, name: &str, took: Duration, result: &TaskResult) -> Checked {
        let (Some(task), Some(facts)) = (self.task_named(name), self.model.tasks.remove(name)) else {
            return broken("model", format!("{name}, which is not under way, has ended"));
        };
        let cut = self.stop.as_ref().is_some_and(|s| s.cut);
        let late = self.stalled_since(facts.began);
        if let (TaskResult::TimedOut { .. }, Some(timeout)) = (result, task.timeout)
            && !matches!(task.handler, Handler::Sleep(_))
        {
            self.check_waited(name, facts.began, facts.began + took, timeout)?;
        }
        let wrong = |why: String| broken("model", format!("{name} after {took:?}: {result:?}, and {why}; {facts:?}"));
        let longest = [task_length(&task), facts.slice].into_iter().flatten().min();
        if longest.is_some_and(|l| took > l) && !late {
            return wrong(format!("it had {longest:?}"));
        }
        // Of a step's tasks side by side, the first to end are told of when the last has.
        let c = &self.config;
        let mut steps = c.drain.iter().chain(&c.post_stop).filter(|s| s.tasks.len() > 1).flat_map(|s| &s.tasks);
        let just_now = facts.began + took == self.now && !steps.any(|t| t.name == name);
        let holds = match task.handler {
            Handler::WaitProcess { process, until: Until::Ended } => !self.bodies[process].alive,
            Handler::WaitProcess { process, until: Until::Ready } => self.ready(process),
            _ => false,
        };
        match (result, &task.handler) {
            (TaskResult::Done, Handler::WaitProcess { .. }) if just_now && !holds => wrong("it does not hold".into()),
            // What becomes ready in the very moment of the limit comes too late, and what ends in that of the deadline.
            (
                TaskResult::TimedOut { .. } | TaskResult::Cut { .. },
                Handler::WaitProcess { until: Until::Ended, .. },
            ) if just_now && holds && !late && !cut && !self.at_the_deadline() => wrong("it holds".into()),
            (TaskResult::Failed { .. }, Handler::WaitProcess { .. }) => {
                wrong("a wait for a process cannot fail".into())
            }
            (TaskResult::Done, Handler::Exec(_) | Handler::WaitFile(_)) if !facts.ok => {
                wrong("no attempt succeeded".into())
            }
            (TaskResult::Done, Handler::Sleep(d)) if took != *d && !late => wrong(format!("it is to sleep {d:?}")),
            (TaskResult::Done, Handler::Signal { .. }) => {
                let sent = self.model.hook_signals;
                self.model.hook_signals = sent.saturating_sub(1);
                if sent == 0 { wrong("no signal was sent".into()) } else { Ok(()) }
            }
            (TaskResult::Failed { code, .. }, Handler::Exec(_) | Handler::WaitFile(_)) => match task.retries {
                Retries::Count(n) if facts.failures != n + 1 => wrong(format!("it has {n} retries")),
                Retries::UntilTimeout => wrong("it may try until its timeout".into()),
                Retries::Count(_) if *code != Some(5) => wrong("its exit code was 5".into()),
                Retries::Count(_) => Ok(()),
            },
            (TaskResult::Failed { .. }, Handler::Signal { process, .. }) if self.bodies[*process].alive => {
                wrong(format!("p{process} lives"))
            }
            (TaskResult::Failed { .. }, Handler::Sleep(_)) => wrong("a sleep cannot fail".into()),
            (TaskResult::TimedOut { .. }, _) if task.timeout.is_none_or(|t| took < t) => {
                wrong(format!("its timeout is {:?}", task.timeout))
            }
            (TaskResult::Cut { .. }, _) if facts.slice.is_some_and(|s| took + TINY < s) && !cut => {
                wrong(format!("its slice is {:?}", facts.slice))
            }
            (TaskResult::Done | TaskResult::TimedOut { .. } | TaskResult::Cut { .. }, _)
                if facts.ok && !result.ok() =>
            {
                wrong("it had succeeded".into())
            }
            _ => Ok(()),
        }
    }

    /// `/status` against the facts.
    pub(super) fn check_status(&mut self) -> Checked {
        self.latch();
        self.check_lateness()?;
        let status = self.machine.status(self.now);
        let policy = self.stop.is_some() && self.config.readiness_on_drain == ReadinessOnDrain::Fail;
        for (p, shown) in status.processes.iter().enumerate() {
            let body = &self.bodies[p];
            let given_up = (body.unkillable || self.stalled_in_stop()) && body.killed && shown.pid.is_none();
            if shown.pid != body.alive.then_some(pid(p)) && !given_up {
                return broken("I5", format!("/status says pid {:?} of p{p}: {body:?}", shown.pid));
            }
            // Started up in the very moment of T0 it never gets as far as being ready: nothing is done for a start any more.
            let too_late = self.stop.is_some() && !shown.ready && !self.lives[p].shown_ready;
            self.lives[p].shown_ready |= shown.ready;
            if shown.ready != self.ready(p) && !too_late {
                return broken("I2", format!("/status says p{p} is ready: {}; {:?}", shown.ready, self.lives[p]));
            }
        }
        for p in (0..self.lives.len()).filter(|p| self.config.processes[*p].kind == Some(ProcessKind::Task)) {
            self.lives[p].ever_completed |= self.completed(p);
        }
        // A task that has been done once is done.
        let done = |p: usize| self.config.processes[p].kind == Some(ProcessKind::Task) && self.lives[p].ever_completed;
        // Who does not start by itself need not be up.
        let rests = |p: usize| {
            let process = &self.config.processes[p];
            process.schedule.is_some() || !process.autostart && self.lives[p].held && !self.bodies[p].alive
        };
        let everyone = (0..self.bodies.len()).all(|p| self.ready(p) || self.completed(p) || done(p) || rests(p));
        if status.ready && (policy || self.unready || !everyone) {
            return broken("I2", "/status says ready");
        }
        let no_good = |life: &Life, body: &super::Body| life.unhealthy && body.alive && life.stopping.is_none();
        let cut = self.stop.is_some();
        if let Some(p) = (0..self.lives.len()).find(|p| no_good(&self.lives[*p], &self.bodies[*p]) && !cut) {
            return broken("model", format!("p{p} is unhealthy, and nothing is done"));
        }
        Ok(())
    }

    /// One that says so; else a process with probes, unless somebody waits for its completion (docs/configuration.md).
    pub(super) fn is_service(&self, p: usize) -> bool {
        let waits = |other: &softstop::config::Process| other.after.contains(&(p, Condition::Completed));
        let process = &self.config.processes[p];
        if let Some(kind) = process.kind {
            return kind == ProcessKind::Service;
        }
        let probed = process.notify.is_some()
            || process.startup.is_some()
            || process.readiness.is_some()
            || process.liveness.is_some();
        probed && !self.config.processes.iter().any(waits)
    }

    /// It has ended with success, and for good.
    pub(super) fn completed(&self, p: usize) -> bool {
        let (life, body) = (&self.lives[p], &self.bodies[p]);
        // What even SIGKILL does not end is given up.
        let gone = !body.alive && (!body.group || body.unkillable);
        let gone = gone && life.post_exit_left == 0;
        life.due.is_none() && gone && life.last_exit.is_some_and(|e| self.succeeds(p, e)) && !self.is_service(p)
    }
}
