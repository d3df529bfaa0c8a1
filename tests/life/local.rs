//! softstop as a developer has it on a laptop: a Procfile, its `.env`, terminals for its programs, Ctrl-C.

use std::process::Command;

use crate::support::client::{Told, softstop};
use crate::support::{Dir, Launch, SOFTSTOP, SOON, may_enter_namespaces, skip};
use crate::terminal::{CTRL_C, Typed};

/// `softstop ARGS` in that folder, on a terminal.
fn typed(dir: &Dir, args: &str) -> Typed {
    let line = format!("cd '{}' && unset PORT NO_COLOR && TERM=xterm exec '{SOFTSTOP}' {args}", dir.text("."));
    Typed::start(&["sh", "-c", &line])
}

/// A project as foreman's users have it: two types, one of them a pipe of a shell, and variables beside them.
fn project() -> Dir {
    let dir = Dir::new();
    dir.write(
        "Procfile",
        "# the site\nweb: echo \"port $PORT, name $NAME, $PS\" && sleep 1000\n\
         worker: echo \"port $PORT\"; sleep 1000 | sleep 1001\n",
    );
    dir.write(".env", "NAME=\"a b\"\nexport OTHER=1\n");
    dir
}

/// Prefixes, ports, variables, the block at the start; and the whole project stops at one Ctrl-C, the pipe's programs, too.
#[test]
fn a_procfile_s_project_from_its_start_to_ctrl_c() {
    let dir = project();
    let mut typed = typed(&dir, "run");
    typed.expect("2 processes of Procfile; Ctrl-C stops them within 30.0s; to see them: softstop status\r\n");
    typed.expect("  web     PORT 5000\r\n").expect("  worker  PORT 5100\r\n");
    typed.expect(".env, line 2: it is passed over, as foreman does");
    typed
        .expect_both("\x1b[36mweb    |\x1b[0m port 5000, name a b, web.1\r\n", "\x1b[33mworker |\x1b[0m port 5100\r\n");
    let line = typed.shown.lines().find(|line| line.contains("port 5000,")).unwrap();
    let time: String = line.chars().take(9).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(time, "00:00:00 ", "the time of day: {line}");
    typed.in_foreground("softstop").keys(CTRL_C).expect("Ctrl-C again kills now\r\n");
    typed.expect_both("web: stopped", "worker: stopped").expect("exit code");
    assert!(!typed.shown.contains("SIGKILL:"), "nobody is left to be killed: {}", typed.shown);
    assert!(matches!(typed.ends(), 0 | 143));
}

/// One that does not stop is not waited for by who does not want to.
#[test]
fn the_second_ctrl_c_kills_what_does_not_stop() {
    let dir = Dir::new();
    dir.write("dev", "# ours\nstubborn: trap '' TERM INT; echo up; while :; do sleep 0.1; done\nother: sleep 1000\n");
    let mut typed = typed(&dir, "run --color never --no-times --grace 10m -f dev");
    typed.expect("\nstubborn | up\r\n").in_foreground("softstop").keys(CTRL_C).expect("Ctrl-C again kills now");
    typed.expect("other: stopped").keys(CTRL_C).expect("killing everything now").expect("exit code");
    assert!(!typed.shown.contains('\x1b'), "{:?}", typed.shown);
    typed.ends();
}

/// foreman's: where one ends all end, with its exit code.
#[test]
fn the_end_of_one_is_the_end_of_all() {
    let dir = Dir::new();
    let file = dir.write("Procfile", "web: sleep 1000\nrelease: exit 3\n");
    let ended = Launch::new(["run", "--formation", "web=2", "--port", "7000", &file]).run();
    ended.expect_code(3).expect("web.1: stopped").expect("web.2: stopped").expect("release: ended with exit code 3");
    let held = Launch::new(["run", &file, "--formation", "web=0"]).run();
    held.expect_code(3).expect_not("web: started").expect_not("PORT");
    let only = Launch::new(["run", &file, "--formation", "web=2", "--only", "release"]).run();
    only.expect_code(3).expect_not("web.1: started");
}

fn said(dir: &Dir, args: &[&str]) -> Told {
    Told::by(softstop(args).current_dir(dir.path(".")).env_remove("PORT"))
}

#[test]
fn check_reads_a_procfile_by_its_name_its_lines_or_the_flag() {
    let dir = project();
    let ok = |args: &[&str]| drop(said(&dir, args).expect(0, ": ok (2 processes, "));
    ok(&["check"]);
    ok(&["check", "Procfile"]);
    std::fs::copy(dir.path("Procfile"), dir.path("dev")).unwrap();
    ok(&["check", "dev"]);
    std::fs::copy(dir.path("Procfile"), dir.path("dev.toml")).unwrap();
    ok(&["check", "-f", "dev.toml"]);
    said(&dir, &["check", "dev.toml"]).expect(78, "softstop run -f FILE");
    said(&dir, &["check", "-f", "dev", "-c", "Procfile"]).expect(64, "two configuration files, Procfile and dev");
    said(&dir, &["run", "--formation", "wbe=2"]).expect(64, "the Procfile has no \"wbe\"; there are: web, worker");
    dir.write(".env", "PORT=65500\n");
    said(&dir, &["check"]).expect(78, "the PORT of \"worker\" would be 65600");
}

/// A program on a terminal of its own, whose lines are softstop's to pass on.
fn on_a_terminal(dir: &Dir, script: &str, keys: &str) -> String {
    let script = dir.script("program", script);
    dir.write("tty.toml", &format!("[[process]]\nname = \"app\"\ncommand = [{script:?}]\ntty = true\n{keys}\n"))
}

#[test]
fn a_program_sees_a_terminal_of_its_own_and_its_lines_are_prefixed() {
    let dir = Dir::new();
    let config = on_a_terminal(
        &dir,
        "test -t 0 && test -t 1 && test -t 2 && echo three; stty size </dev/tty; echo $TERM\n\
         ps -o sid=,pgid=,tpgid= -p $$ | awk -v pid=$$ '{ print ($1 == pid && $2 == pid && $3 == pid) ? \"leads\" : $0 }'\n\
         seq 1 20000\necho error >&2\nprintf 'no newline'",
        "",
    );
    let ended = Launch::new(["run", "-c", &config]).env("TERM", "vt100").run();
    ended
        .expect_code(0)
        .expect("app | three\n")
        .expect("app | 24 74\n")
        .expect("app | vt100\n")
        .expect("app | leads\n");
    // Its hang-up takes nothing of what it has written.
    let said = ended.all();
    let numbers = said.lines().filter(|l| l.strip_prefix("app | ").is_some_and(|n| n.parse::<u32>().is_ok())).count();
    assert_eq!(numbers, 20_000, "{}", &said[said.len().saturating_sub(500)..]);
    ended.expect("app | error\n").expect("app | no newline\n");
    assert!(!said.contains('\r'), "the carriage returns of a terminal's lines stay there");
}

/// What it leaves behind loses the terminal, and keeps nobody waiting.
#[test]
fn the_terminal_is_hung_up_at_the_programs_end_and_its_children_hold_nothing() {
    let dir = Dir::new();
    let script = "(trap '' HUP; echo child; while sleep 0.05; do echo more; done) & until [ -e go ]; do sleep 0.02; done; exit 4";
    let config = on_a_terminal(&dir, script, "output = \"json\"\nrestart = \"never\"");
    let mut running = Launch::new(["run", "-c", &config]).current_dir(&dir.path(".")).start();
    running.wait_for("\"line\":\"child\"").wait_for("\"line\":\"more\"");
    dir.write("go", "");
    running.wait(SOON).expect_code(4);
}

/// The window of the terminal that softstop is in, less the prefix; and again when that is resized.
#[test]
fn the_size_of_the_window_is_handed_on() {
    let dir = Dir::new();
    let config = on_a_terminal(&dir, "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 0.05; done", "");
    let line = format!("stty rows 30 cols 100; exec '{SOFTSTOP}' run --color=never -c '{config}'");
    let mut typed = Typed::start(&["sh", "-c", &line]);
    typed.expect("app | 30 85\r\n").in_foreground("softstop");
    let window =
        Command::new("stty").args(["rows", "40", "cols", "120"]).stdin(typed.keys.try_clone().unwrap()).status();
    assert!(window.unwrap().success());
    typed.expect("app | 40 105\r\n");
    assert_eq!(typed.ends(), 0);
}

#[test]
fn a_terminal_that_cannot_be_had_fails_the_start_and_says_so() {
    if !may_enter_namespaces() {
        return skip("needs a mount namespace");
    }
    let dir = Dir::new();
    let config = on_a_terminal(&dir, "exit 0", "");
    let script = "mount --bind /dev/null /dev/ptmx && exec \"$@\"";
    let output =
        Command::new("unshare").args(["--mount", "sh", "-c", script, "sh", SOFTSTOP, "run", "-c", &config]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no terminal for it (tty): /dev/ptmx: "), "{said}");
    assert_eq!(output.status.code(), Some(126), "{said}");
}
