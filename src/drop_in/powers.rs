//! What one of softstop's settings changes under another program's name: the wrapper comes in, or `run`, and that program's options are put into
//! softstop's words. Pure.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::names::Name;
use super::program::{Says, Variables};
use super::{catatonit, dumb_init, tini};
use crate::cli::variables;
use crate::config::check::values;
use crate::signal::Signal;

/// Where the configuration is: `run` reads it.
const CONFIG: &str = "SOFTSTOP_CONFIG";

/// softstop's own command line for that one; `None`: it stays what it is called.
///
/// # Errors
/// The exit code of a program that says something and ends.
pub fn command_line(
    name: Name,
    args: &[OsString],
    variable: Variables<'_>,
    says: &mut Says,
) -> Result<Option<Vec<OsString>>, u8> {
    let mut its = Translation { flags: Vec::new(), untold: Vec::new(), variable };
    let Some(command) = its.translate(name, args, says)? else { return Ok(None) };
    let program = command.first().map(OsString::as_os_str).unwrap_or_default();
    // They are that one's, which does not get them from a softstop in front of it.
    if Path::new(program).file_name() == Some(OsStr::new("softstop")) {
        return Ok(None);
    }
    let mut line: Vec<OsString> = vec!["softstop".into()];
    if is_set(variable, CONFIG) {
        line.push("run".into());
        for flag in its.flags {
            if variables::is_of_the_wrapper_alone(flag.variable) {
                its.untold.push(format!("--{} (write it into the configuration)", flag.long));
            } else {
                line.push(flag.line());
            }
        }
        its.untold.push(format!("the program {} ({CONFIG} says what runs)", program.to_string_lossy()));
    } else {
        line.extend(its.flags.into_iter().map(Flag::line));
        line.push("--".into());
        line.extend(command);
    }
    for what in its.untold {
        says.err(format!("softstop: not used, as softstop's settings are set: {what}\n"));
    }
    Ok(Some(line))
}

/// A flag of softstop's, by its variable, and its value.
struct Flag {
    variable: &'static str,
    long: &'static str,
    value: String,
}

impl Flag {
    fn line(self) -> OsString {
        format!("--{}={}", self.long, self.value).into()
    }
}

struct Translation<'a> {
    flags: Vec<Flag>,
    /// What has no counterpart.
    untold: Vec<String>,
    variable: Variables<'a>,
}

fn is_set(variable: Variables<'_>, name: &str) -> bool {
    variable(name).is_some_and(|value| !value.is_empty())
}

impl Translation<'_> {
    /// The command that is to run, once its options are flags. `None`: it runs none.
    fn translate(&mut self, name: Name, args: &[OsString], says: &mut Says) -> Result<Option<Vec<OsString>>, u8> {
        match name {
            Name::Tini => {
                let settings = tini::settings(args, self.variable, says)?;
                let level = match settings.level {
                    0 => Some("error"),
                    1 | 2 => None,
                    _ => Some("debug"),
                };
                self.flags("SOFTSTOP_LOG_LEVEL", level);
                self.flags("SOFTSTOP_SIGNAL_TO", settings.group.then_some("group"));
                self.flags(
                    "SOFTSTOP_PARENT_DEATH_SIGNAL",
                    settings.parent_death_signal.map(|signal| signal.to_string()),
                );
                self.flags("SOFTSTOP_EXIT_CODE_MAP", settings.expected.iter().map(|code| format!("{code}=0")));
                if settings.warns_of_reaped {
                    self.untold.push("tini's -w (orphans are counted: softstop status)".to_owned());
                }
                Ok(Some(settings.command))
            }
            Name::DumbInit => {
                let settings = dumb_init::settings(args, self.variable, says)?;
                self.flags("SOFTSTOP_LOG_LEVEL", settings.debug.then_some("debug"));
                self.flags("SOFTSTOP_SIGNAL_TO", settings.setsid.then_some("group"));
                self.rewrite(settings.rewrite);
                Ok(Some(settings.command))
            }
            Name::Catatonit => {
                let settings = catatonit::settings(args, self.variable, says)?;
                if settings.pause {
                    says.err(
                        "softstop: catatonit -P runs nothing that could be drained: softstop's settings change nothing\n",
                    );
                    return Ok(None);
                }
                self.flags("SOFTSTOP_LOG_LEVEL", settings.debug.then_some("debug"));
                self.flags("SOFTSTOP_SIGNAL_TO", settings.group.then_some("group"));
                Ok(Some(settings.command))
            }
        }
    }

    /// One for each value. A setting of softstop's own wins.
    fn flags(&mut self, variable: &'static str, values: impl IntoIterator<Item: Into<String>>) {
        if let Some(long) = variables::flag(variable).filter(|_| !is_set(self.variable, variable)) {
            let flag = |value: _| Flag { variable, long, value };
            self.flags.extend(values.into_iter().map(Into::into).map(flag));
        }
    }

    fn rewrite(&mut self, rewrite: impl IntoIterator<Item = (Signal, Option<Signal>)>) {
        for (from, to) in rewrite {
            let pair = format!("{}:{}", from.number(), to.map_or(0, Signal::number));
            match values::rewritten(&from.to_string()) {
                Ok(_) => self.flags("SOFTSTOP_REWRITE", [pair]),
                Err(wrong) => self.untold.push(format!("dumb-init's -r {pair} ({})", wrong.sentence)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::Stream;
    use super::super::program::tests::{on, says};
    use super::*;

    fn line(name: Name, line: &str, set: &[(&str, &str)]) -> (Result<Option<String>, u8>, String) {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        let mut says = says();
        let line = command_line(name, &args, &variable, &mut says);
        let line = line.map(|line| line.map(|line| line.join(" ".as_ref()).into_string().unwrap()));
        (line, on(&says, Stream::Err))
    }

    fn translated(name: Name, typed: &str, set: &[(&str, &str)]) -> String {
        let (line, said) = line(name, typed, set);
        assert_eq!(said, "", "{typed}");
        line.unwrap().unwrap()
    }

    #[test]
    fn options_become_softstops_own() {
        let tini = |typed: &str| translated(Name::Tini, typed, &[]);
        assert_eq!(tini("tini -s -- app -x"), "softstop -- app -x");
        assert_eq!(
            tini("tini -gvvv -e 143 -e5 -p SIGKILL app"),
            "softstop --log-level=debug --signal-to=group --parent-death-signal=SIGKILL --exit-code=143=0 --exit-code=5=0 -- app"
        );
        assert_eq!(translated(Name::Tini, "tini x", &[("TINI_VERBOSITY", "0")]), "softstop --log-level=error -- x");
        assert_eq!(translated(Name::DumbInit, "d x -v", &[]), "softstop --signal-to=group -- x -v");
        assert_eq!(
            translated(Name::DumbInit, "d -c -r 15:3 -r 1:0 x", &[]),
            "softstop --rewrite=1:0 --rewrite=15:3 -- x"
        );
        assert_eq!(translated(Name::DumbInit, "d -cv x", &[]), "softstop --log-level=debug -- x");
        assert_eq!(translated(Name::Catatonit, "c -g -- x", &[]), "softstop --signal-to=group -- x");
    }

    #[test]
    fn softstops_own_settings_win() {
        let set = [("SOFTSTOP_SIGNAL_TO", "process"), ("SOFTSTOP_LOG_LEVEL", "warn")];
        assert_eq!(translated(Name::Tini, "tini -gvvv app", &set), "softstop -- app");
    }

    #[test]
    fn what_has_no_counterpart_is_said() {
        let (typed, said) = line(Name::Tini, "tini -w app", &[]);
        assert_eq!(typed, Ok(Some("softstop -- app".to_owned())));
        assert!(said.contains("not used") && said.contains("-w"), "{said}");
        let (typed, said) = line(Name::DumbInit, "d -c -r 9:1 -r 2:3 app", &[]);
        assert_eq!(typed, Ok(Some("softstop --rewrite=2:3 -- app".to_owned())));
        assert!(said.contains("-r 9:1 (SIGKILL is not passed on"), "{said}");
        let (typed, said) = line(Name::Tini, "tini -e 143 -g -- app", &[("SOFTSTOP_CONFIG", "/x.toml")]);
        assert_eq!(typed, Ok(Some("softstop run --exit-code=143=0".to_owned())));
        assert!(said.contains("--signal-to") && said.contains("the program app"), "{said}");
    }

    #[test]
    fn a_pause_a_softstop_behind_it_and_a_mistake_stay_the_programs() {
        let (typed, said) = line(Name::Catatonit, "c -P", &[]);
        assert_eq!((typed, said.lines().count()), (Ok(None), 1));
        assert_eq!(line(Name::Tini, "tini -- /softstop run", &[]), (Ok(None), String::new()));
        assert_eq!(line(Name::Tini, "tini --version", &[]).0, Err(0));
        assert_eq!(line(Name::Tini, "tini -p x app", &[]).0, Err(1));
    }
}
