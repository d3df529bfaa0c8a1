//! Reports that are none, and what each row of the findings is found by.

use serde_json::{Value, json};

use super::*;

/// A report with these records of the stop, which took so many seconds of ten.
fn report(took: f64, events: &[Value]) -> Value {
    let mut timeline = vec![
        json!({ "at_seconds": 0.0, "event": "started", "process": "web", "pid": 7, "restarts": 0 }),
        json!({ "at_seconds": 100.0, "event": "stop_began", "cause": "SIGTERM from outside the container", "requested": true,
                "grace_seconds": 10.0, "deadline_in_seconds": 9.0 }),
    ];
    timeline.extend(events.iter().cloned());
    json!({
        "format": 1, "version": "0.1.0",
        "setup": { "readiness_on_drain": "fail", "processes": [{ "name": "web", "program": "app", "kind": "service" }] },
        "exit_code": 0, "cause": "SIGTERM from outside the container", "grace_seconds": 10.0, "took_seconds": took,
        "within_grace": took <= 10.0, "main": null, "steps": [], "forced": [], "timeline": timeline,
    })
}

fn read(report: &Value) -> Run {
    Run::read(report.to_string().as_bytes()).unwrap_or_else(|why| panic!("{why}"))
}

/// The names of what is found.
fn found(run: &Run) -> Vec<&'static str> {
    findings::of(run).iter().map(|finding| finding.name).collect()
}

fn killed(look: &Value) -> [Value; 2] {
    [
        json!({ "at_seconds": 101.0, "event": "stopping", "process": "web", "how": "SIGTERM", "slice_seconds": 5.0 }),
        json!({ "at_seconds": 106.0, "event": "killed", "process": "web", "after": "SIGTERM", "waited_seconds": 5.0,
                "out_of_time": false, "stragglers": false, "appeared_as": "", "look": look }),
    ]
}

/// With web started as this program.
fn as_program(mut report: Value, program: &str, kind: &str) -> Value {
    report["setup"]["processes"][0]["program"] = program.into();
    report["setup"]["processes"][0]["kind"] = kind.into();
    report
}

fn step(kind: &str, result: &Value) -> [Value; 2] {
    [
        json!({ "at_seconds": 100.0, "event": "step_began", "kind": kind, "name": "flush", "slice_seconds": 4.0, "left_seconds": 9.0 }),
        json!({ "at_seconds": 104.0, "event": "step_ended", "kind": kind, "name": "flush", "slice_seconds": 4.0, "took_seconds": 4.0,
                "result": result }),
    ]
}

#[test]
fn each_row_of_the_findings_is_found_by_its_facts_and_says_what_to_change() {
    let sleeping = json!({ "state": "S", "wchan": "ep_poll", "children": 0 });
    let with = |event: Value| report(1.0, &[event]);
    let at = |event: &str, fields: Value| {
        let mut record = json!({ "at_seconds": 101.0, "event": event });
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        record
    };
    let mut no_end = report(1.0, &killed(&sleeping)[..1]);
    no_end.as_object_mut().unwrap().remove("exit_code");
    let mut keeps = report(1.0, &step("drain", &json!({ "outcome": "done" })));
    keeps["setup"]["readiness_on_drain"] = "keep".into();
    let stopped = json!({ "at_seconds": 107.0, "event": "stopped", "process": "web", "took_seconds": 1.0, "forced": false, "exit": {"code": 0} });
    let mut forced = report(1.0, &[]);
    forced["forced"] = json!(["web"]);
    let cases: Vec<(&str, Value, &str)> = vec![
        ("no-end", no_end, "terminationGracePeriodSeconds"),
        (
            "minimum-grace",
            with(at("stop_again", json!({ "cause": "SIGTERM", "effect": "minimum_grace" }))),
            "terminationGracePeriodSeconds",
        ),
        (
            "shell",
            as_program(
                report(7.0, &killed(&json!({ "state": "S", "wchan": "do_wait", "children": 1 }))),
                "sh",
                "service",
            ),
            "exec",
        ),
        (
            "shell",
            as_program(with(at("group_left", json!({ "process": "web", "signalled": 1 }))), "run.sh", "service"),
            "exec",
        ),
        ("stuck", report(7.0, &killed(&json!({ "state": "D", "wchan": "nfs_wait" }))), "file system"),
        ("stuck", report(7.0, &killed(&json!({ "state": "S", "frozen": true }))), "thaw"),
        ("job-cut", as_program(report(7.0, &killed(&sleeping)), "nightly", "task"), "stop = "),
        ("wrong-signal", as_program(report(7.0, &killed(&sleeping)), "nginx", "service"), "stop = \"nginx\""),
        ("slow-stop", report(7.0, &killed(&json!({ "state": "R", "signal_is": "caught" }))), "grace = \"15s\""),
        (
            "slow-stop",
            report(
                7.0,
                &killed(&json!({ "signal_is": "caught", "open_connections": { "count": 3, "complete": true } })),
            ),
            "clients",
        ),
        ("deaf", report(7.0, &killed(&json!({ "state": "S", "signal_is": "ignored" }))), "started through a shell"),
        (
            "workers",
            with(at(
                "killed",
                json!({ "process": "web", "stragglers": true, "waited_seconds": 3.0, "out_of_time": false }),
            )),
            "master",
        ),
        (
            "workers",
            with(at("stragglers", json!({ "signal": "SIGKILL", "count": 2, "which": ["a (pid 9)"] }))),
            "[stragglers]",
        ),
        (
            "sigkill",
            with(at("killed", json!({ "process": "web", "waited_seconds": 0.0, "out_of_time": true }))),
            "stop_reserve",
        ),
        ("sigkill", forced, "timeline"),
        (
            "daemon",
            with(at(
                "in_background",
                json!({ "process": "web", "command": "nginx", "pid": 12, "instead": "-g 'daemon off;'" }),
            )),
            "daemon off",
        ),
        (
            "drain-cut",
            report(5.0, &step("drain", &json!({ "outcome": "cut", "reason": "3 open, 2 active" }))),
            "reserve",
        ),
        (
            "drain-cut",
            with(at("step_skipped", json!({ "kind": "drain", "name": "leave", "result": { "outcome": "no_time" } }))),
            "reserve",
        ),
        (
            "drain-short",
            report(5.0, &step("drain", &json!({ "outcome": "timed_out", "reason": "3 open, 2 active" }))),
            "timeout",
        ),
        ("slow-flush", report(5.0, &step("post_stop", &json!({ "outcome": "cut" }))), "reserve"),
        (
            "slow-flush",
            with(at(
                "step_skipped",
                json!({ "kind": "post_stop", "name": "ship", "result": { "outcome": "no_time" } }),
            )),
            "reserve",
        ),
        ("grace-small", with(at("out_of_time", json!({ "waiting_for": "web, db" }))), "grace = \"15s\""),
        ("grace-small", report(10.5, &[]), "softstop plan"),
        ("readiness", keeps, "readiness_on_drain"),
        ("step-failed", report(5.0, &step("drain", &json!({ "outcome": "failed", "reason": "exit code 3" }))), ""),
        ("out-of-memory", with(at("oom_killed", json!({ "process": "web", "pid": 7, "kills": 1 }))), "memory"),
        (
            "port-held",
            with(at("last_output", json!({ "process": "web", "lines": ["bind: Address already in use"] }))),
            "[[socket]]",
        ),
        ("crash-loop", with(at("started", json!({ "process": "web", "pid": 9, "restarts": 7 }))), "last_output"),
        ("no-hook", with(at("no_hook", json!({}))), "preStop"),
        ("starved", with(at("starved", json!({ "lost_seconds": 0.4 }))), "CPU"),
        ("nearly-spent", report(9.5, &[stopped]), "grace = \"13s\""),
        (
            "orphan-cut",
            with(at("stragglers", json!({ "signal": "SIGTERM", "count": 1, "which": ["job (pid 9)"] }))),
            "[stragglers] wait",
        ),
    ];
    let failed = Failed { count: 3, first: Duration::from_secs(1), last: Duration::from_secs(2) };
    let kept =
        report(7.0, &[at("stragglers", json!({ "signal": "SIGKILL", "count": 1, "which": ["helper (pid 9)"] }))]);
    let seen = |observed: Observed| (report(1.0, &[]), observed);
    let observed: Vec<(&str, (Value, Observed), &str)> = vec![
        ("never-ready", seen(Observed { never_ready: Some("no".into()), ..Observed::default() }), "--ready-timeout"),
        ("ended", seen(Observed { ended: Some(" with exit code 1".into()), ..Observed::default() }), "runs until"),
        ("crash", seen(Observed { not_again: Some("web".into()), ..Observed::default() }), "on_failure"),
        ("left", seen(Observed { left: vec!["web (pid 9)".into()], ..Observed::default() }), "report it"),
        ("no-end", seen(Observed { killed: Some(Duration::from_secs(12)), ..Observed::default() }), "machine"),
        (
            "drain-short",
            seen(Observed { refused: failed, lag: Some(Duration::from_millis(2500)), ..Observed::default() }),
            "minimum = \"3s\"",
        ),
        ("shell", seen(Observed { shells: vec![("web".into(), "app".into())], ..Observed::default() }), "exec"),
        ("cut-off", seen(Observed { cut: failed, ..Observed::default() }), "wait_idle"),
        ("server-errors", seen(Observed { errors: failed, ..Observed::default() }), "as ever"),
        ("no-answer", seen(Observed { unanswered: failed, ..Observed::default() }), "--patience"),
        ("port-held", (kept, Observed { cut: failed, ..Observed::default() }), "close-on-exec"),
    ];
    let cases: Vec<(&str, Run, &str)> = (cases.iter().map(|(name, report, help)| (*name, read(report), *help)))
        .chain(
            observed
                .into_iter()
                .map(|(name, (report, observed), help)| (name, Run { observed, ..read(&report) }, help)),
        )
        .collect();
    for (name, run, help) in &cases {
        let found = findings::of(run);
        let its = found.iter().find(|finding| finding.name == *name);
        let its = its.unwrap_or_else(|| panic!("{name} is not found: {found:#?}\n{run:#?}"));
        assert!(its.help.contains(help), "{name}: {}", its.help);
    }
    for rule in findings::RULES {
        assert!(cases.iter().any(|(name, ..)| *name == rule.name), "{} has no case", rule.name);
    }
}

#[test]
fn what_one_row_has_explained_no_other_says_again_and_a_good_stop_has_none() {
    let shell = json!({ "state": "S", "wchan": "do_wait", "children": 1, "signal_is": "caught" });
    let run = read(&as_program(report(7.0, &killed(&shell)), "bash", "service"));
    assert_eq!(found(&run), ["shell"]);
    // More time would not help it.
    let mut late = killed(&json!({ "signal_is": "ignored" }));
    late[1]["out_of_time"] = true.into();
    assert_eq!(found(&read(&report(10.0, &late))), ["deaf"]);
    // A shell without a child is not waiting for one.
    let alone = json!({ "state": "S", "children": 0, "signal_is": "ignored" });
    assert_eq!(found(&read(&as_program(report(7.0, &killed(&alone)), "sh", "service"))), ["deaf"]);
    let done = report(5.0, &step("drain", &json!({ "outcome": "done" })));
    assert_eq!(found(&read(&done)), [""; 0]);
}

#[test]
fn what_somebody_has_seen_from_outside_is_explained_too() {
    let mut run = read(&report(5.0, &step("drain", &json!({ "outcome": "done" }))));
    let secs = Duration::from_secs;
    let refused = Failed { count: 3, first: secs(5), last: secs(7) };
    run.observed = Observed { clients: true, refused, killed: Some(secs(8)), ..Observed::default() };
    assert_eq!(found(&run), ["no-end", "drain-short"]);
    let short = findings::of(&run).into_iter().find(|finding| finding.name == "drain-short").unwrap();
    assert!(short.help.contains("minimum = \"8s\""), "{short:?}");
    // No drain is long enough for who never hears of the stop.
    run.observed.ready_until = Some(secs(5));
    assert_eq!(found(&run), ["no-end", "readiness"]);
    // What is in a report does not say that anybody was met by it; clients do.
    let mut keeps = report(5.0, &step("drain", &json!({ "outcome": "done" })));
    keeps["setup"]["readiness_on_drain"] = "keep".into();
    let mut keeps = read(&keeps);
    assert_eq!(found(&keeps), ["readiness"]);
    keeps.observed.clients = true;
    assert_eq!(found(&keeps), [""; 0]);
    // What was started as a shell may be one no more.
    let left = json!({ "at_seconds": 101.0, "event": "group_left", "process": "web", "signalled": 1 });
    let mut left = read(&as_program(report(1.0, &[left]), "sh", "service"));
    assert_eq!(found(&left), ["shell"]);
    left.has_become("web", "python3");
    assert_eq!(found(&left), [""; 0]);
}

#[test]
fn a_report_that_is_none_is_refused_with_what_and_where() {
    let error = |text: &str| Run::read(text.as_bytes()).unwrap_err();
    let whole = serde_json::to_string_pretty(&report(1.0, &[])).unwrap();
    let newer = whole.replace("\"format\": 1", "\"format\": 2");
    let older = whole.replace("\"format\": 1,", "");
    let odd = whole.replace("\"format\": 1", "\"format\": \"one\"");
    let untimed = whole.replace("\"at_seconds\": 0.0", "\"at_seconds\": -1");
    let coded = whole.replace("\"exit_code\": 0", "\"exit_code\": 300");
    for (text, says) in [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ("softstop: stopping", "not JSON"),
        ("[]", "no report"),
        ("{}", "neither `format` nor `timeline`"),
        (&whole[..whole.len() / 2], "it is cut off"),
        (&newer, "it is of format 2, written by softstop 0.1.0; this softstop"),
        (&older, "written by an older softstop (0.1.0)"),
        (&odd, "`format` is not a number"),
        (&untimed, "record 0 of `timeline`: `at_seconds` is no time"),
        (&coded, "`exit_code` is not 0 to 255"),
        (r#"{"format": 1, "format": 1}"#, "stands twice"),
    ] {
        assert!(error(text).contains(says), "{text}: {}", error(text));
    }
    assert!(Run::read(&vec![b' '; MAX_BYTES + 1]).unwrap_err().contains("bytes"));
    let deep = format!("{{\"format\": 1, \"timeline\": {}", "[".repeat(100_000));
    assert!(error(&deep).contains("recursion"), "{}", error(&deep));
}

#[test]
fn two_runs_are_held_against_each_other_step_by_step() {
    let before = read(&report(5.0, &step("drain", &json!({ "outcome": "done" }))));
    let mut slow = step("drain", &json!({ "outcome": "cut", "reason": "3 open" }));
    slow[1]["took_seconds"] = json!(3.0);
    let after = read(&report(6.0, &[slow.as_slice(), &killed(&json!({ "signal_is": "ignored" }))].concat()));
    let text = compare::text(["a.json", "b.json"], &before, &after);
    let expected = "\
a.json: stopped in 5.0s of 10.0s (SIGTERM from outside the container); exit code 0
b.json: stopped in 6.0s of 10.0s (SIGTERM from outside the container); exit code 0

STEP       BEFORE  AFTER           DIFFERENCE
drain
  flush    4.0s    3.0s cut short  -1.0s       broken
processes
  web      -       5.0s SIGKILL                new
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\nnew: web needed SIGKILL 5.0s after SIGTERM: it ignores SIGTERM\n  help: "), "{text}");
    assert!(compare::is_worse(&before, &after) && !compare::is_worse(&after, &before));
    assert!(!compare::is_worse(&after, &after));
    let mended = compare::text(["b.json", "a.json"], &after, &before);
    assert!(mended.contains("no more: web needed SIGKILL"), "{mended}");
    let change = |a: &Run, b: &Run| compare::pairs(a, b)[0].change();
    assert_eq!(change(&before, &before), compare::Change::Same);
    let faster = read(&report(5.0, &{
        let mut events = step("drain", &json!({ "outcome": "done" }));
        events[1]["took_seconds"] = json!(1.0);
        events
    }));
    assert_eq!(
        (change(&before, &faster), change(&faster, &before)),
        (compare::Change::Faster, compare::Change::Slower)
    );
}
