//! What the programs have in common, as values: how a child is started, what becomes of a signal, and what is said. Pure.

use std::ffi::OsString;

use crate::facts::Exit;
use crate::signal::Signal;
use crate::sys::mask::SignalSet;

/// A variable of the environment, by its name.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<OsString>;

/// How the child is started and what the program itself becomes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Setup {
    /// The child's program and arguments; empty: there is no child.
    pub command: Vec<OsString>,
    /// Blocked, and taken one by one.
    pub taken: SignalSet,
    /// Ignored by the program, not by the child.
    pub ignored: SignalSet,
    pub place: Place,
    pub tty: Tty,
    pub mask: ChildMask,
    /// The child gets the default for signals 1 to 31, whatever was ignored.
    pub resets: bool,
    pub subreaper: Subreaper,
    /// Have the kernel send this when the parent ends.
    pub parent_death_signal: Option<Signal>,
    /// `LISTEN_PID` becomes the child's if it was the program's own.
    pub listen_pid: bool,
    /// Once the child has them, descriptors from 3 up are closed.
    pub closes: bool,
    /// Once the child has been started the program goes to `/`.
    pub leaves: bool,
    /// Signals go to the child's group.
    pub to_group: bool,
}

/// Where the child lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// In a group of its own.
    Group,
    /// In a session of its own.
    Session,
    /// In the program's own group.
    #[default]
    Here,
}

/// What is done about a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tty {
    /// The child's group comes to the foreground of the one at standard input.
    Foreground,
    /// The same of the controlling one, else of the one at standard input.
    ForegroundOfControlling,
    /// The program lets go of the one at standard input, and the child's session takes it.
    HandedOver,
    #[default]
    Untouched,
}

/// The signals that the child finds blocked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChildMask {
    /// Those that the program found, and these.
    Inherited(SignalSet),
    #[default]
    Empty,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Subreaper {
    #[default]
    Never,
    Asked,
    UnlessInit,
}

/// What becomes of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nothing.
    Dropped,
    /// Whoever has ended is reaped.
    Reaps,
    Forwarded(Signal, Then),
    /// The program itself is stopped, and forwards nothing.
    Suspends,
    /// The program ends with this code.
    Ends(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    Nothing,
    Reaps,
    Suspends,
}

/// What is tried on the way to a running child, and can fail. The program says of each what it would, and with which code that ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    ParentDeathSignal,
    Subreaper,
    /// Orphans come to the program; an error (of no number) when they do not.
    Reaping,
    /// TIOCNOTTY.
    LettingGoOfTty,
    Fork,
    /// In the child.
    OwnGroup,
    OpenTty,
    Foreground,
    OwnSession,
    TakingTty,
    Exec,
    /// In the program: it goes to `/`.
    Leaving,
}

/// The number of an error.
pub type Errno = i32;

/// One of the programs, as it behaves from its first step on. What ends it is a `Some` of its exit code.
pub trait Program {
    fn setup(&self) -> &Setup;

    /// A step has been tried.
    fn step(&mut self, step: Step, result: Result<(), Errno>, says: &mut Says) -> Option<u8>;

    /// It let go of a terminal; `leads`: of its own session, which the kernel answers with HUP and CONT.
    fn let_go(&mut self, _leads: bool, _says: &mut Says) {}

    fn spawned(&mut self, pid: i32, says: &mut Says);

    fn signal(&mut self, signal: Signal, says: &mut Says) -> Fate;

    /// It was sent on. `to`: what `kill` was called with, below zero a group.
    fn sent(&mut self, signal: Signal, then: Then, result: Result<(), Errno>, to: i32, says: &mut Says) -> Option<u8>;

    /// Somebody has ended; `main`: the child.
    fn ended(&mut self, pid: i32, exit: Exit, main: bool, says: &mut Says);

    /// The child has ended: what its group is sent before the program ends at once. `None`: nothing, and whoever has ended is reaped first.
    fn farewell(&mut self, _says: &mut Says) -> Option<Fate> {
        None
    }

    /// There is nobody to reap; `alone`: there are no children.
    fn nobody(&mut self, _alone: bool, _says: &mut Says) {}

    /// The child has ended, and it is over: the exit code.
    fn over(&mut self, exit: Exit, says: &mut Says) -> u8;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Out,
    Err,
}

/// What a program has said and nobody has written yet.
#[derive(Clone, Debug)]
pub struct Says {
    /// Who says it: the program, or its child before its exec.
    pub pid: i32,
    /// The C library's words for a signal and for an error.
    pub signal_text: fn(Signal) -> String,
    pub error_text: fn(Errno) -> String,
    pub lines: Vec<(Stream, String)>,
}

impl Says {
    /// Whole lines.
    pub fn out(&mut self, text: impl Into<String>) {
        self.lines.push((Stream::Out, text.into()));
    }

    pub fn err(&mut self, text: impl Into<String>) {
        self.lines.push((Stream::Err, text.into()));
    }

    /// The last that it says; the exit code with which it ends.
    pub fn ends(&mut self, stream: Stream, text: impl Into<String>, code: u8) -> u8 {
        self.lines.push((stream, text.into()));
        code
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Process 7, and words that the C library would not find.
    pub fn says() -> Says {
        let error_text = |errno: Errno| if errno == 2 { "not there".to_owned() } else { format!("error {errno}") };
        Says { pid: 7, signal_text: |signal| format!("<{signal}>"), error_text, lines: Vec::new() }
    }

    /// Everything on one stream.
    pub fn on(says: &Says, stream: Stream) -> String {
        says.lines.iter().filter(|(s, _)| *s == stream).map(|(_, text)| text.as_str()).collect()
    }
}
