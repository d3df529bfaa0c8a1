//! The core's own time: microseconds since softstop started. Unlike `std::time::Instant` it can be written in a test,
//! stored in a report and compared across runs; only the runtime turns a clock into it. Pure.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::Serializer;

/// A point in time, in microseconds since softstop started (CLOCK_MONOTONIC underneath, so clock steps do not move it).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct At(u64);

impl At {
    pub const ZERO: At = At(0);
    /// Later than anything.
    pub const NEVER: At = At(u64::MAX);

    pub const fn from_micros(micros: u64) -> At {
        At(micros)
    }

    pub const fn from_millis(millis: u64) -> At {
        At(millis.saturating_mul(1000))
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    pub fn since_start(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: At) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// So much later, as far as there is room until `most`; never earlier than it was.
    pub fn later(self, by: Duration, most: At) -> At {
        (self + by).min(most).max(self)
    }

    /// How long it is from `now` until this point; zero when it has passed.
    pub fn left(self, now: At) -> Duration {
        self.since(now)
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

impl Add<Duration> for At {
    type Output = At;

    /// Saturates: a duration near the end of time means "never", not an overflow.
    fn add(self, d: Duration) -> At {
        At(self.0.saturating_add(micros(d)))
    }
}

impl Sub<Duration> for At {
    type Output = At;

    fn sub(self, d: Duration) -> At {
        At(self.0.saturating_sub(micros(d)))
    }
}

/// In JSON: seconds with millisecond precision, `7.412`.
///
/// # Errors
/// The serializer's own.
pub fn seconds<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64((d.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// A duration as log lines show it: `0.4ms`, `35ms`, `7.4s`, `2m05s`, `1h02m`.
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let s = self.0.as_secs();
        match ms {
            0 => write!(f, "{:.1}ms", self.0.as_secs_f64() * 1000.0),
            1..=999 => write!(f, "{ms}ms"),
            1_000..=59_949 => write!(f, "{:.1}s", self.0.as_secs_f64()),
            59_950..=3_599_999 => write!(f, "{}m{:02}s", s.max(60) / 60, s.max(60) % 60),
            _ => write!(f, "{}h{:02}m", s / 3600, s % 3600 / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_at_every_scale() {
        let show = |ms: u64| Human(Duration::from_millis(ms)).to_string();
        assert_eq!(Human(Duration::from_micros(400)).to_string(), "0.4ms");
        assert_eq!(show(35), "35ms");
        assert_eq!(show(7_400), "7.4s");
        assert_eq!(show(59_949), "59.9s");
        assert_eq!(show(59_990), "1m00s");
        assert_eq!(show(125_000), "2m05s");
        assert_eq!(show(3_720_000), "1h02m");
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(At::from_millis(5).since(At::from_millis(9)), Duration::ZERO);
        assert_eq!(At::from_micros(u64::MAX) + Duration::from_secs(1), At::from_micros(u64::MAX));
        assert_eq!(At::ZERO - Duration::from_secs(1), At::ZERO);
    }
}
