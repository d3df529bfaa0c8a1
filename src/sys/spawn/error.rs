//! Why a program could not be started, in words.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Spawn;
use super::prepare::DEFAULT_PATH;
use crate::config::{CapabilitySet, Limits, Rlimit, UNLIMITED};
use crate::facts::{SpawnError, SpawnErrorKind};

/// More places than any real PATH has.
const MAX_CANDIDATES: usize = 4096;

macro_rules! stages {
    ($($stage:ident)+) => {
        /// What the child was doing when it failed.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(super) enum Stage { $($stage),+ }

        const STAGES: &[Stage] = &[$(Stage::$stage),+];
    };
}

stages!(
    Stdio WorkingDir Groups Gid Uid WayBack OomScore Rlimit Nice Bounding Capabilities Ambient NoNewPrivs Exec Handed Terminal
);

impl Stage {
    /// A step of this stage. Async-signal-safe.
    pub(super) fn step<T>(self, result: nix::Result<T>) -> Result<T, Failure> {
        self.step_about(0, result)
    }

    /// One of several: a limit, a capability. Async-signal-safe.
    pub(super) fn step_about<T>(self, which: u16, result: nix::Result<T>) -> Result<T, Failure> {
        result.map_err(|errno| Failure { candidate: which, ..Failure::new(self, errno as i32) })
    }
}

/// Why the child has not become the program, as it writes it into the pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) errno: i32,
    /// Exec: which candidate. A limit, a capability: which.
    pub(super) candidate: u16,
    /// Exec, ENOENT: the candidate exists, so it is its interpreter that does not.
    pub(super) exists: bool,
}

impl Failure {
    pub(super) const SIZE: usize = 8;

    pub(super) fn new(stage: Stage, errno: i32) -> Failure {
        Failure { stage, errno, candidate: 0, exists: false }
    }

    pub(super) fn to_bytes(self) -> [u8; Failure::SIZE] {
        let [c0, c1] = self.candidate.to_ne_bytes();
        let [e0, e1, e2, e3] = self.errno.to_ne_bytes();
        [self.stage as u8, u8::from(self.exists), c0, c1, e0, e1, e2, e3]
    }

    pub(super) fn from_bytes([stage, exists, c0, c1, e0, e1, e2, e3]: [u8; Failure::SIZE]) -> Failure {
        Failure {
            stage: STAGES.get(usize::from(stage)).copied().unwrap_or(Stage::Exec),
            errno: i32::from_ne_bytes([e0, e1, e2, e3]),
            candidate: u16::from_ne_bytes([c0, c1]),
            exists: exists != 0,
        }
    }
}

/// What an explanation needs to know of the attempt, kept for when the result comes late.
#[derive(Clone, Debug)]
pub(super) struct Context {
    program: OsString,
    /// The paths to execute, as the child sees them.
    pub(super) candidates: Vec<PathBuf>,
    /// The PATH that was searched.
    path: Option<OsString>,
    working_dir: Option<PathBuf>,
    who: Option<String>,
    limits: Limits,
}

impl Context {
    pub(super) fn new(spawn: &Spawn<'_>) -> Context {
        let program = spawn.argv.first().cloned().unwrap_or_default();
        let (candidates, path) = if program.is_empty() {
            (Vec::new(), None)
        } else if program.as_bytes().contains(&b'/') {
            (vec![PathBuf::from(&program)], None)
        } else {
            let path = spawn.env.iter().rev().find(|(name, _)| name == "PATH");
            let path = path.map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value.as_os_str());
            let dirs = path.as_bytes().split(|b| *b == b':').take(MAX_CANDIDATES);
            // An empty entry means the working directory, and joining onto nothing gives just that.
            let candidates = dirs.map(|dir| Path::new(OsStr::from_bytes(dir)).join(&program)).collect();
            (candidates, Some(path.to_owned()))
        };
        let who = spawn.credentials.map(|who| match &who.name {
            Some(name) => format!("user {name:?} (uid {}, gid {})", who.uid, who.gid),
            None => format!("uid {}, gid {}", who.uid, who.gid),
        });
        let working_dir = spawn.working_dir.map(Path::to_owned);
        Context { program, candidates, path, working_dir, who, limits: spawn.limits.clone() }
    }

    fn error(&self, kind: SpawnErrorKind, text: &str) -> SpawnError {
        let program = self.program.to_string_lossy();
        SpawnError { kind, text: format!("cannot start {program:?}{}: {text}", self.seen_from()) }
    }

    pub(super) fn setup(&self, text: &str) -> SpawnError {
        self.error(SpawnErrorKind::Setup, text)
    }

    /// A call of our own that failed, before there was a child.
    pub(super) fn no_resources(&self, what: &str, error: &io::Error) -> SpawnError {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        self.error(kind(errno), &format!("{what}: {}", reason(errno)))
    }

    pub(super) fn explain(&self, failure: Failure) -> SpawnError {
        let why = reason(failure.errno);
        let who = self.who.as_deref().unwrap_or("the user");
        let kind = kind(failure.errno);
        match failure.stage {
            Stage::Exec => self.explain_exec(failure),
            Stage::Stdio => self.error(kind, &format!("cannot set its standard descriptors: {why}")),
            Stage::Terminal => self.error(kind, &format!("cannot give it a terminal of its own (tty): {why}")),
            Stage::Handed => self.error(kind, &format!("cannot hand it its sockets: {why}")),
            Stage::WorkingDir => {
                let dir = self.working_dir.as_deref().unwrap_or(Path::new("")).to_string_lossy();
                self.error(kind, &format!("cannot enter its working directory {dir:?}: {why}"))
            }
            Stage::Groups | Stage::Gid | Stage::Uid => {
                let (call, needs) = match failure.stage {
                    Stage::Groups => ("setgroups", "CAP_SETGID"),
                    Stage::Gid => ("setgid", "CAP_SETGID"),
                    _ => ("setuid", "CAP_SETUID"),
                };
                let hint = match failure.errno {
                    libc::EPERM => format!(": run softstop as root or with {needs}"),
                    libc::EINVAL => ": the id is not mapped in this user namespace".to_owned(),
                    _ => String::new(),
                };
                self.error(kind, &format!("cannot become {who}: {call}: {why}{hint}"))
            }
            Stage::OomScore
            | Stage::Rlimit
            | Stage::Nice
            | Stage::Bounding
            | Stage::Capabilities
            | Stage::Ambient
            | Stage::NoNewPrivs => self.error(kind, &self.explain_limit(failure)),
            Stage::WayBack => self.error(kind, &format!("cannot become {who} for good: the kernel allows a way back")),
        }
    }

    /// Which key, what it was to be, the error and what helps.
    fn explain_limit(&self, failure: Failure) -> String {
        let errno = nix::Error::from_raw(failure.errno);
        let why = format!("{} ({errno:?})", reason(failure.errno));
        let capability = CapabilitySet::name(failure.candidate.into());
        let rlimit = self.limits.rlimits.get(usize::from(failure.candidate));
        let (what, takes) = match failure.stage {
            Stage::OomScore => (
                format!("set oom_score_adj to {}", self.limits.oom_score_adj.unwrap_or_default()),
                "less than softstop's own takes the capability SYS_RESOURCE",
            ),
            Stage::Rlimit => (
                format!("set {}", rlimit.map_or_else(String::new, shown)),
                "a hard limit above softstop's own takes the capability SYS_RESOURCE: raise it where the container is started (--ulimit)",
            ),
            Stage::Nice => (
                format!("set nice to {}", self.limits.nice.unwrap_or_default()),
                "less than softstop's own takes the capability SYS_NICE",
            ),
            Stage::Bounding => (
                format!("drop {capability} (capabilities.drop)"),
                "that takes the capability SETPCAP: run softstop as root, or drop it where the container is started (--cap-drop)",
            ),
            Stage::Ambient => (format!("keep {capability} for another user (capabilities.add)"), ""),
            Stage::NoNewPrivs => ("set no_new_privs".to_owned(), ""),
            _ => ("set its capabilities".to_owned(), ""),
        };
        let refused = matches!(failure.errno, libc::EPERM | libc::EACCES) && !takes.is_empty();
        let hint = if refused { format!(": {takes}") } else { String::new() };
        format!("cannot {what}: {why}{hint}")
    }

    fn explain_exec(&self, failure: Failure) -> SpawnError {
        use SpawnErrorKind::{NotExecutable, NotFound, Transient};
        let Some(path) = self.candidates.get(usize::from(failure.candidate)) else {
            return self.error(NotFound, "the command is empty");
        };
        let shown = path.to_string_lossy();
        // Where it was found matters when it was searched for.
        let at = if self.path.is_some() { format!("{shown:?}: ") } else { String::new() };
        let why = reason(failure.errno);
        match failure.errno {
            libc::ENOENT if failure.exists => {
                self.error(NotExecutable, &format!("{at}{}", self.missing_interpreter(path)))
            }
            libc::ENOENT | libc::ENOTDIR => match &self.path {
                Some(path) => self.error(NotFound, &format!("not found in PATH {:?}", path.to_string_lossy())),
                None => self.error(NotFound, &why),
            },
            libc::ENOEXEC => self.error(
                NotExecutable,
                &format!("{at}exec format error: not a program for this machine, or a script without a #! line"),
            ),
            libc::EACCES => self.error(NotExecutable, &format!("{at}{}", self.denied(path))),
            libc::E2BIG => self.error(NotExecutable, "its arguments and environment are too long for the kernel"),
            errno if transient(errno) => self.error(Transient, &format!("{at}{why}")),
            _ => self.error(NotExecutable, &format!("{at}{why}")),
        }
    }

    /// Where a relative path to a program begins; nothing for one that is absolute or searched for.
    fn seen_from(&self) -> String {
        if self.path.is_some() || self.program.is_empty() || Path::new(&self.program).is_absolute() {
            return String::new();
        }
        // Asked of the kernel's own tables: no file system is waited for.
        let dir = self.working_dir.clone().or_else(|| std::env::current_dir().ok());
        dir.map_or_else(String::new, |dir| format!(" in {:?}", dir.to_string_lossy()))
    }

    /// A candidate as softstop itself sees it.
    fn resolve(&self, path: &Path) -> PathBuf {
        self.working_dir.as_deref().map_or_else(|| path.to_owned(), |dir| dir.join(path))
    }

    // What follows asks the file system that has just answered exec. One that begins to hang between the two is taken as it comes.

    fn denied(&self, path: &Path) -> String {
        let why = reason(libc::EACCES);
        let who = self.who.as_deref().map_or(String::new(), |who| format!(" for {who}"));
        match fs::metadata(self.resolve(path)) {
            Ok(meta) if meta.is_dir() => "it is a directory".to_owned(),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                format!("{why}: the file is not executable: chmod +x it")
            }
            _ => {
                format!("{why}{who}: check the file's mode, the folders above it and noexec mounts")
            }
        }
    }

    /// The file is there, yet exec found something missing: what its #! line names, or what its ELF header does.
    fn missing_interpreter(&self, path: &Path) -> String {
        let mut head = Vec::new();
        let path = self.resolve(path);
        // Only a regular file: opening a FIFO would block.
        if fs::metadata(&path).is_ok_and(|meta| meta.is_file())
            && let Ok(file) = File::open(&path)
        {
            // As far as the kernel looks. What cannot be read is not explained further.
            let _ = file.take(256).read_to_end(&mut head);
        }
        match head.strip_prefix(b"#!") {
            Some(line) => {
                let line = line.split(|b| *b == b'\n').next().unwrap_or(line);
                let text = String::from_utf8_lossy(line);
                let name = text.split([' ', '\t']).find(|word| !word.is_empty()).unwrap_or("");
                let hint = if name.ends_with('\r') { ": the script has Windows line ends" } else { "" };
                format!("interpreter missing: its #! line names {name:?}, which does not exist{hint}")
            }
            None => "interpreter missing: the dynamic loader it was linked for is not in this image".to_owned(),
        }
    }
}

fn kind(errno: i32) -> SpawnErrorKind {
    if transient(errno) { SpawnErrorKind::Transient } else { SpawnErrorKind::Setup }
}

fn transient(errno: i32) -> bool {
    matches!(errno, libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ETXTBSY | libc::EINTR)
}

/// A limit as it was to be.
fn shown(limit: &Rlimit) -> String {
    let bound = |bound: Option<u64>| match bound {
        Some(UNLIMITED) => "unlimited".to_owned(),
        Some(n) => n.to_string(),
        None => "as it is".to_owned(),
    };
    format!("rlimits.{} to soft {}, hard {}", limit.resource.name(), bound(limit.soft), bound(limit.hard))
}

/// The error in words, with what to look at where the number alone misleads.
fn reason(errno: i32) -> String {
    let text = nix::Error::from_raw(errno).desc();
    let mut chars = text.chars();
    let text = chars.next().map_or(String::new(), |first| first.to_ascii_lowercase().to_string() + chars.as_str());
    match errno {
        libc::EAGAIN => format!("{text}: the process limit is reached (pids.max or RLIMIT_NPROC)"),
        libc::EMFILE => format!("{text}: raise RLIMIT_NOFILE"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_pipe() {
        for &stage in STAGES {
            for (errno, candidate, exists) in [(2, 0, true), (13, 513, false), (i32::MAX, u16::MAX, true)] {
                let failure = Failure { stage, errno, candidate, exists };
                assert_eq!(Failure::from_bytes(failure.to_bytes()), failure);
            }
        }
    }

    #[test]
    fn reasons_are_in_the_house_style() {
        assert_eq!(reason(libc::ENOENT), "no such file or directory");
        assert!(reason(libc::EAGAIN).contains("pids.max"), "{}", reason(libc::EAGAIN));
    }
}
