//! The control socket of the real binary: who finds it, who may ask, what the orders do, and what is in its way.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::client::{Told, exec, from_here, inside, softstop};
use crate::support::http::{free_port, status_of};
use crate::support::{Dir, Launch, PROMPT, Running, SOFTSTOP, SOON, may_enter_namespaces, process, processes};

const GRACE: Duration = Duration::from_secs(30);

/// Its own address, as the test sees it: only the PID namespace's inode says whose it is.
fn own_address(running: &Running, pid: i32) -> String {
    let inode = std::fs::metadata(format!("/proc/{}/ns/pid", running.pid())).unwrap().ino();
    format!("@softstop/{inode}/{pid}")
}

fn up(flags: &[&str], words: &[&str]) -> Running {
    Launch::child(flags, words).up()
}

/// Somebody else, at an abstract address.
fn squatter(name: &str) -> UnixListener {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
}

// === orders ===

#[test]
fn status_is_a_table_or_json() {
    needs!(may_enter_namespaces());
    let running = up(&["--grace", "30s"], PROMPT);
    let table = exec(&running, &["status"]).expect(0, "NAME").out;
    assert!(table.starts_with("softstop ") && table.contains("Running, ready"), "{table}");
    assert!(table.lines().any(|l| l.starts_with("perl *") && l.contains("yes")), "{table}");
    let json = exec(&running, &["status", "--json"]).expect(0, "").out;
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&status["ready"], &status["processes"][0]["name"]), (&true.into(), &"perl".into()), "{json}");
    running.stop_within(GRACE).0.expect_code(0);
}

/// Somebody else's pipe that closes is no failure; a disk that is full is one.
#[test]
fn a_status_that_cannot_be_written_is_a_failure_unless_nobody_wants_it() {
    let dir = Dir::new();
    let socket = dir.text("sock");
    let running = Launch::child(&["--control", &socket], PROMPT).not_pid1().up();
    let code = |stdout: Stdio| {
        let script = "trap '' PIPE; exec \"$0\" status --control \"$1\"";
        Command::new("sh").args(["-c", script, SOFTSTOP, &socket]).stdout(stdout).status().unwrap().code()
    };
    assert_eq!(code(std::fs::File::options().write(true).open("/dev/full").unwrap().into()), Some(70));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(code(writer.into()), Some(0));
    running.stop_within(GRACE).0.expect_code(0);
}

/// A preStop exec hook as the kubelet runs it, SIGTERM after it.
#[test]
fn drain_returns_when_drained_and_the_process_lives_until_sigterm() {
    needs!(may_enter_namespaces());
    let running = up(&["--grace", "30s", "--drain-sleep", "700ms"], PROMPT);
    let asked = Instant::now();
    exec(&running, &["drain"]).expect(0, "drained in");
    assert!(asked.elapsed() >= Duration::from_millis(700), "{:?}", asked.elapsed());
    // A hook may be run twice.
    exec(&running, &["drain"]).expect(0, "drained in");
    exec(&running, &["ready"]).expect(1, "nothing brings readiness back");
    exec(&running, &["restart", "perl"]).expect(1, "nothing is started any more");
    exec(&running, &["status"]).expect(0, "drained");
    assert!(!running.printed().contains("TERM received"), "{}", running.printed());
    let ended = running.stop();
    ended.expect_code(0).expect("TERM received").expect("softstop drain by uid 0").expect("stopping the processes");
}

/// The kubelet's timer has run out: SIGTERM, and SIGKILL two seconds later. Nothing of the thirty seconds counts any more.
#[test]
fn sigterm_while_the_drain_is_waited_for_leaves_two_seconds() {
    needs!(may_enter_namespaces());
    let mut running = up(&["--grace", "60s", "--drain-sleep", "40s"], &["on:TERM", "say:up", "wait"]);
    let mut client = inside(&running, &[], &["drain"]);
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    running.wait_for("drain: sleep 40s");
    let asked = running.age();
    running.term();
    let told = Told::of(client.wait_with_output().unwrap());
    told.expect(1, "cut short");
    let ended = running.wait(SOON);
    ended.expect_in_time(asked, Duration::from_secs(2), "");
    ended.expect_code(137).expect("2s are left").expect("TERM received");
}

/// The client is in the PID namespace that ends with softstop, and must not be killed with it.
#[test]
fn stop_waits_for_the_end_and_is_told_of_it_before() {
    needs!(may_enter_namespaces());
    for _ in 0..10 {
        let running = up(&["--grace", "30s"], &["exit-on:TERM:5:300", "say:up", "wait"]);
        let told = exec(&running, &["stop"]);
        running.wait(GRACE).expect_code(5).expect("softstop stop by uid 0");
        // It has a quarter of a second to leave, in which a busy machine may not let it run.
        if !matches!(told.code, None | Some(137)) {
            let told = told.expect(0, "exit code 5");
            assert!(told.err.contains("stopping: SIGTERM"), "no progress was shown: {told:?}");
            return;
        }
    }
    panic!("it was killed each time");
}

#[test]
fn an_order_need_not_be_waited_for() {
    needs!(may_enter_namespaces());
    let running = up(&["--grace", "30s", "--drain-sleep", "1s"], PROMPT);
    exec(&running, &["stop", "--no-wait"]).expect(0, "stopping; SIGKILL to what is left in");
    running.wait(GRACE).expect_code(0);
}

#[test]
fn unready_takes_the_pod_out_of_service_and_ready_brings_it_back() {
    needs!(may_enter_namespaces());
    let port = free_port();
    let mut running = up(&["--grace", "30s", "--http", &port.to_string()], PROMPT);
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    exec(&running, &["unready"]).expect(0, "unready");
    assert_eq!((status_of(port, "/readyz"), status_of(port, "/livez")), (Some(503), Some(200)));
    exec(&running, &["ready"]).expect(0, "ready");
    assert_eq!(status_of(port, "/readyz"), Some(200));
    running.stop_within(GRACE).0.expect_code(0).expect("softstop unready, requested by uid 0, pid");
}

#[test]
fn one_process_of_several_is_restarted_signalled_and_started() {
    needs!(may_enter_namespaces());
    let dir = Dir::new();
    let config = format!(
        "grace = '30s'\n{}{}on_exit = 'continue'\nrestart = 'never'\n",
        process("web", &["exit-on:TERM:0", "on:USR1", "say:web up", "wait"]),
        process("job", &["say:job up"]),
    );
    let mut running = dir.launch(&config).start();
    running.wait_for("web up").wait_for("job up").wait_for("job: ended");
    exec(&running, &["signal", "web", "USR1"]).expect(0, "SIGUSR1 sent");
    running.wait_for("USR1 received");
    exec(&running, &["restart", "web"]).expect(0, "web: started (pid");
    running.wait_for_count("web up", 2);
    exec(&running, &["start", "web"]).expect(0, "running already");
    exec(&running, &["start", "job"]).expect(0, "job: started");
    running.wait_for_count("job up", 2);
    exec(&running, &["signal", "jb", "HUP"]).expect(1, "did you mean job?");
    exec(&running, &["signal", "web", "TREM"]).expect(64, "did you mean SIGTERM?");
    let (ended, _) = running.stop_within(GRACE);
    assert_eq!(ended.stdout.matches("TERM received").count(), 2, "{}", ended.all());
}

// === who may ask ===

#[test]
fn another_user_is_rejected_and_the_log_says_so_once() {
    needs!(may_enter_namespaces());
    let mut running = up(&["--grace", "30s"], PROMPT);
    for _ in 0..5 {
        let other = ["--setuid", "65534", "--setgid", "65534"];
        let told = Told::by(&mut inside(&running, &other, &["stop"]));
        told.expect(77, "not from uid 65534");
    }
    running.wait_for("a client was rejected");
    let (ended, _) = running.stop_within(GRACE);
    ended.expect_code(0).expect("SIGTERM from outside the container");
    // Once in ten seconds.
    let told = ended.all().matches("rejected").count() as u64;
    assert!(told <= 1 + ended.lived.as_secs() / 10, "{}", ended.all());
}

#[test]
fn the_user_softstop_runs_as_may_ask_and_root_may() {
    needs!(may_enter_namespaces());
    let through = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let running = Launch::child(&["--grace", "30s"], PROMPT).through(&through).up();
    let same = ["--setuid", "65534", "--setgid", "65534"];
    Told::by(&mut inside(&running, &same, &["status"])).expect(0, "Running, ready");
    exec(&running, &["status"]).expect(0, "Running, ready");
    let third = ["--setuid", "12345", "--setgid", "12345"];
    Told::by(&mut inside(&running, &third, &["status"])).expect(77, "");
    running.stop_within(GRACE).0.expect_code(0);
}

/// Everybody without a mapping in softstop's user namespace has the same uid there, softstop included.
#[test]
fn where_everybody_is_the_overflow_uid_its_own_user_alone_may_ask() {
    needs!(may_enter_namespaces());
    // Its own: abstract addresses are the whole machine's.
    let address = format!("@softstop-unmapped-{}", std::process::id());
    let flags = ["--grace", "30s", "--control", &address];
    let running = Launch::child(&flags, PROMPT).through(&["unshare", "--user"]).up();
    let to = ["--control", address.as_str()];
    let other = ["--setuid", "2000", "--setgid", "2000"];
    for order in ["status", "stop"] {
        Told::by(&mut inside(&running, &other, &[order, to[0], to[1]]))
            .expect(77, "without a mapping in this user namespace");
    }
    // Who started it is as unmapped, and is the same user.
    exec(&running, &["status", to[0], to[1]]).expect(0, "Running, ready");
    running.stop_within(GRACE).0.expect_code(0).expect("SIGTERM from outside the container");
}

/// The other way round: a client in such a place does not take somebody else's listener for its own user's.
#[test]
fn a_client_without_a_mapping_believes_no_other_user() {
    needs!(may_enter_namespaces());
    let name = format!("softstop-squatter-{}", std::process::id());
    let _squatter = squatter(&name);
    let client = Launch::new(["drain", "--control", &format!("@{name}")]).not_pid1().current_dir(Path::new("/"));
    let other = ["setpriv", "--reuid", "2000", "--regid", "2000", "--clear-groups"];
    client.through(&other).through(&["unshare", "--user"]).run().expect_code(77).expect("which is not softstop");
}

/// CVE-2020-15257: an abstract address is visible to every container of the pod, and root there is uid 0 here.
#[test]
fn root_in_another_pid_namespace_is_rejected_from_an_abstract_address() {
    needs!(may_enter_namespaces());
    let running = up(&["--grace", "30s"], PROMPT);
    let address = own_address(&running, 1);
    // From outside the address cannot be softstop's own either: nobody outside has that pid.
    from_here(&["stop", "--control", &address]).expect(77, "its own PID namespace alone");
    exec(&running, &["status", "--control", &address]).expect(0, "Running, ready");
    // Below softstop's own namespace a pid can be seen, but not one of ours.
    let nested = ["unshare", "--pid", "--fork", "--mount-proc"];
    Told::by(&mut inside(&running, &nested, &["stop", "--control", &address]))
        .expect(77, "its own PID namespace alone");
    running.stop_within(GRACE).0.expect_code(0).expect("SIGTERM from outside the container");
}

#[test]
fn an_address_that_somebody_else_holds_is_not_believed() {
    needs!(may_enter_namespaces());
    let running = up(&["--grace", "30s", "--control", "off"], PROMPT);
    let _squatter = squatter(&own_address(&running, 1)[1..]);
    exec(&running, &["drain"]).expect(77, "which is not softstop");
    running.stop_within(GRACE).0.expect_code(0);
}

// === where it is ===

#[test]
fn two_on_one_machine_have_addresses_of_their_own() {
    let start = |format| Launch::child(&["--grace", "30s", "--log-format", format], PROMPT).not_pid1().up();
    let (one, two) = (start("text"), start("json"));
    let (first, second) = (own_address(&one, one.pid()), own_address(&two, two.pid()));
    from_here(&["unready", "--control", &first]).expect(0, "unready");
    from_here(&["status", "--control", &first]).expect(0, "softstop unready");
    from_here(&["status", "--control", &second]).expect(0, "Running, ready");
    from_here(&["stop", "--control", &second]).expect(0, "exit code 0");
    two.wait(GRACE).expect_code(0);
    one.stop_within(GRACE).0.expect_code(0);
}

#[test]
fn a_read_only_root_is_no_obstacle_and_a_path_on_it_is_a_warning() {
    needs!(may_enter_namespaces());
    let read_only = "mount --rbind / / && mount -o remount,ro,bind / && cd / && exec \"$@\"";
    for (flags, warned) in [(&["--grace", "30s"][..], false), (&["--grace", "30s", "--control", "/s.sock"], true)] {
        let mut running = Launch::child(flags, PROMPT).through(&["sh", "-c", read_only, "sh"]).up();
        if warned {
            running.wait_for("the file system is read-only");
        } else {
            exec(&running, &["status"]).expect(0, "Running, ready");
        }
        running.stop_within(GRACE).0.expect_code(0);
    }
}

#[test]
fn a_path_is_private_and_goes_with_softstop() {
    let dir = Dir::new();
    let path = dir.text("s.sock");
    let running = Launch::child(&["--grace", "30s", "--control", &path], PROMPT).not_pid1().up();
    let file = std::fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.mode() & 0o777, 0o600);
    // By the variable, and by the configuration.
    Told::by(softstop(&["status"]).env("SOFTSTOP_CONTROL", &path)).expect(0, "Running, ready");
    let config = format!("[control]\nsocket = '{path}'\n[[process]]\nname = 'x'\ncommand = ['x']\n");
    from_here(&["status", "-c", &dir.write("c.toml", &config)]).expect(0, "Running, ready");
    running.stop_within(GRACE).0.expect_code(0);
    assert!(!dir.path("s.sock").exists(), "the socket was left behind");
    from_here(&["status", "--control", &path]).expect(69, "does not exist");
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let dir = Dir::new();
    let path = dir.text("s.sock");
    let start = || Launch::child(&["--grace", "30s", "--control", &path], PROMPT).not_pid1().up();
    let mut killed = start();
    killed.signal(libc::SIGKILL);
    killed.wait(SOON);
    assert!(dir.path("s.sock").exists());
    from_here(&["status", "--control", &path]).expect(69, "nobody listens");
    let first = start();
    from_here(&["status", "--control", &path]).expect(0, "Running, ready");
    let mut second = start();
    second.wait_for("another process listens there");
    second.stop_within(GRACE).0.expect_code(0);
    from_here(&["stop", "--control", &path]).expect(0, "exit code 0");
    first.wait(GRACE).expect_code(0);
}

#[test]
fn what_is_in_the_way_is_a_warning_and_stays() {
    let dir = Dir::new();
    dir.write("file", "mine");
    symlink(dir.path("target"), dir.path("link")).unwrap();
    for (path, said) in [
        (dir.text("file"), "what is there is no socket"),
        (dir.text("link"), "what is there is a symbolic link"),
        (dir.text("missing/s.sock"), "its directory does not exist"),
    ] {
        let running = Launch::child(&["--grace", "30s", "--control", &path], &["say:up", "exit:7"]).not_pid1().start();
        running.wait(GRACE).expect_code(7).expect(said).expect("going on without");
    }
    assert_eq!(dir.read("file"), "mine");
    assert!(!dir.path("target").exists(), "the link was followed");
    assert!(std::fs::symlink_metadata(dir.path("link")).unwrap().is_symlink());
}

#[test]
fn off_is_off_and_nonsense_is_refused() {
    needs!(may_enter_namespaces());
    let running = up(&["--grace", "30s", "--control", "off"], PROMPT);
    exec(&running, &["status"]).expect(69, "no softstop with a control socket runs");
    from_here(&["status", "--control", "off"]).expect(69, "is off");
    let long = format!("/{}", "x".repeat(107));
    for (address, said) in [("relative", "is not an address"), (long.as_str(), "more than the 107"), ("@", "no name")] {
        from_here(&["status", "--control", address]).expect(64, said);
    }
    running.stop_within(GRACE).0.expect_code(0);
}

#[test]
fn memory_and_descriptors_are_as_before_after_many_orders() {
    let dir = Dir::new();
    let path = dir.text("s.sock");
    let mut running = Launch::child(&["--grace", "30s", "--control", &path], PROMPT).not_pid1().up();
    from_here(&["status", "--control", &path]).expect(0, "");
    let (memory, open) = (processes::anonymous_kb(running.pid()), processes::descriptors(running.pid()));
    for _ in 0..50 {
        from_here(&["unready", "--control", &path]).expect(0, "unready");
        from_here(&["ready", "--control", &path]).expect(0, "ready");
    }
    running.wait_until("every connection is closed", |r| processes::descriptors(r.pid()) <= open);
    let grown = processes::anonymous_kb(running.pid()).saturating_sub(memory);
    assert!(grown < 2048, "{grown} kB more");
    running.stop_within(GRACE).0.expect_code(0);
}

/// Held down: its policy would bring it back at once.
#[test]
fn stop_with_a_name_holds_that_process_down_until_it_is_started() {
    needs!(may_enter_namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let process =
        |name: &str, more: &str| process(name, &["exit-on:TERM:0", &format!("say:{name} up"), "wait"]) + more + "\n";
    let config = [
        format!("[http]\nlisten = \"127.0.0.1:{port}\"\n"),
        process("db", "restart = \"always\"\non_exit = \"stop\""),
        process("web", "after = { db = \"ready\" }"),
        process("debug", "autostart = false"),
    ];
    let mut running = dir.launch(&config.concat()).start();
    running.wait_for("db up").wait_for("web up");
    running.wait_until("ready, without debug", |_| status_of(port, "/readyz") == Some(200));
    exec(&running, &["stop", "db"]).expect(0, "held so until softstop start db; what depends on it is left alone: web");
    assert_eq!(status_of(port, "/readyz"), Some(503));
    exec(&running, &["status"]).expect(0, "Waiting (Held)").expect(0, "stopped by softstop stop db");
    exec(&running, &["stop", "db"]).expect(0, "down already");
    exec(&running, &["start", "debug"]).expect(0, "debug: started");
    exec(&running, &["start", "db"]).expect(0, "db: started");
    running.wait_until("ready again", |_| status_of(port, "/readyz") == Some(200));
    exec(&running, &["stop", "dbb"]).expect(1, "did you mean db?");
    running.wait_for_count("db up", 2);
    running.stop().expect_code(0).expect("db: held down until softstop start db");
}
