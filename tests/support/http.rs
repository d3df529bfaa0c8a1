//! As much of an HTTP client as a probe needs, over std's sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

/// A port nobody listens on at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// One request over a fresh connection, as the kubelet probes; `None` when there was no whole answer.
pub fn get(port: u16, path: &str) -> Option<Response> {
    request(port, "GET", path)
}

pub fn request(port: u16, method: &str, path: &str) -> Option<Response> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
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
