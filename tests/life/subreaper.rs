//! softstop as an ordinary process: it adopts what its child leaves behind, and touches nobody else.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::account::nothing_left;
use crate::support::{Beside, CHILD, Launch, PROMPT, Running, SOFTSTOP, processes, until};

const GRACE: Duration = Duration::from_secs(4);

fn up(flags: &[&str], words: &[&str]) -> Running {
    Launch::child(flags, words).not_pid1().up()
}

#[test]
fn daemons_are_adopted_and_ended_and_strangers_are_not_touched() {
    let mut stranger = Beside(Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap());
    let ignores = ["ignore:TERM", "wait", "end"];
    let words =
        [&["session", "exit-on:TERM:0:300", "wait", "end", "session"], &ignores[..], &["fork"], &ignores, PROMPT];
    let words = words.concat();
    let running = up(&["--grace", "4s"], &words);
    let mark = running.mark();
    assert_eq!(running.marked().len(), 5, "softstop, its child and three more: {:?}", running.marked());
    let (ended, _) = running.stop_within(GRACE);
    assert_eq!(ended.stdout.matches("TERM handled").count(), 2, "{}", ended.all());
    nothing_left(&mark);
    assert!(stranger.0.try_wait().unwrap().is_none(), "a process that is not softstop's own was ended");
}

#[test]
fn orphans_are_reaped() {
    let mut running = up(&["--grace", "30s"], &["orphans:500", "exit-on:TERM:0", "say:up", "wait"]);
    running.wait_until("softstop has no zombie among its children", |r| {
        !processes::all().iter().any(|p| p.parent == r.pid() && p.is_zombie())
    });
    running.stop_within(GRACE).0.expect_code(0);
}

#[test]
fn ladder_and_sigkill_work_as_they_do_for_pid_1() {
    let running = up(&["--grace", "2s"], &["ignore:TERM", "say:up", "wait"]);
    let mark = running.mark();
    running.stop_within(Duration::from_secs(2)).0.expect_code(137).expect("SIGKILL");
    nothing_left(&mark);
}

#[test]
fn the_parents_death_can_be_the_stop_request() {
    // The shell starts softstop, says its own pid and is killed.
    let script = format!(
        "\"$@\" --grace 3s --parent-death-signal SIGTERM -- perl '{}' exit-on:TERM:0 say:up wait & wait",
        CHILD
    );
    // The tests may run twice on a machine.
    let mark = format!("parent-death-{}", std::process::id());
    let mut shell = Command::new("sh")
        .args(["-c", &script, "sh", SOFTSTOP])
        .env("TEST_MARK", &mark)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(shell.stdout.take().unwrap()));
    assert_eq!(lines.find(|l| l.as_ref().is_ok_and(|l| l == "up")).map(Result::unwrap).as_deref(), Some("up"));
    shell.kill().unwrap();
    shell.wait().unwrap();
    // The pipe ends when the last of them has ended.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(rest.iter().any(|l| l == "TERM received"), "{rest:?}");
    nothing_left(&format!("TEST_MARK={mark}"));
}

#[test]
fn a_sleeping_softstop_does_not_wake_up() {
    let running = up(&["--grace", "4s"], PROMPT);
    let switches = || processes::wake_ups(running.pid());
    // Two seconds in which nothing happens are the subject itself; the first may be those in which it still has its start to finish.
    until("it sleeps", || {
        let before = switches();
        std::thread::sleep(Duration::from_secs(2));
        switches() == before
    });
    running.stop_within(GRACE).0.expect_code(0);
}
