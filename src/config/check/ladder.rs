//! `stop`: the ladder of signals that ends a process, and `diagnose`: the signal before SIGKILL. Pure.

use std::time::Duration;

use super::declare::{Declared, Shape, table};
use super::kinds::{DumpSignal, Kind, Limit, Pause, Shaped, StopSignal, kind};
use super::reader::{Field, Reader};
use super::values::{self, Wrong};
use crate::nearest::nearest;
use crate::programs::{self, Preset, Program};
use crate::signal::Signal;

/// One rung of a stop ladder: send `signal`, wait up to `wait`, go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rung {
    pub signal: Signal,
    /// `None`: all the time there is.
    pub wait: Option<Duration>,
}

impl Rung {
    /// A preset's; `time`: from the stop request to the kill.
    pub fn of_preset(preset: &Preset, time: Duration) -> Vec<Rung> {
        let wait = |percent: u32| time.saturating_mul(percent) / 100;
        preset.ladder.iter().map(|step| Rung { signal: step.signal, wait: step.percent.map(wait) }).collect()
    }
}

table! {
    pub struct RungKeys in "stop" {
        /// What is sent.
        signal: StopSignal { required: true };
        /// How long before the next one. Needed in all but the last.
        wait: Pause { unset: "all the time there is", examples: &["\"1s\""] };
    }
}

/// What `stop` says.
pub enum Stop {
    Ladder(Vec<Rung>),
    /// As this program is stopped.
    Preset(&'static Program, &'static Preset),
}

impl Stop {
    pub fn preset(&self) -> Option<(&'static Program, &'static Preset)> {
        match self {
            Stop::Ladder(_) => None,
            Stop::Preset(program, preset) => Some((program, preset)),
        }
    }

    /// `time`: from the stop request to the kill.
    pub fn rungs(self, time: Duration) -> Vec<Rung> {
        match self {
            Stop::Ladder(rungs) => rungs,
            Stop::Preset(_, preset) => Rung::of_preset(preset, time),
        }
    }
}

const RUNG: &Shape = &Shape::Any(&[StopSignal::SHAPE, &Shape::Table(RungKeys::DESCRIBED)]);

kind! {
    /// `"nginx"`, `"SIGQUIT"`, or `[ { signal = "SIGQUIT", wait = "20s" }, "SIGTERM" ]`.
    Ladder: Stop = read_ladder, &Shape::Any(&[
        &Shape::Words(programs::presets),
        StopSignal::SHAPE,
        &Shape::Table(RungKeys::DESCRIBED),
        &Shape::Array(RUNG),
    ])
}

fn read_ladder(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Stop> {
    if field.value.get_ref().is_str() {
        return reader.parsed(field, "", stop_word);
    }
    let rungs = field.elements().unwrap_or_else(|| vec![field.clone()]);
    if rungs.is_empty() {
        reader.error(&field.span(), "`stop` is empty", "leave it out for SIGTERM, or write stop = \"SIGQUIT\"");
    }
    let names_program = |e: &Field<'_>| e.value.get_ref().as_str().is_some_and(|word| programs::preset(word).is_some());
    let endless = |e: &&Field<'_>| e.value.get_ref().get("wait").is_none() && !names_program(e);
    for endless in rungs.iter().rev().skip(1).filter(endless) {
        let sentence = "the next signal never comes: this one waits for all the time there is";
        reader.error(&endless.span(), sentence, "give it a `wait`: { signal = \"SIGQUIT\", wait = \"10s\" }");
    }
    Some(Stop::Ladder(rungs.iter().filter_map(|element| rung(reader, element, help)).collect()))
}

/// `"nginx"`, `"SIGQUIT"`.
///
/// # Errors
/// Neither; the nearest.
pub fn stop_word(text: &str) -> Result<Stop, Wrong> {
    if let Some((program, preset)) = programs::preset(text.trim()) {
        return Ok(Stop::Preset(program, preset));
    }
    match (Signal::parse(text), nearest(text.trim(), programs::presets().iter().copied())) {
        (Ok(signal), _) => Ok(Stop::Ladder(vec![Rung { signal: values::ladder_signal(signal)?, wait: None }])),
        (Err(_), Some(near)) => {
            let sentence = format!("{text:?} is no signal, and no program whose stop is known");
            Err(Wrong::new(sentence, format!("did you mean \"{near}\"?")))
        }
        (Err(sentence), None) => Err(Wrong::new(sentence, values::A_SIGNAL)),
    }
}

fn rung(reader: &mut Reader<'_>, element: &Field<'_>, example: &str) -> Option<Rung> {
    if let Some(word) = element.value.get_ref().as_str() {
        if programs::preset(word).is_some() {
            let help = format!("write stop = \"{word}\", without brackets");
            reader.error(&element.span(), "the name of a program among the steps of `stop`: it stands alone", help);
            return None;
        }
        return StopSignal::read(reader, element, "").map(|signal| Rung { signal, wait: None });
    }
    let keys = reader.table::<RungKeys<'_>>(element, example)?;
    let wait = keys.wait.read(reader);
    let signal = keys.signal.needed(reader, &keys.table, "this step of `stop` has no signal", example);
    signal.map(|signal| Rung { signal, wait })
}

/// The signal upon which a program writes what its threads are doing (SIGQUIT to a JVM or a Go program), and how long that may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Diagnose {
    pub signal: Signal,
    /// Out of the process's own slice; more than zero.
    pub wait: Duration,
}

/// Enough for the thread dump of a JVM with a thousand threads.
pub const DEFAULT_DIAGNOSE_WAIT: Duration = Duration::from_secs(1);

table! {
    pub struct DiagnoseKeys in "diagnose" {
        /// What is sent, to whom `signal_to` says. Not SIGKILL, SIGSTOP or SIGCONT.
        signal: DumpSignal { required: true };
        /// How long it has to write. Out of the process's own time slice: its stop asks for the ladder's waits and this. Where that does not
        /// fit, or the ladder waits for all the time there is, no more than a quarter of the slice.
        wait: Limit { examples: &["\"1s\""] } = DEFAULT_DIAGNOSE_WAIT;
    }
}

kind! {
    /// `"SIGQUIT"`, or `{ signal = "SIGQUIT", wait = "1s" }`.
    Dump: Diagnose = read_dump, &Shape::Any(&[DumpSignal::SHAPE, &Shape::Table(DiagnoseKeys::DESCRIBED)])
}

fn read_dump(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Diagnose> {
    if field.value.get_ref().is_str() {
        return DumpSignal::read(reader, field, "").map(|signal| Diagnose { signal, wait: DEFAULT_DIAGNOSE_WAIT });
    }
    let keys = reader.table::<DiagnoseKeys<'_>>(field, help)?;
    let wait = keys.wait.read(reader).unwrap_or(DEFAULT_DIAGNOSE_WAIT);
    let signal = keys.signal.needed(reader, &keys.table, "`diagnose` has no signal", help);
    signal.map(|signal| Diagnose { signal, wait })
}
