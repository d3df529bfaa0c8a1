//! `[stragglers]` and `[process.stragglers]`. Pure.

use std::time::Duration;

use super::declare::table;
use super::kinds::{Pause, StopSignal};
use super::reader::Reader;
use crate::signal::Signal;

/// `[stragglers]` and `[process.stragglers]`: processes that live on when those that softstop started have ended. What is `None` is the
/// container's, and there the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stragglers {
    /// They may end by themselves for so long before they are signalled. Default: not at all.
    pub wait: Option<Duration>,
    /// Default: SIGTERM; for a process's group the first signal of its ladder.
    pub signal: Option<Signal>,
    /// From that signal to SIGKILL. Default: all the time that the stop of the processes has; 10 s while the container goes on.
    pub timeout: Option<Duration>,
    /// The same when nobody asked for the stop. Default: [`DEFAULT_TIMEOUT_WHEN_ENDED`].
    pub timeout_when_ended: Option<Duration>,
}

impl Stragglers {
    /// A process's own words, and the container's where it has none.
    #[must_use]
    pub fn or(self, container: Stragglers) -> Stragglers {
        Stragglers {
            wait: self.wait.or(container.wait),
            signal: self.signal.or(container.signal),
            timeout: self.timeout.or(container.timeout),
            timeout_when_ended: self.timeout_when_ended.or(container.timeout_when_ended),
        }
    }
}

/// A container that ended by itself is to be restarted soon.
pub const DEFAULT_TIMEOUT_WHEN_ENDED: Duration = Duration::from_secs(3);

table! {
    pub struct StragglersKeys in "stragglers" {
        /// They may end by themselves for so long before they are signalled.
        wait: Pause { examples: &["\"1s\""] } = Duration::ZERO;
        /// What they get then. Not SIGKILL, SIGSTOP or SIGCONT.
        signal: StopSignal { unset: "`\"SIGTERM\"`; for a group the first of its process's `stop`" };
        /// From that signal to SIGKILL.
        timeout: Pause { unset: "all the time that the stop of the processes has; 10s while the container goes on" };
        /// The same where nobody asked for the stop: the container has ended by itself, and is to be restarted soon.
        timeout_when_ended: Pause = DEFAULT_TIMEOUT_WHEN_ENDED;
    }
}

pub const HELP: &str = "write stragglers = { wait = \"20s\", signal = \"SIGTERM\" }";

pub fn stragglers(reader: &mut Reader<'_>, keys: &StragglersKeys<'_>) -> Stragglers {
    Stragglers {
        wait: keys.wait.read(reader),
        signal: keys.signal.read(reader),
        timeout: keys.timeout.read(reader),
        timeout_when_ended: keys.timeout_when_ended.read(reader),
    }
}
