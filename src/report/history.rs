//! The recorded history and what is drawn from it at the end.

use std::collections::VecDeque;
use std::fmt;

use serde::Serialize;

use super::{Leaked, Note, Secs, TaskResult};
use crate::facts::{Cause, Exit, Place, ProcessKind, Reason, Who};
use crate::json;
use crate::text::one_line;
use crate::time::At;

/// Records kept from before the stop: enough to see a crash loop, little enough for a container that runs for years.
const KEPT_BEFORE_STOP: usize = 256;
/// Records kept of the stop itself. Its length is bounded by the grace, its notes by the configuration; this is the backstop.
const KEPT_OF_STOP: usize = 4096;
/// Of the report's JSON: a reader that knows this one understands every report that has it. A field more does not change it.
pub const FORMAT: u32 = 1;
/// The kubelet reads the last 4096 bytes of the termination log.
pub(super) const TERMINATION_MESSAGE_MAX: usize = 4096;

#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Since softstop started.
    #[serde(rename = "at_seconds")]
    pub at: Secs,
    #[serde(flatten)]
    pub note: Note,
}

/// What happened, bounded: old records of the running time go first.
#[derive(Debug, Default)]
pub struct History {
    before: VecDeque<Record>,
    stop: Vec<Record>,
    forgotten: u64,
    stopping: bool,
    orphans: Vec<Leaked>,
    setup: Setup,
}

/// What of the configuration one has to know to understand what happened. No arguments: they may hold secrets.
#[derive(Debug, Default, Serialize)]
pub struct Setup {
    /// `fail` or `keep`.
    pub readiness_on_drain: &'static str,
    pub processes: Vec<ProcessSetup>,
}

#[derive(Debug, Serialize)]
pub struct ProcessSetup {
    pub name: String,
    /// The program's name, without its folder.
    pub program: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProcessKind>,
}

impl History {
    pub fn push(&mut self, at: At, note: Note) {
        self.stopping |= matches!(note, Note::StopBegan { .. });
        // What others can send us without end must not crowd out what happened.
        let chatter = matches!(
            note,
            Note::SignalIgnored { .. }
                | Note::SignalForwarded { .. }
                | Note::StopAgain { .. }
                | Note::Suspended { .. }
                | Note::ProbeFailed { .. }
                | Note::ProbeUnknown { .. }
                | Note::Ordered { .. }
        );
        let room = if chatter { KEPT_OF_STOP / 4 } else { KEPT_OF_STOP };
        let record = Record { at: Secs(at.since_start()), note };
        if !self.stopping {
            if self.before.len() >= KEPT_BEFORE_STOP {
                self.before.pop_front();
                self.forgotten += 1;
            }
            self.before.push_back(record);
        } else if self.stop.len() < room || matches!(record.note, Note::Finished(_)) {
            self.stop.push(record);
        } else {
            self.forgotten += 1;
        }
    }

    pub fn set_setup(&mut self, setup: Setup) {
        self.setup = setup;
    }

    /// What was adopted and reaped, by command.
    pub fn set_orphans(&mut self, orphans: Vec<Leaked>) {
        self.orphans = orphans;
    }

    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.before.iter().chain(&self.stop)
    }

    pub fn result(&self) -> Option<&StopResult> {
        self.stop.iter().chain(&self.before).find_map(|r| match &r.note {
            Note::Finished(v) => Some(&**v),
            _ => None,
        })
    }

    /// The report for `--report`: the result, the stop's steps and the whole timeline, as one JSON object and a newline.
    pub fn json(&self) -> String {
        let report = self.report(self.records());
        match serde_json::to_string(&Report { orphans: &self.orphans, forgotten: self.forgotten, ..report }) {
            Ok(text) => json::pretty(&text) + "\n",
            Err(e) => format!("{{\"error\":{:?}}}\n", e.to_string()),
        }
    }

    /// The same of the stop alone, in one line, for who watches it; `None`: it has not begun.
    pub fn of_stop(&self) -> Option<String> {
        serde_json::to_string(&self.report(self.stop.iter())).ok().filter(|_| self.stopping)
    }

    fn report<'a>(&'a self, timeline: impl Iterator<Item = &'a Record>) -> Report<'a> {
        Report {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            setup: &self.setup,
            result: self.result(),
            reason: self.result().map(|result| result.cause.reason()),
            orphans: &[],
            timeline: timeline.collect(),
            forgotten: 0,
        }
    }

    /// The result for the termination log: at most 4096 bytes, the summary first and then what went wrong.
    pub fn termination_message(&self) -> String {
        let mut text = match self.result() {
            Some(result) => format!("{}\n", one_line(&result.to_string())),
            None => match self.stop.first() {
                Some(r) => {
                    format!("{}\n(softstop was ended before it could write more)\n", one_line(&r.note.to_string()))
                }
                None => String::new(),
            },
        };
        for record in self.records() {
            if record.note.level() > super::Level::Warn || matches!(record.note, Note::Finished(_)) {
                continue;
            }
            let line = format!("{:+.1}s {}\n", record.at.0.as_secs_f64(), one_line(&record.note.to_string()));
            if text.len() + line.len() > TERMINATION_MESSAGE_MAX {
                break;
            }
            text.push_str(&line);
        }
        cut(text, TERMINATION_MESSAGE_MAX)
    }
}

/// The text with so many bytes at the most.
pub(super) fn cut(mut text: String, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    version: &'static str,
    setup: &'a Setup,
    #[serde(flatten)]
    result: Option<&'a StopResult>,
    /// Its cause in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(rename = "orphans_by_command", skip_serializing_if = "<[Leaked]>::is_empty")]
    orphans: &'a [Leaked],
    timeline: Vec<&'a Record>,
    #[serde(rename = "forgotten_records", skip_serializing_if = "is_zero")]
    forgotten: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The end in numbers: the summary line, the head of the report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StopResult {
    pub exit_code: u8,
    /// Why it stopped.
    pub cause: Cause,
    #[serde(rename = "grace_seconds")]
    pub grace: Secs,
    /// From the stop request to the end.
    #[serde(rename = "took_seconds")]
    pub took: Secs,
    /// Everything was over within the grace.
    pub within_grace: bool,
    /// How the main process ended, when it did.
    pub main: Option<MainExit>,
    pub steps: Vec<StepReport>,
    /// Who needed SIGKILL.
    pub forced: Vec<Who>,
    #[serde(rename = "drain_seconds")]
    pub drain_took: Option<Secs>,
    #[serde(rename = "processes_seconds")]
    pub processes_took: Secs,
    #[serde(rename = "post_stop_seconds")]
    pub post_stop_took: Option<Secs>,
    pub orphans_reaped: u64,
    /// Nothing ever ran, and why has been said: no summary is owed.
    #[serde(skip)]
    pub nothing_ran: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MainExit {
    pub process: String,
    #[serde(flatten)]
    pub exit: Exit,
}

/// One step of the stop, with what it was allowed and what it took.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize)]
pub struct StepReport {
    pub kind: Place,
    pub name: String,
    #[serde(rename = "slice_seconds")]
    pub slice: Secs,
    #[serde(rename = "took_seconds")]
    pub took: Secs,
    #[serde(flatten)]
    pub result: TaskResult,
}

impl StopResult {
    /// Worth a warning: somebody was killed, a step failed, or it took too long.
    pub fn failed(&self) -> bool {
        !self.forced.is_empty() || !self.within_grace || self.steps.iter().any(|s| s.result.missed())
    }
}

impl fmt::Display for StopResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped in {} of {} ({})", self.took, self.grace, self.cause)?;
        let mut parts = Vec::new();
        parts.extend(self.drain_took.map(|d| format!("drain {d}")));
        parts.push(format!("processes {}", self.processes_took));
        parts.extend(self.post_stop_took.map(|d| format!("post_stop {d}")));
        write!(f, ": {}", parts.join(", "))?;
        let failed: Vec<&str> = self.steps.iter().filter(|s| s.result.missed()).map(|s| s.name.as_str()).collect();
        if !failed.is_empty() {
            write!(f, "; not done: {}", failed.join(", "))?;
        }
        if !self.forced.is_empty() {
            let forced: Vec<String> = self.forced.iter().map(Who::to_string).collect();
            write!(f, "; needed SIGKILL: {}", forced.join(", "))?;
        }
        if !self.within_grace {
            f.write_str("; over the grace")?;
        }
        // The main process's end has been said when it is the cause.
        let said = |main: &MainExit| matches!(&self.cause, Cause::ProcessEnded { process, status } if *process == main.process && *status == main.exit);
        if let Some(main) = self.main.as_ref().filter(|main| !said(main)) {
            write!(f, "; {} ended with {}", main.process, main.exit)?;
        }
        write!(f, "; exit code {}", self.exit_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program's name is the user's, a reason may quote a child: neither can add a line or drive a terminal.
    #[test]
    fn no_name_forges_a_line_of_the_termination_message() {
        let mut history = History::default();
        let forged = "web\n+0.0s all is well\x1b[2J";
        history.push(At::ZERO, Note::StartFailed { process: forged.into(), error: "no".into(), retry_in: None });
        assert_eq!(history.termination_message(), "+0.0s web\\n+0.0s all is well\\u{1b}[2J: no\n");
    }
}
