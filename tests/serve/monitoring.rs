//! What Prometheus is told: by promtool where there is one, and what of the last stop is still known after a restart.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::client::from_here;
use crate::support::http::{free_port, get, status_json};
use crate::support::{Dir, Launch, Running, SOON, at_once, skip};

const MONITORING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/monitoring");

/// `None`: it is not here, which has been noted.
fn promtool(args: &[&str], stdin: &str) -> Option<()> {
    let mut tool = Command::new("promtool");
    let tool = tool.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = match tool.spawn() {
        Ok(tool) => tool,
        Err(error) => {
            skip(&format!("promtool (Debian: prometheus): {error}"));
            return None;
        }
    };
    tool.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "promtool {args:?}: {said}\n{stdin}");
    // It has remarks for which it does not fail.
    assert!(args != ["check", "metrics"] || said.trim().is_empty(), "{said}\n{stdin}");
    Some(())
}

#[test]
fn promtool_takes_the_rules_their_tests_and_every_expression_of_the_dashboard() {
    let dir = Dir::new();
    let dashboard = std::fs::read(format!("{MONITORING}/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_slice(&dashboard).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    let rules = targets.flatten().enumerate().map(|(n, target)| {
        // As a rule of its own: what is no expression is none for Grafana either.
        json!({ "record": format!("panel:{n}"), "expr": target["expr"].as_str().unwrap() })
    });
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules.collect::<Vec<_>>() }] });
    let rules = dir.write("dashboard.yml", &rules.to_string());
    for args in [
        ["check", "rules", &format!("{MONITORING}/alerts.yml")],
        ["test", "rules", &format!("{MONITORING}/alerts_test.yml")],
        ["check", "rules", &rules],
    ] {
        if promtool(&args, "").is_none() {
            return;
        }
    }
}

fn run(config: &str) -> Running {
    Launch::new(["run", "-c", config]).not_pid1().start()
}

fn metrics(port: u16) -> String {
    get(port, "/metrics").map(|answer| answer.body).unwrap_or_default()
}

#[test]
fn the_last_stop_is_known_after_the_restart_and_promtool_finds_nothing_wrong() {
    let (dir, port) = (Dir::without_spaces(), free_port());
    let common = format!(
        "report = {:?}\nhttp.listen = '127.0.0.1:{port}'\ncontrol.socket = {:?}\n\
         [[process]]\nname = 'web'\nstop = [{{ signal = 'SIGTERM', wait = '100ms' }}]\nreadiness.exec = ['true']\n",
        dir.text("report.json"),
        dir.text("control"),
    );
    // Deaf, and a drain that has no time: a stop in which much goes wrong.
    let first = format!(
        "grace = '10s'\n{common}command = ['sh', '-c', 'trap \"\" TERM; echo deaf; while :; do sleep 1; done']\n\
         [[drain]]\nname = 'long'\nsleep = '60s'\n[[drain]]\nname = 'short'\nsleep = '1ms'\nreserve = '6s'\n"
    );
    let mut running = run(&dir.write("first.toml", &first));
    running
        .wait_for("deaf")
        .wait_until("it answers", |_| get(port, "/readyz").is_some_and(|ready| ready.status == 200));
    assert!(!metrics(port).contains("softstop_last_stop"), "there was no stop before");
    running.stop().expect_not("the run before");

    let gate = dir.text("gate");
    let second = format!(
        "grace = '60s'\n{common}command = ['sleep', '1000']\n[[drain]]\nname = 'wait'\nwait_file = {{ path = {gate:?} }}\ntimeout = '30s'\n"
    );
    let config = dir.write("second.toml", &second);
    let mut running = run(&config);
    running.wait_until("the report has been read", |_| metrics(port).contains("softstop_last_stop_complete 1\n"));
    let answered = metrics(port);
    for sample in [
        "softstop_last_stop_reason{reason=\"signal\"} 1\n",
        "softstop_last_stop_grace_seconds 10\n",
        "softstop_last_stop_exit_code 137\n",
        "softstop_last_stop_sigkilled_processes 1\n",
        "softstop_last_stop_drain_steps_cut 1\n",
        "softstop_last_stop_finding{rule=\"drain-cut\"} 1\n",
        "softstop_process_sigkills_total{process=\"web\"} 0\n",
        "softstop_process_probe_failures_total{process=\"web\",probe=\"readiness\"} ",
    ] {
        assert!(answered.contains(sample), "{sample}\n{answered}");
    }
    let status = status_json(port);
    let last = &status["last_stop"];
    assert!(
        last["ended_at"].as_u64().unwrap() > 1_600_000_000 && last["took_seconds"].as_f64().unwrap() > 0.0,
        "{last}"
    );
    // A sentence may quote a process.
    assert!(last["findings"].as_array().unwrap().iter().all(|found| found["text"].is_null()), "{last}");
    from_here(&["status", "-c", &config])
        .expect_all(0, &["last stop: ", " of 10.0s, exit code 137\n", "last stop: web needed SIGKILL "]);
    let promtool_is_here = promtool(&["check", "metrics"], &answered).is_some();
    running.term();
    running.wait_until("the stop is shown", |_| metrics(port).contains("softstop_stop_elapsed_seconds "));
    if promtool_is_here {
        promtool(&["check", "metrics"], &metrics(port));
    }
    dir.write("gate", "");
    running.wait(SOON).expect_code(143);
}

/// Whoever can write to the volume of the report can put there what he likes.
#[test]
fn whatever_lies_where_the_report_was_the_start_does_not_wait_and_says_what_is_of_no_use() {
    let bomb = || {
        let records = r#"{"at_seconds":0,"event":"x"},"#.repeat(140_000);
        format!(r#"{{"format":1,"timeline":[{records}{{"at_seconds":0,"event":"x"}}]}}"#)
    };
    let cases = ["fifo", "folder", "empty", "nonsense", "endless", "bomb"];
    at_once(cases, |case| {
        let (dir, port) = (Dir::new(), free_port());
        let report = dir.path("report.json");
        let says = match case {
            "fifo" => {
                nix::unistd::mkfifo(&report, nix::sys::stat::Mode::S_IRWXU).unwrap();
                ""
            }
            "folder" => {
                std::fs::create_dir(&report).unwrap();
                ""
            }
            "endless" => {
                std::fs::File::create(&report).unwrap().set_len(1 << 40).unwrap();
                "cannot be used: it has more than 4194304 bytes"
            }
            "bomb" => {
                std::fs::write(&report, bomb()).unwrap();
                // By the limit of its memory, or of its time.
                "was not read"
            }
            "nonsense" => {
                std::fs::write(&report, "{\"format\": 1, \u{1b}[31m\n").unwrap();
                "cannot be used: it is cut off"
            }
            _ => {
                std::fs::write(&report, "").unwrap();
                ""
            }
        };
        let config = format!(
            "grace = '20s'\nreport = {report:?}\nhttp.listen = '127.0.0.1:{port}'\n[[process]]\nname = 'web'\ncommand = ['sleep', '1000']\n"
        );
        let mut running = run(&dir.write("softstop.toml", &config));
        running.wait_until("it is ready", |_| get(port, "/readyz").is_some_and(|ready| ready.status == 200));
        if !says.is_empty() {
            running.wait_for(says);
        }
        assert!(!metrics(port).contains("softstop_last_stop"), "{case}");
        let ended = running.stop();
        if says.is_empty() {
            ended.expect_not("cannot be used");
        }
        ended.expect_not("\u{1b}");
    });
}
