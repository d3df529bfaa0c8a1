//! Other kernels than this machine's, with cgroup version 2: softstop in containers on Debian's 6.1 and 6.12, and as the first program of
//! a machine. `vm` is the harness; each test is a situation of `tests/vm/situations`, or a machine of its own.

use std::time::Duration;

use crate::vm::{KERNELS, Machine, able, on, root};

// === memory ===

#[test]
fn a_process_over_memory_max_is_named_as_killed_by_the_kernel() {
    for seen in on(&KERNELS, "memory-max") {
        seen.expect("sh: killed by the kernel's OOM killer (memory.max 16 MiB, 1 kill in this cgroup)");
        seen.expect("\"event\": \"oom_killed\"").expect("container: exit code 137").expect_not("needed SIGKILL");
    }
}

/// What a kubelet sets. Nobody is left to say so; the runtime does.
#[test]
fn with_memory_oom_group_the_container_goes_as_a_whole_softstop_included() {
    for seen in on(&KERNELS, "memory-oom-group") {
        seen.expect("up\n").expect("container: exit code 137").expect("oom_group_kill 1").expect_not("stopped in");
        assert_eq!(seen.number("left"), 0);
    }
}

#[test]
fn sixty_four_mebibytes_are_plenty() {
    for seen in on(&KERNELS, "memory-64m") {
        seen.expect("readyz: ok").expect("stopped in").expect("container: exit code 3").expect("oom_kill 0\n");
        assert!(seen.number("peak") < 32, "{} MiB", seen.number("peak"));
    }
}

// === processes and processor time ===

#[test]
fn a_container_whose_pids_are_used_up_stops_in_time() {
    for seen in on(&KERNELS, "pids-max") {
        seen.expect("can't fork").expect("told\n").expect("container: exit code 3").expect_not("over the grace");
        seen.expect("of the 24 processes and threads that this container may have (pids.max)");
        assert_eq!(seen.number("left"), 0);
    }
}

/// Each of its processes is in a session of its own and ignores SIGTERM.
#[test]
fn a_fork_bomb_is_gone_inside_the_grace() {
    for seen in on(&KERNELS, "fork-bomb") {
        seen.expect("stopped in").expect("container: exit code 137").expect_not("over the grace");
        assert!(seen.number("took") < 8000, "{} ms of 8 s", seen.number("took"));
        assert_eq!(seen.number("left"), 0);
    }
}

#[test]
fn a_container_without_processor_time_is_ended_in_time_and_said_to_be_starved() {
    for seen in on(&KERNELS, "cpu-max") {
        seen.expect("softstop itself could not run for").expect("no processor time left");
        seen.expect("stopped in").expect_not("over the grace").expect("container: exit code 3");
        assert_eq!(seen.number("left"), 0);
    }
}

// === frozen and killed ===

#[test]
fn a_paused_container_acts_on_its_stop_once_it_is_thawed() {
    for seen in on(&KERNELS, "cgroup-freeze") {
        seen.expect_not("it ended while frozen").expect("told\n").expect("container: exit code 3");
        // Paused in the middle of the stop: what it had to do is done, nobody is killed.
        seen.expect("told again\n").expect("container: exit code 4").expect("softstop itself could not run for");
        seen.expect_not("sending SIGKILL").expect_not("over the grace");
        // And SIGKILL needs no thaw.
        seen.expect("container: exit code 137");
        assert_eq!(seen.number("left"), 0);
    }
}

/// softstop does not thaw what it has not frozen: version 2 lets SIGKILL through.
#[test]
fn a_process_in_a_frozen_group_is_killed_at_its_share_and_said_to_be_frozen() {
    for seen in on(&KERNELS, "cgroup-freeze-below") {
        seen.expect("web told").expect_not("held told").expect("needed SIGKILL: held").expect("container: exit code 3");
        seen.expect("held: still running").expect("frozen by cgroup.freeze").expect("\"frozen\": true");
        seen.expect_not("over the grace").expect_not("does not end after SIGKILL");
        assert!(seen.number("took") < 4000, "{} ms of 4 s", seen.number("took"));
    }
}

#[test]
fn a_group_that_somebody_kills_is_no_want_of_memory() {
    for seen in on(&KERNELS, "cgroup-kill") {
        seen.expect("web: ended with SIGKILL").expect("web: started again").expect_not("OOM");
        // The container's own: an end without a word, but of everybody.
        seen.expect("container: exit code 137");
        assert_eq!(seen.number("left"), 0);
    }
}

// === places ===

#[test]
fn in_a_cgroup_namespace_the_kernels_kill_is_named_delegated_or_not() {
    for seen in on(&KERNELS, "cgroup-namespace") {
        for (how, next, named) in
            [("ro", "rw", true), ("rw", "none", true), ("none", "outer", false), ("outer", "end", false)]
        {
            let part = seen.between(&format!("== {how}\n"), &format!("== {next}\n"));
            part.expect("0::/\n").expect("ended with SIGKILL").expect("container: exit code 137");
            assert_eq!(part.says("writable"), how == "rw", "{how}");
            // Where the group cannot be seen, nothing is guessed.
            assert_eq!(part.says("OOM killer (memory.max 16 MiB"), named, "{how}");
        }
    }
}

#[test]
fn without_proc_the_stop_ends_at_the_deadline_and_says_why() {
    for seen in on(&KERNELS, "proc") {
        let part = seen.between("== no-proc\n", "== hidepid\n");
        part.expect("told\n").expect("stragglers cannot be seen (there is no /proc").expect("exit code 3");
        part.expect_not("over the grace");
    }
}

#[test]
fn with_hidepid_2_as_an_ordinary_user_a_daemon_gets_its_signal_and_its_time() {
    for seen in on(&KERNELS, "proc") {
        let part = seen.between("== hidepid\n", "== read-only\n");
        part.expect("uid=10001").expect("daemon told\n").expect("container: exit code 3").expect_not("SIGKILL;");
        part.expect_not("needed SIGKILL");
    }
}

#[test]
fn a_read_only_root_changes_nothing() {
    for seen in on(&KERNELS, "proc") {
        let part = seen.between("== read-only\n", "== end\n");
        part.expect("Read-only file system").expect("daemon told\n").expect("container: exit code 3");
        part.expect_not("needed SIGKILL");
    }
}

// === the machine's own first program ===

/// Whatever is typed on the console is run; not by an interactive shell, which would ignore SIGTERM.
const CONSOLE: &str = r#"
grace = "5s"

[control]
socket = "/run/softstop.sock"

[[process]]
name = "console"
main = true
command = ["/bin/busybox", "sh", "-c", "trap 'echo console told; exit 3' TERM; while read line; do eval \"$line\"; done"]
stdin = "inherit"
output = "inherit"
"#;

/// One processor, as little memory as the kernel boots with.
fn machine_of(kernel: &str, config: &str) -> Machine {
    let mut root = root();
    root.link("bin/sh", "busybox");
    root.file("etc/softstop.toml", config.as_bytes());
    Machine::boot(kernel, 96, root, "rdinit=/bin/softstop -- run -c /etc/softstop.toml")
}

/// In a daemon's words; the daemon leaves the shell's session, so that softstop adopts it.
const DAEMON: &str = "busybox setsid sh -c 'trap \"echo daemon told; exit\" TERM; echo daemon up; while :; do busybox sleep 0.1; done' &";

/// It reaps and it stops. Then the kernel panics, as it does whichever first program exits: softstop is for containers.
#[test]
fn as_the_machines_init_without_proc_it_stops_and_then_the_kernel_panics() {
    needs!(able());
    let mut machine = machine_of("6.1", CONSOLE);
    machine.wait_for("console: started").type_line("export PATH=/bin").type_line(DAEMON).wait_for("daemon up\n");
    machine.type_line("for i in 1 2 3 4 5; do (busybox sleep 0 &); done; kill -TERM 1").off(Duration::from_secs(60));
    let printed = machine.printed();
    for text in [
        "stopping: SIGTERM from pid ",
        "console told\n",
        "stragglers cannot be seen (there is no /proc",
        "console ended with exit code 3; exit code 3\n",
        // 3 << 8, as wait(2) has it.
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300",
    ] {
        assert!(printed.contains(text), "{text:?}:\n{printed}");
    }
    assert!(!printed.contains("over the grace"), "{printed}");
}

/// With the two things that a machine needs and a container's runtime does: an `init` step that mounts /proc, and a `post_stop` that turns
/// it off.
#[test]
fn as_the_machines_init_with_proc_it_reaps_and_stops_and_a_post_stop_turns_it_off() {
    needs!(able());
    let steps = r#"
[[init]]
name = "mount /proc"
exec = ["/bin/busybox", "mount", "-t", "proc", "proc", "/proc"]

[[post_stop]]
name = "turn off"
exec = ["/bin/busybox", "poweroff", "-f"]
"#;
    let mut machine = machine_of("6.12", &format!("{CONSOLE}{steps}"));
    machine.wait_for("console: started").type_line("export PATH=/bin").type_line(DAEMON).wait_for("daemon up\n");
    machine.type_line("for i in 1 2 3 4 5; do (busybox sleep 0 &); done");
    // Kernel threads have no parent, or kthreadd: none of them is softstop's.
    let status = "busybox sleep 1; softstop status --control /run/softstop.sock; echo zombies: $(busybox grep -l '^State:.Z' /proc/[0-9]*/status | busybox wc -l)";
    machine.type_line(status).wait_for("zombies: 0\n").wait_for("5 orphans reaped");
    machine.type_line("kill -TERM 1").off(Duration::from_secs(60));
    let printed = machine.printed();
    for text in ["stopping: SIGTERM from pid ", "console told\n", "daemon told\n", "stragglers are gone"] {
        assert!(printed.contains(text), "{text:?}:\n{printed}");
    }
    for text in ["Kernel panic", "sending SIGKILL", "kthreadd", "over the grace"] {
        assert!(!printed.contains(text), "{text:?}:\n{printed}");
    }
}
