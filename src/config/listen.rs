//! Where the endpoints are served. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::problem::Wrong;
use crate::text::number;

/// An address and a port, or a port alone: then on every address, IPv4 and IPv6, whichever of the two the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    address: Option<IpAddr>,
    port: u16,
}

impl Listen {
    /// On every address of both families.
    pub fn everywhere(port: u16) -> Listen {
        Listen { address: None, port }
    }

    /// `:9180` and `9180` (every address), `0.0.0.0:9180` (those of IPv4), `[::]:9180`, `localhost:9180` (127.0.0.1), `10.0.0.7:9180`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Listen, Wrong> {
        let help = "write a port for every address, or an address and a port: \":9180\", \"127.0.0.1:9180\"";
        let (host, port) = text.trim().rsplit_once(':').unwrap_or(("", text.trim()));
        let no_port = || Wrong::new(format!("{text:?} does not end in a port from 1 to 65535"), help);
        let port = number(port).filter(|port| *port != 0).ok_or_else(no_port)?;
        let address = match (host, in_brackets(host)) {
            ("" | "*", _) => return Ok(Listen::everywhere(port)),
            ("localhost", _) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            (_, Some(v6)) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            (v4, None) => v4.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        match (address, host.parse::<Ipv6Addr>()) {
            (Some(_), _) => Ok(Listen { address, port }),
            (None, Ok(_)) => {
                let sentence = format!("{text:?}: an IPv6 address needs brackets");
                Err(Wrong::new(sentence, format!("write \"[{host}]:{port}\"")))
            }
            (None, Err(_)) => Err(Wrong::new(format!("{text:?}: {host:?} is not an IP address"), help)),
        }
    }

    pub fn port(self) -> u16 {
        self.port
    }

    /// `None`: every address of both families.
    pub fn address(self) -> Option<SocketAddr> {
        self.address.map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Nobody from elsewhere reaches it.
    pub fn is_loopback(self) -> bool {
        self.address.is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// They have a port and an address in common. `[::]` is one of both families, as far as the system has it so.
    pub fn conflicts_with(self, other: Listen) -> bool {
        let every = |at: Listen| match at.address.map(|ip| ip.to_canonical()) {
            None => true,
            Some(IpAddr::V6(ip)) => ip.is_unspecified(),
            Some(IpAddr::V4(_)) => false,
        };
        let of_family = |one: Listen, other: Listen| match (one.address, other.address) {
            (Some(IpAddr::V4(all)), Some(other)) => all.is_unspecified() && other.to_canonical().is_ipv4(),
            _ => false,
        };
        let same = self.address.map(|ip| ip.to_canonical()) == other.address.map(|ip| ip.to_canonical());
        let overlap = same || every(self) || every(other) || of_family(self, other) || of_family(other, self);
        self.port == other.port && overlap
    }

    /// Nobody reaches it by IPv6.
    pub fn is_ipv4_alone(self) -> bool {
        self.address.is_some_and(|ip| ip.is_ipv4())
    }

    /// The host to ask from this machine. What listens on every address is asked on the machine's own, by either family.
    pub fn host_here(self) -> String {
        match self.address {
            None => "localhost".to_owned(),
            Some(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            // A socket for IPv6 takes IPv4, too, unless the system says otherwise; and ::1 may be missing.
            Some(IpAddr::V6(ip)) if ip.is_unspecified() => "localhost".to_owned(),
            Some(ip) => ip.to_string(),
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen { address: Some(address.ip()), port: address.port() }
    }
}

/// As [`Listen::parse`] takes it.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => write!(f, ":{}", self.port),
        }
    }
}

/// What stands between brackets, as an IPv6 address does in a URL.
pub fn in_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_both_families() {
        for (text, shown, host) in [
            ("0.0.0.0:9180", "0.0.0.0:9180", "127.0.0.1"),
            (":9180", ":9180", "localhost"),
            ("9180", ":9180", "localhost"),
            ("*:9180", ":9180", "localhost"),
            ("localhost:9180", "127.0.0.1:9180", "127.0.0.1"),
            ("[::]:9180", "[::]:9180", "localhost"),
            ("[::1]:1", "[::1]:1", "::1"),
            ("10.1.2.3:1", "10.1.2.3:1", "10.1.2.3"),
        ] {
            let listen = Listen::parse(text).unwrap();
            assert_eq!((listen.to_string().as_str(), listen.host_here().as_str()), (shown, host), "{text}");
            assert_eq!(Listen::parse(shown), Ok(listen), "what is shown is taken");
            assert_eq!(listen.is_ipv4_alone(), shown.starts_with(|c: char| c.is_ascii_digit()), "{text}");
        }
        for (text, loopback) in [(":1", false), ("0.0.0.0:1", false), ("[::]:1", false), ("127.1.1.1:1", true)] {
            assert_eq!(Listen::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
        assert!(Listen::parse("[::1]:1").unwrap().is_loopback());
        assert!(Listen::parse("[::ffff:127.0.0.1]:1").unwrap().is_loopback());
    }

    #[test]
    fn two_that_no_system_gives_both_of_are_found() {
        for (one, other, conflict) in [
            (":1", ":1", true),
            (":1", ":2", false),
            (":1", "127.0.0.1:1", true),
            (":1", "[::1]:1", true),
            ("[::]:1", "10.0.0.7:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("0.0.0.0:1", "[::]:1", true),
            ("127.0.0.1:1", "10.0.0.7:1", false),
            ("localhost:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", true),
        ] {
            let [a, b] = [one, other].map(|text| Listen::parse(text).unwrap());
            assert_eq!((a.conflicts_with(b), b.conflicts_with(a)), (conflict, conflict), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":",
            "host:80",
            "0.0.0.0",
            "1.2.3.4:0",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "[::]",
            "http://0.0.0.0:80",
            "[1.2.3.4]:80",
        ] {
            assert!(Listen::parse(text).is_err(), "{text}");
        }
        assert_eq!(Listen::parse("::1:9180").unwrap_err().help, "write \"[::1]:9180\"");
    }
}
