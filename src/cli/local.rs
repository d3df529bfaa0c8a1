//! What `run`'s flags for people at a terminal, and for those who come from foreman, change of a configuration. Pure.

use super::commands::Local;
use crate::config::{Config, EnvFile, EnvFormat, Output, Stdin, procfile};

impl Local {
    /// Lays the flags over a configuration.
    ///
    /// # Errors
    /// They are for a Procfile, or do not fit this one; one line.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        if !config.procfile {
            self.only_without_a_procfile()?;
        }
        if config.procfile && (self.port.is_some() || !self.formation.is_empty()) {
            let known = config.processes.first().and_then(procfile::port);
            procfile::form(config, self.port.or(known).unwrap_or(procfile::BASE_PORT), &self.formation)?;
        }
        if !self.env_file.is_empty() {
            let file =
                |path: &std::path::PathBuf| EnvFile { path: path.clone(), format: EnvFormat::Foreman, optional: false };
            let files: Vec<EnvFile> = self.env_file.iter().map(file).collect();
            config.processes.iter_mut().for_each(|p| p.launch.env_files.clone_from(&files));
        }
        config.times &= !self.no_times;
        if self.tty {
            // Who has softstop's own descriptors has its terminal, if there is one.
            let own = |p: &&mut crate::config::Process| {
                p.stdin == Stdin::Null && !(p.stated.output && p.output == Output::Inherit)
            };
            for process in config.processes.iter_mut().filter(own) {
                process.tty = true;
                if process.output == Output::Inherit {
                    process.output = Output::Prefix;
                }
            }
        }
        Ok(())
    }

    fn only_without_a_procfile(&self) -> Result<(), String> {
        let instead = "in a configuration it is a key of the process";
        match (self.port, self.formation.is_empty(), self.env_file.is_empty()) {
            (Some(port), ..) => Err(format!("--port is for a Procfile; {instead}: env = {{ PORT = \"{port}\" }}")),
            (_, false, _) => {
                Err("--formation is for a Procfile; in a configuration each process has its [[process]]".to_owned())
            }
            (.., false) => Err(format!("--env-file is for a Procfile; {instead}: env_file = \".env\"")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::read;

    fn formed(local: &Local) -> Result<Vec<String>, String> {
        let mut config = read("web: a\nworker: b\n", "Procfile", &|_| Some("4000".into())).unwrap().0;
        local.apply(&mut config)?;
        Ok(config.processes.iter().map(|p| format!("{} {}", p.name, procfile::port(p).unwrap())).collect())
    }

    #[test]
    fn a_formation_keeps_the_port_that_was_said_elsewhere() {
        let two = || vec![("web".to_owned(), 2)];
        let kept = formed(&Local { formation: two(), ..Local::default() });
        assert_eq!(kept.unwrap(), ["web.1 4000", "web.2 4001", "worker 4100"]);
        let moved = formed(&Local { formation: two(), port: Some(90), ..Local::default() });
        assert_eq!(moved.unwrap(), ["web.1 90", "web.2 91", "worker 190"]);
        assert_eq!(formed(&Local::default()).unwrap(), ["web 4000", "worker 4100"]);
    }

    #[test]
    fn flags_of_a_procfile_are_refused_elsewhere() {
        let mut config = read("[[process]]\nname='a'\ncommand=['a']", "f.toml", &|_| None).unwrap().0;
        for (local, says) in [
            (Local { port: Some(1), ..Local::default() }, "env = { PORT = \"1\" }"),
            (Local { formation: vec![("a".into(), 1)], ..Local::default() }, "--formation is for a Procfile"),
            (Local { env_file: vec![".env".into()], ..Local::default() }, "env_file = \".env\""),
        ] {
            assert!(local.apply(&mut config).unwrap_err().contains(says), "{local:?}");
        }
        Local { tty: true, ..Local::default() }.apply(&mut config).unwrap();
        assert_eq!((config.processes[0].tty, config.processes[0].output), (true, Output::Prefix));
    }
}
