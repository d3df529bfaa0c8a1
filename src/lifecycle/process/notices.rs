//! What a process says of itself: that it is ready, alive, about to stop, in need of more time. Pure.

use std::time::Duration;

use super::stopping::ladder_from;
use super::{Around, Change, Proc, Running, State, StopStage, Stopping};
use crate::config::notify::Notify;
use crate::facts::{Fault, Notification};
use crate::lifecycle::effects::Effects;
use crate::lifecycle::task::SHORTEST;
use crate::plan::order::Chain;
use crate::report::{Note, Secs};
use crate::time::At;

/// What one run of it has said.
#[derive(Clone, Debug, Default, Hash)]
pub(in crate::lifecycle) struct Notices {
    pub status: Option<String>,
    pub reloading: bool,
    pub stopping: bool,
    /// It is to be ready by then.
    ready_until: Option<At>,
    /// How often it says that it is alive.
    alive_within: Option<Duration>,
    /// Once it is ready: it is to say so again by then.
    alive_until: Option<At>,
}

impl Notices {
    pub(super) fn begin(config: Option<&Notify>, now: At) -> Notices {
        Notices {
            ready_until: config.and_then(|notify| notify.timeout).map(|timeout| now + timeout.max(SHORTEST)),
            alive_within: config.and_then(Notify::watchdog).map(|within| within.max(SHORTEST)),
            ..Notices::default()
        }
    }

    /// It has just said that it is alive, or begins to have to.
    fn watch(&mut self, now: At) {
        self.alive_until = self.alive_within.map(|within| now + within);
    }

    pub(super) fn timer(&self) -> Option<At> {
        self.ready_until.into_iter().chain(self.alive_until).min()
    }

    /// It is about to end: nothing is expected of it any more. What it says is still shown.
    pub(super) fn expect_nothing(&mut self) {
        (self.ready_until, self.alive_within, self.alive_until) = (None, None, None);
    }

    /// softstop lost so much time, in which nobody may have listened.
    pub(super) fn give_back(&mut self, lost: Duration) {
        for until in [&mut self.ready_until, &mut self.alive_until].into_iter().flatten() {
            *until = *until + lost;
        }
    }
}

impl Proc {
    pub(super) fn notified(&mut self, what: &Notification, at: &Around<'_>, fx: &mut Effects) -> Change {
        let runs = matches!(self.state, State::Running(_));
        let started = self.started();
        let Some(notices) = at.config().notify.as_ref().and(self.body_mut()).map(|body| &mut body.notices) else {
            return Change::default();
        };
        match what {
            Notification::Ready => {
                notices.reloading = false;
                self.says_ready(at, fx);
            }
            Notification::Reloading => notices.reloading = true,
            Notification::Stopping => {
                notices.stopping = true;
                notices.expect_nothing();
                if std::mem::take(&mut self.said_ready) && runs {
                    fx.note(Note::NotReady { process: at.name(), reason: Fault::SaysStopping });
                }
            }
            Notification::Status(text) => notices.status = Some(text.clone()).filter(|text| !text.is_empty()),
            Notification::Alive if notices.alive_until.is_some() => notices.watch(at.now),
            Notification::AliveWithin(within) if runs && at.stop.is_none() && !notices.stopping => {
                notices.alive_within = Some(*within).filter(|w| !w.is_zero()).map(|within| within.max(SHORTEST));
                if started {
                    notices.watch(at.now);
                }
            }
            Notification::MoreTime(more) => self.needs_more_time(*more, at),
            Notification::Unwell if runs => self.is_unhealthy(Fault::SaysUnwell, at, fx),
            Notification::Alive | Notification::AliveWithin(_) | Notification::Unwell => return Change::default(),
        }
        Change::some()
    }

    /// In the container's stop nothing is begun for it any more.
    fn says_ready(&mut self, at: &Around<'_>, fx: &mut Effects) {
        let State::Running(r) = &mut self.state else { return };
        if r.started || at.stop.is_some() || r.body.notices.stopping {
            return;
        }
        r.body.notices.ready_until = None;
        r.body.notices.watch(at.now);
        fx.note(Note::SaidReady { process: at.name(), took: Secs(at.now.since(r.body.since)) });
        r.is_started(at);
    }

    /// It was to say something, and has not: as good as a probe that has failed for good.
    pub(super) fn notices_due(&mut self, at: &Around<'_>, fx: &mut Effects) -> bool {
        let State::Running(Running { body, .. }) = &mut self.state else { return false };
        let notices = &mut body.notices;
        if notices.timer().is_none_or(|due| at.now < due) {
            return false;
        }
        let late = notices.alive_until.filter(|until| at.now >= *until).and(notices.alive_within);
        notices.expect_nothing();
        let timeout = at.config().notify.as_ref().and_then(|notify| notify.timeout).unwrap_or_default();
        let fault = match late {
            Some(within) => Fault::WatchdogLate { within },
            None => Fault::NotReadyInTime { within: timeout },
        };
        self.is_unhealthy(fault, at, fx);
        true
    }

    /// For its start, or for the signal of its stop that it was sent last: then within the budget, and with as much left for the rest of its
    /// ladder, and for those that stop after it, as they ask for.
    fn needs_more_time(&mut self, more: Duration, at: &Around<'_>) {
        match &mut self.state {
            State::Running(Running { body, .. }) => {
                if let Some(until) = &mut body.notices.ready_until {
                    *until = (*until).max(at.now + more);
                }
            }
            State::Stopping(s) => s.needs_more_time(more, at),
            _ => {}
        }
    }
}

impl Stopping {
    fn needs_more_time(&mut self, more: Duration, at: &Around<'_>) {
        let StopStage::Rung { index, .. } = self.stage else { return };
        let rest = ladder_from(at.config(), index + 1);
        if let Some(room) = at.stop.and_then(|stop| stop.room(at.now)) {
            let own = more.saturating_add(rest.stated).saturating_add(self.diagnosis + self.post_exit);
            let slice = beside(room, own, at.plan.order.behind[at.id.0]);
            self.until = self.until.max(at.now + slice.saturating_sub(self.post_exit));
        }
        let wait = beside(self.ladder_until().left(at.now), more, rest);
        if let StopStage::Rung { until, .. } = &mut self.stage {
            *until = (*until).max(at.now + wait);
        }
    }
}

/// What can be had of `left`: what the others ask for stays theirs, and those that do not say how much share evenly in the rest.
fn beside(left: Duration, asked: Duration, others: Chain) -> Duration {
    asked.min(left.saturating_sub(others.stated) / (others.open + 1))
}
