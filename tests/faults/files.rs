//! Files that do not answer: a file system that hangs (FUSE, NFS) under the report, the termination log, or a program that is to be
//! started; a FIFO that nobody reads. The stop ends inside the grace, with the exit code, and says which file it was.
//!
//! As PID 1 softstop's own exit then takes until the kernel has ended whom the file system holds (docs/stop/stuck.md): such tests let go
//! once the account is out.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::account::{REPORT, line, nothing_left};
use crate::support::fuse::with_hanging_file_system;
use crate::support::{Dir, Ended, Launch, PROMPT, Running, SOON, account, at_once, namespaces, process, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use softstop::sys::spawn::writer::{self, Written};

const GRACE: Duration = Duration::from_secs(4);

fn up(flags: &[&str], pid1: bool) -> Running {
    Launch::child(&[&["--grace", "4s"], flags].concat(), &["exit-on:TERM:3", "say:up", "wait"]).pid1(pid1).up()
}

/// SIGTERM; returns when `text` has been said, which must be inside the grace.
#[track_caller]
fn said_in_time(running: &mut Running, text: &str) {
    let (asked, before) = (Instant::now(), running.delayed());
    running.term().wait_for(text);
    let took = asked.elapsed();
    assert!(took <= GRACE + running.delayed_since(before), "took {took:?}:\n{}", running.printed());
}

/// Its end, once the file system has let go; nothing stays behind.
#[track_caller]
fn ended(running: Running) -> Ended {
    let mark = running.mark();
    let ended = running.wait(SOON);
    nothing_left(&mark);
    ended
}

// === what softstop writes ===

#[test]
fn a_report_on_a_file_system_that_hangs_is_given_up_and_said() {
    needs!(namespaces());
    with_hanging_file_system(|hung| {
        let mut running = up(&["--report", hung.file()], true);
        running.wait_until("the report of a run before is looked for", |_| hung.asked() > 0);
        let said = format!("cannot write the report to {}: no answer within", hung.file());
        said_in_time(&mut running, &said);
        assert!(hung.asked() > 0, "it never hung");
        hung.release();
        let ended = ended(running);
        ended.expect_code(3).expect("TERM handled").expect_not("leaving");
        line(&ended.all(), &["stopped in", "exit code 3"]);
        line(&ended.all(), &[&said, "its file system hangs"]);
    });
}

#[test]
fn a_termination_log_on_a_file_system_that_hangs_keeps_nobody_from_the_stop() {
    needs!(namespaces());
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let mut running = up(&["--termination-log", hung.file(), "--report", &dir.text(REPORT)], true);
        if !account::is_out(&mut running, &dir, GRACE) {
            return;
        }
        assert!(hung.asked() > 0, "it never hung");
        hung.release();
        let ended = ended(running);
        // The writer that hangs is nobody's straggler, and not waited for until the deadline.
        ended.expect_code(3).expect("TERM handled").expect_not("leaving").expect_not("straggler");
        line(&ended.all(), &["cannot write the termination message to", hung.file(), "no answer within 200ms"]);
        let report = account::report(&dir, &ended.all());
        account::agrees_but_for_the_last_line(&report, &ended, GRACE);
        assert_eq!(report["orphans_reaped"], 0, "{report:#}");
        assert!(report["took_seconds"].as_f64().unwrap() < 2.0, "{report:#}");
    });
}

/// Not PID 1, softstop itself is gone in time whatever the file system does.
#[test]
fn an_ordinary_process_is_gone_in_time_while_its_files_hang() {
    with_hanging_file_system(|hung| {
        let mut running = up(&["--termination-log", hung.file(), "--report", hung.file()], false);
        running.wait_until("the report of a run before is looked for", |_| hung.asked() > 0);
        let mark = running.mark();
        let (ended, _) = running.stop_within(GRACE);
        ended.expect_code(3).expect("TERM handled").expect_not("leaving");
        line(&ended.all(), &["cannot write the termination message to", hung.file(), "no answer within 200ms"]);
        // The writer of the termination message is held: a second one would be, too.
        line(&ended.all(), &["cannot write the report to", hung.file(), "not been answered yet"]);
        assert!(hung.asked() > 0, "it never hung");
        assert_eq!(processes::with_environment(&mark).len(), 2, "the one writer that is held, and the reader");
        hung.release();
        nothing_left(&mark);
    });
}

/// The OOM killer may choose it, and who kills everything left in a container meets it.
#[test]
fn a_writer_that_is_killed_is_followed_by_another_and_no_third() {
    // So much that it is met while it writes.
    let text = vec![b'x'; 64 << 20];
    for (kills, fine) in [(1, true), (2, false)] {
        // On a busy machine it may have written all of it before this thread got to run.
        let met = (0..100).any(|_| kills_as_it_writes(&text, kills, fine));
        assert!(met, "not {kills} times met while it wrote");
    }
}

/// `false` when it was quicker.
fn kills_as_it_writes(text: &[u8], kills: usize, fine: bool) -> bool {
    let dir = Dir::new();
    let path = dir.path("report");
    let (killed, written) = std::thread::scope(|scope| {
        let (say, said) = std::sync::mpsc::channel();
        let path = &path;
        let writing = scope.spawn(move || {
            // Of its own children alone: others of this process are other tests'.
            let own = nix::unistd::gettid();
            say.send(PathBuf::from(format!("/proc/self/task/{own}/children"))).unwrap();
            writer::write(path, true, text, SOON)
        });
        let children = said.recv().unwrap();
        let mut killed = BTreeSet::new();
        while !writing.is_finished() && killed.len() < kills {
            for pid in std::fs::read_to_string(&children).unwrap_or_default().split_whitespace() {
                let _ = kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
                killed.insert(pid.to_owned());
            }
        }
        (killed.len(), writing.join().unwrap())
    });
    match written {
        // The last of them may have been done when it was killed.
        Written::Done(Ok(())) if killed < kills || !fine => return false,
        Written::Done(Ok(())) => {}
        Written::Done(Err(error)) => {
            assert!(!fine && error.to_string().contains("was killed, and so was"), "{error}")
        }
        Written::Late { .. } => panic!("late"),
    }
    assert_eq!(std::fs::read(&path).unwrap_or_default() == text, fine);
    true
}

/// No time at all is left, so the writer is still waiting for a processor: that is not a file system that hangs.
#[test]
fn a_writer_that_only_waits_for_a_processor_is_waited_for_and_no_file_system_blamed() {
    let dir = Dir::new();
    let path = dir.path("report.json");
    let all = || (0..20).map(|_| writer::write(&path, true, b"text", Duration::ZERO));
    let blamed = all().filter(|written| matches!(written, Written::Late { starved: false, .. })).count();
    // A disk that is busy may have had most of them to itself for a moment.
    assert!(blamed < 20, "{blamed} of 20");
    assert_eq!(std::fs::read(&path).unwrap(), b"text");
}

// === what softstop starts ===

/// Many hooks and probes, each of whose exec hangs: looking on must not add up to more than the grace.
#[test]
fn programs_on_a_file_system_that_hangs_do_not_add_up() {
    const PROCESSES: usize = 24;
    needs!(namespaces());
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let mut config = format!("grace = \"4s\"\nreport = {:?}\n", dir.text(REPORT));
        for n in 0..PROCESSES {
            config += &process(&format!("p{n}"), PROMPT);
            config += &format!(
                "[process.liveness]\nexec = [{hung:?}]\nperiod = \"1s\"\ntimeout = \"1s\"\nfailure_threshold = 1000\n\
                 [process.pre_stop]\nexec = [{hung:?}]\ntimeout = \"500ms\"\n",
                hung = hung.file()
            );
        }
        let mut running = dir.launch(&config).start();
        running.wait_for_count("up", PROCESSES).wait_until("a probe hangs", |_| hung.asked() > 0);
        if !account::is_out(&mut running, &dir, GRACE) {
            return;
        }
        hung.release();
        let ended = ended(running);
        assert_eq!(ended.stdout.matches("TERM handled").count(), PROCESSES, "{}", ended.all());
        let report = account::report(&dir, &ended.all());
        account::agrees(&report, &ended, GRACE);
    });
}

#[test]
fn a_main_process_that_never_gets_through_exec_costs_no_more_than_the_grace() {
    needs!(namespaces());
    at_once([true, false], |pid1| {
        with_hanging_file_system(|hung| {
            let dir = Dir::new();
            let launch = Launch::new(["--grace", "4s", "--report", &dir.text(REPORT), "--", hung.file()]);
            let mut running = launch.pid1(pid1).start();
            running.wait_until("it hangs", |_| hung.asked() > 0);
            if !account::is_out(&mut running, &dir, GRACE) {
                return;
            }
            if !pid1 {
                running.wait_until("softstop is gone", |r| processes::exits(r.pid()));
            }
            hung.release();
            let ended = ended(running);
            ended.expect_code(137);
            line(&ended.all(), &["1 process does not end after SIGKILL: leaving", "state: D"]);
            account::agrees(&account::report(&dir, &ended.all()), &ended, GRACE);
        });
    });
}
