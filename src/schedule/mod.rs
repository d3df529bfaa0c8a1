//! When a scheduled task is due: [`expression`] is a crontab's five fields, [`zone`] the clock they are read on. Pure: whoever calls says what time it is.

pub mod expression;
pub mod zone;

use expression::Expression;
use zone::{Instants, Zone};

/// Further ahead nothing is looked for: 29 February of a year that no 400 divides can be eight years away.
const HORIZON_DAYS: i64 = 9 * 366;
const DAY: i64 = 86_400;
/// A larger change of the clock is not summer time but another date (Samoa left out a day), or somebody has set it: nothing is made up for. As
/// cronie has it, in seconds.
pub const LARGEST: i64 = 3 * 3600;

/// The first time after `after` at which `expression` is due on the clock of `zone`; both in seconds since 1970, UTC. `None`: never within nine years
/// (`30 2 30 2 *`).
///
/// Clock changes are cronie's (cron(8), "Daylight Saving Time and other time changes"). What has a `*` at the beginning of its minutes or hours goes by what the
/// clock shows: nothing in an hour that is left out, and in one that comes twice both times. Anything else is meant for a time of day: one
/// that is left out is due as soon as the clock has changed, and one that comes twice the first time alone.
pub fn next(expression: &Expression, zone: &Zone, after: i64) -> Option<i64> {
    let today = (after + i64::from(zone.offset(after))).div_euclid(DAY);
    // A change of the clock may move an hour into the day before.
    for day in today - 1..today + HORIZON_DAYS {
        if !expression.has_day(Date::of(day)) {
            continue;
        }
        let of_this_day = due_on(expression, zone, day).filter(|due| *due > after).min();
        if let Some(due) = of_this_day {
            let of_the_next = due_on(expression, zone, day + 1).filter(|due| *due > after).min();
            let has_next = expression.has_day(Date::of(day + 1));
            return Some(of_the_next.filter(|_| has_next).map_or(due, |next| next.min(due)));
        }
    }
    None
}

fn due_on<'a>(expression: &'a Expression, zone: &'a Zone, day: i64) -> impl Iterator<Item = i64> + 'a {
    let midnight = day * DAY;
    // Nearly every day: nothing has to be looked up for each of its minutes.
    let steady = zone.steady(midnight, midnight + DAY);
    expression.minutes_of_day().flat_map(move |minute| {
        let time_of_day = |by: i64| !expression.by_the_clock() && by <= LARGEST;
        let shown = midnight + i64::from(minute) * 60;
        let due = match steady.map_or_else(|| zone.instants(shown), |offset| Instants::One(shown - offset)) {
            Instants::One(at) => [Some(at), None],
            Instants::Two(first, second) => [Some(first), Some(second).filter(|_| !time_of_day(second - first))],
            Instants::None { change, by } => [Some(change).filter(|_| time_of_day(by)), None],
        };
        due.into_iter().flatten()
    })
}

/// A day of the calendar that everybody has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Date {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

impl Date {
    /// Of a number of days since 1970-01-01 (<https://howardhinnant.github.io/date_algorithms.html>, `civil_from_days`).
    pub fn of(days: i64) -> Date {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let small = |n: i64| u8::try_from(n).unwrap_or(u8::MAX);
        Date {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: small(month),
            day: small(day_of_year - (153 * shifted_month + 2) / 5 + 1),
            weekday: small((days + 4).rem_euclid(7)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn zone(name: &str) -> Zone {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cronie/zones").join(name);
        Zone::read(&std::fs::read(file).unwrap()).unwrap()
    }

    /// tests/cronie/make says how the table is made.
    #[test]
    fn every_time_is_cronies_both_clock_changes_included() {
        let mut rows = 0;
        for row in include_str!("../../tests/cronie/table.tsv").lines() {
            let fields: Vec<&str> = row.split('\t').collect();
            let [name, text, start, days, times @ ..] = fields.as_slice() else { panic!("{row}") };
            rows += 1;
            let expression = match Expression::parse(text) {
                Ok(expression) => expression,
                Err(why) => {
                    assert_eq!(times, ["refused"], "{row}: {why}");
                    continue;
                }
            };
            let (zone, start): (_, i64) = (zone(name), start.parse().unwrap());
            let end = start + days.parse::<i64>().unwrap() * DAY;
            let mut at = start;
            for time in times {
                let due = next(&expression, &zone, at);
                if *time == "end" {
                    assert!(due.is_none_or(|due| due > end), "{row}\nthen {due:?}");
                } else {
                    assert_eq!(due, time.parse().ok(), "{row}\nafter {at}");
                    at = due.unwrap();
                }
            }
        }
        assert!(rows > 240, "{rows} rows");
    }

    /// cronie sees a change of the clock by its flag for summer time, which was set before and after: it goes on by the old clock.
    #[test]
    fn a_day_that_is_left_out_is_not_made_up_for() {
        let (apia, begin) = (zone("Pacific/Apia"), 1_325_116_800); // 2011-12-29 00:00 UTC, 28 December 14:00 there
        let times = |text: &str| {
            let expression = Expression::parse(text).unwrap();
            let first = next(&expression, &apia, begin).unwrap();
            [first, next(&expression, &apia, first).unwrap()].map(|at| (at - begin) / 3600)
        };
        assert_eq!(times("0 12 * * *"), [22, 46], "29 and 31 December");
        assert_eq!(times("0 12 30 * *")[0] / 24, 31, "30 January");
    }

    #[test]
    fn what_never_comes_is_said_soon() {
        assert_eq!(next(&Expression::parse("0 0 30 2 *").unwrap(), &Zone::utc(), 0), None);
    }

    #[test]
    fn days_are_the_calendars() {
        let date = |year, month, day, weekday| Date { year, month, day, weekday };
        for (days, expected) in [
            (0, date(1970, 1, 1, 4)),
            (-1, date(1969, 12, 31, 3)),
            (11_016, date(2000, 2, 29, 2)),
            (20_783, date(2026, 11, 26, 4)),
            (47_540, date(2100, 2, 28, 0)),
            (47_541, date(2100, 3, 1, 1)),
        ] {
            assert_eq!(Date::of(days), expected, "{days}");
        }
    }
}
