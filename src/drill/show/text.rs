//! For people. Pure.

use std::fmt::Write;

use super::{Drilled, found, megabytes, requests, sentence, slowest};
use crate::drill::result::GraceResult;
use crate::drill::run::Run;
use crate::text::{plain, several};
use crate::time::Human;

impl Drilled<'_> {
    /// What was done, the slowest stop step by step, and the result with what to change.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |words: &str| {
            text.push_str(&plain(words, ' '));
            text.push('\n');
        };
        line(&format!("drill: {}", self.setup.command));
        line(&self.done());
        for (result, runs) in self.all {
            line("");
            if self.all.len() > 1 {
                line(&format!("grace {}", Human(result.grace.0)));
            }
            if let Some(run) = slowest(runs) {
                self.run(run, &mut line);
            }
            result_lines(result, &mut line);
        }
        let fits = self.all.iter().filter(|(result, _)| result.fits).map(|(result, _)| result.grace).min();
        if self.all.len() > 1 {
            line("");
            match fits {
                Some(grace) => line(&format!("the shortest grace that fits: {}", Human(grace.0))),
                None => line("none of these graces fits"),
            }
        }
        text
    }

    /// How it was drilled.
    fn done(&self) -> String {
        let first = self.all.first().and_then(|(_, runs)| runs.first());
        let place = match first {
            Some(run) if run.pid1 => "as PID 1 of a namespace of its own",
            _ => "as a child",
        };
        let mut words = place.to_owned();
        if let Some(call) = &self.setup.load {
            let setup = self.setup;
            let _ = write!(
                words,
                "; {} requests a second to {}, half over at most {}, lag {}",
                setup.rate,
                call.url(),
                several(setup.connections as usize, "kept connection", "kept connections"),
                Human(setup.lag.unwrap_or_default())
            );
        }
        let stop = if self.setup.pre_stop { "softstop drain as a preStop hook, then SIGTERM" } else { "SIGTERM" };
        let _ = write!(words, "; stopped by {stop}");
        words
    }

    fn run(&self, run: &Run, line: &mut impl FnMut(&str)) {
        match run.ready_after {
            Some(after) => line(&format!("  ready after {}", Human(after.0))),
            None => line("  never ready"),
        }
        if let Some(crash) = &run.crash {
            let again = crash.again.map_or_else(
                || if run.requested { "not ready again".to_owned() } else { "the container ended".to_owned() },
                |again| format!("ready again after {}", Human(again.0)),
            );
            line(&format!("  SIGKILL to {} {} later: {again}", crash.process, Human(crash.after.0)));
        }
        if let Some(pre_stop) = run.pre_stop {
            line(&format!("  preStop hook: over after {}", Human(pre_stop.0)));
        }
        if let Some(report) = &run.report {
            let rows = report.rows();
            let indented = |row: &crate::picture::Row| format!("  {:1$}{2}", "", 2 * row.depth, row.label);
            let width = rows.iter().map(|row| indented(row).chars().count()).max().unwrap_or(0);
            for row in &rows {
                line(format!("{:width$}  {}", indented(row), row.says).trim_end());
            }
            line(&format!("  {}", report.headline()));
        }
        if let Some(requests) = requests(run) {
            line(&format!("  {requests}"));
        }
        let zombies = match run.seen.most_zombies {
            0 => String::new(),
            n => format!(", {}", several(n, "zombie", "zombies")),
        };
        let processes = several(run.seen.most_processes, "process", "processes");
        line(&format!("  at most {processes}, {}{zombies}", megabytes(run.seen.most_memory)));
    }
}

fn result_lines(result: &GraceResult, line: &mut impl FnMut(&str)) {
    if let Some(took) = result.took.filter(|_| result.runs > 1) {
        line(&format!(
            "  {} drills: fastest {}, median {}, 90% within {}, slowest {}",
            result.runs,
            Human(took.fastest.0),
            Human(took.median.0),
            Human(took.p90.0),
            Human(took.slowest.0)
        ));
    }
    line(&sentence(result));
    for one in &result.findings {
        line(&format!("- [{}] {}", one.finding.name, found(one, result.runs)));
        if !one.finding.help.is_empty() {
            line(&format!("  help: {}", one.finding.help));
        }
    }
    if let Some(grace) = result.recommended_grace_seconds {
        let drain = result
            .recommended_drain
            .map_or_else(String::new, |drain| format!(", and a drain of {} at least", Human(drain.0)));
        line(&format!("recommended: terminationGracePeriodSeconds: {grace}{drain}"));
    }
}
