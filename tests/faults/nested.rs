//! Settings stay with the softstop that they are meant for: what runs below it, another softstop included, gets none of them, and
//! clients among them find it all the same.

use std::time::Duration;

use crate::support::http::{free_port, status_of};
use crate::support::{CHILD, Dir, Launch, PROMPT, SOFTSTOP, namespaces, process};

/// An abstract one is the whole machine's, and the tests may run twice at a time.
fn address(name: &str) -> String {
    format!("@{name}-{}", std::process::id())
}

#[test]
fn a_softstop_below_another_takes_none_of_its_settings() {
    needs!(namespaces());
    let (dir, port) = (Dir::new(), free_port());
    let report = dir.text("report.json");
    let inner = ["--", SOFTSTOP, "--grace", "5s", "--", "perl", CHILD, "exit-on:TERM:0", "say:up", "wait"];
    let mut running = Launch::new(inner)
        .env("SOFTSTOP_HTTP", &format!("127.0.0.1:{port}"))
        .env("SOFTSTOP_DRAIN_SLEEP", "300ms")
        .env("SOFTSTOP_GRACE", "9s")
        .env("SOFTSTOP_CONTROL", &address("one-for-both"))
        .env("SOFTSTOP_REPORT", &report)
        .up();
    running.wait_until("ready", |_| status_of(port, "/readyz") == Some(200));
    let (ended, _) = running.stop_within(Duration::from_secs(9));
    let log = ended.expect_code(0).expect_not("in use").all();
    assert_eq!(log.matches("drain: sleep 300ms: done").count(), 1, "{log}");
    assert!(log.contains("5.0s grace") && log.contains("9.0s grace"), "both stopped, each in its own time: {log}");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("outside the container"), "the outer one's: {report}");
}

#[test]
fn settings_are_not_handed_down_and_the_users_own_variables_are() {
    needs!(namespaces());
    let dir = Dir::new();
    let see = "env | grep ^SOFTSTOP_ | sort";
    let with = |launch: Launch| {
        launch
            .env("SOFTSTOP_GRACE", "9s")
            .env("SOFTSTOP_LOG_LEVEL", "warn")
            .env("SOFTSTOP_TEAM_COLOUR", "blue")
            .env("SOFTSTOP_PORT", "tcp://10.0.0.1:80")
            .env("SOFTSTOP_INSTANCE", "@of-somebody-above")
    };
    let own = "SOFTSTOP_PORT=tcp://10.0.0.1:80\nSOFTSTOP_TEAM_COLOUR=blue\n";
    let ended = with(Launch::new(["--", "sh", "-c", see])).run();
    assert_eq!(ended.expect_code(0).stdout, own, "{}", ended.all());
    // Of `run` a process, and a hook, which is told more.
    let seen = dir.text("seen");
    let config = format!(
        "[[process]]\nname = 'web'\nrestart = 'never'\ncommand = ['sh', '-c', '{see}']\nenv = {{ SOFTSTOP_KILL_RESERVE = '2s' }}\n\
         [[post_stop]]\nname = 'see'\nexec = ['sh', '-c', '{see} >\"{seen}\"']\n"
    );
    let ended = with(dir.launch(&config)).run();
    assert_eq!(ended.expect_code(0).stdout, format!("SOFTSTOP_KILL_RESERVE=2s\n{own}"), "{}", ended.all());
    let names: Vec<String> = dir.lines("seen").iter().map(|l| l.split('=').next().unwrap().to_owned()).collect();
    let told = ["EXIT_CODE", "PORT", "REASON", "REMAINING_MS", "TEAM_COLOUR"].map(|name| format!("SOFTSTOP_{name}"));
    assert_eq!(names, told);
}

#[test]
fn the_wrapper_hands_the_configuration_on() {
    needs!(namespaces());
    let dir = Dir::new();
    let config =
        dir.write("named.toml", "[[process]]\nname = 'job'\nrestart = 'never'\ncommand = ['sh', '-c', 'exit 11']\n");
    let launch = Launch::new(["--grace", "9s", "--", SOFTSTOP, "run"]).env("SOFTSTOP_CONFIG", &config);
    launch.run().expect_code(11).expect("job: ended with exit code 11");
}

/// By `softstop status` in a hook and in the program, with the address in a variable, by a flag and in the configuration.
#[test]
fn hooks_and_programs_find_their_softstop_wherever_its_socket_is() {
    needs!(namespaces());
    let dir = Dir::new();
    let socket = dir.text("control.sock");
    let config = |socket: &str| {
        let text = format!(
            "[control]\nsocket = '{socket}'\n{}[[drain]]\nname = 'ask'\nexec = ['sh', '-c', 'cd /; \"{SOFTSTOP}\" status']\n",
            process("web", PROMPT)
        );
        dir.write("elsewhere.toml", &text)
    };
    let file = config(&socket);
    let by_variable = Launch::new(["run"]).env("SOFTSTOP_CONFIG", &file);
    let by_flag = Launch::new(["run", "-c", &file, "--control", &address("named")]);
    for launch in [by_variable, by_flag, Launch::new(["run", "-c", &file]).env("SOFTSTOP_CONTROL", &address("named"))] {
        let running = launch.up();
        running.stop().expect_code(0).expect("drain: ask: done");
    }
    // The program of the wrapper, below another that has an address of its own.
    let ask = format!("'{SOFTSTOP}' status | grep -c '^Stopping\\|Running'; exit 0");
    let (outer, inner) = (address("outer"), address("inner"));
    let nested =
        ["--control", &outer, "--", SOFTSTOP, "--control", &inner, "--", "sh", "-c", "echo $SOFTSTOP_INSTANCE"];
    assert_eq!(Launch::new(nested).run().expect_code(0).stdout, format!("{inner}\n"));
    let ended = Launch::new(["--control", &socket, "--", "sh", "-c", &ask]).run();
    assert!(ended.stdout.trim().parse::<u32>().is_ok_and(|n| n > 0), "{}", ended.all());
    // Off: it says so, and the endpoints still answer.
    let port = free_port();
    let flags = ["--control", "off", "--http", &format!("127.0.0.1:{port}"), "--", "sh", "-c"];
    let ask = format!("'{SOFTSTOP}' probe --timeout 20s ready; '{SOFTSTOP}' status; exit 0");
    let ended = Launch::new(flags.into_iter().chain([ask.as_str()])).run();
    ended.expect_code(0).expect("ok\n").expect("the control socket is off");
}

#[test]
fn a_misspelt_variable_is_warned_of_with_the_nearest_name() {
    needs!(namespaces());
    let ended = Launch::child(&[], &["environ:SOFTSTOP_GARCE"]).env("SOFTSTOP_GARCE", "5s").run();
    ended.expect_code(0).expect("warning: SOFTSTOP_GARCE is no variable of softstop; did you mean SOFTSTOP_GRACE?");
    ended.expect("SOFTSTOP_GARCE=5s");
    // What the configuration uses is the user's own; the wrapper's alone means nothing to `run`.
    let dir = Dir::new();
    let config = "[[process]]\nname = 'web'\nrestart = 'never'\ncommand = ['echo', '${SOFTSTOP_GRCE}']\n";
    let launch = dir.launch(config);
    let ended = launch.env("SOFTSTOP_GRCE", "mine").env("SOFTSTOP_DRAIN_SLEEP", "1s").run();
    ended.expect_code(0).expect("mine").expect_not("SOFTSTOP_GRCE is");
    ended.expect("SOFTSTOP_DRAIN_SLEEP is a setting of the wrapper alone: softstop run does not read it");
}
