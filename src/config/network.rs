//! Addresses and networks that somebody calls from. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::listen::in_brackets;
use super::problem::Wrong;
use crate::text::number;

/// A CIDR block: `10.244.0.0/16`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits: 0 to 32, or to 128.
    prefix: u8,
}

/// What `loopback` stands for.
const LOOPBACK: [Network; 2] = [
    Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
    Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
];

impl Network {
    /// One entry of a list, in whatever form somebody has it: an address or a CIDR block, `loopback`, or several with commas between them, as
    /// Kubernetes writes `status.hostIPs`. An address may be written as access logs print it: see [`address`].
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse_list(text: &str) -> Result<Vec<Network>, Wrong> {
        let mut networks = Vec::new();
        for one in text.split(',') {
            match one.trim() {
                "loopback" => networks.extend(LOOPBACK),
                // `::1` and nothing more, after a list was cut: a comma too many is a mistake.
                one => networks.push(Network::parse(one)?),
            }
        }
        Ok(networks)
    }

    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Network, Wrong> {
        let example =
            "write an address or a network: \"10.244.7.1\", \"10.244.0.0/16\" or \"fd00::/8\", or \"loopback\"";
        let (written, prefix) = text.trim().split_once('/').map_or((text.trim(), None), |(a, p)| (a, Some(p)));
        let Some(address) = address(written) else {
            let help = match without_port(written) {
                Some(host) => format!("write \"{host}\": the port of a client is another each time"),
                None if has_leading_zeros(written) => {
                    "write it without leading zeros: to some programs they mean octal numbers".to_string()
                }
                None => example.to_owned(),
            };
            return Err(Wrong::new(format!("{text:?} is neither an IP address nor a network"), help));
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(most), |bits| number(bits).filter(|n| *n <= most));
        let Some(prefix) = prefix else {
            return Err(Wrong::new(format!("{text:?} does not end in a number of bits from 0 to {most}"), example));
        };
        let network = Network { address, prefix };
        let (value, mask) = (bits(address), network.mask());
        if value & !mask != 0 {
            let base = match address {
                IpAddr::V4(_) => IpAddr::V4(u32::try_from(value & mask).unwrap_or_default().into()),
                IpAddr::V6(_) => IpAddr::V6((value & mask).into()),
            };
            let sentence = format!("{text:?} has bits set behind its first {prefix}");
            return Err(Wrong::new(
                sentence,
                format!("write \"{base}/{prefix}\" for the network, or the address alone"),
            ));
        }
        Ok(network.canonical())
    }

    /// IPv4 written as IPv6 (`::ffff:10.0.0.0/104`) is IPv4.
    fn canonical(self) -> Network {
        const MAPPED: u8 = 96;
        match self.address.to_canonical() {
            address @ IpAddr::V4(_) if self.address.is_ipv6() && self.prefix >= MAPPED => {
                Network { address, prefix: self.prefix - MAPPED }
            }
            _ => self,
        }
    }

    /// Nobody is left out.
    pub fn is_everybody(self) -> bool {
        self.prefix == 0
    }

    pub fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// Nobody from elsewhere is in it.
    pub fn is_loopback(self) -> bool {
        self.address.is_loopback() && (self.prefix >= 8)
    }

    /// An IPv4 address that comes as IPv6 (`::ffff:10.0.0.1`, on a socket for both) counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && bits(address) & self.mask() == bits(self.address)
    }

    fn mask(self) -> u128 {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        let all = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
        all & !all.checked_shr(u32::from(self.prefix)).unwrap_or(0)
    }
}

/// An address as people and programs write it: with brackets (`[fd00::1]`, a URL's), with the interface it was seen on (`fe80::1%eth0`), in full
/// (`2001:0db8:0000:…`), each number of IPv4 filled up to three digits (`010.000.000.007`).
pub fn address(text: &str) -> Option<IpAddr> {
    let bare = match in_brackets(text) {
        // In brackets stands IPv6.
        Some(bare) if bare.contains(':') => bare,
        Some(_) => return None,
        None => text,
    };
    let (bare, zone) = bare.split_once('%').map_or((bare, None), |(b, zone)| (b, Some(zone)));
    if zone.is_some_and(|zone| zone.is_empty() || !bare.contains(':')) {
        return None;
    }
    bare.parse().ok().or_else(|| filled_up(bare).map(IpAddr::V4))
}

/// All of the numbers alike, so that it is no octal number of who meant one.
fn filled_up(text: &str) -> Option<Ipv4Addr> {
    let octet = |part: &str| if part.len() == 3 { number(part) } else { None };
    let octets: Vec<u8> = text.split('.').map(octet).collect::<Option<_>>()?;
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

fn has_leading_zeros(text: &str) -> bool {
    let part = |p: &str| p.len() <= 3 && number::<u16>(p).is_some();
    text.split('.').count() == 4 && text.split('.').all(part)
}

/// `10.0.0.7:41234` and `[fd00::1]:41234`, as some logs have clients.
fn without_port(text: &str) -> Option<IpAddr> {
    let (host, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    address(host)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let network = |text: &str| Network::parse(text).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, inside, outside) in [
            ("10.244.7.1", "10.244.7.1", "10.244.7.2"),
            ("10.244.0.0/16", "10.244.255.255", "10.245.0.0"),
            ("10.244.0.0/16", "::ffff:10.244.1.2", "::10.244.1.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "fd00::1", "10.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/31", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.7", "::ffff:10.0.0.7", "::10.0.0.7"),
            ("fd00::1/128", "fd00::1", "fd00::2"),
            ("192.168.1.76/31", "192.168.1.77", "192.168.1.78"),
        ] {
            assert!(network(text).contains(ip(inside)), "{text} {inside}");
            assert!(!network(text).contains(ip(outside)), "{text} {outside}");
        }
        assert!(network("0.0.0.0/0").is_everybody() && !network("10.0.0.0/8").is_everybody());
        // As people write them, and logs print them.
        for (text, inside) in [
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("::FFFF:0a00:0007", "10.0.0.7"),
            ("0000:0000:0000:0000:0000:ffff:0a00:0007", "10.0.0.7"),
            ("::ffff:10.0.0.0/104", "10.9.9.9"),
            ("::ffff:0:0/96", "1.2.3.4"),
            ("[::1]", "::1"),
            ("[::ffff:10.0.0.7]", "10.0.0.7"),
            ("[fd00::]/8", "fdff::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%2]", "fe80::1"),
            ("2001:0DB8:0000:0000:0000:0000:0000:0007", "2001:db8::7"),
            ("010.000.000.007", "10.0.0.7"),
            ("010.244.000.000/16", "10.244.9.9"),
            (" 10.0.0.7 ", "::ffff:10.0.0.7"),
        ] {
            assert!(network(text).contains(ip(inside)), "{text} {inside}");
        }
        assert!(network("::ffff:0.0.0.0/96").is_everybody() && network("::ffff:127.0.0.1").is_loopback());
        let list = |text: &str| Network::parse_list(text).unwrap().len();
        assert_eq!((list("10.0.0.7"), list("10.0.0.7,fd00::7"), list("loopback, 10.0.0.7")), (1, 2, 3));
        assert!(LOOPBACK.iter().all(|n| n.is_loopback()));
        let loopback = Network::parse_list("loopback").unwrap();
        let is_in = |peer: &str| loopback.iter().any(|n| n.contains(ip(peer)));
        assert!(["127.0.0.6", "::1", "::ffff:127.0.0.1"].into_iter().all(is_in));
        assert!(!["128.0.0.1", "::2", "::ffff:1.0.0.1"].into_iter().any(is_in));
        let help = |text: &str| Network::parse_list(text).unwrap_err().help;
        assert!(help("10.0.0.7:41234").contains("write \"10.0.0.7\""), "{}", help("10.0.0.7:41234"));
        assert!(help("[fd00::7]:41234").contains("write \"fd00::7\""));
        assert!(help("010.0.0.7").contains("leading zeros"));
        for text in [
            "10.0.0.7,",
            ",",
            "[10.0.0.7]",
            "[::1",
            "::1]",
            "10.0.0.7%eth0",
            "fe80::1%",
            "010.000.000.0007",
            "256.000.000.001",
            "0x0a.0.0.7",
            "",
            "node",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "fd00::/129",
            "1.2.3.4/-1",
            "localhost",
            "/8",
        ] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        assert!(Network::parse("10.1.2.3/8").unwrap_err().help.contains("\"10.0.0.0/8\""));
        assert!(Network::parse("fd00::1/8").unwrap_err().help.contains("\"fd00::/8\""));
    }
}
