//! What a task, hook, step or probe does: `exec`, `http_get`, `http_post`, `tcp_socket`, `sleep`, `signal`; what it waits for is read in
//! [`wait`]. Pure.

use std::ffi::OsString;

use super::keys;
use super::reader::{Field, Reader, Table};
use super::task::{Names, Place, Site};
use super::{shell_syntax, values, wait};
use crate::config::problem::Span;
use crate::config::{Handler, HttpCall, Method};
use crate::nearest::nearest;
use crate::signal::Signal;

/// The one key among `allowed` that says what to do. `site` is a task's; probes have none.
pub fn one_handler(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    allowed: &[&str],
    site: Option<&Site<'_>>,
) -> Option<Handler> {
    let mut present = table.present(allowed);
    if present.len() > 1 {
        present.sort_by_key(|f| f.key.start);
        let named: Vec<&str> = present.iter().map(|f| f.name).collect();
        let places = present.iter().map(|f| reader.source.place(&f.key, "")).collect();
        let more = match site.map(|s| s.place) {
            Some(Place::Init | Place::PostStart) => "; for both, write two tasks",
            Some(Place::Drain | Place::PostStop) => "; for both, write two steps, or `parallel = [ { ... }, { ... } ]`",
            Some(Place::PreStop) | None => "",
        };
        reader.error_at(
            places,
            format!("{} in one table: which is it to do", keys::list(&named)),
            format!("keep one{more}"),
        );
    }
    let handlers: Vec<Option<Handler>> = present.iter().map(|f| handler(reader, f, site)).collect();
    if handlers.is_empty() {
        let what = site.map_or("the probe", |s| {
            if matches!(s.place, Place::Drain | Place::PostStop) { "the step" } else { "the task" }
        });
        reader.missing(
            table,
            allowed,
            format!("{what} does not say what to do"),
            format!(
                "add one of {}, such as {}",
                keys::list(allowed),
                if site.is_some() {
                    "exec = [\"/app/hook\"]"
                } else {
                    "http_get = { port = 8080, path = \"/healthz\" }"
                }
            ),
        );
    }
    if handlers.len() == 1 { handlers.into_iter().next().flatten() } else { None }
}

fn handler(reader: &mut Reader<'_>, field: &Field<'_>, site: Option<&Site<'_>>) -> Option<Handler> {
    match field.name {
        "exec" => command(reader, field).map(Handler::Exec),
        "http_get" => http(reader, field, Method::Get),
        "http_post" => http(reader, field, Method::Post),
        "tcp_socket" => {
            let example = "write tcp_socket = { host = \"db\", port = 5432 }";
            let table = reader.table(field, &keys::TCP_SOCKET, example)?;
            let (host, port) = endpoint(reader, &table, example);
            Some(Handler::Tcp { host: host?, port: port? })
        }
        "sleep" => reader.duration(field, values::LIMIT).map(Handler::Sleep),
        "wait_idle" => wait::idle(reader, field, site?),
        "wait_http" => wait::http(reader, field),
        "wait_file" => wait::file(reader, field),
        "wait_process" => wait::for_process(reader, field, site?),
        _ => signal(reader, field, site?),
    }
}

/// A program and its arguments.
pub fn command(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<OsString>> {
    let name = field.name;
    if let Some(text) = field.value.get_ref().as_str() {
        let help = format!("write {name} = {}", values::command_as_array(text));
        reader.error(
            &field.span(),
            format!("`{name}` must be an array: nothing splits it, and no shell runs it"),
            help,
        );
        return None;
    }
    let Some(elements) = field.elements() else {
        reader.wrong_type(field, "an array of strings", &format!("write {name} = [\"program\", \"argument\"]"));
        return None;
    };
    let words: Vec<Option<String>> = elements.iter().map(|e| reader.text(e, "write each element in quotes")).collect();
    match words.first() {
        None => reader.error(
            &field.span(),
            format!("`{name}` is empty"),
            format!("write {name} = [\"program\", \"argument\"]"),
        ),
        Some(Some(program)) if program.trim().is_empty() => {
            reader.error(
                &elements[0].span(),
                "the program's name is empty",
                "write the program to run, such as \"/app/server\"",
            );
            return None;
        }
        Some(Some(line)) if words.len() == 1 && shell_syntax::is_command_line(line) => {
            let help = format!("write {name} = {}", values::for_a_shell(line));
            reader.error(&elements[0].span(), "a shell's command line in one element: no shell runs it", help);
            return None;
        }
        Some(Some(program)) if words.len() == 1 && program.contains(char::is_whitespace) => {
            let help =
                format!("write each argument as an element of its own: {name} = {}", values::command_as_array(program));
            reader.warn(&elements[0].span(), "the program's name contains a space", help);
        }
        Some(_) => shell_syntax::check(reader, name, &elements, &words),
    }
    let words: Vec<OsString> = words.into_iter().collect::<Option<Vec<_>>>()?.into_iter().map(OsString::from).collect();
    if let (Some(element), Some(program)) = (elements.first(), words.first()) {
        reader.expect_program(&element.span(), program);
    }
    (!words.is_empty()).then_some(words)
}

fn http(reader: &mut Reader<'_>, field: &Field<'_>, method: Method) -> Option<Handler> {
    let section = if method == Method::Post { &keys::HTTP_POST } else { &keys::HTTP_GET };
    let example = format!("write {} = {{ port = 8080, path = \"/healthz\" }}", field.name);
    let table = reader.table(field, section, &example)?;
    let (host, port) = endpoint(reader, &table, &example);
    let path = match table.get("path") {
        Some(f) => reader.parsed(&f, "write a path such as \"/healthz\"", values::url_path),
        None => Some("/".into()),
    };
    let headers = table.get("headers").map_or_else(Vec::new, |f| headers(reader, &f));
    let body = if method == Method::Post {
        table.get("body").and_then(|f| reader.text(&f, "write the body in quotes"))
    } else {
        None
    };
    Some(Handler::Http(HttpCall { method, host: host?, port: port?, path: path?, headers, body }))
}

/// `host`, which is localhost when left out, and `port`.
pub fn endpoint(reader: &mut Reader<'_>, table: &Table<'_>, example: &str) -> (Option<String>, Option<u16>) {
    let host = match table.get("host") {
        Some(f) => reader.parsed(&f, "write a host in quotes, such as \"db\"", values::host),
        None => Some("localhost".into()),
    };
    let port = match table.get("port") {
        Some(f) => {
            reader.integer(&f, 1..=65535, "write a port's number, such as 8080").and_then(|n| u16::try_from(n).ok())
        }
        None => {
            reader.missing(table, &["port"], "`port` is missing", example);
            None
        }
    };
    (host, port)
}

pub fn headers(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<(String, String)> {
    let Some(entries) = reader.map(field, "write headers = { X-Token = \"...\" }") else {
        return Vec::new();
    };
    let mut list = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let field = Field::new(key, value);
        let Some(text) = reader.text(&field, "write the header's value in quotes") else {
            continue;
        };
        match values::header(name, &text) {
            Ok(()) => list.push((name.to_owned(), text)),
            Err(wrong) => reader.error(&key.span(), wrong.sentence, wrong.help),
        }
    }
    list
}

/// `signal = "SIGUSR1"` to the process whose hook it is, `{ process = "web", signal = "SIGUSR1" }`, or, to processes that others have
/// started, `{ command = "nginx", signal = "SIGQUIT" }`.
fn signal(reader: &mut Reader<'_>, field: &Field<'_>, site: &Site<'_>) -> Option<Handler> {
    let full = "write signal = { process = \"web\", signal = \"SIGUSR1\" }";
    if field.value.get_ref().is_str() {
        process_runs(reader, field, site.place)?;
        let signal = reader.signal(field).and_then(|s| harmless(reader, field, s));
        if site.owner.is_none() {
            reader.error(&field.span(), "`signal` does not say to which process", full);
        }
        return Some(Handler::Signal { process: site.owner?, signal: signal? });
    }
    let table = reader.table(field, &keys::SIGNAL, full)?;
    let command = match (table.get("command"), table.get("process")) {
        (Some(f), None) => Some(reader.parsed(&f, "write a program's name, such as \"nginx\"", wait::command)),
        (Some(command), Some(process)) => {
            let help = "keep `process` for one of this file, `command` for one that others have started";
            wait::beside(reader, &command, &process, "", help);
            return None;
        }
        (None, _) => None,
    };
    let process = match (&command, table.get("process"), site.owner) {
        (Some(_), ..) => None,
        (None, Some(f), _) => {
            process_runs(reader, field, site.place)?;
            reader.text(&f, full).and_then(|name| process(reader, &f.span(), &name, site.names))
        }
        (None, None, Some(owner)) => Some(owner),
        (None, None, None) => {
            process_runs(reader, field, site.place)?;
            reader.missing(&table, &["process", "command"], "`signal` does not say to which process", full);
            None
        }
    };
    let Some(f) = table.get("signal") else {
        reader.missing(&table, &["signal"], "`signal` does not say which one", full);
        return None;
    };
    let signal = reader.signal(&f).and_then(|s| harmless(reader, &f, s));
    match command {
        Some(command) => Some(Handler::SignalCommand { command: command?, signal: signal? }),
        None => Some(Handler::Signal { process: process?, signal: signal? }),
    }
}

fn process_runs(reader: &mut Reader<'_>, field: &Field<'_>, place: Place) -> Option<()> {
    let (sentence, help) = match place {
        Place::Init => ("`signal` in [[init]]: no process runs yet", "write it as the process's `post_start`"),
        Place::PostStop => (
            "`signal` in [[post_stop]]: every process has ended",
            "write it as a `[[drain]]` step or the process's `pre_stop`",
        ),
        Place::PostStart | Place::PreStop | Place::Drain => return Some(()),
    };
    reader.error(&field.key, sentence, help);
    None
}

/// SIGKILL and SIGSTOP are softstop's own business: the one ends what a stop leaves, the other would hold it up.
fn harmless(reader: &mut Reader<'_>, field: &Field<'_>, signal: Signal) -> Option<Signal> {
    if [Signal::KILL, Signal::STOP].contains(&signal) {
        let help = "write a signal that the process can catch; SIGKILL follows when its `stop` ladder ends";
        reader.error(&field.span(), format!("{signal} cannot be sent by a task"), help);
        return None;
    }
    Some(signal)
}

/// The index of a process by its name.
pub fn process(reader: &mut Reader<'_>, span: &Span, name: &str, names: &Names) -> Option<usize> {
    let index = names.index.get(name).copied();
    // Behind a syntax error, or a name that was refused, the process may well be there.
    if index.is_some() || reader.is_broken() || reader.has_enough() || names.list.iter().any(Option::is_none) {
        return index;
    }
    let known: Vec<&str> = names.list.iter().flatten().map(String::as_str).take(100).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => "there is no process yet: add a `[[process]]`".into(),
        None => format!("the processes are {}", keys::list(&known[..known.len().min(20)])),
    };
    reader.error(span, format!("there is no process named {name:?}"), help);
    None
}
