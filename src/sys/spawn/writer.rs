//! Writing a file in a process of its own. Opening a file, or merely looking at its name, waits in the kernel for as long as
//! its file system hangs (FUSE, NFS, a disk that is gone), whatever flags are given; only who is killed can be given up.
//!
//! The process is a fork without exec, so it needs no program and half a millisecond. What the file system holds even after
//! SIGKILL stays a child until it is let go, and is then reaped as any other.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{ForkResult, fork, pipe2};

use crate::signal::Signal;
use crate::sys::mask::{self, SignalSet};
use crate::sys::{process, reap, target};

/// How long a process that was sent SIGKILL may take to be gone, before it counts as one that cannot be ended.
const GONE_WAIT: Duration = Duration::from_millis(20);
/// Where the kernel cannot close a range, so many descriptors are closed one by one.
const MOST_FDS: RawFd = 1 << 16;

/// What came of it.
#[derive(Debug)]
pub enum Written {
    Done(io::Result<()>),
    /// No answer in time. `held` is the process that SIGKILL has not ended (yet), a child to be reaped.
    Late {
        held: Option<i32>,
    },
}

/// Truncates (never renames: the termination log is a bind mount) and writes; with `create` the file is made if it is not there.
/// Waits at most `limit`, and 20 ms more for the end of a writer that is late.
///
/// # Errors
/// In [`Written::Done`], as fork, open and write have it: ENXIO for a FIFO that nobody reads, EAGAIN when there may be no more
/// processes. A writer that somebody killed is EINTR.
pub fn write(path: &Path, create: bool, text: &[u8], limit: Duration) -> Written {
    match start(path, create, text) {
        Ok((pid, answer)) => wait(pid, &answer, limit),
        Err(error) => Written::Done(Err(error)),
    }
}

fn start(path: &Path, create: bool, text: &[u8]) -> io::Result<(i32, OwnedFd)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (answer, answer_to) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    // In the child none of our handlers may run; what is blocked does not end it, but for SIGKILL.
    let before = mask::replace_mask(SignalSet::ALL);
    // SAFETY: the child makes async-signal-safe calls alone (`run`) and never returns.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        run(&path, create, text, answer_to.as_raw_fd());
    }
    mask::replace_mask(before);
    match forked {
        Ok(ForkResult::Parent { child }) => Ok((child.as_raw(), answer)),
        Ok(ForkResult::Child) => unreachable!("it has ended in `run`"),
        Err(error) => Err(error.into()),
    }
}

fn wait(pid: i32, answer: &OwnedFd, limit: Duration) -> Written {
    let end = Instant::now() + limit;
    let written = loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(answer.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(n) if n > 0 => break Some(read_answer(answer)),
            Err(nix::Error::EINTR) => {}
            // poll counts in milliseconds, and what is left may be less than one.
            Ok(_) if Instant::now() < end => {}
            Ok(_) | Err(_) => break None,
        }
    };
    if written.is_none() {
        let _ = target::signal(pid, Signal::KILL);
    }
    let held = if gone(pid) { None } else { Some(pid) };
    written.map_or(Written::Late { held }, Written::Done)
}

fn read_answer(answer: &OwnedFd) -> io::Result<()> {
    let mut bytes = [0; size_of::<i32>()];
    let read = nix::unistd::read(answer, &mut bytes);
    match i32::from_ne_bytes(bytes) {
        0 if read == Ok(bytes.len()) => Ok(()),
        errno if read == Ok(bytes.len()) => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(io::Error::from_raw_os_error(libc::EINTR)),
    }
}

/// Reaps it, unless that takes long.
fn gone(pid: i32) -> bool {
    let end = Instant::now() + GONE_WAIT;
    while let Ok(None) = reap::reap(pid) {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_micros(20));
    }
    true
}

// === in the child: async-signal-safe calls alone ===

fn run(path: &CString, create: bool, text: &[u8], answer_to: RawFd) -> ! {
    let answer_to = alone_with(answer_to);
    let errno = match open_and_write(path, create, text) {
        Ok(()) => 0,
        Err(errno) => errno as i32,
    };
    // SAFETY: `answer_to` stays open until the process ends.
    let to = unsafe { BorrowedFd::borrow_raw(answer_to) };
    let _ = nix::unistd::write(to, &errno.to_ne_bytes());
    // SAFETY: ends the process, without what the C library would do at an exit, which is the parent's.
    unsafe { libc::_exit(0) }
}

/// A writer that hangs must hold nothing of softstop's open: neither the log's pipe, whose reader waits for its end, nor ports nor
/// children's pipes. The one descriptor that it keeps becomes number 0.
fn alone_with(fd: RawFd) -> RawFd {
    // SAFETY: takes integers; 0 is this process's own to replace.
    if fd != 0 && unsafe { libc::dup2(fd, 0) } < 0 {
        return fd;
    }
    // SAFETY: takes integers; nothing of this process uses a descriptor but 0 from here on.
    if unsafe { libc::syscall(libc::SYS_close_range, 1, libc::c_uint::MAX, 0) } != 0 {
        for fd in 1..process::fd_limit().min(MOST_FDS) {
            // SAFETY: as above; a number that is not open fails with EBADF and nothing else.
            unsafe { libc::close(fd) };
        }
    }
    0
}

fn open_and_write(path: &CString, create: bool, text: &[u8]) -> nix::Result<()> {
    let create = if create { libc::O_CREAT } else { 0 };
    // A FIFO that nobody reads and a device that blocks are refused.
    let flags = libc::O_WRONLY | libc::O_TRUNC | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY | create;
    // SAFETY: a NUL-terminated string that outlives the call.
    let file = nix::Error::result(unsafe { libc::open(path.as_ptr(), flags, 0o644) })?;
    // SAFETY: just opened, and never closed but by the end of the process.
    let file = unsafe { BorrowedFd::borrow_raw(file) };
    let mut rest = text;
    while !rest.is_empty() {
        match nix::unistd::write(file, rest) {
            Ok(0) => return Err(nix::Error::EIO),
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
