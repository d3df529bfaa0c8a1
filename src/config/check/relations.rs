//! What only shows when everything is seen together: the main process, dependency cycles, the sum of the reserves. Pure.

use std::time::Duration;

use super::process::{Probed, ReadProcess};
use super::reader::Reader;
use super::settings::TopKeys;
use super::task::ReadStep;
use super::values::words;
use crate::config::fit;
use crate::config::problem::Span;
use crate::config::{
    Condition, Config, ExitWhen, Handler, OnExit, Output, Process, ProcessKind, Restart, Stdin, Stragglers,
};

/// What to add to a file that starts nothing.
const MINIMAL: &str = "add one:\n\n    [[process]]\n    name = \"web\"\n    command = [\"/app/server\"]";

pub fn something_to_run(reader: &mut Reader<'_>, top: &TopKeys<'_>, processes: &[ReadProcess<'_>]) {
    let is_list = top.process.field.as_ref().is_none_or(|f| f.elements().is_some());
    let none = processes.is_empty() && !top.sidecar.is_given();
    if none && is_list && reader.can_miss(&top.table, &["process", "sidecar"]) {
        let empty = top.process.span().map(|span| reader.source.place(&span, ""));
        let place = empty.unwrap_or_else(|| reader.source.whole());
        reader.error_at(vec![place], "there is no process to run", MINIMAL);
    }
}

/// Who is main, and what that and their number mean for the others' defaults.
pub fn defaults(reader: &mut Reader<'_>, top: &TopKeys<'_>, processes: &mut [ReadProcess<'_>]) {
    let none_is_main = processes.iter().all(|p| !p.process.main);
    at_most_one(
        reader,
        processes.iter().filter(|p| p.process.main).filter_map(|p| p.keys.main.span()),
        "two processes are marked as main",
        "keep `main = true` on the one whose exit code is the container's",
    );
    at_most_one(
        reader,
        processes.iter().filter(|p| p.process.stdin == Stdin::Inherit).filter_map(|p| p.keys.stdin.span()),
        "two processes read softstop's standard input: each would get a part of it, and only one can have the terminal",
        "keep `stdin = \"inherit\"` on the one that is typed to, and leave it out of the other",
    );
    let several = processes.len() > 1;
    let exit_when = top.exit_when.read(reader);
    if let (Some(ExitWhen::Main), true, Some(span)) = (exit_when, several && none_is_main, top.exit_when.span()) {
        let help = "add main = true below the one whose end is the container's";
        reader.error(&span, "exit_when = \"main\", and no process is marked as main", help);
    }
    for p in processes.iter_mut() {
        let is_main = p.process.main || !several;
        let silent = match (exit_when, is_main, p.process.kind) {
            (None | Some(ExitWhen::Main), true, _) => OnExit::Stop,
            (None, false, _) if none_is_main => OnExit::StopOnFailure,
            (Some(ExitWhen::Any), _, Some(ProcessKind::Task)) => OnExit::StopOnFailure,
            (Some(ExitWhen::Any), ..) => OnExit::Stop,
            (None | Some(ExitWhen::Main | ExitWhen::All), ..) => OnExit::Continue,
        };
        if !p.process.stated.on_exit {
            p.process.on_exit = silent;
            p.process.stated.on_exit = matches!(exit_when, Some(ExitWhen::All | ExitWhen::Any));
        }
        if !p.process.stated.output && (several || p.process.tty) {
            p.process.output = Output::Prefix;
        }
        own_terminal(reader, p);
        p.process.after = p.after.iter().map(|(other, condition, _)| (*other, *condition)).collect();
    }
}

/// A terminal of its own is read by softstop alone.
fn own_terminal(reader: &mut Reader<'_>, p: &ReadProcess<'_>) {
    let Some(span) = &p.keys.tty.span().filter(|_| p.process.tty) else { return };
    if p.process.stdin == Stdin::Inherit {
        let sentence = "a process that reads softstop's standard input has softstop's terminal, not one of its own";
        reader.error(span, sentence, "leave out `tty`, or `stdin = \"inherit\"`");
    } else if p.process.output == Output::Inherit {
        let sentence = "output = \"inherit\" and a terminal of its own: nobody would read what it writes there";
        reader.error(span, sentence, "leave out `output`, or write output = \"prefix\", \"json\" or \"plain\"");
    }
}

/// Each but the first of these places is a mistake.
fn at_most_one(reader: &mut Reader<'_>, mut places: impl Iterator<Item = Span>, sentence: &str, help: &str) {
    let Some(first) = places.next() else { return };
    places.for_each(|second| reader.error_beside(&second, (&first, "the first"), sentence, help));
}

/// What processes expect of one another.
pub fn dependencies(reader: &mut Reader<'_>, processes: &[ReadProcess<'_>]) {
    for waiting in processes {
        for (other, condition, span) in &waiting.after {
            dependency(reader, &waiting.process, &processes[*other].process, *condition, span);
        }
    }
    cycles(reader, processes);
}

fn dependency(reader: &mut Reader<'_>, waiting: &Process, awaited: &Process, condition: Condition, span: &Span) {
    let (name, other) = (&waiting.name, &awaited.name);
    let never = match (awaited.kind, condition) {
        (Some(ProcessKind::Task), Condition::Ready) => {
            Some(("a task, which completes, and is never ready", "wait for \"completed\", or for \"started\""))
        }
        (Some(ProcessKind::Service), Condition::Completed) => {
            Some(("a service, which never completes", "wait for \"ready\", or give it kind = \"task\""))
        }
        _ => None,
    };
    if let Some((why, help)) = never {
        reader.error(span, format!("{name:?} waits for {other:?}, {why}"), help);
        return;
    }
    if !awaited.autostart && waiting.autostart {
        let sentence = format!("{name:?} waits for {other:?}, which is not started by itself (autostart = false)");
        let help = format!("until softstop start {other}; else give {name:?} autostart = false, too");
        reader.warn(span, sentence, help);
    }
    if condition == Condition::Completed && awaited.restart == Restart::Always {
        let sentence = format!("{name:?} waits for {other:?} to complete, but that one is always restarted");
        let help = format!("give {other:?} restart = \"on_failure\" or \"never\", or wait for \"ready\"");
        reader.error(span, sentence, help);
    } else if condition == Condition::Completed && awaited.on_exit == OnExit::Stop {
        let sentence = format!("when {other:?} completes the container stops, so {name:?} hardly starts");
        let help = format!("give {other:?} on_exit = \"stop_on_failure\", or mark another process as main");
        reader.warn(span, sentence, help);
    }
}

/// Names every cycle of `after` once, in order, with each place that closes it.
fn cycles(reader: &mut Reader<'_>, processes: &[ReadProcess<'_>]) {
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
            let Some((next, _, span)) = processes[at].after.iter().find(|(other, ..)| waits[*other] > 0) else { break };
            path.push((at, span.clone()));
            at = *next;
        }
        let Some(from) = path.iter().position(|(i, _)| *i == at) else { continue };
        let members = &path[from..];
        let name = |i: usize| processes[i].process.name.as_str();
        let chain: Vec<&str> = members.iter().map(|(i, _)| name(*i)).chain([name(at)]).collect();
        let places = members.iter().map(|(i, span)| reader.source.place(span, format!("{} waits", name(*i)))).collect();
        let sentence = format!("the processes wait for each other: {}", chain.join(" -> "));
        reader.error_at(places, sentence, "remove one of these");
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

impl Budget<'_> {
    /// Where its grace comes from, where that is not the file.
    fn from(&self) -> &'static str {
        if self.overridden { ", given by --grace or SOFTSTOP_GRACE" } else { "" }
    }
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
        slices(reader, budget, grace - kill - drained - after);
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
    let from = budget.from();
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
fn slices(reader: &mut Reader<'_>, budget: &Budget<'_>, free: Duration) {
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
    let grace = words(budget.config.grace);
    let [drain, post_stop] =
        [budget.drain, budget.post_stop].map(|list| list.iter().map(|s| &s.step).collect::<Vec<_>>());
    let cuts = fit::cuts(budget.config, &drain, &post_stop);
    for (step, cut) in budget.drain.iter().chain(budget.post_stop).zip(cuts) {
        let Some(fit::Cut { wants, gets, grace: enough }) = cut else { continue };
        let [wants, gets, enough] = [wants, gets, enough].map(words);
        let from = budget.from();
        let sentence = format!("this step takes at least {wants}, and can have {gets} of a grace of {grace}{from}");
        reader.warn(&step.header, sentence, format!("shorten it, or raise grace to at least \"{enough}\""));
    }
}

/// What stragglers are to get, against the time before the kill.
fn stragglers(reader: &mut Reader<'_>, span: &Span, stated: Stragglers, config: &Config) {
    let deadline = config.grace.saturating_sub(config.kill_reserve);
    let asked = stated.wait.unwrap_or_default().saturating_add(stated.timeout.unwrap_or_default());
    if asked > deadline {
        let [asked, deadline] = [asked, deadline].map(words);
        let sentence = format!("stragglers may take {asked}, more than the {deadline} before the kill");
        let help = "shorten `wait` and `timeout`, or raise grace: both are scaled down to what is left";
        reader.warn(span, sentence, help);
    }
}

/// Ladders that are longer than the time there is, probes that softstop would answer itself.
pub fn plausible(reader: &mut Reader<'_>, top: &TopKeys<'_>, config: &Config, processes: &[ReadProcess<'_>]) {
    let deadline = config.grace.saturating_sub(config.kill_reserve);
    if let Some(field) = &top.stragglers.field {
        stragglers(reader, &field.key, config.stragglers, config);
    }
    for p in processes {
        if let Some(field) = &p.keys.stragglers.field {
            stragglers(reader, &field.key, p.process.stragglers.or(config.stragglers), config);
        }
        let diagnosis = p.process.diagnose.map(|d| d.wait);
        let pre_stop = p.process.pre_stop.as_ref().and_then(|task| match task.handler {
            Handler::Sleep(sleep) => Some(sleep),
            _ => None,
        });
        let ladder = p.process.stop.iter().filter(|_| !p.is_preset);
        let waits = ladder.filter_map(|r| r.wait).chain(diagnosis).chain(pre_stop);
        let waits = waits.fold(Duration::ZERO, Duration::saturating_add);
        let name = &p.process.name;
        let ladder = p.keys.stop.span().filter(|_| !p.is_preset).or(p.keys.pre_stop.span());
        if let Some(span) = ladder.filter(|_| waits > deadline) {
            let [waits, deadline] = [waits, deadline].map(words);
            let sentence = format!("the waits of {name:?} add up to {waits}, more than the {deadline} before the kill");
            reader.warn(&span, sentence, "shorten them or raise grace: what is left at the deadline is cut short");
        }
        for Probed { port, span, .. } in &p.probed {
            if config.http.as_ref().is_some_and(|http| http.listen.port() == *port) {
                let sentence = format!("the probe asks port {port}, where softstop itself answers");
                reader.warn(span, sentence, format!("probe the port of {name:?}, or let [http] listen on another"));
            }
        }
    }
}
