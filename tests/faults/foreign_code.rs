//! Names of users and hosts are looked up by softstop itself, whatever /etc/nsswitch.conf says: nothing is loaded into PID 1.

use std::time::Duration;

use crate::support::faults;
use crate::support::fuse::with_hanging_file_system;
use crate::support::proof::attach;
use crate::support::{Dir, Launch, SOON, database_before_web, processes};

/// Users as an image has them.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nssl-cert:x:110:postgres,www-data\nlogs:x:4321:www-data\n";
/// Who it is, as the kernel has it.
const WHO: &str = r#"grep -E '^(Uid|Gid|Groups)' /proc/self/status | tr -s '\t ' ' '; echo "HOME=$HOME USER=$USER LOGNAME=$LOGNAME"; trap 'exit 0' TERM"#;
const GRACE: Duration = Duration::from_secs(5);

/// An /etc of the test's own.
fn etc(dir: &Dir) -> String {
    let etc = dir.path("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("passwd"), PASSWD).unwrap();
    std::fs::write(etc.join("group"), GROUP).unwrap();
    etc.to_str().unwrap().to_owned()
}

/// In a mount namespace in which this is /etc.
fn with_etc(launch: Launch, etc: &str) -> Launch {
    launch.through(&["unshare", "--mount", "sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\"", etc])
}

/// A database that is ready once it can be told to stop, and `web` after it, as `user`.
fn start(dir: &Dir, etc: &str, user: &str) -> Launch {
    let config = database_before_web(dir, user, &format!("[\"sh\", \"-c\", '''{WHO}''']"));
    with_etc(Launch::new(["run", "-c", &config]), etc)
}

#[test]
fn user_group_home_and_further_groups_come_from_the_two_files() {
    needs!(faults::possible());
    let dir = Dir::new();
    let etc = etc(&dir);
    for (user, uid, gid, groups, home) in [
        ("www-data", "33", "33", "33 110 4321", "HOME=/var/www USER=www-data LOGNAME=www-data"),
        ("33", "33", "33", "33 110 4321", "HOME=/var/www USER=www-data LOGNAME=www-data"),
        ("www-data:logs", "33", "4321", "110 4321", "HOME=/var/www USER=www-data LOGNAME=www-data"),
        ("10001", "10001", "0", "", "HOME=/ "),
        ("10001:10002", "10001", "10002", "", "HOME=/ "),
    ] {
        let ended = start(&dir, &etc, user).run();
        ended.expect_code(0);
        ended.expect(&format!("web | Uid: {uid} {uid} {uid} {uid}\n"));
        ended.expect(&format!("web | Gid: {gid} {gid} {gid} {gid}\n"));
        ended.expect(&format!("web | Groups: {groups}")).expect(home).expect_no_warning();
    }
}

/// No /etc/passwd at all, as in an image from scratch.
#[test]
fn a_number_needs_no_file() {
    needs!(faults::possible());
    let dir = Dir::new();
    let etc = etc(&dir);
    std::fs::remove_file(dir.path("etc/passwd")).unwrap();
    std::fs::remove_file(dir.path("etc/group")).unwrap();
    let ended = start(&dir, &etc, "10001:10001").run();
    ended.expect_code(0).expect("web | Uid: 10001 10001").expect("HOME=/ ").expect_no_warning();
    let ended = start(&dir, &etc, "www-data").run();
    ended.expect_code(126).expect("unknown user \"www-data\": there is no /etc/passwd").expect("db  | told");
}

#[test]
fn an_unknown_user_stops_in_order_what_runs_already() {
    needs!(faults::possible());
    let dir = Dir::new();
    let etc = etc(&dir);
    let ended = start(&dir, &etc, "nobody-here").run();
    ended.expect_code(126).expect("unknown user \"nobody-here\": not in /etc/passwd").expect("write its number");
    ended.expect("db  | told").expect_not("web | ").expect_not("SIGKILL");
    let ended = start(&dir, &etc, "www-data:nobody-here").run();
    ended.expect_code(126).expect("unknown group \"nobody-here\": not in /etc/group").expect("db  | told");
}

#[test]
fn what_stands_in_the_place_of_passwd_holds_nobody_up() {
    needs!(faults::possible());
    let dir = Dir::new();
    let etc = etc(&dir);
    let passwd = dir.path("etc/passwd");
    std::fs::remove_file(&passwd).unwrap();
    nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ended = start(&dir, &etc, "www-data").run();
    ended.expect_code(126).expect("\"www-data\": /etc/passwd: it is a FIFO, not a file").expect("db  | told");
    let ended = start(&dir, &etc, "10001").run();
    ended.expect_code(0).expect("user 10001: /etc/passwd cannot be read").expect("web | Uid: 10001 10001");
    std::fs::remove_file(&passwd).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &passwd).unwrap();
    let ended = start(&dir, &etc, "www-data").run();
    ended.expect_code(126).expect("longer than 4 MiB").expect("db  | told");
}

/// As under a processor limit: each fork takes longer than the files are waited for, and what was read meanwhile counts.
#[test]
fn a_softstop_that_cannot_run_while_the_files_are_read_finds_its_users_in_them() {
    needs!(faults::possible());
    let dir = Dir::new();
    let etc = etc(&dir);
    let text = format!(
        "[[init]]\nname = \"gate\"\nexec = [\"sh\", \"-c\", \"echo held; until [ -e '{}' ]; do sleep 0.05; done\"]\n\
         [[process]]\nname = \"web\"\nuser = \"www-data\"\noutput = \"prefix\"\nrestart = \"never\"\n\
         command = [\"sh\", \"-c\", '''{WHO}''']\n",
        dir.text("go")
    );
    let launch = dir.launch(&text);
    let mut running = with_etc(launch, &etc).start();
    running.wait_for("held");
    let slow = ["-e", "inject=?fork,?vfork,clone,clone3:delay_exit=400000"];
    let Some(mut strace) = attach(&mut running, &slow) else { return };
    dir.write("go", "");
    let ended = running.wait(SOON);
    strace.wait().unwrap();
    ended.expect_code(0).expect("web | Uid: 33 33").expect("web | Groups: 33 110 4321").expect_no_warning();
}

/// Nobody could be asked, which says nothing about the process: it is not restarted. The readers are held, and no end of them is made.
#[test]
fn a_hosts_file_whose_file_system_hangs_is_not_the_probed_processs_fault() {
    needs!(faults::possible());
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let etc = etc(&dir);
        std::os::unix::fs::symlink(hung.file(), dir.path("etc/hosts")).unwrap();
        let text = "grace = \"5s\"\n[[process]]\nname = \"web\"\noutput = \"prefix\"\n\
            command = [\"sh\", \"-c\", \"trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.05; done\"]\n\
            [process.liveness]\ntcp_socket = { host = \"web.internal\", port = 1 }\nperiod = \"50ms\"\nfailure_threshold = 1\n";
        let launch = dir.launch(text);
        let mut running = with_etc(launch, &etc).not_pid1().start();
        running.wait_for("web | up").wait_until("it hangs", |_| hung.asked() > 0);
        running.wait_for(
            "liveness probe could not be made, which counts for nothing: web.internal cannot be looked up: /etc/hosts:",
        );
        // The program and the readers of three attempts.
        running.wait_until("asked again and again", |r| processes::children(r.pid()).len() >= 4);
        let (ended, _) = running.stop_within(GRACE);
        ended.expect("web | told").expect_not("liveness probe failed");
        assert_eq!(ended.stdout.matches("web | up").count(), 1, "{}", ended.all());
    });
}

/// It is tried again: the file system may come back.
#[test]
fn a_passwd_whose_file_system_hangs_holds_up_neither_the_others_nor_the_stop() {
    needs!(faults::possible());
    with_hanging_file_system(|hung| {
        let dir = Dir::new();
        let etc = etc(&dir);
        std::fs::remove_file(dir.path("etc/passwd")).unwrap();
        std::os::unix::fs::symlink(hung.file(), dir.path("etc/passwd")).unwrap();
        // As PID 1 it would be gone only when the kernel has got rid of the reader, which no signal ends.
        let mut running = start(&dir, &etc, "www-data").not_pid1().start();
        running.wait_for("cannot look up user \"www-data\": /etc/passwd: no answer in time");
        let (ended, _) = running.stop_within(GRACE);
        ended.expect("db  | told").expect_not("web | ");
    });
}
