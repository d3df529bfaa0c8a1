//! Reading and writing the few files softstop touches: a FIFO that nobody reads, a device that blocks, a file without end are
//! refused. The configuration is read before anything runs, so it may take as long as its file system does; what is written once
//! something runs is written by [`Writers`], which never keep the one thread from the stop.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use crate::output::files::LogFiles;
use crate::signal::Signal;
use crate::sys::spawn::writer::{self, Written};
use crate::sys::{process, reap, target, tree};

/// Until a process that was killed is looked for again.
const A_MOMENT: Duration = Duration::from_millis(1);
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

/// The files that softstop writes, each by a process of its own (see [`writer`]), and those of these processes that a file system
/// which hangs has not let go of. They are children, but nobody's concern: no orphans, not waited for, not left over.
#[derive(Default)]
pub(super) struct Writers {
    held: BTreeMap<i32, PathBuf>,
    /// Those of the log files, which live as long as softstop.
    logs: Rc<LogFiles>,
}

impl Writers {
    pub(super) fn beside(logs: Rc<LogFiles>) -> Writers {
        Writers { held: BTreeMap::new(), logs }
    }

    /// Truncates and writes. Waits at most `limit` and a little: see [`writer::write`]. A file whose last writer is still held is
    /// not tried again.
    ///
    /// # Errors
    /// As there; ETIMEDOUT, in words, when there was no answer.
    pub(super) fn write(&mut self, path: &Path, create: bool, text: &str, limit: Duration) -> io::Result<()> {
        if self.held.values().any(|held| held == path) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the last attempt has not been answered yet"));
        }
        match writer::write(path, create, text.as_bytes(), limit) {
            Written::Done(result) => result.map_err(in_words),
            Written::Late { held, starved } => {
                self.held.extend(held.map(|pid| (pid, path.to_owned())));
                let why = if starved { "no processor time was left for it" } else { "its file system hangs" };
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {}ms, {why}", limit.as_millis())))
            }
        }
    }

    /// A helper that looks at something and is waited for by nobody: it ends by itself, or could not be ended.
    pub(super) fn hold(&mut self, pid: i32, what: PathBuf) {
        self.held.insert(pid, what);
    }

    /// How many are held for this.
    pub(super) fn holding(&self, what: &str) -> usize {
        self.held.values().filter(|held| held.as_os_str() == what).count()
    }

    pub(super) fn owns(&self, pid: i32) -> bool {
        self.held.contains_key(&pid) || self.logs.owns(pid)
    }

    /// It took too long.
    pub(super) fn give_up(&self, pid: i32) {
        if self.owns(pid) {
            kill(pid);
        }
    }

    /// A child has ended. True: it was one of these.
    pub(super) fn ended(&mut self, pid: i32) -> bool {
        self.held.remove(&pid).is_some() || self.logs.ended(pid)
    }

    /// The end: who still looks at something is killed, and reaped unless the kernel holds it until then.
    pub(super) async fn end(&mut self, until: Instant) {
        if self.held.is_empty() {
            return;
        }
        self.held.keys().for_each(|pid| kill(*pid));
        loop {
            self.held.retain(|pid, _| matches!(reap::reap(*pid), Ok(None)));
            if self.held.is_empty() || Instant::now() >= until {
                break;
            }
            tokio::time::sleep(A_MOMENT).await;
        }
        let _nobody_is_left = reap::peek();
    }

    /// There are children, and all of them are writers that are held.
    pub(super) fn are_all(&self) -> bool {
        (!self.held.is_empty() || self.logs.has_writers())
            && tree::children(process::own_pid()).is_ok_and(|pids| pids.iter().all(|pid| self.owns(*pid)))
    }
}

/// One of ours: as long as it is listed its pid is nobody else's.
fn kill(pid: i32) {
    let _ = target::signal(pid, Signal::KILL);
}

/// What the kernel's own words do not say.
pub(super) fn in_words(error: io::Error) -> io::Error {
    let text = match error.raw_os_error() {
        Some(libc::ELOOP) => "a symbolic link on the way is another user's, and not followed",
        Some(libc::EMLINK) => "the file has a second name (a hard link), in a folder that others may change",
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}

/// Whether it is certain, without asking a file system that might hang, that there is no such file: of what stands in /dev itself,
/// which the container's runtime keeps in memory. What is mounted there (the kubelet's termination log) is not looked at but for its
/// name; only a mount from NFS itself may ask its server even then.
pub(super) fn is_missing_from_dev(path: &Path) -> bool {
    let in_dev = path.parent() == Some(Path::new("/dev")) && path.file_name().is_some();
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    in_dev && matches!(open(path, flags, Mode::empty()), Err(Errno::ENOENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "what is tested reaps it")]
    fn who_still_looks_at_something_at_the_end_is_killed_and_reaped() {
        let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (pid, mut writers) = (child.id().cast_signed(), Writers::default());
        writers.hold(pid, "a report".into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(writers.end(Instant::now() + Duration::from_secs(60)));
        assert!(!writers.owns(pid));
        assert!(reap::reap(pid).is_err(), "it is no child any more");
    }

    #[test]
    fn only_what_is_not_in_dev_is_missing_from_it() {
        assert!(is_missing_from_dev(Path::new("/dev/softstop-has-no-such-file")));
        for path in ["/dev/null", "/dev/fd/0", "/dev", "/nowhere/termination-log", "termination-log", "/dev/.."] {
            assert!(!is_missing_from_dev(Path::new(path)), "{path}");
        }
    }
}
