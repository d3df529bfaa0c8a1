//! The application, the same under every init, and as ordinary as can be: on SIGTERM it stops listening, closes its idle keep-alive
//! connections, gives what is in flight (requests and WebSocket sessions) [`SHUTDOWN`], and exits. It knows nothing of load
//! balancers. This is what `server.Shutdown(ctx)`, `server.close()` with a timer and their like amount to.

use std::cell::Cell;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::websocket::{self, ACCEPT, CLOSE};

/// What the application gives to work in flight.
pub const SHUTDOWN: Duration = Duration::from_secs(3);

/// What it prints when it listens, and when SIGTERM has come.
pub const LISTENING: &str = "listening";
pub const TOLD: &str = "told to stop";

pub fn run(port: &str) -> ExitCode {
    let port = port.parse().expect("a port");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match LocalSet::new().block_on(&runtime, serve_until_told(port)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("app: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_until_told(port: u16) -> io::Result<()> {
    let (ours, handlers) = StdUnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, handlers)?;
    ours.set_nonblocking(true)?;
    let mut told = UnixStream::from_std(ours)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("{LISTENING}");
    let (stop, stopping) = watch::channel(false);
    let open = Rc::new(Cell::new(0_usize));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let (stopping, open) = (stopping.clone(), Rc::clone(&open));
                open.set(open.get() + 1);
                tokio::task::spawn_local(async move {
                    // A client that went away is its own affair.
                    let _ = serve(stream, stopping).await;
                    open.set(open.get() - 1);
                });
            }
            _ = told.read_u8() => break,
        }
    }
    println!("{TOLD}");
    drop(listener);
    let _ = stop.send(true);
    let limit = Instant::now() + SHUTDOWN;
    while open.get() > 0 && Instant::now() < limit {
        sleep(Duration::from_millis(5)).await;
    }
    // What is still open is cut by the exit.
    Ok(())
}

async fn serve(stream: TcpStream, mut stopping: watch::Receiver<bool>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let head = tokio::select! {
            biased;
            head = read_head(&mut stream) => head?,
            // Idle: nothing is in flight.
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        let Some(path) = head.split(' ').nth(1) else { return Ok(()) };
        if path == "/session" {
            return session(&mut stream).await;
        }
        if let Some(ms) = path.strip_prefix("/long?").and_then(|ms| ms.parse().ok()) {
            sleep(Duration::from_millis(ms)).await;
        }
        let last = *stopping.borrow();
        let connection = if last { "close" } else { "keep-alive" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: {connection}\r\n\r\nok\n");
        stream.write_all(answer.as_bytes()).await?;
        if last {
            return stream.shutdown().await;
        }
    }
}

/// Request line and headers, empty when the client has closed.
async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

/// Every message comes back, until the client closes.
async fn session(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    loop {
        let (opcode, payload) = websocket::read(stream).await?;
        websocket::write(stream, opcode, &payload, false).await?;
        if opcode == CLOSE {
            return stream.shutdown().await;
        }
    }
}
