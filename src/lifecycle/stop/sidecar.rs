//! What is different for a sidecar (`[sidecar]`, docs/sidecar.md): the processes that the stop is about are another container's. Pure.
//!
//! A preStop hook of the main container comes here first; then the kubelet stops that container, with what is left of the one
//! grace; then, or when the grace is over, it is a native sidecar's turn (kuberuntime_termination_order.go). So after a drain by
//! order a sidecar waits for its own SIGTERM until the grace is over. When it comes that late, two seconds are left to it.

use std::time::Duration;

use super::{MINIMUM_GRACE, Stop};
use crate::plan::budget::Budget;
use crate::time::At;

/// What of [`MINIMUM_GRACE`] is the kill reserve.
pub(super) fn minimum_reserve(budget: &Budget) -> Duration {
    budget.kill_reserve.min(MINIMUM_GRACE / 4)
}

impl Stop {
    /// Only the drain was ordered: the end comes as much later as the kubelet leaves a sidecar whose turn comes with the end of
    /// the grace. The drain has no part in it.
    pub(super) fn grant_last_turn(&mut self, planned: &Budget) {
        self.end = planned.end(self.t0) + MINIMUM_GRACE;
        self.deadline = self.end - minimum_reserve(&self.budget);
        self.last_turn = true;
    }

    /// What the drain's steps count with.
    pub(super) fn drain_deadline(&self, planned: &Budget) -> At {
        if self.last_turn { self.deadline.min(planned.deadline(self.t0)) } else { self.deadline }
    }

    /// SIGTERM or the like: it is this container's turn.
    pub(super) fn turn_has_come(&mut self, planned: &Budget, now: At) {
        if std::mem::take(&mut self.last_turn) {
            let end = self.end.min(planned.end(self.t0).max(now + MINIMUM_GRACE));
            // With time enough the reserve is the configured one.
            let is_late = end > planned.end(self.t0);
            let reserve = if is_late { minimum_reserve(&self.budget) } else { self.budget.kill_reserve };
            (self.end, self.deadline) = (end, self.deadline.min(end - reserve));
        }
    }

    /// So long the processes go on after a drain by order.
    pub(super) fn hold_until(&self, planned: &Budget) -> At {
        if self.last_turn {
            planned.end(self.t0)
        } else {
            // What the stop of the processes and everything after it hold is theirs.
            self.deadline - (self.budget.stop + self.budget.after_stop())
        }
    }
}
