//! One drill, as it was measured, and what was drilled. Pure.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::tally::{Tally, Why};
use crate::config::{Config, HttpCall, ReadinessOnDrain, SignalTo};
use crate::programs;
use crate::record::{self, Failed, Observed, Outcome, Part, Slice};
use crate::report::Secs;

/// What is drilled.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `softstop run -c softstop.toml`.
    pub command: String,
    pub wrapper: bool,
    /// `/readyz` stays as it is, by `readiness_on_drain = "keep"`.
    pub keeps_ready: bool,
    /// Processes whose signals go to their whole groups.
    pub to_group: Vec<String>,
    pub kill_reserve: Duration,
    pub load: Option<HttpCall>,
    pub rate: u32,
    pub connections: u32,
    pub lag: Option<Duration>,
    /// Whose readiness counts, when it is not softstop's.
    pub readiness: Option<String>,
    pub patience: Duration,
    pub pre_stop: bool,
}

impl Setup {
    pub fn of(config: &Config) -> Setup {
        let to_group = config.processes.iter().filter(|process| process.signal_to == SignalTo::Group);
        Setup {
            to_group: to_group.map(|process| process.name.clone()).collect(),
            wrapper: config.is_wrapper(),
            keeps_ready: config.readiness_on_drain == ReadinessOnDrain::Keep,
            kill_reserve: config.kill_reserve,
            ..Setup::default()
        }
    }
}

/// One drill.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    #[serde(rename = "grace_seconds")]
    pub grace: Secs,
    /// It was PID 1 of a namespace of its own.
    pub pid1: bool,
    /// Since it was started; `None`: it never was.
    #[serde(rename = "ready_after_seconds", skip_serializing_if = "Option::is_none")]
    pub ready_after: Option<Secs>,
    /// Why it was not; it was stopped all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_ready: Option<String>,
    /// A crash that was rehearsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// The stop was requested; else it ended by itself.
    pub requested: bool,
    /// Of the `softstop drain` that announced the stop.
    #[serde(rename = "pre_stop_seconds", skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<Secs>,
    /// From the stop request to its end, as it was seen from outside.
    #[serde(rename = "ended_after_seconds", skip_serializing_if = "Option::is_none")]
    pub ended_after: Option<Secs>,
    /// How softstop ended: a code, 128 and more for a signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// It was still there at the end of the grace and was sent SIGKILL, as a kubelet would have done.
    pub killed: bool,
    /// softstop's own report.
    #[serde(rename = "stop", skip_serializing_if = "Option::is_none", serialize_with = "stop")]
    pub report: Option<record::Run>,
    /// From the stop request until readiness had turned.
    #[serde(rename = "readiness_turned_after_seconds", skip_serializing_if = "Option::is_none")]
    pub turned_after: Option<Secs>,
    /// What came of the load. Times are since it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Tally>,
    /// Since the load began, of the stop request and of the last new request.
    #[serde(rename = "load_stop_requested_seconds", skip_serializing_if = "Option::is_none")]
    pub load_requested: Option<Secs>,
    #[serde(rename = "load_ended_seconds", skip_serializing_if = "Option::is_none")]
    pub load_ended: Option<Secs>,
    pub at_stop: Vec<AtStop>,
    #[serde(flatten)]
    pub seen: Seen,
    /// Still there after softstop's end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// A crash that was rehearsed, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Crash {
    pub process: String,
    /// Since it was ready.
    #[serde(rename = "after_seconds")]
    pub after: Secs,
    /// Until it was ready again; `None`: it was not.
    #[serde(rename = "ready_again_after_seconds", skip_serializing_if = "Option::is_none")]
    pub again: Option<Secs>,
}

impl Run {
    /// From the stop request to softstop's end, by its own account.
    pub fn took(&self) -> Option<Duration> {
        let report = self.report.as_ref().filter(|report| !self.killed && report.stop_began.is_some())?;
        report.end.as_ref().map(|end| end.took)
    }

    /// From the stop request to when a request was begun that is known by its time since the load began.
    pub fn since_request(&self, at: Secs) -> Duration {
        at.0.saturating_sub(self.load_requested.unwrap_or_default().0)
    }

    /// softstop's report, with what was seen from outside.
    pub fn seen_whole(&self, setup: &Setup) -> record::Run {
        let none = || record::Run { grace: Some(self.grace.0), ..record::Run::default() };
        let mut run = record::Run { observed: self.observed(setup), ..self.report.clone().unwrap_or_else(none) };
        self.at_stop.iter().for_each(|at| run.has_become(&at.name, &at.command));
        run
    }

    fn observed(&self, setup: &Setup) -> Observed {
        let end = self.ended_after.map_or(self.grace.0, |after| after.0);
        let stays = self.load.is_some() && self.requested && self.turned_after.is_none() && self.failed() > 0;
        let ended = !self.requested && self.crash.is_none();
        let code = self.exit_code.map_or_else(String::new, |code| format!(" with exit code {code}"));
        let lost = self.crash.as_ref().filter(|crash| crash.again.is_none() && self.requested);
        Observed {
            clients: self.load.is_some(),
            refused: self.failures(&[Why::Refused]),
            cut: self.failures(&[Why::Cut, Why::Reset]),
            errors: self.failures(&[Why::ServerError]),
            unanswered: self.failures(&[Why::Timeout, Why::Other]),
            lag: setup.lag,
            ready_until: stays.then_some(end),
            killed: self.killed.then_some(end),
            shells: self.shells(setup).map(|shell| (shell.name.clone(), shell.child.clone())).collect(),
            never_ready: self.never_ready.clone(),
            ended: ended.then_some(code),
            not_again: lost.map(|crash| crash.process.clone()),
            left: if self.killed { Vec::new() } else { self.left.clone() },
        }
    }

    /// Shells which the stop signal ends at once, and not what they have started.
    fn shells(&self, setup: &Setup) -> impl Iterator<Item = &AtStop> {
        let passes_on = |at: &AtStop| at.catches_sigterm || at.ignores_sigterm || setup.to_group.contains(&at.name);
        self.at_stop.iter().filter(move |at| self.is_shell(at) && at.children > 0 && !passes_on(at))
    }

    /// Which applet of busybox it is, the kernel does not say, but the report: what was started.
    fn is_shell(&self, at: &AtStop) -> bool {
        let started = self.report.as_ref().and_then(|report| report.program(&at.name));
        let applet = started.filter(|_| at.command == programs::BUSYBOX).map(|setup| setup.program.as_str());
        programs::is_shell(applet.unwrap_or(&at.command))
    }

    /// From the stop request on; after a crash that was rehearsed they may be of it.
    fn failures(&self, kinds: &[Why]) -> Failed {
        let load = self.load.as_ref().filter(|_| self.load_requested.is_some() && self.crash.is_none());
        let all = kinds.iter().filter_map(|why| load?.of(*why));
        all.fold(Failed::default(), |sum, failures| {
            let (first, last) = (self.since_request(failures.first), self.since_request(failures.last));
            let first = if sum.count == 0 { first } else { sum.first.min(first) };
            Failed { count: sum.count + failures.count, first, last: sum.last.max(last) }
        })
    }

    /// Requests that failed from the stop request on.
    pub fn failed(&self) -> u64 {
        self.load.as_ref().map_or(0, Tally::failed)
    }
}

/// For programs: what softstop's report says of the stop.
#[derive(Serialize)]
struct Stop<'a> {
    exit_code: Option<u8>,
    cause: Option<&'a str>,
    #[serde(rename = "grace_seconds")]
    grace: Option<Secs>,
    #[serde(rename = "took_seconds")]
    took: Option<Secs>,
    within_grace: Option<bool>,
    /// Who needed SIGKILL.
    forced: &'a [String],
    /// Steps and processes, in their order.
    parts: Vec<StopPart>,
}

#[derive(Serialize)]
struct StopPart {
    part: Part,
    name: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(rename = "after_seconds")]
    after: Secs,
    #[serde(rename = "took_seconds")]
    took: Secs,
    #[serde(rename = "slice_seconds", skip_serializing_if = "Option::is_none")]
    granted: Option<Secs>,
}

#[expect(clippy::ref_option, reason = "serde has it so")]
fn stop<S: Serializer>(report: &Option<record::Run>, to: S) -> Result<S::Ok, S::Error> {
    let Some(report) = report else { return to.serialize_none() };
    let end = report.end.as_ref();
    let part = |slice: Slice| StopPart {
        part: slice.part,
        outcome: slice.outcome,
        after: Secs(slice.from),
        took: Secs(slice.took()),
        granted: slice.granted.map(Secs),
        name: slice.name,
        reason: slice.reason,
    };
    let stop = Stop {
        exit_code: end.map(|end| end.exit_code),
        cause: report.cause.as_deref(),
        grace: report.grace.map(Secs),
        took: end.map(|end| Secs(end.took)),
        within_grace: end.map(|end| end.within_grace),
        forced: end.map_or(&[], |end| &end.forced),
        parts: report.slices().into_iter().map(part).collect(),
    };
    stop.serialize(to)
}

/// A process of the configuration when the stop was requested.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AtStop {
    pub name: String,
    /// As it sees it itself.
    pub pid: i32,
    pub command: String,
    pub children: usize,
    /// The name of one of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub child: String,
    pub catches_sigterm: bool,
    pub ignores_sigterm: bool,
}

/// Everything below drill, looked at again and again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Seen {
    /// At the same time, softstop included.
    pub most_processes: usize,
    /// In memory at the same time, in bytes; what processes share counts for each.
    pub most_memory: u64,
    /// At the same time, and dead for longer than a moment.
    pub most_zombies: usize,
    /// Dead at the last look, to be counted when they are still there at the next.
    #[serde(skip)]
    pub dead: Vec<(i32, u64)>,
}
