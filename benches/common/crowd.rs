//! Many small processes below one supervisor: what each of them is, and what is written for each supervisor.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The first word of a bench's command line that makes it one of the processes.
pub const MODE: &str = "inside-crowd";

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

/// In kB.
pub fn private_dirty(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("Private_Dirty:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// What each process is: it says that it runs, and waits.
fn command(dir: &Path) -> [String; 3] {
    let this = std::env::current_exe().unwrap();
    [this.display().to_string(), MODE.to_owned(), dir.join("started").display().to_string()]
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
