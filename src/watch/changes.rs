//! For who has no terminal to draw on: what has changed from one status to the next, a line for each. Pure.

use serde_json::Value;

use crate::control::table::{last_exit, list, notes, phase, step, word};

/// What is compared: who it is about, and how it is, without what changes all the time.
pub fn facts(status: &Value) -> Vec<(String, String)> {
    let mut facts = vec![("softstop".to_owned(), phase(status))];
    if let Some(name) = status["init"]["name"].as_str() {
        facts.push(("init".to_owned(), word(&name.into())));
    }
    if let stop @ Value::Object(_) = &status["stop"] {
        let step = step(stop, "");
        facts.push(("stopping".to_owned(), format!("{}: {}{step}", word(&stop["cause"]), word(&stop["stage"]))));
    }
    for p in list(&status["processes"]) {
        let mut how = vec![word(&p["state"])];
        if p["reason"].is_string() {
            how.push(word(&p["reason"]));
        }
        if p["state"] == "Running" {
            how.push(if p["ready"] == true { "ready" } else { "not ready" }.to_owned());
        }
        how.extend(p["pid"].as_i64().map(|pid| format!("pid {pid}")));
        how.extend(p["restarts"].as_u64().filter(|n| *n > 0).map(|n| format!("{n} restarts")));
        if p["last_exit"].is_object() {
            how.push(format!("last exit {}", last_exit(p)));
        }
        let why = if p["message"].is_string() { notes(p).into_iter().next() } else { None };
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        facts.push((word(&p["name"]), how.join(", ") + &why));
    }
    facts
}

/// Of two statuses: `+125.3s web: Running, ready, pid 7`. The time is softstop's own, since it started.
pub fn changes(before: &Value, now: &Value) -> Vec<String> {
    let (old, new) = (facts(before), facts(now));
    let at = now["uptime_seconds"].as_f64().unwrap_or_default();
    let line = |who: &str, how: &str| format!("{at:+.1}s {who}: {how}");
    let changed = new.iter().filter(|fact| !old.contains(fact)).map(|(who, how)| line(who, how));
    let gone = old.iter().filter(|(who, _)| !new.iter().any(|(other, _)| other == who));
    // That init is over shows in the rest.
    let gone = gone.filter(|(who, _)| who != "init").map(|(who, _)| line(who, "is no longer there"));
    changed.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_said_of_what_has_changed_and_of_nothing_else() {
        let mut status = json!({
            "phase": "Running", "ready": true, "uptime_seconds": 10.0,
            "processes": [
                { "name": "web", "state": "Running", "ready": true, "pid": 7, "restarts": 0, "running_seconds": 9.0 },
                { "name": "job", "state": "Waiting", "reason": "Scheduled", "schedule": { "next_in_seconds": 50.0 } },
            ],
        });
        let before = status.clone();
        status["uptime_seconds"] = json!(11.0);
        status["processes"][0]["running_seconds"] = json!(10.0);
        status["processes"][1]["schedule"]["next_in_seconds"] = json!(49.0);
        assert_eq!(changes(&before, &status), [""; 0]);
        status["ready"] = json!(false);
        status["processes"][0] = json!({
            "name": "web", "state": "Waiting", "reason": "CrashLoopBackOff", "restarts": 1, "message": "no\nsuch file",
            "last_exit": { "exit_code": 139, "signal": "SIGSEGV", "reason": "Error" },
        });
        assert_eq!(
            changes(&before, &status),
            [
                "+11.0s softstop: Running, not ready",
                "+11.0s web: Waiting, CrashLoopBackOff, 1 restarts, last exit SIGSEGV: no such file",
            ]
        );
        let mut later = status.clone();
        later["processes"].as_array_mut().unwrap().pop();
        later["stop"] = json!({ "cause": "SIGTERM", "stage": "drain", "step": "notice", "elapsed_seconds": 1.0 });
        assert_eq!(
            changes(&status, &later),
            [
                "+11.0s softstop: Terminating, not ready",
                "+11.0s stopping: SIGTERM: drain (notice)",
                "+11.0s job: is no longer there",
            ]
        );
        changes(&json!(null), &json!([7]));
    }
}
