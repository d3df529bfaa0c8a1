//! Corners of being PID 1 that concern the start of a child: what happens between fork and exec, and what the child is given. The
//! numbers are those of docs/reliability.md.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests wait for their own children")]

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use support::{CHILD, Dir, Launch, SOFTSTOP, processes};

const GRACE: Duration = Duration::from_secs(3);

/// Every system call of softstop and its child, as `PID CALL`. `None`, and said, without strace.
fn traced(dir: &Dir, command: &[&str]) -> Option<Vec<(String, String)>> {
    let file = dir.text("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", &file, SOFTSTOP]).args(command).env("PATH", "/usr/bin:/bin");
    let Ok(status) = strace.stdout(Stdio::null()).stderr(Stdio::null()).status() else {
        support::skip("no strace");
        return None;
    };
    assert!(status.code().is_some(), "{status}");
    let lines = dir.lines("trace");
    Some(lines.iter().filter_map(|l| l.split_once(' ').map(|(pid, call)| (pid.into(), call.trim().into()))).collect())
}

/// S2, Q3, Q4, Q5: a real fork (no memory shared); all signals blocked across it and up to the exec, our handlers gone before they are
/// let in; and in between nothing that allocates or locks. An exec that fails says so through a pipe.
#[test]
fn between_fork_and_exec_only_what_is_safe_there_happens() {
    let dir = Dir::new();
    // Everything that a child can be given.
    let user = if nix::unistd::geteuid().is_root() { "user = \"daemon\"\n" } else { "" };
    let config =
        format!("[[process]]\nname = \"a\"\ncommand = [\"true\"]\nworking_dir = \"/\"\noutput = \"prefix\"\n{user}");
    let config = dir.write("softstop.toml", &config);
    for (command, found) in
        [(&["--", "true"][..], true), (&["--", "/no/such/program"], false), (&["run", "-c", &config], true)]
    {
        let Some(calls) = traced(&dir, command) else { return };
        let forked = calls.iter().position(|(_, c)| c.starts_with("clone(")).expect("a fork");
        let fork = &calls[forked].1;
        assert!(!fork.contains("CLONE_VM") && !fork.contains("CLONE_VFORK"), "{fork}");
        let child = calls.iter().map(|(pid, _)| pid).find(|pid| **pid != calls[0].0).expect("a child");
        let name = |call: &str| call.split('(').next().unwrap_or_default().to_owned();
        let blocked = calls[..forked].iter().rev().find(|(_, c)| c.starts_with("rt_sigprocmask(")).unwrap();
        assert!(
            blocked.1.starts_with("rt_sigprocmask(SIG_SETMASK, ~[], "),
            "signals are let in at the fork: {}",
            blocked.1
        );
        let of_child = calls.iter().filter(|(pid, _)| pid == child).map(|(_, c)| c.as_str());
        // The rest of a call that strace has told of already.
        let of_child: Vec<&str> = of_child.filter(|c| !c.starts_with("<...")).collect();
        let exec = of_child.iter().position(|c| c.starts_with("execve(")).expect("an exec");
        let allowed = "set_robust_list rseq rt_sigaction rt_sigprocmask setpgid getpid ioctl fcntl dup2 dup3 chdir close_range \
                       setgroups setresgid setresuid setuid geteuid getegid";
        for call in &of_child[..exec] {
            assert!(allowed.split(' ').any(|a| a == name(call)), "between fork and exec: {call}");
        }
        let masks: Vec<usize> = (0..exec).filter(|i| of_child[*i].starts_with("rt_sigprocmask(")).collect();
        assert_eq!(masks, [exec - 1], "signals are let in once, right before exec: {:?}", &of_child[..=exec]);
        let reset = |n: i32| of_child[..exec].iter().any(|c| c.starts_with(&format!("rt_sigaction({},", signal(n))));
        assert!([libc::SIGTERM, libc::SIGCHLD, libc::SIGPIPE].into_iter().all(reset), "{:?}", &of_child[..exec]);
        if !found {
            let report = of_child[exec..].iter().position(|c| c.starts_with("write(")).expect("a report");
            assert!(of_child[exec + report..].iter().any(|c| c.starts_with("exit_group(127")), "{of_child:?}");
        }
    }
}

/// As strace writes it.
fn signal(number: i32) -> &'static str {
    match number {
        libc::SIGTERM => "SIGTERM",
        libc::SIGCHLD => "SIGCHLD",
        _ => "SIGPIPE",
    }
}

/// S12: a session of its own would take the terminal from the child, which the kernel follows with SIGHUP and SIGCONT. The child gets a
/// group, never a session.
#[test]
fn the_child_stays_in_the_session_that_softstop_was_started_in() {
    if !support::namespaces() {
        return;
    }
    let session = |pid: i32| nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).unwrap();
    for pid1 in [true, false] {
        let words = ["on:HUP", "on:CONT", "exit-on:TERM:0", "say:up", "wait"];
        let launch = Launch::child(&["--grace", "3s"], &words);
        let mut running = if pid1 { launch } else { launch.not_pid1() }.start();
        running.wait_for("up");
        let child = processes::children(running.pid())[0];
        assert_eq!(session(child), session(running.pid()));
        running.stop_within(GRACE).0.expect_code(0).expect_not("HUP received");
    }
}

/// Q6: held by softstop as well, a pipe or socket that the program closes would stay open for whoever is at its other end.
#[test]
fn softstop_keeps_no_copy_of_the_descriptors_it_hands_on() {
    if !support::namespaces() {
        return;
    }
    let through = ["sh", "-c", "exec \"$@\" 7</dev/zero", "sh"];
    let holds = |pid: i32| std::fs::read_link(format!("/proc/{pid}/fd/7")).is_ok_and(|to| to.ends_with("zero"));
    let words = ["exit-on:TERM:0", "say:up", "wait"];
    let mut running = Launch::child(&["--grace", "3s"], &words).through(&through).start();
    running.wait_for("up");
    let child = processes::children(running.pid())[0];
    assert!(holds(child) && !holds(running.pid()));
    running.stop_within(GRACE).0.expect_code(0);
    // Those of `run` get none, and softstop keeps none.
    let dir = Dir::new();
    let text = format!(
        "[[process]]\nname = \"web\"\ncommand = [\"perl\", {CHILD:?}, \"exit-on:TERM:0\", \"say:up\", \"wait\"]\n"
    );
    let mut running = Launch::new(["run", "-c", &dir.write("softstop.toml", &text)]).through(&through).start();
    running.wait_for("up");
    let child = processes::children(running.pid())[0];
    assert!(!holds(child) && !holds(running.pid()));
    running.stop_within(GRACE).0.expect_code(0);
}

/// Q8: the wrapper's program reads what softstop was given; with several nobody could say who reads.
#[test]
fn standard_input_is_the_wrapped_programs_and_nobodys_under_run() {
    if !support::namespaces() {
        return;
    }
    let typed = |launch: Launch| launch.through(&["sh", "-c", "exec \"$@\" <<-end\ntyped\nend\n", "sh"]).run();
    typed(Launch::new(["--", "cat"])).expect_code(0).expect("typed");
    let dir = Dir::new();
    let text = "[[process]]\nname = \"cat\"\ncommand = [\"cat\"]\n";
    typed(Launch::new(["run", "-c", &dir.write("softstop.toml", text)])).expect_code(0).expect_not("typed");
    let text = format!("{text}stdin = \"inherit\"\n");
    typed(Launch::new(["run", "-c", &dir.write("softstop.toml", &text)])).expect_code(0).expect("typed");
}

/// Q7, Q15: what softstop does not touch comes through as it was launched.
#[test]
fn umask_limits_priority_and_other_variables_are_as_launched() {
    if !support::namespaces() {
        return;
    }
    // `cargo test` may itself be nice.
    let own = Command::new("nice").output().unwrap();
    let own: i32 = String::from_utf8(own.stdout).unwrap().trim().parse().unwrap();
    let nice = (own + 3).min(19);
    let look = "umask; ulimit -n; ulimit -c; nice; cat /proc/self/oom_score_adj; echo $NOTIFY_SOCKET $WATCHDOG_PID";
    let launcher = "umask 027; ulimit -n 321; ulimit -c 0; echo 321 >/proc/self/oom_score_adj; \
                    NOTIFY_SOCKET=/run/notify WATCHDOG_PID=77 exec nice -n 3 \"$@\"";
    let ended = Launch::new(["--", "sh", "-c", look]).through(&["sh", "-c", launcher, "sh"]).run();
    assert_eq!(ended.expect_code(0).stdout, format!("0027\n321\n0\n{nice}\n321\n/run/notify 77\n"), "{}", ended.all());
}

/// Q11: HOME, USER and LOGNAME are those of the user that the process becomes.
#[test]
fn a_user_gets_its_own_name_and_home() {
    if !support::namespaces() {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return support::skip("changing the user needs root");
    }
    let dir = Dir::new();
    for (user, said) in [("daemon", "1 daemon daemon /usr/sbin"), ("54321", "54321 - - /")] {
        let text = format!(
            "[[process]]\nname = \"who\"\nuser = {user:?}\n\
             command = [\"sh\", \"-c\", \"echo $(id -u) ${{USER:--}} ${{LOGNAME:--}} $HOME\"]\n"
        );
        let text = text.replace("${", "$${");
        let mut launch = Launch::new(["run", "-c", &dir.write("softstop.toml", &text)]).env("HOME", "/root");
        launch = launch.env("USER", "").env("LOGNAME", "");
        launch.run().expect_code(0).expect(said);
    }
}
