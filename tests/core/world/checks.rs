//! Every action and note of the machine held against I1 to I7 and I9. I8 is in `exit_code`.

use std::time::Duration;

use softstop::config::{Condition, ReadinessOnDrain, When};
use softstop::facts::{Cause, Place};
use softstop::lifecycle::action::{KillReason, ProbeKind, What};
use softstop::lifecycle::event::RunContext;
use softstop::plan::budget::task_length;
use softstop::report::{Note, TaskResult};
use softstop::signal::Signal;
use softstop::time::At;

use super::orders::MINIMUM_GRACE;
use super::slices::Slices;
use super::{Checked, World, broken};

/// What is killed only when softstop gets to run again has so long to be reaped.
const LATE: Duration = Duration::from_millis(100);
pub const MS: Duration = Duration::from_millis(1);

/// What is known of the stop without asking the machine for it.
#[derive(Clone, Debug, Default, Hash)]
pub struct Stop {
    pub t0: At,
    pub cause: Option<Cause>,
    /// The signal that began it, when one did.
    pub signal: Option<Signal>,
    pub anything_ran: bool,
    /// Drain tasks that have not ended, been cut or been skipped.
    pub drain_left: usize,
    /// When the last of them did.
    pub drain_ended: At,
    /// By the budget's end, or by hand.
    pub cut: bool,
    /// Somebody wants everything killed now.
    pub by_hand: bool,
    /// So often somebody has pressed Ctrl-C for it.
    pub pressed: u32,
    /// SIGKILL went to somebody who needed it.
    pub killed: bool,
    /// Or to everybody, at the very end.
    pub swept: bool,
    /// The code of the first that failed from T0 on.
    pub first_failure: Option<u8>,
    /// When something ended last: a process, a hook, a step.
    pub last_end: At,
    /// Somebody asked for it.
    pub requested: bool,
    /// After `softstop drain`: the processes go on until somebody wants more.
    pub held: bool,
    /// It was so from the beginning.
    pub began_held: bool,
    /// When softstop is to be gone.
    pub end: At,
}

/// `p3` of a note: 3.
pub fn index(name: &str) -> usize {
    name[1..].parse().expect("a process is named p and its number")
}

impl World {
    pub(super) fn checked(&mut self, invariant: usize) {
        self.counts[invariant] += 1;
    }

    pub(super) fn something_ended(&mut self) {
        if let Some(stop) = &mut self.stop {
            stop.last_end = self.now;
        }
    }

    /// softstop could not act in time at some moment since `since`.
    pub(super) fn stalled_since(&self, since: At) -> bool {
        self.stalled_until > since
    }

    pub(super) fn stalled_in_stop(&self) -> bool {
        self.stop.as_ref().is_some_and(|s| self.stalled_since(s.t0))
    }

    /// The processes' stop has had all of its slice.
    fn time_is_up(&self) -> bool {
        self.stop.as_ref().is_some_and(|s| s.cut || self.now >= self.stopped_by(s))
    }

    fn end(&self) -> Option<At> {
        let late = if self.stalled_in_stop() { self.stalled_until + LATE } else { At::ZERO };
        self.stop.as_ref().map(|s| s.end.max(late))
    }

    // === processes ===

    pub(super) fn check_spawn(&mut self, p: usize) -> Checked {
        self.checked(6);
        if self.stop.is_some() {
            return broken("I6", format!("p{p} started after T0"));
        }
        if self.bodies[p].alive {
            return broken("contract", format!("p{p} started twice"));
        }
        let after =
            if self.check_dependencies_of_order(p) { Vec::new() } else { self.config.processes[p].after.clone() };
        for (on, condition) in &after {
            let holds = match condition {
                // Whoever has completed has been started, whatever its probe had to say.
                Condition::Started => self.lives[*on].ever_started || self.completed(*on),
                Condition::Ready => self.lives[*on].ever_ready,
                // What even SIGKILL does not end is given up at the machine's time: this may be the first that is seen of it.
                Condition::Completed => {
                    self.lives[*on].ever_completed |= self.completed(*on);
                    self.lives[*on].ever_completed
                }
            };
            if !holds {
                return broken("model", format!("p{p} started, and p{on} is not {condition:?}"));
            }
        }
        self.check_restart(p)
    }

    fn must_live(&mut self, p: usize, why: &str) -> Checked {
        self.checked(9);
        if self.bodies[p].alive { Ok(()) } else { broken("I9", format!("{why} to p{p}, which has been reaped")) }
    }

    pub(super) fn check_forward(&mut self, p: usize, signal: Signal) -> Checked {
        self.must_live(p, "a forwarded signal")?;
        let rewritten =
            self.passed_on != signal || self.config.processes[p].rewrite.values().any(|to| *to == Some(signal));
        if [Signal::TERM, Signal::CHLD, Signal::URG, Signal::KILL].contains(&signal) && !rewritten {
            return broken("model", format!("{signal} forwarded"));
        }
        if signal != self.passed_on {
            return broken("model", format!("{signal} forwarded, not {}", self.passed_on));
        }
        if self.main() == Some(p) {
            Ok(())
        } else {
            broken("model", format!("{signal} forwarded to p{p}, which is not main"))
        }
    }

    pub(super) fn check_signal(&mut self, p: usize, signal: Signal, ladder: bool) -> Checked {
        self.must_live(p, &signal.to_string())?;
        if !ladder {
            // Only a hook's signal goes without SIGCONT: what a ladder sends must reach a stopped process too.
            return self.hook_signals(p, signal);
        }
        if self.bodies[p].killed {
            return broken("model", format!("{signal} to p{p} after SIGKILL"));
        }
        self.check_turn(p, &format!("{signal}"))?;
        self.check_rung(p, signal)
    }

    /// I3 and I4: whether it is this process's turn to be stopped.
    fn check_turn(&mut self, p: usize, by: &str) -> Checked {
        let Some(stop) = &self.stop else { return Ok(()) };
        if self.lives[p].stopped_before(stop.t0) {
            return Ok(());
        }
        let (drain_left, cut, up) = (stop.drain_left, stop.cut, self.time_is_up());
        self.checked(3);
        let draining = self.hooks.values().any(|h| h.what.place == Place::Drain && h.cancelled.is_none());
        if !cut && (drain_left > 0 || draining) {
            return broken("I3", format!("{by} to p{p} with {drain_left} drain tasks to go"));
        }
        self.check_hold(p, by)?;
        for d in 0..self.bodies.len() {
            if d == p || !self.config.processes[d].after.iter().any(|(on, _)| *on == p) {
                continue;
            }
            self.checked(4);
            let body = &self.bodies[d];
            let hooks = self.lives[d].post_exit_left > 0;
            if (body.alive || body.group || hooks) && !(up || body.unkillable) {
                return broken("I4", format!("{by} to p{p} while p{d}, which needs it, lives"));
            }
        }
        Ok(())
    }

    pub(super) fn check_kill(&mut self, p: usize, because: KillReason) -> Checked {
        if let Some(stop) = &mut self.stop {
            stop.killed = true;
        }
        if !because.stragglers {
            self.must_live(p, "SIGKILL")?;
            if self.bodies[p].killed {
                return broken("model", format!("SIGKILL to p{p} twice"));
            }
            return self.check_kill_time(p, because);
        }
        self.checked(9);
        if self.bodies[p].alive || !self.bodies[p].group {
            return broken("I9", format!("SIGKILL to the stragglers of p{p}, of which there are none"));
        }
        if !std::mem::take(&mut self.lives[p].group_signalled) {
            return broken("model", format!("SIGKILL to the stragglers of p{p}, which were not asked to stop"));
        }
        Ok(())
    }

    pub(super) fn check_group_signal(&mut self, p: usize, signal: Signal) -> Checked {
        self.checked(9);
        if self.zombie != Some(p) && !self.bodies[p].group {
            return broken("I9", format!("{signal} to the group of p{p}, which is gone"));
        }
        let own = self.config.processes[p].stragglers.or(self.config.stragglers).signal;
        let wanted = if self.bodies[p].killed { Signal::KILL } else { own.unwrap_or(self.first_signal(p)) };
        let wanted = self.lives[p].group_signal.unwrap_or(wanted);
        self.lives[p].group_signal = Some(signal);
        if signal != wanted {
            return broken("model", format!("{signal} to what is left of p{p}, not {wanted}"));
        }
        self.lives[p].group_signalled = true;
        Ok(())
    }

    pub(super) fn check_stragglers(&mut self, signal: Signal) -> Checked {
        let unsignalled = self.stragglers.iter().any(|s| !s.signalled && !s.gone && !s.absent);
        let wanted = self.config.stragglers.signal.unwrap_or(Signal::TERM);
        self.check_straggler_times(signal)?;
        let Some(stop) = &mut self.stop else {
            return broken("contract", "a signal to the stragglers of a container that goes on");
        };
        stop.killed |= signal == Signal::KILL;
        let draining = stop.drain_left > 0 && !stop.cut;
        let up = self.time_is_up();
        self.checked(9);
        match signal {
            // However late softstop is.
            Signal::KILL if unsignalled => broken("I13", "SIGKILL to stragglers that were not asked to stop"),
            Signal::KILL => Ok(()),
            _ if draining => broken("I3", "a stop signal to stragglers before the drain is over"),
            _ if self.bodies.iter().any(|b| b.alive && !b.unkillable) && !up => {
                broken("I4", "a stop signal to stragglers while a process lives")
            }
            signal if signal == wanted => Ok(()),
            other => broken("model", format!("{other} to stragglers")),
        }
    }

    /// `[stragglers]`, where the budget has room for it: a wait before the signal, a time after it.
    fn check_straggler_times(&mut self, signal: Signal) -> Checked {
        let Some(stop) = &self.stop else { return Ok(()) };
        let stated = self.config.stragglers;
        let wait = stated.wait.unwrap_or_default();
        let ended = stated.timeout_when_ended.unwrap_or(Duration::from_secs(3));
        // Whoever obeys at once is seen to.
        let timeout = if stop.requested { stated.timeout } else { Some(ended) }.map(|t| t.max(MS * 10));
        let until = self.stopped_by(stop);
        let began = self.leader_ended.max(stop.t0).max(stop.drain_ended);
        let room = until.left(began);
        let essential = self.config.post_stop.iter().any(|s| s.essential);
        let fits = wait * 4 / 3 + timeout.unwrap_or_default() + Duration::from_secs(1) < room;
        let unkillable = self.bodies.iter().any(|b| b.unkillable);
        if !fits || unkillable || essential || stop.cut || stop.began_held || self.stalled_in_stop() {
            self.stragglers_asked.get_or_insert(self.now);
            return Ok(());
        }
        let Some(asked) = self.stragglers_asked else {
            self.stragglers_asked = Some(self.now);
            let early = (began + wait).left(self.now);
            if !early.is_zero() {
                return broken("model", format!("stragglers are signalled {early:?} before their wait is over"));
            }
            return Ok(());
        };
        let had = self.now.since(asked);
        match timeout {
            Some(timeout) if signal == Signal::KILL && had + MS < timeout => {
                broken("model", format!("stragglers are killed after {had:?}, not {timeout:?}"))
            }
            Some(timeout) if had > timeout + MS => {
                broken("model", format!("stragglers are sent {signal} after {had:?}, and have {timeout:?}"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_sweep(&mut self) -> Checked {
        self.checked(5);
        let early = self.stop.as_ref().is_none_or(|s| !s.cut && self.now < self.deadline(s));
        let Some(stop) = &mut self.stop else { return broken("contract", "a sweep before the stop") };
        stop.swept = true;
        // Before its time only what has had its own: the stages are over, and somebody is left all the same.
        if early && self.bodies.iter().any(|b| b.alive && !b.killed) {
            return broken(
                "model",
                "SIGKILL to everything before the deadline, with a process that was not told to end",
            );
        }
        Ok(())
    }

    // === hooks ===

    pub(super) fn check_run(&mut self, run: u64, what: What, limit: Duration, context: &RunContext) -> Checked {
        if let Some(end) = self.end() {
            let allowed = match what.place {
                Place::Init | Place::PostStart(_) | Place::OnChange | Place::Follow => false,
                Place::Probe(_, kind) => kind == ProbeKind::Readiness,
                Place::PreStop(_) | Place::PostExit(_) | Place::Drain | Place::PostStop => true,
            };
            self.checked(6);
            if !allowed {
                return broken("I6", format!("{what:?} begun after T0"));
            }
            self.checked(1);
            if !what.is_probe() && self.now + limit > end {
                return broken("I1", format!("{what:?} may run past the grace"));
            }
        }
        if let Place::PreStop(p) = what.place {
            self.check_turn(p.0, "pre_stop")?;
        }
        if what.place == Place::PostStop && (self.bodies.iter().any(|b| b.alive && !b.unkillable) && !self.time_is_up())
        {
            return broken("model", "post_stop while a process lives");
        }
        self.check_context(what, limit, context)?;
        self.hook_begins(run, what, limit)
    }

    pub(super) fn check_cancel(&mut self, run: u64, kill: bool) -> Checked {
        self.checked(9);
        let Some(hook) = self.hooks.get(&run) else {
            return broken("I9", format!("run {run}, which is over, is cancelled"));
        };
        match hook.cancelled {
            Some(before) if before || !kill => broken("contract", format!("run {run} is cancelled twice")),
            _ => {
                let hook = hook.clone();
                self.hook_cancelled(run, &hook, kill)
            }
        }
    }

    // === notes ===

    pub(super) fn check_note(&mut self, note: &Note) -> Checked {
        let text = note.to_string();
        if text.contains('\n') || text.is_empty() {
            return broken("model", format!("not one line: {text:?}"));
        }
        if matches!(note, Note::TaskEnded { .. } | Note::StepEnded { .. } | Note::StepSkipped { .. }) {
            self.something_ended();
        }
        match note {
            Note::TaskEnded { place: Place::Init, .. } => self.init_over += 1,
            Note::StopBegan { cause, requested, .. } => {
                self.heard(cause);
                self.stop_began(cause, *requested)?;
            }
            Note::StopAgain { .. } if self.stop.is_none() => return broken("contract", "asked again before T0"),
            Note::StopAgain { cause, effect } => {
                self.heard(cause);
                self.asked_again(cause, *effect)?;
            }
            Note::OutOfTime { .. } => {
                let early = !self.time_is_up();
                self.stop.iter_mut().for_each(|s| s.cut = true);
                if early {
                    return broken("I7", "out of time, and it is not");
                }
            }
            Note::Finished(result) => {
                let parts = [result.drain_took, Some(result.processes_took), result.post_stop_took];
                let sum: Duration = parts.into_iter().flatten().map(|part| part.0).sum();
                if sum > result.took.0 {
                    return broken("model", format!("parts of {sum:?} in a stop of {:?}", result.took.0));
                }
            }
            // A hook of the start that would not end; processes are killed by an action of their own.
            Note::Killed { .. } => self.stop.iter_mut().for_each(|s| s.killed = true),
            Note::StepEnded { kind: Place::Drain, .. } | Note::StepSkipped { kind: Place::Drain, .. } => {
                let Some(stop) = &mut self.stop else { return broken("contract", "a drain before the stop") };
                if stop.drain_left == 0 {
                    return broken("model", "more drain tasks have ended than there are");
                }
                stop.drain_left -= 1;
                stop.drain_ended = self.now;
            }
            _ => {}
        }
        self.check_reserve(note)?;
        self.check_essential(note)?;
        self.model_note(note)
    }

    fn heard(&mut self, cause: &Cause) {
        if matches!(cause, Cause::Signal { .. }) {
            self.understood = Some(super::signals::Meaning::Stop);
        }
    }

    fn stop_began(&mut self, cause: &Cause, requested: bool) -> Checked {
        if self.stop.is_some() {
            return broken("contract", "the stop began twice");
        }
        let signal = World::signal_of(cause);
        if requested != (signal.is_some() || World::is_by_order(cause)) {
            return broken("model", format!("requested: {requested}, by {cause:?}"));
        }
        if let Cause::ProcessEnded { process, .. } = cause
            && self.lives[index(process)].held
        {
            return broken("model", format!("{process} is held down, and its end is taken for the container's"));
        }
        let drain_left = self.config.drain.iter().map(|s| s.tasks.len()).sum();
        let mut stop = Stop {
            t0: self.now,
            cause: Some(cause.clone()),
            signal,
            drain_left,
            last_end: self.now,
            ..Stop::default()
        };
        (stop.requested, stop.held) = (requested, World::is_held(cause));
        stop.began_held = stop.held;
        stop.pressed = u32::from(cause.by_hand());
        // A sidecar's own turn may come with the end of the grace, and leaves it two seconds.
        let turn = if self.config.sidecar.is_some() && stop.held { MINIMUM_GRACE } else { Duration::ZERO };
        stop.end = stop.t0 + self.config.grace + turn;
        self.lives.iter_mut().for_each(|l| l.ordered = false);
        let up = self.config.sidecar.is_some() && self.begun && self.init_over == self.config.init.len();
        stop.anything_ran = up || self.lives.iter().any(|l| l.ever_ran);
        self.first_failure_of(&mut stop);
        self.stop = Some(stop);
        self.interrupt_hooks();
        Ok(())
    }

    /// I7, from the settings alone: what was stated is held for exactly that step, and a quarter for who stops.
    fn check_reserve(&mut self, note: &Note) -> Checked {
        let Some(stop) = &self.stop else { return Ok(()) };
        if stop.cut || self.stalled_in_stop() {
            return Ok(());
        }
        // What a sidecar's stop holds against the drain is the main container's; its own turn may come last of all.
        let drains =
            matches!(note, Note::StepBegan { kind: Place::Drain, .. } | Note::StepSkipped { kind: Place::Drain, .. });
        if self.config.sidecar.is_some() && stop.began_held && !drains {
            return Ok(());
        }
        let c = self.config.clone();
        let Slices { deadline, drain, pool, stated, .. } = self.slices();
        if drain + stated > deadline {
            return Ok(());
        }
        let (kind, name, slice) = match note {
            Note::StepBegan { kind, name, slice, .. } => (*kind, name, slice.0),
            Note::StepSkipped { kind, name, result: TaskResult::NoTime } => (*kind, name, Duration::ZERO),
            Note::Stopping { process, .. } => {
                let p = index(process);
                let first = !c.processes.iter().any(|other| other.after.iter().any(|(on, _)| *on == p));
                if !first || self.lives[p].stopped_before(stop.t0) {
                    return Ok(());
                }
                let left = (stop.t0 + (deadline - stated)).left(self.now);
                self.checked(7);
                return if left + MS >= pool {
                    Ok(())
                } else {
                    broken("I7", format!("{left:?} to stop in, of {pool:?} held"))
                };
            }
            _ => return Ok(()),
        };
        let place: Vec<usize> = name.split(' ').filter_map(|word| word.parse().ok()).collect();
        let step = if kind == Place::Drain { &c.drain[place[0]] } else { &c.post_stop[place[0]] };
        let requested = stop.requested;
        if kind == Place::Drain && matches!(note, Note::StepBegan { .. }) && !requested && step.when == When::Requested
        {
            return broken("model", format!("{name:?} begun, and nobody asked for the stop"));
        }
        let silent = c.post_stop.iter().filter(|s| s.reserve.is_none()).count() as u32;
        let held = match (step.reserve, kind) {
            (Some(reserve), _) => reserve,
            (None, Place::Drain) => Duration::ZERO,
            (None, _) => pool / 2 / silent,
        };
        let held = task_length(&step.tasks[place[1]]).map_or(held, |t| t.min(held));
        self.checked(7);
        if slice + MS < held {
            return broken("I7", format!("{slice:?} for {name:?}, for which {held:?} is held"));
        }
        Ok(())
    }

    // === what holds after every step ===

    pub(super) fn check_state(&mut self, stopping_before: bool) -> Checked {
        let stopping = self.machine.stopping();
        if stopping != self.stop.is_some() || (stopping_before && !stopping) {
            return broken("contract", "a stop that nobody was told of, or one taken back");
        }
        self.check_deadline()?;
        self.check_promised_end()?;
        if self.spawning.is_none() {
            self.look_for_the_gone()?;
        }
        if stopping && self.config.readiness_on_drain == ReadinessOnDrain::Fail {
            self.checked(2);
            if self.machine.ready() {
                return broken("I2", "ready after the stop request");
            }
        }
        if self.spawning.is_none() && self.finished.is_none() { self.check_status() } else { Ok(()) }
    }

    fn check_deadline(&mut self) -> Checked {
        if self.finished.is_some() {
            return match self.machine.next_deadline() {
                Some(at) => broken("contract", format!("a timer after the end: {at:?}")),
                None => Ok(()),
            };
        }
        let Some(end) = self.end() else { return Ok(()) };
        self.checked(1);
        match self.machine.next_deadline() {
            None => broken("I1", "stopping, and no deadline is set"),
            Some(at) if at > end => broken("I1", format!("next deadline {at:?} is after the end, {end:?}")),
            Some(_) if self.now > end => broken("I1", "still running after T0 + grace"),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn check_end(&mut self, code: u8) -> Checked {
        let Some(stop) = self.stop.clone() else { return broken("contract", "finished without a stop") };
        let grace = self.config.grace;
        if let Some((ask, order)) = self.asks.first_key_value() {
            return broken("contract", format!("{order} (ask {ask}) was never answered"));
        }
        self.checked(1);
        if self.end().is_some_and(|end| self.now > end) {
            return broken("I1", format!("{:?} after T0, with {grace:?} grace", self.now.since(stop.t0)));
        }
        // A sidecar whose turn never came has waited for it.
        let waited = self.config.sidecar.is_some() && stop.held;
        if !waited && self.alone() && self.hooks.is_empty() && self.now > stop.last_end + MS && !self.stalled_in_stop()
        {
            return broken("model", format!("everything was over at {:?}", stop.last_end));
        }
        self.checked(5);
        if !self.alone() && !stop.swept {
            return broken("I5", "something is left alive that no SIGKILL was sent to");
        }
        let deadline = self.deadline(&stop);
        let unkillable = self.bodies.iter().any(|b| b.unkillable) || self.stragglers.iter().any(|s| s.unkillable);
        let excused = stop.cut || unkillable;
        if !self.alone() && self.now < deadline && !excused {
            return broken("I5", "ended early with something left alive");
        }
        self.check_exit_code(&stop, code)
    }
}
