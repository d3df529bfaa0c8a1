//! The real program and softstop under its name, given the same, must do the same: [`Case`] says what they are given, [`Outcome`] is what came
//! of it, with every pid called by its part.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Once, OnceLock};

use crate::support::{self, SOFTSTOP, SOON};

pub const PROBE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/drop_in/probe.pl");

/// Whether the init is PID 1 of a namespace, or an ordinary process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Pid1,
    Ordinary,
}
pub const MODES: [Mode; 2] = [Mode::Pid1, Mode::Ordinary];

/// What both are given.
#[derive(Clone, Debug)]
pub struct Case {
    mode: Mode,
    args: Vec<String>,
    env: Vec<(String, String)>,
    through: Vec<String>,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Below zero: the signal that has ended it.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Case {
    pub fn new<S: Into<String>>(mode: Mode, args: impl IntoIterator<Item = S>) -> Case {
        let args = args.into_iter().map(Into::into).collect();
        Case { mode, args, env: Vec::new(), through: Vec::new() }
    }

    /// `flags` in front of the probe with its words.
    pub fn probe(mode: Mode, flags: &str, words: &str) -> Case {
        let flags = flags.split_whitespace().map(str::to_owned);
        let probe = ["--", "perl", PROBE].map(str::to_owned);
        Case::new(mode, flags.chain(probe).chain(words.split_whitespace().map(str::to_owned)))
    }

    pub fn env(mut self, name: &str, value: &str) -> Case {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A shell line that ends with `exec "$@"`. Descriptors 3 to 9 are what it opens, whatever the tests have open at the time.
    pub fn shell(self, line: &str) -> Case {
        let closed: String = (3..10).map(|fd| format!("{fd}>&- ")).collect();
        self.through(&["sh", "-c", &format!("exec {closed}; {line}"), "sh"])
    }

    /// The child says what it has found.
    pub fn state(mode: Mode, flags: &str) -> Case {
        Case::probe(mode, flags, "state exit=0").shell("exec \"$@\"")
    }

    /// In front, and followed by an exec.
    pub fn through(mut self, words: &[&str]) -> Case {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs `program` this way.
    pub fn run(&self, program: &Path) -> Outcome {
        static NO_CORES: Once = Once::new();
        NO_CORES.call_once(|| {
            let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
        });
        let words =
            self.through.iter().map(OsStr::new).chain([program.as_os_str()]).chain(self.args.iter().map(OsStr::new));
        let mut words = words.collect::<Vec<_>>().into_iter();
        let mut command = match self.mode {
            Mode::Pid1 => support::unshare(),
            Mode::Ordinary => Command::new(words.next().unwrap()),
        };
        command.args(words);
        for (name, _) in std::env::vars_os() {
            let name_ = name.to_string_lossy();
            if ["SOFTSTOP_", "TINI_", "DUMB_INIT_", "CATATONIT_", "POSIXLY", "LISTEN_"]
                .iter()
                .any(|p| name_.starts_with(p))
            {
                command.env_remove(&name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(std::env::temp_dir());
        // A group of its own, so that nothing that goes astray reaches the tests.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (out, err) = (read(out), read(err));
        let pid = child.id();
        let [out, err] = [out, err].map(|stream| {
            stream.recv_timeout(SOON * 2).unwrap_or_else(|_| {
                let pid = i32::try_from(pid).unwrap();
                let there = support::processes::below(pid);
                for process in &there {
                    support::processes::send(process.pid, libc::SIGKILL);
                }
                support::processes::send(pid, libc::SIGKILL);
                panic!("the output of {command:?} is not at its end; there are {there:?}")
            })
        });
        let init = if self.mode == Mode::Pid1 { 1 } else { pid };
        let status = child.wait().unwrap();
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap());
        let mut pids = BTreeMap::from([(init.to_string(), "INIT".to_owned())]);
        let [out, err] = [out, err].map(|text| label(&text, &mut pids));
        Outcome { code, out, err }
    }
}

/// What is left over when the child has ended.
pub fn left_over(flags: &[&str]) -> Vec<Case> {
    let of_one = |flags: &&str| {
        let ordinary = ["orphan exit=0", "leave=group exit=0", "leave=session exit=0"];
        let ordinary = ordinary.map(|words| Case::probe(Mode::Ordinary, flags, words));
        [&[Case::probe(Mode::Pid1, flags, "orphan orphan exit=0")], &ordinary[..]].concat()
    };
    flags.iter().flat_map(of_one).collect()
}

/// What the child finds of its launcher's.
pub fn handed_on(mode: Mode, flags: &str) -> Vec<Case> {
    let state = || Case::state(mode, flags);
    let shells = [
        "exec 5</dev/null 7</etc/hostname; umask 027; cd /usr; exec \"$@\"",
        "trap '' HUP INT USR1 TTIN TTOU WINCH; exec \"$@\"",
        "exec \"$@\" <&-",
        "exec \"$@\" >&-",
        "exec \"$@\" 2>&-",
    ];
    [state(), state().env("LISTEN_PID", "1")].into_iter().chain(shells.map(|line| state().shell(line))).collect()
}

/// With these words in front: programs that there are not, and that are none.
pub fn not_to_be_run(before: &[&[&str]]) -> Vec<Case> {
    let programs = ["no-such-program", "/no/such/program", "", "/etc", "/etc/hostname", "/etc/hostname/x"];
    let of_one = |mode: Mode, words: &[&str], program| {
        Case::new(mode, words.iter().copied().chain([program])).env("PATH", "/usr/bin:/bin")
    };
    let each = MODES.into_iter().flat_map(|mode| programs.map(|program| (mode, program)));
    each.flat_map(|(mode, program)| before.iter().map(move |words| of_one(mode, words, program))).collect()
}

/// Reads to the end, beside others.
fn read(mut from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// Calls pids by their part: `INIT`, else in the order in which they are named.
fn label(text: &str, pids: &mut BTreeMap<String, String>) -> String {
    const BEFORE: [&str; 9] =
        ["tini (", "pid: '", "pid '", "pid=", "catatonit:", "PID ", "i am ", "child process ", "pid1 ("];
    let mut labelled = String::new();
    let mut rest = text;
    while let Some((at, before)) = BEFORE.iter().filter_map(|b| Some((rest.find(b)?, *b))).min() {
        let (head, tail) = rest.split_at(at + before.len());
        labelled.push_str(head);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (pid, tail) = tail.split_at(end);
        if !pid.is_empty() {
            let next = format!("P{}", pids.len());
            labelled.push_str(pids.entry(pid.to_owned()).or_insert(next));
        }
        rest = tail;
    }
    labelled + rest
}

/// The real program, if it is installed.
pub fn installed(name: &str) -> Option<PathBuf> {
    if !support::namespaces() {
        return None;
    }
    let path = PathBuf::from("/usr/bin").join(name);
    if !path.exists() {
        support::skip(&format!("{name} is not installed"));
        return None;
    }
    Some(path)
}

/// softstop under that name, as an image has it.
pub fn ours(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drop-in");
        std::fs::create_dir_all(&dir).unwrap();
        for name in ["tini", "tini-static", "docker-init", "dumb-init", "catatonit", "podman-init"] {
            let link = dir.join(name);
            if std::fs::read_link(&link).ok().as_deref() != Some(Path::new(SOFTSTOP)) {
                let _ = std::fs::remove_file(&link);
                std::os::unix::fs::symlink(SOFTSTOP, link).unwrap();
            }
        }
        dir
    });
    dir.join(name)
}

/// Both, and what is not the same: a difference that docs/drop-in.md names is taken out by `known`.
pub fn same_but(name: &str, real: &Path, cases: &[Case], known: impl Fn(Outcome) -> Outcome + Sync) {
    let ours = ours(name);
    let paths = [(real.to_string_lossy().into_owned(), name), (ours.to_string_lossy().into_owned(), name)];
    let named = |outcome: Outcome| {
        let of = |text: String| paths.iter().fold(text, |text, (path, name)| text.replace(path.as_str(), name));
        Outcome { out: of(outcome.out), err: of(outcome.err), ..outcome }
    };
    let differences = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let work = || {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let theirs = known(named(case.run(real)));
                    let ours = known(named(case.run(&ours)));
                    if theirs != ours {
                        differences.lock().unwrap().push(format!("{case:?}\n{name}: {theirs:#?}\nours: {ours:#?}"));
                    }
                }
            };
            std::thread::Builder::new().name(test.clone()).spawn_scoped(scope, work).unwrap();
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(
        differences.is_empty(),
        "{} of {} cases differ:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}

pub fn same(name: &str, real: &Path, cases: &[Case]) {
    same_but(name, real, cases, |outcome| outcome);
}
