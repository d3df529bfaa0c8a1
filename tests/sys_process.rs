//! Cases that concern a whole process: signals, reaping, the tree below it, its descriptors, its terminal. Each runs in a
//! process of its own with a single thread (`play` and its name), as softstop does; so this is its own harness.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and talks to its reader"
)]

#[path = "support/not_run.rs"]
mod not_run;
#[path = "support/own_harness.rs"]
mod own_harness;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::{self as sockets, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use softstop::config::Control;
use softstop::control::socket;
use softstop::lifecycle::event::{Exit, Sender, SpawnError, SpawnErrorKind};
use softstop::signal::Signal;
use softstop::sys::limits::Raised;
use softstop::sys::mask::{self, SignalSet};
use softstop::sys::reap::{self, Peek};
use softstop::sys::signals::{self, Inherited, Received, Signals};
use softstop::sys::spawn::{Child, Spawn, Stdio, spawn_within};
use softstop::sys::strangers::Strangers;
use softstop::sys::users::Credentials;
use softstop::sys::{process, target, terminal, tree};

/// How a case is launched.
enum Launch {
    /// As it is.
    Plain,
    /// With these signals blocked and ignored.
    With(SignalSet, SignalSet),
    /// As it is, where that is root.
    Root,
    /// As a user without rights.
    Unprivileged,
    /// By a shell script in which `"$@"` is the case; as root.
    Shell(&'static str),
}

struct Case {
    name: &'static str,
    launch: Launch,
    run: fn(),
}

const SOON: Duration = Duration::from_secs(60);
const BLOCKED: SignalSet = SignalSet::of(&[libc::SIGUSR2, libc::SIGCHLD, 33, 50]);
const IGNORED: SignalSet = SignalSet::of(&[libc::SIGHUP, libc::SIGPIPE, libc::SIGCHLD]);

const CASES: &[Case] = &[
    Case { name: "early_signals_wait_for_their_handler", launch: Launch::Plain, run: early_signals },
    Case { name: "what_was_inherited_is_remembered", launch: Launch::With(BLOCKED, IGNORED), run: inherited },
    Case { name: "nothing_inherited_is_nothing", launch: Launch::Plain, run: nothing_inherited },
    Case { name: "every_signal_is_received", launch: Launch::Plain, run: every_signal },
    Case { name: "a_storm_of_signals_is_bounded", launch: Launch::Plain, run: storm },
    Case { name: "a_sender_outside_is_told", launch: Launch::Root, run: sender_outside },
    Case { name: "everything_is_reaped_once", launch: Launch::Plain, run: everything_reaped },
    Case { name: "a_thousand_zombies", launch: Launch::Plain, run: many_zombies },
    Case { name: "descendants_are_found_and_spared", launch: Launch::Plain, run: descendants },
    Case { name: "nobody_sees_another_killed_and_acts", launch: Launch::Plain, run: nobody_acts },
    Case { name: "a_growing_tree_is_killed", launch: Launch::Unprivileged, run: growing_tree },
    Case { name: "standard_descriptors_may_be_swapped", launch: Launch::Plain, run: swapped },
    Case {
        name: "without_dev_null_nothing_is_a_pipe",
        launch: Launch::Shell(r#"exec unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' sh "$@""#),
        run: without_dev_null,
    },
    Case {
        name: "limits_are_raised_and_given_back",
        launch: Launch::Shell("ulimit -Sn 77; ulimit -Ss 200; exec \"$@\""),
        run: limits,
    },
    Case { name: "same_user_without_rights", launch: Launch::Unprivileged, run: same_user },
    Case { name: "no_more_processes_is_transient", launch: Launch::Unprivileged, run: no_more_processes },
    Case {
        name: "the_terminal_is_given",
        launch: Launch::Shell(r#"exec script -qec "'$1' $2" /dev/null"#),
        run: given,
    },
    Case { name: "init_kills_all", launch: Launch::Shell(r#"exec unshare -pf --mount-proc "$@""#), run: init },
    Case {
        name: "init_kills_all_without_proc",
        launch: Launch::Shell(r#"exec unshare -pfm sh -c 'mount -t tmpfs none /proc && exec "$@"' sh "$@""#),
        run: init,
    },
    Case { name: "a_fault_of_our_own_leaves_nobody_behind", launch: Launch::Plain, run: own_fault },
    Case { name: "a_group_outlives_its_leader", launch: Launch::Plain, run: leaderless_group },
    Case { name: "who_left_its_group_is_signalled_with_it", launch: Launch::Plain, run: left_group },
    Case { name: "who_is_in_its_group_is_signalled_once", launch: Launch::Unprivileged, run: signalled_once },
    Case { name: "what_is_in_a_control_sockets_way", launch: Launch::Plain, run: in_the_way },
    Case { name: "another_users_control_socket", launch: Launch::Root, run: another_users_socket },
    Case { name: "a_foreign_proc_is_refused", launch: Launch::Shell(r#"exec unshare -pf "$@""#), run: foreign_proc },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [play, name] = args.as_slice()
        && play == "play"
    {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        (case.run)();
        return ExitCode::SUCCESS;
    }
    let chosen = own_harness::chosen(&args, CASES, |case| case.name);
    if chosen.is_empty() { ExitCode::SUCCESS } else { run_all(&chosen) }
}

fn run_all(cases: &[&Case]) -> ExitCode {
    let mut failed = 0;
    // What whoever launched the tests ignores is no case's; nor is SIGPIPE, which Rust's runtime ignores before main.
    for signal in mask::ignored().iter() {
        mask::set_ignored(signal, false);
    }
    // What a failing case leaves behind comes to us and goes.
    process::become_subreaper().unwrap();
    for case in cases {
        let result = launch(case);
        tree::kill_everything(SOON, SOON, &mut Strangers::default());
        reap_all();
        match result {
            Ok(()) => println!("test {} ... ok", case.name),
            Err(output) => {
                failed += 1;
                println!("test {} ... FAILED\n{output}", case.name);
            }
        }
    }
    println!("\ntest result: {} of {} passed", cases.len() - failed, cases.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case in a process of its own, which has two minutes.
fn launch(case: &Case) -> Result<(), String> {
    let nobody = Credentials { uid: 54_321, gid: 54_321, groups: vec![], home: "/".into(), name: None };
    let root = nix::unistd::geteuid().is_root();
    let mut argv: Vec<OsString> = vec![std::env::current_exe().unwrap().into(), "play".into(), case.name.into()];
    let mut inherited = Inherited::default();
    let mut credentials = None;
    match case.launch {
        Launch::Root | Launch::Shell(_) if !not_run::root(case.name) => return Ok(()),
        Launch::Plain | Launch::Root => {}
        Launch::With(mask, ignored) => {
            inherited = Inherited { mask, ignores_chld: ignored.contains(Signal::CHLD), ..Inherited::default() };
            for signal in ignored.iter().filter(|signal| *signal != Signal::CHLD) {
                mask::set_ignored(signal, true);
            }
        }
        Launch::Unprivileged if root => credentials = Some(&nobody),
        Launch::Unprivileged => {}
        Launch::Shell(script) => {
            argv.splice(0..0, ["sh", "-c", script, "sh"].map(OsString::from));
        }
    }
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let output = Stdio::Fd(write.as_fd());
    let child = spawn(&Spawn { credentials, env: &env, inherited: &inherited, ..plain(&argv, output) })
        .map_err(|error| error.text)?;
    drop(write);
    if let Launch::With(_, ignored) = case.launch {
        for signal in ignored.iter() {
            mask::set_ignored(signal, false);
        }
    }
    let end = Instant::now() + Duration::from_secs(120);
    let exit = loop {
        match reap::reap(child.pid).unwrap() {
            Some(exit) => break exit,
            None if Instant::now() > end => {
                target::signal_group(child.pid, Signal::KILL).unwrap();
                break wait(child.pid);
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    // What a case leaves behind must not hold the pipe and so this test: read what is there.
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(1) = poll(&mut [PollFd::new(read.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) {
        match nix::unistd::read(&read, &mut chunk) {
            Ok(n) if n > 0 => text.extend(&chunk[..n]),
            _ => break,
        }
    }
    if exit.success() { Ok(()) } else { Err(format!("{exit}\n{}", String::from_utf8_lossy(&text))) }
}

/// How many of those that live were reached.
fn signal_all(targets: &[tree::Descendant], signals: &[Signal]) -> usize {
    targets.iter().filter(|t| t.lives && tree::signal(t, signals).is_ok()).count()
}

fn plain<'a>(argv: &'a [OsString], output: Stdio<'a>) -> Spawn<'a> {
    let inherited = const { &Inherited { mask: SignalSet::EMPTY, ignores_chld: false, limits: Raised::NONE } };
    Spawn { stdout: output, stderr: output, ..Spawn::new(argv, &[], inherited) }
}

/// However late the child gets to its exec, its result is known.
fn spawn(wanted: &Spawn<'_>) -> Result<Child, SpawnError> {
    spawn_within(wanted, Duration::from_secs(60))
}

fn try_start(argv: &[&str]) -> Result<Child, SpawnError> {
    let argv: Vec<OsString> = argv.iter().map(Into::into).collect();
    spawn(&plain(&argv, Stdio::Inherit))
}

fn start(argv: &[&str]) -> i32 {
    try_start(argv).unwrap().pid
}

fn sh(script: &str) -> i32 {
    start(&["sh", "-c", script])
}

fn wait(pid: i32) -> Exit {
    until(|| reap::reap(pid).unwrap())
}

fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = what() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn readable(fd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
}

/// Sends a signal to this process, from this process.
fn raise(number: i32) {
    // By the kernel's number: nix has no name for real-time signals. The shell's kill is a process of its own, so the
    // sender is known to be another one.
    let pid = start(&["sh", "-c", &format!("kill -{number} {}", process::own_pid())]);
    assert_eq!(wait(pid), Exit::Code(0));
}

fn receive(signals: &mut Signals, signal: Signal) -> Received {
    until(|| signals.drain().into_iter().find(|received| received.signal == signal))
}

fn early_signals() {
    let early = signals::block();
    raise(15);
    raise(37);
    let rt = Signal::from_number(37).unwrap();
    // The shells' own SIGCHLD is pending too.
    assert_eq!(early.pending(), [Signal::TERM, Signal::CHLD, rt]);
    let start = Instant::now();
    let mut signals = early.receive().unwrap();
    println!("receiving in {:?}", start.elapsed());
    assert!(readable(signals.as_fd()));
    let received = signals.drain();
    let numbers: Vec<i32> = received.iter().map(|received| received.signal.number()).collect();
    assert_eq!(numbers, [15, 17, 37]);
    assert!(received.iter().all(|received| matches!(received.sender, Sender::Process(pid) if pid > 1)));
    assert!(!readable(signals.as_fd()));
    // Nothing is let in, ever; and nothing is handled.
    let status = status("/proc/self/status");
    let let_in = SignalSet::ALL.without(set(&status, "SigBlk:"));
    assert_eq!(let_in, mask::FAULTS.union(SignalSet::of(&[libc::SIGKILL, libc::SIGSTOP])));
}

fn status(path: &str) -> String {
    fs::read_to_string(path).unwrap()
}

fn set(status: &str, name: &str) -> SignalSet {
    let bits = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    SignalSet::from_bits(u64::from_str_radix(bits, 16).unwrap())
}

fn inherited() {
    let launched_with = set(&status("/proc/self/status"), "SigIgn:").without(IGNORED);
    let early = signals::block();
    let found = early.inherited();
    assert_eq!(found.mask, BLOCKED);
    assert!(found.ignores_chld);
    assert_eq!(mask::disposition(Signal::CHLD), Some(mask::Disposition::Default));
    let _signals = early.receive().unwrap();
    // What softstop blocks, and its own SIGCHLD, must not shine through.
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let argv = ["cat", "/proc/self/status"].map(OsString::from);
    let child = spawn(&Spawn { inherited: &found, ..plain(&argv, Stdio::Fd(write.as_fd())) }).unwrap();
    drop(write);
    let mut status = String::new();
    fs::File::from(read).read_to_string(&mut status).unwrap();
    assert_eq!(set(&status, "SigBlk:"), BLOCKED);
    // 32 and 33 pass from the launcher of these tests, whatever that does.
    assert_eq!(
        set(&status, "SigIgn:").without(SignalSet::of(&[32, 33])).without(launched_with),
        IGNORED.without(launched_with)
    );
    assert_eq!(wait(child.pid), Exit::Code(0), "SIGCHLD was ignored at launch, and children are still ours to reap");
}

fn nothing_inherited() {
    let inherited = signals::block().inherited();
    assert_eq!((inherited.mask, inherited.ignores_chld), (SignalSet::EMPTY, false));
}

fn every_signal() {
    let mut signals = signals::block().receive().unwrap();
    let left_out = [4, 5, 6, 7, 8, 9, 11, 19, 21, 22, 31, 32, 33];
    for signal in (1..=64).filter(|n| !left_out.contains(n)).filter_map(Signal::from_number) {
        raise(signal.number());
        receive(&mut signals, signal);
    }
    // softstop's own write to a closed pipe, as the kernel tells it.
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    mask::set_ignored(Signal::PIPE, false);
    drop(read);
    assert_eq!(nix::unistd::write(&write, b"x"), Err(nix::errno::Errno::EPIPE));
    assert_eq!(receive(&mut signals, Signal::PIPE).sender, Sender::Kernel);
    // Dropped: they neither stop nor end us, and nothing is received.
    for number in [21, 22, 32, 33] {
        raise(number);
        assert!(!signals.drain().iter().any(|received| received.signal.number() == number));
    }
}

/// Standard signals that come twice are one; real-time ones queue in the kernel, and are taken in pieces that keep nobody waiting.
fn storm() {
    let mut signals = signals::block().receive().unwrap();
    let own = process::own_pid();
    let pid = sh(&format!("i=0; while [ $i -lt 1000 ]; do kill -USR1 {own}; kill -40 {own}; i=$((i+1)); done"));
    // Nothing is drained until all are sent: this is the worst a busy loop can do.
    assert_eq!(wait(pid), Exit::Code(0));
    let (mut rounds, mut received) = (0, Vec::new());
    while rounds == 0 || signals.more() {
        let piece = signals.drain();
        assert!(piece.len() <= signals::MOST, "{}", piece.len());
        received.extend(piece);
        rounds += 1;
    }
    let count = |number| received.iter().filter(|received| received.signal.number() == number).count();
    assert_eq!((count(10), count(40)), (1, 1000));
    assert!(rounds >= 4, "{rounds}");
    assert!(!readable(signals.as_fd()), "the descriptor is not empty");
    raise(10);
    receive(&mut signals, Signal::USR1);
}

fn sender_outside() {
    // In a PID namespace of its own a shell waits for TERM; the sender is out here.
    let exe = std::env::current_exe().unwrap();
    if process::is_pid1() {
        let mut signals = signals::block().receive().unwrap();
        fs::write(std::env::var_os("READY").unwrap(), "").unwrap();
        assert_eq!(receive(&mut signals, Signal::TERM).sender, Sender::Outside);
        return;
    }
    let ready = std::env::temp_dir().join(format!("softstop-ready-{}", process::own_pid()));
    let argv = ["unshare", "-pf", exe.to_str().unwrap(), "play", "a_sender_outside_is_told"].map(OsString::from);
    let env = [("READY".into(), ready.clone().into_os_string())];
    let child = spawn(&Spawn { env: &env, ..plain(&argv, Stdio::Inherit) }).unwrap();
    until(|| ready.exists().then_some(()));
    fs::remove_file(&ready).unwrap();
    let init = tree::children(child.pid).unwrap()[0];
    // unshare is its parent, so the pid is held while unshare waits for it.
    assert_eq!(wait(sh(&format!("kill -TERM {init}"))), Exit::Code(0));
    assert_eq!(wait(child.pid), Exit::Code(0));
}

fn everything_reaped() {
    process::become_subreaper().unwrap();
    assert_eq!(reap::peek(), Peek::NoChildren);
    let rt = Signal::from_number(40).unwrap();
    let mut expected = BTreeMap::from([
        (start(&["true"]), Exit::Code(0)),
        (sh("exit 7"), Exit::Code(7)),
        (sh("kill -40 $$"), Exit::Signal { signal: rt, core: false }),
    ]);
    let stopped = start(&["sleep", "1000"]);
    target::signal(stopped, Signal::STOP).unwrap();
    assert_eq!(until(reap::stopped_or_continued), (stopped, Some(Signal::STOP)));
    assert_eq!(reap::stopped_or_continued(), None, "a stop is told once");
    target::signal(stopped, Signal::CONT).unwrap();
    assert_eq!(until(reap::stopped_or_continued), (stopped, None));
    assert_eq!(reap::stopped_or_continued(), None, "and so is its end");
    expected.insert(stopped, Exit::Signal { signal: Signal::KILL, core: false });
    let parent = sh("(sleep 0.05; exit 9) & (sleep 0.05; exit 9) & exit 0");
    expected.insert(parent, Exit::Code(0));
    let mut orphans = 0;
    loop {
        match reap::peek() {
            Peek::Dead { pid, exit } => {
                assert_eq!(reap::peek(), Peek::Dead { pid, exit }, "a peek changes nothing");
                assert_eq!(reap::peek_at(pid), Some(exit));
                assert_eq!(reap::reap(pid).unwrap(), Some(exit));
                assert_eq!(reap::reap(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD), "only once");
                match expected.remove(&pid) {
                    Some(wanted) => assert_eq!(exit, wanted),
                    None => {
                        assert_eq!(exit, Exit::Code(9));
                        orphans += 1;
                    }
                }
            }
            Peek::Busy => {
                if expected.len() == 1 && orphans == 2 {
                    assert_eq!(reap::reap(stopped).unwrap(), None, "a stopped child has not ended");
                    target::signal(stopped, Signal::KILL).unwrap();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Peek::NoChildren => break,
        }
    }
    assert!(expected.is_empty(), "not reaped: {expected:?}");
    assert_eq!(orphans, 2);
}

/// The next child that has ended, reaped.
fn next_dead() -> (i32, Exit) {
    until(|| match reap::peek() {
        Peek::Dead { pid, .. } => Some((pid, reap::reap(pid).unwrap()?)),
        _ => None,
    })
}

const TERMINATED: Exit = Exit::Signal { signal: Signal::TERM, core: false };

fn leaderless_group() {
    process::become_subreaper().unwrap();
    let lives = start(&["sleep", "1000"]);
    assert!(!target::group_exists(lives), "who lives has left no group: that number is another's by now");
    let leader = sh("sleep 1000 & exit 3");
    assert_eq!(until(|| reap::peek_at(leader)), Exit::Code(3));
    assert!(target::group_exists(leader), "the leader is a zombie");
    assert_eq!(wait(leader), Exit::Code(3));
    assert!(target::group_exists(leader), "a member lives");
    target::signal_leaderless_group(leader, Signal::TERM).unwrap();
    assert_eq!(next_dead().1, TERMINATED);
    assert!(!target::group_exists(leader));
    let error = target::signal_leaderless_group(leader, Signal::TERM).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
}

fn left_group() {
    process::become_subreaper().unwrap();
    let script = "my $m = fork // die; unless ($m) { sleep 1000; exit } my $q = fork // die; \
                  unless ($q) { setpgrp 0, 0; sleep 1000; exit } \
                  select undef, undef, undef, 0.01 until eval { setpgrp 0, $q }; sleep 1000";
    let leader = start(&["perl", "-e", script]);
    until(|| target::has_left_its_group(leader).then_some(()));
    target::signal_with_group(leader, Signal::TERM).unwrap();
    assert_eq!(wait(leader), TERMINATED);
    let (member, exit) = next_dead();
    assert_eq!(exit, TERMINATED, "of the member, pid {member}");
    assert_eq!(reap::peek(), Peek::Busy, "the other group was not meant");
}

/// Signals of real time are queued, each time they are sent: nobody else has this user.
fn signalled_once() {
    let inherited = Inherited { mask: SignalSet::of(&[40]), ..Inherited::default() };
    let argv = ["sleep", "1000"].map(OsString::from);
    let child = spawn(&Spawn { inherited: &inherited, ..plain(&argv, Stdio::Inherit) }).unwrap().pid;
    let queued = || -> i32 {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        let queue = status.lines().find_map(|line| line.strip_prefix("SigQ:")).unwrap();
        queue.trim().split('/').next().unwrap().parse().unwrap()
    };
    let before = queued();
    assert!(!target::has_left_its_group(child));
    target::signal_with_group(child, Signal::from_number(40).unwrap()).unwrap();
    assert_eq!(queued() - before, 1);
    target::signal(child, Signal::KILL).unwrap();
    wait(child);
}

fn many_zombies() {
    let mut pids: Vec<i32> = (0..1000).map(|_| start(&["true"])).collect();
    let mut reaped = Vec::new();
    loop {
        match reap::peek() {
            Peek::Dead { pid, .. } => {
                assert!(reap::reap(pid).unwrap().is_some());
                reaped.push(pid);
            }
            Peek::Busy => std::thread::sleep(Duration::from_millis(1)),
            Peek::NoChildren => break,
        }
    }
    pids.sort_unstable();
    reaped.sort_unstable();
    assert_eq!(reaped, pids);
}

/// All that live below us by name, sorted.
fn names(spare: &dyn Fn(i32) -> bool) -> Vec<String> {
    let found = tree::descendants(spare).unwrap();
    let mut names: Vec<String> = found.into_iter().filter(|found| found.lives).map(|found| found.comm).collect();
    names.sort();
    names
}

fn reap_all() {
    while reap::peek() != Peek::NoChildren {
        if let Peek::Dead { pid, .. } = reap::peek() {
            reap::reap(pid).unwrap();
        }
    }
}

fn descendants() {
    process::become_subreaper().unwrap();
    let hook = sh("sleep 1001 & sleep 1001 & wait");
    // A daemon: other session, orphaned, and with a name that looks like the end of the name field.
    let launcher = sh("setsid sh -c 'printf \"a) R 1 (b\" > /proc/$$/comm; sleep 1002 & wait' & exit 0");
    assert_eq!(wait(launcher), Exit::Code(0));
    until(|| (names(&|_| false) == ["a) R 1 (b", "sh", "sleep", "sleep", "sleep"]).then_some(()));
    assert_eq!(names(&|pid| pid == hook), ["a) R 1 (b", "sleep"]);
    assert_eq!(signal_all(&tree::descendants(&|pid| pid == hook).unwrap(), &[Signal::STOP]), 2);
    until(|| {
        let found = tree::descendants(&|pid| pid == hook).unwrap();
        found.iter().all(|found| softstop::sys::procfs::snapshot(found.pid).state == Some('T')).then_some(())
    });
    let signalled = signal_all(&tree::descendants(&|pid| pid == hook).unwrap(), &[Signal::TERM, Signal::CONT]);
    assert_eq!(signalled, 2);
    until(|| names(&|pid| pid == hook).is_empty().then_some(()));
    assert_eq!(names(&|_| false), ["sh", "sleep", "sleep"], "the hook and what is below it were spared");
    let killed = tree::kill_everything(SOON, SOON, &mut Strangers::default());
    assert_eq!((killed.count, killed.complete), (3, true));
    reap_all();
    assert_eq!(tree::kill_everything(Duration::ZERO, Duration::ZERO, &mut Strangers::default()).count, 0);
}

/// Many in a ring, each of whom sees the end of the one before it, as a supervisor does that starts it again.
const RING: &str = "my @pipes = map { pipe my $r, my $w; [$r, $w] } 0 .. 119; \
                    for my $i (0 .. 119) { next if fork; my ($r, $w) = ($pipes[$i - 1][0], $pipes[$i][1]); @pipes = (); \
                    open my $to, '>>', $ARGV[0]; syswrite $to, '.'; sysread $r, my $byte, 1; syswrite $to, 'saw'; exit }";

fn nobody_acts() {
    process::become_subreaper().unwrap();
    let file = std::env::temp_dir().join(format!("softstop-ring-{}", process::own_pid()));
    let parent = start(&["perl", "-e", RING, file.to_str().unwrap()]);
    let written = || fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(wait(parent), Exit::Code(0));
    until(|| (written().len() >= 120).then_some(()));
    let killed = tree::kill_everything(SOON, SOON, &mut Strangers::default());
    reap_all();
    let written = written();
    let _ = fs::remove_file(&file);
    assert_eq!((killed.count, killed.complete, written), (120, true, ".".repeat(120)));
}

fn growing_tree() {
    process::become_subreaper().unwrap();
    // A fork bomb within bounds. The limit counts all of this user's processes, and nobody else has this user.
    setrlimit(Resource::RLIMIT_NPROC, 100, 100).unwrap();
    sh("exec 2>/dev/null; f() { f & f & wait; }; while :; do f; done");
    until(|| (tree::descendants(&|_| false).unwrap().len() > 20).then_some(()));
    until(|| {
        let killed = tree::kill_everything(Duration::from_millis(50), SOON, &mut Strangers::default());
        while let Peek::Dead { pid, .. } = reap::peek() {
            reap::reap(pid).unwrap();
        }
        (killed.complete && reap::peek() == Peek::NoChildren).then_some(())
    });
}

fn swapped() {
    let (out_read, out) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let (err_read, err) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    nix::unistd::dup2_stdout(&out).unwrap();
    let saved = io::stderr().as_fd().try_clone_to_owned().unwrap();
    nix::unistd::dup2_stderr(&err).unwrap();
    let argv = ["sh", "-c", "echo out; echo err >&2; cat >&2"].map(OsString::from);
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let child = spawn(&Spawn {
        stdout: Stdio::Fd(stderr.as_fd()),
        stderr: Stdio::Fd(stdout.as_fd()),
        ..plain(&argv, Stdio::Inherit)
    });
    nix::unistd::dup2_stdout(&saved).unwrap();
    nix::unistd::dup2_stderr(&saved).unwrap();
    drop((out, err));
    assert_eq!(wait(child.unwrap().pid), Exit::Code(0));
    let read = |fd| {
        let mut text = String::new();
        fs::File::from(fd).read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read(out_read), "err\n");
    assert_eq!(read(err_read), "out\n");
}

fn without_dev_null() {
    // A child whose output is to be nothing neither blocks nor is killed for writing.
    let argv = ["sh", "-c", "cat; head -c 200000 /proc/kallsyms; echo more; exit 4"].map(OsString::from);
    assert_eq!(wait(spawn(&plain(&argv, Stdio::Null)).unwrap().pid), Exit::Code(4));
}

/// Of the soft limits of descriptors and stack, as `ulimit` and a child of ours see them.
fn limits() {
    let early = signals::block();
    let soft = |resource| nix::sys::resource::getrlimit(resource).unwrap();
    let (descriptors, hard) = soft(Resource::RLIMIT_NOFILE);
    assert_eq!(descriptors, hard);
    let (stack, hard) = soft(Resource::RLIMIT_STACK);
    assert_eq!(stack, hard.min(8 << 20));
    let argv = ["sh", "-c", "test $(ulimit -Sn) = 77 -a $(ulimit -Ss) = 200"].map(OsString::from);
    let inherited = early.inherited();
    let child = spawn(&Spawn { inherited: &inherited, ..plain(&argv, Stdio::Inherit) }).unwrap();
    assert_eq!(wait(child.pid), Exit::Code(0));
    // Somebody has lowered the hard one since: no more than that can be given.
    setrlimit(Resource::RLIMIT_NOFILE, 60, 60).unwrap();
    let argv = ["sh", "-c", "test $(ulimit -Sn) = 60"].map(OsString::from);
    let child = spawn(&Spawn { inherited: &inherited, ..plain(&argv, Stdio::Inherit) }).unwrap();
    assert_eq!(wait(child.pid), Exit::Code(0));
}

fn same_user() {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let same = Credentials { uid, gid, groups: vec![gid, 12_345], home: "/".into(), name: None };
    let argv = ["true"].map(OsString::from);
    let child = spawn(&Spawn { credentials: Some(&same), ..plain(&argv, Stdio::Inherit) }).unwrap();
    assert_eq!(wait(child.pid), Exit::Code(0));
    let other = Credentials { uid: uid + 1, ..same };
    let error = spawn(&Spawn { credentials: Some(&other), ..plain(&argv, Stdio::Inherit) }).unwrap_err();
    assert_eq!(error.kind, SpawnErrorKind::Setup);
    assert!(error.text.contains("operation not permitted: run softstop as root"), "{}", error.text);
    assert_eq!(reap::peek(), Peek::NoChildren, "the failed attempt was reaped");
}

fn no_more_processes() {
    setrlimit(Resource::RLIMIT_NPROC, 1, 1).unwrap();
    let error = try_start(&["true"]).unwrap_err();
    assert_eq!(error.kind, SpawnErrorKind::Transient);
    assert!(error.text.contains("pids.max"), "{}", error.text);
    setrlimit(Resource::RLIMIT_NOFILE, 3, 3).unwrap();
    let error = try_start(&["true"]).unwrap_err();
    assert_eq!(error.kind, SpawnErrorKind::Transient);
    assert!(error.text.contains("RLIMIT_NOFILE"), "{}", error.text);
}

fn given() {
    let _signals = signals::block().receive().unwrap();
    let terminal = terminal::terminal().expect("script gives us a terminal");
    let own = terminal.foreground().unwrap();
    let argv = ["sh", "-c", "exec sleep 1000"].map(OsString::from);
    let child = spawn(&Spawn { foreground: true, ..plain(&argv, Stdio::Inherit) }).unwrap();
    assert_eq!(terminal.foreground(), Some(child.pid));
    // From the background now, where TTOU would stop us.
    terminal.take().unwrap();
    assert_eq!(terminal.foreground(), Some(own));
    terminal.give(child.pid).unwrap();
    assert_eq!(terminal.foreground(), Some(child.pid));
    target::signal(child.pid, Signal::KILL).unwrap();
    wait(child.pid);
    terminal.take().unwrap();
    let argv = ["/no/such/program"].map(OsString::from);
    spawn(&Spawn { foreground: true, ..plain(&argv, Stdio::Inherit) }).unwrap_err();
    assert_eq!(terminal.foreground(), Some(own), "a failed start gives the terminal back");
}

fn init() {
    assert!(process::is_pid1());
    assert!(!process::stop_self().unwrap(), "there is nobody who could continue it");
    let launcher = sh("setsid sleep 1000 & setsid sleep 1000 & exit 0");
    assert_eq!(wait(launcher), Exit::Code(0));
    assert_eq!(reap::peek(), Peek::Busy);
    assert!(tree::kill_everything(SOON, SOON, &mut Strangers::default()).complete);
    let mut killed = 0;
    while reap::peek() != Peek::NoChildren {
        if let Peek::Dead { pid, exit } = reap::peek() {
            assert_eq!(exit, Exit::Signal { signal: Signal::KILL, core: false });
            reap::reap(pid).unwrap();
            killed += 1;
        }
    }
    assert_eq!(killed, 2);
}

/// A panic in the loop, as no input is known to make one: exit code 70, and what was started is killed, daemons too.
fn own_fault() {
    process::become_subreaper().unwrap();
    use softstop::runtime::refusal::guarded;
    assert_eq!(guarded(None, || 5), 5);
    let message = std::env::temp_dir().join(format!("softstop-fault-{}", std::process::id()));
    std::fs::write(&message, "").unwrap();
    let code = guarded(Some(message.clone()), || {
        start(&["sleep", "1000"]);
        let launcher = sh("setsid sleep 1000 & exit 0");
        assert_eq!(wait(launcher), Exit::Code(0));
        panic!("a fault");
    });
    assert_eq!(code, 70);
    assert!(std::fs::read_to_string(&message).unwrap().starts_with("exit code 70: softstop itself failed\n"));
    std::fs::remove_file(&message).unwrap();
    for _ in 0..2 {
        let (pid, exit) = until(|| match reap::peek() {
            Peek::Dead { pid, exit } => Some((pid, exit)),
            _ => None,
        });
        assert_eq!(exit, Exit::Signal { signal: Signal::KILL, core: false });
        reap::reap(pid).unwrap();
    }
    assert_eq!(reap::peek(), Peek::NoChildren);
}

fn foreign_proc() {
    assert!(process::is_pid1());
    let child = start(&["sleep", "1000"]);
    let error = tree::descendants(&|_| false).unwrap_err();
    assert!(error.to_string().contains("another pid namespace"), "{error}");
    assert!(tree::descendants(&|_| false).is_err());
    assert_eq!(softstop::sys::procfs::snapshot(child).state, None, "that would be another process");
    assert!(tree::kill_everything(Duration::ZERO, Duration::ZERO, &mut Strangers::default()).complete);
    assert_eq!(wait(child), Exit::Signal { signal: Signal::KILL, core: false });
}

/// A folder for the case of this name.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("softstop-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn listen(&self, name: &str) -> Result<socket::Listening, String> {
        socket::listen(&Control::Path(self.0.join(name))).map(Option::unwrap)
    }

    /// Why it cannot listen there.
    fn refusal(&self, name: &str) -> String {
        let Err(why) = self.listen(name) else { panic!("{name}: it listens") };
        let start = format!("cannot listen at {}: ", self.0.join(name).display());
        why.strip_prefix(&start).unwrap_or_else(|| panic!("{why:?}")).to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As by a process that was killed.
fn leave_stale(listening: socket::Listening) {
    std::mem::forget(listening.file);
}

/// What is stale is removed, and nothing else.
fn in_the_way() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = Folder::new("in-the-way");
    let file = folder.0.join("live");
    let first = folder.listen("live").unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.refusal("live"), "another process listens there; choose another path");
    leave_stale(first);
    drop(folder.listen("live").expect("a stale one is in nobody's way"));
    assert!(fs::symlink_metadata(&file).is_err(), "it has left its file behind");
    let third = folder.listen("live").unwrap();
    let kept = fs::metadata(&file).unwrap().ino();
    fs::rename(&file, folder.0.join("kept")).unwrap();
    fs::write(&file, "another's").unwrap();
    drop(third);
    assert_eq!(fs::read_to_string(&file).unwrap(), "another's");
    assert_eq!(fs::metadata(folder.0.join("kept")).unwrap().ino(), kept);
    assert_eq!(folder.refusal("live"), "what is there is no socket; remove it or choose another path");
    // So many wait to be accepted that there is no place for one more.
    let (busy, flags) = (folder.0.join("busy"), SockFlag::SOCK_CLOEXEC);
    let listener = sockets::socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    sockets::bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &UnixAddr::new(&busy).unwrap()).unwrap();
    sockets::listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let address = socket::Address::Path(busy);
    let _waiting: Vec<_> = std::iter::from_fn(|| socket::connect_now(&address).ok()).take(8).collect();
    assert_eq!(folder.refusal("busy"), "another process listens there; choose another path");
    std::os::unix::fs::symlink("kept", folder.0.join("link")).unwrap();
    assert_eq!(folder.refusal("link"), "what is there is a symbolic link; remove it or choose another path");
    assert_eq!(folder.refusal("live/in-a-file"), "part of the path is no directory");
    assert_eq!(folder.refusal("nothing/there"), "its directory does not exist: create or mount it");
}

/// It is neither removed nor taken for one that listens.
fn another_users_socket() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("another-user");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    let _live = folder.listen("live").unwrap();
    leave_stale(folder.listen("stale").unwrap());
    let root = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(54_321));
    for name in ["live", "stale"] {
        assert_eq!(folder.refusal(name), "another user's socket is there; choose another path");
    }
    assert_eq!(folder.refusal("new"), "this user may not write there: choose another directory");
    nix::unistd::setfsuid(root);
    assert!(fs::symlink_metadata(folder.0.join("stale")).is_ok());
}
