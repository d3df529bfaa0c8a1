//! Shows what docs/reliability/tests.md claims, and prints its table.
//!
//! `cargo run --release --manifest-path benches/proof/Cargo.toml` does all of it; the names of parts as arguments
//! (`simulation`, `exploration`, `rounds`, `mutants`) do only those. Of the mutants SOFTSTOP_MUTANTS=src/plan/,src/output/ takes
//! those of some files, SOFTSTOP_EVERY=8 every eighth.

#![allow(clippy::disallowed_methods, reason = "it runs programs and waits for them: it is no PID 1")]

mod mutants;
mod mutate;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn main() -> ExitCode {
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let mut table = table::Table::default();
    let mut fine = true;
    let targets = [
        ("simulation", "simulation"),
        ("simulation", "simulation_output"),
        ("simulation", "simulation_config"),
        ("exploration", "exploration"),
        ("rounds", "rounds"),
    ];
    for (part, target) in targets {
        if wanted(part) {
            fine &= table.run_tests(part, target);
        }
    }
    if wanted("mutants") {
        match mutants::run() {
            Ok(outcome) => fine &= table.add_mutants(&outcome),
            Err(error) => {
                eprintln!("mutants: {error}");
                fine = false;
            }
        }
    }
    print!("{table}");
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
