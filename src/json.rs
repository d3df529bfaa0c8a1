//! JSON from others, and for people. A key that stands twice in an object is refused: which of the two counts would be a guess, and another reader on the
//! way (a proxy, an audit log) may have guessed the other one. Pure.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::sorted;

/// Reads one value.
///
/// # Errors
/// One line: what is no JSON and where, or which key stands twice.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text).map(|Strict(value)| value).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => error.to_string(),
        _ => format!("not JSON: {error}"),
    })
}

/// Whether it is one object, as every reader would take it: no key stands twice anywhere in it, each number and character can be had.
pub fn is_object(text: &[u8]) -> bool {
    matches!(serde_json::from_slice(text), Ok(Sound::Object))
}

/// What is written on one line without blanks, as people read it. A writer of its own for that is as much code as the first, for every type that is
/// written (docs/performance.md).
pub fn pretty(line: &str) -> String {
    let mut out = String::with_capacity(line.len() * 2);
    let (mut depth, mut opened, mut in_text, mut escaped) = (0_usize, false, false, false);
    let next_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for c in line.chars() {
        if in_text {
            in_text = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            out.push(c);
            continue;
        }
        let closes = matches!(c, '}' | ']');
        depth = depth.saturating_sub(usize::from(closes));
        if opened != closes {
            next_line(&mut out, depth);
        }
        opened = matches!(c, '{' | '[');
        depth += usize::from(opened);
        in_text = c == '"';
        out.push(c);
        match c {
            ',' => next_line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

/// What has been read to its end, and is not kept.
enum Sound {
    Object,
    Other,
}

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sound, D::Error> {
        deserializer.deserialize_any(Checker)
    }
}

struct Checker;

impl<'de> Visitor<'de> for Checker {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Sound, E> {
        Ok(Sound::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
        Ok(Sound::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
        Ok(Sound::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
        Ok(Sound::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
        Ok(Sound::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Sound, E> {
        Ok(Sound::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Sound, A::Error> {
        while access.next_element::<Sound>()?.is_some() {}
        Ok(Sound::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Sound, A::Error> {
        let mut keys: Vec<Key<'de>> = Vec::new();
        while let Some(key) = access.next_key()? {
            access.next_value::<Sound>()?;
            keys.push(key);
        }
        sorted::sort(&mut keys);
        match keys.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(A::Error::custom("a key stands twice")),
            false => Ok(Sound::Object),
        }
    }
}

/// No copy where the text has it as it is.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            list.push(value);
        }
        Ok(Strict(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
        let mut fields = Map::new();
        while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} stands twice")));
            }
            fields.insert(key, value);
        }
        Ok(Strict(fields.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let text = "[a\"\\\\{}\\[\\]:, é\n]{0,6}";
        let leaf = prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), text.prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from);
            let fields = prop::collection::btree_map(text, inner, 0..5);
            prop_oneof![list, fields.prop_map(|fields| Value::Object(fields.into_iter().collect()))]
        })
    }

    proptest! {
        #[test]
        fn what_is_laid_out_for_people_is_laid_out_as_serde_json_does_it(value in value()) {
            let line = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(pretty(&line), serde_json::to_string_pretty(&value).unwrap());
        }
    }

    #[test]
    fn everything_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,2.5,null,true,"x\ny",{"a":{}}],"b":18446744073709551615}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for text in ["", "{", "[1,]", "{} x", "nul"] {
            assert!(parse(text.as_bytes()).unwrap_err().starts_with("not JSON: "), "{text}");
        }
    }

    #[test]
    fn an_object_is_one_that_every_reader_takes_for_the_same() {
        for text in [r"{}", r#" {"a":[1,{"b":null}],"b":"\n","c":-1e5,"d":18446744073709551615,"e":true} "#] {
            assert!(is_object(text.as_bytes()), "{text}");
        }
        for text in
            ["", "[]", "1", "null", "{} {}", r#"{"a":{"b":1,"b":1}}"#, r#"{"a":1,"\u0061":1}"#, r#"{"a":1e999}"#]
        {
            assert!(!is_object(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_however_deep() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"c":2,"\u0061":3}}]"#] {
            assert!(parse(text.as_bytes()).unwrap_err().contains("the key \"a\" stands twice"), "{text}");
        }
        assert!(parse(r#"[{"a":1},{"a":1}]"#.as_bytes()).is_ok());
    }
}
