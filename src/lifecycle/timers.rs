//! The one table of what is timed: when each timer is due, and what happens then. Pure.

use super::event::ProcId;
use super::process::{self, Input};
use super::{Machine, Phase};
use crate::time::At;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    /// Everything that still lives is killed.
    Deadline,
    /// The stage of the stop is over; it goes on by itself.
    Stage,
    /// The n-th task of the step under way.
    Step(usize),
    /// The next sweep with SIGKILL.
    Sweep,
    Init,
    Follow,
    /// The task of the n-th `[[on_change]]`.
    Change(usize),
    Process(ProcId, process::Timer),
}

impl Machine {
    /// When `step` must be called with `Event::Tick` at the latest; `None`: nothing is timed.
    pub fn next_deadline(&self) -> Option<At> {
        let own = [Timer::Deadline, Timer::Stage, Timer::Sweep, Timer::Init, Timer::Follow].into_iter();
        let processes = if self.finished() { None } else { self.core.processes.next_deadline() };
        own.chain(self.steps()).chain(self.changes()).filter_map(|timer| self.at(timer)).chain(processes).min()
    }

    /// Act on what is due: first on what the stop of everything and of each process is at, one by one, as each may change what is due next.
    pub(super) fn due(&mut self) -> bool {
        let mut first = [Timer::Deadline].into_iter().chain(self.steps()).chain([Timer::Sweep]);
        if first.any(|timer| self.is_due(timer) && self.on_due(timer)) {
            return true;
        }
        let mut from = 0;
        while let Some(id) = self.core.processes.next_stop_due(from) {
            let timer = Timer::Process(ProcId(id), process::Timer::Stop);
            if self.is_due(timer) && self.on_due(timer) {
                return true;
            }
            from = id + 1;
        }
        let mut changed = false;
        for timer in [Timer::Init, Timer::Follow].into_iter().chain(self.changes()) {
            changed |= self.is_due(timer) && self.on_due(timer);
        }
        from = 0;
        while let Some(id) = self.core.processes.next_life_due(from) {
            let timers = [process::Timer::Life, process::Timer::Probes].map(|t| Timer::Process(ProcId(id), t));
            changed |= timers.into_iter().any(|timer| self.is_due(timer) && self.on_due(timer));
            from = id + 1;
        }
        changed
    }

    fn steps(&self) -> impl Iterator<Item = Timer> + use<> {
        let tasks = if let Phase::Stopping(stop) = &self.phase { stop.tasks().len() } else { 0 };
        (0..tasks).map(Timer::Step)
    }

    fn changes(&self) -> impl Iterator<Item = Timer> + use<> {
        (0..self.core.changes.len()).map(Timer::Change)
    }

    fn at(&self, timer: Timer) -> Option<At> {
        match (timer, &self.phase) {
            (_, Phase::Done(_)) => None,
            (Timer::Init, Phase::Init { task, .. }) => task.timer(),
            (Timer::Follow, Phase::Up { follow: Some(task) }) => task.timer(),
            (Timer::Change(nth), Phase::Up { .. }) => self.core.changes.timer(nth),
            (Timer::Deadline, Phase::Stopping(stop)) => stop.deadline_timer(),
            (Timer::Stage, Phase::Stopping(stop)) => stop.stage_timer(self.core.now),
            (Timer::Step(nth), Phase::Stopping(stop)) => stop.tasks().get(nth)?.timer(),
            (Timer::Sweep, Phase::Stopping(stop)) => stop.sweep_timer(),
            (Timer::Process(id, timer), _) => self.core.processes[id.0].timer(timer),
            _ => None,
        }
    }

    /// Its time has come, or what a task waits for without one.
    fn is_due(&self, timer: Timer) -> bool {
        let now = match (timer, &self.phase) {
            (Timer::Init, Phase::Init { task, .. }) => task.holds(&self.core.fx),
            (Timer::Step(nth), Phase::Stopping(stop)) => stop.tasks().get(nth).is_some_and(|t| t.holds(&self.core.fx)),
            (Timer::Change(nth), Phase::Up { .. }) => self.core.changes.holds(nth, &self.core.fx),
            (Timer::Process(id, timer), _) => self.core.processes[id.0].holds(timer, &self.core.fx),
            _ => false,
        };
        now || self.at(timer).is_some_and(|at| self.core.now >= at)
    }

    fn on_due(&mut self, timer: Timer) -> bool {
        let core = &mut self.core;
        match (timer, &mut self.phase) {
            (Timer::Init, Phase::Init { task, .. }) | (Timer::Follow, Phase::Up { follow: Some(task) }) => {
                task.on_time(core.now, &core.plan, &mut core.fx)
            }
            (Timer::Change(nth), Phase::Up { .. }) => {
                let task = core.changes.task(nth);
                task.is_some_and(|task| task.on_time(core.now, &core.plan, &mut core.fx))
            }
            (Timer::Deadline, Phase::Stopping(stop)) => stop.out_of_time(core),
            (Timer::Step(nth), Phase::Stopping(stop)) => {
                stop.task(nth).is_some_and(|task| task.on_time(core.now, &core.plan, &mut core.fx))
            }
            (Timer::Sweep, Phase::Stopping(stop)) => stop.sweep(core),
            (Timer::Process(id, timer), _) => self.take(id, Input::Due(timer)),
            _ => false,
        }
    }
}
