//! `backoff`: the delay before a restart. Pure.

use super::declare::table;
use super::kinds::{Limit, Round};
use super::reader::Reader;
use super::values;
use crate::config::Backoff;

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
