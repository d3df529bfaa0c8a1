//! A Procfile, as foreman, Heroku and their like have it, as settings: a process for each line `name: command`. Pure.
//!
//! What these tools pass over in silence (a line of another form, a second process of a name) is a mistake here, with its place.

mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::check::{MAX_BYTES, values};
use super::env_file::EnvFormat;
use super::problem::{Problem, Problems, Severity, Source, Span};
use super::{Config, EnvFile, Forward, OnExit, Output, Process, Restart, SignalTo};

/// The first process's PORT where nothing else is said.
pub const BASE_PORT: u16 = 5000;
/// The next process type has so much more.
const STEP: u32 = 100;
/// So many processes a Procfile may have, with all their instances: each is a program that is started.
const MOST: usize = 1000;
/// So many mistakes are enough.
const ENOUGH: usize = 100;

/// Whether a file is a Procfile by its name: `Procfile`, `Procfile.dev`, `dev.procfile`.
pub fn is_named(file: &str) -> bool {
    let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain = name == "Procfile" || name.starts_with("Procfile.") || name.ends_with(".procfile");
    plain && !name.ends_with(".toml")
}

/// Reads a Procfile. `file` is its name for messages, and where its processes start and their `.env` is; `env` has the variable PORT.
///
/// # Errors
/// Every mistake in it, in the order of the file.
pub fn read(text: &str, file: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(Config, Vec<Problem>), Problems> {
    if text.len() > MAX_BYTES {
        let sentence = format!("the Procfile has {} bytes, more than {MAX_BYTES}", text.len());
        return Err(Problems::of_file(file, sentence, "is it the right file? a Procfile has a line for each process"));
    }
    let source = Source::new(file, text);
    let mut config = Config { procfile: true, forward: Forward::Caught, ..Config::with_defaults() };
    let mut problems;
    (config.processes, problems) = lines(&source);
    if config.processes.len() > MOST {
        let help = "split it, or run the others with another softstop";
        problems.push(Problem::error(source.whole(), format!("more than {MOST} processes"), help));
    }
    if config.processes.is_empty() && problems.is_empty() {
        let help = "write a line for each: web: node server.js";
        problems.push(Problem::error(source.whole(), "there is no process to run", help));
    }
    let base = base_port(&source, env).unwrap_or_else(|problem| {
        problems.push(problem);
        BASE_PORT
    });
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(Problems { file: file.to_owned(), list: problems });
    }
    match form(&mut config, base, &[]) {
        Ok(()) => Ok((config, problems)),
        Err(why) => Err(Problems::of_file(file, why, "set PORT or --port to a lower one, or split the Procfile")),
    }
}

/// A process for each line, and what is wrong with the others.
fn lines(source: &Source<'_>) -> (Vec<Process>, Vec<Problem>) {
    let folder = Path::new(source.file).parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut reader = Reader { source, first: BTreeMap::new() };
    let (mut processes, mut problems) = (Vec::new(), Vec::new());
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        if problems.len() >= ENOUGH || processes.len() > MOST {
            break;
        }
        match reader.line(line, at) {
            Ok(found) => processes.extend(found.map(|(name, command)| process(name, command, folder))),
            Err(problem) => problems.push(problem),
        }
        at += line.len();
    }
    (processes, problems)
}

/// What the variable PORT says; a warning where that is none.
fn base_port(source: &Source<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<u16, Problem> {
    let Some(port) = env("PORT").filter(|port| !port.is_empty()) else { return Ok(BASE_PORT) };
    port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        let sentence = format!("PORT is {port:?}, which is no port: {BASE_PORT} is taken");
        let problem = Problem::error(source.whole(), sentence, "write a number from 1 to 65535, or unset it");
        Problem { severity: Severity::Warning, ..problem }
    })
}

/// As foreman has them: of each process type so many instances (`all` are those not named; one, where nothing is said), the first with
/// `base` as its PORT, each further one with one more, and each further type with 100 more. Of none there is one that waits for
/// `softstop start`.
///
/// # Errors
/// There is no such type; a port that is none; too many processes. One line.
pub fn form(config: &mut Config, base: u16, formation: &[(String, u32)]) -> Result<(), String> {
    let types = std::mem::take(&mut config.processes);
    if let Some((unknown, _)) =
        formation.iter().find(|(name, _)| name != "all" && !types.iter().any(|t| t.name == *name))
    {
        let names: Vec<&str> = types.iter().map(|t| t.name.as_str()).collect();
        return Err(format!("the Procfile has no {unknown:?}; there are: {}", names.join(", ")));
    }
    let count = |name: &str| {
        let said = |wanted: &str| formation.iter().rev().find(|(known, _)| known == wanted).map(|(_, count)| *count);
        said(name).or_else(|| said("all")).unwrap_or(1)
    };
    let counts = types.iter().map(|t| usize::try_from(count(&t.name).max(1)).unwrap_or(usize::MAX));
    let total = counts.fold(0, usize::saturating_add);
    if total > MOST {
        return Err(format!("{total} processes are more than {MOST}"));
    }
    let mut names = BTreeSet::new();
    for (index, kind) in (0..).zip(&types) {
        let count = count(&kind.name);
        for instance in 1..=count.max(1) {
            let port = u32::from(base) + STEP * index + (instance - 1);
            let mut process = numbered(kind, instance, port)?;
            if count > 1 {
                process.name = format!("{}.{instance}", kind.name);
            }
            if !names.insert(process.name.clone()) {
                return Err(format!("two processes would be named {:?}: rename one in the Procfile", process.name));
            }
            process.autostart = count > 0;
            config.processes.push(process);
        }
    }
    Ok(())
}

/// One of a type, with the variables that say which.
fn numbered(kind: &Process, instance: u32, port: u32) -> Result<Process, String> {
    let port = u16::try_from(port)
        .map_err(|_| format!("the PORT of {:?} would be {port}, and 65535 is the last", kind.name))?;
    let which = format!("{}.{instance}", kind.name);
    let mut process = kind.clone();
    process.launch.env = vec![("PORT".into(), port.to_string().into()), ("PS".into(), which.into())];
    Ok(process)
}

/// The PORT that a process of a Procfile is given.
pub fn port(process: &Process) -> Option<u16> {
    process.launch.env.iter().find(|(name, _)| name == "PORT").and_then(|(_, value)| value.to_str()?.parse().ok())
}

fn process(name: &str, command: &str, folder: Option<&Path>) -> Process {
    let line = shell::line(command);
    let mut process = Process::new(name, ["/bin/sh", "-c", &line.script].map(Into::into).into());
    // As foreman and its like: where one ends all end.
    process.restart = Restart::Never;
    process.on_exit = OnExit::Stop;
    process.output = Output::Prefix;
    (process.stated.on_exit, process.stated.output) = (true, true);
    // A shell that stays does not pass signals on.
    process.signal_to = if line.becomes_program { SignalTo::Process } else { SignalTo::Group };
    process.launch.working_dir = folder.map(PathBuf::from);
    let path = folder.map_or_else(|| PathBuf::from(".env"), |folder| folder.join(".env"));
    process.launch.env_files = vec![EnvFile { path, format: EnvFormat::Foreman, optional: true }];
    process
}

struct Reader<'a> {
    source: &'a Source<'a>,
    /// The names, with their places.
    first: BTreeMap<String, Span>,
}

impl Reader<'_> {
    fn wrong<T>(&self, span: Span, sentence: impl Into<String>, help: impl Into<String>) -> Result<T, Problem> {
        Err(Problem::error(self.source.place(&span, ""), sentence, help))
    }

    /// `start`: where the line begins. `None`: nothing is to be run for it.
    fn line<'t>(&mut self, line: &'t str, start: usize) -> Result<Option<(&'t str, &'t str)>, Problem> {
        let bom = if start == 0 && line.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let (line, start) = (line[bom..].trim_end(), start + bom);
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let all = start..start + line.len();
        let Some((name, command)) = line.split_once(':') else {
            return self.wrong(all, "no colon: this line starts nothing", "write name: command, or # before a comment");
        };
        if text.len() < line.len() {
            let sentence = "blanks before the name: foreman would pass over this line";
            return self.wrong(all, sentence, "begin with the name; a command is one line");
        }
        let span = start..start + name.len();
        if let Err(wrong) = values::process_name(name) {
            return self.wrong(span, wrong.sentence, wrong.help);
        }
        if command.trim().is_empty() {
            let help = format!("write it behind the colon: {name}: node server.js");
            return self.wrong(all, format!("{name:?} has no command"), help);
        }
        if let Some(nul) = command.find('\0') {
            let at = span.end + 1 + nul;
            return self.wrong(at..at + 1, "a NUL byte, which no command can have", "take it out");
        }
        if let Some(first) = self.first.get(name) {
            let (sentence, help) =
                (format!("two processes are named {name:?}"), format!("give each its own name, such as {name}-2"));
            let mut problem = Problem::error(self.source.place(&span, ""), sentence, help);
            problem.places.push(self.source.place(first, "the first"));
            return Err(problem);
        }
        self.first.insert(name.to_owned(), span);
        Ok(Some((name, command.trim())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_with(text: &str, port: Option<&str>) -> Result<(Config, Vec<Problem>), Problems> {
        read(text, "dir/Procfile", &|name| port.filter(|_| name == "PORT").map(str::to_owned))
    }

    fn config(text: &str) -> Config {
        read_with(text, None).unwrap_or_else(|problems| panic!("{problems}")).0
    }

    /// `name PORT PS`, each.
    fn ports(config: &Config) -> Vec<String> {
        let of = |p: &Process| {
            let values: Vec<_> = p.launch.env.iter().map(|(_, value)| value.to_string_lossy().into_owned()).collect();
            format!("{} {}{}", p.name, values.join(" "), if p.autostart { "" } else { " held" })
        };
        config.processes.iter().map(of).collect()
    }

    #[test]
    fn a_process_for_each_line_with_its_port_its_folder_and_its_env() {
        let config = config(
            "# ours\n\nweb: node server.js $PORT\r\nworker-2:bin/work -q mail & wait\n  # more\nclock_1:\tcd x && rake\n",
        );
        assert_eq!(ports(&config), ["web 5000 web.1", "worker-2 5100 worker-2.1", "clock_1 5200 clock_1.1"]);
        let scripts: Vec<_> = config.processes.iter().map(|p| p.command[2].to_str().unwrap()).collect();
        assert_eq!(scripts, ["exec node server.js $PORT", "bin/work -q mail & wait", "cd x && exec rake"]);
        let to: Vec<_> = config.processes.iter().map(|p| p.signal_to).collect();
        assert_eq!(to, [SignalTo::Process, SignalTo::Group, SignalTo::Process]);
        let web = &config.processes[0];
        assert_eq!(web.launch.working_dir.as_deref(), Some(Path::new("dir")));
        let file = EnvFile { path: "dir/.env".into(), format: EnvFormat::Foreman, optional: true };
        assert_eq!(web.launch.env_files, [file]);
        assert_eq!((web.restart, web.on_exit, web.output), (Restart::Never, OnExit::Stop, Output::Prefix));
        let here = read("a: b", "Procfile", &|_| None).unwrap().0;
        assert_eq!(here.processes[0].launch.working_dir, None);
    }

    #[test]
    fn instances_and_ports_are_as_foreman_has_them() {
        let formed = |base: u16, formation: &[(&str, u32)]| {
            let mut config = config("web: a\nworker: b\nclock: c\n");
            let formation: Vec<_> = formation.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            form(&mut config, base, &formation).map(|()| ports(&config))
        };
        let two = formed(3000, &[("worker", 2)]).unwrap();
        assert_eq!(two, ["web 3000 web.1", "worker.1 3100 worker.1", "worker.2 3101 worker.2", "clock 3200 clock.1"]);
        let only = formed(3000, &[("all", 0), ("web", 1)]).unwrap();
        assert_eq!(only, ["web 3000 web.1", "worker 3100 worker.1 held", "clock 3200 clock.1 held"]);
        assert_eq!(formed(1, &[("wbe", 1)]).unwrap_err(), "the Procfile has no \"wbe\"; there are: web, worker, clock");
        assert!(formed(65_400, &[]).unwrap_err().contains("\"clock\" would be 65600"));
        assert!(formed(1, &[("web", 1001)]).is_err());
        let mut twice = config("web: a\nweb.2: b\n");
        assert!(form(&mut twice, 1, &[("web".to_owned(), 2)]).unwrap_err().contains("would be named \"web.2\""));
        let base = |port| ports(&read_with("web: a", Some(port)).unwrap().0);
        assert_eq!((base("8080"), base("")), (vec!["web 8080 web.1".to_owned()], vec!["web 5000 web.1".to_owned()]));
        let (_, warnings) = read_with("web: a", Some("tcp://x")).unwrap();
        assert!(warnings[0].sentence.contains("no port: 5000 is taken"));
        assert!(read_with("web: a\nb: c", Some("65535")).is_err());
    }

    #[test]
    fn names_say_what_is_a_procfile() {
        for (name, is) in [
            ("Procfile", true),
            ("a/Procfile.dev", true),
            ("dev.procfile", true),
            ("softstop.toml", false),
            ("Procfile.toml", false),
            ("procfiles", false),
            ("", false),
        ] {
            assert_eq!(is_named(name), is, "{name}");
        }
    }

    proptest! {
        /// Every line that says something is a process or a mistake: none is passed over.
        #[test]
        fn no_line_is_lost(lines in prop::collection::vec("[ #a-c:=&'\"$(é\t]{0,12}", 0..8)) {
            let text = lines.join("\n");
            let says = lines.iter().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')).count();
            match read_with(&text, None) {
                Ok((config, _)) => prop_assert_eq!(config.processes.len(), says),
                Err(problems) => {
                    prop_assert!(says == 0 || problems.errors() <= says);
                    prop_assert!(problems.list.iter().all(|p| !p.places.is_empty() && !p.help.is_empty()));
                }
            }
        }
    }
}
