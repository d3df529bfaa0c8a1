//! docs/configuration.md against the reader: every key is documented, none is invented, every example is valid.

use std::collections::{BTreeMap, BTreeSet};

use softstop::config::check::{keys, read};

const DOC: &str = include_str!("../../docs/configuration.md");

/// The keys of each table in the page: the first column of the rows that follow `<!-- keys: TITLE -->`.
fn documented() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut tables = BTreeMap::new();
    for part in DOC.split("<!-- keys: ").skip(1) {
        let (title, rest) = part.split_once(" -->").expect("a marker ends");
        let rows = rest.trim_start().lines().take_while(|line| line.starts_with('|')).skip(2);
        let keys = rows.filter_map(|row| row.split('`').nth(1)).collect();
        assert!(tables.insert(title, keys).is_none(), "{title} is there twice");
    }
    tables
}

#[test]
fn every_key_is_documented_and_none_is_invented() {
    let mut documented = documented();
    // Said once: what a step shares with a task and a POST with a GET.
    for (title, base) in [(keys::STEP.title, keys::TASK.title), (keys::HTTP_POST.title, keys::HTTP_GET.title)] {
        let base = documented[base].clone();
        documented.get_mut(title).expect("it is documented").extend(base);
    }
    for section in keys::SECTIONS {
        let known: BTreeSet<&str> = section.keys.iter().copied().collect();
        assert_eq!(documented.remove(section.title), Some(known), "{}", section.title);
    }
    assert_eq!(documented, BTreeMap::new());
}

#[test]
fn every_example_in_the_page_is_valid() {
    let blocks: Vec<&str> =
        DOC.split("```toml\n").skip(1).map(|b| b.split("```").next().expect("a block ends")).collect();
    assert!(blocks.len() >= 12, "{} examples", blocks.len());
    for block in blocks {
        let process = if block.contains("[[process]]") { "" } else { "\n[[process]]\nname = 'x'\ncommand = ['x']\n" };
        match read(&format!("{block}{process}"), "docs/configuration.md", &|_| None) {
            Ok((_, warnings)) => assert_eq!(warnings, [], "{block}"),
            Err(problems) => panic!("{problems}\n{block}"),
        }
    }
}

#[test]
fn the_links_within_the_page_lead_somewhere() {
    let anchors: BTreeSet<String> = DOC
        .lines()
        .filter(|l| l.starts_with("##"))
        .map(|l| l.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    for link in DOC.split("](#").skip(1).map(|l| l.split(')').next().expect("a link ends")) {
        assert!(anchors.contains(link), "#{link} is not among {anchors:?}");
    }
}

#[test]
fn the_error_on_the_page_is_the_one_that_is_shown() {
    let text = "[[process]]\nname = \"web\"\ncomand = [\"/app/server\"]\n";
    let shown = read(text, "softstop.toml", &|_| None).expect_err("it is wrong").to_string();
    assert!(DOC.contains(&shown), "{shown}");
}
