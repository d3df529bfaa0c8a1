//! What the `wait_…` handlers wait for, as valid settings. Pure.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::HttpCall;
use super::network::Network;

/// Long enough to see that clients and load balancers have stopped coming, shorter than the pause between two probes of a kubelet
/// (10 s by default), which would otherwise count as arrivals.
pub const DEFAULT_QUIET: Duration = Duration::from_secs(2);

/// `wait_idle`: until the connections of a service are over and no new ones come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitIdle {
    /// Local ports; at least one, unless `listening`.
    pub ports: Vec<u16>,
    /// Also the ports that softstop's own processes listen on when the wait begins.
    pub listening: bool,
    /// So many may be left open.
    pub connections: u32,
    /// No new connection for so long.
    pub quiet: Duration,
    /// Never done earlier than this.
    pub minimum: Duration,
    /// Peers whose connections count for nothing.
    pub ignore: Vec<Peers>,
}

/// Whose connections a `wait_idle` passes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peers {
    /// 127.0.0.0/8 and ::1.
    Loopback,
    Network(Network),
}

impl Peers {
    /// `loopback`, or what [`Network::parse`] takes.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Peers, (String, String)> {
        if text == "loopback" {
            return Ok(Peers::Loopback);
        }
        Network::parse(text)
            .map(Peers::Network)
            .map_err(|(sentence, help)| (sentence, format!("{help}; \"loopback\" for 127.0.0.0/8 and ::1")))
    }

    /// An IPv4 peer is one, also where an IPv6 socket holds it.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match self {
            Peers::Loopback => peer.to_canonical().is_loopback(),
            Peers::Network(network) => network.contains(peer),
        }
    }
}

/// `wait_http`: until the answer to a GET is as it should be. All that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitHttp {
    pub call: HttpCall,
    /// The lowest and the highest status.
    pub status: (u16, u16),
    pub json: Option<JsonValue>,
    pub metric: Option<Metric>,
}

/// A value in a JSON body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonValue {
    /// RFC 6901: empty for the whole, else it begins with `/`.
    pub pointer: String,
    pub is: Is,
}

/// What a value is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Is {
    /// A string, a number or a boolean.
    Equal(serde_json::Value),
    AtMost(Finite),
}

/// The sum of a metric's samples in the text format of Prometheus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metric {
    pub name: String,
    /// A sample has at least these.
    pub labels: Vec<(String, String)>,
    pub at_most: Finite,
}

/// A number that is one: neither NaN nor infinite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Finite(f64);

impl Eq for Finite {}

impl Finite {
    pub fn new(number: f64) -> Option<Finite> {
        number.is_finite().then_some(Finite(number))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

/// `wait_file`: until a file is there, or is not, or has a text in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitFile {
    pub path: PathBuf,
    /// What is waited for: that it is there, or that it is gone.
    pub exists: bool,
    pub contains: Option<String>,
}

/// When a process of the configuration is what is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// It does not run.
    Ended,
    /// As `after = { x = "ready" }` has it.
    Ready,
}

/// When processes that are found by their command are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// There is none.
    Ended,
    /// There is at least one.
    Running,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_apart() {
        let is = |peers: &str, peer: &str| Peers::parse(peers).unwrap().contains(peer.parse().unwrap());
        for (peers, inside, outside) in [
            ("loopback", "127.0.0.6", "128.0.0.1"),
            ("loopback", "::1", "::2"),
            ("loopback", "::ffff:127.0.0.1", "::ffff:1.0.0.1"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.7", "10.0.0.7", "10.0.0.6"),
            ("10.0.0.7", "::ffff:10.0.0.7", "::10.0.0.7"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "fd00::1", "10.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("fd00::1/128", "fd00::1", "fd00::2"),
            ("192.168.1.76/31", "192.168.1.77", "192.168.1.78"),
        ] {
            assert!(is(peers, inside), "{peers} {inside}");
            assert!(!is(peers, outside), "{peers} {outside}");
        }
        for wrong in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "fd00::/129",
            "10/8",
            "/8",
            "192.168.1.77/31",
        ] {
            assert!(Peers::parse(wrong).is_err(), "{wrong}");
        }
    }
}
