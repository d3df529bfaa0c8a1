//! One question to one name server.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::conf::Server;
use super::message::{Answer, Failure, Question};
use crate::http::client;

/// Without the extension of RFC 6891, which some servers refuse, an answer over UDP has 512 bytes at the most; there are servers that send
/// more.
const DATAGRAM: usize = 4096;

/// A number that nobody can guess: the standard library's hash keys are random.
pub(super) fn random() -> u16 {
    let [a, b, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    u16::from_ne_bytes([a, b])
}

impl Server {
    /// # Errors
    /// There is no such interface.
    pub(super) fn address(&self, port: u16) -> io::Result<SocketAddr> {
        Ok(match (self.ip, &self.zone) {
            (IpAddr::V6(ip), Some(zone)) => {
                let zone = match zone.parse() {
                    Ok(number) => number,
                    Err(_) => nix::net::if_::if_nametoindex(zone.as_str())?,
                };
                SocketAddrV6::new(ip, port, 0, zone).into()
            }
            (ip, _) => SocketAddr::new(ip, port),
        })
    }
}

/// # Errors
/// It cannot be asked, or hangs up. No answer is no error, and no end: the caller drops the future.
pub(super) async fn ask(server: SocketAddr, question: &Question, tcp: bool) -> io::Result<Answer> {
    if !tcp {
        match over_udp(server, question).await? {
            Answer::Truncated => {}
            answer => return Ok(answer),
        }
    }
    Ok(match over_tcp(server, question).await? {
        Answer::Truncated => Answer::Failed(Failure::Malformed),
        answer => answer,
    })
}

/// Any address of the same family; always a number, so that nothing is looked up.
fn any(of: SocketAddr) -> SocketAddr {
    if of.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() }
}

/// From a port of the kernel's choice, for one question; what comes from elsewhere is not let in.
async fn over_udp(server: SocketAddr, question: &Question) -> io::Result<Answer> {
    let socket = UdpSocket::bind(any(server)).await?;
    socket.connect(server).await?;
    socket.send(&question.message()).await?;
    let mut bytes = vec![0; DATAGRAM];
    loop {
        let n = socket.recv(&mut bytes).await?;
        // Whatever is no answer to this question may be a forgery: the answer may still come.
        if let Some(answer) = question.read(bytes.get(..n).unwrap_or_default()) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Question) -> io::Result<Answer> {
    let mut stream = client::open(server).await?;
    let message = question.message();
    let length = u16::try_from(message.len()).unwrap_or_default().to_be_bytes();
    stream.write_all(&[&length, message.as_slice()].concat()).await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(question.read(&bytes).unwrap_or(Answer::Failed(Failure::Malformed)))
}

/// Whether there is a way to it at all: nothing is sent.
pub(super) fn has_route(to: SocketAddr) -> bool {
    std::net::UdpSocket::bind(any(to)).is_ok_and(|socket| socket.connect(to).is_ok())
}
