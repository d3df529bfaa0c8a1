//! Inspections at a running softstop from outside, all the time: what /readyz answers, and who among its children is a zombie.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::processes;
use crate::sys::{self, Time};

const EVERY: Duration = Duration::from_millis(12);

#[derive(Clone, Copy, Debug)]
pub struct Poll {
    pub asked: Time,
    pub answered: Time,
    /// `None`: no answer.
    pub status: Option<u16>,
}

/// A dead child of softstop, from the first look that saw it to the last.
#[derive(Clone, Debug)]
pub struct Zombie {
    pub pid: i32,
    pub name: String,
    pub first: Time,
    pub last: Time,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub polls: Vec<Poll>,
    pub zombies: Vec<Zombie>,
    /// Inspections in which it had children.
    pub looks: usize,
    /// The machine kept the watcher itself from running for so long at once.
    pub stall: Time,
}

/// Until `over`. `address`: of its endpoints, if it has any.
pub fn watch(softstop: i32, address: Option<&str>, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut dead: BTreeMap<i32, Zombie> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        if let Some(address) = address {
            let asked = sys::now();
            let status = crate::http::status(address, "/readyz");
            seen.polls.push(Poll { asked, answered: sys::now(), status });
        }
        // 0: it had ended before it was found.
        let children = if softstop > 0 { processes::children(softstop) } else { Vec::new() };
        seen.looks += usize::from(!children.is_empty());
        let zombies: Vec<_> =
            children.into_iter().filter_map(processes::look).filter(processes::Proc::is_zombie).collect();
        let now = sys::now();
        // One that is not there any more has been reaped; its pid may come again.
        let (still, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            dead.into_iter().partition(|(pid, _)| zombies.iter().any(|zombie| zombie.pid == *pid));
        seen.zombies.extend(gone.into_values());
        dead = still;
        for zombie in zombies {
            let known = Zombie { pid: zombie.pid, name: zombie.name, first: now, last: now };
            dead.entry(zombie.pid).or_insert(known).last = now;
        }
        let before = sys::now();
        std::thread::sleep(EVERY);
        seen.stall = seen.stall.max(sys::now() - before - EVERY.as_nanos() as Time);
    }
    seen.zombies.extend(dead.into_values());
    seen
}
