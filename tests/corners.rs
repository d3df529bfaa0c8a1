//! Corners that a reviewer found: each failed once.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Dir, Launch};

fn run(dir: &Dir, config: &str) -> Launch {
    Launch::new(["run", "-c", &dir.write("softstop.toml", config)]).not_pid1()
}

/// `on_exit = "continue"` says that others may go on, not that nothing went wrong when there are none.
#[test]
fn a_program_that_was_never_there_is_no_success() {
    let dir = Dir::new();
    let absent = "[[process]]\nname = \"a\"\ncommand = [\"/nonexistent\"]\non_exit = \"continue\"\n";
    run(&dir, absent).run().expect_code(127);
    let needs_it =
        "[[process]]\nname = \"b\"\ncommand = [\"true\"]\nafter = { a = \"ready\" }\non_exit = \"continue\"\n";
    run(&dir, &format!("{absent}{needs_it}")).run().expect_code(127);
    let main = needs_it.replace("command", "main = true\ncommand");
    run(&dir, &format!("{absent}{main}")).run().expect_code(1);
}

/// Suspended (a frozen container, SIGSTOP) until its time is up: what it started must not be left to others.
#[test]
fn a_late_softstop_leaves_nothing_behind() {
    let words = ["session", "ignore:TERM", "ready", "wait", "end", "ignore:TERM", "say:up", "wait"];
    let mut running = Launch::child(&["--grace", "1s"], &words).not_pid1().start();
    running.wait_for("up");
    let mark = running.mark();
    running.signal(libc::SIGSTOP).term();
    std::thread::sleep(Duration::from_millis(10));
    running.signal(libc::SIGCONT).wait_for("stopping").signal(libc::SIGSTOP);
    // Not a wait for a condition: the time itself is the condition.
    std::thread::sleep(Duration::from_millis(1100));
    running.signal(libc::SIGCONT);
    running.wait(support::SOON).expect_code(137);
    let limit = std::time::Instant::now() + support::SOON;
    while !support::processes::with_environment(&mark).is_empty() {
        assert!(std::time::Instant::now() < limit, "left behind");
    }
}

/// Children that die as fast as they can be forked keep the reaper busy; the deadline comes all the same.
#[test]
fn a_storm_of_dying_children_delays_no_deadline() {
    if !support::namespaces() {
        return;
    }
    let flood = "trap '' TERM; for i in 1 2 3 4; do (while :; do (true & true &); done) & done; echo up; \
                 while :; do (true &); done";
    let mut running = Launch::new(["--grace", "4s", "--", "sh", "-c", flood]).start();
    running.wait_for("up");
    let (ended, _) = running.stop_within(Duration::from_secs(4));
    ended.expect_code(137).expect("SIGKILL");
}
