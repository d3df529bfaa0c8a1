//! A line of a Procfile for a shell: `exec` before its last command, so that the program takes the shell's place and has its signals, where
//! the line means the same with it. Pure.

use crate::config::env_file::is_name;

/// What `/bin/sh -c` is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub script: String,
    /// The program takes the shell's place.
    pub becomes_program: bool,
}

/// What is no program by itself, or is another one than the shell's own.
const OWN: &[&str] = &[
    ".", ":", "[", "alias", "bg", "break", "builtin", "cd", "command", "continue", "declare", "echo", "eval", "exit",
    "export", "false", "fc", "fg", "getopts", "hash", "jobs", "kill", "let", "local", "printf", "pwd", "read",
    "readonly", "return", "set", "shift", "source", "test", "times", "true", "type", "typeset", "ulimit", "umask",
    "unalias", "unset", "wait",
];
/// After these words the last command is a part of something.
const COMPOUND: &[&str] = &[
    "!", "[[", "{", "}", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
    "select", "then", "time", "until", "while",
];

/// `command` as it stands, or with `exec` before the last of its commands: if they are simple ones with `&&`, `||` or `;` between them, nothing
/// of it is in the background, in a pipe or a subshell, and no trap would be lost.
pub fn line(command: &str) -> Line {
    match place(command) {
        Some(Place::Before(at)) => {
            let (before, rest) = command.split_at(at);
            Line { script: format!("{before}exec {rest}"), becomes_program: true }
        }
        Some(Place::There) => Line { script: command.to_owned(), becomes_program: true },
        None => Line { script: command.to_owned(), becomes_program: false },
    }
}

enum Place {
    /// At this byte.
    Before(usize),
    /// It is there already.
    There,
}

fn place(command: &str) -> Option<Place> {
    let mut last = None;
    for words in commands(command)? {
        let mut rest = words.iter().skip_while(|word| is_assignment(word.text));
        let first = rest.next();
        // An assignment alone is for the shell that goes on.
        let name = first.map_or("", |word| word.text);
        if COMPOUND.contains(&name) || name == "trap" || is_redirection(name) {
            return None;
        }
        last = first.copied();
    }
    match last?.text {
        "exec" => Some(Place::There),
        name if OWN.contains(&name) => None,
        _ => Some(Place::Before(last?.at)),
    }
}

/// `2>`, with what is behind it.
fn is_redirection(word: &str) -> bool {
    word.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['<', '>'])
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    at: usize,
    /// With its quotes.
    text: &'a str,
}

/// What stands at a byte of a line.
enum Piece {
    /// A word, up to there; perhaps it goes on.
    Word(usize),
    Blank,
    /// An operator of so many bytes, which ends a command.
    End(usize),
    Comment,
}

/// `in_word`: what stands before it is one. `None`: it is more than a list of simple commands has, or ends in the middle of something.
fn piece(bytes: &[u8], i: usize, in_word: bool) -> Option<Piece> {
    let at = |i: usize| bytes.get(i).copied();
    let before = i.checked_sub(1).and_then(at);
    // The end of the line is the end of its last command.
    Some(match at(i).unwrap_or(b';') {
        b'\\' => at(i + 1).map(|_| Piece::Word(i + 2))?,
        b'\'' | b'"' => Piece::Word(end_of_quoted(bytes, i)?),
        // What runs in a shell of its own, and what may be anything.
        b'(' | b')' | b'`' | b'\n' => return None,
        b'<' if at(i + 1) == Some(b'<') => return None,
        b'#' if !in_word => Piece::Comment,
        // `2>&1`, `>|file`
        b'&' | b'|' if matches!(before, Some(b'>' | b'<')) && in_word => Piece::Word(i + 1),
        byte @ (b'&' | b'|') if at(i + 1) == Some(byte) => Piece::End(2),
        b'&' | b'|' => return None,
        b';' if at(i + 1) == Some(b';') => return None,
        b';' => Piece::End(1),
        b' ' | b'\t' => Piece::Blank,
        _ => Piece::Word(i + 1),
    })
}

/// The words of each command of a list; `None`: it is more than a list of simple commands, or ends in the middle of something.
fn commands(line: &str) -> Option<Vec<Vec<Word<'_>>>> {
    let bytes = line.as_bytes();
    let mut list = Vec::new();
    let mut command = Vec::new();
    let mut word: Option<usize> = None;
    let mut i = 0;
    while i <= bytes.len() {
        let (ends, next) = match piece(bytes, i, word.is_some())? {
            Piece::Word(end) => {
                word = word.or(Some(i));
                i = end;
                continue;
            }
            Piece::Comment => (false, bytes.len()),
            Piece::Blank => (false, i + 1),
            Piece::End(length) => (true, i + length),
        };
        if let Some(start) = word.take() {
            command.push(Word { at: start, text: line.get(start..i)? });
        }
        if ends && command.is_empty() {
            return None;
        }
        if ends {
            list.push(std::mem::take(&mut command));
        }
        i = next;
    }
    Some(list)
}

/// Behind the quote that closes the one at `start`; `None`: it is not closed, or a command is run in it.
fn end_of_quoted(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = *bytes.get(start)?;
    let mut i = start + 1;
    loop {
        match *bytes.get(i)? {
            byte if byte == quote => return Some(i + 1),
            b'\\' if quote == b'"' => i += 2,
            b'`' if quote == b'"' => return None,
            b'$' if quote == b'"' && bytes.get(i + 1) == Some(&b'(') => return None,
            _ => i += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_program_takes_the_shells_place_where_the_line_means_the_same() {
        for (command, script) in [
            ("node server.js", "exec node server.js"),
            ("bundle exec puma -p ${PORT:-3000}", "exec bundle exec puma -p ${PORT:-3000}"),
            ("RAILS_ENV=dev A='b c' rails s", "RAILS_ENV=dev A='b c' exec rails s"),
            ("cd front && npm start", "cd front && exec npm start"),
            ("test -f x || touch x; A=1 ./run 2>&1 >log", "test -f x || touch x; A=1 exec ./run 2>&1 >log"),
            ("exec java -jar x.jar", "exec java -jar x.jar"),
            ("cd x && exec java", "cd x && exec java"),
            ("python -c 'import os; print(1) | x'", "exec python -c 'import os; print(1) | x'"),
            ("say \"a & b; $HOME\" # and so on; or not &", "exec say \"a & b; $HOME\" # and so on; or not &"),
            ("a\\ b c\\;", "exec a\\ b c\\;"),
            ("\"$BIN\" x", "exec \"$BIN\" x"),
            ("x >| y", "exec x >| y"),
        ] {
            assert_eq!(line(command), Line { script: script.to_owned(), becomes_program: true }, "{command}");
        }
    }

    #[test]
    fn a_line_that_needs_its_shell_keeps_it() {
        for command in [
            "a | b",
            "a & wait",
            "a &",
            "(cd x; a)",
            "a $(date)",
            "a `date`",
            "a \"$(date)\"",
            "while :; do a; done",
            "if x; then y; fi",
            "{ a; b; }",
            "trap 'rm x' EXIT; a",
            "export A=1",
            "cd x",
            "a;",
            "a && ",
            "; a",
            "A=1",
            "a; A=1",
            ">log a",
            "2>log a",
            "a <<E",
            "a 'b",
            "a \\",
            "f() { a; }; f",
            "! a",
            "a ;; b",
            "echo hi",
            "# nothing",
            "",
            "a &> log",
        ] {
            assert_eq!(line(command), Line { script: command.to_owned(), becomes_program: false }, "{command}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_one_exec_is_added(command in "[a-c =;&|'\"\\\\$(){}<>#é]{0,20}") {
            let made = line(&command);
            prop_assert!(made.script == command || made.becomes_program && made.script.replacen("exec ", "", 1) == command);
        }
    }
}
