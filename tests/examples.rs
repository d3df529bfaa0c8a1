//! Every configuration in `examples/` is one that softstop accepts, without a warning.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use softstop::config::check::read;

#[test]
fn every_example_is_accepted_as_it_stands() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = 0;
    for folder in std::fs::read_dir(examples).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let file = folder.join("softstop.toml");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let name = file.to_str().unwrap();
        match read(&text, name, &|_| None) {
            Ok((_, warnings)) => {
                assert!(warnings.is_empty(), "{name}: {}", warnings.iter().map(|w| w.to_string()).collect::<String>())
            }
            Err(problems) => panic!("{problems}"),
        }
        assert!(folder.join("README.md").is_file(), "{name} has no README.md beside it");
        found += 1;
    }
    assert!(found >= 4, "{found} examples");
}
