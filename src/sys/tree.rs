//! Our descendants: everything that was started below us, however far it has daemonised itself. With softstop as PID 1 or
//! subreaper none escapes; processes that the runtime put into the container (parent 0), other containers of a shared PID
//! namespace and softstop's own ancestors are never among them.

#![expect(unsafe_code, reason = "libc has no wrapper for pidfd_open and pidfd_send_signal")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::process::{check, is_pid1, kill, own_pid};
use super::procfs::{self, Stat, read_stat};
use crate::signal::Signal;

/// A process below us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descendant {
    pub pid: i32,
    pub ppid: i32,
    /// Its process group; 0 when it cannot be seen.
    pub pgid: i32,
    pub comm: String,
    /// False for a zombie.
    pub lives: bool,
    started: u64,
}

impl Descendant {
    fn from_stat(stat: Stat) -> Descendant {
        let lives = stat.lives();
        Descendant { pid: stat.pid, ppid: stat.ppid, pgid: stat.pgid, comm: stat.comm, lives, started: stat.started }
    }
}

/// Everything below us except the processes that `spare` names and what is below *them*.
///
/// # Errors
/// When there is no /proc, or it shows another PID namespace.
pub fn descendants(spare: &dyn Fn(i32) -> bool) -> io::Result<Vec<Descendant>> {
    descendants_until(spare, &|| false)
}

/// As [`descendants`]; only what has been found until `enough` says so.
fn descendants_until(spare: &dyn Fn(i32) -> bool, enough: &dyn Fn() -> bool) -> io::Result<Vec<Descendant>> {
    procfs::check_namespace()?;
    let own = own_pid();
    match children(own) {
        Ok(_) => Ok(walk(own, spare, enough, |pid, threads| match threads {
            1 => children_of(pid, pid).unwrap_or_default(),
            _ => children(pid).unwrap_or_default(),
        })),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => {
            let mut by_parent: HashMap<i32, Vec<i32>> = HashMap::new();
            for stat in every_process()? {
                by_parent.entry(stat.ppid).or_default().push(stat.pid);
            }
            Ok(walk(own, spare, enough, |pid, _| by_parent.remove(&pid).unwrap_or_default()))
        }
    }
}

/// How many processes there are below us.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// False: there may be more, there was no time to count them.
    pub complete: bool,
    pub processes: usize,
    pub zombies: usize,
    /// Name and pid of the one with the most zombies among its children: it does not reap them.
    pub worst_parent: Option<(String, i32)>,
}

/// Counts everything below us, as far as `limit` allows. Without /proc: nobody.
pub fn census(limit: Duration) -> Census {
    let start = Instant::now();
    let cut = std::cell::Cell::new(false);
    let late = || {
        cut.set(cut.get() || start.elapsed() >= limit);
        cut.get()
    };
    let all = descendants_until(&|_| false, &late);
    let complete = all.is_ok() && !cut.get();
    let all = all.unwrap_or_default();
    let mut zombies_of: HashMap<i32, usize> = HashMap::new();
    for zombie in all.iter().filter(|d| !d.lives) {
        *zombies_of.entry(zombie.ppid).or_default() += 1;
    }
    let worst = zombies_of.iter().filter(|(parent, _)| **parent != own_pid()).max_by_key(|(_, count)| **count);
    let worst_parent = worst.and_then(|(parent, _)| all.iter().find(|d| d.pid == *parent));
    Census {
        complete,
        processes: all.len(),
        zombies: zombies_of.values().sum(),
        worst_parent: worst_parent.map(|parent| (parent.comm.clone(), parent.pid)),
    }
}

/// `children` gets a pid and its number of threads, 0 when that is not known.
fn walk(
    own: i32,
    spare: &dyn Fn(i32) -> bool,
    enough: &dyn Fn() -> bool,
    mut children: impl FnMut(i32, u32) -> Vec<i32>,
) -> Vec<Descendant> {
    let mut seen = HashSet::from([own]);
    let mut found = Vec::new();
    let mut parents = vec![(own, 0)];
    while let Some((parent, threads)) = parents.pop() {
        for pid in children(parent, threads) {
            if enough() {
                return found;
            }
            if spare(pid) || !seen.insert(pid) {
                continue;
            }
            let threads = match read_stat(pid) {
                // Between the listing and this look it may have been orphaned, and so come to us.
                Ok(stat) if stat.ppid == parent || stat.ppid == own => {
                    let threads = stat.threads;
                    found.push(Descendant::from_stat(stat));
                    threads
                }
                // The pid has been reused by somebody else.
                Ok(_) => continue,
                // Hidden from us (hidepid), but nobody else can reap it: it is ours.
                Err(_) if parent == own => {
                    found.push(Descendant { pid, ppid: own, pgid: 0, comm: String::new(), lives: true, started: 0 });
                    0
                }
                Err(_) => continue,
            };
            parents.push((pid, threads));
        }
    }
    found
}

/// The children of a process, zombies included, from the lists of its threads.
///
/// # Errors
/// When the kernel has no such lists, there is no /proc, or the process is gone.
pub fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path().join("children");
        match fs::read_to_string(&path) {
            Ok(text) => pids.extend(parse_children(&text)),
            // A thread that has ended since; for the first thread it means that there are no such lists.
            Err(error) if pids.is_empty() && path.parent().is_some_and(std::path::Path::exists) => {
                return Err(error);
            }
            Err(_) => {}
        }
    }
    Ok(pids)
}

/// Our own parent, its parent and so on, as far as /proc shows them.
pub fn ancestors() -> Vec<i32> {
    let mut list = Vec::new();
    let mut pid = own_pid();
    while let Ok(stat) = read_stat(pid)
        && stat.ppid > 0
        && list.len() < 256
    {
        pid = stat.ppid;
        list.push(pid);
    }
    list
}

fn children_of(pid: i32, thread: i32) -> io::Result<Vec<i32>> {
    let bytes = procfs::read_small(&format!("/proc/{pid}/task/{thread}/children"))?;
    Ok(parse_children(&String::from_utf8_lossy(&bytes)).collect())
}

/// The pids in the text of `/proc/<pid>/task/<tid>/children`; what is no positive number is passed over.
pub fn parse_children(text: &str) -> impl Iterator<Item = i32> {
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0)
}

fn every_process() -> io::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(|pid| read_stat(pid).ok()).collect())
}

/// What [`signal_all`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signalled {
    pub sent: usize,
    /// Those that may not be signalled (EPERM): they run as another user.
    pub refused: usize,
}

/// Signals those of `targets` that live; with `wake` SIGCONT follows, so that a stopped process can act. Those that have ended
/// since they were listed are passed over.
pub fn signal_all(targets: &[Descendant], signal: Signal, wake: bool) -> Signalled {
    let signals = [signal, Signal::CONT];
    let signals = if wake { &signals[..] } else { &signals[..1] };
    let mut signalled = Signalled::default();
    for target in targets.iter().filter(|target| target.lives) {
        match send(target, signals) {
            Ok(()) => signalled.sent += 1,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => signalled.refused += 1,
            Err(_) => {}
        }
    }
    signalled
}

/// A sweep of PID 1 is broken off after so many times its limit: leaving in time comes first.
const MOST: u32 = 5;

/// What a sweep of [`kill_everything`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Killed {
    /// How many were found alive; those of an earlier call that are still on their way out (state D) count again.
    pub count: usize,
    /// A last look found nothing that was not killed yet. False: the tree grows faster than it is killed, or cannot be
    /// seen; call again.
    pub complete: bool,
}

/// SIGKILL to everything below us but zombies, which are the caller's to reap; again and again until nothing new appears or
/// `limit` has passed. As PID 1 it comes back then, however many there are: the kernel ends whom it has not reached when softstop
/// leaves. Otherwise the limit is overrun by at most one sweep. Also as PID 1 `kill(-1)` is used only when nothing else helps: without
/// /proc, or against a tree that outgrows us, and then only where it hits nobody but our own, as far as can be seen: processes of
/// parent 0 belong to the container runtime or to another container.
pub fn kill_everything(limit: Duration) -> Killed {
    let start = Instant::now();
    let mut killed = HashSet::new();
    let nobody = |_| false;
    let enough = || is_pid1() && start.elapsed() >= MOST * limit;
    for sweep in 0.. {
        let Ok(targets) = descendants_until(&nobody, &enough) else {
            // Blind: as init the kernel can do it for us, otherwise the caller's own pids and groups are all there is.
            let complete = is_pid1() && kill_all().is_ok();
            return Killed { count: killed.len(), complete };
        };
        let fresh: Vec<&Descendant> =
            targets.iter().filter(|target| target.lives && !killed.contains(&(target.pid, target.started))).collect();
        if fresh.is_empty() {
            return Killed { count: killed.len(), complete: !enough() };
        }
        for target in fresh {
            // What may not be killed (EPERM) must not keep the loop going either.
            let _ = send(target, &[Signal::KILL]);
            killed.insert((target.pid, target.started));
        }
        if start.elapsed() >= limit {
            // More have come since the first sweep; one that has taken too long by itself says nothing of the kind.
            let complete = sweep > 0 && is_pid1() && !strangers() && kill_all().is_ok();
            return Killed { count: killed.len(), complete };
        }
    }
    Killed { count: killed.len(), complete: false }
}

/// SIGKILL to every process of the PID namespace but its init, in one step that no fork can outrun. Only as that init.
fn kill_all() -> io::Result<()> {
    if !is_pid1() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    match kill(-1, libc::SIGKILL) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result,
    }
}

/// Whether our PID namespace holds processes that came in from outside.
fn strangers() -> bool {
    let own = own_pid();
    every_process().is_ok_and(|all| all.iter().any(|stat| stat.ppid == 0 && stat.pid != own))
}

/// A direct child is ours until we reap it. Anything deeper is reaped by others.
fn send(target: &Descendant, signals: &[Signal]) -> io::Result<()> {
    if target.pid <= 1 || target.pid == own_pid() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    if target.ppid == own_pid() {
        return signals.iter().try_for_each(|signal| kill(target.pid, signal.number()));
    }
    send_to_found(target.pid, target.started, signals)
}

/// To a process that others reap, so that its pid may change hands: a pidfd pins it, and its start time, looked at after pinning,
/// proves that it is the one that was found. Where pidfds are refused a moment remains between the look and the signal.
///
/// # Errors
/// ESRCH when it is another by now; else what /proc and the kernel say.
pub(super) fn send_to_found(pid: i32, started: u64, signals: &[Signal]) -> io::Result<()> {
    let pinned = pin(pid)?;
    if read_stat(pid)?.started != started {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    signals.iter().try_for_each(|signal| match &pinned {
        Some(pidfd) => match send_pinned(pidfd.as_raw_fd(), *signal) {
            // A sandbox may know the one call and refuse the other. What is truly not permitted is not so by `kill` either.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                kill(pid, signal.number())
            }
            result => result,
        },
        None => kill(pid, signal.number()),
    })
}

/// Found out once: a sandbox does not change its mind.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// `None` where pidfds cannot be had: an old kernel, or a sandbox that refuses what it does not know with EPERM.
fn pin(pid: i32) -> io::Result<Option<OwnedFd>> {
    if REFUSED.load(Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: pidfd_open takes two integers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if let Some(fd) = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows of it. It is close-on-exec.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => {
            REFUSED.store(true, Ordering::Relaxed);
            Ok(None)
        }
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Ok(None),
        _ => Err(error),
    }
}

fn send_pinned(pidfd: RawFd, signal: Signal) -> io::Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open for the call; a null siginfo means the same as kill's.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal.number(), no_info, 0) };
    check(libc::c_int::try_from(rc).unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softstop_and_init_are_never_targets() {
        for pid in [own_pid(), 1, 0, -1] {
            let target = Descendant { pid, ppid: own_pid(), pgid: 0, comm: String::new(), lives: true, started: 0 };
            assert_eq!(send(&target, &[Signal::CONT]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn only_an_init_kills_all() {
        assert!(!is_pid1(), "the test cannot run as PID 1");
        assert_eq!(kill_all().unwrap_err().raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_reused_pid_is_not_signalled() {
        // The test's own parent under a wrong start time: a process that lives, is not our child, and is not the one meant.
        let parent = nix::unistd::getppid().as_raw();
        if parent > 1 {
            let target = Descendant { pid: parent, ppid: 1, pgid: 0, comm: String::new(), lives: true, started: 0 };
            assert_eq!(send(&target, &[Signal::CONT]).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "it is reaped by pid, as softstop does")]
    fn a_grandchild_is_signalled_with_and_without_pidfds() {
        use std::io::Read;
        use std::process::{Command, Stdio};
        for refused in [false, true] {
            REFUSED.store(refused, Ordering::Relaxed);
            // The shell's own child ends it: `wait` returns its status.
            let mut shell = Command::new("sh")
                .args(["-c", "sleep 1000 >&- & echo $!; wait $!"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut text = String::new();
            let mut output = shell.stdout.take().unwrap();
            while !text.ends_with('\n') {
                let mut byte = [0];
                output.read_exact(&mut byte).unwrap();
                text.push(char::from(byte[0]));
            }
            let sleep = Descendant::from_stat(read_stat(text.trim().parse().unwrap()).unwrap());
            assert_eq!(sleep.ppid, shell.id() as i32, "not our own child");
            send(&sleep, &[Signal::KILL]).unwrap();
            let exit = loop {
                if let Some(exit) = super::super::reap::reap(shell.id() as i32).unwrap() {
                    break exit;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            assert_eq!(exit.code(), 137);
            assert!(send(&sleep, &[Signal::CONT]).is_err(), "it is gone");
        }
        REFUSED.store(false, Ordering::Relaxed);
    }

    #[test]
    fn a_walk_takes_only_what_is_really_below_us() {
        // What a listing names may be gone and its pid somebody else's by the time it is looked at: here PID 1, which is
        // nobody's child, and this process itself.
        let own = own_pid();
        assert!(walk(own, &|_| false, &|| false, |_, _| vec![own, 1]).is_empty());
        // No such process, yet listed as our own child: hidden, but ours. Once, however often it is listed.
        let hidden =
            walk(own, &|_| false, &|| false, |pid, _| if pid == own { vec![i32::MAX, i32::MAX] } else { vec![] });
        assert_eq!(hidden.iter().map(|found| found.pid).collect::<Vec<_>>(), [i32::MAX]);
        assert!(walk(own, &|pid| pid == i32::MAX, &|| false, |_, _| vec![i32::MAX]).is_empty(), "spared");
    }
}
