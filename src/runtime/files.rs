//! Reading and writing the few files softstop touches, without ever waiting: a FIFO that nobody reads, a device that
//! blocks, a file without end are refused instead.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The bytes of a file, one more than `most` at the most, so that the caller can tell it is too long.
///
/// # Errors
/// As open and read have it; a FIFO or a device without data is empty, not waited for.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
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
