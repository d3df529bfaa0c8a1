//! What children write, how it arrives, and what becomes of each write. All of it follows from a seed.

use softstop::output::lines::PIECE_MAX;
use softstop::output::queue::Stream;

use super::descriptor::Does;
use super::draw::Draw;
use super::pieces::{Expected, Style};

#[derive(Clone, Debug)]
pub struct Scenario {
    pub children: Vec<Child>,
    pub ops: Vec<Op>,
    /// By stream: what each write does in turn, all when it is used up; the most one may be; not open at all.
    pub scripts: [Vec<Does>; 2],
    pub chunks: [usize; 2],
    pub closed: [bool; 2],
    /// In the end nobody reads, and it is given up.
    pub abandoned: bool,
}

#[derive(Clone)]
pub struct Child {
    pub name: String,
    pub stream: Stream,
    pub style: Style,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// So many bytes of the child's.
    Read(usize, usize),
    /// Nobody holds the child's pipe, for now: what has no newline is a line.
    End(usize),
    Flush,
    /// A line of softstop's own, so long.
    Log(usize),
    /// The kernel says that the stream can be written to, which the next write may find untrue.
    Wake(usize),
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (begin, rest) = self.bytes.split_at(self.bytes.len().min(80));
        let (text, more) = (begin.escape_ascii(), rest.len());
        write!(f, "{} {:?} {:?} \"{text}\" and {more} bytes more", self.name, self.style, self.stream)
    }
}

impl Child {
    /// Its last words lack a newline, and nobody has said yet that it is the end.
    pub fn at_end(&self, piece: &Expected, read: usize) -> bool {
        !piece.partial && piece.known == read && self.bytes.get(read.wrapping_sub(1)) != Some(&b'\n')
    }
}

impl Scenario {
    pub fn from_seed(seed: u64) -> Scenario {
        Scenario::draw(&mut Draw::seed(seed))
    }

    /// After how many bytes of the child's an end was said: for as long as nothing keeps it waiting, so scenarios with an end
    /// in the middle have too little in them to fill a queue.
    pub fn ends(&self, child: &Child) -> Vec<usize> {
        let mut read = 0;
        let mut ends = Vec::new();
        for op in &self.ops {
            match op {
                Op::Read(c, n) if self.is(child, *c) => read = (read + n).min(child.bytes.len()),
                Op::End(c) if self.is(child, *c) => ends.push(read),
                _ => {}
            }
        }
        ends.push(child.bytes.len());
        ends
    }

    fn is(&self, child: &Child, c: usize) -> bool {
        std::ptr::eq(child, &raw const self.children[c])
    }

    pub fn draw(d: &mut Draw) -> Scenario {
        let big = d.chance(4);
        let names = ["web", "w\"", "worker-2", "é日"];
        let mut children = d.many(1, 3, |d, i| Child {
            name: names[(i + d.below(2) as usize) % names.len()].to_owned(),
            stream: if d.chance(35) { Stream::Stderr } else { Stream::Stdout },
            style: d.pick(&[Style::Prefix, Style::Prefix, Style::Colour, Style::Json]),
            bytes: bytes(d, big),
        });
        if big {
            // NULs as JSON: six times as long, so that a queue is full soon.
            children[0].style = Style::Json;
        }
        let ends = !big;
        let n = children.len() as u64;
        let ops = d.many(0, 60, |d, _| match d.below(20) {
            0..12 => Op::Read(d.below(n) as usize, read(d, big)),
            12..16 => Op::Flush,
            16 => Op::Wake(d.below(2) as usize),
            17..19 => Op::Log(if big { d.below(30_000) as usize } else { d.below(60) as usize }),
            _ if ends => Op::End(d.below(n) as usize),
            _ => Op::Flush,
        });
        let scripts = [script(d), script(d)];
        let mut chunks = [d.pick(&[4096, 4096, 256, 16_384, 65_536, 7]), d.pick(&[4096, 256, 65_536, 1])];
        if big {
            chunks = chunks.map(|chunk| chunk.max(256));
        }
        Scenario { children, ops, scripts, chunks, closed: [d.chance(3), d.chance(3)], abandoned: d.chance(20) }
    }
}

fn bytes(d: &mut Draw, big: bool) -> Vec<u8> {
    let parts = d.many(0, if big { 24 } else { 10 }, |d, _| match d.below(if big { 14 } else { 10 }) {
        0..3 => b"\n".to_vec(),
        3..6 => (0..d.below(30)).map(|i| b'a' + (i % 26) as u8).collect(),
        6 => d.many(0, 12, |d, _| d.below(256) as u8),
        7 => b"\r\n\0\x1b[2J".to_vec(),
        8 => "é€𝄞".repeat(d.below(4) as usize).into_bytes(),
        9 if d.chance(10) => {
            let mut long = vec![b'x'; PIECE_MAX - 5 + d.below(10) as usize];
            long.extend("€𝄞".repeat(d.below(3) as usize).bytes());
            long
        }
        9 => b"line\n".to_vec(),
        10 => vec![0; PIECE_MAX + d.below(40_000) as usize],
        // Continuation bytes alone: no place to cut is right.
        11 => vec![0x80; PIECE_MAX + d.below(10) as usize],
        _ => [vec![0; PIECE_MAX], b"\n".to_vec()].concat(),
    });
    parts.concat()
}

fn read(d: &mut Draw, big: bool) -> usize {
    match d.below(4) {
        0 => 1,
        1 => d.below(6) as usize,
        2 if !big => d.below(40) as usize,
        _ => 8192,
    }
}

fn script(d: &mut Draw) -> Vec<Does> {
    match d.below(6) {
        0 => Vec::new(),
        // Nobody reads for a long time.
        1 => vec![Does::Blocks; d.below(80) as usize],
        _ => d.many(0, 24, |d, _| match d.below(20) {
            0..6 => Does::All,
            6..11 => Does::Some(1 + d.below(40) as usize),
            11..14 => Does::Blocks,
            14 => Does::NoMemory,
            15..19 => Does::Full(d.pick(&[libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EMSGSIZE])),
            _ if d.chance(30) => Does::Gone(d.pick(&[libc::EPIPE, libc::EIO, libc::ECONNRESET])),
            _ => Does::All,
        }),
    }
}
