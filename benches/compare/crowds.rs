//! Many processes below one supervisor, each as PID 1: how long they take to start and to stop, and the memory of whoever looks after them.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::common::{children, find};
use crate::crowd::{self, SUPERVISORS, Supervisor};
use crate::{Sizes, as_pid1, median, quietly, this};

/// Nothing here takes so long; a supervisor that never has them all up, or never ends, ends the bench.
const LIMIT: Duration = Duration::from_secs(120);
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
    nix::unistd::mkfifo(&dir.join("started"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut rows: Vec<(&str, Command, i32, Vec<Crowd>)> = Vec::new();
    let mut add = |name, program: &Path, args: Vec<String>, stop| {
        let mut command = as_pid1(program);
        command.args(args).env("STARTED", dir.join("started"));
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
            found.push(crowd(name, &dir, command, *stop, count));
        }
    }
    let mut text = format!(
        "\n| {count} processes, median of {rounds} | started | stopped | private memory for each |\n|---|---|---|---|\n"
    );
    for (name, _, _, found) in &rows {
        let of = |what: fn(&Crowd) -> f64| median(found.iter().map(what).collect());
        let (started, stopped, memory) = (of(|c| c.started), of(|c| c.stopped), of(|c| c.memory));
        writeln!(text, "| {name} | {started:.3} s | {stopped:.3} s | {memory:.1} kB |").unwrap();
    }
    for name in missing {
        eprintln!("compare: {name} is not installed and left out");
    }
    text.push_str("| *aim for softstop* | ≤ 1.5 × the loop | ≤ 2 × the loop | ≤ 5 kB |\n");
    text
}

fn crowd(name: &str, dir: &Path, command: &mut Command, stop: i32, count: usize) -> Crowd {
    // For writing, too: so it opens at once, and never ends.
    let mut options = fs::File::options();
    options.read(true).write(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, OFlag::O_NONBLOCK.bits());
    let said = options.open(dir.join("started")).unwrap();
    let began = Instant::now();
    let mut unshare = quietly(command).spawn().unwrap();
    let mut left = count;
    while left > 0 {
        let mut asked = [PollFd::new(said.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut asked, PollTimeout::try_from(LIMIT).unwrap_or(PollTimeout::MAX)).unwrap();
        if ready == 0 {
            unshare.kill().unwrap();
            panic!("{name}: {left} of {count} processes were not started in {LIMIT:?}");
        }
        let mut bytes = [0; 4096];
        left -= nix::unistd::read(&said, &mut bytes).unwrap_or(0).min(left);
    }
    let started = began.elapsed();
    std::thread::sleep(SETTLE);
    let pid1 = *children(unshare.id() as i32).first().expect("it runs");
    let memory = supervisors(pid1).into_iter().map(crowd::private_dirty).sum::<u64>() as f64 / count as f64;
    let began = Instant::now();
    // SAFETY: no memory is involved; the pid is that of a process that nobody has waited for.
    assert_eq!(unsafe { libc::kill(pid1, stop) }, 0);
    while unshare.try_wait().unwrap().is_none() {
        if began.elapsed() > LIMIT {
            unshare.kill().unwrap();
            panic!("{name} has not ended in {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Crowd { started: started.as_secs_f64(), stopped: began.elapsed().as_secs_f64(), memory }
}

/// It, and whom it has to help.
fn supervisors(pid1: i32) -> Vec<i32> {
    let helpers = children(pid1).into_iter().filter(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        ["s6-supervise", "runsv"].contains(&name.trim())
    });
    [pid1].into_iter().chain(helpers).collect()
}
