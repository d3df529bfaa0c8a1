//! Everything that `softstop check --pod` looks at: one table, and a small function for each of its rows. Pure.
//!
//! A rule notes what it finds with a sentence (what is wrong), a reason (what happens in production; where the reference has it) and
//! the exact change. docs/kubernetes.md lists them (a test compares), `tests/pod_rules/` has a manifest for each.

mod asking;
mod grace;
mod hooks;
mod launch;
mod mesh;
mod prestop;
mod probes;
mod readiness;
mod security;
mod sidecar;
mod workload;

pub(super) use grace::left;
pub(super) use probes::longest_start;
pub(super) use readiness::longest_drain;
pub(super) use security::changes_user;

use super::finding::{ENOUGH, Finding};
use super::tree::Node;
use super::{ALLOW, Case};
use crate::config::problem::{Severity, Span};

/// One thing that is looked at.
pub struct Rule {
    pub name: &'static str,
    check: fn(&Case<'_>, &mut Found<'_>),
}

/// Sorted by what they are about.
pub const RULES: &[Rule] = &[
    // How softstop is started
    Rule { name: "entrypoint", check: launch::entrypoint },
    Rule { name: "shell-form", check: launch::shell_form },
    Rule { name: "init-in-front", check: launch::init_in_front },
    Rule { name: "terminal", check: launch::terminal },
    Rule { name: "shared-pids", check: launch::shared_pids },
    Rule { name: "stop-signal", check: launch::stop_signal },
    Rule { name: "unread-variable", check: launch::unread_variable },
    Rule { name: "unset-variable", check: launch::unset_variable },
    Rule { name: "sidecar-follow", check: sidecar::follow },
    // The budget
    Rule { name: "grace-zero", check: grace::zero },
    Rule { name: "grace-misplaced", check: grace::misplaced },
    Rule { name: "grace-too-long", check: grace::too_long },
    Rule { name: "grace-too-short", check: grace::too_short },
    Rule { name: "grace-unknown", check: grace::unknown },
    Rule { name: "grace-sidecar", check: grace::sidecar },
    Rule { name: "probe-grace", check: grace::of_probes },
    Rule { name: "no-drain", check: grace::no_drain },
    // Hooks
    Rule { name: "prestop-sleep", check: hooks::sleep },
    Rule { name: "prestop-unknown", check: hooks::unknown },
    Rule { name: "prestop-drain", check: hooks::drain },
    Rule { name: "prestop-missing", check: hooks::missing },
    Rule { name: "prestop-http", check: prestop::http },
    Rule { name: "prestop-guard", check: prestop::guarded },
    Rule { name: "sidecar-hook", check: sidecar::hook },
    Rule { name: "mesh-hook", check: mesh::hook },
    Rule { name: "mesh-drain", check: mesh::drain },
    Rule { name: "hook-shell", check: hooks::shell },
    Rule { name: "hook-tcp", check: hooks::tcp },
    Rule { name: "poststart", check: hooks::post_start },
    // Probes
    Rule { name: "probe-port", check: probes::port },
    Rule { name: "port-taken", check: probes::port_taken },
    Rule { name: "probe-path", check: probes::path },
    Rule { name: "probe-address", check: probes::address },
    Rule { name: "probe-host", check: probes::host },
    Rule { name: "probe-scheme", check: probes::scheme },
    Rule { name: "probe-timeout", check: probes::timeout },
    Rule { name: "liveness-on-readyz", check: probes::liveness_on_readyz },
    Rule { name: "liveness-without-startup", check: probes::liveness_without_startup },
    Rule { name: "startup-path", check: probes::startup_path },
    Rule { name: "startup-too-short", check: probes::startup_too_short },
    Rule { name: "init-container", check: probes::init_container },
    Rule { name: "sidecar-startup", check: probes::sidecar_startup },
    Rule { name: "readiness-missing", check: readiness::missing },
    Rule { name: "readiness-on-livez", check: readiness::on_livez },
    Rule { name: "readiness-elsewhere", check: readiness::elsewhere },
    Rule { name: "readiness-kept", check: readiness::kept },
    Rule { name: "readiness-slow", check: readiness::slow },
    // What the container may do
    Rule { name: "read-only-root", check: security::read_only_root },
    Rule { name: "user", check: security::user },
    Rule { name: "limits", check: security::limits },
    Rule { name: "privilege-escalation", check: security::privilege_escalation },
    Rule { name: "termination-log", check: security::termination_log },
    Rule { name: "host-network", check: security::host_network },
    // What runs the pods, and what stands before them
    Rule { name: "restart-policy", check: workload::restart_policy },
    Rule { name: "job-interrupted", check: workload::job_interrupted },
    Rule { name: "job-success", check: workload::job_success },
    Rule { name: "job-sidecar", check: workload::job_sidecar },
    Rule { name: "recreate", check: workload::recreate },
    Rule { name: "all-at-once", check: workload::all_at_once },
    Rule { name: "progress-deadline", check: workload::progress_deadline },
    Rule { name: "parallel", check: workload::parallel },
    Rule { name: "service-port", check: workload::service_port },
    Rule { name: "not-ready-addresses", check: workload::not_ready_addresses },
    Rule { name: "disruption-budget", check: workload::disruption_budget },
];

/// What one rule finds.
pub struct Found<'a> {
    rule: &'static str,
    case: &'a Case<'a>,
    list: &'a mut Vec<Finding>,
}

impl Found<'_> {
    /// It goes wrong.
    pub fn error(&mut self, at: Span, sentence: impl Into<String>, why: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Error, at, sentence.into(), why.into(), help.into());
    }

    /// It may go wrong, or costs something.
    pub fn warn(&mut self, at: Span, sentence: impl Into<String>, why: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Warning, at, sentence.into(), why.into(), help.into());
    }

    fn note(&mut self, severity: Severity, at: Span, sentence: String, why: String, help: String) {
        let place = self.case.source.place(&at, "");
        self.list.push(Finding::new(self.rule, severity, place, [&sentence, &why, &help]));
    }
}

/// Knative has hooks, probes, a drain and a restart of its own and refuses others: what is left.
const FOR_KNATIVE: [&str; 13] = [
    "entrypoint",
    "shell-form",
    "init-in-front",
    "unread-variable",
    "unset-variable",
    "grace-zero",
    "grace-too-long",
    "grace-unknown",
    "read-only-root",
    "user",
    "limits",
    "privilege-escalation",
    "termination-log",
];

/// The rules that an object's annotation allows to be broken.
pub(super) fn allowed<'a>(annotations: Option<Node<'a>>) -> impl Iterator<Item = &'a str> {
    annotations.and_then(|a| a.get(ALLOW)?.text()).unwrap_or_default().split(',').map(str::trim)
}

/// Every rule over one container, but those that the pod's annotation allows to be broken.
pub(super) fn all(case: &Case<'_>, list: &mut Vec<Finding>) {
    for rule in RULES {
        let meant = !case.workload.is_knative() || FOR_KNATIVE.contains(&rule.name);
        if list.len() < ENOUGH && meant && !allowed(case.workload.annotations()).any(|name| name == rule.name) {
            (rule.check)(case, &mut Found { rule: rule.name, case, list });
        }
    }
}

/// The hook that runs `softstop drain`, as a manifest has it.
pub(super) const DRAIN: &str = "preStop: { exec: { command: [\"/softstop\", \"drain\"] } }";

/// For sentences and settings: `25s`.
fn said(duration: std::time::Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Whole seconds, rounded up, as `terminationGracePeriodSeconds` has them.
pub(super) fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
