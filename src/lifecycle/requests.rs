//! What can be ordered while softstop runs: stop, drain (also as `GET /prestop`), restart, start, signal, reload, ready, unready. Pure.
//!
//! Each order gets one answer: at once, or when what it set in motion is over. How many may wait is `control::pending`'s to
//! bound.

use std::time::Duration;

use super::Machine;
use super::action::{Action, Answer};
use super::core::Core;
use super::event::{Cause, Client, Order, ProcId, RequestId};
use super::process::{End, Input, State};
use super::processes::Fact;
use super::stop::Stop;
use crate::facts::Difference;
use crate::nearest::nearest;
use crate::report::{Done, NotSent, Note, Refusal, StopResult};
use crate::signal::Signal;

/// An order that waits for its answer.
#[derive(Clone, Debug, Hash)]
pub(super) struct Pending {
    ask: RequestId,
    until: Until,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub(super) enum Until {
    Drained,
    Ended,
    Started(ProcId),
    Held(ProcId),
    /// A signal that was ordered; answered in the same turn.
    Sent,
    /// The configuration is being read; who waits then waits until what is new is done.
    Reread {
        wait: bool,
    },
    Reloaded {
        difference: Difference,
    },
}

/// `Ok(None)`: the answer comes later. `Err`: why it is not done.
pub(super) type Handled = Result<Option<Done>, Refusal>;

impl Machine {
    #[inline(never)] // its frame is not its caller's
    pub(super) fn on_ordered(&mut self, ask: RequestId, order: &Order, by: Client) {
        let before = self.core.fx.out.len();
        let handled = match order {
            Order::Drain { wait } => self.command_drain(ask, *wait, by),
            Order::Stop { wait, process: None } => self.command_stop(ask, *wait, by),
            Order::Stop { wait, process: Some(process) } => self.command_hold(ask, process, *wait),
            Order::Ready => self.command_ready(),
            Order::Unready => self.command_unready(),
            Order::Restart { process } => self.command_start(ask, process, true),
            Order::Start { process } => self.command_start(ask, process, false),
            Order::Reopen => self.command_reopen(),
            Order::Reload { wait, dry_run } => self.command_reload(ask, *wait, dry_run.0),
            Order::Signal { process, signal } => self.command_signal(ask, process, *signal),
        };
        // Of a stop the line that says why it began says this, too.
        if !matches!(order, Order::Drain { .. } | Order::Stop { process: None, .. }) || handled.is_err() {
            let refused = handled.as_ref().err().cloned();
            let note = Note::Ordered { order: order.clone(), by, refused };
            self.core.fx.out.insert(before, Action::Note(note));
        }
        self.core.answer(ask, handled);
    }

    /// Answer every order whose time has come.
    pub(super) fn answer_orders(&mut self) {
        for Pending { ask, until } in std::mem::take(&mut self.core.asks) {
            match self.answer_to(&until) {
                Ok(None) => self.core.asks.push(Pending { ask, until }),
                handled => self.core.answer(ask, handled),
            }
        }
    }

    fn answer_to(&self, until: &Until) -> Handled {
        match until {
            Until::Drained => match self.phase.stop() {
                Some(stop) if stop.is_draining() => Ok(None),
                Some(stop) => stop.drained(),
                None => Err(Refusal::NoDrain),
            },
            Until::Ended | Until::Sent | Until::Reread { .. } => Ok(None),
            Until::Started(id) => self.started_again(*id),
            Until::Held(id) => self.held(*id),
            Until::Reloaded { difference } => self.reloaded(difference),
        }
    }

    pub(super) fn wait(&mut self, ask: RequestId, until: Until) -> Handled {
        self.core.asks.push(Pending { ask, until });
        Ok(None)
    }

    /// Once the stop was requested it is refused, with what that began with.
    pub(super) fn unless_stopping(&self, refused: fn(Cause) -> Refusal) -> Result<(), Refusal> {
        self.phase.stop().map_or(Ok(()), |stop| Err(refused(stop.cause.clone())))
    }

    // === drain and stop ===

    fn command_drain(&mut self, ask: RequestId, wait: bool, by: Client) -> Handled {
        self.request_stop(match by {
            Client::Local { .. } => Cause::DrainRequested { by },
            Client::PreStop(by) => Cause::PreStopCalled { by },
        });
        if wait { self.wait(ask, Until::Drained) } else { Ok(Some(Done::Draining { left: self.left() })) }
    }

    fn command_stop(&mut self, ask: RequestId, wait: bool, by: Client) -> Handled {
        self.request_stop(Cause::StopRequested { by });
        if wait { self.wait(ask, Until::Ended) } else { Ok(Some(Done::Stopping { left: self.left() })) }
    }

    /// Until everything left is killed.
    fn left(&self) -> Duration {
        self.phase.stop().map_or(self.core.plan.budget.grace, |s| s.deadline.left(self.core.now))
    }

    // === readiness ===

    fn command_unready(&mut self) -> Handled {
        let already = std::mem::replace(&mut self.core.unready, true);
        Ok(Some(Done::Unready { already }))
    }

    fn command_ready(&mut self) -> Handled {
        self.unless_stopping(Refusal::StaysUnready)?;
        self.core.unready = false;
        let not_ready = self.core.ids().filter(|id| self.core.processes.is(id.0, Fact::NotReady));
        Ok(Some(Done::Ready { but_for: not_ready.map(|id| self.core.name(id)).collect() }))
    }

    fn command_reopen(&mut self) -> Handled {
        if !self.core.plan.config.has_log_files() {
            return Err(Refusal::NoLogFiles);
        }
        self.core.fx.push(Action::ReopenLogs);
        Ok(Some(Done::Reopened))
    }

    // === one process ===

    pub(super) fn find(&self, name: &str) -> Result<ProcId, Refusal> {
        let all = self.core.plan.config.processes.iter();
        let names = || all.clone().filter(|p| !p.removed).map(|p| p.name.as_str());
        all.clone().position(|p| !p.removed && p.name == name).map(ProcId).ok_or_else(|| Refusal::NoSuchProcess {
            name: name.to_string(),
            meant: nearest(name, names()).map(str::to_string),
            known: names().map(str::to_string).collect(),
        })
    }

    fn command_signal(&mut self, ask: RequestId, name: &str, signal: Signal) -> Handled {
        let process = self.find(name)?;
        if !self.core.processes[process.0].alive() {
            return Err(Refusal::NotRunning { process: name.to_string() });
        }
        let to = self.core.plan.config.processes[process.0].signal_to;
        self.core.fx.push(Action::SignalByCommand { ask, process, signal, to });
        self.wait(ask, Until::Sent)
    }

    #[inline(never)] // its frame is not its caller's
    pub(super) fn signal_answered(&mut self, ask: RequestId, id: ProcId, signal: Signal, error: Option<NotSent>) {
        if self.core.take_request(ask).is_none() {
            return;
        }
        let process = self.core.name(id);
        let handled = match error {
            Some(why) => Err(Refusal::NotSent { process, signal, why }),
            None => Ok(Some(Done::Sent { process, signal, pid: self.core.processes[id.0].pid() })),
        };
        self.core.answer(ask, handled);
    }

    fn command_start(&mut self, ask: RequestId, name: &str, restart: bool) -> Handled {
        let id = self.find(name)?;
        self.unless_stopping(Refusal::NothingStarts)?;
        let (p, process) = (&self.core.processes[id.0], name.to_string());
        match &p.state {
            State::Running(r) if !restart => return Ok(Some(Done::RunsAlready { process, pid: r.body.pid })),
            State::Waiting | State::Starting if !p.again => {
                return Err(Refusal::NotYetStarted { process, why: self.state_of(id).2 });
            }
            State::Ended(End::CannotStart { on }) if !self.core.processes.is_free(id.0) => {
                return Err(Refusal::WaitsInVain { process, on: self.core.name(*on) });
            }
            _ => {}
        }
        self.take(id, Input::Again);
        self.wait(ask, Until::Started(id))
    }

    fn command_hold(&mut self, ask: RequestId, name: &str, wait: bool) -> Handled {
        let id = self.find(name)?;
        self.unless_stopping(Refusal::StopRequested)?;
        let process = name.to_string();
        let p = &self.core.processes[id.0];
        if matches!(p.state, State::Held { .. } | State::Ended(_)) && !p.rests_until_its_time() {
            return Ok(Some(Done::DownAlready { process }));
        }
        self.take(id, Input::Hold);
        match self.core.processes[id.0].state {
            State::Held { .. } => self.is_held(id),
            _ if wait => self.wait(ask, Until::Held(id)),
            _ => Ok(Some(Done::Holding { process })),
        }
    }

    fn is_held(&self, id: ProcId) -> Handled {
        Ok(Some(Done::Held { process: self.core.name(id), needed_by: self.core.plan.needed_by(id) }))
    }

    fn held(&self, id: ProcId) -> Handled {
        self.unless_stopping(Refusal::StopRequested)?;
        let (p, process) = (&self.core.processes[id.0], self.core.name(id));
        match &p.state {
            State::Held { .. } => self.is_held(id),
            // Not even SIGKILL has ended it.
            State::Ended(_) => Ok(Some(Done::DownAlready { process })),
            _ if self.core.plan.config.processes[id.0].removed => Err(Refusal::Removed { process }),
            _ if p.hold => Ok(None),
            _ => Err(Refusal::StartedAgain { process }),
        }
    }

    fn started_again(&self, id: ProcId) -> Handled {
        self.unless_stopping(Refusal::StopRequested)?;
        let (p, process) = (&self.core.processes[id.0], self.core.name(id));
        match &p.state {
            _ if self.core.plan.config.processes[id.0].removed => Err(Refusal::Removed { process }),
            _ if p.again => Ok(None),
            State::Running(r) => Ok(Some(Done::Started { process, pid: r.body.pid })),
            State::Held { .. } => Err(Refusal::HeldDown { process }),
            _ if p.hold => Err(Refusal::HeldDown { process }),
            State::Ended(End::CannotStart { on }) => Err(Refusal::WaitsInVain { process, on: self.core.name(*on) }),
            _ => Err(Refusal::StartFailed { process, error: p.last_error.clone() }),
        }
    }
}

impl Core {
    /// The one answer to an order, unless it comes later.
    pub fn answer(&mut self, ask: RequestId, handled: Handled) {
        let answer = match handled {
            Ok(None) => return,
            Ok(Some(done)) => Answer::Done(done),
            Err(why) => Answer::Refused(why),
        };
        self.fx.push(Action::Answer { ask, answer });
    }

    /// It waits no longer; for what it did.
    pub fn take_request(&mut self, ask: RequestId) -> Option<Until> {
        let at = self.asks.iter().position(|pending| pending.ask == ask)?;
        Some(self.asks.remove(at).until)
    }
}

impl Stop {
    /// How the drain went.
    fn drained(&self) -> Handled {
        let missed = self.drain_steps().filter(|step| step.result.missed());
        let missed: Vec<_> = missed.map(|step| (step.name.clone(), step.result.clone())).collect();
        match (self.hurried, missed.is_empty()) {
            (_, false) => Err(Refusal::NotAllDrained(missed)),
            (true, true) => Err(Refusal::DrainEnded),
            (false, true) => Ok(Some(Done::Drained(self.record.drain_took))),
        }
    }

    /// The last chance: whoever waits still is told how it ended.
    pub fn answer_the_rest(&self, result: &StopResult, core: &mut Core) {
        for Pending { ask, until } in std::mem::take(&mut core.asks) {
            let handled = match until {
                Until::Drained => self.drained(),
                Until::Ended => Ok(Some(Done::Stopped(Box::new(result.clone())))),
                Until::Started(_) | Until::Held(_) | Until::Sent | Until::Reread { .. } | Until::Reloaded { .. } => {
                    Err(Refusal::Stopped)
                }
            };
            core.answer(ask, handled);
        }
    }
}

/// Somebody waits for the end of the drain.
pub(super) fn drain_is_awaited(asks: &[Pending]) -> bool {
    asks.iter().any(|p| p.until == Until::Drained)
}
