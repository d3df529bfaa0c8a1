//! One real stack (nginx, php-fpm, redis, a queue's worker, a cron job) under softstop, supervisord, s6 and runit: how it starts, what the crash
//! of each part comes to, what a changed setting takes, and what the stop under load loses. And five hundred processes below each.
//!
//! ```sh
//! cargo bench --bench supervisors              # prints the tables: three rounds, seven minutes once all is built
//! cargo bench --bench supervisors -- --write   # and puts them into docs/comparison.md
//! cargo bench --bench supervisors -- --quick   # one round, fifty processes
//! cargo bench --bench supervisors -- --only softstop --only runit
//! ```
//!
//! Needs root, iproute2, util-linux and Debian's `nginx-light`, `php-fpm`, `redis-server`, `python3-redis`, `cron`; of `supervisor`, `s6` with
//! `execline`, and `runit` what is missing is left out and said so. softstop is the static release build, made here unless
//! `SOFTSTOP_BENCH_BINARY` names one. What is configured for each: examples/comparison. It runs in network, PID and mount namespaces of its own.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/crowd.rs"]
mod crowd;
mod load;
mod many;
mod round;
mod stack;
mod table;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use round::Outcome;
use stack::{TOOLS, Tool};

const PAGE: &str = "docs/comparison.md";
/// The stop is requested when a cron job is under way, so a round begins so long before a minute does: what comes before takes less.
const BEFORE_THE_MINUTE: u64 = 58;

struct Options {
    rounds: usize,
    processes: usize,
    write: bool,
    only: Vec<String>,
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { rounds: 3, processes: 500, write: false, only: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--quick" => (options.rounds, options.processes) = (1, 50),
            "--write" => options.write = true,
            "--rounds" => options.rounds = value()?.parse().map_err(|_| "--rounds needs a number".to_owned())?,
            "--processes" => {
                options.processes = value()?.parse().map_err(|_| "--processes needs a number".to_owned())?
            }
            "--only" => options.only.push(value()?.clone()),
            _ => {
                return Err(format!(
                    "there is no {arg}; there are --quick, --write, --rounds N, --processes N and --only TOOL"
                ));
            }
        }
    }
    if options.write && !options.only.is_empty() {
        return Err("--write is for all of them".to_owned());
    }
    Ok(options)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let done = match args.first().map(String::as_str) {
        // What runs inside the namespaces is this program again.
        Some("inside-stack") => inside(&args[1..]),
        Some(crowd::MODE) => crowd::process(&args[1]),
        _ => options(&args).and_then(|options| find_out(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("supervisors: {why}");
            ExitCode::FAILURE
        }
    }
}

fn find_out(options: &Options) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("it needs root: php-fpm, redis and cron change their users".to_owned());
    }
    for program in stack::NEEDS {
        if common::find(program).is_none() {
            return Err(format!(
                "{program} is not installed: apt-get install nginx-light php-fpm redis-server python3-redis cron supervisor s6 execline runit iproute2"
            ));
        }
    }
    let there = |tool: &&Tool| {
        let wanted = options.only.is_empty() || options.only.iter().any(|name| name == tool.name);
        let missing = tool.needs.iter().find(|program| common::find(program).is_none());
        if let (true, Some(missing)) = (wanted, missing) {
            eprintln!("supervisors: {missing} is not installed, so {} is left out", tool.name);
        }
        wanted && missing.is_none()
    };
    let tools: Vec<&Tool> = TOOLS.iter().filter(there).collect();
    let softstop = common::softstop("supervisors", &[]);
    let softstop = std::fs::canonicalize(&softstop).map_err(|e| format!("{}: {e}", softstop.display()))?;
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("supervisors");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
    let mut outcomes: Vec<Vec<Outcome>> = tools.iter().map(|_| Vec::new()).collect();
    for round in 0..options.rounds {
        let minute = next_minute();
        eprintln!("supervisors: round {} of {}", round + 1, options.rounds);
        for (found, outcome) in
            outcomes.iter_mut().zip(one_round(&tools, &softstop, &dir.join(round.to_string()), minute))
        {
            found.push(outcome?);
        }
    }
    let mut text = table::markdown(&tools, &outcomes);
    text += &many::markdown(&softstop, &dir, options.processes, &tools);
    text += &format!("\n{} rounds, all of them at the same time; {}.\n", options.rounds, common::machine());
    println!("{text}");
    if options.write {
        common::write_into(PAGE, "comparison", &text)?;
    }
    Ok(())
}

/// Waits until the next minute is far enough away; when it begins, in seconds since 1970.
fn next_minute() -> u64 {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (minute, left) = (now / 60 * 60 + 60, 60 - now % 60);
        if left >= BEFORE_THE_MINUTE {
            return minute;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// All of them at the same time: whatever else the machine does happens to all.
fn one_round(tools: &[&Tool], softstop: &Path, dir: &Path, minute: u64) -> Vec<Result<Outcome, String>> {
    let this = std::env::current_exe().unwrap();
    let start = |tool: &&Tool| {
        let place = dir.join(tool.name);
        std::fs::create_dir_all(&place).map_err(|e| format!("cannot make {}: {e}", place.display()))?;
        common::unshare(&["--net", "--mount"])
            .arg(&this)
            .args(["inside-stack", tool.name])
            .arg(softstop)
            .arg(&place)
            .arg(minute.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("unshare, of util-linux: {e}"))
    };
    let running: Vec<_> = tools.iter().map(start).collect();
    let ended = |(tool, child): (&&Tool, Result<std::process::Child, String>)| {
        let output = child?.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("{}: see above, and {}", tool.name, dir.join(tool.name).display()));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| format!("{}: {e}", tool.name))
    };
    tools.iter().zip(running).map(ended).collect()
}

fn inside(args: &[String]) -> Result<(), String> {
    let [tool, softstop, place, minute] = args else {
        return Err("inside-stack TOOL SOFTSTOP PLACE MINUTE".to_owned());
    };
    let tool = TOOLS.iter().find(|t| t.name == tool).ok_or("no such tool")?;
    let minute = minute.parse().map_err(|_| "no minute")?;
    let outcome =
        round::run(tool, Path::new(softstop), Path::new(place), minute).map_err(|e| format!("{}: {e}", tool.name))?;
    println!("{}", serde_json::to_string(&outcome).map_err(|e| e.to_string())?);
    Ok(())
}
