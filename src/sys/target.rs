//! Sending signals, with a guard against the pids that mean more than one process.

use std::io;

use nix::unistd::{Pid, getpgid, getpgrp};

use super::reap;
use crate::signal::Signal;

/// Signals a direct child that has not been reaped: until then its pid is its own.
///
/// # Errors
/// EINVAL for pid 1 and below and for softstop itself; ESRCH when there is no such process; EPERM when it runs as somebody else and we may not.
pub fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    if pid <= 1 || pid == super::process::own_pid() {
        return Err(invalid());
    }
    super::process::kill(pid, signal.number())
}

/// Signals every member of a process group. The number is safe while a member lives or its leader has not been reaped.
///
/// # Errors
/// EINVAL for 1 and below and for softstop's own group; ESRCH when the group is empty; EPERM when no member may be
/// signalled.
pub fn signal_group(pgid: i32, signal: Signal) -> io::Result<()> {
    super::process::kill(-guard(pgid)?, signal.number())
}

/// Whether a child that has not been reaped has left the group that it leads, for one of another number.
pub fn has_left_its_group(pid: i32) -> bool {
    group_of(pid).is_some_and(|pgid| pgid != pid)
}

/// The process group of somebody, whoever that is.
pub fn group_of(pid: i32) -> Option<i32> {
    getpgid(Some(Pid::from_raw(pid))).ok().map(Pid::as_raw)
}

/// Signals a direct child that has not been reaped and everybody in its group. The child may have gone to another group, or may never have
/// had one (a sandbox that refuses setpgid): then it is signalled itself, too.
///
/// # Errors
/// As [`signal`]: when nobody was reached.
pub fn signal_with_group(pid: i32, what: Signal) -> io::Result<()> {
    let group = signal_group(pid, what);
    if group.is_err() || has_left_its_group(pid) { signal(pid, what).or(group) } else { group }
}

/// Signals what is left of a group whose leader has ended.
///
/// # Errors
/// As [`signal_group`]; ESRCH also when the number is somebody else's by now: see [`group_exists`].
pub fn signal_leaderless_group(pgid: i32, signal: Signal) -> io::Result<()> {
    if group_exists(pgid) { signal_group(pgid, signal) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// Whether a group whose leader has ended has a member. Zombies count until they are reaped, so once orphans have
/// been, this means that somebody lives.
///
/// The kernel gives no process a number that a group still has. So a process of this number that is not the leader itself, dead
/// and not reaped yet, means that our group had ended before, and that the one of today is a stranger's.
pub fn group_exists(pgid: i32) -> bool {
    let Ok(pgid) = guard(pgid) else { return false };
    exists(-pgid) && (!exists(pgid) || reap::peek_at(pgid).is_some())
}

fn exists(target: i32) -> bool {
    match super::process::kill(target, 0) {
        Ok(()) => true,
        Err(error) => error.raw_os_error() == Some(libc::EPERM),
    }
}

fn guard(pgid: i32) -> io::Result<i32> {
    if pgid <= 1 || pgid == getpgrp().as_raw() { Err(invalid()) } else { Ok(pgid) }
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_that_mean_many_are_refused() {
        // With signal 0 nothing would happen even if the guard were gone; SIGCONT is as harmless to the test's own group.
        let itself = super::super::process::own_pid();
        assert_eq!(signal(itself, Signal::CONT).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        for pid in [1, 0, -1, -2, i32::MIN] {
            assert_eq!(signal(pid, Signal::CONT).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            assert_eq!(signal_group(pid, Signal::CONT).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            assert!(!group_exists(pid));
        }
        let own = getpgrp().as_raw();
        assert_eq!(signal_group(own, Signal::CONT).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
