//! A Procfile with mistakes and what is said about it: `tests/procfile_errors/*.procfile` beside its `.stderr`.
//! `BLESS=1 cargo test --test pages procfile::` rewrites what is expected; read the difference before you commit it.

use std::fs;
use std::path::Path;

use softstop::config::check::read;

#[test]
fn each_broken_procfile_says_what_is_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/procfile_errors");
    let mut seen = 0;
    for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if path.extension().is_none_or(|e| e != "procfile") {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&path).expect("a text");
        let said = read(&text, "Procfile", &|_| None).expect_err("it is broken").to_string() + "\n";
        let expected = path.with_extension("stderr");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &said).expect("it is written");
        }
        assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), said, "{} (BLESS=1 rewrites)", path.display());
    }
    assert!(seen > 0);
}
