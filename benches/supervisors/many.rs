//! Many processes in one container: start, status, one that changes, stop.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{children, find, unshare};
use crate::crowd::{self, SUPERVISORS, Started};
use crate::stack::Tool;

/// What a start, or a change, brings with it later.
const SETTLE: Duration = Duration::from_secs(1);

/// One of the tools, as it is told what to do: `DIR` is its folder.
struct Many {
    tool: &'static str,
    /// In [`SUPERVISORS`]; softstop is not.
    supervisor: Option<&'static str>,
    status: &'static str,
    /// Where the first process is described, what is put behind which text, and what has it taken over.
    file: &'static str,
    change: (&'static str, &'static str),
    reload: &'static str,
}

const MANY: [Many; 4] = [
    Many {
        tool: "softstop",
        supervisor: None,
        status: "SOFTSTOP status",
        file: "softstop.toml",
        change: ("name = \"p0\"\n", "env = { CHANGED = \"yes\" }\n"),
        reload: "SOFTSTOP reload",
    },
    Many {
        tool: "s6",
        supervisor: Some("s6-svscan"),
        status: "for service in DIR/s6/p*; do s6-svstat \"$service\"; done",
        file: "s6/p0/run",
        change: ("#!/bin/sh\n", "export CHANGED=yes\n"),
        reload: "s6-svc -r DIR/s6/p0",
    },
    Many {
        tool: "supervisord",
        supervisor: Some("supervisord"),
        status: "supervisorctl -c DIR/supervisord.conf status",
        file: "supervisord.conf",
        change: ("[program:p0]\n", "environment=CHANGED=\"yes\"\n"),
        reload: "supervisorctl -c DIR/supervisord.conf update",
    },
    Many {
        tool: "runit",
        supervisor: Some("runsvdir"),
        status: "sv status DIR/runit/p*",
        file: "runit/p0/run",
        change: ("#!/bin/sh\n", "export CHANGED=yes\n"),
        reload: "sv restart DIR/runit/p0",
    },
];

/// In seconds.
struct Found {
    started: f64,
    status: Result<f64, String>,
    /// And how many were started for it.
    reload: Result<(f64, usize), String>,
    stopped: f64,
}

pub fn markdown(softstop: &Path, dir: &Path, count: usize, tools: &[&Tool]) -> String {
    let mut text =
        format!("\n| {count} processes | start | status of all | one changes | stop |\n|---|---|---|---|---|\n");
    for many in MANY.iter().filter(|many| tools.iter().any(|tool| tool.name == many.tool)) {
        eprintln!("supervisors: {count} processes below {}", many.tool);
        let found = many.run(softstop, &dir.join(format!("many-{}", many.tool)), count);
        let status = found.status.map_or_else(|why| why, |took| format!("{took:.2} s"));
        let reload = found.reload.map_or_else(|why| why, |(took, started)| format!("{took:.2} s, {started} started"));
        let (started, stopped) = (found.started, found.stopped);
        writeln!(text, "| {} | {started:.2} s | {status} | {reload} | {stopped:.2} s |", many.tool).unwrap();
    }
    text
}

impl Many {
    fn run(&self, softstop: &Path, dir: &Path, count: usize) -> Found {
        fs::create_dir_all(dir).unwrap();
        let said = Started::new(dir);
        let supervisor = self.supervisor.map(|name| SUPERVISORS.iter().find(|s| s.name == name).expect("it is there"));
        let (program, args, stop): (PathBuf, _, _) = match supervisor {
            Some(s) => (find(s.program).expect("it was looked for"), (s.configure)(dir, count), s.stop),
            None => (softstop.to_owned(), crowd::softstop(dir, count), libc::SIGTERM),
        };
        let began = Instant::now();
        let log = fs::File::create(dir.join("log")).unwrap();
        let mut unshare = unshare(&[])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        assert_eq!(said.wait_for(count), count, "{} has not started them all", self.tool);
        let started = began.elapsed().as_secs_f64();
        std::thread::sleep(SETTLE);
        let pid1 = *children(unshare.id() as i32).first().expect("it runs");
        // A path may have blanks.
        let word = |path: &Path| format!("'{}'", path.display());
        let exec = |text: &str| exec(pid1, &text.replace("DIR", &word(dir)).replace("SOFTSTOP", &word(softstop)));
        let began = Instant::now();
        let status = succeeded(&exec(self.status)).map(|()| began.elapsed().as_secs_f64());
        let file = dir.join(self.file);
        let (behind, more) = self.change;
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(behind), "{}", file.display());
        fs::write(&file, text.replacen(behind, &format!("{behind}{more}"), 1)).unwrap();
        let began = Instant::now();
        let reload = succeeded(&exec(self.reload)).map(|()| {
            let first = said.wait_for(1);
            let took = began.elapsed().as_secs_f64();
            std::thread::sleep(SETTLE);
            (took, first + said.more())
        });
        let stopped = crowd::end(self.tool, &mut unshare, pid1, stop);
        Found { started, status, reload, stopped }
    }
}

fn exec(pid1: i32, command: &str) -> Output {
    let target = pid1.to_string();
    let args = ["--target", &target, "--pid", "--mount", "--", "sh", "-c", command];
    Command::new("nsenter").args(args).stdin(Stdio::null()).output().unwrap()
}

/// Or why not, in one line of its own.
fn succeeded(output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let said =
        String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr }).into_owned();
    eprintln!("supervisors: {}", said.trim());
    Err("–".to_owned())
}
