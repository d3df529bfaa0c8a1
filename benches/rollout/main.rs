//! Rolling restarts behind a real load balancer, under traffic, with the same application under different inits: what fails, and how
//! long it takes, when the balancer learns of a stop later than the application.
//!
//! ```sh
//! cargo bench --bench rollout              # prints the tables; about a quarter of an hour
//! cargo bench --bench rollout -- --quick   # two lags, once each: less than a minute
//! cargo bench --bench rollout -- --write   # and puts it all into docs/rollout.md and docs/rollout.svg
//! ```
//!
//! Needs root (or user namespaces), iproute2 and Debian's `haproxy`; of `tini`, `dumb-init` and `s6` what is missing is left out and said
//! so. softstop is the static release build, made here unless `SOFTSTOP_BENCH_BINARY` names one. `SOFTSTOP_BENCH_ROUNDS` (3).

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::unwrap_used)]

mod app;
mod balancer;
#[path = "../common/mod.rs"]
mod common;
mod inits;
mod instance;
mod load;
mod picture;
mod restart;
mod table;
mod websocket;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use inits::{Fixed, Init};
use restart::Outcome;

/// Says that the bench is in its own network and PID namespace already, and where softstop is.
const INSIDE: &str = "ROLLOUT_SOFTSTOP";
const PAGE: &str = "docs/rollout.md";
const PICTURE: &str = "docs/rollout.svg";

/// What is to be found out.
struct Plan {
    lags: Vec<Duration>,
    /// Lags that are played at the same time; always all inits of one.
    at_once: usize,
    rounds: usize,
    fixed: Fixed,
}

/// Everything that was found: `outcomes[init][lag]` has one outcome a round.
pub struct Results {
    pub inits: Vec<Init>,
    pub lags: Vec<Duration>,
    pub rounds: usize,
    pub outcomes: Vec<Vec<Vec<Outcome>>>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [mode, port] = &args[..]
        && mode == "app"
    {
        return app::run(port);
    }
    if let Some(wrong) = args.iter().find(|a| !["--quick", "--write"].contains(&a.as_str())) {
        eprintln!("rollout: there is no {wrong}; there are --quick and --write");
        return ExitCode::FAILURE;
    }
    let Some(softstop) = std::env::var_os(INSIDE) else { return go_inside(&args) };
    match find_out(Path::new(&softstop), args.iter().any(|a| a == "--quick")) {
        Ok(results) => say(&results, args.iter().any(|a| a == "--write")),
        Err(why) => {
            eprintln!("rollout: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Goes on in namespaces of the bench's own: its ports are nobody else's, and nothing that it starts outlives it.
fn go_inside(args: &[String]) -> ExitCode {
    if common::find("haproxy").is_none() {
        eprintln!(
            "rollout: haproxy is not installed: apt-get install --no-install-recommends haproxy tini dumb-init s6"
        );
        return ExitCode::FAILURE;
    }
    let softstop = common::softstop("rollout");
    let softstop = std::fs::canonicalize(&softstop).unwrap_or(softstop);
    let this = std::env::current_exe().unwrap();
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    let error = unshare.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(this).args(args);
    let error = error.env(INSIDE, softstop).exec();
    eprintln!("rollout: cannot execute unshare, of util-linux: {error}");
    ExitCode::FAILURE
}

fn find_out(softstop: &Path, quick: bool) -> Result<Results, String> {
    // PID 1 of the namespace gets no signal that it does not catch.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal, 1, always).map_err(|e| e.to_string())?;
    }
    let plan = plan(quick);
    let haproxy = common::find("haproxy").ok_or("haproxy is not installed")?;
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rollout");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
    let inits = inits::all(softstop, &dir, &plan.fixed);
    let mut outcomes: Vec<Vec<Vec<Outcome>>> = inits.iter().map(|_| vec![Vec::new(); plan.lags.len()]).collect();
    let count = inits.len();
    let runs: Vec<(usize, usize)> = (0..plan.lags.len()).flat_map(|l| (0..count).map(move |i| (l, i))).collect();
    for round in 0..plan.rounds {
        // All inits of a lag at the same time: whatever else the machine does happens to all of them.
        for together in runs.chunks(plan.at_once * count) {
            let lags = &plan.lags[together[0].0..=together[together.len() - 1].0];
            eprintln!("rollout: round {} of {}, lag {lags:?}", round + 1, plan.rounds);
            let batch = std::thread::scope(|scope| {
                let run = |(l, i): &(usize, usize)| {
                    let number = l * count + i;
                    let (init, lag, haproxy, place) =
                        (&inits[*i], plan.lags[*l], &haproxy, dir.join(format!("{round}-{number}")));
                    let ports = 20_000 + 10 * u16::try_from(number).expect("inits times lags are few");
                    scope.spawn(move || restart::run(init, lag, haproxy, ports, &place))
                };
                let running: Vec<_> = together.iter().map(run).collect();
                running.into_iter().map(|r| r.join().expect("it does not panic")).collect::<Result<Vec<_>, _>>()
            })?;
            for ((l, i), outcome) in together.iter().zip(batch) {
                outcomes[*i][*l].push(outcome);
            }
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
    Ok(Results { inits, lags: plan.lags, rounds: plan.rounds, outcomes })
}

fn plan(quick: bool) -> Plan {
    let lags: &[u64] = if quick { &[0, 2] } else { &[0, 1, 2, 5, 10] };
    let rounds = std::env::var("SOFTSTOP_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok());
    let lags: Vec<Duration> = lags.iter().map(|s| Duration::from_secs(*s)).collect();
    let longest = lags.iter().copied().max().unwrap_or_default();
    // A session that began just before the balancer knew has to end, too, but for what the application gives it by itself; and one
    // second for whoever is slow.
    let tail = Duration::from_millis(load::SESSION_MS.1).saturating_sub(app::SHUTDOWN) + Duration::from_secs(1);
    let fixed = Fixed { longest, sleep: longest + tail };
    let at_once = if quick { lags.len() } else { 1 };
    Plan { lags, at_once, rounds: rounds.unwrap_or(if quick { 1 } else { 3 }), fixed }
}

fn say(results: &Results, write: bool) -> ExitCode {
    let text = table::markdown(results);
    println!("{text}");
    if write {
        let drawn = picture::svg(results);
        let written = common::write_into(PAGE, "rollout", &text)
            .and_then(|()| std::fs::write(PICTURE, drawn).map_err(|e| format!("cannot write {PICTURE}: {e}")));
        if let Err(error) = written {
            eprintln!("rollout: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
