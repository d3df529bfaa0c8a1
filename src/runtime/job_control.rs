//! Sharing the terminal with the shell that started softstop: Ctrl-Z, `fg`, `bg`, and who has the terminal in the end. As
//! PID 1 there is no such shell.

use super::shell::{Owner, Shell};
use crate::lifecycle::event::Sender;
use crate::signal::Signal;
use crate::sys::signals::Received;
use crate::sys::terminal::Terminal;
use crate::sys::{process, reap, target};

impl Shell {
    fn shared_terminal(&self) -> Option<Terminal> {
        self.terminal.filter(|_| !process::is_pid1())
    }

    /// The group of the program that has the terminal when softstop has been given it.
    fn foreground_group(&self) -> Option<i32> {
        let foreground = self.plan.config.processes.iter().position(|p| p.foreground)?;
        self.groups[foreground]
    }

    /// The program in the foreground was stopped from the terminal: stop too, so that the shell gets its prompt back, and
    /// wake it when the shell wakes us.
    pub(super) fn follow_stopped(&mut self) {
        if self.shared_terminal().is_none() {
            return;
        }
        while let Some((pid, signal)) = reap::stopped() {
            if !matches!(self.children.get(&pid), Some(Owner::Process(_))) || self.machine.borrow().stopping() {
                continue;
            }
            // A job that was running in the background all the time is given the terminal without being told; it shows when
            // its program reads.
            let wants = signal == Signal::TTIN || signal == Signal::TTOU;
            let has = self.terminal.is_some_and(Terminal::is_ours);
            let wake = if wants && has {
                // Woken without the terminal it would read, and be stopped, again and again.
                self.pass_terminal_on()
            } else {
                let resumed = process::stop_self().is_ok();
                if resumed {
                    let _given = self.pass_terminal_on();
                }
                resumed
            };
            if wake {
                let _ = target::signal_group(pid, Signal::CONT);
            }
        }
    }

    /// After `fg` the shell has given softstop the terminal; after `bg` it has kept it, and so it must stay.
    /// `false`: the program has not got it; a sandbox's kernel may refuse.
    pub(super) fn pass_terminal_on(&self) -> bool {
        match (self.shared_terminal(), self.foreground_group()) {
            (Some(terminal), Some(group)) if terminal.is_ours() => terminal.give(group).is_ok(),
            _ => false,
        }
    }

    /// Whoever comes after us (a script's next command) finds the terminal as we did.
    pub(super) fn take_terminal_back(&self) {
        if let Some(terminal) = self.shared_terminal()
            && terminal.foreground() == self.foreground_group()
        {
            let _ = terminal.take();
        }
    }

    /// Ctrl-Z where softstop itself is in the foreground (`run`): everything it runs is suspended with it, as if it were one
    /// job. `false`: not such a signal.
    pub(super) fn suspended(&self, received: &Received) -> bool {
        let by_hand = received.signal == Signal::TSTP && received.sender == Sender::Terminal;
        if !by_hand || process::is_pid1() || self.terminal.is_some() || self.machine.borrow().stopping() {
            return false;
        }
        // Each leads its group and has not been reaped.
        let all = |signal| self.children.keys().for_each(|pid| drop(target::signal_group(*pid, signal)));
        all(Signal::TSTP);
        let _ = process::stop_self();
        all(Signal::CONT);
        true
    }
}
