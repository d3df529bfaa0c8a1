//! The child between fork and exec. Async-signal-safe calls alone: no allocation, no lock, no panic, no formatting. All
//! signals are blocked until the end.

#![expect(
    unsafe_code,
    reason = "between fork and exec nothing may allocate, and descriptors are numbers: nix has no call for the rest"
)]

use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::unistd::{
    AccessFlags, Pid, Uid, access, chdir, getegid, geteuid, getpid, setgroups, setpgid, setresgid, setresuid, setsid,
    setuid,
};

use super::error::{Failure, Stage};
use super::prepare::{Identity, Prepared};
use crate::exit;
use crate::signal::Signal;
use crate::sys::{descriptors, limits, mask, plain, process};

/// Becomes the program, or reports why not and ends.
///
/// # Safety
/// In a forked child alone, and with every signal blocked: standard descriptors, user and signal mask are the program's from here on.
pub(super) unsafe fn run(prepared: &mut Prepared, report_to: RawFd) -> ! {
    let Err(failure) = become_program(prepared);
    let not_found =
        failure.stage == Stage::Exec && matches!(failure.errno, libc::ENOENT | libc::ENOTDIR) && !failure.exists;
    let bytes = failure.to_bytes();
    // The parent may have stopped listening; the exit code below matters then.
    mask::set_ignored(Signal::PIPE, true);
    // SAFETY: the bytes live on this stack; a wrong or closed descriptor only makes the call fail.
    unsafe { libc::write(report_to, bytes.as_ptr().cast(), bytes.len()) };
    process::end_now(i32::from(if not_found { exit::NOT_FOUND } else { exit::NOT_EXECUTABLE }))
}

fn become_program(prepared: &mut Prepared) -> Result<std::convert::Infallible, Failure> {
    // softstop's own at its default must not be the program's. Nothing else has changed, and handlers there are none.
    if prepared.inherited.ignores_chld {
        mask::set_ignored(Signal::CHLD, true);
    }
    let pid = getpid().as_raw();
    stand_apart(prepared, pid)?;
    let changed_dir = change_dir(prepared);
    if !prepared.keep_fds {
        hide_descriptors();
    }
    for (number, fd) in &prepared.handed {
        // SAFETY: takes integers. What is at that number is close-on-exec and no longer needed here: the standard descriptors are in
        // place, and the report's pipe and the others to be handed are above.
        Stage::Handed.step(Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), *number) }))?;
    }
    prepared.limits.before_the_user()?;
    if let Some(identity) = &prepared.identity {
        change_identity(identity)?;
    }
    prepared.limits.after_the_user()?;
    // The user may be let in where root is not (a network filesystem's root squash), as well as the other way round.
    Stage::WorkingDir.step(if changed_dir == Err(Errno::EACCES) { change_dir(prepared) } else { changed_dir })?;
    prepared.write_listen_pid(pid.unsigned_abs());
    // Last, as what has been opened here may be above the limit that the program gets.
    prepared.inherited.limits.give_back();
    if !prepared.limits.sets_niceness() {
        process::give_back_priority();
    }
    prepared.limits.last()?;
    mask::replace_mask(prepared.inherited.mask);
    Err(execute(prepared))
}

/// In a group or session of its own, with its terminal and its standard descriptors.
fn stand_apart(prepared: &Prepared, pid: i32) -> Result<(), Failure> {
    if prepared.session {
        Stage::Terminal.step(setsid())?;
    } else {
        // A sandbox may refuse a group of its own; the child then runs in ours.
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    }
    if let Some(terminal) = prepared.terminal {
        // SAFETY: takes two integers. TTOU is blocked; ENOTTY, ENXIO, EPERM and EINVAL mean that there is no job control
        // to be had, which the program can live without.
        unsafe { libc::tcsetpgrp(terminal, pid) };
    }
    Stage::Stdio.step(set_stdio(prepared.stdio))?;
    if prepared.session {
        Stage::Terminal.step(plain::take_terminal().map_err(Errno::from_raw))?;
    }
    Ok(())
}

/// A source that is itself one of 0 to 2 is moved out of the way first, so that no order of targets overwrites it.
fn set_stdio(stdio: [Option<RawFd>; 3]) -> nix::Result<()> {
    let mut sources = stdio;
    for (target, source) in (0..).zip(&mut sources) {
        if let Some(fd) = source.filter(|fd| (0..=2).contains(fd) && *fd != target) {
            // SAFETY: takes integers; makes a new descriptor and touches no other.
            *source = Some(Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?);
        }
    }
    for (target, source) in (0..).zip(sources) {
        match source {
            None => {}
            // dup2 onto itself would leave close-on-exec set.
            Some(fd) if fd == target => {
                // SAFETY: takes integers; changes a flag of a descriptor of this process.
                Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
            }
            // SAFETY: takes integers; the target is one of the child's own standard descriptors.
            Some(fd) => Errno::result(unsafe { libc::dup2(fd, target) }).map(drop)?,
        }
    }
    Ok(())
}

fn change_dir(prepared: &Prepared) -> nix::Result<()> {
    prepared.working_dir.as_ref().map_or(Ok(()), |dir| chdir(dir.as_c_str()))
}

/// Marks every descriptor from 3 up close-on-exec; the report's pipe needs to live until then. In one call where the kernel
/// has it (5.11) and no sandbox refuses it, else by /proc, else by number.
fn hide_descriptors() {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: takes three integers and changes flags of this process's descriptors alone.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if rc != 0 && !hide_listed() {
        (3..limits::highest_descriptor_tried()).for_each(hide);
    }
}

/// False when there is no /proc.
fn hide_listed() -> bool {
    descriptors::listed(&mut |fd| {
        if fd >= 3 {
            hide(fd);
        }
    })
}

fn hide(fd: RawFd) {
    // SAFETY: takes integers; a number that is not open fails with EBADF and nothing else.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Groups, group, user: each step needs rights that a later one takes away. All three ids of each, so that no way back is
/// left; that is checked, as a kernel or sandbox that pretends would leave a root process behind.
fn change_identity(identity: &Identity) -> Result<(), Failure> {
    let unless = |harmless: bool, result| if harmless && result == Err(Errno::EPERM) { Ok(()) } else { result };
    let (uid, gid) = (identity.uid, identity.gid);
    Stage::Groups.step(unless(identity.groups_harmless, setgroups(&identity.groups)))?;
    Stage::Gid.step(unless(identity.already, setresgid(gid, gid, gid)))?;
    Stage::Uid.step(unless(identity.already, setresuid(uid, uid, uid)))?;
    // Going back to root must be refused; where nothing was changed there is nothing to check.
    let back = !identity.already && !uid.is_root() && setuid(Uid::from_raw(0)).is_ok();
    if back || geteuid() != uid || getegid() != gid {
        return Err(Failure::new(Stage::WayBack, libc::EPERM));
    }
    Ok(())
}

/// Tries each candidate, as execvp does: one that is not there makes way for the next, one that may not be executed is
/// remembered as the better explanation. Unlike execvp, never a shell for a file without a format.
fn execute(prepared: &Prepared) -> Failure {
    let mut failure = Failure::new(Stage::Exec, libc::ENOENT);
    for (n, path) in (0..).zip(&prepared.candidates) {
        // SAFETY: a NUL-terminated path and NULL-terminated arrays of NUL-terminated strings, all owned by `prepared`. On
        // success it does not return.
        unsafe { libc::execve(path.as_ptr(), prepared.argv.as_ptr(), prepared.envp.as_ptr()) };
        let errno = Errno::last_raw();
        let exists = errno == libc::ENOENT && access(path.as_c_str(), AccessFlags::F_OK).is_ok();
        let this = Failure { stage: Stage::Exec, errno, candidate: n, exists };
        match errno {
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT if !exists => {
                if prepared.candidates.len() == 1 {
                    return this;
                }
            }
            libc::ENOENT | libc::EACCES => {
                if failure.errno == libc::ENOENT && !failure.exists {
                    failure = this;
                }
            }
            _ => return this,
        }
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_close_range_the_listing_does() {
        use nix::fcntl::{FcntlArg, fcntl};
        use std::os::fd::{FromRawFd, OwnedFd};
        let null = std::fs::File::open("/dev/null").unwrap();
        let copies = [800, 950].map(|at| fcntl(&null, FcntlArg::F_DUPFD(at)).unwrap());
        // SAFETY: takes integers.
        let hidden = |fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } == libc::FD_CLOEXEC;
        assert!(!copies.iter().any(|fd| hidden(*fd)));
        assert!(hide_listed());
        assert!(copies.iter().all(|fd| hidden(*fd)));
        for fd in 0..=2 {
            assert!(!hidden(fd), "the standard descriptors stay");
        }
        for fd in copies {
            // SAFETY: made above, and nobody else's.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}
