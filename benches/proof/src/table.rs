//! The table: one row per invariant, one column per way of trying to break it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::Command;

use crate::mutants::Outcome;
use crate::mutate::Mutant;
use crate::root;

#[derive(Default)]
pub struct Table {
    /// By column and invariant.
    cells: BTreeMap<&'static str, BTreeMap<u32, u64>>,
    notes: Vec<String>,
}

/// Where every survivor has to be killed or explained. Of the configuration's reader, whose work is words, a share is enough.
const EXPLAINED: &[&str] = &["src/plan/", "src/lifecycle/", "src/runtime/waits/idle/rule"];

const COLUMNS: &[(&str, &str)] = &[
    ("simulation", "simulated scenarios"),
    ("exploration", "explored transitions"),
    ("rounds", "real-fault rounds"),
    ("mutants", "mutants killed"),
];

impl Table {
    /// A test target prints `I3: 1234 …` for each invariant that it has put to the test.
    pub fn run_tests(&mut self, column: &'static str, target: &str) -> bool {
        println!("{column}: cargo test --test {target}");
        let mut command = Command::new("cargo");
        command.current_dir(root()).args(["test", "--locked", "--test", target, "--", "--nocapture"]);
        let scenarios = if target == "simulation" { "1000000" } else { "100000" };
        for (variable, value) in [("SOFTSTOP_SCENARIOS", scenarios), ("SOFTSTOP_ROUNDS", "1000")] {
            if std::env::var_os(variable).is_none() {
                command.env(variable, value);
            }
        }
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => {
                eprintln!("cargo: {error}");
                return false;
            }
        };
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            eprintln!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
        }
        for line in text.lines() {
            let counted = line.trim().strip_prefix('I').and_then(|rest| {
                let (number, rest) = rest.split_once(": ")?;
                Some((number.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
            });
            // A target may do both: I10 and I11 do.
            let column = if line.contains(" states put ") { "exploration" } else { column };
            match counted {
                Some((invariant, count)) => drop(self.cells.entry(column).or_default().insert(invariant, count)),
                None if line.contains("states, ")
                    || line.contains(" scenarios from")
                    || line.contains(" rounds from") =>
                {
                    println!("  {line}");
                    self.notes.push(format!("{column}: {line}"));
                }
                None => {}
            }
        }
        output.status.success()
    }

    /// `false`: a mutant has survived that nobody has explained, or one is explained that there is not.
    pub fn add_mutants(&mut self, outcome: &Outcome) -> bool {
        let cells = self.cells.entry("mutants").or_default();
        for by in outcome.noticed.values().flatten() {
            if let Some(Ok(invariant)) = by.strip_prefix('I').map(str::parse) {
                *cells.entry(invariant).or_default() += 1;
            }
        }
        let explained = explained();
        let survivors: Vec<_> = outcome.mutants.iter().filter(|m| !outcome.noticed.contains_key(&m.id)).collect();
        let open: Vec<_> = survivors.iter().filter(|m| !explained.contains(&m.key())).collect();
        for mutant in &open {
            println!("survives: {}  (line {})", mutant.key(), mutant.line);
        }
        for part in EXPLAINED {
            let of = |list: &[&Mutant]| list.iter().filter(|m| m.file.starts_with(part)).count();
            let all: Vec<&Mutant> = outcome.mutants.iter().collect();
            let left: Vec<&Mutant> = open.iter().map(|m| **m).collect();
            println!("{part}: {} mutants, {} killed, {} open", of(&all), of(&all) - of(&survivors), of(&left));
        }
        let open: Vec<_> = open.into_iter().filter(|m| EXPLAINED.iter().any(|p| m.file.starts_with(p))).collect();
        for mutant in outcome.mutants.iter().filter(|m| outcome.noticed.contains_key(&m.id)) {
            if explained.contains(&mutant.key()) {
                println!("explained in survivors.txt, and noticed: {}  (line {})", mutant.key(), mutant.line);
            }
        }
        let stale: Vec<&String> = explained.difference(&outcome.keys).collect();
        for key in &stale {
            println!("explained in survivors.txt, and there is no such mutant: {key}");
        }
        self.notes.push(format!(
            "mutants: {} in all, {} killed, {} explained, {} survive",
            outcome.mutants.len(),
            outcome.noticed.len(),
            survivors.len() - open.len(),
            open.len()
        ));
        open.is_empty() && stale.is_empty()
    }
}

/// The keys in survivors.txt: lines that do not begin with a space or `#`; below each stands why it changes nothing.
fn explained() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("benches/proof/survivors.txt")).unwrap_or_default();
    text.lines().filter(|l| !l.is_empty() && !l.starts_with([' ', '#'])).map(str::to_string).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = COLUMNS.iter().filter(|(column, _)| self.cells.contains_key(column)).collect();
        let rows: BTreeSet<u32> = self.cells.values().flat_map(BTreeMap::keys).copied().collect();
        writeln!(f, "\n| invariant |{}", columns.iter().map(|(_, title)| format!(" {title} |")).collect::<String>())?;
        writeln!(f, "|---|{}", "---:|".repeat(columns.len()))?;
        for row in rows {
            write!(f, "| I{row} |")?;
            for (column, title) in &columns {
                let count = self.cells[column].get(&row).map_or_else(|| "–".to_string(), |n| grouped(*n));
                write!(f, " {count:>width$} |", width = title.len())?;
            }
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "\n{note}"))
    }
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|c| std::str::from_utf8(c).unwrap_or("")).collect();
    groups.join(",")
}
