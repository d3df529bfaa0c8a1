//! The life of one probe: when it is made, and what its answers add up to. The kubelet's rules (prober/worker.go): one
//! attempt at a time, equal answers in a row counted against the threshold. Pure.

use std::time::Duration;

use super::action::{Action, ProbeKind, What};
use super::event::{Outcome, ProcId, RunId};
use super::task::{Effects, SHORTEST};
use crate::config::Probe;
use crate::time::{At, Human};

#[derive(Clone, Debug, Hash)]
pub(super) struct ProbeRun {
    pub kind: ProbeKind,
    process: ProcId,
    next: At,
    /// The attempt under way and when it has taken too long.
    flight: Option<(RunId, At)>,
    successes: u32,
    failures: u32,
    /// `None` until a threshold has been reached.
    pub verdict: Option<bool>,
    /// The last attempt could not be made.
    not_made: bool,
    /// Why the last attempt failed.
    pub reason: String,
}

/// What an answer amounted to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// It failed; so many in a row now.
    Failed {
        failures: u32,
    },
    /// The verdict has changed.
    Turned(bool),
    /// It could not be made, and counts for nothing.
    NotMade(String),
}

impl ProbeRun {
    /// `since`: when the process started; `now`: when this probe may begin.
    pub fn begin(kind: ProbeKind, process: ProcId, probe: &Probe, since: At, now: At) -> ProbeRun {
        let next = now.max(since + probe.initial_delay);
        ProbeRun {
            kind,
            process,
            next,
            flight: None,
            successes: 0,
            failures: 0,
            not_made: false,
            verdict: None,
            reason: "not probed yet".to_string(),
        }
    }

    pub fn in_flight(&self) -> Option<RunId> {
        self.flight.map(|(run, _)| run)
    }

    pub fn next_deadline(&self) -> At {
        self.flight.map_or(self.next, |(_, end)| end)
    }

    /// Begin an attempt, or give up on the one that has taken too long.
    pub fn on_time(&mut self, now: At, probe: &Probe, fx: &mut Effects) -> Option<Step> {
        match self.flight {
            Some((run, end)) if now >= end => {
                fx.push(Action::Cancel { run, kill: true });
                self.flight = None;
                Some(self.count(&Outcome::failed(format!("no answer within {}", Human(probe.timeout))), probe))
            }
            None if now >= self.next => {
                let limit = probe.timeout.max(SHORTEST);
                self.next = now + probe.period.max(SHORTEST);
                self.flight = Some((fx.run(What::Probe(self.process, self.kind), limit, fx.reason), now + limit));
                Some(Step::Nothing)
            }
            _ => None,
        }
    }

    /// The answer to the attempt under way; `None` when it belongs to another.
    pub fn on_done(&mut self, run: RunId, outcome: &Outcome, probe: &Probe) -> Option<Step> {
        if self.in_flight() != Some(run) {
            return None;
        }
        self.flight = None;
        Some(self.count(outcome, probe))
    }

    fn count(&mut self, outcome: &Outcome, probe: &Probe) -> Step {
        self.not_made &= matches!(outcome, Outcome::NotMade { .. });
        match outcome {
            Outcome::Ok => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if self.successes >= probe.success_threshold && self.verdict != Some(true) {
                    self.verdict = Some(true);
                    return Step::Turned(true);
                }
                Step::Nothing
            }
            Outcome::Failed { reason, .. } => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.reason.clone_from(reason);
                if self.failures >= probe.failure_threshold && self.verdict != Some(false) {
                    self.verdict = Some(false);
                    return Step::Turned(false);
                }
                Step::Failed { failures: self.failures }
            }
            // Once in a row: the next is due soon, and may well be short of the same.
            Outcome::NotMade { reason } if !std::mem::replace(&mut self.not_made, true) => {
                Step::NotMade(reason.clone())
            }
            Outcome::NotMade { .. } => Step::Nothing,
        }
    }

    /// softstop lost so much time: the attempt under way gets it back.
    pub fn give_back(&mut self, lost: Duration) {
        if let Some((_, end)) = &mut self.flight {
            *end = *end + lost;
        }
    }

    /// No more attempts; the one under way is given up.
    pub fn end(&mut self, fx: &mut Effects) {
        if let Some((run, _)) = self.flight.take() {
            fx.push(Action::Cancel { run, kill: true });
        }
    }
}
