//! The static binary in real containers and on other kernels.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests run containers and machines, and fail by panicking"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;
#[path = "../podman/mod.rs"]
mod podman;
#[path = "../vm/mod.rs"]
mod vm;

mod container;
mod kernels;
mod packages;
mod platforms;
mod quick_start;
mod static_binary;
