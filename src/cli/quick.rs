//! The wrapper's command line, read without a grammar: `softstop [FLAGS] -- CMD…` as nearly every container has it. It runs before the program
//! is started, and clap takes a fifth of a start to get ready. Pure, but for reading the variables.
//!
//! Whatever is not plainly right is declined and left to clap, so that every message is clap's, and nothing is said in two ways. Both read by
//! the same rows; `tests/pages/quick.rs` holds one against the other.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::declare::{Flag, Form, Group, Row, Takes};
use super::flags::{Common, Own, Wrapper};

/// `variable`: the value of one. `None`: this is for clap to read.
pub fn read(args: &[OsString], variable: &dyn Fn(&'static str) -> Option<OsString>) -> Option<Wrapper> {
    let mut wrapper = Wrapper::default();
    let (mut common, mut own) = (Given::<Common>::new(), Given::<Own>::new());
    let mut args = args.iter().skip(1);
    loop {
        let arg = args.next()?;
        if arg == "--" {
            break;
        }
        let name = Name::of(arg.as_bytes())?;
        // Each flag is of one of the two.
        let mut next = || args.next().map(OsString::as_os_str);
        if !common.take(&mut wrapper.common, &name, &mut next)? {
            own.take(&mut wrapper.own, &name, &mut next)?.then_some(())?;
        }
    }
    wrapper.cmd = args.cloned().collect();
    common.fill(&mut wrapper.common, variable)?;
    own.fill(&mut wrapper.own, variable)?;
    (!wrapper.cmd.is_empty()).then_some(wrapper)
}

/// How a flag was typed.
enum Name<'a> {
    /// `--grace`, and what follows an equals sign.
    Long(&'a [u8], Option<&'a OsStr>),
    /// `-s`, and what follows at once.
    Short(u8, Option<&'a OsStr>),
}

impl<'a> Name<'a> {
    /// `None`: it is no flag.
    fn of(arg: &'a [u8]) -> Option<Name<'a>> {
        match arg {
            [b'-', b'-', long @ ..] => Some(match long.iter().position(|byte| *byte == b'=') {
                Some(at) => Name::Long(&long[..at], Some(OsStr::from_bytes(&long[at + 1..]))),
                None => Name::Long(long, None),
            }),
            // Behind a short flag clap takes an equals sign off.
            [b'-', _, b'=', ..] => None,
            [b'-', short] => Some(Name::Short(*short, None)),
            [b'-', short, rest @ ..] => Some(Name::Short(*short, Some(OsStr::from_bytes(rest)))),
            _ => None,
        }
    }

    fn is(&self, flag: &Flag) -> bool {
        match self {
            Name::Long(long, _) => !flag.long.is_empty() && flag.long.as_bytes() == *long,
            Name::Short(short, _) => flag.short.is_some_and(|known| known == char::from(*short)),
        }
    }

    fn value(&self) -> Option<&'a OsStr> {
        match self {
            Name::Long(_, value) | Name::Short(_, value) => *value,
        }
    }
}

/// Which flags of a group were typed: a bit for each row.
struct Given<G: 'static> {
    rows: &'static [Row<G>],
    seen: u64,
}

impl<G: Group> Given<G> {
    fn new() -> Given<G> {
        const { assert!(G::ROWS.len() <= 64) };
        Given { rows: G::ROWS, seen: 0 }
    }

    /// Reads a flag, and from `next` its value; `Some(false)`: it is of another group.
    fn take<'a>(
        &mut self,
        group: &mut G,
        name: &Name<'a>,
        next: &mut dyn FnMut() -> Option<&'a OsStr>,
    ) -> Option<bool> {
        let Some(at) = self.rows.iter().position(|row| name.is(&row.flag)) else { return Some(false) };
        let row = &self.rows[at];
        let before = self.seen & 1 << at != 0;
        self.seen |= 1 << at;
        match (row.flag.takes, name.value()) {
            (Takes::Nothing, None) if !before => (row.set)(group, OsStr::new("")).ok()?,
            (Takes::Nothing, _) => return None,
            (Takes::One, _) if before => return None,
            (_, Some(value)) => put(row, group, value)?,
            (_, None) => {
                let value = next()?;
                // Perhaps the value was forgotten, and this is the next flag.
                if value.as_bytes().starts_with(b"-") {
                    return None;
                }
                put(row, group, value)?;
            }
        }
        Some(true)
    }

    /// What was not typed, out of the variables. `None`: one of them is wrong, or a flag stands in another's way.
    fn fill(&mut self, group: &mut G, variable: &dyn Fn(&'static str) -> Option<OsString>) -> Option<()> {
        for (at, row) in self.rows.iter().enumerate() {
            let flag = &row.flag;
            if self.seen & 1 << at != 0 || flag.variable.is_empty() {
                continue;
            }
            let Some(value) = variable(flag.variable) else { continue };
            // One that is set to nothing says nothing, but where nothing means something.
            if value.is_empty() && flag.form != Form::Any {
                continue;
            }
            put(row, group, &value)?;
            self.seen |= 1 << at;
        }
        let given =
            |id: &str| self.rows.iter().position(|row| row.flag.id == id).is_some_and(|at| self.seen & 1 << at != 0);
        let clash = |row: &Row<G>| row.flag.conflicts.is_some_and(|other| given(row.flag.id) && given(other));
        (!self.rows.iter().any(clash)).then_some(())
    }
}

/// `None`: it is wrong.
fn put<G>(row: &Row<G>, group: &mut G, value: &OsStr) -> Option<()> {
    if !row.flag.commas {
        return one(row, group, value);
    }
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .try_for_each(|part| one(row, group, OsStr::from_bytes(part)).ok_or(()))
        .ok()
}

fn one<G>(row: &Row<G>, group: &mut G, value: &OsStr) -> Option<()> {
    let fits = match row.flag.form {
        Form::Text | Form::Any => true,
        Form::Path => !value.is_empty(),
        Form::Words(words) => words.iter().any(|word| value == *word),
    };
    if fits { (row.set)(group, value).ok() } else { None }
}
