//! clap's grammar, made of the declared flags, commands and orders: for shell completions and manual pages (`examples/pages.rs`), and to hold
//! softstop's own reader against (`tests/pages/reader.rs`). The binary has no clap.

use std::ffi::OsString;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use softstop::cli::commands::{self, Known};
use softstop::cli::declare::{Flag, Form, Place, Takes};
use softstop::cli::{flags, help};

/// All that users see.
pub fn grammar() -> Command {
    with_commands(flags::WRAPPER.to_vec())
}

/// For the shells' completions: zsh takes the first word for the program behind the dashes when it knows of that, and never for a command.
pub fn without_program() -> Command {
    with_commands(flags::WRAPPER.iter().copied().filter(|flag| flag.place.is_none()).collect())
}

fn with_commands(flags: Vec<&'static Flag>) -> Command {
    let root = Command::new("softstop")
        .version(env!("CARGO_PKG_VERSION"))
        .about(help::ABOUT)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .args(flags.into_iter().map(arg));
    commands::visible().fold(root, |root, command| root.subcommand(of(command)))
}

/// A command's, a hidden one's too.
pub fn of(command: Known) -> Command {
    let of = Command::new(command.name()).about(help::said(command.help()));
    of.args(command.args().into_iter().map(arg))
}

fn arg(flag: &'static Flag) -> Arg {
    let arg =
        Arg::new(flag.id).hide(flag.hidden).short(flag.short).help_heading(flag.heading).help(help::said(flag.help));
    let arg = match flag.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::One => arg.action(ArgAction::Set).value_parser(parser(flag)),
        Takes::Several => arg.action(ArgAction::Append).value_parser(parser(flag)),
    };
    let several = flag.takes == Takes::Several;
    let mut arg = match flag.place {
        None => arg.long(flag.long),
        Some(Place::Optional | Place::Required) => {
            let arg = arg.required(flag.place == Some(Place::Required));
            if several { arg.num_args(1..) } else { arg }
        }
        Some(Place::Last) => arg.last(true).num_args(1..),
        Some(Place::LastRequired) => arg.last(true).required(true).num_args(1..),
    };
    if !flag.value.is_empty() {
        arg = arg.value_name(flag.value);
    }
    if flag.form == Form::Path {
        arg = arg.value_hint(ValueHint::FilePath);
    }
    if let Form::Words(_) = flag.form {
        arg = arg.hide_possible_values(true);
    }
    if flag.commas {
        arg = arg.value_delimiter(',');
    }
    let other = [flag.conflicts, flag.stands_for].into_iter().flatten();
    arg = arg.conflicts_with_all(other);
    match flag.requires {
        Some(other) => arg.requires(other),
        None => arg,
    }
}

/// The form alone: what else may be wrong with a value, only its own reader knows.
fn parser(flag: &'static Flag) -> ValueParser {
    match flag.form {
        Form::Text => ValueParser::string(),
        Form::Path => ValueParser::path_buf(),
        Form::Any => ValueParser::os_string(),
        Form::Words(words) => PossibleValuesParser::new(words).into(),
    }
}

/// What clap has read of these flags, value by value; what stands behind the dashes apart.
pub fn values(read: &ArgMatches, flags: &[&'static Flag]) -> (Vec<(&'static Flag, OsString)>, Vec<OsString>) {
    let (mut all, mut behind) = (Vec::new(), Vec::new());
    for flag in flags {
        if flag.takes == Takes::Nothing {
            all.extend(read.get_flag(flag.id).then(|| (*flag, OsString::new())));
            continue;
        }
        let values = read.get_raw(flag.id).into_iter().flatten().map(OsString::from);
        match flag.place {
            Some(Place::Last | Place::LastRequired) => behind.extend(values),
            _ => all.extend(values.map(|value| (*flag, value))),
        }
    }
    (all, behind)
}

/// The wrapper's alone: where a word is no command.
pub fn wrapper() -> Command {
    Command::new("softstop").version(env!("CARGO_PKG_VERSION")).args(flags::WRAPPER.iter().copied().map(arg))
}
