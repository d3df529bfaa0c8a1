//! A mistake in the configuration: where, what, and what to write instead. Rendered as a source excerpt in the look of
//! toml's and rustc's own errors. Pure.

use std::fmt;
use std::ops::Range;

use super::secrets;
use crate::text::{is_plain, several};

/// Bytes into the configuration's text.
pub type Span = Range<usize>;

/// Columns of a source line shown in full; of a longer one, about as many around the mark: a minified line must not fill the
/// screen.
const EXCERPT: usize = 120;
/// More problems than this are counted, not shown: nobody reads them, and each costs an excerpt.
const SHOWN: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is accepted; `check` says it all the same.
    Warning,
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub severity: Severity,
    /// One line, lower case, no full stop.
    pub sentence: String,
    /// Where; further places belong to the same mistake (the first of two equal names, the members of a cycle).
    pub places: Vec<Place>,
    /// What to write instead.
    pub help: String,
}

impl Problem {
    /// An error, in one place.
    pub fn error(place: Place, sentence: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, sentence: sentence.into(), places: vec![place], help: help.into() }
    }
}

/// Why a text is not the value it should be: one sentence, and what to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    pub sentence: String,
    pub help: String,
}

impl Wrong {
    pub fn new(sentence: impl Into<String>, help: impl Into<String>) -> Wrong {
        Wrong { sentence: sentence.into(), help: help.into() }
    }
}

/// A marked piece of one line of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub file: String,
    /// From 1; `None` is the file as a whole.
    pub position: Option<Position>,
    /// Said beside the mark.
    pub label: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, from 0, where the files that this one includes are counted on.
    pub nth: usize,
    /// The line as a terminal can show it: tabs as spaces, nothing that moves the cursor.
    excerpt: String,
    /// Terminal columns before the mark, and under it.
    indent: usize,
    width: usize,
}

/// The text of a configuration, for turning bytes into lines and columns.
pub struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    /// What no excerpt shows.
    secrets: Vec<Span>,
    /// Further files, one behind the other: where each begins in `text`, and its name.
    included: &'a [(usize, String)],
}

impl<'a> Source<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Source<'a> {
        Source::with_included(file, text, &[])
    }

    /// `included`: where in `text` each further file begins, at a line, and its name.
    pub fn with_included(file: &'a str, text: &'a str, included: &'a [(usize, String)]) -> Source<'a> {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Source { file, text, lines, secrets: secrets::spans(text), included }
    }

    /// The place of `span`, cut to its first line. Spans past the end mean the end.
    pub fn place(&self, span: &Span, label: impl Into<String>) -> Place {
        let start = floor_boundary(self.text, span.start);
        let line = self.line(start);
        let line_start = self.lines[line];
        let next = self.lines.get(line + 1).map_or(self.text.len(), |n| n - 1);
        let mut text = &self.text[line_start..next.max(line_start)];
        text = text.strip_suffix('\r').unwrap_or(text);
        let (file, first) = self.file_of(line_start);
        let bom = if line == first && text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let text = &text[bom..];
        let begin = start.saturating_sub(line_start + bom).min(text.len());
        let end = floor_boundary(self.text, span.end).saturating_sub(line_start + bom).clamp(begin, text.len());
        let at = line_start + bom;
        let pieces = near(&text[..begin], &text[begin..end], &text[end..]);
        let starts = [at + begin - pieces[0].len(), at + begin, at + end];
        let [before, marked, after] = [0, 1, 2].map(|i| secrets::masked(pieces[i], starts[i], &self.secrets));
        let (excerpt, indent, width) = excerpt(&before, &marked, &after);
        let column = text[..begin].chars().count() + 1;
        let position = Position { line: line - first + 1, column, nth: line, excerpt, indent, width };
        Place { file: file.to_owned(), position: Some(position), label: label.into() }
    }

    /// The file that holds a byte, and the line, from 0, that it begins with.
    fn file_of(&self, byte: usize) -> (&str, usize) {
        match self.included[..self.included.partition_point(|(start, _)| *start <= byte)].last() {
            Some((start, name)) => (name, self.line(*start)),
            None => (self.file, 0),
        }
    }

    /// The file as a whole, for what is missing from it.
    pub fn whole(&self) -> Place {
        Place { file: self.file.to_owned(), position: None, label: String::new() }
    }

    /// The line, from 0, that holds a byte.
    pub fn line(&self, byte: usize) -> usize {
        self.lines.partition_point(|start| *start <= byte).saturating_sub(1)
    }
}

fn floor_boundary(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

fn ceil_boundary(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte += 1;
    }
    byte
}

/// Of the parts of a line what can be shown at most: no character has more than four bytes.
fn near<'t>(before: &'t str, marked: &'t str, after: &'t str) -> [&'t str; 3] {
    [
        &before[ceil_boundary(before, before.len().saturating_sub(4 * EXCERPT))..],
        &marked[..floor_boundary(marked, 4 * EXCERPT + 4)],
        &after[..floor_boundary(after, 4 * EXCERPT + 4)],
    ]
}

/// The line with a mark's indent and width in terminal columns; a long one is cut to about [`EXCERPT`] around the mark.
fn excerpt(before: &str, marked: &str, after: &str) -> (String, usize, usize) {
    let (mut before, marked, after) = (shown(before), shown(marked), shown(after));
    let room = if columns(&before) + columns(&marked) + columns(&after) > EXCERPT { EXCERPT } else { usize::MAX };
    let mut line = String::new();
    if room < columns(&before).saturating_mul(2) {
        before.reverse();
        before.truncate(fitting(&before, room / 2));
        before.reverse();
        line.push_str("...");
    }
    let indent = line.len() + columns(&before);
    let under = &marked[..fitting(&marked, room)];
    let width = columns(under);
    let tail = &after[..fitting(&after, room.saturating_sub(width))];
    line.extend(before.iter().chain(under).chain(tail).map(|(c, _)| c));
    if under.len() + tail.len() < marked.len() + after.len() {
        line.push_str("...");
    }
    (line.trim_end().to_owned(), indent, width.max(1))
}

/// How many of the first characters fit into so many columns.
fn fitting(text: &[(char, usize)], room: usize) -> usize {
    let mut used = 0;
    text.iter()
        .take_while(|(_, width)| {
            used += width;
            used <= room
        })
        .count()
}

fn columns(text: &[(char, usize)]) -> usize {
    text.iter().map(|(_, w)| w).sum()
}

/// Each character as it is shown, with its terminal columns. What could move the cursor or turn the text around is
/// replaced: the file is not trusted, and its errors end up in logs and terminals.
fn shown(text: &str) -> Vec<(char, usize)> {
    let mut list = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => list.extend([(' ', 1); 4]),
            c if !is_plain(c) => list.push(('\u{fffd}', 1)),
            c => list.push((c, terminal_width(c))),
        }
    }
    list
}

/// Terminal columns of a character: the blocks of Unicode's East Asian Width that people write comments and names in. A
/// rare character outside them shifts the mark, never the line and column.
fn terminal_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfeff => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{word}: {}", secrets::mask(&self.sentence))?;
        let gutter =
            self.places.iter().filter_map(|p| p.position.as_ref()).map(|p| p.line.to_string().len()).max().unwrap_or(1);
        for (i, place) in self.places.iter().enumerate() {
            let arrow = if i == 0 { "-->" } else { ":::" };
            let Some(at) = &place.position else {
                writeln!(f, "{:gutter$}{arrow} {}", "", place.file)?;
                continue;
            };
            writeln!(f, "{:gutter$}{arrow} {}:{}:{}", "", place.file, at.line, at.column)?;
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{}", format!("{:gutter$} | {}", at.line, at.excerpt).trim_end())?;
            let mark = "^".repeat(at.width);
            writeln!(
                f,
                "{}",
                format!("{:gutter$} | {:indent$}{mark} {}", "", "", place.label, indent = at.indent).trim_end()
            )?;
        }
        if !self.help.is_empty() {
            writeln!(f, "help: {}", secrets::mask(&self.help))?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, warnings included, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems {
    pub file: String,
    pub list: Vec<Problem>,
}

impl Problems {
    /// A problem with the file itself that the caller found: not readable, not UTF-8.
    ///
    /// ```
    /// let refused = softstop::config::problem::Problems::of_file("a.toml", "cannot be read: permission denied", "make it readable");
    /// assert!(refused.to_string().starts_with("error: cannot be read: permission denied\n --> a.toml\n"));
    /// ```
    pub fn of_file(file: &str, sentence: impl Into<String>, help: impl Into<String>) -> Problems {
        let problem = Problem::error(Source::new(file, "").whole(), sentence, help);
        Problems { file: file.to_owned(), list: vec![problem] }
    }

    /// How many of them refuse the configuration.
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|p| p.severity == Severity::Error).count()
    }
    /// All of them, and what that means: lines.
    pub fn refused(&self, outcome: &str) -> String {
        let mut text: String = self.list.iter().take(SHOWN).map(|problem| format!("{problem}\n")).collect();
        if let Some(more) = self.list.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            text += &format!("... and {more} more\n\n");
        }
        let errors = self.errors();
        text += &format!("{}: {}", self.file, several(errors, "problem", "problems"));
        if let Some(warnings) = self.list.len().checked_sub(errors).filter(|n| *n > 0) {
            text += &format!(" and {}", several(warnings, "warning", "warnings"));
        }
        text + "; " + outcome
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.refused("nothing was started"))
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, piece: &str) -> Position {
        let start = text.find(piece).unwrap();
        Source::new("f", text).place(&(start..start + piece.len()), "").position.unwrap()
    }

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let p = at("a = 1\nbé = 2\n", "= 2");
        assert_eq!((p.line, p.column, p.indent, p.width), (2, 4, 3, 3));
        let p = at("\u{feff}a = 1\r\nb = 2\r\n", "a");
        assert_eq!((p.line, p.column, p.indent, p.excerpt.as_str()), (1, 1, 0, "a = 1"));
        let p = at("\u{feff}a = 1\r\nb = 2\r\n", "2");
        assert_eq!((p.line, p.column, p.excerpt.as_str()), (2, 5, "b = 2"));
    }

    #[test]
    fn marks_stand_under_tabs_and_wide_characters() {
        let p = at("\tx = '日本' # here", "here");
        assert_eq!((p.column, p.indent), (13, 17));
        assert_eq!(&p.excerpt, "    x = '日本' # here");
        assert_eq!(at("x = '日本'", "'日本'").width, 6);
    }

    #[test]
    fn nothing_in_the_file_can_move_the_cursor() {
        assert_eq!(at("a = '\u{1b}[2J\u{202e}'", "a").excerpt, "a = '\u{fffd}[2J\u{fffd}'");
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{} bad {}", "x".repeat(5000), "y".repeat(5000));
        let p = at(&text, "bad");
        assert_eq!(p.column, 5002);
        assert!(p.excerpt.len() < 2 * EXCERPT, "{}", p.excerpt);
        assert_eq!(&p.excerpt[p.indent..p.indent + p.width], "bad");
        let p = at(&text, text.as_str());
        assert_eq!((p.width, p.excerpt.len()), (EXCERPT, EXCERPT + 3));
    }

    #[test]
    fn spans_beyond_the_text_mean_its_end() {
        for span in [0..0, Span { start: 5, end: 2 }, 90..99, 4..usize::MAX] {
            let place = Source::new("f", "ab\né").place(&span, "");
            assert!(place.position.unwrap().line <= 2);
        }
        assert_eq!(Source::new("f", "").place(&(0..0), "").position.unwrap().line, 1);
    }

    #[test]
    fn hundreds_of_problems_are_counted_not_shown() {
        let one = Problems::of_file("f", "bad", "fix it");
        let many = Problems { file: "f".into(), list: vec![one.list[0].clone(); 250] };
        let text = many.to_string();
        assert_eq!(text.matches("error:").count(), SHOWN);
        assert!(text.ends_with("... and 150 more\n\nf: 250 problems; nothing was started"), "{text}");
    }
}
