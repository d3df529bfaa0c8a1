//! `softstop plan`: from the configuration alone, how the container starts, and what its stop may take. Pure.
//!
//! There is no second arithmetic: [`play()`] lets the machine itself play the stop in virtual time, once with everybody at their best and twice
//! with everybody at their worst, and what it records is read as any other run's report is.

mod draw;
mod json;
mod play;
mod tree;

use std::time::Duration;

use crate::config::{Config, Task};
use crate::plan::Plan;
use crate::plan::budget::task_length;
use crate::plan::order::{post_exit, stated};
use crate::record::{Part, Run, Slice};

pub use draw::Sigkill;
pub use play::{World, play};

/// Of the grace with which everything fits: nobody waits for longer.
const MOST_GRACE: Duration = Duration::from_secs(24 * 3600);

/// What can be said of a stop before it happens.
#[derive(Debug)]
pub struct Planned {
    plan: Plan,
    pub grace: Duration,
    /// softstop kills what is left then.
    pub deadline: Duration,
    pub parts: Vec<PlannedSlice>,
}

/// A step, a process, or what is left behind. Times count from the stop request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedSlice {
    pub part: Part,
    pub name: String,
    /// When all goes well; `None`: then it is not there at all.
    pub least: Option<(Duration, Duration)>,
    /// When nothing ends by itself before its time is up, and everything leaves something behind.
    pub most: (Duration, Duration),
    /// How long it says that it may take; `None`: for all the time there is.
    pub asks: Option<Duration>,
    /// What it has of that in the worst case.
    pub gets: Duration,
    /// What it has when all before it goes well.
    pub may: Duration,
    /// What nothing before it may take.
    pub reserve: Duration,
}

impl PlannedSlice {
    /// In the worst case it has less than it asks for.
    pub fn is_short(&self) -> bool {
        // Reports are written in milliseconds.
        self.asks.is_some_and(|asks| self.gets + Duration::from_millis(2) < asks)
    }
}

impl Planned {
    pub fn new(config: Config) -> Planned {
        let plan = Plan::new(config);
        let parts = parts(&plan);
        let grace = plan.budget.grace;
        let deadline = grace.saturating_sub(plan.budget.kill_reserve);
        Planned { plan, grace, deadline, parts }
    }

    /// With this grace, in whole seconds, everybody has what they ask for; `None`: they do already, or no grace is enough.
    pub fn fits_in(&self) -> Option<Duration> {
        self.short().next()?;
        enough(&self.plan.config)
    }

    pub fn short(&self) -> impl Iterator<Item = &PlannedSlice> {
        self.parts.iter().filter(|slice| slice.is_short())
    }
}

fn parts(plan: &Plan) -> Vec<PlannedSlice> {
    let [well, badly, worst] = [World::Well, World::Badly, World::Worst].map(|world| play(plan, world));
    let [well, badly, worst] = [&well, &badly, &worst].map(Run::slices);
    let steps = tasks(plan);
    let mut seen: Vec<(Part, &str)> = Vec::new();
    let mut list = Vec::new();
    for slice in &worst {
        let key = (slice.part, slice.name.as_str());
        let nth = seen.iter().filter(|other| **other == key).count();
        seen.push(key);
        let of =
            |slices: &[Slice]| slices.iter().filter(|other| (other.part, other.name.as_str()) == key).nth(nth).cloned();
        let task = steps.iter().filter(|(part, _, task)| (*part, task.name.as_str()) == key).nth(nth);
        let (asks, reserve) = match (slice.part, task) {
            (Part::Process, _) => (asked_by(plan, &slice.name), Duration::ZERO),
            (_, Some((_, reserve, task))) => (task_length(task), *reserve),
            _ => (None, Duration::ZERO),
        };
        let granted = |slices: &[Slice]| of(slices).and_then(|slice| slice.granted).unwrap_or_default();
        let (gets, may) = (granted(&badly), granted(&well).max(granted(&badly)));
        let times = |slice: Slice| (slice.from, slice.until);
        list.push(PlannedSlice {
            part: slice.part,
            name: slice.name.clone(),
            least: of(&well).map(times),
            most: (slice.from, slice.until),
            asks,
            gets,
            may,
            reserve,
        });
    }
    // Daemons have what the processes do not take.
    let of_processes = list.iter().filter(|slice| slice.part == Part::Process);
    let ended = of_processes.filter_map(|slice| Some(slice.least?.1)).max();
    if let (Some(ended), Some(slice)) = (ended, list.iter_mut().find(|slice| slice.part == Part::Stragglers)) {
        slice.most.0 = ended.min(slice.most.1);
    }
    list
}

/// Every task of a step, in the order of their turns; the reserve is the step's.
fn tasks(plan: &Plan) -> Vec<(Part, Duration, &Task)> {
    let (config, budget) = (&plan.config, &plan.budget);
    let drain = config.drain.iter().zip(&budget.drain).map(|(step, held)| (Part::Drain, step, *held));
    let post_stop = config.post_stop.iter().zip(&budget.post_stop).map(|(step, held)| (Part::PostStop, step, *held));
    let steps = drain.chain(post_stop);
    steps.flat_map(|(part, step, held)| step.tasks.iter().map(move |task| (part, held, task))).collect()
}

/// What its stop asks for, without its post_exit tasks, which have their own part of it.
fn asked_by(plan: &Plan, name: &str) -> Option<Duration> {
    let process = plan.config.processes.iter().find(|process| process.name == name)?;
    stated(process).map(|asks| asks.saturating_sub(post_exit(process)))
}

/// The least grace, in whole seconds, with which nobody has less than it asks for.
fn enough(config: &Config) -> Option<Duration> {
    let fits = |secs: u64| {
        let config = Config { grace: Duration::from_secs(secs), ..config.clone() };
        !parts(&Plan::new(config)).iter().any(PlannedSlice::is_short)
    };
    let mut low = config.grace.as_secs();
    let mut high = (low * 2).max(2);
    while !fits(high) {
        (low, high) = (high, high * 2);
        if high > MOST_GRACE.as_secs() {
            return None;
        }
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    Some(Duration::from_secs(high))
}
