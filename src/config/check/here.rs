//! What a configuration names and the machine has to have: programs, users, folders. Asked for only where it is to run. Pure: the
//! caller looks.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::launch::LaunchKeys;
use super::reader::Reader;
use crate::config::problem::Span;
use crate::config::{Identity, Limits};

/// The machine that the configuration is to run on. Each answers why it cannot be had, in one line; `None`: it can.
pub trait Here {
    /// `path`: the PATH that it is looked up on; `None`: softstop's own. `dir`: where a relative one is looked for.
    fn program(&self, program: &OsStr, path: Option<&OsStr>, dir: Option<&Path>) -> Option<String>;
    fn identity(&self, identity: &Identity) -> Option<String>;
    fn directory(&self, dir: &Path) -> Option<String>;
    /// Why softstop could not make and write this file.
    fn writable(&self, file: &Path) -> Option<String>;
    /// Of these limits, those that cannot be had: the key, and why.
    fn limits(&self, limits: &Limits) -> Vec<(&'static str, String)>;
    /// What a program's own configuration says, with the files that it includes; `None`: it cannot be read.
    fn text(&self, file: &Path) -> Option<String>;
}

/// What the process that is being read gives its programs.
#[derive(Clone, Default)]
pub struct Surroundings {
    path: Option<OsString>,
    dir: Option<PathBuf>,
}

impl Surroundings {
    pub fn new(env: &[(OsString, OsString)], dir: Option<&Path>) -> Surroundings {
        let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        Surroundings { path, dir: dir.map(Path::to_owned) }
    }

    /// A task's own, where it says something.
    pub fn replace(&mut self, env: &[(OsString, OsString)], dir: Option<&Path>) {
        let own = Surroundings::new(env, dir);
        self.path = own.path.or(self.path.take());
        self.dir = own.dir.or(self.dir.take());
    }
}

const ELSE: &str = "if an init task or a volume brings it, all is well";

impl Reader<'_> {
    pub fn expect_program(&mut self, span: &Span, program: &OsStr) {
        let Surroundings { path, dir } = &self.surroundings;
        let missing = self.here.and_then(|here| here.program(program, path.as_deref(), dir.as_deref()));
        if let Some(why) = missing {
            let sentence = format!("{program:?} cannot be started here: {why}");
            self.warn(span, sentence, format!("install it or correct its name; {ELSE}"));
        }
    }

    pub fn expect_identity(&mut self, span: &Span, identity: &Identity) {
        if let Some(why) = self.here.and_then(|here| here.identity(identity)) {
            self.warn(span, why, "add it to the image, or write a number");
        }
    }

    pub fn expect_limits(&mut self, keys: &LaunchKeys<'_>, limits: &Limits) {
        for (key, why) in self.here.map(|here| here.limits(limits)).unwrap_or_default() {
            let Some(field) = keys.table.get(key) else { continue };
            let sentence = format!("`{key}` cannot be had here: {why}");
            self.warn(&field.key, sentence, "without it the program is not started");
        }
    }

    pub fn expect_writable(&mut self, span: &Span, file: &Path) {
        if let Some(why) = self.here.and_then(|here| here.writable(file)) {
            let sentence = format!("{file:?} cannot be written here: {why}");
            self.warn(span, sentence, format!("name a folder that can be written, such as a volume; {ELSE}"));
        }
    }

    pub fn expect_directory(&mut self, span: &Span, dir: &Path) {
        if let Some(why) = self.here.and_then(|here| here.directory(dir)) {
            let sentence = format!("{dir:?} cannot be entered here: {why}");
            self.warn(span, sentence, format!("make it, or correct its name; {ELSE}"));
        }
    }
}
