//! The tables of docs/configuration.md.

use softstop::config::check::declare::{Described, Row, Shape};
use softstop::config::check::tables;
use softstop::config::check::values::words;

use super::{marked, table};

/// A table of keys stands below `<!-- keys: TITLE -->`, or `<!-- own keys: TITLE -->` where those that it shares with another are
/// explained there.
/// Below `<!-- keys but shared: TITLE -->` those that stand behind its own are left out.
const MARKS: [(&str, Rows); 3] = [
    ("<!-- keys: ", |table| table.rows()),
    ("<!-- own keys: ", |table| table.own.iter().collect()),
    ("<!-- keys but shared: ", |table| table.own_and_before()),
];
type Rows = fn(&'static Described) -> Vec<&'static Row>;
const HEAD: &str = "| key | type | default | meaning |\n|---|---|---|---|\n";

/// The page with its tables made anew.
pub fn with_tables(page: &str) -> String {
    MARKS.iter().fold(page.to_owned(), |page, (mark, rows)| {
        marked(&page, mark, |title| {
            format!("{HEAD}{}", rows(table(title)).into_iter().map(line_of).collect::<String>())
        })
    })
}

/// Each table stands in the page once.
pub fn is_complete(page: &str) {
    for table in tables() {
        let title = table.section.title;
        let count: usize = MARKS.iter().map(|(mark, _)| page.matches(&format!("{mark}{title} -->")).count()).sum();
        assert_eq!(
            count, 1,
            "docs/configuration.md has {count} tables of {title}: write `<!-- keys: {title} -->` in it, once"
        );
    }
}

fn line_of(row: &Row) -> String {
    let kind = if row.words.is_empty() { shape(row.shape) } else { row.words.to_owned() };
    let default = match row.default.first() {
        _ if row.required => "required".to_owned(),
        Some(shown) => format!("`{}`", shown()),
        None => row.unset.to_owned(),
    };
    let meaning = meaning(row);
    let cell = |text: &str| if text.is_empty() { " |".to_owned() } else { format!(" {text} |") };
    format!("| `{}` |{}{}{}\n", row.name, cell(&kind), cell(&default), cell(&meaning))
}

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
            let (last, before) = all.split_last().expect("there is one");
            format!("{} or {last}", before.join(", "))
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
