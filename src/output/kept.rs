//! What is kept of the processes' last lines, for who asks for them later: a [`Ring`] for each process whose output softstop reads. Who follows
//! reads from the rings at its own pace; what it is too slow for it is told of, and nothing is held for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::lines::Piece;
use super::queue::Stream;
use super::ring::{Cursor, HEAD, Ring};
use crate::config::Config;
use crate::sorted;
use crate::tasks::until;

/// Sources that can be told apart: processes, and hooks by their names.
const SOURCES: usize = 65_535;

/// All of it.
#[derive(Default)]
pub struct Keeper {
    rings: Vec<OfProcess>,
    /// Processes by their names.
    by_name: Vec<usize>,
    order: Cell<u64>,
    /// Of lines that are no process's own, which have the number of its ring: names of hooks.
    hooks: RefCell<Vec<String>>,
    followers: Cell<usize>,
    changed: Notify,
    ended: Notify,
    left: Notify,
    /// No line follows.
    over: Cell<bool>,
}

struct OfProcess {
    /// Empty: hooks that belong to no process.
    name: String,
    kept: Kept,
    ring: RefCell<Ring>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    /// `wrapper`: it was started with flags.
    Inherited {
        wrapper: bool,
    },
    No,
}

/// Where the lines of one process, or hook, are put.
#[derive(Clone)]
pub struct Keeping {
    keeper: Rc<Keeper>,
    ring: usize,
    source: u16,
}

/// Somebody who reads lines of some of the rings.
#[derive(Debug)]
pub struct Reading {
    cursors: Vec<(usize, Cursor)>,
    buffer: Vec<u8>,
}

/// What comes next to a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'r> {
    /// `source`: the process, or a hook by its name; `time`: milliseconds since 1970.
    Line { source: String, time: u64, stream: Stream, piece: Piece<'r> },
    /// So many lines of the process are gone: they came faster than the reader.
    Missed { process: String, lines: u64 },
}

impl Keeper {
    pub fn new(config: &Config) -> Rc<Keeper> {
        let read = config.processes.iter().filter(|p| p.is_read_at_all()).count();
        let part = config.logs.memory / read.max(1) as u64;
        let mut rings: Vec<OfProcess> = Vec::with_capacity(config.processes.len() + 1);
        for p in &config.processes {
            let bound = usize::try_from(p.logs.memory.min(part)).unwrap_or(usize::MAX);
            let kept = match (p.is_read_at_all(), bound > HEAD) {
                (false, _) => Kept::Inherited { wrapper: config.is_wrapper() },
                (true, false) => Kept::No,
                (true, true) => Kept::Yes,
            };
            rings.push(OfProcess { name: p.name.clone(), kept, ring: RefCell::new(Ring::new(bound)) });
        }
        let bound = usize::try_from(part.min(crate::config::Logs::default().memory)).unwrap_or(usize::MAX);
        let kept = if read > 0 && bound > HEAD { Kept::Yes } else { Kept::No };
        rings.push(OfProcess { name: String::new(), kept, ring: RefCell::new(Ring::new(bound)) });
        let mut by_name: Vec<usize> = (0..config.processes.len()).collect();
        sorted::by_key(&mut by_name, |i| &rings[*i].name);
        Rc::new(Keeper { rings, by_name, ..Keeper::default() })
    }

    /// Which of the processes that softstop was started with it is. `None`: a reload has added it, and its lines are kept with those of nobody.
    pub fn number(&self, process: &str) -> Option<usize> {
        let found = self.by_name.binary_search_by(|i| self.rings[*i].name.as_str().cmp(process));
        found.ok().map(|at| self.by_name[at])
    }

    /// Where lines of `source` go, which belongs to that process, or to none. `None`: they are not kept.
    pub fn keeping(self: &Rc<Keeper>, process: Option<usize>, source: &str) -> Option<Keeping> {
        let ring = process.unwrap_or(self.rings.len() - 1);
        let of = self.rings.get(ring).filter(|of| of.kept == Kept::Yes)?;
        let number = if of.name == source { ring } else { self.rings.len() + self.hook(source)? };
        Some(Keeping { keeper: Rc::clone(self), ring, source: u16::try_from(number).ok()? })
    }

    fn hook(&self, name: &str) -> Option<usize> {
        let mut hooks = self.hooks.borrow_mut();
        let known = hooks.iter().position(|known| known == name);
        known.or_else(|| {
            let room = self.rings.len() + hooks.len() < SOURCES;
            room.then(|| {
                hooks.push(name.to_owned());
                hooks.len() - 1
            })
        })
    }

    /// Whose lines have this number.
    fn source(&self, number: usize) -> String {
        match self.rings.get(number) {
            Some(of) => of.name.clone(),
            None => self.hooks.borrow().get(number - self.rings.len()).cloned().unwrap_or_default(),
        }
    }

    /// Begins to read: of one process, or of all; `last` lines of each that are there already.
    ///
    /// # Errors
    /// One line: there is no such process (`None` where the caller is to say so), or nothing of it is kept, and what to set.
    pub fn read(&self, process: Option<&str>, last: Option<u64>) -> Result<Reading, Option<String>> {
        let mut chosen: Vec<usize> = Vec::new();
        for (i, of) in self.rings.iter().enumerate() {
            if of.kept == Kept::Yes && process.is_none_or(|name| name == of.name) {
                chosen.push(i);
            }
        }
        // That the hooks' are kept is not what was asked for.
        if chosen.iter().all(|i| self.rings[*i].name.is_empty()) {
            let named = |of: &&OfProcess| !of.name.is_empty() && process.is_none_or(|name| name == of.name);
            return Err(self.rings.iter().find(named).map(OfProcess::why_not));
        }
        let cursors = chosen.into_iter().map(|i| {
            let ring = self.rings[i].ring.borrow();
            (i, last.map_or(ring.first(), |count| ring.last(count)))
        });
        Ok(Reading { cursors: cursors.collect(), buffer: Vec::new() })
    }

    /// The names of the processes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rings.iter().map(|of| of.name.as_str()).filter(|name| !name.is_empty())
    }

    /// The next line, by the order in which they came.
    pub fn next<'r>(&self, reading: &'r mut Reading) -> Option<Next<'r>> {
        let mut oldest: Option<(u64, usize)> = None;
        for (at, (i, cursor)) in reading.cursors.iter_mut().enumerate() {
            let of = &self.rings[*i];
            let ring = of.ring.borrow();
            let lines = ring.catch_up(cursor);
            if lines > 0 {
                return Some(Next::Missed { process: of.name.clone(), lines });
            }
            if let Some(order) = ring.order(*cursor)
                && oldest.is_none_or(|(least, _)| order < least)
            {
                oldest = Some((order, at));
            }
        }
        let (i, cursor) = &mut reading.cursors[oldest?.1];
        let ring = self.rings[*i].ring.borrow();
        let (kept, next) = ring.read(*cursor, &mut reading.buffer)?;
        *cursor = next;
        let source = self.source(usize::from(kept.source));
        let piece = Piece { bytes: kept.bytes, partial: kept.partial, continued: kept.continued };
        Some(Next::Line { source, time: kept.time, stream: kept.stream, piece })
    }

    /// One more who reads, until it is dropped; `None`: there are `most` already.
    pub fn follow(self: &Rc<Keeper>, most: usize) -> Option<Follower> {
        (self.followers.get() < most).then(|| {
            self.followers.set(self.followers.get() + 1);
            Follower(Rc::clone(self))
        })
    }

    /// The end: until nobody reads any more, at `time` at the latest.
    pub async fn everybody_left(&self, time: Instant) {
        let _ = timeout_at(time, until(&self.left, || self.followers.get() == 0)).await;
    }

    /// No line follows: who waits for one is to leave.
    pub fn end(&self) {
        self.over.set(true);
        self.changed.notify_waiters();
        self.ended.notify_waiters();
    }
}

/// See [`Keeper::follow`].
pub struct Follower(Rc<Keeper>);

impl Follower {
    /// No line follows.
    pub fn is_over(&self) -> bool {
        self.0.over.get()
    }

    /// Until no line follows.
    pub async fn over(&self) {
        until(&self.0.ended, || self.is_over()).await;
    }

    /// How many lines there were by now.
    pub fn seen(&self) -> u64 {
        self.0.order.get()
    }

    /// Until a line has come since there were `seen`, or none follows.
    pub async fn changed(&self, seen: u64) {
        until(&self.0.changed, || self.seen() != seen || self.is_over()).await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.set(self.0.followers.get() - 1);
        self.0.left.notify_waiters();
    }
}

impl OfProcess {
    fn why_not(&self) -> String {
        let name = &self.name;
        match self.kept {
            Kept::Inherited { wrapper: true } => format!(
                "{name} writes past softstop, which keeps none of it: start it with --output prefix (or json, plain)"
            ),
            Kept::Inherited { wrapper: false } => format!(
                "{name} writes past softstop (output = \"inherit\"), which keeps none of it: write output = \"prefix\" (or \"json\", \"plain\") for it"
            ),
            Kept::Yes | Kept::No => {
                format!("of {name} nothing is kept: memory in [process.logs] or [logs] is 0, or too little")
            }
        }
    }
}

impl Keeping {
    /// `time`: milliseconds since 1970.
    pub fn add(&self, stream: Stream, piece: Piece<'_>, time: u64) {
        let Keeping { keeper, ring, source } = self;
        let order = keeper.order.get();
        keeper.order.set(order + 1);
        let Piece { bytes, partial, continued } = piece;
        let kept = super::ring::Kept { order, time, source: *source, stream, partial, continued, bytes };
        keeper.rings[*ring].ring.borrow_mut().push(kept);
        if keeper.followers.get() > 0 {
            keeper.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check;

    fn keeper(text: &str) -> Rc<Keeper> {
        Keeper::new(&check::read(text, "f", &|_| None).unwrap().0)
    }

    const TWO: &str =
        "[[process]]\nname='web'\ncommand=['x']\n[[process]]\nname='db'\ncommand=['x']\noutput='inherit'\n";

    fn add(keeping: &Keeping, text: &str) {
        keeping.add(Stream::Stdout, Piece { bytes: text.as_bytes(), partial: false, continued: false }, 7);
    }

    fn lines(keeper: &Keeper, reading: &mut Reading) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(next) = keeper.next(reading) {
            all.push(match next {
                Next::Line { source, piece, .. } => format!("{source}: {}", String::from_utf8_lossy(piece.bytes)),
                Next::Missed { process, lines } => format!("{process} missed {lines}"),
            });
        }
        all
    }

    #[test]
    fn lines_of_several_come_in_their_order_and_a_slow_reader_hears_what_it_missed() {
        let text =
            "[logs]\nmemory=300\n[[process]]\nname='web'\ncommand=['x']\n[[process]]\nname='db'\ncommand=['x']\n";
        let keeper = keeper(text);
        let (web, db) = (keeper.keeping(Some(0), "web").unwrap(), keeper.keeping(Some(1), "db").unwrap());
        let hook = keeper.keeping(Some(0), "web pre_stop").unwrap();
        let mut all = keeper.read(None, None).unwrap();
        let mut of_db = keeper.read(Some("db"), None).unwrap();
        add(&web, "a");
        add(&db, "b");
        add(&hook, "c");
        assert_eq!(lines(&keeper, &mut all), ["web: a", "db: b", "web pre_stop: c"]);
        (0..10).for_each(|n| add(&web, &format!("{n}")));
        add(&db, "d");
        // 150 bytes for each, 24 for a line.
        assert_eq!(
            lines(&keeper, &mut all),
            ["web missed 4", "web: 4", "web: 5", "web: 6", "web: 7", "web: 8", "web: 9", "db: d"]
        );
        assert_eq!(lines(&keeper, &mut of_db), ["db: b", "db: d"]);
        assert_eq!(lines(&keeper, &mut keeper.read(Some("web"), Some(2)).unwrap()), ["web: 8", "web: 9"]);
    }

    #[test]
    fn where_nothing_is_kept_it_says_why_and_what_to_set() {
        let why = |text: &str, process: Option<&str>| keeper(text).read(process, None).map(drop).unwrap_err();
        assert!(why(TWO, Some("db")).unwrap().contains("write output = \"prefix\""));
        assert_eq!(why(TWO, Some("wbe")), None);
        assert!(keeper(TWO).read(None, None).is_ok());
        let one = "[[process]]\nname='web'\ncommand=['x']\n";
        assert!(why(one, None).unwrap().starts_with("web writes past softstop"));
        let off = "[[process]]\nname='web'\ncommand=['x']\noutput='json'\n[process.logs]\nmemory=0\n";
        assert!(why(off, None).unwrap().contains("memory in [process.logs] or [logs] is 0"));
        assert!(keeper(off).keeping(Some(0), "web").is_none());
    }
}
