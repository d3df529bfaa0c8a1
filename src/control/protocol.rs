//! What is said over the control socket: one line of JSON asks, one or more answer. docs/control.md is the user's page. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::json;
use crate::lifecycle::action::Answer;
use crate::order::{self, Kind, Order};
use crate::signal::Signal;

/// Of requests and answers alike. A change that an old client or server would misunderstand raises it.
pub const VERSION: u64 = 1;
/// The longest request, its line feed included, in bytes.
pub const MAX_REQUEST: usize = 4096;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    Status(StatusRequest),
    Logs(LogsRequest),
    Order(Order),
}

/// What of the status is asked for, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatusRequest {
    /// From the stop request on with what has happened since, as the report will have it.
    pub timeline: bool,
    /// The last one there is, once everything has ended.
    pub at_end: bool,
}

/// Which lines are to be shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogsRequest {
    /// `None`: of all processes.
    pub process: Option<String>,
    /// Of those that are there so many of each, the last; `None`: all.
    pub lines: Option<u64>,
    /// And those that come, to the end.
    pub follow: bool,
}

/// A line of a process, or a piece of one that is too long.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LogLine {
    /// RFC 3339, UTC: when softstop read it.
    pub timestamp: String,
    /// Or a hook, by its name.
    pub process: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    pub line: String,
    /// More of it follows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// More of the one before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
}

impl LogLine {
    fn read(value: &Value) -> Option<LogLine> {
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let is = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or_default();
        Some(LogLine {
            timestamp: text("timestamp")?,
            process: text("process")?,
            stream: text("stream")?,
            line: text("line")?,
            partial: is("partial"),
            continued: is("continued"),
        })
    }
}

/// Reads one request, with or without its line feed: from anybody, so it never panics and takes no more memory than the text.
///
/// # Errors
/// One line that says what is wrong with it and what to send.
pub fn parse(line: &[u8]) -> Result<Request, String> {
    if line.len() > MAX_REQUEST {
        return Err(format!("the request is longer than {MAX_REQUEST} bytes"));
    }
    let value = json::parse(line).map_err(|e| {
        format!("the request is refused: {e}; send a line such as {{\"version\":1,\"order\":\"status\"}}")
    })?;
    let Value::Object(fields) = value else {
        return Err("the request must be a JSON object".to_string());
    };
    match fields.get("version") {
        Some(version) if version.as_u64() == Some(VERSION) => {}
        Some(_) => return Err(format!("this softstop speaks version {VERSION} of the protocol alone")),
        None => return Err(format!("the request has no version; add \"version\":{VERSION}")),
    }
    let order = text(&fields, "order")?;
    let (request, takes) = match order {
        "status" => (Request::Status(status_request(&fields)?), vec!["timeline", "at_end"]),
        "logs" => (Request::Logs(logs(&fields)?), vec!["process", "lines", "follow"]),
        _ => match Order::read(order, |key, kind| field(&fields, key, kind))? {
            Some(order) => {
                let takes = order.fields().into_iter().map(|(name, _)| name).collect();
                (Request::Order(order), takes)
            }
            None => return Err(format!("there is no order {order:?} in version {VERSION}")),
        },
    };
    match fields.keys().find(|key| !["version", "order"].contains(&key.as_str()) && !takes.contains(&key.as_str())) {
        Some(key) => Err(format!("{key:?} does not belong to the order {order}")),
        None => Ok(request),
    }
}

fn status_request(fields: &Map<String, Value>) -> Result<StatusRequest, String> {
    Ok(StatusRequest { timeline: boolean(fields, "timeline", false)?, at_end: boolean(fields, "at_end", false)? })
}

fn logs(fields: &Map<String, Value>) -> Result<LogsRequest, String> {
    let process = if fields.contains_key("process") { Some(text(fields, "process")?.to_owned()) } else { None };
    let lines = fields.get("lines").map(|lines| lines.as_u64().ok_or("\"lines\" must be a whole number"));
    Ok(LogsRequest { process, lines: lines.transpose()?, follow: boolean(fields, "follow", false)? })
}

/// What becomes part of log lines: no control characters.
fn text<'f>(fields: &'f Map<String, Value>, key: &str) -> Result<&'f str, String> {
    match fields.get(key) {
        Some(Value::String(text)) if text.chars().any(char::is_control) => {
            Err(format!("{key:?} contains a control character"))
        }
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("{key:?} must be a string")),
        None => Err(format!("{key:?} is missing")),
    }
}

fn field(fields: &Map<String, Value>, key: &str, kind: Kind) -> Result<order::Value, String> {
    Ok(match kind {
        Kind::Process => order::Value::Process(text(fields, key)?.to_owned()),
        Kind::OneOrAll if !fields.contains_key(key) => order::Value::OneOrAll(None),
        Kind::OneOrAll => order::Value::OneOrAll(Some(text(fields, key)?.to_owned())),
        Kind::Signal => order::Value::Signal(Signal::parse(text(fields, key)?)?),
        // Unless it says otherwise, a client waits.
        Kind::Wait => order::Value::Wait(boolean(fields, key, true)?),
        Kind::DryRun => order::Value::DryRun(order::DryRun(boolean(fields, key, false)?)),
    })
}

fn boolean(fields: &Map<String, Value>, key: &str, default: bool) -> Result<bool, String> {
    match fields.get(key) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(format!("{key:?} must be true or false")),
    }
}

/// The line that asks, as [`parse`] reads it.
pub fn line(request: &Request) -> String {
    let (name, fields) = match request {
        Request::Status(StatusRequest { timeline, at_end }) => {
            let set = |key: &str, is: bool| if is { format!(",\"{key}\":true") } else { String::new() };
            let set = set("timeline", *timeline) + &set("at_end", *at_end);
            return format!("{{\"version\":{VERSION},\"order\":\"status\"{set}}}\n");
        }
        Request::Logs(LogsRequest { process, lines, follow }) => {
            let process = process.as_deref().map(|name| format!(",\"process\":{}", quoted(name))).unwrap_or_default();
            let lines = lines.map(|lines| format!(",\"lines\":{lines}")).unwrap_or_default();
            return format!("{{\"version\":{VERSION},\"order\":\"logs\"{process}{lines},\"follow\":{follow}}}\n");
        }
        Request::Order(order) => (order.name(), order.fields()),
    };
    let value = |value| match value {
        order::Value::Wait(wait) => Some(wait.to_string()),
        order::Value::Process(name) => Some(quoted(&name)),
        order::Value::OneOrAll(name) => name.as_deref().map(quoted),
        order::Value::DryRun(order::DryRun(dry_run)) => dry_run.then(|| "true".to_string()),
        order::Value::Signal(signal) => Some(format!("\"{}\"", signal.number())),
    };
    let fields = fields.into_iter().filter_map(|(key, given)| Some(format!(",\"{key}\":{}", value(given)?)));
    let fields: String = fields.collect();
    format!("{{\"version\":{VERSION},\"order\":\"{name}\"{fields}}}\n")
}

/// As a JSON string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A line of an answer. All but `Progress`, `Line` and `Missed` are the last.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    Progress(String),
    Done(String),
    Refused(String),
    /// To somebody who may give no orders.
    Denied(String),
    /// The request could not be read.
    Malformed(String),
    /// A [`crate::status::Status`] as JSON, in one line.
    Status(String),
    Line(LogLine),
    /// So many lines of the process came faster than the client has read.
    Missed {
        process: String,
        lines: u64,
    },
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        match answer {
            Answer::Done(done) => Reply::Done(done.to_string()),
            Answer::Refused(why) => Reply::Refused(why.to_string()),
        }
    }
}

impl Reply {
    pub fn line(&self) -> String {
        let (key, value) = match self {
            Reply::Progress(text) => ("progress", quoted(text)),
            Reply::Done(text) => ("done", quoted(text)),
            Reply::Refused(text) => ("refused", quoted(text)),
            Reply::Denied(text) => ("denied", quoted(text)),
            Reply::Malformed(text) => ("malformed", quoted(text)),
            Reply::Status(json) => ("status", json.clone()),
            Reply::Line(line) => ("line", serde_json::to_string(line).unwrap_or_default()),
            Reply::Missed { process, lines } => {
                ("missed", format!("{{\"process\":{},\"lines\":{lines}}}", quoted(process)))
            }
        };
        format!("{{\"version\":{VERSION},\"{key}\":{value}}}\n")
    }

    /// Reads one line of an answer.
    ///
    /// # Errors
    /// One line: it is not what a softstop says.
    pub fn parse(line: &[u8]) -> Result<Reply, String> {
        let value = json::parse(line).map_err(|e| format!("the answer cannot be read: {e}"))?;
        if value.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(format!("the answer is not of version {VERSION} of the protocol"));
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_string);
        let found = text("progress").map(Reply::Progress);
        let found = found.or_else(|| text("done").map(Reply::Done));
        let found = found.or_else(|| text("refused").map(Reply::Refused));
        let found = found.or_else(|| text("denied").map(Reply::Denied));
        let found = found.or_else(|| text("malformed").map(Reply::Malformed));
        let found = found.or_else(|| LogLine::read(value.get("line")?).map(Reply::Line));
        let found = found.or_else(|| {
            let missed = value.get("missed")?;
            Some(Reply::Missed { process: missed["process"].as_str()?.to_owned(), lines: missed["lines"].as_u64()? })
        });
        let found = found.or_else(|| status(line).map(|json| Reply::Status(json.to_string())));
        found.ok_or_else(|| "the answer says nothing that this version knows".to_string())
    }
}

/// The status as it was sent, out of a line that is known to be JSON.
fn status(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    line.split_once("\"status\":")?.1.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn orders() -> impl Strategy<Value = Order> {
        let name = "[a-z][a-z0-9._ -]{0,20}";
        prop_oneof![
            any::<bool>().prop_map(|wait| Order::Drain { wait }),
            (any::<bool>(), proptest::option::of(name)).prop_map(|(wait, process)| Order::Stop { wait, process }),
            Just(Order::Ready),
            Just(Order::Unready),
            any::<[bool; 2]>().prop_map(|[wait, dry]| Order::Reload { wait, dry_run: order::DryRun(dry) }),
            name.prop_map(|process| Order::Restart { process }),
            name.prop_map(|process| Order::Start { process }),
            (name, 1..=64i32)
                .prop_map(|(process, n)| Order::Signal { process, signal: Signal::from_number(n).unwrap() }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_asked_is_what_is_read(order in orders()) {
            let request = Request::Order(order);
            let line = line(&request);
            prop_assert!(line.len() <= MAX_REQUEST && line.ends_with('\n'));
            prop_assert_eq!(parse(line.as_bytes()), Ok(request));
        }

        #[test]
        fn what_is_answered_is_what_is_read(text in ".{0,200}", kind in 0..5usize) {
            let kinds = [Reply::Progress, Reply::Done, Reply::Refused, Reply::Denied, Reply::Malformed];
            let reply = kinds[kind](text);
            let line = reply.line();
            prop_assert_eq!(line.matches('\n').count(), 1, "one line");
            prop_assert_eq!(Reply::parse(line.as_bytes()), Ok(reply));
        }
    }

    #[test]
    fn the_status_is_asked_for_now_or_at_the_end_with_what_has_happened_or_without() {
        for request in [(false, false), (true, false), (false, true), (true, true)] {
            let (timeline, at_end) = request;
            let request = Request::Status(StatusRequest { timeline, at_end });
            assert_eq!(parse(line(&request).as_bytes()), Ok(request));
        }
        assert_eq!(line(&Request::Status(StatusRequest::default())), "{\"version\":1,\"order\":\"status\"}\n");
        let wrong = parse(br#"{"version":1,"order":"status","at_end":1}"#).unwrap_err();
        assert!(wrong.contains("true or false"), "{wrong}");
    }

    #[test]
    fn lines_are_asked_for_and_come_through_as_they_are() {
        for request in
            [LogsRequest::default(), LogsRequest { process: Some("we\"b".into()), lines: Some(7), follow: true }]
        {
            let request = Request::Logs(request);
            assert_eq!(parse(line(&request).as_bytes()), Ok(request));
        }
        for (line, said) in [
            (r#"{"version":1,"order":"logs","lines":-1}"#, "whole number"),
            (r#"{"version":1,"order":"logs","follow":1}"#, "true or false"),
            (r#"{"version":1,"order":"logs","process":7}"#, "must be a string"),
            (r#"{"version":1,"order":"status","lines":1}"#, "\"lines\" does not belong"),
        ] {
            assert!(parse(line.as_bytes()).unwrap_err().contains(said), "{line}");
        }
        let text = |partial| LogLine {
            timestamp: "2026-11-22T10:00:00.000Z".into(),
            process: "web".into(),
            stream: "stderr".into(),
            line: "\u{1b}[31m\"x\"}".into(),
            partial,
            continued: !partial,
        };
        for reply in
            [Reply::Line(text(true)), Reply::Line(text(false)), Reply::Missed { process: "web".into(), lines: 3 }]
        {
            assert_eq!(Reply::parse(reply.line().as_bytes()), Ok(reply));
        }
    }

    #[test]
    fn a_status_comes_through_as_it_is() {
        let reply = Reply::Status(r#"{"a":{"status":1},"b":"}"}"#.to_string());
        assert_eq!(Reply::parse(reply.line().as_bytes()), Ok(reply));
    }

    #[test]
    fn a_wrong_request_is_told_what_is_wrong() {
        for (line, said) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[]", "must be a JSON object"),
            (r#"{"version":1,"order":"status","order":"stop"}"#, "the key \"order\" stands twice"),
            (r#"{"version":1,"order":"drain","wait":true,"wait":false}"#, "the key \"wait\" stands twice"),
            ("{}", "no version"),
            (r#"{"version":2,"order":"status"}"#, "version 1"),
            (r#"{"version":1}"#, "\"order\" is missing"),
            (r#"{"version":1,"order":7}"#, "must be a string"),
            (r#"{"version":1,"order":"explode"}"#, "no order \"explode\""),
            (r#"{"version":1,"order":"status","x":1}"#, "\"x\" does not belong"),
            (r#"{"version":1,"order":"drain","wait":"yes"}"#, "true or false"),
            (r#"{"version":1,"order":"restart"}"#, "\"process\" is missing"),
            (r#"{"version":1,"order":"restart","process":"a\nb"}"#, "control character"),
            (r#"{"version":1,"order":"signal","process":"a","signal":"TREM"}"#, "did you mean SIGTERM?"),
        ] {
            let why = parse(line.as_bytes()).unwrap_err();
            assert!(why.contains(said), "{line}: {why}");
        }
        assert!(parse(&vec![b' '; MAX_REQUEST + 1]).unwrap_err().contains("4096"));
        assert!(parse(&[b'['; MAX_REQUEST]).unwrap_err().contains("not JSON"), "nested without end");
    }
}
