//! Everything that may be done. Pure.

use std::time::Duration;

use super::event::{ProcId, RequestId, RunContext, RunId, Sender};
use crate::config::{Handler, Probe, SignalTo, Step, Task};
pub use crate::facts::{KillReason, Place, ProbeKind};
use crate::plan::Plan;
pub use crate::report::Answer;
use crate::report::Note;
use crate::signal::Signal;

#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Action {
    /// Start the process; answered by `Event::Spawned` or `Event::SpawnFailed` in the same turn.
    Spawn { process: ProcId },
    /// Send a signal to a process that has not been reaped; with `wake`, SIGCONT after it so that a stopped process can act. Answered by
    /// `Event::NotSent` when it reached nobody.
    Signal { process: ProcId, signal: Signal, to: SignalTo, wake: bool },
    /// Send a process that is about to be killed the signal upon which it says what it is doing, and SIGCONT.
    Diagnose { process: ProcId, signal: Signal, to: SignalTo },
    /// Pass on a signal that is not a stop request.
    Forward { process: ProcId, signal: Signal, sender: Sender },
    /// SIGKILL the process and its group, after a look at what it is doing.
    Kill { process: ProcId, because: KillReason },
    /// Send what the operator ordered; answered by `Event::SignalAnswered`.
    SignalByCommand { ask: RequestId, process: ProcId, signal: Signal, to: SignalTo },
    /// Send a signal, and SIGCONT, to what is left of the group of a process that has ended. Whoever has had a stop signal is passed
    /// over, but for SIGKILL.
    SignalGroup { process: ProcId, signal: Signal, whom: Whom },
    /// Do a task's or probe's handler once; answered by `Event::RunDone`, also after a `Cancel`.
    Run { run: RunId, what: What, limit: Duration, context: RunContext },
    /// End a run. `kill`: at once; else an exec handler gets SIGTERM.
    Cancel { run: RunId, kill: bool },
    /// Signal what is left behind elsewhere: descendants that are neither known processes nor running hooks, nor of a group that is
    /// being waited for, which has its own time. Whoever has had a stop signal is passed over, but for SIGKILL.
    SignalStragglers { signal: Signal, whom: Whom },
    /// SIGKILL to everything that still lives below us.
    KillEverything,
    /// Once this turn's dead are reaped, say whether any child is left: `Event::Alone` or `Event::NotAlone`.
    Census,
    /// Read the configuration again: answered by one `Event::Reread`, later.
    Reread { ask: Option<RequestId>, dry_run: bool },
    /// The one answer to an order.
    Answer { ask: RequestId, answer: Answer },
    /// Have every log file opened again by its name.
    ReopenLogs,
    /// Record and log this.
    Note(Note),
    /// The end: exit with this code.
    Finish { code: u8 },
}

/// Which of the stragglers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Whom {
    /// Those whose parent has ended: what they have started is theirs to stop.
    Outermost,
    Everybody,
}

/// Which task, hook, step or probe a run is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct What {
    pub place: Place<ProcId>,
    /// Of `[[drain]]` or `[[post_stop]]`; elsewhere there is one.
    pub step: usize,
    /// The task of that place, or in that step; what a sidecar follows: 0 until it runs, 1 until it has ended.
    pub nth: usize,
}

impl What {
    pub fn new(place: Place<ProcId>, nth: usize) -> What {
        What { place, step: 0, nth }
    }

    pub fn is_probe(self) -> bool {
        matches!(self.place, Place::Probe(..))
    }
}

/// What an action's names stand for.
impl Plan {
    /// `[[drain]]` or `[[post_stop]]`.
    pub fn steps(&self, place: Place) -> &[Step] {
        match place {
            Place::Drain => &self.config.drain,
            Place::PostStop => &self.config.post_stop,
            _ => &[],
        }
    }

    /// The task behind a run; `None` for a probe.
    pub fn task(&self, what: What) -> Option<&Task> {
        let c = &self.config;
        match what.place {
            Place::Init => c.init.get(what.nth),
            Place::PostStart(p) => c.processes.get(p.0)?.post_start.get(what.nth),
            Place::PreStop(p) => c.processes.get(p.0)?.pre_stop.as_deref(),
            Place::PostExit(p) => c.processes.get(p.0)?.post_exit.get(what.nth),
            Place::Drain | Place::PostStop => self.steps(what.place.map(drop)).get(what.step)?.tasks.get(what.nth),
            Place::OnChange => c.on_change.get(what.nth)?.act.task(),
            Place::Follow => c.sidecar.as_ref()?.follow.as_ref()?.waits.get(what.nth),
            Place::Probe(..) => None,
        }
    }

    /// Where it stands, by the name of its process, and its own name.
    pub fn named(&self, what: What) -> (Place<String>, String) {
        (what.place.map(|p| self.name(p.0).to_string()), self.task_name(what))
    }

    pub fn task_name(&self, what: What) -> String {
        self.task(what).map_or_else(String::new, |task| task.name.clone())
    }

    /// Those that wait for it (`after`).
    pub fn needed_by(&self, process: ProcId) -> Vec<String> {
        self.order.dependents[process.0].iter().map(|(by, _)| self.name(*by).to_string()).collect()
    }

    pub fn probe(&self, process: usize, kind: ProbeKind) -> Option<&Probe> {
        self.config.processes.get(process)?.probe(kind)
    }

    /// What a run does.
    pub fn handler(&self, what: What) -> Option<&Handler> {
        match what.place {
            Place::Probe(p, kind) => self.probe(p.0, kind).map(|p| &p.handler),
            _ => self.task(what).map(|t| &t.handler),
        }
    }
}
