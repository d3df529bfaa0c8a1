//! As much of an HTTP client as a probe needs, over std's sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Whoever is to answer may not get to run for a while.
const PATIENCE: Duration = Duration::from_secs(30);

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
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            std::mem::forget(taken);
            return port;
        }
    }
}

/// One request over a fresh connection, as the kubelet probes; `None` when there was no whole answer.
pub fn get(port: u16, path: &str) -> Option<Response> {
    request(port, "GET", path)
}

pub fn request(port: u16, method: &str, path: &str) -> Option<Response> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (headers, body) = text.split_once("\r\n\r\n")?;
    Some(Response {
        status: headers.split_whitespace().nth(1)?.parse().ok()?,
        headers: headers.to_owned(),
        body: body.to_owned(),
    })
}

pub fn status_of(port: u16, path: &str) -> Option<u16> {
    get(port, path).map(|r| r.status)
}

/// `/status` as JSON; null when it does not answer.
pub fn status_json(port: u16) -> serde_json::Value {
    get(port, "/status").and_then(|r| serde_json::from_str(&r.body).ok()).unwrap_or_default()
}
