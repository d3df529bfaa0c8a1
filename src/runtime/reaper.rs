//! The one waiter: peek, act, reap that pid, repeat.

use super::shell::{Owner, Shell};
use crate::lifecycle::event::{Event, Exit, ProcId};
use crate::sys::reap::{self, Peek};

/// Dead taken in one turn, so that a storm of orphans starves nobody.
const BATCH: usize = 256;

/// What is known of the dead.
#[derive(Default)]
pub(super) struct Reaping {
    /// There may be some.
    pub changed: bool,
    /// Nobody was left at the last look, but for helpers that are held.
    pub alone: bool,
    /// The machine waits for a [`Action::Census`](crate::lifecycle::action::Action::Census).
    pub census: bool,
}

impl Shell {
    /// Reap what is dead. `true`: there may be more, come again.
    pub(super) fn reap(&mut self) -> bool {
        for _ in 0..BATCH {
            match reap::peek() {
                Peek::Dead { pid, exit } => self.reap_one(pid, exit),
                Peek::Busy => {
                    self.reaped_all(self.reporter.writers.are_all());
                    return false;
                }
                Peek::NoChildren => {
                    self.reaped_all(true);
                    return false;
                }
            }
            if self.exit.is_some() {
                return false;
            }
        }
        self.reaping.changed = true;
        true
    }

    /// Act on one dead child while it is a zombie, so that its pid and group cannot be anybody else's; then reap it.
    fn reap_one(&mut self, pid: i32, exit: Exit) {
        if let Some(Owner::Process(process)) = self.children.get(&pid).copied() {
            self.last_notices(process, pid);
        }
        let owner = self.children.remove(&pid);
        if let Some(Err(error)) = self.pending_exec.remove(&pid).and_then(|pending| pending.finish()) {
            tracing::warn!("{}", error.text);
        }
        self.inspect_death(pid, owner, exit);
        let mut unasked = None;
        match owner {
            Some(Owner::Process(process)) => {
                // An end that nobody asked for, and that is no success: what it said before says why.
                let failed = !self.plan.config.processes[process.0].is_success(exit);
                unasked = Some(process).filter(|_| failed && !self.machine.borrow().is_being_stopped(process));
                self.process_ended(process, pid, exit);
            }
            Some(Owner::Run(run)) => self.exec_ended(run, exit),
            None if self.reporter.writers.ended(pid) => {}
            None => self.count_orphan(pid),
        }
        if let Err(error) = reap::reap(pid) {
            tracing::debug!("pid {pid}: cannot be reaped: {error}");
        }
        self.stragglers.asked.forget(pid);
        self.groups.being_reaped = None;
        if let Some(Owner::Process(process)) = owner {
            self.groups.watch(process);
            for (signal, whom) in std::mem::take(&mut self.groups.put_off) {
                self.signal_group(process, signal, whom);
            }
        }
        self.read_last_output(pid, unasked);
    }

    /// It is a zombie still.
    fn process_ended(&mut self, process: ProcId, pid: i32, exit: Exit) {
        if exit.success() && !self.machine.borrow().stopping() {
            self.find_its_daemon(process, pid);
        }
        if let Some(request) = self.ended_by_key(process, exit) {
            self.step(request);
        }
        self.groups.being_reaped = Some(process);
        self.step(Event::Exited { process, status: exit });
        self.reader_ended(process);
    }

    fn reaped_all(&mut self, alone: bool) {
        self.reaping.changed = false;
        self.reaping.alone = alone;
        self.inspect_groups();
        let asked = std::mem::take(&mut self.reaping.census);
        if alone {
            if asked || self.machine.borrow().stopping() {
                self.push(Event::Alone);
            }
        } else if asked {
            self.push(Event::NotAlone);
        }
    }
}
