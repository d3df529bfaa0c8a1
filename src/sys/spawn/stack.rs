//! The kernel functions that a process is in. To read `/proc/<pid>/stack` is to wait for a lock that an exec which is stuck may hold for
//! ever (`exec_update_lock`, fs/proc/base.c), so a process of its own reads it, a fork without exec, and can be given up: see [`writer`].

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::writer;
use crate::signal::Signal;
use crate::sys::target;
use crate::sys::{procfs, stdio};

/// So many functions are kept, the innermost; the others are the way in.
const FUNCTIONS: usize = 16;
/// So many bytes are read, which a pipe takes at once.
const TEXT: usize = 4096;

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stack {
    /// Innermost first. Empty where it is not permitted (it takes `CAP_SYS_ADMIN`), not known or took too long.
    pub functions: Vec<String>,
    /// The reader that SIGKILL has not ended (yet), a child to be reaped.
    pub held: Option<i32>,
}

/// Waits at most `limit`, and 20 ms more for the end of a reader that is late.
pub fn kernel_stack(pid: i32, limit: Duration) -> Stack {
    let Ok((read, write)) = stdio::pipe() else { return Stack::default() };
    if procfs::check_namespace().is_err() {
        return Stack::default();
    }
    let Ok(reader) = start(pid, &write) else { return Stack::default() };
    drop(write);
    match writer::end_of(reader, limit) {
        Some(Ok(())) => Stack { functions: parse_stack(&text(read)), held: None },
        Some(Err(_)) => Stack::default(),
        None => {
            let _ = target::signal(reader, Signal::KILL);
            let held = writer::end_of(reader, writer::GONE_WAIT).is_none().then_some(reader);
            Stack { functions: Vec::new(), held }
        }
    }
}

/// What the pipe holds, without waiting for more.
fn text(read: OwnedFd) -> String {
    let mut bytes = [0; TEXT];
    let n = nix::unistd::read(&read, &mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}

/// The functions in the text of `/proc/<pid>/stack`: lines such as `[<0>] do_wait+0x5e/0x120`.
pub fn parse_stack(text: &str) -> Vec<String> {
    let function = |line: &str| {
        let name = line.split_once("] ")?.1.split('+').next()?.trim();
        (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| name.to_owned())
    };
    text.lines().filter_map(function).take(FUNCTIONS).collect()
}

fn start(pid: i32, to: &OwnedFd) -> io::Result<i32> {
    let path = CString::new(format!("/proc/{pid}/stack"))?;
    let to = to.as_raw_fd();
    Ok(writer::in_child(|| run(&path, to))?)
}

// === in the child: async-signal-safe calls alone ===

fn run(path: &CString, to: i32) -> nix::Result<()> {
    // SAFETY: two integers; what was descriptor 0 is nothing to this process.
    nix::Error::result(unsafe { libc::dup2(to, 0) })?;
    writer::close_all(1);
    pass_on(path)
}

fn pass_on(path: &CString) -> nix::Result<()> {
    // SAFETY: a NUL-terminated string that outlives the call.
    let file = nix::Error::result(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
    // SAFETY: just opened, and never closed but by the end of the process.
    let file = unsafe { BorrowedFd::borrow_raw(file) };
    // SAFETY: descriptor 0 is the pipe, moved there above, and is never closed but by the end of the process.
    let to = unsafe { BorrowedFd::borrow_raw(0) };
    let mut bytes = [0; TEXT];
    let n = nix::unistd::read(file, &mut bytes)?;
    nix::unistd::write(to, bytes.get(..n).unwrap_or_default())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_read_from_a_stack() {
        let text = "[<0>] nfs_wait_bit_killable+0x1d/0x90\n[<0>] __x64_sys_close+0x5e/0x120 [nfs]\ngarbage\n[<0>] \n";
        assert_eq!(parse_stack(text), ["nfs_wait_bit_killable", "__x64_sys_close"]);
        assert_eq!(parse_stack("[<ffffffff8108>] 0xffffffffffffffff\n"), ["0xffffffffffffffff"]);
        assert_eq!(parse_stack(&"[<0>] f+0x1/0x2\n".repeat(100)).len(), FUNCTIONS);
        assert_eq!(parse_stack(""), Vec::<String>::new());
    }
}
