//! Limits that are reached: no more processes (RLIMIT_NPROC, a pids control group), no more descriptors, a file's length, processor time.

use std::net::TcpStream;
use std::time::Duration;

use crate::support::cgroup::{Cgroup, Kind};
use crate::support::faults::{self, Fault};
use crate::support::http::{free_port, status_of};
use crate::support::proof::Proof;
use crate::support::{Dir, Launch, Running, SOON, namespaces, process, processes, skip};

const GRACE: Duration = Duration::from_secs(30);

/// A main process and one that crashes on SIGUSR1 and is started again, with exec probes and an exec step in the drain.
fn launch(dir: &Dir, port: u16) -> Launch {
    let process = |name| process(name, &["exit-on:TERM:0", "exit-on:USR1:9", &format!("say:{name} up"), "wait"]);
    let (main, side) = (process("main"), process("side"));
    let report = dir.text("report.json");
    let text = format!(
        r#"
grace = "30s"
report = "{report}"
[http]
listen = "127.0.0.1:{port}"

{main}main = true

{side}backoff = {{ initial = "50ms", max = "200ms" }}
[process.readiness]
exec = ["true"]
period = "50ms"
timeout = "20s"
failure_threshold = 1

[[drain]]
name = "flush"
exec = ["true"]
timeout = "20s"

[[drain]]
name = "wait"
sleep = "50ms"
"#
    );
    dir.launch(&text)
}

/// Makes the other process crash; it is started again, if that can be done.
fn crash_side(running: &mut Running) {
    let mut all = running.processes().into_iter();
    let side = all.find(|p| processes::command_line(p.pid).contains("say:side")).expect("the other process runs");
    processes::send(side.pid, libc::SIGUSR1);
}

fn no_more_processes(limited: impl Fn(Launch) -> Launch, close: impl Fn(&Running), open: impl Fn(&Running)) {
    let (dir, port) = (Dir::new(), free_port());
    let mut running = limited(launch(&dir, port)).start();
    running.wait_for("main up").wait_for("side up");
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));

    close(&running);
    running.wait_for(
        "side: readiness probe could not be made, which counts for nothing: cannot start \"true\": no new process",
    );
    assert_eq!(status_of(port, "/readyz"), Some(200), "what softstop lacks says nothing of who is probed");
    crash_side(&mut running);
    running.wait_for_count("side: cannot start \"perl\": no new process", 2);
    open(&running);
    running.wait_for_count("side up", 2);
    running.wait_until("ready again", |_| status_of(port, "/readyz") == Some(200));

    close(&running);
    let ended = Proof::begin(&mut running).stop(running, GRACE);
    ended
        .expect_code(0)
        .expect("drain: flush: failed: cannot start \"true\": no new process")
        .expect("drain: wait: done");
    let all = ended.all();
    let told: Vec<&str> = all.lines().filter(|l| l.contains("pids.max or RLIMIT_NPROC")).collect();
    assert!(told.len() <= 12, "{} lines about one limit:\n{all}", told.len());
    // Written by softstop itself it could hang, so it is not written at all.
    ended.expect("cannot write the report to").expect("report.json: no new process: the process limit is reached");
}

#[test]
fn the_process_limit_delays_a_restart_and_costs_a_hook_but_no_stop() {
    needs!(faults::possible());
    let faults = [Fault::User(faults::user()), Fault::Processes(1000)];
    let limited = |launch| faults::launch(&faults, launch);
    no_more_processes(limited, |r| faults::limit(r, "nproc", 1), |r| faults::limit(r, "nproc", 1000));
}

#[test]
fn a_full_pids_group_delays_a_restart_and_costs_a_hook_but_no_stop() {
    needs!(namespaces());
    let Some(group) = Cgroup::new(Kind::Pids) else { return };
    no_more_processes(|launch| launch.inside(&group), |_| group.limit_pids(0), |_| group.limit_pids("max"));
}

/// Nothing can be started: that is said in one line, and is softstop's own failure (docs/exit-codes.md).
#[test]
fn a_process_limit_reached_at_the_start_is_70_and_one_line() {
    needs!(faults::possible());
    let faults = [Fault::User(faults::user()), Fault::Processes(1)];
    let ended = faults::launch(&faults, Launch::child(&["--grace", "3s"], &["say:up"])).run();
    ended.expect_code(70).expect_not("up\n").expect("error: perl: cannot start \"perl\": no new process");
    assert_eq!(ended.all().lines().count(), 1, "{}", ended.all());
}

/// A supervised process is tried again: the limit may have been somebody else's doing.
#[test]
fn a_process_limit_that_is_lifted_lets_the_start_go_on() {
    needs!(namespaces());
    let Some(group) = Cgroup::new(Kind::Pids) else { return };
    let dir = Dir::new();
    let web = process("web", &["exit-on:TERM:5", "say:web up", "wait"]);
    let launch = dir.launch(&(web + "backoff = { initial = \"50ms\", max = \"100ms\" }\n")).inside(&group);
    group.limit_pids(0);
    let mut running = launch.clone().start();
    running.wait_for_count("trying again in", 3);
    group.limit_pids("max");
    running.wait_for("web up");
    Proof::begin(&mut running).stop(running, GRACE).expect_code(5);
    // And a stop request while nothing can be started is honoured at once: the main process never ran, so 128 + n.
    group.limit_pids(0);
    let mut running = launch.start();
    running.wait_for("trying again in");
    Proof::begin(&mut running).stop(running, GRACE).expect_code(143);
}

/// However few there are: it works, or says that there are too few and is gone.
#[test]
fn any_number_of_descriptors_is_enough_or_said_to_be_too_few() {
    needs!(faults::possible());
    let mut enough = 0;
    for descriptors in 4..=24 {
        let port = free_port().to_string();
        let flags = ["--grace", "3s", "--output", "prefix", "--http", &format!("127.0.0.1:{port}")];
        let launch = Launch::child(&flags, &["say:up", "exit:5"]);
        let ended = faults::launch(&[Fault::Descriptors(descriptors)], launch).run();
        if ended.code == 5 {
            enough += 1;
            assert_eq!(ended.stdout, "perl | up\n", "with {descriptors}: {}", ended.all());
            continue;
        }
        ended.expect_code(70).expect("oo many open files");
        assert!(ended.all().lines().count() <= 3, "with {descriptors}: {}", ended.all());
        assert_eq!(enough, 0, "{descriptors} are not enough, though fewer were: {}", ended.all());
    }
    assert!(enough > 0, "24 descriptors are not enough");
}

/// Descriptors of clients, opened again as soon as softstop closes one.
fn hold_connections(port: u16, clients: &mut Vec<TcpStream>, how_many: usize) {
    clients.retain(|c| {
        c.set_nonblocking(true).unwrap();
        !matches!(c.peek(&mut [0]), Ok(0))
    });
    while clients.len() < how_many {
        let Ok(client) = TcpStream::connect(("127.0.0.1", port)) else { return };
        clients.push(client);
    }
}

/// Clients that ask nothing and go nowhere must not take the descriptors that restarts, probes, hooks and the report need.
#[test]
fn clients_that_hold_connections_leave_descriptors_for_everything_else() {
    needs!(faults::possible());
    let (dir, port) = (Dir::new(), free_port());
    let mut running = faults::launch(&[Fault::Descriptors(48)], launch(&dir, port)).start();
    running.wait_for("main up").wait_for("side up");
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    let mut clients = Vec::new();
    for round in 1..=20 {
        hold_connections(port, &mut clients, 60);
        assert_eq!(status_of(port, "/readyz"), Some(200), "round {round}:\n{}", running.printed());
        std::thread::sleep(Duration::from_millis(20));
    }
    crash_side(&mut running);
    hold_connections(port, &mut clients, 60);
    running.wait_for_count("side up", 2);
    hold_connections(port, &mut clients, 60);
    let ended = Proof::begin(&mut running).stop(running, GRACE);
    ended.expect_code(0).expect("drain: flush: done").expect_not("too many open files");
    assert!(ended.all().matches("Too many open files").count() <= 1, "a flood:\n{}", ended.all());
    assert!(dir.read("report.json").contains("\"exit_code\": 0"), "no report:\n{}", ended.all());
}

/// The limit was set for programs that use `select`; softstop's own is the hard one.
#[test]
fn a_soft_limit_of_256_descriptors_is_enough_for_150_processes_with_prefixed_output() {
    const HOW_MANY: usize = 150;
    needs!(namespaces());
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    if hard < 1000 {
        return skip("a hard limit of 1000 descriptors is needed");
    }
    let dir = Dir::new();
    let one = |n| {
        format!(
            "[[process]]\nname = \"p{n}\"\ncommand = [\"sh\", \"-c\", \"echo $(ulimit -Sn) up; exec sleep 1000\"]\n"
        )
    };
    let text: String = ["grace = \"30s\"\n".to_owned()].into_iter().chain((0..HOW_MANY).map(one)).collect();
    let through = ["sh", "-c", "ulimit -Sn 256; exec \"$@\"", "sh"];
    let mut running = dir.launch(&text).through(&through).start();
    running.wait_for_count_within("256 up", HOW_MANY, 3 * SOON);
    running.stop_within(Duration::from_secs(30)).0.expect_code(0).expect_not("too many open files");
}

/// SIGXFSZ comes with the write that fails. It is about softstop, whose lines are lost and counted; the program hears nothing of it.
#[test]
fn a_log_file_at_its_limit_loses_lines_and_ends_nobody() {
    const LINES: usize = 300;
    needs!(namespaces());
    let dir = Dir::new();
    // In blocks of 512 bytes.
    let script = format!("ulimit -f 16; exec \"$@\" >'{}'", dir.text("log"));
    let said: Vec<String> = (0..LINES).map(|n| format!("say:{n:080}")).collect();
    let all_said = format!("journal:{}:all said", dir.text("said"));
    let words = ["on:XFSZ", "exit-on:TERM:5"].into_iter().chain(said.iter().map(String::as_str));
    let words: Vec<&str> = words.chain([all_said.as_str(), "wait"]).collect();
    let report = dir.text("report.json");
    let flags = ["--grace", "30s", "--output", "prefix", "--report", &report];
    let mut running = Launch::child(&flags, &words).through(&["sh", "-c", &script, "sh"]).start();
    running.wait_for("a file that softstop writes has reached the longest that is allowed (RLIMIT_FSIZE");
    running.wait_until("all lines have been said", |_| !dir.lines("said").is_empty());
    let ended = running.stop_within(GRACE).0;
    ended.expect_code(5).expect_not("SIGXFSZ");
    assert_eq!(ended.stderr.matches("RLIMIT_FSIZE").count(), 1, "{}", ended.stderr);
    let written = dir.lines("log");
    assert_eq!(dir.path("log").metadata().unwrap().len(), 16 * 512);
    let lost: Vec<usize> = ended
        .stderr
        .lines()
        .filter(|line| line.contains("of standard output") && line.contains("lost: File too large"))
        .filter_map(|line| line.split("warning: ").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    // The last one that was written is cut, and counts as lost. "TERM received" and "TERM handled" are two more.
    assert_eq!(written.len() - 1 + lost.iter().sum::<usize>(), LINES + 2, "{lost:?} lost:\n{}", ended.stderr);
    assert!(dir.read("report.json").contains("\"limit\": \"file_size\""), "{}", dir.read("report.json"));
}

/// SIGXCPU, each second. What softstop has used says nothing of its program.
#[test]
fn softstops_own_processor_time_is_no_signal_to_the_program() {
    needs!(faults::possible());
    let words = ["on:XCPU", "exit-on:TERM:5", "say:up", "fill"];
    let mut running = Launch::child(&["--grace", "30s", "--output", "prefix"], &words).up();
    // After the start: the program, too, would get it.
    let used = processes::processor_time;
    faults::limit(&running, "cpu", u32::try_from(used(running.pid()) / 100).unwrap() + 1);
    // A whole second of processor time, of which a busy machine has little.
    let told = "softstop itself has used up the processor time that it was started with (RLIMIT_CPU";
    running.wait_for_count_within(told, 1, SOON * 5);
    // Beyond the next second, of which the kernel says it again.
    let told_at = used(running.pid());
    running.wait_until_within("it goes on", SOON * 5, |r| used(r.pid()) > told_at + 110);
    let ended = running.stop_within(GRACE).0;
    ended.expect_code(5).expect_not("XCPU received");
    assert_eq!(ended.stderr.matches("RLIMIT_CPU").count(), 1, "{}", ended.stderr);
}

/// Only the kernel's are softstop's own.
#[test]
fn the_signals_of_limits_are_passed_on_when_somebody_sends_them() {
    needs!(namespaces());
    let dir = Dir::new();
    let sender = "kill $_, 1 for 13, 24, 25";
    let text = format!(
        "grace = \"30s\"\n{main}main = true\n[process.readiness]\nexec = [\"test\", \"-e\", {up:?}]\nperiod = \"20ms\"\n\
         [[process]]\nname = \"sender\"\ncommand = [\"perl\", \"-e\", {sender:?}]\nrestart = \"never\"\nafter = {{ main = \"ready\" }}\n",
        main = process("main", &["on:PIPE", "on:XCPU", "on:XFSZ", "exit-on:TERM:5", "say:up", "wait"]),
        up = dir.text("up"),
    );
    let mut running = dir.launch(&text).up();
    let signals = [(13, "PIPE"), (24, "XCPU"), (25, "XFSZ")];
    for (number, name) in signals {
        running.signal(number).wait_for(&format!("{name} received"));
    }
    // And from inside.
    dir.write("up", "");
    for (_, name) in signals {
        running.wait_for_count(&format!("{name} received"), 2);
    }
    running.stop_within(GRACE).0.expect_code(5).expect_not("RLIMIT_");
}

/// RLIMIT_SIGPENDING: what is sent has no room for its sender; what it means is there.
#[test]
fn without_room_for_pending_signals_a_stop_is_a_stop() {
    needs!(namespaces());
    let words = ["on:USR1", "on:40", "exit-on:TERM:5", "say:up", "wait"];
    let mut running = Launch::child(&["--grace", "30s"], &words).through(&["prlimit", "--sigpending=0"]).up();
    running.signal(10).wait_for("USR1 received").signal(40).wait_for("40 received");
    running.stop_within(GRACE).0.expect_code(5);
}
