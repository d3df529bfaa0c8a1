//! A task that is started at its times: between two runs it is held. Pure.

use std::time::Duration;

use super::{Around, Change, End, Proc, State};
use crate::config::Concurrency;
use crate::lifecycle::effects::Effects;
use crate::lifecycle::event::Exit;
use crate::report::Note;
use crate::time::At;

/// So many runs are remembered.
const REMEMBERED: usize = 5;

/// What has come of its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunHistory {
    pub succeeded: u32,
    pub failed: u32,
    /// Its time came, and it still ran.
    pub skipped: u32,
    /// The latest first.
    pub last: Vec<Run>,
}

/// One that is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    pub ended: At,
    pub ran: Duration,
    pub exit: Exit,
}

impl Proc {
    /// Its time has come: it is started, unless it still runs, or an order holds it down.
    pub(super) fn scheduled(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        let Some(schedule) = &at.config().schedule else { return Change::default() };
        match &self.state {
            State::Held { by_order: true } => Change::default(),
            State::Held { .. } | State::Backoff { .. } | State::Ended(End::Exited(_) | End::StartFailed { .. }) => {
                self.start_over();
                Change::some()
            }
            State::Running(_) if schedule.concurrency == Concurrency::Replace => {
                (self.again, self.recent, self.counted) = (true, 0, None);
                fx.note(Note::Replaced { process: at.name() });
                self.stop_to_restart(at, fx)
            }
            // It is on its way to its next run.
            State::Stopping(_) | State::GroupTermination(_) if self.again => Change::default(),
            _ => {
                self.history.skipped = self.history.skipped.saturating_add(1);
                fx.note(Note::RunSkipped { process: at.name() });
                Change::some()
            }
        }
    }

    /// It is not started again by itself: what is scheduled waits for its next time.
    pub(super) fn is_over(&mut self, end: End, at: &Around<'_>) {
        let waits = self.is_scheduled && at.stop.is_none();
        self.state = if waits { State::Held { by_order: false } } else { State::Ended(end) };
    }

    pub(super) fn run_ended(&mut self, exit: Exit, since: At, at: &Around<'_>) {
        if !self.is_scheduled {
            return;
        }
        let history = &mut self.history;
        let counter = if self.succeeded { &mut history.succeeded } else { &mut history.failed };
        *counter = counter.saturating_add(1);
        history.last.truncate(REMEMBERED - 1);
        history.last.insert(0, Run { ended: at.now, ran: at.now.since(since), exit });
    }
}
