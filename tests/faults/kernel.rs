//! A kernel that refuses: system calls that a seccomp profile or an old kernel does not know, signals that are not permitted, pids
//! that are used again at once.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::client::from_here;
use crate::support::faults::{self, Fault, NEWER};
use crate::support::proof::{Proof, TRAVERSES};
use crate::support::{
    Beside, CHILD, Dir, Launch, Proc, Running, SOON, at_once, copy_program, http, process, processes, skip,
};

const GRACE: Duration = Duration::from_secs(3);
/// Where nobody is to need all of it, under strace on a busy machine either.
const AMPLE: Duration = Duration::from_secs(30);

/// A daemon and the grandchild of a daemon, so that pids are pinned before they are signalled; nothing ignores SIGTERM.
const DEEP: &str =
    "session fork exit-on:TERM:0 ready wait end exit-on:TERM:0:200 ready wait end orphans:3 exit-on:TERM:7 say:up wait";

fn start(faults: &[Fault], launch: Launch) -> Running {
    faults::launch(faults, launch).up()
}

fn deep() -> Launch {
    Launch::child(&["--grace", "30s"], &DEEP.split(' ').collect::<Vec<_>>())
}

/// One call at a time, so that none hides behind another's fall-back; and both answers that profiles give.
#[test]
fn each_newer_system_call_may_be_refused() {
    needs!(faults::possible());
    at_once(["ENOSYS", "EPERM"], |errno| {
        for calls in NEWER.split(',').chain([NEWER, "statx", "rseq", "pwritev2,splice"]) {
            let refused = Fault::Refused(errno, calls);
            let mut running = start(std::slice::from_ref(&refused), deep());
            let ended = Proof::begin(&mut running).stop(running, AMPLE);
            let shown = format!("{refused:?}\n{}", ended.all());
            assert_eq!(ended.code, 7, "{shown}");
            assert!(!ended.calm().contains("warning"), "{shown}");
            // The daemon was told, its child once the daemon had ended, and nobody was only killed in the end.
            assert_eq!(ended.all().matches("1 straggler: sending SIGTERM").count(), 2, "{shown}");
            assert_eq!(ended.stdout.matches("TERM handled").count(), 3, "{shown}");
        }
    });
}

/// gVisor refuses a group of its own to a child now and then; then the process itself is all there is to signal.
#[test]
fn groups_and_subreaping_may_be_refused() {
    needs!(faults::possible());
    let mut running = start(&[Fault::Refused("EPERM", "setpgid")], deep());
    Proof::begin(&mut running).stop(running, AMPLE).expect_code(7);
    let words = ["ignore:TERM", "say:up", "wait"];
    let mut running = start(&[Fault::Refused("EPERM", "setpgid")], Launch::child(&["--grace", "2s"], &words));
    Proof::begin(&mut running).stop(running, Duration::from_secs(2)).expect_code(137);
    // PR_SET_CHILD_SUBREAPER: AWS Lambda refuses it. Said once, and the rest goes on.
    let launch = Launch::child(&["--grace", "30s"], &["exit-on:TERM:7", "say:up", "wait"]).not_pid1();
    let mut running = start(&[Fault::Refused("EPERM", "prctl=36")], launch);
    let ended = Proof::begin(&mut running).stop(running, AMPLE);
    ended.expect_code(7).expect("cannot become a child subreaper");
    assert_eq!(ended.calm().matches("warning").count(), 1, "{}", ended.all());
}

/// There is neither a stop nor an end without signals: what was started before that showed does not run on alone.
#[test]
fn a_softstop_that_may_not_receive_signals_ends_what_it_has_started() {
    needs!(faults::possible());
    let began = Instant::now();
    let launch = Launch::child(&["--grace", "3s"], &["sleep:50000"]).not_pid1();
    let mut running = faults::launch(&[Fault::Refused("ENOSYS", "signalfd4")], launch).start();
    running.wait_until("what it started has ended", |r| {
        r.printed().contains("cannot receive signals") && r.marked().is_empty()
    });
    running.wait(SOON).expect_code(70);
    let lived = began.elapsed();
    assert!(lived < Duration::from_secs(30), "the program ended by itself: {lived:?}");
}

/// Corner V13: a profile that kills for what it does not know. The wrapper makes none of these calls while it starts, runs and
/// stops a program that leaves nothing behind.
#[test]
fn no_exotic_call_is_made_without_need() {
    needs!(faults::possible());
    let exotic = "pidfd_open,pidfd_send_signal,pidfd_getfd,clone3,close_range,openat2,faccessat2,execveat,vfork,kcmp,ptrace,bpf,\
                  io_uring_setup,userfaultfd,memfd_create,perf_event_open,keyctl,setns,unshare,mount,process_vm_readv,pwritev2,splice,\
                  name_to_handle_at,sched_setscheduler,seccomp,capset,setgroups,setresuid,setresgid";
    for output in ["inherit", "prefix"] {
        let http = format!("127.0.0.1:{}", http::free_port());
        let flags = ["--grace", "30s", "--output", output, "--http", &http];
        let launch = Launch::child(&flags, &["orphans:3", "exit-on:TERM:7", "say:up", "wait"]);
        let mut running = start(&[Fault::Deadly(exotic)], launch);
        Proof::begin(&mut running).stop(running, AMPLE).expect_code(7).expect("perl ended with exit code 7");
    }
}

/// A perl that is root whoever starts it. `None`, and said, where set-uid programs mean nothing.
fn set_uid_perl(dir: &Dir) -> Option<String> {
    let path = dir.path("perl-as-root");
    copy_program("/usr/bin/perl", &path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let program = path.to_str().unwrap().to_owned();
    let mut who = Command::new("setpriv");
    let who = who.args(["--reuid", "12345", "--clear-groups"]).args(TRAVERSES);
    let seen = who.args([&program, "-e", "print $>"]).output().unwrap();
    if seen.stdout == b"0" {
        return Some(program);
    }
    skip("set-uid programs do not become root below the target directory (nosuid)");
    None
}

/// Becomes root for good: without CAP_KILL its parent may not signal it any more.
const AS_ROOT: &str = "$< = 0; $| = 1; print qq(up\\n); sleep 1000";

#[test]
fn a_process_that_may_not_be_signalled_costs_no_more_than_the_grace() {
    needs!(faults::possible());
    let dir = Dir::new();
    let Some(program) = set_uid_perl(&dir) else { return };
    let user = [Fault::User(faults::user())];
    let socket = dir.text("socket");
    let launch = Launch::new(["--grace", "4s", "--control", &socket, "--", &program, "-e", AS_ROOT]);
    let mut running = start(&user, launch);
    let order = from_here(&["signal", "perl-as-root", "USR1", "--control", &socket]);
    assert!(order.err.contains("it runs as another user, which softstop may not signal"), "{order:?}");
    let ended = Proof::begin(&mut running).but_some_are_out_of_reach().stop(running, Duration::from_secs(4));
    // As a process that nothing ends (docs/exit-codes.md).
    ended.expect_code(137);
    // Without a processor it leaves without a word on it.
    let named = ended.all().contains("1 process does not end after SIGKILL: leaving (perl-as-root");
    assert!(named || ended.was_starved(), "{}", ended.all());
    for signal in ["SIGUSR1", "SIGTERM", "SIGKILL"] {
        let told = format!("{signal} is not permitted: it runs as another user; add the capability KILL");
        assert_eq!(ended.all().matches(&told).count(), 1, "{}", ended.all());
    }
    assert!(ended.calm().lines().count() <= 12, "{}", ended.all());
}

/// The same for what is left over: a member of the group and a daemon.
#[test]
fn stragglers_that_may_not_be_signalled_are_said_to_be() {
    needs!(faults::possible());
    let dir = Dir::new();
    let Some(program) = set_uid_perl(&dir) else { return };
    let script = format!("\"{program}\" -e '{AS_ROOT}' & setsid \"{program}\" -e '{AS_ROOT}' & wait");
    let launch = || Launch::new(["--grace", "3s", "--", "sh", "-c", &script]);
    let mut running = faults::launch(&[Fault::User(faults::user())], launch()).start();
    running.wait_for_count("up", 2);
    let ended = Proof::begin(&mut running).but_some_are_out_of_reach().stop(running, GRACE);
    ended.expect_code(143).expect("stragglers: SIGTERM is not permitted to 1 of them");
    ended.expect("stragglers: SIGKILL is not permitted to 1 of them").expect("sh: SIGKILL is not permitted");
    // Without a processor it leaves without a word on them.
    assert!(
        ended.was_starved() || ended.all().contains("2 processes do not end after SIGKILL: leaving"),
        "{}",
        ended.all()
    );
    // Under a filter that a user may have, a set-uid program stays that user: everything is within reach.
    let faults = [Fault::User(faults::user()), Fault::Refused("EPERM", NEWER)];
    let mut running = faults::launch(&faults, launch()).start();
    running.wait_for_count("up", 2);
    Proof::begin(&mut running).stop(running, GRACE).expect_code(143).expect_not("not permitted");
}

/// A stranger (parent 0) that takes a pid the moment it is free, as leader of a session and so of a group of that number, and
/// journals every signal.
const THIEF: &str = r#"
    use POSIX ();
    my ($pid, $child, $dir) = @ARGV;
    while (!-e "$dir/taken") {
        next if kill 0, $pid or kill 0, -$pid;
        open my $f, '>', '/proc/sys/kernel/ns_last_pid' or die $!;
        syswrite $f, $pid - 1;
        close $f;
        my $new = fork // next;
        if (!$new) {
            POSIX::_exit(0) if $$ != $pid;
            POSIX::setsid();
            exec 'perl', $child, "journal-all:$dir/thief", "journal:$dir/taken:yes", 'wait';
        }
        if ($new == $pid) { sleep 1000 } else { waitpid $new, 0 }
    }"#;

fn thief(running: &Running, pid: i32, dir: &Dir) -> Beside {
    let (init, pid) = (running.pid().to_string(), pid.to_string());
    let enter = ["--target", &init, "--pid", "--mount", "perl", "-e", THIEF, &pid, CHILD, &dir.text("")];
    Beside(Command::new("nsenter").args(enter).stdin(Stdio::null()).spawn().unwrap())
}

/// The number that the child journalled as `pid=N`.
fn told_pid(running: &mut Running, after: &str) -> i32 {
    running.wait_for(after);
    let printed = running.printed();
    let line = printed.lines().find_map(|l| l.split("pid=").nth(1)).unwrap();
    line.trim().parse().unwrap()
}

/// I9: a process that ended, was reaped, and whose pid is a stranger's now.
#[test]
fn the_new_owner_of_a_pid_gets_no_signal() {
    needs!(faults::possible());
    let dir = Dir::new();
    let main = process("main", &["exit-on:TERM:7:300", "say:main up", "wait"]);
    let side = process("side", &["pid", "say:side up", "until:USR1", "exit:0"]);
    let once = "restart = \"never\"\non_exit = \"continue\"\n";
    let mut running = dir.launch(&format!("grace = \"30s\"\n{main}main = true\n{side}{once}")).start();
    running.wait_for("main up");
    let pid = told_pid(&mut running, "waiting for USR1");
    let _thief = thief(&running, pid, &dir);
    let side = running.processes().into_iter().find(|p| processes::inner_pid(p.pid) == Some(pid)).unwrap();
    processes::send(side.pid, libc::SIGUSR1);
    running.wait_for("side: ended").wait_until("the pid is a stranger's", |_| dir.path("taken").exists());
    let ended = Proof::begin(&mut running).stop(running, AMPLE);
    ended.expect_code(7).expect_not("straggler").expect_not("SIGKILL:");
    assert_eq!(dir.lines("thief"), [""; 0], "{}", ended.all());
}

/// The same for the number of a group: its last member is somebody else's child, so softstop does not see it end, and the number
/// is a stranger's group before it looks again.
#[test]
fn the_new_owner_of_a_groups_number_gets_no_signal() {
    needs!(faults::possible());
    let dir = Dir::new();
    // The main process holds the stop until the slices are over, which is when stragglers get their SIGKILL. The leader's child makes a group of its own and puts a child of its own into the leader's; then the leader ends.
    let script = format!(
        r#"$| = 1; my $group = $$; my $go = "{go}";
        if (!fork) {{
            setpgrp 0, 0; $SIG{{CHLD}} = 'IGNORE'; $SIG{{TERM}} = sub {{ exit }};
            if (!fork) {{ setpgrp 0, $group; open F, '>', "{joined}"; select undef, undef, undef, 0.01 until -e $go; exit }}
            sleep 1 while 1;
        }}
        select undef, undef, undef, 0.01 until -e "{joined}";
        print "pid=$$\nside up\n";
        $SIG{{TERM}} = 'DEFAULT'; sleep 1 until -e "{leave}";"#,
        go = dir.text("go"),
        joined = dir.text("joined"),
        leave = dir.text("leave"),
    );
    let text = format!(
        "grace = \"3s\"\n{}main = true\n\
         [[process]]\nname = \"side\"\nrestart = \"never\"\non_exit = \"continue\"\ncommand = [\"perl\", {:?}]\n\
         # Its own first signal is one that the member does not care for.\nstop = \"SIGWINCH\"\n",
        process("main", &["ignore:TERM", "say:main up", "wait"]),
        dir.write("side.pl", &script)
    );
    let mut running = dir.launch(&text).start();
    running.wait_for("main up");
    let pid = told_pid(&mut running, "side up");
    let _thief = thief(&running, pid, &dir);
    dir.write("leave", "");
    running.wait_for("side: others of its process group still run");
    dir.write("go", "");
    running.wait_until("the number is a stranger's", |_| dir.path("taken").exists());
    let ended = Proof::begin(&mut running).stop(running, GRACE);
    ended.expect_code(137).expect_not("side: stragglers still running");
    assert_eq!(dir.lines("thief"), [""; 0], "{}", ended.all());
}

/// So few pids that every one of them is used again and again, while orphans and hooks come and go.
#[test]
fn a_small_pid_max_mixes_nobody_up() {
    needs!(faults::possible());
    if !faults::pid_max_is_ours() {
        return skip("a PID namespace has no pid_max of its own before Linux 6.14");
    }
    let words =
        ["session", "exit-on:TERM:0:100", "ready", "wait", "end", "orphans:400", "say:up", "exit-on:TERM:7", "wait"];
    for faults in [vec![Fault::PidMax(320)], vec![Fault::PidMax(320), Fault::Refused("ENOSYS", NEWER)]] {
        let mut running = start(&faults, Launch::child(&["--grace", "30s"], &words));
        running.wait_until("no zombie", |r| !r.processes().iter().any(Proc::is_zombie));
        let ended = Proof::begin(&mut running).stop(running, AMPLE);
        ended.expect_code(7).expect("1 straggler: sending SIGTERM").expect_no_warning();
    }
}
