//! A closer look at a process that is about to be killed: its threads, its files, its connections. Everything is bounded in time and
//! size, and nothing is read that waits: see [`super::procfs`].

use std::collections::HashSet;
use std::fs;
use std::time::Instant;

use super::procfs::{check_namespace, numbers, parse_stat, read_record, read_small, socket_of};
use super::sockets::{self, Query, Socket, TcpState};

/// Of a process's files so many are looked at.
const MOST_FILES: usize = 4096;
/// Of the network namespace's sockets so many: two milliseconds.
const MOST_SOCKETS: usize = 8192;
/// The clock is looked at after so many.
const BATCH: usize = 64;

/// One thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    pub comm: String,
    pub state: char,
    pub wchan: Option<String>,
}

/// The threads of a process, at most `most` of them, its first one first.
pub fn threads(pid: i32, most: usize, until: Instant) -> Vec<Thread> {
    let Ok(ids) = numbers(&format!("/proc/{pid}/task")) else { return Vec::new() };
    ids.take(most).take_while(|_| Instant::now() < until).filter_map(|thread| look(pid, thread)).collect()
}

fn look(pid: i32, thread: i32) -> Option<Thread> {
    let stat = parse_stat(&read_record(&format!("/proc/{pid}/task/{thread}/stat")).ok()?)?;
    let wchan = read_small(&format!("/proc/{pid}/task/{thread}/wchan")).ok();
    Some(Thread { comm: stat.comm, state: stat.state, wchan: wchan.and_then(|text| wait_channel(&text)) })
}

/// What a `wchan` file says; `None` when the thread is not waiting, or whoever reads may not know.
pub(super) fn wait_channel(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim();
    (!text.is_empty() && text != "0").then(|| text.to_owned())
}

/// What a process holds open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    pub count: usize,
    /// False: there are more than were looked at.
    pub complete: bool,
    /// The inodes of its sockets.
    sockets: HashSet<u64>,
}

/// The open files of a process. `None` when they may not be seen.
pub fn files(pid: i32, until: Instant) -> Option<Files> {
    check_namespace().ok()?;
    let mut files = Files { complete: true, ..Files::default() };
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        let late = files.count.is_multiple_of(BATCH) && files.count > 0 && Instant::now() >= until;
        if files.count >= MOST_FILES || late {
            files.complete = false;
            break;
        }
        files.count += 1;
        files.sockets.extend(socket_of(entry));
    }
    Some(files)
}

/// The TCP connections that a process holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Connections {
    pub sockets: Vec<Socket>,
    /// False: there may be more.
    pub complete: bool,
}

/// The connections among `files`: whatever state they are in, but none that listens. `None` when they cannot be seen: neither sock_diag
/// nor /proc shows them, or the process has a network namespace of its own.
pub fn connections(pid: i32, files: &Files, until: Instant) -> Option<Connections> {
    if files.sockets.is_empty() {
        return Some(Connections { sockets: Vec::new(), complete: files.complete });
    }
    let namespace = |of: &str| fs::read_link(of).ok();
    if namespace(&format!("/proc/{pid}/ns/net")) != namespace("/proc/self/ns/net") {
        return None;
    }
    // Nobody holds what is in TIME_WAIT, and it fills the table by the ten thousand.
    let states = [
        TcpState::ESTABLISHED,
        TcpState::SYN_SENT,
        TcpState::FIN_WAIT1,
        TcpState::FIN_WAIT2,
        TcpState::CLOSE_WAIT,
        TcpState::LAST_ACK,
        TcpState::CLOSING,
    ];
    let query = Query { states: TcpState::bits(&states), ports: Vec::new(), flow: false };
    let listing = sockets::list(&query, MOST_SOCKETS, until.saturating_duration_since(Instant::now())).ok()?;
    let mut sockets = listing.sockets;
    sockets.retain(|socket| files.sockets.contains(&socket.inode));
    Some(Connections { sockets, complete: listing.complete && files.complete })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn own_connections_are_found_with_their_peers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pairs: Vec<_> =
            (0..3).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap())).collect();
        let own = std::process::id() as i32;
        let files = files(own, soon()).unwrap();
        assert!(files.count >= 10 && files.complete, "{files:?}");
        let found = connections(own, &files, soon()).unwrap();
        // A machine with more connections than are looked at hides ours, and says so.
        for (client, (_, peer)) in &pairs {
            let seen =
                found.sockets.iter().any(|s| s.local == address && s.peer == *peer && s.state == TcpState::ESTABLISHED);
            assert!(seen || !found.complete, "{found:?}");
            assert_eq!(client.local_addr().unwrap(), *peer);
        }
        assert!(found.sockets.iter().all(|s| s.state != TcpState::LISTEN));
    }

    #[test]
    fn threads_are_listed_up_to_a_limit() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::Builder::new().name("a sleeper".into());
        let sleeper = sleeper.spawn(move || wait.recv().is_err()).unwrap();
        let own = std::process::id() as i32;
        let limit = soon();
        while !threads(own, 1000, soon()).iter().any(|t| t.comm == "a sleeper" && t.state == 'S') {
            assert!(Instant::now() < limit, "never seen: {:?}", threads(own, 1000, soon()));
        }
        assert_eq!(threads(own, 1, soon()).len(), 1);
        assert!(threads(own, 1000, Instant::now()).is_empty(), "no time");
        drop(release);
        assert!(sleeper.join().unwrap());
        assert_eq!(files(i32::MAX, soon()), None);
    }

    #[test]
    fn nobody_who_does_not_wait_has_a_wait_channel() {
        assert_eq!(wait_channel(b"nfs_wait\n").as_deref(), Some("nfs_wait"));
        for text in [&b"0"[..], b"", b"\xff"] {
            assert_eq!(wait_channel(text), None);
        }
    }
}
