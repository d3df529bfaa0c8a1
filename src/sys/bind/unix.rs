//! Sockets of the local machine: by a path, or by an abstract name.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use nix::sys::stat::{Mode, umask};

/// The file of a socket of ours, by its device and inode. Dropped, it is removed if it is still this socket's; left behind it is stale, and found
/// to be so.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    is: (u64, u64),
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path) == Some(self.is) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket at an abstract name, as `bind` makes it: `UnixListener::bind_addr`, or the like.
///
/// # Errors
/// One line: what is in the way, and what to do.
pub fn by_name<S>(name: &str, bind: impl FnOnce(&SocketAddr) -> io::Result<S>) -> Result<S, String> {
    let bound = SocketAddr::from_abstract_name(name).and_then(|address| bind(&address));
    bound.map_err(|error| match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            format!("cannot listen at @{name}: another process has this name; choose another")
        }
        _ => format!("cannot listen at @{name}: {error}"),
    })
}

/// As [`by_name`], at a path, with this mode from its first moment. What a process that was killed has left there is removed; anything else
/// stays.
///
/// # Errors
/// As [`by_name`].
pub fn at_path<S>(
    path: &Path,
    mode: u32,
    bind: impl Fn(&SocketAddr) -> io::Result<S>,
) -> Result<(S, Option<SocketFile>), String> {
    // The kernel follows no symlink here and replaces nothing.
    let bind = || {
        // There is one thread, so nobody else makes a file meanwhile.
        let before = umask(Mode::from_bits_truncate(!mode & 0o777));
        let bound = SocketAddr::from_pathname(path).and_then(|address| bind(&address));
        umask(before);
        bound
    };
    let in_the_way = |e: io::Error| cannot_listen(path, &e);
    let socket = match bind() {
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => {
            remove_stale(path)?;
            bind().map_err(in_the_way)?
        }
        bound => bound.map_err(in_the_way)?,
    };
    Ok((socket, identity(path).map(|is| SocketFile { path: path.to_path_buf(), is })))
}

fn remove_stale(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let kind = fs::symlink_metadata(path).map_err(|e| cannot_listen(path, &e))?.file_type();
    if !kind.is_socket() {
        let what = if kind.is_symlink() { "a symbolic link" } else { "no socket" };
        return Err(format!("cannot listen at {shown}: what is there is {what}; remove it or choose another path"));
    }
    // One of another kind that lives says so: EPROTOTYPE.
    match connect_now(&Address::Path(path.to_path_buf())) {
        Err(e) if e.raw_os_error() == Some(libc::ECONNREFUSED) => fs::remove_file(path)
            .map_err(|e| format!("cannot listen at {shown}: a stale socket cannot be removed: {e}")),
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            Err(format!("cannot listen at {shown}: another user's socket is there; choose another path"))
        }
        _ => Err(format!("cannot listen at {shown}: another process listens there; choose another path")),
    }
}

fn cannot_listen(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    let hint = match error.raw_os_error() {
        Some(libc::ENOENT) => "its directory does not exist: create or mount it",
        Some(libc::ENOTDIR) => "part of the path is no directory",
        Some(libc::EACCES | libc::EPERM) => "this user may not write there: choose another directory",
        Some(libc::EROFS) => {
            "the file system is read-only: choose an abstract address (@name), which needs no file, or mount an emptyDir"
        }
        _ => return format!("cannot listen at {shown}: {error}"),
    };
    format!("cannot listen at {shown}: {hint}")
}

/// Where a client connects to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    Path(PathBuf),
    Abstract(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Path(path) => write!(f, "{}", path.display()),
            Address::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// Connects, or says at once why not: EAGAIN when so many wait that there is no place in the queue.
///
/// # Errors
/// As connect(2) has it.
pub fn connect_now(address: &Address) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let target = match address {
        Address::Path(path) => UnixAddr::new(path.as_path())?,
        Address::Abstract(name) => UnixAddr::new_abstract(name.as_bytes())?,
    };
    socket::connect(fd.as_raw_fd(), &target)?;
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use nix::sys::socket::{Backlog, bind as bind_socket, listen as listen_at};

    use super::*;

    #[test]
    fn each_refusal_of_the_kernel_says_what_to_do() {
        let said = |errno| cannot_listen(Path::new("/run/x"), &io::Error::from_raw_os_error(errno));
        for (errno, hint) in [
            (libc::ENOENT, "its directory does not exist: create or mount it"),
            (libc::ENOTDIR, "part of the path is no directory"),
            (libc::EACCES, "this user may not write there: choose another directory"),
            (libc::EPERM, "this user may not write there: choose another directory"),
            (
                libc::EROFS,
                "the file system is read-only: choose an abstract address (@name), which needs no file, or mount an emptyDir",
            ),
        ] {
            assert_eq!(said(errno), format!("cannot listen at /run/x: {hint}"));
        }
        assert!(said(libc::ENOSPC).starts_with("cannot listen at /run/x: No space left"), "{}", said(libc::ENOSPC));
    }

    #[test]
    fn a_name_that_another_has_is_said_to_be_taken() {
        let name = format!("softstop-socket-taken-{}", std::process::id());
        let _first = by_name(&name, UnixListener::bind_addr).unwrap();
        let Err(why) = by_name(&name, UnixListener::bind_addr) else { panic!("two have the name {name}") };
        let expected = format!("cannot listen at @{name}: another process has this name; choose another");
        assert_eq!(why, expected);
        let Err(why) = by_name(&"x".repeat(200), UnixListener::bind_addr) else { panic!("a name of 200 bytes") };
        assert!(!why.contains("another process"), "{why}");
    }

    #[test]
    fn an_address_is_shown_as_ss_shows_it() {
        assert_eq!(Address::Path("/run/x".into()).to_string(), "/run/x");
        assert_eq!(Address::Abstract("softstop/4/1".into()).to_string(), "@softstop/4/1");
    }

    #[test]
    fn where_the_queue_is_full_a_client_is_told_and_does_not_wait() {
        let name = format!("softstop-socket-full-{}", std::process::id());
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        bind_socket(listener.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).unwrap()).unwrap();
        listen_at(&listener, Backlog::new(1).unwrap()).unwrap();
        let address = Address::Abstract(name);
        let first = connect_now(&address).unwrap();
        let inherited = FdFlag::from_bits_retain(fcntl(first.as_fd(), FcntlArg::F_GETFD).unwrap());
        assert!(inherited.contains(FdFlag::FD_CLOEXEC), "programs would inherit it");
        // No more than two have a place.
        let mut held = Vec::new();
        let full = (0..8).find_map(|_| connect_now(&address).map(|stream| held.push(stream)).err());
        assert_eq!(full.and_then(|e| e.raw_os_error()), Some(libc::EAGAIN));
    }
}
