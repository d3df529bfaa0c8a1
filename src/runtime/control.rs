//! Orders, over the control socket or by `GET /prestop`, as events, and their answers on the way back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use nix::unistd::geteuid;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Clock;
use super::monitor::{Audience, Monitor};
use super::shell::Shell;
use crate::control::pending::{Message, PendingRequests, ReplyTo};
use crate::control::server::{self, ControlState};
use crate::control::socket::{self, SocketFile};
use crate::lifecycle::Machine;
use crate::lifecycle::action::Answer;
use crate::lifecycle::event::{Event, RequestId};
use crate::output::kept::Keeper;
use crate::report::{History, Level, Note};
use crate::tasks;

/// Where orders come from, and who waits for an answer.
pub(super) struct Orders {
    messages: mpsc::UnboundedReceiver<Message>,
    /// Where who orders something waits.
    pub room: Rc<PendingRequests>,
    asking: BTreeMap<RequestId, ReplyTo>,
    /// The control socket's, which is removed with it.
    file: Option<SocketFile>,
    /// What can be shown of the processes' last lines.
    pub keeper: Rc<Keeper>,
    /// And of what has happened.
    pub history: Rc<RefCell<History>>,
}

impl Orders {
    /// With nowhere to give one yet but its room.
    pub(super) fn new(keeper: Rc<Keeper>) -> Orders {
        let (sender, messages) = mpsc::unbounded_channel();
        Orders {
            messages,
            room: PendingRequests::new(sender),
            asking: BTreeMap::new(),
            file: None,
            keeper,
            history: Rc::default(),
        }
    }

    /// Begins to listen at the control socket. It is a convenience: what stands in its way is said once and nothing more.
    pub(super) fn listen(&mut self, machine: &Rc<RefCell<Machine>>, monitor: &Rc<RefCell<Monitor>>, clock: Clock) {
        let control = machine.borrow().plan().config.control.clone();
        let open = socket::listen(&control).and_then(|listening| {
            let Some(listening) = listening else { return Ok(None) };
            let file = listening.file;
            let open_to_all = listening.open_to_all;
            let listener = UnixListener::from_std(listening.listener).map_err(|e| format!("cannot listen: {e}"))?;
            let (machine, monitor) = (Rc::clone(machine), Rc::clone(monitor));
            let history = Rc::clone(&self.history);
            let status = move |timeline: bool| {
                let machine = machine.borrow();
                let mut status = machine.status(clock.now());
                let source = machine.plan().config.source.as_ref();
                status.config = source.map(|file| file.display().to_string());
                monitor.borrow().show(&mut status, Audience::Owner);
                let mut status = serde_json::to_string(&status).unwrap_or_default();
                if timeline
                    && let Some(report) = history.borrow().of_stop()
                    && status.pop() == Some('}')
                {
                    status = format!("{status},\"stop_report\":{report}}}");
                }
                status
            };
            let (room, keeper) = (Rc::clone(&self.room), Rc::clone(&self.keeper));
            let state = ControlState::new(geteuid().as_raw(), open_to_all, Box::new(status), room, keeper);
            tasks::spawn(server::serve(listener, state));
            Ok(file)
        });
        self.file = open.unwrap_or_else(|why| {
            tracing::warn!("control: {why}; going on without softstop status, drain and the like");
            None
        });
    }

    pub(super) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// What has arrived already.
    pub(super) fn next_now(&mut self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// The end: who still waits for an answer gets it and may leave, until `until` at the latest.
    pub(super) async fn close(&mut self, until: Instant) {
        self.asking.clear();
        self.messages.close();
        while self.messages.try_recv().is_ok() {}
        // However late it is, who waits is told.
        tokio::task::yield_now().await;
        self.file = None;
        self.room.everybody_left(until).await;
    }
}

impl Shell {
    pub(super) fn ordered(&mut self, message: Message) {
        match message {
            Message::Ordered { ask, order, by, reply } => {
                self.orders.asking.insert(ask, reply);
                self.push(Event::Ordered { ask, order: *order, by });
            }
            Message::Gone { ask } => {
                self.orders.asking.remove(&ask);
                self.push(Event::ClientGone { ask });
            }
        }
    }

    pub(super) fn answer(&mut self, ask: RequestId, answer: Answer) {
        if let Some(reply) = self.orders.asking.remove(&ask) {
            reply.answer(answer);
        }
    }

    /// Who waits sees what goes on.
    pub(super) fn tell_clients(&self, note: &Note) {
        // Its own order is no news to anybody.
        let news = note.level() <= Level::Info && !matches!(note, Note::Ordered { .. });
        if self.orders.asking.is_empty() || !news {
            return;
        }
        let text = note.to_string();
        self.orders.asking.values().for_each(|reply| reply.tell(&text));
    }
}
