//! What only shows when everything is seen together: the main process, dependency cycles, the sum of the reserves. Pure.

use std::time::Duration;

use super::process::ReadProcess;
use super::reader::{Reader, Table};
use super::task::ReadStep;
use super::values::words;
use crate::config::{Condition, Config, OnExit, Output, Restart};

/// Who is main, and what that and their number mean for the others' defaults.
pub fn defaults(reader: &mut Reader<'_>, processes: &mut [ReadProcess]) {
    let marked: Vec<usize> = (0..processes.len())
        .filter(|i| processes[*i].main.is_some())
        .collect();
    if let [first, rest @ ..] = marked.as_slice() {
        for second in rest {
            let span = |i: usize| processes[i].main.clone().unwrap_or_default();
            let places = vec![
                reader.source.place(&span(*second), ""),
                reader.source.place(&span(*first), "the first"),
            ];
            reader.error_at(
                places,
                "two processes are marked as main",
                "keep `main = true` on the one whose exit code is the container's",
            );
        }
    }
    let several = processes.len() > 1;
    for p in processes.iter_mut() {
        let silent = match (several, p.process.main, marked.is_empty()) {
            (false, ..) | (_, true, _) => OnExit::Stop,
            (true, false, true) => OnExit::StopOnFailure,
            (true, false, false) => OnExit::Continue,
        };
        p.process.on_exit = p.on_exit.unwrap_or(silent);
        p.process.output = p.output.unwrap_or(if several {
            Output::Prefix
        } else {
            Output::Inherit
        });
        p.process.after = p
            .after
            .iter()
            .map(|(other, condition, _)| (*other, *condition))
            .collect();
    }
}

/// What processes expect of one another.
pub fn dependencies(reader: &mut Reader<'_>, processes: &[ReadProcess]) {
    for waiting in processes {
        for (other, condition, span) in &waiting.after {
            let awaited = &processes[*other].process;
            if *condition != Condition::Completed {
                continue;
            }
            if awaited.restart == Restart::Always {
                let sentence = format!(
                    "{:?} waits for {:?} to complete, but that one is always restarted",
                    waiting.process.name, awaited.name
                );
                reader.error(
                    span,
                    sentence,
                    format!(
                        "give {:?} restart = \"on_failure\" or \"never\", or wait for \"ready\"",
                        awaited.name
                    ),
                );
            } else if awaited.on_exit == OnExit::Stop {
                let sentence = format!(
                    "when {:?} completes the container stops, so {:?} hardly starts",
                    awaited.name, waiting.process.name
                );
                reader.warn(
                    span,
                    sentence,
                    format!(
                        "give {:?} on_exit = \"stop_on_failure\", or mark another process as main",
                        awaited.name
                    ),
                );
            }
        }
    }
    cycles(reader, processes);
}

/// Names every cycle of `after` once, in order, with each place that closes it.
fn cycles(reader: &mut Reader<'_>, processes: &[ReadProcess]) {
    // Whoever waits for nothing that is left is in no cycle, and no cycle leads through it.
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); processes.len()];
    let mut waits: Vec<usize> = processes.iter().map(|p| p.after.len()).collect();
    for (i, p) in processes.iter().enumerate() {
        p.after
            .iter()
            .for_each(|(other, ..)| dependents[*other].push(i));
    }
    let mut free: Vec<usize> = (0..processes.len()).filter(|i| waits[*i] == 0).collect();
    while let Some(i) = free.pop() {
        for d in &dependents[i] {
            waits[*d] -= 1;
            if waits[*d] == 0 {
                free.push(*d);
            }
        }
    }
    // From anyone left, following the first dependency that is left too must come round.
    let mut walked = vec![usize::MAX; processes.len()];
    for start in 0..processes.len() {
        let mut path = Vec::new();
        let mut at = start;
        while waits[at] > 0 && walked[at] == usize::MAX {
            walked[at] = start;
            let Some((next, _, span)) = processes[at]
                .after
                .iter()
                .find(|(other, ..)| waits[*other] > 0)
            else {
                break;
            };
            path.push((at, span.clone()));
            at = *next;
        }
        let Some(from) = path.iter().position(|(i, _)| *i == at) else {
            continue;
        };
        let members = &path[from..];
        let name = |i: usize| processes[i].process.name.as_str();
        let chain: Vec<&str> = members
            .iter()
            .map(|(i, _)| name(*i))
            .chain([name(at)])
            .collect();
        let places = members
            .iter()
            .map(|(i, span)| reader.source.place(span, format!("{} waits", name(*i))))
            .collect();
        reader.error_at(
            places,
            format!("the processes wait for each other: {}", chain.join(" -> ")),
            "remove one of these",
        );
    }
}

/// Grace against everything that holds a part of it. The rule is the budget's own: a drain step gets what is left less the
/// reserves of everything after it.
pub fn budget(
    reader: &mut Reader<'_>,
    top: &Table<'_>,
    config: &Config,
    drain: &[ReadStep],
    post_stop: &[ReadStep],
) {
    let sum = |steps: &[ReadStep]| {
        steps
            .iter()
            .filter_map(|s| s.step.reserve)
            .fold(Duration::ZERO, |a, b| a.saturating_add(b))
    };
    let (grace, kill) = (config.grace, config.kill_reserve);
    let (drained, after) = (sum(drain), sum(post_stop));
    let held = config.stop_reserve.unwrap_or_default();
    let total = [kill, drained, held, after]
        .into_iter()
        .fold(Duration::ZERO, Duration::saturating_add);
    let place = top
        .get(if kill >= grace {
            "kill_reserve"
        } else {
            "grace"
        })
        .or_else(|| top.get("grace"))
        .or_else(|| top.get("kill_reserve"))
        .or_else(|| top.get("stop_reserve"));
    let span = place.map_or_else(
        || {
            drain
                .iter()
                .chain(post_stop)
                .map(|s| s.header.clone())
                .next()
                .unwrap_or_default()
        },
        |f| f.span(),
    );
    if kill >= grace {
        reader.error(
            &span,
            format!(
                "kill_reserve ({}) must be less than grace ({})",
                words(kill),
                words(grace)
            ),
            "lower kill_reserve or raise grace",
        );
        return;
    }
    if total > grace {
        let parts = [
            ("kill_reserve", kill),
            ("drain", drained),
            ("stop_reserve", held),
            ("post_stop", after),
        ];
        let listed: Vec<String> = parts
            .iter()
            .filter(|(_, d)| !d.is_zero())
            .map(|(name, d)| format!("{name} {}", words(*d)))
            .collect();
        let sentence = format!(
            "the reserves hold {} of a grace of {}: {}",
            words(total),
            words(grace),
            listed.join(" + ")
        );
        reader.error(
            &span,
            sentence,
            format!(
                "raise grace to at least \"{}\", or lower a reserve",
                words(total)
            ),
        );
        return;
    }
    let free = grace - kill - drained - after;
    let stop = config.stop_reserve.unwrap_or(grace / 4).min(free);
    let mut later = stop.saturating_add(after);
    for step in drain.iter().rev() {
        if grace.saturating_sub(kill).saturating_sub(later).is_zero() {
            let sentence = format!(
                "this step can never run: what comes after it holds all of the {} before the kill",
                words(grace - kill)
            );
            reader.error(&step.header, sentence, "raise grace, lower the reserves of what comes after it, or give it a `reserve` of its own");
        }
        later = later.saturating_add(step.step.reserve.unwrap_or_default());
    }
    let silent = post_stop.iter().find(|s| s.step.reserve.is_none());
    if let Some(step) = silent.filter(|_| stop.is_zero()) {
        reader.warn(
            &step.header,
            "nothing of the grace is held for this step",
            "give it a `reserve`, or raise stop_reserve",
        );
    }
}

/// Ladders that are longer than the time there is, probes that softstop would answer itself.
pub fn plausible(reader: &mut Reader<'_>, config: &Config, processes: &[ReadProcess]) {
    let deadline = config.grace.saturating_sub(config.kill_reserve);
    for p in processes {
        let waits = p
            .process
            .stop
            .iter()
            .filter_map(|r| r.wait)
            .fold(Duration::ZERO, |a, b| a.saturating_add(b));
        if let Some(span) = p.stop.as_ref().filter(|_| waits > deadline) {
            let sentence = format!(
                "the waits of {:?} add up to {}, more than the {} before the kill",
                p.process.name,
                words(waits),
                words(deadline)
            );
            reader.warn(
                span,
                sentence,
                "shorten them or raise grace: the ladder is cut short at the deadline",
            );
        }
        for (port, span) in &p.probed {
            if config
                .http
                .as_ref()
                .is_some_and(|http| http.listen.port() == *port)
            {
                let sentence = format!("the probe asks port {port}, where softstop itself answers");
                reader.warn(
                    span,
                    sentence,
                    format!(
                        "probe the port of {:?}, or let [http] listen on another",
                        p.process.name
                    ),
                );
            }
        }
    }
}
