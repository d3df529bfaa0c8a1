//! Output that goes nowhere: a full disk (ENOSPC), a reader that has gone (EPIPE), pipes that are full and that nobody reads. None of
//! it delays the stop, changes the exit code or ends a process; each is said in one line where there is somebody to say it to.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::faults::{self, Fault};
use crate::support::proof::Proof;
use crate::support::{Dir, Ended, Launch, at_once};

const GRACE: Duration = Duration::from_secs(3);

/// Starts it, waits for the file that says that its child is up, as output may not say it, and stops it.
fn stopped(faults: &[Fault], flags: &[&str], words: &[&str], unread: bool) -> Ended {
    let dir = Dir::new();
    let up = format!("journal:{}:up", dir.text("up"));
    let flags: Vec<&str> = ["--grace", "3s"].iter().chain(flags).copied().collect();
    let words: Vec<&str> = words.iter().map(|w| if *w == "UP" { up.as_str() } else { w }).collect();
    let mut launch = faults::launch(faults, Launch::child(&flags, &words));
    if unread {
        launch = launch.unread();
    }
    let mut running = launch.start();
    running.wait_until("the child is up", |_| dir.path("up").exists());
    Proof::begin(&mut running).stop(running, GRACE)
}

fn lines_with<'a>(ended: &'a Ended, text: &str) -> Vec<&'a str> {
    ended.stderr.lines().filter(|l| l.contains(text)).collect()
}

/// The number at the beginning of "N lines of standard output were lost".
fn lost(ended: &Ended) -> Vec<u64> {
    let told = lines_with(ended, "of standard output w");
    told.iter().map(|l| l.split("warning: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_full_disk_as_output_loses_lines_and_says_how_many() {
    needs!(faults::possible());
    let full = [Fault::Stdout("/dev/full".into())];
    for output in ["prefix", "json"] {
        let words = ["say:1", "sleep:50", "say:2", "sleep:50", "say:3", "exit-on:TERM:5", "UP", "wait"];
        // TERM makes it say two lines more.
        let ended = stopped(&full, &["--output", output], &words, false);
        ended.expect_code(5).expect("No space left on device").expect("perl ended with exit code 5");
        assert_eq!(lost(&ended).iter().sum::<u64>(), 5, "{}", ended.all());
        assert_eq!(lost(&ended).len(), 2, "when it begins and at the end:\n{}", ended.all());
    }
}

/// Whoever writes without end into a full disk: two lines about it, not one for each line lost.
#[test]
fn a_flood_into_a_full_disk_is_no_flood_of_warnings() {
    needs!(faults::possible());
    let full = [Fault::Stdout("/dev/full".into())];
    let ended = stopped(&full, &["--output", "prefix"], &["UP", "fill"], false);
    ended.expect_code(143);
    assert!((1..=2).contains(&lost(&ended).len()), "{}", ended.all());
    assert!(ended.calm().lines().count() <= 7, "{}", ended.all());
}

#[test]
fn a_log_that_cannot_be_written_changes_nothing() {
    needs!(faults::possible());
    for (fault, why) in
        [(Fault::Stderr("/dev/full".into()), "No space left on device"), (Fault::StderrGone, "Broken pipe")]
    {
        let dir = Dir::new();
        let report = dir.text("report.json");
        let flags = ["--output", "prefix", "--log-level", "debug", "--report", &report];
        let ended = stopped(&[fault], &flags, &["exit-on:TERM:5", "say:one", "UP", "wait"], false);
        ended.expect_code(5);
        let said = ended.stdout.strip_prefix("perl | one\nperl | TERM received\nperl | TERM handled\n");
        // Where the log cannot be written the last word on that is.
        let is_word = |said: &str| said.contains("standard error ") && said.contains(why) && said.lines().count() == 1;
        assert!(said.is_some_and(is_word), "{}", ended.all());
        assert!(dir.read("report.json").contains("\"exit_code\": 5"), "{}", dir.read("report.json"));
    }
}

#[test]
fn a_reader_that_has_gone_is_told_of_once_and_ends_nobody() {
    needs!(faults::possible());
    for output in ["prefix", "json"] {
        let words = ["say:1", "sleep:50", "say:2", "sleep:50", "say:3", "exit-on:TERM:5", "UP", "wait"];
        let ended = stopped(&[Fault::StdoutGone], &["--output", output], &words, false);
        ended.expect_code(5);
        let told = lines_with(&ended, "standard output cannot be written any more (Broken pipe");
        assert_eq!(told.len(), 1, "{}", ended.all());
    }
    // What has the pipe itself gets the SIGPIPE it would get without softstop, and keeps the code.
    let ended = faults::launch(&[Fault::StdoutGone], Launch::child(&["--grace", "3s"], &["say:1", "wait"])).run();
    ended.expect_code(128 + libc::SIGPIPE);
    // Both gone: nobody to tell.
    let both = [Fault::StdoutGone, Fault::StderrGone];
    stopped(&both, &["--output", "prefix"], &["say:1", "exit-on:TERM:5", "UP", "wait"], false).expect_code(5);
}

#[test]
fn a_report_and_a_termination_message_that_cannot_be_written_are_one_line_each() {
    needs!(faults::possible());
    let dir = Dir::new();
    nix::unistd::mkfifo(dir.path("fifo").as_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let disk = dir.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let on_disk = |name: &str| disk.join(name).to_str().unwrap().to_owned();
    let full = [Fault::Full(disk.clone()), Fault::Stdout(PathBuf::from(on_disk("termination-log")))];
    let nothing: &[Fault] = &[];
    let cases = [
        (nothing, "/dev/full".to_owned(), "/dev/full".to_owned(), "No space left"),
        (&full, on_disk("report.json"), on_disk("termination-log"), "No space left"),
        // Opening a FIFO that nobody reads would wait for ever.
        (nothing, dir.text("fifo"), dir.text("fifo"), "No such device or address"),
        (&[Fault::StdoutGone], "/dev/stdout".to_owned(), "/dev/stdout".to_owned(), "Broken pipe"),
    ];
    for (faults, report, message, why) in cases {
        let flags = ["--output", "prefix", "--report", &report, "--termination-log", &message];
        let ended = stopped(faults, &flags, &["exit-on:TERM:5", "UP", "wait"], false);
        ended.expect_code(5).expect("perl ended with exit code 5");
        for what in ["the report", "the termination message"] {
            let told = lines_with(&ended, &format!("cannot write {what} to "));
            assert!(told.len() == 1 && told[0].contains(why), "{what}, {why}:\n{}", ended.all());
        }
    }
}

/// Full before softstop was started and never read: neither the start, nor the run, nor the stop waits for it.
#[test]
fn pipes_that_are_full_from_the_first_moment_delay_nothing() {
    needs!(faults::possible());
    let cases: [(&[&str], i32); 4] = [
        // Without a word: with `inherit` its own would wait for a reader.
        (&["journal-on:TERM:/dev/null:x", "UP", "wait"], 0),
        (&["UP", "fill"], 143),
        (&["ignore:TERM", "UP", "fill"], 137),
        (&["session", "UP", "fill", "end", "UP", "wait"], 143),
    ];
    // They wait most of the time: the outputs are tried at once.
    at_once(["inherit", "prefix", "json"], |output| {
        for (words, code) in cases {
            let dir = Dir::new();
            let report = dir.text("report.json");
            let flags = ["--output", output, "--log-level", "debug", "--report", &report];
            let ended = stopped(&[Fault::Stuffed], &flags, words, true);
            ended.expect_code(code);
            let report = dir.read("report.json");
            assert!(report.contains(&format!("\"exit_code\": {code}")), "{output}, {words:?}: {report}");
            let in_time = report.contains("\"within_grace\": true");
            assert!(in_time || ended.was_starved(), "{output}, {words:?}: {report}");
        }
    });
}

/// A report or termination message that goes into the full pipe is given up, not waited for.
#[test]
fn a_report_into_a_full_pipe_is_not_waited_for() {
    needs!(faults::possible());
    let flags = ["--output", "prefix", "--report", "/dev/stdout", "--termination-log", "/dev/stderr"];
    stopped(&[Fault::Stuffed], &flags, &["exit-on:TERM:5", "UP", "fill"], true).expect_code(5);
}
