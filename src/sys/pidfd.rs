//! Signals to processes that others reap, through pidfds.

#![expect(unsafe_code, reason = "libc has no wrapper for pidfd_open and pidfd_send_signal")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::process::{kill, made};
use super::procfs::read_stat;
use crate::signal::Signal;

/// To a process that others reap, so that its pid may change hands: a pidfd pins it, and its start time, looked at after pinning,
/// proves that it is the one that was found. Where pidfds are refused a moment remains between the look and the signal.
///
/// # Errors
/// ESRCH when it is another by now; else what /proc and the kernel say.
pub(super) fn send_to_found(pid: i32, started: u64, signals: &[Signal]) -> io::Result<()> {
    let pinned = pin(pid)?;
    if read_stat(pid)?.started != started {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    signals.iter().try_for_each(|signal| match &pinned {
        Some(pidfd) => match send_pinned(pidfd, *signal) {
            // A sandbox may know the one call and refuse the other. What is truly not permitted is not so by `kill` either.
            Err(Errno::ENOSYS | Errno::EPERM) => kill(pid, signal.number()),
            result => Ok(result?),
        },
        None => kill(pid, signal.number()),
    })
}

/// Found out once: a sandbox does not change its mind.
pub(super) static REFUSED: AtomicBool = AtomicBool::new(false);

/// `None` where pidfds cannot be had: an old kernel, or a sandbox that refuses what it does not know with EPERM.
fn pin(pid: i32) -> io::Result<Option<OwnedFd>> {
    if REFUSED.load(Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: pidfd_open takes two integers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: what the call has returned. It is close-on-exec.
    match unsafe { made(fd) } {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::ENOSYS | Errno::EPERM) => {
            REFUSED.store(true, Ordering::Relaxed);
            Ok(None)
        }
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn send_pinned(pidfd: &OwnedFd, signal: Signal) -> nix::Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open for the call; a null siginfo means the same as kill's.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), no_info, 0) };
    Errno::result(rc).map(drop)
}
