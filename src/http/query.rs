//! What stands behind `?`, and percent-encoding. Pure.

use std::borrow::Cow;

/// The part of a request after `?`.
#[derive(Clone, Copy)]
pub(super) struct Query<'a>(pub &'a str);

impl<'a> Query<'a> {
    fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        self.0.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_plus(key), value)
        })
    }

    /// Named at all, with whatever value: `?verbose=0` is verbose, as it is to the API server.
    pub fn has(self, name: &str) -> bool {
        self.pairs().any(|(key, _)| key == name)
    }

    pub fn all(self, name: &'static str) -> impl Iterator<Item = Cow<'a, str>> {
        self.pairs().filter(move |(key, _)| key == name).map(|(_, value)| decode_plus(value))
    }
}

/// As forms encode a query: `+` is a space.
fn decode_plus(text: &str) -> Cow<'_, str> {
    if text.contains('+') { Cow::Owned(decode(&text.replace('+', " ")).into_owned()) } else { decode(text) }
}

/// Percent-decoded; what is no valid escape stays as it is, what is no UTF-8 becomes U+FFFD.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are at most 255"));
                rest = &tail[2..];
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn percent_decoding_inverts_encoding(name in ".{0,20}") {
            let encoded: String = name.bytes().map(|b| format!("%{b:02x}")).collect();
            prop_assert_eq!(decode(&encoded), name);
        }

        #[test]
        fn any_bytes_decode(text in "[%0-9a-fA-F+é]{0,20}") {
            let _ = decode_plus(&text);
        }
    }
}
