//! Every configuration in `examples/` is one that softstop accepts, without a warning, and does what its README says.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::from_here;
use crate::support::http::{free_port, read_one, send, status_of};
use crate::support::{Dir, Ended, Launch, Running, SOON, installed, web_service};
use softstop::config::check::read;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder of examples.
pub fn folder(example: &str) -> PathBuf {
    Path::new(ROOT).join("examples").join(example)
}

/// A copy of the example's files in `dir`, with `changes` for what cannot be as it stands beside other tests: ports, paths. Each is found in
/// the files as they are, whatever another has put there.
pub fn copy(dir: &Dir, example: &str, changes: &[(&str, &str)]) -> String {
    let mark = |n: usize| format!("\0{n}\0");
    let mut unused: Vec<&str> = changes.iter().map(|(from, _)| *from).collect();
    for file in std::fs::read_dir(folder(example)).unwrap().map(|e| e.unwrap().path()) {
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (n, (from, _)) in changes.iter().enumerate() {
            unused.retain(|unused| unused != from || !text.contains(from));
            text = text.replace(from, &mark(n));
        }
        for (n, (_, to)) in changes.iter().enumerate() {
            text = text.replace(&mark(n), to);
        }
        dir.write(file.file_name().unwrap().to_str().unwrap(), &text);
    }
    assert!(unused.is_empty(), "nothing in examples/{example} has {unused:?}");
    dir.text("softstop.toml")
}

fn start(config: &str, env: &[(&str, &str)]) -> Running {
    let launch = Launch::new(["run", "-c", config]).not_pid1().current_dir(Path::new(ROOT));
    env.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start()
}

/// The lines of softstop's own log that begin so, in this order.
#[track_caller]
pub fn expect_in_order(ended: &Ended, lines: &[&str]) {
    let mut from = 0;
    for line in lines {
        let at = ended.stderr[from..].find(line);
        from += at.unwrap_or_else(|| panic!("{line:?} is missing or out of order:\n{}", ended.all()));
    }
}

/// An example around the web service, once it is ready; the service's port, and that of the probes.
fn web(dir: &Dir, example: &str, changes: &[(&str, &str)]) -> (Running, u16, u16) {
    let (port, probes) = (free_port(), free_port());
    let (web, own, program) = (port.to_string(), probes.to_string(), web_service());
    let places = [("target/release/examples/web", program.to_str().unwrap()), ("8080", &web), ("9180", &own)];
    let config = copy(dir, example, &[&places[..], changes].concat());
    let mut running = start(&config, &[("WEB_LISTEN", &format!("127.0.0.1:{port}"))]);
    running.wait_until("/readyz answers 200", |_| status_of(probes, "/readyz") == Some(200));
    (running, port, probes)
}

/// A request that is under way: its connection is there. The probes' own are closed by then.
fn ask_slowly(running: &mut Running, port: u16, path: &'static str) -> std::thread::JoinHandle<Option<u16>> {
    let asking = std::thread::spawn(move || status_of(port, path));
    running.wait_until("the slow request is being served", |_| {
        let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
        tcp.lines().any(|l| l.contains(&format!(":{port:04X} 0100007F")) && l.split_whitespace().nth(3) == Some("01"))
    });
    asking
}

#[test]
fn web_drains_with_a_request_under_way() {
    let dir = Dir::new();
    let (mut running, port, probes) = web(&dir, "web", &[]);
    let slow = ask_slowly(&mut running, port, "/slow?4");
    running.term();
    running.wait_until("/readyz answers 503", |_| status_of(probes, "/readyz") == Some(503));
    assert_eq!(status_of(port, "/healthz"), Some(200), "the service goes on while it drains");
    let ended = running.wait(SOON);
    assert_eq!(slow.join().unwrap(), Some(200), "{}", ended.all());
    ended.expect_code(0).expect("web: done");
    expect_in_order(
        &ended,
        &["stopping: SIGTERM", "drain: let the load balancers notice: done", "web: stopping: SIGTERM", "web: stopped"],
    );
}

#[test]
fn idle_waits_for_the_connection_and_no_longer() {
    let dir = Dir::new();
    // The probe comes often, and is known as softstop's own.
    let (mut running, port, _) = web(&dir, "idle", &[("period = \"2s\"", "period = \"200ms\"")]);
    // Longer than silence, and long enough for who looks at connections to get to run.
    let slow = ask_slowly(&mut running, port, "/slow?8");
    running.term().wait_for("finish open connections: 1 open, 1 active, ");
    let ended = running.wait(SOON);
    assert_eq!(slow.join().unwrap(), Some(200), "{}", ended.all());
    ended.expect_code(0).expect_not("timed out").expect("drain: finish open connections: done");
    expect_in_order(&ended, &["drain: finish open connections: done", "web: stopping: SIGTERM", "web: stopped"]);
}

#[test]
fn worker_finishes_its_job_or_puts_it_back() {
    let config = format!("{ROOT}/examples/worker/softstop.toml");
    // Less than the job takes, and not by a shorter grace: it would leave the hook and the worker's SIGINT some milliseconds each.
    let dir = Dir::new();
    let impatient = copy(&dir, "worker", &[("wait = \"40s\"", "wait = \"1s\"")]);
    for (config, code, said) in [(&config, 0, "job 1 done"), (&impatient, 1, "job 1 put back")] {
        let mut running = start(config, &[]);
        running.wait_for("job 1 begun").term();
        let ended = running.wait(SOON);
        ended.expect_code(code).expect(said).expect(&format!("worker ended with {code}"));
        expect_in_order(
            &ended,
            &[
                "worker: stopping: pre_stop",
                "worker: pre_stop: pause the queue: done",
                "worker: stopped",
                "say goodbye",
            ],
        );
    }
}

/// The job is a script without a trap, which SIGTERM would end at once.
#[test]
fn a_cron_job_that_is_a_plain_script_is_finished_at_the_stop() {
    let dir = Dir::new();
    let (socket, script, go) = (dir.text("control"), dir.text("cleanup.sh"), dir.path("go"));
    let until = format!("until [ -e '{}' ]; do sleep 0.1; done", go.display());
    let config = copy(&dir, "cron", &[("examples/cron/cleanup.sh", &script), ("sleep 3", &until)]);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[control]\nsocket = {socket:?}\n")).unwrap();
    let mut running = start(&config, &[]);
    running.wait_until("orders are taken", |_| Path::new(&socket).exists());
    // In its own minute it is running already.
    from_here(&["start", "--control", &socket, "cleanup"]).expect(0, "");
    running.wait_for("cleanup: begun").term().wait_for("cleanup: stopping: pre_stop");
    std::fs::write(go, "").unwrap();
    let ended = running.wait(SOON);
    ended.expect("cleanup: done").expect_code(0);
    expect_in_order(&ended, &["stopping: SIGTERM", "cleanup: stopping: pre_stop", "cleanup: ended with exit code 0"]);
}

#[test]
fn job_has_its_exit_codes() {
    let dir = Dir::new();
    let config = copy(&dir, "job", &[("/tmp/softstop-job", &dir.text("work"))]);
    let failed = start(&config, &[("JOB_FAILS", "yes")]).wait(SOON);
    failed.expect_code(3);
    expect_in_order(&failed, &["init: make the work directory: done", "job: started", "post_stop: clean up: done"]);
    let mut running = start(&config, &[]);
    running.wait_for("job: step 2").term();
    let stopped = running.wait(SOON);
    stopped.expect_code(75);
    expect_in_order(&stopped, &["stopping: SIGTERM", "job: stopping: SIGTERM", "post_stop: clean up: done"]);
    assert!(!dir.path("work").exists(), "{}", stopped.all());
}

/// Requests over one connection until an answer says that it was the last, then over the next one, until `enough`; a connection that is
/// closed without having said so is an error, whether a request was on its way or not.
fn never_closes(port: u16, enough: &AtomicBool) -> Result<usize, String> {
    let closed =
        |after: usize| move |error: std::io::Error| format!("closed without a word after {after} answers: {error}");
    let mut answers = 0;
    while !enough.load(Ordering::SeqCst) {
        let mut stream = send(port, "").map_err(closed(answers))?;
        loop {
            let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            let answer = sent.and_then(|()| read_one(&mut stream)).map_err(closed(answers))?;
            assert_eq!(answer.body, "ok\n");
            answers += 1;
            if answer.header("connection") == Some("close") {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(answers)
}

/// Nothing but an answer can make such a client go, and a server that closes by itself may cut off a request that is on its way.
#[test]
fn clients_that_never_close_are_sent_elsewhere_by_nginx_and_lose_nothing() {
    needs!(installed(&["nginx"]));
    let (dir, port) = (Dir::without_spaces(), free_port());
    let (flag, number, here) = (dir.text("draining"), port.to_string(), dir.text("."));
    // As root its workers would be somebody else, who may not look into the test's folder.
    let changes = [
        ("8080", number.as_str()),
        ("/run/draining", &flag),
        ("/app", &here),
        ("daemon off;", "daemon off;\nuser root;"),
    ];
    let config = copy(&dir, "connection-close/nginx", &changes);
    let mut running = start(&config, &[]);
    running.wait_until("nginx listens", |_| TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Whoever keeps the list of those that serve takes this one out a second after the stop has begun.
    let out = AtomicBool::new(false);
    let (stopped, results) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(|| never_closes(port, &out))).collect();
        std::thread::sleep(Duration::from_millis(300));
        running.term().wait_for("every answer the last of its connection: done");
        std::thread::sleep(Duration::from_secs(1));
        out.store(true, Ordering::SeqCst);
        let stopped = Instant::now();
        let results: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (stopped, results)
    });
    let ended = running.wait(SOON);
    let took = stopped.elapsed();
    ended.expect_code(0).expect("until the clients are elsewhere: done").expect_not("timed out");
    // One of them may have stood still for all of it.
    assert!(results.iter().all(Result::is_ok), "{results:?}\n{}", ended.all());
    assert!(results.iter().flatten().sum::<usize>() > 10, "{results:?}\n{}", ended.all());
    assert!(took < Duration::from_secs(10), "{took:?} after the last client\n{}", ended.all());
}

#[test]
fn every_example_is_accepted_as_it_stands() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = 0;
    for folder in std::fs::read_dir(examples).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        // Their configurations stand in ConfigMaps: tests/pages/pod_rules.rs reads them; those of monitoring are other programs'.
        if folder.ends_with("kubernetes") || folder.ends_with("monitoring") {
            continue;
        }
        let below = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
        let files: Vec<_> = [folder.clone()].into_iter().chain(below).map(|f| f.join("softstop.toml")).collect();
        let files: Vec<_> = files.into_iter().filter(|file| file.exists()).collect();
        assert!(!files.is_empty(), "{} has no softstop.toml", folder.display());
        assert!(folder.join("README.md").is_file(), "{} has no README.md", folder.display());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let name = file.to_str().unwrap();
            match read(&text, name, &|_| None) {
                Ok((_, warnings)) => {
                    let warnings: String = warnings.iter().map(|w| w.to_string()).collect();
                    assert!(warnings.is_empty(), "{name}: {warnings}");
                }
                Err(problems) => panic!("{problems}"),
            }
            found += 1;
        }
    }
    assert!(found >= 11, "{found} examples");
}
