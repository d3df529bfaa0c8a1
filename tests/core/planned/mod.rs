//! What `softstop plan` says is what the machine does: in random containers every step and process of a stop ends no earlier than planned
//! when all goes well, and no later than planned for the worst case.

use std::time::Duration;

use softstop::config::{Condition, Config, Handler, OnFailure, StopOn};
use softstop::lifecycle::event::Sender;
use softstop::plan::Plan;
use softstop::planned::{Planned, PlannedSlice};
use softstop::record::{Outcome, Run, Slice};
use softstop::report::History;
use softstop::signal::Signal;

use crate::world::scenario::{Health, Moment, Request, Scenario, Start, Wish};
use crate::world::seeds::{number, play_all};
use crate::world::simulate::play_noted;

/// The world ends who is killed a millisecond or two later, one after the other, and a report is written in milliseconds.
const NEAR: Duration = Duration::from_millis(40);

/// What a plan is about: everything has come up, somebody asks for the stop once, and nothing ends unasked.
fn tame(scenario: &mut Scenario) {
    let config = &mut scenario.config;
    (config.sidecar, config.stop_on) = (None, StopOn::Customary);
    config.init.clear();
    for process in &mut config.processes {
        process.post_start.clear();
        // All that can run does.
        (process.autostart, process.schedule) = (true, None);
        (process.notify, process.startup, process.readiness, process.liveness) = (None, None, None, None);
    }
    let steps = config.drain.iter_mut().chain(&mut config.post_stop).flat_map(|step| &mut step.tasks);
    for task in steps.chain(config.processes.iter_mut().filter_map(|process| process.pre_stop.as_deref_mut())) {
        // A failure that ends the drain makes all that follows earlier.
        task.on_failure = OnFailure::Ignore;
        // The signal would end its process, and a wait is answered earlier than it can be here.
        if matches!(task.handler, Handler::Signal { .. } | Handler::WaitIdle(_)) {
            task.handler = Handler::Exec(vec!["hook".into()]);
        }
    }
    // One that waits for its own end is told of by nobody.
    for (n, process) in config.processes.iter_mut().enumerate() {
        if let Some(task) = &mut process.pre_stop
            && matches!(task.handler, Handler::WaitProcess { process, .. } if process == n)
        {
            task.handler = Handler::Exec(vec!["hook".into()]);
        }
    }
    // Who is killed has less of them, so that what follows comes earlier.
    for task in config.processes.iter_mut().flat_map(|process| &mut process.post_exit) {
        task.handler = Handler::Exec(vec!["hook".into()]);
    }
    scenario.stalls.clear();
    let what = Wish::Signal(Signal::TERM, Sender::Outside);
    scenario.requests = vec![Request { when: Moment::At(Duration::from_secs(60)), what }];
    for life in scenario.lives.iter_mut().flatten() {
        (life.start, life.ends, life.health) = (Start::Works, None, Health::GOOD);
        // What can never be ended, and what a process leaves in its group, is the slack of its part: docs/plan.md.
        (life.unkillable, life.leaves) = (false, None);
    }
}

/// The plan takes for granted that tasks which others wait for have completed.
fn can_be_planned(config: &Config) -> bool {
    let completed = |(_, condition): &(usize, Condition)| *condition == Condition::Completed;
    !config.processes.is_empty() && !config.processes.iter().flat_map(|p| &p.after).any(completed)
}

fn actual(scenario: &Scenario) -> Option<Run> {
    let (world, result) = play_noted(scenario);
    // Whatever is broken is the other test's to tell.
    result.ok()?;
    let mut history = History::default();
    for (at, note) in world.notes {
        history.push(at, note);
    }
    Some(Run::read(history.json().as_bytes()).expect("it has just been written"))
}

/// What is wrong, if anything is; and how many slices were compared.
fn compare(planned: &Planned, run: &Run) -> Result<usize, String> {
    let mut compared = 0;
    let mut seen: Vec<Slice> = Vec::new();
    for slice in run.slices() {
        let same = |name: &str, part| name == slice.name && part == slice.part;
        let nth = seen.iter().filter(|other| same(&other.name, other.part)).count();
        let of_plan: Vec<&PlannedSlice> = planned.parts.iter().filter(|p| same(&p.name, p.part)).collect();
        seen.push(slice.clone());
        let Some(plan) = of_plan.get(nth) else { return Err(format!("{slice:?} is not planned")) };
        compared += 1;
        // What was not begun has no time of its own.
        let skipped = matches!(slice.outcome, Outcome::Cancelled | Outcome::NoTime);
        if slice.until > plan.most.1 + NEAR {
            return Err(format!("later than the worst case: {slice:?}\n{plan:?}"));
        }
        if let Some((_, least)) = plan.least
            && slice.until + NEAR < least
            && !skipped
        {
            return Err(format!("earlier than when all goes well: {slice:?}\n{plan:?}"));
        }
    }
    Ok(compared)
}

#[test]
fn what_plan_says_is_what_the_machine_does() {
    let (from, count) = (number("SOFTSTOP_SEED", 0), number("SOFTSTOP_PLANS", 1_000));
    let judge = |seed: u64| {
        let mut scenario = Scenario::from_seed(seed);
        tame(&mut scenario);
        if !can_be_planned(&scenario.config) {
            return Ok(0);
        }
        let Some(run) = actual(&scenario) else { return Ok(0) };
        compare(&Planned::new(scenario.config.clone()), &run)
    };
    let (tallies, broken) = play_all(from, count, |seed, compared: &mut usize| {
        let result = judge(seed);
        *compared += result.as_ref().copied().unwrap_or(0);
        result.is_ok()
    });
    if let Some(seed) = broken {
        let mut scenario = Scenario::from_seed(seed);
        tame(&mut scenario);
        let config = Plan::new(scenario.config.clone()).config;
        panic!(
            "SOFTSTOP_SEED={seed} SOFTSTOP_PLANS=1: {}\n{config:#?}\n{:#?}",
            judge(seed).unwrap_err(),
            scenario.lives
        );
    }
    let compared: usize = tallies.iter().sum();
    println!("{compared} steps and processes of {count} containers");
    assert!(compared as u64 > count, "hardly any stop was planned");
}
