//! `stop_on`: which signals ask for a stop. Pure.

use super::declare::Shape;
use super::kinds::{AnySignal, Kind, kind};
use super::reader::{Field, Reader};
use super::values;
use crate::programs::Program;
use crate::signal::Signal;

/// Which signals ask for a stop.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub enum StopOn {
    /// What is customary: SIGTERM and SIGINT, and from outside the container SIGQUIT and the main program's own stop signal.
    /// `lifecycle::signals` has the table.
    #[default]
    Customary,
    /// Just these, whoever sends them.
    Only(Vec<Signal>),
}

impl StopOn {
    /// Whether it asks for a stop when whoever runs the container sends it; `program`: the main process's, if it is a known one.
    pub fn asks_from_outside(&self, signal: Signal, program: Option<&Program>) -> bool {
        match self {
            StopOn::Only(list) => list.contains(&signal),
            StopOn::Customary => match signal {
                Signal::TERM | Signal::INT => true,
                _ if program.is_some_and(|p| p.stop == signal) => true,
                Signal::QUIT => program.is_none_or(|p| p.dumps_on != Some(signal)),
                _ => false,
            },
        }
    }

    /// Those that ask for a stop before there is a main program, whose own stop signal would count, too.
    pub fn before_the_start(&self, signal: Signal) -> bool {
        match self {
            StopOn::Customary => [Signal::TERM, Signal::INT, Signal::QUIT].contains(&signal),
            StopOn::Only(list) => list.contains(&signal),
        }
    }
}

kind! {
    /// Signals that ask for a stop: one, or several.
    StopSignals: Vec<Signal> = read_stop_signals, &Shape::Any(&[AnySignal::SHAPE, &Shape::Array(AnySignal::SHAPE)])
}

fn read_stop_signals(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<Signal>> {
    let example = "write stop_on = [\"SIGTERM\", \"SIGINT\", \"SIGQUIT\"]";
    let one = field.value.get_ref().is_str().then(|| vec![field.clone()]);
    let elements = one.or(field.elements()).filter(|elements| !elements.is_empty());
    let Some(elements) = elements else {
        let empty = field.value.get_ref().is_array();
        let why = if empty { "is empty: no signal could stop the container" } else { "must be an array of signals" };
        reader.error(&field.span(), format!("`stop_on` {why}"), example);
        return None;
    };
    let mut list = Vec::with_capacity(elements.len());
    for element in &elements {
        let Some(signal) = AnySignal::read(reader, element, "") else { continue };
        let Some(signal) = reader.allowed(&element.span(), values::stop_request(signal)) else { continue };
        if list.contains(&signal) {
            reader.warn(&element.span(), format!("{signal} is listed twice"), "leave one of them out");
        } else {
            list.push(signal);
        }
    }
    Some(list)
}
