//! The life of one process, from its first start to its last end: [`Proc::take`] is the table of what can happen in which state. Each
//! state holds just what is true in it: a pid stands only where a process exists. Pure.

mod group_termination;
mod input;
mod notices;
mod post_exit;
mod reconfigured;
mod running;
mod scheduled;
mod stopping;
mod view;

use std::time::Duration;

use super::asking::Asking;
use super::effects::Effects;
use super::event::{Exit, ProcId};
use super::health::ProbeRun;
use super::stop::Stop;
use super::task::TaskRun;
use crate::config::Condition;
use crate::plan::Plan;
use crate::report::Note;
use crate::signal::Signal;
use crate::time::At;
pub(super) use input::{Around, Change, Input, Timer};
use notices::Notices;
use post_exit::PostExit;
pub(super) use scheduled::RunHistory;

/// After SIGKILL to a group: how long until it is taken for unkillable and life goes on.
pub(super) const KILL_WAIT: Duration = Duration::from_secs(1);
/// That a process was stopped is said again no sooner.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// ```text
///              dependencies hold          leader ends              group is empty
///   Waiting ────────────► Starting ─► Running ─► GroupTermination ──┬──► Backoff ─► Starting …
///                                        │          ▲               ├──► Held ─► Waiting, by order
///                                        │          │               └──► Ended
///              unhealthy, or the stop    └► Stopping ┘
/// ```
#[derive(Clone, Debug, Default, Hash)]
pub(super) enum State {
    /// Never started yet.
    #[default]
    Waiting,
    /// `Action::Spawn` has been given; its answer comes in the same turn.
    Starting,
    Running(Running),
    /// It has been told to stop, or is about to be by its pre_stop.
    Stopping(Stopping),
    /// It has ended; members of its group have been told to, too.
    GroupTermination(GroupTermination),
    /// Until its next start.
    Backoff {
        until: At,
    },
    /// Until an order or its next time starts it; `by_order`: one has held it down, and its time does not start it.
    Held {
        by_order: bool,
    },
    Ended(End),
}

/// A process that exists.
#[derive(Clone, Debug, Hash)]
pub(super) struct Body {
    pub pid: i32,
    pub since: At,
    /// Its readiness probe goes on while it drains.
    pub probes: Vec<ProbeRun>,
    pub notices: Notices,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Running {
    pub body: Body,
    /// Its startup probe has succeeded, or it has said that it is ready; or nothing of that is asked of it.
    pub started: bool,
    pub post_start: PostStart,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum PostStart {
    NotYet,
    Doing(TaskRun),
    Done,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Stopping {
    pub body: Body,
    began: At,
    /// SIGKILL comes then at the latest.
    until: At,
    /// That is sooner than its ladder asks for.
    short: bool,
    /// It is being stopped to be started again, not because the container stops.
    to_restart: bool,
    stage: StopStage,
    /// So much is kept for its post_exit tasks after that.
    post_exit: Duration,
    /// Of the time until `until` so much is kept for the diagnosis: the ladder ends this much earlier. Zero: there is none.
    diagnosis: Duration,
    /// The last signal of its ladder, and when it was sent.
    last: Option<(Signal, At)>,
}

#[derive(Clone, Debug, Hash)]
enum StopStage {
    PreStop(TaskRun),
    /// Waiting after the ladder's rung `index`.
    Rung {
        index: usize,
        until: At,
    },
    /// Its ladder is over; it has been told to say what it is doing.
    Diagnosing {
        until: At,
    },
    /// Not ended by `until`, it is taken for unkillable, and what waits for its end goes on; `None`: it is waited for.
    Killed {
        until: Option<At>,
    },
}

#[derive(Clone, Debug, Hash)]
pub(super) struct GroupTermination {
    exit: Exit,
    began: At,
    rest: Rest,
    signal: Signal,
    /// It was stopped on purpose (unhealthy, or by order) to be started again.
    to_restart: bool,
    /// The tasks at its end, until they are over.
    post_exit: Option<PostExit>,
}

/// What is left of its group.
#[derive(Clone, Debug, Hash)]
enum Rest {
    Asked(Asking),
    /// Sent SIGKILL, or gone: it is no longer waited for then.
    Over {
        until: At,
    },
    /// No longer waited for.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// Ended by itself, or when told to.
    Exited(Exit),
    /// Could not be started.
    StartFailed {
        /// What that amounts to as an exit code.
        code: u8,
    },
    /// What it waited for can never come true.
    CannotStart { on: ProcId },
    /// The container stopped before it was started (again).
    NotStarted,
    /// A reload has taken it out, and nothing of it goes on.
    Removed,
    /// It could not be ended: uninterruptible, or not ours to kill.
    Unkillable {
        /// The process itself lives, as far as is known, and not only what it left in its group.
        itself: bool,
    },
}

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Proc {
    pub state: State,
    /// Restarts in all.
    pub restarts: u32,
    /// Restarts since it last ran for `backoff.reset`: the back-off's exponent.
    recent: u32,
    /// What `max_restarts` counts in a window of its own, and when that began.
    counted: Option<(At, u32)>,
    pub last_exit: Option<Exit>,
    /// That was what it was to come to.
    succeeded: bool,
    /// It says that it runs to completion.
    is_task: bool,
    pub last_error: Option<String>,
    was: Was,
    /// It is to be started again by order, whatever its policy says, at once.
    pub again: bool,
    /// By order it is to be held down as soon as it has ended.
    pub hold: bool,
    /// It is started at its times.
    is_scheduled: bool,
    /// What has come of its scheduled runs.
    pub history: RunHistory,
    /// It has ended with success, unasked, and is a service.
    pub fell_silent: bool,
    /// What was last announced.
    said_ready: bool,
    /// A liveness or startup result is being acted on.
    pub unhealthy: bool,
    /// Signals its ladder has sent: an end by one of them is no failure.
    sent: Vec<Signal>,
    /// In the container's stop it needed SIGKILL.
    pub forced: bool,
    /// When its part of the container's stop began.
    pub stop_began: Option<At>,
    /// A signal has stopped it, and none has continued it yet.
    pub suspended: Option<Signal>,
    /// When that was last said: whoever stops and continues it a thousand times a second is told of once in a while.
    said_suspended: Option<At>,
}

/// What a process has been at some time: what `after` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Was {
    pub started: bool,
    pub ready: bool,
    pub completed: bool,
}

impl Was {
    pub fn fulfils(self, condition: Condition) -> bool {
        match condition {
            Condition::Started => self.started,
            Condition::Ready => self.ready,
            Condition::Completed => self.completed,
        }
    }
}

impl Proc {
    pub fn new(id: usize, plan: &Plan) -> Proc {
        let state = if plan.config.processes[id].autostart { State::Waiting } else { State::Held { by_order: false } };
        let is_scheduled = plan.config.processes[id].schedule.is_some();
        Proc { state, is_scheduled, is_task: plan.is_task(id), ..Proc::default() }
    }

    /// What happens to it in which state; what is not listed changes nothing.
    pub fn take(&mut self, input: Input<'_>, at: &Around<'_>, fx: &mut Effects) -> Change {
        use State as S;
        match (&mut self.state, input) {
            (S::Waiting, Input::Start) => self.start(at, fx),
            (S::Waiting, Input::CannotStart { on, why }) => self.cannot_start(on, why, at, fx),
            (S::Starting, Input::Spawned { pid }) => self.spawned(pid, at, fx),
            (S::Starting, Input::SpawnFailed(error)) => self.spawn_failed(error, at, fx),

            (S::Running(_), Input::Due(Timer::Life)) => {
                Change::of(self.task().is_some_and(|task| task.on_time(at.now, at.plan, fx)))
            }
            (S::Running(_), Input::PostStart) => self.go_on_with_post_start(at, fx),
            (S::Running(_) | S::Stopping(_), Input::Due(Timer::Probes)) => self.probes_due(at, fx),
            (S::Running(_) | S::Stopping(_), Input::Probed { kind, run, outcome }) => {
                self.probe_answered(kind, run, outcome, at, fx)
            }
            (S::Running(_) | S::Stopping(_), Input::Suspended(signal)) => self.is_suspended(signal, at, fx),
            (S::Running(_) | S::Stopping(_), Input::Notified(what)) => self.notified(what, at, fx),
            (_, Input::Resumed) => {
                self.suspended = None;
                Change::some()
            }

            (S::Running(_), Input::Stop { limit }) => {
                self.stop_began = Some(at.now);
                self.begin_stop(limit, false, at, fx)
            }
            (S::Stopping(s), Input::Stop { limit }) => {
                // It was being stopped for a restart: that goes on, now within this budget.
                s.shorten(at.now + limit, at);
                self.stop_began = Some(at.now);
                Change::some()
            }
            (S::Stopping(_), Input::Due(Timer::Stop)) => self.stop_due(at, fx),
            (S::Stopping(_), Input::NotSent(signal)) => self.not_sent(signal, at),
            (S::Running(_) | S::Stopping(_), Input::Kill) => self.kill(at, fx),
            (S::Running(_) | S::Stopping(_), Input::GiveUp) => self.give_up(at, fx),

            (S::Running(_) | S::Stopping(_), Input::Exited(exit)) => self.exited(exit, at, fx),
            (_, Input::Exited(exit)) => {
                if let S::Ended(End::Unkillable { itself }) = &mut self.state {
                    *itself = false;
                }
                self.has_exited(exit, at);
                Change::some()
            }
            (S::GroupTermination(c), Input::Stop { limit }) => {
                // Never in the turn its leader ended: whether anything is left of the group shows right after.
                c.replan(at.now + limit, at);
                self.stop_began = Some(at.now);
                Change::some()
            }
            (S::GroupTermination(c), Input::GroupEmpty) if !c.is_empty() => {
                c.rest = Rest::Over { until: at.now };
                Change::some()
            }
            (S::GroupTermination(c), Input::GroupGrew) => c.grew(at, fx),
            (S::GroupTermination(_), Input::Due(Timer::Life)) => self.group_termination_due(at, fx),
            // The deadline's SIGKILL ends what had a moment to end by itself.
            (S::GroupTermination(c), Input::Kill) => {
                let any = c.cut_post_exit(at, fx);
                let forced = !c.is_empty() && at.now >= c.began + super::task::SHORTEST;
                if forced { Change::forced() } else { Change::of(any) }
            }
            (S::GroupTermination(c), Input::GiveUp) => Change::of(c.cut_post_exit(at, fx)),

            (S::Backoff { .. }, Input::Due(Timer::Life)) => {
                self.state = S::Waiting;
                Change::some()
            }
            (S::Running(_), Input::StopRequested) => self.interrupt(at, fx),
            (S::GroupTermination(c), Input::StopRequested) => {
                c.shorten_post_exit(at.stop.map_or(At::NEVER, Stop::post_exit_until));
                Change::some()
            }
            (S::Waiting | S::Backoff { .. } | S::Held { .. }, Input::StopRequested) => {
                self.state = S::Ended(End::NotStarted);
                Change::some()
            }
            (_, Input::Again) => self.start_again(at, fx),
            (_, Input::Hold) => self.hold_down(at, fx),
            (_, Input::Remove) => self.remove(at, fx),
            (_, Input::Reconfigured { was }) => self.reconfigured(was, at, fx),
            (_, Input::Scheduled) => self.scheduled(at, fx),
            (S::Starting | S::Running(_) | S::Stopping(_) | S::GroupTermination(_), Input::Leave) => {
                self.state = S::Ended(End::Unkillable { itself: self.alive() });
                Change::some()
            }
            (_, Input::Late { lost }) => self.give_back(lost, at),
            _ => Change::default(),
        }
    }

    /// When one of its timers is due.
    pub fn timer(&self, timer: Timer) -> Option<At> {
        match (timer, &self.state) {
            (Timer::Stop, State::Stopping(s)) => s.timer(),
            (Timer::Life, State::Running(Running { post_start: PostStart::Doing(task), .. })) => task.timer(),
            (Timer::Life, State::GroupTermination(c)) => c.timer(),
            (Timer::Life, State::Backoff { until }) => Some(*until),
            (Timer::Probes, _) => {
                let body = self.body()?;
                body.probes.iter().map(ProbeRun::next_deadline).chain(body.notices.timer()).min()
            }
            _ => None,
        }
    }

    /// That time has come, or what it waits for without one.
    pub fn is_due(&self, timer: Timer, now: At, fx: &Effects) -> bool {
        self.timer(timer).is_some_and(|at| now >= at) || self.holds(timer, fx)
    }

    fn holds(&self, timer: Timer, fx: &Effects) -> bool {
        match (timer, &self.state) {
            (Timer::Life, State::Running(Running { post_start: PostStart::Doing(task), .. })) => task.holds(fx),
            (Timer::Stop, State::Stopping(Stopping { stage: StopStage::PreStop(task), .. })) => {
                task.result().is_some() || task.holds(fx)
            }
            (Timer::Life, State::GroupTermination(c)) => c.post_exit_holds(fx),
            _ => false,
        }
    }

    /// softstop lost so much time: what the process has a certain time for gets it back, as far as others leave room.
    fn give_back(&mut self, lost: Duration, at: &Around<'_>) -> Change {
        let most = at.stop.map_or(At::NEVER, Stop::processes_until);
        if let Some(body) = self.body_mut() {
            body.probes.iter_mut().for_each(|probe| probe.give_back(lost));
            body.notices.give_back(lost);
        }
        match &mut self.state {
            State::Stopping(s) => s.give_back(lost, most, at),
            State::GroupTermination(c) => c.give_back(lost, most, at.now),
            State::Running(_) => self.task().into_iter().for_each(|task| task.give_back(lost, at.now, Duration::MAX)),
            State::Waiting | State::Starting | State::Backoff { .. } | State::Held { .. } | State::Ended(_) => {}
        }
        Change::some()
    }

    fn has_exited(&mut self, exit: Exit, at: &Around<'_>) {
        (self.last_exit, self.suspended) = (Some(exit), None);
        self.succeeded = at.config().is_success(exit);
    }

    /// Remember whether it has ever been started and ready: what `after` asks for.
    pub fn latch(&mut self, is_service: bool) {
        let completed = self.completed(is_service);
        self.was.started |= self.started() || completed;
        self.was.ready |= self.ready();
        self.was.completed |= completed;
    }

    /// Say that it has become ready.
    pub fn announce(&mut self, id: usize, plan: &Plan, fx: &mut Effects) {
        if self.ready() && !self.said_ready {
            self.said_ready = true;
            let config = &plan.config.processes[id];
            let shown = config.readiness.is_some() || config.startup.is_some() || config.notify.is_some();
            let probed = shown || !config.post_start.is_empty();
            fx.note(Note::Ready { process: config.name.clone(), probed });
        } else if !matches!(self.state, State::Running(_)) {
            self.said_ready = false;
        }
    }

    fn is_suspended(&mut self, signal: Signal, at: &Around<'_>, fx: &mut Effects) -> Change {
        self.suspended = Some(signal);
        if self.said_suspended.is_none_or(|said| at.now.since(said) >= SAID_AGAIN) {
            self.said_suspended = Some(at.now);
            fx.note(Note::Suspended { process: at.name(), signal });
        }
        Change::some()
    }
}
