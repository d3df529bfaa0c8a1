//! A drain behind a real balancer that keeps connections for the next request: nginx, as an ingress controller uses it. docs/rollout.md measures
//! it beside others.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::http::{self, free_port};
use crate::support::{Beside, Dir, installed, namespaces};

/// nginx with `server` as its only server, everything it writes below `place`.
fn nginx_conf(place: &str, upstream: &str, server: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path \"{place}/{what}\";\n"))
        .collect();
    format!(
        "daemon off;\nuser root;\npid \"{place}/pid\";\nerror_log \"{place}/error.log\";\nevents {{}}\n\
         http {{ access_log off;\n{temporary}{upstream}\nserver {{ {server} }} }}\n"
    )
}

/// A request of its own connection to the edge.
fn request(port: u16) -> Result<(), String> {
    match http::request(port, "GET", "/") {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Its idle connections stay for a minute; the drain is over soon after the last request, and nothing is lost until then.
#[test]
fn behind_an_nginx_pool_of_idle_connections_the_drain_is_over_soon_after_the_traffic() {
    needs!(namespaces(), installed(&["nginx"]));
    let (dir, port, entry) = (Dir::new(), free_port(), free_port());
    for place in ["app", "edge"] {
        std::fs::create_dir(dir.path(place)).unwrap();
    }
    let app = format!("listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }}");
    let app = dir.write("app.conf", &nginx_conf(&dir.text("app"), "", &app));
    let upstream = format!("upstream app {{ server 127.0.0.1:{port}; keepalive 16; }}");
    let pass = format!(
        "listen 127.0.0.1:{entry}; location / {{ proxy_http_version 1.1; proxy_set_header Connection ''; \
         proxy_next_upstream off; proxy_pass http://app; }}"
    );
    // One process, which is easily ended.
    let edge =
        nginx_conf(&dir.text("edge"), &upstream, &pass).replace("daemon off;", "daemon off; master_process off;");
    let edge = dir.write("edge.conf", &edge);
    let text = format!(
        "grace = \"40s\"\n[[process]]\nname = \"web\"\ncommand = [\"nginx\", \"-c\", {app:?}]\nstop = \"SIGQUIT\"\n\
         [[drain]]\nname = \"finish\"\nwait_idle = {{ port = {port} }}\ntimeout = \"30s\"\n"
    );
    let mut running = dir.launch(&text).start();
    running.wait_until("the application listens", |_| TcpStream::connect(("127.0.0.1", port)).is_ok());
    let edge = Command::new("nginx").args(["-c", &edge]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _edge = Beside(edge);
    running.wait_until("the edge passes requests on", |_| request(entry).is_ok());
    let out = AtomicBool::new(false);
    let (last, results) = std::thread::scope(|scope| {
        let client = || {
            let mut answered = 0;
            while !out.load(Ordering::SeqCst) {
                request(entry).map_err(|why| format!("after {answered}: {why}"))?;
                answered += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok::<u32, String>(answered)
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        running.term().wait_for("drain: finish: ");
        // Longer than `quiet`: who looks away while requests come loses some of them.
        std::thread::sleep(Duration::from_millis(2500));
        out.store(true, Ordering::SeqCst);
        let results: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (Instant::now(), results)
    });
    let ended = running.wait(Duration::from_secs(40));
    let took = last.elapsed();
    ended.expect_code(0).expect("drain: finish: done").expect_not("timed out");
    // One of them may have stood still for all of it.
    assert!(results.iter().all(Result::is_ok), "{results:?}\n{}", ended.all());
    assert!(results.iter().flatten().sum::<u32>() > 5, "{results:?}\n{}", ended.all());
    assert!(took < Duration::from_secs(15), "{took:?} after the last request\n{}", ended.all());
}
