//! `tcp_socket`: success is an accepted connection. Pure.

use super::super::declare::table;
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::Handler;
use super::http::{EndpointKeys, endpoint};

table! {
    pub struct TcpSocketKeys in "tcp_socket" from [EndpointKeys<'static>] {}
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let example = "write tcp_socket = { host = \"db\", port = 5432 }";
    let keys = reader.table::<TcpSocketKeys<'_>>(field, example)?;
    let (host, port) = endpoint(reader, &keys.table, example);
    Some(Handler::Tcp { host: host?, port: port? })
}
