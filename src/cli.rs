//! The command line: what can be typed, and the [`Config`](crate::config::Config) that the wrapper's flags amount to. Pure, but for
//! reading the `SOFTSTOP_` variables, which clap does, or `quick`.

mod advice;
mod beside;
pub mod commands;
pub mod declare;
pub mod drain;
pub mod flags;
mod grammar;
mod local;
pub mod pod;
pub mod quick;
pub mod reading;
pub mod settings;
mod values;
pub mod variables;

pub use commands::{AsProcfile, Check, Command, ConfigFile, Inject, Instance, Manifest, ProbeOnce, Run, Target};
pub use flags::{Common, Own, Wrapper};
pub use grammar::grammar;

/// A command line, understood.
#[derive(Debug)]
pub struct Cli {
    pub wrapper: Wrapper,
    pub command: Option<Command>,
}
