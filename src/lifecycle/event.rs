//! Everything that can happen. Pure.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::config::Config;
pub use crate::facts::{
    Cause, Client, Exit, HookCaller, Notification, Outcome, Progress, Reason, Sender, SpawnError, SpawnErrorKind,
};
pub use crate::order::Order;
use crate::programs::Program;
use crate::report::NotSent;
use crate::signal::Signal;

/// Index of a process in the plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ProcId(pub usize);

/// One attempt at a task or probe: unique over softstop's life, so a late answer of an old attempt is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct RunId(pub u64);

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Once, first.
    Begin,
    /// softstop was sent a signal. `program`: what the main process is, where `Machine::whose_program_decides` says that it matters.
    Signalled { signal: Signal, sender: Sender, program: Option<&'static Program> },
    /// The answer to `Action::Spawn`, in the same turn.
    Spawned { process: ProcId, pid: i32 },
    /// The same: there is no process.
    SpawnFailed { process: ProcId, error: SpawnError },
    /// A process has ended; it is still a zombie, so its pid and group are still its own.
    Exited { process: ProcId, status: Exit },
    /// The time of a scheduled task has come.
    Scheduled { process: ProcId },
    /// A process was stopped by a signal (SIGSTOP, Ctrl-Z, a terminal that it may not use): it does nothing until it is continued.
    Suspended { process: ProcId, signal: Signal },
    /// It goes on.
    Resumed { process: ProcId },
    /// A process that runs says something of itself: any number of times, and anything at any time.
    Notified { process: ProcId, what: Notification },
    /// Nothing is left of the process group of a process that has ended.
    GroupEmpty { process: ProcId },
    /// The answer to `Action::Run`.
    RunDone { run: RunId, outcome: Outcome },
    /// A run under way says how far it is: any number of times before its answer.
    Progress { run: RunId, progress: Progress },
    /// The answer to `Action::Census`: softstop has no child left, of whatever origin.
    Alone,
    /// The answer to `Action::Census`: something still lives below softstop.
    NotAlone,
    /// There are stragglers that have had no stop signal: they have just been orphaned or started. `group`: of the group of a process
    /// that has ended. Reported once some of them have been signalled, as long as it is so.
    Unsignalled { group: Option<ProcId> },
    /// A signal of an `Action::Signal` or `Action::Diagnose` has reached nobody.
    NotSent { process: ProcId, signal: Signal },
    /// The answer to `Action::SignalByCommand`. `error`: it reached nobody, and why.
    SignalAnswered { ask: RequestId, process: ProcId, signal: Signal, error: Option<NotSent> },
    /// So many processes live below softstop: ending them takes time. `waited`: the longest that softstop has been ready and was not
    /// given the processor, from the stop request on.
    Crowd { processes: usize, waited: Duration },
    /// An order over the control socket, or `GET /prestop`; answered by one `Action::Answer`, now or later.
    Ordered { ask: RequestId, order: Order, by: Client },
    /// A file or folder of an `[[on_change]]`, by its number, is another one than it was.
    FileChanged { rule: usize, path: PathBuf },
    /// The answer to `Action::Reread`: the configuration, checked, or what is wrong with it.
    Reread { ask: Option<RequestId>, dry_run: bool, read: Result<Rc<Config>, String> },
    /// Who gave the order no longer waits for its answer.
    ClientGone { ask: RequestId },
    /// An adopted process has been reaped.
    OrphanReaped,
    /// softstop itself did not get to run for so long until now, as far as it knows: paused, or no processor time left. Reported before
    /// anything that has happened meanwhile.
    Late { lost: Duration },
    /// Time has passed; nothing else has happened.
    Tick,
}

/// One order: unique over softstop's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct RequestId(pub u64);

/// What a hook or step is given: `SOFTSTOP_REASON`, `SOFTSTOP_REMAINING_MS`, `SOFTSTOP_EXIT_CODE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunContext {
    pub reason: Reason,
    pub remaining: Duration,
    pub exit_code: Option<u8>,
    /// Of its process, at whose end it is: `SOFTSTOP_EXIT_CODE` and `SOFTSTOP_EXIT_SIGNAL`.
    pub end: Option<Exit>,
}
