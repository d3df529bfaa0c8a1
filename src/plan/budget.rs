//! Grace arithmetic: what each step of the stop may take. Pure.
//!
//! ```text
//! T0                                                   deadline      T0 + grace
//! ├─ drain 1 ─┬─ drain 2 ─┬─ stop of processes ─┬─ post_stop ─┼─ kill_reserve ─┤
//!     share = min(its timeout, what is left − the reserves of everything after it)
//! ```

use std::time::Duration;

use super::order::Chain;
use crate::config::{Config, Diagnose, Rung, Step};
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
        Budget { grace, kill_reserve, drain, stop, post_stop }
    }

    /// When everything that still lives is killed.
    pub fn deadline(&self, t0: At) -> At {
        t0 + self.grace.saturating_sub(self.kill_reserve)
    }

    /// When softstop is gone.
    pub fn end(&self, t0: At) -> At {
        t0 + self.grace
    }

    /// The deadline has moved up and `left` is all there is from drain step `i` on: reserves that no longer fit are scaled
    /// down together.
    pub fn shrink(&mut self, i: usize, left: Duration) {
        let drain = self.drain.get_mut(i..).unwrap_or_default();
        let held = sum(drain) + self.stop + sum(&self.post_stop);
        if held > left {
            let all = drain.iter_mut().chain([&mut self.stop]).chain(&mut self.post_stop);
            all.for_each(|part| *part = fraction(left, *part, held));
        }
    }

    /// What everything after drain step `i` holds.
    pub fn after_drain(&self, i: usize) -> Duration {
        sum(self.drain.get(i + 1..).unwrap_or_default()) + self.stop + self.after_stop()
    }

    /// What everything after the stop of the processes holds.
    pub fn after_stop(&self) -> Duration {
        sum(&self.post_stop)
    }

    /// What everything after post_stop step `i` holds.
    pub fn after_post_stop(&self, i: usize) -> Duration {
        sum(self.post_stop.get(i + 1..).unwrap_or_default())
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

/// What a step may take: `min(its timeout, what is left − the reserves of everything after it)`.
pub fn share(now: At, deadline: At, reserved_after: Duration, timeout: Option<Duration>) -> Duration {
    let free = deadline.left(now).saturating_sub(reserved_after);
    timeout.map_or(free, |t| t.min(free))
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

/// What of the `left` of a process's own share is kept for its diagnosis: all that it asks for where the ladder leaves that, and a
/// quarter of `left` otherwise. It must not cost the process its chance to end by itself.
pub fn diagnosis_share(left: Duration, ladder: &[Rung], diagnose: Option<Diagnose>) -> Duration {
    let Some(diagnose) = diagnose else { return Duration::ZERO };
    let waits = ladder.iter().map(|rung| rung.wait).collect::<Option<Vec<_>>>().filter(|waits| !waits.is_empty());
    let free = waits.map_or(Duration::ZERO, |waits| left.saturating_sub(sum(&waits)));
    diagnose.wait.min(free.max(left / 4))
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
        Step { tasks: vec![task], reserve, when: When::Requested }
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
        assert_eq!(share(At::ZERO, b.deadline(At::ZERO), b.after_drain(0), None), S(8));
    }

    #[test]
    fn a_budget_that_shrinks_keeps_its_proportions_and_leaves_out_what_is_over() {
        let mut c = config(40);
        c.drain = vec![step(Some(S(9)), None), step(Some(S(2)), None)];
        c.post_stop = vec![step(Some(S(2)), None)];
        c.stop_reserve = Some(S(6));
        let mut b = Budget::new(&c);
        b.shrink(1, S(5));
        assert_eq!((b.drain[1], b.stop, b.after_stop()), (S(1), S(3), S(1)));
        let same = b.clone();
        b.shrink(2, S(4));
        assert_eq!(b, same, "it fits");
        b.shrink(2, S(9));
        assert_eq!(b, same, "nothing grows");
        b.shrink(9, S(0));
        assert_eq!(b.stop + b.after_stop(), S(0));
    }

    #[test]
    fn a_share_is_what_is_left_less_what_others_hold() {
        assert_eq!(share(At::from_millis(4000), At::from_millis(29_000), S(10), None), S(15));
        assert_eq!(share(At::from_millis(4000), At::from_millis(29_000), S(10), Some(S(3))), S(3));
        assert_eq!(share(At::from_millis(28_000), At::from_millis(29_000), S(10), None), S(0));
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
        let share = |left, waits: &[Option<u64>], wait| {
            let rung = |wait: &Option<u64>| Rung { signal: Signal::TERM, wait: wait.map(S) };
            let ladder: Vec<Rung> = waits.iter().map(rung).collect();
            diagnosis_share(S(left), &ladder, Some(Diagnose { signal: Signal::QUIT, wait: S(wait) }))
        };
        assert_eq!(share(22, &[Some(20)], 2), S(2));
        assert_eq!(share(30, &[Some(5), Some(5)], 15), S(15), "the ladder needs no more than a third");
        assert_eq!(share(20, &[Some(20)], 8), S(5));
        assert_eq!(share(20, &[Some(1), None], 8), S(5), "it waits for all the time there is");
        assert_eq!(share(20, &[], 2), S(2));
        assert_eq!(share(0, &[Some(20)], 2), S(0));
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
