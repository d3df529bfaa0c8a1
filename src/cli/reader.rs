//! The reader of every command line: by the rows of the flags that a command has, from left to right, and what was not typed out of the
//! variables. `tests/pages/reader.rs` holds it against clap, given the same rows. It asks nobody else.
//!
//! `--flag VALUE`, `--flag=VALUE`, `-f VALUE`, `-fVALUE`, `-f=VALUE`, `-abc`; `--` ends the flags. It runs before the wrapper's program is
//! started: what takes time is done once, and nothing is copied that is not kept.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::declare::{Flag, Form, Group, Place, Row, Takes};

/// The value of a variable; `None`: there is none of any.
pub type Variables<'e> = Option<&'e dyn Fn(&'static str) -> Option<OsString>>;

/// What was read, by flags; [`given`] makes the settings of a group of it.
pub struct Read<'a> {
    given: Vec<Given<'a>>,
    /// What stands behind the two dashes, where a program does.
    behind: &'a [OsString],
    /// Of the values that [`given`] has refused the first.
    wrong: RefCell<Option<(usize, Refusal)>>,
    /// What is missing, or does not go together.
    lacking: Option<Refusal>,
}

struct Given<'a> {
    flag: &'static Flag,
    value: Cow<'a, OsStr>,
    from: From,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    Typed,
    Variable,
}

/// Why a command line is none.
#[derive(Debug)]
pub enum Refusal {
    /// They were asked for.
    Help,
    Version,
    /// So was help on this.
    HelpOn(Option<String>),
    /// A flag that is not there, as it was typed.
    Unknown(OsString),
    /// A word where none is wanted.
    Surplus(OsString),
    /// Nothing follows that could be its value.
    NoValue(&'static Flag),
    /// It takes none, and has one.
    Value(&'static Flag, OsString),
    Twice(&'static Flag),
    /// One of the two has to go.
    Both(&'static Flag, OsString, &'static Flag, OsString),
    Alone(&'static Flag, &'static str),
    Missing(&'static Flag),
    Wrong(&'static Flag, OsString, Why, From),
}

/// What is wrong with a value.
#[derive(Debug)]
pub enum Why {
    /// It is to be one of these.
    Words(&'static [&'static str]),
    Empty,
    Other(String),
}

/// The flags of a group, for a command's list.
pub fn args<G: Group>() -> Vec<&'static Flag> {
    G::ROWS.iter().map(|row| &row.flag).collect()
}

/// Reads what stands behind the command's name, or behind softstop's. `version`: that may be asked for here.
///
/// # Errors
/// Help, the version, and what cannot be read. The rest is [`Read::wrong`]'s to say.
pub fn read<'a>(
    flags: &[&'static Flag],
    version: bool,
    typed: &'a [OsString],
    variables: Variables<'_>,
) -> Result<Read<'a>, Refusal> {
    let mut reader = Reader { flags, version, left: typed, read: Read::default(), filled: 0 };
    while let Some((arg, left)) = reader.left.split_first() {
        reader.left = left;
        match arg.as_bytes() {
            b"--" => {
                reader.behind()?;
                break;
            }
            [b'-', b'-', long @ ..] => reader.long(arg, long)?,
            [b'-', letters @ ..] if !letters.is_empty() => reader.short(arg, letters)?,
            _ => reader.word(arg)?,
        }
    }
    reader.fill(variables);
    reader.read.lacking = reader.lacking();
    Ok(reader.read)
}

impl Default for Read<'_> {
    fn default() -> Self {
        Read { given: Vec::new(), behind: &[], wrong: RefCell::new(None), lacking: None }
    }
}

struct Reader<'f, 'a> {
    flags: &'f [&'static Flag],
    version: bool,
    left: &'a [OsString],
    read: Read<'a>,
    /// So many of the arguments that are known by their place are there.
    filled: usize,
}

impl<'a> Reader<'_, 'a> {
    fn long(&mut self, arg: &'a OsString, long: &'a [u8]) -> Result<(), Refusal> {
        let (name, value) = match long.iter().position(|byte| *byte == b'=') {
            Some(at) => (&long[..at], Some(OsStr::from_bytes(&long[at + 1..]))),
            None => (long, None),
        };
        let known = self.flags.iter().find(|flag| flag.place.is_none() && flag.long.as_bytes() == name);
        match (known, value) {
            (Some(flag), value) if flag.takes != Takes::Nothing => self.value(flag, value),
            (Some(flag), None) => self.put(flag, OsStr::new("")),
            (Some(flag), Some(value)) => Err(Refusal::Value(flag, value.to_owned())),
            (None, None) if name == b"help" => Err(Refusal::Help),
            (None, None) if name == b"version" && self.version => Err(Refusal::Version),
            _ => Err(Refusal::Unknown(arg.clone())),
        }
    }

    /// One or more letters; the first that takes a value takes what follows.
    fn short(&mut self, arg: &'a OsString, letters: &'a [u8]) -> Result<(), Refusal> {
        for (at, letter) in letters.iter().enumerate() {
            let Some(flag) = self.flags.iter().find(|flag| flag.short == Some(char::from(*letter))) else {
                return Err(match letter {
                    b'h' => Refusal::Help,
                    b'V' if self.version => Refusal::Version,
                    letter if letter.is_ascii_graphic() => Refusal::Unknown(format!("-{}", char::from(*letter)).into()),
                    _ => Refusal::Unknown(arg.clone()),
                });
            };
            if flag.takes != Takes::Nothing {
                let rest = &letters[at + 1..];
                let inline = OsStr::from_bytes(rest.strip_prefix(b"=").unwrap_or(rest));
                return self.value(flag, (!rest.is_empty()).then_some(inline));
            }
            self.put(flag, OsStr::new(""))?;
        }
        Ok(())
    }

    /// `inline`: what was written to the flag itself, else it is what follows.
    fn value(&mut self, flag: &'static Flag, inline: Option<&'a OsStr>) -> Result<(), Refusal> {
        if let Some(value) = inline {
            return self.put(flag, value);
        }
        match self.left.split_first() {
            // Perhaps the value was forgotten, and this is the next flag.
            Some((value, left)) if value == "-" || !value.as_bytes().starts_with(b"-") => {
                self.left = left;
                self.put(flag, value)
            }
            _ => Err(Refusal::NoValue(flag)),
        }
    }

    fn put(&mut self, flag: &'static Flag, value: &'a OsStr) -> Result<(), Refusal> {
        if flag.takes != Takes::Several && self.read.has(flag.id) {
            return Err(Refusal::Twice(flag));
        }
        self.read.given.push(Given { flag, value: Cow::Borrowed(value), from: From::Typed });
        Ok(())
    }

    fn word(&mut self, word: &'a OsString) -> Result<(), Refusal> {
        let mut places = self.flags.iter().filter(|f| matches!(f.place, Some(Place::Optional | Place::Required)));
        let flag = places.nth(self.filled).ok_or_else(|| Refusal::Surplus(word.clone()))?;
        self.filled += usize::from(flag.takes != Takes::Several);
        self.read.given.push(Given { flag, value: Cow::Borrowed(word), from: From::Typed });
        Ok(())
    }

    /// What stands behind the two dashes: a program, where one is wanted, else words that may begin with a dash.
    fn behind(&mut self) -> Result<(), Refusal> {
        if self.flags.iter().any(|flag| matches!(flag.place, Some(Place::Last | Place::LastRequired))) {
            self.read.behind = self.left;
            return Ok(());
        }
        self.left.iter().try_for_each(|word| self.word(word))
    }

    /// What was not typed out of the variables.
    fn fill(&mut self, variables: Variables<'_>) {
        let Some(variable) = variables else { return };
        let given = &mut self.read.given;
        for flag in self.flags.iter().filter(|flag| !flag.variable.is_empty()) {
            let stands = |given: &Given<'_>| given.flag.id == flag.id || given.flag.stands_for == Some(flag.id);
            if given.iter().any(stands) {
                continue;
            }
            // One that is set to nothing, as Compose and Kubernetes leave them, says nothing, but where nothing means something.
            if let Some(value) = variable(flag.variable).filter(|v| !v.is_empty() || flag.form == Form::Any) {
                given.push(Given { flag, value: Cow::Owned(value), from: From::Variable });
            }
        }
    }

    /// Whether all that is there goes together, and all that has to be is there.
    fn lacking(&self) -> Option<Refusal> {
        let read = &self.read;
        let value = |id: &str| read.given.iter().find(|given| given.flag.id == id);
        for Given { flag, value: one, .. } in &read.given {
            if let Some(other) = flag.conflicts.and_then(value).or_else(|| flag.stands_for.and_then(value)) {
                return Some(Refusal::Both(other.flag, other.value.clone().into(), flag, one.clone().into()));
            }
            if let Some(needed) = flag.requires.filter(|other| value(other).is_none()) {
                return Some(Refusal::Alone(flag, needed));
            }
        }
        let missing = |flag: &&&'static Flag| match flag.place {
            Some(Place::LastRequired) => read.behind.is_empty(),
            Some(Place::Required) => !read.has(flag.id),
            _ => false,
        };
        self.flags.iter().find(missing).map(|flag| Refusal::Missing(flag))
    }
}

impl<'a> Read<'a> {
    fn has(&self, id: &str) -> bool {
        self.given.iter().any(|given| given.flag.id == id)
    }

    /// What another reader has read by the same rows, for a test to hold this one against it.
    pub fn of(given: impl IntoIterator<Item = (&'static Flag, OsString)>, behind: &'a [OsString]) -> Read<'a> {
        let given = given.into_iter();
        let typed = |(flag, value)| Given { flag, value: Cow::Owned(value), from: From::Typed };
        Read { given: given.map(typed).collect(), behind, ..Read::default() }
    }

    /// The first value that was wrong in what has been [`given`]; else what is missing, or does not go together.
    pub fn wrong(self) -> Option<Refusal> {
        self.wrong.into_inner().map(|(_, refusal)| refusal).or(self.lacking)
    }

    /// Hands the values of those flags that `row` knows to what keeps them.
    fn values(&self, row: &dyn Fn(&str) -> Option<usize>, set: &mut dyn FnMut(usize, &OsStr) -> Result<(), String>) {
        for (place, given) in self.given.iter().enumerate() {
            let id = given.flag.stands_for.unwrap_or(given.flag.id);
            let Some(at) = row(id) else { continue };
            let mut one = |value: &OsStr| match fits(given.flag, value) {
                None => set(at, value).map_err(|why| (value.to_owned(), Why::Other(why))),
                Some(why) => Err((value.to_owned(), why)),
            };
            let done = if given.flag.commas {
                given.value.as_bytes().split(|byte| *byte == b',').try_for_each(|part| one(OsStr::from_bytes(part)))
            } else {
                one(&given.value)
            };
            if let Err((value, why)) = done {
                let mut wrong = self.wrong.borrow_mut();
                if wrong.as_ref().is_none_or(|(first, _)| place < *first) {
                    *wrong = Some((place, Refusal::Wrong(given.flag, value, why, given.from)));
                }
            }
        }
    }
}

/// What is wrong with the form of a value.
fn fits(flag: &Flag, value: &OsStr) -> Option<Why> {
    match flag.form {
        Form::Path if value.is_empty() => Some(Why::Empty),
        Form::Words(words) if !words.iter().any(|word| value == *word) => Some(Why::Words(words)),
        _ => None,
    }
}

/// The settings of a group out of what was read. A value that is wrong is left out, and [`Read::wrong`] says so.
pub fn given<G: Group>(read: &Read<'_>) -> G {
    let mut group = G::default();
    let row = |id: &str| G::ROWS.iter().position(|row| row.flag.id == id);
    read.values(&row, &mut |at, value| (G::ROWS[at].set)(&mut group, value));
    let last = |row: &&Row<G>| matches!(row.flag.place, Some(Place::Last | Place::LastRequired));
    if let Some(row) = G::ROWS.iter().find(last) {
        for value in read.behind {
            // Any bytes are an argument.
            let _ = (row.set)(&mut group, value);
        }
    }
    group
}
