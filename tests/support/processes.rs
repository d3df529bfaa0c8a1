//! What runs, as /proc shows it from outside the namespace.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::starvation;

/// One process as seen from the test.
#[derive(Clone, Debug)]
pub struct Proc {
    pub pid: i32,
    pub parent: i32,
    /// `R`, `S`, `T`, `Z` and so on.
    pub state: char,
    pub name: String,
}

impl Proc {
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

impl fmt::Display for Proc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (child of {}) {} {}", self.pid, self.parent, self.state, self.name)
    }
}

/// Where it stands: for a test that waits for it in vain.
pub fn stands(pid: i32) -> String {
    let Some(process) = look(pid) else { return format!("{pid} is gone") };
    let wchan = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    format!("{process}, in {wchan}, {:.1?} ready to run without a processor", starvation::of(pid))
}

/// `None` when it has ended meanwhile.
pub fn look(pid: i32) -> Option<Proc> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets; what follows its last bracket may not.
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_whitespace();
    Some(Proc { pid, state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()?, name })
}

pub fn all() -> Vec<Proc> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).filter_map(look).collect()
}

pub fn children(pid: i32) -> Vec<i32> {
    // softstop and the launchers have one thread. A kernel without such lists has everybody looked at.
    match std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        Ok(list) => list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => all().into_iter().filter(|p| p.parent == pid).map(|p| p.pid).collect(),
    }
}

/// Whether it has begun to exit, or is gone: as PID 1 it has then still to take its namespace down.
pub fn exits(pid: i32) -> bool {
    const PF_EXITING: u64 = 4;
    stat_field(&format!("/proc/{pid}/stat"), 9)
        .is_none_or(|flags| flags.parse().is_ok_and(|f: u64| f & PF_EXITING != 0))
}

pub fn niceness(pid: i32) -> i32 {
    niceness_at(&format!("/proc/{pid}/stat"))
}

pub fn niceness_of_this_thread() -> i32 {
    niceness_at("/proc/thread-self/stat")
}

fn niceness_at(stat: &str) -> i32 {
    stat_field(stat, 19).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// What it has used of processors, in hundredths of a second.
pub fn processor_time(pid: i32) -> u64 {
    let part = |number| stat_field(&format!("/proc/{pid}/stat"), number).and_then(|n| n.parse().ok());
    part(14).unwrap_or(0u64) + part(15).unwrap_or(0u64)
}

/// A field behind the name, by its number in proc(5).
fn stat_field(path: &str, number: usize) -> Option<String> {
    let stat = std::fs::read_to_string(path).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(number - 3).map(str::to_owned)
}

/// Everything that descends from it and lives.
pub fn below(pid: i32) -> Vec<Proc> {
    let (mut found, mut parents) = (Vec::new(), vec![pid]);
    while let Some(parent) = parents.pop() {
        for child in children(parent).into_iter().filter_map(look) {
            parents.push(child.pid);
            if !child.is_zombie() {
                found.push(child);
            }
        }
    }
    found
}

pub fn program(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Whether it has executed this very file, under whatever name (a bind mount, a chroot).
pub fn runs(pid: i32, program: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let executed = identity(Path::new(&format!("/proc/{pid}/exe")));
    executed.is_some() && executed == identity(program)
}

/// Its number in its own PID namespace.
pub fn inner_pid(pid: i32) -> Option<i32> {
    status(pid, "NSpid")?.split_whitespace().next_back()?.parse().ok()
}

/// A zombie has no namespace link any more; as PID 1's own child it is found by its parent.
pub fn in_namespace_of(init: i32) -> Vec<Proc> {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(ours) = namespace(init) else { return Vec::new() };
    let everything = all();
    let mut inside: Vec<i32> =
        everything.iter().filter(|p| namespace(p.pid).as_ref() == Some(&ours)).map(|p| p.pid).collect();
    inside.extend(
        everything.iter().filter(|p| p.is_zombie() && inside.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>(),
    );
    inside.sort_unstable();
    inside.dedup();
    everything.into_iter().filter(|p| inside.contains(&p.pid)).collect()
}

/// Those with exactly `entry` (`NAME=value`) in the environment they were started with. No zombies: they have none.
pub fn with_environment(entry: &str) -> Vec<Proc> {
    let has = |pid: i32| {
        std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| e.split(|b| *b == 0).any(|e| e == entry.as_bytes()))
    };
    all().into_iter().filter(|p| has(p.pid)).collect()
}

/// A field of /proc/PID/status, without its unit.
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    status(pid, field)?.split_whitespace().next().map(str::to_owned)
}

fn status(pid: i32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut fields = status.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| *name == field).map(|(_, value)| value.to_owned())
}

/// How often it has waited for something, and gone on; 0 when it has ended.
pub fn wake_ups(pid: i32) -> u64 {
    status_field(pid, "voluntary_ctxt_switches").and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// What it was executed with, between blanks; empty when it has ended.
pub fn command_line(pid: i32) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// How many descriptors it has open.
pub fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What a process has in memory that is no file's, in kB; 0 once it has ended. Not `VmRSS` or `RssAnon`: the kernel maps a file's pages as it likes, and counts both
/// for each processor, in batches. Not `Private_Dirty`: pages of a binary that was just built are dirty until they are on the disk.
pub fn anonymous_kb(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|l| l.strip_prefix("Anonymous:"));
    line.map_or(0, |kb| kb.trim().trim_end_matches(" kB").parse().unwrap())
}

/// Whether a signal sent to it now would wait or be handled instead of taking its default action.
pub fn holds(pid: i32, number: i32) -> bool {
    ["SigBlk", "SigCgt"].iter().any(|field| {
        let mask = status_field(pid, field).and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
        mask >> (number - 1) & 1 == 1
    })
}

pub fn send(pid: i32, number: i32) {
    assert!(pid > 1, "refusing to signal {pid}");
    if let Ok(signal) = Signal::try_from(number) {
        let _ = kill(Pid::from_raw(pid), signal);
        return;
    }
    // nix knows no real-time signals; the shell's kill does. As above, who has ended meanwhile is not signalled.
    let script = format!("kill -{number} {pid}");
    let done = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    assert!(done.is_ok_and(|s| s.success()) || look(pid).is_none_or(|p| p.is_zombie()), "{script}");
}
