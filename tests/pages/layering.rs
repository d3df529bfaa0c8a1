//! Reads the sources and fails when an arrow of the picture in `src/lib.rs` points the wrong way: each module has its place in one table;
//! the pure ones know no clock, no file, no socket, no process and no runtime; `unsafe` stands in `src/sys` alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::declared;
use crate::module_graph::{circle, edges, module_of, modules, sources, src};

#[derive(PartialEq)]
enum Kind {
    /// All that is below it. In the others a file is pure when its header says so: `Pure.`, or `Pure:` and how.
    Pure,
    Impure,
}
use Kind::{Impure, Pure};

/// The modules at the root, from the bottom to the top, and which ones each may name: none but those above it in this table.
const LAYERS: &[(&str, Kind, &str)] = &[
    ("endpoint", Pure, ""),
    ("exit", Pure, ""),
    ("sorted", Pure, ""),
    ("json", Pure, "sorted"),
    ("nearest", Pure, ""),
    ("text", Pure, ""),
    ("time", Pure, ""),
    ("picture", Pure, "sorted text time"),
    ("signal", Pure, "nearest"),
    ("facts", Pure, "exit signal"),
    ("order", Pure, "signal"),
    ("programs", Pure, "signal sorted"),
    ("schedule", Pure, ""),
    ("config", Pure, "facts nearest programs schedule signal sorted text"),
    ("variables", Pure, "config"),
    ("pod", Pure, "config endpoint programs signal sorted text"),
    ("plan", Pure, "config facts signal sorted time"),
    ("report", Pure, "exit facts json order signal sorted text time"),
    ("record", Pure, "facts json picture programs report sorted text time"),
    ("status", Pure, "facts record report signal time"),
    ("lifecycle", Pure, "config exit facts nearest order plan programs report signal sorted status time"),
    ("planned", Pure, "config facts json lifecycle order picture plan record report signal sorted text time"),
    ("sys", Impure, "config exit facts signal sorted"),
    ("tasks", Impure, ""),
    ("output", Impure, "config json schedule sorted sys tasks text"),
    ("control", Impure, "config exit json lifecycle nearest order output report signal sorted sys tasks text time"),
    ("http", Impure, "config endpoint facts json lifecycle record sorted status sys tasks text"),
    ("watch", Impure, "control exit json order picture record signal sys text time"),
    ("resolver", Impure, "http sys"),
    ("cli", Impure, "config endpoint exit nearest order pod programs signal sorted text variables"),
    ("drop_in", Impure, "cli config facts signal sys text"),
    ("probe", Impure, "cli config control endpoint exit http json lifecycle resolver text time"),
    (
        "runtime",
        Impure,
        "cli config control endpoint exit facts http json lifecycle output plan programs record report resolver schedule signal sorted status sys tasks text time variables",
    ),
    (
        "drill",
        Impure,
        "cli config control exit facts http json picture programs record report resolver signal sorted sys tasks text time",
    ),
    // The binary.
    ("console", Impure, "config exit output picture sys"),
    ("loading", Impure, "cli config console pod runtime"),
    ("checking", Impure, "cli config console exit loading pod runtime sys text"),
    ("injecting", Impure, "cli config console exit loading pod"),
    ("installing", Impure, "console exit"),
    ("planning", Impure, "cli config console exit loading picture planned pod"),
    ("reporting", Impure, "cli console exit loading record"),
    ("drilling", Impure, "cli config console drill loading sys"),
    (
        "main",
        Impure,
        "checking cli config console control drilling drop_in exit injecting installing loading planning probe reporting runtime sys variables watch",
    ),
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
    // Grouped imports would hide a name from this test.
    "std::{",
];

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
fn every_module_has_its_place_and_none_is_named_that_is_not_there() {
    let modules = modules();
    let rows: BTreeSet<String> = LAYERS.iter().map(|(module, ..)| (*module).to_owned()).collect();
    assert_eq!(rows.len(), LAYERS.len(), "a module stands in two rows");
    let strange: Vec<&String> = rows.symmetric_difference(&modules).collect();
    assert!(strange.is_empty(), "in LAYERS alone, or in src alone: {strange:?}");
    let nowhere: Vec<_> = edges().into_iter().filter(|((_, to), _)| !modules.contains(to)).collect();
    assert!(nowhere.is_empty(), "no module of src: {nowhere:?}");
}

#[test]
fn no_modules_go_round_in_a_circle() {
    let edges = edges();
    assert!(edges.len() > 50, "this test finds hardly any: {}", edges.len());
    let pairs = edges.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let Some(circle) = circle(&pairs) else { return };
    let places = circle.iter().zip(circle.iter().cycle().skip(1));
    let places: Vec<String> =
        places.map(|(a, b)| format!("{a} names {b}: src/{}", edges[&(a.clone(), b.clone())])).collect();
    panic!("move what they share to a module below both:\n{}", places.join("\n"));
}

#[test]
fn arrows_go_one_way() {
    let edges = edges();
    let mut wrong = Vec::new();
    for (n, (module, _, uses)) in LAYERS.iter().enumerate() {
        for used in uses.split_ascii_whitespace() {
            let below = LAYERS[..n].iter().any(|(below, ..)| *below == used);
            assert!(below, "LAYERS: {module} may not name {used}, which is not above it in the table");
            if !edges.contains_key(&((*module).to_owned(), used.to_owned())) {
                wrong.push(format!("LAYERS: {module} does not name {used} any more: take it off"));
            }
        }
        for ((_, to), at) in edges.iter().filter(|((from, _), _)| from == module) {
            if !uses.split_ascii_whitespace().any(|used| used == to) {
                wrong.push(format!("src/{at}: {module} names {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not what LAYERS says:\n{}", wrong.join("\n"));
}

/// docs/architecture.md has each module in its table, those of `src/main.rs` in one row, and says "yes" of the pure ones.
#[test]
fn the_page_has_every_module() {
    let page = declared::text("docs/architecture.md");
    let rows: Vec<[&str; 3]> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").collect::<Vec<_>>().try_into().ok())
        .collect();
    let has = |(module, kind, _): &(&str, Kind, &str)| {
        let named = |row: &&[&str; 3]| row[0].split('`').any(|word| word == *module);
        rows.iter().find(named).is_some_and(|row| (row[2] == "yes |") == (*kind == Pure))
    };
    let missing: Vec<&str> = LAYERS.iter().filter(|row| !has(row)).map(|row| row.0).collect();
    assert_eq!(missing, [""; 0], "in no row, or pure by one of the two alone");
}

/// Files of pure modules, and those that say that they are pure, with what is below them.
fn pure() -> Vec<PathBuf> {
    let all = sources(&src());
    let says_so = |file: &&PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let header = text.lines().map_while(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join(" ");
        header.split([' ', '(']).any(|word| ["Pure.", "Pure:"].contains(&word))
    };
    let mut pure: Vec<Vec<String>> = all.iter().filter(says_so).map(|file| module_of(file)).collect();
    pure.extend(LAYERS.iter().filter(|row| row.1 == Pure).map(|row| vec![row.0.to_owned()]));
    all.into_iter().filter(|file| pure.iter().any(|pure| module_of(file).starts_with(pure))).collect()
}

#[test]
fn what_is_pure_names_nothing_of_the_world() {
    let files = pure();
    let found = offences(&files, FORBIDDEN);
    assert!(found.is_empty(), "pure modules name what they may not:\n{}", found.join("\n"));
    // Its files would be pure only as long as nobody looks.
    let impure: Vec<String> =
        LAYERS.iter().filter(|row| row.1 == Impure).map(|row| format!("crate::{}", row.0)).collect();
    let impure: Vec<&str> = impure.iter().map(String::as_str).collect();
    let of_pure_modules = |file: &&PathBuf| LAYERS.iter().any(|row| row.1 == Pure && module_of(file)[0] == row.0);
    let of_pure_modules: Vec<PathBuf> = files.iter().filter(of_pure_modules).cloned().collect();
    assert_eq!(offences(&of_pure_modules, &impure), Vec::<String>::new());
    assert!(files.len() > of_pure_modules.len() + 10, "hardly any file elsewhere is pure: {files:?}");
}

/// The queue before a descriptor may know what an error of one is, and nothing else of the world.
#[test]
fn the_queue_of_the_output_is_pure() {
    let words: Vec<&str> = FORBIDDEN.iter().copied().filter(|w| *w != "std::io").collect();
    let files = sources(&src().join("output/queue.rs"));
    assert_eq!(files.len(), 1);
    assert_eq!(offences(&files, &words), Vec::<String>::new());
}

/// The core says facts, `report::text` makes sentences of them. Exceptions: none.
#[test]
fn the_core_makes_no_sentence() {
    let core = ["lifecycle", "plan", "facts", "status.rs"].map(|part| src().join(part));
    let files: Vec<PathBuf> = core.iter().flat_map(|part| sources(part)).collect();
    let files: Vec<&PathBuf> = files.iter().filter(|f| !f.starts_with(src().join("lifecycle/tests"))).collect();
    assert!(files.len() > 30, "this test finds hardly any: {}", files.len());
    let mut found = Vec::new();
    for file in files {
        for (n, line) in code(file) {
            // What a lint and a bug of softstop's own are told is for nobody else.
            let for_us = ["reason = ", "expect(", "panic!("].iter().any(|made| line.contains(made));
            if !for_us && (literals(&line).any(is_a_sentence) || line.contains("format!(")) {
                found.push(format!("{}:{n}: {}", file.strip_prefix(src()).unwrap().display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "a value belongs there, and its words in report::text:\n{}", found.join("\n"));
}

/// Nor is it told one: what comes from outside is a value, too. Only what the system or somebody else has said is text.
#[test]
fn no_fact_is_made_of_a_sentence() {
    const FACTS: [&str; 11] = [
        "Awaited::",
        "CallError::",
        "ConnectionError::",
        "Failure::",
        "FileState::",
        "GrpcError::",
        "Outcome::",
        "Progress::",
        "TlsError::",
        "Trouble::",
        "Unfit::",
    ];
    let makes_one = |text: &str| text.contains("format!(") || literals(text).any(is_a_sentence);
    let of_words = |file: &PathBuf| ["facts", "report"].contains(&module_of(file)[0].as_str());
    let of_tests = |file: &PathBuf| module_of(file).contains(&"tests".to_owned());
    let mut found = Vec::new();
    let mut made = 0;
    for file in sources(&src()).iter().filter(|f| **f != src().join("lib.rs") && !of_words(f) && !of_tests(f)) {
        let text: String = code(file).into_iter().map(|(_, line)| line + "\n").collect();
        for (at, fact) in FACTS.iter().flat_map(|fact| text.match_indices(fact)) {
            made += 1;
            let rest = &text[at + fact.len()..];
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            if makes_one(bracketed(rest[name..].trim_start())) {
                let line = text[..at].lines().count();
                let file = file.strip_prefix(src()).unwrap().display();
                found.push(format!("{file}:{line}: {fact}{}", rest.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(made > 50, "this test finds hardly any: {made}");
    assert!(found.is_empty(), "a value of facts belongs there, and its words in report::text:\n{}", found.join("\n"));
}

/// What stands in the brackets that the text begins with, if it does.
fn bracketed(text: &str) -> &str {
    let mut open = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => open += 1,
            ')' | '}' => open -= 1,
            _ => {}
        }
        if open <= 0 {
            return &text[..at];
        }
    }
    text
}

/// Sentences change: what was made for people decides nothing.
#[test]
fn no_code_compares_a_sentence() {
    let mut found = Vec::new();
    for file in sources(&src()) {
        for (n, line) in code(&file) {
            if compares_a_sentence(&line) {
                found.push(format!("{}:{n}: {}", file.strip_prefix(src()).unwrap().display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "compare the value that the words were made of:\n{}", found.join("\n"));
}

/// What stands in quotes, as it is written.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

fn is_a_sentence(literal: &str) -> bool {
    literal.trim().contains(' ')
}

/// With a text of several words, be it made on the spot.
fn compares_a_sentence(line: &str) -> bool {
    ["== \"", "!= \"", "== Some(\"", "!= Some(\"", "== format!(\"", "!= format!(\""]
        .iter()
        .any(|compared| line.split(compared).skip(1).any(|rest| rest.split('"').next().is_some_and(is_a_sentence)))
}

#[test]
fn unsafe_code_stands_below_sys_alone() {
    let outside: Vec<PathBuf> = sources(&src()).into_iter().filter(|f| !f.starts_with(src().join("sys"))).collect();
    assert!(!outside.is_empty());
    let found = offences(&outside, &["unsafe", "unsafe_code"]);
    assert!(found.is_empty(), "unsafe outside src/sys:\n{}", found.join("\n"));
}

/// A step of the wall clock must not move a deadline: it is read for the time stamps of log lines, by `output`, for the age of their files, and for what is scheduled by it.
#[test]
fn the_wall_clock_is_read_for_time_stamps_and_schedules_alone() {
    let stamps = ["output/log.rs", "output/mod.rs", "runtime/schedules.rs", "sys/spawn/log_writer/mod.rs"]
        .map(|f| src().join(f));
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
    assert!(literals(r#"let why = "the stop was requested";"#).any(is_a_sentence));
    assert!(!literals(r#"let (stage, other) = ("stragglers", "drain");"#).any(is_a_sentence));
    assert_eq!(bracketed("(format!(\"a b\"), c), d)"), "(format!(\"a b\"), c");
    assert_eq!(bracketed(", d)"), "");
    assert!(compares_a_sentence(r#"if *effect == "changes nothing" {"#));
    assert!(compares_a_sentence(r#"if self.cause == format!("{} ended with {}", a, b) {"#));
    assert!(!compares_a_sentence(r#"if exit["reason"] == "OOMKilled" {"#));
}
