//! What this machine has of what a configuration names.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use softstop::config::check::{Here, MAX_BYTES};
use softstop::config::{CapabilitySet, Identity, Limits, Rlimit};
use softstop::runtime;
use softstop::sys::capabilities::{self, Sets};
use softstop::sys::spawn::DEFAULT_PATH;
use softstop::sys::users::{self, files::MAX_FILE};
use softstop::sys::{limits, process};

pub struct Machine;

impl Here for Machine {
    fn program(&self, program: &OsStr, path: Option<&OsStr>, dir: Option<&Path>) -> Option<String> {
        let below = |file: &Path| dir.map_or_else(|| file.to_owned(), |dir| dir.join(file));
        if program.as_bytes().contains(&b'/') {
            return runnable(&below(Path::new(program))).err();
        }
        let own = std::env::var_os("PATH");
        let path = path.or(own.as_deref()).unwrap_or(OsStr::new(DEFAULT_PATH));
        let mut why = format!("not found in PATH {path:?}");
        for folder in path.as_bytes().split(|b| *b == b':') {
            match runnable(&below(&Path::new(OsStr::from_bytes(folder)).join(program))) {
                Ok(()) => return None,
                // What is there and cannot run explains more.
                Err(other) if other != NOT_THERE => why = other,
                Err(_) => {}
            }
        }
        Some(why)
    }

    fn identity(&self, identity: &Identity) -> Option<String> {
        users::resolve(identity, &mut |path| runtime::files::read(Path::new(path), MAX_FILE))
            .err()
            .map(|error| error.text)
    }

    /// What a softstop that runs as whoever asks could not give what it starts.
    fn limits(&self, wanted: &Limits) -> Vec<(&'static str, String)> {
        let Ok(own) = Sets::own() else { return Vec::new() };
        let has = |name| CapabilitySet::named(name).is_some_and(|one| !own.effective.and(one).is_empty());
        let mut lacking = Vec::new();
        let above = |limit: &&Rlimit| limit.hard.max(limit.soft) > Some(limits::hard(limit.resource));
        if let Some(limit) = wanted.rlimits.iter().find(above).filter(|_| !has("SYS_RESOURCE")) {
            let name = limit.resource.name();
            lacking
                .push(("rlimits", format!("{name} above softstop's own hard limit takes the capability SYS_RESOURCE")));
        }
        if wanted.nice.is_some_and(|nice| i32::from(nice) < process::niceness()) && !has("SYS_NICE") {
            lacking.push(("nice", "less than softstop's own takes the capability SYS_NICE".to_owned()));
        }
        let score = fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
        if wanted.oom_score_adj < score && wanted.oom_score_adj.is_some() && !has("SYS_RESOURCE") {
            let why = "less than softstop's own takes the capability SYS_RESOURCE";
            lacking.push(("oom_score_adj", why.to_owned()));
        }
        if let Some(wanted) = wanted.capabilities {
            let bounding = capabilities::bounding();
            let add = if wanted.add == CapabilitySet::ALL { CapabilitySet::default() } else { wanted.add };
            let missing = add.without(own.permitted.and(bounding));
            if !missing.is_empty() {
                lacking.push(("capabilities", format!("softstop would not have {missing} to give")));
            }
            if !bounding.and(wanted.drop.without(add)).is_empty() && !has("SETPCAP") {
                lacking.push(("capabilities", "to drop one takes the capability SETPCAP".to_owned()));
            }
        }
        lacking
    }

    fn directory(&self, dir: &Path) -> Option<String> {
        match fs::metadata(dir) {
            Ok(meta) if meta.is_dir() => None,
            Ok(_) => Some("it is no folder".to_owned()),
            Err(error) => Some(words(&error)),
        }
    }

    fn writable(&self, file: &Path) -> Option<String> {
        let folder = file.parent().unwrap_or(Path::new("/"));
        let why = self.directory(folder);
        if why.is_some() {
            return why.map(|why| format!("{folder:?}: {why}"));
        }
        // Of a read-only file system the kernel says so to root, too.
        let place = if file.exists() { file } else { folder };
        if place == file && !file.is_file() {
            return Some("it is no regular file".to_owned());
        }
        nix::unistd::access(place, nix::unistd::AccessFlags::W_OK).err().map(|error| match error {
            nix::Error::EROFS => format!("{place:?} is read-only"),
            error => format!("{place:?}: {}", error.desc()),
        })
    }

    fn text(&self, file: &Path) -> Option<String> {
        let mut text = whole(file)?;
        // As nginx and php-fpm have it: `include PATH;`, `include = PATH`.
        let included: Vec<PathBuf> = text.lines().filter_map(include).flat_map(|path| matching(file, path)).collect();
        for part in included.iter().take(INCLUDED).filter_map(|path| whole(path)) {
            text.push('\n');
            text.push_str(&part);
        }
        Some(text)
    }
}

/// So many of the files that a configuration includes are looked at.
const INCLUDED: usize = 64;

fn whole(file: &Path) -> Option<String> {
    let bytes = runtime::files::read(file, MAX_BYTES).ok().filter(|bytes| bytes.len() <= MAX_BYTES)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn include(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("include")?;
    let path = rest.trim_start_matches([' ', '\t', '=']).trim_end_matches([' ', '\t', ';']);
    (path.len() < rest.len() && !path.is_empty()).then_some(path)
}

/// The files that a pattern means. A relative one stands beside the file or, as php-fpm has it, in the folder above.
fn matching(file: &Path, pattern: &str) -> Vec<PathBuf> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    let above = dir.parent().unwrap_or(dir);
    let base = [dir, above].into_iter().find(|base| base.join(pattern).parent().is_some_and(Path::is_dir));
    base.into_iter().flat_map(|base| runtime::sources::matching(base, pattern)).flatten().collect()
}

const NOT_THERE: &str = "no such file";

fn runnable(file: &PathBuf) -> Result<(), String> {
    match fs::metadata(file) {
        Ok(meta) if !meta.is_file() => Err(format!("{file:?} is no file")),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Err(format!("{file:?} is not executable: chmod +x it")),
        Ok(_) => Ok(()),
        Err(error) => Err(words(&error)),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        // A file stands where a folder would have to be: PATH goes on past it.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NOT_THERE.to_owned(),
        _ => error.to_string(),
    }
}
