//! I11: valid configurations with every key there is, broken in every way there is. Each is refused with its line, column and fix,
//! or right: then a plan can be made of it and lived. `tests/serve/config_refused.rs` gives some to the real binary.
//!
//! `SOFTSTOP_SCENARIOS` (10,000) says how many, `SOFTSTOP_SEED` (0) from which seed on; the seed alone brings a failure back.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests use every processor")]

extern crate core_of_softstop as softstop;

#[path = "../declared/mod.rs"]
mod declared;
mod mistakes;
#[path = "../declared/schema.rs"]
mod schema;
#[path = "world/seeds.rs"]
mod seeds;

use std::collections::BTreeMap;

use declared::sites::SITES;
use declared::{Type, section_of, takes};
use mistakes::edits::{Mistake, from_seed};
use mistakes::types::VALUES;
use mistakes::valid::handlers;
use mistakes::{env, judge};
use schema::{Checker, schema};
use seeds::{number, play_all};
use softstop::config::check::{read, tables};

thread_local! {
    static CHECKER: Checker = Checker::new(schema());
}

#[test]
fn a_configuration_is_refused_where_it_is_wrong_or_can_be_lived() {
    let (from, count) = (number("SOFTSTOP_SEED", 0), number("SOFTSTOP_SCENARIOS", 10_000));
    let (tallies, broken) = play_all(from, count, |seed, refused: &mut BTreeMap<&str, [u64; 2]>| {
        let mistake = from_seed(seed);
        let was = CHECKER.with(|checker| judge(&mistake).and_then(|was| as_the_schema_has_it(checker, &mistake, was)));
        was.iter().for_each(|was| refused.entry(mistake.kind).or_default()[usize::from(*was)] += 1);
        was.is_ok()
    });
    if let Some(seed) = broken {
        let mistake = from_seed(seed);
        let was = judge(&mistake);
        let wrong = CHECKER.with(|c| was.and_then(|was| as_the_schema_has_it(c, &mistake, was))).unwrap_err();
        let text = String::from_utf8_lossy(&mistake.bytes);
        panic!("SOFTSTOP_SEED={seed} SOFTSTOP_SCENARIOS=1: {}: {wrong}\n{text}", mistake.kind)
    }
    let mut refused = BTreeMap::<&str, [u64; 2]>::new();
    for (kind, [no, yes]) in tallies.into_iter().flatten() {
        let sum = refused.entry(kind).or_default();
        *sum = [sum[0] + no, sum[1] + yes];
    }
    println!("{count} scenarios from seed {from}");
    for (kind, [no, yes]) in &refused {
        println!("  {kind}: {yes} refused, {no} accepted");
    }
    println!("I11: {} scenarios put it to the test", refused.values().map(|[_, yes]| yes).sum::<u64>());
}

/// The table at its site with these keys: the lines that they stand in.
fn at_site(site: usize, given: &[(&str, &str)]) -> (String, Vec<std::ops::Range<usize>>) {
    let (title, above, needed, below) = &SITES[site];
    let handlers = handlers(title);
    let mut text = above.clone();
    let is_handler = |key: &str| handlers.contains(&key) || key == "parallel";
    for (key, value) in *needed {
        if !given.iter().any(|(k, _)| k == key || is_handler(k) && is_handler(key)) {
            text += &format!("{key} = {value}\n");
        }
    }
    // What a table lacks, or holds as a whole, is said at its header.
    let header = above.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let mut places: Vec<_> = std::iter::once(header..header + 1).collect();
    for (key, value) in given {
        places.push(text.len()..text.len() + key.len() + value.len() + 3);
        text += &format!("{key} = {value}\n");
    }
    // A `process` that is no table is one too many beside one that is.
    let alone = given.iter().any(|(key, _)| *key == "process") && above.is_empty();
    (if alone { text } else { text + below }, places)
}

/// Every key of every table, wherever it may stand, with every value of [`VALUES`]; and every two keys of a table with some of their types.
#[test]
fn every_key_with_every_value() {
    let mut states = 0u64;
    let mut refused = 0u64;
    let mut judge = |mistake: Mistake| {
        states += 1;
        match CHECKER.with(|c| judge(&mistake).and_then(|was| as_the_schema_has_it(c, &mistake, was))) {
            Ok(was) => refused += u64::from(was),
            Err(wrong) => panic!("{wrong}\n{}", String::from_utf8_lossy(&mistake.bytes)),
        }
    };
    for (site, (title, ..)) in SITES.iter().enumerate() {
        let section = section_of(title);
        for key in section.keys {
            for (value, kind) in VALUES {
                let (text, places) = at_site(site, &[(key, value)]);
                let must = !takes(section, key, *kind) && !value.contains("${");
                judge(Mistake { bytes: text.into_bytes(), kind: "a value", refused: must, places });
            }
        }
        for (i, one) in section.keys.iter().enumerate() {
            for two in &section.keys[..i] {
                for (a, _) in PAIRED.iter().filter(|(_, kind)| takes(section, one, *kind)) {
                    for (b, _) in PAIRED.iter().filter(|(_, kind)| takes(section, two, *kind)) {
                        let (text, _) = at_site(site, &[(one, a), (two, b)]);
                        judge(Mistake {
                            bytes: text.into_bytes(),
                            kind: "two values",
                            refused: false,
                            places: Vec::new(),
                        });
                    }
                }
            }
        }
    }
    for table in tables() {
        assert!(SITES.iter().any(|(title, ..)| *title == table.section.title), "{} has no site", table.section.title);
    }
    println!("{states} states, {refused} of them refused");
    println!("I11: {states} states put it to the test");
}

/// An editor that goes by docs/softstop.schema.json marks nothing that is right, and every value of another type.
fn as_the_schema_has_it(checker: &Checker, mistake: &Mistake, refused: bool) -> Result<bool, String> {
    let another_type = mistake.refused && ["a value", "a value of another type"].contains(&mistake.kind);
    if refused && !another_type {
        return Ok(refused);
    }
    match checker.accepts(std::str::from_utf8(&mistake.bytes).unwrap_or_default()) {
        Some(accepted) if accepted == refused => Err(format!("the schema says {accepted}, the reader {}", !refused)),
        _ => Ok(refused),
    }
}

const PAIRED: &[(&str, Type)] = &[
    ("\"1s\"", Type::String),
    ("\"2h\"", Type::String),
    ("\"web\"", Type::String),
    ("1", Type::Integer),
    ("2", Type::Integer),
    ("[\"x\"]", Type::Array),
    ("{ port = 80 }", Type::Table),
    ("true", Type::Boolean),
    ("false", Type::Boolean),
];

#[test]
fn a_hostile_megabyte_is_refused_in_bounded_time_and_space() {
    let texts = |line: &str| line.repeat(1_000_000 / line.len());
    let distinct = |line: &dyn Fn(usize) -> String| (0..20_000).map(line).collect::<String>();
    let mut list: Vec<String> = [
        "[[process]]\n",
        "x\n",
        "a.b.c.d = [[[[\n",
        "[[process]]\nname='a'\ncommand='x'\n",
        "[[[[[[[[",
        "{a=",
        "\"${x\"\n",
        "[a.a]\n",
    ]
    .map(texts)
    .to_vec();
    list.push(format!("[[process]]\nname='a'\ncommand=[{}]", "1,".repeat(400_000)));
    list.push(format!("[[process]]\nname='a'\ncommand=['{}']", "${é".repeat(200_000)));
    list.push(distinct(&|i| format!("unknown_key_{i} = 1\n")));
    list.push(distinct(&|i| format!("[[process]]\nname='p{i}'\nafter.q{i}='ready'\n")));
    for text in list {
        let started = std::time::Instant::now();
        let refused = read(&text, "f", &env).unwrap_err().to_string();
        let head = &text[..20.min(text.len())];
        assert!(refused.len() < 1_000_000, "{head:?}: {} bytes", refused.len());
        assert!(started.elapsed().as_secs() < 30, "{head:?}: {:?}", started.elapsed());
        println!("{head:?} {:?}", started.elapsed());
    }
    // A chain and a ring as long as fit: no recursion, no square.
    let link = |i: usize, next: usize| format!("[[process]]\nname='p{i}'\ncommand=['x']\nafter.p{next}='ready'\n");
    let ring: String = (0..2000).map(|i| link(i, (i + 1) % 2000)).collect();
    assert!(read(&ring, "f", &env).unwrap_err().list[0].sentence.starts_with("the processes wait for each other"));
}
