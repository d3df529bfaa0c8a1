//! Whether it fits, with how much to spare, and what to write into the pod. Pure.

use std::time::Duration;

use serde::Serialize;

use super::run::{Run, Setup};
use crate::record::findings::{self, Finding};
use crate::report::Secs;
use crate::sorted;

/// A stop on a busier node takes longer than the slowest that was seen: the recommended grace has this part of it on top.
const SPARE_PART: u32 = 4;

/// What is said of all runs with the same grace.
#[derive(Clone, Debug, Serialize)]
pub struct GraceResult {
    pub fits: bool,
    #[serde(rename = "grace_seconds")]
    pub grace: Secs,
    pub runs: usize,
    /// From the stop request to softstop's end. `None`: no stop was seen from its beginning to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<Spread>,
    /// What the slowest left of the grace.
    #[serde(rename = "spare_seconds", skip_serializing_if = "Option::is_none")]
    pub spare: Option<Secs>,
    /// The least whole seconds in which the slowest fits, with softstop's own reserve. Only where nothing went wrong: who was cut short or
    /// killed would have taken longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_do_seconds: Option<u64>,
    /// The pod's `terminationGracePeriodSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_grace_seconds: Option<u64>,
    /// What the drain has to last at least, where load was given a lag.
    #[serde(rename = "recommended_drain_seconds", skip_serializing_if = "Option::is_none")]
    pub recommended_drain: Option<Secs>,
    pub findings: Vec<Found>,
}

/// A finding, and in how many runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Found {
    #[serde(flatten)]
    pub finding: Finding,
    pub runs: usize,
}

/// The times of several stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Spread {
    #[serde(rename = "fastest_seconds")]
    pub fastest: Secs,
    #[serde(rename = "median_seconds")]
    pub median: Secs,
    #[serde(rename = "p90_seconds")]
    pub p90: Secs,
    #[serde(rename = "slowest_seconds")]
    pub slowest: Secs,
}

impl Spread {
    /// `None`: of nothing.
    pub fn of(mut times: Vec<Duration>) -> Option<Spread> {
        sorted::sort(&mut times);
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied().map(Secs)
        };
        Some(Spread { fastest: at(0)?, median: at(50)?, p90: at(90)?, slowest: at(100)? })
    }
}

/// Of at least one run; all had the same grace.
pub fn of(runs: &[Run], setup: &Setup) -> GraceResult {
    let grace = runs.first().map_or(Duration::ZERO, |run| run.grace.0);
    let mut findings: Vec<Found> = Vec::new();
    // A note is no reason why it would not fit.
    let all = runs.iter().flat_map(|run| findings::of(&run.seen_whole(setup))).filter(Finding::counts);
    for finding in all {
        match findings.iter_mut().find(|found| found.finding.is_same(&finding)) {
            Some(found) => found.runs += 1,
            None => findings.push(Found { finding, runs: 1 }),
        }
    }
    let took = Spread::of(runs.iter().filter_map(Run::took).collect());
    let clean = findings.is_empty() && runs.iter().all(|run| run.took().is_some());
    let slowest = took.map(|spread| spread.slowest.0);
    let fits = clean && slowest.is_some_and(|slowest| slowest <= grace);
    let of_clean = slowest.filter(|_| fits);
    GraceResult {
        fits,
        grace: Secs(grace),
        runs: runs.len(),
        took,
        spare: slowest.filter(|slowest| *slowest <= grace).map(|slowest| Secs(grace - slowest)),
        would_do_seconds: of_clean.map(|slowest| would_do(slowest, setup.kill_reserve)),
        recommended_grace_seconds: of_clean.map(|slowest| recommended(slowest, setup.kill_reserve)),
        recommended_drain: setup.lag.filter(|lag| !lag.is_zero()).map(Secs),
        findings,
    }
}

/// The least whole seconds in which it fits with softstop's last slice.
fn would_do(slowest: Duration, reserve: Duration) -> u64 {
    whole(slowest + reserve)
}

/// The same with a quarter more for a busier node.
fn recommended(slowest: Duration, reserve: Duration) -> u64 {
    whole(slowest + slowest / SPARE_PART + reserve)
}

fn whole(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_would_do_is_said_in_whole_seconds() {
        assert_eq!(would_do(ms(18_200), ms(1000)), 20);
        assert_eq!(recommended(ms(18_200), ms(1000)), 24);
        assert_eq!(would_do(ms(3), ms(1000)), 2);
        assert_eq!(would_do(ms(0), ms(0)), 1);
    }

    proptest! {
        #[test]
        fn what_is_recommended_is_enough_and_grows_with_the_slowest(slowest in 0..86_400_000u64, more in 0..10_000u64, reserve in 0..2000u64) {
            let (enough, little) = (recommended(ms(slowest), ms(reserve)), would_do(ms(slowest), ms(reserve)));
            prop_assert!(Duration::from_secs(little) >= ms(slowest + reserve));
            prop_assert!(Duration::from_secs(little) < ms(slowest + reserve) + ms(1001));
            prop_assert!(enough >= little);
            prop_assert!(recommended(ms(slowest + more), ms(reserve)) >= enough);
        }

        #[test]
        fn a_spread_is_in_order_and_made_of_times_that_were_seen(times in prop::collection::vec(0..100_000u64, 1..50)) {
            let times: Vec<Duration> = times.into_iter().map(ms).collect();
            let spread = Spread::of(times.clone()).unwrap();
            prop_assert!(spread.fastest <= spread.median && spread.median <= spread.p90 && spread.p90 <= spread.slowest);
            prop_assert_eq!(spread.slowest.0, *times.iter().max().unwrap());
            prop_assert_eq!(spread.fastest.0, *times.iter().min().unwrap());
            prop_assert!(times.contains(&spread.p90.0));
        }
    }
}
