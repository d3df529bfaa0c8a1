//! `softstop drill`: set-ups that stop badly, each found with what to change, and the same mended; who ends when drill does.

use std::path::Path;

use serde_json::Value;

use crate::support::http::free_port;
use crate::support::{Dir, Launch, Running, SOON, at_once, installed};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drill/server.py");

/// A way to stop badly.
struct Way {
    name: &'static str,
    /// The configuration but for its process, and the process's keys, badly and mended. `SERVER` is the server's command, its words behind it.
    bad: (&'static str, &'static str),
    mended: (&'static str, &'static str),
    /// Of drill; `URL` is the server's.
    flags: &'static str,
    /// What is found, and a part of what to change.
    found: &'static str,
    change: &'static str,
}

const GRACE: &str = "grace = \"20s\"";
/// A server that is started as it should be.
const EXEC: &str = r#"command = ["sh", "-c", "exec SERVER"]"#;
const LOAD: &str = "--load URL --rate 50 --lag";

/// Each drains for two seconds more than its clients take to notice, so that a machine that stands still for a second loses no request.
const WAYS: &[Way] = &[
    Way {
        name: "a shell without exec",
        bad: (GRACE, r#"command = ["sh", "-c", "SERVER; true"]"#),
        mended: (GRACE, EXEC),
        flags: "",
        found: "shell",
        change: "exec",
    },
    Way {
        name: "a deaf child",
        bad: ("grace = \"2s\"", r#"command = ["sh", "-c", "exec SERVER deaf"]"#),
        mended: (GRACE, EXEC),
        flags: "",
        found: "deaf",
        change: "stop",
    },
    Way {
        name: "a drain too short for the lag",
        bad: (GRACE, EXEC),
        mended: ("grace = \"20s\"\n[[drain]]\nname = \"notice\"\nsleep = \"5s\"", EXEC),
        flags: "3s",
        found: "drain-short",
        change: "minimum = \"3s\"",
    },
    Way {
        name: "a grace too small",
        bad: ("grace = \"1500ms\"", r#"command = ["sh", "-c", "exec SERVER flush=3"]"#),
        mended: (GRACE, r#"command = ["sh", "-c", "exec SERVER flush=3"]"#),
        flags: "",
        found: "slow-stop",
        change: "give it more time: grace = \"7s\"",
    },
    Way {
        name: "a server that goes into the background",
        bad: (GRACE, "kind = \"service\"\ncommand = [\"sh\", \"-c\", \"exec SERVER daemon\"]"),
        mended: (GRACE, EXEC),
        flags: "",
        found: "daemon",
        change: "foreground",
    },
    Way {
        name: "workers killed with their master",
        bad: (GRACE, "signal_to = \"group\"\ncommand = [\"sh\", \"-c\", \"exec SERVER workers slow=1\"]"),
        mended: (
            "grace = \"20s\"\n[[drain]]\nname = \"notice\"\nsleep = \"2s\"",
            r#"command = ["sh", "-c", "exec SERVER workers slow=1"]"#,
        ),
        flags: "0s",
        found: "cut-off",
        change: "signal_to = \"group\"",
    },
    Way {
        name: "readiness that stays",
        bad: ("grace = \"20s\"\nreadiness_on_drain = \"keep\"\n[[drain]]\nname = \"notice\"\nsleep = \"1s\"", EXEC),
        mended: ("grace = \"20s\"\n[[drain]]\nname = \"notice\"\nsleep = \"3s\"", EXEC),
        flags: "1s",
        found: "readiness",
        change: "readiness_on_drain",
    },
    Way {
        name: "a slow flush",
        bad: ("grace = \"3s\"\n[[post_stop]]\nname = \"flush\"\nexec = [\"sleep\", \"60\"]", EXEC),
        mended: ("grace = \"20s\"\n[[post_stop]]\nname = \"flush\"\nexec = [\"sleep\", \"0.2\"]", EXEC),
        flags: "",
        found: "slow-flush",
        change: "reserve",
    },
    Way {
        name: "a port that is held",
        bad: ("grace = \"5s\"", r#"command = ["sh", "-c", "exec SERVER helper"]"#),
        mended: (
            "grace = \"20s\"\n[[drain]]\nname = \"notice\"\nsleep = \"4s\"",
            r#"command = ["sh", "-c", "exec SERVER tidy"]"#,
        ),
        flags: "2s",
        found: "port-held",
        change: "close its listening socket",
    },
    Way {
        name: "a cron job that is cut",
        bad: (GRACE, r#"command = ["sh", "-c", "exec SERVER cron"]"#),
        mended: ("grace = \"20s\"\n[stragglers]\nwait = \"15s\"", r#"command = ["sh", "-c", "exec SERVER cron"]"#),
        flags: "",
        found: "orphan-cut",
        change: "[stragglers] wait",
    },
];

fn write(dir: &Dir, name: &str, (top, process): (&str, &str), port: u16) -> String {
    let process = process.replace("SERVER", &format!("python3 '{SERVER}' {port}"));
    // It is one that can be told to stop when it answers.
    let text = format!(
        "{top}\n[[process]]\nname = \"web\"\n{process}\n[process.readiness]\n\
         http_get = {{ host = \"127.0.0.1\", port = {port} }}\nperiod = \"100ms\"\ntimeout = \"5s\"\nfailure_threshold = 100\n"
    );
    dir.write(name, &text)
}

/// Drills; the exit code, what was said as JSON, and all of it.
fn drill(file: &str, flags: &[&str]) -> (i32, Value, String) {
    let args = [&["drill", "-c", file, "--json", "--before", "300ms"], flags].concat();
    let ended = Launch::new(args).not_pid1().run();
    let said = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.all()));
    (ended.code, said, ended.all())
}

pub fn findings(said: &Value) -> Vec<&Value> {
    said["graces"][0]["findings"].as_array().into_iter().flatten().collect()
}

#[test]
fn each_way_to_stop_badly_is_found_and_what_is_mended_passes() {
    needs!(installed(&["python3"]));
    let dir = Dir::new();
    // Some are mended to the same.
    let anew = |n: usize| !WAYS[..n].iter().any(|way| (way.mended, way.flags) == (WAYS[n].mended, WAYS[n].flags));
    let all = (0..WAYS.len()).flat_map(|n| [(n, true), (n, false)]);
    let each: Vec<(usize, bool)> = all.filter(|(n, bad)| *bad || anew(*n)).collect();
    let each = std::sync::Mutex::new(each);
    let next = || each.lock().unwrap().pop();
    // They wait more than they work.
    at_once(0..8, |_| {
        while let Some((n, bad)) = next() {
            check(&dir, n, bad);
        }
    });
}

fn check(dir: &Dir, n: usize, bad: bool) {
    let case = &WAYS[n];
    let port = free_port();
    let file = write(dir, &format!("{n}-{bad}.toml"), if bad { case.bad } else { case.mended }, port);
    let url = format!("http://127.0.0.1:{port}/");
    let load = if case.flags.is_empty() { String::new() } else { format!("{LOAD} {}", case.flags) };
    let flags: Vec<&str> = load.split_whitespace().map(|word| if word == "URL" { &url } else { word }).collect();
    let (code, said, all) = drill(&file, &flags);
    let findings = findings(&said);
    if bad {
        assert_eq!(code, 1, "{}\n{all}", case.name);
        let found = findings.iter().find(|finding| finding["rule"] == case.found);
        let change = found.and_then(|finding| finding["help"].as_str()).unwrap_or_default();
        assert!(change.contains(case.change), "{}: not found with {:?}\n{all}", case.name, case.change);
    } else {
        assert!(code == 0 && findings.is_empty(), "{}, mended:\n{all}", case.name);
    }
}

/// The wrapper, several graces, and what is said for people and for CI.
#[test]
fn the_wrapper_is_drilled_with_several_graces_and_reported_for_ci() {
    needs!(installed(&["python3"]));
    let dir = Dir::new();
    let port = free_port();
    let (url, port) = (format!("http://127.0.0.1:{port}/"), port.to_string());
    let [junit, markdown, report, svg] = ["junit.xml", "summary.md", "report.json", "a.svg"].map(|name| dir.text(name));
    dir.write("summary.md", "before\n");
    let args = ["drill", "--wrapper", "--grace", "1s,20s", "--load", &url, "--junit", &junit, "--markdown", &markdown];
    let more =
        ["--svg", &svg, "--report", &report, "--quiet", "--", "--drain-sleep", "2s", "--", "python3", SERVER, &port];
    let ended = Launch::new([&args[..], &more[..]].concat()).not_pid1().run();
    ended.expect_code(0).expect("the shortest grace that fits: 20.0s").expect("would do").expect("none failed");
    ended.expect("terminationGracePeriodSeconds: ");
    let xml = dir.read("junit.xml");
    assert!(xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("<failure"), "{xml}");
    let summary = dir.read("summary.md");
    assert!(summary.starts_with("before\n### softstop drill") && summary.contains("**does not fit**"), "{summary}");
    let drawn = dir.read("a.svg");
    assert!(drawn.starts_with("<svg") && drawn.contains("connections") && drawn.contains("fits in 20.0s"), "{drawn}");
    let record: Value = serde_json::from_str(&dir.read("report.json")).expect("softstop's own report");
    assert!(record["timeline"].is_array());
}

#[test]
fn a_crash_is_rehearsed() {
    needs!(installed(&["python3"]));
    let dir = Dir::new();
    let port = free_port();
    let file =
        write(&dir, "a.toml", (GRACE, "restart = \"always\"\ncommand = [\"sh\", \"-c\", \"exec SERVER\"]"), port);
    let (code, said, all) = drill(&file, &["--kill-at", "web:100ms"]);
    let crash = &said["graces"][0]["drills"][0]["crash"];
    assert!(crash["process"] == "web" && crash["ready_again_after_seconds"].is_number(), "{all}");
    assert_eq!(code, 0, "{all}");
    let (code, _, all) = drill(&file, &["--repeat", "2", "--pre-stop"]);
    assert_eq!(code, 0, "{all}");
}

#[test]
fn what_cannot_be_drilled_is_said_with_a_code_of_its_own() {
    let dir = Dir::new();
    let never =
        "[[process]]\nname = \"web\"\ncommand = [\"sleep\", \"600\"]\n[process.readiness]\nexec = [\"false\"]\n";
    let never = dir.write("never.toml", never);
    let wrong = dir.write("wrong.toml", "grace = 7\n");
    for (args, code, words) in [
        (&["-c", &never, "--ready-timeout", "300ms"][..], 69, "not ready after 300ms"),
        (&["-c", &wrong], 78, "grace"),
        (&["-c", &never, "--kill-at", "wbe:1s"], 64, "there is no process wbe; there is web"),
        (&["--wrapper"], 64, "--wrapper without a program"),
        (&["-c", &never, "--load", "tcp:80"], 64, "write http://HOST:PORT/PATH"),
    ] {
        let ended = Launch::new([&["drill"], args].concat()).not_pid1().run();
        ended.expect_code(code).expect(words);
    }
    let ended = Launch::new(["drill", "--wrapper", "--", "false"]).not_pid1().run();
    ended.expect_code(1).expect("before the stop was requested");
}

/// A drill that goes on until it is ended, with a program that would run on.
fn endless(dir: &Dir, through: &[&str]) -> Running {
    let ready = dir.text("ready");
    let text = format!(
        "grace = \"10s\"\n[[process]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", \"setsid sleep 601 & : >'{ready}'; sleep 600\"]\n\
         [process.readiness]\nexec = [\"test\", \"-e\", \"{ready}\"]\nperiod = \"100ms\"\n"
    );
    let file = dir.write("endless.toml", &text);
    let launch = Launch::new(["drill", "-c", &file, "--before", "10m"]).through(through);
    let mut running = launch.not_pid1().start();
    running.wait_until("it is ready", |_| Path::new(&ready).exists());
    running.wait_until("all of it runs", |running| running.marked().len() >= 5);
    running
}

/// Waits until nothing of a start is left.
fn gone(running: &mut Running) {
    running.wait_until("everything that drill started is gone", |running| {
        running.marked().iter().all(|process| process.pid == running.pid())
    });
}

/// With a namespace for what is drilled where this user may make one, and without.
const PLACES: [&[&str]; 2] = [&[], &["setpriv", "--bounding-set", "-sys_admin"]];

#[test]
fn who_interrupts_a_drill_ends_all_that_it_has_started() {
    at_once(PLACES, |through| {
        let dir = Dir::new();
        let mut running = endless(&dir, through);
        running.signal(libc::SIGINT);
        gone(&mut running);
        running.wait(SOON).expect_code(130).expect("everything that was started is ended");
    });
}

#[test]
fn a_drill_that_is_killed_leaves_nothing_behind() {
    at_once(PLACES, |through| {
        let dir = Dir::new();
        let mut running = endless(&dir, through);
        let pid = running.pid();
        running.signal(libc::SIGKILL);
        gone(&mut running);
        running.wait(SOON).expect_code(137);
        // What it could not remove itself goes with the next drill.
        Launch::new(["drill", "--wrapper", "--", "false"]).not_pid1().run().expect_code(1);
        for folder in ["/run", "/tmp", "/dev/shm", "/var/tmp"] {
            let left = Path::new(folder).join(format!("softstop-drill-{pid}-0"));
            assert!(!left.exists(), "{} is left", left.display());
        }
    });
}
