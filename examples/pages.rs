//! Writes shell completions (bash, zsh, fish) and manual pages, one for each command, into a folder's `completions` and `man`:
//!
//! ```sh
//! cargo run --example pages -- pages
//! ```
//!
//! `scripts/dist` and `scripts/deb` make tarball and package of it.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a tool for those who build a package")]

#[path = "../tests/declared/grammar.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod grammar;
#[path = "../tests/declared/made.rs"]
mod made;

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(share) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("name the folder: cargo run --example pages -- DIR"));
    };
    for (path, text) in made::files() {
        let path = share.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}
