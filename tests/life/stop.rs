//! The wrapper's stop as a real PID 1: the budget, the escalation to SIGKILL, and what the main process leaves behind.

use std::time::Duration;

use crate::support::{CHILD, Dir, Launch, PROMPT, Proc, Running, SOON, namespaces, process, processes};

const GRACE: Duration = Duration::from_secs(3);
/// Nobody needs all of it.
const AMPLE: Duration = Duration::from_secs(30);
const AMPLE_FLAGS: &[&str] = &["--grace", "30s"];

fn up(flags: &[&str], words: &[&str]) -> Running {
    Launch::child(flags, words).up()
}

/// The issue's own command line.
#[test]
fn a_child_that_ignores_sigterm_is_killed_inside_the_grace_and_named() {
    needs!(namespaces());
    let running = Launch::new(["--grace", "3s", "--", "sh", "-c", "trap '' TERM; echo up; sleep 1000"]).up();
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(137).expect("SIGKILL").expect("SIGTERM");
    assert!(
        ended.all().lines().any(|l| l.contains("SIGKILL") && l.contains("sh")),
        "no line says who was killed:\n{}",
        ended.all()
    );
}

#[test]
fn the_ladder_goes_from_rung_to_rung() {
    needs!(namespaces());
    // Of signals that wait for a process the lower comes first: who gets no processor for longer than a rung sees this order, too.
    let flags = ["--grace", "6s", "--stop-signal", "SIGINT:300ms,SIGQUIT:300ms,SIGTERM"];
    let (ended, took) =
        up(&flags, &["on:QUIT", "on:INT", "exit-on:TERM:0", "say:up", "wait"]).stop_within(Duration::from_secs(6));
    ended.expect_code(0);
    let order: Vec<&str> = ended.stdout.lines().filter(|l| l.ends_with("received")).collect();
    assert_eq!(order, ["INT received", "QUIT received", "TERM received"], "{}", ended.all());
    assert!(took >= Duration::from_millis(600), "the rungs' waits were cut: {took:?}");
}

/// Corner X12: who is done early leaves early.
#[test]
fn a_prompt_child_ends_softstop_at_once() {
    needs!(namespaces());
    let (ended, took) = up(&["--grace", "60s"], PROMPT).stop_within(Duration::from_secs(60));
    ended.expect_code(0);
    assert!(took < Duration::from_secs(30), "{took:?} for a child that ends at once");
}

#[test]
fn a_duplicate_stop_request_changes_nothing() {
    needs!(namespaces());
    let mut running = up(&["--grace", "60s"], &["on:TERM", "say:up", "until:USR1", "say:TERM handled", "exit:0"]);
    running.wait_for("waiting for USR1").term().wait_for("TERM received");
    for _ in 0..3 {
        running.term();
    }
    running.signal(libc::SIGUSR1);
    let ended = running.wait(SOON);
    ended.expect_code(0).expect("TERM handled");
    assert_eq!(ended.stdout.matches("TERM received").count(), 1, "{}", ended.all());
}

/// No peer does this: the kernel kills what is left with PID 1.
#[test]
fn stragglers_in_the_same_group_and_in_another_session_may_finish_when_main_ends_by_itself() {
    needs!(namespaces());
    for place in ["fork", "session"] {
        let words = [place, "exit-on:TERM:0:700", "wait", "end", "say:up", "exit:6"];
        Launch::child(AMPLE_FLAGS, &words).run().expect_code(6).expect("TERM received").expect("TERM handled");
    }
}

#[test]
fn stragglers_may_finish_after_a_requested_stop_too() {
    needs!(namespaces());
    // In the group, and a daemon.
    let lingers = ["exit-on:TERM:0:600", "wait", "end"];
    let words = [&["fork"], &lingers[..], &["session"], &lingers, PROMPT].concat();
    let (ended, _) = up(AMPLE_FLAGS, &words).stop_within(AMPLE);
    ended.expect_code(0);
    assert_eq!(ended.stdout.matches("TERM handled").count(), 3, "somebody was not let finish:\n{}", ended.all());
}

#[test]
fn ten_thousand_orphans_leave_no_zombie_and_flat_memory() {
    needs!(namespaces());
    let words = ["orphans:1000", "say:up", "until:USR1", "orphans:9000", "say:all made", "exit-on:TERM:0", "wait"];
    let mut running = up(AMPLE_FLAGS, &words);
    let no_zombie = |r: &Running| !r.processes().iter().any(Proc::is_zombie);
    running.wait_for("waiting for USR1").wait_until("no zombie after the first 1000", no_zombie);
    let before = processes::anonymous_kb(running.pid());
    running.signal(libc::SIGUSR1).wait_for_count_within("all made", 1, SOON * 5);
    running.wait_until("no zombie after 10,000", no_zombie);
    let after = processes::anonymous_kb(running.pid());
    assert!(after <= before + 128, "memory grew from {before} kB to {after} kB over 9000 orphans");
    running.stop_within(AMPLE).0.expect_code(0);
}

#[test]
fn the_termination_log_has_a_first_version_when_the_stop_begins() {
    needs!(namespaces());
    let dir = Dir::new();
    let log = dir.write("termination-log", &"an earlier container's words\n".repeat(500));
    let mut running = Launch::child(&["--grace", "30s"], &["on:TERM", "until:USR1", "exit:3"])
        .env("SOFTSTOP_TERMINATION_LOG", &log)
        .start();
    running.wait_for("waiting for USR1").term().wait_for("TERM received");
    running.wait_until("the first version is there", |_| {
        let text = dir.read("termination-log");
        !text.is_empty() && !text.contains("earlier container")
    });
    let first = dir.read("termination-log");
    assert!(first.contains("SIGTERM"), "{first}");
    running.signal(libc::SIGUSR1);
    running.wait(Duration::from_secs(30)).expect_code(3);
    let last = dir.read("termination-log");
    assert!(last.len() <= 4096 && last != first && last.contains('3'), "{last}");
}

#[test]
fn a_termination_log_that_is_not_there_is_not_made() {
    needs!(namespaces());
    let dir = Dir::new();
    let log = dir.text("termination-log");
    Launch::child(&[], &["exit:0"]).env("SOFTSTOP_TERMINATION_LOG", &log).run().expect_code(0);
    assert!(!dir.path("termination-log").exists());
}

/// A busy machine, or a debugger, keeps softstop from looking: who ended meanwhile ended in time, though its time is over too by then.
#[test]
fn who_ended_in_time_is_not_killed_however_late_softstop_looks() {
    needs!(namespaces());
    let dir = Dir::new();
    let ended = dir.text("ended");
    let config = format!(
        "grace = \"30s\"\n[exit_codes]\nforced = 79\n\
         {}stop = [{{ signal = \"TERM\", wait = \"2s\" }}]\n\
         [[drain]]\nname = \"hook\"\nexec = [\"perl\", {CHILD:?}, \"say:begun\", \"sleep:300\", \"journal:{ended}:hook\"]\ntimeout = \"2s\"\n",
        process("web", &["exit-on:TERM:0:1500", "say:up", "wait"])
    );
    let mut running = dir.launch(&config).up();
    running.term().wait_for("begun");
    // Stopped until the hook is long over, by the clock and by itself; then the same with the process.
    held_back_until(&mut running, |_| dir.path("ended").exists());
    running.wait_for("TERM received");
    held_back_until(&mut running, |running| running.printed().contains("TERM handled"));
    let ended = running.wait(SOON);
    ended.expect("drain: hook: done").expect_not("SIGKILL;").expect_not("needed SIGKILL").expect_code(0);
}

/// SIGSTOP to softstop until the condition holds and more time has passed than anybody has here.
fn held_back_until(running: &mut Running, condition: impl FnMut(&Running) -> bool) {
    running.signal(libc::SIGSTOP);
    let began = std::time::Instant::now();
    running.wait_until("what happens meanwhile", condition);
    running.wait_until("its time is over", |_| began.elapsed() > Duration::from_millis(2500));
    running.signal(libc::SIGCONT);
}
