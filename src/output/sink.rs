//! The one place that writes to softstop's standard output and error. Whoever has something to say puts whole lines into
//! a bounded queue and goes on; what cannot be written now is written when the other side reads again.
//!
//! Children and softstop's own log differ in one thing. Children wait for room ([`Sink::room`]), so their pipes fill and
//! they block as they would on the real output: none of their lines is lost. The log never waits: the queue keeps a
//! reserve for it, and what does not even fit there is dropped and counted. At the end a reader that is slow is waited for, and one
//! that has stopped reading is not ([`Sink::stalled`]).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

pub use super::queue::{MEMORY_MAX, QUEUE_MAX, Stream};
use super::queue::{Queue, TryWrite, has_notices, take_notices};
use crate::config::Color;
use crate::schedule::zone::Zone;
use crate::sys::stdio::{Writer, watch};
use crate::tasks::until;

/// How often to try again where epoll cannot tell when there is room.
const RETRY: Duration = Duration::from_millis(50);
/// How often to look whether anybody reads, at the end.
const LOOK: Duration = Duration::from_millis(100);

/// A handle; clones are the same sink. `Send + Sync` only because `tracing` asks for it: the mutex is never contended
/// and never held across an await.
#[derive(Clone)]
pub struct Sink {
    shared: Arc<Shared>,
}

struct Shared {
    queues: Mutex<[Queue<Writer>; 2]>,
    /// Something is queued that could not be written at once.
    queued: Notify,
    /// A queue that was full is not any more.
    room: [Notify; 2],
    colour: [bool; 2],
    /// Lines for people have the time of day.
    clocks: [Option<Zone>; 2],
    /// The log goes to standard output: see [`Sink::tell_losses`].
    diverted: AtomicBool,
}

/// How far a stream's reader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Standing {
    /// Something is queued.
    waits: bool,
    written: u64,
    /// Written and not read yet, as far as the kernel says.
    unread: usize,
}

impl Sink {
    /// Over softstop's own standard output and error. `clock`: where these are terminals, lines for people have the time that it shows.
    pub fn new(color: Color, clock: Option<&Zone>) -> Sink {
        let mut sink = Sink::over(Writer::stdout().ok(), Writer::stderr().ok());
        let [no_color, term] = ["NO_COLOR", "TERM"].map(std::env::var_os);
        if let Some(shared) = Arc::get_mut(&mut sink.shared) {
            let terminal = [io::stdout().is_terminal(), io::stderr().is_terminal()];
            shared.clocks = terminal.map(|is| clock.filter(|_| is).cloned());
            shared.colour = match color {
                Color::Auto if !colour_wanted(no_color.as_deref(), term.as_deref()) => [false; 2],
                Color::Auto => terminal,
                Color::Always => [true; 2],
                Color::Never => [false; 2],
            };
        }
        sink
    }

    /// Over any two writers; `None` discards.
    pub fn over(stdout: Option<Writer>, stderr: Option<Writer>) -> Sink {
        let queues = Mutex::new([Queue::new(Stream::Stdout, stdout), Queue::new(Stream::Stderr, stderr)]);
        let room = [Notify::new(), Notify::new()];
        Sink {
            shared: Arc::new(Shared {
                queues,
                queued: Notify::new(),
                room,
                colour: [false; 2],
                clocks: [None, None],
                diverted: AtomicBool::new(false),
            }),
        }
    }

    /// As on a terminal.
    #[cfg(test)]
    pub(super) fn coloured(stdout: Option<Writer>, stderr: Option<Writer>, colour: [bool; 2]) -> Sink {
        let mut sink = Sink::over(stdout, stderr);
        Arc::get_mut(&mut sink.shared).unwrap().colour = colour;
        sink
    }

    /// The stream is a terminal whose user did not turn colours off (`NO_COLOR`, `TERM=dumb`), or `--color` says so.
    pub fn is_coloured(&self, stream: Stream) -> bool {
        self.shared.colour[stream as usize]
    }

    /// What a line for people on this stream begins with, if it is one with the time: `14:05:09`. `at`: since 1970.
    pub fn time_of_day(&self, stream: Stream, at: Duration) -> Option<String> {
        let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        self.shared.clocks[stream as usize].as_ref().map(|clock| clock.time_of_day(seconds))
    }

    /// Children must wait: see [`Sink::room`].
    pub fn is_full(&self, stream: Stream) -> bool {
        self.queues()[stream as usize].is_full()
    }

    /// Nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queues().iter().all(|q| q.bytes.is_empty())
    }

    /// How much is queued for the stream, in bytes; at most [`MEMORY_MAX`].
    pub fn queued(&self, stream: Stream) -> usize {
        self.queues()[stream as usize].bytes.len()
    }

    /// Queues whole lines of a child. The caller asks [`Sink::is_full`] before each one; the queue takes it even then, up
    /// to [`MEMORY_MAX`], beyond which it is lost and counted.
    pub fn push(&self, stream: Stream, lines: &[u8]) {
        self.queues()[stream as usize].push(lines);
    }

    /// Queues lines of softstop's own log and writes what can be written at once. Never waits; drops and counts when even
    /// the reserve is full.
    pub fn push_log(&self, lines: &[u8]) {
        let mut queues = self.queues();
        if queues[self.log_stream() as usize].push_log(lines) {
            // A notice is not told from here: this is called from within a log event.
            self.flush(&mut queues);
        }
    }

    /// How many lines meant for the stream were lost since the start: the disk was full, its reader has gone or, of the log and at
    /// the end, does not read.
    pub fn lost(&self, stream: Stream) -> u64 {
        self.queues()[stream as usize].losses().0
    }

    /// Why the last of them was.
    pub fn lost_because(&self, stream: Stream) -> String {
        self.queues()[stream as usize].losses().1.to_owned()
    }

    /// Writes what can be written now, at most 64 KiB a stream, and logs what was lost in the meantime.
    pub fn flush_some(&self) {
        let notices = {
            let mut queues = self.queues();
            self.flush(&mut queues);
            take_notices(&mut queues, self.log_stream())
        };
        for notice in notices {
            notice.log();
        }
    }

    /// The last word on what was lost: how much it was since it began. Where the log cannot be written any more it is said on standard
    /// output, if that works and carries lines that say whose they are (`stdout_too`), never in the middle of a program's own bytes.
    pub fn tell_losses(&self, stdout_too: bool) {
        let mut queues = self.queues();
        let [stdout, stderr] = &*queues;
        if stdout_too && stdout.works() && !stderr.works() {
            self.shared.diverted.store(true, Ordering::Relaxed);
        }
        queues.iter_mut().for_each(Queue::tell_loss);
        drop(queues);
        self.flush_some();
    }

    /// The end: what is queued is lost and counted, and so many lines of each stream that were not even queued.
    pub fn give_up(&self, unqueued: [u64; 2], because: &str) {
        self.queues().iter_mut().zip(unqueued).for_each(|(queue, lines)| queue.give_up(lines, because));
    }

    /// Completes when [`Sink::flush_some`] has something to do; never while nothing is queued. May be dropped at any time.
    pub async fn writable(&self) {
        loop {
            let (waits, notices) = {
                let queues = self.queues();
                if queues.iter().any(|q| !q.bytes.is_empty() && !q.blocked) {
                    return;
                }
                (queues.each_ref().map(Wait::until_room), has_notices(&queues, self.log_stream()))
            };
            if notices {
                return;
            }
            let [stdout, stderr] = waits;
            tokio::select! {
                () = stdout.ready() => self.woken(Stream::Stdout),
                () = stderr.ready() => self.woken(Stream::Stderr),
                () = self.shared.queued.notified() => {}
            }
        }
    }

    /// Writes for as long as it is polled: to be spawned beside the loop.
    pub async fn pump(self) {
        loop {
            self.writable().await;
            self.flush_some();
            tokio::task::yield_now().await;
        }
    }

    /// Completes when the stream's queue is not full; somebody must flush meanwhile ([`Sink::pump`]).
    pub async fn room(&self, stream: Stream) {
        until(&self.shared.room[stream as usize], || !self.is_full(stream)).await;
    }

    /// Writes until everything is out.
    pub async fn flushed(&self) {
        loop {
            self.flush_some();
            if self.is_empty() {
                return;
            }
            // A pump beside this may have written the rest, which `writable` would not tell.
            let _ = timeout(RETRY, self.writable()).await;
            tokio::task::yield_now().await;
        }
    }

    /// Writes until everything is out or the deadline has come; whether everything is out.
    pub async fn flush_until(&self, deadline: Instant) -> bool {
        timeout_at(deadline, self.flushed()).await.is_ok()
    }

    /// Completes when something is queued and nobody has read anything for `patience`. Counted in looks, not in time: while softstop
    /// itself is suspended (a paused container, a busy machine), so may be its reader.
    pub async fn stalled(&self, patience: Duration) {
        let mut looks = Looks::new(patience, self.standings());
        loop {
            sleep(LOOK).await;
            if looks.are_enough(self.standings()) {
                return;
            }
        }
    }

    fn standings(&self) -> [Standing; 2] {
        self.queues().each_ref().map(|q| Standing {
            waits: !q.bytes.is_empty(),
            written: q.written,
            unread: q.writer.as_ref().map_or(0, Writer::unread),
        })
    }

    fn log_stream(&self) -> Stream {
        if self.shared.diverted.load(Ordering::Relaxed) { Stream::Stdout } else { Stream::Stderr }
    }

    fn queues(&self) -> MutexGuard<'_, [Queue<Writer>; 2]> {
        self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, queues: &mut [Queue<Writer>; 2]) {
        for queue in queues.iter_mut() {
            let was_full = queue.is_full();
            queue.flush();
            if was_full && !queue.is_full() {
                self.shared.room[queue.stream as usize].notify_waiters();
            }
        }
        if queues.iter().any(|q| !q.bytes.is_empty()) {
            self.shared.queued.notify_one();
        }
    }

    fn woken(&self, stream: Stream) {
        let queue = &mut self.queues()[stream as usize];
        queue.blocked = false;
        queue.woken = true;
    }
}

/// By the two variables. <https://no-color.org>: set and not empty.
pub fn colour_wanted(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

// === impl Looks ===

/// Looks at readers that may have stopped reading.
struct Looks {
    before: [Standing; 2],
    /// In a row without anything read.
    idle: u128,
    most: u128,
}

impl Looks {
    fn new(patience: Duration, before: [Standing; 2]) -> Looks {
        Looks { before, idle: 0, most: patience.as_millis().div_ceil(LOOK.as_millis()).max(1) }
    }

    /// One more; whether something has been queued and nothing read for as long as the patience lasts.
    fn are_enough(&mut self, now: [Standing; 2]) -> bool {
        let moved = |(b, n): (&Standing, &Standing)| n.waits && (n.written > b.written || n.unread < b.unread);
        let progress = self.before.iter().zip(&now).any(moved) || !now.iter().any(|n| n.waits);
        self.idle = if progress { 0 } else { self.idle + 1 };
        self.before = now;
        self.idle >= self.most
    }
}

impl TryWrite for Writer {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Writer::try_write(self, bytes)
    }

    fn chunk(&self) -> usize {
        Writer::chunk(self)
    }
}

// === impl Wait ===

/// What to wait for until there is room.
enum Wait {
    Never,
    Fd(OwnedFd),
    /// epoll has nothing to say about it, or was wrong twice.
    Retry,
}

impl Wait {
    fn until_room(queue: &Queue<Writer>) -> Wait {
        match &queue.writer {
            Some(writer) if !queue.bytes.is_empty() => {
                let fd = writer.as_fd().try_clone_to_owned().ok().filter(|_| queue.false_wakes < 2);
                fd.map_or(Wait::Retry, Wait::Fd)
            }
            _ => Wait::Never,
        }
    }

    /// The registration lasts as long as the wait: nothing wakes an idle softstop.
    async fn ready(self) {
        match self {
            Wait::Never => std::future::pending().await,
            Wait::Retry => sleep(RETRY).await,
            Wait::Fd(fd) => match watch(File::from(fd), Interest::WRITABLE) {
                Ok(fd) if fd.writable().await.is_ok() => {}
                _ => sleep(RETRY).await,
            },
        }
    }
}

#[cfg(test)]
mod tests;
