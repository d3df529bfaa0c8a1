//! I11: a wrong configuration starts nothing, and the message points at the mistake.

use super::Findings;
use crate::model::Scenario;
use crate::play::Observed;

pub fn check(s: &Scenario, o: &Observed, found: &mut Findings) {
    let how = s.broken;
    found.hold(11, o.code == 78, || format!("{how:?}: exit code {}", o.code));
    let started = o.journal.iter().find(|record| record.name != "stranger");
    found.hold(11, started.is_none(), || format!("{how:?}: started all the same: {started:?}"));
    found.hold(11, o.report.is_null() && o.seen.looks == 0, || format!("{how:?}: something was done"));
    if s.unread {
        return;
    }
    let said = format!("{}{}", o.stdout, o.stderr);
    let at = said.lines().filter_map(|line| line.trim_start().strip_prefix("--> ")).find_map(place);
    let wanted = o.wrong_line;
    found.hold(11, at.is_some(), || format!("{how:?}: no file, line and column in:\n{said}"));
    let right = said
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--> "))
        .filter_map(place)
        .any(|l| Some(l) == wanted);
    found.hold(11, right, || format!("{how:?}: the mistake is in line {wanted:?}, not in {at:?}:\n{said}"));
    found.hold(11, said.contains("help: "), || format!("{how:?}: does not say what to do:\n{said}"));
}

/// The line of `FILE:LINE:COLUMN`.
fn place(text: &str) -> Option<usize> {
    let mut parts = text.trim().rsplit(':');
    let column: usize = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    (column > 0 && parts.next()?.ends_with("softstop.toml")).then_some(line)
}
