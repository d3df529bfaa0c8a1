//! Lists of those who call: `ignore`, `from`. Pure.

use super::declare::{Form, Shape};
use super::kinds::{Kind, Shaped};
use super::reader::{Field, Reader};
use super::values::Wrong;
use crate::config::network::Network;

/// Each caller is compared with all of them.
const MOST: usize = 64;

/// An array of networks, or one alone; see [`Network::parse_list`].
pub struct Networks;

const NETWORK: Form = Form { name: "string", pattern: r"[\s\S]+", examples: &["\"10.244.7.1\"", "\"fd00::/8\""] };

impl Shaped for Networks {
    const SHAPE: &'static Shape = &Shape::Any(&[&Shape::Text(NETWORK), &Shape::Array(&Shape::Text(NETWORK))]);
}

impl Kind for Networks {
    type Value = Vec<Network>;

    fn read(reader: &mut Reader<'_>, field: &Field<'_>, example: &str) -> Option<Vec<Network>> {
        let elements = match field.elements() {
            Some(elements) => elements,
            None if field.value.get_ref().is_str() => vec![field.clone()],
            None => {
                reader.wrong_type(field, "an array of strings", example);
                return None;
            }
        };
        let parse = |text: &str| Network::parse_list(text).map_err(|(sentence, help)| Wrong::new(sentence, help));
        let read: Vec<Option<Vec<Network>>> = elements.iter().map(|e| reader.parsed(e, example, parse)).collect();
        let networks: Vec<Network> = read.into_iter().collect::<Option<Vec<_>>>()?.concat();
        if networks.len() > MOST {
            let sentence = format!("`{}` has {} elements", field.name, networks.len());
            reader.error(&field.span(), sentence, format!("write at most {MOST}: networks can be joined"));
            return None;
        }
        Some(networks)
    }
}
