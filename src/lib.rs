//! softstop: the first process in a container.
//!
//! A functional core in an imperative shell. Arrows go one way; `tests/pages/layering.rs` reads the sources and fails when
//! one does not.
//!
//! ```text
//! config ──► plan ──► lifecycle ──┐          text → valid settings → intent → (event, time) → actions   all pure
//!                        sys ─────┼──► runtime    syscalls, the only unsafe; the loop, the only clock
//!        output, http, control ───┘        │
//!                                          └──► report   one recorded history → log, termination message, JSON
//! ```
//!
//! Read in this order: [`config`] (what the user asked for), [`plan`] (what follows from it: order and budget),
//! [`lifecycle`] (what happens, as a pure state machine), [`runtime`] (the loop that carries it out with [`sys`]).

pub mod cli;
pub mod config;
pub mod control;
pub mod drill;
pub mod drop_in;
pub mod endpoint;
pub mod exit;
pub mod facts;
pub mod http;
pub mod json;
pub mod lifecycle;
pub mod nearest;
pub mod order;
pub mod output;
pub mod picture;
pub mod plan;
pub mod planned;
#[cfg_attr(not(feature = "yaml"), allow(dead_code, reason = "without a reader of manifests only the writer is used"))]
pub mod pod;
pub mod probe;
pub mod programs;
pub mod record;
pub mod report;
pub mod resolver;
pub mod runtime;
pub mod schedule;
pub mod signal;
pub mod sorted;
pub mod status;
pub mod sys;
pub mod tasks;
pub mod text;
pub mod time;
pub mod variables;
pub mod watch;
