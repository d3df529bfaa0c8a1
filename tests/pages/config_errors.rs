//! Broken configurations and what is said about them: `tests/config_errors/*.toml` beside its `.stderr`.
//! `BLESS=1 cargo test --test pages config_errors::` rewrites what is expected; read the difference before you commit it.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use softstop::config::check::{decode, read, read_sources};
use softstop::config::fit::cuts;
use softstop::config::handler::{Found, Is, Until, WaitFile};
use softstop::config::problem::{Problem, Problems};
use softstop::config::sources::Sources;
use softstop::config::{
    Config, Handler, Method, OnExit, OnFailure, Output, Retries, Step, Task, When, default_kill_reserve,
};
use softstop::plan::budget::{Budget, slice};
use softstop::runtime::sources;
use softstop::signal::Signal;
use softstop::time::At;

use crate::declared::{files, is_as_made, text};

pub fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("db".into()),
        "PORT" => Some("not a port".into()),
        "GOOD_PORT" => Some("5432".into()),
        _ => None,
    }
}

/// With what it includes, wherever this clone lies.
fn read_file(path: &str) -> Result<(Config, Vec<Problem>), Problems> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut sources = sources::read(&path, &env, &sources::cannot_be_read).expect("it can be read");
    let folder = format!("{}/", path.parent().expect("a folder").display());
    sources.file = "softstop.toml".to_owned();
    sources.included.iter_mut().for_each(|included| included.file = included.file.replace(&folder, ""));
    read_sources(&sources, &env, None, None)
}

fn said(text: &str) -> String {
    shown(read(text, "softstop.toml", &env))
}

/// What `softstop check` would print.
fn shown(read: Result<(Config, Vec<Problem>), Problems>) -> String {
    match read {
        Err(problems) => format!("{problems}\n"),
        Ok((_, warnings)) => warnings.iter().map(|w| format!("{w}\n")).collect(),
    }
}

#[test]
fn each_broken_configuration_says_what_is_expected() {
    let list = files("tests/config_errors", ".toml");
    assert!(list.len() >= 40, "{} broken configurations", list.len());
    for path in list {
        let said = shown(read_file(&path));
        assert!(!said.is_empty(), "{path} has nothing wrong with it");
        is_as_made(&path.replace(".toml", ".stderr"), &said);
    }
}

#[test]
fn every_problem_has_a_place_a_sentence_and_a_help() {
    for path in files("tests/config_errors", ".toml") {
        let list = match read_file(&path) {
            Err(problems) => {
                assert!(problems.errors() > 0);
                problems.list
            }
            Ok((_, warnings)) => warnings,
        };
        for p in list {
            let at = format!("{path}: {p}");
            assert!(!p.places.is_empty() && !p.help.is_empty(), "{at}");
            assert!(!p.sentence.contains('\n') && !p.sentence.ends_with('.'), "{at}");
        }
    }
}

fn valid(text: &str) -> Config {
    match read(text, "softstop.toml", &env) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn every_example_is_valid() {
    let list = files("examples", "softstop.toml");
    assert!(!list.is_empty());
    for path in list {
        if let Err(problems) = read(&text(&path), &path, &env) {
            panic!("{problems}");
        }
    }
}

/// DESIGN section 2.
const DESIGN: &str = include_str!("../config_valid/design.toml");

#[test]
fn the_specification_s_example_means_what_it_says() {
    let (c, warnings) = read(DESIGN, "softstop.toml", &env).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((c.grace.as_secs(), c.kill_reserve.as_secs(), c.stop_reserve), (30, 1, None));
    assert_eq!(c.http.unwrap().listen.to_string(), "0.0.0.0:9180");
    let wait = &c.init[0];
    assert_eq!(
        (wait.name.as_str(), wait.retries, wait.on_failure),
        ("wait for the database", Retries::UntilTimeout, OnFailure::Stop)
    );
    let (web, agent) = (&c.processes[0], &c.processes[1]);
    assert_eq!(
        web.stop.iter().map(|r| (r.signal, r.wait.unwrap().as_secs())).collect::<Vec<_>>(),
        [(Signal::QUIT, 20), (Signal::TERM, 3)]
    );
    assert_eq!(web.startup.as_ref().unwrap().failure_threshold, 30);
    assert_eq!(web.post_start[0].on_failure, OnFailure::Ignore);
    assert_eq!(web.pre_stop.as_ref().unwrap().name, "web pre_stop");
    assert_eq!((web.on_exit, web.output), (OnExit::StopOnFailure, Output::Prefix));
    assert_eq!(agent.after, [(0, softstop::config::Condition::Ready)]);
    assert_eq!(
        (c.drain[0].tasks[0].name.as_str(), c.drain[1].reserve.unwrap().as_secs()),
        ("let the load balancers notice", 2)
    );
    let Handler::WaitIdle(idle) = &c.drain[1].tasks[0].handler else { panic!("{:?}", c.drain[1]) };
    assert_eq!((idle.ports.as_slice(), idle.connections), (&[8080][..], 0));
    assert_eq!((idle.silent, idle.served), (Duration::from_secs(2), true));
    assert_eq!((idle.quiet, idle.minimum, idle.ignore.len()), (Duration::from_secs(2), Duration::ZERO, 0));
    assert_eq!(c.drain[1].tasks[0].retries, Retries::UntilTimeout);
    assert_eq!((c.drain[0].when, c.post_stop[0].when), (When::Requested, When::Always));
}

#[test]
fn waits_in_every_form() {
    let c = valid(
        r#"
        [[init]]
        wait_file = { path = "/x", contains = "${HOST}" }
        [[init]]
        signal = { command = "nginx", signal = "HUP" }
        [[process]]
        name = "web"
        command = ["x"]
        [process.pre_stop]
        wait_idle = { ports = [8443, 8080, 8443], connections = 3, silent = "30s", quiet = "0s", minimum = "5s", ignore = ["loopback", "10.0.0.0/8"] }
        [[drain]]
        wait_idle = { ports = "auto", ignore = "[::ffff:10.0.0.7],fe80::1%eth0" }
        [[post_stop]]
        wait_idle = { port = 8080 }
        [[drain]]
        wait_http = { port = 80, status = "5xx", json = { pointer = "/a~1b", equals = 0x10 } }
        [[drain]]
        wait_http = { port = 80, status = 204, metric = { name = "a", labels = { b = "${HOST}" }, at_most = "${NONE:-1.5}" } }
        [[drain]]
        wait_process = { name = "web", until = "ready" }
        [[drain]]
        wait_process = { command = "nginx", until = "running" }
        "#,
    );
    let file = WaitFile { path: "/x".into(), exists: true, contains: Some("db".into()) };
    assert_eq!(c.init[0].handler, Handler::WaitFile(file));
    assert_eq!(c.init[0].timeout, Some(Duration::from_secs(300)));
    assert_eq!(c.init[1].handler, Handler::SignalCommand { command: "nginx".into(), signal: Signal::HUP });
    assert_eq!(c.init[1].retries, Retries::Count(0), "a signal is no wait");
    let Handler::WaitIdle(idle) = &c.processes[0].pre_stop.as_ref().unwrap().handler else { panic!() };
    assert_eq!((idle.ports.as_slice(), idle.connections, idle.quiet), (&[8080, 8443][..], 3, Duration::ZERO));
    assert_eq!((idle.silent, idle.minimum), (Duration::from_secs(30), Duration::from_secs(5)));
    assert_eq!((idle.ignore.len(), idle.served), (3, true), "loopback is of two families");
    let Handler::WaitIdle(idle) = &c.drain[0].tasks[0].handler else { panic!() };
    assert_eq!((idle.listening, idle.ports.len(), idle.ignore.len()), (true, 0, 2));
    assert!(idle.ignore[0].contains([10, 0, 0, 7].into()) && idle.ignore[1].contains("fe80::1".parse().unwrap()));
    let Handler::WaitIdle(idle) = &c.post_stop[0].tasks[0].handler else { panic!() };
    assert!(!idle.served, "every process has ended");
    let http = |i: usize| match &c.drain[i].tasks[0].handler {
        Handler::WaitHttp(wait) => wait.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((http(1).status, http(1).call.path.as_str()), ((500, 599), "/"));
    assert_eq!(http(1).json.unwrap().is, Is::Equal(16.0.into()));
    let metric = http(2).metric.unwrap();
    assert_eq!((http(2).status, metric.at_most.get()), ((204, 204), 1.5));
    assert_eq!(metric.labels, [("b".to_owned(), "db".to_owned())]);
    assert_eq!(c.drain[3].tasks[0].handler, Handler::WaitProcess { process: 0, until: Until::Ready });
    assert_eq!(c.drain[4].tasks[0].handler, Handler::WaitCommand { command: "nginx".into(), until: Found::Running });
}

#[test]
fn what_is_not_said_follows_from_the_rest() {
    let c = valid("[[process]]\nname = 'web'\ncommand = ['a', '${HOST}']");
    let p = &c.processes[0];
    assert_eq!((p.on_exit, p.output, p.main), (OnExit::Stop, Output::Inherit, false));
    assert_eq!(p.command, ["a", "db"]);
    assert_eq!(c.termination_log.unwrap().to_str(), Some("/dev/termination-log"));

    let c = valid(
        "termination_log = ''\n[[process]]\nname='a'\ncommand=['a']\nmain=true\n[[process]]\nname='b'\ncommand=['b']\nuser=1000\n[process.pre_stop]\nsignal='USR1'",
    );
    assert_eq!((c.processes[0].on_exit, c.processes[1].on_exit), (OnExit::Stop, OnExit::Continue));
    assert_eq!(c.processes[1].launch.identity.user.as_deref(), Some("1000"));
    assert_eq!(c.processes[1].pre_stop.as_ref().unwrap().handler, Handler::Signal { process: 1, signal: Signal::USR1 });
    assert_eq!(c.termination_log, None);
}

#[test]
fn handlers_and_steps_in_every_form() {
    let c = valid(
        "grace = '2s'\n[[process]]\nname='a'\ncommand=['a']\nstop='SIGINT'\nuser='u:g'\n\
         [[init]]\nhttp_get={port='${GOOD_PORT}'}\n[[init]]\nhttp_post={host='::1',port=1,path='/p?q',body='b',headers={A='1'}}\n\
         [[init]]\nsleep='10ms'\n[[init]]\ntcp_socket={port=2}\nretries=3\n\
         [[drain]]\nname='both'\nparallel=[{sleep='1s'},{exec=['x']}]\nwhen='always'\n[[drain]]\nsignal={process='a',signal='HUP'}",
    );
    assert_eq!(c.kill_reserve.as_millis(), 500);
    let Handler::Http(get) = &c.init[0].handler else { panic!("{:?}", c.init[0]) };
    assert_eq!(
        (get.method, get.host.as_str(), get.port, get.path.as_str(), c.init[0].retries),
        (Method::Get, "localhost", 5432, "/", Retries::UntilTimeout)
    );
    let Handler::Http(post) = &c.init[1].handler else { panic!("{:?}", c.init[1]) };
    assert_eq!(
        (post.body.as_deref(), c.init[1].retries, c.init[1].name.as_str()),
        (Some("b"), Retries::Count(0), "init 2")
    );
    assert_eq!(
        (c.init[2].name.as_str(), c.init[2].timeout, c.init[3].retries),
        ("sleep 10ms", None, Retries::Count(3))
    );
    assert_eq!(c.drain[0].tasks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["sleep 1s", "both 2"]);
    assert_eq!((c.drain[0].when, c.drain[1].tasks[0].name.as_str()), (When::Always, "drain 2"));
    assert_eq!(c.processes[0].launch.identity.group.as_deref(), Some("g"));
}

#[test]
fn a_grace_from_elsewhere_wins_and_every_reserve_is_held_against_it() {
    let text = "grace = '30s'\nstop_reserve = '8s'\n[[process]]\nname = 'a'\ncommand = ['a']\n";
    let with = |seconds| read_sources(&Sources::of("f", text), &env, Some(Duration::from_secs(seconds)), None);
    let (config, _) = with(20).unwrap();
    assert_eq!((config.grace.as_secs(), config.kill_reserve.as_secs()), (20, 1));
    let refused = with(5).unwrap_err().to_string();
    assert!(refused.contains("a grace of 5s, given by --grace or SOFTSTOP_GRACE"), "{refused}");
    assert!(refused.contains(" --> f:2:16\n"), "{refused}");
}

#[test]
fn no_message_moves_the_cursor() {
    let said = said("\"a\\u001b[2J\\u202e\" = 1\nreport = \"x\\n\\u001b[2J\"\n");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_place() {
    let refused = decode(b"grace = \"30s\"\nname = \"caf\xe9\"\n", "softstop.toml").unwrap_err().to_string();
    assert!(refused.contains("not UTF-8\n --> softstop.toml:2:12\n"), "{refused}");
    let huge = "#".repeat(softstop::config::check::MAX_BYTES + 1);
    assert!(read(&huge, "f", &env).unwrap_err().to_string().contains("more than 1048576"));
    assert!(decode(huge.as_bytes(), "f").is_err());
    assert_eq!(decode("é".as_bytes(), "f"), Ok("é"));
}

fn sleep_step(sleep: Duration, reserve: Option<Duration>) -> Step {
    let tasks = vec![Task::new("sleep", Handler::Sleep(sleep))];
    Step { tasks, reserve, essential: false, when: When::Requested }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        said(&text);
    }

    #[test]
    fn no_toml_like_text_makes_the_reader_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "[[process]]\n", "[process.after]\n", "[[drain]]\n", "parallel", " = ", "\"${A", "}\"", "'web'", "name", "command", "stop", "[", "]", "{", "}",
        ",", "\n", "\r\n", "\t", "30", "1.5", "true", "\"30s\"", "'-1s'", "\"\"\"", "é日", "\u{feff}", "\u{0}", "exec", "signal", ".", "[exit_codes]\n", "143",
    ]), 0..60)) {
        said(&pieces.concat());
    }

    /// A valid file with a piece cut out, doubled or replaced.
    #[test]
    fn no_mutation_makes_the_reader_panic(from in 0usize..4000, len in 0usize..60, insert in "\\PC{0,12}", whole in any::<bool>()) {
        let text = if whole { include_str!("../../examples/softstop.toml") } else { DESIGN };
        let chars: Vec<char> = text.chars().collect();
        let from = from % chars.len();
        let end = (from + len).min(chars.len());
        let mutated: String = chars[..from].iter().copied().chain(insert.chars()).chain(chars[end..].iter().copied()).collect();
        said(&mutated);
    }

    /// Whatever duration is accepted, is what was written.
    #[test]
    fn durations_survive_the_way_there_and_back(millis in 1u64..86_400_000) {
        let duration = Duration::from_millis(millis);
        let text = softstop::config::check::values::words(duration);
        prop_assert_eq!(softstop::config::check::values::duration(&text, softstop::config::check::values::LIMIT).unwrap(), duration);
    }

    /// The plan's own arithmetic, and the advice: with the grace that is named it fits.
    #[test]
    fn the_time_a_step_gets_is_the_plans_and_the_grace_that_is_named_is_enough(
        grace in 1u64..120,
        stop in prop::option::of(0u64..10),
        sleeps in prop::collection::vec((0u64..60, prop::option::of(0u64..4)), 1..5),
    ) {
        let s = Duration::from_secs;
        let steps: Vec<Step> = sleeps.iter().map(|(sleep, held)| sleep_step(s(*sleep), held.map(s))).collect();
        let all: Vec<&Step> = steps.iter().collect();
        let of = |grace: u64| {
            let (grace, stop_reserve) = (s(grace), stop.map(s));
            Config { grace, kill_reserve: default_kill_reserve(grace), stop_reserve, ..Config::with_defaults() }
        };
        let reserves: u64 = sleeps.iter().filter_map(|(_, held)| *held).sum();
        // What cannot hold its reserves is refused before.
        prop_assume!(grace > 1 + reserves + stop.unwrap_or(0));
        let mut config = of(grace);
        let cut = cuts(&config, &all, &[]);
        config.drain.clone_from(&steps);
        let budget = Budget::new(&config);
        let mut at = At::ZERO;
        for (i, step) in steps.iter().enumerate() {
            let Handler::Sleep(wants) = step.tasks[0].handler else { unreachable!() };
            let gets = slice(at, budget.deadline(At::ZERO), budget.after_drain(i));
            prop_assert_eq!(cut[i].map(|c| c.gets), (gets < wants).then_some(gets), "step {} of {:?}", i, config.drain);
            at = at + gets.min(wants);
        }
        let needed = cut.iter().flatten().map(|c| c.grace.as_secs()).max().unwrap_or(grace);
        prop_assert_eq!(cuts(&of(needed), &all, &[]), vec![None; steps.len()], "grace {}", needed);
    }
}
