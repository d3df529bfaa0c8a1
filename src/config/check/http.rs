//! `[http]`: the probe endpoints. Pure.

use super::declare::{Form, Shape, table};
use super::kinds::{Sub, kind};
use super::prestop::{self, PreStop, PreStopKeys};
use super::reader::{Field, Reader};
use crate::config::listen::Listen;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: Listen,
    /// `GET /prestop`; `None`: it takes no orders.
    pub prestop: Option<PreStop>,
}

table! {
    pub struct HttpKeys in "[http]" {
        /// `"0.0.0.0:9180"`, `"[::]:9180"`, `"localhost:9180"`; `":9180"`, `"9180"` and `9180` mean every address, IPv4 and IPv6. Ports are 1
        /// to 65535.
        listen: Address { required: true, words: "address", help: "write listen = \":9180\"" };
        /// `GET /prestop`, a preStop hook: [more](configuration/container.md#prestop).
        prestop: Sub<PreStopKeys<'static>> {
            unset: "off",
            help: "write `[http.prestop]` and below it its guard: from = \"10.244.0.0/16\"",
        };
    }
}

kind! {
    /// Where to listen: a string, or a port alone.
    Address: Listen = read_address, &Shape::Any(&[
        &Shape::Text(Form {
            name: "string",
            pattern: r"\s*([\s\S]*:)?[0-9]{1,5}\s*",
            examples: &["\"0.0.0.0:9180\"", "\":9180\"", "\"[::]:9180\"", "\"${NONE:-9180}\""],
        }),
        &Shape::Integer(1, 65535),
    ])
}

fn read_address(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Listen> {
    if field.value.get_ref().is_integer() {
        return reader.integer(field, 1, 65535, help).map(Listen::everywhere);
    }
    reader.parsed(field, help, Listen::parse)
}

pub fn http(reader: &mut Reader<'_>, keys: &HttpKeys<'_>) -> Option<Http> {
    let help = "add listen = \":9180\", or leave [http] out";
    let listen = keys.listen.needed(reader, &keys.table, "[http] does not say where to listen", help);
    keys.listen.field.as_ref()?;
    let prestop = keys.prestop.open(reader).and_then(|keys| prestop::prestop(reader, &keys));
    listen.map(|listen| Http { listen, prestop })
}
