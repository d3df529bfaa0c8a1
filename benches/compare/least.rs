//! The least that an init on the same crates does: what softstop's rows in the table can come down to at the most. Signals are held, the program is
//! started, every signal goes to it, the dead are reaped, and its exit code is the init's. No budget, no log, no account, no control.

#![no_main]
#![expect(unsafe_code, reason = "a C main, as softstop has it")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a yardstick, not PID 1")]

use std::ffi::{CStr, c_char, c_int};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

/// `least -- PROGRAM…`; the program by its path.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, argv: *const *const c_char, environment: *const *const c_char) -> c_int {
    let signals = SigSet::all();
    signals.thread_block().unwrap();
    // SAFETY: the C library calls main with such a list, which stays as long as the process.
    let typed = unsafe { strings(argv) };
    // SAFETY: as above.
    let environment = unsafe { strings(environment) };
    let args = &typed[2..];
    let mut how = PosixSpawnAttr::init().unwrap();
    how.set_sigmask(&SigSet::empty()).unwrap();
    how.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETPGROUP).unwrap();
    let actions = PosixSpawnFileActions::init().unwrap();
    let program = posix_spawn(args[0], &actions, &how, args, &environment).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    runtime.block_on(follow(program, &signals))
}

/// # Safety
/// A list of pointers to strings that ends with a null pointer; nobody changes them.
unsafe fn strings(list: *const *const c_char) -> Vec<&'static CStr> {
    // SAFETY: by this function's contract the null pointer is the last that is read.
    let pointers = (0..).map(|nth| unsafe { *list.wrapping_add(nth) }).take_while(|string| !string.is_null());
    // SAFETY: by this function's contract.
    pointers.map(|string| unsafe { CStr::from_ptr(string) }).collect()
}

/// The program's exit code.
async fn follow(program: Pid, signals: &SigSet) -> c_int {
    let received = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).unwrap();
    // SAFETY: it owns its descriptor, and is nobody else's.
    let received = unsafe { AsyncFd::register(received) }.unwrap();
    loop {
        let mut ready = received.readable().await.unwrap();
        while let Ok(Some(signal)) = received.get_ref().read_signal() {
            match Signal::try_from(signal.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) | Err(_) => {}
                Ok(signal) => kill(program, signal).unwrap_or_default(),
            }
        }
        ready.clear_ready();
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == program => return code,
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => return 128 + signal as c_int,
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}
