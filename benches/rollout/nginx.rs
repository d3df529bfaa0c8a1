//! nginx as an ingress controller uses it: a pool of idle connections to each instance, and which instance a request goes to is decided
//! outside the configuration, so an instance is taken out without a reload that would close its connections. Here the client names it.

use std::path::Path;

use crate::nginx_command;
use crate::server::Server;

/// The header that names an instance, by its number.
pub const NAMED: &str = "X-Server";

/// Listens on `port`, and passes requests on to the server that they name by its place in `servers`.
pub fn start(nginx: &Path, dir: &Path, port: u16, servers: &[u16]) -> Result<Server, String> {
    let upstream = |(i, p): (usize, &u16)| format!("    upstream s{i} {{ server 127.0.0.1:{p}; keepalive 32; }}\n");
    let upstreams: String = servers.iter().enumerate().map(upstream).collect();
    // keepalive_timeout of an upstream is 60 s by default.
    let http = format!(
        "{upstreams}    server {{\n        listen 127.0.0.1:{port};\n        keepalive_requests 1000000;\n\
         \x20       location / {{\n            proxy_http_version 1.1;\n            proxy_set_header Connection \"\";\n\
         \x20           proxy_next_upstream off;\n            proxy_pass http://s$http_{};\n        }}\n    }}\n",
        NAMED.to_ascii_lowercase().replace('-', "_")
    );
    let mut command = nginx_command::command(nginx, dir, "error_log stderr warn;", &http)?;
    let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    Server::start(&mut command, &dir.join("nginx.log"), is_up)
}
