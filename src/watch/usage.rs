//! How much of the machine each process takes, with everything below it: out of two looks at /proc. Softstop itself is not asked: it has more
//! to do than to read /proc for who watches.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::sys::{procfs, tree};

/// So many processes are looked at, all in all.
const MOST: usize = 2000;

/// What a process takes, with everything below it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// In parts of one processor; `None`: it has been looked at once.
    pub processors: Option<f64>,
    /// Resident, in bytes: what several of them share counts for each.
    pub memory: u64,
}

/// One look.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sample {
    /// On a clock of the caller's.
    at: Duration,
    by_pid: BTreeMap<i32, Taken>,
}

/// By a process and everything below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Taken {
    time: Duration,
    memory: u64,
}

impl Sample {
    /// Of the processes of a status; a softstop of another PID namespace means others by its numbers.
    pub fn take(status: &Value, at: Duration) -> Sample {
        let mut room = MOST;
        let pids = status["processes"].as_array().into_iter().flatten();
        let pids = pids.filter_map(|p| i32::try_from(p["pid"].as_i64()?).ok()).filter(|pid| *pid > 1);
        let by_pid = pids.map_while(|pid| {
            let all = tree::with_all_below(pid).ok()?;
            room = room.checked_sub(all.len())?;
            Some((pid, all))
        });
        let taken = |pid| Some(Taken { time: procfs::processor_time(pid)?, memory: procfs::needs(pid)?.resident });
        let sum = |(pid, all): (i32, Vec<i32>)| {
            let own = taken(pid)?;
            // One of them may have ended by now.
            let below = all.into_iter().filter(|below| *below != pid).filter_map(taken);
            let sum = below.fold(own, |sum, more| Taken {
                time: sum.time.saturating_add(more.time),
                memory: sum.memory.saturating_add(more.memory),
            });
            Some((pid, sum))
        };
        Sample { at, by_pid: by_pid.filter_map(sum).collect() }
    }

    /// By pid.
    pub fn since(&self, before: &Sample) -> BTreeMap<i32, Usage> {
        let wall = self.at.saturating_sub(before.at).as_secs_f64();
        let usage = |(pid, now): (&i32, &Taken)| {
            // What somebody below it took has gone with them, where nobody has waited for them.
            let taken = before.by_pid.get(pid).map(|before| now.time.saturating_sub(before.time).as_secs_f64());
            let processors = taken.filter(|_| wall > 0.0).map(|taken| taken / wall);
            (*pid, Usage { processors, memory: now.memory })
        };
        self.by_pid.iter().map(usage).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(at: u64, all: &[(i32, u64, u64)]) -> Sample {
        let ms = Duration::from_millis;
        let taken = |(pid, time, memory): &(i32, u64, u64)| (*pid, Taken { time: ms(*time), memory: *memory });
        Sample { at: ms(at), by_pid: all.iter().map(taken).collect() }
    }

    #[test]
    fn what_is_taken_is_what_has_come_since_the_look_before() {
        let before = sample(1000, &[(7, 500, 10), (8, 9000, 1)]);
        let now = sample(3000, &[(7, 1500, 20), (8, 8000, 2), (9, 70, 3)]);
        let usage = now.since(&before);
        assert_eq!(usage[&7], Usage { processors: Some(0.5), memory: 20 });
        assert_eq!(usage[&8].processors, Some(0.0), "children of its have gone without being waited for");
        assert_eq!(usage[&9], Usage { processors: None, memory: 3 }, "there is no look before");
        assert_eq!(now.since(&now)[&7].processors, None, "no time has passed");
    }

    #[test]
    fn those_that_run_are_looked_at_and_those_that_do_not_are_left_out() {
        let own = std::process::id();
        let status = json!({ "processes": [{ "pid": own }, { "pid": null }, { "pid": 1 }, { "pid": i32::MAX }, 7] });
        let sample = Sample::take(&status, Duration::ZERO);
        let own = i32::try_from(own).unwrap();
        assert!(sample.by_pid.keys().all(|pid| *pid == own) && sample.by_pid[&own].memory > 0, "{sample:?}");
        assert_eq!(Sample::take(&json!(null), Duration::ZERO), Sample::default());
    }
}
