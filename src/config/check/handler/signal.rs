//! `signal = "SIGUSR1"` to the process whose hook it is, `{ process = "web", signal = "SIGUSR1" }`, or, to processes that others have
//! started, `{ command = "nginx", signal = "SIGQUIT" }`. Pure.

use super::super::declare::{Declared, Shape, table};
use super::super::kinds::{AnySignal, Kind, ProgramName, Shaped, Text};
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::{Handler, beside, process};
use crate::config::place::Place;
use crate::signal::Signal;

table! {
    pub struct SignalKeys in "signal" {
        /// Who gets it.
        process: Text { unset: "the process whose hook it is; in `drain` this or `command`", help: FULL, examples: &["\"web\""] };
        /// Instead: the processes of that name, [whoever started them](configuration/waits.md#wait_process). The outermost get it: of nginx the master, not its
        /// workers.
        command: ProgramName { unset: "none", help: "write a program's name, such as \"nginx\"" };
        /// Not SIGKILL or SIGSTOP.
        signal: AnySignal { required: true };
    }
}

const FULL: &str = "write signal = { process = \"web\", signal = \"SIGUSR1\" }";

/// A signal, or a table that says to whom.
pub struct SignalOrTable;

impl Shaped for SignalOrTable {
    const SHAPE: &'static Shape = &Shape::Any(&[AnySignal::SHAPE, &Shape::Table(SignalKeys::DESCRIBED)]);
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, site: Option<&Site<'_>>) -> Option<Handler> {
    let site = site?;
    if field.value.get_ref().is_str() {
        process_runs(reader, field, site.place)?;
        let signal = harmless(reader, field);
        if site.owner.is_none() {
            reader.error(&field.span(), "`signal` does not say to which process", FULL);
        }
        return Some(Handler::Signal { process: site.owner?, signal: signal? });
    }
    let keys = reader.table::<SignalKeys<'_>>(field, FULL)?;
    if let (Some(command), Some(process)) = (&keys.command.field, &keys.process.field) {
        let help = "keep `process` for one of this file, `command` for one that others have started";
        beside(reader, command, process, "", help);
        return None;
    }
    let command = keys.command.is_given().then(|| keys.command.read(reader));
    let process = match (&command, &keys.process.field, site.owner) {
        (Some(_), ..) => None,
        (None, Some(f), _) => {
            process_runs(reader, field, site.place)?;
            keys.process.read(reader).and_then(|name| process(reader, &f.span(), &name, site.names))
        }
        (None, None, Some(owner)) => Some(owner),
        (None, None, None) => {
            process_runs(reader, field, site.place)?;
            reader.missing(&keys.table, &["process", "command"], "`signal` does not say to which process", FULL);
            None
        }
    };
    keys.signal.expected(reader, &keys.table, "`signal` does not say which one", FULL);
    let signal = harmless(reader, keys.signal.field.as_ref()?);
    match command {
        Some(command) => Some(Handler::SignalCommand { command: command?, signal: signal? }),
        None => Some(Handler::Signal { process: process?, signal: signal? }),
    }
}

fn process_runs(reader: &mut Reader<'_>, field: &Field<'_>, place: Place) -> Option<()> {
    let (sentence, help) = match place {
        Place::Init => ("`signal` in [[init]]: no process runs yet", "write it as the process's `post_start`"),
        Place::PostStop => (
            "`signal` in [[post_stop]]: every process has ended",
            "write it as a `[[drain]]` step or the process's `pre_stop`",
        ),
        _ => return Some(()),
    };
    reader.error(&field.key, sentence, help);
    None
}

/// SIGKILL and SIGSTOP are softstop's own business: the one ends what a stop leaves, the other would hold it up.
fn harmless(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Signal> {
    let signal = AnySignal::read(reader, field, "")?;
    if [Signal::KILL, Signal::STOP].contains(&signal) {
        let help = "write a signal that the process can catch; SIGKILL follows when its `stop` ladder ends";
        reader.error(&field.span(), format!("{signal} cannot be sent by a task"), help);
        return None;
    }
    Some(signal)
}
