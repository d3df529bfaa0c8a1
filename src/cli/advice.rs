//! What to type instead of a command line that is none of softstop's: near names, flags in the wrong place, other tools' words. Pure;
//! what is there it asks of the grammar, so that nothing is listed twice.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::declare::Group;
use super::flags::Own;
use super::grammar::grammar;
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
    ("reload", "did you mean softstop signal NAME HUP?"),
    ("logs", "the output is the container's log: kubectl logs, docker logs"),
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

/// `softstop --grace 5s run` as `softstop run --grace 5s`. `None`: no command stands behind flags.
pub(super) fn command_first(args: &[OsString]) -> Option<Vec<OsString>> {
    let root = grammar();
    let at = position(&root, args.get(1..)?)? + 1;
    root.find_subcommand(args.get(at)?).filter(|_| at > 1)?;
    let (before, behind) = (args.get(1..at)?, args.get(at + 1..)?);
    Some([&args[..1], &args[at..=at], before, behind].concat())
}

/// Where the first word stands that is neither a flag nor a flag's value; `None`: there is none before the two dashes.
fn position(root: &clap::Command, typed: &[OsString]) -> Option<usize> {
    let takes_value = |flag: &str| {
        let all = root.get_subcommands().chain([root]);
        all.into_iter().find_map(|command| flag_of(command, flag)).is_some_and(|arg| arg.get_action().takes_values())
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

fn flag_of<'c>(command: &'c clap::Command, flag: &str) -> Option<&'c clap::Arg> {
    let bare = flag.split('=').next().unwrap_or(flag);
    command.get_arguments().find(|arg| match bare.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| bare.strip_prefix('-').is_some_and(|rest| rest.starts_with(short))),
    })
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

/// What is said instead of clap's words, where more is known than clap knows.
pub(super) fn instead(error: &clap::Error, typed: &[OsString]) -> Option<String> {
    let root = grammar();
    let here = typed.first().and_then(|first| root.find_subcommand(first));
    let behind_help = typed.first().is_some_and(|first| first == "help");
    let lines = match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => {
            let arg =
                [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].iter().find_map(|kind| text(error, *kind))?;
            if arg.starts_with('-') && arg.len() > 1 {
                flag(&root, here, &arg)
            } else if let Some(here) = here {
                surplus(here, &arg, typed)
            } else if behind_help {
                vec![no_command(&root, &arg)]
            } else {
                no_program(&root, &arg, typed)
            }
        }
        ErrorKind::MissingRequiredArgument if here.is_none() && !behind_help => nothing_to_run(typed),
        ErrorKind::TooFewValues | ErrorKind::InvalidValue
            if here.is_none() && typed.last().is_some_and(|last| last == "--") =>
        {
            nothing_to_run(typed)
        }
        ErrorKind::InvalidValue => wrong_word(error)?,
        _ => return None,
    };
    let help = match here {
        Some(here) => format!("softstop {} --help", here.get_name()),
        None => "softstop --help".to_owned(),
    };
    let (first, more) = lines.split_first()?;
    let notes: String = more.iter().map(|line| format!("note: {line}\n")).collect();
    let first = text::sentence(first);
    // What was typed is shown again, and may have a token in it.
    Some(secrets::mask(&format!("error: {first}\n{notes}\nFor more information, try '{help}'.\n")).into_owned())
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn of_table(table: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == word).map(|(_, what)| *what)
}

/// A flag that is not there, or not here.
fn flag(root: &clap::Command, here: Option<&clap::Command>, typed: &str) -> Vec<String> {
    let flag = typed.split('=').next().unwrap_or(typed);
    let current = here.unwrap_or(root);
    let owners: Vec<&str> = root
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && flag_of(c, flag).is_some())
        .map(clap::Command::get_name)
        .collect();
    let wrappers = here.and_then(|_| flag_of(root, flag));
    if let Some(arg) = wrappers {
        let name = arg.get_long().unwrap_or_default();
        return vec![if current.get_name() == "run" {
            let row = Own::ROWS.iter().find(|row| row.flag.long == name);
            let words = row.map(|row| row.flag.in_file).unwrap_or_default();
            format!("{flag} is a flag of the wrapper: in the configuration {words}")
        } else {
            let run = if owners.contains(&"run") { " and softstop run" } else { "" };
            format!("{flag} is no flag of softstop {}, but of the wrapper{run}", current.get_name())
        }];
    }
    let others_word = of_table(FLAGS, flag).filter(|_| here.is_none());
    if let Some(first) = owners.first().filter(|_| others_word.is_none()) {
        let others: Vec<&str> = owners.iter().copied().take(2).collect();
        let more = if owners.len() > 2 { " and others" } else { "" };
        let whose = here.map_or("the wrapper".to_owned(), |c| format!("softstop {}", c.get_name()));
        return vec![format!(
            "{flag} is no flag of {whose}, but of softstop {}{more}: softstop {first} {flag} …",
            others.join(if owners.len() > 2 { ", " } else { " and " })
        )];
    }
    let advice = others_word.map(str::to_owned).or_else(|| {
        let long = flag.strip_prefix("--")?.to_lowercase().replace('_', "-");
        let names = current.get_arguments().filter_map(clap::Arg::get_long);
        nearest(&long, names).map(|near| format!("did you mean --{near}?"))
    });
    vec![match advice {
        Some(advice) => format!("there is no flag {flag}: {advice}"),
        None => format!("there is no flag {flag}"),
    }]
}

fn no_command(root: &clap::Command, typed: &str) -> String {
    let visible = root.get_subcommands().filter(|c| !c.is_hide_set()).map(clap::Command::get_name).chain(["help"]);
    match (of_table(COMMANDS, typed), nearest(typed, visible)) {
        (Some(advice), _) => format!("there is no command {typed}: {advice}"),
        (None, Some(near)) => format!("there is no command {typed}: did you mean softstop {near}?"),
        (None, None) => format!("there is no command {typed}"),
    }
}

/// Neither a command nor a program behind the dashes.
fn no_program(root: &clap::Command, arg: &str, typed: &[OsString]) -> Vec<String> {
    if typed.iter().any(|arg| arg == "--") {
        return vec![format!("{arg} stands before the two dashes, where only flags are")];
    }
    let at = position(root, typed).unwrap_or(0);
    let (flags, program) = typed.split_at(at);
    let dashes = [flags, &["--".into()], program].concat();
    let name = program.first().map_or_else(String::new, |name| line(std::slice::from_ref(name)));
    vec![no_command(root, arg), format!("to run {name}, write two dashes before it: softstop {}", line(&dashes))]
}

/// More words than the command takes.
fn surplus(here: &clap::Command, arg: &str, typed: &[OsString]) -> Vec<String> {
    let name = here.get_name();
    let takes_file = here.get_arguments().any(|a| a.get_id() == "named");
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

/// A word that is none of a flag's few.
fn wrong_word(error: &clap::Error) -> Option<Vec<String>> {
    let ContextValue::Strings(valid) = error.get(ContextKind::ValidValue)? else { return None };
    let (arg, value) = (text(error, ContextKind::InvalidArg)?, text(error, ContextKind::InvalidValue)?);
    let flag = arg.split([' ', '=']).next().unwrap_or(&arg);
    if valid.is_empty() || value.is_empty() {
        return None;
    }
    let begins =
        |word: &&str| word.len() > 2 && (value.starts_with(word) || value.len() > 2 && word.starts_with(&value));
    let words = || valid.iter().map(String::as_str);
    let near = words().find(begins).or_else(|| nearest(&value, words()));
    let advice = match (near, valid.split_last()) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, Some((last, rest))) if !rest.is_empty() => format!("write {} or {last}", rest.join(", ")),
        _ => return None,
    };
    Some(vec![format!("{flag} cannot be {value}: {advice}")])
}
