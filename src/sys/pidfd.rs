//! Signals to processes that others reap, through pidfds.

#![expect(unsafe_code, reason = "libc has no wrapper for pidfd_open and pidfd_send_signal")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::process::{check, kill};
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
        Some(pidfd) => match send_pinned(pidfd.as_raw_fd(), *signal) {
            // A sandbox may know the one call and refuse the other. What is truly not permitted is not so by `kill` either.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                kill(pid, signal.number())
            }
            result => result,
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
    if let Some(fd) = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows of it. It is close-on-exec.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => {
            REFUSED.store(true, Ordering::Relaxed);
            Ok(None)
        }
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Ok(None),
        _ => Err(error),
    }
}

fn send_pinned(pidfd: RawFd, signal: Signal) -> io::Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open for the call; a null siginfo means the same as kill's.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal.number(), no_info, 0) };
    check(libc::c_int::try_from(rc).unwrap_or(-1))
}
