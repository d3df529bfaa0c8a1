//! Addresses and networks that somebody calls from. Pure.

use std::net::IpAddr;

/// A CIDR block: `10.244.0.0/16`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits: 0 to 32, or to 128.
    prefix: u8,
}

impl Network {
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Network, (String, String)> {
        let example = "write an address or a network: \"10.244.7.1\", \"10.244.0.0/16\" or \"fd00::/8\"".to_string();
        let (address, prefix) = text.trim().split_once('/').map_or((text.trim(), None), |(a, p)| (a, Some(p)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err((format!("{text:?} is neither an IP address nor a network"), example));
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            None => Some(most),
            Some(p) => p.parse::<u8>().ok().filter(|n| *n <= most && digits(p)),
        };
        let Some(prefix) = prefix else {
            return Err((format!("{text:?} does not end in a number of bits from 0 to {most}"), example));
        };
        let network = Network { address, prefix };
        let (value, mask) = (bits(address), network.mask());
        if value & !mask != 0 {
            let base = match address {
                IpAddr::V4(_) => IpAddr::V4(u32::try_from(value & mask).unwrap_or_default().into()),
                IpAddr::V6(_) => IpAddr::V6((value & mask).into()),
            };
            let sentence = format!("{text:?} has bits set behind its first {prefix}");
            return Err((sentence, format!("write \"{base}/{prefix}\" for the network, or the address alone")));
        }
        Ok(network)
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
        for text in [
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
        assert!(Network::parse("10.1.2.3/8").unwrap_err().1.contains("\"10.0.0.0/8\""));
        assert!(Network::parse("fd00::1/8").unwrap_err().1.contains("\"fd00::/8\""));
    }
}
