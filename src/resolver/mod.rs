//! Names of hosts to addresses: /etc/hosts, then the name servers of /etc/resolv.conf. In softstop itself and in its loop: the C library's
//! look-up cannot be asked to return, and loads modules named in /etc/nsswitch.conf, which a static program does not survive.
//!
//! What glibc's `files dns` finds is found here, by the same rules; a test compares. Everything has a limit: the files' sizes, the servers
//! and rounds, the records and aliases of an answer, the addresses given back. Time is the caller's to limit.

pub mod conf;
mod exchange;
pub mod message;
pub mod name;

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::timeout;

use crate::http::client::local_addresses;
use crate::sys::spawn::reader::{self, Reader};
use crate::sys::spawn::writer;
use crate::sys::stdio::{read_all, watch};
use conf::{Conf, MAX_FILE, in_hosts};
use message::{Answer, Failure, Family, Question};
use name::Name;

pub const HOSTS: &str = "/etc/hosts";
pub const CONF: &str = "/etc/resolv.conf";
/// The name servers' port.
pub const PORT: u16 = 53;

/// More addresses than this are not given back.
const MOST: usize = 8;
/// Of one family so many are considered.
const MOST_OF_FAMILY: usize = 32;
/// How long the addresses of one family wait for those of the other (RFC 8305, section 3, has 50 ms).
const OTHER_FAMILY: Duration = Duration::from_millis(100);
/// For a file: a fraction of a millisecond, unless its file system hangs.
const FILE_WAIT: Duration = Duration::from_millis(500);

/// Why there is no address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoAddress {
    /// Nobody could be asked, as /etc does not answer: that says nothing about the host.
    NotAsked(String),
    /// One line.
    NotFound(String),
}

/// The two files, being read.
pub struct Files {
    hosts: OwnedFd,
    conf: OwnedFd,
}

impl Files {
    /// Also gives the readers, children to be reaped, with what they read.
    ///
    /// # Errors
    /// No process or descriptor for it.
    pub fn open() -> io::Result<(Files, [(i32, &'static str); 2])> {
        let Reader { pid: first, pipe: hosts } = reader::start(Path::new(HOSTS), MAX_FILE)?;
        let Reader { pid: second, pipe: conf } = reader::start(Path::new(CONF), MAX_FILE)?;
        Ok((Files { hosts, conf }, [(first, HOSTS), (second, CONF)]))
    }
}

/// The addresses of a host, looked up if need be, for a program that ends with what it is asked. The readers of the files end by themselves;
/// they are reaped here, so that they are no orphans of the container's softstop.
///
/// # Errors
/// One line: why there is none.
pub async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Some(addrs) = local_addresses(host, port) {
        return Ok(addrs);
    }
    let cannot = |why: &dyn std::fmt::Display| format!("cannot look up {host}: {why}");
    let (files, readers) = Files::open().map_err(|error| cannot(&error))?;
    let found = look_up(host, port, files).await;
    readers.into_iter().for_each(|(pid, _)| writer::reap(pid));
    found.map_err(|(NoAddress::NotAsked(why) | NoAddress::NotFound(why))| cannot(&why))
}

/// The addresses of a host, the likeliest first: at least one, at most eight.
///
/// # Errors
/// Why there is none.
pub async fn look_up(host: &str, port: u16, files: Files) -> Result<Vec<SocketAddr>, NoAddress> {
    let hosts = read(files.hosts, HOSTS).await?;
    let mut found = in_hosts(&hosts, host);
    if found.is_empty() {
        let conf = Conf::parse(&read(files.conf, CONF).await?);
        found = ask(host, &conf, PORT).await.map_err(NoAddress::NotFound)?;
    }
    Ok(likeliest_first(found, port))
}

/// What a reader hands over; nothing for a file that is not there.
async fn read(pipe: OwnedFd, path: &str) -> Result<Vec<u8>, NoAddress> {
    let not_asked = |why: &dyn std::fmt::Display| NoAddress::NotAsked(format!("{path}: {why}"));
    let pipe = watch(File::from(pipe), Interest::READABLE).map_err(|error| not_asked(&error))?;
    match timeout(FILE_WAIT, read_all(&pipe, MAX_FILE)).await {
        Ok(result) => result.map_err(|error| not_asked(&error)),
        Err(_) => Err(not_asked(&"no answer in time: its file system hangs, or the machine is busy")),
    }
}

/// What came of one name.
enum Known {
    Addresses(Vec<IpAddr>),
    NoAddress,
    NoSuchName,
    /// Servers that answer and do not know.
    Failed(String),
    /// No server answers.
    Silent(String),
}

/// Asks the name servers, on `port`, for the addresses of a host by every name it may have.
///
/// # Errors
/// Why there is none: one line.
pub async fn ask(host: &str, conf: &Conf, port: u16) -> Result<Vec<IpAddr>, String> {
    let (mut exists, mut failed) = (false, None);
    for candidate in conf.candidates(host) {
        // One that is too long with what is searched may do without.
        let Some(name) = Name::parse(&candidate) else { continue };
        match both_families(&name, conf, port).await {
            Known::Addresses(found) => return Ok(found),
            Known::NoAddress => exists = true,
            Known::NoSuchName => {}
            Known::Failed(why) => failed = failed.or(Some(why)),
            Known::Silent(why) => {
                failed = Some(why);
                break;
            }
        }
    }
    let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
    let mut servers = servers.join(", ");
    if !conf.names_server {
        servers.push_str(&format!(" ({CONF} names no server)"));
    }
    Err(match failed {
        _ if exists => format!("{host:?} has no address, says name server {servers}"),
        Some(why) => format!("{host:?} is not in {HOSTS}, and name server {why}"),
        None => {
            let searched = match conf.search.len() {
                0 => String::new(),
                n => format!(", nor with one of the {n} search domains"),
            };
            format!("{host:?} is not in {HOSTS}, and name server {servers} knows no such name{searched}")
        }
    })
}

async fn both_families(name: &Name, conf: &Conf, port: u16) -> Known {
    let mut v4 = std::pin::pin!(one_family(name, Family::V4, conf, port));
    if conf.no_aaaa {
        return v4.await;
    }
    let mut v6 = std::pin::pin!(one_family(name, Family::V6, conf, port));
    let (second, first) = tokio::select! {
        first = &mut v4 => (other(&first, v6).await, first),
        first = &mut v6 => (other(&first, v4).await, first),
    };
    match (first, second) {
        (Known::Addresses(mut found), Some(Known::Addresses(more))) => {
            found.extend(more);
            Known::Addresses(found)
        }
        (Known::Addresses(found), _) | (_, Some(Known::Addresses(found))) => Known::Addresses(found),
        // Of every family.
        (Known::NoSuchName, _) | (_, Some(Known::NoSuchName)) => Known::NoSuchName,
        (Known::Silent(why), _) | (_, Some(Known::Silent(why))) => Known::Silent(why),
        (Known::Failed(why), _) | (_, Some(Known::Failed(why))) => Known::Failed(why),
        (Known::NoAddress, _) => Known::NoAddress,
    }
}

/// Who has an address need not wait for a server that does not answer to the other question.
async fn other(first: &Known, second: impl Future<Output = Known>) -> Option<Known> {
    match first {
        Known::Addresses(_) => timeout(OTHER_FAMILY, second).await.ok(),
        _ => Some(second.await),
    }
}

async fn one_family(name: &Name, family: Family, conf: &Conf, port: u16) -> Known {
    let first = if conf.rotate { usize::from(exchange::random()) } else { 0 };
    let mut last = Known::NoAddress;
    for _ in 0..conf.attempts {
        let mut silent = false;
        for n in 0..conf.servers.len() {
            let Some(server) = conf.servers.get((first + n) % conf.servers.len()) else { continue };
            let question = Question { id: exchange::random(), name: name.clone(), family };
            let answer = match server.address(port) {
                Ok(address) => timeout(conf.timeout, exchange::ask(address, &question, conf.tcp)).await,
                Err(error) => Ok(Err(error)),
            };
            last = match answer {
                Ok(Ok(Answer::Addresses(found))) => return Known::Addresses(found),
                Ok(Ok(Answer::NoAddress)) => return Known::NoAddress,
                Ok(Ok(Answer::NoSuchName)) => return Known::NoSuchName,
                Ok(Ok(Answer::Failed(failure))) => Known::Failed(format!("{server} {}", in_words(failure))),
                Ok(Ok(Answer::Truncated)) => Known::Failed(format!("{server} {}", in_words(Failure::Malformed))),
                Ok(Err(error)) => Known::Silent(format!("{server} cannot be asked: {error}")),
                Err(_) => {
                    silent = true;
                    Known::Silent(format!("{server} did not answer within {}s", conf.timeout.as_secs()))
                }
            };
        }
        // Who has said no would say it again.
        if !silent {
            break;
        }
    }
    last
}

fn in_words(failure: Failure) -> String {
    match failure {
        Failure::Code(2) => "failed to find out (SERVFAIL)".into(),
        Failure::Code(5) => "refused to answer (REFUSED)".into(),
        Failure::Code(code) => format!("answered with code {code}"),
        Failure::Lame => "is not responsible for it and asks nobody".into(),
        Failure::Malformed => "answered something that cannot be read".into(),
    }
}

/// Those that there is a way to come first, and of these the families in turn, IPv6 first (RFC 8305, section 4).
fn likeliest_first(found: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let found: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    let of = |v4: bool| found.iter().copied().filter(move |a| a.is_ipv4() == v4).take(MOST_OF_FAMILY);
    let (near, far): (Vec<_>, Vec<_>) = of(false).chain(of(true)).partition(|address| exchange::has_route(*address));
    in_turn(near).chain(in_turn(far)).take(MOST).collect()
}

fn in_turn(addresses: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let (v4, v6): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let longer = v4.len().max(v6.len());
    (0..longer).flat_map(move |n| [v6.get(n).copied(), v4.get(n).copied()]).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_what_is_in_reach_comes_first() {
        let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<IpAddr>>();
        // Nobody may connect to it without asking for broadcasts.
        let found = likeliest_first(ips(&["255.255.255.255", "127.0.0.1", "127.0.0.2"]), 80);
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:80", "127.0.0.2:80", "255.255.255.255:80"]
        );
        let turns: Vec<SocketAddr> = in_turn(
            ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"]).into_iter().map(|ip| SocketAddr::new(ip, 1)).collect(),
        )
        .collect();
        let shown: Vec<String> = turns.iter().map(|a| a.ip().to_string()).collect();
        assert_eq!(shown, ["::1", "10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let many = (0..100u8).map(|n| IpAddr::from([127, 0, 0, n])).collect();
        assert_eq!(likeliest_first(many, 1).len(), MOST);
    }
}
