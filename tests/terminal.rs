//! softstop in a terminal, driven as a person drives it: an interactive shell, Ctrl-Z, `fg`, `bg`, Ctrl-C, closing the window.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the test waits for its own shell")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use support::{Dir, SOFTSTOP, SOON, processes};

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

/// A program whose controlling terminal is ours to type on.
struct Typed {
    keys: File,
    shown: String,
    /// Up to here everything has been looked at.
    seen: usize,
    child: Child,
}

impl Typed {
    fn start(command: &[&str]) -> Typed {
        support::with_default_signals();
        let pty = nix::pty::openpty(None, None).unwrap();
        let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .args(command)
            .env("PS1", "prompt> ")
            .stdin(stdio(&pty.slave))
            .stdout(stdio(&pty.slave))
            .stderr(stdio(&pty.slave))
            .spawn()
            .unwrap();
        Typed { keys: pty.master.into(), shown: String::new(), seen: 0, child }
    }

    fn shell() -> Typed {
        let mut shell = Typed::start(&["bash", "--norc", "--noprofile", "--noediting", "-i"]);
        shell.expect("prompt> ");
        shell
    }

    fn keys(&mut self, text: &str) -> &mut Typed {
        self.keys.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Waits until `text` is shown, after what was waited for before.
    #[track_caller]
    fn expect(&mut self, text: &str) -> &mut Typed {
        let limit = Instant::now() + SOON;
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return self;
            }
            assert!(Instant::now() < limit && self.read(), "never shown: {text:?}; shown:\n{}", self.shown);
        }
    }

    /// Waits until the leader of the terminal's foreground group runs this program: what is typed reaches it from now on.
    #[track_caller]
    fn in_foreground(&mut self, program: &str) -> &mut Typed {
        let limit = Instant::now() + SOON;
        let leader = |t: &Typed| processes::program(nix::unistd::tcgetpgrp(&t.keys).ok()?.as_raw());
        while leader(self).is_none_or(|path| !path.ends_with(program)) {
            assert!(Instant::now() < limit && self.read(), "{program} has not got the terminal:\n{}", self.shown);
        }
        self
    }

    /// `false`: nothing will come any more.
    fn read(&mut self) -> bool {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.keys.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, 10u16).unwrap() == 0 {
            return true;
        }
        let mut chunk = [0; 4096];
        let n = self.keys.read(&mut chunk).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(&chunk[..n]));
        n > 0
    }

    #[track_caller]
    fn ends(mut self) -> i32 {
        let limit = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < limit, "not ended; shown:\n{}", self.shown);
            let _ = self.read();
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_z_gives_the_prompt_back_and_fg_the_program() {
    let mut shell = Typed::shell();
    shell.keys(&format!("{SOFTSTOP} -- sh -c 'echo u''p; exec cat'\n")).expect("up\r\n");
    shell.keys(CTRL_Z).expect("Stopped").expect("prompt> ");
    shell.keys("fg\n").in_foreground("cat").keys("typed\n").expect("typed\r\ntyped\r\n");
    shell.keys(CTRL_C).expect("SIGINT").expect("prompt> ");
    shell.keys("exit $?\n");
    assert_eq!(shell.ends(), 130);
}

/// The shell would read the end of its input and leave.
#[test]
fn in_the_background_the_terminal_stays_with_the_shell() {
    let mut shell = Typed::shell();
    shell.keys(&format!("{SOFTSTOP} -- sh -c 'echo u''p; exec sleep 1000' &\n")).expect("up\r\n");
    shell.keys("echo still-$((1+1))\n").expect("still-2").keys("fg\n").in_foreground("softstop");
    shell.keys(CTRL_Z).expect("Stopped").expect("prompt> ");
    shell.keys("bg\n").expect("prompt> ").keys("echo again-$((1+1))\n").expect("again-2");
    shell.keys("kill %1; wait; exit 7\n");
    assert_eq!(shell.ends(), 7);
}

/// The shell says nothing to a job that was running already: what it reads shows.
#[test]
fn a_program_brought_to_the_foreground_can_read() {
    let dir = Dir::new();
    let go = dir.text("go");
    let mut shell = Typed::shell();
    let program = format!("echo u''p; until [ -e {go} ]; do sleep 0.02; done; exec cat");
    shell.keys(&format!("{SOFTSTOP} -- sh -c \"{program}\" &\n")).expect("up\r\n");
    shell.keys("fg\n").in_foreground("softstop");
    dir.write("go", "");
    shell.in_foreground("cat").keys("typed\n").expect("typed\r\ntyped\r\n").keys(CTRL_C).expect("prompt> ");
    shell.keys("exit $?\n");
    assert_eq!(shell.ends(), 130);
}

#[test]
fn a_script_can_read_from_the_terminal_afterwards() {
    let script = format!("{SOFTSTOP} -- true; echo next; read line; echo \"got: $line\"; exit 5");
    let mut typed = Typed::start(&["sh", "-c", &script]);
    typed.expect("next").keys("words\n").expect("got: words");
    assert_eq!(typed.ends(), 5);
}

fn two(dir: &Dir) -> String {
    let child = r#"command = ["sh", "-c", "trap '' HUP; echo up; while :; do sleep 0.1; done"]"#;
    let config = format!(
        "grace = \"60s\"\n[[drain]]\nname = \"long\"\nsleep = \"40s\"\n\
         [[process]]\nname = \"a\"\n{child}\n[[process]]\nname = \"b\"\ncommand = [\"sh\", \"-c\", \"trap '' TERM; echo up; \
         while :; do sleep 0.1; done\"]\n"
    );
    dir.write("two.toml", &config)
}

#[test]
fn ctrl_z_suspends_run_and_all_it_runs() {
    let dir = Dir::new();
    let config = two(&dir);
    let mut shell = Typed::shell();
    shell.keys(&format!("{SOFTSTOP} run -c {config}\n")).expect(" up\r\n").expect(" up\r\n");
    shell.keys(CTRL_Z).expect("Stopped").expect("prompt> ");
    shell.keys("fg\n").in_foreground("softstop").keys(CTRL_C).expect("drain: long");
    shell.keys(CTRL_C).expect("skipping the rest of the drain").expect("a: stopped");
    shell.keys(CTRL_C).expect("killing everything now").expect("exit code 137").expect("prompt> ");
    shell.keys("exit 3\n");
    assert_eq!(shell.ends(), 3);
}

#[test]
fn closing_the_terminal_stops_run() {
    let dir = Dir::new();
    let config = two(&dir);
    let report = dir.text("report.json");
    let mut typed = Typed::start(&[SOFTSTOP, "run", "-c", &config, "--report", &report, "--grace", "4s"]);
    typed.expect(" up\r\n").expect(" up\r\n");
    typed.keys = File::open("/dev/null").unwrap();
    let limit = Instant::now() + SOON;
    while !dir.read("report.json").contains("SIGHUP from the terminal") {
        assert!(Instant::now() < limit, "softstop outlives its terminal");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// X16: the terminal's signal goes to the foreground group, in which softstop is not: it must not be passed on a second time.
#[test]
fn ctrl_c_reaches_the_program_once() {
    let mut shell = Typed::shell();
    shell
        .keys(&format!("{SOFTSTOP} -- perl {} on:INT exit-on:QUIT:4 say:'u''p' wait\n", support::CHILD))
        .expect("up\r\n");
    shell
        .in_foreground("perl")
        .keys(CTRL_C)
        .expect("INT received")
        .keys("\x1c")
        .expect("QUIT handled")
        .expect("prompt> ");
    assert_eq!(shell.shown.matches("INT received").count(), 1, "{}", shell.shown);
    shell.keys("exit $?\n");
    assert_eq!(shell.ends(), 4);
}

/// S10: a sandbox's kernel (gVisor) knows terminals but refuses to give them away (TIOCSPGRP). Keys then reach softstop, and a program
/// that wants to read stays stopped, as in the background, instead of being woken and stopped without end.
#[test]
fn a_kernel_that_refuses_job_control_is_no_error() {
    let refused = concat!("perl ", env!("CARGO_MANIFEST_DIR"), "/tests/support/fault.pl deny:EPERM:ioctl==21520 --");
    let mut shell = Typed::shell();
    shell.keys(&format!(
        "{refused} {SOFTSTOP} -- sh -c 'trap \"echo by''e; exit 5\" INT; echo u''p; read line; echo read'\n"
    ));
    shell.expect("up\r\n").in_foreground("softstop");
    let softstop = nix::unistd::tcgetpgrp(&shell.keys).unwrap().as_raw();
    let program = processes::children(softstop)[0];
    let switches = || processes::status_field(softstop, "voluntary_ctxt_switches").unwrap();
    let limit = Instant::now() + SOON;
    // At rest: nothing has happened for a fifth of a second, with the program stopped.
    loop {
        let before = switches();
        std::thread::sleep(Duration::from_millis(200));
        if processes::look(program).is_some_and(|p| p.state == 'T') && switches() == before {
            break;
        }
        assert!(Instant::now() < limit, "softstop and its program wake each other:\n{}", shell.shown);
    }
    shell.keys(CTRL_C).expect("stopping: SIGINT from the terminal").expect("bye").expect("prompt> ");
    shell.keys("exit $?\n");
    assert_eq!(shell.ends(), 5);
}
