//! softstop's own powers under another program's name.

use std::io::{PipeWriter, Read, Write};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::pair::{Case, MODES, Mode, Outcome, ours};
use crate::support::SOON;

/// The child sends its init a stop request and ends of what comes; with softstop's settings that is a stop of softstop's.
const STOP: [&str; 4] = ["--", "sh", "-c", "kill -TERM $PPID; exec sleep 100"];

fn run(name: &str, mode: Mode, flags: &[&str], set: &[(&str, &str)]) -> Outcome {
    let case = Case::new(mode, flags.iter().chain(&STOP).copied());
    set.iter().fold(case, |case, (variable, value)| case.env(variable, value)).run(&ours(name))
}

#[test]
fn one_variable_brings_the_drain_in_and_without_it_nothing_is_said() {
    if !crate::support::namespaces() {
        return;
    }
    for name in ["tini", "docker-init", "dumb-init", "catatonit", "podman-init"] {
        for mode in MODES {
            let flags: &[&str] = if name == "tini" || name == "docker-init" { &["-s"] } else { &[] };
            let plain = run(name, mode, flags, &[("SOFTSTOP_INSTANCE", "@x")]);
            assert_eq!((plain.code, plain.err.as_str()), (143, ""), "{name}");
            let drained = run(name, mode, flags, &[("SOFTSTOP_GRACE", "60s"), ("SOFTSTOP_DRAIN_SLEEP", "10ms")]);
            assert_eq!(drained.code, 143, "{name}");
            for line in ["softstop: stopping: SIGTERM", "1m00s grace", "softstop: drain: ", "exit code 143"] {
                assert!(drained.err.contains(line), "{name}: {}", drained.err);
            }
        }
    }
}

#[test]
fn the_programs_own_options_still_count() {
    if !crate::support::namespaces() {
        return;
    }
    let grace = ("SOFTSTOP_GRACE", "60s");
    let mapped = run("tini", Mode::Pid1, &["-e", "143", "-w"], &[grace]);
    assert_eq!(mapped.code, 0);
    assert!(mapped.err.contains("not used, as softstop's settings are set: tini's -w"), "{}", mapped.err);
    let quiet = run("tini", Mode::Pid1, &[], &[grace, ("TINI_VERBOSITY", "0")]);
    assert_eq!((quiet.code, quiet.err.as_str()), (143, ""));
    let misused = run("dumb-init", Mode::Pid1, &["-r", "x"], &[grace]);
    assert!(misused.code == 1 && misused.err.starts_with("Usage: -r option"), "{}", misused.err);
}

#[test]
fn softstop_config_runs_the_configuration() {
    if !crate::support::namespaces() {
        return;
    }
    let dir = crate::support::Dir::new();
    let file = dir.write(
        "softstop.toml",
        "[[process]]\nname = \"job\"\ncommand = [\"sh\", \"-c\", \"exit 7\"]\nrestart = \"never\"\n",
    );
    let outcome = run("tini", Mode::Pid1, &["-e", "7"], &[("SOFTSTOP_CONFIG", &file)]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(outcome.err.contains("not used, as softstop's settings are set: the program sh"), "{}", outcome.err);
    // A softstop behind it takes them itself.
    let behind = Case::new(Mode::Ordinary, ["-s", "--", crate::support::SOFTSTOP, "run"]).env("SOFTSTOP_CONFIG", &file);
    let behind = behind.run(&ours("tini"));
    assert!(behind.code == 7 && !behind.err.contains("not used"), "{behind:?}");
}

#[test]
fn dumb_inits_rewriting_is_softstops() {
    if !crate::support::namespaces() {
        return;
    }
    for mode in MODES {
        let case = Case::probe(mode, "-c -r 10:12 -r 1:0", "signals=1,10,12 exit=3");
        let case = case.env("SOFTSTOP_GRACE", "60s").env("SOFTSTOP_LOG_LEVEL", "error");
        let printed = "i am P1\n1 to the init: nothing\n10 to the init: 12\n12 to the init: 12\n".to_owned();
        assert_eq!(case.run(&ours("dumb-init")), Outcome { code: 3, out: printed, err: String::new() });
        let softstop = std::path::Path::new(crate::support::SOFTSTOP);
        let stops = "trap 'exit 9' USR1; trap 'exit 8' TERM; kill -TERM $PPID; while :; do sleep 0.05; done";
        let stopped =
            Case::new(mode, ["--grace", "60s", "--rewrite", "TERM:USR1", "--", "sh", "-c", stops]).run(softstop);
        assert_eq!(stopped.code, 9, "{stopped:?}");
    }
}

/// tini and catatonit never end then: a difference that docs/drop-in.md names.
#[test]
fn with_sigchld_ignored_at_the_start_it_ends_all_the_same() {
    if !crate::support::namespaces() {
        return;
    }
    for name in ["tini", "dumb-init", "catatonit"] {
        for mode in MODES {
            let case = Case::new(mode, ["--", "sh", "-c", "exit 3"]).shell("trap '' CHLD; exec \"$@\"");
            assert_eq!(case.run(&ours(name)).code, 3, "{name}");
        }
    }
}

/// Standard error is a pipe that was full before it began, and nobody reads it.
#[test]
fn what_has_no_counterpart_is_said_without_holding_up_the_start() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let set = |writer: &PipeWriter, flags: OFlag| fcntl(writer, FcntlArg::F_SETFL(flags)).map(|_| ()).unwrap();
    set(&writer, OFlag::O_NONBLOCK);
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    set(&writer, OFlag::empty());
    let mut tini = Command::new(ours("tini"));
    tini.args(["-s", "-w", "--", "sh", "-c", "echo started"]).env("SOFTSTOP_GRACE", "5s");
    let mut child = tini.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    drop(tini);
    let (say, started) = std::sync::mpsc::channel();
    let mut out = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = out.read_to_string(&mut line);
        let _ = say.send(line);
    });
    let line = started.recv_timeout(SOON);
    // Whoever waits for a reader goes on now.
    drop(reader);
    let _ = child.wait();
    assert_eq!(line.as_deref(), Ok("started\n"));
}
