//! Part of the mutated core: for each mutant named as an argument, one line with what noticed it. The first argument says which
//! row: `I10`, lines and the queue before the output, or `I11`, what is wrong with a configuration.

#![allow(warnings)]

#[path = "TESTS/declared/mod.rs"]
mod declared;
#[path = "TESTS/core/mistakes/mod.rs"]
mod mistakes;
#[path = "TESTS/core/outlet/mod.rs"]
mod outlet;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use outlet::scenario::Scenario;

/// So many scenarios each, until one notices it.
const OUTPUT: u64 = 4_000;
const CONFIG: u64 = 3_000;

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut args = std::env::args().skip(1);
    let row = args.next().unwrap();
    let golden = golden();
    // Drawn by the core as it is: a mutant must not change what it is tried with.
    softstop::mutant::set(0);
    let drawn: Vec<_> = (0..CONFIG).map(mistakes::edits::from_seed).collect();
    for id in args.map(|id| id.parse().unwrap()) {
        softstop::mutant::set(id);
        let noticed = match row.as_str() {
            "I10" => (0..OUTPUT).any(|seed| fails(|| outlet::play(&Scenario::from_seed(seed)).1.is_err())),
            _ => {
                golden.iter().any(|(text, expected)| fails(|| said(text) != *expected))
                    || drawn.iter().any(|mistake| fails(|| mistakes::judge(mistake).is_err()))
            }
        };
        println!("{id} {}", if noticed { &row } else { "" });
    }
}

fn fails(check: impl FnOnce() -> bool) -> bool {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or(true)
}

/// The broken configurations of tests/config_errors with what is said about them.
fn golden() -> Vec<(String, String)> {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let files = std::fs::read_dir("TESTS/config_errors").unwrap().map(|e| e.unwrap().path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == "toml"));
    files.map(|path| (read(&path), read(&path.with_extension("stderr")))).collect()
}

/// As tests/pages/config_errors.rs has it.
fn said(text: &str) -> String {
    let env = |name: &str| match name {
        "HOST" => Some("db".to_string()),
        "PORT" => Some("not a port".to_string()),
        "GOOD_PORT" => Some("5432".to_string()),
        _ => None,
    };
    match softstop::config::check::read(text, "softstop.toml", &env) {
        Err(problems) => format!("{problems}\n"),
        Ok((_, warnings)) => warnings.iter().map(|w| format!("{w}\n")).collect(),
    }
}
