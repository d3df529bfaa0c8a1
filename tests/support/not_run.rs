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

/// Says why a test cannot run on this machine: in the list that `tests/zz_not_run.rs` prints at the end. In CI nothing may be skipped.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|v| v.is_empty()), "cannot run in CI: {reason}");
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    add(&format!("{}: {test}: {reason}", env!("CARGO_CRATE_NAME")));
}

/// Whether this user is root, which `what` takes; said when not.
pub fn root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip(&format!("{what} takes root"));
    }
    root
}

/// One line, whole, whoever else writes at the same time.
fn add(line: &str) {
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
