//! The walk over `[[drain]]` or `[[post_stop]]`. Pure.

use std::time::Duration;

use crate::config::{OnFailure, Step};
use crate::lifecycle::action::{Action, What};
use crate::lifecycle::task::TaskRun;
use crate::lifecycle::{Machine, Stage as Whole};
use crate::plan::budget::{Part, longest, share};
use crate::report::{Note, Secs, StepKind, StepReport, TaskResult};
use crate::time::At;

use super::{Stage, Steps};

impl Steps {
    pub(super) fn new(kind: StepKind, now: At) -> Steps {
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
    pub(super) fn steps_over(&mut self) -> bool {
        let Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) = &self.stage else {
            return true;
        };
        steps.tasks.is_empty() && steps.index >= steps.list(&self.plan.config).len()
    }

    /// Begin, end or skip steps; `true` when something changed. `skip` says why a step is not (or no longer) to be done.
    pub(super) fn advance_steps(&mut self, skip: &dyn Fn(&Step) -> Option<&'static str>) -> bool {
        let now = self.now;
        let Some(stop) = &mut self.stop else { return false };
        let Whole::Stopping(Stage::Draining(steps) | Stage::PostStop(steps)) = &mut self.stage else {
            return false;
        };
        let Some(step) = steps.list(&self.plan.config).get(steps.index) else {
            return false;
        };
        if !steps.tasks.is_empty() {
            if let Some(why) = skip(step) {
                for task in &mut steps.tasks {
                    let _killed = task.cancel(why, true, now, &mut self.fx);
                }
            }
            let over = steps.tasks.iter().all(|t| t.result().is_some());
            if over {
                self.step_ended();
            }
            return over;
        }
        let (kind, index) = (steps.kind, steps.index);
        let planned = &self.plan.budget;
        let deadline = if kind == StepKind::Drain { stop.drain_deadline(planned) } else { stop.deadline };
        let part = if kind == StepKind::Drain { Part::Drain(index) } else { Part::PostStop(index) };
        stop.fit(planned, part, now);
        let after = stop.budget.after(part);
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

    pub(super) fn step_skipped(&mut self, kind: StepKind, index: usize, result: &TaskResult) {
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

    pub(super) fn step_ended(&mut self) {
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
            // Side by side, each has its own end.
            let took = Secs(run.ended.since(run.began));
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
