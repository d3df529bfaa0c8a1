//! Log files. Each is written by a process of its own ([`log_writer`]), so whatever its file system does, softstop goes on: lines wait in a
//! bounded queue, and are lost and counted where the file takes none ([`LOOKS`]).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::losses::Losses;
use super::queue::{MEMORY_MAX, QUEUE_MAX, count_lines, newlines};
use crate::config::Rotation;
use crate::sys::spawn::log_writer::{self, Ends, Limits, Tally};
use crate::sys::spawn::writer;
use crate::sys::stdio::{readable_bytes, ready, watch};
use crate::tasks;

/// How often it is looked at whether a file takes anything. A file that takes nothing in so many looks (five seconds) hangs, for all we know:
/// who writes to it goes on, and the lines are lost. It is looks and not time: while softstop is suspended, so may be the writer.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 50;
/// How soon a writer that could not be started is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Given to the socket in one go, in bytes.
const CHUNK: usize = 16 * 1024;
/// At the end: how soon, and then how often, the files are looked at.
const SHORTEST_NAP: Duration = Duration::from_micros(200);
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// All log files, by their paths.
#[derive(Default)]
pub struct LogFiles {
    files: RefCell<Vec<Rc<LogFile>>>,
}

/// One log file, over all its writers.
pub struct LogFile {
    path: PathBuf,
    limits: Limits,
    state: RefCell<State>,
    /// Something is to be done.
    work: Notify,
    /// There is room for lines, or none is waited for any more.
    room: Notify,
    began: Instant,
    closing: Cell<bool>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<u8>,
    /// Made with the first writer.
    link: Option<Rc<Link>>,
    writer: Option<Running>,
    /// Why there is no writer, though one was to be started.
    no_writer: Option<String>,
    /// Given to the socket since the start, in bytes and lines.
    sent: u64,
    sent_lines: u64,
    /// Done by earlier writers.
    before: Tally,
    losses: Losses,
    not_rotated: u64,
    /// It takes nothing.
    hangs: bool,
    /// In a row without anything done.
    idle_looks: u32,
    /// Nothing more is to come, and the socket says so.
    closed: bool,
}

struct Link {
    write: AsyncFd<File>,
    /// The writers' end: what is in the socket outlives them.
    read: OwnedFd,
}

struct Running {
    pid: i32,
    control: Rc<AsyncFd<File>>,
    tally: Tally,
    /// It has said its last word.
    ended: bool,
}

impl LogFiles {
    /// The file of that path; its writer is started at once.
    pub fn open(&self, path: &Path, rotation: Rotation) -> Rc<LogFile> {
        let mut files = self.files.borrow_mut();
        if let Some(known) = files.iter().find(|file| file.path == path) {
            return Rc::clone(known);
        }
        let file = LogFile::new(path, rotation);
        files.push(Rc::clone(&file));
        tasks::spawn(Rc::clone(&file).pump());
        file
    }

    /// There are writers.
    pub fn has_writers(&self) -> bool {
        self.files.borrow().iter().any(|file| file.state.borrow().writer.is_some())
    }

    /// It is a writer of these.
    pub fn owns(&self, pid: i32) -> bool {
        self.files.borrow().iter().any(|file| file.is_written_by(pid))
    }

    /// A child has ended. True: it was a writer of these.
    pub fn ended(&self, pid: i32) -> bool {
        let files = self.files.borrow();
        let of = files.iter().find(|file| file.is_written_by(pid));
        of.inspect(|file| file.writer_ended()).is_some()
    }

    /// Has each opened again by its name; how many there are.
    pub fn reopen(&self) -> usize {
        let files = self.files.borrow();
        files.iter().for_each(|file| file.reopen());
        files.len()
    }

    /// The end: until everything is written, or a file takes nothing for `patience`. May be dropped and called again.
    pub async fn finish(&self, patience: Duration) {
        let files: Vec<Rc<LogFile>> = self.files.borrow().clone();
        let looks = u32::try_from(patience.as_millis() / LOOK.as_millis()).unwrap_or(u32::MAX);
        let mut nap = SHORTEST_NAP;
        let mut looked = Instant::now();
        loop {
            let look = looked.elapsed() >= LOOK;
            if look {
                looked = Instant::now();
            }
            // Each has its turn, whoever hangs.
            let left = files.iter().filter(|file| !file.is_finished(look, looks)).count();
            if left == 0 {
                return;
            }
            sleep(nap).await;
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }

    /// What was lost since the start: of each file the lines, and why the last of them were. What is not written yet counts.
    pub fn losses(&self) -> Vec<(String, u64, String)> {
        let files = self.files.borrow();
        let lost = files.iter().map(|file| {
            file.give_up();
            let state = file.state.borrow();
            (file.path.display().to_string(), state.losses.total(), state.losses.because().to_owned())
        });
        lost.filter(|(_, lines, _)| *lines > 0).collect()
    }
}

impl LogFile {
    fn new(path: &Path, rotation: Rotation) -> Rc<LogFile> {
        let limits = Limits {
            max_size: rotation.max_size.unwrap_or(u64::MAX),
            max_age: rotation.max_age.map_or(u64::MAX, |age| age.as_secs()),
            max_files: rotation.max_files,
        };
        Rc::new(LogFile {
            path: path.to_owned(),
            limits,
            state: RefCell::default(),
            work: Notify::new(),
            room: Notify::new(),
            began: Instant::now(),
            closing: Cell::new(false),
        })
    }

    /// Who writes must wait. Not for a file that hangs.
    pub fn is_full(&self) -> bool {
        let state = self.state.borrow();
        state.queue.len() >= QUEUE_MAX && !state.hangs
    }

    /// Queues whole lines. What finds no room is lost and counted.
    pub fn push(&self, lines: &[u8]) {
        let mut state = self.state.borrow_mut();
        let most = if state.hangs { QUEUE_MAX } else { MEMORY_MAX };
        if state.queue.len() + lines.len() > most {
            let because = state.no_writer.clone();
            state.losses.add(count_lines(lines), because.as_deref().unwrap_or("its file system hangs"));
        } else {
            state.queue.extend(lines);
        }
        drop(state);
        self.work.notify_one();
    }

    /// Completes when [`LogFile::is_full`] does not hold any more.
    pub async fn room(&self) {
        tasks::until(&self.room, || !self.is_full()).await;
    }

    fn is_written_by(&self, pid: i32) -> bool {
        self.state.borrow().writer.as_ref().is_some_and(|writer| writer.pid == pid)
    }

    /// It has been reaped, or is about to be.
    fn writer_ended(&self) {
        self.hear();
        let mut state = self.state.borrow_mut();
        if let Some(writer) = state.writer.take() {
            // What it had taken off the socket it has done; what it has not, the next one does.
            let unread = state.link.as_ref().map_or(0, |link| unread(link));
            let done = state.sent.saturating_sub(unread).saturating_sub(state.before.bytes);
            let Tally { lines, lost, .. } = writer.tally;
            state.before.bytes += done;
            // Killed right behind a chunk it has not said so.
            state.before.lines = if unread == 0 { state.sent_lines } else { state.before.lines + lines };
            state.before.lost += lost;
        }
        drop(state);
        self.work.notify_one();
    }

    fn reopen(&self) {
        if let Some(writer) = &self.state.borrow().writer {
            // One that has just ended opens nothing any more; the next one opens it by its name.
            let _ = log_writer::reopen(writer.control.get_ref().as_fd());
        }
    }

    /// Something is in the queue, or in the socket and not done.
    fn is_unfinished(&self) -> bool {
        let state = self.state.borrow();
        let done = state.before.bytes + state.writer.as_ref().map_or(0, |writer| writer.tally.bytes);
        !state.queue.is_empty() || done < state.sent
    }

    // === the writer ===

    /// Writes as long as it is polled: to be spawned beside the loop.
    async fn pump(self: Rc<LogFile>) {
        self.start_if_there_is_none();
        while !self.closing.get() {
            self.send();
            self.say_losses();
            let (link, control) = {
                let state = self.state.borrow();
                let wants_room = !state.queue.is_empty() && state.writer.is_some();
                let control = state.writer.as_ref().filter(|writer| !writer.ended);
                (state.link.clone().filter(|_| wants_room), control.map(|writer| Rc::clone(&writer.control)))
            };
            let unfinished = self.is_unfinished();
            tokio::select! {
                () = ready(link.as_ref().map(|link| &link.write), Interest::WRITABLE) => {}
                () = ready(control.as_deref(), Interest::READABLE) => self.hear(),
                () = self.work.notified() => {}
                () = sleep(LOOK), if unfinished => self.look(),
            }
            if self.is_unfinished() && self.state.borrow().writer.is_none() && !self.start_if_there_is_none() {
                let mut left = RETRY;
                while left > Duration::ZERO && !self.closing.get() {
                    sleep(LOOK).await;
                    self.look();
                    left = left.saturating_sub(LOOK);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// False: there is none, and none can be started now.
    fn start_if_there_is_none(&self) -> bool {
        let mut state = self.state.borrow_mut();
        if state.writer.is_some() {
            return true;
        }
        match self.start(&mut state) {
            Ok(running) => {
                state.writer = Some(running);
                state.no_writer = None;
                true
            }
            Err(error) => {
                let why = format!("it has no writer: {error}");
                if state.no_writer.replace(why.clone()).is_none() {
                    tracing::warn!(
                        "{}: {why}; lines wait, and are lost where they become too many",
                        self.path.display()
                    );
                }
                false
            }
        }
    }

    fn start(&self, state: &mut State) -> io::Result<Running> {
        let link = match &state.link {
            Some(link) => Rc::clone(link),
            None => {
                let Ends { write, read } = log_writer::ends()?;
                Rc::new(Link { write: watch(File::from(write), Interest::WRITABLE)?, read })
            }
        };
        state.link = Some(Rc::clone(&link));
        let (pid, control) = log_writer::start(&self.path, self.limits, link.read.as_fd())?;
        match watch(File::from(control), Interest::READABLE) {
            Ok(control) => Ok(Running { pid, control: Rc::new(control), tally: Tally::default(), ended: false }),
            Err(error) => {
                writer::end(pid);
                Err(error)
            }
        }
    }

    /// Gives the socket what it takes.
    fn send(&self) {
        let mut state = self.state.borrow_mut();
        let State { queue, link: Some(link), writer: Some(_), .. } = &mut *state else { return };
        let link = Rc::clone(link);
        let was_full = queue.len() >= QUEUE_MAX;
        let mut sent = (0, 0);
        while !queue.is_empty() {
            let (first, _) = queue.as_slices();
            let chunk = &first[..first.len().min(CHUNK)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(link.write.get_ref().as_raw_fd(), chunk, flags) {
                Ok(n) => {
                    sent = (sent.0 + n as u64, sent.1 + count_lines(&chunk[..n]));
                    queue.drain(..n);
                }
                Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        if queue.is_empty() {
            queue.shrink_to(CHUNK);
        }
        let is_full = queue.len() >= QUEUE_MAX;
        state.sent += sent.0;
        state.sent_lines += sent.1;
        if sent.0 > 0 {
            (state.idle_looks, state.hangs) = (0, false);
        }
        drop(state);
        if was_full && !is_full {
            self.room.notify_waiters();
        }
    }

    /// What the writer says of its work.
    fn hear(&self) {
        let mut state = self.state.borrow_mut();
        let State { writer: Some(writer), losses, .. } = &mut *state else { return };
        let tally = match log_writer::heard(writer.control.get_ref().as_fd()) {
            Ok(Some(tally)) => tally,
            Ok(None) => {
                writer.ended = true;
                return;
            }
            Err(_) => return,
        };
        let before = std::mem::replace(&mut writer.tally, tally);
        let because = io::Error::from_raw_os_error(tally.lost_because).to_string();
        losses.add(tally.lost - before.lost, &because);
        let cannot_open = tally.lost == 0 && tally.lost_because != 0 && before.lost_because != tally.lost_because;
        let stays = tally.not_rotated > before.not_rotated;
        if tally.bytes > before.bytes {
            (state.idle_looks, state.hangs) = (0, false);
        }
        let said_before = std::mem::replace(&mut state.not_rotated, tally.not_rotated) > 0;
        drop(state);
        let path = self.path.display();
        if cannot_open {
            tracing::warn!("{path}: cannot be opened: {because}; its lines are lost until it can");
        }
        if stays && !said_before {
            let error = io::Error::from_raw_os_error(tally.not_rotated_because);
            tracing::warn!("{path}: cannot be put aside: {error}; it grows beyond its size");
        }
    }

    /// Whether it moves.
    fn look(&self) {
        let mut state = self.state.borrow_mut();
        state.idle_looks += 1;
        if state.idle_looks >= LOOKS && state.queue.len() >= QUEUE_MAX && !state.hangs {
            state.hangs = true;
            drop(state);
            self.room.notify_waiters();
        }
    }

    fn say_losses(&self) {
        let path = self.path.display().to_string();
        let said = self.state.borrow_mut().losses.due(&path, self.began.elapsed());
        if let Some(said) = said {
            tracing::warn!("{said}");
        }
    }

    // === the end ===

    /// Everything is written, or it hangs. `look`: another while has passed, and so many without anything done are enough.
    fn is_finished(&self, look: bool, looks: u32) -> bool {
        self.closing.set(true);
        self.hear();
        self.send();
        let gone = {
            let mut state = self.state.borrow_mut();
            state.idle_looks += u32::from(look);
            if state.link.is_none() || state.idle_looks >= looks {
                return true;
            }
            state.writer.as_ref().filter(|writer| writer.ended).map(|writer| writer.pid)
        };
        if let Some(pid) = gone {
            // The reaper does not run any more.
            writer::reap(pid);
            self.writer_ended();
        }
        let unfinished = self.is_unfinished();
        let mut state = self.state.borrow_mut();
        match (&state.writer, unfinished) {
            (None, false) => true,
            // It was killed with everything else.
            (None, true) => {
                drop(state);
                self.start_if_there_is_none();
                false
            }
            (Some(_), _) => {
                let all_sent = state.queue.is_empty();
                let done = all_sent && !std::mem::replace(&mut state.closed, all_sent);
                if let Some(link) = state.link.as_ref().filter(|_| done) {
                    let _ = shutdown(link.write.get_ref().as_raw_fd(), Shutdown::Write);
                }
                false
            }
        }
    }

    /// What is not written by now is lost.
    fn give_up(&self) {
        let mut state = self.state.borrow_mut();
        let done = state.before.lines + state.writer.as_ref().map_or(0, |writer| writer.tally.lines);
        let queue = std::mem::take(&mut state.queue);
        let lines = newlines(queue);
        let unfinished = lines + state.sent_lines.saturating_sub(done);
        state.sent_lines = done;
        let because = state.no_writer.clone();
        state.losses.add(unfinished, because.as_deref().unwrap_or("it was not written in time"));
        let said = state.losses.rest(&self.path.display().to_string(), self.began.elapsed());
        drop(state);
        if let Some(said) = said {
            tracing::warn!("{said}");
        }
    }
}

/// In the socket, and not taken off it.
fn unread(link: &Link) -> u64 {
    readable_bytes(link.read.as_fd()).map_or(0, |n| n as u64)
}
