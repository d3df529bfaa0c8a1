//! Part of the mutated core: for each mutant named as an argument, one line with what noticed it.

#![allow(warnings)]

#[path = "WORLD"]
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::scenario::Scenario;

/// So many scenarios each; the explored worlds only for those that survive them.
const SCENARIOS: u64 = 2_000;

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    for id in std::env::args().skip(1).map(|id| id.parse().unwrap()) {
        softstop::mutant::set(id);
        let mut by: BTreeSet<&str> = BTreeSet::new();
        let mut found = 0;
        for seed in 0..SCENARIOS {
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
            // Whatever notices it so often has been seen.
            if found >= 200 {
                break;
            }
        }
        if by.is_empty() {
            for small in world::small::worlds().iter().filter(|s| s.quick) {
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
