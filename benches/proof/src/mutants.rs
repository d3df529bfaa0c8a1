//! Builds the core with all of its mutants, and lets the checks loose on each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::mutate::{Mutant, mutate};
use crate::root;

/// Mutated are the parts that decide.
const MUTATED: &[&str] = &[
    "src/plan/",
    "src/lifecycle/",
    "src/output/",
    "src/config/check/",
    "src/config/expand.rs",
    "src/runtime/waits/idle/rule",
];
/// Which program of the mutated core, with which first argument, tries the mutants of a file.
const RUNNERS: &[(&str, &[&str])] =
    &[("src/output/", &["rows", "I10"]), ("src/config/", &["rows", "I11"]), ("src/", &["runner"])];
/// A mutant that takes longer than that hangs; more of the simulation takes a while on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
const DEEP_PATIENCE: Duration = Duration::from_secs(60);

type Error = Box<dyn std::error::Error>;

/// What became of each mutant.
pub struct Outcome {
    /// All that there are, whether they were tried or not.
    pub keys: BTreeSet<String>,
    pub mutants: Vec<Mutant>,
    /// By mutant: what noticed it.
    pub noticed: BTreeMap<u32, BTreeSet<String>>,
}

pub fn run() -> Result<Outcome, Error> {
    let dir = root().join("target/proof/mutants");
    let mutants = build(&dir)?;
    println!("{} mutants of {}", mutants.len(), MUTATED.join(" and "));
    // SOFTSTOP_MUTANTS=src/plan/,src/output/ looks at those alone, @FILE at those that an earlier run printed as survivors.
    let only = std::env::var("SOFTSTOP_MUTANTS").unwrap_or_default();
    let again = only.strip_prefix('@').map(std::fs::read_to_string).transpose()?;
    // SOFTSTOP_EVERY=4 looks at every fourth of them.
    let every: u32 = std::env::var("SOFTSTOP_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(1).max(1);
    let chosen = |m: &Mutant| match &again {
        Some(printed) => printed.contains(&format!("survives: {}  (", m.key())),
        None => only.split(',').any(|part| m.file.starts_with(part)),
    };
    let wanted = |m: &Mutant| chosen(m) && m.id.is_multiple_of(every);
    let keys = mutants.iter().map(Mutant::key).collect();
    let mutants: Vec<Mutant> = mutants.into_iter().filter(wanted).collect();
    let mut noticed: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (part, program) in RUNNERS {
        let first = |m: &Mutant| RUNNERS.iter().find(|(part, _)| m.file.starts_with(part)).map(|(part, _)| *part);
        let own: Vec<&Mutant> = mutants.iter().filter(|m| first(m) == Some(*part)).collect();
        noticed.extend(simulate(&dir, program, &own, false)?);
        let count = own.iter().filter(|m| noticed.contains_key(&m.id)).count();
        println!("{count} of {} mutants below {part} are noticed by the simulation", own.len());
    }
    let left = |noticed: &BTreeMap<u32, BTreeSet<String>>| -> Vec<&Mutant> {
        mutants.iter().filter(|m| !noticed.contains_key(&m.id)).collect()
    };
    let to_units = left(&noticed);
    println!("{} are left to the unit tests and the scenarios", to_units.len());
    for (id, by) in unit_tests(&dir, &to_units)? {
        noticed.entry(id).or_default().insert(by);
    }
    let to_deep: Vec<&Mutant> = left(&noticed)
        .into_iter()
        .filter(|m| ["src/plan/", "src/lifecycle/"].iter().any(|p| m.file.starts_with(p)))
        .collect();
    println!("{} are left to more of the simulation and to the exploration", to_deep.len());
    noticed.extend(simulate(&dir, &["runner"], &to_deep, true)?);
    Ok(Outcome { keys, mutants, noticed })
}

/// A crate with the core in it, mutated; those that do not compile are left out.
fn build(dir: &Path) -> Result<Vec<Mutant>, Error> {
    let mut without = BTreeSet::new();
    for _ in 0..40 {
        let mutants = write(dir, &without)?;
        let output = cargo(dir, &["build", "--release", "--bins", "--message-format=short"]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(mutants);
        }
        let broken = culprits(dir, &errors)?;
        if broken.is_empty() {
            return Err(format!("the mutated core does not build:\n{errors}").into());
        }
        without.extend(broken);
    }
    Err("too many mutants that do not compile".into())
}

fn cargo(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(dir).args(args).env("CARGO_TARGET_DIR", dir.join("target"));
    command
}

/// The mutants whose lines the compiler complains of.
fn culprits(dir: &Path, errors: &str) -> Result<BTreeSet<u32>, Error> {
    let mut found = BTreeSet::new();
    for line in errors.lines().filter(|l| l.contains("error")) {
        let mut parts = line.split(':');
        let (Some(file), Some(Ok(at))) = (parts.next(), parts.next().map(str::parse::<usize>)) else { continue };
        let text = std::fs::read_to_string(dir.join(file))?;
        let before: Vec<&str> = text.lines().take(at).collect();
        found.extend(before.iter().rev().take(60).find_map(|l| id_in(l)));
    }
    Ok(found)
}

/// `17u32 =>` or `at() != 17u32`.
fn id_in(line: &str) -> Option<u32> {
    let (before, _) = line.split_once("u32")?;
    let digits = before.trim_start_matches(|c: char| !c.is_ascii_digit());
    let digits = digits.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    let marked = line.contains("u32 =>") || line.contains("mutant::at() !=");
    if marked { digits.parse().ok() } else { None }
}

fn write(dir: &Path, without: &BTreeSet<u32>) -> Result<Vec<Mutant>, Error> {
    let _ = std::fs::remove_dir_all(dir.join("src"));
    let mut mutants = Vec::new();
    let mut next = 1;
    let core = std::fs::read_to_string(root().join("tests/core/lib.rs"))?;
    for file in modules(&syn::parse_file(&core)?.items, Path::new(""))? {
        let name = file.strip_prefix(root())?.to_string_lossy().into_owned();
        let mut text = std::fs::read_to_string(&file)?;
        if MUTATED.iter().any(|m| name.starts_with(m)) && !name.contains("/tests") {
            text = mutate(&name, &text, without, &mut next, &mut mutants)?;
        }
        let to = dir.join(&name);
        std::fs::create_dir_all(to.parent().ok_or("no directory")?)?;
        std::fs::write(to, text)?;
    }
    // Here the units are tested, too.
    let core =
        core.replace("#![cfg(not(test))]\n", "").replace("(dead_code", "(warnings").replace("\"../../src/", "\"");
    std::fs::write(dir.join("src/lib.rs"), core + MUTANT)?;
    std::fs::create_dir_all(dir.join("src/bin"))?;
    let runner = include_str!("runner.rs").replace("WORLD", &root().join("tests/core/world/mod.rs").to_string_lossy());
    std::fs::write(dir.join("src/bin/runner.rs"), runner)?;
    let rows = include_str!("rows.rs").replace("TESTS", &root().join("tests").canonicalize()?.to_string_lossy());
    std::fs::write(dir.join("src/bin/rows.rs"), rows)?;
    // Its golden timelines belong to it.
    std::fs::create_dir_all(dir.join("tests"))?;
    std::fs::copy(root().join("tests/scenarios.rs"), dir.join("tests/scenarios.rs"))?;
    for part in ["scenarios", "story", "cronie"] {
        let link = dir.join("tests").join(part);
        if !link.exists() {
            std::os::unix::fs::symlink(root().join("tests").join(part).canonicalize()?, link)?;
        }
    }
    let manifest = std::fs::read_to_string(root().join("tests/core/Cargo.toml"))?;
    let sections = manifest
        .split_inclusive("\n\n")
        .filter(|s| ["[features]", "[dependencies]"].iter().any(|name| s.starts_with(name)));
    std::fs::write(dir.join("Cargo.toml"), MANIFEST.to_owned() + &sections.collect::<String>())?;
    std::fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock"))?;
    Ok(mutants)
}

/// The files of these modules, which lie in `folder` where no `path` says otherwise.
fn modules(items: &[syn::Item], folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for item in items {
        let syn::Item::Mod(module) = item else { continue };
        let named = module.attrs.iter().find_map(|attr| match attr.meta.require_name_value().ok()?.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(ref path), .. }) => Some(path.value()),
            _ => None,
        });
        let path = match &named {
            Some(named) => root().join(named.strip_prefix(SOURCES).ok_or("a module that is not softstop's")?),
            None => folder.join(module.ident.to_string()),
        };
        if let Some((_, items)) = &module.content {
            files.extend(modules(items, &path)?);
            continue;
        }
        let path = if path.ends_with("mod.rs") { path.with_file_name("") } else { path.with_extension("") };
        for part in [path.with_extension("rs"), path] {
            if part.exists() {
                files.extend(sources(&part)?);
            }
        }
    }
    Ok(files)
}

fn sources(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)?.map(|e| Ok(e?.path())).collect::<Result<_, Error>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(sources(&entry)?);
    }
    Ok(files)
}

/// Where lib.rs of tests/core has its modules from.
const SOURCES: &str = "../../";

const MUTANT: &str = r#"
/// Which mutant is in force; 0: none.
pub mod mutant {
    use std::sync::atomic::{AtomicU32, Ordering};

    static AT: AtomicU32 = AtomicU32::new(u32::MAX);

    #[inline]
    pub fn at() -> u32 {
        match AT.load(Ordering::Relaxed) {
            u32::MAX => {
                let id = std::env::var("MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
                AT.store(id, Ordering::Relaxed);
                id
            }
            id => id,
        }
    }

    pub fn set(id: u32) {
        AT.store(id, Ordering::Relaxed);
    }
}
"#;

const MANIFEST: &str = r#"[package]
name = "softstop"
version = "0.1.0"
edition = "2024"
[workspace]
[dev-dependencies]
proptest = { version = "1", default-features = false, features = ["std"] }
[profile.release]
opt-level = 2
debug-assertions = true
overflow-checks = true
incremental = true
[profile.test]
opt-level = 1
"#;

/// The simulation and the exploration, in processes that are ended when a mutant makes them hang.
fn simulate(
    dir: &Path,
    program: &[&str],
    mutants: &[&Mutant],
    deep: bool,
) -> Result<BTreeMap<u32, BTreeSet<String>>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shares: Vec<Vec<u32>> =
        (0..threads).map(|t| mutants.iter().skip(t).step_by(threads).map(|m| m.id).collect()).collect();
    let mut noticed = BTreeMap::new();
    std::thread::scope(|scope| -> Result<(), Error> {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|ids| scope.spawn(move || simulate_share(dir, program, ids, deep).map_err(|e| e.to_string())))
            .collect();
        for worker in workers {
            noticed.extend(worker.join().map_err(|_| "a worker panicked")??);
        }
        Ok(())
    })?;
    if noticed.remove(&0).is_some() {
        return Err("the checks complain of the core as it is".into());
    }
    Ok(noticed)
}

fn simulate_share(
    dir: &Path,
    program: &[&str],
    mut ids: Vec<u32>,
    deep: bool,
) -> Result<BTreeMap<u32, BTreeSet<String>>, Error> {
    // The core as it is, first: it must pass.
    ids.insert(0, 0);
    let mut noticed = BTreeMap::new();
    while !ids.is_empty() {
        let list = ids.iter().fold(String::new(), |mut list, id| {
            let _ = write!(list, "{id} ");
            list
        });
        // A mutant may also want all the memory there is.
        let script = "ulimit -v 8000000; exec \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(dir.join("target/release").join(program[0]))
            .args(&program[1..])
            .args(list.split_whitespace())
            .envs(deep.then_some(("DEEP", "1")))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().ok_or("no output")?;
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        loop {
            match lines.recv_timeout(if deep { DEEP_PATIENCE } else { PATIENCE }) {
                Ok(line) => {
                    let mut words = line.split_whitespace().map(str::to_string);
                    let id: u32 = words.next().ok_or("an empty line")?.parse()?;
                    ids.retain(|i| *i != id);
                    let by: BTreeSet<String> = words.collect();
                    if !by.is_empty() {
                        noticed.insert(id, by);
                    }
                }
                Err(_) if ids.is_empty() => break,
                // Hung, or ended by itself: the mutant it was at did that.
                Err(_) => {
                    let row = program.get(1).unwrap_or(&"I1");
                    noticed.insert(ids.remove(0), [row.to_string(), "hang".to_string()].into());
                    break;
                }
            }
        }
        let _ = child.kill();
        child.wait()?;
    }
    Ok(noticed)
}

/// What the simulation has not noticed.
fn unit_tests(dir: &Path, left: &[&Mutant]) -> Result<BTreeMap<u32, String>, Error> {
    let output = cargo(dir, &["test", "--no-run", "--lib", "--test", "scenarios", "--message-format=json"])
        .stderr(Stdio::null())
        .output()?;
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        // Not the runners, which are built along.
        let is_test = message["profile"]["test"].as_bool() == Some(true);
        programs.extend(message["executable"].as_str().filter(|_| is_test).map(str::to_string));
    }
    if !output.status.success() || programs.len() < 2 {
        return Err("the unit tests of the mutated core do not build".into());
    }
    for program in &programs {
        let listed = Command::new(program).arg("--list").output()?.stdout;
        if !String::from_utf8_lossy(&listed).contains(": test\n") {
            return Err(format!("{program} has no tests").into());
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut noticed = BTreeMap::new();
    let programs = &programs;
    std::thread::scope(|scope| -> Result<(), Error> {
        let share = |t: usize| left.iter().skip(t).step_by(threads).filter_map(move |m| unit_test(dir, programs, m));
        let workers: Vec<_> = (0..threads).map(|t| scope.spawn(move || share(t).collect::<Vec<_>>())).collect();
        for worker in workers {
            noticed.extend(worker.join().map_err(|_| "a worker panicked")?);
        }
        Ok(())
    })?;
    Ok(noticed)
}

/// The tests of the mutant's own module, and of a plan's those of the machine that goes by it; the scenarios go through all of it.
fn unit_test(dir: &Path, programs: &[String], mutant: &Mutant) -> Option<(u32, String)> {
    let module = mutant.file.split('/').nth(1)?;
    programs.iter().find_map(|program| {
        let scenarios = program.contains("scenarios");
        let mut command = Command::new("timeout");
        command.arg("60").arg(program).arg("-q").env("MUTANT", mutant.id.to_string()).current_dir(dir);
        if !scenarios {
            command.arg(format!("{module}::")).args((module == "plan").then_some("lifecycle::"));
        }
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        let by = if scenarios { "scenarios" } else { "units" };
        (!status.success()).then(|| (mutant.id, by.to_string()))
    })
}
