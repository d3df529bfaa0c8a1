//! In how many files a thing stands that users know by name: one declares it, and another one or two do what it says. What lists it (help, pages,
//! schema, protocol, fuzzers' words) is made of the declaration, which the tests beside this one compare. Whoever adds one edits the like.

use std::path::Path;

use crate::module_graph::{sources, src};

/// The sources that have one of these in their code: as whole words, neither in a comment nor in a test.
fn files(words: &[&str]) -> Vec<String> {
    let in_word = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_ascii_alphanumeric());
    let has = |line: &str| {
        let mut found = words.iter().flat_map(|word| line.match_indices(word));
        found.any(|(at, word)| {
            !in_word(line[..at].chars().next_back()) && !in_word(line[at + word.len()..].chars().next())
        })
    };
    let has_it = |file: &Path| {
        let text = std::fs::read_to_string(file).expect("a source");
        let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
        code.filter(|line| !line.trim_start().starts_with("//")).any(has)
    };
    let all = sources(&src()).into_iter().filter(|file| has_it(file) && !file.ends_with("tests.rs"));
    let mut found: Vec<String> =
        all.map(|file| file.strip_prefix(src()).expect("below src").display().to_string()).collect();
    found.retain(|file| !file.contains("/tests/"));
    found.sort();
    found
}

#[test]
fn a_flag_stands_where_it_is_declared_and_where_it_is_used() {
    let files = files(&["drain_timeout", "SOFTSTOP_DRAIN_TIMEOUT"]);
    assert_eq!(files, ["cli/drain.rs", "cli/flags.rs"]);
}

#[test]
fn an_order_stands_where_it_is_declared_and_where_it_is_followed() {
    let mut files = files(&["Order::Restart", "Restart { process", "\"restart\" ["]);
    // Some have a key of their own.
    files.retain(|file| file != "watch/state.rs");
    assert_eq!(files, ["lifecycle/requests.rs", "order.rs"]);
}

#[test]
fn an_endpoint_stands_where_it_is_declared_and_where_it_is_answered() {
    let files = files(&["Answers::Metrics", "\"/metrics\""]);
    assert_eq!(files, ["endpoint.rs", "http/endpoints.rs"]);
}

/// It has a message of its own besides, another key that needs it, and other tools have a word for it.
#[test]
fn a_key_stands_where_it_is_declared_and_where_it_is_used() {
    let files = files(&["max_restarts"]);
    let more = ["config/check/other_tools.rs", "config/check/restart.rs", "report/text/mod.rs"];
    let files: Vec<&str> = files.iter().map(String::as_str).filter(|file| !more.contains(file)).collect();
    // Whether a reload changes it is asked of every key.
    assert_eq!(files, ["config/check/process.rs", "lifecycle/process/running.rs", "plan/reload.rs"]);
}

#[test]
fn a_handler_stands_where_it_is_declared_listed_and_run() {
    let files = files(&["wait_process", "WaitProcess"]);
    let declared = "config/check/handler/wait_process.rs";
    assert_eq!(files, ["config/check/handler/mod.rs", declared, "lifecycle/task.rs", "runtime/hooks.rs"]);
}
