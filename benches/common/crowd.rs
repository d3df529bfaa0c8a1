//! Many small processes below one supervisor: what each of them is, and what is written for each supervisor.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The first word of a bench's command line that makes it one of the processes.
pub const MODE: &str = "inside-crowd";
/// The name of a [`Started`].
pub const STARTED: &str = "started";
/// Nothing here takes so long; a supervisor that never has them all up, or never ends, ends the bench.
const LIMIT: Duration = Duration::from_secs(120);

/// Says that it runs, and waits.
pub fn process(said: &str) -> ! {
    fs::File::options().write(true).open(said).unwrap().write_all(b".").unwrap();
    loop {
        std::thread::park();
    }
}

/// A supervisor, with its configuration for so many processes below a folder that is given.
pub struct Supervisor {
    pub name: &'static str,
    pub program: &'static str,
    /// Which signal ends it.
    pub stop: i32,
    pub configure: fn(&Path, usize) -> Vec<String>,
}

pub const SUPERVISORS: &[Supervisor] = &[
    Supervisor { name: "s6-svscan", program: "s6-svscan", stop: libc::SIGTERM, configure: s6 },
    Supervisor { name: "runsvdir", program: "runsvdir", stop: libc::SIGHUP, configure: runit },
    Supervisor { name: "supervisord", program: "supervisord", stop: libc::SIGTERM, configure: supervisord },
];

/// The number of a file of /proc/PID with lines such as `Rss: 12 kB`.
pub fn field(pid: i32, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// In kB.
pub fn private_dirty(pid: i32) -> u64 {
    field(pid, "smaps_rollup", "Private_Dirty").unwrap_or(0)
}

/// Where the processes below a folder say that they run.
pub struct Started(fs::File);

impl Started {
    pub fn new(dir: &Path) -> Started {
        let fifo = dir.join(STARTED);
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // For writing, too: so it opens at once, and never ends.
        let mut options = fs::File::options();
        Started(options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(fifo).unwrap())
    }

    /// How many have said so, of so many at the least; fewer when they do not come.
    pub fn wait_for(&self, least: usize) -> usize {
        let mut had = 0;
        while had < least {
            let mut asked = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            if poll(&mut asked, PollTimeout::try_from(LIMIT).unwrap_or(PollTimeout::MAX)).unwrap() == 0 {
                break;
            }
            had += self.more();
        }
        had
    }

    /// How many have said so since.
    pub fn more(&self) -> usize {
        nix::unistd::read(&self.0, &mut [0; 4096]).unwrap_or(0)
    }
}

/// Ends a supervisor that is PID 1 in the namespace of `unshare`: in how many seconds.
pub fn end(name: &str, unshare: &mut Child, pid1: i32, stop: i32) -> f64 {
    let began = Instant::now();
    kill(Pid::from_raw(pid1), Signal::try_from(stop).expect("a signal")).unwrap();
    while unshare.try_wait().unwrap().is_none() {
        if began.elapsed() > LIMIT {
            unshare.kill().unwrap();
            panic!("{name} has not ended in {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    began.elapsed().as_secs_f64()
}

/// What each process is: it says that it runs, and waits.
fn command(dir: &Path) -> [String; 3] {
    let this = std::env::current_exe().unwrap();
    [this.display().to_string(), MODE.to_owned(), dir.join(STARTED).display().to_string()]
}

/// The same for who splits it into words, as a shell does.
fn quoted(dir: &Path) -> String {
    command(dir).map(|word| format!("'{word}'")).join(" ")
}

/// softstop's.
pub fn softstop(dir: &Path, count: usize) -> Vec<String> {
    let mut toml = "grace = \"60s\"\ntermination_log = \"\"\n".to_owned();
    for n in 0..count {
        writeln!(toml, "[[process]]\nname = \"p{n}\"\ncommand = {:?}", command(dir)).unwrap();
    }
    let file = dir.join("softstop.toml");
    fs::write(&file, toml).unwrap();
    vec!["run".to_owned(), "-c".to_owned(), file.display().to_string()]
}

/// A folder with a script for each.
fn services(dir: &Path, name: &str, count: usize) -> String {
    let scan = dir.join(name);
    for n in 0..count {
        let service = scan.join(format!("p{n}"));
        fs::create_dir_all(&service).unwrap();
        let run = service.join("run");
        fs::write(&run, format!("#!/bin/sh\nexec {}\n", quoted(dir))).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    }
    scan.display().to_string()
}

fn s6(dir: &Path, count: usize) -> Vec<String> {
    vec!["-c".to_owned(), (2 * count).to_string(), services(dir, "s6", count)]
}

fn runit(dir: &Path, count: usize) -> Vec<String> {
    vec![services(dir, "runit", count)]
}

fn supervisord(dir: &Path, count: usize) -> Vec<String> {
    let command = quoted(dir);
    let folder = dir.display();
    let mut text = format!(
        "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/pid\nminfds=4096\n\
         [unix_http_server]\nfile={folder}/supervisor.sock\n[supervisorctl]\nserverurl=unix://{folder}/supervisor.sock\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
    );
    for n in 0..count {
        let section =
            format!("[program:p{n}]\ncommand={command}\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n");
        text += &section;
    }
    let file = dir.join("supervisord.conf");
    fs::write(&file, text).unwrap();
    vec!["-c".to_owned(), file.display().to_string()]
}
