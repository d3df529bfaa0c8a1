//! I8: the exit code worked out from the journal, by the table in docs/exit-codes.md. A set: where two things happened at the same
//! moment, or before an actor could write a word, either code is right.

use std::collections::BTreeSet;

use super::{Case, Findings};
use crate::journal::Life;
use crate::model::Process;
use crate::sys::{MS, Time};

/// Ends so close to each other may have been seen in either order.
const TOGETHER: Time = 30 * MS;

type Codes = BTreeSet<u8>;

pub fn check(case: &Case, found: &mut Findings) {
    if case.t0.is_none() {
        // Asked to stop before it had begun anything.
        let asked = 128 + case.s.stop.signal;
        let nothing = case.lives.iter().all(|life| life.name == "stranger");
        found.hold(8, case.o.code == asked && nothing, || format!("exit code {} without an account", case.o.code));
        return;
    }
    let own = own_codes(case);
    let allowed: Codes = match (case.s.forced, must_have_been_forced(case), said_forced(case)) {
        (Some(forced), Some(_), _) => Codes::from([forced]),
        (Some(forced), None, true) => own.iter().copied().chain([forced]).collect(),
        _ => own,
    };
    let code = case.o.code;
    found.hold(8, u8::try_from(code).is_ok_and(|code| allowed.contains(&code)), || {
        let cause = case.named("stop_began").next().map_or("", |e| e.text("cause"));
        format!(
            "exit code {code}, where the table says {allowed:?} ({cause}; SIGKILL: {:?})",
            must_have_been_forced(case)
        )
    });
    let said = case.o.report["exit_code"].as_i64();
    found.hold(8, said == Some(i64::from(code)), || format!("exit code {code}, in the report {said:?}"));
    if let Some(who) = must_have_been_forced(case) {
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

/// The code before `forced`.
fn own_codes(case: &Case) -> Codes {
    let Some(began) = case.named("stop_began").next() else { return Codes::new() };
    let cause = began.text("cause");
    let subject = cause.split(' ').next().unwrap_or_default();
    let mapped = |codes: Codes| -> Codes {
        codes.into_iter().map(|code| case.s.exit_codes.get(&code).copied().unwrap_or(code)).collect()
    };
    if case.requested {
        return mapped(requested(case, subject));
    }
    if let Some(name) = cause.strip_prefix("init task ") {
        let name = name.split('"').nth(1).unwrap_or_default();
        return task_codes(case, name);
    }
    if let Some(rest) = cause.strip_prefix("a post_start task of ") {
        let name = rest.split(' ').next().unwrap_or_default();
        return task_codes(case, &format!("{name}.post_start"));
    }
    if cause.contains("waits for") {
        return Codes::from([1]);
    }
    if cause.contains("could not be started") {
        return Codes::from([126, 127]);
    }
    if cause == "every process has ended" {
        return mapped(all_ended(case));
    }
    // The process whose end was the container's.
    let ended =
        if case.s.wrapper { case.s.processes.first() } else { case.s.processes.iter().find(|p| p.name == subject) };
    let who = case.s.main().map(|main| &case.s.processes[main]).filter(|main| ran(case, main)).or(ended);
    mapped(who.map(|p| last_codes(case, p)).unwrap_or_default())
}

fn ran(case: &Case, process: &Process) -> bool {
    case.named("started").any(|e| case.process_of(e).is_some_and(|p| p.name == process.name))
}

/// Somebody asked, with this signal.
fn requested(case: &Case, signal: &str) -> Codes {
    let number = match signal {
        "SIGINT" => libc::SIGINT,
        "SIGQUIT" => libc::SIGQUIT,
        _ => libc::SIGTERM,
    };
    let by_signal = Codes::from([128 + number as u8]);
    if case.named("started").next().is_none() {
        return by_signal;
    }
    match case.s.main().map(|main| &case.s.processes[main]) {
        Some(main) if ran(case, main) => last_codes(case, main),
        // What it waits for can never hold any more.
        Some(main) if case.named("cannot_start").any(|e| e.text("process") == main.name) => Codes::from([1]),
        Some(_) => by_signal,
        None => first_failure(case),
    }
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

/// Without a main process: that of the first that failed after the stop was asked for, other than by its own stop.
fn first_failure(case: &Case) -> Codes {
    let Some((from, to)) = case.t0_between() else { return Codes::new() };
    // It may have looked late.
    let together = TOGETHER + case.o.seen.stall + case.frozen_after(0);
    // Of those that surely failed after the request, the first (and who failed with it); of the others it may be any before that.
    let (mut sure, mut failures): (Time, Vec<(Time, Codes)>) = (Time::MAX, Vec::new());
    for process in &case.s.processes {
        let Some(life) = case.runs(&process.name).last() else {
            if ran(case, process) {
                // Ended by some signal, at some time.
                failures.push((Time::MIN, (128..=192).collect()));
            }
            continue;
        };
        let by_round =
            case.o.done.iter().find(|done| done.pid == life.pid && done.signal == libc::SIGKILL).map(|done| done.at);
        let known = life.ended().map(|(at, _)| at).or(by_round);
        let said =
            case.events.iter().rfind(|e| ["stopped", "exited"].contains(&e.name) && e.text("process") == process.name);
        let seen = said.map(|e| case.zero.0 + e.at);
        // Between its last word and its end, or before softstop saw that, it may have had no processor.
        if known.is_some_and(|at| at < from - together) && seen.is_none_or(|at| at < from - together) {
            continue;
        }
        let told: Vec<i32> = case.told(life, process).map(|(_, signal)| signal).collect();
        let by_its_stop = |code: u8| told.iter().any(|signal| 128 + *signal == i32::from(code));
        let possible = codes(case, life, process);
        let failed: Codes = possible.iter().copied().filter(|code| *code != 0 && !by_its_stop(*code)).collect();
        if failed.is_empty() {
            continue;
        }
        // When one that was killed ended only softstop can say.
        let at = known.unwrap_or_else(|| seen.unwrap_or(case.o.ended));
        // Whether it was before or after the request, too.
        if failed.len() == possible.len() && known.is_none_or(|at| at > to + together) {
            sure = sure.min(at);
        }
        failures.push((at, failed));
    }
    let first = failures.into_iter().filter(|(at, _)| *at <= sure.saturating_add(together));
    let none = (sure == Time::MAX).then_some(0);
    first.flat_map(|(_, codes)| codes).chain(none).collect()
}

/// Everything had ended by itself: that of the first in the file that failed.
fn all_ended(case: &Case) -> Codes {
    if let Some(main) = case.s.main().map(|main| &case.s.processes[main]).filter(|main| ran(case, main)) {
        return last_codes(case, main);
    }
    for process in &case.s.processes {
        let never = case.named("cannot_start").any(|e| e.text("process") == process.name);
        let codes = if never { Codes::from([1]) } else { last_codes(case, process) };
        if !codes.contains(&0) {
            return codes;
        }
    }
    Codes::from([0])
}

/// Of a task that ended the start: its program's own code, or 1 when it had none.
fn task_codes(case: &Case, name: &str) -> Codes {
    match case.lives.iter().rfind(|l| l.is_main() && l.name == name) {
        Some(life) if case.killed_by_round(life.pid) => Codes::from([137, 1]),
        Some(life) => life.ended().map_or(Codes::from([1, 137]), |(_, code)| Codes::from([code.max(1), 1])),
        None => (1..=255).collect(),
    }
}
