//! `backoff`: the delay before a restart. Pure.

use std::time::Duration;

use super::declare::table;
use super::kinds::{Limit, Round, strings};
use super::reader::Reader;
use super::values;

/// The delay before a restart: `initial` doubling to `max`, back to `initial` after `reset` of uninterrupted running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
    pub reset: Duration,
    /// Each delay is longer by a random part of it, up to so many hundredths. At most 100.
    pub jitter: u32,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { initial: BackoffKeys::initial, max: BackoffKeys::max, reset: BackoffKeys::reset, jitter: 0 }
    }
}

table! {
    pub struct BackoffKeys in "backoff" {
        /// The delay before the first restart; it doubles with each further one.
        initial: Round { examples: &["\"1s\"", "\"10ms\""] } = Duration::from_secs(1);
        /// The longest delay.
        max: Round { words: "duration, not less than `initial`", examples: &["\"5m\"", "\"1h\""] } = Duration::from_secs(300);
        /// After so long without an end the delay is `initial` again.
        reset: Limit { examples: &["\"10m\""] } = Duration::from_secs(600);
        /// Each delay is longer by a random part of it, up to this, so that what fails together does not come back together.
        jitter: Percent = "0%";
    }
}

strings! {
    Percent u32, "percentage, at most 100%", r"\s*[0-9]{1,3}\s*%\s*", ["\"10%\"", "\"0%\"", "\"100 %\""],
        |reader, field, _| reader.parsed(field, "write a part of the delay, such as \"10%\"", values::percent);
}

pub fn backoff(reader: &mut Reader<'_>, keys: &BackoffKeys<'_>) -> Backoff {
    let initial = keys.initial.read(reader).unwrap_or(BackoffKeys::initial);
    let max = keys.max.read(reader);
    let reset = keys.reset.read(reader).unwrap_or(BackoffKeys::reset);
    if let Some(span) = keys.max.span().filter(|_| max.is_some_and(|max| max < initial)) {
        let sentence = format!("`max` is less than `initial`, which is {}", values::words(initial));
        reader.error(&span, sentence, "raise `max` or lower `initial`");
    }
    let jitter = keys.jitter.read(reader).unwrap_or_default();
    Backoff { initial, max: max.unwrap_or(BackoffKeys::max.max(initial)), reset, jitter }
}
