//! When there is no account to write it: softstop refuses to start, or has a fault of its own. On standard error, and in the termination log,
//! which is where the user of a pod looks.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{self, Writers};
use crate::exit;
use crate::report::refusal;
use crate::sys::strangers::Strangers;
use crate::sys::tree;

/// Nothing runs that could be held up; a file takes a millisecond, unless its file system hangs.
const LIMIT: Duration = Duration::from_secs(1);

/// Writes why softstop ends with this code to the termination log, if there is one. What fails here is nobody's to know: standard error has
/// it, too.
pub fn record(termination_log: Option<&Path>, code: u8, why: &str) {
    if let Some(path) = termination_log.filter(|p| !files::is_missing_from_dev(p)) {
        let _ = Writers::default().write(path, false, &refusal(code, why), LIMIT);
    }
}

thread_local! {
    /// What the latest panic said.
    static FAULT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Run `softstop`, or a part of it. A panic is a fault of ours, and what we started must not go on without an init: it is killed, which
/// as PID 1 the kernel would do. Exit code 70 then, and the termination log has it.
pub fn guarded(termination_log: Option<PathBuf>, softstop: impl FnOnce() -> u8) -> u8 {
    const WORK: Duration = Duration::from_millis(100);
    catch_unwind(AssertUnwindSafe(softstop)).unwrap_or_else(|_| {
        let _swept = tree::kill_everything(WORK, LIMIT, &mut Strangers::default());
        let why = FAULT.take();
        record(termination_log.as_deref(), exit::INTERNAL, if why.is_empty() { "softstop has a fault" } else { &why });
        exit::INTERNAL
    })
}

/// The default hook writes to standard error directly, and that can block.
pub(super) fn panics_go_to_the_log() {
    std::panic::set_hook(Box::new(|info| {
        let text = format!("softstop has a fault, please report it: {info}");
        tracing::error!("{text}");
        // A second one, while the first unwinds, is not worth a third.
        FAULT.with(|fault| fault.try_borrow_mut().map(|mut fault| *fault = text).unwrap_or_default());
    }));
}
