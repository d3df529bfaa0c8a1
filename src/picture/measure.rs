//! How wide text is, in a terminal's columns and on a page, and what fits. Pure.

use crate::text::one_line;

/// A terminal's columns for a character.
pub fn columns(c: char) -> f64 {
    match u32::from(c) {
        // Combined with the one before it.
        0x300..=0x36f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0.0,
        _ if is_wide(c) => 2.0,
        _ => 1.0,
    }
}

/// East Asian characters and pictures.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60
        | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

/// The width of a character on a page, as a part of the font's size: as wide as it is in the widest of the usual fonts, so that nothing
/// overlaps whatever font there is.
pub(super) fn ems(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '!' | '|' => 0.38,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '/' | '-' | '"' => 0.45,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.0,
        'A'..='Z' => 0.75,
        '0'..='9' | 'a'..='z' => 0.64,
        _ if columns(c) == 0.0 => 0.0,
        _ if is_wide(c) => 1.1,
        _ => 0.75,
    }
}

pub fn width(text: &str, of: fn(char) -> f64) -> f64 {
    text.chars().map(of).sum()
}

/// As much of the text as fits, and `dots` where some is left out.
pub fn elide(text: &str, most: f64, dots: &str, of: fn(char) -> f64) -> String {
    if width(text, of) <= most {
        return text.to_owned();
    }
    let room = most - width(dots, of);
    let mut used = 0.0;
    let fits = |c: &char| {
        used += of(*c);
        used <= room
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}{dots}", kept.trim_end())
}

/// As part of one line, with nothing that a terminal cannot show or that would drive it.
pub fn shown(text: &str, unicode: bool) -> String {
    let text = one_line(text);
    let ascii = |c| match c {
        '…' => '.',
        c if char::is_ascii(&c) => c,
        _ => '?',
    };
    if unicode { text.into_owned() } else { text.chars().map(ascii).collect() }
}

/// In lines of that width; a word that is longer is broken.
pub(super) fn wrap(text: &str, most: f64, of: fn(char) -> f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() || width(line, of) + of(' ') + width(word, of) <= most {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
        while let Some(line) = lines.last_mut()
            && let Some(rest) = overhang(line, most, of)
        {
            lines.push(rest);
        }
    }
    lines
}

/// What of a line is too much, taken off it; at least one character stays.
fn overhang(line: &mut String, most: f64, of: fn(char) -> f64) -> Option<String> {
    let mut used = 0.0;
    let at = line.char_indices().find_map(|(at, c)| {
        used += of(c);
        (used > most && at > 0).then_some(at)
    })?;
    Some(line.split_off(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_that_shows() {
        assert_eq!(elide("web", 3.0, "…", columns), "web");
        assert_eq!(elide("let the balancers notice", 10.0, "…", columns), "let the b…");
        assert_eq!(elide("let the", 5.0, "…", columns), "let…", "no blank before it");
        assert_eq!(elide("世界世界", 5.0, "…", columns), "世界…");
        assert_eq!(elide("abc", 0.0, "…", columns), "…");
    }

    #[test]
    fn lines_are_broken_between_words_and_within_long_ones() {
        assert_eq!(wrap("web ignored SIGTERM for 20s", 12.0, columns), ["web ignored", "SIGTERM for", "20s"]);
        assert_eq!(wrap("abcdefgh ij", 3.0, columns), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 3.0, columns), [""]);
        assert_eq!(wrap("世", 1.0, columns), ["世"], "wider than all there is");
    }
}
