//! softstop in a terminal, driven as a person drives it: an interactive shell, Ctrl-Z, `fg`, `bg`, Ctrl-C, closing the window.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::client::from_here;
use crate::support::{CHILD, Dir, SOFTSTOP, SOON, as_launched_by_hand, namespaces, processes, pty, until};
use nix::poll::{PollFd, PollFlags, poll};

pub(super) const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

/// A program whose controlling terminal is ours to type on.
pub(super) struct Typed {
    pub(super) keys: File,
    pub(super) shown: String,
    /// Up to here everything has been looked at.
    seen: usize,
    child: Child,
}

impl Typed {
    pub(super) fn start(command: &[&str]) -> Typed {
        Typed::spawn(&[&["setsid", "--ctty", "--wait"], command].concat())
    }

    /// As a container runtime does: PID 1 leads the session whose terminal it is.
    fn container(command: &[&str]) -> Typed {
        let unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "setsid", "--ctty"];
        Typed::spawn(&[&unshare, command].concat())
    }

    fn spawn(command: &[&str]) -> Typed {
        as_launched_by_hand();
        let pty = pty::open();
        let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let child = Command::new(command[0])
            .args(&command[1..])
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

    pub(super) fn keys(&mut self, text: &str) -> &mut Typed {
        self.keys.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Waits until `text` is shown, after what was waited for before.
    #[track_caller]
    pub(super) fn expect(&mut self, text: &str) -> &mut Typed {
        let limit = Instant::now() + SOON;
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return self;
            }
            assert!(Instant::now() < limit && self.read(), "never shown: {text:?}; shown:\n{}", self.shown);
        }
    }

    /// In any order.
    #[track_caller]
    pub(super) fn expect_both(&mut self, one: &str, other: &str) -> &mut Typed {
        let (begin, mut end) = (self.seen, 0);
        for text in [one, other] {
            self.seen = begin;
            self.expect(text);
            end = end.max(self.seen);
        }
        self.seen = end;
        self
    }

    /// Waits until the leader of the terminal's foreground group runs this program: what is typed reaches it from now on.
    #[track_caller]
    pub(super) fn in_foreground(&mut self, program: &str) -> &mut Typed {
        let limit = Instant::now() + SOON;
        let leader = |t: &Typed| processes::program(nix::unistd::tcgetpgrp(&t.keys).ok()?.as_raw());
        while leader(self).is_none_or(|path| !path.ends_with(program)) {
            assert!(Instant::now() < limit && self.read(), "{program} has not got the terminal:\n{}", self.shown);
        }
        self
    }

    /// Nothing has happened for a fifth of a second, with the program stopped.
    fn come_to_rest(&self, softstop: i32, program: i32) {
        until(format_args!("they let each other sleep:\n{}", self.shown), || {
            let before = processes::wake_ups(softstop);
            std::thread::sleep(Duration::from_millis(200));
            processes::look(program).is_some_and(|p| p.state == 'T') && processes::wake_ups(softstop) == before
        });
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
    pub(super) fn ends(self) -> i32 {
        self.ends_with(false).0
    }

    /// Its exit code, and what was shown; with `all` of it the last that has the terminal has closed it.
    #[track_caller]
    pub(super) fn ends_with(mut self, all: bool) -> (i32, String) {
        let limit = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                while all && self.read() {
                    assert!(Instant::now() < limit, "somebody keeps the terminal; shown:\n{}", self.shown);
                }
                return (status.code().unwrap_or(-1), std::mem::take(&mut self.shown));
            }
            assert!(Instant::now() < limit, "not ended; shown:\n{}", self.shown);
            let _ = self.read();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        // softstop is not PID 1 here: what it started outlives it.
        let below = processes::below(self.child.id().cast_signed());
        let _ = self.child.kill();
        below.iter().for_each(|p| processes::send(p.pid, libc::SIGKILL));
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_z_gives_the_prompt_back_and_fg_the_program() {
    let mut shell = Typed::shell();
    shell.keys(&format!("'{SOFTSTOP}' -- sh -c 'echo u''p; exec cat'\n")).expect("up\r\n");
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
    shell.keys(&format!("'{SOFTSTOP}' -- sh -c 'echo u''p; exec sleep 1000' &\n")).expect("up\r\n");
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
    let program = format!("echo u''p; until [ -e '{go}' ]; do sleep 0.02; done; exec cat");
    shell.keys(&format!("'{SOFTSTOP}' -- sh -c \"{program}\" &\n")).expect("up\r\n");
    shell.keys("fg\n").in_foreground("softstop");
    dir.write("go", "");
    shell.in_foreground("cat").keys("typed\n").expect("typed\r\ntyped\r\n").keys(CTRL_C).expect("prompt> ");
    shell.keys("exit $?\n");
    assert_eq!(shell.ends(), 130);
}

#[test]
fn a_script_can_read_from_the_terminal_afterwards() {
    let script = format!("'{SOFTSTOP}' -- true; echo next; read line; echo \"got: $line\"; exit 5");
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
    shell.keys(&format!("'{SOFTSTOP}' run -c '{config}'\n")).expect(" up\r\n").expect(" up\r\n");
    shell.keys(CTRL_Z).expect("Stopped").expect("prompt> ");
    shell.keys("fg\n").in_foreground("softstop").keys(CTRL_C).expect("drain: long");
    shell.keys(CTRL_C).expect("skipping the rest of the drain").expect("a: stopped");
    shell.keys(CTRL_C).expect("killing everything now").expect("exit code 137").expect("prompt> ");
    shell.keys("exit 3\n");
    assert_eq!(shell.ends(), 3);
}

/// The terminal goes away: a softstop that writes `report.json` stops, and says why.
fn hangs_up(mut typed: Typed, dir: &Dir) {
    typed.keys = File::open("/dev/null").unwrap();
    until("it stops with its terminal", || dir.read("report.json").contains("SIGHUP from the terminal"));
}

#[test]
fn closing_the_terminal_stops_run() {
    let dir = Dir::new();
    let config = two(&dir);
    let report = dir.text("report.json");
    let mut typed = Typed::start(&[SOFTSTOP, "run", "-c", &config, "--report", &report, "--grace", "4s"]);
    typed.expect(" up\r\n").expect(" up\r\n");
    hangs_up(typed, &dir);
}

#[test]
fn run_under_nohup_outlives_its_terminal() {
    let dir = Dir::new();
    let socket = dir.text("socket");
    let text =
        format!("[control]\nsocket = \"{socket}\"\n[[process]]\nname = \"web\"\ncommand = [\"sleep\", \"1000\"]\n");
    let config = dir.write("nohup.toml", &text);
    let mut typed = Typed::start(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", SOFTSTOP, "run", "-c", &config]);
    typed.expect("web: started").keys = File::open("/dev/null").unwrap();
    // Closing it has sent the signal.
    let status = from_here(&["status", "-c", &config]).out;
    assert!(status.contains(": Running, "), "{status}");
}

/// X16: the terminal's signal goes to the foreground group, in which softstop is not: it must not be passed on a second time.
#[test]
fn ctrl_c_reaches_the_program_once() {
    let mut shell = Typed::shell();
    shell.keys(&format!("'{SOFTSTOP}' -- perl '{}' on:INT exit-on:QUIT:4 say:'u''p' wait\n", CHILD)).expect("up\r\n");
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

/// A drain is for whoever stops a container from outside: what a person types is the program's.
#[test]
fn ctrl_c_at_a_laptop_waits_for_nothing() {
    let mut shell = Typed::shell();
    let child = format!("perl '{}' exit-on:INT:5 listen say:'u''p' serve", CHILD);
    shell.keys(&format!("'{SOFTSTOP}' --drain auto --drain-sleep 50s --grace 100s -- {child}\n")).expect("up\r\n");
    shell.in_foreground("perl").keys(CTRL_C).expect("INT handled").expect("no process is left to drain for");
    shell.expect("prompt> ").keys("exit $?\n");
    assert_eq!(shell.ends(), 5);
}

/// S10: a sandbox's kernel (gVisor) knows terminals but refuses to give them away (TIOCSPGRP). Keys then reach softstop, and a program
/// that wants to read stays stopped, as in the background, instead of being woken and stopped without end.
#[test]
fn a_kernel_that_refuses_job_control_is_no_error() {
    let refused = concat!("perl '", env!("CARGO_MANIFEST_DIR"), "/tests/support/fault.pl' deny:EPERM:ioctl==21520 --");
    let mut shell = Typed::shell();
    shell.keys(&format!(
        "{refused} '{SOFTSTOP}' -- sh -c 'trap \"echo by''e; exit 5\" INT; echo u''p; read line; echo read'\n"
    ));
    shell.expect("up\r\n").in_foreground("softstop");
    let softstop = nix::unistd::tcgetpgrp(&shell.keys).unwrap().as_raw();
    let program = processes::children(softstop)[0];
    shell.come_to_rest(softstop, program);
    shell.keys(CTRL_C).expect("stopping: SIGINT from the terminal").expect("bye").expect("prompt> ");
    shell.keys("exit $?\n");
    assert_eq!(shell.ends(), 5);
}

/// `console` is typed to; `web` is beside it, and is started first: the terminal is none of its.
fn console(dir: &Dir, console: &str) -> String {
    let config = format!(
        "grace = \"60s\"\n[control]\nsocket = \"{}\"\n[[drain]]\nname = \"long\"\nsleep = \"40s\"\n\
         [[process]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", \"echo web-u''p; while :; do sleep 0.1; done\"]\n\
         [[process]]\nname = \"console\"\nstdin = \"inherit\"\ncommand = {console}\n",
        dir.text("socket"),
    );
    dir.write("console.toml", &config)
}

const READS: &str = r#"["sh", "-c", "echo u''p; while read line; do echo \"got: $line\"; done"]"#;

/// The sample of issue 8 (there it was Python's `input()`): stopped for ever at its first read, "Running, ready yes".
#[test]
fn under_run_the_process_that_inherits_standard_input_reads_the_terminal() {
    let dir = Dir::new();
    let config = dir.write(
        "reads.toml",
        "[[process]]\nname = \"reads\"\ncommand = [\"perl\", \"-e\", \"print 'got: ', scalar <STDIN>\"]\nstdin = \"inherit\"\n",
    );
    let mut typed = Typed::start(&[SOFTSTOP, "run", "-c", &config]);
    typed.keys("words\n").expect("got: words");
    assert_eq!(typed.ends(), 0);
    if namespaces() {
        let mut typed = Typed::container(&[SOFTSTOP, "run", "-c", &config]);
        typed.keys("words\n").expect("got: words");
        assert_eq!(typed.ends(), 0);
    }
}

/// The keys go to the program in the foreground alone: that it ends of one is the request, and the next are softstop's.
#[test]
fn ctrl_c_in_the_program_that_is_typed_to_drains_hurries_and_kills() {
    let dir = Dir::new();
    let config = console(&dir, READS);
    let mut shell = Typed::shell();
    shell.keys(&format!("'{SOFTSTOP}' run -c '{config}'\n")).expect_both(" up\r\n", "web-up");
    shell.in_foreground("dash").keys("words\n").expect("got: words");
    // Another signal by order is no SIGINT by order.
    from_here(&["signal", "-c", &config, "console", "CONT"]);
    shell.keys(CTRL_C).expect("stopping: SIGINT from the terminal").expect("drain: long");
    shell.in_foreground("softstop").keys(CTRL_C).expect("skipping the rest of the drain").expect("prompt> ");
    shell.keys("exit 3\n");
    assert_eq!(shell.ends(), 3);
}

/// A debugger, a shell, psql: Ctrl-C is theirs.
#[test]
fn ctrl_c_that_the_program_handles_stops_nothing() {
    let dir = Dir::new();
    // perl runs a handler between two of its own steps: one for a signal that comes right before a read waits for that read to end, so this one never
    // waits for long.
    let handles = r#"["perl", "-e", "$SIG{INT} = sub { print \"INT\\n\" }; $| = 1; print \"up\\n\"; for (;;) { my $on = ''; vec($on, 0, 1) = 1; next if select($on, undef, undef, 0.05) < 1; my $n = sysread(STDIN, my $line, 100); next unless defined $n; last unless $n; print \"got: $line\" }"]"#;
    let config = console(&dir, handles);
    let mut shell = Typed::shell();
    shell.keys(&format!("'{SOFTSTOP}' run -c '{config}'\n")).expect_both(" up\r\n", "web-up").in_foreground("perl");
    shell.keys(CTRL_C).expect("INT").keys("words\n").expect("got: words");
    assert!(from_here(&["status", "-c", &config]).out.contains("Running, ready"), "{}", shell.shown);
    // Its end with 0 is none of the container's, and the keys are softstop's from then on.
    from_here(&["stop", "-c", &config, "--no-wait"]);
    shell.expect("drain: long").keys("\x04");
    shell.in_foreground("softstop").keys(CTRL_C).expect("skipping the rest of the drain").expect("prompt> ");
    shell.keys("exit 3\n");
    assert_eq!(shell.ends(), 3);
}

#[test]
fn sigint_by_order_restarts_the_program_and_it_has_the_terminal_again() {
    let dir = Dir::new();
    let config = console(&dir, READS);
    let mut typed = Typed::start(&[SOFTSTOP, "run", "-c", &config]);
    typed.expect(" up\r\n").in_foreground("dash");
    from_here(&["signal", "-c", &config, "console", "INT"]);
    typed
        .expect("console: ended with SIGINT")
        .expect(" up\r\n")
        .in_foreground("dash")
        .keys("words\n")
        .expect("got: words");
    assert!(!typed.shown.contains("stopping:"), "{}", typed.shown);
    // What was sent to the run before is nothing to this one.
    typed.keys(CTRL_C).expect("stopping: SIGINT from the terminal");
}

#[test]
fn ctrl_z_in_the_program_that_is_typed_to_suspends_run_and_all_it_runs() {
    let dir = Dir::new();
    let config = console(&dir, READS);
    let mut shell = Typed::shell();
    shell.keys(&format!("'{SOFTSTOP}' run -c '{config}'\n")).expect_both(" up\r\n", "web-up").in_foreground("dash");
    shell.keys(CTRL_Z).expect("Stopped").expect("prompt> ");
    shell.keys("fg\n").in_foreground("dash").keys("words\n").expect("got: words");
    assert!(!shell.shown.contains("stopped by"), "that was the shell's doing, and it is over: {}", shell.shown);
    shell.keys(CTRL_C).expect("drain: long").in_foreground("softstop").keys(CTRL_C).expect("prompt> ").keys("exit 3\n");
    assert_eq!(shell.ends(), 3);
}

/// As any job that reads from the background: the shell says so, and `fg` lets it.
#[test]
fn run_in_the_background_is_stopped_when_its_program_reads() {
    let dir = Dir::new();
    let config = console(&dir, READS);
    let mut shell = Typed::shell();
    shell.keys(&format!("'{SOFTSTOP}' run -c '{config}' &\n")).expect("ready after");
    let limit = Instant::now() + SOON;
    while !shell.shown.contains("Stopped") {
        shell.keys("jobs\n").expect("prompt> ");
        assert!(Instant::now() < limit, "{}", shell.shown);
    }
    shell.keys("fg\n").in_foreground("dash").keys("words\n").expect("got: words");
}

/// Only softstop was stopped: when it goes on, the program has nothing that shows that it wants the terminal.
#[test]
fn a_softstop_that_was_stopped_and_brought_back_hands_the_terminal_on() {
    let mut shell = Typed::shell();
    shell
        .keys(&format!("'{SOFTSTOP}' -- sh -c 'echo u''p $$ r''eady; exec sleep 1000'\n"))
        .expect("up ")
        .expect(" ready");
    shell.in_foreground("sleep");
    let pid: i32 = shell.shown.split("up ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    processes::send(processes::look(pid).unwrap().parent, libc::SIGSTOP);
    shell.expect("Stopped").expect("prompt> ").keys("fg\n").in_foreground("sleep");
    shell.keys(CTRL_C).expect("prompt> ").keys("exit $?\n");
    assert_eq!(shell.ends(), 130);
}

#[test]
fn closing_the_terminal_of_the_program_that_is_typed_to_stops_run() {
    let dir = Dir::new();
    let config = console(&dir, READS);
    let report = dir.text("report.json");
    let mut typed = Typed::start(&[SOFTSTOP, "run", "-c", &config, "--report", &report, "--grace", "4s"]);
    typed.expect(" up\r\n").in_foreground("dash");
    hangs_up(typed, &dir);
}

/// Nobody types to it, and it reads all the same: it is stopped by the kernel, and that shows.
#[test]
fn a_process_that_reads_a_terminal_it_has_not_got_shows_as_stopped_and_is_warned_of() {
    let dir = Dir::new();
    let socket = dir.text("socket");
    let config = dir.write(
        "tty.toml",
        &format!(
            "grace = \"20s\"\n[control]\nsocket = \"{socket}\"\n[[process]]\nname = \"web\"\n\
             command = [\"sh\", \"-c\", \"read line < /dev/tty\"]\n"
        ),
    );
    let mut typed = Typed::start(&[SOFTSTOP, "run", "-c", &config]);
    typed.expect("web: stopped by SIGTTIN: it reads from a terminal that it has not got");
    let status = from_here(&["status", "-c", &config]).out;
    assert!(status.contains("Running (Stopped)  no ") && status.contains("web: stopped by SIGTTIN"), "{status}");
    // The stop wakes it, and it ends in time.
    typed.keys(CTRL_C).expect("web ended with SIGTERM");
    assert_eq!(typed.ends(), 143);
}

/// `(softstop -- cat &)` in a subshell that is gone: there is no shell that could continue it, and nothing wakes it in vain.
#[test]
fn a_program_that_reads_where_no_shell_is_left_is_stopped_once_and_warned_of() {
    let dir = Dir::new();
    let mut shell = Typed::shell();
    // The subshell has the terminal until it is gone, and the prompt is there when the shell has it back.
    let wait = format!("until [ -e \"{}\" ]; do sleep 0.02; done", dir.text("go"));
    let softstop = format!("exec \"{SOFTSTOP}\" -- sh -c \"echo u\"\"p \\$\\$; read line\"");
    shell.keys(&format!("(sh -c '{wait}; {softstop}' < /dev/tty &)\n")).expect("prompt> ");
    dir.write("go", "");
    shell.expect("up ").expect("stopped by SIGTTIN").keys("echo still-$((1+1))\n").expect("still-2");
    let pid: i32 = shell.shown.split("up ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let softstop = processes::look(pid).unwrap().parent;
    shell.come_to_rest(softstop, pid);
    processes::send(softstop, libc::SIGTERM);
    shell.expect("ended with SIGTERM");
}
