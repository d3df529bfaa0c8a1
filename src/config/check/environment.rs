//! `env`: the variables of a process. Pure.

use std::ffi::OsString;

use super::declare::{Form, Shape};
use super::kinds::kind;
use super::reader::{Field, Reader};

kind! {
    /// Of the environment.
    Variables: Vec<(OsString, OsString)> = read_variables, &Shape::Map(
        Form { name: "", pattern: "[^=]+", examples: &["A", "TOKEN"] },
        &Shape::Text(Form { name: "string", pattern: "", examples: &["\"b\"", "\"${HOST:-none}\""] }),
    )
}

fn read_variables(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<(OsString, OsString)>> {
    let entries = reader.map(field, "write env = { LOG_LEVEL = \"debug\" }")?;
    let mut list = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name: &str = key.get_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            let help = "leave out `=` and NUL, and write at least one character";
            reader.error(&key.span(), format!("{name:?} cannot be a variable's name"), help);
            continue;
        }
        let variable = Field::new(key, value);
        if let Some(text) = reader.text(&variable, "write the value in quotes") {
            list.push((OsString::from(name), OsString::from(text)));
        }
    }
    Some(list)
}
