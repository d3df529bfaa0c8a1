//! x
#![allow(clippy::unwrap_used)]
mod support;
use std::time::Duration;
use support::Launch;
use support::faults::{self, Fault};
use support::proof::Proof;

#[test]
fn harmless_faults_change_nothing() {
    if !faults::possible() {
        return;
    }
    for faults in Fault::harmless_as_pid1(faults::user()) {
        let words =
            ["session", "exit-on:TERM:0:100", "ready", "wait", "end", "orphans:5", "exit-on:TERM:7", "say:up", "wait"];
        let mut running = faults::launch(&faults, Launch::child(&["--grace", "3s"], &words)).start();
        running.wait_for("up");
        let ended = Proof::begin(&mut running).stop(running, Duration::from_secs(3));
        eprintln!("{faults:?}\n{}", ended.all());
        ended.expect_code(7).expect_not("warning").expect("1 left-over process");
    }
}
