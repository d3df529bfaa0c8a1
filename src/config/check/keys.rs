//! Every key a configuration may have, table by table: one list for the reader, its "did you mean" and the documentation's
//! test (`tests/pages/config_docs.rs`).

use super::other_tools;

/// A kind of table and what may stand in it.
pub struct Section {
    /// As it is written in a file, for messages.
    pub title: &'static str,
    pub keys: &'static [&'static str],
}

pub const TOP: Section = Section {
    title: "the top level",
    keys: &[
        "grace",
        "kill_reserve",
        "stop_reserve",
        "stop_on",
        "forward",
        "readiness_on_drain",
        "report",
        "termination_log",
        "http",
        "control",
        "log",
        "exit_codes",
        "stragglers",
        "sidecar",
        "init",
        "process",
        "drain",
        "post_stop",
    ],
};

pub const HTTP: Section = Section { title: "[http]", keys: &["listen", "prestop"] };
pub const PRESTOP: Section = Section { title: "[http.prestop]", keys: &["token", "token_file", "from"] };
pub const CONTROL: Section = Section { title: "[control]", keys: &["socket"] };
pub const SIDECAR: Section = Section { title: "[sidecar]", keys: &["follow", "appear_within"] };
pub const LOG: Section = Section { title: "[log]", keys: &["level", "format"] };

pub const PROCESS: Section = Section {
    title: "[[process]]",
    keys: &[
        "name",
        "command",
        "user",
        "group",
        "working_dir",
        "env",
        "stdin",
        "output",
        "restart",
        "backoff",
        "max_restarts",
        "main",
        "on_exit",
        "after",
        "stop",
        "diagnose",
        "signal_to",
        "stragglers",
        "startup",
        "readiness",
        "liveness",
        "post_start",
        "pre_stop",
    ],
};

pub const BACKOFF: Section = Section { title: "backoff", keys: &["initial", "max", "reset"] };
pub const DIAGNOSE: Section = Section { title: "diagnose", keys: &["signal", "wait"] };
pub const STRAGGLERS: Section =
    Section { title: "stragglers", keys: &["wait", "signal", "timeout", "timeout_when_ended"] };
pub const RUNG: Section = Section { title: "stop", keys: &["signal", "wait"] };

pub const PROBE: Section = Section {
    title: "a probe",
    keys: &[
        "exec",
        "http_get",
        "tcp_socket",
        "initial_delay",
        "period",
        "timeout",
        "success_threshold",
        "failure_threshold",
    ],
};

/// A list of keys with the handlers in its middle.
macro_rules! with_handlers {
    ([$($before:literal),*], [$($after:literal),*]) => {
        &[
            $($before,)*
            "exec",
            "http_get",
            "http_post",
            "tcp_socket",
            "sleep",
            "signal",
            "wait_idle",
            "wait_http",
            "wait_file",
            "wait_process",
            $($after,)*
        ]
    };
}

pub const TASK: Section =
    Section { title: "a task", keys: with_handlers!(["name"], ["timeout", "retries", "retry_delay", "on_failure"]) };

pub const STEP: Section = Section {
    title: "a step",
    keys: with_handlers!(
        ["name"],
        ["timeout", "retries", "retry_delay", "on_failure", "reserve", "essential", "when", "parallel"]
    ),
};

pub const HTTP_GET: Section = Section { title: "http_get", keys: &["host", "port", "path", "headers"] };
pub const HTTP_POST: Section = Section { title: "http_post", keys: &["host", "port", "path", "headers", "body"] };
pub const TCP_SOCKET: Section = Section { title: "tcp_socket", keys: &["host", "port"] };
pub const SIGNAL: Section = Section { title: "signal", keys: &["process", "command", "signal"] };
pub const WAIT_IDLE: Section =
    Section { title: "wait_idle", keys: &["port", "ports", "connections", "silent", "quiet", "minimum", "ignore"] };
pub const WAIT_HTTP: Section =
    Section { title: "wait_http", keys: &["host", "port", "path", "headers", "status", "json", "metric"] };
pub const JSON: Section = Section { title: "json", keys: &["pointer", "equals", "at_most"] };
pub const METRIC: Section = Section { title: "metric", keys: &["name", "labels", "at_most"] };
pub const WAIT_FILE: Section = Section { title: "wait_file", keys: &["path", "exists", "contains"] };
pub const WAIT_PROCESS: Section = Section { title: "wait_process", keys: &["name", "command", "until"] };

/// Every table with fixed keys. `[exit_codes]`, `env`, `after` and `headers` and `labels` have the user's own.
pub const SECTIONS: &[&Section] = &[
    &TOP,
    &HTTP,
    &PRESTOP,
    &CONTROL,
    &SIDECAR,
    &LOG,
    &PROCESS,
    &BACKOFF,
    &DIAGNOSE,
    &RUNG,
    &STRAGGLERS,
    &PROBE,
    &TASK,
    &STEP,
    &HTTP_GET,
    &HTTP_POST,
    &TCP_SOCKET,
    &SIGNAL,
    &WAIT_IDLE,
    &WAIT_HTTP,
    &JSON,
    &METRIC,
    &WAIT_FILE,
    &WAIT_PROCESS,
];

/// The keys that say what a task does.
pub const HANDLERS: &[&str] = with_handlers!([], []);
/// The handlers that can answer "is it well?".
pub const PROBE_HANDLERS: &[&str] = &["exec", "http_get", "tcp_socket"];

/// Words of the specification that this version does not have yet.
const LATER: &[&str] = &["grpc"];

/// What is said about a key that does not belong.
pub struct Unknown {
    pub sentence: String,
    pub help: String,
    /// The keys it was most likely meant to be: those are not missing as well.
    pub meant: &'static [&'static str],
}

/// What to write instead of an unknown key.
pub fn unknown(key: &str, section: &'static Section) -> Unknown {
    if LATER.contains(&key) {
        let handlers: Vec<&str> = section.keys.iter().filter(|k| HANDLERS.contains(k)).copied().collect();
        let instead = if handlers.is_empty() { String::new() } else { format!("; write one of {}", list(&handlers)) };
        let sentence = format!("`{key}` is not in this version");
        return Unknown { sentence, help: format!("leave it out{instead}"), meant: HANDLERS };
    }
    if key == "scheme" && section.keys.contains(&"port") {
        let sentence = "`scheme` is not in this version: requests are plain HTTP".into();
        return Unknown { sentence, help: "leave it out, or use `exec` with a TLS client".into(), meant: &[] };
    }
    let sentence = format!("unknown key `{key}` in {}", section.title);
    if let Some(help) = belongs_elsewhere(key, section) {
        return Unknown { sentence, help, meant: &[] };
    }
    let snake = snake_case(key);
    let without_unit = snake.strip_suffix("_seconds");
    let same = |k: &&str| *k == snake || Some(*k) == without_unit;
    let meant = other_tools::alias(&snake, section).or_else(|| section.keys.iter().copied().find(same));
    if let Some(help) = other_tools::instead(&snake, section).filter(|_| meant.is_none()) {
        return Unknown { sentence, help: help.to_owned(), meant: &[] };
    }
    let meant = meant.or_else(|| crate::nearest::nearest(&snake, section.keys.iter().copied()));
    match meant.and_then(|meant| section.keys.iter().position(|k| *k == meant)) {
        Some(i) => {
            Unknown { sentence, help: format!("did you mean `{}`?", section.keys[i]), meant: &section.keys[i..=i] }
        }
        None => Unknown { sentence, help: format!("valid here: {}", list(section.keys)), meant: &[] },
    }
}

/// For a key that is right, but in another table.
fn belongs_elsewhere(key: &str, section: &Section) -> Option<String> {
    let at_top = section.title == TOP.title;
    if !at_top && TOP.keys.contains(&key) {
        let why = "what follows a header belongs to that table";
        return Some(format!("`{key}` belongs at the top of the file, before the first `[table]`: {why}"));
    }
    if section.title == TASK.title && STEP.keys.contains(&key) {
        return Some(format!(
            "`{key}` belongs to a `[[drain]]` or `[[post_stop]]` step, beside `parallel` if it has one"
        ));
    }
    if !at_top || !PROCESS.keys.contains(&key) {
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
pub fn list(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_says_what_was_meant() {
        for (key, section, meant) in [
            ("gracee", &TOP, "`grace`"),
            ("terminationGracePeriodSeconds", &TOP, "`grace`"),
            ("failureThreshold", &PROBE, "`failure_threshold`"),
            ("initialDelaySeconds", &PROBE, "`initial_delay`"),
            ("working-dir", &PROCESS, "`working_dir`"),
            ("depends_on", &PROCESS, "`after`"),
            ("processes", &TOP, "`process`"),
            ("httpGet", &TASK, "`http_get`"),
        ] {
            assert_eq!(unknown(key, section).help, format!("did you mean {meant}?"), "{key}");
        }
        assert!(unknown("grace", &HTTP).help.contains("top of the file"));
        assert!(unknown("post_start", &TOP).help.contains("[[process.post_start]]"));
        assert!(unknown("command", &TOP).help.contains("[[process]]"));
        assert!(unknown("grpc", &STEP).sentence.contains("not in this version"));
        assert!(unknown("zzz", &LOG).help.contains("`level`, `format`"));
    }
}
