//! The slowest stop, drawn: its steps and processes, and what clients met meanwhile. Pure.

use std::time::Duration;

use super::{Drilled, sentence, slowest};
use crate::drill::result::GraceResult;
use crate::drill::run::Run;
use crate::picture::{Mark, MarkKind, Picture, Remark, Row};

impl Drilled<'_> {
    /// Of the grace that fits best, else of the first.
    pub fn svg(&self) -> String {
        let best = self.all.iter().filter(|(result, _)| result.fits).min_by_key(|(result, _)| result.grace);
        let picture = best.or(self.all.first()).and_then(|(result, runs)| Some(self.picture(result, slowest(runs)?)));
        picture.unwrap_or_default().svg()
    }

    fn picture(&self, result: &GraceResult, run: &Run) -> Picture {
        let mut rows = Vec::new();
        if let Some(report) = &run.report {
            rows.extend(report.rows());
        }
        if let Some(clients) = clients(run) {
            rows.push(Row::heading("clients"));
            rows.extend(clients);
        }
        let mut remarks: Vec<Remark> = result.findings.iter().map(|found| found.finding.clone().into()).collect();
        if let Some(grace) = result.recommended_grace_seconds {
            remarks.push(Remark::note(format!("recommended: terminationGracePeriodSeconds: {grace}")));
        }
        let ended = run.took().unwrap_or_default();
        let clients_end = run.load_ended.map_or(Duration::ZERO, |at| run.since_request(at));
        Picture {
            title: format!("softstop drill: {}", self.setup.command),
            subtitle: sentence(result),
            end: run.grace.0.max(ended).max(clients_end),
            rows,
            marks: self.marks(run, ended, clients_end),
            remarks,
        }
    }

    fn marks(&self, run: &Run, ended: Duration, clients_end: Duration) -> Vec<Mark> {
        let mut marks = vec![Mark::stop_request()];
        if run.load.is_some() {
            marks.push(Mark::new(clients_end, MarkKind::Event, "clients end"));
        }
        let grace = run.grace.0;
        let deadline = grace.saturating_sub(self.setup.kill_reserve.min(grace / 4));
        marks.push(Mark::new(ended, MarkKind::Event, "ended"));
        marks.push(Mark::new(deadline, MarkKind::Deadline, "deadline"));
        marks.push(Mark::new(grace, MarkKind::Kill, "end of the grace"));
        marks
    }
}

/// Open connections from the stop request on, and when requests failed. `None`: there was no load.
fn clients(run: &Run) -> Option<[Row; 2]> {
    let (load, requested) = (run.load.as_ref()?, run.load_requested?);
    let width = load.width.0;
    let at = |n: usize| width.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX));
    // A slice that the request stands in begins with it.
    let since = load.slices.iter().enumerate().filter(|(n, _)| at(n + 1) > requested.0);
    let since = since.map(|(n, slice)| (at(n).saturating_sub(requested.0), slice));
    let curve: Vec<(Duration, u64)> = since.clone().map(|(at, slice)| (at, u64::from(slice.open))).collect();
    let most = curve.iter().map(|(_, open)| *open).max().unwrap_or(0);
    let ticks = since.filter(|(_, slice)| slice.failed > 0).map(|(at, _)| at).collect();
    let open = Row {
        label: "connections".to_owned(),
        depth: 1,
        curve,
        says: format!("at most {most} open"),
        ..Row::default()
    };
    let failed = match run.failed() {
        0 => "none failed".to_owned(),
        n => format!("{n} failed"),
    };
    Some([open, Row { label: "requests".to_owned(), depth: 1, ticks, says: failed, ..Row::default() }])
}
