//! Who has had a stop signal: nobody gets a second one by another way, as many programs take that for "at once". Bounded by who lives.

use std::collections::HashMap;

use super::procfs::read_stat;
use super::tree::Descendant;

/// Those that have ended are forgotten when there are so many more entries than after the last time, or twice as many.
const MORE: usize = 256;

/// By pid and start time.
#[derive(Debug, Default)]
pub struct Asked {
    started: HashMap<i32, u64>,
    after_pruning: usize,
}

impl Asked {
    pub fn has(&self, process: &Descendant) -> bool {
        self.started.get(&process.pid) == Some(&process.started)
    }

    /// For a child of ours: until it is reaped its number is its own.
    pub fn has_child(&self, pid: i32) -> bool {
        self.started.contains_key(&pid)
    }

    pub fn add(&mut self, process: &Descendant) {
        if are_many(self.started.len(), self.after_pruning) {
            self.started.retain(|pid, started| read_stat(*pid).is_ok_and(|stat| stat.started == *started));
            self.after_pruning = self.started.len();
        }
        self.started.insert(process.pid, process.started);
    }

    /// It has been reaped.
    pub fn forget(&mut self, pid: i32) {
        self.started.remove(&pid);
    }
}

fn are_many(entries: usize, after_pruning: usize) -> bool {
    entries >= (after_pruning * 2).max(after_pruning + MORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_looked_through_when_there_are_so_many_more_or_twice_as_many() {
        for (after_pruning, many) in [(0, MORE), (1, 1 + MORE), (MORE, 2 * MORE), (1000, 2000)] {
            assert!(are_many(many, after_pruning) && !are_many(many - 1, after_pruning), "{after_pruning}");
        }
    }

    #[test]
    fn those_that_have_ended_are_forgotten_and_those_that_live_are_not() {
        let own = super::super::process::own_pid();
        let itself = Descendant::read(own).unwrap();
        let mut asked = Asked::default();
        asked.add(&itself);
        // Beyond the greatest pid there can be (2^22).
        for pid in 5_000_000..5_010_000 {
            asked.add(&Descendant { pid, ..itself.clone() });
            assert!(asked.started.len() <= MORE + 2, "{}", asked.started.len());
        }
        assert_eq!(asked.after_pruning, 1, "else everybody is looked at for each that is added");
        assert!(asked.has(&itself) && asked.has_child(own));
        let another = Descendant { started: itself.started + 1, ..itself.clone() };
        assert!(!asked.has(&another), "its number has been given again");
        asked.forget(own);
        assert!(!asked.has(&itself) && !asked.has_child(own));
    }
}
