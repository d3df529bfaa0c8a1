//! For a pull request. Pure.

use std::fmt::Write;

use super::{Drilled, found, megabytes, requests, sentence};
use crate::text::plain;
use crate::time::Human;

impl Drilled<'_> {
    pub fn markdown(&self) -> String {
        let mut text = format!("### softstop drill: {}\n\n", code(&self.setup.command));
        text.push_str("| grace | | slowest stop | requests | memory |\n|---|---|---|---|---|\n");
        for (result, runs) in self.all {
            let took = result.took.map_or_else(|| "none".to_owned(), |took| Human(took.slowest.0).to_string());
            let load =
                runs.iter().max_by_key(|run| run.failed()).and_then(requests).unwrap_or_else(|| "no load".to_owned());
            let memory = runs.iter().map(|run| run.seen.most_memory).max().map_or_else(String::new, megabytes);
            let fits = if result.fits { "fits" } else { "**does not fit**" };
            let _ = writeln!(text, "| {} | {fits} | {took} | {} | {memory} |", Human(result.grace.0), cell(&load));
        }
        for (result, _) in self.all {
            let _ = writeln!(text, "\n{}{}\n", cell(&sentence(result)), recommended(result.recommended_grace_seconds));
            for one in &result.findings {
                let _ = writeln!(text, "- {}", cell(&found(one, result.runs)));
                let _ = writeln!(text, "  - help: {}", cell(&one.finding.help));
            }
        }
        text + "\n"
    }
}

fn recommended(grace: Option<u64>) -> String {
    grace.map_or_else(String::new, |grace| format!(". Recommended: `terminationGracePeriodSeconds: {grace}`"))
}

/// Whatever it holds, it stays in its cell.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for c in plain(text, ' ').chars() {
        if "|<>*_`[]\\#".contains(c) {
            cell.push('\\');
        }
        cell.push(c);
    }
    cell
}

/// As code, with as many quotes as it takes.
fn code(text: &str) -> String {
    let text = plain(text, ' ');
    let quotes = "`".repeat(1 + text.split(|c| c != '`').map(str::len).max().unwrap_or(0));
    format!("{quotes} {text} {quotes}")
}
