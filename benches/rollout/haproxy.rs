//! haproxy, as the load balancer and as the proxy beside an instance. It hides nothing: no retry, no other server for a request that
//! failed, no health checks.
//!
//! Its pool of idle connections to a server is emptied by half every `pool-purge-delay`, 5 s by default, also of a server that was taken out.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::server::Server;

pub struct Haproxy {
    _server: Server,
    socket: PathBuf,
}

impl Haproxy {
    /// Listens on `port`; `servers` are the ports of those that [`Haproxy::add`] will name by their place in this list. `of_server` stands
    /// behind each of them.
    pub fn start(haproxy: &Path, dir: &Path, port: u16, servers: &[u16], of_server: &str) -> Result<Haproxy, String> {
        let place = |what: &str| dir.join(format!("haproxy-{port}.{what}"));
        let socket = place("sock");
        let server = |(i, p): (usize, &u16)| format!("    server s{i} 127.0.0.1:{p} {of_server}\n");
        let lines: String = servers.iter().enumerate().map(server).collect();
        // A path may have blanks.
        let text = format!(
            "global\n    nbthread 1\n    maxconn 1000\n    stats socket '{}' mode 600 level admin\n\
             defaults\n    mode http\n    retries 0\n    no option redispatch\n    timeout connect 2s\n\
             \x20   timeout client 60s\n    timeout server 60s\n    timeout tunnel 60s\n\
             frontend web\n    bind 127.0.0.1:{port}\n    default_backend pods\n\
             backend pods\n    balance roundrobin\n{lines}",
            socket.display()
        );
        let file = place("cfg");
        std::fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
        let mut command = Command::new(haproxy);
        command.args(["-db", "-f"]).arg(&file);
        let is_up = || order(&socket, "show info").is_ok();
        let server = Server::start(&mut command, &place("log"), is_up)?;
        Ok(Haproxy { _server: server, socket })
    }

    pub fn add(&self, server: usize) -> Result<(), String> {
        self.change(server, "ready")
    }

    /// Nothing new goes there any more; what is under way is finished.
    pub fn remove(&self, server: usize) -> Result<(), String> {
        self.change(server, "maint")
    }

    fn change(&self, server: usize, state: &str) -> Result<(), String> {
        let said = order(&self.socket, &format!("set server pods/s{server} state {state}"))?;
        if said.trim().is_empty() { Ok(()) } else { Err(format!("haproxy: {}", said.trim())) }
    }
}

fn order(socket: &Path, order: &str) -> Result<String, String> {
    let told = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(format!("{order}\n").as_bytes())?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    };
    told().map_err(|e| format!("haproxy's administration socket: {e}"))
}
