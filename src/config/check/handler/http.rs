//! `http_get` and `http_post`. Pure.

use super::super::declare::{Declared, Form, Shape, table};
use super::super::kinds::{Host, Kind, Port, Shaped, Text, UrlPath};
use super::super::reader::{Field, Reader, Table};
use super::super::task::Site;
use super::super::values;
use super::Handler;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    pub method: Method,
    pub host: String,
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
    /// Valid header names and values.
    pub headers: Vec<(String, String)>,
    /// For POST.
    pub body: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Post,
}

table! {
    /// Whom to ask.
    pub struct EndpointKeys in "an endpoint" {
        /// Without scheme and port.
        host: Host = "localhost";
        port: Port { required: true, examples: &["8080", "1", "65535", "\"${NONE:-80}\""] };
    }
}

table! {
    pub struct GetKeys in "http_get" from [EndpointKeys<'static>] {
        /// Begins with a slash; a query may follow. Anything but visible ASCII is percent-encoded.
        path: UrlPath { help: "write a path such as \"/healthz\"" } = "/";
        /// Added to the request. Not `Content-Length`, `Transfer-Encoding` and `Connection`.
        headers: Headers { unset: "none" };
    }
}

table! {
    pub struct PostKeys in "http_post" from [GetKeys<'static>] {
        /// What is sent.
        body: Text { unset: "empty", help: "write the body in quotes", examples: &["\"\"", "'{}'"] };
    }
}

pub fn get(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let table = reader.table::<GetKeys<'_>>(field, HELP)?.table;
    call(reader, field, &table, Method::Get, None)
}

pub fn post(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let keys = reader.table::<PostKeys<'_>>(field, HELP)?;
    let body = keys.body.read(reader);
    call(reader, field, &keys.table, Method::Post, body)
}

const HELP: &str = "write {name} = { port = 8080, path = \"/healthz\" }";

fn call(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    table: &Table<'_>,
    method: Method,
    body: Option<String>,
) -> Option<Handler> {
    let (host, port) = endpoint(reader, table, &HELP.replace("{name}", field.name));
    let keys = GetKeys::keys(table.clone());
    let path = keys.path.read_or(reader, GetKeys::path);
    let headers = keys.headers.read_or(reader, Vec::new()).unwrap_or_default();
    Some(Handler::Http(HttpCall { method, host: host?, port: port?, path: path?, headers, body }))
}

/// `host` and `port` of a table that has them.
pub fn endpoint(reader: &mut Reader<'_>, table: &Table<'_>, example: &str) -> (Option<String>, Option<u16>) {
    let keys = EndpointKeys::keys(table.clone());
    (keys.host.read_or(reader, EndpointKeys::host), keys.port.required(reader, table, "port", example))
}

pub struct Headers;

impl Shaped for Headers {
    const SHAPE: &'static Shape = &Shape::Map(
        Form { name: "", pattern: r"[0-9A-Za-z!#$%&'*+.^_`|~-]+", examples: &["X-Token"] },
        &Shape::Text(Form { name: "string", pattern: "", examples: &["\"b\"", "\"${HOST:-none}\""] }),
    );
}

impl Kind for Headers {
    type Value = Vec<(String, String)>;

    fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<(String, String)>> {
        let entries = reader.map(field, "write headers = { X-Token = \"...\" }")?;
        let mut list = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name: &str = key.get_ref();
            let field = Field::new(key, value);
            let Some(text) = reader.text(&field, "write the header's value in quotes") else {
                continue;
            };
            match values::header(name, &text) {
                Ok(()) => list.push((name.to_owned(), text)),
                Err(wrong) => reader.error(&key.span(), wrong.sentence, wrong.help),
            }
        }
        Some(list)
    }
}
