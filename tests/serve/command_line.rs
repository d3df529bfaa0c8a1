//! The command line as people type it, with the real binary: what is accepted, and what is said where it is not.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::client::{Told, softstop};
use crate::support::{Dir, SOFTSTOP, namespaces, unshare};
use serde_json::Value;

/// softstop as it is typed in that directory.
fn typed(dir: &Dir, args: &[&str]) -> Told {
    Told::by(softstop(args).current_dir(dir.path("")))
}

const JOB: &str =
    "control.socket = 'off'\n[[process]]\nname = 'job'\ncommand = ['sh', '-c', 'echo it ran']\nrestart = 'never'\n";

#[test]
fn a_file_is_checked_and_run_by_its_name() {
    let dir = Dir::new();
    dir.write("my.toml", JOB);
    typed(&dir, &["check", "my.toml"]).expect_all(0, &["my.toml: ok (1 process"]);
    typed(&dir, &["run", "my.toml"]).expect_all(0, &["it ran"]);
    typed(&dir, &["--grace", "5s", "run", "my.toml"]).expect_all(0, &["it ran"]);
    typed(&dir, &["manifest", "my.toml"]).expect_all(0, &["terminationGracePeriodSeconds"]);
    let there = std::fs::canonicalize(dir.path("")).unwrap();
    let seen = format!("is the path right, seen from {}", there.display());
    typed(&dir, &["run", "other.toml"]).expect_all(78, &["other.toml", &seen]);
    typed(&dir, &["run", "nginx"]).expect_all(78, &["to run a program: softstop -- nginx"]);
}

#[test]
fn a_wrong_command_line_says_what_to_type() {
    let dir = Dir::new();
    typed(&dir, &["help"]).expect_all(0, &["Usage: softstop", "restart"]);
    typed(&dir, &["help", "check"]).expect_all(0, &["--strict"]);
    let version = typed(&dir, &["-v"]).expect_all(0, &["softstop 0."]).out;
    assert_eq!(version, typed(&dir, &["--version"]).out);
    typed(&dir, &["strat"]).expect_all(64, &["did you mean softstop start?", "softstop -- strat"]);
    typed(&dir, &["-s", "SIGFOO", "--", "true"]).expect_all(64, &["unknown signal"]);
    typed(&dir, &["run", "--drain-sleep", "5s"]).expect_all(64, &["[[drain]]"]);
}

/// What was typed is not: src/cli/reading.rs.
#[test]
fn a_wrong_value_from_a_variable_is_said_to_come_from_it() {
    Told::by(softstop(&["--", "true"]).env("SOFTSTOP_STOP_SIGNAL", "TERM,SIGFOO"))
        .expect(64, "note: the value comes from the variable SOFTSTOP_STOP_SIGNAL");
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_as_json_too() {
    let dir = Dir::new();
    dir.write("my.toml", "gracee = '30s'\n[[process]]\nname = 'web'\ncommand = ['nginx -g']\n");
    let said = typed(&dir, &["check", "--json", "my.toml"]).expect_all(78, &[]);
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.out));
    assert_eq!((&report["file"], &report["errors"], &report["warnings"]), (&"my.toml".into(), &1.into(), &1.into()));
    let first = &report["findings"][0];
    assert_eq!((&first["severity"], &first["help"]), (&"error".into(), &"did you mean `grace`?".into()));
    assert_eq!((&first["places"][0]["line"], &first["places"][0]["column"]), (&1.into(), &1.into()));
    assert_eq!(said.err, "");
    dir.write("good.toml", JOB);
    let said = typed(&dir, &["check", "--json", "good.toml"]).expect_all(0, &[]);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    typed(&dir, &["check", "--json", "none.toml"]).expect_all(78, &["\"file\":\"none.toml\"", "cannot be read"]);
}

#[test]
fn in_the_image_check_says_what_is_not_there() {
    let dir = Dir::new();
    dir.write("plain", "no program");
    // Below a file there is no folder, either.
    let config = "[[process]]\nname = 'a'\ncommand = ['no-such-program']\nuser = 'nobody-of-that-name'\nworking_dir = 'plain/folder'\n\
        [[process]]\nname = 'b'\ncommand = ['./plain']\n[process.pre_stop]\nexec = ['no-such-hook']\n\
        [[process]]\nname = 'c'\ncommand = ['tool']\nenv = { PATH = 'plain/folder' }\n\
        [[process]]\nname = 'fine'\ncommand = ['sh']\nuser = 'root'\nworking_dir = '/tmp'\n[[post_stop]]\nexec = ['/bin/true']\n";
    dir.write("my.toml", config);
    let said = typed(&dir, &["check", "--here", "my.toml"]).expect_all(
        0,
        &[
            "\"no-such-program\" cannot be started here: not found in PATH",
            "unknown user \"nobody-of-that-name\"",
            "\"plain/folder\" cannot be entered here: no such file",
            "\"./plain\" is not executable: chmod +x it",
            "\"no-such-hook\" cannot be started here",
            "\"tool\" cannot be started here: not found in PATH \"plain/folder\"",
        ],
    );
    assert_eq!(said.err.matches("warning:").count(), 6, "{}", said.err);
    typed(&dir, &["check", "--here", "--strict", "my.toml"]).expect_all(1, &[]);
    // Elsewhere nothing is looked for: the machine that checks is not the image.
    let elsewhere = typed(&dir, &["check", "--strict", "my.toml"]).expect_all(0, &["ok (4 processes"]);
    assert_eq!(elsewhere.err, "");
}

/// Where the program's own configuration is, it is read, with what it includes.
#[test]
fn in_the_image_check_reads_what_the_program_s_own_configuration_says() {
    let dir = Dir::without_spaces();
    dir.write("pool.conf", "[global]\n; process_control_timeout = 10s\nprocess_control_timeout = 0\n");
    dir.write("fpm.conf", &format!("include={}\n", dir.text("*ol.conf")));
    dir.write("nginx.conf", "events { }\n");
    let config = format!(
        "[[process]]\nname = 'php'\ncommand = ['php-fpm', '-F', '-y', '{}']\nstop = 'php-fpm'\n\
         [[process]]\nname = 'web'\ncommand = ['nginx', '-c', '{}']\nstop = 'nginx'\n",
        dir.text("fpm.conf"),
        dir.text("nginx.conf")
    );
    dir.write("my.toml", &config);
    let [php, web] = ["php-fpm has no process_control_timeout", "nginx goes into the background"];
    typed(&dir, &["check", "--here", "my.toml"]).expect_all(0, &[php, web, "write `process_control_timeout = 10s`"]);
    dir.write("pool.conf", "[global]\nprocess_control_timeout = 10s\n");
    dir.write("nginx.conf", "daemon off;\nevents { }\n");
    let said = typed(&dir, &["check", "--here", "my.toml"]).expect_all(0, &[]).err;
    assert!(!said.contains(php) && !said.contains(web), "{said}");
    // Elsewhere it is not known.
    let said = typed(&dir, &["check", "my.toml"]).expect_all(0, &[]).err;
    assert_eq!(said, "");
}

/// As in an image: softstop at /softstop, the configuration where it is looked for.
#[test]
fn softstop_in_its_image_looks_without_being_told() {
    needs!(namespaces());
    let dir = Dir::new();
    dir.write("my.toml", "[[process]]\nname = 'a'\ncommand = ['no-such-program']\n");
    // A root of the test's own, as an image has it.
    let script = "set -e; mkdir root; mount -t tmpfs none root; cp \"$1\" root/softstop; cp my.toml root; cd root; \
        for d in usr lib lib64 bin proc; do [ ! -d /$d ] || { mkdir $d; mount --rbind /$d $d; }; done; \
        exec chroot . /softstop check my.toml";
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output =
        command.args(["--mount", "sh", "-c", script, "sh", SOFTSTOP]).current_dir(dir.path("")).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("\"no-such-program\" cannot be started here"), "{err}");
}

#[test]
fn an_error_at_the_start_names_the_directory() {
    let dir = Dir::new();
    let there = std::fs::canonicalize(dir.path("")).unwrap();
    let text = format!("cannot start \"./server\" in {there:?}: no such file or directory");
    typed(&dir, &["--", "./server"]).expect_all(127, &[&text]);
}

/// Two of them in one PID namespace, none of them its init: the configuration says which is meant.
#[test]
fn of_two_softstops_side_by_side_the_configuration_says_which() {
    needs!(namespaces());
    let dir = Dir::new();
    for name in ["a", "b"] {
        std::fs::create_dir(dir.path(name)).unwrap();
        let config = format!("[[process]]\nname = 'of-{name}'\ncommand = ['sleep', '1000']\n");
        dir.write(&format!("{name}/softstop.toml"), &config);
    }
    let script = "softstop=$1; (cd a && exec \"$softstop\" run) & a=$!; (cd b && exec \"$softstop\" run softstop.toml) & b=$!
        until \"$softstop\" status --control @softstop/$(readlink /proc/self/ns/pid | tr -dc 0-9)/$a; do sleep 0.05; done >/dev/null 2>&1
        until \"$softstop\" status --control @softstop/$(readlink /proc/self/ns/pid | tr -dc 0-9)/$b; do sleep 0.05; done >/dev/null 2>&1
        echo beside; (cd b && \"$softstop\" status)
        echo named; \"$softstop\" status -c a/softstop.toml
        echo neither; \"$softstop\" status 2>&1; echo code $?
        \"$softstop\" stop -c a/softstop.toml; (cd b && \"$softstop\" stop)
        wait; echo over";
    let mut command = unshare();
    command.args(["timeout", "120", "sh", "-c", script, "sh", SOFTSTOP]);
    for name in ["SOFTSTOP_CONTROL", "SOFTSTOP_CONFIG", "SOFTSTOP_INSTANCE"] {
        command.env_remove(name);
    }
    let output = command.current_dir(dir.path("")).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let parts: Vec<&str> = text.split(['\n']).collect();
    let between = |from: &str, to: &str| {
        let at = |word: &str| parts.iter().position(|line| *line == word).unwrap_or_else(|| panic!("{word}: {text}"));
        parts[at(from)..at(to)].join("\n")
    };
    assert!(between("beside", "named").contains("of-b") && !between("beside", "named").contains("of-a"), "{text}");
    assert!(between("named", "neither").contains("of-a") && !between("named", "neither").contains("of-b"), "{text}");
    let neither = between("neither", "code 64");
    let config = |name: &str| format!("({})", Path::new(&dir.path(name)).join("softstop.toml").display());
    assert!(neither.contains("several softstops run here; name one by its configuration (-c FILE)"), "{text}");
    assert!(neither.contains(&config("a")) && neither.contains(&config("b")), "{text}");
    assert!(parts.contains(&"over"), "{text}");
}
