//! The fuzzers' corpus, replayed and varied: every file in `fuzz/corpus/TARGET/` through the same function that libFuzzer calls. So what a
//! fuzzer once found is a regression test that needs no fuzzer, and a target that breaks is found before anybody runs one.

#![cfg(feature = "yaml")]

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestRunner};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");

/// Sorted; empty when there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = read.map(|e| e.expect("a folder that can be read").path()).collect();
    paths.sort();
    paths
}

/// Each target with its inputs: their paths, and what is in them.
fn corpus() -> impl Iterator<Item = (&'static str, fuzz::Target, Vec<(PathBuf, Vec<u8>)>)> {
    fuzz::TARGETS.iter().map(|(name, target)| {
        let read = |path: PathBuf| (path.clone(), std::fs::read(path).expect("a file that can be read"));
        let inputs: Vec<_> = entries(&Path::new(CORPUS).join(name)).into_iter().map(read).collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        (*name, *target, inputs)
    })
}

#[test]
fn every_input_of_the_corpus_holds() {
    for (_, target, inputs) in corpus() {
        for (path, data) in inputs {
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                panic!("{} no longer holds: its panic is above", path.display());
            }
        }
    }
}

/// A few edits as a fuzzer makes them: bytes changed, doubled, cut out, and the end of another input.
fn vary(data: &mut Vec<u8>, other: &[u8], edits: &[(u8, Index, Index, u8)]) {
    for (edit, from, length, byte) in edits {
        let from = from.index(data.len() + 1);
        let until = (from + length.index(16)).min(data.len());
        match edit {
            0 => data.insert(from, *byte),
            1 => data[from..until].fill(*byte),
            2 => drop(data.drain(from..until)),
            3 => data.extend_from_within(from..until),
            _ => data.splice(from.., other[length.index(other.len() + 1)..].iter().copied()).for_each(drop),
        }
    }
}

/// Other edits each time; a failure prints the least input that fails. `PROPTEST_CASES` says how many of each target.
#[test]
fn what_is_like_an_input_of_the_corpus_holds() {
    for (name, target, inputs) in corpus() {
        let input = || select(inputs.iter().map(|(_, data)| data.clone()).collect::<Vec<_>>());
        let edits = vec((0..5u8, any::<Index>(), any::<Index>(), any::<u8>()), 1..8);
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
        let held = TestRunner::new(config).run(&(input(), input(), edits), |(mut data, other, edits)| {
            vary(&mut data, &other, &edits);
            std::panic::catch_unwind(|| target(&data))
                .map_err(|_| TestCaseError::fail(format!("{name}: {:?}", String::from_utf8_lossy(&data))))
        });
        held.unwrap_or_else(|failure| panic!("{name} does not hold: {failure}"));
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
        // All that libFuzzer adds, and so not built in every `cargo test`.
        let body = std::fs::read_to_string(format!("{}/fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR")));
        let expected =
            format!("#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| softstop_fuzz::{name}::target(data));\n");
        assert_eq!(body.ok(), Some(expected), "{name} is not what it says");
    }
}
