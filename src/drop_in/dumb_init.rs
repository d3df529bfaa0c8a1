//! dumb-init 1.2.5: its flags, variables, messages and exit codes. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::getopt::{Found, Getopt, Grammar, Long, split};
use super::numbers::two;
use super::program::{ChildMask, Errno, Fate, Place, Program, Says, Setup, Step, Stream, Then, Tty, Variables};
use crate::facts::Exit;
use crate::signal::Signal;
use crate::sys::mask::SignalSet;

pub const VERSION: &str = "dumb-init v1.2.5_softstop";
const GRAMMAR: Grammar = Grammar {
    short: "hvVcr:",
    long: &[
        Long { name: "help", has_value: false, means: 'h' },
        Long { name: "single-child", has_value: false, means: 'c' },
        Long { name: "rewrite", has_value: true, means: 'r' },
        Long { name: "verbose", has_value: false, means: 'v' },
        Long { name: "version", has_value: false, means: 'V' },
    ],
    permutes: false,
};
/// What it knows of: real-time signals cannot be rewritten.
const HIGHEST: i32 = 31;
/// Its C library keeps two for itself; KILL and STOP cannot be taken.
const NOT_TAKEN: SignalSet = SignalSet::of(&[libc::SIGKILL, libc::SIGSTOP, 32, 33]);
const SUSPENDING: [Signal; 3] = [Signal::TSTP, Signal::TTOU, Signal::TTIN];

/// What its command line and its variables amount to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub debug: bool,
    /// The child leads a session, and signals go to its group.
    pub setsid: bool,
    /// What is sent in place of a signal; `None`: nothing.
    pub rewrite: BTreeMap<Signal, Option<Signal>>,
    pub command: Vec<OsString>,
}

fn debug(says: &mut Says, on: bool, text: impl FnOnce() -> String) {
    if on {
        print(says, &text());
    }
}

fn print(says: &mut Says, text: &str) {
    says.err(format!("[dumb-init] {text}\n"));
}

/// Reads `args` and the variables that `variable` has; or it says something and ends.
///
/// # Errors
/// The exit code, when there is nothing to run.
pub fn settings(args: &[OsString], variable: Variables<'_>, says: &mut Says) -> Result<Settings, u8> {
    let (name, typed) = split(args);
    let mut its = Settings { debug: false, setsid: true, rewrite: BTreeMap::new(), command: Vec::new() };
    let mut getopt = Getopt::new(GRAMMAR, typed, false);
    for found in getopt.by_ref() {
        match found {
            Found::Option('h', _) => return Err(says.ends(Stream::Err, help(&name), 0)),
            Found::Option('V', _) => return Err(says.ends(Stream::Err, format!("{VERSION}\n"), 0)),
            Found::Option('v', _) => its.debug = true,
            Found::Option('c', _) => its.setsid = false,
            Found::Option(_, value) => {
                let Some((from, to)) = rewriting(&value.unwrap_or_default()) else {
                    return Err(says.ends(Stream::Err, REWRITE_USAGE, 1));
                };
                its.rewrite.insert(from, to);
            }
            Found::Wrong(why) => return Err(says.ends(Stream::Err, format!("{name}: {why}\n"), 1)),
        }
    }
    its.command = getopt.operands();
    if its.command.is_empty() {
        let usage = format!("Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n");
        return Err(says.ends(Stream::Err, usage, 1));
    }
    its.take_variables(variable, says);
    Ok(its)
}

impl Settings {
    /// They count as exactly one value, and more than the options do.
    fn take_variables(&mut self, variable: Variables<'_>, says: &mut Says) {
        if variable("DUMB_INIT_DEBUG").is_some_and(|value| value == "1") {
            self.debug = true;
            debug(says, true, || "Running in debug mode.".to_owned());
        }
        if variable("DUMB_INIT_SETSID").is_some_and(|value| value == "0") {
            self.setsid = false;
            debug(says, self.debug, || "Not running in setsid mode.".to_owned());
        }
    }
}

fn rewriting(text: &str) -> Option<(Signal, Option<Signal>)> {
    let (from, to) = two(text)?;
    let known = |n: i32| Signal::from_number(n).filter(|_| n <= HIGHEST);
    Some((known(from)?, if to == 0 { None } else { Some(known(to)?) }))
}

const REWRITE_USAGE: &str = "Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.\n\
    This option can be specified multiple times.\n\
    Use --help for full usage.\n";

fn help(name: &str) -> String {
    format!(
        "{VERSION}\n\
         Usage: {name} [option] command [[arg] ...]\n\n\
         Runs a command, forwards signals to its session, reaps what ends, and exits with its code.\n\
         This is softstop, which takes dumb-init's options under this name; with SOFTSTOP_GRACE or\n\
         another of its settings it also drains: softstop --help.\n\n\
         Options:\n   \
            -c, --single-child   Signals go to the command alone, which gets no session of its own.\n   \
            -r, --rewrite s:r    Forward signal r in place of s; none where r is 0. Several times.\n   \
            -v, --verbose        Say on standard error what is done.\n   \
            -h, --help           This.\n   \
            -V, --version        The version.\n"
    )
}

pub(super) struct DumbInit {
    setup: Setup,
    debug: bool,
    rewrite: BTreeMap<Signal, Option<Signal>>,
    /// The next one of these is the kernel's, about the terminal that was let go of.
    skipped: Vec<Signal>,
}

impl DumbInit {
    pub(super) fn new(its: Settings) -> DumbInit {
        let mut rewrite = its.rewrite;
        if its.setsid {
            for signal in SUSPENDING {
                // The child leads an orphaned group: there the kernel drops these, but not STOP.
                rewrite.entry(signal).or_insert(Some(Signal::STOP));
            }
        }
        let setup = Setup {
            command: its.command,
            taken: SignalSet::ALL.without(NOT_TAKEN),
            place: if its.setsid { Place::Session } else { Place::Here },
            tty: if its.setsid { Tty::HandedOver } else { Tty::Untouched },
            mask: ChildMask::Empty,
            resets: true,
            leaves: true,
            to_group: its.setsid,
            ..Setup::default()
        };
        DumbInit { setup, debug: its.debug, rewrite, skipped: Vec::new() }
    }

    /// What goes out in place of that signal.
    fn translated(&self, signal: Signal, says: &mut Says) -> Option<Signal> {
        let Some(to) = self.rewrite.get(&signal) else { return Some(signal) };
        let (from, n) = (signal.number(), to.map_or(0, Signal::number));
        debug(says, self.debug, || format!("Translating signal {from} to {n}."));
        if to.is_none() {
            debug(says, self.debug, || "Not forwarding signal 0 to children (ignored).".to_owned());
        }
        *to
    }
}

impl Program for DumbInit {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn step(&mut self, step: Step, result: Result<(), Errno>, says: &mut Says) -> Option<u8> {
        let error = |says: &Says, errno: Errno| format!("(errno={errno} {})", (says.error_text)(errno));
        match (step, result) {
            (Step::LettingGoOfTty, Err(errno)) => {
                let why = error(says, errno);
                debug(says, self.debug, || format!("Unable to detach from controlling tty {why}."));
            }
            (Step::Fork, Err(_)) => {
                print(says, "Unable to fork. Exiting.");
                return Some(1);
            }
            (Step::OwnSession, Err(errno)) => {
                let why = error(says, errno);
                print(says, &format!("Unable to setsid {why}. Exiting."));
                return Some(1);
            }
            (Step::TakingTty, result) => {
                if let Err(errno) = result {
                    let why = error(says, errno);
                    debug(says, self.debug, || format!("Unable to attach to controlling tty {why}."));
                }
                debug(says, self.debug, || "setsid complete.".to_owned());
            }
            (Step::Exec, Err(errno)) => {
                let program = self.setup.command.first().map(|p| p.to_string_lossy()).unwrap_or_default();
                let why = (says.error_text)(errno);
                print(says, &format!("{program}: {why}"));
                return Some(2);
            }
            (Step::Leaving, Err(errno)) => {
                let why = error(says, errno);
                debug(says, self.debug, || format!("Unable to chdir(\"/\") {why}"));
            }
            _ => {}
        }
        None
    }

    fn let_go(&mut self, leads: bool, says: &mut Says) {
        if leads {
            debug(says, self.debug, || {
                "Detached from controlling tty, ignoring the first SIGHUP and SIGCONT we receive.".to_owned()
            });
            self.skipped = vec![Signal::HUP, Signal::CONT];
        } else {
            debug(says, self.debug, || "Detached from controlling tty, but was not session leader.".to_owned());
        }
    }

    fn spawned(&mut self, pid: i32, says: &mut Says) {
        debug(says, self.debug, || format!("Child spawned with PID {pid}."));
    }

    fn signal(&mut self, signal: Signal, says: &mut Says) -> Fate {
        let n = signal.number();
        debug(says, self.debug, || format!("Received signal {n}."));
        if let Some(at) = self.skipped.iter().position(|s| *s == signal) {
            debug(says, self.debug, || format!("Ignoring tty hand-off signal {n}."));
            self.skipped.remove(at);
            return Fate::Dropped;
        }
        if signal == Signal::CHLD {
            return Fate::Reaps;
        }
        let suspends = SUSPENDING.contains(&signal);
        match self.translated(signal, says) {
            Some(signal) => Fate::Forwarded(signal, if suspends { Then::Suspends } else { Then::Nothing }),
            None if suspends => {
                debug(says, self.debug, || "Suspending self due to TTY signal.".to_owned());
                Fate::Suspends
            }
            None => Fate::Dropped,
        }
    }

    fn sent(&mut self, signal: Signal, then: Then, _: Result<(), Errno>, _to: i32, says: &mut Says) -> Option<u8> {
        let n = signal.number();
        debug(says, self.debug, || format!("Forwarded signal {n} to children."));
        if then == Then::Suspends {
            debug(says, self.debug, || "Suspending self due to TTY signal.".to_owned());
        }
        None
    }

    fn ended(&mut self, pid: i32, exit: Exit, _main: bool, says: &mut Says) {
        debug(says, self.debug, || match exit {
            Exit::Code(code) => format!("A child with PID {pid} exited with exit status {code}."),
            Exit::Signal { signal, .. } => {
                format!("A child with PID {pid} was terminated by signal {}.", signal.number())
            }
        });
    }

    fn farewell(&mut self, says: &mut Says) -> Option<Fate> {
        Some(self.translated(Signal::TERM, says).map_or(Fate::Dropped, |signal| Fate::Forwarded(signal, Then::Nothing)))
    }

    fn over(&mut self, exit: Exit, says: &mut Says) -> u8 {
        let code = exit.code();
        debug(says, self.debug, || format!("Child exited with status {code}. Goodbye."));
        code
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::tests::says;
    use super::*;

    /// What is a matter of time with the real one; all else is held against it in tests/drop_in/dumb_init.rs.
    #[test]
    fn the_first_hup_and_cont_after_a_hand_over_are_the_kernels() {
        let args = ["d", "x"].map(OsString::from);
        let mut init = DumbInit::new(settings(&args, &|_| None, &mut says()).unwrap());
        init.let_go(true, &mut says());
        let mut fate = |signal| init.signal(signal, &mut says());
        assert_eq!([fate(Signal::CONT), fate(Signal::HUP)], [Fate::Dropped; 2]);
        for signal in [Signal::HUP, Signal::CONT] {
            assert_eq!(fate(signal), Fate::Forwarded(signal, Then::Nothing));
        }
    }
}
