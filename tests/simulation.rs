//! The pure core against simulated containers: random configurations, processes that exit, hang, ignore signals, crash and leave things
//! behind, hooks and probes that succeed, fail and hang, stop requests at any instant, a softstop that does not get to run;
//! virtual time. After every event I1 to I9 are checked.
//!
//! `SOFTSTOP_SCENARIOS` (200,000) says how many, `SOFTSTOP_SEED` (0) from which seed on. A failure prints its seed, the
//! scenario shrunk and what happened in it; the seed alone brings it back.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests use every processor")]

mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use world::scenario::Scenario;
use world::simulate::play;
use world::{Counts, shrink, tell};

fn number(variable: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return otherwise };
    text.replace('_', "").parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}"))
}

/// In how many scenarios each invariant was put to the test; the first seed that breaks one.
fn run(from: u64, count: u64) -> (Counts, Option<u64>) {
    let next = AtomicU64::new(0);
    let broken = AtomicU64::new(u64::MAX);
    let work = || {
        let mut counts = Counts::default();
        loop {
            let n = next.fetch_add(64, Ordering::Relaxed);
            if n >= count || n > broken.load(Ordering::Relaxed) {
                return counts;
            }
            for n in n..(n + 64).min(count) {
                let (world, result) = play(&Scenario::from_seed(from.wrapping_add(n)), false);
                if result.is_err() {
                    broken.fetch_min(n, Ordering::Relaxed);
                }
                (0..counts.len()).for_each(|i| counts[i] += u64::from(world.counts[i] > 0));
            }
        }
    };
    let mut counts = Counts::default();
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let own = worker.join().unwrap();
            (0..counts.len()).for_each(|i| counts[i] += own[i]);
        }
    });
    let broken = broken.into_inner();
    (counts, (broken != u64::MAX).then(|| from.wrapping_add(broken)))
}

#[test]
fn the_invariants_hold_in_any_world() {
    let (from, count) = (number("SOFTSTOP_SEED", 0), number("SOFTSTOP_SCENARIOS", 200_000));
    let (counts, broken) = run(from, count);
    if let Some(seed) = broken {
        let scenario = Scenario::from_seed(seed);
        let what = play(&scenario, false).1.unwrap_err().what;
        let small = shrink::shrink(&scenario, what);
        let (world, result) = play(&small, true);
        let replay = format!("SOFTSTOP_SEED={seed} SOFTSTOP_SCENARIOS=1 cargo test --test simulation");
        panic!("{}", tell::failure(&replay, &small, &world, &result));
    }
    println!("{count} scenarios from seed {from}");
    for (i, n) in counts.iter().enumerate().skip(1) {
        println!("I{i}: {n} scenarios put it to the test");
        assert!(count < 1000 || *n > 0, "no scenario puts I{i} to the test");
    }
}
