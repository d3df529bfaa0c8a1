//! Numbers as C's functions read them, which is not how anybody would have specified it. Pure.

/// `atoi`: blanks, a sign, digits, and whatever follows; 0 where there are none.
pub fn atoi(text: &str) -> i32 {
    leading(text).map_or(0, |(n, _)| truncated(n))
}

/// `strtol` that must have taken all of the text: the empty one is 0.
pub fn whole(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    leading(text).filter(|(_, rest)| rest.is_empty()).map(|(n, _)| n)
}

/// `sscanf` with `%d:%d`; what follows does not count.
pub fn two(text: &str) -> Option<(i32, i32)> {
    let (first, rest) = leading(text)?;
    let (second, _) = leading(rest.strip_prefix(':')?)?;
    Some((truncated(first), truncated(second)))
}

/// The number at the beginning, and what follows it.
fn leading(text: &str) -> Option<(i64, &str)> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let digit = |n: i64, c: char| n.saturating_mul(10).saturating_add(i64::from(c.to_digit(10).unwrap_or(0)));
    let n = digits.chars().fold(0, digit);
    Some((if negative { -n } else { n }, rest))
}

/// An `int` of a `long`: the lower half.
#[expect(clippy::cast_possible_truncation, reason = "as C does it")]
fn truncated(n: i64) -> i32 {
    n as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoi_takes_what_it_can() {
        for (text, n) in [
            ("2", 2),
            ("2junk", 2),
            (" 2", 2),
            ("+2", 2),
            ("0x2", 0),
            ("-1", -1),
            ("", 0),
            ("junk", 0),
            ("4294967298", 2),
        ] {
            assert_eq!(atoi(text), n, "{text:?}");
        }
    }

    #[test]
    fn strtol_must_take_everything() {
        for (text, n) in [
            ("143", 143),
            (" 5", 5),
            ("+5", 5),
            ("05", 5),
            ("", 0),
            ("-0", 0),
            ("-1", -1),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(whole(text), Some(n), "{text:?}");
        }
        for text in ["1-3", "1,2", "0x1", "1 ", " ", "+", "x"] {
            assert_eq!(whole(text), None, "{text:?}");
        }
    }

    #[test]
    fn sscanf_takes_two_numbers_with_a_colon_behind_the_first() {
        for text in ["15:3", " 15: 3", "+15:+3", "015:3", "15:3,2:3", "15:3junk"] {
            assert_eq!(two(text), Some((15, 3)), "{text:?}");
        }
        for text in ["15 :3", "TERM:3", "15", "15:", ":3", "", "15:x", "0x1:2"] {
            assert_eq!(two(text), None, "{text:?}");
        }
    }
}
