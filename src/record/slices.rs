//! The stop in slices: each step, each process, what was left behind; with the time it had, took, and how it ended. Pure.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{Event, Run, read};
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
    pub share: Option<Duration>,
    pub outcome: Outcome,
    /// Why it was not done; one line, or nothing.
    pub reason: String,
}

impl Slice {
    pub fn took(&self) -> Duration {
        self.until.saturating_sub(self.from)
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
        let at = self.since_stop(event);
        let step = |event: &Event| {
            let part = if event.text("kind") == "drain" { Part::Drain } else { Part::PostStop };
            (part, event.text("name").to_owned())
        };
        let open = |part, name: String| Slice {
            part,
            name,
            from: at,
            until: last,
            share: event.secs("share_seconds"),
            outcome: Outcome::Open,
            reason: String::new(),
        };
        match event.name.as_str() {
            "step_began" => {
                let (part, name) = step(event);
                list.push(open(part, name));
            }
            "step_ended" => {
                let (part, name) = step(event);
                if let Some(slice) = still_open(list, part, &name) {
                    slice.until = (slice.from + event.secs("took_seconds").unwrap_or_default()).min(at.max(slice.from));
                    (slice.outcome, slice.reason) = result(event.value("result"));
                }
            }
            "step_skipped" => {
                let (part, name) = step(event);
                let (outcome, reason) = result(event.value("result"));
                list.push(Slice { until: at, share: Some(Duration::ZERO), outcome, reason, ..open(part, name) });
            }
            "stopping" => list.push(open(Part::Process, event.text("process").to_owned())),
            // One that had no time for its ladder has no "stopping".
            "killed" if !event.flag("stragglers") => {
                let name = event.text("process");
                if still_open(list, Part::Process, name).is_none() && self.program(name).is_some() {
                    list.push(open(Part::Process, name.to_owned()));
                }
                if let Some(slice) = still_open(list, Part::Process, name) {
                    slice.outcome = Outcome::Forced;
                    slice.until = at;
                }
            }
            // By itself, before any signal.
            "exited" => {
                if let Some(slice) = still_open(list, Part::Process, event.text("process")) {
                    (slice.until, slice.outcome) = (at, Outcome::Done);
                }
            }
            "stopped" => {
                let name = event.text("process");
                let found = list.iter_mut().rev().find(|slice| slice.part == Part::Process && slice.name == name);
                if let Some(slice) = found {
                    slice.until = at;
                    slice.outcome = if event.flag("forced") { Outcome::Forced } else { Outcome::Done };
                }
            }
            "stragglers" => {
                let killed = event.text("signal") == "SIGKILL";
                let name = "what was left behind".to_owned();
                if still_open(list, Part::Stragglers, &name).is_none() {
                    list.push(Slice { reason: event.list("which").join(", "), ..open(Part::Stragglers, name.clone()) });
                }
                if let (true, Some(slice)) = (killed, still_open(list, Part::Stragglers, &name)) {
                    (slice.outcome, slice.until) = (Outcome::Forced, at);
                }
            }
            "stragglers_gone" => {
                let found = list.iter_mut().rev().find(|slice| slice.part == Part::Stragglers);
                if let Some(slice) = found {
                    slice.until = at;
                    if slice.outcome == Outcome::Open {
                        slice.outcome = Outcome::Done;
                    }
                }
            }
            _ => {}
        }
    }
}

fn still_open<'a>(list: &'a mut [Slice], part: Part, name: &str) -> Option<&'a mut Slice> {
    list.iter_mut().find(|slice| slice.part == part && slice.name == name && slice.outcome == Outcome::Open)
}

fn result(value: &Value) -> (Outcome, String) {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let outcome = match text("outcome").as_str() {
        "done" => Outcome::Done,
        "cancelled" => return (Outcome::Cancelled, text("why")),
        "timed_out" => Outcome::TimedOut,
        "cut" => Outcome::Cut,
        "no_time" => Outcome::NoTime,
        _ => Outcome::Failed,
    };
    (outcome, text("reason"))
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
            let text = |field: &str| look.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            Kill {
                process: event.text("process").to_owned(),
                at: self.since_stop(event),
                after: Some(event.text("after").to_owned()).filter(|text| !text.is_empty()),
                waited: read::secs(event.value("waited_seconds")).unwrap_or_default(),
                out_of_time: event.flag("out_of_time"),
                stragglers: event.flag("stragglers"),
                state: text("state").chars().next(),
                frozen: look.get("frozen").and_then(Value::as_bool).unwrap_or(false),
                wchan: text("wchan"),
                children: look.get("children").and_then(Value::as_u64),
                connections: look.pointer("/open_connections/count").and_then(Value::as_u64).unwrap_or(0),
                signal_is: text("signal_is"),
                last_output: look
                    .get("last_output")
                    .and_then(Value::as_array)
                    .and_then(|lines| lines.last()?.as_str())
                    .unwrap_or_default()
                    .to_owned(),
            }
        };
        self.of_stop().filter(|event| event.name == "killed").map(kill).collect()
    }
}
