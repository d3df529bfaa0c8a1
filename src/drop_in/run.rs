//! One loop for all of the programs: start the child, forward signals, reap, exit with its code. Nothing else of softstop is here: no
//! runtime, no grace, no log of its own.
//!
//! What it says never holds it up: a line that a full pipe does not take is lost.

use std::io::{IsTerminal, Write};
use std::os::fd::OwnedFd;

use super::program::{ChildMask, Errno, Fate, Place, Program, Says, Setup, Step, Stream, Subreaper, Then, Tty};
use crate::facts::Exit;
use crate::signal::Signal;
use crate::sys::mask::{self, Disposition, SignalSet};
use crate::sys::reap::{self, Peek};
use crate::sys::signals::{Early, Inherited};
use crate::sys::stdio::Writer;
use crate::sys::{plain, process};

/// Standard output of a C program that is no terminal is written when so much has come together, and at the end.
const BLOCK: usize = 4096;

/// Lives and dies as the program does; its exit code.
pub fn run(program: &mut dyn Program, early: Early, says: Says) -> u8 {
    let (inherited, descriptors) = plain::as_found(early);
    let setup = program.setup().clone();
    let mut life = Life { program, setup, voice: Voice { says, held: Vec::new() }, main: None };
    let code = life.live(inherited, descriptors);
    life.voice.flush();
    code.unwrap_or_else(|code| code)
}

/// Says what was to be said, before something is started: a full pipe does not hold it up.
pub fn say_and_go_on(says: &mut Says) {
    std::mem::take(&mut says.lines).iter().for_each(|(stream, text)| write(*stream, text.as_bytes()));
}

/// Says what was to be said by who ends with it.
pub fn say(says: &mut Says) {
    for (stream, text) in std::mem::take(&mut says.lines) {
        let _ = match stream {
            Stream::Out => std::io::stdout().write_all(text.as_bytes()),
            Stream::Err => std::io::stderr().write_all(text.as_bytes()),
        };
    }
    let _ = std::io::stdout().flush();
}

/// Nothing said yet, by this process.
pub fn says() -> Says {
    Says { pid: process::own_pid(), signal_text: plain::signal_text, error_text: plain::error_text, lines: Vec::new() }
}

/// The program's two streams.
struct Voice {
    says: Says,
    /// What its C library would hold back.
    held: Vec<u8>,
}

impl Voice {
    /// Calls one of the program's methods and writes what it says.
    fn with<T>(&mut self, call: impl FnOnce(&mut Says) -> T) -> T {
        let done = call(&mut self.says);
        for (stream, text) in std::mem::take(&mut self.says.lines) {
            match stream {
                Stream::Err => write(Stream::Err, text.as_bytes()),
                Stream::Out => {
                    self.held.extend_from_slice(text.as_bytes());
                    if std::io::stdout().is_terminal() {
                        self.flush();
                    }
                    while self.held.len() >= BLOCK {
                        write(Stream::Out, &self.held.drain(..BLOCK).collect::<Vec<_>>());
                    }
                }
            }
        }
        done
    }

    fn flush(&mut self) {
        if !self.held.is_empty() {
            write(Stream::Out, &std::mem::take(&mut self.held));
        }
    }
}

/// What does not fit now is lost.
fn write(stream: Stream, mut bytes: &[u8]) {
    let writer = match stream {
        Stream::Out => Writer::shared(std::io::stdout()),
        Stream::Err => Writer::shared(std::io::stderr()),
    };
    let Ok(mut writer) = writer else { return };
    while let Ok(n @ 1..) = writer.try_write(bytes) {
        bytes = bytes.get(n..).unwrap_or_default();
    }
}

/// The child, as the program finds it at the end of its start.
struct Main {
    pid: i32,
    /// It was seen in a group of its own, or in no other than that.
    arrived: bool,
}

/// The program, what it has set up, and its child if it has one. The `Err` of each step is the exit code with which the program ends.
struct Life<'p> {
    program: &'p mut dyn Program,
    setup: Setup,
    voice: Voice,
    main: Option<Main>,
}

impl Life<'_> {
    fn live(&mut self, inherited: Inherited, descriptors: Vec<OwnedFd>) -> Result<u8, u8> {
        let ignored = self.setup.ignored;
        let was_ignored = ignored.iter().filter(|s| mask::disposition(*s) == Some(Disposition::Ignored));
        let was_ignored = was_ignored.fold(SignalSet::EMPTY, SignalSet::with);
        for signal in ignored.iter() {
            mask::set_ignored(signal, true);
        }
        mask::replace_mask(self.setup.taken);
        self.become_init()?;
        if !self.setup.command.is_empty() {
            self.start(inherited, was_ignored)?;
        }
        if self.setup.leaves {
            let result = std::env::set_current_dir("/").map_err(|e| plain::number(&e));
            self.step(Step::Leaving, result)?;
        }
        if self.setup.closes {
            drop(descriptors);
        } else {
            plain::keep_open(descriptors);
        }
        loop {
            let Some(signal) = plain::take_signal(self.setup.taken) else { continue };
            if let Some(code) = self.take(signal)? {
                return Ok(code);
            }
        }
    }

    /// What becomes of a signal; the exit code, when that is to be all.
    fn take(&mut self, signal: Signal) -> Result<Option<u8>, u8> {
        match self.voice.with(|says| self.program.signal(signal, says)) {
            Fate::Dropped => {}
            Fate::Reaps => return self.reap_all(),
            Fate::Ends(code) => return Ok(Some(code)),
            Fate::Suspends => suspend(),
            Fate::Forwarded(signal, then) => {
                self.forward(signal, then)?;
                match then {
                    Then::Nothing => {}
                    Then::Reaps => return self.reap_all(),
                    Then::Suspends => suspend(),
                }
            }
        }
        Ok(None)
    }

    fn step(&mut self, step: Step, result: Result<(), Errno>) -> Result<(), u8> {
        self.voice.with(|says| self.program.step(step, result, says)).map_or(Ok(()), Err)
    }

    /// Before the child.
    fn become_init(&mut self) -> Result<(), u8> {
        let number = |result: std::io::Result<()>| result.map_err(|e| plain::number(&e));
        if let Some(signal) = self.setup.parent_death_signal {
            self.step(Step::ParentDeathSignal, number(process::parent_death_signal(signal)))?;
        }
        let wanted = match self.setup.subreaper {
            Subreaper::Never => false,
            Subreaper::Asked => true,
            Subreaper::UnlessInit => !process::is_pid1(),
        };
        if wanted {
            self.step(Step::Subreaper, number(process::become_subreaper()))?;
        }
        // It may have been one before its exec.
        let reaps = process::is_pid1() || plain::is_subreaper().unwrap_or(false);
        self.step(Step::Reaping, if reaps { Ok(()) } else { Err(0) })?;
        if self.setup.tty == Tty::HandedOver {
            let result = plain::let_go_of_terminal();
            self.step(Step::LettingGoOfTty, result)?;
            if result.is_ok() {
                self.voice.with(|says| self.program.let_go(plain::leads_session(), says));
            }
        }
        Ok(())
    }

    fn start(&mut self, inherited: Inherited, was_ignored: SignalSet) -> Result<(), u8> {
        let parent = process::own_pid();
        let forked = plain::fork(|| {
            // The child says the rest of it.
            self.voice.says.pid = process::own_pid();
            let code = self.become_child(inherited, was_ignored, parent);
            self.voice.flush();
            code
        });
        match forked {
            Ok(pid) => {
                self.voice.with(|says| self.program.spawned(pid, says));
                self.main = Some(Main { pid, arrived: false });
                Ok(())
            }
            Err(errno) => {
                self.step(Step::Fork, Err(errno))?;
                Err(1)
            }
        }
    }

    /// In the child: everything up to its exec, and the exit code where that fails.
    fn become_child(&mut self, inherited: Inherited, was_ignored: SignalSet, parent: i32) -> u8 {
        if let Err(code) = self.arrange(parent) {
            return code;
        }
        // The disposition that the entry point has changed, and those that were changed here.
        let mut ignored = self.setup.ignored.without(was_ignored);
        if self.setup.resets {
            ignored = SignalSet::from_bits(u64::from(u32::MAX >> 1));
        } else if inherited.ignores_chld {
            mask::set_ignored(Signal::CHLD, true);
        }
        for signal in ignored.iter() {
            mask::set_ignored(signal, false);
        }
        mask::replace_mask(match self.setup.mask {
            ChildMask::Inherited(more) => inherited.mask.union(more),
            ChildMask::Empty => SignalSet::EMPTY,
        });
        let errno = plain::exec(&self.setup.command);
        self.step(Step::Exec, Err(errno)).err().unwrap_or(1)
    }

    /// In the child: its place and its terminal.
    fn arrange(&mut self, parent: i32) -> Result<(), u8> {
        if self.setup.listen_pid {
            rewrite_listen_pid(parent);
        }
        match self.setup.place {
            Place::Group => self.step(Step::OwnGroup, plain::own_group())?,
            Place::Session => self.step(Step::OwnSession, plain::own_session())?,
            Place::Here => {}
        }
        match self.setup.tty {
            Tty::Foreground => self.step(Step::Foreground, plain::come_to_the_foreground(None)),
            Tty::ForegroundOfControlling => {
                let terminal = plain::controlling_terminal();
                self.step(Step::OpenTty, terminal.as_ref().map(|_| ()).map_err(|e| *e))?;
                self.step(Step::Foreground, plain::come_to_the_foreground(terminal.ok().as_ref()))
            }
            Tty::HandedOver => self.step(Step::TakingTty, plain::take_terminal()),
            Tty::Untouched => Ok(()),
        }
    }

    fn forward(&mut self, signal: Signal, then: Then) -> Result<(), u8> {
        let Some(main) = &mut self.main else { return Ok(()) };
        let (pid, group) = (main.pid, self.setup.to_group);
        let mut result = plain::send(pid, group, signal);
        if result == Err(libc::ESRCH) && !main.arrived && plain::is_in_own_group(pid) {
            // It was forked this instant and has no group yet: the signal waits for it.
            result = plain::send(pid, false, signal);
        } else {
            main.arrived = true;
        }
        let to = if group { -pid } else { pid };
        self.voice.with(|says| self.program.sent(signal, then, result, to, says)).map_or(Ok(()), Err)
    }

    /// Reaps whoever has ended; the exit code once the child has.
    fn reap_all(&mut self) -> Result<Option<u8>, u8> {
        let mut over: Option<Exit> = None;
        loop {
            let (pid, exit) = match reap::peek() {
                Peek::Dead { pid, exit } => (pid, exit),
                peek => {
                    self.voice.with(|says| self.program.nobody(peek == Peek::NoChildren, says));
                    return Ok(over.map(|exit| self.voice.with(|says| self.program.over(exit, says))));
                }
            };
            let is_main = self.main.as_ref().is_some_and(|main| main.pid == pid) && over.is_none();
            self.voice.with(|says| self.program.ended(pid, exit, is_main, says));
            if is_main {
                over = Some(exit);
                // While it is a zombie its group's number is nobody else's.
                if let Some(fate) = self.voice.with(|says| self.program.farewell(says)) {
                    if let Fate::Forwarded(signal, then) = fate {
                        self.forward(signal, then)?;
                    }
                    let _ = reap::reap(pid);
                    return Ok(Some(self.voice.with(|says| self.program.over(exit, says))));
                }
            }
            let _ = reap::reap(pid);
        }
    }
}

/// Socket activation: whoever is named there may take the descriptors.
fn rewrite_listen_pid(parent: i32) {
    let named = std::env::var_os("LISTEN_PID").map(|pid| super::numbers::atoi(&pid.to_string_lossy()));
    if named == Some(parent) {
        plain::set_variable(c"LISTEN_PID", process::own_pid().to_string().as_ref());
    }
}

/// As PID 1, and in an orphaned group, the kernel has it go on.
fn suspend() {
    let _ = plain::send(process::own_pid(), false, Signal::STOP);
}
