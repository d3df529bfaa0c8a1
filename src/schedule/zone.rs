//! A time zone: how far its clock is ahead of UTC, and when that changes. Pure; whoever reads the file is elsewhere.

use std::path::PathBuf;

use tz::TimeZone;

/// Where the files of zones are (tzset(3)).
const FOLDER: &str = "/usr/share/zoneinfo";
/// No zone has changed its clock by more, in seconds.
const MOST: i64 = 26 * 3600;

#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// When a clock shows a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instants {
    One(i64),
    /// The clock was set back over it.
    Two(i64, i64),
    /// The clock was set forward over it at `change`, by so many seconds.
    None {
        change: i64,
        by: i64,
    },
}

/// The file of a zone, such as `Europe/Berlin`.
///
/// # Errors
/// It is no name of a zone.
pub fn file(name: &str) -> Result<PathBuf, String> {
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
            && !part.starts_with('-')
    };
    if name.len() <= 64 && name.split('/').all(plain) {
        Ok(PathBuf::from(FOLDER).join(name))
    } else {
        Err(format!("{name:?} is no time zone: write one such as \"Europe/Berlin\", or \"UTC\""))
    }
}

impl Zone {
    pub fn utc() -> Zone {
        Zone(TimeZone::utc())
    }

    /// Of what is in its file (RFC 9636).
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &[u8]) -> Result<Zone, String> {
        TimeZone::from_tz_data(bytes).map(Zone).map_err(|e| e.to_string())
    }

    /// Seconds that its clock is ahead of UTC.
    pub fn offset(&self, at: i64) -> i32 {
        // An error is a time that its rules do not reach: further than any schedule looks.
        self.0.find_local_time_type(at).map_or(0, |local| local.ut_offset())
    }

    /// The time of day that its clock shows: `14:05:09`.
    pub fn time_of_day(&self, at: i64) -> String {
        let seconds = at.saturating_add(i64::from(self.offset(at))).rem_euclid(24 * 3600);
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// How far it is ahead whenever it shows something from `from` to `to`; `None`: it changes around then.
    pub fn steady(&self, from: i64, to: i64) -> Option<i64> {
        let [before, after] = [from - MOST, to + MOST].map(|at| i64::from(self.offset(at)));
        (before == after).then_some(before)
    }

    /// When the clock shows `shown`, which is a time of it as if it were UTC.
    pub fn instants(&self, shown: i64) -> Instants {
        let [before, after] = [-MOST, MOST].map(|away| i64::from(self.offset(shown + away)));
        let [with_before, with_after] = [before, after].map(|offset| shown - offset);
        let holds = |at: i64| at + i64::from(self.offset(at)) == shown;
        match (holds(with_before), holds(with_after)) {
            (true, true) if with_before == with_after => Instants::One(with_before),
            (true, true) => Instants::Two(with_before.min(with_after), with_before.max(with_after)),
            (true, false) => Instants::One(with_before),
            (false, true) => Instants::One(with_after),
            (false, false) => {
                Instants::None { change: self.change(shown - MOST, shown + MOST, shown), by: (after - before).abs() }
            }
        }
    }

    /// The first instant between the two whose clock shows more than `shown`.
    fn change(&self, mut least: i64, mut most: i64, shown: i64) -> i64 {
        while most - least > 1 {
            let middle = least + (most - least) / 2;
            if middle + i64::from(self.offset(middle)) > shown { most = middle } else { least = middle }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_the_one_on_the_wall() {
        for (at, shown) in [(0, "00:00:00"), (86_399, "23:59:59"), (-1, "23:59:59"), (1_795_700_000, "13:33:20")] {
            assert_eq!(Zone::utc().time_of_day(at), shown);
        }
    }
}
