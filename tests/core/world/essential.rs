//! What is kept for essential steps (docs/stop/budget.md, "When little is left"), from the settings alone: whatever moved the deadline or
//! kept softstop from running, such a step gets its reserve or its part of three quarters of what is left.

use std::time::Duration;

use softstop::config::Step;
use softstop::facts::Place;
use softstop::plan::budget::{fraction, task_length};
use softstop::report::{Note, TaskResult};
use softstop::time::At;

use super::checks::MS;
use super::{Checked, World, broken};

/// Of `kill_reserve`, once the kubelet's last two seconds have begun.
const LAST_RESERVE: Duration = Duration::from_millis(500);

impl World {
    pub(super) fn check_essential(&mut self, note: &Note) -> Checked {
        let (kind, name, slice) = match note {
            Note::StepBegan { kind, name, slice, .. } => (*kind, name, Some(slice.0)),
            Note::StepSkipped { kind, name, result: TaskResult::NoTime } => (*kind, name, None),
            _ => return Ok(()),
        };
        let c = self.config.clone();
        let place: Vec<usize> = name.split(' ').filter_map(|word| word.parse().ok()).collect();
        let steps = if kind == Place::Drain { &c.drain } else { &c.post_stop };
        let step = &steps[place[0]];
        let Some(reserve) = step.reserve.filter(|_| step.essential) else { return Ok(()) };
        let left = self.actual_deadline(kind).left(self.now);
        self.checked(7);
        let Some(slice) = slice else {
            let skipped = format!("{name:?}, which is essential, is skipped with {left:?} left");
            return if left > MS && reserve > MS { broken("I7", skipped) } else { Ok(()) };
        };
        let held = |steps: &[Step]| steps.iter().filter(|s| s.essential).filter_map(|s| s.reserve).sum::<Duration>();
        let later = if kind == Place::Drain { held(&c.post_stop) } else { Duration::ZERO };
        let essential = held(&steps[place[0]..]) + later;
        let kept = reserve.min(fraction(left - left / 4, reserve, essential));
        let kept = task_length(&step.tasks[place[1]]).map_or(kept, |t| t.min(kept));
        if slice + MS < kept {
            return broken("I7", format!("{slice:?} for {name:?}, which is essential, of {kept:?} kept for it"));
        }
        Ok(())
    }

    /// Also after it has moved up, or when a sidecar's own turn comes at the very end.
    fn actual_deadline(&self, kind: Place) -> At {
        let Some(stop) = self.stop.as_ref().filter(|s| !s.by_hand) else { return At::ZERO };
        let (grace, kill) = (self.config.grace, self.config.kill_reserve.min(self.config.grace));
        let planned = stop.t0 + (grace - kill);
        match stop.end {
            end if end < stop.t0 + grace => planned.min(end - kill.min(LAST_RESERVE)),
            end if end > stop.t0 + grace && kind == Place::PostStop => end - kill.min(LAST_RESERVE),
            _ => planned,
        }
    }
}
