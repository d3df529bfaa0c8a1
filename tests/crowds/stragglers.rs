//! What processes leave behind, with the binary as PID 1: who is signalled, once, and how long it gets. Each test is named by its
//! situation.

use std::process::Command;
use std::time::Duration;

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::cgroup::{Cgroup, Kind};
use crate::support::client::from_here;
use crate::support::proof::{Proof, attach};
use crate::support::{
    CHILD, Dir, Ended, Launch, PROMPT, Running, SOON, namespaces, process, processes, root, siege, skip, until,
};

fn up(flags: &[&str], command: &[&str]) -> Running {
    Launch::new(flags.iter().chain(&["--"]).chain(command).copied()).up()
}

fn stop(mut running: Running, grace: u64) -> Ended {
    running.term();
    running.wait(Duration::from_secs(grace) + SOON)
}

fn times(ended: &Ended, text: &str) -> usize {
    ended.stdout.matches(text).count()
}

// === who ===

/// On a busy machine one piece of the signalling may be over with the first of them, and it has ended before the next piece.
#[test]
fn a_straggler_that_ends_before_the_signalling_is_over_is_told_of() {
    needs!(namespaces());
    let words =
        ["session", "fork", "exit-on:TERM:0", "ready", "wait", "end", "exit-on:TERM:0:600", "ready", "wait", "end"];
    let mut running = Launch::child(&["--grace", "8s"], &[&words[..], PROMPT].concat()).up();
    // Each `kill` takes longer than a piece; and a turn so long that the daemon's end and its child are seen in one.
    let slow = ["-e", "inject=kill:delay_exit=30000", "-e", "inject=?epoll_wait,epoll_pwait:delay_enter=150000"];
    let Some(mut strace) = attach(&mut running, &slow) else { return };
    let ended = stop(running, 8);
    strace.wait().unwrap();
    ended.expect_code(0).expect("stragglers are gone");
    assert_eq!(ended.all().matches("1 straggler: sending SIGTERM (").count(), 2, "{}", ended.all());
}

#[test]
fn a_daemon_that_a_straggler_starts_when_it_is_told_is_told_too() {
    needs!(namespaces());
    let dir = Dir::new();
    let ready = dir.text("ready");
    let daemon = dir.script(
        "daemon",
        &format!("trap 'echo daemon told; exit 0' TERM\ntouch '{ready}'\nwhile :; do sleep 0.1; done"),
    );
    let armed = dir.text("armed");
    let late = dir.script(
        "late",
        &format!(
            "( trap 'sleep 0.5; setsid \"{daemon}\" & until [ -e \"{ready}\" ]; do sleep 0.05; done; exit 0' TERM; : >'{armed}'; while :; do sleep 0.1; done ) &\n\
             trap 'exit 0' TERM\nuntil [ -e '{armed}' ]; do sleep 0.02; done\necho up\nwhile :; do sleep 0.1; done"
        ),
    );
    let ended = stop(up(&["--grace", "30s"], &[&late]), 8);
    ended.expect_code(0).expect("1 straggler: sending SIGTERM (daemon").expect_not("SIGKILL (");
    assert_eq!(times(&ended, "daemon told"), 1, "{}", ended.all());
}

/// Not only once their leader has ended, as stragglers: they have their time beside it.
#[test]
fn the_members_of_a_group_are_told_while_its_leader_goes_on() {
    let command = format!("trap '' TERM; perl '{CHILD}' exit-on:TERM:0 say:up wait; exit 5");
    let running = Launch::new(["-g", "--grace", "8s", "--", "sh", "-c", &command]).not_pid1().up();
    stop(running, 8).expect_code(5).expect("TERM handled").expect_not("SIGKILL:");
}

const HIDE_PROC: &[&str] = &["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"];

/// Unseen they are told all at once, as the kernel knows them.
#[test]
fn without_proc_the_members_of_a_group_are_told_all_the_same() {
    needs!(namespaces());
    let up = |command: &str| Launch::new(["-g", "--grace", "8s", "--", "sh", "-c", command]).through(HIDE_PROC).up();
    let running = up(&format!("trap '' TERM; perl '{CHILD}' exit-on:TERM:0 say:up wait; exit 5"));
    stop(running, 8).expect_code(5).expect("TERM handled").expect_not("SIGKILL:");
    // And not again when their leader has ended.
    let ended = stop(up(&format!("perl '{CHILD}' on:TERM say:up linger:TERM:1000; true")), 8);
    assert_eq!(times(&ended, "TERM received"), 1, "{}", ended.all());
}

#[test]
fn without_proc_what_is_left_of_a_group_is_told_all_the_same() {
    needs!(namespaces());
    let command = format!("trap 'exit 5' TERM; perl '{CHILD}' exit-on:TERM:0 say:up wait & wait");
    let running = Launch::new(["--grace", "8s", "--", "sh", "-c", &command]).through(HIDE_PROC).up();
    stop(running, 8).expect_code(5).expect("TERM handled").expect_not("stragglers still running");
}

/// The process that writes it is softstop's own helper.
#[test]
fn who_writes_a_log_file_is_no_straggler() {
    needs!(namespaces());
    let dir = Dir::new();
    let words = ["session", "exit-on:TERM:0", "ready", "wait", "end", "exit-on:TERM:0", "say:up", "wait"];
    let config = format!("grace = '8s'\n{}logs = {{ stdout = '{}' }}\n", process("web", &words), dir.text("log"));
    let mut running = dir.launch(&config).start();
    running.wait_until("it is up", |_| dir.lines("log").iter().any(|line| line.ends_with("up")));
    stop(running, 8).expect_code(0).expect("1 straggler: sending SIGTERM (perl");
}

/// Words of a child that goes on for two seconds once it was told, however long that takes.
const GOES_ON: &str = "on:TERM say:up linger:TERM:2000";

/// Many programs take a second SIGTERM for "at once".
#[test]
fn a_member_of_a_group_that_was_signalled_is_not_signalled_again_when_its_shell_has_died() {
    needs!(namespaces());
    let command = format!("perl '{CHILD}' {GOES_ON}; true");
    let ended = stop(up(&["-g", "--grace", "30s"], &["sh", "-c", &command]), 8);
    assert_eq!(times(&ended, "TERM received"), 1, "{}", ended.all());
}

#[test]
fn a_restart_by_group_signals_nobody_twice() {
    needs!(namespaces());
    let dir = Dir::new();
    let socket = dir.text("sock");
    let config = format!(
        "grace = '30s'\n[control]\nsocket = '{socket}'\n[[process]]\nname = 'web'\nsignal_to = 'group'\noutput = 'inherit'\n\
         command = ['sh', '-c', \"\"\"perl '{CHILD}' {GOES_ON}; true\"\"\"]\n\
         {}output = 'inherit'\n",
        process("other", &["exit-on:TERM:0", "say:other is there", "wait"])
    );
    let mut running = dir.launch(&config).not_pid1().up();
    running.wait_for("other is there");
    from_here(&["restart", "web", "--control", &socket]).expect(0, "");
    running.wait_for_count("up", 2);
    assert_eq!(running.printed().matches("TERM received").count(), 1, "{}", running.printed());
    stop(running, 8);
}

#[test]
fn a_process_that_moved_from_the_group_to_a_session_of_its_own_is_not_signalled_again() {
    needs!(namespaces());
    let moves = "my $told; $SIG{TERM} = sub { $told = 1; syswrite STDOUT, qq(told\\n); POSIX::setsid() }; syswrite STDOUT, qq(up\\n); \
                 select undef, undef, undef, 0.1 until $told; for (1 .. 20) { select undef, undef, undef, 0.1 }";
    let command = format!("perl -MPOSIX -e '{moves}'; true");
    let ended = stop(up(&["-g", "--grace", "30s"], &["sh", "-c", &command]), 8);
    assert_eq!(times(&ended, "told"), 1, "{}", ended.all());
}

/// The worker's handler is there before the master says that it is up.
const MASTER: &str = "pipe my $ready, my $armed or die; \
                      my $w = fork // die; unless ($w) { $SIG{TERM} = %ONTERM%; close $armed; %WORKER%; POSIX::_exit(0) } \
                      close $armed; sysread $ready, my $nothing, 1; \
                      $SIG{TERM} = sub { syswrite STDOUT, qq(master told\\n); %MASTER% }; syswrite STDOUT, qq(up\\n); \
                      1 until waitpid($w, 0) == $w; syswrite STDOUT, qq(worker ended with $?\\n)";

/// A master and its worker, left behind by a shell that SIGTERM ends.
fn prefork(master: &str, on_term: &str, worker: &str) -> String {
    let program = MASTER.replace("%MASTER%", master).replace("%ONTERM%", on_term).replace("%WORKER%", worker);
    format!("perl -MPOSIX -e '{program}'; true")
}

const WORKER_TOLD: &str = "sub { syswrite STDOUT, qq(worker told\\n); POSIX::_exit(0) }";

#[test]
fn a_worker_is_its_masters_to_stop() {
    needs!(namespaces());
    // It goes on for two seconds once its master was told.
    let dir = Dir::new();
    let told = dir.text("told");
    let tell = format!("open my $file, qq(>), q({told})");
    let nap = format!(
        "select undef, undef, undef, 0.05 until -e q({told}); for (1 .. 20) {{ select undef, undef, undef, 0.1 }}"
    );
    let ended = stop(up(&["--grace", "30s"], &["sh", "-c", &prefork(&tell, "qq(DEFAULT)", &nap)]), 8);
    assert_eq!(times(&ended, "master told"), 1, "{}", ended.all());
    ended.expect("worker ended with 0");
}

#[test]
fn the_worker_of_a_master_that_has_ended_is_told_then() {
    needs!(namespaces());
    let ended =
        stop(up(&["--grace", "30s"], &["sh", "-c", &prefork("POSIX::_exit(0)", WORKER_TOLD, "1 while sleep 1")]), 30);
    assert_eq!((times(&ended, "master told"), times(&ended, "worker told")), (1, 1), "{}", ended.all());
    ended.expect_not("SIGKILL;").expect_not("sending SIGKILL");
    assert!(ended.lived < Duration::from_secs(15), "not before time got short: {:?}", ended.lived);
}

#[test]
fn the_worker_of_a_master_that_does_not_stop_it_is_told_when_time_gets_short() {
    needs!(namespaces());
    let ended = stop(up(&["--grace", "12s"], &["sh", "-c", &prefork("", WORKER_TOLD, "1 while sleep 1")]), 12);
    assert_eq!((times(&ended, "master told"), times(&ended, "worker told")), (1, 1), "{}", ended.all());
    ended.expect("worker ended with 0").expect_not("sending SIGKILL");
}

#[test]
fn a_main_process_that_moved_to_another_group_is_signalled_with_its_group() {
    needs!(namespaces());
    let program = "my $c = fork // die; unless ($c) { setpgrp 0, 0; 1 while sleep 1 } \
                   1 until getpgrp($c) == $c; setpgrp 0, $c or die; \
                   $SIG{TERM} = sub { syswrite STDOUT, qq(told\\n); exit 5 }; syswrite STDOUT, qq(up\\n); 1 while sleep 1";
    let ended = stop(up(&["-g", "--grace", "30s"], &["perl", "-e", program]), 6);
    ended.expect_code(5).expect_not("perl: still running");
    assert_eq!(times(&ended, "told"), 1, "{}", ended.all());
}

// === how long ===

/// What the shell ignores the other does from its first moment.
const IGNORES: &[&str] = &["sh", "-c", "trap '' TERM; sleep 100 & exit 3"];

#[test]
fn a_container_that_ended_by_itself_is_gone_after_seconds() {
    needs!(namespaces());
    let launch = |flags: &[&str]| Launch::new(flags.iter().chain(&["--"]).chain(IGNORES).copied()).run();
    let ended = launch(&["--grace", "60s"]);
    ended.expect_code(3).expect("sending SIGKILL");
    assert!((Duration::from_secs(3)..Duration::from_secs(20)).contains(&ended.lived), "{:?}", ended.lived);
    let ended = launch(&["--grace", "60s", "--stragglers-timeout-when-ended", "8s"]);
    ended.expect_code(3).expect("stragglers still running 8.");
}

#[test]
fn jobs_of_a_cron_daemon_are_waited_for_before_they_are_told() {
    needs!(namespaces());
    let job = ["session", "say:job", "ready", "sleep:1500", "say:job done", "end", "exit-on:TERM:0", "say:up", "wait"];
    let ended = stop(Launch::child(&["--grace", "20s", "--stragglers-wait", "15s"], &job).up(), 20);
    // That they have gone is no news where nobody told them to.
    ended.expect_code(0).expect("job done").expect_not("sending SIGTERM (").expect_not("straggler");
}

#[test]
fn ssh_sessions_get_the_signal_that_the_table_names_after_their_wait() {
    needs!(namespaces());
    let words = ["session", "exit-on:HUP:0", "on:TERM", "ready", "wait", "end", "exit-on:TERM:0", "say:up", "wait"];
    let dir = Dir::new();
    let sshd = process("sshd", &words);
    let config = format!("grace = '30s'\n[stragglers]\nwait = '300ms'\nsignal = 'SIGHUP'\n{sshd}output = 'inherit'\n");
    let ended = stop(dir.launch(&config).up(), 10);
    ended.expect_code(0).expect("1 straggler: sending SIGHUP").expect("HUP handled");
    assert_eq!(times(&ended, "TERM received"), 1, "the session, too:\n{}", ended.all());
}

/// I13: softstop is paused when the SIGKILL of the stragglers is due, until after the end of their slice.
#[test]
fn a_pause_drops_neither_the_kill_of_stragglers_nor_their_account() {
    needs!(namespaces());
    let dir = Dir::new();
    let words = ["session", "ignore:TERM", "ready", "wait", "end", "exit-on:TERM:0", "say:up", "wait"];
    let config = format!(
        "grace = '6s'\n[exit_codes]\nforced = 79\n{}[[post_stop]]\nname = 'after'\nexec = ['true']\nreserve = '2s'\n",
        process("web", &words)
    );
    let mut running = dir.launch(&config).up();
    running.term().wait_for("sending SIGTERM (perl");
    // The pause itself is the subject: from before the kill (2.75 s), however late this thread is, to after the slice's end (3 s).
    running.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(3400));
    running.signal(libc::SIGCONT);
    let ended = running.wait(SOON);
    ended.expect_code(79).expect("1 straggler: sending SIGKILL").expect("needed SIGKILL: stragglers");
    let all = ended.all();
    let (kill, after) = (all.find("sending SIGKILL").unwrap(), all.find("post_stop: after").unwrap());
    assert!(kill < after, "post_stop began beside what was to be killed:\n{all}");
}

/// Nobody tells softstop of the end of those whose parent is another's: it looks ten times a second, and not only when it wakes anyway.
#[test]
fn what_is_left_of_a_group_is_looked_at_while_its_end_is_waited_for() {
    let dir = Dir::new();
    let text = format!(
        "grace = \"5s\"\n[[process]]\nname = \"a\"\ncommand = [\"sh\", \"-c\", \"sleep 1000 & exit 1\"]\nrestart = \"always\"\n\
         [process.stragglers]\nwait = \"50s\"\n[[process]]\nname = \"clock\"\n\
         command = [\"sh\", \"-c\", \"while sleep 0.2; do echo >> '{}'; done\"]\n",
        dir.text("clock")
    );
    let mut running = dir.launch(&text).not_pid1().start();
    running.wait_for("others of its process group still run");
    let (ticks, before) = (dir.lines("clock").len(), processes::wake_ups(running.pid()));
    // A timer wakes it once or twice.
    running.wait_until("it has woken forty times", |r| processes::wake_ups(r.pid()) >= before + 40);
    // Ten to twenty; by its beat alone, which is two a second, forty to fifty. The clock goes as slowly as the machine.
    let ticks = dir.lines("clock").len() - ticks;
    assert!(ticks < 28, "{ticks}");
    running.stop_within(Duration::from_secs(5));
}

/// Nor is anything looked at once the group is empty and nobody is left to be told.
#[test]
fn an_empty_group_is_looked_at_no_more() {
    let dir = Dir::new();
    let text = format!(
        "grace = \"5s\"\n[[process]]\nname = \"a\"\ncommand = [\"sh\", \"-c\", \"sleep 1000 & exit 1\"]\nrestart = \"never\"\n\
         on_exit = \"continue\"\n[[process]]\nname = \"clock\"\n\
         command = [\"sh\", \"-c\", \"while sleep 0.2; do echo >> '{}'; done\"]\n",
        dir.text("clock")
    );
    let mut running = dir.launch(&text).not_pid1().start();
    running.wait_for("a: ended").wait_until("some time has passed", |_| dir.lines("clock").len() >= 5);
    let (ticks, before) = (dir.lines("clock").len(), processes::wake_ups(running.pid()));
    running.wait_until("two seconds have passed", |_| dir.lines("clock").len() >= ticks + 10);
    let wakes = processes::wake_ups(running.pid()) - before;
    assert!(wakes < 10, "{wakes}");
    running.stop_within(Duration::from_secs(5));
}

// === how many ===

/// Thousands that live on: each is told, none twice, and softstop is gone in time.
#[test]
fn thousands_of_stragglers_are_each_told_once_and_end_in_time() {
    needs!(namespaces());
    let _alone = siege::alone();
    let dir = Dir::new();
    let journal = dir.text("told");
    // A thousand here; docs/reliability/stragglers.md says what more was measured.
    let word = format!("journal-on:TERM:{journal}:told");
    let words = ["session", "many:1000", &word, "idle", "end", "exit:0", "end", "exit-on:TERM:0", "say:up", "wait"];
    let ended = stop(Launch::child(&["--grace", "20s"], &words).up(), 20);
    ended.expect_code(0).expect_not("sending SIGKILL").expect_within_the_grace();
    assert_eq!(dir.lines("told").len(), 1000);
}

/// It ignores SIGTERM and forks wherever there is room; each is in a session of its own, so that no signal to a group reaches two.
const FORK_BOMB: &str = "$SIG{TERM} = $SIG{CHLD} = 'IGNORE'; syswrite STDOUT, qq(up\\n); \
                         while (1) { my $p = fork; POSIX::setsid() if defined $p && !$p }";

/// So many processes at most, with `percent` of one processor, as the machine has other things to do: theirs alone, or (`shared`) softstop's
/// as well, as a container's limit is.
struct Bomb {
    processes: u32,
    percent: u32,
    shared: bool,
    grace: u64,
}

const ALONE: Bomb = Bomb { processes: 200, percent: 100, shared: false, grace: 5 };
/// softstop's part of that is 5 ms in a second. The grace is long for the sake of a busy machine.
const SHARED: Bomb = Bomb { processes: 100, percent: 50, shared: true, grace: 10 };

fn fork_bomb(bomb: &Bomb, launch: impl Fn(Launch) -> Launch) {
    needs!(namespaces());
    // Whoever forks or ends needs the lock of each file that perl maps, in whatever container.
    let _turn = if bomb.shared { siege::limited() } else { siege::alone() };
    let late: Vec<String> = (0..3).map_while(|_| goes_over_the_grace(bomb, &launch)).collect();
    assert!(late.len() < 3, "three of three:\n{}", late.join("\n\n"));
}

/// What it printed, if so. That they have starved it themselves is no excuse; but for once the kernel may do so, too: beside busy processes Linux 6.18
/// was seen to let one that is ready wait for ten seconds and more.
fn goes_over_the_grace(bomb: &Bomb, launch: impl Fn(Launch) -> Launch) -> Option<String> {
    let (room, time) = (Cgroup::new(Kind::Pids)?, Cgroup::new(Kind::Cpu)?);
    room.limit_pids(bomb.processes);
    time.limit_cpu(bomb.percent);
    let (room_for, time_for) = (room.launcher().to_vec(), time.launcher().to_vec());
    let (outside, inside) = if bomb.shared { (time_for, vec![]) } else { (vec![], time_for) };
    let softstop = ["--grace".to_owned(), format!("{}s", bomb.grace), "--".to_owned()];
    let program = ["perl", "-MPOSIX", "-e", FORK_BOMB].map(str::to_owned);
    let through = [room_for, outside].concat();
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    let args = [&softstop[..], &inside, &program].concat();
    let mut running = launch(Launch::new(args).through(&through)).up();
    running.wait_until("as many as may be", |_| room.count() >= bomb.processes);
    let (ended, _) = running.stop_within(Duration::from_secs(bomb.grace));
    ended.expect_code(137).expect("stopped in");
    // They have been killed; on a busy machine that takes its time.
    until(format_args!("all are gone:\n{}", ended.all()), || room.count() == 0);
    (bomb.shared && ended.all().contains("over the grace")).then(|| ended.all())
}

#[test]
fn a_fork_bomb_of_200_processes_is_gone_inside_the_grace() {
    fork_bomb(&ALONE, |launch| launch);
}

#[test]
fn a_fork_bomb_of_200_processes_is_gone_inside_the_grace_below_a_subreaper() {
    fork_bomb(&ALONE, Launch::not_pid1);
}

#[test]
fn a_fork_bomb_that_has_used_up_the_containers_processor_limit_is_gone_inside_the_grace() {
    fork_bomb(&SHARED, |launch| launch);
}

#[test]
fn a_fork_bomb_that_has_used_up_the_containers_processor_limit_is_gone_inside_the_grace_below_a_subreaper() {
    fork_bomb(&SHARED, Launch::not_pid1);
}

/// With a crowd to end softstop takes the highest priority, where it may; what it starts then has the one that it was launched with.
#[test]
fn a_post_stop_after_a_crowd_has_the_priority_that_softstop_was_launched_with() {
    needs!(namespaces());
    if !Command::new("nice").args(["-n", "-1", "true"]).stderr(std::process::Stdio::null()).status().unwrap().success()
    {
        return skip("a better priority than others' needs the capability SYS_NICE");
    }
    let own = Command::new("nice").output().unwrap();
    let own = (String::from_utf8(own.stdout).unwrap().trim().parse::<i32>().unwrap() + 3).min(19);
    let dir = Dir::new();
    // The nineteenth is softstop's.
    let look = "echo post_stop: $(nice); echo softstop: $(cut -d' ' -f19 /proc/1/stat)";
    let words = ["many:60", "exit-on:TERM:0:600", "idle", "end", "exit-on:TERM:0", "on:USR1", "say:up", "wait"];
    let text = format!(
        "grace = \"8s\"\n{}signal_to = \"process\"\n[[post_stop]]\nname = \"look\"\nexec = [\"sh\", \"-c\", {look:?}]\n",
        process("many", &words)
    );
    let mut running = dir.launch(&text).through(&["nice", "-n", "3"]).up();
    // After a turn beside the crowd it has that, too: it has nobody to end yet.
    running.signal(libc::SIGUSR1).wait_for("USR1 received");
    assert_eq!(processes::niceness(running.pid()), own);
    let ended = stop(running, 8);
    ended.expect_code(0).expect(&format!("post_stop: {own}")).expect("softstop: -20");
}

// === strangers ===

/// Somebody whom the runtime put into the container (`kubectl exec`), and a child of his: neither is softstop's. Both journal each signal
/// that they get; who put him in sees when he is stopped (nsenter then stops itself, and reaps nobody).
struct PutIn {
    dir: Dir,
    waits: std::thread::JoinHandle<Vec<WaitStatus>>,
}

impl PutIn {
    /// `None`, and said, where that needs root.
    fn into(running: &mut Running) -> Option<PutIn> {
        if !root("entering a softstop's namespace") {
            return None;
        }
        let dir = Dir::new();
        let (his, childs) = (dir.text("his"), dir.text("childs"));
        let namespace = std::fs::File::open(format!("/proc/{}/ns/pid", running.pid())).unwrap();
        let journals = |file: &str| [format!("journal-all:{file}"), format!("journal:{file}:in")];
        let mut command = Command::new("perl");
        command
            .args([CHILD, "fork"])
            .args(journals(&childs))
            .args(["ready", "wait", "end"])
            .args(journals(&his))
            .arg("wait");
        // Whoever a thread starts after this is in the namespace; the thread is not.
        let waits = std::thread::spawn(move || {
            nix::sched::setns(namespace, CloneFlags::CLONE_NEWPID).unwrap();
            let pid = Pid::from_raw(command.spawn().unwrap().id().cast_signed());
            let mut seen = Vec::new();
            while !matches!(seen.last(), Some(WaitStatus::Exited(..) | WaitStatus::Signaled(..))) {
                seen.push(waitpid(pid, Some(WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED)).unwrap());
            }
            seen
        });
        running.wait_until("both are in", |_| ["his", "childs"].iter().all(|file| !dir.lines(file).is_empty()));
        Some(PutIn { dir, waits })
    }
}

#[test]
fn whoever_was_put_into_a_crowded_container_is_neither_stopped_nor_killed_with_the_crowd() {
    needs!(namespaces());
    // Seven seconds for the end of so many, however busy the machine.
    let many = ["ignore:TERM", "many:60", "idle", "end", "say:up", "wait"];
    let mut running = Launch::child(&["--grace", "9s", "--kill-reserve", "7s"], &many).up();
    let Some(put_in) = PutIn::into(&mut running) else { return };
    // strace sees no signal to everybody.
    let ended = Proof::begin(&mut running).stop(running, Duration::from_secs(9));
    ended.expect_code(137).expect("sending SIGKILL to everything left").expect_within_the_grace();
    let seen = put_in.waits.join().unwrap();
    if ended.says_it_starved() {
        // Then they are stopped for the look: see below.
        return;
    }
    assert!(matches!(seen[..], [WaitStatus::Signaled(_, Signal::SIGKILL, _)]), "{seen:?}\n{}", ended.all());
    let journals = ["his", "childs"].map(|file| put_in.dir.lines(file));
    assert_eq!(journals, [["in"], ["in"]], "{}", ended.all());
}

/// The deadline comes before softstop has looked at the crowd, as when it is starved: only then are all stopped for the look. Those who were
/// put in are found in it.
#[test]
fn whoever_was_put_into_a_crowd_that_nobody_could_look_at_goes_on_at_once() {
    needs!(namespaces());
    let many = ["ignore:TERM", "say:up", "until:USR1", "many:300", "idle", "end", "say:all made", "wait"];
    let mut running = Launch::child(&["--grace", "9s", "--kill-reserve", "8990ms"], &many).up();
    let Some(put_in) = PutIn::into(&mut running) else { return };
    // The newest are looked at first, so these come after him.
    running.signal(libc::SIGUSR1);
    running.wait_for("all made");
    let trace = put_in.dir.text("trace");
    let calls = ["-e", "trace=kill,pidfd_send_signal", "-e", "signal=none", "-o", &trace];
    let Some(mut strace) = attach(&mut running, &calls) else { return };
    let ended = stop(running, 9);
    strace.wait().unwrap();
    ended.expect_code(137).expect_within_the_grace();
    let seen = put_in.waits.join().unwrap();
    assert!(matches!(seen.last(), Some(WaitStatus::Signaled(_, Signal::SIGKILL, _))), "{seen:?}\n{}", ended.all());
    let calls = put_in.dir.lines("trace");
    let after: Vec<&String> = calls.iter().skip_while(|call| !call.starts_with("kill(-1, SIGSTOP)")).collect();
    let woken = |call: &str| after.iter().position(|line| line.starts_with(call) && line.contains(", SIGCONT"));
    assert_eq!([woken("kill("), woken("pidfd_send_signal(")], [Some(1), Some(2)], "{calls:#?}\n{}", ended.all());
    assert!(!calls.iter().any(|call| call.starts_with("kill(-1, SIGKILL)")), "{calls:#?}");
}
