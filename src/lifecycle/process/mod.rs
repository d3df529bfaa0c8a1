//! The life of one process, from its first start to its last end: [`Proc::take`] is the table of what can happen in which state. Each
//! state holds just what is true in it: a pid stands only where a process exists. Pure.

mod group_termination;
mod running;
mod stopping;

use std::time::Duration;

use super::action::{ProbeKind, What};
use super::asking::Asking;
use super::effects::Effects;
use super::event::{Cause, Exit, Outcome, ProcId, RunId, SpawnError};
use super::health::ProbeRun;
use super::stop::Stop;
use super::task::TaskRun;
use crate::config::{self, Condition};
use crate::facts::{Hopeless, Place};
use crate::plan::Plan;
use crate::report::Note;
use crate::signal::Signal;
use crate::time::At;

/// After SIGKILL to a group: how long until it is taken for unkillable and life goes on.
pub(super) const KILL_WAIT: Duration = Duration::from_secs(1);
/// That a process was stopped is said again no sooner.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// ```text
///              dependencies hold          leader ends              group is empty
///   Waiting ────────────► Starting ─► Running ─► GroupTermination ──┬──► Backoff ─► Starting …
///                                        │          ▲       └──► Ended
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
    Ended(End),
}

/// A process that exists.
#[derive(Clone, Debug, Hash)]
pub(super) struct Body {
    pub pid: i32,
    pub since: At,
    /// Its readiness probe goes on while it drains.
    pub probes: Vec<ProbeRun>,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Running {
    pub body: Body,
    /// Its startup probe has succeeded, or it has none.
    pub started: bool,
    pub post_start: PostStart,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum PostStart {
    NotYet,
    Doing(usize, TaskRun),
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
}

/// What is left of its group.
#[derive(Clone, Debug, Hash)]
enum Rest {
    Asked(Asking),
    /// Sent SIGKILL, or gone: it is no longer waited for then.
    Over {
        until: At,
    },
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
    /// Restarts since it last ran for `backoff.reset`: the back-off's exponent and what `max_restarts` counts.
    recent: u32,
    pub last_exit: Option<Exit>,
    pub last_error: Option<String>,
    was: Was,
    /// It is to be started again by order, whatever its policy says, at once.
    pub again: bool,
    /// It has ended with success, unasked, and is a service.
    pub fell_silent: bool,
    /// What was last announced.
    said_ready: bool,
    /// A liveness or startup verdict is being acted on.
    pub unhealthy: bool,
    /// Signals its ladder has sent: an end by one of them is no failure.
    sent: Vec<Signal>,
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

/// What can happen to a process.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// What it waits for holds.
    Start,
    /// What it waits for can never hold.
    CannotStart {
        on: ProcId,
        why: Hopeless,
    },
    Spawned {
        pid: i32,
    },
    SpawnFailed(&'a SpawnError),
    /// It is a zombie still: its group can be signalled safely, now and only now.
    Exited(Exit),
    /// Nothing is left of its group.
    GroupEmpty,
    /// Somebody in its group has had no signal yet.
    GroupGrew,
    Suspended(Signal),
    Resumed,
    /// A signal has reached nobody.
    NotSent(Signal),
    /// A task or a probe of it has been answered.
    Answered {
        what: What,
        run: RunId,
        outcome: &'a Outcome,
    },
    /// One of its timers.
    Due(Timer),
    /// The next of its post_start tasks, if there is one.
    PostStart,
    /// An order: it is to be started again, whatever it is doing.
    Again,
    /// The container stops: nothing is begun any more.
    StopRequested,
    /// Its turn in the container's stop, which leaves it so much time.
    Stop {
        limit: Duration,
    },
    Kill,
    /// Killed, and no longer waited for.
    GiveUp,
    /// softstop lost so much time.
    Late {
        lost: Duration,
    },
    /// softstop leaves.
    Leave,
}

/// What of a process is timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// Its stop.
    Stop,
    /// A post_start task, its back-off, what it has left in its group.
    Life,
    Probes,
}

/// What an input has changed beyond the process itself.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Something is otherwise than before.
    pub any: bool,
    /// Its end is the container's.
    pub ends: Option<Cause>,
    /// SIGKILL was needed.
    pub forced: bool,
    /// It has failed, with this exit code.
    pub failed: Option<u8>,
    /// This run was told to end, and is still to be waited for.
    pub interrupted: Option<(RunId, What)>,
}

/// What a process sees of everything else.
pub(super) struct Around<'a> {
    pub id: ProcId,
    pub plan: &'a Plan,
    pub now: At,
    /// Once it was requested.
    pub stop: Option<&'a Stop>,
    /// See `Core::own_stop_signal`.
    pub own_stop_signal: Option<Signal>,
}

impl Change {
    fn some() -> Change {
        Change { any: true, ..Change::default() }
    }

    fn forced() -> Change {
        Change { forced: true, ..Change::some() }
    }
}

impl<'a> Around<'a> {
    /// Where no stop was requested, or it does not matter.
    pub fn up(id: usize, plan: &'a Plan, now: At) -> Around<'a> {
        Around { id: ProcId(id), plan, now, stop: None, own_stop_signal: None }
    }

    pub fn config(&self) -> &'a config::Process {
        &self.plan.config.processes[self.id.0]
    }

    fn name(&self) -> String {
        self.plan.name(self.id.0).to_string()
    }

    /// Such an end, unasked, is a failure: of a service any is.
    fn is_failure(&self, exit: Exit) -> bool {
        !exit.success() || self.plan.is_service(self.id.0)
    }
}

impl Proc {
    /// What happens to it in which state; what is not listed changes nothing.
    pub fn take(&mut self, input: Input<'_>, at: &Around<'_>, fx: &mut Effects) -> Change {
        use State as S;
        match (&mut self.state, input) {
            (S::Waiting, Input::Start) => self.start(at, fx),
            (S::Waiting, Input::CannotStart { on, why }) => self.cannot_start(on, why, at, fx),
            (S::Starting, Input::Spawned { pid }) => self.spawned(pid, at, fx),
            (S::Starting, Input::SpawnFailed(error)) => self.spawn_failed(error, at, fx),

            (S::Running(_), Input::Due(Timer::Life)) => self.post_start_due(at, fx),
            (S::Running(_), Input::PostStart) => self.go_on_with_post_start(at, fx),
            (S::Running(_) | S::Stopping(_), Input::Due(Timer::Probes)) => self.probes_due(at, fx),
            (
                S::Running(_) | S::Stopping(_),
                Input::Answered { what: What { place: Place::Probe(_, kind), .. }, run, outcome },
            ) => self.probe_answered(kind, run, outcome, at, fx),
            (S::Running(_) | S::Stopping(_), Input::Answered { run, outcome, .. }) => {
                let answered = self.task().is_some_and(|task| task.on_done(run, outcome, at.now, at.plan));
                Change { any: answered, ..Change::default() }
            }
            (S::Running(_) | S::Stopping(_), Input::Suspended(signal)) => self.is_suspended(signal, at, fx),
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
                (self.last_exit, self.suspended) = (Some(exit), None);
                Change::some()
            }
            (S::GroupTermination(c), Input::Stop { limit }) => {
                // Never in the turn its leader ended: whether anything is left of the group shows right after.
                c.replan(at.now + limit, at);
                self.stop_began = Some(at.now);
                Change::some()
            }
            (S::GroupTermination(c), Input::GroupEmpty) => {
                c.rest = Rest::Over { until: at.now };
                Change::some()
            }
            (S::GroupTermination(c), Input::GroupGrew) => c.grew(at, fx),
            (S::GroupTermination(_), Input::Due(Timer::Life)) => self.group_termination_due(at, fx),
            // The deadline's SIGKILL ends what had a moment to end by itself.
            (S::GroupTermination(c), Input::Kill) if at.now >= c.began + super::task::SHORTEST => Change::forced(),

            (S::Backoff { .. }, Input::Due(Timer::Life)) => {
                self.state = S::Waiting;
                Change::some()
            }
            (S::Running(_), Input::StopRequested) => self.interrupt(at, fx),
            (S::Waiting | S::Backoff { .. }, Input::StopRequested) => {
                self.state = S::Ended(End::NotStarted);
                Change::some()
            }
            (_, Input::Again) => self.start_again(at, fx),
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
            (Timer::Life, State::Running(Running { post_start: PostStart::Doing(_, task), .. })) => task.timer(),
            (Timer::Life, State::GroupTermination(c)) => Some(c.timer()),
            (Timer::Life, State::Backoff { until }) => Some(*until),
            (Timer::Probes, _) => self.body()?.probes.iter().map(ProbeRun::next_deadline).min(),
            _ => None,
        }
    }

    /// What it waits for without a time has come.
    pub fn holds(&self, timer: Timer, fx: &Effects) -> bool {
        match (timer, &self.state) {
            (Timer::Life, State::Running(Running { post_start: PostStart::Doing(_, task), .. })) => task.holds(fx),
            (Timer::Stop, State::Stopping(Stopping { stage: StopStage::PreStop(task), .. })) => {
                task.result().is_some() || task.holds(fx)
            }
            _ => false,
        }
    }

    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// There is, or may be, a process or something left of its group.
    pub fn lives(&self) -> bool {
        match self.state {
            State::Starting | State::Running(_) | State::Stopping(_) | State::GroupTermination(_) => true,
            State::Waiting | State::Backoff { .. } | State::Ended(_) => false,
        }
    }

    /// It can be signalled: started, and not yet seen to end.
    pub fn alive(&self) -> bool {
        self.body().is_some() || matches!(self.state, State::Ended(End::Unkillable { itself: true }))
    }

    /// It has ended, and its last exit code was 0.
    pub fn succeeded(&self) -> bool {
        matches!(self.state, State::Ended(End::Exited(exit)) if exit.success())
    }

    /// It has been sent SIGKILL and has not been seen to end.
    pub fn lingers(&self) -> bool {
        match &self.state {
            State::Ended(end) => matches!(end, End::Unkillable { .. }),
            State::Stopping(s) => matches!(s.stage, StopStage::Killed { .. }),
            _ => false,
        }
    }

    /// What it has left in its group is still waited for.
    pub fn leaves(&self) -> bool {
        matches!(&self.state, State::GroupTermination(c) if matches!(c.rest, Rest::Asked(_)))
    }

    pub fn body(&self) -> Option<&Body> {
        match &self.state {
            State::Running(r) => Some(&r.body),
            State::Stopping(s) => Some(&s.body),
            _ => None,
        }
    }

    fn body_mut(&mut self) -> Option<&mut Body> {
        match &mut self.state {
            State::Running(r) => Some(&mut r.body),
            State::Stopping(s) => Some(&mut s.body),
            _ => None,
        }
    }

    /// Whom its task waits for.
    pub fn awaits(&self) -> Option<usize> {
        match &self.state {
            State::Running(Running { post_start: PostStart::Doing(_, task), .. })
            | State::Stopping(Stopping { stage: StopStage::PreStop(task), .. }) => task.awaits(),
            _ => None,
        }
    }

    /// The task that it is at.
    pub fn task(&mut self) -> Option<&mut TaskRun> {
        match &mut self.state {
            State::Running(Running { post_start: PostStart::Doing(_, task), .. })
            | State::Stopping(Stopping { stage: StopStage::PreStop(task), .. }) => Some(task),
            _ => None,
        }
    }

    pub fn pid(&self) -> Option<i32> {
        self.body().map(|body| body.pid)
    }

    pub fn probe(&self, kind: ProbeKind) -> Option<&ProbeRun> {
        self.body()?.probes.iter().find(|p| p.kind == kind)
    }

    /// Kubernetes' `started`.
    pub fn started(&self) -> bool {
        matches!(&self.state, State::Running(r) if r.started)
    }

    /// Started, its post_start tasks done, its readiness probe, if any, succeeding; without one, not stopped by a signal.
    pub fn ready(&self) -> bool {
        let State::Running(r) = &self.state else { return false };
        let probed =
            self.probe(ProbeKind::Readiness).map_or(self.suspended.is_none(), |probe| probe.verdict == Some(true));
        r.started && matches!(r.post_start, PostStart::Done) && probed
    }

    /// It has done what it was to do, by itself: a service never has.
    pub fn completed(&self, is_service: bool) -> bool {
        self.succeeded() && self.stop_began.is_none() && !is_service
    }

    pub fn was(&self) -> Was {
        self.was
    }

    /// Remember whether it has ever been started and ready: what `after` asks for.
    pub fn latch(&mut self, is_service: bool) {
        let completed = self.completed(is_service);
        self.was.started |= self.started() || completed;
        self.was.ready |= self.ready();
        self.was.completed |= completed;
    }

    /// Say that it has become ready.
    pub fn announce(&mut self, at: &Around<'_>, fx: &mut Effects) {
        if self.ready() && !self.said_ready {
            self.said_ready = true;
            let config = at.config();
            let probed = config.readiness.is_some() || config.startup.is_some() || !config.post_start.is_empty();
            fx.note(Note::Ready { process: at.name(), probed });
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
