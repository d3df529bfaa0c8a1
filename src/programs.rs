//! What programs make of signals, where that is not what most do: data, and nothing else. Pure.
//!
//! One table for all who need it: the machine ([`crate::lifecycle`], by the name of the main process while it runs), `check` and
//! `check --pod`, and the log. Measured with the programs themselves, or from their own manuals; docs/signals.md shows it, and a test
//! compares.

use crate::signal::Signal;

/// A program that ends gracefully upon another signal than SIGTERM, or that answers a signal with a dump and goes on.
#[derive(PartialEq, Eq, Debug)]
pub struct Program {
    /// Names of the executable, without a version behind it. The first is what messages call it.
    names: &'static [&'static str],
    /// The signal with which it is customarily asked to stop: what its images say as STOPSIGNAL.
    pub stop: Signal,
    /// What SIGTERM does instead of a graceful end, after "which"; `None`: just that.
    pub upon_term: Option<&'static str>,
    /// It answers this one with a dump of what it is doing, and goes on.
    pub dumps_on: Option<Signal>,
}

const fn graceful(names: &'static [&'static str], stop: Signal, upon_term: &'static str) -> Program {
    Program { names, stop, upon_term: Some(upon_term), dumps_on: None }
}

const CUTS: &str = "cuts the requests under way";

/// A JVM, by whatever name it runs.
pub static JVM: Program =
    Program { names: &["java"], stop: Signal::TERM, upon_term: None, dumps_on: Some(Signal::QUIT) };

static PROGRAMS: [Program; 13] = [
    graceful(&["nginx", "nginx-debug", "openresty", "angie"], Signal::QUIT, CUTS),
    graceful(&["php-fpm"], Signal::QUIT, CUTS),
    graceful(&["unicorn", "unicorn_rails"], Signal::QUIT, CUTS),
    graceful(&["uwsgi"], Signal::QUIT, "has it start anew instead of ending"),
    Program { dumps_on: Some(Signal::QUIT), ..graceful(&["haproxy"], Signal::USR1, CUTS) },
    graceful(&["httpd", "apache2", "httpd.worker", "httpd.event"], Signal::WINCH, CUTS),
    graceful(&["lighttpd"], Signal::INT, CUTS),
    graceful(&["waitress-serve"], Signal::INT, CUTS),
    graceful(&["postgres", "postmaster"], Signal::INT, "waits for every client to disconnect"),
    graceful(&["pgbouncer"], Signal::INT, "waits for every client to disconnect"),
    graceful(&["nats-server"], Signal::USR2, "disconnects every client at once"),
    Program {
        names: &["systemd"],
        stop: Signal::SYSTEMD_HALT,
        upon_term: Some("has it start anew instead of ending"),
        dumps_on: None,
    },
    Program { names: JVM.names, stop: JVM.stop, upon_term: JVM.upon_term, dumps_on: JVM.dumps_on },
];

impl Program {
    pub fn name(&self) -> &'static str {
        self.names[0]
    }

    pub fn names(&self) -> &'static [&'static str] {
        self.names
    }
}

/// Every row, as docs/signals.md shows them.
pub fn all() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter()
}

/// By the name of its executable, a path or not, with a version behind it or not: `/usr/sbin/php-fpm8.4` is php-fpm.
pub fn named(executable: &str) -> Option<&'static Program> {
    let name = executable.rsplit('/').next().unwrap_or(executable);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let known = |name: &str| PROGRAMS.iter().find(|p| p.names.contains(&name));
    known(name).or_else(|| known(bare.trim_end_matches('-')))
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
    }

    #[test]
    fn every_row_says_something_and_no_name_stands_twice() {
        let mut names: Vec<&str> = all().flat_map(|p| p.names).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for program in all() {
            assert!(program.dumps_on.is_some() || program.stop != Signal::TERM, "{}: as any other", program.name());
            assert_eq!(program.upon_term.is_some(), program.stop != Signal::TERM, "{}", program.name());
        }
        assert_eq!(named("java"), Some(&JVM));
    }
}
