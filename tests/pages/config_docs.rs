//! docs/configuration.md and the pages behind it against the reader: their tables are made of the declared keys, every example is valid.

use std::collections::BTreeSet;

use softstop::config::check::{read, tables};

use crate::declared::page::{is_complete, with_tables};
use crate::declared::sites::SITES;
use crate::declared::{is_as_made, pages_of, table, words};

/// All of them, one behind the other.
fn all() -> String {
    pages_of("configuration").into_iter().map(|(_, text)| text).collect()
}

#[test]
fn the_tables_of_the_pages_are_made_of_the_declared_keys() {
    is_complete(&all());
    for (path, page) in pages_of("configuration") {
        is_as_made(&path, &with_tables(&path, &page));
    }
}

/// With the default written down a configuration means what it means without.
#[test]
fn a_default_on_the_page_is_what_holds_without_the_key() {
    let mut seen = BTreeSet::new();
    for (title, above, needed, below) in &*SITES {
        for row in table(title).rows() {
            let Some(default) = row.default.first() else { continue };
            let needed = needed.iter().filter(|(key, _)| *key != row.name);
            let needed: String = needed.map(|(key, value)| format!("{key} = {value}\n")).collect();
            let means = |line: &str| match read(&format!("{above}{needed}{line}{below}"), "f", &|_| None) {
                Ok((config, _)) => format!("{config:?}"),
                Err(problems) => panic!("{problems}"),
            };
            let line = format!("{} = {}\n", row.name, default());
            let (with, without) = (means(&line), means(""));
            // What says nothing about stragglers has the container's: that is put together later.
            assert!(with == without || *title == "stragglers", "{title}: {line}{with}\n{without}");
            seen.insert((title, row.name));
        }
    }
    let all =
        tables().into_iter().flat_map(|t| t.rows().into_iter().map(|row| (t.section.title, row)).collect::<Vec<_>>());
    assert_eq!(seen.len(), all.filter(|(_, row)| !row.default.is_empty()).count(), "a table has no site");
}

#[test]
fn the_words_of_the_fuzzers_are_made_of_the_declared_keys() {
    is_as_made("fuzz/dict/config.dict", &words::dictionary());
}

#[test]
fn every_example_in_the_pages_is_valid() {
    let text = all();
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).map(|b| b.split("```").next().expect("a block ends")).collect();
    assert!(blocks.len() >= 35, "{} examples", blocks.len());
    for block in blocks {
        let process = if block.contains("[[process]]") { "" } else { "\n[[process]]\nname = 'x'\ncommand = ['x']\n" };
        match read(&format!("{block}{process}"), "docs/configuration.md", &|_| None) {
            Ok((_, warnings)) => assert_eq!(warnings, [], "{block}"),
            Err(problems) => panic!("{problems}\n{block}"),
        }
    }
}

#[test]
fn the_error_on_the_page_is_the_one_that_is_shown() {
    let text = "[[process]]\nname = \"web\"\ncomand = [\"/app/server\"]\n";
    let shown = read(text, "softstop.toml", &|_| None).expect_err("it is wrong").to_string();
    assert!(all().contains(&shown), "{shown}");
}
