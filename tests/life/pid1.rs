//! The wrapper as a real PID 1 with real processes: start, exit codes, signals, the environment of the child.
//! The stop and what is left behind: `life/stop.rs`. Not PID 1: `life/subreaper.rs`.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::http::{free_port, request, status_json, status_of};
use crate::support::{CHILD, Dir, Launch, PROMPT, SOON, namespaces, processes};

/// Nobody needs all of it.
const AMPLE: &[&str] = &["--grace", "30s"];

#[test]
fn exit_codes_are_passed_on() {
    needs!(namespaces());
    // Those that mean something to somebody; tests/sys_spawn.rs has each of them.
    for code in [0, 1, 2, 64, 70, 77, 78, 125, 126, 127, 128, 137, 143, 254, 255] {
        Launch::new(["--", "sh", "-c", &format!("exit {code}")]).run().expect_code(code);
    }
}

#[test]
fn death_by_signal_n_is_exit_code_128_plus_n() {
    needs!(namespaces());
    for number in [1, 2, 3, 6, 9, 10, 11, 12, 13, 14, 15, 34, 37, 64] {
        let script = format!("ulimit -c 0; kill -{number} $$; sleep 60");
        Launch::new(["--", "sh", "-c", &script]).run().expect_code(128 + number);
    }
}

/// A background job ignores SIGINT and SIGQUIT, nohup SIGHUP: what the tests start must not inherit that.
#[test]
fn tests_in_the_background_under_nohup_and_nice_see_what_others_see() {
    needs!(namespaces());
    let again = Command::new("sh")
        .args(["-c", "trap '' INT QUIT HUP; exec nice \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .arg("death_by_signal_n_is_exit_code_128_plus_n")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
fn a_missing_program_is_127_one_that_cannot_be_executed_126_and_one_line_says_it() {
    needs!(namespaces());
    let dir = Dir::new();
    let plain = dir.write("plain-file", "not a program");
    let no_interpreter = dir.program("no-interpreter", "#!/no/such/interpreter\n");
    let no_format = dir.program("no-format", "neither ELF nor #!\n");
    let directory = dir.text("directory");
    std::fs::create_dir(&directory).unwrap();
    for (program, code) in [
        ("no-such-program-anywhere", 127),
        ("/no/such/program", 127),
        (&plain, 126),
        (&no_interpreter, 126),
        (&no_format, 126),
        (&directory, 126),
    ] {
        // A directory in PATH that may not be searched would make 126 of 127.
        let ended = Launch::new(["--", program]).env("PATH", "/usr/bin:/bin").run();
        ended.expect_code(code);
        assert_eq!(ended.all().lines().filter(|line| line.contains(program)).count(), 1, "{}", ended.all());
    }
}

#[test]
fn a_wrong_command_line_is_64_and_starts_nothing() {
    needs!(namespaces());
    let touch = ["--", "sh", "-c", "echo started"];
    let wrong: [&[&str]; 7] = [
        &["--no-such-flag"],
        &["--grace", "soon"],
        &["--stop-signal", "SIGTREM"],
        &["--http", "not an address"],
        &["--exit-code", "300=0"],
        &["--signal-to", "everybody"],
        &["--grace", "1s", "--kill-reserve", "2s"],
    ];
    for flags in wrong {
        let ended = Launch::new(flags.iter().chain(&touch).copied()).run();
        ended.expect_code(64).expect_not("started");
        assert!(
            ended.all().lines().any(|l| l.contains(flags[0].trim_start_matches('-'))),
            "{flags:?}: {}",
            ended.all()
        );
    }
    Launch::new(["--"]).run().expect_code(64);
    Launch::new(["--", "sh", "-c", "echo started"])
        .env("SOFTSTOP_GRACE", "soon")
        .run()
        .expect_code(64)
        .expect("SOFTSTOP_GRACE");
}

/// kubernetes-observed.md: a stop 4 ms after the start is real, and a PID 1 that is not ready for it runs into SIGKILL.
#[test]
fn a_sigterm_that_comes_first_of_all_is_held_and_honoured() {
    needs!(namespaces());
    for round in 0..25 {
        let running = Launch::new(["--grace", "60s", "--", "sleep", "1000"]).start();
        // From the very first moment at which the kernel would not throw it away; later rounds a little later.
        let limit = Instant::now() + SOON;
        while !processes::holds(running.pid(), libc::SIGTERM) {
            assert!(Instant::now() < limit, "softstop neither blocks nor handles SIGTERM");
        }
        std::thread::sleep(Duration::from_micros(200 * round));
        let (ended, took) = running.stop_within(Duration::from_secs(60));
        assert!([0, 143].contains(&ended.code), "round {round}: exit code {}:\n{}", ended.code, ended.all());
        assert!(took < Duration::from_secs(30), "round {round}: the signal was lost for {took:?}:\n{}", ended.all());
    }
}

/// A config on a slow volume must not be the time in which a SIGTERM is lost.
#[test]
fn signals_are_held_before_the_configuration_is_read() {
    needs!(namespaces());
    let dir = Dir::new();
    let config = dir.text("config");
    // Reading this config takes until somebody writes it.
    nix::unistd::mkfifo(config.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut running = Launch::new(["run", "-c", &config]).start();
    running.wait_until("SIGTERM is held while the config is being read", |r| processes::holds(r.pid(), libc::SIGTERM));
    running.term();
    let mark = dir.text("started");
    std::fs::write(
        &config,
        format!("grace = \"30s\"\n[[process]]\nname = \"web\"\ncommand = [\"touch\", \"{mark}\"]\n"),
    )
    .unwrap();
    running.wait(Duration::from_secs(30));
    assert!(!dir.path("started").exists(), "a half start after a stop request");
}

#[test]
fn every_forwardable_signal_reaches_the_child() {
    needs!(namespaces());
    // HUP USR1 USR2 PIPE ALRM STKFLT(no) XCPU VTALRM PROF WINCH IO PWR and all real-time signals from 34 on.
    let numbers: Vec<i32> = [1, 10, 12, 13, 14, 24, 26, 27, 28, 29, 30].into_iter().chain(34..=64).collect();
    let words: Vec<String> = numbers.iter().map(|n| format!("on:{n}")).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend(["exit-on:TERM:0", "say:up", "wait"]);
    let mut running = Launch::child(AMPLE, &words).up();
    for n in numbers {
        running.signal(n).wait_for(&format!("{n} received\n"));
    }
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
}

#[test]
fn any_signal_can_be_the_stop_request() {
    needs!(namespaces());
    let flags = ["--stop-on", "SIGRTMIN+3,SIGTERM", "--stop-signal", "SIGQUIT:2s,SIGTERM", "--grace", "30s"];
    let mut running = Launch::child(&flags, &["on:TERM", "exit-on:QUIT:0", "say:up", "wait"]).up();
    running.signal(37);
    running.wait(SOON).expect_code(0).expect("QUIT received").expect_not("TERM received");
}

#[test]
fn with_forward_caught_a_signal_the_child_does_not_catch_is_held_back() {
    needs!(namespaces());
    let flags = ["--forward", "caught", "--grace", "30s"];
    let mut running = Launch::child(&flags, &["on:USR2", "exit-on:TERM:0", "say:up", "wait"]).up();
    running.signal(libc::SIGUSR1).signal(libc::SIGHUP).signal(libc::SIGUSR2).wait_for("USR2 received");
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
    // And without it, it does what it does to any process.
    let mut running = Launch::child(AMPLE, &["say:up", "wait"]).up();
    running.signal(libc::SIGUSR1);
    running.wait(SOON).expect_code(128 + libc::SIGUSR1);
}

#[test]
fn a_signal_can_go_to_the_whole_group() {
    needs!(namespaces());
    let member = ["fork", "on:USR1", "exit-on:TERM:0", "ready", "wait", "end"];
    let words = [&member[..], &["on:USR1", "exit-on:TERM:0:300", "say:up", "wait"]].concat();
    for flags in [&["-g", "--grace", "30s"][..], &["--signal-to", "group", "--grace", "30s"]] {
        let mut running = Launch::child(flags, &words).up();
        running.signal(libc::SIGUSR1).wait_for_count("USR1 received", 2);
        let (ended, _) = running.stop_within(Duration::from_secs(30));
        assert_eq!(ended.expect_code(0).stdout.matches("TERM received").count(), 2, "{}", ended.all());
    }
}

/// nohup semantics: what softstop was launched with is what the child gets, not what softstop or std need for themselves.
#[test]
fn mask_and_dispositions_are_those_softstop_was_launched_with() {
    needs!(namespaces());
    let plain = Launch::child(&[], &["status"]).run();
    plain.expect_code(0).expect("SigBlk: 0000000000000000");
    // The same launcher with and without softstop in between has to make no difference.
    let launcher = "use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGUSR2)) or die; \
                    $SIG{$_} = 'IGNORE' for qw(HUP PIPE TTOU); exec @ARGV or die";
    let look = ["grep", "^Sig[BI]", "/proc/self/status"];
    let with = Launch::new(["--"].iter().chain(&look).copied()).through(&["perl", "-e", launcher]).run();
    let without = Command::new("perl").args(["-e", launcher]).args(look).output().unwrap();
    assert_eq!(with.stdout, String::from_utf8_lossy(&without.stdout), "{}", with.all());
    // TERM and USR2 are 0x4800: the launcher did what this test relies on.
    assert!(with.stdout.contains("SigBlk:\t0000000000004800"), "{}", with.all());
}

#[test]
fn the_child_has_a_group_of_its_own_and_the_descriptors_softstop_was_launched_with() {
    needs!(namespaces());
    let through = ["sh", "-c", "exec \"$@\" 7</dev/null", "sh"];
    let port = free_port();
    let http = format!("127.0.0.1:{port}");
    let with = Launch::child(&["--http", &http], &["group", "fds"]).through(&through).run();
    with.expect_code(0).expect("own-group=yes").expect("7");
    let without = Command::new("sh").args(&through[1..]).args(["perl", CHILD, "fds"]).output().unwrap();
    let fds = |text: &str| text.lines().find(|l| l.starts_with("fds=")).map(str::to_owned);
    assert_eq!(fds(&with.stdout), fds(&String::from_utf8_lossy(&without.stdout)), "{}", with.all());
}

#[test]
fn listen_pid_names_the_child() {
    needs!(namespaces());
    let through = ["sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\" 3</dev/null", "sh"];
    let ended = Launch::child(&[], &["pid", "environ:LISTEN_PID", "environ:LISTEN_FDS"]).through(&through).run();
    ended.expect_code(0).expect("LISTEN_FDS=1");
    let value = |name: &str| ended.stdout.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().to_owned();
    assert_eq!(value("LISTEN_PID="), value("pid="), "{}", ended.all());
}

#[test]
fn exit_codes_can_be_remapped() {
    needs!(namespaces());
    let stop = |flags: &[&str], words: &[&str]| {
        let running = Launch::child(flags, words).up();
        running.stop_within(Duration::from_secs(3)).0
    };
    stop(&["--grace", "3s", "--exit-code", "143=0"], &["say:up", "wait"]).expect_code(0);
    stop(&["--grace", "3s", "--exit-code", "1=2", "--exit-code", "143=9"], &["say:up", "wait"]).expect_code(9);
    stop(&["--grace", "3s"], &["say:up", "wait"]).expect_code(143);
    stop(&["--grace", "2s", "--forced-exit-code", "42"], &["ignore:TERM", "say:up", "wait"]).expect_code(42);
    let running = Launch::new(["--", "sh", "-c", "exit 143"]).env("SOFTSTOP_EXIT_CODE_MAP", "143=0");
    running.run().expect_code(0);
}

#[test]
fn flags_win_over_variables() {
    needs!(namespaces());
    for (flags, grace) in [(&["--grace", "20s"][..], "20.0s grace"), (&[], "5m00s grace")] {
        let running = Launch::child(flags, PROMPT).env("SOFTSTOP_GRACE", "300s").up();
        running.stop_within(Duration::from_secs(20)).0.expect_code(0).expect(grace);
    }
}

#[test]
fn a_config_of_the_same_wrapper_can_be_looked_at_over_http() {
    needs!(namespaces());
    let port = free_port();
    let http = format!("127.0.0.1:{port}");
    let flags = ["--http", &http, "--drain-sleep", "3s", "--grace", "30s", "--log-format", "json"];
    let mut running = Launch::child(&flags, PROMPT).up();
    running.wait_until("/readyz answers 200", |_| status_of(port, "/readyz") == Some(200));
    for path in ["/startupz", "/livez", "/healthz", "/readyz?verbose", "/status", "/metrics"] {
        assert_eq!(status_of(port, path), Some(200), "{path}");
    }
    assert_eq!(status_of(port, "/no-such-path"), Some(404));
    assert!(request(port, "POST", "/readyz").is_ok_and(|r| r.status == 405));
    let status = status_json(port);
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["processes"][0]["state"], "Running");
    running.term().wait_until("/readyz answers 503", |_| status_of(port, "/readyz") == Some(503));
    assert_eq!(status_of(port, "/livez"), Some(200), "liveness stays while draining");
    let ended = running.wait(Duration::from_secs(30));
    ended.expect_code(0);
    let log = ended.all();
    let json = log.lines().filter(|l| l.starts_with('{'));
    assert!(json.clone().count() > 0, "no JSON log line:\n{log}");
    for line in json {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
}
