//! Who may not order anything is told of in the log, and cannot fill it.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Strangers are told of in the log once in so long.
const REPORTED: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Rejections {
    reported: Cell<Option<Instant>>,
    unreported: Cell<u64>,
}

impl Rejections {
    /// `place`: where they came to, such as `control`.
    pub fn tell(&self, place: &str, why: &str) {
        let more = match self.is_due(Instant::now()) {
            None => return,
            Some(0) => String::new(),
            Some(n) => format!(" ({n} more since the last such line)"),
        };
        tracing::warn!("{place}: a client was rejected: {why}{more}");
    }

    /// How many were not told of since the last line; `None`: this one is not either, it is too soon.
    fn is_due(&self, now: Instant) -> Option<u64> {
        if self.reported.get().is_some_and(|at| now < at + REPORTED) {
            self.unreported.set(self.unreported.get() + 1);
            return None;
        }
        self.reported.set(Some(now));
        Some(self.unreported.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_so_long_and_it_says_how_many_more_there_were() {
        let (rejections, now) = (Rejections::default(), Instant::now());
        let after = |passed: Duration| rejections.is_due(now + passed);
        assert_eq!(after(Duration::ZERO), Some(0));
        assert_eq!([after(Duration::ZERO), after(REPORTED - Duration::from_nanos(1))], [None; 2]);
        assert_eq!(after(REPORTED), Some(2));
        assert_eq!(after(REPORTED), None);
        assert_eq!(after(REPORTED * 3), Some(1));
    }
}
