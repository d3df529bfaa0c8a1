//! Who has the terminal: the program that reads it is in the foreground, softstop has it before and after. Shared with the shell that
//! started softstop there are Ctrl-Z, `fg` and `bg`, too; as PID 1 there is no such shell.

use super::shell::{Owner, Shell};
use crate::config::Config;
use crate::lifecycle::event::{Event, Exit, ProcId, Sender};
use crate::signal::Signal;
use crate::sys::signals::Received;
use crate::sys::terminal::{Terminal, terminal};
use crate::sys::{process, reap, target};

/// Children that were stopped or continued, taken in one turn.
const BATCH: usize = 256;

/// That of a process which reads it. With `run` Ctrl-C is softstop's unless a process reads what is typed.
pub(super) fn given_terminal(config: &Config) -> Option<Terminal> {
    config.reader()?;
    terminal().filter(|t| config.is_wrapper() || t.is_standard_input())
}

impl Shell {
    fn shared_terminal(&self) -> Option<Terminal> {
        self.terminal.filter(|_| !process::is_pid1())
    }

    /// The group of the program that has the terminal when softstop has been given it.
    fn reader_group(&self) -> Option<i32> {
        self.groups.of(ProcId(self.plan.config.reader()?))
    }

    fn reads_terminal(&self, process: ProcId) -> bool {
        self.terminal.is_some() && self.plan.config.reader() == Some(process.0)
    }

    /// With `run`: the terminal, if this is the program in its foreground.
    fn terminal_read_by(&self, process: ProcId) -> Option<Terminal> {
        self.terminal.filter(|_| self.reads_terminal(process) && !self.plan.config.is_wrapper())
    }

    /// Who was stopped or continued by a signal. `true`: there may be more, come again.
    pub(super) fn follow_stopped(&mut self) -> bool {
        for _ in 0..BATCH {
            let Some((pid, signal)) = reap::stopped_or_continued() else { return false };
            let Some(Owner::Process(process)) = self.children.get(&pid).copied() else { continue };
            match signal {
                None => self.push(Event::Resumed { process }),
                Some(signal) if self.goes_on(process, pid, signal) => {}
                Some(signal) => self.push(Event::Suspended { process, signal }),
            }
        }
        self.reaping.changed = true;
        true
    }

    /// The program that has the terminal was stopped from it, and goes on: it has the terminal now, or softstop was stopped too, so
    /// that the shell got its prompt back, and the shell has continued both.
    fn goes_on(&mut self, process: ProcId, pid: i32, signal: Signal) -> bool {
        let wants = signal == Signal::TTIN || signal == Signal::TTOU;
        // With `run` a SIGSTOP is somebody's who means this one process.
        let job_control = wants || signal == Signal::TSTP || self.plan.config.is_wrapper();
        if !self.reads_terminal(process) || !job_control || self.machine.borrow().stopping() {
            return false;
        }
        // A job that was running in the background all the time is given the terminal without being told; it shows when its program
        // reads. Woken without the terminal it would read, and be stopped, again and again.
        let wake = if wants && self.terminal.is_some_and(Terminal::is_ours) {
            self.pass_terminal_on()
        } else if self.shared_terminal().is_none() {
            false
        } else {
            let woken = self.suspend_all(pid);
            let _given = woken && self.pass_terminal_on();
            // Not woken: there is no shell that could. Ctrl-Z does nothing then, as it does nothing to a program without softstop.
            woken || !wants
        };
        if wake {
            let _ = target::signal_group(pid, Signal::CONT);
        }
        wake
    }

    /// Everything that softstop runs is suspended with it, as if it were one job, but for the one whose stop this follows. `false`:
    /// nobody could have continued softstop, so it was not stopped.
    fn suspend_all(&self, but: i32) -> bool {
        // Each leads its group and has not been reaped.
        let others = self.children.keys().filter(|pid| **pid != but);
        // Nobody in a session of its own could continue it: there Ctrl-Z stops nothing.
        let stop = |pid: i32| match self.children.get(&pid) {
            Some(Owner::Process(id)) if self.plan.config.processes.get(id.0).is_some_and(|p| p.tty) => Signal::STOP,
            _ => Signal::TSTP,
        };
        others.clone().for_each(|pid| drop(target::signal_group(*pid, stop(*pid))));
        let woken = process::stop_self().unwrap_or(false);
        others.for_each(|pid| drop(target::signal_group(*pid, Signal::CONT)));
        woken
    }

    /// After `fg` the shell has given softstop the terminal; after `bg` it has kept it, and so it must stay.
    /// `false`: the program has not got it; a sandbox's kernel may refuse.
    pub(super) fn pass_terminal_on(&self) -> bool {
        match (self.terminal, self.reader_group()) {
            (Some(terminal), Some(group)) if terminal.is_ours() => terminal.give(group).is_ok(),
            _ => false,
        }
    }

    /// Whoever comes after us (a script's next command) finds the terminal as we did.
    pub(super) fn take_terminal_back(&self) {
        if let Some(terminal) = self.shared_terminal()
            && terminal.foreground() == self.reader_group()
        {
            let _ = terminal.take();
        }
    }

    /// With `run`: the program in the foreground has ended, and keys are softstop's until it is started again.
    pub(super) fn reader_ended(&self, process: ProcId) {
        if let Some(terminal) = self.terminal_read_by(process)
            && (process::is_pid1() || terminal.foreground() == self.reader_group())
        {
            let _ = terminal.take();
        }
    }

    /// With `run`: the program in the foreground, which alone gets the keys, has ended of Ctrl-C, or of its terminal being closed.
    /// Whoever did that means all that runs in this terminal.
    pub(super) fn ended_by_key(&self, process: ProcId, exit: Exit) -> Option<Event> {
        let terminal = self.terminal_read_by(process)?;
        let machine = self.machine.borrow();
        if machine.stopping() || machine.is_being_stopped(process) {
            return None;
        }
        let foreground = terminal.foreground();
        let signal = match exit {
            Exit::Signal { signal: Signal::HUP, .. } if foreground.is_none() => Signal::HUP,
            _ if foreground.is_none() || foreground != self.reader_group() || self.sent_interrupt => return None,
            Exit::Signal { signal: Signal::INT, .. } => Signal::INT,
            // How shells and interpreters pass it on.
            Exit::Code(code) if code == crate::exit::for_signal(Signal::INT.number()) => Signal::INT,
            _ => return None,
        };
        let asks = signal == Signal::HUP || self.plan.config.stop_on.asks_from_outside(signal, None);
        asks.then_some(Event::Signalled { signal, sender: Sender::Terminal, program: None })
    }

    /// Ctrl-Z where softstop itself is in the foreground (`run`): everything it runs is suspended with it. `false`: not such a signal.
    pub(super) fn suspended(&self, received: &Received) -> bool {
        let by_hand = received.signal == Signal::TSTP && received.sender == Sender::Terminal;
        if !by_hand || process::is_pid1() || self.plan.config.is_wrapper() || self.machine.borrow().stopping() {
            return false;
        }
        let _woken = self.suspend_all(0);
        true
    }
}
