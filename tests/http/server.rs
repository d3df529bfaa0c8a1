//! The probe endpoints over real sockets: well-behaved clients get whole answers, the others are bounded and delay nobody.

#[path = "../support/starvation.rs"]
mod starvation;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use softstop::http::endpoints::{self, Answer};
use softstop::http::server::{Answerer, Limits, bind, serve};
use softstop::status::{Phase, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{PATIENCE, anywhere, block_on, listen};

fn status() -> Status {
    Status { phase: Phase::Running, started: true, ready: true, live: true, ..Status::default() }
}

fn answerer() -> Answerer {
    Rc::new(|request| match request.uri.path() {
        "/panic" => panic!("on purpose"),
        "/slow" => {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {}
            Answer::text(200, "slow")
        }
        "/big" => Answer::text(200, "x".repeat(1 << 20)),
        path => endpoints::answer(request.method.as_str(), path, request.uri.query(), &status()),
    })
}

fn with_server(limits: Limits, test: impl AsyncFnOnce(SocketAddr)) {
    crate::with_server(answerer(), limits, test);
}

/// Limits so wide that only the one under test can act.
fn wide() -> Limits {
    Limits { request: PATIENCE * 3, write: PATIENCE * 3, lifetime: PATIENCE * 3, ..Limits::default() }
}

/// Sends `request` and reads until the server closes.
async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_all(&mut stream).await
}

/// Everything until the server closes, by FIN or by RST.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// The request that kubelet 1.36 was seen to send.
fn kubelet(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 10.244.7.2:8080\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
    .into_bytes()
}

/// Time that passes while this thread, which is client and server both, does not wait for a processor.
struct Watch {
    began: Instant,
    starved: Duration,
}

impl Watch {
    fn start() -> Watch {
        Watch { began: Instant::now(), starved: starvation::own() }
    }

    fn spent(&self) -> Duration {
        self.began.elapsed().saturating_sub(starvation::own().saturating_sub(self.starved))
    }
}

/// A probe as the kubelet makes it, within the kubelet's default timeout.
async fn probe(addr: SocketAddr) {
    let watch = Watch::start();
    let answer = exchange(addr, &kubelet("/readyz")).await;
    assert!(watch.spent() < Duration::from_secs(1), "a probe took {:?}", watch.spent());
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer:?}");
}

/// Reads one answer of a kept connection: head, then as many bytes as Content-Length says.
async fn read_one(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "content-length").expect("a length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name))).map(|(_, value)| value)
}

/// A connection from another address of the loopback, which asks for nothing.
async fn silent_from(source: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(addr).await.unwrap()
}

/// A client that asks again and again takes one place, not one for each time.
#[test]
fn connections_that_have_ended_take_no_place() {
    with_server(Limits { connections: 4, ..wide() }, async |addr| {
        let mut slow = TcpStream::connect(addr).await.unwrap();
        for _ in 0..20 {
            probe(addr).await;
        }
        slow.write_all(&kubelet("/readyz")).await.unwrap();
        assert!(read_all(&mut slow).await.starts_with("HTTP/1.1 200"));
    });
}

/// A node's probe that is a little slow to ask, and a crowd from elsewhere.
#[test]
fn a_crowd_from_one_address_pushes_out_nobody_else() {
    with_server(Limits { connections: 4, ..wide() }, async |addr| {
        let mut slow = silent_from([127, 0, 0, 1], addr).await;
        let mut crowd = Vec::new();
        for _ in 0..40 {
            crowd.push(silent_from([127, 0, 0, 2], addr).await);
        }
        // The first of the crowd have been cut off, so the later ones have got in.
        assert_eq!(read_all(&mut crowd[0]).await, "");
        slow.write_all(&kubelet("/readyz")).await.unwrap();
        assert!(read_all(&mut slow).await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn the_kubelets_probe_gets_a_whole_answer_and_the_connection_closed() {
    with_server(Limits::default(), async |addr| {
        let answer = exchange(addr, &kubelet("/readyz")).await;
        let without_date: Vec<&str> = answer.split("\r\n").filter(|l| !l.starts_with("date: ")).collect();
        let mut head: Vec<&str> = without_date[1..without_date.len() - 2].to_vec();
        head.sort_unstable();
        assert_eq!(without_date[0], "HTTP/1.1 200 OK");
        assert_eq!(
            head,
            [
                "cache-control: no-store",
                "connection: close",
                "content-length: 2",
                "content-type: text/plain; charset=utf-8",
                "x-content-type-options: nosniff",
            ]
        );
        assert_eq!(without_date.last(), Some(&"ok"));
    });
}

#[test]
fn head_answers_like_get_without_the_body() {
    with_server(Limits::default(), async |addr| {
        let answer = exchange(addr, b"HEAD /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer:?}");
        assert_eq!(header(&answer, "content-length"), Some("2"));
    });
}

#[test]
fn http_1_0_is_answered_and_closed() {
    with_server(Limits::default(), async |addr| {
        let answer = exchange(addr, b"GET /livez HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("ok"), "{answer:?}");
    });
}

#[test]
fn a_kept_connection_is_answered_again_and_again() {
    with_server(Limits::default(), async |addr| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        for _ in 0..20 {
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert_eq!(read_one(&mut stream).await.1, "ok");
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    with_server(Limits::default(), async |addr| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let requests: String =
            ["/livez", "/nope", "/status", "/livez"].map(|p| format!("GET {p} HTTP/1.1\r\nHost: x\r\n\r\n")).concat();
        stream.write_all(requests.as_bytes()).await.unwrap();
        let mut codes = Vec::new();
        for _ in 0..4 {
            codes.push(read_one(&mut stream).await.0.split(' ').nth(1).unwrap().to_string());
        }
        assert_eq!(codes, ["200", "404", "200", "200"]);
    });
}

#[test]
fn a_client_that_has_closed_its_side_is_answered() {
    with_server(Limits::default(), async |addr| {
        // The second answer is more than the socket takes at once, so the server sees the end while it still writes.
        for (path, length) in [("/readyz", 2), ("/big", 1 << 20)] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let answer = read_all(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:.100?}");
            assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), length);
        }
    });
}

#[test]
fn other_methods_and_paths_are_refused() {
    with_server(Limits::default(), async |addr| {
        let answer = exchange(addr, b"DELETE /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer:?}");
        assert_eq!(header(&answer, "allow"), Some("GET, HEAD"));
        let answer = exchange(addr, &kubelet("/etc/passwd")).await;
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer:?}");
        let answer = exchange(addr, b"GET http://x/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "a proxy's form of the path: {answer:?}");
    });
}

#[test]
fn a_body_is_not_waited_for() {
    with_server(wide(), async |addr| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nabc").await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer:?}");
    });
}

#[test]
fn garbage_is_refused_and_harms_nobody() {
    with_server(Limits::default(), async |addr| {
        let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for garbage in [&tls_hello[..], b"\0\0\0\0\r\n\r\n", http2, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
            let answer = exchange(addr, garbage).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{garbage:?}: {answer:?}");
            probe(addr).await;
        }
    });
}

#[test]
fn an_oversized_head_is_cut() {
    with_server(wide(), async |addr| {
        for request in [
            format!("GET /readyz HTTP/1.1\r\nHost: x\r\nX-Big: {}", "a".repeat(64 * 1024)),
            format!("GET /{} HTTP/1.1\r\n", "a".repeat(64 * 1024)),
            format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(1000)),
        ] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            // The server may close, and so reset, before it has all of it.
            let _ = stream.write_all(request.as_bytes()).await;
            let answer = read_all(&mut stream).await;
            let code = answer.split(' ').nth(1).unwrap_or_default();
            assert!(["", "414", "431"].contains(&code), "{answer:?}");
            probe(addr).await;
        }
    });
}

#[test]
fn a_byte_at_a_time_is_cut_and_delays_nobody() {
    with_server(Limits::default(), async |addr| {
        let began = Instant::now();
        let mut slow = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /readyz HTTP/1.1\r\nHost: x\r\nX-Slow: {}", "a".repeat(1000));
        let mut bytes = request.bytes();
        let mut end = [0; 64];
        loop {
            let _ = slow.write_all(&[bytes.next().unwrap()]).await;
            probe(addr).await;
            match timeout(Duration::from_millis(100), slow.read(&mut end)).await {
                Err(_) => assert!(began.elapsed() < PATIENCE / 2, "still open after {:?}", began.elapsed()),
                Ok(Ok(n)) if n > 0 => panic!("answered: {:?}", String::from_utf8_lossy(&end[..n])),
                Ok(_) => break,
            }
        }
        let lasted = began.elapsed();
        assert!(lasted >= Duration::from_millis(1900), "cut after {lasted:?}");
    });
}

#[test]
fn an_idle_kept_connection_is_closed() {
    with_server(Limits { request: Duration::from_millis(1500), ..wide() }, async |addr| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(read_one(&mut stream).await.1, "ok");
        assert_eq!(read_all(&mut stream).await, "");
    });
}

#[test]
fn idle_connections_make_room_for_probes_oldest_first() {
    with_server(wide(), async |addr| {
        let mut idle = Vec::new();
        for i in 0..500 {
            idle.push(TcpStream::connect(addr).await.unwrap());
            if i % 25 == 0 {
                probe(addr).await;
            }
        }
        probe(addr).await;
        // Of the 500, all but the newest 64 at most are closed; the newest is still served.
        for stream in &mut idle[..500 - 64] {
            assert_eq!(read_all(stream).await, "");
        }
        let newest = idle.last_mut().unwrap();
        newest.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(read_one(newest).await.1, "ok");
    });
}

#[test]
fn probes_get_through_a_flood_of_connects() {
    with_server(wide(), async |addr| {
        let flooder = || async {
            let mut held = std::collections::VecDeque::new();
            loop {
                // Without a reset each leaves its port taken for a minute: of 28,000 none is left then, for the probes neither.
                if let Ok(stream) = TcpStream::connect(addr).await {
                    stream.set_zero_linger().unwrap();
                    held.push_back(stream);
                }
                if held.len() > 40 {
                    held.pop_front();
                }
                tokio::task::yield_now().await;
            }
        };
        let flood = async { tokio::join!(flooder(), flooder(), flooder(), flooder(), flooder(), flooder()) };
        let probes = async {
            for _ in 0..50 {
                probe(addr).await;
            }
        };
        tokio::select! {
            _ = flood => {}
            () = probes => {}
        }
    });
}

/// All of these arrive before the server gets a turn, as when softstop was busy or not scheduled for a moment.
#[test]
fn a_probe_at_the_head_of_a_burst_is_answered() {
    // Also where there is one place, and the next one comes between its request and its answer.
    for connections in [wide().connections, 1] {
        with_server(Limits { connections, ..wide() }, async |addr| {
            let mut first = std::net::TcpStream::connect(addr).unwrap();
            io::Write::write_all(&mut first, &kubelet("/readyz")).unwrap();
            let _burst: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
            first.set_nonblocking(true).unwrap();
            let mut first = TcpStream::from_std(first).unwrap();
            let answer = read_all(&mut first).await;
            assert!(answer.ends_with("ok"), "{answer:?}");
        });
    }
}

/// A client that asks for many answers at once gets one a turn: here they would keep the thread for 12 s.
#[test]
fn many_pipelined_requests_keep_nobody_waiting() {
    with_server(wide(), async |addr| {
        let requests = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
        let mut longest = Duration::ZERO;
        let everybody_else = async {
            loop {
                let watch = Watch::start();
                tokio::time::sleep(Duration::from_millis(1)).await;
                longest = longest.max(watch.spent());
            }
        };
        let clients = async {
            let mut greedy = Vec::new();
            for _ in 0..60 {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                stream.write_all(&requests).await.unwrap();
                greedy.push(stream);
            }
            for _ in 0..3 {
                probe(addr).await;
            }
        };
        tokio::select! {
            () = everybody_else => {}
            () = clients => {}
        }
        assert!(longest < Duration::from_secs(1), "the thread was kept for {longest:?}");
    });
}

/// What arrives while softstop is busy with something else waits in the kernel's queue; a connection that finds it full is only
/// tried again after a second, when a probe has failed.
#[test]
fn hundreds_of_connections_wait_to_be_accepted() {
    let most: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let listener = bind(anywhere().into()).unwrap();
    let addr = listener.local_addr().unwrap();
    let connect = |_| std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(900)).unwrap();
    let waiting: Vec<_> = (0..most.min(400)).map(connect).collect();
    assert!(!waiting.is_empty());
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    with_server(Limits { write: Duration::from_millis(300), ..wide() }, async |addr| {
        let mut deaf = TcpStream::connect(addr).await.unwrap();
        // Many answers of 1 MiB, more than the sockets' buffers hold.
        let asked = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        let _ = deaf.write_all(&asked).await;
        // Asking on never blocks for long: the server takes requests, or has gone.
        let gone = async {
            loop {
                if deaf.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.is_err() {
                    return;
                }
                probe(addr).await;
            }
        };
        gone.await;
    });
}

#[test]
fn a_connection_has_a_limited_life_however_busy() {
    with_server(Limits { lifetime: Duration::from_secs(2), ..wide() }, async |addr| {
        let began = Instant::now();
        let mut busy = TcpStream::connect(addr).await.unwrap();
        let mut byte = [0; 1024];
        while busy.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.is_ok() {
            if busy.read(&mut byte).await.unwrap_or(0) == 0 {
                break;
            }
        }
        assert!(began.elapsed() >= Duration::from_millis(1900), "cut after {:?}", began.elapsed());
        probe(addr).await;
    });
}

#[test]
fn a_panic_is_answered_500_and_ends_nothing() {
    with_server(Limits::default(), async |addr| {
        let answer = exchange(addr, &kubelet("/panic")).await;
        assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{answer:?}");
        probe(addr).await;
    });
}

#[test]
fn dropping_the_server_closes_everything() {
    block_on(async {
        let (listener, addr) = listen(anywhere());
        let mut kept = TcpStream::connect(addr).await.unwrap();
        tokio::select! {
            () = serve(listener, answerer(), wide()) => panic!("the server ended"),
            () = probe(addr) => {}
        }
        assert_eq!(read_all(&mut kept).await, "");
        assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn an_address_that_cannot_be_listened_on_says_what_to_do() {
    let taken = bind(anywhere().into()).unwrap();
    let addr = taken.local_addr().unwrap();
    let error = bind(addr.into()).unwrap_err();
    assert!(error.starts_with(&format!("cannot listen on {addr}: another process has this port: choose")), "{error}");
    let error = bind(SocketAddr::from(([192, 0, 2, 1], 9180)).into()).unwrap_err();
    assert!(error.starts_with("cannot listen on 192.0.2.1:9180: no interface here has this address:"), "{error}");
    assert!(!error.contains('\n'));
}

/// A port is taken again while connections of the one before it are in TIME_WAIT: a container that restarts.
#[test]
fn a_port_can_be_taken_again_at_once() {
    block_on(async {
        let mut addr = anywhere();
        for _ in 0..3 {
            let listener;
            (listener, addr) = listen(addr);
            tokio::select! {
                () = serve(listener, answerer(), wide()) => panic!("the server ended"),
                () = probe(addr) => {}
            }
        }
    });
}

/// Out of descriptors, the server waits instead of spinning, and serves again when there are some. In a process of its own,
/// because the limit is the process's.
#[test]
fn running_out_of_descriptors_is_waited_out_without_spinning() {
    const CHILD: &str = "SOFTSTOP_TEST_NO_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        with_server(wide(), without_descriptors);
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "a test's own child: no reaper runs here")]
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", std::thread::current().name().unwrap(), "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

async fn without_descriptors(addr: SocketAddr) {
    use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let micros = |t: nix::sys::time::TimeVal| i128::from(t.tv_sec()) * 1_000_000 + i128::from(t.tv_usec());
        micros(usage.user_time()) + micros(usage.system_time())
    };
    probe(addr).await;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64.min(hard), hard).unwrap();
    let mut held: Vec<std::fs::File> = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    // One for the client's socket, none for the server's.
    held.pop();
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(&kubelet("/readyz")).await.unwrap();
    let (before, began) = (cpu(), Instant::now());
    let mut answer = [0; 16];
    assert!(
        timeout(Duration::from_millis(700), client.read(&mut answer)).await.is_err(),
        "there was a descriptor left"
    );
    let spent = cpu() - before;
    assert!(spent < 200_000, "{spent} µs of processor time in {:?}", began.elapsed());
    drop(held);
    let answer = read_all(&mut client).await;
    assert!(answer.ends_with("ok"), "{answer:?}");
    probe(addr).await;
}
