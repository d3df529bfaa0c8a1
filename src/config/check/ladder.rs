//! `stop`: the ladder of signals that ends a process, and `diagnose`: the signal before SIGKILL. Pure.

use super::keys;
use super::reader::{Field, Reader};
use super::values::{self, Wrong};
use crate::config::{DEFAULT_DIAGNOSE_WAIT, Diagnose, Rung};
use crate::signal::Signal;

/// `"SIGQUIT"`, or `[ { signal = "SIGQUIT", wait = "20s" }, "SIGTERM" ]`.
pub fn ladder(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Rung> {
    let example = "write stop = [ { signal = \"SIGQUIT\", wait = \"20s\" }, \"SIGTERM\" ]";
    let rungs = field.elements().unwrap_or_else(|| vec![field.clone()]);
    if rungs.is_empty() {
        reader.error(&field.span(), "`stop` is empty", "leave it out for SIGTERM, or write stop = \"SIGQUIT\"");
    }
    for endless in rungs.iter().rev().skip(1).filter(|e| e.value.get_ref().get("wait").is_none()) {
        let sentence = "the next signal never comes: this one waits for all the time there is";
        reader.error(&endless.span(), sentence, "give it a `wait`: { signal = \"SIGQUIT\", wait = \"10s\" }");
    }
    rungs.iter().filter_map(|element| rung(reader, element, example)).collect()
}

fn rung(reader: &mut Reader<'_>, element: &Field<'_>, example: &str) -> Option<Rung> {
    if element.value.get_ref().is_str() {
        return stop_signal(reader, element).map(|signal| Rung { signal, wait: None });
    }
    let table = reader.table(element, &keys::RUNG, example)?;
    let wait = table.get("wait").and_then(|f| reader.duration(&f, values::PAUSE));
    let Some(signal) = table.get("signal") else {
        reader.missing(&table, &["signal"], "this step of `stop` has no signal", example);
        return None;
    };
    stop_signal(reader, &signal).map(|signal| Rung { signal, wait })
}

/// `"SIGQUIT"`, or `{ signal = "SIGQUIT", wait = "1s" }`.
pub fn diagnose(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Diagnose> {
    let example = "write diagnose = { signal = \"SIGQUIT\", wait = \"1s\" }";
    if field.value.get_ref().is_str() {
        return dump_signal(reader, field).map(|signal| Diagnose { signal, wait: DEFAULT_DIAGNOSE_WAIT });
    }
    let table = reader.table(field, &keys::DIAGNOSE, example)?;
    let wait = table.get("wait").and_then(|f| reader.duration(&f, values::LIMIT)).unwrap_or(DEFAULT_DIAGNOSE_WAIT);
    let Some(signal) = table.get("signal") else {
        reader.missing(&table, &["signal"], "`diagnose` has no signal", example);
        return None;
    };
    dump_signal(reader, &signal).map(|signal| Diagnose { signal, wait })
}

fn dump_signal(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Signal> {
    let signal = reader.signal(field)?;
    allowed(reader, field, values::dump_signal(signal))
}

pub fn stop_signal(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Signal> {
    let signal = reader.signal(field)?;
    allowed(reader, field, values::ladder_signal(signal))
}

fn allowed(reader: &mut Reader<'_>, field: &Field<'_>, signal: Result<Signal, Wrong>) -> Option<Signal> {
    match signal {
        Ok(signal) => Some(signal),
        Err(wrong) => {
            reader.error(&field.span(), wrong.sentence, wrong.help);
            None
        }
    }
}
