//! The plan for programs: docs/plan.md. Pure.

use serde::Serialize;

use super::{Planned, Sigkill};
use crate::config::Config;
use crate::json;
use crate::picture::Remark;
use crate::record::Part;
use crate::report::Secs;

/// A reader that knows this one understands every plan that has it. A field more does not change it.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Json<'a> {
    format: u32,
    version: &'static str,
    grace_seconds: Secs,
    deadline_seconds: Secs,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubelet_sigkill_seconds: Option<Secs>,
    start: Vec<StartJson<'a>>,
    stop: Vec<SliceJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fits_in_seconds: Option<Secs>,
    remarks: Vec<RemarkJson<'a>>,
}

#[derive(Serialize)]
struct StartJson<'a> {
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<NeedsJson<'a>>,
}

#[derive(Serialize)]
struct NeedsJson<'a> {
    name: &'a str,
    condition: crate::facts::Condition,
}

#[derive(Serialize)]
struct SliceJson<'a> {
    part: Part,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    well: Option<Times>,
    worst: Times,
    #[serde(skip_serializing_if = "Option::is_none")]
    asks_seconds: Option<Secs>,
    gets_seconds: Secs,
    reserve_seconds: Secs,
    short: bool,
}

#[derive(Serialize)]
struct Times {
    from_seconds: Secs,
    until_seconds: Secs,
}

#[derive(Serialize)]
struct RemarkJson<'a> {
    weight: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    help: &'a str,
}

impl Planned {
    fn starts(&self) -> Vec<StartJson<'_>> {
        let Config { init, processes, .. } = &self.plan.config;
        let needs = |(on, condition): &(usize, _)| NeedsJson { name: &processes[*on].name, condition: *condition };
        let tasks = init.iter().map(|task| StartJson { kind: "init", name: &task.name, after: Vec::new() });
        let started = processes.iter().map(|process| StartJson {
            kind: "process",
            name: &process.name,
            after: process.after.iter().map(needs).collect(),
        });
        tasks.chain(started).collect()
    }

    /// One object and a newline.
    pub fn json(&self, kubelet: Option<Sigkill>, remarks: &[Remark]) -> String {
        let times = |(from, until)| Times { from_seconds: Secs(from), until_seconds: Secs(until) };
        let stop = self.parts.iter().map(|slice| SliceJson {
            part: slice.part,
            name: &slice.name,
            well: slice.least.map(times),
            worst: times(slice.most),
            asks_seconds: slice.asks.map(Secs),
            gets_seconds: Secs(slice.gets),
            reserve_seconds: Secs(slice.reserve),
            short: slice.is_short(),
        });
        let remarks = remarks.iter().map(|r| RemarkJson { weight: r.weight.name(), text: &r.text, help: &r.help });
        let whole = Json {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            grace_seconds: Secs(self.grace),
            deadline_seconds: Secs(self.deadline),
            kubelet_sigkill_seconds: kubelet.and_then(|kubelet| kubelet.after).map(Secs),
            start: self.starts(),
            stop: stop.collect(),
            fits_in_seconds: self.fits_in().map(Secs),
            remarks: remarks.collect(),
        };
        json::pretty(&serde_json::to_string(&whole).expect("text and numbers are JSON")) + "\n"
    }
}
