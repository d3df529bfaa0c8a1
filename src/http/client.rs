//! One HTTP request or TCP connect, for hooks, steps and probes. No look-up, no timeout and no task of its own: the caller
//! brings the addresses and drops the future when time is up, which closes the connection.
//!
//! As the kubelet does it (pkg/probe/http, pkg/probe/tcp): a fresh connection each time, `Connection: close`, no proxy, no
//! `Accept-Encoding`, nobody's certificate checked, 200 to 399 is success, at most 10 KiB of the body is read. A redirect is followed on the
//! same host, ten requests at most; one to another host is the success that it is for the kubelet.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING,
    USER_AGENT,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{grpc, own, redirect, tls};
use crate::config::{GrpcCall, HttpCall, Method, Scheme, host_and_port, without_brackets};
use crate::facts::{CallError, ConnectionError, Failure, Outcome, RequestPart};
use crate::text::plain;

/// Of an answer's body, in bytes; the kubelet's limit.
const MAX_BODY: usize = 10 * 1024;
/// Of an answer's status line and headers together, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Of a server's own words in a reason, in characters.
const MAX_QUOTE: usize = 120;
/// How long a failing answer's body is waited for, only to quote its first line.
const QUOTE_WAIT: Duration = Duration::from_millis(250);
/// What an address gets alone before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Requests of one call, redirects included; Go's client, and so the kubelet, makes as many.
const MAX_REQUESTS: usize = 10;
/// Addresses tried for one name.
const MAX_ADDRESSES: usize = 8;

/// The addresses of a host that needs no look-up: an IP address (also `[::1]`), `localhost` or a name below it (RFC 6761,
/// section 6.3). `None`: somebody has to resolve the name.
pub fn local_addresses(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    if let Ok(ip) = without_brackets(host).parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    None
}

/// Success is an accepted connection, closed at once without a byte.
pub async fn tcp(addrs: &[SocketAddr]) -> Outcome {
    outcome(connect(addrs).await.map(drop))
}

/// Success is SERVING.
pub async fn grpc(call: &GrpcCall, addrs: &[SocketAddr]) -> Outcome {
    let judged = async { grpc::check(call, connect(addrs).await?).await };
    outcome(judged.await)
}

/// Makes the call once, and where it is redirected to on the same host. A request goes to the first address that accepts a connection and is
/// never repeated.
pub async fn call(call: &HttpCall, addrs: &[SocketAddr]) -> Outcome {
    outcome(follow(call, addrs).await)
}

async fn follow(first: &HttpCall, addrs: &[SocketAddr]) -> Result<(), CallError> {
    let mut next = ask(first, addrs, judge).await?;
    for _ in 1..MAX_REQUESTS {
        let Some(location) = next else { return Ok(()) };
        let Some(call) = redirect::to(first, &location)? else { return Ok(()) };
        let addrs: Vec<SocketAddr> = addrs.iter().map(|addr| SocketAddr::new(addr.ip(), call.port)).collect();
        next = ask(&call, &addrs, judge)
            .await
            .map_err(|e| CallError::Redirected { to: call.url(), error: Box::new(e) })?;
    }
    match next {
        None => Ok(()),
        Some(_) => Err(CallError::Redirects { requests: MAX_REQUESTS }),
    }
}

/// Makes the call once and gives back the status and the body, of which at most `most` bytes are read.
///
/// # Errors
/// There is no whole answer, or its body is longer.
pub async fn fetch(call: &HttpCall, addrs: &[SocketAddr], most: usize) -> Result<(u16, Vec<u8>), CallError> {
    let read = async |response: Response<Incoming>| {
        let status = response.status().as_u16();
        let (mut body, mut read) = (response.into_body(), Vec::new());
        // One more, to tell whether it is longer.
        read_some(&mut body, &mut read, most + 1).await.map_err(|e| CallError::Body { status, error: broken(&e) })?;
        if read.len() > most { Err(CallError::LongBody { most }) } else { Ok((status, read)) }
    };
    ask(call, addrs, read).await
}

/// [`call`] over a connection that is there already: what it makes of whatever a peer may send.
pub async fn call_over(call: &HttpCall, stream: impl AsyncRead + AsyncWrite + Unpin) -> Outcome {
    let judged = async { exchange(request(call)?, stream, judge).await };
    outcome(judged.await.map(drop))
}

/// [`grpc()`] over a connection that is there already.
pub async fn grpc_over(call: &GrpcCall, stream: impl AsyncRead + AsyncWrite + Unpin) -> Outcome {
    outcome(grpc::check(call, stream).await)
}

fn outcome(judged: Result<(), CallError>) -> Outcome {
    judged.map_or_else(|error| Outcome::Failed(Failure::Call(error)), |()| Outcome::Ok)
}

/// One request over a connection of its own, with TLS or without.
async fn ask<T>(
    call: &HttpCall,
    addrs: &[SocketAddr],
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let request = request(call)?;
    let stream = connect(addrs).await?;
    match call.scheme {
        Scheme::Http => exchange(request, stream, read).await,
        Scheme::Https => exchange(request, tls::handshake(&call.host, stream).await?, read).await,
    }
}

/// One request over a connection that is open, and what `read` makes of what it answers.
async fn exchange<T>(
    request: Request<Full<Bytes>>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let broken = |e: hyper::Error| CallError::Connection(broken(&e));
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        read(response).await
    };
    tokio::pin!(answer);
    // Not spawned: dropped with this future, so that a call that is cancelled leaves nothing behind.
    let mut connection = Box::pin(connection);
    tokio::select! {
        biased;
        outcome = &mut answer => return outcome,
        _ = &mut connection => drop(connection),
    }
    // The connection is over; what had arrived by then can still be read, and the error, if any, comes from here too.
    answer.await
}

fn invalid(part: RequestPart, value: &str, error: &dyn Error) -> CallError {
    CallError::Invalid { part, value: value.to_owned(), error: error.to_string() }
}

fn request(call: &HttpCall) -> Result<Request<Full<Bytes>>, CallError> {
    let body = Bytes::from(call.body.clone().unwrap_or_default());
    let length = body.len();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = match call.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
    };
    *request.uri_mut() = call.path.parse::<hyper::Uri>().map_err(|e| invalid(RequestPart::Path, &call.path, &e))?;
    add_headers(request.headers_mut(), call)?;
    if call.method == Method::Post {
        // Also for an empty body (RFC 9110, section 8.6): there are servers that answer 411 without it.
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

/// Those of the call, and what every request has.
fn add_headers(headers: &mut HeaderMap, call: &HttpCall) -> Result<(), CallError> {
    let host = HeaderValue::try_from(host_and_port(&call.host, call.port))
        .map_err(|e| invalid(RequestPart::Host, &call.host, &e))?;
    let defaults = [
        (HOST, host),
        (USER_AGENT, HeaderValue::from_static(concat!("softstop/", env!("CARGO_PKG_VERSION")))),
        (ACCEPT, HeaderValue::from_static("*/*")),
        (CONNECTION, HeaderValue::from_static("close")),
    ];
    for (name, value) in &call.headers {
        let invalid = |e: &dyn Error| invalid(RequestPart::Header, name, e);
        let name = HeaderName::try_from(name).map_err(|e| invalid(&e))?;
        let value = HeaderValue::try_from(value).map_err(|e| invalid(&e))?;
        // The framing is ours: a wrong length here would have the server wait for the rest.
        if name != CONNECTION && name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            headers.append(name, value);
        }
    }
    for (name, default) in defaults {
        match headers.get(&name) {
            None => drop(headers.insert(name, default)),
            // As for the kubelet, an empty value takes a default header away. HTTP/1.1 has no request without Host.
            Some(value) if value.is_empty() && name != HOST => drop(headers.remove(name)),
            Some(_) => {}
        }
    }
    Ok(())
}

/// 200 to 399 with a body that ends, or goes on beyond what is read, is a success. `Some`: it is said to be found elsewhere.
async fn judge(response: Response<Incoming>) -> Result<Option<String>, CallError> {
    let status = response.status().as_u16();
    if matches!(status, 301 | 302 | 303 | 307 | 308)
        && let Some(location) = response.headers().get(LOCATION)
    {
        return Ok(Some(String::from_utf8_lossy(location.as_bytes()).into_owned()));
    }
    let mut body = response.into_body();
    let mut read = Vec::new();
    if (200..400).contains(&status) {
        let read = read_some(&mut body, &mut read, MAX_BODY).await;
        return read.map(|()| None).map_err(|e| CallError::Body { status, error: broken(&e) });
    }
    let _ = timeout(QUOTE_WAIT, read_some(&mut body, &mut read, MAX_BODY)).await;
    Err(CallError::Status { status, said: first_line(&read) })
}

/// At least `most` bytes, if there are so many; what has come with the last of them, too.
async fn read_some(body: &mut Incoming, read: &mut Vec<u8>, most: usize) -> hyper::Result<()> {
    while read.len() < most {
        match body.frame().await {
            None => break,
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    read.extend_from_slice(&data);
                }
            }
        }
    }
    Ok(())
}

/// The first line that says anything, short and without control characters: it ends up in a log and in `/readyz`.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    let quote: String = plain(line, ' ').chars().take(MAX_QUOTE).collect();
    let mut quote = quote.trim_end().to_string();
    if line.chars().nth(MAX_QUOTE).is_some() {
        quote.push('…');
    }
    quote
}

type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + 'a>>;

/// The first connection that succeeds. An address that does not answer holds up the next one only for its head start.
async fn connect(addrs: &[SocketAddr]) -> Result<TcpStream, CallError> {
    let mut waiting = addrs.iter().take(MAX_ADDRESSES);
    let mut under_way: Vec<Connecting<'_>> = Vec::new();
    let mut first_error: Option<io::Error> = None;
    while let Some(addr) = waiting.next() {
        under_way.push(Box::pin(open(*addr)));
        // For the last one there is no next: it ends when all have failed.
        let head_start = if waiting.len() > 0 { HEAD_START } else { Duration::MAX };
        let connected = timeout(
            head_start,
            poll_fn(|cx| {
                let mut i = 0;
                while i < under_way.len() {
                    match under_way[i].as_mut().poll(cx) {
                        Poll::Ready(Ok(stream)) => return Poll::Ready(Some(stream)),
                        Poll::Ready(Err(e)) => {
                            drop(under_way.remove(i));
                            first_error.get_or_insert(e);
                        }
                        Poll::Pending => i += 1,
                    }
                }
                if under_way.is_empty() { Poll::Ready(None) } else { Poll::Pending }
            }),
        );
        if let Ok(Some(stream)) = connected.await {
            return Ok(stream);
        }
    }
    Err(first_error.map_or(CallError::NoAddress, |e| CallError::Connection(unconnected(&e))))
}

/// One connection, known as softstop's own before anybody else can see it.
pub(crate) async fn open(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The future keeps the socket to itself, and its local end is there from its first step on.
    let mut other = socket.as_fd().try_clone_to_owned().map(std::net::TcpStream::from).ok();
    let mut connecting = std::pin::pin!(socket.connect(addr));
    let remember = |end: io::Result<SocketAddr>| end.into_iter().for_each(|end| own::remember(end, addr));
    let stream = poll_fn(|cx| {
        let polled = connecting.as_mut().poll(cx);
        other.take().into_iter().for_each(|socket| remember(socket.local_addr()));
        polled
    });
    let stream = stream.await?;
    remember(stream.local_addr());
    Ok(stream)
}

/// The system's own error behind it.
pub(crate) fn io_error(e: &hyper::Error) -> Option<&io::Error> {
    std::iter::successors(e.source(), |&cause| cause.source()).find_map(|cause| cause.downcast_ref())
}

/// What went wrong with an exchange.
fn broken(e: &hyper::Error) -> ConnectionError {
    if let Some(e) = io_error(e) {
        unconnected(e)
    } else if e.is_parse_too_large() {
        ConnectionError::LongHead { most: MAX_HEAD }
    } else if e.is_parse() {
        ConnectionError::NotHttp
    } else if e.is_incomplete_message() || e.is_canceled() {
        ConnectionError::Incomplete
    } else {
        ConnectionError::System(e.to_string())
    }
}

pub(super) fn unconnected(e: &io::Error) -> ConnectionError {
    if let Some(error) = tls::error(e) {
        return ConnectionError::Tls(error);
    }
    match e.kind() {
        io::ErrorKind::ConnectionRefused => ConnectionError::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ConnectionError::Reset,
        io::ErrorKind::TimedOut => ConnectionError::TimedOut,
        io::ErrorKind::HostUnreachable => ConnectionError::HostUnreachable,
        io::ErrorKind::NetworkUnreachable => ConnectionError::NetworkUnreachable,
        io::ErrorKind::UnexpectedEof => ConnectionError::Incomplete,
        _ => ConnectionError::System(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_a_connection_has_its_words() {
        for (errno, words) in [
            (libc::ECONNREFUSED, "connection refused"),
            (libc::ECONNRESET, "connection reset"),
            (libc::EPIPE, "connection reset"),
            (libc::ETIMEDOUT, "connection timed out"),
            (libc::EHOSTUNREACH, "host unreachable"),
            (libc::ENETUNREACH, "network unreachable"),
        ] {
            assert_eq!(unconnected(&io::Error::from_raw_os_error(errno)).to_string(), words);
        }
        let ended: io::Error = io::ErrorKind::UnexpectedEof.into();
        assert_eq!(unconnected(&ended).to_string(), "connection closed before the answer was complete");
        let other = io::Error::from_raw_os_error(libc::EMFILE);
        assert_eq!(unconnected(&other).to_string(), other.to_string());
    }

    #[test]
    fn a_quote_is_the_first_line_that_says_anything() {
        let exact = "é".repeat(MAX_QUOTE);
        for (body, quote) in [
            ("", ""),
            ("\n \r\n", ""),
            ("\n  a\tb \nsecond", "a b"),
            (&exact, &*exact),
            (&format!("{exact}é"), &format!("{exact}…")),
        ] {
            assert_eq!(first_line(body.as_bytes()), quote);
        }
    }
}
