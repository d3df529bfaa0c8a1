//! The clients: each request over a connection of its own, and none is repeated.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PORT: u16 = 8080;
/// Nothing that is answered takes so long.
const PATIENCE: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Good,
    /// Nobody listens.
    Refused,
    /// Cut, or an answer that says that something is broken.
    Bad,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub began: Instant,
    pub ended: Instant,
    pub answer: Answer,
    /// Of a bad answer: its first line and its last, or the error.
    pub why: String,
}

pub fn get(path: &str) -> Request {
    let began = Instant::now();
    let (answer, why) = match TcpStream::connect(("127.0.0.1", PORT)) {
        Ok(stream) => ask(stream, path).map_or_else(|why| (Answer::Bad, why), |()| (Answer::Good, String::new())),
        Err(_) => (Answer::Refused, String::new()),
    };
    Request { path: path.to_owned(), began, ended: Instant::now(), answer, why }
}

fn ask(mut stream: TcpStream, path: &str) -> Result<(), String> {
    let mut text = Vec::new();
    let limit = stream.set_read_timeout(Some(PATIENCE));
    let asked = limit.and_then(|()| write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"));
    asked.and_then(|()| stream.read_to_end(&mut text)).map_err(|e| e.to_string())?;
    if text.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    Err(format!("{:?} … {:?}", text.lines().next().unwrap_or_default(), text.lines().last().unwrap_or_default()))
}

/// Clients that go on until they are told that it is enough.
pub struct Clients {
    enough: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub fn new() -> Clients {
        Clients { enough: Arc::default(), requests: Arc::default(), threads: Vec::new() }
    }

    /// One more, which asks for `path`, given the number of its request, after each pause, the first after `delay`. Where it `gives_up`, the first
    /// refused connection is its last.
    pub fn add(
        &mut self,
        delay: Duration,
        pause: Duration,
        gives_up: bool,
        path: impl Fn(usize) -> String + Send + 'static,
    ) {
        let (enough, requests) = (Arc::clone(&self.enough), Arc::clone(&self.requests));
        self.threads.push(std::thread::spawn(move || {
            std::thread::sleep(delay);
            for number in 0.. {
                if enough.load(Ordering::Relaxed) {
                    return;
                }
                let request = get(&path(number));
                let over = gives_up && request.answer == Answer::Refused;
                requests.lock().unwrap().push(request);
                if over {
                    return;
                }
                std::thread::sleep(pause);
            }
        }));
    }

    /// Those that look whether it serves.
    pub fn probing() -> Clients {
        let mut clients = Clients::new();
        for n in 0..2 {
            clients.add(Duration::from_millis(5 * n), Duration::from_millis(10), false, |_| "/".to_owned());
        }
        clients
    }

    /// Whether everybody who has begun after `since` and within the last quarter of a second was answered, and there was somebody.
    pub fn are_served(&self, since: Instant) -> bool {
        let requests = self.requests.lock().unwrap();
        let from = since.max(Instant::now().checked_sub(Duration::from_millis(250)).unwrap_or(since));
        let mut recent = requests.iter().filter(|r| r.ended >= from).peekable();
        recent.peek().is_some() && recent.all(|r| r.answer == Answer::Good)
    }

    pub fn end(self) -> Vec<Request> {
        self.enough.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client does not panic");
        }
        let mut requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.sort_by_key(|r| r.began);
        requests
    }
}

/// How many got no good answer, and for how long nobody did: from the first of them to the next that was answered.
pub fn outage(requests: &[Request]) -> (usize, Duration) {
    let bad = requests.iter().filter(|r| r.answer != Answer::Good);
    let (Some(first), Some(last)) = (bad.clone().map(|r| r.began).min(), bad.clone().map(|r| r.began).max()) else {
        return (0, Duration::ZERO);
    };
    let next = requests.iter().filter(|r| r.answer == Answer::Good && r.began > last).map(|r| r.ended).min();
    (bad.count(), next.unwrap_or_else(Instant::now) - first)
}
