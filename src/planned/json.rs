//! The plan for programs: docs/plan.md. Pure.

use serde::Serialize;

use super::tree::{Needs, Start};
use super::{Planned, Sigkill};
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
    #[serde(rename = "grace_seconds")]
    grace: Secs,
    #[serde(rename = "deadline_seconds")]
    deadline: Secs,
    #[serde(rename = "kubelet_sigkill_seconds", skip_serializing_if = "Option::is_none")]
    kubelet: Option<Secs>,
    start: Vec<StartJson<'a>>,
    stop: Vec<SliceJson<'a>>,
    #[serde(rename = "fits_in_seconds", skip_serializing_if = "Option::is_none")]
    fits_in: Option<Secs>,
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
    #[serde(rename = "asks_seconds", skip_serializing_if = "Option::is_none")]
    asks: Option<Secs>,
    #[serde(rename = "gets_seconds")]
    gets: Secs,
    #[serde(rename = "reserve_seconds")]
    reserve: Secs,
    short: bool,
}

#[derive(Serialize)]
struct Times {
    #[serde(rename = "from_seconds")]
    from: Secs,
    #[serde(rename = "until_seconds")]
    until: Secs,
}

#[derive(Serialize)]
struct RemarkJson<'a> {
    weight: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    help: &'a str,
}

fn start<'a>(start: &Start<'a>) -> StartJson<'a> {
    let needs: Needs<'a> = start.needs();
    let after = needs.into_iter().map(|(name, condition)| NeedsJson { name, condition }).collect();
    StartJson { kind: start.kind(), name: start.name(), after }
}

impl Planned {
    /// One object and a newline.
    pub fn json(&self, kubelet: Option<Sigkill>, remarks: &[Remark]) -> String {
        let times = |(from, until)| Times { from: Secs(from), until: Secs(until) };
        let slice = |slice: &'_ super::PlannedSlice| (slice.part, slice.least.map(times), times(slice.most));
        let stop = self.parts.iter().map(|one| {
            let (part, well, worst) = slice(one);
            let (asks, gets, reserve) = (one.asks.map(Secs), Secs(one.gets), Secs(one.reserve));
            SliceJson { part, name: &one.name, well, worst, asks, gets, reserve, short: one.is_short() }
        });
        let starts = self.starts();
        let remark = |r: &'_ Remark| (r.weight.name(), r.text.clone(), r.help.clone());
        let texts: Vec<_> = remarks.iter().map(remark).collect();
        let whole = Json {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            grace: Secs(self.grace),
            deadline: Secs(self.deadline),
            kubelet: kubelet.and_then(|kubelet| kubelet.after).map(Secs),
            start: starts.iter().map(start).collect(),
            stop: stop.collect(),
            fits_in: self.fits_in().map(Secs),
            remarks: texts.iter().map(|(weight, text, help)| RemarkJson { weight, text, help }).collect(),
        };
        json::pretty(&serde_json::to_string(&whole).expect("text and numbers are JSON")) + "\n"
    }
}
