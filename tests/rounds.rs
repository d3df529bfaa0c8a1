//! Random start/stop rounds with children that ignore, crash, fork, daemonise, stop themselves or fill their output. Every round
//! ends inside its grace with nothing left behind.
//!
//! `SOFTSTOP_ROUNDS` (100) says how many, `SOFTSTOP_SEED` repeats a run, `SOFTSTOP_ROUNDS_PARALLEL` (two per
//! processor) how many at a time: what fills its output or forks takes a whole one, and a grace is kept only by who gets to run.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use support::{Dir, Launch, processes};

/// splitmix64: enough for choosing, and no crate.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Stands for the word by which the child says, in a file, that it is up: its output may be full, or not read at all.
const UP: &str = "UP";

/// What one round does, all of it drawn from its seed.
#[derive(Debug)]
struct Round {
    seed: u64,
    grace: Duration,
    flags: Vec<String>,
    words: Vec<String>,
    pid1: bool,
    unread: bool,
    /// After the start; `None`: once the child says it is up.
    stop_after: Option<Duration>,
    signal: i32,
}

impl Round {
    fn draw(seed: u64) -> Round {
        let mut random = Random(seed);
        let grace = Duration::from_millis(1200 + random.below(1000));
        let mut flags = vec!["--grace".to_owned(), format!("{}ms", grace.as_millis())];
        if random.chance(30) {
            flags.extend(["--output".to_owned(), random.one_of(&["prefix", "json"]).to_owned()]);
        }
        if random.chance(30) {
            flags.extend(["--drain-sleep".to_owned(), format!("{}ms", random.below(400))]);
        }
        if random.chance(30) {
            flags.extend([
                "--stop-signal".to_owned(),
                random.one_of(&["SIGQUIT:100ms,SIGTERM", "SIGINT", "SIGRTMIN+3:50ms"]).to_owned(),
            ]);
        }
        if random.chance(20) {
            flags.push("-g".to_owned());
        }
        let mut words = Vec::new();
        for _ in 0..random.below(4) {
            words.extend(Round::descendant(&mut random));
        }
        words.extend(Round::behaviour(&mut random));
        let last = random.one_of(&["wait", "wait", "wait", "fill", "stop-self", "crash", "exit:0", "exit:3"]);
        words.extend(["say:up", UP, last, "wait"].map(str::to_owned));
        Round {
            seed,
            grace,
            flags,
            words,
            pid1: random.chance(50) && support::namespaces(),
            unread: random.chance(25),
            stop_after: random.chance(30).then(|| Duration::from_micros(random.below(30_000))),
            signal: [libc::SIGTERM, libc::SIGTERM, libc::SIGINT, libc::SIGQUIT][random.below(4) as usize],
        }
    }

    fn behaviour(random: &mut Random) -> Vec<String> {
        let slow = format!("exit-on:TERM:0:{}", random.below(500));
        let words: &[&str] = match random.below(5) {
            0 => &["ignore:TERM", "ignore:INT", "ignore:QUIT", "ignore:HUP"],
            1 => &["ignore:TERM"],
            2 => &["exit-on:TERM:0", "exit-on:INT:0", "exit-on:QUIT:1"],
            3 => &[&slow],
            _ => &[],
        };
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    fn descendant(random: &mut Random) -> Vec<String> {
        if random.chance(25) {
            return vec![format!("orphans:{}", random.below(60))];
        }
        let mut words = vec![random.one_of(&["fork", "session"]).to_owned()];
        words.extend(Round::behaviour(random));
        words.push(random.one_of(&["wait", "wait", "stop-self", "fill", "exit:0", "crash"]).to_owned());
        words.extend(["wait", "end"].map(str::to_owned));
        words
    }

    /// What went wrong, if something did.
    fn play(&self) -> Result<(), String> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let dir = Dir::new();
        let up = format!("journal:{}:up", dir.text("up"));
        let words: Vec<&str> = self.words.iter().map(|w| if w == UP { &up } else { w.as_str() }).collect();
        let mut launch = Launch::child(&flags, &words);
        if !self.pid1 {
            launch = launch.not_pid1();
        }
        if self.unread {
            launch = launch.unread();
        }
        let mut running = launch.start();
        let mark = running.mark();
        let limit = Instant::now() + support::SOON;
        // A moment of the start in some rounds, the state to be stopped in the others.
        while self.stop_after.map_or_else(|| !dir.path("up").exists(), |at| running.age() < at) {
            if running.code().is_some() || Instant::now() > limit {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        // Before the signals are held there is nobody to ask: a kernel drops the signal, or its default action ends softstop.
        while running.code().is_none() && !processes::holds(running.pid(), self.signal) {
            std::thread::sleep(Duration::from_micros(200));
        }
        let asked = Instant::now();
        if running.code().is_none() {
            processes::send(running.pid(), self.signal);
        }
        let ended = running.wait(self.grace + support::SOON);
        let took = asked.elapsed();
        if took > self.grace + support::ROOM || ended.all().contains("over the grace") {
            return Err(format!("took {took:?}:\n{}", ended.all()));
        }
        // What has its SIGKILL may need a moment to get to it; what has not will still be there.
        let mut left = processes::with_environment(&mark);
        let limit = Instant::now() + Duration::from_secs(5);
        while !left.is_empty() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(10));
            left = processes::with_environment(&mark);
        }
        if !left.is_empty() {
            let left: Vec<String> = left.iter().map(ToString::to_string).collect();
            return Err(format!("left behind: {}\n{}", left.join(", "), ended.all()));
        }
        if [64, 70, 78].contains(&ended.code) {
            return Err(format!("exit code {}:\n{}", ended.code, ended.all()));
        }
        Ok(())
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

#[test]
fn every_round_ends_inside_its_grace_with_nothing_left_behind() {
    let rounds = number("SOFTSTOP_ROUNDS").unwrap_or(100);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("SOFTSTOP_SEED").unwrap_or(clock.as_millis() as u64);
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    println!("{rounds} rounds from SOFTSTOP_SEED={seed}");
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..number("SOFTSTOP_ROUNDS_PARALLEL").unwrap_or(2 * processors) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= rounds {
                        return;
                    }
                    let round = Round::draw(seed.wrapping_add(n));
                    if let Err(what) = round.play() {
                        failed
                            .lock()
                            .unwrap()
                            .push(format!("SOFTSTOP_ROUNDS=1 SOFTSTOP_SEED={}: {round:?}\n{what}", round.seed));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {rounds} rounds failed (SOFTSTOP_SEED={seed}):\n{}",
        failed.len(),
        failed.join("\n")
    );
}
