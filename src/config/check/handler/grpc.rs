//! `grpc`: success is SERVING from `grpc.health.v1`. Pure.

use super::super::declare::table;
use super::super::kinds::strings;
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::super::values;
use super::Handler;
use super::http::{EndpointKeys, endpoint};

/// A health check by `grpc.health.v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCall {
    pub host: String,
    pub port: u16,
    /// Which service of the server; empty: the server as a whole.
    pub service: String,
}

table! {
    pub struct GrpcKeys in "grpc" from [EndpointKeys<'static>] {
        /// Which service of the server is asked for; `""` is the server as a whole.
        service: Service = "";
    }
}

strings! {
    Service String, "string, one line", r"[^\r\n]{0,200}", ["\"\"", "\"shop.v1.Orders\""],
        |reader, field, _| reader.parsed(field, "write a service's name in quotes, such as \"shop.v1.Orders\"", values::service);
}

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let example = "write grpc = { port = 9090 }";
    let keys = reader.table::<GrpcKeys<'_>>(field, example)?;
    let (host, port) = endpoint(reader, &keys.table, example);
    let service = keys.service.read_or(reader, GrpcKeys::service);
    Some(Handler::Grpc(GrpcCall { host: host?, port: port?, service: service? }))
}
