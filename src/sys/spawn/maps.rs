//! Whether a library is mapped into a process. To read `/proc/<pid>/maps` is to wait for a lock that a process which is stuck in the
//! kernel may hold for ever (`mmap_lock`), so a process of its own reads it and can be given up: see [`reader`].

use std::path::Path;
use std::time::Duration;

use super::reader;
use crate::sys::procfs;

/// So much is read of it: a JVM with a thousand libraries has a tenth. What stands behind is not found.
const MOST: usize = 4 << 20;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mapped {
    /// `false` also where it is not permitted, not known or took too long.
    pub found: bool,
    /// The reader that SIGKILL has not ended (yet), a child to be reaped.
    pub held: Option<i32>,
}

/// Whether a file of that name is mapped; `name` begins with a slash. How long that may take: as [`reader::read`] has it.
pub fn is_mapped(pid: i32, name: &str, limit: Duration, starved: Duration) -> Mapped {
    if procfs::check_namespace().is_err() {
        return Mapped::default();
    }
    let read = reader::read(Path::new(&format!("/proc/{pid}/maps")), MOST, limit, starved);
    Mapped { found: read.bytes.is_ok_and(|text| String::from_utf8_lossy(&text).contains(name)), held: read.held }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_only_waits_for_a_processor_is_waited_for() {
        let (own, soon) = (crate::sys::process::own_pid(), Duration::from_secs(20));
        let found = (0..20).filter(|_| is_mapped(own, "/libc.so", Duration::ZERO, soon).found).count();
        // Other tests of this process may have kept the list to themselves for a moment.
        assert!(found > 5, "{found} of 20");
    }
}
