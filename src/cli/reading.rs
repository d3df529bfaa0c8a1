//! From what was typed to a [`Cli`], or to what is said instead: help, the version, or what is wrong with it.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use super::Cli;
use crate::exit;

/// What is said instead of doing anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Lines; the last one ends.
    pub text: String,
    /// [`exit::OK`] for help and the version, which go to standard output, else [`exit::USAGE`].
    pub code: u8,
}

/// Reads a command line; `args[0]` is the program's own name. Arguments may be any bytes.
///
/// # Errors
/// Help and the version where they were asked for, and everything that is no command line of softstop's.
pub fn read(args: &[OsString]) -> Result<Cli, Said> {
    let command = without_empty_variables(Cli::command());
    let parsed = command.try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m));
    parsed.map_err(|error| said(&error, args.get(1..).unwrap_or_default()))
}

/// Reads a command line as another environment would have it read: `env` has the variables, not this process.
///
/// # Errors
/// As [`read`].
pub fn read_with(args: &[OsString], env: &dyn Fn(&str) -> Option<String>) -> Result<Cli, Said> {
    let deaf = |arg: clap::Arg| arg.env(None::<&str>);
    let parse = |args: &[OsString]| {
        let command = Cli::command().mut_args(deaf).mut_subcommands(move |sub| sub.mut_args(deaf));
        command.try_get_matches_from(args).map_err(|error| said(&error, args.get(1..).unwrap_or_default()))
    };
    let matches = parse(args)?;
    let command = Cli::command();
    // A variable is the flag that it stands for, where that is not given: before the program, behind the command.
    let (meant, given, at) = match matches.subcommand() {
        Some((name, given)) => (command.find_subcommand(name).unwrap_or(&command), given, 2),
        None => (&command, &matches, 1),
    };
    let mut all = args.to_vec();
    for arg in meant.get_arguments() {
        let (Some(flag), Some(variable)) = (arg.get_long(), arg.get_env().and_then(OsStr::to_str)) else { continue };
        let value = env(variable).filter(|v| !v.is_empty() || arg.get_id() == "termination_log");
        if let (Some(value), None) = (value, given.value_source(arg.get_id().as_str())) {
            all.insert(at.min(all.len()), OsString::from(format!("--{flag}={value}")));
        }
    }
    let matches = parse(&all)?;
    Cli::from_arg_matches(&matches).map_err(|error| said(&error, &[]))
}

/// A variable that is set to nothing, as Compose and Kubernetes leave them, says nothing. Only an empty termination log
/// means something: none.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let silent = |arg: clap::Arg| {
        let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty && arg.get_id() != "termination_log" { arg.env(None::<&str>) } else { arg }
    };
    command.mut_args(silent).mut_subcommands(move |sub| sub.mut_args(silent))
}

/// clap's own words, with softstop's exit code and a note where clap cannot know what was meant.
fn said(error: &clap::Error, typed: &[OsString]) -> Said {
    let mut text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Said { text, code: exit::OK };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    if matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand)
        && let Some(program) = typed.first().filter(|first| is_program(first))
    {
        let program = program.to_string_lossy();
        text.push_str(&format!("note: to run {program}, write two dashes before it: softstop -- {program} …\n"));
    }
    if let Some(variable) = variable_behind(error, typed) {
        text.push_str(&format!("note: the value comes from the variable {variable}\n"));
    }
    Said { text, code: exit::USAGE }
}

/// Neither a flag nor a command of softstop's own.
fn is_program(typed: &OsStr) -> bool {
    !typed.as_encoded_bytes().starts_with(b"-") && Cli::command().get_subcommands().all(|c| c.get_name() != typed)
}

/// The `SOFTSTOP_` variable that a wrong value was taken from; clap names only the flag.
fn variable_behind(error: &clap::Error, typed: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = shown.split([' ', '=']).next()?.trim_start_matches('-');
    let names_it =
        |arg: &OsString| arg.to_str().is_some_and(|a| a.trim_start_matches('-').split('=').next() == Some(flag));
    if typed.iter().take_while(|a| *a != "--").any(names_it) {
        return None;
    }
    let command = Cli::command();
    let all = command.get_subcommands().chain([&command]).flat_map(clap::Command::get_arguments);
    let arg = all.into_iter().find(|a| a.get_long() == Some(flag))?;
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn refused(args: &[&[u8]]) -> Said {
        let typed = args.iter().map(|a| OsStr::from_bytes(a).to_owned());
        read(&[OsString::from("softstop")].into_iter().chain(typed).collect::<Vec<_>>()).unwrap_err()
    }

    /// `std::env::args` would panic: exit code 101 instead of 64.
    #[test]
    fn an_argument_that_is_not_utf8_is_a_usage_error_like_any_other() {
        for args in [&[&b"\xff"[..]][..], &[b"--\xff"], &[b"run", b"\xff"], &[b"--grace", b"\xff", b"--", b"x"]] {
            let said = refused(args);
            assert_eq!(said.code, exit::USAGE, "{said:?}");
            assert!(said.text.starts_with("error: ") && said.text.ends_with('\n'), "{said:?}");
        }
        assert!(refused(&[b"\xff"]).text.contains("note: to run \u{fffd}, write two dashes before it"));
    }

    #[test]
    fn only_a_program_is_told_of_the_dashes() {
        assert!(refused(&[b"nginx", b"-g"]).text.contains("note: to run nginx, write two dashes before it"));
        assert!(!refused(&[b"run", b"what"]).text.contains("two dashes"), "run is no program");
        assert!(!refused(&[b"--what"]).text.contains("two dashes"));
    }

    #[test]
    fn help_is_no_error() {
        for flag in [&b"--help"[..], b"-h", b"--version"] {
            assert_eq!(refused(&[flag]).code, exit::OK);
        }
    }
}
