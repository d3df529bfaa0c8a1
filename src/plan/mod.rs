//! What follows from the settings: who waits for whom, who stops after whom, and how the grace is shared out. Pure.

pub mod budget;
pub mod order;

use crate::config::{Config, Handler, Probe, Task};
use crate::lifecycle::action::{ProbeKind, What};
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
}

impl Plan {
    pub fn new(config: Config) -> Plan {
        let order = Order::new(&config.processes);
        let budget = Budget::new(&config);
        let marked = config.processes.iter().position(|p| p.main);
        let main = marked.or((config.processes.len() == 1).then_some(0));
        Plan {
            config,
            order,
            budget,
            main,
        }
    }

    /// The task behind a run; `None` for a probe.
    pub fn task(&self, what: What) -> Option<&Task> {
        let c = &self.config;
        match what {
            What::Init(i) => c.init.get(i),
            What::PostStart(p, i) => c.processes.get(p.0).and_then(|p| p.post_start.get(i)),
            What::PreStop(p) => c.processes.get(p.0).and_then(|p| p.pre_stop.as_ref()),
            What::Drain(s, t) => c.drain.get(s).and_then(|s| s.tasks.get(t)),
            What::PostStop(s, t) => c.post_stop.get(s).and_then(|s| s.tasks.get(t)),
            What::Probe(..) => None,
        }
    }

    pub fn probe(&self, process: usize, kind: ProbeKind) -> Option<&Probe> {
        let p = self.config.processes.get(process)?;
        match kind {
            ProbeKind::Startup => p.startup.as_ref(),
            ProbeKind::Readiness => p.readiness.as_ref(),
            ProbeKind::Liveness => p.liveness.as_ref(),
        }
    }

    /// What a run does.
    pub fn handler(&self, what: What) -> Option<&Handler> {
        match what {
            What::Probe(p, kind) => self.probe(p.0, kind).map(|p| &p.handler),
            _ => self.task(what).map(|t| &t.handler),
        }
    }

    pub fn name(&self, process: usize) -> &str {
        self.config
            .processes
            .get(process)
            .map_or("?", |p| p.name.as_str())
    }
}
