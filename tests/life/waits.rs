//! `wait_http`, `wait_file`, `wait_process` and signals by command, with real servers, files and processes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::client::exec;
use crate::support::fuse::with_hanging_file_system;
use crate::support::http::{free_port, status_json};
use crate::support::{CHILD, Dir, PROMPT, Running, SOON, account, copy_program, namespaces, process, processes};

const GRACE: Duration = Duration::from_secs(20);

/// `web` ends of SIGTERM at once; `rest` follows.
fn start(dir: &Dir, rest: &str) -> Running {
    let (report, web) = (dir.text(account::REPORT), process("web", PROMPT));
    dir.launch(&format!("grace = \"20s\"\nreport = {report:?}\n{web}{rest}\n")).start()
}

/// Answers everything with what it is told to, status line and body.
struct Server {
    port: u16,
    answer: Arc<Mutex<(u16, String)>>,
}

impl Server {
    fn new(status: u16, body: &str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new((status, body.to_owned())));
        let shared = Arc::clone(&answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.read(&mut [0; 4096]);
                let (status, body) = shared.lock().unwrap().clone();
                let head =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            }
        });
        Server { port, answer }
    }

    fn say(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }
}

#[test]
fn an_answer_is_waited_for_by_status_json_and_metric() {
    needs!(namespaces());
    let dir = Dir::new();
    let metric = |n: u32| format!("# TYPE jobs gauge\njobs{{queue=\"a\"}} {n}\njobs{{queue=\"b\"}} 7\n");
    let (status, json, metrics) = (Server::new(503, "busy"), Server::new(200, "{}"), Server::new(200, &metric(3)));
    let mut running = start(
        &dir,
        &format!(
            "[[drain]]\nname = \"one\"\nwait_http = {{ port = {}, status = \"2xx\" }}\n\
             [[drain]]\nname = \"two\"\nwait_http = {{ port = {}, path = \"/x\", json = {{ pointer = \"/in/flight\", at_most = 0 }} }}\n\
             [[drain]]\nname = \"three\"\nwait_http = {{ port = {}, metric = {{ name = \"jobs\", labels = {{ queue = \"a\" }}, at_most = 0 }} }}\n",
            status.port, json.port, metrics.port
        ),
    );
    running.wait_for("up").term().wait_for("drain: one: answers 503, not 200 to 299, ");
    status.say(204, "");
    running.wait_for("drain: one: done").wait_for("drain: two: there is no /in/flight, ");
    json.say(200, "{\"in\":{\"flight\":2}}");
    running.wait_for("drain: two: /in/flight is 2, ");
    json.say(200, "{\"in\":{\"flight\":0}}");
    running.wait_for("drain: three: jobs is 3, ");
    metrics.say(200, &metric(0));
    running.wait(SOON).expect_code(0).expect("drain: three: done").expect_no_warning();
}

/// It begins before there is a server, and a body without end is not read to it.
#[test]
fn a_server_may_come_late_and_say_too_much() {
    needs!(namespaces());
    let dir = Dir::new();
    let port = free_port();
    let big = Server::new(200, &"x".repeat(300 * 1024));
    let init = format!(
        "[[init]]\nname = \"server\"\nwait_http = {{ port = {port} }}\n\
         [[drain]]\nname = \"big\"\nwait_http = {{ port = {}, json = {{ pointer = \"\", equals = 0 }} }}\ntimeout = \"2500ms\"\n\
         [[drain]]\nname = \"nobody\"\nwait_http = {{ host = \"no-such-host.invalid\", port = 1 }}\ntimeout = \"2500ms\"\n",
        big.port
    );
    let mut running = start(&dir, &init);
    running.wait_for("init: server: connection refused, ");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    });
    running.wait_for("up");
    let (ended, _) = running.stop_within(GRACE);
    ended.expect("drain: big: timed out (last: answered with more than 262144 bytes)");
    ended.expect("drain: nobody: the host's name cannot be resolved: ");
    ended.expect("drain: nobody: timed out (last: ");
}

#[test]
fn a_file_is_waited_for_until_it_is_there_has_a_text_and_is_gone() {
    needs!(namespaces());
    let dir = Dir::new();
    let path = dir.text("done");
    let mut running = start(
        &dir,
        &format!(
            "[[init]]\nname = \"there\"\nwait_file = {{ path = {path:?} }}\n\
             [[drain]]\nname = \"text\"\nwait_file = {{ path = {path:?}, contains = \"--all done\" }}\n\
             [[post_stop]]\nname = \"gone\"\nwait_file = {{ path = {path:?}, exists = false }}\n"
        ),
    );
    running.wait_for(&format!("init: there: {path} is not there, "));
    dir.write("done", "not yet");
    running.wait_for("up").term().wait_for(&format!("drain: text: {path} is there, without \"--all done\" in it, "));
    dir.write("done", "it is --all done now");
    running.wait_for("drain: text: done").wait_for(&format!("post_stop: gone: {path} is still there, "));
    std::fs::remove_file(&path).unwrap();
    running.wait(SOON).expect_code(0).expect("post_stop: gone: done").expect_no_warning();
}

/// The one who looks hangs, nobody else; it is given up at the limit, and the end is not held up by it.
#[test]
fn a_file_system_that_hangs_holds_up_nobody() {
    needs!(namespaces());
    with_hanging_file_system(|hanging| {
        let dir = Dir::new();
        let path = hanging.file();
        let step = format!("[[drain]]\nname = \"look\"\nwait_file = {{ path = {path:?} }}\ntimeout = \"3500ms\"\n");
        let mut running = start(&dir, &step);
        running.wait_for("up");
        let (asked, before) = (Instant::now(), running.delayed());
        running.term().wait_for("drain: look: ").wait_for("its file system does not answer, ");
        assert!(hanging.asked() > 0);
        running.wait_for("web: stopped");
        running.wait_for("stopped in ");
        let took = asked.elapsed();
        let delayed = running.delayed_since(before);
        assert!(took < Duration::from_secs(10) + delayed, "{took:?}\n{}", running.printed());
        running.wait_until("the report is there", |_| !dir.read(account::REPORT).is_empty());
        let report = account::report(&dir, &running.printed());
        assert_eq!(report["steps"][0]["outcome"], "timed_out", "{report:#}");
        assert_eq!(report["within_grace"], true, "{report:#}");
        // The kernel keeps the namespace until the process that looks wakes up.
        hanging.release();
        running.wait(SOON).expect_code(0).expect_not("SIGKILL to everything");
    });
}

#[test]
fn a_process_of_the_configuration_is_waited_for() {
    needs!(namespaces());
    let dir = Dir::new();
    let rest = format!(
        "main = true\n{}\
         [[process.post_start]]\nwait_process = {{ name = \"web\", until = \"ready\" }}\n\
         [[drain]]\nname = \"tell\"\nsignal = {{ process = \"worker\", signal = \"SIGUSR1\" }}\n\
         [[drain]]\nname = \"jobs\"\nwait_process = {{ name = \"worker\" }}\n\
         [[drain]]\nname = \"never\"\nwait_process = {{ name = \"web\" }}\ntimeout = \"300ms\"\n",
        process("worker", &["exit-on:USR1:0:2500", "say:working", "wait"])
    );
    let mut running = start(&dir, &rest);
    running.wait_for("worker: ready").wait_for("working");
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0).expect("drain: jobs: worker is still running, ").expect("drain: jobs: done");
    ended.expect("drain: never: timed out (last: web is still running)");
    let report = account::report(&dir, &ended.all());
    let took = report["steps"][1]["took_seconds"].as_f64().unwrap();
    assert!((0.3..10.0).contains(&took), "{took}");
}

/// A program of a name of its own, with a worker of the same name below it; not a child of softstop, but in its PID namespace.
fn stranger(dir: &Dir, running: &Running, name: &str, words: &[&str]) -> std::process::Child {
    let program = dir.path(name);
    copy_program("/usr/bin/perl", &program);
    let mut command = Command::new("nsenter");
    command.args(["--target", &running.pid().to_string(), "--pid", "--mount"]).arg(&program).arg(CHILD).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// As in a pod with a shared PID namespace: the process is not softstop's, its workers are not told, pid 1 is not it.
#[test]
fn a_command_is_found_signalled_and_waited_for() {
    needs!(namespaces());
    let dir = Dir::new();
    // The kernel keeps 15 bytes of the name.
    let name = "server-of-others";
    let rest = format!(
        "[[process.post_start]]\nname = \"up\"\nwait_process = {{ command = \"{name}\", until = \"running\" }}\n\
         [[drain]]\nname = \"quit\"\nsignal = {{ command = \"{name}\", signal = \"SIGQUIT\" }}\n\
         [[drain]]\nname = \"over\"\nwait_process = {{ command = \"{name}\" }}\n\
         [[drain]]\nname = \"none\"\nsignal = {{ command = \"{name}\", signal = \"SIGQUIT\" }}\n\
         [[drain]]\nname = \"itself\"\nsignal = {{ command = \"softstop\", signal = \"SIGINT\" }}\n"
    );
    let mut running = start(&dir, &rest);
    running.wait_for(&format!("web: post_start: up: {name} is not running, "));
    let journal = dir.text("journal");
    let worker = format!("journal-on:QUIT:{journal}:worker");
    let master = format!("journal-on:QUIT:{journal}:master");
    let ready = format!("journal:{journal}:ready");
    let words = ["fork", &worker, "ready", "wait", "end", &master, &ready, "wait"];
    let mut other = stranger(&dir, &running, name, &words);
    running.wait_until("it has begun", |_| dir.lines("journal") == ["ready"]);
    running.wait_for("web: ready").term().wait_for("drain: quit: SIGQUIT sent to server-of-others (pid ");
    // The worker has not been told, and is still of that name.
    running.wait_for("drain: over: server-of-others is still running (pid ");
    other.wait().unwrap();
    assert_eq!(dir.lines("journal"), ["ready", "master"]);
    let left = running.processes().into_iter().find(|p| p.name == name[..15]).unwrap();
    processes::send(left.pid, libc::SIGKILL);
    let ended = running.wait(SOON);
    ended
        .expect_code(0)
        .expect("drain: over: done")
        .expect("drain: none: failed: no process server-of-others is running");
    ended.expect("drain: itself: failed: no process softstop is running");
}

/// Who asks sees what is waited for; who does not let it go on is not asked for more than one line a second.
#[test]
fn status_shows_what_is_waited_for() {
    needs!(namespaces());
    let dir = Dir::new();
    let (file, other) = (dir.text("done"), dir.text("other"));
    let rest = format!(
        "[[drain]]\nname = \"file\"\nwait_file = {{ path = {file:?} }}\n\
         [[drain]]\nparallel = [ {{ name = \"a\", wait_file = {{ path = {file:?}, exists = false }} }}, \
         {{ name = \"b\", wait_file = {{ path = {other:?} }} }} ]\n"
    );
    let http = free_port();
    let mut running = start(&dir, &format!("{rest}[http]\nlisten = \"127.0.0.1:{http}\"\n"));
    running.wait_for("up").term().wait_for("is not there, ");
    let stop = status_json(http)["stop"].clone();
    assert_eq!(stop["progress"], format!("{file} is not there"), "{stop:#}");
    exec(&running, &["status"]).expect(0, &format!("drain (file: {file} is not there), "));
    dir.write("done", "");
    running.wait_for("is still there, ");
    running.wait_until("both are shown", |_| {
        let progress = status_json(http)["stop"]["progress"].clone();
        progress == format!("a: {file} is still there; b: {other} is not there")
    });
    std::fs::remove_file(&file).unwrap();
    dir.write("other", "");
    running.wait(SOON).expect_code(0);
}
