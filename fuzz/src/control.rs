//! What a client of the control socket sends, what a server answers, and the kernel's list of sockets.

use softstop::control::{address, protocol, table};

use super::assert_one_line;

pub fn target(data: &[u8]) {
    match protocol::parse(data) {
        Ok(request) => assert_eq!(protocol::parse(protocol::line(&request).as_bytes()), Ok(request)),
        Err(why) => assert_one_line(&why),
    }
    match protocol::Reply::parse(data) {
        Ok(protocol::Reply::Status(json)) => {
            let shown = table::render(&serde_json::from_str(&json).unwrap_or_default());
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "it reaches the terminal: {shown:?}");
        }
        Ok(reply) => {
            let line = reply.line();
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "not one line: {line:?}");
            assert_eq!(protocol::Reply::parse(line.as_bytes()), Ok(reply));
        }
        Err(why) => assert_one_line(&why),
    }
    let pids = address::listening(&String::from_utf8_lossy(data), 4_026_531_836);
    assert!(pids.iter().all(|pid| *pid > 0) && pids.is_sorted(), "{pids:?}");
}
