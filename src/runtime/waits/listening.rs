//! Who listens on TCP ports here, and whose each is: for `wait_idle`. It is looked at when the stop begins, before any step of it: one may
//! tell a server to listen no more.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::idle::rule::listeners::{self, Listeners, Owner};
use super::{ProgressReporter, pause};
use crate::config::network::address;
use crate::facts::{self, Awaited, Failure, Progress, Several, Unseen};
use crate::http::own;
use crate::runtime::shell::Shell;
use crate::sorted;
use crate::sys::listening::{Holder, Listener, Listening, Search, search};
use crate::sys::{cgroup, routes};
use crate::text::one_line;

/// Before the next look where nothing can be seen, at least.
const LOOK: Duration = Duration::from_millis(500);
/// At once so much is looked at; the rest when a step waits for it.
const AT_ONCE: Duration = Duration::from_millis(10);
/// So many ports are waited for: the kernel compares each socket with each of them.
const MOST: usize = 256;
/// So many are named.
const NAMED: usize = 5;
/// Variables that are given `status.hostIP` and `status.hostIPs` in this documentation's manifests.
const HOST: [&str; 3] = ["HOST_IP", "HOST_IPS", "NODE_IP"];

/// A search that steps share, and softstop's own ports, which are none of it.
#[derive(Clone)]
pub(in crate::runtime) struct Found {
    search: Rc<RefCell<Search>>,
    own: Vec<u16>,
}

impl Found {
    fn begin(own: Vec<u16>) -> Found {
        let mut search = search(&own);
        // What fails is tried again by who needs it.
        let _ = search.go_on_for(AT_ONCE);
        Found { search: Rc::new(RefCell::new(search)), own }
    }

    /// All there was, however long it takes: whoever else has something to do gets a turn after every piece. What cannot be seen is
    /// waited for if it is `needed`.
    pub(super) async fn all(&self, needed: bool, reporter: &ProgressReporter) -> Listening {
        loop {
            let began = Instant::now();
            let went_on = self.search.borrow_mut().go_on();
            match went_on {
                Ok(true) => return self.search.borrow().found(),
                Ok(false) => tokio::task::yield_now().await,
                Err(_) if !needed => return Listening::default(),
                // As good as a connection that stays: nobody knows whether anybody is served.
                Err(error) => {
                    let unseen = Failure::Unseen { what: Unseen::Listeners, error: error.to_string() };
                    reporter.report(Progress::alarm(Awaited::Success(unseen)));
                    sleep(pause(began.elapsed(), LOOK)).await;
                    self.search.replace(search(&self.own));
                }
            }
        }
    }

    /// A look at those that listen now, as far as it gets at once.
    pub(super) fn now(&self) -> Listening {
        Found::begin(self.own.clone()).search.borrow().found()
    }
}

impl Shell {
    /// Once, when the stop begins.
    pub(in crate::runtime) fn find_listeners(&mut self) {
        if self.listening.is_none() && self.plan.config.waits_for_idle() {
            self.listening = Some(Found::begin(self.own_ports()));
        }
    }

    pub(super) fn who_listens(&self) -> Found {
        self.listening.clone().unwrap_or_else(|| Found::begin(self.own_ports()))
    }

    fn own_ports(&self) -> Vec<u16> {
        self.plan.config.http.iter().map(|http| http.listen.port()).collect()
    }

    /// Addresses that the node's probes may come from: as a kubelet has asked softstop, as `HOST_IP` says, and the gateways.
    pub(super) fn node(&self) -> Vec<IpAddr> {
        let said = self.environment.iter().filter(|(name, _)| HOST.iter().any(|host| name == host));
        let texts = said.filter_map(|(_, value)| value.to_str());
        let said = texts.flat_map(|text| text.split(',')).filter_map(|one| address(one.trim()));
        own::kubelets().into_iter().chain(said).chain(routes::gateways()).collect()
    }
}

/// Whose each is: held by a process below us, or made in our control group; else somebody else's, if that can be known.
pub(super) fn owned(found: &Listening) -> Listeners {
    let groups = found.unsure.as_ref().and_then(|_| cgroup::numbers());
    let owner = |listener: &Listener| match (&listener.holder, listener.socket.cgroup, &groups) {
        (Holder::Process(..), ..) => Owner::Ours,
        (Holder::Others, ..) => Owner::Others,
        (Holder::Unknown, Some(group), Some(groups)) => {
            if groups.contains(&group) {
                Owner::Ours
            } else {
                Owner::Others
            }
        }
        (Holder::Unknown, ..) => Owner::Unknown,
    };
    let mut all = Listeners::default();
    for listener in &found.listeners {
        let (local, inode, cgroup) = (listener.socket.local, listener.socket.inode, listener.socket.cgroup);
        all.add(listeners::Listener { local, inode, cgroup, owner: owner(listener) });
    }
    all
}

/// The ports of the rule, and with `auto` those that are ours.
pub(super) fn ports(rule: &[u16], auto: bool, listeners: &Listeners) -> Vec<u16> {
    let mut ports = rule.to_vec();
    if auto {
        ports.extend(listeners.own_ports());
    }
    sorted::sort(&mut ports);
    ports.dedup();
    ports.truncate(MOST);
    ports
}

/// The ports that are ours, and by whom.
pub(super) fn awaited(found: &Listening, listeners: &Listeners) -> Awaited {
    let ports = listeners.own_ports();
    let all = ports.len();
    let listening = |port: &u16| {
        let of_port = found.listeners.iter().filter(|l| l.socket.local.port() == *port);
        let by = match of_port.map(|l| &l.holder).min() {
            Some(Holder::Process(comm, pid)) => Some((one_line(comm).into_owned(), *pid)),
            _ => None,
        };
        facts::Listening { port: *port, by }
    };
    let named = ports.iter().take(if all > MOST { 1 } else { NAMED }).map(listening).collect();
    let unsure = found.unsure.clone().filter(|_| listeners.any_unknown());
    Awaited::Listening { ports: Several { named, all }, unsure, most: (all > MOST).then_some(MOST) }
}
