//! What softstop costs beside other inits, interleaved in one run, each as a real PID 1 in its own PID namespace:
//!
//! ```sh
//! cargo bench --bench compare              # prints the table
//! cargo bench --bench compare -- --write   # and puts it into docs/performance.md
//! ```
//!
//! Needs root (or user namespaces) and Debian's `tini`, `dumb-init` and `catatonit`; one that is missing is left out and said so.
//! softstop is the static release build, made here unless `SOFTSTOP_BENCH_BINARY` names one. `SOFTSTOP_BENCH_ROUNDS` (100).

#![expect(unsafe_code, reason = "clock, pidfd, fork as raw calls: a bench measures them, not a wrapper")]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod inside;
mod measure;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// CLOCK_MONOTONIC in nanoseconds: the same in every PID namespace.
fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of our own.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// An init to be measured.
struct Init {
    name: &'static str,
    path: PathBuf,
    /// Between the init and the command.
    separator: &'static [&'static str],
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    // What runs inside the namespaces is this program again.
    if args.first().is_some_and(|a| a.starts_with("inside-")) {
        return inside::run(&args);
    }
    let inits = inits();
    let rounds = std::env::var("SOFTSTOP_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let results = measure::all(&inits, rounds);
    let text = table::markdown(&inits, &results, rounds);
    println!("{text}");
    if args.iter().any(|a| a == "--write")
        && let Err(error) = common::write_into("docs/performance.md", "compare", &text)
    {
        eprintln!("compare: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn inits() -> Vec<Init> {
    // A page that is not on disk yet counts as dirty, and as nobody else's: a fresh build would look ten times its size.
    let _ = Command::new("sync").status();
    let mut inits = vec![Init { name: "softstop", path: common::softstop("compare"), separator: &["--"] }];
    for (name, separator) in [("tini-static", &["--"][..]), ("dumb-init", &["--"]), ("catatonit", &["--"])] {
        match common::find(name) {
            Some(path) => inits.push(Init { name, path, separator }),
            None => eprintln!("compare: {name} is not installed and left out"),
        }
    }
    inits
}
