//! What the fuzzers run: one module a target, each with `pub fn target(data: &[u8])`, which panics when something that must
//! always hold does not. `fuzz_targets/` hands them to libFuzzer; `tests/pages/fuzz_corpus.rs` includes this file by its path and
//! replays the corpus through the same functions in every `cargo test`. README.md says how to run and how to add one.

pub mod accounts;
pub mod command_line;
pub mod config;
pub mod control;
pub mod env_file;
pub mod expand;
pub mod grpc_answer;
pub mod http_answer;
pub mod http_request;
mod life;
pub mod lines;
pub mod manifest;
pub mod probe_url;
pub mod procfile;
pub mod procfs;
pub mod report;
pub mod resolver;
pub mod stop;
mod trickle;
pub mod values;

use softstop::config::problem::Position;

pub type Target = fn(&[u8]);

/// Every target under the name of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("accounts", accounts::target),
    ("command_line", command_line::target),
    ("config", config::target),
    ("control", control::target),
    ("env_file", env_file::target),
    ("expand", expand::target),
    ("grpc_answer", grpc_answer::target),
    ("http_answer", http_answer::target),
    ("http_request", http_request::target),
    ("lines", lines::target),
    ("manifest", manifest::target),
    ("probe_url", probe_url::target),
    ("procfile", procfile::target),
    ("procfs", procfs::target),
    ("report", report::target),
    ("resolver", resolver::target),
    ("stop", stop::target),
    ("values", values::target),
];

/// One line that can be printed: what every message has to be.
#[track_caller]
fn assert_one_line(text: &str) {
    assert!(!text.is_empty(), "an empty message");
    assert!(text.chars().all(softstop::text::is_plain), "not one printable line: {text:?}");
}

/// A line and a column of the text, or right behind a line's last.
#[track_caller]
fn assert_inside(text: &str, at: &Position) {
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).split('\n');
    let columns = lines.nth(at.line - 1).map(|line| line.chars().count());
    assert!(
        columns.is_some_and(|n| (1..=n + 1).contains(&at.column)),
        "{}:{} is outside the text {text:?}",
        at.line,
        at.column
    );
}

/// What `${…}` finds in the targets.
fn variable(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("db".into()),
        "N" => Some("7".into()),
        "EMPTY" => Some(String::new()),
        "ODD" => Some("${HOST} $$ \u{1b}[2J\n\0é".into()),
        _ => None,
    }
}
