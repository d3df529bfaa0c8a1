//! The account of the stop: the cause in words, the exit code, the verdict. Pure.

use crate::exit;
use crate::lifecycle::Machine;
use crate::lifecycle::event::{Cause, Exit, ProcId};
use crate::report::{MainExit, Secs, Verdict};
use crate::signal::Signal;

use super::{Stop, failed};

impl Machine {
    pub(in crate::lifecycle) fn cause_text(&self, cause: &Cause) -> String {
        match cause {
            Cause::Signal { signal, sender } => format!("{signal} from {sender}"),
            Cause::StopOrdered { by } => format!("softstop stop by {by}"),
            Cause::DrainOrdered { by } => format!("softstop drain by {by}"),
            Cause::PreStopCalled { by } => format!("GET /prestop by {by}"),
            Cause::ProcessEnded { process, status } => {
                format!("{} ended with {status}", self.name(*process))
            }
            Cause::StartFailed { process, .. } => {
                format!("{} could not be started", self.name(*process))
            }
            Cause::InitFailed { task, .. } => {
                format!("init task {:?} failed", self.plan.config.init[*task].name)
            }
            Cause::PostStartFailed { process, .. } => {
                format!("a post_start task of {} failed", self.name(*process))
            }
            Cause::AllEnded => "every process has ended".to_string(),
            Cause::DependencyFailed { process, on } => {
                format!("{} waits for {}, which cannot be", self.name(*process), self.name(*on))
            }
        }
    }

    /// DESIGN section 3, "Exit code"; docs/exit-codes.md.
    pub(super) fn exit_code(&self) -> u8 {
        let Some(stop) = &self.stop else {
            return exit::OK;
        };
        let own = match stop.cause {
            Cause::StartFailed { code, .. } | Cause::InitFailed { code, .. } | Cause::PostStartFailed { code, .. } => {
                code
            }
            Cause::DependencyFailed { .. } => exit::FAILED,
            Cause::Signal { .. }
            | Cause::StopOrdered { .. }
            | Cause::DrainOrdered { .. }
            | Cause::PreStopCalled { .. }
            | Cause::ProcessEnded { .. }
            | Cause::AllEnded => {
                let code = self.main_code(stop);
                self.plan.config.exit_codes.map.get(&code).copied().unwrap_or(code)
            }
        };
        match self.plan.config.exit_codes.forced {
            Some(forced) if !stop.forced.is_empty() => forced,
            _ => own,
        }
    }

    pub(super) fn main_code(&self, stop: &Stop) -> u8 {
        // An order counts as SIGTERM.
        let asked_by = stop.cause.requested().then(|| exit::for_signal(stop.signal.unwrap_or(Signal::TERM).number()));
        if let (Some(code), false) = (asked_by, stop.anything_ran) {
            return code;
        }
        if let Some(main) = self.plan.main {
            let p = &self.processes[main];
            let own = match (failed(p), p.last_exit) {
                // Not the exit of an earlier run: SIGKILL is all that is left for this one.
                _ if self.fx.alive[main] => Some(exit::for_signal(Signal::KILL.number())),
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
        match stop.cause {
            Cause::ProcessEnded { status, .. } => status.code(),
            _ => stop.first_failure.unwrap_or_else(|| {
                // One that not even SIGKILL has ended (yet) has failed as well.
                let killed = exit::for_signal(Signal::KILL.number());
                if self.fx.alive.contains(&true) { killed } else { exit::OK }
            }),
        }
    }

    pub(super) fn verdict(&self, exit_code: u8) -> Option<Verdict> {
        let stop = self.stop.as_ref()?;
        let main = self.plan.main.and_then(|main| {
            let exit = self.processes[main].last_exit?;
            Some(MainExit { process: self.name(ProcId(main)), exit: exit.into() })
        });
        let took = self.now.since(stop.t0);
        Some(Verdict {
            exit_code,
            cause: self.cause_text(&stop.cause),
            grace: Secs(self.plan.budget.grace),
            took: Secs(took),
            within_grace: took <= self.plan.budget.grace,
            main,
            steps: stop.steps.clone(),
            forced: stop.forced.clone(),
            drain_took: stop.drain_took.map(Secs),
            processes_took: Secs(stop.processes_took),
            post_stop_took: stop.post_stop_took.map(Secs),
            orphans_reaped: self.orphans_reaped,
            nothing_ran: !stop.anything_ran && stop.steps.is_empty() && !stop.cause.requested(),
        })
    }
}
