//! `rewrite`: one signal in place of another. Pure.

use std::collections::BTreeMap;

use super::declare::{Form, Shape};
use super::kinds::{Kind, Shaped, strings};
use super::reader::{Field, Reader};
use super::values;
use crate::signal::Signal;

/// `SIGHUP = "SIGUSR1"`.
pub struct Rewrite;

strings! {
    InItsPlace Option<Signal>, "signal", r"\s*[A-Za-z0-9+-]*\s*", ["\"SIGUSR1\"", "\"15\"", "\"none\""],
        |reader, field, help| reader.parsed(field, help, values::in_its_place);
}

impl Shaped for Rewrite {
    const SHAPE: &'static Shape = &Shape::Map(
        Form { name: "", pattern: r"\s*[A-Za-z0-9+-]+\s*", examples: &["SIGHUP", "10"] },
        InItsPlace::SHAPE,
    );
}

impl Kind for Rewrite {
    type Value = BTreeMap<Signal, Option<Signal>>;

    fn read(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Self::Value> {
        let mut rewrite = BTreeMap::new();
        for (key, value) in reader.map(field, help)? {
            let from = values::rewritten(key.get_ref());
            let to = InItsPlace::read(reader, &Field::new(key, value), help);
            match (from, to) {
                (Err(wrong), _) => reader.error(&key.span(), wrong.sentence, wrong.help),
                (Ok(from), Some(to)) => {
                    if rewrite.insert(from, to).is_some() {
                        reader.error(&key.span(), format!("{from} is rewritten twice"), "leave one of the two out");
                    }
                }
                (Ok(_), None) => {}
            }
        }
        Some(rewrite)
    }
}
