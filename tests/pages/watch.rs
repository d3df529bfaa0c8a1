//! What `softstop status --watch` shows, against the files of tests/watched; `BLESS=1 cargo test --test pages watch::` writes them anew: look at
//! them before you commit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use softstop::picture::Style;
use softstop::record::Run;
use softstop::watch::frame::{Size, View, frame};
use softstop::watch::keys::Key;
use softstop::watch::state::State;
use softstop::watch::usage::Usage;

use crate::declared::is_as_made;

const SIZES: [(usize, usize); 3] = [(80, 24), (200, 50), (20, 5)];

fn process(name: &str, more: Value) -> Value {
    let mut p = json!({
        "name": name, "state": "Running", "started": true, "ready": true, "live": true, "main": false, "restarts": 0,
        "running_seconds": 7520.0,
    });
    p.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    p
}

fn running() -> Value {
    json!({
        "version": "0.1.0", "phase": "Running", "started": true, "ready": false, "live": true,
        "uptime_seconds": 7525.0, "grace_seconds": 30.0, "orphans_reaped": 3,
        "processes": [
            process("nginx", json!({ "pid": 7, "main": true, "probes": [
                { "probe": "readiness", "passes": true, "failures": 0 },
                { "probe": "liveness", "passes": true, "failures": 1, "last_failure": "no answer within 1.0s" },
            ] })),
            process("php-fpm", json!({ "pid": 8, "ready": false, "message": "readiness probe: HTTP 503: warming up", "probes": [
                { "probe": "readiness", "passes": false, "failures": 4, "last_failure": "HTTP 503: warming up" },
            ] })),
            process("queue-worker-for-mail-and-more", json!({ "state": "Waiting", "reason": "CrashLoopBackOff", "ready": false,
                "restarts": 12, "restart_in_seconds": 41.0, "running_seconds": null,
                "last_exit": { "exit_code": 137, "signal": "SIGKILL", "reason": "OOMKilled" } })),
            process("nightly", json!({ "state": "Waiting", "reason": "Scheduled", "running_seconds": null,
                "schedule": { "cron": "0 3 * * *", "next_in_seconds": 20700.0, "succeeded": 4, "failed": 0, "skipped": 0 },
                "last_exit": { "exit_code": 0, "reason": "Completed" } })),
        ],
    })
}

fn stopping() -> (Value, Run) {
    let mut status = running();
    status["phase"] = "Running".into();
    status["stop"] = json!({
        "cause": "SIGTERM from outside the container", "stage": "processes", "step": "", "elapsed_seconds": 7.3,
        "deadline_in_seconds": 21.7, "step_deadline_in_seconds": 14.0,
    });
    for p in status["processes"].as_array_mut().expect("a list") {
        if p["state"] == "Running" {
            p["reason"] = "Stopping".into();
        }
    }
    let at = |seconds: f64, event: &str, mut more: Value| {
        more["at_seconds"] = (100.0 + seconds).into();
        more["event"] = event.into();
        more
    };
    let report = json!({ "format": 1, "version": "0.1.0", "timeline": [
        at(0.0, "stop_began", json!({ "cause": "SIGTERM", "grace_seconds": 30.0, "deadline_in_seconds": 29.0 })),
        at(0.0, "step_began", json!({ "kind": "drain", "name": "let the load balancers notice", "slice_seconds": 5.0 })),
        at(5.0, "step_ended", json!({ "kind": "drain", "name": "let the load balancers notice", "took_seconds": 5.0,
            "result": { "outcome": "done" } })),
        at(5.0, "stopping", json!({ "process": "nginx", "slice_seconds": 20.0 })),
        at(6.1, "stopped", json!({ "process": "nginx", "forced": false })),
        at(6.1, "stopping", json!({ "process": "php-fpm", "slice_seconds": 15.0 })),
    ] });
    let run = Run::read(report.to_string().as_bytes()).expect("a report");
    (status, Run { seen: Some(Duration::from_millis(7300)), ..run })
}

#[track_caller]
fn is_as_expected(name: &str, status: &Value, stop: Option<&Run>, keys: &[Key]) {
    let mut state = State::default();
    keys.iter().for_each(|key| drop(state.on_key(*key, status, 10)));
    let usage = BTreeMap::from([
        (7, Usage { processors: Some(0.034), memory: 47 << 20 }),
        (8, Usage { processors: Some(1.97), memory: 3 << 30 }),
    ]);
    let line = |n: usize| match n % 3 {
        0 => ("nginx".to_owned(), format!("10.0.0.{n} \"GET /caf\u{e9}/世界 HTTP/1.1\" 200")),
        1 => ("php-fpm".to_owned(), "\x1b[33mwarning\x1b[0m: \tslow".to_owned()),
        _ => ("queue-worker-for-mail-and-more".to_owned(), "out of memory ".repeat(20)),
    };
    let lines: VecDeque<(String, String)> = (0..60).map(line).collect();
    for (columns, rows) in SIZES {
        let view = View { status, stop, usage: &usage, lines: &lines, no_lines: None, silent: None, state: &state };
        let shown = frame(&view, Size { rows, columns }, Style { width: 0, unicode: true, colour: false });
        let shown: String = shown.iter().map(|line| format!("{}\n", line.trim_end())).collect();
        is_as_made(&format!("tests/watched/{name}.{columns}x{rows}.txt"), &shown);
    }
}

#[test]
fn what_runs_is_shown_at_every_size() {
    is_as_expected("running", &running(), None, &[Key::Down]);
}

#[test]
fn a_stop_is_shown_against_its_deadline_at_every_size() {
    let (status, run) = stopping();
    is_as_expected("stopping", &status, Some(&run), &[]);
}

#[test]
fn a_question_stands_where_the_keys_stood() {
    is_as_expected("asking", &running(), None, &[Key::End, Key::Char('k'), Key::Char('x'), Key::Char('H')]);
}
