//! From what was typed to a [`Cli`], or to what is said instead: help, the version, or what is wrong with it and what to type.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::ArgMatches;
use clap::error::{ContextKind, ErrorKind};
use clap::parser::ValueSource;

use super::declare::{Form, Group};
use super::flags::Common;
use super::grammar::grammar;
use super::{Cli, Command, advice, quick, variables};
use crate::config::secrets;
use crate::exit;

/// What is said instead of doing anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageText {
    /// Lines; the last one ends.
    pub text: String,
    /// [`exit::OK`] for help and the version, which go to standard output, else [`exit::USAGE`].
    pub code: u8,
}

/// Reads a command line; `args[0]` is the program's own name. Arguments may be any bytes. What is plainly a program to run is read without
/// clap.
///
/// # Errors
/// Help and the version where they were asked for, and everything that is no command line of softstop's.
pub fn read(args: &[OsString]) -> Result<Cli, UsageText> {
    read_in(args, &std::env::vars_os().collect::<Vec<_>>())
}

/// As [`read`]; `environment` is this process's, which is long, and read once.
///
/// # Errors
/// As [`read`].
pub fn read_in(args: &[OsString], environment: &[(OsString, OsString)]) -> Result<Cli, UsageText> {
    // Of some thirty variables that are asked for most environments have none.
    let ours: Vec<_> = environment.iter().filter(|(name, _)| variables::is_ours(name)).collect();
    let value = |name: &str| ours.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    match quick::read(args, &|name| value(name)) {
        Some(wrapper) => Ok(Cli { wrapper, command: None }),
        None => read_by_grammar(args),
    }
}

/// As [`read`], by clap alone.
///
/// # Errors
/// As [`read`].
pub fn read_by_grammar(args: &[OsString]) -> Result<Cli, UsageText> {
    parse(args, &|| without_empty_variables(grammar())).and_then(|matches| understand(&matches))
}

/// Reads a command line as another environment would have it read: `env` has the variables, not this process.
///
/// # Errors
/// As [`read`].
pub fn read_with(args: &[OsString], env: &dyn Fn(&str) -> Option<String>) -> Result<Cli, UsageText> {
    let args = advice::command_first(args).unwrap_or_else(|| args.to_vec());
    let matches = parse(&args, &without_variables)?;
    let command = grammar();
    // A variable is the flag that it stands for, where that is not given: before the program, behind the command.
    let (meant, given, at) = match matches.subcommand() {
        Some((name, given)) => (command.find_subcommand(name).unwrap_or(&command), given, 2),
        None => (&command, &matches, 1),
    };
    let mut all = args;
    for arg in meant.get_arguments() {
        let (Some(flag), Some(variable)) = (arg.get_long(), arg.get_env().and_then(OsStr::to_str)) else { continue };
        let beside = flag == "config" && given.contains_id("named");
        let value = env(variable).filter(|v| !v.is_empty() || !is_silent(arg)).filter(|_| !beside);
        if let (Some(value), None) = (value, given.value_source(arg.get_id().as_str())) {
            all.insert(at.min(all.len()), OsString::from(format!("--{flag}={value}")));
        }
    }
    parse(&all, &without_variables).and_then(|matches| understand(&matches))
}

/// `command` makes the grammar; it is made again for what takes a second try.
fn parse(args: &[OsString], command: &dyn Fn() -> clap::Command) -> Result<ArgMatches, UsageText> {
    command().try_get_matches_from(args).or_else(|error| match advice::command_first(args) {
        Some(moved) => parse(&moved, command),
        None => Err(said(&error, args)),
    })
}

/// What the grammar alone does not say.
fn understand(matches: &ArgMatches) -> Result<Cli, UsageText> {
    let mut cli = Cli::of(matches);
    let given = matches.subcommand().map(|(_, given)| given);
    let by_flag = given.is_some_and(|given| {
        // Not every command has a file.
        matches!(given.try_contains_id("config"), Ok(true))
            && given.value_source("config") == Some(ValueSource::CommandLine)
    });
    if let Some((named, file)) = cli.command.as_mut().and_then(Command::named)
        && let Some(named) = named.take()
    {
        if by_flag {
            let (one, two) = (file.take().unwrap_or_default(), named);
            return Err(usage(&format!(
                "two configuration files, {} and {}: leave one out",
                one.display(),
                two.display()
            )));
        }
        *file = Some(named);
    }
    Ok(cli)
}

impl Command {
    /// The file that is named without a flag, and the one with.
    fn named(&mut self) -> Option<(&mut Option<PathBuf>, &mut Option<PathBuf>)> {
        let (named, file) = match self {
            Command::Run(run) => (&mut run.named, &mut run.file),
            Command::Check(check) => (&mut check.named, &mut check.file),
            Command::Manifest(manifest) => (&mut manifest.named, &mut manifest.file),
            _ => return None,
        };
        Some((&mut named.named, &mut file.config))
    }
}

fn without_variables() -> clap::Command {
    let deaf = |arg: clap::Arg| arg.env(None::<&str>);
    grammar().mut_args(deaf).mut_subcommands(move |sub| sub.mut_args(deaf))
}

/// Whether what was typed, which may be refused, is to run something: it is no order to, and no question about, another softstop.
pub fn would_run(args: &[OsString]) -> bool {
    let command = grammar();
    let is_other = |arg: &OsString| command.get_subcommands().any(|c| c.get_name() != "run" && c.get_name() == arg);
    !args.iter().skip(1).take_while(|arg| *arg != "--").any(is_other)
}

/// Where the verdict goes when what was typed is refused: as the flag or its variable has it, if they say.
pub fn termination_log(args: &[OsString]) -> Option<PathBuf> {
    let known = &Common::ROWS.iter().find(|row| row.flag.id == "termination_log")?.flag;
    let mut own = args.iter().skip(1).take_while(|arg| *arg != "--");
    let flag = own.find_map(|arg| match arg.to_str()?.strip_prefix("--")?.strip_prefix(known.long)? {
        "" => Some(None),
        rest => rest.strip_prefix('=').map(|value| Some(OsString::from(value))),
    });
    let value = match flag {
        Some(inline) => inline.or_else(|| own.next().cloned()),
        None => std::env::var_os(known.variable),
    };
    value.map(PathBuf::from)
}

/// A variable that is set to nothing, as Compose and Kubernetes leave them, says nothing, but where an empty value means something: no
/// termination log.
fn is_silent(arg: &clap::Arg) -> bool {
    !Common::ROWS.iter().any(|row| arg.get_id() == row.flag.id && row.flag.form == Form::Any)
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let silent = |arg: clap::Arg| {
        let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty && is_silent(&arg) { arg.env(None::<&str>) } else { arg }
    };
    command.mut_args(silent).mut_subcommands(move |sub| sub.mut_args(silent))
}

/// A wrong command line, in one line.
fn usage(why: &str) -> UsageText {
    let why = secrets::mask(why);
    UsageText { text: format!("error: {why}\n\nFor more information, try 'softstop --help'.\n"), code: exit::USAGE }
}

/// What was wrong in `args`: clap's own words where they help, with softstop's exit code.
fn said(error: &clap::Error, args: &[OsString]) -> UsageText {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return UsageText { text: error.render().to_string(), code: exit::OK };
    }
    let typed = args.get(1..).unwrap_or_default();
    // Elsewhere it is the short form of --version; with a program behind it, it is tini's and means something else.
    if typed == ["-v"] {
        return UsageText { text: grammar().render_version(), code: exit::OK };
    }
    let mut text = advice::instead(error, typed).unwrap_or_else(|| error.render().to_string());
    text.truncate(text.trim_end().len());
    text.push('\n');
    if let Some(variable) = variable_behind(error, args) {
        text.push_str(&format!("note: the value comes from the variable {variable}\n"));
    }
    UsageText { text, code: exit::USAGE }
}

/// The `SOFTSTOP_` variable that a wrong value was taken from; clap names only the flag.
fn variable_behind(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let facts = |e: &clap::Error| {
        let context =
            [ContextKind::InvalidArg, ContextKind::InvalidValue].map(|kind| e.get(kind).map(ToString::to_string));
        (e.kind(), context)
    };
    let (kind, [flag, value]) = facts(error);
    let (flag, value) = (flag?, value?);
    // The same without any variable: then it was typed.
    let typed = without_variables().try_get_matches_from(args).err();
    if typed.is_some_and(|e| facts(&e) == (kind, [Some(flag.clone()), Some(value)])) {
        return None;
    }
    let flag = flag.split([' ', '=']).next()?.trim_start_matches('-');
    let command = grammar();
    let mut all = command.get_subcommands().chain([&command]).flat_map(clap::Command::get_arguments);
    let arg = all.find(|a| a.get_long() == Some(flag))?;
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;

    fn args(typed: &[&str]) -> Vec<OsString> {
        ["softstop"].iter().chain(typed).map(OsString::from).collect()
    }

    fn refused(args: &[&[u8]]) -> UsageText {
        let typed = args.iter().map(|a| OsStr::from_bytes(a).to_owned());
        read(&[OsString::from("softstop")].into_iter().chain(typed).collect::<Vec<_>>()).unwrap_err()
    }

    /// The first line.
    fn error(line: &str) -> String {
        let typed: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        let said = refused(&typed);
        assert_eq!(said.code, exit::USAGE, "{line}: {said:?}");
        assert!(said.text.contains("--help'"), "{line}: {said:?}");
        said.text.lines().next().unwrap().strip_prefix("error: ").unwrap().to_owned()
    }

    fn config_of(line: &str) -> Option<PathBuf> {
        let typed: Vec<&str> = line.split_whitespace().collect();
        match read(&args(&typed)).unwrap_or_else(|said| panic!("{line}: {}", said.text)).command.unwrap() {
            Command::Run(run) => run.file.config,
            Command::Check(check) => check.file.config,
            Command::Manifest(manifest) => manifest.file.config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_refused_has_its_verdict_where_the_flag_says_and_orders_have_none() {
        let typed = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, run, expected) in [
            ("softstop --nonsense -- x", true, None),
            ("softstop run --termination-log /a --nonsense", true, Some("/a")),
            ("softstop --termination-log=/b -- status", true, Some("/b")),
            ("softstop --termination-log= -- x", true, Some("")),
            ("softstop status --nonsense", false, None),
            ("softstop strat", true, None),
            ("softstop -- x --termination-log /c", true, None),
        ] {
            assert_eq!(would_run(&typed(line)), run, "{line}");
            assert_eq!(termination_log(&typed(line)).as_deref(), expected.map(std::path::Path::new), "{line}");
        }
    }

    /// `std::env::args` would panic: exit code 101 instead of 64.
    #[test]
    fn an_argument_that_is_not_utf8_is_a_usage_error_like_any_other() {
        for args in [&[&b"\xff"[..]][..], &[b"--\xff"], &[b"run", b"x", b"\xff"], &[b"--grace", b"\xff", b"--", b"x"]] {
            let said = refused(args);
            assert_eq!(said.code, exit::USAGE, "{said:?}");
            assert!(said.text.starts_with("error: ") && said.text.ends_with('\n'), "{said:?}");
        }
        assert!(refused(&[b"\xff"]).text.contains("note: to run \u{fffd}, write two dashes before it"));
    }

    #[test]
    fn help_is_no_error() {
        for line in ["--help", "-h", "--version", "-V", "-v", "help", "help run", "run --help", "--grace 5s run --help"]
        {
            let typed: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
            let said = refused(&typed);
            assert_eq!(said.code, exit::OK, "{line}: {said:?}");
        }
        assert_eq!(refused(&[b"-v"]), refused(&[b"--version"]));
        assert_eq!(refused(&[b"help", b"run"]), refused(&[b"run", b"--help"]));
    }

    #[test]
    fn a_file_is_named_with_a_flag_or_without() {
        for command in ["run", "check", "manifest"] {
            assert_eq!(config_of(&format!("{command} my.toml")).as_deref(), Some(Path::new("my.toml")));
            assert_eq!(config_of(&format!("{command} -c my.toml")).as_deref(), Some(Path::new("my.toml")));
            assert_eq!(config_of(command), None);
            let two = error(&format!("{command} a.toml -c b.toml"));
            assert_eq!(two, "two configuration files, b.toml and a.toml: leave one out");
        }
        // The variable of the container names one, too.
        let env = |name: &str| (name == "SOFTSTOP_CONFIG").then(|| "other.toml".to_owned());
        let read = |typed: &[&str]| match read_with(&args(typed), &env).unwrap().command {
            Some(Command::Run(run)) => run.file.config.unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(&["run", "my.toml"]), Path::new("my.toml"));
        assert_eq!(read(&["run"]), Path::new("other.toml"));
    }

    #[test]
    fn flags_before_the_command_are_taken_as_if_behind_it() {
        for line in [
            "--grace 5s run my.toml",
            "--grace=5s run -c my.toml",
            "-c my.toml run --grace 5s",
            "--grace 5s -cmy.toml run",
        ] {
            let typed: Vec<&str> = line.split_whitespace().collect();
            let Some(Command::Run(run)) =
                read(&args(&typed)).unwrap_or_else(|said| panic!("{line}: {}", said.text)).command
            else {
                panic!("{line}")
            };
            assert_eq!(run.common.grace, Some(std::time::Duration::from_secs(5)), "{line}");
            assert_eq!(run.file.config.as_deref(), Some(Path::new("my.toml")), "{line}");
        }
        let env = |name: &str| (name == "SOFTSTOP_LOG_LEVEL").then(|| "debug".to_owned());
        let Some(Command::Run(run)) = read_with(&args(&["--grace", "5s", "run"]), &env).unwrap().command else {
            panic!()
        };
        assert_eq!((run.common.grace.is_some(), run.common.log_level.as_deref()), (true, Some("debug")));
        assert!(error("--drain-sleep 5s run").starts_with("--drain-sleep is a flag of the wrapper"));
        // A value is no command, and what is behind the dashes is the program's.
        assert!(error("--output run").contains("--output"));
        assert!(read(&args(&["--grace", "5s", "--", "run"])).unwrap().command.is_none());
    }

    #[test]
    fn run_takes_a_program_behind_the_dashes_and_says_so_of_one_before_them() {
        for (line, cmd) in [("run -- npm start", &["npm", "start"][..]), ("run f.toml --", &[])] {
            let Some(Command::Run(run)) = read(&args(&line.split(' ').collect::<Vec<_>>())).unwrap().command else {
                panic!("{line}")
            };
            assert_eq!(run.cmd, cmd, "{line}");
        }
        let why = error("run npm start");
        assert_eq!(why, "softstop run takes one file: what is start? to run a program: softstop -- npm start");
    }

    #[test]
    fn a_misspelt_command_or_flag_says_what_was_meant() {
        for (line, said) in [
            ("strat", "there is no command strat: did you mean softstop start?"),
            ("stauts", "there is no command stauts: did you mean softstop status?"),
            ("help strat", "there is no command strat: did you mean softstop start?"),
            ("version", "there is no command version: softstop --version prints it"),
            ("validate x.toml", "there is no command validate: did you mean softstop check?"),
            ("--gracee 5s -- true", "there is no flag --gracee: did you mean --grace?"),
            ("status --jsn", "there is no flag --jsn: did you mean --json?"),
            ("check --Pod x", "there is no flag --Pod: did you mean --pod?"),
            ("-v -- true", "there is no flag -v: --log-level debug says more, -V prints the version"),
            ("--timeout 5s -- true", "there is no flag --timeout: did you mean --grace?"),
            ("--frobnicate", "there is no flag --frobnicate"),
            ("-c x.toml", "-c is no flag of the wrapper, but of softstop run, check and others: softstop run -c …"),
            ("check --grace 5s", "--grace is no flag of softstop check, but of the wrapper and softstop run"),
            ("--output prefx -- true", "--output cannot be prefx: did you mean prefix?"),
            ("--log-level warning -- true", "--log-level cannot be warning: did you mean warn?"),
            ("--log-level x -- true", "--log-level cannot be x: write error, warn, info or debug"),
            ("-g 5 -- true", "5 stands before the two dashes, where only flags are"),
            ("status web", "softstop status takes no argument web"),
            ("", "there is no program to run"),
            ("--grace 5s --", "nothing stands behind the two dashes: there is no program to run"),
        ] {
            assert_eq!(error(line), said, "softstop {line}");
        }
    }

    #[test]
    fn a_program_without_the_dashes_is_told_where_they_belong() {
        let text = |typed: &[&[u8]]| refused(typed).text;
        assert!(
            text(&[b"nginx", b"-g"]).contains("note: to run nginx, write two dashes before it: softstop -- nginx -g\n")
        );
        let behind = text(&[b"--grace", b"5s", b"nginx", b"-g", b"daemon off;"]);
        assert!(behind.contains("softstop --grace 5s -- nginx -g 'daemon off;'\n"), "{behind}");
        assert!(text(&[b"strat"]).contains("softstop -- strat\n"), "a program may be called so");
        assert!(!text(&[b"help", b"strat"]).contains("two dashes"));
        assert!(!text(&[b"--what"]).contains("two dashes"));
    }

    #[test]
    fn a_value_that_was_typed_is_not_said_to_come_from_a_variable() {
        for line in
            ["-s SIGFOO -- true", "-e 143:0 -- true", "-p FOO -- true", "-gs FOO -- true", "check -c", "--grace x run"]
        {
            let typed: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
            assert!(!refused(&typed).text.contains("variable"), "{line}: {}", refused(&typed).text);
        }
    }

    #[test]
    fn what_is_shown_again_has_no_token_in_it() {
        let secret = "c2VjcmV0LXNlY3JldA";
        for line in ["--prestop token:SECRET nginx", "--prestp=token:SECRET -- nginx", "run a token:SECRET"] {
            let line = line.replace("SECRET", secret);
            let typed: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
            let said = refused(&typed);
            assert!(!said.text.contains(secret), "{line}: {}", said.text);
        }
    }

    /// Every flag of the wrapper alone has its words for the file.
    #[test]
    fn a_flag_of_the_wrapper_behind_run_says_where_it_belongs() {
        let command = grammar();
        let run = command.find_subcommand("run").unwrap();
        let names =
            |c: &clap::Command| c.get_arguments().filter_map(|a| a.get_long().map(str::to_owned)).collect::<Vec<_>>();
        let alone: Vec<String> = names(&command).into_iter().filter(|name| !names(run).contains(name)).collect();
        assert!(alone.len() >= 8, "{alone:?}");
        for name in alone {
            let said = error(&format!("run --{name}"));
            assert!(said.starts_with(&format!("--{name} is a flag of the wrapper: ")), "{said}");
            assert!(said.contains("configuration"), "{said}: src/cli/advice.rs has a list");
        }
        let said = error("run -s TERM");
        assert!(said.contains("-s is a flag of the wrapper: in the configuration"), "{said}");
    }
}
