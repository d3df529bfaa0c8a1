//! Names of hosts: the resolver beside the C library's, both asking a name server of the test's own in a network namespace; and the resolver
//! alone against servers that do their worst.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "servers in threads, and children of the test's own"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use softstop::resolver::conf::{Conf, in_hosts};
use softstop::resolver::{self, message::Family, message::Question, name::Name};
use support::{Dir, SOFTSTOP, SOON, faults};

// === a name server ===

/// Aliases, and the addresses of the last.
type Entry = (Vec<(&'static str, &'static str)>, Vec<IpAddr>);

/// What the server knows: everything below `.test` is NXDOMAIN but for these.
fn known(name: &str) -> Option<Entry> {
    let v4 = |n: u8| IpAddr::from(Ipv4Addr::new(10, 0, 0, n));
    let v6 = |n: u16| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
    let chain = vec![("alias.test", "mid.test"), ("mid.test", "both.test")];
    Some(match name {
        "db.prod.test" => (vec![], vec![v4(1)]),
        "db.test" => (vec![], vec![v4(2)]),
        "a.b.prod.test" => (vec![], vec![v4(3)]),
        "a.b" => (vec![], vec![v4(4)]),
        "bare" => (vec![], vec![v4(5)]),
        "both.test" => (vec![], vec![v4(6), v6(6), v4(7), v6(7)]),
        "six.test" => (vec![], vec![v6(8)]),
        "alias.test" => (chain, vec![v4(6), v6(6)]),
        "circle.test" => (vec![("circle.test", "circle2.test"), ("circle2.test", "circle.test")], vec![]),
        "dangling.test" => (vec![("dangling.test", "nowhere.test")], vec![]),
        "big.test" => (vec![], (0..100).map(v4).collect()),
        "empty.test" | "empty.prod.test" => (vec![], vec![]),
        _ => return None,
    })
}

fn encode(name: &str) -> Vec<u8> {
    Name::parse(name).unwrap().wire().to_vec()
}

/// The answer, or none; over UDP what is longer than 512 bytes is cut.
fn answer(query: &[u8], tcp: bool) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + length]).to_ascii_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let name = labels.join(".");
    let mut reply = query[..at + 5].to_vec();
    (reply[2], reply[3]) = (0x81, 0x80);
    // glibc may add a record of its own to the question.
    reply[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    match name.split('.').next().unwrap_or_default() {
        "silent" => return None,
        "servfail" => reply[3] = 0x82,
        "refused" => reply[3] = 0x85,
        "notimp" => reply[3] = 0x84,
        _ => match known(&name) {
            None => reply[3] = 0x83,
            Some((aliases, addresses)) => {
                let mut owner = name.clone();
                let mut count = 0u16;
                let mut records = Vec::new();
                for (from, to) in aliases {
                    records.extend([encode(from), vec![0, 5, 0, 1, 0, 0, 0, 9]].concat());
                    let target = encode(to);
                    records.extend((target.len() as u16).to_be_bytes());
                    records.extend(target);
                    to.clone_into(&mut owner);
                    count += 1;
                }
                for address in addresses {
                    let (of, data) = match address {
                        IpAddr::V4(a) => (1, a.octets().to_vec()),
                        IpAddr::V6(a) => (28, a.octets().to_vec()),
                    };
                    if of == kind {
                        records.extend([encode(&owner), of.to_be_bytes().to_vec(), vec![0, 1, 0, 0, 0, 9]].concat());
                        records.extend((data.len() as u16).to_be_bytes());
                        records.extend(data);
                        count += 1;
                    }
                }
                if !tcp && reply.len() + records.len() > 512 {
                    reply[2] |= 2;
                } else {
                    reply[6..8].copy_from_slice(&count.to_be_bytes());
                    reply.extend(records);
                }
            }
        },
    }
    Some(reply)
}

/// For as long as the process lives.
fn on_each(socket: UdpSocket, does: impl Fn(&UdpSocket, &[u8], SocketAddr) + Send + 'static) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((n, from)) = socket.recv_from(&mut bytes) {
            does(&socket, &bytes[..n], from);
        }
    });
}

/// Answers on this address over UDP and TCP for as long as the process lives.
fn serve(at: SocketAddr) -> SocketAddr {
    let tcp = TcpListener::bind(at).unwrap();
    let at = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(at).unwrap();
    on_each(udp, |udp, query, from| {
        if let Some(reply) = answer(query, false) {
            let _ = udp.send_to(&reply, from);
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            // glibc asks both questions over one connection.
            std::thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut query).unwrap();
                    let Some(reply) = answer(&query, true) else { return };
                    let _ = stream.write_all(&[&(reply.len() as u16).to_be_bytes(), reply.as_slice()].concat());
                }
            });
        }
    });
    at
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

// === beside the C library ===

fn ours(host: &str) -> Result<BTreeSet<IpAddr>, String> {
    let found = in_hosts(&std::fs::read("/etc/hosts").unwrap_or_default(), host);
    if !found.is_empty() {
        return Ok(found.into_iter().collect());
    }
    let conf = Conf::parse(&std::fs::read("/etc/resolv.conf").unwrap_or_default());
    block_on(resolver::ask(host, &conf, resolver::PORT)).map(|found| found.into_iter().collect())
}

/// getaddrinfo of the C library that the tests are linked with.
fn theirs(host: &str) -> Result<BTreeSet<IpAddr>, String> {
    (host, 80).to_socket_addrs().map(|found| found.map(|a| a.ip()).collect()).map_err(|e| e.to_string())
}

const HOSTS: &str = "127.0.0.1 localhost\n10.1.0.1 web web.prod.test # both.test\nfd00::101 Web\n10.1.0.2 db.test\n";

/// In the namespaces: nothing here can reach another name server, or change anybody's /etc.
fn compare() {
    serve("127.0.0.1:53".parse().unwrap());
    serve("[::1]:53".parse().unwrap());
    std::fs::write("/etc/nsswitch.conf", "hosts: files dns\n").unwrap();
    let confs = [
        "nameserver 127.0.0.1\n",
        "nameserver ::1\nsearch prod.test test\n",
        "# nobody there\nnameserver 127.0.0.9\nnameserver 127.0.0.1\nsearch prod.test test\noptions ndots:5 timeout:10 attempts:1\n",
        "nameserver 127.0.0.1\ndomain test\noptions ndots:2 use-vc\n",
        "nameserver 127.0.0.1\nsearch servfail.test refused.test prod.test.\noptions ndots:3 timeout:10\n",
        "nameserver 127.0.0.1\nsearch . test\noptions rotate\n",
        "options timeout:10 attempts:1\n",
    ];
    let names = [
        "db",
        "db.prod",
        "db.prod.test",
        "db.test",
        "db.",
        "db.test.",
        "DB.Prod.Test",
        "a.b",
        "a.b.",
        "bare",
        "bare.",
        "both.test",
        "both",
        "six",
        "six.test",
        "alias.test",
        "alias",
        "circle.test",
        "dangling.test",
        "big",
        "big.test",
        "empty.test",
        "empty",
        "web",
        "WEB",
        "web.",
        "web.prod.test",
        "none.test",
        "none",
        "servfail.test",
        "refused.test",
        "notimp.test",
        "servfail",
        "x..y",
        "10.0.0.1",
        "::1",
    ];
    let mut compared = 0;
    for (n, conf) in confs.iter().enumerate() {
        // glibc reads them again when they have changed, by time and size; a size of its own for each.
        std::fs::write("/etc/resolv.conf", format!("{conf}#{}\n", "x".repeat(n))).unwrap();
        for hosts in [HOSTS, ""] {
            std::fs::write("/etc/hosts", hosts).unwrap();
            for name in names.iter().filter(|name| name.parse::<IpAddr>().is_err()) {
                let (mut found, theirs) = (ours(name), theirs(name));
                // The other family's answer is waited for a tenth of a second: on a busy machine the server may need longer.
                for _ in 0..50 {
                    let some = |all: &BTreeSet<IpAddr>| {
                        theirs.as_ref().is_ok_and(|theirs| theirs.is_superset(all) && theirs != all)
                    };
                    if !found.as_ref().is_ok_and(some) {
                        break;
                    }
                    found = ours(name);
                }
                let ours = found;
                // Only whether there is an address: the words differ.
                assert_eq!(
                    ours.as_ref().ok(),
                    theirs.as_ref().ok(),
                    "{name} by {conf:?}, hosts {hosts:?}: {ours:?} {theirs:?}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 400, "{compared}");
}

/// softstop itself, by names that only DNS knows.
fn live() {
    std::fs::write("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 here.test\n").unwrap();
    std::fs::write("/etc/resolv.conf", "nameserver 127.0.0.1\nsearch test\noptions timeout:20\n").unwrap();
    for (target, code, says) in [
        ("tcp://here.test:53", 0, "ok"),
        ("tcp://none.test:53", 1, "\"none.test\" is not in /etc/hosts, and name server 127.0.0.1 knows no such name"),
        ("tcp://empty.test:53", 1, "\"empty.test\" has no address, says name server 127.0.0.1"),
        ("tcp://servfail.test:53", 1, "name server 127.0.0.1 failed to find out (SERVFAIL)"),
        ("tcp://silent.test:53", 1, "no answer within 1.0s"),
    ] {
        // All but the silent one answer at once, and need not be quick about it.
        let timeout = if target.contains("silent") { "1s" } else { "60s" };
        let output = Command::new(SOFTSTOP).args(["probe", target, "--timeout", timeout]).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.code() == Some(code) && said.contains(says), "{target}: {said}");
    }
    // The probe's own reader of /etc is no orphan, and nobody waits for it at the end.
    let dir = Dir::new();
    let text = "grace = \"30s\"\n[[init]]\nname = \"dns\"\ntcp_socket = { host = \"here.test\", port = 53 }\n\
        [[process]]\nname = \"web\"\ncommand = [\"sleep\", \"100\"]\n[process.readiness]\n\
        tcp_socket = { host = \"here.test\", port = 53 }\nperiod = \"10ms\"\n\
        [[drain]]\nname = \"gone\"\ntcp_socket = { host = \"none.test\", port = 1 }\ntimeout = \"20s\"\n";
    let mut running = dir.launch(text).start();
    running.wait_for("web: ready");
    let (ended, _) = running.stop_within(Duration::from_secs(30));
    ended.expect("the host's name cannot be resolved: \"none.test\" is not in /etc/hosts").expect_not("orphan");
}

/// What this test does again, in namespaces of its own with an /etc of its own.
fn in_namespaces(test: &str) {
    if !faults::possible() {
        return;
    }
    let dir = Dir::new();
    std::fs::create_dir(dir.path("etc")).unwrap();
    // As Debian has it: all lines of a name count, as they do for softstop.
    std::fs::write(dir.path("etc/host.conf"), "multi on\n").unwrap();
    let script = "ip link set lo up && mount --bind \"$0\" /etc && exec \"$@\"";
    let own = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script])
        .arg(dir.path("etc"))
        .arg(own)
        .args(["--exact", test, "--nocapture"])
        .env("SOFTSTOP_TEST_INSIDE", "1")
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn is_inside() -> bool {
    std::env::var_os("SOFTSTOP_TEST_INSIDE").is_some()
}

#[test]
fn what_the_c_library_finds_is_found() {
    if is_inside() { compare() } else { in_namespaces("what_the_c_library_finds_is_found") }
}

#[test]
fn softstop_finds_its_hosts_by_hosts_and_dns() {
    if is_inside() {
        serve("127.0.0.1:53".parse().unwrap());
        live();
    } else {
        in_namespaces("softstop_finds_its_hosts_by_hosts_and_dns");
    }
}

// === against servers that do their worst ===

fn conf(text: &str) -> Conf {
    Conf::parse(format!("nameserver 127.0.0.1\noptions attempts:2 timeout:1 no-aaaa\n{text}").as_bytes())
}

/// For servers that answer in the end: they may take their time.
fn patient(attempts: u32) -> Conf {
    Conf::parse(format!("nameserver 127.0.0.1\noptions attempts:{attempts} timeout:20 no-aaaa\n").as_bytes())
}

/// A server over UDP that sends all that `with` makes of a query.
fn udp(with: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> (u16, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (port, asked) = (socket.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    on_each(socket, move |socket, query, from| {
        count.fetch_add(1, Ordering::Relaxed);
        for reply in with(query) {
            let _ = socket.send_to(&reply, from);
        }
    });
    (port, asked)
}

#[test]
fn forged_answers_are_passed_over_and_the_true_one_is_waited_for() {
    let (port, asked) = udp(|query| {
        let good = answer(query, false).unwrap();
        let with = |at: usize| {
            let mut forged = good.clone();
            forged[at] ^= 1;
            // Another address, should it be believed.
            *forged.last_mut().unwrap() = 99;
            forged
        };
        // Another id, another name, another type, no response, half of one, nothing; then the true one.
        let mut question = with(0);
        question[2] = 1;
        vec![with(0), with(1), with(13), with(22), question, good[..20].to_vec(), vec![], good]
    });
    let found = block_on(resolver::ask("db.test", &patient(2), port));
    assert_eq!(found, Ok(vec![IpAddr::from([10, 0, 0, 2])]));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// From another port than was asked.
#[test]
fn an_answer_from_elsewhere_is_none() {
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    on_each(socket, move |_, query, from| drop(elsewhere.send_to(&answer(query, false).unwrap(), from)));
    let why = block_on(resolver::ask("db.test", &conf(""), port)).unwrap_err();
    assert!(why.contains("127.0.0.1 did not answer within 1s"), "{why}");
}

#[test]
fn a_storm_of_junk_takes_no_longer_than_the_timeout() {
    let (port, _) = udp(|query| (0..10_000).map(|n| [&query[..4], &[n as u8; 400]].concat()).collect());
    let began = Instant::now();
    let why = block_on(resolver::ask("db.test", &conf(""), port)).unwrap_err();
    assert!(why.contains("did not answer"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn what_does_not_answer_is_asked_again_and_then_given_up() {
    let (port, asked) = udp(|_| vec![]);
    let why = block_on(resolver::ask("db", &conf("search a.test b.test"), port)).unwrap_err();
    assert!(why.contains("\"db\"") && why.contains("did not answer within 1s"), "{why}");
    // What was sent may still wait for the server's thread.
    let limit = Instant::now() + SOON;
    while asked.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < limit, "not asked again");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "two attempts, and no further name of a server that is dead");
    // Any later attempt is as good as the first.
    let answered = AtomicUsize::new(0);
    let (port, _) =
        udp(
            move |query| {
                if answered.fetch_add(1, Ordering::Relaxed) == 0 { vec![] } else { vec![answer(query, false).unwrap()] }
            },
        );
    assert!(block_on(resolver::ask("db.test", &conf("options attempts:5"), port)).is_ok());
}

/// Firewalls and old servers drop the question for the other family.
#[test]
fn one_family_does_not_wait_for_a_server_that_drops_the_other() {
    let (port, _) = udp(|query| {
        let aaaa = query.windows(4).any(|w| w == [0, 28, 0, 1]);
        if aaaa { vec![] } else { vec![answer(query, false).unwrap()] }
    });
    let conf = Conf::parse(b"nameserver 127.0.0.1\noptions timeout:30");
    let began = Instant::now();
    let found = block_on(resolver::ask("both.test", &conf, port)).unwrap();
    assert_eq!(found.len(), 2);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Truncated over UDP, and over TCP: hangs up, says too little, too much, the wrong thing, nothing.
#[test]
fn whatever_a_server_does_over_tcp_has_an_end() {
    for mode in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(at).unwrap();
        on_each(socket, |socket, query, from| {
            let mut reply = query.to_vec();
            reply[2] |= 0x82;
            let _ = socket.send_to(&reply, from);
        });
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let reply: &[u8] = match mode {
                    0 => &[],
                    1 => &[0, 50, 1, 2, 3],
                    2 => &[0, 0],
                    3 => &[0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
                    _ => {
                        kept.push(stream);
                        continue;
                    }
                };
                let _ = stream.write_all(reply);
            }
        });
        let began = Instant::now();
        assert!(block_on(resolver::ask("db.test", &conf(""), at.port())).is_err(), "{mode}");
        assert!(began.elapsed() < Duration::from_secs(20), "{mode}");
    }
}

#[test]
fn no_two_questions_have_the_same_id_and_port() {
    let seen = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let heard = Arc::clone(&seen);
    on_each(socket, move |socket, query, from| {
        heard.lock().unwrap().insert((from.port(), query[0], query[1]));
        let _ = socket.send_to(&answer(query, false).unwrap(), from);
    });
    for _ in 0..50 {
        let _ = block_on(resolver::ask("db.test", &patient(2), port));
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= 49, "{seen:?}");
    let ids: BTreeSet<(u8, u8)> = seen.iter().map(|(_, a, b)| (*a, *b)).collect();
    assert!(ids.len() >= 45, "{ids:?}");
}

/// The message that goes out is the one that RFC 1035 draws.
#[test]
fn a_question_is_one_question() {
    let question = Question { id: 0xabcd, name: Name::parse("db.test").unwrap(), family: Family::V6 };
    assert_eq!(question.message(), b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x02db\x04test\0\0\x1c\0\x01");
}
