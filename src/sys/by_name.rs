//! `/dev/stdin`, `/dev/stdout` and `/dev/stderr`: opening them by name opens what stands behind them anew, and the kernel asks again who
//! may. The container runtime gave its pipes to the user that softstop was started as; a process that runs as another one would be
//! refused (`EACCES`), and php-fpm and nginx that log to /dev/stderr would not start.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, fchown};

use nix::sys::statfs::{FsType, fstatfs};

use super::process;

/// Where pipes without a name live (`PIPEFS_MAGIC`).
const PIPES: FsType = FsType(0x5049_5045);
const READ_ALL: u32 = 0o444;
const WRITE_ALL: u32 = 0o222;

/// Lets `uid` open by name what softstop was given as one of its standard descriptors.
///
/// - A pipe: everybody may open it for the direction that this end has. It can be reached through /proc/PID/fd alone, whose owner has
///   it open already. So any number of users can, and root keeps it even without capabilities.
/// - A FIFO with a name in a directory: it is the user's from now on, as runc and crun do it.
/// - A terminal, when softstop is PID 1 and so the terminal the container's own: likewise.
/// - Files, which others may share, and sockets, which nobody can open by name, stay as they are.
///
/// # Errors
/// EPERM without the capabilities FOWNER or CHOWN, EROFS: the descriptor itself works all the same.
pub fn allow(fd: BorrowedFd<'_>, uid: u32, for_reading: bool) -> io::Result<()> {
    let file = File::from(fd.try_clone_to_owned()?);
    let meta = file.metadata()?;
    if meta.file_type().is_fifo() && fstatfs(fd)?.filesystem_type() == PIPES {
        let wanted = meta.mode() & 0o777 | if for_reading { READ_ALL } else { WRITE_ALL };
        let open = meta.mode() & 0o777 == wanted || file.set_permissions(Permissions::from_mode(wanted)).is_ok();
        return if open || meta.uid() == uid { Ok(()) } else { fchown(fd, Some(uid), None) };
    }
    let own_terminal = process::is_pid1() && meta.file_type().is_char_device() && nix::unistd::isatty(fd)?;
    if (meta.file_type().is_fifo() || own_terminal) && meta.uid() != uid {
        return fchown(fd, Some(uid), None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn mode(fd: impl AsFd) -> u32 {
        File::from(fd.as_fd().try_clone_to_owned().unwrap()).metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn a_pipe_is_opened_for_everybody_and_a_file_for_nobody() {
        let (read, write) = nix::unistd::pipe().unwrap();
        for _ in 0..2 {
            allow(write.as_fd(), 4711, false).unwrap();
            assert_eq!(mode(&write), 0o622);
        }
        allow(read.as_fd(), 4711, true).unwrap();
        assert_eq!(mode(&read), 0o666, "both ends are one inode");

        let path = std::env::temp_dir().join(format!("softstop-by-name-{}", std::process::id()));
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        allow(file.as_fd(), 4711, false).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!((meta.mode() & 0o777, meta.uid()), (0o600, nix::unistd::geteuid().as_raw()));
        let null = File::open("/dev/null").unwrap();
        let before = null.metadata().unwrap().uid();
        allow(null.as_fd(), 4711, true).unwrap();
        assert_eq!(null.metadata().unwrap().uid(), before);
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        allow(socket.as_fd(), 4711, false).unwrap();
    }
}
