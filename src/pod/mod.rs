//! A Kubernetes manifest held against a configuration: where the two disagree, what comes of it, and what to write instead
//! (`softstop check --pod`); and the fragment that agrees (`softstop manifest`). Pure.
//!
//! `yaml` makes a [`tree`] of the text, [`objects`] finds the pods in it (with [`templates`] in objects of any kind), [`view`] says what they
//! are, [`launch`] which container runs softstop and how it does; what that amounts to is asked of the caller, who knows the command line and
//! the files. [`rules`] is the table of everything that is then looked at, each rule a small function over a [`Case`]. [`fragment`] writes what
//! passes them; `inject` puts softstop into a manifest that is there.

pub mod env;
pub mod finding;
pub mod fragment;
#[cfg(feature = "yaml")]
pub mod inject;
pub mod launch;
pub mod objects;
pub mod rules;
pub mod templates;
pub mod tree;
pub mod view;
#[cfg(feature = "yaml")]
pub mod yaml;

use crate::text;
use std::collections::BTreeMap;

use crate::config::Config;
use crate::config::problem::{Problem, Severity, Source, Span};
use crate::sorted;
use finding::{ENOUGH, Finding, PodStop, Report};
use launch::{Front, Launch};
use objects::{Objects, Unread};
use tree::Node;
use view::{Container, Role, Workload};

/// Rules that a pod's owner has decided against: names with commas between them.
pub const ALLOW: &str = "softstop/allow";

/// softstop as a container starts it: what its settings follow from.
pub struct Start<'a> {
    /// Behind the program.
    pub arguments: Vec<String>,
    /// The container's variables; `None` for a value that the manifest does not say.
    pub env: BTreeMap<&'a str, Option<&'a str>>,
    /// There are more that the manifest does not name.
    pub open: bool,
    /// What to read instead of such a value, by the variable's name: of the same kind, so that what needs an address or a token takes it.
    pub stand_in: &'a dyn Fn(&str) -> &'static str,
    /// What a ConfigMap of the same file mounts at a path: its name for messages, and its text.
    pub config_map: &'a dyn Fn(&str) -> Option<(String, String)>,
}

/// What such a start amounts to.
#[derive(Debug)]
pub struct Settings {
    pub config: Config,
    /// What is to be said of the configuration itself.
    pub warnings: Vec<Problem>,
    /// The configuration's name for messages; `None` for the wrapper, which has none.
    pub file: Option<String>,
    /// Its path in the container.
    pub path: Option<String>,
    /// `--grace` or `SOFTSTOP_GRACE` says the grace, not the file.
    pub grace_given: bool,
    /// Variables that the configuration refers to, and that the container does not have, as far as the manifest says.
    pub unset: Vec<String>,
    /// What was read in the place of values that are not known: what contains one of them is not known, either.
    pub assumed: Vec<&'static str>,
    /// Variables of the container that nobody reads: the name, what is wrong with it, what to do.
    pub unread: Vec<(String, String, String)>,
}

/// Why such a start fails, or cannot be judged.
#[derive(Debug)]
pub enum Refused {
    /// The command line or a variable is wrong, in one line.
    Usage(String),
    /// The configuration is: problems at their places in it.
    Config(Vec<Problem>),
    /// The configuration is not at hand: its path in the container.
    Unknown(String),
    /// It is a command that runs nothing: `softstop check` in an init container.
    Nothing,
}

/// Says what a start amounts to.
pub type Interpret<'a> = dyn Fn(&Start<'_>) -> Result<Settings, Refused> + 'a;

/// What the caller was asked for.
pub struct Options<'a> {
    /// The container that runs softstop, by name.
    pub container: Option<&'a str>,
    /// There is a configuration, so that a container whose ENTRYPOINT is not known is taken for `softstop run`.
    pub run: bool,
    /// Whether a variable means something to the wrapper and nothing to `softstop run`: who sets one runs the wrapper.
    pub of_wrapper: fn(&str) -> bool,
}

/// One container held against its settings: what every rule looks at.
pub struct Case<'a> {
    pub source: &'a Source<'a>,
    pub objects: &'a Objects<'a>,
    pub workload: &'a Workload<'a>,
    pub container: &'a Container<'a>,
    pub launch: &'a Launch<'a>,
    pub settings: &'a Settings,
}

/// Reads a manifest and holds every container that runs softstop against its settings. `file` is the manifest's name for messages.
///
/// # Errors
/// When the text is no YAML, at its place.
#[cfg(feature = "yaml")]
pub fn check(text: &str, file: &str, options: &Options<'_>, interpret: &Interpret<'_>) -> Result<Report, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file, text);
    let stream = yaml::read(&source)?;
    let mut report = review(&source, &Objects::new(&stream), options, interpret);
    report.findings.extend(stream.duplicates().map(|key| {
        let sentence = format!("the key {} stands twice", key.text().unwrap_or_default());
        let why =
            "which one counts depends on who reads it: kubectl refuses it or takes the last, this check the first";
        let texts = [sentence.as_str(), why, "leave one of them out"];
        Finding::new("duplicate-key", Severity::Error, source.place(&key.mark(), ""), texts)
    }));
    Ok(report)
}

/// What `check` does with what has been read.
pub fn review(source: &Source<'_>, objects: &Objects<'_>, options: &Options<'_>, interpret: &Interpret<'_>) -> Report {
    let mut report = Report::default();
    let mut unclear = None;
    for workload in &objects.workloads {
        match launch::containers(objects, workload, options.container) {
            Some(containers) if containers.is_empty() => report.skipped.push(workload.title()),
            Some(containers) => {
                for container in &containers {
                    if report.findings.len() >= ENOUGH {
                        report.unread.push(checked_as(workload, container));
                    } else {
                        one(source, objects, workload, container, options, interpret, &mut report);
                    }
                }
            }
            None => {
                unclear.get_or_insert(workload);
                report.skipped.push(workload.title());
            }
        }
    }
    for unread in &objects.unread {
        let annotations = unread.root.at(&["metadata", "annotations"]);
        if !rules::allowed(annotations).any(|name| name == UNREAD) {
            report.unread.push(unread.title.clone());
            report.findings.extend((report.findings.len() < ENOUGH).then(|| not_read(source, unread)));
        }
    }
    if report.checked.is_empty() && report.unread.is_empty() {
        let finding = nothing(source, unclear, options);
        report.findings.push(finding);
    }
    in_order(&mut report.findings, source.file);
    report
}

/// Of the manifest first, as they stand there; each once.
fn in_order(findings: &mut Vec<Finding>, manifest: &str) {
    let place = |f: &Finding| {
        let first = f.problem.places.first();
        let at = first.and_then(|p| p.position.as_ref());
        (first.is_none_or(|p| p.file != manifest), at.map_or((usize::MAX, 0), |p| (p.line, p.column)))
    };
    sorted::by_key(findings, place);
    findings.dedup();
}

/// How the container starts softstop, and what that amounts to.
fn one(
    source: &Source<'_>,
    objects: &Objects<'_>,
    workload: &Workload<'_>,
    container: &Container<'_>,
    options: &Options<'_>,
    interpret: &Interpret<'_>,
    report: &mut Report,
) {
    report.checked.push(checked_as(workload, container));
    let launch = Launch::new(container, objects);
    let config_map =
        |path: &str| launch::config_map(objects, workload, container, path).map(|(name, text)| (name, text.to_owned()));
    let wrapper = || launch.env.values.keys().any(|name| (options.of_wrapper)(name));
    let run = (options.run || config_map(DEFAULT_CONFIG).is_some()) && !wrapper();
    let start = Start {
        arguments: launch.arguments(run),
        env: launch.env.values.iter().map(|(name, (value, _))| (*name, *value)).collect(),
        open: launch.env.open,
        stand_in: &|name| launch.env.stand_in(name),
        config_map: &config_map,
    };
    match interpret(&start) {
        Ok(mut settings) => {
            let warnings = std::mem::take(&mut settings.warnings);
            report.findings.extend(cannot_start(source, &launch, Refused::Config(warnings)));
            let case = Case { source, objects, workload, container, launch: &launch, settings: &settings };
            rules::all(&case, &mut report.findings);
            let (title, grace, left) = (checked_as(workload, container), workload.pod.grace(), rules::left(&case));
            report.stops.push(PodStop { title, config: settings.config, grace, left });
        }
        Err(refused) => report.findings.extend(cannot_start(source, &launch, refused)),
    }
}

fn checked_as(workload: &Workload<'_>, container: &Container<'_>) -> String {
    match container.name {
        "" => workload.title(),
        name => text::sentence(&format!("{}, container {name}", workload.title())),
    }
}

/// The rule's name, as an annotation of the object allows it.
const UNREAD: &str = "unread";

fn not_read(source: &Source<'_>, unread: &Unread<'_>) -> Finding {
    let sentence = format!("{} is not checked: {}", unread.title, unread.why);
    let why = "what is wrong there is found by nobody; the exit code is 65, or 78 if something else is wrong";
    let help = format!(
        "hand the spec of its pod to softstop check --pod - by itself; where no softstop runs in it, say so: annotation {ALLOW}: {UNREAD}"
    );
    Finding::new(UNREAD, Severity::Warning, source.place(&unread.at.mark(), ""), [&sentence, why, &help])
}

/// Where `softstop run` looks in an image.
pub const DEFAULT_CONFIG: &str = "/etc/softstop.toml";

/// What a refusal means for the container.
fn cannot_start(source: &Source<'_>, launch: &Launch<'_>, refused: Refused) -> Vec<Finding> {
    let error = |rule, sentence: String, why, help| {
        let at = launch.variable_behind(&sentence).unwrap_or(launch.mark.clone());
        vec![Finding::new(rule, Severity::Error, source.place(&at, ""), [&sentence, why, help])]
    };
    match refused {
        Refused::Usage(why) => error(
            "usage",
            format!("softstop refuses this command line: {why}"),
            "the container ends with exit code 64 at once and goes into CrashLoopBackOff",
            "softstop --help has every flag and variable",
        ),
        Refused::Unknown(path) => error(
            "config",
            format!("the configuration of this container, {path}, is not known here"),
            "",
            "name the file: softstop check -c softstop.toml --pod FILE",
        ),
        Refused::Nothing => Vec::new(),
        Refused::Config(problems) => {
            let why = |severity| match severity {
                Severity::Error => "the container ends with exit code 78 at once and goes into CrashLoopBackOff",
                Severity::Warning => "",
            };
            let finding = |p: Problem| Finding { rule: "config", why: why(p.severity).to_owned(), problem: p };
            problems.into_iter().map(finding).collect()
        }
    }
}

/// Nothing was held against anything, which must not look like success.
fn nothing(source: &Source<'_>, unclear: Option<&Workload<'_>>, options: &Options<'_>) -> Finding {
    let (sentence, help, containers) = match (options.container, unclear) {
        (Some(name), _) => (
            format!("no pod in this file has a container {name}"),
            "--container takes the name of a container or an init container",
            None,
        ),
        (None, Some(workload)) => (
            format!("it is not clear which container of {} runs softstop", workload.title()),
            "name it with --container NAME; its command or args begin with softstop, or it has a SOFTSTOP_ variable",
            workload.pod.0.get("containers"),
        ),
        (None, None) => (
            "there is no pod in this file".to_owned(),
            "it reads Deployments, Jobs, Pods and whatever else has a pod template, lists of them, and a pod's spec alone",
            None,
        ),
    };
    let place = containers.map_or_else(|| source.whole(), |node| source.place(&node.mark(), ""));
    Finding::new("nothing", Severity::Error, place, [&sentence, "", help])
}

impl<'a> Case<'a> {
    /// Where to mark what is missing from the container.
    pub fn here(&self) -> Span {
        self.container.node.mark_at(&["name"])
    }

    /// Where to mark what may be there.
    pub fn at(&self, node: Option<Node<'_>>) -> Span {
        node.map_or_else(|| self.here(), |node| node.mark())
    }

    pub fn config(&self) -> &Config {
        &self.settings.config
    }

    /// The port of softstop's own endpoints.
    pub fn port(&self) -> Option<u16> {
        self.config().http.as_ref().map(|http| http.listen.port())
    }

    pub fn is_sidecar(&self) -> bool {
        self.container.role == Role::Sidecar
    }

    /// It takes requests, as far as the manifest shows: a Service selects it, or it has ports beside softstop's own.
    pub fn serves(&self) -> bool {
        let ports = self.container.ports();
        let selected = self.services().next().is_some();
        self.workload.is_service() && (selected || ports.iter().any(|(_, port)| *port != self.port()))
    }

    /// The Services of the file that select these pods.
    pub fn services(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let (services, workload) = (self.objects.services.iter().copied(), self.workload);
        services.filter(|service| workload.is_selected_by(service.at(&["spec", "selector"])))
    }

    /// How to write a setting of softstop's in this container.
    pub fn setting(&self, key: &str, variable: &str, value: &str) -> String {
        match &self.settings.file {
            Some(file) if !(key == "grace" && self.settings.grace_given) => format!("{key} = \"{value}\" in {file}"),
            _ => format!("{variable}={value}"),
        }
    }

    pub fn is_front(&self, front: Front) -> bool {
        self.launch.front == front
    }
}
