//! The local ends of the connections that softstop itself makes, for probes and hooks, and how many it has accepted: who counts a service's
//! connections leaves these out. And who asks as a kubelet does: an address of the node.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// So many are remembered. Who counts looks many times a second and needs them at the first look that shows them, so those of
/// the last second are plenty.
const MOST: usize = 512;

#[derive(Default)]
struct Ends {
    in_order: VecDeque<SocketAddr>,
    known: HashSet<SocketAddr>,
}

/// So many addresses of kubelets: a pod has one, or one of each family.
const MOST_KUBELETS: usize = 4;
/// What a kubelet calls itself: `kube-probe/1.36`, and in a hook `kube-lifecycle/1.36`.
const KUBELET: [&[u8]; 2] = [b"kube-probe/", b"kube-lifecycle/"];

thread_local! {
    static ENDS: RefCell<Ends> = RefCell::default();
    static ACCEPTED: Cell<u64> = const { Cell::new(0) };
    static KUBELETS: RefCell<Vec<IpAddr>> = const { RefCell::new(Vec::new()) };
}

/// The probe port has accepted a connection.
pub(super) fn count_accepted() {
    ACCEPTED.set(ACCEPTED.get() + 1);
}

/// Connections in this network namespace that are softstop's: accepted by it, or made by it to a port here.
pub fn accepted() -> u64 {
    ACCEPTED.get()
}

/// A request came from there, by a client of this name.
pub(super) fn asked(from: IpAddr, user_agent: &[u8]) {
    if !KUBELET.iter().any(|name| user_agent.starts_with(name)) {
        return;
    }
    let from = from.to_canonical();
    KUBELETS.with_borrow_mut(|known| {
        if known.len() < MOST_KUBELETS && !known.contains(&from) {
            known.push(from);
        }
    });
}

/// From where a kubelet has asked.
pub fn kubelets() -> Vec<IpAddr> {
    KUBELETS.with_borrow(Clone::clone)
}

/// A connection from this address to that is being made.
pub(super) fn remember(local: SocketAddr, to: SocketAddr) {
    let local = canonical(local);
    ENDS.with_borrow_mut(|ends| {
        if !ends.known.insert(local) {
            return;
        }
        if local.ip() == to.ip().to_canonical() {
            count_accepted();
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
        let before = accepted();
        for n in 1..=600 {
            remember(end(n), SocketAddr::from(([127, 0, 0, u8::from(n % 3 == 0)], 80)));
        }
        assert_eq!(accepted() - before, 200, "those to another host are no connection here");
        assert!(is_ours("[::ffff:127.0.0.1]:100".parse().unwrap()) && !is_ours("127.0.0.2:600".parse().unwrap()));
        let known: Vec<u16> = (1..=600).filter(|n| is_ours(end(*n))).collect();
        assert_eq!((known.len(), known[0]), (MOST, 89), "the latest, and as many as may be");
    }

    #[test]
    fn a_kubelet_is_known_by_its_name_and_no_more_than_some_are() {
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        asked(ip(1), b"curl/8");
        asked("::ffff:10.0.0.2".parse().unwrap(), b"kube-probe/1.36");
        asked(ip(2), b"kube-lifecycle/1.36");
        assert_eq!(kubelets(), [ip(2)]);
        (3..100).for_each(|n| asked(ip(n), b"kube-probe/1.36"));
        assert_eq!(kubelets().len(), MOST_KUBELETS);
    }
}
