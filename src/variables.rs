//! The variables that softstop sets for what it runs. Those that it reads are declared with the flags, in [`crate::cli`]. Pure.

use std::ffi::OsString;

use crate::config::{Config, Control};

/// Why the stop began, in one word; for hooks and steps.
pub const REASON: &str = "SOFTSTOP_REASON";
/// What a hook or step may take.
pub const REMAINING_MS: &str = "SOFTSTOP_REMAINING_MS";
/// What softstop is about to exit with, for `post_stop`; how its process has ended, for `post_exit`.
pub const EXIT_CODE: &str = "SOFTSTOP_EXIT_CODE";
/// The signal that has ended its process, by its name; for `post_exit`.
pub const EXIT_SIGNAL: &str = "SOFTSTOP_EXIT_SIGNAL";
/// The process that has ended; for `post_exit`.
pub const PROCESS: &str = "SOFTSTOP_PROCESS";
/// Where the softstop that started this takes orders, as `--control` has it, unless a client finds that unaided.
pub const INSTANCE: &str = "SOFTSTOP_INSTANCE";
/// Where it serves its endpoints, as `--http` has it.
pub const INSTANCE_HTTP: &str = "SOFTSTOP_INSTANCE_HTTP";

/// Each with what it says, for `softstop help variables`.
pub const ALL: [(&str, &str); 7] = [
    (REASON, "hooks and steps: why the stop began, in one word"),
    (REMAINING_MS, "hooks and steps: the milliseconds that they may take"),
    (EXIT_CODE, "post_stop: what softstop is about to exit with; post_exit: how the process has ended"),
    (EXIT_SIGNAL, "post_exit: the signal that has ended the process, by its name"),
    (PROCESS, "post_exit: the process that has ended"),
    (INSTANCE, "where softstop takes orders, as --control has it, unless a client finds that unaided"),
    (INSTANCE_HTTP, "where softstop serves its endpoints, as --http has it"),
];

/// How clients among softstop's children find it: its own settings are not handed down to them. `None`: the variable is not set, and one
/// that was inherited is removed.
pub fn of_instance(config: &Config) -> [(&'static str, Option<OsString>); 2] {
    let control = match &config.control {
        Control::Own => None,
        Control::Off => Some("off".into()),
        Control::Abstract(name) => Some(format!("@{name}").into()),
        Control::Path(path) => Some(path.clone().into_os_string()),
    };
    let http = config.http.as_ref().map(|http| http.listen.to_string().into());
    [(INSTANCE, control), (INSTANCE_HTTP, http)]
}
