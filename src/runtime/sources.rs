//! The files of a configuration, as they lie: read before anything runs, and for a reload by a process of its own, as a file system may hang.

use std::collections::BTreeSet;
use std::fs::{DirEntry, read_dir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{files, helper};
use crate::config::problem::Problems;
use crate::config::sources::{Included, MOST, Sources, is_wild, matches, parts};
use crate::config::{check, env_file};
use crate::json;
use crate::sorted;

/// The configuration at `path` with what it includes. `variable`: the value of one in a pattern; `unread`: what is said, with the file's name, when
/// it cannot be read.
///
/// # Errors
/// The file itself cannot be read, is too long or not UTF-8. That one which it includes cannot be read, the check says at its place.
pub fn read(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    unread: &dyn Fn(&str, &io::Error) -> Problems,
) -> Result<Sources, Problems> {
    let name = path.display().to_string();
    let bytes = files::read(path, check::MAX_BYTES).map_err(|error| unread(&name, &error))?;
    let mut sources = Sources::of(&name, check::decode(&bytes, &name)?);
    if !name.ends_with(".toml") {
        let beside = files::read(&path.with_file_name(".env"), env_file::MAX_BYTES).ok();
        sources.dotenv = beside.and_then(|bytes| String::from_utf8(bytes).ok());
    }
    let patterns = check::includes(&sources.text, variable);
    let mut room = check::MAX_BYTES.saturating_sub(sources.text.len());
    // Each file once, and never itself: by what it is, not by its name.
    let mut known: BTreeSet<(u64, u64)> = sorted::collected(identity(path));
    let base = path.parent().unwrap_or(Path::new(""));
    for (pattern, text) in patterns.iter().enumerate() {
        for file in matching(base, text) {
            let (file, path) = match file {
                Ok(path) => (path.display().to_string(), Ok(path)),
                Err((folder, error)) => (folder.display().to_string(), Err(error.to_string())),
            };
            if path.as_ref().is_ok_and(|path| identity(path).is_some_and(|id| !known.insert(id))) {
                continue;
            }
            let text = path.and_then(|path| text_of(&path, room));
            room = room.saturating_sub(text.as_ref().map_or(0, String::len));
            sources.included.push(Included { pattern, file, text });
            if sources.included.len() > MOST {
                return Ok(sources);
            }
        }
    }
    Ok(sources)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|is| (is.dev(), is.ino()))
}

/// The files of a pattern, by name. What is wrong with the pattern itself, the check says.
pub fn matching(base: &Path, pattern: &str) -> Vec<Result<PathBuf, (PathBuf, io::Error)>> {
    let Some((folder, name)) = parts(pattern).filter(|(folder, _)| !is_wild(folder) && !pattern.contains('[')) else {
        return Vec::new();
    };
    let folder = base.join(folder);
    if !is_wild(name) {
        return vec![Ok(folder.join(name))];
    }
    let seen = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let is_one = |entry: &DirEntry| {
        let fits = entry.file_name().to_str().is_some_and(|file| matches(name, file));
        fits && folder.join(entry.file_name()).metadata().is_ok_and(|is| !is.is_dir())
    };
    let listed = read_dir(seen).and_then(|entries| {
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            names.extend(is_one(&entry).then(|| entry.file_name()));
        }
        sorted::sort(&mut names);
        Ok(names)
    });
    match listed {
        Ok(names) => names.into_iter().map(|name| Ok(folder.join(name))).collect(),
        // No folder is no file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => vec![Err((folder, error))],
    }
}

fn text_of(path: &Path, room: usize) -> Result<String, String> {
    let bytes = files::read(path, room).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

// === read for a reload ===

/// As it is said of a file that was there before.
pub fn cannot_be_read(name: &str, error: &io::Error) -> Problems {
    let help = "is the path right, and may this user read it?";
    Problems::of_file(name, format!("the configuration cannot be read: {error}"), help)
}

/// The reader's whole life: it sends the texts as JSON, or why there are none. It ends with softstop.
#[must_use]
pub fn send(path: &Path) -> u8 {
    helper::begin();
    let said = match read(path, &|name| std::env::var(name).ok(), &cannot_be_read) {
        Ok(sources) => {
            let included = sources.included.iter().map(|file| {
                let (key, text) = match &file.text {
                    Ok(text) => ("text", text),
                    Err(error) => ("error", error),
                };
                json!({ "pattern": file.pattern, "file": file.file, key: text })
            });
            let included: Vec<Value> = included.collect();
            json!({ "file": sources.file, "text": sources.text, "included": included, "dotenv": sources.dotenv })
        }
        Err(problems) => json!({ "error": problems.refused("nothing was changed") }),
    };
    helper::say(&said.to_string())
}

/// What the reader has sent.
pub(super) fn received(bytes: &[u8]) -> Result<Sources, String> {
    let value = json::parse(bytes).map_err(|_| "the process that reads it has ended before it was done".to_owned())?;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(why) = text(&value, "error") {
        return Err(why);
    }
    let included = value.get("included").and_then(Value::as_array).into_iter().flatten().map(|value| Included {
        pattern: value.get("pattern").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or_default(),
        file: text(value, "file").unwrap_or_default(),
        text: text(value, "text").ok_or_else(|| text(value, "error").unwrap_or_default()),
    });
    let included = included.collect();
    Ok(Sources {
        file: text(&value, "file").unwrap_or_default(),
        text: text(&value, "text").unwrap_or_default(),
        included,
        dotenv: text(&value, "dotenv"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, hard_link, write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_included_is_read_once_in_the_order_of_names_and_without_what_a_mounted_configmap_has_beside_it() {
        let dir = std::env::temp_dir().join(format!("softstop-sources-{}", std::process::id()));
        create_dir(&dir).unwrap();
        create_dir(dir.join("conf.d")).unwrap();
        create_dir(dir.join("conf.d/..2026")).unwrap();
        symlink("..2026", dir.join("conf.d/..data")).unwrap();
        for name in ["b", "a"] {
            write(dir.join(format!("conf.d/..2026/{name}.toml")), name).unwrap();
            symlink(format!("..data/{name}.toml"), dir.join(format!("conf.d/{name}.toml"))).unwrap();
        }
        create_dir(dir.join("conf.d/folder.toml")).unwrap();
        hard_link(dir.join("conf.d/..2026/b.toml"), dir.join("conf.d/c.toml")).unwrap();
        let text = "include = ['*.toml', '${D}/*.toml', 'conf.d/b.toml', 'none/*', 'missing.toml', 'conf.d/']";
        write(dir.join("softstop.toml"), text).unwrap();
        let read =
            read(&dir.join("softstop.toml"), &|name| (name == "D").then(|| "conf.d".into()), &cannot_be_read).unwrap();
        let shown: Vec<_> = read.included.iter().map(|i| (i.pattern, i.text.clone().unwrap_or_default())).collect();
        assert_eq!(shown, [(1, "a".into()), (1, "b".into()), (4, String::new())], "{read:?}");
        assert!(read.included[0].file.ends_with("/conf.d/a.toml"), "{read:?}");
        assert!(read.included[2].text.as_ref().is_err_and(|why| why.starts_with("No such file")), "{read:?}");
        let patterns = check::includes(&read.text, &|_| Some("conf.d".into()));
        assert_eq!(read.unmatched(&patterns), ["*.toml", "conf.d/b.toml", "none/*", "conf.d/"]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
