//! What follows from the settings: who waits for whom, who stops after whom, and how the grace is shared out. Pure.

pub mod budget;
pub mod order;
pub mod stragglers;

use crate::config::{Condition, Config, Process};
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
}

impl Plan {
    pub fn new(config: Config) -> Plan {
        let order = Order::new(&config.processes);
        let budget = Budget::new(&config);
        let main = config.main();
        let mut services: Vec<bool> = config.processes.iter().map(Process::is_probed).collect();
        let waited_for = config.processes.iter().flat_map(|p| &p.after).filter(|(_, c)| *c == Condition::Completed);
        waited_for.for_each(|(on, _)| services[*on] = false);
        Plan { config, order, budget, main, services }
    }

    /// Its end is never expected: it is probed, and nobody waits for its completion. Others may be one-shot.
    pub fn is_service(&self, process: usize) -> bool {
        self.services.get(process).copied().unwrap_or(false)
    }

    pub fn name(&self, process: usize) -> &str {
        self.config.processes.get(process).map_or("?", |p| p.name.as_str())
    }
}
