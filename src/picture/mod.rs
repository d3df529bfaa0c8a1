//! A timeline, drawn: rows of bars on an axis that begins with the stop request; as [`text`](Picture::text) for a terminal or a log, or as
//! [`svg`](Picture::svg) for a page. Pure.
//!
//! `softstop plan` draws what can be, `softstop report` and `softstop drill` what was.

mod axis;
pub mod measure;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use crate::time::Human;
pub use text::Style;

/// What there is to draw. Times count from the stop request.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Picture {
    pub title: String,
    /// Below the title; empty: none.
    pub subtitle: String,
    /// Where the axis ends.
    pub end: Duration,
    pub rows: Vec<Row>,
    pub marks: Vec<Mark>,
    /// Below the drawing.
    pub remarks: Vec<Remark>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Row {
    pub label: String,
    /// How many rows it is below: 0 is a heading or stands alone.
    pub depth: usize,
    /// Later ones are drawn over earlier ones.
    pub bars: Vec<Bar>,
    /// Instants at which something went wrong: a request that failed.
    pub ticks: Vec<Duration>,
    /// A value that holds from its instant on: how many connections are open. In order.
    pub curve: Vec<(Duration, u64)>,
    /// In a few words, right of the bars: `3.1s of 15.0s`.
    pub says: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    pub kind: Kind,
    pub from: Duration,
    pub until: Duration,
}

/// What a bar means: its colour, its character and its line in the legend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Planned: it takes so long when all goes well.
    Least,
    /// Planned: it may take so long.
    Most,
    /// Planned: nothing before it may take this.
    Reserve,
    /// Measured: it went well.
    Done,
    /// Measured: it failed, or its own timeout passed.
    Failed,
    /// Measured: its time slice was used up.
    Cut,
    /// Measured: it needed SIGKILL.
    Forced,
    /// Measured, and not over.
    Open,
}

impl Kind {
    const ALL: [Kind; 8] =
        [Kind::Least, Kind::Most, Kind::Reserve, Kind::Done, Kind::Failed, Kind::Cut, Kind::Forced, Kind::Open];

    fn legend(self) -> &'static str {
        match self {
            Kind::Least => "when all goes well",
            Kind::Most => "worst case",
            Kind::Reserve => "reserve",
            Kind::Done => "done",
            Kind::Failed => "failed or timed out",
            Kind::Cut => "cut short",
            Kind::Forced => "needed SIGKILL",
            Kind::Open => "not over",
        }
    }
}

/// An instant that holds for all rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    pub at: Duration,
    pub kind: MarkKind,
    /// `deadline 29.0s`.
    pub label: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarkKind {
    /// Something was asked for, or has happened.
    Event,
    /// softstop kills what is left.
    Deadline,
    /// Whoever runs the container kills all of it.
    Kill,
}

/// Something to be said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    pub weight: Weight,
    pub text: String,
    /// What to do about it; empty: nothing.
    pub help: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    Error,
    Warning,
    Note,
}

impl Weight {
    pub fn name(self) -> &'static str {
        match self {
            Weight::Error => "error",
            Weight::Warning => "warning",
            Weight::Note => "note",
        }
    }
}

impl Mark {
    /// Where every axis begins.
    pub fn stop_request() -> Mark {
        Mark { at: Duration::ZERO, kind: MarkKind::Event, label: "stop request".to_owned() }
    }

    /// Its label ends with the instant.
    pub fn new(at: Duration, kind: MarkKind, what: &str) -> Mark {
        Mark { at, kind, label: format!("{what} {}", Human(at)) }
    }
}

impl Remark {
    pub fn note(text: impl Into<String>) -> Remark {
        Remark { weight: Weight::Note, text: text.into(), help: String::new() }
    }
}

/// More rows than that nobody looks at.
const ROWS: usize = 400;

/// Leaves out what is too much, and says so.
pub fn shorten(rows: &mut Vec<Row>) -> Option<Remark> {
    let more = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    (more > 0).then(|| Remark::note(format!("{more} more rows are left out")))
}

impl Row {
    /// A heading.
    pub fn heading(label: impl Into<String>) -> Row {
        Row { label: label.into(), ..Row::default() }
    }
}

impl Picture {
    /// The kinds of bars that there are, each once.
    fn kinds(&self) -> Vec<Kind> {
        let used = |kind: &Kind| self.rows.iter().flat_map(|row| &row.bars).any(|bar| bar.kind == *kind);
        Kind::ALL.into_iter().filter(used).collect()
    }

    /// Where the axis ends; never at its beginning.
    fn span(&self) -> Duration {
        self.end.max(Duration::from_millis(1))
    }

    /// `at` on an axis of this length.
    fn place(&self, at: Duration, length: f64) -> f64 {
        (at.as_secs_f64() / self.span().as_secs_f64()).clamp(0.0, 1.0) * length
    }
}
