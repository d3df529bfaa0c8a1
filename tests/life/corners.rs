//! Corners of being PID 1: those that a reviewer found, each of which failed once, and those of the list in docs/reliability/corners.md (by
//! their numbers) that belong to no other file.

use std::time::Duration;

use crate::support::{
    Dir, Launch, PROMPT, ROOM, SOON, account, faults, fuse, http, namespaces, process, processes, skip,
};

fn run(dir: &Dir, config: &str) -> Launch {
    dir.launch(config).not_pid1()
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
    // Long enough for this thread to come late to the second SIGSTOP.
    let mut running = Launch::child(&["--grace", "3s"], &words).not_pid1().up();
    let mark = running.mark();
    running.signal(libc::SIGSTOP).term();
    std::thread::sleep(Duration::from_millis(10));
    running.signal(libc::SIGCONT).wait_for("perl: stopping").signal(libc::SIGSTOP);
    // Not a wait for a condition: the time itself is the condition.
    std::thread::sleep(Duration::from_millis(3100));
    running.signal(libc::SIGCONT);
    running.wait(SOON).expect_code(137);
    account::nothing_left(&mark);
}

/// Children that die as fast as they can be forked keep the reaper busy; the deadline comes all the same.
#[test]
fn a_storm_of_dying_children_delays_no_deadline() {
    needs!(namespaces());
    let flood = "trap '' TERM; for i in 1 2 3 4; do (while :; do (true & true &); done) & done; echo up; \
                 while :; do (true &); done";
    let running = Launch::new(["--grace", "4s", "--", "sh", "-c", flood]).up();
    let (ended, _) = running.stop_within(Duration::from_secs(4));
    ended.expect_code(137).expect("SIGKILL");
}

// === signals: S14 to S23 of docs/reliability/corners.md ===

/// S14: whoever is inside the container cannot end or freeze its init, root included.
#[test]
fn sigkill_and_sigstop_from_inside_do_not_reach_pid_1() {
    needs!(namespaces());
    let script = "kill -KILL 1; kill -STOP 1; trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done";
    let running = Launch::new(["--grace", "30s", "--", "sh", "-c", script]).up();
    let state = processes::look(running.pid()).unwrap().state;
    assert_ne!(state, 'T', "softstop was stopped from inside");
    running.stop_within(Duration::from_secs(30)).0.expect_code(6);
}

/// S17: a fault of softstop's own ends it with its signal, and the program hears nothing of it.
#[test]
fn the_signals_of_faults_are_left_to_the_kernel() {
    let faults = [("ABRT", 6), ("FPE", 8), ("ILL", 4), ("TRAP", 5), ("SYS", 31), ("SEGV", 11), ("BUS", 7)];
    for (name, number) in faults {
        let dir = Dir::new();
        let journal = dir.text("journal");
        let words =
            [&format!("journal-all:{journal}"), &format!("journal-on:{name}:{journal}:{name}"), "say:up", "wait"];
        let through = ["sh", "-c", "ulimit -c 0; exec \"$@\"", "sh"];
        let mut running = Launch::child(&["--grace", "3s"], &words).not_pid1().through(&through).up();
        let mark = running.mark();
        running.signal(number);
        running.wait_until(&format!("{name} ends softstop"), |r| processes::exits(r.pid()));
        // What a softstop that is not PID 1 leaves behind then is the test's to end.
        processes::with_environment(&mark).iter().for_each(|p| processes::send(p.pid, libc::SIGKILL));
        let ended = running.wait(SOON);
        assert_eq!(ended.code, 128 + number, "{name}: {}", ended.all());
        assert_eq!(dir.lines("journal"), [""; 0], "{name} was passed on");
    }
}

/// S18: Go's runtime sends SIGURG to its own threads without end, and never means anybody else.
#[test]
fn sigurg_is_dropped_and_sigwinch_passed_on() {
    needs!(namespaces());
    let words = ["on:URG", "on:WINCH", "exit-on:TERM:0", "say:up", "wait"];
    let mut running = Launch::child(&["--grace", "30s"], &words).up();
    running.signal(libc::SIGURG).signal(libc::SIGWINCH).wait_for("WINCH received");
    running.stop_within(Duration::from_secs(30)).0.expect_code(0).expect_not("URG received");
}

/// S22: nothing runs, so nothing is drained or waited for.
#[test]
fn a_stop_while_everything_is_down_ends_at_once() {
    let dir = Dir::new();
    let config = "grace = \"30s\"\n[[process]]\nname = \"a\"\ncommand = [\"sh\", \"-c\", \"exit 3\"]\nrestart = \"on_failure\"\n\
                  backoff = { initial = \"5m\" }\n[[drain]]\nname = \"long\"\nsleep = \"20s\"\n";
    let mut running = run(&dir, config).start();
    running.wait_for("restart 1 in");
    let (ended, took) = running.stop_within(Duration::from_secs(30));
    assert!(took < Duration::from_secs(15), "{took:?} with nothing to stop:\n{}", ended.all());
    // Its latest exit code counts (docs/exit-codes.md).
    ended.expect_code(3);
}

/// S23: that there is a core file is worth a word, as only the kernel knows.
#[test]
fn a_core_dump_is_told() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.trim().is_empty() || pattern.starts_with('|') {
        return skip("core files go elsewhere here (kernel.core_pattern)");
    }
    let dir = Dir::new();
    let report = dir.text("report.json");
    let through = ["sh", "-c", "ulimit -c unlimited; exec \"$@\"", "sh"];
    let launch = Launch::new(["--report", &report, "--", "sh", "-c", "kill -QUIT $$"]).not_pid1().through(&through);
    let ended = launch.current_dir(&dir.path("")).run();
    ended.expect_code(131).expect("core dumped");
    assert!(dir.read("report.json").contains("\"core_dumped\": true"), "{}", dir.read("report.json"));
}

// === identity: R6 to R9 ===

/// Its first thread ends, or its second one executes another program: either way the process goes on.
const THREADS: &str = r#"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static char **args;
static void told(int signal) { (void)signal; if (write(1, "TERM received\n", 14) > 0) _exit(6); }
static void *second(void *arg) {
    pthread_join(*(pthread_t *)arg, NULL);
    if (args[1]) execv(args[1], args + 1);
    printf("up\n"); fflush(stdout);
    for (;;) pause();
}
int main(int argc, char **argv) {
    static pthread_t first; pthread_t other;
    (void)argc; args = argv; first = pthread_self();
    signal(SIGTERM, told);
    pthread_create(&other, NULL, second, &first);
    pthread_exit(NULL);
}
"#;

/// The program above; `None`, and said, where there is no C compiler.
fn threads(dir: &Dir) -> Option<String> {
    let (source, program) = (dir.write("threads.c", THREADS), dir.text("threads"));
    let built = std::process::Command::new("cc").args(["-pthread", "-o", &program, &source]).status();
    if built.is_ok_and(|s| s.success()) {
        return Some(program);
    }
    skip("no C compiler");
    None
}

/// R6: /proc shows Z for a process whose first thread has ended while others work on.
#[test]
fn a_process_without_its_first_thread_has_not_ended() {
    needs!(namespaces());
    let dir = Dir::new();
    let Some(program) = threads(&dir) else { return };
    // As main, as a member of its group, and as a daemon: each is told, and can finish.
    let script = format!("setsid '{program}' & '{program}' & exec '{program}'");
    let mut running = Launch::new(["--grace", "30s", "--", "sh", "-c", &script]).start();
    running.wait_for_count("up\n", 3);
    running
        .wait_until("their first threads have ended", |r| r.processes().iter().filter(|p| p.is_zombie()).count() == 3);
    let (ended, _) = running.stop_within(Duration::from_secs(30));
    assert_eq!(ended.expect_code(6).stdout.matches("TERM received").count(), 3, "{}", ended.all());
    ended.expect_not("needed SIGKILL");
}

/// R7: another program, the same process.
#[test]
fn an_exec_by_another_thread_changes_nothing() {
    needs!(namespaces());
    let dir = Dir::new();
    let Some(program) = threads(&dir) else { return };
    let script = "trap 'exit 8' TERM; echo up; while :; do sleep 0.05; done";
    let running = Launch::new(["--grace", "30s", "--", &program, "/bin/sh", "-c", script]).up();
    running.stop_within(Duration::from_secs(30)).0.expect_code(8);
}

/// R9: an init of a PID namespace inside ours, which SIGTERM cannot end as it does not catch it; its SIGKILL ends all it has.
#[test]
fn a_pid_namespace_inside_ends_with_its_init() {
    needs!(namespaces());
    let inner = "setsid sleep 1000 & sleep 1000 & echo up; wait";
    let nested = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "sh", "-c", inner];
    let running = Launch::new(["--grace", "3s", "--"].iter().chain(&nested).copied()).up();
    let mark = running.mark();
    let (ended, _) = running.stop_within(Duration::from_secs(3));
    account::nothing_left(&mark);
    ended.expect("stopped in");
}

// === the stop: X5, X19; the place: V7 ===

/// X5: without /proc the last SIGKILL goes to everybody by kill(-1), which must not wait for one that cannot die.
#[test]
fn killing_everybody_does_not_wait_for_who_hangs() {
    needs!(faults::possible());
    fuse::with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let report = dir.text("report.json");
        let open = format!("open:{}", hung.file());
        let words = ["session", &open, "wait", "end", "ignore:TERM", "say:up", "wait"];
        let launch = Launch::child(&["--grace", "3s", "--report", &report], &words);
        let mut running = faults::launch(&[faults::Fault::Empty("/proc")], launch).up();
        running.wait_until("it hangs", |_| hung.asked() > 0);
        let (asked, before) = (std::time::Instant::now(), running.delayed());
        running.term().wait_for("stopped in").wait_until("the report", |_| dir.read("report.json").ends_with("}\n"));
        let (took, delayed) = (asked.elapsed(), running.delayed_since(before));
        assert!(took <= Duration::from_secs(3) + ROOM + delayed, "{took:?}:\n{}", running.printed());
        hung.release();
        running.wait(SOON).expect_code(137);
    });
}

/// X19: whoever asks is answered until softstop leaves, also when no process is left.
#[test]
fn probes_are_answered_until_the_end() {
    let dir = Dir::new();
    let port = http::free_port();
    let config = format!(
        "grace = \"30s\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n{}[[post_stop]]\nname = \"last\"\n\
         exec = [\"sh\", \"-c\", \"echo last words; until [ -e '{}' ]; do sleep 0.02; done\"]\n",
        process("a", PROMPT),
        dir.text("go"),
    );
    let mut running = run(&dir, &config).up();
    running.term().wait_for("last words");
    assert_eq!(http::status_of(port, "/readyz"), Some(503));
    assert_eq!(http::status_of(port, "/livez"), Some(200));
    assert_eq!(http::status_json(port)["processes"][0]["state"], "Terminated");
    dir.write("go", "");
    running.wait(SOON).expect_code(0);
}

/// V7: rootless. With root mapped, and with nobody mapped at all, so that every id is the overflow one.
#[test]
fn in_a_user_namespace_the_whole_stop_works() {
    needs!(namespaces());
    let words = ["session", "exit-on:TERM:0:100", "wait", "end", "orphans:3", "exit-on:TERM:7", "say:up", "wait"];
    for namespace in [&["unshare", "--user", "--map-root-user"][..], &["unshare", "--user"]] {
        let running = Launch::child(&["--grace", "30s"], &words).through(namespace).up();
        let (ended, _) = running.stop_within(Duration::from_secs(30));
        ended.expect_code(7).expect("1 straggler: sending SIGTERM").expect_no_warning();
        assert_eq!(ended.stdout.matches("TERM handled").count(), 2, "{}", ended.all());
    }
}
