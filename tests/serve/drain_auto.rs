//! `--drain`, `--prestop` and `--diagnose`: the wrapper with nothing but variables, around real servers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::faults::{self, Fault};
use crate::support::http::{free_port, read_one, send, status_of};
use crate::support::idle::Service;
use crate::support::{Ended, Launch, PROMPT, Running, SOON, at_once, namespaces};

const GRACE: Duration = Duration::from_secs(30);

/// `child.pl WORDS`, which then serves and ends of SIGTERM at once; `flags` before the two dashes.
fn server(flags: &[&str], words: &[&str]) -> Launch {
    let all: Vec<&str> = ["exit-on:TERM:0"].iter().chain(words).chain(&["say:serving", "serve"]).copied().collect();
    Launch::child(flags, &all)
}

/// Runs until it says so, and on which ports it listens.
fn up(launch: Launch) -> (Running, Vec<u16>) {
    let mut running = launch.start();
    running.wait_for("serving");
    let ports = ports(&running);
    (running, ports)
}

fn ports(running: &Running) -> Vec<u16> {
    running.printed().lines().filter_map(|l| l.strip_prefix("port=")?.parse().ok()).collect()
}

/// A client in the middle of a request: the server has seen none of its line's end.
fn in_a_request(to: impl Into<std::net::IpAddr>, port: u16) -> TcpStream {
    let mut client = TcpStream::connect(SocketAddr::new(to.into(), port)).unwrap();
    client.write_all(b"hello\n").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello\n");
    client
}

/// When the program was told to stop, counted from the request, by what softstop says of the drain.
#[track_caller]
fn drained_after(ended: &Ended) -> Duration {
    let all = ended.all();
    let line = all.lines().find(|l| l.contains("drain: open connections: done after"));
    let line = line.unwrap_or_else(|| panic!("no drain was done:\n{all}"));
    let took = line.split("done after ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    // `2.0s` is none of humantime's.
    let seconds = || took.trim_end_matches('s').parse().map(Duration::from_secs_f64);
    humantime::parse_duration(took).or_else(|_| seconds()).unwrap()
}

/// The one line in a Dockerfile: a server, its child and a daemon of its own, IPv4 and IPv6, none of which softstop was told of.
#[test]
fn the_variable_alone_waits_for_whatever_the_program_and_its_children_listen_on() {
    needs!(namespaces());
    let words = ["fork", "listen6", "say:serving child", "serve", "end", "session", "listen", "serve", "end", "listen"];
    let (mut running, _) = up(server(&[], &words).env("SOFTSTOP_DRAIN", "auto").env("SOFTSTOP_GRACE", "30s"));
    running.wait_for_count("port=", 3);
    let ports = ports(&running);
    let mut held: Vec<TcpStream> = ports.iter().map(|port| in_a_request(Ipv4Addr::LOCALHOST, *port)).collect();
    running.term().wait_for("drain: open connections: listening on TCP ");
    for port in &ports {
        assert!(running.printed().contains(&format!("{port} (")), "{port}: {}", running.printed());
    }
    // Each alone holds it up, while it talks.
    while let Some(mut client) = held.pop() {
        let (began, mut spoke) = (Instant::now(), Instant::now());
        while began.elapsed() < Duration::from_millis(2500) {
            let answer = client.write_all(b"hello\n").and_then(|()| client.read_exact(&mut [0; 6]));
            if answer.is_err() && spoke.elapsed() > Duration::from_secs(1) {
                // The machine kept this client silent for so long that it counts as one that has nothing more to say.
                return;
            }
            answer.unwrap();
            spoke = Instant::now();
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(!running.printed().contains("TERM received"), "{}", running.printed());
    }
    let closed = Instant::now();
    let ended = running.wait(SOON);
    ended.expect_code(0).expect("drain: open connections: done after").expect("TERM received");
    assert!(closed.elapsed() < Duration::from_secs(8), "{:?} after the last\n{}", closed.elapsed(), ended.all());
}

/// Nothing can come, so nothing is waited for: neither the lag of endpoints, nor what was stated for it. A short grace reaches it, too.
#[test]
fn a_program_that_listens_on_nothing_is_told_at_once() {
    needs!(namespaces());
    let launch = Launch::child(&["--drain", "auto", "--drain-sleep", "20s"], PROMPT);
    let running = launch.env("KUBERNETES_SERVICE_HOST", "10.96.0.1").up();
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0).expect("nothing here listens on TCP");
    assert!(drained_after(&ended) < Duration::from_secs(2), "{}", ended.all());
}

/// Whoever else listens in the network namespace, and softstop's own port.
#[test]
fn the_ports_of_others_and_of_softstop_itself_are_not_waited_for() {
    needs!(namespaces());
    let other = Service::new();
    let held = [other.connect(Ipv4Addr::LOCALHOST), other.connect(Ipv6Addr::LOCALHOST)];
    let own = free_port();
    let http = format!("127.0.0.1:{own}");
    let (mut running, ports) = up(server(&["--http", &http, "--drain", "auto", "--grace", "30s"], &["listen"]));
    running.wait_until("served", |_| status_of(own, "/livez") == Some(200));
    let began = Instant::now();
    running.term().wait_for("drain: open connections: listening on TCP ");
    let _scrape = TcpStream::connect(("127.0.0.1", own)).unwrap();
    let ended = running.wait(GRACE);
    ended.expect_code(0).expect(&format!("listening on TCP {} (perl, pid ", ports[0]));
    ended.expect_not(&other.port.to_string()).expect_not(&format!("{own} ("));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}\n{}", began.elapsed(), ended.all());
    drop(held);
}

/// As with a program that has capabilities of its file, or another user: whose a socket is cannot be seen.
#[test]
fn where_the_programs_files_are_hidden_everything_that_listens_is_waited_for_and_it_is_said() {
    needs!(faults::possible());
    let user = Fault::User(faults::user());
    // A network namespace of its own: nothing but the program listens in it.
    let launch = server(&["--drain", "auto", "--grace", "30s"], &["hide", "listen"]).through(&["unshare", "--net"]);
    let (running, ports) = up(faults::launch(&[user], launch));
    let ended = running.stop();
    ended.expect_code(0).expect(&format!("listening on TCP {}; the files of perl (pid ", ports[0]));
    ended.expect("are hidden, so this is all that listens in the network namespace").expect("TERM received");
    assert!(drained_after(&ended) >= Duration::from_secs(2), "{}", ended.all());
}

/// No /proc at all: sock_diag still says what listens.
#[test]
fn without_proc_everything_that_listens_is_waited_for() {
    needs!(faults::possible());
    let launch = server(&["--drain", "auto", "--grace", "30s"], &["listen"]).through(&["unshare", "--net"]);
    let (running, ports) = up(faults::launch(&[Fault::Empty("/proc")], launch));
    let ended = running.stop();
    ended.expect_code(0).expect(&format!("listening on TCP {}; there is no /proc", ports[0])).expect("TERM received");
}

/// In a pod the endpoint leaves the load balancers seconds after T0, however quiet it is until then; where nobody balances load, not.
#[test]
fn in_a_pod_it_waits_for_the_endpoints_and_elsewhere_for_quiet_alone() {
    needs!(namespaces());
    let drained = |flags: &[&str], pod: bool| {
        let launch = server(flags, &["listen"]).env("SOFTSTOP_DRAIN", "auto");
        let launch = if pod { launch.env("KUBERNETES_SERVICE_HOST", "10.96.0.1") } else { launch };
        let (ended, _) = up(launch).0.stop_within(GRACE);
        ended.expect_code(0);
        drained_after(&ended)
    };
    let cases: [(&[&str], bool, u64, u64); 5] = [
        (&[], true, 5000, 9000),
        // A third of the grace.
        (&["--grace", "9s"], true, 3000, 5000),
        (&[], false, 2000, 5000),
        (&["--drain-sleep", "3500ms"], false, 3500, 6000),
        (&["--drain-sleep", "0s"], true, 2000, 5000),
    ];
    at_once(cases, |(flags, pod, least, most)| {
        let took = drained(flags, pod);
        assert!((least..most).contains(&(took.as_millis() as u64)), "{flags:?}, in a pod: {pod}: {took:?}");
    });
}

/// `docker stop` gives ten seconds, and nobody has told softstop so: the program has to have its turn before.
#[test]
fn where_nobody_says_the_grace_the_program_is_told_before_docker_kills() {
    needs!(namespaces());
    let (mut running, ports) = up(server(&["--drain", "auto"], &["listen"]));
    let mut client = in_a_request(Ipv4Addr::LOCALHOST, ports[0]);
    let began = Instant::now();
    running.term();
    running.wait_until("it is told", |running| {
        // A session that never ends.
        let _ = client.write_all(b"hello\n").and_then(|()| client.read_exact(&mut [0; 6]));
        running.printed().contains("TERM received")
    });
    let took = began.elapsed();
    let ended = running.wait(SOON);
    ended.expect_code(0).expect("drain: open connections: timed out");
    assert!(took >= Duration::from_secs(6) && took < Duration::from_secs(10), "{took:?}\n{}", ended.all());
}

#[test]
fn ports_may_be_named_instead() {
    needs!(namespaces());
    let port = free_port();
    let other = Service::new();
    let launch =
        server(&["--drain-timeout", "4s"], &["listen"]).env("SOFTSTOP_DRAIN", &format!("{port}, {}", other.port));
    let (mut running, _) = up(launch);
    let mut held = other.connect(Ipv4Addr::LOCALHOST);
    running.term().wait_for("drain: open connections: ");
    held.client.write_all(b"a request without an answer").unwrap();
    let ended = running.wait(GRACE);
    ended.expect_code(0).expect("drain: open connections: timed out").expect(" of 4.0s").expect_not("listening on TCP");
}

/// As a kubelet asks; without a guard, or without a port to be asked at, nothing is started, and no token is shown.
#[test]
fn the_wrapper_serves_the_guarded_prestop_endpoint() {
    needs!(namespaces());
    const TOKEN: &str = "0123456789abcdef-token";
    let ask = |port: u16, more: &str| {
        let head = format!("Host: x\r\nUser-Agent: kube-lifecycle/1.36\r\nConnection: close\r\n{more}\r\n");
        let mut client = send(port, format!("GET /prestop HTTP/1.1\r\n{head}")).unwrap();
        read_one(&mut client).unwrap().status
    };
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (guard, refused, header) in
        [(format!("token:{TOKEN}"), Some(""), bearer.as_str()), ("10.0.0.0/8, 127.0.0.1".to_owned(), None, "")]
    {
        let port = free_port();
        let http = format!("127.0.0.1:{port}");
        let flags = ["--http", &http, "--drain-sleep", "300ms", "--grace", "8s"];
        let launch = Launch::child(&flags, &["exit-on:TERM:0", "environ:SOFTSTOP_PRESTOP", "say:up", "wait"]);
        let mut running = launch.env("SOFTSTOP_PRESTOP", &guard).up();
        running.wait_until("served", |_| status_of(port, "/livez") == Some(200));
        if let Some(more) = refused {
            assert_eq!(ask(port, more), 403);
        }
        assert_eq!(ask(port, header), 200);
        let (ended, _) = running.stop_within(GRACE);
        ended.expect_code(0).expect("stopping: GET /prestop by a kubelet at 127.0.0.1").expect_not(TOKEN);
        ended.expect("SOFTSTOP_PRESTOP=(unset)");
    }
    for (flags, said) in [
        (&["--prestop", "token:0123456789abcdef-token"][..], "--prestop without --http"),
        (&["--http", "9180", "--prestop", "0.0.0.0/0"], "lets everybody in"),
        (&["--http", "9180", "--prestop", "token:short-token"], "has less than 16 characters"),
        (&["--http", "9180", "--prestop", "0123456789abcdef-token"], "neither a network"),
    ] {
        Launch::child(flags, &["say:up"]).run().expect_code(64).expect(said).expect_not("-token").expect_not("up\n");
    }
}

#[test]
fn the_wrapper_asks_for_a_dump_before_it_kills() {
    needs!(namespaces());
    let flags = ["--grace", "6s", "-s", "TERM:300ms", "--diagnose", "QUIT:2500ms"];
    let (ended, _) = up(server(&flags, &["on:TERM", "on:QUIT"])).0.stop_within(GRACE);
    ended.expect_code(137).expect("sending SIGQUIT for a diagnosis").expect("QUIT received");
}

/// The kubelet's clock is not softstop's where no hook has said that it began: once, and only in a pod, with a drain.
#[test]
fn a_pod_without_a_hook_is_told_that_nobody_knows_its_grace() {
    needs!(namespaces());
    let said = "no preStop hook has announced this stop";
    let start = |pod: bool| {
        let launch = Launch::child(&["--drain-sleep", "200ms"], PROMPT);
        let launch = if pod { launch.env("KUBERNETES_SERVICE_HOST", "10.96.0.1") } else { launch };
        launch.up()
    };
    let ended = start(true).stop_within(GRACE).0;
    assert_eq!(ended.all().matches(said).count(), 1, "{}", ended.all());
    start(false).stop_within(GRACE).0.expect_not(said);
}
