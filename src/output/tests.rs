use std::io::Write;
use std::rc::Rc;

use super::*;
use crate::config::{LogFormat, LogLevel};
use crate::sys::stdio::{Writer, pipe};

/// One thread, as softstop has it.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect("never");
}

/// One run of a process that is a file for each of its streams.
fn capture(source: &Source) -> (Capture, [File; 2]) {
    let ((out, out_child), (err, err_child)) = (pipe().unwrap(), pipe().unwrap());
    (source.capture(out, err).unwrap(), [out_child, err_child].map(File::from))
}

#[test]
fn each_process_has_its_colour_and_they_come_again() {
    let captures = Captures::new(Sink::coloured(None, None, [true, false]), ["web", "db"], Rc::default());
    let colours: Vec<[Option<u8>; 2]> = (0..COLOURS.len() + 2)
        .map(|_| {
            let source = captures.source("web", Output::Prefix);
            source.ways.each_ref().map(|way| match &way.format {
                Format::Prefix { heads, .. } => {
                    let head = String::from_utf8(heads[0].clone()).unwrap();
                    assert!(head.contains("web |"), "{head}");
                    head.strip_prefix("\x1b[").and_then(|head| head.split_once('m')?.0.parse().ok())
                }
                other => panic!("{other:?}"),
            })
        })
        .collect();
    let expected: Vec<[Option<u8>; 2]> = COLOURS.iter().cycle().take(7).map(|colour| [Some(*colour), None]).collect();
    assert_eq!(colours, expected);
}

#[test]
fn what_is_left_in_the_pipes_is_counted_by_stream_once() {
    run(async {
        let captures = Captures::new(Sink::over(None, None), ["web"], Rc::default());
        let source = captures.source("web", Output::Prefix);
        let (first, [mut out, mut err]) = capture(&source);
        let (second, [mut other_out, _other_err]) = capture(&source);
        write!(out, "1\n2\n3").unwrap();
        writeln!(err, "4").unwrap();
        write!(other_out, "5\n6\n").unwrap();
        assert_eq!(captures.discard(), [5, 1]);
        assert_eq!(captures.discard(), [0, 0]);
        let mut tail = source.tail();
        tail.sort_unstable();
        assert_eq!(tail, ["1", "2", "3", "4", "5", "6"]);
        source.forget_tail();
        assert!(source.tail().is_empty());
        // An empty pipe is not an ended one.
        assert!(!first.is_done() && !second.is_done());
        write!(err, "7\n8").unwrap();
        assert_eq!(captures.discard(), [0, 2]);
        writeln!(err, "{}", "9".repeat(READ_MAX + 1)).unwrap();
        assert_eq!(captures.discard(), [0, 1], "one line, read in two pieces");
    });
}

#[test]
fn what_was_read_before_is_not_counted_with_what_is_left() {
    run(async {
        let captures = Captures::new(Sink::over(None, None), ["web"], Rc::default());
        let source = captures.source("web", Output::Prefix);
        let (capture, [mut out, err]) = capture(&source);
        writeln!(out, "read").unwrap();
        until(|| !source.tail().is_empty()).await;
        write!(out, "left").unwrap();
        assert_eq!(captures.discard(), [1, 0]);
        assert_eq!(source.tail(), ["read", "left"]);
        drop((out, err));
        until(|| captures.readers.borrow().is_empty()).await;
        assert!(capture.is_done());
    });
}

/// Also what has no newline, of a child that goes on.
#[test]
fn at_the_end_what_children_have_written_is_passed_on() {
    run(async {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let sink = Sink::over(Some(Writer::new(write.as_fd()).unwrap()), None);
        let captures = Captures::new(sink.clone(), ["web"], Rc::default());
        let (_capture, [mut out, _err]) = capture(&captures.source("web", Output::Prefix));
        write!(out, "a line\nlast words").unwrap();
        captures.finish().await;
        sink.flushed().await;
        let mut text = [0; 64];
        let n = (&File::from(read)).read(&mut text).unwrap();
        assert_eq!(String::from_utf8_lossy(&text[..n]), "web | a line\nweb | last words\n");
    });
}

#[test]
fn words_of_warning_are_coloured_on_a_terminal_and_fields_are_shown_to_who_debugs() {
    let logged = |coloured: bool| {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let sink = Sink::coloured(None, Some(Writer::new(write.as_fd()).unwrap()), [false, coloured]);
        tracing::subscriber::with_default(log::subscriber(LogLevel::Debug, LogFormat::Text, &sink), || {
            tracing::error!(code = 1, "a");
            tracing::warn!(code = 2, "b");
            tracing::info!(code = 3, "c");
            tracing::debug!(code = 4, name = "x", "d");
        });
        drop((sink, write));
        io::read_to_string(File::from(read)).unwrap()
    };
    assert_eq!(
        logged(false),
        "softstop: error: a\nsoftstop: warning: b\nsoftstop: c\nsoftstop: debug: d code=4 name=x\n"
    );
    let coloured = "softstop: \u{1b}[31merror: \u{1b}[0ma\nsoftstop: \u{1b}[33mwarning: \u{1b}[0mb\nsoftstop: c\n\
                    softstop: \u{1b}[2mdebug: \u{1b}[0md code=4 name=x\n";
    assert_eq!(logged(true), coloured);
}
