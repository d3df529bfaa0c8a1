//! The tests that could not run on this machine, from one `cargo test` to its end: each adds its line, the last target prints the list.

// Every test file includes this module and uses a part of it.
#![allow(dead_code)]

use std::io::Write;
use std::os::unix::process::parent_id;
use std::path::PathBuf;

/// All targets of one `cargo test` have the same parent: cargo.
fn list() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("not-run-{}", parent_id()))
}

/// One line, whole, whoever else writes at the same time.
pub fn add(line: &str) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(list());
    let added = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = added {
        // Not `println!`, which the harness shows of failed tests alone.
        let _ = writeln!(std::io::stderr(), "{line} (and it could not be noted: {error})");
    }
}

/// The lines in order, which are then forgotten.
pub fn take() -> Vec<String> {
    let text = std::fs::read_to_string(list()).unwrap_or_default();
    let _ = std::fs::remove_file(list());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
