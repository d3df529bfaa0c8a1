//! `stop = "nginx"` and its like, each with the real program: what is under way when the stop signal has been taken is finished.
//!
//! No time is waited for: the work under way ends when the test lets it, and that is once the program has shown that it is stopping: it
//! listens no more, or says so. A program that cuts its work upon that signal has lost it by then.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::support::http::{free_port, read_all, send, status_of};
use crate::support::{Dir, Running, SOON, installed, namespaces};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

fn able(program: &str) -> bool {
    installed(&[program]) && namespaces()
}

/// A server that answers each request when it is told to.
struct Backend {
    port: u16,
    arrived: Receiver<()>,
    answer: Sender<()>,
}

impl Backend {
    fn new() -> Backend {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let ((arrives, arrived), (answer, may_answer)) = (channel(), channel::<()>());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut request, mut part) = (Vec::new(), [0; 1024]);
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut part) {
                        Ok(n) if n > 0 => request.extend_from_slice(&part[..n]),
                        _ => break,
                    }
                }
                // The test has ended.
                if arrives.send(()).is_err() || may_answer.recv().is_err() {
                    return;
                }
                let _ = stream.write_all(OK.as_bytes());
            }
        });
        Backend { port, arrived, answer }
    }
}

/// A request in a thread: all that is answered, however late.
fn ask(port: u16, request: impl AsRef<[u8]> + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || read_all(send(port, request).unwrap()).unwrap_or_else(|error| error.to_string()))
}

fn http(port: u16, path: &str) -> JoinHandle<String> {
    ask(port, format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"))
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// softstop with the program as its one process. `more`: what else stands in its table.
fn start(dir: &Dir, command: &[&str], more: &str) -> Running {
    let config = format!("grace = \"120s\"\n[[process]]\nname = \"it\"\ncommand = {command:?}\n{more}");
    let launch = dir.launch(&config);
    // Another Python that is found first has not the packages of these.
    launch.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").start()
}

/// A proxy with a request under way to its backend: it listens no more, and then has the answer.
fn a_proxy_finishes(dir: &Dir, command: &[&str], preset: &str, first: &str, port: u16, backend: &Backend) {
    let mut running = start(dir, command, &format!("stop = \"{preset}\"\n"));
    running.wait_until("it listens", |_| listens(port));
    let request = http(port, "/");
    backend.arrived.recv_timeout(SOON).unwrap();
    running.term().wait_for(&format!("it: stopping: {first}"));
    running.wait_until("it listens no more", |_| !listens(port));
    backend.answer.send(()).unwrap();
    let answer = request.join().unwrap();
    let ended = running.wait(SOON * 2);
    assert!(answer.contains(" 200 ") && answer.ends_with("hello\n"), "{answer:?}\n{}", ended.all());
    ended.expect_code(0).expect("with exit code 0");
}

#[test]
fn nginx_finishes_what_is_under_way() {
    needs!(able("nginx"));
    let (dir, port, backend) = (Dir::without_spaces(), free_port(), Backend::new());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", dir.text(kind)))
        .concat();
    let text = format!(
        "user root; pid {}; error_log stderr warn; events {{ }}\nhttp {{ access_log off;\n{temporary}\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{}; proxy_read_timeout 120s; }} }} }}\n",
        dir.text("pid"),
        backend.port
    );
    let command = ["nginx", "-c", &dir.write("nginx.conf", &text), "-g", "daemon off;"];
    a_proxy_finishes(&dir, &command, "nginx", "SIGQUIT", port, &backend);
}

#[test]
fn haproxy_finishes_what_is_under_way() {
    needs!(able("haproxy"));
    let (dir, port, backend) = (Dir::without_spaces(), free_port(), Backend::new());
    let text = format!(
        "global\n  maxconn 64\ndefaults\n  mode http\n  timeout connect 60s\n  timeout client 120s\n  timeout server 120s\n\
         frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n  server s 127.0.0.1:{}\n",
        backend.port
    );
    let command = ["haproxy", "-db", "-f", &dir.write("haproxy.cfg", &text)];
    a_proxy_finishes(&dir, &command, "haproxy", "SIGUSR1", port, &backend);
}

#[test]
fn apache_finishes_what_is_under_way() {
    needs!(able("apache2"));
    let (dir, port, backend) = (Dir::without_spaces(), free_port(), Backend::new());
    let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let text = format!(
        "{modules}ServerName test\nServerRoot {0}\nDefaultRuntimeDir {0}\nPidFile {0}/pid\nListen 127.0.0.1:{port}\n\
         User www-data\nGroup www-data\nErrorLog /dev/stderr\nStartServers 1\nTimeout 120\nProxyTimeout 120\nProxyPass / http://127.0.0.1:{1}/\n",
        dir.text("."),
        backend.port
    );
    let command = ["apache2", "-D", "FOREGROUND", "-f", &dir.write("apache2.conf", &text)];
    a_proxy_finishes(&dir, &command, "apache", "SIGWINCH", port, &backend);
}

#[test]
fn lighttpd_finishes_what_is_under_way() {
    needs!(able("lighttpd"));
    let (dir, port, backend) = (Dir::without_spaces(), free_port(), Backend::new());
    let text = format!(
        "server.modules = (\"mod_proxy\")\nserver.document-root = \"{}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
         proxy.server = (\"\" => ((\"host\" => \"127.0.0.1\", \"port\" => {})))\n",
        dir.text("."),
        backend.port
    );
    let command = ["lighttpd", "-D", "-f", &dir.write("lighttpd.conf", &text)];
    a_proxy_finishes(&dir, &command, "lighttpd", "SIGINT", port, &backend);
}

/// As a web server asks php-fpm: one request of FastCGI. All that comes back.
fn ask_fastcgi(port: u16, script: &str) -> JoinHandle<String> {
    let record = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[1, kind, 0, 1, length[0], length[1], 0, 0][..], content].concat()
    };
    let pairs = [("SCRIPT_FILENAME", script), ("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/")];
    let pair = |(name, value): (&str, &str)| {
        let lengths = [name.len(), value.len()].map(|length| u8::try_from(length).ok().filter(|n| *n < 128).unwrap());
        [&lengths[..], name.as_bytes(), value.as_bytes()].concat()
    };
    let parameters = pairs.map(pair).concat();
    let (begin, stdin) = (record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(5, &[]));
    ask(port, [begin, record(4, &parameters), record(4, &[]), stdin].concat())
}

#[test]
fn php_fpm_finishes_what_is_under_way() {
    // As Debian 12 and 13 call it.
    let installed = ["php-fpm8.2", "php-fpm8.4"].into_iter().find(|name| Path::new("/usr/sbin").join(name).is_file());
    needs!(able(installed.unwrap_or("php-fpm8.2")));
    let (dir, port) = (Dir::without_spaces(), free_port());
    let script = format!(
        "<?php touch('{}'); while (!file_exists('{}')) {{ usleep(20000); clearstatcache(); }} echo 'hello';",
        dir.text("begun"),
        dir.text("go")
    );
    let script = dir.write("index.php", &script);
    let pool = format!(
        "[global]\nerror_log = /proc/self/fd/2\nprocess_control_timeout = 60s\n\
         [www]\nuser = root\ngroup = root\nlisten = 127.0.0.1:{port}\npm = static\npm.max_children = 1\n"
    );
    let pool = dir.write("php-fpm.conf", &pool);
    let command = [installed.unwrap_or_default(), "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", &pool];
    let mut running = start(&dir, &command, "stop = \"php-fpm\"\n");
    running.wait_for("ready to handle connections");
    let request = ask_fastcgi(port, &script);
    running.wait_until("the script runs", |_| dir.path("begun").exists());
    running.term().wait_for("it: stopping: SIGQUIT").wait_for("Finishing ...");
    dir.write("go", "");
    let answer = request.join().unwrap();
    let ended = running.wait(SOON * 2);
    assert!(answer.contains("hello"), "{answer:?}\n{}", ended.all());
    ended.expect_code(0).expect("with exit code 0");
}

/// An application whose requests to /slow are answered when there is a file `go`.
fn python_application(dir: &Dir) {
    let text = format!(
        "import os, time\n\
         def application(environ, start_response):\n\
         \x20   if environ['PATH_INFO'] == '/slow':\n\
         \x20       open({:?}, 'w').close()\n\
         \x20       while not os.path.exists({:?}): time.sleep(0.02)\n\
         \x20   start_response('200 OK', [('Content-Type', 'text/plain')])\n\
         \x20   return [b'hello\\n']\n",
        dir.text("begun"),
        dir.text("go")
    );
    dir.write("app.py", &text);
}

/// `ready`: what it says when it can be stopped; `said`: when it has taken the signal.
fn a_python_server_finishes(dir: &Dir, command: &[&str], preset: &str, ready: Option<&str>, said: &str, port: u16) {
    let more = format!("stop = \"{preset}\"\nworking_dir = \"{}\"\nenv = {{ HOME = \"{0}\" }}\n", dir.text("."));
    let mut running = start(dir, command, &more);
    running.wait_until("it answers", |_| listens(port) && status_of(port, "/") == Some(200));
    if let Some(ready) = ready {
        running.wait_for(ready);
    }
    let request = http(port, "/slow");
    running.wait_until("a request is under way", |_| dir.path("begun").exists());
    running.term().wait_for("it: stopping: SIGTERM").wait_for(said);
    dir.write("go", "");
    let answer = request.join().unwrap();
    let ended = running.wait(SOON * 2);
    assert!(answer.contains(" 200 ") && answer.contains("hello\n"), "{answer:?}\n{}", ended.all());
    ended.expect_code(0).expect("with exit code 0");
}

#[test]
fn gunicorn_finishes_what_is_under_way() {
    needs!(able("gunicorn"));
    let (dir, port) = (Dir::without_spaces(), free_port());
    python_application(&dir);
    let address = format!("127.0.0.1:{port}");
    let command = ["gunicorn", "--bind", &address, "--graceful-timeout", "80", "--timeout", "120", "app"];
    a_python_server_finishes(&dir, &command, "gunicorn", None, "Handling signal: term", port);
}

#[test]
fn uwsgi_finishes_what_is_under_way() {
    needs!(able("uwsgi-core"));
    let (dir, port) = (Dir::without_spaces(), free_port());
    python_application(&dir);
    let address = format!("127.0.0.1:{port}");
    let command = [
        "uwsgi-core",
        "--plugin",
        "python3",
        "--master",
        "--need-app",
        "--http-socket",
        &address,
        "--wsgi-file",
        "app.py",
        "--worker-reload-mercy",
        "100",
        "--hook-master-start",
        "unix_signal:15 gracefully_kill_them_all",
        "--hook-master-start",
        "print:hooked",
    ];
    // Its workers serve before its master has run the hook.
    a_python_server_finishes(&dir, &command, "uwsgi", Some("hooked"), "graceful shutdown triggered", port);
}
