//! The last lines of what ends: they come out as long as somebody reads them and the grace lasts, and what does not is counted and said
//! wherever that is still possible. Lines that are too long, and outputs that are opened by name.

use std::io::{PipeReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::http::{free_port, get, status_json, status_of};
use crate::support::{Dir, SOFTSTOP, SOON, namespaces, processes, root, until, until_within};

/// So long a reader that reads nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// `lines` lines of 99 letters, then FATAL.
fn crash(lines: usize) -> String {
    format!("yes {} | head -n {lines}; echo FATAL; exit 1", "x".repeat(99))
}

struct Crashed {
    child: Child,
    out: PipeReader,
    err: PipeReader,
    since: Instant,
}

/// A softstop whose program ends by itself; nobody reads yet.
fn start(dir: &Dir, grace: &str, script: &str) -> Crashed {
    let (out, to_out) = std::io::pipe().unwrap();
    let (err, to_err) = std::io::pipe().unwrap();
    let message = dir.write("termination-log", "");
    let report = dir.text("report.json");
    let since = Instant::now();
    let child = Command::new(SOFTSTOP)
        .args(["--grace", grace, "--output", "prefix", "--termination-log", &message, "--report", &report])
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(to_out)
        .stderr(to_err)
        .spawn()
        .unwrap();
    Crashed { child, out, err, since }
}

impl Crashed {
    /// Its exit code, and how long it took.
    fn ended(&mut self) -> (i32, Duration) {
        let mut status = None;
        until_within("it ends", SOON * 3, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap().code().unwrap(), self.since.elapsed())
    }
}

fn text(mut from: impl Read) -> String {
    let mut text = Vec::new();
    from.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// What the report says was lost of this stream.
fn lost(dir: &Dir, stream: &str) -> (u64, String) {
    let report: serde_json::Value = serde_json::from_str(&dir.read("report.json")).unwrap();
    let timeline = report["timeline"].as_array().unwrap();
    let note = timeline.iter().find(|r| r["event"] == "output_lost" && r["stream"] == stream);
    note.map_or((0, String::new()), |n| (n["lines"].as_u64().unwrap(), n["why"].as_str().unwrap().to_owned()))
}

/// The sample of issue 8, with less and with more than fits into softstop's queue.
#[test]
fn a_reader_that_begins_after_three_seconds_gets_the_last_line_of_a_crash() {
    for lines in [2_000, 3_500] {
        let command = format!("'{SOFTSTOP}' --grace 30s --output prefix -- sh -c \"$0\" | (sleep 3; cat) | tail -1");
        let output = Command::new("sh").args(["-c", &command, &crash(lines)]).stderr(Stdio::null()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "sh | FATAL\n", "{lines} lines");
    }
}

/// Longer than it would be waited for if it did not read.
#[test]
fn a_slow_reader_is_served_as_long_as_it_reads() {
    let dir = Dir::new();
    let mut crashed = start(&dir, "60s", &crash(3_500));
    let mut out = crashed.out.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut bite = [0; 1 << 15];
        // About 11 bites of what is more than a pipe holds.
        loop {
            std::thread::sleep(Duration::from_millis(700));
            match out.read(&mut bite).unwrap() {
                0 => return all,
                n => all.extend(&bite[..n]),
            }
        }
    });
    let (code, took) = crashed.ended();
    assert_eq!(code, 1);
    assert!(took > Duration::from_secs(2), "{took:?}: the pipe alone cannot have held it");
    let all = String::from_utf8(reader.join().unwrap()).unwrap();
    assert_eq!((all.lines().count(), all.lines().last()), (3_501, Some("sh | FATAL")));
    assert_eq!(lost(&dir, "standard output").0, 0);
    assert!(!text(&mut crashed.err).contains("lost"));
}

#[test]
fn a_reader_that_never_reads_is_given_up_and_what_it_lost_is_counted_and_said() {
    let dir = Dir::new();
    // Into the pipe, softstop's queue and the child's pipe, so that the child is not held up.
    let mut crashed = start(&dir, "60s", &crash(3_500));
    let (code, took) = crashed.ended();
    assert_eq!(code, 1);
    assert!(took >= PATIENCE && took < PATIENCE + SOON, "{took:?}");
    let kept = text(&mut crashed.out);
    let whole = kept.matches('\n').count() as u64;
    let (lines, why) = lost(&dir, "standard output");
    assert_eq!((whole + lines, why.as_str()), (3_501, "nobody reads them"));
    let said = format!("{lines} lines of standard output were lost: nobody reads them");
    let log = text(&mut crashed.err);
    assert!(log.contains(&said), "{log}");
    assert!(dir.read("termination-log").contains(&said), "{}", dir.read("termination-log"));
}

/// Whoever is ended by SIGKILL while its last lines wait has left its account.
#[test]
fn termination_message_and_report_are_there_while_the_last_lines_wait_for_a_reader() {
    let dir = Dir::new();
    let mut crashed = start(&dir, "60s", &crash(3_500));
    until("both are there", || ["termination-log", "report.json"].iter().all(|name| !dir.read(name).is_empty()));
    assert!(crashed.child.try_wait().unwrap().is_none(), "it has ended");
    assert_eq!(lost(&dir, "standard output").0, 0, "they are not lost yet: this was written at the end");
    crashed.child.kill().unwrap();
    crashed.child.wait().unwrap();
}

/// A reader that goes on, but too slowly for the grace.
#[test]
fn the_end_of_the_grace_ends_the_wait_for_a_slow_reader() {
    let dir = Dir::new();
    let mut crashed = start(&dir, "4s", &crash(3_500));
    let mut out = crashed.out.try_clone().unwrap();
    let gone = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&gone);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut bite = [0; 500];
        while !until.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
            let n = out.read(&mut bite).unwrap();
            all.extend(&bite[..n]);
        }
        out.read_to_end(&mut all).unwrap();
        all
    });
    let (code, took) = crashed.ended();
    gone.store(true, Ordering::Relaxed);
    assert!(code == 1 && took < SOON, "{took:?}");
    // The reader has all of the grace but for the report's part, in which the report's writer may get no processor.
    let said = text(&mut crashed.err);
    if said.contains("no processor time was left for it") {
        return;
    }
    // The grace begins with the crash, which takes its time on a busy machine.
    assert!(dir.read("report.json").contains("\"within_grace\": true"), "{said}{}", dir.read("report.json"));
    let kept = String::from_utf8(reader.join().unwrap()).unwrap().matches('\n').count() as u64;
    let (lines, why) = lost(&dir, "standard output");
    assert_eq!((kept + lines, why.as_str()), (3_501, "not read before the grace was over"));
}

#[test]
fn lines_lost_on_standard_error_are_said_on_standard_output() {
    let dir = Dir::new();
    let mut crashed = start(&dir, "60s", &format!("({}) >&2", crash(3_500)));
    let (code, _) = crashed.ended();
    assert_eq!(code, 1);
    let (lines, _) = lost(&dir, "standard error");
    let said = format!("softstop: warning: {lines} lines of standard error were lost: nobody reads them\n");
    assert!(lines > 0);
    assert_eq!(text(&mut crashed.out), said);
    // Of the other stream nothing was lost, which is nothing to report.
    assert_eq!(dir.read("report.json").matches("output_lost").count(), 1);
}

/// A program's own bytes are nobody's to write between.
#[test]
fn with_inherited_output_nothing_of_ours_goes_to_standard_output() {
    let (out, to_out) = std::io::pipe().unwrap();
    let (err, to_err) = std::io::pipe().unwrap();
    drop(err);
    let mut child = Command::new(SOFTSTOP)
        .args(["--log-level", "debug", "--", "sh", "-c", "echo data; exit 3"])
        .stdout(to_out)
        .stderr(to_err)
        .spawn()
        .unwrap();
    assert_eq!((text(out).as_str(), child.wait().unwrap().code()), ("data\n", Some(3)));
}

/// The pipes are root's, as a container runtime's are whose image has no USER; each process is somebody else.
#[test]
fn processes_of_several_users_open_dev_stdout_and_dev_stderr_by_name() {
    needs!(namespaces(), root("another user for a process"));
    for output in ["inherit", "prefix"] {
        let dir = Dir::new();
        let process = |name: &str, user: u32| {
            format!(
                "[[process]]\nname = \"{name}\"\nuser = \"{user}:{user}\"\noutput = \"{output}\"\nrestart = \"never\"\n\
                 command = [\"sh\", \"-c\", \"echo {name} out > /dev/stdout; echo {name} err > /dev/stderr; \
                 echo {name} self > /proc/self/fd/1; sleep 0.3; echo {name} again >> /dev/stdout\"]\n"
            )
        };
        let ended = dir.launch(&[process("one", 4711), process("two", 65534)].concat()).run();
        ended.expect_code(0).expect_not("denied");
        for name in ["one", "two"] {
            for word in ["out", "err", "self", "again"] {
                ended.expect(&format!("{name} {word}\n"));
            }
        }
    }
}

/// The same for what it reads: of the one process that inherits it.
#[test]
fn a_process_of_another_user_opens_the_dev_stdin_that_it_inherits_by_name() {
    needs!(namespaces(), root("another user for a process"));
    let dir = Dir::new();
    let config = "[[process]]\nname = \"reader\"\nuser = \"4711:4711\"\nstdin = \"inherit\"\nrestart = \"never\"\n\
        command = [\"cat\", \"/dev/stdin\"]\n";
    let typed = ["sh", "-c", "echo typed | exec \"$@\"", "sh"];
    // The pipe's owner is root, and it goes through no shell that is PID 1.
    let ended = dir.launch(config).not_pid1().through(&typed).run();
    ended.expect_code(0).expect("typed\n").expect_not("denied");
}

/// Not only by a terminal: whoever sends SIGSTOP, and whoever SIGCONT.
#[test]
fn a_process_stopped_by_sigstop_shows_as_stopped_and_unready_until_it_is_continued() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let config = format!(
        "grace = \"20s\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n[[process]]\nname = \"web\"\n\
         command = [\"sh\", \"-c\", \"echo up; while :; do sleep 0.05; done\"]\n"
    );
    let mut running = dir.launch(&config).up();
    running.wait_until("it is ready", |_| status_of(port, "/readyz") == Some(200));
    let pid = processes::children(running.pid())[0];
    for round in 1..=2 {
        processes::send(pid, libc::SIGSTOP);
        running.wait_until("it is not ready", |_| status_of(port, "/readyz") == Some(503));
        let process = status_json(port)["processes"][0].clone();
        assert_eq!((&process["state"], &process["reason"]), (&"Running".into(), &"Stopped".into()), "{process}");
        assert_eq!((&process["stopped"], &process["message"]), (&true.into(), &"stopped by SIGSTOP".into()));
        let metrics = get(port, "/metrics").unwrap().body;
        assert!(metrics.contains("softstop_process_stopped{process=\"web\"} 1\n"), "{metrics}");
        if round == 1 {
            processes::send(pid, libc::SIGCONT);
            running.wait_until("it is ready again", |_| status_of(port, "/readyz") == Some(200));
            assert!(status_json(port)["processes"][0].get("stopped").is_none());
        }
    }
    // Said once: the second time was soon after. Once in ten seconds.
    let (ended, took) = running.stop_within(Duration::from_secs(20));
    ended.expect("web: stopped by SIGSTOP; it does nothing until SIGCONT: softstop signal web CONT");
    assert!(took < Duration::from_secs(10), "{took:?}: the stop wakes it");
    let said = ended.stderr.matches("stopped by SIGSTOP").count() as u64;
    assert!(said <= 1 + ended.lived.as_secs() / 10, "{}", ended.stderr);
}
