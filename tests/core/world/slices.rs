//! How the grace is divided (docs/stop/budget.md), worked out from the settings without asking the machine or the plan.

use std::time::Duration;

use softstop::config::Config;
use softstop::plan::budget::longest;
use softstop::time::At;

use super::World;
use super::checks::Stop;

pub struct Slices {
    /// From the beginning of the stop: when what still lives is killed.
    pub deadline: Duration,
    /// Of the drain's steps.
    pub drain: Duration,
    /// Of the stop of the processes, and of the steps after it that state nothing.
    pub pool: Duration,
    /// The stop of the processes.
    pub stop: Duration,
    /// Of the steps after it that state one.
    pub stated: Duration,
    /// Of what comes after it.
    pub after_stop: Duration,
}

impl Slices {
    fn of(c: &Config) -> Slices {
        let deadline = c.grace - c.kill_reserve.min(c.grace);
        let drain: Duration = c.drain.iter().filter_map(|s| s.reserve).sum();
        let stated: Duration = c.post_stop.iter().filter_map(|s| s.reserve).sum();
        // A quarter, unless told otherwise or less is left; half of it for the steps after the processes that state nothing.
        let pool = c.stop_reserve.unwrap_or(c.grace / 4).min(deadline.saturating_sub(drain + stated));
        let silent: Vec<_> = c.post_stop.iter().filter(|s| s.reserve.is_none()).collect();
        let each = |all: usize| pool / 2 / u32::try_from(all).expect("a few steps");
        let unstated: Duration =
            silent.iter().map(|s| longest(s).unwrap_or(Duration::MAX).min(each(silent.len()))).sum();
        Slices { deadline, drain, pool, stop: pool - unstated, stated, after_stop: stated + unstated }
    }
}

impl World {
    pub(super) fn slices(&self) -> Slices {
        Slices::of(&self.config)
    }

    /// When everything that still lives is killed.
    pub(super) fn deadline(&self, stop: &Stop) -> At {
        stop.t0 + self.slices().deadline
    }

    /// When the processes' stop has had all of its slice.
    pub(super) fn stopped_by(&self, stop: &Stop) -> At {
        self.deadline(stop) - self.slices().after_stop
    }

    /// The process whose exit code is the container's.
    pub(super) fn main(&self) -> Option<usize> {
        let marked = self.config.processes.iter().position(|p| p.main);
        marked.or((self.config.processes.len() == 1).then_some(0))
    }
}
