//! The machine as `/status`, `/metrics` and the probe endpoints show it. Pure.

use super::event::{Exit, ProcId};
use super::health::ProbeRun;
use super::process::{End, PostStart, Proc, Running, State};
use super::processes::Fact;
use super::stop;
use super::task::TaskRun;
use super::{Machine, Phase};
use crate::config::ReadinessOnDrain;
use crate::facts::{Place, Trouble};
use crate::lifecycle::action::ProbeKind;
use crate::plan::Plan;
use crate::report::TaskProgress;
use crate::status::{
    self, LastExit, LastRun, ProcessStatus, ScheduleStatus, Stage, Status, StopStatus, TaskStatus, Why,
};
use crate::time::At;

impl Machine {
    /// `/readyz`: every process is ready or has completed, and nobody has asked for the stop (policy `fail`).
    pub fn ready(&self) -> bool {
        let stopping = self.stopping() && self.core.plan.config.readiness_on_drain == ReadinessOnDrain::Fail;
        let up = self.phase.came_up() && !self.finished();
        up && !stopping && !self.core.unready && !self.core.processes.any(Fact::NotReady)
    }

    /// `/startupz`: init is done and every process has been started or has completed.
    pub fn started(&self) -> bool {
        self.phase.came_up() && !self.core.processes.any(Fact::NeverStarted)
    }

    /// `/livez`: no liveness result stands against any process, and none with a liveness probe has ended for good. Stays true
    /// through the drain.
    pub fn live(&self) -> bool {
        self.stopping() || !self.core.processes.any(Fact::NotLive)
    }

    /// The same of one process: during the stop it may end, and one that a reload has taken out counts no more.
    fn is_live(&self, process: usize) -> bool {
        let unhealthy = self.core.processes[process].unhealthy;
        !self.core.processes.is(process, Fact::NotLive) || self.stopping() && !unhealthy
    }

    fn phase_word(&self) -> status::Phase {
        let failed = |p: &Proc| !p.succeeded() && p.ended() && !p.is_removed();
        match (self.finished(), self.started()) {
            (true, _) if self.core.processes.iter().any(failed) => status::Phase::Failed,
            (true, _) => status::Phase::Succeeded,
            (false, true) => status::Phase::Running,
            (false, false) => status::Phase::Pending,
        }
    }

    pub fn status(&self, now: At) -> Status {
        let init = match &self.phase {
            Phase::Init { task } => Some(TaskStatus {
                name: self.core.plan.task_name(task.what),
                running: now.since(task.began),
                progress: task.progress_log.awaited().cloned(),
            }),
            _ => None,
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            phase: self.phase_word(),
            started: self.started(),
            ready: self.ready(),
            unready: self.core.unready,
            live: self.live(),
            uptime: now.since_start(),
            grace: self.core.plan.budget.grace,
            init,
            processes: self.present().map(|i| self.process_status(ProcId(i), now)).collect(),
            stop: self.stop_status(now),
            orphans_reaped: self.core.orphans_reaped,
            // The rest the runtime knows.
            ..Status::default()
        }
    }

    /// All but those that a reload has taken out.
    fn present(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.core.processes.len()).filter(|i| !self.core.processes[*i].is_removed())
    }

    fn process_status(&self, id: ProcId, now: At) -> ProcessStatus {
        let p = &self.core.processes[id.0];
        let restart_in = match p.state {
            State::Backoff { until } => Some(until.left(now)),
            _ => None,
        };
        let (state, reason, message) = self.state_of(id);
        ProcessStatus {
            id: id.0,
            name: self.core.name(id),
            state,
            reason,
            message,
            pid: p.pid(),
            started: p.started() || p.succeeded(),
            ready: p.ready(),
            probes: match &p.state {
                State::Running(r) => r.body.probes.iter().map(ProbeRun::status).collect(),
                _ => Vec::new(),
            },
            stopped: p.suspended.is_some(),
            reloading: p.body().is_some_and(|body| body.notices.reloading),
            status: p.body().and_then(|body| body.notices.status.clone()),
            live: self.is_live(id.0),
            kind: self.core.plan.kind(id.0),
            main: self.core.plan.main == Some(id.0),
            restarts: p.restarts,
            probe_failures: self.probes_of(id),
            running: p.body().map(|body| now.since(body.since)),
            restart_in,
            last_exit: p.last_exit.map(|exit| last_exit(exit, p.has_succeeded())),
            schedule: self.schedule_status(id, now),
            ..ProcessStatus::default()
        }
    }

    /// How often they have failed, the runtime knows.
    fn probes_of(&self, id: ProcId) -> Vec<(ProbeKind, u64)> {
        let kinds = ProbeKind::ALL.iter().filter(|kind| self.core.plan.probe(id.0, **kind).is_some());
        kinds.map(|probe| (*probe, 0)).collect()
    }

    fn schedule_status(&self, id: ProcId, now: At) -> Option<ScheduleStatus> {
        let schedule = self.core.plan.config.processes[id.0].schedule.as_ref()?;
        let history = &self.core.processes[id.0].history;
        let last_runs = history.last.iter().map(|run| LastRun {
            ended_ago: now.since(run.ended),
            ran: run.ran,
            exit_code: run.exit.code(),
        });
        Some(ScheduleStatus {
            cron: schedule.cron.to_string(),
            time_zone: schedule.time_zone.clone(),
            next_in: None,
            succeeded: history.succeeded,
            failed: history.failed,
            skipped: history.skipped,
            last_runs: last_runs.collect(),
        })
    }

    /// State, reason and message as Kubernetes has them (reference/kubernetes-lifecycle.md, section 7).
    pub(super) fn state_of(&self, id: ProcId) -> (status::State, Option<Why>, Option<Trouble>) {
        use status::State::{Running, Terminated, Waiting};
        let p = &self.core.processes[id.0];
        let not_started = || p.last_error.clone().map(Trouble::NotStarted);
        let suspended = || p.suspended.map(Trouble::Suspended);
        match &p.state {
            State::Waiting if matches!(self.phase, Phase::New | Phase::Init { .. }) => {
                (Waiting, Some(Why::PodInitializing), None)
            }
            State::Waiting => (Waiting, Some(Why::Dependency), self.waits_for(id)),
            State::Starting => (Waiting, Some(Why::Starting), None),
            State::Backoff { .. } => (Waiting, Some(Why::CrashLoopBackOff), not_started()),
            State::Running(_) if p.suspended.is_some() => (Running, Some(Why::Stopped), suspended()),
            State::Running(r) => (Running, None, not_ready_because(p, r)),
            State::Stopping(_) => (Running, Some(Why::Stopping), suspended()),
            State::GroupTermination(_) => {
                let trouble = if p.is_at_post_exit() { Trouble::PostExit } else { Trouble::Stragglers };
                (Running, Some(Why::Stopping), Some(trouble))
            }
            State::Held { .. } if p.rests_until_its_time() => (Waiting, Some(Why::Scheduled), None),
            State::Held { .. } => {
                let config = &self.core.plan.config.processes[id.0];
                let by_order = config.autostart || config.schedule.is_some();
                (Waiting, Some(Why::Held), Some(Trouble::Held { process: self.core.name(id), by_order }))
            }
            State::Ended(End::Exited(_)) if p.succeeded() && !p.fell_silent => (Terminated, Some(Why::Completed), None),
            State::Ended(End::Exited(exit)) => {
                (Terminated, Some(Why::Error), Some(Trouble::Ended { exit: *exit, service: p.fell_silent }))
            }
            State::Ended(End::StartFailed { .. }) => (Terminated, Some(Why::StartError), not_started()),
            State::Ended(End::CannotStart { on }) => {
                (Waiting, Some(Why::Dependency), Some(Trouble::WaitsInVain { on: self.core.name(*on) }))
            }
            State::Ended(End::NotStarted | End::Removed) => (Waiting, Some(Why::Stopped), None),
            State::Ended(End::Unkillable { .. }) => (Running, Some(Why::Unkillable), None),
        }
    }

    /// What it waits for to be started, and what is missing.
    fn waits_for(&self, id: ProcId) -> Option<Trouble> {
        let after = &self.core.plan.config.processes[id.0].after;
        let missing = after.iter().find(|(on, condition)| !self.core.fulfilled(*on, *condition)).copied();
        let (on, condition) = missing.or(self.core.waits_for_restart(id.0))?;
        let held = matches!(self.core.processes[on].state, State::Held { .. });
        Some(Trouble::WaitsFor { on: self.core.plan.name(on).to_string(), condition, held })
    }

    fn stop_status(&self, now: At) -> Option<StopStatus> {
        let stop = self.phase.stop()?;
        let (stage, step, until) = stop.stage.shown(&self.core.plan);
        let deadline_in = stop.deadline.left(now);
        Some(StopStatus {
            progress: progress(stop.tasks(), &self.core.plan),
            cause: stop.cause.clone(),
            stage,
            step,
            elapsed: now.since(stop.t0),
            deadline_in,
            step_deadline_in: until.map_or(deadline_in, |t| t.left(now)),
        })
    }
}

fn not_ready_because(p: &Proc, r: &Running) -> Option<Trouble> {
    let probe = |probe| {
        let last = p.probe(probe).filter(|run| run.passes != Some(true))?.last.clone();
        Some(Trouble::Probe { probe, last })
    };
    if r.body.notices.stopping {
        return Some(Trouble::SaysStopping);
    }
    if !r.started {
        return probe(ProbeKind::Startup).or(Some(Trouble::NotReadyYet));
    }
    match &r.post_start {
        PostStart::NotYet => Some(Trouble::PostStart(None)),
        PostStart::Doing(task) => Some(Trouble::PostStart(task.progress_log.awaited().cloned())),
        PostStart::Done => probe(ProbeKind::Readiness),
    }
}

fn last_exit(exit: Exit, success: bool) -> LastExit {
    let signal = match exit {
        Exit::Code(_) => None,
        Exit::Signal { signal, .. } => Some(signal),
    };
    LastExit { exit_code: exit.code(), signal, reason: if success { Why::Completed } else { Why::Error } }
}

/// How far the waits of a step are; with their names, where several tasks go on side by side.
fn progress(tasks: &[TaskRun], plan: &Plan) -> Vec<TaskProgress> {
    let under_way = tasks.iter().filter(|t| t.result().is_none());
    let progress = under_way.filter_map(|task| {
        let awaited = task.progress_log.awaited()?.clone();
        Some(TaskProgress { task: (tasks.len() > 1).then(|| plan.task_name(task.what)), awaited })
    });
    progress.collect()
}

impl stop::Stage {
    /// Its name, the step under way, and when that is cut.
    fn shown(&self, plan: &Plan) -> (Stage, String, Option<At>) {
        match self {
            stop::Stage::Steps(steps) => {
                let step = plan.steps(steps.kind).get(steps.index);
                let names: Vec<&str> = step.iter().flat_map(|s| &s.tasks).map(|t| t.name.as_str()).collect();
                let stage = if steps.kind == Place::Drain { Stage::Drain } else { Stage::PostStop };
                (stage, names.join(", "), steps.tasks.iter().map(|t| t.until).max())
            }
            stop::Stage::Drained { until } => (Stage::Drained, String::new(), Some(*until)),
            stop::Stage::Processes { until } => (Stage::Processes, String::new(), Some(*until)),
            stop::Stage::Stragglers(s) => (Stage::Stragglers, String::new(), Some(s.ends())),
            stop::Stage::Killing { until, .. } => (Stage::Kill, String::new(), Some(*until)),
            stop::Stage::Over => (Stage::Done, String::new(), None),
        }
    }
}
