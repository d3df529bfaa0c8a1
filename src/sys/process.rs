//! softstop's own process: PID 1 or not, its descriptors, its place among processes.

#![expect(unsafe_code, reason = "descriptor flags by number, prctl and kill have no safe wrapper that fits")]

use std::fs;
use std::io;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::time::ClockId;
use nix::unistd::{dup2_stderr, dup2_stdout};

use super::descriptors;
use super::mask::{self, Disposition, SignalSet};
use crate::signal::Signal;
use crate::sorted;

/// Whether softstop is the init of its PID namespace: the kernel hands it every orphan, and ends the namespace with it.
pub fn is_pid1() -> bool {
    own_pid() == 1
}

pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Whoever started softstop; 0 when that is outside its PID namespace.
pub fn parent_pid() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// Has orphaned descendants handed to us although we are not PID 1. Covers those orphaned from now on, so: before the
/// first spawn.
///
/// # Errors
/// EPERM or ENOSYS on platforms that refuse it (AWS Lambda, old sandboxes): go on without.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Has `signal` sent to softstop when its parent ends. A parent that has ended before this call goes unnoticed.
///
/// # Errors
/// Only on kernels that refuse it.
pub fn parent_death_signal(signal: Signal) -> io::Result<()> {
    let number = libc::c_ulong::try_from(signal.number()).unwrap_or(0);
    // SAFETY: this option takes an integer and touches no memory of ours. (nix has no real-time signals.)
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, number, 0, 0, 0) })?;
    Ok(())
}

/// The processor time that this thread has used. Zero where the kernel does not say.
pub fn cpu_time() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
}

/// How long softstop has been ready to run and was not given a processor, since it began: the kernel counts it, a processor limit that
/// is used up included. Not while it is stopped or frozen. Kept open, as it is read often.
#[derive(Debug)]
pub struct Waited(Option<fs::File>);

impl Waited {
    pub fn open() -> Waited {
        Waited(fs::File::open("/proc/thread-self/schedstat").ok())
    }

    /// Zero where the kernel does not say.
    pub fn so_far(&self) -> Duration {
        use std::os::unix::fs::FileExt;
        let mut text = [0; 96];
        let len = self.0.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = text.get(..len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        // Nanoseconds on a processor, nanoseconds waited, turns.
        let waited = text.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok());
        Duration::from_nanos(waited.unwrap_or(0))
    }
}

/// Asks to be scheduled soon rather than long: turns of 0.1 ms, which Linux 6.12 and later honour by waking us before those that
/// compute. Needs no privilege, takes nothing from anybody, and is not handed down to children.
///
/// # Errors
/// ENOSYS, EPERM, EINVAL: an older kernel or a sandbox; go on without.
pub fn request_short_time_slices() -> io::Result<()> {
    const TURN: u64 = 100_000;
    const RESET_ON_FORK: u64 = 1;
    // struct sched_attr, first version: size, policy, flags, nice, priority, runtime, deadline, period.
    #[repr(C)]
    #[derive(Default)]
    struct Attr(u32, u32, u64, i32, u32, u64, u64, u64);
    let mut attr = Attr::default();
    let size = u32::try_from(std::mem::size_of::<Attr>()).unwrap_or(0);
    // SAFETY: `attr` is live memory of the size that is given.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) })?;
    // Whoever was given a policy or a better nice value has no need of this, and his children would lose them.
    if attr.1 != 0 || attr.3 < 0 {
        return Ok(());
    }
    attr.2 |= RESET_ON_FORK;
    attr.5 = TURN;
    // SAFETY: as above; the kernel only reads it.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })?;
    Ok(())
}

/// The lowest of all priorities, and the highest.
const LOWEST: libc::c_int = 19;
const HIGHEST: libc::c_int = -20;

/// The niceness that softstop was started with, once its own is another.
static STARTED_WITH: AtomicI32 = AtomicI32::new(HIGHEST);

/// Gives softstop itself the highest priority (nice -20): whoever has to end the others must get to run. What is started from now on
/// gets the niceness that softstop was started with.
///
/// # Errors
/// EACCES and EPERM without the capability `SYS_NICE`, which containers rarely have; go on without.
pub fn raise_priority() -> io::Result<()> {
    if STARTED_WITH.load(Ordering::Relaxed) != HIGHEST {
        return Ok(());
    }
    let own = niceness();
    set_niceness(HIGHEST)?;
    STARTED_WITH.store(own, Ordering::Relaxed);
    Ok(())
}

/// In a child, between fork and exec: the niceness that softstop was started with. Never a better one than it has, so it is permitted.
pub(super) fn give_back_priority() {
    let own = STARTED_WITH.load(Ordering::Relaxed);
    if own != HIGHEST {
        let _permitted = set_niceness(own);
    }
}

/// This process's niceness. Async-signal-safe.
pub(super) fn set_niceness(nice: i32) -> nix::Result<()> {
    set_niceness_of(0, false, nice)
}

/// Of a process, or of everybody in a group. Async-signal-safe.
fn set_niceness_of(id: libc::id_t, group: bool, nice: i32) -> nix::Result<()> {
    let which = if group { libc::PRIO_PGRP } else { libc::PRIO_PROCESS };
    // SAFETY: takes three integers and touches no memory.
    Errno::result(unsafe { libc::setpriority(which, id, nice) }).map(drop)
}

/// The niceness that what softstop starts has by default.
pub fn niceness() -> i32 {
    let own = STARTED_WITH.load(Ordering::Relaxed);
    // SAFETY: takes two integers and touches no memory; of ourselves it does not fail.
    if own == HIGHEST { unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) } } else { own }
}

/// Gives a process below us, and everybody in the group that it leads, the lowest priority (nice 19). That needs no privilege.
///
/// A process that others reap may have ended, and its pid be somebody else's: all pids would have to have been given out since it was
/// looked at, and he would lose priority and nothing else.
///
/// # Errors
/// EPERM when it runs as somebody else and we may not; ESRCH when there is no such process.
pub fn lower_priority(pid: i32) -> io::Result<()> {
    let pid = libc::id_t::try_from(pid).ok().filter(|pid| *pid > 1).ok_or(io::ErrorKind::InvalidInput)?;
    // It is not always its group's leader.
    set_niceness_of(pid, false, LOWEST)?;
    let _members = set_niceness_of(pid, true, LOWEST);
    Ok(())
}

/// Stops softstop itself, for a terminal's job control; `true` after SIGCONT. Where no shell could wake it (an orphaned process group)
/// the kernel drops SIGTSTP, as for PID 1, and this returns at once: `false`.
///
/// # Errors
/// None known.
pub fn stop_self() -> io::Result<bool> {
    let ignored = mask::disposition(Signal::TSTP) == Some(Disposition::Ignored);
    mask::set_ignored(Signal::TSTP, false);
    let sent = kill(own_pid(), libc::SIGTSTP);
    // It is pending, and taken when it is let in: softstop stops here. The SIGCONT that wakes it stays blocked, to be seen.
    let before = mask::current_mask();
    let let_in = SignalSet::of(&[libc::SIGTSTP]);
    mask::replace_mask(before.with(Signal::CONT).without(let_in));
    let woken = mask::pending().contains(Signal::CONT);
    mask::replace_mask(before);
    mask::set_ignored(Signal::TSTP, ignored);
    sent.map(|()| woken)
}

/// `kill` as the kernel has it. The callers guard against pids that mean many.
pub(super) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers and touches no memory.
    Errno::result(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Ends this process, without what the C library does at an exit: in a fork all of that is the parent's. Async-signal-safe.
pub(super) fn end_now(code: i32) -> ! {
    // SAFETY: takes an integer, and nothing of this process is used afterwards.
    unsafe { libc::_exit(code) }
}

/// Fills descriptors 0 to 2 that are closed, so that nothing we open lands there: with /dev/null, or where there is
/// none with the end of a pipe. Called by [`super::entry`], before anything is opened.
///
/// Those that it has filled.
pub fn reopen_closed_stdio() -> Vec<RawFd> {
    let closed: Vec<RawFd> = (0..=2).filter(|fd| !is_open(*fd)).collect();
    for &fd in &closed {
        if !is_open(fd) {
            // The lowest free number is this one. Not close-on-exec: children inherit their standard descriptors.
            let flags = if fd == 0 { OFlag::O_RDONLY } else { OFlag::O_WRONLY };
            match open(c"/dev/null", flags, Mode::empty()) {
                // It stays open for good.
                Ok(null) => {
                    let _open = null.into_raw_fd();
                }
                Err(_) => pipe_end_at(fd),
            }
        }
    }
    closed
}

/// Reading from it shows the end of file; writing to it fails instead of blocking.
fn pipe_end_at(fd: RawFd) {
    let Ok((read, write)) = nix::unistd::pipe2(OFlag::O_NONBLOCK) else { return };
    // The first end is `fd` itself, being the lowest free number, and stays open for good; for output the other end goes there.
    let _open = read.into_raw_fd();
    let _ = match fd {
        0 => Ok(()),
        1 => dup2_stdout(&write),
        _ => dup2_stderr(&write),
    };
}

/// A copy of a descriptor, close-on-exec, at a number above this one.
///
/// # Errors
/// EMFILE; EINVAL when there can be none above it.
pub fn copy_above(fd: impl AsFd, number: RawFd) -> io::Result<OwnedFd> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(number.saturating_add(1)))?;
    // SAFETY: just made, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A descriptor that stands for "nothing": /dev/null, or without one (an image from scratch, a bare chroot) for reading an
/// empty pipe, for writing a pipe that takes 64 KiB and then fails with EAGAIN: it neither blocks nor kills the writer. Opening it never
/// waits: /dev is in memory.
///
/// # Errors
/// EMFILE and ENFILE.
pub fn open_null(for_reading: bool) -> io::Result<OwnedFd> {
    match fs::OpenOptions::new().read(for_reading).write(!for_reading).open("/dev/null") {
        Ok(file) => return Ok(file.into()),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => return Err(e),
        Err(_) => {}
    }
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK);
    if for_reading {
        return Ok(pipe()?.0);
    }
    // A pipe that nobody can read from would kill its writers with SIGPIPE, so both ends stay open for good.
    static SINK: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
    if let Some((_, write)) = SINK.get() {
        return write.try_clone();
    }
    let ends = pipe()?;
    SINK.get_or_init(|| ends).1.try_clone()
}

/// The descriptor that a system call without a wrapper has made; its error where it has not.
///
/// # Safety
/// `returned` is what such a call has just returned: nobody else owns it.
pub(super) unsafe fn made(returned: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = RawFd::try_from(Errno::result(returned)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: by this function's contract.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no further argument and touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// The descriptors from 3 up that the launcher handed on, rising. From /proc, else by asking for the first 65,536.
///
/// # Safety
/// Whatever is open from 3 up is taken for the launcher's: nothing in this program may own a descriptor yet.
pub(super) unsafe fn take_inherited_fds() -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    if !descriptors::listed(&mut |fd| fds.push(fd)) {
        fds = descriptors::asked();
    }
    sorted::sort(&mut fds);
    // The listing's own descriptor is among them; it is closed by now.
    let open = fds.into_iter().filter(|fd| *fd >= 3 && is_open(*fd));
    // SAFETY: by this function's contract nobody owns it.
    open.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect()
}

/// Gives back to the kernel what starting up has used and does not need any more (docs/performance.md has the aim).
pub fn give_back_memory() {
    // Of the heap: the command line's parser, the configuration's. Other C libraries than glibc keep less.
    #[cfg(target_env = "gnu")]
    // SAFETY: only frees pages of the allocator that hold nothing; it takes the allocator's own lock.
    unsafe {
        libc::malloc_trim(0);
    }
    // Of the stack: what lies below the calls that are under way.
    give_back_stack();
}

/// The stack's pages are made anew, empty, as calls go deeper again.
#[inline(never)]
fn give_back_stack() {
    /// Deeper than the start goes, in bytes, and far less than what the kernel keeps free of other mappings below the first thread's stack.
    const DEEPEST: usize = 256 * 1024;
    /// More than this function's frame and that of the call below.
    const OWN: usize = 1024;
    /// The kernel refuses what does not begin at a page's edge, so where pages are larger nothing is given back.
    const PAGE: usize = 4096;
    // Below another thread's stack, which ends where others' memory begins, there may be anything.
    if nix::unistd::gettid() != nix::unistd::getpid() {
        return;
    }
    let here = 0_u8;
    let end = (&raw const here).addr().saturating_sub(OWN) & !(PAGE - 1);
    let begin = std::ptr::without_provenance_mut(end.saturating_sub(DEEPEST));
    // SAFETY: below the frames of the functions under way nothing lies on the stack of the first thread that anybody reads before writing it,
    // and nothing else lies there: the kernel keeps a megabyte and more free below. What is not mapped is passed over.
    unsafe { libc::madvise(begin, DEEPEST, libc::MADV_DONTNEED) };
}
