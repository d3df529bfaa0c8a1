//! Control groups of a test's own, to freeze processes and to take processor and memory from them. Version 1 and 2, as the machine
//! has them. Whatever happens, what is frozen is thawed, what is inside is killed and the group is removed when [`Cgroup`] is
//! dropped; what a killed test run left frozen is thawed by the next.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{processes, skip};

/// A pid says nothing of another PID namespace, where tests may run at the same time: its number is a part of the name.
fn prefix() -> String {
    let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |m| std::os::unix::fs::MetadataExt::ino(&m));
    format!("softstop-test-{namespace}-")
}

/// What the group is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Version 1's freezer: what is frozen is in state D, and not even SIGKILL ends it before it is thawed. Docker and Podman pause so
    /// on machines with version 1.
    Freezer,
    /// Version 2's `cgroup.freeze`: what is frozen shows state S and can be killed.
    Freeze,
    Cpu,
    Memory,
    Pids,
}

pub struct Cgroup {
    dir: PathBuf,
    v1: bool,
}

impl Cgroup {
    /// `None`, with the reason said, where this machine or user cannot have one.
    pub fn new(kind: Kind) -> Option<Cgroup> {
        let (root, v1) = match root(kind) {
            Ok(found) => found,
            Err(why) => {
                skip(&format!("no cgroup ({kind:?}): {why}"));
                return None;
            }
        };
        thaw_what_dead_runs_left(&root);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = root.join(format!("{}{}-{}", prefix(), std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        if let Err(e) = fs::create_dir(&dir) {
            skip(&format!("no cgroup ({kind:?}): {}: {e}", dir.display()));
            return None;
        }
        Some(Cgroup { dir, v1 })
    }

    /// For `Launch::through`: softstop and all it starts are inside from its first instruction on.
    pub fn launcher(&self) -> [String; 4] {
        let script = format!("echo 0 >{} && exec \"$@\"", self.dir.join("cgroup.procs").display());
        ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
    }

    /// Moves a process in, by its pid as the test sees it, unless it has ended. Its children, if any, stay where they are.
    #[track_caller]
    pub fn add(&self, pid: i32) {
        let path = self.dir.join("cgroup.procs");
        match fs::write(&path, pid.to_string()) {
            Err(e) if e.raw_os_error() != Some(libc::ESRCH) => panic!("{pid} to {}: {e}", path.display()),
            _ => {}
        }
    }

    pub fn pids(&self) -> Vec<i32> {
        // 0 stands for a process of a namespace that cannot be seen from here.
        self.read("cgroup.procs").lines().filter_map(|l| l.parse().ok()).filter(|pid| *pid > 1).collect()
    }

    /// Returns when everything inside is frozen.
    #[track_caller]
    pub fn freeze(&self) {
        let limit = Instant::now() + super::SOON;
        let state = || -> Vec<_> { self.pids().into_iter().filter_map(processes::look).collect() };
        loop {
            // Version 1 may have to be told again (cgroup-v1/freezer-subsystem.txt: what is still FREEZING).
            if self.v1 {
                self.write("freezer.state", "FROZEN");
            } else {
                self.write("cgroup.freeze", "1");
            }
            if self.frozen() {
                return;
            }
            assert!(Instant::now() < limit, "never frozen: {}: {:?}", self.dir.display(), state());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn frozen(&self) -> bool {
        if self.v1 {
            self.read("freezer.state").trim() == "FROZEN"
        } else {
            self.read("cgroup.events").lines().any(|l| l == "frozen 1")
        }
    }

    pub fn thaw(&self) {
        thaw(&self.dir);
    }

    /// At most so much of one processor, as Kubernetes' limits do it: in periods of 100 ms.
    #[track_caller]
    pub fn limit_cpu(&self, percent: u32) {
        let quota = percent * 1000;
        if self.v1 {
            self.write("cpu.cfs_quota_us", &quota.to_string());
        } else {
            self.write("cpu.max", &format!("{quota} 100000"));
        }
    }

    /// At most so many processes and threads, or `max`. Less than there are is allowed: not one more, then.
    #[track_caller]
    pub fn limit_pids(&self, most: impl Display) {
        self.write("pids.max", &most.to_string());
    }

    /// How many processes and threads there are, those that nobody has reaped yet included.
    pub fn count(&self) -> u32 {
        self.read("pids.current").trim().parse().unwrap_or_default()
    }

    /// How many periods of 100 ms had their processor time used up.
    pub fn throttled(&self) -> u64 {
        self.number_in("cpu.stat", "nr_throttled")
    }

    #[track_caller]
    pub fn limit_memory(&self, bytes: u64) {
        let file = if self.v1 { "memory.limit_in_bytes" } else { "memory.max" };
        self.write(file, &bytes.to_string());
        let swap = if self.v1 { "memory.memsw.limit_in_bytes" } else { "memory.swap.max" };
        if self.dir.join(swap).exists() {
            self.write(swap, &if self.v1 { bytes } else { 0 }.to_string());
        }
    }

    /// How many processes inside the kernel has killed because memory had run out.
    pub fn oom_kills(&self) -> u64 {
        self.number_in(if self.v1 { "memory.oom_control" } else { "memory.events" }, "oom_kill")
    }

    fn number_in(&self, file: &str, key: &str) -> u64 {
        let text = self.read(file);
        let value = text.lines().filter_map(|l| l.split_once(' ')).find(|(k, _)| *k == key);
        value.and_then(|(_, n)| n.trim().parse().ok()).unwrap_or_else(|| panic!("no {key} in {file}:\n{text}"))
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }

    #[track_caller]
    fn write(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{text:?} to {}: {e}", path.display()));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let limit = Instant::now() + Duration::from_secs(10);
        while fs::remove_dir(&self.dir).is_err() && self.dir.exists() && Instant::now() < limit {
            self.thaw();
            for pid in self.pids() {
                processes::send(pid, libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn thaw(dir: &Path) {
    for (file, text) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        let path = dir.join(file);
        if path.exists() {
            let _ = fs::write(path, text);
        }
    }
}

/// Where groups of this kind are made, and whether that is version 1.
fn root(kind: Kind) -> Result<(PathBuf, bool), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    let mounts = fs::read_to_string("/proc/mounts").map_err(|e| e.to_string())?;
    let mounted = |of_type: &str, option: &str| {
        mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find_map(|m| match m[..] {
            [_, at, fs_type, options, ..] if fs_type == of_type && options.split(',').any(|o| o == option) => {
                Some(PathBuf::from(at))
            }
            _ => None,
        })
    };
    let (controller, file) = match kind {
        Kind::Freezer => ("freezer", ""),
        Kind::Freeze => ("", "cgroup.freeze"),
        Kind::Cpu => ("cpu", "cpu.max"),
        Kind::Memory => ("memory", "memory.max"),
        Kind::Pids => ("pids", "pids.max"),
    };
    if let Some(at) = Some(controller).filter(|c| !c.is_empty()).and_then(|c| mounted("cgroup", c)) {
        return Ok((at, true));
    }
    if file.is_empty() {
        return Err("no version 1 freezer".to_owned());
    }
    let at = mounted("cgroup2", "rw").ok_or("no cgroup file system is mounted for writing")?;
    if !controller.is_empty() {
        let _ = fs::write(at.join("cgroup.subtree_control"), format!("+{controller}"));
        let enabled = fs::read_to_string(at.join("cgroup.subtree_control")).unwrap_or_default();
        if !enabled.split_whitespace().any(|c| c == controller) {
            return Err(format!("{controller} cannot be enabled in {}", at.display()));
        }
    }
    Ok((at, false))
}

fn thaw_what_dead_runs_left(root: &Path) {
    let prefix = prefix();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|n| n.strip_prefix(&prefix)?.split('-').next()?.parse::<i32>().ok());
        if run.is_some_and(|run| processes::look(run).is_none()) {
            thaw(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}
