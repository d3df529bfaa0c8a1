//! The files of `[[on_change]]`: when they are looked at, and which of them have changed. To look at a file may take for ever, so a process of
//! softstop's own does it, and has the kernel tell of the next change (`sys::inotify`); what follows from one is the machine's to say.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::helper;
use super::shell::{Shell, is_due};
use crate::config::Config;
use crate::lifecycle::event::Event;
use crate::sorted;
use crate::sys::inotify;
use crate::sys::spawn::Handed;
use crate::sys::stdio::watch;
use crate::{exit, json};

/// So long a look may take: no file system that works takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two looks when the kernel cannot tell of every change.
const OFTEN: Duration = Duration::from_secs(3);
/// And when it can: it does not see what another host does to a shared file system.
const SELDOM: Duration = Duration::from_secs(60);
/// What happens beside the files that are watched has them looked at no more often than this.
const PAUSE: Duration = Duration::from_secs(1);
/// However short their time to settle is.
const SHORTEST: Duration = Duration::from_millis(50);
/// What changes all the time is acted upon after so many times of what it is to settle.
const PATIENCE: u32 = 10;
/// Of a folder so many entries are looked at.
const ENTRIES: usize = 4096;

#[derive(Default)]
pub(super) struct Changes {
    rules: Vec<Watched>,
    /// Who tells of changes. `None`: there is nothing to watch, or it cannot be had.
    told_by: Option<AsyncFd<File>>,
    /// Why it cannot be had.
    refused: Option<String>,
    look: Option<Look>,
    began: Option<Instant>,
    next: Option<Instant>,
    /// A process that has not ended when it was killed: nothing is looked at before it has.
    hangs: Option<i32>,
    /// That not everything can be watched, and that a look took too long.
    said: [bool; 2],
}

/// What a process of softstop's own looks at.
struct Look {
    began: Instant,
    paths: Vec<PathBuf>,
}

impl Changes {
    pub(super) fn next(&self) -> Option<Instant> {
        if self.look.is_some() { None } else { self.next }
    }

    /// To be waited for.
    pub(super) fn watched(&self) -> Option<&AsyncFd<File>> {
        self.told_by.as_ref()
    }

    /// Something has happened to what is watched, or beside it.
    pub(super) fn reported(&mut self) {
        let Some(mut from) = self.told_by.as_ref().map(AsyncFd::get_ref) else { return };
        // What it was shows in the look; each watch tells once.
        let mut events = [0; 4096];
        while matches!(from.read(&mut events), Ok(1..)) {}
        let now = Instant::now();
        self.no_later(self.began.map_or(now, |began| now.max(began + PAUSE)));
    }

    fn no_later(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Of rules that are as they were, what is known of them holds.
    pub(super) fn adopt(&mut self, config: &Config) {
        let mut before = std::mem::take(&mut self.rules);
        for rule in &config.on_change {
            let same = before.iter().position(|b| b.paths == rule.paths && b.settle == rule.settle.max(SHORTEST));
            let fresh = || Watched::new(rule.paths.clone(), rule.settle);
            self.rules.push(same.map_or_else(fresh, |at| before.swap_remove(at)));
        }
        if self.rules.is_empty() {
            let (look, hangs, said) = (self.look.take(), self.hangs, self.said);
            *self = Changes { look, hangs, said, ..Changes::default() };
            return;
        }
        if self.told_by.is_none() && self.refused.is_none() {
            match inotify::new().and_then(|fd| watch(File::from(fd), Interest::READABLE)) {
                Ok(fd) => self.told_by = Some(fd),
                Err(error) => self.refused = Some(format!("inotify: {error}")),
            }
        }
        if self.rules.iter().any(|rule| rule.known.is_none()) {
            self.no_later(Instant::now());
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.rules.iter().flat_map(|rule| &rule.paths).cloned().collect();
        sorted::sort(&mut paths);
        paths.dedup();
        paths
    }

    /// What was seen; of each rule the path that has changed.
    fn seen(&mut self, look: &Look, seen: &Seen) -> Vec<(usize, PathBuf)> {
        let mut changed = Vec::new();
        let often = seen.unwatched.is_some() || self.refused.is_some();
        let mut next = Instant::now() + if often { OFTEN } else { SELDOM };
        for (nth, rule) in self.rules.iter_mut().enumerate() {
            let stamp =
                |path: &PathBuf| look.paths.iter().position(|p| p == path).and_then(|at| seen.stamps.get(at).copied());
            let Some(stamps) = rule.paths.iter().map(stamp).collect::<Option<Vec<_>>>() else { continue };
            match rule.seen(look.began, stamps) {
                After::Nothing => {}
                After::Settling(at) => next = next.min(at),
                After::Changed(path) => changed.push((nth, path)),
            }
        }
        self.no_later(next);
        if let (Some(why), false) = (self.refused.as_ref().or(seen.unwatched.as_ref()), self.said[0]) {
            self.said[0] = true;
            tracing::info!(
                "on_change: {why}; the files are looked at every {} s instead of being watched",
                OFTEN.as_secs()
            );
        }
        changed
    }
}

/// The files of one rule.
struct Watched {
    paths: Vec<PathBuf>,
    settle: Duration,
    /// As they were when they were last told of, or first seen.
    known: Option<Vec<u64>>,
    latest: Vec<u64>,
    /// Seen to be so since then.
    since: Instant,
    /// When something other than what is known was seen first.
    first: Option<Instant>,
}

enum After {
    Nothing,
    /// It is to be looked at again then.
    Settling(Instant),
    Changed(PathBuf),
}

impl Watched {
    fn new(paths: Vec<PathBuf>, settle: Duration) -> Watched {
        let (now, settle) = (Instant::now(), settle.max(SHORTEST));
        Watched { paths, settle, known: None, latest: Vec::new(), since: now, first: None }
    }

    /// By a look that began then.
    fn seen(&mut self, began: Instant, stamps: Vec<u64>) -> After {
        if stamps != self.latest {
            (self.latest, self.since) = (stamps, began);
        }
        let Some(known) = &self.known else {
            self.known = Some(self.latest.clone());
            return After::Nothing;
        };
        let other = known.iter().zip(&self.latest).position(|(known, latest)| known != latest);
        let Some(path) = other.and_then(|at| self.paths.get(at)).cloned() else {
            self.first = None;
            return After::Nothing;
        };
        let first = *self.first.get_or_insert(began);
        let due = (self.since + self.settle).min(first + self.settle * PATIENCE);
        if began < due {
            return After::Settling(due);
        }
        (self.known, self.first) = (Some(self.latest.clone()), None);
        After::Changed(path)
    }
}

impl Shell {
    /// Before anything is started: what changes from now on has changed.
    pub(super) fn begin_watching(&mut self) {
        self.changes.adopt(&self.plan.config);
        self.go_on_looking();
    }

    /// Looks, if it is time to.
    pub(super) fn go_on_looking(&mut self) {
        if !is_due(self.changes.next(), Instant::now()) {
            return;
        }
        if self.machine.borrow().stopping() {
            self.changes.next = None;
            return;
        }
        if self.changes.hangs.is_some_and(|pid| self.reporter.writers.owns(pid)) {
            self.changes.next = Some(Instant::now() + OFTEN);
            return;
        }
        self.changes.next = None;
        let (began, paths) = (Instant::now(), self.changes.paths());
        self.changes.began = Some(began);
        if let Err(why) = self.look(&paths) {
            self.changes.no_later(began + OFTEN);
            if !std::mem::replace(&mut self.changes.said[1], true) {
                tracing::warn!("on_change: the files cannot be looked at: {why}; trying again");
            }
            return;
        }
        self.changes.look = Some(Look { began, paths });
    }

    fn look(&mut self, paths: &[PathBuf]) -> Result<(), String> {
        let instance = self.changes.told_by.as_ref().map(|fd| fd.get_ref().try_clone()).transpose();
        let instance = instance.map_err(|e| e.to_string())?;
        let names: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
        let asked = json!({ "watch": instance.is_some(), "paths": names }).to_string();
        let handed = instance.as_ref().map(|fd| Handed { number: inotify::HANDED_AT, fd: fd.as_fd() });
        let about = paths.first().cloned().unwrap_or_default();
        self.start_helper(&["__changes".into(), asked.into()], handed.as_slice(), about, LIMIT, Shell::looked)
    }

    /// The look is over. `None`: it is not, in its time.
    fn looked(&mut self, pid: i32, bytes: Option<Vec<u8>>) {
        let Some(look) = self.changes.look.take() else { return };
        let stopping = self.machine.borrow().stopping();
        if let Some(seen) = bytes.as_deref().and_then(Seen::read).filter(|_| !stopping) {
            for (rule, path) in self.changes.seen(&look, &seen) {
                self.push(Event::FileChanged { rule, path });
            }
            return;
        }
        if bytes.is_none() && self.reporter.writers.owns(pid) {
            self.changes.hangs = Some(pid);
        }
        self.changes.no_later(Instant::now() + OFTEN);
        if bytes.is_none() && !stopping && !std::mem::replace(&mut self.changes.said[1], true) {
            let seconds = LIMIT.as_secs();
            tracing::warn!("on_change: the files were not looked at within {seconds} s: their file system hangs");
        }
    }
}

// === the process that looks ===

struct Seen {
    /// Of each path, what says whether it is the same.
    stamps: Vec<u64>,
    /// Why not each change will be told of.
    unwatched: Option<String>,
}

impl Seen {
    fn read(bytes: &[u8]) -> Option<Seen> {
        let value = json::parse(bytes).ok()?;
        let stamps = value.get("stamps")?.as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
        Some(Seen { stamps, unwatched: value.get("unwatched").and_then(Value::as_str).map(str::to_owned) })
    }
}

/// Its whole life: it has the paths watched, looks at them, and says how they are. It ends with softstop.
#[must_use]
pub fn look(asked: &str) -> u8 {
    helper::begin();
    let Ok(asked) = json::parse(asked.as_bytes()) else { return exit::USAGE };
    let paths = asked.get("paths").and_then(Value::as_array).into_iter().flatten();
    let paths: Vec<PathBuf> = paths.filter_map(Value::as_str).map(PathBuf::from).collect();
    let watching = asked.get("watch").and_then(Value::as_bool) == Some(true);
    // First: what changes after that is told of.
    let unwatched = if watching { watch_all(&paths) } else { None };
    let stamps: Vec<u64> = paths.iter().map(|path| stamp(path)).collect();
    helper::say(&json!({ "stamps": stamps, "unwatched": unwatched }).to_string())
}

/// Each with the folder that it is in; why one of them cannot be.
fn watch_all(paths: &[PathBuf]) -> Option<String> {
    let watcher = match inotify::Watcher::handed() {
        Ok(watcher) => watcher,
        Err(error) => return Some(error.to_string()),
    };
    let mut unwatched = None;
    for path in paths {
        let folder = path.parent().unwrap_or(Path::new("/"));
        if let Err(error) = watcher.watch(folder) {
            unwatched = Some(format!("{}: {error}", folder.display()));
        }
        // One that is not there yet will be seen in its folder.
        match watcher.watch(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                unwatched = Some(format!("{}: {error}", path.display()));
            }
            _ => {}
        }
    }
    unwatched
}

/// Links are followed. The same as long as it is the same file with the same size and time; of a folder, each in it.
fn stamp(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let is_folder = add(&mut hasher, path, false);
    if is_folder && let Ok(entries) = std::fs::read_dir(path) {
        let mut names: Vec<OsString> =
            entries.take(ENTRIES).filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
        sorted::sort(&mut names);
        for name in names {
            name.hash(&mut hasher);
            add(&mut hasher, &path.join(name), true);
        }
    }
    hasher.finish()
}

/// `true`: it is a folder. Of one that is looked into its own time says nothing.
fn add(hasher: &mut DefaultHasher, path: &Path, is_entry: bool) -> bool {
    let Ok(is) = path.metadata() else { return false };
    (is.dev(), is.ino(), is.mode() & libc::S_IFMT).hash(hasher);
    if !is.is_dir() || is_entry {
        (is.size(), is.mtime(), is.mtime_nsec()).hash(hasher);
    }
    is.is_dir()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, remove_dir_all, rename, write};
    use std::os::unix::fs::symlink;

    use super::*;

    fn rule(now: Instant) -> Watched {
        let mut rule = Watched::new(vec!["/a".into(), "/b".into()], Duration::from_secs(1));
        assert!(matches!(rule.seen(now, vec![1, 1]), After::Nothing), "the first is how it was");
        rule
    }

    #[test]
    fn what_has_settled_is_told_once_and_what_never_does_after_ten_times_that() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let mut one = rule(now);
        assert!(matches!(one.seen(now + ms(100), vec![1, 2]), After::Settling(at) if at == now + ms(1100)));
        assert!(matches!(one.seen(now + ms(900), vec![1, 3]), After::Settling(at) if at == now + ms(1900)));
        assert!(matches!(one.seen(now + ms(1900), vec![1, 3]), After::Changed(path) if path == Path::new("/b")));
        assert!(matches!(one.seen(now + ms(2900), vec![1, 3]), After::Nothing));
        // Back to what it was is no change.
        assert!(matches!(one.seen(now + ms(3000), vec![9, 3]), After::Settling(_)));
        assert!(matches!(one.seen(now + ms(3500), vec![1, 3]), After::Nothing));
        let mut storm = rule(now);
        let reported =
            (1..=300).filter(|n| matches!(storm.seen(now + ms(100) * *n, vec![1, u64::from(*n)]), After::Changed(_)));
        assert_eq!(reported.count(), 2);
    }

    #[test]
    fn a_file_or_folder_is_another_one_when_what_it_leads_to_is() {
        let dir = std::env::temp_dir().join(format!("softstop-changes-{}", std::process::id()));
        create_dir(&dir).unwrap();
        let (file, folder) = (dir.join("tls.crt"), dir.join("mount"));
        let mut before = stamp(&file);
        let mut other = |what: &str, path: &Path| {
            let now = stamp(path);
            assert_ne!(std::mem::replace(&mut before, now), now, "{what}");
            assert_eq!(now, stamp(path), "{what}");
        };
        write(&file, "one").unwrap();
        other("it is there", &file);
        write(&file, "longer").unwrap();
        other("written in place", &file);
        write(dir.join("new"), "longer").unwrap();
        rename(dir.join("new"), &file).unwrap();
        other("replaced", &file);
        for name in ["..1", "..2"] {
            create_dir(dir.join(name)).unwrap();
            write(dir.join(name).join("key"), "key").unwrap();
        }
        create_dir(&folder).unwrap();
        symlink("../..1", folder.join("..data")).unwrap();
        symlink("..data/key", folder.join("key")).unwrap();
        other("a folder", &folder);
        symlink("../..2", folder.join("..data_tmp")).unwrap();
        rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        other("a mount of Kubernetes", &folder);
        write(folder.join(".key.swp"), "an editor's").unwrap();
        assert_eq!(before, stamp(&folder), "what is hidden does not count");
        write(folder.join("more"), "").unwrap();
        assert_ne!(before, stamp(&folder));
        remove_dir_all(&dir).unwrap();
    }
}
