//! The static binary in real containers and on other kernels.

#[path = "../podman/mod.rs"]
mod podman;
#[path = "../support/mod.rs"]
mod support;
#[path = "../vm/mod.rs"]
mod vm;

mod container;
mod kernels;
mod platforms;
mod static_binary;
