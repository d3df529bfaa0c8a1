//! From one stage of the stop to the next, and what is due in each. Pure.

use std::time::Duration;

use crate::config::{Step, When};
use crate::lifecycle::action::{Action, KillReason};
use crate::lifecycle::event::{Outcome, ProcId, RunId};
use crate::lifecycle::process::{End, Proc, State, StopStage, Stopping};
use crate::lifecycle::task::{SHORTEST, TaskRun};
use crate::lifecycle::{Machine, Stage as Whole};
use crate::plan::budget::{Part, process_share};
use crate::plan::order::own;
use crate::report::{Note, Secs, StepKind, TaskResult};
use crate::signal::Signal;
use crate::time::At;

use super::{SWEEP, Stage};

impl Machine {
    pub(in crate::lifecycle) fn stop_deadline(&self) -> Option<At> {
        let stop = self.stop.as_ref()?;
        let Whole::Stopping(stage) = &self.stage else {
            return Some(stop.deadline);
        };
        let stage = match stage {
            Stage::Draining(steps) | Stage::PostStop(steps) => {
                steps.tasks.iter().filter_map(TaskRun::next_deadline).min()
            }
            Stage::Drained { until } | Stage::Processes { until } => Some(*until),
            Stage::Stragglers(s) => Some(s.next_deadline(self.now)),
            Stage::Killing { next, until, .. } => return Some((*next).min(*until)),
        };
        stage.into_iter().chain([stop.deadline]).min()
    }

    pub(in crate::lifecycle) fn due_stop(&mut self) -> bool {
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

    pub(super) fn due_process_stops(&mut self) -> bool {
        for i in 0..self.processes.len() {
            if self.due_process_stop(ProcId(i)) {
                return true;
            }
        }
        false
    }

    pub(super) fn due_process_stop(&mut self, id: ProcId) -> bool {
        let now = self.now;
        let State::Stopping(s) = &mut self.processes[id.0].state else {
            return false;
        };
        let (until, ladder_until) = (s.until, s.ladder_until());
        match &mut s.stage {
            StopStage::Killed { until: Some(until) } if now >= *until => self.unkillable(id),
            StopStage::PreStop(task) => {
                task.shorten(until);
                let late = now.since(task.until);
                let changed = task.on_time(now, &self.plan, &mut self.fx);
                self.extend_stop(id, late);
                return self.pre_stop_over(id) || changed;
            }
            // Whatever is still to come of its ladder comes, however late it is: SIGKILL is the last.
            StopStage::Rung { index, until } if now >= (*until).min(ladder_until) => {
                let (next, late) = (*index + 1, now.since((*until).min(ladder_until)));
                self.extend_stop(id, late);
                self.rung(id, next);
            }
            StopStage::Diagnosing { until: end } if now >= (*end).min(until) => self.kill_process(id),
            _ => return false,
        }
        true
    }

    pub(in crate::lifecycle) fn run_done_stop(&mut self, run: RunId, outcome: &Outcome) {
        let now = self.now;
        if let Some(stop) = &mut self.stop {
            stop.interrupted.retain(|(r, _)| *r != run);
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

impl Machine {
    pub(in crate::lifecycle) fn advance_stop(&mut self) -> bool {
        let Whole::Stopping(stage) = &self.stage else {
            return false;
        };
        match stage {
            Stage::Draining(_) => self.advance_drain(),
            Stage::Drained { until } => {
                let until = *until;
                self.advance_drained(until)
            }
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

    pub(super) fn advance_drain(&mut self) -> bool {
        let nobody = self.nobody_runs();
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
        let until = self.stop.as_ref().map_or(At::ZERO, |s| s.hold_until(&self.plan.budget));
        let on_hold = self.stop.as_ref().is_some_and(|s| s.hold) && !nobody && self.now < until;
        if on_hold {
            self.stage = Whole::Stopping(Stage::Drained { until });
            self.note(Note::Drained { up_to: Secs(until.left(self.now)) });
        } else {
            self.begin_processes();
        }
        true
    }

    pub(super) fn advance_drained(&mut self, until: At) -> bool {
        let over = self.now >= until || self.nobody_runs() || self.stop.as_ref().is_none_or(|s| !s.hold);
        if over {
            self.begin_processes();
        }
        over
    }

    /// A sidecar's processes are in another container, and are not seen here.
    fn nobody_runs(&self) -> bool {
        !self.is_sidecar() && !self.processes.iter().any(|p| matches!(p.state, State::Running(_) | State::Stopping(_)))
    }

    fn begin_processes(&mut self) {
        let Some(stop) = &mut self.stop else { return };
        stop.processes_began = Some(self.now);
        stop.fit(&self.plan.budget, Part::Stop, self.now);
        let until = stop.deadline - stop.budget.after_stop();
        self.stage = Whole::Stopping(Stage::Processes { until });
    }

    pub(super) fn advance_post_stop(&mut self) -> bool {
        if self.advance_steps(&|_: &Step| None) {
            return true;
        }
        if !self.steps_over() {
            return false;
        }
        self.enter_killing(false);
        true
    }

    pub(super) fn advance_processes(&mut self, until: At) -> bool {
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
            let left = self.stop_room().unwrap_or_default();
            let p = &mut self.processes[i];
            let limit = process_share(left, own(&self.plan.config.processes[i]), self.plan.order.behind[i]);
            let now = self.now;
            match &mut p.state {
                State::Running(_) => self.stop_process(ProcId(i), limit, false),
                // It was being stopped for a restart: that goes on, now within this budget.
                State::Stopping(s) => s.shorten(now + limit, now, &self.plan.config.processes[i]),
                // Never in the turn its leader ended: whether anything is left of the group shows right after.
                State::Cleaning(_) => self.replan_cleaning(ProcId(i), now + limit),
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
        self.begin_stragglers(until);
        true
    }

    /// The stop's share of the budget is over: what is still there is killed, and no longer waited for one by one.
    pub(super) fn give_up_on_the_rest(&mut self) {
        self.cancel_interrupted();
        for i in 0..self.processes.len() {
            let id = ProcId(i);
            self.kill_process(id);
            let p = &mut self.processes[i];
            let took = Secs(p.stop_began.map_or(Duration::ZERO, |t| self.now.since(t)));
            if let State::Stopping(s) = &mut p.state {
                // Said once.
                s.stage = StopStage::Killed { until: None };
                let process = self.name(id);
                self.note(Note::Stopped { process, exit: None, took, forced: true });
            }
        }
    }

    /// The deadline has come in the middle of something: account for every step, kill everything.
    pub(super) fn out_of_time(&mut self) {
        let alive: Vec<ProcId> = (0..self.processes.len()).filter(|i| self.processes[*i].lives()).map(ProcId).collect();
        let mut names: Vec<String> = alive.iter().map(|id| self.name(*id)).collect();
        // Softstop itself was late: their own SIGKILL was due before.
        let left = matches!(&self.stage, Whole::Stopping(Stage::Stragglers(s)) if s.live());
        if left && !self.a_victim_lingers() {
            self.stragglers_forced();
            names.push("left-over processes".to_string());
        }
        if !names.is_empty() {
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
    pub(super) fn end_steps(&mut self) {
        let (mut kind, mut index) = match &mut self.stage {
            Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) => {
                for task in &mut steps.tasks {
                    task.cut(self.now, &mut self.fx);
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

    /// Init and post_start tasks that were told to end at T0 and have not.
    pub(super) fn cancel_interrupted(&mut self) {
        let Some(stop) = &mut self.stop else { return };
        for (run, what) in std::mem::take(&mut stop.interrupted) {
            self.fx.push(Action::Cancel { run, kill: true });
            let name = self.plan.task(what).map_or_else(String::new, |task| task.name.clone());
            let because = KillReason {
                after: Some(Signal::TERM),
                waited: self.now.since(stop.t0),
                out_of_time: true,
                left_overs: false,
            };
            stop.forced.push(name.clone());
            let looked_like = String::new();
            self.fx.push(Action::Note(Note::Killed {
                process: name,
                because: because.into(),
                looked_like,
                look: None,
            }));
        }
    }

    pub(super) fn enter_killing(&mut self, at_once: bool) {
        let Some(stop) = &mut self.stop else { return };
        if stop.processes_took.is_zero() {
            stop.processes_took = stop.processes_began.map_or(Duration::ZERO, |t| self.now.since(t));
        }
        let until = stop.kill_until(self.now);
        let next = if at_once { self.now } else { self.now + SWEEP };
        self.stage = Whole::Stopping(Stage::Killing { next, until, alone: false });
        // Asked before the first sweep: as a rule there is nobody left to kill.
        if !at_once {
            self.fx.push(Action::Census);
        }
    }

    pub(super) fn finish(&mut self) {
        for p in &mut self.processes {
            if p.lives() {
                p.state = State::Ended(End::Unkillable);
            }
        }
        let code = self.exit_code();
        if let Some(verdict) = self.verdict(code) {
            self.answer_the_rest(&verdict.to_string());
            self.note(Note::Finished(Box::new(verdict)));
        }
        self.fx.push(Action::Finish { code });
        self.stage = Whole::Done;
    }
}
