//! `http_get` and `http_post`. Pure.

use serde::{Deserialize, Serialize};

use super::super::declare::{Declared, Form, Key, Shape, table};
use super::super::kinds::{Constant, Host, Kind, Port, Text, UrlPath, Word, kind};
use super::super::reader::{Field, Reader, Table};
use super::super::task::Site;
use super::super::values;
use super::Handler;
use crate::config::listen::in_brackets;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    pub scheme: Scheme,
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

impl HttpCall {
    /// A plain GET.
    pub fn get(host: impl Into<String>, port: u16, path: impl Into<String>) -> HttpCall {
        let (scheme, method, headers, body) = (Scheme::Http, Method::Get, Vec::new(), None);
        HttpCall { scheme, method, host: host.into(), port, path: path.into(), headers, body }
    }

    /// Where it goes, as people write it.
    pub fn url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}{}", host_and_port(&self.host, self.port), self.path)
    }
}

/// A host, of which an IPv6 address may be written as in a URL.
pub fn without_brackets(host: &str) -> &str {
    in_brackets(host).unwrap_or(host)
}

/// As in a URL: an IPv6 address has brackets there.
pub fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    /// TLS; nobody's certificate is checked. Only where this softstop was built with the feature `https`.
    Https,
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
        /// `"https"`: with TLS 1.2 or 1.3, whoever's certificate it is, as the kubelet does. Only in a build [with `https`](configuration/handlers.md#https).
        scheme: SchemeWord = Scheme::Http;
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
    let keys = reader.table::<GetKeys<'_>>(field, HELP)?;
    get_call(reader, field, &keys).map(Handler::Http)
}

pub fn post(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let keys = reader.table::<PostKeys<'_>>(field, HELP)?;
    let body = keys.body.read(reader);
    let call = get_call(reader, field, &GetKeys::keys(keys.table))?;
    Some(Handler::Http(HttpCall { method: Method::Post, body, ..call }))
}

const HELP: &str = "write {name} = { port = 8080, path = \"/healthz\" }";

fn get_call(reader: &mut Reader<'_>, field: &Field<'_>, keys: &GetKeys<'_>) -> Option<HttpCall> {
    let example = HELP.replace("{name}", field.name);
    call(reader, &keys.table, &example, (&keys.scheme, &keys.path, &keys.headers))
}

/// A GET, of a table that has an endpoint and these keys.
pub fn call(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    example: &str,
    (scheme, path, headers): (&Key<'_, SchemeWord>, &Key<'_, UrlPath>, &Key<'_, Headers>),
) -> Option<HttpCall> {
    let (host, port) = endpoint(reader, table, example);
    let scheme = scheme.read_or(reader, GetKeys::scheme);
    let path = path.read_or(reader, GetKeys::path);
    let headers = headers.read(reader).unwrap_or_default();
    let method = Method::Get;
    Some(HttpCall { scheme: scheme?, method, host: host?, port: port?, path: path?, headers, body: None })
}

/// `host` and `port` of a table that has them.
pub fn endpoint(reader: &mut Reader<'_>, table: &Table<'_>, example: &str) -> (Option<String>, Option<u16>) {
    let keys = EndpointKeys::keys(table.clone());
    (keys.host.read_or(reader, EndpointKeys::host), keys.port.required(reader, table, example))
}

kind! {
    /// [`Scheme`], where it is one that this softstop was built with.
    SchemeWord: Scheme = read_scheme_word, Word::<Scheme>::SHAPE
}

fn read_scheme_word(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Scheme> {
    let scheme = Word::<Scheme>::read(reader, field, help)?;
    if scheme == Scheme::Https && !cfg!(feature = "https") {
        let sentence = "this softstop was built without `https`";
        reader.error(&field.span(), sentence, NO_HTTPS);
        return None;
    }
    Some(scheme)
}

impl Constant for SchemeWord {
    type Const = Scheme;
}

const NO_HTTPS: &str =
    "build it with `--features https` (the image build leaves it out for its size), or ask with `tcp_socket` or `exec`";

kind! {
    Headers: Vec<(String, String)> = read_headers, &Shape::Map(
        Form { name: "", pattern: r"[0-9A-Za-z!#$%&'*+.^_`|~-]+", examples: &["X-Token"] },
        &Shape::Text(Form { name: "string", pattern: "", examples: &["\"b\"", "\"${HOST:-none}\""] }),
    )
}

fn read_headers(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<(String, String)>> {
    let entries = reader.map(field, "write headers = { X-Token = \"...\" }")?;
    let mut list = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let field = Field::new(key, value);
        let Some(text) = reader.text(&field, "write the header's value in quotes") else { continue };
        if reader.allowed(&key.span(), values::header(name, &text)).is_some() {
            list.push((name.to_owned(), text));
        }
    }
    Some(list)
}
