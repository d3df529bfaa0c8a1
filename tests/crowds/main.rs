//! Many of something: processes, signals, clients. They need the machine, so nothing that watches the clock stands here.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait for their own children, and are many clients at once"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod attacked;
mod control_hostile;
mod hostile_http;
mod load;
mod many;
mod signal_storms;
mod stragglers;
