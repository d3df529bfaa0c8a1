//! A key is declared once: [`table!`] makes of one list of keys what the reader asks for, what its messages name and, for tests alone,
//! the rows of which the page, the schema, the fuzzers' words and the mistakes are made. Pure.
//!
//! A table with its keys, and its keys with their kinds: what is read of it is typed, and no name stands anywhere twice.

use std::marker::PhantomData;

use toml::de::DeTable;

use super::keys::Section;
use super::kinds::{Kind, Many, MapOf, Sub};
use super::reader::{Field, Reader, Table};
use super::values::DurationRange;
use crate::config::problem::Span;

/// A key as it is explained. No program has rows in it: only tests name them, and what nobody names is not linked.
pub struct Row {
    pub name: &'static str,
    /// What it means, in Markdown; lines that belong to one paragraph.
    pub doc: &'static [&'static str],
    pub shape: &'static Shape,
    /// What holds without it, as TOML: one at the most.
    pub default: &'static [fn() -> String],
    /// The same in words: where it follows from something else, or is nothing.
    pub unset: &'static str,
    pub required: bool,
    /// The type in words, where its shape says less.
    pub words: &'static str,
    /// Values that are right wherever the key may stand, as TOML; none: those of its shape.
    pub examples: &'static [&'static str],
    /// What to write instead of a value of another type. `{name}` is the key's.
    pub help: &'static str,
}

impl Row {
    /// What is left out of a declaration.
    pub const NEW: Row = Row {
        name: "",
        doc: &[],
        shape: &Shape::Boolean,
        default: &[],
        unset: "",
        required: false,
        words: "",
        examples: &[],
        help: "",
    };
}

/// Which values there are.
pub enum Shape {
    Boolean,
    /// From, to; or a string with a variable in it.
    Integer(i64, i64),
    Number,
    Duration(DurationRange),
    Words(fn() -> &'static [&'static str]),
    Text(Form),
    Array(&'static Shape),
    Any(&'static [&'static Shape]),
    Table(&'static Described),
    /// An array of them.
    Tables(&'static Described),
    /// With the user's own keys, of this form.
    Map(Form, &'static Shape),
}

/// What a string may be.
pub struct Form {
    /// For the page.
    pub name: &'static str,
    /// A regular expression for the whole of it, in what ECMAScript and Rust's crates have in common; it may let pass what is wrong.
    pub pattern: &'static str,
    /// As TOML.
    pub examples: &'static [&'static str],
}

/// A table as it is explained.
pub struct Described {
    pub section: &'static Section,
    /// Whose keys it has before its own.
    pub from: &'static [&'static Described],
    pub own: &'static [Row],
    /// Whose keys it has behind its own.
    pub then: &'static [&'static Described],
    /// Exactly one of these must be there.
    pub one_of: &'static [&'static str],
}

impl Described {
    /// All, in the order of its section's keys.
    pub fn rows(&self) -> Vec<&'static Row> {
        let mut rows = self.own_and_before();
        rows.extend(self.then.iter().flat_map(|more| more.rows()));
        rows
    }

    /// All but those of `then`.
    pub fn own_and_before(&self) -> Vec<&'static Row> {
        self.from.iter().flat_map(|base| base.rows()).chain(self.own).collect()
    }

    /// Itself, and every table that stands below it, each once.
    pub fn with_those_below(&'static self) -> Vec<&'static Described> {
        let mut found = vec![self];
        let mut i = 0;
        while i < found.len() {
            found[i].rows().iter().for_each(|row| below(row.shape, &mut found));
            i += 1;
        }
        found
    }
}

fn below(shape: &Shape, found: &mut Vec<&'static Described>) {
    match shape {
        Shape::Table(table) | Shape::Tables(table)
            if !found.iter().any(|known| known.section.title == table.section.title) =>
        {
            found.push(table);
        }
        Shape::Any(shapes) => shapes.iter().for_each(|shape| below(shape, found)),
        Shape::Array(shape) | Shape::Map(_, shape) => below(shape, found),
        _ => {}
    }
}

/// Made by [`table!`].
pub trait Declared {
    /// A table of the file, seen as its keys.
    type Keys<'t>;
    const SECTION: &'static Section;
    const DESCRIBED: &'static Described;
    fn keys(table: Table<'_>) -> Self::Keys<'_>;
}

/// What the file has under a key, still to be read: what reading notes may depend on what was read before.
pub struct Key<'t, K> {
    name: &'static str,
    pub field: Option<Field<'t>>,
    help: &'static str,
    kind: PhantomData<fn() -> K>,
}

impl<'t, K> Key<'t, K> {
    pub fn of(table: &Table<'t>, name: &'static str, help: &'static str) -> Key<'t, K> {
        Key { name, field: table.get(name), help, kind: PhantomData }
    }

    pub fn is_given(&self) -> bool {
        self.field.is_some()
    }

    /// Of its value.
    pub fn span(&self) -> Option<Span> {
        self.field.as_ref().map(Field::span)
    }

    /// Says that it is missing, where it is.
    pub fn expected(&self, reader: &mut Reader<'_>, table: &Table<'_>, sentence: &str, help: &str) {
        if self.field.is_none() {
            reader.missing(table, &[self.name], sentence, help);
        }
    }
}

impl<K: Kind> Key<'_, K> {
    /// `None`: it is not there, or was refused.
    pub fn read(&self, reader: &mut Reader<'_>) -> Option<K::Value> {
        K::read(reader, self.field.as_ref()?, self.help)
    }

    /// `None`: it was refused.
    pub fn read_or(&self, reader: &mut Reader<'_>, default: impl Into<K::Value>) -> Option<K::Value> {
        match &self.field {
            Some(field) => K::read(reader, field, self.help),
            None => Some(default.into()),
        }
    }

    /// As [`Key::read`]; `table` lacks something without it, and `help` is what to write there.
    pub fn required(&self, reader: &mut Reader<'_>, table: &Table<'_>, help: &str) -> Option<K::Value> {
        self.needed(reader, table, &format!("`{}` is missing", self.name), help)
    }

    /// The same, in words of its own.
    pub fn needed(&self, reader: &mut Reader<'_>, table: &Table<'_>, sentence: &str, help: &str) -> Option<K::Value> {
        self.expected(reader, table, sentence, help);
        self.read(reader)
    }
}

impl<'t, T: Declared> Key<'t, Sub<T>> {
    /// `None`: it is not there, or is no table.
    pub fn open(&self, reader: &mut Reader<'_>) -> Option<T::Keys<'t>> {
        reader.table::<T>(self.field.as_ref()?, self.help)
    }
}

impl<'t, T: Declared> Key<'t, Many<T>> {
    /// `header`: as one is written.
    pub fn open(&self, reader: &mut Reader<'_>, header: &str) -> Vec<T::Keys<'t>> {
        reader.tables::<T>(self.field.as_ref(), header)
    }
}

impl<'t, K> Key<'t, MapOf<K>> {
    /// `None`: it is not there, or is no table.
    pub fn entries(&self, reader: &mut Reader<'_>) -> Option<&'t DeTable<'t>> {
        reader.map(self.field.as_ref()?, self.help)
    }
}

/// Lists of keys, one after the other. `N` is the sum of their lengths.
pub const fn joined<const N: usize>(lists: &[&[&'static str]]) -> [&'static str; N] {
    let mut all = [""; N];
    let (mut list, mut i) = (0, 0);
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            all[i] = lists[list][at];
            i += 1;
            at += 1;
        }
        list += 1;
    }
    all
}

/// A table of the configuration: its name in messages, and of each key what it means, its kind, whatever [`Row`] has, and its default,
/// which is a constant of that name.
///
/// ```ignore
/// table! {
///     pub struct BackoffKeys in "backoff" {
///         /// After so long without an end the delay is `initial` again.
///         reset: Limit { examples: &["\"10m\""] } = Duration::from_secs(600);
///     }
/// }
/// ```
///
/// `from [A, B]`: it has the keys of those, too, before its own; `then [A]`: behind them. `one of (LIST)`: exactly one of these must be there.
macro_rules! table {
    ($(#[$attribute:meta])* $vis:vis struct $Table:ident in $title:literal $(from [$($base:ty),+])? $(then [$($then:ty),+])? $(one of ($one_of:expr))? {
        $($(#[doc = $doc:literal])* $key:ident: $kind:ty $({ $($part:ident: $value:expr),* $(,)? })? $(= $default:expr)?;)*
    }) => {
        $(#[$attribute])*
        $vis struct $Table<'t> {
            #[allow(dead_code, reason = "not every table has something to be said of the whole")]
            pub table: $crate::config::check::reader::Table<'t>,
            $(pub $key: $crate::config::check::declare::Key<'t, $kind>,)*
        }

        #[allow(non_upper_case_globals, dead_code, reason = "constants are called as their keys")]
        impl $Table<'_> {
            const TITLE: &'static str = $title;
            $($(pub const $key: <$kind as $crate::config::check::kinds::Constant>::Const = $default;)?)*
        }

        impl $crate::config::check::declare::Declared for $Table<'_> {
            type Keys<'t> = $Table<'t>;
            const SECTION: &'static $crate::config::check::keys::Section = &$crate::config::check::keys::Section {
                title: Self::TITLE,
                keys: {
                    const LISTS: &[&[&str]] = &[
                        $($(<$base as $crate::config::check::declare::Declared>::SECTION.keys,)+)?
                        &[$(stringify!($key)),*],
                        $($(<$then as $crate::config::check::declare::Declared>::SECTION.keys,)+)?
                    ];
                    const N: usize = {
                        let (mut n, mut i) = (0, 0);
                        while i < LISTS.len() {
                            n += LISTS[i].len();
                            i += 1;
                        }
                        n
                    };
                    &$crate::config::check::declare::joined::<N>(LISTS)
                },
            };
            const DESCRIBED: &'static $crate::config::check::declare::Described =
                &$crate::config::check::declare::Described {
                    section: Self::SECTION,
                    from: &[$($(<$base as $crate::config::check::declare::Declared>::DESCRIBED),+)?],
                    own: &[$($crate::config::check::declare::Row {
                name: stringify!($key),
                doc: &[$($doc),*],
                shape: <$kind as $crate::config::check::kinds::Shaped>::SHAPE,
                default: &[$(|| {
                    let default: <$kind as $crate::config::check::kinds::Constant>::Const = $default;
                    <$kind as $crate::config::check::kinds::Constant>::show(&default)
                })?],
                $($($part: $value,)*)?
                ..$crate::config::check::declare::Row::NEW
            }),*],
                    then: &[$($(<$then as $crate::config::check::declare::Declared>::DESCRIBED),+)?],
                    one_of: {
                        #[allow(unused_variables, reason = "where none is given")]
                        let list: &'static [&'static str] = &[];
                        $(let list: &'static [&'static str] = $one_of;)?
                        list
                    },
                };

            fn keys(table: $crate::config::check::reader::Table<'_>) -> $Table<'_> {
                $(let $key = {
                    const HELP: &str = $crate::config::check::declare::Row {
                        $($($part: $value,)*)?
                        ..$crate::config::check::declare::Row::NEW
                    }.help;
                    $crate::config::check::declare::Key::of(&table, stringify!($key), HELP)
                };)*
                $Table { table, $($key),* }
            }
        }
    };
}
pub(super) use table;
