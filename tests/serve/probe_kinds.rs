//! Probes of servers that speak TLS or gRPC, asked by the real binary: OpenSSL's own server, and gRPC's for Python. What they take each other for
//! is said in words.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::client::from_here;
use crate::support::http::{free_port, status_of};
use crate::support::{Beside, Dir, at_once, http, installed, skip};

/// A server, and where it has said that it listens.
struct Server {
    _program: Beside,
    port: u16,
}

impl Server {
    /// `program` says a line that ends with its port once it listens.
    fn start(program: &mut Command, listens: &'static str) -> Server {
        let mut child = program.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = said.skip_while(move |line| !line.starts_with(listens));
        let line = said.next().unwrap_or_else(|| panic!("{program:?} has ended without saying {listens:?}"));
        let port = line.rsplit_once(':').unwrap().1.trim().parse().unwrap();
        // It is never held up by a full pipe.
        std::thread::spawn(move || said.for_each(drop));
        Server { _program: Beside(child), port }
    }
}

fn probe(target: &str) -> String {
    from_here(&["probe", target, "--timeout", "60s"]).all()
}

fn certificate(dir: &Dir, kind: &[&str]) -> (String, String) {
    let (key, cert) = (dir.text("key.pem"), dir.text("cert.pem"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-nodes", "-subj", "/CN=nobody.example", "-days", "1", "-keyout", &key, "-out", &cert]);
    let made = make.arg("-newkey").args(kind).stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (key, cert)
}

fn tls(key: &str, cert: &str, more: &[&str]) -> Server {
    let mut program = Command::new("openssl");
    program.args(["s_server", "-accept", "127.0.0.1:0", "-key", key, "-cert", cert]).args(more).stderr(Stdio::null());
    Server::start(&mut program, "ACCEPT ")
}

#[test]
fn a_server_with_tls_is_asked_with_tls_whoever_it_says_it_is() {
    needs!(installed(&["openssl"]));
    let kinds = [&["rsa:2048"][..], &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], &["ed25519"]];
    at_once(kinds, |kind| {
        let dir = Dir::new();
        let (key, cert) = certificate(&dir, kind);
        for version in ["-tls1_2", "-tls1_3"] {
            let server = tls(&key, &cert, &["-www", version]);
            assert_eq!(probe(&format!("https://127.0.0.1:{}/", server.port)), "ok\n", "{kind:?} {version}");
            // A name is asked for by its name.
            assert_eq!(probe(&format!("https://localhost:{}/", server.port)), "ok\n", "{kind:?} {version}");
        }
    });
}

#[test]
fn what_cannot_be_asked_with_tls_is_said_in_words() {
    needs!(installed(&["openssl"]));
    let dir = Dir::new();
    let (key, cert) = certificate(&dir, &["rsa:2048"]);
    let said = |more: &[&str]| {
        let server = tls(&key, &cert, more);
        probe(&format!("https://127.0.0.1:{}/", server.port))
    };
    let old = said(&["-www", "-tls1_2", "-cipher", "AES128-GCM-SHA256"]);
    assert!(old.ends_with(": no TLS cipher in common: softstop has TLS 1.2 and 1.3 with ECDHE and AES-GCM\n"), "{old}");
    let older = said(&["-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(older.ends_with(": no TLS version in common: softstop has 1.2 and 1.3\n"), "{older}");
    for version in ["-tls1_2", "-tls1_3"] {
        let known = said(&["-www", version, "-Verify", "1", "-verify_return_error"]);
        let wants = known.ends_with(": the server wants a client's certificate, which softstop does not have\n");
        // Before 1.3 there is no word of its own for it.
        let fails = version == "-tls1_2" && known.contains("no TLS cipher in common");
        assert!(wants || fails, "{version}: {known}");
    }
    let server = tls(&key, &cert, &["-www"]);
    let plain = probe(&format!("http://127.0.0.1:{}/", server.port));
    assert!(plain.starts_with("softstop: error: http://127.0.0.1:"), "{plain}");
    assert_eq!(plain.lines().count(), 1, "{plain}");
    let grpc = probe(&format!("grpc://127.0.0.1:{}", server.port));
    assert!(grpc.starts_with("softstop: error: grpc://127.0.0.1:") && grpc.lines().count() == 1, "{grpc}");
}

/// Debian's, which has what Debian's packages bring; the first on the PATH may be another.
const PYTHON: &str = "/usr/bin/python3";

/// grpc.health.v1 by hand, as Debian has gRPC without its health service. The whole is well; the service `ill` is not, `half` is UNKNOWN.
const GRPC: &str = r#"
import concurrent.futures, sys, grpc
def check(request, context):
    status = {b"": 1, b"\x0a\x03ill": 2, b"\x0a\x04half": 0}.get(request)
    if status is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return b"\x08" + bytes([status]) if status else b""
method = grpc.unary_unary_rpc_method_handler(check)
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
if sys.argv[2:] != ["without"]:
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),))
port = server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
print("listens on 127.0.0.1:%d" % port, flush=True)
server.wait_for_termination()
"#;

fn has_grpc() -> bool {
    let found = Command::new(PYTHON).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
    let has = found.is_ok_and(|status| status.success());
    if !has {
        skip("python3-grpcio is not installed");
    }
    has
}

#[test]
fn a_grpc_server_is_asked_for_its_health() {
    needs!(has_grpc());
    let server = Server::start(Command::new(PYTHON).args(["-c", GRPC, "0"]), "listens on");
    let ask = |service: &str| probe(&format!("grpc://127.0.0.1:{}{service}", server.port));
    let no = |service: &str, why: &str| format!("softstop: error: grpc://127.0.0.1:{}/{service}: {why}\n", server.port);
    let unknown =
        "ended the call without a status: no grpc.health.v1 service is there, or it does not know this `service`";
    assert_eq!(ask(""), "ok\n");
    assert_eq!(ask("/"), "ok\n");
    assert_eq!(ask("/ill"), no("ill", "answered NOT_SERVING"));
    assert_eq!(ask("/half"), no("half", "answered UNKNOWN"));
    assert_eq!(ask("/nobody"), no("nobody", unknown));
    let http = probe(&format!("http://127.0.0.1:{}/", server.port));
    assert!(http.starts_with("softstop: error: http://127.0.0.1:") && http.lines().count() == 1, "{http}");
    drop(server);
    let without = Server::start(Command::new(PYTHON).args(["-c", GRPC, "0", "without"]), "listens on");
    let said = probe(&format!("grpc://127.0.0.1:{}", without.port));
    assert!(said.contains(unknown), "{said}");
}

#[test]
fn a_process_is_ready_when_its_grpc_health_is() {
    needs!(has_grpc());
    let dir = Dir::new();
    let (http, port) = (free_port(), free_port());
    dir.write("server.py", GRPC);
    let config = |service: &str| {
        format!(
            "[http]\nlisten = '127.0.0.1:{http}'\n\
             [[process]]\nname = 'orders'\ncommand = ['{PYTHON}', '{}', '{port}']\n\
             [process.readiness]\ngrpc = {{ host = '127.0.0.1', port = {port} }}\nperiod = '200ms'\ntimeout = '30s'\n\
             [process.startup]\ngrpc = {{ host = '127.0.0.1', port = {port}, service = '{service}' }}\nperiod = '200ms'\ntimeout = '30s'\nfailure_threshold = 1000000\n",
            dir.text("server.py")
        )
    };
    // What its startup probe asks for never comes: it is not ready, and the reason is the server's.
    let mut running = dir.launch(&config("ill")).start();
    running.wait_for("listens on");
    running.wait_until("the startup probe's reason", |_| {
        let body = http::get(http, "/startupz").map(|answer| answer.body).unwrap_or_default();
        body.contains("answered NOT_SERVING")
    });
    running.stop();
    let mut running = dir.launch(&config("")).start();
    running.wait_until("ready", |_| status_of(http, "/readyz") == Some(200));
    running.stop().expect_within_the_grace();
}
