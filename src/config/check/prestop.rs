//! `[http.prestop]`. Pure.

use super::declare::{Declared, table};
use super::kinds::{FilePath, strings};
use super::networks::Networks;
use super::reader::Reader;
use crate::config::prestop::{PreStop, Secret, Token};

table! {
    pub struct PreStopKeys in "[http.prestop]" {
        /// The call has the header `Authorization: Bearer TOKEN`. Take it from a variable: `"${PRESTOP_TOKEN}"`.
        token: TokenText { unset: "none" };
        /// The file with the token, read once, before anything is started.
        token_file: FilePath { words: "absolute path", unset: "none", examples: &["\"/run/secrets/prestop\""] };
        /// [Addresses and networks](#networks) that may call: the node's, as the pod sees it.
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
        reader.missing(
            &keys.table,
            PreStopKeys::SECTION.keys,
            "[http.prestop] has no guard: anybody who reaches the port could begin the stop",
            GUARD,
        );
        return None;
    }
    if token.is_none() && from.iter().any(|n| n.is_everybody()) {
        let sentence = "[http.prestop] lets everybody in: a network of 0 bits is no guard";
        reader.error(&keys.table.header, sentence, GUARD);
        return None;
    }
    Some(PreStop { token, from })
}
