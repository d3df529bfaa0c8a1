//! The grammar that clap reads by, made of the declared flags, commands and orders, and what it has read on the way back. Pure, but for the
//! variables, which clap reads.

use std::ffi::OsStr;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Cli;
use super::commands::{self, COMMANDS};
use super::declare::{Flag, Form, Group, Place, Row, Takes};
use super::flags::{Behind, Common, Own, Wrapper};
use crate::endpoint;
use crate::order::Order;

const ABOUT: &str = "\
The first process in a container: starts what it runs, answers the orchestrator's probes,
and ends everything inside the grace budget, in order, with an account of what happened.";

const AFTER: &str = "\
Examples:
  softstop -- nginx -g 'daemon off;'         as an entrypoint, in place of tini
  softstop --grace 30s --drain auto --http 9180 --readiness http://localhost:8080/ -- /app
  softstop run softstop.toml                 several processes, hooks, probes, an ordered drain
  softstop check softstop.toml               every mistake in a config, with line, column and fix
  softstop check --pod deployment.yaml       where a Kubernetes manifest and the config disagree
  softstop drain                             in a preStop hook: drain, then return
  softstop probe ready                       as Docker's HEALTHCHECK: exit code 0 or 1
  softstop as tini -s -- /app                as tini, dumb-init or catatonit, also by link

Durations have a unit: 500ms, 30s, 1m30s. Signals are names or numbers: SIGTERM, TERM, 15.

Exit codes: the main process's own, 128+n when signal n ended it; 64 wrong command line,
70 softstop's own failure, 78 wrong configuration, 126 not executable, 127 not found.
Of orders to a running softstop: 0 done, 1 refused, 69 none answers, 77 not permitted.";

/// All that can be typed.
pub fn grammar() -> Command {
    let orders: Vec<&str> = Order::ALL.iter().map(|order| order.name).collect();
    let usage = format!(
        "softstop [FLAGS] -- CMD...\n       softstop run [FILE]\n       softstop check [FILE] [--pod FILE]\n       \
         softstop manifest [FILE | -- ARGS]\n       softstop status | {}\n       softstop probe TARGET\n       \
         softstop as tini [ARGS]",
        orders.join(" | ")
    );
    let root = Command::new("softstop")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .max_term_width(100)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .next_line_help(true)
        .override_usage(usage)
        .args(args::<Common>())
        .args(args::<Own>())
        .args(args::<Behind>());
    COMMANDS.iter().fold(root, |root, command| {
        let subcommand = |name, help| Command::new(name).about(lines(help)).next_line_help(true);
        if command.name.is_empty() {
            let order = |order: &'static crate::order::Described| {
                subcommand(order.name, order.help).args(commands::args_of(order))
            };
            return root.subcommands(Order::ALL.iter().map(order));
        }
        root.subcommand(subcommand(command.name, command.help).hide(command.hidden).args((command.args)()))
    })
}

impl Cli {
    /// What was read by the [`grammar`].
    pub(super) fn of(read: &ArgMatches) -> Cli {
        let wrapper = Wrapper { common: given(read), own: given(read), cmd: given::<Behind>(read).cmd };
        Cli { wrapper, command: read.subcommand().and_then(|(name, given)| commands::of(name, given)) }
    }
}

/// The flags of a group, for the grammar.
pub(super) fn args<G: Group>() -> Vec<Arg> {
    G::ROWS.iter().map(arg).collect()
}

pub(super) fn arg<G: Group>(row: &'static Row<G>) -> Arg {
    let flag = &row.flag;
    let arg = Arg::new(flag.id).hide(flag.hidden);
    let arg = match flag.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::One => arg.action(ArgAction::Set).value_parser(parser(row)),
        Takes::Several => arg.action(ArgAction::Append).value_parser(parser(row)),
    };
    let arg = match flag.place {
        None => arg.long(flag.long),
        Some(Place::Optional) => arg,
        Some(Place::Required) => arg.required(true),
        Some(Place::Last) => arg.last(true).num_args(1..),
        Some(Place::LastRequired) => arg.last(true).required(true).num_args(1..),
    };
    named(arg, flag)
}

fn named(arg: Arg, flag: &'static Flag) -> Arg {
    let mut arg = arg.short(flag.short).help_heading(flag.heading);
    if !flag.help.is_empty() {
        arg = arg.help(lines(flag.help));
    }
    if !flag.value.is_empty() {
        arg = arg.value_name(flag.value);
    }
    if !flag.variable.is_empty() {
        arg = arg.env(flag.variable).hide_env_values(true);
    }
    if let Form::Words(_) = flag.form {
        arg = arg.hide_possible_values(true);
    }
    if flag.commas {
        arg = arg.value_delimiter(',');
    }
    if let Some(other) = flag.conflicts {
        arg = arg.conflicts_with(other);
    }
    if let Some(other) = flag.requires {
        arg = arg.requires(other);
    }
    arg
}

/// What holds a value against its row, for clap's messages; the value itself is read by [`given`].
fn parser<G: Group>(row: &'static Row<G>) -> ValueParser {
    let set = row.set;
    match row.flag.form {
        Form::Text => ValueParser::new(move |text: &str| set(&mut G::default(), OsStr::new(text))),
        Form::Path => ValueParser::path_buf(),
        Form::Any => ValueParser::os_string(),
        Form::Words(words) => PossibleValuesParser::new(words).into(),
    }
}

/// The settings of a group out of what was read.
pub(super) fn given<G: Group>(read: &ArgMatches) -> G {
    let mut group = G::default();
    for Row { flag, set } in G::ROWS {
        // Not every command has all of a group.
        if !matches!(read.try_contains_id(flag.id), Ok(true)) {
            continue;
        }
        // They were checked when they were read: nothing is lost.
        if flag.takes != Takes::Nothing {
            let values = read.get_raw(flag.id).into_iter().flatten();
            values.for_each(|value| drop(set(&mut group, value)));
        } else if read.get_flag(flag.id) {
            let _ = set(&mut group, OsStr::new(""));
        }
    }
    group
}

/// A declaration's text as it is shown: each line has a space before it, and `{endpoints}` are those that are served.
fn lines(help: &str) -> String {
    let help = help.replace("{endpoints}", &endpoint::served());
    help.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        grammar().debug_assert();
    }

    #[test]
    fn everything_behind_the_dashes_is_the_command() {
        let read = grammar().try_get_matches_from(["softstop", "--", "run", "--grace", "-c"]).unwrap();
        let cli = Cli::of(&read);
        assert!(cli.command.is_none());
        assert_eq!(cli.wrapper.cmd.len(), 3);
    }
}
