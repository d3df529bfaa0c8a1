//! `wait_idle` with real connections: what holds a drain up, what does not, and what is said about it.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use support::faults::{self, Fault};
use support::idle::{Held, Service};
use support::{CHILD, Dir, Launch, Running, SOON, account, starvation};

const GRACE: Duration = Duration::from_secs(40);

/// A process that ends at once, and a drain step with these keys; `more` stands below the process.
fn config(dir: &Dir, step: &str, more: &str) -> String {
    let text = format!(
        "grace = \"40s\"\nreport = {:?}\n\
         [[process]]\nname = \"web\"\ncommand = [\"perl\", {CHILD:?}, \"exit-on:TERM:0\", \"say:up\", \"wait\"]\n{more}\n\
         [[drain]]\nname = \"finish\"\n{step}\n",
        dir.text(account::REPORT),
    );
    dir.write("softstop.toml", &text)
}

fn start(file: &str, faults: &[Fault]) -> Running {
    let launch = Launch::new(["run", "-c", file]);
    let mut running = if faults.is_empty() { launch.start() } else { faults::launch(faults, launch).start() };
    running.wait_for("up");
    running
}

/// The drain step's own time and outcome, by the report.
fn step(dir: &Dir, printed: &str) -> (Duration, String, String) {
    let report = account::report(dir, printed);
    let step = &report["steps"][0];
    let took = Duration::from_secs_f64(step["took_seconds"].as_f64().unwrap_or_else(|| panic!("{report:#}")));
    let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
    (took, text("outcome"), text("reason"))
}

#[test]
fn without_traffic_it_takes_the_quiet_window_and_no_longer() {
    if !support::namespaces() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    // Older than the stop: no arrivals.
    service.request();
    let file = config(&dir, &format!("wait_idle = {{ port = {}, quiet = \"400ms\" }}", service.port), "");
    let (ended, _) = start(&file, &[]).stop_within(GRACE);
    ended.expect_code(0).expect("drain: finish: no connection, to be quiet for 400ms");
    let (took, outcome, _) = step(&dir, &ended.all());
    assert_eq!(outcome, "done");
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");
}

/// IPv4, IPv6, and IPv4 that an IPv6 socket holds; then the ways that a kernel may refuse to tell.
fn connections_hold_it_up(faults: &[Fault]) {
    let (dir, service) = (Dir::new(), Service::new());
    let mut held = vec![service.connect(Ipv4Addr::LOCALHOST), service.connect(Ipv6Addr::LOCALHOST)];
    let step_ = format!("wait_idle = {{ port = {}, quiet = \"100ms\" }}\ntimeout = \"30s\"", service.port);
    let mut running = start(&config(&dir, &step_, ""), faults);
    running.term().wait_for("drain: finish: 2 connections, ");
    held.pop();
    running.wait_for("drain: finish: 1 connection, ");
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
    let (_, outcome, _) = step(&dir, &ended.all());
    assert_eq!(outcome, "done", "{faults:?}");
}

#[test]
fn connections_of_both_families_hold_it_up() {
    if support::namespaces() {
        connections_hold_it_up(&[]);
    }
}

/// seccomp profiles refuse netlink, gVisor does not know sock_diag: then /proc/net says it.
#[test]
fn where_sock_diag_is_refused_proc_is_read() {
    if !faults::possible() {
        return;
    }
    for errno in ["EPERM", "EAFNOSUPPORT"] {
        connections_hold_it_up(&[Fault::Refused(errno, "socket=16")]);
    }
}

/// Nobody knows whether anybody is still served, so the step takes what time it has, and says why.
#[test]
fn where_nothing_can_be_seen_it_waits_its_time() {
    if !faults::possible() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    let step_ = format!("wait_idle = {{ port = {}, quiet = \"0s\" }}\ntimeout = \"700ms\"", service.port);
    let faults = [Fault::Refused("EPERM", "socket=16"), Fault::Empty("/proc")];
    let mut running = start(&config(&dir, &step_, ""), &faults);
    running.term();
    let ended = running.wait(SOON);
    let (took, outcome, reason) = step(&dir, &ended.all());
    assert_eq!(outcome, "timed_out", "{}", ended.all());
    assert!(reason.starts_with("connections cannot be seen: sock_diag is refused, and /proc/net/tcp"), "{reason}");
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

/// Each restarts the quiet window, also those that have come and gone between two looks.
#[test]
fn while_clients_come_it_goes_on() {
    if !support::namespaces() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    let step_ = format!("wait_idle = {{ ports = [{}, 1], quiet = \"2s\" }}\ntimeout = \"35s\"", service.port);
    let mut running = start(&config(&dir, &step_, ""), &[]);
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

#[test]
fn a_minimum_is_waited_for_and_some_may_stay() {
    if !support::namespaces() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    let held: Vec<Held> = (0..2).map(|_| service.connect(Ipv4Addr::LOCALHOST)).collect();
    let port = service.port;
    let step_ = format!("wait_idle = {{ port = {port}, connections = 2, quiet = \"0s\", minimum = \"900ms\" }}");
    let (ended, _) = start(&config(&dir, &step_, ""), &[]).stop_within(GRACE);
    let (took, outcome, _) = step(&dir, &ended.all());
    assert_eq!(outcome, "done");
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(6), "{took:?}");
    drop(held);
}

/// The connections of sidecars, of the node, and of softstop's own probes.
#[test]
fn peers_that_do_not_count_do_not_hold_it_up() {
    if !support::namespaces() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    let held: Vec<Held> = (2..5).map(|n| service.connect_from(Ipv4Addr::new(127, 0, 0, n))).collect();
    let ignored = service.connect_from(Ipv4Addr::new(127, 0, 9, 1));
    let step_ = format!(
        "wait_idle = {{ port = {}, quiet = \"200ms\", ignore = [\"127.0.0.3/32\", \"127.0.0.4\", \"127.0.9.0/24\"] }}",
        service.port
    );
    let mut running = start(&config(&dir, &step_, ""), &[]);
    running.term().wait_for("drain: finish: 1 connection, ");
    drop(held);
    let ended = running.wait(GRACE);
    ended.expect("drain: finish: done").expect_not("2 connections");
    drop(ignored);
}

#[test]
fn softstop_s_own_probes_do_not_count() {
    if !support::namespaces() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    service.answer_probes();
    let probe =
        |host: &str| format!("tcp_socket = {{ host = \"{host}\", port = {} }}\nperiod = \"20ms\"\n", service.port);
    let probes = format!("[process.readiness]\n{}[process.startup]\n{}", probe("127.0.0.1"), probe("::1"));
    let file = config(&dir, &format!("wait_idle = {{ port = {}, quiet = \"2s\" }}", service.port), &probes);
    let mut running = start(&file, &[]);
    running.wait_for("web: ready");
    let (ended, _) = running.stop_within(GRACE);
    let (took, outcome, _) = step(&dir, &ended.all());
    assert_eq!(outcome, "done", "{}", ended.all());
    ended.expect_not("new since the beginning");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

/// Who is cut says what was left.
#[test]
fn what_is_left_when_it_is_cut_is_named() {
    if !support::namespaces() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    let held: Vec<Held> = (0..7).map(|_| service.connect(Ipv4Addr::LOCALHOST)).collect();
    let step_ = format!("wait_idle = {{ port = {} }}\ntimeout = \"600ms\"", service.port);
    let (ended, _) = start(&config(&dir, &step_, ""), &[]).stop_within(GRACE);
    let (took, outcome, reason) = step(&dir, &ended.all());
    assert_eq!(outcome, "timed_out");
    assert!(took >= Duration::from_millis(600) && took < Duration::from_secs(4), "{took:?}");
    assert!(reason.starts_with("7 connections: 127.0.0.1:") && reason.ends_with(" and 2 more"), "{reason}");
    assert_eq!(held.iter().filter(|h| reason.contains(&h.name())).count(), 5, "{reason}");
    account::line(&ended.all(), &["warning", "drain: finish: timed out", &reason]);
}

/// The dump is taken in pieces: a table of thousands delays neither probes nor the end.
#[test]
fn thousands_of_connections_hold_up_nothing_else() {
    if !support::namespaces() {
        return;
    }
    const MANY: usize = 4000;
    let (dir, service) = (Dir::new(), Service::new());
    let held: Vec<Held> =
        (0..MANY).map(|n| service.connect_from(Ipv4Addr::new(127, 0, 1, (n % 100) as u8 + 1))).collect();
    let http = support::http::free_port();
    let step_ = format!("wait_idle = {{ port = {} }}\ntimeout = \"3s\"", service.port);
    let file = config(&dir, &step_, "");
    let text = std::fs::read_to_string(&file).unwrap() + &format!("[http]\nlisten = \"127.0.0.1:{http}\"\n");
    let mut running = start(&dir.write("softstop.toml", &text), &[]);
    running.term().wait_for(&format!("drain: finish: {MANY} connections, "));
    let mut answers: Vec<Duration> = Vec::new();
    // What softstop or this thread waited for a processor is the machine's.
    let starved = |r: &Running| starvation::of(r.pid()) + starvation::own();
    while !running.printed().contains("finish: timed out") {
        let (asked, before) = (Instant::now(), starved(&running));
        if support::http::status_of(http, "/livez") == Some(200) {
            answers.push(asked.elapsed().saturating_sub(starved(&running).saturating_sub(before)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = running.wait(GRACE);
    let (took, _, reason) = step(&dir, &ended.all());
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert!(reason.starts_with(&format!("{MANY} connections: ")), "{reason}");
    answers.sort();
    let median = answers[answers.len() / 2];
    assert!(answers.len() > 5 && median < Duration::from_millis(100), "{} answers, {median:?}", answers.len());
    drop(held);
}

/// While connections cannot be seen clients may come and go: the quiet window is one in which they could be.
#[test]
fn after_a_time_without_sight_the_quiet_window_begins_anew() {
    if !faults::possible() {
        return;
    }
    let (dir, service) = (Dir::new(), Service::new());
    let quiet = Duration::from_millis(1500);
    let held = service.connect(Ipv4Addr::LOCALHOST);
    let step_ = format!("wait_idle = {{ port = {}, quiet = \"1500ms\" }}\ntimeout = \"35s\"", service.port);
    let mut running = Launch::new(["run", "-c", &config(&dir, &step_, "")]).not_pid1().start();
    running.wait_for("up").term().wait_for("1 connection");
    let began = Instant::now();
    faults::limit(&running, "nofile", 3);
    drop(held);
    running
        .wait_until("more than the quiet window has passed", |_| began.elapsed() > quiet + Duration::from_millis(500));
    assert_eq!(running.code(), None);
    let again = Instant::now();
    faults::limit(&running, "nofile", 256);
    let ended = running.wait(SOON);
    // Its last look without sight may have been a little before.
    assert!(again.elapsed() > quiet / 2, "{:?}: {}", again.elapsed(), ended.all());
    let (_, outcome, reason) = step(&dir, &ended.all());
    assert_eq!(outcome, "done", "{reason}: {}", ended.all());
}
