//! `[stragglers]` and `[process.stragglers]`. Pure.

use super::reader::{Field, Reader};
use super::{keys, ladder, values};
use crate::config::Stragglers;

pub fn stragglers(reader: &mut Reader<'_>, field: &Field<'_>) -> Stragglers {
    let example = "write stragglers = { wait = \"20s\", signal = \"SIGTERM\" }";
    let Some(table) = reader.table(field, &keys::STRAGGLERS, example) else { return Stragglers::default() };
    let mut duration = |key: &str, range| table.get(key).and_then(|f| reader.duration(&f, range));
    let wait = duration("wait", values::PAUSE);
    let (timeout, timeout_when_ended) =
        (duration("timeout", values::PAUSE), duration("timeout_when_ended", values::PAUSE));
    let signal = table.get("signal").and_then(|f| ladder::stop_signal(reader, &f));
    Stragglers { wait, signal, timeout, timeout_when_ended }
}
