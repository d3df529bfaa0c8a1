//! A flag is declared once, with its variable: [`flags!`] makes of one list of them what is read, the rows by which it is read, helped with and
//! advised of, the names of the variables, and, for tests alone, the page's table and clap's grammar. Pure.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A flag, or an argument that is known by its place.
#[derive(Debug)]
pub struct Flag {
    /// As other rows name it, and what it is read by: one of its kind in a command.
    pub id: &'static str,
    /// Without its dashes; of an argument without any, empty.
    pub long: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    pub form: Form,
    /// What its value is called.
    pub value: &'static str,
    /// The variable that stands for it; empty: none.
    pub variable: &'static str,
    /// What `--help` says; where its lines end there means nothing.
    pub help: &'static str,
    pub heading: Option<&'static str>,
    pub place: Option<Place>,
    /// Commas stand between several values.
    pub commas: bool,
    /// Another flag that may not be there as well.
    pub conflicts: Option<&'static str>,
    /// Another flag that must be there.
    pub requires: Option<&'static str>,
    /// Of an argument that is known by its place: the flag that it is another way to write.
    pub stands_for: Option<&'static str>,
    pub hidden: bool,
    /// What to write into a configuration instead: of a flag of the wrapper alone.
    pub in_file: &'static str,
}

impl Flag {
    /// What is left out of a declaration.
    pub const NEW: Flag = Flag {
        id: "",
        long: "",
        short: None,
        takes: Takes::One,
        form: Form::Text,
        value: "",
        variable: "",
        help: "",
        heading: None,
        place: None,
        commas: false,
        conflicts: None,
        requires: None,
        stands_for: None,
        hidden: false,
        in_file: "",
    };
}

/// How many values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    Nothing,
    One,
    Several,
}

/// What a value is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Text,
    /// Any bytes, at least one.
    Path,
    /// Any bytes, none at all included.
    Any,
    Words(&'static [&'static str]),
}

/// Of an argument that is no flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Optional,
    Required,
    /// Behind the two dashes.
    Last,
    /// The same; there must be one.
    LastRequired,
}

/// A flag and what it does to the settings of its group.
pub struct Row<G> {
    pub flag: Flag,
    /// # Errors
    /// What is wrong with the value, and what to write; one line.
    pub set: fn(&mut G, &OsStr) -> Result<(), String>,
}

/// The page's line of a flag. No program has any: only tests name them, and what nobody names is not linked.
pub struct Line {
    /// In Markdown, as is `meaning`.
    pub default: &'static str,
    pub meaning: &'static str,
}

impl Line {
    pub const NEW: Line = Line { default: "", meaning: "" };
}

/// Settings that flags make: by [`flags!`].
pub trait Group: Default + 'static {
    const ROWS: &'static [Row<Self>];
    /// One for each row.
    const PAGE: &'static [Line];
}

/// Where the value of a flag is kept.
pub trait Kept {
    type Value;
    const TAKES: Takes;
    fn put(&mut self, value: Self::Value);
}

impl Kept for bool {
    type Value = ();
    const TAKES: Takes = Takes::Nothing;
    fn put(&mut self, (): ()) {
        *self = true;
    }
}

impl<T> Kept for Option<T> {
    type Value = T;
    const TAKES: Takes = Takes::One;
    fn put(&mut self, value: T) {
        *self = Some(value);
    }
}

impl<T> Kept for Vec<T> {
    type Value = T;
    const TAKES: Takes = Takes::Several;
    fn put(&mut self, value: T) {
        self.push(value);
    }
}

/// What a reader may be given: text, or any bytes.
pub trait Typed<'a>: Sized {
    /// # Errors
    /// It is not UTF-8, where text is wanted.
    fn of(value: &'a OsStr) -> Result<Self, String>;
}

impl<'a> Typed<'a> for &'a str {
    fn of(value: &'a OsStr) -> Result<&'a str, String> {
        value.to_str().ok_or_else(|| "not UTF-8".to_owned())
    }
}

impl<'a> Typed<'a> for &'a OsStr {
    fn of(value: &'a OsStr) -> Result<&'a OsStr, String> {
        Ok(value)
    }
}

// Readers of what needs no more than its form.

pub fn given(_: &OsStr) -> Result<(), String> {
    Ok(())
}

pub fn path(value: &OsStr) -> Result<PathBuf, String> {
    Ok(PathBuf::from(value))
}

pub fn bytes(value: &OsStr) -> Result<OsString, String> {
    Ok(value.to_owned())
}

pub fn word(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// `kill_reserve` as it is typed: `kill-reserve`. `N` is its length.
pub const fn dashed<const N: usize>(field: &str) -> [u8; N] {
    let mut typed = [0; N];
    let mut i = 0;
    while i < N {
        let byte = field.as_bytes()[i];
        typed[i] = if byte == b'_' { b'-' } else { byte };
        i += 1;
    }
    typed
}

pub const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a field has an ASCII name"),
    }
}

/// A group of flags: of each the field that keeps it, how a value is read, what `--help` says, and whatever else [`Flag`] has; behind `page`
/// its [`Line`].
///
/// ```ignore
/// flags! {
///     pub struct Common {
///         /// The whole budget of a stop
///         grace: Option<Duration> = duration { value: "DURATION", variable: "SOFTSTOP_GRACE" }
///             page { default: "`30s`", meaning: "The whole budget of a stop." };
///     }
/// }
/// ```
macro_rules! flags {
    ($(#[$attribute:meta])* $vis:vis struct $Group:ident {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty = $read:path { $($part:ident: $value:expr),* $(,)? }
            $(page { $($cell:ident: $text:expr),* $(,)? })?;)*
    }) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        $vis struct $Group {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $crate::cli::declare::Group for $Group {
            const ROWS: &'static [$crate::cli::declare::Row<$Group>] = &[$($crate::cli::declare::Row {
                flag: {
                    const LONG: &str = {
                        const TYPED: [u8; stringify!($field).len()] =
                            $crate::cli::declare::dashed(stringify!($field));
                        $crate::cli::declare::text(&TYPED)
                    };
                    #[allow(clippy::needless_update, reason = "few have every part")]
                    let flag = $crate::cli::declare::Flag {
                        $($part: $value,)*
                        ..$crate::cli::declare::Flag {
                            id: stringify!($field),
                            long: LONG,
                            takes: <$type as $crate::cli::declare::Kept>::TAKES,
                            help: concat!($($doc, "\n"),*),
                            ..$crate::cli::declare::Flag::NEW
                        }
                    };
                    flag
                },
                set: |group, value| {
                    let value = $read($crate::cli::declare::Typed::of(value)?)?;
                    $crate::cli::declare::Kept::put(&mut group.$field, value);
                    Ok(())
                },
            }),*];
            #[allow(clippy::needless_update, reason = "few have both")]
            const PAGE: &'static [$crate::cli::declare::Line] = &[$(
                $crate::cli::declare::Line { $($($cell: $text,)*)? ..$crate::cli::declare::Line::NEW }
            ),*];
        }
    };
}
pub(super) use flags;
