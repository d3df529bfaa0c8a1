//! A crontab's five fields as sets of bits, by cronie's rules (crontab(5)). Pure.

use std::fmt;

use super::Date;

/// `MINUTE HOUR DAY-OF-MONTH MONTH DAY-OF-WEEK`, or one of the words with an `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// 0 is Sunday.
    weekdays: u64,
    /// Minutes or hours begin with `*`.
    by_the_clock: bool,
    /// Days of the month, or of the week, begin with `*`: both must hold. Else one is enough.
    both: bool,
}

struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    /// The first is `least`.
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Field = Field { name: "day of the month", least: 1, most: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// 7 is Sunday, too.
const WEEKDAY: Field =
    Field { name: "day of the week", least: 0, most: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// What the words with an `@` stand for.
const WORDS: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Expression {
    /// # Errors
    /// What is wrong with it, in one line, and what to write instead.
    pub fn parse(text: &str) -> Result<Expression, String> {
        let trimmed = text.trim();
        if trimmed == "@reboot" {
            return Err("@reboot is no time: a task without `schedule` runs once, at the start".to_string());
        }
        let fields = match WORDS.iter().find(|(word, _)| trimmed.eq_ignore_ascii_case(word)) {
            Some((_, fields)) => fields,
            None if trimmed.starts_with('@') => {
                let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
                return Err(format!("unknown word {trimmed:?}: write five fields, or one of {}", words.join(", ")));
            }
            None => trimmed,
        };
        let parts: Vec<&str> = fields.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = parts.as_slice() else {
            let more = if parts.len() == 6 { " (seconds and years are not in it)" } else { "" };
            return Err(format!(
                "{} fields where five are expected{more}: minute, hour, day of the month, month, day of the week",
                parts.len()
            ));
        };
        let mut weekdays = WEEKDAY.set(weekday)?;
        if weekdays & (1 << 7) != 0 {
            weekdays = weekdays & !(1 << 7) | 1;
        }
        let expression = Expression {
            text: trimmed.to_owned(),
            minutes: MINUTE.set(minute)?,
            hours: HOUR.set(hour)?,
            days: DAY.set(day)?,
            months: MONTH.set(month)?,
            weekdays,
            by_the_clock: minute.starts_with('*') || hour.starts_with('*'),
            both: day.starts_with('*') || weekday.starts_with('*'),
        };
        Ok(expression)
    }

    pub(super) fn by_the_clock(&self) -> bool {
        self.by_the_clock
    }

    pub(super) fn has_day(&self, date: Date) -> bool {
        let (day, weekday) = (has(self.days, date.day), has(self.weekdays, date.weekday));
        has(self.months, date.month) && if self.both { day && weekday } else { day || weekday }
    }

    /// Since midnight by the clock, in order.
    pub(super) fn minutes_of_day(&self) -> impl Iterator<Item = u16> + '_ {
        let hours = (0..24u8).filter(|hour| has(self.hours, *hour));
        hours.flat_map(move |hour| {
            let minutes = (0..60u8).filter(|minute| has(self.minutes, *minute));
            minutes.map(move |minute| u16::from(hour) * 60 + u16::from(minute))
        })
    }
}

/// As it was written.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn has(set: u64, number: u8) -> bool {
    set & (1 << number) != 0
}

impl Field {
    fn set(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |set, part| Ok(set | self.range(part, text)?))
    }

    /// `*`, `5`, `mon`, `1-5`, each with `/2` behind it.
    fn range(&self, part: &str, whole: &str) -> Result<u64, String> {
        let wrong = |why: &str| format!("{}: {why} in {whole:?}", self.name);
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step = match step.map(str::parse::<u8>) {
            None => 1,
            Some(Ok(step)) if step > 0 => usize::from(step),
            Some(_) => return Err(wrong("a step is a number from 1")),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.least, if self.most == 7 { 6 } else { self.most }),
            Some((from, to)) => (self.number(from, whole)?, self.number(to, whole)?),
            None if part.contains('/') => {
                return Err(wrong(&format!("a step needs a range, such as {range}-{}/{step}", self.most)));
            }
            None => (self.number(range, whole)?, self.number(range, whole)?),
        };
        if from > to {
            return Err(wrong(&format!("the range {range} goes backwards")));
        }
        Ok((from..=to).step_by(step).fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str, whole: &str) -> Result<u8, String> {
        let (least, most) = (self.least, self.most);
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|name| *name == lower) {
            return Ok(least + u8::try_from(at).unwrap_or_default());
        }
        if matches!(lower.as_str(), "l" | "w" | "?" | "#") || lower.ends_with(['l', 'w']) && lower.len() <= 3 {
            return Err(format!("{}: {text:?} is Quartz's, which crontabs do not have", self.name));
        }
        let number = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse::<u8>().ok() } else { None };
        number.filter(|n| (least..=most).contains(n)).ok_or_else(|| {
            let names = if self.names.is_empty() { String::new() } else { format!(", or {} …", self.names[0]) };
            format!("{}: {text:?} in {whole:?} is not {least} to {most}{names}", self.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(text: &str) -> Vec<u8> {
        let set = MINUTE.set(text).unwrap();
        (0..60).filter(|n| has(set, *n)).collect()
    }

    #[test]
    fn fields_are_read_as_cronie_reads_them() {
        assert_eq!(minutes("*/15"), [0, 15, 30, 45]);
        assert_eq!(minutes("1-9/4,30"), [1, 5, 9, 30]);
        assert_eq!(minutes("7"), [7]);
        assert_eq!(MONTH.set("Jan,MAR-may").unwrap(), 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5);
        assert_eq!(Expression::parse("0 0 * * 7").unwrap().weekdays, 1);
        assert_eq!(Expression::parse("0 0 * * fri-7").unwrap().weekdays, 1 << 5 | 1 << 6 | 1);
        assert_eq!(Expression::parse("@daily").unwrap().minutes_of_day().collect::<Vec<_>>(), [0]);
        assert_eq!(Expression::parse(" 30  4 * * * ").unwrap().minutes_of_day().collect::<Vec<_>>(), [4 * 60 + 30]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        for (text, said) in [
            ("", "0 fields where five are expected"),
            ("* * * * * *", "6 fields where five are expected (seconds and years are not in it)"),
            ("60 * * * *", "minute: \"60\" in \"60\" is not 0 to 59"),
            ("* 5-2 * * *", "hour: the range 5-2 goes backwards in \"5-2\""),
            ("* * 0 * *", "day of the month: \"0\" in \"0\" is not 1 to 31"),
            ("* * L * *", "day of the month: \"L\" is Quartz's, which crontabs do not have"),
            ("* * * foo *", "month: \"foo\" in \"foo\" is not 1 to 12, or jan …"),
            ("* * * * 8", "day of the week: \"8\" in \"8\" is not 0 to 7, or sun …"),
            ("*/0 * * * *", "minute: a step is a number from 1 in \"*/0\""),
            ("1,,2 * * * *", "minute: \"\" in \"1,,2\" is not 0 to 59"),
            ("5/20 * * * *", "minute: a step needs a range, such as 5-59/20 in \"5/20\""),
            ("5~9 * * * *", "minute: \"5~9\" in \"5~9\" is not 0 to 59"),
            ("+5 * * * *", "minute: \"+5\" in \"+5\" is not 0 to 59"),
            ("@reboot", "@reboot is no time"),
            ("@often", "unknown word \"@often\""),
        ] {
            let why = Expression::parse(text).unwrap_err();
            assert!(why.starts_with(said), "{text:?}: {why}");
        }
    }

    #[test]
    fn days_are_either_or_unless_one_begins_with_a_star() {
        let has = |text: &str, days: i64| Expression::parse(text).unwrap().has_day(Date::of(days));
        // 1970-01-01 was a Thursday.
        let (thursday_first, friday_second, thursday_8th) = (0, 1, 7);
        assert!(has("0 0 1 * fri", thursday_first) && has("0 0 1 * fri", friday_second));
        assert!(!has("0 0 1 * fri", thursday_8th));
        assert!(has("0 0 */2 * thu", thursday_first) && !has("0 0 */2 * thu", thursday_8th), "both");
        assert!(!has("0 0 2 * *", thursday_first) && has("0 0 2 * *", friday_second));
    }
}
