//! The process groups that processes lead. Of one whose leader has ended the end is waited for: it is looked at.

use std::time::Duration;

use tokio::time::Instant;

use super::shell::Shell;
use crate::lifecycle::event::{Event, ProcId};
use crate::report::Note;
use crate::sys::target;

/// This often, besides whenever a child of ours ends: the members may have parents of their own.
const LOOK: Duration = Duration::from_millis(100);

/// What is left of a group, after its leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Left {
    New,
    /// The log knows.
    Told,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    pgid: i32,
    /// Its leader has ended, and its end is waited for.
    left: Option<Left>,
}

/// The group of each process's latest run.
pub(super) struct Groups {
    latest: Vec<Option<Group>>,
    next_look: Instant,
}

impl Groups {
    pub(super) fn new(processes: usize) -> Groups {
        Groups { latest: vec![None; processes], next_look: Instant::now() }
    }

    /// Its number, which is its leader's pid.
    pub(super) fn of(&self, id: ProcId) -> Option<i32> {
        self.latest[id.0].map(|group| group.pgid)
    }

    /// Whose it is.
    pub(super) fn owner(&self, pgid: i32) -> Option<ProcId> {
        self.latest.iter().position(|group| group.is_some_and(|group| group.pgid == pgid)).map(ProcId)
    }

    /// A process runs. Whatever is left of its group before is not waited for any more.
    pub(super) fn begin(&mut self, id: ProcId, pid: i32) {
        self.latest[id.0] = Some(Group { pgid: pid, left: None });
    }

    /// The leader has ended.
    pub(super) fn watch(&mut self, id: ProcId) {
        if self.next_look().is_none() {
            self.next_look = Instant::now() + LOOK;
        }
        if let Some(group) = &mut self.latest[id.0] {
            group.left = Some(Left::New);
        }
    }

    pub(super) fn is_watched(&self, pgid: i32) -> bool {
        self.watched().any(|id| self.of(id) == Some(pgid))
    }

    fn watched(&self) -> impl Iterator<Item = ProcId> {
        let all = self.latest.iter().enumerate();
        all.filter(|(_, group)| group.is_some_and(|group| group.left.is_some())).map(|(id, _)| ProcId(id))
    }

    /// `None`: there is nothing to wait for.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.watched().next().is_some().then_some(self.next_look)
    }

    /// The one is waited for no longer.
    fn forget(&mut self, id: ProcId) {
        if let Some(group) = &mut self.latest[id.0] {
            group.left = None;
        }
    }

    /// Those that have not been told of; now they have.
    fn tell(&mut self) -> Vec<ProcId> {
        let groups = self.latest.iter_mut().enumerate().filter_map(|(id, group)| Some((id, group.as_mut()?)));
        let new = groups.filter(|(_, group)| group.left == Some(Left::New));
        new.map(|(id, group)| {
            group.left = Some(Left::Told);
            ProcId(id)
        })
        .collect()
    }
}

impl Shell {
    /// Whenever it is time.
    pub(super) fn look_at_groups_again(&mut self, now: Instant) {
        if self.groups.next_look().is_none_or(|at| at > now) {
            return;
        }
        self.groups.next_look = now + LOOK;
        self.look_at_groups();
        // What is still there after a while is worth a line; most are gone at once.
        for process in self.groups.tell() {
            let signalled = self.stragglers.signalled(process);
            let process = self.plan.name(process.0).to_string();
            self.account.note(Note::GroupLeft { process, signalled });
        }
    }

    pub(super) fn look_at_groups(&mut self) {
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
        assert!(groups.next_look().is_none() && groups.tell().is_empty() && !groups.is_watched(100));
        let before = Instant::now();
        groups.watch(A);
        let first = groups.next_look().unwrap();
        assert!(first >= before + LOOK && first <= Instant::now() + LOOK);
        groups.watch(B);
        assert_eq!(groups.next_look(), Some(first), "the first one waits no longer because of a second");
        groups.forget(B);
        assert!(groups.is_watched(100) && !groups.is_watched(200) && !groups.is_watched(300));
        assert_eq!(groups.watched().collect::<Vec<_>>(), [A]);
        assert_eq!((groups.tell(), groups.tell()), (vec![A], vec![]));
        assert!(groups.next_look().is_some(), "to be told of is not to be gone");
        groups.forget(A);
        assert!(groups.next_look().is_none());
    }

    /// Members that survive SIGKILL do not keep their process from running again.
    #[test]
    fn with_a_new_run_what_the_last_one_left_is_waited_for_no_longer() {
        let mut groups = two();
        groups.watch(A);
        groups.begin(A, 300);
        assert!(groups.next_look().is_none() && !groups.is_watched(300) && groups.tell().is_empty());
        groups.watch(A);
        assert_eq!(groups.tell(), [A]);
    }
}
