//! Clients of the control socket that do what they like while softstop stops: it is gone in time, with its exit code, and nothing
//! of it has grown.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{Dir, Launch, PROMPT, Running, SOON, namespaces, processes};
use softstop::control::protocol::{MAX_REQUEST, Reply};

const STATUS: &[u8] = b"{\"version\":1,\"order\":\"status\"}\n";

fn start(dir: &Dir, flags: &[&str], words: &[&str]) -> (Running, PathBuf) {
    let path = dir.path("s.sock");
    let flags = [flags, &["--control", path.to_str().unwrap()]].concat();
    let running = Launch::child(&flags, words).not_pid1().up();
    (running, path)
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

/// Everything until softstop closes.
fn read_all(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn exchange(path: &Path, request: &[u8]) -> String {
    let mut stream = connect(path);
    let _ = stream.write_all(request);
    read_all(stream)
}

#[test]
fn every_wrong_request_is_answered_in_one_line_and_closed() {
    let dir = Dir::new();
    let (running, path) = start(&dir, &["--grace", "5s"], PROMPT);
    let long = [vec![b'['; MAX_REQUEST * 4], b"\n".to_vec()].concat();
    let binary: Vec<u8> = (0..=255).chain([b'\n']).collect();
    for request in [&b"\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b"\xff\xfe\n", &binary, &long] {
        let answer = exchange(&path, request);
        assert_eq!(answer.matches('\n').count(), 1, "{answer:?}");
        assert!(matches!(Reply::parse(answer.as_bytes()), Ok(Reply::Malformed(_))), "{answer:?}");
    }
    // Slowly, byte by byte, is fine; never is not; a request without its line feed ends where the client stops sending.
    let mut slow = connect(&path);
    for byte in STATUS {
        slow.write_all(&[*byte]).unwrap();
    }
    assert!(read_all(slow).contains("\"status\""));
    let half_closed = connect(&path);
    (&half_closed).write_all(&STATUS[..STATUS.len() - 1]).unwrap();
    half_closed.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(half_closed).contains("\"status\""));
    let asked = Instant::now();
    let silent = connect(&path);
    assert!(read_all(silent).contains("no request within 2 s"));
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
    running.stop_within(Duration::from_secs(5)).0.expect_code(0);
}

/// Whoever checks requests on the way may have seen the first, and let it pass.
#[test]
fn an_order_with_a_key_twice_is_no_order() {
    let dir = Dir::new();
    let (running, path) = start(&dir, &["--grace", "30s"], PROMPT);
    let answer = exchange(&path, b"{\"version\":1,\"order\":\"status\",\"order\":\"stop\"}\n");
    assert!(answer.contains("malformed") && answer.contains("the key \\\"order\\\" stands twice"), "{answer}");
    assert!(exchange(&path, STATUS).contains("\"phase\":\"Running\""));
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let dir = Dir::new();
    let (running, path) = start(&dir, &["--grace", "30s"], &["exit-on:TERM:3:300", "say:up", "wait"]);
    let client = connect(&path);
    (&client).write_all(b"{\"version\":1,\"order\":\"stop\"}\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let answer = read_all(client);
    assert!(answer.lines().last().unwrap().contains("exit code 3"), "{answer}");
    running.wait(Duration::from_secs(30)).expect_code(3);
}

#[test]
fn the_drain_goes_on_when_its_client_has_gone_and_sigterm_takes_no_time_away_then() {
    let dir = Dir::new();
    let (mut running, path) = start(&dir, &["--grace", "30s", "--drain-sleep", "4s"], PROMPT);
    let client = connect(&path);
    (&client).write_all(b"{\"version\":1,\"order\":\"drain\"}\n").unwrap();
    running.wait_for("drain: sleep 4s");
    let open = processes::descriptors(running.pid());
    drop(client);
    running.wait_until("the connection is closed", |r| processes::descriptors(r.pid()) < open);
    running.stop().expect_code(0).expect("sleep 4s: done").expect_not("2s are left");
}

#[test]
fn one_order_too_many_is_refused_and_the_others_have_their_answers() {
    let dir = Dir::new();
    let (mut running, path) = start(&dir, &["--grace", "30s", "--drain-sleep", "4s"], PROMPT);
    let mut clients = Vec::new();
    for n in 0..20 {
        let client = connect(&path);
        (&client).write_all(b"{\"version\":1,\"order\":\"drain\"}\n").unwrap();
        clients.push(client);
        if n == 0 {
            running.wait_for("drain: sleep");
        }
    }
    let answers: Vec<String> = clients.into_iter().map(read_all).collect();
    let ended = |word: &str| answers.iter().filter(|a| a.lines().last().is_some_and(|l| l.contains(word))).count();
    assert_eq!((ended("\"done\""), ended("\"refused\"")), (16, 4), "{answers:#?}");
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
}

/// Every kind of trouble at once, from many threads, until told to end.
struct Mob {
    ended: Arc<AtomicBool>,
    connected: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

type Trouble = fn(UnixStream, &mut Vec<UnixStream>);

const TROUBLES: &[Trouble] = &[
    // Idle, and kept.
    |stream, kept| kept.push(stream),
    |mut stream, _| drop(stream.write_all(&[0xfe; 3000])),
    // A line without end.
    |mut stream, _| drop(stream.write_all(&[b'{'; 100_000])),
    // Asks and never reads.
    |mut stream, kept| {
        let _ = stream.write_all(STATUS);
        kept.push(stream);
    },
    |mut stream, kept| {
        let _ = stream.write_all(b"{\"version\":1,\"order\":\"stop\"}\n");
        kept.push(stream);
    },
    |mut stream, kept| {
        let _ = stream
            .write_all(b"{\"version\":1,\"order\":\"drain\"}\nand more and more and more and more and more and more");
        let _ = stream.shutdown(Shutdown::Write);
        kept.push(stream);
    },
    |mut stream, _| drop(stream.write_all(b"{\"version\":1,\"order\":\"restart\",\"process\":\"nobody\"}\n")),
    |stream, kept| {
        let _ = stream.shutdown(Shutdown::Both);
        kept.push(stream);
    },
];

impl Mob {
    fn gather(address: SocketAddr) -> Mob {
        let (ended, connected) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = TROUBLES.iter().map(|trouble| {
            let (ended, connected, address) = (Arc::clone(&ended), Arc::clone(&connected), address.clone());
            std::thread::spawn(move || {
                let mut kept = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    // A full queue is refused by the kernel only when not waiting; here it is waited for, as connect does.
                    let Ok(stream) = UnixStream::connect_addr(&address) else {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    };
                    let _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
                    connected.fetch_add(1, Ordering::Relaxed);
                    trouble(stream, &mut kept);
                    if kept.len() > 60 {
                        kept.remove(0);
                    }
                }
            })
        });
        let threads = threads.collect();
        Mob { ended, connected, threads }
    }

    fn connects(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }
}

impl Drop for Mob {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|t| t.join().unwrap());
    }
}

#[test]
fn a_stop_among_hostile_clients_is_in_time_and_nothing_grows() {
    let dir = Dir::new();
    // The drain is long for the sake of the crowd, which may stand still for a second as well.
    let grace = Duration::from_secs(8);
    let (mut running, path) =
        start(&dir, &["--grace", "8s", "--drain-sleep", "3s"], &["exit-on:TERM:3:300", "say:up", "wait"]);
    assert!(exchange(&path, STATUS).contains("\"status\""));
    let (memory, open) = (processes::anonymous_kb(running.pid()), processes::descriptors(running.pid()));
    // The mob stops it by itself: one of its orders is to stop. A SIGTERM beside it would be a kubelet whose hook has timed out, or not, as it comes
    // while a client waits for the drain or before one does.
    let mob = Mob::gather(SocketAddr::from_pathname(&path).unwrap());
    running.wait_for("stopping: softstop");
    let asked = running.age();
    let (mut most_memory, mut most_open) = (0, 0);
    while running.code().is_none() {
        most_memory = most_memory.max(processes::anonymous_kb(running.pid()));
        most_open = most_open.max(processes::descriptors(running.pid()));
        assert!(running.age() < asked + grace + SOON, "{}", running.printed());
        std::thread::sleep(Duration::from_millis(5));
    }
    let connects = mob.connects();
    drop(mob);
    let ended = running.wait(SOON);
    ended.expect_code(3).expect("drain: sleep 3s: done");
    ended.expect_in_time(asked, grace, "");
    assert!(connects > 100, "{connects} connects were no crowd");
    // Eight are being read from, sixteen wait, and one or two are on their way out.
    assert!(most_open <= open + 30, "{open} descriptors became {most_open}");
    assert!(most_memory <= memory + 3072, "{memory} kB became {most_memory}");
}

#[test]
fn ten_thousand_strangers_are_rejected_before_and_during_the_stop() {
    needs!(namespaces());
    let mut running = Launch::child(&["--grace", "5s", "--drain-sleep", "500ms"], PROMPT).up();
    let inode = std::fs::metadata(format!("/proc/{}/ns/pid", running.pid())).unwrap().ino();
    let address = SocketAddr::from_abstract_name(format!("softstop/{inode}/1")).unwrap();
    let open = processes::descriptors(running.pid());
    // They come from another PID namespace, the test's own. Some do not leave when they are rejected.
    let mut kept = Vec::new();
    for n in 0..10_000 {
        let stream = UnixStream::connect_addr(&address).unwrap();
        if n % 20 == 0 {
            kept.push(stream);
            assert!(
                processes::descriptors(running.pid()) <= open + 2,
                "{} descriptors",
                processes::descriptors(running.pid())
            );
        }
    }
    assert!(read_all(kept.pop().unwrap()).contains("its own PID namespace alone"));
    let come = Arc::new(AtomicU64::new(0));
    let coming = Arc::clone(&come);
    let crowd = std::thread::spawn(move || {
        while UnixStream::connect_addr(&address).is_ok() {
            coming.fetch_add(1, Ordering::Relaxed);
        }
    });
    running.wait_until("more come", |_| come.load(Ordering::Relaxed) > 100);
    let (ended, _) = running.stop_within(Duration::from_secs(5));
    ended.expect_code(0).expect("sleep 500ms: done");
    crowd.join().unwrap();
    let lines = ended.all().matches("rejected").count() as u64;
    assert!(lines <= 1 + ended.lived.as_secs() / 10, "{}", ended.all());
}
