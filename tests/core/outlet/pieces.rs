//! What a child's bytes must become, said a second time: from the whole of what it writes, not as it comes.

use serde_json::to_string;
use softstop::output::lines::PIECE_MAX;
use softstop::text::is_plain;

/// A line, or a part of one that is too long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    pub bytes: Vec<u8>,
    pub continued: bool,
    pub partial: bool,
    /// Can be known once so many bytes have been read: then it must have been passed on.
    pub known: usize,
}

/// `ends`: after so many bytes what has no newline counts as a line.
pub fn expected(stream: &[u8], ends: &[usize]) -> Vec<Expected> {
    let mut list = Vec::new();
    let mut from = 0;
    let mut marks: Vec<(usize, bool)> = (0..stream.len()).filter(|i| stream[*i] == b'\n').map(|i| (i, true)).collect();
    marks.extend(ends.iter().map(|i| (*i, false)));
    // An end before the newline at the same place: the newline has not been read then.
    marks.sort_by_key(|(at, newline)| (*at, *newline));
    for (at, newline) in marks {
        if newline || at > from {
            line(&mut list, &stream[from..at], from, at + usize::from(newline));
        }
        from = at + usize::from(newline);
    }
    line_begun(&mut list, &stream[from..], from);
    list
}

fn line(list: &mut Vec<Expected>, rest: &[u8], from: usize, known: usize) {
    let (at, continued) = line_begun(list, rest, from);
    list.push(Expected { bytes: rest[at - from..].to_vec(), continued, partial: false, known });
}

/// The pieces of a line before its last one: where that begins, and whether there is one before it.
fn line_begun(list: &mut Vec<Expected>, mut rest: &[u8], mut from: usize) -> (usize, bool) {
    let mut continued = false;
    while rest.len() > PIECE_MAX {
        let begins_character = |i: &usize| !(0x80..0xc0).contains(&rest[*i]);
        let cut = (0..4).map(|back| PIECE_MAX - back).find(begins_character).unwrap_or(PIECE_MAX);
        let bytes = rest[..cut].to_vec();
        list.push(Expected { bytes, continued, partial: true, known: from + PIECE_MAX + 1 });
        (rest, from, continued) = (&rest[cut..], from + cut, true);
    }
    (from, continued)
}

/// How a process's lines are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    Prefix,
    Colour,
    Json,
}

pub const STAMP: &str = "2026-11-22T10:00:00.000Z";

pub fn printed(piece: &Expected, style: Style, name: &str, width: usize, stream: &str) -> Vec<u8> {
    let mark = if piece.continued { '+' } else { '|' };
    let padded: String = name.chars().chain(std::iter::repeat(' ')).take(width.max(name.chars().count())).collect();
    let mut line = match style {
        Style::Prefix => format!("{padded} {mark} ").into_bytes(),
        Style::Colour => format!("\u{1b}[33m{padded} {mark}\u{1b}[0m ").into_bytes(),
        Style::Json => {
            let text = String::from_utf8_lossy(&piece.bytes);
            let (name, text) = (to_string(name).unwrap(), to_string(&text).unwrap());
            let partial = if piece.partial { ",\"partial\":true" } else { "" };
            let more = if piece.continued { ",\"continued\":true" } else { "" };
            format!("{{\"timestamp\":\"{STAMP}\",\"process\":{name},\"stream\":\"{stream}\",\"line\":{text}{partial}{more}}}")
                .into_bytes()
        }
    };
    if style != Style::Json {
        line.extend(&piece.bytes);
        line.extend(if piece.partial { " [cut]" } else { "" }.bytes());
    }
    line.push(b'\n');
    line
}

/// The last ten lines of a process, 256 bytes of each at most, with nothing in them that moves a cursor.
pub fn tail(pieces: &[Expected]) -> Vec<String> {
    let lines: Vec<&Expected> = pieces.iter().filter(|p| !p.continued).collect();
    let text = |p: &&Expected| {
        let long = p.bytes.len() > 256;
        let mut text = String::from_utf8_lossy(&p.bytes[..if long { 250 } else { p.bytes.len() }]).into_owned();
        text.push_str(if long { " [cut]" } else { "" });
        text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect::<String>().trim_end().to_owned()
    };
    lines.iter().skip(lines.len().saturating_sub(10)).map(text).collect()
}
