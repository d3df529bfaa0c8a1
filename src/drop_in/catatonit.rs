//! catatonit 0.1.7: its flags, variables, messages and exit codes. Pure.

use std::ffi::OsString;

use super::getopt::{Found, Getopt, Grammar, Long, split};
use super::program::{
    ChildMask, Errno, Fate, Place, Program, Says, Setup, Step, Stream, Subreaper, Then, Tty, Variables,
};
use crate::facts::Exit;
use crate::signal::Signal;
use crate::sys::mask::{FAULTS, SignalSet};

/// `dockerd` looks for tini's two words, and shows what follows.
pub const VERSION: &str = "tini version 0.1.7_catatonit_softstop";
const GRAMMAR: Grammar =
    Grammar { short: "ghLPV", long: &[Long { name: "version", has_value: false, means: 'V' }], permutes: true };
const NOT_TAKEN: SignalSet = FAULTS.union(SignalSet::of(&[libc::SIGKILL, libc::SIGSTOP, 32, 33]));
/// Of a terminal in whose background it finds itself.
const OF_TTY: [Signal; 3] = [Signal::TSTP, Signal::TTOU, Signal::TTIN];
const USAGE: &str = "usage: catatonit [-ghLPV] [--] <progname> [<arguments>...]\n";

/// What its command line and its variables amount to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub debug: bool,
    pub group: bool,
    /// It runs nothing and waits for SIGINT or SIGTERM.
    pub pause: bool,
    pub command: Vec<OsString>,
}

#[derive(Clone, Copy)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

fn log(says: &mut Says, debug: bool, level: Level, text: &str) {
    let word = match level {
        Level::Error => "ERROR",
        Level::Warn if debug => "WARN",
        Level::Info if debug => "INFO",
        Level::Debug if debug => "DEBUG",
        _ => return,
    };
    says.err(format!("{word} (catatonit:{}): {text}\n", says.pid));
}

/// Reads `args` and the variables that `variable` has; or it says something and ends.
///
/// # Errors
/// The exit code, when there is nothing to run.
pub fn settings(args: &[OsString], variable: Variables<'_>, says: &mut Says) -> Result<Settings, u8> {
    let (name, typed) = split(args);
    let debug = variable("CATATONIT_DEBUG").is_some();
    let mut its = Settings { debug, group: false, pause: false, command: Vec::new() };
    if variable("CATATONIT_LOG").is_some() {
        log(says, its.debug, Level::Error, "CATATONIT_LOG is reserved for future use");
        return Err(1);
    }
    let mut getopt = Getopt::new(GRAMMAR, typed, variable("POSIXLY_CORRECT").is_some());
    for found in getopt.by_ref() {
        match found {
            Found::Option('g', _) => its.group = true,
            Found::Option('P', _) => its.pause = true,
            Found::Option('h', _) => return Err(says.ends(Stream::Err, format!("{USAGE}{HELP}"), 0)),
            Found::Option('L', _) => return Err(says.ends(Stream::Out, LICENCE, 0)),
            Found::Option(..) => return Err(says.ends(Stream::Out, format!("{VERSION}\n"), 0)),
            Found::Wrong(why) => return Err(says.ends(Stream::Err, format!("{name}: {why}\n{USAGE}"), 1)),
        }
    }
    its.command = getopt.operands();
    if its.command.is_empty() && !its.pause {
        log(says, its.debug, Level::Error, "missing program name");
        return Err(says.ends(Stream::Err, USAGE, 1));
    }
    Ok(its)
}

const HELP: &str = "\n\
    Runs a program, forwards signals to it, reaps what ends, and exits with its code.\n\
    This is softstop, which takes catatonit's options under this name; with SOFTSTOP_GRACE or\n\
    another of its settings it also drains: softstop --help.\n\n\
    options:\n  \
      -g              Forward signals to the program's process group.\n  \
      -h              This.\n  \
      -L              The licence.\n  \
      -P              Run nothing; wait for SIGINT or SIGTERM.\n  \
      -V, --version   The version.\n";

const LICENCE: &str = "This is softstop under catatonit's name: MIT OR Apache-2.0, at your option.\n";

pub(super) struct Catatonit {
    setup: Setup,
    debug: bool,
    pause: bool,
}

impl Catatonit {
    pub(super) fn new(its: Settings) -> Catatonit {
        let of_tty = SignalSet::of(&[libc::SIGTSTP, libc::SIGTTOU, libc::SIGTTIN]);
        let setup = Setup {
            command: if its.pause { Vec::new() } else { its.command },
            taken: SignalSet::ALL.without(NOT_TAKEN),
            place: Place::Group,
            tty: Tty::ForegroundOfControlling,
            // Its own doing, and its child's to live with: Ctrl-Z does nothing.
            mask: ChildMask::Inherited(of_tty),
            subreaper: Subreaper::UnlessInit,
            listen_pid: true,
            closes: true,
            to_group: its.group,
            ..Setup::default()
        };
        Catatonit { setup, debug: its.debug, pause: its.pause }
    }

    fn log(&self, says: &mut Says, level: Level, text: &str) {
        log(says, self.debug, level, text);
    }
}

impl Program for Catatonit {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn step(&mut self, step: Step, result: Result<(), Errno>, says: &mut Says) -> Option<u8> {
        let Err(errno) = result else { return None };
        let why = (says.error_text)(errno);
        match step {
            Step::Subreaper => self.log(says, Level::Error, &format!("failed to set child-reaper as non-pid1: {why}")),
            Step::Fork => {
                self.log(says, Level::Error, &format!("failed to fork child: {why}"));
                self.log(says, Level::Error, &format!("failed to spawn pid1: {why}"));
            }
            Step::OwnGroup => self.log(says, Level::Error, "failed to create process group"),
            Step::OpenTty => {
                self.log(says, Level::Info, &format!("using stdin as tty fd: could not open /dev/tty: {why}"));
                return None;
            }
            Step::Foreground if errno == libc::ENOTTY || errno == libc::EBADF => {
                let text = format!("setting foreground process failed: no tty present: {why}");
                self.log(says, Level::Debug, &text);
                return None;
            }
            Step::Foreground if errno == libc::ENXIO => {
                self.log(says, Level::Debug, "setting foreground process failed: no such device");
                return None;
            }
            Step::Foreground => self.log(says, Level::Error, &format!("setting foreground process failed: {why}")),
            Step::Exec => self.log(says, Level::Error, &format!("failed to exec pid1: {why}")),
            Step::ParentDeathSignal
            | Step::Reaping
            | Step::LettingGoOfTty
            | Step::OwnSession
            | Step::TakingTty
            | Step::Leaving => return None,
        }
        Some(1)
    }

    fn spawned(&mut self, pid: i32, says: &mut Says) {
        let program = self.setup.command.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        self.log(says, Level::Debug, &format!("pid1 ({pid}) spawned: {program}"));
    }

    fn signal(&mut self, signal: Signal, says: &mut Says) -> Fate {
        match signal {
            signal if OF_TTY.contains(&signal) => {
                self.log(says, Level::Debug, "ignoring kernel attempting to stop us: tty has TOSTOP set");
                Fate::Dropped
            }
            Signal::CHLD => Fate::Reaps,
            Signal::TERM | Signal::INT if self.pause => Fate::Ends(0),
            _ if self.pause => Fate::Dropped,
            signal => Fate::Forwarded(signal, Then::Nothing),
        }
    }

    fn sent(&mut self, signal: Signal, _: Then, result: Result<(), Errno>, to: i32, says: &mut Says) -> Option<u8> {
        if let Err(errno) = result {
            let (n, why) = (signal.number(), (says.error_text)(errno));
            self.log(says, Level::Warn, &format!("forwarding of signal {n} to pid1 ({to}) failed: {why}"));
        }
        None
    }

    fn ended(&mut self, pid: i32, exit: Exit, main: bool, says: &mut Says) {
        if main {
            return;
        }
        let how = match exit {
            Exit::Code(code) => format!("exited with code {code}"),
            Exit::Signal { signal, .. } => format!("exited due to signal {}", signal.number()),
        };
        self.log(says, Level::Debug, &format!("child process {pid} {how}"));
    }

    fn nobody(&mut self, alone: bool, says: &mut Says) {
        if alone {
            self.log(says, Level::Debug, "got ECHILD: no children left to monitor");
        }
    }

    fn over(&mut self, exit: Exit, _says: &mut Says) -> u8 {
        exit.code()
    }
}
