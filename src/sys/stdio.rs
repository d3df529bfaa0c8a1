//! Writing to the standard output and error that softstop inherited, without ever waiting and without changing them for
//! anybody else: `O_NONBLOCK` belongs to the open file description, which the children and the container's other
//! processes share, so it is never set there. Also the pipes that children's output comes through.

#![expect(
    unsafe_code,
    reason = "pwritev2 and FIONREAD have no safe wrapper; registering a descriptor with tokio has none"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What a pipe takes whole or not at all, and always when it polls writable (4096 on every Linux).
const PIPE_CHUNK: usize = libc::PIPE_BUF;
/// What a terminal that polls writable takes: n_tty wakes its writers when fewer than 256 bytes are pending.
const TTY_CHUNK: usize = 256;
const FILE_CHUNK: usize = 64 * 1024;
const SOCKET_CHUNK: usize = 16 * 1024;
/// Read in one go.
const READ: usize = 16 * 1024;
/// A write that signals interrupt this often is left for another time.
const INTERRUPTIONS: usize = 8;

/// A descriptor to write to that is never waited for.
pub struct Writer {
    /// Shared or our own; always non-negative and open.
    file: File,
    kind: Kind,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Pipe,
    CharDevice,
    Socket,
    /// A write ends by itself, and epoll refuses it: regular files, block devices.
    File,
}

/// The ways to write without waiting, best first.
enum How {
    Plain,
    /// An open file description of our own, with `O_NONBLOCK`.
    Own,
    /// `RWF_NOWAIT` on the shared description (pipes: Linux 6.5 and later).
    NoWait,
    /// Into a pipe of our own and from there with `SPLICE_F_NONBLOCK`: pipes on older kernels.
    Splice {
        read: File,
        write: File,
    },
    /// Ask first, then write little. Another writer of the same terminal can still get in between.
    Poll,
    /// `MSG_DONTWAIT`.
    Send,
}

impl Writer {
    /// Inspects once what the descriptor is, and keeps a duplicate or a description of its own: what happens to the
    /// original later changes nothing here.
    ///
    /// # Errors
    /// `EBADF` for a descriptor that is not open; `EMFILE`.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Writer> {
        let shared = Writer::shared(fd)?;
        // Refused: no /proc, another user's pipe (EACCES), a pipe without a reader (ENXIO), a terminal that is gone (EIO).
        if matches!(shared.how, How::NoWait)
            && let Ok(own) = reopen(&shared.file)
        {
            return Ok(Writer { file: own, how: How::Own, ..shared });
        }
        Ok(shared)
    }

    /// Writes to the launcher's own description, without one of its own, whose number might be a standard one that was closed.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn shared(fd: impl AsFd) -> io::Result<Writer> {
        let file = File::from(fd.as_fd().try_clone_to_owned()?);
        let kind = kind(&file)?;
        let how = match kind {
            Kind::File => How::Plain,
            Kind::Socket => How::Send,
            Kind::Pipe | Kind::CharDevice => How::NoWait,
        };
        Ok(Writer { file, kind, how })
    }

    /// Softstop's own standard output.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn stdout() -> io::Result<Writer> {
        Writer::new(io::stdout().as_fd())
    }

    /// Softstop's own standard error.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn stderr() -> io::Result<Writer> {
        Writer::new(io::stderr().as_fd())
    }

    /// Writes what fits right now, at most [`Writer::chunk`] bytes.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits now; else what the kernel says (`EPIPE`: nobody reads any more, `ENOSPC`, …).
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(self.chunk())];
        if bytes.is_empty() {
            return Ok(0);
        }
        for _ in 0..INTERRUPTIONS {
            match self.write_once(bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if self.step_down(&e) => {}
                // Nothing taken and nothing said: as good as full, and trying at once again would spin.
                Ok(0) => break,
                done => return done,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// The most that one write is given, in bytes: small enough that a line in it is never torn by another writer of
    /// the same pipe, and that it fits whenever the descriptor polls writable.
    pub fn chunk(&self) -> usize {
        match (&self.how, self.kind) {
            (How::Poll, Kind::CharDevice) => TTY_CHUNK,
            (_, Kind::Pipe | Kind::CharDevice) => PIPE_CHUNK,
            (_, Kind::Socket) => SOCKET_CHUNK,
            (_, Kind::File) => FILE_CHUNK,
        }
    }

    /// How many bytes were written, by whomever, and have not been read, or shown by a terminal, yet; 0 where the kernel does not say.
    pub fn unread(&self) -> usize {
        let request = match self.kind {
            Kind::Pipe => libc::FIONREAD,
            // Of a socket: SIOCOUTQ, the same number.
            Kind::CharDevice | Kind::Socket => libc::TIOCOUTQ,
            Kind::File => return 0,
        };
        ask_bytes(self.as_fd(), request).unwrap_or(0)
    }

    /// To wait on for writability; epoll refuses regular files (`EPERM`), which are always writable.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.how {
            How::Plain | How::Own => self.file.write(bytes),
            How::NoWait => write_nowait(&self.file, bytes),
            How::Splice { read, write } => write_spliced(read, write, &self.file, bytes),
            How::Poll => write_polled(&mut self.file, bytes),
            How::Send => Ok(send(self.file.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?),
        }
    }

    /// Takes the next best way when the error says that this kernel, sandbox or file does not know the present one.
    fn step_down(&mut self, error: &io::Error) -> bool {
        let unknown = matches!(
            error.raw_os_error(),
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::EPERM | libc::ESPIPE)
        );
        match (&self.how, self.kind) {
            (How::NoWait, Kind::Pipe) if unknown => self.how = splicing().unwrap_or(How::Poll),
            (How::NoWait | How::Splice { .. }, _) if unknown => self.how = How::Poll,
            _ => return false,
        }
        true
    }
}

/// A pipe for a child's output: the end to read from never blocks, the end for the child is an ordinary one. Both are
/// close-on-exec: the child gets its end by `dup2`.
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    // The two ends are two descriptions, so this is not seen by the child.
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// Registers a descriptor with the runtime's epoll for as long as the result lives.
///
/// # Errors
/// `EPERM` for a regular file; `ENOSPC` beyond `fs.epoll.max_user_watches`; `ENOMEM`.
pub fn watch(file: File, interest: Interest) -> io::Result<AsyncFd<File>> {
    // SAFETY: a File owns its descriptor, never changes it, and the AsyncFd owns the File; nothing in softstop replaces a
    // descriptor by dup2 outside a forked child.
    Ok(unsafe { AsyncFd::register_with_interest(file, interest) }?)
}

/// Everything until the end, or a little more than `most` bytes of it.
///
/// # Errors
/// As read has it.
pub async fn read_all(pipe: &AsyncFd<File>, most: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; READ]);
    while bytes.len() <= most {
        match pipe.readable().await?.try_io(|pipe| pipe.get_ref().read(&mut chunk)) {
            Ok(Ok(0)) => break,
            Ok(Ok(n)) => bytes.extend_from_slice(&chunk[..n]),
            Ok(Err(error)) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Ok(bytes)
}

/// Until it is ready, as it may be already; for ever where there is none, or it cannot be watched any more. Nothing of it is read here.
pub async fn ready(fd: Option<&AsyncFd<File>>, interest: Interest) {
    let Some(fd) = fd else { return std::future::pending().await };
    match fd.ready(interest).await {
        Ok(mut ready) => ready.clear_ready(),
        Err(_) => std::future::pending().await,
    }
}

/// How many bytes a pipe holds now.
///
/// # Errors
/// What `FIONREAD` says of something that is not a pipe, socket or terminal.
pub fn readable_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    ask_bytes(fd, libc::FIONREAD)
}

/// `FIONREAD` or `TIOCOUTQ`.
fn ask_bytes(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<usize> {
    let mut n: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as it is borrowed, and both requests write one int to a valid place.
    let rc = unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut n) };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(n).unwrap_or(0))
}

fn kind(file: &File) -> io::Result<Kind> {
    let kind = file.metadata()?.file_type();
    Ok(if kind.is_fifo() {
        Kind::Pipe
    } else if kind.is_socket() {
        Kind::Socket
    } else if kind.is_char_device() {
        Kind::CharDevice
    } else {
        Kind::File
    })
}

/// Never for a regular file: a new description has its own offset and would write over what others wrote.
fn reopen(file: &File) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn write_nowait(file: &File, bytes: &[u8]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one iovec that describes a live slice, which the kernel only reads; the descriptor is open. Offset -1 means
    // the file's own position, the only one a pipe knows.
    let n = unsafe { libc::pwritev2(file.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

fn splicing() -> Option<How> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
    Some(How::Splice { read: File::from(read), write: File::from(write) })
}

/// All or nothing: up to `PIPE_CHUNK` bytes written to an empty pipe are one buffer, and splice moves whole buffers.
fn write_spliced(read: &mut File, write: &mut File, to: &File, bytes: &[u8]) -> io::Result<usize> {
    let staged = write.write(bytes)?;
    let result = splice(&*read, None, to, None, staged, SpliceFFlags::SPLICE_F_NONBLOCK).map_err(io::Error::from);
    let moved = *result.as_ref().unwrap_or(&0);
    if moved < staged {
        // The pipe must be empty again; the caller still has the bytes.
        read.read_exact(&mut [0; PIPE_CHUNK][..staged - moved])?;
    }
    result
}

fn write_polled(file: &mut File, bytes: &[u8]) -> io::Result<usize> {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO)?;
    match fds[0].revents() {
        // An error or a hang-up is left for the write to name; it does not wait then.
        Some(events) if !events.is_empty() => file.write(bytes),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Until nobody has the other end, which the test has closed: a process that another test forks at that moment has a copy
/// of it until its exec.
#[cfg(test)]
pub fn until_hung_up(fd: impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    while poll(&mut fds, 60_000u16) == Err(nix::Error::EINTR) {}
    let events = fds[0].revents().unwrap();
    assert!(events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR), "somebody has the other end still");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn flags(fd: impl AsFd) -> OFlag {
        OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap())
    }

    fn other(name: &str, file: &File, kind: Kind) -> Writer {
        let how = match name {
            "own" => return Writer::new(file.as_fd()).unwrap(),
            "nowait" => How::NoWait,
            "splice" => splicing().unwrap(),
            "poll" => How::Poll,
            name => panic!("{name}"),
        };
        Writer { file: file.try_clone().unwrap(), kind, how }
    }

    const WAYS: [&str; 4] = ["own", "nowait", "splice", "poll"];

    #[test]
    fn a_pipe_that_nobody_reads_takes_its_64_kib_and_then_would_block_whichever_way_it_is_written() {
        for way in WAYS {
            let (read, write) = pipe().unwrap();
            let (mut read, write) = (File::from(read), File::from(write));
            let before = flags(&write);
            let mut writer = other(way, &write, Kind::Pipe);
            let mut sent: Vec<u8> = Vec::new();
            let error = loop {
                let chunk = vec![b'a' + (sent.len() / PIPE_CHUNK % 26) as u8; 100_000];
                match writer.try_write(&chunk) {
                    Ok(n) => sent.extend(&chunk[..n]),
                    Err(e) => break e,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{way}: {error}");
            assert_eq!(sent.len(), 65_536, "{way}");
            assert_eq!(flags(&write), before, "{way}: the shared description must not change");

            let mut got = vec![0; 65_536];
            read.read_exact(&mut got).unwrap();
            assert_eq!(got, sent, "{way}");
            assert_eq!(writer.try_write(b"again").unwrap(), 5, "{way}");
            assert_eq!(readable_bytes(read.as_fd()).unwrap(), 5, "{way}: nothing twice, nothing lost");

            drop(read);
            until_hung_up(&write);
            let error = writer.try_write(b"x").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPIPE), "{way}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_know_is_replaced_by_the_next_best_way() {
        let null = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut writer = other("nowait", &null, Kind::CharDevice);
        let error = writer.try_write(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");

        let (_read, write) = pipe().unwrap();
        let mut writer = other("nowait", &File::from(write), Kind::Pipe);
        let unsupported = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        assert!(writer.step_down(&unsupported) && matches!(writer.how, How::Splice { .. }));
        assert!(writer.step_down(&unsupported) && matches!(writer.how, How::Poll));
        assert!(!writer.step_down(&unsupported));
    }

    #[test]
    fn a_full_socket_would_block_and_keeps_its_flags() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let before = flags(&ours);
        let mut writer = Writer::new(ours.as_fd()).unwrap();
        let mut rounds = 0;
        let error = loop {
            rounds += 1;
            assert!(rounds < 10_000);
            if let Err(e) = writer.try_write(&[b'x'; 4096]) {
                break e;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(flags(&ours), before);
        drop(theirs);
        until_hung_up(&ours);
        assert_eq!(writer.try_write(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn a_regular_file_keeps_the_shared_offset() {
        let path = std::env::temp_dir().join(format!("softstop-stdio-{}", std::process::id()));
        let mut shared = File::create(&path).unwrap();
        shared.write_all(b"theirs ").unwrap();
        let mut writer = Writer::new(shared.as_fd()).unwrap();
        assert_eq!(writer.try_write(b"ours ").unwrap(), 5);
        shared.write_all(b"theirs").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "theirs ours theirs");
    }

    #[test]
    fn a_description_that_somebody_made_nonblocking_works_too() {
        let (_read, write) = pipe().unwrap();
        fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let mut writer = Writer { file: File::from(write), kind: Kind::Pipe, how: How::Plain };
        while writer.try_write(&[0; 4096]).is_ok() {}
        assert_eq!(writer.try_write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn only_our_end_of_a_childs_pipe_is_nonblocking() {
        let (read, write) = pipe().unwrap();
        assert!(flags(&read).contains(OFlag::O_NONBLOCK) && !flags(&write).contains(OFlag::O_NONBLOCK));
        for fd in [&read, &write] {
            assert_eq!(fcntl(fd, FcntlArg::F_GETFD).unwrap(), libc::FD_CLOEXEC);
        }
    }
}
