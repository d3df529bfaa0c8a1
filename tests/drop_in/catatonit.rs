//! catatonit.

use crate::pair::{
    Case, MODES, Mode, Outcome, PROBE, handed_on, installed, left_over, not_to_be_run, ours, same, same_but,
};

/// 17 is its own, 20 to 22 are dropped.
const TAKEN: &str = "1,2,3,10,12,13,14,15,16,17,18,20,21,22,23,24,25,26,27,28,29,30,34,35,40,63";
const NOT_TAKEN: &str = "4,5,6,7,8,11,31,32,33";

/// Help and licence are softstop's own text, and the version says so.
fn own_words(mut outcome: Outcome) -> Outcome {
    outcome.err = match outcome.err.find("\n\n") {
        Some(at) => outcome.err[..at].to_owned(),
        None => outcome.err,
    };
    outcome.out = outcome.out.replace("_softstop", "");
    if outcome.out.contains("under catatonit's name") || outcome.out.contains("GNU General Public License") {
        outcome.out = "a licence".to_owned();
    }
    outcome
}

#[test]
fn every_signal_comes_through_as_with_catatonit_for_each_flag() {
    let Some(catatonit) = installed("catatonit") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for flags in ["", "-g"] {
            let of_init = if mode == Mode::Pid1 { format!(",{NOT_TAKEN}") } else { String::new() };
            cases.push(Case::probe(mode, flags, &format!("signals={TAKEN}{of_init} exit=3")));
            cases.push(Case::probe(mode, flags, "burst=40,20 member=1,2,15,37 signals=15,15,15 exit=0"));
        }
    }
    for number in NOT_TAKEN.split(',').filter(|n| !["32", "33"].contains(n)) {
        cases.push(Case::probe(Mode::Ordinary, "", &format!("outlive={number} exit=0")));
    }
    same("catatonit", &catatonit, &cases);
}

#[test]
fn every_end_has_catatonits_exit_code_and_lines() {
    let Some(catatonit) = installed("catatonit") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for end in ["exit=0", "exit=1", "exit=255", "die=9", "die=15", "die=40"] {
            cases.push(Case::probe(mode, "", end));
        }
        for words in ["signals=1,17,20,21,40 exit=2", "die=15"] {
            cases.push(Case::probe(mode, "", words).env("CATATONIT_DEBUG", ""));
        }
        cases.push(Case::probe(mode, "", "exit=1").env("CATATONIT_LOG", ""));
    }
    same_but("catatonit", &catatonit, &cases, in_order);
}

/// Parent and child write at the same time, and catatonit its prefix, its text and the end of the line one by one: what is certain is which
/// characters come.
fn in_order(mut outcome: Outcome) -> Outcome {
    let mut characters: Vec<char> = outcome.err.chars().collect();
    characters.sort_unstable();
    outcome.err = characters.into_iter().collect();
    outcome
}

#[test]
fn the_child_finds_what_catatonits_finds() {
    let Some(catatonit) = installed("catatonit") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for flags in ["", "-g"] {
            cases.extend(handed_on(mode, flags));
            cases.push(Case::state(mode, flags).shell("LISTEN_PID=$$; export LISTEN_PID; exec \"$@\""));
            cases.push(Case::state(mode, flags).env("LISTEN_PID", "77"));
        }
    }
    same("catatonit", &catatonit, &cases);
}

#[test]
fn orphans_and_stragglers_fare_as_under_catatonit() {
    let Some(catatonit) = installed("catatonit") else { return };
    same("catatonit", &catatonit, &left_over(&[""]));
}

/// The pause of a pod: nothing runs. A child that catatonit has from before its exec sends the signals, again and again until it has ended:
/// before it takes them, those that are ignored are lost.
const PAUSED: &str = r#"
    $SIG{$_} = 'IGNORE' for qw(HUP INT TERM);
    my ($numbers, $init) = (shift, $$);
    if (fork()) { exec { $ARGV[0] } @ARGV }
    # Perl would be ended by what does not end catatonit.
    my $name = '';
    until ($name =~ /^catatonit/) {
        select(undef, undef, undef, 0.002);
        open(my $file, '<', "/proc/$init/comm") or exit;
        $name = <$file> // '';
    }
    while (getppid() == $init) {
        kill($_, $init) for split /,/, $numbers;
        select(undef, undef, undef, 0.002);
    }
"#;

#[test]
fn paused_it_ends_upon_int_and_term_alone_also_when_ignored_at_the_start() {
    let Some(catatonit) = installed("catatonit") else { return };
    let mut cases = Vec::new();
    for mode in MODES {
        for numbers in ["2", "15", "1,20,18,17,28,15", "17,28,2"] {
            for flags in [&["-P"][..], &["-gP", "ignored", "words"]] {
                cases.push(Case::new(mode, flags.iter().copied()).through(&["perl", "-e", PAUSED, numbers]));
            }
        }
    }
    same("catatonit", &catatonit, &cases);
}

#[test]
fn what_cannot_be_run_ends_as_with_catatonit() {
    let Some(catatonit) = installed("catatonit") else { return };
    same("catatonit", &catatonit, &not_to_be_run(&[&["--"]]));
}

#[test]
fn a_command_line_is_read_as_catatonit_reads_it() {
    let Some(catatonit) = installed("catatonit") else { return };
    let lines: &[&[&str]] = &[
        &[],
        &["--"],
        &["-h"],
        &["--help"],
        &["-V"],
        &["--v"],
        &["--version=1"],
        &["-L"],
        &["-x", "true"],
        &["-gx"],
        &["echo", "-n"],
        &["echo", "-g", "a", "--", "-V"],
        &["-g", "-", "a"],
        &["--", "echo", "--version"],
        &["-gV"],
    ];
    let mut cases: Vec<Case> = lines.iter().map(|line| Case::new(Mode::Ordinary, line.iter().copied())).collect();
    cases.push(Case::new(Mode::Ordinary, ["echo", "-n"]).env("POSIXLY_CORRECT", ""));
    cases.push(Case::new(Mode::Ordinary, ["-V"]).env("CATATONIT_LOG", "1"));
    same_but("catatonit", &catatonit, &cases, own_words);
}

#[test]
fn podmans_name_for_it_is_catatonit_too() {
    if !crate::support::namespaces() {
        return;
    }
    let words = ["--", "perl", PROBE, "signals=15,15,20", "exit=3"];
    for mode in MODES {
        let printed = "i am P1\n15 to the init: 15\n15 to the init: 15\n20 to the init: nothing\n".to_owned();
        let expected = Outcome { code: 3, out: printed, err: String::new() };
        for name in ["catatonit", "podman-init"] {
            assert_eq!(Case::new(mode, words).run(&ours(name)), expected);
        }
        let named =
            Case::new(mode, ["as", "catatonit"].into_iter().chain(words)).run(crate::support::SOFTSTOP.as_ref());
        assert_eq!(named, expected);
    }
}
