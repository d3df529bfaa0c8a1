//! The process that writes one log file: a fork without exec, as [`super::writer`] is and for the same reason, that lives as long as there is
//! something to write. Its file system may hang, be full, read-only or gone: that is its own business, and softstop hears of it.
//!
//! Bytes come over a stream socket whose reading end softstop keeps open, too. They are taken off it once they are written: what a writer that
//! was killed has not done the next one does. Over a second socket it says how far it is ([`Tally`]), and hears that the file is to be opened
//! again. It ends when softstop has closed its end and everything is done, softstop's own end included.

pub mod spool;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_name;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::sys::stat::{FileStat, fstat, stat};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::place::LogFile;
use super::writer::{close_all_but, in_child, in_words};
use spool::{Disk, Found, Spool};
pub use spool::{Limits, Tally};

/// Looked at in one go, in bytes.
const CHUNK: usize = 64 * 1024;
/// A tally on its way: seven numbers.
const RECORD: usize = 7 * 8;
/// Its name, where processes are listed.
const NAME: &std::ffi::CStr = c"softstop-log";

/// The sockets of one log file. The reading end is for its writers.
#[derive(Debug)]
pub struct Ends {
    pub write: OwnedFd,
    pub read: OwnedFd,
}

/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn ends() -> io::Result<Ends> {
    let (write, read) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags())?;
    Ok(Ends { write, read })
}

fn flags() -> SockFlag {
    SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK
}

/// Starts a writer of the file; its pid, and where it says how far it is. It reads from `data`, the reading end of [`Ends`].
///
/// # Errors
/// As fork and socketpair have it; in words when there may be no more processes.
pub fn start(path: &Path, limits: Limits, data: BorrowedFd<'_>) -> io::Result<(i32, OwnedFd)> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags())?;
    // SAFETY: `run` makes async-signal-safe calls alone, and allocates nothing.
    let pid = unsafe { in_child(|| run(&path, limits, data, theirs.as_fd())) }.map_err(in_words)?;
    Ok((pid, ours))
}

/// What a writer has said last, if anything. `Ok(None)`: it has ended.
///
/// # Errors
/// `WouldBlock`: nothing new.
pub fn heard(from: BorrowedFd<'_>) -> io::Result<Option<Tally>> {
    let mut record = [0; RECORD];
    let mut last = None;
    loop {
        match recv(from.as_raw_fd(), &mut record, MsgFlags::MSG_DONTWAIT) {
            Ok(RECORD) => last = Some(tally(&record)),
            Ok(_) | Err(Error::ECONNRESET) => return Ok(last),
            Err(Error::EINTR) => {}
            Err(_) if last.is_some() => return Ok(last),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Has a writer open its file again.
///
/// # Errors
/// As send has it: `EPIPE` when it has ended.
pub fn reopen(control: BorrowedFd<'_>) -> io::Result<()> {
    send(control.as_raw_fd(), &[1], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?;
    Ok(())
}

fn record(tally: &Tally) -> [u8; RECORD] {
    let Tally { bytes, lines, lost, lost_because, not_rotated, not_rotated_because, reopened } = *tally;
    let number = |errno: i32| u64::from(errno.unsigned_abs());
    let numbers = [bytes, lines, lost, number(lost_because), not_rotated, number(not_rotated_because), reopened];
    let mut record = [0; RECORD];
    for (place, number) in record.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    record
}

fn tally(record: &[u8; RECORD]) -> Tally {
    let number = |i: usize| u64::from_le_bytes(std::array::from_fn(|at| record[i * 8 + at]));
    let errno = |i| i32::try_from(number(i)).unwrap_or_default();
    Tally {
        bytes: number(0),
        lines: number(1),
        lost: number(2),
        lost_because: errno(3),
        not_rotated: number(4),
        not_rotated_because: errno(5),
        reopened: number(6),
    }
}

// === in the child: async-signal-safe calls alone ===

fn run(path: &CString, limits: Limits, data: BorrowedFd<'_>, control: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: in the child. One that hangs must hold nothing of softstop's open.
    let [data, control] = unsafe { close_all_but([data, control]) }?;
    let _unnamed = set_name(NAME);
    let mut file = File { path, max_files: limits.max_files, open: None, forgiven: 0 };
    let mut spool = Spool::new(limits);
    // What cannot be opened is known before the first line comes.
    match file.open() {
        Err(errno) => {
            spool.tally.lost_because = errno;
            tell(control, &spool.tally);
        }
        // The writer before this one was killed in the middle of it, say.
        Ok(_) if file.open.as_ref().is_some_and(|open| open.file.is_mid_line()) => spool.begins_mid_line(),
        Ok(_) => {}
    }
    let mut buffer = [0; CHUNK];
    let mut orders = true;
    loop {
        let mut fds = [data, control].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let watched = if orders { &mut fds[..] } else { &mut fds[..1] };
        match poll(watched, PollTimeout::NONE) {
            Ok(_) | Err(Error::EINTR) => {}
            Err(error) => return Err(error),
        }
        orders = orders && take_order(control, &mut file, &mut spool);
        match recv(data.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                spool.take(&buffer[..n], &mut file);
                consume(data, &mut buffer, n)?;
                tell(control, &spool.tally);
            }
            Err(Error::EAGAIN | Error::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// If there is one. False: none will come any more.
fn take_order(control: BorrowedFd<'_>, file: &mut File<'_>, spool: &mut Spool) -> bool {
    match recv(control.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT) {
        Ok(1) => {
            file.open = None;
            if let Err(errno) = file.open() {
                spool.tally.lost_because = errno;
            }
            spool.tally.reopened += 1;
            tell(control, &spool.tally);
            true
        }
        // softstop is gone; what it has sent is still here.
        Ok(_) | Err(Error::ECONNRESET) => false,
        Err(_) => true,
    }
}

fn consume(data: BorrowedFd<'_>, buffer: &mut [u8], n: usize) -> nix::Result<()> {
    let mut left = n;
    while left > 0 {
        match recv(data.as_raw_fd(), &mut buffer[..left], MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Ok(()),
            Ok(taken) => left -= taken,
            Err(Error::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Numbers only grow: what finds no room is made up for by the next.
fn tell(control: BorrowedFd<'_>, tally: &Tally) {
    let _ = send(control.as_raw_fd(), &record(tally), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
}

/// The file, opened with the first line and again when its name is another one's.
struct File<'p> {
    path: &'p CString,
    max_files: u32,
    open: Option<Open>,
    /// So many bytes and seconds of it do not count.
    forgiven: u64,
}

struct Open {
    file: LogFile,
    born: i64,
    is_new: bool,
}

impl Disk for File<'_> {
    fn open(&mut self) -> Result<Found, i32> {
        if let Some(open) = &self.open {
            // It was moved or removed, as logrotate does; or its folder was.
            let is_there = match (fstat(open.file.fd()), stat(self.path.as_c_str())) {
                (Ok(own), Ok(named)) => (own.st_dev, own.st_ino) == (named.st_dev, named.st_ino),
                _ => false,
            };
            if !is_there {
                self.open = None;
            }
        }
        let now = now();
        if self.open.is_none() {
            let file = LogFile::open(self.path).map_err(|error| error as i32)?;
            let born = born(file.fd()).unwrap_or(now);
            self.forgiven = 0;
            self.open = Some(Open { file, born, is_new: true });
        }
        let Some(open) = &mut self.open else { return Err(libc::EIO) };
        let size = size(&fstat(open.file.fd()).map_err(|error| error as i32)?);
        if size == 0 {
            open.born = now;
        }
        // Somebody has cut it off, as logrotate's copytruncate does.
        self.forgiven = self.forgiven.min(size);
        let other = std::mem::take(&mut open.is_new);
        let age = u64::try_from(now - open.born).unwrap_or_default();
        Ok(Found { size: size - self.forgiven, age, other })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, i32> {
        let Some(open) = &self.open else { return Err(libc::EIO) };
        loop {
            match nix::unistd::write(open.file.fd(), bytes) {
                Ok(0) => return Err(libc::EIO),
                Ok(n) => return Ok(n),
                Err(Error::EINTR) => {}
                Err(error) => return Err(error as i32),
            }
        }
    }

    fn rotate(&mut self) -> Result<(), i32> {
        let Some(open) = &mut self.open else { return Err(libc::EIO) };
        match open.file.rotate(self.max_files) {
            Ok(()) => {
                self.open = None;
                Ok(())
            }
            Err(error) => {
                self.forgiven = fstat(open.file.fd()).map_or(0, |found| size(&found));
                open.born = now();
                Err(error as i32)
            }
        }
    }
}

fn size(found: &FileStat) -> u64 {
    u64::try_from(found.st_size).unwrap_or_default()
}

/// Seconds since 1970.
fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |now: TimeSpec| now.tv_sec())
}

/// When the file was made, where its file system knows.
fn born(file: BorrowedFd<'_>) -> Option<i64> {
    /// `struct statx`, of which the kernel fills as much as there is.
    const WORDS: usize = 32;
    const BTIME: libc::c_uint = 0x800;
    const BTIME_AT: usize = 10;
    let mut found = [0u64; WORDS];
    // SAFETY: the descriptor is open, the path is empty and NUL-terminated, and the buffer has the 256 bytes that statx writes.
    let rc = unsafe {
        libc::syscall(libc::SYS_statx, file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, BTIME, found.as_mut_ptr())
    };
    let mask = found[0].to_ne_bytes();
    let has_it = u32::from_ne_bytes([mask[0], mask[1], mask[2], mask[3]]) & BTIME != 0;
    (rc == 0 && has_it).then(|| found[BTIME_AT].cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_comes_through_as_it_is() {
        let said = Tally {
            bytes: 1 << 40,
            lines: 2,
            lost: 3,
            lost_because: libc::ENOSPC,
            not_rotated: 5,
            not_rotated_because: libc::EACCES,
            reopened: 7,
        };
        assert_eq!(tally(&record(&said)), said);
    }
}
