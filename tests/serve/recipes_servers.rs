//! The recipes of node, sidekiq and java, each with its own files and the real server: what is under way at the stop is
//! finished, and nothing new is begun.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::examples;
use crate::support::http::{free_port, read_all, read_one, send, status_of};
use crate::support::{Dir, Launch, Running, SOON, installed};

/// The recipe's files in `dir`, with `changes` for what cannot be as it stands beside other tests.
fn start(dir: &Dir, recipe: &str, changes: &[(&str, &str)], more: &str, env: &[(&str, &str)]) -> Running {
    let config = examples::copy(dir, &format!("recipes/{recipe}"), changes);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n{more}")).unwrap();
    // Another node or Ruby that is found first has not the packages of Debian's.
    let launch = Launch::new(["run", "-c", &config]).not_pid1().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start()
}

/// A request that is on its way; who serves it may take its time.
fn ask(port: u16, path: &str) -> TcpStream {
    send(port, format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).unwrap()
}

#[track_caller]
fn says_hello(asked: TcpStream, running: &Running) {
    let answer = read_all(asked);
    let well = answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ") && answer.contains("hello"));
    assert!(well, "{answer:?}\n{}", running.printed());
}

/// A client of a WebSocket, as far as this server needs one: short frames, whole.
struct Session(TcpStream);

impl Session {
    fn new(port: u16) -> Session {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let upgrade = format!(
            "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        let mut stream = send(port, upgrade).unwrap();
        assert_eq!(read_one(&mut stream).unwrap().status, 101);
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
    needs!(installed(&["/usr/bin/node", "/usr/share/nodejs/ws"]));
    let (dir, port, probes) = (Dir::without_spaces(), free_port(), free_port());
    let (web, own, here) = (port.to_string(), probes.to_string(), dir.text("."));
    let changes = [("8080", web.as_str()), ("9180", &own), ("/app", &here), ("minimum = \"5s\"", "minimum = \"1s\"")];
    // Debian's node looks there by itself, others do not.
    let mut running = start(&dir, "node", &changes, "", &[("NODE_PATH", "/usr/share/nodejs")]);
    running.wait_until("/readyz answers 200", |_| status_of(probes, "/readyz") == Some(200));
    let mut session = Session::new(port);
    session.echoes("before");
    let slow = ask(port, "/slow");
    running.term().wait_for("until the clients are elsewhere: up to");
    session.echoes("in the drain");
    says_hello(ask(port, "/"), &running);
    says_hello(slow, &running);
    // It is silent now, which ends the drain: 1001 is "going away".
    assert_eq!(session.receive(), (8, [&1001_u16.to_be_bytes()[..], b"going away"].concat()));
    session.send(8, &1001_u16.to_be_bytes());
    drop(session);
    running.wait(SOON).expect_code(0).expect("web: stopping: SIGTERM").expect("web: stopped");
}

#[test]
fn sidekiq_finishes_the_job_in_hand_and_leaves_the_next_one_in_its_queue() {
    needs!(installed(&["/usr/bin/sidekiq", "/usr/bin/redis-server"]));
    let (dir, port, probes) = (Dir::without_spaces(), free_port(), free_port().to_string());
    let socket = dir.text("notify.sock");
    let (here, until) = (dir.text("."), format!("sleep 0.02 until File.exist?('{}')", dir.text("go")));
    let changes = [
        ("9180", probes.as_str()),
        ("/app", &here),
        ("/tmp/notify.sock", &socket),
        // One thread takes the jobs in order; the first is over when the test lets it.
        ("\"-t\"", "\"-c\", \"1\", \"-t\""),
        ("sleep seconds", &until),
        ("name = \"worker\"\n", "name = \"worker\"\nafter = { redis = \"started\" }\n"),
    ];
    // What it saves when it is stopped is what was left in the queue.
    let redis = format!(
        "[[process]]\nname = \"redis\"\n\
         command = [\"redis-server\", \"--port\", \"{port}\", \"--dir\", \"{}\", \"--save\", \"3600 1\", \"--rdbcompression\", \"no\"]\n\
         [process.startup]\ntcp_socket = {{ port = {port} }}\nperiod = \"1s\"\nfailure_threshold = 60\n",
        dir.text("."),
    );
    let url = format!("redis://127.0.0.1:{port}/0");
    let mut running = start(&dir, "sidekiq", &changes, &redis, &[("REDIS_URL", &url)]);
    running.wait_until("redis answers", |_| TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut redis = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for job in 1..=2 {
        let job =
            format!(r#"{{\"class\":\"Work\",\"args\":[1],\"jid\":\"{job}\",\"queue\":\"default\",\"retry\":true}}"#);
        redis.write_all(format!("LPUSH queue:default \"{job}\"\r\n").as_bytes()).unwrap();
    }
    running.wait_for("work: begun").wait_for("worker: ready");
    // Sidekiq says so once it takes no job any more.
    running.term().wait_for("Pausing to allow ");
    dir.write("go", "");
    let ended = running.wait(SOON * 2);
    ended.expect_code(0).expect("worker: stopping: SIGTERM").expect("redis: stopped");
    let count = |text| ended.stdout.matches(text).count();
    assert_eq!((count("work: begun"), count("work: done")), (1, 1), "{}", ended.all());
    let saved = std::fs::read(dir.path("dump.rdb")).unwrap();
    assert!(String::from_utf8_lossy(&saved).contains("queue:default"), "{}", ended.all());
}

#[test]
fn java_answers_what_is_under_way_and_exits_with_zero() {
    needs!(installed(&["/usr/bin/java"]));
    let (dir, port, probes) = (Dir::without_spaces(), free_port(), free_port());
    let (web, own, here) = (port.to_string(), probes.to_string(), dir.text("."));
    let changes = [
        ("8080", web.as_str()),
        ("9180", &own),
        ("/app", &here),
        ("minimum = \"5s\"", "minimum = \"1s\""),
        ("sleep(4000)", "sleep(2000)"),
    ];
    let mut running = start(&dir, "java", &changes, "", &[]);
    running.wait_until("/readyz answers 200", |_| status_of(probes, "/readyz") == Some(200));
    let slow = ask(port, "/slow");
    running.wait_for("slow request begun").term();
    says_hello(slow, &running);
    let ended = running.wait(SOON);
    ended.expect_code(0).expect("until the clients are elsewhere: done").expect("app: stopping: SIGTERM");
}
