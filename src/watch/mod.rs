//! `softstop status --watch`: what runs, as it changes, with keys for what can be ordered; during a stop its timeline against the deadline. Where
//! there is no terminal to draw on, a line for each change.
//!
//! An ordinary client: it asks for the status again and again ([`session`]), reads the last lines as `softstop logs -f` does, and looks at
//! /proc by itself ([`usage`]). What is shown ([`frame`]), what a key does ([`state`]) and what bytes are a key ([`keys`]) is pure.

pub mod changes;
pub mod columns;
pub mod frame;
pub mod keys;
mod screen;
mod session;
pub mod state;
#[cfg(test)]
mod tests;
pub mod usage;

pub use session::watch;
