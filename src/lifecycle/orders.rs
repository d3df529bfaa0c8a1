//! What can be ordered while softstop runs: stop, drain (also as `GET /prestop`), restart, start, signal, ready, unready. Pure.
//!
//! Each order gets one answer: at once, or when what it set in motion is over. How many may wait is `control::waiting`'s to
//! bound.

use super::action::{Action, Answer};
use super::event::{AskId, Asker, Cause, Order, ProcId};
use super::process::{End, State};
use super::{Machine, Stage, stop};
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
        let before = self.fx.out.len();
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
            self.fx.out.insert(before, Action::Note(note));
        }
        match heard {
            Ok(None) => {}
            Ok(Some(text)) => self.fx.push(Action::Answer { ask, answer: Answer::Done(text) }),
            Err(why) => self.fx.push(Action::Answer { ask, answer: Answer::Refused(why) }),
        }
    }

    pub(super) fn on_asker_gone(&mut self, ask: AskId) {
        self.asks.retain(|p| p.ask != ask);
    }

    /// Somebody waits for the end of the drain.
    pub(super) fn drain_is_waited_for(&self) -> bool {
        self.asks.iter().any(|p| p.until == Until::Drained)
    }

    /// Answer every order whose time has come.
    pub(super) fn answer_orders(&mut self) {
        for Pending { ask, until } in std::mem::take(&mut self.asks) {
            match self.answer_to(until) {
                Some(answer) => self.fx.push(Action::Answer { ask, answer }),
                None => self.asks.push(Pending { ask, until }),
            }
        }
    }

    /// The last chance: whoever waits still is told how it ended.
    pub(super) fn answer_the_rest(&mut self, verdict: &str) {
        for Pending { ask, until } in std::mem::take(&mut self.asks) {
            let answer = match until {
                Until::Drained => self.drained(),
                Until::Ended => Answer::Done(verdict.to_string()),
                Until::Started(_) | Until::Sent(_) => Answer::Refused("softstop has stopped".to_string()),
            };
            self.fx.push(Action::Answer { ask, answer });
        }
    }

    fn answer_to(&self, until: Until) -> Option<Answer> {
        match until {
            Until::Drained => {
                let draining = matches!(self.stage, Stage::Stopping(stop::Stage::Draining(_)));
                (!draining).then(|| self.drained())
            }
            Until::Ended | Until::Sent(_) => None,
            Until::Started(id) => self.started_again(id),
        }
    }

    fn wait(&mut self, ask: AskId, until: Until) -> Heard {
        self.asks.push(Pending { ask, until });
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
        let left = self.stop.as_ref().map_or(self.plan.budget.grace, |s| s.deadline.left(self.now));
        format!("{what}; SIGKILL to what is left in {}", Human(left))
    }

    /// How the drain went.
    fn drained(&self) -> Answer {
        let Some(stop) = &self.stop else { return Answer::Refused("there was no drain".to_string()) };
        let took = stop.drain_took.map_or_else(|| "nothing to drain".into(), |t| format!("drained in {}", Human(t)));
        let not_done: Vec<String> = stop.drain_steps().filter_map(|step| not_done(&step.name, &step.result)).collect();
        match (stop.hurried, not_done.is_empty()) {
            (_, false) => {
                Answer::Refused(format!("the drain is over, but not all of it was done: {}", not_done.join(", ")))
            }
            (true, true) => Answer::Refused("the drain was ended by a second stop request".to_string()),
            (false, true) => Answer::Done(took),
        }
    }

    // === readiness ===

    fn order_unready(&mut self) -> Heard {
        let already = std::mem::replace(&mut self.unready, true);
        Ok(Some(if already { "unready already" } else { "unready" }.to_string()))
    }

    fn order_ready(&mut self) -> Heard {
        if let Some(stop) = &self.stop {
            let cause = self.cause_text(&stop.cause);
            return Err(format!("softstop is stopping ({cause}): nothing brings readiness back"));
        }
        self.unready = false;
        let waited_for: Vec<&str> = (0..self.processes.len())
            .filter(|i| !self.processes[*i].ready() && !self.completed(*i))
            .map(|i| self.plan.name(i))
            .collect();
        Ok(Some(match waited_for.as_slice() {
            [] => "ready".to_string(),
            names => format!("no longer held unready, but not ready yet: {}", names.join(", ")),
        }))
    }

    // === one process ===

    fn find(&self, name: &str) -> Result<ProcId, String> {
        let names = || self.plan.config.processes.iter().map(|p| p.name.as_str());
        names().position(|n| n == name).map(ProcId).ok_or_else(|| match nearest(name, names()) {
            Some(meant) => format!("there is no process {name:?}: did you mean {meant}?"),
            None => format!("there is no process {name:?}; there are: {}", names().collect::<Vec<_>>().join(", ")),
        })
    }

    fn order_signal(&mut self, ask: AskId, name: &str, signal: Signal) -> Heard {
        let process = self.find(name)?;
        if !self.fx.alive[process.0] {
            return Err(format!("{name} is not running"));
        }
        let to = self.plan.config.processes[process.0].signal_to;
        self.fx.push(Action::SignalByOrder { ask, process, signal, to });
        self.wait(ask, Until::Sent(process))
    }

    pub(super) fn signal_answered(&mut self, ask: AskId, id: ProcId, signal: Signal, error: Option<&'static str>) {
        let waits = self.asks.iter().any(|p| p.ask == ask);
        self.asks.retain(|p| p.ask != ask);
        let name = self.name(id);
        let answer = match (error, self.processes[id.0].pid()) {
            (Some(error), _) => Answer::Refused(format!("{name}: {signal} was not sent: {error}")),
            (None, Some(pid)) => Answer::Done(format!("{name}: {signal} sent (pid {pid})")),
            (None, None) => Answer::Done(format!("{name}: {signal} sent; it has ended")),
        };
        if waits {
            self.fx.push(Action::Answer { ask, answer });
        }
    }

    fn order_start(&mut self, ask: AskId, name: &str, restart: bool) -> Heard {
        let id = self.find(name)?;
        if let Some(stop) = &self.stop {
            let cause = self.cause_text(&stop.cause);
            return Err(format!("softstop is stopping ({cause}): nothing is started any more"));
        }
        let limit = self.restart_limit();
        let after = &self.plan.config.processes[id.0].after;
        let free = after.iter().all(|(on, condition)| self.fulfilled(*on, *condition));
        let p = &mut self.processes[id.0];
        match &p.state {
            State::Running(r) if !restart => return Ok(Some(format!("{name} is running already (pid {})", r.pid))),
            State::Waiting | State::Starting if !p.again => {
                let why = self.state_words(id).2.unwrap_or_else(|| "init tasks are running".to_string());
                return Err(format!("{name} has not been started yet: {why}"));
            }
            State::Ended(End::CannotStart { on }) if !free => {
                let on = self.plan.name(on.0);
                return Err(format!("{name} cannot be started: {on} can never be what it waits for"));
            }
            State::Running(_) => {
                p.again = true;
                self.stop_process(id, limit, true);
            }
            State::Stopping(_) | State::Cleaning(_) | State::Waiting | State::Starting => p.again = true,
            // Somebody has looked at it: its back-off begins anew.
            State::Backoff { .. } => {
                p.again = true;
                p.recent = 0;
                p.state = State::Waiting;
            }
            State::Ended(_) => {
                p.again = true;
                p.recent = 0;
                p.restarts = p.restarts.saturating_add(u32::from(p.was_started));
                p.state = State::Waiting;
            }
        }
        self.wait(ask, Until::Started(id))
    }

    fn started_again(&self, id: ProcId) -> Option<Answer> {
        let p = &self.processes[id.0];
        if let Some(stop) = &self.stop {
            let cause = self.cause_text(&stop.cause);
            return Some(Answer::Refused(format!("the stop was requested meanwhile ({cause})")));
        }
        if p.again {
            return None;
        }
        let name = self.name(id);
        Some(match &p.state {
            State::Running(r) => Answer::Done(format!("{name}: started (pid {})", r.pid)),
            _ => Answer::Refused(format!("{name}: {}", p.last_error.as_deref().unwrap_or("could not be started"))),
        })
    }
}

/// For the answer: a step that should have been done and was not, and why.
fn not_done(name: &str, result: &TaskResult) -> Option<String> {
    result.missed().then(|| format!("{name} ({result})"))
}
