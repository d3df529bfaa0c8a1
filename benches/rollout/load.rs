//! The traffic: three kinds of clients at the same time, from before the first stop until after the last. They repeat nothing: what
//! does not get its whole answer has failed.

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

use crate::websocket::{self, CLOSE, KEY, TEXT};

/// Clients that keep their connection and send a request every so often.
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

/// Traffic to the port of a load balancer, until [`Load::end`].
pub struct Load {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Tallies>,
}

impl Load {
    pub fn begin(port: u16) -> Load {
        let enough = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let tallies = Rc::new(RefCell::new(Tallies::default()));
            let local = LocalSet::new();
            for kind in KINDS {
                let clients = [SHORT, LONG, SESSIONS][kind as usize];
                for number in 0..clients {
                    local.spawn_local(client(kind, number, port, Arc::clone(&seen), Rc::clone(&tallies)));
                }
            }
            runtime.block_on(local);
            Rc::try_unwrap(tallies).expect("every client has ended").into_inner()
        });
        Load { enough, thread }
    }

    /// What is under way is finished, nothing new is begun.
    pub fn end(self) -> Tallies {
        self.enough.store(true, Ordering::SeqCst);
        self.thread.join().expect("the clients do not panic")
    }
}

async fn client(kind: Kind, number: usize, port: u16, enough: Arc<AtomicBool>, tallies: Rc<RefCell<Tallies>>) {
    let mut random = Random(number as u64 * 1000 + kind as u64);
    let mut connection = None;
    // Not all at the same moment.
    sleep(EVERY.mul_f64(random.between(0, 1000) as f64 / 1000.0)).await;
    let mut next = tokio::time::Instant::now();
    while !enough.load(Ordering::SeqCst) {
        let done = match kind {
            Kind::Short => {
                next += EVERY;
                let done = within(Duration::ZERO, short(&mut connection, port)).await;
                sleep_until(next).await;
                done
            }
            Kind::Long => {
                let ms = random.between(LONG_MS.0, LONG_MS.1);
                within(Duration::from_millis(ms), long(port, ms)).await
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
            // Who was turned away does not hammer, or one failure would be counted as many.
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

async fn short(connection: &mut Option<BufReader<TcpStream>>, port: u16) -> io::Result<()> {
    // What the balancer has closed meanwhile is no failure: the request has not been sent yet.
    let closed = |c: &BufReader<TcpStream>| !matches!(c.get_ref().try_read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
    if connection.as_ref().is_some_and(closed) {
        *connection = None;
    }
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(connect(port).await?),
    };
    stream.write_all(b"GET /short HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
    if answered(stream, 200).await? {
        *connection = None;
    }
    Ok(())
}

async fn long(port: u16, ms: u64) -> io::Result<()> {
    let mut stream = connect(port).await?;
    let request = format!("GET /long?{ms} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
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
