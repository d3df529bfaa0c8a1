//! What a request to stop does: the first, and those after it. Pure.

use std::time::Duration;

use super::sidecar::minimum_reserve;
use super::{MINIMUM_GRACE, Stage, Steps, Stop, StopRecord};
use crate::config::platform::Platform;
use crate::facts::{Effect, Needless, NextCtrlC, Place};
use crate::lifecycle::Phase;
use crate::lifecycle::core::Core;
use crate::lifecycle::event::Cause;
use crate::lifecycle::process::Input;
use crate::lifecycle::requests::drain_is_awaited;
use crate::plan::budget::{Part, slice};
use crate::report::{Note, Secs, TaskResult};

impl Stop {
    /// The stop begins, in whatever phase that was.
    pub fn begin(cause: Cause, before: Phase, core: &mut Core) -> Box<Stop> {
        let (t0, budget) = (core.now, core.plan.budget.clone());
        core.fx.reason = cause.reason();
        core.renewal.abandon();
        say(&cause, core);
        let first_failure = match cause {
            Cause::AllEnded => core.processes.iter().find_map(|p| p.failed()),
            _ => None,
        };
        let ran = core.processes.iter().any(|p| p.last_exit.is_some() || p.lives());
        let came_up = before.came_up();
        let mut stop = Box::new(Stop {
            stage: Stage::Steps(Steps::new(Place::Drain, t0)),
            t0,
            deadline: budget.deadline(t0),
            end: budget.end(t0),
            for_crowd: Duration::ZERO,
            budget,
            came_up,
            hold: cause.drain_only(),
            last_turn: false,
            signal: cause.signal(),
            signal_is_mains: false,
            hurried: false,
            // A sidecar that is up does what it is for.
            anything_ran: ran || core.is_sidecar() && came_up,
            interrupted: Vec::new(),
            first_failure,
            drain_ended: false,
            record: StopRecord::default(),
            cause,
        });
        if stop.hold && core.is_sidecar() {
            stop.grant_last_turn(&core.plan.budget);
        }
        stop.interrupt(before, core);
        stop
    }

    /// Nothing is started or restarted any more: what was about to be, is not; what was being done for it, ends.
    fn interrupt(&mut self, before: Phase, core: &mut Core) {
        let why = Needless::StopRequested;
        match before {
            Phase::Init { mut task } => {
                self.interrupted.extend(task.cancel(why, false, core.now, &mut core.fx));
                // Of one that had ended by itself it has been said.
                if let Some(TaskResult::Cancelled { .. }) = task.result() {
                    task.conclude(core.now, &core.plan, &mut core.fx);
                }
            }
            Phase::Up { follow: Some(mut task) } => {
                // A look at others: nothing of it is left to wait for.
                let _ended = task.cancel(why, true, core.now, &mut core.fx);
            }
            Phase::New | Phase::Up { follow: None } | Phase::Stopping(_) => {}
        }
        self.interrupted.extend(core.changes.interrupt(&core.plan, core.now, &mut core.fx));
        for id in core.ids() {
            core.take(id, Input::StopRequested, Some(self));
        }
    }

    /// A duplicate changes nothing: at a node's shutdown every process gets SIGTERM directly. Only Ctrl-C, which a person
    /// presses, hurries: each further one ends what the stop is at, first the drain, then with SIGKILL the stop of the processes. After
    /// `softstop drain` the first request is none, and the first Ctrl-C of a stop that something else began does not kill.
    pub fn requested_again(&mut self, cause: Cause, core: &mut Core) {
        let draining = self.is_draining();
        let by_hand = cause.by_hand();
        let released = self.hold && !cause.drain_only();
        self.hold &= !released;
        if released {
            self.signal = cause.signal();
            self.turn_has_come(&core.plan.budget, core.now);
        }
        // A kubelet sends its SIGTERM when the hook has returned, or else when its timer has run out.
        let timed_out = cause.may_be_a_kubelet() && released && draining && drain_is_awaited(&core.asks);
        // Without steps it is over before it has begun, be that in this very instant.
        let to_be_ended = draining && !core.plan.config.drain.is_empty();
        let pressed_before = self.hurried || self.cause.by_hand() && !to_be_ended;
        let effect = match (by_hand, pressed_before) {
            (false, _) if timed_out => Effect::HookTimedOut,
            (false, _) if released => Effect::Stops { after_drain: draining },
            (false, _) => Effect::Nothing,
            (true, false) if to_be_ended => Effect::EndsDrain,
            (true, false) => Effect::Hurries { stops: released },
            (true, true) => Effect::Kills,
        };
        if effect == Effect::Kills {
            self.deadline = core.now;
        }
        self.hurried |= by_hand;
        core.note(Note::StopAgain { cause, effect });
        if timed_out {
            self.move_up(core);
        }
    }

    /// What is left from now on is [`MINIMUM_GRACE`], if it is not less already. The reserves of what is still to come are fitted
    /// into it, and the step under way gets what they leave.
    fn move_up(&mut self, core: &Core) {
        let now = core.now;
        let Stage::Steps(steps) = &mut self.stage else { return };
        let end = now + MINIMUM_GRACE;
        if end >= self.end {
            return;
        }
        self.end = end;
        self.budget.kill_reserve = minimum_reserve(&self.budget);
        self.deadline = self.deadline.min(end - self.budget.kill_reserve);
        self.budget.fit(Part::Drain(steps.index), self.deadline.left(now));
        let room = slice(now, self.deadline, self.budget.after_drain(steps.index));
        steps.tasks.iter_mut().for_each(|task| task.shorten(now + room));
    }
}

fn say(cause: &Cause, core: &mut Core) {
    let (requested, budget) = (cause.requested(), &core.plan.budget);
    core.fx.note(Note::StopBegan {
        cause: cause.clone(),
        requested,
        others: core.processes.iter().filter(|p| p.lives()).count() > usize::from(!requested),
        grace: Secs(budget.grace),
        deadline: Secs(budget.deadline(core.now).since(core.now)),
        next: cause.by_hand().then_some(match core.plan.config.drain.is_empty() {
            true => NextCtrlC::Kills,
            false => NextCtrlC::EndsDrain,
        }),
    });
    if hook_is_missing(cause, core) {
        core.note(Note::NoHook);
    }
}

/// The kubelet's SIGTERM is the first that is heard of the stop, and a drain is to come. Only a hook shows how much of the grace there
/// really is: it is still waited for when the kubelet's timer runs out.
fn hook_is_missing(cause: &Cause, core: &Core) -> bool {
    let config = &core.plan.config;
    let on_kubernetes = config.platform == Platform::Kubernetes && !core.is_sidecar();
    on_kubernetes && cause.may_be_a_kubelet() && !config.drain.is_empty()
}
