//! `softstop explain KEY` and `softstop schema`: what a key of the configuration means, out of its declaration. Pure.

use super::help;
use super::layout::{columns, paragraph};
use super::reading::UsageText;
use crate::config::check::declare::{Described, Row, Shape};
use crate::config::check::{explained, keys, top};
use crate::exit;
use crate::nearest::nearest;
use crate::text;

/// For editors.
const SCHEMA: &str = include_str!("../../docs/softstop.schema.json");
/// A key of the user's own.
const ANY: &str = "NAME";

/// # Errors
/// None here: this softstop has it.
pub fn schema() -> Result<&'static str, UsageText> {
    Ok(SCHEMA)
}

/// What a key means, as `process.readiness.period`, `readiness.period` or `[process.readiness]`; of a table the keys, without any those of the
/// top level.
///
/// # Errors
/// There is no such key; what is said then has the nearest.
pub fn key(asked: Option<&str>, width: usize) -> Result<String, UsageText> {
    let (top, width) = (top(), help::fits(width));
    let Some(asked) = asked else {
        return Ok(format!("Keys of a configuration, and tables of keys:\n{}", listed(top, width)));
    };
    let all = all(top);
    let plain = |c: char| !c.is_whitespace() && !"[]\"'`".contains(c);
    let wanted: String = asked.chars().filter(|c| plain(*c)).collect();
    let wanted: Vec<&str> = wanted.split('.').collect();
    let whole: Vec<&Known> =
        all.iter().filter(|known| known.names.len() == wanted.len() && known.ends_with(&wanted)).collect();
    let found = if whole.is_empty() { all.iter().filter(|known| known.ends_with(&wanted)).collect() } else { whole };
    let others =
        || all.iter().filter(|known| known.ends_with(&wanted) && !found.iter().any(|found| found.is_like(known)));
    match found.split_first() {
        None => Err(UsageText { text: format!("error: {}\n", no_key(top, &all, &wanted)), code: exit::USAGE }),
        Some((first, more)) if more.iter().all(|other| other.is_like(first)) => {
            let others: Vec<String> = others().map(Known::path).collect();
            let also = || format!("\n{}", paragraph(&format!("There are also: {}", others.join(", ")), width));
            Ok(explained(&found, width) + &if others.is_empty() { String::new() } else { also() })
        }
        Some(_) => {
            let rows: Vec<_> = found.iter().map(|known| (known.path(), sentence(known.row))).collect();
            Ok(format!("There are several:\n{}", columns(&rows, width)))
        }
    }
}

/// A key where it may stand.
struct Known {
    names: Vec<&'static str>,
    row: &'static Row,
}

impl Known {
    fn path(&self) -> String {
        self.names.join(".")
    }

    fn ends_with(&self, wanted: &[&str]) -> bool {
        let start = self.names.len().checked_sub(wanted.len());
        start.is_some_and(|start| {
            self.names[start..].iter().zip(wanted).all(|(name, wanted)| *name == ANY || *name == *wanted)
        })
    }

    /// The same key in another place.
    fn is_like(&self, other: &Known) -> bool {
        let in_words = |row| (explained::meaning(row), explained::kind(row), explained::default(row));
        self.row.name == other.row.name && in_words(self.row) == in_words(other.row)
    }
}

fn all(top: &'static Described) -> Vec<Known> {
    let mut found = Vec::new();
    walk(top, &mut Vec::new(), &mut vec![top.section.title], &mut found);
    found
}

/// `above`: the tables that this one stands in, itself included.
fn walk(
    table: &'static Described,
    names: &mut Vec<&'static str>,
    above: &mut Vec<&'static str>,
    found: &mut Vec<Known>,
) {
    for row in table.rows() {
        names.push(row.name);
        found.push(Known { names: names.clone(), row });
        if let Some((below, named)) = below(row.shape)
            && !above.contains(&below.section.title)
        {
            names.extend(named.then_some(ANY));
            above.push(below.section.title);
            walk(below, names, above, found);
            above.pop();
            names.truncate(names.len() - usize::from(named));
        }
        names.pop();
    }
}

/// The table that a value may be, and whether a key of the user's own stands before its keys.
fn below(shape: &'static Shape) -> Option<(&'static Described, bool)> {
    match shape {
        Shape::Table(table) | Shape::Tables(table) => Some((table, false)),
        Shape::Any(shapes) => shapes.iter().find_map(|shape| below(shape)),
        Shape::Array(of) => below(of),
        Shape::Map(_, of) => below(of).map(|(table, _)| (table, true)),
        _ => None,
    }
}

/// One key, in all its places.
fn explained(found: &[&Known], width: usize) -> String {
    let Some(Known { row, .. }) = found.first() else { return String::new() };
    let (meaning, pages) = unmarked(&explained::meaning(row));
    let paths: Vec<String> = found.iter().map(|known| known.path()).collect();
    let mut rows = vec![("Type", bare(&explained::kind(row)))];
    rows.push(("Default", bare(&explained::default(row))));
    let value = row.default.first().map(|shown| shown());
    if let Some(value) = value.or_else(|| explained::values(row).into_iter().max_by_key(String::len)) {
        rows.push(("Example", format!("{} = {value}", row.name)));
    }
    let tables: Vec<String> = found.iter().map(|known| header(known)).collect();
    rows.push(("Stands in", tables.join(", ")));
    rows.push(("More", pages.join(" ")));
    rows.retain(|(_, text)| !text.is_empty());
    let rows: Vec<_> = rows.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    let keys = below(row.shape).map(|(table, _)| format!("\nIts keys:\n{}", listed(table, width)));
    let meaning = if meaning.is_empty() { String::new() } else { paragraph(&meaning, width) };
    format!("{}\n\n{meaning}\n{}{}", paths.join(", "), columns(&rows, width), keys.unwrap_or_default())
        .replace("\n\n\n", "\n\n")
}

/// The table in which it stands, as it is written.
fn header(known: &Known) -> String {
    match known.names.split_last() {
        Some((_, [])) | None => "the top level".to_owned(),
        Some((_, above)) => format!("[{}]", above.join(".")),
    }
}

fn listed(table: &'static Described, width: usize) -> String {
    let rows: Vec<_> = table.rows().into_iter().map(|row| (row.name.to_owned(), sentence(row))).collect();
    columns(&rows, width)
}

/// What it means, in short.
fn sentence(row: &Row) -> String {
    let (text, _) = unmarked(&explained::meaning(row));
    match text.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => text,
    }
}

fn bare(text: &str) -> String {
    unmarked(text).0
}

/// Text without its marks, and the pages to which it links, as seen from docs/.
fn unmarked(markdown: &str) -> (String, Vec<String>) {
    let (mut text, mut pages) = (String::new(), Vec::new());
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once("](") {
        let Some((target, after)) = link.split_once(')') else { break };
        let (before, name) = before.rsplit_once('[').unwrap_or((before, ""));
        text += before;
        // They stand below the text.
        if name == "more" {
            text.truncate(text.trim_end_matches([' ', ':']).len());
        } else {
            text += name;
        }
        let page = format!("docs/{target}");
        if !pages.contains(&page) {
            pages.push(page);
        }
        rest = after;
    }
    text += rest;
    (text.replace("**", "").replace('`', ""), pages)
}

fn no_key(top: &'static Described, all: &[Known], wanted: &[&str]) -> String {
    let asked = text::sentence(&wanted.join("."));
    let Some((last, before)) = wanted.split_last() else { return String::new() };
    // The table that is named before it, if there is one.
    let table = if before.is_empty() {
        None
    } else {
        let above = all.iter().find(|known| known.ends_with(before));
        above.and_then(|known| below(known.row.shape)).map(|(table, _)| table)
    };
    let paths: Vec<String> = all.iter().map(Known::path).collect();
    let begins = |key: &&&'static str| last.len() > 2 && key.starts_with(last);
    let near = match table {
        Some(table) if table.section.keys.iter().any(|key| begins(&key)) => {
            table.section.keys.iter().find(begins).map(|meant| format!("{}.{meant}", before.join(".")))
        }
        Some(table) => {
            keys::unknown(last, table.section).meant.first().map(|meant| format!("{}.{meant}", before.join(".")))
        }
        None if before.is_empty() => {
            let meant = keys::unknown(last, top.section).meant.first().copied();
            meant.or_else(|| nearest(last, all.iter().map(|known| known.row.name))).map(str::to_owned)
        }
        None => nearest(&asked, paths.iter().map(String::as_str)).map(str::to_owned),
    };
    match (near, table) {
        (Some(near), _) => format!("there is no key {asked}: did you mean {near}?"),
        (None, Some(table)) => {
            format!("there is no key {asked}: in {} are {}", before.join("."), table.section.keys.join(", "))
        }
        (None, None) => format!("there is no key {asked}: softstop explain has them all"),
    }
}
