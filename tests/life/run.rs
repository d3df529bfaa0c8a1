//! The supervisor (`softstop run`) as a real PID 1 with real processes, probes over real HTTP, and a journal file in which every
//! process, hook and step notes when it had its turn.

use std::time::Duration;

use crate::support::http::{free_port, status_json, status_of};
use crate::support::{Dir, Launch, Running, SOON, namespaces, process};

/// A config and everything it refers to, in a directory of its own.
struct Setup {
    dir: Dir,
    port: u16,
    config: String,
}

impl Setup {
    /// `head` holds the top-level keys.
    fn new(head: &str) -> Setup {
        let port = free_port();
        let config = format!("{head}\n[http]\nlisten = \"127.0.0.1:{port}\"\n");
        Setup { dir: Dir::new(), port, config }
    }

    fn add(mut self, text: &str) -> Setup {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// A `[[process]]` that runs `child.pl WORDS`; `keys` are further lines of its table.
    fn process(self, name: &str, words: &[&str], keys: &str) -> Setup {
        self.add(&(process(name, words) + keys))
    }

    /// One that notes its start and its stop in the journal.
    fn noted(self, name: &str, keys: &str) -> Setup {
        let journal = self.dir.text("journal");
        let (up, down) = (format!("journal:{journal}:{name} up"), format!("journal-on:TERM:{journal}:{name} stopped"));
        self.process(name, &[&down, &up, "wait"], keys)
    }

    /// A script that appends what it echoes to the journal.
    fn script(&self, name: &str, body: &str) -> String {
        self.dir.script(name, &format!("exec >>'{}'\n{body}", self.dir.text("journal")))
    }

    fn journal(&self) -> Vec<String> {
        self.dir.lines("journal")
    }

    fn launch(&self) -> Launch {
        self.dir.launch(&self.config)
    }

    fn start(&self) -> Running {
        self.launch().start()
    }

    /// Started, and everything in it ready.
    fn ready(&self) -> Running {
        let mut running = self.start();
        running.wait_until("/readyz answers 200", |_| status_of(self.port, "/readyz") == Some(200));
        running
    }

    fn wait_for_journal(&self, running: &mut Running, line: &str) {
        running.wait_until(&format!("{line:?} in the journal"), |_| self.journal().iter().any(|l| l == line));
    }
}

fn position(journal: &[String], line: &str) -> usize {
    journal.iter().position(|l| l == line).unwrap_or_else(|| panic!("{line:?} is not in {journal:?}"))
}

fn in_order(journal: &[String], lines: &[&str]) {
    let positions: Vec<usize> = lines.iter().map(|l| position(journal, l)).collect();
    assert!(positions.is_sorted(), "not in the order {lines:?}: {journal:?}");
}

#[test]
fn what_depends_starts_after_and_stops_before() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"")
        .noted("agent", "main = true\nafter = { web = \"started\" }")
        .noted("web", "after = { database = \"started\" }")
        .noted("database", "");
    let mut running = setup.ready();
    for name in ["database", "web", "agent"] {
        setup.wait_for_journal(&mut running, &format!("{name} up"));
    }
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
    in_order(&setup.journal(), &["agent stopped", "web stopped", "database stopped"]);
}

#[test]
fn ready_and_completed_are_waited_for() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"");
    let open = setup.dir.text("open");
    let probe = format!("[process.readiness]\nexec = [\"test\", \"-e\", {open:?}]\nperiod = \"1s\"");
    let journal = setup.dir.text("journal");
    let setup = setup
        .process("migrate", &["sleep:300", &format!("journal:{journal}:migrated")], "on_exit = \"continue\"")
        .noted("web", &format!("main = true\nafter = {{ migrate = \"completed\" }}\n{probe}"))
        .noted("agent", "after = { web = \"ready\" }");
    let mut running = setup.start();
    setup.wait_for_journal(&mut running, "web up");
    running.wait_until("/status says what agent waits for", |_| {
        let agent = status_json(setup.port)["processes"][2].clone();
        agent["state"] == "Waiting" && agent["message"].as_str().is_some_and(|m| m.contains("web"))
    });
    assert!(!setup.journal().contains(&"agent up".to_owned()), "agent did not wait for web to be ready");
    setup.dir.write("open", "");
    setup.wait_for_journal(&mut running, "agent up");
    in_order(&setup.journal(), &["migrated", "web up", "agent up"]);
    // Who has no probe and ends with 0 has completed.
    running.wait_until("ready", |_| status_of(setup.port, "/readyz") == Some(200));
    running.stop_within(Duration::from_secs(30)).0.expect_code(0).expect_not("it is a service");
}

#[test]
fn init_tasks_run_in_order_before_any_process() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"");
    let first = setup.script("first", "sleep 0.2; echo first");
    let second = setup.script("second", "echo second");
    let setup = setup
        .add(&format!(
            "[[init]]\nname = \"first\"\nexec = [{first:?}]\n[[init]]\nname = \"second\"\nexec = [{second:?}]"
        ))
        .noted("web", "");
    let mut running = setup.ready();
    setup.wait_for_journal(&mut running, "web up");
    assert_eq!(setup.journal(), ["first", "second", "web up"]);
    assert_eq!(status_of(setup.port, "/startupz"), Some(200));
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
}

#[test]
fn a_failing_init_task_stops_the_start() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"")
        .add("[[init]]\nname = \"migrate\"\nexec = [\"sh\", \"-c\", \"exit 3\"]")
        .noted("web", "");
    setup.launch().run().expect_code(3).expect("migrate");
    assert!(setup.journal().is_empty(), "{:?}", setup.journal());
}

#[test]
fn a_stop_during_init_starts_nothing_more() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"60s\"");
    let slow = setup.script("slow", "echo begun; exec sleep 1000");
    let setup = setup.add(&format!("[[init]]\nname = \"slow\"\nexec = [{slow:?}]")).noted("web", "");
    let mut running = setup.start();
    setup.wait_for_journal(&mut running, "begun");
    assert_eq!(status_of(setup.port, "/startupz"), Some(503));
    assert_eq!(status_of(setup.port, "/livez"), Some(200));
    let (ended, took) = running.stop_within(Duration::from_secs(60));
    assert!(took < Duration::from_secs(20), "the init task was not cancelled: {took:?}\n{}", ended.all());
    assert_eq!(setup.journal(), ["begun"]);
}

#[test]
fn a_crashing_process_is_restarted_with_a_growing_pause() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"5s\"").noted("web", "main = true").process(
        "crasher",
        &["exit:1"],
        "restart = \"on_failure\"",
    );
    let mut running = setup.start();
    let crasher = || status_json(setup.port)["processes"][1].clone();
    running.wait_until("the first restart", |_| crasher()["restarts"].as_u64() >= Some(1));
    // The first is a second long, the next is two; or four and more, when this thread has missed that.
    running.wait_until("the back-off before the second", |_| {
        let c = crasher();
        c["reason"] == "CrashLoopBackOff" && c["restart_in_seconds"].as_f64().is_some_and(|s| s > 1.0)
    });
    assert_eq!(crasher()["last_exit"]["exit_code"], 1);
    assert_eq!(status_of(setup.port, "/readyz"), Some(503), "a crash loop is not ready");
    running.stop_within(Duration::from_secs(5)).0.expect_code(0);
}

#[test]
fn the_readiness_probe_flips_readyz_and_the_liveness_probe_restarts() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"");
    let (ready, sick) = (setup.dir.text("ready"), setup.dir.text("sick"));
    let probes = format!(
        "[process.readiness]\nexec = [\"test\", \"-e\", {ready:?}]\nperiod = \"1s\"\ntimeout = \"20s\"\nfailure_threshold = 1\n\
         [process.liveness]\nexec = [\"test\", \"!\", \"-e\", {sick:?}]\nperiod = \"1s\"\ntimeout = \"20s\"\nfailure_threshold = 1"
    );
    let setup = setup.noted("web", &format!("restart = \"always\"\n{probes}"));
    let mut running = setup.start();
    let port = setup.port;
    let answers = |status| move |_: &Running| status_of(port, "/readyz") == Some(status);
    running.wait_until("503 at first", answers(503));
    setup.dir.write("ready", "");
    running.wait_until("200 once the probe succeeds", answers(200));
    std::fs::remove_file(&ready).unwrap();
    running.wait_until("503 once it fails", answers(503));
    setup.dir.write("ready", "");
    setup.dir.write("sick", "");
    running.wait_until("a restart by the liveness probe", |_| {
        status_json(setup.port)["processes"][0]["restarts"].as_u64() >= Some(1)
    });
    std::fs::remove_file(&sick).unwrap();
    running.wait_until("200 again", answers(200));
    running.stop_within(Duration::from_secs(30));
}

#[test]
fn the_stop_goes_step_by_step_in_order_and_says_so() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"60s\"\nkill_reserve = \"1s\"");
    let note = "remaining $SOFTSTOP_REMAINING_MS because $SOFTSTOP_REASON";
    let first = setup.script("first", &format!("echo drain one; echo {note} >'{}'", setup.dir.text("one")));
    let second =
        setup.script("second", &format!("sleep 0.3; echo drain two; echo {note} >'{}'", setup.dir.text("two")));
    let before = setup.script("before", "echo pre_stop");
    let after = setup.script("after", "echo post_stop with $SOFTSTOP_EXIT_CODE");
    let journal = setup.dir.text("journal");
    let setup = setup
        .process(
            "web",
            &[&format!("journal-on:TERM:{journal}:web stopped"), "wait"],
            &format!("[process.pre_stop]\nexec = [{before:?}]"),
        )
        .add(&format!(
            "[[drain]]\nname = \"tell the load balancer\"\nexec = [{first:?}]\n\
             [[drain]]\nname = \"let it notice\"\nsleep = \"4s\"\n\
             [[drain]]\nname = \"flush the queue\"\nexec = [{second:?}]\n\
             [[post_stop]]\nname = \"ship the logs\"\nexec = [{after:?}]"
        ));
    let mut running = setup.ready();
    running.term();
    running.wait_until("/readyz answers 503", |_| status_of(setup.port, "/readyz") == Some(503));
    assert_eq!(status_of(setup.port, "/livez"), Some(200), "liveness stays while draining");
    running.wait_until("/status names the step", |_| status_json(setup.port)["stop"]["step"] == "let it notice");
    let stop = status_json(setup.port)["stop"].clone();
    let left = stop["deadline_in_seconds"].as_f64().unwrap();
    assert!((30.0..=59.0).contains(&left), "{stop}");
    let ended = running.wait(SOON * 2);
    ended.expect_code(0);
    assert_eq!(setup.journal(), ["drain one", "drain two", "pre_stop", "web stopped", "post_stop with 0"]);
    let remaining = |file| -> u64 { setup.dir.read(file).split_whitespace().nth(1).unwrap().parse().unwrap() };
    // Nearly a minute to the deadline; the first step is told nearly all of it, the second at least two seconds less.
    assert!((30_000..=59_000).contains(&remaining("one")), "{}", setup.dir.read("one"));
    assert!(remaining("two") + 2_000 <= remaining("one"), "{} {}", setup.dir.read("one"), setup.dir.read("two"));
    assert!(setup.dir.read("one").split_whitespace().count() > 3, "no reason was told: {}", setup.dir.read("one"));
    let log = ended.all();
    let at: Vec<usize> = ["tell the load balancer", "let it notice", "flush the queue", "ship the logs"]
        .iter()
        .map(|step| log.find(step).unwrap_or_else(|| panic!("{step:?} is not in the log:\n{log}")))
        .collect();
    assert!(at.is_sorted(), "the log does not tell the steps in order:\n{log}");
}

#[test]
fn a_step_that_fails_or_takes_too_long_is_reported_and_the_rest_still_happens() {
    needs!(namespaces());
    // The steps behind it are not what is cut.
    let setup = Setup::new("grace = \"7s\"");
    let good = setup.script("good", "echo good step");
    let stuck = setup.script("stuck", "trap '' TERM; echo stuck; while :; do sleep 1; done");
    let after = setup.script("after", "echo post_stop");
    let setup = setup.noted("web", "").add(&format!(
        "[[drain]]\nname = \"broken step\"\nexec = [\"/no/such/program\"]\n[[drain]]\nname = \"good step\"\nexec = [{good:?}]\n\
         [[drain]]\nname = \"stuck\"\nexec = [{stuck:?}]\n[[post_stop]]\nname = \"last\"\nexec = [{after:?}]\nreserve = \"2500ms\""
    ));
    let mut running = setup.ready();
    setup.wait_for_journal(&mut running, "web up");
    let (ended, _) = running.stop_within(Duration::from_secs(7));
    ended.expect_code(0).expect("broken step: failed").expect("stuck: cut short");
    in_order(&setup.journal(), &["web up", "good step", "stuck", "web stopped", "post_stop"]);
}

#[test]
fn nothing_is_restarted_once_the_stop_has_begun() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"");
    let journal = setup.dir.text("journal");
    let setup = setup
        .noted("web", "main = true")
        .process("flaky", &[&format!("journal:{journal}:flaky up"), "until:USR1", "exit:1"], "restart = \"always\"")
        .add("[[drain]]\nname = \"end flaky\"\nsignal = { process = \"flaky\", signal = \"SIGUSR1\" }\n[[drain]]\nname = \"wait\"\nsleep = \"2s\"");
    let mut running = setup.ready();
    setup.wait_for_journal(&mut running, "flaky up");
    running.wait_for("waiting for USR1");
    running.stop_within(Duration::from_secs(30)).0.expect_code(0);
    assert_eq!(setup.journal().iter().filter(|l| *l == "flaky up").count(), 1, "{:?}", setup.journal());
}

#[test]
fn the_main_processs_end_ends_the_container_with_its_code() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"");
    // It can note its stop by then.
    let noted =
        format!("[process.readiness]\nexec = [\"grep\", \"-q\", \"helper up\", {:?}]", setup.dir.text("journal"));
    let setup = setup.noted("helper", &noted).process(
        "job",
        &["exit:9"],
        "main = true\nrestart = \"never\"\nafter = { helper = \"ready\" }",
    );
    setup.launch().run().expect_code(9);
    in_order(&setup.journal(), &["helper up", "helper stopped"]);
}

#[test]
fn output_of_several_is_prefixed_and_nothing_of_it_is_lost() {
    needs!(namespaces());
    let ending = "restart = \"never\"\non_exit = \"continue\"";
    let setup = Setup::new("grace = \"30s\"")
        .process("web", &["say:hello from web", "raw:6666ff0a", "exit-on:TERM:0", "wait"], "main = true")
        .process("long", &["long:200000"], ending)
        // No newline at the end: still written.
        .process("partial", &["raw:6e6f206e65776c696e65"], ending);
    let mut running = setup.start();
    running.wait_for("hello from web").wait_for("no newline");
    running.wait_until("the long line", |r| r.printed().matches('x').count() >= 200_000);
    let ended = running.stop_within(Duration::from_secs(30)).0;
    ended.expect_code(0);
    let line = |text: &str| {
        ended.stdout.lines().find(|l| l.contains(text)).unwrap_or_else(|| panic!("{text}: {}", ended.all()))
    };
    assert!(line("hello from web").contains("web") && !line("hello from web").starts_with("hello"), "{}", ended.all());
    assert!(!line("no newline").starts_with("no newline"));
    assert!(ended.stdout_bytes.windows(4).any(|w| w == b"ff\xff\n"), "bytes that are not UTF-8 came through changed");
}

#[test]
fn a_broken_config_is_78_with_its_line_and_starts_nothing() {
    needs!(namespaces());
    let setup = Setup::new("grace = \"30s\"").noted("web", "resart = \"always\"");
    let line = setup.config.lines().position(|l| l.starts_with("resart")).unwrap() + 1;
    for command in ["run", "check"] {
        let config = setup.dir.write("softstop.toml", &setup.config);
        let ended = Launch::new([command, "-c", &config]).run();
        ended.expect_code(78).expect(&format!("softstop.toml:{line}:1")).expect("restart");
    }
    assert!(setup.journal().is_empty());
    Launch::new(["run", "-c", "/no/such/softstop.toml"]).run().expect_code(78).expect("/no/such/softstop.toml");
}

#[test]
fn the_config_is_found_where_it_is_documented() {
    let dir = Dir::new();
    let text = |code: u8| {
        format!("[[process]]\nname = \"job\"\ncommand = [\"sh\", \"-c\", \"exit {code}\"]\nrestart = \"never\"\n")
    };
    dir.write("softstop.toml", &text(11));
    let other = dir.write("other.toml", &text(12));
    let run = |args: &[&str]| Launch::new(args.iter().copied()).not_pid1().current_dir(&dir.path("."));
    run(&["run"]).run().expect_code(11);
    run(&["run"]).env("SOFTSTOP_CONFIG", &other).run().expect_code(12);
    run(&["run", "-c", "softstop.toml"]).env("SOFTSTOP_CONFIG", &other).run().expect_code(11);
    run(&["check"]).run().expect_code(0);
}

/// Where the user of a pod looks: `kubectl describe` shows it, and the container has no log of ours that would be kept.
#[test]
fn what_refuses_to_start_is_in_the_termination_message() {
    let dir = Dir::new();
    let (log, by_file) = (dir.write("message", ""), dir.write("by-file", ""));
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let http = taken.local_addr().unwrap().to_string();
    let broken = dir.write("broken.toml", "graze = '5s'\n");
    let by_key = dir.write("key.toml", &format!("termination_log = '{by_file}'\ngraze = '5s'\n"));
    let fine = dir.write("fine.toml", "[[process]]\nname = 'a'\ncommand = ['true']\n");
    let with = |args: &[&str]| Launch::new(args.iter().copied()).not_pid1().env("SOFTSTOP_TERMINATION_LOG", &log);
    for (launch, code, words) in [
        (with(&["--nonsense", "--", "true"]), 64, "--nonsense"),
        (with(&["--", "true"]).env("SOFTSTOP_GRACE", "soon"), 64, "soon"),
        (with(&["run", &fine, "--http", "nowhere"]), 64, "nowhere"),
        (with(&["run", "-c", &broken]), 78, "broken.toml:1:1"),
        (with(&["run", "-c", "/no/such/softstop.toml"]), 78, "/no/such/softstop.toml"),
        (with(&["--http", &http, "--", "true"]), 70, &http),
        (with(&["run", "-c", &fine, "--http", &http]), 70, &http),
    ] {
        dir.write("message", "");
        launch.run().expect_code(code);
        let message = dir.read("message");
        let first = format!("exit code {code}: ");
        assert!(message.starts_with(&first) && message.contains(words), "{code}, {words}: {message}");
    }
    // The configuration says where, and nothing else does.
    Launch::new(["run", "-c", &by_key]).not_pid1().run().expect_code(78);
    assert!(dir.read("by-file").contains("key.toml:2:1"), "{}", dir.read("by-file"));
    // A question about another softstop, as in an exec probe or by hand, is no result of this container; an empty path is none, either.
    for launch in [
        with(&["status", "--nonsense"]),
        with(&["probe", "nonsense"]),
        with(&["--nonsense"]).env("SOFTSTOP_TERMINATION_LOG", ""),
    ] {
        dir.write("message", "");
        launch.run().expect_code(64);
        assert_eq!(dir.read("message"), "");
    }
}

/// What s6 and runit call a finish script: with the exit code and the signal, before the restart, and in the stop before what it depends on is stopped.
#[test]
fn a_hook_at_every_end_knows_how_it_ended_and_comes_before_the_restart() {
    needs!(namespaces());
    let setup = Setup::new("");
    let note = "echo \"$SOFTSTOP_PROCESS $SOFTSTOP_REASON $SOFTSTOP_EXIT_CODE ${SOFTSTOP_EXIT_SIGNAL-none}\"";
    let tidy = setup.script("tidy", note);
    let runs = setup.dir.text("runs");
    // Killed, then 3, then it goes on.
    let web = setup.dir.script(
        "web",
        &format!(
            "echo run >>'{runs}'; echo up >>'{}'\ncase $(wc -l <'{runs}') in 1) kill -KILL $$;; 2) exit 3;; esac\n\
             trap 'exit 0' TERM; touch '{}'; while :; do sleep 0.02; done",
            setup.dir.text("journal"),
            setup.dir.text("stays"),
        ),
    );
    let setup = setup.noted("db", "").add(&format!(
        "[[process]]\nname = \"web\"\ncommand = [{web:?}]\nafter = {{ db = \"ready\" }}\nbackoff = {{ initial = \"10ms\" }}\n\
         [[process.post_exit]]\nexec = [{tidy:?}]\ntimeout = \"20s\""
    ));
    let mut running = setup.start();
    setup.wait_for_journal(&mut running, "db up");
    running.wait_until("the third run", |_| setup.dir.path("stays").exists());
    running.stop().expect_code(0);
    let journal = setup.journal();
    let expected = [
        "up",
        "web process_ended 137 SIGKILL",
        "up",
        "web process_ended 3 none",
        "up",
        "web signal 0 none",
        "db stopped",
    ];
    let seen: Vec<&str> = journal.iter().map(String::as_str).filter(|line| *line != "db up").collect();
    assert_eq!(seen, expected);
}

#[test]
fn only_some_processes_start_with_what_they_depend_on() {
    needs!(namespaces());
    let setup = Setup::new("").noted("db", "").noted("web", "after = { db = \"ready\" }").noted("other", "");
    let file = setup.dir.write("softstop.toml", &setup.config);
    let mut running = Launch::new(["run", "--only", "web", &file]).start();
    ["db up", "web up"].iter().for_each(|line| setup.wait_for_journal(&mut running, line));
    running.wait_until("/readyz answers 200", |_| status_of(setup.port, "/readyz") == Some(200));
    let other = status_json(setup.port)["processes"][2].clone();
    assert_eq!(other["reason"], "Held", "{other:#}");
    running.stop();
    let mut journal = setup.journal();
    journal.sort();
    assert_eq!(journal, ["db stopped", "db up", "web stopped", "web up"]);
    let refused = Launch::new(["run", "--only", "wbe", &file]).run();
    refused.expect_code(64).expect("there is no process \"wbe\"; did you mean web?");
}

/// `docker run IMG CMD`, with ENTRYPOINT `["/softstop", "run", "--"]`: its input, its exit code, the services around it.
#[test]
fn one_more_command_is_in_the_foreground_with_the_services_around_it() {
    needs!(namespaces());
    let setup = Setup::new("");
    let up = format!(
        "{{ exec = [\"grep\", \"-q\", \"db up\", {:?}], period = \"50ms\", timeout = \"20s\" }}",
        setup.dir.text("journal")
    );
    let setup = setup.noted("db", &format!("main = true\nstdin = \"inherit\"\nreadiness = {up}"));
    let setup = setup.add("[[process]]\nname = \"seed\"\ncommand = [\"true\"]\nkind = \"task\"");
    let file = setup.dir.write("softstop.toml", &setup.config);
    let input = setup.dir.write("input", "hello\n");
    let cmd = format!("read line; echo \"cmd got $line\"; echo cmd >>'{}'; exit 7", setup.dir.text("journal"));
    let launch = Launch::new(["run", &file, "--", "sh", "-c", &cmd]);
    let ended = launch.through(&["sh", "-c", &format!("exec \"$@\" <'{input}'"), "sh"]).run();
    ended.expect_code(7).expect("cmd got hello").expect_not("| cmd got");
    assert_eq!(setup.journal(), ["db up", "cmd", "db stopped"]);
    // Without a command: the services alone.
    std::fs::remove_file(setup.dir.path("journal")).unwrap();
    let mut running = Launch::new(["run", &file, "--"]).start();
    setup.wait_for_journal(&mut running, "db up");
    running.stop();
    assert_eq!(setup.journal(), ["db up", "db stopped"]);
}
