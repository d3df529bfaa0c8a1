//! Answers that come later (`GET /prestop`) over real sockets: they outlive what limits other connections, and end nothing else.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use softstop::http::endpoints::Answer;
use softstop::http::server::{Later, Limits, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::{PATIENCE, with_server};

/// So long this thread, which is client and server both, may have no processor between a connect and its request.
const LIFETIME: Duration = Duration::from_secs(2);

/// `/later` is answered when it is said to be; so many wait.
struct Bell {
    ring: Notify,
    waiting: Cell<usize>,
}

fn with_bell(connections: usize, test: impl AsyncFnOnce(SocketAddr, Rc<Bell>)) {
    let bell = Rc::new(Bell { ring: Notify::new(), waiting: Cell::new(0) });
    let (ours, theirs) = (Rc::clone(&bell), bell);
    let later: Later = Rc::new(move |head, _| {
        let bell = Rc::clone(&theirs);
        (head.uri.path() == "/later").then(|| {
            Box::pin(async move {
                struct Waits(Rc<Bell>);
                impl Drop for Waits {
                    fn drop(&mut self) {
                        self.0.waiting.set(self.0.waiting.get() - 1);
                    }
                }
                bell.waiting.set(bell.waiting.get() + 1);
                let waits = Waits(bell);
                waits.0.ring.notified().await;
                Answer::text(200, "at last\n")
            }) as _
        })
    });
    let site = Site { answer: Rc::new(|_| Answer::text(200, "ok")), later: Some(later) };
    let limits = Limits { connections, lifetime: LIFETIME, request: LIFETIME, ..Limits::default() };
    with_server(site, limits, async |addr| test(addr, ours).await);
}

async fn ask(addr: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

async fn all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    timeout(PATIENCE / 2, async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("never: {what}"));
}

#[test]
fn an_answer_may_come_after_a_connections_lifetime_and_others_make_room_for_newcomers() {
    with_bell(3, async |addr, bell| {
        let waits = ask(addr, "/later").await;
        until("it waits", || bell.waiting.get() == 1).await;
        // Many times as many as there are places, over many lifetimes: each gets in, and the one that waits stays.
        let mut silent = Vec::new();
        for _ in 0..30 {
            silent.push(TcpStream::connect(addr).await.unwrap());
            let mut probe = ask(addr, "/").await;
            let mut answer = [0; 12];
            probe.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            sleep(LIFETIME / 10).await;
        }
        assert_eq!(bell.waiting.get(), 1);
        bell.ring.notify_waiters();
        let answer = all(waits).await;
        assert!(answer.contains("connection: close") && answer.ends_with("at last\n"), "{answer}");
    });
}

#[test]
fn when_all_places_wait_a_newcomer_still_gets_in() {
    with_bell(2, async |addr, bell| {
        let mut waiting = Vec::new();
        for n in 1..=3 {
            waiting.push(ask(addr, "/later").await);
            until("it waits", || bell.waiting.get() == n).await;
        }
        assert!(all(ask(addr, "/").await).await.starts_with("HTTP/1.1 200"));
        bell.ring.notify_waiters();
        for stream in waiting {
            assert!(all(stream).await.ends_with("at last\n"));
        }
    });
}

#[test]
fn a_client_that_goes_is_no_longer_waited_for_whatever_it_has_sent() {
    with_bell(8, async |addr, bell| {
        for trailing in [&b""[..], b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n", b"garbage"] {
            let mut stream = ask(addr, "/later").await;
            until("it waits", || bell.waiting.get() == 1).await;
            stream.write_all(trailing).await.unwrap();
            drop(stream);
            until("it has been seen to go", || bell.waiting.get() == 0).await;
        }
    });
}
