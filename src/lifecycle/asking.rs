//! How stragglers are asked to end: after a wait the outermost of each tree, then, when time gets short, whoever has not been asked yet,
//! then SIGKILL. The same for what a process leaves in its group and for what the whole container leaves behind. Pure.

use std::time::Duration;

use super::action::Whom;
use crate::plan::stragglers::{Occasion, Policy, Times};
use crate::time::At;

#[derive(Clone, Debug, Hash)]
pub(super) struct Asking {
    from: At,
    pub asked: Option<Whom>,
    times: Times,
    /// Nobody is killed later than this, unless softstop itself was late.
    last: At,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ask(Whom),
    Kill,
}

impl Asking {
    pub fn begin(policy: Policy, now: At, last: At, occasion: Occasion) -> Asking {
        Asking { from: now, asked: None, times: policy.times(now, last, occasion), last }
    }

    /// What they get has changed: the container has begun to stop. Whoever was asked is not asked again.
    pub fn replan(&mut self, policy: Policy, last: At, occasion: Occasion) {
        self.last = last;
        self.times = match self.asked {
            None => policy.times(self.from, last, occasion),
            Some(_) => policy.times_signalled(self.times.signal_at, last, occasion),
        };
    }

    /// softstop `lost` so much: what is still to come comes as much later, as far as there is room until `most`.
    pub fn give_back(&mut self, lost: Duration, most: At) {
        self.last = self.last.later(lost, most);
        let later = |at: At| at.later(lost, self.last);
        let Times { signal_at, all_at, kill_at } = self.times;
        let kill_at = later(kill_at);
        let signal_at = if self.asked.is_none() { later(signal_at) } else { signal_at };
        let all_at = (kill_at - self.times.kill_at.since(all_at)).max(all_at);
        self.times = Times { signal_at, all_at, kill_at };
    }

    /// When something is to be done next.
    pub fn next(&self) -> At {
        match self.asked {
            None => self.times.signal_at,
            Some(Whom::Outermost) => self.times.all_at,
            Some(Whom::Everybody) => self.times.kill_at,
        }
    }

    pub fn kill_at(&self) -> At {
        self.times.kill_at
    }

    /// When they were signalled; `None`: not yet.
    pub fn since(&self) -> Option<At> {
        self.asked.map(|_| self.times.signal_at)
    }

    /// What is due now, one thing after the other. Whoever comes late (softstop was paused) does all of it in order, each with the time
    /// that was meant for it as far as there is any: no more than to `last`, or else a quarter of what is left until `hard`.
    pub fn due(&mut self, now: At, hard: At) -> Option<Due> {
        if now < self.next() {
            return None;
        }
        let Times { signal_at, all_at, kill_at } = self.times;
        match self.asked {
            None => {
                self.asked = Some(Whom::Outermost);
                let kill_at = self.shifted(now, kill_at.since(signal_at), hard);
                self.times = Times { signal_at: now, all_at: kill_at - kill_at.since(now) / 4, kill_at };
                Some(Due::Ask(Whom::Outermost))
            }
            Some(Whom::Outermost) => {
                self.asked = Some(Whom::Everybody);
                self.times.kill_at = kill_at.max(self.shifted(now, kill_at.since(all_at), hard));
                Some(Due::Ask(Whom::Everybody))
            }
            Some(Whom::Everybody) => Some(Due::Kill),
        }
    }

    /// `meant` from now on, where it fits.
    fn shifted(&self, now: At, meant: Duration, hard: At) -> At {
        let least = now + meant.min(hard.left(now) / 4);
        (now + meant).min(self.last).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const AT: fn(u64) -> At = At::from_millis;

    fn asking(now: u64, last: u64) -> Asking {
        let policy = Policy::of_container(&Config::with_defaults());
        Asking::begin(policy, AT(now), AT(last), Occasion::Requested)
    }

    fn all_due(asking: &mut Asking, now: u64, hard: u64) -> Vec<Due> {
        let mut all = Vec::new();
        while let Some(due) = asking.due(AT(now), AT(hard)) {
            all.push(due);
            if due == Due::Kill {
                break;
            }
        }
        all
    }

    #[test]
    fn in_time_each_is_asked_at_its_own() {
        let mut a = asking(0, 4000);
        assert_eq!(all_due(&mut a, 0, 9000), [Due::Ask(Whom::Outermost)]);
        assert_eq!((a.next(), a.since()), (AT(3000), Some(AT(0))));
        assert_eq!(all_due(&mut a, 2999, 9000), []);
        assert_eq!(all_due(&mut a, 3000, 9000), [Due::Ask(Whom::Everybody)]);
        assert_eq!(a.next(), AT(4000));
        assert_eq!(all_due(&mut a, 4000, 9000), [Due::Kill]);
    }

    #[test]
    fn what_softstop_has_lost_is_given_back_to_what_is_still_to_come() {
        let times = |a: &Asking| [a.times.signal_at, a.times.all_at, a.times.kill_at];
        let lost = Duration::from_millis(1000);
        let mut config = Config::with_defaults();
        config.stragglers.wait = Some(2 * lost);
        let mut a = Asking::begin(Policy::of_container(&config), AT(0), AT(4000), Occasion::Requested);
        assert_eq!(times(&a), [AT(2000), AT(3500), AT(4000)]);
        a.give_back(lost, AT(9000));
        assert_eq!(times(&a), [AT(3000), AT(4500), AT(5000)], "none of it has come");
        assert_eq!(all_due(&mut a, 3000, 9000), [Due::Ask(Whom::Outermost)]);
        a.give_back(lost, AT(9000));
        assert_eq!(times(&a), [AT(3000), AT(5500), AT(6000)], "what has been is where it was");
        a.give_back(10 * lost, AT(6400));
        assert_eq!(times(&a), [AT(3000), AT(5900), AT(6400)], "as far as there is room");
        a.give_back(lost, AT(0));
        assert_eq!(times(&a), [AT(3000), AT(5900), AT(6400)], "where there is none, nothing is taken away");
    }

    #[test]
    fn whoever_comes_late_drops_nothing() {
        for late in [0, 2500, 3500, 4500, 8000] {
            let mut a = asking(0, 4000);
            let (mut now, mut order) = (late, Vec::new());
            while order.last() != Some(&Due::Kill) {
                order.extend(all_due(&mut a, now, 9000));
                now = now.max(a.next().as_micros().div_ceil(1000));
                assert!(now < 9000, "{late}: {a:?}");
            }
            assert_eq!(order, [Due::Ask(Whom::Outermost), Due::Ask(Whom::Everybody), Due::Kill], "{late}");
            assert!(a.kill_at() > AT(late), "{late}: killed in the turn in which it was asked");
        }
        // Between two of them.
        let mut a = asking(0, 4000);
        assert_eq!(all_due(&mut a, 0, 9000), [Due::Ask(Whom::Outermost)]);
        assert_eq!(all_due(&mut a, 4400, 9000), [Due::Ask(Whom::Everybody)]);
        assert_eq!(a.next(), AT(5400));
    }
}
