//! Looking at who is about to be killed, for the log, without the looks themselves using up the time that is left.

use std::time::{Duration, Instant};

use crate::sys::procfs::{self, Snapshot};

/// So many are looked at closely within [`WINDOW`], for so long in all; of the others only state, wait channel and threads are said.
/// One close look takes 0.1 ms, and up to 20 ms where there are many connections: two hundred processes that are killed at once would
/// take seconds.
const CLOSELY: u32 = 32;
const CLOSELY_FOR: Duration = Duration::from_millis(50);
/// Longer than SIGKILL to everybody takes, and far shorter than between two processes that fail one after the other.
const WINDOW: Duration = Duration::from_secs(10);

pub(super) struct Looks {
    began: Instant,
    count: u32,
    took: Duration,
}

impl Looks {
    pub(super) fn new() -> Looks {
        Looks { began: Instant::now(), count: 0, took: Duration::ZERO }
    }

    pub(super) fn look(&mut self, pid: i32) -> Snapshot {
        let now = Instant::now();
        if now.saturating_duration_since(self.began) >= WINDOW {
            *self = Looks::new();
        }
        if self.count >= CLOSELY || self.took >= CLOSELY_FOR {
            return procfs::brief(pid);
        }
        let snapshot = procfs::snapshot(pid);
        self.count += 1;
        self.took += now.elapsed();
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_are_looked_at_closely() {
        let own = std::process::id() as i32;
        let mut looks = Looks::new();
        assert!(looks.look(own).open_connections.is_some());
        let closely = (0..200).filter(|_| looks.look(own).open_connections.is_some()).count();
        assert!(closely < CLOSELY as usize, "{closely}");
        assert!(looks.look(own).state.is_some());
        looks.began -= WINDOW;
        assert!(looks.look(own).open_connections.is_some(), "a later failure is looked at closely again");
        looks.took = CLOSELY_FOR;
        assert!(looks.look(own).open_connections.is_none(), "the time is used up");
    }
}
