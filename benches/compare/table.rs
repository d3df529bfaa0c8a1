//! The results as a markdown table, and its place in the documentation.

use crate::measure::Results;
use crate::{Init, Sizes};

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

/// What it is, what it is to be at the most, and where it stands in the results.
type Row = (&'static str, &'static str, fn(&Results) -> Cell);

const ROWS: &[Row] = &[
    ("exec to the child's first instruction", "1.0 ×", |r| time(&r.first_instruction)),
    ("of that the init's own share", "1.0 ×", |r| {
        let own = percentile(&r.first_instruction, 50).saturating_sub(percentile(&r.bare, 50));
        (micros(own), own as f64)
    }),
    ("SIGTERM to exit, prompt child", "1.1 ×", |r| time(&r.stop)),
    ("signal forwarding", "1.0 ×", |r| time(&r.forward)),
    ("wake-ups while idling", "0", |r| plain(r.idle_switches, "")),
    ("RSS", "1800 kB", |r| plain(r.rss_kb, " kB")),
    ("Private_Dirty", "96 kB", |r| plain(r.private_dirty_kb, " kB")),
    ("orphans made and reaped", "1.1 ×", |r| {
        let median = percentile(&r.orphans, 50);
        (format!("{:.2} s", median as f64 / 1e9), median as f64)
    }),
    ("RSS after them", "1800 kB", |r| plain(r.orphans_rss_kb, " kB")),
    ("page faults of a start and its end", "110", |r| plain(r.page_faults, "")),
    ("instructions of a start and its end", "0.25 million", |r| match r.instructions {
        Some(count) => (format!("{:.3} million", count as f64 / 1e6), count as f64),
        None => ("–".to_owned(), 0.0),
    }),
    ("binary", "3200 kB", |r| plain(r.bytes.div_ceil(1000), " kB")),
];

pub fn markdown(inits: &[Init], results: &[Results], sizes: &Sizes) -> String {
    let reference = inits.iter().position(|i| i.name == "tini-static");
    let names: Vec<&str> = inits.iter().map(|i| i.name).collect();
    let mut text = format!("| median (90th percentile) | {} | softstop : tini-static | aim |\n", names.join(" | "));
    text.push_str(&format!("|---|{}---|---|\n", "---|".repeat(names.len())));
    for (label, aim, cell) in ROWS {
        let cells: Vec<Cell> = results.iter().map(cell).collect();
        let ratio = match reference.map(|i| cells[i].1) {
            Some(tini) if tini > 0.0 => format!("{:.2}", cells[0].1 / tini),
            _ => "–".to_owned(),
        };
        let shown: Vec<&str> = cells.iter().map(|c| c.0.as_str()).collect();
        text.push_str(&format!("| {label} | {} | {ratio} | ≤ {aim} |\n", shown.join(" | ")));
    }
    text.push_str(&format!(
        "\n{} rounds, interleaved, each as PID 1 of its own namespace; {} s of idling; {} orphans. *floor*: the least that an init on the same crates \
         does (benches/compare/least.rs).\n",
        sizes.rounds,
        sizes.idle.as_secs(),
        sizes.orphans
    ));
    text
}
