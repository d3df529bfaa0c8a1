//! The reader: what is no report of this format is refused, with what is wrong and where. What it does not know is passed over, so that a
//! report may say more. Pure.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{End, Event, MAX_BYTES, ProcessSetup, Run, Setup};
use crate::json;
use crate::report::FORMAT;
use crate::text::one_line;

/// A run has no more to say than that: a year in a report is a mistake.
const LONGEST: f64 = 10.0 * 365.0 * 24.0 * 3600.0;

pub(super) fn run(report: &[u8]) -> Result<Run, String> {
    let top = object(report)?;
    let version = top.get("version").and_then(Value::as_str).unwrap_or("?");
    let version = one_line(version).chars().take(40).collect::<String>();
    is_read(&top, &version)?;
    let events = top.get("timeline").and_then(Value::as_array).ok_or("it has no `timeline`: is it cut by hand?")?;
    let events = events.iter().enumerate().map(event).collect::<Result<Vec<Event>, String>>()?;
    let began = events.iter().find(|event| event.name == "stop_began");
    let cause = || began.map(|event| event.text("cause").to_owned()).filter(|text| !text.is_empty());
    Ok(Run {
        version,
        setup: setup(top.get("setup").and_then(Value::as_object)),
        end: end(&top)?,
        stop_began: began.map(|event| event.at),
        cause: text_of(&top, "cause").or_else(cause),
        reason: text_of(&top, "reason"),
        grace: top.get("grace_seconds").and_then(secs).or(began.and_then(|event| event.secs("grace_seconds"))),
        deadline: began.and_then(|event| event.secs("deadline_in_seconds")),
        events,
        ..Run::default()
    })
}

fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes: that is no report of softstop's"));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(
            "it is empty: softstop was killed while it wrote the report, or nothing has been written yet".to_owned()
        );
    }
    match json::parse(text) {
        Ok(Value::Object(top)) => Ok(top),
        Ok(_) => Err("it is JSON, but no report: it is no object".to_owned()),
        Err(error) => {
            let (begins, ends) = (text.trim_ascii_start().starts_with(b"{"), text.trim_ascii_end().ends_with(b"}"));
            let error = one_line(&error);
            Err(match (begins, ends) {
                (true, false) => format!("it is cut off: {error}; was softstop killed while it wrote the report?"),
                (true, true) => error.into_owned(),
                (false, _) => {
                    format!("{error}; name the file that `report` (or --report) of the configuration names")
                }
            })
        }
    }
}

/// It is of the one format that this softstop reads.
fn is_read(top: &Map<String, Value>, version: &str) -> Result<(), String> {
    Err(match top.get("format").map(Value::as_u64) {
        Some(Some(format)) if format == u64::from(FORMAT) => return Ok(()),
        Some(Some(format)) if format > u64::from(FORMAT) => format!(
            "it is of format {format}, written by softstop {version}; this softstop ({}) reads format {FORMAT}: use a newer one",
            env!("CARGO_PKG_VERSION"),
        ),
        None if top.contains_key("timeline") => format!(
            "it has no `format`: it was written by an older softstop ({version}), before reports were read again; run it once more with this one"
        ),
        None => "it is JSON, but no report of softstop's: it has neither `format` nor `timeline`".to_owned(),
        Some(_) => format!("`format` is not a number that this softstop knows: it reads {FORMAT}"),
    })
}

fn event((n, value): (usize, &Value)) -> Result<Event, String> {
    let wrong = |what: &str| format!("record {n} of `timeline`: {what}");
    let fields = value.as_object().ok_or_else(|| wrong("no object"))?;
    let at = fields.get("at_seconds").and_then(secs).ok_or_else(|| wrong("`at_seconds` is no time in seconds"))?;
    let name = text_of(fields, "event").ok_or_else(|| wrong("`event` is no text"))?;
    Ok(Event { at, name, fields: fields.clone() })
}

/// `None`: the run has none.
fn end(top: &Map<String, Value>) -> Result<Option<End>, String> {
    let Some(code) = top.get("exit_code") else { return Ok(None) };
    let exit_code = code.as_u64().and_then(|code| u8::try_from(code).ok()).ok_or("`exit_code` is not 0 to 255")?;
    let took = top.get("took_seconds").and_then(secs).ok_or("`took_seconds` is no time in seconds")?;
    let within_grace = top.get("within_grace").and_then(Value::as_bool).ok_or("`within_grace` is not true or false")?;
    let forced = top.get("forced").and_then(Value::as_array).into_iter().flatten();
    let forced = forced.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Some(End { exit_code, took, within_grace, forced }))
}

fn setup(setup: Option<&Map<String, Value>>) -> Setup {
    let Some(setup) = setup else { return Setup::default() };
    let process = |value: &Value| {
        let fields = value.as_object()?;
        Some(ProcessSetup {
            name: text_of(fields, "name")?,
            program: text_of(fields, "program").unwrap_or_default(),
            task: text_of(fields, "kind").as_deref() == Some("task"),
        })
    };
    let processes = setup.get("processes").and_then(Value::as_array).into_iter().flatten();
    Setup {
        keeps_ready: text_of(setup, "readiness_on_drain").as_deref() == Some("keep"),
        processes: processes.filter_map(process).collect(),
    }
}

fn text_of(fields: &Map<String, Value>, field: &str) -> Option<String> {
    fields.get(field)?.as_str().map(str::to_owned)
}

/// Empty: there is none.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn secs(value: &Value) -> Option<Duration> {
    let secs = value.as_f64().filter(|secs| (0.0..=LONGEST).contains(secs))?;
    // It is written in milliseconds.
    Some(Duration::from_millis((secs * 1000.0).round() as u64))
}
