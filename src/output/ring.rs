//! The last lines of one process: bytes in a ring of a fixed size, read from wherever a reader has come to. Pure.

use std::collections::VecDeque;

use super::queue::Stream;

/// Before the bytes of each line: how many they are (4), its place among the lines of all processes (8), milliseconds since 1970 (8), whose it
/// is (2) and its marks (1).
pub const HEAD: usize = 23;

const STDERR: u8 = 1;
const PARTIAL: u8 = 2;
const CONTINUED: u8 = 4;

/// A line, or a piece of one that is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept<'a> {
    /// It is the so-manyth of all processes.
    pub order: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    /// Whose it is: a number that the ring's owner knows.
    pub source: u16,
    pub stream: Stream,
    pub partial: bool,
    pub continued: bool,
    pub bytes: &'a [u8],
}

/// Where a reader is: it has had all lines before this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// The so-manyth line of this ring.
    pub line: u64,
    /// So many bytes went into the ring before it.
    offset: u64,
}

/// The last lines, never more than so many bytes, their heads included.
#[derive(Debug, Default)]
pub struct Ring {
    bytes: VecDeque<u8>,
    bound: usize,
    /// Of the oldest line that is here.
    first: Cursor,
    /// Of the line that comes next.
    next: Cursor,
}

impl Ring {
    /// Takes no memory until there is a line. `bound`: in bytes.
    pub fn new(bound: usize) -> Ring {
        Ring { bound, ..Ring::default() }
    }

    /// Puts a line in, and takes the oldest out until there is room. One that does not fit at all is passed over, as if it had been taken out at
    /// once.
    pub fn push(&mut self, kept: Kept<'_>) {
        let size = HEAD + kept.bytes.len();
        while self.bytes.len() + size > self.bound && !self.bytes.is_empty() {
            self.take_oldest();
        }
        self.next.line += 1;
        if size > self.bound {
            self.first = self.next;
            return;
        }
        self.make_room(size);
        let marks = [(kept.stream == Stream::Stderr, STDERR), (kept.partial, PARTIAL), (kept.continued, CONTINUED)];
        let marks = marks.iter().filter(|(is, _)| *is).fold(0, |all, (_, mark)| all | mark);
        // A line has no more than 16 KiB.
        let len = u32::try_from(kept.bytes.len()).unwrap_or(u32::MAX);
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..12].copy_from_slice(&kept.order.to_le_bytes());
        head[12..20].copy_from_slice(&kept.time.to_le_bytes());
        head[20..22].copy_from_slice(&kept.source.to_le_bytes());
        head[22] = marks;
        self.bytes.extend(&head);
        self.bytes.extend(kept.bytes);
        self.next.offset += size as u64;
    }

    /// Of the oldest line that is here, or of the next one.
    pub fn first(&self) -> Cursor {
        self.first
    }

    /// Of the last `count` lines.
    pub fn last(&self, count: u64) -> Cursor {
        let mut cursor = self.first;
        while self.next.line - cursor.line > count {
            cursor = self.after(cursor);
        }
        cursor
    }

    /// How many lines the reader has missed since it was last here; it goes on with the oldest that is left.
    pub fn catch_up(&self, cursor: &mut Cursor) -> u64 {
        let missed = self.first.line.saturating_sub(cursor.line);
        if missed > 0 {
            *cursor = self.first;
        }
        missed
    }

    /// The line at the cursor, copied into `buffer`, and the cursor behind it. `None`: there is none yet, or it has been taken out
    /// ([`Ring::catch_up`] comes first).
    pub fn read<'b>(&self, cursor: Cursor, buffer: &'b mut Vec<u8>) -> Option<(Kept<'b>, Cursor)> {
        if cursor.line < self.first.line || cursor.line >= self.next.line {
            return None;
        }
        let head = self.head(cursor);
        let start = self.at(cursor) + HEAD;
        buffer.clear();
        buffer.extend(self.bytes.range(start..start + length(&head)));
        let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| head[from + i]));
        let kept = Kept {
            order: number(4),
            time: number(12),
            source: u16::from_le_bytes([head[20], head[21]]),
            stream: if head[22] & STDERR == 0 { Stream::Stdout } else { Stream::Stderr },
            partial: head[22] & PARTIAL != 0,
            continued: head[22] & CONTINUED != 0,
            bytes: buffer,
        };
        Some((kept, self.after(cursor)))
    }

    /// The place among the lines of all processes of the one at the cursor.
    pub fn order(&self, cursor: Cursor) -> Option<u64> {
        let here = cursor.line >= self.first.line && cursor.line < self.next.line;
        let head = here.then(|| self.head(cursor))?;
        Some(u64::from_le_bytes(std::array::from_fn(|i| head[4 + i])))
    }

    fn at(&self, cursor: Cursor) -> usize {
        usize::try_from(cursor.offset - self.first.offset).unwrap_or(usize::MAX)
    }

    fn head(&self, cursor: Cursor) -> [u8; HEAD] {
        let at = self.at(cursor);
        std::array::from_fn(|i| self.bytes[at + i])
    }

    fn after(&self, cursor: Cursor) -> Cursor {
        let size = HEAD + length(&self.head(cursor));
        Cursor { line: cursor.line + 1, offset: cursor.offset + size as u64 }
    }

    fn take_oldest(&mut self) {
        let second = self.after(self.first);
        let size = second.offset - self.first.offset;
        self.bytes.drain(..usize::try_from(size).unwrap_or(usize::MAX));
        self.first = second;
    }

    /// As a vector grows, but never beyond the bound.
    fn make_room(&mut self, size: usize) {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len + size > capacity {
            let wanted = (2 * capacity).clamp(len + size, self.bound.max(len + size));
            self.bytes.reserve_exact(wanted - len);
        }
    }
}

fn length(head: &[u8; HEAD]) -> usize {
    u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(order: u64, bytes: &[u8]) -> Kept<'_> {
        let (stream, partial) =
            (if order.is_multiple_of(3) { Stream::Stderr } else { Stream::Stdout }, order.is_multiple_of(5));
        Kept {
            order,
            time: order * 7,
            source: (order % 4) as u16,
            stream,
            partial,
            continued: order.is_multiple_of(2),
            bytes,
        }
    }

    fn all(ring: &Ring, mut cursor: Cursor) -> Vec<(u64, Vec<u8>)> {
        let (mut lines, mut buffer) = (Vec::new(), Vec::new());
        while let Some((kept, next)) = ring.read(cursor, &mut buffer) {
            assert_eq!(kept, line(kept.order, kept.bytes));
            lines.push((kept.order, kept.bytes.to_vec()));
            cursor = next;
        }
        assert_eq!(cursor, ring.next);
        lines
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn the_last_lines_that_fit_are_there_and_a_reader_knows_what_it_missed(
            bound in 0usize..600,
            lines in proptest::collection::vec((0usize..300, any::<bool>()), 0..80),
            count in 0u64..20,
        ) {
            let mut ring = Ring::new(bound);
            let (mut cursor, mut had, mut missed) = (ring.first(), Vec::new(), 0);
            let mut buffer = Vec::new();
            for (order, (size, reads)) in lines.iter().enumerate() {
                let bytes = vec![b'a' + (order % 26) as u8; *size];
                ring.push(line(order as u64, &bytes));
                prop_assert!(ring.bytes.len() <= bound && ring.bytes.capacity() <= bound, "bounded");
                // What is there is the longest end of what came that fits.
                let sizes = lines[..=order].iter().rev().map(|(size, _)| HEAD + size);
                let fits = sizes.scan(0, |sum, size| { *sum += size; Some(*sum) }).take_while(|sum| *sum <= bound).count();
                let there = all(&ring, ring.first());
                prop_assert_eq!(there.len(), fits);
                prop_assert!(there.iter().rev().zip((0..=order as u64).rev()).all(|((got, _), expected)| *got == expected));
                prop_assert_eq!(all(&ring, ring.last(count)).len() as u64, count.min(fits as u64));
                if *reads {
                    missed += ring.catch_up(&mut cursor);
                    while let Some((kept, next)) = ring.read(cursor, &mut buffer) {
                        prop_assert_eq!(ring.order(cursor), Some(kept.order));
                        prop_assert!(kept.bytes.iter().all(|b| *b == b'a' + (kept.order % 26) as u8));
                        had.push(kept.order);
                        cursor = next;
                    }
                    prop_assert_eq!(had.len() as u64 + missed, order as u64 + 1, "each is had or missed, once");
                }
            }
            prop_assert!(had.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn nothing_is_taken_before_there_is_a_line_and_never_more_than_the_bound() {
        let mut ring = Ring::new(10_000);
        assert_eq!(ring.bytes.capacity(), 0);
        ring.push(line(0, b"a"));
        assert!(ring.bytes.capacity() < 100, "{}", ring.bytes.capacity());
        (1..2000).for_each(|n| ring.push(line(n, b"a line of some length")));
        assert!(ring.bytes.capacity() <= 10_000 && ring.bytes.len() > 9_900);
    }
}
