//! Starting programs, as seen by the programs. Only named pids are reaped here, so the tests may run side by side.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and talks to its reader"
)]

#[path = "support/not_run.rs"]
mod not_run;

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use softstop::config::Limits;
use softstop::lifecycle::event::{Exit, SpawnError, SpawnErrorKind};
use softstop::signal::Signal;
use softstop::sys::mask::SignalSet;
use softstop::sys::signals::Inherited;
use softstop::sys::spawn::{Child, Handed, Spawn, Stdio, spawn_within};
use softstop::sys::users::Credentials;
use softstop::sys::{procfs, reap, target, tree, victim};

/// What a test varies; the rest is the simplest that works.
#[derive(Default)]
struct Want<'a> {
    env: &'a [(&'a str, &'a str)],
    working_dir: Option<&'a Path>,
    credentials: Option<&'a Credentials>,
    limits: Limits,
    keep_fds: bool,
    handed: &'a [Handed<'a>],
    inherited: Inherited,
}

impl Want<'_> {
    fn start(&self, argv: &[&str], stdout: Stdio<'_>) -> Result<Child, SpawnError> {
        let argv: Vec<OsString> = argv.iter().map(Into::into).collect();
        let env: Vec<(OsString, OsString)> = self.env.iter().map(|(k, v)| (k.into(), v.into())).collect();
        // However late the child gets to its exec, its result is known.
        let within = Duration::from_secs(60);
        let spawn = |wanted: &Spawn<'_>| spawn_within(wanted, within);
        spawn(&Spawn {
            working_dir: self.working_dir,
            credentials: self.credentials,
            limits: &self.limits,
            stdout,
            stderr: Stdio::Inherit,
            keep_fds: self.keep_fds,
            handed: self.handed,
            ..Spawn::new(&argv, &env, &self.inherited)
        })
    }

    /// Runs to the end: how it ended, and what it wrote.
    fn run(&self, argv: &[&str]) -> (Exit, String) {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let child = self.start(argv, Stdio::Fd(write.as_fd())).unwrap();
        drop(write);
        let mut text = String::new();
        fs::File::from(read).read_to_string(&mut text).unwrap();
        (wait(child.pid), text)
    }

    fn fail(&self, argv: &[&str]) -> SpawnError {
        self.start(argv, Stdio::Null).expect_err("it was started")
    }
}

fn wait(pid: i32) -> Exit {
    loop {
        if let Some(exit) = reap::reap(pid).unwrap() {
            return exit;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("softstop-spawn-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Written by another process: while this one held it open for writing, a fork of a test beside this one would
    /// inherit that, and executing it fail with ETXTBSY.
    fn file(&self, name: &str, content: &str, mode: u32) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let (exit, _) = Want::default().run(&["sh", "-c", "printf %s \"$1\" > \"$0\"", &path, content]);
        assert!(exit.success());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[test]
fn the_child_gets_the_mask_and_the_ignored_signals_as_launched() {
    // 32 is one that glibc's sigprocmask drops.
    let mask = SignalSet::of(&[12, 15, 32, 40]);
    for (mask, ignores_chld) in [(mask, true), (SignalSet::EMPTY, false)] {
        let inherited = Inherited { mask, ignores_chld, ..Inherited::default() };
        let (exit, status) = Want { inherited, ..Want::default() }.run(&["cat", "/proc/self/status"]);
        assert!(exit.success());
        assert_eq!(field(&status, "SigBlk:"), format!("{:016x}", mask.bits()));
        let ignored = |status: &str| SignalSet::from_bits(u64::from_str_radix(field(status, "SigIgn:"), 16).unwrap());
        // The others as they are here.
        let here = ignored(&fs::read_to_string("/proc/self/status").unwrap());
        assert_eq!(ignored(&status), if ignores_chld { here.with(Signal::CHLD) } else { here });
    }
}

#[test]
fn the_child_leads_a_group_of_its_own() {
    let (_, text) = Want::default().run(&["sh", "-c", "echo $$; cut -d' ' -f5 /proc/$$/stat"]);
    let mut lines = text.lines();
    assert_eq!(lines.next(), lines.next());
}

#[test]
fn descriptors_reach_the_child_only_when_kept() {
    let null = fs::File::open("/dev/null").unwrap();
    // High, so that no other test's descriptor has that number; not close-on-exec.
    let high = fcntl(&null, FcntlArg::F_DUPFD(700)).unwrap();
    let list = |keep_fds| Want { keep_fds, ..Want::default() }.run(&["ls", "/proc/self/fd"]).1;
    // 3 is the folder that ls lists.
    assert_eq!(list(false), "0\n1\n2\n3\n");
    assert!(list(true).lines().any(|line| line == high.to_string()));
    nix::unistd::close(high).unwrap();
}

/// Whatever numbers they have here: also each other's, and the one that softstop would have taken for what the child reports.
#[test]
fn what_is_handed_over_is_at_its_number_and_nothing_else_is() {
    let files: Vec<fs::File> = ["/dev/null", "/etc/passwd", "/etc/group"].map(|f| fs::File::open(f).unwrap()).into();
    let numbers = [3, 4, 9];
    let handed = |order: [usize; 3]| -> Vec<Handed<'_>> {
        order.iter().zip(numbers).map(|(file, number)| Handed { number, fd: files[*file].as_fd() }).collect()
    };
    let list =
        "for n in /proc/self/fd/*; do n=${n##*/}; [ $n -gt 2 ] && echo $n $(readlink /proc/$$/fd/$n); done; exit 0";
    for order in [[0, 1, 2], [2, 1, 0], [1, 1, 0]] {
        let handed = handed(order);
        let (_, text) = Want { handed: &handed, ..Want::default() }.run(&["sh", "-c", list]);
        let names = ["/dev/null", "/etc/passwd", "/etc/group"];
        let expected: Vec<String> =
            order.iter().zip(numbers).map(|(file, n)| format!("{n} {}", names[*file])).collect();
        let found: Vec<&str> = text.lines().filter(|line| line.contains('/')).collect();
        assert_eq!(found, expected);
    }
    let handed = handed([0, 1, 2]);
    let error = Want { handed: &handed, ..Want::default() }.fail(&["/nowhere/at-all"]);
    assert_eq!(error.kind, SpawnErrorKind::NotFound, "what the child reports is not lost: {}", error.text);
}

#[test]
fn listen_pid_becomes_the_childs() {
    let env = [("LISTEN_FDS", "1"), ("LISTEN_PID", "1"), ("PATH", "/usr/bin:/bin"), ("LAST", "x")];
    let (_, text) =
        Want { env: &env, ..Want::default() }.run(&["sh", "-c", "echo $LISTEN_PID $LISTEN_FDS $LAST; echo $$ 1 x"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], lines[1]);
    let (_, text) = Want::default().run(&["env"]);
    assert_eq!(text, "", "the environment is exactly what was asked for");
}

#[test]
fn every_exit_code_comes_through() {
    for code in [0, 1, 3, 126, 127, 255] {
        assert_eq!(Want::default().run(&["sh", "-c", &format!("exit {code}")]).0, Exit::Code(code));
    }
}

#[test]
fn death_by_a_real_time_signal_is_told() {
    for number in [37, 64, 9, 15] {
        let signal = Signal::from_number(number).unwrap();
        let child = Want::default().start(&["sleep", "1000"], Stdio::Null).unwrap();
        assert!(reap::peek_at(child.pid).is_none());
        target::signal(child.pid, signal).unwrap();
        let exit = wait(child.pid);
        assert_eq!(exit, Exit::Signal { signal, core: false });
        assert_eq!(target::signal_group(child.pid, signal).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}

#[test]
fn what_is_not_there_is_127() {
    let folder = Folder::new("missing");
    let error = Want { env: &[("PATH", "/nowhere:/bin")], ..Want::default() }.fail(&["no-such-program"]);
    assert_eq!(error.kind, SpawnErrorKind::NotFound);
    assert_eq!(error.text, r#"cannot start "no-such-program": not found in PATH "/nowhere:/bin""#);
    let error = Want::default().fail(&["/no/such/program"]);
    assert_eq!((error.kind, error.kind.exit_code()), (SpawnErrorKind::NotFound, 127));
    assert_eq!(error.text, r#"cannot start "/no/such/program": no such file or directory"#);
    let error = Want { working_dir: Some(&folder.0), ..Want::default() }.fail(&["./here"]);
    let text = format!("cannot start \"./here\" in {:?}: no such file or directory", folder.0);
    assert_eq!(error.text, text);
    assert_eq!(Want::default().fail(&["/etc/passwd/x"]).kind, SpawnErrorKind::NotFound);
    assert_eq!(Want::default().fail(&[""]).kind, SpawnErrorKind::NotFound);
    assert_eq!(Want::default().fail(&[]).kind, SpawnErrorKind::NotFound);
}

#[test]
fn what_cannot_be_executed_is_126_and_says_why() {
    let folder = Folder::new("not-executable");
    let cases = [
        (folder.file("plain", "#!/bin/sh\n", 0o644), "chmod +x"),
        (folder.file("format", "echo hello\n", 0o755), "exec format error: not a program for this machine"),
        (folder.file("interpreter", "#!/no/such/shell -e\n", 0o755), r#"its #! line names "/no/such/shell""#),
        (folder.file("windows", "#!/bin/sh\r\n", 0o755), "Windows line ends"),
        (folder.0.to_str().unwrap().to_owned(), "it is a directory"),
    ];
    for (program, why) in cases {
        let error = Want::default().fail(&[&program]);
        assert_eq!((error.kind, error.kind.exit_code()), (SpawnErrorKind::NotExecutable, 126), "{}", error.text);
        assert!(error.text.contains(why) && error.text.contains(&program), "{}", error.text);
        assert!(!error.text.contains('\n'));
    }
    let long = "x".repeat(200_000);
    assert!(Want::default().fail(&["true", &long]).text.contains("too long"));
}

#[test]
fn the_childs_own_path_is_searched_past_what_cannot_run() {
    let folder = Folder::new("path");
    folder.file("a/tool", "#!/bin/sh\n", 0o644);
    folder.file("b/tool", "#!/bin/sh\necho found\n", 0o755);
    let (a, b) = (folder.0.join("a"), folder.0.join("b"));
    let both = format!("/nowhere:{}:{}", a.display(), b.display());
    let (exit, text) = Want { env: &[("PATH", &both)], ..Want::default() }.run(&["tool"]);
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "found\n"));
    let first = format!("{}:/nowhere", a.display());
    let error = Want { env: &[("PATH", &first)], ..Want::default() }.fail(&["tool"]);
    assert_eq!(error.kind, SpawnErrorKind::NotExecutable, "permission denied explains more than not found");
    assert!(error.text.contains("/a/tool"), "{}", error.text);
}

#[test]
fn the_working_directory_is_entered_or_named() {
    let folder = Folder::new("cwd");
    folder.file("script", "#!/bin/sh\npwd\n", 0o755);
    let (_, text) = Want { working_dir: Some(&folder.0), ..Want::default() }.run(&["./script"]);
    assert_eq!(text.trim(), fs::canonicalize(&folder.0).unwrap().to_str().unwrap());
    let here = std::env::current_dir().unwrap();
    let text = format!("cannot start \"./no-such\" in {here:?}: no such file or directory");
    assert_eq!(Want::default().fail(&["./no-such"]).text, text, "where softstop itself was started");
    let error = Want { working_dir: Some(Path::new("/no/such/place")), ..Want::default() }.fail(&["true"]);
    assert_eq!(error.kind, SpawnErrorKind::Setup);
    let text = r#"cannot start "true": cannot enter its working directory "/no/such/place": no such file or directory"#;
    assert_eq!(error.text, text);
}

#[test]
fn a_failed_start_leaves_no_descriptor_and_no_zombie() {
    let count = || tree::children(std::process::id() as i32).map(|pids| pids.len());
    // Tests beside this one have children too, so only growth by all the failures would show.
    for _ in 0..100 {
        let _ = Want::default().fail(&["/no/such/program"]);
    }
    assert!(count().unwrap() < 50);
    assert!(fs::read_dir("/proc/self/fd").unwrap().count() < 100);
}

#[test]
fn another_user_is_become_for_good() {
    if !not_run::root("to become another user") {
        return;
    }
    let who = Credentials { uid: 12_345, gid: 23_456, groups: vec![34_567, 45_678], home: "/".into(), name: None };
    let (exit, status) = Want { credentials: Some(&who), ..Want::default() }.run(&["cat", "/proc/self/status"]);
    assert!(exit.success());
    assert_eq!(field(&status, "Uid:"), "12345\t12345\t12345\t12345");
    assert_eq!(field(&status, "Gid:"), "23456\t23456\t23456\t23456");
    assert_eq!(field(&status, "Groups:"), "34567 45678");
    assert_eq!(field(&status, "CapEff:"), "0000000000000000");
    let folder = Folder::new("private");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).unwrap();
    let secret = folder.file("tool", "#!/bin/sh\n", 0o755);
    let error = Want { credentials: Some(&who), ..Want::default() }.fail(&[&secret]);
    assert_eq!(error.kind, SpawnErrorKind::NotExecutable);
    assert!(error.text.contains("uid 12345"), "{}", error.text);
}

#[test]
fn a_stopped_child_is_seen_as_one() {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    // Past its own start, in which a program has libraries open.
    let child =
        Want::default().start(&["sh", "-c", "echo ready; while :; do :; done"], Stdio::Fd(write.as_fd())).unwrap();
    fs::File::from(read).read_exact(&mut [0]).unwrap();
    target::signal(child.pid, Signal::STOP).unwrap();
    while procfs::snapshot(child.pid).state != Some('T') {
        std::thread::sleep(Duration::from_millis(1));
    }
    let seen = procfs::snapshot(child.pid);
    assert!(seen.to_string().starts_with("state: T, "), "{seen}");
    assert_eq!((seen.comm.as_deref(), seen.threads), (Some("sh"), Some(1)));
    let soon = std::time::Instant::now() + Duration::from_secs(60);
    let files = victim::files(child.pid, soon).unwrap();
    assert_eq!((files.count, files.complete), (3, true));
    assert_eq!(victim::connections(child.pid, &files, soon).unwrap().sockets, []);
    assert_eq!(victim::threads(child.pid, 9, soon).len(), 1);
    assert_eq!(procfs::catches(child.pid, Signal::TERM), Some(false));
    assert_eq!(reap::reap(child.pid).unwrap(), None, "stopped is not ended");
    target::signal(child.pid, Signal::KILL).unwrap();
    wait(child.pid);
    assert!(!target::group_exists(child.pid));
}

#[test]
fn a_handler_is_seen() {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let script = "trap 'exit 4' USR1; echo ready; while :; do sleep 0.01; done";
    let child = Want::default().start(&["sh", "-c", script], Stdio::Fd(write.as_fd())).unwrap();
    let mut byte = [0];
    fs::File::from(read).read_exact(&mut byte).unwrap();
    assert_eq!(procfs::catches(child.pid, Signal::USR1), Some(true));
    assert_eq!(procfs::catches(child.pid, Signal::HUP), Some(false));
    target::signal(child.pid, Signal::USR1).unwrap();
    assert_eq!(wait(child.pid), Exit::Code(4));
}

#[test]
fn own_descriptors_are_close_on_exec() {
    let null = softstop::sys::process::open_null(false).unwrap();
    let flags = FdFlag::from_bits_truncate(fcntl(&null, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC));
}
