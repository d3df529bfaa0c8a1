//! Texts from /proc. A process chooses its own name, and a sandboxed kernel what it shows.

use std::time::Duration;

use softstop::sys::procfs::{parse_processor_time, parse_stat, socket_inode, status_mask};
use softstop::sys::sockets::{parse_line, parse_messages};
use softstop::sys::tree::parse_children;

pub fn target(data: &[u8]) {
    if let Some(stat) = parse_stat(data) {
        let _alive = stat.lives();
    }
    let _time = parse_processor_time(data);
    the_name_is_not_believed(data);
    let text = String::from_utf8_lossy(data);
    for field in ["SigCgt:", "SigIgn:", "SigBlk:"] {
        let mask = status_mask(&text, field);
        assert!(mask.is_none() || text.contains(field), "a mask out of nothing");
    }
    for line in text.lines() {
        let _inode = socket_inode(line);
        if let Some(socket) = parse_line(line) {
            assert!(line.trim_start().starts_with(|c: char| c.is_ascii_digit()), "a socket out of {socket:?}");
        }
    }
    // 72 bytes and their header for each.
    assert!(parse_messages(data).map_or(0, |answer| answer.sockets.len()) <= data.len() / 88);
    assert!(parse_children(&text).all(|pid| pid > 0), "kill(0) and kill(-1) mean others");
}

/// Whatever a process calls itself, the fields behind the name are read from behind it.
fn the_name_is_not_believed(name: &[u8]) {
    let tail = b") S 7 8 9 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 12 0 98765 1000 10 18446744073709551615 1 1 0\n";
    let line = [b"42 (", name, tail].concat();
    let stat = parse_stat(&line).expect("a whole line");
    assert_eq!((stat.pid, stat.state, stat.ppid, stat.pgid, stat.threads, stat.started), (42, 'S', 7, 8, 12, 98765));
    assert_eq!(stat.comm, String::from_utf8_lossy(name));
    assert_eq!(parse_processor_time(&line), Some(Duration::from_millis(100)));
}
