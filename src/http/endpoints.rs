//! What each path answers: a request and a [`Status`] in, an [`Answer`] out. Pure.
//!
//! The probe endpoints speak as the Kubernetes API server's do (k8s.io/apiserver, pkg/server/healthz/healthz.go): `ok` when
//! all is well, one `[+]` or `[-]` line a check when it is not or when asked with `?verbose`, `?exclude=NAME`, and
//! `/readyz/NAME` for one check. Two differences: a failure is 503, not 500, and its reason is not withheld, because a reason
//! here is a probe's result and never configuration. docs/endpoints.md is the user's page.

use std::borrow::Cow;
use std::fmt::Write;

use super::metrics;
use crate::endpoint::{self, Answers, Endpoint, Health};
use crate::status::{ProcessStatus, State, Status, Why};
use crate::text::plain;

/// The only methods answered, as the `Allow` header lists them.
pub const ALLOWED: &str = "GET, HEAD";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    pub content_type: &'static str,
    /// Complete; the server leaves it out where the method is HEAD.
    pub body: String,
}

impl Answer {
    /// A plain text answer.
    pub fn text(code: u16, body: impl Into<String>) -> Answer {
        Answer { code, content_type: TEXT, body: body.into() }
    }
}

/// The answer to a request, whatever it asks for: never fails, never panics.
///
/// `path` and `query` are as they came, percent-encoding included.
pub fn answer(method: &str, path: &str, query: Option<&str>, status: &Status) -> Answer {
    if method != "GET" && method != "HEAD" {
        return Answer::text(405, format!("method not allowed; allowed: {ALLOWED}\n"));
    }
    let query = Query(query.unwrap_or_default());
    let Some((endpoint, one)) = endpoint::find(path) else {
        return Answer::text(404, "not found; GET / lists what there is\n");
    };
    match endpoint.answers {
        Answers::Health(health) => {
            // As it stands in the verdict: `readyz check passed`.
            let asked = Asked { name: endpoint.path.trim_start_matches('/'), health };
            match one {
                Some(name) => one_check(asked, &decode(name), query, status),
                None => all_checks(asked, query, status),
            }
        }
        Answers::Status => status_json(query.has("pretty"), status),
        Answers::Metrics => Answer { code: 200, content_type: metrics::CONTENT_TYPE, body: metrics::render(status) },
        Answers::Index => Answer::text(200, index()),
        // Whoever is let in is answered before: see `super::prestop`.
        Answers::PreStop => Answer::text(404, "not found; GET / lists what there is\n"),
    }
}

/// The answer to a probe when all is well, which needs no status: that has a line for each process, and there may be thousands. `None`: the
/// answer is [`answer`]'s. `holds`: the lifecycle's own verdicts.
pub fn answer_at_once(method: &str, path: &str, query: Option<&str>, holds: &Verdicts) -> Option<Answer> {
    let (Endpoint { answers: Answers::Health(health), .. }, one) = endpoint::find(path)? else { return None };
    let holds = match health {
        Health::Startup => holds.started,
        Health::Ready => holds.ready,
        Health::Live => holds.live,
    };
    let plain = one.is_none() && query.is_none_or(str::is_empty) && ["GET", "HEAD"].contains(&method);
    (plain && holds).then(|| Answer::text(200, "ok"))
}

/// `/startupz`, `/readyz`, `/livez`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdicts {
    pub started: bool,
    pub ready: bool,
    pub live: bool,
}

fn index() -> String {
    let listed = endpoint::ALL.iter().filter(|e| !e.index.is_empty());
    let lines: String = listed.map(|e| format!("{:<11}{}\n", e.path, e.index)).collect();
    format!(
        "softstop: the first process of this container\n{lines}\
         The first three also take ?verbose, ?exclude=NAME and /NAME for one check\n"
    )
}

fn status_json(pretty: bool, status: &Status) -> Answer {
    let json = if pretty { serde_json::to_string_pretty(status) } else { serde_json::to_string(status) };
    match json {
        Ok(mut body) => {
            body.push('\n');
            Answer { code: 200, content_type: JSON, body }
        }
        Err(e) => Answer::text(500, format!("cannot write the status as JSON: {e}\n")),
    }
}

#[derive(Clone, Copy)]
struct Asked {
    name: &'static str,
    health: Health,
}

impl Asked {
    /// The lifecycle's own verdict.
    fn holds(self, status: &Status) -> bool {
        match self.health {
            Health::Startup => status.started,
            Health::Ready => status.ready,
            Health::Live => status.live,
        }
    }

    fn checks(self, status: &Status) -> Vec<Check<'_>> {
        let mut checks = Vec::with_capacity(status.processes.len() + 2);
        if self.health != Health::Live {
            let failed = status
                .init
                .as_ref()
                .map(|t| Cow::Owned(format!("\"{}\" has been running for {} s", t.name, t.running.as_secs())));
            checks.push(Check { name: "init", failed });
        }
        for p in &status.processes {
            checks.push(Check { name: &p.name, failed: failure(self.health, p) });
        }
        if self.health == Health::Ready {
            let by_hand = status.unready.then_some(Cow::Borrowed("taken out of service by softstop unready"));
            checks.extend(by_hand.map(|why| Check { name: "unready", failed: Some(why) }));
            // The API server's name for it. Under `readiness_on_drain = "keep"` the stop alone fails nothing.
            let failed = status.stop.as_ref().filter(|_| !status.ready);
            checks
                .push(Check { name: "shutdown", failed: failed.map(|s| Cow::Owned(format!("stopping: {}", s.cause))) });
        }
        checks
    }
}

struct Check<'a> {
    name: &'a str,
    /// Why it fails; `None` when it passes.
    failed: Option<Cow<'a, str>>,
}

impl Check<'_> {
    fn write(&self, body: &mut String) {
        let name = plain(self.name, ' ');
        match &self.failed {
            None => line(body, format_args!("[+]{name} ok")),
            Some(why) => line(body, format_args!("[-]{name} failed: {}", plain(why, ' '))),
        }
    }
}

/// Why a process fails a kind of check, if it does. A one-shot process that has completed fails none.
fn failure(health: Health, p: &ProcessStatus) -> Option<Cow<'_, str>> {
    let holds = match health {
        Health::Startup => p.started,
        Health::Ready => p.ready,
        Health::Live => p.live,
    };
    if holds || p.reason == Some(Why::Completed) {
        return None;
    }
    if let Some(message) = &p.message {
        return Some(Cow::Owned(message.to_string()));
    }
    Some(match (p.state, p.reason, &p.last_exit) {
        (State::Running, None, _) => Cow::Borrowed(match health {
            Health::Startup => "startup not complete",
            Health::Ready if !p.started => "startup not complete",
            Health::Ready => "not ready",
            Health::Live => "not live",
        }),
        (State::Terminated, reason, Some(exit)) => {
            Cow::Owned(format!("terminated: {}, exit code {}", reason.unwrap_or(exit.reason).name(), exit.exit_code))
        }
        (state, Some(reason), _) => Cow::Owned(format!("{}: {}", state.name().to_lowercase(), reason.name())),
        (state, None, _) => Cow::Owned(state.name().to_lowercase()),
    })
}

fn all_checks(endpoint: Asked, query: Query<'_>, status: &Status) -> Answer {
    let checks = endpoint.checks(status);
    let mut excluded: Vec<Cow<'_, str>> = query.all("exclude").collect();
    excluded.sort_unstable();
    excluded.dedup();
    let mut body = String::new();
    let mut failing = 0;
    for check in &checks {
        if excluded.iter().any(|e| e == check.name) {
            line(&mut body, format_args!("[+]{} excluded: ok", plain(check.name, ' ')));
            continue;
        }
        failing += usize::from(check.failed.is_some());
        check.write(&mut body);
    }
    let any_excluded = checks.iter().any(|c| excluded.iter().any(|e| e == c.name));
    excluded.retain(|e| checks.iter().all(|c| c.name != e));
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|e| format!("{e:?}")).collect();
        line(
            &mut body,
            format_args!("warn: some health checks cannot be excluded: no matches for {}", names.join(",")),
        );
    }
    // The lifecycle's verdict is the one that its invariants are proved for; the checks explain it. Only somebody who
    // leaves a check out gets a verdict of his own.
    let passed = if any_excluded { failing == 0 } else { endpoint.holds(status) };
    if !passed && failing == 0 {
        line(
            &mut body,
            format_args!("[-]softstop failed: {}", if status.stop.is_some() { "stopping" } else { "starting" }),
        );
    }
    verdict(endpoint, passed, query, body)
}

fn one_check(endpoint: Asked, name: &str, query: Query<'_>, status: &Status) -> Answer {
    let mut checks = endpoint.checks(status);
    checks.retain(|c| c.name == name);
    if checks.is_empty() {
        return Answer::text(404, format!("no such check; /{}?verbose lists them\n", endpoint.name));
    }
    let mut body = String::new();
    checks.iter().for_each(|c| c.write(&mut body));
    verdict(endpoint, checks.iter().all(|c| c.failed.is_none()), query, body)
}

fn verdict(endpoint: Asked, passed: bool, query: Query<'_>, mut body: String) -> Answer {
    if passed && !query.has("verbose") {
        return Answer::text(200, "ok");
    }
    line(&mut body, format_args!("{} check {}", endpoint.name, if passed { "passed" } else { "failed" }));
    Answer::text(if passed { 200 } else { 503 }, body)
}

fn line(body: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(body, "{text}").expect("writing to a String cannot fail");
}

/// The part of a request after `?`.
#[derive(Clone, Copy)]
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        self.0.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_plus(key), value)
        })
    }

    /// Named at all, with whatever value: `?verbose=0` is verbose, as it is to the API server.
    fn has(self, name: &str) -> bool {
        self.pairs().any(|(key, _)| key == name)
    }

    fn all(self, name: &'static str) -> impl Iterator<Item = Cow<'a, str>> {
        self.pairs().filter(move |(key, _)| key == name).map(|(_, value)| decode_plus(value))
    }
}

/// As forms encode a query: `+` is a space.
fn decode_plus(text: &str) -> Cow<'_, str> {
    if text.contains('+') { Cow::Owned(decode(&text.replace('+', " ")).into_owned()) } else { decode(text) }
}

/// Percent-decoded; what is no valid escape stays as it is, what is no UTF-8 becomes U+FFFD.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are at most 255"));
                rest = &tail[2..];
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::facts::{Cause, Failure, ProbeKind, Sender, Trouble};
    use crate::signal::Signal;
    use crate::status::{LastExit, Phase, Stage, StopStatus, TaskStatus};

    fn process(name: &str) -> ProcessStatus {
        ProcessStatus {
            name: name.into(),
            state: State::Running,
            reason: None,
            message: None,
            pid: Some(7),
            started: true,
            ready: true,
            stopped: false,
            live: true,
            main: false,
            restarts: 0,
            running: Some(Duration::from_secs(5)),
            restart_in: None,
            last_exit: None,
            last_output: Vec::new(),
        }
    }

    #[test]
    fn what_is_answered_at_once_is_what_would_be_answered() {
        let mut at_once = 0;
        for n in 0..8 {
            let holds = Verdicts { started: n & 1 != 0, ready: n & 2 != 0, live: n & 4 != 0 };
            let status = Status { started: holds.started, ready: holds.ready, live: holds.live, ..healthy() };
            for method in ["GET", "HEAD", "POST"] {
                for path in
                    ["/startupz", "/readyz", "/livez", "/healthz", "/readyz/web", "/readyz/", "/status", "/", "x"]
                {
                    for query in [None, Some(""), Some("verbose"), Some("exclude=web")] {
                        let Some(quick) = answer_at_once(method, path, query, &holds) else { continue };
                        assert_eq!(quick, answer(method, path, query, &status), "{method} {path} {query:?} {holds:?}");
                        at_once += 1;
                    }
                }
            }
        }
        // Four paths, two methods, no query in two ways, and in half of the cases all is well.
        assert_eq!(at_once, 4 * 2 * 2 * 4);
    }

    fn healthy() -> Status {
        Status {
            version: "0.1.0",
            config: None,
            phase: Phase::Running,
            started: true,
            ready: true,
            unready: false,
            live: true,
            uptime: Duration::from_millis(7412),
            grace: Duration::from_secs(30),
            init: None,
            processes: vec![process("web"), process("db")],
            stop: None,
            orphans_reaped: 3,
            seen: Default::default(),
        }
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
        for target in
            ["/readyz/nope", "/readyz/", "/livez/shutdown", "/nope", "/status/web", "", "readyz", "/READYZ", "//"]
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
    fn the_lifecycles_verdict_wins_over_the_checks() {
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
        status.init = Some(TaskStatus {
            name: "wait for the database".into(),
            running: Duration::from_millis(3900),
            progress: None,
        });
        let p = &mut status.processes;
        (p[0].state, p[0].reason, p[0].started) = (State::Waiting, Some(Why::CrashLoopBackOff), false);
        (p[1].state, p[1].reason, p[1].started) = (State::Terminated, Some(Why::Error), false);
        p[1].last_exit = Some(LastExit { exit_code: 137, signal: Some(Signal::KILL), reason: Why::Error });
        let mut migrate = process("migrate");
        (migrate.state, migrate.reason, migrate.started, migrate.pid) =
            (State::Terminated, Some(Why::Completed), false, None);
        p.push(migrate);
        let mut slow = process("slow");
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

        #[test]
        fn percent_decoding_inverts_encoding(name in ".{0,20}") {
            let encoded: String = name.bytes().map(|b| format!("%{b:02x}")).collect();
            prop_assert_eq!(decode(&encoded), name);
        }

        #[test]
        fn any_bytes_decode(text in "[%0-9a-fA-F+é]{0,20}") {
            let _ = decode_plus(&text);
        }
    }
}
