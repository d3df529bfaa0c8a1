//! What to type instead of a command line that is none of softstop's: near names, flags in the wrong place, other tools' words. Pure;
//! what is there it asks of the declarations, so that nothing is listed twice.

use std::ffi::OsString;

use super::commands::{self, Known};
use super::declare::{Flag, Takes};
use super::flags::WRAPPER;
use super::help;
use super::reader::{From, Refusal, Why};
use crate::config::secrets;
use crate::nearest::nearest;
use crate::text;

/// Commands as other tools call them, and what to type for it.
const COMMANDS: &[(&str, &str)] = &[
    ("version", "softstop --version prints it"),
    ("validate", "did you mean softstop check?"),
    ("verify", "did you mean softstop check?"),
    ("lint", "did you mean softstop check?"),
    ("test", "did you mean softstop check?"),
    ("up", "did you mean softstop run?"),
    ("serve", "did you mean softstop run?"),
    ("supervise", "did you mean softstop run?"),
    ("down", "did you mean softstop stop?"),
    ("ps", "did you mean softstop status?"),
    ("list", "did you mean softstop status?"),
    ("top", "did you mean softstop status?"),
    ("health", "did you mean softstop probe ready?"),
    ("healthcheck", "did you mean softstop probe ready?"),
    ("kill", "did you mean softstop signal NAME KILL?"),
    ("exec", "a program stands behind two dashes: softstop -- CMD"),
];

/// Flags as other tools call them, those of tini and dumb-init among them.
const FLAGS: &[(&str, &str)] = &[
    ("-v", "--log-level debug says more, -V prints the version"),
    ("--verbose", "did you mean --log-level debug?"),
    ("--debug", "did you mean --log-level debug?"),
    ("-q", "did you mean --log-level error?"),
    ("--quiet", "did you mean --log-level error?"),
    ("-w", "what tini warns of upon -w, softstop says without"),
    ("-r", "did you mean --rewrite?"),
    ("--single-child", "signals go to the process alone unless --group is given"),
    ("--timeout", "did you mean --grace?"),
    ("--stop-timeout", "did you mean --grace?"),
    ("--grace-period", "did you mean --grace?"),
    ("--signal", "did you mean --stop-signal?"),
    ("--listen", "did you mean --http?"),
    ("--port", "did you mean --http?"),
    ("-f", "did you mean -c?"),
    ("--file", "did you mean --config?"),
    ("-d", "softstop stays in the foreground"),
    ("--detach", "softstop stays in the foreground"),
    ("--daemon", "softstop stays in the foreground"),
    ("--user", "it runs as who started it: the image's USER; a configuration has user for each process"),
    ("--env", "it hands down its own environment; a configuration has env for each process"),
    ("--workdir", "it stays where it was started; a configuration has working_dir for each process"),
];

/// So many characters of a command line are shown.
const SHOWN: usize = 200;

/// `--grace 5s run` as `run --grace 5s`. `None`: no command stands behind flags.
pub(super) fn command_first(typed: &[OsString]) -> Option<(Known, Vec<OsString>)> {
    let at = position(typed).filter(|at| *at > 0)?;
    let known = commands::find(&typed[at])?;
    Some((known, [&typed[at..=at], &typed[..at], &typed[at + 1..]].concat()))
}

/// Where the first word stands that is neither a flag nor a flag's value; `None`: there is none before the two dashes.
fn position(typed: &[OsString]) -> Option<usize> {
    let takes_value = |flag: &str| {
        let mut all = commands::all().map(Known::args).chain([WRAPPER.to_vec()]);
        all.find_map(|flags| flag_of(&flags, flag)).is_some_and(|flag| flag.takes != Takes::Nothing)
    };
    let mut at = 0;
    while let Some(text) = typed.get(at).map(|arg| arg.to_string_lossy()) {
        let value_follows = match text.strip_prefix("--") {
            Some("") => return None,
            Some(_) => !text.contains('=') && takes_value(&text),
            None if text.len() > 1 && text.starts_with('-') => {
                // -gs QUIT: the first that takes a value takes the rest, or what follows.
                let letters: Vec<char> = text.chars().skip(1).collect();
                let taker = letters.iter().position(|letter| takes_value(&format!("-{letter}")));
                taker.is_some_and(|taker| taker + 1 == letters.len())
            }
            None => return Some(at),
        };
        at += 1 + usize::from(value_follows);
    }
    None
}

fn flag_of(flags: &[&'static Flag], typed: &str) -> Option<&'static Flag> {
    let bare = typed.split('=').next().unwrap_or(typed);
    let mut flags = flags.iter().filter(|flag| flag.place.is_none());
    let found = flags.find(|flag| match bare.strip_prefix("--") {
        Some(long) => flag.long == long,
        None => flag.short.is_some_and(|short| bare.strip_prefix('-').is_some_and(|rest| rest.starts_with(short))),
    });
    found.copied()
}

/// A flag as it is named in a sentence; an argument without one as it stands in the usage.
fn shown(flag: &Flag) -> String {
    if flag.place.is_none() { format!("--{}", flag.long) } else { flag.value.to_owned() }
}

/// Words as a shell would be given them.
pub(super) fn line(words: &[OsString]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+\u{fffd}".contains(c);
    let quoted = words.iter().map(|word| {
        let word = word.to_string_lossy();
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    let all = text::sentence(&quoted.collect::<Vec<_>>().join(" "));
    if all.chars().count() <= SHOWN { all } else { all.chars().take(SHOWN).chain(" …".chars()).collect() }
}

/// What is said of it: what is wrong, and what to type. `typed`: all of it but softstop's own name.
pub(super) fn said(refusal: &Refusal, here: Option<Known>, typed: &[OsString]) -> String {
    let lines = lines(refusal, here, typed);
    let help = match here {
        Some(here) => format!("softstop {} --help", here.name()),
        None => "softstop --help".to_owned(),
    };
    let (first, more) = lines.split_first().map_or(("", &[][..]), |(first, more)| (first, more));
    let notes: String = more.iter().map(|line| format!("note: {line}\n")).collect();
    let first = text::sentence(first);
    // What was typed is shown again, and may have a token in it.
    secrets::mask(&format!("error: {first}\n{notes}\nFor more information, try '{help}'.\n")).into_owned()
}

fn lines(refusal: &Refusal, here: Option<Known>, typed: &[OsString]) -> Vec<String> {
    let one = |line: String| vec![line];
    match refusal {
        Refusal::Unknown(arg) => flag(here, &arg.to_string_lossy()),
        Refusal::Surplus(arg) => match here {
            Some(here) => surplus(here, &arg.to_string_lossy(), typed),
            None => no_program(&arg.to_string_lossy(), typed),
        },
        Refusal::Missing(flag) => match here {
            Some(here) => one(format!("softstop {} needs {}: {}", here.name(), flag.value, help::usage(here))),
            None => nothing_to_run(typed),
        },
        Refusal::NoValue(flag) => one(format!("{0} needs a value: {0} {1}", shown(flag), flag.value)),
        Refusal::Value(flag, value) => {
            one(format!("{} takes no value: what is {}?", shown(flag), line(std::slice::from_ref(value))))
        }
        Refusal::Twice(flag) => one(format!("{} stands there twice: leave one out", shown(flag))),
        Refusal::Both(_, one_file, other, other_file) if other.stands_for.is_some() => {
            let [one_file, other_file] = [one_file, other_file].map(|file| file.to_string_lossy());
            one(format!("two configuration files, {one_file} and {other_file}: leave one out"))
        }
        Refusal::Both(this, _, that, _) => {
            one(format!("{} and {} do not go together: leave one out", shown(that), shown(this)))
        }
        Refusal::Alone(flag, other) => one(format!("{} goes with --{other}, which is not there", shown(flag))),
        Refusal::Wrong(flag, value, why, from) => {
            let variable =
                (*from == From::Variable).then(|| format!("the value comes from the variable {}", flag.variable));
            std::iter::once(wrong(flag, value, why)).chain(variable).collect()
        }
        Refusal::HelpOn(Some(word)) => vec![no_topic(word), format!("there are also {}", help::topics().join(", "))],
        Refusal::Help | Refusal::Version | Refusal::HelpOn(None) => Vec::new(),
    }
}

fn of_table(table: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == word).map(|(_, what)| *what)
}

/// A flag that is not there, or not here.
fn flag(here: Option<Known>, typed: &str) -> Vec<String> {
    let flag = typed.split('=').next().unwrap_or(typed);
    let owners: Vec<&str> =
        commands::visible().filter(|c| flag_of(&c.args(), flag).is_some()).map(Known::name).collect();
    if let Some((here, known)) = here.zip(flag_of(WRAPPER, flag)) {
        return vec![if here.name() == "run" {
            format!("{flag} is a flag of the wrapper: in the configuration {}", known.in_file)
        } else {
            let run = if owners.contains(&"run") { " and softstop run" } else { "" };
            format!("{flag} is no flag of softstop {}, but of the wrapper{run}", here.name())
        }];
    }
    let others_word = of_table(FLAGS, flag).filter(|_| here.is_none());
    if let Some(first) = owners.first().filter(|_| others_word.is_none()) {
        let others: Vec<&str> = owners.iter().copied().take(2).collect();
        let more = if owners.len() > 2 { " and others" } else { "" };
        let whose = here.map_or("the wrapper".to_owned(), |c| format!("softstop {}", c.name()));
        return vec![format!(
            "{flag} is no flag of {whose}, but of softstop {}{more}: softstop {first} {flag} …",
            others.join(if owners.len() > 2 { ", " } else { " and " })
        )];
    }
    let advice = others_word.map(str::to_owned).or_else(|| {
        let long = flag.strip_prefix("--")?.to_lowercase().replace('_', "-");
        let flags = here.map_or_else(|| WRAPPER.to_vec(), Known::args);
        let names = flags.iter().filter(|flag| flag.place.is_none()).map(|flag| flag.long).chain(["help", "version"]);
        nearest(&long, names).map(|near| format!("did you mean --{near}?"))
    });
    vec![match advice {
        Some(advice) => format!("there is no flag {flag}: {advice}"),
        None => format!("there is no flag {flag}"),
    }]
}

/// Neither a command nor a topic.
fn no_topic(typed: &str) -> String {
    match nearest(typed, help::topics()) {
        Some(near) => format!("there is no command {typed}: did you mean softstop help {near}?"),
        None => no_command(typed),
    }
}

fn no_command(typed: &str) -> String {
    match (of_table(COMMANDS, typed), nearest(typed, commands::visible().map(Known::name))) {
        (Some(advice), _) => format!("there is no command {typed}: {advice}"),
        (None, Some(near)) => format!("there is no command {typed}: did you mean softstop {near}?"),
        (None, None) => format!("there is no command {typed}"),
    }
}

/// Neither a command nor a program behind the dashes.
fn no_program(arg: &str, typed: &[OsString]) -> Vec<String> {
    if typed.iter().any(|arg| arg == "--") {
        return vec![format!("{arg} stands before the two dashes, where only flags are")];
    }
    let at = position(typed).unwrap_or(0);
    let (flags, program) = typed.split_at(at);
    let dashes = [flags, &["--".into()], program].concat();
    let name = program.first().map_or_else(String::new, |name| line(std::slice::from_ref(name)));
    vec![no_command(arg), format!("to run {name}, write two dashes before it: softstop {}", line(&dashes))]
}

/// More words than the command takes.
fn surplus(here: Known, arg: &str, typed: &[OsString]) -> Vec<String> {
    let name = here.name();
    let takes_file = here.args().iter().any(|flag| flag.stands_for == Some("config"));
    vec![match name {
        "run" => {
            let program = line(typed.get(1..).unwrap_or_default());
            format!("softstop run takes one file: what is {arg}? to run a program: softstop -- {program}")
        }
        _ if takes_file => format!("softstop {name} takes one file: what is {arg}?"),
        _ => format!("softstop {name} takes no argument {arg}"),
    }]
}

fn nothing_to_run(typed: &[OsString]) -> Vec<String> {
    let why = if typed.last().is_some_and(|last| last == "--") {
        "nothing stands behind the two dashes: there is no program to run"
    } else {
        "there is no program to run"
    };
    let how = "softstop [FLAGS] -- CMD… runs a program, softstop run [FILE] what a configuration says; an image's CMD stands behind its ENTRYPOINT";
    vec![why.to_owned(), how.to_owned()]
}

/// A value that is none of the flag's.
fn wrong(flag: &Flag, value: &OsString, why: &Why) -> String {
    let (name, value) = (shown(flag), line(std::slice::from_ref(value)));
    match why {
        Why::Empty => format!("{name} cannot be empty: write a {}", flag.value),
        Why::Other(why) => format!("{name} cannot be {value}: {why}"),
        Why::Words(words) => {
            let begins = |word: &&str| {
                word.len() > 2 && (value.starts_with(word) || value.len() > 2 && word.starts_with(&value))
            };
            let all = || words.iter().copied();
            match (all().find(begins).or_else(|| nearest(&value, all())), words.split_last()) {
                (Some(near), _) => format!("{name} cannot be {value}: did you mean {near}?"),
                (None, Some((last, rest))) => format!("{name} cannot be {value}: write {} or {last}", rest.join(", ")),
                (None, None) => format!("{name} cannot be {value}"),
            }
        }
    }
}
