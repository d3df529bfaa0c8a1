//! The softstop that is drilled: started as PID 1 of a namespace of its own where this user may make one, else as a child, with its report
//! in memory, so that nothing needs a place to write; and ended with all that it has started.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{close, dup2_stderr, dup2_stdin, dup2_stdout, pipe2};

use super::Plan;
use crate::config::Control;
use crate::control::socket::{Address, connect_now, namespace};
use crate::facts::Exit;
use crate::signal::Signal;
use crate::sys::signals::Inherited;
use crate::sys::tree::Descendant;
use crate::sys::{apart, plain, process, reap, target, tree};

/// Its report as it sees it: where it has its standard input.
const REPORT: &str = "/proc/self/fd/0";
/// Of a report, in bytes; softstop's own bounds keep it well below.
const MOST_REPORT: u64 = 64 * 1024 * 1024;
/// Folders in which root may have a socket, the first that can be written.
const FOLDERS: [&str; 4] = ["/run", "/tmp", "/dev/shm", "/var/tmp"];
/// Of the folder's name, before drill's pid and a number; and of the socket in it.
const PREFIX: &str = "softstop-drill-";
const SOCKET: &str = "control";
/// So many ended children are remembered; drill has one or two of its own.
const MOST_ENDED: usize = 1024;
/// Everything below is to be gone in that time once it was sent SIGKILL.
const GONE: Duration = Duration::from_secs(5);

/// How to start it.
pub struct Start<'a> {
    pub plan: &'a Plan,
    /// softstop's own file.
    pub program: &'a Path,
    /// In place of the configured one.
    pub grace: Option<Duration>,
    pub inherited: &'a Inherited,
}

/// A softstop that was started.
pub struct Started {
    pub pid: i32,
    /// It is PID 1 of a namespace of its own.
    pub apart: bool,
    pub control: Address,
    report: File,
    folder: Option<PathBuf>,
    exit: Option<Exit>,
    /// Others that have ended, and were asked for.
    ended: Vec<i32>,
}

impl Start<'_> {
    /// # Errors
    /// One line: there can be no process, or no memory for its report.
    pub fn start(&self) -> Result<Started, String> {
        let report = memfd_create("softstop drill: report", MFdFlags::MFD_CLOEXEC);
        let report = File::from(report.map_err(|e| format!("no memory for the report: {}", e.desc()))?);
        let configured = self.configured();
        let folder = if configured.is_none() { private_folder() } else { None };
        // An address without a file is for its own PID namespace alone.
        if configured.as_ref().is_none_or(|control| matches!(control, Address::Path(_)))
            && let Some(control) = configured.clone().or(folder.as_ref().map(|f| Address::Path(f.join(SOCKET))))
            && let Some(pid) = self.start_apart(&control, &report)?
        {
            return Ok(Started { pid, apart: true, control, report, folder, exit: None, ended: Vec::new() });
        }
        folder.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
        let number = process::own_pid();
        let own = Address::Abstract(format!("softstop-drill/{}/{number}/{}", namespace(), next()));
        let words = self.words(&own, false);
        let pid = plain::fork(|| {
            // What is typed at a terminal is drill's to pass on.
            let _ = plain::own_session();
            self.become_softstop(&words, &report)
        });
        let pid = pid.map_err(|e| format!("no new process: {}", plain::error_text(e)))?;
        let control = configured.unwrap_or(own);
        Ok(Started { pid, apart: false, control, report, folder: None, exit: None, ended: Vec::new() })
    }

    /// Where orders are taken, where the configuration says so.
    fn configured(&self) -> Option<Address> {
        match &self.plan.config.control {
            Control::Path(path) => Some(Address::Path(path.clone())),
            Control::Abstract(name) => Some(Address::Abstract(name.clone())),
            Control::Own | Control::Off => None,
        }
    }

    /// `None`: this user, or this container, may have no namespace of its own.
    fn start_apart(&self, control: &Address, report: &File) -> Result<Option<i32>, String> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|e| format!("no pipe: {}", e.desc()));
        let ((arrived, arrives), (waits, goes)) = (pipe()?, pipe()?);
        let words = self.words(control, true);
        let others = [arrived.as_raw_fd(), goes.as_raw_fd()];
        let child = move || {
            // Its own copies: else it would not see that drill has ended.
            for fd in others {
                let _ = close(fd);
            }
            let ready = apart::own_proc().is_ok() && process::parent_death_signal(Signal::KILL).is_ok();
            if !ready || nix::unistd::write(&arrives, b"1") != Ok(1) || nix::unistd::read(&waits, &mut [0]) != Ok(1) {
                return 1;
            }
            self.become_softstop(&words, report)
        };
        let Ok(pid) = apart::fork(child) else { return Ok(None) };
        if read_one(&arrived) {
            let _ = nix::unistd::write(&goes, b"1");
            return Ok(Some(pid));
        }
        drop(goes);
        while matches!(reap::reap(pid), Ok(None)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }

    /// The whole command line. `control`: where orders are to be taken, unless that is configured.
    fn words(&self, control: &Address, apart: bool) -> Vec<OsString> {
        let mut words = vec![self.program.as_os_str().to_owned()];
        words.extend(self.plan.head.iter().cloned());
        words.extend([flag("report", REPORT), flag("termination-log", "")]);
        let grace = self.grace.map(|grace| humantime::format_duration(grace).to_string().replace(' ', ""));
        words.extend(grace.map(|grace| flag("grace", grace)));
        if self.configured().is_none() {
            words.push(control_flag(control));
        }
        if !apart {
            // drill's end is its stop.
            words.push(flag("parent-death-signal", "TERM"));
        }
        words.extend(self.plan.tail.iter().cloned());
        words
    }

    /// In the child: its exit code where that fails.
    fn become_softstop(&self, words: &[OsString], report: &File) -> u8 {
        let streams = || -> nix::Result<()> {
            dup2_stdin(report)?;
            let null = process::open_null(false).map_err(|_| nix::Error::EMFILE)?;
            if self.plan.how.quiet {
                dup2_stdout(&null)?;
                return dup2_stderr(&null);
            }
            // What drill says is on standard output.
            dup2_stdout(io::stderr())
        };
        if streams().is_err() {
            return 126;
        }
        self.inherited.give_back();
        let errno = plain::exec(words);
        let program = self.program.display();
        let _ = writeln!(io::stderr(), "softstop: error: {program}: {}", plain::error_text(errno));
        126
    }
}

fn flag(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut word = OsString::from(format!("--{name}="));
    word.push(value);
    word
}

/// Where orders are taken, as it is typed.
pub fn control_flag(address: &Address) -> OsString {
    match address {
        Address::Path(path) => flag("control", path),
        Address::Abstract(name) => flag("control", format!("@{name}")),
    }
}

/// One byte, or the end.
fn read_one(fd: &OwnedFd) -> bool {
    loop {
        match nix::unistd::read(fd, &mut [0]) {
            Err(nix::Error::EINTR) => {}
            read => return read == Ok(1),
        }
    }
}

/// A number that drill has not used yet.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// So many left-overs are looked at, of thousands of entries at the most.
const MOST_LEFT: usize = 64;

/// Folders of drills that were ended by SIGKILL: theirs has gone, and nobody takes orders at their address. (In a folder that containers share
/// another's drill has no process here, but it answers.)
fn remove_left(pid_lives: impl Fn(i32) -> bool) {
    for folder in FOLDERS {
        let entries = std::fs::read_dir(folder).into_iter().flatten().take(10_000).flatten();
        let pid_of = |name: &str| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<i32>().ok();
        let left =
            entries.filter(|entry| entry.file_name().to_str().and_then(pid_of).is_some_and(|pid| !pid_lives(pid)));
        for entry in left.take(MOST_LEFT) {
            let socket = entry.path().join(SOCKET);
            let dead = connect_now(&Address::Path(socket.clone()))
                .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
            if dead && std::fs::remove_file(socket).is_ok() {
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }
}

/// A folder that nobody else can look into. Only root makes namespaces here.
fn private_folder() -> Option<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    remove_left(|pid| Descendant::read(pid).is_ok());
    let name = format!("{PREFIX}{}-{}", process::own_pid(), next());
    let made = |folder: &&&str| std::fs::DirBuilder::new().mode(0o700).create(format!("{folder}/{name}")).is_ok();
    FOLDERS.iter().find(made).map(|folder| PathBuf::from(folder).join(name))
}

impl Started {
    /// Reaps whoever has ended. How softstop itself ended, once it has.
    pub fn exit(&mut self) -> Option<Exit> {
        while let reap::Peek::Dead { pid, exit } = reap::peek() {
            let _ = reap::reap(pid);
            if self.ended.len() < MOST_ENDED {
                self.ended.push(pid);
            }
            if pid == self.pid && self.exit.is_none() {
                self.exit = Some(exit);
            }
        }
        self.exit
    }

    /// Whether this child of drill's has ended.
    pub fn has_ended(&mut self, pid: i32) -> bool {
        let _ = self.exit();
        self.ended.contains(&pid)
    }

    /// # Errors
    /// It has ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.exit().is_some() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        target::signal(self.pid, signal)
    }

    /// What it has written of its run; nothing when it could not.
    pub fn report(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let _ = self.report.rewind();
        let _ = (&self.report).take(MOST_REPORT).read_to_end(&mut text);
        text
    }

    /// Everything that is still there below drill, by name, and its end; of a namespace the kernel takes care.
    pub fn end(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        let limit = Instant::now() + GONE;
        // Of what is ended with it nothing has been left behind.
        let ended = self.exit().is_some();
        if self.exit().is_none() {
            let _ = target::signal(self.pid, Signal::KILL);
        }
        loop {
            let _ = self.exit();
            let below = tree::descendants(&|_| false).unwrap_or_default();
            let living: Vec<_> = below.into_iter().filter(|process| process.lives && process.pid != self.pid).collect();
            if self.exit.is_some() && living.is_empty() || Instant::now() > limit {
                return left;
            }
            for process in &living {
                let named = format!("{} (pid {})", process.comm, process.pid);
                // In a namespace everybody ends with PID 1.
                if !self.apart && ended && !left.contains(&named) {
                    left.push(named);
                }
                let _ = tree::signal(process, &[Signal::KILL]);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.end();
        if let (Some(folder), Address::Path(socket)) = (&self.folder, &self.control) {
            let _ = std::fs::remove_file(socket);
            let _ = std::fs::remove_dir(folder);
        }
    }
}
