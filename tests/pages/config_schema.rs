//! docs/softstop.schema.json: made of the declared keys, and right where editors go by it.

use softstop::config::check::read;

use crate::config_errors::env;
use crate::declared::{files, is_as_made, pages_of, text};
use crate::schema::{Checker, schema};

#[test]
fn the_schema_is_made_of_the_declared_keys() {
    let made = serde_json::to_string_pretty(&schema()).expect("it can be written") + "\n";
    is_as_made("docs/softstop.schema.json", &made);
}

/// The configurations in a folder, each by its name.
fn texts(folder: &str) -> Vec<(String, String)> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    files(folder, ".toml").into_iter().map(|path| (name(&path), text(&path))).collect()
}

#[test]
fn the_schema_takes_every_configuration_that_is_right() {
    let checker = Checker::new(schema());
    let folders = ["examples", "tests/config_valid", "tests/config_errors"];
    let mut all: Vec<(String, String)> = folders.into_iter().flat_map(texts).collect();
    for (path, page) in pages_of("configuration") {
        let blocks = page.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
        all.extend(blocks.map(|block| (path.clone(), block.to_owned())));
    }
    let read = |text: &str| read(text, "softstop.toml", &env).is_ok();
    let right = |text: &str| read(text) || read(&format!("{text}\n[sidecar]\n"));
    let taken = all.iter().filter(|(_, text)| right(text));
    let taken = taken.map(|(name, text)| assert_eq!(checker.accepts(text), Some(true), "{name}:\n{text}")).count();
    assert!(taken >= 30, "{taken}");
}

/// Broken configurations with which an editor sees nothing wrong: what is wrong with them shows beside another key, or is the meaning of
/// a text.
const UNSEEN: &[&str] = &[
    "05-no-process.toml",
    "06-empty-file.toml",
    "09-duplicate-process-names.toml",
    "101-presets.toml",
    "111-sockets-of-nobody.toml",
    "112-socket-addresses-taken.toml",
    "130-tty.toml",
    "131-log-files.toml",
    "15-bad-signals.toml",
    "16-stop-on-empty.toml",
    "19-cycle.toml",
    "21-completed-never-holds.toml",
    "24-reserves-exceed-grace.toml",
    "25-step-never-runs.toml",
    "26-kill-reserve-not-less.toml",
    "30-listen-names.toml",
    "32-undefined-variables.toml",
    "54-two-cycles.toml",
    "56-control-too-long.toml",
    "58-control-directory.toml",
    "70-prestop-without-a-guard.toml",
    "73-prestop-two-tokens.toml",
    "74-prestop-everybody.toml",
    "75-essential-without-reserve.toml",
    "78-sidecar-appears.toml",
    "80-two-read-standard-input.toml",
    "95-shell-syntax.toml",
    "97-wait-idle-longer-than-its-timeout.toml",
];

#[test]
fn the_schema_refuses_what_is_wrong_with_one_value_or_key() {
    let checker = Checker::new(schema());
    let all = texts("tests/config_errors");
    let wrong = all.iter().filter(|(_, text)| read(text, "softstop.toml", &env).is_err());
    let unseen: Vec<&str> =
        wrong.filter(|(_, text)| checker.accepts(text) == Some(true)).map(|(n, _)| n.as_str()).collect();
    assert_eq!(unseen, UNSEEN);
}
