//! What a process says of itself over NOTIFY_SOCKET (sd_notify(3)) or its notification descriptor (s6). Pure.

use std::time::Duration;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Notification {
    /// READY=1, or a line.
    Ready,
    /// RELOADING=1: until it is `Ready` again.
    Reloading,
    /// STOPPING=1.
    Stopping,
    /// STATUS=: one line in printable characters, bounded; empty takes it back.
    Status(String),
    /// WATCHDOG=1.
    Alive,
    /// WATCHDOG=trigger: it wants what a late watchdog gets.
    Unwell,
    /// WATCHDOG_USEC=: from now on it says that often that it is alive. Zero: no more.
    AliveWithin(Duration),
    /// EXTEND_TIMEOUT_USEC=: what it is at takes so much longer, from now.
    MoreTime(Duration),
}
