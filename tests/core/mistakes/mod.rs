//! Configurations with mistakes in them, and what must become of each: I11 without a process.

// Each target uses a part of it.
#![allow(dead_code)]

#[path = "../world/draw.rs"]
pub mod draw;
pub mod edits;
pub mod types;
pub mod valid;

use std::collections::{BTreeSet, VecDeque};

use softstop::config::Config;
use softstop::config::check::{decode, read};
use softstop::config::problem::{Problem, Problems, Severity};
use softstop::lifecycle::Machine;
use softstop::lifecycle::action::Action;
use softstop::lifecycle::event::{Event, Exit, Outcome, ProcId, Sender};
use softstop::plan::Plan;
use softstop::signal::Signal;
use softstop::time::At;

use edits::Mistake;

pub fn env(name: &str) -> Option<String> {
    (name == "HOST").then(|| "db".to_owned())
}

/// Whether it was refused, if it was right to be or not.
pub fn judge(mistake: &Mistake) -> Result<bool, String> {
    let result = decode(&mistake.bytes, "f.toml").and_then(|text| read(text, "f.toml", &env));
    let lossy = String::from_utf8_lossy(&mistake.bytes);
    match result {
        Ok((config, warnings)) => {
            if mistake.refused {
                return Err("it is accepted".into());
            }
            inside(&warnings, &lossy)?;
            live(config);
            Ok(false)
        }
        Err(problems) => refused(mistake, &problems, &lossy).map(|()| true),
    }
}

fn refused(mistake: &Mistake, problems: &Problems, text: &str) -> Result<(), String> {
    if mistake.kind == "nothing" {
        return Err(format!("it is refused:\n{problems}"));
    }
    let errors: Vec<&Problem> = problems.list.iter().filter(|p| p.severity == Severity::Error).collect();
    if errors.is_empty() || problems.errors() != errors.len() {
        return Err("it is refused without an error".into());
    }
    inside(&problems.list, text)?;
    let said = problems.to_string();
    let at = errors.iter().flat_map(|p| &p.places).filter_map(|p| p.position.as_ref());
    let at: Vec<(usize, usize)> = at.map(|p| (p.line, p.column)).collect();
    // Without a place: only what is nowhere, the process that is missing.
    if at.is_empty() && text.contains("[[process]]") {
        return Err(format!("no line is named:\n{said}"));
    }
    if at.first().is_some_and(|(line, column)| !said.contains(&format!("f.toml:{line}:{column}\n"))) {
        return Err(format!("{:?} is not shown:\n{said}", at[0]));
    }
    let line = |byte: usize| mistake.bytes[..byte.min(mistake.bytes.len())].iter().filter(|b| **b == b'\n').count() + 1;
    let near = |n: usize| mistake.places.iter().any(|p| (line(p.start)..=line(p.end)).contains(&n));
    if !mistake.places.is_empty() && !at.iter().any(|(n, _)| near(*n)) {
        return Err(format!("line {} is wrong, and that is not said:\n{said}", line(mistake.places[0].start)));
    }
    Ok(())
}

/// Every problem has words, a fix, and places that are in the file.
fn inside(problems: &[Problem], text: &str) -> Result<(), String> {
    let lines: Vec<&str> = text.split('\n').collect();
    for p in problems {
        if p.sentence.is_empty() || p.sentence.contains('\n') || p.help.is_empty() || p.places.is_empty() {
            return Err(format!("no sentence, no fix or no place: {p:?}"));
        }
        for at in p.places.iter().filter_map(|p| p.position.as_ref()) {
            let line = at.line.checked_sub(1).and_then(|n| lines.get(n));
            if line.is_none_or(|line| at.column < 1 || at.column > line.chars().count() + 1) {
                return Err(format!("{}:{} is not in the file: {p}", at.line, at.column));
            }
        }
    }
    Ok(())
}

/// What was accepted can be lived: a start, a while, a stop, where all goes well.
fn live(config: Config) {
    let mut machine = Machine::new(Plan::new(config));
    let mut events = VecDeque::from([Event::Begin]);
    let mut alive = BTreeSet::new();
    let mut at = At::ZERO;
    for turn in 0..80 {
        if machine.finished() {
            return;
        }
        if turn == 25 {
            events.push_back(Event::Signalled { signal: Signal::TERM, sender: Sender::Outside, program: None });
        }
        let event = events.pop_front().unwrap_or_else(|| {
            at = at.max(machine.next_deadline().unwrap_or(at));
            Event::Tick
        });
        let mut first = Vec::new();
        for action in machine.step(at, event) {
            match action {
                Action::Spawn { process } => {
                    alive.insert(process);
                    first.push(Event::Spawned { process, pid: 100 + process.0 as i32 });
                }
                Action::Run { run, .. } => events.push_back(Event::RunDone { run, outcome: Outcome::Ok }),
                Action::Signal { process, .. } | Action::Kill { process, .. } if alive.remove(&process) => {
                    ended(&mut events, process);
                }
                Action::Census => events.push_back(Event::Alone),
                _ => {}
            }
        }
        first.into_iter().rev().for_each(|event| events.push_front(event));
    }
}

fn ended(events: &mut VecDeque<Event>, process: ProcId) {
    events.push_back(Event::Exited { process, status: Exit::Code(0) });
    events.push_back(Event::GroupEmpty { process });
}
