//! `rewrite`: one signal in place of another. Pure.

use std::collections::BTreeMap;

use super::declare::{Form, Shape};
use super::kinds::{Kind, kind, strings};
use super::reader::{Field, Reader};
use super::values;
use crate::signal::Signal;

strings! {
    InItsPlace Option<Signal>, "signal", r"\s*[A-Za-z0-9+-]*\s*", ["\"SIGUSR1\"", "\"15\"", "\"none\""],
        |reader, field, help| reader.parsed(field, help, values::in_its_place);
}

kind! {
    /// `SIGHUP = "SIGUSR1"`.
    Rewrite: BTreeMap<Signal, Option<Signal>> = read_rewrite, &Shape::Map(
        Form { name: "", pattern: r"\s*[A-Za-z0-9+-]+\s*", examples: &["SIGHUP", "10"] },
        InItsPlace::SHAPE,
    )
}

fn read_rewrite(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<BTreeMap<Signal, Option<Signal>>> {
    let mut rewrite = BTreeMap::new();
    for (key, value) in reader.map(field, help)? {
        let to = InItsPlace::read(reader, &Field::new(key, value), help);
        let from = reader.allowed(&key.span(), values::rewritten(key.get_ref()));
        let (Some(from), Some(to)) = (from, to) else { continue };
        if rewrite.insert(from, to).is_some() {
            reader.error(&key.span(), format!("{from} is rewritten twice"), "leave one of the two out");
        }
    }
    Some(rewrite)
}
