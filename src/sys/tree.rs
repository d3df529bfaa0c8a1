//! Our descendants: everything that was started below us, however far it has daemonised itself. With softstop as PID 1 or
//! subreaper none escapes; processes that the runtime put into the container (parent 0), other containers of a shared PID
//! namespace and softstop's own ancestors are never among them.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::descriptors;
use super::pidfd::send_to_found;
use super::process::{cpu_time, is_pid1, kill, own_pid};
use super::procfs::{self, Stat, read_stat};
use super::strangers::Strangers;
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
    /// With the pid, its identity.
    pub started: u64,
}

impl Descendant {
    /// A process by its number, whoever's it is.
    ///
    /// # Errors
    /// It has ended, or cannot be seen.
    pub fn read(pid: i32) -> io::Result<Descendant> {
        read_stat(pid).map(Descendant::from_stat)
    }

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
    let mut walk = Walk::begin(true)?;
    Ok(std::iter::from_fn(|| walk.next(spare)).collect())
}

/// A process and everything below it that can be seen, zombies included.
///
/// # Errors
/// When there is no /proc, or it shows another PID namespace.
pub fn with_all_below(pid: i32) -> io::Result<Vec<i32>> {
    let mut walk = Walk::below(pid, true)?;
    let below = std::iter::from_fn(|| walk.next(&|_| false).map(|descendant| descendant.pid));
    Ok(std::iter::once(pid).chain(below).collect())
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
    let (began, mut all) = (Instant::now(), Vec::new());
    let complete = Walk::begin(true).is_ok_and(|mut walk| {
        while began.elapsed() < limit {
            match walk.next(&|_| false) {
                Some(descendant) => all.push(descendant),
                None => return true,
            }
        }
        false
    });
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

/// A pid and its number of threads, 0 when that is not known, to its children.
type Children = Box<dyn FnMut(i32, u32) -> Vec<i32>>;

/// A walk through the tree below us, one process after the other, parents before their children, so that thousands can be looked at
/// piece by piece. What is started meanwhile may be missed.
pub struct Walk {
    own: i32,
    /// Not only our own children.
    deep: bool,
    children: Children,
    seen: HashSet<i32>,
    parent: i32,
    /// Children of `parent` that are still to be looked at.
    pids: std::vec::IntoIter<i32>,
    /// Whose children are still to be listed.
    parents: Vec<(i32, u32)>,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("parent", &self.parent).finish_non_exhaustive()
    }
}

impl Walk {
    /// Through everything below us, or (`deep`: false) our own children alone.
    ///
    /// # Errors
    /// When there is no /proc, or it shows another PID namespace.
    pub fn begin(deep: bool) -> io::Result<Walk> {
        Walk::below(own_pid(), deep)
    }

    fn below(root: i32, deep: bool) -> io::Result<Walk> {
        procfs::check_namespace()?;
        let children: Children = match has_lists() {
            Ok(()) => Box::new(|pid, threads| match threads {
                1 => children_of(pid, pid).unwrap_or_default(),
                _ => children(pid).unwrap_or_default(),
            }),
            // A kernel without CONFIG_PROC_CHILDREN.
            Err(_) => {
                let mut by_parent: HashMap<i32, Vec<i32>> = HashMap::new();
                for stat in every_process()? {
                    by_parent.entry(stat.ppid).or_default().push(stat.pid);
                }
                Box::new(move |pid, _| by_parent.remove(&pid).unwrap_or_default())
            }
        };
        Ok(Walk::through(root, deep, children))
    }

    fn through(own: i32, deep: bool, children: Children) -> Walk {
        let (pids, parents) = (Vec::new().into_iter(), vec![(own, 0)]);
        Walk { own, deep, children, seen: HashSet::from([own]), parent: own, pids, parents }
    }

    /// The next one, but for those that `spare` names and what is below *them*.
    pub fn next(&mut self, spare: &dyn Fn(i32) -> bool) -> Option<Descendant> {
        loop {
            let Some(pid) = self.pids.next() else {
                let (parent, threads) = self.parents.pop()?;
                self.parent = parent;
                self.pids = (self.children)(parent, threads).into_iter();
                continue;
            };
            if spare(pid) || !self.seen.insert(pid) {
                continue;
            }
            let (found, threads) = match read_stat(pid) {
                // Between the listing and this look it may have been orphaned, and so come to us.
                Ok(stat) if stat.ppid == self.parent || stat.ppid == self.own => {
                    let threads = stat.threads;
                    (Descendant::from_stat(stat), threads)
                }
                // The pid has been reused by somebody else.
                Ok(_) => continue,
                // Hidden from us (hidepid), but nobody else can reap it: it is ours.
                Err(_) if self.parent == self.own => {
                    let (ppid, comm) = (self.own, String::new());
                    (Descendant { pid, ppid, pgid: 0, comm, lives: true, started: 0 }, 0)
                }
                Err(_) => continue,
            };
            if self.deep {
                self.parents.push((pid, threads));
            }
            return Some(found);
        }
    }
}

/// Whether the kernel lists children; asked until it has, as a list of thousands takes its time.
fn has_lists() -> io::Result<()> {
    static KNOWN: AtomicBool = AtomicBool::new(false);
    if !KNOWN.load(Ordering::Relaxed) {
        children(own_pid())?;
        KNOWN.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// The children of a process, zombies included, from the lists of its threads.
///
/// # Errors
/// When the kernel has no such lists, there is no /proc, or the process is gone.
pub fn children(pid: i32) -> io::Result<Vec<i32>> {
    let (mut threads, mut pids) = (Vec::new(), Vec::new());
    // Not opendir, which takes 32 kB.
    descriptors::numbers_in(&CString::new(format!("/proc/{pid}/task"))?, &mut |thread| threads.push(thread))?;
    for thread in threads {
        match children_of(pid, thread) {
            Ok(more) => pids.extend(more),
            // A thread that has ended since; for the first thread it means that there are no such lists.
            Err(error) if pids.is_empty() && Path::new(&format!("/proc/{pid}/task/{thread}/stat")).exists() => {
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
    Ok(procfs::pids()?.filter_map(|pid| read_stat(pid).ok()).collect())
}

/// So many processes that are not known yet are looked at before PID 1 kills all in one step: some ten milliseconds.
const LOOKED_AT: usize = 2000;

/// More processes than this are a crowd, and may be a fork bomb: ending them takes time.
pub const CROWD: usize = 50;

/// As PID 1: so few processes and threads were ever made here that they can be no crowd. One read, where a count opens a file of each, which the kernel
/// then has to put away when it is reaped. `false` also where that cannot be known.
pub fn was_never_a_crowd() -> bool {
    is_pid1() && procfs::last_pid().is_some_and(|last| (2..=CROWD).contains(&last))
}

/// A crowd may take so many times as much processor time of ours: leaving in time comes first.
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

/// SIGKILL to everything below us but zombies, which are the caller's to reap.
///
/// As PID 1, where it hits nobody but our own (no `strangers`: they belong to the container runtime or to another container), the kernel
/// does it in one step that no fork can outrun: `kill(-1)`. There may be too many new ones to know that ([`LOOKED_AT`]): then, too, unless
/// a stranger is known, as leaving in time comes first, and whoever is left when PID 1 leaves is killed anyway.
///
/// Otherwise everybody is stopped before anybody is killed: who is stopped does not fork, and keeps the place (`pids.max`) that a fork
/// bomb fills again as soon as a dead one has left it. They are looked for again and again until nothing new appears, or that has taken
/// `work` of our processor time (a crowd: [`MOST`] times as much) or the time `limit`, but twice at least: whoever's parent dies during a
/// look may be missed by it. It is processor time because the more of them still run, the longer a look takes, and the worse it is to
/// leave the rest running.
pub fn kill_everything(work: Duration, limit: Duration, strangers: &mut Strangers) -> Killed {
    if is_pid1() && !beside_any(strangers) && signal_all(Signal::KILL).is_ok() {
        return Killed { count: children(own_pid()).map_or(0, |pids| pids.len()), complete: true };
    }
    let (began, worked) = (Instant::now(), cpu_time());
    let mut found: HashMap<(i32, u64), Descendant> = HashMap::new();
    let over = |found: &HashMap<_, _>| {
        let work = if found.len() > CROWD { MOST * work } else { work };
        cpu_time().saturating_sub(worked) >= work || began.elapsed() >= limit
    };
    let mut complete = false;
    let mut looks = 0;
    while !complete {
        looks += 1;
        let Ok(mut walk) = Walk::begin(true) else {
            // Blind: as init the kernel can do it for us, otherwise the caller's own pids and groups are all there is.
            complete = is_pid1() && signal_all(Signal::KILL).is_ok();
            break;
        };
        let known = found.len();
        let mut late = false;
        while !late && let Some(target) = walk.next(&|_| false) {
            // At once, before its children are listed. What may not be signalled (EPERM) must not keep the loop going either.
            if target.lives && !found.contains_key(&(target.pid, target.started)) {
                let _ = signal(&target, &[Signal::STOP]);
                found.insert((target.pid, target.started), target);
                // When PID 1 leaves, whoever is left goes; others owe each at least a look.
                late = is_pid1() && over(&found);
            }
        }
        complete = found.len() == known && !late;
        if late || looks >= 2 && over(&found) {
            break;
        }
    }
    for target in found.values() {
        let _ = signal(target, &[Signal::KILL]);
    }
    Killed { count: found.len(), complete }
}

/// To every process of the PID namespace but its init, in one step that no fork can outrun. Only as that init.
fn signal_all(signal: Signal) -> io::Result<()> {
    if !is_pid1() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    match kill(-1, signal.number()) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result,
    }
}

/// As PID 1: whether there is a stranger in our namespace, as far as is known, and as [`LOOKED_AT`] of the unknown show.
///
/// The unknown are a crowd only where softstop has had no processor time to look before. It would have none now, so it has everybody
/// stopped first; a stranger among the unknown goes on as soon as he is found, and what is below him.
fn beside_any(strangers: &mut Strangers) -> bool {
    // Where nobody can be seen nobody is seen to be one.
    if strangers.list().is_err() || strangers.any() {
        return strangers.any();
    }
    let stopped = strangers.unknown() > CROWD && signal_all(Signal::STOP).is_ok();
    for _ in 0..LOOKED_AT {
        match strangers.inspect_one() {
            Some((pid, true)) if stopped => wake(pid),
            Some(_) => {}
            None => break,
        }
    }
    strangers.any()
}

/// A stranger who has just been looked at, and everybody below him.
fn wake(pid: i32) {
    let _ = kill(pid, libc::SIGCONT);
    if let Ok(mut walk) = Walk::below(pid, true) {
        while let Some(found) = walk.next(&|_| false) {
            let _ = signal(&found, &[Signal::CONT]);
        }
    }
}

/// Signals a process below us, with the signals one after the other. A direct child is ours until we reap it; anything deeper is reaped by others.
///
/// # Errors
/// ESRCH or what /proc says: it has ended. EPERM: it runs as another user. EINVAL for PID 1 and softstop itself.
pub fn signal(target: &Descendant, signals: &[Signal]) -> io::Result<()> {
    if target.pid <= 1 || target.pid == own_pid() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    if target.ppid == own_pid() {
        return signals.iter().try_for_each(|signal| kill(target.pid, signal.number()));
    }
    send_to_found(target.pid, target.started, signals)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::pidfd::REFUSED;
    use super::*;

    #[test]
    fn softstop_and_init_are_never_targets() {
        for pid in [own_pid(), 1, 0, -1] {
            let target = Descendant { pid, ppid: own_pid(), pgid: 0, comm: String::new(), lives: true, started: 0 };
            assert_eq!(signal(&target, &[Signal::CONT]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn only_an_init_kills_all() {
        assert!(!is_pid1(), "the test cannot run as PID 1");
        assert_eq!(signal_all(Signal::KILL).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_reused_pid_is_not_signalled() {
        // The test's own parent under a wrong start time: a process that lives, is not our child, and is not the one meant.
        let parent = nix::unistd::getppid().as_raw();
        if parent > 1 {
            let target = Descendant { pid: parent, ppid: 1, pgid: 0, comm: String::new(), lives: true, started: 0 };
            assert_eq!(signal(&target, &[Signal::CONT]).unwrap_err().raw_os_error(), Some(libc::ESRCH));
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
            signal(&sleep, &[Signal::KILL]).unwrap();
            let exit = loop {
                if let Some(exit) = super::super::reap::reap(shell.id() as i32).unwrap() {
                    break exit;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            assert_eq!(exit.code(), 137);
            assert!(signal(&sleep, &[Signal::CONT]).is_err(), "it is gone");
        }
        REFUSED.store(false, Ordering::Relaxed);
    }

    #[test]
    fn a_walk_takes_only_what_is_really_below_us() {
        // What a listing names may be gone and its pid somebody else's by the time it is looked at: here PID 1, which is
        // nobody's child, and this process itself.
        let own = own_pid();
        let all = |spare: &dyn Fn(i32) -> bool, children: Children| {
            let mut walk = Walk::through(own, true, children);
            std::iter::from_fn(|| walk.next(spare)).map(|found| found.pid).collect::<Vec<_>>()
        };
        assert!(all(&|_| false, Box::new(move |_, _| vec![own, 1])).is_empty());
        // No such process, yet listed as our own child: hidden, but ours. Once, however often it is listed.
        let twice = move |pid, _| if pid == own { vec![i32::MAX, i32::MAX] } else { vec![] };
        assert_eq!(all(&|_| false, Box::new(twice)), [i32::MAX]);
        assert!(all(&|pid| pid == i32::MAX, Box::new(twice)).is_empty(), "spared");
    }
}
