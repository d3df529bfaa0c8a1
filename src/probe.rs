//! `softstop probe`: one check and its exit code, for Docker's `HEALTHCHECK` and exec probes in images without curl. An ordinary
//! program that ends with its answer or with its timeout, whichever comes first: it supervises nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::Target;
use crate::config::listen::Listen;
use crate::config::{Handler, HttpCall, host_and_port};
use crate::control::client::{self, Meant};
use crate::control::table::list;
use crate::endpoint::Health;
use crate::exit;
use crate::http::client as http;
use crate::json;
use crate::lifecycle::event::Outcome;
use crate::resolver;
use crate::text::one_line;
use crate::time::Human;

/// Processes named in a result: it is one line, and Docker keeps 4096 bytes of it.
const MAX_NAMED: usize = 4;

/// Which running softstop is meant when the target is one of its own endpoints.
pub struct Own {
    pub meant: Meant,
    /// Where it serves its endpoints, as far as that can be known here: asked when the control socket does not answer.
    pub http: Option<Listen>,
}

/// Check `target` once and say what came of it in one line; 0 or 1. `own` is called for softstop's own endpoints alone: it reads
/// the configuration, which costs an ordinary target nothing.
#[must_use]
pub fn run(target: &Target, timeout: Duration, own: impl FnOnce() -> Own) -> u8 {
    let limit = Instant::now() + timeout;
    let result = match target {
        Target::Call(handler) => ask(handler, limit, timeout),
        Target::Own(health) => ask_own(*health, &own(), limit, timeout),
    };
    match result {
        Ok(()) => {
            let _ = writeln!(std::io::stdout(), "ok");
            exit::OK
        }
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "softstop: error: {}", one_line(&why));
            exit::FAILED
        }
    }
}

fn ask_own(health: Health, own: &Own, limit: Instant, timeout: Duration) -> Result<(), String> {
    let status = client::status(&own.meant, limit.saturating_duration_since(Instant::now()));
    match (status, own.http) {
        (Ok(status), _) => judge(&json::parse(status.as_bytes()).unwrap_or_default(), health),
        // Off, or another user's: the probe port answers everybody.
        (Err(_), Some(listen)) => {
            ask(&Handler::Http(HttpCall::get(listen.host_here(), listen.port(), health.path())), limit, timeout)
        }
        (Err(why), None) => Err(why),
    }
}

fn ask(handler: &Handler, limit: Instant, timeout: Duration) -> Result<(), String> {
    let (host, port) = match handler {
        Handler::Http(call) => (&call.host, call.port),
        Handler::Grpc(call) => (&call.host, call.port),
        Handler::Tcp { host, port } => (host, *port),
        other => return Err(format!("{other:?} is no target of a probe")),
    };
    let said = |why: String| match handler {
        Handler::Http(call) => format!("{}: {why}", call.url()),
        Handler::Grpc(call) => format!("grpc://{}/{}: {why}", host_and_port(host, port), call.service),
        _ => format!("tcp://{}: {why}", host_and_port(host, port)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|e| said(format!("cannot set up the event loop: {e}")))?;
    let attempt = async {
        let addrs = resolver::addresses(host, port).await?;
        Ok(match handler {
            Handler::Http(call) => http::call(call, &addrs).await,
            Handler::Grpc(call) => http::grpc(call, &addrs).await,
            _ => http::tcp(&addrs).await,
        })
    };
    match runtime.block_on(async { tokio::time::timeout_at(limit.into(), attempt).await }) {
        Ok(Ok(Outcome::Ok)) => Ok(()),
        Ok(Ok(Outcome::Failed(failure) | Outcome::Unknown { reason: failure })) => Err(said(failure.to_string())),
        Ok(Err(why)) => Err(said(why)),
        Err(_) => Err(said(format!("no answer within {}", Human(timeout)))),
    }
}

/// The result of one endpoint out of a [`crate::status::Status`] as JSON: what `/readyz`, `/livez` and `/startupz` answer, and why
/// not in one line.
fn judge(status: &Value, health: Health) -> Result<(), String> {
    let (field, not) = health.of(("started", "not started"), ("ready", "not ready"), ("live", "not live"));
    if status[field] == true {
        return Ok(());
    }
    let mut why: Vec<String> = Vec::new();
    if let Some(cause) = status["stop"]["cause"].as_str() {
        why.push(format!("stopping ({cause})"));
    }
    if health == Health::Ready && status["unready"] == true {
        why.push("softstop unready".to_string());
    }
    if let Some(name) = status["init"]["name"].as_str() {
        why.push(format!("init: {name} is running"));
    }
    let processes = list(&status["processes"]).iter();
    let failing: Vec<&Value> = processes.filter(|p| p[field] != true && p["reason"] != "Completed").collect();
    for p in failing.iter().take(MAX_NAMED) {
        let text = |key: &str| p[key].as_str();
        let because = text("message").or_else(|| text("reason"));
        let because = because.unwrap_or(if p["state"] == "Running" { not } else { "not running" });
        why.push(format!("{}: {because}", text("name").unwrap_or_default()));
    }
    if failing.len() > MAX_NAMED {
        why.push(format!("{} more", failing.len() - MAX_NAMED));
    }
    Err(if why.is_empty() { not.to_string() } else { format!("{not}: {}", why.join("; ")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_endpoint_has_its_own_field() {
        let status = json!({ "ready": false, "live": true, "started": true, "processes": [
            { "name": "web", "state": "Running", "ready": true, "live": true, "started": true },
            { "name": "db", "state": "Running", "ready": false, "message": "readiness probe: connection refused" },
            { "name": "migrate", "state": "Terminated", "reason": "Completed", "ready": false },
        ] });
        assert_eq!(judge(&status, Health::Live), Ok(()));
        assert_eq!(judge(&status, Health::Startup), Ok(()));
        let why = "not ready: db: readiness probe: connection refused";
        assert_eq!(judge(&status, Health::Ready), Err(why.to_string()));
    }

    #[test]
    fn the_reason_is_one_line_whatever_the_status() {
        let stopping = json!({ "ready": false, "unready": true, "stop": { "cause": "SIGTERM from pid 7" } });
        let why = "not ready: stopping (SIGTERM from pid 7); softstop unready";
        assert_eq!(judge(&stopping, Health::Ready), Err(why.to_string()));
        let starting = json!({ "started": false, "init": { "name": "migrate" } });
        assert_eq!(judge(&starting, Health::Startup), Err("not started: init: migrate is running".to_string()));
        let many: Vec<Value> = (0..9).map(|i| json!({ "name": format!("p{i}"), "state": "Waiting" })).collect();
        let why = judge(&json!({ "processes": many }), Health::Live).unwrap_err();
        assert!(why.starts_with("not live: p0: not running; ") && why.ends_with("; 5 more"), "{why}");
        for nonsense in [json!(null), json!(7), json!({ "ready": "yes", "processes": [7, null] })] {
            assert!(judge(&nonsense, Health::Ready).is_err(), "{nonsense}");
        }
    }
}
