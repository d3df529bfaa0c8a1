//! How it ended: the exit code and the result. Pure.

use super::core::Core;
use super::event::{Cause, Exit, ProcId};
use super::process::{End, Proc, State};
use super::stop::Stop;
use crate::exit;
use crate::report::{MainExit, Secs, StopResult};
use crate::signal::Signal;

impl Stop {
    /// DESIGN section 3, "Exit code"; docs/exit-codes.md.
    pub fn exit_code(&self, core: &Core) -> u8 {
        let own = match self.cause {
            Cause::StartFailed { code, .. } | Cause::InitFailed { code, .. } | Cause::PostStartFailed { code, .. } => {
                code
            }
            Cause::DependencyFailed { .. } => exit::FAILED,
            Cause::Signal { .. }
            | Cause::StopRequested { .. }
            | Cause::DrainRequested { .. }
            | Cause::PreStopCalled { .. }
            | Cause::ProcessEnded { .. }
            | Cause::AllEnded
            | Cause::FollowedEnded { .. } => {
                let code = self.main_code(core);
                core.plan.config.exit_codes.map.get(&code).copied().unwrap_or(code)
            }
        };
        match core.plan.config.exit_codes.forced {
            Some(forced) if !self.nobody_was_forced() => forced,
            _ => own,
        }
    }

    fn main_code(&self, core: &Core) -> u8 {
        // An order counts as SIGTERM.
        let asked_by = self.cause.requested().then(|| exit::for_signal(self.signal.unwrap_or(Signal::TERM).number()));
        if let (Some(code), false) = (asked_by, self.anything_ran) {
            return code;
        }
        let killed = exit::for_signal(Signal::KILL.number());
        if let Some(main) = core.plan.main {
            let p = &core.processes[main];
            let own = match (p.failed(), p.last_exit) {
                // Not the exit of an earlier run: SIGKILL is all that is left for this one.
                _ if p.alive() => Some(killed),
                (Some(code), _) => Some(code),
                (None, exit) => exit.map(Exit::code),
            };
            if let Some(code) = own {
                return code;
            }
            // It never ran: then the code is that of what ended the container.
            if let Some(code) = asked_by {
                return code;
            }
        }
        match self.cause {
            Cause::ProcessEnded { status, .. } => status.code(),
            // One that not even SIGKILL has ended (yet) has failed as well.
            _ if self.first_failure.is_none() && core.processes.iter().any(Proc::alive) => killed,
            _ => self.first_failure.unwrap_or(exit::OK),
        }
    }

    pub fn result(&self, exit_code: u8, core: &Core) -> StopResult {
        let main = core.plan.main.and_then(|main| {
            let exit = core.processes[main].last_exit?;
            Some(MainExit { process: core.name(ProcId(main)), exit })
        });
        let took = core.now.since(self.t0);
        let grace = core.plan.budget.grace;
        StopResult {
            exit_code,
            cause: self.cause.clone(),
            grace: Secs(grace),
            took: Secs(took),
            within_grace: took <= grace.max(self.end.since(self.t0)),
            main,
            steps: self.record.steps.clone(),
            forced: self.forced(core),
            drain_took: self.record.drain_took.map(Secs),
            processes_took: Secs(self.record.processes_took.unwrap_or_default()),
            post_stop_took: self.record.post_stop_took.map(Secs),
            orphans_reaped: core.orphans_reaped,
            nothing_ran: !self.anything_ran && self.record.steps.is_empty() && !self.cause.requested(),
        }
    }
}

impl Proc {
    /// The exit code that its final end stands for, when that was a failure.
    pub fn failed(&self) -> Option<u8> {
        match self.state {
            State::Ended(End::Exited(exit)) if !self.has_succeeded() => Some(exit.code()),
            State::Ended(End::StartFailed { code }) => Some(code),
            State::Ended(End::CannotStart { .. }) => Some(exit::FAILED),
            _ => None,
        }
    }
}
