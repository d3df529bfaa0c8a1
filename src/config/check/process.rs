//! `[[process]]`: one supervised process. Pure.

use std::ffi::OsString;

use toml::de::DeValue;

use super::here::Surroundings;
use super::reader::{Field, Reader, Table};
use super::task::{self, Names, Place, Site};
use super::values;
use super::{handler, keys, ladder, probe, stragglers};
use crate::config::problem::Span;
use crate::config::{Backoff, Condition, Identity, OnExit, Output, Process, Stdin};

/// A process as far as it alone can be judged, and where its parts stand for judging them together.
pub struct ReadProcess {
    pub process: Process,
    pub main: Option<Span>,
    /// Where it says that it reads softstop's own standard input.
    pub stdin: Option<Span>,
    pub on_exit: Option<OnExit>,
    pub output: Option<Output>,
    /// What it waits for, with the place of the key.
    pub after: Vec<(usize, Condition, Span)>,
    pub stop: Option<Span>,
    pub pre_stop: Option<Span>,
    pub stragglers: Option<Span>,
    /// Ports on this host that its probes ask.
    pub probed: Vec<(u16, Span)>,
}

/// Every process's name, checked, in order; read first because hooks and `after` refer to them.
pub fn names(reader: &mut Reader<'_>, tables: &[Table<'_>]) -> Names {
    let mut names = Names::default();
    let mut spans: Vec<Span> = Vec::with_capacity(tables.len());
    for (i, table) in tables.iter().enumerate() {
        let field = table.get("name");
        spans.push(field.as_ref().map_or(table.header.clone(), Field::span));
        let Some(field) = field else {
            reader.missing(table, &["name"], "the process has no name", "add name = \"web\" below `[[process]]`");
            names.list.push(None);
            continue;
        };
        let name = reader.parsed(&field, "write a name in quotes, such as \"web\"", values::process_name);
        if let Some(name) = &name {
            let first = *names.index.entry(name.clone()).or_insert(i);
            if first != i && !reader.has_enough() {
                let places = vec![reader.source.place(&spans[i], ""), reader.source.place(&spans[first], "the first")];
                let help = format!("give each its own name, such as \"{name}-2\"");
                reader.error_at(places, format!("two processes are named {name:?}"), help);
            }
        }
        names.list.push(name);
    }
    names
}

pub fn process(reader: &mut Reader<'_>, table: &Table<'_>, index: usize, names: &Names) -> ReadProcess {
    let name = names.list[index].clone().unwrap_or_else(|| format!("process {}", index + 1));
    let env = table.get("env").map_or_else(Vec::new, |f| env(reader, &f));
    let working_dir = table.get("working_dir").and_then(|f| reader.path(&f).map(|dir| (dir, f.span())));
    if let Some((dir, span)) = &working_dir {
        reader.expect_directory(span, dir);
    }
    let working_dir = working_dir.map(|(dir, _)| dir);
    reader.surroundings = Surroundings::new(&env, working_dir.as_deref());
    let command = match table.get("command") {
        Some(f) => handler::command(reader, &f),
        None => {
            reader.missing(
                table,
                &["command"],
                format!("the process {name:?} has no command"),
                "add command = [\"/app/server\", \"--port\", \"8080\"]",
            );
            None
        }
    };
    let mut p = Process::new(name, command.unwrap_or_default());
    p.identity = identity(reader, table);
    (p.working_dir, p.env) = (working_dir, env);
    p.stdin = table.get("stdin").and_then(|f| reader.word(&f)).unwrap_or(p.stdin);
    p.restart = table.get("restart").and_then(|f| reader.word(&f)).unwrap_or(p.restart);
    p.signal_to = table.get("signal_to").and_then(|f| reader.word(&f)).unwrap_or(p.signal_to);
    p.backoff = table.get("backoff").map_or(p.backoff, |f| backoff(reader, &f));
    let restarts = table
        .get("max_restarts")
        .and_then(|f| reader.integer(&f, 0..=1_000_000, "write a number such as 5, or leave it out to never give up"));
    p.max_restarts = restarts.and_then(|n| u32::try_from(n).ok());
    p.stop = table.get("stop").map_or_else(Vec::new, |f| ladder::ladder(reader, &f));
    if table.get("stop").is_none() {
        not_by_sigterm(reader, table, &p);
    }
    p.diagnose = table.get("diagnose").and_then(|f| ladder::diagnose(reader, &f));
    p.stragglers = table.get("stragglers").map_or(p.stragglers, |f| stragglers::stragglers(reader, &f));
    let site =
        |place, fallback: &str| Site { place, names, owner: Some(index), fallback: format!("{} {fallback}", p.name) };
    let (post_start, pre_stop) = (site(Place::PostStart, "post_start"), site(Place::PreStop, "pre_stop"));
    p.post_start = task::tasks(reader, table.get("post_start"), &post_start);
    p.pre_stop = table.get("pre_stop").and_then(|f| hook(reader, &f)).and_then(|t| task::task(reader, &t, &pre_stop));

    let mut probed = Vec::new();
    p.startup = table.get("startup").and_then(|f| probe::probe(reader, &f, &mut probed));
    p.readiness = table.get("readiness").and_then(|f| probe::probe(reader, &f, &mut probed));
    p.liveness = table.get("liveness").and_then(|f| probe::probe(reader, &f, &mut probed));

    reader.surroundings = Surroundings::default();

    let main = table.get("main").filter(|f| reader.boolean(f) == Some(true)).map(|f| f.span());
    p.main = main.is_some();
    let stdin = table.get("stdin").filter(|_| p.stdin == Stdin::Inherit).map(|f| f.span());
    ReadProcess {
        main,
        stdin,
        on_exit: table.get("on_exit").and_then(|f| reader.word(&f)),
        output: table.get("output").and_then(|f| reader.word(&f)),
        after: table.get("after").map_or_else(Vec::new, |f| after(reader, &f, index, names)),
        stop: table.get("stop").map(|f| f.span()),
        pre_stop: table.get("pre_stop").map(|f| f.span()),
        stragglers: table.get("stragglers").map(|f| f.key.clone()),
        probed,
        process: p,
    }
}

/// Who says nothing has SIGTERM sent, and not everybody ends gracefully upon that.
fn not_by_sigterm(reader: &mut Reader<'_>, table: &Table<'_>, process: &Process) {
    let Some(program) = process.program() else { return };
    let (Some(effect), Some(command)) = (program.upon_term, table.get("command")) else { return };
    let (name, signal) = (program.name(), program.stop);
    reader.warn(
        &command.span(),
        format!("{name} is stopped with SIGTERM, which {effect}"),
        format!("its graceful stop is {signal}: stop = \"{signal}\""),
    );
}

fn hook<'t>(reader: &mut Reader<'_>, field: &Field<'t>) -> Option<Table<'t>> {
    if field.value.get_ref().is_array() {
        let help = "write `[process.pre_stop]` once; what it does may be a script";
        reader.error(&field.span(), "`pre_stop` is one task, not an array", help);
        return None;
    }
    reader.table(field, &keys::TASK, "write `[process.pre_stop]` and below it exec = [\"/app/deregister\"]")
}

fn identity(reader: &mut Reader<'_>, table: &Table<'_>) -> Identity {
    let text = |reader: &mut Reader<'_>, key: &str| {
        let field = table.get(key)?;
        if let DeValue::Integer(n) = field.value.get_ref() {
            let number = i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n.to_string());
            return number.map(|n| (n, field.span()));
        }
        reader.text(&field, "write a name or a number, such as \"www-data\" or 1000").map(|t| (t, field.span()))
    };
    let (user, group) = (text(reader, "user"), text(reader, "group"));
    let account = |reader: &mut Reader<'_>, text: &str, span: &Span| {
        values::account(text).map_err(|wrong| reader.error(span, wrong.sentence, wrong.help)).ok()
    };
    let mut identity = Identity::default();
    if let Some((text, span)) = &user {
        let (name, with_group) = text.split_once(':').map_or((text.as_str(), None), |(u, g)| (u, Some(g)));
        identity.user = account(reader, name, span);
        identity.group = with_group.and_then(|g| account(reader, g, span));
        if let (Some(_), Some((_, second))) = (with_group, &group) {
            reader.error(second, "the group is given twice: in `user` and in `group`", "leave one of them out");
        }
    }
    if let Some((text, span)) = &group {
        identity.group = account(reader, text, span);
    }
    if let Some((_, span)) = user.as_ref().or(group.as_ref()) {
        reader.expect_identity(span, &identity);
    }
    identity
}

fn env(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<(OsString, OsString)> {
    let Some(entries) = reader.map(field, "write env = { LOG_LEVEL = \"debug\" }") else {
        return Vec::new();
    };
    let mut list = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name: &str = key.get_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.error(
                &key.span(),
                format!("{name:?} cannot be a variable's name"),
                "leave out `=` and NUL, and write at least one character",
            );
            continue;
        }
        let variable = Field::new(key, value);
        if let Some(text) = reader.text(&variable, "write the value in quotes") {
            list.push((OsString::from(name), OsString::from(text)));
        }
    }
    list
}

fn backoff(reader: &mut Reader<'_>, field: &Field<'_>) -> Backoff {
    let defaults = Backoff::default();
    let Some(table) =
        reader.table(field, &keys::BACKOFF, "write backoff = { initial = \"1s\", max = \"5m\", reset = \"10m\" }")
    else {
        return defaults;
    };
    let initial = table.get("initial").and_then(|f| reader.duration(&f, values::ROUND)).unwrap_or(defaults.initial);
    let max = table.get("max").and_then(|f| reader.duration(&f, values::ROUND));
    let reset = table.get("reset").and_then(|f| reader.duration(&f, values::LIMIT)).unwrap_or(defaults.reset);
    if let (Some(max), Some(f)) = (max, table.get("max"))
        && max < initial
    {
        reader.error(
            &f.span(),
            format!("`max` is less than `initial`, which is {}", values::words(initial)),
            "raise `max` or lower `initial`",
        );
    }
    Backoff { initial, max: max.unwrap_or(defaults.max.max(initial)), reset }
}

/// `after = { web = "ready" }`.
fn after(reader: &mut Reader<'_>, field: &Field<'_>, index: usize, names: &Names) -> Vec<(usize, Condition, Span)> {
    let Some(entries) =
        reader.map(field, "write after = { web = \"ready\" }; conditions are started, ready and completed")
    else {
        return Vec::new();
    };
    let mut list = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let condition = reader.word::<Condition>(&Field::new(key, value));
        let Some(other) = handler::process(reader, &key.span(), name, names) else {
            continue;
        };
        if other == index {
            reader.error(&key.span(), format!("{name:?} waits for itself"), "leave it out, or name another process");
        } else if let Some(condition) = condition {
            list.push((other, condition, key.span()));
        }
    }
    list
}
