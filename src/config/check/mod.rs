//! TEXT → VALID SETTINGS: reads a configuration and finds every mistake in it, not only the first. Pure.
//!
//! [`keys`] lists what may stand where, `reader` finds fields and notes what is wrong with its place, `scalar` gets typed
//! values out of them, [`values`] knows what a string may mean; `task`, `handler`, `process`, `probe` and `ladder` read one
//! table each, `relations` judges them together.

mod handler;
mod here;
pub mod keys;
mod ladder;
mod networks;
mod other_formats;
mod other_tools;
mod prestop;
mod probe;
mod process;
mod reader;
mod relations;
mod scalar;
mod shell_syntax;
mod sidecar;
mod stragglers;
mod task;
pub mod values;
mod wait;

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeTable;

use crate::config::problem::{Problem, Problems, Severity, Source, Span};
use crate::config::{Config, Control, ExitCodes, Forward, Http, LogConfig, StopOn, default_kill_reserve};
use crate::signal::Signal;
pub use here::Here;
use reader::{Field, Reader, Table};
use task::{Place, Site};

/// A configuration is a page; a megabyte is a mistake, and would be a slow one.
pub const MAX_BYTES: usize = 1024 * 1024;

/// What to add to a file that starts nothing.
const MINIMAL: &str = "add one:\n\n    [[process]]\n    name = \"web\"\n    command = [\"/app/server\"]";

/// Where the verdict goes as a text has it that may be refused for something else: only its syntax has to be right.
pub fn termination_log(text: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    Some(document.get_ref().get("termination_log")?.get_ref().as_str()?.to_owned())
}

/// Reads and validates a configuration. `file` is its name for messages, `env` looks up the variables in its strings.
///
/// ```
/// let text = "[[process]]\nname = 'web'\ncommand = ['/app/server']";
/// let (config, warnings) = softstop::config::check::read(text, "softstop.toml", &|_| None).expect("it is valid");
/// assert_eq!((config.processes.len(), warnings.len()), (1, 0));
/// ```
///
/// # Errors
/// Every problem in the file, warnings among them, in the order of the file.
pub fn read(text: &str, file: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(Config, Vec<Problem>), Problems> {
    read_with_grace(text, file, env, None)
}

/// [`read`] with a grace from elsewhere (`--grace`, `SOFTSTOP_GRACE`) that wins over the file's: every reserve is held
/// against it.
///
/// # Errors
/// As [`read`].
pub fn read_with_grace(
    text: &str,
    file: &str,
    env: &dyn Fn(&str) -> Option<String>,
    grace: Option<Duration>,
) -> Result<(Config, Vec<Problem>), Problems> {
    read_here(text, file, env, grace, None)
}

/// [`read_with_grace`] where it is to run: what it names and `here` does not have is warned of.
///
/// # Errors
/// As [`read`].
pub fn read_here(
    text: &str,
    file: &str,
    env: &dyn Fn(&str) -> Option<String>,
    grace: Option<Duration>,
    here: Option<&dyn Here>,
) -> Result<(Config, Vec<Problem>), Problems> {
    bounded(text.len(), file)?;
    let source = Source::new(file, text);
    let mut reader = Reader::new(&source, env, here);
    let (document, errors) = DeTable::parse_recoverable(text);
    if let Some(other) = other_formats::recognise(text).filter(|_| !errors.is_empty()) {
        reader.error(&other.span, other.sentence, other.help);
        return finish(reader, Config::with_defaults());
    }
    let mut headers_broken = false;
    for error in &errors {
        let span = error.span().unwrap_or_default();
        headers_broken |= syntax_error(&mut reader, &span, error.message());
    }
    // Behind a broken header every key would be judged as another table's.
    let config = if headers_broken { Config::with_defaults() } else { config(&mut reader, document.get_ref(), grace) };
    finish(reader, config)
}

/// The text of a configuration file's bytes.
///
/// # Errors
/// The place of the first byte that is not UTF-8; a file larger than [`MAX_BYTES`].
pub fn decode<'b>(bytes: &'b [u8], file: &str) -> Result<&'b str, Problems> {
    bounded(bytes.len(), file)?;
    std::str::from_utf8(bytes).map_err(|error| {
        let lossy = String::from_utf8_lossy(bytes);
        let at = error.valid_up_to();
        let place = Source::new(file, &lossy).place(&(at..at + '\u{fffd}'.len_utf8()), "");
        let mut problems = Problems::of_file(
            file,
            "the configuration is not UTF-8",
            "save it as UTF-8 (TOML knows no other encoding)",
        );
        problems.list.iter_mut().for_each(|p| p.places = vec![place.clone()]);
        problems
    })
}

fn bounded(bytes: usize, file: &str) -> Result<(), Problems> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let sentence = format!("the configuration has {bytes} bytes, more than {MAX_BYTES}");
    Err(Problems::of_file(file, sentence, "is it the right file? a configuration is a few kilobytes at most"))
}

fn finish(reader: Reader<'_>, config: Config) -> Result<(Config, Vec<Problem>), Problems> {
    let file = reader.source.file.to_owned();
    let mut list = reader.problems;
    let position = |p: &Problem| {
        p.places.first().and_then(|p| p.position.as_ref()).map_or((usize::MAX, 0), |p| (p.line, p.column))
    };
    list.sort_by_key(position);
    list.dedup();
    if list.iter().any(|p| p.severity == Severity::Error) { Err(Problems { file, list }) } else { Ok((config, list)) }
}

/// Notes a syntax error and says whether it stands in a table's header.
fn syntax_error(reader: &mut Reader<'_>, span: &Span, message: &str) -> bool {
    let what = message.split(", expected").next().unwrap_or(message);
    let help = match what {
        "duplicate key" => "a key or a `[table]` can stand once; what may stand more than once is written `[[table]]`",
        "string values must be quoted" => "write the value in quotes",
        "missing comma between array elements" | "missing comma between key-value pairs" => {
            "separate them with a comma"
        }
        "unclosed array" => "end it with `]`",
        "unclosed inline table" => "end it with `}`",
        "unclosed table" | "unclosed array table" => "end the header as it began, with `]` or `]]`",
        "key with no value" | "missing value for key" | "missing value" => "write key = value",
        "invalid basic string" | "invalid literal string" => {
            "end the string with the quote it began with, on the same line"
        }
        "carriage return must be followed by newline" => "end lines with a line feed",
        "cannot recurse further; max recursion depth met" | "recursion limit" => "nest less deeply",
        _ => "this is not TOML: https://toml.io has the rules",
    };
    let (sentence, help) = match what {
        "string values must be quoted" if span.is_empty() => ("the value is missing", "write key = value"),
        "string values must be quoted" => (what, help),
        _ => (message, help),
    };
    reader.syntax_error(span, sentence, help);
    let source = reader.source;
    let start = source.text.get(..span.start).map_or(0, |before| before.rfind('\n').map_or(0, |i| i + 1));
    source.text.get(start..).is_some_and(|line| line.trim_start_matches(['\u{feff}', ' ', '\t']).starts_with('['))
}

fn config(reader: &mut Reader<'_>, document: &DeTable<'_>, grace: Option<Duration>) -> Config {
    let top = reader.top(document);
    let mut config = Config::with_defaults();
    // Reserves are not held against a grace that was refused.
    let before = reader.problems.len();
    budget(reader, &top, &mut config, grace);
    let sound = reader.problems.len() == before;
    settings(reader, &top, &mut config);

    let tables = reader.tables(top.get("process"), &keys::PROCESS, "[[process]]");
    let names = process::names(reader, &tables);
    let mut processes: Vec<_> =
        tables.iter().enumerate().map(|(i, table)| process::process(reader, table, i, &names)).collect();
    let site = Site { place: Place::Init, names: &names, owner: None, fallback: "init".into() };
    config.init = task::tasks(reader, top.get("init"), &site);
    let drain = task::steps(reader, top.get("drain"), Place::Drain, &names);
    let post_stop = task::steps(reader, top.get("post_stop"), Place::PostStop, &names);

    if !reader.is_broken() {
        if processes.is_empty()
            && top.get("sidecar").is_none()
            && top.get("process").is_none_or(|f| f.elements().is_some())
            && reader.can_miss(&top, &["process", "sidecar"])
        {
            let empty = top.get("process").map(|f| reader.source.place(&f.span(), ""));
            let place = empty.unwrap_or_else(|| reader.source.whole());
            reader.error_at(vec![place], "there is no process to run", MINIMAL);
        }
        relations::defaults(reader, &mut processes);
        relations::dependencies(reader, &processes);
        if sound {
            let overridden = grace.is_some();
            let budget = relations::Budget { config: &config, overridden, drain: &drain, post_stop: &post_stop };
            relations::budget(reader, &top, &budget);
        }
        relations::plausible(reader, &top, &config, &processes);
    }
    config.processes = processes.into_iter().map(|p| p.process).collect();
    config.drain = drain.into_iter().map(|s| s.step).collect();
    config.post_stop = post_stop.into_iter().map(|s| s.step).collect();
    config
}

/// The grace and the reserves at the top.
fn budget(reader: &mut Reader<'_>, top: &Table<'_>, config: &mut Config, grace: Option<Duration>) {
    let stated = top.get("grace").and_then(|f| reader.duration(&f, values::LIMIT));
    config.grace = grace.or(stated).unwrap_or(config.grace);
    let kill_reserve = top.get("kill_reserve").and_then(|f| reader.duration(&f, values::LIMIT));
    config.kill_reserve = kill_reserve.unwrap_or(default_kill_reserve(config.grace));
    config.stop_reserve = top.get("stop_reserve").and_then(|f| reader.duration(&f, values::PAUSE));
}

/// Everything else at the top that is no list of processes, tasks or steps.
fn settings(reader: &mut Reader<'_>, top: &Table<'_>, config: &mut Config) {
    config.stop_on = top.get("stop_on").and_then(|f| stop_on(reader, &f)).map(StopOn::Only).unwrap_or_default();
    // The wrapper is as transparent as tini; what is written down here need not die of a stray SIGHUP.
    config.forward = top.get("forward").and_then(|f| reader.word(&f)).unwrap_or(Forward::Caught);
    config.readiness_on_drain =
        top.get("readiness_on_drain").and_then(|f| reader.word(&f)).unwrap_or(config.readiness_on_drain);
    config.report = top.get("report").and_then(|f| reader.path(&f));
    if let Some(field) = top.get("termination_log") {
        let example = "write a path, or \"\" to write none";
        let path = reader.parsed(&field, example, |text| {
            if text.is_empty() { Ok(None) } else { values::path("termination_log", text).map(Some) }
        });
        config.termination_log = path.unwrap_or_default();
    }
    config.http = top.get("http").and_then(|f| http(reader, &f));
    config.control = top.get("control").and_then(|f| control(reader, &f)).unwrap_or_default();
    config.log = top.get("log").map_or(config.log, |f| log(reader, &f, config.log));
    config.sidecar = top.get("sidecar").and_then(|f| sidecar::sidecar(reader, &f));
    config.stragglers = top.get("stragglers").map_or(config.stragglers, |f| stragglers::stragglers(reader, &f));
    config.exit_codes = top.get("exit_codes").map_or_else(ExitCodes::default, |f| exit_codes(reader, &f));
}

fn stop_on(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<Signal>> {
    let example = "write stop_on = [\"SIGTERM\", \"SIGINT\", \"SIGQUIT\"]";
    let elements = match field.elements() {
        Some(elements) if elements.is_empty() => {
            reader.error(&field.span(), "`stop_on` is empty: no signal could stop the container", example);
            return None;
        }
        Some(elements) => elements,
        None if field.value.get_ref().is_str() => vec![field.clone()],
        None => {
            reader.error(&field.span(), "`stop_on` must be an array of signals", example);
            return None;
        }
    };
    let mut list = Vec::with_capacity(elements.len());
    for element in &elements {
        let Some(signal) = reader.signal(element) else {
            continue;
        };
        if let Err(wrong) = values::stop_request(signal) {
            reader.error(&element.span(), wrong.sentence, wrong.help);
        } else if list.contains(&signal) {
            reader.warn(&element.span(), format!("{signal} is listed twice"), "leave one of them out");
        } else {
            list.push(signal);
        }
    }
    Some(list)
}

fn http(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Http> {
    let table = reader.table(field, &keys::HTTP, "write `[http]` and below it listen = \":9180\"")?;
    let Some(listen) = table.get("listen") else {
        reader.missing(
            &table,
            &["listen"],
            "[http] does not say where to listen",
            "add listen = \":9180\", or leave [http] out",
        );
        return None;
    };
    let example = "write listen = \":9180\"";
    let listen = if listen.value.get_ref().is_integer() {
        let port = reader.integer(&listen, 1..=65535, example)?;
        values::listen(&port.to_string()).ok()
    } else {
        reader.parsed(&listen, example, values::listen)
    };
    let prestop = table.get("prestop").and_then(|f| prestop::prestop(reader, &f));
    listen.map(|listen| Http { listen, prestop })
}

fn control(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Control> {
    let table =
        reader.table(field, &keys::CONTROL, "write `[control]` and below it socket = \"/run/softstop.sock\"")?;
    let socket = table.get("socket")?;
    reader.parsed(&socket, "write socket = \"/run/softstop.sock\" or socket = \"off\"", values::control)
}

fn log(reader: &mut Reader<'_>, field: &Field<'_>, defaults: LogConfig) -> LogConfig {
    let Some(table) = reader.table(field, &keys::LOG, "write `[log]` and below it level = \"info\"") else {
        return defaults;
    };
    LogConfig {
        level: table.get("level").and_then(|f| reader.word(&f)).unwrap_or(defaults.level),
        format: table.get("format").and_then(|f| reader.word(&f)).unwrap_or(defaults.format),
    }
}

fn exit_codes(reader: &mut Reader<'_>, field: &Field<'_>) -> ExitCodes {
    let example = "write `[exit_codes]` and below it 143 = 0";
    let Some(entries) = reader.map(field, example) else {
        return ExitCodes::default();
    };
    let mut codes = ExitCodes { map: BTreeMap::new(), forced: None };
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let from = name.parse::<u8>().ok().filter(|n| n.to_string() == name);
        if from.is_none() && name != "forced" {
            let help = "write a code from 0 to 255, or `forced`, the code of a stop that needed SIGKILL";
            reader.error(&key.span(), format!("`{name}` is not an exit code"), help);
        }
        let to = reader.integer(&Field::new(key, value), 0..=255, "write a code from 0 to 255: 143 = 0");
        match (from, to.and_then(|n| u8::try_from(n).ok())) {
            (Some(from), Some(to)) => drop(codes.map.insert(from, to)),
            (None, Some(to)) if name == "forced" => codes.forced = Some(to),
            _ => {}
        }
    }
    codes
}
