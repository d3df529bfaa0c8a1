//! The results as markdown.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::edge::Behind;
use crate::inits::Row;
use crate::load::KINDS;
use crate::restart::{INSTANCES, Outcome};
use crate::{Results, common};

fn median(values: impl Iterator<Item = Duration>) -> Duration {
    Duration::from_secs_f64(common::median(values.map(|value| value.as_secs_f64())))
}

/// By kind, over all rounds.
fn failed(outcomes: &[Outcome]) -> [usize; 3] {
    KINDS.map(|k| outcomes.iter().map(|o| o.tallies[k as usize].failed.len()).sum())
}

fn total(outcomes: &[Outcome]) -> [usize; 3] {
    KINDS.map(|k| outcomes.iter().map(|o| o.tallies[k as usize].total).sum())
}

pub fn stop(outcomes: &[Outcome]) -> Duration {
    median(outcomes.iter().flat_map(|o| o.stops.iter().map(|s| s.ended)))
}

pub fn rollout(outcomes: &[Outcome]) -> Duration {
    median(outcomes.iter().map(|o| o.took))
}

fn seconds(d: Duration) -> String {
    format!("{:.1}", d.as_secs_f64())
}

pub fn markdown(results: &Results) -> String {
    let restarts = if results.rounds == 1 {
        "one rolling restart".to_owned()
    } else {
        format!("{} rolling restarts", results.rounds)
    };
    let mut text = String::new();
    let first = results.first();
    let edges = results.only(|row| ![Behind::Haproxy, Behind::Endless].contains(&row.behind));
    let endless = results.only(|row| row.behind == Behind::Endless);
    if !first.rows.is_empty() {
        text.push_str(&format!(
            "Failed requests in {restarts} of {INSTANCES} instances: short requests / long requests / WebSocket sessions.\n\n"
        ));
        grid(&mut text, &first, |r, i, l| {
            let failed = failed(&r.outcomes[i][l]);
            match failed.iter().sum() {
                0 => "**0**".to_owned(),
                _ => failed.map(|n| n.to_string()).join(" / "),
            }
        });
        text.push_str(
            "\nSeconds from an instance's stop request to its end (of a whole rolling restart), medians.\n\n",
        );
        grid(&mut text, &first, |r, i, l| {
            format!("{} ({})", seconds(stop(&r.outcomes[i][l])), seconds(rollout(&r.outcomes[i][l])))
        });
        saved(&mut text, &first);
    }
    for (what, results) in [("Behind other edges", edges), ("Clients that never close", endless)] {
        if results.rows.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "\n{what}: failed requests in {restarts} of {INSTANCES} instances; seconds from a stop request to the end, median.\n\n"
        ));
        grid(&mut text, &results, |r, i, l| {
            let failed: usize = failed(&r.outcomes[i][l]).iter().sum();
            let failed = if failed == 0 { "**0**".to_owned() } else { failed.to_string() };
            format!("{failed}; {} s", seconds(stop(&r.outcomes[i][l])))
        });
    }
    text + &run(results)
}

/// How it was found out.
fn run(results: &Results) -> String {
    let rounds = if results.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", results.rounds) };
    format!("\n{rounds}, one run, all inits of a lag at the same time; {}.\n", common::machine())
}

/// As the tables name it.
fn name(row: &Row) -> String {
    if [Behind::Haproxy, Behind::Endless].contains(&row.behind) {
        return row.init.name.clone();
    }
    let long = if row.long { ", long requests" } else { "" };
    format!("{}{long}: {}", row.behind.name(), row.init.name)
}

/// A row each, a column a lag.
fn grid(text: &mut String, results: &Results, cell: impl Fn(&Results, usize, usize) -> String) {
    let lags: Vec<String> = results.lags.iter().map(|l| format!("lag {} s", l.as_secs())).collect();
    text.push_str(&format!("| | {} |\n|---|{}\n", lags.join(" | "), "---|".repeat(lags.len())));
    for (i, row) in results.rows.iter().enumerate() {
        let cells: Vec<String> = (0..results.lags.len()).map(|l| cell(results, i, l)).collect();
        text.push_str(&format!("| {} | {} |\n", name(row), cells.join(" | ")));
    }
}

/// What a drain that knows saves beside those that sleep.
fn saved(text: &mut String, results: &Results) {
    let Some(idle) = results.rows.iter().position(|row| row.init.class == "idle") else { return };
    text.push_str(&format!("\nSeconds that {} saves per rolling restart, medians.\n\n", results.rows[idle].init.name));
    let lags: Vec<String> = results.lags.iter().map(|l| format!("lag {} s", l.as_secs())).collect();
    text.push_str(&format!("| beside | {} |\n|---|{}\n", lags.join(" | "), "---|".repeat(lags.len())));
    let sleepers = ["prestop", "sleep"];
    for (i, row) in results.rows.iter().enumerate().filter(|(_, row)| sleepers.contains(&row.init.class)) {
        let cells = (0..results.lags.len()).map(|l| {
            let (other, own) = (rollout(&results.outcomes[i][l]), rollout(&results.outcomes[idle][l]));
            format!("{:.1}", other.as_secs_f64() - own.as_secs_f64())
        });
        text.push_str(&format!("| {} | {} |\n", row.init.name, cells.collect::<Vec<_>>().join(" | ")));
    }
}

/// Every count, and of what requests failed.
pub fn counts(results: &Results) -> String {
    let mut text = String::from(
        "| | lag | short: failed of | long: failed of | sessions: failed of | failed of what |\n|---|---|---|---|---|---|\n",
    );
    for (row, by_lag) in results.rows.iter().zip(&results.outcomes) {
        for (lag, outcomes) in results.lags.iter().zip(by_lag) {
            let (failed, total) = (failed(outcomes), total(outcomes));
            let counts: Vec<String> = failed.iter().zip(total).map(|(f, t)| format!("{f} of {t}")).collect();
            let line =
                format!("| {} | {} s | {} | {} |\n", name(row), lag.as_secs(), counts.join(" | "), why(outcomes));
            text.push_str(&line);
        }
    }
    text + &run(results)
}

fn why(outcomes: &[Outcome]) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, reason) in outcomes.iter().flat_map(|o| o.tallies.iter().flat_map(|t| &t.failed)) {
        *reasons.entry(reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let words: Vec<String> = reasons.iter().map(|(reason, n)| format!("{reason}: {n}")).collect();
    if words.is_empty() { "–".to_owned() } else { words.join(", ") }
}
