//! From the beginning to the stop request: init tasks, what a sidecar follows, starts, what follows from ends. Pure.

use super::action::What;
use super::event::{Cause, ProcId};
use super::process::{Input, State};
use super::processes::Fact;
use super::task::{FOREVER, TaskRun, own_code};
use super::{Machine, Phase};
use crate::config::OnFailure;
use crate::facts::Place;
use crate::report::{Note, Secs};

impl Machine {
    pub(super) fn begin(&mut self) {
        if matches!(self.phase, Phase::New) {
            self.next_init(0);
        }
    }

    fn next_init(&mut self, index: usize) {
        let core = &mut self.core;
        self.phase = match core.plan.config.init.get(index) {
            Some(_) => {
                let what = What::new(Place::Init, index);
                Phase::Init { task: TaskRun::announce(what, core.now, &core.plan, &mut core.fx) }
            }
            None => Phase::Up { follow: None },
        };
    }

    /// The next init task, once one has ended.
    #[inline(never)] // its frame is not its caller's
    pub(super) fn advance_init(&mut self) -> bool {
        let (Phase::Init { task: run }, core) = (&self.phase, &mut self.core) else { return false };
        let Some(result) = run.conclude(core.now, &core.plan, &mut core.fx) else { return false };
        let index = run.what.nth;
        let task = &core.plan.config.init[index];
        if task.on_failure == OnFailure::Stop && !result.ok() {
            let (task, code) = (task.name.clone(), own_code(&result));
            self.request_stop(Cause::InitFailed { task, code });
        } else {
            self.next_init(index + 1);
        }
        true
    }

    /// What follows without any time passing: the next wait, post_start task or start.
    pub(super) fn advance_up(&mut self) -> bool {
        self.advance_reload()
            || self.advance_follow()
            || self.advance_changes()
            || self.advance_post_start()
            || self.start_next()
            || self.nothing_left()
    }

    /// `[sidecar] follow`: the main container's process, seen in the PID namespace that both share, ends softstop with it. Two waits one
    /// after the other: until it runs, then until it has ended.
    #[inline(never)] // its frame is not its caller's
    fn advance_follow(&mut self) -> bool {
        let core = &mut self.core;
        let Some(config) = core.plan.config.sidecar.as_ref().and_then(|s| s.follow.as_ref()) else { return false };
        let Phase::Up { follow } = &mut self.phase else { return false };
        let nth = match follow.as_ref().map(|task| (task.what.nth, task.result())) {
            None => 0,
            Some((_, None)) => return false,
            Some((0, Some(result))) if result.ok() => {
                core.fx.note(Note::Followed { command: config.command.clone() });
                1
            }
            Some((nth, Some(_))) => {
                let unseen = config.waits[0].timeout.filter(|_| nth == 0);
                let command = config.command.clone();
                self.request_stop(Cause::FollowedEnded { command, unseen });
                return true;
            }
        };
        let (why, what) = ((core.fx.reason, None), What::new(Place::Follow, nth));
        *follow = Some(TaskRun::begin(why, what, core.now, FOREVER, &core.plan, &mut core.fx));
        true
    }

    /// The first that goes on.
    fn advance_post_start(&mut self) -> bool {
        while let Some(id) = self.core.processes.post_start.first().copied() {
            if self.take(ProcId(id), Input::PostStart) {
                return true;
            }
            self.core.processes.post_start.remove(&id);
        }
        false
    }

    /// Start one process whose dependencies hold. One at a time: the answer to a spawn may be a reason to stop.
    fn start_next(&mut self) -> bool {
        if self.core.processes.any(Fact::Starting) {
            return false;
        }
        while let Some(id) = self.core.processes.startable.first().copied() {
            let p = &self.core.processes[id];
            if matches!(p.state, State::Waiting) && self.core.waits_for_restart(id).is_none() {
                // Whoever is started again by order has had what it waits for.
                if p.again && p.was().started || self.core.processes.is_free(id) {
                    return self.take(ProcId(id), Input::Start);
                }
                let after = self.core.plan.config.processes[id].after.iter();
                let lost = { after }.find_map(|(on, condition)| Some((*on, self.core.hopeless(*on, *condition)?)));
                if let Some((on, why)) = lost {
                    return self.take(ProcId(id), Input::CannotStart { on: ProcId(on), why });
                }
            }
            self.core.processes.startable.remove(&id);
        }
        false
    }

    fn nothing_left(&mut self) -> bool {
        let (processes, all) = (&self.core.processes, self.core.processes.len());
        let (ended, at_rest) = (processes.how_many(Fact::Ended), processes.how_many(Fact::AtRest));
        // Where none starts by itself, softstop waits for orders.
        let over = (0..all).all(|id| processes.is(id, Fact::Ended) || processes.is(id, Fact::AtRest)) && at_rest < all;
        let nothing = !self.core.is_sidecar() && ended + at_rest >= all && over;
        if nothing {
            self.request_stop(Cause::AllEnded);
        }
        nothing
    }

    /// Say who has become ready, and that all are.
    pub(super) fn announce(&mut self) {
        let core = &mut self.core;
        core.processes.announce(&core.plan, &mut core.fx);
        if !self.core.announced_ready && self.ready() {
            self.core.announced_ready = true;
            let config = &self.core.plan.config;
            if config.processes.len() != 1 || !config.init.is_empty() {
                let took = Secs(self.core.now.since_start());
                self.core.note(Note::AllReady { took });
            }
        }
    }
}
