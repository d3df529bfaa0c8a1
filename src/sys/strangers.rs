//! As PID 1: who was put into the PID namespace from outside (`kubectl exec`, `docker exec`, `nsenter`): their parent is 0. They are
//! not below us and get no signal of ours, so softstop has to know of them before it may have the kernel signal everybody.
//!
//! Nobody becomes a stranger later, so each process is looked at once, as time allows. Then at the end, when there may be hardly any
//! processor time, only the newest are left to look at.

use std::collections::HashSet;
use std::io;

use super::procfs::{self, read_stat};

/// What is known of the namespace's processes, by their pids. A pid is forgotten by the first list that does not have it; one that
/// passes to a stranger between two lists, for which all pids have to be given out in between, is taken for the one before.
#[derive(Debug, Default)]
pub struct Strangers {
    /// They have a parent inside.
    insiders: HashSet<i32>,
    /// They have none.
    seen: HashSet<i32>,
    /// Still to be looked at; the highest is the next: as a rule it has come last.
    unknown: Vec<i32>,
}

impl Strangers {
    /// Lists everybody, and looks again at those who are known as strangers. How many processes there are.
    ///
    /// # Errors
    /// When there is no /proc, or it shows another PID namespace.
    pub fn list(&mut self) -> io::Result<usize> {
        let own = super::process::own_pid();
        let (mut processes, mut insiders) = (0, HashSet::new());
        self.unknown.clear();
        for pid in procfs::pids()? {
            processes += 1;
            if self.insiders.contains(&pid) {
                insiders.insert(pid);
            } else if pid != own && !self.seen.contains(&pid) {
                self.unknown.push(pid);
            }
        }
        self.insiders = insiders;
        self.seen.retain(|pid| read_stat(*pid).is_ok_and(|stat| stat.ppid == 0 && stat.lives()));
        Ok(processes)
    }

    /// How many of those listed have not been looked at.
    pub fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// Whether a living stranger is known.
    pub fn any(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Inspects the unknown for as long as `goes_on` says.
    pub fn inspect_while(&mut self, mut goes_on: impl FnMut() -> bool) {
        while goes_on() && self.inspect_one().is_some() {}
    }

    /// Inspects one of the unknown: its pid, and whether it is a stranger. Who has ended or cannot be seen is nobody.
    pub fn inspect_one(&mut self) -> Option<(i32, bool)> {
        let pid = self.unknown.pop()?;
        match read_stat(pid) {
            Ok(stat) if stat.ppid != 0 => {
                self.insiders.insert(pid);
                Some((pid, false))
            }
            Ok(stat) if stat.lives() => Some((pid, self.seen.insert(pid))),
            _ => Some((pid, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_looked_at_once_and_forgotten_when_it_is_gone() {
        let mut strangers = Strangers::default();
        let processes = strangers.list().unwrap();
        assert!(processes > 1 && strangers.unknown() == processes - 1 && !strangers.any(), "nobody was looked at");
        strangers.inspect_while(|| false);
        assert_eq!(strangers.unknown(), processes - 1);
        // The init of the test's own namespace has parent 0, as a stranger has.
        strangers.inspect_while(|| true);
        assert_eq!(strangers.unknown(), 0);
        assert!(strangers.any() && strangers.seen.remove(&1));
        strangers.insiders.extend([1, i32::MAX]);
        strangers.seen.insert(i32::MAX);
        strangers.list().unwrap();
        strangers.inspect_while(|| true);
        assert!(!strangers.seen.contains(&1), "who is known is looked at again");
        assert!(!strangers.insiders.contains(&i32::MAX) && !strangers.seen.contains(&i32::MAX), "gone");
    }
}
