//! What programs make of signals, where that is not what most do, and how each is stopped gracefully: data, and nothing else. Pure.
//!
//! One table ([`table`]) for all who need it: the machine ([`crate::lifecycle`], by the name of the main process while it runs), the presets
//! of `stop`, `check` and `check --pod`, and the log. Measured with the programs themselves, or from their own manuals; docs/programs.md
//! and docs/signals.md show it, and tests compare.

mod table;

use std::sync::OnceLock;

use crate::signal::Signal;
use crate::sorted;
pub use table::JVM;
use table::PROGRAMS;

/// Its applets are many programs, shells among them.
pub const BUSYBOX: &str = "busybox";
const SHELLS: [&str; 7] = ["sh", "bash", "ash", "dash", "zsh", "ksh", BUSYBOX];

/// A program that has to be known: it ends gracefully upon another signal than SIGTERM, has a preset, goes into the background, or answers
/// a signal with a dump and goes on.
#[derive(PartialEq, Eq, Debug)]
pub struct Program {
    /// Names of the executable, without a version behind it. The first is what messages call it.
    pub names: &'static [&'static str],
    /// The signal with which it is customarily asked to stop: what its images say as STOPSIGNAL.
    pub stop: Signal,
    /// What SIGTERM does instead of a graceful end, after "which"; `None`: just that.
    pub upon_term: Option<&'static str>,
    /// SIGTERM alone may never end it.
    pub outlives_term: bool,
    /// It answers this one with a dump of what it is doing, and goes on.
    pub dumps_on: Option<Signal>,
    /// `stop = "NAME"`.
    pub preset: Option<Preset>,
    /// What keeps it in the foreground, where it does not stay there unasked, or what takes it away.
    pub foreground: Foreground,
    /// Where its own configuration is, for `check` to read.
    pub file: ConfigFile,
}

/// `stop = "nginx"`: how a program is stopped gracefully.
#[derive(PartialEq, Eq, Debug)]
pub struct Preset {
    /// What it is called in a configuration. The first is what messages say.
    pub words: &'static [&'static str],
    pub ladder: &'static [Step],
    /// What these signals do, in a sentence without a full stop.
    pub why: &'static str,
    /// Where the program's own documentation says so.
    pub source: &'static str,
    /// What else its users have to know, in Markdown; nothing: "".
    pub trap: &'static str,
    /// Without this its stop is not graceful.
    pub needs: Option<Needs>,
    /// What is lost when signals go to its whole process group, after "which"; `None`: nothing that is known.
    pub in_group: Option<&'static str>,
}

/// A rung of a preset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    pub signal: Signal,
    /// So many hundredths of the time before the kill at the most; `None`: what is left.
    pub percent: Option<u32>,
}

/// A setting of the program's own.
#[derive(PartialEq, Eq, Debug)]
pub struct Needs {
    /// What stands among its arguments or in its configuration then.
    pub text: &'static str,
    /// What happens without it, after the program's name.
    pub without: &'static str,
    /// What to write.
    pub write: &'static str,
}

/// How a program is kept in the foreground. Arguments as they are written, one or two words.
#[derive(PartialEq, Eq, Debug)]
pub struct Foreground {
    /// What to write behind the program's name; "": nothing is needed.
    pub arguments: &'static str,
    /// Each of these does it; none: it stays there unasked.
    pub by: &'static [&'static str],
    /// What its configuration says instead; "": nothing.
    pub in_file: &'static str,
    /// Each of these takes it into the background.
    pub background: &'static [&'static str],
}

/// Where a program's own configuration stands.
#[derive(PartialEq, Eq, Debug)]
pub struct ConfigFile {
    /// Behind one of these.
    pub flags: &'static [&'static str],
    /// An argument that ends so is one, too.
    pub suffixes: &'static [&'static str],
    /// Without one. `{version}` is what stands behind the program's name.
    pub defaults: &'static [&'static str],
}

impl Program {
    pub fn name(&self) -> &'static str {
        self.names[0]
    }

    /// Its signals mean what they mean to few.
    pub fn has_signals_of_its_own(&self) -> bool {
        self.stop != Signal::TERM || self.dumps_on.is_some()
    }
}

impl Preset {
    /// What it is called.
    pub fn word(&self) -> &'static str {
        self.words[0]
    }
}

/// Every row, as docs/programs.md shows them.
pub fn all() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter()
}

/// The name of a program behind the last slash.
pub fn file_name(executable: &str) -> &str {
    executable.rsplit('/').next().unwrap_or(executable)
}

/// The name of the program that a command line starts: of busybox, which is many, the one that its first argument names.
pub fn started_by<'a>(executable: &'a str, first_argument: Option<&'a str>) -> &'a str {
    let name = file_name(executable);
    first_argument.filter(|_| name == BUSYBOX).unwrap_or(name)
}

/// A shell, by its own name: it waits for its child when a signal comes, and passes none on.
pub fn is_shell(executable: &str) -> bool {
    SHELLS.contains(&file_name(executable))
}

/// By the name of its executable, a path or not, with a version behind it or not: `/usr/sbin/php-fpm8.4` is php-fpm.
pub fn named(executable: &str) -> Option<&'static Program> {
    let name = file_name(executable);
    let known = |name: &str| PROGRAMS.iter().find(|p| p.names.contains(&name));
    known(name).or_else(|| known(bare(name).trim_end_matches('-')))
}

/// The program that a command line amounts to, and at which word its name stands: behind what makes room for it (`bundle exec`, `env`, `gosu`), or
/// behind its interpreter (`python -m`). What starts a program of its own and stays (`npm run`, `sh -c`) is not seen through.
pub fn run_by(words: &[&str]) -> Option<(&'static Program, usize)> {
    let mut at = 0;
    loop {
        let word = words.get(at)?;
        // As a module it has the name that `stop` knows: `python -m waitress`.
        let module = || preset(word).map(|(program, _)| program).filter(|_| at > 0);
        if let Some(program) = named(word).or_else(module) {
            return Some((program, at));
        }
        at += 1 + before_its_program(word, words.get(at + 1..)?)?;
    }
}

/// How many of the words behind a launcher come before the program's own; `None`: it is no launcher.
fn before_its_program(launcher: &str, rest: &[&str]) -> Option<usize> {
    let behind = |word: &str| rest.first().is_some_and(|first| *first == word).then_some(1);
    match bare(file_name(launcher)) {
        "bundle" => Some(behind("exec")? + rest.iter().skip(1).take_while(|word| word.starts_with('-')).count()),
        "poetry" | "pipenv" => behind("run"),
        // A user's name.
        "gosu" | "su-exec" => Some(1),
        "env" => Some(rest.iter().take_while(|word| word.starts_with('-') || word.contains('=')).count()),
        "python" | "pypy" => module_or_script(rest),
        _ => None,
    }
}

/// Of Python's arguments those before the module or script; `None`: it has neither.
fn module_or_script(arguments: &[&str]) -> Option<usize> {
    let mut at = 0;
    loop {
        match arguments.get(at)?.strip_prefix('-') {
            None => return Some(at),
            // Also behind other letters: `-um`.
            Some(letters) if !letters.starts_with('-') && letters.ends_with('m') => return Some(at + 1),
            Some(letters) if !letters.starts_with('-') && letters.ends_with('c') => return None,
            Some("X" | "W") => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Without the version.
fn bare(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

/// What stands behind the name: `8.4` of `/usr/sbin/php-fpm8.4`.
pub fn version(executable: &str) -> &str {
    executable.get(bare(executable).len()..).unwrap_or_default()
}

/// By what `stop` calls it.
pub fn preset(word: &str) -> Option<(&'static Program, &'static Preset)> {
    PROGRAMS
        .iter()
        .find_map(|p| p.preset.as_ref().filter(|preset| preset.words.contains(&word)).map(|preset| (p, preset)))
}

/// Every word that `stop` knows, in order.
pub fn presets() -> &'static [&'static str] {
    static WORDS: OnceLock<Vec<&'static str>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut words: Vec<_> =
            PROGRAMS.iter().filter_map(|p| p.preset.as_ref()).flat_map(|p| p.words).copied().collect();
        sorted::sort(&mut words);
        words
    })
}

/// How the program of that name is kept in the foreground, to be said to whoever has not.
pub fn in_the_foreground(executable: &str) -> Option<String> {
    let arguments = named(executable)?.foreground.arguments;
    (!arguments.is_empty()).then(|| format!("{executable} {arguments}"))
}

/// Some program is customarily stopped with it.
pub fn is_a_stop_signal(signal: Signal) -> bool {
    PROGRAMS.iter().any(|p| p.stop == signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_the_name_of_their_executable() {
        for (executable, name) in [
            ("nginx", "nginx"),
            ("/usr/sbin/php-fpm8.4", "php-fpm"),
            ("php-fpm83", "php-fpm"),
            ("/usr/local/apache2/bin/httpd", "httpd"),
            ("apache2", "httpd"),
            ("postgres", "postgres"),
            ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "java"),
            ("haproxy-3.0", "haproxy"),
        ] {
            assert_eq!(named(executable).map(Program::name), Some(name), "{executable}");
        }
        for executable in ["", "/", "sh", "nginxx", "my-nginx", "8.4", "python3.11", "java.sh"] {
            assert_eq!(named(executable), None, "{executable}");
        }
        assert_eq!((version("/usr/sbin/php-fpm8.4"), version("nginx"), version("")), ("8.4", "", ""));
    }

    #[test]
    fn of_busybox_its_applet_is_what_runs() {
        let started = |line: &'static str| {
            let (executable, first) = line.split_once(' ').unwrap_or((line, ""));
            started_by(executable, Some(first).filter(|first| !first.is_empty()))
        };
        let all = ["/bin/busybox httpd", "busybox sh", "busybox", "/usr/sbin/nginx -g", "sh"].map(started);
        assert_eq!(all, ["httpd", "sh", "busybox", "nginx", "sh"]);
        assert_eq!(all.map(is_shell), [false, true, true, false, true]);
    }

    #[test]
    fn a_program_is_found_behind_what_makes_room_for_it() {
        for (line, program, name) in [
            ("nginx -g x", "nginx", "nginx"),
            ("bundle exec puma -C puma.rb", "puma", "puma"),
            ("/usr/bin/bundle exec --keep-file-descriptors puma", "puma", "puma"),
            ("python -m celery -A app worker", "celery", "celery"),
            ("/usr/bin/python3.11 -u -X dev -m gunicorn app:app", "gunicorn", "gunicorn"),
            ("python3 -um uvicorn app:app", "uvicorn", "uvicorn"),
            ("python3 -m waitress app:app", "waitress", "waitress-serve"),
            ("python3 /venv/bin/celery worker", "/venv/bin/celery", "celery"),
            ("poetry run gunicorn app", "gunicorn", "gunicorn"),
            ("pipenv run python -m celery", "celery", "celery"),
            ("env -i RAILS_ENV=production bundle exec puma", "puma", "puma"),
            ("gosu redis redis-server", "redis-server", "redis-server"),
            ("su-exec nginx php-fpm8.4 -F", "php-fpm8.4", "php-fpm"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let found = run_by(&words).map(|(found, at)| (words[at], found.name()));
            assert_eq!(found, Some((program, name)), "{line}");
        }
        let none = "|bundle|bundle install|bundle exec|bundle exec rake puma|python|python -c celery|python -m|python -X|\
                    python manage.py celery|poetry puma|gosu celery|gosu|env|env A=b|sh -c nginx|npm run puma|waitress";
        for line in none.split('|') {
            assert_eq!(run_by(&line.split(' ').collect::<Vec<_>>()), None, "{line}");
        }
    }

    #[test]
    fn every_row_says_something_and_no_name_stands_twice() {
        for list in [all().flat_map(|p| p.names).copied().collect::<Vec<_>>(), presets().to_vec()] {
            let mut names = list.clone();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), list.len(), "{list:?}");
        }
        for program in all() {
            let name = program.name();
            let in_background = !program.foreground.arguments.is_empty() || !program.foreground.background.is_empty();
            assert!(
                program.has_signals_of_its_own() || program.preset.is_some() || in_background,
                "{name}: as any other"
            );
            assert!(program.stop == Signal::TERM || program.upon_term.is_some(), "{name}");
            assert!(!program.outlives_term || program.upon_term.is_some(), "{name}");
            // What is to be written keeps it there by its own row.
            let Foreground { arguments, by, .. } = program.foreground;
            assert!(by.is_empty() || by.iter().any(|by| arguments.contains(by)), "{name}");
        }
        assert_eq!(named("java"), Some(&JVM));
    }

    #[test]
    fn every_preset_says_why_where_that_stands_and_how_long() {
        for (program, preset) in all().filter_map(|p| p.preset.as_ref().map(|preset| (p, preset))) {
            let name = program.name();
            assert!(!preset.why.is_empty() && !preset.source.is_empty() && !preset.why.ends_with('.'), "{name}");
            let (last, before) = preset.ladder.split_last().unwrap();
            assert!(last.percent.is_none() && before.iter().all(|step| step.percent.is_some()), "{name}");
            assert!(before.iter().filter_map(|step| step.percent).sum::<u32>() <= 75, "{name}: the last has a quarter");
            // No word is also a signal's.
            assert!(preset.words.iter().all(|word| Signal::parse(word).is_err()), "{name}");
            assert_eq!(super::preset(preset.word()), Some((program, preset)));
        }
        assert!(presets().len() >= 20 && super::preset("nginxx").is_none());
    }

    #[test]
    fn in_the_foreground_by_the_name_that_was_started() {
        assert_eq!(in_the_foreground("php-fpm8.4").as_deref(), Some("php-fpm8.4 --nodaemonize"));
        assert_eq!(in_the_foreground("apache2").as_deref(), Some("apache2 -D FOREGROUND"));
        assert_eq!(in_the_foreground("own-server"), None);
        assert_eq!(in_the_foreground("postgres"), None, "it stays there unasked");
    }
}
