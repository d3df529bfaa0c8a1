//! A key that is none: what it was meant to be, or where it belongs. Pure.

use std::fmt::Display;

use super::declare::Declared;
use super::other_tools;
use super::process::ProcessKeys;
use super::settings::TopKeys;
use super::task::{StepKeys, TaskKeys};

/// A kind of table and what may stand in it: made where the table is declared.
pub struct Section {
    /// As it is written in a file, for messages.
    pub title: &'static str,
    pub keys: &'static [&'static str],
}

/// What is said about a key that does not belong.
pub struct Unknown {
    pub help: String,
    /// The keys it was most likely meant to be: those are not missing as well.
    pub meant: &'static [&'static str],
}

/// What to write instead of an unknown key.
pub fn unknown(key: &str, section: &'static Section) -> Unknown {
    if let Some(help) = belongs_elsewhere(key, section) {
        return Unknown { help, meant: &[] };
    }
    let snake = snake_case(key);
    let without_unit = snake.strip_suffix("_seconds");
    let same = |k: &&str| *k == snake || Some(*k) == without_unit;
    let meant = other_tools::alias(&snake, section).or_else(|| section.keys.iter().copied().find(same));
    if let Some(help) = other_tools::instead(&snake, section).filter(|_| meant.is_none()) {
        return Unknown { help: help.to_owned(), meant: &[] };
    }
    let meant = meant.or_else(|| crate::nearest::nearest(&snake, section.keys.iter().copied()));
    match meant.and_then(|meant| section.keys.iter().position(|k| *k == meant)) {
        Some(i) => Unknown { help: format!("did you mean `{}`?", section.keys[i]), meant: &section.keys[i..=i] },
        None => Unknown { help: format!("valid here: {}", list(section.keys)), meant: &[] },
    }
}

/// For a key that is right, but in another table.
fn belongs_elsewhere(key: &str, section: &Section) -> Option<String> {
    let at_top = section.title == TopKeys::SECTION.title;
    if !at_top && TopKeys::SECTION.keys.contains(&key) {
        let why = "what follows a header belongs to that table";
        return Some(format!("`{key}` belongs at the top of the file, before the first `[table]`: {why}"));
    }
    if section.title == TaskKeys::SECTION.title && StepKeys::SECTION.keys.contains(&key) {
        let of_steps = "belongs to a `[[drain]]` or `[[post_stop]]` step, beside `parallel` if it has one";
        return Some(format!("`{key}` {of_steps}"));
    }
    if !at_top || !ProcessKeys::SECTION.keys.contains(&key) {
        return None;
    }
    let header = match key {
        "post_start" => "[[process.post_start]]",
        "pre_stop" | "startup" | "readiness" | "liveness" => &format!("[process.{key}]"),
        _ => return Some(format!("`{key}` belongs in a `[[process]]`")),
    };
    Some(format!("`{key}` belongs to a process: write `{header}` below its `[[process]]`"))
}

/// `failureThreshold` as Kubernetes writes it, `failure-threshold` as other tools do.
fn snake_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars().take(128) {
        if c.is_ascii_uppercase() && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    out
}

/// `` `a`, `b` `` for messages.
pub fn list(words: &[impl Display]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::http::HttpKeys;
    use super::super::probe::ProbeKeys;
    use super::super::settings::LogKeys;
    use super::*;

    #[test]
    fn an_unknown_key_says_what_was_meant() {
        for (key, section, meant) in [
            ("gracee", TopKeys::SECTION, "`grace`"),
            ("terminationGracePeriodSeconds", TopKeys::SECTION, "`grace`"),
            ("failureThreshold", ProbeKeys::SECTION, "`failure_threshold`"),
            ("initialDelaySeconds", ProbeKeys::SECTION, "`initial_delay`"),
            ("working-dir", ProcessKeys::SECTION, "`working_dir`"),
            ("depends_on", ProcessKeys::SECTION, "`after`"),
            ("processes", TopKeys::SECTION, "`process`"),
            ("httpGet", TaskKeys::SECTION, "`http_get`"),
        ] {
            assert_eq!(unknown(key, section).help, format!("did you mean {meant}?"), "{key}");
        }
        assert!(unknown("grace", HttpKeys::SECTION).help.contains("top of the file"));
        assert!(unknown("post_start", TopKeys::SECTION).help.contains("[[process.post_start]]"));
        assert!(unknown("command", TopKeys::SECTION).help.contains("[[process]]"));
        assert!(unknown("zzz", LogKeys::SECTION).help.contains("`level`, `format`"));
    }
}
