//! Steps that say how long they take and can never have so long. Pure.

use std::time::Duration;

use super::{Config, Handler, Step};

/// A step whose own time does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The least time that it takes.
    pub wants: Duration,
    /// The most that it can have, when all before it takes as long as it says.
    pub gets: Duration,
    /// The least grace, in whole seconds, with which it fits.
    pub grace: Duration,
}

/// For each drain step, then for each `post_stop` step, what of it is cut off. Of `config` the grace and the reserves at the top count.
pub fn cuts(config: &Config, drain: &[&Step], post_stop: &[&Step]) -> Vec<Option<Cut>> {
    let deadline = config.grace.saturating_sub(config.kill_reserve);
    let held = |steps: &[&Step]| sum(steps.iter().filter_map(|s| s.reserve));
    let after = held(post_stop);
    let free = deadline.saturating_sub(held(drain)).saturating_sub(after);
    let stop = config.stop_reserve.unwrap_or(config.grace / 4).min(free);
    // Until now, cut to what there is, and uncut.
    let (mut spent, mut said) = (Duration::ZERO, Duration::ZERO);
    let mut list = Vec::with_capacity(drain.len() + post_stop.len());
    // The stop of the processes stands between the two; post_stop may get what it does not take.
    let parts =
        [(drain, after, stop, config.stop_reserve), (post_stop, Duration::ZERO, Duration::ZERO, Some(Duration::ZERO))];
    for (steps, beyond, stop, stop_reserve) in parts {
        for (i, step) in steps.iter().enumerate() {
            let later = held(&steps[i + 1..]).saturating_add(beyond);
            let gets = deadline.saturating_sub(later).saturating_sub(stop).saturating_sub(spent);
            let wants = least_of(step);
            said = said.saturating_add(wants);
            let needs = said.saturating_add(later).saturating_add(config.kill_reserve.max(Duration::from_secs(1)));
            let grace = match stop_reserve {
                Some(stop) => needs.saturating_add(stop),
                None => needs.saturating_mul(4) / 3,
            };
            let grace = Duration::from_secs(grace.as_secs() + u64::from(grace.subsec_nanos() > 0));
            list.push((wants > gets).then_some(Cut { wants, gets, grace }));
            spent = spent.saturating_add(wants.min(gets));
        }
    }
    list
}

/// What it takes however well everything goes.
pub fn least(handler: &Handler) -> Duration {
    match handler {
        Handler::Sleep(sleep) => *sleep,
        Handler::WaitIdle(idle) => idle.least(),
        _ => Duration::ZERO,
    }
}

fn least_of(step: &Step) -> Duration {
    step.tasks.iter().map(|t| least(&t.handler)).max().unwrap_or_default()
}

fn sum(parts: impl Iterator<Item = Duration>) -> Duration {
    parts.fold(Duration::ZERO, Duration::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::super::{Task, When, default_kill_reserve};
    use super::*;

    fn step(sleep: Duration, reserve: Option<Duration>) -> Step {
        let tasks = vec![Task::new("sleep", Handler::Sleep(sleep))];
        Step { tasks, reserve, essential: false, when: When::Requested }
    }

    fn within(grace: Duration) -> Config {
        Config { grace, kill_reserve: default_kill_reserve(grace), ..Config::with_defaults() }
    }

    #[test]
    fn a_sleep_that_is_longer_than_the_grace_gets_what_the_stop_leaves() {
        let s = Duration::from_secs;
        let ten = step(s(10), None);
        let cut = cuts(&within(s(5)), &[&ten], &[])[0].unwrap();
        assert_eq!(cut, Cut { wants: s(10), gets: Duration::from_millis(2750), grace: s(15) });
        assert_eq!(cuts(&within(s(15)), &[&ten], &[]), [None]);
        let five = step(s(5), None);
        assert_eq!(cuts(&within(s(12)), &[&five, &five], &[])[0], None);
        assert_eq!(cuts(&within(s(12)), &[&five, &five], &[])[1].unwrap().gets, s(3), "what the first leaves");
    }
}
