//! What std does not offer: the monotonic clock as a number that two processes can compare, fork, and signals that are taken one by
//! one with their sender.

#![expect(
    unsafe_code,
    reason = "an actor forks, and takes its signals with sigtimedwait; nix has no real-time signals"
)]

use std::mem::MaybeUninit;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use nix::sys::time::TimeValLike;
use nix::sys::wait::waitpid;
use nix::time::ClockId;
use nix::unistd::Pid;

/// Nanoseconds.
pub type Time = i64;

pub const MS: Time = 1_000_000;

fn clock(id: ClockId) -> Time {
    id.now().expect("it is one of the kernel's").num_nanoseconds()
}

/// `CLOCK_MONOTONIC`: the same for every process of the machine, softstop included.
pub fn now() -> Time {
    clock(ClockId::CLOCK_MONOTONIC)
}

/// What a start time in /proc (counted from the boot) is ahead of [`now`].
pub fn boot_ahead() -> Time {
    clock(ClockId::CLOCK_BOOTTIME) - now()
}

/// The pid of the new process, 0 in it.
pub fn fork() -> i32 {
    // SAFETY: only an actor calls this, and it has one thread.
    unsafe { libc::fork() }
}

pub fn exit(code: i32) -> ! {
    // SAFETY: ends the process without running what its parent registered.
    unsafe { libc::_exit(code) }
}

/// Waits for one child of an actor.
pub fn wait(pid: i32) {
    let _ = waitpid(Pid::from_raw(pid), None);
}

fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    for signal in signals {
        // SAFETY: all-zero is the empty set on Linux, and sigaddset takes any number.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: as above.
    unsafe { set.assume_init() }
}

/// Every signal that a process may take its time over: not SIGKILL and SIGSTOP, not the faults, not SIGCHLD, not glibc's own.
pub fn signals() -> Vec<i32> {
    let never = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGABRT,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGCHLD,
        libc::SIGPIPE,
        32,
        33,
    ];
    (1..=64).filter(|signal| !never.contains(signal)).collect()
}

/// Holds them until [`next_signal`] takes them.
pub fn hold(signals: &[i32]) {
    let set = set(signals);
    // SAFETY: the set is live for the call; a null old set is allowed.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// The next signal and its sender's pid, waiting at most so long.
pub fn next_signal(signals: &[i32], wait: Duration) -> Option<(i32, i32)> {
    let limit = libc::timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    let set = set(signals);
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: all three are live for the call; a zeroed siginfo is valid and is overwritten when a signal is taken.
    let signal = unsafe { libc::sigtimedwait(&raw const set, info.as_mut_ptr(), &raw const limit) };
    // SAFETY: as above.
    let info = unsafe { info.assume_init() };
    // SAFETY: a signal sent by kill has a pid in it, for others the field is not used.
    (signal > 0).then(|| (signal, unsafe { info.si_pid() }))
}

/// Ends the process by that signal's default action.
pub fn die_of(signal: i32) -> ! {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // SAFETY: SIG_DFL is no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // Not those that wait: one of them might be first.
    hold(&signals().into_iter().filter(|other| *other != signal).collect::<Vec<_>>());
    // SAFETY: raise touches no memory.
    unsafe { libc::raise(signal) };
    // SAFETY: ends the process without exit handlers.
    unsafe { libc::_exit(99) }
}

pub fn stop_self() {
    let _ = raise(Signal::SIGSTOP);
}

pub fn kill(pid: i32, signal: i32) -> bool {
    assert!(pid > 1 || crate::is_actor(), "refusing to signal {pid}");
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Whether a write of a page would not wait.
pub fn writable(fd: i32, wait_ms: i32) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one live pollfd.
    unsafe { libc::poll(&raw mut poll, 1, wait_ms) > 0 }
}
