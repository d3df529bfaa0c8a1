//! Signals sent to softstop: held back from the first statement of `main`, then received through signal-hook.
//!
//! As PID 1 a signal without a handler is discarded by the kernel, so a stop request that comes before the handlers
//! are installed would be lost; blocked it stays pending. In steady state nothing is blocked: a blocked mask leaks into
//! children.
//!
//! signal-hook's ready-made iterator keeps five whole siginfo records for each of 128 signals, 90 kB in every container; what
//! is wanted of them is how often and from whom, so its registry calls a handler of our own that notes just that.

#![expect(unsafe_code, reason = "a signal handler, and the sender's pid in siginfo's union")]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::early;
use super::mask::{self, FAULTS, SignalSet};
use super::process::check;
use crate::lifecycle::event::Sender;
use crate::signal::Signal;

/// The state that softstop was started with and that its children get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Inherited {
    /// Signals that were blocked.
    pub mask: SignalSet,
    /// Signals that were ignored.
    pub ignored: SignalSet,
}

/// Ignored by softstop itself: reading or setting the terminal from the background must not stop it.
const IGNORED: SignalSet = SignalSet::of(&[libc::SIGTTIN, libc::SIGTTOU]);
/// Not to be caught: the kernel's, and what the C library keeps for its threads.
const RESERVED: SignalSet = SignalSet::of(&[libc::SIGKILL, libc::SIGSTOP, 32, 33]);

/// Signals are blocked; nothing is installed yet.
#[derive(Debug)]
#[must_use = "signals stay blocked until they are installed"]
pub struct Early {
    inherited: Inherited,
}

/// Blocks every signal but the faults. The very first statement of `main`.
pub fn block() -> Early {
    let mask = mask::replace_mask(SignalSet::ALL.without(FAULTS));
    let mut ignored = mask::ignored();
    if !early::pipe_was_ignored() {
        ignored = ignored.without(SignalSet::of(&[libc::SIGPIPE]));
    }
    // A launcher that ignores SIGCHLD hands that on, and the kernel then reaps children by itself: no status for anyone.
    mask::set_ignored(Signal::CHLD, false);
    Early { inherited: Inherited { mask, ignored } }
}

impl Early {
    pub fn inherited(&self) -> Inherited {
        self.inherited
    }

    /// What has arrived since `block`, in order of number; it stays pending.
    pub fn pending(&self) -> Vec<Signal> {
        mask::pending().iter().collect()
    }

    /// Puts the mask and the dispositions back as they were found, for a command that needs no signal handling.
    pub fn restore(self) {
        if self.inherited.ignored.contains(Signal::CHLD) {
            mask::set_ignored(Signal::CHLD, true);
        }
        mask::replace_mask(self.inherited.mask);
    }

    /// Installs a handler for every signal that can have one, then unblocks all, so that what was pending arrives now.
    /// What each then means is the machine's to say.
    ///
    /// # Errors
    /// When no eventfd can be had or a handler is refused. Signals stay blocked then.
    pub fn install(self) -> io::Result<Signals> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        check(fd)?;
        // SAFETY: just opened, so nobody else owns it.
        let wake = unsafe { File::from_raw_fd(fd) };
        WAKE.store(wake.as_raw_fd(), Ordering::Release);
        for signal in IGNORED.iter() {
            mask::set_ignored(signal, true);
        }
        let forbidden = SignalSet::of(signal_hook::consts::FORBIDDEN);
        let wanted = SignalSet::ALL.without(FAULTS).without(IGNORED).without(RESERVED).without(forbidden);
        for signal in wanted.iter() {
            // SAFETY: `arrived` is async-signal-safe: atomics and one write; it allocates nothing, locks nothing, cannot panic.
            match unsafe { signal_hook_registry::register_sigaction(signal.number(), arrived) } {
                // musl keeps 34 for itself.
                Err(e) if signal.is_realtime() && e.raw_os_error() == Some(libc::EINVAL) => {}
                result => drop(result?),
            }
        }
        mask::replace_mask(SignalSet::EMPTY);
        Ok(Signals { wake })
    }
}

// === what the handler leaves behind: written by `arrived` alone, taken by `Signals::drain` alone ===

const SLOTS: usize = 65;
/// One bit for each signal, number 1 in the lowest.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
/// How often since it was last taken.
static COUNT: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];
/// The latest one's sender: pid in the upper half, `si_code` in the lower.
static FROM: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];
/// The eventfd that tells the loop.
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// The handler, in the middle of anything.
fn arrived(info: &libc::siginfo_t) {
    let Some(slot) = usize::try_from(info.si_signo).ok().filter(|n| (1..SLOTS).contains(n)) else { return };
    // SAFETY: for the codes that `sender` reads the pid for (kill, tgkill, sigqueue, SIGCHLD) the kernel fills it in;
    // for the others the bytes are zero or another integer, which is read as one and not used.
    let pid = unsafe { info.si_pid() };
    FROM[slot].store(u64::from(pid.cast_unsigned()) << 32 | u64::from(info.si_code.cast_unsigned()), Ordering::Relaxed);
    COUNT[slot].fetch_add(1, Ordering::Relaxed);
    ARRIVED.fetch_or(1 << (slot - 1), Ordering::Release);
    let one = 1u64.to_ne_bytes();
    // SAFETY: errno is this thread's own; what was interrupted may be about to look at it.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // SAFETY: eight bytes of our own, as an eventfd wants them. Full (2^64 - 1 arrivals) is as readable as can be.
    unsafe { libc::write(WAKE.load(Ordering::Acquire), one.as_ptr().cast(), one.len()) };
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// A signal that softstop was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    pub signal: Signal,
    pub sender: Sender,
}

/// So many of one signal are handed on at most, each time: real-time signals queue in the kernel, and each counts.
pub const MOST_OF_ONE: u32 = 64;

/// The handlers' receiving end. Its descriptor is readable when something has arrived.
#[derive(Debug)]
pub struct Signals {
    wake: File,
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Signals {
    /// What has arrived, sorted by number, not by arrival, and empties the descriptor. Of many of one signal the sender is
    /// the latest one's, so a storm costs no memory; SIGCHLD means no more than "some child may have changed". softstop's own
    /// writes to a closed pipe raise SIGPIPE too: those are left out.
    pub fn drain(&mut self) -> Vec<Received> {
        let mut count = [0; 8];
        // EAGAIN: nothing has arrived since.
        let _ = (&self.wake).read(&mut count);
        let own_pipe = Received { signal: Signal::PIPE, sender: Sender::Process(super::process::own_pid()) };
        let bits = ARRIVED.swap(0, Ordering::Acquire);
        let mut list = Vec::new();
        for signal in (1..=64).filter(|n| bits & 1 << (n - 1) != 0).filter_map(Signal::from_number) {
            let slot = signal.number().unsigned_abs() as usize;
            let times = COUNT[slot].swap(0, Ordering::Relaxed).min(MOST_OF_ONE);
            let from = FROM[slot].load(Ordering::Relaxed);
            let (pid, code) = ((from >> 32) as u32, from as u32);
            let received = Received { signal, sender: sender(signal, code.cast_signed(), pid.cast_signed()) };
            if received != own_pipe {
                list.extend(std::iter::repeat_n(received, times as usize));
            }
        }
        list
    }
}

fn sender(signal: Signal, code: i32, pid: i32) -> Sender {
    const SI_KERNEL: i32 = 0x80;
    match code {
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => match pid {
            // The kernel shows no pid for a sender that our PID namespace cannot see.
            0 => Sender::Outside,
            pid => Sender::Process(pid),
        },
        SI_KERNEL if [Signal::INT, Signal::QUIT, Signal::TSTP, Signal::HUP, Signal::WINCH].contains(&signal) => {
            Sender::Terminal
        }
        code if code > 0 && signal == Signal::CHLD && pid > 0 => Sender::Process(pid),
        _ => Sender::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_follows_from_code_and_pid() {
        assert_eq!(sender(Signal::TERM, libc::SI_USER, 0), Sender::Outside);
        assert_eq!(sender(Signal::TERM, libc::SI_USER, 42), Sender::Process(42));
        assert_eq!(sender(Signal::TERM, libc::SI_QUEUE, 42), Sender::Process(42));
        assert_eq!(sender(Signal::INT, 0x80, 0), Sender::Terminal);
        assert_eq!(sender(Signal::INT, libc::SI_USER, 0), Sender::Outside, "docker kill -s INT is no Ctrl-C");
        assert_eq!(sender(Signal::TERM, 0x80, 0), Sender::Unknown);
        assert_eq!(sender(Signal::CHLD, libc::CLD_EXITED, 7), Sender::Process(7));
        assert_eq!(sender(Signal::USR1, libc::SI_TIMER, 3), Sender::Unknown);
    }
}
