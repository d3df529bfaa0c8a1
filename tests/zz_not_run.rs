//! Not a test: the list of what could not run on this machine, printed by the last target of `cargo test` (hence its name), which is its
//! own harness, as the standard one shows nothing of what has not failed.

#![allow(clippy::print_stdout, reason = "it is there to print")]

#[path = "support/not_run.rs"]
mod not_run;

fn main() {
    // As cargo-nextest asks, which runs each test by itself and has no end.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let lines = not_run::take();
    if lines.is_empty() {
        println!("\nevery test could run on this machine");
        return;
    }
    println!("\n{} tests could not run on this machine:", lines.len());
    lines.iter().for_each(|line| println!("  {line}"));
}
