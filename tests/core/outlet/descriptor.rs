//! A descriptor that does what a script says, and holds every write against what may be written there.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use softstop::output::queue::TryWrite;

/// What becomes of one write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Does {
    All,
    /// So many bytes, at least one.
    Some(usize),
    /// `EAGAIN`: nobody reads.
    Blocks,
    /// `ENOMEM`: passing, like `EAGAIN`.
    NoMemory,
    /// No room on the disk (`ENOSPC`, `EDQUOT`, `EFBIG`, `EMSGSIZE`): it may have some again.
    Full(i32),
    /// For good (`EPIPE`, `EIO`).
    Gone(i32),
}

/// What the descriptor was given, beside what it should be given.
#[derive(Default)]
pub struct Tape {
    script: VecDeque<Does>,
    /// Queued and neither written nor lost: the next bytes to be written.
    pub pending: VecDeque<u8>,
    /// The line at the head of `pending` was begun.
    mid_line: bool,
    /// A line was begun whose rest is lost: a newline must come next.
    torn: bool,
    pub lost: u64,
    pub gone: bool,
    /// Lines for a stream that is gone: lost, and not said one by one.
    pub discarded: u64,
    /// The last write succeeded, if there was one since the last loss.
    pub recovered: bool,
    /// Runs of losses without a successful write in between.
    pub losses: u64,
    pub last: Option<Does>,
    /// In the present flush: writes, bytes written or lost, and whether it was told to wait.
    pub calls: usize,
    pub done: usize,
    pub blocked: bool,
    /// Wake-ups, as the sink reports them, that were none.
    pub woken: bool,
    pub false_wakes: u32,
    pub wrong: Option<String>,
}

#[derive(Clone)]
pub struct Descriptor {
    chunk: usize,
    pub tape: Rc<RefCell<Tape>>,
}

impl Descriptor {
    pub fn new(chunk: usize, script: &[Does]) -> Descriptor {
        let tape = Tape { script: script.iter().copied().collect(), recovered: true, ..Tape::default() };
        Descriptor { chunk, tape: Rc::new(RefCell::new(tape)) }
    }
}

impl TryWrite for Descriptor {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut tape = self.tape.borrow_mut();
        if let Err(wrong) = tape.may_write(bytes, self.chunk) {
            tape.wrong.get_or_insert(wrong);
        }
        tape.write(bytes)
    }

    fn chunk(&self) -> usize {
        self.chunk
    }
}

impl Tape {
    /// Whole lines in one write wherever one fits: so no other writer of the same pipe can get into the middle of a line.
    fn may_write(&self, bytes: &[u8], chunk: usize) -> Result<(), String> {
        let show = || String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        if self.blocked {
            return Err("a write after one that would have blocked: it waits".into());
        }
        if bytes.is_empty() || bytes.len() > chunk {
            return Err(format!("a write of {} bytes where {chunk} are the most", bytes.len()));
        }
        if self.torn {
            return if bytes == b"\n" { Ok(()) } else { Err(format!("{:?} behind the torn piece of a line", show())) };
        }
        if bytes.len() > self.pending.len() || !bytes.iter().eq(self.pending.iter().take(bytes.len())) {
            return Err(format!("{:?} was written and is not what comes next", show()));
        }
        let line_fits = self.pending.iter().take(chunk.min(libc::PIPE_BUF)).any(|b| *b == b'\n');
        if line_fits && bytes.last() != Some(&b'\n') {
            return Err(format!("{:?} ends within a line though a whole one fits", show()));
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let does = self.script.pop_front().unwrap_or(Does::All);
        self.last = Some(does);
        self.calls += 1;
        let n = match does {
            Does::All => bytes.len(),
            Does::Some(n) => n.clamp(1, bytes.len()),
            Does::Blocks | Does::NoMemory => {
                self.blocked = true;
                self.false_wakes += u32::from(std::mem::take(&mut self.woken));
                let kind = io::ErrorKind::WouldBlock;
                return Err(if does == Does::Blocks {
                    kind.into()
                } else {
                    io::Error::from_raw_os_error(libc::ENOMEM)
                });
            }
            Does::Full(errno) => {
                self.done += bytes.len();
                self.lose(bytes.len());
                return Err(io::Error::from_raw_os_error(errno));
            }
            Does::Gone(errno) => {
                self.gone = true;
                let lines = self.pending.drain(..).filter(|b| *b == b'\n').count();
                self.discarded += lines as u64;
                return Err(io::Error::from_raw_os_error(errno));
            }
        };
        (self.woken, self.false_wakes, self.recovered) = (false, 0, true);
        self.done += n;
        if std::mem::take(&mut self.torn) {
            self.mid_line = false;
        } else {
            self.pending.drain(..n);
            self.mid_line = bytes[n - 1] != b'\n';
        }
        Ok(n)
    }

    /// The end: nobody reads what is queued, nor so many lines more.
    pub fn give_up(&mut self, unqueued: u64) {
        let lines = self.pending.drain(..).filter(|b| *b == b'\n').count() as u64 + unqueued;
        if lines > 0 {
            self.lost += lines;
            self.losses += u64::from(self.recovered);
            self.recovered = false;
        }
        self.torn = self.mid_line;
    }

    /// It is there, and took what it was given last.
    pub fn works(&self) -> bool {
        !self.gone && self.recovered
    }

    /// The lines that the write touched are lost, and no others; of a newline that did not even fit, the line behind it.
    fn lose(&mut self, tried: usize) {
        let touched = if self.torn { 1 } else { tried };
        let end = self.pending.iter().skip(touched - 1).position(|b| *b == b'\n').map(|i| touched + i);
        let lines = self.pending.drain(..end.unwrap_or(0)).filter(|b| *b == b'\n').count();
        self.lost += lines as u64;
        self.losses += u64::from(self.recovered);
        self.recovered = false;
        self.torn = self.mid_line;
    }
}
