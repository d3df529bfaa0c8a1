//! How far a wait is: what it waits for, and how often that is said. Pure.

use std::time::Duration;

use super::Machine;
use super::effects::Effects;
use super::event::{Progress, RunId};
use super::task::TaskRun;
use crate::facts::{Awaited, Place, Unfinished};
use crate::plan::Plan;
use crate::report::{Note, Secs};
use crate::time::At;

/// Between two lines about one wait, at least; and a twentieth of how long it has taken, so that a wait of an hour makes some
/// dozens and not thousands of them.
const RHYTHM: Duration = Duration::from_secs(1);
const PART: u32 = 20;

/// What is known of a wait, and what of it was said.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct ProgressLog {
    known: Option<Progress>,
    said: Option<(Awaited, At)>,
}

impl ProgressLog {
    pub fn on_progress(&mut self, progress: Progress) {
        self.known = Some(progress);
    }

    pub fn awaited(&self) -> Option<&Awaited> {
        self.known.as_ref().map(|p| &p.awaited)
    }

    /// Why it has not ended, for who has no more time to wait.
    pub fn reason(&self) -> Option<Unfinished> {
        self.known.as_ref().map(|p| Unfinished { awaited: p.awaited.clone(), detail: p.detail.clone() })
    }

    /// When the next line is due; `None`: there is nothing new to say.
    pub fn due(&self, began: At) -> Option<At> {
        let awaited = self.awaited()?;
        match &self.said {
            None => Some(began),
            Some((said, _)) if said == awaited => None,
            Some(_) if self.known.as_ref().is_some_and(|p| p.last) => Some(began),
            Some((_, at)) => Some(*at + RHYTHM.max(at.since(began) / PART)),
        }
    }

    pub fn said(&mut self, now: At) {
        self.said = self.awaited().map(|awaited| (awaited.clone(), now));
    }
}

impl TaskRun {
    /// A line about how far it is, if one is due.
    pub(super) fn say(&mut self, now: At, plan: &Plan, fx: &mut Effects) {
        let due = self.progress_log.due(self.began).is_some_and(|at| now >= at);
        let known = self.progress_log.known.as_ref().filter(|_| due);
        let Some(Progress { awaited, alarming, .. }) = known else { return };
        let (place, name) = plan.named(self.what);
        let (waited, limit) = (Secs(now.since(self.began)), Secs(self.until.since(self.began)));
        fx.note(Note::Waiting { place, name, progress: awaited.clone(), alarming: *alarming, waited, limit });
        self.progress_log.said(now);
    }
}

impl Machine {
    /// What a run under way says of itself; of one that is over it is no news.
    pub(super) fn on_progress(&mut self, run: RunId, progress: Progress) {
        let (now, plan) = (self.core.now, std::rc::Rc::clone(&self.core.plan));
        // What a sidecar follows is not said: it takes as long as all else, and has lines of its own.
        let owner = self.core.fx.runs.owner(run).filter(|what| what.place != Place::Follow);
        let Some(what) = owner else { return };
        let last = progress.last;
        self.with_task(what, |task, fx| {
            if task.in_flight() == Some(run) {
                task.progress_log.on_progress(progress);
                // The run's answer may come in the same turn.
                if last {
                    task.say(now, &plan, fx);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Connections, Several};

    fn at(millis: u64) -> At {
        At::from_millis(millis)
    }

    #[test]
    fn what_is_new_is_said_and_not_too_often() {
        let mut log = ProgressLog::default();
        assert_eq!(log.due(at(500)), None);
        let open = |n| Awaited::Idle(Connections { open: n, active: Some(n), new: 0, probes: false, quiet: None });
        let peers = Several { named: vec!["10.0.0.7:1".parse().unwrap()], all: 2 };
        let report = |log: &mut ProgressLog, n: u64| {
            log.on_progress(Progress { detail: Some(peers.clone()), ..Progress::of(open(n)) });
        };
        report(&mut log, 12);
        assert_eq!(log.due(at(500)), Some(at(500)));
        log.said(at(600));
        assert_eq!(log.due(at(500)), None);
        report(&mut log, 11);
        report(&mut log, 12);
        assert_eq!(log.due(at(500)), None, "it is as it was said");
        log.on_progress(Progress { last: true, ..Progress::of(open(14)) });
        assert_eq!(log.due(at(500)), Some(at(500)), "there is no later");
        report(&mut log, 7);
        assert_eq!(log.due(at(500)), Some(at(1600)));
        log.said(at(60_500));
        report(&mut log, 3);
        assert_eq!(log.due(at(500)), Some(at(63_500)), "after a minute, every three seconds");
        assert_eq!(log.reason().unwrap().to_string(), "3 open, 3 active: 10.0.0.7:1 and 1 more");
    }
}
