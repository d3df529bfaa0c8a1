//! What `/metrics` answers, read as strictly as Prometheus does; and every metric is one that is declared.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::facts::{Cause, ProbeKind, Reason, Sender};
use crate::record::{Found, LastStop};
use crate::report::{Leaked, OTHERS, Secs};
use crate::signal::Signal;
use crate::status::{LastExit, Pids, ScheduleStatus, Stage, StopStatus, TaskStatus, Why};

fn process(name: &str, restarts: u32) -> ProcessStatus {
    ProcessStatus { restarts, ..ProcessStatus::well(name) }
}

fn status(names: &[&str]) -> Status {
    let processes = names.iter().map(|n| process(n, 2)).collect();
    Status { ready: false, orphans_reaped: 10_000, ..Status::well(processes) }
}

fn last_stop() -> LastStop {
    LastStop {
        ended_at: 1_764_190_000,
        ended_ago: Duration::from_secs(60),
        complete: true,
        reason: Some(Reason::Signal),
        cause: "SIGTERM from outside the container".into(),
        took: Some(Secs(Duration::from_millis(29_400))),
        grace: Some(Secs(Duration::from_secs(30))),
        within_grace: Some(true),
        exit_code: Some(137),
        sigkilled: 1,
        drain_steps_cut: 1,
        findings: vec![Found { rule: "deaf".into(), text: "web needed SIGKILL".into() }],
    }
}

/// Every metric has a sample.
fn everything(name: &str) -> Status {
    let mut status = status(&["web", name]);
    status.init = Some(TaskStatus { name: name.into(), running: Duration::from_secs(3), progress: None });
    status.stop = Some(StopStatus {
        progress: Vec::new(),
        cause: Cause::Signal { signal: Signal::TERM, sender: Sender::Outside },
        stage: Stage::Drain,
        step: name.into(),
        elapsed: Duration::from_millis(1500),
        deadline_in: Duration::from_secs(27),
        step_deadline_in: Duration::ZERO,
    });
    let leaked = |command: &str, process: Option<&str>| Leaked {
        command: command.into(),
        process: process.map(str::to_owned),
        count: 3,
    };
    status.seen.orphans = vec![leaked(name, Some(name)), leaked(name, None), leaked(OTHERS, None)];
    status.seen.oom_kills = Some(4);
    status.seen.pids = Some(Pids { current: 80, max: 100 });
    status.seen.drain_steps_cut = 2;
    status.seen.last_stop = Some(last_stop());
    status.processes[0].probe_failures = vec![(ProbeKind::Readiness, 6)];
    let p = &mut status.processes[1];
    (p.state, p.reason, p.pid, p.running) = (State::Waiting, Some(Why::CrashLoopBackOff), None, None);
    p.sigkills = 3;
    p.schedule = Some(ScheduleStatus {
        cron: "0 3 * * *".into(),
        time_zone: None,
        next_in: Some(Duration::from_secs(90)),
        succeeded: 5,
        failed: 1,
        skipped: 0,
        last_runs: Vec::new(),
    });
    p.last_exit = Some(LastExit { exit_code: 143, signal: Some(Signal::TERM), reason: Why::Error });
    status
}

/// Labels of one sample, sorted as they stand, and its value.
type Sample = (Vec<(String, String)>, f64);

/// Reads the text format strictly: HELP then TYPE then the samples of each family, in one block; no sample twice.
fn parse(page: &str) -> HashMap<String, (String, Vec<Sample>)> {
    let mut families: HashMap<String, (String, Vec<Sample>)> = HashMap::new();
    let mut seen = HashSet::new();
    let mut current = String::new();
    assert!(page.ends_with('\n'));
    let mut lines = page.strip_suffix('\n').unwrap().split('\n');
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(!text.is_empty() && !text.contains('\\'), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            assert!(families.insert(name.into(), (kind.into(), Vec::new())).is_none(), "{name} twice");
            current = name.into();
            continue;
        }
        assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_string()), "twice: {line}");
        let end = line.find(['{', ' ']).unwrap();
        let (name, rest) = line.split_at(end);
        assert_eq!(name, current, "a sample outside its family: {line}");
        assert!(name.starts_with("softstop_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        let (labels, value) = parse_labels(rest);
        let value = value.strip_prefix(' ').unwrap().parse::<f64>().unwrap();
        assert!(value.is_finite() && value >= 0.0, "{line}");
        families.get_mut(name).unwrap().1.push((labels, value));
    }
    for (name, (_, samples)) in &families {
        assert!(!samples.is_empty(), "{name} has no sample");
    }
    families
}

fn parse_labels(text: &str) -> (Vec<(String, String)>, &str) {
    let mut labels = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    loop {
        let (label, tail) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = tail.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (i, '"') => break i,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("unknown escape \\{c}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
        labels.push((label.to_string(), value));
        rest = &tail[end + 1..];
        match rest.split_at(1) {
            (",", tail) => rest = tail,
            ("}", tail) => return (labels, tail),
            other => panic!("after a label: {other:?}"),
        }
    }
}

fn value(page: &HashMap<String, (String, Vec<Sample>)>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<_> = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    page[name].1.iter().find(|(l, _)| *l == wanted).unwrap_or_else(|| panic!("no {name}{labels:?}")).1
}

#[test]
fn a_running_container() {
    let text = render(&status(&["web"]));
    let page = parse(&text);
    assert_eq!(value(&page, "softstop_info", &[("version", "0.1.0")]), 1.0);
    assert_eq!(value(&page, "softstop_phase", &[("phase", "Running")]), 1.0);
    assert_eq!(value(&page, "softstop_phase", &[("phase", "Failed")]), 0.0);
    assert_eq!(value(&page, "softstop_ready", &[]), 0.0);
    assert_eq!(value(&page, "softstop_live", &[]), 1.0);
    assert_eq!(value(&page, "softstop_uptime_seconds", &[]), 7.412);
    assert_eq!(value(&page, "softstop_orphans_reaped_total", &[]), 10_000.0);
    assert_eq!(value(&page, "softstop_process_up", &[("process", "web")]), 1.0);
    assert_eq!(value(&page, "softstop_process_restarts_total", &[("process", "web")]), 2.0);
    assert_eq!(value(&page, "softstop_process_running_seconds", &[("process", "web")]), 5.25);
    for absent in ["softstop_stop_elapsed_seconds", "softstop_process_last_exit_code", "softstop_stop_step_info"] {
        assert!(!page.contains_key(absent), "{absent}");
    }
    assert!(text.contains("\n# TYPE softstop_orphans_reaped_total counter\nsoftstop_orphans_reaped_total 10000\n"));
}

#[test]
fn a_stopping_container() {
    let page = parse(&render(&everything("agent")));
    assert_eq!(value(&page, "softstop_stopping", &[]), 1.0);
    assert_eq!(value(&page, "softstop_stop_elapsed_seconds", &[]), 1.5);
    assert_eq!(value(&page, "softstop_stop_deadline_in_seconds", &[]), 27.0);
    assert_eq!(value(&page, "softstop_stop_step_info", &[("step", "agent")]), 1.0);
    assert_eq!(value(&page, "softstop_process_up", &[("process", "agent")]), 0.0);
    assert_eq!(value(&page, "softstop_process_last_exit_code", &[("process", "agent")]), 143.0);
    assert_eq!(value(&page, "softstop_process_last_exit_reason", &[("process", "agent"), ("reason", "Error")]), 1.0);
    assert_eq!(value(&page, "softstop_process_sigkills_total", &[("process", "agent")]), 3.0);
    let failed = [("process", "web"), ("probe", "readiness")];
    assert_eq!(value(&page, "softstop_process_probe_failures_total", &failed), 6.0);
    assert_eq!(value(&page, "softstop_process_next_run_seconds", &[("process", "agent")]), 90.0);
    assert_eq!(value(&page, "softstop_stop_drain_steps_cut", &[]), 2.0);
    let waiting = [("process", "agent"), ("reason", "CrashLoopBackOff")];
    assert_eq!(value(&page, "softstop_process_waiting_reason", &waiting), 1.0);
    assert_eq!(value(&page, "softstop_init_task_running_seconds", &[("task", "agent")]), 3.0);
    assert_eq!(value(&page, "softstop_oom_kills_total", &[]), 4.0);
    assert_eq!(value(&page, "softstop_pids_current", &[]) / value(&page, "softstop_pids_max", &[]), 0.8);
}

#[test]
fn a_reason_is_shown_of_those_alone_that_wait_for_one() {
    let mut status = status(&["ends", "starts", "backs-off"]);
    let p = &mut status.processes;
    (p[0].state, p[0].reason) = (State::Terminated, Some(Why::Error));
    (p[1].state, p[1].reason) = (State::Waiting, None);
    let name = "softstop_process_waiting_reason";
    assert!(!parse(&render(&status)).contains_key(name));
    let p = &mut status.processes;
    (p[2].state, p[2].reason) = (State::Waiting, Some(Why::CrashLoopBackOff));
    let page = parse(&render(&status));
    assert_eq!(page[name].1.len(), 1);
    assert_eq!(value(&page, name, &[("process", "backs-off"), ("reason", "CrashLoopBackOff")]), 1.0);
}

proptest! {
    #[test]
    fn any_name_survives_the_escaping(name in "(?s)[\"\\\\\n,{}= a-zé\r]{1,12}") {
        prop_assume!(name != "web");
        let page = parse(&render(&everything(&name)));
        prop_assert_eq!(value(&page, "softstop_process_restarts_total", &[("process", &name)]), 2.0);
        prop_assert_eq!(value(&page, "softstop_stop_step_info", &[("step", &name)]), 1.0);
        let labels = [("command", name.as_str()), ("process", &name)];
        prop_assert_eq!(value(&page, "softstop_orphans_by_command_total", &labels), 3.0);
    }
}

#[test]
fn the_stop_before_is_shown_as_far_as_its_report_has_it() {
    let mut status = status(&["web"]);
    assert!(!render(&status).contains("softstop_last_stop"), "there is no report");
    status.seen.last_stop = Some(last_stop());
    let page = parse(&render(&status));
    for (name, expected) in [
        ("softstop_last_stop_timestamp_seconds", 1_764_190_000.0),
        ("softstop_last_stop_complete", 1.0),
        ("softstop_last_stop_duration_seconds", 29.4),
        ("softstop_last_stop_grace_seconds", 30.0),
        ("softstop_last_stop_within_grace", 1.0),
        ("softstop_last_stop_exit_code", 137.0),
        ("softstop_last_stop_sigkilled_processes", 1.0),
        ("softstop_last_stop_drain_steps_cut", 1.0),
    ] {
        assert_eq!(value(&page, name, &[]), expected, "{name}");
    }
    assert_eq!(value(&page, "softstop_last_stop_reason", &[("reason", "signal")]), 1.0);
    assert_eq!(value(&page, "softstop_last_stop_finding", &[("rule", "deaf")]), 1.0);
    status.seen.last_stop =
        Some(LastStop { complete: false, took: None, exit_code: None, reason: None, ..last_stop() });
    let page = parse(&render(&status));
    assert_eq!(value(&page, "softstop_last_stop_complete", &[]), 0.0);
    for absent in ["softstop_last_stop_exit_code", "softstop_last_stop_duration_seconds", "softstop_last_stop_reason"] {
        assert!(!page.contains_key(absent), "{absent}");
    }
}

#[test]
fn every_declared_metric_is_answered_with_its_labels_and_no_other() {
    let page = parse(&render(&everything("agent")));
    for row in declared::ALL {
        let (kind, samples) = page.get(row.name).unwrap_or_else(|| panic!("{} has no sample", row.name));
        assert_eq!(kind, row.kind, "{}", row.name);
        for (labels, _) in samples {
            assert!(labels.iter().map(|(label, _)| label).eq(row.labels), "{}: {labels:?}", row.name);
        }
    }
    assert_eq!(page.len(), declared::ALL.len(), "a metric is declared twice, or not at all");
}

/// The rules of `promtool check metrics`, which not every machine has (tests/serve/monitoring.rs asks promtool itself).
#[test]
fn names_and_help_are_as_promtool_wants_them() {
    let abbreviated =
        ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d", "minutes", "hours", "percent"];
    for row in declared::ALL {
        let mut parts = row.name.split('_');
        assert!(!parts.any(|part| abbreviated.contains(&part)), "{}: a unit in short", row.name);
        let wrong_end = ["_count", "_sum", "_bucket", "_gauge", "_counter"].iter().any(|end| row.name.ends_with(end));
        assert!(!wrong_end, "{}: kept for histograms, or its type", row.name);
        assert!(row.help.ends_with('.') && !row.help.contains(['\\', '\n']), "{}: {}", row.name, row.help);
        assert!(row.labels.iter().all(|label| !["le", "quantile", "job", "instance"].contains(label)), "{}", row.name);
    }
}
