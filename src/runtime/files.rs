//! Reading and writing the few files softstop touches, without ever waiting: a FIFO that nobody reads, a device that
//! blocks, a file without end are refused instead.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a pipe given as a file (`-c <(envsubst …)`) may take to deliver it.
const PIPE_WAIT: Duration = Duration::from_secs(10);

/// The bytes of a file or pipe, one more than `most` at the most, so that the caller can tell it is too long.
///
/// # Errors
/// As open and read have it; a pipe that has not delivered everything within 10 s is ETIMEDOUT.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let mut bytes = Vec::new();
    let mut limited = (&file).take(most as u64 + 1);
    if !kind.is_fifo() {
        limited.read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let deadline = Instant::now() + PIPE_WAIT;
    let mut chunk = [0; 4096];
    loop {
        // Before the first writer has come, read says "end of file" and only poll says "wait".
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
            Ok(_) => match limited.read(&mut chunk) {
                Ok(0) => return Ok(bytes),
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            },
            Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Truncate (never rename: the termination log is a bind mount) and write.
///
/// # Errors
/// As open and write have it; ENXIO for a FIFO that nobody reads.
pub fn write(path: &Path, create: bool, text: &str) -> io::Result<()> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let mut file: File =
        OpenOptions::new().write(true).create(create).truncate(true).custom_flags(flags).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())
}
