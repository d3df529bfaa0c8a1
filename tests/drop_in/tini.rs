//! tini.

use crate::pair::{
    Case, MODES, Mode, Outcome, PROBE, handed_on, installed, left_over, not_to_be_run, ours, same, same_but,
};

/// tini takes these and passes them on; 17 is its own.
const PASSED: &str = "1,2,3,10,12,13,14,15,16,17,18,20,21,22,23,24,25,26,27,28,29,30,34,35,40,63";
/// The kernel's, about a fault; it takes none of them. As PID 1 nothing comes of them.
const NOT_TAKEN: &str = "4,5,6,7,8,11,31,32,33";

/// Help and licence are softstop's own text, and the version says so.
fn own_words(mut outcome: Outcome) -> Outcome {
    let own = |text: &str| {
        let text = text.replace("_softstop", "");
        let lines: Vec<&str> = text.lines().collect();
        let usage = lines.iter().position(|line| line.contains("Usage:"));
        match usage {
            Some(at) => lines[..=at].join("\n"),
            None if text.contains("MIT") => "a licence".to_owned(),
            None => text,
        }
    };
    outcome.out = own(&outcome.out);
    outcome.err = own(&outcome.err);
    outcome
}

#[test]
fn every_signal_comes_through_as_with_tini_for_each_flag() {
    let Some(tini) = installed("tini") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for flags in ["", "-gw", "-se 0"] {
            let of_init = if mode == Mode::Pid1 { format!(",{NOT_TAKEN}") } else { String::new() };
            cases.push(Case::probe(mode, flags, &format!("signals={PASSED}{of_init} exit=3")));
        }
        for variable in ["TINI_KILL_PROCESS_GROUP", "TINI_SUBREAPER"] {
            cases.push(Case::probe(mode, "", &format!("signals={PASSED} member=1,15,40 exit=3")).env(variable, ""));
        }
        for flags in ["", "-g"] {
            cases.push(Case::probe(mode, flags, "burst=40,20 member=1,2,15,37 signals=15,15,15 exit=0"));
        }
    }
    // What the C library keeps for itself is ignored in what the tests start.
    for number in NOT_TAKEN.split(',').filter(|n| !["32", "33"].contains(n)) {
        cases.push(Case::probe(Mode::Ordinary, "-s", &format!("outlive={number} exit=0")));
    }
    same("tini", &tini, &cases);
}

#[test]
fn every_end_has_tinis_exit_code_and_lines() {
    let Some(tini) = installed("tini") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for end in ["exit=0", "exit=1", "exit=143", "exit=255", "die=9", "die=15", "die=1", "die=40"] {
            for flags in ["-vvv", "-s -e 143 -e 137 -e 1"] {
                cases.push(Case::probe(mode, flags, end));
            }
        }
        for flags in ["-svv", "-gsvvv", "-sv"] {
            cases.push(Case::probe(mode, flags, "signals=1,2,10,17,20,40 exit=1"));
        }
        for level in ["", "0", "1", "2junk", "+3", "-1", "0x4"] {
            cases.push(Case::probe(mode, "-s", "exit=2").env("TINI_VERBOSITY", level));
        }
    }
    same_but("tini", &tini, &cases, without_idle_traces);
}

/// tini looks once a second, and at its most verbose says so each time: how often is a matter of time.
fn without_idle_traces(mut outcome: Outcome) -> Outcome {
    outcome.out = outcome.out.lines().filter(|l| !l.contains("No child to reap")).map(|l| format!("{l}\n")).collect();
    outcome
}

#[test]
fn the_child_finds_what_tinis_finds() {
    let Some(tini) = installed("tini") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        cases.extend(handed_on(mode, ""));
        cases.extend(["-g", "-s", "-p SIGTERM"].map(|flags| Case::state(mode, flags)));
        // Signals that were ignored at the start are passed on all the same.
        cases.push(Case::probe(mode, "", "signals=1,2,15 exit=0").shell("trap '' HUP INT TERM; exec \"$@\""));
    }
    same("tini", &tini, &cases);
}

#[test]
fn orphans_and_stragglers_fare_as_under_tini() {
    let Some(tini) = installed("tini") else { return };
    same("tini", &tini, &left_over(&["", "-s", "-sw", "-g"]));
}

#[test]
fn what_cannot_be_run_ends_as_with_tini() {
    let Some(tini) = installed("tini") else { return };
    let dir = crate::support::Dir::new();
    let programs = [
        "./true".to_owned(),
        "x".repeat(300),
        dir.script("interpreter", "#!/no/such/interpreter\n"),
        dir.write("plain", "not a program"),
    ];
    let flags = [&["-s", "--"][..], &["-sg", "-e126", "-e", "127", "--"]];
    let mut cases = not_to_be_run(&flags);
    for mode in MODES {
        for program in &programs {
            for flags in flags {
                let args = flags.iter().copied().chain([program.as_str()]);
                cases.push(Case::new(mode, args).env("PATH", "/usr/bin:/bin"));
            }
        }
        let formless = dir.program("formless", "echo \"from a shell $1\"\n");
        cases.push(Case::new(mode, ["-s", "--", &formless, "word"]));
        // In `PATH=` it is the current directory that counts.
        cases.push(Case::new(mode, ["-s", "hostname"]).shell("cd /bin; PATH=; export PATH; exec \"$@\""));
        cases.push(Case::new(mode, ["-s", "true"]).shell("unset PATH; exec \"$@\""));
    }
    same("tini", &tini, &cases);
}

#[test]
fn a_command_line_is_read_as_tini_reads_it() {
    let Some(tini) = installed("tini") else { return };
    let lines: &[&[&str]] = &[
        &[],
        &["--"],
        &["-h"],
        &["-l"],
        &["--version"],
        &["--version", "-h"],
        &["--help"],
        &["-x", "true"],
        &["-gx"],
        &["-e"],
        &["-e", "256", "true"],
        &["-e", "-1", "true"],
        &["-e", "", "false"],
        &["-e", " 1", "false"],
        &["-e", "+1", "false"],
        &["-e1-3", "false"],
        &["-e", "1,2", "false"],
        &["-e", "--", "false"],
        &["-p", "SIGTERM", "true"],
        &["-p", "TERM", "true"],
        &["-p", "15", "true"],
        &["-p", "SIGPWR", "true"],
        &["-p"],
        &["-ps", "true"],
        &["echo", "-v"],
        &["echo", "-l"],
        &["echo", "-v", "--", "-v", "--", "-w"],
        &["echo", "a", "-s", "b"],
        &["-vvvvg", "echo", "-x"],
        &["-", "a"],
        &["-s", "-", "--", "x"],
        &["echo", "-h"],
        &["-g", "--", "-v"],
        &["-s", "--", "echo", "--version"],
        &["-sgw", "-e143", "-pSIGKILL", "echo", "joined"],
    ];
    let case = |line: &&[&str]| Case::new(Mode::Ordinary, line.iter().copied());
    let mut cases: Vec<Case> = lines.iter().map(case).collect();
    let words_first = lines.iter().filter(|line| line.first().is_some_and(|word| !word.starts_with('-')));
    cases.extend(words_first.map(case).map(|case| case.env("POSIXLY_CORRECT", "1")));
    cases.extend(
        [&["--version"][..], &["echo", "-x"], &["-s", "echo", "-g", "a"]]
            .map(|line| Case::new(Mode::Pid1, line.iter().copied())),
    );
    same_but("tini", &tini, &cases, own_words);
}

/// dockerd's own reading of it, of moby's `parseInitVersion`: two words, then the version, then perhaps ` - git.` and a commit.
#[test]
fn dockerd_finds_the_version() {
    if !crate::support::namespaces() {
        return;
    }
    let said = Case::new(Mode::Ordinary, ["--version"]).run(&ours("docker-init"));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let version = said.out.split(" - ").next().unwrap().trim().strip_prefix("tini version ");
    assert!(version.is_some_and(|v| v.starts_with("0.19.")), "{said:?}");
}

#[test]
fn softstop_as_tini_is_tini_and_each_of_its_names_is() {
    if !crate::support::namespaces() {
        return;
    }
    let softstop = std::path::Path::new(crate::support::SOFTSTOP);
    let words = ["-s", "-e", "3", "--", "perl", PROBE, "signals=15,15,3", "exit=3"];
    let mut seen = Vec::new();
    for mode in MODES {
        for name in ["tini", "tini-static", "docker-init"] {
            seen.push(Case::new(mode, words).run(&ours(name)));
        }
        seen.push(Case::new(mode, ["as", "tini"].into_iter().chain(words)).run(softstop));
    }
    for outcome in seen {
        let printed = "i am P1\n15 to the init: 15\n15 to the init: 15\n3 to the init: 3\n".to_owned();
        assert_eq!(outcome, Outcome { code: 0, out: printed, err: String::new() });
    }
    let none = Case::new(Mode::Ordinary, ["as", "runit", "x"]).run(softstop);
    assert!(none.code == 64 && none.err.contains("tini, dumb-init or catatonit"), "{none:?}");
}
