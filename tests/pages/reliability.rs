//! docs/reliability.md and the pages behind it against the tests: every corner of the list is there, with a test or a reason, and every test that
//! they name exists.

use crate::declared::{self, files, pages_of};

/// How many corners of each kind the list has.
const CORNERS: &[(char, u32)] = &[('S', 24), ('Q', 18), ('R', 13), ('X', 20), ('V', 13)];
const NO_TEST: &str = "not handled: ";
/// A reason of fewer letters is none.
const REASON: usize = 40;

/// All of them, one behind the other.
fn page() -> String {
    pages_of("reliability").into_iter().map(|(_, text)| text).collect()
}

/// The cells of the rows whose first cell is one of the list's numbers.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    let rows = page.lines().filter(|l| l.starts_with("| "));
    let cells = rows.map(|l| l.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect::<Vec<_>>());
    let numbered = |cells: &Vec<String>| {
        let (kind, number) = cells[0].split_at(cells[0].chars().next().map_or(0, char::len_utf8));
        CORNERS.iter().any(|(k, _)| kind == k.to_string()) && number.parse::<u32>().is_ok()
    };
    cells.filter(numbered).map(|cells| (cells[0].clone(), cells[1..].to_vec())).collect()
}

/// Every `` `file.rs: function` `` in a text.
fn named(text: &str) -> Vec<(&str, &str)> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter_map(|span| span.split_once(": ").filter(|(file, _)| file.ends_with(".rs"))).collect()
}

/// A function below an attribute that makes it a test, or a case of the one target that is its own harness.
fn is_test(source: &str, name: &str) -> bool {
    if source.contains("harness = false") || source.contains("const CASES: &[Case]") {
        return source.contains(&format!("name: \"{name}\""));
    }
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|l| l.contains(&format!("fn {name}("))) else { return false };
    let above = lines[..at].iter().rev().take_while(|l| l.starts_with("#[") || l.starts_with("//"));
    above.into_iter().any(|l| l.starts_with("#[test]") || l.starts_with("#[tokio::test"))
}

fn missing(text: &str) -> Vec<String> {
    let exists = |file: &str, name: &str| {
        let path = if file.starts_with("src/") { file.to_owned() } else { format!("tests/{file}") };
        is_test(&declared::text(&path), name)
    };
    named(text)
        .iter()
        .filter(|(file, name)| !exists(file, name))
        .map(|(file, name)| format!("{file}: {name}"))
        .collect()
}

#[test]
fn every_corner_is_there_once_and_in_order() {
    let expected: Vec<String> =
        CORNERS.iter().flat_map(|(kind, last)| (1..=*last).map(move |n| format!("{kind}{n}"))).collect();
    let found: Vec<String> = rows(&page()).into_iter().map(|(number, _)| number).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_corner_has_a_test_or_a_reason() {
    for (number, cells) in rows(&page()) {
        assert_eq!(cells.len(), 3, "{number}: {cells:?}");
        assert!(cells.iter().all(|c| !c.is_empty()), "{number}: {cells:?}");
        match cells[2].strip_prefix(NO_TEST) {
            Some(reason) => assert!(reason.chars().count() >= REASON, "{number}: why is it not handled? {reason:?}"),
            None => assert!(!named(&cells[2]).is_empty(), "{number}: neither a test nor a reason: {:?}", cells[2]),
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let page = page();
    assert!(named(&page).len() >= 150, "{} tests are named", named(&page).len());
    assert_eq!(missing(&page), [""; 0]);
}

/// Every fault test is on the page: a new one is worth a word.
#[test]
fn every_fault_is_on_the_page() {
    let page = page();
    for path in files("tests/faults", ".rs").into_iter().chain(["tests/crowds/load.rs".to_owned()]) {
        let (source, file) = (declared::text(&path), &path["tests/".len()..]);
        let names = source.lines().filter_map(|l| l.strip_prefix("fn ")?.split_once("()").map(|(name, _)| name));
        for name in names.filter(|name| is_test(&source, name)) {
            assert!(named(&page).contains(&(file, name)), "{file}: {name} is not on the page");
        }
    }
}

#[test]
fn the_test_itself_can_fail() {
    assert_eq!(
        missing("`life/pid1.rs: no_such_test`, `life/pid1.rs: listen_pid_names_the_child`"),
        ["life/pid1.rs: no_such_test"]
    );
    assert_eq!(missing("`life/pid1.rs: lines_naming`").len(), 1, "a helper is no test");
    assert_eq!(missing("`sys_process.rs: own_fault`").len(), 1, "the case's name counts");
    assert_eq!(missing("`src/sys/reap.rs: every_way_to_end_is_told_apart`"), [""; 0]);
    let row = "| S1 | a corner | what softstop does | not handled: why |\n| no row | | |\n| S | x | y | z |";
    assert_eq!(rows(row).len(), 1);
}
