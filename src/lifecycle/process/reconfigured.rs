//! What a reload does to a process: other settings while it is what it is, or its end. Pure.

use super::{Around, Change, End, Proc, Running, State};
use crate::config::Process;
use crate::lifecycle::action::ProbeKind;
use crate::lifecycle::effects::Effects;
use crate::lifecycle::health::ProbeRun;

impl Proc {
    /// It was taken out: it is stopped, if it runs, and gone.
    pub(super) fn remove(&mut self, at: &Around<'_>, fx: &mut Effects) -> Change {
        (self.again, self.hold) = (false, false);
        match &self.state {
            State::Running(_) => self.stop_to_restart(at, fx),
            State::Starting | State::Stopping(_) | State::GroupTermination(_) => Change::default(),
            State::Ended(End::Unkillable { .. } | End::Removed) => Change::default(),
            State::Waiting | State::Backoff { .. } | State::Held { .. } | State::Ended(_) => {
                self.state = State::Ended(End::Removed);
                Change::some()
            }
        }
    }

    /// It goes on with other settings, from now on.
    pub(super) fn reconfigured(&mut self, was: Option<&Process>, at: &Around<'_>, fx: &mut Effects) -> Change {
        let config = at.config();
        (self.is_task, self.is_scheduled) = (at.plan.is_task(at.id.0), config.schedule.is_some());
        let was_autostart = was.map_or(config.autostart, |was| was.autostart);
        match &mut self.state {
            State::Running(r) => r.reconfigured(was, at, fx),
            // It would be up by now, or would not.
            State::Held { by_order: false } if config.autostart && !was_autostart => self.start_over(),
            State::Waiting if !config.autostart && was_autostart && !self.again => {
                self.state = State::Held { by_order: false };
            }
            // What it waits for may be another one.
            State::Ended(End::CannotStart { .. }) => self.start_over(),
            _ => {}
        }
        Change::some()
    }
}

impl Running {
    fn reconfigured(&mut self, was: Option<&Process>, at: &Around<'_>, fx: &mut Effects) {
        for kind in [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness] {
            let (before, probe) = (was.and_then(|was| was.probe(kind)), at.plan.probe(at.id.0, kind));
            if before == probe {
                continue;
            }
            let run = self.body.probes.iter_mut().find(|run| run.kind == kind);
            match (run, probe) {
                (Some(run), Some(_)) => run.begin_again(at.now, fx),
                (Some(run), None) => {
                    run.end(fx);
                    self.body.probes.retain(|run| run.kind != kind);
                }
                // It is past its startup.
                (None, Some(probe)) if kind != ProbeKind::Startup && self.started => {
                    self.body.probes.push(ProbeRun::begin(kind, at.id, probe, at.now, at.now));
                }
                (None, _) => {}
            }
            if kind == ProbeKind::Startup && probe.is_none() && !self.started && at.config().notify.is_none() {
                self.is_started(at);
            }
        }
    }
}
