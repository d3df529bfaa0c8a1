//! `wait_idle`: looks at the connections, and lets [`Idle`] judge.

pub(super) mod rule;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until, timeout};

use super::listening::{self, Found};
use super::{ProgressReporter, pause};
use crate::config::handler::WaitIdle;
use crate::facts::{Awaited, Failure, Outcome, Progress, Unseen};
use crate::http::own;
use crate::runtime::Clock;
use crate::sys::sockets::ended::Endings;
use crate::sys::sockets::relay::Relay;
use crate::sys::sockets::{self, Query, Socket, TIME_WAIT, TcpState, Walk};
use crate::sys::stdio::watch;
use rule::{Connection, Ended, Idle, IdleState, Stage};

/// Between two looks at least.
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks the ends of connections wake us so often at most: when each came tells a kubelet's probes, which are few.
const WAKES: u32 = 8;
/// Who asks the kernel has so long for a piece of the answer: it takes a fraction of a millisecond, on a machine that is starved a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// So often it is tried once more; then what moves on connections is not asked any more, and every open one counts.
const HELD: u32 = 2;
/// Of so many that begin to listen meanwhile it is found out whose they are.
const LISTENERS: usize = 256;

const LOOKED_AT: [TcpState; 9] = [
    TcpState::LISTEN,
    TcpState::SYN_RECV,
    TcpState::ESTABLISHED,
    TcpState::CLOSE_WAIT,
    TcpState::FIN_WAIT1,
    TcpState::FIN_WAIT2,
    TcpState::CLOSING,
    TcpState::LAST_ACK,
    TcpState::TIME_WAIT,
];

/// `found`: who has listened since the stop began. `node`: its addresses.
pub(super) async fn wait(
    rule: WaitIdle,
    found: Found,
    node: Vec<IpAddr>,
    clock: Clock,
    reporter: ProgressReporter,
) -> Outcome {
    let Some(mut looks) = Inspections::begin(rule, found, &node, clock, &reporter).await else {
        reporter.report(Progress::of(Awaited::NoListener));
        return Outcome::Ok;
    };
    loop {
        let (took, seen) = looks.look().await;
        let mut next = Instant::now() + pause(took, LOOK);
        match seen.map(|()| looks.idle.judge(clock.now())) {
            Ok(IdleState::Idle) => {
                looks.idle.conclusion().into_iter().for_each(|progress| reporter.report(progress));
                return Outcome::Ok;
            }
            Ok(IdleState::NotYet { progress, at }) => {
                reporter.report(progress);
                // Not a whole pause too late.
                next = at.map_or(next, |at| next.min(clock.instant(at)));
            }
            // Nobody knows whether anybody is still served: as good as a connection that stays.
            Err(error) => {
                looks.idle.dismiss(clock.now());
                let unseen = Failure::Unseen { what: Unseen::Connections, error: error.to_string() };
                reporter.report(Progress::alarm(Awaited::Success(unseen)));
            }
        }
        looks.rest(next.max(Instant::now() + Duration::from_millis(1))).await;
    }
}

struct Inspections {
    query: Query,
    idle: Idle,
    watched: Watched,
    found: Found,
    /// Who asks the kernel, between two looks.
    relay: Option<Relay>,
    /// How often it had to be given up.
    held: u32,
    /// Those that listen since, and have been looked for.
    listening: HashSet<u64>,
    clock: Clock,
}

impl Inspections {
    /// `None`: there is no port to look at.
    async fn begin(
        rule: WaitIdle,
        found: Found,
        node: &[IpAddr],
        clock: Clock,
        reporter: &ProgressReporter,
    ) -> Option<Inspections> {
        let began = clock.now();
        let all = found.all(rule.listening, reporter).await;
        let listeners = listening::owned(&all);
        let ports = listening::ports(&rule.ports, rule.listening, &listeners);
        if ports.is_empty() {
            return None;
        }
        if rule.listening {
            reporter.report(Progress::of(listening::awaited(&all, &listeners)));
        }
        let watched = Watched::begin(&ports);
        let idle = Idle::new(rule, ports.clone(), listeners, node, began);
        let query = Query { states: TcpState::bits(&LOOKED_AT), ports, flow: true };
        Some(Inspections { query, idle, watched, found, relay: None, held: 0, listening: HashSet::new(), clock })
    }

    /// One look, and how long it took of the one thread: whoever else has something to do gets a turn after every piece.
    async fn look(&mut self) -> (Duration, io::Result<()>) {
        let mut took = Duration::ZERO;
        let mut walk: Option<Listing> = None;
        let mut more_listen = false;
        let accepted = self.watched.accepted();
        loop {
            let began = Instant::now();
            // Before each piece: what is listed as gone has been told of.
            self.take_ended();
            let piece = match self.piece(&mut walk).await {
                Ok(piece) => piece,
                Err(error) => return (took + began.elapsed(), Err(error)),
            };
            let over = piece.is_none();
            for socket in piece.iter().flatten() {
                if socket.state == TcpState::LISTEN {
                    let new = !self.idle.knows(socket.local, socket.inode) && self.listening.len() < LISTENERS;
                    more_listen |= new && self.listening.insert(socket.inode);
                } else {
                    self.idle.see(&connection(socket), self.clock.now());
                }
            }
            if over {
                if more_listen {
                    self.idle.listen(listening::owned(&self.found.now()));
                }
                if let (Watched::Count { others }, Some(accepted)) = (&mut self.watched, accepted) {
                    // Meanwhile softstop has accepted its own, which the kernel counts first.
                    let now = accepted.saturating_sub(own::accepted());
                    self.idle.missed(now.saturating_sub(*others));
                    *others = now.max(*others);
                }
            }
            took += began.elapsed();
            if over {
                return (took, Ok(()));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Begins the walk, if need be, and goes on with it.
    async fn piece(&mut self, walk: &mut Option<Listing>) -> io::Result<Option<Vec<Socket>>> {
        let mut listing = match walk.take() {
            Some(listing) => listing,
            None => self.list(),
        };
        let piece = match &mut listing {
            Listing::Relay(relay) => match timeout(PATIENCE, relay.piece(&self.query)).await {
                Ok(piece) => piece,
                Err(_) => {
                    let why = "a process keeps the kernel from looking at one of them";
                    Err(io::Error::new(io::ErrorKind::TimedOut, why))
                }
            },
            Listing::Walk(walk) => walk.piece(),
        };
        match (&piece, listing) {
            (Ok(Some(_)), listing) => *walk = Some(listing),
            (Ok(None), Listing::Relay(relay)) => self.relay = Some(relay),
            (Err(error), Listing::Relay(_)) if may_pass(error) => self.held += 1,
            // A kernel that refuses does not change its mind; what has been seen may be seen again.
            (Err(_), Listing::Relay(_)) => {
                self.held = HELD;
                *walk = Some(self.list());
                return Ok(Some(Vec::new()));
            }
            _ => {}
        }
        piece
    }

    fn list(&mut self) -> Listing {
        if self.held < HELD {
            let relay = self.relay.take().map_or_else(Relay::start, Ok);
            // For want of a process or a descriptor there is none: the next look may have it.
            if let Ok(relay) = relay.and_then(|mut relay| relay.begin(&self.query).map(|()| relay)) {
                return Listing::Relay(relay);
            }
        }
        Listing::Walk(Walk::begin(&Query { flow: false, ..self.query.clone() }))
    }

    /// Until the next look.
    async fn rest(&mut self, until: Instant) {
        for _ in 0..WAKES {
            let Some(readable) = self.watched.readable() else { break };
            tokio::select! {
                biased;
                () = sleep_until(until) => return,
                ready = readable.readable() => match ready {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => break,
                },
            }
            self.take_ended();
        }
        sleep_until(until).await;
    }

    fn take_ended(&mut self) {
        let Watched::Ends { endings, .. } = &self.watched else { return };
        let now = self.clock.now();
        match endings.piece() {
            Ok(piece) => {
                // The rest later: the kernel keeps some thousand.
                self.idle.missed(u64::from(piece.lost));
                piece.sockets.iter().for_each(|socket| self.idle.ended(&ended(socket), now));
            }
            Err(_) => self.watched = Watched::Nothing,
        }
    }
}

/// Who asks was held, or has been killed: the next one may find it better.
fn may_pass(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::UnexpectedEof)
}

/// How they are listed.
enum Listing {
    /// With what moves on them.
    Relay(Relay),
    /// Without.
    Walk(Walk),
}

/// How connections are known that come and go between two looks.
enum Watched {
    /// Each by its end.
    Ends { endings: Endings, readable: Option<AsyncFd<File>> },
    /// By the number that the kernel counts for the whole network namespace, without those that are softstop's.
    Count { others: u64 },
    /// Only by the traces that some of them leave.
    Nothing,
}

impl Watched {
    fn begin(ports: &[u16]) -> Watched {
        match Endings::watch(ports) {
            Ok(endings) => {
                let readable = endings.duplicate().and_then(|file| watch(file, Interest::READABLE)).ok();
                Watched::Ends { endings, readable }
            }
            Err(_) => sockets::accepted().map_or(Watched::Nothing, |accepted| Watched::Count {
                others: accepted.saturating_sub(own::accepted()),
            }),
        }
    }

    fn accepted(&self) -> Option<u64> {
        if matches!(self, Watched::Count { .. }) { sockets::accepted() } else { None }
    }

    fn readable(&self) -> Option<&AsyncFd<File>> {
        match self {
            Watched::Ends { readable, .. } => readable.as_ref(),
            _ => None,
        }
    }
}

fn connection(socket: &Socket) -> Connection {
    let has_process = socket.inode != 0;
    let flow = socket.flow;
    let stage = match socket.state {
        TcpState::SYN_RECV => Stage::Arriving,
        TcpState::ESTABLISHED | TcpState::CLOSE_WAIT => Stage::Open,
        // This side has said all that it had to say; the process may still listen.
        TcpState::FIN_WAIT2 if has_process && flow.is_some() => Stage::Open,
        TcpState::FIN_WAIT1 | TcpState::CLOSING | TcpState::LAST_ACK => Stage::Closing,
        _ => Stage::Trace,
    };
    // The peer's end of the connection, that the process has not noticed, is nothing to be answered.
    let end = u32::from(socket.state == TcpState::CLOSE_WAIT);
    Connection {
        local: socket.local,
        peer: socket.peer,
        stage,
        flow,
        unread: socket.unread > end,
        unsent: socket.unsent > 0,
        accepted: has_process,
        cgroup: socket.cgroup,
        own: own::is_ours(socket.peer),
        closed: socket.remains.map(|left| TIME_WAIT.saturating_sub(left)),
    }
}

fn ended(socket: &Socket) -> Ended {
    Ended {
        local: socket.local,
        peer: socket.peer,
        own: own::is_ours(socket.peer),
        received: socket.flow.map(|flow| flow.received),
    }
}
