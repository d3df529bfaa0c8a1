//! From one stage of the stop to the next. Pure.

use super::{Forced, SWEEP, Stage, Steps, Stop};
use crate::config::{Step, When};
use crate::facts::{Needless, Place, Who};
use crate::lifecycle::action::{Action, KillReason};
use crate::lifecycle::core::Core;
use crate::lifecycle::event::ProcId;
use crate::lifecycle::process::{Input, State};
use crate::lifecycle::processes::Fact;
use crate::plan::budget::{Part, process_share};
use crate::plan::order::own;
use crate::report::{Note, Secs, TaskResult};
use crate::signal::Signal;
use crate::time::At;

impl Stop {
    /// What follows without any time passing; `true` when something changed.
    #[inline(never)] // its frame is not its caller's
    pub fn advance(&mut self, core: &mut Core) -> bool {
        match self.stage {
            Stage::Steps(Steps { kind: Place::Drain, .. }) => self.advance_drain(core),
            Stage::Steps(_) => self.advance_post_stop(core),
            Stage::Drained { until } => self.advance_drained(until, core),
            Stage::Processes { until } => self.advance_processes(until, core),
            Stage::Stragglers(_) => self.advance_stragglers(core),
            Stage::Killing { until, alone, .. } => self.advance_killing(until, alone, core),
            Stage::Over => false,
        }
    }

    fn advance_drain(&mut self, core: &mut Core) -> bool {
        let nobody = core.nobody_runs();
        let skip = match (self.drain_ended, self.hurried, nobody) {
            (true, _, _) => Some(Needless::DrainEnded),
            (false, true, _) => Some(Needless::Hurried),
            (false, false, true) => Some(Needless::NobodyRuns),
            (false, false, false) => None,
        };
        let even_always = self.hurried || self.drain_ended;
        let requested = self.cause.requested();
        let skip = move |step: &Step| match (step.when, skip) {
            (When::Always, Some(why)) => even_always.then_some(why),
            (When::Requested, Some(why)) => Some(why),
            (When::Requested, None) if !requested => Some(Needless::NotRequested),
            _ => None,
        };
        if self.advance_steps(&skip, core) {
            return true;
        }
        if !self.steps_over(core) {
            return false;
        }
        let until = self.hold_until(&core.plan.budget);
        if self.hold && !nobody && core.now < until {
            self.stage = Stage::Drained { until };
            core.note(Note::Drained { up_to: Secs(until.left(core.now)) });
        } else {
            self.begin_processes(core);
        }
        true
    }

    fn advance_drained(&mut self, until: At, core: &mut Core) -> bool {
        let over = core.now >= until || core.nobody_runs() || !self.hold;
        if over {
            self.begin_processes(core);
        }
        over
    }

    fn begin_processes(&mut self, core: &mut Core) {
        core.processes.begin_stop();
        self.record.processes_began = Some(core.now);
        self.fit(&core.plan.budget, Part::Stop, core.now);
        self.stage = Stage::Processes { until: self.deadline - self.budget.after_stop() };
    }

    fn advance_post_stop(&mut self, core: &mut Core) -> bool {
        if self.advance_steps(&|_: &Step| None, core) {
            return true;
        }
        let over = self.steps_over(core);
        if over {
            self.enter_killing(false, core);
            // Asked before the first sweep: as a rule there is nobody left to kill.
            core.fx.push(Action::Census);
        }
        over
    }

    fn advance_processes(&mut self, until: At, core: &mut Core) -> bool {
        let mut changed = false;
        let mut stoppable = core.processes.take_stoppable();
        while let Some(id) = stoppable.pop_first().map(ProcId) {
            let p = &core.processes[id.0];
            let early = core.processes.has_dependents(id.0) || matches!(p.state, State::Starting);
            if early || p.ended() || p.stop_began.is_some() {
                continue;
            }
            let left = self.room(core.now).unwrap_or_default();
            let limit = process_share(left, own(&core.plan.config.processes[id.0]), core.plan.order.behind[id.0]);
            changed |= core.take(id, Input::Stop { limit }, Some(self)).any;
        }
        if changed {
            return true;
        }
        // Once every leader has ended, what they leave behind, in whatever session, shares the rest of the time.
        let gone = core.processes.all(Fact::Gone);
        let over = core.now >= until || self.interrupted.is_empty() && gone;
        if over {
            // What is still there is killed, and no longer waited for one by one.
            self.cancel_interrupted(core);
            for id in core.ids() {
                core.take(id, Input::GiveUp, Some(self));
            }
            self.begin_stragglers(until, core);
        }
        over
    }

    /// When something of it is due, but for tasks: the deadline, or the end of a stage, upon which it goes on by itself.
    pub fn next_deadline(&self, now: At) -> Option<At> {
        match &self.stage {
            Stage::Steps(_) => Some(self.deadline),
            Stage::Drained { until } | Stage::Processes { until } => Some(self.deadline.min(*until)),
            Stage::Stragglers(s) => Some(self.deadline.min(s.next_deadline(now))),
            Stage::Killing { next, until, .. } => Some(*until.min(next)),
            Stage::Over => None,
        }
    }

    /// What is due of it then; `true` when something changed.
    pub fn on_time(&mut self, core: &mut Core) -> bool {
        match &mut self.stage {
            Stage::Over => false,
            Stage::Killing { next, until, alone } => {
                let due = core.now >= *next && core.now < *until && !*alone;
                if due {
                    *next = core.now + SWEEP;
                    // Once more if somebody is left then.
                    core.fx.push(Action::KillEverything);
                    core.fx.push(Action::Census);
                }
                due
            }
            _ if core.now >= self.deadline => {
                self.out_of_time(core);
                true
            }
            _ => false,
        }
    }

    /// The deadline has come in the middle of something: account for every step, kill everything.
    fn out_of_time(&mut self, core: &mut Core) {
        let alive: Vec<ProcId> = core.ids().filter(|id| core.processes[id.0].lives()).collect();
        let mut still_running: Vec<Who> = alive.iter().map(|id| Who::Named(core.name(*id))).collect();
        // Softstop itself was late: their own SIGKILL was due before.
        let left = matches!(&self.stage, Stage::Stragglers(s) if s.live());
        if left && !core.processes.iter().any(|p| p.lingers()) {
            self.record.forced.push(Forced::Stragglers);
            still_running.push(Who::Stragglers);
        }
        if !still_running.is_empty() {
            core.note(Note::OutOfTime { still_running });
        }
        self.end_steps(core);
        self.cancel_interrupted(core);
        for id in alive {
            core.take(id, Input::Kill, Some(self));
        }
        self.enter_killing(true, core);
    }

    /// Cut the step under way; the steps that were still to come get no time.
    fn end_steps(&mut self, core: &mut Core) {
        let (mut kind, mut index) = (Place::PostStop, 0);
        if let Stage::Steps(steps) = &mut self.stage {
            steps.tasks.iter_mut().for_each(|task| task.cut(core.now, &mut core.fx));
            let under_way = !steps.tasks.is_empty();
            (kind, index) = (steps.kind, steps.index + usize::from(under_way));
            if under_way {
                self.step_ended(core);
            }
        }
        loop {
            if index < core.plan.steps(kind).len() {
                self.step_skipped(kind, index, &TaskResult::NoTime, core);
                index += 1;
            } else if kind == Place::Drain {
                (kind, index) = (Place::PostStop, 0);
            } else {
                return;
            }
        }
    }

    /// Init and post_start tasks that were told to end at T0 and have not.
    fn cancel_interrupted(&mut self, core: &mut Core) {
        for (run, what) in std::mem::take(&mut self.interrupted) {
            core.fx.push(Action::Cancel { run, kill: true });
            let process = core.plan.task_name(what);
            let (after, waited) = (Some(Signal::TERM), core.now.since(self.t0));
            let because = KillReason { after, waited, out_of_time: true, stragglers: false };
            self.record.forced.push(Forced::Task(what));
            core.note(Note::Killed { process, because, appeared_as: String::new(), look: None });
        }
    }

    fn enter_killing(&mut self, at_once: bool, core: &Core) {
        self.record.processes_are_over(core.now);
        let next = if at_once { core.now } else { core.now + SWEEP };
        self.stage = Stage::Killing { next, until: self.kill_until(core.now), alone: false };
    }

    fn advance_killing(&mut self, until: At, alone: bool, core: &mut Core) -> bool {
        let over = alone || core.now >= until;
        if over && !alone {
            // There may have been no time for a sweep: no kill_reserve, or softstop itself was late (suspended).
            core.fx.push(Action::KillEverything);
        }
        if over {
            self.finish(core);
        }
        over
    }

    fn finish(&mut self, core: &mut Core) {
        for id in core.ids() {
            core.take(id, Input::Leave, None);
        }
        let code = self.exit_code(core);
        let result = self.result(code, core);
        self.answer_the_rest(&result, core);
        core.note(Note::Finished(Box::new(result)));
        core.fx.push(Action::Finish { code });
        self.stage = Stage::Over;
    }
}
