//! Those whose orders are under way, over the control socket or by `GET /prestop`: how they reach the loop, how their answers come
//! back, how many there may be, and that the end waits for them.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use super::protocol::Reply;
use crate::lifecycle::action::Answer;
use crate::lifecycle::event::{Client, Order, RequestId};
use crate::tasks::until;

/// Lines of progress kept for a client that reads slowly; further ones are lost to it.
const PROGRESS: usize = 64;

/// To the loop.
pub enum Message {
    // Boxed: a channel has room for 32 of them from the first on.
    Ordered { ask: RequestId, order: Box<Order>, by: Client, reply: ReplyTo },
    Gone { ask: RequestId },
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
pub struct PendingRequests {
    /// No longer than twice the places: each who waits sends two messages at most.
    orders: mpsc::UnboundedSender<Message>,
    next: Cell<u64>,
    waiting: Cell<usize>,
    left: Notify,
}

impl PendingRequests {
    pub fn new(orders: mpsc::UnboundedSender<Message>) -> Rc<PendingRequests> {
        Rc::new(PendingRequests { orders, next: Cell::new(0), waiting: Cell::new(0), left: Notify::new() })
    }

    /// A place, if fewer than `most` wait already.
    pub fn enter(self: &Rc<PendingRequests>, most: usize) -> Option<Place> {
        let taken = self.waiting.get();
        (taken < most).then(|| {
            self.waiting.set(taken + 1);
            Place(Rc::clone(self))
        })
    }

    /// Until everybody has had an answer and left, at `time` at the latest.
    pub async fn everybody_left(&self, time: Instant) {
        let _ = timeout_at(time, until(&self.left, || self.waiting.get() == 0)).await;
    }
}

/// One of those who wait. The end waits until it is dropped.
pub struct Place(Rc<PendingRequests>);

impl Place {
    /// Gives the order.
    pub fn ask(self, order: Order, by: Client) -> Asking {
        let ask = RequestId(self.0.next.replace(self.0.next.get() + 1));
        let (sender, lines) = mpsc::unbounded_channel();
        let room = Rc::new(Cell::new(PROGRESS));
        // When the loop has ended, both this and the way back are dropped.
        let reply = ReplyTo { lines: sender, room: Rc::clone(&room) };
        let _ = self.0.orders.send(Message::Ordered { ask, order: Box::new(order), by, reply });
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
    ask: RequestId,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::Done;

    fn room() -> (Rc<PendingRequests>, mpsc::UnboundedReceiver<Message>) {
        let (orders, given) = mpsc::unbounded_channel();
        (PendingRequests::new(orders), given)
    }

    fn ask(room: &Rc<PendingRequests>) -> Asking {
        room.enter(8).unwrap().ask(Order::Ready, Client::Local { uid: 0, pid: 1 })
    }

    fn reply_to(given: &mut mpsc::UnboundedReceiver<Message>) -> (RequestId, ReplyTo) {
        match given.try_recv() {
            Ok(Message::Ordered { ask, reply, .. }) => (ask, reply),
            _ => panic!("no order has arrived"),
        }
    }

    fn run(future: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future);
    }

    async fn lines(asking: &mut Asking) -> usize {
        let mut lines = 0;
        while let Reply::Progress(_) = asking.next().await {
            lines += 1;
        }
        lines
    }

    #[test]
    fn a_client_that_does_not_read_loses_what_is_beyond_the_bound() {
        run(async {
            let (room, mut given) = room();
            let mut asking = ask(&room);
            let (_, reply) = reply_to(&mut given);
            (0..PROGRESS + 10).for_each(|_| reply.tell("still at it"));
            reply.answer(Answer::Done(Done::Unready { already: false }));
            assert_eq!(lines(&mut asking).await, PROGRESS);
        });
    }

    #[test]
    fn a_client_that_reads_loses_nothing_however_much_there_is() {
        run(async {
            let (room, mut given) = room();
            let mut asking = ask(&room);
            let (_, reply) = reply_to(&mut given);
            for _ in 0..PROGRESS + 10 {
                reply.tell("still at it");
                assert!(matches!(asking.next().await, Reply::Progress(_)));
            }
            (0..PROGRESS).for_each(|_| reply.tell("still at it"));
            reply.answer(Answer::Done(Done::Unready { already: false }));
            assert_eq!(lines(&mut asking).await, PROGRESS);
        });
    }

    #[test]
    fn there_are_so_many_places_and_each_is_given_back() {
        let (room, _given) = room();
        let (first, second) = (room.enter(2), room.enter(2));
        assert!(first.is_some() && second.is_some() && room.enter(2).is_none());
        drop(first);
        let third = room.enter(2);
        assert!(third.is_some() && room.enter(2).is_none());
    }

    #[test]
    fn who_leaves_before_the_answer_is_told_of_and_who_has_had_it_is_not() {
        run(async {
            let (room, mut given) = room();
            let gone = ask(&room);
            let (id, _reply) = reply_to(&mut given);
            drop(gone);
            assert!(matches!(given.try_recv(), Ok(Message::Gone { ask }) if ask == id));
            let mut answered = ask(&room);
            let (another, reply) = reply_to(&mut given);
            assert_ne!(another, id);
            reply.answer(Answer::Done(Done::Unready { already: false }));
            assert_eq!(lines(&mut answered).await, 0);
            drop(answered);
            assert!(given.try_recv().is_err());
        });
    }

    #[test]
    fn the_end_goes_on_as_soon_as_the_last_has_left_and_waits_for_nobody_beyond_its_time() {
        run(async {
            let (room, _given) = room();
            let places = [room.enter(2), room.enter(2)];
            let began = Instant::now();
            let leaving = async { drop(places) };
            tokio::join!(room.everybody_left(began + Duration::from_secs(30)), leaving);
            assert!(began.elapsed() < Duration::from_secs(10), "nobody woke it: {:?}", began.elapsed());
            let _stays = room.enter(1);
            let until = Instant::now() + Duration::from_millis(20);
            room.everybody_left(until).await;
            assert!(Instant::now() >= until);
        });
    }
}
