//! Whatever there is to show and however small the terminal is: no line is too wide, none too many, none drives the terminal.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::frame::{Size, View, frame, paint, visible, without_escapes};
use super::keys::Key;
use super::state::State;
use super::usage::Usage;
use crate::picture::Style;
use crate::record::Run;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,12}",
        "[a-zW ]{20,90}",
        Just("世界の終わりまで待つ長い名前の手順がここにある".to_owned()),
        Just("\u{1b}[31mred\u{1b}[2J\u{1b}]0;title\u{7}\n\t\u{202e}e\u{301}\u{1f469}\u{200d}\u{1f680}".to_owned()),
        any::<String>(),
    ]
}

/// Anything, also what no softstop says.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0..1e6f64).prop_map(Value::from),
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
    ]
}

fn object(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    proptest::collection::vec((0..keys.len(), value()), 0..keys.len())
        .prop_map(|all| all.into_iter().map(|(key, value)| (keys[key].to_owned(), value)).collect())
}

fn process() -> impl Strategy<Value = Value> {
    const KEYS: &[&str] =
        &["reason", "message", "status", "reloading", "last_output", "restart_in_seconds", "running_seconds", "pid"];
    let states = proptest::sample::select(vec!["Waiting", "Running", "Terminated", "?"]);
    let schedule = object(&["cron", "time_zone", "next_in_seconds", "succeeded"]);
    let exit = object(&["exit_code", "signal", "reason"]);
    let probes = proptest::collection::vec(object(&["probe", "passes", "failures", "last_failure"]), 0..3);
    (object(KEYS), text(), states, schedule, exit, probes, any::<[bool; 2]>()).prop_map(
        |(mut p, name, state, schedule, exit, probes, [ready, main])| {
            p["name"] = name.into();
            p["state"] = state.into();
            p["schedule"] = schedule;
            p["last_exit"] = exit;
            p["probes"] = probes.into();
            p["ready"] = ready.into();
            p["main"] = main.into();
            p
        },
    )
}

fn status() -> impl Strategy<Value = Value> {
    let processes = prop_oneof![
        proptest::collection::vec(process(), 0..30).prop_map(Value::from),
        value(),
        proptest::collection::vec(value(), 0..4).prop_map(Value::from),
    ];
    let stop = prop_oneof![Just(Value::Null), object(&["cause", "stage", "step", "progress", "elapsed_seconds"])];
    let init = prop_oneof![Just(Value::Null), object(&["name", "progress", "running_seconds"])];
    const KEYS: &[&str] =
        &["version", "phase", "ready", "unready", "uptime_seconds", "grace_seconds", "orphans_reaped"];
    (object(KEYS), processes, stop, init).prop_map(|(mut status, processes, stop, init)| {
        status["processes"] = processes;
        status["stop"] = stop;
        status["init"] = init;
        status
    })
}

fn run() -> impl Strategy<Value = Option<Run>> {
    let step = (text(), 0..40_000u64, any::<bool>(), 0..3usize);
    proptest::option::of((proptest::collection::vec(step, 0..20), 0..60_000u64)).prop_map(|run| {
        let (steps, seen) = run?;
        let mut timeline = vec![json!({
            "at_seconds": 1.0, "event": "stop_began", "cause": "SIGTERM", "grace_seconds": 30.0, "deadline_in_seconds": 29.0,
        })];
        for (name, at, over, what) in steps {
            let at = 1.0 + at as f64 / 1000.0;
            match what {
                0 => timeline.push(json!({ "at_seconds": at, "event": "step_began", "kind": "drain", "name": name })),
                1 => timeline.push(json!({ "at_seconds": at, "event": "stopping", "process": name, "slice_seconds": 5.0 })),
                _ => timeline.push(json!({ "at_seconds": at, "event": "killed", "process": name })),
            }
            if over {
                timeline.push(json!({ "at_seconds": at + 1.0, "event": "stopped", "process": name, "forced": false }));
            }
        }
        let report = json!({ "format": 1, "version": "0.1.0", "timeline": timeline }).to_string();
        let run = Run::read(report.as_bytes()).expect("it is a report");
        Some(Run { seen: Some(Duration::from_millis(seen)), ..run })
    })
}

fn key() -> impl Strategy<Value = Key> {
    let keys =
        [Key::Up, Key::Down, Key::PageUp, Key::PageDown, Key::Home, Key::End, Key::Enter, Key::Backspace, Key::Escape];
    prop_oneof![
        any::<char>().prop_map(Key::Char),
        "[jkgGrsxlDSyn]".prop_map(|c| Key::Char(c.chars().next().unwrap_or('j'))),
        proptest::sample::select(keys.to_vec())
    ]
}

fn size() -> impl Strategy<Value = Size> {
    let side = || prop_oneof![0..8usize, 8..90usize, 90..400usize];
    (side(), side()).prop_map(|(rows, columns)| Size { rows, columns })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_shown_fits_and_drives_nothing(
        status in status(), run in run(), keys in proptest::collection::vec(key(), 0..12), size in size(),
        lines in proptest::collection::vec((text(), text()), 0..40), no_lines in proptest::option::of(text()),
        said in proptest::option::of(text()), unicode: bool, colour: bool,
    ) {
        let mut state = State::default();
        for key in keys {
            state.on_key(key, &status, super::frame::page(size));
        }
        if let Some(said) = said {
            state.say(said, true);
        }
        let usage: BTreeMap<i32, Usage> = BTreeMap::new();
        let lines: VecDeque<(String, String)> = lines.into();
        let view = View {
            status: &status, stop: run.as_ref(), usage: &usage, lines: &lines, no_lines: no_lines.as_deref(),
            silent: None, state: &state,
        };
        let plain = frame(&view, size, Style { width: 0, unicode, colour: false });
        if size.columns > 0 {
            prop_assert_eq!(plain.len(), size.rows);
        }
        for line in &plain {
            prop_assert!(visible(line) <= size.columns, "{} of {}: {:?}", visible(line), size.columns, line);
            prop_assert!(line.chars().all(crate::text::is_plain), "{line:?}");
            prop_assert!(unicode || line.is_ascii(), "{line:?}");
        }
        let coloured = frame(&view, size, Style { width: 0, unicode, colour });
        let bare: Vec<String> = coloured.iter().map(|line| without_escapes(line)).collect();
        prop_assert_eq!(bare, plain, "colours change nothing else");
        prop_assert_eq!(paint(&coloured, size).matches('H').count() >= coloured.len(), true);
    }

    #[test]
    fn of_a_line_with_escapes_the_text_is_left(text in any::<String>()) {
        prop_assert!(!without_escapes(&text).contains('\x1b'));
    }
}

#[test]
fn the_colours_of_a_program_are_no_text() {
    assert_eq!(
        without_escapes("\x1b[1;31mred\x1b[0m \x1b]0;title\x07and\x1b(B \x1b]8;;x\x1b\\plain\x1b"),
        "red and plain"
    );
    assert_eq!(without_escapes("\x1b["), "");
    assert_eq!(without_escapes("\x1b[31"), "");
}
