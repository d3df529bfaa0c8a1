//! A Procfile with mistakes and what is said about it: `tests/procfile_errors/*.procfile` beside its `.stderr`.
//! `BLESS=1 cargo test --test pages procfile::` rewrites what is expected; read the difference before you commit it.

use softstop::config::check::read;

use crate::declared::{files, is_as_made, text};

#[test]
fn each_broken_procfile_says_what_is_expected() {
    let list = files("tests/procfile_errors", ".procfile");
    assert!(!list.is_empty());
    for path in list {
        let said = read(&text(&path), "Procfile", &|_| None).expect_err("it is broken").to_string() + "\n";
        is_as_made(&path.replace(".procfile", ".stderr"), &said);
    }
}
