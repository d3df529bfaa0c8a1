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
    let mut voice = Voice { says, held: Vec::new() };
    let code = live(program, inherited, descriptors, &mut voice);
    voice.flush();
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

    /// In the child, which says the rest of it.
    fn is_the_childs(&mut self) {
        self.says.pid = process::own_pid();
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
    group: bool,
    /// It was seen in a group of its own, or in no other than that.
    arrived: bool,
}

fn live(
    program: &mut dyn Program,
    inherited: Inherited,
    descriptors: Vec<OwnedFd>,
    voice: &mut Voice,
) -> Result<u8, u8> {
    let setup = program.setup().clone();
    let was_ignored = setup.ignored.iter().filter(|s| mask::disposition(*s) == Some(Disposition::Ignored));
    let was_ignored = was_ignored.fold(SignalSet::EMPTY, SignalSet::with);
    for signal in setup.ignored.iter() {
        mask::set_ignored(signal, true);
    }
    mask::replace_mask(setup.taken);
    become_init(program, &setup, voice)?;
    let main =
        if setup.command.is_empty() { None } else { Some(start(program, &setup, inherited, was_ignored, voice)?) };
    if setup.leaves {
        let result = std::env::set_current_dir("/").map_err(|e| plain::number(&e));
        step(program, Step::Leaving, result, voice)?;
    }
    if setup.closes {
        drop(descriptors);
    } else {
        plain::keep_open(descriptors);
    }
    let mut main = main;
    loop {
        let Some(signal) = plain::take_signal(setup.taken) else { continue };
        let reaps = match voice.with(|says| program.signal(signal, says)) {
            Fate::Dropped => false,
            Fate::Reaps => true,
            Fate::Ends(code) => return Ok(code),
            Fate::Suspends => {
                suspend();
                false
            }
            Fate::Forwarded(signal, then) => {
                if let Some(main) = &mut main {
                    forward(program, main, signal, then, voice)?;
                }
                if then == Then::Suspends {
                    suspend();
                }
                then == Then::Reaps
            }
        };
        if reaps && let Some(code) = reap_all(program, main.as_mut(), voice)? {
            return Ok(code);
        }
    }
}

fn step(program: &mut dyn Program, step: Step, result: Result<(), Errno>, voice: &mut Voice) -> Result<(), u8> {
    voice.with(|says| program.step(step, result, says)).map_or(Ok(()), Err)
}

/// Before the child.
fn become_init(program: &mut dyn Program, setup: &Setup, voice: &mut Voice) -> Result<(), u8> {
    let number = |result: std::io::Result<()>| result.map_err(|e| plain::number(&e));
    if let Some(signal) = setup.parent_death_signal {
        step(program, Step::ParentDeathSignal, number(process::parent_death_signal(signal)), voice)?;
    }
    let wanted = match setup.subreaper {
        Subreaper::Never => false,
        Subreaper::Asked => true,
        Subreaper::UnlessInit => !process::is_pid1(),
    };
    if wanted {
        step(program, Step::Subreaper, number(process::become_subreaper()), voice)?;
    }
    // It may have been one before its exec.
    let reaps = process::is_pid1() || plain::is_subreaper().unwrap_or(false);
    step(program, Step::Reaping, if reaps { Ok(()) } else { Err(0) }, voice)?;
    if setup.tty == Tty::HandedOver {
        let result = plain::let_go_of_terminal();
        step(program, Step::LettingGoOfTty, result, voice)?;
        if result.is_ok() {
            voice.with(|says| program.let_go(plain::leads_session(), says));
        }
    }
    Ok(())
}

fn start(
    program: &mut dyn Program,
    setup: &Setup,
    inherited: Inherited,
    was_ignored: SignalSet,
    voice: &mut Voice,
) -> Result<Main, u8> {
    let parent = process::own_pid();
    let forked = plain::fork(|| {
        voice.is_the_childs();
        let code = become_child(program, setup, inherited, was_ignored, parent, voice);
        voice.flush();
        code
    });
    match forked {
        Ok(pid) => {
            voice.with(|says| program.spawned(pid, says));
            Ok(Main { pid, group: setup.to_group, arrived: false })
        }
        Err(errno) => {
            step(program, Step::Fork, Err(errno), voice)?;
            Err(1)
        }
    }
}

/// In the child: everything up to its exec, and the exit code where that fails.
fn become_child(
    program: &mut dyn Program,
    setup: &Setup,
    inherited: Inherited,
    was_ignored: SignalSet,
    parent: i32,
    voice: &mut Voice,
) -> u8 {
    let arrange = |program: &mut dyn Program, voice: &mut Voice| -> Result<(), u8> {
        if setup.listen_pid {
            rewrite_listen_pid(parent);
        }
        match setup.place {
            Place::Group => step(program, Step::OwnGroup, plain::own_group(), voice)?,
            Place::Session => step(program, Step::OwnSession, plain::own_session(), voice)?,
            Place::Here => {}
        }
        match setup.tty {
            Tty::Foreground => step(program, Step::Foreground, plain::come_to_the_foreground(None), voice)?,
            Tty::ForegroundOfControlling => {
                let terminal = plain::controlling_terminal();
                step(program, Step::OpenTty, terminal.as_ref().map(|_| ()).map_err(|e| *e), voice)?;
                let result = plain::come_to_the_foreground(terminal.ok().as_ref());
                step(program, Step::Foreground, result, voice)?;
            }
            Tty::HandedOver => step(program, Step::TakingTty, plain::take_terminal(), voice)?,
            Tty::Untouched => {}
        }
        Ok(())
    };
    if let Err(code) = arrange(program, voice) {
        return code;
    }
    // The disposition that the entry point has changed, and those that were changed here.
    let mut ignored = setup.ignored.without(was_ignored);
    if setup.resets {
        ignored = SignalSet::from_bits(u64::from(u32::MAX >> 1));
    } else if inherited.ignores_chld {
        mask::set_ignored(Signal::CHLD, true);
    }
    for signal in ignored.iter() {
        mask::set_ignored(signal, false);
    }
    mask::replace_mask(match setup.mask {
        ChildMask::Inherited(more) => inherited.mask.union(more),
        ChildMask::Empty => SignalSet::EMPTY,
    });
    let errno = plain::exec(&setup.command);
    step(program, Step::Exec, Err(errno), voice).err().unwrap_or(1)
}

/// Socket activation: whoever is named there may take the descriptors.
fn rewrite_listen_pid(parent: i32) {
    let named = std::env::var_os("LISTEN_PID").map(|pid| super::numbers::atoi(&pid.to_string_lossy()));
    if named == Some(parent) {
        plain::set_variable(c"LISTEN_PID", process::own_pid().to_string().as_ref());
    }
}

fn forward(
    program: &mut dyn Program,
    main: &mut Main,
    signal: Signal,
    then: Then,
    voice: &mut Voice,
) -> Result<(), u8> {
    let mut result = plain::send(main.pid, main.group, signal);
    if result == Err(libc::ESRCH) && !main.arrived && plain::is_in_own_group(main.pid) {
        // It was forked this instant and has no group yet: the signal waits for it.
        result = plain::send(main.pid, false, signal);
    } else {
        main.arrived = true;
    }
    let to = if main.group { -main.pid } else { main.pid };
    voice.with(|says| program.sent(signal, then, result, to, says)).map_or(Ok(()), Err)
}

/// As PID 1, and in an orphaned group, the kernel has it go on.
fn suspend() {
    let _ = plain::send(process::own_pid(), false, Signal::STOP);
}

/// Reaps whoever has ended; the exit code once the child has.
fn reap_all(program: &mut dyn Program, mut main: Option<&mut Main>, voice: &mut Voice) -> Result<Option<u8>, u8> {
    let mut over: Option<Exit> = None;
    loop {
        let (pid, exit) = match reap::peek() {
            Peek::Dead { pid, exit } => (pid, exit),
            peek => {
                voice.with(|says| program.nobody(peek == Peek::NoChildren, says));
                return Ok(over.map(|exit| voice.with(|says| program.over(exit, says))));
            }
        };
        let is_main = main.as_ref().is_some_and(|main| main.pid == pid) && over.is_none();
        voice.with(|says| program.ended(pid, exit, is_main, says));
        if let Some(main) = main.as_mut().filter(|_| is_main) {
            over = Some(exit);
            // While it is a zombie its group's number is nobody else's.
            if let Some(fate) = voice.with(|says| program.farewell(says)) {
                if let Fate::Forwarded(signal, then) = fate {
                    forward(program, main, signal, then, voice)?;
                }
                let _ = reap::reap(pid);
                return Ok(Some(voice.with(|says| program.over(exit, says))));
            }
        }
        let _ = reap::reap(pid);
    }
}
