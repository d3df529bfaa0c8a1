//! softstop's own exit codes: for the code by name, and for people in one table, which the page and `softstop help exit-codes` have. Pure.
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

/// What softstop exits with and when, for people; docs/exit-codes.md has the same.
pub const TABLE: &[(&str, &str)] = &[
    ("0 to 255", "the main process's own exit code"),
    (
        "128 + n",
        "the main process was ended by signal n: 143 for SIGTERM, 137 for SIGKILL, 139 for SIGSEGV, 165 for SIGRTMIN+3",
    ),
    (
        "128 + n",
        "signal n asked for the stop before any process had been started (`softstop stop` and `drain` count as SIGTERM)",
    ),
    ("0", "every process has ended, and none of them failed"),
    (
        "1",
        "an init task or a `post_start` task with `on_failure = \"stop\"` failed without an exit code of its own (a timeout, a refused \
            connection), or a process waits for something that can never be",
    ),
    ("any", "such a task's program failed: its exit code"),
    ("64", "the command line is wrong, a variable's value or a flag laid over the file included"),
    ("65", "of `softstop check --pod`: nothing is wrong in what was read, and something was not"),
    ("69", "an order found no running softstop to give it to"),
    ("70", "softstop itself failed: the port is taken, no process can be made, a fault"),
    ("77", "an order came from somebody who may give none"),
    ("78", "the configuration is wrong or cannot be read; nothing was started"),
    ("126", "the program is there but cannot be executed, or its user or directory cannot be had"),
    ("127", "the program is not there"),
];

/// The code of a process ended by a signal, as a shell says it.
pub fn for_signal(number: i32) -> u8 {
    u8::try_from(number & 0x7f).map_or(128, |n| 128 + n)
}
