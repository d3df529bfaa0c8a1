//! Which descriptors this process has. [`listed`] allocates nothing and takes no lock: it is also for the child between fork and exec. So are the other
//! lists of numbers that /proc has read: [`numbers_in`].

#![expect(
    unsafe_code,
    reason = "opendir allocates 32 kB, and the directory is read by a system call that has no wrapper"
)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::limits;

/// Tells the numbers that /proc lists, that of the listing itself among them. False when there is no /proc, or not all could be read.
/// Async-signal-safe where `found` is.
pub(super) fn listed(found: &mut dyn FnMut(RawFd)) -> bool {
    numbers_in(c"/proc/self/fd", found).is_ok()
}

/// Tells those names in a directory of /proc that are numbers. Async-signal-safe where `found` is.
///
/// # Errors
/// There is no such directory, or not all of it could be read.
pub(super) fn numbers_in(directory: &CStr, found: &mut dyn FnMut(i32)) -> nix::Result<()> {
    /// In a `linux_dirent64`: where the record's length stands (u16), and where its name begins.
    const LENGTH_AT: usize = 16;
    const NAME_AT: usize = 19;
    #[repr(align(8))]
    struct Buffer([u8; 2048]);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = open(directory, flags, Mode::empty())?;
    let mut buffer = Buffer([0; 2048]);
    loop {
        // SAFETY: the kernel writes at most the length given into the live buffer.
        let n = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.0.as_mut_ptr(), buffer.0.len()) };
        let read = usize::try_from(Errno::result(n)?).unwrap_or(0);
        let mut records = buffer.0.get(..read).unwrap_or_default();
        if records.is_empty() {
            return Ok(());
        }
        while let Some(&[low, high]) = records.get(LENGTH_AT..LENGTH_AT + 2) {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            if let Some(number) = records.get(NAME_AT..length).and_then(leading_number) {
                found(number);
            }
            records = records.get(length.max(1)..).unwrap_or(&[]);
        }
    }
}

fn leading_number(name: &[u8]) -> Option<RawFd> {
    let digits = name.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(None, |n: Option<RawFd>, b| {
        let digit = RawFd::from(*b - b'0');
        Some(n.unwrap_or(0).saturating_mul(10).saturating_add(digit))
    })
}

/// Those from 3 up that are open, as far as they are tried ([`limits::highest_descriptor_tried`]); without /proc. The kernel is asked for
/// hundreds at once.
pub(super) fn asked() -> Vec<RawFd> {
    /// No more than the least limit of descriptors that is met with: poll(2) takes no longer list.
    const AT_ONCE: usize = 256;
    let all: Vec<RawFd> = (3..limits::highest_descriptor_tried()).collect();
    let mut open = Vec::new();
    for numbers in all.chunks(AT_ONCE) {
        let mut asked: Vec<libc::pollfd> =
            numbers.iter().map(|fd| libc::pollfd { fd: *fd, events: 0, revents: 0 }).collect();
        let count = libc::nfds_t::try_from(asked.len()).unwrap_or(0);
        // SAFETY: a live list of that length; with a timeout of zero it does not wait.
        let rc = unsafe { libc::poll(asked.as_mut_ptr(), count, 0) };
        // Whoever refuses this (a limit of less than that) lets each be tried.
        let is_open = |asked: &&libc::pollfd| rc < 0 || asked.revents & libc::POLLNVAL == 0;
        open.extend(asked.iter().filter(is_open).map(|asked| asked.fd));
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_found_with_and_without_proc() {
        // More than one answer of the kernel's holds.
        let mine: Vec<std::fs::File> = (0..200).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let mut listed_ones = Vec::new();
        assert!(listed(&mut |fd| listed_ones.push(fd)));
        let asked_ones = asked();
        for file in &mine {
            let fd = file.as_raw_fd();
            assert!(listed_ones.contains(&fd), "{fd} is not listed");
            assert!(asked_ones.contains(&fd), "{fd} is not among those asked for");
        }
        // No test opens so many.
        let never = limits::highest_descriptor_tried() - 1;
        assert!(!asked_ones.contains(&never) && !listed_ones.contains(&never), "{never} is not open");
    }

    #[test]
    fn a_name_is_a_number_or_nothing() {
        for (name, fd) in [("0", Some(0)), ("17\0", Some(17)), (".", None), ("..", None), ("", None)] {
            assert_eq!(leading_number(name.as_bytes()), fd, "{name:?}");
        }
    }
}
