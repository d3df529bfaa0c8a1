//! Hostile clients on the probe port of the real binary as PID 1: whatever they do, probes are answered, memory and descriptors
//! stay bounded, and a stop in the middle of it is on time, with the right exit code and readiness 503 from the request on. One
//! client at a time, and what each is answered, is `http/server.rs`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::siege::{survives, survives_through};
use nix::sys::socket::{setsockopt, sockopt};

const PAUSE: Duration = Duration::from_millis(20);

/// May fail when the server is gone, or the machine is out of ports for a moment.
fn connect(addr: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_millis(500)).ok();
    if stream.is_none() {
        std::thread::sleep(PAUSE);
    }
    stream
}

/// Sends, and takes what comes, for at most half a second; either may fail.
fn say(addr: SocketAddr, bytes: &[u8]) {
    let Some(mut stream) = connect(addr) else { return };
    let limit = Some(Duration::from_millis(500));
    stream.set_write_timeout(limit).unwrap();
    stream.set_read_timeout(limit).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4096];
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until && stream.read(&mut answer).is_ok_and(|n| n > 0) {}
}

/// Resets the connection instead of closing it.
fn reset(stream: TcpStream) {
    let _ = setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 });
}

/// 200 at a time, a byte every 50 ms each, of a head that never ends.
#[test]
fn slowloris() {
    survives(2, |addr, over| {
        let head = b"GET /readyz HTTP/1.1\r\nHost: x\r\nX-Slow: ";
        let mut slow: Vec<(TcpStream, usize)> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            while slow.len() < 100 {
                let Some(stream) = connect(addr) else { break };
                stream.set_nonblocking(true).unwrap();
                slow.push((stream, 0));
            }
            // Those that softstop has closed fail.
            slow.retain_mut(|(stream, sent)| {
                let byte = head.get(*sent).copied().unwrap_or(b'a');
                *sent += 1;
                stream.write_all(&[byte]).is_ok()
            });
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Processes that hold connections; they end with their input.
struct Crowd(Vec<Child>);

impl Crowd {
    /// And what each says: how many it has, and why no more.
    fn gather(addr: SocketAddr, processes: usize, each: usize) -> (Crowd, Vec<String>) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/crowd.pl");
        let start = |_| {
            // Not under `nice`, though attackers have processors of their own: beside such ones Linux 6.18 starves others for seconds.
            let mut command = Command::new("perl");
            command.args([script, &addr.port().to_string(), &each.to_string()]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        };
        let mut crowd = Crowd((0..processes).map(start).collect());
        let say = |child: &mut Child| {
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            line.trim().to_owned()
        };
        let said = crowd.0.iter_mut().map(say).collect();
        (crowd, said)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Each got in, and pushed an older one out: the server never holds more than its 64.
#[test]
fn ten_thousand_idle_connections() {
    survives(1, |addr, over| {
        let (_crowd, said) = Crowd::gather(addr, 20, 500);
        // The stop may be over before the last has come.
        let got_in = |one: &String| one == "500" || one.ends_with("gone");
        assert!(said.iter().all(got_in), "{said:?}");
        while !over.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
        }
    });
}

/// The places are all taken anew within milliseconds: less than a probe may need from its connect to its request.
#[test]
fn thousands_of_connects_a_second_with_forty_descriptors() {
    let launcher = ["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"];
    survives_through(&launcher, 1, |addr, over| {
        let began = Instant::now();
        let mut silent = std::collections::VecDeque::new();
        for n in 1.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            silent.extend(connect(addr));
            if silent.len() > 400 {
                silent.pop_front();
            }
            // 4,000 a second at the most.
            std::thread::sleep((Duration::from_micros(250) * n).saturating_sub(began.elapsed()));
        }
    });
}

/// With fewer descriptors than places, the places are as many as there are descriptors for.
#[test]
fn more_clients_than_descriptors() {
    let launcher = ["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"];
    survives_through(&launcher, 1, |addr, over| {
        let (_crowd, _) = Crowd::gather(addr, 4, 250);
        let mut more = std::collections::VecDeque::new();
        while !over.load(Ordering::Relaxed) {
            more.extend(connect(addr));
            if more.len() > 100 {
                more.pop_front();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn garbage_and_the_wrong_protocol() {
    let tls = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 500]].concat();
    survives(2, |addr, _| {
        for bytes in [
            &tls[..],
            b"\0\0\0\0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n\r\n\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\nContent-Length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer without end: ",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"GET /readyz?verbose&exclude=%00%0a%1b%5b2J HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        ] {
            say(addr, bytes);
        }
    });
}

/// Heads, lines, header counts and bodies without end.
#[test]
fn giants() {
    survives(3, |addr, over| {
        for (begin, again) in [
            (&b"GET /"[..], &b"aaaaaaaaaaaaaaaa"[..]),
            (b"GET / HTTP/1.1\r\nX: ", b"bbbbbbbbbbbbbbbb"),
            (b"GET / HTTP/1.1\r\n", b"A: b\r\n"),
            (b"POST /readyz HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"cccccccccccccccc"),
            (b"POST /readyz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"5;ext=1\r\nhello\r\n"),
        ] {
            let Some(mut stream) = connect(addr) else { continue };
            stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            let again = again.repeat(1024);
            let mut rounds = 0;
            let mut sent = stream.write_all(begin);
            // 16 MiB at most, each: softstop closes long before.
            while sent.is_ok() && rounds < 1024 && !over.load(Ordering::Relaxed) {
                sent = stream.write_all(&again);
                rounds += 1;
            }
            assert!(rounds < 1024, "softstop read on and on");
        }
    });
}

/// More of them than there are places, asking for the largest answer again and again and reading none.
#[test]
fn clients_that_never_read() {
    let asks = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    survives(2, |addr, over| {
        let mut deaf: Vec<TcpStream> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            while deaf.len() < 50 {
                let Some(stream) = connect(addr) else { break };
                stream.set_nonblocking(true).unwrap();
                deaf.push(stream);
            }
            deaf.retain_mut(|stream| match stream.write(&asks) {
                Ok(n) => n > 0,
                Err(e) => e.kind() == std::io::ErrorKind::WouldBlock,
            });
            std::thread::sleep(PAUSE);
        }
    });
}

/// As many requests as one connection takes, all answers read.
#[test]
fn pipelined_without_a_pause() {
    let asks = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    survives(2, |addr, over| {
        let Some(mut stream) = connect(addr) else { return };
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut answer = vec![0; 1 << 16];
        while !over.load(Ordering::Relaxed) && stream.write_all(&asks).is_ok() {
            if !stream.read(&mut answer).is_ok_and(|n| n > 0) {
                return;
            }
        }
    });
}

/// Gone before the answer, in the middle of the request, at once; by FIN and by RST; and only half gone.
#[test]
fn connect_and_vanish() {
    survives(2, |addr, _| {
        for n in 0..50 {
            let Some(mut stream) = connect(addr) else { continue };
            let sent = match n % 4 {
                0 => &b""[..],
                1 => b"GET /rea",
                _ => b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            };
            let _ = stream.write_all(sent);
            match n % 5 {
                0 | 1 => reset(stream),
                2 => drop(stream),
                _ => {
                    let _ = stream.shutdown(if n % 2 == 0 { Shutdown::Write } else { Shutdown::Read });
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        std::thread::sleep(PAUSE);
    });
}
