//! Being told that files have changed. The kernel looks at a path when it is to be watched, which waits for as long as its file system hangs: so
//! who is told and who looks are two processes with one instance between them.

#![expect(unsafe_code, reason = "an inherited descriptor is a number")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::process::is_open;

/// At which number who looks gets the instance.
pub const HANDED_AT: RawFd = 3;

/// An instance that never blocks.
///
/// # Errors
/// As inotify_init1 has it: ENOSYS where a sandbox knows none, EMFILE when the user has no more of them.
pub fn new() -> io::Result<OwnedFd> {
    Ok(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?.into())
}

/// What looks.
#[derive(Debug)]
pub struct Watcher(Inotify);

impl Watcher {
    /// The instance that this process was handed.
    ///
    /// # Errors
    /// There is none.
    pub fn handed() -> io::Result<Watcher> {
        if !is_open(HANDED_AT) {
            return Err(Errno::EBADF.into());
        }
        // SAFETY: nothing else in this process has the number: it was started with that, and opened nothing before.
        Ok(Watcher(unsafe { Inotify::from_raw_fd(HANDED_AT) }))
    }

    /// Tells of the next change of a file or of what is in a folder, and no more than that one: who makes a million of them is told of once.
    ///
    /// # Errors
    /// As inotify_add_watch has it: ENOENT, EACCES; ENOSPC when the user has no more of them.
    pub fn watch(&self, path: &Path) -> io::Result<()> {
        let of_folder = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO;
        let of_itself = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        match self.0.add_watch(path, of_folder | of_itself | AddWatchFlags::IN_ONESHOT) {
            Ok(_) => Ok(()),
            Err(Errno::ENOSPC) => Err(io::Error::other("this user has no more watches (fs.inotify.max_user_watches)")),
            Err(error) => Err(error.into()),
        }
    }
}
