//! Faults that were once seeded into the shell by hand and passed every other test: each test here fails for one of them. The table is
//! in docs/reliability/shell.md.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::fuse::with_hanging_file_system;
use crate::support::proof::attach;
use crate::support::{
    Dir, Launch, PROMPT, Proc, Running, SOON, faults, may_enter_namespaces, namespaces, process, processes,
};

fn descriptors(pid: i32) -> Vec<(i32, PathBuf)> {
    let list = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let named = |entry: std::fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, std::fs::read_link(entry.path()).ok()?))
    };
    list.filter_map(named).collect()
}

/// Who is stopped acts on nothing: SIGCONT goes to the group, too.
#[test]
fn a_group_that_is_stopped_is_woken_to_act_on_its_stop_signal() {
    let flags = ["--grace", "30s", "--signal-to", "group"];
    let mut running = Launch::child(&flags, &["exit-on:TERM:3", "say:up", "stop-self", "wait"]).not_pid1().up();
    running.wait_until("the child is stopped", |r| r.marked().iter().any(|p| p.pid != r.pid() && p.state == 'T'));
    running.stop_within(Duration::from_secs(30)).0.expect_code(3).expect("TERM handled").expect_not("SIGKILL:");
}

fn exchange(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // It may be reset: what was sent behind the request has not been read.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Nobody keeps softstop reading: who sends on counts as gone.
#[test]
fn a_client_that_sends_on_behind_its_order_is_cut_off() {
    let dir = Dir::new();
    let path = dir.path("s.sock");
    let flags = ["--grace", "60s", "--drain-sleep", "40s", "--control", path.to_str().unwrap()];
    let _running = Launch::child(&flags, PROMPT).not_pid1().up();
    let began = std::time::Instant::now();
    let answer = exchange(&path, &format!("{{\"version\":1,\"order\":\"drain\"}}\n{}", "x".repeat(2000)));
    assert!(!answer.contains("\"done\"") && began.elapsed() < SOON, "{answer}");
}

/// A grandchild that keeps a probe's pipe keeps no descriptor of softstop's.
#[test]
fn a_probe_whose_grandchild_holds_its_pipe_leaks_no_descriptor() {
    let dir = Dir::new();
    let count = dir.text("count");
    let text = format!(
        "grace = \"30s\"\n[[process]]\nname = \"a\"\ncommand = [\"sleep\", \"1000\"]\n[process.readiness]\n\
         exec = [\"sh\", \"-c\", \"sleep 1000 & echo >> '{count}'\"]\nperiod = \"50ms\"\ntimeout = \"20s\"\n"
    );
    let mut running = dir.launch(&text).start();
    running.wait_until("three probes", |_| dir.lines("count").len() > 3);
    let before = descriptors(running.pid()).len();
    running.wait_until("thirty probes", |_| dir.lines("count").len() > 30);
    let after = descriptors(running.pid());
    assert!(after.len() < before + 10, "{before}, then {after:?}");
}

/// More than a pipe's reader gets at once, and a writer that takes its time.
#[test]
fn a_configuration_from_a_fifo_is_read_to_its_end() {
    let dir = Dir::new();
    let text = format!("{}\n[[process]]\nname = \"last\"\ncommand = [\"true\"]\n", "# filling\n".repeat(2000));
    let file = dir.write("softstop.toml", &text);
    let fifo = dir.text("fifo");
    let script =
        format!("mkfifo '{fifo}'; (head -c 5000 '{file}'; sleep 0.1; tail -c +5001 '{file}') > '{fifo}' & exec \"$@\"");
    let ended = Launch::new(["run", "-c", &fifo]).not_pid1().through(&["sh", "-c", &script, "sh"]).run();
    ended.expect_code(0).expect("last: started");
}

/// A helper whose wait is over, long before softstop's end.
#[test]
fn a_helper_that_is_not_waited_for_any_more_is_gone() {
    let dir = Dir::new();
    let text = format!(
        "grace = \"60s\"\n[[process]]\nname = \"a\"\ncommand = [\"sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 1000; done\"]\n\
         [[drain]]\nname = \"flag\"\nwait_file = {{ path = {:?} }}\ntimeout = \"300ms\"\n",
        dir.text("never")
    );
    let mut running = dir.launch(&text).not_pid1().start();
    running.wait_for("up\n").term().wait_for("a: stopping");
    let helper = |p: &Proc| processes::command_line(p.pid).contains("__wait_file");
    running.wait_until("the helper is gone", |r| !r.marked().iter().any(helper));
    assert_eq!(running.code(), None, "it ended with softstop, not with its wait");
}

/// More wait than are read at once: the descriptor tells of arrivals alone, and nothing more arrives.
#[test]
fn more_signals_than_one_turn_takes_are_all_taken_without_a_further_one() {
    const MOST: usize = softstop::sys::signals::MOST;
    let flags = ["--grace", "8s", "--stop-on", "RTMAX"];
    let mut running = Launch::child(&flags, &["ignore:40", "exit-on:64:3", "say:up", "wait"]).not_pid1().up();
    let pid = running.pid();
    processes::send(pid, libc::SIGSTOP);
    running.wait_until("it is stopped", |_| processes::look(pid).is_some_and(|p| p.state == 'T'));
    // Lower numbers are read first: what stops it is the last of all.
    (0..MOST + 20).for_each(|_| processes::send(pid, 40));
    processes::send(pid, 64);
    processes::send(pid, libc::SIGCONT);
    running.wait(SOON).expect_code(3).expect("64 handled");
}

/// The listener stays readable when nobody can be accepted: trying again at once would use all the processor time there is.
#[test]
fn a_client_that_cannot_be_accepted_is_tried_again_after_a_pause() {
    needs!(faults::possible());
    let dir = Dir::new();
    let path = dir.path("s.sock");
    let flags = ["--grace", "5s", "--log-level", "debug", "--control", path.to_str().unwrap()];
    let mut running = Launch::child(&flags, PROMPT).not_pid1().up();
    faults::limit(&running, "nofile", 3);
    let began = Instant::now();
    let client = UnixStream::connect(&path).unwrap();
    running.wait_for_count("a client cannot be accepted", 4);
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    faults::limit(&running, "nofile", 256);
    drop(client);
    assert!(exchange(&path, "{\"version\":1,\"order\":\"status\"}\n").contains("\"phase\":\"Running\""));
    running.stop_within(Duration::from_secs(5)).0.expect_code(0);
}

/// Output that nobody reads keeps softstop after the loop has ended.
#[test]
fn who_orders_something_when_all_is_over_is_answered() {
    let dir = Dir::new();
    let path = dir.path("s.sock");
    let flags = ["--grace", "30s", "--output", "prefix", "--control", path.to_str().unwrap()];
    let words = ["exit-on:TERM:0", &format!("journal:{}:", dir.text("up")), "fill"];
    let mut running = Launch::child(&flags, &words).not_pid1().unread().start();
    running.wait_until("it runs", |_| path.exists() && dir.path("up").exists());
    let others = |r: &Running| r.marked().iter().any(|p| p.pid != r.pid());
    running.wait_until("it is seen", others);
    let child = running.marked().iter().find(|p| p.pid != running.pid()).unwrap().pid;
    // More than two pipes hold: its own, and the one that nobody reads.
    running.wait_until("output waits in softstop", |_| {
        let io = std::fs::read_to_string(format!("/proc/{child}/io")).unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
        written.unwrap_or(0) > 140_000
    });
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    processes::send(child, libc::SIGKILL);
    running.wait_until("it has been reaped", |_| processes::look(child).is_none());
    client.write_all(b"{\"version\":1,\"order\":\"drain\"}\n").unwrap();
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    assert!(answer.contains("\"refused\""), "{answer:?}");
}

/// When PID 1 ends the kernel ends everybody else, also who has just been told so.
#[test]
fn a_client_in_the_container_outlives_its_answer() {
    needs!(may_enter_namespaces());
    // It has a quarter of a second, in which a busy machine may not let it run.
    assert!((0..10).any(|_| outlives_its_answer()));
}

fn outlives_its_answer() -> bool {
    let dir = Dir::new();
    let (path, left) = (dir.text("s.sock"), dir.path("left"));
    let running = Launch::child(&["--grace", "30s", "--control", &path], PROMPT).up();
    let client = format!(
        "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => '{path}') or die; \
         $s->syswrite(qq({{\"version\":1,\"order\":\"stop\"}}\\n)); 1 while defined <$s>; select undef, undef, undef, 0.05; \
         open my $f, '>', '{}' or die; print $f 'left'; close $f",
        left.display()
    );
    let mut entered = Command::new("nsenter");
    entered.args(["--target", &running.pid().to_string(), "--pid", "--mount", "perl", "-e", &client]);
    let mut entered = entered.spawn().unwrap();
    running.wait(Duration::from_secs(30)).expect_code(0);
    let _ = entered.wait();
    std::fs::read_to_string(left).is_ok_and(|text| text == "left")
}

/// A program that was slow to execute: what tells of it is let go of, and later starts wait as long as ever.
#[test]
fn what_watched_a_slow_exec_is_gone_once_it_is_over() {
    let dir = Dir::new();
    let slow = dir.script("slow", "exec sleep 1000");
    let text = format!(
        "grace = \"30s\"\n[[process]]\nname = \"slow\"\ncommand = [{slow:?}]\n\
         [[process]]\nname = \"b\"\ncommand = [\"sleep\", \"1000\"]\nafter = {{ slow = \"started\" }}\n\
         [process.readiness]\nexec = [\"true\"]\nperiod = \"50ms\"\n"
    );
    let file = dir.write("softstop.toml", &text);
    // Whoever executes a file that another holds a lease on waits until it is given up: F_SETLEASE, F_WRLCK.
    let hold = format!(
        "$SIG{{IO}} = 'IGNORE'; open my $f, '<', '{slow}' or die; fcntl($f, 1024, 1) or die; print qq(held\\n); <STDIN>"
    );
    let mut holder = Command::new("perl");
    let mut holder =
        holder.args(["-e", &format!("$| = 1; {hold}")]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let mut running = Launch::new(["run", "-c", &file]).not_pid1().start();
    running.wait_for("b: ready");
    let pipes = |pid: i32, outputs: bool| -> BTreeSet<PathBuf> {
        let open = descriptors(pid).into_iter().filter(|(number, _)| outputs == (*number < 3));
        open.map(|(_, to)| to).filter(|to| to.to_string_lossy().starts_with("pipe:")).collect()
    };
    // Both ends: one is softstop's, one its child's until it has executed. What the child prints to is another matter.
    let waiting = |r: &Running| -> BTreeSet<PathBuf> {
        let ours = &pipes(r.pid(), false) - &pipes(r.pid(), true);
        let marked = r.marked().into_iter().filter(|p| p.pid != r.pid());
        marked.flat_map(|p| &(&pipes(p.pid, false) - &pipes(p.pid, true)) & &ours).collect()
    };
    let watched = waiting(&running);
    assert!(!watched.is_empty(), "the exec is over");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    running.wait_until("it is watched no longer", |r| pipes(r.pid(), false).is_disjoint(&watched));
    running.stop_within(Duration::from_secs(30));
}

/// Each look at a name has processes of its own that read /etc. They are forgotten when they have ended, so there may be any number.
#[test]
fn a_probe_by_name_goes_on_for_ever() {
    let (dir, listener) = (Dir::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let text = format!(
        "grace = \"30s\"\n[[process]]\nname = \"a\"\ncommand = [\"sleep\", \"1000\"]\n[process.readiness]\n\
         tcp_socket = {{ host = \"here.test\", port = {} }}\nperiod = \"20ms\"\n",
        listener.local_addr().unwrap().port()
    );
    let etc = dir.path("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("hosts"), "127.0.0.1 here.test\n").unwrap();
    needs!(namespaces());
    let script = "mount --bind \"$0\" /etc && exec \"$@\"";
    let launch = dir.launch(&text);
    listener.set_nonblocking(true).unwrap();
    let mut running = launch.through(&["unshare", "--mount", "sh", "-c", script, etc.to_str().unwrap()]).start();
    // More than may be reading at once.
    let mut probes = 0;
    running.wait_until("a hundred probes", |_| {
        probes += usize::from(listener.accept().is_ok());
        probes >= 100
    });
    running.stop_within(Duration::from_secs(30)).0.expect_not("does not answer");
}

/// Nobody tells softstop of the end of those whose parent is another's: it looks.
#[test]
fn a_group_whose_last_member_is_anothers_child_is_seen_to_end() {
    let dir = Dir::new();
    // It has a child in the group and leaves it; that child ignores what it is sent, and ends by itself.
    let words = "ignore:TERM fork ignore:CHLD fork ignore:TERM ready sleep:1500 exit:0 end new-session wait end exit:1";
    let text = format!(
        "grace = \"60s\"\n{}restart = \"always\"\n\
         [process.stragglers]\nwait = \"50s\"\n[[process]]\nname = \"b\"\ncommand = [\"sleep\", \"1000\"]\n",
        process("a", &words.split(' ').collect::<Vec<_>>())
    );
    let mut running = dir.launch(&text).not_pid1().start();
    running.wait_for_count("a: started", 2);
    running.signal(libc::SIGTERM).signal(libc::SIGTERM);
}

/// The leader may not end for long, whatever it is sent: its group does not wait for that.
#[test]
fn sigkill_goes_to_the_group_at_once() {
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let path = dir.path("s.sock");
        let flags = ["--grace", "60s", "--stop-signal", "TERM:300ms", "--control", path.to_str().unwrap()];
        let open = format!("open:{}", hung.file());
        let words = ["ignore:TERM", "fork", "wait", "end", "say:up", open.as_str(), "wait"];
        let mut running = Launch::child(&flags, &words).not_pid1().up();
        running.wait_until("it hangs", |_| hung.asked() > 0);
        let leader = processes::children(running.pid())[0];
        let member = processes::children(leader)[0];
        running.term().wait_for("sending SIGKILL");
        let began = Instant::now();
        running.wait_until("the member has ended", |_| processes::look(member).is_none_or(|p| p.is_zombie()));
        assert!(processes::look(leader).is_some_and(|p| !p.is_zombie()), "nothing hung");
        assert!(began.elapsed() < Duration::from_secs(30), "only at the end of the grace all was killed");
        hung.release();
    });
}

/// Until a process is reaped its pid and its group's number are nobody else's: what its end asks for is done before. Here that is the stop
/// of another; stragglers are signalled piece by piece, and on a busy machine the first piece may be over before one of them was found.
#[test]
fn what_an_end_asks_for_is_done_before_it_is_reaped() {
    let dir = Dir::new();
    let config = [
        "grace = '30s'\n",
        &process("main", &["exit-on:USR1:3", "say:main up", "wait"]),
        "main = true\nrestart = 'never'\n",
        &process("side", &["exit-on:TERM:0", "pid", "say:side up", "wait"]),
    ]
    .concat();
    let mut running = dir.launch(&config).not_pid1().start();
    running.wait_for("main up").wait_for("side up");
    let printed = running.printed();
    let side: i32 = printed.split("pid=").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).unwrap();
    let children = processes::children(running.pid());
    let main = children.into_iter().find(|pid| *pid != side).unwrap();
    let file = dir.text("strace");
    let calls = ["-e", "trace=waitid,kill,pidfd_send_signal", "-e", "signal=none", "-o", &file];
    let Some(mut strace) = attach(&mut running, &calls) else { return };
    processes::send(main, libc::SIGUSR1);
    running.wait(SOON).expect_code(3);
    let _ = strace.wait();
    let text = std::fs::read_to_string(&file).unwrap();
    let after = |from: usize, what: &dyn Fn(&str) -> bool| {
        text.lines().skip(from).position(what).map(|n| n + from).unwrap_or_else(|| panic!("{text}"))
    };
    let seen = after(0, &|line| line.contains("WNOWAIT") && line.contains(&format!("si_pid={main},")));
    let acted = after(seen, &|line| line.starts_with(&format!("kill({side}, SIGTERM)")));
    let reaped = after(seen, &|line| line.starts_with(&format!("waitid(P_PID, {main},")) && !line.contains("WNOWAIT"));
    assert!(acted < reaped, "{text}");
}
