//! Those whose orders are under way, over the control socket or by `GET /prestop`: how they reach the loop, how their answers come
//! back, how many there may be, and that the end waits for them.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use super::protocol::Reply;
use crate::lifecycle::action::Answer;
use crate::lifecycle::event::{AskId, Asker, Order};

/// Lines of progress kept for a client that reads slowly; further ones are lost to it.
const PROGRESS: usize = 64;

/// To the loop.
pub enum Message {
    Ordered { ask: AskId, order: Order, by: Asker, reply: ReplyTo },
    Gone { ask: AskId },
}

/// The way back to a client. Dropped without an answer it says that softstop is ending.
pub struct ReplyTo {
    lines: mpsc::UnboundedSender<Reply>,
    /// For so many lines of progress more.
    room: Rc<Cell<usize>>,
}

impl ReplyTo {
    /// A line on the way; lost when the client does not read.
    pub fn tell(&self, text: &str) {
        if let Some(room) = self.room.get().checked_sub(1) {
            self.room.set(room);
            let _ = self.lines.send(Reply::Progress(text.to_string()));
        }
    }

    pub fn answer(self, answer: Answer) {
        let _ = self.lines.send(Reply::from(answer));
    }
}

/// Where they wait.
pub struct WaitingRoom {
    /// No longer than twice the places: each who waits sends two messages at most.
    orders: mpsc::UnboundedSender<Message>,
    next: Cell<u64>,
    waiting: Cell<usize>,
    left: Notify,
}

impl WaitingRoom {
    pub fn new(orders: mpsc::UnboundedSender<Message>) -> Rc<WaitingRoom> {
        Rc::new(WaitingRoom { orders, next: Cell::new(0), waiting: Cell::new(0), left: Notify::new() })
    }

    /// A place, if fewer than `most` wait already.
    pub fn enter(self: &Rc<WaitingRoom>, most: usize) -> Option<Place> {
        let taken = self.waiting.get();
        (taken < most).then(|| {
            self.waiting.set(taken + 1);
            Place(Rc::clone(self))
        })
    }

    /// Until everybody has had an answer and left, `until` at the latest.
    pub async fn everybody_left(&self, until: Instant) {
        let left = async {
            while self.waiting.get() > 0 {
                self.left.notified().await;
            }
        };
        let _ = timeout_at(until, left).await;
    }
}

/// One of those who wait. The end waits until it is dropped.
pub struct Place(Rc<WaitingRoom>);

impl Place {
    /// Gives the order.
    pub fn ask(self, order: Order, by: Asker) -> Asking {
        let ask = AskId(self.0.next.replace(self.0.next.get() + 1));
        let (sender, lines) = mpsc::unbounded_channel();
        let room = Rc::new(Cell::new(PROGRESS));
        // When the loop has ended, both this and the way back are dropped.
        let reply = ReplyTo { lines: sender, room: Rc::clone(&room) };
        let _ = self.0.orders.send(Message::Ordered { ask, order, by, reply });
        Asking { ask, lines, room, answered: false, place: self }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        self.0.left.notify_waiters();
    }
}

/// An order under way. Who drops it before the answer no longer waits for one.
pub struct Asking {
    ask: AskId,
    lines: mpsc::UnboundedReceiver<Reply>,
    room: Rc<Cell<usize>>,
    answered: bool,
    place: Place,
}

impl Asking {
    /// The next line: progress, or the answer, which is the last. Nothing is lost when it is dropped half-way.
    pub async fn next(&mut self) -> Reply {
        match self.lines.recv().await {
            Some(progress @ Reply::Progress(_)) => {
                self.room.set(self.room.get() + 1);
                progress
            }
            last => {
                self.answered = true;
                last.unwrap_or_else(|| Reply::Refused("softstop is ending".to_string()))
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.answered {
            // Nobody to tell it when the loop has ended.
            let _ = self.place.0.orders.send(Message::Gone { ask: self.ask });
        }
    }
}
