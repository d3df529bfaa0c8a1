//! The stop before this run, in a few figures: what `/status`, `/metrics` and `softstop status` show of a report that outlived a restart. A process of
//! softstop's own makes them of the report, however long or odd that is, and hands them over as JSON. Pure.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{Outcome, Part, Run, findings, read};
use crate::facts::Reason;
use crate::report::Secs;
use crate::text::one_line;
use crate::time::seconds;

/// Of what is found so much is kept: more is no use to anybody who has the report itself.
const FINDINGS: usize = 32;
/// Characters of a sentence.
const LINE: usize = 300;

/// How the run before this one ended, by its report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LastStop {
    /// When its report was written: seconds since 1970.
    pub ended_at: u64,
    /// The same, from the moment at which this is shown.
    #[serde(rename = "ended_ago_seconds", serialize_with = "seconds")]
    pub ended_ago: Duration,
    /// The report has its end; `false`: softstop was killed before that, and what only the end says is not known.
    pub complete: bool,
    /// `None`: the report does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in words.
    pub cause: String,
    #[serde(rename = "took_seconds", skip_serializing_if = "Option::is_none")]
    pub took: Option<Secs>,
    #[serde(rename = "grace_seconds", skip_serializing_if = "Option::is_none")]
    pub grace: Option<Secs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_grace: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// How many needed SIGKILL.
    pub sigkilled: u64,
    /// Drain steps that were cut short or had no time.
    pub drain_steps_cut: u64,
    pub findings: Vec<Found>,
}

/// One of the findings of `softstop report`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Found {
    pub rule: String,
    /// Empty where it is not to be shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl LastStop {
    pub fn of(run: &Run, ended_at: u64) -> LastStop {
        let end = run.end.as_ref();
        let cut = |outcome| matches!(outcome, Outcome::Cut | Outcome::NoTime);
        let drain = run.slices().into_iter().filter(|slice| slice.part == Part::Drain && cut(slice.outcome)).count();
        let findings = findings::of(run).into_iter().take(FINDINGS);
        LastStop {
            ended_at,
            ended_ago: Duration::ZERO,
            complete: end.is_some(),
            reason: run.reason.as_deref().and_then(reason),
            cause: line(run.cause.as_deref().unwrap_or_default()),
            took: end.map(|end| Secs(end.took)),
            grace: run.grace.map(Secs),
            within_grace: end.map(|end| end.within_grace),
            exit_code: end.map(|end| end.exit_code),
            sigkilled: end.map_or(0, |end| end.forced.len() as u64),
            drain_steps_cut: drain as u64,
            findings: findings.map(|f| Found { rule: f.name.to_owned(), text: line(&f.text) }).collect(),
        }
    }

    /// Reads what one is written as. `None`: it is none.
    pub fn read(value: &Value) -> Option<LastStop> {
        let text = |value: &Value, key: &str| read::text(value, key).to_owned();
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        let secs = |key: &str| value.get(key).and_then(read::secs).map(Secs);
        let flag = |key: &str| value.get(key).and_then(Value::as_bool);
        let findings = value.get("findings").and_then(Value::as_array)?.iter().take(FINDINGS);
        Some(LastStop {
            ended_at: number("ended_at")?,
            ended_ago: Duration::ZERO,
            complete: flag("complete")?,
            reason: value.get("reason").and_then(Value::as_str).and_then(reason),
            cause: text(value, "cause"),
            took: secs("took_seconds"),
            grace: secs("grace_seconds"),
            within_grace: flag("within_grace"),
            exit_code: number("exit_code").and_then(|code| u8::try_from(code).ok()),
            sigkilled: number("sigkilled")?,
            drain_steps_cut: number("drain_steps_cut")?,
            findings: findings.map(|f| Found { rule: text(f, "rule"), text: text(f, "text") }).collect(),
        })
    }
}

fn reason(word: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|reason| reason.name() == word)
}

/// What comes from a file has no say in how long it is, nor a second line.
fn line(text: &str) -> String {
    one_line(text).chars().take(LINE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STOP: &str = r#"{ "at_seconds": 10.0, "event": "stop_began", "cause": "SIGTERM", "requested": true, "grace_seconds": 5.0, "deadline_in_seconds": 4.0 }"#;

    fn of(top: &str, events: &str) -> LastStop {
        let report =
            format!(r#"{{ "format": 1, "version": "0.1.0", "setup": {{}}, {top} "timeline": [{STOP}{events}] }}"#);
        LastStop::of(&Run::read(report.as_bytes()).unwrap_or_else(|why| panic!("{why}: {report}")), 1_764_190_000)
    }

    #[test]
    fn the_figures_are_those_of_the_report_and_are_read_as_they_are_written() {
        let end = r#""exit_code": 137, "cause": "SIGTERM\nfrom outside", "reason": "signal", "grace_seconds": 5.0, "took_seconds": 4.2, "within_grace": true,
                     "forced": ["web", "cron"],"#;
        let step = |event: &str, name: &str, more: &str| {
            format!(
                r#", {{ "at_seconds": 11.0, "event": "{event}", "kind": "drain", "name": "{name}", "slice_seconds": 1.0{more} }}"#
            )
        };
        let events = [
            step("step_began", "notice", r#", "left_seconds": 4.0"#),
            step("step_ended", "notice", r#", "took_seconds": 1.0, "result": { "outcome": "cut", "reason": null }"#),
            step("step_skipped", "flush", r#", "result": { "outcome": "no_time" }"#),
        ];
        let last = of(end, &events.concat());
        assert!(last.complete);
        assert_eq!((last.reason, last.cause.as_str()), (Some(Reason::Signal), "SIGTERM\\nfrom outside"));
        assert_eq!(
            (last.took, last.grace),
            (Some(Secs(Duration::from_millis(4200))), Some(Secs(Duration::from_secs(5))))
        );
        assert_eq!(
            (last.within_grace, last.exit_code, last.sigkilled, last.drain_steps_cut),
            (Some(true), Some(137), 2, 2)
        );
        assert_eq!(last.findings.iter().filter(|found| found.rule == "drain-cut").count(), 2, "{last:?}");
        assert_eq!(LastStop::read(&serde_json::to_value(&last).unwrap()), Some(last));
    }

    #[test]
    fn a_report_without_its_end_says_that_and_what_it_can() {
        let last = of("", "");
        let known = (last.complete, last.took, last.exit_code, last.within_grace, last.grace);
        assert_eq!(known, (false, None, None, None, Some(Secs(Duration::from_secs(5)))));
        assert_eq!(last.findings.first().map(|found| found.rule.as_str()), Some("no-end"));
        assert_eq!(LastStop::read(&serde_json::to_value(&last).unwrap()), Some(last));
    }

    #[test]
    fn however_much_a_report_has_little_is_made_of_it_and_what_is_none_is_none() {
        let long = "x".repeat(10_000);
        let failed = |n: usize| format!(r#", {{ "at_seconds": 11.0, "event": "oom_killed", "process": "{long}{n}" }}"#);
        let last = of(r#""reason": "whim","#, &(0..500).map(failed).collect::<String>());
        let text = serde_json::to_string(&last).unwrap();
        assert!(text.len() < 16 * 1024 && last.findings.len() == FINDINGS, "{} bytes", text.len());
        assert_eq!(last.reason, None, "it is one of a few words");
        for none in
            [json!(null), json!({}), json!([1]), json!({ "ended_at": "x", "findings": [] }), json!({ "last_stop": 1 })]
        {
            assert_eq!(LastStop::read(&none), None, "{none}");
        }
    }
}
