//! `[http.prestop]`. Pure.

use super::reader::{Field, Reader};
use super::{keys, networks};
use crate::config::network::Network;
use crate::config::prestop::{PreStop, Secret, Token};

const GUARD: &str = "add a guard: from = \"10.244.0.0/16\" (who may call), token = \"${PRESTOP_TOKEN}\", or token_file";

/// The table has a guard, or is refused: anybody who reaches the port could stop the container else.
pub fn prestop(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<PreStop> {
    let example = "write `[http.prestop]` and below it its guard: from = \"10.244.0.0/16\"";
    let table = reader.table(field, &keys::PRESTOP, example)?;
    let before = reader.problems.len();
    let value = table.get("token").and_then(|f| {
        let text = reader.text(&f, "write token = \"${PRESTOP_TOKEN}\"")?;
        // Said at the table: an excerpt of its own line could show it.
        let secret = Secret::new(&text).map_err(|why| {
            let help = "make one with `head -c 24 /dev/urandom | base64`, and keep it in a variable or a file";
            reader.error(&table.header, format!("the token {why}"), help);
        });
        secret.ok().map(Token::Value)
    });
    let file = table.get("token_file").and_then(|f| reader.path(&f)).map(Token::File);
    if let (Some(_), Some(second)) = (table.get("token"), table.get("token_file")) {
        reader.error(&second.key, "`token_file` beside `token`: there is one token", "leave one of them out");
    }
    let from = table.get("from").map(|f| callers(reader, &f));
    if reader.problems.len() > before {
        return None;
    }
    let (token, from) = (value.or(file), from.unwrap_or_default());
    if token.is_none() && from.is_empty() {
        reader.missing(
            &table,
            keys::PRESTOP.keys,
            "[http.prestop] has no guard: anybody who reaches the port could begin the stop",
            GUARD,
        );
        return None;
    }
    if token.is_none() && from.iter().any(|n| n.is_everybody()) {
        reader.error(&table.header, "[http.prestop] lets everybody in: a network of 0 bits is no guard", GUARD);
        return None;
    }
    Some(PreStop { token, from })
}

/// At least one.
fn callers(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Network> {
    let example = "write from = [\"10.244.0.0/16\"]";
    if field.elements().is_some_and(|elements| elements.is_empty()) {
        reader.error(&field.span(), "`from` is empty: nobody could call", example);
        return Vec::new();
    }
    networks::networks(reader, field, example).unwrap_or_default()
}
