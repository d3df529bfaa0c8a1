//! What becomes of the bytes for a log file, as they come: when the file is put aside, where between two lines, and what is lost when the disk
//! is full. It allocates nothing. Pure: the file is a [`Disk`].

/// When a log file is put aside for a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// In bytes; `u64::MAX`: never.
    pub max_size: u64,
    /// In seconds; `u64::MAX`: never.
    pub max_age: u64,
    /// The one that is written included; from 1.
    pub max_files: u32,
}

/// The file as it is before something is written to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// In bytes.
    pub size: u64,
    /// In seconds.
    pub age: u64,
    /// It is another one than the last time: nothing of ours stands half in it.
    pub other: bool,
}

/// Where it is written. Errors are the system's numbers.
pub trait Disk {
    /// Opens the file, if it is not open or is not the one of that name any more.
    ///
    /// # Errors
    /// As open has it.
    fn open(&mut self) -> Result<Found, i32>;

    /// Writes a part of the bytes, one at least, behind all that is there.
    ///
    /// # Errors
    /// As write has it.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, i32>;

    /// Puts the file aside; the next [`Disk::open`] makes a new one.
    ///
    /// # Errors
    /// As rename has it; the file then counts as empty and new from here on, so that this is not tried again with every line.
    fn rotate(&mut self) -> Result<(), i32>;
}

/// What has become of the lines, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Written or lost, in bytes and lines.
    pub bytes: u64,
    pub lines: u64,
    pub lost: u64,
    /// Why the last of them was.
    pub lost_because: i32,
    /// How often the file could not be put aside, and why the last time.
    pub not_rotated: u64,
    pub not_rotated_because: i32,
    /// Orders to open it again that have been carried out.
    pub reopened: u64,
}

/// Between two chunks.
#[derive(Debug)]
pub struct Spool {
    limits: Limits,
    pub tally: Tally,
    /// What was written last did not end a line.
    mid_line: bool,
    /// The same, and the rest of that line is lost.
    torn: bool,
    /// The rest of a line that is lost comes next.
    skips: bool,
}

impl Spool {
    pub fn new(limits: Limits) -> Spool {
        Spool { limits, tally: Tally::default(), mid_line: false, torn: false, skips: false }
    }

    /// The file ends in the middle of a line that is not ours.
    pub fn begins_mid_line(&mut self) {
        (self.mid_line, self.torn) = (true, true);
    }

    /// Writes the next bytes, or counts what of them is lost.
    pub fn take(&mut self, bytes: &[u8], disk: &mut impl Disk) {
        self.tally.bytes += bytes.len() as u64;
        self.tally.lines += newlines(bytes);
        let mut rest = bytes;
        if self.skips {
            let Some(end) = line_end(rest) else { return };
            self.tally.lost += 1;
            self.skips = false;
            rest = &rest[end..];
        }
        while !rest.is_empty() {
            match self.write_some(rest, disk) {
                Ok(written) => rest = &rest[written..],
                Err((written, errno)) => return self.lose(&rest[written..], errno),
            }
        }
    }

    /// How much was written; 0: the file was put aside.
    fn write_some(&mut self, bytes: &[u8], disk: &mut impl Disk) -> Result<usize, (usize, i32)> {
        let found = disk.open().map_err(|errno| (0, errno))?;
        if found.other {
            (self.mid_line, self.torn) = (false, false);
        }
        let Some(fits) = self.fits(bytes, found) else {
            if let Err(errno) = disk.rotate() {
                self.tally.not_rotated += 1;
                self.tally.not_rotated_because = errno;
            }
            return Ok(0);
        };
        if self.torn {
            disk.write(b"\n").map_err(|errno| (0, errno))?;
            (self.torn, self.mid_line) = (false, false);
        }
        let mut written = 0;
        while written < fits {
            match disk.write(&bytes[written..fits]) {
                Ok(n) => written += n.clamp(1, fits - written),
                Err(errno) => {
                    self.wrote(&bytes[..written]);
                    return Err((written, errno));
                }
            }
        }
        self.wrote(&bytes[..written]);
        Ok(written)
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
        }
    }

    /// How much goes into the file as it is, at least a line or what there is of it; `None`: a new one is due.
    fn fits(&self, bytes: &[u8], found: Found) -> Option<usize> {
        let Found { size, age, .. } = found;
        // A torn line is ended before anything else.
        let between_lines = !self.mid_line || self.torn;
        let has_lines = between_lines && size > 0;
        if has_lines && age >= self.limits.max_age {
            return None;
        }
        let room = usize::try_from(self.limits.max_size.saturating_sub(size)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return Some(bytes.len());
        }
        let whole_lines = bytes[..room].iter().rposition(|b| *b == b'\n').map(|i| i + 1);
        match whole_lines {
            Some(end) => Some(end),
            None if has_lines => None,
            None => Some(line_end(bytes).unwrap_or(bytes.len())),
        }
    }

    fn lose(&mut self, rest: &[u8], errno: i32) {
        // A line of which only the end is missing is there: it gets one before the next.
        let only_its_end = self.mid_line && !self.torn && rest.first() == Some(&b'\n');
        self.tally.lost += newlines(rest) - u64::from(only_its_end);
        self.tally.lost_because = errno;
        self.skips = rest.last().is_some_and(|last| *last != b'\n');
        self.torn = self.mid_line;
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// Behind the first newline.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n').map(|i| i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Files in memory, on a disk that is full now and then.
    struct Memory {
        /// The one that is written comes last.
        files: Vec<Vec<u8>>,
        /// How many bytes the disk has left before each write, over and over; the writes so far.
        room: Vec<usize>,
        writes: usize,
        fails_to_open: Vec<bool>,
        opens: usize,
        fails_to_rotate: bool,
        forgiven: u64,
        age: u64,
    }

    impl Memory {
        fn new(room: &[usize], fails_to_open: &[bool], fails_to_rotate: bool) -> Memory {
            let (room, fails_to_open) = (room.to_vec(), fails_to_open.to_vec());
            Memory {
                files: vec![Vec::new()],
                room,
                writes: 0,
                fails_to_open,
                opens: 0,
                fails_to_rotate,
                forgiven: 0,
                age: 0,
            }
        }

        fn text(&self, file: usize) -> &str {
            std::str::from_utf8(&self.files[file]).unwrap()
        }
    }

    impl Disk for Memory {
        fn open(&mut self) -> Result<Found, i32> {
            self.opens += 1;
            if *self.fails_to_open.get(self.opens % self.fails_to_open.len().max(1)).unwrap_or(&false) {
                return Err(libc::EROFS);
            }
            let size = self.files.last().unwrap().len() as u64 - self.forgiven;
            Ok(Found { size, age: self.age, other: size == 0 && self.forgiven == 0 })
        }

        fn write(&mut self, bytes: &[u8]) -> Result<usize, i32> {
            self.writes += 1;
            let room = self.room.get(self.writes % self.room.len().max(1)).copied().unwrap_or(usize::MAX);
            let n = bytes.len().min(room);
            self.files.last_mut().unwrap().extend(&bytes[..n]);
            if n == 0 { Err(libc::ENOSPC) } else { Ok(n) }
        }

        fn rotate(&mut self) -> Result<(), i32> {
            if self.fails_to_rotate {
                self.forgiven = self.files.last().unwrap().len() as u64;
                return Err(libc::EACCES);
            }
            (self.forgiven, self.age) = (0, 0);
            self.files.push(Vec::new());
            Ok(())
        }
    }

    const FOR_EVER: Limits = Limits { max_size: u64::MAX, max_age: u64::MAX, max_files: 5 };

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn every_line_is_in_a_file_whole_and_in_order_or_counted_as_lost(
            sizes in proptest::collection::vec(0usize..40, 1..60),
            chunk in 1usize..200,
            room in proptest::collection::vec(prop_oneof![2 => Just(usize::MAX), 1 => 0usize..30], 0..6),
            refused in proptest::collection::vec(any::<bool>(), 0..4),
            max_size in prop_oneof![1 => Just(u64::MAX), 3 => 10u64..200],
            fails_to_rotate in any::<bool>(),
        ) {
            let lines: Vec<String> = sizes.iter().enumerate().map(|(n, size)| format!("{n}:{}\n", "x".repeat(*size))).collect();
            let mut spool = Spool::new(Limits { max_size, ..FOR_EVER });
            let mut disk = Memory::new(&room, &refused, fails_to_rotate);
            for bytes in lines.concat().as_bytes().chunks(chunk) {
                spool.take(bytes, &mut disk);
            }
            let Tally { bytes, lines: counted, lost, .. } = spool.tally;
            prop_assert_eq!((bytes, counted), (lines.concat().len() as u64, lines.len() as u64));
            let mut there = Vec::new();
            for (n, file) in disk.files.iter().enumerate() {
                let whole: Vec<String> = disk.text(n).lines().map(|line| format!("{line}\n")).collect();
                let own: Vec<&String> = whole.iter().filter(|line| lines.contains(line)).collect();
                let torn = whole.len() - own.len();
                prop_assert!(torn as u64 <= lost, "a line that is not whole is a lost one: {whole:?}");
                there.extend(own.into_iter().cloned());
                // Of the last line it may have had only the beginning when that still fitted.
                let but_for_the_last = file.strip_suffix(b"\n").unwrap_or(file).rsplitn(2, |b| *b == b'\n').nth(1);
                let larger = but_for_the_last.map_or(0, <[u8]>::len) as u64 > max_size;
                prop_assert!(!larger || torn > 0 || fails_to_rotate, "{} of {max_size}", file.len());
            }
            prop_assert_eq!(there.len() as u64 + lost, lines.len() as u64, "each is there or lost: {:?}", disk.files);
            let mut places = there.iter().map(|line| lines.iter().position(|own| own == line));
            prop_assert!(places.clone().zip(places.by_ref().skip(1)).all(|(a, b)| a < b), "in order");
            if room.iter().all(|room| *room > 0) && !refused.contains(&true) {
                prop_assert_eq!(lost, 0);
            }
        }
    }

    #[test]
    fn a_file_is_put_aside_between_two_lines_when_it_would_become_too_large_or_is_too_old() {
        let mut spool = Spool::new(Limits { max_size: 10, max_age: 60, max_files: 2 });
        let mut disk = Memory::new(&[], &[], false);
        spool.take(b"1234\n1234\n12", &mut disk);
        spool.take(b"34\n", &mut disk);
        assert_eq!(disk.files, [&b"1234\n1234\n"[..], b"1234\n"]);
        disk.age = 60;
        spool.take(b"a\n", &mut disk);
        assert_eq!(disk.text(2), "a\n");
        spool.take(b"a line that is longer than a file may be\nb\n", &mut disk);
        assert_eq!((disk.text(3), disk.text(4)), ("a line that is longer than a file may be\n", "b\n"));
        assert_eq!((spool.tally.lost, spool.tally.not_rotated), (0, 0));
    }

    #[test]
    fn a_line_that_a_full_disk_tore_is_ended_before_the_next_and_counted() {
        let mut spool = Spool::new(FOR_EVER);
        let mut disk = Memory::new(&[], &[], false);
        disk.room = vec![0, 3];
        spool.take(b"first\nsecond\nthi", &mut disk);
        assert_eq!((disk.text(0), spool.tally.lost, spool.tally.lost_because), ("fir", 2, libc::ENOSPC));
        disk.room.clear();
        spool.take(b"rd\nfourth\n", &mut disk);
        assert_eq!((disk.text(0), spool.tally.lost, spool.tally.lines), ("fir\nfourth\n", 3, 4));
    }

    #[test]
    fn a_line_that_somebody_else_has_begun_is_ended_first() {
        let mut spool = Spool::new(FOR_EVER);
        let mut disk = Memory::new(&[], &[], false);
        disk.files[0].extend(b"theirs");
        spool.begins_mid_line();
        spool.take(b"ours\nand\n", &mut disk);
        assert_eq!(disk.text(0), "theirs\nours\nand\n");
    }

    #[test]
    fn a_file_that_cannot_be_put_aside_grows_and_that_is_counted_and_not_tried_with_every_line() {
        let mut spool = Spool::new(Limits { max_size: 8, ..FOR_EVER });
        let mut disk = Memory::new(&[], &[], true);
        (0..8).for_each(|_| spool.take(b"abc\n", &mut disk));
        assert_eq!(disk.files.len(), 1);
        assert_eq!(
            (disk.text(0).len(), spool.tally.not_rotated, spool.tally.not_rotated_because),
            (32, 3, libc::EACCES)
        );
    }
}
