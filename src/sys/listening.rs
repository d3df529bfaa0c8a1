//! Which TCP ports the processes below us listen on: the listening sockets of our network namespace, by their inodes, beside the
//! sockets that each of our descendants holds (`/proc/<pid>/fd`). Whose a socket is cannot always be seen: the files of a process that runs
//! as another user, or with capabilities that we do not have, are hidden from us, and so may be the process (hidepid) or all of them
//! (no /proc). Then whatever listens and is not our own is taken for theirs, and it is said that it was.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, ReadDir};
use std::io;

use super::procfs::{read_stat, socket_inode};
use super::sockets::{self, Query, TcpState};
use super::tree;

/// Files looked at in one piece: a fraction of a millisecond.
const PIECE: usize = 128;
/// So many files are looked at in all: some two hundred milliseconds. A server has its listening sockets among its first.
const MOST_FILES: usize = 65_536;

/// A port that somebody listens on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Listener {
    pub port: u16,
    /// Name and pid of the outermost process that holds it; `None`: that cannot be seen.
    pub holder: Option<(String, i32)>,
}

/// What a search has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listening {
    /// By port, each once.
    pub listeners: Vec<Listener>,
    /// Why for some of them it is not known whether they are ours, in a few words.
    pub unsure: Option<String>,
}

/// A look at everything below us, piece by piece.
pub struct Search {
    sockets: sockets::Walk,
    /// softstop's own ports.
    own: Vec<u16>,
    /// Inode to port, without our own.
    listening: HashMap<u64, u16>,
    stage: Stage,
    holders: BTreeMap<u16, (String, i32)>,
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
        sockets: sockets::Walk::begin(&Query { states: TcpState::LISTEN.bit(), ports: Vec::new() }),
        own: own.to_vec(),
        listening: HashMap::new(),
        stage: Stage::Sockets,
        holders: BTreeMap::new(),
        missing: HashSet::new(),
        looked_at: 0,
        hidden: Vec::new(),
        unsure: None,
    }
}

impl Search {
    /// Looks at some more; `true`: that was all.
    ///
    /// # Errors
    /// Neither sock_diag nor /proc/net shows who listens: both errors, in one line.
    pub fn go_on(&mut self) -> io::Result<bool> {
        match &mut self.stage {
            Stage::Sockets => match self.sockets.piece()? {
                Some(piece) => {
                    let theirs = piece.iter().filter(|s| !self.own.contains(&s.local.port()));
                    self.listening.extend(theirs.map(|s| (s.inode, s.local.port())));
                }
                None => self.begin_processes(),
            },
            Stage::Processes { .. } => self.look_at_files(),
            Stage::Over => return Ok(true),
        }
        Ok(matches!(self.stage, Stage::Over))
    }

    fn begin_processes(&mut self) {
        self.stage = Stage::Over;
        if self.listening.is_empty() {
            return;
        }
        match tree::Walk::begin(true) {
            Ok(walk) => {
                self.missing = self.listening.keys().copied().collect();
                self.stage = Stage::Processes { walk, files: None };
            }
            Err(error) => {
                self.missing = self.listening.keys().copied().collect();
                self.unsure = Some(error.to_string());
            }
        }
    }

    fn look_at_files(&mut self) {
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
            let link = entry.and_then(|entry| fs::read_link(entry.path()));
            let Some(inode) = link.ok().and_then(|link| socket_inode(link.to_str()?)) else { continue };
            if let Some(port) = self.listening.get(&inode) {
                self.holders.entry(*port).or_insert_with(|| (open.comm.clone(), open.pid));
                self.missing.remove(&inode);
            }
        }
        if self.looked_at >= MOST_FILES {
            self.unsure = Some(format!("they hold more than {MOST_FILES} files"));
            self.stage = Stage::Over;
        }
    }

    /// Everything found so far.
    pub fn found(self) -> Listening {
        let hidden = self.hidden.first().map(|(comm, pid)| format!("the files of {} are hidden", named(comm, *pid)));
        let unsure = self.unsure.or(hidden).filter(|_| !self.missing.is_empty());
        let missing = self.missing.iter().filter_map(|inode| self.listening.get(inode)).filter(|_| unsure.is_some());
        let ports: BTreeSet<u16> = self.holders.keys().chain(missing).copied().collect();
        let listener = |port: u16| Listener { port, holder: self.holders.get(&port).cloned() };
        Listening { listeners: ports.into_iter().map(listener).collect(), unsure }
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
        let of = |found: &Listening, port| found.listeners.iter().find(|l| l.port == port).cloned();
        assert_eq!(of(&found, port(&held)).unwrap().holder.unwrap().1, child.id() as i32);
        assert_eq!(of(&found, port(&not_held)), None, "{found:?}");
        assert_eq!(found.unsure, None, "{found:?}");
        assert_eq!(of(&listening(&[port(&held)]), port(&held)), None, "softstop's own");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
