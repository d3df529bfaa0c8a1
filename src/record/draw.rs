//! A run's picture. Pure.

use super::{Outcome, Part, Run, Slice, findings};
use crate::picture::{Bar, Kind, Mark, MarkKind, Picture, Remark, Row, shorten};
use crate::time::Human;

impl Run {
    /// `name`: where it was read from.
    pub fn picture(&self, name: &str) -> Picture {
        let mut rows = self.rows();
        let mut remarks: Vec<Remark> = findings::of(self).into_iter().map(Into::into).collect();
        remarks.extend(shorten(&mut rows));
        if remarks.is_empty() {
            remarks.push(Remark::note("nothing went wrong"));
        }
        Picture {
            title: format!("softstop report: {name}"),
            subtitle: self.headline(),
            end: self.grace.unwrap_or_default().max(self.last()),
            rows,
            marks: self.marks(),
            remarks,
        }
    }

    /// The stop, part by part.
    pub fn rows(&self) -> Vec<Row> {
        let (mut rows, mut part) = (Vec::new(), None);
        for slice in self.slices() {
            // What was left behind is one row of that name.
            if part.replace(slice.part) != Some(slice.part) && slice.part != Part::Stragglers {
                rows.push(Row::heading(slice.part.heading()));
            }
            rows.push(row(&slice));
        }
        rows
    }

    /// `stopped in 4.5s of 15.0s (SIGTERM from outside the container); exit code 0`.
    pub fn headline(&self) -> String {
        let cause = self.cause.as_deref().map_or(String::new(), |cause| format!(" ({cause})"));
        let grace = self.grace.map_or(String::new(), |grace| format!(" of {}", Human(grace)));
        match (&self.end, self.stop_began) {
            (Some(end), _) => {
                format!("stopped in {}{grace}{cause}; exit code {}", Human(end.took), end.exit_code)
            }
            (None, Some(_)) => format!("stopping for {}{grace}{cause}; the report has no end", Human(self.last())),
            (None, None) => "no stop was requested yet".to_owned(),
        }
    }

    /// When what happened: the deadline and the end of the grace among it.
    pub fn marks(&self) -> Vec<Mark> {
        let mut marks = vec![Mark::stop_request()];
        marks.extend(self.deadline.map(|at| Mark::new(at, MarkKind::Deadline, "deadline")));
        marks.extend(self.grace.map(|at| Mark::new(at, MarkKind::Kill, "end of the grace")));
        marks.extend(self.end.as_ref().map(|end| Mark::new(end.took, MarkKind::Event, "ended")));
        marks
    }
}

fn row(slice: &Slice) -> Row {
    let kind = match slice.outcome {
        Outcome::Done | Outcome::Cancelled => Kind::Done,
        Outcome::Failed | Outcome::TimedOut => Kind::Failed,
        Outcome::Cut | Outcome::NoTime => Kind::Cut,
        Outcome::Open => Kind::Open,
        Outcome::Forced => Kind::Forced,
    };
    // What was not begun has no bar.
    let never = matches!(slice.outcome, Outcome::Cancelled | Outcome::NoTime) && slice.took().is_zero();
    let bars = if never { Vec::new() } else { vec![Bar { kind, from: slice.from, until: slice.until }] };
    let took = match slice.granted {
        _ if never => String::new(),
        Some(granted) => format!("{} of {}", Human(slice.took()), Human(granted)),
        None => Human(slice.took()).to_string(),
    };
    let says = match (slice.outcome, took.is_empty()) {
        (Outcome::Done, _) => took,
        (outcome, true) => outcome.words().to_owned(),
        (outcome, false) => format!("{took}, {}", outcome.words()),
    };
    Row { label: slice.name.clone(), depth: 1, bars, says, ..Row::default() }
}
