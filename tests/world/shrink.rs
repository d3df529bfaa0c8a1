//! Makes a scenario that breaks something as small as it gets while it still breaks the same thing.

use std::time::Duration;

use softstop::config::{Backoff, Config, ExitCodes, Handler, OnExit, ReadinessOnDrain, Restart, Retries, StopOn, Task};

use super::scenario::{Answer, Health, Life, Moment, Scenario};
use super::simulate::play;

/// Deterministic: the same scenario always ends as the same small one.
pub fn shrink(scenario: &Scenario, what: &str) -> Scenario {
    let mut best = scenario.clone();
    let mut from = 0;
    for _ in 0..2_000 {
        let smaller = simpler(&best);
        let breaks = |s: &Scenario| play(s, false).1.is_err_and(|v| v.what == what);
        match (from..smaller.len()).find(|i| breaks(&smaller[*i])) {
            Some(i) => {
                best = smaller[i].clone();
                from = i;
            }
            None if from == 0 => break,
            None => from = 0,
        }
    }
    best
}

/// Every scenario that is this one but for one thing less.
fn simpler(s: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    // A change says whether it changed anything.
    let mut with = |change: &dyn Fn(&mut Scenario) -> bool| {
        let mut candidate = s.clone();
        if change(&mut candidate) {
            all.push(candidate);
        }
    };
    with(&drop_last_process);
    // Steps and tasks from the end, so that the others keep the names that say their place.
    with(&|s| s.config.drain.pop().is_some());
    with(&|s| s.config.post_stop.pop().is_some());
    with(&|s| s.config.init.pop().is_some());
    for i in 0..s.requests.len() {
        with(&|s| s.requests.remove(i).when != Moment::WithEvent(u64::MAX));
    }
    for i in 0..s.stalls.len() {
        with(&|s| s.stalls.remove(i).length >= Duration::ZERO);
        with(&|s| std::mem::take(&mut s.stalls[i].all));
    }
    with(&|s| s.stragglers.pop().is_some());
    with(&|s| s.answers.len() > 1 && s.answers.pop().is_some());
    settings(&mut with);
    for p in 0..s.lives.len() {
        process(p, &mut with);
        for run in 0..s.lives[p].len() {
            life(p, run, &mut with);
        }
    }
    for i in 0..s.config.drain.len() {
        with(&|s| s.config.drain[i].tasks.len() > 1 && s.config.drain[i].tasks.pop().is_some());
        with(&|s| s.config.drain[i].reserve.take().is_some());
    }
    for i in 0..s.config.post_stop.len() {
        with(&|s| s.config.post_stop[i].tasks.len() > 1 && s.config.post_stop[i].tasks.pop().is_some());
        with(&|s| s.config.post_stop[i].reserve.take().is_some());
    }
    for i in 0..tasks(&mut s.config.clone()).len() {
        with(&|s| tasks(&mut s.config)[i].timeout.take().is_some());
        with(&|s| set(&mut tasks(&mut s.config)[i].retries, Retries::Count(0)));
        with(&|s| set(&mut tasks(&mut s.config)[i].handler, Handler::Exec(vec!["hook".into()])));
    }
    for i in 0..s.answers.len() {
        with(&|s| set(&mut s.answers[i], Answer::Ok(Duration::ZERO)));
    }
    for i in 0..durations(&mut s.clone()).len() {
        for shorter in [|_| Duration::ZERO, half, whole] {
            with(&|s| {
                let place = durations(s).swap_remove(i);
                let shorter = shorter(*place);
                set(place, shorter)
            });
        }
    }
    all
}

fn half(d: Duration) -> Duration {
    Duration::from_secs(d.as_secs() / 2)
}

fn whole(d: Duration) -> Duration {
    Duration::from_secs(d.as_secs())
}

fn set<T: PartialEq>(place: &mut T, value: T) -> bool {
    let different = *place != value;
    *place = value;
    different
}

fn drop_last_process(s: &mut Scenario) -> bool {
    let Some(last) = s.config.processes.len().checked_sub(1) else { return false };
    let aims = |t: &&mut Task| matches!(t.handler, Handler::Signal { process, .. } | Handler::WaitProcess { process, .. } if process == last);
    if last == 0 || tasks(&mut s.config).iter().any(aims) {
        return false;
    }
    s.lives.pop();
    s.config.processes.pop().is_some()
}

fn settings(with: &mut impl FnMut(&dyn Fn(&mut Scenario) -> bool)) {
    with(&|s| s.config.stop_reserve.take().is_some());
    with(&|s| set(&mut s.config.exit_codes, ExitCodes::default()));
    with(&|s| set(&mut s.config.readiness_on_drain, ReadinessOnDrain::Fail));
    with(&|s| set(&mut s.config.stop_on, StopOn::Customary));
}

fn process(p: usize, with: &mut impl FnMut(&dyn Fn(&mut Scenario) -> bool)) {
    with(&|s| s.config.processes[p].after.pop().is_some());
    with(&|s| s.config.processes[p].stop.pop().is_some());
    with(&|s| s.config.processes[p].startup.take().is_some());
    with(&|s| s.config.processes[p].readiness.take().is_some());
    with(&|s| s.config.processes[p].liveness.take().is_some());
    with(&|s| s.config.processes[p].post_start.pop().is_some());
    with(&|s| s.config.processes[p].pre_stop.take().is_some());
    with(&|s| s.config.processes[p].post_exit.pop().is_some());
    with(&|s| s.config.processes[p].max_restarts.take().is_some());
    with(&|s| s.config.processes[p].restart_window.take().is_some());
    with(&|s| s.config.processes[p].restart_on.pop().is_some());
    with(&|s| s.config.processes[p].success_codes.pop().is_some());
    with(&|s| s.config.processes[p].kind.take().is_some());
    with(&|s| s.config.processes[p].schedule.take().is_some());
    with(&|s| set(&mut s.config.processes[p].autostart, true));
    with(&|s| set(&mut s.config.processes[p].stop_as_received, false));
    with(&|s| s.config.processes[p].rewrite.pop_last().is_some());
    with(&|s| set(&mut s.config.processes[p].command, vec!["p".into()]));
    with(&|s| set(&mut s.config.processes[p].backoff, Backoff::default()));
    with(&|s| set(&mut s.config.processes[p].restart, Restart::Never));
    with(&|s| set(&mut s.config.processes[p].on_exit, OnExit::Stop));
    with(&|s| set(&mut s.config.processes[p].main, false));
    with(&|s| s.lives[p].len() > 1 && s.lives[p].pop().is_some());
}

fn life(p: usize, run: usize, with: &mut impl FnMut(&dyn Fn(&mut Scenario) -> bool)) {
    let plain = Life::plain;
    with(&|s| set(&mut s.lives[p][run], plain()));
    with(&|s| set(&mut s.lives[p][run].start, plain().start));
    with(&|s| s.lives[p][run].ends.take().is_some());
    with(&|s| set(&mut s.lives[p][run].obeys, plain().obeys));
    with(&|s| set(&mut s.lives[p][run].unkillable, false));
    with(&|s| s.lives[p][run].leaves.take().is_some());
    with(&|s| set(&mut s.lives[p][run].health, Health::GOOD));
}

fn tasks(c: &mut Config) -> Vec<&mut Task> {
    let hooks = c
        .processes
        .iter_mut()
        .flat_map(|p| p.post_start.iter_mut().chain(p.pre_stop.as_deref_mut()).chain(&mut p.post_exit));
    let steps = c.drain.iter_mut().chain(&mut c.post_stop).flat_map(|s| &mut s.tasks);
    c.init.iter_mut().chain(hooks).chain(steps).collect()
}

/// Every length of time in it.
fn durations(s: &mut Scenario) -> Vec<&mut Duration> {
    let mut all: Vec<&mut Duration> = Vec::new();
    for r in &mut s.requests {
        match &mut r.when {
            Moment::At(d) | Moment::AfterStop(d) => all.push(d),
            Moment::WithEvent(_) => {}
        }
    }
    for a in &mut s.answers {
        match a {
            Answer::Ok(d) | Answer::Fails(d) => all.push(d),
            Answer::Hangs => {}
        }
    }
    for life in s.lives.iter_mut().flatten() {
        all.extend(life.ends.iter_mut().map(|(d, _)| d));
        all.extend(life.obeys.iter_mut().map(|(d, _)| d));
        all.extend(life.leaves.iter_mut().flatten());
        all.extend(life.health.from.iter_mut().chain(&mut life.health.until).chain(&mut life.health.takes));
    }
    all.extend(s.stragglers.iter_mut().flat_map(|kin| [kin.obeys.as_mut(), kin.appears.as_mut()]).flatten());
    all.extend(s.stalls.iter_mut().flat_map(|stall| [&mut stall.from, &mut stall.length]));
    let c = &mut s.config;
    for p in &mut c.processes {
        all.extend(p.stop.iter_mut().filter_map(|r| r.wait.as_mut()));
        all.extend([&mut p.backoff.initial, &mut p.backoff.max, &mut p.backoff.reset]);
        for probe in p.startup.iter_mut().chain(&mut p.readiness).chain(&mut p.liveness) {
            all.push(&mut probe.initial_delay);
        }
        let hooks = p.post_start.iter_mut().chain(p.pre_stop.as_deref_mut()).chain(&mut p.post_exit);
        hooks.for_each(|t| all.extend(task_durations(t)));
    }
    for step in c.drain.iter_mut().chain(&mut c.post_stop) {
        all.extend(&mut step.reserve);
        step.tasks.iter_mut().for_each(|t| all.extend(task_durations(t)));
    }
    c.init.iter_mut().for_each(|t| all.extend(task_durations(t)));
    all.extend([&mut c.grace, &mut c.kill_reserve]);
    all
}

fn task_durations(t: &mut Task) -> Vec<&mut Duration> {
    let sleep = match &mut t.handler {
        Handler::Sleep(d) => Some(d),
        _ => None,
    };
    [&mut t.retry_delay].into_iter().chain(sleep).collect()
}
