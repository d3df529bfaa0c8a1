//! /etc/resolv.conf and /etc/hosts, as resolv.conf(5) and hosts(5) have them. Pure: bytes in, settings and addresses out.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Of either file so many bytes are read; the rest is as if it were not there.
pub const MAX_FILE: usize = 1024 * 1024;
/// As many as glibc asks.
const MAX_SERVERS: usize = 3;
/// As many as a kubelet writes.
const MAX_SEARCH: usize = 32;
/// What a name may have in /etc/hosts.
const MAX_ADDRESSES: usize = 64;

/// Where names are asked for, and how. The limits of the numbers are glibc's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conf {
    /// At least one, at most three.
    pub servers: Vec<Server>,
    /// What is put behind a name, in order; without dots at the end, at most 32.
    pub search: Vec<String>,
    /// A name with fewer dots is searched for before it is asked for as it stands. 0 to 15.
    pub ndots: usize,
    /// For an answer of one server: 1 to 30 s.
    pub timeout: Duration,
    /// Rounds over all servers: 1 to 5.
    pub attempts: u32,
    /// Another server begins each time.
    pub rotate: bool,
    /// Only TCP.
    pub tcp: bool,
    pub no_aaaa: bool,
    /// The file names a server, so that one that does not answer is its fault.
    pub names_server: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    pub ip: IpAddr,
    /// Of a link-local address: an interface's name or number.
    pub zone: Option<String>,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.ip.fmt(f)?;
        self.zone.iter().try_for_each(|zone| write!(f, "%{zone}"))
    }
}

impl Conf {
    pub fn parse(text: &[u8]) -> Conf {
        let mut conf = Conf {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            tcp: false,
            no_aaaa: false,
            names_server: true,
        };
        let text = String::from_utf8_lossy(text);
        for line in text.lines().filter(|line| !line.starts_with([';', '#'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < MAX_SERVERS => {
                    conf.servers.extend(words.next().and_then(server))
                }
                // The last one counts.
                Some("domain") => conf.search = words.take(1).filter_map(suffix).collect(),
                Some("search") => conf.search = words.filter_map(suffix).take(MAX_SEARCH).collect(),
                Some("options") => words.for_each(|option| conf.option(option)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.names_server = false;
            conf.servers.push(Server { ip: Ipv4Addr::LOCALHOST.into(), zone: None });
        }
        conf
    }

    fn option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<u32>().ok();
        match (name, number) {
            ("ndots", Some(n)) => self.ndots = n.min(15) as usize,
            ("timeout", Some(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30).into()),
            ("attempts", Some(n)) => self.attempts = n.clamp(1, 5),
            ("rotate", _) => self.rotate = true,
            ("use-vc", _) => self.tcp = true,
            ("no-aaaa", _) => self.no_aaaa = true,
            _ => {}
        }
    }

    /// The names to ask for, in order.
    pub fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let searched = self.search.iter().map(|suffix| {
            // The root's own domain.
            if suffix.is_empty() { host.to_owned() } else { format!("{host}.{suffix}") }
        });
        let itself = std::iter::once(host.to_owned());
        let mut all: Vec<String> = if host.matches('.').count() >= self.ndots {
            itself.chain(searched).collect()
        } else {
            searched.chain(itself).collect()
        };
        let mut known = std::collections::HashSet::new();
        all.retain(|name| known.insert(name.clone()));
        all
    }
}

fn server(text: &str) -> Option<Server> {
    let (ip, zone) = text.split_once('%').map_or((text, None), |(ip, zone)| (ip, Some(zone.to_owned())));
    Some(Server { ip: ip.parse().ok()?, zone })
}

fn suffix(text: &str) -> Option<String> {
    Some(text.strip_suffix('.').unwrap_or(text).to_owned())
}

/// The addresses of a name in /etc/hosts, each once, in order.
pub fn in_hosts(text: &[u8], host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.split(|b| *b == b'\n') {
        let line = line.split(|b| *b == b'#').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(address) = words.next() else { continue };
        if !words.any(|name| name.eq_ignore_ascii_case(host.as_bytes())) {
            continue;
        }
        let address = std::str::from_utf8(address).ok().and_then(|text| text.parse::<IpAddr>().ok());
        found.extend(address.filter(|address| !found.contains(address)));
        if found.len() == MAX_ADDRESSES {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_file() {
        let text = b"search prod.svc.cluster.local svc.cluster.local cluster.local.\nnameserver 10.96.0.10\noptions ndots:5 edns0\n";
        let conf = Conf::parse(text);
        assert_eq!(conf.servers, [Server { ip: "10.96.0.10".parse().unwrap(), zone: None }]);
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (5, Duration::from_secs(5), 2));
        let names = ["db.prod.svc.cluster.local", "db.svc.cluster.local", "db.cluster.local", "db"];
        assert_eq!(conf.candidates("db"), names);
        assert_eq!(conf.candidates("db."), ["db."]);
        assert_eq!(conf.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        assert_eq!(conf.candidates("a.b.c.d.e.f").len(), 4);
    }

    #[test]
    fn nothing_and_nonsense_are_the_defaults() {
        for text in [
            "",
            "# nameserver 10.0.0.1\n;search x\n",
            "nameserver\nnameserver x.y\noptions\noptions ndots timeout: x\nfoo bar\n",
        ] {
            let conf = Conf::parse(text.as_bytes());
            assert_eq!(conf.servers[0].to_string(), "127.0.0.1", "{text}");
            assert!(!conf.names_server && conf.search.is_empty() && conf.ndots == 1, "{text}");
            assert_eq!(conf.candidates("db"), ["db"]);
        }
    }

    #[test]
    fn what_is_given_is_taken_within_limits() {
        let text = b"domain one.example\nsearch .\nnameserver fe80::1%eth0\nnameserver ::1\nnameserver 1.1.1.1\nnameserver 2.2.2.2\n\
            options ndots:99 timeout:99 attempts:99 rotate use-vc no-aaaa";
        let conf = Conf::parse(text);
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["fe80::1%eth0", "::1", "1.1.1.1"]);
        assert_eq!((conf.ndots, conf.timeout.as_secs(), conf.attempts), (15, 30, 5));
        assert!(conf.rotate && conf.tcp && conf.no_aaaa && conf.names_server);
        assert_eq!(conf.candidates("db"), ["db"], "the root is searched once");
        let many = format!("search {}", "x ".repeat(1000));
        assert_eq!(Conf::parse(many.as_bytes()).search.len(), MAX_SEARCH);
        let least = Conf::parse(b"options timeout:0 attempts:0 ndots:0");
        assert_eq!((least.timeout.as_secs(), least.attempts, least.ndots), (1, 1, 0));
        assert_eq!(Conf { search: vec!["s".into()], ..least }.candidates("db"), ["db", "db.s"]);
    }

    #[test]
    fn hosts_are_found_by_every_name_of_a_line() {
        let text = b"127.0.0.1 localhost\n10.0.0.7\tDB.example db # db2\n#10.0.0.8 db\nfe80::1%eth0 db\n::7 db\n10.0.0.7 db\nx db\n\xff db";
        let found = in_hosts(text, "db");
        assert_eq!(found, ["10.0.0.7".parse::<IpAddr>().unwrap(), "::7".parse().unwrap()]);
        assert_eq!(in_hosts(text, "db.EXAMPLE").len(), 1);
        for name in ["db2", "10.0.0.7", "", "d", "example"] {
            assert!(in_hosts(text, name).is_empty(), "{name}");
        }
        let many: String = (0..1000).map(|n| format!("10.0.{}.{} db\n", n / 250, n % 250)).collect();
        assert_eq!(in_hosts(many.as_bytes(), "db").len(), MAX_ADDRESSES);
    }
}
