//! One round under one supervisor: the start, the crash of each part, a setting that has changed, the stop under load, and a second start that
//! finishes what the first has left.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::load::{Answer, Clients, Request, get, outage};
use crate::stack::{PARTS, Stack, Tool, change_setting, set_up, state};

const TICK: Duration = Duration::from_millis(20);
/// Until everything runs, or nothing that was begun is missing.
const START_LIMIT: Duration = Duration::from_secs(20);
/// What has not come back by then does not by itself.
const CRASH_LIMIT: Duration = Duration::from_secs(7);
/// Who has run for so long has started; nginx tries for 2.5 s to have its port.
const STAYS: Duration = Duration::from_secs(1);
const NGINX_STAYS: Duration = Duration::from_secs(3);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// The load begins so long before the minute, and the stop is requested so long after it: cron's job takes ten seconds.
const LOAD_BEFORE: Duration = Duration::from_secs(5);
const STOP_AFTER: Duration = Duration::from_millis(2500);
/// Requests of seconds, and how many are made at the same time.
const SLOW: (&str, usize) = ("/?sleep=2.5", 6);
const FAST: usize = 3;

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct Outcome {
    /// Until the first good answer, in seconds; answers before it that said that something is missing.
    pub started: f64,
    pub too_early: usize,
    /// How often the worker was started until it ran.
    pub worker_starts: usize,
    pub crashes: BTreeMap<String, Crash>,
    /// What the supervisor says why it cannot, or what came of it.
    pub reload: Option<Reload>,
    pub memory_kb: u64,
    pub zombies: usize,
    pub stop: Stop,
}

/// One part's main process was killed.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct Crash {
    /// Seconds until it was started again and stayed; `None`: it did not.
    pub again: Option<f64>,
    /// Seconds without answers, and requests that got none.
    pub outage: f64,
    pub failed: usize,
    /// Processes of the killed one that still run at the end.
    pub left: usize,
}

/// A setting of the worker was changed.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct Reload {
    pub seconds: f64,
    pub failed: usize,
    /// Who was started anew.
    pub restarted: Vec<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct Stop {
    pub seconds: f64,
    pub exit_code: Option<i32>,
    /// Requests that had begun before it, and those of them without a good answer.
    pub under_way: usize,
    pub lost: usize,
    /// Those that began after it and got no good answer, though somebody took the connection.
    pub afterwards: usize,
    /// Jobs that the stack had taken on; of these: never done, done twice, and begun again.
    pub jobs: usize,
    pub jobs_lost: usize,
    pub jobs_twice: usize,
    pub jobs_again: usize,
    /// The cron job that was under way was finished.
    pub cron_finished: bool,
    /// redis and the worker have said that they end.
    pub clean: bool,
}

pub fn run(tool: &Tool, softstop: &Path, place: &Path, minute: u64) -> Result<Outcome, String> {
    set_up(tool, softstop, place)?;
    let log = place.join("log");
    let minute = at(minute);
    let mut outcome = Outcome::default();
    let mut stack = start(tool, &log, &mut outcome)?;
    for (part, _) in PARTS.iter().filter(|(part, _)| *part != "cron" || tool.cron) {
        let crash = crash(tool, &stack, part)?;
        outcome.crashes.insert((*part).to_owned(), crash);
    }
    outcome.reload = reload(tool, &stack)?;
    outcome.zombies = stack.zombies();
    outcome.memory_kb = stack.supervision();
    if Instant::now() + LOAD_BEFORE > minute {
        return Err("it was not ready for the stop in time".to_owned());
    }
    outcome.stop = stop(tool, &mut stack, &log, minute)?;
    Ok(outcome)
}

/// Of the wall's clock.
fn at(second: u64) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Instant::now() + Duration::from_secs(second).saturating_sub(now)
}

fn wait_until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let limit = Instant::now() + limit;
    while !holds() {
        if Instant::now() > limit {
            return Err(format!("{what}: not in time"));
        }
        sleep(TICK);
    }
    Ok(())
}

/// Each part has one main process, and a request gets its answer.
fn is_whole(tool: &Tool, stack: &Stack) -> bool {
    let parts = PARTS.iter().filter(|(part, _)| *part != "cron" || tool.cron);
    parts.into_iter().all(|(part, _)| stack.masters(part).len() == 1) && get("/").answer == Answer::Good
}

fn start(tool: &Tool, log: &Path, outcome: &mut Outcome) -> Result<Stack, String> {
    let began = Instant::now();
    let stack = Stack::start(tool, log)?;
    loop {
        let request = get("/");
        match request.answer {
            Answer::Good => {
                outcome.started = (request.ended - began).as_secs_f64();
                break;
            }
            Answer::Bad => outcome.too_early += 1,
            Answer::Refused => {}
        }
        if began.elapsed() > START_LIMIT {
            return Err(format!("it does not serve; see {}", log.display()));
        }
        sleep(Duration::from_millis(10));
    }
    wait_until(START_LIMIT, "the start", || is_whole(tool, &stack))?;
    // The worker has found its queue, or ends soon.
    sleep(STAYS);
    wait_until(START_LIMIT, "the worker's start", || is_whole(tool, &stack))?;
    outcome.worker_starts = state("jobs").iter().filter(|line| line.starts_with("start")).count();
    Ok(stack)
}

fn crash(tool: &Tool, stack: &Stack, part: &str) -> Result<Crash, String> {
    let old: Vec<i32> = stack.of(part).iter().map(|p| p.pid).collect();
    let [master] = stack.masters(part)[..] else { return Err(format!("{part} has not one main process")) };
    let clients = Clients::probing();
    sleep(Duration::from_millis(200));
    let killed = Instant::now();
    kill(Pid::from_raw(master), Signal::SIGKILL).map_err(|e| e.to_string())?;
    let stays = if part == "nginx" { NGINX_STAYS } else { STAYS };
    let (mut candidate, mut again): (Option<(i32, Instant)>, Option<Duration>) = (None, None);
    while killed.elapsed() < CRASH_LIMIT && !(again.is_some() && clients.are_served(killed)) {
        sleep(TICK);
        let new = stack.masters(part).into_iter().find(|pid| !old.contains(pid));
        match (new, candidate) {
            (Some(pid), Some((known, since))) if pid == known => {
                if again.is_none() && since.elapsed() > stays {
                    again = Some(since - killed);
                }
            }
            (new, _) => candidate = new.map(|pid| (pid, Instant::now())),
        }
    }
    let left: Vec<i32> = stack.of(part).iter().map(|p| p.pid).filter(|pid| old.contains(pid)).collect();
    let requests = clients.end();
    let (failed, dark) = outage(&requests);
    note(tool, &format!("{part} killed"), &requests);
    // What follows needs a whole one.
    for pid in &left {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    if again.is_none() && !tool.revive.is_empty() {
        sleep(Duration::from_millis(200));
        stack.exec(tool.revive)?;
    }
    wait_until(START_LIMIT, &format!("{part} again"), || is_whole(tool, stack))?;
    Ok(Crash { again: again.map(|d| d.as_secs_f64()), outage: dark.as_secs_f64(), failed, left: left.len() })
}

fn reload(tool: &Tool, stack: &Stack) -> Result<Option<Reload>, String> {
    let parts = || PARTS.map(|(part, _)| (part, stack.masters(part)));
    let before = parts();
    change_setting(tool)?;
    let clients = Clients::probing();
    let began = Instant::now();
    let output = stack.exec(tool.reload)?;
    if !output.status.success() {
        clients.end();
        eprintln!("supervisors: {}: {}", tool.name, String::from_utf8_lossy(&output.stderr).trim());
        return Ok(None);
    }
    wait_until(START_LIMIT, "the changed worker", || state("jobs").iter().any(|line| line == "start two"))?;
    let seconds = began.elapsed().as_secs_f64();
    wait_until(START_LIMIT, "all after the reload", || is_whole(tool, stack))?;
    let requests = clients.end();
    let (failed, _) = outage(&requests);
    note(tool, "reload", &requests);
    let changed = before.into_iter().zip(parts()).filter(|(before, after)| before != after);
    Ok(Some(Reload { seconds, failed, restarted: changed.map(|((part, _), _)| part.to_owned()).collect() }))
}

/// For whoever wonders why: the bad answers, each kind once.
fn note(tool: &Tool, when: &str, requests: &[Request]) {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for request in requests.iter().filter(|r| r.answer == Answer::Bad) {
        *kinds.entry(&request.why).or_default() += 1;
    }
    for (why, count) in kinds {
        eprintln!("supervisors: {}, {when}: {count} × {why}", tool.name);
    }
}

/// The clients that a stop meets, and the names of the jobs that they ask for.
fn load() -> Clients {
    let mut clients = Clients::new();
    for n in 0..FAST {
        clients.add(Duration::from_millis(10 * n as u64), Duration::from_millis(25), true, |_| "/".to_owned());
    }
    for n in 0..SLOW.1 {
        clients.add(Duration::from_millis(400 * n as u64), Duration::ZERO, true, |_| SLOW.0.to_owned());
    }
    // A little faster than they are done, so that there are some at the stop.
    clients.add(Duration::ZERO, Duration::from_millis(700), true, |number| format!("/?job=job-{number}"));
    clients
}

fn stop(tool: &Tool, stack: &mut Stack, log: &Path, minute: Instant) -> Result<Stop, String> {
    sleep((minute - LOAD_BEFORE).saturating_duration_since(Instant::now()));
    let clients = load();
    sleep((minute + STOP_AFTER).saturating_duration_since(Instant::now()));
    let requested = Instant::now();
    stack.stop()?;
    let exit_code = stack.ended(STOP_LIMIT)?;
    let seconds = requested.elapsed().as_secs_f64();
    let requests = clients.end();
    let begun = state("cleanups").iter().filter(|l| l.starts_with("begin")).count();
    if begun == 0 {
        return Err("no cron job was under way at the stop".to_owned());
    }
    let cron_finished = begun == state("cleanups").iter().filter(|l| l.starts_with("done")).count();
    let bye = state("redis.log").last().is_some_and(|line| line.contains("bye bye"));
    let clean = bye && state("jobs").last().is_some_and(|line| line == "end");
    let jobs: Vec<&str> =
        requests.iter().filter(|r| r.answer == Answer::Good).filter_map(|r| r.path.strip_prefix("/?job=")).collect();
    let count = |word: &str, job: &str| state("jobs").iter().filter(|l| **l == format!("{word} {job}")).count();
    // The second start: whoever was taken on is done, or lost.
    let mut again = Stack::start(tool, log)?;
    let limit = Instant::now() + Duration::from_secs(8) + Duration::from_secs(jobs.len() as u64);
    while jobs.iter().any(|job| count("done", job) == 0) && Instant::now() < limit {
        sleep(Duration::from_millis(100));
    }
    again.stop()?;
    again.ended(STOP_LIMIT)?;
    note(tool, "stop", &requests);
    let (before, after): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.began < requested);
    let jobs_that = |holds: &dyn Fn(&str) -> bool| jobs.iter().filter(|job| holds(job)).count();
    Ok(Stop {
        seconds,
        exit_code,
        under_way: before.iter().filter(|r| r.ended >= requested).count(),
        lost: before.iter().filter(|r| r.answer != Answer::Good).count(),
        afterwards: after.iter().filter(|r| r.answer == Answer::Bad).count(),
        jobs: jobs.len(),
        jobs_lost: jobs_that(&|job| count("done", job) == 0),
        jobs_twice: jobs_that(&|job| count("done", job) > 1),
        jobs_again: jobs_that(&|job| count("done", job) == 1 && count("begin", job) > 1),
        cron_finished,
        clean,
    })
}
