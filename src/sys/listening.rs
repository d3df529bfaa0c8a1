//! Which TCP ports the processes below us listen on: the listening sockets of our network namespace, by their inodes, beside the
//! sockets that each of our descendants holds (`/proc/<pid>/fd`). Whose a socket is cannot always be seen: the files of a process that runs
//! as another user, or with capabilities that we do not have, are hidden from us, and so may be the process (hidepid) or all of them
//! (no /proc). Then whatever listens and is not our own is taken for theirs, and it is said that it was.

use std::collections::{HashMap, HashSet};
use std::fs::{self, ReadDir};
use std::io;
use std::time::{Duration, Instant};

use super::procfs::{read_stat, socket_of};
use super::sockets::{self, Query, Socket, TcpState};
use super::tree;
use crate::sorted;

/// Files looked at in one piece: a fraction of a millisecond.
const PIECE: usize = 128;
/// So many files are looked at in all: some two hundred milliseconds. A server has its listening sockets among its first.
const MOST_FILES: usize = 65_536;

/// A socket that somebody listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    pub socket: Socket,
    pub holder: Holder,
}

/// Who has a socket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Holder {
    /// The outermost process below us that holds it: name and pid.
    Process(String, i32),
    /// None below us.
    Others,
    /// It cannot be seen.
    Unknown,
}

/// What a search has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listening {
    /// By port.
    pub listeners: Vec<Listener>,
    /// Why it cannot be seen whose some of them are, in a few words.
    pub unsure: Option<String>,
}

/// A look at everything below us, piece by piece.
pub struct Search {
    sockets: sockets::Walk,
    /// softstop's own ports.
    own: Vec<u16>,
    /// By inode, without our own.
    listening: HashMap<u64, Socket>,
    stage: Stage,
    holders: HashMap<u64, (String, i32)>,
    /// Those whose holder is still to be found.
    missing: HashSet<u64>,
    looked_at: usize,
    hidden: Vec<(String, i32)>,
    unsure: Option<String>,
}

enum Stage {
    Sockets,
    Processes { walk: tree::Walk, files: Option<Files> },
    Over,
}

/// The files of a process.
struct Files {
    pid: i32,
    comm: String,
    entries: ReadDir,
}

/// Begins to look. `own`: the ports that softstop itself listens on.
pub fn search(own: &[u16]) -> Search {
    Search {
        sockets: sockets::Walk::begin(&Query { states: TcpState::LISTEN.bit(), ports: Vec::new(), flow: false }),
        own: own.to_vec(),
        listening: HashMap::new(),
        stage: Stage::Sockets,
        holders: HashMap::new(),
        missing: HashSet::new(),
        looked_at: 0,
        hidden: Vec::new(),
        unsure: None,
    }
}

impl Search {
    /// Inspects some more; `true`: that was all.
    ///
    /// # Errors
    /// Neither sock_diag nor /proc/net shows who listens: both errors, in one line.
    pub fn go_on(&mut self) -> io::Result<bool> {
        match &mut self.stage {
            Stage::Sockets => match self.sockets.piece()? {
                Some(piece) => {
                    let theirs = piece.iter().filter(|s| !self.own.contains(&s.local.port()));
                    self.listening.extend(theirs.map(|s| (s.inode, *s)));
                }
                None => self.begin_processes(),
            },
            Stage::Processes { .. } => self.inspect_files(),
            Stage::Over => return Ok(true),
        }
        Ok(matches!(self.stage, Stage::Over))
    }

    fn begin_processes(&mut self) {
        self.stage = Stage::Over;
        if self.listening.is_empty() {
            return;
        }
        self.missing = self.listening.keys().copied().collect();
        match tree::Walk::begin(true) {
            Ok(walk) => self.stage = Stage::Processes { walk, files: None },
            Err(error) => self.unsure = Some(error.to_string()),
        }
    }

    fn inspect_files(&mut self) {
        let Stage::Processes { walk, files } = &mut self.stage else { return };
        if self.missing.is_empty() {
            self.stage = Stage::Over;
            return;
        }
        let Some(open) = files else {
            let Some(process) = walk.next(&|_| false) else {
                self.stage = Stage::Over;
                return;
            };
            match fs::read_dir(format!("/proc/{}/fd", process.pid)) {
                Ok(entries) => *files = Some(Files { pid: process.pid, comm: process.comm, entries }),
                // Hidden, if it lives: from who may see it, its name is not.
                Err(_)
                    if process.lives && (process.started == 0 || read_stat(process.pid).is_ok_and(|s| s.lives())) =>
                {
                    self.hidden.push((process.comm, process.pid));
                }
                Err(_) => {}
            }
            return;
        };
        for _ in 0..PIECE {
            let Some(entry) = open.entries.next() else {
                *files = None;
                return;
            };
            self.looked_at += 1;
            let Some(inode) = socket_of(entry) else { continue };
            if self.missing.remove(&inode) {
                self.holders.insert(inode, (open.comm.clone(), open.pid));
            }
        }
        if self.looked_at >= MOST_FILES {
            self.unsure = Some(format!("they hold more than {MOST_FILES} files"));
            self.stage = Stage::Over;
        }
    }

    /// Goes on for so long, to the end of a piece.
    ///
    /// # Errors
    /// As [`Search::go_on`].
    pub fn go_on_for(&mut self, limit: Duration) -> io::Result<()> {
        let until = Instant::now() + limit;
        while !self.go_on()? && Instant::now() < until {}
        Ok(())
    }

    /// Everything found so far.
    pub fn found(&self) -> Listening {
        let late = (!matches!(self.stage, Stage::Over)).then(|| "there was no time to look at all files".to_owned());
        let hidden = self.hidden.first().map(|(comm, pid)| format!("the files of {} are hidden", named(comm, *pid)));
        let missing = !self.missing.is_empty() || matches!(self.stage, Stage::Sockets);
        let unsure = self.unsure.clone().or(hidden).or(late).filter(|_| missing);
        let listener = |socket: &Socket| {
            let holder = match self.holders.get(&socket.inode) {
                Some((comm, pid)) => Holder::Process(comm.clone(), *pid),
                None if unsure.is_some() => Holder::Unknown,
                None => Holder::Others,
            };
            Listener { socket: *socket, holder }
        };
        let mut listeners: Vec<Listener> = self.listening.values().map(listener).collect();
        sorted::by_key(&mut listeners, |l| (l.socket.local.port(), l.socket.inode));
        Listening { listeners, unsure }
    }
}

fn named(comm: &str, pid: i32) -> String {
    if comm.is_empty() { format!("pid {pid}") } else { format!("{comm} (pid {pid})") }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn listening(own: &[u16]) -> Listening {
        let mut search = search(own);
        while !search.go_on().unwrap() {}
        search.found()
    }

    /// A child that inherits a listening socket of ours on its standard input.
    fn holder(listener: &TcpListener) -> Child {
        let socket = std::os::fd::OwnedFd::from(listener.try_clone().unwrap());
        Command::new("sleep").arg("1000").stdin(Stdio::from(socket)).spawn().unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is the test's own child")]
    fn what_a_child_listens_on_is_found_and_what_nobody_below_us_does_is_not() {
        let (held, not_held) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let port = |l: &TcpListener| l.local_addr().unwrap().port();
        let mut child = holder(&held);
        let found = listening(&[]);
        let of = |found: &Listening, port| {
            found.listeners.iter().find(|l| l.socket.local.port() == port).map(|l| l.holder.clone())
        };
        assert_eq!(of(&found, port(&held)), Some(Holder::Process("sleep".into(), child.id() as i32)));
        assert_eq!(of(&found, port(&not_held)), Some(Holder::Others), "{found:?}");
        assert_eq!(found.unsure, None, "{found:?}");
        assert_eq!(of(&listening(&[port(&held)]), port(&held)), None, "softstop's own");
        let mut late = search(&[]);
        late.go_on_for(Duration::ZERO).unwrap();
        let late = late.found();
        assert!(late.listeners.iter().all(|l| l.holder == Holder::Unknown), "{late:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
