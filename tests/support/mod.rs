//! The harness for tests with the real binary and real processes: [`Launch`] says how softstop is started, [`Running`] is one that
//! runs, as PID 1 of its own PID namespace (`unshare`) or as an ordinary process. Nothing here waits for a fixed time: every wait
//! has a condition and a limit, and what a failed wait saw is in its message.
//!
//! Needs nothing but util-linux and perl-base, which every Debian has. The children are `child.pl`, whose words are listed there.

// Every test file includes this module and uses a part of it.
#![allow(dead_code, clippy::disallowed_methods, reason = "tests wait for their own children and read in threads")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

/// The beginning of a test that takes something of its machine: `needs!(namespaces(), installed(&["nginx"]))`. Where that is not there, which
/// each of these says itself, the test is over.
macro_rules! needs {
    ($($there:expr),+) => {
        if $(!$there)||+ {
            return;
        }
    };
}

pub mod account;
pub mod cgroup;
pub mod client;
pub mod faults;
pub mod fuse;
pub mod http;
pub mod idle;
pub mod not_run;
pub mod own_harness;
pub mod processes;
pub mod proof;
pub mod pty;
pub mod siege;
pub mod starvation;
pub mod tracer;

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock};
use std::time::{Duration, Instant};

pub use not_run::{root, skip};
pub use processes::Proc;
use softstop::sys::mask::{self, SignalSet};

/// For what should take milliseconds, on a machine that may be very busy: nobody waits for it but who fails.
pub const SOON: Duration = Duration::from_secs(60);

/// From outside softstop may be seen at work so long after its grace: its last words, and a busy machine. That it has begun to exit is
/// what counts: how long the kernel then needs to take the namespace down, where the killed wait for a processor to die on, is not
/// softstop's. By its own account it must be inside the grace to the millisecond.
pub const ROOM: Duration = Duration::from_millis(750);

/// On a machine that is not overloaded it is a few milliseconds.
const STARVED: Duration = Duration::from_millis(400);

/// What softstop says of a machine that did not let it run, whatever it was doing.
const BUSY: &str = "softstop itself could not run for";

pub const SOFTSTOP: &str = env!("CARGO_BIN_EXE_softstop");
pub const CHILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/child.pl");

/// Words of a child that says that it is up, and ends of SIGTERM at once.
pub const PROMPT: &[&str] = &["exit-on:TERM:0", "say:up", "wait"];

/// The table of a process that does these words of `child.pl`; further keys go behind it.
pub fn process(name: &str, words: &[&str]) -> String {
    let words: String = words.iter().map(|word| format!(", {word:?}")).collect();
    format!("[[process]]\nname = {name:?}\ncommand = [\"perl\", {CHILD:?}{words}]\n")
}

/// What whoever launched the tests ignores (a background job INT and QUIT, nohup HUP) is nothing to what the tests start, nor is their
/// niceness, where it can be taken back (it takes root): beside others that are not nice a softstop under `nice` gets no processor
/// for seconds. Of SIGPIPE std takes care.
pub fn as_launched_by_hand() {
    thread_local!(static PRIORITY: Cell<bool> = const { Cell::new(false) });
    // Each test has a thread of its own, and a thread a niceness.
    if !PRIORITY.replace(true) && processes::niceness_of_this_thread() > 0 {
        let thread = nix::unistd::gettid().to_string();
        let _ = Command::new("renice").args(["-n", "0", "-p", &thread]).output();
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let inherited = mask::ignored().without(SignalSet::of(&[libc::SIGPIPE]));
        inherited.iter().for_each(|signal| {
            mask::set_ignored(signal, false);
        });
    });
}

/// Whether this user may make a PID namespace here; the reason is printed when not. A test that needs one begins with it.
pub fn namespaces() -> bool {
    as_launched_by_hand();
    static ABLE: OnceLock<bool> = OnceLock::new();
    let able = *ABLE.get_or_init(|| {
        unshare().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    });
    if !able {
        skip("no PID namespace: `unshare --pid --mount-proc true` fails for this user");
    }
    able
}

/// Whether this user may also enter the PID namespace of a softstop that runs.
pub fn may_enter_namespaces() -> bool {
    namespaces() && root("nsenter into a softstop's namespaces")
}

/// Whether all of these programs, or files by their whole path, are here, as Debian's packages bring them; said when not.
pub fn installed(programs: &[&str]) -> bool {
    let there = |program: &&&str| ["/usr/sbin", "/usr/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    let missing = programs.iter().find(|program| !there(program));
    if let Some(missing) = missing {
        skip(&format!("{missing} is not installed"));
    }
    missing.is_none()
}

/// The service of examples/web.rs. A whole `cargo test` has built it beside softstop, of one target alone it is built here.
pub fn web_service() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = Path::new(SOFTSTOP).parent().unwrap();
        let web = folder.join("examples/web");
        if !web.exists() {
            // target/PROFILE/softstop, of which the profile dev is called debug.
            let profile = folder.file_name().and_then(|name| name.to_str()).unwrap().replace("debug", "dev");
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--locked", "--example", "web", "--profile", &profile]);
            cargo.arg("--target-dir").arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
            assert!(cargo.status().unwrap().success(), "{cargo:?}");
        }
        web
    };
    BUILT.get_or_init(build).clone()
}

/// What makes the program behind it PID 1 of a namespace of its own.
pub fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command
}

/// A directory of the test's own, removed with it.
pub struct Dir(PathBuf);

impl Dir {
    /// With a space in its path, as a stranger's clone may have one.
    pub fn new() -> Dir {
        Dir::make(Path::new(env!("CARGO_TARGET_TMPDIR")), "t ")
    }

    /// For an example's configuration of a program whose paths stand without quotes.
    pub fn without_spaces() -> Dir {
        Dir::make(&std::env::temp_dir(), "softstop-test-")
    }

    fn make(parent: &Path, prefix: &str) -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        std::fs::create_dir_all(&path).unwrap();
        // softstop and its children may run as another user.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        Dir(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path as text, for command lines and configs.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.text(name)
    }

    /// `softstop run` of this configuration.
    pub fn launch(&self, config: &str) -> Launch {
        Launch::new(["run", "-c", &self.write("softstop.toml", config)])
    }

    pub fn script(&self, name: &str, text: &str) -> String {
        self.program(name, &format!("#!/bin/sh\n{text}\n"))
    }

    /// A file that will be executed. Another process writes it: while this one has it open for writing a child of a test beside this one
    /// comes to have it open too, until it is another program, and whoever executes the file meanwhile is told that it is busy.
    pub fn program(&self, name: &str, text: &str) -> String {
        let path = self.text(name);
        let write = "cat >\"$0\" && chmod 755 \"$0\"";
        let mut writer = Command::new("sh").args(["-c", write, &path]).stdin(Stdio::piped()).spawn().unwrap();
        writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success(), "{path} cannot be written");
        path
    }

    /// Empty when there is no such file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }
}

/// As [`Dir::program`], of one that there is.
pub fn copy_program(from: impl AsRef<Path>, to: &Path) {
    let done = Command::new("cp").arg(from.as_ref()).arg(to).status();
    assert!(done.is_ok_and(|status| status.success()), "{} cannot be copied", from.as_ref().display());
}

/// What the dynamic loader would load for a program: nothing when it is static.
pub fn libraries(program: &Path) -> Vec<String> {
    let shown = Command::new("ldd").arg(program).output().map(|o| o.stdout).unwrap_or_default();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    shown.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':')).map(str::to_owned).collect()
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A configuration in `dir`: a database that is ready (it makes the file `up`) once it can be told to stop, and `web` after it, as `user`.
/// `command` as TOML has it.
pub fn database_before_web(dir: &Dir, user: &str, command: &str) -> String {
    let up = dir.text("up");
    // One that was started before in this directory has made it.
    let _ = std::fs::remove_file(&up);
    let text = format!(
        "grace = \"5s\"\n[[process]]\nname = \"db\"\noutput = \"prefix\"\n\
         command = [\"sh\", \"-c\", \"trap 'echo told; exit 0' TERM; echo up >'{up}'; while :; do sleep 0.05; done\"]\n\
         [process.readiness]\nexec = [\"test\", \"-s\", \"{up}\"]\nperiod = \"50ms\"\n\
         [[process]]\nname = \"web\"\nmain = true\nuser = \"{user}\"\noutput = \"prefix\"\nafter = {{ db = \"ready\" }}\n\
         command = {command}\n"
    );
    dir.write("softstop.toml", &text)
}

/// How softstop is to be started.
#[derive(Clone)]
pub struct Launch {
    args: Vec<OsString>,
    envs: Vec<(String, String)>,
    /// Programs in front of softstop that exec it: `sh -c 'exec "$@"' sh`.
    through: Vec<OsString>,
    pid1: bool,
    read_output: bool,
    current_dir: Option<PathBuf>,
    program: PathBuf,
}

impl Launch {
    pub fn new<S: Into<OsString>>(args: impl IntoIterator<Item = S>) -> Launch {
        Launch {
            args: args.into_iter().map(Into::into).collect(),
            envs: Vec::new(),
            through: Vec::new(),
            pid1: true,
            read_output: true,
            current_dir: None,
            program: SOFTSTOP.into(),
        }
    }

    /// The wrapper with `flags` around `child.pl WORDS`.
    pub fn child(flags: &[&str], words: &[&str]) -> Launch {
        let command = ["--", "perl", CHILD];
        Launch::new(flags.iter().chain(&command).chain(words).copied())
    }

    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In front of softstop, after what is there already.
    pub fn through(mut self, launcher: &[&str]) -> Launch {
        self.through.extend(launcher.iter().map(OsString::from));
        self
    }

    /// softstop and all it starts are in this group from its first instruction on.
    pub fn inside(self, group: &cgroup::Cgroup) -> Launch {
        let launcher = group.launcher();
        self.through(&[launcher[0].as_str(), &launcher[1], &launcher[2], &launcher[3]])
    }

    /// Another build of softstop.
    pub fn program(mut self, program: &Path) -> Launch {
        self.program = program.to_owned();
        self
    }

    /// As an ordinary process, not PID 1.
    pub fn not_pid1(self) -> Launch {
        self.pid1(false)
    }

    /// Whether as PID 1, which it is unless told otherwise.
    pub fn pid1(mut self, pid1: bool) -> Launch {
        self.pid1 = pid1;
        self
    }

    /// Nobody reads what softstop and its children write: the pipes fill up.
    pub fn unread(mut self) -> Launch {
        self.read_output = false;
        self
    }

    pub fn current_dir(mut self, dir: &Path) -> Launch {
        self.current_dir = Some(dir.to_owned());
        self
    }

    pub fn start(self) -> Running {
        as_launched_by_hand();
        let mut command = if self.pid1 { unshare() } else { Command::new("env") };
        command.args(&self.through).arg(&self.program).args(&self.args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Marks everything that comes of this start, wherever it moves: see `Running::marked`.
        let mark = mark();
        command.env("TEST_MARK", &mark).envs(self.envs.iter().map(|(k, v)| (k, v)));
        // What the tests themselves are told by such variables is nothing to softstop.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SOFTSTOP_")) {
            if !self.envs.iter().any(|(k, _)| *k == name) {
                command.env_remove(name);
            }
        }
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        let begun = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let seen = Arc::new(Seen::default());
        let mut unread: Vec<Box<dyn Send>> = Vec::new();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        if self.read_output {
            read_in_thread(out, &seen, Stream::Out);
            read_in_thread(err, &seen, Stream::Err);
        } else {
            unread.push(Box::new(out));
            unread.push(Box::new(err));
        }
        let shown = format!("{command:?}");
        let mut running = Running {
            child,
            init: 0,
            pid1: self.pid1,
            seen,
            mark,
            shown,
            status: None,
            begun,
            started: Instant::now(),
            at_work: Duration::ZERO,
            starved: Duration::ZERO,
            _unread: unread,
        };
        running.init = running.find_init(&self.program);
        running
    }

    /// Starts it and waits until its child has said that it is up.
    #[track_caller]
    pub fn up(self) -> Running {
        let mut running = self.start();
        running.wait_for("up");
        running
    }

    /// Starts it, waits for its end and gives back its exit code and what it printed.
    pub fn run(self) -> Ended {
        self.start().wait(SOON * 3)
    }
}

/// Waits until `condition` holds; `what` says what was waited for.
#[track_caller]
pub fn until(what: impl Display, condition: impl FnMut() -> bool) {
    until_within(what, SOON, condition);
}

/// For what takes long.
#[track_caller]
pub fn until_within(what: impl Display, limit: Duration, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < limit, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A program beside softstop: it does not outlive the test.
pub struct Beside(pub Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does the same with each at the same time: for what waits more than it works. The first that fails fails the test.
pub fn at_once<T: Send>(each: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::scope(|scope| {
        let named = |one| {
            let builder = std::thread::Builder::new().name(name.clone());
            builder.spawn_scoped(scope, || check(one)).unwrap()
        };
        let all: Vec<_> = each.into_iter().map(named).collect();
        for thread in all {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

const MEGABYTE: usize = 1 << 20;

fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Out,
    Err,
}

/// What has been printed so far.
#[derive(Default)]
struct Seen {
    text: Mutex<Printed>,
    more: Condvar,
}

#[derive(Default)]
struct Printed {
    out: Text,
    err: Text,
    ended: u8,
    /// So long each of its readers waited for a processor.
    starved: [Duration; 2],
}

impl Printed {
    fn all(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.out.bytes), String::from_utf8_lossy(&self.err.bytes))
    }
}

/// One stream's.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    /// So many have been thrown away from the middle.
    thrown_away: usize,
}

impl Text {
    fn add(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        // Children that write without end: the beginning and the end are what a test looks at.
        if self.bytes.len() > 4 * MEGABYTE {
            self.bytes.drain(MEGABYTE..2 * MEGABYTE);
            self.thrown_away += MEGABYTE;
        }
    }
}

/// Counts how often a text is there, in bytes that become more. A single word is what a child says, alone in its line or behind its
/// name: softstop's own lines and the paths in them have such words, too ("up to 5s", "/tmp/upload"). Nor does a text count in the lines of
/// a configuration that a warning shows: what a child will say is in its command there, before there is a child.
struct Search<'a> {
    needle: &'a [u8],
    is_word: bool,
    found: usize,
    /// So many bytes of the stream have been looked at.
    seen: usize,
}

impl Search<'_> {
    fn new(text: &str) -> Search<'_> {
        let is_word = text.bytes().all(|b| b.is_ascii_lowercase());
        Search { needle: text.as_bytes(), is_word, found: 0, seen: 0 }
    }

    /// How often by now.
    fn go_on(&mut self, text: &Text) -> usize {
        // What is thrown away stood behind the first megabyte.
        let kept = self.seen.min(MEGABYTE);
        let mut at = self.seen.saturating_sub(text.thrown_away).max(kept);
        // Of a word also what stands behind it.
        let length = self.needle.len() + usize::from(self.is_word);
        while let Some(rest) = text.bytes.get(at..).filter(|rest| rest.len() >= length) {
            let Some(first) = rest[..=rest.len() - length].iter().position(|b| *b == self.needle[0]) else {
                at += rest.len() + 1 - length;
                break;
            };
            let is_there = rest[first..].starts_with(self.needle);
            let before = &text.bytes[..at + first];
            if is_there && !is_excerpt(before) && (!self.is_word || is_line(before, rest[first + self.needle.len()])) {
                self.found += 1;
                at += first + self.needle.len();
            } else {
                at += first + 1;
            }
        }
        self.seen = at + text.thrown_away;
        self.found
    }
}

/// Whether a line of the text is this word, or has it alone behind the name of a process.
pub fn is_said(text: &str, word: &str) -> bool {
    let text = text.as_bytes();
    let mut places = text.windows(word.len()).enumerate().filter(|(_, at)| *at == word.as_bytes());
    places.any(|(at, _)| is_line(&text[..at], text.get(at + word.len()).copied().unwrap_or(b'\n')))
}

/// Whether what stands between these is a line, or all of one behind the name of the process.
fn is_line(before: &[u8], next: u8) -> bool {
    next == b'\n' && (before.is_empty() || before.ends_with(b"\n") || before.ends_with(b"| "))
}

/// Whether the line that these end in is one of an excerpt: `7 | command = […`.
fn is_excerpt(before: &[u8]) -> bool {
    let line = before.rsplit(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_start();
    let digits = line.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && line[digits..].starts_with(b" | ")
}

fn read_in_thread(mut from: impl Read + Send + 'static, seen: &Arc<Seen>, stream: Stream) {
    let seen = Arc::clone(seen);
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        loop {
            let n = from.read(&mut buffer).unwrap_or(0);
            let mut printed = seen.text.lock().unwrap();
            let text = if stream == Stream::Out { &mut printed.out } else { &mut printed.err };
            text.add(&buffer[..n]);
            printed.ended += u8::from(n == 0);
            printed.starved[stream as usize] = starvation::own();
            drop(printed);
            seen.more.notify_all();
            if n == 0 {
                return;
            }
        }
    });
}

/// A softstop that was started. Dropping it kills it, and with it everything in its namespace.
pub struct Running {
    child: Child,
    /// softstop's pid as the test sees it.
    init: i32,
    pid1: bool,
    seen: Arc<Seen>,
    mark: String,
    shown: String,
    status: Option<ExitStatus>,
    /// Right before its start: what it has lived for is rather too long than too short.
    begun: Instant,
    started: Instant,
    /// So long after its start it was seen at work.
    at_work: Duration,
    /// So long it waited for a processor until then.
    starved: Duration,
    _unread: Vec<Box<dyn Send>>,
}

/// How it ended and all it printed.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, 128 + n when softstop itself was killed by a signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub stdout_bytes: Vec<u8>,
    /// From the start to the end, with all that was in its namespace.
    pub lived: Duration,
    /// From the start to when softstop was last seen at work: it had not begun to exit.
    pub at_work: Duration,
    /// So long softstop was ready to run and had no processor.
    pub starved: Duration,
}

impl Ended {
    /// Both streams, for messages and for looking for a word of the log wherever the log goes.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Both streams without what a busy machine alone has softstop say: for whoever counts lines, or wants no warning.
    pub fn calm(&self) -> String {
        let busy = |line: &&str| line.starts_with("softstop: ") && line.contains(BUSY);
        self.all().split_inclusive('\n').filter(|line| !busy(line)).collect()
    }

    #[track_caller]
    pub fn expect_no_warning(&self) -> &Ended {
        assert!(!self.calm().contains("warning"), "a warning was printed:\n{}", self.all());
        self
    }

    /// I1, of a stop that was `asked` for so long after the start: from outside and by its own account.
    #[track_caller]
    pub fn expect_in_time(&self, asked: Duration, grace: Duration, shown: &str) {
        let took = self.at_work.saturating_sub(asked);
        assert!(took <= grace + ROOM + self.starved, "I1: took {took:?} of {grace:?}: {shown}\n{}", self.all());
        self.expect_within_the_grace();
    }

    /// I1 by its own account alone.
    #[track_caller]
    pub fn expect_within_the_grace(&self) -> &Ended {
        let said = self.all().contains("over the grace");
        assert!(!said || self.was_starved(), "I1, by its own account:\n{}", self.all());
        self
    }

    /// softstop says that it could not run for a while.
    pub fn says_it_starved(&self) -> bool {
        self.all().contains(BUSY)
    }

    /// The machine kept a processor from it for so long that its budget cannot be held against it. On one that is not overloaded it
    /// is a few milliseconds. Where the test itself makes the load, that is no excuse.
    pub fn was_starved(&self) -> bool {
        self.starved >= STARVED
    }

    /// As [`Ended::expect_in_time`], for an end by its own rules: so long after its start.
    #[track_caller]
    pub fn expect_gone_by(&self, age: Duration) {
        assert!(
            self.at_work <= age + ROOM + self.starved,
            "gone after {:?}, not {age:?}:\n{}",
            self.at_work,
            self.all()
        );
    }

    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Ended {
        assert_eq!(self.code, code, "exit code; printed:\n{}", self.all());
        self
    }

    #[track_caller]
    pub fn expect(&self, text: &str) -> &Ended {
        assert!(self.all().contains(text), "{text:?} was not printed:\n{}", self.all());
        self
    }

    #[track_caller]
    pub fn expect_not(&self, text: &str) -> &Ended {
        assert!(!self.all().contains(text), "{text:?} was printed:\n{}", self.all());
        self
    }
}

impl Running {
    fn find_init(&mut self, program: &Path) -> i32 {
        let outer = self.child.id() as i32;
        let limit = Instant::now() + SOON;
        loop {
            let pid = if self.pid1 { processes::children(outer).first().copied() } else { Some(outer) };
            // The launcher's steps (unshare, env, perl) have the same pid until the last of them execs softstop. What has ended
            // already is as good.
            match pid.map(|pid| (pid, processes::runs(pid, program))) {
                Some((pid, true)) => return pid,
                _ if self.ended() => return 0,
                _ => {}
            }
            assert!(Instant::now() < limit, "softstop was not started by {}:\n{}", self.shown, self.printed());
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn ended(&mut self) -> bool {
        if self.status.is_none() {
            let now = self.started.elapsed();
            // Also while it exits, and as a zombie.
            self.starved = self.starved();
            if self.init > 0 && !processes::exits(self.init) {
                self.at_work = now;
            }
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_some()
    }

    /// Since it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// softstop's pid as the test sees it; 0 if it ended at once.
    pub fn pid(&self) -> i32 {
        self.init
    }

    pub fn is_pid1(&self) -> bool {
        self.pid1
    }

    /// So long softstop has been ready to run and had no processor: what the machine took.
    pub fn starved(&self) -> Duration {
        self.starved.max(starvation::of(self.init))
    }

    /// So long whoever has a part in it has been ready to run and had no processor: softstop, the threads that read what it prints, and
    /// this one. What it has become more by comes off a time that this thread has measured: see [`Running::delayed_since`].
    pub fn delayed(&self) -> Duration {
        let readers: Duration = self.seen.text.lock().unwrap().starved.iter().sum();
        self.starved() + readers + starvation::own()
    }

    /// As [`Ended::was_starved`], of one whose files are waited for; a report's writer is a process of its own.
    pub fn was_starved(&self) -> bool {
        self.starved() >= STARVED || self.printed().contains("no processor time was left for it")
    }

    pub fn delayed_since(&self, before: Duration) -> Duration {
        self.delayed().saturating_sub(before)
    }

    /// Its exit code, if it has ended.
    pub fn code(&mut self) -> Option<i32> {
        self.ended().then(|| self.status.map_or(0, code_of))
    }

    /// Everything printed so far.
    pub fn printed(&self) -> String {
        self.seen.text.lock().unwrap().all()
    }

    /// Waits until `text` has been printed on either stream.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> &mut Running {
        self.wait_for_count(text, 1)
    }

    /// Waits until `text` has been printed `count` times.
    #[track_caller]
    pub fn wait_for_count(&mut self, text: &str, count: usize) -> &mut Running {
        self.wait_for_count_within(text, count, SOON)
    }

    /// For what takes long.
    #[track_caller]
    pub fn wait_for_count_within(&mut self, text: &str, count: usize, limit: Duration) -> &mut Running {
        let limit = Instant::now() + limit;
        let mut printed = self.seen.text.lock().unwrap();
        // Each byte is looked at once, however much there is: what searches is not to starve what prints.
        let (mut out, mut err) = (Search::new(text), Search::new(text));
        loop {
            let found = out.go_on(&printed.out) + err.go_on(&printed.err);
            if found >= count {
                break;
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() || printed.ended == 2 {
                let all = printed.all();
                drop(printed);
                panic!("{text:?} was printed {found} times, not {count}, by {}:\n{all}", self.shown);
            }
            printed = self.seen.more.wait_timeout(printed, left).unwrap().0;
        }
        drop(printed);
        self.starved = self.starved();
        self
    }

    /// Waits until `condition` holds; `what` says what was waited for.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, condition: impl FnMut(&Running) -> bool) -> &mut Running {
        self.wait_until_within(what, SOON, condition)
    }

    /// For what takes long.
    #[track_caller]
    pub fn wait_until_within(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Running) -> bool,
    ) -> &mut Running {
        let limit = Instant::now() + limit;
        while !condition(self) {
            assert!(Instant::now() < limit, "never: {what}; {} printed:\n{}", self.shown, self.printed());
            std::thread::sleep(Duration::from_millis(2));
        }
        self.starved = self.starved();
        self
    }

    /// Sends softstop a signal from outside its namespace, as a container runtime does.
    #[track_caller]
    pub fn signal(&mut self, number: i32) -> &mut Running {
        assert!(!self.ended(), "softstop has ended already; {} printed:\n{}", self.shown, self.printed());
        processes::send(self.init, number);
        self
    }

    pub fn term(&mut self) -> &mut Running {
        self.signal(libc::SIGTERM)
    }

    /// Everything in softstop's PID namespace, softstop included.
    pub fn processes(&self) -> Vec<Proc> {
        processes::in_namespace_of(self.init)
    }

    /// Every process that comes of this start, by a mark in its environment.
    pub fn marked(&self) -> Vec<Proc> {
        processes::with_environment(&format!("TEST_MARK={}", self.mark))
    }

    pub fn mark(&self) -> String {
        format!("TEST_MARK={}", self.mark)
    }

    /// Waits for the end; fails, with all that was printed, when it does not come.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Ended {
        let until = Instant::now() + limit;
        while !self.ended() {
            if Instant::now() >= until {
                // The launcher, softstop and whoever traces it: one that is over and not reaped is in no namespace any more.
                let tracer = processes::status_field(self.init, "TracerPid").and_then(|pid| pid.parse::<i32>().ok());
                let mut pids = vec![self.child.id().cast_signed(), self.init];
                pids.extend(tracer.filter(|pid| *pid > 0));
                pids.extend(self.processes().iter().map(|p| p.pid).filter(|pid| *pid != self.init));
                let stand: Vec<String> = pids.into_iter().map(processes::stands).collect();
                panic!("not ended after {limit:?}: {}\n{}\n{}", self.shown, stand.join("\n"), self.printed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let lived = self.begun.elapsed();
        self.finish(lived)
    }

    /// SIGTERM, then the end, whenever it comes.
    #[track_caller]
    pub fn stop(mut self) -> Ended {
        self.term();
        self.wait(SOON)
    }

    /// SIGTERM, then the end, which has to come within `grace`. Gives back how long it took, too.
    #[track_caller]
    pub fn stop_within(mut self, grace: Duration) -> (Ended, Duration) {
        let before = self.begun.elapsed();
        self.term();
        // What this thread took to get to it is not softstop's.
        let asked = self.age();
        let shown = self.shown.clone();
        let ended = self.wait(grace + SOON);
        ended.expect_in_time(asked, grace, &shown);
        let took = ended.lived.saturating_sub(before);
        (ended, took)
    }

    fn finish(&mut self, lived: Duration) -> Ended {
        let status = self.status.expect("only called when it has ended");
        // A daemon that outlives a softstop that is not PID 1 would hold the pipes open for ever.
        let limit = Instant::now() + Duration::from_secs(5);
        let mut printed = self.seen.text.lock().unwrap();
        while self._unread.is_empty() && printed.ended < 2 && Instant::now() < limit {
            printed = self.seen.more.wait_timeout(printed, Duration::from_millis(100)).unwrap().0;
        }
        Ended {
            code: code_of(status),
            stdout: String::from_utf8_lossy(&printed.out.bytes).into_owned(),
            stderr: String::from_utf8_lossy(&printed.err.bytes).into_owned(),
            stdout_bytes: printed.out.bytes.clone(),
            lived,
            at_work: self.at_work,
            starved: self.starved,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended() {
            // `--kill-child` makes unshare's death the namespace's, unless softstop changed its user on the way: the kernel
            // forgets the request then. While unshare lives, its child's pid is its own.
            if self.pid1 && self.init > 1 {
                processes::send(self.init, libc::SIGKILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // One that is being forked at the moment is seen with the next look.
        let until = Instant::now() + Duration::from_secs(5);
        while !self.pid1 && Instant::now() < until {
            let left = self.marked();
            if left.is_empty() {
                break;
            }
            for process in left {
                processes::send(process.pid, libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
