//! The load balancer: haproxy, with an administration socket over which servers come and go. It hides nothing: no retry, no other
//! server for a request that failed, no health checks, so that only [`Balancer::remove`] takes a server out.
//!
//! Its pool of idle connections to a server is emptied by half every `pool-purge-delay`, also of a server that was taken out. With the
//! default of 5 s a wait for no connection at all lasts 20 s longer than the traffic; see docs/rollout.md.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Balancer {
    haproxy: Child,
    socket: PathBuf,
}

impl Balancer {
    /// Listens on `port`; `servers` are the ports of those that [`Balancer::add`] will name by their place in this list.
    pub fn start(haproxy: &Path, dir: &Path, port: u16, servers: &[u16]) -> Result<Balancer, String> {
        let socket = dir.join("haproxy.sock");
        let lines: String = servers
            .iter()
            .enumerate()
            .map(|(i, p)| format!("    server s{i} 127.0.0.1:{p} pool-purge-delay 1s disabled\n"))
            .collect();
        let text = format!(
            "global\n    nbthread 1\n    maxconn 1000\n    stats socket {} mode 600 level admin\n\
             defaults\n    mode http\n    retries 0\n    no option redispatch\n    timeout connect 2s\n\
             \x20   timeout client 60s\n    timeout server 60s\n    timeout tunnel 60s\n\
             frontend web\n    bind 127.0.0.1:{port}\n    default_backend pods\n\
             backend pods\n    balance roundrobin\n{lines}",
            socket.display()
        );
        let file = dir.join("haproxy.cfg");
        std::fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
        let log = std::fs::File::create(dir.join("haproxy.log")).map_err(|e| format!("haproxy.log: {e}"))?;
        let haproxy = Command::new(haproxy)
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("cannot start haproxy: {e}"))?;
        let balancer = Balancer { haproxy, socket };
        let limit = Instant::now() + Duration::from_secs(10);
        while balancer.order("show info").is_err() {
            if Instant::now() > limit {
                let said = std::fs::read_to_string(dir.join("haproxy.log")).unwrap_or_default();
                return Err(format!("haproxy does not start: {said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(balancer)
    }

    pub fn add(&self, server: usize) -> Result<(), String> {
        self.change(server, "ready")
    }

    /// Nothing new goes there any more; what is under way is finished.
    pub fn remove(&self, server: usize) -> Result<(), String> {
        self.change(server, "maint")
    }

    fn change(&self, server: usize, state: &str) -> Result<(), String> {
        let said = self.order(&format!("set server pods/s{server} state {state}"))?;
        if said.trim().is_empty() { Ok(()) } else { Err(format!("haproxy: {}", said.trim())) }
    }

    fn order(&self, order: &str) -> Result<String, String> {
        let told = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(format!("{order}\n").as_bytes())?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            Ok(said)
        };
        told().map_err(|e| format!("haproxy's administration socket: {e}"))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}
