//! The lines of a child, to where nobody has to wait for anything.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::common::{find, median};
use crate::{Sizes, quietly, this};

pub fn markdown(softstop: &Path, dir: &Path, sizes: &Sizes) -> String {
    let (lines, repeats) = (sizes.lines, sizes.repeats);
    eprintln!("compare: {lines} lines");
    let this = this();
    let mut rows: Vec<(String, Command, Vec<f64>)> = Vec::new();
    let mut add = |name: &str, mut command: Command| {
        command.env("LINES", lines.to_string());
        rows.push((name.to_owned(), command, Vec::new()));
    };
    let shell = |then: &str| {
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c"]).arg(format!("'{}' inside-lines | {then}", this.display()));
        command
    };
    let mut straight = Command::new(&this);
    straight.arg("inside-lines");
    add("nobody in between", straight);
    add("`cat`", shell("cat"));
    for output in ["prefix", "json"] {
        let mut command = Command::new(softstop);
        command.args(["--output", output, "--termination-log", "", "--"]).arg(&this).arg("inside-lines");
        add(&format!("softstop, `--output {output}`"), command);
    }
    if find("s6-log").is_some() {
        add("`s6-log`, into a file", shell(&format!("s6-log n1 s99999999 '{}/log'", dir.display())));
    }
    for _ in 0..repeats {
        for (_, command, rates) in &mut rows {
            let began = Instant::now();
            let status = quietly(command).status().unwrap();
            assert!(status.success(), "{command:?}: {status}");
            rates.push(lines as f64 / began.elapsed().as_secs_f64());
        }
    }
    let mut text = format!("\n| {lines} lines of 100 bytes, median of {repeats} | lines a second |\n|---|---|\n");
    for (name, _, rates) in rows {
        writeln!(text, "| {name} | {:.2} million |", median(rates) / 1e6).unwrap();
    }
    text
}
