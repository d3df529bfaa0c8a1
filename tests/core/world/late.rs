//! I13: softstop does not get to run for a while, alone or with everything else. What it was to do comes later, and comes; and whoever
//! has a certain time has it, the pauses not counted, where the budget has room.

use std::time::Duration;

use softstop::lifecycle::event::Event;
use softstop::plan::order::stated;
use softstop::time::At;

use super::checks::MS;
use super::{Checked, World, broken};

/// Who comes this late did not get to run.
const LATE: Duration = Duration::from_millis(100);
/// So much of the time of the processes is kept to reap in.
const SLACK: Duration = Duration::from_millis(250);

impl World {
    /// softstop gets to run again, which it did not since `since`. `known`: it knows since when, and not only what it is late by.
    pub fn resumes(&mut self, since: At, known: bool) -> Checked {
        self.late = true;
        let due = self.machine.next_deadline().filter(|due| *due < self.now);
        let seen = if known { Some(since) } else { due.map(|due| due.max(since)) };
        if let Some(seen) = seen.filter(|seen| self.now.since(*seen) >= LATE) {
            self.pauses.push((seen, self.now));
        }
        if known { self.feed(Event::Late { lost: self.now.since(since) }) } else { Ok(()) }
    }

    /// The time between the two in which softstop got to run, as far as it can know.
    pub(super) fn ran(&self, from: At, to: At) -> Duration {
        let lost = |(since, until): &(At, At)| (*until).min(to).since((*since).max(from));
        to.since(from).saturating_sub(self.pauses.iter().map(lost).sum())
    }

    /// Whatever the pauses have cost, there is room for all that every process asks for.
    pub(super) fn room_for_all(&self) -> bool {
        let (Some(stop), Some((_, resumed))) = (&self.stop, self.pauses.last()) else { return true };
        if *resumed <= stop.t0 {
            return true;
        }
        if self.config.sidecar.is_some() || stop.end != stop.t0 + self.config.grace {
            return false;
        }
        let all: Option<Duration> = self.config.processes.iter().map(stated).sum();
        let left = self.stopped_by(stop).left(*resumed);
        all.is_some_and(|all| all + SLACK.max(left / 8) <= left)
    }

    /// SIGKILL to a process that was told to stop: every signal of its ladder was sent before, and the last has had its time.
    pub(super) fn check_ladder_done(&mut self, p: usize, rungs: usize, wait: Option<Duration>) -> Checked {
        let life = &self.lives[p];
        let (sent, last) = (life.sent.len(), life.sent.last().map(|(_, at)| *at));
        let before = life.stopping.as_ref().is_some_and(|s| s.before) && self.stop.is_some();
        let began = life.stopping.as_ref().map_or(self.now, |s| s.at);
        let paused = self.pauses.last().is_some_and(|(_, until)| *until > began);
        if paused {
            self.checked(13);
        }
        // Who holds next to nothing of the budget may get nothing.
        let held = self.slices().stop >= LATE;
        if sent < rungs && held {
            return broken("I13", format!("p{p} is killed after {sent} of the {rungs} signals of its ladder"));
        }
        let first = self.lives[p].sent.first().map_or(self.now, |(_, at)| *at);
        let room = self.room_for_all() && self.ladder_fits(p, first) && self.lives[p].said.more_until.is_none();
        if let (Some(last), Some(wait), true, true, false) = (last, wait, paused, room, before)
            && self.ran(last, self.now) + MS < wait
        {
            let ran = self.ran(last, self.now);
            return broken(
                "I13",
                format!("p{p} is killed {ran:?} after its last signal, of {wait:?}, and there was room"),
            );
        }
        Ok(())
    }

    /// So long it was waited for: a pause is no part of that.
    pub(super) fn check_waited(&mut self, who: &str, began: At, until: At, limit: Duration) -> Checked {
        if self.pauses.last().is_some_and(|(_, until)| *until > began) {
            self.checked(13);
        }
        let ran = self.ran(began, until);
        if ran + MS < limit {
            return broken(
                "I13",
                format!("{who} is late after {ran:?} of its {limit:?}: the rest was softstop's own pause"),
            );
        }
        Ok(())
    }
}
