//! I10: every line that was written before its mark comes out, in order.

use std::collections::BTreeMap;

use super::{Case, Findings};
use crate::journal::Did;

pub fn check(case: &Case, found: &mut Findings) {
    // The harness keeps the beginning and the end of what is written without end.
    let fills = case.s.processes.iter().any(|p| p.words.iter().any(|w| w == "fill"));
    if case.s.unread || fills {
        return;
    }
    let mut printed: BTreeMap<(String, i32), Vec<u64>> = BTreeMap::new();
    // What softstop's own log quotes was printed before.
    for line in case.o.stdout.lines().chain(case.o.stderr.lines()).filter(|line| !line.contains("last output: ")) {
        if let Some((who, n)) = numbered(line) {
            printed.entry(who).or_default().push(n);
        }
    }
    for life in &case.lives {
        let mark = life.records.iter().rev().find_map(|r| if let Did::Mark(n) = r.what { Some(n) } else { None });
        let Some(mark) = mark else { continue };
        let none = Vec::new();
        let lines = printed.get(&(life.name.clone(), life.pid)).unwrap_or(&none);
        // A pid that came again has its numbers begin anew.
        let in_order = lines.iter().zip(1..).all(|(n, wanted)| *n == wanted);
        let reused = case.lives.iter().filter(|l| l.pid == life.pid && l.name == life.name).count() > 1;
        found.hold(10, reused || (in_order && lines.len() as u64 >= mark), || {
            format!("{} (pid {}) wrote {mark} lines; out came {lines:?}", life.name, life.pid)
        });
    }
}

/// `line NAME PID N`, with whatever stands around it.
fn numbered(line: &str) -> Option<((String, i32), u64)> {
    let mut words = line[line.find("line ")?..].split(['"', ' ']).skip(1);
    let (name, pid) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    Some(((name, pid), words.next()?.parse().ok()?))
}
