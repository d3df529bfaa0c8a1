//! What softstop costs beside other inits and supervisors:
//!
//! ```sh
//! cargo bench --bench compare              # prints the tables; five minutes on a machine that does nothing else
//! cargo bench --bench compare -- --write   # and puts them into docs/performance.md
//! cargo bench --bench compare -- --quick   # a tenth of everything: whether it runs
//! ```
//!
//! Needs root (or user namespaces) and Debian's `tini`, `dumb-init` and `catatonit`, for the other tables `s6`, `runit`, `supervisor` and
//! `nginx-light`, and `valgrind` for the instructions; one that is missing is left out and said so.
//! The column *floor* is [`least.rs`](least.rs): the least that an init does on the same crates.
//! softstop is the static release build, made here unless `SOFTSTOP_BENCH_BINARY` names one. `SOFTSTOP_BENCH_ROUNDS` (100).

#![expect(unsafe_code, reason = "clock, pidfd, fork as raw calls: a bench measures them, not a wrapper")]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/crowd.rs"]
mod crowd;
mod crowds;
mod endpoint;
mod inside;
mod measure;
#[path = "../common/nginx.rs"]
mod nginx;
mod output;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

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

/// How much of each is done.
struct Sizes {
    rounds: usize,
    idle: Duration,
    orphans: u32,
    /// Processes below one supervisor: for all of them, and for softstop and the loop alone.
    crowd: usize,
    great_crowd: usize,
    crowd_rounds: usize,
    /// Of 100 bytes.
    lines: usize,
    requests: usize,
    /// Of lines and requests.
    repeats: usize,
}

const WHOLE: Sizes = Sizes {
    rounds: 100,
    idle: Duration::from_secs(5),
    orphans: 10_000,
    crowd: 500,
    great_crowd: 4_000,
    crowd_rounds: 3,
    lines: 1_000_000,
    requests: 20_000,
    repeats: 5,
};

const QUICK: Sizes = Sizes {
    rounds: 5,
    idle: Duration::from_secs(1),
    orphans: 1_000,
    crowd: 50,
    great_crowd: 200,
    crowd_rounds: 1,
    lines: 100_000,
    requests: 2_000,
    repeats: 2,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    // What runs inside the namespaces is this program again.
    if args.first().is_some_and(|a| a.starts_with("inside-")) {
        return inside::run(&args);
    }
    let is_given = |flag: &str| args.iter().any(|a| a == flag);
    let mut sizes = if is_given("--quick") { QUICK } else { WHOLE };
    let rounds = std::env::var("SOFTSTOP_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok());
    sizes.rounds = rounds.unwrap_or(sizes.rounds);
    let inits = inits();
    let results = measure::all(&inits, &sizes);
    let mut text = table::markdown(&inits, &results, &sizes);
    let softstop = &inits[0].path;
    let dir = std::env::temp_dir().join(format!("softstop-compare-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for more in [crowds::markdown, output::markdown, endpoint::markdown] {
        text += &more(softstop, &dir, &sizes);
    }
    std::fs::remove_dir_all(&dir).unwrap();
    text += &format!("\n{}.\n", common::machine());
    println!("{text}");
    if is_given("--write")
        && let Err(error) = common::write_into("docs/performance.md", "compare", &text)
    {
        eprintln!("compare: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn inits() -> Vec<Init> {
    let softstop = common::softstop("compare", &["--example", "least"]);
    let least = softstop.with_file_name("examples").join("least");
    let mut inits = vec![Init { name: "softstop", path: softstop, separator: &["--"] }];
    if least.is_file() {
        inits.push(Init { name: "*floor*", path: least, separator: &["--"] });
    } else {
        eprintln!("compare: {} is not there, and the floor is left out", least.display());
    }
    for (name, separator) in [("tini-static", &["--"][..]), ("dumb-init", &["--"]), ("catatonit", &["--"])] {
        match common::find(name) {
            Some(path) => inits.push(Init { name, path, separator }),
            None => eprintln!("compare: {name} is not installed and left out"),
        }
    }
    // A page that is not on disk yet counts as dirty, and as nobody else's: a fresh build would look ten times its size.
    let _ = Command::new("sync").status();
    inits
}

fn this() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Nothing of its own is seen.
fn quietly(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
