//! What processes leave behind: looked for, signalled, each once. Whom, when and with what is the machine's to say.
//!
//! Thousands are signalled piece by piece, so that the loop turns in between; and looked for less often the longer that takes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::perform::NEEDS;
use super::shell::Shell;
use crate::lifecycle::action::Whom;
use crate::lifecycle::event::{Event, ProcId};
use crate::report::Note;
use crate::signal::Signal;
use crate::sys::asked::Asked;
use crate::sys::strangers::Strangers;
use crate::sys::tree::{self, CROWD, Descendant, Walk};
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
/// Counted this often during the stop, and from its first instant on where there may be a crowd, before that keeps the processor from us; or less
/// often: counting takes no more than [`PART`] of the time.
const COUNT: Duration = Duration::from_millis(250);
/// And no more of our processor time at once: whoever has had much must wait long for more, where there is little.
const COUNTED: Duration = Duration::from_millis(1);

/// `None`: those that belong to no group that is waited for.
type Of = Option<ProcId>;

pub(super) struct Stragglers {
    pub asked: Asked,
    /// Whom the machine has ordered to be signalled: those who come later are told of.
    standing: BTreeMap<Of, Whom>,
    under_way: Vec<Round>,
    next_inspection: Instant,
    /// `None`: the stop has not begun.
    next_count: Option<Instant>,
    count_under_way: bool,
    /// Not as PID 1: a count that is under way, and how many so far.
    counting: Option<(Walk, usize)>,
    /// As PID 1: whom the count has found beside us.
    pub strangers: Strangers,
    /// The crowd that the machine knows of, and how long softstop had waited for the processor.
    crowd: (usize, Duration),
    /// Somebody was told to go.
    told: bool,
    /// That they cannot be seen was said.
    blind_told: bool,
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
        let now = Instant::now();
        Stragglers {
            asked: Asked::default(),
            standing: BTreeMap::new(),
            under_way: Vec::new(),
            next_inspection: now,
            next_count: None,
            count_under_way: false,
            counting: None,
            strangers: Strangers::default(),
            crowd: (0, Duration::ZERO),
            told: false,
            blind_told: false,
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
        let count = self.next_count.filter(|_| self.count_under_way);
        self.next_inspection().into_iter().chain(count).min()
    }

    /// How many of its group have been sent a signal since it ended.
    pub(super) fn signalled(&self, process: ProcId) -> usize {
        self.signalled.get(&process).copied().unwrap_or_default()
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
        let until = Instant::now() + MEMBERS;
        let (all, complete) = whoever_joins(pid, || members(pid, until));
        all.iter().for_each(|member| self.stragglers.asked.add(member));
        if !complete {
            self.stragglers.unseen.insert(pid);
            let sent = target::signal_with_group(pid, signal);
            let _ = target::signal_with_group(pid, Signal::CONT);
            return sent;
        }
        // Its leader first: a shell must not see its child die before it is told itself.
        let mut sent = target::signal(pid, signal);
        let _ = target::signal(pid, Signal::CONT);
        for member in &all {
            if tree::signal(member, &[signal, Signal::CONT]).is_ok() {
                sent = Ok(());
            }
        }
        sent
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
            self.stragglers.next_inspection = Instant::now() + LOOK;
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
                if !std::mem::replace(&mut self.stragglers.blind_told, true) {
                    tracing::warn!("stragglers cannot be seen ({error}); {then}");
                }
            }
        }
    }

    /// One piece of what is under way.
    pub(super) fn go_on_signalling(&mut self) {
        let until = Instant::now() + PIECE;
        while let Some(mut round) = self.stragglers.under_way.pop() {
            if self.go_on_with(&mut round, until) {
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
        std::mem::take(&mut self.stragglers.told)
    }

    /// `true`: everybody has been looked at.
    fn go_on_with(&mut self, round: &mut Round, until: Instant) -> bool {
        let cpu = process::cpu_time();
        let (signal, outermost) = (round.signal, round.whom == Whom::Outermost);
        let signals = [signal, Signal::CONT];
        let signals = if signal == Signal::KILL { &signals[..1] } else { &signals[..] };
        let over = loop {
            let asked = &self.stragglers.asked;
            let spare = |pid: i32| {
                self.children.contains_key(&pid)
                    || self.reporter.writers.owns(pid)
                    || outermost && signal != Signal::KILL && asked.has_child(pid)
            };
            let Some(found) = round.walk.next(&spare) else { break true };
            let again = signal == Signal::KILL || !asked.has(&found);
            if found.lives
                && again
                && self.is_meant(round.of, &found)
                && round.count(&found, tree::signal(&found, signals))
            {
                self.stragglers.asked.add(&found);
            }
            if Instant::now() >= until {
                break false;
            }
        };
        self.stragglers.next_inspection = self.stragglers.next_inspection.max(after_inspection(cpu));
        over
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
        match of {
            Some(id) => *self.stragglers.signalled.entry(id).or_default() += reached,
            None if reached > 0 => {
                self.stragglers.told = true;
                self.reporter.note(Note::Stragglers { signal, count: reached, which: named });
            }
            None => {}
        }
    }

    /// Whether there is somebody who has had no signal.
    pub(super) fn find_stragglers(&mut self) {
        let cpu = process::cpu_time();
        if self.stragglers.next_inspection().is_none_or(|at| at > Instant::now()) || self.stragglers.under_way() {
            return;
        }
        let mut of: BTreeSet<Of> = BTreeSet::new();
        // The orders' own walk finds out.
        of.extend(self.stragglers.standing.iter().filter(|(_, whom)| **whom == Whom::Everybody).map(|(of, _)| *of));
        if let Ok(mut walk) = Walk::begin(false) {
            let asked = &self.stragglers.asked;
            let spare =
                |pid: i32| self.children.contains_key(&pid) || self.reporter.writers.owns(pid) || asked.has_child(pid);
            // As soon as one is found for each, the rest is the orders' to find.
            while of.len() < self.stragglers.standing.len()
                && let Some(found) = walk.next(&spare)
            {
                let whose = self.groups.owner(found.pgid).filter(|_| self.groups.is_watched(found.pgid));
                of.extend(Some(whose).filter(|of| found.lives && self.stragglers.standing.contains_key(of)));
            }
        }
        self.stragglers.next_inspection = after_inspection(cpu);
        for group in of {
            self.push(Event::Unsignalled { group });
        }
    }

    /// During the stop: how many processes will have to be ended, and how long that may have to wait for the processor.
    pub(super) fn count_the_crowd(&mut self) {
        if !self.machine.borrow().stopping() {
            return;
        }
        if self.stragglers.next_count.is_none() {
            let wait = if tree::was_never_a_crowd() { COUNT } else { Duration::ZERO };
            self.stragglers.next_count = Some(Instant::now() + wait);
        }
        let (known, count) = (self.stragglers.crowd, self.count());
        let (processes, waited) = (count.map_or(known.0, |count| count.max(known.0)), self.starvation.waited());
        if processes > CROWD && (processes > known.0 || waited > known.1) {
            // Before they keep the processor from us.
            let _ = process::raise_priority();
            self.stragglers.crowd = (processes, waited);
            self.push(Event::Crowd { processes, waited });
        }
    }

    /// One piece of it, and how many are known now; `None`: not due.
    fn count(&mut self) -> Option<usize> {
        let (now, cpu) = (Instant::now(), process::cpu_time());
        if self.stragglers.next_count.is_none_or(|at| now < at) {
            return None;
        }
        let begun = self.stragglers.counting.take();
        let (over, counted) = if process::is_pid1() {
            // All of the namespace are ours, but for strangers, whom the last SIGKILL has to pass by.
            let strangers = &mut self.stragglers.strangers;
            let counted = strangers.list().ok();
            // Listing all takes its time, too. Who is starved has none to look ahead: ending the others in time comes first.
            let used = || process::cpu_time().saturating_sub(cpu);
            let starved = || !self.starvation.waited().is_zero() || now.elapsed() >= PIECE.max(2 * used());
            let room = COUNTED.max(2 * used());
            while !starved() && used() < room && strangers.inspect_one().is_some() {}
            (starved() || strangers.unknown() == 0, counted)
        } else if let Some((mut walk, mut count)) = begun.or_else(|| Some((Walk::begin(true).ok()?, 0))) {
            let mut over = false;
            while !over && process::cpu_time().saturating_sub(cpu) < COUNTED {
                over = walk.next(&|_| false).is_none();
                count += usize::from(!over);
            }
            self.stragglers.counting = (!over).then_some((walk, count));
            (over, Some(count))
        } else {
            (true, None)
        };
        let pause = now.elapsed().saturating_mul(PART);
        self.stragglers.count_under_way = !over;
        self.stragglers.next_count = Some(Instant::now() + if over { COUNT.max(pause) } else { COUNT.min(pause) });
        counted
    }
}

/// When to look again after one that began at this [`process::cpu_time`].
fn after_inspection(began: Duration) -> Instant {
    Instant::now() + LOOK.max(process::cpu_time().saturating_sub(began).saturating_mul(PART))
}

/// The living members of a group below us, but for its leader; whether all could be looked at before `until`.
fn members(pgid: i32, until: Instant) -> io::Result<(Vec<Descendant>, bool)> {
    let mut walk = Walk::begin(true)?;
    let mut members = Vec::new();
    while let Some(found) = walk.next(&|_| false) {
        if found.pgid == pgid && found.lives {
            members.push(found);
        }
        if Instant::now() >= until {
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
