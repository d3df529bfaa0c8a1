//! What `softstop check --pod` says: a problem with its rule and with what comes of it in production. Pure.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::config::problem::{Place, Problem, Severity};
use crate::config::secrets;
use crate::text::{sentence, several};

/// More findings than this are not looked for: nobody reads them.
pub const ENOUGH: usize = 200;

/// One thing that goes wrong, or may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The rule's name: docs/kubernetes.md has them all.
    pub rule: &'static str,
    /// What is wrong, where, and (as its help) what to write instead.
    pub problem: Problem,
    /// What happens in production. One line, lower case.
    pub why: String,
}

impl Finding {
    /// Whatever the manifest has for a name, each text stays one line.
    pub fn new(rule: &'static str, severity: Severity, place: Place, texts: [&str; 3]) -> Finding {
        let [sentence, why, help] = texts.map(sentence);
        Finding { rule, problem: Problem { severity, sentence, places: vec![place], help }, why }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = Problem { help: String::new(), ..self.problem.clone() }.to_string();
        let (first, excerpt) = bare.split_once('\n').unwrap_or((&bare, ""));
        writeln!(f, "{first} ({})", self.rule)?;
        write!(f, "{excerpt}")?;
        if !self.why.is_empty() {
            writeln!(f, "why: {}", self.why)?;
        }
        writeln!(f, "help: {}", self.problem.help)
    }
}

/// The stop of a container that runs softstop, as a manifest has it.
#[derive(Debug)]
pub struct PodStop {
    /// `Deployment web, container app`.
    pub title: String,
    pub config: Config,
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
    /// What of it the kubelet leaves from the moment when softstop is told; `None`: its preStop hook takes nobody knows how long.
    pub left: Option<Duration>,
}

/// Everything that was found, and what was looked at.
#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// Of the containers that could be judged.
    pub stops: Vec<PodStop>,
    /// The containers that were held against a configuration: `Deployment web, container app`.
    pub checked: Vec<String>,
    /// Workloads none of whose containers runs softstop.
    pub skipped: Vec<String>,
    /// What runs containers, or may, and was not read.
    pub unread: Vec<String>,
}

impl Report {
    /// What is wrong with a configuration alone, for [`Report::json`].
    pub fn of_config(list: Vec<Problem>) -> Report {
        let finding = |problem| Finding { rule: "config", problem, why: String::new() };
        Report { findings: list.into_iter().map(finding).collect(), ..Report::default() }
    }

    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|f| f.problem.severity == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.findings.len() - self.errors()
    }

    /// The last line: `deploy.yaml: 2 problems and 1 warning`.
    pub fn summary(&self, file: &str) -> String {
        let errors = several(self.errors(), "problem", "problems");
        let warnings = several(self.warnings(), "warning", "warnings");
        let found = match (self.errors(), self.warnings()) {
            // What was not read may be anything.
            (0, 0) if self.checked.is_empty() => "nothing found".to_owned(),
            (0, 0) => "ok".to_owned(),
            (0, _) => warnings,
            (_, 0) => errors,
            _ => format!("{errors} and {warnings}"),
        };
        let mut line = format!("{file}: {found}");
        if !self.checked.is_empty() {
            line.push_str(&format!(" ({})", self.checked.join("; ")));
        }
        if !self.skipped.is_empty() {
            line.push_str(&format!("; without softstop: {}", self.skipped.join(", ")));
        }
        if !self.unread.is_empty() {
            line.push_str(&format!("; not checked: {}", self.unread.join(", ")));
        }
        line
    }

    /// For machines: one object.
    pub fn json<'r>(&'r self, file: &'r str) -> String {
        let place = |place: &'r Place| {
            let at = place.position.as_ref();
            Where { file: &place.file, line: at.map(|p| p.line), column: at.map(|p| p.column) }
        };
        let finding = |f: &'r Finding| Machine {
            rule: f.rule,
            severity: if f.problem.severity == Severity::Error { "error" } else { "warning" },
            message: secrets::mask(&f.problem.sentence),
            why: &f.why,
            help: &f.problem.help,
            places: f.problem.places.iter().map(place).collect(),
        };
        let whole = Whole {
            file,
            errors: self.errors(),
            warnings: self.warnings(),
            checked: &self.checked,
            skipped: &self.skipped,
            not_checked: &self.unread,
            findings: self.findings.iter().map(finding).collect(),
        };
        serde_json::to_string(&whole).expect("strings and numbers are JSON")
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    file: &'a str,
    errors: usize,
    warnings: usize,
    checked: &'a [String],
    skipped: &'a [String],
    not_checked: &'a [String],
    findings: Vec<Machine<'a>>,
}

#[derive(Serialize)]
struct Machine<'a> {
    rule: &'static str,
    severity: &'static str,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
    help: &'a str,
    places: Vec<Where<'a>>,
}

#[derive(Serialize)]
struct Where<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}
