//! What softstop says about a stop, its log and its report (`--report`), held against what was seen from outside.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Dir, Ended, Running, SOON, processes};

/// The report's name in the test's directory.
pub const REPORT: &str = "report.json";

/// SIGTERM, then the end inside the grace (I1), with an account that says the same and nothing left of it (I5).
#[track_caller]
pub fn stopped(running: Running, dir: &Dir, grace: Duration) -> (Ended, Value) {
    let mark = running.mark();
    let (ended, _) = running.stop_within(grace);
    let report = report(dir, &ended.all());
    agrees(&report, &ended, grace);
    nothing_left(&mark);
    (ended, report)
}

/// SIGTERM; returns when softstop's account, log and report, is complete, which must be inside the grace. `false`: the machine kept a
/// processor from it for so long that it need not be.
#[track_caller]
pub fn is_out(running: &mut Running, dir: &Dir, grace: Duration) -> bool {
    let (asked, before) = (Instant::now(), running.delayed());
    running.term().wait_for("stopped in");
    running.wait_until("the report is written", |r| dir.read(REPORT).ends_with("}\n") || r.was_starved());
    let took = asked.elapsed();
    assert!(took <= grace + running.delayed_since(before), "the account took {took:?}:\n{}", running.printed());
    !running.was_starved()
}

/// The report says what was seen.
#[track_caller]
pub fn agrees(report: &Value, ended: &Ended, grace: Duration) {
    agrees_but_for_the_last_line(report, ended, grace);
    let last = log(&ended.all()).last().map(|l| (*l).to_owned()).unwrap_or_default();
    assert!(last.contains("stopped in"), "the summary is not the last line of the log:\n{}", ended.all());
}

/// As [`agrees`], where a line follows the summary: that a file could not be written.
#[track_caller]
pub fn agrees_but_for_the_last_line(report: &Value, ended: &Ended, grace: Duration) {
    assert_eq!(report["exit_code"], ended.code, "{report:#}\n{}", ended.all());
    let took = report["took_seconds"].as_f64().unwrap();
    let in_time = report["within_grace"] == true && took <= grace.as_secs_f64();
    assert!(in_time || ended.was_starved(), "{report:#}\n{}", ended.all());
}

#[track_caller]
pub fn report(dir: &Dir, printed: &str) -> Value {
    let text = dir.read(REPORT);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("report: {e}: {text:?}\n{printed}"))
}

/// Who needed SIGKILL, by the report.
pub fn forced(report: &Value) -> Vec<&str> {
    report["forced"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// softstop's own lines among what was printed.
pub fn log(printed: &str) -> Vec<&str> {
    printed.lines().filter(|l| l.starts_with("softstop: ")).collect()
}

/// The one line of the log with all of these words in it.
#[track_caller]
pub fn line<'a>(printed: &'a str, words: &[&str]) -> &'a str {
    let found: Vec<&str> = log(printed).into_iter().filter(|l| words.iter().all(|w| l.contains(w))).collect();
    assert_eq!(found.len(), 1, "not one line with {words:?}: {found:?} in\n{printed}");
    found[0]
}

/// Waits until no process has `mark` (`Running::mark`) in its environment: what has its SIGKILL may need a moment.
#[track_caller]
pub fn nothing_left(mark: &str) {
    let limit = Instant::now() + SOON;
    loop {
        let left = processes::with_environment(mark);
        if left.is_empty() {
            return;
        }
        let names: Vec<String> = left.iter().map(ToString::to_string).collect();
        assert!(Instant::now() < limit, "I5: left behind: {}", names.join(", "));
        std::thread::sleep(Duration::from_millis(5));
    }
}
