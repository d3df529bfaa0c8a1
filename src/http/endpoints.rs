//! What each path answers: a request and a [`Status`] in, an [`Answer`] out. Pure.
//!
//! The probe endpoints speak as the Kubernetes API server's do (k8s.io/apiserver, pkg/server/healthz/healthz.go): `ok` when
//! all is well, one `[+]` or `[-]` line a check when it is not or when asked with `?verbose`, `?exclude=NAME`, and
//! `/readyz/NAME` for one check. Two differences: a failure is 503, not 500, and its reason is not withheld, because a reason
//! here is a probe's result and never configuration. docs/endpoints.md is the user's page.

use std::borrow::Cow;
use std::fmt::Write;

use super::metrics;
use super::query::{Query, decode};
use crate::endpoint::{self, Answers, Endpoint, Health};
use crate::json;
use crate::sorted;
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
            // As it stands in the result: `readyz check passed`.
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
/// answer is [`answer`]'s. `holds`: the lifecycle's own results.
pub fn answer_at_once(method: &str, path: &str, query: Option<&str>, holds: impl Fn(Health) -> bool) -> Option<Answer> {
    let (Endpoint { answers: Answers::Health(health), .. }, one) = endpoint::find(path)? else { return None };
    let plain = one.is_none() && query.is_none_or(str::is_empty) && ["GET", "HEAD"].contains(&method);
    (plain && holds(*health)).then(|| Answer::text(200, "ok"))
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
    match serde_json::to_string(status) {
        Ok(text) => {
            let mut body = if pretty { json::pretty(&text) } else { text };
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
    /// The lifecycle's own result.
    fn holds(self, status: &Status) -> bool {
        self.health.of(status.started, status.ready, status.live)
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
    if health.of(p.started, p.ready, p.live) || p.reason == Some(Why::Completed) {
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
    sorted::sort(&mut excluded);
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
    // The lifecycle's result is the one that its invariants are proved for; the checks explain it. Only somebody who
    // leaves a check out gets a result of his own.
    let passed = if any_excluded { failing == 0 } else { endpoint.holds(status) };
    if !passed && failing == 0 {
        line(
            &mut body,
            format_args!("[-]softstop failed: {}", if status.stop.is_some() { "stopping" } else { "starting" }),
        );
    }
    result(endpoint, passed, query, body)
}

fn one_check(endpoint: Asked, name: &str, query: Query<'_>, status: &Status) -> Answer {
    let mut checks = endpoint.checks(status);
    checks.retain(|c| c.name == name);
    if checks.is_empty() {
        return Answer::text(404, format!("no such check; /{}?verbose lists them\n", endpoint.name));
    }
    let mut body = String::new();
    checks.iter().for_each(|c| c.write(&mut body));
    result(endpoint, checks.iter().all(|c| c.failed.is_none()), query, body)
}

fn result(endpoint: Asked, passed: bool, query: Query<'_>, mut body: String) -> Answer {
    if passed && !query.has("verbose") {
        return Answer::text(200, "ok");
    }
    line(&mut body, format_args!("{} check {}", endpoint.name, if passed { "passed" } else { "failed" }));
    Answer::text(if passed { 200 } else { 503 }, body)
}

fn line(body: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(body, "{text}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests;
