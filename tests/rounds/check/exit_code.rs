//! I8: the exit code of the main process as its journal has it, by the table in docs/exit-codes.md. A set: where it may have ended before
//! it could write a word, either code is right. The table's other rows are held against the machine in `tests/core/world/exit_code.rs`.

use std::collections::BTreeSet;

use super::{Case, Findings};
use crate::journal::Life;
use crate::model::Process;

type Codes = BTreeSet<u8>;

pub fn check(case: &Case, found: &mut Findings) {
    if case.t0.is_none() {
        // Asked to stop before it had begun anything.
        let asked = 128 + case.s.stop.signal;
        let nothing = case.lives.iter().all(|life| life.name == "stranger");
        found.hold(8, case.o.code == asked && nothing, || format!("exit code {} without an account", case.o.code));
        return;
    }
    let (code, forced) = (case.o.code, must_have_been_forced(case));
    let allowed: Option<Codes> = match (case.s.forced, &forced) {
        (Some(code), Some(_)) => Some(Codes::from([code])),
        (Some(code), None) if said_forced(case) => own_codes(case).map(|own| own.into_iter().chain([code]).collect()),
        _ => own_codes(case),
    };
    if let Some(allowed) = allowed {
        found.hold(8, u8::try_from(code).is_ok_and(|code| allowed.contains(&code)), || {
            let cause = case.named("stop_began").next().map_or("", |e| e.text("cause"));
            format!("exit code {code}, where the table says {allowed:?} ({cause}; SIGKILL: {forced:?})")
        });
    }
    let said = case.o.report["exit_code"].as_i64();
    found.hold(8, said == Some(i64::from(code)), || format!("exit code {code}, in the report {said:?}"));
    if let Some(who) = forced {
        found.hold(8, said_forced(case), || format!("{who} needed SIGKILL, and the account does not say so"));
    }
}

/// Somebody who did not end by himself, and for whom the round did nothing to that end.
fn must_have_been_forced(case: &Case) -> Option<String> {
    let of_process = |life: &&Life| case.s.processes.iter().find(|p| p.name == life.root());
    let unended = |life: &&Life| life.ended().is_none() && !case.killed_by_round(life.pid);
    let well = |life: &&Life| of_process(life).is_some_and(|p| !case.unhealthy(p));
    let forced = case.lives.iter().filter(unended).find(well)?;
    Some(format!("{} (pid {})", forced.name, forced.pid))
}

fn said_forced(case: &Case) -> bool {
    case.o.report["forced"].as_array().is_some_and(|forced| !forced.is_empty())
}

/// The code before `forced`, where it is the main process's; `None`: it is another's, and the simulation's to judge.
fn own_codes(case: &Case) -> Option<Codes> {
    let main = case.s.main().map(|main| &case.s.processes[main]).filter(|main| ran(case, main))?;
    let cause = case.named("stop_began").next()?.text("cause");
    let could_not_start = ["init task ", "a post_start task of "].iter().any(|began| cause.starts_with(began))
        || cause.contains("waits for");
    if could_not_start || cause.contains("could not be started") {
        return None;
    }
    let mapped = |code: u8| case.s.exit_codes.get(&code).copied().unwrap_or(code);
    Some(last_codes(case, main).into_iter().map(mapped).collect())
}

fn ran(case: &Case, process: &Process) -> bool {
    case.named("started").any(|e| case.process_of(e).is_some_and(|p| p.name == process.name))
}

/// What the latest run of a process may have ended with.
fn last_codes(case: &Case, process: &Process) -> Codes {
    let started =
        case.events.iter().rfind(|e| e.name == "started" && case.process_of(e).is_some_and(|p| p.name == process.name));
    let pid = started.and_then(|e| e.value["pid"].as_i64()).unwrap_or(0);
    match case.lives.iter().rfind(|l| i64::from(l.pid) == pid && l.is_main() && l.name == process.name) {
        Some(life) => codes(case, life, process),
        // Ended before it could write a word: by some signal.
        None => (128..=192).collect(),
    }
}

fn codes(case: &Case, life: &Life, process: &Process) -> Codes {
    let leader =
        |e: &super::Event| e.value["stragglers"] == false && case.process_of(e).is_some_and(|p| p.name == process.name);
    let killed = case.named("killed").any(leader);
    match life.ended() {
        // SIGKILL may have come between its last word and its end.
        Some((_, code)) if killed || case.killed_by_round(life.pid) => Codes::from([code, 137]),
        Some((_, code)) => Codes::from([code]),
        None => Codes::from([137]),
    }
}
