//! What only shows when everything is seen together: the main process, dependency cycles, the sum of the reserves. Pure.

use std::time::Duration;

use super::process::{Probed, ReadProcess, Stated};
use super::reader::Reader;
use super::settings::TopKeys;
use super::task::ReadStep;
use super::values::words;
use crate::config::fit;
use crate::config::problem::Span;
use crate::config::{Condition, Config, ExitWhen, Handler, OnExit, Output, ProcessKind, Restart, Stdin, Stragglers};

/// Who is main, and what that and their number mean for the others' defaults.
pub fn defaults(reader: &mut Reader<'_>, top: &TopKeys<'_>, processes: &mut [ReadProcess]) {
    let marked: Vec<usize> = (0..processes.len()).filter(|i| processes[*i].main.is_some()).collect();
    at_most_one(
        reader,
        processes.iter().filter_map(|p| p.main.as_ref()),
        "two processes are marked as main",
        "keep `main = true` on the one whose exit code is the container's",
    );
    at_most_one(
        reader,
        processes.iter().filter_map(|p| p.stdin.as_ref()),
        "two processes read softstop's standard input: each would get a part of it, and only one can have the terminal",
        "keep `stdin = \"inherit\"` on the one that is typed to, and leave it out of the other",
    );
    let several = processes.len() > 1;
    let exit_when = top.exit_when.read(reader);
    if let (Some(ExitWhen::Main), true, Some(span)) = (exit_when, several && marked.is_empty(), top.exit_when.span()) {
        let help = "add main = true below the one whose end is the container's";
        reader.error(&span, "exit_when = \"main\", and no process is marked as main", help);
    }
    for p in processes.iter_mut() {
        let is_main = p.process.main || !several;
        let silent = match (exit_when, is_main, p.process.kind) {
            (None | Some(ExitWhen::Main), true, _) => OnExit::Stop,
            (None, false, _) if marked.is_empty() => OnExit::StopOnFailure,
            (Some(ExitWhen::Any), _, Some(ProcessKind::Task)) => OnExit::StopOnFailure,
            (Some(ExitWhen::Any), ..) => OnExit::Stop,
            (None | Some(ExitWhen::Main | ExitWhen::All), ..) => OnExit::Continue,
        };
        let by_when = matches!(exit_when, Some(ExitWhen::All | ExitWhen::Any));
        p.process.stated = Stated { on_exit: p.on_exit.is_some() || by_when, output: p.output.is_some() };
        p.process.on_exit = p.on_exit.unwrap_or(silent);
        let captured = several || p.process.tty;
        p.process.output = p.output.unwrap_or(if captured { Output::Prefix } else { Output::Inherit });
        own_terminal(reader, p);
        p.process.after = p.after.iter().map(|(other, condition, _)| (*other, *condition)).collect();
    }
}

/// A terminal of its own is read by softstop alone.
fn own_terminal(reader: &mut Reader<'_>, p: &ReadProcess) {
    let Some(span) = &p.tty else { return };
    if p.process.stdin == Stdin::Inherit {
        let sentence = "a process that reads softstop's standard input has softstop's terminal, not one of its own";
        reader.error(span, sentence, "leave out `tty`, or `stdin = \"inherit\"`");
    } else if p.process.output == Output::Inherit {
        let sentence = "output = \"inherit\" and a terminal of its own: nobody would read what it writes there";
        reader.error(span, sentence, "leave out `output`, or write output = \"prefix\", \"json\" or \"plain\"");
    }
}

/// Each but the first of these places is a mistake.
fn at_most_one<'s>(
    reader: &mut Reader<'_>,
    mut places: impl Iterator<Item = &'s Span>,
    sentence: &'static str,
    help: &'static str,
) {
    let Some(first) = places.next() else { return };
    for second in places {
        let places = vec![reader.source.place(second, ""), reader.source.place(first, "the first")];
        reader.error_at(places, sentence, help);
    }
}

/// What processes expect of one another.
pub fn dependencies(reader: &mut Reader<'_>, processes: &[ReadProcess]) {
    for waiting in processes {
        for (other, condition, span) in &waiting.after {
            let awaited = &processes[*other].process;
            if let (Some(kind), Some(so)) = (awaited.kind, never(awaited.kind, *condition)) {
                let kind = if kind == ProcessKind::Task { "task" } else { "service" };
                let sentence = format!("{:?} waits for {:?}, a {kind}, {so}", waiting.process.name, awaited.name);
                let help = if kind == "task" {
                    "wait for \"completed\", or for \"started\""
                } else {
                    "wait for \"ready\", or give it kind = \"task\""
                };
                reader.error(span, sentence, help);
                continue;
            }
            if !awaited.autostart && waiting.process.autostart {
                let (waiting, awaited) = (&waiting.process.name, &awaited.name);
                let sentence =
                    format!("{waiting:?} waits for {awaited:?}, which is not started by itself (autostart = false)");
                reader.warn(
                    span,
                    sentence,
                    format!("until softstop start {awaited}; else give {waiting:?} autostart = false, too"),
                );
            }
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
                    format!("give {:?} restart = \"on_failure\" or \"never\", or wait for \"ready\"", awaited.name),
                );
            } else if awaited.on_exit == OnExit::Stop {
                let sentence = format!(
                    "when {:?} completes the container stops, so {:?} hardly starts",
                    awaited.name, waiting.process.name
                );
                reader.warn(
                    span,
                    sentence,
                    format!("give {:?} on_exit = \"stop_on_failure\", or mark another process as main", awaited.name),
                );
            }
        }
    }
    cycles(reader, processes);
}

/// What such a one never is.
fn never(kind: Option<ProcessKind>, condition: Condition) -> Option<&'static str> {
    match (kind?, condition) {
        (ProcessKind::Task, Condition::Ready) => Some("which completes, and is never ready"),
        (ProcessKind::Service, Condition::Completed) => Some("which never completes"),
        _ => None,
    }
}

/// Names every cycle of `after` once, in order, with each place that closes it.
fn cycles(reader: &mut Reader<'_>, processes: &[ReadProcess]) {
    // Whoever waits for nothing that is left is in no cycle, and no cycle leads through it.
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); processes.len()];
    let mut waits: Vec<usize> = processes.iter().map(|p| p.after.len()).collect();
    for (i, p) in processes.iter().enumerate() {
        p.after.iter().for_each(|(other, ..)| dependents[*other].push(i));
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
            let Some((next, _, span)) = processes[at].after.iter().find(|(other, ..)| waits[*other] > 0) else {
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
        let chain: Vec<&str> = members.iter().map(|(i, _)| name(*i)).chain([name(at)]).collect();
        let places = members.iter().map(|(i, span)| reader.source.place(span, format!("{} waits", name(*i)))).collect();
        reader.error_at(
            places,
            format!("the processes wait for each other: {}", chain.join(" -> ")),
            "remove one of these",
        );
    }
}

/// What the stop's budget is judged by.
pub struct Budget<'b> {
    pub config: &'b Config,
    /// The grace comes from a flag or the environment, not from the file.
    pub overridden: bool,
    pub drain: &'b [ReadStep],
    pub post_stop: &'b [ReadStep],
}

/// Grace against everything that holds a part of it. The rule is the plan's own: a drain step gets what is left less the
/// reserves of everything after it.
pub fn budget(reader: &mut Reader<'_>, top: &TopKeys<'_>, budget: &Budget<'_>) {
    let (grace, kill) = (budget.config.grace, budget.config.kill_reserve);
    let (drained, after) = (reserves(budget.drain), reserves(budget.post_stop));
    let held = budget.config.stop_reserve.unwrap_or_default();
    let parts = [("kill_reserve", kill), ("drain", drained), ("stop_reserve", held), ("post_stop", after)];
    let total = parts.iter().fold(Duration::ZERO, |sum, (_, part)| sum.saturating_add(*part));
    if kill < grace && total <= grace {
        shares(reader, budget, grace - kill - drained - after);
        return;
    }
    // At the grace, when it stands in the file and the sum is at fault; else at what holds the most of it.
    let stated = top.grace.span().filter(|_| kill < grace && !budget.overridden);
    let held_so = if kill < grace { held } else { Duration::ZERO };
    let own = [(kill, top.kill_reserve.span()), (held_so, top.stop_reserve.span())];
    let own = own.into_iter().filter_map(|(reserve, span)| Some((reserve, span?)));
    let steps = budget.drain.iter().chain(budget.post_stop).filter(|_| kill < grace);
    let steps = steps.filter_map(|s| Some((s.step.reserve?, s.header.clone())));
    let most = || own.chain(steps).max_by_key(|(reserve, _)| *reserve).map(|(_, span)| span);
    let span = stated.or_else(most).or_else(|| top.grace.span()).unwrap_or_default();
    let from = if budget.overridden { ", given by --grace or SOFTSTOP_GRACE" } else { "" };
    if kill >= grace {
        let sentence = format!("kill_reserve ({}) must be less than grace ({}{from})", words(kill), words(grace));
        reader.error(&span, sentence, "lower kill_reserve or raise grace");
        return;
    }
    let stated = parts.iter().filter(|(_, part)| !part.is_zero());
    let listed: Vec<String> = stated.map(|(name, part)| format!("{name} {}", words(*part))).collect();
    let sentence =
        format!("the reserves hold {} of a grace of {}{from}: {}", words(total), words(grace), listed.join(" + "));
    reader.error(&span, sentence, format!("raise grace to at least \"{}\", or lower a reserve", words(total)));
}

fn reserves(steps: &[ReadStep]) -> Duration {
    let stated = steps.iter().filter_map(|s| s.step.reserve);
    stated.fold(Duration::ZERO, |sum, reserve| sum.saturating_add(reserve))
}

/// Steps that can never get anything. `free` is what no reserve of a step and not the kill holds.
fn shares(reader: &mut Reader<'_>, budget: &Budget<'_>, free: Duration) {
    let before = reader.problems.len();
    let deadline = budget.config.grace.saturating_sub(budget.config.kill_reserve);
    let stop = budget.config.stop_reserve.unwrap_or(budget.config.grace / 4).min(free);
    let mut later = stop.saturating_add(reserves(budget.post_stop));
    for step in budget.drain.iter().rev() {
        if later >= deadline {
            let all = words(deadline);
            let sentence =
                format!("this step can never run: what comes after it holds all of the {all} before the kill");
            let help = "raise grace, lower the reserves of what comes after it, or give it a `reserve` of its own";
            reader.error(&step.header, sentence, help);
        }
        later = later.saturating_add(step.step.reserve.unwrap_or_default());
    }
    let silent = budget.post_stop.iter().find(|s| s.step.reserve.is_none());
    if let Some(step) = silent.filter(|_| stop.is_zero()) {
        let sentence = "nothing of the grace is held for this step";
        reader.warn(&step.header, sentence, "give it a `reserve`, or raise stop_reserve");
    }
    if reader.problems.len() == before {
        lengths(reader, budget);
    }
}

/// Steps that are longer than the time that they can have.
fn lengths(reader: &mut Reader<'_>, budget: &Budget<'_>) {
    let Config { grace, kill_reserve, stop_reserve, .. } = *budget.config;
    let [drain, post_stop] =
        [budget.drain, budget.post_stop].map(|list| list.iter().map(|s| &s.step).collect::<Vec<_>>());
    let cuts = fit::cuts(fit::Slices { grace, kill_reserve, stop_reserve }, &drain, &post_stop);
    for (step, cut) in budget.drain.iter().chain(budget.post_stop).zip(cuts) {
        let Some(fit::Cut { wants, gets, grace: enough }) = cut else { continue };
        let sentence = format!(
            "this step takes at least {}, and can have {} of a grace of {}{}",
            words(wants),
            words(gets),
            words(grace),
            if budget.overridden { ", given by --grace or SOFTSTOP_GRACE" } else { "" },
        );
        reader.warn(&step.header, sentence, format!("shorten it, or raise grace to at least \"{}\"", words(enough)));
    }
}

/// What stragglers are to get, against the time before the kill.
fn stragglers(reader: &mut Reader<'_>, span: &Span, stated: Stragglers, config: &Config) {
    let deadline = config.grace.saturating_sub(config.kill_reserve);
    let asked = stated.wait.unwrap_or_default().saturating_add(stated.timeout.unwrap_or_default());
    if asked > deadline {
        let sentence =
            format!("stragglers may take {}, more than the {} before the kill", words(asked), words(deadline));
        reader.warn(
            span,
            sentence,
            "shorten `wait` and `timeout`, or raise grace: both are scaled down to what is left",
        );
    }
}

/// Ladders that are longer than the time there is, probes that softstop would answer itself.
pub fn plausible(reader: &mut Reader<'_>, top: &TopKeys<'_>, config: &Config, processes: &[ReadProcess]) {
    let deadline = config.grace.saturating_sub(config.kill_reserve);
    if let Some(field) = &top.stragglers.field {
        stragglers(reader, &field.key, config.stragglers, config);
    }
    for p in processes {
        if let Some(span) = &p.stragglers {
            stragglers(reader, span, p.process.stragglers.or(config.stragglers), config);
        }
        let diagnosis = p.process.diagnose.map(|d| d.wait);
        let pre_stop = p.process.pre_stop.as_ref().and_then(|task| match task.handler {
            Handler::Sleep(sleep) => Some(sleep),
            _ => None,
        });
        let ladder = p.process.stop.iter().filter(|_| !p.is_preset);
        let waits = ladder.filter_map(|r| r.wait).chain(diagnosis).chain(pre_stop);
        let waits = waits.fold(Duration::ZERO, Duration::saturating_add);
        if let Some(span) = p.stop.as_ref().or(p.pre_stop.as_ref()).filter(|_| waits > deadline) {
            let sentence = format!(
                "the waits of {:?} add up to {}, more than the {} before the kill",
                p.process.name,
                words(waits),
                words(deadline)
            );
            reader.warn(span, sentence, "shorten them or raise grace: what is left at the deadline is cut short");
        }
        for Probed { port, span, .. } in &p.probed {
            if config.http.as_ref().is_some_and(|http| http.listen.port() == *port) {
                let sentence = format!("the probe asks port {port}, where softstop itself answers");
                reader.warn(
                    span,
                    sentence,
                    format!("probe the port of {:?}, or let [http] listen on another", p.process.name),
                );
            }
        }
    }
}
