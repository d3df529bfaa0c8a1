//! A finished run's report, read again: what `softstop report` draws and explains, and `softstop drill` judges. Pure.
//!
//! [`read`] takes the text of [`crate::report::History::json`] and nothing else; [`draw`] makes a picture of it, [`findings`] says what went
//! wrong and what would help, [`compare`] holds two against each other. docs/report.md, docs/report.schema.json.

pub mod compare;
mod draw;
pub mod findings;
mod last_stop;
mod read;
mod slices;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::programs;
pub use last_stop::{Found, LastStop};
pub use slices::{Outcome, Part, Slice};

/// More is no report of softstop's: it keeps some four thousand records of a few hundred bytes, and what was seen of at most 32 processes
/// that were killed.
pub const MAX_BYTES: usize = 16 << 20;

/// One run, as its report has it. Times in events count from softstop's start, all others from the stop request.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Run {
    /// Of the softstop that wrote it.
    pub version: String,
    /// What the configuration said of it.
    pub setup: Setup,
    /// `None`: softstop was killed before the end.
    pub end: Option<End>,
    /// When the stop was requested; `None`: it never was.
    pub stop_began: Option<Duration>,
    /// Why it stopped.
    pub cause: Option<String>,
    /// The same as one of [`crate::facts::Reason`]'s words.
    pub reason: Option<String>,
    pub grace: Option<Duration>,
    /// What softstop kills at then is what is left.
    pub deadline: Option<Duration>,
    pub events: Vec<Event>,
    /// Of one that is not over: how long after the stop request it was looked at.
    pub seen: Option<Duration>,
    /// What somebody outside has seen of it; a report has none of that.
    pub observed: Observed,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Setup {
    /// Readiness stays while it drains (`readiness_on_drain = "keep"`).
    pub keeps_ready: bool,
    pub processes: Vec<ProcessSetup>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProcessSetup {
    pub name: String,
    /// The program's own name, without its folder.
    pub program: String,
    /// It runs to completion.
    pub task: bool,
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    pub exit_code: u8,
    pub took: Duration,
    pub within_grace: bool,
    /// Who needed SIGKILL.
    pub forced: Vec<String>,
}

/// What somebody outside has seen of it: for `softstop drill`. Times count from the stop request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// There were clients that went by its readiness: what they did not meet has not been.
    pub clients: bool,
    /// Requests that nobody took.
    pub refused: Failed,
    /// Requests that were taken, and the connection was reset or closed before the whole answer.
    pub cut: Failed,
    /// Answers of 500 and above.
    pub errors: Failed,
    /// None came in time.
    pub unanswered: Failed,
    /// For so long clients did not know of the stop.
    pub lag: Option<Duration>,
    /// Readiness was still a success then, and requests failed.
    pub ready_until: Option<Duration>,
    /// Whoever ran the container sent SIGKILL then.
    pub killed: Option<Duration>,
    /// Shells that the stop signal ended at once, and the child that each left behind.
    pub shells: Vec<(String, String)>,
    /// Why it was not ready.
    pub never_ready: Option<String>,
    /// It ended before the stop was requested: ` with exit code 1`.
    pub ended: Option<String>,
    /// A process that was killed on purpose, and was not ready again.
    pub not_again: Option<String>,
    /// Still there after softstop's end, by name.
    pub left: Vec<String>,
}

/// Requests that failed in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Failed {
    pub count: u64,
    pub first: Duration,
    pub last: Duration,
}

/// One record of the timeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    pub at: Duration,
    pub name: String,
    fields: Map<String, Value>,
}

impl Run {
    /// The text of a report.
    ///
    /// # Errors
    /// One line: what is wrong with it, and where.
    pub fn read(text: &[u8]) -> Result<Run, String> {
        read::run(text)
    }

    /// What happened from the stop request on.
    pub fn of_stop(&self) -> impl Iterator<Item = &Event> {
        let from = self.stop_began.unwrap_or(Duration::MAX);
        self.events.iter().filter(move |event| event.at >= from)
    }

    /// When that was, from the stop request on.
    pub fn since_stop(&self, event: &Event) -> Duration {
        event.at.saturating_sub(self.stop_began.unwrap_or_default())
    }

    /// What a process that was started as a shell has become by exec.
    pub fn has_become(&mut self, process: &str, program: &str) {
        let setup = self.setup.processes.iter_mut().find(|setup| setup.name == process);
        if let Some(setup) = setup.filter(|setup| programs::is_shell(&setup.program)) {
            program.clone_into(&mut setup.program);
        }
    }

    /// What the report says of the process of that name.
    pub fn program(&self, process: &str) -> Option<&ProcessSetup> {
        self.setup.processes.iter().find(|setup| setup.name == process)
    }

    /// The last thing that is known of it.
    fn last(&self) -> Duration {
        let last = self.of_stop().map(|event| self.since_stop(event)).max().unwrap_or_default();
        self.end.as_ref().map_or(last.max(self.seen.unwrap_or_default()), |end| end.took)
    }
}

impl Event {
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn value(&self, field: &str) -> &Value {
        self.fields.get(field).unwrap_or(&Value::Null)
    }

    fn flag(&self, field: &str) -> bool {
        self.value(field).as_bool().unwrap_or(false)
    }

    fn count(&self, field: &str) -> u64 {
        self.value(field).as_u64().unwrap_or(0)
    }

    fn secs(&self, field: &str) -> Option<Duration> {
        read::secs(self.value(field))
    }

    fn list(&self, field: &str) -> Vec<&str> {
        self.value(field).as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
