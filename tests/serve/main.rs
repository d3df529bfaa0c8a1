//! What people and platforms meet of the real binary: its command line, its endpoints, its drains.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait for their own children and ask in threads"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

// The first by name: it waits for the next minute to begin.
mod a_schedule;
mod addresses;
mod command_line;
mod config_refused;
mod control;
#[path = "../declared/mod.rs"]
mod declared;
mod drain_auto;
mod drill;
mod edges;
mod examples;
mod logs;
#[path = "../core/mistakes/mod.rs"]
mod mistakes;
mod monitoring;
mod on_change;
mod pod;
mod presets;
mod prestop;
mod probe;
mod probe_kinds;
mod recipes;
mod recipes_servers;
mod reload;
mod seeing;
mod sockets;
mod wait_idle;
