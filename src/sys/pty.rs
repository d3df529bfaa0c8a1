//! A terminal for a program, whose other end is softstop's: what is written there is read like a pipe.

#![expect(unsafe_code, reason = "the requests of terminals have no safe wrapper")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;

/// What a terminal has that nobody looks at.
const USUAL: Size = Size { rows: 24, columns: 80 };
/// No program draws on less.
const LEAST_COLUMNS: u16 = 20;

/// Of a terminal's window, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

/// Both ends of one, close-on-exec.
#[derive(Debug)]
pub struct Pty {
    /// softstop's, which never blocks. It reads as EIO when nobody has the program's end open any more.
    pub ours: OwnedFd,
    /// For the program's standard descriptors.
    pub theirs: OwnedFd,
}

/// A new terminal with a window of that size. Neither end becomes softstop's controlling terminal.
///
/// # Errors
/// ENOENT, EACCES: no /dev/ptmx here; ENOSPC: all are in use (`kernel.pty.max`); EMFILE, ENFILE.
pub fn open(size: Size) -> io::Result<Pty> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    let ours = OwnedFd::from(options.open("/dev/ptmx")?);
    let unlocked: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the request reads one int from a valid place.
    Errno::result(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    let theirs = other_end(&ours)?;
    resize(ours.as_fd(), size)?;
    Ok(Pty { ours, theirs })
}

/// By the kernel, which needs no /dev/pts for it; a sandbox that does not know the request has it by its name.
fn other_end(ours: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes integers, and makes a descriptor that nobody has yet.
    let made = Errno::result(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTPEER, flags) });
    if let Ok(fd) = made {
        // SAFETY: made above.
        return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let mut number: libc::c_uint = 0;
    // SAFETY: the descriptor is open, and the request writes one unsigned int to a valid place.
    Errno::result(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(format!("/dev/pts/{number}"))?;
    Ok(file.into())
}

/// The window has another size; whoever is in the terminal's foreground gets SIGWINCH if it changes.
///
/// # Errors
/// ENOTTY when it is no terminal.
pub fn resize(ours: BorrowedFd<'_>, size: Size) -> io::Result<()> {
    let window = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and the request reads a whole winsize from a valid place.
    Errno::result(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSWINSZ, &raw const window) })?;
    Ok(())
}

/// The size for a program behind a prefix of so many columns: that of softstop's own window, where it has one.
pub fn size_within(prefix: usize) -> Size {
    let own = [0, 1, 2].into_iter().find_map(window).unwrap_or(USUAL);
    let prefix = u16::try_from(prefix).unwrap_or(u16::MAX);
    Size { columns: own.columns.saturating_sub(prefix).max(LEAST_COLUMNS.min(own.columns)), ..own }
}

/// `None`: it is no terminal, or nobody has said how large it is.
pub(super) fn window(fd: libc::c_int) -> Option<Size> {
    let mut window = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: a number that is not open fails; the request writes a whole winsize to a valid place.
    Errno::result(unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut window) }).ok()?;
    let size = Size { rows: window.ws_row, columns: window.ws_col };
    (size.rows > 0 && size.columns > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_is_written_is_read_up_to_the_end_and_no_end_blocks_softstop() {
        let size = Size { rows: 7, columns: 31 };
        let Pty { ours, theirs } = open(size).unwrap();
        assert_eq!(window(theirs.as_raw_fd()), Some(size));
        let (mut ours, mut theirs) = (File::from(ours), File::from(theirs));
        let mut bytes = [0; 64];
        assert_eq!(ours.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        theirs.write_all(b"one\ntwo").unwrap();
        drop(theirs);
        let mut read = Vec::new();
        let end = loop {
            match ours.read(&mut bytes) {
                Ok(n) => read.extend_from_slice(&bytes[..n]),
                Err(error) => break error,
            }
        };
        assert_eq!((read.as_slice(), end.raw_os_error()), (&b"one\r\ntwo"[..], Some(libc::EIO)));
    }
}
