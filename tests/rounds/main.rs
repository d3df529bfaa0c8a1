//! Random rounds of the real thing: a drawn configuration, processes and hooks that behave or do not, faults, and a stop at some
//! moment; then every invariant I1 to I11 is held against what was really seen, from outside and by journals that all of them keep.
//!
//! `SOFTSTOP_ROUNDS` (100) says how many, `SOFTSTOP_SEED` repeats a run, `SOFTSTOP_ROUNDS_PARALLEL` (two per processor) how many
//! at a time, `SOFTSTOP_COUNTS=FILE` takes the counts as JSON: in how many rounds each invariant had something to be checked.
//!
//! It is its own harness, as its program is also its actors (`actor`) and the gate before a traced softstop (`trace`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, talks to its reader, and waits for its own children"
)]

mod actor;
mod check;
mod draw;
mod draw_process;
mod http;
mod journal;
mod model;
mod play;
#[path = "../core/world/random.rs"]
mod random;
mod render;
#[path = "../support/mod.rs"]
mod support;
mod sys;
mod timeline;
mod trace;
mod watch;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

const NAME: &str = "every_round_keeps_every_invariant";
/// Enough to see what is wrong.
const FAILURES: usize = 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("actor") => actor::run(&args[1..]),
        Some("gate") => trace::gate(&args[1..]),
        _ => {}
    }
    if support::own_harness::chosen(&args, &[NAME], |name| name).is_empty() {
        return ExitCode::SUCCESS;
    }
    support::as_launched_by_hand();
    if run() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_actor() -> bool {
    std::env::args().nth(1).is_some_and(|arg| arg == "actor")
}

/// This program, as the actors' command.
fn program() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

fn able() -> draw::Able {
    let strace = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let strace = strace.is_ok_and(|status| status.success()) && nix::unistd::geteuid().is_root();
    if !strace {
        support::skip("strace as root: in no round are softstop's own system calls looked at");
    }
    draw::Able {
        namespaces: support::namespaces(),
        strace,
        faults: support::faults::possible(),
        user: support::faults::user(),
    }
}

/// What a run of rounds comes to.
#[derive(Default)]
struct Results {
    /// Rounds in which the invariant had something to be checked.
    rounds: BTreeMap<u8, u64>,
    failed: u64,
}

fn run() -> bool {
    let rounds = number("SOFTSTOP_ROUNDS").unwrap_or(100);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("SOFTSTOP_SEED").unwrap_or(clock.as_millis() as u64);
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    println!("{rounds} rounds from SOFTSTOP_SEED={seed}");
    let able = able();
    let (next, results) = (AtomicU64::new(0), Mutex::new(Results::default()));
    std::thread::scope(|scope| {
        for _ in 0..number("SOFTSTOP_ROUNDS_PARALLEL").unwrap_or(2 * processors) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= rounds || results.lock().unwrap().failed >= FAILURES as u64 {
                        return;
                    }
                    one(seed.wrapping_add(n), able, &results);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    report(&results, rounds, seed)
}

fn one(seed: u64, able: draw::Able, results: &Mutex<Results>) {
    let scenario = draw::scenario(seed, able);
    let played = std::panic::catch_unwind(|| {
        let observed = play::play(&scenario);
        let found = check::check(&scenario, &observed);
        let told = (!found.wrong.is_empty()).then(|| timeline::tell(&scenario, &observed, &found.wrong));
        (found.checked, told)
    });
    let mut results = results.lock().unwrap();
    match played {
        Ok((checked, told)) => {
            checked.keys().for_each(|invariant| *results.rounds.entry(*invariant).or_default() += 1);
            if let Some(told) = told {
                results.failed += 1;
                println!("{told}");
            }
        }
        Err(_) => {
            results.failed += 1;
            println!("SOFTSTOP_ROUNDS=1 SOFTSTOP_SEED={seed}: could not be played (see above): {scenario:?}");
        }
    }
}

/// Whether all is well. Something that was never checked is not, once there were rounds enough.
fn report(results: &Results, rounds: u64, seed: u64) -> bool {
    let count = |invariant: u8| results.rounds.get(&invariant).copied().unwrap_or(0);
    let all: Vec<(String, u64)> = (1..=11).map(|n| (format!("I{n}"), count(n))).collect();
    all.iter().for_each(|(name, n)| println!("{name}: {n} rounds checked it"));
    if let Ok(file) = std::env::var("SOFTSTOP_COUNTS") {
        let counts: serde_json::Map<_, _> = all.iter().map(|(name, n)| (name.clone(), (*n).into())).collect();
        std::fs::write(&file, format!("{}\n", serde_json::Value::Object(counts)))
            .unwrap_or_else(|e| panic!("{file}: {e}"));
    }
    let empty = rounds >= 300 && all.iter().any(|(_, n)| *n == 0);
    if empty {
        println!("an invariant was never checked");
    }
    let ok = results.failed == 0 && !empty;
    let word = if ok { "ok" } else { "FAILED" };
    println!("test {NAME} ... {word}: {} of {rounds} rounds failed (SOFTSTOP_SEED={seed})", results.failed);
    ok
}
