//! What is said of the drills: for people, for machines, for CI and for a pull request. Pure.

mod json;
mod junit;
mod markdown;
mod picture;
mod text;

use super::result::GraceResult;
use super::run::{Run, Setup};
use crate::text::several;
use crate::time::Human;

/// All of it, a result for each grace.
pub struct Drilled<'a> {
    pub setup: &'a Setup,
    pub all: &'a [(GraceResult, Vec<Run>)],
}

/// The slowest, or the first that has no time.
fn slowest(runs: &[Run]) -> Option<&Run> {
    runs.iter().max_by_key(|run| (run.took().is_none(), run.took()))
}

/// `fits in 30.0s with 11.8s to spare; 20s would do`.
fn sentence(result: &GraceResult) -> String {
    let grace = Human(result.grace.0);
    match (result.fits, result.spare, result.would_do_seconds) {
        (true, Some(spare), Some(enough)) => {
            let other = if u128::from(enough) * 1000 < result.grace.0.as_millis() {
                format!("; {enough}s would do")
            } else {
                String::new()
            };
            format!("fits in {grace} with {} to spare{other}", Human(spare.0))
        }
        _ if result.findings.is_empty() => format!("does not fit in {grace}"),
        _ => {
            let things = several(result.findings.len(), "thing", "things");
            format!("does not stop well in {grace}: {things} to change")
        }
    }
}

/// `web: needed SIGKILL …`, and in how many of the runs where that is not all.
fn found(found: &super::result::Found, runs: usize) -> String {
    let of = if found.runs < runs { format!(" ({} of {runs} drills)", found.runs) } else { String::new() };
    format!("{}{of}", found.finding.text)
}

/// What the requests came to, in one line; `None`: there was no load.
fn requests(run: &Run) -> Option<String> {
    let load = run.load.as_ref()?;
    let failed: Vec<String> =
        load.failures.iter().map(|failures| format!("{} {}", failures.count, failures.why.words())).collect();
    let failed = if failed.is_empty() { "none failed".to_owned() } else { failed.join(", ") };
    let held =
        if load.held_back > 0 { format!(", {} not sent: too many under way", load.held_back) } else { String::new() };
    let took = load.percentile(99).map_or_else(String::new, |p99| format!("; 99% answered within {}", Human(p99)));
    Some(format!("{} requests over {} connections, {failed}{held}{took}", load.begun, load.connections))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
