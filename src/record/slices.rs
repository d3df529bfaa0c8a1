//! The stop in slices: each step, each process, what was left behind; with the time it had, took, and how it ended. Pure.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::read::text;
use super::{Event, Run};
use crate::sorted;

/// Which part of the stop a slice is of, in the order of their turns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Drain,
    Process,
    /// What the processes left behind.
    Stragglers,
    PostStop,
}

impl Part {
    pub fn heading(self) -> &'static str {
        match self {
            Part::Drain => "drain",
            Part::Process => "processes",
            Part::Stragglers => "stragglers",
            Part::PostStop => "post_stop",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// Something else made it needless.
    Cancelled,
    Failed,
    TimedOut,
    Cut,
    NoTime,
    /// It needed SIGKILL.
    Forced,
    /// The report ends before it does.
    Open,
}

impl Outcome {
    /// Behind "it".
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Cancelled => "not needed",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed out",
            Outcome::Cut => "cut short",
            Outcome::NoTime => "no time left",
            Outcome::Forced => "SIGKILL",
            Outcome::Open => "not over",
        }
    }
}

/// One step, process or what was left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    pub part: Part,
    pub name: String,
    /// From the stop request on.
    pub from: Duration,
    pub until: Duration,
    /// The time that it had.
    pub granted: Option<Duration>,
    pub outcome: Outcome,
    /// Why it was not done; one line, or nothing.
    pub reason: String,
}

impl Slice {
    pub fn took(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }

    fn ends(&mut self, outcome: Outcome, at: Duration) {
        (self.outcome, self.until) = (outcome, at);
    }

    /// It went as it should.
    pub fn ok(&self) -> bool {
        matches!(self.outcome, Outcome::Done | Outcome::Cancelled)
    }
}

impl Run {
    /// In the order of their beginnings, part by part.
    pub fn slices(&self) -> Vec<Slice> {
        let mut list: Vec<Slice> = Vec::new();
        let last = self.last();
        for event in self.of_stop() {
            self.take(event, last, &mut list);
        }
        // One that ended by itself during its pre_stop has no record of its end.
        if let Some(end) = &self.end {
            let post_stop = list.iter().filter(|slice| slice.part == Part::PostStop).map(|slice| slice.from).min();
            for slice in list.iter_mut().filter(|slice| slice.outcome == Outcome::Open) {
                (slice.outcome, slice.until) = (Outcome::Done, post_stop.unwrap_or(end.took).max(slice.from));
            }
        }
        sorted::by_key(&mut list, |slice| (slice.part, slice.from));
        list
    }

    fn take(&self, event: &Event, last: Duration, list: &mut Vec<Slice>) {
        let Some(new) = self.begun(event, last) else { return };
        let at = new.from;
        let its = |slice: &&mut Slice| slice.part == new.part && slice.name == new.name;
        let open = list.iter_mut().filter(its).find(|slice| slice.outcome == Outcome::Open);
        match (event.name.as_str(), open) {
            ("step_began" | "stopping", _) => list.push(new),
            ("step_skipped", _) => {
                let (outcome, reason) = result(event.value("result"));
                list.push(Slice { until: at, granted: Some(Duration::ZERO), outcome, reason, ..new });
            }
            ("step_ended", Some(slice)) => {
                slice.until = (slice.from + event.secs("took_seconds").unwrap_or_default()).min(at.max(slice.from));
                (slice.outcome, slice.reason) = result(event.value("result"));
            }
            // One that had no time for its ladder has no "stopping".
            ("killed", None) if self.program(&new.name).is_some() => {
                list.push(Slice { until: at, outcome: Outcome::Forced, ..new });
            }
            ("killed", Some(slice)) => slice.ends(Outcome::Forced, at),
            // By itself, before any signal.
            ("exited", Some(slice)) => slice.ends(Outcome::Done, at),
            ("stopped", _) => {
                if let Some(slice) = list.iter_mut().rfind(its) {
                    slice.ends(if event.flag("forced") { Outcome::Forced } else { Outcome::Done }, at);
                }
            }
            ("stragglers", open) => {
                let mut new = open.is_none().then(|| Slice { reason: event.list("which").join(", "), ..new });
                if let (Some(slice), "SIGKILL") = (open.or(new.as_mut()), event.text("signal")) {
                    slice.ends(Outcome::Forced, at);
                }
                list.extend(new);
            }
            ("stragglers_gone", Some(slice)) => slice.ends(Outcome::Done, at),
            ("stragglers_gone", None) => {
                if let Some(slice) = list.iter_mut().rfind(its) {
                    slice.until = at;
                }
            }
            _ => {}
        }
    }

    /// A slice that begins with this record. `None`: it is about none.
    fn begun(&self, event: &Event, last: Duration) -> Option<Slice> {
        let (part, whose) = match event.name.as_str() {
            "step_began" | "step_ended" | "step_skipped" => {
                (if event.text("kind") == "drain" { Part::Drain } else { Part::PostStop }, event.text("name"))
            }
            "stopping" | "exited" | "stopped" => (Part::Process, event.text("process")),
            "killed" if !event.flag("stragglers") => (Part::Process, event.text("process")),
            "stragglers" | "stragglers_gone" => (Part::Stragglers, "what was left behind"),
            _ => return None,
        };
        Some(Slice {
            part,
            name: whose.to_owned(),
            from: self.since_stop(event),
            until: last,
            granted: event.secs("slice_seconds"),
            outcome: Outcome::Open,
            reason: String::new(),
        })
    }
}

fn result(value: &Value) -> (Outcome, String) {
    let outcome = match text(value, "outcome") {
        "done" => Outcome::Done,
        "cancelled" => return (Outcome::Cancelled, text(value, "why").to_owned()),
        "timed_out" => Outcome::TimedOut,
        "cut" => Outcome::Cut,
        "no_time" => Outcome::NoTime,
        _ => Outcome::Failed,
    };
    (outcome, text(value, "reason").to_owned())
}

/// What was seen of a process before its SIGKILL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Kill {
    pub process: String,
    pub at: Duration,
    /// The last signal of its ladder, if any was sent.
    pub after: Option<String>,
    pub waited: Duration,
    pub out_of_time: bool,
    /// Only what it left behind.
    pub stragglers: bool,
    /// The kernel's letter.
    pub state: Option<char>,
    pub frozen: bool,
    pub wchan: String,
    pub children: Option<u64>,
    pub connections: u64,
    /// What the signal is to it: caught, ignored, blocked.
    pub signal_is: String,
    pub last_output: String,
}

impl Run {
    pub(super) fn kills(&self) -> Vec<Kill> {
        let kill = |event: &Event| {
            let look = event.value("look");
            let text = |field: &str| text(look, field).to_owned();
            let lines = look.get("last_output").and_then(Value::as_array);
            Kill {
                process: event.text("process").to_owned(),
                at: self.since_stop(event),
                after: Some(event.text("after").to_owned()).filter(|text| !text.is_empty()),
                waited: event.secs("waited_seconds").unwrap_or_default(),
                out_of_time: event.flag("out_of_time"),
                stragglers: event.flag("stragglers"),
                state: text("state").chars().next(),
                frozen: look.get("frozen").and_then(Value::as_bool).unwrap_or(false),
                wchan: text("wchan"),
                children: look.get("children").and_then(Value::as_u64),
                connections: look.pointer("/open_connections/count").and_then(Value::as_u64).unwrap_or(0),
                signal_is: text("signal_is"),
                last_output: lines.and_then(|lines| lines.last()?.as_str()).unwrap_or_default().to_owned(),
            }
        };
        self.of_stop().filter(|event| event.name == "killed").map(kill).collect()
    }
}
