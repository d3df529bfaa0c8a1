//! Tasks and steps: `[[init]]`, `post_start`, `pre_stop`, `[[drain]]`, `[[post_stop]]`. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::handler::one_handler;
use super::keys;
use super::reader::{Field, Reader, Table};
use super::values;
use crate::config::problem::Span;
use crate::config::{Handler, HttpCall, Method, OnFailure, Retries, Step, Task, When};

/// Where a task stands. It decides what failure may mean and what holds when nothing is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Init,
    PostStart,
    PreStop,
    Drain,
    PostStop,
}

impl Place {
    fn header(self) -> &'static str {
        match self {
            Place::Init => "[[init]]",
            Place::PostStart => "[[process.post_start]]",
            Place::PreStop => "[process.pre_stop]",
            Place::Drain => "[[drain]]",
            Place::PostStop => "[[post_stop]]",
        }
    }

    /// The default first.
    fn on_failure(self) -> &'static [OnFailure] {
        match self {
            Place::Init => &[OnFailure::Stop, OnFailure::Ignore],
            Place::PostStart => &[OnFailure::Restart, OnFailure::Ignore, OnFailure::Stop],
            Place::Drain => &[OnFailure::Ignore, OnFailure::Stop],
            Place::PreStop | Place::PostStop => &[OnFailure::Ignore],
        }
    }

    /// `None`: its share of the budget.
    fn timeout(self) -> Option<Duration> {
        match self {
            Place::Init => Some(Duration::from_secs(5 * 60)),
            Place::PostStart => Some(Duration::from_secs(60)),
            Place::PreStop | Place::Drain | Place::PostStop => None,
        }
    }

    fn when(self) -> When {
        if self == Place::PostStop { When::Always } else { When::Requested }
    }
}

/// The processes' names, for finding them.
#[derive(Default)]
pub struct Names {
    /// In order. `None` for one whose name was refused.
    pub list: Vec<Option<String>>,
    pub index: HashMap<String, usize>,
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

pub fn tasks(reader: &mut Reader<'_>, field: Option<Field<'_>>, site: &Site<'_>) -> Vec<Task> {
    let tables = reader.tables(field, &keys::TASK, site.place.header());
    each(reader, &tables, site)
}

fn each(reader: &mut Reader<'_>, tables: &[Table<'_>], site: &Site<'_>) -> Vec<Task> {
    let site = |i: usize| Site { fallback: format!("{} {}", site.fallback, i + 1), ..*site };
    let numbered = tables.iter().enumerate();
    numbered.filter_map(|(i, table)| task(reader, table, &site(i))).collect()
}

pub fn steps(reader: &mut Reader<'_>, field: Option<Field<'_>>, place: Place, names: &Names) -> Vec<ReadStep> {
    let word = if place == Place::Drain { "drain" } else { "post_stop" };
    let tables = reader.tables(field, &keys::STEP, place.header());
    let mut list = Vec::with_capacity(tables.len());
    for (i, table) in tables.iter().enumerate() {
        let site = Site { place, names, owner: None, fallback: format!("{word} {}", i + 1) };
        let reserve = table.get("reserve").and_then(|f| reader.duration(&f, values::PAUSE));
        let essential = table.get("essential").and_then(|f| reader.boolean(&f)).unwrap_or(false);
        if essential && table.get("reserve").is_none() && reader.can_miss(table, &["reserve"]) {
            let sentence = "an essential step does not say how much is to be kept for it";
            reader.error(&table.header, sentence, "add reserve = \"1s\": what it needs when little is left");
        }
        let when = table.get("when").and_then(|f| reader.word(&f)).unwrap_or(place.when());
        let tasks = match table.get("parallel") {
            Some(field) => parallel(reader, table, &field, &site),
            None => task(reader, table, &site).into_iter().collect(),
        };
        if !tasks.is_empty() {
            list.push(ReadStep { step: Step { tasks, reserve, essential, when }, header: table.header.clone() });
        }
    }
    list
}

/// The members of `parallel`. Only `name`, `reserve`, `essential` and `when` are the step's own then.
fn parallel(reader: &mut Reader<'_>, table: &Table<'_>, field: &Field<'_>, site: &Site<'_>) -> Vec<Task> {
    for own in table.present(keys::TASK.keys).iter().filter(|f| f.name != "name") {
        reader.error(
            &own.key,
            format!("`{}` beside `parallel`", own.name),
            "write it in the members of `parallel`; name, reserve, essential and when stay with the step",
        );
    }
    let name = table.get("name").and_then(|f| reader.parsed(&f, "write a name in quotes", values::task_name));
    let fallback = name.unwrap_or_else(|| site.fallback.clone());
    if field.elements().is_some_and(|members| members.is_empty()) {
        let help = "write at least one task: parallel = [ { sleep = \"5s\" } ]";
        reader.error(&field.span(), "`parallel` is empty", help);
    }
    let members = reader.tables(Some(field.clone()), &keys::TASK, "parallel = [ { ... }, { ... } ]");
    each(reader, &members, &Site { fallback, ..*site })
}

pub fn task(reader: &mut Reader<'_>, table: &Table<'_>, site: &Site<'_>) -> Option<Task> {
    let place = site.place;
    let name = table.get("name").and_then(|f| reader.parsed(&f, "write a name in quotes", values::task_name));
    let timeout = table.get("timeout").and_then(|f| reader.duration(&f, values::LIMIT));
    let retries =
        table.get("retries").and_then(|f| reader.integer(&f, 0..=1000, "write how often to try again, such as 3"));
    let retry_delay = table.get("retry_delay").and_then(|f| reader.duration(&f, values::ROUND));
    let on_failure = table.get("on_failure").and_then(|f| on_failure(reader, &f, place));
    let handler = one_handler(reader, table, keys::HANDLERS, Some(site))?;

    if let (Handler::Sleep(sleep), Some(timeout), Some(field)) = (&handler, timeout, table.get("timeout"))
        && *sleep > timeout
    {
        reader.error(
            &field.span(),
            "the timeout is shorter than the sleep: it can never succeed",
            "leave `timeout` out: a sleep ends by itself",
        );
    }
    if let (Handler::WaitIdle(idle), Some(timeout), Some(field)) = (&handler, timeout, table.get("timeout"))
        && idle.least() > timeout
    {
        let least = values::words(idle.least());
        let sentence =
            format!("the timeout is shorter than the least that wait_idle takes, {least}: it can never succeed");
        reader.error(&field.span(), sentence, "raise `timeout`, or lower `quiet` and `minimum`");
    }
    if handler.waits() {
        for key in ["retries", "retry_delay"] {
            if let Some(field) = table.get(key) {
                let sentence = format!("`{key}` for a task that waits until something holds");
                reader.error(&field.key, sentence, "leave it out: it looks again and again until its `timeout`");
            }
        }
    }
    let waits = place == Place::Init
        && matches!(handler, Handler::Tcp { .. } | Handler::Http(HttpCall { method: Method::Get, .. }));
    let default_name = match &handler {
        Handler::Sleep(sleep) => format!("sleep {}", values::words(*sleep)),
        _ => site.fallback.clone(),
    };
    let default_timeout = if matches!(handler, Handler::Sleep(_)) { None } else { place.timeout() };
    let mut task = Task::new(name.unwrap_or(default_name), handler);
    task.timeout = timeout.or(default_timeout);
    task.retries = match retries.and_then(|n| u32::try_from(n).ok()) {
        _ if task.handler.waits() => Retries::UntilTimeout,
        Some(count) => Retries::Count(count),
        None if waits => Retries::UntilTimeout,
        None => Retries::Count(0),
    };
    task.retry_delay = retry_delay.unwrap_or(task.retry_delay);
    task.on_failure = on_failure.unwrap_or(place.on_failure()[0]);
    Some(task)
}

fn on_failure(reader: &mut Reader<'_>, field: &Field<'_>, place: Place) -> Option<OnFailure> {
    let chosen: OnFailure = reader.word(field)?;
    if place.on_failure().contains(&chosen) {
        return Some(chosen);
    }
    let word = |f: &OnFailure| match f {
        OnFailure::Ignore => "ignore",
        OnFailure::Restart => "restart",
        OnFailure::Stop => "stop",
    };
    let allowed: Vec<&str> = place.on_failure().iter().map(word).collect();
    let sentence = format!("`on_failure` cannot be \"{}\" in {}", word(&chosen), place.header());
    reader.error(
        &field.span(),
        sentence,
        format!(
            "write {}",
            if allowed.len() == 1 {
                "`ignore`, or leave it out".into()
            } else {
                format!("one of {}", keys::list(&allowed))
            }
        ),
    );
    None
}
