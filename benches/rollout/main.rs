//! Rolling restarts under traffic, with the same application under different inits and behind different edges: what fails, and how long it
//! takes, when whoever sends the traffic learns of a stop later than the application.
//!
//! ```sh
//! cargo bench --bench rollout              # prints the tables; three rounds, half an hour
//! cargo bench --bench rollout -- --rounds 1
//! cargo bench --bench rollout -- --quick   # two lags, once each: a minute
//! cargo bench --bench rollout -- --only auto --lags 0,6   # rows whose edge or init has this in its name
//! cargo bench --bench rollout -- --write   # and puts it all into docs/rollout.md, docs/rollout/counts.md and docs/rollout.svg
//! ```
//!
//! Needs root (or user namespaces), iproute2 and Debian's `haproxy`; of `tini`, `dumb-init`, `s6`, `nginx-light` and python3-venv (with grpcio from
//! PyPI) what is missing is left out and said so. softstop is the static release build, made here unless `SOFTSTOP_BENCH_BINARY` names one.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::unwrap_used)]

mod app;
#[path = "../common/mod.rs"]
mod common;
mod edge;
mod grpc;
mod haproxy;
mod inits;
mod instance;
mod load;
mod nginx;
#[path = "../common/nginx.rs"]
mod nginx_command;
mod picture;
mod recipes;
mod restart;
mod server;
mod table;
mod websocket;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use edge::{Behind, Tools};
use inits::{Fixed, Row};
use restart::Outcome;

/// Says that the bench is in its own network and PID namespace already, and where softstop is.
const INSIDE: &str = "ROLLOUT_SOFTSTOP";
const PAGE: &str = "docs/rollout.md";
const COUNTS: &str = "docs/rollout/counts.md";
const PICTURE: &str = "docs/rollout.svg";

/// What is to be found out.
struct Plan {
    lags: Vec<Duration>,
    /// Lags that are played at the same time; always all rows of one.
    at_once: usize,
    rounds: usize,
    fixed: Fixed,
    /// Rows without this in their names are left out.
    only: String,
}

/// Everything that was found: `outcomes[row][lag]` has one outcome a round.
pub struct Results {
    pub rows: Vec<Row>,
    pub lags: Vec<Duration>,
    pub rounds: usize,
    pub outcomes: Vec<Vec<Vec<Outcome>>>,
}

/// The command line.
#[derive(Default)]
struct Options {
    quick: bool,
    write: bool,
    rounds: Option<usize>,
    lags: Option<Vec<u64>>,
    only: String,
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: &str| text.parse().map_err(|_| format!("{arg}: {text:?} is no number"));
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--write" => options.write = true,
            "--rounds" => options.rounds = Some(number(value()?)?),
            "--lags" => {
                options.lags = Some(value()?.split(',').map(|n| number(n).map(|n| n as u64)).collect::<Result<_, _>>()?)
            }
            "--only" => options.only = value()?.clone(),
            _ => {
                return Err(format!(
                    "there is no {arg}; there are --quick, --write, --rounds N, --lags N,N and --only TEXT"
                ));
            }
        }
    }
    if options.write && (!options.only.is_empty() || options.lags.is_some()) {
        return Err("--write is for all rows and lags".to_owned());
    }
    Ok(options)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [mode, port] = &args[..]
        && mode == "app"
    {
        return app::run(port);
    }
    let done = options(&args).and_then(|options| match std::env::var_os(INSIDE) {
        None => Err(go_inside(&args)),
        Some(softstop) => find_out(Path::new(&softstop), &options).and_then(|found| say(&found, options.write)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("rollout: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Goes on in namespaces of the bench's own: its ports are nobody else's, and nothing that it starts outlives it.
/// Returns why it cannot.
fn go_inside(args: &[String]) -> String {
    if common::find("haproxy").is_none() {
        return "haproxy is not installed: apt-get install --no-install-recommends haproxy nginx-light tini dumb-init s6".into();
    }
    // In the namespaces there is no network to fetch it from.
    if let Err(why) = grpc::python() {
        eprintln!("rollout: no grpcio, so the rows of gRPC are left out: {why}");
    }
    let softstop = common::softstop("rollout", &[]);
    let softstop = std::fs::canonicalize(&softstop).unwrap_or(softstop);
    let this = std::env::current_exe().unwrap();
    let error = common::unshare(&["--net"]).arg(this).args(args).env(INSIDE, softstop).exec();
    format!("cannot execute unshare, of util-linux: {error}")
}

/// The rows of the first table, and those behind other edges.
fn rows(softstop: &Path, dir: &Path, plan: &Plan, tools: &Tools) -> Vec<Row> {
    let inits = inits::all(softstop, dir, &plan.fixed);
    let first = inits.iter().map(|init| Row { behind: Behind::Haproxy, init: init.clone(), long: true });
    // The one beside them shows that there would be something to lose.
    let others = Behind::EDGES.into_iter().flat_map(|behind| {
        let shown = inits.iter().filter(|init| ["tini", "idle", "auto"].contains(&init.class));
        // How soon a drain is over after the last request shows where none takes long; that those which do are waited for, in a row more.
        let short = shown.map(move |init| Row { behind, init: init.clone(), long: false });
        let keeps = [Behind::NginxPool, Behind::HaproxyPool, Behind::Grpc].contains(&behind);
        let long = inits.iter().filter(move |init| keeps && init.class == "idle");
        short.chain(long.map(move |init| Row { behind, init: init.clone(), long: true }))
    });
    let recipes = inits::recipes(softstop).into_iter().map(|init| Row { behind: Behind::Endless, init, long: false });
    let possible = |row: &Row| match row.behind {
        Behind::NginxPool => tools.nginx.is_some(),
        Behind::Grpc => tools.python.is_some(),
        _ => true,
    };
    let wanted = |row: &Row| row.init.name.contains(&plan.only) || row.behind.name().contains(&plan.only);
    first.chain(others).chain(recipes).filter(|row| possible(row) && wanted(row)).collect()
}

fn find_out(softstop: &Path, options: &Options) -> Result<Results, String> {
    // PID 1 of the namespace gets no signal that it does not catch.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal, 1, always).map_err(|e| e.to_string())?;
    }
    let plan = plan(options);
    let tools = Tools {
        haproxy: common::find("haproxy").ok_or("haproxy is not installed")?,
        nginx: common::find("nginx"),
        python: grpc::python().ok(),
    };
    if tools.nginx.is_none() {
        eprintln!("rollout: nginx is not installed, so its rows are left out: apt-get install nginx-light");
    }
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rollout");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
    let rows = rows(softstop, &dir, &plan, &tools);
    let mut outcomes: Vec<Vec<Vec<Outcome>>> = rows.iter().map(|_| vec![Vec::new(); plan.lags.len()]).collect();
    // All rows of a table at the same time: whatever else the machine does happens to all of them.
    let mut groups = [const { Vec::new() }; 3];
    for (i, row) in rows.iter().enumerate() {
        let group = match row.behind {
            Behind::Haproxy => 0,
            Behind::Endless => 1,
            _ => 2,
        };
        groups[group].push(i);
    }
    for round in 0..plan.rounds {
        for lags in (0..plan.lags.len()).collect::<Vec<_>>().chunks(plan.at_once) {
            for group in groups.iter().filter(|group| !group.is_empty()) {
                let shown: Vec<_> = lags.iter().map(|l| plan.lags[*l]).collect();
                eprintln!("rollout: round {} of {}, lag {shown:?}, {} rows", round + 1, plan.rounds, group.len());
                let together: Vec<_> = lags.iter().flat_map(|l| group.iter().map(move |i| (*l, *i))).collect();
                let batch = std::thread::scope(|scope| {
                    let run = |(number, (l, i)): (usize, &(usize, usize))| {
                        let place = dir.join(format!("{round}-{l}-{i}"));
                        let ports = 20_000 + restart::PORTS * u16::try_from(number).expect("inits times lags are few");
                        let (row, lag, tools) = (&rows[*i], plan.lags[*l], &tools);
                        scope.spawn(move || restart::run(row, lag, tools, ports, &place))
                    };
                    let running: Vec<_> = together.iter().enumerate().map(run).collect();
                    running.into_iter().map(|r| r.join().expect("it does not panic")).collect::<Result<Vec<_>, _>>()
                })?;
                for ((l, i), outcome) in together.iter().zip(batch) {
                    outcomes[*i][*l].push(outcome);
                }
            }
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
    Ok(Results { rows, lags: plan.lags, rounds: plan.rounds, outcomes })
}

fn plan(options: &Options) -> Plan {
    let usual: &[u64] = if options.quick { &[0, 2] } else { &[0, 1, 2, 5, 10] };
    let lags = options.lags.clone().unwrap_or_else(|| usual.to_vec());
    let lags: Vec<Duration> = lags.into_iter().map(Duration::from_secs).collect();
    let longest = lags.iter().copied().max().unwrap_or_default();
    // A session that began just before the balancer knew has to end, too, but for what the application gives it by itself; and one
    // second for whoever is slow.
    let tail = Duration::from_millis(load::SESSION_MS.1).saturating_sub(app::SHUTDOWN) + Duration::from_secs(1);
    let fixed = Fixed { longest, sleep: longest + tail };
    let at_once = if options.quick { lags.len() } else { 1 };
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    Plan { lags, at_once, rounds, fixed, only: options.only.clone() }
}

fn say(results: &Results, write: bool) -> Result<(), String> {
    let (text, counts) = (table::markdown(results), table::counts(results));
    println!("{text}\n{counts}");
    if write {
        common::write_into(PAGE, "rollout", &text)?;
        common::write_into(COUNTS, "counts", &counts)?;
        let drawn = picture::svg(&results.first());
        std::fs::write(PICTURE, drawn).map_err(|e| format!("cannot write {PICTURE}: {e}"))?;
    }
    Ok(())
}

impl Results {
    /// Those of the first table: one edge, all inits.
    fn first(&self) -> Results {
        self.only(|row| row.behind == Behind::Haproxy)
    }

    fn only(&self, wanted: impl Fn(&Row) -> bool) -> Results {
        let (rows, outcomes) = self
            .rows
            .iter()
            .zip(&self.outcomes)
            .filter(|(row, _)| wanted(row))
            .map(|(row, outcomes)| (row.clone(), outcomes.clone()))
            .unzip();
        Results { rows, lags: self.lags.clone(), rounds: self.rounds, outcomes }
    }
}
