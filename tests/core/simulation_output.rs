//! I10 without a kernel: children that write anything in any pieces, and outputs that take all, some or nothing, fill up, go away
//! and come back. Every line that was read comes out whole, once and in order, or is counted and said to be lost; a queue
//! stays bounded and a blocked output makes nobody wait.
//!
//! `SOFTSTOP_SCENARIOS` (10,000) says how many, `SOFTSTOP_SEED` (0) from which seed on; a failure prints its seed and the
//! scenario shrunk, and the seed alone brings it back. What is small is played through whole.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests use every processor")]

extern crate core_of_softstop as softstop;

mod outlet;
#[path = "world/seeds.rs"]
mod seeds;

use outlet::descriptor::Does;
use outlet::draw::Draw;
use outlet::pieces::Style;
use outlet::play;
use outlet::scenario::{Child, Op, Scenario};
use seeds::{number, play_all};
use softstop::output::queue::Stream;

#[test]
fn no_line_is_lost_while_the_output_can_be_written() {
    let (from, count) = (number("SOFTSTOP_SEED", 0), number("SOFTSTOP_SCENARIOS", 10_000));
    let (tallies, broken) = play_all(from, count, |seed, tested: &mut u64| {
        let scenario = Scenario::from_seed(seed);
        *tested += u64::from(scenario.children.iter().any(|c| !c.bytes.is_empty()));
        play(&scenario).1.is_ok()
    });
    if let Some(seed) = broken {
        let small = Draw::seed(seed).shrunk(Scenario::draw, |s| play(s).1.is_err());
        let what = play(&small).1.unwrap_err();
        panic!("SOFTSTOP_SEED={seed} SOFTSTOP_SCENARIOS=1 brings it back; shrunk: {what}\n{small:?}");
    }
    let tested: u64 = tallies.iter().sum();
    println!("{count} scenarios from seed {from}");
    println!("I10: {tested} scenarios put it to the test");
}

const BEHAVIOURS: [Does; 6] =
    [Does::All, Does::Some(1), Does::Blocks, Does::NoMemory, Does::Full(libc::ENOSPC), Does::Gone(libc::EPIPE)];

/// All sequences of up to `most` of them.
fn sequences<T: Clone>(of: &[T], most: usize) -> Vec<Vec<T>> {
    let mut all = vec![Vec::new()];
    let mut begin = 0;
    for _ in 0..most {
        let end = all.len();
        for i in begin..end {
            let longer: Vec<Vec<T>> =
                of.iter().map(|next| [&all[i][..], std::slice::from_ref(next)].concat()).collect();
            all.extend(longer);
        }
        begin = end;
    }
    all
}

fn small(children: Vec<Child>, ops: Vec<Op>, script: &[Does], chunk: usize) -> Scenario {
    let scripts = [script.to_vec(), Vec::new()];
    Scenario { children, ops, scripts, chunks: [chunk, 4096], closed: [false; 2], abandoned: false }
}

fn child(name: &str, bytes: &[u8], style: Style) -> Child {
    Child { name: name.into(), stream: Stream::Stdout, style, bytes: bytes.to_vec() }
}

fn must_hold(scenario: &Scenario) -> u64 {
    let (steps, result) = play(scenario);
    result.unwrap_or_else(|wrong| panic!("{wrong}\n{scenario:?}"));
    steps
}

/// One child: every text of up to four bytes, cut in every way, before every sequence of three writes; and two children, every
/// order of what can happen.
#[test]
fn every_small_world_is_right() {
    let mut states = 0;
    for text in sequences(b"a\n\xc3", 4) {
        for cuts in 0..1u32 << text.len().saturating_sub(1) {
            let mut ops = Vec::new();
            let mut from = 0;
            for i in 0..text.len() {
                if i + 1 == text.len() || cuts & 1 << i != 0 {
                    ops.extend([Op::Read(0, i + 1 - from), Op::Flush]);
                    from = i + 1;
                }
            }
            for script in sequences(&BEHAVIOURS, 3) {
                let mut scenario = small(vec![child("w", &text, Style::Prefix)], ops.clone(), &script, 5);
                states += must_hold(&scenario);
                scenario.abandoned = script.len() <= 2;
                states += if scenario.abandoned { must_hold(&scenario) } else { 0 };
            }
        }
    }
    let happens = [Op::Read(0, 1), Op::Read(1, 2), Op::End(0), Op::Flush, Op::Log(1), Op::Wake(0)];
    for ops in sequences(&happens, 5) {
        for script in sequences(&BEHAVIOURS, 2) {
            let children = vec![child("a", b"x\n\nyz", Style::Json), child("b", b"1\n2", Style::Prefix)];
            states += must_hold(&small(children, ops.clone(), &script, 4096));
        }
    }
    println!("{states} states, every one of its world");
    println!("I10: {states} states put it to the test");
}
