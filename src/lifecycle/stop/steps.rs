//! The walk over `[[drain]]` or `[[post_stop]]`. Pure.

use std::time::Duration;

use super::{Stage, Steps, Stop};
use crate::config::{OnFailure, Step};
use crate::facts::{Needless, Place};
use crate::lifecycle::action::What;
use crate::lifecycle::core::Core;
use crate::lifecycle::event::ProcId;
use crate::lifecycle::task::TaskRun;
use crate::plan::budget::{longest, task_length};
use crate::report::{Note, Secs, StepReport, TaskResult};
use crate::time::At;

impl Steps {
    pub(super) fn new(kind: Place, now: At) -> Steps {
        Steps { kind, index: 0, tasks: Vec::new(), slice: Duration::ZERO, began: now }
    }

    fn what(&self, nth: usize) -> What {
        // No step has a process.
        What { place: self.kind.map(|()| ProcId(0)), step: self.index, nth }
    }
}

impl Stop {
    pub(super) fn steps_over(&self, core: &Core) -> bool {
        let Stage::Steps(steps) = &self.stage else { return true };
        steps.tasks.is_empty() && steps.index >= core.plan.steps(steps.kind).len()
    }

    /// Begin, end or skip steps; `true` when something changed. `skip` says why a step is not (or no longer) to be done.
    pub(super) fn advance_steps(&mut self, skip: &dyn Fn(&Step) -> Option<Needless>, core: &mut Core) -> bool {
        let plan = std::rc::Rc::clone(&core.plan);
        let Stage::Steps(steps) = &mut self.stage else { return false };
        let Some(step) = plan.steps(steps.kind).get(steps.index) else { return false };
        if steps.tasks.is_empty() {
            return self.begin_step(step, skip(step), core);
        }
        if let Some(why) = skip(step) {
            for task in &mut steps.tasks {
                let _killed = task.cancel(why, true, core.now, &mut core.fx);
            }
        }
        let over = steps.tasks.iter().all(|t| t.result().is_some());
        if over {
            self.step_ended(core);
        }
        over
    }

    fn begin_step(&mut self, step: &Step, skipped: Option<Needless>, core: &mut Core) -> bool {
        let (now, planned) = (core.now, &core.plan.budget);
        let Stage::Steps(steps) = &self.stage else { return false };
        let part = steps.part();
        let (room, deadline) = (self.room_for(part, planned, now), self.deadline_of(part, planned));
        let Stage::Steps(steps) = &mut self.stage else { return false };
        let (kind, index) = (steps.kind, steps.index);
        let result = match skipped {
            Some(why) => Some(TaskResult::Cancelled { why }),
            None => room.is_zero().then_some(TaskResult::NoTime),
        };
        if let Some(result) = result {
            steps.index += 1;
            self.step_skipped(kind, index, &result, core);
            return true;
        }
        steps.slice = longest(step).map_or(room, |t| t.min(room));
        steps.began = now;
        for (nth, task) in step.tasks.iter().enumerate() {
            let own = Secs(task_length(task).map_or(steps.slice, |t| t.min(steps.slice)));
            core.fx.note(Note::StepBegan { kind, name: task.name.clone(), slice: own, left: Secs(deadline.left(now)) });
            let why = (core.fx.reason, None);
            let run = TaskRun::begin(why, steps.what(nth), now, room, &core.plan, &mut core.fx);
            steps.tasks.push(run);
        }
        true
    }

    pub(super) fn step_skipped(&mut self, kind: Place, index: usize, result: &TaskResult, core: &mut Core) {
        let plan = std::rc::Rc::clone(&core.plan);
        for task in plan.steps(kind).get(index).into_iter().flat_map(|s| &s.tasks) {
            let (name, result) = (task.name.clone(), result.clone());
            core.note(Note::StepSkipped { kind, name: name.clone(), result: result.clone() });
            self.record.steps.push(StepReport { kind, name, slice: Secs::default(), took: Secs::default(), result });
        }
    }

    pub(super) fn step_ended(&mut self, core: &mut Core) {
        let Stage::Steps(steps) = &mut self.stage else { return };
        let (kind, slice) = (steps.kind, steps.slice);
        let tasks = std::mem::take(&mut steps.tasks);
        steps.index += 1;
        let total = if kind == Place::Drain { &mut self.record.drain_took } else { &mut self.record.post_stop_took };
        *total = Some(total.unwrap_or_default() + core.now.since(steps.began));
        for run in tasks {
            let (Some(task), Some((result, ended))) = (core.plan.task(run.what), run.over()) else { continue };
            let own = Secs(task_length(task).map_or(slice, |t| t.min(slice)));
            // Side by side, each has its own end.
            let took = Secs(ended.since(run.began));
            self.drain_ended |= kind == Place::Drain && task.on_failure == OnFailure::Stop && !result.ok();
            let (name, result) = (task.name.clone(), result.clone());
            self.record.steps.push(StepReport { kind, name: name.clone(), slice: own, took, result: result.clone() });
            core.fx.note(Note::StepEnded { kind, name, slice: own, took, result });
        }
    }
}
