//! Too little of something, too much of everything: processor time, memory, signals, processes. softstop ends in time, says in a few
//! lines what happened, and does not grow.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::account::{REPORT, forced, line, stopped};
use crate::support::cgroup::{Cgroup, Kind};
use crate::support::{Dir, Launch, PROMPT, Running, SOON, account, namespaces, process, processes, siege};

/// `softstop run` with `head` and so many processes of `words`, once each has said "up".
fn run(dir: &Dir, head: &str, processes: usize, words: &[&str]) -> Running {
    let config = format!("report = {:?}\n{head}\n", dir.text(REPORT));
    let all = (0..processes).map(|n| process(&format!("p{n}"), words));
    let mut running = dir.launch(&(config + &all.collect::<String>())).start();
    running.wait_for_count("up", processes);
    running
}

// === processor ===

/// Fifty workers that use all there is: softstop has one turn in fifty, of a twentieth of a processor.
#[test]
fn fifty_busy_children_with_a_twentieth_of_a_processor_are_ended_in_time() {
    needs!(namespaces());
    let _limited = siege::limited();
    // Who ignores SIGTERM has all of the grace, but for what SIGKILL is given.
    for (words, grace, code) in [(&["say:up", "busy"][..], 20, 0), (&["ignore:TERM", "say:up", "busy"], 9, 137)] {
        let Some(cpu) = Cgroup::new(Kind::Cpu) else { return };
        let dir = Dir::new();
        let mut running = run(&dir, &format!("grace = \"{grace}s\"\nkill_reserve = \"5s\""), 50, words);
        let grace = Duration::from_secs(grace);
        cpu.limit_cpu(5);
        running.processes().iter().for_each(|p| cpu.add(p.pid));
        running.wait_until("there is no processor time left", |_| cpu.throttled() > 5);
        running.term();
        running.wait_until_within("its account", 3 * grace, |running| running.printed().contains("stopped in"));
        // How long fifty killed processes need to be gone with so little is the kernel's affair.
        cpu.limit_cpu(100);
        let mark = running.mark();
        let ended = running.wait(SOON);
        account::agrees(&account::report(&dir, &ended.all()), &ended, grace);
        account::nothing_left(&mark);
        ended.expect_code(code);
    }
}

/// It asks for short turns, and its children are scheduled as those of any other init.
#[test]
fn how_softstop_is_scheduled_is_not_handed_down() {
    needs!(namespaces());
    let running = Launch::child(&["--grace", "30s"], PROMPT).up();
    let policy = |pid: i32| {
        let shown = Command::new("chrt").args(["-p", &pid.to_string()]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).into_owned()
    };
    let child = processes::children(running.pid())[0];
    assert!(policy(running.pid()).contains("RESET_ON_FORK"), "{}", policy(running.pid()));
    assert!(!policy(child).contains("RESET_ON_FORK"), "{}", policy(child));
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
}

// === memory ===

/// The kernel kills whoever took it; softstop, in the same group, is not the victim, says so, and starts the process again.
#[test]
fn a_child_that_runs_out_of_memory_is_restarted_and_softstop_lives_on() {
    needs!(namespaces());
    let Some(memory) = Cgroup::new(Kind::Memory) else { return };
    let dir = Dir::new();
    let config = format!(
        "grace = \"4s\"\nreport = {:?}\n{}{}restart = \"on_failure\"\nbackoff = {{ initial = \"100ms\" }}\n",
        dir.text(REPORT),
        process("web", PROMPT),
        process("worker", &["say:eats", "eat:1000", "wait"])
    );
    memory.limit_memory(64 << 20);
    let mut running = dir.launch(&config).inside(&memory).up();
    running.wait_for_count("worker | eats", 3);
    let kills = memory.oom_kills();
    assert!(kills >= 2, "{kills} were killed because memory had run out:\n{}", running.printed());
    let (ended, report) = stopped(running, &dir, Duration::from_secs(4));
    ended.expect("worker: killed by the kernel's OOM killer (memory.").expect("64 MiB, 2 kills in this cgroup");
    ended.expect("worker: ended with SIGKILL").expect("worker: started again").expect("TERM handled");
    assert_eq!(forced(&report), [] as [&str; 0], "the kernel's SIGKILL is not softstop's: {report:#}");
    let status = |event: &str| {
        let all = report["timeline"].as_array().unwrap().clone();
        all.into_iter().filter(|e| e["event"] == event && e["process"] == "worker").collect::<Vec<_>>()
    };
    assert!(
        status("exited").iter().any(|e| e["exit"]["signal"] == "SIGKILL" && e["exit"]["code"] == 137),
        "{report:#}"
    );
}

/// As the only process it is main: 137, as with any other init.
#[test]
fn main_out_of_memory_ends_the_container_with_137() {
    needs!(namespaces());
    let Some(memory) = Cgroup::new(Kind::Memory) else { return };
    memory.limit_memory(64 << 20);
    let ended = Launch::child(&["--grace", "4s"], &["eat:1000", "wait"]).inside(&memory).run();
    ended.expect_code(137);
    line(&ended.all(), &["stopped in", "perl ended with SIGKILL", "exit code 137"]);
    assert_eq!(memory.oom_kills(), 1);
}

// === signals ===

/// So many of each, from outside the namespace.
fn storm(pid: i32, count: usize, signals: &[i32]) {
    for n in 0..count {
        processes::send(pid, signals[n % signals.len()]);
    }
}

#[test]
fn ten_thousand_stop_requests_are_one() {
    needs!(namespaces());
    let _alone = siege::alone();
    let dir = Dir::new();
    let report = dir.text(REPORT);
    let flags = ["--grace", "6s", "--report", &report];
    let mut running = Launch::child(&flags, &["exit-on:TERM:4:2000", "say:up", "wait"]).up();
    let before = processes::anonymous_kb(running.pid());
    running.term().wait_for("TERM received");
    let pid = running.pid();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| storm(pid, 2500, &[libc::SIGTERM]));
        }
    });
    let after = processes::anonymous_kb(running.pid());
    assert!(after <= before + 1024, "memory grew from {before} kB to {after} kB");
    let mark = running.mark();
    let ended = running.wait(SOON);
    account::agrees(&account::report(&dir, &ended.all()), &ended, Duration::from_secs(6));
    account::nothing_left(&mark);
    // Told once, not once for each.
    ended.expect_code(4);
    assert_eq!(ended.stdout.matches("TERM received").count(), 1, "{}", ended.all());
    let lines = account::log(&ended.all()).len();
    assert!(lines < 100, "{lines} lines of log");
}

/// All kinds at once, before and during the stop, with nobody to pass them on to and with a main process that catches them.
#[test]
fn a_storm_of_all_signals_floods_neither_log_nor_memory_and_delays_nothing() {
    needs!(namespaces());
    let _alone = siege::alone();
    let signals = [libc::SIGHUP, libc::SIGUSR1, libc::SIGINT, libc::SIGTERM, libc::SIGUSR2, libc::SIGWINCH, 40];
    for processes in [1, 2] {
        let dir = Dir::new();
        // 40 is queued, each time that it comes, and perl gives up when more than 120 wait for it.
        let words = "on:HUP on:USR1 on:USR2 on:WINCH ignore:40 on:INT exit-on:TERM:0:1500 say:up wait".split(' ');
        let words: Vec<&str> = words.collect();
        let mut running = run(&dir, "grace = \"15s\"\nstop_on = [\"SIGTERM\"]", processes, &words);
        let pid = running.pid();
        let before = processes::anonymous_kb(pid);
        storm(pid, 2000, &[libc::SIGHUP, libc::SIGUSR1]);
        let asked = Instant::now();
        running.term();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while asked.elapsed() < Duration::from_secs(1) {
                        storm(pid, 70, &signals);
                    }
                });
            }
        });
        let after = processes::anonymous_kb(pid);
        assert!(after <= before + 1024, "memory grew from {before} kB to {after} kB");
        let ended = running.wait(SOON);
        // Where it delays something, it does so until the end of the grace.
        let took = asked.elapsed();
        assert!(took <= Duration::from_secs(12), "took {took:?}");
        account::agrees(&account::report(&dir, &ended.all()), &ended, Duration::from_secs(15));
        ended.expect_code(0);
        assert_eq!(ended.stdout.matches("TERM handled").count(), processes, "{}", ended.all());
        let lines = account::log(&ended.all()).len();
        assert!(
            lines < 100,
            "{lines} lines of log, the last of them:\n{}",
            account::log(&ended.all())[lines - 20..].join("\n")
        );
    }
}

// === processes ===

#[test]
fn a_thousand_processes_stop_at_once() {
    needs!(namespaces());
    let _alone = siege::alone();
    // In main's group, in sessions of their own, and with a SIGTERM that is ignored.
    let cases: [(&[&str], u64, i32); 3] = [
        (&["many:1000", "exit-on:TERM:0", "idle", "end", "exit-on:TERM:7", "say:up", "idle"], 15, 7),
        (&["many:1000", "new-session", "exit-on:TERM:0", "idle", "end", "exit-on:TERM:7", "say:up", "idle"], 15, 7),
        (&["many:1000", "new-session", "ignore:TERM", "idle", "end", "ignore:TERM", "say:up", "idle"], 8, 137),
    ];
    for (words, grace, code) in cases {
        let dir = Dir::new();
        let report = dir.text(REPORT);
        let running = Launch::child(&["--grace", &format!("{grace}s"), "--report", &report], words).up();
        assert_eq!(running.processes().len(), 1002);
        let (ended, report) = stopped(running, &dir, Duration::from_secs(grace));
        ended.expect_code(code);
        // After a SIGKILL at the deadline PID 1 may leave the last of them to the kernel.
        if code == 7 {
            ended.expect_not("leaving");
        }
        let reaped = report["orphans_reaped"].as_u64().unwrap();
        assert!(reaped == 1000 || code == 137 && reaped < 1000, "each is reaped once: {report:#}");
        assert_eq!(forced(&report).is_empty(), code == 7, "{report:#}");
        let lines = account::log(&ended.all()).len();
        assert!(lines < 20, "{lines} lines of log:\n{}", ended.all());
    }
}

#[test]
fn two_hundred_configured_processes_stop_at_once() {
    needs!(namespaces());
    let _alone = siege::alone();
    for (words, grace, code) in
        [(["exit-on:TERM:0", "say:up", "idle"], 15, 0), (["ignore:TERM", "say:up", "idle"], 8, 137)]
    {
        let dir = Dir::new();
        // So many need more than a second to be ended where others keep the machine busy.
        let running = run(&dir, &format!("grace = \"{grace}s\"\nkill_reserve = \"5s\""), 200, &words);
        let (ended, report) = stopped(running, &dir, Duration::from_secs(grace));
        ended.expect_code(code).expect_not("leaving");
        assert_eq!(forced(&report).len(), if code == 0 { 0 } else { 200 });
        // Three lines each: started, told to stop, stopped; one more before a SIGKILL.
        let lines = account::log(&ended.all()).len();
        assert!(lines <= 200 * 4 + 10, "{lines} lines of log");
        let ended_in_report = report["timeline"].as_array().unwrap().iter().filter(|e| e["event"] == "stopped").count();
        assert_eq!(ended_in_report, 200, "{report:#}");
    }
}
