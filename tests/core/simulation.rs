//! The pure core against simulated containers: random configurations, processes that exit, hang, ignore signals, crash and leave things
//! behind, hooks and probes that succeed, fail and hang, stop requests at any instant, a softstop that does not get to run;
//! virtual time. After every event I1 to I9 and I13 are checked.
//!
//! `SOFTSTOP_SCENARIOS` (100,000) says how many, `SOFTSTOP_SEED` (0) from which seed on. A failure prints its seed, the
//! scenario shrunk and what happened in it; the seed alone brings it back.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests use every processor")]

extern crate core_of_softstop as softstop;

mod planned;
mod world;

use world::draw::Draw;
use world::scenario::Scenario;
use world::seeds::{number, play_all};
use world::simulate::{play, shrunk};
use world::{Counts, INVARIANTS, tell};

#[test]
fn the_invariants_hold_in_any_world() {
    let (from, count) = (number("SOFTSTOP_SEED", 0), number("SOFTSTOP_SCENARIOS", 100_000));
    let (tallies, broken) = play_all(from, count, |seed, counts: &mut Counts| {
        let (world, result) = play(&Scenario::from_seed(seed), false);
        // In how many scenarios each invariant was put to the test.
        (0..counts.len()).for_each(|i| counts[i] += u64::from(world.counts[i] > 0));
        result.is_ok()
    });
    if let Some(seed) = broken {
        let what = play(&Scenario::from_seed(seed), false).1.unwrap_err().what;
        let small = shrunk(Draw::seed(seed), what);
        let (world, result) = play(&small, true);
        let replay = format!("SOFTSTOP_SEED={seed} SOFTSTOP_SCENARIOS=1 cargo test --test simulation");
        panic!("{}", tell::failure(&replay, &small, &world, &result));
    }
    println!("{count} scenarios from seed {from}");
    for i in INVARIANTS {
        let n: u64 = tallies.iter().map(|counts| counts[i]).sum();
        println!("I{i}: {n} scenarios put it to the test");
        assert!(count < 1000 || n > 0, "no scenario puts I{i} to the test");
    }
}
