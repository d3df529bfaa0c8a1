//! Who stops after whom, and how long the stops behind a process may take. Pure. Cycles have been refused by the check.

use std::time::Duration;

use super::budget::task_length;
use crate::config::{Condition, Process};

/// A stop that says nothing of its length counts as this much when the longest chain is looked for.
const NOMINAL: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Order {
    /// For each process, those that depend on it, and what they need of it: they stop before it does.
    pub dependents: Vec<Vec<(usize, Condition)>>,
    /// For each process, the weightiest chain of those that can only stop after it.
    pub behind: Vec<Chain>,
}

/// How much a chain of stops asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// Stops that name their length, added up.
    pub stated: Duration,
    /// How many stops in it name none.
    pub open: u32,
}

impl Chain {
    /// One stop, or one rung of its ladder.
    pub fn of(length: Option<Duration>) -> Chain {
        match length {
            Some(stated) => Chain { stated, open: 0 },
            None => Chain { stated: Duration::ZERO, open: 1 },
        }
    }

    fn weight(self) -> Duration {
        self.stated.saturating_add(NOMINAL.saturating_mul(self.open))
    }

    #[must_use]
    pub fn and(self, other: Chain) -> Chain {
        Chain { stated: self.stated.saturating_add(other.stated), open: self.open.saturating_add(other.open) }
    }
}

/// How long the post_exit tasks of a process may take together.
pub fn post_exit(process: &Process) -> Duration {
    process.post_exit.iter().filter_map(task_length).fold(Duration::ZERO, Duration::saturating_add)
}

/// How long a process's own stop asks for: pre_stop, ladder, the diagnosis after it and post_exit, when all say how long they take.
pub fn stated(process: &Process) -> Option<Duration> {
    let ladder = process.stop.iter().map(|r| r.wait).collect::<Option<Vec<_>>>().filter(|waits| !waits.is_empty())?;
    let waits = ladder.into_iter().chain(process.diagnose.map(|d| d.wait)).chain([post_exit(process)]);
    let total = waits.fold(Duration::ZERO, Duration::saturating_add);
    match &process.pre_stop {
        None => Some(total),
        Some(task) => task_length(task).map(|t| total.saturating_add(t)),
    }
}

/// What a process's own stop asks for, as a chain of one.
pub fn own(process: &Process) -> Chain {
    Chain::of(stated(process))
}

impl Order {
    pub fn new(processes: &[Process]) -> Order {
        let mut dependents = vec![Vec::new(); processes.len()];
        for (i, process) in processes.iter().enumerate() {
            for (on, condition) in process.after.iter().filter(|(on, _)| *on != i) {
                dependents[*on].push((i, *condition));
            }
        }
        // Each once all that it depends on are done; in a circle, of which there is none, nobody ever is.
        let mut behind = vec![Chain::default(); processes.len()];
        let others = |i: usize| processes[i].after.iter().map(|(on, _)| *on).filter(move |on| *on != i);
        let mut left: Vec<usize> = (0..processes.len()).map(|i| others(i).count()).collect();
        let mut done: Vec<usize> = (0..processes.len()).filter(|i| left[*i] == 0).collect();
        while let Some(on) = done.pop() {
            for (i, _) in &dependents[on] {
                left[*i] -= 1;
                if left[*i] == 0 {
                    let best = others(*i).map(|on| own(&processes[on]).and(behind[on])).max_by_key(|c| c.weight());
                    behind[*i] = best.unwrap_or_default();
                    done.push(*i);
                }
            }
        }
        Order { dependents, behind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rung;
    use crate::signal::Signal;

    /// A stop of so many seconds, or one that says nothing; after those.
    fn process(name: &str, wait: Option<u64>, after: &[usize]) -> Process {
        let mut process = Process::new(name, vec![name.into()]);
        process.stop =
            wait.iter().map(|s| Rung { signal: Signal::TERM, wait: Some(Duration::from_secs(*s)) }).collect();
        process.after = after.iter().map(|on| (*on, Condition::Started)).collect();
        process
    }

    #[test]
    fn the_weightiest_chain_behind_each_counts() {
        // One that says nothing outweighs seven seconds, but not twelve; the first in the file may stop first.
        let order = Order::new(&[
            process("web", None, &[1, 2]),
            process("silent", None, &[3]),
            process("long", Some(7), &[4]),
            process("db", None, &[]),
            process("log", Some(8), &[]),
        ]);
        assert_eq!(order.behind[0], Chain { stated: Duration::ZERO, open: 2 });
        assert_eq!(order.behind[2], Chain { stated: Duration::from_secs(8), open: 0 });
        assert_eq!(order.dependents[3], [(1, Condition::Started)]);
        let order = Order::new(&[
            process("web", None, &[1, 2]),
            process("silent", None, &[]),
            process("long", Some(7), &[3]),
            process("log", Some(8), &[]),
        ]);
        assert_eq!(order.behind[0], Chain { stated: Duration::from_secs(15), open: 0 });
        // Both count together.
        let order = Order::new(&[
            process("web", None, &[1, 2]),
            process("mixed", Some(4), &[3]),
            process("stated", Some(12), &[]),
            process("db", None, &[]),
        ]);
        assert_eq!(order.behind[0], Chain { stated: Duration::from_secs(4), open: 1 });
    }
}
