//! softstop as a sidecar, with real processes: start-up held back, no process of its own, a preStop hook that comes from another container,
//! its own SIGTERM later, and a main process that somebody else started, seen in a shared PID namespace.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::http::{free_port, read_all, send, status_of};
use crate::support::{Beside, Dir, Launch, Running, SOON, copy_program, namespaces};

const GRACE: Duration = Duration::from_secs(4);

struct Sidecar {
    running: Running,
    port: u16,
    dir: Dir,
}

/// `config` may say DIR for the test's directory.
fn launch(config: &str) -> (Launch, u16, Dir) {
    launch_with("grace = '4s'", config)
}

fn launch_with(head: &str, config: &str) -> (Launch, u16, Dir) {
    let (dir, port) = (Dir::new(), free_port());
    let config = config.replace("DIR", dir.path("").to_str().unwrap().trim_end_matches('/'));
    let config =
        format!("{head}\n[http]\nlisten = '127.0.0.1:{port}'\n[http.prestop]\nfrom = '127.0.0.1'\n[sidecar]\n{config}");
    (dir.launch(&config), port, dir)
}

fn up(config: &str) -> Sidecar {
    let (launch, port, dir) = launch(config);
    let mut running = launch.start();
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    Sidecar { running, port, dir }
}

/// The main container's preStop hook, as its kubelet sends it; the whole answer.
fn hook(port: u16) -> String {
    read_all(send(port, "GET /prestop HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-lifecycle/1.36\r\n\r\n").unwrap())
        .unwrap()
}

const POST_STOP: &str =
    "[[post_stop]]\nname = 'last'\nexec = ['sh', '-c', 'echo post_stop $SOFTSTOP_EXIT_CODE >>\"DIR/done\"']\n";

/// The kubelet starts the main container when `/startupz` answers 200.
#[test]
fn it_is_not_started_before_its_init_tasks_are_done_and_needs_no_process() {
    needs!(namespaces());
    let init = "[[init]]\nname = 'migrate'\nexec = ['sh', '-c', 'until [ -e \"DIR/go\" ]; do sleep 0.02; done']\n";
    let (launch, port, dir) = launch(&format!("{init}{POST_STOP}"));
    let mut running = launch.start();
    running.wait_until("served", |_| status_of(port, "/livez") == Some(200));
    assert_eq!((status_of(port, "/startupz"), status_of(port, "/readyz")), (Some(503), Some(503)));
    dir.write("go", "");
    running.wait_until("started", |_| status_of(port, "/startupz") == Some(200));
    assert_eq!(status_of(port, "/readyz"), Some(200));
    let (ended, took) = running.stop_within(GRACE);
    ended.expect_code(0).expect("init: migrate: done");
    // The stop would take three seconds if there were anything to wait for.
    assert!(took < Duration::from_millis(2900), "nothing was to be waited for: {took:?}\n{}", ended.all());
    assert_eq!(dir.read("done"), "post_stop 0\n");
}

/// A stop before the init tasks are done is no success.
#[test]
fn a_stop_during_the_init_tasks_is_told_by_the_exit_code() {
    needs!(namespaces());
    let (launch, port, _dir) = launch("[[init]]\nname = 'long'\nexec = ['sleep', '60']\n[[drain]]\nsleep = '100ms'\n");
    let mut running = launch.start();
    running.wait_until("under way", |_| status_of(port, "/startupz") == Some(503));
    running.stop_within(GRACE).0.expect_code(143);
}

/// The hook is another container's: when it has its answer the kubelet stops that one first, and this one at its turn.
#[test]
fn after_the_hook_it_lives_until_its_own_sigterm_and_works_after_the_main_container() {
    needs!(namespaces());
    // Long enough for this thread to be late: softstop ends by itself at the end of the grace.
    let config = format!("[[drain]]\nsleep = '500ms'\n{POST_STOP}reserve = '2s'\n");
    let (launch, port, dir) = launch_with("grace = '6s'", &config);
    let mut running = launch.start();
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    let asked = Instant::now();
    let answer = hook(port);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("drained in "), "{answer}");
    // The main container takes longer than softstop's own stop would have waited: that begins after 3 s of 6 s elsewhere.
    running.wait_until("3.5 s are over", |_| asked.elapsed() >= Duration::from_millis(3500));
    assert_eq!((status_of(port, "/livez"), dir.read("done")), (Some(200), String::new()));
    let turn = running.age();
    let ended = running.stop();
    let took = ended.at_work.saturating_sub(turn);
    assert!(took < Duration::from_millis(2400), "{took:?}\n{}", ended.all());
    ended.expect_code(0).expect("GET /prestop by a kubelet").expect_within_the_grace().expect_not("not done");
    assert_eq!(dir.read("done"), "post_stop 0\n");
}

/// The kubelet sends SIGTERM at the end of the grace, and leaves two seconds.
#[test]
fn its_turn_may_come_with_the_end_of_the_grace() {
    needs!(namespaces());
    let post_stop = "[[post_stop]]\nname = 'long'\nexec = ['sleep', '60']\nreserve = '500ms'\nessential = true\n";
    let Sidecar { mut running, port, .. } = up(post_stop);
    let asked = running.age();
    hook(port);
    running.wait_until("the grace is nearly over", |r| r.age() - asked >= Duration::from_millis(3900));
    let ended = running.stop();
    assert!(ended.lived - asked > Duration::from_millis(4500), "{:?}\n{}", ended.lived, ended.all());
    ended.expect_gone_by(asked + Duration::from_secs(6));
    ended.expect("long: cut short");
}

#[test]
fn where_its_turn_does_not_come_it_ends_by_itself() {
    needs!(namespaces());
    let Sidecar { running, port, dir } = up(POST_STOP);
    let asked = running.age();
    hook(port);
    let begun = running.age();
    let ended = running.wait(SOON);
    assert!(ended.lived - asked >= GRACE, "{:?}\n{}", ended.lived, ended.all());
    ended.expect_gone_by(begun + Duration::from_secs(6));
    ended.expect_code(0);
    assert_eq!(dir.read("done"), "post_stop 0\n");
}

/// The kubelet's timer has run out during the hook: this container's SIGTERM comes at the same moment.
#[test]
fn sigterm_during_the_hook_leaves_two_seconds() {
    needs!(namespaces());
    let Sidecar { mut running, port, dir } = up(&format!("[[drain]]\nsleep = '40s'\n{POST_STOP}reserve = '1s'\n"));
    let waiting = std::thread::spawn(move || hook(port));
    running.wait_for("drain: sleep 40s");
    let asked = running.age();
    let ended = running.stop();
    ended.expect_in_time(asked, Duration::from_secs(2), "");
    ended.expect("2s are left");
    assert!(waiting.join().unwrap().contains("sleep 40s (cut short"), "the hook has its answer");
    assert_eq!(dir.read("done"), "post_stop 0\n");
}

/// For a process that somebody else starts; short enough for the kernel to keep it whole.
fn name(letter: char) -> String {
    format!("main{letter}{}", std::process::id())
}

fn stranger(dir: &Dir, name: &str) -> Beside {
    let program = dir.path(name);
    copy_program("/bin/sleep", &program);
    Beside(Command::new(program).arg("600").stdin(Stdio::null()).spawn().unwrap())
}

/// A plain container in a Job's pod with a shared PID namespace: nothing but its own end lets the Job finish.
#[test]
fn it_ends_with_the_process_that_it_follows() {
    let home = Dir::new();
    let name = name('a');
    let (launch, port, dir) =
        launch(&format!("follow = '{name}'\n[[drain]]\nname = 'traffic'\nsleep = '2s'\n{POST_STOP}"));
    let mut running = launch.not_pid1().start();
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    let main = stranger(&home, &name);
    running.wait_for("runs; the stop begins when it has ended");
    drop(main);
    let ended = running.wait(SOON);
    // Nobody asked for the stop: there is no traffic to drain.
    ended.expect_code(0).expect(&format!("{name} is gone")).expect("traffic: skipped");
    assert_eq!(dir.read("done"), "post_stop 0\n");
}

/// It may have ended before it could be seen.
#[test]
fn what_never_appears_counts_as_ended() {
    let (launch, _, dir) = launch(&format!("follow = 'nobody-has-this'\nappear_within = '300ms'\n{POST_STOP}"));
    let ended = launch.not_pid1().start().wait(SOON);
    ended.expect_code(0).expect("nobody-has-this was not seen within 300ms");
    assert_eq!(dir.read("done"), "post_stop 0\n");
}

/// A stop goes before: what is followed is left alone.
#[test]
fn sigterm_comes_before_the_end_of_what_it_follows() {
    let home = Dir::new();
    let name = name('b');
    let mut main = stranger(&home, &name);
    let (launch, _, _dir) = launch(&format!("follow = '{name}'\n{POST_STOP}"));
    let mut running = launch.not_pid1().start();
    running.wait_for("runs; the stop begins when it has ended");
    running.stop_within(GRACE).0.expect_code(0).expect_not("is gone");
    assert!(main.0.try_wait().unwrap().is_none(), "it was ended");
}
