//! Who a program is and what it may, as `/proc` of the child has it; and the variables that it gets.

use std::process::{Command, Stdio};

use crate::support::{Dir, Ended, Launch, SOFTSTOP, as_launched_by_hand, copy_program, root};

/// What the kernel says of whoever runs it.
const LOOK: &str = "['cat', '/proc/self/status', '/proc/self/limits', '/proc/self/oom_score_adj']";

/// softstop with one process, `rest` below its name.
fn run(dir: &Dir, rest: &str) -> Ended {
    let config = format!("control.socket = 'off'\n[[process]]\nname = 'it'\nrestart = 'never'\n{rest}");
    dir.launch(&config).not_pid1().run()
}

/// The value behind `Umask:`, `CapEff:` and their like.
#[track_caller]
fn of(said: &str, key: &str) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in:\n{said}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn limit(said: &str, name: &str) -> Vec<String> {
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    let words = line.unwrap_or_else(|| panic!("no {name} in:\n{said}")).split_whitespace();
    words.take(2).map(str::to_owned).collect()
}

#[test]
fn a_process_has_what_its_configuration_says() {
    needs!(root("to become others"));
    let dir = Dir::new();
    let keys = "user = '65534:65533'\nsupplementary_groups = [4242]\numask = '027'\nnice = 7\noom_score_adj = 700\n\
                no_new_privs = true\nrlimits = { nofile = { soft = 100, hard = 200 }, core = 0, stack = { soft = 1048576 } }\n";
    let command = LOOK.replace(']', ", '/proc/self/stat']");
    let ended = run(&dir, &format!("command = {command}\n{keys}"));
    ended.expect_code(0);
    let said = &ended.stdout;
    assert_eq!(
        (of(said, "Uid"), of(said, "Gid")),
        ("65534 65534 65534 65534".into(), "65533 65533 65533 65533".into())
    );
    assert!(of(said, "Groups").split(' ').any(|group| group == "4242"), "{said}");
    assert_eq!((of(said, "Umask"), of(said, "NoNewPrivs")), ("0027".into(), "1".into()));
    assert_eq!(limit(said, "Max open files"), ["100", "200"]);
    assert_eq!(limit(said, "Max core file size"), ["0", "0"]);
    assert_eq!(limit(said, "Max stack size")[0], "1048576");
    assert!(said.lines().any(|line| line == "700"), "{said}");
    // state ppid pgrp session tty tpgid flags four of faults four of times priority nice
    let stat = said.lines().find(|line| line.contains(" (cat) ")).unwrap();
    assert_eq!(stat.rsplit(") ").next().unwrap().split(' ').nth(16), Some("7"), "{stat}");
}

#[test]
fn another_user_has_what_is_added_and_nothing_else() {
    needs!(root("to become others"));
    let dir = Dir::new();
    // The shell's own child shows what is handed on.
    let command = "command = ['sh', '-c', 'cat /proc/self/status; true']\nuser = '65534'\n";
    let ended = run(&dir, &format!("{command}capabilities = {{ drop = ['ALL'], add = ['NET_BIND_SERVICE'] }}\n"));
    ended.expect_code(0);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(of(&ended.stdout, set), "0000000000000400", "{set}: {}", ended.all());
    }
    // Without `drop` the bounding set is as it was.
    let ended = run(&dir, &format!("{command}capabilities = {{ add = ['CAP_NET_BIND_SERVICE'] }}\n"));
    let untouched = run(&dir, command);
    assert_eq!(of(&ended.stdout, "CapBnd"), of(&untouched.stdout, "CapBnd"), "{}", ended.all());
    assert_eq!(
        (of(&ended.stdout, "CapEff"), of(&untouched.stdout, "CapEff")),
        ("0000000000000400".into(), "0".repeat(16))
    );
}

#[test]
fn root_without_capabilities_has_none_and_what_it_starts_neither() {
    needs!(root("to become others"));
    let dir = Dir::new();
    let command = "command = ['sh', '-c', 'cat /proc/self/status; true']\n";
    let ended = run(&dir, &format!("{command}capabilities = {{ drop = ['ALL'] }}\n"));
    ended.expect_code(0);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(of(&ended.stdout, set), "0000000000000000", "{set}: {}", ended.all());
    }
    // One alone: CHOWN is number 0.
    let ended = run(&dir, &format!("{command}capabilities = {{ drop = ['chown'] }}\n"));
    let untouched = run(&dir, command);
    let bits = |ended: &Ended, set| u64::from_str_radix(&of(&ended.stdout, set), 16).unwrap();
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(bits(&ended, set), bits(&untouched, set) & !1, "{set}: {}", ended.all());
    }
}

/// Nothing that a child gets is another because of these keys.
#[test]
fn who_says_nothing_has_what_softstop_was_started_with() {
    let dir = Dir::new();
    as_launched_by_hand();
    let ended = run(&dir, &format!("command = {LOOK}\n"));
    ended.expect_code(0);
    let files = ["/proc/self/status", "/proc/self/limits", "/proc/self/oom_score_adj"];
    let direct = Command::new("cat").args(files).stdin(Stdio::null()).output().unwrap();
    let direct = String::from_utf8(direct.stdout).unwrap();
    for key in
        ["Uid", "Gid", "Groups", "Umask", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"]
    {
        assert_eq!(of(&ended.stdout, key), of(&direct, key), "{key}");
    }
    let limits = |said: &str| said.split_once("Limit ").unwrap().1.to_owned();
    assert_eq!(limits(&ended.stdout), limits(&direct));
}

#[test]
fn a_hook_and_a_task_have_their_own_and_a_hook_its_process_s() {
    needs!(root("to become others"));
    let dir = Dir::without_spaces();
    let go = dir.text("go");
    let config = format!(
        "control.socket = 'off'\n\
         [[init]]\nexec = ['sh', '-c', 'echo init $(umask) $A $(id -u)']\numask = '077'\nenv = {{ A = '1' }}\nuser = '65534'\n\
         [[process]]\nname = 'web'\nrestart = 'never'\numask = '027'\nenv = {{ A = '2' }}\n\
         command = ['sh', '-c', 'echo web $(umask) $A; until [ -e {go} ]; do sleep 0.05; done']\n\
         [[process.post_start]]\nexec = ['sh', '-c', 'echo hook $(umask) $A $B']\nenv = {{ B = '3' }}\n\
         [[process.post_start]]\nexec = ['sh', '-c', 'echo own $(umask) $A; touch {go}']\numask = '000'\n\
         [[post_stop]]\nexec = ['sh', '-c', 'echo last $(umask) $A']\numask = '070'\nenv = {{ A = '5' }}\n"
    );
    let ended = dir.launch(&config).not_pid1().run();
    ended.expect_code(0);
    for line in ["init 0077 1 65534", "web 0027 2", "hook 0027 2 3", "own 0000 2", "last 0070 5"] {
        ended.expect(line);
    }
}

#[test]
fn what_cannot_be_had_refuses_the_start_and_names_the_key() {
    needs!(root("to become others"));
    let dir = Dir::without_spaces();
    // Where the clone lies a stranger may not go.
    let softstop = dir.path("softstop");
    copy_program(SOFTSTOP, &softstop);
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    for (key, value, why) in [
        (
            "rlimits",
            "{ nofile = 'unlimited' }",
            "cannot set rlimits.nofile to soft unlimited, hard unlimited: operation not permitted (EPERM)",
        ),
        ("nice", "-5", "cannot set nice to -5: permission denied (EACCES): less than softstop's own takes"),
        ("oom_score_adj", "-500", "cannot set oom_score_adj to -500: permission denied (EACCES)"),
        (
            "capabilities",
            "{ drop = ['CHOWN'] }",
            "cannot drop CHOWN (capabilities.drop): operation not permitted (EPERM)",
        ),
        ("capabilities", "{ add = ['SYS_ADMIN'] }", "capabilities.add: softstop itself does not have SYS_ADMIN"),
    ] {
        let config = format!(
            "control.socket = 'off'\n[[process]]\nname = 'it'\nrestart = 'never'\ncommand = ['sh', '-c', 'echo it ran']\n{key} = {value}\n"
        );
        let file = dir.write("softstop.toml", &config);
        let launch =
            |args: &[&str]| Launch::new(args.iter().copied()).program(&softstop).through(&nobody).not_pid1().run();
        launch(&["run", "-c", &file]).expect_code(126).expect(why).expect_not("it ran");
        launch(&["check", "--here", "-c", &file]).expect_code(0).expect(&format!("`{key}` cannot be had here: "));
    }
}

#[test]
fn variables_come_from_files_in_order() {
    let dir = Dir::without_spaces();
    dir.write("docker.env", "# of docker\nA=1\nB=\"quoted\"\n");
    dir.write("dotenv.env", "export B=\"two words\" # a comment\nC=${A}-${NONE:-x}\n");
    let [docker, dotenv, none] = ["docker.env", "dotenv.env", "none.env"].map(|name| dir.text(name));
    let files = format!(
        "env_file = ['{docker}', {{ path = '{dotenv}', format = 'dotenv' }}, {{ path = '{none}', optional = true }}]\n"
    );
    let ended = run(&dir, &format!("command = ['env']\nclear_env = true\nenv = {{ A = '9' }}\n{files}"));
    ended.expect_code(0).expect("line 3: its quotes or its ` #` are part of the value");
    let mut lines: Vec<&str> =
        ended.stdout.lines().filter(|line| !line.starts_with("PATH=") && !line.starts_with("SOFTSTOP_")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=9", "B=two words", "C=1-x"], "{}", ended.all());
}

#[test]
fn a_file_of_variables_that_cannot_be_read_refuses_the_start() {
    let dir = Dir::without_spaces();
    let wrong = dir.write("wrong.env", "A=1\n\nnot a s3cret\n");
    let none = dir.text("none.env");
    let ended = run(&dir, &format!("command = ['echo', 'it ran']\nenv_file = '{wrong}'\n"));
    ended.expect_code(126).expect("wrong.env, line 3: a blank in the name").expect_not("s3cret").expect_not("it ran");
    let ended = run(&dir, &format!("command = ['echo', 'it ran']\nenv_file = '{none}'\n"));
    ended.expect_code(126).expect("none.env cannot be read: ").expect_not("it ran");
}

#[test]
fn a_secret_in_a_file_becomes_the_variable() {
    let dir = Dir::without_spaces();
    let secret = dir.write("secret", "s3cret\n");
    let command = "command = ['sh', '-c', 'echo \"[$DB_PASSWORD] [$DB_PASSWORD_FILE] [$OTHER]\"']\nfile_env = ['DB_PASSWORD', 'OTHER']\n";
    run(&dir, &format!("{command}env = {{ DB_PASSWORD_FILE = '{secret}' }}\n")).expect_code(0).expect("[s3cret] [] []");
    let both = run(&dir, &format!("{command}env = {{ DB_PASSWORD_FILE = '{secret}', DB_PASSWORD = 'x' }}\n"));
    both.expect_code(126).expect("file_env: both DB_PASSWORD and DB_PASSWORD_FILE are set");
}
