//! gRPC: a service and clients by grpcio (`calls.py`), as people have them; an HTTP/2 of one's own would prove nothing.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::load::{Kind, Tallies};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rollout/calls.py");
/// A virtual environment with grpcio and gunicorn, beside what cargo builds.
pub const VENV: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/rollout-venv");

/// The python that has grpcio. It is made here if need be; the reason when that is not possible.
pub fn python() -> Result<PathBuf, String> {
    let python = Path::new(VENV).join("bin/python");
    let has = || Command::new(&python).args(["-c", "import grpc, gunicorn"]).output().is_ok_and(|o| o.status.success());
    if has() {
        return Ok(python);
    }
    eprintln!("rollout: installing grpcio and gunicorn from PyPI into {VENV}");
    // Not by `bin/pip`, whose first line names its python by its path, blanks and all.
    let venv = python.display().to_string();
    for command in [&["python3", "-m", "venv", VENV][..], &[&venv, "-m", "pip", "install", "-q", "grpcio", "gunicorn"]]
    {
        let done = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).status();
        if !done.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Err(format!("{}: {done:?}", command.join(" ")));
        }
    }
    if has() { Ok(python) } else { Err(format!("{} cannot import grpc", python.display())) }
}

/// The command of the service.
pub fn service(python: &Path, port: u16) -> Vec<String> {
    vec![python.display().to_string(), SCRIPT.to_owned(), "server".to_owned(), port.to_string()]
}

pub struct Clients {
    child: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Clients {
    pub fn start(python: &Path, dir: &Path) -> Result<Clients, String> {
        let log = std::fs::File::create(dir.join("clients.log")).map_err(|e| format!("clients.log: {e}"))?;
        let mut child = Command::new(python)
            .args([SCRIPT, "clients"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("{}: {e}", python.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let talk = Mutex::new((input.expect("it is a pipe"), BufReader::new(output.expect("it is a pipe"))));
        Ok(Clients { child, talk })
    }

    pub fn order(&self, order: &str) -> Result<String, String> {
        let mut talk = self.talk.lock().unwrap();
        let mut answer = String::new();
        let done = writeln!(talk.0, "{order}").and_then(|()| talk.1.read_line(&mut answer));
        match done {
            Ok(n) if n > 0 => Ok(answer.trim().to_owned()),
            done => Err(format!("the gRPC clients do not answer {order:?}: {done:?}")),
        }
    }

    pub fn end(&self) -> Result<Tallies, String> {
        let said = self.order("end")?;
        let read: Read = serde_json::from_str(&said).map_err(|e| format!("{said}: {e}"))?;
        let mut tallies = Tallies::default();
        for (kind, (total, failed)) in
            [Kind::Short, Kind::Long].into_iter().zip(read.total.into_iter().zip(read.failed))
        {
            let tally = &mut tallies[kind as usize];
            tally.total = total;
            let at = |age: f64| Instant::now().checked_sub(Duration::from_secs_f64(age)).unwrap_or_else(Instant::now);
            tally.failed = failed.into_iter().map(|(age, why)| (at(age), why)).collect();
        }
        Ok(tallies)
    }
}

/// What `end` is answered with.
#[derive(serde::Deserialize)]
struct Read {
    total: [usize; 2],
    failed: [Vec<(f64, String)>; 2],
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
