//! What a task waits for: `wait_idle`, `wait_http`, `wait_file`, `wait_process`. Pure.

use toml::de::DeValue;

use super::handler::{endpoint, headers, process};
use super::reader::{Field, Reader, Table};
use super::task::{Place, Site};
use super::values::{self, Wrong};
use super::{keys, networks};
use crate::config::wait::{
    DEFAULT_QUIET, DEFAULT_SILENT, Finite, Is, JsonValue, Metric, Until, WaitFile, WaitHttp, WaitIdle,
};
use crate::config::{Handler, HttpCall, Method};

/// Ports of one `wait_idle`: the kernel compares each socket with each of them.
const MOST_PORTS: usize = 32;
/// Of the text to look for in a file.
const MOST_TEXT: usize = 1024;

/// Two keys of which one is too many; both are shown.
pub fn beside(reader: &mut Reader<'_>, one: &Field<'_>, other: &Field<'_>, why: &str, help: &str) {
    let places = vec![reader.source.place(&one.key, ""), reader.source.place(&other.key, "")];
    reader.error_at(places, format!("`{}` beside `{}`{why}", one.name, other.name), help);
}

// === wait_idle ===

pub fn idle(reader: &mut Reader<'_>, field: &Field<'_>, site: &Site<'_>) -> Option<Handler> {
    let instead = match site.place {
        Place::Init => Some("no process runs yet: to wait for a port, write `tcp_socket`"),
        Place::PostStart => Some("a process that has just started is to get connections, not to lose them"),
        Place::PreStop | Place::Drain | Place::PostStop => None,
    };
    if let Some(why) = instead {
        let help = "write it as a `[[drain]]` step, or as the process's `pre_stop`";
        reader.error(&field.key, format!("`wait_idle` here: {why}"), help);
        return None;
    }
    let example = "write wait_idle = { port = 8080 }";
    no_other_socket(reader, field)?;
    let table = reader.table(field, &keys::WAIT_IDLE, example)?;
    let ports = ports(reader, &table, example);
    let connections = match table.get("connections") {
        Some(f) => reader.integer(&f, 0..=1_000_000, "write how many may be left active, such as 0"),
        None => Some(0),
    };
    let silent = table.get("silent").map_or(Some(DEFAULT_SILENT), |f| reader.duration(&f, values::PAUSE));
    let quiet = table.get("quiet").map_or(Some(DEFAULT_QUIET), |f| reader.duration(&f, values::PAUSE));
    let minimum = table.get("minimum").map_or(Some(std::time::Duration::ZERO), |f| reader.duration(&f, values::PAUSE));
    if let (Some(f), None, Some(1..)) = (table.get("connections"), table.get("minimum"), connections) {
        let why = "`connections` without `minimum`: while those that may stay are active nobody sees who still comes";
        reader.warn(&f.key, why, "add the time that load balancers take, such as minimum = \"5s\"");
    }
    let example = "write ignore = [\"10.0.0.0/8\", \"loopback\"]";
    let ignore = table.get("ignore").map_or(Some(Vec::new()), |f| networks::networks(reader, &f, example));
    let connections = u32::try_from(connections?).ok()?;
    let ((ports, listening), silent, quiet, minimum, ignore) = (ports?, silent?, quiet?, minimum?, ignore?);
    let served = site.place != Place::PostStop;
    Some(Handler::WaitIdle(WaitIdle { ports, listening, connections, silent, quiet, minimum, ignore, served }))
}

/// What people write for sockets of other kinds, and why there is no such key.
fn no_other_socket(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<()> {
    const UDP: (&str, &str) = (
        "cannot see UDP: the kernel counts datagrams for all of a network namespace, not for a port, and nobody's end is known",
        "wait for what the server itself says, with `wait_http` and a metric, or `sleep` as long as load balancers take",
    );
    const UNIX: (&str, &str) = (
        "cannot see unix sockets: the kernel does not count who comes, nor tell when something was last sent",
        "wait for the TCP port of whoever passes requests on to it, or for what the server says itself, with `wait_http`",
    );
    let others =
        [("udp_port", UDP), ("udp_ports", UDP), ("udp", UDP), ("socket", UNIX), ("unix", UNIX), ("path", UNIX)];
    let Some(entries) = field.value.get_ref().as_table() else { return Some(()) };
    let found = entries.keys().find_map(|key| {
        let (_, why) = others.iter().find(|(name, _)| key.get_ref().as_ref() == *name)?;
        Some((key.span(), key.get_ref().to_string(), *why))
    });
    let Some((span, key, (why, help))) = found else { return Some(()) };
    reader.error(&span, format!("`{key}`: wait_idle {why}"), help);
    None
}

/// `port`, or `ports`; and whether those that are listened on are meant.
fn ports(reader: &mut Reader<'_>, table: &Table<'_>, example: &str) -> Option<(Vec<u16>, bool)> {
    let number = |reader: &mut Reader<'_>, f: &Field<'_>| {
        reader.integer(f, 1..=65535, "write a port's number, such as 8080").and_then(|n| u16::try_from(n).ok())
    };
    let help = "write ports = [8080, 8443], or ports = \"auto\" for those that the processes listen on";
    match (table.get("port"), table.get("ports")) {
        (Some(one), None) => Some((vec![number(reader, &one)?], false)),
        (None, Some(several)) if several.value.get_ref().is_str() => {
            let auto = |text: &str| match text {
                "auto" => Ok((Vec::new(), true)),
                _ => Err(Wrong::new(format!("`ports` is {text:?}"), help)),
            };
            reader.parsed(&several, help, auto)
        }
        (None, Some(several)) => {
            let Some(elements) = several.elements() else {
                reader.wrong_type(&several, "an array of integers", help);
                return None;
            };
            if elements.is_empty() || elements.len() > MOST_PORTS {
                let sentence = format!("`ports` has {} elements", elements.len());
                reader.error(&several.span(), sentence, format!("write 1 to {MOST_PORTS} ports"));
                return None;
            }
            let read: Vec<Option<u16>> = elements.iter().map(|f| number(reader, f)).collect();
            let mut ports: Vec<u16> = read.into_iter().collect::<Option<_>>()?;
            ports.sort_unstable();
            ports.dedup();
            Some((ports, false))
        }
        (Some(one), Some(several)) => {
            beside(reader, &several, &one, "", "write all of them in `ports`, and leave `port` out");
            None
        }
        (None, None) => {
            reader.missing(table, &["port", "ports"], "`port` is missing", example);
            None
        }
    }
}

// === wait_http ===

pub fn http(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Handler> {
    let example = "write wait_http = { port = 8080, path = \"/idle\" }";
    let table = reader.table(field, &keys::WAIT_HTTP, example)?;
    let (host, port) = endpoint(reader, &table, example);
    let path = match table.get("path") {
        Some(f) => reader.parsed(&f, "write a path such as \"/idle\"", values::url_path),
        None => Some("/".into()),
    };
    let headers = table.get("headers").map_or_else(Vec::new, |f| headers(reader, &f));
    let status = table.get("status").map_or(Some((200, 399)), |f| status(reader, &f));
    let json = table.get("json").map(|f| json(reader, &f));
    let metric = table.get("metric").map(|f| metric(reader, &f));
    if let (Some(one), Some(other)) = (table.get("metric"), table.get("json")) {
        beside(reader, &one, &other, ": an answer is one or the other", "write two steps");
        return None;
    }
    let call = HttpCall { method: Method::Get, host: host?, port: port?, path: path?, headers, body: None };
    // What was refused is no condition that is left out.
    let (json, metric) = (json.map_or(Some(None), |j| j.map(Some))?, metric.map_or(Some(None), |m| m.map(Some))?);
    Some(Handler::WaitHttp(WaitHttp { call, status: status?, json, metric }))
}

/// `200`, or `"2xx"`.
fn status(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<(u16, u16)> {
    let example = "write a status such as 200, or \"2xx\" for all from 200 to 299";
    let class = field.value.get_ref().as_str().filter(|text| text.ends_with("xx"));
    if let Some(text) = class {
        let hundreds = match text {
            "1xx" => 100,
            "2xx" => 200,
            "3xx" => 300,
            "4xx" => 400,
            "5xx" => 500,
            _ => {
                reader.error(&field.span(), format!("{text:?} is no class of status"), example);
                return None;
            }
        };
        return Some((hundreds, hundreds + 99));
    }
    let status = reader.integer(field, 100..=599, example).and_then(|n| u16::try_from(n).ok())?;
    Some((status, status))
}

fn json(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<JsonValue> {
    let example = "write json = { pointer = \"/in_flight\", at_most = 0 }";
    let table = reader.table(field, &keys::JSON, example)?;
    let pointer = match table.get("pointer") {
        Some(f) => reader.parsed(&f, example, pointer),
        None => {
            reader.missing(&table, &["pointer"], "`pointer` is missing", example);
            None
        }
    };
    let is = match (table.get("equals"), table.get("at_most")) {
        (Some(f), None) => scalar(reader, &f).map(Is::Equal),
        (None, Some(f)) => finite(reader, &f).map(Is::AtMost),
        (Some(one), Some(other)) => {
            beside(reader, &one, &other, ": which is it to be", "keep one");
            None
        }
        (None, None) => {
            reader.missing(&table, &["equals", "at_most"], "`json` does not say what the value is to be", example);
            None
        }
    };
    Some(JsonValue { pointer: pointer?, is: is? })
}

/// RFC 6901: empty, or `/` before each name, in which `~` is written `~0` and `/` is written `~1`.
fn pointer(text: &str) -> Result<String, Wrong> {
    if !text.is_empty() && !text.starts_with('/') {
        let sentence = format!("the pointer {text:?} does not begin with a slash");
        return Err(Wrong::new(sentence, format!("write {:?}", format!("/{text}"))));
    }
    if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(Wrong::new(format!("the pointer {text:?} has a bare `~`"), "write ~0 for `~` and ~1 for `/`"));
    }
    Ok(text.to_owned())
}

fn metric(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Metric> {
    let example = "write metric = { name = \"http_requests_in_flight\", at_most = 0 }";
    let table = reader.table(field, &keys::METRIC, example)?;
    let name = match table.get("name") {
        Some(f) => reader.parsed(&f, example, metric_name),
        None => {
            reader.missing(&table, &["name"], "`name` is missing", example);
            None
        }
    };
    let labels = table.get("labels").map_or(Some(Vec::new()), |f| labels(reader, &f));
    let at_most = match table.get("at_most") {
        Some(f) => finite(reader, &f),
        None => {
            reader.missing(&table, &["at_most"], "`metric` does not say how much it may be", example);
            None
        }
    };
    Some(Metric { name: name?, labels: labels?, at_most: at_most? })
}

fn metric_name(text: &str) -> Result<String, Wrong> {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if text.is_empty() || !text.chars().all(valid) || text.starts_with(|c: char| c.is_ascii_digit()) {
        let help = "write a name alone, such as \"http_requests_in_flight\"; labels are a key of their own";
        return Err(Wrong::new(format!("{text:?} is no metric's name"), help));
    }
    Ok(text.to_owned())
}

fn labels(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<(String, String)>> {
    let entries = reader.map(field, "write labels = { method = \"GET\" }")?;
    let mut labels = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let field = Field::new(key, value);
        labels.push((field.name.to_owned(), reader.text(&field, "write the label's value in quotes")?));
    }
    Some(labels)
}

fn scalar(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<serde_json::Value> {
    match field.value.get_ref() {
        DeValue::String(_) => reader.text(field, "write the text in quotes").map(Into::into),
        DeValue::Boolean(value) => Some((*value).into()),
        DeValue::Integer(_) | DeValue::Float(_) => finite(reader, field).map(|n| n.get().into()),
        _ => {
            reader.wrong_type(field, "a string, a number or a boolean", "write equals = 0, \"done\" or true");
            None
        }
    }
}

fn finite(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Finite> {
    let example = "write a number such as 0";
    let number = match field.value.get_ref() {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(n) => n.as_str().parse::<f64>().ok(),
        DeValue::String(text) if text.contains("${") => reader.text(field, example)?.trim().parse::<f64>().ok(),
        _ => {
            reader.wrong_type(field, "a number", example);
            return None;
        }
    };
    let finite = number.and_then(Finite::new);
    if finite.is_none() {
        reader.error(&field.span(), format!("`{}` is not a number", field.name), example);
    }
    finite
}

// === wait_file ===

pub fn file(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Handler> {
    let example = "write wait_file = { path = \"/run/done\" }";
    let table = reader.table(field, &keys::WAIT_FILE, example)?;
    let path = match table.get("path") {
        Some(f) => reader.path(&f),
        None => {
            reader.missing(&table, &["path"], "`path` is missing", example);
            None
        }
    };
    let exists = table.get("exists").map_or(Some(true), |f| reader.boolean(&f));
    let contains = match table.get("contains") {
        Some(f) => Some(reader.parsed(&f, "write the text in quotes", text)?),
        None => None,
    };
    if let (Some(false), Some(one), Some(other)) = (exists, table.get("contains"), table.get("exists")) {
        beside(reader, &one, &other, " = false: a file that is gone has no text", "keep one");
        return None;
    }
    Some(Handler::WaitFile(WaitFile { path: path?, exists: exists?, contains }))
}

fn text(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.len() > MOST_TEXT {
        let help = format!("write 1 to {MOST_TEXT} bytes, or leave it out: that the file is there is enough then");
        return Err(Wrong::new(format!("`contains` has {} bytes", text.len()), help));
    }
    Ok(text.to_owned())
}

// === processes ===

pub fn for_process(reader: &mut Reader<'_>, field: &Field<'_>, site: &Site<'_>) -> Option<Handler> {
    let example = "write wait_process = { name = \"worker\" }";
    let table = reader.table(field, &keys::WAIT_PROCESS, example)?;
    match (table.get("name"), table.get("command")) {
        (Some(f), None) => {
            no_process_here(reader, &f, site.place)?;
            let name = reader.text(&f, example)?;
            let process = process(reader, &f.span(), &name, site.names);
            let until = table.get("until").map_or(Some(Until::Ended), |f| reader.word(&f));
            let (process, until) = (process?, until?);
            if site.owner == Some(process) {
                reader.error(&f.span(), format!("{name:?} waits for itself"), "name another process");
                return None;
            }
            Some(Handler::WaitProcess { process, until })
        }
        (None, Some(f)) => {
            let command = reader.parsed(&f, "write a program's name, such as \"nginx\"", command);
            let until = match table.get("until") {
                Some(f) => reader.word(&f),
                None => Some(crate::config::wait::Found::Ended),
            };
            Some(Handler::WaitCommand { command: command?, until: until? })
        }
        (Some(name), Some(command)) => {
            let help = "keep `name` for a process of this file, `command` for one that others have started";
            beside(reader, &command, &name, "", help);
            None
        }
        (None, None) => {
            reader.missing(&table, &["name", "command"], "`wait_process` does not say which", example);
            None
        }
    }
}

/// Refuses a process of the configuration where none runs.
pub fn no_process_here(reader: &mut Reader<'_>, field: &Field<'_>, place: Place) -> Option<()> {
    let (sentence, help) = match place {
        Place::Init => ("no process runs yet in [[init]]", "write it as a process's `post_start`"),
        Place::PostStop => ("every process has ended in [[post_stop]]", "write it as a `[[drain]]` step"),
        Place::PostStart | Place::PreStop | Place::Drain => return Some(()),
    };
    reader.error(&field.key, sentence, format!("{help}; for a process that others have started, write `command`"));
    None
}

/// A process's name as the kernel has it.
pub fn command(text: &str) -> Result<String, Wrong> {
    let help = "write the program's name as `ps -o comm` shows it, such as \"nginx\"";
    if text.is_empty() || text.len() > 255 || text.contains(|c: char| c == '/' || c.is_control()) {
        return Err(Wrong::new(format!("{text:?} is no program's name"), help));
    }
    Ok(text.to_owned())
}
