//! Whether softstop itself gets to run: paused, starved or suspended it is late, and the machine is told (I13). In a container whose
//! processor time is used up (a CPU limit, fifty busy workers, a fork bomb) the kernel shares evenly, and one of fifty has too little to
//! end the others in time. softstop then takes the highest priority, where that is permitted, and gives what is being stopped the lowest,
//! which needs no privilege: everybody below it, however many they are and wherever they have moved.

use std::time::Duration;

use tokio::time::Instant;

use super::shell::Shell;
use crate::lifecycle::event::Event;
use crate::report::{Note, Secs};
use crate::sys::process::{self, Waited};
use crate::sys::tree::Walk;

/// Lost in one piece before anything is done about it: more than a busy machine costs now and then.
const LOST: Duration = Duration::from_millis(250);

/// A turn that comes so late is no mere matter of rounding.
const LATE: Duration = Duration::from_millis(100);

/// While the container stops, or something is under way that has a certain time, the loop turns at least this often: so a want of
/// processor time shows before the next deadline, and how long a pause was is known.
const BEAT: Duration = Duration::from_millis(500);

/// What a turn of the loop has had so far.
pub(super) struct Starvation {
    began: Instant,
    cpu: Duration,
    /// When the loop went to sleep last.
    slept: Instant,
    waited: Waited,
    /// So far, when the loop went to sleep last.
    waited_before: Duration,
    /// Of the waits before each turn: during a stop the longest of it, else the last.
    longest_wait: Duration,
    /// That priorities were changed was said.
    reported: bool,
    /// Everybody below us, as far as they have been given the lower priority.
    lowering: Option<Walk>,
    /// Not before then again: who has it hands it down, so few are left.
    next_lowering: Instant,
}

/// Giving the lower priority to thousands takes this much of our processor time in one turn: by the clock it may take long.
const LOWERING: Duration = Duration::from_millis(1);
/// And is begun again after so long, if softstop is late again.
const AGAIN: Duration = Duration::from_secs(1);

impl Starvation {
    pub(super) fn new() -> Starvation {
        let now = Instant::now();
        Starvation {
            began: now,
            cpu: process::cpu_time(),
            slept: now,
            waited: Waited::open(),
            waited_before: Duration::ZERO,
            longest_wait: Duration::ZERO,
            reported: false,
            lowering: None,
            next_lowering: now,
        }
    }

    /// The longest that softstop was ready for a turn and did not get to run, from the stop request on; zero when a busy machine may
    /// cost that now and then.
    pub(super) fn waited(&self) -> Duration {
        if self.longest_wait >= LOST { self.longest_wait } else { Duration::ZERO }
    }

    pub(super) fn under_way(&self) -> bool {
        self.lowering.is_some()
    }
}

impl Shell {
    /// The loop goes to sleep. When its next turn is due at the latest, whatever else is waited for.
    pub(super) fn next_beat(&mut self) -> Option<Instant> {
        self.starvation.slept = Instant::now();
        self.starvation.waited_before = self.starvation.waited.so_far();
        let beats = !self.runs.is_empty() || self.machine.borrow().waits_for_ends();
        beats.then(|| self.starvation.slept + BEAT)
    }

    /// A turn begins, which was due at `due`. `true`: it is so late that softstop did not get to run.
    pub(super) fn turn_begins(&mut self, due: Option<Instant>) -> bool {
        let now = Instant::now();
        (self.starvation.began, self.starvation.cpu) = (now, process::cpu_time());
        let waited = self.starvation.waited.so_far();
        let wait = waited.saturating_sub(self.starvation.waited_before);
        // The last turn before the stop is the one in which it was requested.
        let longest = if self.machine.borrow().stopping() { self.starvation.longest_wait } else { Duration::ZERO };
        self.starvation.longest_wait = wait.max(longest);
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late < LATE {
            return false;
        }
        // How much of it, between two beats, nobody knows: rather too much is given back than too little.
        self.tell_late(now.saturating_duration_since(self.starvation.slept));
        if late >= LOST {
            self.make_room(late);
        }
        true
    }

    /// In the middle of a turn, which may be long when there is much to stop.
    pub(super) fn check_starvation(&mut self) {
        if self.starvation.began.elapsed() < LOST {
            return;
        }
        let (now, cpu) = (Instant::now(), process::cpu_time());
        let lost = now
            .saturating_duration_since(self.starvation.began)
            .saturating_sub(cpu.saturating_sub(self.starvation.cpu));
        (self.starvation.began, self.starvation.cpu) = (now, cpu);
        if lost >= LOST {
            self.tell_late(lost);
            self.make_room(lost);
        }
    }

    fn tell_late(&mut self, lost: Duration) {
        let now = self.clock.now();
        // Nothing is done at once: that is a turn's.
        let actions = self.machine.borrow_mut().record_late(now, Event::Late { lost });
        debug_assert!(actions.is_empty(), "{actions:?}");
    }

    fn make_room(&mut self, lost: Duration) {
        // Once it is over the summary has been said, and is the last line.
        if !self.machine.borrow().stopping() || self.machine.borrow().finished() {
            return;
        }
        let _ = process::raise_priority();
        // At once, and without /proc: none of these has been reaped, so the groups are their own.
        for pid in self.children.keys() {
            let _ = process::lower_priority(*pid);
        }
        let now = Instant::now();
        if self.starvation.lowering.is_none() && now >= self.starvation.next_lowering {
            self.starvation.next_lowering = now + AGAIN;
            self.starvation.lowering = Walk::begin(true).ok();
            self.go_on_lowering();
        }
        if !std::mem::replace(&mut self.starvation.reported, true) {
            self.reporter.note(Note::Starved { lost: Secs(lost) });
        }
    }

    /// One piece of what is under way; our own children are the first.
    pub(super) fn go_on_lowering(&mut self) {
        let Some(mut walk) = self.starvation.lowering.take() else { return };
        let began = process::cpu_time();
        while let Some(found) = walk.next(&|pid| self.reporter.writers.owns(pid)) {
            let _ = process::lower_priority(found.pid);
            if process::cpu_time().saturating_sub(began) >= LOWERING {
                self.starvation.lowering = Some(walk);
                return;
            }
        }
    }
}
