//! What `softstop run` makes of its configuration: some of its processes alone (`--only`), and one more command beside them. Pure.

use std::ffi::OsString;

use super::commands::Run;
use super::settings::main_process;
use crate::config::{Condition, Config, OnExit, Output, Process, ProcessKind, Stdin};
use crate::nearest::nearest;

impl Run {
    /// Lays `--only` and the command over a configuration.
    ///
    /// # Errors
    /// There is no such process; one line.
    pub fn choose(&self, config: &mut Config) -> Result<(), String> {
        self.local.apply(config)?;
        if !self.local.only.is_empty() {
            only(&self.local.only, config)?;
        }
        if !self.local.cmd.is_empty() {
            beside(&self.local.cmd, config);
        }
        Ok(())
    }
}

/// These, and what they depend on, start by themselves; the others wait for `softstop start`.
fn only(names: &[String], config: &mut Config) -> Result<(), String> {
    let known = || config.processes.iter().map(|p| p.name.as_str());
    let mut left = Vec::new();
    for name in names {
        // `web` is `web.1` and `web.2`, too, where a Procfile has several of it.
        let is = |p: &Process| p.name == *name || config.procfile && instance_of(&p.name) == name;
        let before = left.len();
        left.extend(config.processes.iter().enumerate().filter(|(_, p)| is(p)).map(|(id, _)| id));
        if left.len() == before {
            let meant = match nearest(name, known()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(format!("--only: there is no process {name:?}; {meant}"));
        }
    }
    let mut wanted = vec![false; config.processes.len()];
    while let Some(id) = left.pop() {
        if !std::mem::replace(&mut wanted[id], true) {
            left.extend(config.processes[id].after.iter().map(|(on, _)| *on));
        }
    }
    config.processes.iter_mut().zip(wanted).for_each(|(process, wanted)| process.autostart = wanted);
    Ok(())
}

/// `web` of `web.2`.
fn instance_of(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((kind, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => kind,
        _ => name,
    }
}

/// The command is the main process, in the foreground, once the others are ready, and stopped before them.
fn beside(cmd: &[OsString], config: &mut Config) {
    let mut process = Process { stop_as_received: true, ..main_process(cmd) };
    while config.processes.iter().any(|p| p.name == process.name) {
        process.name += "-cmd";
    }
    for p in &mut config.processes {
        (p.main, p.stdin) = (false, Stdin::Null);
        p.on_exit = if p.stated.on_exit { p.on_exit } else { OnExit::Continue };
        p.output = if p.stated.output { p.output } else { Output::Prefix };
    }
    let up = config.processes.iter().enumerate().filter(|(_, p)| p.autostart);
    let after = up.map(|(id, p)| match p.kind {
        Some(ProcessKind::Task) => (id, Condition::Completed),
        _ => (id, Condition::Ready),
    });
    process.after = after.collect();
    config.processes.push(process);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::read;

    const STACK: &str = "[[process]]\nname='db'\ncommand=['db']\nmain=true\nstdin='inherit'\n\
        [[process]]\nname='seed'\ncommand=['seed']\nkind='task'\nafter={db='ready'}\n\
        [[process]]\nname='web'\ncommand=['web']\nafter={seed='completed'}\non_exit='stop'\noutput='json'\n\
        [[process]]\nname='debug'\ncommand=['debug']\nautostart=false\n";

    fn stack() -> Config {
        read(STACK, "f", &|_| None).expect("it is valid").0
    }

    fn starts(config: &Config) -> Vec<&str> {
        config.processes.iter().filter(|p| p.autostart).map(|p| p.name.as_str()).collect()
    }

    #[test]
    fn only_some_start_with_what_they_depend_on() {
        let started = |names: &[&str]| {
            let mut config = stack();
            only(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>(), &mut config)
                .map(|()| starts(&config).join(" "))
        };
        assert_eq!(started(&["web"]).as_deref(), Ok("db seed web"));
        assert_eq!(started(&["db", "debug"]).as_deref(), Ok("db debug"));
        assert_eq!(started(&["wbe"]), Err("--only: there is no process \"wbe\"; did you mean web?".into()));
        assert!(started(&["zzz"]).is_err_and(|why| why.ends_with("there are: db, seed, web, debug")));
    }

    #[test]
    fn one_more_command_is_the_main_process_and_comes_when_the_others_are_up() {
        let mut config = stack();
        beside(&["/usr/bin/web".into(), "-x".into()], &mut config);
        let cmd = &config.processes[4];
        assert_eq!((cmd.name.as_str(), config.main()), ("web-cmd", Some(4)));
        assert_eq!(cmd.after, [(0, Condition::Ready), (1, Condition::Completed), (2, Condition::Ready)]);
        assert_eq!((cmd.stdin, config.reader()), (Stdin::Inherit, Some(4)));
        let others: Vec<_> = config.processes[..4].iter().map(|p| (p.on_exit, p.output)).collect();
        let silent = (OnExit::Continue, Output::Prefix);
        assert_eq!(others, [silent, silent, (OnExit::Stop, Output::Json), silent]);
    }
}
