//! The one place that writes to softstop's standard output and error. Whoever has something to say puts whole lines into
//! a bounded queue and goes on; what cannot be written now is written when the other side reads again.
//!
//! Children and softstop's own log differ in one thing. Children wait for room ([`Sink::room`]), so their pipes fill and
//! they block as they would on the real output: none of their lines is lost. The log never waits: the queue keeps a
//! reserve for it, and what does not even fit there is dropped and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::lines::PIECE_MAX;
use crate::sys::stdio::{Writer, watch};

/// Children wait when this much is queued for one stream, in bytes.
pub const QUEUE_MAX: usize = 256 * 1024;
/// The longest line: a piece in which JSON writes every byte as `\u0000`, and what stands around it.
const LINE_MAX: usize = 6 * PIECE_MAX + 4096;
/// What children cannot take from the log.
const LOG_RESERVE: usize = 32 * 1024;
/// A queue never holds more than this, in bytes.
pub const MEMORY_MAX: usize = QUEUE_MAX + LINE_MAX + LOG_RESERVE;
/// Written in one turn at most, so that a fast reader does not keep the loop from its other work; in bytes.
const TURN_MAX: usize = 64 * 1024;
/// How often to try again where epoll cannot tell when there is room.
const RETRY: Duration = Duration::from_millis(50);
/// An empty queue gives memory back when it had grown beyond this, in bytes.
const KEEP: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// As JSON lines name it.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    fn long_name(self) -> &'static str {
        match self {
            Stream::Stdout => "standard output",
            Stream::Stderr => "standard error",
        }
    }
}

/// A handle; clones are the same sink. `Send + Sync` only because `tracing` asks for it: the mutex is never contended
/// and never held across an await.
#[derive(Clone)]
pub struct Sink {
    shared: Arc<Shared>,
}

struct Shared {
    queues: Mutex<[Queue; 2]>,
    /// Something is queued that could not be written at once.
    queued: Notify,
    /// A queue that was full is not any more.
    room: [Notify; 2],
    colour: [bool; 2],
}

/// What was lost and must be told, once it can be.
#[derive(Debug, PartialEq, Eq)]
enum Notice {
    Gone { stream: Stream, error: String },
    Lost { stream: Stream, lines: u64, error: String },
    LogDropped { lines: u64 },
}

struct Queue {
    stream: Stream,
    /// `None`: closed, or its reader has gone. Everything is discarded from then on.
    writer: Option<Writer>,
    bytes: VecDeque<u8>,
    /// The last thing written did not end in a newline.
    mid_line: bool,
    /// The line that was begun cannot be finished: a newline must come first.
    torn: bool,
    /// The last write would have blocked.
    blocked: bool,
    /// Woken as writable since the last write that succeeded, and how often that was not true.
    woken: bool,
    false_wakes: u32,
    /// Not told yet.
    gone: Option<String>,
    /// Lines lost and not told yet, and why.
    lost: u64,
    lost_because: String,
    /// The present loss has been told of once; its sum follows when it is over.
    lost_begun: bool,
    /// Something was written since the last loss.
    recovered: bool,
    log_dropped: u64,
    total: u64,
}

impl Sink {
    /// Over softstop's own standard output and error.
    pub fn new() -> Sink {
        let mut sink = Sink::over(Writer::stdout().ok(), Writer::stderr().ok());
        let wanted = colour_wanted();
        if let Some(shared) = Arc::get_mut(&mut sink.shared) {
            shared.colour = [wanted && io::stdout().is_terminal(), wanted && io::stderr().is_terminal()];
        }
        sink
    }

    /// Over any two writers; `None` discards.
    pub fn over(stdout: Option<Writer>, stderr: Option<Writer>) -> Sink {
        let queues = Mutex::new([Queue::new(Stream::Stdout, stdout), Queue::new(Stream::Stderr, stderr)]);
        let room = [Notify::new(), Notify::new()];
        Sink { shared: Arc::new(Shared { queues, queued: Notify::new(), room, colour: [false; 2] }) }
    }

    /// The stream is a terminal whose user did not turn colours off (`NO_COLOR`, `TERM=dumb`).
    pub fn is_coloured(&self, stream: Stream) -> bool {
        self.shared.colour[stream as usize]
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
        let mut queues = self.queues();
        let queue = &mut queues[stream as usize];
        if queue.bytes.len() + lines.len() > MEMORY_MAX {
            queue.lose(count_lines(lines), "its queue is full".to_owned());
            return;
        }
        queue.enqueue(lines);
    }

    /// Queues lines of softstop's own log and writes what can be written at once. Never waits; drops and counts when even
    /// the reserve is full.
    pub fn push_log(&self, lines: &[u8]) {
        let mut queues = self.queues();
        let queue = &mut queues[Stream::Stderr as usize];
        if queue.bytes.len() + lines.len() > MEMORY_MAX {
            let lines = count_lines(lines);
            queue.log_dropped = queue.log_dropped.saturating_add(lines);
            queue.total = queue.total.saturating_add(lines);
            return;
        }
        queue.enqueue(lines);
        // A notice is not told from here: this is called from within a log event.
        self.flush(&mut queues);
    }

    /// How many lines meant for the stream were lost since the start, because the disk was full or, of the log alone,
    /// because nobody read. Lines for a stream that is closed are not counted.
    pub fn lost(&self, stream: Stream) -> u64 {
        self.queues()[stream as usize].total
    }

    /// Writes what can be written now, at most 64 KiB a stream, and logs what was lost in the meantime.
    pub fn flush_some(&self) {
        let notices = {
            let mut queues = self.queues();
            self.flush(&mut queues);
            take_notices(&mut queues)
        };
        for notice in notices {
            notice.log();
        }
    }

    /// Completes when [`Sink::flush_some`] has something to do; never while nothing is queued. May be dropped at any time.
    pub async fn writable(&self) {
        loop {
            let (waits, notices) = {
                let queues = self.queues();
                if queues.iter().any(|q| !q.bytes.is_empty() && !q.blocked) {
                    return;
                }
                (queues.each_ref().map(Queue::wait), has_notices(&queues))
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
        loop {
            let notified = self.shared.room[stream as usize].notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if !self.is_full(stream) {
                return;
            }
            notified.await;
        }
    }

    /// Writes until everything is out or the deadline has come; whether everything is out.
    pub async fn flush_until(&self, deadline: Instant) -> bool {
        loop {
            self.flush_some();
            if self.is_empty() {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            // A pump beside this may have written the rest, which `writable` would not tell.
            let _ = timeout_at(deadline.min(now + RETRY), self.writable()).await;
        }
    }

    fn queues(&self) -> MutexGuard<'_, [Queue; 2]> {
        self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, queues: &mut [Queue; 2]) {
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

impl Default for Sink {
    fn default() -> Sink {
        Sink::new()
    }
}

/// <https://no-color.org>: set and not empty.
fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
}

/// Worth another try; out of memory for a buffer is over as soon as the kernel has some.
fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|b| u64::from(*b == b'\n')).sum()
}

// === impl Queue ===

impl Queue {
    fn new(stream: Stream, writer: Option<Writer>) -> Queue {
        Queue {
            stream,
            writer,
            bytes: VecDeque::new(),
            mid_line: false,
            torn: false,
            blocked: false,
            woken: false,
            false_wakes: 0,
            gone: None,
            lost: 0,
            lost_because: String::new(),
            lost_begun: false,
            recovered: true,
            log_dropped: 0,
            total: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= QUEUE_MAX
    }

    fn enqueue(&mut self, lines: &[u8]) {
        if self.writer.is_some() {
            self.bytes.extend(lines);
        }
    }

    fn lose(&mut self, lines: u64, because: String) {
        self.lost = self.lost.saturating_add(lines);
        self.total = self.total.saturating_add(lines);
        self.lost_because = because;
        self.recovered = false;
    }

    fn flush(&mut self) {
        let mut written = 0;
        while written < TURN_MAX
            && !self.bytes.is_empty()
            && let Some(writer) = &mut self.writer
        {
            let mut copy = [0; libc::PIPE_BUF];
            let next = if self.torn { b"\n" } else { next_write(&self.bytes, writer.chunk(), &mut copy) };
            let tried = next.len();
            match writer.try_write(next) {
                Ok(n) => {
                    self.mid_line = n > 0 && next[n - 1] != b'\n';
                    (self.blocked, self.woken, self.false_wakes) = (false, false, 0);
                    self.recovered = true;
                    written += n.max(1);
                    if !mem::take(&mut self.torn) {
                        self.bytes.drain(..n);
                    }
                }
                Err(e) if is_passing(&e) => {
                    self.blocked = true;
                    self.false_wakes += u32::from(mem::take(&mut self.woken));
                    return;
                }
                Err(e) => {
                    written += tried;
                    self.fail(&e, tried);
                }
            }
        }
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP {
            self.bytes = VecDeque::new();
        }
    }

    /// A full disk may have room again: only what did not fit is lost. Every other error is for good.
    fn fail(&mut self, error: &io::Error, tried: usize) {
        if !matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG | libc::EMSGSIZE)) {
            self.writer = None;
            self.blocked = false;
            self.bytes = VecDeque::new();
            self.gone = Some(error.to_string());
            return;
        }
        let rest = self.bytes.iter().skip(tried.saturating_sub(1)).position(|b| *b == b'\n');
        let end = rest.map_or(self.bytes.len(), |i| tried.saturating_sub(1) + i + 1);
        let lines = self.bytes.drain(..end).map(|b| u64::from(b == b'\n')).sum();
        self.lose(lines, error.to_string());
        self.torn = self.mid_line;
    }

    /// A loss is told when it begins and when it is over. One of standard error itself only when it is over: the telling
    /// would be lost too, and be a loss to tell of.
    fn has_notice(&self, stderr_open: bool) -> bool {
        let begins = self.stream == Stream::Stdout && !self.lost_begun;
        let lost = self.lost > 0 && (self.recovered || begins);
        let dropped = self.log_dropped > 0 && self.bytes.is_empty();
        stderr_open && (self.gone.is_some() || lost || dropped)
    }

    fn wait(&self) -> Wait {
        match &self.writer {
            Some(writer) if !self.bytes.is_empty() => {
                let fd = writer.as_fd().try_clone_to_owned().ok().filter(|_| self.false_wakes < 2);
                fd.map_or(Wait::Retry, Wait::Fd)
            }
            _ => Wait::Never,
        }
    }
}

/// The next bytes to write: whole lines if one fits, contiguous (in `copy` where the ring wraps around).
fn next_write<'a>(bytes: &'a VecDeque<u8>, chunk: usize, copy: &'a mut [u8]) -> &'a [u8] {
    let (front, back) = bytes.as_slices();
    let window = if front.len() >= chunk.min(bytes.len()) {
        &front[..chunk.min(front.len())]
    } else if front.len() >= copy.len() {
        front
    } else {
        let n = copy.len().min(chunk).min(bytes.len());
        copy[..front.len()].copy_from_slice(front);
        copy[front.len()..n].copy_from_slice(&back[..n - front.len()]);
        &copy[..n]
    };
    match window.iter().rposition(|b| *b == b'\n') {
        Some(newline) => &window[..=newline],
        None => window,
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

// === impl Notice ===

fn has_notices(queues: &[Queue; 2]) -> bool {
    let stderr_open = queues[Stream::Stderr as usize].writer.is_some();
    queues.iter().any(|q| q.has_notice(stderr_open))
}

fn take_notices(queues: &mut [Queue; 2]) -> Vec<Notice> {
    let stderr_open = queues[Stream::Stderr as usize].writer.is_some();
    let mut notices = Vec::new();
    for queue in queues.iter_mut().filter(|q| q.has_notice(stderr_open)) {
        let stream = queue.stream;
        if let Some(error) = queue.gone.take() {
            notices.push(Notice::Gone { stream, error });
        }
        if queue.lost > 0 {
            let error = queue.lost_because.clone();
            queue.lost_begun = !queue.recovered;
            notices.push(Notice::Lost { stream, lines: mem::take(&mut queue.lost), error });
        }
        if queue.log_dropped > 0 {
            notices.push(Notice::LogDropped { lines: mem::take(&mut queue.log_dropped) });
        }
    }
    notices
}

impl Notice {
    fn log(self) {
        match self {
            Notice::Gone { stream, error } => {
                let name = stream.long_name();
                tracing::warn!(error, "{name} cannot be written any more ({error}): what goes there is discarded");
            }
            Notice::Lost { stream, lines, error } => {
                let name = stream.long_name();
                tracing::warn!(lines, error, "{lines} lines of {name} were lost: {error}");
            }
            Notice::LogDropped { lines } => {
                tracing::warn!(lines, "{lines} log lines were dropped because nobody read standard error");
            }
        }
    }
}
