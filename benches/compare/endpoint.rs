//! The probes' endpoint beside a web server's.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::common::{find, median};
use crate::{Sizes, nginx, quietly, this};

/// A server that does not come up, or does not answer, ends the bench.
const LIMIT: Duration = Duration::from_secs(30);

pub fn markdown(softstop: &Path, dir: &Path, sizes: &Sizes) -> String {
    eprintln!("compare: {} requests", sizes.requests);
    let mut rows: Vec<(&str, Child, SocketAddr, Vec<f64>)> = Vec::new();
    let address = free_address();
    let mut wrapper = Command::new(softstop);
    let listen = address.to_string();
    // It goes with its program, which goes with this bench.
    wrapper.args(["--http", &listen, "--parent-death-signal", "KILL", "--"]).arg(this()).arg("inside-idle");
    rows.push(("softstop, `/livez`", quietly(&mut wrapper).spawn().unwrap(), address, Vec::new()));
    match find("nginx") {
        Some(nginx) => {
            let address = free_address();
            let server = format!(
                "server {{ listen {address}; keepalive_requests 10000000; location / {{ return 200 \"ok\"; }} }}"
            );
            let mut command = nginx::command(&nginx, dir, "error_log /dev/null;", &server).unwrap();
            let server = quietly(&mut command).spawn().unwrap();
            rows.push(("nginx, one worker, `return 200`", server, address, Vec::new()));
        }
        None => eprintln!("compare: nginx is not installed and left out"),
    }
    for _ in 0..sizes.repeats {
        for (_, _, address, rates) in &mut rows {
            rates.push(rate(*address, sizes.requests));
        }
    }
    let mut text = format!(
        "\n| {} requests on one connection, median of {} | requests a second |\n|---|---|\n",
        sizes.requests, sizes.repeats
    );
    for (name, mut server, _, rates) in rows {
        // Not SIGKILL: softstop has a program to end.
        // SAFETY: no memory is involved; the pid is that of a process that nobody has waited for.
        assert_eq!(unsafe { libc::kill(server.id() as i32, libc::SIGTERM) }, 0);
        server.wait().unwrap();
        writeln!(text, "| {name} | {:.0} |", median(rates)).unwrap();
    }
    text.push_str("| *aim for softstop* | ≥ 0.9 × nginx |\n");
    text
}

/// Nobody else takes it meanwhile, as far as anybody can know.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn rate(address: SocketAddr, requests: usize) -> f64 {
    let began = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(began.elapsed() < LIMIT, "{address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let (began, mut line) = (Instant::now(), String::new());
    for _ in 0..requests {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut length = 0;
        loop {
            line.clear();
            assert!(answers.read_line(&mut line).unwrap() > 0, "{address} has closed");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        answers.read_exact(&mut vec![0; length]).unwrap();
    }
    requests as f64 / began.elapsed().as_secs_f64()
}
