//! I1 and I7: the grace, and what each step gets of it.

use super::{Case, Event, Findings, ROOM};
use crate::journal::Life;
use crate::model::{Step, Task, What};
use crate::sys::{MS, Time};

/// A busy machine may begin a step so much later than the budget would have it, besides the stall that was measured.
const LATE: Time = ROOM / 5;

/// I1: from outside, and by softstop's own clock, which knows no excuse.
pub fn in_time(case: &Case, found: &mut Findings) {
    let grace = case.s.grace as Time * MS;
    let from = if case.by_round || case.t0.is_none() { case.o.sent } else { case.t0_between().map(|(_, t0)| t0) };
    if let Some(from) = from {
        let took = case.o.at_work - from;
        let allowed = grace + ROOM + case.frozen_after(from) + case.o.seen.stall;
        found.hold(1, took <= allowed, || format!("took {} of {} ms", took / MS, case.s.grace));
    }
    // Frozen to the end of its time, a softstop can only be late.
    let thawed = case.o.frozen.iter().map(|(_, to)| *to).max().unwrap_or(0);
    let late_thaw = case.t0_between().is_some_and(|(t0, _)| thawed > t0 + grace * 6 / 10);
    if case.t0.is_some() && !late_thaw {
        let took = case.o.report["took_seconds"].as_f64().unwrap_or(f64::MAX) * 1000.0;
        let within = case.o.report["within_grace"] == true && took <= case.s.grace as f64 + 1.0;
        found.hold(1, within, || format!("by its own account it took {took} of {} ms", case.s.grace));
    }
    // Nobody reads, and it was in time all the same.
    if case.s.unread && from.is_some() {
        found.checked(10);
    }
}

/// Who holds what, by docs/stop/budget.md: "The arithmetic". In milliseconds.
struct Held {
    drain: Vec<u64>,
    stop: u64,
    post_stop: Vec<u64>,
}

fn held(case: &Case) -> Held {
    let s = case.s;
    let drain: Vec<u64> = s.drain.iter().map(|d| d.reserve.unwrap_or(0)).collect();
    let stated: u64 = s.post_stop.iter().filter_map(|p| p.reserve).sum();
    let free = s.grace - s.kill_reserve() - drain.iter().sum::<u64>() - stated;
    let pool = s.stop_reserve.unwrap_or(s.grace / 4).min(free);
    let silent = s.post_stop.iter().filter(|p| p.reserve.is_none()).count() as u64;
    let each = (pool / 2).checked_div(silent).unwrap_or(0);
    let of = |step: &Step| step.reserve.unwrap_or_else(|| longest(step).map_or(each, |ms| ms.min(each)));
    let post_stop: Vec<u64> = s.post_stop.iter().map(of).collect();
    let stop = pool.saturating_sub(post_stop.iter().sum::<u64>() - stated);
    Held { drain, stop, post_stop }
}

fn length(task: &Task) -> Option<u64> {
    match task.what {
        What::Sleep(ms) => Some(task.timeout.map_or(ms, |timeout| timeout.min(ms))),
        _ => task.timeout,
    }
}

fn longest(step: &Step) -> Option<u64> {
    step.tasks.iter().map(length).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// I7: what each step that was begun got, by the account and by what its hook was told, is what was held for it, unless a busy
/// machine came to it late.
pub fn reserves(case: &Case, found: &mut Findings) {
    if case.t0.is_none() {
        return;
    }
    let held = held(case);
    let after_stop: u64 = held.post_stop.iter().sum();
    processes_leave(case, found, after_stop);
    for (kind, steps, holds, behind) in [
        ("drain", &case.s.drain, &held.drain, held.stop + after_stop),
        ("post_stop", &case.s.post_stop, &held.post_stop, 0),
    ] {
        for (i, step) in steps.iter().enumerate() {
            let after: u64 = holds[i + 1..].iter().sum::<u64>() + behind;
            for task in &step.tasks {
                let of = Of { after: after as Time * MS, holds: holds[i] as Time * MS };
                got_its_reserve(case, found, kind, task, &of);
            }
        }
    }
}

fn millis(seconds: &serde_json::Value) -> Time {
    (seconds.as_f64().unwrap_or(0.0) * 1000.0).round() as Time * MS
}

/// What is held for a step, and for everything after it.
struct Of {
    after: Time,
    holds: Time,
}

fn got_its_reserve(case: &Case, found: &mut Findings, kind: &str, task: &Task, of: &Of) {
    let held = length(task).map_or(of.holds, |ms| (ms as Time * MS).min(of.holds));
    let reserved = of.after + of.holds;
    let about = |e: &&Event| e.text("kind") == kind && e.text("name") == task.name;
    let who = format!("{kind} {}", task.name);
    let Some(began) = case.named("step_began").find(about) else {
        let skipped = case.named("step_skipped").find(about);
        let starved = skipped.is_some_and(|e| e.text("outcome") == "no_time");
        let deadline = case.t0.unwrap_or(0) + (case.s.grace - case.s.kill_reserve()) as Time * MS;
        let late = skipped.map_or(0, |e| e.at - (deadline - reserved));
        if starved && held > 0 {
            found.hold(7, late >= held && late <= held + LATE + case.o.seen.stall + case.frozen_after(0), || {
                format!("{who} had no time {} ms after its turn, though {} ms were held for it", late / MS, held / MS)
            });
        }
        return;
    };
    // What was left when it began: of everything before it, and of the machine.
    let late = (reserved - millis(&began.value["left_seconds"])).max(0);
    let noise = case.frozen_after(0) + case.o.seen.stall + LATE;
    found.hold(7, held == 0 || late <= noise, || format!("{who} began {} ms too late", late / MS));
    // No more than the arithmetic gives: what it takes beyond that, those after it lack.
    // Where less is left than is held, what is held for all of them is scaled down together.
    let (slice, left) = (millis(&began.value["slice_seconds"]), millis(&began.value["left_seconds"]));
    let after = if left < reserved { of.after * left / reserved } else { of.after };
    let most = (left - after).max(0) + 2 * MS;
    found.hold(7, slice <= most, || format!("{who} was given {} ms, of {} there were for it", slice / MS, most / MS));
    if held == 0 {
        return;
    }
    let least = held - late - 2 * MS;
    found.hold(7, slice >= least, || format!("{who} got {} ms, of {} held", slice / MS, held / MS));
    let hook = case.lives.iter().find(|l| l.is_main() && l.name == task.name);
    if let Some(told) = hook.and_then(|l| l.start.remaining_ms) {
        found.hold(7, told as Time * MS >= least, || format!("{who} was told {told} ms, of {} held", held / MS));
    }
    if let Some(hook) = hook.filter(|_| task.retries == 0) {
        lived_as_told(case, found, &who, hook, began);
    }
}

/// The stop of the processes leaves post_stop what it holds.
fn processes_leave(case: &Case, found: &mut Findings, after_stop: u64) {
    let until = case.t0.unwrap_or(0) + (case.s.grace - case.s.kill_reserve() - after_stop) as Time * MS;
    // The account's stamp comes a moment after the arithmetic.
    let noise = LATE + case.o.seen.stall + case.frozen_after(0);
    for e in case.named("stopping").filter(|e| case.t0.is_some_and(|t0| e.at >= t0)) {
        let end = e.at + millis(&e.value["slice_seconds"]);
        let unwell = case.process_of(e).is_some_and(|p| case.unhealthy(p));
        found.hold(7, unwell || end <= until + noise, || {
            format!("{} was given {} ms of what post_stop holds", e.text("process"), (end - until) / MS)
        });
    }
}

/// A hook that was cut lived about as long as it had been told it might.
fn lived_as_told(case: &Case, found: &mut Findings, who: &str, hook: &Life, began: &Event) {
    let ended =
        case.named("step_ended").find(|e| e.text("kind") == began.text("kind") && e.text("name") == began.text("name"));
    let cut = ended.is_some_and(|e| ["cut", "timed_out"].contains(&e.text("outcome")));
    let ticks = hook.records.iter().any(|r| r.what == crate::journal::Did::Tick);
    let hit = case.o.done.iter().any(|done| done.pid == hook.pid);
    let Some(told) = hook.start.remaining_ms.filter(|_| cut && ticks && !hit) else { return };
    let lived = hook.last() - hook.began();
    found.hold(7, lived + ROOM / 4 >= told as Time * MS, || {
        format!("{who} was told {told} ms and lived {} ms", lived / MS)
    });
}
