//! When a service has become idle: what connections there are at each look goes in, and which have ended since; whether the wait is over
//! comes out. Pure.
//!
//! Nobody tells when endpoints and load balancers have learnt that a pod is leaving. What can be seen is that no more connections
//! come, and nothing on those that are open. So the wait is over when there was neither for `quiet`, and nobody is being served. An open
//! connection is not yet a client that is served: balancers, meshes and gRPC clients keep pools of them. One is **active** while something
//! moves on it, or an answer is due.

pub mod listeners;
mod probes;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::handler::WaitIdle;
use crate::facts::{Awaited, Connections, Flow, Progress, Several};
use crate::sorted;
use crate::time::At;
use listeners::Listeners;
use probes::Probes;

/// So many connections are known one by one. Of more only the number of the open ones is: a service with so many is not idle, and this is
/// what bounds the memory.
const MOST: usize = 131_072;
/// So many are named.
const NAMED: usize = 5;
/// A connection that is not seen any more is remembered for so many looks (a second): the kernel tells of its end a little later, and that is
/// no new one.
const REMEMBERED: u64 = 20;
/// A peer that has acknowledged nothing of what it was sent for so long is gone: three retransmissions are lost on no network that works.
const GONE: Duration = Duration::from_secs(10);

/// A connection at one look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub stage: Stage,
    /// What moves on it; `None` where the kernel does not say.
    pub flow: Option<Flow>,
    /// Bytes have come that the process has not read.
    pub unread: bool,
    /// Bytes, or our end of the connection, that the peer has not acknowledged: they may still be lost with the network interface.
    pub unsent: bool,
    /// A process has it. Who has not been accepted yet has not been served.
    pub accepted: bool,
    pub cgroup: Option<u64>,
    /// softstop has made it itself. It need not be said again at later looks.
    pub own: bool,
    /// Of a [`Stage::Trace`]: how long ago it was closed.
    pub closed: Option<Duration>,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// On its way: the peer has asked for it.
    Arriving,
    /// Either side may still send: established, or closed by one of them alone.
    Open,
    /// Closed by the process; the peer does not have all of it.
    Closing,
    /// Over.
    Trace,
}

/// A connection that is gone, as the kernel tells of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub own: bool,
    /// How long ago data last came on it.
    pub received: Option<Duration>,
}

/// What is known of a connection from one look to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Open,
    Trace,
    Own,
}

/// What a look at the connections has come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IdleState {
    Idle,
    NotYet {
        progress: Progress,
        /// When it can be over at the earliest, should nothing more come; `None`: as soon as connections are idle.
        at: Option<At>,
    },
}

pub struct Idle {
    rule: WaitIdle,
    ports: Vec<u16>,
    listeners: Listeners,
    began: At,
    /// The last one that came, or the beginning.
    arrival: At,
    /// When data last came on a connection that is idle now, or gone.
    request: At,
    /// Those that came since the beginning, but for the node's.
    arrivals: u64,
    probes: Probes,
    known: HashMap<u64, (Seen, u64)>,
    /// The number of the look under way, from 1.
    number: u64,
    /// Open ones at the last look that was complete, and active ones.
    left: (u64, u64),
    /// That of the last one that was complete.
    complete: u64,
    look: Inspection,
}

/// What is being looked at.
#[derive(Default)]
struct Inspection {
    open: u64,
    active: u64,
    /// Of some nobody knows whether they are active: they count as if they were.
    unclear: bool,
    arrivals: u64,
    request: At,
    /// Active ones.
    named: Vec<SocketAddr>,
}

impl Idle {
    /// `ports`: at least one. `listeners`: who has listened since the stop began. `node`: addresses that probes may come from.
    pub fn new(rule: WaitIdle, ports: Vec<u16>, listeners: Listeners, node: &[IpAddr], now: At) -> Idle {
        Idle {
            rule,
            ports,
            listeners,
            began: now,
            arrival: now,
            request: At::ZERO,
            arrivals: 0,
            probes: Probes::new(node, now),
            known: HashMap::new(),
            number: 1,
            left: (0, 0),
            complete: 0,
            look: Inspection::default(),
        }
    }

    /// Whether this listener has been given already.
    pub fn knows(&self, local: SocketAddr, inode: u64) -> bool {
        self.listeners.knows(local, inode)
    }

    /// More that listen.
    pub fn listen(&mut self, listeners: Listeners) {
        self.listeners.extend(listeners);
    }

    /// One connection of the look under way. It may be given twice.
    pub fn see(&mut self, connection: &Connection, now: At) {
        if self.is_ignored(connection.peer) || !self.listeners.count(connection.local, connection.cgroup) {
            return;
        }
        let key = key(connection.local, connection.peer);
        let before = self.known.get(&key).copied();
        if connection.own || matches!(before, Some((Seen::Own, _))) {
            self.remember(key, Seen::Own);
            return;
        }
        let is_open = matches!(connection.stage, Stage::Open | Stage::Closing);
        let this_inspection = matches!(before, Some((_, look)) if look == self.number);
        // The same ends may be of two sockets, the older of which is closed.
        if this_inspection && !(is_open && matches!(before, Some((Seen::Trace, _)))) {
            return;
        }
        if is_open {
            self.count(connection, now);
        }
        let seen = if connection.stage == Stage::Trace { Seen::Trace } else { Seen::Open };
        let remembered = self.remember(key, seen);
        let came = now - connection.closed.unwrap_or_default();
        if self.complete == 0 {
            // What is there at the first look has come before. How the node's did tells its probes.
            if self.probes.is_node(connection.peer.ip()) {
                self.probes.came(connection.peer.ip(), came.min(self.began));
            }
            return;
        }
        let new = match before {
            None => remembered,
            Some(_) if this_inspection => false,
            // The same two ends once more, after the first had closed.
            Some((Seen::Trace, _)) => is_open,
            Some((_, look)) => is_open && look < self.complete,
        };
        if new {
            self.came(connection.peer, came);
        }
    }

    /// One that is gone. Most of them the looks have shown; those that have come and gone in between are known by this alone.
    pub fn ended(&mut self, ended: &Ended, now: At) {
        if self.is_ignored(ended.peer) || !self.listeners.count(ended.local, None) {
            return;
        }
        let key = key(ended.local, ended.peer);
        match self.known.get(&key).copied() {
            Some((Seen::Own, _)) => {}
            _ if ended.own => {
                self.remember(key, Seen::Own);
            }
            before => {
                // As of the last look: that the same ends are seen open in this one is another connection.
                if before.is_some() || self.known.len() < MOST {
                    self.known.insert(key, (Seen::Trace, self.complete));
                }
                let is_node = self.probes.is_node(ended.peer.ip());
                if before.is_none() && self.complete > 0 {
                    self.came(ended.peer, now);
                }
                if !is_node && let Some(received) = ended.received {
                    self.look.request = self.look.request.max(now - received);
                }
            }
        }
    }

    /// So many have come of which nothing else is known.
    pub fn missed(&mut self, count: u64) {
        self.look.arrivals = self.look.arrivals.saturating_add(count);
    }

    /// Forget the look under way: it has failed. Who has come and gone meanwhile nobody knows, so the quiet window begins anew.
    pub fn dismiss(&mut self, now: At) {
        let look = std::mem::take(&mut self.look);
        self.arrivals = self.arrivals.saturating_add(look.arrivals);
        self.request = self.request.max(look.request);
        self.number += 1;
        self.arrival = now;
    }

    /// The look is complete. The time is that of its end.
    pub fn judge(&mut self, now: At) -> IdleState {
        let look = std::mem::take(&mut self.look);
        self.arrivals = self.arrivals.saturating_add(look.arrivals);
        if look.arrivals > 0 {
            self.arrival = now;
        }
        self.request = self.request.max(look.request);
        self.known.retain(|_, (_, look)| *look + REMEMBERED > self.number);
        self.left = (look.open, look.active);
        self.complete = self.number;
        self.number += 1;
        let from_node = self.probes.sums();
        let last = self.arrival.max(self.request).max(from_node.last.unwrap_or_default());
        let ready = (self.began + self.rule.minimum).max(last + self.rule.quiet);
        let few = look.active <= u64::from(self.rule.connections);
        let missing = self.rule.served.then(|| self.listeners.missing(&self.ports)).flatten();
        if few && now >= ready && missing.is_none() {
            return IdleState::Idle;
        }
        let at = (few && missing.is_none()).then_some(ready);
        let progress = match missing {
            // There is nothing to wait for, so nothing says that the wait is over.
            Some(ports) => {
                let beside = (look.open > 0).then(|| self.connections(&look, false));
                Progress::alarm(Awaited::Listener { ports, beside })
            }
            None => {
                let detail = (!look.named.is_empty()).then(|| in_order(&look.named, look.active));
                Progress { detail, ..Progress::of(Awaited::Idle(self.connections(&look, few))) }
            }
        };
        IdleState::NotYet { progress, at }
    }

    /// What is to be said of the end: what it was over in spite of.
    pub fn conclusion(&self) -> Option<Progress> {
        let (open, active) = self.left;
        let probes = self.probes.sums().probes;
        if open == 0 && probes == 0 {
            return None;
        }
        let look = Inspection { open, active, ..Inspection::default() };
        Some(Progress { last: true, ..Progress::of(Awaited::Idle(self.connections(&look, false))) })
    }

    fn is_ignored(&self, peer: SocketAddr) -> bool {
        self.rule.ignore.iter().any(|network| network.contains(peer.ip()))
    }

    /// Whether there was a place for it.
    fn remember(&mut self, key: u64, seen: Seen) -> bool {
        let room = self.known.len() < MOST || self.known.contains_key(&key);
        if room {
            self.known.insert(key, (seen, self.number));
        }
        room
    }

    fn came(&mut self, peer: SocketAddr, at: At) {
        if self.probes.is_node(peer.ip()) {
            self.probes.came(peer.ip(), at);
        } else {
            self.look.arrivals += 1;
        }
    }

    fn count(&mut self, connection: &Connection, now: At) {
        let look = &mut self.look;
        look.open += 1;
        look.unclear |= connection.flow.is_none() && connection.stage == Stage::Open;
        if self.rule.is_active(connection) {
            look.active += 1;
            if look.named.len() < NAMED {
                look.named.push(connection.peer);
            }
        } else if let Some(flow) = connection.flow {
            look.request = look.request.max(now - flow.received);
        }
    }

    fn connections(&self, look: &Inspection, few: bool) -> Connections {
        let node = self.probes.sums();
        Connections {
            open: look.open,
            active: (!look.unclear).then_some(look.active),
            new: self.arrivals.saturating_add(node.arrivals),
            probes: node.probes > 0,
            quiet: few.then_some(self.rule.quiet),
        }
    }
}

impl WaitIdle {
    fn is_active(&self, connection: &Connection) -> bool {
        let Some(flow) = connection.flow else { return connection.stage == Stage::Open || connection.unsent };
        if connection.unsent {
            return flow.heard < GONE;
        }
        let moves = flow.received < self.silent || flow.sent < self.silent;
        // What came last has not been answered.
        let owes = flow.received < flow.sent || connection.unread || !connection.accepted;
        connection.stage == Stage::Open && (moves || owes)
    }
}

/// Of so many.
fn in_order(peers: &[SocketAddr], count: u64) -> Several<SocketAddr> {
    let mut named = peers.to_vec();
    sorted::by_key(&mut named, SocketAddr::to_string);
    Several { named, all: usize::try_from(count).unwrap_or(usize::MAX) }
}

fn key(local: SocketAddr, peer: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (local, peer).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
