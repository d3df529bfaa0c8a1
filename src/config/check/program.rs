//! What the program of a process needs for a graceful stop: its own signals, the foreground, a setting of its own. By its name alone, so all
//! of it is advice: warnings. Pure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::process::ProcessKeys;
use super::reader::Reader;
use crate::config::problem::Span;
use crate::config::{Process, SignalTo};
use crate::programs::{self, ConfigFile, Preset, Program};
use crate::signal::Signal;

/// `preset`: what `stop` names.
pub fn program(
    reader: &mut Reader<'_>,
    keys: &ProcessKeys<'_>,
    process: &Process,
    preset: Option<(&'static Program, &'static Preset)>,
) {
    if let (Some((_, preset)), SignalTo::Group, Some(span)) = (preset, process.signal_to, keys.signal_to.span())
        && let Some(lost) = preset.in_group
    {
        let sentence = format!("its signals go to the whole process group, which {lost}");
        reader.warn(&span, sentence, "leave `signal_to` out");
    }
    let (Some(command), Some((program, at))) = (keys.command.span(), process.program_at()) else { return };
    match keys.stop.span() {
        None => not_by_sigterm(reader, &command, process, program),
        Some(stop) => not_by_this(reader, &stop, process, program, preset),
    }
    let Some((executable, rest)) = process.command.get(at..).and_then(<[_]>::split_first) else { return };
    let executable = executable.to_string_lossy();
    let executable = programs::file_name(&executable);
    let arguments = Arguments::new(rest);
    let file = File::of(reader, program, executable, &arguments);
    let started = Started { command, program, executable, arguments, file };
    started.foreground(reader);
    started.needs(reader, process);
}

/// Who says nothing has SIGTERM sent, and not everybody ends gracefully upon that.
fn not_by_sigterm(reader: &mut Reader<'_>, command: &Span, process: &Process, program: &Program) {
    if process.rewrite.get(&Signal::TERM).is_some_and(|to| *to == Some(program.stop)) {
        return;
    }
    let Some(effect) = program.upon_term else { return };
    let (name, signal) = (program.name(), program.stop);
    let help = match &program.preset {
        Some(preset) => format!("write stop = \"{}\": {}", preset.word(), preset.why),
        None => format!("its graceful stop is {signal}: stop = \"{signal}\""),
    };
    reader.warn(command, format!("{name} is stopped with SIGTERM, which {effect}"), help);
}

/// A ladder, or another program's preset.
fn not_by_this(
    reader: &mut Reader<'_>,
    stop: &Span,
    process: &Process,
    program: &'static Program,
    preset: Option<(&'static Program, &'static Preset)>,
) {
    let name = program.name();
    let own = program.preset.as_ref();
    if let (Some((other, preset)), Some(own)) = (preset, own)
        && other != program
    {
        let sentence = format!("\"{}\" is how {} is stopped, and this is {name}", preset.word(), other.name());
        reader.warn(stop, sentence, format!("write stop = \"{}\"", own.word()));
    }
    let only_term = !process.stop.is_empty() && process.stop.iter().all(|rung| rung.signal == Signal::TERM);
    if let (true, Some(effect), Some(own)) = (only_term && program.outlives_term, program.upon_term, own) {
        let sentence = format!("{name} is stopped with SIGTERM alone, which {effect}: SIGKILL may end it");
        reader.warn(stop, sentence, format!("write stop = \"{}\": {}", own.word(), own.why));
    }
}

/// How a known program is started.
struct Started<'a> {
    command: Span,
    program: &'static Program,
    executable: &'a str,
    arguments: Arguments,
    file: File,
}

impl Started<'_> {
    fn foreground(&self, reader: &mut Reader<'_>) {
        let wanted = &self.program.foreground;
        let stays = wanted.by.is_empty() || wanted.by.iter().any(|by| self.arguments.have(by));
        let says_so = match &self.file {
            File::Text(text) => !wanted.in_file.is_empty() && says(text, wanted.in_file),
            File::Named => !wanted.in_file.is_empty(),
            File::Nowhere | File::Default => false,
        };
        let (name, softstop) = (self.program.name(), "softstop sees it end at once, and stops what is left of it");
        if let Some(away) = wanted.background.iter().find(|away| self.arguments.are(away)) {
            let sentence = format!("{away} has {name} go into the background: {softstop}");
            reader.warn(&self.command, sentence, format!("leave {away} out: a process stays in the foreground"));
        } else if !stays && !says_so {
            let unless = if wanted.in_file.is_empty() || matches!(self.file, File::Text(_)) {
                String::new()
            } else {
                format!("; where its configuration says `{}`, all is well", wanted.in_file)
            };
            let help = format!("run it in the foreground: {} {}{unless}", self.executable, wanted.arguments);
            reader.warn(&self.command, format!("{name} goes into the background: {softstop}"), help);
        }
    }

    /// A setting without which its graceful signal is none.
    fn needs(&self, reader: &mut Reader<'_>, process: &Process) {
        let Some(preset) = &self.program.preset else { return };
        let Some(needs) = &preset.needs else { return };
        let graceful = preset.ladder.first().map(|step| step.signal);
        let as_meant = process.stop.first().is_some_and(|rung| Some(rung.signal) == graceful);
        let has_it = self.arguments.have(needs.text)
            || match &self.file {
                File::Text(text) => says(text, needs.text),
                // Nobody has looked.
                File::Named | File::Default => true,
                File::Nowhere => false,
            };
        if as_meant && !has_it {
            reader.warn(&self.command, format!("{} {}", self.program.name(), needs.without), needs.write);
        }
    }
}

/// A program's own configuration.
enum File {
    /// It has none.
    Nowhere,
    /// The default one, unread.
    Default,
    /// An argument names it, unread.
    Named,
    Text(String),
}

impl File {
    fn of(reader: &Reader<'_>, program: &Program, executable: &str, arguments: &Arguments) -> File {
        let ConfigFile { defaults, .. } = program.file;
        let read = |path: &Path| reader.here.filter(|_| path.is_absolute()).and_then(|here| here.text(path));
        if let Some(named) = arguments.file(&program.file) {
            return read(&named).map_or(File::Named, File::Text);
        }
        let version = programs::version(executable);
        let text = defaults.iter().find_map(|path| read(Path::new(&path.replace("{version}", version))));
        match text {
            Some(text) => File::Text(text),
            None if defaults.is_empty() => File::Nowhere,
            None => File::Default,
        }
    }
}

/// What stands behind a program's name.
struct Arguments {
    words: Vec<String>,
    /// All of them, a blank between two.
    joined: String,
}

impl Arguments {
    fn new(arguments: &[OsString]) -> Arguments {
        let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let joined = spaced(&words.join(" "));
        Arguments { words, joined }
    }

    /// The flag, also as one of several letters behind a dash; or the words.
    fn have(&self, what: &str) -> bool {
        let letter = what.strip_prefix('-').filter(|letter| letter.len() == 1);
        match letter {
            Some(letter) => self.words.iter().any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains(letter)),
            None => self.are(what) || !what.starts_with("--") && self.joined.contains(what),
        }
    }

    /// Just this argument, or these two.
    fn are(&self, what: &str) -> bool {
        match what.split_once(' ') {
            Some((first, second)) => self.words.windows(2).any(|pair| pair[0] == first && pair[1] == second),
            None => self.words.iter().any(|word| word == what),
        }
    }

    fn file(&self, kind: &ConfigFile) -> Option<PathBuf> {
        let behind = |flag: &&str| {
            let after = self.words.iter().skip_while(|word| word != flag).nth(1).map(String::as_str);
            let within = || self.words.iter().find_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
            after.or_else(within).map(PathBuf::from)
        };
        let by_suffix =
            || self.words.iter().find(|word| kind.suffixes.iter().any(|end| word.ends_with(end))).map(PathBuf::from);
        kind.flags.iter().find_map(behind).or_else(by_suffix)
    }
}

/// One blank where there are several, and none beside an equals sign.
fn spaced(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(" =", "=").replace("= ", "=")
}

/// Whether a line of a configuration, which is no comment, has the setting, and not as nothing.
fn says(text: &str, setting: &str) -> bool {
    let setting = spaced(setting);
    let has_it = |line: &str| {
        let line = spaced(line.split('#').next().unwrap_or_default());
        let value = line.split_once(&setting).map(|(_, value)| value.trim_start_matches('=').trim());
        let is_nothing = |value: &str| {
            let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ';');
            !number.is_empty() && number.parse::<f64>().is_ok_and(|number| number == 0.0)
        };
        !line.starts_with(';') && value.is_some_and(|value| !is_nothing(value))
    };
    text.lines().any(has_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_counts_where_it_is_no_comment_and_not_nothing() {
        for (text, setting, counts) in [
            ("a;\n daemon   off;\n", "daemon off", true),
            ("#daemon off;\ndaemon on;", "daemon off", false),
            ("worker_processes 1; daemon off; # so", "daemon off", true),
            ("[global]\nprocess_control_timeout=10s", "process_control_timeout", true),
            ("process_control_timeout = 0", "process_control_timeout", false),
            ("process_control_timeout = 0s", "process_control_timeout", false),
            ("process_control_timeout = 0.5s", "process_control_timeout", true),
            ("; process_control_timeout = 10s", "process_control_timeout", false),
            ("daemonize=no", "daemonize = no", true),
            ("daemonize  =  yes", "daemonize = no", false),
            ("", "daemon off", false),
        ] {
            assert_eq!(says(text, setting), counts, "{text:?}");
        }
    }

    #[test]
    fn arguments_are_found_as_people_write_them() {
        let arguments = |words: &[&str]| Arguments::new(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(arguments(&["-g", "daemon  off;"]).have("daemon off"));
        assert!(arguments(&["-FR"]).have("-F") && !arguments(&["--Force", "F"]).have("-F"));
        assert!(arguments(&["-D", "FOREGROUND"]).have("-D FOREGROUND"));
        assert!(
            arguments(&["--nodaemonize"]).have("--nodaemonize") && !arguments(&["--nodaemon"]).have("--nodaemonize")
        );
        assert!(arguments(&["--daemonize", "yes"]).are("--daemonize yes"));
        assert!(!arguments(&["--daemonize", "no"]).are("--daemonize yes") && !arguments(&["-dM"]).are("-d"));
        let php = programs::named("php-fpm").map(|p| &p.file).unwrap();
        for words in [&["-y", "/a.conf"][..], &["--fpm-config", "/a.conf"], &["-F", "--fpm-config=/a.conf"]] {
            assert_eq!(arguments(words).file(php), Some("/a.conf".into()), "{words:?}");
        }
        assert_eq!(arguments(&["-F", "-y"]).file(php), None);
        let uwsgi = programs::named("uwsgi").map(|p| &p.file).unwrap();
        assert_eq!(arguments(&["--master", "/etc/app.ini"]).file(uwsgi), Some("/etc/app.ini".into()));
    }
}
