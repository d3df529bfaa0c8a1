//! A child that is PID 1 of a namespace of its own, with a /proc of its own, as a container's first process is. For `softstop drill`: who
//! uses this has one thread.

#![expect(unsafe_code, reason = "clone with namespaces and mount have no safe wrapper here")]

use std::ffi::CStr;
use std::ptr;

use nix::errno::Errno;

use super::plain::{Number, numbered};
use super::process::end_now;

/// Forks into new PID and mount namespaces. `child` runs there, with this process's memory, and its result is that one's exit code; no
/// destructor of this process's runs there. It takes CAP_SYS_ADMIN.
///
/// # Errors
/// EPERM without that capability or under a seccomp profile, ENOSPC or EINVAL where there may be no more namespaces, EAGAIN, ENOMEM.
pub fn fork(child: impl FnOnce() -> u8) -> Result<i32, Number> {
    let flags = libc::c_long::from(libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::SIGCHLD);
    let none: libc::c_long = 0;
    // SAFETY: without a stack of its own and without shared memory it is a fork; with a single thread no lock is held by one that the child
    // does not have, so it may allocate.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    match pid {
        0 => end_now(child().into()),
        -1 => Err(Errno::last_raw()),
        pid => i32::try_from(pid).map_err(|_| libc::EOVERFLOW),
    }
}

/// In such a child: /proc shows its namespace, in its mount namespace alone.
///
/// # Errors
/// EPERM where parts of /proc are masked, as container runtimes do it; ENOENT without /proc.
pub fn own_proc() -> Result<(), Number> {
    let mount = |source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong| {
        // SAFETY: three NUL-terminated strings, and no data.
        numbered(Errno::result(unsafe {
            libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, ptr::null())
        }))
    };
    // Else what is mounted here would appear where it was started, too.
    mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(c"proc", c"/proc", c"proc", libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC).map(drop)
}
