//! `backoff`: the delay before a restart. Pure.

use std::time::Duration;

use super::declare::table;
use super::kinds::{Limit, Round};
use super::reader::Reader;
use super::values;

/// The delay before a restart: `initial` doubling to `max`, back to `initial` after `reset` of uninterrupted running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
    pub reset: Duration,
}

impl Backoff {
    pub const INITIAL: Duration = Duration::from_secs(1);
    pub const MAX: Duration = Duration::from_secs(300);
    pub const RESET: Duration = Duration::from_secs(600);
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { initial: Backoff::INITIAL, max: Backoff::MAX, reset: Backoff::RESET }
    }
}

table! {
    pub struct BackoffKeys in "backoff" {
        /// The delay before the first restart; it doubles with each further one.
        initial: Round { examples: &["\"1s\"", "\"10ms\""] } = Backoff::INITIAL;
        /// The longest delay.
        max: Round { words: "duration, not less than `initial`", examples: &["\"5m\"", "\"1h\""] } = Backoff::MAX;
        /// After so long without an end the delay is `initial` again.
        reset: Limit { examples: &["\"10m\""] } = Backoff::RESET;
    }
}

pub fn backoff(reader: &mut Reader<'_>, keys: &BackoffKeys<'_>) -> Backoff {
    let initial = keys.initial.read(reader).unwrap_or(BackoffKeys::initial);
    let max = keys.max.read(reader);
    let reset = keys.reset.read(reader).unwrap_or(BackoffKeys::reset);
    if let (Some(max), Some(f)) = (max, &keys.max.field)
        && max < initial
    {
        reader.error(
            &f.span(),
            format!("`max` is less than `initial`, which is {}", values::words(initial)),
            "raise `max` or lower `initial`",
        );
    }
    Backoff { initial, max: max.unwrap_or(BackoffKeys::max.max(initial)), reset }
}
