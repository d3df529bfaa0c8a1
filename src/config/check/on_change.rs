//! `[[on_change]]`: files that are watched, and what is done when they have changed. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::declare::{Declared, Shape, joined, table};
use super::handler::{self, Handlers};
use super::kinds::{Bool, Kind, Round, Text, kind, strings};
use super::reader::{Field, Reader};
use super::settings::TopKeys;
use super::task::{self, NamedKeys, Names, Site, Task, TaskKeys};
use super::values::Wrong;
use crate::config::place::Place;

/// Each is looked at again and again: a container has a few.
const MOST: usize = 64;
/// The kernel takes four times as much.
const LONGEST: usize = 1000;
const PATHS: &str = "write paths = [\"/etc/tls/tls.crt\"]";

/// Files, and one act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnChange {
    /// For the log and the report.
    pub name: String,
    /// Files and folders, absolute; at least one.
    pub paths: Vec<PathBuf>,
    /// They have to stay as they are for so long.
    pub settle: Duration,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Task(Box<Task>),
    /// Of a process (index into `Config::processes`).
    Restart(usize),
    /// Of the configuration.
    Reload,
}

impl Act {
    pub fn task(&self) -> Option<&Task> {
        match self {
            Act::Task(task) => Some(task),
            Act::Restart(_) | Act::Reload => None,
        }
    }
}

const ORDERS: &[&str] = &["restart", "reload"];
const ACTS: &[&str] = &joined::<{ Handlers::SECTION.keys.len() + ORDERS.len() }>(&[Handlers::SECTION.keys, ORDERS]);

table! {
    pub struct OnChangeKeys in "[[on_change]]" from [TaskKeys<'static>] one of (ACTS) {
        /// Absolute paths of files and folders. Links are followed, as those of a mounted Secret or ConfigMap. Of a folder its entries count, but for those whose
        /// names begin with a dot. At most 64 in all.
        paths: WatchedPaths {
            required: true,
            words: "array of absolute paths",
            help: PATHS,
            examples: &["[\"/etc/tls/tls.crt\"]", "[\"/etc/tls\", \"/etc/app/app.conf\"]"],
        };
        /// They have to stay as they are for so long; what changes all the time is acted upon after ten times that.
        settle: Round = Duration::from_secs(1);
        /// This process is stopped and started again, as by [`softstop restart NAME`](control.md).
        restart: Text { unset: "none", help: "write restart = \"web\"", examples: &["\"web\""] };
        /// `true`: the configuration is read again, as by `softstop reload`.
        reload: Bool { unset: "`false`", examples: &["true"] };
    }
}

strings! {
    WatchedPath PathBuf, "absolute path", r"/[\s\S]+", ["\"/etc/tls/tls.crt\"", "\"/etc/app/conf.d\""],
        |reader, field, help| reader.parsed(field, help, path);
}

kind! {
    /// `paths = ["/etc/tls/tls.crt"]`.
    WatchedPaths: Vec<PathBuf> = read_watched_paths, &Shape::Array(WatchedPath::SHAPE)
}

fn read_watched_paths(reader: &mut Reader<'_>, field: &Field<'_>, help: &str) -> Option<Vec<PathBuf>> {
    let elements = reader.elements(field, "an array of paths", help)?;
    if elements.is_empty() {
        reader.error(&field.span(), "`paths` is empty: nothing would be watched", help);
    }
    Some(elements.iter().filter_map(|element| WatchedPath::read(reader, element, help)).collect())
}

fn path(text: &str) -> Result<PathBuf, Wrong> {
    if !text.starts_with('/') {
        let help = format!("write it from the root on, such as \"/etc/{}\"", text.trim_start_matches("./"));
        return Err(Wrong::new(format!("{text:?} is not an absolute path"), help));
    }
    if text.len() > LONGEST || text.contains('\0') {
        return Err(Wrong::new(format!("a path cannot have more than {LONGEST} bytes, or NUL in it"), PATHS));
    }
    if text.trim_end_matches('/').is_empty() {
        return Err(Wrong::new("\"/\" cannot be watched", "name the file or folder in it that matters"));
    }
    Ok(PathBuf::from(text))
}

pub fn on_change(reader: &mut Reader<'_>, top: &TopKeys<'_>, names: &Names) -> Vec<OnChange> {
    let tables = top.on_change.open(reader, "[[on_change]]");
    let mut list = Vec::with_capacity(tables.len());
    let mut watched = 0;
    for (nth, keys) in tables.iter().enumerate() {
        let fallback = format!("on_change {}", nth + 1);
        let site = Site { place: Place::OnChange, names, owner: None, fallback };
        let paths = keys.paths.needed(reader, &keys.table, "on_change does not say which files", PATHS);
        watched += paths.as_ref().map_or(0, Vec::len);
        let settle = keys.settle.read(reader).unwrap_or(OnChangeKeys::settle);
        let act = act(reader, keys, &site);
        let name = match &act {
            Some(Act::Task(task)) => task.name.clone(),
            _ => NamedKeys::keys(keys.table.clone()).name.read(reader).unwrap_or(site.fallback),
        };
        if let (Some(paths), Some(act)) = (paths, act) {
            list.push(OnChange { name, paths, settle, act });
        }
    }
    if let (Some(span), true) = (top.on_change.span(), watched > MOST) {
        let help = "name the folder that they are in, or mount them in one";
        reader.error(&span, format!("{watched} paths are to be watched, more than {MOST}"), help);
    }
    list
}

fn act(reader: &mut Reader<'_>, keys: &OnChangeKeys<'_>, site: &Site<'_>) -> Option<Act> {
    let given = keys.table.present(ACTS);
    let orders = given.iter().filter(|field| ORDERS.contains(&field.name)).count();
    if orders == 0 {
        if given.is_empty() {
            let help = "add one of exec, http_post, signal, restart or reload, such as restart = \"web\"";
            reader.missing(&keys.table, ACTS, "on_change does not say what to do", help);
            return None;
        }
        let task = task::task(reader, &TaskKeys::keys(keys.table.clone()), site)?;
        return Some(Act::Task(Box::new(task)));
    }
    if given.len() > 1 {
        handler::beside(reader, &given[0], &given[1], ": which is it to do", "keep one, or write two [[on_change]]");
        return None;
    }
    for field in task::unnamed(&keys.table) {
        let sentence = format!("`{}` beside `{}`", field.name, given[0].name);
        reader.error(&field.key, sentence, "leave it out: it is for what runs a task");
    }
    if let Some(field) = &keys.restart.field {
        let name = keys.restart.read(reader)?;
        return handler::process(reader, &field.span(), &name, site.names).map(Act::Restart);
    }
    let reload = keys.reload.read(reader)?;
    if !reload {
        let help = "write reload = true, or another act in its place";
        reader.error(&keys.reload.span()?, "reload = false: nothing would be done", help);
    }
    reload.then_some(Act::Reload)
}
