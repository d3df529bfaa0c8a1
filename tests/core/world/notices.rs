//! Processes that say themselves how they are (docs/readiness.md): what they may say, and a second opinion on what follows.

use std::time::Duration;

use softstop::config::Process;
use softstop::config::notify::{Notify, NotifyAccess, NotifyBy};
use softstop::facts::{Fault, Notification};
use softstop::lifecycle::event::{Event, ProcId};
use softstop::time::At;

use super::checks::MS;
use super::draw::Draw;
use super::model::SHORTEST;
use super::scenario::{Moment, Request, Wish};
use super::{Checked, World, broken};

/// What a run of a process has said.
#[derive(Clone, Debug, Default, Hash)]
pub struct Said {
    pub stopping: bool,
    unwell: bool,
    ready_until: Option<At>,
    alive_within: Option<Duration>,
    alive_until: Option<At>,
    /// Of its stop: it has asked for time until then.
    pub more_until: Option<At>,
}

impl Said {
    pub fn begin(process: &Process, now: At) -> Said {
        let Some(notify) = &process.notify else { return Said::default() };
        Said {
            ready_until: notify.timeout.map(|timeout| now + timeout.max(SHORTEST)),
            alive_within: notify.watchdog().map(|within| within.max(SHORTEST)),
            ..Said::default()
        }
    }

    pub fn is_started(&mut self, now: At) {
        self.ready_until = None;
        self.alive_until = self.alive_within.map(|within| now + within);
    }

    fn expect_nothing(&mut self) {
        (self.ready_until, self.alive_within, self.alive_until) = (None, None, None);
    }
}

impl World {
    /// A process that runs says something.
    pub fn notified(&mut self, p: usize, what: &Notification) -> Checked {
        // Of a scenario that was shrunk there may be no such process.
        let heard = self.config.processes.get(p).is_some_and(|process| process.notify.is_some());
        if !heard || !self.bodies[p].alive || self.finished.is_some() {
            return Ok(());
        }
        let (up, now) = (self.stop.is_none(), self.now);
        let stopping = self.lives[p].stopping.is_some() || self.bodies[p].killed;
        let started = self.lives[p].started;
        let said = &mut self.lives[p].said;
        match what {
            Notification::Ready if up && !stopping && !started && !said.stopping => self.has_started_up(p),
            Notification::Stopping => {
                said.stopping = true;
                said.expect_nothing();
            }
            Notification::Alive if said.alive_until.is_some() && !stopping => said.is_started(now),
            Notification::AliveWithin(within) if up && !stopping && !said.stopping => {
                said.alive_within = Some(*within).filter(|w| !w.is_zero()).map(|w| w.max(SHORTEST));
                if started {
                    said.is_started(now);
                }
            }
            Notification::MoreTime(more) if stopping => said.more_until = said.more_until.max(Some(now + *more)),
            Notification::MoreTime(more) => {
                said.ready_until = said.ready_until.map(|until| until.max(now + *more));
            }
            Notification::Unwell => said.unwell = true,
            _ => {}
        }
        self.feed(Event::Notified { process: ProcId(p), what: what.clone() })
    }

    pub fn check_fault(&self, p: usize, fault: &Fault) -> Checked {
        let said = &self.lives[p].said;
        let due = |until: Option<At>| until.is_some_and(|until| self.now >= until);
        let right = match fault {
            Fault::WatchdogLate { .. } => due(said.alive_until),
            Fault::NotReadyInTime { .. } => due(said.ready_until),
            Fault::SaysUnwell => said.unwell,
            Fault::SaysStopping => said.stopping,
            Fault::ProbeFailed { .. } | Fault::PostStartFailed { .. } => true,
        };
        if right { Ok(()) } else { broken("model", format!("p{p}: {fault}, and that is not so: {said:?}")) }
    }

    /// Whoever was to say something in time, and has not, is being stopped.
    pub fn check_lateness(&self) -> Checked {
        for (p, life) in self.lives.iter().enumerate() {
            let stopping = life.stopping.is_some() || self.bodies[p].killed;
            let idle = !self.bodies[p].alive || stopping || self.stop.is_some() || self.stalled_since(life.since);
            let until = life.said.ready_until.into_iter().chain(life.said.alive_until).min();
            if !idle && until.is_some_and(|until| self.now > until + MS) {
                return broken("model", format!("p{p} is late, and nothing is done: {:?}", life.said));
            }
        }
        Ok(())
    }
}

/// Some processes say themselves how they are, all their lives long.
pub fn draw(d: &mut Draw, processes: &mut [Process], requests: &mut Vec<Request>) {
    for (p, process) in processes.iter_mut().enumerate() {
        if process.startup.is_some() || !d.chance(30) {
            continue;
        }
        let watchdog = d.maybe(40, |d| d.span(8_000));
        let by = match d.chance(30) {
            true => NotifyBy::Descriptor(3),
            false => NotifyBy::Socket { access: NotifyAccess::All, watchdog },
        };
        process.notify = Some(Notify { by, timeout: d.maybe(30, |d| d.span(10_000)) });
        requests.extend(d.many(1, 8, |d, _| {
            let when = match d.below(4) {
                0 => Moment::At(d.span(30_000)),
                1 => Moment::AfterStop(d.span(10_000)),
                _ => Moment::WithEvent(d.below(30)),
            };
            let what = match d.below(10) {
                0..4 => Notification::Ready,
                4 => Notification::Reloading,
                5 => Notification::Stopping,
                6 => Notification::Alive,
                7 if d.chance(50) => Notification::Unwell,
                7 => Notification::AliveWithin(d.span(5_000)),
                8 => Notification::Status("busy".into()),
                _ => Notification::MoreTime(d.span(10_000)),
            };
            Request { when, what: Wish::Says(p, what) }
        }));
    }
}
