//! Faults that stand in front of softstop: limits, missing mounts, refused system calls, output that goes nowhere. [`launch`] puts any
//! number of them before it, so that softstop and everything it starts live under them. How each is made: `fault.pl`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{CHILD, Launch, Running, SOFTSTOP, processes};

const FAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/fault.pl");

/// The newer system calls that container runtimes' seccomp profiles and old kernels do not know.
pub const NEWER: &str = "pidfd_open,pidfd_send_signal,pidfd_getfd,clone3,close_range,openat2,faccessat2";

/// What is wrong with the place that softstop finds itself in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A user of its own, without any of root's exemptions: what `RLIMIT_NPROC`, hidepid and EPERM need.
    User(u32),
    /// `RLIMIT_NPROC`: that user's processes at most, softstop itself included. Root is exempt: with [`Fault::User`].
    Processes(u32),
    /// `RLIMIT_NOFILE`: EMFILE from that number on.
    Descriptors(u32),
    /// Root without a single capability.
    NoCapabilities,
    /// Calls that answer with this errno: `Refused("ENOSYS", NEWER)`.
    Refused(&'static str, &'static str),
    /// Calls that end whoever makes them, as SCMP_ACT_KILL does.
    Deadly(&'static str),
    /// Every mount is read-only, `/tmp`, `/run` and `/dev` too; only the tests' own directories are not.
    ReadOnly,
    /// No `/dev/null`.
    NoNull,
    /// The directory is empty and read-only: `/tmp`, `/dev`, `/proc`.
    Empty(&'static str),
    /// The directory is a file system without room, with an empty file `termination-log` in it.
    Full(PathBuf),
    /// This directory is all there is: see [`scratch`].
    Chroot(PathBuf),
    /// A `/proc` mounted with these options: `hidepid=2`, `subset=pid`.
    Proc(&'static str),
    /// Pids stay below this (more than 300), so that they are used again soon. In a PID namespace alone.
    PidMax(u32),
    /// Standard output goes to this file: `/dev/full` answers ENOSPC.
    Stdout(PathBuf),
    /// Standard error goes to this file.
    Stderr(PathBuf),
    /// Standard output is a pipe whose reader has gone: EPIPE.
    StdoutGone,
    /// Standard error is one.
    StderrGone,
    /// Both pipes are full already; with [`Launch::unread`] they stay so.
    Stuffed,
}

impl Fault {
    /// The faults under which softstop can do its whole job: it starts, stops in order, ends what is left over, and every
    /// line comes out. For random rounds; `user` is one of [`user`]'s.
    pub fn harmless(user: u32) -> Vec<Vec<Fault>> {
        vec![
            vec![Fault::User(user)],
            vec![Fault::NoCapabilities],
            vec![Fault::Descriptors(64)],
            vec![Fault::User(user), Fault::Processes(256)],
            vec![Fault::Refused("ENOSYS", NEWER)],
            vec![Fault::Refused("EPERM", NEWER)],
            vec![Fault::Deadly("clone3,vfork,openat2,io_uring_setup,memfd_create,userfaultfd,bpf,perf_event_open")],
            vec![Fault::ReadOnly],
            vec![Fault::NoNull],
            vec![Fault::Empty("/tmp")],
            vec![Fault::Proc("hidepid=2")],
            vec![Fault::Proc("hidepid=2"), Fault::User(user)],
            vec![Fault::Proc("subset=pid")],
            vec![Fault::Refused("ENOSYS", NEWER), Fault::Proc("hidepid=2"), Fault::User(user)],
            vec![Fault::ReadOnly, Fault::NoCapabilities, Fault::Refused("EPERM", NEWER)],
        ]
    }

    /// Those that in addition need to be in a PID namespace of their own ([`Launch`]'s default).
    pub fn harmless_as_pid1(user: u32) -> Vec<Vec<Fault>> {
        let mut all = Fault::harmless(user);
        if pid_max_is_ours() {
            all.push(vec![Fault::PidMax(400)]);
            all.push(vec![Fault::PidMax(350), Fault::Refused("ENOSYS", NEWER)]);
        }
        all
    }

    /// As `fault.pl` wants it.
    fn words(&self) -> Vec<String> {
        let one = match self {
            Fault::User(user) => {
                let traverse = (!everybody_may_enter()).then(|| "traverse".to_owned());
                return traverse.into_iter().chain([format!("user:{user}")]).collect();
            }
            Fault::Processes(n) => format!("limit:nproc:{n}"),
            Fault::Descriptors(n) => format!("limit:nofile:{n}"),
            Fault::NoCapabilities => "no-caps".to_owned(),
            Fault::Refused(errno, calls) => format!("deny:{errno}:{calls}"),
            Fault::Deadly(calls) => format!("kill:{calls}"),
            Fault::ReadOnly => format!("read-only:{}", env!("CARGO_TARGET_TMPDIR")),
            Fault::NoNull => "no-null".to_owned(),
            Fault::Empty(path) => {
                // A clone below /tmp, or what is built there, is not hidden with it.
                let built = Path::new(SOFTSTOP).parent().unwrap_or(Path::new("/"));
                let needed = [Path::new(env!("CARGO_MANIFEST_DIR")), built, Path::new(env!("CARGO_TARGET_TMPDIR"))];
                let below = needed.iter().filter(|dir| dir.starts_with(path));
                below.fold(format!("hide:{path}"), |word, dir| format!("{word}:{}", dir.display()))
            }
            Fault::Full(dir) => format!("full:{}", dir.display()),
            Fault::Chroot(dir) => format!("chroot:{}", dir.display()),
            Fault::Proc(options) => format!("proc:{options}"),
            Fault::PidMax(n) => format!("pid-max:{n}"),
            Fault::Stdout(path) => format!("out:{}", path.display()),
            Fault::Stderr(path) => format!("err:{}", path.display()),
            Fault::StdoutGone => "gone:out".to_owned(),
            Fault::StderrGone => "gone:err".to_owned(),
            Fault::Stuffed => return vec!["stuff:out".to_owned(), "stuff:err".to_owned()],
        };
        vec![one]
    }

    /// What has to come first: /proc is needed to make the others, mounts need rights, a filter outlasts everything.
    fn rank(&self) -> u8 {
        match self {
            Fault::Full(_) | Fault::PidMax(_) => 0,
            Fault::Stdout(_) | Fault::Stderr(_) | Fault::StdoutGone | Fault::StderrGone => 1,
            Fault::Stuffed | Fault::NoNull => 1,
            Fault::ReadOnly => 2,
            Fault::Empty(path) if *path != "/proc" => 3,
            Fault::Proc(_) | Fault::Empty(_) => 4,
            // The kernel looks at RLIMIT_NPROC when the user changes: at exec it is too late to refuse.
            Fault::Processes(_) | Fault::Descriptors(_) => 5,
            // The rights for it go with the user; nothing that an earlier one needs is there any more.
            Fault::Chroot(_) => 6,
            Fault::User(_) | Fault::NoCapabilities => 7,
            Fault::Refused(..) | Fault::Deadly(_) => 8,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// `launch` under all of these faults at once.
pub fn launch(faults: &[Fault], launch: Launch) -> Launch {
    let mut faults: Vec<&Fault> = faults.iter().collect();
    faults.sort_by_key(|fault| fault.rank());
    let words: Vec<String> = faults.into_iter().flat_map(Fault::words).collect();
    let words = words.iter().map(String::as_str);
    let line: Vec<&str> = ["perl", FAULT].into_iter().chain(words).chain(["--"]).collect();
    launch.through(&line)
}

/// Whether this user may put faults in front of a softstop in a PID namespace; the reason is printed when not.
pub fn possible() -> bool {
    super::namespaces() && super::root("to mount, and to change users and limits,")
}

/// Sets a soft limit (`nproc`, `nofile`) of a running softstop alone, up to the hard one.
pub fn limit(running: &Running, which: &str, soft: u32) {
    // As its own user and group: to change somebody else's takes a capability that a container's root has not got.
    let own = |field| processes::status_field(running.pid(), field).unwrap();
    let (user, group) = (own("Uid"), own("Gid"));
    let (pid, limit) = (running.pid().to_string(), format!("--{which}={soft}:"));
    let done = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &group, "--clear-groups", "prlimit", "--pid", &pid, &limit])
        .status();
    assert!(done.is_ok_and(|s| s.success()), "prlimit {limit}");
}

/// A user id that nobody else has: limits count by user, over the whole machine.
pub fn user() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other test binaries run at the same time, under other pids.
    200_000 + std::process::id() % 60_000 * 64 + NEXT.fetch_add(1, Ordering::Relaxed) % 64
}

/// Fills a directory as an image from scratch: softstop under its own path with the libraries it was linked with (the tests'
/// binary is not static), and busybox. No /proc, /dev, /tmp, /etc, no shell under its name.
pub fn scratch(dir: &Path) {
    let busybox = Path::new("/usr/bin/busybox");
    for program in [Path::new(SOFTSTOP), busybox] {
        place(dir, program);
        super::libraries(program).iter().for_each(|library| place(dir, Path::new(library)));
    }
}

/// Under the same path. Softstop is found by its inode: a link, not a copy.
fn place(dir: &Path, file: &Path) {
    let at = dir.join(file.strip_prefix("/").unwrap());
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    if !at.exists() && (file != Path::new(SOFTSTOP) || std::fs::hard_link(file, &at).is_err()) {
        super::copy_program(file, &at);
    }
}

/// Whether a PID namespace has a `pid_max` of its own (Linux 6.14); before, it is the machine's.
pub fn pid_max_is_ours() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 14)
}

/// Whether any user can get at the program and the children's script; a checkout below a directory of mode 700 is not.
fn everybody_may_enter() -> bool {
    use std::os::unix::fs::PermissionsExt;
    let open = |dir: &Path| std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    let paths = [SOFTSTOP, CHILD, env!("CARGO_TARGET_TMPDIR")];
    paths.iter().all(|path| Path::new(path).ancestors().skip(1).all(open))
}
