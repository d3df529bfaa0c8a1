//! Who may not order anything is told of in the log, and cannot fill it.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Strangers are told of in the log once in so long.
const TOLD: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Rejections {
    told: Cell<Option<Instant>>,
    untold: Cell<u64>,
}

impl Rejections {
    /// `place`: where they came to, such as `control`.
    pub fn tell(&self, place: &str, why: &str) {
        let now = Instant::now();
        if self.told.get().is_some_and(|at| now < at + TOLD) {
            self.untold.set(self.untold.get() + 1);
            return;
        }
        self.told.set(Some(now));
        let more = match self.untold.replace(0) {
            0 => String::new(),
            n => format!(" ({n} more since the last such line)"),
        };
        tracing::warn!("{place}: a client was rejected: {why}{more}");
    }
}
