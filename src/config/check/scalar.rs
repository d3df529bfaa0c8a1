//! Typed values out of a document's fields: strings, durations, numbers, words, signals, paths. Pure.
//!
//! `None` stands for what has been refused: the caller takes a default, so that one mistake does not hide the next.

use std::time::Duration;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::de::DeValue;

use super::keys;
use super::reader::{Field, Reader};
use super::values::{self, DurationRange, Wrong};
use crate::config::expand;
use crate::config::problem::Span;
use crate::signal::Signal;

impl Reader<'_> {
    /// A string, expanded, without NUL bytes.
    pub fn text(&mut self, field: &Field<'_>, example: &str) -> Option<String> {
        let Some(text) = field.value.get_ref().as_str() else {
            self.wrong_type(field, "a string", example);
            return None;
        };
        match expand::expand(text, self.env, &mut self.room) {
            Ok(text) if text.contains('\0') => {
                let sentence = format!("`{}` contains a NUL byte", field.name);
                self.error(&field.span(), sentence, "leave it out: no program can receive one");
                None
            }
            Ok(text) => Some(text.into_owned()),
            Err(wrong) => {
                for problem in wrong {
                    let span = self.within(&field.span(), &problem.piece);
                    self.error(&span, problem.sentence, problem.help);
                }
                None
            }
        }
    }

    /// Where `piece` stands inside a string as written; the whole string when escapes hide it.
    fn within(&self, span: &Span, piece: &str) -> Span {
        let found = self.source.text.get(span.clone()).and_then(|raw| raw.find(piece));
        found.map_or(span.clone(), |at| span.start + at..span.start + at + piece.len())
    }

    /// A string that stands for a value of another kind.
    pub fn parsed<T>(
        &mut self,
        field: &Field<'_>,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = self.text(field, example)?;
        self.allowed(&field.span(), parse(&text))
    }

    pub fn duration(&mut self, field: &Field<'_>, range: DurationRange) -> Option<Duration> {
        let number = match field.value.get_ref() {
            DeValue::Integer(n) => Some(n.as_str()),
            DeValue::Float(n) => Some(n.as_str()),
            _ => None,
        };
        if let Some(n) = number {
            self.error(&field.span(), format!("`{}` has no unit", field.name), values::with_unit(n));
            return None;
        }
        let name = field.name;
        self.parsed(field, values::A_DURATION, |text| {
            values::duration(text, range)
                .map_err(|wrong| Wrong { sentence: format!("`{name}`: {}", wrong.sentence), ..wrong })
        })
    }

    pub fn signal(&mut self, field: &Field<'_>) -> Option<Signal> {
        self.parsed(field, "write a signal's name such as \"SIGTERM\"", |text| {
            Signal::parse(text).map_err(|sentence| Wrong::new(sentence, values::A_SIGNAL))
        })
    }

    /// A whole number, or a string that was one once its variables were expanded.
    pub fn integer<T: TryFrom<i64>>(&mut self, field: &Field<'_>, min: i64, max: i64, example: &str) -> Option<T> {
        self.whole_number(field, min, max, example).and_then(|n| T::try_from(n).ok())
    }

    fn whole_number(&mut self, field: &Field<'_>, min: i64, max: i64, example: &str) -> Option<i64> {
        let number = match field.value.get_ref() {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok(),
            DeValue::String(text) if text.contains("${") => self.text(field, example)?.trim().parse().ok(),
            DeValue::String(text) if text.trim().parse::<i64>().is_ok() => {
                let sentence = format!("`{}` must be a number, not a string", field.name);
                self.error(&field.span(), sentence, format!("write {} without quotes", text.trim()));
                return None;
            }
            _ => {
                self.wrong_type(field, "a whole number", example);
                return None;
            }
        };
        let inside = number.filter(|n| (min..=max).contains(n));
        if inside.is_none() {
            let sentence = format!("`{}` must be a whole number from {min} to {max}", field.name);
            self.error(&field.span(), sentence, example.to_owned());
        }
        inside
    }

    /// One of an enum's words, as serde knows them.
    pub fn word<T: DeserializeOwned>(&mut self, field: &Field<'_>) -> Option<T> {
        let name = field.name;
        self.parsed(field, "write one of its words in quotes", |text| {
            word(text).map_err(|words| values::not_a_word(name, text, words))
        })
    }
}

/// What an enum calls so.
///
/// # Errors
/// The words that it has.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T, &'static [&'static str]> {
    let reader: StrDeserializer<'_, Words> = text.into_deserializer();
    T::deserialize(reader).map_err(|words| words.0)
}

/// The words of an enum.
pub fn words<T: DeserializeOwned>() -> &'static [&'static str] {
    word::<T>("").err().unwrap_or_default()
}

/// The words an enum has, caught from serde's own complaint about one that it has not.
#[derive(Debug)]
struct Words(&'static [&'static str]);

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&keys::list(self.0))
    }
}

impl std::error::Error for Words {}

impl serde::de::Error for Words {
    fn custom<T: std::fmt::Display>(_: T) -> Words {
        Words(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Words {
        Words(expected)
    }
}
