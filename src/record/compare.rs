//! Two runs beside each other: what became slower, what ends otherwise. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::findings::{self, Finding};
use super::{Outcome, Part, Run, Slice};
use crate::facts::named;
use crate::sorted;
use crate::text::one_line;
use crate::time::Human;

/// A difference that is worth a word: more than this, and more than a tenth.
const WORTH: Duration = Duration::from_millis(100);

/// A step or process of either run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    pub part: Part,
    pub name: String,
    pub before: Option<Slice>,
    pub after: Option<Slice>,
}

named! {
    pub enum Change {
        Same = "",
        Slower = "slower",
        Faster = "faster",
        /// It ends otherwise than it did: as it should now.
        Mended = "mended",
        /// And not as it should.
        Broken = "broken",
        New = "new",
        Gone = "gone",
    }
}

impl Pair {
    pub fn change(&self) -> Change {
        let (before, after) = match (&self.before, &self.after) {
            (None, _) => return Change::New,
            (_, None) => return Change::Gone,
            (Some(before), Some(after)) => (before, after),
        };
        match (before.ok(), after.ok()) {
            (true, false) => return Change::Broken,
            (false, true) => return Change::Mended,
            _ => {}
        }
        let (was, is) = (before.took(), after.took());
        let (more, less) = (is.saturating_sub(was), was.saturating_sub(is));
        if more > WORTH.max(was / 10) {
            Change::Slower
        } else if less > WORTH.max(was / 10) {
            Change::Faster
        } else {
            Change::Same
        }
    }
}

/// Every step and process of both, in the order of the second run; what has gone stands behind its part.
pub fn pairs(before: &Run, after: &Run) -> Vec<Pair> {
    let mut old: Vec<Option<Slice>> = before.slices().into_iter().map(Some).collect();
    let mut list: Vec<Pair> = Vec::new();
    for slice in after.slices() {
        let same =
            |old: &&mut Option<Slice>| old.as_ref().is_some_and(|old| old.part == slice.part && old.name == slice.name);
        let before = old.iter_mut().find(same).and_then(Option::take);
        list.push(Pair { part: slice.part, name: slice.name.clone(), before, after: Some(slice) });
    }
    let gone = old.into_iter().flatten();
    list.extend(gone.map(|slice| Pair {
        part: slice.part,
        name: slice.name.clone(),
        before: Some(slice),
        after: None,
    }));
    sorted::by_key(&mut list, |pair| pair.part);
    list
}

/// For a terminal or a log; `names`: of the two files.
pub fn text(names: [&str; 2], before: &Run, after: &Run) -> String {
    let mut out = String::new();
    for (name, run) in names.iter().zip([before, after]) {
        let _ = writeln!(out, "{}: {}", one_line(name), one_line(&run.headline()));
    }
    out.push('\n');
    let mut rows = vec![["STEP", "BEFORE", "AFTER", "DIFFERENCE", ""].map(str::to_owned)];
    let mut part = None;
    for pair in pairs(before, after) {
        if part.replace(pair.part) != Some(pair.part) {
            rows.push([pair.part.heading(), "", "", "", ""].map(str::to_owned));
        }
        rows.push(cells(&pair));
    }
    let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(wide);
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    let (was, is) = (findings::of(before), findings::of(after));
    for (title, list, other) in [("new", &is, &was), ("no more", &was, &is)] {
        for finding in list.iter().filter(|finding| !other.iter().any(|other| finding.is_same(other))) {
            let _ = write!(out, "\n{title}: {}", one_line(&finding.text));
            if title == "new" && !finding.help.is_empty() {
                let _ = write!(out, "\n  help: {}", one_line(&finding.help));
            }
            out.push('\n');
        }
    }
    out
}

/// Something ends otherwise than it did, and not as it should, or something is found that was not before.
pub fn is_worse(before: &Run, after: &Run) -> bool {
    let broken = |pair: &Pair| {
        pair.change() == Change::Broken || pair.before.is_none() && pair.after.as_ref().is_some_and(|s| !s.ok())
    };
    let was = findings::of(before);
    let new = |finding: &Finding| finding.counts() && !was.iter().any(|other| finding.is_same(other));
    pairs(before, after).iter().any(broken) || findings::of(after).iter().any(new)
}

fn cells(pair: &Pair) -> [String; 5] {
    let took = |slice: &Option<Slice>| match slice {
        None => "-".to_owned(),
        Some(slice) if slice.outcome == Outcome::Done => Human(slice.took()).to_string(),
        Some(slice) => format!("{} {}", Human(slice.took()), slice.outcome.words()),
    };
    let difference = match (&pair.before, &pair.after) {
        (Some(before), Some(after)) if after.took() >= before.took() => {
            format!("+{}", Human(after.took().saturating_sub(before.took())))
        }
        (Some(before), Some(after)) => format!("-{}", Human(before.took().saturating_sub(after.took()))),
        _ => String::new(),
    };
    [
        format!("  {}", one_line(&pair.name)),
        took(&pair.before),
        took(&pair.after),
        difference,
        pair.change().name().to_owned(),
    ]
}
