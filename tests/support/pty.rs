//! A terminal of a test's own.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// Close-on-exec from the beginning, which `openpty` cannot do: a child that another test starts beside this one would keep the terminal
/// open, and have two descriptors that nobody gave it.
#[allow(clippy::unwrap_used)]
pub fn open() -> Pty {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let mut options = OpenOptions::new();
    let slave: File =
        options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(ptsname_r(&master).unwrap()).unwrap();
    Pty { master: master.as_fd().try_clone_to_owned().unwrap(), slave: slave.into() }
}
