//! `wait_idle` with real connections: what holds a drain up, what does not, and what is said about it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::support::faults::{self, Fault};
use crate::support::http::{free_port, status_of};
use crate::support::idle::{Held, Service, in_a_network_of_its_own};
use crate::support::{
    Dir, Ended, Launch, PROMPT, Proc, Running, SOON, account, at_once, namespaces, process, skip, starvation,
};

const GRACE: Duration = Duration::from_secs(40);

/// A process of these words with `more` below it, and a drain step of these keys.
fn launch(dir: &Dir, words: &[&str], more: &str, step: &str) -> Launch {
    let (report, web) = (dir.text(account::REPORT), process("web", words));
    let step = format!("[[drain]]\nname = \"finish\"\n{step}\n");
    dir.launch(&format!("grace = \"40s\"\nreport = {report:?}\n{web}{more}\n{step}"))
}

fn listens(port: u16) -> String {
    format!("[http]\nlisten = \"127.0.0.1:{port}\"\n")
}

/// One whose process ends at once, and whose step waits for this port: these further keys of `wait_idle`, and the step's timeout.
fn up(port: u16, keys: &str, timeout: &str, faults: &[Fault]) -> (Dir, Running) {
    let dir = Dir::new();
    let step = format!("wait_idle = {{ port = {port}, {keys} }}\ntimeout = {timeout:?}");
    let running = faults::launch(faults, launch(&dir, PROMPT, "", &step)).up();
    (dir, running)
}

/// The drain step's own time, and its reason; it has come to this outcome.
#[track_caller]
fn step(dir: &Dir, ended: &Ended, outcome: &str) -> (Duration, String) {
    let report = account::report(dir, &ended.all());
    let step = &report["steps"][0];
    assert_eq!(step["outcome"], outcome, "{}", ended.all());
    let took = Duration::from_secs_f64(step["took_seconds"].as_f64().unwrap_or_else(|| panic!("{report:#}")));
    (took, step["reason"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn without_traffic_it_takes_the_quiet_window_and_no_longer() {
    needs!(namespaces());
    let service = Service::new();
    // Older than the stop: no arrivals.
    service.request();
    let (dir, running) = up(service.port, "quiet = \"400ms\"", "30s", &[]);
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0).expect("drain: finish: no connection, to be quiet for 400ms");
    let (took, _) = step(&dir, &ended, "done");
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");
}

/// IPv4, IPv6, and IPv4 that an IPv6 socket holds; then the ways that a kernel may refuse to tell.
fn connections_hold_it_up(faults: &[Fault]) -> Ended {
    let service = Service::new();
    let mut held = vec![service.connect(Ipv4Addr::LOCALHOST), service.connect(Ipv6Addr::LOCALHOST)];
    let (dir, mut running) = up(service.port, "quiet = \"100ms\"", "30s", faults);
    running.term().wait_for("drain: finish: 2 open, ");
    held.pop();
    running.wait_for("drain: finish: 1 open, ");
    // Half closed by the client, it may still wait for its answer.
    held[0].client.shutdown(std::net::Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.printed().contains("finish: done"), "{}", running.printed());
    let closed = Instant::now();
    held.pop();
    let ended = running.wait(SOON);
    let late = closed.elapsed();
    ended.expect_code(0).expect("drain: finish: done");
    assert!(late < Duration::from_secs(5), "{late:?} after the last connection: {faults:?}");
    step(&dir, &ended, "done");
    ended
}

#[test]
fn connections_of_both_families_hold_it_up() {
    if namespaces() {
        connections_hold_it_up(&[]).expect("2 open, 2 active, ").expect_not("unknown");
    }
}

/// seccomp profiles refuse netlink, gVisor does not know sock_diag: then /proc/net says it.
#[test]
fn where_sock_diag_is_refused_proc_is_read() {
    needs!(faults::possible());
    for errno in ["EPERM", "EAFNOSUPPORT"] {
        // The kernel's counter of connections is the whole network's, and other tests go on in the machine's.
        in_a_network_of_its_own(|| {
            connections_hold_it_up(&[Fault::Refused(errno, "socket=16")]).expect("2 open, activity unknown, ");
        });
    }
}

/// Nobody knows whether anybody is still served, so the step takes what time it has, and says why.
#[test]
fn where_nothing_can_be_seen_it_waits_its_time() {
    needs!(faults::possible());
    let service = Service::new();
    let faults = [Fault::Refused("EPERM", "socket=16"), Fault::Empty("/proc")];
    let (dir, running) = up(service.port, "quiet = \"0s\"", "2500ms", &faults);
    let ended = running.stop();
    let (took, reason) = step(&dir, &ended, "timed_out");
    assert!(reason.starts_with("connections cannot be seen: sock_diag is refused, and /proc/net/tcp"), "{reason}");
    assert!(took >= Duration::from_millis(2500), "{took:?}");
}

/// Each restarts the quiet window, also those that have come and gone between two looks.
#[test]
fn while_clients_come_it_goes_on() {
    needs!(namespaces());
    let (dir, service, other) = (Dir::new(), Service::new(), Service::new());
    let waits =
        format!("wait_idle = {{ ports = [{}, {}], quiet = \"2s\" }}\ntimeout = \"35s\"", service.port, other.port);
    let mut running = launch(&dir, PROMPT, "", &waits).up();
    running.term().wait_for("no connection, to be quiet for 2.0s");
    let quiet = Duration::from_secs(2);
    let began = Instant::now();
    let mut last = began;
    while began.elapsed() < quiet * 2 {
        last = Instant::now();
        service.request();
        std::thread::sleep(Duration::from_millis(250));
        // A busy machine may itself leave a time without clients that is long enough.
        let over = running.printed().contains("finish: done");
        assert!(!over || last.elapsed() >= quiet, "{}", running.printed());
    }
    let ended = running.wait(GRACE);
    let quiet = last.elapsed();
    ended.expect_code(0).expect(" new since the beginning, to be quiet for 2.0s").expect("drain: finish: done");
    assert!(quiet >= Duration::from_secs(2), "over {quiet:?} after the last one came\n{}", ended.all());
    assert!(quiet < Duration::from_secs(10), "{quiet:?}\n{}", ended.all());
    // A line a second, not one for each connection.
    let lines = account::log(&ended.all()).into_iter().filter(|l| l.contains("drain: finish: ")).count();
    assert!(lines <= 12, "{lines} lines\n{}", ended.all());
}

/// The connections of sidecars, of the node, and of softstop's own probes.
#[test]
fn peers_that_do_not_count_do_not_hold_it_up() {
    needs!(namespaces());
    let service = Service::new();
    let held: Vec<Held> = (2..5).map(|n| service.connect_from(Ipv4Addr::new(127, 0, 0, n))).collect();
    let ignored = service.connect_from(Ipv4Addr::new(127, 0, 9, 1));
    let keys = "quiet = \"200ms\", ignore = [\"127.0.0.3/32\", \"127.0.0.4\", \"127.0.9.0/24\"]";
    let (_dir, mut running) = up(service.port, keys, "30s", &[]);
    running.term().wait_for("drain: finish: 1 open, ");
    drop(held);
    let ended = running.wait(GRACE);
    ended.expect("drain: finish: done").expect_not("2 open");
    drop(ignored);
}

#[test]
fn softstop_s_own_probes_do_not_count() {
    needs!(namespaces());
    let (dir, service) = (Dir::new(), Service::new());
    service.answer_probes();
    let probe =
        |host: &str| format!("tcp_socket = {{ host = \"{host}\", port = {} }}\nperiod = \"20ms\"\n", service.port);
    let probes = format!("[process.readiness]\n{}[process.startup]\n{}", probe("127.0.0.1"), probe("::1"));
    let waits = format!("wait_idle = {{ port = {}, quiet = \"2s\" }}", service.port);
    let mut running = launch(&dir, PROMPT, &probes, &waits).up();
    running.wait_for("web: ready");
    let (ended, _) = running.stop_within(GRACE);
    let (took, _) = step(&dir, &ended, "done");
    ended.expect_not("new since the beginning");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

/// Who is cut says what was left.
#[test]
fn what_is_left_when_it_is_cut_is_named() {
    needs!(namespaces());
    let service = Service::new();
    let held: Vec<Held> = (0..7).map(|_| service.connect(Ipv4Addr::LOCALHOST)).collect();
    let (dir, running) = up(service.port, "quiet = \"0s\"", "2500ms", &[]);
    let (ended, _) = running.stop_within(GRACE);
    let (took, reason) = step(&dir, &ended, "timed_out");
    assert!(took >= Duration::from_millis(2500) && took < Duration::from_secs(8), "{took:?}");
    assert!(reason.starts_with("7 open, 7 active: 127.0.0.1:") && reason.ends_with(" and 2 more"), "{reason}");
    assert_eq!(held.iter().filter(|h| reason.contains(&h.name())).count(), 5, "{reason}");
    account::line(&ended.all(), &["warning", "drain: finish: timed out", &reason]);
}

/// The dump is taken in pieces: a table of thousands delays neither probes nor the end.
#[test]
fn thousands_of_connections_hold_up_nothing_else() {
    needs!(namespaces());
    const MANY: usize = 4000;
    let (dir, service) = (Dir::new(), Service::new());
    let held: Vec<Held> =
        (0..MANY).map(|n| service.connect_from(Ipv4Addr::new(127, 0, 1, (n % 100) as u8 + 1))).collect();
    let http = free_port();
    let waits = format!("wait_idle = {{ port = {} }}\ntimeout = \"3s\"", service.port);
    let mut running = launch(&dir, PROMPT, &listens(http), &waits).up();
    running.term().wait_for(&format!("drain: finish: {MANY} open, {MANY} active, "));
    let mut answers: Vec<Duration> = Vec::new();
    // What softstop or this thread waited for a processor is the machine's.
    let starved = |r: &Running| starvation::of(r.pid()) + starvation::own();
    while !running.printed().contains("finish: timed out") {
        let (asked, before) = (Instant::now(), starved(&running));
        if status_of(http, "/livez") == Some(200) {
            answers.push(asked.elapsed().saturating_sub(starved(&running).saturating_sub(before)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = running.wait(GRACE);
    let (took, reason) = step(&dir, &ended, "timed_out");
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert!(reason.starts_with(&format!("{MANY} open, {MANY} active: ")), "{reason}");
    answers.sort();
    let median = answers[answers.len() / 2];
    assert!(answers.len() > 5 && median < Duration::from_millis(100), "{} answers, {median:?}", answers.len());
    drop(held);
}

/// While connections cannot be seen clients may come and go: the quiet window is one in which they could be.
#[test]
fn after_a_time_without_sight_the_quiet_window_begins_anew() {
    needs!(faults::possible());
    let (dir, service) = (Dir::new(), Service::new());
    let quiet = Duration::from_millis(1500);
    let held = service.connect(Ipv4Addr::LOCALHOST);
    let waits = format!("wait_idle = {{ port = {}, quiet = \"1500ms\" }}\ntimeout = \"35s\"", service.port);
    let mut running = launch(&dir, PROMPT, "", &waits).not_pid1().up();
    running.term().wait_for("1 open");
    let began = Instant::now();
    faults::limit(&running, "nofile", 3);
    // As the kernel's OOM killer may: nobody asks any more, and nobody can be started who does.
    let asks = |p: &Proc| p.parent == running.pid() && p.name == "softstop";
    for asking in running.marked().into_iter().filter(asks) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(asking.pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    drop(held);
    running
        .wait_until("more than the quiet window has passed", |_| began.elapsed() > quiet + Duration::from_millis(500));
    assert_eq!(running.code(), None);
    let again = Instant::now();
    faults::limit(&running, "nofile", 256);
    let ended = running.wait(SOON);
    // Its last look without monitor may have been a little before.
    assert!(again.elapsed() > quiet / 2 || ended.says_it_starved(), "{:?}: {}", again.elapsed(), ended.all());
    step(&dir, &ended, "done");
}

/// Ten a second, each opened, asked and closed by the client within a millisecond: no look shows any of them. With the end of each told, with the
/// kernel's counter alone, and with /proc alone.
#[test]
fn connections_too_short_to_be_seen_count() {
    needs!(faults::possible());
    // The counter is the whole network's.
    at_once([&[][..], &[Fault::Refused("EPERM", "bind")], &[Fault::Refused("EPERM", "socket=16")]], |faults| {
        in_a_network_of_its_own(|| too_short_to_be_seen(faults));
    });
}

fn too_short_to_be_seen(faults: &[Fault]) {
    let (service, quiet) = (Service::new(), Duration::from_secs(3));
    let (dir, mut running) = up(service.port, "quiet = \"3s\"", "35s", faults);
    running.term().wait_for("no connection, to be quiet for 3.0s");
    let began = Instant::now();
    let mut last = began;
    let mut over = false;
    while began.elapsed() < quiet * 3 / 2 && !over {
        last = Instant::now();
        service.short_request(Ipv4Addr::LOCALHOST);
        std::thread::sleep(Duration::from_millis(100));
        // A busy machine may itself leave a time without clients that is long enough.
        over = running.printed().contains("finish: done");
        assert!(!over || last.elapsed() >= quiet, "{faults:?}: {}", running.printed());
    }
    let ended = running.wait(SOON);
    assert!(last.elapsed() >= quiet, "{faults:?}: {}", ended.all());
    assert!(over || ended.all().contains(" new since the beginning, to be quiet for 3.0s"), "{}", ended.all());
    ended.expect_code(0);
    let (took, _) = step(&dir, &ended, "done");
    assert!(took < Duration::from_secs(20), "{faults:?}: {took:?}");
}

/// What nginx, haproxy, a mesh or a gRPC client keep for the next request.
#[test]
fn a_pool_of_idle_connections_ends_with_its_silence() {
    needs!(namespaces());
    let service = Service::new();
    let opened = Instant::now();
    let pool: Vec<Held> = (0..14).map(|_| service.open(Ipv4Addr::LOCALHOST).served()).collect();
    // One that was only opened, and one that its client has closed after its answer.
    let unused = service.open(Ipv6Addr::LOCALHOST);
    let closed = service.open(Ipv4Addr::LOCALHOST).served();
    closed.client.shutdown(std::net::Shutdown::Write).unwrap();
    let (dir, mut running) = up(service.port, "quiet = \"300ms\"", "35s", &[]);
    running.term().wait_for("drain: finish: 16 open, ");
    // Their silence may have been over before softstop looked.
    let were_active = opened.elapsed() < Duration::from_secs(2);
    let ended = running.wait(SOON);
    ended.expect_code(0).expect("drain: finish: 16 open, 0 active, ");
    assert!(!were_active || ended.all().contains("drain: finish: 16 open, 16 active, "), "{}", ended.all());
    let (took, _) = step(&dir, &ended, "done");
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop((pool, unused, closed));
}

/// Ten whose first request is worked on, as most clients ask right behind the connection's beginning: nothing was ever sent. And one on a
/// connection of that pool.
#[test]
fn an_answer_is_waited_for_however_long_it_takes_the_first_and_a_later_one() {
    use std::io::{Read, Write};
    needs!(namespaces());
    let service = Service::new();
    let mut first: Vec<Held> = (0..10).map(|_| service.connect(Ipv4Addr::LOCALHOST)).collect();
    // It has been read, and is worked on.
    first.iter_mut().for_each(|one| assert!(one.server.read(&mut [0; 64]).unwrap() > 0));
    let mut later = service.open(Ipv4Addr::LOCALHOST).served();
    std::thread::sleep(Duration::from_millis(50));
    later.client.write_all(b"?").unwrap();
    later.server.read_exact(&mut [0]).unwrap();
    let (dir, mut running) = up(service.port, "quiet = \"0s\", silent = \"500ms\"", "35s", &[]);
    running.term().wait_for("drain: finish: 11 open, 11 active, ");
    all_stay_active(&running, 11);
    drop(first);
    running.wait_for("drain: finish: 1 open, 1 active, ");
    let answered = Instant::now();
    later.server.write_all(b"!").unwrap();
    let ended = running.wait(SOON);
    assert!(answered.elapsed() > Duration::from_millis(450), "the client is to get it: {:?}", answered.elapsed());
    step(&dir, &ended, "done");
}

/// For longer than what `quiet` and `silent` would give somebody who is idle: none of so many is, and the step goes on.
fn all_stay_active(running: &Running, open: usize) {
    std::thread::sleep(Duration::from_millis(2500));
    let printed = running.printed();
    let active = |n: usize| printed.contains(&format!("{open} open, {n} active"));
    assert!(!printed.contains("finish: done") && !(0..open).any(active), "{printed}");
}

/// LAST_ACK and FIN_WAIT1: the process has closed it, and the client does not have all of it yet.
#[test]
fn what_the_client_has_not_received_yet_is_waited_for() {
    use std::io::{Read, Write};
    needs!(namespaces());
    let service = Service::new();
    let clients = [false, true].map(|client_closes_first| {
        let Held { mut server, client } = service.open(Ipv4Addr::LOCALHOST).served();
        if client_closes_first {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(n) = server.write(&[b'x'; 65536]) {
            written += n;
        }
        (client, written)
    });
    let (dir, mut running) = up(service.port, "quiet = \"0s\"", "30s", &[]);
    running.term().wait_for("drain: finish: 2 open, 2 active, ");
    all_stay_active(&running, 2);
    for (mut client, written) in clients {
        let mut read = Vec::new();
        client.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), written);
    }
    step(&dir, &running.wait(SOON), "done");
}

#[test]
fn a_port_nobody_listens_on_is_said_and_takes_the_time_there_is() {
    needs!(namespaces());
    let unused = free_port();
    let (dir, running) = up(unused, "quiet = \"0s\"", "2500ms", &[]);
    let (ended, _) = running.stop_within(GRACE);
    let (took, reason) = step(&dir, &ended, "timed_out");
    assert!(took >= Duration::from_millis(2500), "{took:?}");
    let said = format!("nothing listens on TCP {unused}");
    assert!(reason.starts_with(&said), "{reason}");
    account::line(&ended.all(), &["warning", "drain: finish: ", &said, "or leave it out, "]);
}

/// As nginx does at SIGQUIT: whoever listened when the stop began did not write a wrong port.
#[test]
fn a_server_that_a_step_before_has_told_to_listen_no_more_is_no_mistake() {
    needs!(namespaces());
    let dir = Dir::new();
    let port = free_port();
    let listens = format!("listen:127.0.0.1:{port}");
    let steps = format!(
        "signal = {{ process = \"web\", signal = \"USR1\" }}\n[[drain]]\nname = \"so that it has\"\nsleep = \"500ms\"\n\
         [[drain]]\nname = \"idle\"\nwait_idle = {{ port = {port}, quiet = \"500ms\" }}"
    );
    let words = ["exit-on:TERM:0", &listens, "unlisten-on:USR1", "say:up", "wait"];
    let (ended, _) = launch(&dir, &words, "", &steps).up().stop_within(GRACE);
    ended.expect_code(0).expect("listens no more").expect_not("nothing listens");
    account::line(&ended.all(), &["drain: idle: done"]);
}

/// Another container of the pod, another softstop on the machine: its connections are not ours.
#[test]
fn connections_of_another_instance_in_the_same_network_do_not_count() {
    needs!(namespaces());
    let dir = Dir::new();
    let other = Service::at((Ipv4Addr::new(127, 0, 0, 2), 0));
    let held = other.connect_from(Ipv4Addr::LOCALHOST);
    let port = other.port;
    let waits = format!("wait_idle = {{ port = {port}, quiet = \"300ms\" }}\ntimeout = \"20s\"");
    let words = ["exit-on:TERM:0", &format!("listen:127.0.0.3:{port}"), "say:up", "wait"];
    let mut running = launch(&dir, &words, "", &waits).up();
    running.term();
    // Nor do they restart the window.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(600) {
        other.short_request(Ipv4Addr::LOCALHOST);
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = running.wait(SOON);
    ended.expect("drain: finish: no connection, to be quiet for 300ms").expect_not(" open, ").expect_not(" new since");
    step(&dir, &ended, "done");
    drop(held);
}

#[test]
fn auto_waits_for_the_ports_that_our_own_processes_listen_on() {
    needs!(namespaces());
    let (dir, other) = (Dir::new(), Service::new());
    let held = other.connect(Ipv4Addr::LOCALHOST);
    let own = free_port();
    let words = ["exit-on:TERM:0", "fork", &format!("listen:127.0.0.3:{own}"), "wait", "end", "say:up", "wait"];
    let waits = "wait_idle = { ports = \"auto\", quiet = \"0s\" }\ntimeout = \"4s\"";
    let mut running = launch(&dir, &words, "", waits).up();
    let client = std::net::TcpStream::connect((Ipv4Addr::new(127, 0, 0, 3), own)).unwrap();
    // Nobody accepts it: it has not been served.
    running.term().wait_for("drain: finish: listening on TCP ").wait_for("drain: finish: 1 open, 1 active, ");
    drop(client);
    // The kernel keeps what is not accepted until somebody does.
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_not("2 open");
    drop(held);
}

/// A kubelet's, of the kinds httpGet and tcpSocket, every second: shorter than the quiet window.
#[test]
fn the_node_s_probes_are_known_without_being_told() {
    needs!(namespaces());
    let (dir, service) = (Dir::new(), Service::new());
    let node = Ipv4Addr::new(127, 0, 0, 5);
    let waits = format!("wait_idle = {{ port = {}, quiet = \"2s\" }}\ntimeout = \"35s\"", service.port);
    let known = || {
        let mut running = launch(&dir, PROMPT, "", &waits).env("HOST_IP", &node.to_string()).up();
        running.term().wait_for("to be quiet for 2.0s");
        let began = Instant::now();
        let mut next = began;
        while running.code().is_none() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            service.short_request(node);
            next += Duration::from_secs(1);
        }
        let ended = running.wait(SOON);
        let (took, _) = step(&dir, &ended, "done");
        let said = ended.all().contains("no connection, the node's probes aside, ");
        assert!(!said || took < Duration::from_secs(10), "{took:?}: {}", ended.all());
        said
    };
    // On a busy machine this clock is not a kubelet's.
    assert!((0..4).any(|_| known()));
}

/// To say what moves on a connection the kernel takes its lock, which a process may keep: whoever asks is held with it. PID 1 is not.
#[test]
fn a_process_that_keeps_a_connection_s_lock_holds_nobody() {
    needs!(namespaces());
    let (dir, http) = (Dir::new(), free_port());
    let waits = "wait_idle = { ports = \"auto\", quiet = \"0s\" }\ntimeout = \"9s\"";
    let words = ["exit-on:TERM:0", "fork", "listen:127.0.0.1:0", "ready", "keep-lock", "end", "say:up", "wait"];
    let more = format!("stop = [{{ signal = \"SIGTERM\", wait = \"500ms\" }}]\n{}", listens(http));
    let mut running = launch(&dir, &words, &more, waits).up();
    running
        .wait_until("it sends", |r| r.printed().contains("keeps the lock") || r.printed().contains("no userfaultfd"));
    if running.printed().contains("no userfaultfd") {
        running.stop_within(GRACE);
        return skip("userfaultfd is not permitted");
    }
    running.term().wait_for("connections cannot be seen: a process keeps the kernel from looking at one of them");
    assert_eq!(status_of(http, "/livez"), Some(200));
    running.wait_for(" open, activity unknown");
    let ended = running.wait(GRACE);
    let (took, _) = step(&dir, &ended, "timed_out");
    assert!(took < Duration::from_secs(30), "{took:?}");
}
