//! `wait_idle`: looks at the connections, and lets [`Idle`] judge.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::{Teller, pause};
use crate::config::wait::WaitIdle;
use crate::http::own;
use crate::lifecycle::event::{Outcome, Progress};
use crate::lifecycle::idle::{Connection, Idle, Verdict};
use crate::runtime::Clock;
use crate::sys::sockets::{Query, TcpState, Walk};

/// Between two looks at least. A connection that comes, is closed by its client and leaves no trace in between is not seen.
const LOOK: Duration = Duration::from_millis(50);

/// Either side may still send.
const OPEN: [TcpState; 2] = [TcpState::ESTABLISHED, TcpState::CLOSE_WAIT];
/// What is left of a connection once this side has closed it.
const TRACES: [TcpState; 5] =
    [TcpState::FIN_WAIT1, TcpState::FIN_WAIT2, TcpState::CLOSING, TcpState::LAST_ACK, TcpState::TIME_WAIT];

pub(super) async fn wait(rule: WaitIdle, clock: Clock, teller: Teller) -> Outcome {
    let states = OPEN.iter().chain(&TRACES).fold(0, |bits, state| bits | state.bit());
    let query = Query { states, ports: rule.ports.clone() };
    let mut idle = Idle::new(rule, clock.now());
    loop {
        let (took, seen) = look(&query, &mut idle).await;
        let mut next = Instant::now() + pause(took, LOOK);
        match seen.map(|()| idle.judge(clock.now())) {
            Ok(Verdict::Idle) => return Outcome::Ok,
            Ok(Verdict::NotYet { progress, at }) => {
                teller.tell(progress);
                // Not a whole pause too late.
                next = at.map_or(next, |at| next.min(clock.instant(at)));
            }
            // Nobody knows whether anybody is still served: as good as a connection that stays.
            Err(error) => {
                idle.dismiss(clock.now());
                teller.tell(Progress::new(format!("connections cannot be seen: {error}")));
            }
        }
        tokio::time::sleep_until(next.max(Instant::now() + Duration::from_millis(1))).await;
    }
}

/// One look, and how long it took of the one thread: whoever else has something to do gets a turn after every piece.
async fn look(query: &Query, idle: &mut Idle) -> (Duration, io::Result<()>) {
    let mut took = Duration::ZERO;
    let mut walk = None;
    loop {
        let began = Instant::now();
        let piece = walk.get_or_insert_with(|| Walk::begin(query)).piece();
        let more = match piece {
            Ok(Some(sockets)) => {
                for s in &sockets {
                    let (open, own) = (OPEN.contains(&s.state), own::is_ours(s.peer));
                    idle.see(&Connection { local: s.local, peer: s.peer, open, own });
                }
                true
            }
            Ok(None) => false,
            Err(error) => return (took + began.elapsed(), Err(error)),
        };
        took += began.elapsed();
        if !more {
            return (took, Ok(()));
        }
        tokio::task::yield_now().await;
    }
}
