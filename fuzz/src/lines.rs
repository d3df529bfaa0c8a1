//! A child's bytes into lines: whatever the chunks, every byte comes out (I10), and no piece is longer than it may be.

use softstop::output::lines::{CUT, Format, PIECE_MAX, Piece, Splitter, Tail};

/// In the data, a byte that stands for a run of letters about as long as the longest piece; the next byte says how long.
const LONG: u8 = 0xf5;
/// Of a stream, in bytes.
const MOST: usize = 8 * PIECE_MAX;

pub fn target(data: &[u8]) {
    let (sizes, script) = data.split_at(data.len().min(4));
    let stream = stream(script);
    let whole = split(&stream, &[]);
    assert_eq!(joined(&whole), ended(&stream), "bytes changed");
    for pair in whole.windows(2) {
        assert_eq!(pair[0].partial, pair[1].continued, "partial is followed by continued and by nothing else");
    }
    assert!(split(&stream, sizes) == whole, "the cuts depend on the chunks {sizes:?}");
    whole.iter().for_each(print);
}

#[derive(PartialEq, Eq, Debug)]
struct Owned {
    bytes: Vec<u8>,
    continued: bool,
    partial: bool,
}

fn stream(script: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut script = script.iter();
    while let Some(byte) = script.next().filter(|_| stream.len() < MOST) {
        if *byte == LONG {
            let more = script.next().copied().unwrap_or(0);
            stream.resize(stream.len() + PIECE_MAX - 100 + usize::from(more), b'x');
        } else {
            stream.push(*byte);
        }
    }
    stream
}

/// In chunks of these sizes, round and round; none: all at once.
fn split(stream: &[u8], sizes: &[u8]) -> Vec<Owned> {
    let (mut splitter, mut pieces) = (Splitter::default(), Vec::new());
    let mut sizes = sizes.iter().map(|s| usize::from(*s) * 64 + 1).cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(sizes.next().unwrap_or(rest.len()).min(rest.len()));
        splitter.fill(chunk);
        take(&mut splitter, &mut pieces);
        rest = after;
    }
    splitter.end();
    take(&mut splitter, &mut pieces);
    pieces
}

fn take(splitter: &mut Splitter, into: &mut Vec<Owned>) {
    while let Some(piece) = splitter.next_piece() {
        assert!(piece.bytes.len() <= PIECE_MAX, "{} bytes in one piece", piece.bytes.len());
        into.push(Owned { bytes: piece.bytes.to_vec(), continued: piece.continued, partial: piece.partial });
    }
}

fn joined(pieces: &[Owned]) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in pieces {
        all.extend_from_slice(&piece.bytes);
        if !piece.partial {
            all.push(b'\n');
        }
    }
    all
}

/// A last line without its newline gets one.
fn ended(stream: &[u8]) -> Vec<u8> {
    let mut expected = stream.to_vec();
    if !expected.is_empty() && !expected.ends_with(b"\n") {
        expected.push(b'\n');
    }
    expected
}

fn print(piece: &Owned) {
    let piece = Piece { bytes: &piece.bytes, continued: piece.continued, partial: piece.partial };
    let mut plain = Vec::new();
    Format::prefix("web", 5, None, false).write(&mut plain, piece, "stdout", "");
    let mark = if piece.continued { "web   + " } else { "web   | " };
    let cut = if piece.partial { CUT } else { b"" };
    assert_eq!(plain, [mark.as_bytes(), piece.bytes, cut, b"\n"].concat(), "prefix and mark leave the bytes alone");
    let mut json = Vec::new();
    for objects in [false, true] {
        json.clear();
        let format = Format::json("web", objects);
        format.write(&mut json, piece, "stderr", "2026-11-22T10:00:00.000Z");
        assert_eq!(json.iter().filter(|b| **b == b'\n').count(), 1, "one line");
        let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        match value.get("object") {
            Some(object) => {
                assert_eq!(*object, serde_json::from_slice::<serde_json::Value>(piece.bytes).expect("JSON"))
            }
            None => assert_eq!(value["line"], String::from_utf8_lossy(piece.bytes).as_ref()),
        }
    }
    let mut tail = Tail::default();
    tail.add(piece);
    assert!(tail.lines().iter().all(|l| !l.contains(char::is_control)), "the tail is clean");
}
