//! Corners of being PID 1 that concern the start of a child: what happens between fork and exec, and what the child is given. The
//! numbers are those of docs/reliability/corners.md.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::faults::{Fault, NEWER};
use crate::support::{Dir, Launch, PROMPT, SOFTSTOP, faults, namespaces, process, processes, root, skip};

const GRACE: Duration = Duration::from_secs(30);

/// Every system call of softstop and its child, as `PID CALL`. `None`, and said, without strace.
fn traced(dir: &Dir, command: &[&str]) -> Option<Vec<(String, String)>> {
    let file = dir.text("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", &file, SOFTSTOP]).args(command).env("PATH", "/usr/bin:/bin");
    let Ok(status) = strace.stdout(Stdio::null()).stderr(Stdio::null()).status() else {
        skip("no strace");
        return None;
    };
    assert!(status.code().is_some(), "{status}");
    let lines = dir.lines("trace");
    Some(lines.iter().filter_map(|l| l.split_once(' ').map(|(pid, call)| (pid.into(), call.trim().into()))).collect())
}

/// S2, Q3, Q4, Q5: a real fork (no memory shared); all signals blocked across it and up to the exec, with no handler anywhere; and in between nothing that allocates or locks. An exec that fails says so through a pipe.
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
        // Others read /etc/passwd and /etc/group, and execute nothing.
        let is_child = |(pid, c): &&(String, String)| *pid != calls[0].0 && c.starts_with("execve(");
        let child = &calls.iter().find(is_child).expect("a child").0;
        let begins = calls.iter().position(|(pid, _)| pid == child).expect("its first call");
        let forked = calls[..begins].iter().rposition(|(_, c)| c.starts_with("clone(")).expect("a fork");
        let fork = &calls[forked].1;
        assert!(!fork.contains("CLONE_VM") && !fork.contains("CLONE_VFORK"), "{fork}");
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
                       setgroups setresgid setresuid setuid geteuid getegid prlimit64";
        for call in &of_child[..exec] {
            assert!(allowed.split(' ').any(|a| a == name(call)), "between fork and exec: {call}");
        }
        let masks: Vec<usize> = (0..exec).filter(|i| of_child[*i].starts_with("rt_sigprocmask(")).collect();
        assert_eq!(masks, [exec - 1], "signals are let in once, right before exec: {:?}", &of_child[..=exec]);
        assert!(
            !calls[..forked].iter().any(|(_, c)| c.starts_with("rt_sigaction(") && handles(c)),
            "a handler: {calls:?}"
        );
        if !found {
            let report = of_child[exec..].iter().position(|c| c.starts_with("write(")).expect("a report");
            assert!(of_child[exec + report..].iter().any(|c| c.starts_with("exit_group(127")), "{of_child:?}");
        }
    }
}

/// `rt_sigaction(SIGTERM, {sa_handler=0x…`: not one that only asks, ignores or restores the default.
fn handles(call: &str) -> bool {
    call.contains("{sa_handler=0x") && !call.contains(", NULL, {sa_handler=0x")
}

/// S12: a session of its own would take the terminal from the child, which the kernel follows with SIGHUP and SIGCONT. The child gets a
/// group, never a session.
#[test]
fn the_child_stays_in_the_session_that_softstop_was_started_in() {
    needs!(namespaces());
    let session = |pid: i32| nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).unwrap();
    for pid1 in [true, false] {
        let words = ["on:HUP", "on:CONT", "exit-on:TERM:0", "say:up", "wait"];
        let running = Launch::child(&["--grace", "30s"], &words).pid1(pid1).up();
        let child = processes::children(running.pid())[0];
        assert_eq!(session(child), session(running.pid()));
        running.stop_within(GRACE).0.expect_code(0).expect_not("HUP received");
    }
}

/// Q6: held by softstop as well, a pipe or socket that the program closes would stay open for whoever is at its other end.
#[test]
fn softstop_keeps_no_copy_of_the_descriptors_it_hands_on() {
    needs!(namespaces());
    let through = ["sh", "-c", "exec \"$@\" 7</dev/zero", "sh"];
    let holds = |pid: i32| std::fs::read_link(format!("/proc/{pid}/fd/7")).is_ok_and(|to| to.ends_with("zero"));
    let running = Launch::child(&["--grace", "30s"], PROMPT).through(&through).up();
    let child = processes::children(running.pid())[0];
    assert!(holds(child) && !holds(running.pid()));
    running.stop_within(GRACE).0.expect_code(0);
    // Those of `run` get none, and softstop keeps none.
    let dir = Dir::new();
    let running = dir.launch(&process("web", PROMPT)).through(&through).up();
    let child = processes::children(running.pid())[0];
    assert!(!holds(child) && !holds(running.pid()));
    running.stop_within(GRACE).0.expect_code(0);
}

/// Q8: the wrapper's program reads what softstop was given; with several nobody could say who reads.
#[test]
fn standard_input_is_the_wrapped_programs_and_nobodys_under_run() {
    needs!(namespaces());
    let typed = |launch: Launch| launch.through(&["sh", "-c", "exec \"$@\" <<-end\ntyped\nend\n", "sh"]).run();
    typed(Launch::new(["--", "cat"])).expect_code(0).expect("typed");
    let dir = Dir::new();
    let text = "[[process]]\nname = \"cat\"\ncommand = [\"cat\"]\n";
    typed(dir.launch(text)).expect_code(0).expect_not("typed");
    let text = format!("{text}stdin = \"inherit\"\n");
    typed(dir.launch(&text)).expect_code(0).expect("typed");
}

/// Q7, Q15: what softstop does not touch comes through as it was launched, every limit that the kernel shows among it.
#[test]
fn umask_limits_priority_and_other_variables_are_as_launched() {
    needs!(namespaces());
    let look = "umask; nice; cat /proc/self/oom_score_adj; echo $NOTIFY_SOCKET $WATCHDOG_PID; \
                cat /proc/self/limits; grep Cpus_allowed: /proc/self/status; ionice";
    let launcher = format!(
        "umask 027; echo 321 >/proc/self/oom_score_adj; export NOTIFY_SOCKET=/run/notify WATCHDOG_PID=77; ulimit -Sn 222; \
         ulimit -Ss 5000; ulimit -Sc 10; ulimit -Sf 100000; ulimit -St 1000; ulimit -Sv 9000000; ulimit -Sd 8000000; \
         {look}; echo; exec \"$@\""
    );
    let through =
        ["taskset", "-c", "0", "ionice", "-c", "2", "-n", "6", "nice", "-n", "3", "sh", "-c", &launcher, "sh"];
    let ended = Launch::new(["--", "sh", "-c", look]).through(&through).run();
    let (launched, child) = ended.expect_code(0).stdout.split_once("\n\n").expect("two looks");
    assert_eq!(launched.trim(), child.trim());
    for set in ["0027\n", "\n321\n/run/notify 77\n", " 222 ", "prio 6"] {
        assert!(child.contains(set), "{set:?}: {child}");
    }
}

/// softstop raises its own limits, of descriptors and of the stack. Whatever it starts gets what it was started with.
#[test]
fn processes_hooks_and_probes_get_the_limits_that_softstop_was_started_with() {
    needs!(namespaces());
    let dir = Dir::new();
    let look = |name: &str| format!("[\"sh\", \"-c\", \"echo $(ulimit -Sn) $(ulimit -Ss) >'{}'\"]", dir.text(name));
    let text = format!(
        "grace = \"30s\"\n[[init]]\nname = \"i\"\nexec = {}\n{}[process.readiness]\nexec = {}\nperiod = \"1h\"\ntimeout = \"60s\"\n[process.pre_stop]\nexec = {}\n[[drain]]\nname = \"d\"\nexec = {}\n",
        look("init"),
        process("web", PROMPT),
        look("probe"),
        look("pre_stop"),
        look("drain"),
    );
    let through = ["sh", "-c", "ulimit -Sn 234; ulimit -Ss 4321; exec \"$@\"", "sh"];
    let mut running = dir.launch(&text).through(&through).up();
    running.wait_until("it was probed", |_| !dir.read("probe").is_empty());
    // [soft, hard], as the kernel shows them.
    let limits = |pid: i32, name: &str| {
        let all = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = all.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let (own, child) = (running.pid(), processes::children(running.pid())[0]);
    let [descriptors, stack] = ["Max open files", "Max stack size"];
    assert_eq!(limits(own, descriptors)[0], limits(own, descriptors)[1], "softstop's own are as many as may be");
    assert_eq!((limits(child, descriptors)[0].as_str(), limits(child, stack)[0].as_str()), ("234", "4424704"));
    assert_eq!(limits(own, stack)[0], "8388608");
    assert_eq!([descriptors, stack].map(|name| limits(child, name)[1] == limits(own, name)[1]), [true; 2]);
    running.stop_within(GRACE).0.expect_code(0);
    for name in ["init", "probe", "pre_stop", "drain"] {
        assert_eq!(dir.read(name), "234 4321\n", "{name}");
    }
}

/// As many as the kernel allows, with neither close_range nor /proc to tell which are open.
#[test]
fn a_very_large_limit_of_descriptors_costs_nothing() {
    needs!(faults::possible());
    // As large as the machine has it: a container's root may not raise its own.
    let largest = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap();
    let largest = format!("--nofile=1024:{}", largest.trim());
    let raised = Command::new("prlimit").args([&largest, "true"]).stderr(Stdio::null()).status().unwrap().success();
    let most = if raised { largest } else { "--nofile=1024:".to_owned() };
    let faults = [Fault::Refused("ENOSYS", NEWER), Fault::Empty("/proc")];
    for faults in [&faults[..0], &faults[..]] {
        let dir = Dir::new();
        let report = dir.text("report.json");
        let launch =
            Launch::child(&["--grace", "30s", "--report", &report], &["say:up", "exit:5"]).through(&["prlimit", &most]);
        let ended = faults::launch(faults, launch).run();
        ended.expect_code(5).expect("up");
        let report: serde_json::Value = serde_json::from_str(&dir.read("report.json")).unwrap();
        assert_eq!(report["exit_code"], 5);
    }
    let running = Launch::child(&["--grace", "30s"], PROMPT).through(&["prlimit", &most]).up();
    let memory = processes::anonymous_kb(running.pid());
    assert!(memory < 10_000, "{memory} kB");
    running.stop_within(GRACE).0.expect_code(0);
}

/// Q11: HOME, USER and LOGNAME are those of the user that the process becomes.
#[test]
fn a_user_gets_its_own_name_and_home() {
    needs!(namespaces(), root("changing the user"));
    let dir = Dir::new();
    for (user, said) in [("daemon", "1 daemon daemon /usr/sbin"), ("54321", "54321 - - /")] {
        let text = format!(
            "[[process]]\nname = \"who\"\nuser = {user:?}\n\
             command = [\"sh\", \"-c\", \"echo $(id -u) ${{USER:--}} ${{LOGNAME:--}} $HOME\"]\n"
        );
        let text = text.replace("${", "$${");
        let launch = dir.launch(&text).env("HOME", "/root").env("USER", "").env("LOGNAME", "");
        launch.run().expect_code(0).expect(said);
    }
}
