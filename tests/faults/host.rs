//! What the machine does to a container as a whole: it is paused and resumed, its clock is another one, others live in its PID
//! namespace.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::account::{REPORT, line, stopped};
use crate::support::cgroup::{Cgroup, Kind};
use crate::support::{
    Beside, CHILD, Dir, Launch, ROOM, Running, SOFTSTOP, SOON, account, at_once, may_enter_namespaces, namespaces,
    processes, skip, starvation, until,
};

// === paused ===

/// The third is its age when the stop was asked for.
fn paused_in_its_stop(kind: Kind, grace: &str, dir: &Dir, pause: Duration) -> Option<(Cgroup, Running, Duration)> {
    let freezer = Cgroup::new(kind)?;
    let report = dir.text(REPORT);
    // Long enough for this thread to be late with the pause.
    let words = ["session", "exit-on:TERM:0", "wait", "end", "exit-on:TERM:3:3000", "say:up", "wait"];
    let mut running = Launch::child(&["--grace", grace, "--report", &report], &words).up();
    running.processes().iter().for_each(|p| freezer.add(p.pid));
    let asked = running.age();
    running.term().wait_for("TERM received");
    freezer.freeze();
    // The pause itself is the subject: its length is not a wait for something.
    std::thread::sleep(pause);
    freezer.thaw();
    // Whoever drops the group ends what is in it.
    Some((freezer, running, asked))
}

#[test]
fn a_pause_that_ends_before_the_deadline_costs_its_own_length_at_most() {
    needs!(namespaces());
    at_once([Kind::Freezer, Kind::Freeze], |kind| {
        let dir = Dir::new();
        // The daemon is told after five seconds, and on a busy machine it takes a while to hear of it.
        let grace = Duration::from_secs(12);
        let paused = paused_in_its_stop(kind, "12s", &dir, Duration::from_secs(2));
        let Some((_freezer, running, asked)) = paused else { return };
        let mark = running.mark();
        let ended = running.wait(SOON);
        ended.expect_in_time(asked, grace, "");
        ended.expect_code(3).expect_not("sending SIGKILL");
        assert_eq!(ended.stdout.matches("TERM handled").count(), 2, "{}", ended.all());
        account::agrees(&account::report(&dir, &ended.all()), &ended, grace);
        line(&ended.all(), &["softstop itself could not run for", "paused"]);
        account::nothing_left(&mark);
    });
}

/// Nobody can keep a grace that passes while nothing runs. Resumed, softstop ends everything at once and says that it was late.
#[test]
fn a_pause_past_the_grace_is_said_and_the_end_comes_at_once() {
    needs!(namespaces());
    at_once([Kind::Freezer, Kind::Freeze], |kind| {
        let dir = Dir::new();
        let paused = paused_in_its_stop(kind, "2s", &dir, Duration::from_secs(4));
        let Some((_freezer, running, _)) = paused else { return };
        let resumed = running.age();
        let mark = running.mark();
        let ended = running.wait(SOON);
        let took = ended.at_work.saturating_sub(resumed);
        assert!(
            took < Duration::from_secs(1) + ROOM + ended.starved,
            "{took:?} after it was resumed:\n{}",
            ended.all()
        );
        let report = account::report(&dir, &ended.all());
        assert_eq!(report["within_grace"], false, "{report:#}");
        assert_eq!(report["exit_code"], ended.code, "{report:#}");
        // Main was resumed at the same moment: it may have been the quicker one.
        assert!([3, 137].contains(&ended.code), "{}", ended.all());
        line(&ended.all(), &["softstop itself could not run for", "paused"]);
        line(&ended.all(), &["stopped in", "over the grace"]);
        ended.expect_not("leaving");
        account::nothing_left(&mark);
    });
}

// === another clock ===

/// A machine that has just been started, and one that has been up for ten years. `CLOCK_REALTIME` has no namespace, and a test may not
/// set the machine's: nothing but log lines' time stamps may read it (tests/pages/layering.rs).
#[test]
fn where_the_clock_begins_makes_no_difference() {
    needs!(namespaces());
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: i64 = uptime.split('.').next().unwrap().parse().unwrap();
    at_once([1 - uptime, 10 * 365 * 24 * 3600], |offset| {
        let offset = offset.to_string();
        let clock = ["unshare", "--time", "--monotonic", &offset, "--boottime", &offset];
        let able = Command::new(clock[0]).args(&clock[1..]).arg("true").stderr(Stdio::null()).status();
        if !able.is_ok_and(|s| s.success()) {
            skip("no time namespace");
            return;
        }
        let dir = Dir::new();
        let report = dir.text(REPORT);
        let flags = ["--grace", "4s", "--drain-sleep", "300ms", "--report", &report];
        let running = Launch::child(&flags, &["ignore:TERM", "say:up", "wait"]).through(&clock).up();
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/time")).unwrap();
        assert_ne!(namespace("self"), namespace(&running.pid().to_string()), "its clock is the machine's");
        let (ended, report) = stopped(running, &dir, Duration::from_secs(4));
        ended.expect_code(137);
        let took = report["took_seconds"].as_f64().unwrap();
        assert!((2.0..4.0).contains(&took) || ended.was_starved(), "{report:#}");
        let drained = report["drain_seconds"].as_f64().unwrap();
        assert!((0.3..2.0).contains(&drained) || ended.was_starved(), "{report:#}");
    });
}

// === strangers ===

/// Another init, with children of its own before softstop is started, that outlive softstop.
const INIT: &str = r#"
    my ($child, $journal, @softstop) = @ARGV;
    $| = 1;
    $SIG{$_} = 'IGNORE' for qw(HUP INT QUIT TERM USR1 USR2);
    for my $n (1 .. 3) { fork or exec 'perl', $child, "journal-all:$journal-$n", 'say:stranger', 'wait' or die }
    my $softstop = fork // die;
    unless ($softstop) { $SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT TERM USR1 USR2); exec @softstop or die }
    while ((my $pid = wait) > 0) { print "softstop ended with ", $? >> 8, "\n" if $pid == $softstop }
"#;

/// As with `shareProcessNamespace`: same user, same process group as softstop, children of PID 1, and what the runtime puts into the
/// container (parent 0). None of them gets any signal, whatever softstop has to do to its own.
#[test]
fn strangers_in_the_same_pid_namespace_get_no_signal() {
    needs!(may_enter_namespaces());
    let dir = Dir::new();
    let (report, journal) = (dir.text(REPORT), dir.text("journal"));
    let out = File::create(dir.path("out")).unwrap();
    let stuck = ["ignore:TERM", "wait", "end"];
    let words = [&["session"], &stuck[..], &["fork"], &stuck, &["session", "exit-on:TERM:0", "wait", "end"]].concat();
    let outer = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child", "perl", "-e", INIT, CHILD, &journal])
        .args([SOFTSTOP, "--grace", "4s", "--report", &report, "--", "perl", CHILD])
        .args(words)
        .args(["ignore:TERM", "on:USR1", "say:up", "wait"])
        .stdin(Stdio::null())
        .stderr(out.try_clone().unwrap())
        .stdout(out.try_clone().unwrap())
        .spawn()
        .unwrap();
    // Which ends the namespace with it (`--kill-child`).
    let outer = Beside(outer);
    let strangers = || dir.lines("out").iter().filter(|l| *l == "stranger").count();
    until("softstop and the strangers are up", || strangers() == 3 && dir.lines("out").iter().any(|l| l == "up"));
    let init = processes::children(outer.0.id() as i32)[0];
    let entered = Command::new("nsenter")
        .args(["--target", &init.to_string(), "--pid", "--mount", "perl", CHILD])
        .args([&format!("journal-all:{journal}-4"), "say:stranger", "wait"])
        .stdout(out)
        .spawn()
        .unwrap();
    let _entered = Beside(entered);
    until("the one put in is up", || strangers() == 4);
    let inside = processes::in_namespace_of(init);
    let softstop =
        inside.iter().find(|p| processes::program(p.pid).as_deref() == Some(Path::new(SOFTSTOP))).unwrap().pid;
    let strangers: Vec<i32> =
        inside.iter().filter(|p| p.pid != softstop && !of(softstop, &inside, p.pid)).map(|p| p.pid).collect();
    assert_eq!(strangers.len(), 5, "init, three of its own and one put in: {inside:?}");
    for signal in [libc::SIGUSR1, libc::SIGHUP, libc::SIGTERM] {
        processes::send(softstop, signal);
        until("passed on", || signal != libc::SIGUSR1 || dir.read("out").contains("USR1 received"));
    }
    let (asked, own) = (Instant::now(), starvation::own());
    // Its init's, who says it, and this thread's.
    let starved = || starvation::own().saturating_sub(own) + starvation::of(init);
    let (before, mut softstops) = (starved(), Duration::ZERO);
    until("softstop has ended", || {
        softstops = softstops.max(starvation::of(softstop));
        dir.read("out").contains("softstop ended with")
    });
    assert!(
        asked.elapsed() <= Duration::from_secs(4) + ROOM + starved().saturating_sub(before) + softstops,
        "{:?}\n{}",
        asked.elapsed(),
        dir.read("out")
    );
    let printed = dir.read("out");
    let left: Vec<i32> = processes::in_namespace_of(init).iter().map(|p| p.pid).collect();
    assert_eq!(left, strangers, "softstop's own are all gone, the others all there:\n{printed}");
    for n in 1..=4 {
        assert_eq!(dir.read(&format!("journal-{n}")), "", "signals that stranger {n} got:\n{printed}");
    }
    let report = account::report(&dir, &printed);
    assert_eq!(report["within_grace"], true, "{report:#}");
}

/// Whether `pid` is below `root`.
fn of(root: i32, all: &[processes::Proc], pid: i32) -> bool {
    let parent = all.iter().find(|p| p.pid == pid).map_or(0, |p| p.parent);
    parent == root || parent > 1 && of(root, all, parent)
}
