//! One fault at a time, made on purpose: files, kernel, limits, output, places, processes that do not react, foreign code, a softstop that is late.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait for their own children and ask in threads"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod files;
mod foreign_code;
mod host;
mod install;
mod kernel;
mod last_lines;
mod late;
mod limits;
mod nested;
mod output;
mod place;
mod stuck;
