//! What the `wait_…` handlers wait for, as valid settings. Pure.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::HttpCall;

/// Long enough to see that clients and load balancers have stopped coming, shorter than the pause between two probes of a kubelet
/// (10 s by default), which would otherwise count as arrivals.
pub const DEFAULT_QUIET: Duration = Duration::from_secs(2);

/// `wait_idle`: until the connections of a service are over and no new ones come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitIdle {
    /// Local ports, at least one.
    pub ports: Vec<u16>,
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
    /// Those whose first `prefix` bits are the address's.
    Network { address: IpAddr, prefix: u8 },
}

impl Peers {
    /// `loopback`, `10.0.0.0/8`, `fd00::/8`, or one address.
    pub fn parse(text: &str) -> Option<Peers> {
        if text == "loopback" {
            return Some(Peers::Loopback);
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        (prefix <= bits).then_some(Peers::Network { address, prefix })
    }

    /// An IPv4 peer is one, also where an IPv6 socket holds it.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (*self, peer.to_canonical()) {
            (Peers::Loopback, peer) => peer.is_loopback(),
            (Peers::Network { address: IpAddr::V4(address), prefix }, IpAddr::V4(peer)) => {
                same_prefix(u128::from(address.to_bits()) << 96, u128::from(peer.to_bits()) << 96, prefix)
            }
            (Peers::Network { address: IpAddr::V6(address), prefix }, IpAddr::V6(peer)) => {
                same_prefix(address.to_bits(), peer.to_bits(), prefix)
            }
            (Peers::Network { .. }, _) => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, prefix: u8) -> bool {
    (a ^ b).checked_shr(128 - u32::from(prefix)).is_none_or(|different| different == 0)
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
            ("192.168.1.77/31", "192.168.1.76", "192.168.1.78"),
        ] {
            assert!(is(peers, inside), "{peers} {inside}");
            assert!(!is(peers, outside), "{peers} {outside}");
        }
        for wrong in
            ["", "localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/", "fd00::/129", "10/8", "/8"]
        {
            assert_eq!(Peers::parse(wrong), None, "{wrong}");
        }
    }
}
