//! All three on a terminal, which is theirs as a container's is.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::pair::{MODES, Mode, PROBE, installed, ours};
use crate::support::{self, SOON};

/// What is shown when that is typed, and the exit code.
fn typed(mode: Mode, command: &[&str], keys: &str) -> (String, i32) {
    use std::os::fd::AsFd;
    let pty = crate::support::pty::open();
    let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut start = match mode {
        Mode::Pid1 => {
            let mut unshare = support::unshare();
            unshare.args(["setsid", "--ctty"]);
            unshare
        }
        Mode::Ordinary => {
            let mut setsid = Command::new("setsid");
            setsid.args(["--ctty", "--wait"]);
            setsid
        }
    };
    start.args(command).stdin(stdio(&pty.slave)).stdout(stdio(&pty.slave)).stderr(stdio(&pty.slave));
    #[expect(clippy::zombie_processes, reason = "what follows ends with its status, or the test fails")]
    let mut child = start.spawn().unwrap();
    drop(start);
    let mut master = File::from(pty.master);
    let end = Instant::now() + SOON * 2;
    let (mut shown, mut waiting) = (String::new(), true);
    // The slave is held here, too, so that a moment without anybody is not the end.
    let ended = loop {
        let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        let n = poll(&mut fds, PollTimeout::from(20u8)).unwrap();
        if n > 0 {
            let mut bytes = [0; 4096];
            let n = master.read(&mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..n]));
        } else if shown.contains("done")
            && let Some(status) = child.try_wait().unwrap()
        {
            // What was written last may come after its writer's end.
            break status;
        }
        if waiting && shown.contains("press") {
            master.write_all(keys.as_bytes()).unwrap();
            waiting = false;
        }
        if Instant::now() > end {
            let pid = i32::try_from(child.id()).unwrap();
            for process in support::processes::below(pid) {
                support::processes::send(process.pid, libc::SIGKILL);
            }
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} has not ended; it shows {shown:?}");
        }
    };
    // Whose pid it is differs.
    let lines = shown.lines().filter(|line| !line.starts_with("i am")).collect::<Vec<_>>().join("\n");
    (lines, ended.code().unwrap())
}

#[test]
fn the_terminal_is_the_childs_and_ctrl_c_comes_once() {
    for name in ["tini", "dumb-init", "catatonit"] {
        let Some(real) = installed(name) else { return };
        let ours = ours(name);
        for mode in MODES {
            for flags in [&[][..], &["-g"], &["-c"]] {
                // tini's warning is none of this test's.
                let known = if name == "dumb-init" { &["-c"][..] } else { &["-g"] };
                if !flags.is_empty() && flags != known {
                    continue;
                }
                let words: &[&str] = if flags == ["-c"] {
                    &["tty", "say=done", "exit=5"]
                } else {
                    &["tty", "keys=2", "say=done", "exit=5"]
                };
                let run = |program: &str| {
                    let subreaper: &[&str] = if name == "tini" { &["-s"] } else { &[] };
                    let command = [&[program], subreaper, flags, &["--", "perl", PROBE], words].concat();
                    typed(mode, &command, "\x03")
                };
                let theirs = run(&real.to_string_lossy());
                assert_eq!(run(&ours.to_string_lossy()), theirs, "{name} {flags:?} {mode:?}");
                assert!(theirs.0.contains("foreground own") || name == "dumb-init", "{theirs:?}");
            }
        }
    }
}
