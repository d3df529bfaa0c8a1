//! `softstop probe` with real processes: what it asks, what it makes of the answer, and that its timeout holds for all of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::client::{Told, inside, softstop};
use crate::support::http::{free_port, status_of};
use crate::support::{Dir, Launch, PROMPT, Running, SOON, may_enter_namespaces, process, processes};

fn probe(args: &[&str]) -> Told {
    Told::by(&mut patient(softstop(&["probe"]), args))
}

/// The second that it takes without being told is less than a busy machine may take from whoever answers.
fn patient(mut command: Command, args: &[&str]) -> Command {
    let time: &[&str] = if args.is_empty() || args.contains(&"--timeout") { &[] } else { &["--timeout", "60s"] };
    command.args(args).args(time);
    command
}

/// As an exec probe or a `HEALTHCHECK` runs: in the container's namespaces, with the environment that the container has.
fn probe_inside(running: &Running, env: &[(&str, &str)], args: &[&str]) -> Told {
    Told::by(patient(inside(running, &[], &["probe"]), args).envs(env.iter().copied()))
}

#[track_caller]
fn well(told: &Told) {
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (Some(0), "ok\n", ""));
}

/// Exit code 1 and one line that holds `word`.
#[track_caller]
fn ill(Told { code, out, err }: &Told, word: &str) {
    assert_eq!((*code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.starts_with("softstop: error: ") && err.contains(word) && err.lines().count() == 1, "{word:?}: {err}");
}

/// Answers one request with `answer`, as it stands.
fn answers_once(answer: &'static str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        stream.write_all(answer.as_bytes()).unwrap();
    });
    port
}

#[test]
fn http_is_judged_as_the_kubelet_does() {
    for (answer, code) in [("204 No Content", 0), ("302 Found", 0), ("400 Bad Request", 1), ("503 Unavailable", 1)] {
        let whole = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nLocation: http://elsewhere.example/\r\n\r\n");
        let port = answers_once(whole.leak());
        let told = probe(&[&format!("http://127.0.0.1:{port}/healthz")]);
        if code == 0 {
            well(&told);
        } else {
            ill(&told, &format!("http://127.0.0.1:{port}/healthz: answered {}", &answer[..3]));
        }
    }
    ill(&probe(&[&format!("http://localhost:{}/", answers_once("hello\r\n\r\n"))]), "not HTTP/1.1");
}

#[test]
fn tcp_is_well_when_somebody_accepts() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    well(&probe(&[&format!("tcp:{port}")]));
    well(&probe(&[&format!("tcp://127.0.0.1:{port}")]));
    // Not the port that has just become free: it may be somebody else's by now.
    ill(&probe(&[&format!("tcp://127.0.0.1:{}", free_port())]), "connection refused");
}

#[test]
fn what_never_answers_is_given_up_at_the_timeout() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let begun = Instant::now();
    ill(&probe(&[&target, "--timeout", "300ms"]), "no answer within 300ms");
    assert!((Duration::from_millis(300)..SOON).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[test]
fn a_wrong_command_line_is_64() {
    for wrong in [&["8080"][..], &["alive"], &[], &["ready", "--timeout", "0s"], &["tcp:0"], &["https://x:y/"]] {
        let Told { code, out, err } = probe(wrong);
        assert!(code == Some(64) && out.is_empty() && err.starts_with("error: "), "{wrong:?}: {code:?} {err}");
    }
    assert!(probe(&["alive"]).err.contains("ready, live or startup"));
}

/// No port: the question goes over the control socket.
#[test]
fn softstops_own_endpoints_are_asked_without_a_port() {
    needs!(may_enter_namespaces());
    let dir = Dir::new();
    let config = format!(
        "grace = '60s'\n{}[process.readiness]\nexec = ['test', '-e', '{}']\nperiod = '50ms'\ntimeout = '20s'\n\
         failure_threshold = 1\n[[drain]]\nsleep = '30s'\n",
        process("web", PROMPT),
        dir.text("ready")
    );
    let mut running = dir.launch(&config).up();
    // Once it has been probed.
    running
        .wait_until("web's own probe has failed", |r| probe_inside(r, &[], &["ready"]).err.contains("readiness probe"));
    ill(&probe_inside(&running, &[], &["ready"]), "not ready: web: readiness probe");
    well(&probe_inside(&running, &[], &["live"]));
    well(&probe_inside(&running, &[], &["startup"]));
    dir.write("ready", "");
    running.wait_until("ready", |r| probe_inside(r, &[], &["ready"]).code == Some(0));
    running.term().wait_for("drain: ");
    ill(&probe_inside(&running, &[], &["ready"]), "not ready: stopping (SIGTERM from outside the container)");
    well(&probe_inside(&running, &[], &["live"]));
}

#[test]
fn before_the_start_is_over_startup_says_what_runs() {
    needs!(may_enter_namespaces());
    let dir = Dir::new();
    let text = "[[init]]\nname = 'migrate'\nexec = ['sleep', '1000']\n[[process]]\nname = 'web'\ncommand = ['true']\n";
    dir.launch(text).start().wait_until("it says what runs", |r| {
        probe_inside(r, &[], &["startup"]).err.contains("not started: init: migrate is running")
    });
}

/// The variables that the container was started with are the probe's, too.
#[test]
fn without_a_control_socket_the_probe_port_is_asked() {
    needs!(may_enter_namespaces());
    let listen = format!("0.0.0.0:{}", free_port());
    let env = [("SOFTSTOP_CONTROL", "off"), ("SOFTSTOP_HTTP", listen.as_str())];
    let launch = Launch::child(&[], PROMPT);
    let running = env.iter().fold(launch, |l, (name, value)| l.env(name, value)).up();
    well(&probe_inside(&running, &env, &["ready"]));
    ill(&probe_inside(&running, &env[..1], &["ready"]), "the control socket is off");
    let port = listen.rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(status_of(port, "/readyz"), Some(200));
    running.stop();
    ill(&probe(&["ready", "--http", &listen, "--control", "@softstop-test-nobody"]), "connection refused");
}

#[test]
fn a_softstop_that_does_not_answer_is_given_up_at_the_timeout() {
    needs!(may_enter_namespaces());
    let running = Launch::child(&[], PROMPT).up();
    processes::send(running.pid(), libc::SIGSTOP);
    let begun = Instant::now();
    ill(&probe_inside(&running, &[], &["live", "--timeout", "500ms"]), "does not answer for 0.");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // Whoever has more time is answered, though it asked before softstop could run again.
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let pid = running.pid();
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            processes::send(pid, libc::SIGCONT);
        });
        well(&probe_inside(&running, &[], &["live", "--timeout", "60s"]));
    });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // SIGTERM while nobody is there any more to ask.
    running.stop().expect_code(0);
}

#[test]
fn nobody_there_is_a_failure() {
    ill(&probe(&["ready", "--control", "/no/such/socket"]), "nobody is there");
    ill(&probe(&["tcp://nobody.invalid:80", "--timeout", "10s"]), "nobody.invalid");
}
