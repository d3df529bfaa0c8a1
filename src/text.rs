//! Text from elsewhere (a child, a peer, a file, a path), made safe to print: what is not plain would end a line and forge the next,
//! drive a terminal, or turn the text around it (<https://trojansource.codes>). Pure.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

/// Neither a control character, nor a separator of lines, nor one that sets the direction of what follows.
pub fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    !c.is_control() && !turns && !separates
}

/// As part of one line: what is not plain is escaped, so nothing is lost.
pub fn one_line(text: &str) -> Cow<'_, str> {
    // Nearly always it is ASCII, which is looked at in no time.
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) || text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_plain(c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
    }
    Cow::Owned(line)
}

/// As a quote of so many characters in one line: each that is not plain becomes `instead`.
pub fn plain(text: &str, instead: char) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_plain(c) { c } else { instead }).collect())
}

/// As a sentence: what breaks the line is a space, whatever else is not plain becomes U+FFFD.
pub fn sentence(text: &str) -> String {
    plain(&text.replace(['\n', '\r'], " "), char::REPLACEMENT_CHARACTER).into_owned()
}

/// A message of several lines.
pub fn lines(message: &str) -> String {
    message.split('\n').map(|line| plain(line, char::REPLACEMENT_CHARACTER)).collect::<Vec<_>>().join("\n")
}

/// As the text of an XML file: what XML 1.0 does not know has no place in it, not even escaped, and becomes U+FFFD.
pub fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || ['\u{fffe}', '\u{ffff}'].contains(&c) => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A number of nothing but digits: without a sign and without blanks.
pub fn number<T: FromStr>(digits: &str) -> Option<T> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// `one` of 1, `many` of any other number.
pub fn plural<T>(n: impl TryInto<u64>, one: T, many: T) -> T {
    if n.try_into().is_ok_and(|n| n == 1) { one } else { many }
}

/// `1 process`, `3 processes`.
pub fn several(n: impl TryInto<u64> + Copy + Display, one: &str, many: &str) -> String {
    format!("{n} {}", plural(n, one, many))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_name_is_in_xml_it_stays_text(text in any::<String>()) {
            let escaped = xml(&text);
            prop_assert!(!escaped.contains(['<', '>', '"']));
            prop_assert!(escaped.chars().all(|c| !c.is_control() || ['\n', '\t'].contains(&c)));
        }
    }

    #[test]
    fn what_drives_a_terminal_or_turns_the_text_is_escaped() {
        assert_eq!(one_line("a\r\n\x1b[31mb\u{202e}c\u{2028}"), r"a\r\n\u{1b}[31mb\u{202e}c\u{2028}");
        assert_eq!(one_line("a\u{200f}\u{2066}\u{61c}"), r"a\u{200f}\u{2066}\u{61c}");
        assert_eq!(one_line("grüße, 世界"), "grüße, 世界");
    }

    #[test]
    fn a_quote_keeps_its_length_and_a_message_its_lines() {
        assert_eq!(plain("a\tb\u{202e}", ' '), "a b ");
        assert_eq!(lines("one\ttwo\n\x1b[0m\n"), "one\u{fffd}two\n\u{fffd}[0m\n");
    }
}
