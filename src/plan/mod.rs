//! What follows from the settings: who waits for whom, who stops after whom, and how the grace is shared out. Pure.

pub mod budget;
pub mod order;
pub mod reload;
pub mod stragglers;

use std::time::Duration;

use crate::config::{Condition, Config, Process, ProcessKind};
use budget::Budget;
use order::Order;

/// A configuration with everything worked out that does not change while softstop runs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub config: Config,
    pub order: Order,
    pub budget: Budget,
    /// The process whose exit code is the container's: the one marked, or the only one.
    pub main: Option<usize>,
    services: Vec<bool>,
    seed: u64,
}

impl Plan {
    pub fn new(config: Config) -> Plan {
        let order = Order::new(&config.processes);
        let budget = Budget::new(&config);
        let main = config.main();
        let mut services: Vec<bool> = config.processes.iter().map(Process::is_probed).collect();
        let waited_for = config.processes.iter().flat_map(|p| &p.after).filter(|(_, c)| *c == Condition::Completed);
        waited_for.for_each(|(on, _)| services[*on] = false);
        for (service, process) in services.iter_mut().zip(&config.processes) {
            *service = process.kind.map_or(*service, |kind| kind == ProcessKind::Service);
        }
        Plan { config, order, budget, main, services, seed: 0 }
    }

    /// From which the jitter of its delays follows.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Plan {
        Plan { seed, ..self }
    }

    /// Another configuration in its place.
    #[must_use]
    pub fn with(&self, config: Config) -> Plan {
        Plan::new(config).with_seed(self.seed)
    }

    /// Where `seed` matters.
    pub fn has_jitter(config: &Config) -> bool {
        config
            .processes
            .iter()
            .any(|p| p.backoff.jitter > 0 || p.schedule.as_ref().is_some_and(|s| !s.jitter.is_zero()))
    }

    /// Its end is never expected: it says so, or it is probed and nobody waits for its completion. Others may be one-shot.
    pub fn is_service(&self, process: usize) -> bool {
        self.services.get(process).copied().unwrap_or(false)
    }

    /// It says that it runs to completion: until it has it is not ready.
    pub fn is_task(&self, process: usize) -> bool {
        self.config.processes.get(process).is_some_and(|p| p.kind == Some(ProcessKind::Task))
    }

    /// As it says, or as a service where it is taken for one.
    pub fn kind(&self, process: usize) -> Option<ProcessKind> {
        let stated = self.config.processes.get(process)?.kind;
        stated.or(self.is_service(process).then_some(ProcessKind::Service))
    }

    /// The delay before the `nth` restart of a process, whose back-off is `delay`: as much or more, by its jitter. The same seed gives the
    /// same.
    pub fn jittered(&self, delay: Duration, process: usize, nth: u32) -> Duration {
        let jitter = self.config.processes.get(process).map_or(0, |p| p.backoff.jitter);
        delay + delay.mul_f64(self.part(process, nth) * f64::from(jitter) / 100.0)
    }

    /// From 0 to 1, by chance: another one for each process, and each time. The same seed gives the same.
    pub fn part(&self, process: usize, nth: u32) -> f64 {
        let mixed = mix(self.seed ^ mix(((process as u64) << 32) | u64::from(nth)));
        // 2^53 is what a float holds of it.
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn name(&self, process: usize) -> &str {
        self.config.processes.get(process).map_or("?", |p| p.name.as_str())
    }
}

/// Every bit of the result depends on every bit of `x` (splitmix64's last step).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(jitter: u32, seed: u64) -> Plan {
        let mut config = Config::with_defaults();
        config.processes = ["a", "b"].map(|name| Process::new(name, vec![name.into()])).into();
        config.processes.iter_mut().for_each(|p| p.backoff.jitter = jitter);
        Plan::new(config).with_seed(seed)
    }

    proptest! {
        #[test]
        fn a_delay_with_jitter_is_longer_by_no_more_than_that_and_the_same_again(
            ms in 10u64..600_000, jitter in 0u32..=100, seed: u64, nth: u32,
        ) {
            let delay = Duration::from_millis(ms);
            let longer = plan(jitter, seed).jittered(delay, 0, nth);
            prop_assert!(longer >= delay);
            prop_assert!(longer <= delay + delay * jitter / 100 + Duration::from_micros(1));
            prop_assert_eq!(longer, plan(jitter, seed).jittered(delay, 0, nth));
        }
    }

    #[test]
    fn a_seed_matters_where_something_has_jitter() {
        assert!(!Plan::has_jitter(&plan(0, 1).config) && Plan::has_jitter(&plan(1, 1).config));
    }

    #[test]
    fn seeds_processes_and_restarts_have_delays_of_their_own() {
        let hour = Duration::from_secs(3600);
        let all =
            [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1)].map(|(seed, p, nth)| plan(100, seed).jittered(hour, p, nth));
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        // They are spread over the whole of it.
        let parts: Vec<Duration> = (0..100).map(|nth| plan(100, 7).jittered(hour, 0, nth) - hour).collect();
        assert!(parts.iter().any(|d| *d < hour / 10) && parts.iter().any(|d| *d > hour / 10 * 9), "{parts:?}");
    }
}
