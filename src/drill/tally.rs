//! What came of the requests: counts, when the failures were, how long answers took, and all of it over time. Its size does not depend on how
//! many requests there are. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::report::Secs;

/// Why a request failed, as a client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nobody listens.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection was closed before the whole answer had come.
    Cut,
    /// An answer of 500 and above.
    ServerError,
    /// No whole answer in time.
    Timeout,
    Other,
}

impl Why {
    pub const ALL: [Why; 6] = [Why::Refused, Why::Reset, Why::Cut, Why::ServerError, Why::Timeout, Why::Other];

    pub fn words(self) -> &'static str {
        match self {
            Why::Refused => "refused",
            Why::Reset => "reset",
            Why::Cut => "cut",
            Why::ServerError => "answered with 5xx",
            Why::Timeout => "without an answer",
            Why::Other => "failed otherwise",
        }
    }
}

/// Failures of one kind; times are those at which they failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Failures {
    pub why: Why,
    pub count: u64,
    #[serde(rename = "first_seconds")]
    pub first: Secs,
    #[serde(rename = "last_seconds")]
    pub last: Secs,
    /// So many of them were on a connection that had been used before.
    pub kept: u64,
}

/// What happened within [`Tally::width`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Slice {
    pub begun: u32,
    pub ok: u32,
    pub failed: u32,
    /// The most that were open.
    pub open: u32,
}

/// So many slices at the most: then two become one.
const SLICES: usize = 600;
const FIRST_WIDTH: Duration = Duration::from_millis(100);
/// Of the histogram: the first is up to 1 ms, each next one a quarter more, the last everything above.
const STEPS: usize = 64;

/// Times are since the load began.
#[derive(Clone, Debug, Serialize)]
pub struct Tally {
    pub begun: u64,
    pub ok: u64,
    /// Not begun, because too many were under way.
    pub held_back: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Before the stop was requested.
    pub failed_before: u64,
    /// Since then.
    pub failures: Vec<Failures>,
    #[serde(rename = "slice_seconds")]
    pub width: Secs,
    pub slices: Vec<Slice>,
    #[serde(skip)]
    took: Vec<u64>,
    #[serde(skip)]
    pub under_way: u32,
    #[serde(skip)]
    open: u32,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            begun: 0,
            ok: 0,
            held_back: 0,
            connections: 0,
            failed_before: 0,
            failures: Vec::new(),
            width: Secs(FIRST_WIDTH),
            slices: Vec::new(),
            took: vec![0; STEPS],
            under_way: 0,
            open: 0,
        }
    }
}

impl Tally {
    pub fn begin(&mut self, at: Duration) {
        self.begun += 1;
        self.under_way += 1;
        self.slice(at).begun += 1;
    }

    /// `begun` and `at`: when it was begun and when it ended. `kept`: over a connection that had been used before.
    pub fn end(&mut self, begun: Duration, at: Duration, kept: bool, outcome: Result<(), Why>) {
        self.under_way = self.under_way.saturating_sub(1);
        match outcome {
            Ok(()) => {
                self.ok += 1;
                self.slice(at).ok += 1;
                let step = step_of(at.saturating_sub(begun));
                self.took[step] += 1;
            }
            Err(why) => {
                self.slice(at).failed += 1;
                self.fail(at, kept, why);
            }
        }
    }

    /// The stop is requested: what has failed until now is not its doing.
    pub fn stop_requested(&mut self) {
        self.failed_before += self.failures.iter().map(|failures| failures.count).sum::<u64>();
        self.failures.clear();
    }

    fn fail(&mut self, at: Duration, kept: bool, why: Why) {
        let kept = u64::from(kept);
        match self.failures.iter_mut().find(|failures| failures.why == why) {
            Some(failures) => {
                failures.count += 1;
                failures.first = failures.first.min(Secs(at));
                failures.last = failures.last.max(Secs(at));
                failures.kept += kept;
            }
            None => self.failures.push(Failures { why, count: 1, first: Secs(at), last: Secs(at), kept }),
        }
    }

    pub fn opened(&mut self, at: Duration) {
        self.connections += 1;
        self.open += 1;
        self.slice(at);
    }

    pub fn closed(&mut self, at: Duration) {
        self.slice(at);
        self.open = self.open.saturating_sub(1);
    }

    /// Since the stop was requested.
    pub fn failed(&self) -> u64 {
        self.failures.iter().map(|failures| failures.count).sum()
    }

    pub fn of(&self, why: Why) -> Option<&Failures> {
        self.failures.iter().find(|failures| failures.why == why)
    }

    /// How long the answers took, of so many in a hundred at the most; as the histogram has it, a quarter too much at the worst.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let all: u64 = self.took.iter().sum();
        let wanted = (all * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let step = self.took.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(top_of(step))
    }

    /// The slice of this time, with what is open at least.
    fn slice(&mut self, at: Duration) -> &mut Slice {
        let mut index = index(at, self.width.0);
        while index >= SLICES {
            self.halve();
            index = self::index(at, self.width.0);
        }
        while self.slices.len() <= index {
            // What was open goes on being open.
            self.slices.push(Slice { open: self.open, ..Slice::default() });
        }
        let open = self.open;
        let slice = &mut self.slices[index];
        slice.open = slice.open.max(open);
        slice
    }

    fn halve(&mut self) {
        self.width = Secs(self.width.0 * 2);
        let joined = self.slices.chunks(2).map(|two| {
            let add = |of: fn(&Slice) -> u32| two.iter().map(of).sum();
            Slice {
                begun: add(|s| s.begun),
                ok: add(|s| s.ok),
                failed: add(|s| s.failed),
                open: two.iter().map(|s| s.open).max().unwrap_or(0),
            }
        });
        self.slices = joined.collect();
    }
}

fn index(at: Duration, width: Duration) -> usize {
    usize::try_from(at.as_micros() / width.as_micros().max(1)).unwrap_or(usize::MAX)
}

fn top_of(step: usize) -> Duration {
    let factor = 1.25_f64.powi(i32::try_from(step).unwrap_or(i32::MAX));
    Duration::from_millis(1).mul_f64(factor)
}

fn step_of(took: Duration) -> usize {
    (0..STEPS - 1).find(|step| took <= top_of(*step)).unwrap_or(STEPS - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    proptest! {
        /// Nothing is lost when slices are joined, and there are never more of them than so many.
        #[test]
        fn every_request_is_in_one_slice_and_in_one_count(
            requests in prop::collection::vec((0..3_600_000u64, 0..90_000u64, 0..7usize), 1..200),
        ) {
            let mut tally = Tally::default();
            for (begun, took, outcome) in &requests {
                tally.begin(ms(*begun));
                let outcome = Why::ALL.get(*outcome).map_or(Ok(()), |why| Err(*why));
                tally.end(ms(*begun), ms(begun + took), false, outcome);
            }
            prop_assert!(tally.slices.len() <= SLICES);
            prop_assert_eq!(tally.begun, requests.len() as u64);
            prop_assert_eq!(tally.ok + tally.failed(), tally.begun);
            let sum = |of: fn(&Slice) -> u32| tally.slices.iter().map(|s| u64::from(of(s))).sum::<u64>();
            prop_assert_eq!(sum(|s| s.begun), tally.begun);
            prop_assert_eq!(sum(|s| s.ok), tally.ok);
            prop_assert_eq!(sum(|s| s.failed), tally.failed());
            prop_assert_eq!(tally.under_way, 0);
            for failures in &tally.failures {
                prop_assert!(failures.first <= failures.last);
            }
        }

        #[test]
        fn a_percentile_is_never_too_little_and_a_quarter_too_much_at_the_worst(took in prop::collection::vec(1..60_000u64, 1..100)) {
            let mut tally = Tally::default();
            for ms in &took {
                tally.end(Duration::ZERO, self::ms(*ms), false, Ok(()));
            }
            let slowest = ms(*took.iter().max().unwrap());
            let said = tally.percentile(100).unwrap();
            prop_assert!(said >= slowest && said <= slowest.mul_f64(1.26), "{:?} {:?}", said, slowest);
            prop_assert!(tally.percentile(50) <= tally.percentile(99));
        }
    }

    #[test]
    fn what_stays_open_is_open_in_every_slice() {
        let mut tally = Tally::default();
        tally.opened(ms(0));
        tally.opened(ms(50));
        tally.begin(ms(950));
        tally.closed(ms(1000));
        tally.closed(ms(1000));
        tally.begin(ms(1300));
        let open: Vec<u32> = tally.slices.iter().map(|s| s.open).collect();
        assert_eq!(open, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0]);
    }
}
