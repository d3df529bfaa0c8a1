//! What softstop's own report says of a run, read as any other JSON: a part that is missing is nothing. Pure.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::report::Secs;

/// A finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    pub exit_code: u8,
    pub cause: String,
    #[serde(rename = "grace_seconds")]
    pub grace: Secs,
    #[serde(rename = "took_seconds")]
    pub took: Secs,
    pub within_grace: bool,
    /// Who needed SIGKILL.
    pub forced: Vec<String>,
    pub steps: Vec<Step>,
    pub processes: Vec<Stopped>,
    /// Since softstop started; `None`: no stop began.
    #[serde(skip)]
    pub began: Option<Duration>,
    #[serde(skip)]
    pub events: Vec<Event>,
}

/// A step of the stop.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Step {
    /// `drain`, `post_stop`, a process's `pre_stop`.
    pub kind: String,
    pub name: String,
    /// `done`, `failed`, `timed_out`, `cut`, `cancelled`, `no_time`.
    pub outcome: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// From the stop request to its beginning.
    #[serde(rename = "after_seconds")]
    pub after: Secs,
    #[serde(rename = "share_seconds")]
    pub share: Secs,
    #[serde(rename = "took_seconds")]
    pub took: Secs,
}

/// A process that was stopped.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Stopped {
    pub name: String,
    /// What it was sent first: `SIGTERM`, or `pre_stop`.
    pub how: String,
    /// From the stop request to that.
    #[serde(rename = "after_seconds")]
    pub after: Secs,
    #[serde(rename = "took_seconds")]
    pub took: Secs,
    pub exit_code: Option<u8>,
    /// That ended it, if one did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signal: String,
    pub forced: bool,
}

/// One record of the timeline.
#[derive(Clone, Debug)]
pub struct Event {
    /// Since softstop started.
    pub at: Duration,
    pub name: String,
    value: Value,
}

impl Event {
    pub fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    pub fn seconds(&self, key: &str) -> Duration {
        seconds(&self.value[key])
    }

    pub fn number(&self, key: &str) -> u64 {
        self.value[key].as_u64().unwrap_or(0)
    }

    pub fn is(&self, key: &str) -> bool {
        self.value[key] == true
    }

    pub fn list(&self, key: &str) -> Vec<&str> {
        self.value[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl Record {
    /// `None`: it is no report of a run that has come to its end.
    pub fn read(text: &[u8]) -> Option<Record> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let events: Vec<Event> = value["timeline"].as_array()?.iter().map(event).collect();
        let began = events.iter().find(|event| event.name == "stop_began").map(|event| event.at);
        let array = |key: &str| value[key].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let processes = processes(&events, began.unwrap_or_default());
        Some(Record {
            exit_code: u8::try_from(value["exit_code"].as_u64()?).ok()?,
            cause: text(&value["cause"]),
            grace: Secs(seconds(&value["grace_seconds"])),
            took: Secs(seconds(&value["took_seconds"])),
            within_grace: value["within_grace"] == true,
            forced: array("forced").iter().map(text).collect(),
            steps: steps(&array("steps"), &events, began.unwrap_or_default()),
            processes,
            began,
            events,
        })
    }

    /// From the stop request to this event; before it, nothing.
    pub fn since_request(&self, event: &Event) -> Duration {
        event.at.saturating_sub(self.began.unwrap_or_default())
    }

    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.name == name)
    }
}

fn seconds(value: &Value) -> Duration {
    value.as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or_default()
}

fn event(value: &Value) -> Event {
    let name = value["event"].as_str().unwrap_or_default().to_owned();
    Event { at: seconds(&value["at_seconds"]), name, value: value.clone() }
}

/// When each began the timeline has.
fn steps(values: &[Value], events: &[Event], began: Duration) -> Vec<Step> {
    let mut beginnings: Vec<&Event> = events.iter().filter(|event| event.name == "step_began").collect();
    let mut steps: Vec<Step> = values.iter().map(step).collect();
    for step in &mut steps {
        let is_its = |event: &&Event| event.text("kind") == step.kind && event.text("name") == step.name;
        if let Some(found) = beginnings.iter().position(is_its) {
            step.after = Secs(beginnings.remove(found).at.saturating_sub(began));
        }
    }
    steps
}

fn step(value: &Value) -> Step {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Step {
        kind: text("kind"),
        name: text("name"),
        outcome: text("outcome"),
        why: text("reason"),
        after: Secs::default(),
        share: Secs(seconds(&value["share_seconds"])),
        took: Secs(seconds(&value["took_seconds"])),
    }
}

/// In the order in which they were told.
fn processes(events: &[Event], began: Duration) -> Vec<Stopped> {
    let mut list: Vec<Stopped> = Vec::new();
    for event in events.iter().filter(|event| event.at >= began) {
        let name = event.text("process");
        match event.name.as_str() {
            "stopping" if !list.iter().any(|stopped| stopped.name == name) => list.push(Stopped {
                name: name.to_owned(),
                how: event.text("how").to_owned(),
                after: Secs(event.at.saturating_sub(began)),
                ..Stopped::default()
            }),
            "stopped" => {
                let Some(stopped) = list.iter_mut().find(|stopped| stopped.name == name) else { continue };
                let exit = &event.value["exit"];
                stopped.took = Secs(event.seconds("took_seconds"));
                stopped.exit_code = exit["code"].as_u64().and_then(|code| u8::try_from(code).ok());
                stopped.signal = exit["signal"].as_str().unwrap_or_default().to_owned();
                stopped.forced = event.is("forced");
            }
            _ => {}
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_read_as_it_is_written() {
        let report = json!({
            "version": "0.1.0", "exit_code": 137, "cause": "SIGTERM from outside the container", "grace_seconds": 2.0,
            "took_seconds": 1.5, "within_grace": true, "forced": ["web"],
            "steps": [{ "kind": "drain", "name": "x", "share_seconds": 0.3, "took_seconds": 0.301, "outcome": "done" }],
            "timeline": [
                { "at_seconds": 0.5, "event": "stop_began", "requested": true },
                { "at_seconds": 0.8, "event": "stopping", "process": "web", "how": "SIGTERM", "share_seconds": 0.8 },
                { "at_seconds": 1.7, "event": "stopped", "process": "web", "exit": { "code": 137, "signal": "SIGKILL" },
                  "took_seconds": 0.9, "forced": true },
            ],
        });
        let record = Record::read(report.to_string().as_bytes()).unwrap();
        assert_eq!((record.exit_code, record.began), (137, Some(Duration::from_millis(500))));
        assert_eq!(record.forced, ["web"]);
        assert_eq!(record.steps[0].took, Secs(Duration::from_millis(301)));
        let web = &record.processes[0];
        assert_eq!(
            (web.name.as_str(), web.how.as_str(), web.signal.as_str(), web.forced),
            ("web", "SIGTERM", "SIGKILL", true)
        );
        assert_eq!((web.after, web.took), (Secs(Duration::from_millis(300)), Secs(Duration::from_millis(900))));
    }

    proptest! {
        #[test]
        fn whatever_it_says_is_read_or_no_report(text in "\\PC{0,80}", at in any::<f64>()) {
            let _ = Record::read(text.as_bytes());
            let odd = json!({ "exit_code": 1, "took_seconds": at, "steps": [text, null], "forced": 7,
                "timeline": [null, 7, { "event": "stopped", "at_seconds": at }] });
            prop_assert!(Record::read(odd.to_string().as_bytes()).is_some());
        }
    }
}
