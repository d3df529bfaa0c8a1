//! `[[on_change]]`: what is done when a file has changed. Pure.
//!
//! Each rule does one thing at a time. What changes meanwhile is one more time afterwards, however often it was.

use std::path::PathBuf;
use std::rc::Rc;

use super::Machine;
use super::action::What;
use super::effects::Effects;
use super::event::{ProcId, RunId};
use super::process::{Input, State};
use super::task::TaskRun;
use crate::config::{Act, Config, Handler};
use crate::facts::{Needless, Place, Reaction};
use crate::plan::Plan;
use crate::report::Note;
use crate::time::At;

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Changes {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, Hash)]
struct Rule {
    /// Has changed, and nothing was done about it yet.
    changed: Option<PathBuf>,
    task: Option<TaskRun>,
}

impl Changes {
    pub fn task(&mut self, nth: usize) -> Option<&mut TaskRun> {
        self.rules.get_mut(nth)?.task.as_mut()
    }

    pub fn tasks(&self) -> impl Iterator<Item = &TaskRun> {
        self.rules.iter().filter_map(|rule| rule.task.as_ref())
    }

    pub fn give_back(&mut self, lost: std::time::Duration, now: At) {
        let tasks = self.rules.iter_mut().filter_map(|rule| rule.task.as_mut());
        tasks.for_each(|task| task.give_back(lost, now, std::time::Duration::MAX));
    }

    /// Of rules that are as they were, everything goes on.
    pub fn adopt(&mut self, old: &Config, new: &Config, now: At, fx: &mut Effects) {
        for (nth, rule) in self.rules.iter_mut().enumerate() {
            if old.on_change.get(nth) != new.on_change.get(nth) {
                let before = std::mem::take(rule);
                let _ended = before.task.and_then(|mut task| task.cancel(Needless::NothingToDo, true, now, fx));
            }
        }
        self.rules.truncate(new.on_change.len());
    }

    /// The stop was requested: the runs that are still to be waited for.
    pub fn interrupt(&mut self, plan: &Plan, now: At, fx: &mut Effects) -> Vec<(RunId, What)> {
        let mut runs = Vec::new();
        for mut task in std::mem::take(&mut self.rules).into_iter().filter_map(|rule| rule.task) {
            runs.extend(task.cancel(Needless::StopRequested, false, now, fx));
            task.conclude(now, plan, fx);
        }
        runs
    }
}

impl Machine {
    #[inline(never)] // its frame is not its caller's
    pub(super) fn on_file_changed(&mut self, nth: usize, path: PathBuf) {
        // What it was told of may be another rule by now.
        let rule = self.core.plan.config.on_change.get(nth);
        if self.stopping() || rule.is_none_or(|rule| !rule.paths.contains(&path)) {
            return;
        }
        let rules = &mut self.core.changes.rules;
        if rules.len() <= nth {
            rules.resize_with(nth + 1, Rule::default);
        }
        rules[nth].changed = Some(path);
    }

    /// What has ended, and what is to be done next.
    #[inline(never)] // its frame is not its caller's
    pub(super) fn advance_changes(&mut self) -> bool {
        (0..self.core.changes.rules.len()).any(|nth| self.change_ended(nth) || self.act_on_change(nth))
    }

    fn change_ended(&mut self, nth: usize) -> bool {
        let core = &mut self.core;
        let task = &mut core.changes.rules[nth].task;
        task.take_if(|task| task.conclude(core.now, &core.plan, &mut core.fx).is_some()).is_some()
    }

    fn act_on_change(&mut self, nth: usize) -> bool {
        let rule = &self.core.changes.rules[nth];
        let (Some(path), None) = (&rule.changed, &rule.task) else { return false };
        let (path, plan) = (path.clone(), Rc::clone(&self.core.plan));
        let Some(act) = plan.config.on_change.get(nth).map(|rule| &rule.act) else { return false };
        let Some(does) = self.reaction(act) else { return false };
        let core = &mut self.core;
        core.changes.rules[nth].changed = None;
        core.note(Note::FileChanged { path, does: does.clone() });
        match (does, act) {
            (Reaction::Again { .. }, Act::Restart(process)) => {
                self.take(ProcId(*process), Input::Again);
            }
            // Of one that comes while it is being read, one more is made.
            (Reaction::Reload, _) => {
                if let Err(why) = self.reread(None, false) {
                    self.core.note(Note::NotReloaded { why });
                }
            }
            (Reaction::Task { .. }, Act::Task(_)) => {
                let what = What::new(Place::OnChange, nth);
                let task = TaskRun::announce(what, core.now, &core.plan, &mut core.fx);
                core.changes.rules[nth].task = Some(task);
            }
            _ => {}
        }
        true
    }

    /// What is to be done about it; `None`: that cannot be said yet.
    fn reaction(&self, act: &Act) -> Option<Reaction> {
        let named = |process: usize| self.core.plan.name(process).to_owned();
        let (process, does) = match act {
            Act::Reload => return Some(Reaction::Reload),
            Act::Restart(process) => (*process, Reaction::Again { process: named(*process) }),
            Act::Task(task) => match (&task.handler, Reaction::Task { name: task.name.clone() }) {
                (Handler::Signal { process, .. }, does) => (*process, does),
                (_, does) => return Some(does),
            },
        };
        let p = &self.core.processes[process];
        match &p.state {
            State::Running(_) if p.started() => Some(does),
            // It is about to start, and may not hear yet.
            State::Running(_) | State::Starting => None,
            // It finds what is new when it starts.
            _ => Some(Reaction::Nothing { process: named(process) }),
        }
    }
}
