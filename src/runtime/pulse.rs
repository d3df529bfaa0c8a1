//! Whether softstop itself gets to run: paused, starved or suspended it is late, and the machine is told (I13). In a container whose
//! processor time is used up (a CPU limit, fifty busy workers) the kernel shares evenly, and one of fifty has too little to end the
//! others in time. What is being stopped is then given the lower priority, which needs no privilege.

use std::time::Duration;

use tokio::time::Instant;

use super::shell::Shell;
use crate::lifecycle::event::Event;
use crate::report::{Note, Secs};
use crate::sys::{process, tree};

/// Lost in one piece before anything is done about it: more than a busy machine costs now and then.
const LOST: Duration = Duration::from_millis(250);

/// A turn that comes so late is no mere matter of rounding.
const LATE: Duration = Duration::from_millis(100);

/// While the container stops, or something is under way that has a certain time, the loop turns at least this often: so a want of
/// processor time shows before the next deadline, and how long a pause was is known.
const BEAT: Duration = Duration::from_millis(500);

/// What a turn of the loop has had so far.
pub(super) struct Pulse {
    began: Instant,
    cpu: Duration,
    /// When the loop went to sleep last.
    slept: Instant,
    /// Done, once for good.
    lowered: bool,
}

impl Pulse {
    pub(super) fn new() -> Pulse {
        let now = Instant::now();
        Pulse { began: now, cpu: process::cpu_time(), slept: now, lowered: false }
    }
}

impl Shell {
    /// The loop goes to sleep. When its next turn is due at the latest, whatever else is waited for.
    pub(super) fn next_beat(&mut self) -> Option<Instant> {
        self.pulse.slept = Instant::now();
        let beats = !self.runs.is_empty() || self.machine.borrow().waits_for_ends();
        beats.then(|| self.pulse.slept + BEAT)
    }

    /// A turn begins, which was due at `due`. `true`: it is so late that softstop did not get to run.
    pub(super) fn turn_begins(&mut self, due: Option<Instant>) -> bool {
        let now = Instant::now();
        (self.pulse.began, self.pulse.cpu) = (now, process::cpu_time());
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late < LATE {
            return false;
        }
        // How much of it, between two beats, nobody knows: rather too much is given back than too little.
        self.tell_late(now.saturating_duration_since(self.pulse.slept));
        if late >= LOST {
            self.make_room(late);
        }
        true
    }

    /// In the middle of a turn, which may be long when there is much to stop.
    pub(super) fn check_pulse(&mut self) {
        if self.pulse.began.elapsed() < LOST {
            return;
        }
        let (now, cpu) = (Instant::now(), process::cpu_time());
        let lost = now.saturating_duration_since(self.pulse.began).saturating_sub(cpu.saturating_sub(self.pulse.cpu));
        (self.pulse.began, self.pulse.cpu) = (now, cpu);
        if lost >= LOST {
            self.tell_late(lost);
            self.make_room(lost);
        }
    }

    fn tell_late(&mut self, lost: Duration) {
        let now = self.clock.now();
        // Nothing is done at once: that is a turn's.
        let actions = self.machine.borrow_mut().tell(now, Event::Late { lost });
        debug_assert!(actions.is_empty(), "{actions:?}");
    }

    fn make_room(&mut self, lost: Duration) {
        if !self.machine.borrow().stopping() || std::mem::replace(&mut self.pulse.lowered, true) {
            return;
        }
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
