//! The static build, which is what images get: nothing of NSS, of the dynamic loader or of `iconv` is in it, and nothing of an image's
//! libraries gets into it.

#![expect(unsafe_code, reason = "std does not say what a child has cost")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::podman::{done, find, static_binaries, static_with_symbols};
use crate::support::faults;
use crate::support::proof::attach;
use crate::support::{Dir, Launch, database_before_web, namespaces, skip};

/// Names that lead to NSS modules, to other shared objects, or to a character set's.
const ENTRIES: &[&str] = &[
    "getaddrinfo",
    "getnameinfo",
    "gethostbyname",
    "gethostbyname_r",
    "gethostbyname2_r",
    "gethostbyaddr_r",
    "getservbyname_r",
    "getpwnam",
    "getpwnam_r",
    "getpwuid",
    "getpwuid_r",
    "getpwent_r",
    "getgrnam",
    "getgrnam_r",
    "getgrgid",
    "getgrgid_r",
    "getgrouplist",
    "initgroups",
    "dlopen",
    "dlmopen",
    "dlvsym",
    "_dl_open",
    "_dl_sym",
    "dl_open_worker",
    "iconv",
    "iconv_open",
    "setlocale",
    "newlocale",
    "__libc_unwind_link_get",
];
const FAMILIES: &[&str] = &["__nss_", "_nss_", "__nscd_", "nscd_", "__res_", "_dl_open"];
/// The C library's, in whose place stand functions that answer "not there": src/sys/loading.rs.
const OURS: &[&str] = &["dlsym", "__libc_dlopen_mode", "__libc_dlsym", "__libc_dlvsym", "__libc_dlclose"];
/// What the C library has for texts, locales, character sets, files and loading, and softstop has no use for: half a megabyte.
const NEEDLESS: &[&str] = &[
    "__vfprintf_internal",
    "__dcigettext",
    "__gconv_find_transform",
    "_nl_find_locale",
    "_nl_C_LC_CTYPE",
    "_IO_new_file_write",
    "_dl_map_object",
    "_dl_relocate_object",
    "__strncmp_avx2",
];
/// What is made anew for each type, and here once: the standard library's sorts, tokio's tasks. A few are of libraries. The part of the name, and how many.
const MANY: &[(&str, usize)] = &[("quicksort", 6), ("drop_join_handle_slow", 6)];
/// In bytes: two instructions.
const SMALL: u64 = 16;

/// Defined symbols with their sizes.
fn symbols(file: &std::path::Path) -> BTreeMap<String, u64> {
    let listed = done(Command::new("nm").args(["--format=posix", "--defined-only"]).arg(file));
    let lines = listed.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let size = |words: &[&str]| words.get(3).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    lines.map(|words| (words[0].to_owned(), size(&words))).collect()
}

fn leads_to_foreign_code(name: &str) -> bool {
    ENTRIES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

#[test]
fn no_name_service_no_loader_and_no_character_sets_are_in_the_static_file() {
    if find("nm").is_none() {
        return skip("nm is not installed");
    }
    let Some(file) = static_with_symbols() else {
        return skip("SOFTSTOP_STATIC has no symbols");
    };
    let symbols = symbols(&file);
    for name in ["main", "malloc", "fork"] {
        assert!(symbols.contains_key(name), "{name} is not among the {} symbols: what is read here?", symbols.len());
    }
    let found: Vec<&String> = symbols.keys().filter(|name| leads_to_foreign_code(name)).collect();
    assert!(found.is_empty(), "foreign code can be reached by {found:?}");
    let found: Vec<&&str> = NEEDLESS.iter().filter(|name| symbols.contains_key(**name)).collect();
    assert!(
        found.is_empty(),
        "the C library brings in {found:?} again: see src/sys/c_texts.rs, c_strings.rs and loading.rs"
    );
    for (part, most) in MANY {
        let found: Vec<&String> = symbols.keys().filter(|name| name.contains(part)).collect();
        assert!(
            found.len() <= *most,
            "each is made anew for every type: see src/sorted.rs and src/tasks.rs: {found:#?}"
        );
    }
    assert!(
        !symbols.keys().any(|name| name.contains("rustc_demangle2v0")),
        "backtraces are printed again: see link/cc"
    );
    for name in OURS {
        if let Some(size) = symbols.get(*name) {
            assert!(*size <= SMALL, "{name} has {size} bytes: it is the C library's, not ours");
        }
    }
    let bytes = std::fs::read(&file).unwrap();
    for text in ["nsswitch.conf", "libnss_", "libgcc_s.so"] {
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text:?} stands in the static file");
    }
}

/// The C library has a function for it, and link/cc has made it one that returns at once.
#[test]
fn before_main_the_processor_is_not_asked_how_large_its_caches_are() {
    let Some(file) = static_with_symbols().filter(|_| cfg!(target_arch = "x86_64")) else {
        return skip("SOFTSTOP_STATIC has no symbols, or is for a processor that is not asked");
    };
    if find("objdump").is_none() || find("nm").is_none() {
        return skip("no binutils");
    }
    for maker in ["handle_intel", "handle_amd"] {
        let symbols = symbols(&file);
        let function = symbols.keys().find(|name| name.split('.').next() == Some(maker));
        let function =
            function.unwrap_or_else(|| panic!("the C library has no {maker}: is this another one? See link/cc"));
        let mut objdump = Command::new("objdump");
        let shown = done(objdump.args(["--no-show-raw-insn", &format!("--disassemble={function}")]).arg(&file));
        let first = shown.lines().skip_while(|line| !line.ends_with(">:")).nth(1).unwrap_or_default();
        assert!(first.contains("jmp"), "{function} asks: see link/cc: {first:?}\n{shown}");
    }
}

#[test]
fn the_test_itself_can_fail() {
    for name in ["getaddrinfo", "__nss_module_load", "_nss_files_getpwnam_r", "_dl_open", "iconv_open"] {
        assert!(leads_to_foreign_code(name), "{name}");
    }
    for name in ["getgroups", "main", "_dl_relocate_static_pie", "_dl_find_object"] {
        assert!(!leads_to_foreign_code(name), "{name}");
    }
}

const NSSWITCH: &str =
    "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\nhosts: files resolve mymachines dns\n";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nlogs:x:4321:www-data\n";

/// Modules that end whoever loads them with 99.
fn traps(dir: &Dir) -> Option<String> {
    let source = dir
        .write("trap.c", "#include <unistd.h>\n__attribute__((constructor)) static void sprung(void) { _exit(99); }\n");
    std::fs::create_dir(dir.path("traps")).unwrap();
    for module in ["systemd", "resolve", "mymachines", "dns", "files", "compat"] {
        let to = dir.text(&format!("traps/libnss_{module}.so.2"));
        if !Command::new("cc").args(["-shared", "-fPIC", "-o", &to, &source]).status().is_ok_and(|s| s.success()) {
            skip("no C compiler");
            return None;
        }
    }
    Some(dir.text("traps"))
}

/// The static build with this /etc, and the traps where a loader would look first.
fn launch(args: &[&str], etc: &str, traps: Option<&str>) -> Launch {
    let path = format!("LD_LIBRARY_PATH={}", traps.unwrap_or("/nowhere"));
    Launch::new(args.iter().copied())
        .program(&static_binaries().0)
        .through(&["unshare", "--mount", "sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\"", etc])
        .through(&["env", &path])
}

#[test]
fn with_systemd_in_nsswitch_a_static_softstop_starts_its_users_and_finds_its_hosts() {
    needs!(faults::possible());
    let dir = Dir::new();
    let Some(traps) = traps(&dir) else { return };
    std::fs::create_dir(dir.path("etc")).unwrap();
    for (name, text) in [
        ("nsswitch.conf", NSSWITCH),
        ("passwd", PASSWD),
        ("group", GROUP),
        ("hosts", "127.0.0.1 localhost web.internal\n"),
    ] {
        std::fs::write(dir.path("etc").join(name), text).unwrap();
    }
    let etc = dir.text("etc");
    // Nothing but the shell's own words: a program of the image may load what it likes.
    let who = "while read -r k a b; do case $k in Uid:) u=$a;; Gid:) g=$a;; Groups:) s=\"$a $b\";; esac; done </proc/self/status; \
        echo $u $g - $s - $HOME $USER";
    let web = dir.script("web", who);
    // The traps are real: a dynamic program runs into them.
    let script = "mount --bind \"$0\" /etc && LD_LIBRARY_PATH=\"$1\" getent passwd nobody-here";
    let sprung = Command::new("unshare").args(["--mount", "sh", "-c", script, &etc, &traps]).status().unwrap();
    assert_eq!(sprung.code(), Some(99));
    for modules in [None, Some(traps.as_str())] {
        for (user, code, says) in [
            ("www-data", 0, "web | 33 33 - 33 4321 - /var/www www-data"),
            ("10001", 0, "web | 10001 0 - - /"),
            ("10001:10001", 0, "web | 10001 10001 - - /"),
            ("nobody-here", 126, "unknown user \"nobody-here\": not in /etc/passwd"),
        ] {
            let config = database_before_web(&dir, user, &format!("[\"{web}\"]"));
            let ended = launch(&["run", "-c", &config], &etc, modules).run();
            ended.expect_code(code).expect(says).expect("db  | told");
        }
        for (host, says) in [("web.internal", "connection refused"), ("no-such.internal", "is not in /etc/hosts")] {
            let target = format!("tcp://{host}:1");
            launch(&["probe", &target, "--timeout", "60s"], &etc, modules).run().expect_code(1).expect(says);
        }
    }
}

/// Until they are held, the kernel drops a SIGTERM to PID 1; with a small CPU limit what a C library does before `main` can take tenths of a second.
#[test]
fn a_sigterm_milliseconds_after_the_start_under_a_tight_cpu_limit_meets_signals_that_are_held() {
    let dir = Dir::new();
    let calls = dir.path("calls");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&calls).arg(&static_binaries().0).arg("--version");
    if strace.output().is_err() {
        return skip("no strace");
    }
    let calls = std::fs::read_to_string(&calls).unwrap();
    let mut calls = calls.lines();
    let (exec, first) = (calls.next().unwrap_or_default(), calls.next().unwrap_or_default());
    assert!(exec.starts_with("execve("), "{exec}");
    // Before the C library's first one.
    assert!(
        first.starts_with("rt_sigprocmask(SIG_SETMASK, ~[ILL TRAP ABRT BUS FPE KILL SEGV STOP SYS], []"),
        "{first}"
    );
}

/// What the start of a wrapper may cost, for a program that does nothing: what was measured, and a tenth to spare. docs/performance.md has the
/// aims, which are lower; whoever needs more writes there why.
mod cost {
    /// In bytes, stripped: 3,743,312 (2026-11-26), and room for what a fault mended takes.
    pub(super) const BINARY: u64 = 3_800_000;
    /// Of softstop and of the program, which has a few of its own.
    pub(super) const PAGE_FAULTS: i64 = 190;
    /// From its exec to the fork for the program, the C library's own included.
    pub(super) const CALLS_BEFORE_THE_FORK: usize = 75;
    /// From SIGTERM to the exit, with a program that ends at once: softstop's own.
    pub(super) const CALLS_OF_A_STOP: usize = 50;
    pub(super) const PAGE_FAULTS_OF_A_STOP: u64 = 20;
}

/// Starts it, waits for its end, and says how many pages it, and whom it has waited for, had to be given.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
fn page_faults(command: &mut Command) -> i64 {
    let child = command.spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: all-zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pid is a child's that nobody else waits for; the pointer is to live memory, and null asks for no status.
    let waited = unsafe { libc::wait4(pid, std::ptr::null_mut(), 0, &raw mut usage) };
    assert_eq!(waited, pid);
    usage.ru_minflt
}

#[test]
fn the_start_of_a_wrapper_takes_no_more_pages_and_system_calls_and_the_file_no_more_bytes_than_is_written_down() {
    let (softstop, web) = static_binaries();
    let bytes = std::fs::metadata(&softstop).unwrap().len();
    assert!(bytes <= cost::BINARY, "the static file has {bytes} bytes");
    // At a fixed address: nothing is relocated.
    let header = std::fs::read(&softstop).unwrap();
    assert_eq!(u16::from_le_bytes([header[16], header[17]]), 2, "ET_EXEC");
    let quiet = || {
        // The example service, which is static and ends at once when told to listen nowhere.
        let mut command = Command::new(&softstop);
        command.arg("--").arg(&web).env_clear().env("WEB_LISTEN", "nowhere");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let least = (0..10).map(|_| page_faults(&mut quiet())).min().unwrap();
    assert!(least <= cost::PAGE_FAULTS, "{least} page faults");
    let dir = Dir::new();
    let calls = dir.path("calls");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&calls).arg(&softstop).arg("--").arg(&web).env("WEB_LISTEN", "nowhere");
    if strace.output().is_err() {
        return skip("no strace");
    }
    let calls = std::fs::read_to_string(&calls).unwrap();
    // What comes after it depends on who is first.
    let (before, forked) =
        (calls.lines().skip(1).take_while(|line| !line.starts_with("clone")), calls.contains("\nclone"));
    let before = before.count();
    assert!(forked && before <= cost::CALLS_BEFORE_THE_FORK, "{before} system calls before the fork:\n{calls}");
}

/// On a busy machine it may look after itself in the middle of it, which costs more: the least of some counts.
const TRIES: usize = 10;

#[test]
fn from_sigterm_to_the_exit_a_wrapper_takes_no_more_system_calls_and_pages_than_is_written_down() {
    let (softstop, _) = static_binaries();
    needs!(namespaces());
    let dir = Dir::new();
    let calls = dir.text("calls");
    // As PID 1, as it is in an image. A pod has a termination log, which is written.
    let calls_made = least(cost::CALLS_OF_A_STOP, || {
        let launch = Launch::new(["--", "sleep", "60"]).program(&softstop).env("SOFTSTOP_TERMINATION_LOG", "");
        let mut running = launch.start();
        running.wait_until("the program is started", |r| r.printed().contains("started (pid "));
        let mut strace = attach(&mut running, &["-o", &calls])?;
        running.stop();
        strace.wait().unwrap();
        let calls = std::fs::read_to_string(&calls).unwrap();
        // What is read is a siginfo, which begins with the number.
        let told = calls.lines().skip_while(|line| !(line.starts_with("read(") && line.contains(r#""\17\0\0\0"#)));
        assert!(calls.ends_with("+++ exited with 143 +++\n"), "{calls}");
        Some(told.count())
    });
    match calls_made {
        Some(made) => assert!(made > 1 && made <= cost::CALLS_OF_A_STOP, "{made} system calls from SIGTERM on"),
        None => return skip("no strace"),
    }
    let faults = least(cost::PAGE_FAULTS_OF_A_STOP, || Some(page_faults_of_a_stop(&softstop))).unwrap();
    assert!(faults <= cost::PAGE_FAULTS_OF_A_STOP, "{faults} page faults from SIGTERM on");
}

fn least<T: Copy + Ord>(enough: T, mut count: impl FnMut() -> Option<T>) -> Option<T> {
    let mut least: Option<T> = None;
    for _ in 0..TRIES {
        let found = count()?;
        let so_far = least.map_or(found, |least| least.min(found));
        if so_far <= enough {
            return Some(so_far);
        }
        least = Some(so_far);
    }
    least
}

/// Its own, without those whom it waits for. What its start still takes when it is asked the first time counts, too.
fn page_faults_of_a_stop(softstop: &std::path::Path) -> u64 {
    let mut command = Command::new(softstop);
    command.args(["--", "sleep", "60"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    while !log.next().expect("it ended before it had started anything").unwrap().contains("started") {}
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let faults = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        (fields[0] == "S", fields[7].parse::<u64>().unwrap())
    };
    let mut before = faults();
    loop {
        std::thread::yield_now();
        let now = faults();
        if now.0 && now == before {
            break;
        }
        before = now;
    }
    kill(pid, Signal::SIGTERM).unwrap();
    // It stays a zombie, whose count can still be read.
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    let after = faults().1;
    child.wait().unwrap();
    after - before.1
}
