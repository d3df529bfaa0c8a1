//! What each path answers, by example and by property.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::facts::{Cause, Failure, ProbeKind, Sender, Trouble};
use crate::signal::Signal;
use crate::status::{LastExit, Stage, StopStatus, TaskStatus};

#[test]
fn what_is_answered_at_once_is_what_would_be_answered() {
    let mut at_once = 0;
    for n in 0..8 {
        let [started, ready, live] = [1, 2, 4].map(|bit| n & bit != 0);
        let holds = |health: Health| health.of(started, ready, live);
        let status = Status { started, ready, live, ..healthy() };
        for method in ["GET", "HEAD", "POST"] {
            for path in ["/startupz", "/readyz", "/livez", "/healthz", "/readyz/web", "/readyz/", "/status", "/", "x"] {
                for query in [None, Some(""), Some("verbose"), Some("exclude=web")] {
                    let Some(quick) = answer_at_once(method, path, query, holds) else { continue };
                    assert_eq!(quick, answer(method, path, query, &status), "{method} {path} {query:?} {n}");
                    at_once += 1;
                }
            }
        }
    }
    // Four paths, two methods, no query in two ways, and in half of the cases all is well.
    assert_eq!(at_once, 4 * 2 * 2 * 4);
}

fn healthy() -> Status {
    Status { orphans_reaped: 3, ..Status::well(vec![ProcessStatus::well("web"), ProcessStatus::well("db")]) }
}

fn db_not_ready() -> Status {
    let mut status = healthy();
    status.ready = false;
    status.processes[1].ready = false;
    status.processes[1].message =
        Some(Trouble::Probe { probe: ProbeKind::Readiness, last: Failure::Said("connection refused".into()) });
    status
}

fn get(target: &str, status: &Status) -> (u16, String) {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let answer = answer("GET", path, query, status);
    (answer.code, answer.body)
}

fn expect(target: &str, status: &Status, code: u16, body: &str) {
    assert_eq!(get(target, status), (code, body.to_string()), "{target}");
}

#[test]
fn healthy_endpoints_say_ok() {
    for path in ["/startupz", "/readyz", "/livez", "/healthz", "/readyz/web", "/livez/db", "/readyz/shutdown"] {
        expect(path, &healthy(), 200, "ok");
    }
}

#[test]
fn verbose_lists_the_checks() {
    for query in ["verbose", "verbose=", "verbose=0", "a=b&verbose"] {
        let body = "[+]init ok\n[+]web ok\n[+]db ok\n[+]shutdown ok\nreadyz check passed\n";
        expect(&format!("/readyz?{query}"), &healthy(), 200, body);
    }
    expect("/healthz?verbose", &healthy(), 200, "[+]web ok\n[+]db ok\nhealthz check passed\n");
    expect("/startupz/web?verbose", &healthy(), 200, "[+]web ok\nstartupz check passed\n");
}

#[test]
fn a_failing_endpoint_is_verbose_unasked() {
    let body = "[+]init ok\n[+]web ok\n[-]db failed: readiness probe: connection refused\n[+]shutdown ok\n\
                readyz check failed\n";
    expect("/readyz", &db_not_ready(), 503, body);
    expect("/livez", &db_not_ready(), 200, "ok");
    let body = "[-]db failed: readiness probe: connection refused\nreadyz check failed\n";
    expect("/readyz/db", &db_not_ready(), 503, body);
    expect("/readyz/web", &db_not_ready(), 200, "ok");
}

#[test]
fn a_check_can_be_excluded() {
    expect("/readyz?exclude=db", &db_not_ready(), 200, "ok");
    let body = "[+]init ok\n[+]web ok\n[+]db excluded: ok\n[+]shutdown ok\nreadyz check passed\n";
    expect("/readyz?verbose&exclude=db", &db_not_ready(), 200, body);
    let (code, body) = get("/readyz?exclude=web&exclude=web", &db_not_ready());
    assert_eq!(code, 503, "{body}");
}

#[test]
fn an_unknown_exclusion_is_warned_of_and_changes_nothing() {
    let (code, body) = get("/readyz?exclude=x&exclude=a%22b&verbose", &healthy());
    assert_eq!(code, 200);
    let warning = "warn: some health checks cannot be excluded: no matches for \"a\\\"b\",\"x\"\n";
    assert!(body.contains(warning), "{body}");
    assert_eq!(get("/readyz?exclude=x", &db_not_ready()).0, 503);
}

#[test]
fn an_unknown_check_or_path_is_404() {
    for target in ["/readyz/nope", "/readyz/", "/livez/shutdown", "/nope", "/status/web", "", "readyz", "/READYZ", "//"]
    {
        assert_eq!(get(target, &healthy()).0, 404, "{target}");
    }
}

#[test]
fn names_are_percent_decoded() {
    let mut status = healthy();
    status.processes[0].name = "my web/1".into();
    expect("/readyz/my%20web/1", &status, 200, "ok");
    expect("/readyz/my%20web%2f1", &status, 200, "ok");
    status.ready = false;
    status.processes[0].ready = false;
    expect("/readyz?exclude=my+web%2F1", &status, 200, "ok");
}

#[test]
fn a_stop_fails_readiness_and_nothing_else() {
    let mut status = healthy();
    status.ready = false;
    status.stop = Some(StopStatus {
        progress: Vec::new(),
        cause: Cause::Signal { signal: Signal::TERM, sender: Sender::Outside },
        stage: Stage::Drain,
        step: "let the load balancers notice".into(),
        elapsed: Duration::from_secs(1),
        deadline_in: Duration::from_secs(28),
        step_deadline_in: Duration::from_secs(4),
    });
    let body = "[+]init ok\n[+]web ok\n[+]db ok\n[-]shutdown failed: stopping: SIGTERM from outside the container\n\
                readyz check failed\n";
    expect("/readyz", &status, 503, body);
    expect("/livez", &status, 200, "ok");
    expect("/startupz", &status, 200, "ok");
    status.ready = true; // readiness_on_drain = "keep"
    expect("/readyz", &status, 200, "ok");
}

#[test]
fn the_lifecycles_result_wins_over_the_checks() {
    let mut status = healthy();
    status.ready = false;
    let (code, body) = get("/readyz", &status);
    assert_eq!(code, 503);
    assert!(body.ends_with("[-]softstop failed: starting\nreadyz check failed\n"), "{body}");
    expect(
        "/readyz?exclude=x",
        &status,
        503,
        &body.replace(
            "[-]soft",
            "warn: some health checks cannot be excluded: \
            no matches for \"x\"\n[-]soft",
        ),
    );
}

#[test]
fn reasons_without_a_message_come_from_the_state() {
    let mut status = healthy();
    status.started = false;
    status.init =
        Some(TaskStatus { name: "wait for the database".into(), running: Duration::from_millis(3900), progress: None });
    let p = &mut status.processes;
    (p[0].state, p[0].reason, p[0].started) = (State::Waiting, Some(Why::CrashLoopBackOff), false);
    (p[1].state, p[1].reason, p[1].started) = (State::Terminated, Some(Why::Error), false);
    p[1].last_exit = Some(LastExit { exit_code: 137, signal: Some(Signal::KILL), reason: Why::Error });
    let mut migrate = ProcessStatus::well("migrate");
    (migrate.state, migrate.reason, migrate.started, migrate.pid) =
        (State::Terminated, Some(Why::Completed), false, None);
    p.push(migrate);
    let mut slow = ProcessStatus::well("slow");
    slow.started = false;
    p.push(slow);
    let body = "[-]init failed: \"wait for the database\" has been running for 3 s\n\
                [-]web failed: waiting: CrashLoopBackOff\n\
                [-]db failed: terminated: Error, exit code 137\n\
                [+]migrate ok\n\
                [-]slow failed: startup not complete\n\
                startupz check failed\n";
    expect("/startupz", &status, 503, body);
}

#[test]
fn a_process_that_has_not_started_fails_readiness_for_that() {
    let mut status = healthy();
    status.ready = false;
    let p = &mut status.processes;
    (p[0].started, p[0].ready) = (false, false);
    (p[1].ready, p[1].live) = (false, false);
    let body = "[+]init ok\n[-]web failed: startup not complete\n[-]db failed: not ready\n[+]shutdown ok\n\
                readyz check failed\n";
    expect("/readyz", &status, 503, body);
    expect("/livez/db", &status, 503, "[-]db failed: not live\nlivez check failed\n");
}

#[test]
fn a_probed_servers_words_cannot_forge_a_line() {
    let mut status = db_not_ready();
    status.processes[1].message = Some(Trouble::NotStarted("answered 500: a\n[+]db ok\r\u{1b}[2J".into()));
    let body = "[-]db failed: answered 500: a [+]db ok  [2J\nreadyz check failed\n";
    expect("/readyz/db", &status, 503, body);
}

#[test]
fn other_methods_are_refused_everywhere() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", ""] {
        for path in ["/readyz", "/", "/nope"] {
            assert_eq!(answer(method, path, None, &healthy()).code, 405, "{method} {path}");
        }
    }
    assert_eq!(answer("HEAD", "/readyz", None, &healthy()).code, 200);
}

#[test]
fn the_status_is_json_compact_or_pretty() {
    let (code, compact) = get("/status", &healthy());
    let (_, pretty) = get("/status?pretty", &healthy());
    assert_eq!(code, 200);
    assert!(compact.starts_with(r#"{"version":"0.1.0","phase":"Running","started":true"#), "{compact}");
    assert_eq!(compact.lines().count(), 1);
    let parse = |s: &str| serde_json::from_str::<serde_json::Value>(s).unwrap();
    assert_eq!(parse(&compact), parse(&pretty));
    assert_eq!(parse(&compact)["uptime_seconds"], 7.412);
    assert!(pretty.lines().count() > 20, "{pretty}");
    assert_eq!(answer("GET", "/status", None, &healthy()).content_type, "application/json");
}

#[test]
fn the_index_names_every_path() {
    let (code, index) = get("/", &healthy());
    assert_eq!(code, 200);
    for path in ["/startupz", "/readyz", "/livez", "/healthz", "/status", "/metrics"] {
        assert!(index.contains(path), "{path}");
        assert_eq!(get(path, &healthy()).0, 200, "{path}");
    }
}

proptest! {
    #[test]
    fn no_request_panics(path in "(/(readyz|livez|startupz|status|metrics)?/?)?.{0,40}", query in proptest::option::of(
        "((exclude|verbose|pretty)=?)?.{0,40}(&exclude=.{0,9})?"), method in "GET|HEAD|.{0,6}") {
        for status in [healthy(), db_not_ready()] {
            let answer = answer(&method, &path, query.as_deref(), &status);
            prop_assert!([200, 404, 405, 503].contains(&answer.code));
            prop_assert!(!answer.body.is_empty());
        }
    }
}
