//! Writing a file in a process of its own. Opening a file, or merely looking at its name, waits in the kernel for as long as
//! its file system hangs (FUSE, NFS, a disk that is gone), whatever flags are given; only who is killed can be given up.
//!
//! The process is a fork without exec, so it needs no program and half a millisecond. What the file system holds even after
//! SIGKILL stays a child until it is let go, and is then reaped as any other.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, fork};

use super::place;
use crate::facts::Exit;
use crate::signal::Signal;
use crate::sys::mask::{self, SignalSet};
use crate::sys::process::end_now;
use crate::sys::{procfs, reap, target};

/// How long a process that was sent SIGKILL may take to be gone, before it counts as one that cannot be ended.
pub(super) const GONE_WAIT: Duration = Duration::from_millis(20);
/// A writer that only waits for a processor gets this long at least, however little time is left: the machine is busy then, and a
/// file is worth more than being late by less than anybody notices.
const STARVED_WAIT: Duration = Duration::from_millis(100);
const SHORTEST_NAP: Duration = Duration::from_micros(20);
const LONGEST_NAP: Duration = Duration::from_millis(2);
/// So many numbers in a row that are not open: there are no more descriptors.
const GAP: u32 = 256;

/// Paths that name softstop's own descriptors.
const OWN: [&str; 3] = ["/dev/std", "/dev/fd/", "/proc/self/fd/"];

/// What came of it.
#[derive(Debug)]
pub enum Written {
    Done(io::Result<()>),
    /// No answer in time. `held` is the process that SIGKILL has not ended (yet), a child to be reaped; `starved`: it was ready to
    /// run all the time, so the processor was busy and no file system hung.
    Late {
        held: Option<i32>,
        starved: bool,
    },
}

/// Replaces its content, and follows nobody else's links: see [`place`]. With `create` the file is made if it is not there.
/// Waits at most `limit`, and 20 ms more for the end of a writer that is late; 100 ms at least for one that is ready to run and only
/// gets no processor time.
///
/// # Errors
/// In [`Written::Done`], as fork and [`place::write`] have it; in words when there may be no more
/// processes: nothing is written then, as doing it without one could hang. A writer that somebody killed, as the kernel's OOM killer
/// may and whoever kills what is left in the container, is followed by a second one, in what is left of `limit`.
pub fn write(path: &Path, create: bool, text: &[u8], limit: Duration) -> Written {
    let began = Instant::now();
    for _ in 0..2 {
        match try_write(path, create, text, limit.saturating_sub(began.elapsed())) {
            Written::Done(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
    Written::Done(Err(io::Error::other("the process that wrote it was killed, and so was a second one")))
}

/// A writer that somebody killed is EINTR.
fn try_write(path: &Path, create: bool, text: &[u8], limit: Duration) -> Written {
    match start(path, create, text) {
        Ok(pid) => wait(pid, limit),
        Err(error) => Written::Done(Err(error)),
    }
}

fn start(path: &Path, create: bool, text: &[u8]) -> io::Result<i32> {
    // The likes of /dev/stdout are names of what must not be closed then.
    let own = OWN.iter().any(|prefix| path.as_os_str().as_bytes().starts_with(prefix.as_bytes()));
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `run` is made for that: async-signal-safe calls alone.
    unsafe { in_child(|| run(&path, own, create, text)) }.map_err(in_words)
}

/// Of a fork.
pub(super) fn in_words(error: nix::Error) -> io::Error {
    match error {
        nix::Error::EAGAIN => {
            io::Error::other("no new process: the process limit is reached (pids.max or RLIMIT_NPROC)")
        }
        error => error.into(),
    }
}

/// A fork, all signals being blocked in it; its pid. What `child` fails with is the exit code. No signal to it is lost, or ends it early, but SIGKILL.
///
/// # Safety
/// `child` makes async-signal-safe calls alone: it allocates nothing and takes no lock.
pub(in crate::sys) unsafe fn in_child(child: impl FnOnce() -> nix::Result<()>) -> nix::Result<i32> {
    let before = mask::replace_mask(SignalSet::ALL);
    // SAFETY: the child makes async-signal-safe calls alone, by this function's contract, and never returns.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        end_now(child().err().map_or(0, |errno| errno as i32))
    }
    mask::replace_mask(before);
    match forked? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => unreachable!("it has ended above"),
    }
}

fn wait(pid: i32, limit: Duration) -> Written {
    let began = Instant::now();
    if let Some(end) = end_of(pid, limit) {
        return Written::Done(end);
    }
    let mut starved = is_runnable(pid);
    while starved && began.elapsed() < STARVED_WAIT {
        if let Some(end) = end_of(pid, GONE_WAIT) {
            return Written::Done(end);
        }
        starved = is_runnable(pid);
    }
    Written::Late { held: end(pid), starved }
}

/// Ends a child of this kind that is late, or that nobody would hear. Its pid where SIGKILL has not ended it (yet): it is reaped as any other.
pub fn end(pid: i32) -> Option<i32> {
    let _ = target::signal(pid, Signal::KILL);
    end_of(pid, GONE_WAIT).is_none().then_some(pid)
}

/// For who has no reaper: waits at most 20 ms for the end of a child of this kind that has said its last word.
pub fn reap(pid: i32) {
    let _ = end_of(pid, GONE_WAIT);
}

/// It waits for a processor, not for a file system, or has just ended. False where /proc does not say.
pub(super) fn is_runnable(pid: i32) -> bool {
    matches!(procfs::snapshot(pid).state, Some('R' | 'Z'))
}

/// Reaps it, unless that takes longer. What it says is its exit code: a pipe would need descriptors, of which there may be none.
pub(super) fn end_of(pid: i32, limit: Duration) -> Option<io::Result<()>> {
    let began = Instant::now();
    loop {
        let error = match reap::reap(pid) {
            Ok(Some(Exit::Code(0))) => return Some(Ok(())),
            Ok(Some(Exit::Code(errno))) => i32::from(errno),
            // Somebody killed it.
            Ok(Some(Exit::Signal { .. })) => libc::EINTR,
            Ok(None) if began.elapsed() < limit => {
                // It takes a fraction of a millisecond, or for ever.
                std::thread::sleep((began.elapsed() / 4).clamp(SHORTEST_NAP, LONGEST_NAP));
                continue;
            }
            Ok(None) => return None,
            Err(error) => return Some(Err(error)),
        };
        return Some(Err(io::Error::from_raw_os_error(error)));
    }
}

// === in the child: async-signal-safe calls alone ===

fn run(path: &CString, own: bool, create: bool, text: &[u8]) -> nix::Result<()> {
    if !own {
        // SAFETY: in the child; what is written to is opened after this.
        unsafe { close_all(0) };
    }
    if own { write_own(path, text) } else { place::write(path, create, text) }
}

/// A writer that hangs must hold nothing of softstop's open: neither the log's pipe, whose reader waits for its end, nor ports nor
/// children's pipes. One by one, since close_range is too new for some sandboxes; numbers are given out from the lowest.
///
/// # Safety
/// In a child of [`in_child`] alone, which uses no descriptor from `first` on afterwards but those that it opens.
pub(super) unsafe fn close_all(first: i32) {
    let mut not_open = 0;
    for fd in first.. {
        // SAFETY: by this function's contract nobody uses it any more; one that is not open fails with EBADF.
        not_open = if unsafe { libc::close(fd) } == 0 { 0 } else { not_open + 1 };
        if not_open > GAP {
            return;
        }
    }
}

/// As [`close_all`], but for two, which are at 0 and 1 from here on.
///
/// # Safety
/// In a child of [`in_child`] alone, which uses nothing else that is open.
pub(in crate::sys) unsafe fn close_all_but(kept: [BorrowedFd<'_>; 2]) -> nix::Result<[BorrowedFd<'static>; 2]> {
    // Out of the way of each other.
    let copy = |fd| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3));
    let [one, other] = kept;
    for (from, to) in [copy(one)?, copy(other)?].into_iter().zip(0..) {
        // SAFETY: the numbers are the launcher's standard streams, which the child does not use.
        nix::Error::result(unsafe { libc::dup2(from, to) })?;
    }
    // SAFETY: by this function's contract.
    unsafe { close_all(2) };
    // SAFETY: made above, and open until the process ends.
    Ok([0, 1].map(|fd| unsafe { BorrowedFd::borrow_raw(fd) }))
}

/// A name of softstop's own descriptors: what is open there is meant, whoever made the link.
fn write_own(path: &CStr, text: &[u8]) -> nix::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    write_all(&open(path, flags, Mode::empty())?, text)
}

pub(super) fn write_all(file: impl AsFd, text: &[u8]) -> nix::Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        match nix::unistd::write(&file, rest) {
            Ok(0) => return Err(nix::Error::EIO),
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
