//! The kernel functions that a process is in. To read `/proc/<pid>/stack` is to wait for a lock that an exec which is stuck may hold for
//! ever (`exec_update_lock`, fs/proc/base.c), so a process of its own reads it and can be given up: see [`reader`].

use std::path::Path;
use std::time::Duration;

use super::reader;
use crate::sys::procfs;

/// So many functions are kept, the innermost; the others are the way in.
const FUNCTIONS: usize = 16;
/// So many bytes are read.
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
    if procfs::check_namespace().is_err() {
        return Stack::default();
    }
    let read = reader::read(Path::new(&format!("/proc/{pid}/stack")), TEXT, limit, Duration::ZERO);
    let functions = read.bytes.map(|text| parse_stack(&String::from_utf8_lossy(&text)));
    Stack { functions: functions.unwrap_or_default(), held: read.held }
}

/// The functions in the text of `/proc/<pid>/stack`: lines such as `[<0>] do_wait+0x5e/0x120`.
fn parse_stack(text: &str) -> Vec<String> {
    let function = |line: &str| {
        let name = line.split_once("] ")?.1.split('+').next()?.trim();
        (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| name.to_owned())
    };
    text.lines().filter_map(function).take(FUNCTIONS).collect()
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
