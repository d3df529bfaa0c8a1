//! Going over to another configuration while everything runs. Pure.
//!
//! What is new holds at once, but for a process that something goes on with: its stop, its hooks, and what it was started with are those of
//! the configuration that it was started by, and it takes over when that is done. Who has to be started anew is stopped after
//! those of them that depend on it, and started before them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Machine;
use super::Phase;
use super::action::Action;
use super::core::Core;
use super::event::{ProcId, RequestId};
use super::process::{End, Input, PostStart, Proc, Running, State};
use super::requests::{Handled, Until};
use crate::config::{Condition, Config, Process};
use crate::facts::Difference;
use crate::plan::reload::{Reload, needs_restart};
use crate::report::{Done, Note, Refusal};
use crate::sorted;

/// What of a reload is still to come. Nothing of it is left once the stop was requested.
#[derive(Clone, Debug, Default)]
pub(super) struct Renewal {
    /// What becomes of a process, as soon as nothing goes on with what it was.
    next: BTreeMap<usize, Next>,
    /// Who is started anew; `true` once its turn to stop has come.
    restarts: BTreeMap<usize, bool>,
    /// Who is taken out.
    removals: BTreeSet<usize>,
    /// How often the plan has become another one.
    revision: u32,
    /// That a signal came when nothing is read was said: once is enough.
    refused: bool,
}

#[derive(Clone, Debug)]
struct Next {
    process: Process,
    /// It may take over while it runs.
    while_running: bool,
}

/// Of what is to become of a process the plan is made again.
impl std::hash::Hash for Renewal {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.restarts, &self.removals, self.revision, self.refused).hash(state);
        self.next.iter().for_each(|(id, next)| (id, next.while_running).hash(state));
    }
}

impl Renewal {
    pub fn is_over(&self) -> bool {
        self.next.is_empty() && self.restarts.is_empty() && self.removals.is_empty()
    }

    /// The stop was requested.
    pub fn abandon(&mut self) {
        *self = Renewal { revision: self.revision, ..Renewal::default() };
    }
}

impl Machine {
    // === asked for ===

    pub(super) fn command_reload(&mut self, ask: RequestId, wait: bool, dry_run: bool) -> Handled {
        self.reread(Some(ask), dry_run)?;
        self.wait(ask, Until::Reread { wait })
    }

    pub(super) fn reload_by_signal(&mut self) {
        let refused = self.reread(None, false).err();
        let before = std::mem::replace(&mut self.core.renewal.refused, refused.is_some());
        if let Some(why) = refused.filter(|_| !before) {
            self.core.note(Note::NotReloaded { why });
        }
    }

    pub(super) fn reread(&mut self, ask: Option<RequestId>, dry_run: bool) -> Result<(), Refusal> {
        self.may_reload()?;
        self.core.fx.push(Action::Reread { ask, dry_run });
        Ok(())
    }

    fn may_reload(&self) -> Result<(), Refusal> {
        self.unless_stopping(Refusal::NothingReloads)?;
        if self.core.plan.config.source.is_none() {
            return Err(Refusal::NoConfiguration);
        }
        if matches!(self.phase, Phase::Up { .. }) { Ok(()) } else { Err(Refusal::NotUpYet) }
    }

    /// The configuration has been read, or has been refused.
    #[inline(never)] // its frame is not its caller's
    pub(super) fn on_reread(&mut self, ask: Option<RequestId>, dry_run: bool, read: Result<Rc<Config>, String>) {
        let waits = ask.and_then(|ask| self.core.take_request(ask)).map(|until| until == Until::Reread { wait: true });
        let read = read.map_err(Refusal::BadConfiguration);
        let handled = match self.may_reload().and(read) {
            Ok(config) if dry_run => Ok(Some(Done::WouldReload(self.laid_over(&config).difference))),
            Ok(config) => {
                let difference = self.reload(&config);
                self.core.note(Note::Reloaded { difference: difference.clone() });
                match (ask, waits) {
                    (Some(ask), Some(true)) => self.wait(ask, Until::Reloaded { difference }),
                    _ => Ok(Some(Done::Reloading(difference))),
                }
            }
            Err(why) => {
                if !dry_run {
                    self.core.note(Note::NotReloaded { why: why.clone() });
                }
                Err(why)
            }
        };
        if let (Some(ask), Some(_)) = (ask, waits) {
            self.core.answer(ask, handled);
        }
    }

    /// All of it is done: who of those that it concerns does not run is named.
    pub(super) fn reloaded(&self, difference: &Difference) -> Handled {
        self.unless_stopping(Refusal::StopRequested)?;
        if !self.core.renewal.is_over() {
            return Ok(None);
        }
        let started = difference.added.iter().chain(difference.restarted.iter().map(|changed| &changed.process));
        let failed: Vec<_> = started
            .filter_map(|name| {
                let p = &self.core.processes[self.find(name).ok()?.0];
                Some((name.clone(), p.last_error.clone()?))
            })
            .collect();
        let difference = difference.clone();
        match failed.is_empty() {
            true => Ok(Some(Done::Reloaded(difference))),
            false => Err(Refusal::NotAllStarted { difference: Box::new(difference), failed }),
        }
    }

    // === done ===

    /// The new configuration over the one that holds, or is about to.
    fn laid_over(&self, config: &Config) -> Reload {
        let core = &self.core;
        let mut old = core.plan.config.clone();
        for (id, next) in &core.renewal.next {
            old.processes[*id] = next.process.clone();
        }
        Reload::new(&old, config.clone(), &|id| core.processes[id].is_removed(), &|id| core.is_restarted(id))
    }

    fn reload(&mut self, config: &Config) -> Difference {
        let reload = self.laid_over(config);
        let core = &mut self.core;
        let before = Rc::clone(&core.plan);
        // Taken out before, and not ended yet.
        let is_leaving = |id: &usize| core.processes.get(*id).is_some_and(|p| !p.is_removed());
        let returns: Vec<usize> = reload.added.iter().copied().filter(is_leaving).collect();
        core.adopt(&reload);
        let removed = |id: &usize| core.plan.config.processes[*id].removed && !core.processes[*id].is_removed();
        let removals: BTreeSet<usize> = sorted::collected((0..core.processes.len()).filter(removed));
        let touched = [&reload.added, &reload.restarted, &reload.changed].into_iter().flatten();
        let touched: BTreeSet<usize> = sorted::collected(touched.chain(&removals).copied());
        core.renewal.removals = removals;
        let places = core.processes.len();
        let plan = Rc::clone(&core.plan);
        core.renewal.restarts.retain(|id, _| !plan.config.processes[*id].removed);
        core.renewal.restarts.extend(reload.restarted.iter().map(|id| (*id, false)));
        for id in 0..places {
            let in_vain = match &self.core.processes[id].state {
                State::Ended(End::CannotStart { on }) => touched.contains(&on.0),
                _ => false,
            };
            if (touched.contains(&id) || in_vain) && !self.core.plan.config.processes[id].removed {
                self.take(ProcId(id), Input::Reconfigured { was: before.config.processes.get(id) });
            }
        }
        for id in returns {
            self.take(ProcId(id), Input::Again);
        }
        reload.difference
    }

    /// What follows of a reload without any time passing.
    pub(super) fn advance_reload(&mut self) -> bool {
        !self.core.renewal.is_over()
            && (self.take_over_next() || self.stop_next_to_restart() || self.stop_next_to_remove() || self.restarted())
    }

    #[inline(never)] // its frame is not its caller's
    fn take_over_next(&mut self) -> bool {
        let core = &mut self.core;
        let ready = |(id, next): (&usize, &Next)| core.may_take_over(*id, next.while_running).then_some(*id);
        let Some(id) = core.renewal.next.iter().find_map(ready) else { return false };
        let Some(next) = core.renewal.next.remove(&id) else { return false };
        let mut config = core.plan.config.clone();
        let was = std::mem::replace(&mut config.processes[id], next.process);
        core.go_over(config, &[]);
        self.take(ProcId(id), Input::Reconfigured { was: Some(&was) });
        true
    }

    /// The first whose dependents, of those that are started anew as well, are down.
    fn stop_next_to_restart(&mut self) -> bool {
        let core = &self.core;
        let is_up =
            |(by, _): &(usize, Condition)| core.renewal.restarts.contains_key(by) && core.processes[*by].lives();
        let has_its_turn = |(id, begun): (&usize, &bool)| {
            (!begun && !core.plan.order.dependents[*id].iter().any(is_up)).then_some(*id)
        };
        let Some(id) = core.renewal.restarts.iter().find_map(has_its_turn) else { return false };
        self.core.renewal.restarts.insert(id, true);
        // By now it may be held down.
        if self.core.is_restarted(id) {
            self.take(ProcId(id), Input::Again);
        }
        true
    }

    /// The same of those that are taken out.
    fn stop_next_to_remove(&mut self) -> bool {
        let core = &mut self.core;
        let gone = |p: &Proc| matches!(p.state, State::Ended(End::Removed | End::Unkillable { .. }));
        let before = core.renewal.removals.len();
        core.renewal.removals.retain(|id| !gone(&core.processes[*id]));
        if core.renewal.removals.len() < before {
            return true;
        }
        let has_its_turn = |id: &&usize| {
            let dependents = &core.plan.order.dependents[**id];
            let stopping = matches!(core.processes[**id].state, State::Stopping(_) | State::GroupTermination(_));
            !stopping && !dependents.iter().any(|(by, _)| core.renewal.removals.contains(by))
        };
        let Some(id) = core.renewal.removals.iter().find(has_its_turn).copied() else { return false };
        self.take(ProcId(id), Input::Remove)
    }

    /// Who is up again, or will not be: those that wait for it may be started.
    fn restarted(&mut self) -> bool {
        let core = &mut self.core;
        let over = |(id, begun): (&usize, &bool)| (*begun && core.is_up_again(*id)).then_some(*id);
        let Some(id) = core.renewal.restarts.iter().find_map(over) else { return false };
        core.renewal.restarts.remove(&id);
        let plan = Rc::clone(&core.plan);
        core.processes.startable.extend(plan.order.dependents[id].iter().map(|(by, _)| by));
        true
    }
}

impl Core {
    /// The plan with another configuration, as far as each process is ready for it.
    fn adopt(&mut self, reload: &Reload) {
        let mut config = reload.config.clone();
        let (mut fresh, mut next) = (Vec::new(), BTreeMap::new());
        for (id, process) in config.processes.iter_mut().enumerate() {
            let known = self.processes.get(id).filter(|p| !p.is_removed());
            if known.is_none() {
                fresh.extend((!process.removed).then_some(id));
                continue;
            }
            let old = &self.plan.config.processes[id];
            let after = process.after.clone();
            if process.removed {
                // It is stopped as it was started.
                *process = Process { removed: true, after, sockets: Vec::new(), ..old.clone() };
                continue;
            }
            let while_running = !needs_restart((old, &self.plan.config), (&*process, &reload.config));
            if *process == *old || self.may_take_over(id, while_running) && !old.removed {
                continue;
            }
            // Who depends on whom, and who is the main one, is one question for all.
            let until_then = Process { after, main: process.main, removed: false, ..old.clone() };
            next.insert(id, Next { process: std::mem::replace(process, until_then), while_running });
        }
        self.renewal.next = next;
        self.go_over(config, &fresh);
    }

    fn go_over(&mut self, config: Config, fresh: &[usize]) {
        let plan = Rc::new(self.plan.with(config));
        let before = std::mem::replace(&mut self.plan, plan);
        self.changes.adopt(&before.config, &self.plan.config, self.now, &mut self.fx);
        self.renewal.revision = self.renewal.revision.wrapping_add(1);
        self.processes.adopt(&self.plan, fresh, self.now, &mut self.fx);
    }

    /// Nothing goes on with what it was.
    fn may_take_over(&self, id: usize, while_running: bool) -> bool {
        match &self.processes[id].state {
            State::Waiting | State::Backoff { .. } | State::Held { .. } => true,
            State::Running(Running { post_start: PostStart::Doing(..), .. }) => false,
            State::Running(_) => while_running,
            State::Ended(end) => !matches!(end, End::Unkillable { itself: true }),
            State::Starting | State::Stopping(_) | State::GroupTermination(_) => false,
        }
    }

    /// It is started anew for what is new: it runs, or is about to, or has ended and would be up. Who is held down is not.
    fn is_restarted(&self, id: usize) -> bool {
        let p = &self.processes[id];
        match &p.state {
            State::Running(_) | State::Backoff { .. } | State::Starting => true,
            State::Stopping(_) | State::GroupTermination(_) => !p.hold,
            State::Ended(End::Exited(_) | End::StartFailed { .. }) => self.plan.config.processes[id].autostart,
            State::Waiting | State::Held { .. } | State::Ended(_) => false,
        }
    }

    /// As far as those that are started after it need it.
    fn is_up_again(&self, id: usize) -> bool {
        let p = &self.processes[id];
        match &p.state {
            // One that fails is not waited for: what it was once was enough.
            State::Held { .. } | State::Ended(_) | State::Backoff { .. } => true,
            State::Running(_) if !p.again => {
                let dependents = &self.plan.order.dependents[id];
                let waiting = dependents.iter().filter(|(by, _)| self.renewal.restarts.contains_key(by));
                waiting.map(|(_, condition)| condition).all(|condition| match condition {
                    Condition::Started => p.started(),
                    Condition::Ready => p.ready(),
                    Condition::Completed => false,
                })
            }
            _ => false,
        }
    }

    /// What it waits for is itself being started anew.
    pub fn waits_for_restart(&self, id: usize) -> Option<(usize, Condition)> {
        let restarts = &self.renewal.restarts;
        if !restarts.contains_key(&id) {
            return None;
        }
        self.plan.config.processes[id].after.iter().copied().find(|(on, _)| restarts.contains_key(on))
    }
}
