//! When something is due, and what is done then. Pure.

use std::rc::Rc;

use super::action::What;
use super::event::ProcId;
use super::process::{Input, Timer};
use super::task::TaskRun;
use super::{Machine, Phase};
use crate::time::At;

impl Machine {
    /// When `step` must be called with `Event::Tick` at the latest; `None`: nothing is timed.
    pub fn next_deadline(&self) -> Option<At> {
        if self.finished() {
            return None;
        }
        let stop = self.phase.stop().and_then(|stop| stop.next_deadline(self.core.now));
        let tasks = self.tasks().filter_map(TaskRun::timer);
        stop.into_iter().chain(tasks).chain(self.core.processes.next_deadline()).min()
    }

    /// Act on what is due: first on what the stop of everything and of each process is at, one by one, as each may change what is due next.
    pub(super) fn due(&mut self) -> bool {
        let stopping = self.stopping();
        if let Phase::Stopping(stop) = &mut self.phase
            && stop.on_time(&mut self.core)
        {
            return true;
        }
        if stopping && self.tasks_due() {
            return true;
        }
        let mut from = 0;
        while let Some(id) = self.core.processes.next_due(Timer::Stop, from) {
            if self.process_due(id, Timer::Stop) {
                return true;
            }
            from = id + 1;
        }
        let mut changed = !stopping && self.tasks_due();
        from = 0;
        while let Some(id) = self.core.processes.next_due(Timer::Life, from) {
            changed |= self.process_due(id, Timer::Life) || self.process_due(id, Timer::Probes);
            from = id + 1;
        }
        changed
    }

    /// The time of a task has come, or what it waits for without one.
    fn tasks_due(&mut self) -> bool {
        let (now, plan, fx) = (self.core.now, Rc::clone(&self.core.plan), &self.core.fx);
        let is_due = |task: &&TaskRun| task.holds(fx) || task.timer().is_some_and(|at| now >= at);
        let due: Vec<What> = self.tasks().filter(is_due).map(|task| task.what).collect();
        let mut changed = false;
        for what in due {
            changed |= self.with_task(what, |task, fx| task.on_time(now, &plan, fx)).unwrap_or(false);
        }
        changed
    }

    fn process_due(&mut self, id: usize, timer: Timer) -> bool {
        let due = self.core.processes[id].is_due(timer, self.core.now, &self.core.fx);
        due && self.take(ProcId(id), Input::Due(timer))
    }
}
