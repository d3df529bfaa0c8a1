//! The kernel interface: what softstop asks of Linux, without policy, state machine or async. The only unsafe code.
//!
//! Every function here returns at once; the two that may wait a moment ([`spawn::spawn`] for the result of exec,
//! [`tree::kill_everything`] for a tree that keeps growing) state their limit. Nothing here panics or trusts `/proc` to
//! exist.

pub mod apart;
pub mod asked;
pub mod bind;
pub mod by_name;
#[macro_use]
mod c_strings;
mod c_texts;
pub mod capabilities;
pub mod cgroup;
pub mod commands;
mod descriptors;
pub mod entry;
mod first;
pub mod ids;
pub mod inotify;
pub mod limits;
pub mod listening;
mod loading;
pub mod mask;
pub mod notify;
mod pidfd;
pub mod plain;
pub mod process;
pub mod procfs;
pub mod pty;
pub mod reap;
pub mod routes;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod stdio;
pub mod strangers;
pub mod target;
pub mod terminal;
pub mod tree;
pub mod users;
pub mod victim;
