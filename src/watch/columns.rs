//! The table of the processes, as wide as there is room: what matters least is left out first. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::usage::Usage;
use crate::control::table::{age, last_exit, list, name, number, ready, running, word};
use crate::picture::measure::{columns, elide, shown, width};

/// In front of the selected one.
const MARK: usize = 2;
/// Between two columns, where there is room; else one.
const GAP: usize = 2;
/// A name has this much room before anything else is left out for it, and no more than a third of a line.
const NAME: usize = 12;

/// What a row looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    Well,
    /// It is not ready, or it is stopped.
    Unready,
    /// It has failed.
    Failed,
    /// It has nothing to do now.
    Idle,
}

/// Header and rows, each as wide as there is room or less.
pub struct Table {
    pub head: String,
    pub rows: Vec<(String, Look)>,
}

struct Column {
    head: String,
    cells: Vec<String>,
    /// The highest is left out first; 0 never is.
    rank: u8,
    right: bool,
}

impl Column {
    fn width(&self) -> usize {
        self.cells.iter().chain([&self.head]).map(|cell| width(cell, columns) as usize).max().unwrap_or(0)
    }
}

/// `names`: what stands above the names. `selected`: which row.
pub fn table(
    processes: &[Value],
    usage: &BTreeMap<i32, Usage>,
    names: &str,
    selected: usize,
    room: usize,
    unicode: bool,
) -> Table {
    let mut all = columns_of(processes, usage, names, unicode);
    let gap = fit(&mut all, names, room, unicode);
    let widths: Vec<usize> = all.iter().map(Column::width).collect();
    let line = |mark: &str, cell: &dyn Fn(&Column) -> String| {
        let mut line = format!("{mark:MARK$}");
        for (n, (column, wide)) in all.iter().zip(&widths).enumerate() {
            let cell = cell(column);
            let pad = " ".repeat(wide.saturating_sub(width(&cell, columns) as usize));
            let gap = " ".repeat(if n > 0 { gap } else { 0 });
            line += &if column.right { format!("{gap}{pad}{cell}") } else { format!("{gap}{cell}{pad}") };
        }
        elide(line.trim_end(), room as f64, dots(unicode), columns)
    };
    let row = |n: usize| {
        let mark = if n == selected { ">" } else { "" };
        (line(mark, &|column| column.cells[n].clone()), look(&processes[n]))
    };
    Table { head: line("", &|column| column.head.clone()), rows: (0..processes.len()).map(row).collect() }
}

fn dots(unicode: bool) -> &'static str {
    if unicode { "…" } else { ".." }
}

/// All for which there is something to show, the names first.
fn columns_of(processes: &[Value], usage: &BTreeMap<i32, Usage>, names: &str, unicode: bool) -> Vec<Column> {
    let usage_of = |p: &Value| usage.get(&i32::try_from(p["pid"].as_i64()?).ok()?);
    let column = |rank, head: &str, right, cell: &dyn Fn(&Value) -> String| Column {
        head: head.to_owned(),
        cells: processes.iter().map(|p| shown(&cell(p), unicode)).collect(),
        rank,
        right,
    };
    let mut all = vec![
        column(0, names, false, &name),
        column(0, "STATE", false, &state),
        column(2, "READY", false, &ready),
        column(5, "PID", true, &|p| number(&p["pid"])),
        column(3, "RESTARTS", true, &|p| number(&p["restarts"])),
        column(7, "AGE", true, &running),
        column(6, "CPU", true, &|p| {
            usage_of(p).and_then(|usage| usage.processors).map_or_else(|| "-".to_owned(), per_cent)
        }),
        column(6, "MEM", true, &|p| usage_of(p).map_or_else(|| "-".to_owned(), |usage| bytes(usage.memory))),
        column(8, "PROBES", false, &|p| probes(p, unicode)),
        column(4, "EXIT", false, &exit),
    ];
    // Where nobody is asked, and where nothing is known, there is no column.
    all.retain(|c| !["PROBES", "CPU", "MEM"].contains(&c.head.as_str()) || c.cells.iter().any(|cell| cell != "-"));
    all
}

/// Leaves out what there is no room for, and cuts the names; how much is between two columns.
fn fit(all: &mut Vec<Column>, names: &str, room: usize, unicode: bool) -> usize {
    let needs = |all: &[Column], gap: usize| MARK + all.iter().map(|c| c.width() + gap).sum::<usize>() - gap;
    // Names are cut first.
    let long = |all: &[Column]| needs(all, 1) - all[0].width() + all[0].width().min(NAME.max(names.len()));
    while long(all) > room
        && let Some(rank) = all.iter().map(|c| c.rank).max().filter(|rank| *rank > 0)
    {
        all.retain(|c| c.rank != rank);
    }
    let others = needs(all, 1) - all[0].width();
    let most = room.saturating_sub(others).max(NAME).min((room / 3).max(NAME)) as f64;
    for cell in &mut all[0].cells {
        *cell = elide(cell, most, dots(unicode), columns);
    }
    if needs(all, GAP) > room { 1 } else { GAP }
}

/// As kubectl has it: the reason, where there is one; and how long it still waits.
fn state(p: &Value) -> String {
    let state = if p["reason"].is_string() { word(&p["reason"]) } else { word(&p["state"]) };
    let until = match p["reason"].as_str() {
        Some("CrashLoopBackOff") => &p["restart_in_seconds"],
        Some("Scheduled") => &p["schedule"]["next_in_seconds"],
        _ => return state,
    };
    if until.is_number() { format!("{state} {}", age(until)) } else { state }
}

/// One word of it.
fn exit(p: &Value) -> String {
    if p["last_exit"]["reason"] == "OOMKilled" { "OOMKilled".to_owned() } else { last_exit(p) }
}

/// `R+ L-`: readiness passes, liveness does not; `S?`: startup is not decided.
fn probes(p: &Value, unicode: bool) -> String {
    let (yes, no) = if unicode { ('✓', '✗') } else { ('+', '-') };
    let one = |probe: &Value| {
        let letter = probe["probe"].as_str()?.chars().next()?.to_ascii_uppercase();
        let result = match (probe["passes"].as_bool(), probe["failures"].as_u64()) {
            (None, _) => '?',
            (Some(true), Some(0) | None) => yes,
            // It has failed, and the threshold is not reached.
            (Some(true), Some(_)) => '!',
            (Some(false), _) => no,
        };
        Some(format!("{letter}{result}"))
    };
    let all: Vec<String> = list(&p["probes"]).iter().filter_map(one).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}

/// What the probes have come to, in words.
pub fn probes_in_words(p: &Value) -> Vec<String> {
    // One that keeps it from being ready is its message.
    let said = p["message"].as_str().and_then(|message| message.split_once(" probe: ")).map(|(probe, _)| probe);
    let one = |probe: &Value| {
        let name = word(&probe["probe"]);
        let failures = probe["failures"].as_u64().unwrap_or(0);
        let result = match probe["passes"].as_bool() {
            None => "not decided yet",
            Some(true) => "passes",
            Some(false) => "fails",
        };
        let last = probe["last_failure"].as_str().map(|_| format!(": {}", word(&probe["last_failure"])));
        let in_a_row = if failures > 0 { format!(", {failures} failed in a row") } else { String::new() };
        format!("{name} probe {result}{in_a_row}{}", last.unwrap_or_default())
    };
    list(&p["probes"]).iter().filter(|probe| said.is_none_or(|said| probe["probe"] != said)).map(one).collect()
}

fn look(p: &Value) -> Look {
    match (p["state"].as_str(), p["reason"].as_str()) {
        (_, Some("CrashLoopBackOff" | "Error" | "StartError" | "OOMKilled" | "Unkillable")) => Look::Failed,
        (_, Some("Completed" | "Scheduled" | "Held")) => Look::Idle,
        (Some("Running"), Some("Stopping")) => Look::Unready,
        (Some("Running"), _) if p["ready"] == true => Look::Well,
        _ => Look::Unready,
    }
}

/// Of one processor: `3.4%`, `250%`.
fn per_cent(processors: f64) -> String {
    let per_cent = processors * 100.0;
    if per_cent < 9.95 { format!("{per_cent:.1}%") } else { format!("{per_cent:.0}%") }
}

/// `812K`, `3.2M`, `47M`, `1.5G`.
fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 'K';
    for next in ['M', 'G', 'T'] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if value < 9.95 && unit != 'K' { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_at_every_scale() {
        let all = [0, 4 << 10, 999 << 10, 1 << 20, 15 << 20, 1023 << 20, 3 << 30, u64::MAX];
        assert_eq!(all.map(bytes), ["0K", "4K", "999K", "1.0M", "15M", "1.0G", "3.0G", "16777216T"]);
        assert_eq!([0.0, 0.034, 0.0996, 2.5].map(per_cent), ["0.0%", "3.4%", "10%", "250%"]);
    }
}
