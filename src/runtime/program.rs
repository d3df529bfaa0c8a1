//! Which program the main process is, when the meaning of a signal depends on it.

use std::time::{Duration, Instant};

use super::shell::Shell;
use crate::lifecycle::event::{Event, ProcId, Sender};
use crate::programs::{self, Program};
use crate::signal::Signal;
use crate::sys::spawn::maps;
use crate::sys::{process, procfs};

/// Reading what a process has mapped takes a millisecond; no answer in this time is none.
const MAPS: Duration = Duration::from_millis(100);
/// A storm of signals asks but once in so long.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What was found out of the main process.
pub(super) struct Recognised {
    pid: i32,
    signal: Signal,
    at: Instant,
    program: Option<&'static Program>,
}

/// Another init in front of softstop passes on what it is sent, and appears as the sender.
pub(super) fn known(sender: Sender) -> Sender {
    match sender {
        Sender::Process(pid) if pid == process::parent_pid() => Sender::Parent(pid),
        sender => sender,
    }
}

impl Shell {
    pub(super) fn with_program(&mut self, event: Event) -> Event {
        match event {
            Event::Signalled { signal, sender, program: None } => {
                let asked = self.machine.borrow().whose_program_decides(signal, sender);
                Event::Signalled { signal, sender, program: asked.and_then(|id| self.program(id, signal)) }
            }
            event => event,
        }
    }

    fn program(&mut self, id: ProcId, signal: Signal) -> Option<&'static Program> {
        let pid = self.groups.of(id)?;
        let fresh =
            |r: &&Recognised| r.pid == pid && (r.signal == signal || r.program.is_some()) && r.at.elapsed() < KNOWN_FOR;
        if let Some(known) = self.recognised.as_ref().filter(fresh) {
            return known.program;
        }
        let program = self.recognise(id, pid, signal);
        self.recognised = Some(Recognised { pid, signal, at: Instant::now(), program });
        program
    }

    /// By the name that runs: a shell or a script may have made room for it. Where /proc does not say, by the one that was started.
    fn recognise(&mut self, id: ProcId, pid: i32, signal: Signal) -> Option<&'static Program> {
        let running = procfs::stat(pid).and_then(|stat| programs::named(&stat.comm));
        if let Some(program) = running.or_else(|| self.plan.config.processes[id.0].program()) {
            return Some(program);
        }
        // Java in another launcher's clothes. It has a handler; only whoever has one is looked at more closely.
        if signal != Signal::QUIT || procfs::catches(pid, signal) != Some(true) {
            return None;
        }
        let limit = self.left(tokio::time::Instant::now()).map_or(MAPS, |left| MAPS.min(left / 8));
        let maps = maps::is_mapped(pid, "/libjvm.so", limit, self.starved_wait());
        if let Some(pid) = maps.held {
            self.reporter.writers.hold(pid, "a list of mapped files".into());
        }
        maps.found.then_some(&programs::JVM)
    }
}
