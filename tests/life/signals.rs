//! Signals that mean one thing to one program and another to the next: SIGQUIT, the stop signals of images, SIGHUP, SIGCONT. With real
//! processes; docs/signals.md has the table.

use std::io::{BufRead, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::http::{free_port, status_of};
use crate::support::{CHILD, Dir, Launch, Running, SOFTSTOP, SOON, at_once, installed, namespaces, process, processes};

/// As `kubectl exec … kill -SIG 1` does it.
fn kill_from_inside(running: &Running, signal: &str) {
    let target = running.pid().to_string();
    let script = format!("kill -{signal} 1");
    let status = Command::new("nsenter").args(["--target", &target, "--pid", "--mount", "sh", "-c", &script]).status();
    let status = status.unwrap();
    // Where the signal is a stop, PID 1 may have ended before the shell has, and takes it along.
    assert!(status.success() || status.signal() == Some(libc::SIGKILL), "{status}");
}

/// Perl by another program's name, which the kernel then shows for it.
fn stand_in(dir: &Dir, name: &str) -> String {
    let perl = Command::new("sh").args(["-c", "command -v perl"]).output().unwrap();
    let place = dir.path(name);
    std::os::unix::fs::symlink(String::from_utf8(perl.stdout).unwrap().trim(), &place).unwrap();
    place.display().to_string()
}

fn wrapped(flags: &[&str], program: &str, words: &[&str]) -> Launch {
    Launch::new(flags.iter().chain(&["--", program, CHILD]).chain(words).copied())
}

const THREAD_DUMP: &[&str] = &["on:QUIT", "exit-on:TERM:143", "say:up", "wait"];

// === SIGQUIT ===

#[test]
fn a_quit_from_inside_the_container_is_passed_on() {
    needs!(namespaces());
    let mut running = wrapped(&["--grace", "30s"], "perl", THREAD_DUMP).up();
    kill_from_inside(&running, "QUIT");
    running.wait_for("QUIT received");
    kill_from_inside(&running, "3");
    running.wait_for_count("QUIT received", 2);
    let (ended, _) = running.stop_within(Duration::from_secs(30));
    ended.expect_code(143).expect("stopping: SIGTERM from outside the container");
    let said =
        "from inside the container, so it is passed on; --stop-on SIGTERM,SIGINT,SIGQUIT (stop_on) makes it a stop";
    assert_eq!(ended.all().matches(said).count(), 1, "once is enough:\n{}", ended.all());
}

#[test]
fn a_quit_from_outside_is_a_stop_and_drains_first() {
    needs!(namespaces());
    let words = ["exit-on:QUIT:0", "say:up", "wait"];
    let mut running = wrapped(&["--grace", "30s", "--drain-sleep", "300ms"], "perl", &words).up();
    running.signal(libc::SIGQUIT);
    let ended = running.wait(SOON);
    ended.expect_code(0).expect("drain: sleep 300ms: done").expect("QUIT handled");
    ended.expect("SIGQUIT from outside the container: from whoever runs the container, so this is a stop");
}

#[test]
fn java_answers_a_quit_from_outside_with_its_dump_and_goes_on() {
    needs!(namespaces());
    let dir = Dir::new();
    let java = stand_in(&dir, "java");
    // As an entrypoint script starts it, too: by then another program runs than was started.
    let exec = format!("exec '{java}' '{CHILD}' {}", THREAD_DUMP.join(" "));
    let direct = wrapped(&["--grace", "30s"], &java, THREAD_DUMP);
    for launch in [direct, Launch::new(["--grace", "30s", "--", "sh", "-c", &exec])] {
        let mut running = launch.up();
        running.signal(libc::SIGQUIT).wait_for("QUIT received");
        let (ended, _) = running.stop_within(Duration::from_secs(30));
        ended.expect_code(143).expect("stopping: SIGTERM").expect(
            "SIGQUIT from outside the container: java answers it with a dump and goes on, so it is passed on; \
             --stop-on SIGTERM,SIGINT,SIGQUIT (stop_on) makes it a stop",
        );
    }
}

/// jsvc, launchers of jpackage, and whatever else loads libjvm.so.
#[test]
fn a_jvm_by_another_name_is_known_by_what_it_has_mapped() {
    needs!(namespaces());
    let dir = Dir::new();
    let library = dir.text("libjvm.so");
    let built = Command::new("cc").args(["-shared", "-nostdlib", "-o", &library, "-x", "c", "/dev/null"]).status();
    assert!(built.unwrap().success(), "cc is what Rust links with");
    let dump = "$SIG{QUIT} = sub { syswrite STDOUT, \"QUIT received\\n\" }; $SIG{TERM} = sub { exit 143 }; ";
    let load = "require DynaLoader; DynaLoader::dl_load_file($ARGV[0]) or die DynaLoader::dl_error(); ";
    let wait = "syswrite STDOUT, \"up\\n\"; select undef, undef, undef, 60 while 1";
    let (with, without) = (format!("{dump}{load}{wait}"), format!("{dump}{wait}"));
    let mut running = Launch::new(["--grace", "30s", "--", "perl", "-e", &with, &library]).up();
    running.signal(libc::SIGQUIT).wait_for("QUIT received");
    running.stop_within(Duration::from_secs(30)).0.expect_code(143).expect("java answers it with a dump");
    // The same program without it.
    let flags = ["--grace", "30s", "--stop-signal", "SIGTERM"];
    let mut running = Launch::new(flags.into_iter().chain(["--", "perl", "-e", &without])).up();
    running.signal(libc::SIGQUIT);
    running.wait(SOON).expect_code(143).expect_not("QUIT received").expect("so this is a stop");
}

#[test]
fn stop_on_makes_a_quit_a_stop_for_java_and_from_inside() {
    needs!(namespaces());
    let dir = Dir::new();
    let java = stand_in(&dir, "java");
    let flags = ["--grace", "30s", "--stop-on", "SIGTERM,SIGINT,SIGQUIT", "--stop-signal", "SIGTERM"];
    for inside in [false, true] {
        let mut running = wrapped(&flags, &java, THREAD_DUMP).up();
        if inside {
            kill_from_inside(&running, "QUIT");
        } else {
            running.signal(libc::SIGQUIT);
        }
        running.wait(SOON).expect_code(143).expect("stopping: SIGQUIT").expect_not("QUIT received");
    }
}

/// `docker run --init` with softstop in the image's ENTRYPOINT: the init passes on what it gets, in its own name.
#[test]
fn a_quit_that_another_init_passes_on_is_from_outside() {
    needs!(namespaces());
    let inner =
        [SOFTSTOP, "--grace", "30s", "--drain-sleep", "100ms", "--", "perl", CHILD, "exit-on:QUIT:0", "say:up", "wait"];
    let expect = |code: Option<i32>, log: &str| {
        assert_eq!(code, Some(0), "{log}");
        for text in ["stopping: SIGQUIT from its parent, pid 1;", "drain: sleep 100ms: done", "QUIT handled"] {
            assert!(log.contains(text), "{text:?}:\n{log}");
        }
    };
    let mut running = Launch::new(["--grace", "30s", "--"].iter().chain(&inner).copied()).up();
    running.signal(libc::SIGQUIT);
    let ended = running.wait(SOON);
    expect(Some(ended.code), &ended.all());
    // And another's.
    let unshare = ["--pid", "--fork", "--mount-proc", "--kill-child", "tini", "--"];
    needs!(installed(&["tini"]));
    let mut command = Command::new("unshare");
    command.args(unshare).args(inner).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim() != "up" {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    processes::send(processes::children(child.id() as i32)[0], libc::SIGQUIT);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    expect(ended.status.code(), &format!("{rest}{}", String::from_utf8_lossy(&ended.stderr)));
}

// === the stop signals of images ===

/// STOPSIGNAL SIGUSR1 of haproxy's image, SIGWINCH of httpd's, SIGINT of postgres', and so on: the drain comes first, then the program
/// gets that signal.
#[test]
fn the_stop_signal_of_the_image_from_outside_drains_first() {
    needs!(namespaces());
    let dir = Dir::new();
    let images = [
        ("haproxy", "USR1", libc::SIGUSR1),
        ("apache2", "WINCH", libc::SIGWINCH),
        ("postgres", "INT", libc::SIGINT),
        ("php-fpm8.4", "QUIT", libc::SIGQUIT),
        ("systemd", "37", 37),
    ];
    at_once(images, |(name, signal, number)| {
        let (program, port) = (stand_in(&dir, name), free_port());
        let http = format!("127.0.0.1:{port}");
        let words = [&format!("exit-on:{signal}:0"), "say:up", "wait"];
        let exec = format!("exec '{program}' '{CHILD}' {}", words.join(" "));
        let flags = ["--grace", "30s", "--drain-sleep", "3s", "--http", &http, "--", "sh", "-c", &exec];
        let mut running = Launch::new(flags).up();
        running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
        running.signal(number).wait_until("not ready any more", |_| status_of(port, "/readyz") == Some(503));
        assert!(!running.printed().contains("received"), "{name}: before the drain:\n{}", running.printed());
        let ended = running.wait(SOON);
        ended.expect_code(0).expect("drain: sleep 3s: done").expect(&format!("{signal} handled"));
        if !["INT"].contains(&signal) {
            ended.expect("'s stop signal, so this is a stop; --stop-on (stop_on) says otherwise");
        }
    });
}

#[test]
fn the_stop_signal_of_the_program_from_inside_is_passed_on() {
    needs!(namespaces());
    let dir = Dir::new();
    let haproxy = stand_in(&dir, "haproxy");
    let words = ["on:USR1", "exit-on:TERM:0", "say:up", "wait"];
    let mut running = wrapped(&["--grace", "30s"], &haproxy, &words).up();
    kill_from_inside(&running, "USR1");
    running.wait_for("USR1 received");
    running.stop_within(Duration::from_secs(30)).0.expect_code(0).expect("stopping: SIGTERM");
}

/// The main process gets the signal that it is customarily stopped with; the others, theirs.
#[test]
fn under_run_the_main_process_gets_its_own_stop_signal_and_the_others_sigterm() {
    needs!(namespaces());
    let dir = Dir::new();
    let haproxy = stand_in(&dir, "haproxy");
    let config = format!(
        "grace = '30s'\n[[drain]]\nsleep = '100ms'\n\
         [[process]]\nname = 'lb'\nmain = true\ncommand = ['{haproxy}', '{CHILD}', 'exit-on:USR1:0', 'say:lb up', 'wait']\n\
         {}",
        process("side", &["on:USR1", "exit-on:TERM:0", "say:side up", "wait"])
    );
    let mut running = dir.launch(&config).start();
    running.wait_for("lb up").wait_for("side up").signal(libc::SIGUSR1);
    let ended = running.wait(SOON);
    ended.expect_code(0).expect("lb: stopping: SIGUSR1").expect("side: stopping: SIGTERM").expect("drain: ");
}

/// Without /proc the name is the one that was started, and nobody is taken for a JVM.
#[test]
fn without_proc_a_program_is_known_by_the_name_it_was_started_with() {
    needs!(namespaces());
    let dir = Dir::new();
    let (haproxy, java) = (stand_in(&dir, "haproxy"), stand_in(&dir, "java"));
    let hide = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];
    let flags = ["--grace", "30s"];
    let mut running = wrapped(&flags, &haproxy, &["exit-on:USR1:0", "say:up", "wait"]).through(&hide).up();
    running.signal(libc::SIGUSR1);
    running.wait(SOON).expect_code(0).expect("haproxy's stop signal, so this is a stop");
    let mut running = wrapped(&flags, &java, THREAD_DUMP).through(&hide).up();
    running.signal(libc::SIGQUIT).wait_for("QUIT received");
    running.stop_within(Duration::from_secs(30)).0.expect_code(143);
    let mut running = wrapped(&flags, "perl", &["exit-on:QUIT:0", "say:up", "wait"]).through(&hide).up();
    running.signal(libc::SIGQUIT);
    running.wait(SOON).expect_code(0).expect("so this is a stop");
}

// === signals that come by themselves, and those that end who does not catch them ===

#[test]
fn a_sigcont_behind_the_sigterm_warns_of_nothing() {
    needs!(namespaces());
    let dir = Dir::new();
    let process = |name: &str| process(name, &["exit-on:TERM:0:200", &format!("say:{name} up"), "wait"]);
    let launch = dir.launch(&(process("one") + &process("two")));
    let mut running = launch.clone().start();
    running.wait_for("one up").wait_for("two up").signal(libc::SIGCONT).term().signal(libc::SIGCONT);
    running.wait(SOON).expect_code(0).expect_not("SIGCONT");
    // timeout(1) itself.
    launch
        .not_pid1()
        .through(&["timeout", "5"])
        .run()
        .expect("stopping: SIGTERM from its parent")
        .expect_not("SIGCONT");
}

/// As PID 1 of its own it would not die of any of these. SIGHUP is a reload where the main process does not ask for it.
#[test]
fn a_hang_up_in_run_does_not_end_the_one_process_that_does_not_catch_it() {
    needs!(namespaces());
    let dir = Dir::new();
    let config = process("web", &["on:USR2", "exit-on:TERM:0", "say:up", "wait"]) + "rewrite = { SIGHUP = 'SIGHUP' }\n";
    let mut running = dir.launch(&config).up();
    let signals =
        [("SIGHUP", libc::SIGHUP), ("SIGUSR1", libc::SIGUSR1), ("SIGALRM", libc::SIGALRM), ("SIGRTMIN+5", 39)];
    for (name, number) in signals {
        running.signal(number);
        running.wait_for(&format!(
            "{name} from outside the container not passed on: the main process does not catch it, and would end; forward = \"all\" passes it on"
        ));
    }
    kill_from_inside(&running, "QUIT");
    running.wait_for("SIGQUIT from pid").wait_for("not passed on: the main process does not catch it");
    // What it catches, it gets, and what does no harm goes through in silence.
    running.signal(libc::SIGWINCH).signal(libc::SIGUSR2).wait_for("USR2 received");
    running.stop_within(Duration::from_secs(30)).0.expect_code(0).expect_not("SIGWINCH");
    // Who wants it otherwise says so.
    let mut running = dir.launch(&format!("forward = 'all'\n{config}restart = 'never'\n")).up();
    running.signal(libc::SIGHUP);
    running.wait(SOON).expect_code(128 + libc::SIGHUP);
}
