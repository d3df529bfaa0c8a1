//! How many processes will have to be ended, and how long that may have to wait for the processor: counted during the stop, piece by
//! piece, as a crowd (a fork bomb) must be killed earlier to be gone in time.

use std::time::Duration;

use tokio::time::Instant;

use super::super::shell::{Shell, is_due};
use super::{PART, PIECE, used_since};
use crate::lifecycle::event::Event;
use crate::sys::process;
use crate::sys::strangers::Strangers;
use crate::sys::tree::{self, CROWD, Walk};

/// Counted this often during the stop, and from its first instant on where there may be a crowd, before that keeps the processor from us; or less
/// often: counting takes no more than [`PART`] of the time.
const COUNT: Duration = Duration::from_millis(250);
/// And no more of our processor time at once: whoever has had much must wait long for more, where there is little.
const COUNTED: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(in crate::runtime) struct Crowd {
    /// `None`: the stop has not begun.
    next_count: Option<Instant>,
    under_way: bool,
    /// Not as PID 1: a count that is under way, and how many so far.
    counting: Option<(Walk, usize)>,
    /// As PID 1: whom the count has found beside us.
    pub strangers: Strangers,
    /// The crowd that the machine knows of, and how long softstop had waited for the processor.
    known: (usize, Duration),
}

impl Crowd {
    /// When to count on; `None`: not at all, or whenever softstop is awake.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next_count.filter(|_| self.under_way)
    }

    /// The stop has begun, now or before.
    fn begin(&mut self, now: Instant, was_never_a_crowd: impl FnOnce() -> bool) {
        self.next_count.get_or_insert_with(|| if was_never_a_crowd() { now + COUNT } else { now });
    }

    /// One piece, and how many are known then; `None`: not due, or they cannot be seen.
    fn count(&mut self, waited: Duration) -> Option<usize> {
        let (began, cpu) = (Instant::now(), process::cpu_time());
        if !is_due(self.next_count, began) {
            return None;
        }
        let used = || used_since(cpu);
        let (over, counted) = if process::is_pid1() {
            // All of the namespace are ours, but for strangers, whom the last SIGKILL has to pass by.
            let counted = self.strangers.list().ok();
            let listing = used();
            let taken = || Taken { waited, time: began.elapsed(), cpu: used() };
            self.strangers.inspect_while(|| taken().leaves_room(listing));
            (taken().is_enough(self.strangers.unknown()), counted)
        } else {
            match count_on(&mut self.counting, || has_room(used(), Duration::ZERO)) {
                Some((over, count)) => (over, Some(count)),
                None => (true, None),
            }
        };
        self.counted(over, Instant::now(), began.elapsed());
        counted
    }

    /// A piece has taken so long; `over`: there is no more to count for now.
    fn counted(&mut self, over: bool, now: Instant, took: Duration) {
        let pause = took.saturating_mul(PART);
        self.under_way = !over;
        self.next_count = Some(now + if over { COUNT.max(pause) } else { COUNT.min(pause) });
    }

    /// What the machine does not know: a crowd that has grown, or that keeps the processor from us for longer.
    fn news(&mut self, count: Option<usize>, waited: Duration) -> Option<(usize, Duration)> {
        let processes = self.known.0.max(count.unwrap_or_default());
        if processes <= CROWD || processes == self.known.0 && waited <= self.known.1 {
            return None;
        }
        self.known = (processes, waited);
        Some(self.known)
    }
}

/// What a piece of counting as PID 1 has taken so far; `waited`: for the processor, before it.
#[derive(Clone, Copy)]
struct Taken {
    waited: Duration,
    time: Duration,
    cpu: Duration,
}

impl Taken {
    /// Listing all takes its time, too. Who is starved has none to look ahead: ending the others in time comes first.
    fn is_starved(self) -> bool {
        !self.waited.is_zero() || self.time >= PIECE.max(2 * self.cpu)
    }

    /// For one more to be inspected, where listing them has taken so much of the processor.
    fn leaves_room(self, listing: Duration) -> bool {
        !self.is_starved() && has_room(self.cpu, listing)
    }

    /// So many have not been inspected: whether that is all for now.
    fn is_enough(self, unknown: usize) -> bool {
        self.is_starved() || unknown == 0
    }
}

fn has_room(used: Duration, listing: Duration) -> bool {
    used < COUNTED.max(2 * listing)
}

/// Counts everybody below us, on from where it was, while there is room: whether that was all, and how many so far. `None`: they cannot be
/// seen.
fn count_on(counting: &mut Option<(Walk, usize)>, room: impl Fn() -> bool) -> Option<(bool, usize)> {
    let (mut walk, mut count) = match counting.take() {
        Some(begun) => begun,
        None => (Walk::begin(true).ok()?, 0),
    };
    while room() {
        if walk.next(&|_| false).is_none() {
            return Some((true, count));
        }
        count += 1;
    }
    *counting = Some((walk, count));
    Some((false, count))
}

impl Shell {
    pub(in crate::runtime) fn count_the_crowd(&mut self) {
        let (waited, crowd) = (self.starvation.waited(), &mut self.stragglers.crowd);
        if self.machine.borrow().stopping() {
            crowd.begin(Instant::now(), tree::was_never_a_crowd);
        }
        let count = crowd.count(waited);
        if let Some((processes, waited)) = crowd.news(count, waited) {
            // Before they keep the processor from us.
            let _ = process::raise_priority();
            self.push(Event::Crowd { processes, waited });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_crowd_is_news_when_it_grows_or_keeps_the_processor_for_longer() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.news(None, MS), None);
        assert_eq!(crowd.news(Some(CROWD), MS), None, "so few are none");
        assert_eq!(crowd.news(Some(CROWD + 1), MS), Some((CROWD + 1, MS)));
        assert_eq!(crowd.news(Some(CROWD + 1), MS), None, "that is known");
        assert_eq!(crowd.news(Some(CROWD), Duration::ZERO), None, "some have ended");
        assert_eq!(crowd.news(None, 2 * MS), Some((CROWD + 1, 2 * MS)), "who was not counted is still there");
        assert_eq!(crowd.news(Some(200), MS), Some((200, MS)));
    }

    #[test]
    fn it_is_counted_from_the_first_instant_of_the_stop_on_where_there_may_be_one() {
        let now = Instant::now();
        for (never, first) in [(false, now), (true, now + COUNT)] {
            let mut crowd = Crowd::default();
            assert_eq!(crowd.next(), None);
            crowd.begin(now, || never);
            assert_eq!(crowd.next_count, Some(first));
            crowd.begin(now + MS, || panic!("that is read once"));
            assert_eq!((crowd.next_count, crowd.next()), (Some(first), None), "it wakes nobody");
        }
    }

    #[test]
    fn the_rest_is_counted_soon_and_everybody_again_later_and_neither_takes_more_than_its_part() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        for (over, took, pause) in
            [(true, MS, COUNT), (true, 50 * MS, 1000 * MS), (false, MS, 20 * MS), (false, 50 * MS, COUNT)]
        {
            crowd.counted(over, now, took);
            assert_eq!(crowd.next_count, Some(now + pause), "{over} {took:?}");
            assert_eq!(crowd.next(), (!over).then_some(now + pause), "the rest wakes softstop");
        }
    }

    #[test]
    fn nobody_is_counted_before_it_is_time() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        assert_eq!(crowd.count(Duration::ZERO), None, "there is no stop");
        crowd.next_count = Some(now + Duration::from_secs(3600));
        assert_eq!(crowd.count(Duration::ZERO), None);
        crowd.next_count = Some(now);
        assert!(crowd.count(Duration::ZERO).is_some() && crowd.next_count > Some(now), "and then not at once again");
    }

    #[test]
    fn who_waits_for_the_processor_looks_no_further_ahead() {
        let taken = |waited: u32, time: u32, cpu: u32| Taken { waited: waited * MS, time: time * MS, cpu: cpu * MS };
        for (taken, starved) in [
            (taken(0, 9, 0), false),
            (taken(0, 10, 0), true),
            (taken(0, 10, 5), true),
            (taken(0, 19, 10), false),
            (taken(0, 20, 10), true),
            (taken(1, 0, 0), true),
        ] {
            assert_eq!(taken.is_starved(), starved);
            assert_eq!([taken.is_enough(0), taken.is_enough(1)], [true, starved]);
            assert_eq!(taken.leaves_room(20 * MS), !starved);
        }
        for (cpu, listing, room) in [(0, 0, true), (1, 0, false), (2, 1, false), (3, 2, true), (4, 2, false)] {
            assert_eq!(taken(0, 0, cpu).leaves_room(listing * MS), room, "{cpu} {listing}");
        }
    }

    /// Ends with the test.
    struct Sleeps(Child);

    impl Drop for Sleeps {
        #[allow(clippy::disallowed_methods, reason = "the test waits for its own child")]
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_count_goes_on_where_it_was_and_begins_anew_after_its_end() {
        // Other tests have children, too: there are two at least.
        let _two = [0; 2].map(|_| Sleeps(Command::new("sleep").arg("1000").spawn().unwrap()));
        let one = || {
            let left = std::cell::Cell::new(1);
            move || left.replace(0) == 1
        };
        let mut counting = None;
        assert_eq!(count_on(&mut counting, || false), Some((false, 0)));
        assert_eq!(count_on(&mut counting, one()), Some((false, 1)));
        assert_eq!(count_on(&mut counting, one()), Some((false, 2)));
        assert!(matches!(&counting, Some((_, 2))));
        let Some((true, all)) = count_on(&mut counting, || true) else { panic!("there was room for all") };
        assert!(all >= 2 && counting.is_none(), "{all}");
        assert_eq!(count_on(&mut counting, one()), Some((false, 1)), "from the first one on");
    }
}
