//! Signals sent to softstop: held back from the first statement of `main`, then received through signal-hook.
//!
//! As PID 1 a signal without a handler is discarded by the kernel, so a stop request that comes before the handlers
//! are installed would be lost; blocked it stays pending. In steady state nothing is blocked: a blocked mask leaks into
//! children.

#![expect(unsafe_code, reason = "the sender's pid is in a union of siginfo")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;

use super::early;
use super::mask::{self, FAULTS, SignalSet};
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
    /// URG is among them: softstop's own runtime never sends it, so it is passed on like any other.
    ///
    /// # Errors
    /// When no socket pair can be had or a handler is refused. Signals stay blocked then.
    pub fn install(self) -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        for signal in IGNORED.iter() {
            mask::set_ignored(signal, true);
        }
        let none: [i32; 0] = [];
        let delivery = SignalDelivery::with_pipe(read, write, WithRawSiginfo, none)?;
        let handle = delivery.handle();
        for signal in SignalSet::ALL.without(FAULTS).without(IGNORED).without(RESERVED).iter() {
            match handle.add_signal(signal.number()) {
                // musl keeps 34 for itself.
                Err(e) if signal.is_realtime() && e.raw_os_error() == Some(libc::EINVAL) => {}
                result => result?,
            }
        }
        mask::replace_mask(SignalSet::EMPTY);
        Ok(Signals { delivery })
    }
}

/// A signal that softstop was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    pub signal: Signal,
    pub sender: Sender,
}

/// The handlers' receiving end. Its descriptor is readable when something has arrived.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, WithRawSiginfo>,
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.delivery.get_read().as_raw_fd()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

impl Signals {
    /// What has arrived, sorted by number, not by arrival, and empties the descriptor. At most five of one signal are
    /// kept between two calls, so a storm costs no memory; SIGCHLD means no more than "some child may have changed".
    /// softstop's own writes to a closed pipe raise SIGPIPE too: those are left out.
    pub fn drain(&mut self) -> Vec<Received> {
        let own = Sender::Process(super::process::own_pid());
        let own_pipe = |r: &Received| r.signal == Signal::PIPE && r.sender == own;
        self.delivery.pending().filter_map(|info| received(&info)).filter(|r| !own_pipe(r)).collect()
    }
}

fn received(info: &libc::siginfo_t) -> Option<Received> {
    let signal = Signal::from_number(info.si_signo)?;
    // SAFETY: for the codes that `sender` reads the pid for (kill, tgkill, sigqueue, SIGCHLD) the kernel fills it in;
    // for the others the bytes are zero or another integer, which is read as one and not used.
    let pid = unsafe { info.si_pid() };
    Some(Received { signal, sender: sender(signal, info.si_code, pid) })
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
