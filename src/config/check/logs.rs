//! `[process.logs]` and `[logs]`: where the lines of a process go, and how many of the last ones are kept. Pure.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::declare::{Form, Shape, table};
use super::kinds::{AnySignal, Bool, Constant, Int, Kind, Word, kind, strings};
use super::process::ReadProcess;
use super::reader::{Field, Reader};
use super::values::{DurationRange, Wrong};
use crate::config::problem::Span;
use crate::config::{Config, Output};
use crate::signal::Signal;

/// What becomes of the lines of one process that softstop reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// Of standard output and standard error.
    pub to: [LogTarget; 2],
    /// Of its files.
    pub rotation: Rotation,
    /// In front of lines that are not JSON, which have one anyway.
    pub timestamps: bool,
    /// Its own JSON objects stand in JSON lines as objects.
    pub objects: bool,
    pub when_full: WhenFull,
    /// So much of its last lines is kept, in bytes; 0: nothing.
    pub memory: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
    None,
    /// An absolute path.
    File(PathBuf),
}

impl LogTarget {
    pub fn file(&self) -> Option<&Path> {
        match self {
            LogTarget::File(path) => Some(path),
            _ => None,
        }
    }
}

/// When a log file is put aside for a new one, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// In bytes; `None`: it may grow for ever.
    pub max_size: Option<u64>,
    /// The one that is written included; from 1.
    pub max_files: u32,
    pub max_age: Option<Duration>,
}

/// What happens to a process whose lines nobody takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It waits, as it would on the output itself.
    Block,
    /// It goes on, and lines are lost and counted.
    Drop,
}

/// Of all processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllLogs {
    /// So much of their last lines is kept, in bytes.
    pub memory: u64,
    /// Log files are opened again upon this signal, which then is no process's.
    pub reopen_on: Option<Signal>,
}

impl Default for Logs {
    fn default() -> Logs {
        Logs {
            to: [LogTarget::Stdout, LogTarget::Stderr],
            rotation: Rotation::default(),
            timestamps: LogsKeys::timestamps,
            objects: LogsKeys::objects,
            when_full: LogsKeys::when_full,
            memory: LogsKeys::memory,
        }
    }
}

impl Default for Rotation {
    fn default() -> Rotation {
        Rotation { max_size: Some(LogsKeys::max_size), max_files: LogsKeys::max_files, max_age: None }
    }
}

impl Default for AllLogs {
    fn default() -> AllLogs {
        AllLogs { memory: AllLogsKeys::memory, reopen_on: None }
    }
}

const KI: u64 = 1024;
const MI: u64 = 1024 * KI;

table! {
    pub struct LogsKeys in "[process.logs]" {
        /// Where its standard output goes: to softstop's `"stdout"` or `"stderr"`, to nowhere (`"none"`), or to a file, by its absolute path.
        stdout: Target = "stdout";
        /// The same of its standard error. Both may go to one file.
        stderr: Target = "stderr";
        /// A file that would become larger is put aside as `FILE.1`, after `FILE.1` has become `FILE.2` and so on, and a new one is begun.
        /// `"none"`: it grows for ever, or is logrotate's to rotate.
        max_size: SizeOrNone = 10 * MI;
        /// So many files there are at most, the one that is written included; the oldest goes. The kubelet's `containerLogMaxFiles`.
        max_files: Int<1, 100> { help: "write a number such as 5", examples: &["1", "100"] } = 5;
        /// A file that is older is put aside, too, when its next line comes.
        max_age: Age { unset: "none", examples: &["\"1d\"", "\"7d\""] };
        /// `true` in each of several processes that are to write into one file.
        shared: Bool = false;
        /// The time (RFC 3339, UTC) in front of each line. With `output = "json"` there is one in any case.
        timestamps: Bool = false;
        /// With `output = "json"`: a line that is a JSON object itself stands as `"object":{…}` in place of `"line":"{…}"`.
        objects: Bool = true;
        /// When nobody takes its lines: it waits, as it would without softstop; or lines are dropped, counted and that is said.
        when_full: Word<WhenFull> = WhenFull::Block;
        /// So much of its last lines is kept for [`softstop logs`](logs.md), no more than its part of `memory` in [`[logs]`](configuration/output.md#logs). `0`: nothing.
        memory: Size = 64 * KI;
    }
}

table! {
    pub struct AllLogsKeys in "[logs]" {
        /// So much of the last lines of all processes is kept for [`softstop logs`](logs.md), in equal parts. `0`: nothing.
        memory: Size = MI;
        /// Upon this signal log files are closed and opened again by their names, as with `softstop reopen`. It is not passed on then.
        reopen_on: AnySignal { unset: "none", examples: &["\"SIGUSR2\""] };
    }
}

strings! {
    Target LogTarget, "`\"stdout\"`, `\"stderr\"`, `\"none\"` or an absolute path", r"stdout|stderr|none|/[\s\S]+",
        ["\"none\"", "\"/var/log/web.log\""],
        |reader, field, _| reader.parsed(field, "write \"stdout\", \"stderr\", \"none\" or a path such as \"/var/log/web.log\"",
            |text| target(field.name, text));
}

/// The longest name that a file may have, and what a rotation adds to it.
const LONGEST_NAME: usize = 255 - ".100".len();
const LONGEST_PATH: usize = 4095 - ".100".len();

fn target(name: &str, text: &str) -> Result<LogTarget, Wrong> {
    let path = match text {
        "stdout" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => return Ok(LogTarget::Stdout),
        "stderr" | "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => return Ok(LogTarget::Stderr),
        "none" | "/dev/null" => return Ok(LogTarget::None),
        text => Path::new(text),
    };
    if !text.starts_with('/') {
        return Err(if text.contains(['/', '.']) {
            let sentence =
                format!("{text:?} is a relative path: where it is would depend on where softstop is started");
            Wrong::new(
                sentence,
                format!("write the whole path, such as \"/var/log/{}\"", text.trim_start_matches("./")),
            )
        } else {
            let help = "write \"stdout\", \"stderr\", \"none\", or the absolute path of a file";
            Wrong::new(format!("`{name}` has no {text:?}"), help)
        });
    }
    let name = path.file_name().map_or(0, OsStr::len);
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if name == 0 || text.ends_with(['/', '.']) || !plain {
        return Err(Wrong::new(format!("{text:?} names no file"), "write a path such as \"/var/log/web.log\""));
    }
    if name > LONGEST_NAME || text.len() > LONGEST_PATH {
        let help = format!("at most {LONGEST_NAME} bytes in the name, {LONGEST_PATH} in all: rotated files have more");
        return Err(Wrong::new("the path of the log file is too long", help));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(format!("{text:?} contains a control character"), "leave it out"));
    }
    Ok(LogTarget::File(path.to_owned()))
}

// === sizes and ages ===

kind! {
    /// Bytes: a number, or Kubernetes' quantities.
    Size: u64 = read_size, &Shape::Any(&[
        &Shape::Integer(0, 1 << 40),
        &Shape::Text(Form {
            name: "size such as `\"64Ki\"`",
            pattern: r"\s*[0-9]+\s*([kKMG]i?)?B?\s*",
            examples: &["\"64Ki\"", "\"10MB\"", "\"1 GiB\""],
        }),
    ])
}

fn read_size(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<u64> {
    const HELP: &str = "write a size such as \"64Ki\" or \"10Mi\"";
    match field.value.get_ref() {
        DeValue::String(_) => reader.parsed(field, HELP, size),
        _ => reader.integer(field, 0, 1 << 40, HELP),
    }
}

impl Constant for Size {
    type Const = u64;
    fn show(value: &u64) -> String {
        if value.is_multiple_of(MI) && *value > 0 {
            format!("\"{}Mi\"", value / MI)
        } else {
            format!("\"{}Ki\"", value / KI)
        }
    }
}

fn size(text: &str) -> Result<u64, Wrong> {
    let help =
        "write \"64Ki\" for 64 times 1024 bytes, \"10M\" or \"10MB\" for ten million; there are k, Ki, M, Mi, G and Gi";
    let wrong = || Wrong::new(format!("{text:?} is no size"), help);
    let trimmed = text.trim();
    let (digits, unit) = trimmed.split_at(trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len()));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let times = match unit.trim_start() {
        "" | "B" => 1,
        "k" | "K" | "kB" | "KB" => 1000,
        "Ki" | "KiB" | "ki" | "kiB" => KI,
        "M" | "MB" => 1_000_000,
        "Mi" | "MiB" => MI,
        "G" | "GB" => 1_000_000_000,
        "Gi" | "GiB" => 1024 * MI,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(times)
        .filter(|n| *n <= 1 << 40)
        .ok_or_else(|| Wrong::new(format!("{text:?} is too large"), help))
}

/// Less than a line would be put aside with every one.
const LEAST_FILE: u64 = 4 * KI;

kind! {
    /// The same of a file, or none.
    SizeOrNone: Option<u64> = read_size_or_none, &Shape::Any(&[
        &Shape::Integer(LEAST_FILE as i64, 1 << 40),
        &Shape::Text(Form {
            name: "size such as `\"10Mi\"`, or `\"none\"`",
            pattern: r"\s*[0-9]+\s*([kKMG]i?)?B?\s*|none",
            examples: &["\"10Mi\"", "\"100MB\"", "\"none\""],
        }),
    ])
}

fn read_size_or_none(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Option<u64>> {
    if field.value.get_ref().as_str() == Some("none") {
        return Some(None);
    }
    let size = Size::read(reader, field, help)?;
    if size < LEAST_FILE {
        let sentence = format!("`{}` is less than {LEAST_FILE} bytes", field.name);
        reader.error(&field.span(), sentence, "write a size such as \"10Mi\", or \"none\"");
        return None;
    }
    Some(Some(size))
}

impl Constant for SizeOrNone {
    type Const = u64;
    fn show(value: &u64) -> String {
        Size::show(value)
    }
}

/// A year, as humantime has it.
const AGES: DurationRange = DurationRange { min: Duration::from_secs(1), max: Duration::from_secs(31_557_600) };

kind! {
    /// How old a file becomes.
    Age: Duration = |reader, field, _| reader.duration(field, AGES), &Shape::Duration(AGES)
}

// === reading ===

pub const HELP: &str = "write `[process.logs]` and below it stdout = \"/var/log/web.log\"";

/// What a process says of its logs, and where.
#[derive(Default)]
pub struct ReadLogs<'t> {
    /// What was refused may well have been a file.
    unclear: bool,
    /// Of the keys that name a file.
    files: [Option<Span>; 2],
    shared: bool,
    /// `None`: it says nothing.
    keys: Option<LogsKeys<'t>>,
}

pub fn logs<'t>(reader: &mut Reader<'_>, keys: LogsKeys<'t>) -> (Logs, ReadLogs<'t>) {
    let mut logs = Logs::default();
    let mut read = ReadLogs::default();
    for (i, key) in [&keys.stdout, &keys.stderr].into_iter().enumerate() {
        let Some(target) = key.read(reader) else {
            read.unclear |= key.is_given();
            continue;
        };
        if let (Some(file), Some(span)) = (target.file(), key.span()) {
            reader.expect_writable(&span, file);
            read.files[i] = Some(span);
        }
        logs.to[i] = target;
    }
    logs.rotation = Rotation {
        max_size: keys.max_size.read(reader).unwrap_or(logs.rotation.max_size),
        max_files: keys.max_files.read(reader).unwrap_or(logs.rotation.max_files),
        max_age: keys.max_age.read(reader),
    };
    logs.timestamps = keys.timestamps.read(reader).unwrap_or(logs.timestamps);
    logs.objects = keys.objects.read(reader).unwrap_or(logs.objects);
    logs.when_full = keys.when_full.read(reader).unwrap_or(logs.when_full);
    logs.memory = keys.memory.read(reader).unwrap_or(logs.memory);
    read.shared = keys.shared.read(reader) == Some(true);
    read.keys = Some(keys);
    (logs, read)
}

/// `[logs]`.
pub fn all(reader: &mut Reader<'_>, keys: &AllLogsKeys<'_>) -> AllLogs {
    let reopen_on = keys.reopen_on.read(reader);
    let customary = [Signal::TERM, Signal::INT, Signal::KILL, Signal::STOP, Signal::CHLD, Signal::CONT];
    if let (Some(signal), Some(span)) = (reopen_on.filter(|signal| customary.contains(signal)), keys.reopen_on.span()) {
        reader.error(&span, format!("{signal} has a meaning of its own"), "write reopen_on = \"SIGUSR2\"");
    }
    AllLogs { memory: keys.memory.read(reader).unwrap_or(AllLogsKeys::memory), reopen_on }
}

/// What contradicts itself, once it is known what becomes of the output where nothing is said.
pub fn agree(reader: &mut Reader<'_>, p: &ReadProcess<'_>) {
    let (process, read) = (&p.process, &p.logs);
    let file = read.files.iter().flatten().next();
    if let (Output::Inherit, Some(span), Some(file)) = (process.output, p.keys.output.span(), file) {
        let sentence = "what is inherited goes past softstop, and so into no file";
        reader.error_beside(file, (&span, ""), sentence, "leave `output` out, or write output = \"plain\"");
        return;
    }
    let Some(keys) = &read.keys else { return };
    let shared = keys.shared.field.as_ref().filter(|_| read.shared);
    let of_files = [&keys.max_size.field, &keys.max_files.field, &keys.max_age.field].into_iter().flatten();
    for Field { name, key, .. } in of_files.chain(shared).filter(|_| file.is_none() && !read.unclear) {
        let sentence = format!("`{name}` without a file: neither `stdout` nor `stderr` names one");
        reader.error(key, sentence, "write stdout = \"/var/log/web.log\", or leave it out");
    }
    let of_lines = [&keys.timestamps.field, &keys.when_full.field, &keys.memory.field].into_iter().flatten();
    for Field { name, key, .. } in of_lines.filter(|_| !(0..2).any(|stream| process.is_read(stream))) {
        let sentence =
            format!("`{name}` of lines that softstop does not read: the output of {:?} is inherited", process.name);
        reader.error(key, sentence, "write output = \"prefix\", \"json\" or \"plain\"");
    }
    if let Some(field) = keys.objects.field.as_ref().filter(|_| process.output != Output::Json) {
        reader.error(&field.key, "`objects` of lines that are not JSON", "write output = \"json\", or leave it out");
    }
}

/// Who writes into which file: two into one only where each says so.
pub fn files(reader: &mut Reader<'_>, config: &Config, processes: &[ReadProcess<'_>]) {
    let mut all: Vec<(&Path, &Span, &ReadProcess<'_>)> = Vec::new();
    for p in processes {
        for (target, span) in p.process.logs.to.iter().zip(&p.logs.files) {
            if let (Some(path), Some(span)) = (target.file(), span) {
                all.push((path, span, p));
            }
        }
    }
    for (i, (path, span, p)) in all.iter().enumerate() {
        if config.report.as_deref() == Some(path) || config.termination_log.as_deref() == Some(path) {
            let sentence = format!("{path:?} is softstop's own: its report or termination log");
            reader.error(span, sentence, "give each its own");
        }
        let mut before = all[..i].iter();
        let name = &p.process.name;
        if let Some((other, first, _)) =
            before.clone().find(|(other, ..)| is_rotated(path, other) || is_rotated(other, path))
        {
            let sentence = format!("{path:?} and {other:?}: one is what the other becomes when it is put aside");
            reader.error_beside(span, (first, ""), sentence, "give them other names");
        } else if let Some((_, first, of)) = before.find(|(other, _, of)| other == path && of.process.name != *name) {
            let (first, other) = ((*first, "the first"), &of.process.name);
            if !p.logs.shared || !of.logs.shared {
                let sentence = format!("{other:?} and {name:?} write into one file");
                reader.error_beside(span, first, sentence, "give each its own, or both shared = true");
            } else if of.process.logs.rotation != p.process.logs.rotation {
                let sentence = format!("{other:?} and {name:?} write into one file, and put it aside differently");
                reader.error_beside(span, first, sentence, "give both the same max_size, max_files and max_age");
            }
        }
    }
}

/// `old` is a name that `file` gets when it is put aside.
fn is_rotated(old: &Path, file: &Path) -> bool {
    let rest = old.to_str().zip(file.to_str()).and_then(|(old, file)| old.strip_prefix(file)?.strip_prefix('.'));
    rest.is_some_and(|number| number.len() <= 3 && number.parse::<u32>().is_ok_and(|n| (1..=100).contains(&n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_has_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64Ki", 65_536),
            (" 10 MiB ", 10 << 20),
            ("10MB", 10_000_000),
            ("1k", 1000),
            ("2Gi", 2 << 30),
            ("7B", 7),
        ] {
            assert_eq!(size(text).ok(), Some(bytes), "{text}");
        }
        for text in ["", "Ki", "10m", "1.5Mi", "-1", "10 Mi i", "99999999999999999999", "2000Gi", "1Ti"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!((Size::show(&(64 * KI)), Size::show(&(10 * MI))), ("\"64Ki\"".into(), "\"10Mi\"".into()));
    }

    #[test]
    fn a_target_is_a_word_or_an_absolute_path_of_a_file() {
        let of = |text: &str| target("stdout", text).map_err(|wrong| wrong.sentence);
        assert_eq!(of("none"), Ok(LogTarget::None));
        assert_eq!(of("/dev/stderr"), Ok(LogTarget::Stderr), "as images name it");
        assert_eq!(of("/var/log/a.log"), Ok(LogTarget::File("/var/log/a.log".into())));
        for (text, said) in [
            ("logs/web.log", "relative path"),
            ("web.log", "relative path"),
            ("syslog", "`stdout` has no \"syslog\""),
            ("/", "names no file"),
            ("/var/log/", "names no file"),
            ("/var/../log/x", "names no file"),
            ("/var/log/a\nb", "control character"),
        ] {
            assert!(of(text).is_err_and(|why| why.contains(said)), "{text}");
        }
        assert!(of(&format!("/{}", "x".repeat(252))).is_err_and(|why| why.contains("too long")));
        assert!(of(&format!("/{}", "x".repeat(251))).is_ok());
    }

    #[test]
    fn a_name_that_a_rotation_makes_is_known() {
        let made = |old: &str| is_rotated(Path::new(old), Path::new("/a.log"));
        assert!(made("/a.log.1") && made("/a.log.100"));
        assert!(!made("/a.log.0") && !made("/a.log.101") && !made("/a.log.x") && !made("/a.log") && !made("/b.log.1"));
    }
}
