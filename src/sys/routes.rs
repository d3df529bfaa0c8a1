//! Where packets leave the network namespace: a pod's default gateway is an address of its node, with most network plugins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::procfs::read_text;

/// `RTF_UP` and `RTF_GATEWAY`.
const GATEWAY: u32 = 0x1 | 0x2;

/// The default gateways; none where /proc does not say.
pub fn gateways() -> Vec<IpAddr> {
    let (v4, v6) = (read_text("/proc/net/route"), read_text("/proc/net/ipv6_route"));
    gateways_v4(&v4).chain(gateways_v6(&v6)).collect()
}

/// In the text of `/proc/net/route`: addresses are words of the machine's own order.
fn gateways_v4(text: &str) -> impl Iterator<Item = IpAddr> {
    let hex = |field: &str| u32::from_str_radix(field, 16).ok();
    text.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, destination, gateway, flags, _, _, _, mask, ..] = fields.as_slice() else { return None };
        let is_default = hex(destination)? == 0 && hex(mask)? == 0 && hex(flags)? & GATEWAY == GATEWAY;
        is_default.then(|| hex(gateway).map(|word| Ipv4Addr::from(word.to_ne_bytes()).into()))?
    })
}

/// In the text of `/proc/net/ipv6_route`.
fn gateways_v6(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, "00", _, _, gateway, _, _, _, flags, _] = fields.as_slice() else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = destination.bytes().all(|b| b == b'0') && flags & GATEWAY == GATEWAY;
        is_default.then(|| u128::from_str_radix(gateway, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_gateways_are_found() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                  eth0\t00000000\t0100F40A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  eth0\t0000F40A\t0100F40A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                  lo\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n";
        let expected: IpAddr =
            if cfg!(target_endian = "little") { [10, 244, 0, 1].into() } else { [1, 0, 244, 10].into() };
        assert_eq!(gateways_v4(v4).collect::<Vec<_>>(), [expected]);
        let v6 = "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n\
                  00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0\n\
                  00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert_eq!(gateways_v6(v6).collect::<Vec<_>>(), ["fd00::1".parse::<IpAddr>().unwrap()]);
        assert!(gateways_v4("x\n\n").next().is_none() && gateways_v6("x y\n").next().is_none());
    }
}
