//! What is ordered over the control socket, and what must follow (docs/control.md).

use std::time::Duration;

use softstop::config::{Concurrency, OnExit};
use softstop::facts::{Cause, Effect};
use softstop::lifecycle::event::{Exit, Order, Sender};
use softstop::signal::Signal;

use super::checks::MS;
use super::{Checked, World, broken};

/// What is left when the kubelet's timer runs out in the middle of a preStop hook.
pub(super) const MINIMUM_GRACE: Duration = Duration::from_secs(2);

impl World {
    fn named(&self, name: &str) -> Option<usize> {
        self.config.processes.iter().position(|p| p.name == name)
    }

    /// An order is about to be given.
    pub(super) fn is_ordered(&mut self, order: &Order) {
        match order {
            Order::Unready => self.unready = true,
            Order::Ready => self.unready &= self.stop.is_some(),
            Order::Signal { process, signal } => self.ordered_signal = self.named(process).map(|p| (p, *signal)),
            Order::Restart { process } | Order::Start { process } => {
                let Some(p) = self.named(process).filter(|_| self.stop.is_none()) else { return };
                let (life, body) = (&mut self.lives[p], &self.bodies[p]);
                // Whether its group was given up already is the machine's to say.
                life.uncertain |= !body.alive && body.group && body.unkillable;
                if body.run > 0 && !body.alive && !body.group && life.post_exit_left == 0 {
                    // Somebody has looked at it.
                    life.start_over();
                }
                life.ordered = true;
                (life.held, life.held_by_order) = (false, false);
            }
            Order::Stop { process: Some(process), .. } => {
                let Some(p) = self.named(process).filter(|_| self.stop.is_none()) else { return };
                let (life, body) = (&mut self.lives[p], &self.bodies[p]);
                let rests = self.config.processes[p].schedule.is_some() && life.held;
                life.held_by_order |= rests;
                // Of whom softstop, late, has only heard that it is gone, what follows comes behind this.
                let over = body.run > 0 && !body.alive && !body.group && !self.gone_late.contains(&p);
                let ended = !rests && over && life.post_exit_left == 0 && !life.is_due();
                // What has ended for good is down already, whoever asks; what could not be started, and what is not ended by SIGKILL, too.
                if !(ended || life.cannot_start || body.unkillable && body.killed) {
                    (life.held, life.held_by_order, life.ordered, life.rung) = (true, true, false, false);
                    life.take_back();
                }
                // Whether it was given up already is the machine's to say; if it ends after all, it may be held or not.
                life.rung |= body.unkillable && body.killed;
            }
            Order::Drain { .. } | Order::Stop { .. } | Order::Reload { .. } | Order::Reopen => {}
        }
    }

    /// The time of a scheduled task comes: it is to be started if it rests, or waits to be tried again.
    pub(super) fn is_scheduled(&mut self, p: usize) {
        let (life, body) = (&mut self.lives[p], &self.bodies[p]);
        let down = !body.alive && !body.group && life.post_exit_left == 0 && !life.cannot_start;
        let waits = life.held && !life.held_by_order || life.is_due();
        let Some(schedule) = &self.config.processes[p].schedule else { return };
        let replaced = body.alive && life.stopping.is_none() && schedule.concurrency == Concurrency::Replace;
        // Whether what even SIGKILL leaves of its group was given up already is the machine's to say.
        let given_up = !body.alive && body.group && body.unkillable && !life.held_by_order;
        if self.stop.is_none() && (down && waits || replaced && !life.held || given_up) {
            life.start_over();
            life.take_back();
            (life.held, life.rung) = (false, true);
        }
    }

    /// An order has been given; when it has its answer already, nothing more follows from it.
    pub(super) fn was_ordered(&mut self, ask: u64, order: &Order) {
        self.ordered_signal = None;
        let answered = !self.asks.contains_key(&ask);
        if let Order::Restart { process } | Order::Start { process } = order
            && let Some(p) = self.named(process).filter(|p| answered && self.to_start() != Some(*p))
        {
            let others =
                |o: &Order| matches!(o, Order::Restart { process: n } | Order::Start { process: n } if n == process);
            self.lives[p].ordered = self.asks.values().any(others);
        }
    }

    /// A stop signal from whoever runs the container, with the drain of a preStop hook still waited for.
    pub(super) fn has_timed_out(&self, sender: Sender) -> bool {
        let held = self.stop.as_ref().is_some_and(|s| s.held && s.drain_left > 0 && !s.cut);
        let waited = self.asks.values().any(|o| matches!(o, Order::Drain { wait: true }));
        held && waited && matches!(sender, Sender::Outside | Sender::Parent(_) | Sender::Unknown) && !self.late
    }

    pub(super) fn check_minimum_grace(&mut self, timed_out: bool) -> Checked {
        let end = self.machine.end();
        if timed_out && end.is_some_and(|end| end > self.now + MINIMUM_GRACE) {
            return broken("I1", format!("the kubelet's timer has run out, and the end is at {end:?}"));
        }
        Ok(())
    }

    /// The end that the machine goes by is the one that is right, which is never put off.
    pub(super) fn check_promised_end(&self) -> Checked {
        match (&self.stop, self.machine.end()) {
            (Some(stop), Some(end)) if end != stop.end => {
                broken("I1", format!("the end is taken to be at {end:?}, not {:?}", stop.end))
            }
            _ => Ok(()),
        }
    }

    /// After a drain by order the processes go on until somebody wants more, or their slice of the budget begins.
    pub(super) fn check_hold(&mut self, p: usize, by: &str) -> Checked {
        let Some(stop) = self.stop.as_ref().filter(|s| s.held && !s.cut) else { return Ok(()) };
        let until = match self.config.sidecar {
            Some(_) => stop.t0 + self.config.grace,
            None => self.stopped_by(stop) - self.slices().stop,
        };
        if self.now + MS < until {
            return broken("I3", format!("{by} to p{p}, which was to go on after the drain until {until:?}"));
        }
        Ok(())
    }

    /// Somebody asks again: after a drain by order that is the first request to stop the processes.
    pub(super) fn asked_again(&mut self, cause: &Cause, effect: Effect) -> Checked {
        let (now, grace, sidecar) = (self.now, self.config.grace, self.config.sidecar.is_some());
        let Some(stop) = &mut self.stop else { return Ok(()) };
        // Each Ctrl-C ends what the stop is at; the first never kills, the third always does.
        let began = stop.cause.as_ref().is_some_and(Cause::by_hand);
        let right = match (cause.by_hand(), stop.pressed) {
            (false, _) => !matches!(effect, Effect::Kills | Effect::EndsDrain | Effect::Hurries { .. }),
            (true, 0) => effect != Effect::Kills,
            (true, 1) if began && stop.drain_left > 0 && !stop.cut => effect == Effect::EndsDrain,
            (true, _) => effect == Effect::Kills,
        };
        if !right {
            return broken("Ctrl-C", format!("{effect:?} upon {cause:?}, pressed {} times before", stop.pressed));
        }
        stop.pressed += u32::from(cause.by_hand());
        if stop.held && !World::is_held(cause) {
            stop.held = false;
            stop.signal = World::signal_of(cause);
            if sidecar {
                // Its turn has come: two seconds, or what is left of the grace.
                stop.end = stop.end.min((stop.t0 + grace).max(now + MINIMUM_GRACE));
            }
        }
        if effect == Effect::HookTimedOut {
            stop.end = stop.end.min(now + MINIMUM_GRACE);
        }
        stop.by_hand |= effect == Effect::Kills;
        stop.cut |= matches!(effect, Effect::EndsDrain | Effect::Kills | Effect::HookTimedOut);
        Ok(())
    }

    /// After a drain by order the others do not go on without one whose end is the container's.
    pub(super) fn ends_the_hold(&mut self, p: usize, exit: Exit) {
        let restarted = self.lives[p].stopping.as_ref().is_some_and(|s| s.before);
        let fatal = match self.config.processes[p].on_exit {
            OnExit::Stop => true,
            OnExit::StopOnFailure => !self.succeeds(p, exit) || restarted || self.is_service(p),
            OnExit::Continue => false,
        };
        if let Some(stop) = &mut self.stop {
            stop.held &= !fatal;
        }
    }

    pub(super) fn check_dependencies_of_order(&self, p: usize) -> bool {
        self.lives[p].ordered && self.bodies[p].run > 0
    }

    pub(super) fn signal_of(cause: &Cause) -> Option<Signal> {
        if let Cause::Signal { signal, .. } = cause { Some(*signal) } else { None }
    }

    pub(super) fn is_held(cause: &Cause) -> bool {
        matches!(cause, Cause::DrainRequested { .. } | Cause::PreStopCalled { .. })
    }

    pub(super) fn is_by_order(cause: &Cause) -> bool {
        matches!(cause, Cause::StopRequested { .. }) || World::is_held(cause)
    }
}
