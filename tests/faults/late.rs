//! softstop is late: stopped alone, or with everything else. What had happened before counts as before, whatever its source; what was to
//! be done comes later, and comes (I13).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::cgroup::{Cgroup, Kind};
use crate::support::proof::attach;
use crate::support::{Dir, Launch, PROMPT, Running, SOON, account, at_once, namespaces, process, processes};

/// Two seconds are the probe's: the server answers after a third of one, and each of these is three.
const PAUSE: Duration = Duration::from_secs(3);

/// Takes `answered` to answer each request; says when one has come.
fn server(answered: Duration) -> (u16, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (came, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let came = came.clone();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = came.send(());
                std::thread::sleep(answered);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            });
        }
    });
    (port, requests)
}

/// softstop alone does not get to run. Gives back when that is over at the earliest.
fn pause(running: &Running, length: Duration) -> Instant {
    processes::send(running.pid(), libc::SIGSTOP);
    // The pause itself is the subject: its length is not a wait for something.
    std::thread::sleep(length);
    let over = Instant::now();
    processes::send(running.pid(), libc::SIGCONT);
    over
}

#[test]
fn an_answer_that_came_while_softstop_was_paused_is_in_time() {
    needs!(namespaces());
    let (port, requests) = server(Duration::from_millis(300));
    let dir = Dir::new();
    let config = format!(
        "{}[process.liveness]\nhttp_get = {{ port = {port} }}\nperiod = \"500ms\"\ntimeout = \"2s\"\nfailure_threshold = 1\n",
        process("web", PROMPT)
    );
    let running = dir.launch(&config).up();
    while requests.try_recv().is_ok() {}
    // Just asked: the answer comes while softstop is stopped, and its time is over when it goes on.
    requests.recv_timeout(SOON).unwrap();
    pause(&running, PAUSE);
    // It goes on to ask.
    while requests.try_recv().is_ok() {}
    requests.recv_timeout(SOON).unwrap();
    let ended = running.stop();
    ended.expect_code(0).expect_not("probe failed").expect_not("started again");
}

/// Whoever gives an order while softstop is paused has given it before what became due meanwhile.
#[test]
fn a_stop_ordered_while_softstop_was_paused_comes_before_the_restart_that_was_due() {
    let dir = Dir::new();
    let socket = dir.text("socket");
    let config = format!(
        "[control]\nsocket = \"{socket}\"\n[[process]]\nname = \"fails\"\ncommand = [\"false\"]\nrestart = \"always\"\n\
         backoff = {{ initial = \"2500ms\" }}\n[[process]]\nname = \"web\"\ncommand = [\"sleep\", \"1000\"]\n"
    );
    let mut running = dir.launch(&config).not_pid1().start();
    running.wait_for("fails: restart 1 in");
    processes::send(running.pid(), libc::SIGSTOP);
    // By hand: it has been sent when this returns, which nobody can say of a client that was only started.
    let mut client = UnixStream::connect(&socket).unwrap();
    client.write_all(b"{\"version\":1,\"order\":\"stop\"}\n").unwrap();
    std::thread::sleep(PAUSE);
    processes::send(running.pid(), libc::SIGCONT);
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    assert!(answer.contains("\"done\":"), "{answer}");
    let ended = running.wait(SOON);
    ended.expect_not("fails: started again");
}

/// Everything is stopped together: who was asked has not had its time either.
#[test]
fn a_probe_whose_server_was_paused_too_has_the_rest_of_its_time() {
    needs!(namespaces());
    at_once([Kind::Freezer, Kind::Freeze], |kind| {
        let Some(freezer) = Cgroup::new(kind) else { return };
        let dir = Dir::new();
        let probe = dir.script("probe", &format!("touch '{}'; sleep 0.4", dir.text("asked")));
        let config = format!(
            "{}[process.liveness]\nexec = [{probe:?}]\nperiod = \"500ms\"\ntimeout = \"2s\"\nfailure_threshold = 1\n",
            process("web", PROMPT)
        );
        let mut running = dir.launch(&config).up();
        running.processes().iter().for_each(|p| freezer.add(p.pid));
        let _ = std::fs::remove_file(dir.path("asked"));
        running.wait_until("a probe", |_| dir.path("asked").exists());
        freezer.freeze();
        std::thread::sleep(PAUSE);
        freezer.thaw();
        let _ = std::fs::remove_file(dir.path("asked"));
        running.wait_until("another probe", |_| dir.path("asked").exists());
        running.stop().expect_code(0).expect_not("probe failed").expect_not("started again");
    });
}

#[test]
fn a_tree_paused_in_its_ladder_gets_every_signal_of_it_and_time_after_each() {
    needs!(namespaces());
    at_once([Kind::Freezer, Kind::Freeze], |kind| {
        let Some(freezer) = Cgroup::new(kind) else { return };
        let dir = Dir::new();
        let config = format!(
            "grace = \"20s\"\nreport = {:?}\n{}\
             stop = [{{ signal = \"SIGQUIT\", wait = \"1s\" }}, {{ signal = \"SIGTERM\", wait = \"8s\" }}]\n",
            dir.text(account::REPORT),
            process("web", &["on:QUIT", "exit-on:TERM:0:300", "say:up", "wait"])
        );
        let mut running = dir.launch(&config).up();
        running.processes().iter().for_each(|p| freezer.add(p.pid));
        let asked = Instant::now();
        running.term().wait_for("QUIT received");
        freezer.freeze();
        std::thread::sleep(Duration::from_millis(2500));
        freezer.thaw();
        let ended = running.wait(SOON);
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}:\n{}", asked.elapsed(), ended.all());
        ended.expect_code(0).expect_not("sending SIGKILL");
        assert!(ended.stdout.contains("TERM handled"), "{}", ended.all());
        let report = account::report(&dir, &ended.all());
        assert!(account::forced(&report).is_empty(), "{report:#}");
    });
}

/// Writing the summary takes longer than softstop may lose without a word: that word does not follow it.
#[test]
fn a_softstop_that_is_late_with_its_summary_ends_its_log_with_it() {
    needs!(namespaces());
    let words = ["say:up", "until:USR1", "exit:3"];
    let mut running = Launch::child(&["--grace", "30s"], &words).start();
    running.wait_for("waiting for USR1");
    // The first is that the program has ended, the second the summary.
    let slow = ["-e", "inject=write:delay_exit=400000:when=2+"];
    let Some(mut strace) = attach(&mut running, &slow) else { return };
    running.signal(libc::SIGUSR1);
    let ended = running.wait(SOON);
    strace.wait().unwrap();
    let last = ended.expect_code(3).stderr.lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("stopped in"), "{}", ended.all());
}

/// A process that asks for a second after SIGTERM has it, whatever the pause has cost, where the budget has room; and SIGKILL comes last.
#[test]
fn who_ignores_the_ladder_is_killed_after_all_of_it_however_late() {
    needs!(namespaces());
    let dir = Dir::new();
    let config = format!(
        "grace = \"12s\"\nreport = {:?}\n[exit_codes]\nforced = 79\n{}\
         stop = [{{ signal = \"SIGQUIT\", wait = \"2500ms\" }}, {{ signal = \"SIGTERM\", wait = \"1s\" }}]\n",
        dir.text(account::REPORT),
        process("web", &["on:QUIT", "on:TERM", "say:up", "wait"])
    );
    let mut running = dir.launch(&config).up();
    // The pause begins in the first wait, however late this thread is, and ends after it.
    running.term().wait_for("QUIT received");
    let resumed = pause(&running, PAUSE);
    running.wait_for("TERM received");
    let ended = running.wait(SOON);
    assert!(resumed.elapsed() >= Duration::from_millis(900), "{:?}:\n{}", resumed.elapsed(), ended.all());
    ended.expect_code(79);
    assert!(ended.all().contains("sending SIGKILL"), "{}", ended.all());
}
