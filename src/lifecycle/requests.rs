//! What can be ordered while softstop runs: stop, drain (also as `GET /prestop`), restart, start, signal, ready, unready. Pure.
//!
//! Each order gets one answer: at once, or when what it set in motion is over. How many may wait is `control::waiting`'s to
//! bound.

use super::Machine;
use super::action::{Action, Answer};
use super::core::Core;
use super::event::{AskId, Asker, Cause, Order, ProcId};
use super::process::{End, Input, State};
use super::stop::Stop;
use crate::nearest::nearest;
use crate::report::{Note, TaskResult};
use crate::signal::Signal;
use crate::time::Human;

/// An order that waits for its answer.
#[derive(Clone, Debug, Hash)]
pub(super) struct Pending {
    ask: AskId,
    until: Until,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
enum Until {
    Drained,
    Ended,
    Started(ProcId),
    /// A signal that was ordered; answered in the same turn.
    Sent(ProcId),
}

/// `Ok(None)`: the answer comes later. `Err`: why it is not done.
type Heard = Result<Option<String>, String>;

impl Machine {
    pub(super) fn on_ordered(&mut self, ask: AskId, order: &Order, by: Asker) {
        let before = self.core.fx.out.len();
        let heard = match order {
            Order::Drain { wait } => self.order_drain(ask, *wait, by),
            Order::Stop { wait } => self.order_stop(ask, *wait, by),
            Order::Ready => self.order_ready(),
            Order::Unready => self.order_unready(),
            Order::Restart { process } => self.order_start(ask, process, true),
            Order::Start { process } => self.order_start(ask, process, false),
            Order::Signal { process, signal } => self.order_signal(ask, process, *signal),
        };
        // Of a stop the line that says why it began says this, too.
        if !matches!(order, Order::Drain { .. } | Order::Stop { .. }) || heard.is_err() {
            let refused = heard.as_ref().err().cloned();
            let note = Note::Ordered { order: order.to_string(), by: by.to_string(), refused };
            self.core.fx.out.insert(before, Action::Note(note));
        }
        match heard {
            Ok(None) => {}
            Ok(Some(text)) => self.core.fx.push(Action::Answer { ask, answer: Answer::Done(text) }),
            Err(why) => self.core.fx.push(Action::Answer { ask, answer: Answer::Refused(why) }),
        }
    }

    pub(super) fn on_asker_gone(&mut self, ask: AskId) {
        self.core.asks.retain(|p| p.ask != ask);
    }

    /// Answer every order whose time has come.
    pub(super) fn answer_orders(&mut self) {
        for Pending { ask, until } in std::mem::take(&mut self.core.asks) {
            match self.answer_to(until) {
                Some(answer) => self.core.fx.push(Action::Answer { ask, answer }),
                None => self.core.asks.push(Pending { ask, until }),
            }
        }
    }

    fn answer_to(&self, until: Until) -> Option<Answer> {
        match until {
            Until::Drained => match self.phase.stop() {
                Some(stop) => (!stop.is_draining()).then(|| stop.drained()),
                None => Some(Answer::Refused("there was no drain".to_string())),
            },
            Until::Ended | Until::Sent(_) => None,
            Until::Started(id) => self.started_again(id),
        }
    }

    fn wait(&mut self, ask: AskId, until: Until) -> Heard {
        self.core.asks.push(Pending { ask, until });
        Ok(None)
    }

    // === drain and stop ===

    fn order_drain(&mut self, ask: AskId, wait: bool, by: Asker) -> Heard {
        self.request_stop(match by {
            Asker::Local { .. } => Cause::DrainOrdered { by },
            Asker::PreStop(by) => Cause::PreStopCalled { by },
        });
        if wait { self.wait(ask, Until::Drained) } else { Ok(Some(self.deadline_text("draining"))) }
    }

    fn order_stop(&mut self, ask: AskId, wait: bool, by: Asker) -> Heard {
        self.request_stop(Cause::StopOrdered { by });
        if wait { self.wait(ask, Until::Ended) } else { Ok(Some(self.deadline_text("stopping"))) }
    }

    fn deadline_text(&self, what: &str) -> String {
        let left = self.phase.stop().map_or(self.core.plan.budget.grace, |s| s.deadline.left(self.core.now));
        format!("{what}; SIGKILL to what is left in {}", Human(left))
    }

    // === readiness ===

    fn order_unready(&mut self) -> Heard {
        let already = std::mem::replace(&mut self.core.unready, true);
        Ok(Some(if already { "unready already" } else { "unready" }.to_string()))
    }

    fn order_ready(&mut self) -> Heard {
        if let Some(stop) = self.phase.stop() {
            let cause = self.core.cause_text(&stop.cause);
            return Err(format!("softstop is stopping ({cause}): nothing brings readiness back"));
        }
        self.core.unready = false;
        let waited_for: Vec<&str> = self.core.not_ready().map(|i| self.core.plan.name(i)).collect();
        Ok(Some(match waited_for.as_slice() {
            [] => "ready".to_string(),
            names => format!("no longer held unready, but not ready yet: {}", names.join(", ")),
        }))
    }

    // === one process ===

    fn find(&self, name: &str) -> Result<ProcId, String> {
        let names = || self.core.plan.config.processes.iter().map(|p| p.name.as_str());
        names().position(|n| n == name).map(ProcId).ok_or_else(|| match nearest(name, names()) {
            Some(meant) => format!("there is no process {name:?}: did you mean {meant}?"),
            None => format!("there is no process {name:?}; there are: {}", names().collect::<Vec<_>>().join(", ")),
        })
    }

    fn order_signal(&mut self, ask: AskId, name: &str, signal: Signal) -> Heard {
        let process = self.find(name)?;
        if !self.core.processes[process.0].alive() {
            return Err(format!("{name} is not running"));
        }
        let to = self.core.plan.config.processes[process.0].signal_to;
        self.core.fx.push(Action::SignalByOrder { ask, process, signal, to });
        self.wait(ask, Until::Sent(process))
    }

    pub(super) fn signal_answered(&mut self, ask: AskId, id: ProcId, signal: Signal, error: Option<&'static str>) {
        let waits = self.core.asks.iter().any(|p| p.ask == ask);
        self.core.asks.retain(|p| p.ask != ask);
        let name = self.core.name(id);
        let answer = match (error, self.core.processes[id.0].pid()) {
            (Some(error), _) => Answer::Refused(format!("{name}: {signal} was not sent: {error}")),
            (None, Some(pid)) => Answer::Done(format!("{name}: {signal} sent (pid {pid})")),
            (None, None) => Answer::Done(format!("{name}: {signal} sent; it has ended")),
        };
        if waits {
            self.core.fx.push(Action::Answer { ask, answer });
        }
    }

    fn order_start(&mut self, ask: AskId, name: &str, restart: bool) -> Heard {
        let id = self.find(name)?;
        if let Some(stop) = self.phase.stop() {
            let cause = self.core.cause_text(&stop.cause);
            return Err(format!("softstop is stopping ({cause}): nothing is started any more"));
        }
        let p = &self.core.processes[id.0];
        match &p.state {
            State::Running(r) if !restart => {
                return Ok(Some(format!("{name} is running already (pid {})", r.body.pid)));
            }
            State::Waiting | State::Starting if !p.again => {
                let why = self.state_words(id).2.unwrap_or_else(|| "init tasks are running".to_string());
                return Err(format!("{name} has not been started yet: {why}"));
            }
            State::Ended(End::CannotStart { on }) if !self.core.processes.is_free(id.0) => {
                let on = self.core.plan.name(on.0);
                return Err(format!("{name} cannot be started: {on} can never be what it waits for"));
            }
            _ => {}
        }
        self.take(id, Input::Again);
        self.wait(ask, Until::Started(id))
    }

    fn started_again(&self, id: ProcId) -> Option<Answer> {
        let p = &self.core.processes[id.0];
        if let Some(stop) = self.phase.stop() {
            let cause = self.core.cause_text(&stop.cause);
            return Some(Answer::Refused(format!("the stop was requested meanwhile ({cause})")));
        }
        if p.again {
            return None;
        }
        let name = self.core.name(id);
        Some(match &p.state {
            State::Running(r) => Answer::Done(format!("{name}: started (pid {})", r.body.pid)),
            _ => Answer::Refused(format!("{name}: {}", p.last_error.as_deref().unwrap_or("could not be started"))),
        })
    }
}

impl Stop {
    /// How the drain went.
    fn drained(&self) -> Answer {
        let took =
            self.account.drain_took.map_or_else(|| "nothing to drain".into(), |t| format!("drained in {}", Human(t)));
        let not_done: Vec<String> = self.drain_steps().filter_map(|step| not_done(&step.name, &step.result)).collect();
        match (self.hurried, not_done.is_empty()) {
            (_, false) => {
                Answer::Refused(format!("the drain is over, but not all of it was done: {}", not_done.join(", ")))
            }
            (true, true) => Answer::Refused("the drain was ended by a second stop request".to_string()),
            (false, true) => Answer::Done(took),
        }
    }

    /// The last chance: whoever waits still is told how it ended.
    pub fn answer_the_rest(&self, verdict: &str, core: &mut Core) {
        for Pending { ask, until } in std::mem::take(&mut core.asks) {
            let answer = match until {
                Until::Drained => self.drained(),
                Until::Ended => Answer::Done(verdict.to_string()),
                Until::Started(_) | Until::Sent(_) => Answer::Refused("softstop has stopped".to_string()),
            };
            core.fx.push(Action::Answer { ask, answer });
        }
    }
}

/// Somebody waits for the end of the drain.
pub(super) fn drain_is_waited_for(asks: &[Pending]) -> bool {
    asks.iter().any(|p| p.until == Until::Drained)
}

/// For the answer: a step that should have been done and was not, and why.
fn not_done(name: &str, result: &TaskResult) -> Option<String> {
    result.missed().then(|| format!("{name} ({result})"))
}
