//! I2, I3, I4, I6: what comes before what.

use super::{Case, Findings};
use crate::journal::{Did, Life};
use crate::model::What;
use crate::sys::{self, MS, Time};

/// SIGKILL to a process on another processor takes effect a moment after the call has returned.
const MOMENT: Time = 5 * MS;

fn is_drain_hook(life: &Life) -> bool {
    life.is_main() && life.name.starts_with('d') && life.name[1..].starts_with(|c: char| c.is_ascii_digit())
}

/// I2: as a drain step asks, and as one who asks all the time.
pub fn readiness(case: &Case, found: &mut Findings) {
    let Some((_, t0)) = case.t0_between().filter(|_| case.s.http && !case.s.keep) else { return };
    for life in case.lives.iter().filter(|life| is_drain_hook(life)) {
        for record in &life.records {
            if let Did::Readyz { status: Some(status), .. } = record.what {
                found.hold(2, status == 503, || format!("{} was answered {status}", life.name));
            }
        }
    }
    let first_step = case.lives.iter().filter(|life| is_drain_hook(life)).map(Life::began).min().unwrap_or(Time::MAX);
    for poll in case.o.seen.polls.iter().filter(|poll| poll.asked > t0.min(first_step)) {
        if let Some(status) = poll.status {
            found.hold(2, status == 503, || format!("/readyz was {status} {} ms after T0", (poll.asked - t0) / MS));
        }
    }
}

/// I3: whatever a drain step does it does before the first stop signal.
pub fn drain_first(case: &Case, found: &mut Findings) {
    let Some((t0, _)) = case.t0_between() else { return };
    let steps: Vec<(&str, Time)> =
        case.lives.iter().filter(|l| is_drain_hook(l)).map(|l| (l.name.as_str(), l.last())).collect();
    let slept = least_sleep(case);
    // By softstop's own account, as far as its clock is known.
    let said = case.named("step_ended").filter(|e| e.text("kind") == "drain").map(|e| case.zero.0 + e.at - MS).max();
    for process in &case.s.processes {
        if case.unhealthy(process) {
            continue;
        }
        for life in case.runs(&process.name) {
            for (at, signal) in case.told(life, process) {
                let who = || format!("{} got signal {signal}", process.name);
                found.hold(3, at >= t0 - MS, || format!("{} {} ms before T0", who(), (t0 - at) / MS));
                for (step, last) in &steps {
                    found.hold(3, at + MOMENT >= *last, || format!("{} while {step} still ran", who()));
                }
                if let Some(sent) = case.o.sent.filter(|_| case.by_round) {
                    let after = at - sent;
                    found.hold(3, after >= slept, || {
                        format!("{} {} ms after the request, but the drain slept {} ms", who(), after / MS, slept / MS)
                    });
                }
                found.hold(3, said.is_none_or(|said| at >= said), || {
                    format!("{} before the drain was said to be over", who())
                });
            }
        }
    }
    skipped_for_a_reason(case, found);
    stragglers_last(case, found);
}

/// A drain step is left out only for a reason that docs/stop.md gives, and that was so.
fn skipped_for_a_reason(case: &Case, found: &mut Findings) {
    for skipped in case.named("step_skipped").filter(|e| e.text("kind") == "drain" && e.text("outcome") == "cancelled")
    {
        let why = skipped.text("why");
        let ended_by = || case.s.drain.iter().flat_map(|d| &d.tasks).any(|t| t.on_failure == Some("stop"));
        let nobody = || {
            let told_later = |e: &&super::Event| e.name == "stopping" && e.at > skipped.at + MS;
            !case.events.iter().any(|e| told_later(&e))
        };
        let so = if why.starts_with("nobody asked") {
            !case.requested
        } else if why.starts_with("no process") {
            nobody()
        } else {
            why.starts_with("an earlier step") && ended_by()
        };
        found.hold(3, so, || format!("the drain step {} was skipped: {why}", skipped.text("name")));
    }
}

/// What the drain's sleeps that were slept to their end take at least.
fn least_sleep(case: &Case) -> Time {
    let steps = case.o.report["steps"].as_array();
    let done = |name: &str| {
        steps.into_iter().flatten().any(|s| s["name"] == name && s["kind"] == "drain" && s["outcome"] == "done")
    };
    let slept = |task: &crate::model::Task| match task.what {
        What::Sleep(ms) if done(&task.name) => ms as Time * MS,
        _ => 0,
    };
    case.s.drain.iter().map(|step| step.tasks.iter().map(slept).max().unwrap_or(0)).sum()
}

/// What is left in other sessions is told once every process has ended: it may be what they need.
fn stragglers_last(case: &Case, found: &mut Findings) {
    for life in case.lives.iter().filter(|l| l.start.kind == "session" || l.start.kind == "orphan") {
        let told = life.signals().filter(|(_, signal, sender)| *sender == case.o.softstop && *signal == libc::SIGTERM);
        for (at, ..) in told {
            for process in &case.s.processes {
                for run in case.runs(&process.name).filter(|run| !case.killed_by_round(run.pid)) {
                    found.hold(3, run.last() <= at + MOMENT, || {
                        format!("{} was sent SIGTERM as a straggler while {} still ran", life.name, run.name)
                    });
                }
            }
        }
    }
}

/// I4: nobody is told to stop while somebody that depends on it, or what that left in its group, still runs.
pub fn dependents_first(case: &Case, found: &mut Findings) {
    let Some((t0, _)) = case.t0_between() else { return };
    for (d, process) in case.s.processes.iter().enumerate() {
        let first =
            case.runs(&process.name).flat_map(|run| case.told(run, process)).map(|(at, _)| at).filter(|at| *at >= t0);
        let Some(told) = first.min().filter(|_| !case.unhealthy(process)) else { continue };
        for dependent in case.s.processes.iter().filter(|p| p.after.iter().any(|(on, _)| *on == d)) {
            let who =
                |what: &str| format!("{} was told to stop while {what} of {} still ran", process.name, dependent.name);
            for run in case.runs(&dependent.name) {
                let ended = run.ended().map_or_else(|| run.last() - MOMENT, |(at, _)| at);
                found.hold(4, ended <= told, || who("a run"));
            }
            let forced =
                case.o.report["forced"].as_array().is_some_and(|f| f.iter().any(|f| f == dependent.name.as_str()));
            let group = case.lives.iter().filter(|l| l.start.kind == "fork" && l.root() == dependent.name);
            // In a session of its own after all, when a fork of a daemon.
            for left in group.filter(|l| !forced && !below_a_session(case, l)) {
                found.hold(4, left.last() <= told + MOMENT, || who("what was left in the group"));
            }
        }
    }
}

fn below_a_session(case: &Case, life: &Life) -> bool {
    let above = |l: &&Life| l.name != life.name && life.name.starts_with(&format!("{}/", l.name));
    case.lives.iter().filter(above).any(|l| l.start.kind == "session")
}

/// I6: by the kernel's own record of when each process was made.
pub fn nothing_new(case: &Case, found: &mut Findings) {
    let Some(((_, t0), t0_said)) = case.t0_between().zip(case.t0) else { return };
    let late = case.named("started").find(|e| e.at > t0_said);
    found.hold(6, late.is_none(), || {
        format!("started after T0: {}", late.map_or(String::new(), |e| e.value.to_string()))
    });
    let all_known = case.o.report["forgotten_records"].is_null();
    let ahead = sys::boot_ahead();
    for life in case.lives.iter().filter(|l| l.is_main() && l.name != "stranger") {
        let is_process = case.s.process(&life.name).is_some();
        let kind = life.name.split('.').next_back().unwrap_or_default();
        let is_init = life.name.starts_with('i') && life.name[1..].parse::<u32>().is_ok();
        if !(is_process || is_init || ["post_start", "startup", "liveness"].contains(&kind)) {
            continue;
        }
        let born = life.start.born * 10 * MS - ahead;
        found.hold(6, life.start.born == 0 || born <= t0 + MS, || {
            format!("{} (pid {}) was started {} ms after T0", life.name, life.pid, (born - t0) / MS)
        });
        let told_of = || case.named("started").any(|e| e.value["pid"] == life.pid);
        found.hold(6, !is_process || !all_known || told_of(), || {
            format!("{} (pid {}) is in no account", life.name, life.pid)
        });
    }
}
