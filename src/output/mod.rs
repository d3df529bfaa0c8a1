//! Children's output and softstop's own log, neither of which ever blocks the one thread: [`sink`] writes (its queue is
//! in [`queue`]), [`lines`] cuts and formats, [`log`] sets up `tracing`, and [`Captures`] here reads what the children write
//! to their pipes.

pub mod files;
pub mod kept;
pub mod lines;
pub mod log;
pub mod losses;
pub mod queue;
pub mod ring;
pub mod sink;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::files::{LogFile, LogFiles};
use self::kept::{Keeper, Keeping};
use self::lines::{COLOURS, Format, PREFIX, Piece, Splitter, Tail};
use self::losses::Losses;
pub use self::sink::{Sink, Stream};
use crate::config::{LogTarget, Logs, Output, Process, WhenFull};
use crate::sys::pty;
use crate::sys::stdio::{readable_bytes, watch};
use crate::tasks;

/// Read in one go, in bytes; then everybody else has a turn.
const READ_MAX: usize = 8 * 1024;
/// More than the kernel keeps of what is written to a terminal and not read, in bytes.
const TERMINAL_MAX: u64 = 256 * 1024;
/// Columns of a time stamp, and the space behind it.
const TIME: usize = "2026-11-22T10:00:00.000Z ".len();
/// Columns of the time of day, and the space behind it.
const TIME_OF_DAY: usize = "10:00:00 ".len();

/// Everything that is captured, so that it can be finished at the end. All of it lives on one `LocalSet`:
/// [`Source::capture`] spawns there.
pub struct Captures {
    sink: Sink,
    /// Names are padded to this many characters.
    width: usize,
    sources: Cell<usize>,
    readers: Readers,
    files: Rc<LogFiles>,
    /// Those of which lines were dropped, by name.
    dropping: Dropping,
    began: Instant,
}

type Dropping = Rc<RefCell<BTreeMap<String, Losses>>>;

/// Pipes that have not ended, each with what reads it, by the order in which they came.
type Readers = Rc<RefCell<BTreeMap<u64, (Rc<Pipe>, AbortHandle)>>>;

/// One process (or hook) under its name, over all its restarts.
#[derive(Clone)]
pub struct Source {
    /// Of standard output and error.
    ways: [Rc<Way>; 2],
    tail: Rc<RefCell<Tail>>,
    readers: Readers,
}

/// The way of the lines of one stream.
struct Way {
    name: Rc<str>,
    sink: Sink,
    format: Format,
    /// Its time is the time of day.
    clock: Option<Stream>,
    to: To,
    when_full: WhenFull,
    keeping: Option<Keeping>,
    dropping: Dropping,
    began: Instant,
}

enum To {
    Sink(Stream),
    File(Rc<LogFile>),
    Nowhere,
}

/// The two pipes of one run of a process.
#[must_use = "tell it when the process has ended, or its last words without a newline stay behind"]
pub struct Capture {
    /// Standard output and error, or the terminal that is both.
    pipes: Vec<Rc<Pipe>>,
}

/// The reading end of a child's standard output or error, or of its terminal.
struct Pipe {
    fd: AsyncFd<File>,
    stream: Stream,
    /// It is a terminal: its end is an error, and its lines end with a carriage return before the newline.
    terminal: bool,
    way: Rc<Way>,
    tail: Rc<RefCell<Tail>>,
    splitter: RefCell<Splitter>,
    /// Bytes read since the start.
    read: Cell<u64>,
    /// Everybody who could write has gone.
    ended: Cell<bool>,
    /// The line that is being passed on is dropped.
    drops: Cell<bool>,
}

/// By the clock on the wall, since 1970.
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// RFC 3339, UTC. `time`: milliseconds since 1970.
pub fn stamp(time: u64) -> String {
    /// humantime knows no year beyond 9999.
    const LAST: u64 = 253_402_300_799_000;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time.min(LAST))).to_string()
}

impl Captures {
    /// `names`: of all processes, to pad their prefixes to one width. `files`: where lines go, too.
    pub fn new<'a>(sink: Sink, names: impl IntoIterator<Item = &'a str>, files: Rc<LogFiles>) -> Captures {
        let width = names.into_iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let (sources, readers, dropping) = (Cell::new(0), Rc::default(), Rc::default());
        Captures { sink, width, sources, readers, files, dropping, began: Instant::now() }
    }

    /// How many columns a line has before a process's own text.
    pub fn prefix(&self, process: &Process) -> usize {
        let time = if process.logs.timestamps { TIME } else { 0 };
        match process.form(0) {
            Output::Json => 0,
            Output::Plain => time,
            Output::Prefix | Output::Inherit => {
                let clock = process.logs.to[0] == LogTarget::Stdout && self.has_clock(Stream::Stdout);
                let time = if time == 0 && clock { TIME_OF_DAY } else { time };
                time + self.width + PREFIX
            }
        }
    }

    fn has_clock(&self, stream: Stream) -> bool {
        self.sink.time_of_day(stream, Duration::ZERO).is_some()
    }

    /// A process whose output is captured, in the next colour. [`Output::Inherit`] needs none and is taken as prefix.
    pub fn source(&self, name: &str, output: Output) -> Source {
        self.source_of(name, [output; 2], &Logs::default(), None)
    }

    /// The process, or a hook of it by its name, as it is configured.
    pub fn source_for(&self, process: &Process, name: &str, keeper: &Rc<Keeper>) -> Source {
        let forms = [0, 1].map(|stream| process.form(stream));
        self.source_of(name, forms, &process.logs, keeper.keeping(keeper.number(&process.name), name))
    }

    /// A hook that belongs to no process.
    pub fn source_of_hook(&self, name: &str, output: Output, keeper: &Rc<Keeper>) -> Source {
        self.source_of(name, [output; 2], &Logs::default(), keeper.keeping(None, name))
    }

    fn source_of(&self, name: &str, forms: [Output; 2], logs: &Logs, keeping: Option<Keeping>) -> Source {
        let colour = COLOURS[self.sources.get() % COLOURS.len()];
        self.sources.set(self.sources.get() + 1);
        let shared: Rc<str> = name.into();
        let way = |stream: usize| {
            let to = self.target(logs, stream, forms[stream]);
            let timestamps = logs.timestamps;
            // Where nothing is said a person at a terminal has the time of day before a name.
            let clock = match (&to, forms[stream]) {
                (To::Sink(stream), Output::Prefix) if !timestamps && self.has_clock(*stream) => Some(*stream),
                _ => None,
            };
            let format = match forms[stream] {
                Output::Json => Format::json(name, logs.objects),
                Output::Plain => Format::Plain { timestamps, alone: matches!(to, To::File(_)) },
                Output::Prefix | Output::Inherit => {
                    let coloured = matches!(to, To::Sink(stream) if self.sink.is_coloured(stream));
                    Format::prefix(name, self.width, coloured.then_some(colour), timestamps || clock.is_some())
                }
            };
            Rc::new(Way {
                name: Rc::clone(&shared),
                sink: self.sink.clone(),
                format,
                clock,
                to,
                when_full: logs.when_full,
                keeping: keeping.clone(),
                dropping: Rc::clone(&self.dropping),
                began: self.began,
            })
        };
        Source { ways: [way(0), way(1)], tail: Rc::default(), readers: Rc::clone(&self.readers) }
    }

    fn target(&self, logs: &Logs, stream: usize, form: Output) -> To {
        match &logs.to[stream] {
            LogTarget::Stdout => To::Sink(Stream::Stdout),
            LogTarget::Stderr => To::Sink(Stream::Stderr),
            LogTarget::None => To::Nowhere,
            // What goes past softstop opens none.
            LogTarget::File(_) if form == Output::Inherit => To::Nowhere,
            LogTarget::File(path) => To::File(self.files.open(path, logs.rotation)),
        }
    }

    /// What was dropped since the start, of whom and why; what has not been said of it yet is said now.
    pub fn dropped(&self) -> Vec<(String, u64, String)> {
        let mut dropping = self.dropping.borrow_mut();
        let each = dropping.iter_mut().map(|(name, losses)| {
            if let Some(said) = losses.rest(name, self.began.elapsed()) {
                tracing::warn!("{said}");
            }
            (name.clone(), losses.total(), losses.because().to_owned())
        });
        each.collect()
    }

    /// The end: hands to the sink what the children have written until now, also what has no newline. What a survivor writes from
    /// here on is not read, so that it cannot keep the sink busy for ever. May be dropped and called again. Follow it with
    /// [`Sink::flushed`].
    pub async fn finish(&self) {
        let pipes: Vec<Rc<Pipe>> = self
            .readers
            .borrow()
            .values()
            .map(|(pipe, reader)| {
                reader.abort();
                Rc::clone(pipe)
            })
            .collect();
        // Side by side: nobody may read the one stream while the other is read.
        let drain = async |stream| {
            for pipe in pipes.iter().filter(|pipe| pipe.stream == stream) {
                pipe.drain().await;
            }
        };
        tokio::join!(drain(Stream::Stdout), drain(Stream::Stderr));
    }

    /// [`Captures::finish`] was not waited for to its end: takes what is left and counts it, in lines of standard output and error.
    pub fn discard(&self) -> [u64; 2] {
        let mut lines = [0; 2];
        for (pipe, _) in self.readers.borrow().values() {
            lines[pipe.stream as usize] += pipe.discard();
        }
        lines
    }
}

impl Source {
    /// Reads both pipes of a run (the ends [`crate::sys::stdio::pipe`] returned for reading) until nobody can write to
    /// them any more, however long that takes; nobody needs to wait for it.
    ///
    /// # Errors
    /// When a pipe cannot be registered with epoll (`ENOSPC`: `fs.epoll.max_user_watches`; `ENOMEM`).
    pub fn capture(&self, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Capture> {
        Ok(self.read(vec![self.pipe(stdout, Stream::Stdout, false)?, self.pipe(stderr, Stream::Stderr, false)?]))
    }

    /// As [`Source::capture`], of softstop's end of a [terminal](crate::sys::pty) that the child writes to: everything is its standard output.
    ///
    /// # Errors
    /// As [`Source::capture`].
    pub fn capture_terminal(&self, terminal: OwnedFd) -> io::Result<Capture> {
        Ok(self.read(vec![self.pipe(terminal, Stream::Stdout, true)?]))
    }

    fn read(&self, pipes: Vec<Rc<Pipe>>) -> Capture {
        for pipe in &pipes {
            let (read, all) = (Rc::clone(pipe), Rc::clone(&self.readers));
            let number = all.borrow().last_key_value().map_or(0, |(last, _)| last + 1);
            let reader = tasks::spawn(async move {
                read.read_to_end().await;
                all.borrow_mut().remove(&number);
            });
            self.readers.borrow_mut().insert(number, (Rc::clone(pipe), reader.abort_handle()));
        }
        Capture { pipes }
    }

    /// What it says from now on is another run's.
    pub fn forget_tail(&self) {
        *self.tail.borrow_mut() = Tail::default();
    }

    /// The last lines of the process, of both streams in the order they were read, oldest first: at most ten, each at
    /// most 256 bytes, without control characters.
    pub fn tail(&self) -> Vec<String> {
        self.tail.borrow().lines()
    }

    fn pipe(&self, fd: OwnedFd, stream: Stream, terminal: bool) -> io::Result<Rc<Pipe>> {
        Ok(Rc::new(Pipe {
            fd: watch(File::from(fd), Interest::READABLE)?,
            stream,
            terminal,
            way: Rc::clone(&self.ways[stream as usize]),
            tail: Rc::clone(&self.tail),
            splitter: RefCell::default(),
            read: Cell::new(0),
            ended: Cell::new(false),
            drops: Cell::new(false),
        }))
    }
}

impl Capture {
    /// The process itself has ended: its last words are passed on even without a newline, though a grandchild may hold
    /// the pipe and go on writing to it. Returns at once; the work is done beside the loop, and `then` follows it.
    pub fn process_ended(self, then: impl FnOnce() + 'static) {
        tasks::spawn(async move {
            // Side by side: nobody may read the one stream while the other is read.
            let drain = async |n: usize| {
                if let Some(pipe) = self.pipes.get(n).filter(|pipe| !pipe.ended.get()) {
                    pipe.drain().await;
                }
            };
            tokio::join!(drain(0), drain(1));
            then();
        });
    }

    /// The window of its terminal, if it has one, has another size.
    pub fn resize(&self, size: pty::Size) {
        for pipe in self.pipes.iter().filter(|pipe| pipe.terminal) {
            // One that is gone needs none.
            let _ = pty::resize(pipe.fd.get_ref().as_fd(), size);
        }
    }

    /// Nobody holds either pipe any more.
    pub fn is_done(&self) -> bool {
        self.pipes.iter().all(|pipe| pipe.ended.get())
    }
}

// === impl Pipe ===

impl Pipe {
    async fn read_to_end(&self) {
        while !self.ended.get() {
            // A failed registration (the runtime is going away) leaves nobody to read.
            let Ok(mut ready) = self.fd.readable().await else { return };
            match ready.try_io(|_| self.read_once(READ_MAX)) {
                Ok(Err(e)) if e.kind() != io::ErrorKind::Interrupted => self.ended.set(true),
                _ => {}
            }
            // In a box of its own: who only waits, and thousands do, needs no room for it.
            tasks::boxed(self.deliver()).await;
            tokio::task::yield_now().await;
        }
    }

    /// Reads what is in the pipe now, and no more; then ends the line that was begun.
    async fn drain(&self) {
        let target = self.all_of_now();
        while self.read_towards(target) {
            self.deliver().await;
            tokio::task::yield_now().await;
        }
        self.splitter.borrow_mut().end();
        self.deliver().await;
    }

    /// As [`Pipe::drain`], but for nobody: how many lines it was.
    fn discard(&self) -> u64 {
        let target = self.all_of_now();
        let mut lines = 0;
        let mut more = true;
        while more {
            more = self.read_towards(target);
            let mut splitter = self.splitter.borrow_mut();
            if !more {
                splitter.end();
            }
            while let Some(piece) = splitter.next_piece() {
                self.tail.borrow_mut().add(piece);
                lines += 1;
            }
        }
        lines
    }

    /// What [`Pipe::read`] will be when all that is in the pipe now is read. A terminal does not say how much that is: it is read until nothing
    /// is left, and never more than it can hold.
    fn all_of_now(&self) -> u64 {
        if self.terminal {
            return self.read.get() + TERMINAL_MAX;
        }
        self.read.get() + readable_bytes(self.fd.get_ref().as_fd()).unwrap_or(0) as u64
    }

    /// One read of what is missing to the target; `false` when nothing is.
    fn read_towards(&self, target: u64) -> bool {
        let left = usize::try_from(target.saturating_sub(self.read.get())).unwrap_or(READ_MAX);
        left > 0 && !self.ended.get() && self.read_once(left.min(READ_MAX)).is_ok()
    }

    /// One read, kept for [`Pipe::deliver`], which must follow: it waits for room, and so memory stays bounded.
    fn read_once(&self, most: usize) -> io::Result<()> {
        let mut chunk = [0; READ_MAX];
        let n = match self.fd.get_ref().read(&mut chunk[..most]) {
            // Nobody has the other end of a terminal any more.
            Err(error) if self.terminal && error.raw_os_error() == Some(libc::EIO) => 0,
            read => read?,
        };
        self.read.set(self.read.get() + n as u64);
        let mut splitter = self.splitter.borrow_mut();
        if n == 0 {
            self.ended.set(true);
            splitter.end();
        } else {
            splitter.fill(&chunk[..n]);
        }
        Ok(())
    }

    /// Passes on every line that is complete, waiting for room before each one.
    async fn deliver(&self) {
        let way = &*self.way;
        let now = wall_clock();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let ts = match way.clock.and_then(|stream| way.sink.time_of_day(stream, now)) {
            Some(time) => time,
            None if way.format.has_time() => stamp(millis),
            None => String::new(),
        };
        let mut line = Vec::new();
        loop {
            let has_room = way.make_room().await;
            let mut splitter = self.splitter.borrow_mut();
            let Some(mut piece) = splitter.next_piece() else { break };
            if self.terminal {
                piece.bytes = piece.bytes.strip_suffix(b"\r").unwrap_or(piece.bytes);
            }
            self.tail.borrow_mut().add(piece);
            if let Some(keeping) = &way.keeping {
                keeping.add(self.stream, piece, millis);
            }
            if !piece.continued {
                // A line is dropped as a whole.
                self.drops.set(!has_room);
            }
            if !self.drops.get() {
                line.clear();
                way.pass_on(&mut line, piece, self.stream, &ts);
            } else if !piece.continued {
                way.drop_one();
            }
        }
        way.sink.flush_some();
    }
}

// === impl Way ===

impl Way {
    /// Waits until there is room for a line. False: there is none, and it is not waited for.
    async fn make_room(&self) -> bool {
        let waits = self.when_full == WhenFull::Block;
        match &self.to {
            To::Sink(stream) => {
                if self.sink.is_full(*stream) {
                    self.sink.flush_some();
                    if !waits && self.sink.is_full(*stream) {
                        return false;
                    }
                }
                self.sink.room(*stream).await;
            }
            To::File(file) => {
                if !waits && file.is_full() {
                    return false;
                }
                file.room().await;
            }
            To::Nowhere => {}
        }
        true
    }

    fn pass_on(&self, line: &mut Vec<u8>, piece: Piece<'_>, stream: Stream, ts: &str) {
        match &self.to {
            To::Sink(to) => {
                self.format.write(line, piece, stream.name(), ts);
                self.sink.push(*to, line);
            }
            To::File(file) => {
                self.format.write(line, piece, stream.name(), ts);
                file.push(line);
            }
            To::Nowhere => {}
        }
    }

    fn drop_one(&self) {
        let because = match &self.to {
            To::Sink(stream) => format!("softstop's {} is not read fast enough", stream.long_name()),
            To::File(_) => "its file is not written fast enough".to_owned(),
            To::Nowhere => return,
        };
        let mut dropping = self.dropping.borrow_mut();
        let losses = dropping.entry(self.name.to_string()).or_default();
        losses.add(1, &because);
        let said = losses.due(&self.name, self.began.elapsed());
        drop(dropping);
        if let Some(said) = said {
            tracing::warn!("{said}");
        }
    }
}

#[cfg(test)]
mod tests;
