//! softstop under other programs' names, beside the real ones: same inputs, same outputs, exit codes, and signals seen by the child, over
//! generated matrices, as PID 1 and not. What may differ stands in docs/drop-in.md.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait for their own children and read in threads"
)]

#[path = "../support/mod.rs"]
mod support;

mod catatonit;
mod dumb_init;
mod pair;
mod powers;
mod terminal;
mod tini;
