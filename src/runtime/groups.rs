//! The process groups that processes lead. Of one whose leader has ended the end is waited for: it is looked at.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::shell::{Shell, is_due};
use crate::lifecycle::action::Whom;
use crate::lifecycle::event::{Event, ProcId};
use crate::report::Note;
use crate::signal::Signal;
use crate::sys::target;

/// This often, besides whenever a child of ours ends: the members may have parents of their own.
const LOOK: Duration = Duration::from_millis(100);

/// The group of each process's latest run.
pub(super) struct Groups {
    latest: Vec<Option<i32>>,
    /// By the group's number.
    owners: HashMap<i32, ProcId>,
    /// Those whose leader has ended, and whose end is waited for; whether the log knows.
    left: BTreeMap<ProcId, bool>,
    next_inspection: Instant,
    /// The one whose leader is a zombie that is about to be reaped, and what is to be sent to it then.
    pub(super) being_reaped: Option<ProcId>,
    pub(super) put_off: Vec<(Signal, Whom)>,
}

impl Groups {
    pub(super) fn new(processes: usize) -> Groups {
        Groups {
            latest: vec![None; processes],
            owners: HashMap::new(),
            left: BTreeMap::new(),
            next_inspection: Instant::now(),
            being_reaped: None,
            put_off: Vec::new(),
        }
    }

    /// After a reload there are so many, and others at these places.
    pub(super) fn adopt(&mut self, processes: usize, others: &[usize]) {
        self.latest.resize(processes, None);
        for id in others {
            self.latest[*id] = None;
            self.left.remove(&ProcId(*id));
        }
    }

    /// Its number, which is its leader's pid.
    pub(super) fn of(&self, id: ProcId) -> Option<i32> {
        self.latest[id.0]
    }

    /// Whose it is.
    pub(super) fn owner(&self, pgid: i32) -> Option<ProcId> {
        self.owners.get(&pgid).copied()
    }

    /// A process runs. Whatever is left of its group before is not waited for any more.
    pub(super) fn begin(&mut self, id: ProcId, pid: i32) {
        if let Some(before) = self.latest[id.0].replace(pid)
            && self.owner(before) == Some(id)
        {
            self.owners.remove(&before);
        }
        self.owners.insert(pid, id);
        self.left.remove(&id);
    }

    /// The leader has ended.
    pub(super) fn watch(&mut self, id: ProcId) {
        if self.next_inspection().is_none() {
            self.next_inspection = Instant::now() + LOOK;
        }
        if self.of(id).is_some() {
            self.left.insert(id, false);
        }
    }

    pub(super) fn is_watched(&self, pgid: i32) -> bool {
        self.owner(pgid).is_some_and(|id| self.left.contains_key(&id))
    }

    fn watched(&self) -> impl Iterator<Item = ProcId> {
        self.left.keys().copied()
    }

    /// `None`: there is nothing to wait for.
    pub(super) fn next_inspection(&self) -> Option<Instant> {
        (!self.left.is_empty()).then_some(self.next_inspection)
    }

    /// The one is waited for no longer.
    fn forget(&mut self, id: ProcId) {
        self.left.remove(&id);
    }

    /// Those that have not been told of; now they have.
    fn tell(&mut self) -> Vec<ProcId> {
        let new = |(id, known): (&ProcId, &mut bool)| (!std::mem::replace(known, true)).then_some(*id);
        self.left.iter_mut().filter_map(new).collect()
    }
}

impl Shell {
    /// Whenever it is time.
    pub(super) fn inspect_groups_again(&mut self, now: Instant) {
        if !is_due(self.groups.next_inspection(), now) {
            return;
        }
        self.groups.next_inspection = now + LOOK;
        self.inspect_groups();
        // What is still there after a while is worth a line; most are gone at once.
        for process in self.groups.tell() {
            let signalled = self.stragglers.signalled(process);
            let process = self.plan.name(process.0).to_string();
            self.reporter.note(Note::GroupLeft { process, signalled });
        }
    }

    pub(super) fn inspect_groups(&mut self) {
        for process in self.groups.watched().collect::<Vec<_>>() {
            if !self.groups.of(process).is_some_and(target::group_exists) {
                self.groups.forget(process);
                self.stragglers.forget(process);
                self.push(Event::GroupEmpty { process });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ProcId = ProcId(0);
    const B: ProcId = ProcId(1);

    fn two() -> Groups {
        let mut groups = Groups::new(3);
        groups.begin(A, 100);
        groups.begin(B, 200);
        groups
    }

    #[test]
    fn a_group_is_its_process_s_for_as_long_as_it_has_no_other() {
        let mut groups = two();
        assert_eq!((groups.of(A), groups.of(B), groups.of(ProcId(2))), (Some(100), Some(200), None));
        assert_eq!((groups.owner(100), groups.owner(200), groups.owner(300)), (Some(A), Some(B), None));
        groups.watch(A);
        groups.forget(A);
        assert_eq!((groups.of(A), groups.owner(100)), (Some(100), Some(A)));
        groups.begin(A, 300);
        assert_eq!((groups.of(A), groups.owner(100), groups.owner(300)), (Some(300), None, Some(A)));
    }

    #[test]
    fn only_what_an_ended_leader_has_left_is_looked_at_and_each_is_told_of_once() {
        let mut groups = two();
        assert!(groups.next_inspection().is_none() && groups.tell().is_empty() && !groups.is_watched(100));
        let before = Instant::now();
        groups.watch(A);
        let first = groups.next_inspection().unwrap();
        assert!(first >= before + LOOK && first <= Instant::now() + LOOK);
        groups.watch(B);
        assert_eq!(groups.next_inspection(), Some(first), "the first one waits no longer because of a second");
        groups.forget(B);
        assert!(groups.is_watched(100) && !groups.is_watched(200) && !groups.is_watched(300));
        assert_eq!(groups.watched().collect::<Vec<_>>(), [A]);
        assert_eq!((groups.tell(), groups.tell()), (vec![A], vec![]));
        assert!(groups.next_inspection().is_some(), "to be told of is not to be gone");
        groups.forget(A);
        assert!(groups.next_inspection().is_none());
    }

    /// Members that survive SIGKILL do not keep their process from running again.
    #[test]
    fn with_a_new_run_what_the_last_one_left_is_waited_for_no_longer() {
        let mut groups = two();
        groups.watch(A);
        groups.begin(A, 300);
        assert!(groups.next_inspection().is_none() && !groups.is_watched(300) && groups.tell().is_empty());
        groups.watch(A);
        assert_eq!(groups.tell(), [A]);
    }
}
