//! The machine as `/status`, `/metrics` and the probe endpoints show it. Pure.

use super::event::{Exit, ProcId};
use super::process::{End, PostStart, Proc, State};
use super::processes::Fact;
use super::stop;
use super::task::TaskRun;
use super::{Machine, Phase};
use crate::config::ReadinessOnDrain;
use crate::lifecycle::action::ProbeKind;
use crate::plan::Plan;
use crate::report::{StepKind, suspended_because};
use crate::status::{self, LastExit, ProcessStatus, Seen, Status, StopStatus, TaskStatus};
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

    /// `/livez`: no liveness verdict stands against any process, and none with a liveness probe has ended for good. Stays true
    /// through the drain.
    pub fn live(&self) -> bool {
        self.stopping() || !self.core.processes.any(Fact::NotLive)
    }

    fn is_live(&self, process: usize) -> bool {
        let p = &self.core.processes[process];
        let probed = self.core.plan.probe(process, ProbeKind::Liveness).is_some() && self.core.plan.is_service(process);
        let ended = matches!(&p.state, State::Ended(End::Exited(_) | End::StartFailed { .. } | End::Unkillable { .. }));
        !(p.unhealthy || probed && ended && !self.stopping())
    }

    fn phase_word(&self) -> status::Phase {
        let failed = |p: &Proc| !p.succeeded() && p.ended();
        match (self.finished(), self.started()) {
            (true, _) if self.core.processes.iter().any(failed) => status::Phase::Failed,
            (true, _) => status::Phase::Succeeded,
            (false, true) => status::Phase::Running,
            (false, false) => status::Phase::Pending,
        }
    }

    pub fn status(&self, now: At) -> Status {
        let init = match &self.phase {
            Phase::Init { index, task } => self.core.plan.config.init.get(*index).map(|t| TaskStatus {
                name: t.name.clone(),
                running: now.since(task.began),
                progress: task.telling.text().map(str::to_owned),
            }),
            _ => None,
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            config: None,
            phase: self.phase_word(),
            started: self.started(),
            ready: self.ready(),
            unready: self.core.unready,
            live: self.live(),
            uptime: now.since_start(),
            grace: self.core.plan.budget.grace,
            init,
            processes: (0..self.core.processes.len()).map(|i| self.process_status(ProcId(i), now)).collect(),
            stop: self.stop_status(now),
            orphans_reaped: self.core.orphans_reaped,
            seen: Seen::default(),
        }
    }

    fn process_status(&self, id: ProcId, now: At) -> ProcessStatus {
        let p = &self.core.processes[id.0];
        let restart_in = match p.state {
            State::Backoff { until } => Some(until.left(now)),
            _ => None,
        };
        let (state, reason, message) = self.state_words(id);
        ProcessStatus {
            name: self.core.name(id),
            state,
            reason,
            message,
            pid: p.pid(),
            started: p.started() || p.succeeded(),
            ready: p.ready(),
            stopped: p.suspended.is_some(),
            live: self.is_live(id.0),
            main: self.core.plan.main == Some(id.0),
            restarts: p.restarts,
            running: p.body().map(|body| now.since(body.since)),
            restart_in,
            last_exit: p.last_exit.map(last_exit),
            last_output: Vec::new(),
        }
    }

    /// State, reason and message in Kubernetes' words (reference/kubernetes-lifecycle.md, section 7).
    pub(super) fn state_words(&self, id: ProcId) -> (&'static str, Option<&'static str>, Option<String>) {
        let p = &self.core.processes[id.0];
        match &p.state {
            State::Waiting if matches!(self.phase, Phase::New | Phase::Init { .. }) => {
                ("Waiting", Some("PodInitializing"), None)
            }
            State::Waiting => {
                let after = &self.core.plan.config.processes[id.0].after;
                let missing = after.iter().find(|(on, condition)| !self.core.fulfilled(*on, *condition));
                let message = missing.map(|(on, condition)| {
                    format!("waits for {} to be {}", self.core.plan.name(*on), format!("{condition:?}").to_lowercase())
                });
                ("Waiting", Some("Dependency"), message)
            }
            State::Starting => ("Waiting", Some("Starting"), None),
            State::Backoff { .. } => ("Waiting", Some("CrashLoopBackOff"), p.last_error.clone()),
            State::Running(_) if p.suspended.is_some() => ("Running", Some("Stopped"), suspended(p)),
            State::Running(r) => ("Running", None, not_ready_because(p, r.started, &r.post_start)),
            State::Stopping(_) => ("Running", Some("Stopping"), suspended(p)),
            State::Cleaning(_) => ("Running", Some("Stopping"), Some("waiting for what it left behind".to_string())),
            State::Ended(End::Exited(exit)) if p.fell_silent => {
                let message = format!("ended with {exit}; with probes it is a service, and is to go on");
                ("Terminated", Some("Error"), Some(message))
            }
            State::Ended(End::Exited(exit)) if exit.success() => ("Terminated", Some("Completed"), None),
            State::Ended(End::Exited(exit)) => ("Terminated", Some("Error"), Some(format!("ended with {exit}"))),
            State::Ended(End::StartFailed { .. }) => ("Terminated", Some("StartError"), p.last_error.clone()),
            State::Ended(End::CannotStart { on }) => {
                ("Waiting", Some("Dependency"), Some(format!("{} can never be what it waits for", self.core.name(*on))))
            }
            State::Ended(End::NotStarted) => ("Waiting", Some("Stopped"), None),
            State::Ended(End::Unkillable { .. }) => ("Running", Some("Unkillable"), None),
        }
    }

    fn stop_status(&self, now: At) -> Option<StopStatus> {
        let stop = self.phase.stop()?;
        let (stage, step, until) = stop.stage.words(&self.core.plan);
        let deadline_in = stop.deadline.left(now);
        Some(StopStatus {
            progress: progress(stop.tasks(), &self.core.plan),
            cause: self.core.cause_text(&stop.cause),
            stage,
            step,
            elapsed: now.since(stop.t0),
            deadline_in,
            step_deadline_in: until.map_or(deadline_in, |t| t.left(now)),
        })
    }
}

fn suspended(p: &Proc) -> Option<String> {
    p.suspended.map(|signal| format!("stopped by {signal}{}", suspended_because(signal)))
}

fn not_ready_because(p: &Proc, started: bool, post_start: &PostStart) -> Option<String> {
    let probe = |kind| p.probe(kind).filter(|run| run.verdict != Some(true)).map(|run| run.reason.clone());
    if !started {
        return Some(format!("startup probe: {}", probe(ProbeKind::Startup)?));
    }
    match post_start {
        PostStart::Doing(_, task) if let Some(text) = task.telling.text() => Some(format!("post_start: {text}")),
        PostStart::NotYet | PostStart::Doing(..) => Some("post_start tasks are running".to_string()),
        PostStart::Done => Some(format!("readiness probe: {}", probe(ProbeKind::Readiness)?)),
    }
}

fn last_exit(exit: Exit) -> LastExit {
    let signal = match exit {
        Exit::Code(_) => None,
        Exit::Signal { signal, .. } => Some(signal.to_string()),
    };
    LastExit { exit_code: exit.code(), signal, reason: if exit.success() { "Completed" } else { "Error" } }
}

/// How far the waits of a step are; with their names, where several tasks go on side by side.
fn progress(tasks: &[TaskRun], plan: &Plan) -> Option<String> {
    let under_way = tasks.iter().filter(|t| t.result().is_none());
    let words = under_way.filter_map(|task| {
        let (text, name) = (task.telling.text()?, &plan.task(task.what)?.name);
        Some(if tasks.len() == 1 { text.to_owned() } else { format!("{name}: {text}") })
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

impl stop::Stage {
    /// Its name, the step under way, and when that is cut.
    fn words(&self, plan: &Plan) -> (&'static str, String, Option<At>) {
        match self {
            stop::Stage::Draining(steps) | stop::Stage::PostStop(steps) => {
                let step = steps.list(&plan.config).get(steps.index);
                let names: Vec<&str> = step.iter().flat_map(|s| &s.tasks).map(|t| t.name.as_str()).collect();
                let stage = if steps.kind == StepKind::Drain { "drain" } else { "post_stop" };
                (stage, names.join(", "), steps.tasks.iter().map(|t| t.until).max())
            }
            stop::Stage::Drained { until } => ("drained", String::new(), Some(*until)),
            stop::Stage::Processes { until } => ("processes", String::new(), Some(*until)),
            stop::Stage::Stragglers(s) => ("left_overs", String::new(), Some(s.ends())),
            stop::Stage::Killing { until, .. } => ("kill", String::new(), Some(*until)),
            stop::Stage::Over => ("done", String::new(), None),
        }
    }
}
