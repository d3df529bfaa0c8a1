//! A small real HTTP service, as the thing to run under softstop: no framework, so that it builds in a second, and static if asked.
//!
//! | path | answers |
//! |---|---|
//! | `/` | a line of text |
//! | `/healthz` | 200 `ok` |
//! | `/slow?SECONDS` | 200 after so many seconds (3; at most 60) |
//!
//! On SIGTERM or SIGINT it accepts no new connection, finishes the requests it has and exits with 0. A second signal ends it
//! at once. `WEB_LISTEN` says where it listens (127.0.0.1:8080), unless it is handed its socket (LISTEN_FDS: `[[socket]]` of softstop, or systemd).

// One thread per connection and a counter: an example is read more often than it is run.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "an ordinary program, not PID 1"
)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const HIGHEST_DELAY_SECONDS: u64 = 60;

fn main() -> ExitCode {
    let address = std::env::var("WEB_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = match handed_over().map_or_else(|| TcpListener::bind(&address), Ok) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("web: cannot listen on {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let listen = listener.local_addr().map_or(address, |at| at.to_string());
    let stopping = Arc::new(AtomicBool::new(false));
    let open = Arc::new(AtomicUsize::new(0));
    if let Err(error) = stop_on_signal(&listener, &stopping) {
        eprintln!("web: cannot handle signals: {error}");
        return ExitCode::FAILURE;
    }
    println!("web: listening on http://{listen}");
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            // Not even a connection that was still waiting to be accepted is dropped.
            Err(error) if is_timeout(&error) => break,
            Err(_) => continue,
        };
        let (open, stopping) = (Arc::clone(&open), Arc::clone(&stopping));
        open.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            // A client that went away is its own affair.
            let _ = serve(&stream, &stopping);
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
    drop(listener);
    println!("web: stopping, {} connections open", open.load(Ordering::SeqCst));
    while open.load(Ordering::SeqCst) > 0 {
        thread::sleep(Duration::from_millis(10));
    }
    println!("web: done");
    ExitCode::SUCCESS
}

/// The socket that whoever started this has put at descriptor 3, as sd_listen_fds(3) has it.
fn handed_over() -> Option<TcpListener> {
    use std::os::fd::FromRawFd;
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID")? != std::process::id() || number("LISTEN_FDS")? < 1 {
        return None;
    }
    // SAFETY: by the protocol it is this process's, and nothing else here has it.
    #[expect(unsafe_code, reason = "a descriptor that is known by its number")]
    let listener = unsafe { TcpListener::from_raw_fd(3) };
    Some(listener)
}

/// The first SIGTERM or SIGINT sets `stopping` and wakes the accept loop, which takes what is waiting and ends; the second one exits.
fn stop_on_signal(listener: &TcpListener, stopping: &Arc<AtomicBool>) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(stopping))?;
        signal_hook::flag::register(signal, Arc::clone(stopping))?;
    }
    let (listener, mut address, stopping) = (listener.try_clone()?, listener.local_addr()?, Arc::clone(stopping));
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    thread::spawn(move || {
        while !stopping.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        // An accept that finds nothing ends the loop; the one that is under way needs a connection to wake up.
        let _ = listener.set_nonblocking(true);
        let _ = TcpStream::connect(address);
    });
    Ok(())
}

/// Requests of one connection, one after the other, until the client or the stop ends it.
fn serve(stream: &TcpStream, stopping: &AtomicBool) -> io::Result<()> {
    // An idle keep-alive connection must not hold up a stop for longer than this.
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(Request { line, close }) = next_request(&mut lines, stopping)? {
        let mut words = line.split(' ');
        let (_method, target) = (words.next(), words.next().unwrap_or("/"));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (status, body) = match path {
            "/" => ("200 OK", "hello from the example web service\n"),
            "/healthz" => ("200 OK", "ok\n"),
            "/slow" => {
                thread::sleep(Duration::from_secs(query.parse().unwrap_or(3).min(HIGHEST_DELAY_SECONDS)));
                ("200 OK", "slow, but complete\n")
            }
            _ => ("404 Not Found", "not found\n"),
        };
        let close = close || stopping.load(Ordering::SeqCst);
        let connection = if close { "close" } else { "keep-alive" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n", body.len());
        let mut to = stream;
        to.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        if close {
            return Ok(());
        }
    }
    Ok(())
}

struct Request {
    line: String,
    /// The client wants no further answer on this connection.
    close: bool,
}

/// The request, once all headers have been read; `None` when the client has closed or the service is stopping.
fn next_request(lines: &mut io::Lines<BufReader<&TcpStream>>, stopping: &AtomicBool) -> io::Result<Option<Request>> {
    let mut request: Option<Request> = None;
    loop {
        match (lines.next(), &mut request) {
            (None, _) => return Ok(None),
            (Some(Ok(line)), _) if line.is_empty() => return Ok(request),
            (Some(Ok(line)), None) => request = Some(Request { close: line.ends_with("HTTP/1.0"), line }),
            (Some(Ok(header)), Some(request)) => request.close |= header.eq_ignore_ascii_case("connection: close"),
            (Some(Err(error)), None) if is_timeout(&error) && !stopping.load(Ordering::SeqCst) => {}
            (Some(Err(error)), _) if is_timeout(&error) => return Ok(None),
            (Some(Err(error)), _) => return Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
