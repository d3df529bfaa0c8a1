//! Tasks and steps: `[[init]]`, `post_start`, `pre_stop`, `post_exit`, `[[drain]]`, `[[post_stop]]`. Pure.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::declare::{Declared, Key, joined, table};
use super::handler::{Handler, Handlers, HttpCall, Method, one_handler};
use super::keys;
use super::kinds::{Bool, Constant, Int, Limit, Many, Pause, Round, TaskName, Word};
use super::launch::{self, Launch, LaunchKeys};
use super::reader::{Field, Reader, Table};
use super::values;
use crate::config::place::Place;
use crate::config::problem::Span;

/// Something to do once, with its time limit: an init task, a hook, a drain or post_stop step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub name: String,
    pub handler: Handler,
    /// How its program is started, where it runs one.
    pub launch: Launch,
    /// For all attempts together; `None`: what its place allows (its slice of the budget during a stop).
    pub timeout: Option<Duration>,
    pub retries: Retries,
    /// Pause between two attempts.
    pub retry_delay: Duration,
    pub on_failure: OnFailure,
}

impl Task {
    pub fn new(name: impl Into<String>, handler: Handler) -> Task {
        Task {
            name: name.into(),
            handler,
            launch: Launch::default(),
            timeout: None,
            retries: Retries::Count(0),
            retry_delay: TaskKeys::retry_delay,
            on_failure: OnFailure::Ignore,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retries {
    /// So many further attempts after a failed one.
    Count(u32),
    /// Again until the timeout: what an `[[init]]` that waits for a port does.
    UntilTimeout,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Report it and go on.
    Ignore,
    /// Restart the process it belongs to (post_start only).
    Restart,
    /// Stop the container (init, post_start) or end the drain here (drain).
    Stop,
}

/// One entry of `[[drain]]` or `[[post_stop]]`: a task, or several side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// One, or the members of `parallel`; never empty.
    pub tasks: Vec<Task>,
    /// What earlier steps may not take from it.
    pub reserve: Option<Duration>,
    /// When not all reserves fit any more, this step's is kept before those of steps that are not essential. Has a `reserve`.
    pub essential: bool,
    pub when: When,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Only when somebody asked for the stop. Not when the main process ended by itself: then there is no traffic left
    /// to drain, and Kubernetes skips preStop too.
    Requested,
    Always,
}

table! {
    /// What a task and a step with `parallel` have.
    pub struct NamedKeys in "what has a name" {
        /// For the log and the report.
        name: TaskName { unset: "such as `init 1`, `sleep 5s`, `web pre_stop`" };
    }
}

table! {
    pub struct TaskKeys in "a task" from [NamedKeys<'static>, Handlers<'static>] then [LaunchKeys<'static>] one of (Handlers::SECTION.keys) {
        /// For all attempts together.
        timeout: Limit {
            unset: "`init` 5m, `post_start` 1m, `post_exit` 5s, else its time slice of the budget; a sleep has none",
            examples: &["\"5s\"", "\"1m30s\""],
        };
        /// Further attempts after a failed one. Not for the `wait_` handlers, which look again and again until their time is up.
        retries: Int<0, 1000> {
            unset: "`0`; in `init`, `tcp_socket`, `grpc` and `http_get` try until the timeout",
            help: "write how often to try again, such as 3",
            examples: &["0", "3", "1000"],
        };
        /// Pause between two attempts. Not for the `wait_` handlers.
        retry_delay: Round = Duration::from_secs(1);
        /// What a failure means, after the last attempt or at the timeout.
        on_failure: Word<OnFailure> { unset: "see below", examples: &["\"ignore\""] };
    }
}

table! {
    pub struct StepKeys in "a step" from [TaskKeys<'static>] one of (HANDLERS_OR_PARALLEL) {
        /// What earlier steps may not take from it.
        reserve: Pause { unset: "nothing (in `post_stop`, a part of `stop_reserve`)", examples: &["\"1s\"", "\"0s\""] };
        /// When not all reserves fit any more (an eviction leaves two seconds), this one is kept
        /// [before the others](stop/budget.md#when-little-is-left). Needs `reserve`.
        essential: Bool = false;
        /// `requested`: not when the stop began because the main process ended by itself; then there is no traffic to drain.
        when: Word<When> { unset: "`drain`: `\"requested\"`, `post_stop`: `\"always\"`" };
        /// Several tasks side by side instead of one; `name`, `reserve`, `essential` and `when` stay with the step, everything else with its
        /// members.
        parallel: Many<TaskKeys<'static>> { words: "array of tasks" };
    }
}

const HANDLERS_OR_PARALLEL: &[&str] =
    &joined::<{ Handlers::SECTION.keys.len() + 1 }>(&[Handlers::SECTION.keys, &["parallel"]]);

/// The processes' names, for finding them.
#[derive(Default)]
pub struct Names {
    /// In order. `None` for one whose name was refused.
    pub list: Vec<Option<String>>,
    pub index: HashMap<String, usize>,
    /// In order: it says that it is a task.
    pub tasks: Vec<bool>,
}

/// What a task is read against.
pub struct Site<'n> {
    pub place: Place,
    pub names: &'n Names,
    /// The process whose hook it is.
    pub owner: Option<usize>,
    /// Its name when it has none.
    pub fallback: String,
}

/// A step and where it stands.
pub struct ReadStep {
    pub step: Step,
    pub header: Span,
}

pub fn tasks(reader: &mut Reader<'_>, key: &Key<'_, Many<TaskKeys<'static>>>, site: &Site<'_>) -> Vec<Task> {
    let tables = key.open(reader, site.place.header());
    each(reader, &tables, site)
}

fn each(reader: &mut Reader<'_>, tables: &[TaskKeys<'_>], site: &Site<'_>) -> Vec<Task> {
    let site = |i: usize| Site { fallback: format!("{} {}", site.fallback, i + 1), ..*site };
    let numbered = tables.iter().enumerate();
    numbered.filter_map(|(i, table)| task(reader, table, &site(i))).collect()
}

pub fn steps(
    reader: &mut Reader<'_>,
    key: &Key<'_, Many<StepKeys<'static>>>,
    place: Place,
    names: &Names,
) -> Vec<ReadStep> {
    let tables = key.open(reader, place.header());
    let mut list = Vec::with_capacity(tables.len());
    for (i, keys) in tables.iter().enumerate() {
        let table = &keys.table;
        let site = Site { place, names, owner: None, fallback: format!("{} {}", place.key(), i + 1) };
        let reserve = keys.reserve.read(reader);
        let essential = keys.essential.read(reader).unwrap_or(StepKeys::essential);
        if essential && !keys.reserve.is_given() && reader.can_miss(table, &["reserve"]) {
            let sentence = "an essential step does not say how much is to be kept for it";
            reader.error(&table.header, sentence, "add reserve = \"1s\": what it needs when little is left");
        }
        let when = keys.when.read(reader).unwrap_or(place.when());
        let tasks = if keys.parallel.is_given() {
            parallel(reader, keys, &site)
        } else {
            task(reader, &TaskKeys::keys(table.clone()), &site).into_iter().collect()
        };
        if !tasks.is_empty() {
            list.push(ReadStep { step: Step { tasks, reserve, essential, when }, header: table.header.clone() });
        }
    }
    list
}

/// What a table has of a task's keys, but for the name.
pub fn unnamed<'t>(table: &Table<'t>) -> Vec<Field<'t>> {
    let keys = TaskKeys::SECTION.keys.iter().filter(|key| !NamedKeys::SECTION.keys.contains(key));
    keys.filter_map(|key| table.get(key)).collect()
}

/// The members of `parallel`. Only `name`, `reserve`, `essential` and `when` are the step's own then.
fn parallel(reader: &mut Reader<'_>, keys: &StepKeys<'_>, site: &Site<'_>) -> Vec<Task> {
    let own = NamedKeys::keys(keys.table.clone());
    for field in unnamed(&keys.table) {
        let help = "write it in the members of `parallel`; name, reserve, essential and when stay with the step";
        reader.error(&field.key, format!("`{}` beside `parallel`", field.name), help);
    }
    let fallback = own.name.read(reader).unwrap_or_else(|| site.fallback.clone());
    if let Some(field) = keys.parallel.field.as_ref().filter(|f| f.elements().is_some_and(|m| m.is_empty())) {
        let help = "write at least one task: parallel = [ { sleep = \"5s\" } ]";
        reader.error(&field.span(), "`parallel` is empty", help);
    }
    let members = keys.parallel.open(reader, "parallel = [ { ... }, { ... } ]");
    each(reader, &members, &Site { fallback, ..*site })
}

pub fn task(reader: &mut Reader<'_>, keys: &TaskKeys<'_>, site: &Site<'_>) -> Option<Task> {
    let place = site.place;
    let name = NamedKeys::keys(keys.table.clone()).name.read(reader);
    let timeout = keys.timeout.read(reader);
    let retries = keys.retries.read(reader);
    let retry_delay = keys.retry_delay.read(reader).unwrap_or(TaskKeys::retry_delay);
    let on_failure = on_failure(reader, &keys.on_failure, place).unwrap_or(place.on_failure()[0]);
    let surroundings = reader.surroundings.clone();
    let launch = launch(reader, keys);
    let handler = one_handler::<Handlers<'_>>(reader, &keys.table, Some(site));
    reader.surroundings = surroundings;
    let handler = handler?;
    agree(reader, keys, &handler, timeout);
    let asks =
        matches!(handler, Handler::Tcp { .. } | Handler::Grpc(_) | Handler::Http(HttpCall { method: Method::Get, .. }));
    let until_timeout = handler.waits() || retries.is_none() && place == Place::Init && asks;
    let retries = if until_timeout { Retries::UntilTimeout } else { Retries::Count(retries.unwrap_or(0)) };
    let (default_name, default_timeout) = match &handler {
        Handler::Sleep(sleep) => (format!("sleep {}", values::words(*sleep)), None),
        _ => (site.fallback.clone(), place.timeout()),
    };
    let (name, timeout) = (name.unwrap_or(default_name), timeout.or(default_timeout));
    Some(Task { name, handler, launch, timeout, retries, retry_delay, on_failure })
}

/// What does not go with what it does.
fn agree(reader: &mut Reader<'_>, keys: &TaskKeys<'_>, handler: &Handler, timeout: Option<Duration>) {
    let of_programs = keys.table.present(LaunchKeys::SECTION.keys);
    if let (false, Some(field)) = (matches!(handler, Handler::Exec(_)), of_programs.first()) {
        let sentence = format!("`{}` for a task that runs no program", field.name);
        reader.error(&field.key, sentence, "leave it out, or write what is to be done as exec = [\"program\"]");
    }
    if let (Some(timeout), Some(span)) = (timeout, keys.timeout.span()) {
        long_enough(reader, handler, timeout, &span);
    }
    for field in [&keys.retries.field, &keys.retry_delay.field].into_iter().flatten().filter(|_| handler.waits()) {
        let sentence = format!("`{}` for a task that waits until something holds", field.name);
        reader.error(&field.key, sentence, "leave it out: it looks again and again until its `timeout`");
    }
}

/// What takes a time of its own has to have it.
fn long_enough(reader: &mut Reader<'_>, handler: &Handler, timeout: Duration, span: &Span) {
    let (least, help) = match handler {
        Handler::Sleep(sleep) if *sleep > timeout => {
            ("the sleep".to_owned(), "leave `timeout` out: a sleep ends by itself")
        }
        Handler::WaitIdle(idle) if idle.least() > timeout => {
            let least = format!("the least that wait_idle takes, {}", values::words(idle.least()));
            (least, "raise `timeout`, or lower `quiet` and `minimum`")
        }
        _ => return,
    };
    reader.error(span, format!("the timeout is shorter than {least}: it can never succeed"), help);
}

/// What it says of that itself, and where its program is looked for then.
fn launch(reader: &mut Reader<'_>, keys: &TaskKeys<'_>) -> Launch {
    let launch = launch::launch(reader, &LaunchKeys::keys(keys.table.clone()));
    reader.surroundings.replace(&launch.env, launch.working_dir.as_deref());
    launch
}

fn on_failure(reader: &mut Reader<'_>, key: &Key<'_, Word<OnFailure>>, place: Place) -> Option<OnFailure> {
    let chosen = key.read(reader)?;
    if place.on_failure().contains(&chosen) {
        return Some(chosen);
    }
    let word = |on_failure: &OnFailure| Word::show(on_failure).trim_matches('"').to_owned();
    let allowed: Vec<String> = place.on_failure().iter().map(word).collect();
    let sentence = format!("`on_failure` cannot be \"{}\" in {}", word(&chosen), place.header());
    let help = match &allowed[..] {
        [_] => "write `ignore`, or leave it out".to_owned(),
        several => format!("write one of {}", keys::list(several)),
    };
    reader.error(&key.span()?, sentence, help);
    None
}
