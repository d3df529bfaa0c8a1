//! TEXT → VALID SETTINGS: reads a configuration and finds every mistake in it, not only the first. Pure.
//!
//! Each table of the file is a file here: what it becomes, its keys ([`declare`]), and how they are read. `settings` is the top,
//! `process`, `task`, `probe` and `handler` are what stands below. `kinds` are what a value may be, [`values`] knows what a string may mean, `reader`
//! notes what is wrong with its place, [`keys`] what an unknown key was meant to be; `relations` judges all together.

pub(super) mod backoff;
pub(super) mod capabilities;
pub mod declare;
pub(super) mod env_file;
mod environment;
pub(super) mod exit_codes;
pub mod explained;
pub mod handler;
mod here;
pub(super) mod http;
pub(super) mod identity;
pub mod include;
pub mod keys;
mod kinds;
pub(super) mod ladder;
pub(super) mod launch;
pub(super) mod limits;
pub(super) mod logs;
mod networks;
pub mod notify;
pub mod on_change;
mod other_formats;
mod other_tools;
pub mod prestop;
pub(super) mod probe;
pub(super) mod process;
mod program;
mod reader;
mod relations;
pub(super) mod restart;
mod rewrite;
mod scalar;
pub mod schedule;
pub(super) mod settings;
mod shell_syntax;
pub(super) mod sidecar;
pub mod socket;
pub(super) mod stop_on;
pub(super) mod stragglers;
pub(super) mod task;
pub mod values;

use std::time::Duration;

use toml::de::DeTable;

use crate::config::place::Place;
use crate::config::problem::{Problem, Problems, Severity, Source, Span};
use crate::config::sources::Sources;
use crate::config::{Config, default_kill_reserve, expand, procfile};
use crate::sorted;
use declare::{Declared, Described};
pub use here::Here;
use include::Joined;
use reader::Reader;
pub use scalar::word;
use settings::TopKeys;
use task::Site;

/// A configuration is a page; a megabyte is a mistake, and would be a slow one.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The table that a configuration is, as it is explained.
pub fn top() -> &'static Described {
    TopKeys::DESCRIBED
}

/// Every table of a configuration, as it is explained.
pub fn tables() -> Vec<&'static Described> {
    top().with_those_below()
}

/// Where the termination message goes as a text has it that may be refused for something else: only its syntax has to be right.
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
    read_sources(&Sources::of(file, text), env, None, None)
}

/// [`read`] of a file with those that it includes ([`includes`]). A `grace` from elsewhere (`--grace`, `SOFTSTOP_GRACE`) wins over the
/// file's: every reserve is held against it. `here`, where it is to run: what the file names and that does not have is warned of.
///
/// # Errors
/// As [`read`].
pub fn read_sources(
    sources: &Sources,
    env: &dyn Fn(&str) -> Option<String>,
    grace: Option<Duration>,
    here: Option<&dyn Here>,
) -> Result<(Config, Vec<Problem>), Problems> {
    if is_procfile(&sources.text, &sources.file) {
        return procfile::read(&sources.text, &sources.file, env);
    }
    let joined = Joined::of(sources);
    bounded(joined.text.len(), &sources.file)?;
    let padded = joined.padded();
    let source = Source::with_included(&sources.file, &joined.text, &joined.files);
    let mut reader = Reader::new(&source, env, here);
    let mut headers_broken = false;
    let mut document = DeTable::new();
    for (nth, text) in std::iter::once(&sources.text).chain(&padded).enumerate() {
        let (own, errors) = DeTable::parse_recoverable(text);
        if let Some(other) = other_formats::recognise(text.trim_start_matches(' ')).filter(|_| !errors.is_empty()) {
            let start = text.len() - text.trim_start_matches(' ').len();
            reader.error(&(other.span.start + start..other.span.end + start), other.sentence, other.help);
            return finish(reader, Config::with_defaults());
        }
        for error in &errors {
            let span = error.span().unwrap_or_default();
            headers_broken |= syntax_error(&mut reader, &span, error.message());
        }
        match nth {
            0 => {
                document = own.into_inner();
                include::unread(&mut reader, &document, sources);
            }
            _ => include::add(&mut reader, &mut document, own.into_inner()),
        }
    }
    // Behind a broken header every key would be judged as another table's.
    let config = if headers_broken { Config::with_defaults() } else { config(&mut reader, &document, grace) };
    finish(reader, config)
}

/// Whether a file is read as a Procfile: by its name, or where its name says nothing by its lines. What is named as TOML is held to it: a slip
/// must not start a shell.
pub fn is_procfile(text: &str, file: &str) -> bool {
    let by_its_lines = || other_formats::is_procfile(text) && !DeTable::parse_recoverable(text).1.is_empty();
    procfile::is_named(file) || !file.ends_with(".toml") && text.len() <= MAX_BYTES && by_its_lines()
}

/// The patterns of a text's `include`, as far as they can be read: what is wrong with the others, [`read_sources`] says.
pub fn includes(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    if !text.contains("include") {
        return Vec::new();
    }
    let (document, _) = DeTable::parse_recoverable(text);
    let Some(list) = document.get_ref().get("include").and_then(|value| value.get_ref().as_array()) else {
        return Vec::new();
    };
    let text = |value: &toml::Spanned<toml::de::DeValue<'_>>| {
        let text = value.get_ref().as_str().unwrap_or_default();
        expand::expand(text, env, &mut Some(expand::MOST)).map(|text| text.into_owned()).unwrap_or_default()
    };
    list.iter().map(text).collect()
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
        let help = "save it as UTF-8 (TOML knows no other encoding)";
        let problem = Problem::error(place, "the configuration is not UTF-8", help);
        Problems { file: file.to_owned(), list: vec![problem] }
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
    let position =
        |p: &Problem| p.places.first().and_then(|p| p.position.as_ref()).map_or((usize::MAX, 0), |p| (p.nth, p.column));
    sorted::by_key(&mut list, position);
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
    let top = reader.top::<TopKeys<'_>>(document);
    let mut config = Config::with_defaults();
    let sound = budget(reader, &top, &mut config, grace);
    settings::settings(reader, &top, &mut config);

    let sockets = socket::sockets(reader, &top.socket);
    let tables = top.process.open(reader, "[[process]]");
    let names = process::names(reader, &tables);
    let time = config.grace.saturating_sub(config.kill_reserve);
    let read = tables.iter().enumerate().map(|(i, table)| process::process(reader, table, i, &names, time));
    let mut processes: Vec<_> = read.collect();
    let site = Site { place: Place::Init, names: &names, owner: None, fallback: "init".into() };
    config.init = task::tasks(reader, &top.init, &site);
    let drain = task::steps(reader, &top.drain, Place::Drain, &names);
    let post_stop = task::steps(reader, &top.post_stop, Place::PostStop, &names);
    config.on_change = on_change::on_change(reader, &top, &names);

    if !reader.is_broken() {
        relations::something_to_run(reader, &top, &processes);
        relations::defaults(reader, &top, &mut processes);
        relations::dependencies(reader, &processes);
        if sound {
            let overridden = grace.is_some();
            let budget = relations::Budget { config: &config, overridden, drain: &drain, post_stop: &post_stop };
            relations::budget(reader, &top, &budget);
        }
        relations::plausible(reader, &top, &config, &processes);
        processes.iter().for_each(|p| logs::agree(reader, p));
        logs::files(reader, &config, &processes);
        config.sockets = socket::handed(reader, sockets, &mut processes, &config, top.http.span());
    }
    config.processes = processes.into_iter().map(|p| p.process).collect();
    // They stand where they were read, with the room for what is known of their places.
    config.processes.shrink_to_fit();
    config.drain = drain.into_iter().map(|s| s.step).collect();
    config.post_stop = post_stop.into_iter().map(|s| s.step).collect();
    config
}

/// The grace and the reserves at the top. Whether they are sound: reserves are not held against a grace that was refused.
fn budget(reader: &mut Reader<'_>, top: &TopKeys<'_>, config: &mut Config, grace: Option<Duration>) -> bool {
    let before = reader.problems.len();
    let stated = top.grace.read(reader);
    config.grace = grace.or(stated).unwrap_or(config.grace);
    config.kill_reserve = top.kill_reserve.read(reader).unwrap_or(default_kill_reserve(config.grace));
    config.stop_reserve = top.stop_reserve.read(reader);
    reader.problems.len() == before
}
