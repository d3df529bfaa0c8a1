//! Whose connections are counted: who listens on a port decides. In a network namespace that several containers share (a pod, a host's own)
//! others may listen on the same port at another address, or beside us; and where nobody of ours listens, the port of another container is
//! meant: a proxy's, or a sidecar's main container's. Pure.

use std::net::{IpAddr, SocketAddr};

use crate::facts::Several;
use crate::sorted;

/// So many are remembered.
const MOST: usize = 1024;
/// So many ports are named.
const NAMED: usize = 8;

/// Whose process holds a listening socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// A descendant of softstop's.
    Ours,
    /// Somebody else.
    Others,
    /// It cannot be known: their open files may not be looked at.
    Unknown,
}

/// A listening socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    pub local: SocketAddr,
    pub inode: u64,
    /// The control group that it was made in, where the kernel says so; those it has accepted have the same.
    pub cgroup: Option<u64>,
    pub owner: Owner,
}

/// Every socket that was seen to listen since the stop began: one that is closed meanwhile has left its connections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listeners {
    all: Vec<Listener>,
}

impl Listeners {
    pub fn extend(&mut self, more: Listeners) {
        more.all.into_iter().for_each(|listener| self.add(listener));
    }

    pub fn add(&mut self, listener: Listener) {
        let room = self.all.len() < MOST;
        match self.all.iter_mut().find(|l| l.inode == listener.inode && l.local == listener.local) {
            // Once it was ours it is; who has closed it holds it no longer.
            Some(known) if known.owner == Owner::Ours => {}
            Some(known) => *known = listener,
            None if room => self.all.push(listener),
            None => {}
        }
    }

    pub fn any_unknown(&self) -> bool {
        self.all.iter().any(|l| l.owner == Owner::Unknown)
    }

    pub fn knows(&self, local: SocketAddr, inode: u64) -> bool {
        self.all.iter().any(|l| l.inode == inode && l.local == local)
    }

    /// The ports that are ours, or may be, in order.
    pub fn own_ports(&self) -> Vec<u16> {
        let ours = self.all.iter().filter(|l| l.owner != Owner::Others);
        let mut ports: Vec<u16> = ours.map(|l| l.local.port()).collect();
        sorted::sort(&mut ports);
        ports.dedup();
        ports
    }

    /// Those of the ports on which nobody has listened. `None`: somebody has on each.
    pub fn missing(&self, ports: &[u16]) -> Option<Several<u16>> {
        let mut named = ports.to_vec();
        named.retain(|port| !self.all.iter().any(|l| l.local.port() == *port));
        let all = named.len();
        named.truncate(NAMED);
        (all > 0).then_some(Several { named, all })
    }

    /// Whether a connection to `local` counts: not if it is of a listener that is somebody else's, beside one of ours.
    pub fn count(&self, local: SocketAddr, cgroup: Option<u64>) -> bool {
        let on_port = || self.all.iter().filter(|l| l.local.port() == local.port());
        if !on_port().any(|l| l.owner == Owner::Ours) {
            return true;
        }
        let exact = on_port().any(|l| l.local.ip() == local.ip());
        let takes =
            |l: &&Listener| if exact { l.local.ip() == local.ip() } else { is_wildcard_for(l.local.ip(), local.ip()) };
        let may_be = |owner: Owner| on_port().filter(takes).filter(move |l| l.owner == owner);
        if may_be(Owner::Others).next().is_none() {
            return true;
        }
        if may_be(Owner::Ours).chain(may_be(Owner::Unknown)).next().is_none() {
            return false;
        }
        // They share the very address (SO_REUSEPORT): only the control group can tell.
        let is_of = |owner: Owner| may_be(owner).any(|l| l.cgroup == cgroup);
        cgroup.is_none() || is_of(Owner::Ours) || is_of(Owner::Unknown) || !is_of(Owner::Others)
    }
}

/// `0.0.0.0` takes IPv4, `::` both unless it was told otherwise.
fn is_wildcard_for(listens: IpAddr, local: IpAddr) -> bool {
    listens.is_unspecified() && (listens.is_ipv6() || local.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(local: &str, owner: Owner) -> Listener {
        let local: SocketAddr = local.parse().unwrap();
        Listener { local, inode: u64::from(local.port()) * 10 + owner as u64, cgroup: None, owner }
    }

    fn listeners(all: &[Listener]) -> Listeners {
        let mut listeners = Listeners::default();
        all.iter().for_each(|l| listeners.add(*l));
        listeners
    }

    fn count(all: &[Listener], local: &str) -> bool {
        listeners(all).count(local.parse().unwrap(), None)
    }

    #[test]
    fn another_instance_on_the_same_port_does_not_count() {
        use Owner::{Others, Ours, Unknown};
        let both = [listener("127.0.0.1:80", Ours), listener("127.0.0.2:80", Others)];
        assert!(count(&both, "127.0.0.1:80") && !count(&both, "127.0.0.2:80"));
        let general = [listener("[::]:80", Ours), listener("10.0.0.1:80", Others)];
        assert!(count(&general, "10.0.0.2:80") && !count(&general, "10.0.0.1:80"));
        let special = [listener("0.0.0.0:80", Others), listener("10.0.0.1:80", Ours)];
        assert!(!count(&special, "10.0.0.2:80") && count(&special, "10.0.0.1:80"));
        assert!(count(&special, "[fd00::1]:80"), "nobody is known to take it");
        // A sidecar's main container, a proxy: nobody of ours is there.
        for other in [Others, Unknown] {
            assert!(count(&[listener("0.0.0.0:80", other), listener("0.0.0.0:81", Ours)], "10.0.0.1:80"));
        }
        assert!(count(&[], "10.0.0.1:80"));
        assert!(count(&[listener("0.0.0.0:80", Ours), listener("0.0.0.0:80", Unknown)], "10.0.0.1:80"));
    }

    #[test]
    fn who_shares_the_very_address_is_told_by_the_control_group() {
        let ours = Listener { cgroup: Some(7), ..listener("0.0.0.0:80", Owner::Ours) };
        let other = Listener { cgroup: Some(8), ..listener("0.0.0.0:80", Owner::Others) };
        let count = |of: &[Listener], cgroup| listeners(of).count("10.0.0.1:80".parse().unwrap(), cgroup);
        assert!(count(&[ours, other], Some(7)) && !count(&[ours, other], Some(8)));
        assert!(count(&[ours, other], None) && count(&[ours, other], Some(9)), "nobody knows");
        let same = Listener { cgroup: Some(7), ..other };
        assert!(count(&[ours, same], Some(7)), "nobody knows");
    }

    #[test]
    fn our_own_ports_are_those_that_are_not_known_to_be_of_others() {
        use Owner::{Others, Ours, Unknown};
        let all = [
            listener("[::]:8080", Ours),
            listener("0.0.0.0:8080", Ours),
            listener("127.0.0.1:9000", Ours),
            listener("0.0.0.0:9180", Others),
            listener("0.0.0.0:81", Unknown),
        ];
        assert_eq!(listeners(&all).own_ports(), [81, 8080, 9000]);
    }

    #[test]
    fn a_port_nobody_listens_on_is_named() {
        let some = listeners(&[listener("0.0.0.0:80", Owner::Others)]);
        assert_eq!(some.missing(&[80]), None);
        assert_eq!(some.missing(&[80, 8099]).unwrap().to_string(), "8099");
        let many: Vec<u16> = (1000..1010).collect();
        assert!(some.missing(&many).unwrap().to_string().ends_with(", 1007 and 2 more"), "{:?}", some.missing(&many));
    }

    #[test]
    fn whoever_was_ours_stays_ours_and_no_more_are_remembered_than_the_bound() {
        let mut all = listeners(&[listener("0.0.0.0:80", Owner::Ours)]);
        let gone = Listener { owner: Owner::Others, ..listener("0.0.0.0:80", Owner::Ours) };
        all.add(gone);
        assert_eq!(all.own_ports(), [80]);
        let known = |inode| Listener { inode, ..listener("0.0.0.0:81", Owner::Unknown) };
        (0..5000).for_each(|n| all.add(known(n)));
        assert_eq!(all.all.len(), MOST);
        all.add(Listener { owner: Owner::Ours, ..known(5) });
        assert_eq!(all.own_ports(), [80, 81]);
        assert!(all.knows("0.0.0.0:81".parse().unwrap(), 5) && !all.knows("0.0.0.0:81".parse().unwrap(), 5000));
    }
}
