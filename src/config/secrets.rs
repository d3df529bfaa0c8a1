//! What in a text may be a secret, by the name before it: messages about a configuration or a manifest quote it, and end up in logs. Pure.
//!
//! It goes by the text alone, so that a file with a syntax error hides as much as one without. What is hidden needlessly costs nothing;
//! `${NAME}` alone is no secret and is shown.

use std::borrow::Cow;
use std::ops::Range;

use crate::sorted;

/// Parts of names, in lower case.
const WORDS: [&str; 13] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "authorization",
    "cookie",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "access_key",
];
/// Names with these ends say where a secret is.
const PLACES: [&str; 5] = ["file", "path", "dir", "name", "ref"];
/// The word before a secret in a header. (`Basic` is also a word of sentences.)
const SCHEME: &str = "bearer";
/// How far behind a `name: PASSWORD` its `value:` stands, in bytes.
const PAIR: usize = 200;
/// What help texts write for one.
const STAND_INS: [&str; 2] = ["TOKEN", "default"];

/// The text with asterisks for what may be a secret, one for each character.
pub fn mask(text: &str) -> Cow<'_, str> {
    masked(text, 0, &spans(text))
}

/// A piece of a text that begins at its byte `at`, with asterisks for what is inside of `spans`.
pub fn masked<'t>(piece: &'t str, at: usize, spans: &[Range<usize>]) -> Cow<'t, str> {
    let first = spans.partition_point(|span| span.end <= at);
    let mut over = spans[first..].iter().take_while(|span| span.start < at + piece.len()).peekable();
    if over.peek().is_none() {
        return Cow::Borrowed(piece);
    }
    let mut out = String::with_capacity(piece.len());
    for (i, c) in piece.char_indices() {
        while over.peek().is_some_and(|span| span.end <= at + i) {
            over.next();
        }
        out.push(if over.peek().is_some_and(|span| span.start <= at + i) { '*' } else { c });
    }
    Cow::Owned(out)
}

/// Where secrets may stand, in bytes, rising.
pub fn spans(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Range<usize>> = Vec::new();
    // Until here a `value` belongs to a `name` that is a secret's.
    let mut pair = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"://") {
            at += 3;
            add(&mut found, text, password(bytes, at));
            continue;
        }
        if !is_name(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        at += bytes[at..].iter().take_while(|b| is_name(**b)).count();
        let name = text[start..at].to_ascii_lowercase();
        if name == SCHEME && bytes.get(at) == Some(&b' ') {
            add(&mut found, text, at + 1..bare(bytes, at + 1));
        } else if is_secret(&name) || name == "value" && at < pair {
            add(&mut found, text, value(bytes, start, at));
        } else if name == "name" && is_secret(&text[value(bytes, start, at)].to_ascii_lowercase()) {
            pair = at + PAIR;
        }
    }
    sorted::by_key(&mut found, |span| span.start);
    found
}

/// Without what only refers to a variable.
fn add(found: &mut Vec<Range<usize>>, text: &str, span: Range<usize>) {
    let value = &text[span.clone()];
    if value.rsplit(' ').next().is_some_and(|word| STAND_INS.contains(&word)) {
        return;
    }
    let mut start = span.start;
    for (i, _) in value.match_indices("${") {
        let name = value[i + 2..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if value[i + 2 + name..].starts_with('}') {
            found.push(start..span.start + i);
            start = span.start + i + 2 + name + 1;
        }
    }
    found.push(start..span.end);
    found.retain(|span| !span.is_empty());
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_-.".contains(&b)
}

/// Whether what has this name, in lower case, is one.
pub fn is_secret(name: &str) -> bool {
    WORDS.iter().any(|word| name.contains(word)) && !PLACES.iter().any(|place| name.ends_with(place))
}

/// What is given to the name that ends at `at`: `name = "…"`, `"name": …`, `--name=…`, `"--name", "…"`. Empty: nothing.
fn value(bytes: &[u8], start: usize, mut at: usize) -> Range<usize> {
    if start >= 2 && bytes[start - 2..start] == *b"${" {
        let default = if bytes[at..].starts_with(b":-") { at + 2 } else { return at..at };
        return default..default + bytes[default..].iter().take_while(|b| !b"}\"'\n".contains(b)).count();
    }
    let blanks = |at: usize| at + bytes[at..].iter().take_while(|b| b" \t".contains(b)).count();
    let quoted = matches!(bytes.get(at), Some(b'"' | b'\''));
    at = blanks(at + usize::from(quoted));
    let header = match bytes.get(at) {
        Some(b'=') => false,
        Some(b':') => true,
        Some(b',') if quoted && bytes[start] == b'-' => false,
        _ => return at..at,
    };
    // Inside of a string, as in "Authorization: Bearer …", it ends with the string.
    at = blanks(at + 1);
    match bytes.get(at) {
        Some(quote @ (b'"' | b'\'')) => {
            let triple = [*quote; 3];
            if bytes[at..].starts_with(&triple) {
                let length = bytes[at + 3..].windows(3).position(|w| w == triple).unwrap_or(bytes.len() - at - 3);
                return at + 3..at + 3 + length;
            }
            at += 1;
            let mut end = at;
            while let Some(b) = bytes.get(end).filter(|b| **b != *quote && **b != b'\n') {
                end += if *b == b'\\' && *quote == b'"' && bytes.get(end + 1).is_some_and(|b| *b != b'\n') {
                    2
                } else {
                    1
                };
            }
            at..end
        }
        // Where one string belongs.
        Some(b'[') => at + 1..at + 1 + bytes[at + 1..].iter().take_while(|b| !b"]\n".contains(b)).count(),
        _ if header => at..at + bytes[at..].iter().take_while(|b| !b"\"'\n,]}".contains(b)).count(),
        _ => at..bare(bytes, at),
    }
}

/// The end of a word, in which `${NAME}` may stand.
fn bare(bytes: &[u8], mut at: usize) -> usize {
    let mut braces = false;
    while let Some(b) = bytes.get(at) {
        braces |= bytes[at..].starts_with(b"${");
        if b" \t\r\n\"'`,;&[]".contains(b) || b"{}".contains(b) && !braces {
            break;
        }
        braces &= *b != b'}';
        at += 1;
    }
    at
}

/// In `user:password@host`, which begins at `at`.
fn password(bytes: &[u8], at: usize) -> Range<usize> {
    let end = at + bytes[at..].iter().take_while(|b| !b" \t\r\n\"'`/".contains(b)).count();
    let host = bytes[at..end].iter().rposition(|b| *b == b'@').map(|i| at + i);
    let user = bytes[at..end].iter().position(|b| *b == b':').map(|i| at + i + 1);
    match (user, host) {
        (Some(user), Some(host)) if user <= host => user..host,
        _ => at..at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stands_behind_a_secrets_name_is_hidden() {
        for (text, shown) in [
            ("token = \"abc\\\"d\" # é", "token = \"******\" # é"),
            ("{ token = 'abc', frm = \"x\" }", "{ token = '***', frm = \"x\" }"),
            ("token = \"abc", "token = \"***"),
            ("token = \"\"\"\nabc\n\"\"\" x", "token = \"\"\"*****\"\"\" x"),
            ("DB_PASSWORD=\"é\u{fc}\"", "DB_PASSWORD=\"**\""),
            ("headers = { Authorization = \"Bearer abc\" }", "headers = { Authorization = \"**********\" }"),
            (
                "[\"curl\", \"-H\", \"authorization: Basic YWJj\", \"x\"]",
                "[\"curl\", \"-H\", \"authorization: **********\", \"x\"]",
            ),
            ("[\"app\", \"--api-key=abc\", \"-v\"]", "[\"app\", \"--api-key=***\", \"-v\"]"),
            ("[\"app\", \"--token\", \"abc\"]", "[\"app\", \"--token\", \"***\"]"),
            ("url = \"postgres://me:a:b@db/x\"", "url = \"postgres://me:***@db/x\""),
            ("{ name: Authorization, value: \"Bearer abc\" }", "{ name: Authorization, value: \"**********\" }"),
            ("- name: DB_PASSWORD\n  value: abc\n", "- name: DB_PASSWORD\n  value: ***\n"),
            ("X = \"bearer abc\"", "X = \"bearer ***\""),
            ("token = \"${T}-abc-${U:-d}\"", "token = \"${T}************\""),
            ("x = \"${DB_TOKEN:-abc}\"", "x = \"${DB_TOKEN:-***}\""),
            ("token = [\"abc\"]", "token = [*****]"),
            ("--token=${T}abc x", "--token=${T}*** x"),
            ("path = \"/x?token=abc&y=1\"", "path = \"/x?token=***&y=1\""),
        ] {
            assert_eq!(mask(text), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "token_file = \"/run/token\"",
            "token = \"${PRESTOP_TOKEN}\"",
            "name = \"token-service\"\ncommand = [\"x\"]",
            "the token has less than 16 characters: make one",
            "httpHeaders: [{ name: Authorization, value: \"Bearer TOKEN\" }]",
            "- name: HOST\n  value: db",
            "http://host:80/x@y",
            "`${TOKEN:-default}`, or $${TOKEN} or ${TOKEN:?x}",
            "--token=${TOKEN}",
            "token",
            "token =",
            "",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length_in_characters(text in "(token|bearer|://|[=:,\"'\\\\ \n@a\u{e9}\\$\\{\\}]|name|value){0,20}") {
            prop_assert_eq!(mask(&text).chars().count(), text.chars().count());
        }
    }
}
