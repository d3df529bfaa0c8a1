//! `wait_http`: until an answer has a status, a value in its JSON, a sum of Prometheus samples. Pure.

use toml::de::DeValue;

use super::super::declare::{Form, Shape, table};
use super::super::kinds::{Kind, MapOf, Sub, Text, UrlPath, kind, strings};
use super::super::reader::{Field, Reader};
use super::super::task::Site;
use super::super::values::Wrong;
use super::http::{EndpointKeys, Headers, HttpCall, Scheme, SchemeWord, call};
use super::{Handler, beside};

/// `wait_http`: until the answer to a GET is as it should be. All that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitHttp {
    pub call: HttpCall,
    /// The lowest and the highest status.
    pub status: (u16, u16),
    pub json: Option<JsonValue>,
    pub metric: Option<Metric>,
}

/// A value in a JSON body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonValue {
    /// RFC 6901: empty for the whole, else it begins with `/`.
    pub pointer: String,
    pub is: Is,
}

/// What a value is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Is {
    /// A string, a number or a boolean.
    Equal(serde_json::Value),
    AtMost(Finite),
}

/// The sum of a metric's samples in the text format of Prometheus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metric {
    pub name: String,
    /// A sample has at least these.
    pub labels: Vec<(String, String)>,
    pub at_most: Finite,
}

/// A number that is one: neither NaN nor infinite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Finite(f64);

impl Eq for Finite {}

impl Finite {
    pub fn new(number: f64) -> Option<Finite> {
        number.is_finite().then_some(Finite(number))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

table! {
    pub struct WaitHttpKeys in "wait_http" from [EndpointKeys<'static>] {
        /// As in `http_get`.
        scheme: SchemeWord = Scheme::Http;
        /// As in `http_get`.
        path: UrlPath { help: "write a path such as \"/idle\"" } = "/";
        /// As in `http_get`.
        headers: Headers { unset: "none" };
        /// The answer's.
        status: Status { unset: "200 to 399", words: "integer, or a string such as `\"2xx\"`" };
        /// A value in the body, which is JSON of at most 256 KiB.
        json: Sub<JsonKeys<'static>> { help: JSON };
        /// The sum of a metric's samples in the body, which is Prometheus' text format, at most 1 MiB. Not beside `json`.
        metric: Sub<MetricKeys<'static>> { help: METRIC };
    }
}

table! {
    pub struct JsonKeys in "json" one of (&["equals", "at_most"]) {
        /// Where the value is, by RFC 6901: `"/queue/in_flight"`, `"/workers/0"`; `""` is the whole body.
        pointer: Pointer { required: true };
        /// What it is to be.
        equals: Scalar { unset: "this or `at_most` is required" };
        /// As much or less.
        at_most: Number;
    }
}

table! {
    pub struct MetricKeys in "metric" {
        /// Without labels.
        name: MetricName { required: true };
        /// Samples with at least these labels count.
        labels: MapOf<Text> { unset: "none", help: "write labels = { method = \"GET\" }", examples: &["{ method = \"GET\" }", "{ }"] };
        /// What the sum of the samples may be. Where there is no sample it does not hold: the name may be wrong.
        at_most: Number { required: true };
    }
}

const JSON: &str = "write json = { pointer = \"/in_flight\", at_most = 0 }";
const METRIC: &str = "write metric = { name = \"http_requests_in_flight\", at_most = 0 }";

pub fn read(reader: &mut Reader<'_>, field: &Field<'_>, _: Option<&Site<'_>>) -> Option<Handler> {
    let example = "write wait_http = { port = 8080, path = \"/idle\" }";
    let keys = reader.table::<WaitHttpKeys<'_>>(field, example)?;
    let call = call(reader, &keys.table, example, (&keys.scheme, &keys.path, &keys.headers));
    let status = keys.status.read_or(reader, (200, 399));
    // What was refused is no condition that is left out.
    let json = if keys.json.is_given() { json(reader, &keys).map(Some) } else { Some(None) };
    let metric = if keys.metric.is_given() { metric(reader, &keys).map(Some) } else { Some(None) };
    if let (Some(one), Some(other)) = (&keys.metric.field, &keys.json.field) {
        beside(reader, one, other, ": an answer is one or the other", "write two steps");
        return None;
    }
    Some(Handler::WaitHttp(WaitHttp { call: call?, status: status?, json: json?, metric: metric? }))
}

fn json(reader: &mut Reader<'_>, keys: &WaitHttpKeys<'_>) -> Option<JsonValue> {
    let keys = keys.json.open(reader)?;
    let pointer = keys.pointer.required(reader, &keys.table, JSON);
    let is = match (&keys.equals.field, &keys.at_most.field) {
        (Some(_), None) => keys.equals.read(reader).map(Is::Equal),
        (None, Some(_)) => keys.at_most.read(reader).map(Is::AtMost),
        (Some(one), Some(other)) => {
            beside(reader, one, other, ": which is it to be", "keep one");
            None
        }
        (None, None) => {
            let sentence = "`json` does not say what the value is to be";
            reader.missing(&keys.table, &["equals", "at_most"], sentence, JSON);
            None
        }
    };
    Some(JsonValue { pointer: pointer?, is: is? })
}

fn metric(reader: &mut Reader<'_>, keys: &WaitHttpKeys<'_>) -> Option<Metric> {
    let keys = keys.metric.open(reader)?;
    let name = keys.name.required(reader, &keys.table, METRIC);
    let labels = if keys.labels.is_given() { labels(reader, &keys) } else { Some(Vec::new()) };
    let at_most = keys.at_most.needed(reader, &keys.table, "`metric` does not say how much it may be", METRIC);
    Some(Metric { name: name?, labels: labels?, at_most: at_most? })
}

fn labels(reader: &mut Reader<'_>, keys: &MetricKeys<'_>) -> Option<Vec<(String, String)>> {
    let entries = keys.labels.entries(reader)?;
    let mut labels = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let field = Field::new(key, value);
        labels.push((field.name.to_owned(), reader.text(&field, "write the label's value in quotes")?));
    }
    Some(labels)
}

kind! {
    /// `200`, or `"2xx"`: the lowest and the highest.
    Status: (u16, u16) = read_status, &Shape::Any(&[
        &Shape::Integer(100, 599),
        &Shape::Text(Form { name: "string", pattern: "[1-5]xx", examples: &["\"2xx\"", "\"5xx\""] }),
    ])
}

fn read_status(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<(u16, u16)> {
    let example = "write a status such as 200, or \"2xx\" for all from 200 to 299";
    let text = field.value.get_ref().as_str().unwrap_or_default();
    if let Some(class) = text.strip_suffix("xx") {
        let Some(class) = class.parse::<u16>().ok().filter(|n| (1..=5).contains(n) && text.len() == 3) else {
            reader.error(&field.span(), format!("{text:?} is no class of status"), example);
            return None;
        };
        return Some((class * 100, class * 100 + 99));
    }
    reader.integer(field, 100, 599, example).map(|status| (status, status))
}

strings! {
    Pointer String, "string", r"(/[\s\S]*)?", ["\"\"", "\"/in_flight\"", "\"/a~1b/0\""],
        |reader, field, _| reader.parsed(field, JSON, pointer);
    MetricName String, "string", "[A-Za-z_:][A-Za-z0-9_:]*", ["\"in_flight\"", "\"a:b_2\""],
        |reader, field, _| reader.parsed(field, METRIC, metric_name);
}

/// RFC 6901: empty, or `/` before each name, in which `~` is written `~0` and `/` is written `~1`.
fn pointer(text: &str) -> Result<String, Wrong> {
    if !text.is_empty() && !text.starts_with('/') {
        let sentence = format!("the pointer {text:?} does not begin with a slash");
        return Err(Wrong::new(sentence, format!("write {:?}", format!("/{text}"))));
    }
    if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(Wrong::new(format!("the pointer {text:?} has a bare `~`"), "write ~0 for `~` and ~1 for `/`"));
    }
    Ok(text.to_owned())
}

fn metric_name(text: &str) -> Result<String, Wrong> {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if text.is_empty() || !text.chars().all(valid) || text.starts_with(|c: char| c.is_ascii_digit()) {
        let help = "write a name alone, such as \"http_requests_in_flight\"; labels are a key of their own";
        return Err(Wrong::new(format!("{text:?} is no metric's name"), help));
    }
    Ok(text.to_owned())
}

kind! {
    /// A string, a number or a boolean.
    Scalar: serde_json::Value = read_scalar, &Shape::Any(&[Text::SHAPE, &Shape::Number, &Shape::Boolean])
}

fn read_scalar(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<serde_json::Value> {
    match field.value.get_ref() {
        DeValue::String(_) => reader.text(field, "write the text in quotes").map(Into::into),
        DeValue::Boolean(value) => Some((*value).into()),
        DeValue::Integer(_) | DeValue::Float(_) => Number::read(reader, field, "").map(|n| n.get().into()),
        _ => {
            reader.wrong_type(field, "a string, a number or a boolean", "write equals = 0, \"done\" or true");
            None
        }
    }
}

kind! {
    Number: Finite = read_number, &Shape::Number
}

fn read_number(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Finite> {
    let example = "write a number such as 0";
    let number = match field.value.get_ref() {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(n) => n.as_str().parse::<f64>().ok(),
        DeValue::String(text) if text.contains("${") => reader.text(field, example)?.trim().parse::<f64>().ok(),
        _ => {
            reader.wrong_type(field, "a number", example);
            return None;
        }
    };
    let finite = number.and_then(Finite::new);
    if finite.is_none() {
        reader.error(&field.span(), format!("`{}` is not a number", field.name), example);
    }
    finite
}
