//! The probe endpoints' server: hyper's HTTP/1.1 on the one thread, every client bounded.
//!
//! The kubelet opens a fresh connection for each probe, and a probe that does not get in within a second counts as failed. So
//! a newcomer always gets in: when all places are taken, one makes room for it. It is of the address that has most of the places, so that
//! a crowd from elsewhere does not push out a node's probe; and of its connections the one that has been open longest, because an
//! honest one has had its answer long ago. Whose first request has been read is answered before it makes room, however many come. What a
//! request means is the caller's: the server knows no path.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, TcpListener as StdListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, USER_AGENT, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, LocalSet};
use tokio::time::{Instant, Sleep, sleep};
use tracing::{debug, error, warn};

use super::endpoints::{ALLOWED, Answer};
use super::own;
use super::shared::{Shared, gone};
use crate::config::listen::Listen;
use crate::sys::bind::inet;
use crate::tasks::boxed;

/// Request line and headers together, in bytes; what is longer is answered 431 or 414. hyper's smallest.
const MAX_HEAD: usize = 8192;
/// The first pause after an accept that failed for lack of a descriptor or memory; doubles up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// A shortage of descriptors is said when it begins, and again this much later if it lasts: each client that makes room for
/// the next would be a line else.
const SAID_AGAIN: Duration = Duration::from_secs(60);
/// Of the descriptors that softstop may have, clients get one in so many: restarts, hooks, probes and the report need theirs.
const SHARE: usize = 4;

/// So long after descriptors ran out there are all places again: whoever took them may have given them back.
const SHORT: Duration = Duration::from_secs(60);
/// Connections that the kernel keeps until they are accepted. std's 128 are full at once in a flood: then the kernel drops a
/// probe's SYN, whose second try comes after a second, too late. Many more than these would take too long to get through.
const QUEUE: i32 = 1024;

/// What one client, and all of them together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; at least 1. One more closes the oldest of the address that has most.
    pub connections: usize,
    /// To send a whole request head, from the accept or from the previous answer: so an idle connection lasts no longer.
    pub request: Duration,
    /// For a client to take some of the answer before it is given up.
    pub write: Duration,
    /// A connection's whole life, whatever it does but wait for an answer that comes later.
    pub lifetime: Duration,
}

impl Limits {
    /// For a process that may have `descriptors` open (RLIMIT_NOFILE).
    pub fn within(descriptors: usize) -> Limits {
        let limits = Limits::default();
        Limits { connections: limits.connections.min(descriptors / SHARE).max(1), ..limits }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 64,
            request: Duration::from_secs(2),
            write: Duration::from_secs(5),
            lifetime: Duration::from_secs(30),
        }
    }
}

/// What answers a request's head; it must not block. A panic in it is answered 500 and ends nothing.
pub type Answerer = Rc<dyn Fn(&Parts) -> Answer>;

/// What answers a request later: it must not block, and ends when there is an answer. `None`: it is not for such. Its waiting is
/// its own to bound, in number and time: the connection is not closed meanwhile unless the client does.
pub type Later = Rc<dyn Fn(&Parts, IpAddr) -> Option<Answering>>;

/// An answer that comes later.
pub type Answering = Pin<Box<dyn Future<Output = Answer>>>;

/// What is served.
#[derive(Clone)]
pub struct Site {
    pub answer: Answerer,
    /// Asked first.
    pub later: Option<Later>,
}

impl From<Answerer> for Site {
    fn from(answer: Answerer) -> Site {
        Site { answer, later: None }
    }
}

/// Listens there, with SO_REUSEADDR and close-on-exec, not blocking: `tokio::net::TcpListener::from_std` takes it.
///
/// # Errors
///
/// One line that names the address and what to do: it is in use, not this machine's, or privileged.
pub fn bind(at: Listen) -> Result<StdListener, String> {
    let listener = inet::tcp(at, QUEUE)?;
    listener.set_nonblocking(true).map_err(|e| format!("cannot listen on {at}: {e}"))?;
    Ok(listener)
}

/// Serves until it is dropped, which closes the listener and every connection at once.
///
/// Needs a tokio runtime with I/O and time, and no `LocalSet`: it brings its own.
pub async fn serve(listener: TcpListener, site: impl Into<Site>, limits: Limits) {
    let tasks = LocalSet::new();
    tasks.run_until(accept_all(&tasks, &listener, &site.into(), limits)).await;
}

async fn accept_all(tasks: &LocalSet, listener: &TcpListener, site: &Site, limits: Limits) {
    let mut connections = Connections::new(limits.connections);
    let mut shortage = Shortage::default();
    loop {
        let accepted = tokio::select! {
            biased;
            // Takes ended connections off the set, so that it does not grow.
            Some(_) = connections.running.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                shortage.pause = Duration::ZERO;
                own::count_accepted();
                connections.make_room_for_one(limits.connections, Instant::now());
                let client =
                    Client { from: addr.ip(), waits: Rc::default(), asked: Rc::default(), stream: Rc::new(stream) };
                connections.open(tasks, client, site, limits);
                // Lets the connections at hand have their turn before the next one is taken: a flood of connects cannot
                // push out a probe whose request has already arrived.
                tokio::task::yield_now().await;
            }
            Err(e) if out_of_resources(&e) => {
                let now = Instant::now();
                if shortage.is_news(now) {
                    warn!("cannot accept a connection on the http port: {e}; trying again");
                }
                connections.fewer(now);
                // Retrying at once would spin: the connection stays in the queue and the listener stays readable.
                sleep(shortage.next_pause()).await;
            }
            // The client went away while it was queued, or the network had an error for it (accept(2)): not ours.
            Err(e) => {
                debug!("a connection was lost before it was accepted: {e}");
                tokio::task::yield_now().await;
            }
        }
    }
}

fn out_of_resources(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Of descriptors or memory: what accepting has met with since.
#[derive(Default)]
struct Shortage {
    said: Option<Instant>,
    /// The last one; none since a connection was accepted.
    pause: Duration,
}

impl Shortage {
    /// It is to be said now.
    fn is_news(&mut self, now: Instant) -> bool {
        let news = self.said.is_none_or(|at| now.duration_since(at) >= SAID_AGAIN);
        if news {
            self.said = Some(now);
        }
        news
    }

    fn next_pause(&mut self) -> Duration {
        self.pause = (self.pause * 2).clamp(BACK_OFF.0, BACK_OFF.1);
        self.pause
    }
}

/// An address as far as it tells one client from another: who has an IPv6 network has any number of addresses in it.
fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(from) => Ipv6Addr::from_bits(from.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

struct Open {
    task: AbortHandle,
    from: IpAddr,
    /// For an answer: it makes room for nobody.
    waits: Rc<Cell<bool>>,
}

struct Connections {
    running: JoinSet<()>,
    /// Some have ended already.
    oldest_first: VecDeque<Open>,
    /// Places: the limit, or as many as there were descriptors for but one, which a newcomer needs.
    most: usize,
    /// When descriptors ran out last.
    short: Option<Instant>,
}

impl Connections {
    fn new(most: usize) -> Connections {
        Connections { running: JoinSet::new(), oldest_first: VecDeque::new(), most, short: None }
    }

    fn open(&mut self, tasks: &LocalSet, client: Client, site: &Site, limits: Limits) {
        let (from, waits) = (source(client.from), Rc::clone(&client.waits));
        let task = self.running.spawn_local_on(boxed(connection(client, site.clone(), limits)), tasks);
        self.oldest_first.push_back(Open { task, from, waits });
    }

    fn make_room_for_one(&mut self, limit: usize, now: Instant) {
        if self.short.is_some_and(|at| now.duration_since(at) >= SHORT) {
            (self.most, self.short) = (limit, None);
        }
        self.forget_ended();
        while self.is_full() && self.drop_one() {}
    }

    fn is_full(&self) -> bool {
        self.oldest_first.len() >= self.most.max(1)
    }

    /// Descriptors have run out: fewer places, so that a newcomer does not have to wait for one again.
    fn fewer(&mut self, now: Instant) {
        self.forget_ended();
        self.most = self.oldest_first.len().saturating_sub(1);
        self.short = Some(now);
        self.drop_one();
    }

    fn forget_ended(&mut self) {
        self.oldest_first.retain(|open| !open.task.is_finished());
    }

    /// The oldest of those from where most are. `None`: there is none that can make room.
    fn next_to_go(&self) -> Option<usize> {
        let mut from: HashMap<IpAddr, (usize, usize)> = HashMap::new();
        for (i, open) in self.oldest_first.iter().enumerate().filter(|(_, open)| !open.waits.get()) {
            from.entry(open.from).or_insert((0, i)).0 += 1;
        }
        from.into_values().max_by_key(|(count, oldest)| (*count, Reverse(*oldest))).map(|(_, oldest)| oldest)
    }

    /// `false`: there is none that can make room.
    fn drop_one(&mut self) -> bool {
        self.next_to_go().and_then(|i| self.oldest_first.remove(i)).inspect(|open| open.task.abort()).is_some()
    }
}

/// Whom a connection is with.
#[derive(Clone)]
struct Client {
    from: IpAddr,
    /// It waits for an answer.
    waits: Rc<Cell<bool>>,
    /// It has sent a request.
    asked: Rc<Cell<bool>>,
    stream: Rc<TcpStream>,
}

async fn connection(client: Client, site: Site, limits: Limits) {
    // Answers are one write each; without this, the second of two pipelined ones could wait for a delayed ACK.
    let _ = client.stream.set_nodelay(true);
    let stream = Shared(Rc::clone(&client.stream));
    let over = async {
        loop {
            sleep(limits.lifetime).await;
            if !client.waits.get() {
                return;
            }
        }
    };
    talk(stream, site, Some(&client), limits, over).await;
}

/// One connection's whole life, whatever the client sends: requests answered one after the other until either side ends it.
pub async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answerer, limits: Limits) {
    talk(stream, answer.into(), None, limits, sleep(limits.lifetime)).await;
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    site: Site,
    client: Option<&Client>,
    limits: Limits,
    over: impl Future<Output = ()>,
) {
    let io = ImpatientWriter { io: TokioIo::new(stream), limit: limits.write, stalled: None };
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, client) = (site.clone(), client.cloned());
        async move { Ok::<_, Infallible>(response(&site, client.as_ref(), request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(MAX_HEAD)
        // A client may close its sending side once it has asked: `printf 'GET …' | nc`.
        .half_close(true);
    tokio::select! {
        ended = http.serve_connection(io, service) => {
            if let Err(e) = ended {
                debug!("an http connection ended early: {e}");
            }
        }
        () = over => debug!("an http connection was closed after {} s", limits.lifetime.as_secs()),
    }
}

async fn response(site: &Site, client: Option<&Client>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    // In a flood dozens are accepted in that turn, and one of them would push it out. Further requests have no such right: who
    // sends them without end would keep its place.
    if let Some(client) = client.filter(|client| !client.asked.replace(true)) {
        client.waits.set(true);
    }
    // One answer a turn: a client that sends hundreds of requests at once would have them all answered before anybody
    // else is looked at, and 64 such clients would keep a probe waiting for seconds.
    tokio::task::yield_now().await;
    let head = request.into_parts().0;
    let Some(client) = client else { return respond(&site.answer, &head) };
    if let Some(agent) = head.headers.get(USER_AGENT) {
        own::asked(client.from, agent.as_bytes());
    }
    let response = match begin(site, &head, client.from) {
        Some(later) => respond_later(later, client).await,
        None => respond(&site.answer, &head),
    };
    client.waits.set(false);
    response
}

fn begin(site: &Site, head: &Parts, from: IpAddr) -> Option<Answering> {
    let later = site.later.as_ref()?;
    catch_unwind(AssertUnwindSafe(|| later(head, from))).unwrap_or_else(|_| {
        error!("answering {} {} panicked; this is a bug in softstop", head.method, head.uri.path());
        None
    })
}

/// The connection keeps its place until the answer, or until the client goes. It ends with it: the kubelet would keep it for later.
async fn respond_later(later: Answering, client: &Client) -> Response<Full<Bytes>> {
    client.waits.set(true);
    let answer = tokio::select! {
        biased;
        answer = later => answer,
        // Who has closed the sending side alone may see it.
        () = gone(&client.stream) => Answer::text(202, "not waited for: the connection was closed\n"),
    };
    let mut response = shape(answer);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn respond(answer: &Answerer, request: &Parts) -> Response<Full<Bytes>> {
    let answer = catch_unwind(AssertUnwindSafe(|| answer(request))).unwrap_or_else(|_| {
        error!("answering {} {} panicked; this is a bug in softstop", request.method, request.uri.path());
        Answer::text(500, "internal error\n")
    });
    shape(answer)
}

fn shape(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if answer.code == 405 {
        headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
    }
    response
}

/// A socket whose writes fail when the peer takes nothing for `limit`.
struct ImpatientWriter<S> {
    io: TokioIo<S>,
    limit: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> ImpatientWriter<S> {
    fn bounded(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> Read for ImpatientWriter<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

/// Without writes of several buffers at once: hyper then puts an answer's head and body into one.
impl<S: AsyncWrite + Unpin> Write for ImpatientWriter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.bounded(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
