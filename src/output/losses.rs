//! Lines that were lost, and when that is said: once when it begins, then now and then, and at the end. Pure.

use std::time::Duration;

use crate::text::plural;

/// Not more often.
const AGAIN: Duration = Duration::from_secs(10);

/// Of one process, or one file.
#[derive(Debug, Default)]
pub struct Losses {
    total: u64,
    unreported: u64,
    because: String,
    reported: Option<Duration>,
}

impl Losses {
    pub fn add(&mut self, lines: u64, because: &str) {
        if lines == 0 {
            return;
        }
        self.total = self.total.saturating_add(lines);
        self.unreported = self.unreported.saturating_add(lines);
        if self.because != because {
            because.clone_into(&mut self.because);
        }
    }

    /// Since the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn because(&self) -> &str {
        &self.because
    }

    /// What is to be said of `whose` lines, so long after some beginning.
    pub fn due(&mut self, whose: &str, now: Duration) -> Option<String> {
        let too_soon = self.reported.is_some_and(|at| now < at + AGAIN);
        if too_soon { None } else { self.rest(whose, now) }
    }

    /// What has not been said yet.
    pub fn rest(&mut self, whose: &str, now: Duration) -> Option<String> {
        let lines = std::mem::take(&mut self.unreported);
        if lines == 0 {
            return None;
        }
        let more = if self.reported.replace(now).is_some() { " more" } else { "" };
        let (what, were) = plural(lines, ("line", "was"), ("lines", "were"));
        Some(format!("{whose}: {lines}{more} {what} {were} lost: {}", self.because))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_said_when_it_begins_now_and_then_and_at_the_end() {
        let mut losses = Losses::default();
        let at = Duration::from_secs;
        assert_eq!(losses.due("web", at(0)), None);
        losses.add(0, "nothing");
        losses.add(1, "full");
        assert_eq!(losses.due("web", at(1)).as_deref(), Some("web: 1 line was lost: full"));
        losses.add(5, "full");
        assert_eq!(losses.due("web", at(10)), None);
        losses.add(2, "gone");
        assert_eq!(losses.due("web", at(11)).as_deref(), Some("web: 7 more lines were lost: gone"));
        losses.add(1, "gone");
        assert_eq!(losses.rest("web", at(12)).as_deref(), Some("web: 1 more line was lost: gone"));
        assert_eq!((losses.rest("web", at(99)), losses.total(), losses.because()), (None, 9, "gone"));
    }
}
