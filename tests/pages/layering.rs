//! Reads the sources and fails when an arrow of the picture in `src/lib.rs` points the wrong way: the pure modules know no clock,
//! no file, no socket, no process and no runtime; `unsafe` stands in `src/sys` alone.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// Files, or folders with all that is below them.
const PURE: &[&str] = &[
    "config",
    "plan",
    "pod",
    "lifecycle",
    "report",
    "report.rs",
    "status.rs",
    "signal.rs",
    "programs.rs",
    "json.rs",
    "variables.rs",
    "time.rs",
    "exit.rs",
    "http/metrics.rs",
    "http/condition.rs",
    "http/endpoints.rs",
    "http/prestop.rs",
    "control/protocol.rs",
    "control/address.rs",
    "control/table.rs",
    "output/lines.rs",
    "sys/users/files.rs",
    "resolver/name.rs",
    "runtime/waits/idle/rule.rs",
    "runtime/waits/idle/rule",
    "resolver/message.rs",
    "resolver/conf.rs",
];

/// What no pure module may name. `std::net::SocketAddr` and `IpAddr` are values, not sockets.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "hyper",
    "nix::",
    "signal_hook",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "TcpStream",
    "TcpListener",
    "Instant",
    "SystemTime",
    "crate::sys",
    "crate::runtime",
    "crate::output",
    "crate::cli",
    // Grouped imports would hide a name from this test.
    "std::{",
];

/// What no core module may use of a module further along the arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("config", &["crate::plan", "crate::lifecycle", "crate::report", "crate::http", "crate::status"]),
    ("plan", &["crate::lifecycle", "crate::report", "crate::http"]),
    ("pod", &["crate::plan", "crate::lifecycle", "crate::report", "crate::http", "crate::control", "crate::status"]),
    ("lifecycle", &["crate::http", "crate::control"]),
    (
        "resolver",
        &["crate::runtime", "crate::lifecycle", "crate::control", "crate::cli", "crate::plan", "crate::config"],
    ),
    ("control", &["crate::runtime", "crate::cli", "crate::http"]),
    ("sys", &["crate::runtime", "crate::lifecycle::machine", "crate::http", "crate::cli", "crate::plan"]),
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().flat_map(|e| sources(&e.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "rs"));
    files.sort();
    files
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The lines of code with their numbers: comments are prose, and a file's tests (from the first `#[cfg(test)]` on) may do as they like.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.to_owned()));
    lines
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(n, line)| (n, line.split("//").next().unwrap_or_default().to_owned()))
        .collect()
}

/// `word` not as a part of a longer name.
fn names(line: &str, word: &str) -> bool {
    let part_of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let open_ended = word.ends_with("::") || word.ends_with('{') || word.ends_with("Tcp") || word.ends_with("Udp");
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        !part_of_name(before) && (open_ended || !part_of_name(after))
    })
}

fn offences(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (n, line) in code(file) {
            for word in words.iter().filter(|w| names(&line, w)) {
                found.push(format!("{}:{n}: {word}: {}", file.strip_prefix(src()).unwrap().display(), line.trim()));
            }
        }
    }
    found
}

#[test]
fn the_core_is_pure() {
    let files: Vec<PathBuf> = PURE.iter().flat_map(|p| sources(&src().join(p))).collect();
    for folder in ["config", "plan", "pod", "lifecycle"] {
        assert!(files.iter().any(|f| f.starts_with(src().join(folder))), "src/{folder} is not where this test looks");
    }
    let found = offences(&files, FORBIDDEN);
    assert!(found.is_empty(), "pure modules name what they may not:\n{}", found.join("\n"));
}

/// The queue before a descriptor may know what an error of one is, and nothing else of the world.
#[test]
fn the_queue_of_the_output_is_pure() {
    let words: Vec<&str> = FORBIDDEN.iter().copied().filter(|w| *w != "std::io").collect();
    let files = sources(&src().join("output/queue.rs"));
    assert_eq!(files.len(), 1);
    assert_eq!(offences(&files, &words), Vec::<String>::new());
}

#[test]
fn arrows_go_one_way() {
    let found: Vec<String> =
        ARROWS.iter().flat_map(|(folder, words)| offences(&sources(&src().join(folder)), words)).collect();
    assert!(found.is_empty(), "an arrow points backwards:\n{}", found.join("\n"));
}

#[test]
fn unsafe_code_stands_below_sys_alone() {
    let outside: Vec<PathBuf> = sources(&src()).into_iter().filter(|f| !f.starts_with(src().join("sys"))).collect();
    assert!(!outside.is_empty());
    let found = offences(&outside, &["unsafe", "unsafe_code"]);
    assert!(found.is_empty(), "unsafe outside src/sys:\n{}", found.join("\n"));
}

/// A step of the wall clock must not move a deadline: it is read for the time stamps of log lines, by `output`, and for nothing else.
#[test]
fn the_wall_clock_is_read_for_time_stamps_alone() {
    let stamps = ["output/log.rs", "output/mod.rs"].map(|f| src().join(f));
    let others: Vec<PathBuf> = sources(&src()).into_iter().filter(|f| !stamps.contains(f)).collect();
    let found = offences(&others, &["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME", "gettimeofday"]);
    assert!(found.is_empty(), "the wall clock:\n{}", found.join("\n"));
    assert!(!offences(&stamps, &["SystemTime"]).is_empty(), "the time stamps are not where this test looks");
}

/// Reading some of /proc waits for a lock that a process stuck in the kernel may hold for ever: see `sys::procfs`.
#[test]
fn of_other_processes_only_those_files_are_read_that_never_wait() {
    // The first is the directory itself: its owner needs no such lock.
    const NEVER_WAIT: [&str; 10] = [
        "",
        "stat",
        "status",
        "wchan",
        "fd",
        "ns/net",
        "task",
        "task/{thread}/children",
        "task/{thread}/stat",
        "task/{thread}/wchan",
    ];
    // Their readers are processes of their own, which can be given up.
    let given_up =
        ["stack", "maps"].map(|name| (src().join(format!("sys/spawn/{name}.rs")), format!("/proc/{{pid}}/{name}")));
    for (file, path) in &given_up {
        let reads = code(file).iter().any(|(_, line)| line.contains(path));
        assert!(reads, "{} is not where this test looks", file.display());
    }
    let mut read = Vec::new();
    for file in sources(&src()).into_iter().filter(|f| given_up.iter().all(|(given_up, _)| f != given_up)) {
        for (n, line) in code(&file) {
            for (at, start) in line.match_indices("/proc/{") {
                let rest = &line[at + start.len()..];
                let text = &rest[..rest.find('"').unwrap_or(rest.len())];
                let name = text.split_once('/').map_or("", |(_, name)| name).to_owned();
                assert!(NEVER_WAIT.contains(&name.as_str()), "{}:{n}: /proc/PID/{name} may wait", file.display());
                read.push(name);
            }
            // Any other way to come by such a path would not be seen here.
            assert!(!line.contains("\"/proc\").join"), "{}:{n}: write the path as one text", file.display());
        }
    }
    for name in NEVER_WAIT {
        assert!(read.iter().any(|r| r == name), "/proc/PID/{name} is not read any more: take it off the list");
    }
}

#[test]
fn the_test_itself_can_fail() {
    assert!(names("use std::time::Instant;", "Instant"));
    assert!(names("let x = std::fs::read(p);", "std::fs"));
    assert!(names("use std::net::TcpStream;", "std::net::Tcp"));
    assert!(!names("let instantly = Instantly::new();", "Instant"));
    assert!(!names("use std::net::SocketAddr;", "std::net::Tcp"));
    assert!(!names("use crate::systems::x;", "crate::sys"));
}
