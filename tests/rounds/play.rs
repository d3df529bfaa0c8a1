//! Plays a round and writes down what was seen of it.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::journal::{self, Did, Record};
use crate::model::{Doing, Scenario};
use crate::render::{self, Places};
use crate::support::{self, Dir, Launch, Running, faults, processes};
use crate::sys::{self, MS, Time};
use crate::trace::{Call, Tracer};
use crate::watch::{self, Seen};

/// A round in which not everything comes up is stopped after so long all the same.
const UP_AT_MOST: Time = 500 * MS;
const TURN: Duration = Duration::from_millis(1);

/// Something that the round did to softstop or to what it runs.
#[derive(Clone, Debug)]
pub struct Done {
    pub at: Time,
    pub text: String,
    /// The process it was done to, as its own namespace counts; 0: softstop.
    pub pid: i32,
    pub signal: i32,
}

pub struct Observed {
    pub config: String,
    /// Where the configuration was made wrong.
    pub wrong_line: Option<usize>,
    /// When the kernel made the process that became softstop, at the earliest.
    pub born: Time,
    /// softstop's pid as its children see it.
    pub softstop: i32,
    /// When the first stop signal was sent.
    pub sent: Option<Time>,
    /// When softstop was last seen at work: it had not begun to exit.
    pub at_work: Time,
    /// When all that was in its namespace had ended, too.
    pub ended: Time,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Null when there is none.
    pub report: Value,
    pub journal: Vec<Record>,
    pub seen: Seen,
    pub done: Vec<Done>,
    /// When softstop was kept from running.
    pub frozen: Vec<(Time, Time)>,
    /// Processes of this round that were still there some seconds later.
    pub left: Vec<String>,
    /// What became of the strangers, if that is not what should.
    pub strangers: Result<usize, String>,
    pub calls: Option<Result<Vec<Call>, String>>,
}

struct Player<'a> {
    scenario: &'a Scenario,
    running: Running,
    dir: &'a Dir,
    acts: VecDeque<(Time, &'a Doing)>,
    done: Vec<Done>,
    thaw: Option<Time>,
    frozen: Vec<(Time, Time)>,
    at_work: Time,
}

pub fn play(s: &Scenario) -> Observed {
    let dir = Dir::new();
    let Set { launch, places, config, wrong_line, journal } = set(s, &dir);
    let tracer = s.traced.then(|| Tracer::new(&dir.path("gate")));
    let born = sys::now();
    let running = launch.start();
    let strangers = if s.strangers { Strangers::start(s.pid1, running.pid(), &journal) } else { Strangers(None) };
    let (mark, softstop) = (running.mark(), running.pid());
    let over = AtomicBool::new(false);
    let mut player = Player {
        scenario: s,
        running,
        dir: &dir,
        acts: VecDeque::new(),
        done: Vec::new(),
        thaw: None,
        frozen: Vec::new(),
        at_work: born,
    };
    let (seen, sent, ended) = std::thread::scope(|scope| {
        let watched = scope.spawn(|| watch::watch(softstop, s.http.then_some(places.address.as_str()), &over));
        let (sent, ended) = player.until_it_ends();
        over.store(true, Ordering::Relaxed);
        (watched.join().expect("the watcher only looks"), sent, ended)
    });
    let Player { running, done, frozen, at_work, .. } = player;
    let stranger_ends = strangers.0.is_some();
    let all = running.wait(Duration::from_secs(5));
    let left = left(&mark);
    let strangers = strangers.result(s.pid1).map(|()| usize::from(stranger_ends));
    Observed {
        config,
        wrong_line,
        born,
        softstop: if s.pid1 { 1 } else { softstop },
        sent,
        at_work,
        ended,
        code: all.code,
        stdout: all.stdout,
        stderr: all.stderr,
        report: serde_json::from_str(&dir.read("report.json")).unwrap_or_default(),
        journal: journal::parse(&dir.read("journal")),
        seen,
        done,
        frozen,
        left,
        strangers,
        calls: tracer.map(Tracer::calls),
    }
}

/// A round that is ready to be started.
struct Set {
    launch: Launch,
    places: Places,
    config: String,
    wrong_line: Option<usize>,
    journal: String,
}

fn set(s: &Scenario, dir: &Dir) -> Set {
    let journal = dir.write("journal", "");
    // Its actors may be of another user.
    std::fs::set_permissions(&journal, std::fs::Permissions::from_mode(0o666)).unwrap();
    let places = Places { actor: crate::program(), address: address(), report: dir.text("report.json") };
    let (config, wrong_line) = render::toml(s, &places);
    let args = if s.wrapper {
        render::flags(s, &places)
    } else {
        ["run", "-c", &dir.write("softstop.toml", &config)].map(str::to_owned).to_vec()
    };
    let config = if s.wrapper { format!("softstop {}", args.join(" ")) } else { config };
    let mut launch = Launch::new(args).env("TEST_JOURNAL", &journal).env("TEST_ADDRESS", &places.address);
    if s.traced {
        launch = launch.through(&[&places.actor, "gate", &dir.text("gate")]);
    }
    if !s.place.is_empty() {
        launch = faults::launch(&s.place, launch);
    }
    if !s.pid1 {
        launch = launch.not_pid1();
    }
    if s.unread {
        launch = launch.unread();
    }
    Set { launch, places, config, wrong_line, journal }
}

/// A loopback address that no other round uses at this time, with a port that the kernel gives to nobody by itself.
fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = (std::process::id() % 1024) << 12 | (NEXT.fetch_add(1, Ordering::Relaxed) % 4096);
    format!("127.{}.{}.{}:20180", 64 + (id >> 16), id >> 8 & 255, id & 255)
}

/// Who is left of the round. What has its SIGKILL may need a moment to get to it; what has not will still be there.
fn left(mark: &str) -> Vec<String> {
    let limit = sys::now() + 5000 * MS;
    loop {
        let left = processes::with_environment(mark);
        if left.is_empty() || sys::now() > limit {
            return left.iter().map(ToString::to_string).collect();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Player<'_> {
    /// When the stop was asked for, and when it was over.
    fn until_it_ends(&mut self) -> (Option<Time>, Time) {
        let s = self.scenario;
        let began = sys::now();
        let (early, late): (Vec<_>, Vec<_>) = s.acts.iter().partition(|act| act.at <= 0);
        while self.running.code().is_none() && !self.time_to_stop(began) {
            std::thread::sleep(TURN / 2);
        }
        self.acts = early.iter().map(|act| (sys::now() + (act.at + 60) * MS, &act.what)).collect();
        while self.running.code().is_none() && !(self.acts.is_empty() && self.thaw.is_none()) {
            self.turn();
        }
        // Before the signals are held there is nobody to ask: a kernel drops the signal, or its default action ends softstop.
        while self.running.code().is_none() && !processes::holds(self.running.pid(), s.stop.signal) {
            std::thread::sleep(TURN / 5);
        }
        let mut sent = None;
        if self.running.code().is_none() {
            let now = sys::now();
            self.done.push(Done { at: now, text: "the stop is asked for".to_owned(), pid: 0, signal: s.stop.signal });
            processes::send(self.running.pid(), s.stop.signal);
            sent = Some(now);
        }
        let from = sent.unwrap_or(began);
        self.acts = late.iter().map(|act| (from + act.at * MS, &act.what)).collect();
        let limit = sys::now() + (s.grace as i64) * MS + support::SOON.as_nanos() as i64;
        while self.running.code().is_none() {
            self.turn();
            if sys::now() > limit {
                let left = processes::with_environment(&self.running.mark());
                self.done.push(Done { at: sys::now(), text: format!("never ended: {left:?}"), pid: 0, signal: 9 });
                processes::send(self.running.pid(), libc::SIGKILL);
            }
        }
        (sent, sys::now())
    }

    fn time_to_stop(&self, began: Time) -> bool {
        let lived = sys::now() - began;
        match self.scenario.stop.after_us {
            Some(us) => lived > us as i64 * 1000,
            None if self.scenario.broken.is_some() => false,
            None => lived > UP_AT_MOST || self.up() >= self.scenario.processes.len(),
        }
    }

    fn up(&self) -> usize {
        let journal = journal::parse(&self.dir.read("journal"));
        self.scenario.processes.iter().filter(|p| journal.iter().any(|r| r.name == p.name && r.what == Did::Up)).count()
    }

    /// One look at the clock.
    fn turn(&mut self) {
        let now = sys::now();
        if !processes::exits(self.running.pid()) {
            self.at_work = now;
        }
        if let Some(at) = self.thaw.filter(|at| now >= *at) {
            self.thaw = None;
            processes::send(self.running.pid(), libc::SIGCONT);
            if let Some(last) = self.frozen.last_mut() {
                last.1 = sys::now().max(at);
            }
        }
        if self.thaw.is_none()
            && let Some((at, what)) = self.acts.front().copied()
            && now >= at
        {
            self.acts.pop_front();
            self.act(what);
        }
        std::thread::sleep(TURN);
    }

    fn act(&mut self, what: &Doing) {
        match what {
            Doing::StopOne(n) => self.hit(*n, libc::SIGSTOP),
            Doing::KillOne(n) => self.hit(*n, libc::SIGKILL),
            Doing::Storm { signal, count, senders } => self.storm(*signal, *count, *senders),
            Doing::Freeze(ms) => {
                let now = sys::now();
                self.frozen.push((now, Time::MAX));
                self.done.push(Done {
                    at: now,
                    text: format!("softstop is stopped for {ms} ms"),
                    pid: 0,
                    signal: libc::SIGSTOP,
                });
                processes::send(self.running.pid(), libc::SIGSTOP);
                self.thaw = Some(now + *ms as i64 * MS);
            }
        }
    }

    /// A signal to one of the processes below softstop, if there are any. Not to a fork of its own: without the one that writes it there
    /// is no report to hold anything against.
    fn hit(&mut self, n: u64, signal: i32) {
        let mut below = processes::below(self.running.pid());
        below.retain(|p| !processes::runs(p.pid, Path::new(support::SOFTSTOP)));
        let Some(chosen) = below.get((n % below.len().max(1) as u64) as usize) else { return };
        let inside = processes::inner_pid(chosen.pid).unwrap_or(chosen.pid);
        let at = sys::now();
        self.done.push(Done { at, text: format!("signal {signal} to pid {inside}"), pid: inside, signal });
        processes::send(chosen.pid, signal);
    }

    fn storm(&mut self, signal: i32, count: u32, senders: u32) {
        let (pid, each) = (self.running.pid(), count / senders);
        if self.running.code().is_some() || !processes::holds(pid, signal) {
            return;
        }
        let text = format!("{count} times signal {signal} to softstop from {senders} threads");
        self.done.push(Done { at: sys::now(), text, pid: 0, signal });
        // Nobody reaps it meanwhile: its pid is its own.
        std::thread::scope(|scope| {
            for _ in 0..senders {
                scope.spawn(|| {
                    for _ in 0..each.max(1) {
                        sys::kill(pid, signal);
                    }
                });
            }
        });
    }
}

/// A process of the same user and, where there is one, in the same PID namespace, that softstop has nothing to do with.
struct Strangers(Option<Child>);

impl Strangers {
    fn start(pid1: bool, softstop: i32, journal: &str) -> Strangers {
        let actor = crate::program();
        let mut command = if pid1 {
            let mut enter = Command::new("nsenter");
            enter.args(["--target", &softstop.to_string(), "--pid", "--", &actor]);
            enter
        } else {
            Command::new(&actor)
        };
        command.args(["actor", "stranger", "note:15", "note:2", "note:3", "tick", "wait"]).env("TEST_JOURNAL", journal);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // 0: it has ended already.
        Strangers(if softstop > 0 { command.spawn().ok() } else { None })
    }

    /// In softstop's namespace its end is the stranger's; elsewhere it lives on.
    fn result(mut self, pid1: bool) -> Result<(), String> {
        let Some(stranger) = &mut self.0 else { return Ok(()) };
        let ended = stranger.try_wait().map_err(|e| e.to_string())?;
        match ended {
            Some(status) if !pid1 => Err(format!("a stranger was ended: {status}")),
            _ => Ok(()),
        }
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        if let Some(stranger) = &mut self.0 {
            // In a namespace only nsenter is ours to kill; what it started has ended with the namespace.
            let _ = stranger.kill();
            let _ = stranger.wait();
        }
    }
}
