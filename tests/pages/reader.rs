//! The reader of command lines against clap, given the same rows: what one accepts the other does, with the same values. Every flag in every
//! form, alone and together, with values right and wrong; and random command lines. clap has no opinion on what a value means: that is read
//! by the row of the flag, for both.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use softstop::cli::commands::{self, Known};
use softstop::cli::declare::{Flag, Form, Takes};
use softstop::cli::reader::{self, Read, Refusal, given};
use softstop::cli::{Wrapper, flags, reading};

use crate::grammar;

/// Of every kind that a flag takes, and what none takes.
const VALUES: &[&[u8]] = &[
    b"5s",
    b"0s",
    b"TERM",
    b"QUIT:2s",
    b"QUIT:2s,TERM",
    b"TERM:QUIT",
    b"1:0,USR1:none",
    b"INT,TERM",
    b"143=0",
    b"143",
    b"143,1=2",
    b"3",
    b"256",
    b"-0",
    b"+5",
    b"9180",
    b":9180",
    b"@x",
    b"off",
    b"/x",
    b"auto",
    b"80,auto",
    b"tcp:80",
    b"http://h:1/p?a=b",
    b"token:0123456789abcdef",
    b"10.0.0.0/8",
    b"",
    b",",
    b"a,,b",
    b",5s",
    b" 5s",
    b"-",
    b"--",
    b"-5",
    b"--grace",
    b"a=b",
    b"=5s",
    b"\xff",
    b"/\xff",
    b"5s\n",
    b"run",
    b"status",
    b"ready",
];

/// What stands between flags.
const BETWEEN: &[&str] = &[
    "",
    "-",
    "--",
    "x",
    "run",
    "-g",
    "-gs",
    "-h",
    "--help",
    "-V",
    "--version",
    "-x",
    "--nonsense",
    "-c",
    "-e=",
    "-=",
    "-\u{e9}",
];

/// Where a command line is read: at the wrapper's place, or behind a command's name.
#[derive(Clone, Copy)]
enum Place {
    Wrapper,
    Of(Known),
}

impl Place {
    fn all() -> Vec<Place> {
        std::iter::once(Place::Wrapper).chain(commands::all().map(Place::Of)).collect()
    }

    fn flags(self) -> Vec<&'static Flag> {
        match self {
            Place::Wrapper => flags::WRAPPER.to_vec(),
            Place::Of(command) => command.args(),
        }
    }

    /// What its own reader makes of it; `None`: it refuses.
    fn ours(self, typed: &[OsString]) -> Option<String> {
        let read = reader::read(&self.flags(), matches!(self, Place::Wrapper), typed, None);
        self.meant(read.ok()?)
    }

    fn claps(self, typed: &[OsString]) -> Option<String> {
        let grammar = match self {
            Place::Wrapper => grammar::wrapper(),
            Place::Of(command) => grammar::of(command),
        };
        let line = std::iter::once(OsString::from("softstop")).chain(typed.iter().cloned());
        let (values, behind) = grammar::values(&grammar.try_get_matches_from(line).ok()?, &self.flags());
        self.meant(Read::of(values, &behind))
    }

    /// The settings; `None`: a value is none.
    fn meant(self, read: Read<'_>) -> Option<String> {
        let meant = match self {
            Place::Wrapper => {
                let wrapper =
                    Wrapper { common: given(&read), own: given(&read), cmd: given::<flags::Behind>(&read).cmd };
                format!("{wrapper:?}")
            }
            Place::Of(Known::Help) => format!("{:?}", given::<commands::Asked>(&read)),
            Place::Of(command) => format!("{:?}", command.command(&read)),
        };
        read.wrong().is_none().then_some(meant)
    }

    /// Whether it is accepted, by both alike.
    fn both(self, typed: &[OsString]) -> bool {
        let alone = reader::read(&self.flags(), false, typed, None).ok().and_then(Read::wrong);
        // clap does not miss the one flag that another needs where a third is there with which that one does not go.
        if matches!(alone, Some(Refusal::Alone(..))) {
            return false;
        }
        let (ours, claps) = (self.ours(typed), self.claps(typed));
        assert_eq!(ours, claps, "softstop {} {typed:?}: ours, clap's", self.name());
        ours.is_some()
    }

    fn name(self) -> &'static str {
        match self {
            Place::Wrapper => "",
            Place::Of(command) => command.name(),
        }
    }
}

fn values(flag: &Flag) -> Vec<OsString> {
    let words: &[&str] = if let Form::Words(words) = flag.form { words } else { &[] };
    let nearly = words.iter().map(|word| OsString::from(&word[..word.len() - 1]));
    let others = VALUES.iter().map(|value| OsStr::from_bytes(value).to_owned());
    words.iter().map(OsString::from).chain(nearly).chain(others).collect()
}

fn joined(parts: &[&OsStr]) -> OsString {
    parts.iter().fold(OsString::new(), |mut all, part| {
        all.push(part);
        all
    })
}

/// `[--grace, 5s]`, `[--grace=5s]`, `[-s, QUIT]`, `[-sQUIT]`, `[-s=QUIT]`; an argument that is known by its place as it is.
fn forms(flag: &Flag, value: &OsStr) -> Vec<Vec<OsString>> {
    if flag.place.is_some() {
        return vec![vec![value.to_owned()]];
    }
    let long = OsString::from(format!("--{}", flag.long));
    let mut forms = vec![vec![long.clone(), value.to_owned()], vec![joined(&[&long, "=".as_ref(), value])]];
    if let Some(short) = flag.short.map(|short| OsString::from(format!("-{short}"))) {
        forms.push(vec![short.clone(), value.to_owned()]);
        forms.push(vec![joined(&[&short, value])]);
        forms.push(vec![joined(&[&short, "=".as_ref(), value])]);
    }
    forms
}

/// What the place needs besides, so that nothing else is wrong.
fn rest(place: Place) -> Vec<OsString> {
    let words: &[&str] = match place.name() {
        "" => &["--", "/bin/app", "--grace", "-g", ""],
        "probe" => &["ready"],
        "report" => &["report.json"],
        "restart" | "start" => &["web"],
        "signal" => &["web", "HUP"],
        "__wait_file" => &["/x"],
        _ => &[],
    };
    words.iter().map(OsString::from).collect()
}

#[test]
fn the_grammar_is_consistent() {
    grammar::grammar().debug_assert();
}

#[test]
fn every_flag_is_read_as_clap_reads_it_in_every_form() {
    for place in Place::all() {
        for flag in place.flags().into_iter().filter(|flag| flag.place.is_none()) {
            let mut taken = vec![0; 5];
            for value in values(flag) {
                for (n, form) in forms(flag, &value).into_iter().enumerate() {
                    taken[n] += usize::from(place.both(&[form, rest(place)].concat()));
                }
            }
            let long = OsString::from(format!("--{}", flag.long));
            if flag.takes == Takes::Nothing {
                assert!(place.both(&[vec![long], rest(place)].concat()) || flag.requires.is_some(), "--{}", flag.long);
                continue;
            }
            let plain = if flag.short.is_some() { 5 } else { 2 };
            let wanted = if flag.requires.is_some() { 0 } else { 1 };
            assert!(taken[..plain].iter().all(|taken| *taken >= wanted), "{} --{}: {taken:?}", place.name(), flag.long);
        }
    }
}

#[test]
fn repeated_flags_odd_spellings_and_odd_places_are_read_as_clap_reads_them() {
    for place in Place::all() {
        let of = |flag: &'static Flag| match flag.takes {
            Takes::Nothing => vec![OsString::from(format!("--{}", flag.long))],
            _ => {
                let all = values(flag).into_iter().map(|value| forms(flag, &value).remove(0));
                let mut right = all.filter(|form| place.both(&[form.clone(), rest(place)].concat()));
                right.next().unwrap_or_else(|| vec![OsString::from(format!("--{}", flag.long)), "web".into()])
            }
        };
        let all: Vec<Vec<OsString>> = place.flags().into_iter().filter(|flag| flag.place.is_none()).map(of).collect();
        for form in &all {
            place.both(&[form.clone(), form.clone(), rest(place)].concat());
            // Without its value, without what is needed.
            place.both(&[form[..1].to_vec(), rest(place)].concat());
            place.both(form);
            place.both(&[form.clone(), vec!["--".into()]].concat());
            let long = form[0].to_str().expect("it is ASCII").to_owned();
            for typed in [
                &long[..long.len() - 1],
                &format!("{long}x"),
                &long.to_uppercase(),
                &long.replace("--", "-"),
                &format!("{long}="),
            ] {
                place.both(&[vec![typed.into()], form[1..].to_vec(), rest(place)].concat());
            }
            for word in BETWEEN {
                place.both(&[vec![word.into()], form.clone(), rest(place)].concat());
                place.both(&[form.clone(), vec![word.into()], rest(place)].concat());
                place.both(&[rest(place), form.clone(), vec![word.into()]].concat());
            }
        }
        // Each pair: what goes together, and what does not.
        for one in &all {
            for other in &all {
                place.both(&[one.clone(), other.clone(), rest(place)].concat());
            }
        }
    }
}

/// An argument: of a flag of this place in some form, or of another's, or a word.
fn argument(place: Place) -> impl Strategy<Value = Vec<OsString>> {
    let others: Vec<&'static Flag> = Place::all().into_iter().flat_map(Place::flags).collect();
    let own = if place.flags().is_empty() { others.clone() } else { place.flags() };
    let flag = prop_oneof![8 => select(own), 1 => select(others)];
    let typed = (flag, any::<Index>(), any::<Index>()).prop_map(|(flag, value, form)| {
        if flag.takes == Takes::Nothing {
            return vec![OsString::from(format!("--{}", flag.long))];
        }
        let values = values(flag);
        let forms = forms(flag, value.get::<OsString>(&values));
        form.get::<Vec<OsString>>(&forms).clone()
    });
    let word = select(BETWEEN).prop_map(|word| vec![OsString::from(word)]);
    let bytes = prop::collection::vec(1_u8..=255, 0..4);
    let bytes = bytes.prop_map(|bytes| vec![OsStr::from_bytes(&bytes).to_owned()]);
    prop_oneof![12 => typed, 2 => word, 1 => bytes]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_command_lines_are_read_as_clap_reads_them(
        (place, args, whole) in select(Place::all())
            .prop_flat_map(|place| (Just(place), prop::collection::vec(argument(place), 0..5), any::<bool>())),
    ) {
        let args = args.concat();
        place.both(&if whole { [args, rest(place)].concat() } else { args });
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A variable is the flag that it stands for, where that is not typed; one that is set to nothing is not there.
#[test]
fn a_variable_is_read_as_its_flag_is() {
    let mut seen = BTreeMap::new();
    for place in Place::all() {
        for flag in place.flags().into_iter().filter(|flag| !flag.variable.is_empty()) {
            let read = |typed: &[OsString], value: &OsStr| {
                let variable = |name: &'static str| (name == flag.variable).then(|| value.to_owned());
                let typed = [typed.to_vec(), rest(place)].concat();
                let read = reader::read(&place.flags(), false, &typed, Some(&variable)).ok()?;
                place.meant(read)
            };
            for value in values(flag) {
                let as_flag = if value.is_empty() && flag.form != Form::Any {
                    place.ours(&rest(place))
                } else {
                    place.ours(&[forms(flag, &value).remove(1), rest(place)].concat())
                };
                assert_eq!(read(&[], &value), as_flag, "softstop {} with {}={value:?}", place.name(), flag.variable);
                if let Some(right) = &as_flag {
                    seen.insert(flag.variable, value.clone());
                    // What is typed wins, even over a value that is wrong.
                    let typed = forms(flag, &value).remove(1);
                    let besides = read(std::slice::from_ref(&typed[0]), OsStr::from_bytes(b"\xff"));
                    assert!(value.is_empty() || besides.as_ref() == Some(right), "{}: {besides:?}", flag.variable);
                }
            }
            assert!(seen.contains_key(flag.variable), "no value of {} is right", flag.variable);
        }
    }
}

/// In the note of a refused value, and in the words of none that was typed.
#[test]
fn a_wrong_variable_is_named() {
    for flag in flags::WRAPPER.iter().copied().filter(|flag| !flag.variable.is_empty()) {
        let variable = |name: &'static str| (name == flag.variable).then(|| OsString::from("\u{1}, ,"));
        let typed = rest(Place::Wrapper);
        let read = reader::read(flags::WRAPPER, true, &typed, Some(&variable));
        let read = read.unwrap_or_else(|why| panic!("{}: {why:?}", flag.variable));
        let _: (softstop::cli::Common, softstop::cli::Own) = (given(&read), given(&read));
        if let Some(refused) = read.wrong() {
            let Refusal::Wrong(of, .., from) = refused else { panic!("{refused:?}") };
            assert_eq!((of.variable, from), (flag.variable, reader::From::Variable));
        }
    }
}

/// Through the front door, with what a shell would hand on.
#[test]
fn a_program_s_own_arguments_are_not_looked_at() {
    let line = ["softstop", "-g", "--", "run", "--grace", "-c", "--help", "--"].map(OsString::from);
    let read = reading::read(&line).unwrap_or_else(|said| panic!("{}", said.text));
    assert!(read.command.is_none());
    assert_eq!(read.wrapper.cmd, line[3..]);
}
