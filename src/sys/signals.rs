//! Signals sent to softstop: blocked from the first instruction to the last, and read from a signalfd. No handler is ever installed.
//!
//! So nothing that a process sends can make softstop run code at an instant, or on a stack, that the sender picks: there is nothing to
//! nest, nothing to overflow, no system call to interrupt. What is blocked waits in the kernel, a signal that comes twice counting once
//! (real-time ones queue, up to RLIMIT_SIGPENDING), with who sent it and why.
//!
//! The signals of faults are not blocked, so that `kill -ABRT` still ends a softstop that is not PID 1. As PID 1 the kernel drops them: they
//! have their default action, whatever they come after. A fault of softstop's own ends it in any case; blocked or not makes no difference.
//!
//! Children get the mask that softstop was started with, between fork and exec. The processes that fork and do not exec
//! ([`super::spawn::writer`], [`super::spawn::stack`]) keep all blocked: they end by themselves or by SIGKILL.

#![expect(unsafe_code, reason = "signalfd's records are read into memory of ours; nix's reader gives one a call")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use signal_hook::consts::{SIGKILL, SIGSTOP, SIGTTIN, SIGTTOU, SIGXCPU, SIGXFSZ};

use super::first;
use super::limits::{self, Raised};
use super::mask::{self, Disposition, FAULTS, SignalSet};
use super::process;
use crate::facts::Sender;
use crate::signal::Signal;

/// The state that softstop was started with and that its children get. All else that a process inherits (ignored signals, umask, niceness,
/// hard limits, …) softstop leaves as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Inherited {
    /// Signals that were blocked.
    pub mask: SignalSet,
    /// SIGCHLD was ignored: the one disposition that softstop changes.
    pub ignores_chld: bool,
    /// The limits that softstop has raised for itself.
    pub limits: Raised,
}

/// Blocked as long as softstop runs.
pub(super) const HELD: SignalSet = SignalSet::ALL.without(FAULTS).without(SignalSet::of(&[SIGKILL, SIGSTOP]));
/// Read and forgotten: reading or setting the terminal from the background must not stop softstop, and means nothing to its program, which is
/// in a group of its own; 32 and 33 are what the C libraries keep for their threads.
const DROPPED: SignalSet = SignalSet::of(&[SIGTTIN, SIGTTOU, 32, 33]);
/// What the kernel sends a process about what it does itself: too much processor time, too long a file, a pipe that nobody reads, faults.
const OWN: SignalSet = SignalSet::of(&[SIGXCPU, SIGXFSZ, libc::SIGPIPE]).union(FAULTS);

/// Signals are blocked; nothing is received yet.
#[derive(Debug)]
#[must_use = "signals stay blocked until they are received"]
pub struct Early {
    inherited: Inherited,
    pub(super) descriptors: Vec<OwnedFd>,
    /// The standard descriptors that were closed: the entry point has filled them.
    pub(super) filled: Vec<RawFd>,
}

/// Blocks every signal but the faults, where the entry point ([`super::first`]) has not, and raises softstop's own limits. The very first
/// statement.
pub fn block() -> Early {
    let replaced = mask::replace_mask(HELD);
    let mask = first::found().unwrap_or(replaced);
    // A launcher that ignores SIGCHLD hands that on, and the kernel then reaps children by itself: no status for anyone.
    let ignores_chld = mask::disposition(Signal::CHLD) == Some(Disposition::Ignored);
    if ignores_chld {
        mask::set_ignored(Signal::CHLD, false);
    }
    Early {
        inherited: Inherited { mask, ignores_chld, limits: limits::raise() },
        descriptors: Vec::new(),
        filled: Vec::new(),
    }
}

impl Inherited {
    /// In a fork of softstop that is to become a program as softstop was started: mask, SIGCHLD and limits.
    pub fn give_back(&self) {
        self.limits.give_back();
        if self.ignores_chld {
            mask::set_ignored(Signal::CHLD, true);
        }
        mask::replace_mask(self.mask);
    }
}

impl Early {
    pub fn inherited(&self) -> Inherited {
        self.inherited
    }

    /// The descriptors from 3 up that the launcher handed on, as [`super::entry`] has found them; none where the program has another `main`.
    /// Whoever drops them closes them.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// What has arrived since `block`, in order of number; it stays pending.
    pub fn pending(&self) -> Vec<Signal> {
        mask::pending().iter().collect()
    }

    /// Puts the mask and SIGCHLD back as they were found, and leaves the launcher's descriptors open, for a command that needs no signal
    /// handling. Such a command starts nothing, and ignores SIGPIPE: what it says with its exit code does not depend on who reads its output.
    pub fn restore(self) {
        if self.inherited.ignores_chld {
            mask::set_ignored(Signal::CHLD, true);
        }
        mask::set_ignored(Signal::PIPE, true);
        mask::replace_mask(self.inherited.mask);
        for descriptor in self.descriptors {
            let _open = descriptor.into_raw_fd();
        }
    }

    /// From now on what was sent can be taken, also what is pending. What each means is the machine's to say.
    ///
    /// # Errors
    /// When no signalfd can be had: EMFILE, ENFILE, ENOMEM.
    pub fn receive(self) -> io::Result<Signals> {
        let set = HELD.bits();
        // SAFETY: the kernel reads eight bytes, which is its sigset_t, from live memory; -1 asks for a new descriptor.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_signalfd4,
                -1,
                &raw const set,
                size_of_val(&set),
                libc::SFD_NONBLOCK | libc::SFD_CLOEXEC,
            )
        };
        // SAFETY: what the call has returned.
        Ok(Signals { file: unsafe { process::made(fd) }?.into(), more: false })
    }
}

/// A signal that softstop was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    pub signal: Signal,
    pub sender: Sender,
}

/// So many are read at once, of 128 bytes each.
const RECORDS: usize = 32;
/// So many are handed on each time at most: whoever queues real-time signals without end keeps nobody else waiting.
pub const MOST: usize = 256;

/// The receiving end. Its descriptor is readable when something has arrived.
#[derive(Debug)]
pub struct Signals {
    file: File,
    more: bool,
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Signals {
    /// What has arrived, the lower numbers first, [`MOST`] at the most. A signal that came twice before it was taken is one, with its first
    /// sender; each real-time one counts. SIGCHLD means no more than "some child may have changed".
    pub fn drain(&mut self) -> Vec<Received> {
        let own_pid = process::own_pid();
        let mut list = Vec::new();
        self.more = true;
        for _ in 0..MOST / RECORDS {
            let mut records = [const { MaybeUninit::<libc::signalfd_siginfo>::uninit() }; RECORDS];
            // SAFETY: the kernel writes whole records into live memory, no more than fit.
            let n = unsafe { libc::read(self.file.as_raw_fd(), records.as_mut_ptr().cast(), size_of_val(&records)) };
            let n = usize::try_from(n).unwrap_or(0) / size_of::<libc::signalfd_siginfo>();
            for record in records.iter().take(n) {
                // SAFETY: the kernel has filled the first n.
                let record = unsafe { record.assume_init_ref() };
                let Some(signal) = i32::try_from(record.ssi_signo).ok().and_then(Signal::from_number) else { continue };
                if !DROPPED.contains(signal) {
                    let sender = sender(signal, record.ssi_code, record.ssi_pid.cast_signed(), own_pid);
                    list.push(Received { signal, sender });
                }
            }
            if n < RECORDS {
                // The kernel had no more to give.
                self.more = false;
                break;
            }
        }
        list
    }

    /// The last [`Signals::drain`] has left something behind: come again without waiting for the descriptor, which tells of arrivals alone.
    pub fn more(&self) -> bool {
        self.more
    }
}

fn sender(signal: Signal, code: i32, pid: i32, own_pid: i32) -> Sender {
    const SI_KERNEL: i32 = 0x80;
    match code {
        // For a pipe and a file the kernel says that softstop has sent it to itself.
        libc::SI_USER if OWN.contains(signal) && pid == own_pid => Sender::Kernel,
        code if code > 0 && OWN.contains(signal) => Sender::Kernel,
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

    const OWN_PID: i32 = 1;

    fn sender(signal: Signal, code: i32, pid: i32) -> Sender {
        super::sender(signal, code, pid, OWN_PID)
    }

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

    /// As Linux 6.18 tells them: `send_sig(SIGXFSZ, current, 0)`, `SEND_SIG_PRIV` for the processor time, a positive code for faults.
    #[test]
    fn what_the_kernel_sends_about_softstop_itself_is_told_from_what_others_send() {
        let [xfsz, xcpu, segv] = [SIGXFSZ, SIGXCPU, libc::SIGSEGV].map(|n| Signal::from_number(n).unwrap());
        for signal in [Signal::PIPE, xfsz] {
            assert_eq!(sender(signal, libc::SI_USER, OWN_PID), Sender::Kernel);
            assert_eq!(sender(signal, libc::SI_USER, 42), Sender::Process(42));
            assert_eq!(sender(signal, libc::SI_USER, 0), Sender::Outside);
        }
        assert_eq!(sender(xcpu, 0x80, 0), Sender::Kernel);
        assert_eq!(sender(xcpu, libc::SI_USER, 0), Sender::Outside);
        assert_eq!(sender(xcpu, libc::SI_TKILL, 42), Sender::Process(42));
        assert_eq!(sender(segv, 1, 0), Sender::Kernel);
        let alarm = Signal::from_number(libc::SIGALRM).unwrap();
        assert_eq!(sender(alarm, 0x80, 0), Sender::Unknown, "a timer that the launcher has set for its program");
    }

    #[test]
    fn nothing_that_is_blocked_is_a_fault_and_nothing_else_is_let_in() {
        let let_in = SignalSet::ALL.without(HELD);
        assert_eq!(let_in, FAULTS.union(SignalSet::of(&[SIGKILL, SIGSTOP])));
        assert!(
            signal_hook::consts::FORBIDDEN.iter().all(|n| SignalSet::of(&[*n]).without(let_in) == SignalSet::EMPTY)
        );
    }
}
