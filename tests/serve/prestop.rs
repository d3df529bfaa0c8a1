//! `GET /prestop` of the real binary as PID 1: a kubelet's httpGet hook, who else is let in, SIGTERM in the middle of it, clients that
//! go, crowd and stay, and that the answer is out before the end.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::http::{Response, free_port, read_all, read_one, send, status_json, status_of};
use crate::support::{Dir, PROMPT, Running, SOON, namespaces, process};

const GRACE: Duration = Duration::from_secs(30);
const TOKEN: &str = "0123456789abcdef-token";
/// Let in by address, as a kubelet is.
const LOCAL: &str = "from = '127.0.0.1'";

/// A request that is under way.
struct Asking(TcpStream);

impl Asking {
    /// Byte for byte as a kubelet 1.36 was seen to ask (reference/kubernetes-observed.md), with `more` header lines.
    fn kubelet(port: u16, more: &str) -> Asking {
        let head = format!("Host: 127.0.0.1:{port}\r\nUser-Agent: kube-lifecycle/1.36\r\nAccept: */*\r\n{more}");
        Asking::send(port, &format!("GET /prestop HTTP/1.1\r\n{head}Accept-Encoding: gzip\r\n\r\n"))
    }

    fn send(port: u16, request: &str) -> Asking {
        Asking(send(port, request).unwrap())
    }

    /// The connection stays, as a kubelet's does. `None`: closed without an answer.
    fn answer(&mut self) -> Option<Response> {
        read_one(&mut self.0).ok()
    }

    #[track_caller]
    fn expect(&mut self, status: u16, words: &str) -> Response {
        let answer = self.answer().expect("an answer");
        assert!(answer.status == status && answer.body.contains(words), "{words:?}: {answer:?}");
        assert_eq!(answer.body.matches('\n').count(), 1, "one line: {answer:?}");
        answer
    }
}

struct Pod {
    running: Running,
    port: u16,
    dir: Dir,
}

/// One process that says what it is told, behind the given guard, with the given steps.
fn pod_with(guard: &str, steps: &str, words: &[&str]) -> Pod {
    let (dir, port) = (Dir::new(), free_port());
    let prestop = if guard.is_empty() { String::new() } else { format!("[http.prestop]\n{guard}\n") };
    let steps = steps.replace("DIR", dir.path("").to_str().unwrap());
    let process = process("web", words);
    let config = format!("grace = '30s'\n[http]\nlisten = '127.0.0.1:{port}'\n{prestop}{steps}\n{process}");
    let mut running = dir.launch(&config).up();
    running.wait_until("served", |_| status_of(port, "/readyz") == Some(200));
    Pod { running, port, dir }
}

fn sleep(time: &str) -> String {
    format!("[[drain]]\nsleep = '{time}'\n")
}

/// SIGTERM comes as soon as the hook has its answer; the connection stays open all the time.
#[test]
fn a_kubelets_hook_is_answered_when_drained_and_the_process_lives_until_sigterm() {
    needs!(namespaces());
    let Pod { mut running, port, .. } = pod_with(LOCAL, &sleep("700ms"), PROMPT);
    let asked = Instant::now();
    let mut hook = Asking::kubelet(port, "");
    running.wait_for("stopping: GET /prestop by a kubelet at 127.0.0.1");
    assert_eq!((status_of(port, "/readyz"), status_of(port, "/livez")), (Some(503), Some(200)));
    hook.expect(200, "drained in");
    assert!(asked.elapsed() >= Duration::from_millis(700), "{:?}", asked.elapsed());
    // A hook may be run twice.
    let mut again = Asking::kubelet(port, "");
    again.expect(200, "drained in");
    assert!(!running.printed().contains("TERM received"), "{}", running.printed());
    let (ended, took) = running.stop_within(GRACE);
    assert!(took < GRACE / 2, "an idle client held up the exit: {took:?}\n{}", ended.all());
    ended.expect_code(0).expect("TERM received").expect("stopping the processes").expect_not("SIGKILL:");
}

/// The kubelet's timer has run out: two seconds are left, whatever the budget was.
#[test]
fn sigterm_during_the_hook_leaves_two_seconds_to_what_is_essential_first() {
    needs!(namespaces());
    let steps = "[[drain]]\nsleep = '40s'\nreserve = '2s'\n\
                 [[drain]]\nname = 'not needed'\nexec = ['sleep', '30']\nreserve = '1s'\n\
                 [[drain]]\nname = 'flush'\nexec = ['sh', '-c', 'echo flushed >>\"DIR/flushed\"']\n\
                 reserve = '1s'\nessential = true\n";
    let Pod { mut running, port, dir } = pod_with(LOCAL, steps, &["on:TERM", "say:up", "wait"]);
    let mut hook = Asking::kubelet(port, "");
    running.wait_for("drain: sleep 40s");
    let asked = running.age();
    running.term();
    let said = hook.expect(500, "not all of it was done");
    let ended = running.wait(SOON);
    ended.expect_in_time(asked, Duration::from_secs(2), "");
    ended.expect_code(137).expect("2s are left").expect_not("not needed: done");
    assert!(said.body.contains("sleep 40s"), "{said:?}");
    // On a busy machine a shell may not get to run in the second that it has.
    if ended.all().contains("flush: done") {
        assert!(!said.body.contains("flush"), "{said:?}");
        assert_eq!(dir.read("flushed"), "flushed\n");
        ended.expect("TERM received");
    } else {
        assert!(said.body.contains("flush"), "{said:?}");
    }
}

#[test]
fn a_client_that_goes_away_stops_nothing_and_is_no_hook_any_more() {
    needs!(namespaces());
    let Pod { mut running, port, .. } = pod_with(LOCAL, &sleep("4s"), PROMPT);
    let asked = Instant::now();
    let hook = Asking::kubelet(port, "");
    running.wait_for("drain: sleep 4s");
    // Not only closed: a process that another test forks at that moment has a copy of it.
    hook.0.shutdown(std::net::Shutdown::Both).unwrap();
    // Once one that came and went after it has been seen to go, it has been, too: SIGTERM is then one like any other.
    let mut second = Asking::kubelet(port, "");
    second.0.shutdown(std::net::Shutdown::Write).unwrap();
    second.expect(202, "not waited for");
    running.term().wait_for("the processes stop when the drain is over");
    let ended = running.wait(GRACE);
    assert!(asked.elapsed() >= Duration::from_secs(4), "the drain was cut:\n{}", ended.all());
    ended.expect_code(0).expect_not("2s are left").expect("sleep 4s: done");
}

/// The answer is written before PID 1 goes, also when the drain's end is the end of everything.
#[test]
fn the_answer_is_out_before_the_end() {
    needs!(namespaces());
    // The process ends in the drain, of itself: then nothing is left to wait for.
    let steps = "[[drain]]\nname = 'leave'\nsignal = { process = 'web', signal = 'USR1' }\n[[drain]]\nsleep = '5s'\n";
    for round in 0..5 {
        let Pod { running, port, .. } = pod_with(LOCAL, steps, &["exit-on:USR1:0", "say:up", "wait"]);
        let mut hook = Asking::kubelet(port, "");
        let answer = hook.answer().unwrap_or_else(|| panic!("round {round}: no answer:\n{}", running.printed()));
        assert!(answer.status == 200 || answer.body.contains("no process is left"), "{answer:?}");
        assert!(answer.headers.contains("connection: close"), "{answer:?}");
        running.wait(GRACE).expect_code(0);
    }
    // And when SIGTERM came before it.
    let Pod { mut running, port, .. } = pod_with(LOCAL, &sleep("3s"), PROMPT);
    running.term().wait_for("drain: sleep 3s");
    Asking::kubelet(port, "").expect(200, "drained in");
    running.wait(GRACE).expect_code(0);
}

#[test]
fn nobody_is_let_in_without_the_guards_leave() {
    needs!(namespaces());
    // Off unless enabled.
    let Pod { running, port, .. } = pod_with("", "", PROMPT);
    Asking::kubelet(port, "").expect(404, "not found");
    running.stop_within(GRACE).0.expect_code(0).expect("SIGTERM from outside");

    let guard = format!("token = '{TOKEN}'");
    let Pod { running, port, .. } = pod_with(&guard, "", PROMPT);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    Asking::kubelet(port, "").expect(403, "forbidden");
    Asking::kubelet(port, &bearer("0123456789abcdef-tokem")).expect(403, "forbidden");
    let probe = format!("GET /prestop HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.36\r\n{}\r\n", bearer(TOKEN));
    Asking::send(port, &probe).expect(403, "forbidden");
    let head = format!("HEAD /prestop HTTP/1.1\r\nHost: x\r\n{}Connection: close\r\n\r\n", bearer(TOKEN));
    let answer = read_all(Asking::send(port, &head).0).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(status_of(port, "/readyz"), Some(200), "somebody was let in");
    // Who has the token need not be a kubelet.
    Asking::send(port, &format!("GET /prestop HTTP/1.1\r\nHost: x\r\n{}\r\n", bearer(TOKEN))).expect(200, "");
    let status = status_json(port).to_string();
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0).expect("stopping: GET /prestop by 127.0.0.1").expect("a client was rejected: 127.0.0.1");
    // Once in ten seconds.
    let told = ended.all().matches("rejected").count() as u64;
    assert!(told <= 1 + ended.lived.as_secs() / 10, "{}", ended.all());
    for shown in [ended.all(), status] {
        assert!(!shown.contains("-token") && !shown.contains("-tokem"), "the token is shown:\n{shown}");
    }
}

#[test]
fn another_network_and_another_program_are_rejected() {
    needs!(namespaces());
    let Pod { running, port, .. } = pod_with("from = '10.244.0.0/16'", "", PROMPT);
    Asking::kubelet(port, "").expect(403, "forbidden");
    running.stop_within(GRACE).0.expect("127.0.0.1 is in no network of `from`").expect_code(0);
    let Pod { running, port, .. } = pod_with(LOCAL, "", PROMPT);
    Asking::send(port, "GET /prestop HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\n\r\n").expect(403, "forbidden");
    running.stop_within(GRACE).0.expect("is no kubelet's hook").expect("SIGTERM from outside").expect_code(0);
}

#[test]
fn the_token_may_be_in_a_file_and_a_bad_file_starts_nothing() {
    needs!(namespaces());
    let dir = Dir::new();
    let file = dir.write("token", &format!("{TOKEN}\n"));
    let Pod { running, port, .. } = pod_with(&format!("token_file = '{file}'"), "", PROMPT);
    Asking::kubelet(port, &format!("Authorization: Bearer {TOKEN}\r\n")).expect(200, "");
    running.stop().expect_code(0);
    let start = |file: &str| {
        let config = format!(
            "[http]\nlisten = '127.0.0.1:{}'\n[http.prestop]\ntoken_file = '{file}'\n\
             [[process]]\nname = 'web'\ncommand = ['sh', '-c', 'echo started']\n",
            free_port()
        );
        dir.launch(&config).run()
    };
    let ended = start(&dir.text("nowhere"));
    ended.expect_code(78).expect("cannot be read").expect("nothing was started").expect_not("started\nstarted");
    start(&dir.write("short", "hunter2\n")).expect_code(78).expect("can be guessed").expect_not("hunter2");
}

/// Eight wait, the others are told so; probes are answered all the time; all of them are at the end.
#[test]
fn a_crowd_of_hooks_is_bounded_and_everybody_is_answered() {
    needs!(namespaces());
    let Pod { mut running, port, .. } = pod_with(LOCAL, &sleep("3s"), PROMPT);
    let mut first = Asking::kubelet(port, "");
    running.wait_for("drain: sleep 3s");
    let mut crowd: Vec<Asking> = (0..30).map(|_| Asking::kubelet(port, "")).collect();
    // More connections than there are places: those that wait keep theirs.
    let silent: Vec<TcpStream> = (0..80).filter_map(|_| TcpStream::connect(("127.0.0.1", port)).ok()).collect();
    assert_eq!(status_of(port, "/livez"), Some(200));
    first.expect(200, "drained in");
    let answers: Vec<u16> = crowd.iter_mut().filter_map(Asking::answer).map(|a| a.status).collect();
    let waited = answers.iter().filter(|status| **status == 200).count();
    assert_eq!(waited, 7, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    drop(silent);
    running.stop_within(GRACE).0.expect_code(0);
}

/// Heads in pieces, bodies that never come, a second request behind the first, a reset: the hook beside them does not notice.
#[test]
fn hostile_hooks_harm_nobody() {
    needs!(namespaces());
    let Pod { mut running, port, .. } = pod_with(LOCAL, &sleep("3s"), PROMPT);
    let agent = "Host: x\r\nUser-Agent: kube-lifecycle/1.36\r\n";
    let _half = Asking::send(port, &format!("GET /prestop HTTP/1.1\r\n{agent}"));
    let _body = Asking::send(port, &format!("GET /prestop HTTP/1.1\r\n{agent}Content-Length: 99999999999\r\n\r\nabc"));
    running.wait_for("stopping: GET /prestop");
    let twice = format!("GET /prestop HTTP/1.1\r\n{agent}\r\n").repeat(50);
    let mut pipelined = Asking::send(port, &twice);
    let mut hook = Asking::kubelet(port, "");
    assert_eq!(status_of(port, "/livez"), Some(200));
    hook.expect(200, "drained in");
    pipelined.answer().expect("the first of them");
    running.stop_within(GRACE).0.expect_code(0).expect_not("panicked").expect_not(" fault");
}

/// No step, a prompt process: the hook, and the stop after it, take milliseconds. The quickest of many, as the machine may be busy.
#[test]
fn with_nothing_to_do_hook_and_stop_take_milliseconds() {
    needs!(namespaces());
    let mut took = Vec::new();
    for _ in 0..30 {
        let Pod { running, port, .. } = pod_with(LOCAL, "", PROMPT);
        let asked = Instant::now();
        Asking::kubelet(port, "").expect(200, "nothing to drain");
        let hook = asked.elapsed();
        let (ended, stop) = running.stop_within(GRACE);
        ended.expect_code(0);
        took.push((hook, stop));
        if hook + stop < Duration::from_millis(150) {
            return;
        }
    }
    panic!("(hook, stop): {took:?}");
}
