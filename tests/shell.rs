//! Faults that were once seeded into the shell by hand and passed every other test: each test here fails for one of them. The table is
//! in docs/reliability.md, "The shell's checks".

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{Dir, Launch, Running, SOON};

fn descriptors(running: &Running) -> Vec<(i32, PathBuf)> {
    let list = std::fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap().flatten();
    let named = |entry: std::fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, std::fs::read_link(entry.path()).ok()?))
    };
    list.filter_map(named).collect()
}

/// Who is stopped acts on nothing: SIGCONT goes to the group, too.
#[test]
fn a_group_that_is_stopped_is_woken_to_act_on_its_stop_signal() {
    let flags = ["--grace", "8s", "--signal-to", "group"];
    let mut running = Launch::child(&flags, &["exit-on:TERM:3", "say:up", "stop-self", "wait"]).not_pid1().start();
    running.wait_for("up");
    running.wait_until("the child is stopped", |r| {
        r.marked().iter().any(|p| {
            p.pid != r.pid()
                && std::fs::read_to_string(format!("/proc/{}/stat", p.pid)).is_ok_and(|s| s.contains(") T "))
        })
    });
    running.stop_within(Duration::from_secs(8)).0.expect_code(3).expect("TERM handled").expect_not("SIGKILL:");
}

/// Longer than one read gives.
#[test]
fn a_request_of_several_reads_is_read_to_its_end() {
    let dir = Dir::new();
    let path = dir.path("s.sock");
    let flags = ["--grace", "5s", "--control", path.to_str().unwrap()];
    let mut running = Launch::child(&flags, &["exit-on:TERM:0", "say:up", "wait"]).not_pid1().start();
    running.wait_for("up");
    let answer = exchange(&path, &format!("{{\"version\":1,{}\"order\":\"status\"}}\n", " ".repeat(3000)));
    assert!(answer.contains("\"phase\":\"Running\""), "{answer}");
    running.stop_within(Duration::from_secs(5)).0.expect_code(0);
}

fn exchange(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // It may be reset: what was sent behind the request has not been read.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// Nobody keeps softstop reading: who sends on counts as gone.
#[test]
fn a_client_that_sends_on_behind_its_order_is_cut_off() {
    let dir = Dir::new();
    let path = dir.path("s.sock");
    let flags = ["--grace", "60s", "--drain-sleep", "40s", "--control", path.to_str().unwrap()];
    let mut running = Launch::child(&flags, &["exit-on:TERM:0", "say:up", "wait"]).not_pid1().start();
    running.wait_for("up");
    let began = std::time::Instant::now();
    let answer = exchange(&path, &format!("{{\"version\":1,\"order\":\"drain\"}}\n{}", "x".repeat(2000)));
    assert!(!answer.contains("\"done\"") && began.elapsed() < SOON, "{answer}");
}

/// A grandchild that keeps a probe's pipe keeps no descriptor of softstop's.
#[test]
fn a_probe_whose_grandchild_holds_its_pipe_leaks_no_descriptor() {
    let dir = Dir::new();
    let count = dir.text("count");
    let text = format!(
        "grace = \"5s\"\n[[process]]\nname = \"a\"\ncommand = [\"sleep\", \"1000\"]\n[process.readiness]\n\
         exec = [\"sh\", \"-c\", \"sleep 1000 & echo >> {count}\"]\nperiod = \"50ms\"\n"
    );
    let mut running = Launch::new(["run", "-c", &dir.write("softstop.toml", &text)]).start();
    running.wait_until("three probes", |_| dir.lines("count").len() > 3);
    let before = descriptors(&running).len();
    running.wait_until("thirty probes", |_| dir.lines("count").len() > 30);
    let after = descriptors(&running);
    assert!(after.len() < before + 10, "{before}, then {after:?}");
}

/// More than a pipe's reader gets at once, and a writer that takes its time.
#[test]
fn a_configuration_from_a_fifo_is_read_to_its_end() {
    let dir = Dir::new();
    let text = format!("{}\n[[process]]\nname = \"last\"\ncommand = [\"true\"]\n", "# filling\n".repeat(2000));
    let file = dir.write("softstop.toml", &text);
    let fifo = dir.text("fifo");
    let script =
        format!("mkfifo {fifo}; (head -c 5000 {file}; sleep 0.1; tail -c +5001 {file}) > {fifo} & exec \"$@\"");
    let ended = Launch::new(["run", "-c", &fifo]).not_pid1().through(&["sh", "-c", &script, "sh"]).run();
    ended.expect_code(0).expect("last: started");
}

#[test]
fn what_run_was_started_with_is_not_kept_open() {
    let dir = Dir::new();
    let held = dir.write("held", "");
    let text = "grace = \"5s\"\n[[process]]\nname = \"a\"\ncommand = [\"sleep\", \"1000\"]\n";
    let script = format!("exec 7< {held}; exec \"$@\"");
    let launch = Launch::new(["run", "-c", &dir.write("softstop.toml", text)]).not_pid1();
    let mut running = launch.through(&["sh", "-c", &script, "sh"]).start();
    running.wait_for("a: started");
    let open = descriptors(&running);
    assert!(!open.iter().any(|(_, path)| *path == Path::new(&held)), "{open:?}");
    running.stop_within(Duration::from_secs(5));
}

/// A helper whose wait is over, long before softstop's end.
#[test]
fn a_helper_that_is_not_waited_for_any_more_is_gone() {
    let dir = Dir::new();
    let text = format!(
        "grace = \"60s\"\n[[process]]\nname = \"a\"\ncommand = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 1000; done\"]\n\
         [[drain]]\nname = \"flag\"\nwait_file = {{ path = {:?} }}\ntimeout = \"300ms\"\n",
        dir.text("never")
    );
    let mut running = Launch::new(["run", "-c", &dir.write("softstop.toml", &text)]).not_pid1().start();
    running.wait_for("a: started").term().wait_for("a: stopping");
    let helper = |r: &Running| {
        r.marked().iter().any(|p| {
            let line = std::fs::read(format!("/proc/{}/cmdline", p.pid)).unwrap_or_default();
            line.windows(11).any(|w| w == b"__wait_file")
        })
    };
    running.wait_until("the helper is gone", |r| !helper(r));
    assert_eq!(running.code(), None, "it ended with softstop, not with its wait");
}
