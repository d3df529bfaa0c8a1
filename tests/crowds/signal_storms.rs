//! I12, as far as signals go: nothing inside the container ends softstop as PID 1, whatever signals it sends, in whatever order and
//! however fast. What there is instead of Rust's runtime before `main`: tests/entry.rs.

use std::time::Duration;

use crate::support::account::{self, REPORT, report};
use crate::support::{CHILD, Dir, Launch, Running, SOON, namespaces, processes};

const STORM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/storm.pl");
const GRACE: Duration = Duration::from_secs(6);
/// What stops softstop here: the storm sends every other one.
const STOP: i32 = 64;

/// A main process that ignores whatever is passed on to it, and beside it a process that sends softstop the storm.
fn launch(dir: &Dir, storm: &str) -> Launch {
    let ignored: String =
        (1..STOP).filter(|n| ![9, 17, 19, 32, 33].contains(n)).map(|n| format!("ignore:{n} ")).collect();
    let up = dir.text("up");
    // Perl needs more of a stack than softstop may be given here.
    let perl = "ulimit -Ss 8192\nexec perl";
    let main = dir.script("main", &format!("{perl} '{CHILD}' {ignored} exit-on:{STOP}:0 'journal:{up}:' wait"));
    let storm = dir.script("storm", &format!("{perl} '{STORM}' {storm} '{up}'"));
    let text = format!(
        r#"
grace = "6s"
report = {report:?}
stop_on = ["SIGRTMAX"]

[[process]]
name = "main"
main = true
command = [{main:?}]
stop = [{{ signal = "SIGRTMAX", wait = "2s" }}]

[[process]]
name = "storm"
command = [{storm:?}]
restart = "never"

[[drain]]
name = "flush"
exec = ["echo", "drained"]
"#,
        report = dir.text(REPORT),
    );
    dir.launch(&text)
}

/// After the storm there is a stop as any other: the drain, the main process in order, the report.
fn is_as_ever(mut running: Running, dir: &Dir) {
    running.signal(STOP);
    let ended = running.wait(GRACE + SOON);
    ended.expect_code(0).expect("drained").expect("drain: flush: done").expect("64 handled");
    let report = report(dir, &ended.all());
    account::agrees(&report, &ended, GRACE);
    assert_eq!(account::forced(&report), [] as [&str; 0], "{report:#}");
}

#[test]
fn no_pair_or_triple_of_signals_from_inside_ends_pid_1() {
    needs!(namespaces());
    let dir = Dir::new();
    let mut running = launch(&dir, "all").start();
    // A hundred thousand signals, and two processors that others use, too.
    running.wait_for_count_within("storm over", 1, Duration::from_secs(300));
    is_as_ever(running, &dir);
}

#[test]
fn a_child_cannot_kill_pid_1_however_small_the_stack() {
    needs!(namespaces());
    for kilobytes in ["16", "32", "64", "128", "8192"] {
        let dir = Dir::new();
        // The environment is on the stack, too: with a large one no program at all starts in 16 kB.
        let script = format!(
            "exec env -i PATH=\"$PATH\" TEST_MARK=\"$TEST_MARK\" sh -c 'ulimit -Ss {kilobytes}; exec \"$@\"' sh \"$@\""
        );
        let mut running = launch(&dir, "few").through(&["sh", "-c", &script, "sh"]).start();
        running.wait_for_count_within("storm over", 1, Duration::from_secs(120));
        is_as_ever(running, &dir);
    }
}

fn bits(shown: &str) -> u64 {
    u64::from_str_radix(shown.trim(), 16).unwrap()
}

/// The signal sets of a process as the kernel shows them: blocked, ignored, caught.
fn signal_sets(pid: i32) -> [u64; 3] {
    ["SigBlk", "SigIgn", "SigCgt"].map(|name| bits(&processes::status_field(pid, name).unwrap()))
}

fn set(numbers: &[i32]) -> u64 {
    numbers.iter().fold(0, |set, n| set | 1 << (n - 1))
}

/// Nothing is handled, so nothing can be made to run; what is blocked is read; faults and what nobody can block is let in, at its default:
/// from inside the kernel drops it. What is ignored is what the launcher ignored, and the child gets all as launched.
#[test]
fn pid_1_handles_no_signal_and_every_other_disposition_is_the_launchers() {
    needs!(namespaces());
    let let_in = set(&[4, 5, 6, 7, 8, 9, 11, 19, 31]);
    // Started by a test that is itself in the background, SIGINT and SIGQUIT may be ignored already: the launcher says what is.
    let says = "grep -h SigIgn: /proc/$$/status; exec \"$@\"";
    for (launcher, ignored) in [("", &[][..]), ("trap '' HUP PIPE TTOU USR2 CHLD; ", &[1, 13, 22, 12])] {
        let script = format!("{launcher}{says}");
        let words = ["exit-on:TERM:7", "say:up", "wait"];
        let running = Launch::child(&["--grace", "6s"], &words).through(&["sh", "-c", &script, "sh"]).up();
        let printed = running.printed();
        let launched = bits(printed.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap());
        assert_eq!(launched & set(ignored), set(ignored), "{printed}");
        assert_eq!(signal_sets(running.pid()), [!let_in, launched & !set(&[17]), 0], "softstop itself");
        let [blocked, child_ignores, _] = signal_sets(processes::children(running.pid())[0]);
        // Perl ignores SIGFPE by itself.
        assert_eq!((blocked, child_ignores & !set(&[8])), (0, launched & !set(&[8])), "its child");
        // Whoever ignores SIGCHLD is not told how its children end.
        running.stop_within(GRACE).0.expect_code(7);
    }
}
