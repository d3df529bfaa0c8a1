//! Command lines as glibc's `getopt` and `getopt_long` read them, which all three programs use: flags in one word, values joined or not,
//! beginnings of long names, options behind operands. Pure.

use std::collections::VecDeque;
use std::ffi::OsString;

/// What a program takes.
#[derive(Clone, Copy, Debug)]
pub struct Grammar {
    /// As in `getopt`'s own string: a letter with a colon has a value.
    pub short: &'static str,
    /// None: two dashes and a word are no option (`getopt`), but a bundle that begins with `-`.
    pub long: &'static [Long],
    /// Options may stand behind operands, until `--`.
    pub permutes: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Long {
    pub name: &'static str,
    pub has_value: bool,
    pub means: char,
}

/// What is found next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// An option and its value.
    Option(char, Option<String>),
    /// No option of the program's, or one that lacks its value: what `getopt` says of it, without its name and the end of the line.
    Wrong(String),
}

/// The name that a program was given, and what follows it.
pub fn split(args: &[OsString]) -> (String, &[OsString]) {
    let (name, typed) = args.split_first().map_or((None, args), |(name, typed)| (Some(name), typed));
    (name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(), typed)
}

/// Goes through a command line, option by option; what is acted on first comes first.
#[derive(Debug)]
pub struct Getopt {
    grammar: Grammar,
    rest: VecDeque<OsString>,
    operands: Vec<OsString>,
    /// What is left of a word of short options.
    bundle: String,
}

impl Getopt {
    /// `args` without the program's name. `posixly_correct`: the variable of that name is set.
    pub fn new(grammar: Grammar, args: &[OsString], posixly_correct: bool) -> Getopt {
        let grammar = Grammar { permutes: grammar.permutes && !posixly_correct, ..grammar };
        Getopt { grammar, rest: args.iter().cloned().collect(), operands: Vec::new(), bundle: String::new() }
    }

    /// Once [`Getopt::next`] has come to its end: the program and its arguments.
    pub fn operands(self) -> Vec<OsString> {
        self.operands
    }

    fn short(&mut self) -> Option<Found> {
        let letter = self.bundle.chars().next()?;
        self.bundle.remove(0);
        let at = self.grammar.short.find(letter).filter(|_| letter != ':');
        let Some(at) = at else { return Some(Found::Wrong(format!("invalid option -- '{letter}'"))) };
        if !self.grammar.short[at + letter.len_utf8()..].starts_with(':') {
            return Some(Found::Option(letter, None));
        }
        let joined = std::mem::take(&mut self.bundle);
        if !joined.is_empty() {
            return Some(Found::Option(letter, Some(joined)));
        }
        Some(match self.rest.pop_front() {
            // Whatever it is, `--` included.
            Some(value) => Found::Option(letter, Some(value.to_string_lossy().into_owned())),
            None => Found::Wrong(format!("option requires an argument -- '{letter}'")),
        })
    }

    fn long(&mut self, typed: &str) -> Found {
        let (name, joined) = match typed.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (typed, None),
        };
        let beginning: Vec<&Long> = self.grammar.long.iter().filter(|long| long.name.starts_with(name)).collect();
        let exact = beginning.iter().find(|long| long.name == name);
        let long = match (exact, beginning.as_slice()) {
            (Some(long), _) | (None, [long]) => **long,
            (None, []) => return Found::Wrong(format!("unrecognized option '--{typed}'")),
            (None, several) => {
                let names: Vec<String> = several.iter().map(|long| format!(" '--{}'", long.name)).collect();
                let names = names.concat();
                return Found::Wrong(format!("option '--{typed}' is ambiguous; possibilities:{names}"));
            }
        };
        match (long.has_value, joined) {
            (false, Some(_)) => Found::Wrong(format!("option '--{}' doesn't allow an argument", long.name)),
            (true, None) => match self.rest.pop_front() {
                Some(value) => Found::Option(long.means, Some(value.to_string_lossy().into_owned())),
                None => Found::Wrong(format!("option '--{}' requires an argument", long.name)),
            },
            (_, value) => Found::Option(long.means, value),
        }
    }
}

impl Iterator for Getopt {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(found) = self.short() {
            return Some(found);
        }
        while let Some(word) = self.rest.pop_front() {
            if word == "--" {
                break;
            }
            // A lone dash is a program's name.
            let option =
                word.to_string_lossy().strip_prefix('-').filter(|option| !option.is_empty()).map(str::to_owned);
            match option {
                Some(option) => match option.strip_prefix('-').filter(|_| !self.grammar.long.is_empty()) {
                    Some(typed) => return Some(self.long(typed)),
                    None => {
                        self.bundle = option;
                        return self.short();
                    }
                },
                None if self.grammar.permutes => self.operands.push(word),
                None => {
                    self.rest.push_front(word);
                    break;
                }
            }
        }
        self.operands.extend(self.rest.drain(..));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Grammar = Grammar { short: "p:hvgs", long: &[], permutes: true };
    const LONG: Grammar = Grammar {
        short: "hVr:",
        long: &[
            Long { name: "help", has_value: false, means: 'h' },
            Long { name: "rewrite", has_value: true, means: 'r' },
            Long { name: "verbose", has_value: false, means: 'v' },
            Long { name: "version", has_value: false, means: 'V' },
        ],
        permutes: false,
    };

    /// Options as `v` or `p=VALUE`, mistakes in full, then the operands.
    fn read(grammar: Grammar, line: &str, posixly_correct: bool) -> (Vec<String>, String) {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let mut getopt = Getopt::new(grammar, &args, posixly_correct);
        let found = getopt.by_ref().map(|found| match found {
            Found::Option(letter, None) => letter.to_string(),
            Found::Option(letter, Some(value)) => format!("{letter}={value}"),
            Found::Wrong(why) => why,
        });
        let found = found.collect();
        (found, getopt.operands().join(" ".as_ref()).into_string().unwrap())
    }

    #[test]
    fn options_may_stand_anywhere_before_the_dashes() {
        let cases: [(&str, &[&str], &str); 9] = [
            ("-vg a b", &["v", "g"], "a b"),
            ("a -v b", &["v"], "a b"),
            ("a -- -v", &[], "a -v"),
            ("a -v -- b -- -g", &["v"], "a b -- -g"),
            ("-pX -p Y a", &["p=X", "p=Y"], "a"),
            ("-gp -- a", &["g", "p=--"], "a"),
            ("- -v", &["v"], "-"),
            ("-x a", &["invalid option -- 'x'"], "a"),
            ("-v -p", &["v", "option requires an argument -- 'p'"], ""),
        ];
        for (line, options, operands) in cases {
            assert_eq!(
                read(SHORT, line, false),
                (options.iter().map(|o| (*o).to_owned()).collect(), operands.to_owned()),
                "{line}"
            );
        }
        assert_eq!(read(SHORT, "a -v", true), (vec![], "a -v".to_owned()), "POSIXLY_CORRECT");
        assert_eq!(read(SHORT, "--hx", false).0, ["invalid option -- '-'", "h", "invalid option -- 'x'"]);
        assert_eq!(read(SHORT, "-:", false).0, ["invalid option -- ':'"]);
    }

    #[test]
    fn long_names_may_be_begun() {
        let cases: [(&str, &[&str], &str); 9] = [
            ("--help a --help", &["h"], "a --help"),
            ("--vers -- a", &["V"], "a"),
            ("--r 1:2 --rewrite=3:4 a", &["r=1:2", "r=3:4"], "a"),
            ("--ver", &["option '--ver' is ambiguous; possibilities: '--verbose' '--version'"], ""),
            ("--nothing", &["unrecognized option '--nothing'"], ""),
            ("--no=1", &["unrecognized option '--no=1'"], ""),
            ("--hel=1", &["option '--help' doesn't allow an argument"], ""),
            ("--rew", &["option '--rewrite' requires an argument"], ""),
            ("--rewrite= a", &["r="], "a"),
        ];
        for (line, options, operands) in cases {
            assert_eq!(
                read(LONG, line, false),
                (options.iter().map(|o| (*o).to_owned()).collect(), operands.to_owned()),
                "{line}"
            );
        }
    }
}
