//! The processes and hooks of a round: this very program, started with `actor NAME WORDS...`. Each journals its start, every signal
//! with its sender, and its end, with `CLOCK_MONOTONIC`'s time, in the file `TEST_JOURNAL`. One word after the other:
//!
//!   note:SIG                SIG (a number) is journaled and does nothing else
//!   end-on:SIG:CODE[:MS]    SIG ends it with CODE, after MS; any other stop signal ends it by its default action
//!   fork WORDS end          a child in the same group does WORDS
//!   session WORDS end       the same, double-forked into a session of its own (a daemon)
//!   orphans:N               N processes whose parent ends before they do
//!   lines:N                 prints N numbered lines, then journals how many there are
//!   listen:PORT             accepts connections on `TEST_ADDRESS`, by the kernel's backlog
//!   readyz                  asks softstop's /readyz and journals the answer
//!   up                      journals that it has come so far
//!   pester:SIG:MS           from now on sends its parent SIG every MS
//!   tick                    from now on journals every 25 ms that it is alive
//!   fill                    from now on writes as much as anybody reads
//!   sleep:MS   wait (for ever)   exit:CODE   crash   stop-self

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use super::sys::{self, MS, Time};

const TICK: Time = 25 * MS;
const FILL: Time = 4 * MS;

enum Reaction {
    Note,
    End { code: i32, after: Time },
}

struct Actor {
    name: String,
    pid: i32,
    journal: File,
    signals: Vec<i32>,
    reactions: BTreeMap<i32, Reaction>,
    forked: u32,
    lines: u64,
    pester: Option<(i32, Time)>,
    ticks: bool,
    fills: bool,
    next: [Time; 3],
    /// It is on its way to its end: signals are noted and nothing more.
    ending: bool,
    listeners: Vec<TcpListener>,
}

/// `args`: its name and its words. Does not come back.
pub fn run(args: &[String]) -> ! {
    let signals = sys::signals();
    // First: until here a signal takes its default action, and the journal knows nothing of it.
    sys::hold(&signals);
    let path = std::env::var("TEST_JOURNAL").expect("every round sets it");
    let journal = OpenOptions::new().append(true).open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut actor = Actor {
        name: args[0].clone(),
        pid: std::process::id() as i32,
        journal,
        signals,
        reactions: BTreeMap::new(),
        forked: 0,
        lines: 0,
        pester: None,
        ticks: false,
        fills: false,
        next: [0; 3],
        ending: false,
        listeners: Vec::new(),
    };
    let told = ["REASON", "REMAINING_MS", "EXIT_CODE"]
        .map(|what| std::env::var(format!("SOFTSTOP_{what}")).unwrap_or_else(|_| "-".to_owned()));
    actor.started(&format!("main {} {}", born(), told.join(" ")));
    actor.act(&args[1..]);
    actor.end(0)
}

/// When the kernel made this process, in its clock ticks since the boot; 0 without /proc.
fn born() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, tail)| tail);
    after_name.split_whitespace().nth(19).and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl Actor {
    fn write(&mut self, what: &str) {
        let line = format!("{} {} {} {what}\n", sys::now(), self.name, self.pid);
        // One write: lines of different processes never mix.
        let _ = self.journal.write_all(line.as_bytes());
    }

    fn started(&mut self, how: &str) {
        let parent = std::os::unix::process::parent_id();
        self.write(&format!("start {parent} {how}"));
    }

    fn end(&mut self, code: i32) -> ! {
        self.write(&format!("end {code}"));
        sys::exit(code)
    }

    fn act(&mut self, words: &[String]) {
        let mut i = 0;
        while i < words.len() {
            let mut parts = words[i].split(':');
            let verb = parts.next().unwrap_or_default();
            let numbers: Vec<i64> = parts.map(|n| n.parse().unwrap_or_else(|e| panic!("{}: {e}", words[i]))).collect();
            let number = |n: usize| numbers.get(n).copied().unwrap_or(0);
            match verb {
                "note" => drop(self.reactions.insert(number(0) as i32, Reaction::Note)),
                "end-on" => {
                    let reaction = Reaction::End { code: number(1) as i32, after: number(2) * MS };
                    self.reactions.insert(number(0) as i32, reaction);
                }
                "fork" | "session" => {
                    let last = block_end(words, i);
                    self.forked += 1;
                    self.descend(verb == "session", &words[i + 1..last]);
                    i = last;
                }
                "orphans" => (0..number(0)).for_each(|_| self.orphan()),
                "lines" => self.lines(number(0)),
                "listen" => self.listen(number(0) as u16),
                "readyz" => {
                    let asked = sys::now();
                    let status = super::http::status(&super::http::address(), "/readyz");
                    self.write(&format!("readyz {} {asked}", status.map_or("none".to_owned(), |s| s.to_string())));
                }
                "up" => self.write("up"),
                "pester" => self.pester = Some((number(0) as i32, number(1) * MS)),
                "tick" => self.ticks = true,
                "fill" => self.fills = true,
                "sleep" => self.live(Some(number(0) * MS)),
                "wait" => self.live(None),
                "exit" => self.end(number(0) as i32),
                "crash" => self.die(libc::SIGSEGV),
                "stop-self" => sys::stop_self(),
                _ => panic!("unknown word {:?}", words[i]),
            }
            i += 1;
        }
    }

    fn die(&mut self, signal: i32) -> ! {
        self.write(&format!("dies {signal}"));
        sys::die_of(signal)
    }

    /// So long, or for ever, taking signals as they come.
    fn live(&mut self, length: Option<Time>) {
        let until = length.map(|length| sys::now() + length);
        loop {
            let now = sys::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            let work = self.work(now);
            let wake = [until, work].into_iter().flatten().min().unwrap_or(now + 1000 * MS);
            let wait = Duration::from_nanos(u64::try_from(wake - now).unwrap_or(0).min(1_000_000_000));
            if let Some((signal, sender)) = sys::next_signal(&self.signals.clone(), wait) {
                self.signalled(signal, sender);
            }
        }
    }

    /// What it does by the clock; when there is more to do.
    fn work(&mut self, now: Time) -> Option<Time> {
        let intervals = [self.ticks.then_some(TICK), self.pester.map(|(_, every)| every), self.fills.then_some(FILL)];
        for (kind, every) in intervals.iter().enumerate() {
            let Some(every) = every else { continue };
            if now < self.next[kind] {
                continue;
            }
            self.next[kind] = now + every;
            match kind {
                0 => self.write("tick"),
                1 => {
                    let parent = std::os::unix::process::parent_id() as i32;
                    let signal = self.pester.map_or(0, |(signal, _)| signal);
                    // Its parent is softstop: nobody else has such children.
                    sys::kill(parent, signal);
                }
                _ => fill(),
            }
        }
        intervals.iter().zip(self.next).filter_map(|(every, next)| every.map(|_| next)).min()
    }

    fn signalled(&mut self, signal: i32, sender: i32) {
        self.write(&format!("signal {signal} {sender}"));
        if self.ending {
            return;
        }
        match self.reactions.get(&signal) {
            Some(Reaction::Note) => {}
            Some(Reaction::End { code, after }) => {
                let (code, after) = (*code, *after);
                self.ending = true;
                self.live(Some(after));
                if self.lines > 0 {
                    self.lines(3);
                }
                self.end(code);
            }
            None if harmless(signal) => {}
            None => self.die(signal),
        }
    }

    // === output ===

    fn lines(&mut self, n: i64) {
        for _ in 0..n {
            let line = format!("line {} {} {}\n", self.name, self.pid, self.lines + 1);
            if let Err(error) = print(line.as_bytes()) {
                self.write(&format!("unwritten {error}"));
                return;
            }
            self.lines += 1;
        }
        self.write(&format!("mark {}", self.lines));
    }

    fn listen(&mut self, port: u16) {
        let address = super::http::address();
        let ip = address.split(':').next().unwrap_or_default();
        match TcpListener::bind((ip, port)) {
            Ok(listener) => self.listeners.push(listener),
            Err(error) => self.write(&format!("unbound {error}")),
        }
    }

    // === descendants ===

    fn child(&mut self, kind: &str) {
        self.name = format!("{}/{}", self.name, self.forked);
        self.pid = std::process::id() as i32;
        (self.forked, self.lines, self.pester, self.ticks, self.fills) = (0, 0, None, false, false);
        self.reactions.clear();
        self.listeners.clear();
        self.started(kind);
    }

    fn descend(&mut self, session: bool, words: &[String]) {
        let pid = sys::fork();
        if pid != 0 {
            if pid < 0 {
                self.write("unforked");
            } else if session {
                sys::wait(pid);
            }
            return;
        }
        if session {
            let _ = nix::unistd::setsid();
            if sys::fork() != 0 {
                sys::exit(0);
            }
        }
        self.child(if session { "session" } else { "fork" });
        self.act(words);
        self.end(0)
    }

    fn orphan(&mut self) {
        let pid = sys::fork();
        if pid == 0 {
            if sys::fork() != 0 {
                sys::exit(0);
            }
            self.forked += 1;
            self.child("orphan");
            self.end(0);
        }
        if pid > 0 {
            sys::wait(pid);
        }
    }
}

/// What ends nobody by itself here: the round sends some of them to softstop, which passes them on.
fn harmless(signal: i32) -> bool {
    [libc::SIGCONT, libc::SIGWINCH, libc::SIGURG, libc::SIGUSR1, libc::SIGHUP, libc::SIGTSTP].contains(&signal)
}

/// Without std's buffer, of which a fork would make two.
fn print(mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[nix::unistd::write(std::io::stdout(), bytes)?..];
    }
    Ok(())
}

fn fill() {
    let text = format!("{}\n", "y".repeat(99)).repeat(40);
    for _ in 0..4 {
        if !sys::writable(1, 0) {
            return;
        }
        let _ = print(text.as_bytes());
    }
}

fn block_end(words: &[String], from: usize) -> usize {
    let mut depth = 0;
    for (i, word) in words.iter().enumerate().skip(from) {
        depth += usize::from(word == "fork" || word == "session");
        depth -= usize::from(word == "end");
        if depth == 0 {
            return i;
        }
    }
    panic!("no end in {words:?}")
}
