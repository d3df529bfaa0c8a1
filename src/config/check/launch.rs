//! What a program gets besides its command: who it runs as, where, with which variables, and what it may. Pure.

use std::ffi::OsString;
use std::path::PathBuf;

use super::capabilities::{self, CapabilityKeys};
use super::declare::{Form, Shape, table};
use super::env_file::{self, EnvFile, EnvFiles};
use super::environment::Variables;
use super::identity::{Account, Accounts, Identity, identity};
use super::kinds::{Bool, FilePath, Sub, kind};
use super::limits::{Limits, Nice, OomScoreAdj, Rlimits, Umask};
use super::reader::{Field, Reader};
use crate::config::Config;

/// Of a process, or of a task that runs a program. What is not said is as softstop itself has it; of a hook, as its process has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    pub identity: Identity,
    pub working_dir: Option<PathBuf>,
    /// Added to, and winning over, everything below and the environment softstop was started with.
    pub env: Vec<(OsString, OsString)>,
    /// Read when it starts, one after the other.
    pub env_files: Vec<EnvFile>,
    /// Without the variables that softstop was started with, but for PATH and its own.
    pub clear_env: bool,
    /// What is in the file that the variable `NAME_FILE` names becomes the value of NAME.
    pub file_env: Vec<OsString>,
    pub limits: Limits,
}

impl Launch {
    /// A hook's own words, and its process's where it has none; variables of both.
    #[must_use]
    pub fn within(&self, process: &Launch) -> Launch {
        Launch {
            // A group of the process's may be none of another user's.
            identity: if self.identity.is_another() { self.identity.clone() } else { process.identity.clone() },
            working_dir: self.working_dir.clone().or_else(|| process.working_dir.clone()),
            env: [&process.env[..], &self.env].concat(),
            env_files: [&process.env_files[..], &self.env_files].concat(),
            clear_env: self.clear_env || process.clear_env,
            file_env: [&process.file_env[..], &self.file_env].concat(),
            limits: self.limits.within(&process.limits),
        }
    }
}

impl Config {
    /// How each program is started that it names, with the name of the process or the task.
    pub fn launches(&self) -> Vec<(&str, &Launch)> {
        let processes = self.processes.iter().map(|p| (p.name.as_str(), &p.launch));
        let hooks =
            self.processes.iter().flat_map(|p| p.post_start.iter().chain(p.pre_stop.as_deref()).chain(&p.post_exit));
        let steps = self.drain.iter().chain(&self.post_stop).flat_map(|step| &step.tasks);
        let tasks = self.init.iter().chain(hooks).chain(steps).map(|task| (task.name.as_str(), &task.launch));
        processes.chain(tasks).collect()
    }
}

table! {
    pub struct LaunchKeys in "what a program gets" {
        /// A name, a number, or both parts as `"user:group"`. Looked up when it first starts, and kept for restarts and hooks:
        /// [more](configuration/identity.md#user-and-group).
        user: Account { unset: "softstop's own" };
        /// A name or a number.
        group: Account { unset: "the user's group" };
        /// Further groups, names or numbers, beside those that the user has.
        supplementary_groups: Accounts { unset: "none", words: "array of names or numbers" };
        /// Where it starts. A relative path is taken from there.
        working_dir: FilePath { unset: "softstop's own" };
        /// Added to softstop's own environment ([without its settings](signals/inherited.md#settings-are-not-handed-down)), and winning over it.
        env: Variables { unset: "none" };
        /// Files of variables, read each time it starts; `env` wins over them: [more](configuration/identity.md#env_file).
        env_file: EnvFiles { unset: "none", words: "path, table or array", help: env_file::HELP };
        /// Nothing of softstop's own environment but PATH.
        clear_env: Bool = false;
        /// For each of these names, what is in the file that the variable `NAME_FILE` names becomes the value of NAME: [more](configuration/identity.md#file_env).
        file_env: VariableNames { unset: "none", words: "array of names" };
        /// The permissions that files which it makes do not get, in octal.
        umask: Umask { unset: "softstop's own" };
        /// Limits of resources, in the words of docker's `--ulimit`: [more](configuration/identity.md#limits).
        rlimits: Rlimits {
            unset: "softstop's own",
            words: "table of numbers",
            help: "write rlimits = { nofile = 65536, core = 0, nproc = { soft = 100, hard = 200 } }",
            examples: &["{ nofile = 256 }", "{ core = \"unlimited\" }", "{ stack = { soft = 8388608 } }"],
        };
        /// Its niceness: 19 gives way to everybody. Less than softstop's own takes the capability SYS_NICE.
        nice: Nice { unset: "softstop's own", help: "write a number from -20 to 19, such as 10", examples: &["10"] };
        /// Whom the kernel kills first when memory is short: 1000 first, -1000 never. Less than softstop's own takes the capability SYS_RESOURCE.
        oom_score_adj: OomScoreAdj {
            unset: "softstop's own",
            help: "write a number from -1000 to 1000, such as 500",
            examples: &["500"],
        };
        /// What it executes, setuid programs too, can give it no more rights.
        no_new_privs: Bool = false;
        /// Capabilities, in the words of Kubernetes: [more](configuration/identity.md#capabilities).
        capabilities: Sub<CapabilityKeys<'static>> {
            unset: "softstop's own",
            help: capabilities::HELP,
            examples: &["{ drop = [\"ALL\"] }", "{ drop = [\"NET_RAW\"], add = [\"KILL\"] }"],
        };
    }
}

kind! {
    /// Names of variables.
    VariableNames: Vec<OsString> = read_variable_names, &Shape::Array(&Shape::Text(Form { name: "string", pattern: "[^=]+", examples: &["\"DB_PASSWORD\""] }))
}

fn read_variable_names(reader: &mut Reader<'_>, field: &Field<'_>, _: &str) -> Option<Vec<OsString>> {
    const HELP: &str = "write file_env = [\"DB_PASSWORD\"] for what DB_PASSWORD_FILE names";
    let elements = reader.elements(field, "an array of names", HELP)?;
    let mut list = Vec::with_capacity(elements.len());
    for element in &elements {
        let Some(name) = reader.text(element, HELP) else { continue };
        if name.is_empty() || name.contains('=') {
            reader.error(&element.span(), format!("{name:?} cannot be a variable's name"), HELP);
        } else if name.ends_with("_FILE") {
            let sentence = format!("{name:?} names the file, not what is to be set");
            reader.error(&element.span(), sentence, "leave `_FILE` off the name");
        } else {
            list.push(OsString::from(name));
        }
    }
    Some(list)
}

pub fn launch(reader: &mut Reader<'_>, keys: &LaunchKeys<'_>) -> Launch {
    let working_dir = keys.working_dir.read(reader);
    if let (Some(dir), Some(span)) = (&working_dir, keys.working_dir.span()) {
        reader.expect_directory(&span, dir);
    }
    let limits = Limits {
        umask: keys.umask.read(reader),
        rlimits: keys.rlimits.read(reader).unwrap_or_default(),
        nice: keys.nice.read(reader),
        oom_score_adj: keys.oom_score_adj.read(reader),
        no_new_privs: keys.no_new_privs.read(reader).unwrap_or(LaunchKeys::no_new_privs),
        capabilities: keys.capabilities.open(reader).map(|keys| capabilities::capabilities(reader, &keys)),
    };
    reader.expect_limits(keys, &limits);
    Launch {
        identity: identity(reader, &keys.user, &keys.group, &keys.supplementary_groups),
        working_dir,
        env: keys.env.read(reader).unwrap_or_default(),
        env_files: keys.env_file.read(reader).unwrap_or_default(),
        clear_env: keys.clear_env.read(reader).unwrap_or(LaunchKeys::clear_env),
        file_env: keys.file_env.read(reader).unwrap_or_default(),
        limits,
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::{Resource, Rlimit};
    use super::*;

    #[test]
    fn a_hook_has_its_own_words_and_its_process_s_where_it_has_none() {
        let limit = |name, n| Rlimit { resource: Resource::named(name).unwrap(), soft: Some(n), hard: Some(n) };
        let process = Launch {
            identity: Identity { user: Some("www".into()), group: Some("staff".into()), supplementary: Vec::new() },
            working_dir: Some("/app".into()),
            env: vec![("A".into(), "1".into())],
            limits: Limits {
                umask: Some(0o27),
                rlimits: vec![limit("nofile", 1), limit("core", 0)],
                ..Limits::default()
            },
            ..Launch::default()
        };
        assert_eq!(Launch::default().within(&process), process);
        let hook = Launch {
            identity: Identity { user: Some("0".into()), ..Identity::default() },
            env: vec![("A".into(), "2".into())],
            limits: Limits { nice: Some(5), rlimits: vec![limit("nofile", 9)], ..Limits::default() },
            ..Launch::default()
        };
        let both = hook.within(&process);
        assert_eq!(both.identity, hook.identity, "not the group of another user");
        assert_eq!(both.working_dir, process.working_dir);
        assert_eq!(both.env.last(), Some(&("A".into(), "2".into())));
        assert_eq!((both.limits.umask, both.limits.nice), (Some(0o27), Some(5)));
        assert_eq!(both.limits.rlimits, [limit("core", 0), limit("nofile", 9)]);
    }
}
