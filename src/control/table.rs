//! `softstop status` for people: the JSON of a [`crate::status::Status`] as a table. Reads JSON rather than the struct, so that a
//! client and an instance of different versions understand each other. Pure.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::text::plain;
use crate::time::Human;

const HEAD: [&str; 7] = ["NAME", "STATE", "READY", "PID", "RESTARTS", "AGE", "LAST EXIT"];

/// The whole picture: a line on the whole, one on the stop if there is one, a table of the processes and, below it, what keeps
/// one from being ready.
pub fn render(status: &Value) -> String {
    let mut text = headlines(status).join("\n") + "\n\n";
    let processes = list(&status["processes"]);
    let rows: Vec<[String; 7]> = processes.iter().map(row).collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([HEAD[i].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(&HEAD);
    for row in &rows {
        line(&row.each_ref().map(String::as_str));
    }
    for p in processes {
        for note in notes(p) {
            let _ = writeln!(text, "{}: {note}", word(&p["name"]));
        }
    }
    text.push_str(&orphans(status));
    text.push_str(&last_stop(&status["last_stop"]));
    text
}

/// What is to be said of a process below the table, each in one line.
pub fn notes(p: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(p["message"].as_str().map(|message| plain(message, ' ').into_owned()));
    if let Some(status) = p["status"].as_str() {
        let reloading = if p["reloading"] == true { "reloading: " } else { "" };
        notes.push(format!("{reloading}{}", plain(status, ' ')));
    } else if p["reloading"] == true {
        notes.push("reloading".to_owned());
    }
    if p["schedule"].is_object() {
        notes.push(schedule(&p["schedule"]));
    }
    if let Some(line) = p["last_output"].as_array().and_then(|lines| lines.last()?.as_str()) {
        notes.push(format!("its last output: {}", plain(line, ' ')));
    }
    notes
}

/// The whole in a line; one more during init, and one during a stop.
pub fn headlines(status: &Value) -> Vec<String> {
    let orphans = status["orphans_reaped"].as_u64().unwrap_or(0);
    let mut lines = vec![format!(
        "softstop {}: {}, up {}, grace {}, {orphans} orphans reaped",
        word(&status["version"]),
        phase(status),
        age(&status["uptime_seconds"]),
        age(&status["grace_seconds"]),
    )];
    if let Some(name) = status["init"]["name"].as_str() {
        let progress = after_colon(&status["init"]["progress"]);
        lines.push(format!("init: {}{progress} for {}", plain(name, ' '), age(&status["init"]["running_seconds"])));
    }
    if let stop @ Value::Object(_) = &status["stop"] {
        let step = step(stop, &after_colon(&stop["progress"]));
        lines.push(format!(
            "stopping: {}: {}{step}, {} so far, SIGKILL to what is left in {}",
            word(&stop["cause"]),
            word(&stop["stage"]),
            age(&stop["elapsed_seconds"]),
            age(&stop["deadline_in_seconds"]),
        ));
    }
    lines
}

/// `Running, ready`.
pub fn phase(status: &Value) -> String {
    let ready = match (status["ready"].as_bool(), status["unready"].as_bool()) {
        (Some(true), _) => "ready",
        (_, Some(true)) => "not ready (softstop unready)",
        _ => "not ready",
    };
    let phase = if status["stop"].is_object() { "Terminating".to_owned() } else { word(&status["phase"]) };
    format!("{phase}, {ready}")
}

/// When it is next due, and what has come of the times before.
fn schedule(schedule: &Value) -> String {
    let next = match schedule["next_in_seconds"].is_number() {
        true => format!("due in {}", age(&schedule["next_in_seconds"])),
        false => "not due again".to_owned(),
    };
    let zone = schedule["time_zone"].as_str().map_or_else(String::new, |zone| format!(" {}", plain(zone, ' ')));
    let count = |key: &str| schedule[key].as_u64().filter(|n| *n > 0).map(|n| format!(", {n} {key}"));
    let counts: String = ["succeeded", "failed", "skipped"].into_iter().filter_map(count).collect();
    format!("{next} ({}{zone}){counts}", word(&schedule["cron"]))
}

/// Who left children behind, the worst first.
fn orphans(status: &Value) -> String {
    const SHOWN: usize = 5;
    let each = list(&status["orphans_by_command"]).iter().take(SHOWN).map(|l| match l["process"].as_str() {
        Some(process) => format!("{} {} from {}", l["count"], word(&l["command"]), plain(process, ' ')),
        None => format!("{} {}", l["count"], word(&l["command"])),
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { String::new() } else { format!("orphans: {}\n", each.join(", ")) }
}

/// How the run before this one ended, and what was wrong with that; nothing where no report of it was there.
fn last_stop(last: &Value) -> String {
    const SHOWN: usize = 3;
    if !last.is_object() {
        return String::new();
    }
    let ago = age(&last["ended_ago_seconds"]);
    let mut text = match last["exit_code"].as_u64() {
        Some(code) => {
            let (took, grace) = (age(&last["took_seconds"]), age(&last["grace_seconds"]));
            format!("last stop: {ago} ago, {}: {took} of {grace}, exit code {code}\n", word(&last["cause"]))
        }
        None => format!("last stop: {ago} ago, {}: softstop was killed before its end\n", word(&last["cause"])),
    };
    for found in last["findings"].as_array().into_iter().flatten().take(SHOWN) {
        let _ = writeln!(text, "last stop: {}", word(&found["text"]));
    }
    text
}

/// What a value lists.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// ` (notice: 12 connections)`: the step of a stop, with its progress behind it.
pub fn step(stop: &Value, progress: &str) -> String {
    match word(&stop["step"]) {
        step if step.is_empty() => step,
        step => format!(" ({step}{progress})"),
    }
}

/// `: 12 connections`, or nothing.
pub fn after_colon(progress: &Value) -> String {
    progress.as_str().map_or_else(String::new, |text| format!(": {}", plain(text, ' ')))
}

fn row(p: &Value) -> [String; 7] {
    let state = match p["reason"].as_str() {
        Some(reason) => format!("{} ({})", word(&p["state"]), plain(reason, ' ')),
        None => word(&p["state"]),
    };
    let restarts = match p["restart_in_seconds"].as_f64() {
        Some(_) => format!("{} (next in {})", number(&p["restarts"]), age(&p["restart_in_seconds"])),
        None => number(&p["restarts"]),
    };
    [name(p), state, ready(p), number(&p["pid"]), restarts, running(p), last_exit(p)]
}

/// The main one is marked.
pub fn name(p: &Value) -> String {
    if p["main"] == true { format!("{} *", word(&p["name"])) } else { word(&p["name"]) }
}

pub fn ready(p: &Value) -> String {
    if p["ready"] == true { "yes" } else { "no" }.to_owned()
}

pub fn number(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// How long it has been.
pub fn running(p: &Value) -> String {
    if p["running_seconds"].is_number() { age(&p["running_seconds"]) } else { "-".to_owned() }
}

/// `SIGKILL (OOMKilled)`, an exit code, or a dash.
pub fn last_exit(p: &Value) -> String {
    let exit = &p["last_exit"];
    match (exit["signal"].as_str(), exit["exit_code"].as_i64()) {
        (Some(signal), _) if exit["reason"] == "OOMKilled" => format!("{} (OOMKilled)", plain(signal, ' ')),
        (Some(signal), _) => plain(signal, ' ').into_owned(),
        (None, Some(code)) => code.to_string(),
        (None, None) => "-".to_string(),
    }
}

/// What an instance, or a process of it, has said must not reach a terminal as more than text.
pub fn word(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default(), ' ').into_owned()
}

/// A time in seconds, as people read it.
pub fn age(seconds: &Value) -> String {
    let seconds = seconds.as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or_default();
    Human(seconds).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_see_a_table() {
        let status = json!({
            "version": "0.1.0", "phase": "Running", "started": true, "ready": false, "live": true,
            "uptime_seconds": 125.0, "grace_seconds": 30.0, "orphans_reaped": 3,
            "orphans_by_command": [{ "command": "git", "process": "web", "count": 2 }, { "command": "ssh\n", "count": 1 }],
            "processes": [
                { "name": "web", "state": "Running", "pid": 7, "started": true, "ready": true, "live": true, "main": true,
                  "restarts": 0, "running_seconds": 125.0 },
                { "name": "agent", "state": "Waiting", "reason": "CrashLoopBackOff", "message": "no\u{1b}[31m such file",
                  "started": false, "ready": false, "live": true, "main": false, "restarts": 3,
                  "restart_in_seconds": 4.0, "last_exit": { "exit_code": 137, "signal": "SIGKILL", "reason": "OOMKilled" },
                  "last_output": ["one", "two\u{1b}"] },
                { "name": "job", "state": "Terminated", "ready": false, "restarts": 0, "last_exit": { "exit_code": 1, "reason": "Error" } },
                { "name": "old", "state": "Terminated", "ready": false, "restarts": 0,
                  "last_exit": { "exit_code": 143, "signal": "SIGTERM", "reason": "Error" } },
                { "name": "cron", "state": "Waiting", "reason": "Scheduled", "ready": false, "restarts": 0,
                  "schedule": { "cron": "0 3 * * *", "time_zone": "Europe/Berlin", "next_in_seconds": 3725.0,
                                "succeeded": 4, "failed": 1, "skipped": 0 } },
                { "name": "leap", "state": "Waiting", "reason": "Scheduled", "ready": false, "restarts": 0,
                  "schedule": { "cron": "0 0 30 2 *", "succeeded": 0, "failed": 0, "skipped": 0 } },
            ],
        });
        assert_eq!(
            render(&status),
            "softstop 0.1.0: Running, not ready, up 2m05s, grace 30.0s, 3 orphans reaped\n\n\
             NAME   STATE                       READY  PID  RESTARTS          AGE    LAST EXIT\n\
             web *  Running                     yes    7    0                 2m05s  -\n\
             agent  Waiting (CrashLoopBackOff)  no     -    3 (next in 4.0s)  -      SIGKILL (OOMKilled)\n\
             job    Terminated                  no     -    0                 -      1\n\
             old    Terminated                  no     -    0                 -      SIGTERM\n\
             cron   Waiting (Scheduled)         no     -    0                 -      -\n\
             leap   Waiting (Scheduled)         no     -    0                 -      -\n\
             agent: no [31m such file\n\
             agent: its last output: two \n\
             cron: due in 1h02m (0 3 * * * Europe/Berlin), 4 succeeded, 1 failed\n\
             leap: not due again (0 0 30 2 *)\n\
             orphans: 2 git from web, 1 ssh \n"
        );
    }

    #[test]
    fn the_stop_before_stands_below_the_processes() {
        let status = json!({ "last_stop": {
            "ended_at": 1_764_190_000, "ended_ago_seconds": 7200.0, "complete": true, "cause": "SIGTERM\u{7}", "took_seconds": 5.0, "grace_seconds": 30.0,
            "exit_code": 137, "findings": [{ "rule": "deaf", "text": "web needed SIGKILL" }, { "rule": "no-hook", "text": "no hook" }],
        } });
        let text = render(&status);
        assert!(
            text.ends_with("last stop: 2h00m ago, SIGTERM : 5.0s of 30.0s, exit code 137\nlast stop: web needed SIGKILL\nlast stop: no hook\n"),
            "{text}"
        );
        let status = json!({ "last_stop": { "ended_ago_seconds": 60.0, "complete": false, "cause": "SIGTERM" } });
        assert!(render(&status).ends_with("last stop: 1m00s ago, SIGTERM: softstop was killed before its end\n"));
    }

    #[test]
    fn the_stop_has_a_line_of_its_own_and_anything_is_shown_somehow() {
        let status = json!({
            "unready": true, "ready": false,
            "stop": { "cause": "SIGTERM from outside the container", "stage": "drain", "step": "notice", "progress": "2\u{7} left",
                      "elapsed_seconds": 1.0, "deadline_in_seconds": 28.0 },
        });
        let text = render(&status);
        assert!(text.contains("Terminating, not ready (softstop unready)"), "{text}");
        let line = "stopping: SIGTERM from outside the container: drain (notice: 2  left), 1.0s so far, SIGKILL to what is left in 28.0s\n";
        assert!(text.contains(line), "{text}");
        render(&json!(null));
        render(&json!({ "processes": [7, null, { "name": 3 }], "init": { "name": "x" } }));
    }
}
