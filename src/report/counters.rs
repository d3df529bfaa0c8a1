//! What has happened so often since softstop's start, for `/metrics` and `/status`: counted where it is said. Pure.

use std::collections::BTreeMap;

use super::{Note, TaskResult};
use crate::facts::{Fault, Place, ProbeKind};

/// By the names of processes, of which there are as many as the configuration has: see [`Counters::retain`].
#[derive(Debug, Default)]
pub struct Counters {
    sigkills: BTreeMap<String, u64>,
    failed_probes: BTreeMap<(String, ProbeKind), u64>,
    drain_steps_cut: u64,
}

impl Counters {
    pub fn count(&mut self, note: &Note) {
        match note {
            Note::Killed { process, .. } => *self.sigkills.entry(process.clone()).or_default() += 1,
            Note::ProbeFailed { process, probe, .. }
            | Note::NotReady { process, reason: Fault::ProbeFailed { probe, .. } }
            | Note::Unhealthy { process, reason: Fault::ProbeFailed { probe, .. } } => {
                *self.failed_probes.entry((process.clone(), *probe)).or_default() += 1;
            }
            Note::StepEnded { kind: Place::Drain, result: TaskResult::Cut { .. }, .. }
            | Note::StepSkipped { kind: Place::Drain, result: TaskResult::NoTime, .. } => self.drain_steps_cut += 1,
            _ => {}
        }
    }

    /// After a reload: of those that are not there any more nothing is kept.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.sigkills.retain(|process, _| is_there(process));
        self.failed_probes.retain(|(process, _), _| is_there(process));
    }

    /// SIGKILLs that softstop sent because the process, or what it left in its group, did not end otherwise.
    pub fn sigkills(&self, process: &str) -> u64 {
        self.sigkills.get(process).copied().unwrap_or_default()
    }

    /// Attempts of its probe that counted against the threshold.
    pub fn failed_probes(&self, process: &str, probe: ProbeKind) -> u64 {
        self.failed_probes.get(&(process.to_owned(), probe)).copied().unwrap_or_default()
    }

    /// Of this stop: cut short, or without any time.
    pub fn drain_steps_cut(&self) -> u64 {
        self.drain_steps_cut
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::facts::{Failure, KillReason, Needless};
    use crate::report::Secs;

    #[test]
    fn each_is_counted_by_its_process_and_forgotten_with_it() {
        let because = KillReason { after: None, waited: Duration::ZERO, out_of_time: true, stragglers: false };
        let killed =
            |process: &str| Note::Killed { process: process.into(), because, appeared_as: String::new(), look: None };
        let (probe, threshold, last) = (ProbeKind::Readiness, 3, Failure::NotProbed);
        let failed = |failures| {
            let reason = Failure::NotProbed;
            Note::ProbeFailed { process: "web".into(), probe, failures, threshold, reason }
        };
        let fault = Fault::ProbeFailed { probe, threshold, last };
        let mut counters = Counters::default();
        let notes = [killed("web"), killed("db"), killed("web"), failed(1), failed(2), failed(4)];
        notes.iter().for_each(|note| counters.count(note));
        counters.count(&Note::NotReady { process: "web".into(), reason: fault });
        counters.count(&Note::NotReady { process: "web".into(), reason: Fault::SaysStopping });
        assert_eq!(["web", "db", "agent"].map(|process| counters.sigkills(process)), [2, 1, 0]);
        assert_eq!(ProbeKind::ALL.iter().map(|kind| counters.failed_probes("web", *kind)).sum::<u64>(), 4);
        counters.retain(|process| process == "db");
        assert_eq!(["web", "db"].map(|process| counters.sigkills(process)), [0, 1]);
        assert_eq!(counters.failed_probes("web", probe), 0);
    }

    #[test]
    fn a_drain_step_is_cut_by_the_end_of_its_slice_alone() {
        let ended = |kind, result| {
            let secs = Secs(Duration::ZERO);
            Note::StepEnded { kind, name: "notice".into(), slice: secs, took: secs, result }
        };
        let skipped = |result| Note::StepSkipped { kind: Place::Drain, name: "flush".into(), result };
        let mut counters = Counters::default();
        counters.count(&ended(Place::Drain, TaskResult::Done));
        counters.count(&ended(Place::Drain, TaskResult::TimedOut { reason: None }));
        counters.count(&ended(Place::PostStop, TaskResult::Cut { reason: None }));
        counters.count(&skipped(TaskResult::Cancelled { why: Needless::ProcessEnded }));
        assert_eq!(counters.drain_steps_cut(), 0);
        counters.count(&ended(Place::Drain, TaskResult::Cut { reason: None }));
        counters.count(&skipped(TaskResult::NoTime));
        assert_eq!(counters.drain_steps_cut(), 2);
    }
}
