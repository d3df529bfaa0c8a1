//! Looking at who is about to be killed, for the log, without the looks themselves using up the time that is left.

use std::time::{Duration, Instant};

use crate::report::{Connection, Count, InspectedThread, Inspection};
use crate::sys::spawn::stack::kernel_stack;
use crate::sys::{procfs, tree, victim};

/// So many are looked at closely within [`WINDOW`], for so long in all; of the others only state, wait channel and threads are said.
/// One close look takes 0.3 ms, and up to [`ONE`] where there is much to see: two hundred processes that are killed at once would take
/// seconds.
const CLOSELY: u32 = 32;
const CLOSELY_FOR: Duration = Duration::from_millis(50);
const ONE: Duration = Duration::from_millis(20);
/// Longer than SIGKILL to everybody takes, and far shorter than between two processes that fail one after the other.
const WINDOW: Duration = Duration::from_secs(10);
/// So many of a process's threads and connections are listed.
const THREADS: usize = 16;
const CONNECTIONS: usize = 16;
/// The functions in the kernel are read of so many, for so long each: half a millisecond as a rule, and never if it hangs.
const STACKS: u32 = 8;
const STACK: Duration = Duration::from_millis(20);

/// Who sleeps here is frozen by version 2's cgroup.freeze: whatever else waits in these is stopped or traced, not asleep. Its /proc/PID/cgroup
/// would say so, too, but is read under a lock of the whole machine's.
const FREEZER: [&str; 2] = ["get_signal", "do_freezer_trap"];

pub(super) struct Inspections {
    began: Instant,
    count: u32,
    took: Duration,
    stacks: u32,
}

impl Inspections {
    pub(super) fn new() -> Inspections {
        Inspections { began: Instant::now(), count: 0, took: Duration::ZERO, stacks: 0 }
    }

    pub(super) fn look(&mut self, pid: i32) -> Inspection {
        let now = Instant::now();
        if now.saturating_duration_since(self.began) >= WINDOW {
            *self = Inspections::new();
        }
        let mut look = inspect_briefly(pid);
        let left = CLOSELY_FOR.saturating_sub(self.took).min(ONE);
        if self.count < CLOSELY && !left.is_zero() && look.state.is_some() {
            closely(pid, &mut look, now + left);
            self.count += 1;
            self.took += now.elapsed();
        }
        look
    }

    /// The kernel functions that it is in. With a reader that could not be ended, if it has come to that; it is the only one then.
    pub(super) fn stack(&mut self, pid: i32) -> (Vec<String>, Option<i32>) {
        if self.stacks >= STACKS {
            return (Vec::new(), None);
        }
        let stack = kernel_stack(pid, STACK);
        self.stacks = if stack.held.is_some() { STACKS } else { self.stacks + 1 };
        (stack.functions, stack.held)
    }
}

/// What costs next to nothing.
fn inspect_briefly(pid: i32) -> Inspection {
    let seen = procfs::snapshot(pid);
    let frozen = seen.state == Some('S') && seen.wchan.as_deref().is_some_and(|wchan| FREEZER.contains(&wchan));
    Inspection { state: seen.state, frozen, wchan: seen.wchan, threads: seen.threads, ..Inspection::default() }
}

fn closely(pid: i32, look: &mut Inspection, until: Instant) {
    look.children = tree::children(pid).ok().map(|children| children.len());
    if look.threads.is_some_and(|n| n > 1) {
        let thread = |t: victim::Thread| InspectedThread { name: t.comm, state: t.state, wchan: t.wchan };
        look.each_thread = victim::threads(pid, THREADS, until).into_iter().map(thread).collect();
    }
    let Some(files) = victim::files(pid, until) else { return };
    look.open_files = Some(Count { count: files.count, complete: files.complete });
    let Some(connections) = victim::connections(pid, &files, until) else { return };
    look.open_connections = Some(Count { count: connections.sockets.len(), complete: connections.complete });
    let connection = |s: &crate::sys::sockets::Socket| Connection {
        local: s.local.to_string(),
        peer: s.peer.to_string(),
        state: s.state.to_string(),
    };
    look.connections = connections.sockets.iter().take(CONNECTIONS).map(connection).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_are_looked_at_closely() {
        let own = std::process::id() as i32;
        let mut looks = Inspections::new();
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
