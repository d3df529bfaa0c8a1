//! Reading a file in a process of its own, for files whose file system may hang: to open one, or merely to look at its name, waits in the
//! kernel whatever flags are given. The process is a fork without exec, as in [`writer`], and hands the bytes over through a pipe.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{alarm, dup2_stdin};

use super::writer;
use crate::signal::Signal;
use crate::sys::mask::{self, SignalSet};
use crate::sys::stdio;

/// A reader that nobody ends any more ends itself after so many seconds, unless it is in a sleep that no signal ends.
const LIFE: u32 = 5;
const CHUNK: usize = 4096;
/// More than anybody reads.
const ENDLESS: usize = 16 << 20;

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// At most one byte more than asked for, so that the caller can tell that there is more.
    pub bytes: io::Result<Vec<u8>>,
    /// The reader that SIGKILL has not ended (yet), a child to be reaped.
    pub held: Option<i32>,
}

/// Waits at most `limit`, so much longer as `starved` for a reader that only waits for a processor, and 20 ms more for the end of one that
/// is late.
///
/// # Errors
/// In [`Read::bytes`], as fork, open and read have it; ETIMEDOUT, in words, when there was no answer; a FIFO is refused.
pub fn read(path: &Path, most: usize, limit: Duration, starved: Duration) -> Read {
    let until = Instant::now() + limit;
    let mut read = try_read(path, most, until, starved);
    if matches!(&read.bytes, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
        // Somebody killed it, as the kernel's OOM killer may.
        read = try_read(path, most, until, starved);
    }
    read
}

fn try_read(path: &Path, most: usize, mut until: Instant, starved: Duration) -> Read {
    let Reader { pid, pipe } = match start(path, most) {
        Ok(reader) => reader,
        Err(error) => return Read { bytes: Err(error), held: None },
    };
    let mut bytes = Vec::new();
    let mut whole = collect(&pipe, most, until, &mut bytes);
    let patience = until + starved;
    // It is the machine that is slow, and not the file system: who hangs is in a sleep.
    while !whole && Instant::now() < patience && writer::is_runnable(pid) {
        until = Instant::now() + writer::GONE_WAIT;
        whole = collect(&pipe, most, until, &mut bytes);
    }
    // With the end of its pipe it is about to end itself.
    let left = until.saturating_duration_since(Instant::now()) + writer::GONE_WAIT + starved;
    let end = if whole { left } else { Duration::ZERO };
    match writer::end_of(pid, end) {
        Some(Ok(())) => {
            // It has handed everything over, and softstop itself was late: all of it is in the pipe.
            whole = whole || collect(&pipe, most, Instant::now() + writer::GONE_WAIT, &mut bytes);
            Read { bytes: if whole { Ok(bytes) } else { Err(late()) }, held: None }
        }
        Some(Err(error)) => Read { bytes: Err(in_words(error)), held: None },
        None => Read { bytes: Err(late()), held: writer::end(pid) },
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time: its file system hangs, or the machine is busy")
}

/// Adds everything until the pipe's end; `false` when that has not come in time.
fn collect(pipe: &OwnedFd, most: usize, until: Instant, bytes: &mut Vec<u8>) -> bool {
    let mut chunk = [0; CHUNK];
    loop {
        match nix::unistd::read(pipe, &mut chunk) {
            Ok(0) => return true,
            Ok(n) => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::EAGAIN) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                let _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout);
            }
            Err(_) => return false,
        }
        if bytes.len() > most {
            return true;
        }
        // What is there is taken, however late softstop comes to it. Only a device has no end of it.
        if bytes.len() > ENDLESS && Instant::now() >= until {
            return false;
        }
    }
}

fn in_words(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ESPIPE) => io::Error::new(io::ErrorKind::InvalidInput, "it is a FIFO, not a file"),
        _ => error,
    }
}

/// A reader that is under way.
#[derive(Debug)]
pub struct Reader {
    /// A child to be reaped by whoever started it. It ends by itself: in 5 s if its file system hangs.
    pub pid: i32,
    /// The file's bytes and then the end, which is all that is there when it cannot be read. Never blocks.
    pub pipe: OwnedFd,
}

/// Begins to read at most `most` bytes, and one more.
///
/// # Errors
/// As pipe and fork have it: EMFILE, EAGAIN, ENOMEM.
pub fn start(path: &Path, most: usize) -> io::Result<Reader> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (pipe, to) = stdio::pipe()?;
    // SAFETY: `run` is made for that: async-signal-safe calls alone.
    let pid = unsafe { writer::in_child(|| run(&path, to.as_fd(), most + 1)) }?;
    drop(to);
    Ok(Reader { pid, pipe })
}

// === in the child: async-signal-safe calls alone ===

fn run(path: &CString, to: BorrowedFd<'_>, most: usize) -> nix::Result<()> {
    // Its default action is to end the process.
    mask::set_ignored(Signal::ALRM, false);
    alarm::set(LIFE);
    dup2_stdin(to)?;
    mask::replace_mask(SignalSet::ALL.without(SignalSet::of(&[libc::SIGALRM])));
    // SAFETY: in the child; 0 is all that is used of what is open.
    unsafe { writer::close_all(1) };
    pass_on(path, most)
}

fn pass_on(path: &CString, most: usize) -> nix::Result<()> {
    // A FIFO that nobody writes is not waited for.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = open(path.as_c_str(), flags, Mode::empty())?;
    if fstat(&file)?.st_mode & libc::S_IFMT == libc::S_IFIFO {
        return Err(nix::Error::ESPIPE);
    }
    // SAFETY: descriptor 0 is the pipe, moved there above, and is never closed but by the end of the process.
    let to = unsafe { BorrowedFd::borrow_raw(0) };
    let mut left = most;
    let mut chunk = [0; CHUNK];
    while left > 0 {
        let room = chunk.get_mut(..left.min(CHUNK)).unwrap_or_default();
        let n = match nix::unistd::read(&file, room) {
            Ok(0) => break,
            Ok(n) => n,
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error),
        };
        writer::write_all(to, chunk.get(..n).unwrap_or_default())?;
        left -= n;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::reap;

    const SOON: Duration = Duration::from_secs(20);

    fn place(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("softstop-reader-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_file_is_read_whole_or_until_one_byte_more_than_asked_for() {
        let path = place("file");
        let text: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read(&path, 1 << 20, SOON, Duration::ZERO).bytes.unwrap(), text);
        assert_eq!(read(&path, 300_000, SOON, Duration::ZERO).bytes.unwrap(), text);
        assert_eq!(read(&path, 99_999, SOON, Duration::ZERO).bytes.unwrap(), text[..100_000]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let path = place("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fifo = read(&path, 100, SOON, Duration::ZERO).bytes.unwrap_err();
        assert!(fifo.to_string().contains("FIFO"), "{fifo}");
        std::fs::remove_file(&path).unwrap();
        let missing = read(&path, 100, SOON, Duration::ZERO).bytes.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let folder = read(Path::new("/"), 100, SOON, Duration::ZERO).bytes.unwrap_err();
        assert_eq!(folder.raw_os_error(), Some(libc::EISDIR));
        assert_eq!(read(Path::new("/dev/null"), 100, SOON, Duration::ZERO).bytes.unwrap(), b"");
        assert_eq!(read(Path::new("/dev/zero"), 100, SOON, Duration::ZERO).bytes.unwrap(), [0; 101]);
    }

    #[test]
    fn what_was_handed_over_is_taken_however_late_softstop_comes_to_it() {
        let path = place("late");
        let text = [b'x'; 20_000];
        std::fs::write(&path, text).unwrap();
        let Reader { pid, pipe } = start(&path, 1 << 20).unwrap();
        while reap::peek_at(pid).is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        stdio::until_hung_up(&pipe);
        let mut bytes = Vec::new();
        assert!(collect(&pipe, 1 << 20, Instant::now(), &mut bytes), "{} bytes", bytes.len());
        assert_eq!(bytes, text);
        writer::reap(pid);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn one_that_only_waits_for_a_processor_is_waited_for() {
        let path = place("starved");
        std::fs::write(&path, b"text").unwrap();
        let all = (0..20).map(|_| read(&path, 100, Duration::ZERO, SOON).bytes);
        let late = all.filter(|bytes| !matches!(bytes, Ok(text) if text == b"text")).count();
        // A busy machine may have kept many of them waiting for something else for a moment.
        assert!(late < 20, "none was waited for");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn one_that_is_late_is_given_up() {
        let began = Instant::now();
        let late = read(Path::new("/dev/zero"), usize::MAX / 2, Duration::from_millis(50), Duration::from_millis(50));
        assert_eq!(late.bytes.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < SOON);
    }
}
