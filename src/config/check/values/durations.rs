//! Durations as people write them. Pure.

use std::time::Duration;

use super::Wrong;

/// Longest time anything may be told to take.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The least and the most a duration may be, both included.
#[derive(Clone, Copy, Debug)]
pub struct DurationRange {
    pub min: Duration,
    pub max: Duration,
}

/// A time limit.
pub const LIMIT: DurationRange = DurationRange { min: Duration::from_millis(1), max: DAY };
/// A pause or a reserve, which may be nothing.
pub const PAUSE: DurationRange = DurationRange { min: Duration::ZERO, max: DAY };
/// What comes round again: never so often that it becomes a busy loop.
pub const ROUND: DurationRange = DurationRange { min: Duration::from_millis(10), max: DAY };

/// So many characters are plenty for a duration.
const LONGEST_TEXT: usize = 64;

/// The text without its fractions, and the text; both without zeros that mean nothing, whose number would look like a large value.
/// `None`: a number is larger than any duration can be. (humantime adds up without a check of its own, and panics near the end of its range.)
fn plain_numbers(text: &str) -> Option<(String, String)> {
    /// A day in nanoseconds has 14 digits; in seconds and more, nothing needs ten.
    const SMALL_UNITS: [&str; 5] = ["n", "u", "\u{b5}", "ms", "mil"];
    let (mut whole, mut exact) = (String::new(), String::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        if !digits.is_empty() {
            let significant = digits.trim_start_matches('0');
            let number = if significant.is_empty() { "0" } else { significant };
            whole.push_str(number);
            exact.push_str(number);
            rest = after;
            let small = SMALL_UNITS.iter().any(|unit| after.trim_start().starts_with(unit));
            if number.len() > if small { 14 } else { 9 } {
                return None;
            }
            let fraction = after.strip_prefix('.').filter(|f| f.starts_with(|c: char| c.is_ascii_digit()));
            if let Some(fraction) = fraction {
                let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
                let significant = fraction[..end].trim_end_matches('0');
                if !significant.is_empty() {
                    exact.push('.');
                    exact.push_str(significant);
                }
                rest = &fraction[end..];
            }
        } else {
            whole.push(first);
            exact.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some((whole, exact))
}

/// What to write for one.
pub const A_DURATION: &str = "write a duration such as \"30s\", \"1m30s\" or \"500ms\"";

/// What to write for a number alone.
pub fn with_unit(number: &str) -> String {
    format!("write \"{number}s\" for seconds, \"{number}ms\" for milliseconds")
}

/// The text without the blanks around it, if it looks like a duration.
fn trimmed(text: &str) -> Result<&str, Wrong> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Wrong::new("an empty duration", A_DURATION));
    }
    if trimmed.starts_with('-') {
        return Err(Wrong::new("a duration cannot be negative", A_DURATION));
    }
    let number = |c: char| c.is_ascii_digit() || c == '.';
    if trimmed != "0" && trimmed.chars().all(number) {
        let help = with_unit(trimmed);
        return Err(Wrong::new(format!("{text:?} has no unit"), help));
    }
    if trimmed.len() > LONGEST_TEXT {
        return Err(Wrong::new(format!("a duration of more than {LONGEST_TEXT} characters"), A_DURATION));
    }
    let parts: Vec<&str> = trimmed.split_whitespace().collect();
    // humantime takes "1 0s" for ten seconds.
    if parts.windows(2).any(|pair| pair[0].ends_with(number) && pair[1].starts_with(number)) {
        return Err(Wrong::new(format!("{text:?} is no duration"), A_DURATION));
    }
    Ok(trimmed)
}

/// `30s`, `1m30s`, `500ms`, `1.5s`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn duration(text: &str, range: DurationRange) -> Result<Duration, Wrong> {
    let too_long = || {
        let most = words(range.max);
        Wrong::new(format!("{text:?} is longer than {most}"), format!("write at most \"{most}\""))
    };
    let (whole, exact) = plain_numbers(trimmed(text)?).ok_or_else(too_long)?;
    let value = humantime::parse_duration(&exact).map_err(|error| match error {
        // Of whole units only what is far too long overflows; with a fraction it may also be finer than its unit can have.
        humantime::DurationError::NumberOverflow
            if exact.contains('.') && humantime::parse_duration(&whole).is_ok_and(|d| d <= range.max) =>
        {
            let help = "write a smaller unit, such as \"1500ms\" for 1.5 s or \"20m\" for a third of an hour";
            Wrong::new(format!("{text:?} has a fraction that is too fine"), help)
        }
        humantime::DurationError::NumberOverflow => too_long(),
        humantime::DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => {
            let sentence = format!("{text:?} is no duration: there is no unit `{unit}`");
            Wrong::new(sentence, "units are ms, s, m, h and d: \"1m30s\"")
        }
        _ => Wrong::new(format!("{text:?} is no duration"), A_DURATION),
    })?;
    if value < range.min {
        let least = words(range.min);
        return Err(Wrong::new(format!("{text:?} is too short"), format!("write at least \"{least}\"")));
    }
    if value > range.max { Err(too_long()) } else { Ok(value) }
}

/// A duration as people write it: `1m 30s` without the space.
pub fn words(duration: Duration) -> String {
    if duration == DAY { "24h".into() } else { humantime::format_duration(duration).to_string().replace(' ', "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let ms = |text: &str| duration(text, PAUSE).unwrap().as_millis();
        assert_eq!(
            (ms("30s"), ms("1m30s"), ms(" 1m 30s "), ms("500ms"), ms("1.5s"), ms("0s"), ms("0"), ms("24h"), ms("1d")),
            (30_000, 90_000, 90_000, 500, 1500, 0, 0, 86_400_000, 86_400_000)
        );
    }

    #[test]
    fn a_number_with_many_digits_is_what_it_is() {
        let exact = |text: &str| duration(text, PAUSE).unwrap();
        assert_eq!(exact("1.5000000000000000000000000000000000s"), Duration::from_millis(1500));
        assert_eq!(exact("000000000000000000000001s"), Duration::from_secs(1));
        assert_eq!(exact("0.000000001s"), Duration::from_nanos(1));
        assert_eq!(exact("86400000000000ns 0.0s"), DAY);
        assert_eq!(exact("2m 0.50s"), Duration::from_millis(120_500));
        for text in ["1.0000000000000000000000000000000001s", "1.3333333333333333333333333333s", "0.3333h", "1.5ns"] {
            assert_eq!(
                duration(text, LIMIT).unwrap_err().sentence,
                format!("{text:?} has a fraction that is too fine")
            );
        }
        let wrong = duration(&format!("{}1s", "0".repeat(64)), LIMIT).unwrap_err();
        assert_eq!(wrong.sentence, "a duration of more than 64 characters");
    }

    #[test]
    fn a_wrong_duration_says_what_to_write() {
        let wrong = |text: &str| duration(text, LIMIT).unwrap_err();
        assert_eq!(wrong("30").help, "write \"30s\" for seconds, \"30ms\" for milliseconds");
        assert!(wrong("-5s").sentence.contains("negative"));
        assert!(wrong("5 parsecs").sentence.contains("`parsecs`"));
        assert!(wrong("0s").help.contains("at least \"1ms\""));
        assert!(wrong("25h").help.contains("at most \"24h\""));
        for text in [
            "",
            " ",
            "soon",
            "s",
            "1..5s",
            "18446744073709551615s 500ms 500ms",
            "999999999999y",
            "9999999999999999999999h",
            "1s\u{e9}",
            "1 0s",
            "1. 05s",
            "1 .05s",
            "184467440 737095516 15s 500ms 500ms",
        ] {
            assert!(duration(text, LIMIT).is_err(), "{text}");
        }
        for text in
            ["9999999999999999999999h", "1000000000s", "86400000000001ns", "99999999999999.5us", "25.5h", "1e9s1y"]
        {
            let long = wrong(text).sentence;
            assert!(long.ends_with("is longer than 24h") || text.contains('e'), "{long}");
        }
        // Nine digits of everything: no sum can overflow.
        assert!(duration(&"999999999y".repeat(6), LIMIT).is_err());
        assert!(duration(&"999999999s1000ms".repeat(4), LIMIT).is_err());
    }
}
