//! The manifest that agrees with a configuration: what `softstop manifest` prints, and `softstop check --pod` finds nothing in. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::env::{Origin, entry};
use super::rules::{DRAIN, changes_user, longest_drain, longest_start, whole_seconds};
use crate::config::{Config, Control, TERMINATION_LOG};
use crate::endpoint::Health;
use crate::sorted;
use crate::text::plain;

/// Where softstop's endpoints are when the configuration does not say.
pub(super) const PORT: u16 = 9180;
/// Attempts of the startup probe, one a second, at the least.
pub(super) const STARTUP: u64 = 60;

/// What is to be printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A pod's spec, to be put into something that is there.
    #[default]
    Spec,
    Pod,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

impl Kind {
    /// As `--kind` takes them.
    pub const NAMES: [&'static str; 6] = ["spec", "pod", "deployment", "statefulset", "daemonset", "job"];
}

/// The variables that a configuration refers to, each with its value here: what the configuration was read with. `None`: it is not set,
/// and its default was read.
pub type Variables = BTreeMap<String, Option<String>>;

/// How softstop is started in the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start<'a> {
    /// `softstop run`, with the configuration of that name, which refers to these.
    Run { file: &'a str, variables: &'a Variables },
    /// The wrapper, with everything that follows the program.
    Wrapper { args: &'a [String] },
}

/// The manifest in YAML.
///
/// ```
/// use softstop::config::check::read;
/// use softstop::pod::fragment::{Kind, Start, Variables, write};
///
/// let (config, _) = read("grace = '45s'\n[[process]]\nname = 'web'\ncommand = ['nginx']", "a.toml", &|_| None).expect("valid");
/// let start = Start::Run { file: "a.toml", variables: &Variables::new() };
/// assert!(write(&config, &start, Kind::Spec).contains("terminationGracePeriodSeconds: 45\n"));
/// ```
pub fn write(config: &Config, start: &Start<'_>, kind: Kind) -> String {
    let main = config.processes.iter().find(|p| p.main).or(config.processes.first());
    let name = if config.sidecar.is_some() { "softstop".to_owned() } else { dns_label(main.map_or("", |p| &p.name)) };
    let spec = spec(config, &name, start, kind);
    let head = match start {
        Start::Run { file, .. } => {
            let file = plain(file, ' ');
            format!("# Agrees with {file}. When it stands where it belongs: softstop check -c {file} --pod FILE\n")
        }
        Start::Wrapper { .. } => "# When it stands where it belongs: softstop check --pod FILE\n".to_owned(),
    };
    let labels = format!("{{ app: {name} }}");
    let (api, word, own) = match kind {
        Kind::Spec => return head + &spec,
        Kind::Pod => ("v1", "Pod", ""),
        Kind::Deployment => {
            ("apps/v1", "Deployment", "replicas: 2\nstrategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }\n")
        }
        Kind::StatefulSet => ("apps/v1", "StatefulSet", "replicas: 2\n"),
        Kind::DaemonSet => ("apps/v1", "DaemonSet", ""),
        Kind::Job => (
            "batch/v1",
            "Job",
            "podFailurePolicy: { rules: [{ action: Ignore, onPodConditions: [{ type: DisruptionTarget }] }] }\n",
        ),
    };
    let mut own = own.to_owned();
    if kind == Kind::StatefulSet {
        let _ = writeln!(own, "serviceName: {name}");
    }
    if !matches!(kind, Kind::Job | Kind::Pod) {
        let _ = writeln!(own, "selector: {{ matchLabels: {labels} }}");
    }
    own += &match kind {
        Kind::Pod => spec,
        _ => format!("template:\n  metadata: {{ labels: {labels} }}\n  spec:\n{}", indented(&spec, 4)),
    };
    format!("{head}apiVersion: {api}\nkind: {word}\nmetadata: {{ name: {name} }}\nspec:\n{}", indented(&own, 2))
}

fn spec(config: &Config, name: &str, start: &Start<'_>, kind: Kind) -> String {
    let mut text = format!("terminationGracePeriodSeconds: {}\n", whole_seconds(config.grace));
    if kind == Kind::Job {
        text.push_str("restartPolicy: Never\n");
    }
    if config.sidecar.as_ref().is_some_and(|s| s.follow.is_some()) {
        text.push_str("shareProcessNamespace: true\n");
    }
    let folders = folders(config);
    let read_only = !folders.contains("/");
    text.push_str(if config.sidecar.is_some() { "initContainers:\n" } else { "containers:\n" });
    text.push_str(&indented(&container(config, name, start, kind), 4).replacen("    ", "  - ", 1));
    text.push_str(&indented(&security(config, read_only), 4));
    if read_only && !folders.is_empty() {
        text.push_str("    volumeMounts:\n");
        for (i, folder) in folders.iter().enumerate() {
            let _ = writeln!(text, "      - {{ name: softstop-{i}, mountPath: {} }}", quoted(folder));
        }
    }
    if config.sidecar.is_some() {
        text.push_str(
            "containers:\n  - name: main\n    image: MAIN                       # yours, with its ports and probes\n",
        );
        if let Some(call) = prestop(config) {
            text.push_str(&indented(&call, 4));
        }
    }
    if read_only && !folders.is_empty() {
        text.push_str("volumes:\n");
        for i in 0..folders.len() {
            let _ = writeln!(text, "  - {{ name: softstop-{i}, emptyDir: {{}} }}");
        }
    }
    text
}

/// The hook that calls `GET /prestop`, of this or another container, as its guard wants it; lines.
fn prestop(config: &Config) -> Option<String> {
    let http = config.http.as_ref()?;
    let (note, header) = match http.prestop.as_ref()?.token {
        Some(_) => (
            "# TOKEN: the token itself, as the kubelet puts no variables into headers\n",
            ", httpHeaders: [{ name: Authorization, value: \"Bearer TOKEN\" }]",
        ),
        None => ("", ""),
    };
    let port = http.listen.port();
    Some(format!("{note}lifecycle: {{ preStop: {{ httpGet: {{ path: /prestop, port: {port}{header} }} }} }}"))
}

fn container(config: &Config, name: &str, start: &Start<'_>, kind: Kind) -> String {
    let mut text = format!("name: {name}\n");
    if config.sidecar.is_some() {
        text.push_str("restartPolicy: Always            # a native sidecar\n");
    }
    match start {
        Start::Run { .. } => text.push_str(
            "image: IMAGE                      # with /softstop, and the configuration at /etc/softstop.toml\n\
             command: [\"/softstop\", \"run\"]\n",
        ),
        Start::Wrapper { args } => {
            // Kubernetes puts variables into these words.
            let words: Vec<String> = args.iter().map(|word| quoted(&word.replace("$(", "$$("))).collect();
            text.push_str("image: IMAGE                      # with /softstop\n");
            let _ = writeln!(text, "command: [\"/softstop\", {}]", words.join(", "));
        }
    }
    let reachable = config.http.as_ref().filter(|http| !http.listen.is_loopback());
    let port = config.http.as_ref().map_or(PORT, |http| http.listen.port());
    text.push_str(&variables(config, name, start, reachable.is_none().then_some(port)));
    let _ = writeln!(
        text,
        "ports:                            # and the program's own\n  - {{ name: softstop, containerPort: {port} }}"
    );
    text.push_str(&probes(config, kind));
    if config.sidecar.is_some()
        && let Some(call) = prestop(config)
    {
        let _ = writeln!(text, "{call}");
    } else if (!config.drain.is_empty() || config.sidecar.is_some()) && config.control != Control::Off {
        let _ = writeln!(text, "lifecycle: {{ {DRAIN} }}");
    }
    if let Some(path) = config.termination_log.as_deref().and_then(Path::to_str).filter(|p| *p != TERMINATION_LOG) {
        let _ = writeln!(text, "terminationMessagePath: {}", quoted(path));
    }
    // Where softstop could not say a word.
    text.push_str("terminationMessagePolicy: FallbackToLogsOnError\n");
    text
}

/// `listen`: the port on which it is to listen, where its configuration does not say one that others reach.
fn variables(config: &Config, name: &str, start: &Start<'_>, listen: Option<u16>) -> String {
    let grace = humantime::format_duration(config.grace);
    let mut text = format!("env:\n  - {{ name: SOFTSTOP_GRACE, value: {grace} }}\n");
    if let Some(port) = listen {
        let _ = writeln!(text, "  - {{ name: SOFTSTOP_HTTP, value: \":{port}\" }}");
    }
    let Start::Run { variables, .. } = start else { return text };
    let said = |variable: &str| variable == "SOFTSTOP_GRACE" || variable == "SOFTSTOP_HTTP" && listen.is_some();
    for (variable, value) in variables.iter().filter(|(variable, _)| !said(variable)) {
        let why = match (Origin::of(variable), value) {
            (Origin::Field(_), _) => "",
            (Origin::Secret, _) => " # a Secret, to be made",
            (Origin::Other, Some(_)) => " # as it is here",
            (Origin::Runtime, _) | (Origin::Other, None) => continue,
        };
        let _ = writeln!(text, "  - {}{why}", entry(variable, name, value.as_deref()));
    }
    text
}

fn probes(config: &Config, kind: Kind) -> String {
    let attempts = longest_start(config).as_secs().saturating_add(1).max(STARTUP);
    let startup = format!(", periodSeconds: 1, failureThreshold: {attempts}");
    // Noticed within the drain, or it would be of no use to it: one failure counts, softstop itself has counted those of the programs.
    let period = if longest_drain(config) > Duration::from_secs(2) { 2 } else { 1 };
    let ready = format!(", periodSeconds: {period}, failureThreshold: 1");
    let all = [(Health::Startup, startup.as_str()), (Health::Ready, &ready), (Health::Live, "")];
    let meant = all.into_iter().filter(|(health, _)| kind != Kind::Job || *health != Health::Ready);
    meant.map(|(health, rest)| format!("{}: {}\n", health.probe(), probe(health, rest))).collect()
}

/// A probe of softstop's own endpoints; `rest`: what else it has, from its comma on.
pub(super) fn probe(health: Health, rest: &str) -> String {
    format!("{{ httpGet: {{ path: {}, port: softstop }}{rest} }}", health.path())
}

fn security(config: &Config, read_only: bool) -> String {
    let mut text = "securityContext:\n".to_owned();
    if read_only {
        text.push_str("  readOnlyRootFilesystem: true    # if the programs write nowhere else\n");
    }
    if changes_user(config).is_none() {
        text.push_str("  allowPrivilegeEscalation: false\n");
    }
    if config.processes.iter().any(|p| p.launch.identity.is_another()) {
        text.push_str("  capabilities: { drop: [ALL], add: [SETUID, SETGID, KILL] }\n");
    } else {
        text.push_str("  runAsNonRoot: true              # with USER in the image as a number, or runAsUser\n");
        text.push_str("  capabilities: { drop: [ALL] }\n");
    }
    text
}

/// Where softstop itself writes files: with a read-only root each needs a volume.
fn folders(config: &Config) -> BTreeSet<&str> {
    let folder = |path: &'_ Path| {
        path.parent().and_then(Path::to_str).filter(|f| !f.starts_with("/dev/shm") && *f != "/dev").map(str::len)
    };
    let paths = [config.control.path(), config.report.as_deref()].into_iter().flatten();
    sorted::collected(paths.filter_map(|p| p.to_str().and_then(|text| text.get(..folder(p)?))))
}

/// What Kubernetes takes for a container's name.
fn dns_label(name: &str) -> String {
    let label: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(63).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "app".to_owned() } else { label.to_owned() }
}

/// A YAML string for any text: JSON's strings are YAML's.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

fn indented(text: &str, columns: usize) -> String {
    text.lines().map(|line| format!("{:columns$}{line}\n", "")).collect()
}
