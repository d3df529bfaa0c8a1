//! The life of one probe: when it is made, and what its answers add up to. The kubelet's rules (prober/worker.go): one
//! attempt at a time, equal answers in a row counted against the threshold. Pure.
//!
//! Until its first success a startup or readiness probe is also made between its periods: a tenth of a second after a failure, then after
//! twice as long each time. Such an attempt can succeed; its failure counts for nothing, and it gives way to the one that is due, so that
//! a threshold is reached at the very instant at which it would be without them.

use std::time::Duration;

use super::action::{Action, ProbeKind, What};
use super::effects::Effects;
use super::event::{Outcome, ProcId, RunId};
use super::task::SHORTEST;
use crate::config::Probe;
use crate::facts::{Failure, Place};
use crate::status::ProbeStatus;
use crate::time::At;

/// From the first failure to the next attempt, as long as there was no success.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Hash)]
pub(super) struct ProbeRun {
    pub kind: ProbeKind,
    process: ProcId,
    next: At,
    /// It has not succeeded yet, and may be tried between the periods.
    eager: bool,
    /// When to try before `next`.
    early: Option<At>,
    /// From a failure to the attempt after it.
    pause: Duration,
    /// The attempt under way and when it has taken too long.
    flight: Option<(RunId, At)>,
    /// It was begun between the periods.
    between: bool,
    successes: u32,
    failures: u32,
    /// `None` until a threshold has been reached.
    pub passes: Option<bool>,
    /// The last attempt could not be made.
    not_made: bool,
    /// Why the last attempt failed.
    pub last: Failure,
}

/// What an answer amounted to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// It failed; so many in a row now.
    Failed {
        failures: u32,
    },
    /// Whether it passes has changed.
    Turned(bool),
    /// It could not be made, and counts for nothing.
    Unknown(Failure),
}

impl ProbeRun {
    /// `since`: when the process started; `now`: when this probe may begin.
    pub fn begin(kind: ProbeKind, process: ProcId, probe: &Probe, since: At, now: At) -> ProbeRun {
        let next = now.max(since + probe.initial_delay);
        ProbeRun {
            kind,
            process,
            next,
            // A liveness probe's failures end the process: it has its threshold in full.
            eager: kind != ProbeKind::Liveness,
            early: None,
            pause: FIRST_PAUSE,
            flight: None,
            between: false,
            successes: 0,
            failures: 0,
            not_made: false,
            passes: None,
            last: Failure::NotProbed,
        }
    }

    pub fn in_flight(&self) -> Option<RunId> {
        self.flight.map(|(run, _)| run)
    }

    pub fn status(&self) -> ProbeStatus {
        let last_failure = (self.failures > 0).then(|| self.last.clone());
        ProbeStatus { probe: self.kind, passes: self.passes, failures: self.failures, last_failure }
    }

    pub fn next_deadline(&self) -> At {
        match (self.flight, self.early) {
            (Some((_, end)), _) if self.between => end.min(self.next),
            (Some((_, end)), _) => end,
            (None, early) => early.map_or(self.next, |early| early.min(self.next)),
        }
    }

    /// Begin an attempt, or give up on the one that has taken too long.
    pub fn on_time(&mut self, now: At, probe: &Probe, fx: &mut Effects) -> Option<Step> {
        if let Some((run, _)) = self.flight.filter(|_| self.between && now >= self.next) {
            fx.push(Action::Cancel { run, kill: true });
            self.flight = None;
        }
        match self.flight {
            Some((run, end)) if now >= end => {
                fx.push(Action::Cancel { run, kill: true });
                self.flight = None;
                Some(self.count(&Outcome::Failed(Failure::NoAnswer { within: probe.timeout }), now, probe))
            }
            None if now >= self.next || self.early.is_some_and(|early| now >= early) => {
                let limit = probe.timeout.max(SHORTEST);
                self.between = now < self.next;
                self.early = None;
                if !self.between {
                    self.next = now + probe.period.max(SHORTEST);
                }
                let what = What::new(Place::Probe(self.process, self.kind), 0);
                self.flight = Some((fx.run(what, limit, (fx.reason, None)), now + limit));
                Some(Step::Nothing)
            }
            _ => None,
        }
    }

    /// The answer to the attempt under way; `None` when it belongs to another.
    pub fn on_done(&mut self, run: RunId, outcome: &Outcome, now: At, probe: &Probe) -> Option<Step> {
        if self.in_flight() != Some(run) {
            return None;
        }
        self.flight = None;
        Some(self.count(outcome, now, probe))
    }

    fn count(&mut self, outcome: &Outcome, now: At, probe: &Probe) -> Step {
        let between = std::mem::take(&mut self.between);
        self.not_made &= matches!(outcome, Outcome::Unknown { .. });
        match outcome {
            Outcome::Ok => self.succeeded(between, now, probe),
            Outcome::Failed(failure) => {
                self.last.clone_from(failure);
                self.failed(between, now, probe)
            }
            // Once in a row: the next is due soon, and may well be short of the same.
            Outcome::Unknown { reason } if !std::mem::replace(&mut self.not_made, true) => {
                Step::Unknown(reason.clone())
            }
            Outcome::Unknown { .. } => Step::Nothing,
        }
    }

    fn succeeded(&mut self, between: bool, now: At, probe: &Probe) -> Step {
        self.eager = false;
        if between {
            self.next = now + probe.period.max(SHORTEST);
        }
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        self.turned(true, self.successes >= probe.success_threshold).unwrap_or(Step::Nothing)
    }

    fn failed(&mut self, between: bool, now: At, probe: &Probe) -> Step {
        if self.eager {
            self.early = Some(now + self.pause).filter(|early| *early < self.next);
            self.pause = self.pause.saturating_mul(2).min(probe.period.max(SHORTEST));
        }
        if between {
            return Step::Nothing;
        }
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        self.turned(false, self.failures >= probe.failure_threshold).unwrap_or(Step::Failed { failures: self.failures })
    }

    fn turned(&mut self, to: bool, at_threshold: bool) -> Option<Step> {
        (at_threshold && self.passes.replace(to).is_none_or(|was| was != to)).then_some(Step::Turned(to))
    }

    /// softstop lost so much time: the attempt under way gets it back.
    pub fn give_back(&mut self, lost: Duration) {
        if let Some((_, end)) = &mut self.flight {
            *end = *end + lost;
        }
    }

    /// Another probe in its place: what the one before has come to holds until this one says otherwise.
    pub fn begin_again(&mut self, now: At, fx: &mut Effects) {
        self.end(fx);
        let fresh = (now, self.kind != ProbeKind::Liveness && self.passes.is_none());
        (self.next, self.eager) = fresh;
        (self.early, self.pause, self.between) = (None, FIRST_PAUSE, false);
        (self.successes, self.failures, self.not_made) = (0, 0, false);
    }

    /// No more attempts; the one under way is given up.
    pub fn end(&mut self, fx: &mut Effects) {
        if let Some((run, _)) = self.flight.take() {
            fx.push(Action::Cancel { run, kill: true });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Handler;

    /// A probe whose attempts take so long and fail until the process answers; when each began, and when it came to a result.
    struct Seen {
        attempts: Vec<At>,
        passes: Option<(At, bool)>,
    }

    fn live(kind: ProbeKind, probe: &Probe, eager: bool, takes: Duration, answers_from: Duration, until: At) -> Seen {
        let mut fx = Effects::default();
        let mut run = ProbeRun::begin(kind, ProcId(0), probe, At::ZERO, At::ZERO);
        run.eager &= eager;
        let mut seen = Seen { attempts: Vec::new(), passes: None };
        let mut answer: Option<(RunId, At, bool)> = None;
        loop {
            let due = run.next_deadline();
            let answered = answer.filter(|(id, at, _)| *at <= due && run.in_flight() == Some(*id));
            let now = answered.map_or(due, |(_, at, _)| at);
            if now > until {
                return seen;
            }
            let before = run.in_flight();
            let step = match answered {
                Some((id, _, true)) => run.on_done(id, &Outcome::Ok, now, probe),
                Some((id, ..)) => run.on_done(id, &Outcome::failed("refused"), now, probe),
                None => run.on_time(now, probe, &mut fx),
            };
            if let Some(id) = run.in_flight().filter(|id| before != Some(*id)) {
                seen.attempts.push(now);
                answer = Some((id, now + takes, now.since_start() >= answers_from));
            }
            if let Some(Step::Turned(passes)) = step {
                seen.passes.get_or_insert((now, passes));
                return seen;
            }
        }
    }

    fn probe(period: u64, timeout: u64, threshold: u32) -> Probe {
        let ms = Duration::from_millis;
        Probe {
            period: ms(period),
            timeout: ms(timeout),
            failure_threshold: threshold,
            ..Probe::new(Handler::Sleep(ms(1)))
        }
    }

    #[test]
    fn a_server_that_listens_after_a_second_is_ready_soon_after_and_not_with_the_next_period() {
        let (p, ms) = (probe(10_000, 1000, 3), Duration::from_millis);
        let seen = live(ProbeKind::Readiness, &p, true, Duration::ZERO, ms(1000), At::from_millis(60_000));
        let began: Vec<u128> = seen.attempts.iter().map(|at| at.since_start().as_millis()).collect();
        assert_eq!(began, [0, 100, 300, 700, 1500]);
        assert_eq!(seen.passes, Some((At::from_millis(1500), true)));
        let plain = live(ProbeKind::Readiness, &p, false, Duration::ZERO, ms(1000), At::from_millis(60_000));
        assert_eq!(plain.passes, Some((At::from_millis(10_000), true)), "as a kubelet's");
        let liveness = live(ProbeKind::Liveness, &p, true, Duration::ZERO, ms(1000), At::from_millis(60_000));
        assert_eq!(liveness.attempts, plain.attempts, "its failures end the process");
    }

    /// Its thresholds count from there.
    #[test]
    fn another_probe_in_its_place_counts_anew() {
        for (outcome, count) in [(Outcome::failed("refused"), 3), (Outcome::Ok, 2)] {
            let p = Probe { success_threshold: 2, ..probe(1000, 500, 3) };
            let mut fx = Effects::default();
            let mut run = ProbeRun::begin(ProbeKind::Liveness, ProcId(0), &p, At::ZERO, At::ZERO);
            let mut now = At::ZERO;
            let mut turns = |run: &mut ProbeRun| {
                now = run.next_deadline();
                run.on_time(now, &p, &mut fx);
                let id = run.in_flight().unwrap();
                matches!(run.on_done(id, &outcome, now, &p), Some(Step::Turned(_)))
            };
            assert!((1..count).all(|_| !turns(&mut run)), "{outcome:?}");
            run.begin_again(At::from_millis(60_000), &mut Effects::default());
            assert!((1..count).all(|_| !turns(&mut run)) && turns(&mut run), "{outcome:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        /// What never answers is given up at the very instant at which it would be without the attempts between the periods, and those are few.
        #[test]
        fn a_threshold_takes_as_long_as_it_says(
            period in 10u64..12_000, timeout in 10u64..3000, threshold in 1u32..6, takes in 0u64..5000,
        ) {
            let (p, never) = (probe(period, timeout, threshold), Duration::MAX);
            let end = At::from_millis(200_000);
            let takes = Duration::from_millis(takes);
            let [with, without] = [true, false].map(|eager| live(ProbeKind::Startup, &p, eager, takes, never, end));
            prop_assert_eq!(with.passes, without.passes);
            prop_assert!(without.passes.is_some_and(|(_, well)| !well));
            // 0.1 s doubles to 12 s in seven steps.
            prop_assert!(with.attempts.len() <= without.attempts.len() + 8, "{:?}", with.attempts);
            prop_assert!(without.attempts.iter().all(|at| with.attempts.contains(at)), "{:?} {:?}", with.attempts, without.attempts);
        }

        /// Readiness comes no later than without, and after no more than the start took once more.
        #[test]
        fn ready_comes_after_no_more_than_the_start_took_once_more(
            period in 10u64..30_000, from in 0u64..60_000, takes in 0u64..100,
        ) {
            let (p, ms) = (probe(period, 1000, 1_000_000), Duration::from_millis);
            let end = At::from_millis(200_000);
            let ready = |eager| live(ProbeKind::Readiness, &p, eager, ms(takes), ms(from), end).passes;
            let (Some((with, true)), Some((without, true))) = (ready(true), ready(false)) else {
                return Err(TestCaseError::fail("never ready"));
            };
            prop_assert!(with <= without, "{with:?} {without:?}");
            // Each attempt takes its time, too, and there are eight of them at most.
            let most = ms(2 * from + 100 + 9 * takes);
            prop_assert!(with.since_start() <= most, "{with:?}, {most:?}");
        }
    }
}
