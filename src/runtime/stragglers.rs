//! What processes leave behind: looked for, signalled, each once. Whom, when and with what is the machine's to say.
//!
//! Thousands are signalled piece by piece, so that the loop turns in between; and looked for less often the longer that takes.

pub(super) mod crowd;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use self::crowd::Crowd;
use super::perform::NEEDS;
use super::shell::{Shell, is_due};
use crate::lifecycle::action::Whom;
use crate::lifecycle::event::{Event, ProcId};
use crate::report::Note;
use crate::signal::Signal;
use crate::sys::asked::Asked;
use crate::sys::tree::{self, Descendant, Walk};
use crate::sys::{process, target};

/// New ones are looked for this often: an orphan whose parent was no child of ours comes without a signal.
const LOOK: Duration = Duration::from_millis(100);
/// Or less often: looking takes no more than this part of a processor. A pause of the machine's own is not looking.
const PART: u32 = 20;
/// The loop is not held longer than this by one piece.
const PIECE: Duration = Duration::from_millis(10);
/// Who is in a process's group is looked for so long; after that the kernel signals them all.
const MEMBERS: Duration = Duration::from_millis(50);
/// So often at most: those that are started meanwhile are seen by the next look.
const LOOKS: usize = 3;
/// Of the stragglers, so many are named.
const NAMED: usize = 10;

/// `None`: those that belong to no group that is waited for.
type Of = Option<ProcId>;

pub(super) struct Stragglers {
    pub asked: Asked,
    /// Whom the machine has ordered to be signalled: those who come later are told of.
    standing: BTreeMap<Of, Whom>,
    under_way: Vec<Round>,
    next_inspection: Instant,
    pub crowd: Crowd,
    /// Somebody was sent a signal.
    any_reached: bool,
    /// That they cannot be seen was said.
    blind_reported: bool,
    /// How many of each group that is waited for have been sent a signal.
    signalled: BTreeMap<ProcId, usize>,
    /// Groups whose members were signalled without being seen.
    unseen: HashSet<i32>,
}

/// One order that is being carried out.
struct Round {
    of: Of,
    signal: Signal,
    whom: Whom,
    walk: Walk,
    reached: usize,
    named: Vec<String>,
    refused: usize,
}

impl Round {
    fn new(of: Of, signal: Signal, whom: Whom, walk: Walk) -> Round {
        Round { of, signal, whom, walk, reached: 0, named: Vec::new(), refused: 0 }
    }

    /// What became of a signal to one of them; `false`: it has ended since.
    fn count(&mut self, found: &Descendant, sent: io::Result<()>) -> bool {
        match sent {
            Ok(()) => {
                self.reached += 1;
                if self.named.len() < NAMED {
                    self.named.push(format!("{} (pid {})", found.comm, found.pid));
                }
                true
            }
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                self.refused += 1;
                true
            }
            Err(_) => false,
        }
    }
}

impl Stragglers {
    pub(super) fn new() -> Stragglers {
        Stragglers {
            asked: Asked::default(),
            standing: BTreeMap::new(),
            under_way: Vec::new(),
            next_inspection: Instant::now(),
            crowd: Crowd::default(),
            any_reached: false,
            blind_reported: false,
            signalled: BTreeMap::new(),
            unseen: HashSet::new(),
        }
    }

    /// When to look for new ones; `None`: not at all.
    fn next_inspection(&self) -> Option<Instant> {
        (!self.standing.is_empty()).then_some(self.next_inspection)
    }

    /// When to look or count next; `None`: not at all, or whenever softstop is awake.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next_inspection().into_iter().chain(self.crowd.next()).min()
    }

    fn is_inspection_due(&self, now: Instant) -> bool {
        !self.under_way() && is_due(self.next_inspection(), now)
    }

    /// How many of its group have been sent a signal since it ended.
    pub(super) fn signalled(&self, process: ProcId) -> usize {
        self.signalled.get(&process).copied().unwrap_or_default()
    }

    /// So many more. `true`: that is news; of those of a group it is told when their end takes long.
    fn reached(&mut self, of: Of, count: usize) -> bool {
        if let Some(id) = of {
            *self.signalled.entry(id).or_default() += count;
            return false;
        }
        self.any_reached |= count > 0;
        count > 0
    }

    pub(super) fn under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// The process is started again, or nothing is left of its group.
    pub(super) fn forget(&mut self, process: ProcId) {
        self.standing.remove(&Some(process));
        self.signalled.remove(&process);
        self.under_way.retain(|round| round.of != Some(process));
    }
}

impl Shell {
    /// Every member of a process's group, and the process itself wherever it is, gets a rung of its ladder.
    pub(super) fn signal_members(&mut self, pid: i32, signal: Signal) -> io::Result<()> {
        let turn = Turn::of(MEMBERS);
        let (all, complete) = whoever_joins(pid, || members(pid, turn));
        all.iter().for_each(|member| self.stragglers.asked.add(member));
        if complete {
            // Its leader first: a shell must not see its child die before it is told itself.
            let leader = target::signal(pid, signal);
            let _ = target::signal(pid, Signal::CONT);
            let members = all.iter().map(|member| tree::signal(member, &[signal, Signal::CONT]));
            // It is enough that one of them was reached.
            members.fold(leader, |sent, member| member.or(sent))
        } else {
            self.stragglers.unseen.insert(pid);
            let sent = target::signal_with_group(pid, signal);
            let _ = target::signal_with_group(pid, Signal::CONT);
            sent
        }
    }

    /// What is left of the group of a process that has ended.
    pub(super) fn signal_group(&mut self, id: ProcId, signal: Signal, whom: Whom) {
        let Some(pgid) = self.groups.of(id) else { return };
        // Needs no walk. While the leader is a zombie the group's number is nobody else's.
        if signal == Signal::KILL {
            let _ = target::signal_leaderless_group(pgid, signal);
            return;
        }
        // As a rule nobody is left, which shows when the leader is reaped; looking for them would cost a walk through all that run.
        if self.groups.being_reaped == Some(id) {
            self.groups.put_off.push((signal, whom));
        } else if target::group_exists(pgid) {
            self.signal_stragglers(Some(id), signal, whom);
        }
    }

    pub(super) fn signal_stragglers(&mut self, of: Of, signal: Signal, whom: Whom) {
        let walk = match Walk::begin(whom == Whom::Everybody) {
            Ok(walk) => walk,
            Err(error) => return self.signal_unseen(of, signal, &error),
        };
        if signal == Signal::KILL {
            self.stragglers.standing.remove(&of);
            self.break_off_signalling(of);
        } else {
            self.stragglers.standing.insert(of, whom);
            self.stragglers.next_inspection = after_inspection(Instant::now(), Duration::ZERO);
        }
        self.stragglers.under_way.push(Round::new(of, signal, whom, walk));
        self.go_on_signalling();
    }

    /// Without /proc a group can be signalled unseen, once; of the others only an init can reach any.
    fn signal_unseen(&mut self, of: Of, signal: Signal, error: &io::Error) {
        match of {
            Some(id) => {
                if let Some(pgid) = self.groups.of(id).filter(|pgid| self.stragglers.unseen.insert(*pgid)) {
                    let _ = target::signal_group(pgid, signal);
                    let _ = target::signal_group(pgid, Signal::CONT);
                }
            }
            None => {
                let then =
                    if process::is_pid1() { "SIGKILL comes at the deadline" } else { "what daemonised is left behind" };
                if !std::mem::replace(&mut self.stragglers.blind_reported, true) {
                    tracing::warn!("stragglers cannot be seen ({error}); {then}");
                }
            }
        }
    }

    /// One piece of what is under way.
    pub(super) fn go_on_signalling(&mut self) {
        let turn = Turn::of(PIECE);
        while let Some(mut round) = self.stragglers.under_way.pop() {
            if self.go_on_with(&mut round, turn) {
                self.said_of(round);
            } else {
                // First what was ordered first.
                self.stragglers.under_way.push(round);
                return;
            }
        }
    }

    /// What is under way goes no further, and what it came to is said: its stragglers may all have ended before it was done with them.
    pub(super) fn break_off_signalling(&mut self, of: Of) {
        let over: Vec<Round> = self.stragglers.under_way.extract_if(.., |round| round.of == of).collect();
        over.into_iter().for_each(|round| self.said_of(round));
    }

    /// Now that they are gone; `false`: nobody had to be told to go, which is no news.
    pub(super) fn stragglers_were_told(&mut self) -> bool {
        self.break_off_signalling(None);
        std::mem::take(&mut self.stragglers.any_reached)
    }

    /// `true`: everybody has been looked at.
    fn go_on_with(&mut self, round: &mut Round, turn: Turn) -> bool {
        let cpu = process::cpu_time();
        let (signal, outermost) = (round.signal, round.whom == Whom::Outermost);
        let signals = [signal, Signal::CONT];
        let signals = if signal == Signal::KILL { &signals[..1] } else { &signals[..] };
        let over = loop {
            let spare = |pid: i32| self.is_spared(pid, outermost);
            let Some(found) = round.walk.next(&spare) else { break true };
            let again = signal == Signal::KILL || !self.stragglers.asked.has(&found);
            if found.lives
                && again
                && self.is_meant(round.of, &found)
                && round.count(&found, tree::signal(&found, signals))
            {
                self.stragglers.asked.add(&found);
            }
            if turn.is_over() {
                break false;
            }
        };
        let next = after_inspection(Instant::now(), used_since(cpu));
        self.stragglers.next_inspection = self.stragglers.next_inspection.max(next);
        over
    }

    /// What has an owner (a process, a hook, a probe, a helper), or (`asked`) has had a signal.
    fn is_spared(&self, pid: i32, asked: bool) -> bool {
        self.children.contains_key(&pid)
            || self.reporter.writers.owns(pid)
            || asked && self.stragglers.asked.has_child(pid)
    }

    /// Of the group, or (`None`) of none that is waited for: those have their own time.
    fn is_meant(&self, of: Of, found: &Descendant) -> bool {
        match of {
            Some(id) => self.groups.of(id) == Some(found.pgid),
            None => !self.groups.is_watched(found.pgid),
        }
    }

    fn said_of(&mut self, round: Round) {
        let Round { of, signal, reached, named, refused, .. } = round;
        if refused > 0 {
            tracing::warn!(
                "stragglers: {signal} is not permitted to {refused} of them, which run as another user; {NEEDS}"
            );
        }
        if self.stragglers.reached(of, reached) {
            self.reporter.note(Note::Stragglers { signal, count: reached, which: named });
        }
    }

    /// Whether there is somebody who has had no signal.
    pub(super) fn find_stragglers(&mut self) {
        if !self.stragglers.is_inspection_due(Instant::now()) {
            return;
        }
        let (cpu, mut walk) = (process::cpu_time(), Walk::begin(false).ok());
        let spare = |pid: i32| self.is_spared(pid, true);
        let whose = |pgid: i32| self.groups.owner(pgid).filter(|_| self.groups.is_watched(pgid));
        let of = unsignalled(&self.stragglers.standing, || walk.as_mut()?.next(&spare), whose);
        self.stragglers.next_inspection = after_inspection(Instant::now(), used_since(cpu));
        for group in of {
            self.push(Event::Unsignalled { group });
        }
    }
}

/// When to look again after an inspection that has used so much processor time.
fn after_inspection(now: Instant, used: Duration) -> Instant {
    now + LOOK.max(used.saturating_mul(PART))
}

/// Since the thread had used so much.
fn used_since(cpu: Duration) -> Duration {
    process::cpu_time().saturating_sub(cpu)
}

/// Until when one thing may hold the loop.
#[derive(Clone, Copy)]
struct Turn(Instant);

impl Turn {
    fn of(time: Duration) -> Turn {
        Turn(Instant::now() + time)
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Whose stragglers may have had no signal, by what `next` finds of our own children; `whose`: by their group.
fn unsignalled(
    standing: &BTreeMap<Of, Whom>,
    mut next: impl FnMut() -> Option<Descendant>,
    whose: impl Fn(i32) -> Of,
) -> BTreeSet<Of> {
    // Where everybody is to be signalled, the walk of the order itself finds out.
    let deep = standing.iter().filter(|(_, whom)| **whom == Whom::Everybody);
    let mut found: BTreeSet<Of> = deep.map(|(of, _)| *of).collect();
    // As soon as one is found for each, the rest is the orders' to find.
    while found.len() < standing.len()
        && let Some(child) = next()
    {
        found.extend(Some(whose(child.pgid)).filter(|of| child.lives && standing.contains_key(of)));
    }
    found
}

/// The living members of a group below us, but for its leader; whether all could be looked at in this turn.
fn members(pgid: i32, turn: Turn) -> io::Result<(Vec<Descendant>, bool)> {
    let mut walk = Walk::begin(true)?;
    let mut members = Vec::new();
    while let Some(found) = walk.next(&|_| false) {
        if found.pgid == pgid && found.lives {
            members.push(found);
        }
        if turn.is_over() {
            return Ok((members, false));
        }
    }
    Ok((members, true))
}

/// What several looks at a group's members have found, its leader apart: until one finds nobody new. `false`: one of them could not
/// see all, or none; then whoever it saw is in there, too.
fn whoever_joins(
    leader: i32,
    mut look: impl FnMut() -> io::Result<(Vec<Descendant>, bool)>,
) -> (Vec<Descendant>, bool) {
    let (mut all, mut known) = (Vec::new(), HashSet::from([leader]));
    for _ in 0..LOOKS {
        let (members, complete) = look().unwrap_or_default();
        let fresh: Vec<Descendant> = members.into_iter().filter(|member| known.insert(member.pid)).collect();
        let none = fresh.is_empty();
        all.extend(fresh);
        if !complete || none {
            return (all, complete);
        }
    }
    (all, true)
}

#[cfg(test)]
mod tests;
