//! What went wrong in a run, in words, and the change that would help: a table, each row a condition on what is known of it. Pure.
//!
//! Earlier rows are more certain: what one has explained of a process the general ones below it do not say again. docs/report.md lists them.
//! The rows are about the processes that needed SIGKILL ([`kills`]), those that did not run as they should ([`processes`]), the steps, and the
//! [`budget`] as a whole; those of [`outside`] are for what only `softstop drill` has seen.

mod budget;
mod kills;
mod outside;
mod processes;
mod steps;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::slices::Kill;
use super::{Event, Part, Run, Slice};
use crate::picture::{Remark, Weight};
use crate::sorted;

/// Something that went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The row's.
    #[serde(rename = "rule")]
    pub name: &'static str,
    #[serde(serialize_with = "weight")]
    pub weight: Weight,
    /// The process or step that it is about; empty: the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    pub text: String,
    /// The change that would help.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde has it so")]
fn weight<S: Serializer>(weight: &Weight, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(weight.name())
}

impl Finding {
    /// It never ran as it should, so nothing is known of its stop.
    pub fn is_never_ready(&self) -> bool {
        self.name == outside::NEVER_READY
    }

    /// Something is to be changed: it is no mere note.
    pub fn counts(&self) -> bool {
        self.weight < Weight::Note
    }

    /// The same of another run, in which times are others.
    pub fn is_same(&self, other: &Finding) -> bool {
        self.name == other.name && self.subject == other.subject
    }
}

impl From<Finding> for Remark {
    fn from(finding: Finding) -> Remark {
        Remark { weight: finding.weight, text: finding.text, help: finding.help }
    }
}

/// One thing that is looked for.
pub struct Rule {
    pub name: &'static str,
    /// For the page: when it is found.
    pub when: &'static str,
    find: fn(&Facts<'_>, &mut Found),
}

const fn rule(name: &'static str, when: &'static str, find: fn(&Facts<'_>, &mut Found)) -> Rule {
    Rule { name, when, find }
}

pub const RULES: &[Rule] = &[
    rule("daemon", "a program went into the background", processes::daemon),
    rule(outside::NEVER_READY, "drill: it was not ready in time", outside::never_ready),
    rule("ended", "drill: it ended before the stop was requested", outside::ended),
    rule("crash", "drill: after a crash it was not ready again", outside::crash),
    rule("no-end", "the report has no end, or the runner sent SIGKILL", budget::no_end),
    rule("minimum-grace", "SIGTERM came while the preStop hook was still waited for", budget::minimum_grace),
    rule("shell", "a shell needed SIGKILL, or ended and left its child behind", kills::shell),
    rule("stuck", "SIGKILL to a process in state `D`, `T`, `t`, or frozen", kills::stuck),
    rule("job-cut", "a task (`kind = \"task\"`, `schedule`) needed SIGKILL", kills::job_cut),
    rule("wrong-signal", "a known program needed SIGKILL after a signal that is not its own", kills::wrong_signal),
    rule("slow-stop", "SIGKILL to a process that catches its stop signal", kills::slow_stop),
    rule("deaf", "SIGKILL to a process that ignores, blocks or does not act on its stop signal", kills::deaf),
    rule(
        "port-held",
        "a process said that its address is already in use; drill: requests were taken by the socket of what was left behind",
        processes::port_held,
    ),
    rule("workers", "what a process left behind needed SIGKILL", kills::workers),
    rule("sigkill", "anything else needed SIGKILL", kills::sigkill),
    rule("orphan-cut", "what a process had left behind was signalled in the middle of its work", kills::orphan_cut),
    rule("readiness", "`/readyz` stayed a success during the drain", steps::readiness),
    rule("drain-cut", "a drain step was cut short or had no time", steps::drain_cut),
    rule("drain-short", "a drain step gave up waiting; drill: requests were refused", steps::drain_short),
    rule("cut-off", "drill: requests that were taken got no whole answer", outside::cut_off),
    rule("server-errors", "drill: answers of 500 and above", outside::server_errors),
    rule("no-answer", "drill: no answer within `--patience`", outside::no_answer),
    rule("slow-flush", "a post_stop step was cut short, timed out or had no time", steps::slow_flush),
    rule("grace-small", "the grace was over before everything had ended", budget::grace_small),
    rule("step-failed", "a step failed", steps::step_failed),
    rule("out-of-memory", "the kernel's OOM killer has killed something", processes::out_of_memory),
    rule("crash-loop", "a process was started again five times or more", processes::crash_loop),
    rule("left", "drill: something was still there after softstop's end", outside::left),
    rule("no-hook", "a drain in a pod without a preStop hook", steps::no_hook),
    rule("starved", "softstop itself got no processor time during the stop", budget::starved),
    rule("nearly-spent", "all went well, with less than a tenth of the grace to spare", budget::nearly_spent),
];

/// Everything that is found, in the order of the table.
pub fn of(run: &Run) -> Vec<Finding> {
    let facts = Facts { run, slices: run.slices(), kills: run.kills() };
    let mut found = Found { list: Vec::new(), explained: BTreeSet::new(), rule: "" };
    for rule in RULES {
        found.rule = rule.name;
        (rule.find)(&facts, &mut found);
    }
    sorted::by_key(&mut found.list, |finding| finding.weight);
    found.list
}

struct Facts<'a> {
    run: &'a Run,
    slices: Vec<Slice>,
    kills: Vec<Kill>,
}

struct Found {
    list: Vec<Finding>,
    /// Processes whose SIGKILL has been explained.
    explained: BTreeSet<String>,
    rule: &'static str,
}

impl Found {
    fn has(&self, rule: &str) -> bool {
        self.list.iter().any(|finding| finding.name == rule)
    }

    fn names(&self, rule: &str, subject: &str) -> bool {
        self.list.iter().any(|finding| finding.name == rule && finding.subject == subject)
    }

    fn error(&mut self, subject: &str, text: String, help: impl Into<String>) {
        self.add(Weight::Error, subject, text, help.into());
    }

    fn warn(&mut self, subject: &str, text: String, help: impl Into<String>) {
        self.add(Weight::Warning, subject, text, help.into());
    }

    fn note(&mut self, text: String, help: impl Into<String>) {
        self.add(Weight::Note, "", text, help.into());
    }

    fn add(&mut self, weight: Weight, subject: &str, text: String, help: String) {
        self.list.push(Finding { name: self.rule, weight, subject: subject.to_owned(), text, help });
    }
}

impl Facts<'_> {
    fn program(&self, process: &str) -> &str {
        self.run.program(process).map_or("", |setup| setup.program.as_str())
    }

    fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.run.events.iter().filter(move |event| event.name == name)
    }

    /// The same, from the stop request on.
    fn of_stop<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.run.of_stop().filter(move |event| event.name == name)
    }

    fn stragglers_killed(&self) -> impl Iterator<Item = &Event> {
        self.of_stop("stragglers").filter(|event| event.text("signal") == "SIGKILL")
    }

    fn steps(&self, part: Part) -> impl Iterator<Item = &Slice> {
        self.slices.iter().filter(move |slice| slice.part == part)
    }

    /// With room for so much more, in whole seconds.
    fn longer_by(&self, more: Duration) -> String {
        let grace = self.run.grace.unwrap_or_default().saturating_add(more);
        let secs = whole_seconds(grace);
        format!("grace = \"{secs}s\" and terminationGracePeriodSeconds: {secs}")
    }
}

/// Rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
