//! The client of hooks and probes against servers that behave, and others.

use std::net::SocketAddr;
use std::time::Duration;

use softstop::config::{HttpCall, Method};
use softstop::http::client::{call, call_over, fetch, local_addresses, tcp};
use softstop::lifecycle::event::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt, empty, join, sink};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::{PATIENCE, block_on};

fn get(addr: SocketAddr) -> HttpCall {
    HttpCall::get("app.localhost", addr.port(), "/ready?deep=1")
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// An address that refuses, for as long as the socket lives: nobody else gets it, and nobody listens there.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Reads one request whole, body too.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return String::from_utf8(request).unwrap();
            }
        }
        request.push(stream.read_u8().await.unwrap());
    }
}

/// Serves one connection that way, then closes it; what the server says and the client's result.
async fn against<T>(
    make: impl FnOnce(SocketAddr) -> HttpCall,
    server: impl AsyncFnOnce(TcpStream) -> T,
) -> (T, Outcome) {
    let (listener, addr) = listen().await;
    let serve = async { server(listener.accept().await.unwrap().0).await };
    let (request, addrs) = (make(addr), [addr]);
    tokio::join!(serve, call(&request, &addrs))
}

/// The request as it came and the client's result on `answer`.
async fn exchange(make: impl FnOnce(SocketAddr) -> HttpCall, answer: &[u8]) -> (String, Outcome) {
    against(make, async |mut stream| {
        let request = read_request(&mut stream).await;
        stream.write_all(answer).await.unwrap();
        request
    })
    .await
}

fn result(answer: &[u8]) -> Outcome {
    block_on(exchange(get, answer)).1
}

#[test]
fn the_request_is_the_kubelets() {
    let (request, outcome) = block_on(exchange(get, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    assert_eq!(outcome, Outcome::Ok);
    let mut lines = request.trim_end().split("\r\n");
    assert_eq!(lines.next(), Some("GET /ready?deep=1 HTTP/1.1"));
    let mut headers: Vec<&str> = lines.collect();
    headers.sort_unstable();
    let host = headers.iter().position(|l| l.starts_with("host: app.localhost:")).expect("a host with its port");
    headers.remove(host);
    let agent = format!("user-agent: softstop/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(headers, ["accept: */*", "connection: close", &agent]);
}

#[test]
fn headers_override_the_defaults_but_not_the_framing() {
    let make = |addr| HttpCall {
        headers: [
            ("host", "example.com"),
            ("User-Agent", "me"),
            ("ACCEPT", ""),
            ("Content-Length", "9"),
            ("Connection", "keep-alive"),
            ("Transfer-Encoding", "chunked"),
            ("X-A", "1"),
            ("X-A", "2"),
        ]
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .to_vec(),
        ..get(addr)
    };
    let (request, outcome) = block_on(exchange(make, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(outcome, Outcome::Ok);
    let mut headers: Vec<&str> = request.trim_end().split("\r\n").skip(1).collect();
    headers.sort_unstable();
    assert_eq!(headers, ["connection: close", "host: example.com", "user-agent: me", "x-a: 1", "x-a: 2"]);
}

#[test]
fn a_host_stands_in_brackets_where_it_needs_them_and_is_never_left_out() {
    let host_of = |make: &dyn Fn(SocketAddr) -> HttpCall| {
        let (request, outcome) = block_on(exchange(make, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(outcome, Outcome::Ok);
        request.lines().find_map(|line| line.strip_prefix("host:")).expect("a host").trim().to_string()
    };
    for (host, expected) in [("app", "app:"), ("10.0.0.1", "10.0.0.1:"), ("::1", "[::1]:"), ("[::1]", "[::1]:")] {
        let said = host_of(&|addr| HttpCall { host: host.into(), ..get(addr) });
        assert!(said.starts_with(expected) && said.ends_with(|c: char| c.is_ascii_digit()), "{said}");
    }
    assert_eq!(host_of(&|addr| HttpCall { headers: vec![("Host".into(), String::new())], ..get(addr) }), "");
}

#[test]
fn what_is_fetched_comes_whole_or_not_at_all() {
    let fetched = |answer: String| {
        block_on(async {
            let (listener, addr) = listen().await;
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_request(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
                drop(stream);
                std::future::pending().await
            };
            let (request, addrs) = (get(addr), [addr]);
            tokio::select! {
                told = fetch(&request, &addrs, 4) => told.map_err(|error| error.to_string()),
                () = serve => unreachable!(),
            }
        })
    };
    for body in ["", "abc", "abcd"] {
        let whole = format!("HTTP/1.1 503 X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(fetched(whole), Ok((503, body.as_bytes().to_vec())));
    }
    let pieces = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n";
    assert_eq!(fetched(format!("{pieces}0\r\n\r\n")), Ok((200, b"abcd".to_vec())));
    for long in ["Content-Length: 5\r\n\r\nabcde", "\r\nabcdefghijklmnop"] {
        assert_eq!(fetched(format!("HTTP/1.1 200 OK\r\n{long}")), Err("answered with more than 4 bytes".into()));
    }
    let closed = "answered 200, then connection closed before the answer was complete";
    assert_eq!(fetched(pieces.into()), Err(closed.into()));
}

/// Ten KiB are read of a body: where they are there it may end early, as nobody looks.
#[test]
fn a_body_that_ends_before_what_is_read_of_it_is_no_answer() {
    for (sent, expected) in [
        (10 * 1024 - 1, Some("answered 200, then connection closed before the answer was complete")),
        (10 * 1024, None),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}", "a".repeat(sent));
        assert_eq!(failure(result(answer.as_bytes())).as_deref(), expected, "{sent}");
    }
}

/// A peer that ends the connection before it has read the request.
#[test]
fn an_end_before_the_request_was_sent_is_called_so() {
    let outcome = block_on(call_over(&get(([127, 0, 0, 1], 80).into()), join(empty(), sink())));
    assert_eq!(failure(outcome).as_deref(), Some("connection closed before the answer was complete"));
}

/// As much as is read of a body is enough, whatever comes or does not come after it.
#[test]
fn a_body_that_stalls_beyond_what_is_read_of_it_is_a_success() {
    let stalls = async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n").await.unwrap();
        stream.write_all(&[b'a'; 10 * 1024]).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    assert_eq!(block_on(against(get, stalls)).1, Outcome::Ok);
}

#[test]
fn a_post_carries_its_body_and_length() {
    for (body, length) in [(Some("{\"a\":1}"), 7), (Some(""), 0), (None, 0)] {
        let make = |addr| HttpCall { method: Method::Post, body: body.map(str::to_string), ..get(addr) };
        let (request, outcome) = block_on(exchange(make, b"HTTP/1.1 204 No Content\r\n\r\n"));
        assert_eq!(outcome, Outcome::Ok);
        assert!(request.starts_with("POST /ready?deep=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("content-length: {length}\r\n")), "{request}");
        assert!(request.ends_with(&format!("\r\n\r\n{}", body.unwrap_or_default())), "{request}");
    }
}

/// The words of one that failed.
fn failure(outcome: Outcome) -> Option<String> {
    match outcome {
        Outcome::Ok => None,
        Outcome::Failed(failure) | Outcome::Unknown { reason: failure } => Some(failure.to_string()),
    }
}

#[test]
fn success_is_200_to_399() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", None),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end of the connection", None),
        ("HTTP/1.0 200 OK\r\n\r\nok", None),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", None),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Some("answered 404")),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 33\r\n\r\n\r\n  db: \u{1b}[31mgone\u{7}  \r\nsecond line..",
            Some("answered 503: db:  [31mgone"),
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n", Some("answered something that is not HTTP/1.1")),
        ("", Some("connection closed before the answer was complete")),
        ("HTTP/1.1 200 OK\r\nContent-", Some("connection closed before the answer was complete")),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
            Some("answered 200, then connection closed before the answer was complete"),
        ),
    ] {
        assert_eq!(failure(result(answer.as_bytes())).as_deref(), expected, "{answer:?}");
    }
}

/// A server for as many connections as it has answers; the paths that were asked for and the client's result.
async fn redirected(answers: &[String]) -> (Vec<String>, Outcome) {
    let (listener, addr) = listen().await;
    let serve = async {
        let mut paths = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            paths.push(request.split(' ').nth(1).unwrap().to_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        paths
    };
    let (request, addrs) = (get(addr), [addr]);
    tokio::join!(serve, call(&request, &addrs))
}

fn found_at(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn a_redirect_on_the_same_host_is_followed_and_its_answer_counts() {
    let (ok, ill) =
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ndown");
    let (paths, outcome) = block_on(redirected(&[found_at("/login"), found_at("form?a=b"), ok.to_string()]));
    assert_eq!(outcome, Outcome::Ok);
    assert_eq!(paths, ["/ready?deep=1", "/login", "/form?a=b"]);
    let (_, outcome) = block_on(redirected(&[found_at("/login"), ill.to_string()]));
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    let said = failure.to_string();
    assert!(
        said.starts_with("redirected to http://app.localhost:") && said.ends_with("/login: answered 503: down"),
        "{said}"
    );
}

#[test]
fn redirects_come_to_an_end() {
    let round: Vec<String> = vec![found_at("/round"); 10];
    let (paths, outcome) = block_on(redirected(&round));
    assert_eq!(failure(outcome).as_deref(), Some("still redirected after 10 requests"));
    assert_eq!(paths.len(), 10);
}

#[test]
fn a_quote_is_short() {
    let long = format!("HTTP/1.1 500 No\r\n\r\n{}", "é".repeat(5000));
    assert_eq!(failure(result(long.as_bytes())), Some(format!("answered 500: {}…", "é".repeat(120))));
}

#[test]
fn an_endless_head_is_cut() {
    let endless = async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-Endless: ").await.unwrap();
        while stream.write_all(&[b'a'; 1024]).await.is_ok() {}
    };
    let outcome = block_on(against(get, endless)).1;
    assert_eq!(failure(outcome).as_deref(), Some("answered with more than 32 KiB of headers"));
}

/// The body is not read beyond its bound: the call succeeds, closes the connection, and the server notices.
#[test]
fn an_endless_body_is_left() {
    let endless = async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut sent = 0;
        while stream.write_all(&[b'a'; 1024]).await.is_ok() {
            sent += 1024;
        }
        sent
    };
    let (sent, outcome) = block_on(against(get, endless));
    assert_eq!(outcome, Outcome::Ok);
    assert!(sent >= 10 * 1024, "only {sent} bytes were taken");
}

/// A server that says 503 and then stalls has said enough; one that says 200 and stalls has not.
#[test]
fn a_stalled_body_is_a_failure_by_the_callers_timeout() {
    block_on(async {
        for (code, limit, expected) in
            [(200, Duration::from_millis(600), None), (503, PATIENCE / 2, Some(Some("answered 503: going down")))]
        {
            let (listener, addr) = listen().await;
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = format!("HTTP/1.1 {code} X\r\nContent-Length: 100\r\n\r\ngoing down\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                // Ends when the client has closed: a call that is dropped leaves no connection behind.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            };
            let (request, addrs) = (get(addr), [addr]);
            let ((), outcome) = tokio::join!(serve, async { timeout(limit, call(&request, &addrs)).await.ok() });
            assert_eq!(outcome.map(failure), expected.map(|text| text.map(str::to_owned)));
        }
    });
}

#[test]
fn a_reset_is_called_so() {
    for (answer, expected) in [
        ("", "connection reset"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", "answered 200, then connection reset"),
    ] {
        let resets = async |mut stream: TcpStream| {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Lets the client read what was written, which a reset would throw away. In pieces: between two of them it has its turn,
            // also when this thread has had none for so long.
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stream.set_zero_linger().unwrap();
        };
        assert_eq!(failure(block_on(against(get, resets)).1).as_deref(), Some(expected));
    }
}

#[test]
fn a_refused_connection_is_called_so() {
    block_on(async {
        let (_held, addr) = refusing();
        assert_eq!(failure(call(&get(addr), &[addr]).await).as_deref(), Some("connection refused"));
        assert_eq!(failure(tcp(&[addr, addr]).await).as_deref(), Some("connection refused"));
        assert_eq!(failure(tcp(&[]).await).as_deref(), Some("no address to connect to"));
    });
}

#[test]
fn the_next_address_is_tried() {
    block_on(async {
        let (listener, addr) = listen().await;
        let (_held, refused) = refusing();
        assert_eq!(tcp(&[refused, addr]).await, Outcome::Ok);
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = Vec::new();
        stream.read_to_end(&mut sent).await.unwrap();
        assert!(sent.is_empty(), "a tcp check sends nothing and closes");
    });
}

/// A listener whose queue is full drops what comes: the first address is silent, and the second gets its turn.
#[test]
fn a_silent_address_holds_up_the_next_only_briefly() {
    block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(silent)).await {
            queue.push(stream.unwrap());
        }
        let (_listener, addr) = listen().await;
        assert_eq!(timeout(Duration::from_secs(5), tcp(&[silent, addr])).await, Ok(Outcome::Ok));
        assert!(timeout(Duration::from_millis(400), tcp(&[silent])).await.is_err(), "the first address is not silent");
    });
}

#[test]
fn what_cannot_be_sent_is_said_before_anything_is() {
    block_on(async {
        let (_held, addr) = refusing();
        for (request, expected) in [
            (HttpCall { path: "/a b".into(), ..get(addr) }, "path \"/a b\" is not valid in a request: "),
            (HttpCall { headers: vec![("a b".into(), "c".into())], ..get(addr) }, "header \"a b\" is not valid: "),
            (HttpCall { headers: vec![("a".into(), "b\nc".into())], ..get(addr) }, "header \"a\" is not valid: "),
        ] {
            let reason = failure(call(&request, &[addr]).await).expect("it was not sent");
            assert!(reason.starts_with(expected), "{reason}");
        }
    });
}

#[test]
fn addresses_that_need_no_look_up() {
    let addresses =
        |host| local_addresses(host, 80).map(|a| a.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    for (host, expected) in [
        ("127.0.0.1", Some("127.0.0.1:80")),
        ("::1", Some("[::1]:80")),
        ("[2001:db8::1]", Some("[2001:db8::1]:80")),
        ("localhost", Some("127.0.0.1:80 [::1]:80")),
        ("LocalHost.", Some("127.0.0.1:80 [::1]:80")),
        ("app.localhost", Some("127.0.0.1:80 [::1]:80")),
        ("db", None),
        ("localhost.example.com", None),
        ("notlocalhost", None),
        ("127.1", None),
        ("", None),
    ] {
        assert_eq!(addresses(host).as_deref(), expected, "{host:?}");
    }
}
