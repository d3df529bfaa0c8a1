//! What is made of the declared keys (`softstop::config::check::declare`): the page's tables, the schema, the fuzzers' words, values
//! that are right and the types that are not wrong.

// Each target uses a part of it.
#![allow(dead_code)]

pub mod page;
pub mod sites;
pub mod words;

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use softstop::config::check::declare::{Described, Row, Shape};
pub use softstop::config::check::explained::values;
use softstop::config::check::keys::Section;
use softstop::config::check::tables;

static TABLES: LazyLock<HashMap<&str, &Described>> =
    LazyLock::new(|| tables().into_iter().map(|table| (table.section.title, table)).collect());
static ROWS: LazyLock<HashMap<(&str, &str), &Row>> = LazyLock::new(|| {
    let rows = |table: &&'static Described| table.rows().into_iter().map(|row| ((table.section.title, row.name), row));
    TABLES.values().flat_map(|table| rows(table).collect::<Vec<_>>()).collect()
});

/// The table of this title.
pub fn table(title: &str) -> &'static Described {
    TABLES.get(title).unwrap_or_else(|| panic!("there is no table {title:?}"))
}

pub fn section_of(title: &str) -> &'static Section {
    table(title).section
}

pub fn row(section: &Section, key: &str) -> &'static Row {
    let found = ROWS.get(&(section.title, key));
    found.unwrap_or_else(|| panic!("there is no `{key}` in {}", section.title))
}

/// Whether the table is refused without the key, when no other stands for it.
pub fn is_needed(section: &Section, key: &str) -> bool {
    row(section, key).required || table(section.title).one_of.contains(&key)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    String,
    Integer,
    Float,
    Boolean,
    Date,
    Array,
    Table,
}

/// Whether the key may have a value of that type.
pub fn takes(section: &Section, key: &str, kind: Type) -> bool {
    is_of(row(section, key).shape, kind)
}

fn is_of(shape: &Shape, kind: Type) -> bool {
    match shape {
        Shape::Boolean => kind == Type::Boolean,
        Shape::Integer(..) => kind == Type::Integer,
        Shape::Number => matches!(kind, Type::Integer | Type::Float),
        Shape::Duration(_) | Shape::Words(_) | Shape::Text(_) => kind == Type::String,
        Shape::Array(_) | Shape::Tables(_) => kind == Type::Array,
        Shape::Table(_) | Shape::Map(..) => kind == Type::Table,
        Shape::Any(shapes) => shapes.iter().any(|shape| is_of(shape, kind)),
    }
}

/// It has keys of its own to be drawn one by one.
pub fn is_table(row: &Row) -> bool {
    matches!(row.shape, Shape::Table(_) | Shape::Tables(_))
}

/// A file of the repository.
pub fn text(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Those of a folder and of the folders in it whose names end so, by their paths from the root, in their order.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&here).unwrap_or_else(|e| panic!("{folder}: {e}")) {
        let name = entry.expect("it can be read").file_name().into_string().expect("it is UTF-8");
        let path = format!("{folder}/{name}");
        if here.join(&name).is_dir() {
            found.extend(files(&path, ending));
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// With their texts.
pub fn markdown(folder: &str) -> Vec<(String, String)> {
    files(folder, ".md").into_iter().map(|path| (path.clone(), text(&path))).collect()
}

/// docs/SUBJECT.md and the pages of the folder of that name behind it.
pub fn pages_of(subject: &str) -> Vec<(String, String)> {
    let (page, behind) = (format!("docs/{subject}.md"), format!("docs/{subject}/"));
    markdown("docs").into_iter().filter(|(path, _)| *path == page || path.starts_with(&behind)).collect()
}

/// What is made for a page: its links, which are written as seen from docs/, as that page sees them.
pub fn seen_from(page: &str, text: &str) -> String {
    let page = page.strip_prefix("docs/").expect("it is a page of docs");
    let folder = page.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
    let mut parts = text.split("](");
    let mut seen = parts.next().unwrap_or_default().to_owned();
    for link in parts {
        let own = link.strip_prefix(page).filter(|anchor| anchor.starts_with('#'));
        seen += "](";
        seen += &match (own, &folder) {
            (Some(anchor), _) => anchor.to_owned(),
            (None, Some(folder)) if !link.starts_with('#') && !link.starts_with("http") => {
                link.strip_prefix(folder).map_or_else(|| format!("../{link}"), str::to_owned)
            }
            _ => link.to_owned(),
        };
    }
    seen
}

/// A page with every table made anew that stands below a line such as `<!-- keys: TITLE -->`: `mark` is that up to the title, `made` the
/// table of that title.
pub fn marked(page: &str, mark: &str, made: impl Fn(&str) -> String) -> String {
    let mut new = String::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        new += line;
        new.push('\n');
        let Some(title) = line.strip_prefix(mark).and_then(|rest| rest.strip_suffix("-->")) else { continue };
        while lines.next_if(|line| line.is_empty()).is_some() {}
        while lines.next_if(|line| line.starts_with('|')).is_some() {}
        lines.next_if(|line| line.is_empty());
        new += &format!("\n{}\n", made(title.trim()));
    }
    new
}

/// Compares a file of the repository with what is made; with `BLESS=1` it is rewritten: read the difference before you commit it.
pub fn is_as_made(path: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let is = std::fs::read_to_string(&file).unwrap_or_default();
    if is == made {
        return;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, made).expect("it can be written");
        return;
    }
    let line = is.lines().zip(made.lines()).position(|(is, made)| is != made).unwrap_or(is.lines().count());
    panic!(
        "{path}:{}: it is not what is made now; BLESS=1 cargo test --test pages rewrites it\n is: {}\nnot: {}\nall of it:\n{made}",
        line + 1,
        is.lines().nth(line).unwrap_or_default(),
        made.lines().nth(line).unwrap_or_default(),
    );
}
