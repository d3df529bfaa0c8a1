//! Starting a program: fork and exec of our own. The standard library's `Command` hands our signal mask down, blocks for as
//! long as exec does (a hung network filesystem), and its `Child` waits on its own, beside the reaper.
//!
//! Everything that allocates happens before the fork, here; [`child`] holds what happens after it. The child tells how exec
//! went over a close-on-exec pipe: an end without a word is success.

#![expect(unsafe_code, reason = "fork")]

mod child;
mod error;
mod limits;
pub mod log_writer;
pub mod maps;
pub mod place;
mod prepare;
pub mod reader;
pub mod stack;
pub mod writer;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, pipe2, setpgid};

use super::signals::Inherited;
use super::terminal;
use super::users::Credentials;
use crate::config::Limits;
use crate::facts::SpawnError;
use error::{Context, Failure};
pub use prepare::DEFAULT_PATH;

/// How long [`spawn`] waits for exec's result. It takes 0.2 ms unless the program's filesystem hangs or the machine is short
/// of everything; the one thread must not wait for that.
pub const EXEC_WAIT: Duration = Duration::from_millis(250);
/// How long a child that has reported its failure may take to be gone, before it is left to the reaper as an orphan.
const GONE_WAIT: Duration = Duration::from_millis(100);

/// Where one of a child's standard descriptors leads.
#[derive(Clone, Copy, Debug)]
pub enum Stdio<'a> {
    /// softstop's own.
    Inherit,
    /// /dev/null.
    Null,
    /// A duplicate of this one.
    Fd(BorrowedFd<'a>),
    /// The same, and for standard input: the child leads a session of its own, whose controlling terminal this one becomes.
    Terminal(BorrowedFd<'a>),
}

/// What to start, and how.
#[derive(Clone, Debug)]
pub struct Spawn<'a> {
    /// Program and arguments. A program without a slash is looked up on the PATH of `env`, one with a slash is taken from
    /// `working_dir`.
    pub argv: &'a [OsString],
    /// The complete environment. LISTEN_PID, when it is there, becomes the child's pid.
    pub env: &'a [(OsString, OsString)],
    pub working_dir: Option<&'a Path>,
    /// Who to become; `None` stays who we are.
    pub credentials: Option<&'a Credentials>,
    /// What it may.
    pub limits: &'a Limits,
    pub stdin: Stdio<'a>,
    pub stdout: Stdio<'a>,
    pub stderr: Stdio<'a>,
    /// Give it the controlling terminal, if there is one.
    pub foreground: bool,
    /// Descriptors from 3 up that are not close-on-exec reach the program (socket activation); else none does.
    pub keep_fds: bool,
    /// What it gets at which numbers, from 3 up and each once; see [`Handed`].
    pub handed: &'a [Handed<'a>],
    /// The signal mask and the limits it gets.
    pub inherited: &'a Inherited,
}

static NO_LIMITS: Limits = Limits {
    umask: None,
    rlimits: Vec::new(),
    nice: None,
    oom_score_adj: None,
    no_new_privs: false,
    capabilities: None,
};

impl<'a> Spawn<'a> {
    /// As softstop itself runs, in the background: it reads and writes nothing, and is handed nothing.
    pub fn new(argv: &'a [OsString], env: &'a [(OsString, OsString)], inherited: &'a Inherited) -> Spawn<'a> {
        Spawn {
            argv,
            env,
            working_dir: None,
            credentials: None,
            limits: &NO_LIMITS,
            stdin: Stdio::Null,
            stdout: Stdio::Null,
            stderr: Stdio::Null,
            foreground: false,
            keep_fds: false,
            handed: &[],
            inherited,
        }
    }
}

/// A descriptor that the program gets at a certain number, from 3 up.
#[derive(Clone, Copy, Debug)]
pub struct Handed<'a> {
    pub number: RawFd,
    pub fd: BorrowedFd<'a>,
}

/// A child in a process group of its own, whose number is its pid.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    pub exec: ExecStatus,
}

#[derive(Debug)]
pub enum ExecStatus {
    /// The program runs.
    Started,
    /// Not known yet: ask [`PendingExec::finish`] again.
    Pending(PendingExec),
}

/// The result of an exec that takes long. Should it fail, the child also ends by itself, with 126 or 127.
#[derive(Debug)]
pub struct PendingExec {
    reports: OwnedFd,
    context: Box<Context>,
}

impl PendingExec {
    /// `None` while the result is not there; never blocks. After an error the child is still to be reaped, as any other.
    pub fn finish(&self) -> Option<Result<(), SpawnError>> {
        Some(match read_report(&self.reports)? {
            None => Ok(()),
            Some(failure) => Err(self.context.explain(failure)),
        })
    }
}

/// Starts a program. Waits at most 250 ms for exec's result. After an error nothing is left of the attempt.
///
/// # Errors
/// What failed, in one line, and of which kind: see [`SpawnError`].
pub fn spawn(spawn: &Spawn<'_>) -> Result<Child, SpawnError> {
    spawn_within(spawn, EXEC_WAIT)
}

/// As [`spawn`], but waits at most `wait` for exec's result.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_within(spawn: &Spawn<'_>, wait: Duration) -> Result<Child, SpawnError> {
    let context = Context::new(spawn);
    let mut prepared = prepare::prepare(spawn, &context)?;
    let no_pipe = |error: io::Error| context.no_resources("no pipe", &error);
    let (reports, report_to) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(|e| no_pipe(e.into()))?;
    // Not where the child puts what it is handed.
    let report_to = prepare::above(report_to, spawn.handed).map_err(no_pipe)?;
    let become_program = || -> nix::Result<()> {
        // SAFETY: this is the forked child, and all signals are blocked.
        unsafe { child::run(&mut prepared, report_to.as_raw_fd()) }
    };
    // SAFETY: that makes async-signal-safe calls alone.
    let forked = unsafe { writer::in_child(become_program) };
    let pid = forked.map_err(|e| context.no_resources("no new process", &e.into()))?;
    // Both sides do it, so that the group exists whoever is first. It fails when the child has already executed (EACCES)
    // or ended, and in sandboxes; all of that is fine.
    // Who leads a group cannot begin a session, which is a group, too.
    if !prepared.session {
        let _ = setpgid(Pid::from_raw(pid), Pid::from_raw(pid));
    }
    drop(report_to);
    drop(prepared);
    match await_report(&reports, wait) {
        None => Ok(Child { pid, exec: ExecStatus::Pending(PendingExec { reports, context: Box::new(context) }) }),
        Some(None) => Ok(Child { pid, exec: ExecStatus::Started }),
        Some(Some(failure)) => {
            // It has one system call left to make.
            let _ = writer::end_of(pid, GONE_WAIT);
            // The terminal must not stay with a group that has no members.
            if let Some(terminal) = terminal::terminal().filter(|terminal| terminal.foreground() == Some(pid)) {
                let _ = terminal.take();
            }
            Err(context.explain(failure))
        }
    }
}

fn await_report(reports: &OwnedFd, wait: Duration) -> Option<Option<Failure>> {
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(reports.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return None,
            Ok(_) => return read_report(reports),
            Err(nix::Error::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Outer `None`: nothing to read yet. Inner `None`: exec has closed the pipe.
fn read_report(reports: &OwnedFd) -> Option<Option<Failure>> {
    let mut bytes = [0; Failure::SIZE];
    loop {
        match nix::unistd::read(reports, &mut bytes) {
            // A report is written in one piece, being shorter than PIPE_BUF.
            Ok(Failure::SIZE) => return Some(Some(Failure::from_bytes(bytes))),
            Ok(_) => return Some(None),
            Err(nix::Error::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Of the highest number of 32 bits.
const DIGITS: usize = 10;

/// A number's digits, at the end of `room`. Async-signal-safe.
fn decimal(mut number: u32, room: &mut [u8; DIGITS]) -> &[u8] {
    let mut first = DIGITS;
    while first == DIGITS || number > 0 {
        first -= 1;
        room[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    &room[first..]
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;
    use crate::facts::{Exit, SpawnErrorKind};
    use crate::sys::reap;

    /// Not in the libc crate.
    const F_SETSIG: i32 = 10;

    /// Holds a lease on a file: whoever executes it waits until the lease is given up, as on a filesystem that hangs.
    struct Lease(std::fs::File);

    impl Lease {
        fn take(path: &Path) -> Lease {
            let file = std::fs::File::open(path).unwrap();
            // The kernel tells the holder by a signal; the default one would end the test.
            // SAFETY: takes integers and changes what this descriptor does alone.
            let rc = unsafe { libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) };
            assert_eq!(rc, 0);
            // A process that another test forks at that moment has the file open for writing until its exec.
            let end = Instant::now() + Duration::from_secs(60);
            // SAFETY: as above.
            while unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) } != 0 {
                assert!(Instant::now() < end, "no lease: {}", io::Error::last_os_error());
                std::thread::sleep(Duration::from_millis(1));
            }
            Lease(file)
        }

        fn give_up(self) {
            // SAFETY: takes integers and changes what this descriptor does alone.
            unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
        }
    }

    fn slow(name: &str, content: &str) -> (Option<Result<(), SpawnError>>, Exit) {
        let path = std::env::temp_dir().join(format!("softstop-{name}-{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o755).open(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        drop(file);
        let lease = Lease::take(&path);
        let argv = [path.clone().into_os_string()];
        let child = spawn(&Spawn::new(&argv, &[], &Inherited::default())).unwrap();
        let ExecStatus::Pending(pending) = child.exec else { panic!("exec went through a lease") };
        assert!(pending.finish().is_none(), "a result before exec had one");
        lease.give_up();
        poll(&mut [PollFd::new(pending.reports.as_fd(), PollFlags::POLLIN)], 20_000u16).unwrap();
        let result = pending.finish();
        let exit = loop {
            if let Some(exit) = reap::reap(child.pid).unwrap() {
                break exit;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        std::fs::remove_file(&path).unwrap();
        (result, exit)
    }

    #[test]
    fn an_exec_that_hangs_is_left_pending_and_succeeds_later() {
        let (result, exit) = slow("hang", "#!/bin/sh\nexit 5\n");
        assert_eq!(result, Some(Ok(())));
        assert_eq!(exit, Exit::Code(5));
    }

    #[test]
    fn an_exec_that_hangs_and_fails_says_why_later() {
        let (result, exit) = slow("hang-and-fail", "no program at all");
        let error = result.unwrap().unwrap_err();
        assert_eq!(error.kind, SpawnErrorKind::NotExecutable);
        assert!(error.text.contains("exec format error"), "{}", error.text);
        assert_eq!(exit, Exit::Code(126));
    }
}
