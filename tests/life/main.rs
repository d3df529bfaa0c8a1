//! The life of the real binary with real processes, from the first start to the exit code.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait for their own children and ask in threads"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod corners;
mod corners_start;
mod diagnosis;
mod identity;
mod local;
mod notify;
mod pid1;
mod run;
mod services;
mod shell;
mod sidecar;
mod signals;
mod stop;
mod subreaper;
mod terminal;
mod waits;
mod watch;
