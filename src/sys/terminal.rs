//! The controlling terminal: whose turn it is to read from it and to get Ctrl-C.

#![expect(unsafe_code, reason = "std's handle of standard input comes with a buffer of 8 kB")]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use nix::sys::termios::{self, InputFlags, LocalFlags, SetArg, Termios};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::mask::{self, SignalSet};
use super::pty::{self, Size};

/// softstop's controlling terminal, seen through one of its standard descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terminal {
    pub(super) fd: RawFd,
}

/// The first of descriptors 0 to 2 that is our controlling terminal.
pub fn terminal() -> Option<Terminal> {
    [0, 1, 2].into_iter().map(|fd| Terminal { fd }).find(|terminal| terminal.foreground().is_some())
}

/// Of the window of the terminal that standard output is; `None`: it is none, or does not say.
pub fn size() -> Option<Size> {
    pty::window(libc::STDOUT_FILENO)
}

/// How many characters a line has of that terminal.
pub fn columns() -> Option<usize> {
    size().map(|size| usize::from(size.columns))
}

/// Standard input is read key by key: nothing is shown of what is typed, and no key makes a signal. Until it is dropped.
#[derive(Debug)]
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// # Errors
    /// ENOTTY: it is no terminal; EIO: that is gone.
    pub fn begin() -> io::Result<Keys> {
        let before = standard_descriptor(0, |fd| termios::tcgetattr(fd))?;
        let keys = Keys { before };
        keys.again()?;
        Ok(keys)
    }

    /// After somebody else has had the terminal.
    ///
    /// # Errors
    /// As [`Keys::begin`].
    pub fn again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.input_flags.remove(InputFlags::IXON | InputFlags::ICRNL | InputFlags::INLCR | InputFlags::ISTRIP);
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN);
        raw.control_chars[libc::VMIN] = 1;
        raw.control_chars[libc::VTIME] = 0;
        set(&raw)
    }

    /// As it was before.
    pub fn give_back(&self) {
        let _gone = set(&self.before);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Without waiting for what was written to be shown: whoever shows it may have stopped to. From the background the kernel would stop us with
/// SIGTTOU, were it not blocked.
fn set(termios: &Termios) -> io::Result<()> {
    standard_descriptor(0, |fd| termios::tcsetattr(fd, SetArg::TCSANOW, termios))
}

impl Terminal {
    /// What is typed there comes in on standard input.
    pub fn is_standard_input(&self) -> bool {
        self.fd == 0
    }

    /// The process group in the foreground; `None` when this is not our controlling terminal (any more).
    pub fn foreground(self) -> Option<i32> {
        standard_descriptor(self.fd, |fd| tcgetpgrp(fd)).ok().map(Pid::as_raw)
    }

    /// Softstop's own group is in the foreground: the terminal is softstop's to pass on.
    pub fn is_ours(self) -> bool {
        self.foreground() == Some(getpgrp().as_raw())
    }

    /// Puts a process group into the foreground, also from the background.
    ///
    /// # Errors
    /// ENOTTY, ENXIO, EPERM, EINVAL (also from sandboxed kernels): no job control here, go on without.
    pub fn give(self, pgid: i32) -> io::Result<()> {
        // From the background the kernel would answer with SIGTTOU, which stops us.
        let before = mask::current_mask();
        mask::replace_mask(before.union(SignalSet::of(&[libc::SIGTTOU])));
        let result = standard_descriptor(self.fd, |fd| tcsetpgrp(fd, Pid::from_raw(pgid)));
        mask::replace_mask(before);
        result
    }

    /// Puts softstop's own group into the foreground.
    ///
    /// # Errors
    /// As [`Terminal::give`].
    pub fn take(self) -> io::Result<()> {
        self.give(getpgrp().as_raw())
    }
}

/// `fd` is one of 0 to 2, which are open from before `main` to the end.
fn standard_descriptor<T>(fd: RawFd, f: impl FnOnce(BorrowedFd<'_>) -> nix::Result<T>) -> io::Result<T> {
    // SAFETY: by what is said above.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(f(fd)?)
}
