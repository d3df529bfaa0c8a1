//! Orphans that were adopted and reaped, by the command that was left behind. Pure.

use std::collections::BTreeMap;

use crate::sorted;
use crate::text::plain;

use serde::Serialize;

/// So many commands are counted one by one, the first to come; a process chooses its own name, so there may be any number.
const COMMANDS: usize = 16;
/// What the others are counted under.
pub const OTHERS: &str = "(others)";

/// The orphans of one command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Leaked {
    /// The name of the process (`comm`, at most 15 bytes, without control characters).
    pub command: String,
    /// The process whose group or session it was in; `None`: it had left them, as a daemon does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    pub count: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Orphans {
    counts: BTreeMap<(String, Option<String>), u64>,
    others: u64,
}

impl Orphans {
    pub fn add(&mut self, command: &str, process: Option<&str>) {
        let command = plain(command, '?').into_owned();
        // A process that calls itself so must not stand in a metric twice.
        let is_others = command == OTHERS;
        let key = (command, process.map(str::to_owned));
        if let Some(count) = self.counts.get_mut(&key) {
            *count = count.saturating_add(1);
        } else if !is_others && self.counts.len() < COMMANDS {
            self.counts.insert(key, 1);
        } else {
            self.others = self.others.saturating_add(1);
        }
    }

    /// The most frequent first, and what is not counted one by one last.
    pub fn list(&self) -> Vec<Leaked> {
        let mut list: Vec<Leaked> = self
            .counts
            .iter()
            .map(|((command, process), count)| Leaked {
                command: command.clone(),
                process: process.clone(),
                count: *count,
            })
            .collect();
        sorted::by_key(&mut list, |leaked| std::cmp::Reverse(leaked.count));
        if self.others > 0 {
            list.push(Leaked { command: OTHERS.to_owned(), process: None, count: self.others });
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_the_rest_is_counted_together() {
        let mut orphans = Orphans::default();
        orphans.add(OTHERS, None);
        for n in 0..1000 {
            orphans.add(&format!("c{n}"), None);
            orphans.add("git\n", Some("web"));
        }
        let list = orphans.list();
        assert_eq!(list.len(), COMMANDS + 1);
        assert_eq!(list[0], Leaked { command: "git?".into(), process: Some("web".into()), count: 1000 });
        assert_eq!(list[COMMANDS].command, OTHERS);
        assert_eq!(list.iter().map(|l| l.count).sum::<u64>(), 2001, "none is lost");
        assert_eq!(list.iter().filter(|l| l.command == OTHERS).count(), 1);
        // What has a row of its own keeps it: a counter never falls.
        orphans.add("c0", None);
        assert!(orphans.list().iter().any(|l| l.command == "c0" && l.count == 2));
    }
}
