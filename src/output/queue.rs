//! A bounded queue of whole lines before one descriptor: what is written when, what is lost and how that is told. It
//! does no I/O itself: what it writes to is a [`TryWrite`], so that `tests/core/simulation_output.rs` can let every descriptor do its worst.

use std::collections::VecDeque;
use std::io;
use std::mem;

use super::lines::PIECE_MAX;
use crate::text::plural;

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
/// An empty queue gives memory back when it had grown beyond this, in bytes.
const KEEP: usize = 16 * 1024;

/// Something to write to that is never waited for.
pub trait TryWrite {
    /// Writes what fits right now, at least a byte of `bytes`.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits now; else what the kernel says (`EPIPE`: nobody reads any more, `ENOSPC`, …).
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The most that one write should be given, in bytes, from 1.
    fn chunk(&self) -> usize;
}

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

    /// As people do.
    pub fn long_name(self) -> &'static str {
        match self {
            Stream::Stdout => "standard output",
            Stream::Stderr => "standard error",
        }
    }
}

/// What was lost and must be told, once it can be.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    Gone {
        stream: Stream,
        error: String,
    },
    /// `more`: some have been told already.
    Lost {
        stream: Stream,
        lines: u64,
        more: bool,
        error: String,
    },
    LogDropped {
        lines: u64,
    },
}

/// Whole lines on their way to one stream.
pub struct Queue<W> {
    pub stream: Stream,
    /// `None`: closed, or its reader has gone. Everything is discarded from then on.
    pub writer: Option<W>,
    pub bytes: VecDeque<u8>,
    /// The last thing written did not end in a newline.
    mid_line: bool,
    /// The line that was begun cannot be finished: a newline must come first.
    torn: bool,
    /// The last write would have blocked.
    pub blocked: bool,
    /// Woken as writable since the last write that succeeded, and how often that was not true.
    pub woken: bool,
    pub false_wakes: u32,
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
    /// Lost since the start and told of, or to be.
    pub total: u64,
    /// Lines for a stream that is gone, which is told of once and not for each, and why it is.
    pub discarded: u64,
    gone_because: String,
    /// Bytes written since the start.
    pub written: u64,
}

// === impl Queue ===

impl<W: TryWrite> Queue<W> {
    pub fn new(stream: Stream, writer: Option<W>) -> Queue<W> {
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
            discarded: 0,
            gone_because: String::new(),
            written: 0,
        }
    }

    /// Children must wait.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= QUEUE_MAX
    }

    /// Takes whole lines of a child, up to [`MEMORY_MAX`], beyond which they are lost and counted.
    pub fn push(&mut self, lines: &[u8]) {
        if self.bytes.len() + lines.len() > MEMORY_MAX {
            self.lose(count_lines(lines), "its queue is full".to_owned());
        } else {
            self.enqueue(lines);
        }
    }

    /// Takes lines of softstop's own log, up to [`MEMORY_MAX`], beyond which they are dropped and counted; whether it took them.
    pub fn push_log(&mut self, lines: &[u8]) -> bool {
        let fits = self.bytes.len() + lines.len() <= MEMORY_MAX;
        if fits {
            self.enqueue(lines);
        } else {
            let lines = count_lines(lines);
            self.log_dropped = self.log_dropped.saturating_add(lines);
            self.total = self.total.saturating_add(lines);
        }
        fits
    }

    fn enqueue(&mut self, lines: &[u8]) {
        if self.writer.is_some() {
            self.bytes.extend(lines);
        } else {
            self.discarded = self.discarded.saturating_add(count_lines(lines));
        }
    }

    fn lose(&mut self, lines: u64, because: String) {
        self.lost = self.lost.saturating_add(lines);
        self.total = self.total.saturating_add(lines);
        self.lost_because = because;
        self.recovered = false;
    }

    /// Writes what can be written now, at most about 64 KiB.
    pub fn flush(&mut self) {
        let mut written = 0;
        while written < TURN_MAX
            && !self.bytes.is_empty()
            && let Some(writer) = &mut self.writer
        {
            let mut copy = Vec::new();
            let next = if self.torn { b"\n" } else { next_write(&self.bytes, writer.chunk(), &mut copy) };
            let tried = next.len();
            match writer.try_write(next) {
                Ok(n) => {
                    self.mid_line = n > 0 && next[n - 1] != b'\n';
                    (self.blocked, self.woken, self.false_wakes) = (false, false, 0);
                    self.recovered = true;
                    self.lost_begun &= self.lost > 0;
                    self.written += n as u64;
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
            self.discarded = self.discarded.saturating_add(newlines(mem::take(&mut self.bytes)));
            self.gone = Some(error.to_string());
            self.gone_because = error.to_string();
            return;
        }
        let rest = self.bytes.iter().skip(tried.saturating_sub(1)).position(|b| *b == b'\n');
        let end = rest.map_or(self.bytes.len(), |i| tried.saturating_sub(1) + i + 1);
        let lines = newlines(self.bytes.drain(..end));
        self.lose(lines, error.to_string());
        self.torn = self.mid_line;
    }

    /// The end: what is still queued is lost, and with it so many lines that were not even queued.
    pub fn give_up(&mut self, unqueued: u64, because: &str) {
        let lines = newlines(mem::take(&mut self.bytes)) + unqueued;
        if lines > 0 {
            self.lose(lines, because.to_owned());
        }
        self.torn = self.mid_line;
    }

    /// It is there, and took what it was given last.
    pub fn works(&self) -> bool {
        self.writer.is_some() && self.recovered
    }

    /// Every line that was not written since the start, and why the last one was not.
    pub fn losses(&self) -> (u64, &str) {
        let because = if self.discarded > 0 { &self.gone_because } else { &self.lost_because };
        (self.total.saturating_add(self.discarded), because)
    }

    /// What was lost since the last notice is told now, though the loss goes on.
    pub fn tell_loss(&mut self) {
        self.lost_begun = false;
    }

    /// A loss is told when it begins and when it is over, at the latest at the end ([`Queue::tell_loss`]). One of the stream
    /// that the log goes to only when it is over: the telling would be lost too, and be a loss to tell of.
    fn has_notice(&self, log: Stream) -> bool {
        let begins = self.stream != log && !self.lost_begun;
        let lost = self.lost > 0 && (self.recovered || begins);
        let dropped = self.log_dropped > 0 && self.bytes.is_empty();
        self.gone.is_some() || lost || dropped
    }
}

/// The next bytes to write: whole lines if one fits, contiguous (in `copy` where the ring wraps around).
fn next_write<'a>(bytes: &'a VecDeque<u8>, chunk: usize, copy: &'a mut Vec<u8>) -> &'a [u8] {
    let (front, back) = bytes.as_slices();
    let window = if front.len() >= chunk.min(bytes.len()) {
        &front[..chunk.min(front.len())]
    } else if front.len() >= libc::PIPE_BUF {
        front
    } else {
        let n = libc::PIPE_BUF.min(chunk).min(bytes.len());
        copy.extend_from_slice(front);
        copy.extend_from_slice(&back[..n - front.len()]);
        copy
    };
    match window.iter().rposition(|b| *b == b'\n') {
        Some(newline) => &window[..=newline],
        None => window,
    }
}

/// Worth another try; out of memory for a buffer is over as soon as the kernel has some.
fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    newlines(bytes.iter().copied())
}

pub(super) fn newlines(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().map(|b| u64::from(b == b'\n')).sum()
}

// === impl Notice ===

/// [`take_notices`] has something to say. `log`: where it would be said.
pub fn has_notices<W: TryWrite>(queues: &[Queue<W>; 2], log: Stream) -> bool {
    queues[log as usize].writer.is_some() && queues.iter().any(|q| q.has_notice(log))
}

/// What was lost since the last time; nothing while nobody could be told.
pub fn take_notices<W: TryWrite>(queues: &mut [Queue<W>; 2], log: Stream) -> Vec<Notice> {
    if queues[log as usize].writer.is_none() {
        return Vec::new();
    }
    let mut notices = Vec::new();
    for queue in queues.iter_mut().filter(|q| q.has_notice(log)) {
        let stream = queue.stream;
        if let Some(error) = queue.gone.take() {
            notices.push(Notice::Gone { stream, error });
        }
        if queue.lost > 0 {
            let error = queue.lost_because.clone();
            queue.lost_begun = !queue.recovered;
            let more = queue.total > queue.lost;
            notices.push(Notice::Lost { stream, lines: mem::take(&mut queue.lost), more, error });
        }
        if queue.log_dropped > 0 {
            notices.push(Notice::LogDropped { lines: mem::take(&mut queue.log_dropped) });
        }
    }
    notices
}

impl Notice {
    /// As an event of softstop's own log.
    pub fn log(self) {
        match self {
            Notice::Gone { stream, error } => {
                let name = stream.long_name();
                tracing::warn!(error, "{name} cannot be written any more ({error}): what goes there is discarded");
            }
            Notice::Lost { stream, lines, more, error } => {
                let name = stream.long_name();
                let more = if more { " more" } else { "" };
                let (what, were) = plural(lines, ("line", "was"), ("lines", "were"));
                tracing::warn!(lines, error, "{lines}{more} {what} of {name} {were} lost: {error}");
            }
            Notice::LogDropped { lines } => {
                tracing::warn!(lines, "{lines} log lines were dropped because nobody read standard error");
            }
        }
    }
}

#[cfg(test)]
mod tests;
