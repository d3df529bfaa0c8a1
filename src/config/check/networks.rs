//! Lists of those who call: `ignore`, `from`. Pure.

use super::declare::{Form, Shape};
use super::kinds::kind;
use super::reader::{Field, Reader};
use crate::config::network::Network;

/// Each caller is compared with all of them.
const MOST: usize = 64;

const NETWORK: Form = Form { name: "string", pattern: r"[\s\S]+", examples: &["\"10.244.7.1\"", "\"fd00::/8\""] };

kind! {
    /// An array of networks, or one alone; see [`Network::parse_list`].
    Networks: Vec<Network> = read_networks,
    &Shape::Any(&[&Shape::Text(NETWORK), &Shape::Array(&Shape::Text(NETWORK))])
}

fn read_networks(reader: &mut Reader<'_>, field: &Field<'_>, example: &str) -> Option<Vec<Network>> {
    let one = field.value.get_ref().is_str();
    let elements = if one { vec![field.clone()] } else { reader.elements(field, "an array of strings", example)? };
    let read: Vec<_> = elements.iter().map(|e| reader.parsed(e, example, Network::parse_list)).collect();
    let networks: Vec<Network> = read.into_iter().collect::<Option<Vec<_>>>()?.concat();
    if networks.len() > MOST {
        let sentence = format!("`{}` has {} elements", field.name, networks.len());
        reader.error(&field.span(), sentence, format!("write at most {MOST}: networks can be joined"));
        return None;
    }
    Some(networks)
}
