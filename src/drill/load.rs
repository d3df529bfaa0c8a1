//! The load: requests at a steady rate, whatever comes of them, every other one over a new connection and the others over a few that are
//! kept. Nothing is repeated but what was never sent: a kept connection that the server had closed before is no failure, to a balancer neither.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::tally::{Tally, Why};
use crate::config::{HttpCall, host_and_port};
use crate::http::client::io_error;
use crate::tasks;

/// Requests under way at once; one more is held back, and counted.
const MOST_UNDER_WAY: u32 = 1000;
/// So far behind, as after a pause of the machine, what was missed is not made up for.
const BEHIND: Duration = Duration::from_millis(500);

/// What is asked, and how often.
pub struct Load {
    pub call: HttpCall,
    pub addrs: Vec<SocketAddr>,
    /// Requests a second.
    pub rate: u32,
    /// Kept connections.
    pub connections: u32,
    pub patience: Duration,
}

/// Load that is going on.
pub struct Traffic {
    load: Load,
    uri: Uri,
    host: HeaderValue,
    began: Instant,
    enough: Cell<bool>,
    pool: RefCell<VecDeque<SendRequest<Full<Bytes>>>>,
    pub tally: RefCell<Tally>,
}

impl Traffic {
    /// Begins at once. Needs a `LocalSet`.
    ///
    /// # Errors
    /// The URL is none that can be asked; one line.
    pub fn begin(load: Load) -> Result<Rc<Traffic>, String> {
        let traffic = Traffic::new(load)?;
        tasks::spawn(drive(Rc::clone(&traffic)));
        Ok(traffic)
    }

    fn new(load: Load) -> Result<Rc<Traffic>, String> {
        let url = load.call.url();
        let uri = load.call.path.parse().map_err(|e| format!("{url}: {e}"))?;
        let host = HeaderValue::try_from(host_and_port(&load.call.host, load.call.port));
        let host = host.map_err(|e| format!("{url}: {e}"))?;
        let (enough, pool, tally) = Default::default();
        Ok(Rc::new(Traffic { load, uri, host, began: Instant::now(), enough, pool, tally }))
    }

    /// Nothing new is begun.
    pub fn end(&self) {
        self.enough.set(true);
        self.pool.borrow_mut().clear();
    }

    pub fn is_over(&self) -> bool {
        self.enough.get() && self.tally.borrow().under_way == 0
    }

    /// Since the load began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long before or after the load's beginning that was.
    pub fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.began)
    }

    fn request(&self, last: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("softstop-drill"));
        if last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        request
    }

    /// A connection that the server has not closed.
    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut pool = self.pool.borrow_mut();
        while let Some(sender) = pool.pop_front() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut pool = self.pool.borrow_mut();
        if !self.enough.get() && !sender.is_closed() && pool.len() < self.load.connections as usize {
            pool.push_back(sender);
        }
    }
}

async fn drive(traffic: Rc<Traffic>) {
    let every = Duration::from_secs(1) / traffic.load.rate.max(1);
    let mut next = Instant::now();
    let mut turn = 0_u64;
    loop {
        sleep_until(next.into()).await;
        if traffic.enough.get() {
            return;
        }
        let now = Instant::now();
        next = if now.saturating_duration_since(next) > BEHIND { now + every } else { next + every };
        if traffic.tally.borrow().under_way >= MOST_UNDER_WAY {
            traffic.tally.borrow_mut().held_back += 1;
            continue;
        }
        turn += 1;
        let new = turn.is_multiple_of(2) || traffic.load.connections == 0;
        traffic.tally.borrow_mut().begin(traffic.now());
        tasks::spawn(one(Rc::clone(&traffic), new));
    }
}

/// One request; `new`: over a connection of its own.
async fn one(traffic: Rc<Traffic>, new: bool) {
    let begun = traffic.now();
    let used = Cell::new(false);
    let outcome = timeout(traffic.load.patience, ask(&traffic, new, &used)).await.unwrap_or(Err(Why::Timeout));
    let now = traffic.now();
    traffic.tally.borrow_mut().end(begun, now, used.get(), outcome);
}

async fn ask(traffic: &Rc<Traffic>, new: bool, used: &Cell<bool>) -> Result<(), Why> {
    if new {
        let mut sender = connect(traffic).await?;
        return send(traffic, &mut sender, true).await.map_err(|e| why(&e))?;
    }
    if let Some(mut sender) = traffic.kept() {
        used.set(true);
        match send(traffic, &mut sender, false).await {
            // It was never sent.
            Err(error) if error.is_canceled() => used.set(false),
            outcome => {
                traffic.keep(sender);
                return outcome.map_err(|e| why(&e))?;
            }
        }
    }
    let mut sender = connect(traffic).await?;
    let outcome = send(traffic, &mut sender, false).await.map_err(|e| why(&e))?;
    traffic.keep(sender);
    outcome
}

/// Outer: the exchange; inner: the answer.
async fn send(
    traffic: &Rc<Traffic>,
    sender: &mut SendRequest<Full<Bytes>>,
    last: bool,
) -> Result<Result<(), Why>, hyper::Error> {
    let response = sender.send_request(traffic.request(last)).await?;
    let is_error = response.status().is_server_error();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    if !last {
        // It can be used again once its task has seen the end of the body.
        let _ = sender.ready().await;
    }
    Ok(if is_error { Err(Why::ServerError) } else { Ok(()) })
}

/// Counts a connection as long as it is open.
struct Open(Rc<Traffic>);

impl Drop for Open {
    fn drop(&mut self) {
        let now = self.0.now();
        self.0.tally.borrow_mut().closed(now);
    }
}

async fn connect(traffic: &Rc<Traffic>) -> Result<SendRequest<Full<Bytes>>, Why> {
    let mut refused = Why::Other;
    for addr in &traffic.load.addrs {
        let stream = match TcpStream::connect(addr).await {
            Ok(stream) => stream,
            Err(error) => {
                refused = unconnected(&error);
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let now = traffic.now();
        traffic.tally.borrow_mut().opened(now);
        let open = Open(Rc::clone(traffic));
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| why(&e))?;
        tasks::spawn(async move {
            let _ = connection.await;
            drop(open);
        });
        return Ok(sender);
    }
    Err(refused)
}

/// Asks once, over a connection of its own.
///
/// # Errors
/// Why there is no answer below 500.
pub async fn answer(call: &HttpCall, addrs: &[SocketAddr], patience: Duration) -> Result<(), Why> {
    let load = Load { call: call.clone(), addrs: addrs.to_vec(), rate: 1, connections: 0, patience };
    let traffic = Traffic::new(load).map_err(|_| Why::Other)?;
    let used = Cell::new(false);
    timeout(patience, ask(&traffic, true, &used)).await.unwrap_or(Err(Why::Timeout))
}

fn why(error: &hyper::Error) -> Why {
    let cut = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    io_error(error).map_or(if cut { Why::Cut } else { Why::Other }, unconnected)
}

fn unconnected(error: &io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Why::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => Why::Reset,
        io::ErrorKind::UnexpectedEof => Why::Cut,
        io::ErrorKind::TimedOut => Why::Timeout,
        _ => Why::Other,
    }
}
