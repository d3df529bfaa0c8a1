//! What is true in every phase: the processes, and what is known of them. Pure.

use std::rc::Rc;

use super::changes::Changes;
use super::effects::Effects;
use super::event::ProcId;
use super::process::{Around, Change, End, Input, State};
use super::processes::{Fact, Processes};
use super::reload::Renewal;
use super::requests::Pending;
use super::stop::Stop;
use crate::config::Condition;
use crate::facts::Hopeless;
use crate::plan::Plan;
use crate::report::{Note, SignalMeaning};
use crate::signal::Signal;
use crate::time::At;

#[derive(Clone, Debug)]
pub(super) struct Core {
    pub plan: Rc<Plan>,
    pub now: At,
    pub processes: Processes,
    pub fx: Effects,
    /// That all is ready is said once.
    pub announced_ready: bool,
    pub orphans_reaped: u64,
    /// Taken out of service by `softstop unready`.
    pub unready: bool,
    /// Orders that wait for their answers.
    pub asks: Vec<Pending>,
    /// What of a reload is still to come.
    pub renewal: Renewal,
    /// Files that have changed, and what is being done about them.
    pub changes: Changes,
    /// What the log has said of signals; each once.
    pub explained: Vec<SignalMeaning>,
    /// Limits of softstop's own that were reached and said, by their signals: two at the most.
    pub limits_said: Vec<Signal>,
}

impl Core {
    pub fn new(plan: Plan) -> Core {
        Core {
            processes: Processes::new(&plan),
            plan: Rc::new(plan),
            now: At::ZERO,
            fx: Effects::default(),
            announced_ready: false,
            orphans_reaped: 0,
            unready: false,
            asks: Vec::new(),
            renewal: Renewal::default(),
            changes: Changes::default(),
            explained: Vec::new(),
            limits_said: Vec::new(),
        }
    }

    /// An input for one process. What it changes for the stop is done; the rest, its [`Change`] says.
    pub fn take(&mut self, id: ProcId, input: Input<'_>, stop: Option<&mut Stop>) -> Change {
        let (plan, now) = (&self.plan, self.now);
        let around = Around { id, plan, now, stop: stop.as_deref() };
        let change = self.processes.change(id.0, plan, now, &mut self.fx, |p, fx| {
            let change = p.take(input, &around, fx);
            p.forced |= change.forced && around.stop.is_some();
            change
        });
        if let Some(stop) = stop {
            stop.on_change(id, &change);
        }
        change
    }

    pub fn ids(&self) -> impl Iterator<Item = ProcId> + use<> {
        (0..self.processes.len()).map(ProcId)
    }

    pub fn name(&self, process: ProcId) -> String {
        self.plan.name(process.0).to_string()
    }

    pub fn note(&mut self, note: Note) {
        self.fx.note(note);
    }

    pub fn is_sidecar(&self) -> bool {
        self.plan.config.sidecar.is_some()
    }

    /// A sidecar's processes are in another container, and are not seen here.
    pub fn nobody_runs(&self) -> bool {
        !self.is_sidecar() && !self.processes.any(Fact::Exists)
    }

    /// The dependency holds now, or has once (a start is decided once).
    pub fn fulfilled(&self, on: usize, condition: Condition) -> bool {
        self.processes[on].was().fulfils(condition)
    }

    /// The dependency can never hold any more; and why.
    pub fn hopeless(&self, on: usize, condition: Condition) -> Option<Hopeless> {
        let State::Ended(end) = &self.processes[on].state else { return None };
        if self.fulfilled(on, condition) {
            return None;
        }
        Some(match (end, condition) {
            (End::Exited(_), _) if self.processes[on].succeeded() => Hopeless::Completed,
            (End::Exited(_), _) => Hopeless::Failed,
            (End::StartFailed { .. }, _) => Hopeless::NotStarted,
            _ => Hopeless::WaitsInVain,
        })
    }
}

/// All but the plan, which a reload alone changes: that is counted.
impl std::hash::Hash for Core {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.now, &self.processes, &self.fx, self.announced_ready, self.orphans_reaped).hash(state);
        (self.unready, &self.asks, &self.explained, &self.limits_said).hash(state);
        (&self.renewal, &self.changes).hash(state);
    }
}
