//! All processes, and what is true of all of them together, kept up with each one's change: an event of one process costs the same beside
//! thousands of others. Whoever has something to do is in a set for it; sets are consumed in order of number. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::{Bound, Deref};

use super::effects::Effects;
use super::process::{PostStart, Proc, State, Timer};
use crate::config::Condition;
use crate::plan::Plan;
use crate::time::At;

/// By their numbers.
type Ids = BTreeSet<usize>;

/// Nothing changes a process but by [`Processes::change`].
#[derive(Clone, Debug)]
pub(super) struct Processes {
    list: Vec<Proc>,
    /// The rest follows from the list: of each what is counted and timed, as of its last change.
    known: Vec<Known>,
    counts: [usize; FACTS],
    timed: [Timed; KINDS],
    /// Who waits for a process to be ready or to end, by that process.
    awaited_by: BTreeMap<usize, Ids>,
    /// Changed, and not seen, latched or announced since.
    unseen: Ids,
    unlatched: Ids,
    unannounced: Ids,
    /// Its post_start may go on.
    pub post_start: Ids,
    /// It may be started, or be found never to start.
    pub startable: Ids,
    /// How many of those it waits for are not as it needs them.
    unmet: Vec<usize>,
    /// Its turn in the container's stop may have come; `None` until that is at the processes.
    stoppable: Option<Ids>,
    /// How many of those that depend on it have not ended.
    dependents: Vec<usize>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    /// [`State::Starting`].
    Starting,
    /// There is a process.
    Exists,
    Ended,
    /// Its leader has ended for good, and its post_exit tasks have; or it was never started.
    Gone,
    /// It has a certain time to end in.
    Ending,
    /// What it has left in its group is still waited for.
    Leaves,
    /// Neither ready nor done with what it was to do; a task that has been done once is done.
    NotReady,
    NeverStarted,
    /// [`Proc::is_unwell`].
    NotLive,
    /// It does not start by itself, and is not up.
    AtRest,
}

const FACTS: usize = Fact::AtRest as usize + 1;

#[derive(Clone, Debug)]
struct Known {
    /// A bit for each [`Fact`].
    facts: u16,
    at: [At; KINDS],
    /// Whom its task waits for.
    awaits: Option<usize>,
}

/// What is timed apart: the stop of a process, which comes first, and all else of it.
const KINDS: usize = 2;

/// The timers of one kind: by time, and those whose time has come.
#[derive(Clone, Debug, Default)]
struct Timed {
    by_time: BTreeSet<(At, usize)>,
    due: Ids,
}

impl Timed {
    fn set(&mut self, id: usize, before: At, at: At, due: bool) {
        if before != at {
            self.by_time.remove(&(before, id));
            if at != At::NEVER {
                self.by_time.insert((at, id));
            }
        }
        self.set_due(id, due);
    }

    fn set_due(&mut self, id: usize, due: bool) {
        if due {
            self.due.insert(id)
        } else {
            self.due.remove(&id)
        };
    }

    fn time_passes(&mut self, before: At, now: At) {
        let passed = (Bound::Excluded((before, usize::MAX)), Bound::Included((now, usize::MAX)));
        self.due.extend(self.by_time.range(passed).map(|(_, id)| id));
    }
}

impl Processes {
    pub fn new(plan: &Plan) -> Processes {
        let mut all = Processes::of((0..plan.config.processes.len()).map(|id| Proc::new(id, plan)).collect(), plan);
        for id in 0..all.list.len() {
            all.count(id, plan);
        }
        all
    }

    /// Another plan: `fresh` are new, at places that may have been others'. What follows from all of them is made anew.
    pub fn adopt(&mut self, plan: &Plan, fresh: &[usize], now: At, fx: &mut Effects) {
        let mut list = std::mem::take(&mut self.list);
        list.resize_with(plan.config.processes.len(), Proc::default);
        for id in fresh {
            list[*id] = Proc::new(*id, plan);
            fx.seen.set(*id, (false, false));
        }
        *self = Processes::of(list, plan);
        for id in 0..self.list.len() {
            self.changed(id, plan, now, fx);
        }
    }

    /// As if nothing was known of them yet.
    fn of(list: Vec<Proc>, plan: &Plan) -> Processes {
        let count = list.len();
        let never = Known { facts: 0, at: [At::NEVER; KINDS], awaits: None };
        let is_unmet = |(on, condition): &&(usize, Condition)| !list[*on].was().fulfils(*condition);
        let unmet = plan.config.processes.iter().map(|p| p.after.iter().filter(is_unmet).count()).collect();
        Processes {
            known: vec![never; count],
            counts: [0; FACTS],
            timed: Default::default(),
            awaited_by: BTreeMap::new(),
            unseen: Ids::new(),
            unlatched: Ids::new(),
            unannounced: Ids::new(),
            post_start: Ids::new(),
            startable: (0..count).collect(),
            unmet,
            stoppable: None,
            dependents: plan.order.dependents.iter().map(Vec::len).collect(),
            list,
        }
    }

    /// Changes one process, and keeps up what follows from it.
    pub fn change<R>(
        &mut self,
        id: usize,
        plan: &Plan,
        now: At,
        fx: &mut Effects,
        change: impl FnOnce(&mut Proc, &mut Effects) -> R,
    ) -> R {
        let result = change(&mut self.list[id], fx);
        self.changed(id, plan, now, fx);
        result
    }

    fn changed(&mut self, id: usize, plan: &Plan, now: At, fx: &Effects) {
        self.count(id, plan);
        let (p, known) = (&self.list[id], &mut self.known[id]);
        let (at, due) = (times(p), dues(p, now, fx));
        let before = std::mem::replace(&mut known.at, at);
        for (kind, timed) in self.timed.iter_mut().enumerate() {
            timed.set(id, before[kind], at[kind], due[kind]);
        }
        let awaits = p.awaits();
        let before = std::mem::replace(&mut known.awaits, awaits);
        if before != awaits {
            before.and_then(|on| self.awaited_by.get_mut(&on)).map(|by| by.remove(&id));
            awaits.map(|on| self.awaited_by.entry(on).or_default().insert(id));
        }
        for set in [&mut self.unseen, &mut self.unlatched, &mut self.unannounced] {
            set.insert(id);
        }
        match &p.state {
            State::Waiting => self.startable.insert(id),
            State::Running(r) if !matches!(r.post_start, PostStart::Done) => self.post_start.insert(id),
            _ => false,
        };
        if let Some(stoppable) = &mut self.stoppable {
            stoppable.insert(id);
        }
    }

    /// Counts it anew.
    fn count(&mut self, id: usize, plan: &Plan) {
        let facts = facts(&self.list[id], id, plan);
        let changed = std::mem::replace(&mut self.known[id].facts, facts) ^ facts;
        for fact in 0..FACTS {
            if changed & 1 << fact != 0 {
                let count = &mut self.counts[fact];
                *count = if facts & 1 << fact != 0 { *count + 1 } else { count.saturating_sub(1) };
            }
        }
        if changed & 1 << Fact::Ended as usize != 0 {
            let ended = facts & 1 << Fact::Ended as usize != 0;
            for (on, _) in plan.config.processes[id].after.iter().filter(|(on, _)| *on != id) {
                let left = &mut self.dependents[*on];
                *left = if ended { left.saturating_sub(1) } else { *left + 1 };
                if let (0, Some(stoppable)) = (*left, &mut self.stoppable) {
                    stoppable.insert(*on);
                }
            }
        }
    }

    pub fn how_many(&self, fact: Fact) -> usize {
        self.counts[fact as usize]
    }

    pub fn any(&self, fact: Fact) -> bool {
        self.how_many(fact) > 0
    }

    pub fn all(&self, fact: Fact) -> bool {
        self.how_many(fact) == self.list.len()
    }

    pub fn is(&self, id: usize, fact: Fact) -> bool {
        self.known[id].facts & 1 << fact as usize != 0
    }

    // === what follows from a change ===

    /// Takes down what others can see of those that have changed.
    pub fn look(&mut self, now: At, fx: &mut Effects) {
        while let Some(id) = self.unseen.pop_first() {
            let p = &self.list[id];
            let seen = (p.alive(), p.ready());
            if fx.seen.set(id, seen) != seen {
                for by in self.awaited_by.get(&id).into_iter().flatten() {
                    let due = dues(&self.list[*by], now, fx);
                    self.timed.iter_mut().zip(due).for_each(|(timed, due)| timed.set_due(*by, due));
                }
            }
        }
    }

    /// Remembers who has been started, ready and completed, and for whom that is what they wait for.
    pub fn latch(&mut self, plan: &Plan) {
        while let Some(id) = self.unlatched.pop_first() {
            let p = &mut self.list[id];
            let before = p.was();
            p.latch(plan.is_service(id));
            let (after, ended) = (p.was(), p.ended());
            if before != after {
                self.count(id, plan);
            }
            for (dependent, condition) in &plan.order.dependents[id] {
                let holds = after.fulfils(*condition);
                if holds && !before.fulfils(*condition) {
                    self.unmet[*dependent] -= 1;
                }
                // One that can never hold any more ends the waiting as well.
                if !holds && ended || holds && self.unmet[*dependent] == 0 {
                    self.startable.insert(*dependent);
                }
            }
        }
    }

    /// Says who has become ready.
    pub fn announce(&mut self, plan: &Plan, fx: &mut Effects) {
        while let Some(id) = self.unannounced.pop_first() {
            self.list[id].announce(id, plan, fx);
        }
    }

    /// All that it waits for holds.
    pub fn is_free(&self, id: usize) -> bool {
        self.unmet[id] == 0
    }

    // === whose turn it is ===

    /// The container's stop has come to the processes.
    pub fn begin_stop(&mut self) {
        self.stoppable = Some((0..self.list.len()).collect());
    }

    /// Who may be stopped now: each is asked about once, and again after a change that matters.
    pub fn take_stoppable(&mut self) -> Ids {
        self.stoppable.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub fn has_dependents(&self, id: usize) -> bool {
        self.dependents[id] > 0
    }

    // === time ===

    pub fn time_passes(&mut self, before: At, now: At) {
        self.timed.iter_mut().for_each(|timed| timed.time_passes(before, now));
    }

    pub fn next_deadline(&self) -> Option<At> {
        self.timed.iter().filter_map(|timed| timed.by_time.first()).map(|(at, _)| *at).min()
    }

    /// The first from `from` on of whom this may be due; of its life, or its probes.
    pub fn next_due(&self, timer: Timer, from: usize) -> Option<usize> {
        self.timed[usize::from(timer != Timer::Stop)].due.range(from..).next().copied()
    }
}

// === the second opinion ===

/// In a debug build this many are looked at one by one after every event.
const FEW: usize = 16;

impl Processes {
    /// What is kept up is what looking at every process would show. More than a few are not looked at.
    pub fn agree(&self, plan: &Plan, now: At, fx: &Effects) -> bool {
        let few = self.list.len() <= FEW;
        !few || self.list.iter().enumerate().all(|(id, p)| self.agrees(id, p, plan, now, fx)) && self.counts_agree()
    }

    fn counts_agree(&self) -> bool {
        let count = |fact: usize| self.known.iter().filter(|known| known.facts & 1 << fact != 0).count();
        (0..FACTS).all(|fact| self.counts[fact] == count(fact))
    }

    fn agrees(&self, id: usize, p: &Proc, plan: &Plan, now: At, fx: &Effects) -> bool {
        let known = &self.known[id];
        let mut timed = self.timed.iter().zip(known.at).zip(dues(p, now, fx));
        let is_timed = timed.all(|((timed, at), due)| {
            let listed = timed.by_time.iter().filter(|(_, other)| *other == id).eq([&(at, id)]);
            (listed || at == At::NEVER) && timed.due.contains(&id) == due
        });
        let is_known = (known.facts, known.at, known.awaits) == (facts(p, id, plan), times(p), p.awaits());
        let waits = plan.config.processes[id].after.iter();
        let unmet = waits.filter(|(on, condition)| !self.list[*on].was().fulfils(*condition)).count();
        let dependents = plan.order.dependents[id].iter().filter(|(on, _)| !self.list[*on].ended()).count();
        is_known && is_timed && (self.unmet[id], self.dependents[id]) == (unmet, dependents)
    }
}

impl Deref for Processes {
    type Target = [Proc];

    fn deref(&self) -> &[Proc] {
        &self.list
    }
}

/// All else follows from it.
impl Hash for Processes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.list.hash(state);
    }
}

/// When something of each kind is due.
fn times(p: &Proc) -> [At; KINDS] {
    let at = |timer| p.timer(timer).unwrap_or(At::NEVER);
    [at(Timer::Stop), at(Timer::Life).min(at(Timer::Probes))]
}

/// What of each kind is.
fn dues(p: &Proc, now: At, fx: &Effects) -> [bool; KINDS] {
    [p.is_due(Timer::Stop, now, fx), p.is_due(Timer::Life, now, fx) || p.is_due(Timer::Probes, now, fx)]
}

fn facts(p: &Proc, id: usize, plan: &Plan) -> u16 {
    let is_service = plan.is_service(id);
    let by_order = !plan.config.processes[id].autostart;
    let at_rest = by_order && matches!(p.state, State::Held { .. } | State::Ended(_));
    // Nobody waits for what is scheduled, whether it runs or not.
    let removed = plan.config.processes[id].removed;
    let is_spare =
        removed || plan.config.processes[id].schedule.is_some() || by_order && matches!(p.state, State::Held { .. });
    let is_done = p.completed(is_service) || plan.is_task(id) && p.was().completed;
    let all = [
        (Fact::Starting, matches!(p.state, State::Starting)),
        (Fact::Exists, p.body().is_some()),
        (Fact::Ended, p.ended()),
        (Fact::Gone, p.is_gone()),
        (Fact::Ending, matches!(p.state, State::Stopping(_) | State::GroupTermination(_))),
        (Fact::Leaves, p.leaves()),
        (Fact::NotReady, !(p.ready() || is_done || is_spare)),
        (Fact::NeverStarted, !(p.was().started || is_spare)),
        (Fact::NotLive, p.is_unwell(id, plan) && !removed),
        (Fact::AtRest, at_rest || removed && p.ended()),
    ];
    all.into_iter().filter(|(_, is)| *is).fold(0, |facts, (fact, _)| facts | 1 << fact as usize)
}
