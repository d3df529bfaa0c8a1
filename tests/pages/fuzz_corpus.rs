//! The fuzzers' corpus, replayed: every file in `fuzz/corpus/TARGET/` through the same function that libFuzzer calls. So what a
//! fuzzer once found is a regression test that needs no fuzzer.

#![cfg(feature = "yaml")]

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");

/// Sorted; empty when there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = read.map(|e| e.expect("a folder that can be read").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_input_of_the_corpus_holds() {
    for (name, target) in fuzz::TARGETS {
        let inputs = entries(&Path::new(CORPUS).join(name));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            let data = std::fs::read(&input).expect("a file that can be read");
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                panic!("{} no longer holds: its panic is above", input.display());
            }
        }
    }
}

/// A target that is not listed everywhere would be built by nobody or replayed by nobody.
#[test]
fn every_target_is_listed() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    let names: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    for folder in entries(Path::new(CORPUS)) {
        let name = folder.file_name().and_then(|n| n.to_str()).expect("a name");
        assert!(names.contains(&name), "{name} has a corpus and is not in fuzz::TARGETS");
    }
    let built: Vec<&str> =
        manifest.lines().filter_map(|l| l.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\"")).collect();
    assert_eq!(built, names, "fuzz/Cargo.toml and fuzz::TARGETS list the same targets in the same order");
    for name in names {
        let body = std::fs::read_to_string(format!("{}/fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR")));
        assert!(
            body.is_ok_and(|b| b.contains(&format!("softstop_fuzz::{name}::target"))),
            "{name} is not what it says"
        );
    }
}
