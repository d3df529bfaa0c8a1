//! Whether softstop itself gets to run while the container stops. In a container whose processor time is used up (a CPU limit, fifty
//! busy workers) the kernel shares evenly, and one of fifty has too little to end the others in time. What is being stopped is then
//! given the lower priority, which needs no privilege.

use std::time::Duration;

use tokio::time::Instant;

use super::shell::Shell;
use crate::report::{Note, Secs};
use crate::sys::{process, tree};

/// Lost in one piece before anything is done about it: more than a busy machine costs now and then.
const LOST: Duration = Duration::from_millis(250);

/// While the container stops the loop turns at least this often, so that a want of processor time shows before the next deadline.
const BEAT: Duration = Duration::from_millis(500);

/// What a turn of the loop has had so far.
pub(super) struct Pulse {
    began: Instant,
    cpu: Duration,
    /// Done, once for good.
    lowered: bool,
}

impl Pulse {
    pub(super) fn new() -> Pulse {
        Pulse { began: Instant::now(), cpu: process::cpu_time(), lowered: false }
    }
}

impl Shell {
    /// When the next turn is due at the latest, whatever else is waited for.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        let beats = !self.pulse.lowered && self.machine.borrow().stopping();
        beats.then(|| Instant::now() + BEAT)
    }

    /// A turn begins, which was due at `due`.
    pub(super) fn turn_begins(&mut self, due: Option<Instant>) {
        if self.pulse.lowered {
            return;
        }
        let now = Instant::now();
        (self.pulse.began, self.pulse.cpu) = (now, process::cpu_time());
        if !self.machine.borrow().stopping() {
            return;
        }
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late >= LOST {
            self.make_room(late);
        }
    }

    /// In the middle of a turn, which may be long when there is much to stop.
    pub(super) fn check_pulse(&mut self) {
        if self.pulse.lowered || self.pulse.began.elapsed() < LOST || !self.machine.borrow().stopping() {
            return;
        }
        let (now, cpu) = (Instant::now(), process::cpu_time());
        let lost = now.saturating_duration_since(self.pulse.began).saturating_sub(cpu.saturating_sub(self.pulse.cpu));
        (self.pulse.began, self.pulse.cpu) = (now, cpu);
        if lost >= LOST {
            self.make_room(lost);
        }
    }

    fn make_room(&mut self, lost: Duration) {
        self.pulse.lowered = true;
        // None of these has been reaped: the groups are their own. One call each, as there is no time for more.
        for pid in self.children.keys() {
            let _ = process::lower_priority(*pid);
        }
        // And what has daemonised, each with its own group.
        let mut adopted = tree::children(process::own_pid()).unwrap_or_default();
        adopted.retain(|pid| !self.children.contains_key(pid));
        for pid in adopted {
            let _ = process::lower_priority(pid);
        }
        self.account.note(Note::HeldUp { lost: Secs(lost) });
    }
}
