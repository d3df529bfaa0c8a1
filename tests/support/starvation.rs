//! What a busy machine does to a time that was measured: the kernel counts how long a thread was ready to run and got no processor
//! (`schedstat`). Taken off, what is left is what softstop itself took, on any machine.

// Every test file includes this module and uses a part of it.
#![allow(dead_code)]

use std::time::Duration;

/// Of a process's first thread, since it began. Zero when it has ended meanwhile.
pub fn of(pid: i32) -> Duration {
    read(&format!("/proc/{pid}/schedstat"))
}

/// Of the thread that asks.
pub fn own() -> Duration {
    read("/proc/thread-self/schedstat")
}

/// Time on a processor, time waited for one, how often; the first two in nanoseconds.
fn read(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Duration::from_nanos(text.split(' ').nth(1).and_then(|n| n.trim().parse().ok()).unwrap_or(0))
}
