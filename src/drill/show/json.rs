//! For machines: docs/drill.md has the fields. Pure.

use serde::Serialize;

use super::Drilled;
use crate::drill::result::GraceResult;
use crate::drill::run::Run;
use crate::json;
use crate::report::Secs;

/// Of this output; it grows when a field changes its meaning or goes.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Output<'a> {
    format: u32,
    version: &'static str,
    command: &'a str,
    fits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<LoadOf<'a>>,
    graces: Vec<OfGrace<'a>>,
}

#[derive(Serialize)]
struct LoadOf<'a> {
    url: String,
    rate: u32,
    connections: u32,
    #[serde(rename = "lag_seconds")]
    lag: Secs,
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness: Option<&'a str>,
}

#[derive(Serialize)]
struct OfGrace<'a> {
    #[serde(flatten)]
    result: &'a GraceResult,
    drills: &'a [Run],
}

impl Drilled<'_> {
    /// One object and a newline.
    pub fn json(&self) -> String {
        let setup = self.setup;
        let output = Output {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            command: &setup.command,
            fits: self.all.iter().any(|(result, _)| result.fits),
            load: setup.load.as_ref().map(|call| LoadOf {
                url: call.url(),
                rate: setup.rate,
                connections: setup.connections,
                lag: Secs(setup.lag.unwrap_or_default()),
                readiness: setup.readiness.as_deref(),
            }),
            graces: self.all.iter().map(|(result, drills)| OfGrace { result, drills }).collect(),
        };
        json::pretty(&serde_json::to_string(&output).unwrap_or_default()) + "\n"
    }
}
