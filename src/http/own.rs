//! The local ends of the connections that softstop itself makes, for probes and hooks: who counts a service's connections leaves
//! these out.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

/// So many are remembered. Who counts looks many times a second and needs them at the first look that shows them, so those of
/// the last second are plenty.
const MOST: usize = 512;

#[derive(Default)]
struct Ends {
    in_order: VecDeque<SocketAddr>,
    known: HashSet<SocketAddr>,
}

thread_local! {
    static ENDS: RefCell<Ends> = RefCell::default();
}

/// A connection from this address is being made.
pub(super) fn remember(local: SocketAddr) {
    let local = canonical(local);
    ENDS.with_borrow_mut(|ends| {
        if !ends.known.insert(local) {
            return;
        }
        ends.in_order.push_back(local);
        if ends.in_order.len() > MOST
            && let Some(oldest) = ends.in_order.pop_front()
        {
            ends.known.remove(&oldest);
        }
    });
}

/// Whether one of the latest connections was made from there.
pub fn is_ours(peer: SocketAddr) -> bool {
    ENDS.with_borrow(|ends| ends.known.contains(&canonical(peer)))
}

/// Without scope, and IPv4 as such: as a listing of sockets has it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_known() {
        let end = |n: u16| SocketAddr::from(([127, 0, 0, 1], n));
        for n in 1..=600 {
            remember(end(n));
        }
        assert!(is_ours(end(600)) && is_ours("[::ffff:127.0.0.1]:100".parse().unwrap()));
        assert!(!is_ours(end(1)) && !is_ours("127.0.0.2:600".parse().unwrap()));
    }
}
