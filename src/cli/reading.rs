//! From what was typed to a [`Cli`], or to what is said instead: help, the version, or what is wrong with it and what to type.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::commands::{self, Asked, Known};
use super::declare::Group;
use super::flags::{self, Behind, Common, Wrapper};
use super::reader::{self, Refusal, Variables, given};
use super::{Cli, advice, help, variables};
use crate::exit;

/// What is said instead of doing anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageText {
    /// Lines; the last one ends.
    pub text: String,
    /// [`exit::OK`] for help and the version, which go to standard output, else [`exit::USAGE`].
    pub code: u8,
}

/// Reads a command line; `args[0]` is the program's own name. Arguments may be any bytes.
///
/// # Errors
/// Help and the version where they were asked for, and everything that is no command line of softstop's.
pub fn read(args: &[OsString]) -> Result<Cli, UsageText> {
    read_in(args, &std::env::vars_os().collect::<Vec<_>>(), &|| help::WIDTH)
}

/// As [`read`]; `environment` is this process's, which is long, and read once; `width` says how long a line of help may be.
///
/// # Errors
/// As [`read`].
pub fn read_in(
    args: &[OsString],
    environment: &[(OsString, OsString)],
    width: &dyn Fn() -> usize,
) -> Result<Cli, UsageText> {
    // Of some thirty variables that are asked for most environments have none.
    let ours: Vec<_> = environment.iter().filter(|(name, _)| variables::is_ours(name)).collect();
    let value = |name: &'static str| ours.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    read_by(args, (!ours.is_empty()).then_some(&value), width)
}

/// Reads a command line as another environment would have it read: `env` has the variables, not this process.
///
/// # Errors
/// As [`read`].
pub fn read_with(args: &[OsString], env: &dyn Fn(&str) -> Option<String>) -> Result<Cli, UsageText> {
    read_by(args, Some(&|name| env(name).map(OsString::from)), &|| help::WIDTH)
}

fn read_by(args: &[OsString], variables: Variables<'_>, width: &dyn Fn() -> usize) -> Result<Cli, UsageText> {
    let typed = args.get(1..).unwrap_or_default();
    let word = typed.first().filter(|first| !first.as_bytes().starts_with(b"-"));
    let refused = |refusal: &Refusal, here: Option<Known>, typed: &[OsString]| said(refusal, here, typed, width());
    if let Some(command) = word.and_then(|word| commands::find(word)) {
        return of_command(command, &typed[1..], variables).map_err(|refusal| refused(&refusal, Some(command), typed));
    }
    match wrapper(typed, variables) {
        Ok(wrapper) => Ok(Cli { wrapper, command: None }),
        Err(refusal) => {
            match advice::command_first(typed).filter(|_| !matches!(refusal, Refusal::Help | Refusal::Version)) {
                Some((command, moved)) => of_command(command, &moved[1..], variables)
                    .map_err(|refusal| refused(&refusal, Some(command), &moved)),
                None => Err(refused(&refusal, None, typed)),
            }
        }
    }
}

fn wrapper(typed: &[OsString], variables: Variables<'_>) -> Result<Wrapper, Refusal> {
    let read = reader::read(flags::WRAPPER, true, typed, variables)?;
    let wrapper = Wrapper { common: given(&read), own: given(&read), cmd: given::<Behind>(&read).cmd };
    read.wrong().map_or(Ok(wrapper), Err)
}

/// `typed`: what stands behind its name.
fn of_command(command: Known, typed: &[OsString], variables: Variables<'_>) -> Result<Cli, Refusal> {
    let read = reader::read(&command.args(), false, typed, variables)?;
    let meant = command.command(&read).ok_or_else(|| Refusal::HelpOn(given::<Asked>(&read).topic));
    match read.wrong() {
        Some(refusal) => Err(refusal),
        None => Ok(Cli { wrapper: Wrapper::default(), command: Some(meant?) }),
    }
}

/// Whether what was typed, which may be refused, is to run something: it is no order to, and no question about, another softstop.
pub fn would_run(args: &[OsString]) -> bool {
    let is_other = |arg: &OsString| commands::find(arg).is_some_and(|command| command.name() != "run");
    !args.iter().skip(1).take_while(|arg| *arg != "--").any(is_other)
}

/// Where the termination message goes when what was typed is refused: as the flag or its variable has it, if they say.
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

fn said(refusal: &Refusal, here: Option<Known>, typed: &[OsString], width: usize) -> UsageText {
    let fine = |text| UsageText { text, code: exit::OK };
    match refusal {
        Refusal::Help => fine(here.map_or_else(|| help::all(width), |here| help::of(here, width))),
        Refusal::Version => fine(help::version()),
        Refusal::HelpOn(None) => fine(help::all(width)),
        Refusal::HelpOn(Some(word)) if help::on(word, width).is_some() => {
            fine(help::on(word, width).unwrap_or_default())
        }
        // Elsewhere it is the short form of --version; with a program behind it, it is tini's and means something else.
        _ if typed == ["-v"] => fine(help::version()),
        _ => UsageText { text: advice::said(refusal, here, typed), code: exit::USAGE },
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::*;
    use crate::cli::Command;
    use crate::cli::declare::Flag;
    use crate::config::LogLevel;

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
            Command::Plan(plan) => plan.file.config,
            Command::Drill(drill) => drill.file.config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_refused_has_its_termination_message_where_the_flag_says_and_orders_have_none() {
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
        for command in ["run", "check", "manifest", "drill", "plan"] {
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
        assert_eq!((run.common.grace.is_some(), run.common.log_level), (true, Some(LogLevel::Debug)));
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
            assert_eq!(run.local.cmd, cmd, "{line}");
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
            ("--grace -- true", "--grace needs a value: --grace DURATION"),
            ("--grace -g -- true", "--grace needs a value: --grace DURATION"),
            ("check -c", "--config needs a value: --config FILE"),
            ("--grace 1s --grace 2s -- true", "--grace stands there twice: leave one out"),
            ("-gg -- true", "--group stands there twice: leave one out"),
            ("--group=yes -- true", "--group takes no value: what is yes?"),
            ("--group --signal-to group -- true", "--group and --signal-to do not go together: leave one out"),
            ("check --pod a --here", "--here and --pod do not go together: leave one out"),
            ("check --container web", "--container goes with --pod, which is not there"),
            ("--report= -- true", "--report cannot be empty: write a FILE"),
            ("--forced-exit-code 256 -- true", "--forced-exit-code cannot be 256: 256 is not in 0..=255"),
            ("--stop-on TERM,INTT -- true", "--stop-on cannot be INTT: unknown signal \"INTT\": did you mean SIGINT?"),
            ("signal web", "softstop signal needs SIG: softstop signal NAME SIG"),
            ("probe", "softstop probe needs TARGET: softstop probe TARGET"),
            ("--hepl", "there is no flag --hepl: did you mean --help?"),
            ("help signal-s", "there is no command signal-s: did you mean softstop help signals?"),
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
        let names = |flags: Vec<&'static Flag>| {
            flags.into_iter().filter(|flag| flag.place.is_none()).map(|flag| flag.long).collect::<Vec<_>>()
        };
        let of_run = names(commands::find("run".as_ref()).unwrap().args());
        let alone: Vec<&str> =
            names(flags::WRAPPER.to_vec()).into_iter().filter(|name| !of_run.contains(name)).collect();
        assert!(alone.len() >= 8, "{alone:?}");
        for name in alone {
            let said = error(&format!("run --{name}"));
            assert!(said.starts_with(&format!("--{name} is a flag of the wrapper: ")), "{said}");
            assert!(said.contains("configuration"), "{said}: the flag has no in_file");
        }
        let said = error("run -s TERM");
        assert!(said.contains("-s is a flag of the wrapper: in the configuration"), "{said}");
    }
}
