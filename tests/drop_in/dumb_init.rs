//! dumb-init.

use crate::pair::{
    Case, MODES, Mode, Outcome, PROBE, handed_on, installed, left_over, not_to_be_run, ours, same, same_but,
};

/// dumb-init passes on what comes, faults included; 17 is its own, and 20 to 22 stop: [`a_suspension_stops_the_session_and_dumb_init`].
const PASSED: &str = "1,2,3,4,5,6,7,8,10,11,12,13,14,15,16,17,18,23,24,25,26,27,28,29,30,31,34,35,40,63";

/// The help is softstop's own text, and the version says so.
fn own_words(mut outcome: Outcome) -> Outcome {
    let text = outcome.err.replace("_softstop", "");
    outcome.err = match text.find(" [option] command") {
        Some(at) => text[..at].to_owned(),
        None => text,
    };
    outcome
}

#[test]
fn every_signal_comes_through_as_with_dumb_init_for_each_flag() {
    let Some(dumb_init) = installed("dumb-init") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for flags in ["", "-c", "-r 15:3 -r 1:0 -r 2:2 -r 9:1 -r 3:15 -r 28:12", "-c -r 15:0 -r 10:40x -r 12:1 -r 12:3"]
        {
            cases.push(Case::probe(mode, flags, &format!("signals={PASSED} exit=3")));
        }
        cases.push(Case::probe(mode, "", &format!("signals={PASSED} exit=3")).env("DUMB_INIT_SETSID", "0"));
        cases.push(Case::probe(mode, "", "signals=15,15,1,1 burst=40,20 member=1,2,15,37 exit=3"));
        cases.push(Case::probe(mode, "-r 15:3", "member=1,2,15,37 exit=3"));
    }
    same("dumb-init", &dumb_init, &cases);
}

#[test]
fn every_end_has_dumb_inits_exit_code_and_lines() {
    let Some(dumb_init) = installed("dumb-init") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for end in ["exit=0", "exit=1", "exit=255", "die=9", "die=15", "die=40"] {
            for flags in ["", "-c", "-r 15:0"] {
                cases.push(Case::probe(mode, flags, end));
            }
        }
        for flags in ["-v", "-cv", "-v -r 15:0 -r 1:2", "--verb --rewrite=1:0"] {
            cases.push(Case::probe(mode, flags, "signals=1,2,15,17,40 exit=1"));
        }
        for (name, value) in [("DEBUG", "1"), ("DEBUG", "0"), ("DEBUG", "yes"), ("SETSID", "0"), ("SETSID", "no")] {
            let case = Case::probe(mode, if name == "SETSID" { "-v" } else { "" }, "signals=1,17 exit=2");
            cases.push(case.env(&format!("DUMB_INIT_{name}"), value));
        }
    }
    same_but("dumb-init", &dumb_init, &cases, in_order);
}

/// Parent and child write at the same time.
fn in_order(mut outcome: Outcome) -> Outcome {
    let of_child = |line: &&str| line.contains("setsid complete") || line.contains("attach to");
    let (child, init): (Vec<&str>, Vec<&str>) = outcome.err.lines().partition(of_child);
    outcome.err = [init, child].concat().join("\n");
    outcome
}

#[test]
fn the_child_finds_what_dumb_inits_finds() {
    let Some(dumb_init) = installed("dumb-init") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for flags in ["", "-c"] {
            cases.extend(handed_on(mode, flags));
            cases.push(Case::probe(mode, flags, "signals=1,2,15 exit=0").shell("trap '' HUP INT TERM; exec \"$@\""));
        }
    }
    same("dumb-init", &dumb_init, &cases);
}

#[test]
fn orphans_and_stragglers_fare_as_under_dumb_init() {
    let Some(dumb_init) = installed("dumb-init") else { return };
    same("dumb-init", &dumb_init, &left_over(&["", "-c", "-r 15:3", "-r 15:0"]));
}

#[test]
fn a_suspension_stops_the_session_and_dumb_init() {
    let Some(dumb_init) = installed("dumb-init") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for number in [20, 21, 22] {
            cases.push(Case::probe(mode, "", &format!("suspend={number} exit=0")));
        }
        // Not a stop for the child, which handles it; PID 1 cannot stop itself.
        cases.push(Case::probe(Mode::Pid1, "-c", "signals=20,21,22 exit=0"));
        cases.push(Case::probe(Mode::Pid1, "-r 20:0 -r 21:10 -r 22:22", "signals=10,20,21,22 exit=0"));
    }
    same("dumb-init", &dumb_init, &cases);
}

#[test]
fn what_cannot_be_run_ends_as_with_dumb_init() {
    let Some(dumb_init) = installed("dumb-init") else { return };
    same("dumb-init", &dumb_init, &not_to_be_run(&[&["--"], &["-c", "--"]]));
}

#[test]
fn a_command_line_is_read_as_dumb_init_reads_it() {
    let Some(dumb_init) = installed("dumb-init") else { return };
    let lines: &[&[&str]] = &[
        &[],
        &["--"],
        &["-h"],
        &["--help", "-x"],
        &["-V"],
        &["--vers"],
        &["--ver"],
        &["--version=1"],
        &["--nothing"],
        &["-x", "true"],
        &["-cvx"],
        &["-r"],
        &["--rewrite"],
        &["-r", "TERM:3", "true"],
        &["-r", "15 :3", "true"],
        &["-r", "15: 3", "true"],
        &["-r", "32:3", "true"],
        &["-r", "3:32", "true"],
        &["-r", "0:3", "true"],
        &["-r", "3:-1", "true"],
        &["-r", "4294967299:0", "true"],
        &["-cr15:3", "echo", "-v"],
        &["-c", "-", "a"],
        &["echo", "-h"],
        &["--", "echo", "--version"],
    ];
    let cases: Vec<Case> = lines.iter().map(|line| Case::new(Mode::Ordinary, line.iter().copied())).collect();
    same_but("dumb-init", &dumb_init, &cases, own_words);
}

#[test]
fn softstop_as_dumb_init_is_dumb_init() {
    if !crate::support::namespaces() {
        return;
    }
    let words = ["-r", "1:0", "--", "perl", PROBE, "signals=15,15,1,3", "exit=3"];
    for mode in MODES {
        let link = Case::new(mode, words).run(&ours("dumb-init"));
        let named =
            Case::new(mode, ["as", "dumb-init"].into_iter().chain(words)).run(crate::support::SOFTSTOP.as_ref());
        let printed =
            "i am P1\n15 to the init: 15\n15 to the init: 15\n1 to the init: nothing\n3 to the init: 3\n".to_owned();
        assert_eq!(link, Outcome { code: 3, out: printed, err: String::new() });
        assert_eq!(named, link);
    }
}
