//! The measurements, from outside the namespaces.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{children, find, unshare};
use crate::{Init, Sizes, crowd, now_ns, quietly, this};

const SIGNALS_PER_ROUND: usize = 10;
/// Of a start that is only counted.
const COUNTED: usize = 20;

/// What was found for one init. Times in nanoseconds, one per sample.
#[derive(Default)]
pub struct Results {
    pub first_instruction: Vec<u64>,
    /// The same with nothing in between: what the child's own start takes.
    pub bare: Vec<u64>,
    pub stop: Vec<u64>,
    pub forward: Vec<u64>,
    pub idle_switches: u64,
    pub rss_kb: u64,
    pub private_dirty_kb: u64,
    pub orphans: Vec<u64>,
    pub orphans_rss_kb: u64,
    pub bytes: u64,
    /// Of a start and its end, the fork for the program included: the least of some.
    pub page_faults: u64,
    /// The same; `None`: no valgrind, or it cannot run this.
    pub instructions: Option<u64>,
}

/// An init that runs as PID 1.
struct Running {
    unshare: Child,
    /// The init's pid as we see it.
    pid: i32,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Without an init the child itself is PID 1.
    fn start(init: Option<&Init>, child: &[&str]) -> Running {
        let this = this();
        let mut command = unshare(&[]);
        command.arg(&this).arg("inside-launch");
        if let Some(init) = init {
            command.arg(&init.path).args(init.separator);
        }
        command.arg(&this).args(child);
        let mut unshare =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("unshare is in util-linux");
        let lines = BufReader::new(unshare.stdout.take().unwrap()).lines();
        Running { unshare, pid: 0, lines }
    }

    fn started(init: &Init, child: &[&str]) -> Running {
        let mut running = Running::start(Some(init), child);
        running.number();
        running.pid = *children(running.unshare.id() as i32).first().expect("it has just said something");
        running
    }

    /// The next line the child prints.
    fn number(&mut self) -> u64 {
        let line = self.lines.next().expect("the child has ended early").unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("the child said {line:?}"))
    }

    fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved; the pid is that of a process we have not waited for.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0, "kill");
    }

    /// From SIGTERM to the init's own end.
    fn stop(mut self) -> u64 {
        // SAFETY: no memory is involved.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) } as i32;
        assert!(pidfd >= 0, "pidfd_open");
        let begun = now_ns();
        self.signal(libc::SIGTERM);
        let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd of our own.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 20_000) };
        let ended = now_ns();
        // SAFETY: the descriptor is ours and not used again.
        unsafe { libc::close(pidfd) };
        assert_eq!(ready, 1, "the init did not end within 20 s of SIGTERM");
        self.unshare.wait().unwrap();
        ended - begun
    }

    fn end(mut self) {
        self.unshare.kill().unwrap();
        self.unshare.wait().unwrap();
    }
}

fn field(pid: i32, file: &str, name: &str) -> u64 {
    crowd::field(pid, file, name).unwrap_or_else(|| panic!("no {name} in {file}"))
}

fn switches(pid: i32) -> u64 {
    field(pid, "status", "voluntary_ctxt_switches") + field(pid, "status", "nonvoluntary_ctxt_switches")
}

pub fn all(inits: &[Init], sizes: &Sizes) -> Vec<Results> {
    let mut results: Vec<Results> = inits.iter().map(|_| Results::default()).collect();
    let rounds = sizes.rounds;
    for round in 0..rounds {
        for (init, result) in inits.iter().zip(&mut results) {
            one_round(init, result);
        }
        if round % 20 == 0 {
            eprintln!("compare: round {round} of {rounds}");
        }
    }
    eprintln!("compare: {} s of idling", sizes.idle.as_secs());
    idle(inits, &mut results, sizes.idle);
    eprintln!("compare: {} orphans, three times each", sizes.orphans);
    for _ in 0..3 {
        for (init, result) in inits.iter().zip(&mut results) {
            orphans(init, result, sizes.orphans);
        }
    }
    let own = page_faults(&mut alone());
    for (init, result) in inits.iter().zip(&mut results) {
        result.page_faults = page_faults(&mut before_nothing(init)).saturating_sub(own);
        result.instructions = instructions(init);
        result.bytes = std::fs::metadata(&init.path).unwrap().len();
    }
    results
}

fn one_round(init: &Init, result: &mut Results) {
    result.first_instruction.push(first_instruction(Some(init)));
    result.bare.push(first_instruction(None));
    result.stop.push(Running::started(init, &["inside-idle"]).stop());
    let mut running = Running::started(init, &["inside-usr1"]);
    for _ in 0..SIGNALS_PER_ROUND {
        let sent = now_ns();
        running.signal(libc::SIGUSR1);
        result.forward.push(running.number().saturating_sub(sent));
    }
    running.end();
}

fn first_instruction(init: Option<&Init>) -> u64 {
    let mut running = Running::start(init, &["inside-first"]);
    let took = running.number();
    running.unshare.wait().unwrap();
    took
}

fn idle(inits: &[Init], results: &mut [Results], time: Duration) {
    let running: Vec<Running> = inits.iter().map(|i| Running::started(i, &["inside-idle"])).collect();
    // The last work of the start is not idling.
    std::thread::sleep(Duration::from_secs(1));
    let before: Vec<u64> = running.iter().map(|r| switches(r.pid)).collect();
    std::thread::sleep(time);
    for ((running, before), result) in running.into_iter().zip(before).zip(results) {
        result.idle_switches = switches(running.pid) - before;
        result.rss_kb = field(running.pid, "smaps_rollup", "Rss");
        result.private_dirty_kb = field(running.pid, "smaps_rollup", "Private_Dirty");
        running.end();
    }
}

fn orphans(init: &Init, result: &mut Results, count: u32) {
    let mut running = Running::start(Some(init), &["inside-orphans", &count.to_string()]);
    let begun = running.number();
    running.pid = *children(running.unshare.id() as i32).first().expect("it has just said something");
    running.number();
    // All made; reaped when the init has no child but the one it started.
    let limit = Instant::now() + Duration::from_secs(60);
    while children(running.pid).len() > 1 {
        assert!(Instant::now() < limit, "{} leaves orphans unreaped", init.name);
    }
    result.orphans.push(now_ns() - begun);
    result.orphans_rss_kb = result.orphans_rss_kb.max(field(running.pid, "smaps_rollup", "Rss"));
    running.end();
}

/// A program that ends at once, and the same below an init, with an environment of three.
fn alone() -> Command {
    small(Command::new(this()), &[])
}

fn before_nothing(init: &Init) -> Command {
    let this = this().display().to_string();
    let args: Vec<&str> = init.separator.iter().copied().chain([this.as_str()]).collect();
    small(Command::new(&init.path), &args)
}

fn small(mut command: Command, args: &[&str]) -> Command {
    command.args(args).arg("inside-nothing").env_clear().env("PATH", "/usr/bin").env("HOME", "/").env("HOSTNAME", "x");
    quietly(&mut command);
    command
}

/// The least of some, its children's included.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
fn page_faults(command: &mut Command) -> u64 {
    let counted = |_| {
        let child = command.spawn().unwrap();
        // SAFETY: all-zero is a valid rusage.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the pid is a child's that nobody else waits for; the pointer is to live memory, and null asks for no status.
        unsafe { libc::wait4(child.id() as i32, std::ptr::null_mut(), 0, &raw mut usage) };
        usage.ru_minflt as u64
    };
    (0..COUNTED).map(counted).min().unwrap_or(0)
}

fn instructions(init: &Init) -> Option<u64> {
    let mut command = Command::new(find("valgrind")?);
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(&init.path)
        .args(init.separator)
        .arg("/bin/true");
    let said = command.env_clear().env("PATH", "/usr/bin").env("HOME", "/").env("HOSTNAME", "x").output().ok()?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    // Of the last process to end, which is the init itself.
    said.lines().rev().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}
