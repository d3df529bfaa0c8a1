//! The life of one task: attempts, pauses, its time limit. Pure.

use std::time::Duration;

use super::action::{Action, What};
use super::effects::{Effects, Why};
use super::event::{Outcome, ProcId, Progress, RunId};
use super::progress::ProgressLog;
use crate::config::handler::Until;
use crate::config::{Handler, Retries};
use crate::facts::{Awaited, Failure, Needless, Unfinished};
use crate::plan::Plan;
use crate::plan::budget::task_length;
use crate::report::{Note, Secs, TaskResult};
use crate::time::At;

/// An init or post_start task with no timeout of its own: the reader gives every one a timeout, this is the backstop. What a sidecar
/// follows may really run so long.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// The shortest pause between attempts, restarts or probes: nothing the configuration says makes the loop spin.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);

#[derive(Clone, Debug, Hash)]
pub(super) struct TaskRun {
    pub what: What,
    pub began: At,
    /// Its end, come what may.
    pub until: At,
    /// `until` is where its slice of the budget ends, before its own timeout would.
    pub cut: bool,
    pub attempts: u32,
    /// For every attempt.
    why: Why,
    last: Option<Failure>,
    pub progress_log: Box<ProgressLog>,
    state: State,
}

#[derive(Clone, Debug, Hash)]
enum State {
    Trying(RunId),
    /// The handler is a sleep, until then.
    Sleeping(At),
    /// The handler waits for a process.
    Awaiting {
        process: usize,
        until: Until,
    },
    /// Before the next attempt.
    Pausing(At),
    /// With its result, since then.
    Over(Box<TaskResult>, At),
}

impl TaskRun {
    /// Begin with at most `slice`; the task's own timeout may end it earlier.
    pub fn begin(why: Why, what: What, now: At, slice: Duration, plan: &Plan, fx: &mut Effects) -> TaskRun {
        let length = plan.task(what).and_then(task_length);
        let limit = length.map_or(slice, |t| t.min(slice));
        let cut = length.is_none_or(|t| t > slice);
        let mut run = TaskRun {
            what,
            began: now,
            until: now + limit,
            cut,
            attempts: 0,
            why,
            last: None,
            progress_log: Box::default(),
            state: State::Pausing(now),
        };
        run.attempt(now, plan, fx);
        run
    }

    /// One that has all the time there is begins, with the line that says it.
    pub fn announce(what: What, now: At, plan: &Plan, fx: &mut Effects) -> TaskRun {
        let (place, name) = plan.named(what);
        fx.note(Note::TaskBegan { place, name });
        TaskRun::begin((fx.reason, None), what, now, FOREVER, plan, fx)
    }

    fn attempt(&mut self, now: At, plan: &Plan, fx: &mut Effects) {
        self.attempts += 1;
        self.state = match plan.handler(self.what) {
            Some(Handler::Sleep(d)) => State::Sleeping(now + *d),
            Some(Handler::Signal { process, signal }) => {
                if fx.seen.alive(*process) {
                    let to = plan.config.processes[*process].signal_to;
                    fx.push(Action::Signal { process: ProcId(*process), signal: *signal, to, wake: false });
                    over(TaskResult::Done, now)
                } else {
                    over(failed(Failure::NotRunning { process: plan.name(*process).to_string() }), now)
                }
            }
            Some(Handler::WaitProcess { process, until }) => {
                let name = plan.name(*process).to_string();
                self.progress_log.on_progress(Progress::of(match until {
                    Until::Ended => Awaited::End { process: name },
                    Until::Ready => Awaited::Readiness { process: name },
                }));
                State::Awaiting { process: *process, until: *until }
            }
            Some(_) => State::Trying(fx.run(self.what, self.until.left(now), self.why)),
            None => over(TaskResult::Cancelled { why: Needless::NothingToDo }, now),
        };
    }

    pub fn result(&self) -> Option<&TaskResult> {
        self.over().map(|(result, _)| result)
    }

    /// Its result, and since when it is known.
    pub fn over(&self) -> Option<(&TaskResult, At)> {
        match &self.state {
            State::Over(result, at) => Some((result, *at)),
            _ => None,
        }
    }

    /// Its result, with the line that says it; `None`: it is not over.
    pub fn conclude(&self, now: At, plan: &Plan, fx: &mut Effects) -> Option<TaskResult> {
        let result = self.result()?.clone();
        let (place, name) = plan.named(self.what);
        let (attempts, took) = (self.attempts, Secs(now.since(self.began)));
        fx.note(Note::TaskEnded { place, name, attempts, took, result: result.clone() });
        Some(result)
    }

    /// It waits for a process that is as it should be by now.
    pub fn holds(&self, fx: &Effects) -> bool {
        match self.state {
            State::Awaiting { process, until: Until::Ended } => !fx.seen.alive(process),
            State::Awaiting { process, until: Until::Ready } => fx.seen.ready(process),
            _ => false,
        }
    }

    /// The process that it waits for.
    pub fn awaits(&self) -> Option<usize> {
        match self.state {
            State::Awaiting { process, .. } => Some(process),
            _ => None,
        }
    }

    pub fn in_flight(&self) -> Option<RunId> {
        match self.state {
            State::Trying(run) => Some(run),
            _ => None,
        }
    }

    /// The answer to an attempt; `false` when it is not this task's.
    pub fn on_done(&mut self, run: RunId, outcome: &Outcome, now: At, plan: &Plan) -> bool {
        if self.in_flight() != Some(run) {
            return false;
        }
        let failure = match outcome {
            Outcome::Ok => {
                self.state = over(TaskResult::Done, now);
                return true;
            }
            Outcome::Failed(failure) => failure.clone(),
            Outcome::Unknown { reason } => reason.clone(),
        };
        let retries = plan.task(self.what).map_or(Retries::Count(0), |t| t.retries);
        let again = match retries {
            Retries::Count(n) => self.attempts <= n,
            Retries::UntilTimeout => true,
        };
        if plan.handler(self.what).is_some_and(Handler::waits) {
            // It is made again until its time is up, and somebody may want to know why.
            self.progress_log.on_progress(Progress::of(Awaited::Success(failure.clone())));
        }
        self.last = Some(failure.clone());
        self.state = if again {
            let pause = plan.task(self.what).map_or(SHORTEST, |t| t.retry_delay.max(SHORTEST));
            State::Pausing(now + pause)
        } else {
            over(failed(failure), now)
        };
        true
    }

    /// Act on whatever is due; `true` when something changed.
    pub fn on_time(&mut self, now: At, plan: &Plan, fx: &mut Effects) -> bool {
        match self.state {
            State::Over(..) => return false,
            // A sleep that ends exactly where its limit does has been slept.
            State::Sleeping(end) if now >= end => self.state = over(TaskResult::Done, now),
            State::Awaiting { .. } if self.holds(fx) => self.state = over(TaskResult::Done, now),
            _ if now >= self.until => {
                if let State::Trying(run) = self.state {
                    fx.push(Action::Cancel { run, kill: true });
                }
                let reason = self.reason();
                let cut = TaskResult::Cut { reason: reason.clone() };
                self.state = over(if self.cut { cut } else { TaskResult::TimedOut { reason } }, now);
            }
            State::Pausing(end) if now >= end => self.attempt(now, plan, fx),
            _ => {
                self.say(now, plan, fx);
                return false;
            }
        }
        true
    }

    /// Its slice of the budget ends then, if not before.
    pub fn shorten(&mut self, until: At) {
        if until < self.until {
            self.until = until;
            self.cut = true;
        }
    }

    /// softstop lost so much time: an attempt gets it back, as far as it has `most` from now on. A sleep has passed.
    pub fn give_back(&mut self, lost: Duration, now: At, most: Duration) {
        if matches!(self.state, State::Over(..) | State::Sleeping(_)) {
            return;
        }
        let had = self.until.left(now - lost);
        self.cut |= had > most;
        self.until = self.until.max(now + had.min(most));
    }

    /// End it because of something else. The run in flight, if any, gets SIGTERM or SIGKILL and is returned, with whose it is: it
    /// is still to be waited for.
    pub fn cancel(&mut self, why: Needless, kill: bool, now: At, fx: &mut Effects) -> Option<(RunId, What)> {
        self.end(TaskResult::Cancelled { why }, kill, now, fx)
    }

    /// End it at once because the budget has.
    pub fn cut(&mut self, now: At, fx: &mut Effects) {
        let reason = self.reason();
        let _killed = self.end(TaskResult::Cut { reason }, true, now, fx);
    }

    /// Why it is not over: what a wait still waits for, or why the last attempt failed.
    fn reason(&mut self) -> Option<Unfinished> {
        let failed = self.last.take().map(|failure| Unfinished { awaited: Awaited::Success(failure), detail: None });
        self.progress_log.reason().or(failed)
    }

    fn end(&mut self, result: TaskResult, kill: bool, now: At, fx: &mut Effects) -> Option<(RunId, What)> {
        if self.result().is_some() {
            return None;
        }
        let run = self.in_flight();
        if let Some(run) = run {
            fx.push(Action::Cancel { run, kill });
        }
        self.state = over(result, now);
        run.map(|run| (run, self.what))
    }

    pub fn timer(&self) -> Option<At> {
        let next = match self.state {
            State::Over(..) => return None,
            State::Trying(_) | State::Awaiting { .. } => self.until,
            State::Sleeping(end) | State::Pausing(end) => end.min(self.until),
        };
        Some(self.progress_log.due(self.began).map_or(next, |at| at.min(next)))
    }
}

fn over(result: TaskResult, now: At) -> State {
    State::Over(Box::new(result), now)
}

fn failed(reason: Failure) -> TaskResult {
    let code = reason.code();
    TaskResult::Failed { reason, code }
}

/// The exit code that a failed task stands for: its program's own, if it had one.
pub(super) fn own_code(result: &TaskResult) -> u8 {
    match result {
        TaskResult::Failed { code: Some(code), .. } => *code,
        _ => crate::exit::FAILED,
    }
}
