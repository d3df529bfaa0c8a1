//! `/metrics`: the [`Status`] in Prometheus' text format 0.0.4. Pure.
//!
//! Which metrics there are is declared in [`declared`]. Cardinality is bounded by the configuration: labels hold names from it and fixed words.

pub mod declared;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use crate::record::LastStop;
use crate::sorted;
use crate::status::{Phase, ProcessStatus, Seen, State, Status};
use declared::Metric;

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric, each with its HELP and TYPE. A metric without a sample now (a stop that has not begun) is left out whole.
pub fn render(status: &Status) -> String {
    let mut page = Page(String::with_capacity(2048 + 1024 * status.processes.len()));
    whole(&mut page, status);
    processes(&mut page, &status.processes);
    if let Some(task) = &status.init {
        page.labelled(&declared::INIT_TASK, [&task.name], task.running.as_secs_f64());
    }
    stop(&mut page, status);
    if let Some(last) = &status.seen.last_stop {
        last_stop(&mut page, last);
    }
    page.0
}

fn whole(page: &mut Page, status: &Status) {
    page.labelled(&declared::INFO, [status.version], 1.0);
    page.head(&declared::PHASE);
    for phase in Phase::ALL {
        page.sample(&declared::PHASE, [phase.name()], bit(status.phase == *phase));
    }
    page.value(&declared::STARTED, bit(status.started));
    page.value(&declared::READY, bit(status.ready));
    page.value(&declared::LIVE, bit(status.live));
    page.value(&declared::STOPPING, bit(status.stop.is_some()));
    page.value(&declared::UPTIME, status.uptime.as_secs_f64());
    page.value(&declared::GRACE, status.grace.as_secs_f64());
    page.value(&declared::ORPHANS, number(status.orphans_reaped));
    seen(page, &status.seen);
}

/// The label `command` has at most 17 values: see [`crate::report::Orphans`].
fn seen(page: &mut Page, seen: &Seen) {
    page.each(&declared::ORPHANS_BY_COMMAND, &seen.orphans, |leaked| {
        let labels = [leaked.command.as_str(), leaked.process.as_deref().unwrap_or_default()];
        Some((labels, number(leaked.count)))
    });
    if let Some(kills) = seen.oom_kills {
        page.value(&declared::OOM_KILLS, number(kills));
    }
    if let Some(pids) = seen.pids {
        page.value(&declared::PIDS, number(pids.current));
        page.value(&declared::PIDS_MAX, number(pids.max));
    }
}

fn processes(page: &mut Page, processes: &[ProcessStatus]) {
    type Read = fn(&ProcessStatus) -> Option<f64>;
    let table: [(&Metric<1>, Read); 9] = [
        (&declared::UP, |p| Some(bit(p.state == State::Running))),
        (&declared::PROCESS_STARTED, |p| Some(bit(p.started))),
        (&declared::PROCESS_READY, |p| Some(bit(p.ready))),
        (&declared::STOPPED, |p| Some(bit(p.stopped))),
        (&declared::PROCESS_LIVE, |p| Some(bit(p.live))),
        (&declared::RESTARTS, |p| Some(f64::from(p.restarts))),
        (&declared::SIGKILLS, |p| Some(number(p.sigkills))),
        (&declared::RUNNING, |p| p.running.map(|d| d.as_secs_f64())),
        (&declared::LAST_EXIT_CODE, |p| p.last_exit.as_ref().map(|e| f64::from(e.exit_code))),
    ];
    for (metric, read) in table {
        page.each(metric, processes, |p| Some(([p.name.as_str()], read(p)?)));
    }
    page.each(&declared::LAST_EXIT_REASON, processes, |p| {
        Some(([p.name.as_str(), p.last_exit.as_ref()?.reason.name()], 1.0))
    });
    let probes: Vec<_> = processes.iter().flat_map(|p| p.probe_failures.iter().map(move |probe| (p, probe))).collect();
    page.each(&declared::FAILED_PROBES, &probes, |(p, (probe, failures))| {
        Some(([p.name.as_str(), probe.name()], number(*failures)))
    });
    scheduled(page, processes);
    page.each(&declared::WAITING, processes, |p| {
        let reason = p.reason.filter(|_| p.state == State::Waiting)?;
        Some(([p.name.as_str(), reason.name()], 1.0))
    });
}

fn scheduled(page: &mut Page, processes: &[ProcessStatus]) {
    let scheduled: Vec<_> = processes.iter().filter_map(|p| Some((p.name.as_str(), p.schedule.as_ref()?))).collect();
    let results = |(name, schedule): &(_, &crate::status::ScheduleStatus)| {
        let counts = [("succeeded", schedule.succeeded), ("failed", schedule.failed), ("skipped", schedule.skipped)];
        counts.map(|(result, count)| ([*name, result], f64::from(count)))
    };
    let runs: Vec<_> = scheduled.iter().flat_map(results).collect();
    page.each(&declared::SCHEDULED_RUNS, &runs, |run| Some(*run));
    page.each(&declared::NEXT_RUN, &scheduled, |(name, schedule)| {
        Some(([*name], schedule.next_in.as_ref().map(Duration::as_secs_f64)?))
    });
}

fn stop(page: &mut Page, status: &Status) {
    let Some(stop) = &status.stop else { return };
    page.labelled(&declared::STEP, [&stop.step], 1.0);
    page.value(&declared::ELAPSED, stop.elapsed.as_secs_f64());
    page.value(&declared::DEADLINE, stop.deadline_in.as_secs_f64());
    page.value(&declared::STEP_DEADLINE, stop.step_deadline_in.as_secs_f64());
    page.value(&declared::DRAIN_CUT, number(status.seen.drain_steps_cut));
}

fn last_stop(page: &mut Page, last: &LastStop) {
    page.value(&declared::LAST_TIMESTAMP, number(last.ended_at));
    page.value(&declared::LAST_COMPLETE, bit(last.complete));
    page.each(&declared::LAST_REASON, last.reason.as_slice(), |reason| Some(([reason.name()], 1.0)));
    let figures = [
        (&declared::LAST_DURATION, last.took.map(|took| took.0.as_secs_f64())),
        (&declared::LAST_GRACE, last.grace.map(|grace| grace.0.as_secs_f64())),
        (&declared::LAST_WITHIN, last.within_grace.map(bit)),
        (&declared::LAST_EXIT, last.exit_code.map(f64::from)),
    ];
    for (metric, value) in figures {
        page.each(metric, value.as_slice(), |value| Some(([], *value)));
    }
    page.value(&declared::LAST_SIGKILLED, number(last.sigkilled));
    page.value(&declared::LAST_DRAIN_CUT, number(last.drain_steps_cut));
    // A rule may have been found of several processes.
    let rules: BTreeSet<&str> = sorted::collected(last.findings.iter().map(|found| found.rule.as_str()));
    page.each(&declared::LAST_FINDING, &Vec::from_iter(rules), |rule| Some(([*rule], 1.0)));
}

fn bit(b: bool) -> f64 {
    f64::from(u8::from(b))
}

/// Prometheus keeps every value so: exact up to 2^53.
fn number(n: u64) -> f64 {
    n as f64
}

struct Page(String);

impl Page {
    fn head<const N: usize>(&mut self, metric: &Metric<N>) {
        let Metric { name, kind, help, .. } = metric;
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample<const N: usize>(&mut self, metric: &Metric<N>, labels: [&str; N], value: f64) {
        self.write_sample(metric.name, &metric.labels, &labels, value);
    }

    /// `labels` as declared, and their values.
    fn write_sample(&mut self, name: &str, labels: &[&str], values: &[&str], value: f64) {
        self.write(format_args!("{name}"));
        for (i, (label, text)) in labels.iter().zip(values).enumerate() {
            self.write(format_args!("{}{label}=\"{}\"", if i == 0 { '{' } else { ',' }, escape(text)));
        }
        self.write(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    /// A metric of one sample.
    fn labelled<const N: usize>(&mut self, metric: &Metric<N>, labels: [&str; N], value: f64) {
        self.head(metric);
        self.sample(metric, labels, value);
    }

    fn value(&mut self, metric: &Metric<0>, value: f64) {
        self.labelled(metric, [], value);
    }

    /// A sample for each that has one; nothing when none has.
    fn each<'a, T, const N: usize>(
        &mut self,
        metric: &Metric<N>,
        of: &'a [T],
        read: impl Fn(&'a T) -> Option<([&'a str; N], f64)>,
    ) {
        let mut samples = of.iter().filter_map(read).peekable();
        if samples.peek().is_some() {
            self.head(metric);
        }
        samples.for_each(|(labels, value)| self.sample(metric, labels, value));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a String cannot fail");
    }
}

/// A label's value as the format wants it: backslash, quote and line feed escaped, everything else as it is.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
