//! `[exit_codes]`. Pure.

use std::collections::BTreeMap;

use super::declare::{Form, Shape};
use super::kinds::kind;
use super::reader::{Field, Reader};

/// `[exit_codes]`: what softstop's own exit code is instead of the main process's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitCodes {
    /// The main process's code (128 + n for a signal) to the code to exit with.
    pub map: BTreeMap<u8, u8>,
    /// The code of a stop that needed SIGKILL, whatever the main process's was.
    pub forced: Option<u8>,
}

kind! {
    /// `143 = 0`, `forced = 79`.
    Codes: ExitCodes = read_codes, &Shape::Map(
        Form { name: "", pattern: "[0-9]{1,3}|forced", examples: &["143", "forced"] },
        &Shape::Integer(0, 255),
    )
}

fn read_codes(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<ExitCodes> {
    let entries = reader.map(field, "write `[exit_codes]` and below it 143 = 0")?;
    let mut codes = ExitCodes { map: BTreeMap::new(), forced: None };
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let from = name.parse::<u8>().ok().filter(|n| n.to_string() == name);
        if from.is_none() && name != "forced" {
            let help = "write a code from 0 to 255, or `forced`, the code of a stop that needed SIGKILL";
            reader.error(&key.span(), format!("`{name}` is not an exit code"), help);
        }
        let to = reader.integer(&Field::new(key, value), 0, 255, "write a code from 0 to 255: 143 = 0");
        match (from, to) {
            (Some(from), Some(to)) => drop(codes.map.insert(from, to)),
            (None, Some(to)) if name == "forced" => codes.forced = Some(to),
            _ => {}
        }
    }
    Some(codes)
}
