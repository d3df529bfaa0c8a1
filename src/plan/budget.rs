//! Grace arithmetic: what each step of the stop may take. Pure.
//!
//! ```text
//! T0                                                   deadline      T0 + grace
//! ├─ drain 1 ─┬─ drain 2 ─┬─ stop of processes ─┬─ post_stop ─┼─ kill_reserve ─┤
//!     slice = min(its timeout, what is left − the reserves of everything after it)
//! ```
//!
//! When less is left than is held, because the deadline has moved up or softstop itself could not run, [`Budget::fit`] says who
//! gives way: first who is not essential.

use std::time::Duration;

use super::order::{Chain, post_exit, stated};
use crate::config::{Config, Diagnose, Process, Rung, Step};
use crate::time::At;

/// Who holds what against the steps before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub grace: Duration,
    pub kill_reserve: Duration,
    /// Per drain step.
    pub drain: Vec<Duration>,
    /// The stop of the processes and of what they leave behind.
    pub stop: Duration,
    /// Per post_stop step.
    pub post_stop: Vec<Duration>,
    /// Which of the steps are essential.
    essential_drain: Vec<bool>,
    essential_post_stop: Vec<bool>,
}

/// A part of the stop: who holds something of the budget, in the order of their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Drain(usize),
    Stop,
    PostStop(usize),
}

impl Budget {
    /// Reserves as configured; where the stop and post_stop say nothing they hold a quarter of the grace together (less
    /// when stated reserves leave less): half of it is post_stop's, shared evenly, a step never more than its timeout.
    pub fn new(config: &Config) -> Budget {
        let grace = config.grace;
        let kill_reserve = config.kill_reserve.min(grace);
        let drain: Vec<Duration> = config.drain.iter().map(|s| s.reserve.unwrap_or_default()).collect();
        let stated: Vec<Duration> = config.post_stop.iter().filter_map(|s| s.reserve).collect();
        let free = grace.saturating_sub(kill_reserve).saturating_sub(sum(&drain)).saturating_sub(sum(&stated));
        let pool = config.stop_reserve.unwrap_or(grace / 4).min(free);
        let silent = config.post_stop.iter().filter(|s| s.reserve.is_none()).count();
        let each = if silent == 0 { Duration::ZERO } else { pool / 2 / u32::try_from(silent).unwrap_or(u32::MAX) };
        let post_stop: Vec<Duration> = config
            .post_stop
            .iter()
            .map(|s| s.reserve.unwrap_or_else(|| longest(s).map_or(each, |t| t.min(each))))
            .collect();
        let stop = pool.saturating_sub(sum(&post_stop).saturating_sub(sum(&stated)));
        let essential = |steps: &[Step]| steps.iter().map(|s| s.essential).collect();
        let (essential_drain, essential_post_stop) = (essential(&config.drain), essential(&config.post_stop));
        Budget { grace, kill_reserve, drain, stop, post_stop, essential_drain, essential_post_stop }
    }

    /// When everything that still lives is killed.
    pub fn deadline(&self, t0: At) -> At {
        t0 + self.grace.saturating_sub(self.kill_reserve)
    }

    /// When softstop is gone.
    pub fn end(&self, t0: At) -> At {
        t0 + self.grace
    }

    /// `left` is all there is from `first` on. When what is held no longer fits into it, the essential steps keep theirs and the
    /// rest shares what remains, each group scaled down together. Only one thing comes before the essential steps: of a
    /// quarter of what is left the stop of the processes, if it holds so much, is never deprived.
    pub fn fit(&mut self, first: Part, left: Duration) {
        let (mut essential, mut rest) = (Vec::new(), Vec::new());
        let drain = self.drain.iter_mut().zip(&self.essential_drain).enumerate();
        let post_stop = self.post_stop.iter_mut().zip(&self.essential_post_stop).enumerate();
        let floor = if first <= Part::Stop { self.stop.min(left / 4) } else { Duration::ZERO };
        let drain = drain.map(|(i, (held, essential))| (Part::Drain(i), held, *essential));
        let post_stop = post_stop.map(|(i, (held, essential))| (Part::PostStop(i), held, *essential));
        for (part, held, is_essential) in drain.chain([(Part::Stop, &mut self.stop, false)]).chain(post_stop) {
            if part >= first {
                if is_essential { essential.push(held) } else { rest.push(held) }
            }
        }
        let total = |parts: &[&mut Duration]| parts.iter().fold(Duration::ZERO, |sum, d| sum.saturating_add(**d));
        let (first_held, rest_held) = (total(&essential), total(&rest));
        // Where everything fits, everybody keeps what it holds.
        let kept = first_held.min(left - floor);
        essential.into_iter().for_each(|part| *part = fraction(kept, *part, first_held));
        let kept = rest_held.min(left - kept);
        rest.into_iter().for_each(|part| *part = fraction(kept, *part, rest_held));
    }

    /// What everything after drain step `i` holds.
    pub fn after_drain(&self, i: usize) -> Duration {
        sum(self.drain.get(i + 1..).unwrap_or_default()) + self.stop + self.after_stop()
    }

    /// What everything after a part holds.
    pub fn after(&self, part: Part) -> Duration {
        match part {
            Part::Drain(i) => self.after_drain(i),
            Part::Stop => self.after_stop(),
            Part::PostStop(i) => sum(self.post_stop.get(i + 1..).unwrap_or_default()),
        }
    }

    /// What everything after the stop of the processes holds.
    pub fn after_stop(&self) -> Duration {
        sum(&self.post_stop)
    }
}

fn sum(parts: &[Duration]) -> Duration {
    parts.iter().fold(Duration::ZERO, |sum, d| sum.saturating_add(*d))
}

/// The longest timeout in a step, if each of its tasks has one (a sleep's is its length).
pub fn longest(step: &Step) -> Option<Duration> {
    step.tasks.iter().map(task_length).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// The longest a task can take by itself.
pub fn task_length(task: &crate::config::Task) -> Option<Duration> {
    match (&task.handler, task.timeout) {
        (crate::config::Handler::Sleep(d), Some(t)) => Some(t.min(*d)),
        (crate::config::Handler::Sleep(d), None) => Some(*d),
        (_, timeout) => timeout,
    }
}

/// What a step may take, unless its timeout is less: `what is left − the reserves of everything after it`.
pub fn slice(now: At, deadline: At, reserved_after: Duration) -> Duration {
    deadline.left(now).saturating_sub(reserved_after)
}

/// What one process's stop may take of `left`, with `behind` still to stop after it.
///
/// Stops that state their length are honoured, scaled down together when they do not fit; those that state none share
/// what remains evenly, and never less than a quarter of `left` between them.
pub fn process_share(left: Duration, own: Chain, behind: Chain) -> Duration {
    let stated = own.stated.saturating_add(behind.stated);
    let open = own.open + behind.open;
    if open == 0 {
        return if stated <= left { own.stated } else { fraction(left, own.stated, stated) };
    }
    let for_stated = stated.min(left - left / 4);
    if own.open > 0 { (left - for_stated) / open } else { fraction(for_stated, own.stated, stated) }
}

/// What of the `left` of a process's own slice is kept for its diagnosis: all that it asks for where the ladder leaves that, and a
/// quarter of `left` otherwise. It must not cost the process its chance to end by itself.
pub fn diagnosis_share(left: Duration, ladder: &[Rung], diagnose: Option<Diagnose>) -> Duration {
    let Some(diagnose) = diagnose else { return Duration::ZERO };
    let waits = ladder.iter().map(|rung| rung.wait).collect::<Option<Vec<_>>>().filter(|waits| !waits.is_empty());
    let free = waits.map_or(Duration::ZERO, |waits| left.saturating_sub(sum(&waits)));
    diagnose.wait.min(free.max(left / 4))
}

/// What of the `limit` of a process's stop is kept for its post_exit tasks: all that they ask for where the stop leaves that, and a quarter
/// otherwise.
pub fn post_exit_share(limit: Duration, process: &Process) -> Duration {
    let own = post_exit(process);
    let free = stated(process).map_or(Duration::ZERO, |all| limit.saturating_sub(all.saturating_sub(own)));
    own.min(free.max(limit / 4))
}

/// `whole × part ⁄ of`, without overflow; zero of nothing.
pub fn fraction(whole: Duration, part: Duration, of: Duration) -> Duration {
    if of.is_zero() {
        return Duration::ZERO;
    }
    let nanos = whole.as_nanos().saturating_mul(part.as_nanos()) / of.as_nanos();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Handler, Process, Task, When};
    use crate::signal::Signal;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn step(reserve: Option<Duration>, timeout: Option<Duration>) -> Step {
        let mut task = Task::new("x", Handler::Exec(vec!["x".into()]));
        task.timeout = timeout;
        Step { tasks: vec![task], reserve, essential: false, when: When::Requested }
    }

    fn config(grace: u64) -> Config {
        let mut c = Config::with_defaults();
        c.grace = S(grace);
        c.processes.push(Process::new("web", vec!["web".into()]));
        c
    }

    #[test]
    fn the_stop_holds_a_quarter_unless_told_otherwise() {
        let mut c = config(40);
        assert_eq!(Budget::new(&c).stop, S(10));
        c.post_stop.push(step(None, None));
        let b = Budget::new(&c);
        assert_eq!((b.stop, b.post_stop.clone()), (S(5), vec![S(5)]));
        c.post_stop[0] = step(None, Some(S(2)));
        assert_eq!(Budget::new(&c).stop, S(8), "a post_stop step holds no more than it can use");
        c.stop_reserve = Some(S(20));
        assert_eq!(Budget::new(&c).stop + Budget::new(&c).after_stop(), S(20));
    }

    #[test]
    fn stated_reserves_come_before_the_default() {
        let mut c = config(10);
        c.drain.push(step(Some(S(8)), None));
        let b = Budget::new(&c);
        assert_eq!(b.stop, S(1), "10 s less 1 s to kill and 8 s stated");
        assert_eq!(slice(At::ZERO, b.deadline(At::ZERO), b.after_drain(0)), S(8));
    }

    #[test]
    fn a_budget_that_shrinks_keeps_its_proportions_and_leaves_out_what_is_over() {
        let mut c = config(40);
        c.drain = vec![step(Some(S(9)), None), step(Some(S(2)), None)];
        c.post_stop = vec![step(Some(S(2)), None)];
        c.stop_reserve = Some(S(6));
        let mut b = Budget::new(&c);
        b.fit(Part::Drain(1), S(5));
        assert_eq!((b.drain[1], b.stop, b.after_stop()), (S(1), S(3), S(1)));
        let same = b.clone();
        b.fit(Part::Stop, S(4));
        assert_eq!(b, same, "it fits");
        b.fit(Part::Stop, S(9));
        assert_eq!(b, same, "nothing grows");
        b.fit(Part::Stop, S(0));
        assert_eq!(b.stop + b.after_stop(), S(0));
    }

    /// The table in docs/stop/budget.md: 30 s of grace, and what the kubelet leaves of it after a preStop hook.
    #[test]
    fn what_is_essential_gives_way_last() {
        let ms = Duration::from_millis;
        let essential = |reserve| Step { essential: true, ..step(Some(ms(reserve)), None) };
        let mut c = config(30);
        c.drain = vec![step(Some(S(6)), None), essential(1000)];
        c.post_stop = vec![step(Some(S(2)), None)];
        c.stop_reserve = Some(S(4));
        let kept = |left: u64| {
            let mut b = Budget::new(&c);
            b.fit(Part::Drain(0), ms(left));
            [b.drain[0], b.drain[1], b.stop, b.post_stop[0]].map(|d| d.as_millis())
        };
        assert_eq!(kept(29_000), [6000, 1000, 4000, 2000], "it fits");
        assert_eq!(kept(7000), [3000, 1000, 2000, 1000]);
        assert_eq!(kept(1500), [250, 1000, 166, 83]);
        assert_eq!(kept(1000), [125, 750, 83, 41], "a quarter of a second for whoever is not essential");
        assert_eq!(kept(0), [0; 4]);
        c.drain[1].essential = false;
        let mut b = Budget::new(&c);
        b.fit(Part::Drain(0), ms(1500));
        assert_eq!(b.drain[1].as_millis(), 115, "among equals");
    }

    #[test]
    fn the_stop_of_the_processes_has_its_quarter_at_its_own_turn_too() {
        let mut c = config(30);
        c.post_stop = vec![Step { essential: true, ..step(Some(S(5)), None) }];
        c.stop_reserve = Some(S(4));
        let mut b = Budget::new(&c);
        b.fit(Part::Stop, S(4));
        assert_eq!((b.stop, b.after_stop()), (S(1), S(3)));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_held_fits_and_the_essential_give_way_last(
            drain in proptest::collection::vec((0u64..9000, proptest::bool::ANY), 0..5),
            post_stop in proptest::collection::vec((0u64..9000, proptest::bool::ANY), 0..5),
            stop in 0u64..9000, first in 0usize..12, left in 0u64..30_000,
        ) {
            let ms = Duration::from_millis;
            let steps = |of: &[(u64, bool)]| of.iter().map(|(r, e)| Step { essential: *e, ..step(Some(ms(*r)), None) }).collect();
            let mut c = config(600);
            (c.drain, c.post_stop, c.stop_reserve) = (steps(&drain), steps(&post_stop), Some(ms(stop)));
            let parts = |b: &Budget| {
                let drain = b.drain.iter().zip(&drain).enumerate().map(|(i, (d, s))| (Part::Drain(i), *d, s.1));
                let post = b.post_stop.iter().zip(&post_stop).enumerate().map(|(i, (d, s))| (Part::PostStop(i), *d, s.1));
                drain.chain([(Part::Stop, b.stop, false)]).chain(post).collect::<Vec<_>>()
            };
            let mut b = Budget::new(&c);
            let before = parts(&b);
            let (first, left) = (before[first % before.len()].0, ms(left));
            b.fit(first, left);
            let after = parts(&b);
            let sum = |of: &[(Part, Duration, bool)], which: &dyn Fn(bool) -> bool| -> Duration {
                of.iter().filter(|(part, _, e)| *part >= first && which(*e)).map(|(_, d, _)| *d).sum()
            };
            proptest::prop_assert!(sum(&after, &|_| true) <= left, "more is held than there is");
            let essential = sum(&before, &|e| e);
            let stop = before.iter().find(|(part, ..)| *part == Part::Stop).map_or(S(0), |(_, d, _)| *d);
            let floor = if first <= Part::Stop { stop.min(left / 4) } else { S(0) };
            for ((part, was, is_essential), (_, is, _)) in before.iter().zip(&after) {
                proptest::prop_assert!(is <= was && (*part >= first || is == was), "{part:?}");
                let fair = if *is_essential && *part >= first {
                    fraction(essential.min(left - floor), *was, essential)
                } else {
                    S(0)
                };
                proptest::prop_assert!(*is >= fair, "{part:?}: {is:?}, not {fair:?}");
            }
            let fits = sum(&before, &|_| true) <= left;
            proptest::prop_assert!(!fits || before == after, "nobody gives way when it fits");
            let given_way = sum(&after, &|e| e) + ms(1) < essential;
            proptest::prop_assert!(!given_way || sum(&after, &|e| !e) <= floor, "the essential give way last");
        }
    }

    #[test]
    fn a_share_is_what_is_left_less_what_others_hold() {
        assert_eq!(slice(At::from_millis(4000), At::from_millis(29_000), S(10)), S(15));
        assert_eq!(slice(At::from_millis(28_000), At::from_millis(29_000), S(10)), S(0));
    }

    #[test]
    fn a_task_takes_no_longer_than_its_sleep_and_its_timeout() {
        let mut task = Task::new("x", Handler::Sleep(S(5)));
        assert_eq!(task_length(&task), Some(S(5)));
        task.timeout = Some(S(2));
        assert_eq!(task_length(&task), Some(S(2)));
        task.timeout = Some(S(7));
        assert_eq!(task_length(&task), Some(S(5)));
    }

    #[test]
    fn a_diagnosis_leaves_the_ladder_its_waits_or_three_quarters() {
        let slice = |left, waits: &[Option<u64>], wait| {
            let rung = |wait: &Option<u64>| Rung { signal: Signal::TERM, wait: wait.map(S) };
            let ladder: Vec<Rung> = waits.iter().map(rung).collect();
            diagnosis_share(S(left), &ladder, Some(Diagnose { signal: Signal::QUIT, wait: S(wait) }))
        };
        assert_eq!(slice(22, &[Some(20)], 2), S(2));
        assert_eq!(slice(30, &[Some(5), Some(5)], 15), S(15), "the ladder needs no more than a third");
        assert_eq!(slice(20, &[Some(20)], 8), S(5));
        assert_eq!(slice(20, &[Some(1), None], 8), S(5), "it waits for all the time there is");
        assert_eq!(slice(20, &[], 2), S(2));
        assert_eq!(slice(0, &[Some(20)], 2), S(0));
        assert_eq!(diagnosis_share(S(20), &[], None), S(0));
    }

    #[test]
    fn process_shares_add_up_along_a_chain() {
        let open = |n| Chain { stated: S(0), open: n };
        let stated = |s| Chain { stated: S(s), open: 0 };
        assert_eq!(process_share(S(30), open(1), open(2)), S(10));
        assert_eq!(process_share(S(30), stated(20), stated(5)), S(20));
        assert_eq!(process_share(S(10), stated(20), stated(20)), S(5));
        assert_eq!(process_share(S(40), stated(60), open(1)), S(30), "the silent one keeps a quarter");
        assert_eq!(process_share(S(40), open(1), stated(60)), S(10));
        assert_eq!(process_share(S(0), open(1), stated(60)), S(0));
    }
}
