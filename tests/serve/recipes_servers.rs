//! docs/recipes/: node, sidekiq and java, each with the page's own file and program, and the real server: what is under way at the stop is
//! finished, and nothing new is begun.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look for programs")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::support::http::{free_port, status_of};
use crate::support::{Dir, Launch, Running, SOON, skip};

/// The first block of a language in a recipe.
fn block(recipe: &str, language: &str) -> String {
    let page = format!("{}/docs/recipes/{recipe}.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once(&format!("\n```{language}\n")).unwrap();
    block.split_once("\n```").unwrap().0.to_owned()
}

fn able(files: &[&str]) -> bool {
    let missing = files.iter().find(|file| !Path::new(file).exists());
    missing.inspect(|file| skip(&format!("{file} is not there"))).is_none()
}

/// The recipe's configuration, with `changes` for what cannot be as it stands beside other tests; each must be for something.
fn start(dir: &Dir, recipe: &str, changes: &[(&str, &str)], more: &str, env: &[(&str, &str)]) -> Running {
    let mut text = block(recipe, "toml");
    for (from, to) in changes {
        assert!(text.contains(from), "{recipe}: there is no {from}");
        text = text.replace(from, to);
    }
    let launch = Launch::new(["run", "-c", &dir.write("softstop.toml", &format!("{text}\n{more}"))]);
    // Another node or Ruby that is found first has not the packages of Debian's.
    let launch = launch.not_pid1().current_dir(&dir.path("")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start()
}

/// A request that is on its way; who serves it may take its time.
fn ask(port: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    format!("{}{}", String::from_utf8_lossy(&answer), ended.err().map(|e| e.to_string()).unwrap_or_default())
}

/// A client of a WebSocket, as far as this server needs one: short frames, whole.
struct Session(TcpStream);

impl Session {
    fn new(port: u16) -> Session {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let upgrade = format!(
            "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Session(stream)
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        // The mask is zero: what is sent reads as it is.
        let head = [0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
        self.0.write_all(&[&head[..], payload].concat()).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut payload).unwrap();
        (head[0] & 0xf, payload)
    }

    fn echoes(&mut self, text: &str) {
        self.send(1, text.as_bytes());
        assert_eq!(self.receive(), (1, text.as_bytes().to_vec()));
    }
}

#[test]
fn node_serves_requests_and_sessions_in_the_drain_and_says_goodbye_to_sessions() {
    if !able(&["/usr/bin/node", "/usr/share/nodejs/ws"]) {
        return;
    }
    let (dir, port, probes) = (Dir::without_spaces(), free_port(), free_port());
    dir.write("server.js", &block("node", "js"));
    let (web, own) = (port.to_string(), probes.to_string());
    let changes = [("8080", web.as_str()), ("9180", &own), ("minimum = \"5s\"", "minimum = \"1s\"")];
    // Debian's node looks there by itself, others do not.
    let env = [("PORT", web.as_str()), ("NODE_PATH", "/usr/share/nodejs")];
    let mut running = start(&dir, "node", &changes, "", &env);
    running.wait_until("/readyz answers 200", |_| status_of(probes, "/readyz") == Some(200));
    let mut session = Session::new(port);
    session.echoes("before");
    let slow = ask(port, "/slow");
    running.term().wait_for("until the clients are elsewhere: up to");
    session.echoes("in the drain");
    let new = answer(ask(port, "/"));
    assert!(new.starts_with("HTTP/1.1 200 ") && new.contains("hello"), "{new}");
    let slow = answer(slow);
    assert!(slow.starts_with("HTTP/1.1 200 ") && slow.contains("hello"), "{slow}\n{}", running.printed());
    // It is silent now, which ends the drain: 1001 is "going away".
    assert_eq!(session.receive(), (8, [&1001_u16.to_be_bytes()[..], b"going away"].concat()));
    session.send(8, &1001_u16.to_be_bytes());
    drop(session);
    running.wait(SOON).expect_code(0).expect("web: stopping: SIGTERM").expect("web: stopped");
}

#[test]
fn sidekiq_finishes_the_job_in_hand_and_leaves_the_next_one_in_its_queue() {
    if !able(&["/usr/bin/sidekiq", "/usr/bin/redis-server"]) {
        return;
    }
    let (dir, port) = (Dir::without_spaces(), free_port().to_string());
    let path = |name: &str| dir.text(name);
    // Its one thread takes the jobs in order; the first is over when the test lets it.
    let worker = format!(
        "require 'sidekiq'\n\
         class Job\n  include Sidekiq::Worker\n  def perform(n)\n    File.write(\"{begun}#{{n}}\", '')\n\
         \x20   sleep 0.02 until File.exist?('{go}')\n    File.write(\"{done}#{{n}}\", '')\n  end\nend\n\
         Sidekiq.configure_server {{ |config| config.on(:startup) {{ 2.times {{ |n| Job.perform_async(n) }} }} }}\n",
        begun = path("begun"),
        go = path("go"),
        done = path("done"),
    );
    let worker = dir.write("worker.rb", &worker);
    let command = format!("\"sidekiq\", \"-c\", \"1\", \"-r\", \"{worker}\"");
    let changes = [
        ("\"bundle\", \"exec\", \"sidekiq\"", command.as_str()),
        ("name = \"worker\"", "name = \"worker\"\nafter = { redis = \"started\" }"),
    ];
    // What it saves when it is stopped is what was left in the queue.
    let redis = format!(
        "[[process]]\nname = \"redis\"\n\
         command = [\"redis-server\", \"--port\", \"{port}\", \"--dir\", \"{}\", \"--save\", \"3600 1\", \"--rdbcompression\", \"no\"]\n\
         [process.startup]\ntcp_socket = {{ port = {port} }}\nperiod = \"1s\"\nfailure_threshold = 60\n",
        path("."),
    );
    let url = format!("redis://127.0.0.1:{port}/0");
    let mut running = start(&dir, "sidekiq", &changes, &redis, &[("REDIS_URL", &url)]);
    running.wait_until("the first job is in hand", |_| dir.path("begun0").exists());
    // Sidekiq says so once it takes no job any more.
    running.term().wait_for("take no more jobs: done").wait_for("Pausing to allow ");
    dir.write("go", "");
    let ended = running.wait(SOON * 2);
    ended.expect_code(0).expect("worker: stopping: SIGTERM").expect("redis: stopped");
    assert!(dir.path("done0").exists() && !dir.path("begun1").exists(), "{}", ended.all());
    let saved = std::fs::read(dir.path("dump.rdb")).unwrap();
    assert!(String::from_utf8_lossy(&saved).contains("queue:default"), "{}", ended.all());
}

#[test]
fn java_answers_what_is_under_way_and_exits_with_zero() {
    if !able(&["/usr/bin/java"]) {
        return;
    }
    let (dir, port, probes) = (Dir::without_spaces(), free_port(), free_port());
    dir.write("Server.java", &block("java", "java").replace("4000", "2000"));
    let (web, own) = (port.to_string(), probes.to_string());
    let changes = [("8080", web.as_str()), ("9180", &own), ("minimum = \"5s\"", "minimum = \"1s\"")];
    let mut running = start(&dir, "java", &changes, "", &[]);
    running.wait_until("/readyz answers 200", |_| status_of(probes, "/readyz") == Some(200));
    let slow = ask(port, "/slow");
    running.wait_for("slow request begun").term();
    let slow = answer(slow);
    let ended = running.wait(SOON);
    assert!(slow.starts_with("HTTP/1.1 200 ") && slow.contains("hello"), "{slow}\n{}", ended.all());
    ended.expect_code(0).expect("until the clients are elsewhere: done").expect("app: stopping: SIGTERM");
}
