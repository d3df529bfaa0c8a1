//! The pure core in small worlds, exhaustively: every interleaving of ends, answers, failures, signals and passing time, with I1 to
//! I9 and I13 checked after each. `SOFTSTOP_EXPLORE=deep` lets everything happen once more often: for nights.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests use every processor")]

extern crate core_of_softstop as softstop;

mod world;

use std::sync::Mutex;
use std::time::Instant;

use world::explore::{explore, shown};
use world::{Counts, INVARIANTS};

#[test]
fn nothing_that_can_happen_breaks_an_invariant() {
    let worlds = Mutex::new(world::small::worlds());
    let total = Mutex::new((0, 0, Counts::default()));
    let broken = Mutex::new(Vec::new());
    let work = || {
        while let Some(small) = { worlds.lock().unwrap().pop() } {
            let began = Instant::now();
            match explore(&small) {
                Ok(e) => {
                    let took = began.elapsed();
                    println!(
                        "{}: {} states, {} transitions, {} ends, {took:.1?}",
                        small.name, e.states, e.transitions, e.ends
                    );
                    assert!(e.ends > 0, "{}: nothing ever ends", small.name);
                    let mut total = total.lock().unwrap();
                    total.0 += e.states;
                    total.1 += e.transitions;
                    (0..e.counts.len()).for_each(|i| total.2[i] += e.counts[i]);
                }
                Err((violation, way)) => broken.lock().unwrap().push(shown(&small, &way, violation.what)),
            }
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(work)));
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    let (states, transitions, counts) = total.into_inner().unwrap();
    println!("{states} states, {transitions} transitions");
    for i in INVARIANTS {
        let n = counts[i];
        println!("I{i}: {n} transitions put it to the test");
        assert!(n > 0, "no transition puts I{i} to the test");
    }
}
