//! Many processes below one supervisor, each as PID 1: how long they take to start and to stop, and the memory of whoever looks after them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{children, find, median, unshare};
use crate::crowd::{self, SUPERVISORS, Started, Supervisor};
use crate::{Sizes, quietly, this};

/// After the last process was started, so that what follows a start is over, too.
const SETTLE: Duration = Duration::from_secs(1);

/// One start and stop.
struct Crowd {
    started: f64,
    stopped: f64,
    /// Private and dirty, of everything that is not one of the processes, in kB for each of them.
    memory: f64,
}

pub fn markdown(softstop: &Path, dir: &Path, sizes: &Sizes) -> String {
    table(softstop, dir, sizes.crowd, sizes.crowd_rounds, SUPERVISORS)
        + &table(softstop, dir, sizes.great_crowd, sizes.crowd_rounds, &[])
}

fn table(softstop: &Path, dir: &Path, count: usize, rounds: usize, supervisors: &[Supervisor]) -> String {
    eprintln!("compare: {count} processes");
    let dir = dir.join(format!("crowd-{count}"));
    fs::create_dir_all(&dir).unwrap();
    let said = Started::new(&dir);
    let mut rows: Vec<(&str, Command, i32, Vec<Crowd>)> = Vec::new();
    let mut add = |name, program: &Path, args: Vec<String>, stop| {
        let mut command = unshare(&[]);
        command.arg(program).args(args).env("STARTED", dir.join(crowd::STARTED));
        rows.push((name, command, stop, Vec::new()));
    };
    add("posix_spawn in a loop", &this(), vec!["inside-loop".to_owned(), count.to_string()], libc::SIGTERM);
    add("softstop", softstop, crowd::softstop(&dir, count), libc::SIGTERM);
    let mut missing = Vec::new();
    for supervisor in supervisors {
        match find(supervisor.program) {
            Some(path) => add(supervisor.name, &path, (supervisor.configure)(&dir, count), supervisor.stop),
            None => missing.push(supervisor.name),
        }
    }
    for _ in 0..rounds {
        for (name, command, stop, found) in &mut rows {
            found.push(crowd(name, &said, command, *stop, count));
        }
    }
    let mut text = format!(
        "\n| {count} processes, median of {rounds} | started | stopped | private memory for each |\n|---|---|---|---|\n"
    );
    for (name, _, _, found) in &rows {
        let of = |what: fn(&Crowd) -> f64| median(found.iter().map(what));
        let (started, stopped, memory) = (of(|c| c.started), of(|c| c.stopped), of(|c| c.memory));
        writeln!(text, "| {name} | {started:.3} s | {stopped:.3} s | {memory:.1} kB |").unwrap();
    }
    for name in missing {
        eprintln!("compare: {name} is not installed and left out");
    }
    text.push_str("| *aim for softstop* | ≤ 1.5 × the loop | ≤ 2 × the loop | ≤ 5 kB |\n");
    text
}

fn crowd(name: &str, said: &Started, command: &mut Command, stop: i32, count: usize) -> Crowd {
    let began = Instant::now();
    let mut unshare = quietly(command).spawn().unwrap();
    let up = said.wait_for(count);
    if up < count {
        unshare.kill().unwrap();
        panic!("{name}: {} of {count} processes were not started", count - up);
    }
    let started = began.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let pid1 = *children(unshare.id() as i32).first().expect("it runs");
    let memory = supervisors(pid1).into_iter().map(crowd::private_dirty).sum::<u64>() as f64 / count as f64;
    Crowd { started, stopped: crowd::end(name, &mut unshare, pid1, stop), memory }
}

/// It, and whom it has to help.
fn supervisors(pid1: i32) -> Vec<i32> {
    let helpers = children(pid1).into_iter().filter(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        ["s6-supervise", "runsv"].contains(&name.trim())
    });
    [pid1].into_iter().chain(helpers).collect()
}
