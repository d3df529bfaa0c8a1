//! A key in words, out of its declaration: its type, what holds without it, what it means, values that are right. For the page, for the schema,
//! and for `softstop explain`. Pure.

use super::declare::{Row, Shape};
use super::values::words;

/// What it may be.
pub fn kind(row: &Row) -> String {
    if row.words.is_empty() { shape(row.shape) } else { row.words.to_owned() }
}

/// What holds without it; a value stands between backquotes.
pub fn default(row: &Row) -> String {
    match row.default.first() {
        _ if row.required => "required".to_owned(),
        Some(shown) => format!("`{}`", shown()),
        None => row.unset.to_owned(),
    }
}

/// In Markdown, in one line.
pub fn meaning(row: &Row) -> String {
    row.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn shape(of: &Shape) -> String {
    match of {
        Shape::Boolean => "boolean".into(),
        Shape::Integer(min, max) => format!("integer, {min} to {max}"),
        Shape::Number => "number".into(),
        Shape::Duration(range) if range.min.is_zero() => "duration".into(),
        Shape::Duration(range) => format!("duration, from {}", words(range.min)),
        Shape::Words(list) => list().iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Shape::Text(form) => form.name.into(),
        Shape::Array(of) => format!("array of {}", several(of)),
        Shape::Table(_) => "table".into(),
        Shape::Tables(_) => "array of tables".into(),
        Shape::Map(_, of) => format!("table of {}", several(of)),
        Shape::Any(shapes) => {
            let all: Vec<String> = shapes.iter().map(|of| shape(of)).collect();
            match all.split_last() {
                Some((last, before)) => format!("{} or {last}", before.join(", ")),
                None => String::new(),
            }
        }
    }
}

fn several(of: &Shape) -> String {
    match of {
        Shape::Text(form) => format!("{}s", form.name),
        Shape::Integer(..) => "integers".into(),
        Shape::Words(_) => "words".into(),
        other => shape(other),
    }
}

/// Values that are right for the key, as TOML.
pub fn values(row: &Row) -> Vec<String> {
    if row.examples.is_empty() { right(row.shape) } else { row.examples.iter().map(|v| (*v).to_owned()).collect() }
}

fn right(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Boolean => vec!["true".into(), "false".into()],
        Shape::Integer(min, max) => vec![min.to_string(), max.to_string()],
        Shape::Number => ["0", "2.5", "-1"].map(String::from).to_vec(),
        Shape::Duration(range) => [range.min.as_millis(), 1000, 2000].map(|ms| format!("\"{ms}ms\"")).to_vec(),
        Shape::Words(words) => words().iter().map(|word| format!("{word:?}")).collect(),
        Shape::Text(form) => form.examples.iter().map(|v| (*v).to_owned()).collect(),
        Shape::Array(of) => {
            let all = right(of);
            let one = all.first().map(|first| format!("[{first}]"));
            one.into_iter().chain([format!("[{}]", all.join(", "))]).collect()
        }
        Shape::Any(shapes) => shapes.iter().flat_map(|shape| right(shape)).collect(),
        Shape::Map(name, of) => {
            let values = right(of);
            let pairs = name.examples.iter().zip(values.iter().cycle());
            let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name} = {value}")).collect();
            vec!["{ }".into(), format!("{{ {} }}", pairs.join(", "))]
        }
        Shape::Table(_) | Shape::Tables(_) => Vec::new(),
    }
}
