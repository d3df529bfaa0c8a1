//! Part of the mutated core: for each mutant named as an argument, one line with what noticed it.

#![allow(warnings)]

#[path = "WORLD"]
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use world::scenario::Scenario;

/// So many scenarios each, and with DEEP so many more, and the explored worlds: for those that survive all else.
const SCENARIOS: u64 = 1_000;
const DEEP: u64 = 6_000;
/// Of the worlds that are small enough, so many: they share most of what can happen.
const SEARCHED: usize = 2;
const ENOUGH: Duration = Duration::from_millis(300);

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let deep = std::env::var_os("DEEP").is_some();
    let seeds = if deep { SCENARIOS..DEEP } else { 0..SCENARIOS };
    for id in std::env::args().skip(1).map(|id| id.parse().unwrap()) {
        softstop::mutant::set(id);
        let mut by: BTreeSet<&str> = BTreeSet::new();
        let mut found = 0;
        let began = Instant::now();
        for seed in seeds.clone() {
            // Drawn by the core as it is: a mutant must not change what it is tried with.
            let what = catch_unwind(AssertUnwindSafe(|| world::simulate::play(&Scenario::from_seed(seed), false).1));
            match what {
                Ok(Ok(())) => {}
                Ok(Err(violation)) => {
                    by.insert(violation.what);
                    found += 1;
                }
                Err(_) => {
                    by.insert("panic");
                    found += 1;
                }
            }
            // Whatever notices it so often, or at such a cost, has been seen.
            if found >= 40 || (found > 0 && began.elapsed() > ENOUGH) {
                break;
            }
        }
        if deep && by.is_empty() {
            for small in world::small::worlds().iter().filter(|s| s.quick).take(SEARCHED) {
                let what = catch_unwind(AssertUnwindSafe(|| world::explore::explore(small)));
                match what {
                    Ok(Ok(_)) => {}
                    Ok(Err((violation, _))) => drop(by.insert(violation.what)),
                    Err(_) => drop(by.insert("panic")),
                }
            }
        }
        println!("{id} {}", by.into_iter().collect::<Vec<_>>().join(" "));
    }
}
