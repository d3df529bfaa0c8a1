//! A program that goes on in the background: the process that softstop started ends at once with 0, and what it has left behind, a
//! daemon, bears its name. Nothing is decided by it: what to write instead is said.

use std::time::{Duration, Instant};

use super::shell::Shell;
use crate::lifecycle::event::ProcId;
use crate::programs;
use crate::report::Note;
use crate::sys::procfs::{self, Stat};
use crate::sys::{process, tree};

/// Who does so does it within seconds.
const SOON: Duration = Duration::from_secs(10);
/// So many of what it has left behind are looked at.
const LOOKS: usize = 64;

/// So many children of softstop's own are a crowd, of which a list takes its time: what was listed last is taken for so many times as long
/// as that took. Thousands may end together.
const CROWD: usize = 256;
const PART: u32 = 20;

/// Who is softstop's child and was not started by it.
pub(super) struct Adopted {
    until: Instant,
    pids: Vec<i32>,
}

impl Adopted {
    pub(super) fn new() -> Adopted {
        Adopted { until: Instant::now(), pids: Vec::new() }
    }
}

impl Shell {
    /// A process has ended with 0, unasked; it is a zombie still, and what it left behind is softstop's by now.
    #[inline(never)] // its frame is not its caller's
    pub(super) fn find_its_daemon(&mut self, id: ProcId, pid: i32) {
        let ran = self.machine.borrow().ran(id, self.clock.now());
        if !is_soon(ran) {
            return;
        }
        let Some(comm) = procfs::stat(pid).map(|stat| stat.comm) else { return };
        let began = Instant::now();
        if began >= self.adopted.until {
            let mut pids = tree::children(process::own_pid()).unwrap_or_default();
            let crowd = pids.len() > CROWD;
            pids.retain(|p| !self.children.contains_key(p));
            let until = if crowd { began + began.elapsed().saturating_mul(PART) } else { began };
            self.adopted = Adopted { until, pids };
        }
        let others = self.adopted.pids.iter().copied().filter(|p| !self.children.contains_key(p)).take(LOOKS);
        if let Some(daemon) = others.filter_map(procfs::stat).find(|stat| is_its_daemon(&comm, stat)) {
            let process = self.plan.name(id.0).to_owned();
            let instead = programs::in_the_foreground(&comm);
            self.reporter.note(Note::InBackground { process, command: comm, pid: daemon.pid, instead });
        }
    }
}

fn is_soon(ran: Option<Duration>) -> bool {
    ran.is_some_and(|ran| ran <= SOON)
}

/// The process itself is a zombie.
fn is_its_daemon(comm: &str, left: &Stat) -> bool {
    left.comm == comm && left.lives()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_of_that_name_lives_and_was_made_at_the_start() {
        let stat = |comm: &str, state| Stat {
            pid: 9,
            comm: comm.to_owned(),
            state,
            ppid: 1,
            pgid: 9,
            session: 9,
            threads: 1,
            started: 1,
        };
        assert!(is_its_daemon("nginx", &stat("nginx", 'S')));
        assert!(!is_its_daemon("nginx", &stat("nginx", 'Z')), "itself");
        assert!(!is_its_daemon("nginx", &stat("logger", 'S')));
        assert!(is_soon(Some(Duration::ZERO)) && is_soon(Some(SOON)));
        assert!(!is_soon(Some(SOON + Duration::from_millis(1))) && !is_soon(None));
    }
}
