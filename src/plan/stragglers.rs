//! What stragglers get: who may end by itself for how long, when it is signalled, when it is killed. Pure.
//!
//! ```text
//! from ──── wait ────► signal_at ──────── timeout ────────► kill_at ─► last
//!                      the outermost          the rest ▲ all_at
//! ```

use std::time::Duration;

use super::budget::fraction;
use crate::config::{Config, DEFAULT_TIMEOUT_WHEN_ENDED, Stragglers};
use crate::signal::Signal;
use crate::time::At;

/// What a process leaves in its group has so long to end, unless told otherwise, while the container goes on.
const WHILE_UP: Duration = Duration::from_secs(10);

const LEAST: Duration = Duration::from_millis(10);

/// What holds for the stragglers of a container, or of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    pub wait: Duration,
    /// `None`: SIGTERM; of a process the first signal of its ladder.
    pub signal: Option<Signal>,
    timeout: Option<Duration>,
    when_ended: Duration,
}

/// Why there are stragglers: it says how long they get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// A process ended, and the container goes on.
    Up,
    /// Somebody asked for the stop of the container, or for the restart of the process.
    Requested,
    /// The container ended by itself.
    Ended,
}

/// The instants of one such stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Times {
    pub signal_at: At,
    /// Time gets short: whoever has not been signalled by then is.
    pub all_at: At,
    pub kill_at: At,
}

impl Policy {
    pub fn of_container(config: &Config) -> Policy {
        Policy::new(config.stragglers)
    }

    /// For the group of one process.
    pub fn of_process(config: &Config, process: usize) -> Policy {
        Policy::new(config.processes[process].stragglers.or(config.stragglers))
    }

    fn new(stated: Stragglers) -> Policy {
        Policy {
            wait: stated.wait.unwrap_or_default(),
            signal: stated.signal,
            timeout: stated.timeout,
            when_ended: stated.timeout_when_ended.unwrap_or(DEFAULT_TIMEOUT_WHEN_ENDED),
        }
    }

    /// From the signal to SIGKILL; `None`: all there is.
    fn timeout_at(&self, occasion: Occasion) -> Option<Duration> {
        match occasion {
            Occasion::Up => Some(self.timeout.unwrap_or(WHILE_UP)),
            Occasion::Requested => self.timeout,
            Occasion::Ended => Some(self.when_ended),
        }
    }

    /// For stragglers that are there since `from`, with SIGKILL at `last` at the latest. What does not fit is scaled down: without a
    /// `timeout` a quarter is kept for the time after the signal.
    pub fn times(&self, from: At, last: At, occasion: Occasion) -> Times {
        let room = last.left(from);
        let timeout = self.timeout_at(occasion);
        let wait = match timeout {
            None => self.wait.min(room - room / 4),
            Some(timeout) => self.wait.min(fraction(room, self.wait, self.wait.saturating_add(timeout))),
        };
        self.times_signalled(from + wait, last, occasion)
    }

    /// The same for stragglers that are signalled at a given time.
    pub fn times_signalled(&self, signal_at: At, last: At, occasion: Occasion) -> Times {
        let room = last.left(signal_at);
        // Never in the turn of the signal: who obeys at once has a moment to be seen.
        let timeout = self.timeout_at(occasion).map_or(room, |timeout| timeout.max(LEAST).min(room));
        let kill_at = signal_at + timeout;
        Times { signal_at, all_at: kill_at - timeout / 4, kill_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Process;

    const S: fn(u64) -> Duration = Duration::from_secs;
    const AT: fn(u64) -> At = |secs| At::from_millis(secs * 1000);

    fn policy(wait: u64, timeout: Option<u64>) -> Policy {
        let mut c = Config::with_defaults();
        c.stragglers = Stragglers { wait: Some(S(wait)), timeout: timeout.map(S), ..Stragglers::default() };
        Policy::of_container(&c)
    }

    fn instants(t: Times) -> [u64; 3] {
        [t.signal_at, t.all_at, t.kill_at].map(|at| at.as_micros() / 1_000_000)
    }

    #[test]
    fn by_default_they_are_signalled_at_once_and_have_all_the_time_or_three_seconds() {
        let p = policy(0, None);
        assert_eq!(instants(p.times(AT(10), AT(30), Occasion::Requested)), [10, 25, 30]);
        assert_eq!(p.times(AT(10), AT(30), Occasion::Ended).kill_at, AT(13));
        assert_eq!(p.times(AT(10), AT(11), Occasion::Ended).kill_at, AT(11), "no more than there is");
        assert_eq!(p.times(AT(10), AT(99), Occasion::Up).kill_at, AT(20));
    }

    #[test]
    fn a_wait_comes_before_the_signal_and_leaves_time_after_it() {
        assert_eq!(instants(policy(8, None).times(AT(0), AT(20), Occasion::Requested)), [8, 17, 20]);
        assert_eq!(instants(policy(60, None).times(AT(0), AT(20), Occasion::Requested)), [15, 18, 20]);
        assert_eq!(instants(policy(8, Some(4)).times(AT(0), AT(20), Occasion::Requested)), [8, 11, 12]);
        assert_eq!(instants(policy(30, Some(10)).times(AT(0), AT(20), Occasion::Requested)), [15, 18, 20]);
        assert_eq!(instants(policy(8, Some(4)).times(AT(5), AT(5), Occasion::Ended)), [5, 5, 5]);
    }

    #[test]
    fn what_a_process_does_not_say_is_the_containers() {
        let mut c = Config::with_defaults();
        c.stragglers = Stragglers { wait: Some(S(8)), signal: Some(Signal::HUP), ..Stragglers::default() };
        c.processes.push(Process::new("cron", vec!["cron".into()]));
        assert_eq!(Policy::of_process(&c, 0), Policy::of_container(&c));
        c.processes[0].stragglers = Stragglers { wait: Some(S(0)), timeout: Some(S(1)), ..Stragglers::default() };
        let p = Policy::of_process(&c, 0);
        assert_eq!((p.wait, p.signal, p.timeout), (S(0), Some(Signal::HUP), Some(S(1))));
    }
}
