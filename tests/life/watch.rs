//! `softstop status --watch` as a person has it: in a terminal, by keys, to the end of a stop; and where there is no terminal.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::Stdio;

use nix::sys::termios::{LocalFlags, tcgetattr};

use super::terminal::{CTRL_C, Typed};
use crate::support::client::{from_here, softstop};
use crate::support::{Dir, Running, SOFTSTOP, SOON, may_enter_namespaces, process, processes};

/// What the terminal is told at the beginning and at the end: another screen, and back.
const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";
/// The end of the line of keys: it is drawn, and what is typed from now on is read.
const DRAWN: &str = "q quit";

const WEB: &str =
    "[[process]]\nname = 'web'\noutput = 'prefix'\ncommand = ['sh', '-c', 'echo serving; exec sleep 1000']\n";

/// One that is watched from outside, by a socket in `dir`.
fn running(dir: &Dir, config: &str) -> Running {
    let text = format!("grace = '60s'\ncontrol.socket = '{}'\n{config}", dir.text("sock"));
    let mut running = dir.launch(&text).not_pid1().start();
    running.wait_for("serving");
    running
}

fn watch(dir: &Dir) -> Typed {
    Typed::start(&[SOFTSTOP, "status", "--watch", "--interval", "100ms", "--control", &dir.text("sock")])
}

fn is_raw(typed: &Typed) -> bool {
    let flags = tcgetattr(typed.keys.as_fd()).unwrap().local_flags;
    let [lines, echo, signals] = [LocalFlags::ICANON, LocalFlags::ECHO, LocalFlags::ISIG].map(|f| flags.contains(f));
    assert!(lines == echo && echo == signals, "half of it: {flags:?}");
    !lines
}

/// It ends with this code, and the terminal is as it was.
#[track_caller]
fn gives_back(mut typed: Typed, code: i32) -> String {
    typed.expect(GIVEN_BACK);
    let keys = typed.keys.try_clone().unwrap();
    let (ended, shown) = typed.ends_with(true);
    assert_eq!(ended, code, "{shown}");
    assert!(tcgetattr(keys.as_fd()).unwrap().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO));
    let after = shown.rsplit(GIVEN_BACK).next().unwrap().to_owned();
    assert!(!after.contains(TAKEN) && shown.contains("\x1b[?25h"), "{shown}");
    after
}

#[test]
fn a_process_is_restarted_and_signalled_by_keys_and_the_terminal_is_as_before() {
    let dir = Dir::new();
    let running = running(&dir, WEB);
    let mut typed = watch(&dir);
    // A terminal that does not say how large it is.
    typed.expect(TAKEN).expect("> web").expect("serving").expect(DRAWN);
    assert!(is_raw(&typed));
    typed.keys("r").expect("restart web? y: yes").keys("n").expect(DRAWN);
    typed.keys("r").expect("restart web?").keys("y").expect("web: started (pid ");
    typed.keys("x").expect("signal to web: ").keys("trem\r").expect("did you mean SIGTERM?");
    typed.keys("\x7f\x7f\x7f\x7fcont\r").expect("web: SIGCONT sent");
    // Whoever has it meanwhile has it as it was.
    typed
        .keys("s")
        .expect("stop web, and hold it down?")
        .keys("y")
        .expect("Held")
        .keys("s")
        .expect("web: started (pid ");
    typed.keys("q");
    gives_back(typed, 0);
    assert!(processes::look(running.pid()).is_some(), "q ends the client alone");
}

#[test]
fn whatever_ends_it_the_terminal_is_given_back_and_the_exit_code_says_why() {
    let dir = Dir::new();
    let running = running(&dir, WEB);
    let started = || {
        let mut typed = watch(&dir);
        typed.expect(DRAWN);
        typed
    };
    let [mut interrupted, terminated, hung_up, left] = [started(), started(), started(), started()];
    interrupted.keys(CTRL_C);
    gives_back(interrupted, 130);
    processes::send(terminated.pid(), libc::SIGTERM);
    gives_back(terminated, 143);
    processes::send(hung_up.pid(), libc::SIGHUP);
    gives_back(hung_up, 129);
    // As a kubelet does it, without a word.
    processes::send(running.pid(), libc::SIGKILL);
    let said = gives_back(left, 69);
    assert!(said.contains("softstop: error: softstop ended, or closed the connection"), "{said}");
}

/// softstop takes everything with it that is in its namespace when it leaves: it waits for who watches, also where it reads no lines.
#[test]
fn a_stop_in_a_container_is_watched_to_its_end_and_its_timeline_is_left_on_the_screen() {
    needs!(may_enter_namespaces());
    // It waits a quarter of a second: a machine on which the client does not run for so long is no reason to fail.
    let mut attempts = std::iter::repeat_with(watched_to_its_end).take(10);
    let said = attempts.find_map(|said| said).expect("given back in none of ten times");
    assert!(said.contains("stopped in ") && said.contains("; exit code 7"), "{said}");
    assert!(said.contains("deadline 59.0s") && said.contains("processes"), "{said}");
}

/// What is left on the screen; `None`: the client was killed before it could give the terminal back.
fn watched_to_its_end() -> Option<String> {
    let dir = Dir::new();
    let text = format!(
        "grace = '60s'\n{}output = 'inherit'\n\
         [[drain]]\nname = 'until it is seen'\nwait_file = {{ path = '{}' }}\n",
        process("web", &["exit-on:TERM:7", "say:up", "wait"]),
        dir.text("seen"),
    );
    let running = dir.launch(&text).up();
    let enter = ["nsenter", "--target", &running.pid().to_string(), "--pid", "--mount", SOFTSTOP];
    let mut typed = Typed::start(&[&enter[..], &["status", "-w", "--interval", "100ms"]].concat());
    typed.expect("> web").expect("writes past softstop").expect(DRAWN);
    typed.keys("S").expect("stop everything? y: yes").keys("y").expect("stopping for ").expect("SIGKILL in ");
    typed.expect("now ").expect("until it is seen").expect("not over");
    dir.write("seen", "");
    let (code, shown) = typed.ends_with(true);
    running.wait(SOON).expect_code(7);
    let (_, said) = shown.split_once(GIVEN_BACK).filter(|_| code == 0)?;
    Some(said.to_owned())
}

#[test]
fn without_a_terminal_a_line_is_written_for_each_change_and_it_ends_with_softstop() {
    let dir = Dir::new();
    let running = running(&dir, WEB);
    let mut command = softstop(&["status", "--watch", "--interval", "100ms", "--control", &dir.text("sock")]);
    let mut piped = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(piped.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut expect =
        |what: &str| lines.by_ref().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what:?}"));
    assert!(expect("softstop ").contains("Running, ready"));
    expect("NAME");
    // A dumb terminal is none to draw on.
    let mut dumb = Typed::start(&["env", "TERM=dumb", SOFTSTOP, "status", "-w", "--control", &dir.text("sock")]);
    dumb.expect("LAST EXIT\r\n");
    from_here(&["stop", "web", "--control", &dir.text("sock")]).expect(0, "");
    assert!(expect(" web: Waiting, Held").starts_with('+'), "when that was");
    processes::send(running.pid(), libc::SIGTERM);
    expect("stopped in ");
    assert_eq!(piped.wait().unwrap().code(), Some(0));
    dumb.expect("stopped in ");
    let (code, shown) = dumb.ends_with(true);
    assert!(code == 0 && !shown.contains('\x1b'), "{code}: {shown}");
}
