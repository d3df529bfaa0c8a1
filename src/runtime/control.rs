//! The control socket's orders as events, and their answers on the way back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use nix::unistd::geteuid;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Clock;
use super::shell::Shell;
use super::sight::{Audience, Sight};
use crate::control::server::{self, Desk, Message, ReplyTo};
use crate::control::socket;
use crate::lifecycle::Machine;
use crate::lifecycle::action::Answer;
use crate::lifecycle::event::{AskId, Event};
use crate::report::{Level, Note};

/// Where orders come from, and who waits for an answer.
#[derive(Default)]
pub(super) struct Orders {
    /// `None`: nothing listens.
    open: Option<Open>,
    asking: BTreeMap<AskId, ReplyTo>,
}

struct Open {
    messages: mpsc::UnboundedReceiver<Message>,
    desk: Rc<Desk>,
    remove: Box<dyn FnOnce()>,
}

impl Orders {
    /// Begins to listen. Orders are a convenience: what stands in their way is said once and nothing more.
    pub(super) fn take(machine: &Rc<RefCell<Machine>>, sight: &Rc<RefCell<Sight>>, clock: Clock) -> Orders {
        let control = machine.borrow().plan().config.control.clone();
        let open = socket::listen(&control).and_then(|listening| {
            let Some(listening) = listening else { return Ok(None) };
            let remove = Box::new(listening.removal());
            let open_to_all = listening.open_to_all;
            let listener = UnixListener::from_std(listening.listener).map_err(|e| format!("cannot listen: {e}"))?;
            let (sender, messages) = mpsc::unbounded_channel();
            let (machine, sight) = (Rc::clone(machine), Rc::clone(sight));
            let status = move || {
                let mut status = machine.borrow().status(clock.now());
                sight.borrow().show(&mut status, Audience::Owner);
                serde_json::to_string(&status).unwrap_or_default()
            };
            let desk = Desk::new(geteuid().as_raw(), open_to_all, Box::new(status), sender);
            tokio::task::spawn_local(server::serve(listener, Rc::clone(&desk)));
            Ok(Some(Open { messages, desk, remove }))
        });
        let open = open.unwrap_or_else(|why| {
            tracing::warn!("control: {why}; going on without softstop status, drain and the like");
            None
        });
        Orders { open, asking: BTreeMap::new() }
    }

    /// `None` when nothing listens: then it is not worth waiting for.
    pub(super) async fn next(&mut self) -> Option<Message> {
        match &mut self.open {
            Some(open) => open.messages.recv().await,
            None => None,
        }
    }

    /// The end: who still waits for an answer gets it and may leave, until `until` at the latest.
    pub(super) async fn close(&mut self, until: Instant) {
        self.asking.clear();
        if let Some(open) = self.open.take() {
            drop(open.messages);
            (open.remove)();
            open.desk.everybody_left(until).await;
        }
    }
}

impl Shell {
    pub(super) fn ordered(&mut self, message: Message) {
        match message {
            Message::Ordered { ask, order, by, reply } => {
                self.orders.asking.insert(ask, reply);
                self.push(Event::Ordered { ask, order, by });
            }
            Message::Gone { ask } => {
                self.orders.asking.remove(&ask);
                self.push(Event::AskerGone { ask });
            }
        }
    }

    pub(super) fn answer(&mut self, ask: AskId, answer: Answer) {
        if let Some(reply) = self.orders.asking.remove(&ask) {
            reply.answer(answer);
        }
    }

    /// Who waits sees what goes on.
    pub(super) fn tell_askers(&self, note: &Note) {
        // Its own order is no news to anybody.
        let news = note.level() <= Level::Info && !matches!(note, Note::Ordered { .. });
        if self.orders.asking.is_empty() || !news {
            return;
        }
        let text = note.to_string();
        self.orders.asking.values().for_each(|reply| reply.tell(&text));
    }
}
