//! tini 0.19: its flags, variables, messages and exit codes. Pure.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::getopt::{Found, Getopt, Grammar, split};
use super::numbers::{atoi, whole};
use super::program::{
    ChildMask, Errno, Fate, Place, Program, Says, Setup, Step, Stream, Subreaper, Then, Tty, Variables,
};
use crate::facts::Exit;
use crate::signal::Signal;
use crate::sys::mask::{FAULTS, SignalSet};

/// `dockerd` looks for the first two words, and shows what follows.
pub const VERSION: &str = "tini version 0.19.0_softstop";
const GRAMMAR: Grammar = Grammar { short: "p:hvwgle:s", long: &[], permutes: true };
/// Those it leaves to the kernel, its C library and the terminal; KILL and STOP cannot be taken.
const NOT_TAKEN: SignalSet =
    FAULTS.union(SignalSet::of(&[libc::SIGTTIN, libc::SIGTTOU, libc::SIGKILL, libc::SIGSTOP, 32, 33]));
const WARN: u32 = 1;
const INFO: u32 = 2;
const DEBUG: u32 = 3;
const TRACE: u32 = 4;

/// What its command line and its variables amount to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// 0: nothing but what ends it; 1 to 4: with warnings, info, debug, trace.
    pub level: u32,
    pub subreaper: bool,
    pub group: bool,
    pub warns_of_reaped: bool,
    pub parent_death_signal: Option<Signal>,
    /// Of the child; they become 0.
    pub expected: Vec<u8>,
    pub command: Vec<OsString>,
}

/// Reads `args` and the variables that `variable` has; or it says something and ends.
///
/// # Errors
/// The exit code, when there is nothing to run.
pub fn settings(args: &[OsString], variable: Variables<'_>, says: &mut Says) -> Result<Settings, u8> {
    let (name, typed) = split(args);
    if typed == ["--version"] {
        return Err(says.ends(Stream::Out, format!("{VERSION}\n"), 0));
    }
    let mut its = Settings { level: WARN, ..Settings::default() };
    let mut getopt = Getopt::new(GRAMMAR, typed, variable("POSIXLY_CORRECT").is_some());
    for found in getopt.by_ref() {
        match found {
            Found::Option('h', _) => return Err(says.ends(Stream::Out, help(&name), 0)),
            Found::Option('l', _) => return Err(says.ends(Stream::Out, LICENCE, 0)),
            Found::Option(flag, value) => {
                let value = value.unwrap_or_default();
                if its.take(flag, &value).is_none() {
                    fatal(says, &format!("Not a valid option for -{flag}: {value}"));
                    return Err(1);
                }
            }
            Found::Wrong(why) => {
                return Err(says.ends(Stream::Err, format!("{name}: {why}\n{}", help(&name)), 1));
            }
        }
    }
    its.command = getopt.operands();
    if its.command.is_empty() {
        return Err(says.ends(Stream::Err, help(&name), 1));
    }
    its.subreaper |= variable("TINI_SUBREAPER").is_some();
    its.group |= variable("TINI_KILL_PROCESS_GROUP").is_some();
    if let Some(level) = variable("TINI_VERBOSITY") {
        // Below zero is everything.
        its.level = atoi(&level.to_string_lossy()).cast_unsigned();
    }
    Ok(its)
}

impl Settings {
    /// One option that says nothing; `None`: its value is none.
    fn take(&mut self, flag: char, value: &str) -> Option<()> {
        match flag {
            's' => self.subreaper = true,
            'v' => self.level = self.level.wrapping_add(1),
            'w' => self.warns_of_reaped = true,
            'g' => self.group = true,
            'p' => self.parent_death_signal = Some(death_signal(value)?),
            _ => self.expected.push(u8::try_from(whole(value)?).ok()?),
        }
        Some(())
    }
}

/// `-p` knows these by their full names in capitals.
fn death_signal(text: &str) -> Option<Signal> {
    let known = (1..=15).chain(17..=28).chain([31]);
    known.filter_map(Signal::from_number).find(|signal| signal.to_string() == text)
}

fn fatal(says: &mut Says, text: &str) {
    says.err(format!("[FATAL tini ({})] {text}\n", says.pid));
}

fn help(name: &str) -> String {
    let name = Path::new(name).file_name().unwrap_or(OsStr::new(name)).to_string_lossy();
    format!(
        "{name} ({VERSION})\n\
         Usage: {name} [OPTIONS] PROGRAM -- [ARGS] | --version\n\n\
         Runs PROGRAM, passes signals on to it, reaps what ends, and exits with its code.\n\
         This is softstop, which takes tini's options under this name; with SOFTSTOP_GRACE or\n\
         another of its settings it also drains: softstop --help.\n\n\
         Options:\n\n  \
           --version: The version, and nothing else.\n  \
           -h: This.\n  \
           -s: Adopt orphans as a child subreaper, when not PID 1.\n  \
           -p SIGNAL: Get SIGNAL (e.g. SIGKILL) when the parent ends.\n  \
           -v: Say more; up to three times.\n  \
           -w: Warn of each process that is reaped.\n  \
           -g: Send signals to PROGRAM's process group.\n  \
           -e EXIT_CODE: Exit with 0 where it would be EXIT_CODE (0 to 255).\n  \
           -l: The licence.\n\n\
         Variables:\n\n  \
           TINI_SUBREAPER: As -s.\n  \
           TINI_VERBOSITY: How much is said, in place of -v (default: 1).\n  \
           TINI_KILL_PROCESS_GROUP: As -g.\n\n"
    )
}

const LICENCE: &str = "This is softstop under tini's name: MIT OR Apache-2.0, at your option.\n";

const NOT_REAPING: &str = "Tini is not running as PID 1 and isn't registered as a child subreaper.\n\
    Zombie processes will not be re-parented to Tini, so zombie reaping won't work.\n\
    To fix the problem, use the -s option or set the environment variable TINI_SUBREAPER to register Tini as a child subreaper, or run Tini as PID 1.";

pub(super) struct Tini {
    setup: Setup,
    level: u32,
    warns_of_reaped: bool,
    expected: Vec<u8>,
}

impl Tini {
    pub(super) fn new(its: Settings) -> Tini {
        let setup = Setup {
            command: its.command,
            taken: SignalSet::ALL.without(NOT_TAKEN),
            ignored: SignalSet::of(&[libc::SIGTTIN, libc::SIGTTOU]),
            place: Place::Group,
            tty: Tty::Foreground,
            mask: ChildMask::Inherited(SignalSet::EMPTY),
            subreaper: if its.subreaper { Subreaper::Asked } else { Subreaper::Never },
            parent_death_signal: its.parent_death_signal,
            to_group: its.group,
            ..Setup::default()
        };
        Tini { setup, level: its.level, warns_of_reaped: its.warns_of_reaped, expected: its.expected }
    }

    fn warn(&self, says: &mut Says, text: &str) {
        if self.level >= WARN {
            says.err(format!("[WARN  tini ({})] {text}\n", says.pid));
        }
    }

    /// On standard output, which waits for the end unless it is a terminal.
    fn tell(&self, level: u32, says: &mut Says, text: impl FnOnce() -> String) {
        if self.level >= level {
            let word = match level {
                INFO => "INFO ",
                DEBUG => "DEBUG",
                _ => "TRACE",
            };
            says.out(format!("[{word} tini ({})] {}\n", says.pid, text()));
        }
    }
}

impl Program for Tini {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn step(&mut self, step: Step, result: Result<(), Errno>, says: &mut Says) -> Option<u8> {
        let Err(errno) = result else {
            if step == Step::Subreaper {
                self.tell(TRACE, says, || "Registered as child subreaper".to_owned());
            }
            return None;
        };
        let why = (says.error_text)(errno);
        match step {
            Step::ParentDeathSignal => fatal(says, "Failed to set up parent death signal"),
            Step::Subreaper if errno == libc::EINVAL => {
                fatal(says, "PR_SET_CHILD_SUBREAPER is unavailable on this platform. Are you using Linux >= 3.4?");
            }
            Step::Subreaper => fatal(says, &format!("Failed to register as child subreaper: {why}")),
            Step::Reaping => {
                self.warn(says, NOT_REAPING);
                return None;
            }
            Step::Fork => fatal(says, &format!("fork failed: {why}")),
            Step::OwnGroup => fatal(says, &format!("setpgid failed: {why}")),
            Step::Foreground if errno == libc::ENOTTY || errno == libc::ENXIO => {
                let what = if errno == libc::ENOTTY { "no tty" } else { "no such device" };
                self.tell(DEBUG, says, || format!("tcsetpgrp failed: {what} (ok to proceed)"));
                return None;
            }
            Step::Foreground => fatal(says, &format!("tcsetpgrp failed: {why}")),
            Step::Exec => {
                let program = self.setup.command.first().map(|p| p.to_string_lossy()).unwrap_or_default();
                fatal(says, &format!("exec {program} failed: {why}"));
                return Some(match errno {
                    libc::ENOENT => 127,
                    libc::EACCES => 126,
                    _ => 1,
                });
            }
            Step::LettingGoOfTty | Step::OpenTty | Step::OwnSession | Step::TakingTty | Step::Leaving => return None,
        }
        Some(1)
    }

    fn spawned(&mut self, pid: i32, says: &mut Says) {
        let program = self.setup.command.first().map(|p| p.to_string_lossy()).unwrap_or_default();
        self.tell(INFO, says, || format!("Spawned child process '{program}' with pid '{pid}'"));
    }

    fn signal(&mut self, signal: Signal, says: &mut Says) -> Fate {
        if signal == Signal::CHLD {
            self.tell(DEBUG, says, || "Received SIGCHLD".to_owned());
            return Fate::Reaps;
        }
        let text = says.signal_text;
        self.tell(DEBUG, says, || format!("Passing signal: '{}'", text(signal)));
        Fate::Forwarded(signal, Then::Reaps)
    }

    fn sent(&mut self, _: Signal, _: Then, result: Result<(), Errno>, _to: i32, says: &mut Says) -> Option<u8> {
        match result {
            Ok(()) => None,
            Err(libc::ESRCH) => {
                self.warn(says, "Child was dead when forwarding signal");
                None
            }
            Err(errno) => {
                let why = (says.error_text)(errno);
                fatal(says, &format!("Unexpected error when forwarding signal: '{why}'"));
                Some(1)
            }
        }
    }

    fn ended(&mut self, pid: i32, exit: Exit, main: bool, says: &mut Says) {
        self.tell(DEBUG, says, || format!("Reaped child with pid: '{pid}'"));
        let text = says.signal_text;
        match exit {
            Exit::Code(code) if main => {
                self.tell(INFO, says, || format!("Main child exited normally (with status '{code}')"));
            }
            Exit::Signal { signal, .. } if main => {
                self.tell(INFO, says, || format!("Main child exited with signal (with signal '{}')", text(signal)));
            }
            _ if self.warns_of_reaped => self.warn(says, &format!("Reaped zombie process with pid={pid}")),
            _ => {}
        }
    }

    fn nobody(&mut self, alone: bool, says: &mut Says) {
        let what = if alone { "wait" } else { "reap" };
        self.tell(TRACE, says, || format!("No child to {what}"));
    }

    fn over(&mut self, exit: Exit, says: &mut Says) -> u8 {
        self.tell(TRACE, says, || "Exiting: child has exited".to_owned());
        let code = exit.code();
        if self.expected.contains(&code) { 0 } else { code }
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::tests::{on, says};
    use super::*;

    /// What the real one is not easily brought to; all else is held against it in tests/drop_in/tini.rs.
    #[test]
    fn a_failed_exec_ends_the_child_as_a_shell_would_say_it() {
        let args = ["tini", "app"].map(OsString::from);
        let mut tini = Tini::new(settings(&args, &|_| None, &mut says()).unwrap());
        for (errno, code) in [(libc::ENOENT, 127), (libc::EACCES, 126), (libc::ENOTDIR, 1), (libc::ELOOP, 1)] {
            let mut says = says();
            assert_eq!(tini.step(Step::Exec, Err(errno), &mut says), Some(code));
            assert!(on(&says, Stream::Err).starts_with("[FATAL tini (7)] exec app failed: "));
        }
        assert_eq!(tini.sent(Signal::HUP, Then::Reaps, Err(libc::EPERM), 5, &mut says()), Some(1));
        assert_eq!(tini.sent(Signal::HUP, Then::Reaps, Err(libc::ESRCH), 5, &mut says()), None);
    }
}
