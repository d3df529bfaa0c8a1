//! What every signal to softstop does: the one table. docs/signals.md shows it to users. Pure.
//!
//! Signals mean different things to different people: SIGQUIT is the stop signal of nginx's image and asks a JVM for a thread dump,
//! SIGUSR1 stops haproxy and has others reopen their logs. So two facts decide where nobody has said it with `stop_on`: whether the
//! signal comes from whoever runs the container, and which program the main process is.

use super::Machine;
use super::action::Action;
use super::event::{Cause, ProcId, Sender};
use crate::config::StopOn;
use crate::facts::NotPassedOn;
use crate::programs::{self, Program};
use crate::report::{Note, OwnLimit, SignalMeaning};
use crate::signal::Signal;

/// What a signal means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decision {
    Stop,
    PassOn,
    /// The configuration is read again.
    Reload,
    /// Nobody means anything by it.
    Drop,
}

impl Machine {
    /// The process whose program decides what the signal means: `Event::Signalled` is to say which it is. `None`: no matter.
    pub fn whose_program_decides(&self, signal: Signal, sender: Sender) -> Option<ProcId> {
        if self.core.plan.config.stop_on != StopOn::Customary {
            return None;
        }
        let main = self.core.plan.main.filter(|main| self.core.processes[*main].alive())?;
        let asked = match sender {
            // SIGTERM is a stop to everybody; SIGQUIT may ask for a dump.
            _ if sender.is_from_outside() => {
                signal == Signal::QUIT || signal != Signal::TERM && programs::is_a_stop_signal(signal)
            }
            // The window has another size, which ends some.
            Sender::Terminal => signal == Signal::WINCH,
            _ => false,
        };
        asked.then_some(ProcId(main))
    }

    /// `program`: the main process's, where [`Machine::whose_program_decides`] says that it matters and it is a known one.
    pub(super) fn on_signal(&mut self, signal: Signal, sender: Sender, program: Option<&'static Program>) {
        // About softstop, not about what it runs: passed on it would end a program that has done nothing.
        if sender == Sender::Kernel {
            return self.on_own_limit(signal);
        }
        if self.core.plan.config.logs.reopen_on == Some(signal) {
            self.core.note(Note::LogsReopened { signal, from: sender });
            self.core.fx.push(Action::ReopenLogs);
            return;
        }
        let (decision, meaning) = match self.rewritten(signal) {
            Some(None) => (Decision::Drop, None),
            _ => self.taken_for(signal, sender, program),
        };
        // Each is said once: whoever asks for a dump every minute knows it by then, and a second stop request changes nothing.
        let again = decision == Decision::Stop && self.stopping();
        if let Some(meaning) = meaning.filter(|meaning| !again && !self.core.explained.contains(meaning)) {
            self.core.explained.push(meaning);
            self.core.note(Note::SignalMeans { signal, from: sender, meaning });
        }
        match decision {
            Decision::Stop => {
                // Whoever asks again changes nothing of what the processes are sent.
                let decides = self.phase.stop().is_none_or(|stop| stop.hold);
                self.request_stop(Cause::Signal { signal, sender });
                if let Some(stop) = self.phase.stop_mut().filter(|_| decides) {
                    stop.signal_is_mains = program.is_some_and(|p| p.stop == signal);
                }
            }
            Decision::PassOn => self.pass_on(signal, sender),
            Decision::Reload => self.reload_by_signal(),
            Decision::Drop => {}
        }
    }

    /// The kernel repeats itself, every second or with every write: once is enough.
    fn on_own_limit(&mut self, signal: Signal) {
        let limit = match signal {
            Signal::XCPU => OwnLimit::ProcessorTime,
            Signal::XFSZ => OwnLimit::FileSize,
            // Whoever wrote to the pipe knows.
            _ => return,
        };
        if !self.core.limits_said.contains(&signal) {
            self.core.limits_said.push(signal);
            self.core.note(Note::OwnLimitReached { limit });
        }
    }

    fn taken_for(
        &self,
        signal: Signal,
        sender: Sender,
        program: Option<&'static Program>,
    ) -> (Decision, Option<SignalMeaning>) {
        // Whoever closes the terminal ends what runs in it. A program in the foreground is told so by the kernel itself.
        if signal == Signal::HUP && sender == Sender::Terminal && !self.core.plan.config.is_wrapper() {
            return (Decision::Stop, None);
        }
        if let StopOn::Only(list) = &self.core.plan.config.stop_on
            && list.contains(&signal)
        {
            return (Decision::Stop, None);
        }
        // What runs by a file is told by it to read that again; who wants it for the main program says so with `rewrite`.
        if signal == Signal::HUP && self.core.plan.config.source.is_some() && self.rewritten(signal).is_none() {
            return (Decision::Reload, Some(SignalMeaning::ReadsAgain));
        }
        // CHLD is the reaper's; nobody sends URG to be understood, and Go's runtime sends it all the time.
        if signal == Signal::CHLD || signal == Signal::URG {
            return (Decision::Drop, None);
        }
        if self.core.plan.config.stop_on == StopOn::Customary {
            customary(signal, sender, program)
        } else {
            (Decision::PassOn, None)
        }
    }

    /// What the main process gets in place of a signal, if that was said; `Some(None)`: nothing.
    fn rewritten(&self, signal: Signal) -> Option<Option<Signal>> {
        let main = self.core.plan.main?;
        self.core.plan.config.processes.get(main)?.rewrite.get(&signal).copied()
    }

    fn pass_on(&mut self, signal: Signal, sender: Sender) {
        let why = match self.core.plan.main {
            Some(main) if self.core.processes[main].alive() => {
                let signal = self.rewritten(signal).flatten().unwrap_or(signal);
                self.core.fx.push(Action::Forward { process: ProcId(main), signal, sender });
                return;
            }
            Some(_) => NotPassedOn::MainNotRunning,
            None => NotPassedOn::NoMain,
        };
        // These come by themselves: SIGCONT behind every SIGTERM of timeout(1) and with `fg`, SIGWINCH with every resize.
        if signal != Signal::CONT && !(signal == Signal::WINCH && sender == Sender::Terminal) {
            self.core.note(Note::SignalIgnored { signal, from: sender, why, times: 1 });
        }
    }
}

/// Where the user has said nothing.
fn customary(signal: Signal, sender: Sender, program: Option<&'static Program>) -> (Decision, Option<SignalMeaning>) {
    let outside = sender.is_from_outside();
    let own = program.is_some_and(|p| p.stop == signal);
    match signal {
        Signal::TERM | Signal::INT => (Decision::Stop, None),
        _ if outside && StopOn::Customary.asks_from_outside(signal, program) => {
            let own = program.filter(|_| own).map(|p| SignalMeaning::OwnStopSignal { program: p.name() });
            (Decision::Stop, own.or(Some(SignalMeaning::FromOutside)))
        }
        Signal::QUIT if outside => {
            (Decision::PassOn, program.map(|p| SignalMeaning::AsksForDump { program: p.name() }))
        }
        Signal::QUIT if matches!(sender, Sender::Process(_)) => (Decision::PassOn, Some(SignalMeaning::FromInside)),
        // Ctrl-\ in a terminal ends things, and so does what cannot be told.
        Signal::QUIT => (Decision::Stop, None),
        // apache2 stops when its terminal's window changes: nobody meant that.
        Signal::WINCH if own && sender == Sender::Terminal => (Decision::Drop, None),
        _ => (Decision::PassOn, None),
    }
}
