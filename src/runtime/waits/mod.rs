//! The `wait_…` handlers, and signals to processes found by their command. Each is a task that looks again and again until what it waits
//! for holds, and says how far it is; the machine ends it when its time is up. None fails for what it sees, only for what cannot be
//! looked at.

pub(super) mod command;
pub mod file;
mod http;
mod idle;
pub(super) mod listening;

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::mpsc;

use super::hooks::{ActiveRun, News};
use super::shell::Shell;
use crate::config::handler::WaitIdle;
use crate::facts::{Outcome, Progress};
use crate::lifecycle::event::RunId;
use crate::tasks;

/// A look may take this part of the one thread's time.
const PART: u32 = 20;

/// Where a wait tells how far it is: what is not new is not told again.
pub(super) struct ProgressReporter {
    run: RunId,
    news: mpsc::UnboundedSender<News>,
    last: RefCell<Option<Progress>>,
}

impl ProgressReporter {
    pub(super) fn new(run: RunId, news: mpsc::UnboundedSender<News>) -> ProgressReporter {
        ProgressReporter { run, news, last: RefCell::new(None) }
    }

    /// Nothing has been told yet.
    pub(super) fn is_silent(&self) -> bool {
        self.last.borrow().is_none()
    }

    pub(super) fn report(&self, progress: Progress) {
        if self.last.borrow().as_ref() != Some(&progress) {
            self.last.replace(Some(progress.clone()));
            // The loop is gone only when everything is.
            let _ = self.news.send(News::Progress(self.run, Box::new(progress)));
        }
    }
}

/// The pause after a look that took so long of the thread.
fn pause(took: Duration, least: Duration) -> Duration {
    const MOST: Duration = Duration::from_secs(2);
    took.saturating_mul(PART).clamp(least, MOST)
}

impl Shell {
    pub(super) fn start_wait_idle(
        &mut self,
        run: RunId,
        rule: &WaitIdle,
        reporter: ProgressReporter,
    ) -> Result<(), Outcome> {
        let (found, node) = (self.who_listens(), self.node());
        self.in_background(run, idle::wait(rule.clone(), found, node, self.clock, reporter))
    }

    /// Always possible: a result as of whatever else is started.
    pub(super) fn in_background(
        &mut self,
        run: RunId,
        work: impl Future<Output = Outcome> + 'static,
    ) -> Result<(), Outcome> {
        let news = self.done.clone();
        let task = tasks::spawn(async move {
            let outcome = work.await;
            // The loop is gone only when everything is.
            let _ = news.send(News::Answered(run, Box::new(outcome)));
        });
        self.runs.insert(run, ActiveRun::Task(task.abort_handle()));
        Ok(())
    }
}

pub(super) use http::wait as http;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_long_looks_seldom() {
        let least = Duration::from_millis(50);
        let ms = Duration::from_millis;
        assert_eq!((pause(ms(1), least), pause(ms(10), least), pause(ms(900), least)), (ms(50), ms(200), ms(2000)));
    }
}
