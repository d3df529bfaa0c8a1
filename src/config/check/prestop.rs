//! `[http.prestop]`: who may call `GET /prestop`. Pure.

use std::fmt;
use std::path::PathBuf;

use super::declare::{Declared, table};
use super::kinds::{FilePath, strings};
use super::networks::Networks;
use super::reader::Reader;
use crate::config::network::Network;

/// At least one of the two is there, and whatever is there must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreStop {
    /// `Authorization: Bearer TOKEN`.
    pub token: Option<Token>,
    /// The caller's address is in one of these; empty: any.
    pub from: Vec<Network>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Value(Secret),
    /// Read once, before anything is started.
    File(PathBuf),
}

/// Never shown, whoever prints the settings.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What a header can carry and nobody guesses.
    ///
    /// # Errors
    /// What is wrong, without the value.
    pub fn new(text: &str) -> Result<Secret, &'static str> {
        match text.len() {
            0..16 => Err("has less than 16 characters and can be guessed"),
            257.. => Err("has more than 256 characters"),
            _ if !text.bytes().all(|b| b.is_ascii_graphic()) => {
                Err("has characters other than visible ASCII, which no header can carry")
            }
            _ => Ok(Secret(text.to_string())),
        }
    }

    /// For comparing, in constant time.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

table! {
    pub struct PreStopKeys in "[http.prestop]" {
        /// The call has the header `Authorization: Bearer TOKEN`. Take it from a variable: `"${PRESTOP_TOKEN}"`.
        token: TokenText { unset: "none" };
        /// The file with the token, read once, before anything is started.
        token_file: FilePath { words: "absolute path", unset: "none", examples: &["\"/run/secrets/prestop\""] };
        /// [Addresses and networks](configuration/waits.md#networks) that may call: the node's, as the pod sees it.
        from: Networks {
            unset: "any",
            help: "write from = [\"10.244.0.0/16\"]",
            examples: &["\"10.244.7.1\"", "[\"10.244.0.0/16\", \"fd00::/8\"]", "\"${NONE:-127.0.0.1}\""],
        };
    }
}

strings! {
    TokenText String, "string of 16 to 256 visible ASCII characters", "[!-~]{16,256}",
        ["\"0123456789abcdef\"", "\"${NONE:-0123456789abcdef}\""],
        |reader, field, _| reader.text(field, "write token = \"${PRESTOP_TOKEN}\"");
}

const GUARD: &str = "add a guard: from = \"10.244.0.0/16\" (who may call), token = \"${PRESTOP_TOKEN}\", or token_file";

/// The table has a guard, or is refused: anybody who reaches the port could stop the container else.
pub fn prestop(reader: &mut Reader<'_>, keys: &PreStopKeys<'_>) -> Option<PreStop> {
    let before = reader.problems.len();
    let value = keys.token.read(reader).and_then(|text| {
        // Said at the table: an excerpt of its own line could show it.
        let secret = Secret::new(&text).map_err(|why| {
            let help = "make one with `head -c 24 /dev/urandom | base64`, and keep it in a variable or a file";
            reader.error(&keys.table.header, format!("the token {why}"), help);
        });
        secret.ok().map(Token::Value)
    });
    let file = keys.token_file.read(reader).map(Token::File);
    if let (Some(_), Some(second)) = (&keys.token.field, &keys.token_file.field) {
        reader.error(&second.key, "`token_file` beside `token`: there is one token", "leave one of them out");
    }
    let from = match &keys.from.field {
        Some(f) if f.elements().is_some_and(|elements| elements.is_empty()) => {
            reader.error(&f.span(), "`from` is empty: nobody could call", "write from = [\"10.244.0.0/16\"]");
            None
        }
        _ => keys.from.read(reader),
    };
    if reader.problems.len() > before {
        return None;
    }
    let (token, from) = (value.or(file), from.unwrap_or_default());
    if token.is_none() && from.is_empty() {
        let sentence = "[http.prestop] has no guard: anybody who reaches the port could begin the stop";
        reader.missing(&keys.table, PreStopKeys::SECTION.keys, sentence, GUARD);
        return None;
    }
    if token.is_none() && from.iter().any(|n| n.is_everybody()) {
        let sentence = "[http.prestop] lets everybody in: a network of 0 bits is no guard";
        reader.error(&keys.table.header, sentence, GUARD);
        return None;
    }
    Some(PreStop { token, from })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_checked_and_never_shown() {
        let secret = Secret::new("0123456789abcdef").unwrap();
        assert_eq!((format!("{secret:?}"), secret.bytes().len()), ("Secret".to_string(), 16));
        for text in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n", &"x".repeat(257)] {
            assert!(Secret::new(text).is_err(), "{text:?}");
        }
    }
}
