//! The traffic: kinds of clients at the same time, from before the first stop until after the last. They repeat nothing: what does not get
//! its whole answer has failed.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::edge::Serving;
use crate::grpc;
use crate::nginx::NAMED;
use crate::websocket::{self, CLOSE, KEY, TEXT};

/// Clients that send a request every so often, and keep their connection where somebody stands between them and the instance.
const SHORT: usize = 6;
const EVERY: Duration = Duration::from_millis(100);
/// Clients whose requests take so many milliseconds, each over a new connection.
const LONG: usize = 6;
const LONG_MS: (u64, u64) = (1000, 3000);
/// WebSocket clients, how long their sessions last, and how often they say something.
const SESSIONS: usize = 8;
pub const SESSION_MS: (u64, u64) = (1000, 5000);
const MESSAGE_EVERY: Duration = Duration::from_millis(250);
/// An answer that takes so much longer than it should has failed, too.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Short,
    Long,
    Session,
}

pub const KINDS: [Kind; 3] = [Kind::Short, Kind::Long, Kind::Session];

/// What came of the requests of one kind.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    pub total: usize,
    /// When each failed, and of what.
    pub failed: Vec<(Instant, String)>,
}

/// By [`Kind`], in the order of [`KINDS`].
pub type Tallies = [Tally; 3];

/// Where requests go.
#[derive(Clone)]
pub enum Target {
    /// To the port of one that decides by itself.
    Balancer(u16),
    /// To the port of one that is told which instance is meant.
    Named(u16, Serving),
    /// To the instances themselves, each over a connection of its own.
    Direct(Vec<u16>, Serving),
    /// The same, over one that is kept as long as the instance lets it.
    Endless(Vec<u16>, Serving),
}

impl Target {
    /// The port for the next request of a client, and the header for it. The clients take turns.
    fn next(&self, turn: &mut usize) -> (u16, String) {
        *turn += 1;
        let pick = |serving: &Serving| {
            let serving = serving.lock().unwrap();
            serving[*turn % serving.len()]
        };
        match self {
            Target::Balancer(port) => (*port, String::new()),
            Target::Named(port, serving) => (*port, format!("{NAMED}: {}\r\n", pick(serving))),
            Target::Direct(ports, serving) | Target::Endless(ports, serving) => (ports[pick(serving)], String::new()),
        }
    }

    fn keeps_connections(&self) -> bool {
        !matches!(self, Target::Direct(..))
    }

    fn clients(&self, kind: Kind) -> usize {
        match (kind, self) {
            (Kind::Short, _) => SHORT,
            (Kind::Long, _) => LONG,
            // The others speak no WebSocket here.
            (Kind::Session, Target::Balancer(_)) => SESSIONS,
            (Kind::Session, _) => 0,
        }
    }
}

/// Traffic, until [`Load::end`].
pub enum Load<'a> {
    Http { enough: Arc<AtomicBool>, thread: JoinHandle<Tallies> },
    Grpc(&'a grpc::Clients),
}

impl Load<'_> {
    pub fn begin(target: Target, long: bool) -> Load<'static> {
        let enough = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let tallies = Rc::new(RefCell::new(Tallies::default()));
            let local = LocalSet::new();
            for kind in KINDS.into_iter().filter(|kind| long || *kind == Kind::Short) {
                for number in 0..target.clients(kind) {
                    local.spawn_local(client(kind, number, target.clone(), Arc::clone(&seen), Rc::clone(&tallies)));
                }
            }
            runtime.block_on(local);
            Rc::try_unwrap(tallies).expect("every client has ended").into_inner()
        });
        Load::Http { enough, thread }
    }

    /// What is under way is finished, nothing new is begun.
    pub fn end(self) -> Result<Tallies, String> {
        match self {
            Load::Http { enough, thread } => {
                enough.store(true, Ordering::SeqCst);
                Ok(thread.join().expect("the clients do not panic"))
            }
            Load::Grpc(clients) => clients.end(),
        }
    }
}

async fn client(kind: Kind, number: usize, target: Target, enough: Arc<AtomicBool>, tallies: Rc<RefCell<Tallies>>) {
    let mut random = Random(number as u64 * 1000 + kind as u64);
    let (mut connection, mut turn) = (None, number);
    // Not all at the same moment.
    sleep(EVERY.mul_f64(random.between(0, 1000) as f64 / 1000.0)).await;
    let mut next = tokio::time::Instant::now();
    while !enough.load(Ordering::SeqCst) {
        let (port, header) = target.next(&mut turn);
        let done = match kind {
            Kind::Short => {
                next += EVERY;
                let strict = matches!(target, Target::Endless(..));
                let done = within(Duration::ZERO, short(&mut connection, port, &header, strict)).await;
                if !target.keeps_connections() {
                    connection = None;
                }
                sleep_until(next).await;
                done
            }
            Kind::Long => {
                let ms = random.between(LONG_MS.0, LONG_MS.1);
                within(Duration::from_millis(ms), long(port, ms, &header)).await
            }
            Kind::Session => {
                let ms = random.between(SESSION_MS.0, SESSION_MS.1);
                within(Duration::from_millis(ms), session(port, Duration::from_millis(ms))).await
            }
        };
        tallies.borrow_mut()[kind as usize].total += 1;
        if let Err(error) = done {
            tallies.borrow_mut()[kind as usize].failed.push((Instant::now(), error.to_string()));
            connection = None;
            // Who was rejected does not hammer, or one failure would be counted as many.
            sleep(if kind == Kind::Short { EVERY } else { Duration::from_secs(1) }).await;
        }
    }
}

async fn within(length: Duration, work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(length + PATIENCE, work).await.unwrap_or_else(|_| Err(io::Error::other("no answer")))
}

async fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

async fn short(connection: &mut Option<BufReader<TcpStream>>, port: u16, header: &str, strict: bool) -> io::Result<()> {
    // What the balancer has closed meanwhile is no failure: the request has not been sent yet. Who is strict is not as lucky.
    let closed = |c: &BufReader<TcpStream>| !matches!(c.get_ref().try_read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
    if !strict && connection.as_ref().is_some_and(closed) {
        *connection = None;
    }
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(connect(port).await?),
    };
    stream.write_all(format!("GET /short HTTP/1.1\r\nHost: bench\r\n{header}\r\n").as_bytes()).await?;
    if answered(stream, 200).await? {
        *connection = None;
    }
    Ok(())
}

async fn long(port: u16, ms: u64, header: &str) -> io::Result<()> {
    let mut stream = connect(port).await?;
    let request = format!("GET /long?{ms} HTTP/1.1\r\nHost: bench\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await?;
    answered(&mut stream, 200).await.map(drop)
}

/// A session is whole when it ends with a close that was answered.
async fn session(port: u16, length: Duration) -> io::Result<()> {
    let mut stream = connect(port).await?;
    let request = format!(
        "GET /session HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    answered(&mut stream, 101).await?;
    let end = Instant::now() + length;
    while Instant::now() < end {
        websocket::write(&mut stream, TEXT, b"hello", true).await?;
        if websocket::read(&mut stream).await? != (TEXT, b"hello".to_vec()) {
            return Err(io::Error::other("another message came back"));
        }
        sleep(MESSAGE_EVERY).await;
    }
    websocket::write(&mut stream, CLOSE, &1000_u16.to_be_bytes(), true).await?;
    match websocket::read(&mut stream).await? {
        (CLOSE, _) => Ok(()),
        _ => Err(io::Error::other("the close was not answered")),
    }
}

/// Reads one answer; whether it was the last of the connection.
async fn answered(stream: &mut BufReader<TcpStream>, expected: u16) -> io::Result<bool> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::Error::other("closed without an answer"));
    }
    let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut last) = (0, false);
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        last |= header == "connection: close";
    }
    if status != expected.to_string() {
        return Err(io::Error::other(format!("answered {status}")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(last)
}

/// SplitMix64: the same traffic for every init.
struct Random(u64);

impl Random {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (z ^ (z >> 31)) % (high - low + 1)
    }
}
