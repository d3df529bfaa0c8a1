//! nginx as an ingress controller uses it: a pool of idle connections to each instance, and which instance a request goes to is decided
//! outside the configuration, so an instance is taken out without a reload that would close its connections. Here the client names it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The header that names an instance, by its number.
pub const NAMED: &str = "X-Server";

pub struct Nginx {
    nginx: Child,
}

impl Nginx {
    /// Listens on `port`, and passes requests on to the server that they name by its place in `servers`.
    pub fn start(nginx: &Path, dir: &Path, port: u16, servers: &[u16]) -> Result<Nginx, String> {
        let upstreams: String = servers
            .iter()
            .enumerate()
            .map(|(i, p)| format!("    upstream s{i} {{ server 127.0.0.1:{p}; keepalive 32; }}\n"))
            .collect();
        let here = dir.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("    {what}_temp_path {here}/nginx-{what};\n"))
            .collect();
        // keepalive_timeout of an upstream is 60 s by default. Without a master there is one process to end.
        let text = format!(
            "daemon off;\nmaster_process off;\npid {here}/nginx.pid;\nerror_log {here}/nginx.log warn;\n\
             events {{ worker_connections 1000; }}\n\
             http {{\n    access_log off;\n{temporary}{upstreams}\
             \x20   server {{\n        listen 127.0.0.1:{port};\n        keepalive_requests 1000000;\n\
             \x20       location / {{\n            proxy_http_version 1.1;\n            proxy_set_header Connection \"\";\n\
             \x20           proxy_next_upstream off;\n            proxy_pass http://s$http_{};\n        }}\n    }}\n}}\n",
            NAMED.to_ascii_lowercase().replace('-', "_")
        );
        let file = dir.join("nginx.conf");
        std::fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
        let log = std::fs::File::create(dir.join("nginx.stderr")).map_err(|e| format!("nginx.stderr: {e}"))?;
        let nginx = Command::new(nginx)
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("cannot start nginx: {e}"))?;
        let started = Nginx { nginx };
        let limit = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > limit {
                let said = std::fs::read_to_string(dir.join("nginx.log")).unwrap_or_default();
                return Err(format!("nginx does not start: {said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}
