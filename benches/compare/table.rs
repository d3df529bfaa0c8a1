//! The results as a markdown table, and its place in the documentation.

use crate::measure::Results;
use crate::{Init, common};

fn percentile(samples: &[u64], percent: usize) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
}

fn micros(ns: u64) -> String {
    format!("{:.0} µs", ns as f64 / 1e3)
}

/// Text and the number it stands for, for the ratio.
type Cell = (String, f64);

fn time(samples: &[u64]) -> Cell {
    let median = percentile(samples, 50);
    (format!("{} ({})", micros(median), micros(percentile(samples, 90))), median as f64)
}

fn plain(value: u64, unit: &str) -> Cell {
    (format!("{value}{unit}"), value as f64)
}

type Row = (&'static str, fn(&Results) -> Cell);

const ROWS: &[Row] = &[
    ("exec to the child's first instruction", |r| time(&r.first_instruction)),
    ("of that the init's own share", |r| {
        let own = percentile(&r.first_instruction, 50).saturating_sub(percentile(&r.bare, 50));
        (micros(own), own as f64)
    }),
    ("SIGTERM to exit, prompt child", |r| time(&r.stop)),
    ("signal forwarding", |r| time(&r.forward)),
    ("wake-ups in 5 s of idling", |r| plain(r.idle_switches, "")),
    ("RSS", |r| plain(r.rss_kb, " kB")),
    ("Private_Dirty", |r| plain(r.private_dirty_kb, " kB")),
    ("10,000 orphans made and reaped", |r| {
        let median = percentile(&r.orphans, 50);
        (format!("{:.2} s", median as f64 / 1e9), median as f64)
    }),
    ("RSS after them", |r| plain(r.orphans_rss_kb, " kB")),
    ("binary", |r| plain(r.bytes.div_ceil(1000), " kB")),
];

pub fn markdown(inits: &[Init], results: &[Results], rounds: usize) -> String {
    let reference = inits.iter().position(|i| i.name == "tini-static");
    let names: Vec<&str> = inits.iter().map(|i| i.name).collect();
    let mut text = format!("| median (90th percentile) | {} | softstop : tini-static |\n", names.join(" | "));
    text.push_str(&format!("|---|{}---|\n", "---|".repeat(names.len())));
    for (label, cell) in ROWS {
        let cells: Vec<Cell> = results.iter().map(cell).collect();
        let ratio = match reference.map(|i| cells[i].1) {
            Some(tini) if tini > 0.0 => format!("{:.2}", cells[0].1 / tini),
            _ => "–".to_owned(),
        };
        let shown: Vec<&str> = cells.iter().map(|c| c.0.as_str()).collect();
        text.push_str(&format!("| {label} | {} | {ratio} |\n", shown.join(" | ")));
    }
    text.push_str(&format!(
        "\n{rounds} rounds, interleaved, each as PID 1 of its own namespace; {}.\n",
        common::machine()
    ));
    text
}
