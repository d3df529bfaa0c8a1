//! As much of an HTTP client as a probe needs, over std's sockets.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt::ReuseAddr};

use super::SOON;

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

/// A port that nobody listens on and that no other test is given while this one's program runs. None of those that the kernel hands
/// out: until softstop listens there, somebody's connection may have got it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first_of_the_kernels = range.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(32768);
    let (least, most) = (10_000, u32::max(first_of_the_kernels, 20_000));
    // Other programs begin elsewhere.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (least + number % (most - least)) as u16;
        let name = format!("softstop-test-port-{port}");
        // An abstract address is one program's on the whole machine, and goes with it.
        let Ok(taken) = SocketAddr::from_abstract_name(&name).and_then(|name| UnixListener::bind_addr(&name)) else {
            continue;
        };
        if may_be_bound(port) {
            std::mem::forget(taken);
            return port;
        }
    }
}

/// Nothing listens while it is tried: a process that another test forks at that moment has a copy of the socket until its exec.
fn may_be_bound(port: u16) -> bool {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, ReuseAddr, &true).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).is_ok()
}

/// One request over a fresh connection, as the kubelet probes; `None` when there was no whole answer.
pub fn get(port: u16, path: &str) -> Option<Response> {
    request(port, "GET", path).ok()
}

/// The same by any method, with the reason where there was no whole answer.
pub fn request(port: u16, method: &str, path: &str) -> io::Result<Response> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let text = read_all(send(port, head)?)?;
    let (headers, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other(format!("{text:?}")))?;
    Response::new(headers, body.to_owned())
}

/// A request, whatever it is, whose answer has not been read.
pub fn send(port: u16, request: impl AsRef<[u8]>) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(request.as_ref())?;
    Ok(stream)
}

/// All that comes until the connection is closed.
pub fn read_all(mut stream: TcpStream) -> io::Result<String> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// One answer of a connection that may be kept: its head, and as much as its `Content-Length` says.
pub fn read_one(stream: &mut impl Read) -> io::Result<Response> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut answer = Response::new(String::from_utf8_lossy(&head).trim_end(), String::new())?;
    let length = answer.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

impl Response {
    fn new(headers: &str, body: String) -> io::Result<Response> {
        let status = headers.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer of HTTP: {headers:?}")))?;
        Ok(Response { status, headers: headers.to_owned(), body })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub fn status_of(port: u16, path: &str) -> Option<u16> {
    get(port, path).map(|r| r.status)
}

/// `/status` as JSON; null when it does not answer.
pub fn status_json(port: u16) -> serde_json::Value {
    get(port, "/status").and_then(|r| serde_json::from_str(&r.body).ok()).unwrap_or_default()
}
