//! What a step gives out: actions, and runs with who they are for. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::action::{Action, What};
use super::event::{Exit, Reason, RunContext, RunId};
use crate::report::Note;

/// Why something is run, and the end of a process that it is about.
pub(super) type Why = (Reason, Option<Exit>);

/// Where actions are collected, with what every hook is given.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    pub out: Vec<Action>,
    pub runs: Runs,
    /// `SOFTSTOP_REASON`.
    pub reason: Reason,
    /// `SOFTSTOP_EXIT_CODE`, once it is known.
    pub exit_code: Option<u8>,
    pub seen: Seen,
}

/// The runs that have not been answered, with who they are for: each answer, and each word on the way to it, goes there.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Runs {
    next: u64,
    owners: BTreeMap<RunId, What>,
}

/// What a task can see of the processes: as it was when this turn began.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Alive, and ready. One that is not listed is neither.
    processes: Vec<(bool, bool)>,
}

impl Effects {
    pub fn push(&mut self, action: Action) {
        self.out.push(action);
    }

    pub fn note(&mut self, note: Note) {
        self.push(Action::Note(note));
    }

    pub fn run(&mut self, what: What, limit: Duration, (reason, end): Why) -> RunId {
        let run = RunId(self.runs.next);
        self.runs.next += 1;
        self.runs.owners.insert(run, what);
        let context = RunContext { reason, remaining: limit, exit_code: end.map(Exit::code).or(self.exit_code), end };
        self.push(Action::Run { run, what, limit, context });
        run
    }
}

impl Runs {
    pub fn owner(&self, run: RunId) -> Option<What> {
        self.owners.get(&run).copied()
    }

    /// It has been answered: whose was it?
    pub fn answered(&mut self, run: RunId) -> Option<What> {
        self.owners.remove(&run)
    }
}

impl Seen {
    /// Alive, and ready; gives what was seen of it before.
    pub fn set(&mut self, process: usize, seen: (bool, bool)) -> (bool, bool) {
        if process >= self.processes.len() {
            self.processes.resize(process + 1, (false, false));
        }
        std::mem::replace(&mut self.processes[process], seen)
    }

    pub fn alive(&self, process: usize) -> bool {
        self.processes.get(process).is_some_and(|seen| seen.0)
    }

    pub fn ready(&self, process: usize) -> bool {
        self.processes.get(process).is_some_and(|seen| seen.1)
    }
}

/// What is seen follows from the rest.
impl std::hash::Hash for Effects {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.runs, self.reason, self.exit_code).hash(state);
    }
}
