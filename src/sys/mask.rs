//! Signal masks and dispositions by the kernel's own numbers.
//!
//! By raw system call where glibc would edit the answer: its `sigprocmask` drops 32 and 33 from every set, and a mask
//! that is handed on to a child must come out as it went in.

#![expect(unsafe_code, reason = "signal masks and dispositions have no complete safe wrapper")]

use std::mem::MaybeUninit;

use crate::signal::Signal;

/// Signals that a fault of the program itself raises. They stay unblocked and unhandled.
pub const FAULTS: SignalSet = SignalSet::of(&[
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
]);

/// A set of signals 1 to 64, as the kernel keeps it: signal n is bit n-1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    pub const EMPTY: SignalSet = SignalSet(0);
    pub const ALL: SignalSet = SignalSet(u64::MAX);

    /// Numbers outside 1 to 64 are left out.
    pub const fn of(numbers: &[i32]) -> SignalSet {
        let mut bits = 0;
        let mut i = 0;
        while i < numbers.len() {
            if numbers[i] >= 1 && numbers[i] <= 64 {
                bits |= 1 << (numbers[i] - 1);
            }
            i += 1;
        }
        SignalSet(bits)
    }

    pub const fn from_bits(bits: u64) -> SignalSet {
        SignalSet(bits)
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    pub fn contains(self, signal: Signal) -> bool {
        self.0 & SignalSet::of(&[signal.number()]).0 != 0
    }

    #[must_use]
    pub fn with(self, signal: Signal) -> SignalSet {
        SignalSet(self.0 | SignalSet::of(&[signal.number()]).0)
    }

    #[must_use]
    pub const fn without(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }

    #[must_use]
    pub const fn union(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }

    /// In rising order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=64).filter_map(Signal::from_number).filter(move |signal| self.contains(*signal))
    }
}

/// What the kernel does with a signal that is not blocked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    Default,
    Ignored,
    Handled,
}

// The kernel has 64 signals, one for each bit, everywhere but on MIPS, where it has 128 and reads sets of twice the size.
const _: () = assert!(u64::BITS == Signal::MAX as u32, "a set has a bit for each signal");
const _: () = assert!(cfg!(not(any(target_arch = "mips", target_arch = "mips64"))), "this kernel has 128 signals");

/// Makes `set` the calling thread's mask and returns the former one. Async-signal-safe. KILL and STOP are never blocked,
/// whatever the set says.
pub fn replace_mask(set: SignalSet) -> SignalSet {
    mask(Some(set))
}

/// The calling thread's mask.
pub fn current_mask() -> SignalSet {
    mask(None)
}

fn mask(new: Option<SignalSet>) -> SignalSet {
    let mut old: u64 = 0;
    let new = new.as_ref().map_or(std::ptr::null(), |set| &raw const set.0);
    // SAFETY: the pointers are to live u64, which is the kernel's sigset_t for 64 signals, and the size passed says so; a null new set only
    // asks. With a valid `how`, size and pointers the call cannot fail.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, &raw mut old, size_of::<u64>());
    }
    SignalSet(old)
}

/// The signals that were sent to this process or thread and are held back by its mask.
pub fn pending() -> SignalSet {
    let mut set: u64 = 0;
    // SAFETY: `set` is a live u64 of the size passed.
    unsafe {
        libc::syscall(libc::SYS_rt_sigpending, &raw mut set, size_of::<u64>());
    }
    SignalSet(set)
}

/// `None` for what the C library keeps for itself (32 and 33, with musl also 34).
pub fn disposition(signal: Signal) -> Option<Disposition> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; the old one is written to live memory of the right type.
    let rc = unsafe { libc::sigaction(signal.number(), std::ptr::null(), action.as_mut_ptr()) };
    if rc != 0 {
        return None;
    }
    // SAFETY: the call above succeeded and has filled it; all-zero is valid for it anyway.
    let action = unsafe { action.assume_init() };
    Some(match action.sa_sigaction {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handled,
    })
}

/// Every signal that is ignored.
pub fn ignored() -> SignalSet {
    let all = SignalSet::ALL.iter();
    all.filter(|signal| disposition(*signal) == Some(Disposition::Ignored)).fold(SignalSet::EMPTY, SignalSet::with)
}

/// Sets a signal to its default or to be ignored. Async-signal-safe. `false` when it cannot be set (KILL, STOP, the C
/// library's own).
pub fn set_ignored(signal: Signal, ignore: bool) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let handler = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: the pointer is to live memory; all-zero is a valid sigaction (no flags, empty mask).
    unsafe { (*action.as_mut_ptr()).sa_sigaction = handler };
    // SAFETY: the action is initialised and names no function of ours, so nothing can be called that does not exist.
    unsafe { libc::sigaction(signal.number(), action.as_ptr(), std::ptr::null_mut()) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = SignalSet::of(&[1, 15, 64, 0, 65, -3]);
        assert_eq!(set.iter().map(Signal::number).collect::<Vec<_>>(), [1, 15, 64]);
        assert_eq!(set.bits(), 1 | 1 << 14 | 1 << 63);
        assert_eq!(SignalSet::ALL.without(set).union(set), SignalSet::ALL);
        assert!(!SignalSet::EMPTY.contains(Signal::TERM));
        assert_eq!(SignalSet::ALL.iter().count(), 64);
    }

    #[test]
    fn the_mask_goes_in_and_comes_out_with_the_c_librarys_own_signals() {
        let before = current_mask();
        let wanted = SignalSet::of(&[10, 32, 33, 40]);
        assert_eq!(replace_mask(wanted), before);
        assert_eq!(current_mask(), wanted);
        assert_eq!(replace_mask(before), wanted);
    }

    #[test]
    fn kill_and_stop_cannot_be_ignored() {
        assert!(!set_ignored(Signal::KILL, true));
        assert!(!set_ignored(Signal::STOP, true));
    }
}
