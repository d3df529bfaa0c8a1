//! `[sidecar]`. Pure.

use std::time::Duration;

use super::declare::table;
use super::handler::{Found, Handler};
use super::kinds::{Limit, ProgramName};
use super::reader::Reader;
use super::task::{Retries, Task};

/// `[sidecar]`: softstop stands beside a main container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sidecar {
    pub follow: Option<Follow>,
}

/// The main container's process, in a PID namespace that both share: softstop stops when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Its name, as `wait_process` has it.
    pub command: String,
    /// Until it runs, and until it has ended.
    pub waits: [Task; 2],
}

impl Follow {
    /// `appear_within`: if it has not been seen by then, it counts as one that has ended.
    pub fn new(command: String, appear_within: Duration) -> Follow {
        let wait = |what, until, timeout| Task {
            timeout,
            retries: Retries::UntilTimeout,
            ..Task::new(format!("{what} of {command}"), Handler::WaitCommand { command: command.clone(), until })
        };
        let waits = [wait("start", Found::Running, Some(appear_within)), wait("end", Found::Ended, None)];
        Follow { command, waits }
    }
}

table! {
    pub struct SidecarKeys in "[sidecar]" {
        /// The name of the main container's program, in a shared PID namespace: when it has run and ended, softstop stops. As for
        /// [`wait_process`](configuration/waits.md#wait_process).
        follow: ProgramName { unset: "none", help: "write a program's name, such as follow = \"worker\"" };
        /// What has not been seen by then counts as ended.
        appear_within: Limit { examples: &["\"5m\"", "\"1ms\""] } = APPEAR_WITHIN;
    }
}

/// An image of the main container that is still to be pulled takes minutes.
const APPEAR_WITHIN: Duration = Duration::from_secs(5 * 60);

pub fn sidecar(reader: &mut Reader<'_>, keys: &SidecarKeys<'_>) -> Sidecar {
    let command = keys.follow.read(reader);
    let appear_within = keys.appear_within.read(reader);
    if let (Some(own), None) = (&keys.appear_within.field, &keys.follow.field)
        && reader.can_miss(&keys.table, &["follow"])
    {
        let sentence = "`appear_within` without `follow`: there is nothing to appear";
        reader.error(&own.key, sentence, "add follow, or leave it out");
    }
    Sidecar { follow: command.map(|command| Follow::new(command, appear_within.unwrap_or(APPEAR_WITHIN))) }
}
