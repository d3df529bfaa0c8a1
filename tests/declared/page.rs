//! The tables of docs/configuration.md and of the pages behind it.

use softstop::config::check::declare::{Described, Row};
use softstop::config::check::explained::{default, kind, meaning};
use softstop::config::check::tables;

use super::{marked, seen_from, table};

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

/// The page at that path with its tables made anew.
pub fn with_tables(path: &str, page: &str) -> String {
    MARKS.iter().fold(page.to_owned(), |page, (mark, rows)| {
        marked(&page, mark, |title| {
            let rows: String = rows(table(title)).into_iter().map(line_of).collect();
            format!("{HEAD}{}", seen_from(path, &rows))
        })
    })
}

/// Each table stands in the pages once.
pub fn is_complete(pages: &str) {
    for table in tables() {
        let title = table.section.title;
        let count: usize = MARKS.iter().map(|(mark, _)| pages.matches(&format!("{mark}{title} -->")).count()).sum();
        assert_eq!(
            count, 1,
            "docs/configuration.md and docs/configuration/ have {count} tables of {title}: write `<!-- keys: {title} -->` in one, once"
        );
    }
}

fn line_of(row: &Row) -> String {
    let cell = |text: &str| if text.is_empty() { " |".to_owned() } else { format!(" {text} |") };
    format!("| `{}` |{}{}{}\n", row.name, cell(&kind(row)), cell(&default(row)), cell(&meaning(row)))
}
