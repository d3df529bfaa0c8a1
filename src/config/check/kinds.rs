//! What the value of a key may be, and how it is read: a kind for each. Pure.
//!
//! `None` stands for what has been refused: the caller takes a default, so that one mistake does not hide the next.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::declare::{Declared, Form, Shape};
use super::reader::{Field, Reader};
use super::scalar;
use super::values;
use crate::signal::Signal;

/// A kind as it is explained.
pub trait Shaped {
    const SHAPE: &'static Shape;
}

/// A kind that is read on its own.
pub trait Kind: Shaped {
    type Value;
    /// `help`: what to write instead of a value of another type.
    fn read(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Self::Value>;
}

/// A kind whose default can be written down.
pub trait Constant: Shaped {
    type Const: Serialize;
    /// As TOML.
    fn show(value: &Self::Const) -> String {
        serde_json::to_string(value).unwrap_or_default()
    }
}

pub type Read<T> = fn(&mut Reader<'_>, &Field<'_>, &str) -> Option<T>;

/// A kind that is read on its own: name, what is read, the function that reads it, and the shape.
macro_rules! kind {
    ($(#[$doc:meta])* $Kind:ident: $Value:ty = $read:expr, $shape:expr) => {
        $(#[$doc])*
        pub struct $Kind;

        impl $crate::config::check::kinds::Shaped for $Kind {
            const SHAPE: &'static $crate::config::check::declare::Shape = $shape;
        }

        impl $crate::config::check::kinds::Kind for $Kind {
            type Value = $Value;
            fn read(
                reader: &mut $crate::config::check::reader::Reader<'_>,
                field: &$crate::config::check::reader::Field<'_>,
                help: &str,
            ) -> Option<$Value> {
                let read: $crate::config::check::kinds::Read<$Value> = $read;
                read(reader, field, help)
            }
        }
    };
}

pub(super) use kind;

// === Durations, numbers, words ===

macro_rules! durations {
    ($($(#[$doc:meta])+ $Kind:ident $range:path;)+) => {$(
        kind! {
            $(#[$doc])+
            $Kind: Duration = |reader, field, _| reader.duration(field, $range), &Shape::Duration($range)
        }

        impl Constant for $Kind {
            type Const = Duration;
            fn show(value: &Duration) -> String {
                format!("{:?}", values::words(*value))
            }
        }
    )+};
}

durations! {
    /// A time limit.
    Limit values::LIMIT;
    /// A pause or a reserve, which may be nothing.
    Pause values::PAUSE;
    /// What comes round again.
    Round values::ROUND;
}

/// A whole number, both ends included; none is negative.
pub struct Int<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> Shaped for Int<MIN, MAX> {
    const SHAPE: &'static Shape = &Shape::Integer(MIN as i64, MAX as i64);
}

impl<const MIN: u32, const MAX: u32> Kind for Int<MIN, MAX> {
    type Value = u32;
    fn read(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<u32> {
        reader.integer(field, i64::from(MIN), i64::from(MAX), help)
    }
}

impl<const MIN: u32, const MAX: u32> Constant for Int<MIN, MAX> {
    type Const = u32;
}

kind! {
    Port: u16 = |reader, field, _| reader.integer(field, 1, 65535, "write a port's number, such as 8080"),
    &Shape::Integer(1, 65535)
}

kind! {
    Bool: bool = |reader, field, _| {
        let value = field.value.get_ref().as_bool();
        if value.is_none() {
            reader.wrong_type(field, "true or false", "write `{name} = true` or `{name} = false`");
        }
        value
    }, &Shape::Boolean
}

impl Constant for Bool {
    type Const = bool;
}

/// One of an enum's words, as serde knows them.
pub struct Word<T>(PhantomData<T>);

impl<T: DeserializeOwned + 'static> Shaped for Word<T> {
    const SHAPE: &'static Shape = &Shape::Words(scalar::words::<T>);
}

impl<T: DeserializeOwned + 'static> Kind for Word<T> {
    type Value = T;
    fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<T> {
        reader.word(field)
    }
}

impl<T: DeserializeOwned + Serialize + 'static> Constant for Word<T> {
    type Const = T;
}

// === Strings ===

/// Kinds that are written as a string: name, what is read, the form, and the function that reads it.
macro_rules! strings {
    ($($(#[$doc:meta])* $Kind:ident $Value:ty, $name:literal, $pattern:expr, [$($example:literal),+], $read:expr;)+) => {$(
        $crate::config::check::kinds::kind! {
            $(#[$doc])*
            $Kind: $Value = $read, &$crate::config::check::declare::Shape::Text(
                $crate::config::check::declare::Form { name: $name, pattern: $pattern, examples: &[$($example),+] })
        }

        impl $crate::config::check::kinds::Constant for $Kind {
            type Const = &'static str;
        }
    )+};
}

pub(super) use strings;

const SIGNAL: &str = r"\s*[A-Za-z0-9+-]+\s*";

strings! {
    Text String, "string", "", ["\"\"", "\"a b\"", "'${NONE:-x}'"], |reader, field, help| reader.text(field, help);
    FilePath PathBuf, "path", r"[\s\S]+", ["\"/tmp/x\"", "\"relative\""],
        |reader, field, _| reader.parsed(
            field, "write a path such as \"/run/report.json\"", |text| values::path(field.name, text));
    AnySignal Signal, "signal", SIGNAL, ["\"SIGUSR1\"", "\"HUP\"", "\"15\""], |reader, field, _| reader.signal(field);
    /// What a stop may begin with.
    StopSignal Signal, "signal", SIGNAL, ["\"SIGTERM\"", "\"15\"", "\"QUIT\""],
        |reader, field, _| { let signal = reader.signal(field)?; reader.allowed(&field.span(), values::ladder_signal(signal)) };
    /// What a process may be asked to say with.
    DumpSignal Signal, "signal", SIGNAL, ["\"SIGQUIT\"", "\"3\""],
        |reader, field, _| { let signal = reader.signal(field)?; reader.allowed(&field.span(), values::dump_signal(signal)) };
    Host String, "name or IP address", r"[A-Za-z0-9._:\[\]-]+", ["\"db\"", "\"::1\"", "\"10.0.0.7\""],
        |reader, field, _| reader.parsed(field, "write a host in quotes, such as \"db\"", values::host);
    UrlPath String, "string", r"/[!-~]*", ["\"/\"", "\"/a?b=c\""],
        |reader, field, help| reader.parsed(field, help, values::url_path);
    TaskName String, "string, one line", r"[^\r\n]{1,200}", ["\"a name\"", "\"é日\""],
        |reader, field, _| reader.parsed(field, "write a name in quotes", values::task_name);
    /// As the kernel has it.
    ProgramName String, "string", r"[^/]{1,255}", ["\"nginx\"", "\"${HOST}\""],
        |reader, field, help| reader.parsed(field, help, values::program_name);
}

// === Tables ===

/// A table with fixed keys. What is read is the table, not yet its keys.
pub struct Sub<T>(PhantomData<T>);

impl<T: Declared> Shaped for Sub<T> {
    const SHAPE: &'static Shape = &Shape::Table(T::DESCRIBED);
}

/// An array of tables with fixed keys.
pub struct Many<T>(PhantomData<T>);

impl<T: Declared> Shaped for Many<T> {
    const SHAPE: &'static Shape = &Shape::Tables(T::DESCRIBED);
}

/// `name = value` with the user's own names, each of whose values is of the kind.
pub struct MapOf<K>(PhantomData<K>);

impl<K: Shaped> Shaped for MapOf<K> {
    const SHAPE: &'static Shape = &Shape::Map(Form { name: "", pattern: "", examples: &[] }, K::SHAPE);
}
