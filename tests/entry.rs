//! What a program has whose `main` is C's and not that of Rust's runtime, which softstop is: `softstop::sys::entry`. Such a program is this
//! test, which runs itself for each case (`play`); so it is its own harness.

#![no_main]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, talks to its reader and waits for its own children"
)]

#[path = "support/not_run.rs"]
mod not_run;
#[path = "support/own_harness.rs"]
mod own_harness;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use softstop::runtime;
use softstop::sys::signals::Early;

softstop::entry!(program);

struct Case {
    name: &'static str,
    run: fn(),
}

const NO_NAMESPACES: &str = "`unshare --pid --mount` fails for this user";

const CASES: &[Case] = &[
    Case { name: "arguments_may_be_any_bytes", run: arguments },
    Case { name: "a_panic_is_said_and_is_exit_code_70", run: panics },
    Case { name: "what_was_printed_last_needs_no_newline", run: unflushed },
    Case { name: "an_abort_ends_it_with_its_signal", run: aborts },
    Case { name: "an_abort_ends_even_pid_1", run: aborts_as_pid_1 },
    Case { name: "a_reader_that_goes_away_changes_no_exit_code", run: broken_pipe },
    Case { name: "closed_descriptors_are_filled", run: closed },
    Case { name: "descriptors_of_the_launcher_are_owned_and_closed", run: handed_on },
    Case { name: "closed_descriptors_are_filled_without_dev_null", run: closed_without_dev_null },
];

fn program(args: Vec<OsString>, early: Early) -> u8 {
    let words: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    if let Some((_, what)) = words.iter().position(|word| word == "play").map(|at| words.split_at(at + 1)) {
        return runtime::refusal::guarded(None, || play(&what[0], &args, early));
    }
    // Nothing is started that must not inherit it.
    early.restore();
    let mut failed = 0;
    for case in own_harness::chosen(&words, CASES, |case| case.name) {
        let ok = std::panic::catch_unwind(case.run).is_ok();
        failed += u8::from(!ok);
        println!("test {} ... {}", case.name, if ok { "ok" } else { "FAILED" });
    }
    failed
}

/// As softstop would: `what` is behind the word "play".
fn play(what: &str, args: &[OsString], early: Early) -> u8 {
    match what {
        "arguments" => {
            assert_eq!(args, std::env::args_os().collect::<Vec<_>>(), "as std sees them");
            std::io::stdout().write_all(args.last().unwrap().as_bytes()).unwrap();
        }
        "panic" => panic!("a fault of our own"),
        "unflushed" => print!("no newline"),
        "abort" => std::process::abort(),
        "broken-pipe" => {
            early.restore();
            let mut written = Ok(());
            while written.is_ok() {
                written = std::io::stdout().write_all(&[b'x'; 4096]);
            }
            assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
            return 7;
        }
        "closed" => {
            let to = [0, 1, 2].map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap());
            let file = args.last().unwrap();
            std::fs::write(file, to.map(|to| to.to_string_lossy().into_owned()).join(" ")).unwrap();
            // An end of file at once, and writing neither blocks nor kills.
            assert_eq!(std::io::Read::read(&mut std::io::stdin(), &mut [0]).unwrap(), 0);
            let _ = std::io::stdout().write_all(b"lost\n");
        }
        "handed-on" => {
            let open = |fd: i32| std::fs::exists(format!("/proc/self/fd/{fd}")).unwrap();
            let mut early = early;
            let fds = early.take_descriptors();
            let numbers: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
            assert!(numbers.contains(&7) && numbers.contains(&9) && numbers.is_sorted(), "{numbers:?}");
            assert!(numbers.iter().all(|fd| *fd >= 3 && open(*fd)), "{numbers:?}");
            drop(fds);
            assert!(!open(7) && !open(9));
            early.restore();
        }
        "left-open" => {
            early.restore();
            assert!(std::fs::exists("/proc/self/fd/7").unwrap());
        }
        what => panic!("no such thing: {what}"),
    }
    0
}

/// Runs this program through `launcher`, for `what`.
fn run(launcher: &[&str], what: &str, more: &[&OsStr]) -> Output {
    let own = std::env::current_exe().unwrap();
    let words: Vec<&OsStr> =
        launcher.iter().map(OsStr::new).chain([own.as_os_str(), "play".as_ref(), what.as_ref()]).collect();
    let output = Command::new(words[0]).args(&words[1..]).args(more).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.code() != Some(127), "{output:?}");
    output
}

fn arguments() {
    let bytes = OsString::from_vec(vec![b'a', 0xff, b' ', 0xc3, b'\n']);
    let output = run(&["env"], "arguments", &[&bytes]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), bytes.as_bytes()), "{output:?}");
}

fn panics() {
    let output = run(&["env"], "panic", &[]);
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("panicked at") && said.contains("a fault of our own"), "{said}");
}

fn unflushed() {
    assert_eq!(run(&["env"], "unflushed", &[]).stdout, b"no newline");
}

fn aborts() {
    assert_eq!(run(&["sh", "-c", "ulimit -c 0; exec \"$@\"", "sh"], "abort", &[]).status.signal(), Some(libc::SIGABRT));
}

/// The kernel drops what a PID 1 sends itself. The C library has another way then.
fn aborts_as_pid_1() {
    let script = "ulimit -c 0; exec unshare --pid --fork --kill-child \"$@\"";
    if !unshare_works() {
        return not_run::skip(NO_NAMESPACES);
    }
    let output = run(&["sh", "-c", script, "sh"], "abort", &[]);
    assert!(!output.status.success() && output.status.code() != Some(0), "{output:?}");
}

fn broken_pipe() {
    let script = "{ \"$@\"; echo $? >&2; } | head -c 10";
    let output = run(&["sh", "-c", script, "sh"], "broken-pipe", &[]);
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "7", "{output:?}");
}

fn closed() {
    let said = closed_through("exec \"$@\" <&- >&- 2>&-");
    assert_eq!(said, "/dev/null /dev/null /dev/null");
}

fn handed_on() {
    for what in ["handed-on", "left-open"] {
        let output = run(&["sh", "-c", "exec \"$@\" 7</dev/null 9</dev/null", "sh"], what, &[]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn closed_without_dev_null() {
    if !unshare_works() {
        return not_run::skip(NO_NAMESPACES);
    }
    let script = "exec unshare -m sh -c 'mount -t tmpfs none /dev && exec \"$@\" <&- >&- 2>&-' sh \"$@\"";
    let said = closed_through(script);
    assert_eq!(said.matches("pipe:").count(), 3, "{said}");
}

fn closed_through(script: &str) -> String {
    let file = std::env::temp_dir().join(format!("softstop-entry-{}", std::process::id()));
    let output = run(&["sh", "-c", script, "sh"], "closed", &[file.as_os_str()]);
    assert!(output.status.success(), "{output:?}");
    let said = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    said
}

fn unshare_works() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--mount", "--fork", "true"]).stderr(Stdio::null());
    unshare.status().is_ok_and(|status| status.success())
}
