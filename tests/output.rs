//! Output against real pipes, sockets, terminals and children: what nobody reads blocks nothing, what somebody reads in
//! the end arrives whole and in order.

#![allow(clippy::unwrap_used, reason = "a test's helpers too")]
#![allow(
    clippy::disallowed_methods,
    reason = "readers run in threads and children are waited for: no reaper runs here"
)]

#[path = "support/not_run.rs"]
mod not_run;
#[path = "support/pty.rs"]
mod pty;

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use softstop::config::{LogFormat, LogLevel, Output};
use softstop::output::sink::{MEMORY_MAX, QUEUE_MAX};
use softstop::output::{Capture, Captures, Sink, Source, Stream, log};
use softstop::sys::stdio::{Writer, pipe};
use tokio::time::{Instant, sleep, timeout};

/// Only who hangs needs all of it.
const LIMIT: Duration = Duration::from_secs(300);

/// One thread, as softstop has it. A write that blocks would block the limit too, so SIGALRM stands behind it.
fn run<T>(test: impl Future<Output = T>) -> T {
    nix::unistd::alarm::set(600);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { timeout(LIMIT, test).await.expect("it hangs") })
}

/// An ordinary pipe, as a container runtime gives it.
fn plain_pipe() -> (File, OwnedFd) {
    // Not for the children of the tests beside this one.
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (File::from(read), write)
}

fn writer(fd: impl AsFd) -> Option<Writer> {
    Some(Writer::new(fd.as_fd()).unwrap())
}

/// Reads to the end in small bites.
fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut bite = [0; 1000];
        loop {
            match from.read(&mut bite).unwrap() {
                0 => return all,
                n => all.extend(&bite[..n]),
            }
            std::thread::yield_now();
        }
    })
}

fn child(source: &Source, script: &str) -> (Child, Capture) {
    let (out, out_child) = pipe().unwrap();
    let (err, err_child) = pipe().unwrap();
    let child = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::from(out_child))
        .stderr(Stdio::from(err_child))
        .spawn()
        .unwrap();
    (child, source.capture(out, err).unwrap())
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

fn soon() -> Instant {
    Instant::now() + LIMIT
}

/// Runs the script to its end with its output over the stream `to`; what came out on it.
fn output_of(script: &str, output: Output, to: (impl Read + Send + 'static, impl AsFd)) -> Vec<u8> {
    let (read, write) = to;
    let sink = Sink::over(writer(&write), None);
    drop(write);
    let reader = reader(read);
    run(async {
        let captures = Captures::new(sink.clone(), ["web", "worker"], Rc::default());
        tokio::task::spawn_local(sink.clone().pump());
        let (mut child, capture) = child(&captures.source("web", output), script);
        until("the child's output ends", || {
            assert!(sink.queued(Stream::Stdout) <= MEMORY_MAX);
            capture.is_done()
        })
        .await;
        captures.finish().await;
        assert!(sink.flush_until(soon()).await);
        assert_eq!(sink.lost(Stream::Stdout), 0);
        child.wait().unwrap();
    });
    drop(sink);
    reader.join().unwrap()
}

#[test]
fn a_full_pipe_that_nobody_reads_blocks_nothing_and_its_flags_stay() {
    let (read, write) = plain_pipe();
    let before = fcntl(&write, FcntlArg::F_GETFL).unwrap();
    let sink = Sink::over(None, writer(&write));
    let _guard = tracing::subscriber::set_default(log::subscriber(LogLevel::Info, LogFormat::Text, &sink));

    let mut lines = Vec::new();
    while !sink.is_full(Stream::Stderr) {
        let line = format!("child {}\n", lines.len());
        sink.push(Stream::Stderr, line.as_bytes());
        sink.flush_some();
        lines.push(line);
    }
    assert!(lines.concat().len() >= QUEUE_MAX + 65_536 - 4096, "the pipe and the queue are full");
    tracing::info!("has the reserve");
    for i in 0..100_000 {
        tracing::info!("log {i}");
    }
    assert!(sink.queued(Stream::Stderr) <= MEMORY_MAX);
    let dropped = sink.lost(Stream::Stderr);
    assert!((1..100_000).contains(&dropped), "{dropped}");
    assert_eq!(fcntl(&write, FcntlArg::F_GETFL).unwrap(), before);

    let hurried = run(async { sink.flush_until(Instant::now() + Duration::from_millis(50)).await });
    assert!(!hurried, "nobody reads: the deadline ends it");

    let reader = reader(read);
    run(async {
        assert!(sink.flush_until(soon()).await);
        sink.flush_some();
    });
    drop((sink, _guard, write));
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    assert!(text.starts_with(&lines.concat()), "children's lines come first, all of them");
    let log = &text[lines.concat().len()..];
    assert!(log.starts_with("softstop: has the reserve\nsoftstop: log 0\n"));
    assert_eq!(log.lines().filter(|l| l.starts_with("softstop: log ")).count() as u64, 100_000 - dropped);
    let notice = format!("softstop: warning: {dropped} log lines were dropped because nobody read standard error\n");
    assert!(log.ends_with(&notice), "{}", &log[log.len() - 200..]);
}

#[test]
fn five_megabytes_arrive_whole_and_in_order_through_a_slow_reader() {
    let got = output_of("seq 1 720000", Output::Prefix, plain_pipe());
    let mut expected = String::new();
    for i in 1..=720_000 {
        expected.push_str(&format!("web    | {i}\n"));
    }
    assert!(expected.len() > 5_000_000);
    assert!(got == expected.as_bytes(), "{} of {} bytes", got.len(), expected.len());
}

#[test]
fn a_socket_does_as_well() {
    let (read, write) = UnixStream::pair().unwrap();
    let got = output_of("seq 1 100000", Output::Prefix, (read, write));
    let lines: Vec<&[u8]> = got.split(|b| *b == b'\n').collect();
    assert_eq!(lines.len(), 100_001);
    assert!(lines.iter().zip(1..).take(100_000).all(|(l, i)| l == &format!("web    | {i}").into_bytes()));
}

#[test]
fn bytes_that_are_no_text_pass_and_the_last_line_gets_its_newline() {
    let got = output_of(r"printf 'a\000\377\r\n\nlast'", Output::Prefix, plain_pipe());
    assert_eq!(got, b"web    | a\0\xff\r\nweb    | \nweb    | last\n");
    let got = output_of(r"printf 'a\000\377\nlast'", Output::Json, plain_pipe());
    let lines: Vec<serde_json::Value> =
        got.split_inclusive(|b| *b == b'\n').map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(lines[0]["line"], "a\0\u{fffd}");
    assert_eq!(
        (&lines[1]["line"], &lines[1]["process"], &lines[1]["stream"]),
        (&"last".into(), &"web".into(), &"stdout".into())
    );
    assert!(humantime::parse_rfc3339(lines[1]["timestamp"].as_str().unwrap()).is_ok());
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_line_of_a_megabyte_comes_in_marked_pieces_that_join_to_it() {
    let script = "seq 1 300000 | tr '\\n' , | head -c 1000000; echo; echo next";
    let expected: String = (1..=300_000).map(|i| format!("{i},")).collect::<String>()[..1_000_000].to_owned();
    let got = String::from_utf8(output_of(script, Output::Prefix, plain_pipe())).unwrap();
    let mut joined: Vec<String> = Vec::new();
    let mut cut = false;
    for line in got.lines() {
        // Behind a piece that more follows there is a mark; the rest has another sign in front.
        let text = line.strip_suffix(" [cut]").unwrap_or(line);
        match (text.strip_prefix("web    | "), text.strip_prefix("web    + "), joined.last_mut()) {
            (Some(text), ..) if !cut => joined.push(text.to_owned()),
            (_, Some(text), Some(last)) if cut => last.push_str(text),
            _ => panic!("{line:?}"),
        }
        cut = text.len() < line.len();
    }
    assert!(joined == [expected.as_str(), "next"]);

    let got = String::from_utf8(output_of(script, Output::Json, plain_pipe())).unwrap();
    let mut joined = vec![String::new()];
    for line in got.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()) {
        assert_eq!(line.get("continued").is_some(), !joined.last().unwrap().is_empty());
        joined.last_mut().unwrap().push_str(line["line"].as_str().unwrap());
        if line.get("partial").is_none() {
            joined.push(String::new());
        }
    }
    assert!(joined == [expected.as_str(), "next", ""]);
}

#[test]
fn what_a_full_disk_tore_begins_on_a_new_line_later() {
    // A file system of 64 KiB of our own, which goes with the last who has something open in it.
    let at = std::env::temp_dir().join(format!("softstop-full-{}", std::process::id()));
    std::fs::create_dir_all(&at).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&at).status().unwrap();
    if !mount.success() {
        std::fs::remove_dir(&at).unwrap();
        return not_run::skip("mounting is not permitted");
    }
    let file = File::options().read(true).write(true).create_new(true).open(at.join("out")).unwrap();
    assert!(Command::new("umount").arg("--lazy").arg(&at).status().unwrap().success());
    std::fs::remove_dir(&at).unwrap();
    // Its place is shared with the sink.
    let all = || {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let sink = Sink::over(writer(&file), None);
    for i in 0..20_000 {
        sink.push(Stream::Stdout, format!("line {i}\n").as_bytes());
    }
    assert!(run(async { sink.flush_until(soon()).await }));
    let lost = sink.lost(Stream::Stdout);
    let kept = all();
    // Room again, as after a log rotation by truncation.
    file.set_len(10).unwrap();
    nix::unistd::lseek(&file, 10, nix::unistd::Whence::SeekSet).unwrap();
    sink.push(Stream::Stdout, b"after\n");
    assert!(run(async { sink.flush_until(soon()).await }));

    assert_eq!(kept.len(), 65_536);
    let whole = kept.lines().count() as u64 - u64::from(!kept.ends_with('\n'));
    assert_eq!(whole + lost, 20_000, "every line is there or counted");
    let torn = if kept.ends_with('\n') { "" } else { "\n" };
    assert_eq!(all()[10..], format!("{torn}after\n"));
}

#[test]
fn closed_descriptors_discard() {
    let sink = Sink::over(None, None);
    sink.push(Stream::Stdout, b"x\n");
    sink.push_log(b"y\n");
    assert!(sink.is_empty());
    assert!(run(async { sink.flush_until(soon()).await }));
}

#[test]
fn a_grandchild_that_holds_the_pipe_is_not_waited_for_and_still_heard() {
    let (read, write) = plain_pipe();
    let (go_read, mut go_write) = std::io::pipe().unwrap();
    let sink = Sink::over(writer(&write), None);
    drop(write);
    let reader = reader(read);
    run(async {
        let captures = Captures::new(sink.clone(), ["web"], Rc::default());
        tokio::task::spawn_local(sink.clone().pump());
        let source = captures.source("web", Output::Prefix);
        let (out, out_child) = pipe().unwrap();
        let (err, err_child) = pipe().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0; (read line <&3; echo late $line) & printf last; exit 0"])
            .stdin(Stdio::from(go_read))
            .stdout(Stdio::from(out_child))
            .stderr(Stdio::from(err_child))
            .spawn()
            .unwrap();
        let capture = source.capture(out, err).unwrap();
        child.wait().unwrap();
        let (told, tail) = (std::rc::Rc::new(std::cell::RefCell::default()), source.clone());
        let tell = std::rc::Rc::clone(&told);
        capture.process_ended(move || *tell.borrow_mut() = tail.tail());
        until("the last words are heard", || *told.borrow() == ["last"]).await;
        assert_eq!(source.tail(), ["last"]);

        go_write.write_all(b"words\n").unwrap();
        until("the grandchild is heard", || source.tail() == ["last", "late words"]).await;
        source.forget_tail();
        assert!(source.tail().is_empty(), "another run begins");
        captures.finish().await;
        assert!(sink.flush_until(soon()).await);
    });
    drop(sink);
    assert_eq!(String::from_utf8(reader.join().unwrap()).unwrap(), "web | last\nweb | late words\n");
}

#[test]
fn the_end_is_bounded_when_a_survivor_writes_on_and_when_nobody_reads() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    let (_unread, write) = plain_pipe();
    for (out, all) in [(writer(&null), true), (writer(&write), false)] {
        let sink = Sink::over(out, None);
        run(async {
            let captures = Captures::new(sink.clone(), ["web"], Rc::default());
            tokio::task::spawn_local(sink.clone().pump());
            let (mut child, _capture) = child(&captures.source("web", Output::Prefix), "exec yes");
            // A busy child keeps no timer from its turn.
            for _ in 0..50 {
                sleep(Duration::from_millis(1)).await;
            }
            if !all {
                until("the queue is full", || sink.is_full(Stream::Stdout)).await;
            }
            let deadline = if all { soon() } else { Instant::now() + Duration::from_millis(50) };
            let finish = async {
                captures.finish().await;
                sink.flushed().await;
            };
            // Though it writes on, the reader being as fast as it is.
            assert_eq!(tokio::time::timeout_at(deadline, finish).await.is_ok(), all);
            assert!(sink.queued(Stream::Stdout) <= MEMORY_MAX);
            assert_eq!(sink.lost(Stream::Stdout), 0);
            if !all {
                let queued = sink.queued(Stream::Stdout) / "web | y\n".len();
                let held = captures.discard();
                assert!(held[0] > 0 && held[1] == 0, "what is in its pipe: {held:?}");
                sink.give_up(held, "nobody reads them");
                let lost = sink.lost(Stream::Stdout);
                assert!(lost.abs_diff(queued as u64 + held[0]) <= 1, "{lost} lines of {queued} and {held:?}");
                assert!(sink.is_empty());
            }
            child.kill().unwrap();
            child.wait().unwrap();
        });
    }
}

#[test]
fn a_stopped_terminal_blocks_nothing_and_goes_on_later() {
    use nix::sys::termios::{FlowArg, tcflow};
    let pty = pty::open();
    let before = fcntl(&pty.slave, FcntlArg::F_GETFL).unwrap();
    let sink = Sink::over(writer(&pty.slave), None);
    tcflow(&pty.slave, FlowArg::TCOOFF).unwrap();
    for i in 0..10_000 {
        sink.push(Stream::Stdout, format!("line {i}\n").as_bytes());
        sink.flush_some();
    }
    assert!(!sink.is_empty());
    assert_eq!(fcntl(&pty.slave, FcntlArg::F_GETFL).unwrap(), before);
    tcflow(&pty.slave, FlowArg::TCOON).unwrap();
    let mut master = File::from(pty.master);
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut bite = [0; 1000];
        while !text.ends_with(b"line 9999\r\n") {
            let n = master.read(&mut bite).unwrap();
            text.extend(&bite[..n]);
        }
        text
    });
    assert!(run(async { sink.flush_until(soon()).await }));
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    assert!(text.lines().enumerate().all(|(i, l)| l == format!("line {i}")));
}

#[test]
fn nothing_queued_wakes_nobody() {
    let (_read, write) = plain_pipe();
    let sink = Sink::over(None, writer(&write));
    run(async {
        assert!(timeout(Duration::from_millis(20), sink.writable()).await.is_err());
        sink.push_log(b"x\n");
        assert!(sink.is_empty(), "written at once");
        assert!(timeout(Duration::from_millis(20), sink.writable()).await.is_err());
    });
}

fn logged(level: LogLevel, format: LogFormat) -> String {
    let (mut read, write) = plain_pipe();
    let sink = Sink::over(None, writer(&write));
    tracing::subscriber::with_default(log::subscriber(level, format, &sink), || {
        tracing::info!(process = "web", pid = 7, "web is ready");
        tracing::warn!("two\nlines \x1b[31m é");
        tracing::error!(error = %std::io::Error::other("no"), "failed");
        tracing::debug!(process = "web", n = 3, "seen");
    });
    drop((sink, write));
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_log_is_one_line_an_event() {
    assert_eq!(
        logged(LogLevel::Debug, LogFormat::Text),
        "softstop: web is ready\n\
         softstop: warning: two\\nlines \\u{1b}[31m é\n\
         softstop: error: failed\n\
         softstop: debug: seen process=web n=3\n"
    );
    assert_eq!(logged(LogLevel::Error, LogFormat::Text), "softstop: error: failed\n");

    let json = logged(LogLevel::Info, LogFormat::Json);
    let lines: Vec<serde_json::Value> = json.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&"INFO".into(), &"web is ready".into()));
    assert_eq!((&lines[0]["process"], &lines[0]["pid"]), (&"web".into(), &7.into()));
    assert!(humantime::parse_rfc3339(lines[0]["timestamp"].as_str().unwrap()).is_ok(), "{json}");
    assert_eq!(lines[2]["error"], "no");
}

#[test]
fn lines_stay_whole_beside_another_writer_of_the_same_pipe() {
    let (read, write) = plain_pipe();
    let sink = Sink::over(None, writer(&write));
    let mut child = Command::new("sh")
        .args(["-c", "i=0; while [ $i -lt 5000 ]; do echo theirs $i; i=$((i+1)); done"])
        .stdout(Stdio::from(write))
        .spawn()
        .unwrap();
    let reader = reader(read);
    run(async {
        tokio::task::spawn_local(sink.clone().pump());
        for i in 0..5000 {
            sink.push(Stream::Stderr, format!("ours {i} {}\n", "x".repeat(i % 300)).as_bytes());
            sink.flush_some();
            sink.room(Stream::Stderr).await;
        }
        assert!(sink.flush_until(soon()).await);
    });
    child.wait().unwrap();
    drop(sink);
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    let (ours, theirs): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with("ours"));
    assert!(ours.iter().enumerate().all(|(i, l)| *l == format!("ours {i} {}", "x".repeat(i % 300))));
    assert!(theirs.iter().enumerate().all(|(i, l)| *l == format!("theirs {i}")));
    assert_eq!((ours.len(), theirs.len()), (5000, 5000));
}

/// Time this thread has spent on a processor.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn waiting_for_a_reader_that_never_comes_costs_nothing() {
    let (_unread, write) = plain_pipe();
    let sink = Sink::over(writer(&write), writer(&write));
    run(async {
        let captures = Captures::new(sink.clone(), ["web"], Rc::default());
        tokio::task::spawn_local(sink.clone().pump());
        let (mut child, _capture) = child(&captures.source("web", Output::Prefix), "yes & exec yes >&2");
        until("both queues are full", || sink.is_full(Stream::Stdout) && sink.is_full(Stream::Stderr)).await;
        sleep(Duration::from_millis(10)).await;
        let before = busy();
        sleep(Duration::from_millis(500)).await;
        let cost = busy() - before;
        assert!(cost < Duration::from_millis(10), "{cost:?} of 500 ms");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
