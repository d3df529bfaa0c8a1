//! The command line: what can be typed, and the [`Config`](crate::config::Config) that the wrapper's flags amount to. Pure, but for
//! reading the `SOFTSTOP_` variables.

mod advice;
mod beside;
pub mod commands;
pub mod declare;
pub mod drain;
pub mod drilling;
#[cfg_attr(not(feature = "explain"), path = "cli/unexplained.rs")]
pub mod explain;
pub mod flags;
pub mod help;
mod layout;
mod local;
pub mod pod;
pub mod reader;
pub mod reading;
pub mod settings;
mod topics;
mod values;
pub mod variables;

pub use commands::{
    AsProcfile, Check, Command, ConfigFile, Injecting, Instance, OfFile, Planning, Printing, Reporting, Run, Target,
};
pub use flags::{Common, Own, Wrapper};

/// A command line, understood.
#[derive(Debug)]
pub struct Cli {
    pub wrapper: Wrapper,
    pub command: Option<Command>,
}
