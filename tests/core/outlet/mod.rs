//! Children that write, lines that are cut out of it, and two descriptors that do their worst: I10 without a kernel. What comes
//! out is held, byte by byte and after every event, against a second opinion on what must ([`pieces`], [`descriptor`]).

// Each target uses a part of it.
#![allow(dead_code)]

pub mod descriptor;
#[path = "../world/draw.rs"]
pub mod draw;
pub mod pieces;
pub mod scenario;

use softstop::output::lines::{Format, Splitter, Tail};
use softstop::output::queue::{MEMORY_MAX, Notice, QUEUE_MAX, Queue, Stream, has_notices, take_notices};

use descriptor::{Descriptor, Does};
use pieces::{Expected, STAMP, Style, expected, printed, tail};
use scenario::{Child, Op, Scenario};

/// What is wrong, if something is.
pub type Checked = Result<(), String>;

/// One write of a regular file, and what one flush writes before everybody else has a turn; in bytes.
const FILE_CHUNK: usize = 64 * 1024;
const TURN: usize = 64 * 1024;
/// What an empty queue may hold on to, in bytes.
const KEEP: usize = 16 * 1024;

struct Reading<'a> {
    child: &'a Child,
    splitter: Splitter,
    format: Format,
    tail: Tail,
    /// All that will come of it, how much has, and how many bytes were read.
    expected: Vec<Expected>,
    passed: usize,
    read: usize,
    /// Its queue is full: it is not read before there is room.
    waits: bool,
}

pub struct World<'a> {
    queues: [Queue<Descriptor>; 2],
    descriptors: [Descriptor; 2],
    children: Vec<Reading<'a>>,
    /// By stream: log lines dropped, losses told of, how often, and whether the present one was.
    dropped: u64,
    dropped_told: u64,
    told: [u64; 2],
    times_told: [u64; 2],
    gone_told: [u64; 2],
    /// Where softstop's own lines go.
    log: Stream,
    abandoned: bool,
    /// Events checked.
    pub steps: u64,
}

/// What became of a scenario, and after how many events.
pub fn play(scenario: &Scenario) -> (u64, Checked) {
    let mut world = World::new(scenario);
    let result = world.run(&scenario.ops);
    (world.steps, result)
}

/// Bytes for messages.
fn show(bytes: &[u8]) -> String {
    let begin = bytes[..bytes.len().min(60)].escape_ascii();
    if bytes.len() > 60 { format!("\"{begin}\"… ({} bytes)", bytes.len()) } else { format!("\"{begin}\"") }
}

fn number(stream: Stream) -> usize {
    stream as usize
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> World<'a> {
        let descriptors = [0, 1].map(|i| Descriptor::new(scenario.chunks[i], &scenario.scripts[i]));
        let writer = |i: usize| (!scenario.closed[i]).then(|| descriptors[i].clone());
        let queues = [Queue::new(Stream::Stdout, writer(0)), Queue::new(Stream::Stderr, writer(1))];
        let width = scenario.children.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
        let children = scenario.children.iter().map(|child| {
            let format = match child.style {
                Style::Json => Format::json(&child.name, false),
                style => {
                    let colour = (style == Style::Colour).then_some(33);
                    Format::prefix(&child.name, width, colour, false)
                }
            };
            let ends = scenario.ends(child);
            let expected = expected(&child.bytes, &ends);
            let (splitter, tail) = (Splitter::default(), Tail::default());
            Reading { child, splitter, format, tail, expected, passed: 0, read: 0, waits: false }
        });
        let children = children.collect();
        let world = World {
            queues,
            descriptors,
            children,
            dropped: 0,
            dropped_told: 0,
            told: [0; 2],
            times_told: [0; 2],
            gone_told: [0; 2],
            log: Stream::Stderr,
            abandoned: scenario.abandoned,
            steps: 0,
        };
        for i in 0..2 {
            world.descriptors[i].tape.borrow_mut().gone = world.queues[i].writer.is_none();
        }
        world
    }

    fn run(&mut self, ops: &[Op]) -> Checked {
        for op in ops {
            self.act(op)?;
            self.check()?;
        }
        self.finish()
    }

    fn act(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Read(c, n) => {
                let Reading { child, read, splitter, waits, .. } = &mut self.children[c];
                if !*waits {
                    let end = (*read + n).min(child.bytes.len());
                    splitter.fill(&child.bytes[*read..end]);
                    *read = end;
                }
                self.deliver(c)
            }
            Op::End(c) => {
                if !self.children[c].waits {
                    self.children[c].splitter.end();
                }
                self.deliver(c)
            }
            Op::Flush => self.flush_some(),
            Op::Log(n) => self.log(n),
            Op::Wake(i) => {
                if self.queues[i].blocked {
                    (self.queues[i].blocked, self.queues[i].woken) = (false, true);
                    self.descriptors[i].tape.borrow_mut().woken = true;
                }
                Ok(())
            }
        }
    }

    /// As `output::Pipe` does it: every line that is complete, waiting for room before each one.
    fn deliver(&mut self, c: usize) -> Checked {
        let (i, stream) = (number(self.children[c].child.stream), self.children[c].child.stream);
        let width = self.children.iter().map(|r| r.child.name.chars().count()).max().unwrap_or(0);
        loop {
            if self.queues[i].is_full() {
                self.flush_some()?;
            }
            let Reading { child, splitter, format, tail, expected, passed, read, waits } = &mut self.children[c];
            *waits = self.queues[i].is_full();
            if *waits {
                return Ok(());
            }
            let Some(piece) = splitter.next_piece() else {
                let late = expected.get(*passed).filter(|e| e.known <= *read && !child.at_end(e, *read));
                return match late {
                    Some(late) => Err(format!("{}: {} was read and is not passed on", child.name, show(&late.bytes))),
                    None => Ok(()),
                };
            };
            tail.add(piece);
            let mut line = Vec::new();
            format.write(&mut line, piece, stream.name(), STAMP);
            let Some(next) = expected.get(*passed).filter(|e| e.known <= *read) else {
                return Err(format!("{}: a piece too many: {}", child.name, show(piece.bytes)));
            };
            if (piece.bytes, piece.continued, piece.partial) != (&next.bytes[..], next.continued, next.partial) {
                let is = (show(piece.bytes), piece.continued, piece.partial);
                let should = (show(&next.bytes), next.continued, next.partial);
                return Err(format!("{}: {is:?} instead of {should:?}", child.name));
            }
            let should = printed(next, child.style, &child.name, width, if i == 0 { "stdout" } else { "stderr" });
            if line != should {
                return Err(format!("printed {} instead of {}", show(&line), show(&should)));
            }
            *passed += 1;
            self.queues[i].push(&line);
            let mut tape = self.descriptors[i].tape.borrow_mut();
            if tape.gone {
                tape.discarded += 1;
            } else {
                tape.pending.extend(line);
            }
        }
    }

    /// As `tracing` does it, from within softstop: never waits.
    fn log(&mut self, length: usize) -> Checked {
        let mut line = vec![b'L'; length];
        line.push(b'\n');
        let i = number(self.log);
        let fits = self.queues[i].bytes.len() + line.len() <= MEMORY_MAX;
        if self.queues[i].push_log(&line) != fits {
            return Err(format!("a log line of {length} bytes: taken {}, room {fits}", !fits));
        }
        if !fits {
            self.dropped += 1;
        } else if self.queues[i].writer.is_some() {
            self.descriptors[i].tape.borrow_mut().pending.extend(line);
        } else {
            self.descriptors[i].tape.borrow_mut().discarded += 1;
        }
        if fits { (0..2).try_for_each(|i| self.flush(i)) } else { Ok(()) }
    }

    fn flush(&mut self, i: usize) -> Checked {
        {
            let mut tape = self.descriptors[i].tape.borrow_mut();
            (tape.calls, tape.done, tape.blocked) = (0, 0, false);
        }
        self.queues[i].flush();
        let (queue, tape) = (&self.queues[i], self.descriptors[i].tape.borrow());
        let left = queue.bytes.len();
        if let Some(wrong) = &tape.wrong {
            return Err(wrong.clone());
        }
        if left > 0 && !tape.blocked && tape.done < TURN {
            return Err(format!("{left} bytes stay behind, and nothing kept them"));
        }
        if tape.done >= TURN + FILE_CHUNK {
            return Err(format!("{} bytes in one turn", tape.done));
        }
        if left == 0 && queue.bytes.capacity() > KEEP {
            return Err(format!("an empty queue holds {} bytes", queue.bytes.capacity()));
        }
        let blocked = matches!(tape.last, Some(Does::Blocks | Does::NoMemory));
        let told = matches!(tape.last, Some(Does::All | Does::Some(_))) || blocked;
        if tape.calls > 0 && told && queue.blocked != blocked {
            return Err(format!("after {:?} it says blocked: {}", tape.last, queue.blocked));
        }
        Ok(())
    }

    /// As `output::Sink::flush_some`: writes, then says what was lost. What is said is a line of the log itself.
    fn flush_some(&mut self) -> Checked {
        self.flush(0)?;
        self.flush(1)?;
        let announced = has_notices(&self.queues, self.log);
        let notices = take_notices(&mut self.queues, self.log);
        if announced == notices.is_empty() {
            return Err(format!("notices announced: {announced}, and there are {}", notices.len()));
        }
        for notice in &notices {
            self.note(notice)?;
        }
        self.told_enough()?;
        notices.iter().try_for_each(|_| self.log(80))
    }

    fn note(&mut self, notice: &Notice) -> Checked {
        match notice {
            Notice::Gone { stream, error } => {
                self.gone_told[number(*stream)] += 1;
                if self.gone_told[number(*stream)] > 1 || error.is_empty() {
                    return Err(format!("said again or without a reason: {notice:?}"));
                }
            }
            Notice::Lost { stream, lines, more, error } => {
                let i = number(*stream);
                let before = self.told[i] + if i == 1 { self.dropped_told } else { 0 };
                let counted = i == 0 && !self.abandoned;
                if *lines == 0 || error.is_empty() || (*more != (before > 0) && counted) {
                    return Err(format!("{notice:?} after {before} lines were told of"));
                }
                self.told[i] += lines;
                self.times_told[i] += 1;
            }
            Notice::LogDropped { lines } => self.dropped_told += lines,
        }
        Ok(())
    }

    /// A loss is told of when it begins, unless it is one of standard error itself, and when it is over.
    fn told_enough(&self) -> Checked {
        if self.queues[number(self.log)].writer.is_none() {
            return Ok(());
        }
        for i in 0..2 {
            let tape = self.descriptors[i].tape.borrow();
            let never = self.told[i] == 0 && i != number(self.log);
            if tape.lost > self.told[i] && (tape.recovered || never) {
                return Err(format!("{} lines were lost and {} told of", tape.lost, self.told[i]));
            }
            if self.told[i] > tape.lost || self.times_told[i] > 2 * tape.losses + 1 {
                let (told, times) = (self.told[i], self.times_told[i]);
                return Err(format!("told of {told} lines, {times} times, of {} in {} runs", tape.lost, tape.losses));
            }
            if tape.gone && self.gone_told[i] == 0 && tape.last.is_some() {
                return Err("a stream is gone and nobody is told".into());
            }
        }
        if self.dropped_told != self.dropped && self.queues[1].bytes.is_empty() && self.queues[0].bytes.is_empty() {
            return Err(format!("{} log lines were dropped and {} told of", self.dropped, self.dropped_told));
        }
        Ok(())
    }

    fn check(&mut self) -> Checked {
        self.steps += 1;
        for i in 0..2 {
            let (queue, tape) = (&self.queues[i], self.descriptors[i].tape.borrow());
            let held = queue.bytes.len();
            if held > MEMORY_MAX || queue.is_full() != (held >= QUEUE_MAX) {
                return Err(format!("{held} bytes are queued, full: {}", queue.is_full()));
            }
            if held != tape.pending.len() {
                return Err(format!("{held} bytes are queued where {} wait to be written", tape.pending.len()));
            }
            let lost = tape.lost + if i == 1 { self.dropped } else { 0 };
            let counted = (queue.total, queue.losses().0);
            if counted != (lost, lost + tape.discarded) {
                return Err(format!("{lost} and {} lines were lost, {counted:?} counted", tape.discarded));
            }
            if queue.writer.is_none() != tape.gone {
                return Err(format!("gone: {}, and it is written to: {}", tape.gone, queue.writer.is_some()));
            }
            if !tape.gone && (queue.false_wakes, queue.woken) != (tape.false_wakes, tape.woken) {
                return Err(format!("{} false wakes counted, {} there were", queue.false_wakes, tape.false_wakes));
            }
        }
        Ok(())
    }

    /// The descriptors have done their worst: the rest is read, and everything comes out.
    fn finish(&mut self) -> Checked {
        if self.abandoned {
            return self.give_up();
        }
        for c in 0..self.children.len() {
            // Once around for each time that the queue fills up.
            for _ in 0..10_000 {
                let Reading { child, read, waits, expected, passed, .. } = &self.children[c];
                if !waits && *read == child.bytes.len() && *passed >= expected.len() {
                    break;
                }
                let all = *read == child.bytes.len();
                self.act(&if all { Op::End(c) } else { Op::Read(c, 8192) })?;
                self.check()?;
            }
            let Reading { child, expected, passed, tail: said, .. } = &self.children[c];
            if *passed != expected.len() {
                return Err(format!("{}: {passed} of {} pieces came", child.name, expected.len()));
            }
            if said.lines() != tail(expected) {
                return Err(format!("{}: last words {:?}, not {:?}", child.name, said.lines(), tail(expected)));
            }
        }
        self.settle()?;
        self.queues[0].tell_loss();
        self.settle()?;
        let lost = self.descriptors[0].tape.borrow().lost;
        if self.queues[1].writer.is_some() && self.told[0] != lost {
            return Err(format!("in the end {lost} lines were lost and {} told of", self.told[0]));
        }
        Ok(())
    }

    /// Nobody reads any more: what is queued and what would still have come is lost, counted, and said where that can be read.
    fn give_up(&mut self) -> Checked {
        let mut unqueued = [0; 2];
        for reading in &self.children {
            unqueued[number(reading.child.stream)] += (reading.expected.len() - reading.passed) as u64;
        }
        for (i, lines) in unqueued.into_iter().enumerate() {
            self.queues[i].give_up(lines, "nobody reads them");
            let mut tape = self.descriptors[i].tape.borrow_mut();
            tape.give_up(lines);
            if self.queues[i].works() != tape.works() {
                return Err(format!("works: {}, and should: {}", self.queues[i].works(), tape.works()));
            }
        }
        self.check()?;
        if self.queues[0].works() && !self.queues[1].works() {
            self.log = Stream::Stdout;
        }
        self.queues.iter_mut().for_each(Queue::tell_loss);
        self.settle()?;
        for i in (0..2).filter(|i| *i != number(self.log)) {
            let lost = self.descriptors[i].tape.borrow().lost;
            if self.queues[number(self.log)].writer.is_some() && self.told[i] != lost {
                return Err(format!("in the end {lost} lines were lost and {} told of", self.told[i]));
            }
        }
        Ok(())
    }

    /// Writes until nothing is queued and nothing has to be said.
    fn settle(&mut self) -> Checked {
        for _ in 0..10_000 {
            if self.queues.iter().all(|q| q.bytes.is_empty()) && !has_notices(&self.queues, self.log) {
                return Ok(());
            }
            self.flush_some()?;
            self.check()?;
        }
        Err("something is left in the end".into())
    }
}
