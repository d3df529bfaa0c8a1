//! The first instructions. The binary has a C `main` (`#![no_main]`), so Rust's runtime does not run before it. What that would have
//! done is decided here:
//!
//! - It installs handlers for SIGSEGV and SIGBUS on a small alternate stack, to name a stack overflow. As PID 1 that is fatal: the
//!   kernel drops such a signal from inside the container only while nobody handles it. softstop handles no signal at all.
//! - It ignores SIGPIPE. softstop blocks it, as it does every signal: [`super::signals`].
//! - It fills closed standard descriptors with /dev/null, and *aborts* where there is none (an image from scratch).
//!   [`process::reopen_closed_stdio`] does without.
//! - It remembers the arguments, which are handed to the program here, and names the main thread.
//! - It catches a panic that reaches `main`: that is the program's to do, as unwinding out of here aborts.
//! - At the end it flushes standard output: `std::process::exit` does so, too.

#![expect(unsafe_code, reason = "the arguments of a C main are pointers")]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

use super::process;
use super::signals::{self, Early};

/// Makes `program`, a `fn(Vec<OsString>, Early) -> u8`, the binary's C `main`. Its crate says `#![no_main]`.
#[macro_export]
macro_rules! entry {
    ($program:path) => {
        // SAFETY: with `#![no_main]` nothing else defines `main`, and this is the signature that the C library calls it with.
        #[unsafe(no_mangle)]
        extern "C" fn main(argc: ::std::ffi::c_int, argv: *const *const ::std::ffi::c_char) -> ::std::ffi::c_int {
            // SAFETY: these are what the C library has called main with.
            unsafe { $crate::sys::entry::start(argc, argv, $program) }
        }
    };
}

/// Holds the signals, gets the process into order, runs `program` with the arguments and ends with its exit code.
///
/// # Safety
/// To be called with what the C library has called `main` with, and before anything is opened: `argv` has `argc` pointers to NUL-terminated
/// strings.
#[expect(clippy::exit, reason = "the end of main")]
pub unsafe fn start(argc: c_int, argv: *const *const c_char, program: fn(Vec<OsString>, Early) -> u8) -> c_int {
    // Before anything else: a stop request that comes before it can be received would be discarded by the kernel.
    let mut early = signals::block();
    // SAFETY: nothing has been opened yet.
    early.descriptors = unsafe { process::take_inherited_fds() };
    early.filled = process::reopen_closed_stdio();
    // SAFETY: by this function's contract, and changed by nobody.
    let pointers = unsafe { std::slice::from_raw_parts(argv, usize::try_from(argc).unwrap_or(0)) };
    let args = pointers.iter().map(|arg| {
        // SAFETY: by this function's contract; they live as long as the process and are changed by nobody.
        let arg = unsafe { CStr::from_ptr(*arg) };
        OsStr::from_bytes(arg.to_bytes()).to_os_string()
    });
    let code = program(args.collect(), early);
    std::process::exit(c_int::from(code))
}
