//! Places that lack something: a read-only root, no /dev/null, no /tmp, an image from scratch, no /proc or one that hides.

use std::path::Path;
use std::time::Duration;

use crate::support::faults::{self, Fault};
use crate::support::http::{free_port, status_of};
use crate::support::proof::Proof;
use crate::support::{CHILD, Dir, Launch, Proc, at_once, process, skip};

const GRACE: Duration = Duration::from_secs(3);
/// For the whole job, far more than it takes: on a busy machine one perl alone may take a second to come up.
const AMPLE: Duration = Duration::from_secs(20);

/// One whole run of the supervisor: hooks of every kind, an exec probe, output in both forms, a report; then the stop, with a
/// daemon and a member of the group left over.
fn whole_job(faults: &[Fault]) {
    let (dir, port) = (Dir::new(), free_port());
    let journal = dir.text("journal");
    let report = dir.text("report.json");
    let note = |text: &str| format!("[\"perl\", {CHILD:?}, \"journal:{journal}:{text}\"]");
    let words =
        "session exit-on:TERM:0:100 ready wait end fork exit-on:TERM:0:50 ready wait end orphans:3 fds exit-on:TERM:7";
    let text = format!(
        r#"
grace = "20s"
report = "{report}"
[http]
listen = "127.0.0.1:{port}"
[[init]]
exec = {init}
{web}main = true
[process.readiness]
exec = ["perl", {CHILD:?}, "exit:0"]
period = "50ms"
timeout = "20s"
[process.pre_stop]
exec = {pre_stop}
{side}output = "json"
[[drain]]
exec = {drain}
[[post_stop]]
exec = {post_stop}
"#,
        web = process("web", &words.split(' ').chain(["say:web up", "wait"]).collect::<Vec<_>>()),
        side = process("side", &["say:side up", "wait"]),
        init = note("init"),
        pre_stop = note("pre_stop"),
        drain = note("drain"),
        post_stop = note("post_stop"),
    );
    let mut running = faults::launch(faults, dir.launch(&text)).start();
    running.wait_for("web up").wait_for("side up");
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    let ended = Proof::begin(&mut running).stop(running, AMPLE);
    let shown = format!("{faults:?}:\n{}", ended.all());
    assert_eq!(ended.code, 7, "{shown}");
    assert_eq!(dir.lines("journal"), ["init", "drain", "pre_stop", "post_stop"], "{shown}");
    assert!(ended.stdout.contains("web  | fds=0,1,2\n"), "descriptors leak: {shown}");
    assert!(ended.stdout.contains("\"line\":\"side up\""), "{shown}");
    let complaints = |line: &&str| line.contains("warning") || line.contains("error");
    assert_eq!(ended.calm().lines().find(complaints), None, "{shown}");
    let report = dir.read("report.json");
    assert!(report.contains("\"exit_code\": 7") && report.contains("\"forced\": []"), "{report}\n{shown}");
}

/// All the faults of the list, each under the proofs.
#[test]
fn whatever_leaves_the_whole_job_possible_changes_nothing_of_it() {
    needs!(faults::possible());
    whole_job(&[]);
    for some in Fault::harmless_as_pid1(faults::user()).chunks(4) {
        at_once(some, |faults| whole_job(faults));
    }
}

#[test]
fn without_dev_there_is_nothing_to_complain_of() {
    needs!(faults::possible());
    whole_job(&[Fault::Empty("/dev")]);
    whole_job(&[Fault::Empty("/dev"), Fault::Empty("/tmp"), Fault::ReadOnly]);
    // Its own standard descriptors closed as well, which std would open from /dev/null, or abort.
    let through = ["sh", "-c", "exec \"$@\" <&- >&-", "sh"];
    let launch =
        faults::launch(&[Fault::Empty("/dev")], Launch::child(&["--grace", "30s"], &["exit:4"])).through(&through);
    launch.run().expect_code(4).expect("perl: ended with exit code 4");
}

/// `/tmp` is hidden in many of these tests, and a stranger's clone may lie there; wherever this one lies, it is hidden here.
#[test]
fn a_clone_below_the_directory_that_a_test_hides_stays() {
    needs!(faults::possible());
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_str().unwrap();
    if above == "/" {
        return skip("the clone is in the root directory, which cannot be hidden");
    }
    let list = Launch::new(["--", "ls", above]);
    let ended = faults::launch(&[Fault::Empty(above)], list).run();
    let name = Path::new(env!("CARGO_MANIFEST_DIR")).file_name().unwrap().to_str().unwrap();
    assert_eq!(ended.expect_code(0).stdout.lines().collect::<Vec<_>>(), [name]);
}

/// `FROM scratch`: nothing but softstop and a program, as root and as a user without a name.
#[test]
fn an_image_from_scratch_is_enough() {
    needs!(faults::possible());
    let dir = Dir::new();
    faults::scratch(&dir.path(""));
    for who in [vec![], vec![Fault::User(faults::user())], vec![Fault::NoCapabilities]] {
        let faults: Vec<Fault> = who.into_iter().chain([Fault::Chroot(dir.path(""))]).collect();
        let script = "trap 'echo bye; exit 6' TERM; echo up; read never </never & while :; do wait $!; /usr/bin/busybox sleep 0.05; done";
        let port = free_port();
        let http = format!("127.0.0.1:{port}");
        let flags =
            ["--grace", "30s", "--output", "prefix", "--http", &http, "--", "/usr/bin/busybox", "sh", "-c", script];
        let mut running = faults::launch(&faults, Launch::new(flags)).up();
        running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
        let ended = Proof::begin(&mut running).blind().stop(running, AMPLE);
        ended.expect_code(6).expect("busybox | bye");
    }
}

/// With a daemon, a member of the group, and orphans.
fn leaves_some(flags: &[&str]) -> Launch {
    let words = "session ignore:TERM ready wait end fork exit-on:TERM:0:50 ready wait end orphans:3 on:USR1 exit-on:TERM:7 say:up wait";
    Launch::child(flags, &words.split(' ').collect::<Vec<_>>())
}

/// docs/containers.md, "When /proc is missing".
#[test]
fn without_proc_a_pid_1_does_what_the_page_says() {
    needs!(faults::possible());
    let dir = Dir::new();
    let report = dir.text("report.json");
    let flags = ["--grace", "3s", "--forward", "caught", "--output", "prefix", "--report", &report];
    let mut running = faults::launch(&[Fault::Empty("/proc")], leaves_some(&flags)).up();
    running.wait_until("no zombie", |r| !r.processes().iter().any(Proc::is_zombie));
    running.signal(libc::SIGUSR1).wait_for("USR1 received");
    let ended = Proof::begin(&mut running).blind().stop(running, GRACE);
    ended.expect_code(7).expect("TERM handled");
    assert_eq!(ended.all().matches("cannot be seen").count(), 1, "said once:\n{}", ended.all());
    ended.expect("SIGKILL comes at the deadline");
    assert!(dir.read("report.json").contains("\"orphans_reaped\""), "{}", dir.read("report.json"));
    // A victim is not looked at, and goes all the same.
    let launch = Launch::child(&["--grace", "2s"], &["ignore:TERM", "say:up", "wait"]);
    let mut running = faults::launch(&[Fault::Empty("/proc")], launch).up();
    let ended = Proof::begin(&mut running).blind().stop(running, Duration::from_secs(2));
    ended.expect_code(137).expect("/proc does not show it");
}

#[test]
fn without_proc_and_not_pid_1_what_daemonised_is_left_behind_and_said() {
    needs!(faults::possible());
    let launch = leaves_some(&["--grace", "2s"]).not_pid1();
    let mut running = faults::launch(&[Fault::Empty("/proc")], launch).up();
    let ended = Proof::begin(&mut running).but_some_are_out_of_reach().stop(running, Duration::from_secs(2));
    ended.expect_code(7);
    assert_eq!(ended.all().matches("cannot be seen").count(), 1, "said once:\n{}", ended.all());
    ended.expect("what daemonised is left behind").expect("TERM handled");
}

/// Set-uid programs apart (`faults/kernel.rs`), a user sees its own processes, so all of the job is done.
#[test]
fn hidepid_hides_nothing_that_is_ours() {
    needs!(faults::possible());
    for pid1 in [true, false] {
        for options in ["hidepid=2", "hidepid=2,subset=pid"] {
            let launch = leaves_some(&["--grace", "3s"]).pid1(pid1);
            let mut running = faults::launch(&[Fault::Proc(options), Fault::User(faults::user())], launch).up();
            // The proof's stranger has a capability more than softstop, so it is hidden; were it seen, the last SIGKILL would pass it by.
            let ended = Proof::begin(&mut running).blind().stop(running, GRACE);
            if ended.was_starved() {
                continue;
            }
            // The daemon ignores SIGTERM: it is seen, told, and killed when its time is up.
            ended.expect_code(7).expect("1 straggler: sending SIGTERM").expect("sending SIGKILL");
            ended.expect("needed SIGKILL: stragglers");
            ended.expect_not("cannot be seen");
        }
    }
}
