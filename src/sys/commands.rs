//! Processes found by their command, whoever started them: in a pod with a shared PID namespace, those of other containers. Their
//! name is what the kernel has (`comm`): the program's file name, or what the process calls itself, cut to 15 bytes.

use std::io;

use super::pidfd::send_to_found;
use super::process::own_pid;
use super::procfs::{self, Stat, read_stat};
use crate::signal::Signal;

/// The kernel keeps so many bytes of a name (TASK_COMM_LEN less the NUL).
const KEPT: usize = 15;
/// Processes looked at in one piece: a millisecond.
const PIECE: usize = 64;

/// A look through all processes, piece by piece.
pub struct Search {
    name: String,
    pids: Box<dyn Iterator<Item = i32>>,
    found: Vec<Stat>,
}

/// Begins to look for processes of that name. softstop itself is none of them.
///
/// # Errors
/// There is no /proc, or it shows another PID namespace.
pub fn search(command: &str) -> io::Result<Search> {
    Ok(Search { name: command.to_owned(), pids: Box::new(procfs::pids()?), found: Vec::new() })
}

impl Search {
    /// Inspects some more; `true`: that was all.
    pub fn go_on(&mut self) -> bool {
        for _ in 0..PIECE {
            let Some(pid) = self.pids.next() else { return true };
            let stat = if pid == own_pid() { None } else { read_stat(pid).ok() };
            self.found.extend(stat.filter(|stat| stat.lives() && is_named(&stat.comm, &self.name)));
        }
        false
    }

    /// Those that live.
    pub fn found(self) -> Vec<Named> {
        let of_that_name = |pid: i32| self.found.iter().any(|s| s.pid == pid);
        let named = |s: &Stat| Named { pid: s.pid, started: s.started, outermost: !of_that_name(s.ppid) };
        self.found.iter().map(named).collect()
    }
}

fn is_named(comm: &str, name: &str) -> bool {
    comm.as_bytes() == name.as_bytes().get(..KEPT).unwrap_or(name.as_bytes())
}

/// A process of the name that was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    pub pid: i32,
    /// Its parent is no process of that name: nginx's master is, its workers are not.
    pub outermost: bool,
    started: u64,
}

/// Sends a signal to a process that was found, and to no other that has got its number since: see [`send_to_found`].
///
/// # Errors
/// ESRCH or what /proc says: it has ended. EPERM: it runs as another user. EINVAL for softstop itself.
pub fn signal(process: &Named, signal: Signal) -> io::Result<()> {
    if process.pid < 1 || process.pid == own_pid() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    send_to_found(process.pid, process.started, &[signal])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_kernel_keeps_them() {
        assert!(is_named("nginx", "nginx") && is_named("a-long-programs", "a-long-programs-name"));
        assert!(
            !is_named("nginx", "ngin")
                && !is_named("ngin", "nginx")
                && !is_named("a-long-program", "a-long-programs-name")
        );
    }

    #[test]
    fn softstop_itself_is_never_found_and_a_reused_pid_is_no_target() {
        let comm = read_stat(own_pid()).unwrap().comm;
        let mut search = search(&comm).unwrap();
        while !search.go_on() {}
        assert!(search.found().iter().all(|n| n.pid != own_pid()));
        let itself = Named { pid: own_pid(), started: 0, outermost: true };
        assert_eq!(signal(&itself, Signal::CONT).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let parent = std::os::unix::process::parent_id() as i32;
        let another = Named { pid: parent, started: 1, outermost: true };
        assert_eq!(signal(&another, Signal::CONT).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
