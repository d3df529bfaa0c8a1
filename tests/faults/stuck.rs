//! Children that do not react: stopped, in uninterruptible sleep, frozen, held by a debugger. softstop's account is out before the
//! grace ends, names them, and whoever can be stopped in order is.
//!
//! As PID 1 softstop's own exit then takes until the kernel can end the namespace, which no init can do anything about
//! (docs/stop/stuck.md): such tests let go of the child once the account is out.

use std::time::{Duration, Instant};

use crate::support::account::{REPORT, forced, line, stopped};
use crate::support::cgroup::{Cgroup, Kind};
use crate::support::fuse::with_hanging_file_system;
use crate::support::tracer::Tracer;
use crate::support::{
    CHILD, Dir, Ended, Launch, PROMPT, ROOM, Running, SOON, account, at_once, namespaces, process, processes,
};

const GRACE: Duration = Duration::from_secs(4);

fn up(dir: &Dir, pid1: bool, words: &[&str]) -> Running {
    let report = dir.text(REPORT);
    Launch::child(&["--grace", "4s", "--report", &report], words).pid1(pid1).up()
}

/// The wrapper's program, as the test sees it.
fn main_of(running: &Running) -> i32 {
    let pids = processes::children(running.pid());
    *pids.iter().min().expect("softstop has a child")
}

/// Its end after the account, and that all of it agrees.
#[track_caller]
fn ended(running: Running, dir: &Dir) -> (Ended, serde_json::Value) {
    let mark = running.mark();
    let ended = running.wait(SOON);
    let report = account::report(dir, &ended.all());
    account::agrees(&report, &ended, GRACE);
    account::nothing_left(&mark);
    (ended, report)
}

// === stopped ===

#[test]
fn whoever_is_stopped_is_woken_to_act_wherever_it_is() {
    needs!(namespaces());
    let dir = Dir::new();
    let hook = format!("exec = [\"perl\", {CHILD:?}, \"stop-self\"]\ntimeout = \"400ms\"");
    let stuck = ["exit-on:TERM:0", "stop-self", "wait", "end"];
    let words = [&["session"], &stuck[..], &["fork"], &stuck, &["exit-on:TERM:5", "stop-self", "wait"]].concat();
    let config = format!(
        "grace = \"8s\"\nreport = {:?}\n{}\
         [process.pre_stop]\nname = \"leave\"\n{hook}\n\
         [[drain]]\nname = \"flush\"\n{hook}\n\
         [[post_stop]]\nname = \"ship\"\n{hook}\n",
        dir.text(REPORT),
        process("web", &words)
    );
    let mut running = dir.launch(&config).start();
    running.wait_until("main, a member of its group and a daemon are stopped", |r| {
        r.processes().iter().filter(|p| p.state == 'T').count() == 3
    });
    let (ended, report) = stopped(running, &dir, Duration::from_secs(8));
    ended.expect_code(5);
    assert_eq!(ended.stdout.matches("TERM handled").count(), 3, "{}", ended.all());
    assert!(forced(&report).is_empty(), "{report:#}");
    // A stopped hook is one that takes too long.
    for words in [["drain: flush", "timed out"], ["pre_stop: leave", "timed out"], ["post_stop: ship", "timed out"]] {
        line(&ended.all(), &words);
    }
    assert_eq!(report["orphans_reaped"], 2, "the daemon and the member of the group: {report:#}");
}

#[test]
fn who_stops_itself_again_and_again_ends_when_told_or_at_its_share() {
    needs!(namespaces());
    let cases: [(&[&str], i32, &[&str]); 3] = [
        (&[], 143, &[]),
        (&["exit-on:TERM:5"], 5, &[]),
        // It is woken by every signal and stops itself before it has done anything about it.
        (&["on:TERM"], 137, &["perl"]),
    ];
    for (words, code, needed_sigkill) in cases {
        let dir = Dir::new();
        let words = [words, &["say:up", "stop-again"]].concat();
        let mut running = up(&dir, true, &words);
        running.wait_until("it is stopped", |r| r.processes().iter().any(|p| p.state == 'T'));
        let (ended, report) = stopped(running, &dir, GRACE);
        ended.expect_code(code);
        assert_eq!(forced(&report), needed_sigkill, "{report:#}");
        if code == 137 {
            line(&ended.all(), &["perl: still running", "after SIGTERM", "sending SIGKILL", "state: T"]);
        }
        assert!(account::log(&ended.all()).len() < 10, "a flood:\n{}", ended.all());
    }
}

// === uninterruptible ===

/// As PID 1: what softstop promises is done in time; the kernel ends the container when it can end the process.
#[test]
fn a_process_in_uninterruptible_sleep_is_named_and_costs_no_more_than_the_grace() {
    needs!(namespaces());
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let mut running = up(&dir, true, &["exit-on:TERM:3", "say:up", &format!("open:{}", hung.file()), "wait"]);
        running.wait_until("it hangs", |_| hung.asked() > 0);
        let hanging = main_of(&running);
        if !account::is_out(&mut running, &dir, GRACE) {
            return;
        }
        // Measured, not promised: the kernel waits for it before it lets PID 1 go.
        assert_eq!(
            processes::look(hanging).map(|p| p.state),
            Some('D'),
            "SIGKILL has ended it:\n{}",
            running.printed()
        );
        assert_eq!(running.code(), None, "{}", running.printed());
        hung.release();
        let (ended, report) = ended(running, &dir);
        ended.expect_code(137);
        assert_eq!(forced(&report), ["perl"]);
        let log = ended.all();
        line(&log, &["perl: still running", "sending SIGKILL", "state: D", "wchan: request_wait_answer"]);
        line(&log, &["1 process does not end after SIGKILL: leaving", "state: D", "wchan: request_wait_answer"]);
    });
}

/// What others do is not held up by it: an outer init gets softstop's exit in time, and reaps the rest.
#[test]
fn not_as_pid_1_softstop_leaves_in_time_whoever_hangs() {
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let open = format!("open:{}", hung.file());
        let others = ["session", "exit-on:TERM:0", "wait", "end", "fork", "say:up", &open, "wait", "end"];
        let words = [&others[..], &["exit-on:TERM:3", "say:main is up", "wait"]].concat();
        let mut running = up(&dir, false, &words);
        running.wait_for("main is up").wait_until("it hangs", |_| hung.asked() > 0);
        let mark = running.mark();
        let (asked, before) = (Instant::now(), running.delayed());
        running.term();
        while running.code().is_none() {
            assert!(
                asked.elapsed() <= GRACE + ROOM + running.delayed_since(before),
                "not gone after {:?}:\n{}",
                asked.elapsed(),
                running.printed()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        // The one who wrote the report may have its own end still before it.
        running.wait_until(
            "what hangs, and nobody else, is left",
            |_| matches!(&processes::with_environment(&mark)[..], [left] if left.state == 'D'),
        );
        hung.release();
        // Main has ended as it wanted to; a member of its group hangs.
        let (ended, report) = ended(running, &dir);
        assert_eq!(ended.expect_code(3).stdout.matches("TERM handled").count(), 2, "{}", ended.all());
        assert_eq!(forced(&report), ["perl", "stragglers"], "{report:#}");
        line(&ended.all(), &["1 process does not end after SIGKILL: leaving", "state: D"]);
    });
}

#[test]
fn a_hook_that_hangs_uninterruptibly_holds_up_neither_the_drain_nor_the_rest() {
    needs!(namespaces());
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let config = format!(
            "grace = \"4s\"\nreport = {:?}\n{}\
             [[drain]]\nname = \"flush\"\nexec = [\"cat\", \"{}\"]\ntimeout = \"1700ms\"\n\
             [[post_stop]]\nname = \"ship\"\nexec = [\"echo\", \"shipped\"]\n",
            dir.text(REPORT),
            process("web", PROMPT),
            hung.file()
        );
        let mut running = dir.launch(&config).up();
        if !account::is_out(&mut running, &dir, GRACE) {
            return;
        }
        assert!(hung.asked() > 0, "the hook never hung:\n{}", running.printed());
        hung.release();
        let (ended, _) = ended(running, &dir);
        ended.expect_code(0).expect("TERM handled").expect("shipped");
        line(&ended.all(), &["drain: flush", "timed out"]);
        line(&ended.all(), &["does not end after SIGKILL: leaving", "state: D"]);
    });
}

/// What it depends on is told to stop all the same, and has its time.
#[test]
fn a_process_that_cannot_be_ended_does_not_keep_the_next_from_its_signal() {
    needs!(namespaces());
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let config = format!(
            "grace = \"4s\"\nreport = {:?}\n{}{}after = {{ db = \"started\" }}\n\
             stop = [{{ signal = \"SIGTERM\", wait = \"300ms\" }}]\n",
            dir.text(REPORT),
            process("db", &["exit-on:TERM:0:300", "say:up", "wait"]),
            process("web", &["say:up", "ignore:TERM", &format!("open:{}", hung.file())]),
        );
        let mut running = dir.launch(&config).start();
        running.wait_for_count("up", 2).wait_until("it hangs", |_| hung.asked() > 0);
        running.term().wait_for("stopped in");
        hung.release();
        let (ended, report) = ended(running, &dir);
        // Nobody is main: what had to be killed has failed.
        ended.expect_code(137).expect("TERM handled");
        assert_eq!(forced(&report), ["web"], "{report:#}");
        line(&ended.all(), &["web: does not end", "after it was told to stop"]);
        line(&ended.all(), &["db: stopped after", "exit code 0"]);
    });
}

#[test]
fn what_version_1s_freezer_holds_is_named_and_costs_no_more_than_the_grace() {
    needs!(namespaces());
    let Some(freezer) = Cgroup::new(Kind::Freezer) else { return };
    let dir = Dir::new();
    let mut running = up(&dir, true, &["session", "exit-on:TERM:0", "wait", "end", "exit-on:TERM:3", "say:up", "wait"]);
    let frozen = main_of(&running);
    freezer.add(frozen);
    freezer.freeze();
    if !account::is_out(&mut running, &dir, GRACE) {
        return;
    }
    freezer.thaw();
    let (ended, report) = ended(running, &dir);
    // The daemon, which is not frozen, has been let finish, if it got to run in the half second that there was.
    ended.expect_code(137).expect("1 straggler: sending SIGTERM");
    if ended.stdout.contains("TERM handled") {
        assert_eq!(forced(&report), ["perl"], "{report:#}");
    } else {
        ended.expect("1 straggler: sending SIGKILL");
    }
    line(&ended.all(), &["perl: still running", "sending SIGKILL", "state: D"]);
    line(&ended.all(), &["1 process does not end after SIGKILL: leaving", "state: D"]);
}

/// Version 2 lets SIGKILL through, and a SIGTERM that nobody catches.
#[test]
fn what_version_2_has_frozen_is_killed() {
    needs!(namespaces());
    for (words, code) in [(&["say:up", "wait"][..], 143), (&["exit-on:TERM:3", "say:up", "wait"], 137)] {
        let Some(freezer) = Cgroup::new(Kind::Freeze) else { return };
        let dir = Dir::new();
        let running = up(&dir, true, words);
        freezer.add(main_of(&running));
        freezer.freeze();
        let (ended, report) = stopped(running, &dir, GRACE);
        ended.expect_code(code).expect_not("leaving");
        assert_eq!(forced(&report).is_empty(), code == 143, "{report:#}");
    }
}

// === debugged ===

#[test]
fn a_debugger_that_passes_signals_on_changes_nothing() {
    needs!(namespaces());
    for (words, code) in [(&["exit-on:TERM:3", "say:up", "wait"][..], 3), (&["say:up", "wait"], 143)] {
        let dir = Dir::new();
        let mut running = up(&dir, true, words);
        let Some(debugger) = Tracer::attach(main_of(&running)) else { return };
        debugger.go_on();
        running.term();
        debugger.follow_to_the_end();
        let mark = running.mark();
        let ended = running.wait(SOON);
        ended.expect_code(code).expect_not("sending SIGKILL").expect_not("leaving");
        let report = account::report(&dir, &ended.all());
        account::agrees(&report, &ended, GRACE);
        assert!(forced(&report).is_empty(), "{report:#}");
        account::nothing_left(&mark);
    }
}

/// At a breakpoint it gets no signal but SIGKILL, and is a zombie then until the debugger has waited for it (corner R5).
#[test]
fn what_a_debugger_holds_is_named_and_costs_no_more_than_the_grace() {
    needs!(namespaces());
    at_once([true, false], |pid1| {
        let dir = Dir::new();
        let mut running = up(&dir, pid1, &["exit-on:TERM:3", "say:up", "wait"]);
        let main = main_of(&running);
        let Some(debugger) = Tracer::attach(main) else { return };
        if !account::is_out(&mut running, &dir, GRACE) {
            return;
        }
        assert!(processes::look(main).is_some_and(|p| p.is_zombie()), "it is not held:\n{}", running.printed());
        if !pid1 {
            running.wait_until("softstop is gone, and has not waited for the debugger", |r| processes::exits(r.pid()));
        }
        drop(debugger);
        let (ended, report) = ended(running, &dir);
        ended.expect_code(137);
        assert_eq!(forced(&report), ["perl"]);
        line(&ended.all(), &["perl: still running", "sending SIGKILL", "state: t"]);
        line(&ended.all(), &["1 process does not end after SIGKILL: leaving", "state: Z"]);
    });
}

/// It has ended as it was told to, and only the debugger knows.
#[test]
fn an_end_that_a_debugger_keeps_to_itself_is_no_end() {
    needs!(namespaces());
    let dir = Dir::new();
    let mut running = up(&dir, true, &["exit-on:TERM:3", "say:up", "wait"]);
    let Some(debugger) = Tracer::attach(main_of(&running)) else { return };
    debugger.go_on();
    running.term();
    debugger.hold_its_end();
    running.wait_for("TERM handled").wait_for("stopped in");
    assert!(running.age() < GRACE + SOON);
    drop(debugger);
    let (ended, _) = ended(running, &dir);
    ended.expect_code(137);
    line(&ended.all(), &["perl: still running", "sending SIGKILL", "state: Z"]);
    line(&ended.all(), &["1 process does not end after SIGKILL: leaving", "state: Z"]);
}
