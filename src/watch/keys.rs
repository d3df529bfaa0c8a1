//! What is typed, out of the bytes that a terminal sends. Pure.

/// Longer sequences are none that a key sends.
const LONGEST: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Backspace,
    Escape,
    CtrlC,
    CtrlL,
    CtrlZ,
}

/// Takes bytes as they come, however they are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// The keys that are whole.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.pending.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while let Some((length, key)) = next(&self.pending) {
            self.pending.drain(..length);
            keys.extend(key);
        }
        keys
    }

    /// Something has begun that may be a key of its own if nothing follows soon.
    pub fn is_open(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Nothing has followed.
    pub fn nothing_follows(&mut self) -> Option<Key> {
        let escape = self.pending == [0x1b];
        self.pending.clear();
        escape.then_some(Key::Escape)
    }
}

/// The first key of the bytes, if it means anything, and how many they are; `None`: more is to come.
fn next(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let first = *bytes.first()?;
    let control = |key| Some((1, Some(key)));
    match first {
        0x1b => sequence(bytes),
        0x03 => control(Key::CtrlC),
        0x0c => control(Key::CtrlL),
        0x1a => control(Key::CtrlZ),
        b'\r' | b'\n' => control(Key::Enter),
        0x08 | 0x7f => control(Key::Backspace),
        0x0e => control(Key::Down),
        0x10 => control(Key::Up),
        0..0x20 => Some((1, None)),
        _ => character(bytes, first),
    }
}

fn character(bytes: &[u8], first: u8) -> Option<(usize, Option<Key>)> {
    let length = match first {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Some((1, None)),
    };
    let cut = &bytes[..length.min(bytes.len())];
    match std::str::from_utf8(cut) {
        Ok(text) => Some((length, text.chars().next().map(Key::Char))),
        // The rest of it is still to come.
        Err(error) if error.error_len().is_none() => None,
        Err(_) => Some((1, None)),
    }
}

/// Behind ESC.
fn sequence(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    match bytes.get(1)? {
        b'[' | b'O' => {}
        // A second one, or a key that was typed right after.
        _ => return Some((1, Some(Key::Escape))),
    }
    let Some(end) = bytes[2..].iter().position(|b| (0x40..0x7f).contains(b)).map(|at| at + 2) else {
        return (bytes.len() >= LONGEST).then_some((bytes.len(), None));
    };
    let key = match (bytes[end], &bytes[2..end]) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        (b'M', _) if bytes[1] == b'O' => Some(Key::Enter),
        _ => None,
    };
    Some((end + 1, key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_read_however_their_bytes_are_cut() {
        let typed = "j\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[1~\x1b[F\r\x7f\x03\x1a\x0cü世\x1b[200~".as_bytes();
        let keys = [
            Key::Char('j'),
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Enter,
            Key::Backspace,
            Key::CtrlC,
            Key::CtrlZ,
            Key::CtrlL,
            Key::Char('ü'),
            Key::Char('世'),
        ];
        for size in 1..=typed.len() {
            let mut decoder = Decoder::default();
            let read: Vec<Key> = typed.chunks(size).flat_map(|chunk| decoder.feed(chunk)).collect();
            assert_eq!(read, keys, "{size} at a time");
            assert!(!decoder.is_open());
        }
    }

    #[test]
    fn escape_alone_is_a_key_once_nothing_follows() {
        let mut decoder = Decoder::default();
        assert!(decoder.feed(b"\x1b").is_empty() && decoder.is_open());
        assert_eq!(decoder.nothing_follows(), Some(Key::Escape));
        assert_eq!(decoder.feed(b"\x1bq"), [Key::Escape, Key::Char('q')]);
        assert!(decoder.feed(b"\x1b[").is_empty());
        assert_eq!(decoder.nothing_follows(), None, "half an arrow is no key");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_none_are_kept_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes);
            prop_assert!(decoder.pending.len() < LONGEST);
        }
    }
}
