//! `[stragglers]` and `[process.stragglers]`. Pure.

use super::declare::table;
use super::kinds::{Pause, StopSignal};
use super::reader::Reader;
use crate::config::{DEFAULT_TIMEOUT_WHEN_ENDED, Stragglers};

table! {
    pub struct StragglersKeys in "stragglers" {
        /// They may end by themselves for so long before they are signalled.
        wait: Pause { examples: &["\"1s\""] } = std::time::Duration::ZERO;
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
