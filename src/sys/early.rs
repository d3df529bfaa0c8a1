//! What must be seen and mended before `main`: Rust's runtime starts by ignoring SIGPIPE and by opening /dev/null for
//! closed standard descriptors, and *aborts* when there is no /dev/null (a scratch image). Both happen before the first
//! statement of `main`, so a constructor in `.init_array` comes first: it notes SIGPIPE's disposition, which children
//! must get back, and fills descriptors 0 to 2. It does nothing else, so linking this library stays harmless.

#![expect(unsafe_code, reason = "a constructor is placed by its link section")]

use std::sync::atomic::{AtomicBool, Ordering};

use super::mask::{self, Disposition};
use crate::signal::Signal;

static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn before_main() {
    super::process::reopen_closed_stdio();
    PIPE_IGNORED.store(
        mask::disposition(Signal::PIPE) == Some(Disposition::Ignored),
        Ordering::Relaxed,
    );
}

// SAFETY: .init_array is an array of function pointers which the C library calls once each, on the only thread, before
// main; before_main has the C ABI, takes none of the arguments that it may be passed, and needs nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// Whether SIGPIPE was ignored when the program was started, which Rust's runtime has since overwritten.
pub(super) fn pipe_was_ignored() -> bool {
    PIPE_IGNORED.load(Ordering::Relaxed)
}
