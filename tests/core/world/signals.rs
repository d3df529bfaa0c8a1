//! What signals mean, from docs/signals.md alone: what asks for a stop, what is passed on, what is dropped.

use softstop::config::StopOn;
use softstop::lifecycle::event::{Event, Sender};
use softstop::programs::Program;
use softstop::signal::Signal;

use super::{Checked, World, broken};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Meaning {
    Stop,
    PassOn,
    Reload,
    Drop,
}

impl World {
    pub fn signal(&mut self, signal: Signal, sender: Sender) -> Checked {
        if self.finished.is_some() {
            return Ok(());
        }
        // Who the program is, is said where it is asked, and by the name alone.
        let asked = self.machine.whose_program_decides(signal, sender);
        let program = asked.and_then(|id| self.program(id.0));
        let right = self.meaning(signal, sender);
        let timed_out = right == Meaning::Stop && self.has_timed_out(sender);
        if right == Meaning::Stop && self.stop.as_ref().is_none_or(|s| s.held) {
            // Where `stop_on` is written, it alone counts.
            let customary = self.config.stop_on == StopOn::Customary;
            self.own_stop_signal =
                self.main_program().filter(|p| customary && p.stop == signal && from_outside(sender)).map(|p| p.stop);
        }
        let is_up = self.stop.is_none() && self.begun && self.init_over == self.config.init.len();
        self.understood = None;
        self.passed_on = self.in_its_place(signal).flatten().unwrap_or(signal);
        self.feed(Event::Signalled { signal, sender, program })?;
        let main = self.main();
        let right = match right {
            // Nobody is there to get it; the process may also have ended in this very step.
            Meaning::PassOn if !main.is_some_and(|p| self.bodies[p].alive) => None,
            // Nothing is read before all is up, nor once the stop was requested.
            Meaning::Reload if !is_up => None,
            Meaning::Drop => None,
            right => Some(right),
        };
        if self.understood != right {
            return broken("model", format!("{signal} from {sender} is {right:?}, not {:?}", self.understood));
        }
        self.check_minimum_grace(timed_out)?;
        // Files change whenever they do; a spawn is answered before anything else happens.
        if self.begun && !self.config.on_change.is_empty() && self.spawning.is_none() {
            self.feed(Event::FileChanged { rule: 0, path: "/etc/file".into() })?;
        }
        Ok(())
    }

    fn program(&self, p: usize) -> Option<&'static Program> {
        self.config.processes[p].program()
    }

    fn main_program(&self) -> Option<&'static Program> {
        self.main().filter(|p| self.bodies[*p].alive).and_then(|p| self.program(p))
    }

    /// As the main process's `rewrite` has it.
    fn in_its_place(&self, signal: Signal) -> Option<Option<Signal>> {
        self.config.processes[self.main()?].rewrite.get(&signal).copied()
    }

    fn meaning(&self, signal: Signal, sender: Sender) -> Meaning {
        let own = self.main_program().is_some_and(|p| p.stop == signal);
        let dumps = self.main_program().is_some_and(|p| p.dumps_on == Some(signal));
        match &self.config.stop_on {
            // About softstop itself.
            _ if sender == Sender::Kernel => Meaning::Drop,
            // Rewritten to nothing.
            _ if self.in_its_place(signal) == Some(None) => Meaning::Drop,
            StopOn::Only(list) if list.contains(&signal) => Meaning::Stop,
            _ if signal == Signal::HUP && sender == Sender::Terminal => Meaning::Stop,
            _ if signal == Signal::CHLD || signal == Signal::URG => Meaning::Drop,
            _ if signal == Signal::HUP && self.config.source.is_some() && self.in_its_place(signal).is_none() => {
                Meaning::Reload
            }
            StopOn::Only(_) => Meaning::PassOn,
            StopOn::Customary if signal == Signal::TERM || signal == Signal::INT => Meaning::Stop,
            StopOn::Customary if signal == Signal::QUIT => match sender {
                Sender::Process(_) => Meaning::PassOn,
                _ if from_outside(sender) && dumps => Meaning::PassOn,
                _ => Meaning::Stop,
            },
            StopOn::Customary if own && from_outside(sender) => Meaning::Stop,
            StopOn::Customary if own && signal == Signal::WINCH && sender == Sender::Terminal => Meaning::Drop,
            StopOn::Customary => Meaning::PassOn,
        }
    }
}

fn from_outside(sender: Sender) -> bool {
    matches!(sender, Sender::Outside | Sender::Parent(_))
}
