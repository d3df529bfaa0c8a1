//! What a small init needs and nothing else: signals taken one at a time, a fork whose child goes on in Rust, exec as the C library does
//! it, a terminal handed on. For `drop_in`, where softstop is another program; [`super::spawn`] is for softstop's own children.
//!
//! Whoever uses this has one thread, no runtime and no children but these.

#![expect(unsafe_code, reason = "fork, a terminal's requests and the C library's words have no safe wrapper that fits")]

use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid};

use super::mask::SignalSet;
use super::signals::{Early, Inherited};
use super::{process, target};
use crate::signal::Signal;

/// The number of an error.
pub type Number = i32;

pub fn number(error: &io::Error) -> Number {
    error.raw_os_error().unwrap_or(libc::EIO)
}

pub(super) fn numbered<T>(result: nix::Result<T>) -> Result<T, Number> {
    result.map_err(|errno| errno as Number)
}

/// Puts back what the entry point has arranged for softstop, but for the blocked signals and a SIGCHLD at its default: limits, and standard
/// descriptors that were closed. With what was found, and the launcher's descriptors from 3 up.
pub fn as_found(mut early: Early) -> (Inherited, Vec<OwnedFd>) {
    let descriptors = early.take_descriptors();
    let inherited = early.inherited();
    inherited.limits.give_back();
    for fd in early.filled {
        // SAFETY: the entry point has opened it to fill the gap, and nobody has used it since.
        unsafe { libc::close(fd) };
    }
    (inherited, descriptors)
}

/// Leaves them open for good.
pub fn keep_open(descriptors: Vec<OwnedFd>) {
    for descriptor in descriptors {
        let _open = descriptor.into_raw_fd();
    }
}

/// Waits for one of these signals, all of which must be blocked, and takes it: the one with the lowest number, faults first. `None`: something
/// else has interrupted.
pub fn take_signal(set: SignalSet) -> Option<Signal> {
    let bits = set.bits();
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: the kernel reads eight bytes, which is its sigset_t, from live memory; without a place for the details and without a timeout
    // it touches nothing else.
    let rc = unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const bits, none, none, size_of_val(&bits)) };
    i32::try_from(rc).ok().and_then(Signal::from_number)
}

/// `kill` of a process, or of the group of that number.
///
/// # Errors
/// ESRCH, EPERM. EINVAL for what would be everybody.
pub fn send(pid: i32, group: bool, signal: Signal) -> Result<(), Number> {
    if pid <= 0 || group && pid == 1 {
        return Err(libc::EINVAL);
    }
    process::kill(if group { -pid } else { pid }, signal.number()).map_err(|e| number(&e))
}

/// Forks. `child` runs in the new process, with this one's memory, and its result is that one's exit code; nothing that is buffered is written
/// and no destructor of this process's runs there.
///
/// # Errors
/// EAGAIN, ENOMEM.
pub fn fork(child: impl FnOnce() -> u8) -> Result<i32, Number> {
    // SAFETY: this process has a single thread, so no lock is held by one that the child does not have: it may allocate and print.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(child.as_raw()),
        Ok(ForkResult::Child) => process::end_now(child().into()),
        Err(e) => Err(e as Number),
    }
}

/// Becomes the program, looked for and executed as the C library's `execvp` does: with glibc, a file without a format is given to /bin/sh.
/// Returns only with an error.
pub fn exec(command: &[OsString]) -> Number {
    // There are no NUL bytes in what has been an argument.
    let words: Vec<CString> = command.iter().filter_map(|word| CString::new(word.as_bytes()).ok()).collect();
    let Some(program) = words.first() else { return libc::ENOENT };
    match nix::unistd::execvp(program, &words) {
        Err(e) => e as Number,
    }
}

/// In the child: sets a variable for the program that it is about to become.
pub fn set_variable(name: &CStr, value: &OsStr) {
    let Ok(value) = CString::new(value.as_bytes()) else { return };
    // SAFETY: two NUL-terminated strings, which it copies; with a single thread nobody else reads the environment.
    unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
}

/// Puts this process into a group of its own.
///
/// # Errors
/// EPERM where a sandbox refuses.
pub fn own_group() -> Result<(), Number> {
    numbered(nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)))
}

/// Puts this process into a session of its own.
///
/// # Errors
/// EPERM when it leads a group.
pub fn own_session() -> Result<(), Number> {
    numbered(nix::unistd::setsid()).map(drop)
}

/// Whether that process lives in this one's group.
pub fn is_in_own_group(pid: i32) -> bool {
    target::group_of(pid) == Some(nix::unistd::getpgrp().as_raw())
}

/// Whether this process leads its session.
pub fn leads_session() -> bool {
    nix::unistd::getsid(None).is_ok_and(|session| session == nix::unistd::getpid())
}

/// The process's controlling terminal, for as long as it is open.
///
/// # Errors
/// ENXIO without one; ENOENT without /dev.
pub fn controlling_terminal() -> Result<OwnedFd, Number> {
    numbered(open(c"/dev/tty", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()))
}

/// Makes this process's group the one in the foreground of a terminal; `None`: of the one at standard input, whatever is there. SIGTTOU
/// must be ignored or blocked.
///
/// # Errors
/// ENOTTY when it is no terminal, or not this session's; EBADF when nothing is there.
pub fn come_to_the_foreground(terminal: Option<&OwnedFd>) -> Result<(), Number> {
    let fd = terminal.map_or(0, OwnedFd::as_raw_fd);
    // SAFETY: takes two integers; a number that is not open fails.
    numbered(Errno::result(unsafe { libc::tcsetpgrp(fd, nix::unistd::getpgrp().as_raw()) })).map(drop)
}

/// Gives up the controlling terminal, which standard input must be.
///
/// # Errors
/// ENOTTY when it is not.
pub fn let_go_of_terminal() -> Result<(), Number> {
    // SAFETY: this request has no argument; a number that is not open fails.
    numbered(Errno::result(unsafe { libc::ioctl(0, libc::TIOCNOTTY) })).map(drop)
}

/// Makes the terminal at standard input the controlling one of this session, if it is nobody's.
///
/// # Errors
/// ENOTTY when it is none, EPERM when it is another session's.
pub fn take_terminal() -> Result<(), Number> {
    // SAFETY: this request takes an integer; a number that is not open fails.
    numbered(Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })).map(drop)
}

/// Orphans come to this process, not being PID 1.
///
/// # Errors
/// EINVAL before Linux 3.4.
pub fn is_subreaper() -> Result<bool, Number> {
    numbered(nix::sys::prctl::get_child_subreaper())
}

/// The C library's words for a signal: `Hangup`.
pub fn signal_text(signal: Signal) -> String {
    // SAFETY: takes an integer.
    words(unsafe { libc::strsignal(signal.number()) })
}

/// The C library's words for an error: `No such file or directory`.
pub fn error_text(errno: Number) -> String {
    // SAFETY: takes an integer.
    words(unsafe { libc::strerror(errno) })
}

fn words(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: NUL-terminated, and the C library's until the next such call, which only this thread could make.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_meant_by_no_pid_and_not_everybody_by_the_first_group() {
        for (pid, group) in [(0, false), (0, true), (-1, false), (1, true)] {
            assert_eq!(send(pid, group, Signal::CONT), Err(libc::EINVAL));
        }
    }

    #[test]
    fn the_c_librarys_words_are_to_be_had() {
        assert_eq!(error_text(libc::ENOENT), "No such file or directory");
        assert_eq!(signal_text(Signal::HUP), "Hangup");
    }
}
