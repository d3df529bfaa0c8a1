//! Waiting for children: the only place that does, as two waiters steal each other's statuses.
//!
//! Peek, act, reap that pid, repeat: a child that was peeked at is still a zombie, so its pid and its process group's
//! number cannot belong to a stranger while the caller acts on them. A peek shows only the first zombie, so peeking and
//! skipping would show it again for ever.

#![expect(unsafe_code, reason = "nix's WaitStatus cannot express death by a real-time signal, so waitid is called raw")]

use std::io;
use std::mem::MaybeUninit;

use crate::facts::Exit;
use crate::signal::Signal;

/// What a look at our children shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peek {
    /// This one has ended and waits to be reaped.
    Dead { pid: i32, exit: Exit },
    /// There are children; none has ended.
    Busy,
    /// There are no children, of whatever origin.
    NoChildren,
}

/// Looks for a child that has ended, without reaping it. Adopted orphans are children too. A zombie that a debugger
/// holds, and one whose other threads still run, do not show before they can be reaped.
pub fn peek() -> Peek {
    match wait(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) {
        Ok(Some(Change { pid, state: State::Ended(exit) })) => Peek::Dead { pid, exit },
        Ok(_) => Peek::Busy,
        // ECHILD; waitid has no other error for these arguments.
        Err(_) => Peek::NoChildren,
    }
}

/// The end of one child, without reaping it. `None` while it lives, and when it is not a child of ours.
pub fn peek_at(pid: i32) -> Option<Exit> {
    wait_one(pid, libc::WNOHANG | libc::WNOWAIT).ok().flatten()
}

/// Reaps one child that has ended. After this its pid may be anybody's. `None` while it lives.
///
/// # Errors
/// ECHILD when it is not a child of ours (any more); EINVAL for a pid below 1.
pub fn reap(pid: i32) -> io::Result<Option<Exit>> {
    wait_one(pid, libc::WNOHANG)
}

/// A child that was stopped since the last call, by that signal (SIGSTOP, SIGTSTP, a terminal's), or that was continued (`None`).
/// Each change is reported once, and of those that follow each other at once only the last. Stopped is not ended: nothing is reaped.
pub fn stopped_or_continued() -> Option<(i32, Option<Signal>)> {
    match wait(libc::P_ALL, 0, libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG) {
        Ok(Some(Change { pid, state: State::Stopped(signal) })) => Some((pid, Some(signal))),
        Ok(Some(Change { pid, .. })) => Some((pid, None)),
        _ => None,
    }
}

struct Change {
    pid: i32,
    state: State,
}

enum State {
    Ended(Exit),
    Stopped(Signal),
    Other,
}

fn wait_one(pid: i32, flags: i32) -> io::Result<Option<Exit>> {
    // Below 0 are groups to waitid's relatives: never by mistake. 0 it refuses itself.
    let id = libc::id_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(match wait(libc::P_PID, id, libc::WEXITED | flags)? {
        Some(Change { state: State::Ended(exit), .. }) => Some(exit),
        _ => None,
    })
}

fn wait(which: libc::idtype_t, id: libc::id_t, flags: i32) -> io::Result<Option<Change>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` is live memory of the right type; waitid writes to nothing else.
        if unsafe { libc::waitid(which, id, info.as_mut_ptr(), flags) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: zeroed, which is valid for this plain C struct, and then filled by the kernel.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the SIGCHLD part of the union, or leaves zero when nothing has changed.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above; something has changed, so the kernel has written the status.
    let status = unsafe { info.si_status() };
    Ok(Some(Change { pid, state: state(info.si_code, status) }))
}

fn state(code: i32, status: i32) -> State {
    let signalled = |core| Signal::from_number(status).map_or(Exit::Code(255), |signal| Exit::Signal { signal, core });
    match code {
        libc::CLD_EXITED => State::Ended(Exit::Code((status & 0xff) as u8)),
        libc::CLD_KILLED => State::Ended(signalled(false)),
        libc::CLD_DUMPED => State::Ended(signalled(true)),
        libc::CLD_STOPPED => Signal::from_number(status).map_or(State::Other, State::Stopped),
        _ => State::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32, status: i32) -> Option<Exit> {
        match state(code, status) {
            State::Ended(exit) => Some(exit),
            _ => None,
        }
    }

    #[test]
    fn every_way_to_end_is_told_apart() {
        assert_eq!(exit(libc::CLD_EXITED, 3), Some(Exit::Code(3)));
        let signal = Signal::from_number(37).unwrap();
        assert_eq!(exit(libc::CLD_KILLED, 37), Some(Exit::Signal { signal, core: false }));
        assert_eq!(exit(libc::CLD_DUMPED, 3), Some(Exit::Signal { signal: Signal::QUIT, core: true }));
        assert_eq!(exit(libc::CLD_STOPPED, 19), None);
        assert_eq!(exit(libc::CLD_CONTINUED, 18), None);
        assert_eq!(exit(libc::CLD_TRAPPED, 5), None);
    }

    #[test]
    fn only_real_pids_are_waited_for() {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(reap(pid).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            assert_eq!(peek_at(pid), None);
        }
        assert_eq!(reap(1).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }
}
