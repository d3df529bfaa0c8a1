use std::io::Read;
use std::os::fd::AsFd;

use super::*;
use crate::sys::stdio::until_hung_up;

const PIPE: usize = 64 * 1024;

fn pipe() -> (File, Writer) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (File::from(read), Writer::new(write.as_fd()).unwrap())
}

/// So many bytes in lines of 16.
fn lines(bytes: usize) -> Vec<u8> {
    b"fifteen letters\n".repeat(bytes / 16)
}

fn standing(waits: bool, written: u64, unread: usize) -> Standing {
    Standing { waits, written, unread }
}

#[test]
fn a_reader_has_stopped_once_nothing_was_read_for_as_many_looks_as_the_patience_lasts() {
    let nothing = standing(false, 5, 0);
    let full = standing(true, 5, 9);
    let enough = |looks: &mut Looks, now| looks.are_enough([now, nothing]);
    for (patience, most) in [(Duration::ZERO, 1), (LOOK, 1), (LOOK + Duration::from_millis(1), 2), (LOOK * 3, 3)] {
        let mut looks = Looks::new(patience, [full, nothing]);
        let over: Vec<bool> = (0..most).map(|_| enough(&mut looks, full)).collect();
        assert_eq!(over.iter().position(|over| *over), Some(most - 1), "{patience:?}");
    }
    // What was written, or taken out of the pipe, or queued no more, begins the count anew.
    for progress in [standing(true, 6, 9), standing(true, 5, 8), standing(true, 6, 8), nothing] {
        let mut looks = Looks::new(LOOK * 2, [full, nothing]);
        let over = [full, progress, progress, progress].map(|now| enough(&mut looks, now));
        assert_eq!(over, [false, false, false, progress.waits], "{progress:?}");
    }
    // That there is more in the pipe is no reading, nor is what becomes of a stream for which nothing waits.
    for idle in [[standing(true, 5, 10), nothing], [full, standing(false, 9, 0)], [full, standing(true, 5, 0)]] {
        assert!(Looks::new(LOOK, [full, nothing]).are_enough(idle), "{idle:?}");
    }
    assert!(!Looks::new(LOOK, [full, full]).are_enough([full, standing(true, 6, 9)]), "of two one is enough");
}

#[test]
fn a_reader_stands_where_it_stopped() {
    let ((read, out), (_unread, err)) = (pipe(), pipe());
    let sink = Sink::over(Some(out), Some(err));
    assert_eq!(sink.standings(), [standing(false, 0, 0); 2]);
    sink.push(Stream::Stdout, &lines(2 * PIPE));
    sink.flush_some();
    let [stdout, stderr] = sink.standings();
    assert_eq!((stdout.waits, stdout.written as usize, stderr), (true, stdout.unread, standing(false, 0, 0)));
    let mut some = [0; 4096];
    (&read).read_exact(&mut some).unwrap();
    assert_eq!(sink.standings()[0].unread, stdout.unread - some.len());
}

#[test]
fn colours_are_wanted_unless_a_variable_says_no() {
    let wanted =
        |no_color: Option<&str>, term: Option<&str>| colour_wanted(no_color.map(OsStr::new), term.map(OsStr::new));
    assert!(wanted(None, None) && wanted(Some(""), None) && wanted(None, Some("xterm")));
    assert!(!wanted(Some("1"), None) && !wanted(None, Some("dumb")) && !wanted(Some("1"), Some("xterm")));
}

#[test]
fn a_stream_is_coloured_for_itself() {
    let sink = Sink::coloured(None, None, [true, false]);
    assert!(sink.is_coloured(Stream::Stdout) && !sink.is_coloured(Stream::Stderr));
}

#[test]
fn room_is_waited_for_where_something_is_queued_and_tried_for_where_epoll_was_wrong_twice() {
    let (_read, out) = pipe();
    let mut queue = Queue::new(Stream::Stdout, Some(out));
    assert!(matches!(Wait::until_room(&queue), Wait::Never), "nothing wakes an idle softstop");
    queue.push(b"a line\n");
    for wrong in 0..5 {
        queue.false_wakes = wrong;
        assert_eq!(matches!(Wait::until_room(&queue), Wait::Fd(_)), wrong < 2, "{wrong}");
        assert_eq!(matches!(Wait::until_room(&queue), Wait::Retry), wrong >= 2, "{wrong}");
    }
    queue.writer = None;
    assert!(matches!(Wait::until_room(&queue), Wait::Never));
}

/// The pump waits for the one, whose reader does not read: what is then queued for the other is written, too.
#[test]
fn a_stream_that_nobody_reads_does_not_hold_up_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let ((_deaf, out), (mut read, err)) = (pipe(), pipe());
        let sink = Sink::over(Some(out), Some(err));
        sink.push(Stream::Stdout, &lines(2 * PIPE));
        tokio::task::spawn_local(sink.clone().pump());
        while !sink.queues()[0].blocked {
            tokio::task::yield_now().await;
        }
        // Until the pump has come to its wait.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        sink.push_log(&lines(2 * PIPE));
        assert!(sink.queued(Stream::Stderr) > 0);
        let mut all = vec![0; 2 * PIPE];
        let (first, rest) = all.split_at_mut(2 * PIPE - sink.queued(Stream::Stderr));
        read.read_exact(first).unwrap();
        let written = async {
            while sink.queued(Stream::Stderr) > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(60), written).await.expect("the pump has not been told");
        read.read_exact(rest).unwrap();
        assert!(all == lines(2 * PIPE));
    });
}

#[test]
fn who_waits_for_a_reader_that_has_stopped_waits_as_long_as_the_patience_lasts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_deaf, out) = pipe();
        let sink = Sink::over(Some(out), None);
        sink.push(Stream::Stdout, &lines(2 * PIPE));
        sink.flush_some();
        let began = Instant::now();
        timeout(Duration::from_secs(60), sink.stalled(LOOK * 2)).await.expect("nobody reads");
        assert!(began.elapsed() >= LOOK * 2, "{:?}", began.elapsed());
    });
}

/// Where that works, and carries lines that say whose they are.
#[test]
fn where_the_log_cannot_be_written_its_last_word_goes_to_standard_output() {
    let gone = || {
        let (read, writer) = pipe();
        drop(read);
        until_hung_up(writer.as_fd());
        writer
    };
    for (out_gone, err_gone, stdout_too, diverted) in
        [(false, true, true, true), (false, true, false, false), (false, false, true, false), (true, true, true, false)]
    {
        let ((mut out_read, out), (_err_read, err)) = (pipe(), pipe());
        let sink = Sink::over(Some(if out_gone { gone() } else { out }), Some(if err_gone { gone() } else { err }));
        sink.push(Stream::Stdout, b"a line\n");
        sink.push_log(b"a word\n");
        sink.flush_some();
        assert_eq!(sink.lost(Stream::Stderr), u64::from(err_gone));
        assert_eq!(sink.lost_because(Stream::Stderr).contains("Broken pipe"), err_gone);
        sink.tell_losses(stdout_too);
        sink.push_log(b"the last\n");
        drop(sink);
        let mut text = String::new();
        if !out_gone {
            out_read.read_to_string(&mut text).unwrap();
        }
        assert_eq!(text.ends_with("the last\n"), diverted, "{text:?}");
    }
}
