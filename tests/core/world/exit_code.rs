//! I8: the exit code by the table of docs/exit-codes.md, worked out from what happened.

use softstop::facts::Cause;
use softstop::lifecycle::event::Exit;
use softstop::signal::Signal;

use super::checks::{Stop, index};
use super::{Checked, World, broken};

impl World {
    pub(super) fn check_exit_code(&mut self, stop: &Stop, code: u8) -> Checked {
        self.checked(8);
        let expected = self.expected_codes(stop);
        if expected.contains(&code) {
            Ok(())
        } else {
            broken("I8", format!("exit code {code}, where the table says {expected:?}: {stop:?}"))
        }
    }

    /// The code, and where the machine may rightly see it either way, both.
    fn expected_codes(&self, stop: &Stop) -> Vec<u8> {
        let own = self.own_codes(stop);
        match self.config.exit_codes.forced {
            Some(forced) if stop.killed => vec![forced],
            Some(forced) if stop.swept => [own, vec![forced]].concat(),
            _ => own,
        }
    }

    fn own_codes(&self, stop: &Stop) -> Vec<u8> {
        // An order counts as SIGTERM.
        let asked = stop.requested.then(|| 128 + stop.signal.unwrap_or(Signal::TERM).number() as u8);
        match &stop.cause {
            Some(Cause::StartFailed { process, .. }) => {
                return vec![self.lives[index(process)].not_started.unwrap_or(0)];
            }
            // The hook's own code, or none of its own: it timed out, or what it was to signal was not there.
            Some(Cause::InitFailed { .. } | Cause::PostStartFailed { .. }) => return vec![5, 1],
            Some(Cause::DependencyFailed { .. }) => return vec![1],
            _ => {}
        }
        let map = |code: u8| self.config.exit_codes.map.get(&code).copied().unwrap_or(code);
        if let (Some(code), false) = (asked, stop.anything_ran) {
            return vec![map(code)];
        }
        // That of the stop signal, or of the process whose end was the container's.
        let ended = match &stop.cause {
            Some(Cause::ProcessEnded { process, .. }) => Some(index(process)),
            _ => None,
        };
        let of_cause = || match (asked, ended) {
            (Some(code), _) => code,
            (None, Some(p)) => self.lives[p].last_exit.map_or(0, Exit::code),
            // What a sidecar followed has ended, and not everything of its own could be ended.
            (None, None) => stop.first_failure.or(self.bodies.iter().any(|b| b.alive).then_some(137)).unwrap_or(0),
        };
        let Some(main) = self.main() else {
            if ended.is_some() {
                return vec![map(of_cause())];
            }
            // One that could not be ended has failed too; whether it was given up before it ended after all is the machine's to say.
            let alive = self.bodies.iter().any(|b| b.alive);
            let stuck = alive || self.bodies.iter().any(|b| b.unkillable && b.killed);
            let first = stop.first_failure.or(alive.then_some(137)).unwrap_or(0);
            return [first].into_iter().chain(stuck.then_some(137)).map(map).collect();
        };
        let life = &self.lives[main];
        // Whether one that could not be ended was given up before it ended after all is the machine's to say.
        let stuck = asked.is_none() && self.bodies.iter().any(|b| b.unkillable && b.killed);
        let code = match (self.bodies[main].alive, life.not_started, life.last_exit) {
            (true, ..) => 137,
            (false, Some(code), exit) => {
                // Its end, unless it was to be tried again when the stop came.
                let own = exit.map_or_else(of_cause, Exit::code);
                return [code, own].into_iter().chain((stuck && exit.is_none()).then_some(137)).map(map).collect();
            }
            (false, None, Some(exit)) => exit.code(),
            (false, None, None) if life.cannot_start => 1,
            (false, None, None) => {
                return [of_cause()].into_iter().chain(stuck.then_some(137)).map(map).collect();
            }
        };
        vec![map(code)]
    }

    /// What counts as a failure from the very beginning of the stop.
    pub(super) fn first_failure_of(&self, stop: &mut Stop) {
        if let Some(Cause::ProcessEnded { process, .. }) = &stop.cause {
            let p = index(process);
            stop.first_failure = self.lives[p].last_exit.filter(|e| !self.succeeds(p, *e)).map(Exit::code);
        }
        if stop.cause == Some(Cause::AllEnded) {
            let mut lives = self.lives.iter().enumerate();
            stop.first_failure = lives.find_map(|(p, life)| match (life.not_started, life.last_exit) {
                // A run that has failed is not the container's failure.
                (Some(_), _) | (None, Some(_)) if self.config.processes[p].schedule.is_some() => None,
                (Some(code), _) => Some(code),
                (None, Some(exit)) if !self.succeeds(p, exit) => Some(exit.code()),
                (None, None) if life.cannot_start => Some(1),
                _ => None,
            });
        }
    }

    /// A process has ended while the container stops: a failure, unless it is by a signal that its ladder has sent it.
    pub(super) fn ended_in_stop(&mut self, p: usize, exit: Exit) {
        let life = &self.lives[p];
        let stopping = life.stopping.is_some() || self.bodies[p].killed;
        let sent = |code: u8| stopping && life.sent.iter().any(|(s, _)| 128 + s.number() as u8 == code);
        let by_us = match exit {
            Exit::Signal { signal: Signal::KILL, .. } => false,
            _ => sent(exit.code()),
        };
        // By the diagnostic signal, or by itself after its ladder was over: SIGKILL was next.
        let failure = !self.succeeds(p, exit);
        let forced = life.diagnosed.is_some() && !self.bodies[p].killed && failure && !by_us;
        if let Some(stop) = &mut self.stop {
            stop.killed |= forced;
        }
        if let Some(stop) = &mut self.stop
            && failure
            && !by_us
        {
            stop.first_failure.get_or_insert(exit.code());
        }
    }
}
