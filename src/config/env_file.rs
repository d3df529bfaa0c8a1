//! Files of variables, as docker, the dotenv libraries and foreman write them: their text into names and values. Pure.
//!
//! The two disagree about most lines (`A="a b"`, `A=a # b`, `export A=1`), and neither can be told from the text: which it is has to be
//! said. So that the wrong one is noticed, [`Parsed::doubts`] has the lines of a file in docker's that would mean something else in dotenv's, and
//! those that foreman passes over.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a file of variables is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvFormat {
    /// As `docker run --env-file` reads it: what stands behind the equals sign is the value, as it is.
    #[default]
    Docker,
    /// As Compose and the dotenv libraries read it: quotes, comments, `export`, `${NAME}`.
    Dotenv,
    /// As foreman reads the `.env` beside a Procfile: quotes around a whole value, and neither comments behind one, `export` nor `${NAME}`.
    Foreman,
}

/// So many bytes are read of a file.
pub const MAX_BYTES: usize = 256 * 1024;
/// So many variables a file may have.
const MAX_VARIABLES: usize = 10_000;
/// What a dotenv file's references may make of it, in bytes.
const MAX_EXPANDED: usize = 1024 * 1024;
/// So many doubtful lines are enough.
const DOUBTS: usize = 3;

/// What a file has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// In order; of one that stands twice the last counts.
    pub variables: Vec<(String, String)>,
    /// Lines that the other format would read in another way; of foreman's, those that are no variable. The first few.
    pub doubts: Vec<usize>,
}

/// What is wrong, and in which line. Never the line itself: it may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub line: usize,
    pub what: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// `variable`: what a name alone, or a reference in a dotenv file, means outside of it.
///
/// # Errors
/// The first line that is neither a variable nor a comment.
pub fn parse(bytes: &[u8], format: EnvFormat, variable: &dyn Fn(&str) -> Option<String>) -> Result<Parsed, Wrong> {
    if bytes.len() > MAX_BYTES {
        return Err(Wrong { line: 1, what: "the file has more than 256 KiB: is it the right one?" });
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        Wrong { line: before.split(|b| *b == b'\n').count(), what: "it is not UTF-8" }
    })?;
    if let Some(at) = text.find('\0') {
        let line = text.get(..at).unwrap_or_default().split('\n').count();
        return Err(Wrong { line, what: "a NUL byte, which no variable can have" });
    }
    match format {
        EnvFormat::Docker => docker(text, variable),
        EnvFormat::Foreman => foreman(text),
        EnvFormat::Dotenv => {
            Dotenv { text, at: 0, line: 1, room: MAX_EXPANDED, parsed: Parsed::default() }.read(variable)
        }
    }
}

/// What docker 28 does: blanks before the name go, everything behind the equals sign is the value.
fn docker(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Parsed, Wrong> {
    let mut parsed = Parsed::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what| Err(Wrong { line: number, what });
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return wrong("no name before the equals sign");
        }
        if name.contains(char::is_whitespace) {
            return wrong("a blank in the name; `export NAME=…` and `NAME = …` are format = \"dotenv\"");
        }
        match value {
            Some(value) => {
                let quoted = |quote: char| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
                parsed.doubt(quoted('"') || quoted('\'') || value.contains(" #"), number);
                parsed.put(name, value.to_owned(), number)?;
            }
            // A name alone hands on what there is.
            None => {
                if let Some(value) = variable(name) {
                    parsed.put(name, value, number)?;
                }
            }
        }
    }
    Ok(parsed)
}

/// What foreman 0.90 does: `NAME=value` from the first character of a line on, and everything else is passed over.
fn foreman(text: &str) -> Result<Parsed, Wrong> {
    let mut parsed = Parsed::default();
    for (number, line) in (1..).zip(text.lines()) {
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| is_name(name)) else {
            parsed.doubt(!line.trim().is_empty() && !line.trim_start().starts_with('#'), number);
            continue;
        };
        let within = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = match (within('\''), within('"')) {
            (Some(raw), _) => raw.to_owned(),
            (None, Some(raw)) => unescaped(raw),
            (None, None) => value.to_owned(),
        };
        parsed.put(name, value, number)?;
    }
    Ok(parsed)
}

/// `\n` is a line's end, any other character behind a backslash is itself.
fn unescaped(raw: &str) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        value.push(match c {
            '\\' => chars.next().map_or('\\', |c| if c == 'n' { '\n' } else { c }),
            c => c,
        });
    }
    value
}

impl Parsed {
    fn put(&mut self, name: &str, value: String, line: usize) -> Result<(), Wrong> {
        if self.variables.len() >= MAX_VARIABLES {
            return Err(Wrong { line, what: "more than 10000 variables" });
        }
        self.variables.push((name.to_owned(), value));
        Ok(())
    }

    fn doubt(&mut self, is_doubtful: bool, line: usize) {
        if is_doubtful && self.doubts.len() < DOUBTS {
            self.doubts.push(line);
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A name, its default, and what stands behind it.
type Reference<'t> = (&'t str, Option<&'t str>, &'t str);

/// What Compose does: quotes, comments behind a blank, `export`, values over several lines, `${NAME}` and `${NAME:-default}`.
struct Dotenv<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    /// So many bytes more may come of references.
    room: usize,
    parsed: Parsed,
}

impl<'a> Dotenv<'a> {
    fn read(mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Parsed, Wrong> {
        loop {
            self.blanks(true);
            if self.rest().is_empty() {
                return Ok(self.parsed);
            }
            if self.rest().starts_with('#') {
                self.pass_the_line();
                continue;
            }
            let began = self.line;
            let name = self.name()?;
            if !self.rest().starts_with(['=', ':']) {
                if !self.says_no_more() {
                    return Err(self.wrong("an equals sign is missing behind the name"));
                }
                self.pass_the_line();
                if let Some(value) = variable(name) {
                    self.parsed.put(name, value, began)?;
                }
                continue;
            }
            self.at += 1;
            self.blanks(false);
            let value = self.value(variable)?;
            self.parsed.put(name, value, began)?;
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// But for a comment.
    fn says_no_more(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with(['\n', '\r', '#'])
    }

    fn wrong(&self, what: &'static str) -> Wrong {
        Wrong { line: self.line, what }
    }

    /// Passes over blanks, and over ends of lines.
    fn blanks(&mut self, lines: bool) {
        let skipped = |c: char| c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r');
        let rest = self.rest();
        let end = rest.find(|c| !skipped(c)).unwrap_or(rest.len());
        self.pass(end);
    }

    /// `bytes` further; the lines in them are counted.
    fn pass(&mut self, bytes: usize) {
        self.line += self.rest().get(..bytes).unwrap_or_default().matches('\n').count();
        self.at += bytes;
    }

    fn pass_the_line(&mut self) {
        let rest = self.rest();
        self.pass(rest.find('\n').unwrap_or(rest.len()));
    }

    fn name(&mut self) -> Result<&'a str, Wrong> {
        if let Some(behind) = self.rest().strip_prefix("export").filter(|behind| behind.starts_with([' ', '\t'])) {
            self.at = self.text.len() - behind.len();
            self.blanks(false);
        }
        let rest = self.rest();
        let ends = |c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c));
        let name = rest.get(..rest.find(ends).unwrap_or(rest.len())).unwrap_or_default();
        if name.is_empty() {
            return Err(self.wrong("no name: letters, digits, `_`, `.` and `-` before the equals sign"));
        }
        self.at += name.len();
        self.blanks(false);
        Ok(name)
    }

    fn value(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Wrong> {
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let began = self.line;
                let inside = self.rest().get(1..).unwrap_or_default();
                let Some(end) = end_of_quoted(inside, quote) else {
                    return Err(Wrong { line: began, what: "the quote is not closed" });
                };
                let raw = inside.get(..end).unwrap_or_default();
                self.pass(end + 2);
                self.blanks(false);
                if !self.says_no_more() {
                    return Err(self.wrong("something stands behind the closing quote"));
                }
                self.pass_the_line();
                if quote == '\'' { Ok(raw.to_owned()) } else { self.expand(raw, true, variable) }
            }
            _ => {
                let rest = self.rest();
                let line = rest.get(..rest.find('\n').unwrap_or(rest.len())).unwrap_or_default();
                let comment = [" #", "\t#"].iter().filter_map(|mark| line.find(mark)).min();
                let raw = line.get(..comment.unwrap_or(line.len())).unwrap_or_default().trim();
                // `A= # nothing`: the blank before the mark has been passed over.
                let raw = if raw.starts_with('#') { "" } else { raw };
                let value = self.expand(raw, false, variable)?;
                self.pass_the_line();
                Ok(value)
            }
        }
    }

    /// `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`; within quotes `\n` and its like, too.
    fn expand(&mut self, raw: &str, escapes: bool, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Wrong> {
        let mut value = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.find(['$', '\\']) {
            let (before, from) = rest.split_at(at);
            value.push_str(before);
            let (mark, behind) = from.split_at(1);
            rest = behind;
            if mark == "\\" {
                let meant = behind.chars().next().and_then(|c| escaped(c, escapes));
                value.push(meant.unwrap_or('\\'));
                rest = behind.get(usize::from(meant.is_some())..).unwrap_or_default();
            } else if let Some((name, default, after)) = self.reference(behind)? {
                let found = self.parsed.get(name).map(str::to_owned).or_else(|| variable(name));
                let text = found.filter(|found| !found.is_empty()).or_else(|| default.map(str::to_owned));
                let text = text.unwrap_or_default();
                let Some(room) = self.room.checked_sub(text.len()) else {
                    return Err(self.wrong("its references make more than 1 MiB of it"));
                };
                self.room = room;
                value.push_str(&text);
                rest = after;
            } else {
                // A dollar sign alone.
                value.push('$');
            }
        }
        value.push_str(rest);
        Ok(value)
    }

    /// What stands behind a dollar sign. `None`: it is no reference.
    fn reference<'t>(&self, behind: &'t str) -> Result<Option<Reference<'t>>, Wrong> {
        let Some(inside) = behind.strip_prefix('{') else {
            let end = behind.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(behind.len());
            let (name, after) = behind.split_at(end);
            return Ok(is_name(name).then_some((name, None, after)));
        };
        let Some((reference, after)) = inside.split_once('}') else { return Err(self.wrong("`${` without its `}`")) };
        let with_default = reference.split_once(":-").or_else(|| reference.split_once('-'));
        let (name, default) = with_default.map_or((reference, None), |(name, default)| (name, Some(default)));
        if !is_name(name) {
            return Err(self.wrong("`${…}` with something else than NAME or NAME:-default in it"));
        }
        Ok(Some((name, default, after)))
    }
}

/// What a backslash and this character mean; `None`: just that.
fn escaped(c: char, quoted: bool) -> Option<char> {
    match c {
        '$' => Some('$'),
        'n' if quoted => Some('\n'),
        'r' if quoted => Some('\r'),
        't' if quoted => Some('\t'),
        '"' | '\\' if quoted => Some(c),
        _ => None,
    }
}

/// It can be a variable's name.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Where the closing quote stands; within double ones a backslash hides it.
fn end_of_quoted(inside: &str, quote: char) -> Option<usize> {
    let mut hidden = false;
    inside.char_indices().find_map(|(at, c)| {
        let end = c == quote && !hidden;
        hidden = quote == '"' && c == '\\' && !hidden;
        end.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outside(name: &str) -> Option<String> {
        (name == "HOST").then(|| "db".to_owned())
    }

    fn read(text: &str, format: EnvFormat) -> Result<Vec<(String, String)>, Wrong> {
        parse(text.as_bytes(), format, &outside).map(|parsed| parsed.variables)
    }

    /// One line in both formats; `None`: refused.
    fn both(line: &str) -> [Option<String>; 2] {
        [EnvFormat::Docker, EnvFormat::Dotenv].map(|format| {
            let variables = read(line, format).ok()?;
            Some(variables.into_iter().next().map_or_else(String::new, |(name, value)| format!("{name}={value}")))
        })
    }

    /// As reference/crates.md has it of docker 28.2.2 and compose-go.
    #[test]
    fn each_line_means_what_docker_and_compose_make_of_it() {
        let some = |text: &str| Some(text.to_owned());
        for (line, docker, dotenv) in [
            ("A=1", some("A=1"), some("A=1")),
            ("A=\"a b\"", some("A=\"a b\""), some("A=a b")),
            ("A='a $b'", some("A='a $b'"), some("A=a $b")),
            ("A=a b", some("A=a b"), some("A=a b")),
            ("A=a #b", some("A=a #b"), some("A=a")),
            ("A=a#b", some("A=a#b"), some("A=a#b")),
            ("A=x  ", some("A=x  "), some("A=x")),
            ("A=${HOST}:5432", some("A=${HOST}:5432"), some("A=db:5432")),
            ("A=${NONE:-x}", some("A=${NONE:-x}"), some("A=x")),
            ("A=\"a\\nb\"", some("A=\"a\\nb\""), some("A=a\nb")),
            ("A=a\\nb", some("A=a\\nb"), some("A=a\\nb")),
            ("export A=1", None, some("A=1")),
            ("A = x", None, some("A=x")),
            ("  A=1", some("A=1"), some("A=1")),
            ("HOST", some("HOST=db"), some("HOST=db")),
            ("NONE", some(""), some("")),
            ("J={\"a\":1}", some("J={\"a\":1}"), some("J={\"a\":1}")),
            ("P=a\\b", some("P=a\\b"), some("P=a\\b")),
            ("A=", some("A="), some("A=")),
            ("A= # nothing", some("A= # nothing"), some("A=")),
            ("A=100$", some("A=100$"), some("A=100$")),
            ("A=\\$x", some("A=\\$x"), some("A=$x")),
            ("# A=1", some(""), some("")),
            ("=1", None, None),
            ("A=\"open", some("A=\"open"), None),
            ("A=\"a\" b", some("A=\"a\" b"), None),
            ("A=${", some("A=${"), None),
            ("A=1\r", some("A=1"), some("A=1")),
        ] {
            assert_eq!(both(&format!("{line}\n")), [docker, dotenv], "{line:?}");
        }
    }

    #[test]
    fn values_go_over_lines_and_the_line_of_what_is_wrong_is_counted() {
        let text = "\u{feff}A=\"one\ntwo\"\n\nB=$A-${A}\n";
        let expected = [("A", "one\ntwo"), ("B", "one\ntwo-one\ntwo")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(read(text, EnvFormat::Dotenv).unwrap(), expected);
        let wrong = read("A=\"one\ntwo\"\n\n?=1", EnvFormat::Dotenv).unwrap_err();
        assert_eq!(wrong.line, 4);
        assert_eq!(read("A=1\n\n B C=1", EnvFormat::Docker).unwrap_err().line, 3);
        assert_eq!(
            parse(b"A=1\nB=\xff", EnvFormat::Docker, &outside).unwrap_err(),
            Wrong { line: 2, what: "it is not UTF-8" }
        );
        assert_eq!(parse(b"A=1\nB=\0", EnvFormat::Dotenv, &outside).unwrap_err().line, 2);
    }

    #[test]
    fn a_line_that_means_something_else_in_the_other_format_is_noticed() {
        let parsed = parse(b"A=1\nB=\"x\"\nC=a # b\nD='y'\nE='z'", EnvFormat::Docker, &outside).unwrap();
        assert_eq!(parsed.doubts, [2, 3, 4], "three are enough");
        assert_eq!(parse(b"B=\"x\"", EnvFormat::Dotenv, &outside).unwrap().doubts, [0usize; 0]);
    }

    #[test]
    fn references_that_multiply_are_refused() {
        let mut text = "A=0123456789\n".to_owned();
        for _ in 0..40 {
            text.push_str("A=$A$A\n");
        }
        assert!(read(&text, EnvFormat::Dotenv).unwrap_err().what.contains("1 MiB"));
        assert!(parse(&vec![b'#'; MAX_BYTES + 1], EnvFormat::Docker, &outside).is_err());
        assert!(read(&"A=1\n".repeat(MAX_VARIABLES + 1), EnvFormat::Docker).is_err());
    }

    proptest! {
        /// What dotenv's quotes can say comes back.
        #[test]
        fn a_quoted_value_comes_back(value in "[a-z \"'\\\\$#\n=\u{e9}]{0,30}") {
            let escaped: String = value.chars().flat_map(|c| if "\"\\$".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
            let read = read(&format!("A=\"{escaped}\""), EnvFormat::Dotenv).unwrap();
            prop_assert_eq!(read, [("A".to_owned(), value)]);
        }
    }
}
