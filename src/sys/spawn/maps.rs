//! Whether a library is mapped into a process. To read `/proc/<pid>/maps` is to wait for a lock that a process which is stuck in the
//! kernel may hold for ever (`mmap_lock`), so a process of its own reads it, a fork without exec, and can be given up: see [`writer`].

use std::ffi::CString;
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::writer;
use crate::signal::Signal;
use crate::sys::{procfs, target};

/// So much is read of it: a JVM with a thousand libraries has a tenth. What stands behind is not found.
const MOST: usize = 4 << 20;
const CHUNK: usize = 4096;
/// The longest name that can be asked for.
const NAME: usize = 64;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mapped {
    /// `false` also where it is not permitted, not known or took too long.
    pub found: bool,
    /// The reader that SIGKILL has not ended (yet), a child to be reaped.
    pub held: Option<i32>,
}

/// Whether a file of that name is mapped; `name` begins with a slash and has at most 64 bytes. Waits at most `limit`, so much longer as
/// `starved` for a reader that only waits for a processor, and 20 ms more for the end of one that is late.
pub fn is_mapped(pid: i32, name: &str, limit: Duration, starved: Duration) -> Mapped {
    let not_known = Mapped::default();
    if procfs::check_namespace().is_err() || name.len() > NAME {
        return not_known;
    }
    let Ok(path) = CString::new(format!("/proc/{pid}/maps")) else { return not_known };
    // SAFETY: `look` is made for that: async-signal-safe calls alone.
    let Ok(reader) = (unsafe { writer::in_child(|| look(&path, name.as_bytes())) }) else { return not_known };
    match writer::end_of_starved(reader, limit, starved) {
        Some(end) => Mapped { found: end.is_ok(), held: None },
        None => {
            let _ = target::signal(reader, Signal::KILL);
            let held = writer::end_of(reader, writer::GONE_WAIT).is_none().then_some(reader);
            Mapped { found: false, held }
        }
    }
}

// === in the child: async-signal-safe calls alone ===

fn look(path: &CString, name: &[u8]) -> nix::Result<()> {
    // SAFETY: in the child; what is read is opened after this.
    unsafe { writer::close_all(0) };
    let file = open(path.as_c_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    search(name, |buffer| nix::unistd::read(&file, buffer))
}

/// ENOENT when the text ends, or goes on for too long, without it.
fn search(name: &[u8], mut read: impl FnMut(&mut [u8]) -> nix::Result<usize>) -> nix::Result<()> {
    let mut buffer = [0; CHUNK + NAME];
    // The end of what was read before: the name may stand across.
    let (mut kept, mut total) = (0, 0);
    while total < MOST {
        let n = read(buffer.get_mut(kept..kept + CHUNK).unwrap_or_default())?;
        if n == 0 {
            break;
        }
        total += n;
        let text = buffer.get(..kept + n).unwrap_or_default();
        if text.windows(name.len().max(1)).any(|part| part == name) {
            return Ok(());
        }
        let keep = text.len().min(NAME);
        buffer.copy_within(kept + n - keep..kept + n, 0);
        kept = keep;
    }
    Err(nix::Error::ENOENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8], piece: usize) -> bool {
        let mut rest = text;
        search(b"/libjvm.so", |buffer| {
            let n = rest.len().min(piece).min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            Ok(n)
        })
        .is_ok()
    }

    #[test]
    fn a_name_is_found_wherever_the_pieces_end() {
        for before in [0, 1, 63, 64, 65, 4090, 4096, 4100, 70_000] {
            let text = [vec![b'x'; before], b"/usr/lib/jvm/libjvm.so (deleted)\n".to_vec(), vec![b'y'; 5000]].concat();
            for piece in [1, 7, 100, CHUNK] {
                assert!(found(&text, piece), "{before} {piece}");
            }
        }
        assert!(!found(b"", 9) && !found(b"/usr/lib/libjvm.s", 9) && !found(&vec![b'x'; 2 * MOST], CHUNK));
    }

    #[test]
    fn a_look_that_only_waits_for_a_processor_is_waited_for() {
        let (own, soon) = (crate::sys::process::own_pid(), Duration::from_secs(20));
        let found = (0..20).filter(|_| is_mapped(own, "/libc.so", Duration::ZERO, soon).found).count();
        // Other tests of this process may have kept the list to themselves for a moment.
        assert!(found > 5, "{found} of 20");
    }
}
