//! A child's bytes as lines, and lines as softstop prints them. Pure: no I/O, no clock.

use std::collections::VecDeque;

use crate::json;
use crate::text::plain;

/// A line longer than this is passed on in pieces, so that memory stays bounded; in bytes, without the newline.
pub const PIECE_MAX: usize = 16 * 1024;
/// Behind a piece that is not the end of its line, where a person reads it.
pub const CUT: &[u8] = b" [cut]";
/// Columns between a name and the text: ` | `.
pub const PREFIX: usize = 3;
/// Of names, as SGR has them: cyan, yellow, green, magenta, blue. Red is for errors.
pub const COLOURS: [u8; 5] = [36, 33, 32, 35, 34];
/// How many of a process's last lines are kept for the account of its death, and how many bytes of each.
pub const TAIL_LINES: usize = 10;
pub const TAIL_BYTES: usize = 256;

/// A line, or a part of one that is too long, without its newline. A carriage return before it stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    pub bytes: &'a [u8],
    /// Not the beginning of its line.
    pub continued: bool,
    /// More of the same line follows.
    pub partial: bool,
}

/// Cuts a stream of bytes into lines. Where it cuts depends on the bytes alone, never on how they arrived.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Handed out already.
    start: usize,
    /// Searched for a newline already.
    searched: usize,
    continued: bool,
    /// The stream has ended: what is left is a line.
    ended: bool,
}

impl Splitter {
    /// Takes bytes. Call [`Splitter::next_piece`] until it is `None` before the next call: then no more than
    /// [`PIECE_MAX`] bytes are held besides `bytes`.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
        self.ended = false;
    }

    /// What is left without a newline counts as a line from here on.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next whole line or piece, if there is one yet.
    pub fn next_piece(&mut self) -> Option<Piece<'_>> {
        let from = self.start;
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n').map(|i| self.searched + i);
        let (end, skip, partial) = match found {
            Some(newline) if newline - from <= PIECE_MAX => (newline, 1, false),
            _ if self.buffer.len() - from > PIECE_MAX => (from + cut(&self.buffer[from..]), 0, true),
            // What follows a cut is never empty: a line is cut only when more of it is there.
            _ if self.ended && self.buffer.len() > from => (self.buffer.len(), 0, false),
            _ => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        let piece = Piece { bytes: &self.buffer[from..end], continued: self.continued, partial };
        self.start = end + skip;
        self.searched = self.start;
        self.continued = partial;
        Some(piece)
    }
}

/// Where to cut a line that is too long: not within a UTF-8 character, if it is one.
fn cut(line: &[u8]) -> usize {
    let is_inner = |i: usize| line[i] & 0b1100_0000 == 0b1000_0000;
    (PIECE_MAX - 3..=PIECE_MAX).rev().find(|i| !is_inner(*i)).unwrap_or(PIECE_MAX)
}

/// How the lines of one stream of a process are printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Format {
    /// `text`: the child's own bytes. Where nobody else writes (`alone`) also those of a line that is too long; else [`CUT`] stands behind each
    /// piece that more follows, and a newline.
    Plain { timestamps: bool, alone: bool },
    /// `web | text`; the rest of a line that is too long as `web + text`, and [`CUT`] behind each piece that more follows. The bytes of
    /// the text are the child's own.
    Prefix {
        /// `web | ` and `web + `, in colour if need be.
        heads: [Vec<u8>; 2],
        timestamps: bool,
    },
    /// `{"timestamp":"…","process":"web","stream":"stdout","line":"…"}`, with `"partial":true` when more of the line follows and
    /// `"continued":true` when this is more of the one before. Bytes that are not UTF-8 become U+FFFD. With `objects` a line that is a JSON
    /// object itself stands as `"object":{…}` in the place of `"line"`.
    Json {
        /// What stands between the time and the stream.
        middle: Vec<u8>,
        objects: bool,
    },
}

impl Format {
    /// Names are padded to `width` characters. `colour`: an SGR colour number (31 to 36), when the output is a terminal.
    pub fn prefix(name: &str, width: usize, colour: Option<u8>, timestamps: bool) -> Format {
        let head = |mark: char| match colour {
            Some(colour) => format!("\x1b[{colour}m{name:width$} {mark}\x1b[0m ").into_bytes(),
            None => format!("{name:width$} {mark} ").into_bytes(),
        };
        Format::Prefix { heads: ['|', '+'].map(head), timestamps }
    }

    /// See [`Format::Json`].
    pub fn json(process: &str, objects: bool) -> Format {
        let name = serde_json::to_string(process).unwrap_or_default();
        Format::Json { middle: format!("\",\"process\":{name},\"stream\":\"").into_bytes(), objects }
    }

    /// Whether [`Format::write`] shows the time.
    pub fn has_time(&self) -> bool {
        match self {
            Format::Plain { timestamps, .. } | Format::Prefix { timestamps, .. } => *timestamps,
            Format::Json { .. } => true,
        }
    }

    /// Appends the piece as one line, with its newline. `ts` (RFC 3339) shows where [`Format::has_time`], `stream` in JSON alone.
    pub fn write(&self, out: &mut Vec<u8>, piece: Piece<'_>, stream: &'static str, ts: &str) {
        let Piece { bytes, partial, continued } = piece;
        let time = |out: &mut Vec<u8>| {
            out.extend_from_slice(ts.as_bytes());
            out.push(b' ');
        };
        match self {
            Format::Plain { timestamps, alone } => {
                if *timestamps && !(*alone && continued) {
                    time(out);
                }
                out.extend_from_slice(bytes);
                match (partial, alone) {
                    (true, true) => return,
                    (true, false) => out.extend_from_slice(CUT),
                    (false, _) => {}
                }
            }
            Format::Prefix { heads, timestamps } => {
                if *timestamps {
                    time(out);
                }
                out.extend_from_slice(&heads[usize::from(continued)]);
                out.extend_from_slice(bytes);
                if partial {
                    out.extend_from_slice(CUT);
                }
            }
            Format::Json { middle, objects } => {
                for part in [b"{\"timestamp\":\"", ts.as_bytes(), middle, stream.as_bytes()] {
                    out.extend_from_slice(part);
                }
                write_text(out, piece, *objects);
            }
        }
        out.push(b'\n');
    }
}

/// The rest of a JSON line, behind its stream.
fn write_text(out: &mut Vec<u8>, Piece { bytes, partial, continued }: Piece<'_>, objects: bool) {
    let whole = !partial && !continued;
    let own = bytes.trim_ascii();
    if objects && whole && own.first() == Some(&b'{') && json::is_object(own) {
        out.extend_from_slice(b"\",\"object\":");
        out.extend_from_slice(own);
    } else {
        out.extend_from_slice(b"\",\"line\":");
        // A string into a Vec: nothing here can fail.
        let _ = serde_json::to_writer(&mut *out, &String::from_utf8_lossy(bytes));
    }
    for (is, mark) in [(partial, &b",\"partial\":true"[..]), (continued, b",\"continued\":true")] {
        out.extend_from_slice(if is { mark } else { b"" });
    }
    out.push(b'}');
}

/// The last lines of a process: what it said before it had to be killed.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<Vec<u8>>,
}

impl Tail {
    pub fn add(&mut self, piece: Piece<'_>) {
        if piece.continued {
            return;
        }
        let mut line = match self.lines.len() {
            TAIL_LINES.. => self.lines.pop_front().unwrap_or_default(),
            _ => Vec::new(),
        };
        line.clear();
        match piece.bytes.split_at_checked(TAIL_BYTES - CUT.len()) {
            Some((begin, rest)) if rest.len() > CUT.len() => line.extend(begin.iter().chain(CUT)),
            _ => line.extend_from_slice(piece.bytes),
        }
        self.lines.push_back(line);
    }

    /// Oldest first, as text: no control characters, no trailing white space.
    pub fn lines(&self) -> Vec<String> {
        let text = |line: &Vec<u8>| plain(&String::from_utf8_lossy(line), ' ').trim_end().to_owned();
        self.lines.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: &Format, bytes: &[u8], continued: bool, partial: bool) -> Vec<u8> {
        let mut out = Vec::new();
        format.write(&mut out, Piece { bytes, continued, partial }, "stderr", "2026-11-22T10:00:00.000Z");
        out
    }

    #[test]
    fn the_time_stands_before_every_piece_with_a_prefix() {
        let timed = Format::prefix("web", 3, None, true);
        assert_eq!(written(&timed, b"a", true, false), b"2026-11-22T10:00:00.000Z web + a\n");
    }

    #[test]
    fn plain_is_the_bytes_alone_and_says_where_a_line_was_cut_only_where_others_write() {
        let of = |timestamps, alone| Format::Plain { timestamps, alone };
        assert_eq!(written(&of(false, false), b"a\0\xff\r", false, false), b"a\0\xff\r\n");
        assert_eq!(written(&of(false, false), b"begin", false, true), b"begin [cut]\n");
        let parts = [(&b"begin"[..], false, true), (b"middle", true, true), (b"rest", true, false)];
        let joined = |format: &Format| parts.map(|(bytes, c, p)| written(format, bytes, c, p)).concat();
        assert_eq!(joined(&of(false, true)), b"beginmiddlerest\n");
        assert_eq!(joined(&of(true, true)), b"2026-11-22T10:00:00.000Z beginmiddlerest\n");
    }

    #[test]
    fn an_object_of_its_own_stays_one_and_whatever_is_not_quite_one_stays_text() {
        let json = Format::json("web", true);
        let line = |text: &str| String::from_utf8(written(&json, text.as_bytes(), false, false)).unwrap();
        let head = "{\"timestamp\":\"2026-11-22T10:00:00.000Z\",\"process\":\"web\",\"stream\":\"stderr\",";
        let own = r#"{"level":"info","n":[1,-2.5e3,null],"a":{"b":"\u00e9 \"x\""}}"#;
        assert_eq!(line(&format!(" {own} \r")), format!("{head}\"object\":{own}}}\n"), "byte by byte");
        assert_eq!(line("{}"), format!("{head}\"object\":{{}}}}\n"));
        for text in [
            "{\"a\":1",
            "{\"a\":1} tail",
            "{'a':1}",
            "{\"a\":1,\"a\":2}",
            "{\"x\":{\"a\":1,\"\\u0061\":2}}",
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            "[{\"a\":1}]",
            "\"{}\"",
            "{\"a\":NaN}",
            "{",
            "",
        ] {
            let value: serde_json::Value = serde_json::from_str(&line(text)).unwrap();
            assert_eq!((value["line"].as_str(), value.get("object")), (Some(text), None));
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
        assert!(line(&deep).contains("\"line\":"), "nested without end");
        assert!(String::from_utf8(written(&json, b"{}", true, false)).unwrap().contains("\"line\":\"{}\""), "a piece");
        let off = Format::json("web", false);
        assert!(String::from_utf8(written(&off, b"{}", false, false)).unwrap().contains("\"line\":\"{}\""));
        assert!(written(&json, b"{\"a\":\"\xff\"}", false, false).windows(6).any(|w| w == b"\"line\""), "not UTF-8");
    }
}
