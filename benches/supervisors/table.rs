//! What was found, as markdown.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::common::median;
use crate::round::{Crash, Outcome};
use crate::stack::{EXAMPLES, PARTS, Tool};

type Row = (&'static str, fn(&[Outcome]) -> String);

fn seconds(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> String {
    format!("{:.1} s", median(outcomes.iter().map(of)))
}

fn sum(outcomes: &[Outcome], of: impl Fn(&Outcome) -> usize) -> usize {
    outcomes.iter().map(of).sum()
}

const START: &[Row] = &[
    ("start: first good answer after", |o| seconds(o, |o| o.started)),
    ("answers with an error before it", |o| sum(o, |o| o.too_early).to_string()),
    ("starts of the worker until it ran", |o| {
        let each: Vec<String> = o.iter().map(|o| o.worker_starts.to_string()).collect();
        each.join(", ")
    }),
];

const REST: &[Row] = &[
    ("a setting of the worker changes: in effect after", |o| {
        let all: Option<Vec<_>> = o.iter().map(|o| o.reload.as_ref()).collect();
        let Some(all) = all else { return "–".to_owned() };
        let failed: usize = all.iter().map(|r| r.failed).sum();
        let mut restarted: Vec<&str> = all.iter().flat_map(|r| r.restarted.iter().map(String::as_str)).collect();
        restarted.sort_unstable();
        restarted.dedup();
        let took = median(all.iter().map(|r| r.seconds));
        format!("{took:.1} s; restarted: {}; {failed} requests failed", restarted.join(", "))
    }),
    ("private memory of all that supervises", |o| format!("{:.0} kB", median(o.iter().map(|o| o.memory_kb as f64)))),
    ("zombies", |o| sum(o, |o| o.zombies).to_string()),
    ("**stop under load**: SIGTERM to the end", |o| seconds(o, |o| o.stop.seconds)),
    ("exit code", |o| {
        let code = |o: &Outcome| o.stop.exit_code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let mut codes: Vec<String> = o.iter().map(code).collect();
        codes.dedup();
        codes.join(", ")
    }),
    ("requests under way at SIGTERM: lost", |o| of(sum(o, |o| o.stop.lost), sum(o, |o| o.stop.under_way))),
    ("requests after it: taken and not answered", |o| sum(o, |o| o.stop.afterwards).to_string()),
    ("jobs of the queue: lost", |o| of(sum(o, |o| o.stop.jobs_lost), sum(o, |o| o.stop.jobs))),
    ("done twice; begun again", |o| format!("{}; {}", sum(o, |o| o.stop.jobs_twice), sum(o, |o| o.stop.jobs_again))),
    ("cron jobs under way: cut", |o| of(sum(o, |o| usize::from(!o.stop.cron_finished)), o.len())),
    ("redis and the worker ended by themselves", |o| of(sum(o, |o| usize::from(o.stop.clean)), o.len())),
];

fn of(count: usize, all: usize) -> String {
    format!("{count} of {all}")
}

pub fn markdown(tools: &[&Tool], outcomes: &[Vec<Outcome>]) -> String {
    let names: Vec<&str> = tools.iter().map(|t| t.name).collect();
    let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    let lines: Vec<String> = tools.iter().map(|tool| configuration(tool)).collect();
    writeln!(text, "| configuration: lines (files) | {} |", lines.join(" | ")).unwrap();
    let mut add = |label: &str, cells: Vec<String>| writeln!(text, "| {label} | {} |", cells.join(" | ")).unwrap();
    for (label, cell) in START {
        add(label, outcomes.iter().map(|o| cell(o)).collect());
    }
    for (part, _) in PARTS {
        let label = format!("SIGKILL to {part}'s main process");
        add(&label, outcomes.iter().map(|o| crash(o, part)).collect());
    }
    for (label, cell) in REST {
        add(label, outcomes.iter().map(|o| cell(o)).collect());
    }
    text
}

fn crash(outcomes: &[Outcome], part: &str) -> String {
    let all: Option<Vec<&Crash>> = outcomes.iter().map(|o| o.crashes.get(part)).collect();
    let Some(all) = all else { return "there is none".to_owned() };
    let again: Vec<f64> = all.iter().filter_map(|c| c.again).collect();
    let mut text = match again.len() {
        0 => "**not restarted**".to_owned(),
        n if n < all.len() => format!("restarted {n} of {} times", all.len()),
        _ => format!("restarted after {:.1} s", median(again)),
    };
    let failed: usize = all.iter().map(|c| c.failed).sum();
    if failed > 0 {
        write!(text, ", {:.1} s without answers", median(all.iter().map(|c| c.outage))).unwrap();
    }
    let left: usize = all.iter().map(|c| c.left).sum();
    if left > 0 {
        write!(text, ", {left} old workers left").unwrap();
    }
    text
}

/// Lines that are neither empty nor a comment, of every file that is this tool's; the crontab is cron's.
fn configuration(tool: &Tool) -> String {
    let mut files = Vec::new();
    below(&Path::new(EXAMPLES).join(tool.folder), &mut files);
    if tool.cron {
        files.push(format!("{EXAMPLES}/app/crontab").into());
    }
    let lines = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let counts = |line: &&str| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with(';') && (!line.starts_with('#') || line.starts_with("#!"))
        };
        text.lines().filter(counts).count()
    };
    format!("{} ({})", files.iter().map(lines).sum::<usize>(), files.len())
}

fn below(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() { below(&entry, files) } else { files.push(entry) }
    }
}
