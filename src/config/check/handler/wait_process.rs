//! `wait_process`: for a process of the file, or for those of a name. Pure.

use serde::{Deserialize, Serialize};

use super::super::declare::{Shape, table};
use super::super::kinds::{ProgramName, Shaped, Text, Word};
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::{Handler, beside, process};
use crate::config::place::Place;

/// When a process of the configuration is what is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// It does not run.
    Ended,
    /// As `after = { x = "ready" }` has it.
    Ready,
}

/// When processes that are found by their command are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// There is none.
    Ended,
    /// There is at least one.
    Running,
}

table! {
    pub struct WaitProcessKeys in "wait_process" one of (&["name", "command"]) {
        /// A process of this file. Not in `init` and `post_stop`, where none runs.
        name: Text { unset: "this or `command` is required", help: EXAMPLE, examples: &["\"web\""] };
        /// Processes of that name, whoever started them: in a pod with `shareProcessNamespace` those of other containers.
        command: ProgramName { help: "write a program's name, such as \"nginx\"" };
        /// `ended`: it does not run. `ready`, with `name`: as in `after`. `running`, with `command`: there is one.
        until: UntilOrFound { unset: "`\"ended\"`", examples: &["\"ended\""], words: "`\"ended\"`, `\"ready\"`, `\"running\"`" };
    }
}

const EXAMPLE: &str = "write wait_process = { name = \"worker\" }";

/// [`Until`] for a process of the file, [`Found`] for others.
pub struct UntilOrFound;

impl Shaped for UntilOrFound {
    const SHAPE: &'static Shape = &Shape::Any(&[Word::<Until>::SHAPE, Word::<Found>::SHAPE]);
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, site: Option<&Site<'_>>) -> Option<Handler> {
    let site = site?;
    let keys = reader.table::<WaitProcessKeys<'_>>(field, EXAMPLE)?;
    let until = &keys.until.field;
    match (&keys.name.field, &keys.command.field) {
        (Some(f), None) => {
            no_process_here(reader, f, site.place)?;
            let name = keys.name.read(reader)?;
            let process = process(reader, &f.span(), &name, site.names);
            let until = until.as_ref().map_or(Some(Until::Ended), |f| reader.word(f));
            let (process, until) = (process?, until?);
            if site.owner == Some(process) {
                reader.error(&f.span(), format!("{name:?} waits for itself"), "name another process");
                return None;
            }
            if let (Until::Ready, true, Some(until)) = (until, site.names.tasks[process], &keys.until.field) {
                let sentence = format!("{name:?} is a task, which completes, and is never ready");
                reader.error(&until.span(), sentence, "write until = \"ended\"");
                return None;
            }
            Some(Handler::WaitProcess { process, until })
        }
        (None, Some(_)) => {
            let command = keys.command.read(reader);
            let until = until.as_ref().map_or(Some(Found::Ended), |f| reader.word(f));
            Some(Handler::WaitCommand { command: command?, until: until? })
        }
        (Some(name), Some(command)) => {
            let help = "keep `name` for a process of this file, `command` for one that others have started";
            beside(reader, command, name, "", help);
            None
        }
        (None, None) => {
            reader.missing(&keys.table, &["name", "command"], "`wait_process` does not say which", EXAMPLE);
            None
        }
    }
}

/// Refuses a process of the configuration where none runs.
fn no_process_here(reader: &mut Reader<'_>, field: &Field<'_>, place: Place) -> Option<()> {
    let (sentence, help) = match place {
        Place::Init => ("no process runs yet in [[init]]", "write it as a process's `post_start`"),
        Place::PostStop => ("every process has ended in [[post_stop]]", "write it as a `[[drain]]` step"),
        _ => return Some(()),
    };
    reader.error(&field.key, sentence, format!("{help}; for a process that others have started, write `command`"));
    None
}
