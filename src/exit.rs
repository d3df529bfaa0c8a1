//! softstop's own exit codes: one table, used by the code and printed in the docs. Pure.
//!
//! Stable: Job policies (`podFailurePolicy`, `restartPolicyRules`) act on these numbers.

/// Everything went well, or the main process ended with 0.
pub const OK: u8 = 0;
/// An init task or a `post_start` task with `on_failure = "stop"` failed without an exit code of its own (a timeout, a
/// refused connection), or a dependency can never be fulfilled. From a client: the running softstop refused the order.
pub const FAILED: u8 = 1;
/// The command line is wrong (sysexits' EX_USAGE).
pub const USAGE: u8 = 64;
/// Of `softstop check --pod`: nothing is wrong in what was read, and something was not (sysexits' EX_DATAERR).
pub const UNREAD: u8 = 65;
/// No running softstop answers a client's order (sysexits' EX_UNAVAILABLE).
pub const UNAVAILABLE: u8 = 69;
/// softstop itself failed (sysexits' EX_SOFTWARE).
pub const INTERNAL: u8 = 70;
/// A client may give no orders: it runs as another user, or the address is not softstop's (sysexits' EX_NOPERM).
pub const NO_PERMISSION: u8 = 77;
/// The configuration is wrong (sysexits' EX_CONFIG). Nothing was started.
pub const CONFIG: u8 = 78;
/// The program was found but cannot be executed, as a shell says it.
pub const NOT_EXECUTABLE: u8 = 126;
/// The program was not found, as a shell says it.
pub const NOT_FOUND: u8 = 127;

/// The code of a process ended by a signal, as a shell says it.
pub fn for_signal(number: i32) -> u8 {
    u8::try_from(number & 0x7f).map_or(128, |n| 128 + n)
}
